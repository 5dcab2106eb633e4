/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_adapter.c: LoRA adapters on the device (Hu et al. 2021), never merged into the weights; gradients; Adam.
 *
 * An adapter is its fp32 masters plus bf16 copies packed by product: q, k, v share one, gate and up another, so the
 * values A x of a product's modules come out of one product and go back into one. The copies are what sampler, scorer
 * and trainer read; the model's thread packs them before the first job that reads them, and again after Adam. Storage
 * operations, from any thread, use a stream of their own and return when it is done.
 */
#include "cuda/cuda_parts.h"
#include <math.h>
#include <stdlib.h>

enum { ALIGN_ELEMENTS = 128, RANK_STEP = 16, DOT_BLOCK = 1 << 16, GRID_ROWS = 64 };

static const struct {
    enum vt_target targets[3];
    int n;
} sites[VT_CUDA_N_SITES] = {[VT_CUDA_QKV] = {{VT_LORA_Q, VT_LORA_K, VT_LORA_V}, 3},
                            [VT_CUDA_O] = {{VT_LORA_O}, 1},
                            [VT_CUDA_GATE_UP] = {{VT_LORA_GATE, VT_LORA_UP}, 2},
                            [VT_CUDA_DOWN] = {{VT_LORA_DOWN}, 1}};

