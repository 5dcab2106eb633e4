/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_adapter.c: LoRA adapters of the backend (Hu et al. 2021): y = W x + (alpha / r) B (A x), never merged into W.
 *
 * An adapter is its fp32 master (vt_adapter) plus packed copies of every A and B, rounded once, which sampler, scorer
 * and trainer all read: this is what makes the trainer's logprobs the sampler's. The transposes that the backward
 * needs are packed at the first training job after a change. References are counted: the id holds one, and so does
 * each group, tape and running job, so dropping an id never frees what somebody still reads.
 */
#include "cpu/lm_parts.h"
#include <math.h>
#include <stdlib.h>

static size_t n_modules(const vt_lm *lm)
{
    return (size_t)lm->cfg.n_layers * VT_N_LINEAR + 1;
}

static enum vt_layout layout_of(const vt_lm *lm)
{
    return lm->prec == VT_LM_F32 ? VT_LAYOUT_F32 : VT_LAYOUT_BF16;
}

static bool module_at(const vt_lm *lm, const struct vt_adapter *h, size_t i, enum vt_target *target, size_t *a,
                      size_t *b)
{
    int layer = (int)(i / VT_N_LINEAR);
    *target = layer < lm->cfg.n_layers ? (enum vt_target)(i % VT_N_LINEAR) : VT_LORA_UNEMBED;
    return vt_adapter_at(h, layer, *target, a, b);
}

