/* SPDX-License-Identifier: Apache-2.0
 *
 * from_c.c: CUDA text from a task's C body, by one rule: the loops that the body consists of, one directly in the
 * other, become the threads of a one-dimensional grid, the innermost loop's index the fastest; what the innermost of
 * them does stays as it is. Declarations of int before the loops are kept in every thread.
 *
 * The rule holds when iterations do not meet, so an output may only be assigned (never read, never `+=`), and nothing
 * may stand beside the loops. That each output element is written once is seen when the truth is made: the elements are
 * counted. Bodies that accumulate across the whole array, or scatter, have no text of this kind; their tasks carry one.
 */
#include "eval/cuda/from_c.h"
#include "eval/ctext.h"
#include <stdio.h>
#include <string.h>

enum { MAX_TOKENS = 4096, MAX_LOOPS = 8, MAX_LOCALS = 8, BLOCK = 256, MAX_EXPR = 256 };

struct loop {
    struct vt_ctoken name;
    char extent[MAX_EXPR], text[MAX_EXPR]; /* over the task's sizes; as the body has it */
};
struct parse {
    const vt_task *task;
    const char *body;
    struct vt_ctoken *tok;
    int n, at;
    struct loop loop[MAX_LOOPS];
    int n_loops;
    struct {
        struct vt_ctoken name;
        char value[MAX_EXPR];
    } local[MAX_LOCALS];
    int n_locals;
    int prefix_end; /* tokens [0, prefix_end) are declarations */
    int from, to;   /* tokens of what a thread does */
    const char *why;
};

static bool fail(struct parse *p, const char *why)
{
    p->why = why;
    return false;
}

static bool is(const struct parse *p, int i, const char *text)
{
    return i < p->n && vt_ctoken_is(&p->tok[i], text);
}

/* Tokens [from, to) as text, locals replaced by what they stand for. */
static bool expression(struct parse *p, int from, int to, bool resolved, char out[MAX_EXPR])
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = from; i < to; i++) {
        const struct vt_ctoken *t = &p->tok[i];
        int w = -1;
        for (int k = 0; resolved && k < p->n_locals && w < 0; k++)
            if (t->kind == VT_CTOKEN_NAME && p->local[k].name.len == t->len &&
                memcmp(p->local[k].name.p, t->p, t->len) == 0)
                w = snprintf(out + n, MAX_EXPR - n, "%s(%s)", i > from ? " " : "", p->local[k].value);
        if (w < 0)
            w = snprintf(out + n, MAX_EXPR - n, "%s%.*s", i > from ? " " : "", (int)t->len, t->p);
        if (w < 0 || (size_t)w >= MAX_EXPR - n)
            return fail(p, "an extent is too long");
        n += (size_t)w;
    }
    return n > 0 || fail(p, "an extent is empty");
}

/* int a = e, b = e; … up to the first loop. */
static bool declarations(struct parse *p)
{
    while (is(p, p->at, "int")) {
        do {
            int name = ++p->at, depth = 0;
            if (name + 2 >= p->n || !is(p, name + 1, "=") || p->n_locals == MAX_LOCALS)
                return fail(p, "a declaration before the loops is not of the kind `int a = …;`");
            int from = p->at = name + 2;
            while (p->at < p->n && (depth > 0 || (!is(p, p->at, ",") && !is(p, p->at, ";"))))
                depth += is(p, p->at, "(") - is(p, p->at, ")"), p->at++;
            if (!expression(p, from, p->at, true, p->local[p->n_locals].value))
                return false;
            p->local[p->n_locals++].name = p->tok[name];
        } while (is(p, p->at, ","));
        p->at++;
    }
    p->prefix_end = p->at;
    return true;
}

