/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_parts.h: what the files of the CUDA language-model backend (cuda_*.c) share. Private to engine/cuda and its
 * tests. Host code is C over the driver interface (gpu/gpu.h); device code is kernels.cu and what it includes, compiled
 * by nvcc into one image that is part of the binary.
 *
 * The centre is the pass (cuda_pass.c): rows of residuals walk through all layers on one stream. A *wide* pass has
 * consecutive tokens of sequences as rows (prefill, score); a *step* has one token of each slot, reads the slots'
 * records on the device and is replayed as a CUDA graph. Both use the same kernels for everything but attention.
 *
 * Jobs are begun and waited for apart (lm_ops.h): a begun job has one *stage*, a pinned arena with its mirror on the
 * device for what goes in, and another for what comes out; as many stages as jobs in flight take turns.
 *
 * Ownership: the model's thread owns everything but what `lock` guards: the lists of free pages and slot records.
 */
#ifndef VT_CUDA_PARTS_H
#define VT_CUDA_PARTS_H

#include "base/alloc.h"
#include "base/thread.h"
#include "cuda/device.h"
#include "gpu/blas.h"
#include "gpu/gpu.h"
#include "model/lm_ops.h"
#include <pthread.h>
#include <string.h>

enum {
    VT_CUDA_IN_FLIGHT = 8,
    VT_CUDA_BURST = 16,
    VT_CUDA_STEP_ROWS = VT_DEV_STEP_ROWS, /* most slots of a step */
    VT_CUDA_WIDE_ROWS = 32768,            /* most rows of a wide pass; fewer where they would take much memory */
    VT_CUDA_SCRATCH_PAGES = 1024,         /* one-layer pages of a score */
    VT_CUDA_GRAPHS = 24,                  /* step graphs kept */
    VT_CUDA_GRAPH_RUNS = 4,               /* a step under more adapters is not kept as a graph */
    VT_CUDA_MOST_RANK = 256,
    VT_CUDA_SLABS = 1024,       /* of KV pages, 256 MB each */
    VT_CUDA_SPARES = 48,        /* blocks kept for the next training batch, which may be one of many shards */
    VT_CUDA_NORM_THREADS = 512, /* at most: a thread has one, two or four float4s of a row */
    VT_CUDA_WIDTHS = 6,         /* of a product's tile of samples */
    VT_CUDA_ATTEND_WARPS = 4,   /* with queries, of a block of a step's attention */
    VT_CUDA_WIDE_QUERIES = 64,  /* of a warpgroup of a wide pass's attention on Hopper */
    VT_CUDA_RECORD_IDS = 32,    /* banned and stop ids at a record's end */
    VT_CUDA_WORKSPACE = 64 << 20
};

enum vt_cuda_kernel {
#define X(name) VT_CUDA_##name,
    VT_CUDA_KERNEL_MAP(X)
#undef X
        VT_CUDA_N_KERNELS
};

/* Cleared; aligned as the copy engine's views must be. NULL: out of memory. */
static inline void *vt_cuda_new(size_t n, size_t size)
{
    void *p = vt_alloc_aligned(64, n * size);
    return p ? memset(p, 0, n * size) : NULL;
}

struct vt_cuda_layer {
    vt_gpu_ptr qkv, o, gate_up, down;                       /* bf16 [out][in]; gate and up interleaved by 8 rows */
    vt_gpu_ptr input_norm, post_norm, bias, q_norm, k_norm; /* fp32; 0 when absent */
};
struct vt_cuda_weights {
    vt_gpu_ptr matrices, vectors;
    uint64_t matrix_bytes, vector_bytes;
    struct vt_cuda_layer *layers;
    vt_gpu_ptr embedding, head, final_norm; /* head is the embedding when tied */
};

/* 64 positions' keys and values of every layer. */
struct vt_cuda_page {
    vt_gpu_ptr at;
    struct vt_cuda_page *next; /* in the free list */
};
struct vt_cuda_pages {
    int n, cap;
    struct vt_cuda_page **at;
};

/* A large piece of device memory that one batch after another takes. */
struct vt_cuda_block {
    vt_gpu_ptr at;
    uint64_t bytes;
};

/* impl of a group: full and last pages of the prompt. */
struct vt_cuda_group {
    struct vt_cuda_pages pages;
    vt_gpu_ptr last_hidden; /* behind the last page */
};

/* impl of a slot. Pages from the prompt's full ones on are its own; tokens is what the jobs begun so far may have
 * drawn at most: the record on the device knows how many it is. */
