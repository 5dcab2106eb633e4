/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_gemm.c: the host's side of a step's own products (gemm.cuh): how a weight is cut over the machine, the tiled
 * views the copy engine reads, and the launch. A cut is chosen once a weight, by a small model of time: the bytes a
 * multiprocessor must take in, the bytes the device must read, and the partial sums that are written and read again.
 * It depends on the weight's shape and the machine only, never on the number of samples, so an element's order of
 * additions does not either.
 */
#include "cuda/cuda_parts.h"
#include <stdlib.h>

enum { TILE_K = 64, TILE_ROWS = 128, NOMINAL_SAMPLES = 160, SHARED_BYTES = 226 * 1024 };
enum { PAD = 4, THREADS = 384, MOST_STAGES = 8, MARGIN = 1024 + 2 * MOST_STAGES * 8 }; /* alignment and barriers */

/* Measured on an H200: bytes a second out of the second-level cache to all multiprocessors, and to one; seconds that
 * one takes to multiply 64 columns of k of 128 rows by 160 samples; seconds of a hand-over between clusters,
 * of one more split for whoever adds them, and of writing a tile of 128 rows. */
static const double cache_rate = 5.4e12, intake = 57e9, unit_seconds = 0.44e-6, unit_latency = 0.15e-6,
                    hand_over = 1.5e-6, split_seconds = 0.05e-6, tile_seconds = 2.5e-6;

enum { N_WIDTHS = VT_CUDA_WIDTHS };
static const int widths[N_WIDTHS] = {16, 32, 64, 96, 128, 160};

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static int most_clusters(const struct vt_cuda_machine *m, const struct vt_cuda_cut *c)
{
    return m->most_clusters[c->ranks == 4];
}

/* Seconds of a cut whose busiest cluster has `units` units: the slowest of multiplying, of what leaves the cache (the
 * samples' rows once a cluster, the weight once a tile of samples), and of what leaves the memory. */
static double time_of(const struct vt_cuda_machine *m, const struct vt_cuda_cut *c, int n_columns, int units)
{
    const int tiles = divide_up(NOMINAL_SAMPLES, c->samples);
    const double unit_bytes = (double)TILE_K * 2 * ((double)c->ranks * TILE_ROWS + c->samples);
    const double weight = (double)n_columns * c->k_blocks * TILE_K * 2;
    const double all = (double)tiles * c->n_tiles * c->k_blocks * unit_bytes / cache_rate;
    const double multiply = units * (unit_latency + unit_seconds * c->samples / NOMINAL_SAMPLES);
    return larger(larger(multiply, all), weight / m->bandwidth);
}

static void keep_better(struct vt_cuda_cut *best, struct vt_cuda_cut c, double seconds)
{
    c.seconds = seconds;
    if (seconds < best->seconds)
        *best = c;
}

static void try_partial(const struct vt_cuda_machine *m, int n_columns, struct vt_cuda_cut c, struct vt_cuda_cut *best)
{
    const int tiles = divide_up(NOMINAL_SAMPLES, c.samples);
    const double sums = 2.0 * NOMINAL_SAMPLES * n_columns * sizeof(float) / cache_rate + split_seconds;
    for (c.n_splits = 1; c.n_splits <= c.k_blocks; c.n_splits++) {
        c.n_clusters = c.n_tiles * c.n_splits;
        if (tiles * c.n_clusters > most_clusters(m, &c) && c.n_splits > 1)
            break;
        const int waves = divide_up(tiles * c.n_clusters, most_clusters(m, &c));
        keep_better(best, c, waves * time_of(m, &c, n_columns, divide_up(c.k_blocks, c.n_splits)) + c.n_splits * sums);
    }
}

static void try_whole(const struct vt_cuda_machine *m, int n_columns, struct vt_cuda_cut c, struct vt_cuda_cut *best)
{
    const int tiles = divide_up(NOMINAL_SAMPLES, c.samples);
    c.n_splits = 1;
    if (tiles * c.n_tiles > most_clusters(m, &c))
        return;
    c.n_clusters = c.n_tiles;
    keep_better(best, c, time_of(m, &c, n_columns, c.k_blocks) + tile_seconds);
}

