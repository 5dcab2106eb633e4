/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_train.h: what FORWARD leaves for BACKWARD, and what the files of the backward (lm_back*.c) share.
 *
 * The tape keeps the input of every layer (fp32 residual rows) and the log-sum-exp of every head row; the rest of a
 * layer is computed again when its turn comes (attention again is a tenth of a step, its output was a quarter of
 * the memory). Rows of a batch: its prompt once, then every completion but its last token; completions attend to the
 * prompt's keys, so the gradient of those keys gathers from all of them before it runs through the prompt once.
 *
 * Gradients do not depend on the number of threads: rows are cut into stripes by their number alone, a stripe's
 * gradients are one chain over its rows, and stripes are added pairwise in a fixed tree. A thread claims several
 * stripes at once where that keeps all threads busy: their rows share the passes over the weights, not the gradients.
 */
#ifndef VT_CPU_LM_TRAIN_H
#define VT_CPU_LM_TRAIN_H

#include "cpu/lm_parts.h"

enum {
    VT_MAX_STRIPES = 32,  /* of equal size, so that 8, 16 or 32 threads have equal shares */
    VT_STRIPE_ROWS = 64,  /* fewest rows of a stripe */
    VT_KEY_SETS = 8,      /* most partial sums of a prompt's key gradients */
    VT_BACK_QUERIES = 192 /* query rows (tokens x heads) of one tile of the attention backward, at most */
};

struct vt_cpu_tape {
    const vt_lm_tape *door; /* rows, head rows and targets */
    struct vt_cpu_adapter *adapter;
    int n_spans;
    struct vt_cpu_tape_spans {
        int span0, n_spans; /* pass spans of a prompt's completions that have rows */
    } * spans;              /* [prompts] */
    float *x;               /* [n_layers + 1][n_rows][d_model] */
    double *lse;            /* [head rows] */
    unsigned char *keys;    /* pages of the layer at work */
    size_t keys_bytes;
    struct vt_cpu_block *blocks;
};

/* lm_train.c: describes the tape's rows as a pass. */
vt_status vt_cpu_tape_pass(struct vt_cpu *lm, struct vt_cpu_tape *t, struct vt_cpu_pass *out, vt_err *err) VT_MUST_USE;

uint64_t vt_cpu_tape_bytes(const struct vt_cpu *lm, int n_rows); /* of x */
/* Head rows that read residual rows x, with their targets; log-probabilities go to logprob, in the tape's order, or
 * nowhere when it is NULL. */
void vt_cpu_tape_targets(const struct vt_cpu *lm, const struct vt_cpu_tape *t, const float *x, float *logprob,
                         struct vt_cpu_targets *list);

/* lm_back_weights.c. Transposed weights: gemm with them is dX = dY W. */
struct vt_cpu_back {
    struct vt_matrix *w;    /* [n_layers * 7] */
    struct vt_matrix *head; /* [head chunks] */
    unsigned char *memory;
    size_t bytes;
};
vt_status vt_cpu_back_ensure(struct vt_cpu *lm, vt_err *err) VT_MUST_USE;
uint64_t vt_cpu_back_bytes(const struct vt_cpu *lm);
/* Everything a backward over n_rows takes beside the tape, with key_floats for the prompts' keys. */
uint64_t vt_cpu_backward_bytes(const struct vt_cpu *lm, const struct vt_adapter *h, int n_rows, size_t key_floats);

/* A thread's rows in the backward, VT_CHUNK_ROWS of each. */
struct vt_cpu_back_bufs {
    struct vt_acts dy; /* n_in and stride are set for each use */
    float *mid, *dn, *act, *d_act, *low, *d_low;
    float *q, *d_out, *dq, *lse, *delta; /* attention tile: [VT_BACK_QUERIES] rows of head_dim */
    int *visible;
};

/* One backward. Arrays of the layer at work have n_rows rows. */
struct vt_cpu_backward {
    struct vt_cpu *lm;
    struct vt_cpu_tape *tape;
    const struct vt_lm_work *work; /* whose end may be asked for */
    struct vt_cpu_pass pass;
    int n_rows;
    const float *weight; /* [n_targets] */
    float *grad;
    float *dx;          /* [d_model]: gradient of the residual */
    float *qkv, *d_qkv; /* [qkv_dim]: after rope; d_qkv's queries begin as the gradient of the attention's output */
    float *lse;         /* [n_heads]: log-sum-exp of the scores */
    float *delta;       /* [n_heads] */
    float *keys;        /* partial dk, dv of prompts: [batch][kv head][set][2][n_prompt][head_dim] */
    size_t *keys_at;    /* [n_batches] */
    int n_stripes, stripe_rows, claim; /* claim: stripes that a thread takes at once */
    float *part; /* [n_stripes][part_size]: the adapter's gradient of one layer (or of the unembedding) */
    size_t part_size;
    struct vt_cpu_back_bufs *bufs; /* [n_threads] */
    unsigned char *memory;
    size_t bytes;
    struct vt_cpu_targets list;
    int *head_row; /* [list.n_rows] pass row of a head row */
    atomic_int next[3];
};

/* lm_back_linear.c: the LoRA gradients of y = W x + s B (A x) and the share of dx that runs through B A. */
struct vt_cpu_back_linear {
    int layer, target, n;
    const struct vt_acts *x;
    const float *x_rows; /* the same rows, fp32 */
    size_t ldx;
    const struct vt_acts *dy;
    const float *dy_rows;
    size_t ldy;
    float *dx; /* NULL: not wanted */
    size_t lddx;
    float *part; /* gradients of the rows' first stripe; those of the others follow */
};
void vt_cpu_back_lora(const struct vt_cpu_backward *w, const struct vt_cpu_back_linear *l, struct vt_cpu_bufs *b,
                      struct vt_cpu_back_bufs *bb);
size_t vt_cpu_part_size(const struct vt_cpu *lm, const struct vt_adapter *h);
/* Adds the stripes' gradients of a layer (n_layers: the unembedding) to grad; called by all threads. */
void vt_cpu_part_reduce(const struct vt_cpu_backward *w, int layer, int thread, int n_threads);

/* lm_back_attend.c: d_qkv of all rows; called by all threads. */
void vt_cpu_back_attend(struct vt_cpu_backward *w, int thread, int n_threads);
size_t vt_cpu_key_floats(const struct vt_cpu *lm, int n_prompt, int n_rows); /* dk, dv of a prompt's sets */

/* lm_back_head.c: dx from the targets' weights, and the unembedding's gradient; called by all threads. */
void vt_cpu_back_head(struct vt_cpu_backward *w, int thread, int n_threads);

#endif
