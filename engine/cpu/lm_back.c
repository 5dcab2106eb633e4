/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_back.c: BACKWARD: the adapter's gradient of L = -sum w logprob, layer by layer from the top.
 *
 * For each layer, with dx the gradient of its output (and of its residual stream):
 *   1. keys: norm, q k v and rope again, from the tape's input (the pass's own first stage);
 *   2. rows, by stripe: attention and MLP again, then backward through down, gate, up, norm and o: dx becomes the
 * gradient after the attention's residual; that of the attention's output lies in d_qkv's queries;
 *   3. attention backward: d_qkv;
 *   4. rows, by stripe: rope and head norms backwards, q k v, norm: dx becomes the gradient of the layer's input.
 * Only adapters have gradients, so below the first layer nothing is computed.
 */
#include "cpu/lm_train.h"
#include <stdlib.h>

static void *carve(unsigned char *base, size_t *at, size_t n)
{
    void *p = base ? base + *at : NULL;
    *at += (n + 63) / 64 * 64;
    return p;
}

static int widest(const struct vt_cpu *lm)
{
    const int dims[] = {lm->cfg.d_model, lm->q_dim, lm->kv_dim, lm->cfg.d_ff, VT_HEAD_CHUNK};
    int w = 0;
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
        w = dims[i] > w ? dims[i] : w;
    return w;
}

static size_t lay_out_bufs(const struct vt_cpu *lm, int rank, unsigned char *base, struct vt_cpu_back_bufs *b)
{
    const size_t n = VT_CHUNK_ROWS, f = sizeof(float), hd = (size_t)lm->cfg.head_dim;
    const size_t queries = lm->group_heads > VT_BACK_QUERIES ? (size_t)lm->group_heads : VT_BACK_QUERIES;
    const size_t dn = (size_t)(lm->cfg.d_model > lm->q_dim ? lm->cfg.d_model : lm->q_dim);
    size_t at = 0;
    b->dy.data = carve(base, &at, n * vt_acts_row_bytes(widest(lm)));
    b->mid = carve(base, &at, n * (size_t)lm->cfg.d_model * f);
    b->dn = carve(base, &at, n * dn * f);
    b->act = carve(base, &at, n * (size_t)lm->cfg.d_ff * f);
    b->d_act = carve(base, &at, n * (size_t)lm->cfg.d_ff * f);
    b->low = carve(base, &at, n * (size_t)rank * f);
    b->d_low = carve(base, &at, n * (size_t)rank * f);
    b->q = carve(base, &at, queries * hd * f);
    b->d_out = carve(base, &at, queries * hd * f);
    b->dq = carve(base, &at, queries * hd * f);
    b->lse = carve(base, &at, queries * f);
    b->delta = carve(base, &at, queries * f);
    b->visible = carve(base, &at, queries * sizeof(int));
    return at;
}

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* n rows in equal pieces of at most `most` rows, in multiples of 16: rows of a piece. */
static int piece_rows(int n, int most)
{
    return divide_up(divide_up(n, divide_up(n, most)), 16) * 16;
}

/* Stripes from the number of rows; the claim also from that of threads: the one with which the busiest thread has the
 * fewest stripes, the larger of equals. */
static void cut_stripes(struct vt_cpu_backward *w)
{
    const int n_rows = w->n_rows;
    const int rows = divide_up(divide_up(n_rows, VT_MAX_STRIPES), 16) * 16, n_threads = w->lm->n_threads;
    w->stripe_rows = rows > VT_STRIPE_ROWS ? rows : VT_STRIPE_ROWS;
    w->n_stripes = divide_up(n_rows, w->stripe_rows);
    w->claim = 1;
    for (int c = 1, least = w->n_stripes; c * w->stripe_rows <= VT_CHUNK_ROWS; c++) {
        const int busiest = divide_up(divide_up(w->n_stripes, c), n_threads) * c;
        if (busiest > least)
            continue;
        least = busiest;
        w->claim = c;
    }
}

