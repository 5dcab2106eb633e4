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
 * Ownership: struct vt_cpu is the backend behind the door (lm_ops.h). The model's thread owns everything in it but the
 * fields under `lock`, which storage operations use from any thread; work borrows slots and groups. What the door holds
 * (adapters, groups, slots, tapes, gradients) points to its part here through impl.
 */
#ifndef VT_CPU_LM_PARTS_H
#define VT_CPU_LM_PARTS_H

#include "base/alloc.h"
#include "cpu/kernels.h"
#include "model/lm_ops.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    VT_N_LINEAR = 7,      /* linear modules of a layer, indexed by vt_target: q k v o gate up down */
    VT_NARROW_ROWS = 128, /* most rows of a narrow pass */
    VT_CHUNK_ROWS = 288,  /* most rows a thread carries through a half layer: a weight is read once for all of them */
    VT_HEAD_CHUNK = 1024, /* vocabulary columns per chunk of the log-softmax */
    VT_PASS_ROWS = 2048,  /* most rows of one pass outside training */
    VT_LOW_DIGITS = 3     /* numbers that stand for one of a low-rank product, at most (lm_lora.c) */
};

struct vt_cpu_layer {
    const struct vt_matrix *w[VT_N_LINEAR];
    float *input_norm, *post_norm; /* [d_model] */
    float *bias[3];                /* q, k, v; NULL when absent */
    float *head_norm[2];           /* q, k: [head_dim], NULL when absent */
};

/* A (r, in), B (out, r) and their transposes, packed for gemm, in digits where lm_lora.c says so. a.data is NULL when
 * the module is not adapted. */
struct vt_cpu_lora {
    struct vt_matrix a, b, a_t, b_t;
};

/* Written by the model's thread only, but for its making and freeing. */
struct vt_cpu_adapter {
    struct vt_adapter *host;  /* fp32 masters */
    float scale;              /* alpha / rank */
    struct vt_cpu_lora *lora; /* [n_layers * 7 + 1]; the last is the unembedding */
    void *packed, *packed_back;
    size_t packed_bytes, back_bytes;
    bool is_fresh, is_back_fresh; /* packed, packed_back hold the present values */
};

/* 64 keys and values of every kv head, of every layer (layer_stride > 0) or of the layer at work (0). */
struct vt_cpu_block {
    unsigned char *data;
    size_t layer_stride;
};
struct vt_cpu_page {
    unsigned char *data;
    struct vt_cpu_page *next; /* in the free list */
};

struct vt_cpu_group {
    int n_blocks;
    struct vt_cpu_block *blocks;
    struct vt_cpu_page **pages;
    float *last; /* residual row [d_model] of the last prompt token, before the final norm */
};

struct vt_cpu_slot {
    int n_tokens; /* sampled so far */
    int32_t last; /* newest sampled token, not yet in the KV cache */
    int finished; /* 0, 1 = stop id, 2 = max_tokens */
    int n_blocks; /* valid entries of blocks: the group's full blocks, then own ones */
    struct vt_cpu_block *blocks;
    struct vt_cpu_page **own; /* own[b] backs blocks[b]; NULL for the group's */
    int head_row;             /* row of the logits in the step at work */
};

static inline struct vt_cpu_adapter *vt_cpu_adapter_of(const struct vt_lm_adapter *a) /* NULL: the base */
{
    return a ? a->impl : NULL;
}
static inline struct vt_cpu_group *vt_cpu_group_of(const vt_lm_group *g)
{
    return g->impl;
}
static inline struct vt_cpu_slot *vt_cpu_slot_of(const vt_lm_slot *s)
{
    return s->impl;
}