/* for (int V = 0; V < e; V++) */
static bool loop_head(struct parse *p)
{
    int at = p->at, depth = 0;
    if (!is(p, at, "for") || !is(p, at + 1, "(") || !is(p, at + 2, "int") || !is(p, at + 4, "=") ||
        !is(p, at + 5, "0") || !is(p, at + 6, ";") || !is(p, at + 8, "<"))
        return fail(p, "it does not begin with loops of the kind `for (int i = 0; i < n; i++)`");
    if (p->n_loops == MAX_LOOPS)
        return fail(p, "too many loops stand in one another");
    struct loop *l = &p->loop[p->n_loops];
    l->name = p->tok[at + 3];
    int from = at + 9, to = from;
    while (to < p->n && (depth > 0 || !is(p, to, ";")))
        depth += is(p, to, "(") - is(p, to, ")"), to++;
    for (int k = 0; k < p->n_loops; k++)
        for (int i = from; i < to; i++)
            if (p->tok[i].len == p->loop[k].name.len && memcmp(p->tok[i].p, p->loop[k].name.p, p->tok[i].len) == 0)
                return fail(p, "an outer loop's index is the bound of an inner one");
    if (!expression(p, from, to, true, l->extent) || !expression(p, from, to, false, l->text))
        return false;
    if (!is(p, to + 2, "++") || !is(p, to + 3, ")")) {
        if (!is(p, to + 2, "+") || !is(p, to + 3, "+") || !is(p, to + 4, ")"))
            return fail(p, "a loop does not step by one");
        to++;
    }
    p->n_loops++;
    p->at = to + 4;
    return true;
}

/* Past the brackets that begin at i. */
static int skip_brackets(const struct parse *p, int i, const char *open, const char *close)
{
    int depth = 0;
    do {
        depth += is(p, i, open) - is(p, i, close);
        i++;
    } while (i < p->n && depth > 0);
    return i;
}

/* The statement at p->at must be the rest of the text. Loops that are no threads may stand before it. */
static bool statement(struct parse *p)
{
    int i = p->at;
    p->from = p->at;
    p->to = p->n;
    while (is(p, i, "for"))
        i = skip_brackets(p, i + 1, "(", ")");
    if (is(p, i, "{")) {
        const bool is_block = i == p->at;
        i = skip_brackets(p, i, "{", "}");
        p->from += is_block;
        p->to = i - is_block;
    } else if (is(p, i, "if")) {
        return fail(p, "a condition stands directly in a loop; put braces around it");
    } else {
        while (i < p->n && !is(p, i, ";"))
            i++;
        i++;
    }
    return i == p->n || fail(p, "something stands beside its first loop");
}

/* Outputs are assigned only. */
static bool writes_only(struct parse *p)
{
    for (int i = p->from; i < p->to; i++) {
        bool is_output = false;
        for (size_t a = 0; a < vt_task_n_arrays(p->task); a++)
            is_output |= p->tok[i].kind == VT_CTOKEN_NAME && vt_role_is_output(vt_task_array(p->task, a)->role) &&
                         vt_ctoken_is(&p->tok[i], vt_task_array(p->task, a)->name);
        if (!is_output)
            continue;
        int k = i + 1, depth = 0;
        do {
            depth += is(p, k, "[") - is(p, k, "]");
            k++;
        } while (k < p->to && depth > 0);
        if (!is(p, k, "=") || (is(p, k + 1, "=") && p->tok[k + 1].p == p->tok[k].p + 1))
            return fail(p, "it reads an output or adds to one");
    }
    return true;
}

static bool read_body(struct parse *p)
{
    struct vt_clexer l;
    struct vt_ctoken t;
    vt_clexer_init(&l, p->body, strlen(p->body));
    while ((t = vt_clexer_next(&l)).kind != VT_CTOKEN_END) {
        if (p->n == MAX_TOKENS || t.in_directive)
            return fail(p, "it is too long, or has a preprocessor line");
        p->tok[p->n++] = t;
    }
    if (!declarations(p) || !loop_head(p))
        return false;
    while (is(p, p->at, "for")) {
        const int before = p->at, n = p->n_loops;
        if (loop_head(p))
            continue;
        p->at = before;
        p->n_loops = n;
        p->why = NULL;
        break;
    }
    return statement(p) && writes_only(p);
}

/* ---- writing ---- */

static bool is_large(const vt_task *t)
{
    static const char *const scales[] = {"cpu", "search", "full", "hidden"};
    vt_layout l;
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++)
        if (vt_task_has_scale(t, scales[s]) && vt_task_layout(t, scales[s], &l, NULL) == VT_OK)
            for (size_t i = 0; i < l.n_arrays; i++)
                if (l.array[i].n_elem > INT32_MAX - 1024)
                    return true;
    return false;
}

/* The text between two tokens with `int` as wide as indices need. */
static void put_text(struct vt_buf *out, const struct parse *p, int from, int to, const char *integer)
{
    if (from >= to)
        return;
    const char *at = p->tok[from].p;
    while (at > p->body && (at[-1] == ' ' || at[-1] == '\t'))
        at--;
    for (int i = from; i < to; i++) {
        vt_buf_add(out, at, (size_t)(p->tok[i].p - at));
        if (vt_ctoken_is(&p->tok[i], "int"))
            vt_buf_puts(out, integer);
        else
            vt_buf_add(out, p->tok[i].p, p->tok[i].len);
        at = p->tok[i].p + p->tok[i].len;
    }
    vt_buf_putc(out, '\n');
}