static size_t aligned(size_t n)
{
    return (n + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
}

void vt_cuda_runs_add(struct vt_cuda_run *runs, int *n_runs, int row0, int n, const struct vt_cuda_adapter *a)
{
    if (*n_runs && runs[*n_runs - 1].adapter == a)
        runs[*n_runs - 1].row1 = row0 + n;
    else
        runs[(*n_runs)++] = (struct vt_cuda_run){.row0 = row0, .row1 = row0 + n, .adapter = a};
}

/* --- layout --- */

/* Sites of layer 0 with `base` as their address; elements of a layer come back. */
static size_t lay_out(const struct vt_lm_config *c, const struct vt_cuda_adapter *a, vt_gpu_ptr base,
                      struct vt_cuda_site out[VT_CUDA_N_SITES])
{
    size_t at = 0;
    for (int s = 0; s < VT_CUDA_N_SITES; s++) {
        struct vt_cuda_site *site = &out[s];
        bool is_adapted = false;
        *site = (struct vt_cuda_site){0};
        for (int i = 0; i < sites[s].n; i++) {
            int d_out, d_in;
            vt_adapter_dims(c, sites[s].targets[i], &d_out, &d_in);
            site->k = d_in;
            site->n_out += d_out;
            is_adapted |= (a->meta->targets >> sites[s].targets[i] & 1u) != 0;
        }
        if (!is_adapted)
            continue;
        site->n_low = sites[s].n * a->rank_pad;
        site->a = base + at * 2;
        at += aligned((size_t)site->n_low * (size_t)site->k);
        site->b = base + at * 2;
        at += aligned((size_t)site->n_out * (size_t)site->n_low);
    }
    return at;
}

/* The modules of a layer; returns how many. */
static int list_modules(const struct vt_cuda_adapter *a, int layer, const struct vt_cuda_site *of,
                        struct vt_dev_module *out)
{
    int made = 0;
    for (int s = 0; s < VT_CUDA_N_SITES; s++) {
        int row = 0; /* of B, unless interleaved */
        for (int i = 0; i < sites[s].n; i++) {
            const enum vt_target t = sites[s].targets[i];
            size_t a_off, b_off;
            int d_out, d_in;
            vt_adapter_dims(&a->meta->cfg, t, &d_out, &d_in);
            if (vt_adapter_at(a->meta, layer, t, &a_off, &b_off)) {
                const size_t low = (size_t)i * (size_t)a->rank_pad, first = s == VT_CUDA_GATE_UP ? 0 : (size_t)row;
                out[made++] = (struct vt_dev_module){.a_off = (int64_t)a_off,
                                                     .b_off = (int64_t)b_off,
                                                     .a = of[s].a + low * (size_t)d_in * 2,
                                                     .b = of[s].b + (first * (size_t)of[s].n_low + low) * 2,
                                                     .d_in = d_in,
                                                     .d_out = d_out,
                                                     .ldb = of[s].n_low,
                                                     .interleave = s == VT_CUDA_GATE_UP ? i : -1};
            }
            row += d_out;
        }
    }
    return made;
}

/* How a step's product takes the site, on Hopper. */
static vt_status make_step(struct vt_cuda *be, const struct vt_cuda_adapter *a, int kind, struct vt_cuda_site *s,
                           vt_err *err)
{
    s->is_known = kind == VT_CUDA_QKV || kind == VT_CUDA_GATE_UP;
    s->low = &a->low[kind];
    s->cut = vt_cuda_cut_of(&be->machine, kind == VT_CUDA_GATE_UP ? VT_DEV_GEMM_SWIGLU : VT_DEV_GEMM_PARTIAL, s->n_out,
                            s->k, s->is_known ? 0 : s->n_low, s->is_known ? s->n_low : 0);
    return s->is_known ? vt_cuda_view(be, s->b, s->n_out, s->n_low, &s->map, err)
                       : vt_cuda_view(be, s->a, s->n_low, s->k, &s->map, err);
}

static vt_status make_sites(struct vt_cuda *be, struct vt_cuda_adapter *a, vt_err *err)
{
    const int n_layers = be->cfg.n_layers;
    struct vt_cuda_site layer[VT_CUDA_N_SITES];
    a->packed_layer = lay_out(&be->cfg, a, 0, layer);
    a->sites = vt_cuda_new((size_t)n_layers * VT_CUDA_N_SITES, sizeof *a->sites);
    struct vt_dev_module *modules = vt_alloc_array((size_t)n_layers * 7, sizeof *modules);
    a->low = vt_cuda_new(VT_CUDA_N_SITES, sizeof *a->low);
    if (!a->sites || !a->low || !modules) {
        free(modules);
        return vt_fail(err, VT_ENOMEM, "out of memory for an adapter");
    }
    const size_t bytes = a->packed_layer * 2 * (size_t)n_layers;
    vt_status status = vt_cuda_alloc(be, bytes, "adapters", &a->packed, err);
    if (status == VT_OK)
        status = vt_gpu_fill(be->gpu, a->packed, 0, bytes, be->side, err);
    for (int i = 0; i < n_layers && status == VT_OK; i++) {
        struct vt_cuda_site *of = a->sites + i * VT_CUDA_N_SITES;
        (void)lay_out(&be->cfg, a, a->packed + (size_t)i * a->packed_layer * 2, of);
        a->n_modules += list_modules(a, i, of, modules + a->n_modules);
        for (int s = 0; s < VT_CUDA_N_SITES && be->is_own && status == VT_OK; s++) {
            if (of[s].n_low && i == 0)
                status = vt_cuda_samples_make(be, be->products.low, of[s].n_low, &a->low[s], err);
            if (of[s].n_low && status == VT_OK)
                status = make_step(be, a, s, &of[s], err);
        }
    }
    const size_t table = (size_t)a->n_modules * sizeof *modules;
    if (status == VT_OK)
        status = vt_cuda_alloc(be, table, "adapters", &a->modules, err);
    if (status == VT_OK)
        status = vt_gpu_copy_in(be->gpu, a->modules, modules, table, be->side, err);
    if (status == VT_OK)
        status = vt_gpu_stream_wait(be->gpu, be->side, err);
    free(modules);
    return status;
}

/* --- storage operations --- */

static uint64_t bytes_of(const struct vt_cuda *be, const struct vt_cuda_adapter *a)
{
    const uint64_t values = (uint64_t)a->n_params * sizeof(float) * (a->moments ? 3 : 1);
    return values + (uint64_t)a->packed_layer * 2 * (uint64_t)be->cfg.n_layers;
}

static void account(struct vt_cuda *be, uint64_t more, uint64_t less)
{
    pthread_mutex_lock(&be->lock);
    be->adapter_bytes += more - less;
    pthread_mutex_unlock(&be->lock);
}

uint64_t vt_cuda_adapters_bytes(const struct vt_cuda *be)
{
    struct vt_cuda *m = (struct vt_cuda *)(uintptr_t)be; /* the lock is the only thing written */
    pthread_mutex_lock(&m->lock);
    const uint64_t bytes = m->adapter_bytes;
    pthread_mutex_unlock(&m->lock);
    return bytes;
}

static void free_adapter(struct vt_cuda *be, struct vt_cuda_adapter *a)
{
    if (!a)
        return;
    if (a->serial)
        account(be, 0, bytes_of(be, a));
    vt_gpu_free(be->gpu, a->params);
    vt_gpu_free(be->gpu, a->moments);
    vt_gpu_free(be->gpu, a->packed);
    vt_gpu_free(be->gpu, a->modules);
    vt_adapter_free(a->meta);
    free(a->sites);
    free(a->low);
    free(a);
}

/* Everything but the values. */
static vt_status make(struct vt_cuda *be, const struct vt_adapter *of, bool has_moments, struct vt_cuda_adapter **out,
                      vt_err *err)
{
    struct vt_adapter meta = *of;
    const size_t bytes = of->n_params * sizeof(float);
    struct vt_cuda_adapter *a = *out = vt_alloc(sizeof *a);
    if (!a)
        return vt_fail(err, VT_ENOMEM, "out of memory for an adapter");
    if (of->targets & 1u << VT_LORA_UNEMBED)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the cuda backend does not adapt the unembedding yet; use an adapter without lm_head, or the "
                       "cpu backend");
    if (of->rank > VT_CUDA_MOST_RANK)
        return vt_fail(err, VT_EUNSUPPORTED, "the cuda backend takes adapters up to rank %d, not %d", VT_CUDA_MOST_RANK,
                       of->rank);
    meta.params = meta.m = meta.v = NULL;
    a->rank = of->rank;
    a->rank_pad = (of->rank + RANK_STEP - 1) / RANK_STEP * RANK_STEP;
    a->scale = of->alpha / (float)of->rank;
    a->n_params = of->n_params;
    VT_TRY(vt_adapter_clone(&meta, &a->meta, err));
    VT_TRY(make_sites(be, a, err));
    VT_TRY(vt_cuda_alloc(be, bytes, "adapters", &a->params, err));
    return has_moments ? vt_cuda_alloc(be, 2 * bytes, "Adam's moments", &a->moments, err) : VT_OK;
}