struct vt_cpu_span {
    int row0, n, pos0, n_shared;
    const struct vt_cpu_block *blocks;
    const struct vt_cpu_block *prefix; /* score: copied into block n_shared before each layer; NULL = none */
    int tail_row,
        n_tail; /* training: rows of the pass whose keys open this sequence's first own block; n_tail may be 0 */
};
struct vt_cpu_family {
    const void *key;
    int row0, row1, n_shared; /* blocks 0 .. n_shared-1 are the same for all rows, and fully visible to them */
    const struct vt_cpu_block *blocks;
};
struct vt_cpu_run { /* rows under one adapter */
    int row0, row1;
    struct vt_cpu_adapter *adapter;
};

/* One thread's (wide) or the pass's (narrow) working rows, VT_CHUNK_ROWS of each. */
struct vt_cpu_bufs {
    struct vt_acts norm, ctx, act, low; /* d_model, q_dim, d_ff, VT_LOW_DIGITS * rank */
    float *f_norm, *qkv, *f_ctx, *gate, *up;
    float *low_digits, *f_low; /* of low-rank products: VT_LOW_DIGITS * rank, rank */
    float *m, *l, *acc;        /* attention state of one kv head: rows * heads per kv head */
    float *inv_rms;            /* [rows] */
    int *visible;
    float *logits; /* [rows][VT_HEAD_CHUNK] */
    void *sample;  /* scratch of vt_cpu_sample */
    void *memory;
};

struct vt_cpu_pass {
    struct vt_cpu *lm;
    int n_rows;
    int layer;
    int32_t *tokens;
    int *pos, *span_of; /* [n_rows] */
    struct vt_cpu_span *spans;
    int n_spans;
    struct vt_cpu_family *families;
    int n_families;
    struct vt_cpu_run *runs;
    int n_runs;
    float *x;                      /* residual [n_rows][d_model] */
    unsigned char *query;          /* [n_kv_heads][n_rows][heads per kv head] packed queries */
    float *tape;                   /* training forward: [n_layers][n_rows][d_model], every layer's input; else NULL */
    float *qkv;                    /* training: [n_rows][qkv_dim] of the layer at work, after rope; else NULL */
    bool has_prefixes;             /* some span has one */
    const struct vt_lm_work *work; /* whose end may be asked for; NULL = nobody's */
    atomic_int next[2];            /* chunks claimed, by stage */
};

/* A share of a stage: rows [r0, r1) of the pass in buffers that start at row r0; columns part `part` of n_parts. */
struct vt_cpu_part {
    struct vt_cpu_pass *pass;
    struct vt_cpu_bufs *b, *own; /* shared buffers; this thread's */
    int r0, r1, part, n_parts, thread;
};

enum vt_cpu_kept { VT_CPU_ADAPTERS, VT_CPU_ROPE, VT_CPU_BUFS, VT_CPU_BACK, VT_CPU_ROWS, VT_CPU_LOGITS, VT_CPU_N_KEPT };
struct vt_cpu {
    const vt_ckpt *ckpt;
    struct vt_lm_config cfg;
    enum vt_lm_precision prec;
    const struct vt_kernels *k;
    struct vt_pack *pack;
    vt_pool *pool;
    int n_threads;
    vt_lease *lease;
    uint64_t max_bytes;
    int q_dim, kv_dim, qkv_dim, group_heads; /* derived; group_heads = heads per kv head */
    size_t page_bytes, block_bytes;          /* one kv head's page; one layer's pages of a block */
    struct vt_cpu_layer *layers;
    const struct vt_tensor *embed;
    const struct vt_matrix *unembed;
    float *final_norm;

    pthread_mutex_t lock;         /* guards the next four */
    uint64_t bytes, peak;         /* of everything counted */
    uint64_t kept[VT_CPU_N_KEPT]; /* of bytes: what stays between jobs */
    struct vt_cpu_page *free_pages;

