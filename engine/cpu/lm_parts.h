/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_parts.h: what the files of the CPU language-model backend (lm_*.c) share. Private to engine/cpu.
 *
 * The centre is the *pass* (lm_pass.c): any set of token rows walks through all layers once. A row is a token at a
 * position of a sequence; consecutive rows of one sequence form a span; spans that read the same prompt pages form a
 * family, whose shared pages are attended once for all of its rows. Prefill, decode, score and the training forward
 * are passes that differ only in their spans, which is why their values agree bit for bit.
 *
 * A pass runs wide or narrow. Narrow (few rows, decode): all threads work on the same rows, each on its share of the
 * output columns, and meet at a barrier after every product, so a weight is read once. Wide: a thread claims chunks of
 * rows and carries each through a whole half layer alone; threads meet only where rows need the keys of other rows.
 * An output element's value depends on neither.
 *
 * Ownership: the backend thread owns everything but the fields guarded by `lock`; jobs borrow slots and groups.
 */
#ifndef VT_CPU_LM_PARTS_H
#define VT_CPU_LM_PARTS_H

#include "base/alloc.h"
#include "cpu/kernels.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    VT_N_LINEAR = 7,      /* linear modules of a layer, indexed by vt_target: q k v o gate up down */
    VT_NARROW_ROWS = 128, /* most rows of a narrow pass */
    VT_CHUNK_ROWS = 288,  /* most rows a thread carries through a half layer: a weight is read once for all of them */
    VT_HEAD_CHUNK = 1024, /* vocabulary columns per chunk of the log-softmax */
    VT_PASS_ROWS = 2048   /* most rows of one pass outside training */
};

struct vt_lm_layer {
    const struct vt_matrix *w[VT_N_LINEAR];
    float *input_norm, *post_norm; /* [d_model] */
    float *bias[3];                /* q, k, v; NULL when absent */
    float *head_norm[2];           /* q, k: [head_dim], NULL when absent */
};

/* A (r, in), B (out, r) and their transposes, packed for gemm. a.data is NULL when the module is not adapted. */
struct vt_lm_lora {
    struct vt_matrix a, b, a_t, b_t;
};

struct vt_lm_adapter {
    int id;
    int refs; /* under lock: the id itself, groups, tapes and the running job */
    struct vt_adapter *host;
    float scale;             /* alpha / rank */
    struct vt_lm_lora *lora; /* [n_layers * 7 + 1]; the last is the unembedding */
    void *packed, *packed_back;
    bool is_back_fresh; /* packed_back holds the present values */
    uint64_t bytes;
};

/* 64 keys and values of every kv head, of every layer (layer_stride > 0) or of the layer at work (0). */
struct vt_lm_block {
    unsigned char *data;
    size_t layer_stride;
};
struct vt_lm_page {
    unsigned char *data;
    struct vt_lm_page *next; /* in the free list */
    int refs;
};

struct vt_lm_group {
    struct vt_lm_adapter *adapter; /* NULL = base */
    int refs;                      /* under lock: itself and its slots */
    int n_tokens, n_blocks;
    uint64_t serial; /* order of creation: sorts a batch */
    struct vt_lm_block *blocks;
    struct vt_lm_page **pages;
    float *last; /* residual row [d_model] of the last prompt token, before the final norm */
    bool is_closed;
};

struct vt_lm_slot {
    struct vt_lm_group *group;
    uint64_t seed;
    struct vt_sampling sampling;
    int32_t *banned, *stop_ids;
    int n_stop_ids, max_tokens;
    int n_tokens; /* sampled so far */
    int32_t last; /* newest sampled token, not yet in the KV cache */
    int finished; /* 0, 1 = stop id, 2 = max_tokens */
    int n_blocks; /* valid entries of blocks: the group's full blocks, then own ones */
    struct vt_lm_block *blocks;
    struct vt_lm_page **own; /* own[b] backs blocks[b]; NULL for the group's */
    int head_row;            /* row of the logits in the step at work */
};

