/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_pass.c: rows of residuals through all layers. A layer is: norm; q, k, v in one product; bias, rotation and the
 * writing of keys and values; attention; the output product added to the residual; norm; gate and up in one product;
 * SwiGLU; the down product added to the residual. Products accumulate in fp32 and the residual stays fp32; what goes
 * into a product is bf16, rounded once.
 */
#include "cuda/cuda_parts.h"

vt_status vt_cuda_launch(struct vt_cuda *be, enum vt_cuda_kernel k, const struct vt_gpu_grid *grid, void **args,
                         vt_err *err)
{
    static const char *const names[] = {
#define X(name) #name,
        VT_CUDA_KERNEL_MAP(X)
#undef X
    };
    return vt_gpu_launch(be->gpu, be->stream, be->kernel[k], names[k], grid, args, err);
}

unsigned vt_cuda_norm_threads(int d)
{
    int kept = 1; /* float4s of a thread */
    while (d > kept * 4 * VT_CUDA_NORM_THREADS)
        kept *= 2;
    return (unsigned)((d / 4 + kept * 32 - 1) / (kept * 32) * 32);
}

/* d (+)= x w', w stored [n][k]. */
static vt_status multiply(struct vt_cuda *be, vt_gpu_ptr x, vt_gpu_ptr w, vt_gpu_ptr d, int m, int n, int k,
                          bool is_f32, bool add, vt_err *err)
{
    const struct vt_gpu_matmul p = {.x = x,
                                    .y = w,
                                    .d = d,
                                    .m = m,
                                    .n = n,
                                    .k = k,
                                    .ldx = k,
                                    .ldy = k,
                                    .ldd = n,
                                    .y_by_n = true,
                                    .is_f32 = is_f32,
                                    .add = add};
    return vt_gpu_matmul(be->blas, be->stream, &p, err);
}

vt_status vt_cuda_norm(struct vt_cuda *be, int n, vt_gpu_ptr x, const struct vt_cuda_sums *sums, vt_gpu_ptr w,
                       vt_gpu_ptr out, bool is_eager, vt_err *err)
{
    struct vt_cuda_sums s = *sums;
    int d = be->cfg.d_model;
    float eps = be->cfg.rms_eps;
    void *args[] = {&x, &s.first, &s.n, &s.stride, &w, &out, &d, &eps};
    const struct vt_gpu_grid grid = {
        .x = (unsigned)n, .threads = vt_cuda_norm_threads(be->cfg.d_model), .is_eager = is_eager};
    return vt_cuda_launch(be, VT_CUDA_norm, &grid, args, err);
}

/* Query heads of a key head that a tile's token has. */
static int tile_heads(const struct vt_cuda *be)
{
    const int heads = be->cfg.n_heads / be->cfg.n_kv_heads;
    return heads < VT_DEV_TILE_ROWS ? heads : VT_DEV_TILE_ROWS;
}

static int head_groups(const struct vt_cuda *be)
{
    return (be->cfg.n_heads / be->cfg.n_kv_heads + VT_DEV_TILE_ROWS - 1) / VT_DEV_TILE_ROWS;
}

int vt_cuda_n_tiles(const struct vt_cuda *be, int n)
{
    const int per_tile = VT_DEV_TILE_ROWS / tile_heads(be);
    return (n + per_tile - 1) / per_tile * head_groups(be);
}

int vt_cuda_tiles(const struct vt_cuda *be, vt_gpu_ptr table, int row0, int n, int pos0, struct vt_dev_tile *out)
{
    const int per_tile = VT_DEV_TILE_ROWS / tile_heads(be);
    int made = 0;
    for (int at = 0; at < n; at += per_tile)
        for (int h = 0; h < head_groups(be); h++)
            out[made++] = (struct vt_dev_tile){.table = table,
                                               .row0 = row0 + at,
                                               .n = n - at < per_tile ? n - at : per_tile,
                                               .pos0 = pos0 + at,
                                               .head0 = h * VT_DEV_TILE_ROWS};
    return made;
}

int vt_cuda_step_tiles(const struct vt_cuda *be, vt_lm_slot *const *slots, int n, struct vt_dev_tile *out)
{
    const int per_tile = VT_DEV_TILE_ROWS / tile_heads(be) * (be->is_own ? VT_CUDA_ATTEND_WARPS : 1);
    int made = 0;
    for (int at = 0, next; at < n; at = next) {
        for (next = at + 1; next < n && next - at < per_tile && slots[next]->group == slots[at]->group;)
            next++;
        for (int h = 0; h < head_groups(be); h++)
            out[made++] = (struct vt_dev_tile){.row0 = at,
                                               .n = next - at,
                                               .n_shared = slots[at]->group->n_tokens / VT_DEV_PAGE_KEYS,
                                               .head0 = h * VT_DEV_TILE_ROWS};
    }
    return made;
}

