/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_back.c: BACKWARD: the adapter's gradient of L = -sum w logprob, layer by layer from the top. With dx the
 * gradient of a layer's output, and so of its residual stream:
 *   1. chunk by chunk: of the layer what the tape has not kept, again; back through down, SwiGLU, gate and up, the
 * norm, the output product: dx becomes the gradient behind the attention's residual, the attention's own lies in plain
 * rows;
 *   2. all rows: the attention's backward;
 *   3. chunk by chunk: rotation and head norms backwards, q k v, the norm: dx becomes the gradient of the layer's
 * input. A module y = W x + B u, u = s A x: dB += dy' u, du = s B' dy, dA += du' x, dx = W' dy + A' du. Factors of
 * products are bf16, sums fp32. The gradients of a layer's modules gather in the order of the chunks and are then added
 * to the gradient's array: the same batch gives the same bits.
 */
#include "cuda/cuda_train.h"
#include <stdlib.h>

struct backward {
    struct vt_cuda *be;
    const struct vt_lm_work *work;
    struct vt_cuda_tape *t;
    struct vt_cuda_adapter *adapter;
    struct vt_cuda_stage *stage;
    int n_heads; /* rows of the head with a weight that is not zero */
    vt_gpu_ptr heads, sources, weights, grad;
    struct vt_cuda_block memory;
    vt_gpu_ptr dx, dq, dkv, lse, delta, parts; /* of all rows; fp32 */
    vt_gpu_ptr q, kv, d_ctx;                   /* bf16 */
    vt_gpu_ptr mid, dn;                        /* of a chunk; fp32 */
    vt_gpu_ptr dy, d_act, d_qkv, u, du;        /* bf16 */
    vt_gpu_ptr d_logits;                       /* bf16, of some head rows */
    vt_gpu_ptr sums;                           /* fp32: gradients of a layer's packed values */
};

static vt_gpu_ptr carve(vt_gpu_ptr base, size_t *at, size_t n, size_t size)
{
    const vt_gpu_ptr p = base + *at;
    *at += (n * size + 255) / 256 * 256;
    return p;
}

/* Everything a backward needs beside the tape; returns the bytes. */
static size_t lay_out(struct backward *b, const struct vt_cuda *be, const struct vt_cuda_adapter *a, int n_rows,
                      int n_parts, enum vt_cuda_kept kept, vt_gpu_ptr base)
{
    const struct vt_dev_shape *s = &be->shape;
    const size_t n = (size_t)n_rows, chunk = (size_t)(n_rows < be->wide_rows ? n_rows : be->wide_rows),
                 head = (size_t)be->head_rows, d = (size_t)s->d_model, heads = (size_t)s->n_heads,
                 kv = (size_t)(2 * s->n_kv_heads), pad = (size_t)s->head_pad, f = sizeof(float);
    size_t at = 0, low = 0;
    for (int i = 0; a && i < VT_CUDA_N_SITES; i++)
        low = (size_t)a->sites[i].n_low > low ? (size_t)a->sites[i].n_low : low;
    b->dx = carve(base, &at, n * d, f);
    if (kept == VT_CUDA_KEEP_INPUTS) {
        b->q = carve(base, &at, n * heads * pad, 2);
        b->kv = carve(base, &at, n * kv * pad, 2);
        b->lse = carve(base, &at, n * heads, f);
    }
    b->d_ctx = carve(base, &at, n * (size_t)s->q_dim, 2);
    b->dq = carve(base, &at, n * heads * pad, f);
    b->dkv = carve(base, &at, n * kv * pad, f);
    b->delta = carve(base, &at, n * heads, f);
    b->parts = carve(base, &at, (size_t)n_parts * kv * VT_CUDA_BACK_KEYS * pad, f);
    b->mid = carve(base, &at, kept == VT_CUDA_KEEP_LAYER ? 0 : chunk * d, f);
    b->dn = carve(base, &at, (chunk > head ? chunk : head) * d, f);
    b->dy = carve(base, &at, chunk * d, 2);
    b->d_act = carve(base, &at, chunk * (size_t)s->d_ff, 2);
    b->d_qkv = carve(base, &at, chunk * (size_t)s->qkv_dim, 2);
    b->u = carve(base, &at, chunk * low, 2);
    b->du = carve(base, &at, chunk * low, 2);
    b->d_logits = carve(base, &at, head * (size_t)s->ld_vocab, 2);
    b->sums = carve(base, &at, a ? a->packed_layer : 0, f);
    return at;
}