struct vt_lm_span {
    int row0, n, pos0, n_shared;
    const struct vt_lm_block *blocks;
    const struct vt_lm_block *prefix; /* score: copied into block n_shared before each layer; NULL = none */
    int tail_row,
        n_tail; /* training: rows of the pass whose keys open this sequence's first own block; n_tail may be 0 */
};
struct vt_lm_family {
    const void *key;
    int row0, row1, n_shared; /* blocks 0 .. n_shared-1 are the same for all rows, and fully visible to them */
    const struct vt_lm_block *blocks;
};
struct vt_lm_run { /* rows under one adapter */
    int row0, row1;
    struct vt_lm_adapter *adapter;
};

/* One thread's (wide) or the pass's (narrow) working rows, VT_CHUNK_ROWS of each. */
struct vt_lm_bufs {
    struct vt_acts norm, ctx, act, low; /* d_model, q_dim, d_ff, rank */
    float *f_norm, *qkv, *f_ctx, *gate, *up, *f_low;
    float *m, *l, *acc; /* attention state of one kv head: rows * heads per kv head */
    float *inv_rms;     /* [rows] */
    int *visible;
    float *logits; /* [rows][VT_HEAD_CHUNK] */
    void *sample;  /* scratch of vt_lm_sample */
    void *memory;
};

struct vt_lm_pass {
    vt_lm *lm;
    int n_rows;
    int layer;
    int32_t *tokens;
    int *pos, *span_of; /* [n_rows] */
    struct vt_lm_span *spans;
    int n_spans;
    struct vt_lm_family *families;
    int n_families;
    struct vt_lm_run *runs;
    int n_runs;
    float *x;             /* residual [n_rows][d_model] */
    unsigned char *query; /* [n_kv_heads][n_rows][heads per kv head] packed queries */
    float *tape;          /* training forward: [n_layers][n_rows][d_model], every layer's input; else NULL */
    float *qkv;           /* training: [n_rows][qkv_dim] of the layer at work, after rope; else NULL */
    bool has_prefixes;    /* some span has one */
    atomic_int next[2];   /* chunks claimed, by stage */
};

/* A share of a stage: rows [r0, r1) of the pass in buffers that start at row r0; columns part `part` of n_parts. */
struct vt_lm_part {
    struct vt_lm_pass *pass;
    struct vt_lm_bufs *b, *own; /* shared buffers; this thread's */
    int r0, r1, part, n_parts, thread;
};

struct vt_lm {
    const vt_ckpt *ckpt;
    struct vt_lm_config cfg;
    enum vt_lm_precision prec;
    const struct vt_kernels *k;
    struct vt_pack *pack;
    vt_pool *pool;
    int n_threads;
    vt_lease *lease;
    char numerics[64];
    int q_dim, kv_dim, qkv_dim, group_heads; /* derived; group_heads = heads per kv head */
    size_t page_bytes, block_bytes;          /* one kv head's page; one layer's pages of a block */
    struct vt_lm_layer *layers;
    const struct vt_tensor *embed;
    const struct vt_matrix *unembed;
    float *final_norm;
    struct vt_lm_back *back; /* transposed weights, made at the first FORWARD */
    float *rope;             /* [rope_rows][head_dim]: cosines, then sines */
    int rope_rows;

    pthread_t thread;
    bool is_started;
    pthread_mutex_t lock;
    pthread_cond_t work, idle; /* a job came; a job ended */
    struct vt_lm_job *head, *tail, *running;
    bool is_closing;

    struct vt_lm_adapter **adapters;
    int n_adapters, next_adapter;
    struct vt_lm_page *free_pages;
    uint64_t next_group;
    uint64_t bytes, peak, max_bytes; /* under lock */
    int max_rank;
    int pass_rows; /* VT_PASS_ROWS; tests shrink it to check that chunking changes no bit */

    struct vt_lm_bufs *bufs; /* [n_threads] */
    int bufs_rank;
    struct vt_lm_rows *rows;                  /* arrays of a pass, grown as needed (lm_rows.c) */
    float *head_max, *head_sum, *head_logits; /* decode: [slots][chunks], [slots][n_vocab] */
    int head_cap;
};

