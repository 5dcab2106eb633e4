/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_pass.c: rows of residuals through all layers. A layer is: norm; q, k, v in one product; bias, rotation and the
 * writing of keys and values; attention; the output product added to the residual; norm; gate and up in one product;
 * SwiGLU; the down product added to the residual. Products accumulate in fp32 and the residual stays fp32; what goes
 * into a product is bf16, rounded once. No sum of a row depends on what other rows a wide pass has: FORWARD gives the
 * bits that SCORE gives.
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

unsigned vt_cuda_low_threads(int d, int n_low)
{
    enum { AT_ONCE = 4, MOST = VT_CUDA_NORM_THREADS };
    const unsigned own = vt_cuda_norm_threads(d), low = (unsigned)((n_low + AT_ONCE - 1) / AT_ONCE) * 32;
    return low < own ? own : low < MOST ? low : MOST;
}

unsigned vt_cuda_norm_threads(int d)
{
    int kept = 1; /* float4s of a thread */
    while (d > kept * 4 * VT_CUDA_NORM_THREADS)
        kept *= 2;
    return (unsigned)((d / 4 + kept * 32 - 1) / (kept * 32) * 32);
}

/* d = (to +) x w', w stored [n][k]. */
static struct vt_gpu_matmul product(vt_gpu_ptr x, vt_gpu_ptr w, vt_gpu_ptr d, int m, int n, int k, bool is_f32,
                                    vt_gpu_ptr to)
{
    return (struct vt_gpu_matmul){.x = x,
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
                                  .add = to != 0,
                                  .to = to,
                                  .is_unsplit = true};
}

vt_status vt_cuda_low(struct vt_cuda *be, const struct vt_cuda_site *s, float scale, vt_gpu_ptr x, int n,
                      vt_gpu_ptr out, vt_err *err)
{
    struct vt_gpu_matmul m = product(x, s->a, out, n, s->n_low, s->k, false, 0);
    m.alpha = scale;
    return vt_gpu_matmul(be->blas, be->stream, &m, err);
}

vt_status vt_cuda_linear(struct vt_cuda *be, const struct vt_cuda_linear *l, const struct vt_cuda_pass *p, vt_err *err)
{
    const size_t x_row = (size_t)l->k * 2, d_row = (size_t)l->n * (l->is_f32 ? sizeof(float) : 2);
    const struct vt_cuda_run all = {.row0 = 0, .row1 = p->n_rows};
    for (int i = 0; i < (p->n_runs ? p->n_runs : 1); i++) {
        const struct vt_cuda_run *run = p->n_runs ? &p->runs[i] : &all;
        const struct vt_cuda_site *s = vt_cuda_site_at(run->adapter, l->layer, l->kind);
        const int n = run->row1 - run->row0;
        const vt_gpu_ptr x = l->x + (size_t)run->row0 * x_row, d = l->d + (size_t)run->row0 * d_row,
                         to = l->to ? l->to + (size_t)run->row0 * d_row : 0;
        struct vt_gpu_matmul base = product(x, l->w, d, n, l->n, l->k, l->is_f32, to);
        if (s) { /* first, where the result is rounded: its own part is small */
            const struct vt_gpu_matmul m = product(be->low, s->b, d, n, l->n, s->n_low, l->is_f32, to);
            VT_TRY(vt_cuda_low(be, s, run->adapter->scale, x, n, be->low, err));
            VT_TRY(vt_gpu_matmul(be->blas, be->stream, &m, err));
            base.add = true;
            base.to = 0;
        }
        VT_TRY(vt_gpu_matmul(be->blas, be->stream, &base, err));
    }
    return VT_OK;
}

vt_status vt_cuda_norm(struct vt_cuda *be, int n, vt_gpu_ptr x, vt_gpu_ptr w, vt_gpu_ptr out, vt_err *err)
{
    int d = be->cfg.d_model;
    float eps = be->cfg.rms_eps;
    void *args[] = {&x, &w, &out, &d, &eps, &n};
    return vt_cuda_launch(be, VT_CUDA_norm_rows, &(struct vt_gpu_grid){.x = (unsigned)((n + 7) / 8), .threads = 256},
                          args, err);
}

/* Tokens of a tile of a wide pass on Hopper, with all the query heads of a key head. */
static int own_tokens(const struct vt_cuda *be)
{
    return vt_cuda_wide_groups(be->shape.head_pad == 128) *
           (VT_CUDA_WIDE_QUERIES / (be->cfg.n_heads / be->cfg.n_kv_heads));
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
    const int per_tile = be->is_own ? own_tokens(be) : VT_DEV_TILE_ROWS / tile_heads(be);
    return (n + per_tile - 1) / per_tile * (be->is_own ? 1 : head_groups(be));
}