uint64_t vt_cuda_back_bytes(const struct vt_cuda *be, const struct vt_cuda_adapter *a, int n_rows, int n_parts,
                            enum vt_cuda_kept kept)
{
    struct backward b;
    return lay_out(&b, be, a, n_rows, n_parts, kept, 0);
}

/* --- kernels --- */

static vt_status launch(const struct backward *b, enum vt_cuda_kernel k, int x, int y, int threads, unsigned smem,
                        void **args, vt_err *err)
{
    const struct vt_gpu_grid grid = {.x = (unsigned)x, .y = (unsigned)y, .threads = (unsigned)threads, .smem = smem};
    return x ? vt_cuda_launch(b->be, k, &grid, args, err) : VT_OK;
}

static vt_status round_rows(const struct backward *b, vt_gpu_ptr x, vt_gpu_ptr out, int n, vt_err *err)
{
    int64_t fours = (int64_t)n * b->be->cfg.d_model / 4;
    void *args[] = {&x, &out, &fours};
    return launch(b, VT_CUDA_round, (int)((fours + 255) / 256), 1, 256, 0, args, err);
}

static vt_status norm_backward(const struct backward *b, vt_gpu_ptr x, vt_gpu_ptr w, vt_gpu_ptr dx, vt_gpu_ptr out,
                               int n, vt_err *err)
{
    int d = b->be->cfg.d_model;
    float eps = b->be->cfg.rms_eps;
    vt_gpu_ptr dy = b->dn;
    void *args[] = {&x, &w, &dy, &dx, &out, &d, &eps, &n};
    return launch(b, VT_CUDA_back_norm, (n + 7) / 8, 1, 256, 0, args, err);
}

/* --- a module --- */

struct linear {
    int layer;
    enum vt_cuda_site_kind kind;
    int n, n_out, k; /* rows, widths */
    vt_gpu_ptr x, dy, w;
    vt_gpu_ptr dx; /* 0: not wanted */
    bool is_f32;   /* of dx */
};

/* The gradients of A and B, and du. */
static vt_status back_low(const struct backward *b, const struct linear *l, const struct vt_cuda_site *s, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const vt_gpu_ptr first = b->adapter->packed + (size_t)l->layer * b->adapter->packed_layer * 2;
    const struct vt_gpu_matmul du = {.x = l->dy,
                                     .y = s->b,
                                     .d = b->du,
                                     .m = l->n,
                                     .n = s->n_low,
                                     .k = l->n_out,
                                     .ldx = l->n_out,
                                     .ldy = s->n_low,
                                     .ldd = s->n_low,
                                     .alpha = b->adapter->scale};
    const struct vt_gpu_matmul d_b = {.x = l->dy,
                                      .y = b->u,
                                      .d = b->sums + (s->b - first) * 2,
                                      .m = l->n_out,
                                      .n = s->n_low,
                                      .k = l->n,
                                      .ldx = l->n_out,
                                      .ldy = s->n_low,
                                      .ldd = s->n_low,
                                      .x_by_k = true,
                                      .is_f32 = true,
                                      .add = true};
    const struct vt_gpu_matmul d_a = {.x = b->du,
                                      .y = l->x,
                                      .d = b->sums + (s->a - first) * 2,
                                      .m = s->n_low,
                                      .n = l->k,
                                      .k = l->n,
                                      .ldx = s->n_low,
                                      .ldy = l->k,
                                      .ldd = l->k,
                                      .x_by_k = true,
                                      .is_f32 = true,
                                      .add = true};
    VT_TRY(vt_cuda_low(be, s, b->adapter->scale, l->x, l->n, b->u, err));
    VT_TRY(vt_gpu_matmul(be->blas, be->stream, &du, err));
    VT_TRY(vt_gpu_matmul(be->blas, be->stream, &d_b, err));
    return vt_gpu_matmul(be->blas, be->stream, &d_a, err);
}

static vt_status back_linear(const struct backward *b, const struct linear *l, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const struct vt_cuda_site *s = vt_cuda_site_at(b->adapter, l->layer, l->kind);
    struct vt_gpu_matmul m = {.x = l->dy,
                              .y = l->w,
                              .d = l->dx,
                              .m = l->n,
                              .n = l->k,
                              .k = l->n_out,
                              .ldx = l->n_out,
                              .ldy = l->k,
                              .ldd = l->k,
                              .is_f32 = l->is_f32,
                              .add = s != NULL};
    if (s)
        VT_TRY(back_low(b, l, s, err));
    if (!l->dx)
        return VT_OK;
    if (s) {
        const struct vt_gpu_matmul low = {.x = b->du,
                                          .y = s->a,
                                          .d = l->dx,
                                          .m = l->n,
                                          .n = l->k,
                                          .k = s->n_low,
                                          .ldx = s->n_low,
                                          .ldy = l->k,
                                          .ldd = l->k,
                                          .is_f32 = l->is_f32};
        VT_TRY(vt_gpu_matmul(be->blas, be->stream, &low, err));
    }
    return vt_gpu_matmul(be->blas, be->stream, &m, err);
}