    struct vt_cpu_back *back; /* transposed weights, made at the first BACKWARD */
    float *rope;              /* [rope_rows][head_dim]: cosines, then sines */
    int rope_rows;
    int pass_rows;            /* VT_PASS_ROWS; tests shrink it to check that chunking changes no bit */
    struct vt_cpu_bufs *bufs; /* [n_threads] */
    int bufs_rank;
    struct vt_cpu_rows *rows; /* arrays of a pass, grown as needed (lm_rows.c) */
    void *logits;             /* of the rows at work, grown as needed (lm_head.c) */
    int logits_cap;
};

/* lm_memory.c: accounted memory; any thread. What passes max_memory is refused with both figures, after unused KV pages
 * were given up. */
vt_status vt_cpu_reserve(struct vt_cpu *lm, uint64_t bytes, const char *what, vt_err *err) VT_MUST_USE;
void vt_cpu_release(struct vt_cpu *lm, uint64_t bytes);
/* 64-byte aligned, not initialised. */
vt_status vt_cpu_take(struct vt_cpu *lm, size_t bytes, const char *what, void **out, vt_err *err) VT_MUST_USE;
vt_status vt_cpu_take_zeroed(struct vt_cpu *lm, size_t bytes, const char *what, void **out, vt_err *err) VT_MUST_USE;
void vt_cpu_give(struct vt_cpu *lm, void *p, size_t bytes);
/* Says that bytes counted already are kept between jobs, or no longer are: the plan counts on it. */
void vt_cpu_keep(struct vt_cpu *lm, enum vt_cpu_kept what, uint64_t gained, uint64_t lost);
/* Pages of the pool; page_free puts one back. */
vt_status vt_cpu_page_new(struct vt_cpu *lm, struct vt_cpu_page **out, vt_err *err) VT_MUST_USE;
void vt_cpu_page_free(struct vt_cpu *lm, struct vt_cpu_page *p);
void vt_cpu_pages_drop(struct vt_cpu *lm);

/* lm_bufs.c: working rows of every thread, for adapters of up to a rank; rotary tables. */
vt_status vt_cpu_bufs_ensure(struct vt_cpu *lm, int rank, vt_err *err) VT_MUST_USE;
void vt_cpu_bufs_free(struct vt_cpu *lm);
uint64_t vt_cpu_bufs_bytes(const struct vt_cpu *lm, int rank); /* that bufs of this rank would take */
vt_status vt_cpu_rope_ensure(struct vt_cpu *lm, int n_positions, vt_err *err) VT_MUST_USE;
void vt_cpu_rope_free(struct vt_cpu *lm);
uint64_t vt_cpu_rope_bytes(const struct vt_cpu *lm, int n_positions);

/* lm_adapter.c */
/* Brings packed copies up to date (is_back: the transposed ones too); the model's thread. NULL is allowed. */
vt_status vt_cpu_adapter_ready(struct vt_cpu *lm, struct vt_cpu_adapter *a, bool is_back, vt_err *err) VT_MUST_USE;
uint64_t vt_cpu_packed_bytes(const struct vt_cpu *lm, const struct vt_adapter *h, bool is_back);

/* lm_lora.c: the two halves of a low-rank product. */
const struct vt_cpu_lora *vt_cpu_lora_of(const struct vt_cpu *lm, const struct vt_cpu_adapter *a, int layer,
                                         int target); /* NULL = not adapted */
/* Bytes of a packed half; src as for vt_matrix_pack_f32. narrow is A or B^T, wide B or A^T. */
size_t vt_cpu_narrow_bytes(const struct vt_cpu *lm, int rank, int n_in);
size_t vt_cpu_wide_bytes(const struct vt_cpu *lm, int n_out, int rank);
void vt_cpu_narrow_pack(const struct vt_cpu *lm, int rank, int n_in, const float *src, size_t so, size_t si,
                        void *memory, struct vt_matrix *out);
void vt_cpu_wide_pack(const struct vt_cpu *lm, int n_out, int rank, const float *src, size_t so, size_t si,
                      void *memory, struct vt_matrix *out);