/* Everything a backward needs beside the tape, in one allocation; base NULL only measures. */
static size_t lay_out(struct vt_cpu_backward *w, int rank, size_t n_key_floats, unsigned char *base)
{
    const struct vt_cpu *lm = w->lm;
    const size_t n = (size_t)w->n_rows, f = sizeof(float);
    size_t at = 0;
    cut_stripes(w);
    w->dx = carve(base, &at, n * (size_t)lm->cfg.d_model * f);
    w->qkv = carve(base, &at, n * (size_t)lm->qkv_dim * f);
    w->d_qkv = carve(base, &at, n * (size_t)lm->qkv_dim * f);
    w->lse = carve(base, &at, n * (size_t)lm->cfg.n_heads * f);
    w->delta = carve(base, &at, n * (size_t)lm->cfg.n_heads * f);
    w->keys = carve(base, &at, n_key_floats * f);
    w->part = carve(base, &at, (size_t)w->n_stripes * w->part_size * f);
    for (int i = 0; i < lm->n_threads; i++) {
        struct vt_cpu_back_bufs none;
        unsigned char *here = base ? base + at : NULL;
        at += lay_out_bufs(lm, rank, here, base ? &w->bufs[i] : &none);
    }
    return at;
}

struct rows {
    struct vt_cpu_backward *w;
    struct vt_cpu_bufs *b;
    struct vt_cpu_back_bufs *bb;
    struct vt_cpu_part part;
    const float *x; /* the layer's input, row r0 on */
    float *dx;
    float *grads; /* of the first row's stripe */
    int r0, n;
};

static struct vt_acts pack_dy(const struct rows *t, const float *dy, size_t ld, int width)
{
    struct vt_acts a = {.n_in = width, .stride = vt_acts_row_bytes(width), .data = t->bb->dy.data, .is_plain = true};
    t->w->lm->k->acts_pack(&a, t->w->lm->prec, 0, t->n, dy, ld, 1.0f);
    return a;
}

/* dx (+)= dy W of one module, with its LoRA gradients. */
static void back_linear(const struct rows *t, int target, const struct vt_acts *x, const float *x_rows, size_t ldx,
                        const float *dy, size_t ldy, float *dx, size_t lddx, bool add)
{
    const struct vt_cpu *lm = t->w->lm;
    const int layer = t->w->pass.layer;
    const struct vt_matrix *w_t = &lm->back->w[layer * VT_N_LINEAR + target];
    const struct vt_acts acts = pack_dy(t, dy, ldy, w_t->n_in);
    if (dx)
        lm->k->gemm(w_t, &acts, 0, t->n, 0, w_t->n_out, dx, lddx, add);
    const struct vt_cpu_back_linear l = {.layer = layer,
                                         .target = target,
                                         .n = t->n,
                                         .x = x,
                                         .x_rows = x_rows,
                                         .ldx = ldx,
                                         .dy = &acts,
                                         .dy_rows = dy,
                                         .ldy = ldy,
                                         .dx = dx,
                                         .lddx = lddx,
                                         .part = t->grads};
    vt_cpu_back_lora(t->w, &l, t->b, t->bb);
}

/* The rest of the layer once more, from the attention on: ctx, mid, norm, gate, up, act are left in the buffers. */
static void recompute(const struct rows *t)
{
    const struct vt_cpu_backward *w = t->w;
    const struct vt_cpu *lm = w->lm;
    const struct vt_kernels *k = lm->k;
    const struct vt_cpu_layer *l = &lm->layers[w->pass.layer];
    const size_t d = (size_t)lm->cfg.d_model, ff = (size_t)lm->cfg.d_ff, q = (size_t)lm->q_dim;
    vt_cpu_attend(&w->pass, t->r0, t->r0 + t->n, t->b, t->b->f_ctx, w->lse + (size_t)t->r0 * (size_t)lm->cfg.n_heads);
    k->acts_pack(&t->b->ctx, lm->prec, 0, t->n, t->b->f_ctx, q, 1.0f);
    memcpy(t->bb->mid, t->x, (size_t)t->n * d * sizeof(float));
    vt_cpu_linear(&t->part, VT_LORA_O, &t->b->ctx, t->bb->mid, d, true);
    for (int i = 0; i < t->n; i++)
        t->b->inv_rms[i] = k->rmsnorm(lm->cfg.d_model, t->bb->mid + (size_t)i * d, l->post_norm, lm->cfg.rms_eps,
                                      t->b->f_norm + (size_t)i * d);
    k->acts_pack(&t->b->norm, lm->prec, 0, t->n, t->b->f_norm, d, 1.0f);
    vt_cpu_linear(&t->part, VT_LORA_GATE, &t->b->norm, t->b->gate, ff, false);
    vt_cpu_linear(&t->part, VT_LORA_UP, &t->b->norm, t->b->up, ff, false);
    for (int i = 0; i < t->n; i++)
        k->silu_mul(lm->cfg.d_ff, t->b->gate + (size_t)i * ff, t->b->up + (size_t)i * ff, t->bb->act + (size_t)i * ff);
    k->acts_pack(&t->b->act, lm->prec, 0, t->n, t->bb->act, ff, 1.0f);
}

