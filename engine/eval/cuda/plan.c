/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: reads and evaluates launch plans. The text comes from a model, so everything about it may be wrong; each kind
 * of mistake has its own sentence, with the line it is on, because the sentence is what the model learns from.
 */
#include "eval/cuda/plan.h"
#include "base/alloc.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 4096 };
static const uint64_t max_scratch = (uint64_t)1 << 38;

struct reader {
    const vt_task *task;
    struct vt_launch_plan *plan;
    char *at; /* the rest of the line */
    unsigned line;
    char *why;
};

static bool refuse(struct reader *r, const char *what, const char *name)
{
    snprintf(r->why, 256, "line %u of the launch plan: %s%s%.60s%s", r->line, what, name ? " \"" : "", name ? name : "",
             name ? "\"" : "");
    return false;
}

static void skip_blanks(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r')
        r->at++;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A word, ended in place. NULL when there is none; *after is the character that stood behind it. */
static char *word(struct reader *r, char *after)
{
    skip_blanks(r);
    char *from = r->at;
    while (is_word(*r->at))
        r->at++;
    *after = *r->at;
    if (r->at == from)
        return NULL;
    if (*r->at)
        *r->at++ = '\0';
    return from;
}

/* What stands up to the bracket that closes the one before r->at, split at its own commas. */
static bool list(struct reader *r, const char *what, char **item, unsigned max, unsigned *n)
{
    int depth = 0;
    *n = 0;
    skip_blanks(r);
    char *from = r->at;
    for (;; r->at++) {
        char c = *r->at;
        if (!c)
            return refuse(r, "a bracket is not closed after", what);
        if ((c == ',' || c == ')') && depth == 0) {
            if (*n == max)
                return refuse(r, "too many members in", what);
            *r->at = '\0';
            item[(*n)++] = from;
            if (c == ')')
                break;
            from = r->at + 1;
        }
        depth += (c == '(') - (c == ')');
    }
    r->at++;
    for (unsigned i = 0; i < *n; i++) {
        while (*item[i] == ' ' || *item[i] == '\t')
            item[i]++;
        for (size_t len = strlen(item[i]); len && isspace((unsigned char)item[i][len - 1]); len--)
            item[i][len - 1] = '\0';
        if (!*item[i] && !(*n == 1 && strcmp(what, "args") == 0))
            return refuse(r, "an empty member in", what);
    }
    if (*n == 1 && !*item[0])
        *n = 0;
    return true;
}

static bool find_arg(const struct reader *r, const char *name, struct vt_plan_arg *out)
{
    const vt_task *t = r->task;
    for (unsigned i = 0; i < vt_task_n_arrays(t); i++)
        if (strcmp(vt_task_array(t, i)->name, name) == 0)
            return *out = (struct vt_plan_arg){VT_ARG_ARRAY, i}, true;
    for (unsigned i = 0; i < r->plan->n_scratch; i++)
        if (strcmp(r->plan->scratch[i].name, name) == 0)
            return *out = (struct vt_plan_arg){VT_ARG_SCRATCH, i}, true;
    for (unsigned i = 0; i < vt_task_n_sizes(t); i++)
        if (strcmp(vt_task_size_name(t, i), name) == 0)
            return *out = (struct vt_plan_arg){VT_ARG_SIZE, i}, true;
    for (unsigned i = 0; i < vt_task_n_scalars(t); i++)
        if (strcmp(vt_task_scalar(t, i)->name, name) == 0)
            return *out = (struct vt_plan_arg){VT_ARG_SCALAR, i}, true;
    return false;
}

static bool read_args(struct reader *r, struct vt_plan_launch *l)
{
    char *item[VT_PLAN_MAX_ARGS];
    if (!list(r, "args", item, VT_PLAN_MAX_ARGS, &l->n_args))
        return false;
    for (unsigned i = 0; i < l->n_args; i++)
        if (!find_arg(r, item[i], &l->arg[i]))
            return refuse(r,
                          "args may name arrays, sizes and scalars of the task and scratches declared above; there is "
                          "no",
                          item[i]);
    return true;
}

static bool read_dims(struct reader *r, const char *what, const char *out[3])
{
    char *item[3];
    unsigned n;
    if (!list(r, what, item, 3, &n))
        return false;
    for (unsigned i = 0; i < n; i++)
        out[i] = item[i];
    return true;
}

static bool read_launch(struct reader *r)
{
    char after = 0;
    if (r->plan->n_launches == VT_PLAN_MAX_LAUNCHES)
        return refuse(r, "a plan has at most 64 launches", NULL);
    struct vt_plan_launch *l = &r->plan->launch[r->plan->n_launches];
    bool has_args = false;
    memset(l, 0, sizeof *l);
    l->line = r->line;
    l->kernel = word(r, &after);
    if (!l->kernel || strlen(l->kernel) >= VT_PLAN_NAME)
        return refuse(r, "launch needs the name of a kernel", NULL);
    for (const char *part; after != '\0' && (part = word(r, &after));) {
        if (after != '(')
            return refuse(r, "a bracket is missing after", part);
        bool ok = false;
        if (strcmp(part, "grid") == 0) {
            ok = read_dims(r, "grid", l->grid);
        } else if (strcmp(part, "block") == 0) {
            ok = read_dims(r, "block", l->block);
        } else if (strcmp(part, "args") == 0) {
            ok = has_args = read_args(r, l);
        } else if (strcmp(part, "smem") == 0) {
            char *item[1];
            unsigned n;
            ok = list(r, "smem", item, 1, &n);
            l->smem = ok ? item[0] : NULL;
        }
        if (!ok)
            return *r->why ? false : refuse(r, "a launch has grid, block, smem and args; it has no", part);
        after = *r->at;
    }
    skip_blanks(r);
    if (*r->at)
        return refuse(r, "unexpected text at the end:", r->at);
    if (!l->grid[0] || !l->block[0] || !has_args)
        return refuse(r, "a launch needs grid(…), block(…) and args(…):", l->kernel);
    r->plan->n_launches++;
    return true;
}

static bool read_scratch(struct reader *r)
{
    char after = 0, *item[1];
    unsigned n;
    struct vt_plan_arg taken;
    if (r->plan->n_scratch == VT_PLAN_MAX_SCRATCH)
        return refuse(r, "a plan has at most 8 scratches", NULL);
    const char *name = word(r, &after), *part = name && after ? word(r, &after) : NULL;
    if (!name || !part || strcmp(part, "bytes") != 0 || after != '(')
        return refuse(r, "a scratch is written `// scratch NAME bytes(expression)`", NULL);
    if (find_arg(r, name, &taken))
        return refuse(r, "a scratch needs a name of its own, not", name);
    if (!list(r, "bytes", item, 1, &n))
        return false;
    skip_blanks(r);
    if (*r->at)
        return refuse(r, "unexpected text at the end:", r->at);
    r->plan->scratch[r->plan->n_scratch].name = name;
    r->plan->scratch[r->plan->n_scratch++].bytes = item[0];
    return true;
}

/* A line that begins with `// launch` or `// scratch`; others are the compiler's. */
static bool read_line(struct reader *r)
{
    char *from = r->at;
    skip_blanks(r);
    if (r->at[0] != '/' || r->at[1] != '/')
        return true;
    r->at += 2;
    skip_blanks(r);
    bool is_launch = strncmp(r->at, "launch", 6) == 0 && !is_word(r->at[6]);
    bool is_scratch = strncmp(r->at, "scratch", 7) == 0 && !is_word(r->at[7]);
    /* A comment that begins with the word and goes on as prose. */
    if ((!is_launch && !is_scratch) || !strchr(r->at, '('))
        return true;
    if (strlen(from) > MAX_LINE)
        return refuse(r, "the line is too long", NULL);
    r->at += is_launch ? 6 : 7;
    return is_launch ? read_launch(r) : read_scratch(r);
}

vt_status vt_launch_plan_read(const vt_task *t, const char *source, size_t len, struct vt_launch_plan *out,
                              char why[256], vt_err *err)
{
    struct reader r = {.task = t, .plan = out, .line = 0, .why = why};
    bool ok = true;
    memset(out, 0, sizeof *out);
    why[0] = '\0';
    out->text = vt_strndup(source, len);
    if (!out->text)
        return vt_fail(err, VT_ENOMEM, "cannot read a launch plan: out of memory");
    for (char *next = out->text; ok && next;) {
        r.at = next;
        r.line++;
        next = strchr(next, '\n');
        if (next)
            *next++ = '\0';
        ok = read_line(&r);
    }
    if (ok && out->n_launches == 0)
        snprintf(why, 256,
                 "there is no launch plan: write a line `// launch NAME grid(…) block(…) args(…)` for each "
                 "kernel to be run, in order");
    return VT_OK;
}

void vt_launch_plan_free(struct vt_launch_plan *p)
{
    free(p->text);
    memset(p, 0, sizeof *p);
}

/* ---- at a scale ---- */

struct evaluation {
    const vt_task *task;
    const char *scale;
    char *why;
};

static bool value(const struct evaluation *e, unsigned line, const char *what, const char *expr, uint64_t least,
                  uint64_t most, uint64_t *out)
{
    int64_t v = (int64_t)least;
    vt_err err = {0};
    if (expr && vt_task_size(e->task, e->scale, expr, &v, &err) != VT_OK) {
        snprintf(e->why, 256, "line %u of the launch plan: %s(%.60s): %.140s", line, what, expr, err.msg);
        return false;
    }
    if ((uint64_t)v < least || (uint64_t)v > most) {
        snprintf(e->why, 256,
                 "line %u of the launch plan: %s(%.60s) is %lld at the size \"%.20s\"; it must be from %llu to %llu",
                 line, what, expr, (long long)v, e->scale, (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

static bool launch_at(const struct evaluation *e, const struct vt_plan_launch *l, struct vt_launch_sizes *out)
{
    static const uint64_t most_blocks[] = {INT32_MAX, 65535, 65535}, most_threads[] = {1024, 1024, 64};
    uint64_t v, threads = 1;
    for (int i = 0; i < 3; i++) {
        if (!value(e, l->line, "grid", l->grid[i], 1, most_blocks[i], &v))
            return false;
        out->grid[i] = (unsigned)v;
        if (!value(e, l->line, "block", l->block[i], 1, most_threads[i], &v))
            return false;
        out->block[i] = (unsigned)v;
        threads *= v;
    }
    if (threads > 1024) {
        snprintf(e->why, 256, "line %u of the launch plan: a block of %llu threads; a device has at most 1024 in one",
                 l->line, (unsigned long long)threads);
        return false;
    }
    if (!value(e, l->line, "smem", l->smem, 0, VT_PLAN_MAX_SMEM, &v))
        return false;
    out->smem = (unsigned)v;
    return true;
}

bool vt_launch_plan_at(const struct vt_launch_plan *p, const vt_task *t, const char *scale, struct vt_plan_sizes *out,
                       char why[256])
{
    const struct evaluation e = {t, scale, why};
    memset(out, 0, sizeof *out);
    why[0] = '\0';
    for (unsigned i = 0; i < p->n_launches; i++)
        if (!launch_at(&e, &p->launch[i], &out->launch[i]))
            return false;
    for (unsigned i = 0; i < p->n_scratch; i++) {
        if (!value(&e, 0, p->scratch[i].name, p->scratch[i].bytes, 1, max_scratch, &out->scratch[i]))
            return false;
        out->scratch_total += out->scratch[i];
    }
    return true;
}