static size_t pad(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Packs A and B (is_back: their transposes) of every n_threads-th module into memory; NULL only measures. */
static size_t pack_modules(const vt_lm *lm, struct vt_lm_adapter *a, unsigned char *memory, bool is_back, int thread,
                           int n_threads)
{
    const int r = a->host->rank;
    const enum vt_layout layout = layout_of(lm);
    size_t at = 0;
    for (size_t i = 0; i < n_modules(lm); i++) {
        enum vt_target target;
        size_t a_off, b_off;
        int d_out, d_in;
        if (!module_at(lm, a->host, i, &target, &a_off, &b_off))
            continue;
        vt_adapter_dims(&lm->cfg, target, &d_out, &d_in);
        size_t size_a = is_back ? vt_matrix_bytes(layout, d_in, r) : vt_matrix_bytes(layout, r, d_in);
        size_t size_b = is_back ? vt_matrix_bytes(layout, r, d_out) : vt_matrix_bytes(layout, d_out, r);
        if (memory && (int)(i % (size_t)n_threads) == thread) {
            const float *pa = a->host->params + a_off, *pb = a->host->params + b_off;
            struct vt_lm_lora *m = &a->lora[i];
            if (is_back) {
                vt_matrix_pack_f32(layout, d_in, r, pa, 1, (size_t)d_in, memory + at, &m->a_t);
                vt_matrix_pack_f32(layout, r, d_out, pb, 1, (size_t)r, memory + at + pad(size_a), &m->b_t);
            } else {
                vt_matrix_pack_f32(layout, r, d_in, pa, (size_t)d_in, 1, memory + at, &m->a);
                vt_matrix_pack_f32(layout, d_out, r, pb, (size_t)r, 1, memory + at + pad(size_a), &m->b);
            }
        }
        at += pad(size_a) + pad(size_b);
    }
    return at;
}

static size_t packed_bytes(const vt_lm *lm, struct vt_lm_adapter *a, bool is_back)
{
    return pack_modules(lm, a, NULL, is_back, 0, 1);
}

struct packing {
    const vt_lm *lm;
    struct vt_lm_adapter *a;
    bool is_back;
};

static void pack_share(void *arg, int thread, int n_threads)
{
    const struct packing *p = arg;
    (void)pack_modules(p->lm, p->a, p->is_back ? p->a->packed_back : p->a->packed, p->is_back, thread, n_threads);
}

static void pack(const vt_lm *lm, struct vt_lm_adapter *a, bool is_back)
{
    struct packing p = {lm, a, is_back};
    vt_pool_run(lm->pool, pack_share, &p);
}

static void destroy(vt_lm *lm, struct vt_lm_adapter *a)
{
    if (!a)
        return;
    uint64_t bytes = a->bytes;
    vt_adapter_free(a->host);
    free(a->lora);
    free(a->packed);
    free(a->packed_back);
    free(a);
    vt_lm_release(lm, bytes);
}

static uint64_t host_bytes(const struct vt_adapter *h)
{
    return (uint64_t)h->n_params * sizeof(float) * (h->m ? 3 : 1);
}

static vt_status check_shape(const vt_lm *lm, const struct vt_adapter *h, vt_err *err)
{
    const struct vt_lm_config *a = &h->cfg, *b = &lm->cfg;
    if (a->n_layers != b->n_layers || a->d_model != b->d_model || a->d_ff != b->d_ff || a->n_heads != b->n_heads ||
        a->n_kv_heads != b->n_kv_heads || a->head_dim != b->head_dim || a->n_vocab != b->n_vocab)
        return vt_fail(
            err, VT_EINVAL,
            "the adapter was made for a model of %d layers, width %d and %d tokens, this one has %d, %d and %d; use an "
            "adapter of this model",
            a->n_layers, a->d_model, a->n_vocab, b->n_layers, b->d_model, b->n_vocab);
    if (h->rank < 1 || h->rank > 1024)
        return vt_fail(err, VT_EINVAL, "the adapter's rank is %d; ranks 1 to 1024 are possible", h->rank);
    for (size_t i = 0; i < h->n_params; i++)
        if (!isfinite(h->params[i]))
            return vt_fail(err, VT_EINVAL,
                           "the adapter holds a NaN or infinite value at parameter %zu; it cannot be used", i);
    return VT_OK;
}

/* Registers a (owned from here on) under a new id. */
static vt_status insert(vt_lm *lm, struct vt_lm_adapter *a, int *id, vt_err *err)
{
    vt_status status = VT_OK;
    pthread_mutex_lock(&lm->lock);
    int n = lm->n_adapters, at = 0;
    while (at < n && lm->adapters[at])
        at++;
    if (at == n) {
        struct vt_lm_adapter **grown = vt_realloc_array(lm->adapters, (size_t)n * 2 + 8, sizeof *grown);
        if (!grown) {
            status = vt_fail(err, VT_ENOMEM, "out of memory for the list of %d adapters", n + 1);
        } else {
            memset(grown + n, 0, ((size_t)n + 8) * sizeof *grown);
            lm->adapters = grown;
            lm->n_adapters = n * 2 + 8;
        }
    }
    if (status == VT_OK) {
        a->id = ++lm->next_adapter;
        a->refs = 1;
        lm->adapters[at] = a;
        *id = a->id;
        if (a->host->rank > lm->max_rank)
            lm->max_rank = a->host->rank;
    }
    pthread_mutex_unlock(&lm->lock);
    return status;
}

vt_status vt_lm_adapter_put(vt_lm *lm, const struct vt_adapter *h, int *id, vt_err *err)
{
    *id = 0;
    VT_TRY(check_shape(lm, h, err));
    struct vt_lm_adapter probe = {.host = (struct vt_adapter *)(uintptr_t)h};
    size_t packed = packed_bytes(lm, &probe, false);
    uint64_t bytes = host_bytes(h) + packed;
    VT_TRY(vt_lm_reserve(lm, bytes, "the adapter's values and packed copies", err));
    struct vt_lm_adapter *a = vt_alloc(sizeof *a);
    if (!a) {
        vt_lm_release(lm, bytes);
        return vt_fail(err, VT_ENOMEM, "out of memory for an adapter");
    }
    a->bytes = bytes;
    a->scale = h->alpha / (float)h->rank;
    vt_status status = vt_adapter_clone(h, &a->host, err);
    if (status == VT_OK) {
        a->lora = vt_alloc_array(n_modules(lm), sizeof *a->lora);
        a->packed = vt_alloc_aligned(64, packed ? packed : 64);
        if (!a->lora || !a->packed)
            status = vt_fail(err, VT_ENOMEM, "out of memory for an adapter of %zu parameters", h->n_params);
    }
    if (status == VT_OK) {
        pack(lm, a, false);
        status = insert(lm, a, id, err);
    }
    if (status != VT_OK)
        destroy(lm, a);
    return status;
}

static struct vt_lm_adapter *find(vt_lm *lm, int id)
{
    for (int i = 0; i < lm->n_adapters; i++)
        if (lm->adapters[i] && lm->adapters[i]->id == id)
            return lm->adapters[i];
    return NULL;
}

vt_status vt_lm_adapter_ref(vt_lm *lm, int id, struct vt_lm_adapter **out, vt_err *err)
{
    *out = NULL;
    if (id == 0)
        return VT_OK;
    pthread_mutex_lock(&lm->lock);
    *out = find(lm, id);
    if (*out)
        (*out)->refs++;
    pthread_mutex_unlock(&lm->lock);
    return *out ? VT_OK : vt_fail(err, VT_EINVAL, "there is no adapter %d; put it first or use 0 for the base", id);
}

void vt_lm_adapter_unref(vt_lm *lm, struct vt_lm_adapter *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&lm->lock);
    bool is_last = --a->refs == 0;
    pthread_mutex_unlock(&lm->lock);
    if (is_last)
        destroy(lm, a);
}

void vt_lm_adapter_drop(vt_lm *lm, int id)
{
    struct vt_lm_adapter *a = NULL;
    pthread_mutex_lock(&lm->lock);
    for (int i = 0; i < lm->n_adapters; i++) {
        if (!lm->adapters[i] || lm->adapters[i]->id != id)
            continue;
        a = lm->adapters[i];
        lm->adapters[i] = NULL;
    }
    pthread_mutex_unlock(&lm->lock);
    vt_lm_adapter_unref(lm, a);
}