static void norm_backward(const struct rows *t, const float *x, const float *weight, const float *dn)
{
    const struct vt_cpu *lm = t->w->lm;
    const size_t d = (size_t)lm->cfg.d_model;
    for (int i = 0; i < t->n; i++)
        lm->k->rmsnorm_backward(lm->cfg.d_model, x + (size_t)i * d, weight, t->b->inv_rms[i], dn + (size_t)i * d,
                                t->dx + (size_t)i * d);
}

/* Stage 2 of a chunk. */
static void rest_backward(const struct rows *t)
{
    const struct vt_cpu_backward *w = t->w;
    const struct vt_cpu *lm = w->lm;
    const struct vt_kernels *k = lm->k;
    const struct vt_cpu_layer *l = &lm->layers[w->pass.layer];
    const size_t d = (size_t)lm->cfg.d_model, ff = (size_t)lm->cfg.d_ff, q = (size_t)lm->q_dim,
                 hd = (size_t)lm->cfg.head_dim;
    recompute(t);
    back_linear(t, VT_LORA_DOWN, &t->b->act, t->bb->act, ff, t->dx, d, t->bb->d_act, ff, false);
    for (int i = 0; i < t->n; i++) {
        const size_t at = (size_t)i * ff;
        k->silu_mul_backward(lm->cfg.d_ff, t->b->gate + at, t->b->up + at, t->bb->d_act + at, t->b->gate + at,
                             t->b->up + at);
    }
    back_linear(t, VT_LORA_GATE, &t->b->norm, t->b->f_norm, d, t->b->gate, ff, t->bb->dn, d, false);
    back_linear(t, VT_LORA_UP, &t->b->norm, t->b->f_norm, d, t->b->up, ff, t->bb->dn, d, true);
    norm_backward(t, t->bb->mid, l->post_norm, t->bb->dn);
    const size_t ld = (size_t)lm->qkv_dim;
    float *d_ctx = w->d_qkv + (size_t)t->r0 * ld;
    back_linear(t, VT_LORA_O, &t->b->ctx, t->b->f_ctx, q, t->dx, d, d_ctx, ld, false);
    for (int i = 0; i < t->n; i++)
        for (int h = 0; h < lm->cfg.n_heads; h++)
            w->delta[(size_t)(t->r0 + i) * (size_t)lm->cfg.n_heads + (size_t)h] =
                k->dot(lm->cfg.head_dim, d_ctx + (size_t)i * ld + (size_t)h * hd,
                       t->b->f_ctx + (size_t)i * q + (size_t)h * hd);
}

/* Rope, and Qwen3's head norm, of one row's gradients backwards. raw: q, k before the head norm. */
static void heads_backward(const struct rows *t, int row, const float *raw, float *d_qkv)
{
    const struct vt_cpu *lm = t->w->lm;
    const struct vt_cpu_layer *l = &lm->layers[t->w->pass.layer];
    const int hd = lm->cfg.head_dim;
    const float *angles = lm->rope + (size_t)t->w->pass.pos[row] * (size_t)hd;
    for (int h = 0; h < lm->cfg.n_heads + lm->cfg.n_kv_heads; h++) {
        float *g = d_qkv + (size_t)(h * hd), out[VT_MAX_HEAD_DIM], normed[VT_MAX_HEAD_DIM];
        const float *norm = l->head_norm[h < lm->cfg.n_heads ? 0 : 1];
        lm->k->rope(hd, g, angles, true);
        if (!norm)
            continue;
        const float *x = raw + (size_t)(h * hd);
        const float inv = lm->k->rmsnorm(hd, x, norm, lm->cfg.rms_eps, normed);
        memset(out, 0, (size_t)hd * sizeof *out);
        lm->k->rmsnorm_backward(hd, x, norm, inv, g, out);
        memcpy(g, out, (size_t)hd * sizeof *out);
    }
}

