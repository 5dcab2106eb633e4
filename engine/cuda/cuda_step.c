/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_step.c: a step's rows through all layers. On Hopper the products are the backend's own, every kernel may begin
 * its preamble before the one ahead has ended, and eight kernels make a layer: what a split product leaves to be added
 * is added by the kernel that reads it (rotation after q, k, v; the norms after the output and down products), SwiGLU
 * is done where gate and up are multiplied. Elsewhere a layer is that of a wide pass, with a step's attention.
 *
 * Circle: cuda_pass chooses between its own way and this one, both multiply through cuda_gemm, which asks a pass's
 * shape.
 */
#include "cuda/cuda_parts.h"

static vt_status attend_portable(struct vt_cuda *be, const struct vt_cuda_pass *p, int layer, vt_err *err)
{
    struct vt_cuda_bufs *b = &be->step;
    const bool is_wide = be->shape.head_pad == 128;
    int splits = is_wide ? 4 : 8;
    const int warps = 8, per_block = warps / splits;
    const unsigned part = (unsigned)(VT_DEV_TILE_ROWS * be->shape.head_pad + 2 * VT_DEV_TILE_ROWS) * sizeof(float);
    const struct vt_gpu_grid grid = {.x = (unsigned)((p->n_tiles + per_block - 1) / per_block),
                                     .y = (unsigned)be->cfg.n_kv_heads,
                                     .threads = (unsigned)warps * 32,
                                     .smem = part * (unsigned)warps};
    vt_gpu_ptr job = p->job;
    void *args[] = {&job, &b->q, &b->ctx, &b->pos, &be->shape, &layer, &splits};
    return vt_cuda_launch(be, is_wide ? VT_CUDA_step_attend_128 : VT_CUDA_step_attend_64, &grid, args, err);
}

/* As many blocks as an H200 works well on for 160 samples in 5 groups (measured: more, two to a multiprocessor, were
 * slower). A function of the model
 * alone: it decides in which order a sample's partial results are merged. */
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

vt_status vt_cuda_step_attend(struct vt_cuda *be, const struct vt_cuda_pass *p, int layer, vt_err *err)
{
    return be->is_own ? attend_own(be, p, layer, err) : attend_portable(be, p, layer, err);
}

static vt_status run_layer(struct vt_cuda *be, const struct vt_cuda_pass *p, int i, vt_err *err)
{
    struct vt_cuda_bufs *b = &be->step;
    const struct vt_cuda_products *ps = &be->products;
    const struct vt_cuda_layer_products *l = &ps->layers[i];
    const struct vt_dev_shape *s = &be->shape;
    const int n = p->n_rows;
    struct vt_cuda_sums sums = {.first = ps->partial, .stride = (int64_t)VT_CUDA_STEP_ROWS * s->qkv_dim};
    VT_TRY(vt_cuda_product(be, &l->qkv, &ps->norm, n, ps->partial, s->qkv_dim, err));
    sums.n = l->qkv.cut.n_splits;
    VT_TRY(vt_cuda_rope(be, p, b, &sums, i, err));
    VT_TRY(attend_own(be, p, i, err));
    VT_TRY(vt_cuda_product(be, &l->o, &ps->ctx, n, ps->partial, s->d_model, err));
    sums.stride = (int64_t)VT_CUDA_STEP_ROWS * s->d_model;
    sums.n = l->o.cut.n_splits;
    VT_TRY(vt_cuda_norm(be, n, b->x, &sums, be->w.layers[i].post_norm, b->norm, true, err));
    VT_TRY(vt_cuda_product(be, &l->gate_up, &ps->norm, n, b->act, s->d_ff, err));
    VT_TRY(vt_cuda_product(be, &l->down, &ps->act, n, ps->partial, s->d_model, err));
    sums.n = l->down.cut.n_splits;
    if (i + 1 == be->cfg.n_layers)
        return VT_OK; /* the head's norm adds them */
    return vt_cuda_norm(be, n, b->x, &sums, be->w.layers[i + 1].input_norm, b->norm, true, err);
}

vt_status vt_cuda_step_layers(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_sums *left, vt_err *err)
{
    *left = (struct vt_cuda_sums){.first = be->step.x}; /* no sums */
    if (!be->is_own)
        return vt_cuda_layers(be, p, &be->step, err);
    for (int i = 0; i < be->cfg.n_layers; i++)
        VT_TRY(run_layer(be, p, i, err));
    *left = (struct vt_cuda_sums){.first = be->products.partial,
                                  .n = be->products.layers[be->cfg.n_layers - 1].down.cut.n_splits,
                                  .stride = (int64_t)VT_CUDA_STEP_ROWS * be->shape.d_model};
    return VT_OK;
}

vt_status vt_cuda_step_head(struct vt_cuda *be, int n_rows, vt_err *err)
{
    if (!be->is_own)
        return vt_cuda_head(be, be->step.norm, n_rows, err);
    return vt_cuda_product(be, &be->products.head, &be->products.norm, n_rows, be->logits, be->shape.ld_vocab, err);
}