int vt_cuda_tiles(const struct vt_cuda *be, vt_gpu_ptr table, int row0, int n, int pos0, struct vt_dev_tile *out)
{
    const int per_tile = be->is_own ? own_tokens(be) : VT_DEV_TILE_ROWS / tile_heads(be);
    int made = 0;
    for (int at = 0; at < n; at += per_tile)
        for (int h = 0; h < (be->is_own ? 1 : head_groups(be)); h++)
            out[made++] = (struct vt_dev_tile){.table = table,
                                               .row0 = row0 + at,
                                               .n = n - at < per_tile ? n - at : per_tile,
                                               .pos0 = pos0 + at,
                                               .head0 = h * VT_DEV_TILE_ROWS};
    return made;
}

int vt_cuda_step_tiles(const struct vt_cuda *be, bool is_own, vt_lm_slot *const *slots, int n, struct vt_dev_tile *out)
{
    const int per_tile = VT_DEV_TILE_ROWS / tile_heads(be) * (is_own ? VT_CUDA_ATTEND_WARPS : 1);
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
    vt_gpu_ptr tiles = p->tiles, copies = p->copies, lse = p->lse;
    int n_tiles = p->n_tiles;
    if (p->n_copies) {
        void *args[] = {&copies, &be->shape, &layer};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_copy_keys, &(struct vt_gpu_grid){.x = (unsigned)p->n_copies, .threads = 256},
                              args, err));
    }
    if (be->is_own) {
        void *args[] = {&tiles, &b->q, &b->ctx, &lse, &be->shape, &layer};
        const struct vt_gpu_grid grid = {.x = (unsigned)n_tiles,
                                         .y = (unsigned)be->cfg.n_kv_heads,
                                         .threads = 128u * (unsigned)vt_cuda_wide_groups(is_wide) + 32,
                                         .smem = (unsigned)vt_cuda_wide_attend_bytes(is_wide)};
        return vt_cuda_launch(be, is_wide ? VT_CUDA_wide_pages_128 : VT_CUDA_wide_pages_64, &grid, args, err);
    }
    void *args[] = {&tiles, &n_tiles, &b->q, &b->ctx, &lse, &be->shape, &layer};
    const struct vt_gpu_grid grid = {
        .x = (unsigned)((n_tiles + 7) / 8), .y = (unsigned)be->cfg.n_kv_heads, .threads = 256};
    return vt_cuda_launch(be, is_wide ? VT_CUDA_wide_attend_128 : VT_CUDA_wide_attend_64, &grid, args, err);
}

static vt_status attend_step(struct vt_cuda *be, const struct vt_cuda_pass *p, int layer, vt_err *err)
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

vt_status vt_cuda_rope(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b,
                       const struct vt_dev_sums *y, int layer, vt_err *err)
{
    const struct vt_cuda_layer *l = &be->w.layers[layer];
    const int heads = be->cfg.n_heads + 2 * be->cfg.n_kv_heads, at_once = 256 / (be->shape.head_pad / 8);
    struct vt_dev_sums s = *y;
    int n_rows = p->n_rows;
    vt_gpu_ptr plain = p->plain_keys;
    vt_gpu_ptr bias = l->bias, q_norm = l->q_norm, k_norm = l->k_norm;
    vt_gpu_ptr pos = p->job ? b->pos : p->pos, key_at = p->job ? b->key_at : p->key_at;
    void *args[] = {&s, &bias, &q_norm, &k_norm, &be->rope, &pos, &key_at, &b->q, &plain, &be->shape, &layer, &n_rows};
    const struct vt_gpu_grid grid = {
        .x = (unsigned)((n_rows * heads + at_once - 1) / at_once), .threads = 256, .is_eager = p->is_own};
    return vt_cuda_launch(be, VT_CUDA_rope, &grid, args, err);
}

vt_status vt_cuda_swiglu(struct vt_cuda *be, int n, const struct vt_cuda_bufs *b, vt_err *err)
{
    int d_ff = be->cfg.d_ff;
    int64_t n_eights = (int64_t)n * d_ff / 8;
    vt_gpu_ptr gate_up = b->gate_up, act = b->act;
    void *args[] = {&gate_up, &act, &d_ff, &n_eights};
    return vt_cuda_launch(be, VT_CUDA_swiglu,
                          &(struct vt_gpu_grid){.x = (unsigned)((n_eights + 255) / 256), .threads = 256}, args, err);
}