/* Equal runs of units, over all samples at once. */
static void try_runs(const struct vt_cuda_machine *m, int n_columns, struct vt_cuda_cut c, struct vt_cuda_cut *best)
{
    const long units = (long)c.n_tiles * c.k_blocks;
    const double tile_bytes = (double)TILE_ROWS * NOMINAL_SAMPLES * sizeof(float);
    c.n_splits = 1;
    c.n_clusters = units < most_clusters(m, &c) ? (int)units : most_clusters(m, &c);
    const int run = (int)((units + c.n_clusters - 1) / c.n_clusters);
    const int others = divide_up(c.k_blocks, run); /* that a tile's first cluster waits for, at most */
    keep_better(best, c,
                time_of(m, &c, n_columns, run) + run * tile_seconds / c.k_blocks + hand_over +
                    others * tile_bytes / intake);
}

/* Clusters of four take less out of the cache and leave some multiprocessors without work: where a weight is long
 * enough that was worth it (measured: 44.5 us instead of 47 for the down product of a 7B model; a little slower where
 * short). */
static int ranks_of(const struct vt_cuda_machine *m, int n_columns, int n_rows, int k)
{
    const double long_bytes = 100e6;
    const bool is_long = n_rows == 0 && 2.0 * n_columns * k > long_bytes;
    return m->most_clusters[is_long] > 0 ? (is_long ? 4 : 2) : (is_long ? 2 : 4);
}

struct vt_cuda_cut vt_cuda_cut_of(const struct vt_cuda_machine *m, enum vt_dev_gemm_kind kind, int n_columns, int k,
                                  int n_rows, int n_tail)
{
    static const int samples[] = {32, 64, 96, 160};
    struct vt_cuda_cut best = {.seconds = 1e9},
                       c = {.k_own = divide_up(k, TILE_K), .ranks = ranks_of(m, n_columns, n_rows, k)};
    c.k_blocks = c.k_own + divide_up(n_tail, TILE_K);
    c.n_own_tiles = divide_up(n_columns, c.ranks * TILE_ROWS);
    c.n_tiles = c.n_own_tiles + divide_up(n_rows, c.ranks * TILE_ROWS);
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        c.samples = samples[i];
        if (kind == VT_DEV_GEMM_PARTIAL)
            try_partial(m, n_columns, c, &best);
        else
            try_whole(m, n_columns, c, &best);
    }
    c.samples = NOMINAL_SAMPLES;
    if (kind != VT_DEV_GEMM_PARTIAL)
        try_runs(m, n_columns, c, &best);
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

vt_status vt_cuda_view(struct vt_cuda *be, vt_gpu_ptr p, int rows, int k, struct vt_cu_tensor_map *out, vt_err *err)
{
    return view(be, p, rows, k, TILE_ROWS, out, err);
}

vt_status vt_cuda_product_make(struct vt_cuda *be, enum vt_dev_gemm_kind kind, vt_gpu_ptr weight, int n_columns, int k,
                               struct vt_cuda_product *p, vt_err *err)
{
    p->kind = kind;
    p->n_columns = n_columns;
    p->k = k;
    p->cut = vt_cuda_cut_of(&be->machine, kind, n_columns, k, 0, 0);
    const size_t sums = (size_t)p->cut.n_splits * VT_CUDA_STEP_ROWS * (size_t)n_columns * sizeof(float);
    if (kind == VT_DEV_GEMM_PARTIAL && sums > be->products.partial_bytes)
        be->products.partial_bytes = sums;
    return view(be, weight, n_columns, k, TILE_ROWS, &p->weight, err);
}

vt_status vt_cuda_samples_make(struct vt_cuda *be, vt_gpu_ptr rows, int k, struct vt_cuda_samples *s, vt_err *err)
{
    for (int i = 0; i < VT_CUDA_WIDTHS; i++)
        for (int wide = 0; wide < 2; wide++) /* clusters of two, of four */
            VT_TRY(view(be, rows, VT_CUDA_STEP_ROWS, k, widths[i] / (wide ? 4 : 2), &s->view[i][wide], err));
    return VT_OK;
}

