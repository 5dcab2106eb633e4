/* SPDX-License-Identifier: Apache-2.0
 *
 * bugs.h: honest mistakes as mutants of correct CUDA text, by textual rules: each rule finds places in the text (loop
 * heads, guards, literals, subscripts, barriers, the launch plan) and writes there what a tired person writes. Unlike
 * the null candidates of eval_tools.h these kernels do nearly all of the work.
 *
 *   first      a loop begins at its second element             last       … ends before its last one
 *   stride     … takes every other one                         neighbour  a value is read one place further
 *   row        a row is taken to be one longer                 sign       what is added is subtracted
 *   init       a sum begins elsewhere than at 0                constant   a constant is off by a hundredth
 *   guard      the last thread is turned away                  past       … or one too many let in
 *   block      half of the threads that the code counts on     barrier    one __syncthreads() is missing
 */
#ifndef VT_TEST_GPU_BUGS_H
#define VT_TEST_GPU_BUGS_H

#include "base/alloc.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bug {
    const char *rule;
    int line; /* of the text, from 1 */
    char *code;
};
enum { MOST_BUGS = 64, PLACES_A_RULE = 2 };

struct bug_list {
    struct bug bug[MOST_BUGS];
    int n, n_places; /* of the rule that is at work */
    const char *text;
};

/* The text with `with` in place of [from, to). */
static inline void bug_put(struct bug_list *l, const char *rule, const char *from, const char *to, const char *with)
{
    const size_t head = (size_t)(from - l->text), n = strlen(l->text) + strlen(with) + 1;
    if (l->n == MOST_BUGS || l->n_places == PLACES_A_RULE)
        return;
    struct bug b = {.rule = rule, .line = 1, .code = vt_alloc(n)};
    for (const char *p = l->text; p < from; p++)
        b.line += *p == '\n';
    snprintf(b.code, n, "%.*s%s%s", (int)head, l->text, with, to);
    l->bug[l->n++] = b;
    l->n_places++;
}

/* After the launch plan and the signatures nothing but statements stands behind two spaces. */
static inline bool is_statement(const struct bug_list *l, const char *p)
{
    while (p > l->text && p[-1] != '\n')
        p--;
    return p[0] == ' ' && p[1] == ' ';
}

/* In the head of a loop, where a wrong sign would never end? */
static inline bool is_head(const char *p)
{
    const char *line = p;
    while (line[-1] != '\n')
        line--;
    const char *head = strstr(line, "for (");
    return head && head < p && !memchr(head, ')', (size_t)(p - head));
}

static inline bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Every occurrence in a statement. */
static inline void bug_swap(struct bug_list *l, const char *rule, const char *what, const char *with)
{
    l->n_places = 0;
    for (const char *p = l->text; (p = strstr(p, what)) != NULL; p += strlen(what))
        if (is_statement(l, p) && (!is_word(what[0]) || !is_word(p[-1])) && !is_head(p))
            bug_put(l, rule, p, p + strlen(what), with);
}

static inline void bug_loops(struct bug_list *l)
{
    l->n_places = 0;
    for (const char *p = l->text; (p = strstr(p, "for (int ")) != NULL; p++) {
        const char *zero = strstr(p, " = 0;"), *end = strchr(p, ';');
        if (zero && end && zero + 4 == end)
            bug_put(l, "first", zero, end, " = 1");
    }
    l->n_places = 0;
    for (const char *p = l->text; (p = strstr(p, "++)")) != NULL; p++) {
        const char *end = p;
        while (end > l->text && *end != ';')
            end--;
        bug_put(l, "last", end, end, " - 1");
    }
    l->n_places = 0;
    for (const char *p = l->text; (p = strstr(p, "++)")) != NULL; p++)
        bug_put(l, "stride", p, p + 2, " += 2");
}

/* Does a name stand in the brackets that end here? Else they hold a size, or a constant. */
static inline bool is_subscript(const char *p)
{
    while (p[-1] != '[' && p[-1] != '\n')
        if (isalpha((unsigned char)*--p))
            return true;
    return false;
}

/* Subscripts that are read: not the ones in front of an assignment. */
static inline void bug_subscripts(struct bug_list *l)
{
    l->n_places = 0;
    for (const char *p = l->text; (p = strchr(p, ']')) != NULL; p++)
        if (is_statement(l, p) && is_subscript(p) && strncmp(p, "] = ", 4) != 0 && strncmp(p, "] +=", 4) != 0)
            bug_put(l, "neighbour", p, p, " + 1");
    l->n_places = 0;
    for (const char *p = l->text; (p = strstr(p, " * ")) != NULL; p++) {
        const char *word = p + 3, *end = word, *open = p;
        while (is_word(*end))
            end++;
        while (open > l->text && *open != '[' && *open != '\n' && *open != ']')
            open--;
        if (end > word && *open == '[' && is_statement(l, p) && strncmp(end, " + ", 3) == 0) {
            char with[80];
            snprintf(with, sizeof with, "(%.*s + 1)", (int)(end - word), word);
            bug_put(l, "row", word, end, with);
        }
    }
}

static inline void bug_constants(struct bug_list *l)
{
    bug_swap(l, "init", " = 0.0f", " = 0.01f");
    l->n_places = 0;
    for (const char *p = l->text; *p; p++) {
        const char *end = p;
        if (!isdigit((unsigned char)*p) || (p > l->text && (is_word(p[-1]) || p[-1] == '.')) || !is_statement(l, p))
            continue;
        while (isdigit((unsigned char)*end) || *end == '.' || *end == 'e' || (end[-1] == 'e' && *end == '-'))
            end++;
        const double value = strtod(p, NULL);
        char with[96];
        snprintf(with, sizeof with, "(1.01f * %.*sf)", (int)(end - p), p);
        if (*end == 'f' && value != 0)
            bug_put(l, "constant", p, end + 1, with);
        p = end - 1;
    }
}

static inline void bug_guards(struct bug_list *l)
{
    l->n_places = 0;
    for (const char *p = l->text; (p = strstr(p, "if (thread >= ")) != NULL; p++) {
        bug_put(l, "guard", p, p + 14, "if (thread + 1 >= ");
        bug_put(l, "past", p, p + 14, "if (thread > ");
    }
    l->n_places = 0;
    for (const char *p = l->text; (p = strstr(p, "block(256)")) != NULL; p++)
        bug_put(l, "block", p, p + 10, "block(128)");
    for (const char *p = l->text; (p = strstr(p, "block(64)")) != NULL; p++)
        bug_put(l, "block", p, p + 9, "block(32)");
}

/* Of one text; the codes are the caller's to free. */
static inline void bug_make(const char *text, struct bug_list *l)
{
    *l = (struct bug_list){.text = text};
    bug_loops(l);
    bug_subscripts(l);
    bug_swap(l, "sign", " += ", " -= ");
    bug_swap(l, "sign", "fmaxf(", "fminf(");
    bug_constants(l);
    bug_guards(l);
    for (const char *p = l->text; (p = strstr(p, "__syncthreads();")) != NULL; p++) {
        l->n_places = 0;
        bug_put(l, "barrier", p, p + 16, ";");
    }
}

#endif