vt_status vt_lm_adapter_get(vt_lm *lm, int id, struct vt_adapter **out, vt_err *err)
{
    *out = NULL;
    if (id == 0)
        return vt_fail(err, VT_EINVAL, "adapter 0 is the base model and has no values to get");
    struct vt_lm_adapter *a;
    VT_TRY(vt_lm_adapter_ref(lm, id, &a, err));
    vt_status status = vt_adapter_clone(a->host, out, err);
    vt_lm_adapter_unref(lm, a);
    return status;
}

vt_status vt_lm_adapter_clone(vt_lm *lm, int id, int *out, vt_err *err)
{
    *out = 0;
    if (id == 0)
        return vt_fail(err, VT_EINVAL, "adapter 0 is the base model and cannot be cloned");
    struct vt_lm_adapter *a;
    VT_TRY(vt_lm_adapter_ref(lm, id, &a, err));
    vt_status status = vt_lm_adapter_put(lm, a->host, out, err);
    vt_lm_adapter_unref(lm, a);
    return status;
}

const struct vt_lm_lora *vt_lm_lora_of(const vt_lm *lm, const struct vt_lm_adapter *a, int layer, int target)
{
    if (!a)
        return NULL;
    size_t i = layer < lm->cfg.n_layers ? (size_t)layer * VT_N_LINEAR + (size_t)target : n_modules(lm) - 1;
    return a->lora[i].a.data ? &a->lora[i] : NULL;
}

vt_status vt_lm_adapter_pack_back(vt_lm *lm, struct vt_lm_adapter *a, vt_err *err)
{
    if (a->is_back_fresh)
        return VT_OK;
    if (!a->packed_back) {
        size_t bytes = packed_bytes(lm, a, true);
        VT_TRY(vt_lm_reserve(lm, bytes, "the adapter's transposed copies", err));
        a->packed_back = vt_alloc_aligned(64, bytes ? bytes : 64);
        if (!a->packed_back) {
            vt_lm_release(lm, bytes);
            return vt_fail(err, VT_ENOMEM, "out of memory for the adapter's transposed copies");
        }
        a->bytes += bytes;
    }
    pack(lm, a, true);
    a->is_back_fresh = true;
    return VT_OK;
}

/* The parameters are cut in fixed blocks, so that vector tails and partial sums are the same for any number of threads.
 */
enum { ADAM_BLOCK = 1 << 16 };

struct adam_work {
    vt_lm *lm;
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

static vt_status ensure_moments(vt_lm *lm, struct vt_lm_adapter *a, vt_err *err)
{
    struct vt_adapter *h = a->host;
    if (h->m && h->v)
        return VT_OK;
    uint64_t bytes = (uint64_t)h->n_params * 2 * sizeof(float);
    VT_TRY(vt_lm_reserve(lm, bytes, "Adam's moments", err));
    a->bytes += bytes;
    h->m = vt_alloc_array(h->n_params, sizeof(float));
    h->v = vt_alloc_array(h->n_params, sizeof(float));
    if (!h->m || !h->v) {
        free(h->m);
        free(h->v);
        h->m = h->v = NULL;
        return vt_fail(err, VT_ENOMEM, "out of memory for the moments of %zu parameters", h->n_params);
    }
    h->step = 0;
    return VT_OK;
}

static vt_status step(vt_lm *lm, struct vt_lm_adapter *a, const float *grad, const struct vt_adam *o, double *norm,
                      vt_err *err)
{
    struct vt_adapter *h = a->host;
    struct adam_work w = {.lm = lm, .h = h, .grad = grad, .o = o, .grad_scale = 1};
    VT_TRY(gradient_norm(&w, norm, err));
    if (!isfinite(*norm))
        return vt_fail(err, VT_EINVAL,
                       "the gradient is not finite, so the adapter was left as it is; look at the weights and rewards");
    VT_TRY(ensure_moments(lm, a, err));
    h->step++;
    if (o->grad_clip > 0 && *norm > (double)o->grad_clip)
        w.grad_scale = (float)((double)o->grad_clip / (*norm + 1e-6));
    w.c1 = (float)(1 - pow((double)o->beta1, (double)h->step));
    w.c2 = (float)(1 - pow((double)o->beta2, (double)h->step));
    vt_pool_run(lm->pool, adam_share, &w);
    pack(lm, a, false);
    a->is_back_fresh = false;
    return VT_OK;
}

vt_status vt_lm_adam(vt_lm *lm, int id, const float *grad, const struct vt_adam *o, double *norm, vt_err *err)
{
    *norm = 0;
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1 && o->eps >= 0 && o->lr >= 0))
        return vt_fail(err, VT_EINVAL,
                       "Adam needs 0 <= beta < 1 and lr, eps >= 0; got lr %g, beta1 %g, beta2 %g, eps %g",
                       (double)o->lr, (double)o->beta1, (double)o->beta2, (double)o->eps);
    if (id == 0)
        return vt_fail(err, VT_EINVAL, "adapter 0 is the base model, which is frozen");
    struct vt_lm_adapter *a;
    VT_TRY(vt_lm_adapter_ref(lm, id, &a, err));
    vt_status status = step(lm, a, grad, o, norm, err);
    vt_lm_adapter_unref(lm, a);
    return status;
}