static vt_status attend_wide(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int layer,
                             vt_err *err)
{
    const bool is_wide = be->shape.head_pad == 128;
    const struct vt_gpu_grid grid = {
        .x = (unsigned)((p->n_tiles + 7) / 8), .y = (unsigned)be->cfg.n_kv_heads, .threads = 256};
    vt_gpu_ptr tiles = p->tiles, copies = p->copies;
    int n_tiles = p->n_tiles;
    if (p->n_copies) {
        void *args[] = {&copies, &be->shape, &layer};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_copy_keys, &(struct vt_gpu_grid){.x = (unsigned)p->n_copies, .threads = 256},
                              args, err));
    }
    void *args[] = {&tiles, &n_tiles, &b->q, &b->ctx, &be->shape, &layer};
    return vt_cuda_launch(be, is_wide ? VT_CUDA_wide_attend_128 : VT_CUDA_wide_attend_64, &grid, args, err);
}

vt_status vt_cuda_rope(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b,
                       const struct vt_cuda_sums *y, int layer, vt_err *err)
{
    const struct vt_cuda_layer *l = &be->w.layers[layer];
    const int heads = be->cfg.n_heads + 2 * be->cfg.n_kv_heads;
    struct vt_cuda_sums s = *y;
    vt_gpu_ptr bias = l->bias, q_norm = l->q_norm, k_norm = l->k_norm;
    vt_gpu_ptr pos = p->job ? b->pos : p->pos, key_at = p->job ? b->key_at : p->key_at;
    void *args[] = {&s.first,  &s.n, &s.stride, &bias, &q_norm,    &k_norm,
                    &be->rope, &pos, &key_at,   &b->q, &be->shape, &layer};
    const struct vt_gpu_grid grid = {
        .x = (unsigned)p->n_rows, .y = (unsigned)((heads + 7) / 8), .threads = 256, .is_eager = p->job && be->is_own};
    return vt_cuda_launch(be, VT_CUDA_rope, &grid, args, err);
}

static vt_status swiglu(struct vt_cuda *be, int n, struct vt_cuda_bufs *b, vt_err *err)
{
    int d_ff = be->cfg.d_ff;
    int64_t n_eights = (int64_t)n * d_ff / 8;
    void *args[] = {&b->gate_up, &b->act, &d_ff, &n_eights};
    return vt_cuda_launch(be, VT_CUDA_swiglu,
                          &(struct vt_gpu_grid){.x = (unsigned)((n_eights + 255) / 256), .threads = 256}, args, err);
}

static vt_status run_layer(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i, vt_err *err)
{
    const struct vt_cuda_layer *l = &be->w.layers[i];
    const struct vt_dev_shape *s = &be->shape;
    const int n = p->n_rows, d = s->d_model;
    const struct vt_cuda_sums none = {.first = b->x}, qkv = {.first = b->qkv, .n = 1};
    if (i > 0 || !p->job) /* a step's first kernel did it */
        VT_TRY(vt_cuda_norm(be, n, b->x, &none, l->input_norm, b->norm, false, err));
    VT_TRY(multiply(be, b->norm, l->qkv, b->qkv, n, s->qkv_dim, d, true, false, err));
    VT_TRY(vt_cuda_rope(be, p, b, &qkv, i, err));
    VT_TRY(p->job ? vt_cuda_step_attend(be, p, i, err) : attend_wide(be, p, b, i, err));
    VT_TRY(multiply(be, b->ctx, l->o, b->x, n, d, s->q_dim, true, true, err));
    VT_TRY(vt_cuda_norm(be, n, b->x, &none, l->post_norm, b->norm, false, err));
    VT_TRY(multiply(be, b->norm, l->gate_up, b->gate_up, n, 2 * s->d_ff, d, false, false, err));
    VT_TRY(swiglu(be, n, b, err));
    return multiply(be, b->act, l->down, b->x, n, d, s->d_ff, true, true, err);
}

vt_status vt_cuda_layers(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, vt_err *err)
{
    for (int i = 0; i < be->cfg.n_layers; i++)
        VT_TRY(run_layer(be, p, b, i, err));
    return VT_OK;
}

vt_status vt_cuda_wide(struct vt_cuda *be, const struct vt_cuda_pass *p, vt_err *err)
{
    vt_gpu_ptr tokens = p->tokens;
    int d = be->cfg.d_model;
    void *args[] = {&tokens, &be->w.embedding, &be->wide.x, &d};
    VT_TRY(vt_cuda_launch(
        be, VT_CUDA_embed,
        &(struct vt_gpu_grid){.x = (unsigned)p->n_rows, .threads = vt_cuda_norm_threads(be->cfg.d_model)}, args, err));
    return vt_cuda_layers(be, p, &be->wide, err);
}

vt_status vt_cuda_head(struct vt_cuda *be, vt_gpu_ptr rows, int n, vt_err *err)
{
    const struct vt_gpu_matmul p = {.x = rows,
                                    .y = be->w.head,
                                    .d = be->logits,
                                    .m = n,
                                    .n = be->cfg.n_vocab,
                                    .k = be->cfg.d_model,
                                    .ldx = be->cfg.d_model,
                                    .ldy = be->cfg.d_model,
                                    .ldd = be->shape.ld_vocab,
                                    .y_by_n = true,
                                    .is_f32 = true};
    return vt_gpu_matmul(be->blas, be->stream, &p, err);
}