/* How many clusters of two and of four blocks the device holds at once. */
static vt_status count_clusters(struct vt_cuda *be, vt_err *err)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        const unsigned ranks = wide ? 4 : 2;
        struct vt_cu_launch_attr attr = {.id = VT_CU_LAUNCH_ATTR_CLUSTER, .value.cluster = {ranks, 1, 1}};
        const struct vt_cu_launch l = {.grid = {ranks, 1, 1},
                                       .block = {THREADS, 1, 1},
                                       .smem = SHARED_BYTES,
                                       .stream = be->stream,
                                       .attrs = &attr,
                                       .n_attrs = 1};
        VT_TRY(vt_gpu_check(
            be->gpu,
            vt_gpu_cu(be->gpu)->max_clusters(&be->machine.most_clusters[wide], be->kernel[VT_CUDA_gemm_160], &l),
            "asking how many clusters fit the GPU", err));
    }
    return VT_OK;
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
    p->layers = vt_cuda_new((size_t)be->cfg.n_layers, sizeof *p->layers);
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
    const size_t blocks = 2 * (size_t)be->machine.most_clusters[0] * (VT_CUDA_STEP_ROWS / NOMINAL_SAMPLES + 1);
    const size_t tile = (size_t)TILE_ROWS * NOMINAL_SAMPLES * sizeof(float);
    VT_TRY(vt_gpu_alloc(be->gpu, (size_t)VT_CUDA_STEP_ROWS * 3 * VT_CUDA_MOST_RANK * 2, "low rows of a step", &p->low,
                        err));
    VT_TRY(vt_gpu_alloc(be->gpu, p->partial_bytes, "partial sums of products", &p->partial, err));
    VT_TRY(vt_gpu_alloc(be->gpu, blocks * tile, "tiles that two clusters share", &p->parts, err));
    VT_TRY(vt_gpu_alloc(be->gpu, blocks * sizeof(int32_t), "tiles that two clusters share", &p->flags, err));
    VT_TRY(vt_gpu_fill(be->gpu, p->flags, 0, blocks * sizeof(int32_t), be->stream, err));
    be->is_own = true;
    return VT_OK;
}

vt_status vt_cuda_product(struct vt_cuda *be, const struct vt_cuda_product *p, const struct vt_cuda_site *low,
                          const struct vt_cuda_samples *x, int n_rows, vt_gpu_ptr out, int64_t ld, vt_err *err)
{
    const struct vt_cuda_cut *c = low ? &low->cut : &p->cut;
    const enum vt_dev_gemm_kind kind = p->kind;
    int width = c->ranks == 4; /* tiles of 16 samples do not divide by four */
    while (widths[width] < c->samples && widths[width] < n_rows)
        width++;
    /* No more stages than the busiest cluster has units: the kernels around then find room beside this one. But what a
     * split writes goes by way of them. */
    const int stage = TILE_K * 2 * (TILE_ROWS + widths[width]), fit = (SHARED_BYTES - MARGIN) / stage;
    const int units = kind == VT_DEV_GEMM_PARTIAL ? divide_up(c->k_blocks, c->n_splits)
                                                  : divide_up(c->n_tiles * c->k_blocks, c->n_clusters);
    int stages = units < MOST_STAGES ? units : MOST_STAGES;
    stages = stages < fit ? stages : fit;
    const int room = kind == VT_DEV_GEMM_PARTIAL ? widths[width] * (TILE_ROWS + PAD) * (int)sizeof(float) : 0;
    stages = stages * stage < room ? divide_up(room, stage) : stages;
    struct vt_cu_tensor_map weight = p->weight, extra = low ? low->map : p->weight,
                            samples = x->view[width][c->ranks == 4],
                            lows = low && low->is_known ? low->low->view[width][c->ranks == 4] : samples;
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
                            .kind = kind,
                            .n_stages = stages,
                            .n_ranks = c->ranks,
                            .n_own_tiles = c->n_own_tiles,
                            .n_low = low && !low->is_known ? low->n_low : 0,
                            .k_own = c->k_own};
    void *args[] = {&weight, &extra, &samples, &lows, &g};
    const struct vt_gpu_grid grid = {.x = (unsigned)(c->ranks * c->n_clusters),
                                     .y = (unsigned)divide_up(n_rows, widths[width]),
                                     .threads = THREADS,
                                     .smem = (unsigned)(stages * stage + MARGIN),
                                     .cluster = (unsigned)c->ranks,
                                     .is_eager = true};
    return vt_cuda_launch(be, (enum vt_cuda_kernel)(VT_CUDA_gemm_16 + width), &grid, args, err);
}