/* --- a layer --- */

static vt_gpu_ptr row_of(vt_gpu_ptr p, int row, int n, size_t size)
{
    return p + (size_t)row * (size_t)n * size;
}

/* Queries, keys, values and log-sum-exps of a layer's rows: kept, or computed again. */
static struct vt_cuda_kept_rows rows_of(const struct backward *b, int layer, int row)
{
    const struct vt_dev_shape *s = &b->be->shape;
    struct vt_cuda_kept_rows r = vt_cuda_tape_kept(b->be, b->t, layer, row);
    if (!r.q) {
        r.q = row_of(b->q, row, s->n_heads * s->head_pad, 2);
        r.kv = row_of(b->kv, row, 2 * s->n_kv_heads * s->head_pad, 2);
        r.lse = row_of(b->lse, row, s->n_heads, sizeof(float));
    }
    return r;
}

/* A chunk's buffers and pass, with the layer's input as residual and queries and keys in plain rows too. */
static void aim(const struct backward *b, const struct vt_cuda_chunk *c, int layer, struct vt_cuda_bufs *bufs,
                struct vt_cuda_pass *pass)
{
    const struct vt_cuda_kept_rows r = rows_of(b, layer, c->row0);
    *bufs = b->be->wide;
    *pass = c->pass;
    bufs->x = vt_cuda_tape_x(b->be, b->t, layer, c->row0);
    bufs->q = r.q;
    bufs->ctx = r.ctx ? r.ctx : bufs->ctx;
    bufs->gate_up = r.gate_up ? r.gate_up : bufs->gate_up;
    pass->plain_keys = r.kv;
    pass->lse = r.lse;
}

/* What a chunk's layer left: its residual behind the attention (which comes back), its output of attention, norm, gate
 * and up, SwiGLU. */
static vt_status again(const struct backward *b, const struct vt_cuda_chunk *c, int i, struct vt_cuda_bufs *bufs,
                       const struct vt_cuda_pass *pass, vt_gpu_ptr *mid, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const int n = c->pass.n_rows;
    *mid = b->t->kept == VT_CUDA_KEEP_LAYER ? vt_cuda_tape_kept(be, b->t, i, c->row0).mid : b->mid;
    if (b->t->kept == VT_CUDA_KEEP_LAYER) {
        VT_TRY(vt_cuda_norm(be, n, *mid, be->w.layers[i].post_norm, bufs->norm, err));
        return vt_cuda_swiglu(be, n, bufs, err);
    }
    if (b->t->kept == VT_CUDA_KEEP_INPUTS) {
        VT_TRY(vt_cuda_layer_keys(be, pass, bufs, i, err));
        VT_TRY(vt_cuda_layer_attend(be, pass, bufs, i, err));
    }
    return vt_cuda_layer_rest(be, pass, bufs, i, *mid, err);
}

