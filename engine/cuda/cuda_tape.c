/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_tape.c: how a tape lies in memory: every layer's input, and behind them, layer by layer, what else is kept of
 * it.
 */
#include "cuda/cuda_train.h"

uint64_t vt_cuda_tape_bytes(const struct vt_cuda *be, int n_rows)
{
    return (uint64_t)(be->cfg.n_layers + 1) * (uint64_t)n_rows * (uint64_t)be->cfg.d_model * sizeof(float);
}

struct kept_sizes { /* bytes of a row */
    size_t q, kv, ctx, lse, mid, gate_up;
};

static struct kept_sizes kept_sizes(const struct vt_cuda *be, enum vt_cuda_kept kept)
{
    const struct vt_dev_shape *s = &be->shape;
    struct kept_sizes z = {0};
    if (kept >= VT_CUDA_KEEP_ATTENTION) {
        z.q = (size_t)s->n_heads * (size_t)s->head_pad * 2;
        z.kv = (size_t)s->n_kv_heads * (size_t)s->head_pad * 4;
        z.ctx = (size_t)s->q_dim * 2;
        z.lse = (size_t)s->n_heads * sizeof(float);
    }
    if (kept == VT_CUDA_KEEP_LAYER) {
        z.mid = (size_t)s->d_model * sizeof(float);
        z.gate_up = (size_t)s->d_ff * 4;
    }
    return z;
}

static size_t kept_row(const struct kept_sizes *z)
{
    return z->q + z->kv + z->ctx + z->lse + z->mid + z->gate_up;
}

/* One array behind the other, each aligned: a layer's bytes. */
static vt_gpu_ptr next_array(size_t *at, size_t n_rows, size_t row_bytes, int row)
{
    const size_t from = *at;
    *at += (n_rows * row_bytes + 255) / 256 * 256;
    return from + (size_t)row * row_bytes;
}

static size_t kept_layer(const struct kept_sizes *z, size_t n, int row, struct vt_cuda_kept_rows *r)
{
    size_t at = 0;
    r->q = next_array(&at, n, z->q, row);
    r->kv = next_array(&at, n, z->kv, row);
    r->ctx = next_array(&at, n, z->ctx, row);
    r->lse = next_array(&at, n, z->lse, row);
    r->mid = next_array(&at, n, z->mid, row);
    r->gate_up = next_array(&at, n, z->gate_up, row);
    return at;
}

struct vt_cuda_kept_rows vt_cuda_tape_kept(const struct vt_cuda *be, const struct vt_cuda_tape *t, int layer, int row)
{
    const struct kept_sizes z = kept_sizes(be, t->kept);
    struct vt_cuda_kept_rows r = {0};
    if (!kept_row(&z))
        return r;
    const vt_gpu_ptr base = t->kept_at + (size_t)layer * kept_layer(&z, (size_t)t->n_rows, row, &r);
    r.q += base;
    r.kv += base;
    r.ctx += base;
    r.lse += base;
    r.mid = z.mid ? r.mid + base : 0;
    r.gate_up = z.gate_up ? r.gate_up + base : 0;
    return r;
}

uint64_t vt_cuda_kept_bytes(const struct vt_cuda *be, int n_rows, enum vt_cuda_kept kept)
{
    const struct kept_sizes z = kept_sizes(be, kept);
    struct vt_cuda_kept_rows r;
    return (uint64_t)be->cfg.n_layers * kept_layer(&z, (size_t)n_rows, 0, &r);
}