static vt_status put(struct vt_cuda *be, const struct vt_adapter *values, struct vt_cuda_adapter **a, vt_err *err)
{
    const size_t bytes = values->n_params * sizeof(float);
    VT_TRY(vt_gpu_bind(be->gpu, err));
    VT_TRY(make(be, values, values->m && values->v, a, err));
    VT_TRY(vt_gpu_copy_in(be->gpu, (*a)->params, values->params, bytes, be->side, err));
    if ((*a)->moments) {
        VT_TRY(vt_gpu_copy_in(be->gpu, (*a)->moments, values->m, bytes, be->side, err));
        VT_TRY(vt_gpu_copy_in(be->gpu, (*a)->moments + bytes, values->v, bytes, be->side, err));
    }
    return vt_gpu_stream_wait(be->gpu, be->side, err);
}

static vt_status copy(struct vt_cuda *be, vt_gpu_ptr to, vt_gpu_ptr from, size_t bytes, vt_err *err)
{
    return vt_gpu_check(be->gpu, vt_gpu_cu(be->gpu)->copy_across(to, from, bytes, be->side), "copying an adapter", err);
}

static vt_status make_copy(struct vt_cuda *be, const struct vt_cuda_adapter *from, struct vt_cuda_adapter **a,
                           vt_err *err)
{
    const size_t bytes = from->n_params * sizeof(float);
    VT_TRY(vt_gpu_bind(be->gpu, err));
    VT_TRY(make(be, from->meta, from->moments != 0, a, err));
    VT_TRY(copy(be, (*a)->params, from->params, bytes, err));
    if (from->moments)
        VT_TRY(copy(be, (*a)->moments, from->moments, 2 * bytes, err));
    return vt_gpu_stream_wait(be->gpu, be->side, err);
}

static vt_status finish(struct vt_cuda *be, struct vt_cuda_adapter *a, vt_status status, struct vt_lm_adapter *out)
{
    if (status != VT_OK) {
        free_adapter(be, a);
        return status;
    }
    pthread_mutex_lock(&be->lock);
    a->serial = ++be->n_adapters;
    pthread_mutex_unlock(&be->lock);
    account(be, bytes_of(be, a), 0);
    out->impl = a;
    return VT_OK;
}

