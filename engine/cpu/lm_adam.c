/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_adam.c: gradients and the optimiser's step. A gradient is one array of fp32 laid out as the adapter's parameters.
 * Everything that walks it cuts it in fixed blocks, so that vector tails and partial sums are the same for any number
 * of threads. Runs on the model's thread, but for making and freeing.
 */
#include "cpu/lm_parts.h"
#include <math.h>
#include <stdlib.h>

enum { ADAM_BLOCK = 1 << 16 };

struct adam_work {
    struct vt_cpu *lm;
    struct vt_adapter *h;
    const float *grad;
    const struct vt_adam *o;
    double *squares; /* [block] */
    float grad_scale, c1, c2;
};

static size_t block_size(const struct adam_work *w, size_t begin)
{
    return w->h->n_params - begin < ADAM_BLOCK ? w->h->n_params - begin : ADAM_BLOCK;
}

static void squares_share(void *arg, int thread, int n_threads)
{
    const struct adam_work *w = arg;
    for (size_t i = (size_t)thread * ADAM_BLOCK; i < w->h->n_params; i += (size_t)n_threads * ADAM_BLOCK)
        w->squares[i / ADAM_BLOCK] = w->lm->k->sum_squares(block_size(w, i), w->grad + i);
}

static void adam_share(void *arg, int thread, int n_threads)
{
    const struct adam_work *w = arg;
    struct vt_adapter *h = w->h;
    for (size_t i = (size_t)thread * ADAM_BLOCK; i < h->n_params; i += (size_t)n_threads * ADAM_BLOCK)
        w->lm->k->adam(block_size(w, i), h->params + i, w->grad + i, h->m + i, h->v + i, w->o, w->grad_scale, w->c1,
                       w->c2);
}

static vt_status gradient_norm(struct adam_work *w, double *norm, vt_err *err)
{
    const size_t n = w->h->n_params / ADAM_BLOCK + 1;
    double sum = 0;
    w->squares = vt_alloc_array(n, sizeof *w->squares);
    if (!w->squares)
        return vt_fail(err, VT_ENOMEM, "out of memory for the norm of %zu gradients", w->h->n_params);
    vt_pool_run(w->lm->pool, squares_share, w);
    for (size_t i = 0; i < n; i++)
        sum += w->squares[i];
    free(w->squares);
    *norm = sqrt(sum);
    return VT_OK;
}

static vt_status ensure_moments(struct vt_cpu *lm, struct vt_adapter *h, vt_err *err)
{
    if (h->m && h->v)
        return VT_OK;
    const uint64_t bytes = (uint64_t)h->n_params * 2 * sizeof(float);
    VT_TRY(vt_cpu_reserve(lm, bytes, "Adam's moments", err));
    float *m = vt_alloc_array(h->n_params, sizeof *m), *v = vt_alloc_array(h->n_params, sizeof *v);
    if (!m || !v) {
        free(m);
        free(v);
        vt_cpu_release(lm, bytes);
        return vt_fail(err, VT_ENOMEM, "out of memory for the moments of %zu parameters", h->n_params);
    }
    h->m = m;
    h->v = v;
    h->step = 0;
    vt_cpu_keep(lm, VT_CPU_ADAPTERS, bytes, 0);
    return VT_OK;
}

