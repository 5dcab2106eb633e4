/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_gemm.c: the host's side of a step's own products (gemm.cuh): how a weight is cut over the machine, the tiled
 * views the copy engine reads, and the launch. A cut is chosen once a weight, by a small model of time: the bytes a
 * multiprocessor must take in, the bytes the device must read, and the partial sums that are written and read again.
 * It depends on the weight's shape and the machine only, never on the number of samples, so an element's order of
 * additions does not either (up to 160 samples; more take narrower tiles).
 */
#include "cuda/cuda_parts.h"
#include <stdlib.h>

enum {
    TILE_K = 64,
    WARPGROUPS_ROWS = 128,
    NOMINAL_SAMPLES = 160,
    WIDEST = 256,
    SHARED_BYTES = 226 * 1024,
    THREADS = 384
};

/* Bytes a second: what one multiprocessor takes in, and what partial sums are written and read at; measured on an H200.
 */
static const double intake = 100e9, sums_rate = 4.5e12;

static const struct {
    int samples, blocks;
    enum vt_cuda_kernel kernel;
} variants[] = {{16, 1, VT_CUDA_gemm_16_1},   {32, 1, VT_CUDA_gemm_32_1},   {64, 1, VT_CUDA_gemm_64_1},
                {96, 1, VT_CUDA_gemm_96_1},   {128, 1, VT_CUDA_gemm_128_1}, {160, 1, VT_CUDA_gemm_160_1},
                {256, 1, VT_CUDA_gemm_256_1}, {16, 2, VT_CUDA_gemm_16_2},   {32, 2, VT_CUDA_gemm_32_2},
                {64, 2, VT_CUDA_gemm_64_2},   {96, 2, VT_CUDA_gemm_96_2},   {128, 2, VT_CUDA_gemm_128_2},
                {160, 2, VT_CUDA_gemm_160_2}};

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Seconds of a cut whose busiest cluster has `units` units: the slowest of multiplying, of what leaves the cache (the
 * samples' rows once a cluster), and of what leaves the memory. */
static double time_of(const struct vt_cuda_machine *m, const struct vt_cuda_cut *c, int n_columns, int units)
{
    const double unit_bytes = (double)TILE_K * 2 * (2 * WARPGROUPS_ROWS * c->blocks + NOMINAL_SAMPLES);
    const double weight = (double)n_columns * c->k_blocks * TILE_K * 2;
    const double all = (double)c->n_tiles * c->k_blocks * unit_bytes / cache_rate;
    return larger(larger(units * c->blocks * unit_seconds, all), weight / m->bandwidth);
}

static void try_cut(const struct vt_cuda_machine *m, enum vt_dev_gemm_kind kind, int n_columns, struct vt_cuda_cut c,
                    struct vt_cuda_cut *best)
{
    c.n_tiles = divide_up(n_columns, 2 * WARPGROUPS_ROWS * c.blocks);
    if (kind == VT_DEV_GEMM_PARTIAL) {
        const double sums = 2.0 * NOMINAL_SAMPLES * n_columns * sizeof(float) / cache_rate;
        for (c.n_splits = 1; c.n_splits <= c.k_blocks; c.n_splits++) {
            c.n_clusters = c.n_tiles * c.n_splits;
            if (c.n_clusters > m->most_clusters && c.n_splits > 1)
                break;
            const int waves = divide_up(c.n_clusters, m->most_clusters);
            c.seconds = waves * time_of(m, &c, n_columns, divide_up(c.k_blocks, c.n_splits)) + c.n_splits * sums;
            if (c.seconds < best->seconds)
                *best = c;
        }
        return;
    }
    /* Equal runs of units; or, where they fit at once, whole tiles, of which none is completed by another cluster. */
    const double tile_bytes = (double)WARPGROUPS_ROWS * c.blocks * NOMINAL_SAMPLES * sizeof(float);
    const long units = (long)c.n_tiles * c.k_blocks;
    c.n_splits = 1;
    c.n_clusters = units < m->most_clusters ? (int)units : m->most_clusters;
    const int run = (int)((units + c.n_clusters - 1) / c.n_clusters);
    const int others = divide_up(c.k_blocks, run); /* that a tile's first cluster waits for, at most */
    c.seconds = time_of(m, &c, n_columns, run) + hand_over + others * tile_bytes / intake;
    if (c.seconds < best->seconds)
        *best = c;
    if (c.n_tiles > m->most_clusters)
        return;
    c.n_clusters = c.n_tiles;
    c.seconds = time_of(m, &c, n_columns, c.k_blocks);
    if (c.seconds < best->seconds)
        *best = c;
}

struct vt_cuda_cut vt_cuda_cut_of(const struct vt_cuda_machine *m, enum vt_dev_gemm_kind kind, int n_columns, int k,
                                  bool is_widest)
{
    struct vt_cuda_cut best = {.seconds = 1e9};
    for (int blocks = 1; blocks <= (is_widest ? 1 : 2); blocks++)
        try_cut(m, kind, n_columns, (struct vt_cuda_cut){.blocks = blocks, .k_blocks = divide_up(k, TILE_K)}, &best);
    return best;
}

/* --- views --- */

static vt_status view(struct vt_cuda *be, vt_gpu_ptr p, int rows, int k, int box_rows, struct vt_cu_tensor_map *out,
                      vt_err *err)
{
    const struct vt_cu *cu = vt_gpu_cu(be->gpu);
    const uint64_t dims[2] = {(uint64_t)k, (uint64_t)rows}, strides[1] = {(uint64_t)k * 2};
    const uint32_t box[2] = {TILE_K, (uint32_t)box_rows}, steps[2] = {1, 1};
    return vt_gpu_check(be->gpu,
                        cu->tensor_map_tiled(out, VT_CU_TMAP_BF16, 2, (void *)(uintptr_t)p, dims, strides, box, steps,
                                             VT_CU_TMAP_INTERLEAVE_NONE, VT_CU_TMAP_SWIZZLE_128B,
                                             VT_CU_TMAP_L2_PROMOTION_256B, VT_CU_TMAP_OOB_ZERO),
                        "describing a matrix to the copy engine", err);
}

vt_status vt_cuda_product_make(struct vt_cuda *be, enum vt_dev_gemm_kind kind, vt_gpu_ptr weight, int n_columns, int k,
                               struct vt_cuda_product *p, vt_err *err)
{
    p->kind = kind;
    p->n_columns = n_columns;
    p->k = k;
    for (int i = 0; i < 2; i++) {
        p->cut[i] = vt_cuda_cut_of(&be->machine, kind, n_columns, k, i == 1);
        VT_TRY(view(be, weight, n_columns, k, WARPGROUPS_ROWS * p->cut[i].blocks, &p->weight[i], err));
        const size_t sums = (size_t)p->cut[i].n_splits * VT_CUDA_STEP_ROWS * (size_t)n_columns * sizeof(float);
        if (kind == VT_DEV_GEMM_PARTIAL && sums > be->products.partial_bytes)
            be->products.partial_bytes = sums;
    }
    return VT_OK;
}

vt_status vt_cuda_samples_make(struct vt_cuda *be, vt_gpu_ptr rows, int k, struct vt_cuda_samples *s, vt_err *err)
{
    static const int widths[VT_CUDA_WIDTHS] = {16, 32, 64, 96, 128, 160, 256};
    for (int i = 0; i < VT_CUDA_WIDTHS; i++)
        VT_TRY(view(be, rows, VT_CUDA_STEP_ROWS, k, widths[i] / 2, &s->view[i], err));
    return VT_OK;
}

/* How many clusters of two blocks the device holds at once. */
static vt_status count_clusters(struct vt_cuda *be, vt_err *err)
{
    struct vt_cu_launch_attr attr = {.id = VT_CU_LAUNCH_ATTR_CLUSTER, .value.cluster = {2, 1, 1}};
    const struct vt_cu_launch l = {.grid = {2, 1, 1},
                                   .block = {THREADS, 1, 1},
                                   .smem = SHARED_BYTES,
                                   .stream = be->stream,
                                   .attrs = &attr,
                                   .n_attrs = 1};
    return vt_gpu_check(
        be->gpu, vt_gpu_cu(be->gpu)->max_clusters(&be->machine.most_clusters, be->kernel[VT_CUDA_gemm_160_2], &l),
        "asking how many clusters fit the GPU", err);
}

vt_status vt_cuda_products_make(struct vt_cuda *be, vt_err *err)
{
    const struct vt_dev_shape *s = &be->shape;
    const struct vt_gpu_props *g = be->gpu_props;
    struct vt_cuda_products *p = &be->products;
    be->is_own = false;
    if (g->major != 9 || !vt_gpu_cu(be->gpu)->tensor_map_tiled || (size_t)g->smem_optin < SHARED_BYTES)
        return VT_OK; /* cuBLASLt's products and the portable kernels */
    /* 88 % of what the memory's clock and width give is what a copy reaches. */
    be->machine.bandwidth = 0.88 * 2e3 * g->memory_clock_khz * (g->bus_bits / 8.0);
    VT_TRY(count_clusters(be, err));
    p->layers = vt_alloc_array((size_t)be->cfg.n_layers, sizeof *p->layers);
    if (!p->layers)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d layers", be->cfg.n_layers);
    for (int i = 0; i < be->cfg.n_layers; i++) {
        const struct vt_cuda_layer *w = &be->w.layers[i];
        struct vt_cuda_layer_products *l = &p->layers[i];
        VT_TRY(vt_cuda_product_make(be, VT_DEV_GEMM_PARTIAL, w->qkv, s->qkv_dim, s->d_model, &l->qkv, err));
        VT_TRY(vt_cuda_product_make(be, VT_DEV_GEMM_PARTIAL, w->o, s->d_model, s->q_dim, &l->o, err));
        VT_TRY(vt_cuda_product_make(be, VT_DEV_GEMM_SWIGLU, w->gate_up, 2 * s->d_ff, s->d_model, &l->gate_up, err));
        VT_TRY(vt_cuda_product_make(be, VT_DEV_GEMM_PARTIAL, w->down, s->d_model, s->d_ff, &l->down, err));
    }
    VT_TRY(vt_cuda_product_make(be, VT_DEV_GEMM_FLOAT, be->w.head, s->n_vocab, s->d_model, &p->head, err));
    VT_TRY(vt_cuda_samples_make(be, be->step.norm, s->d_model, &p->norm, err));
    VT_TRY(vt_cuda_samples_make(be, be->step.ctx, s->q_dim, &p->ctx, err));
    VT_TRY(vt_cuda_samples_make(be, be->step.act, s->d_ff, &p->act, err));
    const size_t blocks = 2 * (size_t)be->machine.most_clusters;
    const size_t tile = (size_t)2 * WARPGROUPS_ROWS * NOMINAL_SAMPLES * sizeof(float); /* >= 128 rows x 256 */
    VT_TRY(vt_gpu_alloc(be->gpu, p->partial_bytes, "partial sums of products", &p->partial, err));
    VT_TRY(vt_gpu_alloc(be->gpu, blocks * tile, "tiles that two clusters share", &p->parts, err));
    VT_TRY(vt_gpu_alloc(be->gpu, blocks * sizeof(int32_t), "tiles that two clusters share", &p->flags, err));
    VT_TRY(vt_gpu_fill(be->gpu, p->flags, 0, blocks * sizeof(int32_t), be->stream, err));
    be->is_own = true;
    return VT_OK;
}

vt_status vt_cuda_product(struct vt_cuda *be, const struct vt_cuda_product *p, const struct vt_cuda_samples *x,
                          int n_rows, vt_gpu_ptr out, int64_t ld, vt_err *err)
{
    int width = 0;
    while (variants[width].samples < n_rows)
        width++;
    const bool is_widest = variants[width].samples == WIDEST;
    const struct vt_cuda_cut *c = &p->cut[is_widest];
    int v = width;
    while (variants[v].samples != variants[width].samples || variants[v].blocks != c->blocks)
        v++;
    /* No more stages than the busiest cluster has units: the kernels around then find room beside this one. */
    const int stage = TILE_K * 2 * (WARPGROUPS_ROWS * c->blocks + variants[width].samples);
    const int fit = (SHARED_BYTES - MARGIN) / stage < MOST_STAGES ? (SHARED_BYTES - MARGIN) / stage : MOST_STAGES;
    const int units = p->kind == VT_DEV_GEMM_PARTIAL ? divide_up(c->k_blocks, c->n_splits)
                                                     : divide_up(c->n_tiles * c->k_blocks, c->n_clusters);
    const int stages = units < fit ? units : fit;
    struct vt_cu_tensor_map weight = p->weight[is_widest], samples = x->view[width];
    struct vt_dev_gemm g = {.out = out,
                            .parts = be->products.parts,
                            .flags = be->products.flags,
                            .ld = ld,
                            .split_stride = (int64_t)VT_CUDA_STEP_ROWS * ld,
                            .n_rows = n_rows,
                            .n_columns = p->n_columns,
                            .k_blocks = c->k_blocks,
                            .n_tiles = c->n_tiles,
                            .n_splits = c->n_splits,
                            .n_clusters = c->n_clusters,
                            .kind = p->kind,
                            .n_stages = stages};
    void *args[] = {&weight, &samples, &g};
    const struct vt_gpu_grid grid = {
        .x = 2 * (unsigned)c->n_clusters, .threads = THREADS, .smem = SHARED_BYTES, .cluster = 2, .is_eager = true};
    return vt_cuda_launch(be, variants[v].kernel, &grid, args, err);
}