vt_status vt_cuda_adapter_put(void *opened, const struct vt_adapter *values, struct vt_lm_adapter *out, vt_err *err)
{
    struct vt_cuda *be = opened;
    struct vt_cuda_adapter *a = NULL;
    pthread_mutex_lock(&be->side_lock);
    const vt_status status = put(be, values, &a, err);
    pthread_mutex_unlock(&be->side_lock);
    return finish(be, a, status, out);
}

vt_status vt_cuda_adapter_clone(void *opened, const struct vt_lm_adapter *from, struct vt_lm_adapter *out, vt_err *err)
{
    struct vt_cuda *be = opened;
    struct vt_cuda_adapter *a = NULL;
    pthread_mutex_lock(&be->side_lock);
    const vt_status status = make_copy(be, from->impl, &a, err);
    pthread_mutex_unlock(&be->side_lock);
    return finish(be, a, status, out);
}

static vt_status read_values(struct vt_cuda *be, const struct vt_cuda_adapter *a, struct vt_adapter *to, vt_err *err)
{
    const size_t n = a->n_params, bytes = n * sizeof(float);
    to->params = vt_alloc_array(n, sizeof(float));
    to->m = a->moments ? vt_alloc_array(n, sizeof(float)) : NULL;
    to->v = a->moments ? vt_alloc_array(n, sizeof(float)) : NULL;
    if (!to->params || (a->moments && (!to->m || !to->v)))
        return vt_fail(err, VT_ENOMEM, "out of memory copying an adapter of %zu parameters", n);
    VT_TRY(vt_gpu_bind(be->gpu, err));
    VT_TRY(vt_gpu_copy_out(be->gpu, to->params, a->params, bytes, be->side, err));
    if (a->moments) {
        VT_TRY(vt_gpu_copy_out(be->gpu, to->m, a->moments, bytes, be->side, err));
        VT_TRY(vt_gpu_copy_out(be->gpu, to->v, a->moments + bytes, bytes, be->side, err));
    }
    return vt_gpu_stream_wait(be->gpu, be->side, err);
}

vt_status vt_cuda_adapter_get(void *opened, const struct vt_lm_adapter *from, struct vt_adapter **out, vt_err *err)
{
    struct vt_cuda *be = opened;
    const struct vt_cuda_adapter *a = from->impl;
    struct vt_adapter *copied;
    *out = NULL;
    VT_TRY(vt_adapter_clone(a->meta, &copied, err));
    pthread_mutex_lock(&be->side_lock);
    const vt_status status = read_values(be, a, copied, err);
    pthread_mutex_unlock(&be->side_lock);
    if (status != VT_OK) {
        vt_adapter_free(copied);
        return status;
    }
    *out = copied;
    return VT_OK;
}

void vt_cuda_adapter_free(void *opened, struct vt_lm_adapter *adapter)
{
    struct vt_cuda *be = opened;
    if (adapter->impl && vt_gpu_bind(be->gpu, NULL) == VT_OK)
        free_adapter(be, adapter->impl);
    adapter->impl = NULL;
}

/* --- the model's thread --- */

/* Grows a buffer that graphs may know. */
static vt_status grow(struct vt_cuda *be, size_t want, const char *what, vt_gpu_ptr *p, size_t *bytes, vt_err *err)
{
    if (want <= *bytes)
        return VT_OK;
    VT_TRY(vt_gpu_stream_wait(be->gpu, be->stream, err));
    vt_cuda_graphs_free(be);
    vt_gpu_free(be->gpu, *p);
    *p = 0;
    *bytes = 0;
    VT_TRY(vt_cuda_alloc(be, want, what, p, err));
    *bytes = want;
    return VT_OK;
}

static vt_status make_room(struct vt_cuda *be, const struct vt_cuda_adapter *a, int n_rows, vt_err *err)
{
    size_t low = 0, partial = 0;
    for (int s = 0; s < VT_CUDA_N_SITES; s++) {
        const struct vt_cuda_site *site = &a->sites[s];
        const size_t columns = (size_t)site->n_out + (site->is_known ? 0 : (size_t)site->n_low),
                     sums = (size_t)VT_CUDA_STEP_ROWS * columns * sizeof(float) * (size_t)site->cut.n_splits;
        if (!site->n_low)
            continue;
        low = (size_t)site->n_low * 2 > low ? (size_t)site->n_low * 2 : low;
        if (s != VT_CUDA_GATE_UP && sums > partial)
            partial = sums;
    }
    VT_TRY(grow(be, low * (size_t)n_rows, "low rows of adapters", &be->low, &be->low_bytes, err));
    if (!be->is_own)
        return VT_OK;
    return grow(be, partial, "partial sums of products", &be->products.partial, &be->products.partial_bytes, err);
}

