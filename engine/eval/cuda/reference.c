/* SPDX-License-Identifier: Apache-2.0
 *
 * reference.c: the texts of a task for the cuda tier.
 *
 * The truth's unit is the reference itself, changed in two places only: its kernels become functions of the device
 * whose array parameters are the stand-ins of device/sink.cuh, and `float` and `double` mean the value-and-error type.
 * Which parameter is an input, an output or scratch the launch plan says, by position. For each launch a kernel of ours
 * builds the stand-ins, calls the function and adds up what the outputs found.
 */
#include "eval/cuda/reference.h"
#include "base/embedded.h"
#include "eval/ctext.h"
#include "eval/cuda/from_c.h"
#include "eval/truth_prelude.h"
#include <string.h>

enum { MAX_TEXT = 1 << 20 };

extern const struct vt_embedded vt_cuda_device_text[];

vt_status vt_cuda_reference(const vt_task *t, struct vt_buf *out, vt_err *err)
{
    vt_buf_init(out, MAX_TEXT);
    for (size_t i = 0; i < vt_task_n_arrays(t); i++)
        if (vt_task_unit(t) || vt_task_array(t, i)->dtype > VT_U8)
            return vt_fail(
                err, VT_EUNSUPPORTED,
                "task %s is a function of a C file or has arrays of a type that the cuda tier does not know; "
                "use --tier c",
                vt_task_name(t));
    if (!vt_task_cuda(t))
        return vt_cuda_from_c(t, out, err);
    vt_buf_puts(out, vt_task_cuda(t));
    return vt_buf_check(out, "the CUDA text of a task", err);
}

static void put_device(struct vt_buf *out, const char *name)
{
    for (const struct vt_embedded *e = vt_cuda_device_text; e->name; e++)
        if (strcmp(e->name, name) == 0)
            vt_buf_add(out, e->text, e->len);
}

vt_status vt_cuda_kernels_unit(struct vt_buf *out, vt_err *err)
{
    vt_buf_init(out, MAX_TEXT);
    put_device(out, "shared.cuh");
    put_device(out, "judge.cuh");
    put_device(out, "kernels.cuh");
    return vt_buf_check(out, "the text of the evaluator's kernels", err);
}

vt_status vt_cuda_candidate_unit(const char *text, size_t len, struct vt_buf *out, vt_err *err)
{
    vt_buf_init(out, MAX_TEXT);
    put_device(out, "candidate.cuh");
    vt_buf_add(out, text, len);
    vt_buf_putc(out, '\n');
    return vt_buf_check(out, "a candidate's text", err);
}

/* ---- truth ---- */

/* The first launch of a kernel; NULL: it is not launched. *is_mixed: launches give a parameter different meanings. */
static const struct vt_plan_launch *launch_of(const vt_task *t, const struct vt_launch_plan *p,
                                              const struct vt_ctoken *name, bool *is_mixed)
{
    const struct vt_plan_launch *first = NULL;
    for (unsigned i = 0; i < p->n_launches; i++) {
        const struct vt_plan_launch *l = &p->launch[i];
        if (!vt_ctoken_is(name, l->kernel))
            continue;
        for (unsigned k = 0; first && k < l->n_args && k < first->n_args; k++)
            *is_mixed |=
                l->arg[k].kind != first->arg[k].kind ||
                (l->arg[k].kind == VT_ARG_ARRAY && vt_role_is_output(vt_task_array(t, l->arg[k].index)->role) !=
                                                       vt_role_is_output(vt_task_array(t, first->arg[k].index)->role));
        *is_mixed |= first && l->n_args != first->n_args;
        first = first ? first : l;
    }
    return first;
}

struct rewriter {
    const vt_task *task;
    const struct vt_launch_plan *plan;
    struct vt_clexer lexer;
    struct vt_ctoken t;
    const char *copied; /* the source up to here is in out */
    struct vt_buf *out;
};

static void advance(struct rewriter *r)
{
    r->t = vt_clexer_next(&r->lexer);
}

static void copy_to(struct rewriter *r, const char *end)
{
    vt_buf_add(r->out, r->copied, (size_t)(end - r->copied));
    r->copied = end;
}

static void put_stand_in(struct vt_buf *out, const struct vt_task_array *a, const struct vt_ctoken *name)
{
    const char *type = a->dtype == VT_F32 ? "vt_f32" : vt_dtype_c_name(a->dtype);
    vt_buf_printf(out, "%s<%s> %.*s", vt_role_is_output(a->role) ? "vt_out" : "vt_in", type, (int)name->len, name->p);
}

/* The parameters behind `(`, which is the current token. */
static bool rewrite_parameters(struct rewriter *r, const struct vt_plan_launch *l)
{
    unsigned n = 0;
    copy_to(r, r->t.p + 1);
    advance(r);
    while (!vt_ctoken_is(&r->t, ")")) {
        struct vt_ctoken last = r->t;
        if (r->t.kind == VT_CTOKEN_END || n == l->n_args)
            return false;
        for (; !vt_ctoken_is(&r->t, ",") && !vt_ctoken_is(&r->t, ")"); advance(r)) {
            if (r->t.kind == VT_CTOKEN_END)
                return false;
            last = r->t;
        }
        const struct vt_plan_arg *arg = &l->arg[n++];
        if (arg->kind == VT_ARG_ARRAY) {
            put_stand_in(r->out, vt_task_array(r->task, arg->index), &last);
            r->copied = r->t.p;
        }
        if (vt_ctoken_is(&r->t, ",")) {
            copy_to(r, r->t.p + 1);
            advance(r);
        }
    }
    return n == l->n_args;
}

