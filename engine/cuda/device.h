/* SPDX-License-Identifier: Apache-2.0
 *
 * device.h: what host (C) and device (CUDA C++) share: structs that live in device memory or are passed to kernels by
 * value, and the constants of their layout. Fixed-width types only; addresses are 64-bit integers on the host side.
 *
 * Keys and values. A page holds 64 consecutive positions of one sequence for every layer: [layer][kv head][K, V]
 * [head_pad / 64] tiles of 64 keys by 64 elements, bf16, swizzled (attend.cuh); head_pad is the head size rounded up to
 * 64 or 128, with zeros in the padding. Behind them stand d_model floats for the residual of a prompt's last token
 * (used in a prompt's last page only). A page table is an array of page addresses by position / 64; an entry with its
 * lowest bit set is a scratch page that holds one layer, whichever is at work. Pages are cleared once, so that what was
 * never written is finite.
 *
 * A slot (one sample) has a record in device memory: its state moves on there, so that a job can be begun before the
 * last one has ended. A step takes the slots of a batch as rows.
 */
#ifndef VT_CUDA_DEVICE_H
#define VT_CUDA_DEVICE_H

#include <stdint.h>

enum {
    VT_DEV_PAGE_KEYS = 64,
    VT_DEV_KEY_BYTES = 128,   /* of a key's row in a tile of a page */
    VT_DEV_HEAD_CHUNK = 1024, /* vocabulary columns of a partial sum, as in the CPU backend */
    VT_DEV_STEP_ROWS = 256,   /* most slots of a step */
    VT_DEV_LOW_THREADS = 384, /* most of a norm under an adapter that has four elements a thread */
    VT_DEV_TILE_ROWS = 16     /* queries (sample or token, times head) of an attention tile: a warp's */
};

/* A slot's record; the page table follows it. */
struct vt_dev_slot {
    uint64_t seed;
    uint64_t last_hidden;       /* float[d_model]: the prompt's last residual */
    uint64_t banned;            /* int32[n_banned], sorted */
    uint64_t stop_ids;          /* int32[n_stop_ids] */
    int32_t n_prompt, n_tokens; /* sampled so far */
    int32_t last, finished;     /* newest token; 0, 1 = stop id, 2 = max_tokens */
    int32_t max_tokens, n_banned, n_stop_ids, top_k;
    float temperature, top_p, min_p;
    int32_t pad[13];
};
/* the table: uint64[max_blocks] behind the record */

/* Rows of a tile that attend together: n samples of one group (a step), or n tokens of one sequence (a wide pass), each
 * with the query heads of one key head from head0 on. */
struct vt_dev_tile {
    uint64_t table;   /* wide: the sequence's page table; step: unused */
    int32_t row0, n;  /* rows of the pass */
    int32_t pos0;     /* wide: position of row0 */
    int32_t n_shared; /* step: full pages of the group's prompt */
    int32_t head0, pad;
};

/* One decode job; read by every kernel of its steps. */
struct vt_dev_job {
    int32_t n_rows, n_tiles, n_steps, pad;
    uint64_t tokens, logprob, behaviour, entropy, certainty; /* outputs [n_rows][n_steps] */
    uint64_t n_out, finished;                                /* int32[n_rows] */
    uint64_t pad2;
    uint64_t rows[VT_DEV_STEP_ROWS];                /* addresses of slot records; 0 = an empty row */
    struct vt_dev_tile tiles[2 * VT_DEV_STEP_ROWS]; /* sent as far as n_tiles */
};

/* A value to be put at an address before the steps: new page table entries and fresh records. */
struct vt_dev_poke {
    uint64_t address, value;
};
/* Keys and values [0, n_keys) of a page, all layers, copied into another: the page that straddles a prompt's end. */
struct vt_dev_copy {
    uint64_t from, to;
    int32_t n_keys, pad;
};

/* A product of a step's rows with a weight (gemm.cuh); by value. k runs in blocks of 64, weight rows in tiles; a unit
 * is one block of k of one tile of a cluster (n_ranks blocks), units are numbered tile by tile. */
enum vt_dev_gemm_kind {
    VT_DEV_GEMM_PARTIAL, /* split s of n_splits writes its sums to out[s][row][column], fp32 */
    VT_DEV_GEMM_SWIGLU,  /* out[row][column / 2], bf16: silu(gate) * up of interleaved rows */
    VT_DEV_GEMM_FLOAT    /* out[row][column], fp32 */
};
struct vt_dev_gemm {
    uint64_t out;
    uint64_t parts, flags; /* scratch of tiles that two clusters share: float[blocks][tile], int32[blocks] zeroed */
    int64_t ld;            /* elements between rows of out */
    int64_t split_stride;  /* elements between splits */
    int32_t n_rows, n_columns, k_blocks, n_tiles, n_splits, n_clusters, kind, n_stages, n_ranks;
    int32_t n_own_tiles, n_low; /* tiles behind the weight's own are of an adapter's A, with n_low rows: columns behind
                                   n_columns of out. Not with SWIGLU */
    int32_t k_own;              /* blocks of k behind these are of an adapter's B and of A x */
};

