/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_bufs.c: what every pass works in: a thread's rows of activations, and the rotary tables. They grow to the widest
 * adapter and the longest sequence that a job brings, before the job begins, and stay. The old ones are given up first
 * and the new ones put in place when all of them are there: a refusal leaves none, and the next job asks again.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

enum { LEAST_RANK = 16 };

/* Carves n bytes, rounded up to a cache line, off a block; with base NULL it only measures. */
static void *carve(unsigned char *base, size_t *at, size_t n)
{
    void *p = base ? base + *at : NULL;
    *at += (n + 63) / 64 * 64;
    return p;
}

static struct vt_acts carve_acts(unsigned char *base, size_t *at, int n_in)
{
    struct vt_acts a = {.n_in = n_in, .stride = vt_acts_row_bytes(n_in)};
    a.data = carve(base, at, a.stride * VT_CHUNK_ROWS);
    return a;
}

static size_t lay_out_bufs(const struct vt_cpu *lm, int rank, unsigned char *base, struct vt_cpu_bufs *b)
{
    const struct vt_lm_config *c = &lm->cfg;
    const size_t n = VT_CHUNK_ROWS, f = sizeof(float), heads = n * (size_t)lm->group_heads;
    size_t at = 0;
    b->norm = carve_acts(base, &at, c->d_model);
    b->ctx = carve_acts(base, &at, lm->q_dim);
    b->act = carve_acts(base, &at, c->d_ff);
    b->low = carve_acts(base, &at, VT_LOW_DIGITS * rank);
    b->low.is_plain = true;
    b->f_norm = carve(base, &at, n * (size_t)c->d_model * f);
    b->qkv = carve(base, &at, n * (size_t)lm->qkv_dim * f);
    b->f_ctx = carve(base, &at, n * (size_t)lm->q_dim * f);
    b->gate = carve(base, &at, n * (size_t)c->d_ff * f);
    b->up = carve(base, &at, n * (size_t)c->d_ff * f);
    b->low_digits = carve(base, &at, n * VT_LOW_DIGITS * (size_t)rank * f);
    b->f_low = carve(base, &at, n * (size_t)rank * f);
    b->m = carve(base, &at, heads * f);
    b->l = carve(base, &at, heads * f);
    b->acc = carve(base, &at, heads * (size_t)c->head_dim * f);
    b->inv_rms = carve(base, &at, n * f);
    b->visible = carve(base, &at, heads * sizeof(int));
    b->logits = carve(base, &at, n * VT_HEAD_CHUNK * f);
    b->sample = carve(base, &at, vt_cpu_sample_scratch(c->n_vocab));
    return at;
}

static size_t bytes_a_thread(const struct vt_cpu *lm, int rank)
{
    struct vt_cpu_bufs none;
    return lay_out_bufs(lm, rank, NULL, &none);
}

uint64_t vt_cpu_bufs_bytes(const struct vt_cpu *lm, int rank)
{
    return (uint64_t)lm->n_threads * bytes_a_thread(lm, rank > LEAST_RANK ? rank : LEAST_RANK);
}

static void free_bufs(struct vt_cpu *lm, struct vt_cpu_bufs *bufs, int rank)
{
    for (int i = 0; bufs && i < lm->n_threads; i++)
        vt_cpu_give(lm, bufs[i].memory, bytes_a_thread(lm, rank));
    free(bufs);
}

static vt_status new_bufs(struct vt_cpu *lm, int rank, struct vt_cpu_bufs **out, vt_err *err)
{
    const size_t bytes = bytes_a_thread(lm, rank);
    struct vt_cpu_bufs *bufs = vt_alloc_array((size_t)lm->n_threads, sizeof *bufs);
    if (!bufs)
        return vt_fail(err, VT_ENOMEM, "out of memory for the working buffers of %d threads", lm->n_threads);
    for (int i = 0; i < lm->n_threads; i++) {
        void *memory;
        vt_status status = vt_cpu_take_zeroed(lm, bytes, "working buffers", &memory, err);
        if (status != VT_OK) {
            free_bufs(lm, bufs, rank);
            return status;
        }
        (void)lay_out_bufs(lm, rank, memory, &bufs[i]);
        bufs[i].memory = memory;
    }
    *out = bufs;
    return VT_OK;
}

vt_status vt_cpu_bufs_ensure(struct vt_cpu *lm, int rank, vt_err *err)
{
    struct vt_cpu_bufs *bufs;
    if (rank < LEAST_RANK)
        rank = LEAST_RANK;
    if (lm->bufs && lm->bufs_rank >= rank)
        return VT_OK;
    vt_cpu_bufs_free(lm);
    VT_TRY(new_bufs(lm, rank, &bufs, err));
    lm->bufs = bufs;
    lm->bufs_rank = rank;
    vt_cpu_keep(lm, VT_CPU_BUFS, vt_cpu_bufs_bytes(lm, rank), 0);
    return VT_OK;
}

void vt_cpu_bufs_free(struct vt_cpu *lm)
{
    if (!lm->bufs)
        return;
    free_bufs(lm, lm->bufs, lm->bufs_rank);
    vt_cpu_keep(lm, VT_CPU_BUFS, 0, vt_cpu_bufs_bytes(lm, lm->bufs_rank));
    lm->bufs = NULL;
}

/* --- rotary tables --- */

static int rope_rows(int n_positions)
{
    enum { STEP = 1024 };
    return n_positions > INT32_MAX - STEP ? n_positions : (n_positions + STEP - 1) / STEP * STEP;
}

uint64_t vt_cpu_rope_bytes(const struct vt_cpu *lm, int n_positions)
{
    return (uint64_t)rope_rows(n_positions) * (uint64_t)lm->cfg.head_dim * sizeof(float);
}

vt_status vt_cpu_rope_ensure(struct vt_cpu *lm, int n_positions, vt_err *err)
{
    void *table;
    if (n_positions <= lm->rope_rows)
        return VT_OK;
    const int rows = rope_rows(n_positions);
    vt_cpu_rope_free(lm);
    VT_TRY(vt_cpu_take(lm, (size_t)vt_cpu_rope_bytes(lm, rows), "rotary tables", &table, err));
    for (int pos = 0; pos < rows; pos++)
        vt_lm_rope_row(&lm->cfg, pos, (float *)table + (size_t)pos * (size_t)lm->cfg.head_dim);
    lm->rope = table;
    lm->rope_rows = rows;
    vt_cpu_keep(lm, VT_CPU_ROPE, vt_cpu_rope_bytes(lm, rows), 0);
    return VT_OK;
}

void vt_cpu_rope_free(struct vt_cpu *lm)
{
    if (!lm->rope)
        return;
    const uint64_t bytes = vt_cpu_rope_bytes(lm, lm->rope_rows);
    vt_cpu_give(lm, lm->rope, (size_t)bytes);
    vt_cpu_keep(lm, VT_CPU_ROPE, 0, bytes);
    lm->rope = NULL;
    lm->rope_rows = 0;
}