/* The reference with its kernels as functions. */
static vt_status rewrite(struct rewriter *r, const char *source, vt_err *err)
{
    const char *name = vt_task_name(r->task);
    vt_clexer_init(&r->lexer, source, strlen(source));
    r->copied = source;
    advance(r);
    while (r->t.kind != VT_CTOKEN_END) {
        bool is_mixed = false;
        if (vt_ctoken_is(&r->t, "extern")) {
            copy_to(r, r->t.p);
            advance(r);
            if (r->t.kind == VT_CTOKEN_STRING) {
                r->copied = r->t.p + r->t.len;
                advance(r);
            }
        }
        if (!vt_ctoken_is(&r->t, "__global__")) {
            advance(r);
            continue;
        }
        copy_to(r, r->t.p);
        vt_buf_puts(r->out, "static __device__");
        r->copied = r->t.p + r->t.len;
        struct vt_ctoken before = r->t;
        while (!vt_ctoken_is(&r->t, "(") && r->t.kind != VT_CTOKEN_END) {
            before = r->t;
            advance(r);
        }
        const struct vt_plan_launch *l = launch_of(r->task, r->plan, &before, &is_mixed);
        if (is_mixed || (l && !rewrite_parameters(r, l)))
            return vt_fail(err, VT_EFORMAT,
                           "task %s: the parameters of kernel %.*s do not fit the launches of its CUDA text", name,
                           (int)before.len, before.p);
    }
    copy_to(r, source + strlen(source));
    return VT_OK;
}

static void put_launch(const vt_task *t, const struct vt_plan_launch *l, unsigned number, struct vt_buf *out)
{
    vt_buf_printf(out, "extern \"C\" __global__ void vt_truth_%u(const struct vt_dev_sink *s", number);
    for (unsigned i = 0; i < l->n_args; i++) {
        const struct vt_plan_arg *a = &l->arg[i];
        if (a->kind == VT_ARG_ARRAY && vt_role_is_output(vt_task_array(t, a->index)->role))
            vt_buf_printf(out, ", int a%u", i);
        else if (a->kind == VT_ARG_ARRAY)
            vt_buf_printf(out, ", const %s *a%u", vt_dtype_c_name(vt_task_array(t, a->index)->dtype), i);
        else if (a->kind == VT_ARG_SCRATCH)
            vt_buf_printf(out, ", void *a%u", i);
        else
            vt_buf_printf(out, ", %s a%u",
                          a->kind == VT_ARG_SIZE || vt_task_scalar(t, a->index)->is_int ? "int" : "float", i);
    }
    vt_buf_printf(out, ")\n{\n    struct vt_stats st = {0, 0, 0, 0};\n    %s(", l->kernel);
    for (unsigned i = 0; i < l->n_args; i++) {
        const struct vt_plan_arg *a = &l->arg[i];
        const struct vt_task_array *array = a->kind == VT_ARG_ARRAY ? vt_task_array(t, a->index) : NULL;
        const char *type = !array ? "" : array->dtype == VT_F32 ? "vt_f32" : vt_dtype_c_name(array->dtype);
        vt_buf_puts(out, i ? ", " : "");
        if (array && vt_role_is_output(array->role))
            vt_buf_printf(out, "vt_out<%s>{s, &st, a%u}", type, i);
        else if (array)
            vt_buf_printf(out, "vt_in<%s>{a%u}", type, i);
        else if (a->kind == VT_ARG_SCRATCH)
            vt_buf_printf(out, "vt_any{a%u}", i);
        else if (a->kind == VT_ARG_SCALAR && !vt_task_scalar(t, a->index)->is_int)
            vt_buf_printf(out, "vt_real(a%u)", i);
        else
            vt_buf_printf(out, "a%u", i);
    }
    vt_buf_puts(out, ");\n    vt_flush(&st, (struct vt_dev_tally *)s->tally);\n}\n");
}

vt_status vt_cuda_truth_unit(const vt_task *t, const char *reference, const struct vt_launch_plan *plan,
                             struct vt_buf *out, vt_err *err)
{
    struct rewriter r = {.task = t, .plan = plan, .out = out};
    vt_buf_init(out, MAX_TEXT);
    put_device(out, "shared.cuh");
    put_device(out, "judge.cuh");
    put_device(out, "compat.cuh");
    vt_buf_puts(out, "#define abs vt_c_abs\n");
    for (int i = 0; i < VT_TRUTH_N_TYPE; i++)
        vt_buf_puts(out, vt_truth_prelude[i]);
    vt_buf_puts(out, "#undef abs\n");
    put_device(out, "sink.cuh");
    vt_buf_puts(out, "#define float vt_real\n#define double vt_real\n#define restrict __restrict__\n"
                     "#line 1 \"task.cu\"\n");
    VT_TRY(rewrite(&r, reference, err));
    vt_buf_puts(out, "\n#undef float\n#undef double\n");
    for (unsigned i = 0; i < plan->n_launches; i++)
        put_launch(t, &plan->launch[i], i, out);
    return vt_buf_check(out, "the text of a task's truth", err);
}
