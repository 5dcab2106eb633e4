/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_back_head.c: where the gradient begins. L = -sum w_t log p(id_t): for a head row with targets t,
 *     dL/dlogits = (sum_t w_t) softmax - sum_t w_t onehot(id_t),    dh = dlogits W_emb,
 * made a vocabulary chunk at a time from recomputed logits, for rows of which some weight is not zero. Each chunk's
 * share of dh is summed alone: as one chain over the vocabulary, dh had three times the error of all that follows. dh
 * then passes the final norm into dx. Rows of a stripe are walked in order by one thread, because an adapted
 * unembedding gathers its gradients per stripe.
 */
#include "cpu/lm_train.h"

struct block {
    struct vt_cpu_backward *w;
    struct vt_cpu_bufs *b;
    struct vt_cpu_back_bufs *bb;
    float *part;
    int n;
    int rows[VT_CHUNK_ROWS]; /* head rows */
    const float *x[VT_CHUNK_ROWS];
};

static int first_target(const struct vt_cpu_targets *l, int row)
{
    int lo = 0, hi = l->n_targets;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (l->targets[mid].row < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Sum of a head row's weights; *is_active when one of them is not zero. */
static double row_weight(const struct vt_cpu_backward *w, int row, bool *is_active)
{
    double sum = 0;
    *is_active = false;
    for (int t = first_target(&w->list, row); t < w->list.n_targets && w->list.targets[t].row == row; t++) {
        sum += (double)w->weight[t];
        *is_active |= w->weight[t] != 0;
    }
    return sum;
}

/* Logits of a chunk -> their gradient, in place. */
static void chunk_gradient(const struct block *k, int chunk, int n)
{
    const struct vt_cpu_backward *w = k->w;
    const int n0 = chunk * VT_HEAD_CHUNK;
    for (int i = 0; i < k->n; i++) {
        const int row = k->rows[i];
        float *y = k->b->logits + (size_t)i * VT_HEAD_CHUNK;
        bool is_active;
        const double sum = row_weight(w, row, &is_active);
        (void)w->lm->k->exp_sum(n, y, 1.0f, (float)w->tape->lse[row], y);
        w->lm->k->scale(n, (float)sum, y);
        for (int t = first_target(&w->list, row); t < w->list.n_targets && w->list.targets[t].row == row; t++) {
            const int column = w->list.targets[t].id - n0;
            if (column >= 0 && column < n)
                y[column] -= w->weight[t];
        }
    }
}

/* The share of the unembedding's LoRA: dB of the chunk's rows, du of all. */
static void chunk_lora(const struct block *k, const struct vt_cpu_lora *m, int chunk, int n)
{
    const struct vt_cpu *lm = k->w->lm;
    const struct vt_cpu_adapter *a = k->w->tape->adapter;
    const size_t r = (size_t)a->host->rank;
    const float *b = a->host->params;
    size_t a_off, b_off;
    (void)vt_adapter_at(a->host, lm->cfg.n_layers, VT_LORA_UNEMBED, &a_off, &b_off);
    b += b_off + (size_t)(chunk * VT_HEAD_CHUNK) * r;
    float *d_b = k->part + r * (size_t)m->a.n_in + (size_t)(chunk * VT_HEAD_CHUNK) * r;
    lm->k->gemm_tn(lm->prec, k->n, 0, n, (int)r, k->b->logits, VT_HEAD_CHUNK, k->bb->low, r, a->scale, d_b, r);
    for (int i = 0; i < k->n; i++)
        for (int c = 0; c < n; c++)
            lm->k->axpy((int)r, k->b->logits[(size_t)i * VT_HEAD_CHUNK + (size_t)c], b + (size_t)c * r,
                        k->bb->d_low + (size_t)i * r);
}

static void finish_lora(const struct block *k, const struct vt_cpu_lora *m, float *dh)
{
    const struct vt_cpu *lm = k->w->lm;
    const struct vt_cpu_adapter *a = k->w->tape->adapter;
    const int rank = a->host->rank;
    const size_t r = (size_t)rank, d = (size_t)lm->cfg.d_model;
    struct vt_acts low;
    lm->k->gemm_tn(lm->prec, k->n, 0, rank, lm->cfg.d_model, k->bb->d_low, r, k->b->f_norm, d, a->scale, k->part, d);
    vt_cpu_low_pack(lm, rank, 0, k->n, k->bb->d_low, a->scale, k->b, &low);
    lm->k->gemm(&m->a_t, &low, 0, k->n, 0, lm->cfg.d_model, dh, d, true);
}

static void run_block(struct block *k)
{
    struct vt_cpu_backward *w = k->w;
    struct vt_cpu *lm = w->lm;
    const size_t d = (size_t)lm->cfg.d_model;
    const struct vt_cpu_run run = {.row0 = 0, .row1 = k->n, .adapter = w->tape->adapter};
    const struct vt_cpu_lora *m = vt_cpu_lora_of(lm, w->tape->adapter, lm->cfg.n_layers, 0);
    float *dh = k->bb->dn;
    if (k->n == 0)
        return;
    vt_cpu_head_pack(lm, k->x, k->n, k->b);
    if (m) {
        const int rank = w->tape->adapter->host->rank;
        vt_cpu_low_make(lm, &m->a, rank, &k->b->norm, 0, k->n, k->b, k->bb->low);
        memset(k->bb->d_low, 0, (size_t)k->n * (size_t)rank * sizeof(float));
    }
    for (int c = 0; c < vt_cpu_head_chunks(lm); c++) {
        const int left = lm->cfg.n_vocab - c * VT_HEAD_CHUNK, n = left < VT_HEAD_CHUNK ? left : VT_HEAD_CHUNK;
        struct vt_acts dy = k->bb->dy;
        dy.n_in = n;
        dy.is_plain = true;
        dy.stride = vt_acts_row_bytes(n);
        vt_cpu_head_chunk(lm, &run, 1, 0, k->n, c, &k->b->norm, k->b, k->b->logits, VT_HEAD_CHUNK);
        chunk_gradient(k, c, n);
        lm->k->acts_pack(&dy, lm->prec, 0, k->n, k->b->logits, VT_HEAD_CHUNK, 1.0f);
        lm->k->gemm(&lm->back->head[c], &dy, 0, k->n, 0, lm->cfg.d_model, c ? k->bb->mid : dh, d, false);
        for (int i = 0; i < k->n && c; i++)
            lm->k->add(lm->cfg.d_model, k->bb->mid + (size_t)i * d, dh + (size_t)i * d);
        if (m)
            chunk_lora(k, m, c, n);
    }
    if (m)
        finish_lora(k, m, dh);
    for (int i = 0; i < k->n; i++)
        lm->k->rmsnorm_backward(lm->cfg.d_model, k->x[i], lm->final_norm, k->b->inv_rms[i], dh + (size_t)i * d,
                                w->dx + (size_t)w->head_row[k->rows[i]] * d);
    k->n = 0;
}

/* Rows of stripes [stripe, end); with an adapted unembedding only of one. */
static void run_stripes(struct vt_cpu_backward *w, int stripe, int end, int thread)
{
    struct block k = {
        .w = w, .b = &w->lm->bufs[thread], .bb = &w->bufs[thread], .part = w->part + (size_t)stripe * w->part_size};
    int r0, r1, unused;
    vt_range_split(w->list.n_rows, 1, stripe, w->n_stripes, &r0, &unused);
    vt_range_split(w->list.n_rows, 1, end - 1, w->n_stripes, &unused, &r1);
    for (int r = r0; r < r1; r++) {
        bool is_active;
        (void)row_weight(w, r, &is_active);
        if (!is_active)
            continue;
        k.rows[k.n] = r;
        k.x[k.n++] = w->list.x[r];
        if (k.n == VT_CHUNK_ROWS)
            run_block(&k);
    }
    run_block(&k);
}

void vt_cpu_back_head(struct vt_cpu_backward *w, int thread, int n_threads)
{
    const bool is_adapted = vt_cpu_lora_of(w->lm, w->tape->adapter, w->lm->cfg.n_layers, 0) != NULL;
    for (int s = thread; s < w->n_stripes && is_adapted; s += n_threads)
        memset(w->part + (size_t)s * w->part_size, 0, w->part_size * sizeof *w->part);
    vt_pool_barrier(w->lm->pool, thread);
    for (;;) {
        const int claim = is_adapted ? 1 : w->claim, stripe = atomic_fetch_add(&w->next[0], claim);
        if (stripe >= w->n_stripes)
            break;
        run_stripes(w, stripe, stripe + claim < w->n_stripes ? stripe + claim : w->n_stripes, thread);
    }
    vt_pool_barrier(w->lm->pool, thread);
    if (is_adapted)
        vt_cpu_part_reduce(w, w->lm->cfg.n_layers, thread, n_threads);
}
