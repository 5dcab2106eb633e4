/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_step.c: a step's rows through all layers. On Hopper the products are the backend's own, every kernel may begin
 * its preamble before the one ahead has ended, and seven kernels make a layer: what a split product leaves to be added
 * is added by the kernel that reads it (rotation after q, k, v; the norms after the output and down products), SwiGLU
 * is done where gate and up are multiplied. Elsewhere a layer is that of a wide pass, with a step's attention.
 */
#include "cuda/cuda_parts.h"

/* As many blocks as an H200 works well on for 160 samples in 5 groups (measured: more, two to a multiprocessor, were
 * slower). A function of the model alone: it decides in which order a sample's partial results are merged. */
int vt_cuda_attend_ranks(const struct vt_lm_config *c)
{
    enum { GROUPS = 5, EACH = 32, BLOCKS = 160, MOST = 8 };
    const int heads = c->n_heads / c->n_kv_heads, per_warp = heads < VT_DEV_TILE_ROWS ? VT_DEV_TILE_ROWS / heads : 1;
    const int per_tile = per_warp * VT_CUDA_ATTEND_WARPS, tiles = GROUPS * ((EACH + per_tile - 1) / per_tile);
    const int ranks = BLOCKS / (tiles * c->n_kv_heads);
    return ranks < 1 ? 1 : ranks > MOST ? MOST : ranks;
}

static vt_status attend_own(struct vt_cuda *be, const struct vt_cuda_pass *p, int layer, vt_err *err)
{
    struct vt_cuda_bufs *b = &be->step;
    const bool is_wide = be->shape.head_pad == 128;
    int ranks = be->attend_ranks;
    const struct vt_gpu_grid grid = {.x = (unsigned)(p->n_tiles * ranks),
                                     .y = (unsigned)be->cfg.n_kv_heads,
                                     .threads = 32 * VT_CUDA_ATTEND_WARPS,
                                     .smem = (unsigned)vt_cuda_attend_bytes(),
                                     .cluster = (unsigned)ranks,
                                     .is_eager = true};
    vt_gpu_ptr job = p->job, ahead = be->w.layers[layer].o;
    const uint64_t left = be->w.matrices + be->w.matrix_bytes - ahead;
    uint32_t n_ahead = left < be->ahead_bytes ? (uint32_t)left : be->ahead_bytes;
    void *args[] = {&job, &b->q, &b->ctx, &be->shape, &layer, &ranks, &ahead, &n_ahead};
    return vt_cuda_launch(be, is_wide ? VT_CUDA_step_pages_128 : VT_CUDA_step_pages_64, &grid, args, err);
}

static const struct vt_cuda_site *site_of(const struct vt_cuda_pass *p, int layer, enum vt_cuda_site_kind kind)
{
    return p->n_runs ? vt_cuda_site_at(p->runs[0].adapter, layer, kind) : NULL;
}

/* A split product of the rows into the partial sums, and what its reader has to add up. */
static vt_status split(struct vt_cuda *be, const struct vt_cuda_product *product, const struct vt_cuda_site *low,
                       const struct vt_cuda_samples *x, const struct vt_cuda_pass *p, struct vt_dev_sums *out,
                       vt_err *err)
{
    const bool is_left = low && !low->is_known; /* to the reader */
    const int ld = product->n_columns + (is_left ? low->n_low : 0);
    *out = (struct vt_dev_sums){.first = be->products.partial,
                                .low = is_left ? low->b : 0,
                                .stride = (int64_t)VT_CUDA_STEP_ROWS * ld,
                                .n = (low ? &low->cut : &product->cut)->n_splits,
                                .ld = ld,
                                .n_columns = product->n_columns,
                                .n_low = is_left ? low->n_low : 0,
                                .scale = is_left ? p->runs[0].adapter->scale : 0};
    return vt_cuda_product(be, product, low, x, p->n_rows, be->products.partial, ld, err);
}