/* Stage 4 of a chunk. */
static void keys_backward(const struct rows *t)
{
    const struct vt_cpu_backward *w = t->w;
    const struct vt_cpu *lm = w->lm;
    const struct vt_cpu_layer *l = &lm->layers[w->pass.layer];
    const size_t d = (size_t)lm->cfg.d_model, ld = (size_t)lm->qkv_dim;
    const size_t first[3] = {0, (size_t)lm->q_dim, (size_t)(lm->q_dim + lm->kv_dim)};
    float *d_qkv = w->d_qkv + (size_t)t->r0 * ld, *dn = w->pass.layer > 0 ? t->bb->dn : NULL;
    for (int i = 0; i < t->n; i++)
        t->b->inv_rms[i] = lm->k->rmsnorm(lm->cfg.d_model, t->x + (size_t)i * d, l->input_norm, lm->cfg.rms_eps,
                                          t->b->f_norm + (size_t)i * d);
    lm->k->acts_pack(&t->b->norm, lm->prec, 0, t->n, t->b->f_norm, d, 1.0f);
    for (int m = VT_LORA_Q; m <= VT_LORA_K && lm->cfg.qk_norm; m++) {
        vt_cpu_linear(&t->part, m, &t->b->norm, t->b->qkv + first[m], ld, false);
        for (int i = 0; i < t->n && l->bias[m]; i++)
            lm->k->add(m ? lm->kv_dim : lm->q_dim, l->bias[m], t->b->qkv + (size_t)i * ld + first[m]);
    }
    for (int i = 0; i < t->n; i++)
        heads_backward(t, t->r0 + i, t->b->qkv + (size_t)i * ld, d_qkv + (size_t)i * ld);
    for (int m = VT_LORA_Q; m <= VT_LORA_V; m++)
        back_linear(t, m, &t->b->norm, t->b->f_norm, d, d_qkv + first[m], ld, dn, d, m != VT_LORA_Q);
    if (dn)
        norm_backward(t, t->x, l->input_norm, dn);
}

/* Claims stripes and runs fn over their rows in order: over several whole stripes, or over equal pieces of one. */
static void each_stripe(struct vt_cpu_backward *w, int thread, int counter, void (*fn)(const struct rows *))
{
    struct vt_cpu *lm = w->lm;
    const size_t d = (size_t)lm->cfg.d_model;
    const int step = piece_rows(w->claim * w->stripe_rows, VT_CHUNK_ROWS);
    struct rows t = {.w = w, .b = &lm->bufs[thread], .bb = &w->bufs[thread]};
    for (;;) {
        const int stripe = atomic_fetch_add(&w->next[counter], w->claim);
        if (stripe >= w->n_stripes)
            return;
        const int last = (stripe + w->claim) * w->stripe_rows, end = last < w->n_rows ? last : w->n_rows;
        t.grads = w->part + (size_t)stripe * w->part_size;
        for (t.r0 = stripe * w->stripe_rows; t.r0 < end; t.r0 += step) {
            t.n = end - t.r0 < step ? end - t.r0 : step;
            t.x = w->tape->x + ((size_t)w->pass.layer * (size_t)w->n_rows + (size_t)t.r0) * d;
            t.dx = w->dx + (size_t)t.r0 * d;
            t.part = (struct vt_cpu_part){
                .pass = &w->pass, .b = t.b, .own = t.b, .r0 = t.r0, .r1 = t.r0 + t.n, .n_parts = 1, .thread = thread};
            fn(&t);
        }
    }
}

static void layer_share(void *arg, int thread, int n_threads)
{
    struct vt_cpu_backward *w = arg;
    vt_pool *pool = w->lm->pool;
    for (int s = thread; s < w->n_stripes; s += n_threads)
        memset(w->part + (size_t)s * w->part_size, 0, w->part_size * sizeof *w->part);
    vt_cpu_pass_keys(&w->pass, thread, n_threads);
    each_stripe(w, thread, 0, rest_backward);
    vt_pool_barrier(pool, thread);
    vt_cpu_back_attend(w, thread, n_threads);
    vt_pool_barrier(pool, thread);
    each_stripe(w, thread, 2, keys_backward);
    vt_pool_barrier(pool, thread);
    vt_cpu_part_reduce(w, w->pass.layer, thread, n_threads);
}

static void head_share(void *arg, int thread, int n_threads)
{
    struct vt_cpu_backward *w = arg;
    const size_t d = (size_t)w->lm->cfg.d_model;
    int a, b;
    vt_range_split(w->n_rows, 1, thread, n_threads, &a, &b);
    memset(w->dx + (size_t)a * d, 0, (size_t)(b - a) * d * sizeof *w->dx);
    vt_cpu_back_head(w, thread, n_threads);
}

static void reset_claims(struct vt_cpu_backward *w)
{
    for (int i = 0; i < 3; i++)
        atomic_store(&w->next[i], 0);
    atomic_store(&w->pass.next[0], 0);
    atomic_store(&w->pass.next[1], 0);
}