/* low [r1 - r0][rank] = rows [r0, r1) of x times narrow. */
void vt_cpu_low_make(const struct vt_cpu *lm, const struct vt_matrix *narrow, int rank, const struct vt_acts *x, int r0,
                     int r1, struct vt_cpu_bufs *own, float *low);
/* scale low, n rows, as rows first.. of activations for a product with wide; they lie in own->low. */
void vt_cpu_low_pack(const struct vt_cpu *lm, int rank, int first, int n, const float *low, float scale,
                     struct vt_cpu_bufs *own, struct vt_acts *out);
/* s A x of rows [r0, r1) of those that runs speak of, of which x begins at r0; false when no adapter of theirs has this
 * module. It lies in own->low. */
bool vt_cpu_lora_low(const struct vt_cpu *lm, const struct vt_cpu_run *runs, int n_runs, int layer, int target, int r0,
                     int r1, const struct vt_acts *x, struct vt_cpu_bufs *own);
/* After it: y [r1 - r0][n0 .. n1) = s B (A x), 0 for rows without an adapter of this module. */
void vt_cpu_lora_wide(const struct vt_cpu *lm, const struct vt_cpu_run *runs, int n_runs, int layer, int target, int r0,
                      int r1, const struct vt_cpu_bufs *own, float *y, size_t ldy, int n0, int n1);

/* lm_rows.c: the arrays of a pass, kept by lm and lent to one pass at a time. begin sizes them; add appends n rows as a
 * span. Consecutive spans of the same family (not NULL) read their first n_shared blocks together. */
vt_status vt_cpu_rows_begin(struct vt_cpu *lm, int n_rows, int n_spans, struct vt_cpu_pass *out,
                            vt_err *err) VT_MUST_USE;
void vt_cpu_rows_add(struct vt_cpu_pass *p, const int32_t *tokens, int n, int pos0, const struct vt_cpu_block *blocks,
                     int n_shared, const void *family, struct vt_cpu_adapter *adapter);
void vt_cpu_rows_prefix(struct vt_cpu_pass *p,
                        const struct vt_cpu_block *prefix); /* these two: of the span added last */
void vt_cpu_rows_tail(struct vt_cpu_pass *p, int tail_row, int n_tail);
void vt_cpu_rows_free(struct vt_cpu *lm);
uint64_t vt_cpu_rows_bytes(const struct vt_cpu *lm, int n_rows);

/* lm_pass.c */
/* x = embedding rows, then all layers; polls the lease between them. ECANCELLED when the work's end was asked for. */
vt_status vt_cpu_pass_run(struct vt_cpu_pass *p, vt_err *err) VT_MUST_USE;
vt_status vt_cpu_check_end(const struct vt_lm_work *w, vt_err *err) VT_MUST_USE; /* that ECANCELLED */
/* The keys of p->layer for all rows; called by all threads, ends with a barrier. */
void vt_cpu_pass_keys(struct vt_cpu_pass *p, int thread, int n_threads);
/* y (+)= x W^T of the pass's layer with the adapter's part, for the part's rows and columns. With add, which is for
 * the residual, the thread's f_norm holds sums. */
void vt_cpu_linear(const struct vt_cpu_part *t, int target, const struct vt_acts *x, float *y, size_t ldy, bool add);

/* lm_attend.c: rows [r0, r1) of the pass -> out[r - r0][q_dim]; lse, when not NULL, [r - r0][n_heads]. */
void vt_cpu_attend(const struct vt_cpu_pass *p, int r0, int r1, struct vt_cpu_bufs *b, float *out, float *lse);