/* Step 1. */
static vt_status back_rest(const struct backward *b, const struct vt_cuda_chunk *c, int i, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const struct vt_dev_shape *s = &be->shape;
    const struct vt_cuda_layer *w = &be->w.layers[i];
    const int n = c->pass.n_rows, d = s->d_model;
    struct vt_cuda_bufs bufs;
    struct vt_cuda_pass pass;
    vt_gpu_ptr mid;
    aim(b, c, i, &bufs, &pass);
    const vt_gpu_ptr dx = row_of(b->dx, c->row0, d, sizeof(float));
    vt_gpu_ptr d_ctx = row_of(b->d_ctx, c->row0, s->q_dim, 2),
               delta = row_of(b->delta, c->row0, s->n_heads, sizeof(float));
    VT_TRY(again(b, c, i, &bufs, &pass, &mid, err));
    VT_TRY(round_rows(b, dx, b->dy, n, err));
    const struct linear down = {.layer = i,
                                .kind = VT_CUDA_DOWN,
                                .n = n,
                                .n_out = d,
                                .k = s->d_ff,
                                .x = bufs.act,
                                .dy = b->dy,
                                .w = w->down,
                                .dx = b->d_act};
    VT_TRY(back_linear(b, &down, err));
    int64_t n_eights = (int64_t)n * s->d_ff / 8;
    vt_gpu_ptr d_act = b->d_act;
    void *swiglu_args[] = {&bufs.gate_up, &d_act, &n_eights};
    VT_TRY(launch(b, VT_CUDA_back_swiglu, (int)((n_eights + 255) / 256), 1, 256, 0, swiglu_args, err));
    const struct linear gate_up = {.layer = i,
                                   .kind = VT_CUDA_GATE_UP,
                                   .n = n,
                                   .n_out = 2 * s->d_ff,
                                   .k = d,
                                   .x = bufs.norm,
                                   .dy = bufs.gate_up,
                                   .w = w->gate_up,
                                   .dx = b->dn,
                                   .is_f32 = true};
    VT_TRY(back_linear(b, &gate_up, err));
    VT_TRY(norm_backward(b, mid, w->post_norm, dx, b->dy, n, err));
    const struct linear o = {.layer = i,
                             .kind = VT_CUDA_O,
                             .n = n,
                             .n_out = d,
                             .k = s->q_dim,
                             .x = bufs.ctx,
                             .dy = b->dy,
                             .w = w->o,
                             .dx = d_ctx};
    VT_TRY(back_linear(b, &o, err));
    void *delta_args[] = {&bufs.ctx, &d_ctx, &delta, &be->shape};
    return launch(b, VT_CUDA_back_delta, n, (s->n_heads + 7) / 8, 256, 0, delta_args, err);
}

/* Step 2. */
static vt_status back_attention(const struct backward *b, int i, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const struct vt_cuda_tape *t = b->t;
    const int kv = be->cfg.n_kv_heads;
    const bool is_wide = be->shape.head_pad == 128;
    const struct vt_cuda_kept_rows r = rows_of(b, i, 0);
    vt_gpu_ptr spans = t->spans, queries = t->queries, keys = t->keys, sums = t->sums, q = r.q, kvs = r.kv,
               d_out = b->d_ctx, lse = r.lse, delta = b->delta, dq = b->dq, dkv = b->dkv, parts = b->parts;
    void *query_args[] = {&spans, &queries, &q, &kvs, &d_out, &lse, &delta, &dq, &be->shape};
    const enum vt_cuda_kernel query_kernel =
        be->is_own ? (is_wide ? VT_CUDA_back_wide_queries_128 : VT_CUDA_back_wide_queries_64)
                   : (is_wide ? VT_CUDA_back_queries_128 : VT_CUDA_back_queries_64);
    const enum vt_cuda_kernel key_kernel = be->is_own
                                               ? (is_wide ? VT_CUDA_back_wide_keys_128 : VT_CUDA_back_wide_keys_64)
                                               : (is_wide ? VT_CUDA_back_keys_128 : VT_CUDA_back_keys_64);
    VT_TRY(launch(b, query_kernel, t->n_queries, kv, 128, vt_cuda_back_query_bytes(is_wide), query_args, err));
    void *key_args[] = {&keys, &q, &kvs, &d_out, &lse, &delta, &dkv, &parts, &be->shape};
    VT_TRY(launch(b, key_kernel, t->n_keys, kv, 128, vt_cuda_back_key_bytes(be->is_own, is_wide), key_args, err));
    void *sum_args[] = {&sums, &parts, &dkv, &be->shape};
    return launch(b, VT_CUDA_back_key_sums, t->n_sums, 2 * kv, 256, 0, sum_args, err);
}