static vt_status run(struct vt_cpu_backward *w, vt_err *err)
{
    struct vt_cpu *lm = w->lm;
    const size_t d = (size_t)lm->cfg.d_model, n = (size_t)w->n_rows;
    reset_claims(w);
    vt_pool_run(lm->pool, head_share, w);
    w->pass.qkv = w->qkv;
    for (w->pass.layer = lm->cfg.n_layers - 1; w->pass.layer >= 0; w->pass.layer--) {
        vt_lease_poll_pool(lm->lease, lm->pool);
        VT_TRY(vt_cpu_check_end(w->work, err));
        reset_claims(w);
        w->pass.x = w->tape->x + (size_t)w->pass.layer * n * d;
        vt_pool_run(lm->pool, layer_share, w);
    }
    return VT_OK;
}

static size_t key_floats(const struct vt_cpu *lm, const vt_lm_tape *t, size_t *at)
{
    size_t n = 0;
    for (int i = 0; i < t->n_prompts; i++) {
        at[i] = n;
        n += vt_cpu_key_floats(lm, t->prompts[i].n, t->prompts[i].n_seqs);
    }
    return n;
}

/* The bulk memory is taken once; everything in it is a slice. */
static vt_status prepare(struct vt_cpu_backward *w, vt_err *err)
{
    struct vt_cpu *lm = w->lm;
    struct vt_cpu_tape *t = w->tape;
    void *memory;
    VT_TRY(vt_cpu_tape_pass(lm, t, &w->pass, err));
    w->bufs = vt_alloc_array((size_t)lm->n_threads, sizeof *w->bufs);
    w->keys_at = vt_alloc_array((size_t)t->door->n_prompts, sizeof *w->keys_at);
    w->head_row = vt_alloc_array((size_t)t->door->n_heads, sizeof *w->head_row);
    if (!w->bufs || !w->keys_at || !w->head_row)
        return vt_fail(err, VT_ENOMEM, "out of memory for a backward over %d tokens", w->n_rows);
    w->part_size = vt_cpu_part_size(lm, t->adapter->host);
    const size_t n_keys = key_floats(lm, t->door, w->keys_at), bytes = lay_out(w, lm->bufs_rank, n_keys, NULL);
    VT_TRY(vt_cpu_take(lm, bytes, "the backward's buffers", &memory, err));
    w->memory = memory;
    w->bytes = bytes;
    (void)lay_out(w, lm->bufs_rank, n_keys, memory);
    const float *x = t->x + (size_t)lm->cfg.n_layers * (size_t)w->n_rows * (size_t)lm->cfg.d_model;
    VT_TRY(vt_cpu_targets_begin(lm, t->door->n_heads, (size_t)t->door->n_targets, false, &w->list, err));
    vt_cpu_tape_targets(lm, t, x, NULL, &w->list);
    for (int i = 0; i < w->list.n_rows; i++)
        w->head_row[i] = t->door->heads[i].row;
    return VT_OK;
}

vt_status vt_cpu_backward(void *be, struct vt_lm_work *work, vt_err *err)
{
    struct vt_cpu *lm = be;
    struct vt_cpu_tape *t = work->backward.tape->impl;
    struct vt_cpu_backward w = {.lm = lm,
                                .tape = t,
                                .work = work,
                                .n_rows = t->door->n_rows,
                                .weight = work->backward.w,
                                .grad = work->backward.grad->impl};
    vt_status status = vt_cpu_bufs_ensure(lm, t->adapter->host->rank, err);
    if (status == VT_OK)
        status = vt_cpu_back_ensure(lm, err);
    if (status == VT_OK)
        status = vt_cpu_adapter_ready(lm, t->adapter, true, err);
    if (status == VT_OK)
        status = prepare(&w, err);
    if (status == VT_OK)
        status = run(&w, err);
    vt_cpu_targets_free(lm, &w.list);
    vt_cpu_give(lm, w.memory, w.bytes);
    free(w.bufs);
    free(w.keys_at);
    free(w.head_row);
    return status;
}

uint64_t vt_cpu_backward_bytes(const struct vt_cpu *lm, const struct vt_adapter *h, int n_rows, size_t key_floats)
{
    struct vt_cpu_backward w = {.lm = (struct vt_cpu *)(uintptr_t)lm, .n_rows = n_rows}; /* only measured */
    w.part_size = h ? vt_cpu_part_size(lm, h) : 0;
    return lay_out(&w, h ? h->rank : 0, key_floats, NULL);
}