vt_status vt_cuda_layer_keys(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                             vt_err *err)
{
    const struct vt_cuda_layer *l = &be->w.layers[i];
    const struct vt_dev_shape *s = &be->shape;
    const struct vt_dev_sums sums = {.first = b->qkv, .n = 1, .ld = s->qkv_dim, .n_columns = s->qkv_dim};
    const struct vt_cuda_linear qkv = {.layer = i,
                                       .kind = VT_CUDA_QKV,
                                       .x = b->norm,
                                       .w = l->qkv,
                                       .d = b->qkv,
                                       .n = s->qkv_dim,
                                       .k = s->d_model,
                                       .is_f32 = true};
    if (i > 0 || !p->job) /* a step's first kernel did it */
        VT_TRY(vt_cuda_norm(be, p->n_rows, b->x, l->input_norm, b->norm, err));
    VT_TRY(vt_cuda_linear(be, &qkv, p, err));
    return vt_cuda_rope(be, p, b, &sums, i, err);
}

vt_status vt_cuda_layer_attend(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                               vt_err *err)
{
    return p->job ? attend_step(be, p, i, err) : attend_wide(be, p, b, i, err);
}

vt_status vt_cuda_layer_rest(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                             vt_gpu_ptr x, vt_err *err)
{
    const struct vt_cuda_layer *l = &be->w.layers[i];
    const struct vt_dev_shape *s = &be->shape;
    const struct vt_cuda_linear o = {.layer = i,
                                     .kind = VT_CUDA_O,
                                     .x = b->ctx,
                                     .w = l->o,
                                     .d = x,
                                     .n = s->d_model,
                                     .k = s->q_dim,
                                     .is_f32 = true,
                                     .to = b->x};
    const struct vt_cuda_linear gate_up = {.layer = i,
                                           .kind = VT_CUDA_GATE_UP,
                                           .x = b->norm,
                                           .w = l->gate_up,
                                           .d = b->gate_up,
                                           .n = 2 * s->d_ff,
                                           .k = s->d_model};
    VT_TRY(vt_cuda_linear(be, &o, p, err));
    VT_TRY(vt_cuda_norm(be, p->n_rows, x, l->post_norm, b->norm, err));
    VT_TRY(vt_cuda_linear(be, &gate_up, p, err));
    return vt_cuda_swiglu(be, p->n_rows, b, err);
}

vt_status vt_cuda_layer_down(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                             vt_gpu_ptr x, vt_gpu_ptr out, vt_err *err)
{
    const struct vt_cuda_linear down = {.layer = i,
                                        .kind = VT_CUDA_DOWN,
                                        .x = b->act,
                                        .w = be->w.layers[i].down,
                                        .d = out,
                                        .n = be->shape.d_model,
                                        .k = be->shape.d_ff,
                                        .is_f32 = true,
                                        .to = x};
    return vt_cuda_linear(be, &down, p, err);
}

vt_status vt_cuda_layers(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, vt_err *err)
{
    for (int i = 0; i < be->cfg.n_layers; i++) {
        VT_TRY(vt_cuda_layer_keys(be, p, b, i, err));
        VT_TRY(vt_cuda_layer_attend(be, p, b, i, err));
        VT_TRY(vt_cuda_layer_rest(be, p, b, i, b->x, err));
        VT_TRY(vt_cuda_layer_down(be, p, b, i, b->x, b->x, err));
    }
    return VT_OK;
}

vt_status vt_cuda_embed(struct vt_cuda *be, vt_gpu_ptr tokens, int n, vt_gpu_ptr x, vt_err *err)
{
    int d = be->cfg.d_model;
    void *args[] = {&tokens, &be->w.embedding, &x, &d};
    return vt_cuda_launch(be, VT_CUDA_embed,
                          &(struct vt_gpu_grid){.x = (unsigned)n, .threads = vt_cuda_norm_threads(be->cfg.d_model)},
                          args, err);
}

vt_status vt_cuda_wide(struct vt_cuda *be, const struct vt_cuda_pass *p, vt_err *err)
{
    VT_TRY(vt_cuda_embed(be, p->tokens, p->n_rows, be->wide.x, err));
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
                                    .is_f32 = true,
                                    .is_unsplit = true};
    return vt_gpu_matmul(be->blas, be->stream, &p, err);
}