/* lm_memory.c: accounted memory. need is refused with both figures when it passes max_memory. */
vt_status vt_lm_reserve(vt_lm *lm, uint64_t bytes, const char *what, vt_err *err) VT_MUST_USE;
void vt_lm_release(vt_lm *lm, uint64_t bytes);
/* 64-byte aligned, not initialised. */
vt_status vt_lm_take(vt_lm *lm, size_t bytes, const char *what, void **out, vt_err *err) VT_MUST_USE;
vt_status vt_lm_take_zeroed(vt_lm *lm, size_t bytes, const char *what, void **out, vt_err *err) VT_MUST_USE;
void vt_lm_give(vt_lm *lm, void *p, size_t bytes);
/* Pages of the pool; refs 1. page_unref puts it back. */
vt_status vt_lm_page_new(vt_lm *lm, struct vt_lm_page **out, vt_err *err) VT_MUST_USE;
void vt_lm_page_free(vt_lm *lm, struct vt_lm_page *p);
void vt_lm_pages_drop(vt_lm *lm);
vt_status vt_lm_bufs_ensure(vt_lm *lm, vt_err *err) VT_MUST_USE;
void vt_lm_bufs_free(vt_lm *lm);
uint64_t vt_lm_bufs_bytes(const vt_lm *lm);
vt_status vt_lm_rope_ensure(vt_lm *lm, int n_positions, vt_err *err) VT_MUST_USE;

/* lm_adapter.c */
vt_status vt_lm_adapter_ref(vt_lm *lm, int id, struct vt_lm_adapter **out, vt_err *err) VT_MUST_USE; /* id 0: NULL */
void vt_lm_adapter_unref(vt_lm *lm, struct vt_lm_adapter *a);
vt_status vt_lm_adapter_pack_back(vt_lm *lm, struct vt_lm_adapter *a, vt_err *err) VT_MUST_USE;
const struct vt_lm_lora *vt_lm_lora_of(const vt_lm *lm, const struct vt_lm_adapter *a, int layer,
                                       int target); /* NULL = not adapted */

/* lm_rows.c: the arrays of a pass, kept by lm and lent to one pass at a time. begin sizes them; add appends n rows as a
 * span. Consecutive spans of the same family (not NULL) read their first n_shared blocks together. */
vt_status vt_lm_rows_begin(vt_lm *lm, int n_rows, int n_spans, struct vt_lm_pass *out, vt_err *err) VT_MUST_USE;
void vt_lm_rows_add(struct vt_lm_pass *p, const int32_t *tokens, int n, int pos0, const struct vt_lm_block *blocks,
                    int n_shared, const void *family, struct vt_lm_adapter *adapter);
void vt_lm_rows_prefix(struct vt_lm_pass *p, const struct vt_lm_block *prefix); /* these two: of the span added last */
void vt_lm_rows_tail(struct vt_lm_pass *p, int tail_row, int n_tail);
void vt_lm_rows_free(vt_lm *lm);
uint64_t vt_lm_rows_bytes(const vt_lm *lm, int n_rows);

/* lm_queue.c */
vt_status vt_lm_queue_start(vt_lm *lm, vt_err *err) VT_MUST_USE;
void vt_lm_queue_stop(vt_lm *lm);

/* lm_pass.c */
void vt_lm_pass_run(struct vt_lm_pass *p); /* x = embedding rows, then all layers; polls the lease between them */
/* The keys of p->layer for all rows; called by all threads, ends with a barrier. */
void vt_lm_pass_keys(struct vt_lm_pass *p, int thread, int n_threads);
/* y (+)= x W^T of the pass's layer with the adapter's part, for the part's rows and columns. */
void vt_lm_linear(const struct vt_lm_part *t, int target, const struct vt_acts *x, float *y, size_t ldy, bool add);
/* y[r1-r0][..] += s B (A x) for columns [n0, n1); x and y start at row r0 of the pass. */
void vt_lm_lora_add(const struct vt_lm_part *t, int target, const struct vt_acts *x, float *y, size_t ldy, int n0,
                    int n1);

/* lm_attend.c: rows [r0, r1) of the pass -> out[r - r0][q_dim]; lse, when not NULL, [r - r0][n_heads]. */
void vt_lm_attend(const struct vt_lm_pass *p, int r0, int r1, struct vt_lm_bufs *b, float *out, float *lse);

