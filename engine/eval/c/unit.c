/* SPDX-License-Identifier: Apache-2.0
 *
 * unit.c: a user's function is judged in the user's file. The file is not taken apart: what stands before and after the
 * function stays as it is, macros, types, tables, helpers above and below, callers, and the candidate takes the place
 * of the function's text, so that what is compiled and timed is, but for one function behind it, the file that will be
 * written. That last function, the entry, is text of the task: it has the arguments that every task's function has and
 * calls the user's with those that it wants. Line directives keep compiler messages about the candidate in its own
 * lines.
 *
 * The rest of the file must mean what it meant. Macros that a candidate defines or undefines are saved before it and
 * restored behind it, so are the options that its pragmas set, and a helper of its own that has the name of one of the
 * file's gets another name.
 *
 * For the truth the same text is C++ in which float means something else, so the headers of the system, which would not
 * survive that, are left out; some stand before it, and what the others declare of mathematics the truth's prelude has.
 * What then does not compile is outside the common subset (spread.c).
 *
 * Circle: assemble puts a task's unit together here, and a body is put here as assemble puts one anywhere.
 */
#include "eval/c/unit.h"
#include "eval/c/assemble.h"
#include "eval/definition.h"
#include <ctype.h>
#include <string.h>

enum { MAX_SCOPED = 64 };

/* Names that mean something else within the candidate, and whether its pragmas set options. */
struct scope {
    struct scoped {
        const char *p;
        int n;
        bool is_renamed;
    } name[MAX_SCOPED];
    size_t n;
    bool has_pragma;
};

static void scope_name(struct scope *s, const char *p, size_t n, bool is_renamed)
{
    for (size_t i = 0; i < s->n; i++)
        if ((size_t)s->name[i].n == n && memcmp(s->name[i].p, p, n) == 0)
            return;
    if (s->n < MAX_SCOPED)
        s->name[s->n++] = (struct scoped){p, (int)n, is_renamed};
}

static void find_directives(struct scope *s, const char *text)
{
    struct vt_clexer l;
    vt_clexer_init(&l, text, strlen(text));
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        s->has_pragma |= vt_ctoken_is(&t, "_Pragma");
        if (!t.is_mark)
            continue;
        t = vt_clexer_next(&l);
        s->has_pragma |= vt_ctoken_is(&t, "pragma");
        if (!vt_ctoken_is(&t, "define") && !vt_ctoken_is(&t, "undef"))
            continue;
        t = vt_clexer_next(&l);
        if (t.kind == VT_CTOKEN_NAME)
            scope_name(s, t.p, t.len, false);
    }
}

static bool file_defines(const struct vt_task_unit *u, const char *name)
{
    const char *const part[] = {u->before, u->after};
    struct vt_definition d;
    for (int i = 0; i < 2; i++)
        if (vt_definition_find((struct vt_span){part[i], part[i] + strlen(part[i])}, name, &d) && d.is_complete)
            return true;
    return false;
}

/* Functions of the candidate's own, beside the one that it is, that the file has too. */
static void find_repeated(struct scope *s, const vt_task *t, const char *text)
{
    struct vt_definitions w;
    struct vt_definition d;
    char name[128];
    vt_definitions_of((struct vt_span){text, text + strlen(text)}, &w);
    while (vt_definition_next(&w, NULL, &d)) {
        if (d.name_len >= sizeof name)
            continue;
        memcpy(name, d.name, d.name_len);
        name[d.name_len] = '\0';
        if (strcmp(name, vt_task_name(t)) != 0 && file_defines(vt_task_unit(t), name))
            scope_name(s, d.name, d.name_len, true);
    }
}

/* Options are saved in the compiler's own way; clang has no such pragmas and passes over them. */
static void begin_scope(const struct scope *s, const char *function, struct vt_buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct scoped *x = &s->name[i];
        vt_buf_printf(out, "#pragma push_macro(\"%.*s\")\n", x->n, x->p);
        if (x->is_renamed)
            vt_buf_printf(out, "#define %.*s %s_%.*s\n", x->n, x->p, function, x->n, x->p);
    }
    if (s->has_pragma)
        vt_buf_puts(out, "#pragma GCC push_options\n#pragma GCC diagnostic push\n");
}

static void end_scope(const struct scope *s, struct vt_buf *out)
{
    if (s->has_pragma)
        vt_buf_puts(out, "#pragma GCC diagnostic pop\n#pragma GCC pop_options\n");
    for (size_t i = s->n; i > 0; i--)
        vt_buf_printf(out, "#pragma pop_macro(\"%.*s\")\n", s->name[i - 1].n, s->name[i - 1].p);
}

void vt_unit_put(const vt_task *t, const char *text, bool is_whole, struct vt_buf *out)
{
    const struct vt_task_unit *u = vt_task_unit(t);
    struct scope scope = {.n = 0};
    size_t n = strlen(u->before);
    find_directives(&scope, text);
    if (is_whole)
        find_repeated(&scope, t, text);
    vt_buf_printf(out, "%s%s", u->before, n > 0 && u->before[n - 1] != '\n' ? "\n" : "");
    begin_scope(&scope, vt_task_name(t), out);
    if (is_whole)
        vt_buf_printf(out, "%s%s#line 1 \"" VT_KERNEL_FILE "\"\n%s\n", u->declaration, u->declaration[0] ? "\n" : "",
                      text);
    else
        vt_put_body(out, u->head, text);
    end_scope(&scope, out);
    vt_buf_printf(out, "#line 1 \"rest.c\"\n%s\n#line 1 \"" VT_UNIT_FILE "\"\n%s\n", u->after, u->entry);
}

const char vt_unit_text_headers[] = "#define abs vt_c_abs\n#include <ctype.h>\n#include <limits.h>\n"
                                    "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n"
                                    "#include <stdlib.h>\n#include <string.h>\n#undef abs\n"
                                    "#define assert(x) ((void)0)\n";

static bool is_include(const char *p)
{
    while (isblank((unsigned char)*p))
        p++;
    if (*p++ != '#')
        return false;
    while (isblank((unsigned char)*p))
        p++;
    return strncmp(p, "include", 7) == 0;
}

static void put_without_includes(const char *text, struct vt_buf *out)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (!is_include(text))
            vt_buf_add(out, text, n);
        vt_buf_putc(out, '\n');
        text += n + (text[n] == '\n');
    }
}

void vt_unit_put_text_truth(const vt_task *t, struct vt_buf *out)
{
    const struct vt_task_unit *u = vt_task_unit(t);
    vt_buf_puts(out, "#define _Bool bool\n");
    put_without_includes(u->before, out);
    vt_buf_printf(out, "%s\n{\n", u->head);
    put_without_includes(vt_task_body(t), out);
    vt_buf_puts(out, "}\n");
    put_without_includes(u->after, out);
    vt_buf_puts(out, u->entry);
}

static bool is_old_language(const char *flag)
{
    return strcmp(flag, "-ansi") == 0 || strstr(flag, "89") || strstr(flag, "c90") || strstr(flag, ":1990") ||
           strstr(flag, ":199409");
}

bool vt_unit_flag_is_of_language(const char *flag, bool is_c)
{
    static const char *const words[] = {"-funsigned-char", "-fsigned-char", "-fwrapv", "-fno-strict-aliasing", NULL};
    for (int i = 0; words[i]; i++)
        if (strcmp(flag, words[i]) == 0)
            return true;
    return strncmp(flag, "-D", 2) == 0 || strncmp(flag, "-U", 2) == 0 ||
           (is_c && strncmp(flag, "-std=", 5) == 0 && !is_old_language(flag));
}