struct vt_cuda_slot {
    vt_gpu_ptr record;
    vt_gpu_ptr ids; /* banned and stop ids that do not fit the record; 0 = they do */
    struct vt_cuda_pages own;
    int n_sent; /* own pages that the record's table has */
    int n_begun;
    bool is_written; /* the record was filled by some job */
};

/* What goes in and what comes out of one job. */
struct vt_cuda_arena {
    char *host;
    vt_gpu_ptr device;
    size_t cap, used;
};
struct vt_cuda_stage {
    struct vt_cuda_arena in, out;
    vt_cu_event done;
};

struct vt_cuda_pass {
    int n_rows, n_tiles;
    vt_gpu_ptr tokens, pos, key_at, tiles; /* device arrays of a wide pass */
    vt_gpu_ptr job;                        /* of a step; 0 = a wide pass */
    vt_gpu_ptr copies;                     /* wide: keys to be copied at every layer; 0 = none */
    int n_copies;
    vt_gpu_ptr plain_keys, lse;     /* wide, training: where keys and values, and log-sum-exps, go too; 0 = nowhere */
    const struct vt_cuda_run *runs; /* all rows, in order */
    int n_runs;                     /* 0 = no adapter */
    bool is_own;                    /* a step on the backend's own products */
};

/* Working rows of a pass. */
struct vt_cuda_bufs {
    int cap;
    vt_gpu_ptr memory;
    vt_gpu_ptr x;                 /* fp32 [rows][d_model]: the residual */
    vt_gpu_ptr norm, qkv, q, ctx; /* bf16 [rows][d_model], fp32 [rows][qkv_dim], bf16 [rows][n_heads][head_pad] … */
    vt_gpu_ptr gate_up, act;      /* bf16 [rows][2 d_ff], [rows][d_ff] */
    vt_gpu_ptr pos, key_at;       /* of a step: made by its first kernel */
};

/* --- a step's own products (Hopper; cuda_gemm.c) --- */

struct vt_cuda_machine {
    int most_clusters[2]; /* of two and of four blocks, at once */
    double bandwidth;     /* bytes a second that a copy reaches */
};
/* How a weight is cut: tiles of ranks * 128 rows a cluster, k in splits or runs. */
struct vt_cuda_cut {
    int ranks;                                   /* blocks of a cluster: 2 or 4 */
    int samples;                                 /* of a tile */
    int k_blocks, n_tiles, n_splits, n_clusters; /* of one tile of samples */
    int n_own_tiles, k_own; /* of n_tiles, of k_blocks: of the weight; those behind are of an adapter's A, of its B */
    double seconds;         /* as estimated */
};
struct vt_cuda_product {
    enum vt_dev_gemm_kind kind;
    int n_columns, k;
    struct vt_cuda_cut cut;
    struct vt_cu_tensor_map weight;
};
struct vt_cuda_samples {                             /* rows that products read, by width of tile */
    struct vt_cu_tensor_map view[VT_CUDA_WIDTHS][2]; /* for clusters of two and of four */
};
struct vt_cuda_products {
    struct vt_cuda_layer_products {
        struct vt_cuda_product qkv, o, gate_up, down;
    } * layers;
    struct vt_cuda_product head;
    struct vt_cuda_samples norm, ctx, act;
    vt_gpu_ptr partial, parts, flags;
    size_t partial_bytes;
    vt_gpu_ptr low; /* bf16 [VT_CUDA_STEP_ROWS][n_low]: scale A x of the rows of be->step.norm */
};

/* --- adapters (cuda_adapter.c) --- */

enum vt_cuda_site_kind { VT_CUDA_QKV, VT_CUDA_O, VT_CUDA_GATE_UP, VT_CUDA_DOWN, VT_CUDA_N_SITES };
/* The modules of one product under an adapter: their A under each other, their B beside each other, zero elsewhere. In
 * a step, A x of a normed row is known before the product (the norm gives it): B goes along as more columns of k. Of
 * the others A goes along as more rows, and who adds up the product multiplies by B. */
