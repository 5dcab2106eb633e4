/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_head.c: from residual rows to log-probabilities over the vocabulary.
 *
 * The vocabulary is walked in fixed chunks. A chunk of a row yields its maximum and its sum of exp(logit - maximum);
 * the merge over chunks runs in index order in double, so the log-sum-exp does not depend on threads or batch. Only
 * decode keeps the logits (it samples from them, inside this process); score and training pick the target's logit from
 * the chunk that is in cache and drop the rest.
 *
 * Few rows: threads share the chunks. Many rows: threads claim blocks of rows and walk the whole vocabulary, so that a
 * chunk of weights serves a full block. Rows that ask for more than log-probabilities (lm_extra.c) are walked the
 * second way however few they are, because a thread then meets all chunks of a row in order.
 */
#include "cpu/lm_parts.h"
#include <math.h>

int vt_cpu_head_chunks(const struct vt_cpu *lm)
{
    return (lm->cfg.n_vocab + VT_HEAD_CHUNK - 1) / VT_HEAD_CHUNK;
}

static int chunk_end(const struct vt_cpu *lm, int chunk)
{
    const int end = (chunk + 1) * VT_HEAD_CHUNK;
    return end < lm->cfg.n_vocab ? end : lm->cfg.n_vocab;
}

void vt_cpu_head_pack(const struct vt_cpu *lm, const float *const *x, int n, struct vt_cpu_bufs *b)
{
    const size_t d = (size_t)lm->cfg.d_model;
    for (int i = 0; i < n; i++)
        b->inv_rms[i] =
            lm->k->rmsnorm(lm->cfg.d_model, x[i], lm->final_norm, lm->cfg.rms_eps, b->f_norm + (size_t)i * d);
    lm->k->acts_pack(&b->norm, lm->prec, 0, n, b->f_norm, d, 1.0f);
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

void vt_cpu_head_chunk(const struct vt_cpu *lm, const struct vt_cpu_run *runs, int n_runs, int row0, int n, int chunk,
                       const struct vt_acts *x, struct vt_cpu_bufs *own, float *y, size_t ldy)
{
    const int n0 = chunk * VT_HEAD_CHUNK, n1 = chunk_end(lm, chunk);
    float *column0 = y - n0; /* the kernels address whole rows of the vocabulary; only columns n0.. are touched */
    const bool is_adapted = vt_cpu_lora_low(lm, runs, n_runs, lm->cfg.n_layers, 0, row0, row0 + n, x, own);
    if (is_adapted)
        vt_cpu_lora_wide(lm, runs, n_runs, lm->cfg.n_layers, 0, row0, row0 + n, own, column0, ldy, n0, n1);
    lm->k->gemm(lm->unembed, x, 0, n, n0, n1, column0, ldy, is_adapted);
}

/* Fixed-order merge of chunk maxima and sums. */
static double row_lse(int n_chunks, const struct vt_cpu_sums *row)
{
    float top = row->max[0];
    for (int c = 1; c < n_chunks; c++)
        top = row->max[c] > top ? row->max[c] : top;
    double total = 0;
    for (int c = 0; c < n_chunks; c++)
        total += (double)row->exp[c] * exp((double)row->max[c] - (double)top);
    return (double)top + log(total);
}

/* Sums of one row's chunk of logits; row is the row's. */
static void reduce_chunk(const struct vt_cpu *lm, int chunk, const float *logits, const struct vt_cpu_sums *row)
{
    const int n = chunk_end(lm, chunk) - chunk * VT_HEAD_CHUNK;
    row->max[chunk] = lm->k->max(n, logits);
    row->exp[chunk] = lm->k->exp_sum(n, logits, 1.0f, row->max[chunk], NULL);
    if (row->z)
        lm->k->soft_sums(n, logits, row->max[chunk], &row->z[chunk], &row->ez[chunk]);
}

/* Targets of rows [r0, r1) that lie in the chunk get their logit; the log-sum-exp is subtracted at the end. */
static void pick_targets(const struct vt_cpu_head *h, int t0, int t1, int r0, int chunk, const float *y)
{
    const int n0 = chunk * VT_HEAD_CHUNK, n1 = chunk_end(h->lm, chunk);
    for (int t = t0; t < t1; t++) {
        const struct vt_cpu_target *target = &h->targets[t];
        if (target->id >= n0 && target->id < n1)
            *target->logprob = y[(size_t)(target->row - r0) * VT_HEAD_CHUNK + (size_t)(target->id - n0)];
    }
}

static int first_target(const struct vt_cpu_head *h, int row)
{
    int lo = 0, hi = h->n_targets;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (h->targets[mid].row < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void finish_rows(const struct vt_cpu_head *h, int r0, int r1)
{
    const int n_chunks = vt_cpu_head_chunks(h->lm);
    for (int r = r0; r < r1; r++) {
        const struct vt_cpu_sums row = vt_cpu_sums_row(&h->sums, (size_t)r, n_chunks);
        h->lse[r] = row_lse(n_chunks, &row);
        if (h->extra)
            vt_cpu_extra_finish(&h->extra[r], &row, h->lm->cfg.n_vocab, h->lse[r]);
    }
    for (int t = first_target(h, r0); t < h->n_targets && h->targets[t].row < r1; t++)
        *h->targets[t].logprob = (float)((double)*h->targets[t].logprob - h->lse[h->targets[t].row]);
}

static int block_rows(const struct vt_cpu_head *h)
{
    const int n = h->lm->n_threads, rounds = (h->n_rows + VT_CHUNK_ROWS * n - 1) / (VT_CHUNK_ROWS * n);
    const int rows = (h->n_rows + rounds * n - 1) / (rounds * n);
    return (rows + 15) / 16 * 16;
}

static void wide_share(struct vt_cpu_head *h, int thread)
{
    struct vt_cpu *lm = h->lm;
    struct vt_cpu_bufs *b = &lm->bufs[thread];
    const int n_chunks = vt_cpu_head_chunks(lm), step = block_rows(h);
    for (;;) {
        const int r0 = atomic_fetch_add(&h->next, 1) * step, r1 = min_int(r0 + step, h->n_rows);
        if (r0 >= h->n_rows)
            return;
        const int t0 = first_target(h, r0), t1 = first_target(h, r1);
        vt_cpu_head_pack(lm, h->x + r0, r1 - r0, b);
        for (int r = r0; r < r1 && h->extra; r++)
            vt_cpu_extra_begin(&h->extra[r]);
        for (int c = 0; c < n_chunks; c++) {
            vt_cpu_head_chunk(lm, h->runs, h->n_runs, r0, r1 - r0, c, &b->norm, b, b->logits, VT_HEAD_CHUNK);
            for (int r = r0; r < r1; r++) {
                const struct vt_cpu_sums row = vt_cpu_sums_row(&h->sums, (size_t)r, n_chunks);
                const float *y = b->logits + (size_t)(r - r0) * VT_HEAD_CHUNK;
                reduce_chunk(lm, c, y, &row);
                if (h->extra)
                    vt_cpu_extra_chunk(&h->extra[r], y, chunk_end(lm, c) - c * VT_HEAD_CHUNK, c * VT_HEAD_CHUNK,
                                       row.max[c]);
            }
            pick_targets(h, t0, t1, r0, c, b->logits);
        }
        finish_rows(h, r0, r1);
    }
}

/* Columns of the shared chunks; logits go to h->logits when kept. */
static void narrow_share(struct vt_cpu_head *h, int thread, int n_threads)
{
    struct vt_cpu *lm = h->lm;
    struct vt_cpu_bufs *own = &lm->bufs[thread];
    const int n_chunks = vt_cpu_head_chunks(lm);
    const size_t ld = h->logits ? (size_t)lm->cfg.n_vocab : VT_HEAD_CHUNK;
    int c0, c1, a, b;
    if (thread == 0)
        vt_cpu_head_pack(lm, h->x, h->n_rows, &lm->bufs[0]);
    vt_pool_barrier(lm->pool, thread);
    vt_range_split(n_chunks, 1, thread, n_threads, &c0, &c1);
    for (int c = c0; c < c1; c++) {
        float *y = h->logits ? h->logits + (size_t)c * VT_HEAD_CHUNK : own->logits;
        vt_cpu_head_chunk(lm, h->runs, h->n_runs, 0, h->n_rows, c, &lm->bufs[0].norm, own, y, ld);
        for (int r = 0; r < h->n_rows; r++) {
            const struct vt_cpu_sums row = vt_cpu_sums_row(&h->sums, (size_t)r, n_chunks);
            reduce_chunk(lm, c, y + (size_t)r * ld, &row);
        }
        if (!h->logits)
            pick_targets(h, 0, h->n_targets, 0, c, y);
    }
    vt_pool_barrier(lm->pool, thread);
    vt_range_split(h->n_rows, 1, thread, n_threads, &a, &b);
    finish_rows(h, a, b);
}

static void head_share(void *arg, int thread, int n_threads)
{
    struct vt_cpu_head *h = arg;
    if (h->n_rows <= VT_NARROW_ROWS && !h->extra)
        narrow_share(h, thread, n_threads);
    else
        wide_share(h, thread);
}

void vt_cpu_head_run(struct vt_cpu *lm, struct vt_cpu_head *h)
{
    if (h->n_rows == 0)
        return;
    h->lm = lm;
    atomic_store(&h->next, 0);
    vt_pool_run(lm->pool, head_share, h);
}