/* A x of a normed row, x [k]: out[row][n_low] = scale A x, rounded to bf16. */
struct vt_dev_low {
    uint64_t a, out; /* bf16 [n_low][k]; a = 0: not wanted */
    int32_t n_low;
    float scale;
};

/* What the reader of a product adds up: n splits [row][ld], fp32, `stride` elements apart. With an adapter, columns
 * [n_columns, n_columns + n_low) of them are A x, and low is its B [n_columns][n_low], bf16, zero outside a module's
 * own share of the n_low; what is added is B (scale A x), with scale A x rounded to bf16. */
struct vt_dev_sums {
    uint64_t first, low;
    int64_t stride;
    int32_t n, ld, n_columns, n_low; /* n_low: rotation takes none */
    float scale;
    int32_t pad;
};

/* A module of an adapter: where its values stand among the parameters (A [rank][d_in], then B [d_out][rank]) and in
 * packed form: a: A's first row, b: B's first element, in rows of ldb; interleave: -1 none; 0, 1: rows are those of
 * gate and up. */
struct vt_dev_module {
    int64_t a_off, b_off;
    uint64_t a, b;
    int32_t d_in, d_out, ldb, interleave;
};

/* Adam's numbers of one step: step = lr / (1 - beta1^t), root_c2 = sqrt(1 - beta2^t), decay = 1 - lr * weight decay. */
struct vt_dev_adam {
    float beta1, beta2, eps, step, root_c2, decay, grad_scale, pad;
};

/* --- training --- */

/* Rows of one sequence of a training batch: tokens row0 .. row0 + n, which see prompt rows too when n_prompt > 0. */
struct vt_dev_span {
    int32_t row0, n, prompt_row, n_prompt;
};
/* 64 queries (token, head) of a span and a key head, from query `first` = token * heads per key head. */
struct vt_dev_back_queries {
    int32_t span, first;
};
/* Up to 64 keys from key_row and the tokens that see them, from q_row: token t sees keys below t + seen0. Their
 * gradients go to part `part` of the sums, or, when that is -1, straight to their rows. */
struct vt_dev_back_keys {
    int32_t key_row, n_keys, q_row, n_q, seen0, part;
};
/* Keys whose gradients are the sum of parts part0 .. part0 + n_parts. */
struct vt_dev_key_sum {
    int32_t key_row, n_keys, part0, n_parts;
};
/* A row whose logits have a gradient: weights and ids of targets [t0, t1). */
struct vt_dev_back_head {
    uint64_t source; /* its residual */
    int32_t row, t0, t1;
    float weight; /* sum of the targets' */
};

struct vt_dev_shape { /* of the model; by value */
    int32_t d_model, n_heads, n_kv_heads, head_dim, head_pad, q_dim, kv_dim, qkv_dim, d_ff, n_vocab, ld_vocab, n_chunks;
    float eps, scale_log2; /* 1/sqrt(head_dim) * log2(e) */
    int64_t layer_stride;  /* bytes of one layer of a page */
};

/* Every kernel, without its vt_. */
/* clang-format off */
#define VT_CUDA_KERNEL_MAP(X) \
    X(embed) X(norm) X(norm_low) X(norm_low_long) X(norm_rows) X(norm_from) X(step_begin) X(step_norm) X(rope) \
    X(swiglu) X(step_attend_64) X(step_attend_128) X(step_pages_64) X(step_pages_128) X(wide_attend_64) \
    X(wide_attend_128) X(wide_pages_64) X(wide_pages_128) X(poke) X(copy_keys) X(step_chunks) X(step_draw) X(head_rows) \
    X(back_queries_64) X(back_queries_128) X(back_keys_64) X(back_keys_128) \
    X(back_wide_queries_64) X(back_wide_queries_128) X(back_wide_keys_64) X(back_wide_keys_128) X(back_key_sums) X(round) X(back_norm) \
    X(back_head_norm) X(back_head) X(back_swiglu) X(back_delta) X(back_rope) X(pack_modules) \
    X(add_modules) X(add) X(dot) X(adam) \
    X(gemm_16) X(gemm_32) X(gemm_64) X(gemm_96) X(gemm_128) X(gemm_160)
/* clang-format on */

#endif