/* lm_head.c: log-softmax over the vocabulary for rows of residuals. */
struct vt_lm_target {
    int row;
    int32_t id;
    float *logprob;
};
struct vt_lm_head {
    const float *const *x; /* [n_rows] residual rows, before the final norm */
    int n_rows;
    const struct vt_lm_run *runs; /* adapters of the rows; n_runs */
    int n_runs;
    const struct vt_lm_target *targets; /* by row */
    int n_targets;
    double *lse;   /* [n_rows], out */
    float *logits; /* [n_rows][n_vocab] kept for sampling, with maxima and sums [n_rows][chunks]; NULL in score */
    float *max, *sum;
    /* private */
    vt_lm *lm;
    atomic_int next;
};
void vt_lm_head_run(vt_lm *lm, struct vt_lm_head *h);
int vt_lm_head_chunks(const vt_lm *lm);
/* Logits of one chunk of the n packed rows x -> y [n][ldy], whose column 0 is the chunk's first. runs speak of rows
 * that begin at row0; own holds this thread's LoRA buffers. */
void vt_lm_head_chunk(const vt_lm *lm, const struct vt_lm_run *runs, int n_runs, int row0, int n, int chunk,
                      const struct vt_acts *x, struct vt_lm_bufs *own, float *y, size_t ldy);
/* Final norm and packing of rows into b->norm. */
void vt_lm_head_pack(const vt_lm *lm, const float *const *x, int n, struct vt_lm_bufs *b);
/* Fixed-order merge of chunk maxima and sums. */
double vt_lm_head_lse(int n_chunks, const float *max, const float *sum);

/* lm_score.c: head rows in order, each with the targets added after it. */
struct vt_lm_targets {
    const float **x;
    int n_rows, cap_rows;
    struct vt_lm_run *runs;
    int n_runs;
    struct vt_lm_target *targets;
    int n_targets;
    double *lse;
    float *max, *sum;
};
vt_status vt_lm_targets_begin(vt_lm *lm, int n_rows, int n_targets, struct vt_lm_targets *l, vt_err *err) VT_MUST_USE;
void vt_lm_targets_row(struct vt_lm_targets *l, const float *x, struct vt_lm_adapter *adapter);
void vt_lm_targets_add(struct vt_lm_targets *l, int32_t id, float *logprob); /* of the row added last */
void vt_lm_targets_run(vt_lm *lm, struct vt_lm_targets *l);
void vt_lm_targets_free(vt_lm *lm, struct vt_lm_targets *l);

/* lm_group.c: own pages, appended to a table of blocks until n_tokens fit. */
vt_status vt_lm_blocks_grow(vt_lm *lm, const vt_lm_group *g, int n_tokens, struct vt_lm_block *blocks,
                            struct vt_lm_page **own, int *n_blocks, vt_err *err) VT_MUST_USE;

/* lm_sample.c */
struct vt_lm_draw {
    int32_t token;
    float logprob, logprob_behaviour;
};
struct vt_lm_logits { /* one row */
    const struct vt_kernels *k;
    int n_vocab, n_chunks;
    const float *logit, *max, *sum; /* max and sum by chunk */
    double lse;
};
size_t vt_lm_sample_scratch(int n_vocab); /* bytes of scratch, 64-byte aligned */
vt_status vt_lm_sample(const struct vt_lm_logits *row, const struct vt_sampling *s, uint64_t seed, uint64_t position,
                       void *scratch, struct vt_lm_draw *out, vt_err *err) VT_MUST_USE;

/* lm_jobs.c, lm_train.c, lm_back.c */
vt_status vt_lm_do_group(vt_lm *lm, struct vt_lm_job *job, vt_err *err) VT_MUST_USE;
vt_status vt_lm_do_decode(vt_lm *lm, struct vt_lm_job *job, vt_err *err) VT_MUST_USE;
vt_status vt_lm_do_score(vt_lm *lm, struct vt_lm_job *job, vt_err *err) VT_MUST_USE;
vt_status vt_lm_do_forward(vt_lm *lm, struct vt_lm_job *job, vt_err *err) VT_MUST_USE;
vt_status vt_lm_do_backward(vt_lm *lm, struct vt_lm_job *job, vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_prompt(const vt_lm *lm, const int32_t *ids, int n, vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_tokens(const vt_lm *lm, const int32_t *ids, int n, const char *what, vt_err *err) VT_MUST_USE;
void vt_lm_decode_free(vt_lm *lm);
void vt_lm_back_free(vt_lm *lm);
uint64_t vt_lm_train_bytes(const vt_lm *lm, const struct vt_lm_shapes *s);

#endif