struct vt_dev_low vt_cuda_step_low(const struct vt_cuda *be, const struct vt_cuda_pass *p, int layer,
                                   enum vt_cuda_site_kind kind)
{
    const struct vt_cuda_site *s = site_of(p, layer, kind);
    if (!s)
        return (struct vt_dev_low){0};
    return (struct vt_dev_low){
        .a = s->a, .out = be->products.low, .n_low = s->n_low, .scale = p->runs[0].adapter->scale};
}

/* The rows' residuals get the sums, are normed, and give A x of the product that is next. */
static vt_status norm(struct vt_cuda *be, const struct vt_cuda_pass *p, const struct vt_dev_sums *sums, vt_gpu_ptr w,
                      struct vt_dev_low low, vt_err *err)
{
    struct vt_cuda_bufs *b = &be->step;
    struct vt_dev_sums s = *sums;
    int d = be->cfg.d_model;
    float eps = be->cfg.rms_eps;
    void *args[] = {&b->x, &s, &w, &b->norm, &d, &eps, &low};
    const bool is_long = d > 4 * VT_DEV_LOW_THREADS;
    struct vt_gpu_grid grid = {.x = (unsigned)p->n_rows,
                               .threads = vt_cuda_low_threads(d, low.n_low),
                               .smem = low.a ? (unsigned)d * 2 : 0,
                               .is_eager = true};
    if (!p->runs[0].adapter)
        return vt_cuda_launch(be, VT_CUDA_norm, &grid, args, err);
    if (!is_long && grid.threads > VT_DEV_LOW_THREADS)
        grid.threads = VT_DEV_LOW_THREADS;
    return vt_cuda_launch(be, is_long ? VT_CUDA_norm_low_long : VT_CUDA_norm_low, &grid, args, err);
}

static vt_status run_layer(struct vt_cuda *be, const struct vt_cuda_pass *p, int i, struct vt_dev_sums *left,
                           vt_err *err)
{
    struct vt_cuda_bufs *b = &be->step;
    const struct vt_cuda_products *ps = &be->products;
    const struct vt_cuda_layer_products *l = &ps->layers[i];
    struct vt_dev_sums sums;
    VT_TRY(split(be, &l->qkv, site_of(p, i, VT_CUDA_QKV), &ps->norm, p, &sums, err));
    VT_TRY(vt_cuda_rope(be, p, b, &sums, i, err));
    VT_TRY(attend_own(be, p, i, err));
    VT_TRY(split(be, &l->o, site_of(p, i, VT_CUDA_O), &ps->ctx, p, &sums, err));
    VT_TRY(norm(be, p, &sums, be->w.layers[i].post_norm, vt_cuda_step_low(be, p, i, VT_CUDA_GATE_UP), err));
    VT_TRY(vt_cuda_product(be, &l->gate_up, site_of(p, i, VT_CUDA_GATE_UP), &ps->norm, p->n_rows, b->act, be->cfg.d_ff,
                           err));
    VT_TRY(split(be, &l->down, site_of(p, i, VT_CUDA_DOWN), &ps->act, p, left, err));
    if (i + 1 == be->cfg.n_layers)
        return VT_OK; /* the head's norm adds them */
    return norm(be, p, left, be->w.layers[i + 1].input_norm, vt_cuda_step_low(be, p, i + 1, VT_CUDA_QKV), err);
}

vt_status vt_cuda_step_layers(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_dev_sums *left, vt_err *err)
{
    *left = (struct vt_dev_sums){.first = be->step.x}; /* no sums */
    if (!p->is_own)
        return vt_cuda_layers(be, p, &be->step, err);
    for (int i = 0; i < be->cfg.n_layers; i++)
        VT_TRY(run_layer(be, p, i, left, err));
    return VT_OK;
}

vt_status vt_cuda_step_head(struct vt_cuda *be, bool is_own, int n_rows, vt_err *err)
{
    if (!is_own)
        return vt_cuda_head(be, be->step.norm, n_rows, err);
    return vt_cuda_product(be, &be->products.head, NULL, &be->products.norm, n_rows, be->logits, be->shape.ld_vocab,
                           err);
}
