/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_grad.c: gradients as handles, and the optimiser's step. The numbers stay with the backend, where the adapter is;
 * callers add, compare and apply them by name. Every call that computes runs on the model's thread in its turn
 * (vt_lm_call), so a backend sees one at a time.
 */
#include "base/alloc.h"
#include "model/lm_door.h"
#include <math.h>
#include <stdlib.h>

vt_status vt_lm_grad_new(vt_lm *lm, const struct vt_lm_adapter *a, vt_lm_grad **out, vt_err *err)
{
    vt_lm_grad *g = *out = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "out of memory for a gradient");
    g->shape = a->shape;
    vt_status status = lm->ops->grad_new(lm->be, g, err);
    if (status != VT_OK) {
        free(g);
        *out = NULL;
    }
    return status;
}

void vt_lm_grad_free(vt_lm *lm, vt_lm_grad *g)
{
    if (!g)
        return;
    lm->ops->grad_free(lm->be, g);
    free(g);
}

struct pair {
    vt_lm *lm;
    vt_lm_grad *into;
    const vt_lm_grad *a, *b;
    double dot;
    float *values;
};

static vt_status run_add(void *arg, vt_err *err)
{
    const struct pair *p = arg;
    VT_TRY(vt_lm_check_grad(p->into, &p->into->shape, "the gradient to add to", err));
    VT_TRY(vt_lm_check_grad(p->a, &p->into->shape, "the gradient to add", err));
    vt_status status = p->lm->ops->grad_add(p->lm->be, p->into, p->a, err);
    p->into->is_poisoned = status != VT_OK;
    return status;
}

vt_status vt_lm_grad_add(vt_lm *lm, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err)
{
    struct pair p = {.lm = lm, .into = into, .a = g};
    return vt_lm_call(lm, run_add, &p, err);
}

static vt_status run_dot(void *arg, vt_err *err)
{
    struct pair *p = arg;
    VT_TRY(vt_lm_check_grad(p->a, &p->a->shape, "the first gradient", err));
    VT_TRY(vt_lm_check_grad(p->b, &p->a->shape, "the second gradient", err));
    return p->lm->ops->grad_dot(p->lm->be, p->a, p->b, &p->dot, err);
}

vt_status vt_lm_grad_dot(vt_lm *lm, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err)
{
    struct pair p = {.lm = lm, .a = a, .b = b, .dot = (double)NAN};
    vt_status status = vt_lm_call(lm, run_dot, &p, err);
    *dot = p.dot;
    return status;
}

vt_status vt_lm_grad_cosine(vt_lm *lm, const vt_lm_grad *a, const vt_lm_grad *b, double *out, vt_err *err)
{
    double aa, bb, ab;
    *out = (double)NAN;
    VT_TRY(vt_lm_grad_dot(lm, a, b, &ab, err));
    VT_TRY(vt_lm_grad_dot(lm, a, a, &aa, err));
    VT_TRY(vt_lm_grad_dot(lm, b, b, &bb, err));
    *out = ab / sqrt(aa * bb);
    return VT_OK;
}

static vt_status run_read(void *arg, vt_err *err)
{
    const struct pair *p = arg;
    VT_TRY(vt_lm_check_grad(p->a, &p->a->shape, "the gradient", err));
    return p->lm->ops->grad_read(p->lm->be, p->a, p->values, err);
}

vt_status vt_lm_grad_read(vt_lm *lm, const vt_lm_grad *g, float **out, size_t *n, vt_err *err)
{
    struct pair p = {.lm = lm, .a = g, .values = vt_alloc_array(g->shape.n_params, sizeof(float))};
    *out = NULL;
    *n = g->shape.n_params;
    if (!p.values)
        return vt_fail(err, VT_ENOMEM, "out of memory for a gradient of %zu parameters", *n);
    vt_status status = vt_lm_call(lm, run_read, &p, err);
    if (status != VT_OK) {
        free(p.values);
        return status;
    }
    *out = p.values;
    return VT_OK;
}

struct step {
    vt_lm *lm;
    int id;
    const vt_lm_grad *grad;
    const struct vt_adam *o;
    double norm;
};

static vt_status run_adam(void *arg, vt_err *err)
{
    struct step *s = arg;
    struct vt_lm_adapter *a;
    VT_TRY(vt_lm_adapter_seize(s->lm, s->id, &a, err));
    vt_status status = vt_lm_check_grad(s->grad, &a->shape, "the gradient that Adam is given", err);
    if (status == VT_OK)
        status = s->lm->ops->adam(s->lm->be, a, s->grad, s->o, &s->norm, err);
    vt_lm_adapter_release(s->lm, a);
    return status;
}

vt_status vt_lm_adam(vt_lm *lm, int id, const vt_lm_grad *grad, const struct vt_adam *o, double *norm, vt_err *err)
{
    struct step s = {.lm = lm, .id = id, .grad = grad, .o = o};
    *norm = 0;
    VT_TRY(vt_lm_check_adam(o, err));
    vt_status status = vt_lm_call(lm, run_adam, &s, err);
    *norm = s.norm;
    return status;
}
