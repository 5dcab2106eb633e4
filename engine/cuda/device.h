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
    int32_t n_rows, n_columns, k_blocks, n_tiles, n_splits, n_clusters, kind, n_stages, n_ranks, pad;
};

struct vt_dev_shape { /* of the model; by value */
    int32_t d_model, n_heads, n_kv_heads, head_dim, head_pad, q_dim, kv_dim, qkv_dim, d_ff, n_vocab, ld_vocab, n_chunks;
    float eps, scale_log2; /* 1/sqrt(head_dim) * log2(e) */
    int64_t layer_stride;  /* bytes of one layer of a page */
};

#endif
