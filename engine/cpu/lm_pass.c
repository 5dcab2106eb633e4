/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_pass.c: one walk of a batch of rows through all layers (Llama, Qwen2, Qwen3).
 *
 * A layer has two stages. Keys: norm, q k v, rope, keys and values into pages. Rest: attention, output projection,
 * norm, gate and up, down. Between them every row's keys must be written, so threads meet there and at the layer's end.
 * A stage is written once, for a *part*: some rows, and a share of every product's columns. A wide pass gives a thread
 * whole rows, chunk by chunk (share 1 of 1, no barrier inside); a narrow one gives every thread all rows and its share
 * of the columns, with a barrier after each step. Chunks are claimed, not assigned: an element's value does not depend
 * on who computes it, and a thread that is held up by another process does not hold up the rest.
 */
#include "cpu/lm_parts.h"

enum { SUM_COLUMNS = 128 };

static void sync_part(const struct vt_cpu_part *t)
{
    if (t->n_parts > 1)
        vt_pool_barrier(t->pass->lm->pool, t->thread);
}

/* This part's share of its rows, relative to r0. */
static void row_share(const struct vt_cpu_part *t, int *begin, int *end)
{
    vt_range_split(t->r1 - t->r0, 1, t->part, t->n_parts, begin, end);
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Columns of this part. Products that read the same rows are one range of strips, of which this product's begin at
 * `before` and all are `of`: on their own, the six strips of k would keep six threads of sixteen. */
static void column_share(const struct vt_cpu_part *t, int n_out, int before, int of, int *n0, int *n1)
{
    int a, b;
    vt_range_split(of, 1, t->part, t->n_parts, &a, &b);
    a = (a < before ? 0 : a - before) * VT_COLUMN_STEP;
    b = (b < before ? 0 : b - before) * VT_COLUMN_STEP;
    *n0 = min_int(a, n_out);
    *n1 = min_int(b, n_out);
}

static int n_strips(int n_columns)
{
    return (n_columns + VT_COLUMN_STEP - 1) / VT_COLUMN_STEP;
}

/* y (+)= x W^T with the adapter's part, for this part's columns (column_share). An adapter's part comes
 * first and the weight's products are added to it: the other way round it would be added to a sum that stands on a
 * coarser grid, term by term, and what is below half a unit there would always be lost (a fresh adapter after a small
 * step). For the same reason what is added to a residual is summed up alone. A block of columns at a time, so
 * that the sums are still near when they are added to. */
static void linear(const struct vt_cpu_part *t, int target, const struct vt_acts *x, float *y, size_t ldy, bool add,
                   int before, int of)
{
    const struct vt_cpu_pass *p = t->pass;
    const struct vt_cpu *lm = p->lm;
    const struct vt_matrix *w = lm->layers[p->layer].w[target];
    const int n_rows = t->r1 - t->r0;
    int n0, n1;
    column_share(t, w->n_out, before, of, &n0, &n1);
    if (n0 >= n1)
        return;
    const bool is_adapted = vt_cpu_lora_low(lm, p->runs, p->n_runs, p->layer, target, t->r0, t->r1, x, t->own);
    const int step = add || is_adapted ? SUM_COLUMNS : n1 - n0;
    for (int a = n0; a < n1; a += step) {
        const int b = min_int(a + step, n1);
        float *sum = add ? t->own->f_norm - a : y; /* the kernels address whole rows; only columns a.. are touched */
        const size_t ld = add ? (size_t)(b - a) : ldy;
        if (is_adapted)
            vt_cpu_lora_wide(lm, p->runs, p->n_runs, p->layer, target, t->r0, t->r1, t->own, sum, ld, a, b);
        lm->k->gemm(w, x, 0, n_rows, a, b, sum, ld, is_adapted);
        for (int i = 0; add && i < n_rows; i++)
            lm->k->add(b - a, sum + (size_t)i * ld + a, y + (size_t)i * ldy + a);
    }
}

void vt_cpu_linear(const struct vt_cpu_part *t, int target, const struct vt_acts *x, float *y, size_t ldy, bool add)
{
    linear(t, target, x, y, ldy, add, 0, n_strips(t->pass->lm->layers[t->pass->layer].w[target]->n_out));
}

static void norm_and_pack(const struct vt_cpu_part *t, const float *weight)
{
    const struct vt_cpu_pass *p = t->pass;
    const struct vt_cpu *lm = p->lm;
    const size_t d = (size_t)lm->cfg.d_model;
    int a, b;
    row_share(t, &a, &b);
    for (int i = a; i < b; i++) {
        (void)lm->k->rmsnorm(lm->cfg.d_model, p->x + (size_t)(t->r0 + i) * d, weight, lm->cfg.rms_eps, t->own->f_norm);
        lm->k->acts_pack(&t->b->norm, lm->prec, i, 1, t->own->f_norm, d, 1.0f);
    }
}

/* Bias, head norm and rope of one row's queries and keys. */
static void shape_heads(const struct vt_cpu *lm, const struct vt_cpu_layer *l, int pos, float *qkv)
{
    const struct vt_lm_config *c = &lm->cfg;
    const float *angles = lm->rope + (size_t)pos * (size_t)c->head_dim;
    if (l->bias[0]) {
        lm->k->add(lm->q_dim, l->bias[0], qkv);
        lm->k->add(lm->kv_dim, l->bias[1], qkv + lm->q_dim);
        lm->k->add(lm->kv_dim, l->bias[2], qkv + lm->q_dim + lm->kv_dim);
    }
    for (int h = 0; h < c->n_heads + c->n_kv_heads; h++) {
        float *x = qkv + (size_t)h * (size_t)c->head_dim;
        const float *norm = l->head_norm[h < c->n_heads ? 0 : 1];
        if (norm)
            (void)lm->k->rmsnorm(c->head_dim, x, norm, c->rms_eps, x);
        lm->k->rope(c->head_dim, x, angles, false);
    }
}

static void put_keys(const struct vt_cpu *lm, const struct vt_cpu_span *s, int layer, int pos, const float *qkv)
{
    const int hd = lm->cfg.head_dim;
    const struct vt_cpu_block *block = &s->blocks[pos / VT_PAGE_KEYS];
    unsigned char *pages = block->data + (size_t)layer * block->layer_stride;
    for (int h = 0; h < lm->cfg.n_kv_heads; h++)
        lm->k->kv_put(lm->prec, pages + (size_t)h * lm->page_bytes, hd, pos % VT_PAGE_KEYS, qkv + lm->q_dim + h * hd,
                      qkv + lm->q_dim + lm->kv_dim + h * hd);
}

static void put_queries(const struct vt_cpu_pass *p, int row, const float *qkv)
{
    const struct vt_cpu *lm = p->lm;
    const size_t g = (size_t)lm->group_heads, hd = (size_t)lm->cfg.head_dim;
    for (int h = 0; h < lm->cfg.n_kv_heads; h++)
        lm->k->query_pack(lm->prec, lm->cfg.head_dim, lm->group_heads, qkv + (size_t)h * g * hd, hd,
                          p->query +
                              (((size_t)h * (size_t)p->n_rows + (size_t)row) * g) * vt_query_bytes(lm->cfg.head_dim));
}

static void stage_keys(const struct vt_cpu_part *t)
{
    const struct vt_cpu_pass *p = t->pass;
    const struct vt_cpu *lm = p->lm;
    const struct vt_cpu_layer *l = &lm->layers[p->layer];
    const size_t ld = (size_t)lm->qkv_dim, d = (size_t)lm->cfg.d_model;
    const int q = n_strips(lm->q_dim), kv = n_strips(lm->kv_dim), of = q + 2 * kv;
    int a, b;
    norm_and_pack(t, l->input_norm);
    sync_part(t);
    linear(t, VT_LORA_Q, &t->b->norm, t->b->qkv, ld, false, 0, of);
    linear(t, VT_LORA_K, &t->b->norm, t->b->qkv + lm->q_dim, ld, false, q, of);
    linear(t, VT_LORA_V, &t->b->norm, t->b->qkv + lm->q_dim + lm->kv_dim, ld, false, q + kv, of);
    sync_part(t);
    row_share(t, &a, &b);
    for (int i = a; i < b; i++) {
        const int row = t->r0 + i;
        float *qkv = t->b->qkv + (size_t)i * ld;
        shape_heads(lm, l, p->pos[row], qkv);
        if (p->qkv)
            memcpy(p->qkv + (size_t)row * ld, qkv, ld * sizeof(float));
        if (p->tape)
            memcpy(p->tape + ((size_t)p->layer * (size_t)p->n_rows + (size_t)row) * d, p->x + (size_t)row * d,
                   d * sizeof(float));
        put_keys(lm, &p->spans[p->span_of[row]], p->layer, p->pos[row], qkv);
        put_queries(p, row, qkv);
    }
}

/* Keys of a prompt's last, partly filled block, copied into the completions' own pages (training only). */
static void put_tails(const struct vt_cpu_pass *p, int thread, int n_threads)
{
    const size_t ld = (size_t)p->lm->qkv_dim;
    for (int i = thread; i < p->n_spans; i += n_threads) {
        const struct vt_cpu_span *s = &p->spans[i];
        for (int j = 0; j < s->n_tail; j++)
            put_keys(p->lm, s, p->layer, s->pos0 - s->n_tail + j, p->qkv + (size_t)(s->tail_row + j) * ld);
    }
}

/* Scored completions: the part of the prompt in its last block, of the layer at work. Own keys are put behind it. */
static void copy_prefixes(const struct vt_cpu_pass *p, int thread, int n_threads)
{
    for (int i = thread; i < p->n_spans; i += n_threads) {
        const struct vt_cpu_span *s = &p->spans[i];
        if (s->prefix)
            memcpy(s->blocks[s->n_shared].data, s->prefix->data + (size_t)p->layer * s->prefix->layer_stride,
                   p->lm->block_bytes);
    }
}

static void stage_rest(const struct vt_cpu_part *t)
{
    const struct vt_cpu_pass *p = t->pass;
    const struct vt_cpu *lm = p->lm;
    const struct vt_kernels *k = lm->k;
    const struct vt_cpu_layer *l = &lm->layers[p->layer];
    const size_t d = (size_t)lm->cfg.d_model, ff = (size_t)lm->cfg.d_ff, q = (size_t)lm->q_dim;
    float *x = p->x + (size_t)t->r0 * d;
    const int wide = n_strips(lm->cfg.d_ff);
    int a, b;
    row_share(t, &a, &b);
    if (a < b) {
        vt_cpu_attend(p, t->r0 + a, t->r0 + b, t->own, t->b->f_ctx + (size_t)a * q, NULL);
        k->acts_pack(&t->b->ctx, lm->prec, a, b - a, t->b->f_ctx + (size_t)a * q, q, 1.0f);
    }
    sync_part(t);
    vt_cpu_linear(t, VT_LORA_O, &t->b->ctx, x, d, true);
    sync_part(t);
    norm_and_pack(t, l->post_norm);
    sync_part(t);
    linear(t, VT_LORA_GATE, &t->b->norm, t->b->gate, ff, false, 0, 2 * wide);
    linear(t, VT_LORA_UP, &t->b->norm, t->b->up, ff, false, wide, 2 * wide);
    sync_part(t);
    for (int i = a; i < b; i++) { /* a row at a time: it is packed from the first-level cache */
        float *gate = t->b->gate + (size_t)i * ff;
        k->silu_mul(lm->cfg.d_ff, gate, t->b->up + (size_t)i * ff, gate);
        k->acts_pack(&t->b->act, lm->prec, i, 1, gate, ff, 1.0f);
    }
    sync_part(t);
    vt_cpu_linear(t, VT_LORA_DOWN, &t->b->act, x, d, true);
}

static bool is_narrow(const struct vt_cpu_pass *p)
{
    return p->n_rows <= VT_NARROW_ROWS;
}

/* Rows of a chunk: at most VT_CHUNK_ROWS, the same number of chunks for every thread, in multiples of 16 rows. */
static int chunk_rows(const struct vt_cpu_pass *p)
{
    const int n = p->lm->n_threads;
    const int rounds = (p->n_rows + VT_CHUNK_ROWS * n - 1) / (VT_CHUNK_ROWS * n);
    const int rows = (p->n_rows + rounds * n - 1) / (rounds * n);
    return (rows + 15) / 16 * 16;
}

static void run_stage(struct vt_cpu_pass *p, int stage, int thread, int n_threads)
{
    struct vt_cpu *lm = p->lm;
    void (*fn)(const struct vt_cpu_part *) = stage ? stage_rest : stage_keys;
    struct vt_cpu_part t = {.pass = p, .own = &lm->bufs[thread], .thread = thread};
    if (is_narrow(p)) {
        t.b = &lm->bufs[0];
        t.r1 = p->n_rows;
        t.part = thread;
        t.n_parts = n_threads;
        fn(&t);
        return;
    }
    const int step = chunk_rows(p);
    t.b = t.own;
    t.n_parts = 1;
    for (;;) {
        t.r0 = atomic_fetch_add(&p->next[stage], 1) * step;
        if (t.r0 >= p->n_rows)
            return;
        t.r1 = min_int(t.r0 + step, p->n_rows);
        fn(&t);
    }
}

void vt_cpu_pass_keys(struct vt_cpu_pass *p, int thread, int n_threads)
{
    if (p->has_prefixes) {
        copy_prefixes(p, thread, n_threads);
        vt_pool_barrier(p->lm->pool, thread);
    }
    run_stage(p, 0, thread, n_threads);
    vt_pool_barrier(p->lm->pool, thread);
    if (p->qkv) {
        put_tails(p, thread, n_threads);
        vt_pool_barrier(p->lm->pool, thread);
    }
}

static void layer_share(void *arg, int thread, int n_threads)
{
    struct vt_cpu_pass *p = arg;
    vt_cpu_pass_keys(p, thread, n_threads);
    run_stage(p, 1, thread, n_threads);
}

static void embed_share(void *arg, int thread, int n_threads)
{
    struct vt_cpu_pass *p = arg;
    int a, b;
    vt_range_split(p->n_rows, 1, thread, n_threads, &a, &b);
    for (int i = a; i < b; i++)
        vt_tensor_row(p->lm->embed, p->tokens[i], p->x + (size_t)i * (size_t)p->lm->cfg.d_model);
}

vt_status vt_cpu_check_end(const struct vt_lm_work *w, vt_err *err)
{
    return w && vt_lm_is_cancelled(w) ? vt_fail(err, VT_ECANCELLED, "the job was cancelled while it ran") : VT_OK;
}

vt_status vt_cpu_pass_run(struct vt_cpu_pass *p, vt_err *err)
{
    struct vt_cpu *lm = p->lm;
    if (p->n_rows == 0)
        return VT_OK;
    vt_pool_run(lm->pool, embed_share, p);
    for (p->layer = 0; p->layer < lm->cfg.n_layers; p->layer++) {
        vt_lease_poll_pool(lm->lease, lm->pool);
        VT_TRY(vt_cpu_check_end(p->work, err));
        atomic_store(&p->next[0], 0);
        atomic_store(&p->next[1], 0);
        vt_pool_run(lm->pool, layer_share, p);
    }
    return VT_OK;
}