struct vt_cuda_site {
    int n_low, k, n_out; /* n_low: 0 = not adapted */
    vt_gpu_ptr a, b;     /* bf16 [n_low][k], [n_out][n_low] */
    bool is_known;       /* these four: of a step's product on Hopper */
    struct vt_cuda_cut cut;
    struct vt_cu_tensor_map map; /* of B, or of A */
    const struct vt_cuda_samples *low;
};
struct vt_cuda_adapter {
    uint64_t serial;
    int rank, rank_pad;
    float scale; /* alpha / rank */
    size_t n_params;
    struct vt_adapter *meta;    /* everything but the values, whose pointers are NULL */
    vt_gpu_ptr params, moments; /* fp32 [n_params]; m, then v, 0 = none yet */
    vt_gpu_ptr packed;          /* bf16 of all layers */
    size_t packed_layer;        /* elements of one layer */
    vt_gpu_ptr modules;         /* struct vt_dev_module [n_modules], layer by layer */
    int n_modules;
    bool is_fresh;               /* packed holds the present values */
    struct vt_cuda_site *sites;  /* [n_layers][VT_CUDA_N_SITES] */
    struct vt_cuda_samples *low; /* [VT_CUDA_N_SITES]: views of known A x */
};
/* Rows of a pass under one adapter; NULL = none. */
struct vt_cuda_run {
    int row0, row1;
    const struct vt_cuda_adapter *adapter;
};

struct vt_cuda_grad {             /* impl of a gradient */
    struct vt_cuda_block memory; /* fp32, as the adapter's parameters */
};

struct vt_cuda_graph {
    int n_rows, n_tiles, n_runs;
    struct {
        int row1;
        uint64_t serial;
    } runs[VT_CUDA_GRAPH_RUNS];
    uint64_t used; /* order of the last use */
    vt_cu_graph_exec exec;
};

struct vt_cuda {
    struct vt_lm_config cfg;
    struct vt_dev_shape shape;
    vt_gpu *gpu;
    const struct vt_gpu_props *gpu_props;
    vt_gpu_blas *blas;
    vt_cu_stream stream;
    vt_cu_module module;
    vt_cu_function kernel[VT_CUDA_N_KERNELS];
    vt_lease *lease;
    struct vt_cuda_weights w;
    size_t page_bytes;
    int table_len; /* page table entries of a slot's record */
    size_t record_bytes;

    vt_gpu_ptr rope; /* fp32 [rope_rows][head_dim] */
    int rope_rows;

    pthread_mutex_t side_lock; /* of the stream for adapters and gradients, which any thread may use */
    vt_cu_stream side;

    pthread_mutex_t lock; /* guards the next ones, down to records */
    uint64_t n_adapters;  /* made so far */
    uint64_t adapter_bytes;
    struct vt_cuda_page *free_pages;
    struct vt_cuda_page *slabs[VT_CUDA_SLABS]; /* malloc'd lists */
    int n_slabs;
    struct vt_cuda_block spares[VT_CUDA_SPARES];
    struct vt_cuda_arena spare_arenas[VT_CUDA_SPARES];
    vt_gpu_ptr *free_records;
    int n_free_records, cap_free_records, n_records;

    struct vt_cuda_prompts *prompts; /* begun, put off; NULL = none */
    struct vt_cuda_stage stages[VT_CUDA_IN_FLIGHT];
    int next_stage;
    struct vt_cuda_bufs wide, step;
    int wide_rows;
    vt_gpu_ptr scratch_pages; /* one-layer pages of score */
    vt_gpu_ptr low;           /* bf16: scale A x of a wide pass's rows, grown to the widest adapter met */
    size_t low_bytes;
    vt_gpu_ptr logits, head_norm, sums;
    int head_rows;  /* rows of logits */
    vt_gpu_ptr job; /* struct vt_dev_job of the steps */
    struct vt_cuda_graph graphs[VT_CUDA_GRAPHS];
    uint64_t n_graph_uses;
    bool is_own;      /* steps run on the backend's own products and Hopper's attention */
    int attend_ranks; /* blocks of a cluster that share the pages of a step's samples */
    uint32_t
        ahead_bytes; /* of a layer's weights, from the output product's on, that its attention asks the cache for */
    struct vt_cuda_machine machine;
    struct vt_cuda_products products;
    bool has_no_graphs; /* tests: launch steps one by one */
    int most_kept;      /* tests: what a tape may keep, enum vt_cuda_kept */
};

/* cuda_open.c */
/* Opens a model whose weights `fill` puts in place (be->w is laid out). */
typedef vt_status vt_cuda_fill(struct vt_cuda *be, void *arg, vt_err *err);
vt_status vt_cuda_open_with(const struct vt_lm_config *cfg, const struct vt_lm_opts *o, vt_cuda_fill *fill, void *arg,
                            struct vt_lm_limits *limits, uint64_t *max_memory, struct vt_cuda **out,
                            vt_err *err) VT_MUST_USE;
