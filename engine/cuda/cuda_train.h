/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_train.h: what FORWARD leaves for BACKWARD, shared by cuda_tape.c, cuda_train.c and cuda_back.c.
 *
 * All rows of a batch walk through a layer before any goes on, chunk by chunk: the keys of a layer are needed while
 * that layer is at work only, so pages of one layer serve all, and a chunk's rows find the keys of everything before
 * them there. The tape keeps the input of every layer in fp32, and more where the budget has room: BACKWARD computes
 * again what was not kept. The values are the same whatever is kept, so a batch's bits do not depend on the room.
 */
#ifndef VT_CUDA_TRAIN_H
#define VT_CUDA_TRAIN_H

#include "cuda/cuda_parts.h"

enum {
    VT_CUDA_BACK_KEYS = 64,
    VT_CUDA_BACK_QUERIES = 64,
    VT_CUDA_PART_ROWS = 512, /* fewest tokens of a part of those that see a prompt's keys */
    VT_CUDA_PARTS = 16       /* most parts */
};

/* What a tape has of each layer besides its input. */
enum vt_cuda_kept {
    VT_CUDA_KEEP_INPUTS,
    VT_CUDA_KEEP_ATTENTION, /* queries, keys, values, what came of them, log-sum-exps */
    VT_CUDA_KEEP_LAYER      /* also the residual behind the attention, gate and up: only norms and SwiGLU are left */
};
/* Rows of a layer on the tape; 0 = not kept. */
struct vt_cuda_kept_rows {
    vt_gpu_ptr q, kv, ctx, gate_up; /* bf16 */
    vt_gpu_ptr lse, mid;            /* fp32 */
};

struct vt_cuda_chunk {
    int row0;
    struct vt_cuda_pass pass;
};

struct vt_cuda_tape {
    const vt_lm_tape *door;
    struct vt_cuda_adapter *adapter;
    int n_rows, n_chunks;
    struct vt_cuda_block memory; /* holds the next three */
    vt_gpu_ptr x;                /* fp32 [n_layers + 1][n_rows][d_model] */
    vt_gpu_ptr pages;            /* of one layer */
    vt_gpu_ptr kept_at;          /* rows of all layers, layer by layer */
    enum vt_cuda_kept kept;
    struct vt_cuda_arena arena;
    struct vt_cuda_chunk *chunks;
    struct vt_cuda_run *runs; /* one a chunk */
    int last_pos;
    vt_gpu_ptr tokens, pos;         /* [n_rows] */
    vt_gpu_ptr sources, begin, ids; /* of the head rows: residuals, first targets; the targets' ids */
    /* the attention's backward (attend_back.cuh) */
    vt_gpu_ptr spans, queries, keys, sums;
    int n_queries, n_keys, n_sums, n_parts;
};

/* The address of layer i's input, from a row on. */
static inline vt_gpu_ptr vt_cuda_tape_x(const struct vt_cuda *be, const struct vt_cuda_tape *t, int layer, int row)
{
    const size_t d = (size_t)be->cfg.d_model * sizeof(float);
    return t->x + ((size_t)layer * (size_t)t->n_rows + (size_t)row) * d;
}

/* What is kept of a layer, from a row on. */
struct vt_cuda_kept_rows vt_cuda_tape_kept(const struct vt_cuda *be, const struct vt_cuda_tape *t, int layer, int row);

/* Memory that a batch of n_rows takes: of the tape that keeps least, and of the backward beside it. */
uint64_t vt_cuda_tape_bytes(const struct vt_cuda *be, int n_rows);
uint64_t vt_cuda_kept_bytes(const struct vt_cuda *be, int n_rows, enum vt_cuda_kept kept); /* besides the inputs */
uint64_t vt_cuda_back_bytes(const struct vt_cuda *be, const struct vt_cuda_adapter *a, int n_rows, int n_parts,
                            enum vt_cuda_kept kept);
/* Parts of the sums of a prompt's keys that n rows behind it make. */
int vt_cuda_key_parts(int n_prompt, int n);

/* Shared memory of the attention's backward. */
static inline unsigned vt_cuda_back_query_bytes(bool is_wide)
{
    return 4u * VT_CUDA_BACK_KEYS * (is_wide ? 256u : 128u); /* two stages of keys and values */
}
static inline unsigned vt_cuda_back_key_bytes(bool is_own, bool is_wide)
{
    enum { TURN_NUMBERS = 3 * 4 };
    const unsigned row = is_wide ? 256 : 128, turn = is_own ? 64 : 32;
    return 2u * VT_CUDA_BACK_KEYS * row + 4u * turn * row + 2u * turn * TURN_NUMBERS;
}

vt_status vt_cuda_forward_begin(void *be, struct vt_lm_work *w, vt_err *err);
vt_status vt_cuda_forward_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
void vt_cuda_tape_free(void *be, vt_lm_tape *t);
vt_status vt_cuda_backward_begin(void *be, struct vt_lm_work *w, vt_err *err);
vt_status vt_cuda_backward_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;

#endif