vt_status vt_cpu_adam(void *be, struct vt_lm_adapter *adapter, const vt_lm_grad *g, const struct vt_adam *o,
                      double *norm, vt_err *err)
{
    struct vt_cpu *lm = be;
    struct vt_cpu_adapter *a = vt_cpu_adapter_of(adapter);
    struct vt_adapter *h = a->host;
    struct adam_work w = {.lm = lm, .h = h, .grad = g->impl, .o = o, .grad_scale = 1};
    VT_TRY(gradient_norm(&w, norm, err));
    if (!isfinite(*norm))
        return vt_fail(err, VT_EINVAL,
                       "the gradient is not finite, so the adapter was left as it is; look at the weights and rewards");
    VT_TRY(ensure_moments(lm, h, err));
    h->step++;
    if (o->grad_clip > 0 && *norm > (double)o->grad_clip)
        w.grad_scale = (float)((double)o->grad_clip / (*norm + 1e-6));
    w.c1 = (float)(1 - pow((double)o->beta1, (double)h->step));
    w.c2 = (float)(1 - pow((double)o->beta2, (double)h->step));
    vt_pool_run(lm->pool, adam_share, &w);
    a->is_fresh = a->is_back_fresh = false;
    return VT_OK;
}

/* --- gradients --- */

static size_t grad_bytes(const vt_lm_grad *g)
{
    return g->shape.n_params * sizeof(float);
}

vt_status vt_cpu_grad_new(void *be, vt_lm_grad *g, vt_err *err)
{
    return vt_cpu_take_zeroed(be, grad_bytes(g), "the gradient", &g->impl, err);
}

void vt_cpu_grad_free(void *be, vt_lm_grad *g)
{
    vt_cpu_give(be, g->impl, grad_bytes(g));
}

vt_status vt_cpu_grad_read(void *be, const vt_lm_grad *g, float *out, vt_err *err)
{
    (void)be;
    (void)err;
    memcpy(out, g->impl, grad_bytes(g));
    return VT_OK;
}

vt_status vt_cpu_grad_copy(void *be, vt_lm_grad *to, void *of, const vt_lm_grad *from, vt_err *err)
{
    (void)be;
    (void)of;
    (void)err;
    memcpy(to->impl, from->impl, grad_bytes(from));
    return VT_OK;
}

struct pair_work {
    struct vt_cpu *lm;
    size_t n;
    const float *a, *b;
    float *into;
    double *dots; /* [block] */
};

static void add_share(void *arg, int thread, int n_threads)
{
    const struct pair_work *w = arg;
    for (size_t i = (size_t)thread * ADAM_BLOCK; i < w->n; i += (size_t)n_threads * ADAM_BLOCK)
        w->lm->k->add((int)(w->n - i < ADAM_BLOCK ? w->n - i : ADAM_BLOCK), w->a + i, w->into + i);
}

vt_status vt_cpu_grad_add(void *be, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err)
{
    struct vt_cpu *lm = be;
    struct pair_work w = {.lm = lm, .n = g->shape.n_params, .a = g->impl, .into = into->impl};
    (void)err;
    vt_pool_run(lm->pool, add_share, &w);
    return VT_OK;
}

static void dot_share(void *arg, int thread, int n_threads)
{
    const struct pair_work *w = arg;
    for (size_t i = (size_t)thread * ADAM_BLOCK; i < w->n; i += (size_t)n_threads * ADAM_BLOCK) {
        const size_t end = w->n - i < ADAM_BLOCK ? w->n : i + ADAM_BLOCK;
        double sum = 0;
        for (size_t k = i; k < end; k++)
            sum += (double)w->a[k] * (double)w->b[k];
        w->dots[i / ADAM_BLOCK] = sum;
    }
}

vt_status vt_cpu_grad_dot(void *be, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err)
{
    struct vt_cpu *lm = be;
    const size_t n = a->shape.n_params, n_blocks = n / ADAM_BLOCK + 1;
    struct pair_work w = {.lm = lm, .n = n, .a = a->impl, .b = b->impl};
    w.dots = vt_alloc_array(n_blocks, sizeof *w.dots);
    if (!w.dots)
        return vt_fail(err, VT_ENOMEM, "out of memory for the product of two gradients of %zu parameters", n);
    vt_pool_run(lm->pool, dot_share, &w);
    *dot = 0;
    for (size_t i = 0; i < n_blocks; i++)
        *dot += w.dots[i];
    free(w.dots);
    return VT_OK;
}