/* Step 3. */
static vt_status back_keys(const struct backward *b, const struct vt_cuda_chunk *c, int i, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const struct vt_dev_shape *s = &be->shape;
    const struct vt_cuda_layer *w = &be->w.layers[i];
    const int n = c->pass.n_rows, heads = s->n_heads + 2 * s->n_kv_heads;
    struct vt_cuda_bufs bufs;
    struct vt_cuda_pass pass;
    aim(b, c, i, &bufs, &pass);
    VT_TRY(vt_cuda_norm(be, n, bufs.x, w->input_norm, bufs.norm, err));
    const struct vt_cuda_linear product = {.layer = i,
                                           .kind = VT_CUDA_QKV,
                                           .x = bufs.norm,
                                           .w = w->qkv,
                                           .d = bufs.qkv,
                                           .n = s->qkv_dim,
                                           .k = s->d_model,
                                           .is_f32 = true};
    if (be->cfg.qk_norm)
        VT_TRY(vt_cuda_linear(be, &product, &pass, err));
    vt_gpu_ptr dq = row_of(b->dq, c->row0, s->n_heads * s->head_pad, sizeof(float)),
               dkv = row_of(b->dkv, c->row0, 2 * s->n_kv_heads * s->head_pad, sizeof(float)), bias = w->bias,
               q_norm = w->q_norm, k_norm = w->k_norm, d_qkv = b->d_qkv;
    void *args[] = {&dq, &dkv, &bufs.qkv, &bias, &q_norm, &k_norm, &be->rope, &pass.pos, &d_qkv, &be->shape};
    VT_TRY(launch(b, VT_CUDA_back_rope, n, (heads + 7) / 8, 256, 0, args, err));
    const struct linear qkv = {.layer = i,
                               .kind = VT_CUDA_QKV,
                               .n = n,
                               .n_out = s->qkv_dim,
                               .k = s->d_model,
                               .x = bufs.norm,
                               .dy = b->d_qkv,
                               .w = w->qkv,
                               .dx = i > 0 ? b->dn : 0, /* below the first layer nothing has a gradient */
                               .is_f32 = true};
    VT_TRY(back_linear(b, &qkv, err));
    return i > 0 ? norm_backward(b, bufs.x, w->input_norm, row_of(b->dx, c->row0, s->d_model, sizeof(float)), 0, n, err)
                 : VT_OK;
}

static vt_status back_layer(const struct backward *b, int i, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const struct vt_cuda_tape *t = b->t;
    VT_TRY(vt_gpu_fill(be->gpu, b->sums, 0, b->adapter->packed_layer * sizeof(float), be->stream, err));
    for (int k = 0; k < t->n_chunks; k++)
        VT_TRY(back_rest(b, &t->chunks[k], i, err));
    VT_TRY(back_attention(b, i, err));
    for (int k = 0; k < t->n_chunks; k++)
        VT_TRY(back_keys(b, &t->chunks[k], i, err));
    const int per_layer = b->adapter->n_modules / be->cfg.n_layers;
    vt_gpu_ptr modules = b->adapter->modules + (size_t)(i * per_layer) * sizeof(struct vt_dev_module),
               packed = b->adapter->packed + (size_t)i * b->adapter->packed_layer * 2, sums = b->sums, grad = b->grad;
    int rank = b->adapter->rank;
    void *args[] = {&modules, &sums, &packed, &grad, &rank};
    return launch(b, VT_CUDA_add_modules, per_layer, 64, 256, 0, args, err);
}

/* --- the head --- */

static vt_status back_heads(const struct backward *b, vt_err *err)
{
    struct vt_cuda *be = b->be;
    int d = be->cfg.d_model;
    float eps = be->cfg.rms_eps;
    vt_gpu_ptr ids = b->t->ids, weights = b->weights, d_logits = b->d_logits, dn = b->dn, dx = b->dx;
    for (int at = 0; at < b->n_heads; at += be->head_rows) {
        const int n = b->n_heads - at < be->head_rows ? b->n_heads - at : be->head_rows;
        vt_gpu_ptr heads = b->heads + (size_t)at * sizeof(struct vt_dev_back_head),
                   sources = b->sources + (size_t)at * sizeof(uint64_t);
        void *norm_args[] = {&sources, &be->w.final_norm, &be->head_norm, &d, &eps};
        VT_TRY(launch(b, VT_CUDA_norm_from, n, 1, (int)vt_cuda_norm_threads(d), 0, norm_args, err));
        VT_TRY(vt_cuda_head(be, be->head_norm, n, err));
        void *args[] = {&be->logits, &heads, &ids, &weights, &d_logits, &be->shape};
        VT_TRY(launch(b, VT_CUDA_back_head, n, 1, 256, (unsigned)be->shape.n_chunks * 5 * (unsigned)sizeof(float), args,
                      err));
        const struct vt_gpu_matmul m = {.x = d_logits,
                                        .y = be->w.head,
                                        .d = dn,
                                        .m = n,
                                        .n = d,
                                        .k = be->cfg.n_vocab,
                                        .ldx = be->shape.ld_vocab,
                                        .ldy = d,
                                        .ldd = d,
                                        .is_f32 = true};
        VT_TRY(vt_gpu_matmul(be->blas, be->stream, &m, err));
        int n_rows = n;
        void *back_args[] = {&heads, &be->w.final_norm, &dn, &dx, &d, &eps, &n_rows};
        VT_TRY(launch(b, VT_CUDA_back_head_norm, (n + 7) / 8, 1, 256, 0, back_args, err));
    }
    return VT_OK;
}