void vt_cuda_name_numerics(const struct vt_gpu_props *p, char out[64]);
vt_status vt_cuda_check_config(const struct vt_lm_config *c, vt_err *err) VT_MUST_USE;
void vt_cuda_close(void *be);
vt_status vt_cuda_rope_ensure(struct vt_cuda *be, int n_positions, vt_err *err) VT_MUST_USE;

/* cuda_weights.c */
vt_status vt_cuda_weights_layout(struct vt_cuda *be, vt_err *err) VT_MUST_USE;           /* takes the memory */
vt_status vt_cuda_weights_load(struct vt_cuda *be, void *ckpt, vt_err *err) VT_MUST_USE; /* a vt_cuda_fill */
uint64_t vt_cuda_weights_bytes(const struct vt_lm_config *c);

/* cuda_memory.c */
void vt_cuda_derive(const struct vt_lm_config *c, struct vt_dev_shape *out);
size_t vt_cuda_page_bytes(const struct vt_lm_config *c);
size_t vt_cuda_row_bytes(const struct vt_lm_config *c); /* of vt_cuda_bufs */
/* Shared memory of a block of a step's and of a wide pass's attention on Hopper. */
size_t vt_cuda_attend_bytes(void);
size_t vt_cuda_wide_attend_bytes(bool is_wide);
static inline int vt_cuda_wide_groups(bool is_wide) /* warpgroups of a block of the latter */
{
    return is_wide ? 3 : 2;
}
vt_status vt_cuda_bufs_take(struct vt_cuda *be, int rows, bool is_step, struct vt_cuda_bufs *b,
                            vt_err *err) VT_MUST_USE;