/* lm_head.c: log-softmax over the vocabulary for rows of residuals. */
struct vt_cpu_target {
    int row;
    int32_t id;
    float *logprob;
};
struct vt_cpu_sums {  /* by row and chunk of the vocabulary */
    float *max, *exp; /* maximum m, sum of e^(z - m) */
    float *z, *ez;    /* sum of z, of e^(z - m) (z - m); NULL = not wanted */
};
struct vt_cpu_head {
    const float *const *x; /* [n_rows] residual rows, before the final norm */
    int n_rows;
    const struct vt_cpu_run *runs; /* adapters of the rows; n_runs */
    int n_runs;
    const struct vt_cpu_target *targets; /* by row */
    int n_targets;
    double *lse;   /* [n_rows], out */
    float *logits; /* [n_rows][n_vocab] kept for sampling, at most VT_NARROW_ROWS; NULL in score */
    struct vt_cpu_sums sums;
    const struct vt_lm_extra *extra; /* [n_rows] where else the walk's yield goes; NULL: nowhere; not with logits */
    /* private */
    struct vt_cpu *lm;
    atomic_int next;
};
void vt_cpu_head_run(struct vt_cpu *lm, struct vt_cpu_head *h);
int vt_cpu_head_chunks(const struct vt_cpu *lm);
/* Logits of one chunk of the n packed rows x -> y [n][ldy], whose column 0 is the chunk's first. runs speak of rows
 * that begin at row0; own holds this thread's LoRA buffers. */
void vt_cpu_head_chunk(const struct vt_cpu *lm, const struct vt_cpu_run *runs, int n_runs, int row0, int n, int chunk,
                       const struct vt_acts *x, struct vt_cpu_bufs *own, float *y, size_t ldy);
/* Final norm and packing of rows into b->norm. */
void vt_cpu_head_pack(const struct vt_cpu *lm, const float *const *x, int n, struct vt_cpu_bufs *b);
/* The sums of one row, for n_chunks chunks. */
struct vt_cpu_sums vt_cpu_sums_row(const struct vt_cpu_sums *s, size_t row, int n_chunks);
/* Floats of a row's sums; carving the sums of n_rows out of memory. */
size_t vt_cpu_sums_floats(const struct vt_cpu *lm, bool has_extra);
struct vt_cpu_sums vt_cpu_sums_carve(const struct vt_cpu *lm, float *memory, int n_rows, bool has_extra);
/* Position `at` of e. */
struct vt_lm_extra vt_cpu_extra_at(const struct vt_lm_extra *e, size_t at);
/* Merges a chunk of logits, whose first is id0 and whose maximum is max, into the running top list, which holds logits
 * in place of log-probabilities until vt_cpu_extra_finish. Begin with vt_cpu_extra_begin. */
void vt_cpu_extra_begin(const struct vt_lm_extra *e);
void vt_cpu_extra_chunk(const struct vt_lm_extra *e, const float *logits, int n, int id0, float max);
void vt_cpu_extra_finish(const struct vt_lm_extra *e, const struct vt_cpu_sums *row, int n_vocab, double lse);

/* lm_targets.c: head rows in order, each with the targets added after it. */
struct vt_cpu_targets {
    const float **x;
    int n_rows, cap_rows;
    struct vt_cpu_run *runs;
    int n_runs;
    struct vt_cpu_target *targets;
    int n_targets;
    double *lse;
    struct vt_lm_extra *extra; /* NULL = not wanted */
    float *memory;             /* of sums */
    struct vt_cpu_sums sums;
};
vt_status vt_cpu_targets_begin(struct vt_cpu *lm, int n_rows, size_t n_targets, bool has_extra,
                               struct vt_cpu_targets *l, vt_err *err) VT_MUST_USE;
void vt_cpu_targets_row(struct vt_cpu_targets *l, const float *x, struct vt_cpu_adapter *adapter);
void vt_cpu_targets_add(struct vt_cpu_targets *l, int32_t id, float *logprob); /* these two: of the row added last */
void vt_cpu_targets_extra(struct vt_cpu_targets *l, struct vt_lm_extra extra);
void vt_cpu_targets_run(struct vt_cpu *lm, struct vt_cpu_targets *l);
void vt_cpu_targets_free(struct vt_cpu *lm, struct vt_cpu_targets *l);
uint64_t vt_cpu_targets_bytes(const struct vt_cpu *lm, int n_rows, bool has_extra);