/* --- the operation --- */

/* The head rows with weights, their residuals, and all weights, into the job's stage. */
static vt_status list_heads(struct backward *b, vt_err *err)
{
    const vt_lm_tape *d = b->t->door;
    const float *w = b->work->backward.w;
    const size_t n = (size_t)d->n_heads, n_weights = (size_t)d->n_targets;
    const size_t bytes = n * (sizeof(struct vt_dev_back_head) + sizeof(uint64_t)) + n_weights * sizeof(float) +
                         (size_t)4 * VT_CUDA_ALIGN;
    VT_TRY(vt_cuda_stage_begin(b->be, bytes, 0, &b->stage, err));
    struct vt_dev_back_head *heads = vt_cuda_arena_take(&b->stage->in, n * sizeof *heads, &b->heads);
    uint64_t *sources = vt_cuda_arena_take(&b->stage->in, n * sizeof *sources, &b->sources);
    float *weights = vt_cuda_arena_take(&b->stage->in, n_weights * sizeof *weights, &b->weights);
    if (!weights)
        return vt_fail(err, VT_EINTERNAL, "the arrays of a backward do not fit their stage");
    memcpy(weights, w, n_weights * sizeof *weights);
    for (int h = 0; h < d->n_heads; h++) {
        double sum = 0;
        bool is_active = false;
        for (int t = d->heads[h].target0; t < d->heads[h + 1].target0; t++) {
            sum += (double)w[t];
            is_active |= w[t] != 0;
        }
        if (!is_active)
            continue;
        sources[b->n_heads] = vt_cuda_tape_x(b->be, b->t, b->be->cfg.n_layers, d->heads[h].row);
        heads[b->n_heads] = (struct vt_dev_back_head){.source = sources[b->n_heads],
                                                      .row = d->heads[h].row,
                                                      .t0 = d->heads[h].target0,
                                                      .t1 = d->heads[h + 1].target0,
                                                      .weight = (float)sum};
        b->n_heads++;
    }
    return vt_cuda_stage_send(b->be, b->stage, err);
}

static vt_status run(struct backward *b, vt_err *err)
{
    struct vt_cuda *be = b->be;
    const int n = b->t->n_rows;
    VT_TRY(vt_cuda_adapter_ready(be, b->adapter, be->wide_rows, err));
    VT_TRY(vt_cuda_rope_ensure(be, b->t->last_pos, err));
    const size_t bytes = lay_out(b, be, b->adapter, n, b->t->n_parts, b->t->kept, 0);
    VT_TRY(vt_cuda_block_take(be, bytes, "the backward's buffers", &b->memory, err));
    (void)lay_out(b, be, b->adapter, n, b->t->n_parts, b->t->kept, b->memory.at);
    VT_TRY(list_heads(b, err));
    VT_TRY(vt_gpu_fill(be->gpu, b->dx, 0, (size_t)n * (size_t)be->cfg.d_model * sizeof(float), be->stream, err));
    VT_TRY(back_heads(b, err));
    for (int i = be->cfg.n_layers - 1; i >= 0; i--) {
        vt_lease_poll(be->lease);
        if (vt_lm_is_cancelled(b->work))
            return vt_fail(err, VT_ECANCELLED, "the backward was cancelled");
        VT_TRY(back_layer(b, i, err));
    }
    return vt_cuda_stage_fetch(be, b->stage, err);
}

vt_status vt_cuda_backward_begin(void *opened, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cuda *be = opened;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    vt_cuda_prompts_begin(be);
    struct backward *b = vt_alloc(sizeof *b);
    if (!b)
        return vt_fail(err, VT_ENOMEM, "out of memory for a backward");
    b->be = be;
    b->work = w;
    b->t = w->backward.tape->impl;
    b->adapter = b->t->adapter;
    b->grad = ((const struct vt_cuda_grad *)w->backward.grad->impl)->memory.at;
    const vt_status status = run(b, err);
    if (status != VT_OK) {
        vt_cuda_block_give(be, &b->memory);
        free(b);
        return status;
    }
    w->started = b;
    return VT_OK;
}

vt_status vt_cuda_backward_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err)
{
    struct backward *b = w->started;
    const vt_status status = vt_cuda_stage_wait(be, b->stage, err);
    vt_cuda_block_give(be, &b->memory);
    free(b);
    w->started = NULL;
    return status;
}