/* As vt_gpu_alloc; where there is no room, blocks that are kept for later are given up. */
vt_status vt_cuda_alloc(struct vt_cuda *be, size_t bytes, const char *what, vt_gpu_ptr *out, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_block_take(struct vt_cuda *be, uint64_t bytes, const char *what, struct vt_cuda_block *out,
                             vt_err *err) VT_MUST_USE;
void vt_cuda_block_give(struct vt_cuda *be, struct vt_cuda_block *b);
uint64_t vt_cuda_room(struct vt_cuda *be);    /* bytes of the budget that nothing holds, spare blocks among them */
void vt_cuda_graphs_free(struct vt_cuda *be); /* of steps */
/* Appends pages until the list holds n. */
vt_status vt_cuda_pages_grow(struct vt_cuda *be, struct vt_cuda_pages *p, int n, vt_err *err) VT_MUST_USE;
void vt_cuda_pages_free(struct vt_cuda *be, struct vt_cuda_pages *p);
vt_status vt_cuda_record_take(struct vt_cuda *be, vt_gpu_ptr *out, vt_err *err) VT_MUST_USE;
void vt_cuda_record_give(struct vt_cuda *be, vt_gpu_ptr record);
vt_status vt_cuda_ids_take(struct vt_cuda *be, const vt_lm_slot *slot, vt_gpu_ptr *memory, vt_gpu_ptr *out,
                           vt_err *err) VT_MUST_USE;
/* The next stage, with room for in and out bytes; its last job was waited for. */
vt_status vt_cuda_stage_begin(struct vt_cuda *be, size_t in, size_t out, struct vt_cuda_stage **stage,
                              vt_err *err) VT_MUST_USE;
/* n bytes of an arena, 16-byte aligned: the host's address, and the device's in *device. */
vt_status vt_cuda_arena_ensure(struct vt_cuda *be, struct vt_cuda_arena *a, size_t n,
                               vt_err *err) VT_MUST_USE; /* empty, of n bytes or more */
/* An arena of a training batch's own, until it is returned: the last one that was, where it is large enough. */
vt_status vt_cuda_arena_borrow(struct vt_cuda *be, struct vt_cuda_arena *a, size_t n, vt_err *err) VT_MUST_USE;
void vt_cuda_arena_return(struct vt_cuda *be, struct vt_cuda_arena *a);
void *vt_cuda_arena_take(struct vt_cuda_arena *a, size_t n, vt_gpu_ptr *device);
vt_status vt_cuda_stage_send(struct vt_cuda *be, struct vt_cuda_stage *s, vt_err *err) VT_MUST_USE;  /* in -> device */
vt_status vt_cuda_stage_fetch(struct vt_cuda *be, struct vt_cuda_stage *s, vt_err *err) VT_MUST_USE; /* out -> host */
vt_status vt_cuda_stage_wait(struct vt_cuda *be, struct vt_cuda_stage *s, vt_err *err) VT_MUST_USE;
enum { VT_CUDA_ALIGN = 16 };

/* cuda_pass.c */
vt_status vt_cuda_launch(struct vt_cuda *be, enum vt_cuda_kernel k, const struct vt_gpu_grid *grid, void **args,
                         vt_err *err) VT_MUST_USE;
/* d [rows][n] = (to +) x [rows][k] w' of a pass's rows, with the share of their adapters; x bf16, d bf16 or fp32. */
struct vt_cuda_linear {
    int layer;
    enum vt_cuda_site_kind kind;
    vt_gpu_ptr x, w, d;
    vt_gpu_ptr to; /* fp32, may be d; 0 = nothing is added to */
    int n, k;
    bool is_f32;
};
vt_status vt_cuda_linear(struct vt_cuda *be, const struct vt_cuda_linear *l, const struct vt_cuda_pass *p,
                         vt_err *err) VT_MUST_USE;
/* out [n][n_low] = scale x A', bf16. */
vt_status vt_cuda_low(struct vt_cuda *be, const struct vt_cuda_site *s, float scale, vt_gpu_ptr x, int n,
                      vt_gpu_ptr out, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_embed(struct vt_cuda *be, vt_gpu_ptr tokens, int n, vt_gpu_ptr x, vt_err *err) VT_MUST_USE;
/* All layers; the rows of b->x hold embeddings. */
vt_status vt_cuda_layers(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b,
                         vt_err *err) VT_MUST_USE;
/* A layer's parts: norm, q, k, v, keys; attention; x = b->x + its output, norm, gate and up, SwiGLU; out = x + down. */
vt_status vt_cuda_layer_keys(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                             vt_err *err) VT_MUST_USE;
vt_status vt_cuda_layer_attend(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                               vt_err *err) VT_MUST_USE;
vt_status vt_cuda_layer_rest(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                             vt_gpu_ptr x, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_layer_down(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b, int i,
                             vt_gpu_ptr x, vt_gpu_ptr out, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_swiglu(struct vt_cuda *be, int n, const struct vt_cuda_bufs *b, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_norm(struct vt_cuda *be, int n, vt_gpu_ptr x, vt_gpu_ptr w, vt_gpu_ptr out, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_rope(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_cuda_bufs *b,
                       const struct vt_dev_sums *y, int layer, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_wide(struct vt_cuda *be, const struct vt_cuda_pass *p,
                       vt_err *err) VT_MUST_USE; /* embeds, then layers */
/* Tiles of n tokens from row0 at position pos0; at most vt_cuda_n_tiles(…, n) of them are written. */
int vt_cuda_n_tiles(const struct vt_cuda *be, int n);
int vt_cuda_tiles(const struct vt_cuda *be, vt_gpu_ptr table, int row0, int n, int pos0, struct vt_dev_tile *out);
/* logits of n rows of normed residuals. */
vt_status vt_cuda_head(struct vt_cuda *be, vt_gpu_ptr norm, int n, vt_err *err) VT_MUST_USE;

/* Threads of a block that norms rows of d elements. */
unsigned vt_cuda_norm_threads(int d);
unsigned vt_cuda_low_threads(int d, int n_low); /* and also give A x: a warp for four rows of A */

/* cuda_adapter.c: storage operations, and what the model's thread does before work: values packed, room for low rows of
 * n_rows (wide) or of a step. NULL is allowed. */
vt_status vt_cuda_adapter_put(void *be, const struct vt_adapter *values, struct vt_lm_adapter *a, vt_err *err);
vt_status vt_cuda_adapter_clone(void *be, const struct vt_lm_adapter *from, struct vt_lm_adapter *a, vt_err *err);
vt_status vt_cuda_adapter_get(void *be, const struct vt_lm_adapter *a, struct vt_adapter **out, vt_err *err);
void vt_cuda_adapter_free(void *be, struct vt_lm_adapter *a);
uint64_t vt_cuda_adapters_bytes(const struct vt_cuda *be);
vt_status vt_cuda_adapter_ready(struct vt_cuda *be, struct vt_cuda_adapter *a, int n_rows, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_grad_new(void *be, vt_lm_grad *g, vt_err *err);
void vt_cuda_grad_free(void *be, vt_lm_grad *g);
vt_status vt_cuda_grad_add(void *be, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err);
vt_status vt_cuda_grad_dot(void *be, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err);
vt_status vt_cuda_grad_read(void *be, const vt_lm_grad *g, float *out, vt_err *err);
vt_status vt_cuda_grad_copy(void *be, vt_lm_grad *to, void *of, const vt_lm_grad *from, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_adam(void *be, struct vt_lm_adapter *a, const vt_lm_grad *g, const struct vt_adam *o, double *norm,
                       vt_err *err);
/* NULL: not adapted there. */
static inline const struct vt_cuda_site *vt_cuda_site_at(const struct vt_cuda_adapter *a, int layer,
                                                         enum vt_cuda_site_kind kind)
{
    const struct vt_cuda_site *s = a ? &a->sites[layer * VT_CUDA_N_SITES + (int)kind] : NULL;
    return s && s->n_low ? s : NULL;
}
static inline struct vt_cuda_adapter *vt_cuda_adapter_of(const struct vt_lm_adapter *a) /* NULL: the base */
{
    return a ? a->impl : NULL;
}
/* Appends n rows under an adapter (NULL = none) to a pass's runs; runs has room. */
void vt_cuda_runs_add(struct vt_cuda_run *runs, int *n_runs, int row0, int n, const struct vt_cuda_adapter *a);

/* cuda_step.c: the rows of be->step; what is left to be added to them goes to *left. */
vt_status vt_cuda_step_layers(struct vt_cuda *be, const struct vt_cuda_pass *p, struct vt_dev_sums *left,
                              vt_err *err) VT_MUST_USE;
/* A x of a normed row that a layer's product takes; nothing without an adapter. */
struct vt_dev_low vt_cuda_step_low(const struct vt_cuda *be, const struct vt_cuda_pass *p, int layer,
                                   enum vt_cuda_site_kind kind);
int vt_cuda_attend_ranks(const struct vt_lm_config *c);
vt_status vt_cuda_step_head(struct vt_cuda *be, bool is_own, int n_rows, vt_err *err) VT_MUST_USE;

/* cuda_gemm.c */
/* n_rows, n_tail: more rows of the weight, more columns of k, of an adapter. */
struct vt_cuda_cut vt_cuda_cut_of(const struct vt_cuda_machine *m, enum vt_dev_gemm_kind kind, int n_columns, int k,
                                  int n_rows, int n_tail);
/* The copy engine's view of a weight's rows. */
vt_status vt_cuda_view(struct vt_cuda *be, vt_gpu_ptr p, int rows, int k, struct vt_cu_tensor_map *out,
                       vt_err *err) VT_MUST_USE;
vt_status vt_cuda_products_make(struct vt_cuda *be, vt_err *err) VT_MUST_USE; /* after weights and step rows */
/* rows: VT_CUDA_STEP_ROWS of k elements. */
vt_status vt_cuda_samples_make(struct vt_cuda *be, vt_gpu_ptr rows, int k, struct vt_cuda_samples *s,
                               vt_err *err) VT_MUST_USE;
vt_status vt_cuda_product_make(struct vt_cuda *be, enum vt_dev_gemm_kind kind, vt_gpu_ptr weight, int n_columns, int k,
                               struct vt_cuda_product *p, vt_err *err) VT_MUST_USE;
/* low: the site of an adapter, or NULL. */
vt_status vt_cuda_product(struct vt_cuda *be, const struct vt_cuda_product *p, const struct vt_cuda_site *low,
                          const struct vt_cuda_samples *x, int n_rows, vt_gpu_ptr out, int64_t ld,
                          vt_err *err) VT_MUST_USE;

/* cuda_group.c, cuda_score.c, cuda_decode.c: operations of the table */
vt_status vt_cuda_group_begin(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_group_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
/* Prompts that were put off go to the device: before any other work does. A failure is told at their wait. */
void vt_cuda_prompts_begin(struct vt_cuda *be);
void vt_cuda_group_free(void *be, vt_lm_group *g);
vt_status vt_cuda_slot_new(void *be, vt_lm_slot *s, vt_err *err) VT_MUST_USE;
void vt_cuda_slot_free(void *be, vt_lm_slot *s);
vt_status vt_cuda_score_begin(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_score_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_decode_begin(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_decode_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
/* Tiles of a step's rows; slots stand by group. */
int vt_cuda_step_tiles(const struct vt_cuda *be, bool is_own, vt_lm_slot *const *slots, int n, struct vt_dev_tile *out);
void vt_cuda_plan(void *be, const struct vt_lm_shapes *s, const struct vt_lm_adapter *a, struct vt_lm_needs *out);

/* The device code, embedded by the build. */
extern const unsigned char vt_cuda_image[];

#endif