/* lm_group.c: own pages, appended to a table of blocks until n_tokens fit. */
vt_status vt_cpu_blocks_grow(struct vt_cpu *lm, const struct vt_cpu_group *g, int n_tokens, struct vt_cpu_block *blocks,
                             struct vt_cpu_page **own, int *n_blocks, vt_err *err) VT_MUST_USE;

/* lm_sample.c */
struct vt_cpu_draw {
    int32_t token;
    float logprob, logprob_behaviour;
};
struct vt_cpu_logits { /* one row */
    const struct vt_kernels *k;
    int n_vocab, n_chunks;
    const float *logit, *max, *sum; /* max and sum by chunk */
    double lse;
};
size_t vt_cpu_sample_scratch(int n_vocab); /* bytes of scratch, 64-byte aligned */
vt_status vt_cpu_sample(const struct vt_cpu_logits *row, const struct vt_sampling *s, uint64_t seed, uint64_t position,
                        void *scratch, struct vt_cpu_draw *out, vt_err *err) VT_MUST_USE;

/* The operations of lm_ops.h, by file. */
/* lm_adapter.c */
vt_status vt_cpu_adapter_put(void *be, const struct vt_adapter *values, struct vt_lm_adapter *a, vt_err *err);
vt_status vt_cpu_adapter_clone(void *be, const struct vt_lm_adapter *from, struct vt_lm_adapter *a, vt_err *err);
vt_status vt_cpu_adapter_get(void *be, const struct vt_lm_adapter *a, struct vt_adapter **out, vt_err *err);
void vt_cpu_adapter_free(void *be, struct vt_lm_adapter *a);
/* lm_adam.c */
vt_status vt_cpu_grad_new(void *be, vt_lm_grad *g, vt_err *err);
void vt_cpu_grad_free(void *be, vt_lm_grad *g);
vt_status vt_cpu_grad_add(void *be, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err);
vt_status vt_cpu_grad_dot(void *be, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err);
vt_status vt_cpu_grad_read(void *be, const vt_lm_grad *g, float *out, vt_err *err);
vt_status vt_cpu_grad_copy(void *be, vt_lm_grad *to, void *of, const vt_lm_grad *from, vt_err *err) VT_MUST_USE;
vt_status vt_cpu_adam(void *be, struct vt_lm_adapter *a, const vt_lm_grad *g, const struct vt_adam *o, double *norm,
                      vt_err *err);
/* lm_group.c */
vt_status vt_cpu_group(void *be, struct vt_lm_work *w, vt_err *err);
void vt_cpu_group_free(void *be, vt_lm_group *g);
vt_status vt_cpu_slot_new(void *be, vt_lm_slot *s, vt_err *err);
void vt_cpu_slot_free(void *be, vt_lm_slot *s);
/* lm_decode.c, lm_score.c, lm_train.c, lm_back.c */
vt_status vt_cpu_decode(void *be, struct vt_lm_work *w, vt_err *err);
void vt_cpu_decode_free(struct vt_cpu *lm);
uint64_t vt_cpu_logits_bytes(const struct vt_cpu *lm, int n_slots);
vt_status vt_cpu_score(void *be, struct vt_lm_work *w, vt_err *err);
vt_status vt_cpu_forward(void *be, struct vt_lm_work *w, vt_err *err);
void vt_cpu_tape_free(void *be, vt_lm_tape *t);
vt_status vt_cpu_backward(void *be, struct vt_lm_work *w, vt_err *err);
void vt_cpu_back_free(struct vt_cpu *lm);
/* lm_needs.c */
void vt_cpu_plan(void *be, const struct vt_lm_shapes *s, const struct vt_lm_adapter *a, struct vt_lm_needs *out);

#endif