vt_status vt_cuda_adapter_ready(struct vt_cuda *be, struct vt_cuda_adapter *a, int n_rows, vt_err *err)
{
    if (!a)
        return VT_OK;
    VT_TRY(make_room(be, a, n_rows, err));
    if (a->is_fresh)
        return VT_OK;
    void *args[] = {&a->modules, &a->params, &a->rank};
    VT_TRY(vt_cuda_launch(be, VT_CUDA_pack_modules,
                          &(struct vt_gpu_grid){.x = (unsigned)a->n_modules, .y = GRID_ROWS, .threads = 256}, args,
                          err));
    a->is_fresh = true;
    return VT_OK;
}

/* --- gradients and Adam --- */

vt_status vt_cuda_grad_new(void *opened, vt_lm_grad *g, vt_err *err)
{
    struct vt_cuda *be = opened;
    const size_t bytes = g->shape.n_params * sizeof(float);
    struct vt_cuda_grad *made = vt_alloc(sizeof *made);
    if (!made)
        return vt_fail(err, VT_ENOMEM, "out of memory for a gradient");
    pthread_mutex_lock(&be->side_lock);
    vt_status status = vt_gpu_bind(be->gpu, err);
    if (status == VT_OK)
        status = vt_cuda_block_take(be, bytes, "gradients", &made->memory, err);
    if (status == VT_OK)
        status = vt_gpu_fill(be->gpu, made->memory.at, 0, bytes, be->side, err);
    if (status == VT_OK)
        status = vt_gpu_stream_wait(be->gpu, be->side, err);
    pthread_mutex_unlock(&be->side_lock);
    if (status != VT_OK) {
        vt_cuda_block_give(be, &made->memory);
        free(made);
        return status;
    }
    g->impl = made;
    return VT_OK;
}

void vt_cuda_grad_free(void *opened, vt_lm_grad *g)
{
    struct vt_cuda *be = opened;
    struct vt_cuda_grad *made = g->impl;
    if (made && vt_gpu_bind(be->gpu, NULL) == VT_OK)
        vt_cuda_block_give(be, &made->memory);
    free(made);
    g->impl = NULL;
}

static vt_gpu_ptr values_of(const vt_lm_grad *g)
{
    return ((const struct vt_cuda_grad *)g->impl)->memory.at;
}

vt_status vt_cuda_grad_add(void *opened, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err)
{
    struct vt_cuda *be = opened;
    vt_gpu_ptr to = values_of(into), from = values_of(g);
    int64_t n = (int64_t)g->shape.n_params;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    void *args[] = {&to, &from, &n};
    VT_TRY(vt_cuda_launch(be, VT_CUDA_add, &(struct vt_gpu_grid){.x = (unsigned)((n + 255) / 256), .threads = 256},
                          args, err));
    return vt_gpu_stream_wait(be->gpu, be->stream, err);
}

static vt_status dot_blocks(struct vt_cuda *be, vt_gpu_ptr a, vt_gpu_ptr b, int64_t n, vt_gpu_ptr scratch, double *host,
                            int n_blocks, vt_err *err)
{
    void *args[] = {&a, &b, &scratch, &n};
    VT_TRY(vt_cuda_launch(be, VT_CUDA_dot, &(struct vt_gpu_grid){.x = (unsigned)n_blocks, .threads = 256}, args, err));
    VT_TRY(vt_gpu_copy_out(be->gpu, host, scratch, (size_t)n_blocks * sizeof *host, be->stream, err));
    return vt_gpu_stream_wait(be->gpu, be->stream, err);
}