static void put_names(struct vt_buf *out, const vt_task *t)
{
    const char *comma = "";
    for (size_t i = 0; i < vt_task_n_arrays(t); i++, comma = ", ")
        vt_buf_printf(out, "%s%s", comma, vt_task_array(t, i)->name);
    for (size_t i = 0; i < vt_task_n_scalars(t); i++)
        vt_buf_printf(out, ", %s", vt_task_scalar(t, i)->name);
    for (size_t i = 0; i < vt_task_n_sizes(t); i++)
        vt_buf_printf(out, ", %s", vt_task_size_name(t, i));
}

static void put_parameters(struct vt_buf *out, const vt_task *t)
{
    const char *comma = "";
    for (size_t i = 0; i < vt_task_n_arrays(t); i++, comma = ", ") {
        const struct vt_task_array *a = vt_task_array(t, i);
        vt_buf_printf(out, "%s%s%s *__restrict__ %s", comma, vt_role_is_output(a->role) ? "" : "const ",
                      vt_dtype_c_name(a->dtype), a->name);
    }
    for (size_t i = 0; i < vt_task_n_scalars(t); i++)
        vt_buf_printf(out, ", %s %s", vt_task_scalar(t, i)->is_int ? "int" : "float", vt_task_scalar(t, i)->name);
    for (size_t i = 0; i < vt_task_n_sizes(t); i++)
        vt_buf_printf(out, ", int %s", vt_task_size_name(t, i));
}

static void write_kernel(const struct parse *p, struct vt_buf *out)
{
    const vt_task *t = p->task;
    const char *integer = is_large(t) ? "long long" : "int";
    vt_buf_printf(out, "// launch %s grid(ceil_div(", vt_task_name(t));
    for (int i = 0; i < p->n_loops; i++)
        vt_buf_printf(out, "%s(%s)", i ? " * " : "", p->loop[i].extent);
    vt_buf_printf(out, ", %d)) block(%d) args(", BLOCK, BLOCK);
    put_names(out, t);
    vt_buf_printf(out, ")\nextern \"C\" __global__ void %s(", vt_task_name(t));
    put_parameters(out, t);
    vt_buf_puts(out, ")\n{\n");
    put_text(out, p, 0, p->prefix_end, integer);
    vt_buf_printf(out, "  %s thread = %sblockIdx.x * blockDim.x + threadIdx.x;\n", integer,
                  is_large(t) ? "(long long)" : "");
    vt_buf_puts(out, "  if (thread >= ");
    for (int i = 0; i < p->n_loops; i++)
        vt_buf_printf(out, "%s%s(%s)", i ? " * " : "", i == 0 && is_large(t) ? "(long long)" : "", p->loop[i].text);
    vt_buf_puts(out, ")\n    return;\n");
    for (int i = p->n_loops - 1; i >= 0; i--) {
        const struct loop *l = &p->loop[i];
        if (i == 0)
            vt_buf_printf(out, "  %s %.*s = thread;\n", integer, (int)l->name.len, l->name.p);
        else
            vt_buf_printf(out, "  %s %.*s = thread %% (%s);\n  thread /= (%s);\n", integer, (int)l->name.len, l->name.p,
                          l->text, l->text);
    }
    put_text(out, p, p->from, p->to, integer);
    vt_buf_puts(out, "}\n");
}

vt_status vt_cuda_from_c(const vt_task *t, struct vt_buf *out, vt_err *err)
{
    static _Thread_local struct vt_ctoken tokens[MAX_TOKENS];
    static _Thread_local struct parse p;
    p = (struct parse){.task = t, .body = vt_task_body(t), .tok = tokens};
    if (vt_task_helpers(t)[0])
        return vt_fail(err, VT_EUNSUPPORTED,
                       "task %s has no CUDA text, and none follows from its C body because it has helper functions; "
                       "give the task a field \"cuda\"",
                       vt_task_name(t));
    if (!read_body(&p))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "task %s has no CUDA text, and none follows from its C body: %s; give the task a field \"cuda\"",
                       vt_task_name(t), p.why);
    write_kernel(&p, out);
    return vt_buf_check(out, "the CUDA text of a task", err);
}