static vt_status dot(struct vt_cuda *be, vt_gpu_ptr a, vt_gpu_ptr b, size_t n, double *out, vt_err *err)
{
    const int n_blocks = (int)((n + DOT_BLOCK - 1) / DOT_BLOCK);
    double *host = vt_alloc_array((size_t)n_blocks, sizeof *host);
    vt_gpu_ptr scratch = 0;
    if (!host)
        return vt_fail(err, VT_ENOMEM, "out of memory for the product of two gradients");
    vt_status status = vt_cuda_alloc(be, (size_t)n_blocks * sizeof *host, "partial sums of a product", &scratch, err);
    if (status == VT_OK)
        status = dot_blocks(be, a, b, (int64_t)n, scratch, host, n_blocks, err);
    *out = 0;
    for (int i = 0; i < n_blocks; i++)
        *out += host[i];
    vt_gpu_free(be->gpu, scratch);
    free(host);
    return status;
}

vt_status vt_cuda_grad_dot(void *opened, const vt_lm_grad *a, const vt_lm_grad *b, double *out, vt_err *err)
{
    struct vt_cuda *be = opened;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    return dot(be, values_of(a), values_of(b), a->shape.n_params, out, err);
}

vt_status vt_cuda_grad_read(void *opened, const vt_lm_grad *g, float *out, vt_err *err)
{
    struct vt_cuda *be = opened;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    VT_TRY(vt_gpu_copy_out(be->gpu, out, values_of(g), g->shape.n_params * sizeof *out, be->stream, err));
    return vt_gpu_stream_wait(be->gpu, be->stream, err);
}

vt_status vt_cuda_grad_copy(void *opened, vt_lm_grad *to, void *of, const vt_lm_grad *from, vt_err *err)
{
    struct vt_cuda *be = opened;
    const struct vt_cuda *other = of;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    VT_TRY(vt_gpu_copy_from(be->gpu, values_of(to), other->gpu, values_of(from), from->shape.n_params * sizeof(float),
                            be->stream, err));
    return vt_gpu_stream_wait(be->gpu, be->stream, err);
}

static vt_status ensure_moments(struct vt_cuda *be, struct vt_cuda_adapter *a, vt_err *err)
{
    const size_t bytes = 2 * a->n_params * sizeof(float);
    if (a->moments)
        return VT_OK;
    VT_TRY(vt_cuda_alloc(be, bytes, "Adam's moments", &a->moments, err));
    account(be, bytes, 0);
    a->meta->step = 0;
    return vt_gpu_fill(be->gpu, a->moments, 0, bytes, be->stream, err);
}

vt_status vt_cuda_adam(void *opened, struct vt_lm_adapter *adapter, const vt_lm_grad *g, const struct vt_adam *o,
                       double *norm, vt_err *err)
{
    struct vt_cuda *be = opened;
    struct vt_cuda_adapter *a = adapter->impl;
    vt_gpu_ptr grad = values_of(g);
    double squares;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    VT_TRY(dot(be, grad, grad, a->n_params, &squares, err));
    *norm = sqrt(squares);
    if (!isfinite(*norm))
        return vt_fail(err, VT_EINVAL,
                       "the gradient is not finite, so the adapter was left as it is; look at the weights and rewards");
    VT_TRY(ensure_moments(be, a, err));
    const uint64_t step = ++a->meta->step;
    struct vt_dev_adam numbers = {.beta1 = o->beta1,
                                  .beta2 = o->beta2,
                                  .eps = o->eps,
                                  .step = o->lr / (float)(1 - pow((double)o->beta1, (double)step)),
                                  .root_c2 = sqrtf((float)(1 - pow((double)o->beta2, (double)step))),
                                  .decay = 1.0f - o->lr * o->weight_decay,
                                  .grad_scale = 1};
    if (o->grad_clip > 0 && *norm > (double)o->grad_clip)
        numbers.grad_scale = (float)((double)o->grad_clip / (*norm + 1e-6));
    vt_gpu_ptr m = a->moments, v = m + a->n_params * sizeof(float);
    int64_t n = (int64_t)a->n_params;
    void *args[] = {&a->params, &grad, &m, &v, &numbers, &n};
    a->is_fresh = false;
    VT_TRY(vt_cuda_launch(be, VT_CUDA_adam, &(struct vt_gpu_grid){.x = (unsigned)((n + 255) / 256), .threads = 256},
                          args, err));
    return vt_gpu_stream_wait(be->gpu, be->stream, err);
}
