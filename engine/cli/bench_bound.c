/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_bound.c: what this machine could do at best, measured here with all threads at once: FLOPs a second of the
 * kernels' own plain product (bf16 where they have it, else fp32) over operands that stay in the second-level cache,
 * and bytes a second of a read of memory. The share of the bound that `vegttt bench` prints is the larger of a row's
 * FLOPs and bytes (weights, and in decode keys and values) over these rates, divided by the time it took.
 */
#include "cli/bench.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "cpu/kernels.h"
#include <stdlib.h>
#include <string.h>

struct rate_work {
    const struct vt_kernels *k;
    struct vt_matrix w;
    struct vt_acts x;
    float *y[64], *memory;
    size_t n_floats;
    int reps;
};

enum { TILE_M = 64, TILE_N = 64, TILE_K = 512, RATE_REPS = 960 };

static void product(void *arg, int thread, int n_threads)
{
    struct rate_work *r = arg;

    (void)n_threads;
    for (int i = 0; i < r->reps; i++)
        r->k->gemm(&r->w, &r->x, 0, TILE_M, 0, TILE_N, r->y[thread], TILE_N, false);
}

static void read_memory(void *arg, int thread, int n_threads)
{
    struct rate_work *r = arg;
    size_t share = r->n_floats / (size_t)n_threads;

    r->y[thread][0] = r->k->max((int)share, r->memory + share * (size_t)thread);
}

static double best_time(vt_pool *pool, vt_pool_fn *fn, struct rate_work *r)
{
    double best = 1e30;

    for (int i = 0; i < 5; i++) {
        double start = vt_now_s(), took;

        vt_pool_run(pool, fn, r);
        took = vt_now_s() - start;
        best = took < best ? took : best;
    }
    return best;
}

vt_status vt_bench_bound_measure(struct vt_bench_bound *out, vt_err *err)
{
    struct rate_work r = {.n_floats = (size_t)64 << 20, .reps = RATE_REPS};
    enum vt_layout layout;
    vt_pool *pool = NULL;
    float *values = vt_alloc_array((size_t)TILE_N * TILE_K, sizeof *values);
    void *packed = NULL;
    vt_status status = vt_kernels_pick(getenv("VEGTTT_ISA"), &r.k, err);

    if (status == VT_OK)
        status = vt_pool_new(0, &pool, err);
    if (status != VT_OK)
        goto out;
    layout = r.k->has_bf16 ? VT_LAYOUT_BF16 : VT_LAYOUT_F32;
    packed = vt_alloc_aligned(64, vt_matrix_bytes(layout, TILE_N, TILE_K));
    r.x = (struct vt_acts){.n_in = TILE_K, .stride = vt_acts_row_bytes(TILE_K)};
    r.x.data = vt_alloc_aligned(64, r.x.stride * TILE_M);
    r.memory = vt_alloc_aligned(64, r.n_floats * sizeof *r.memory);
    for (int t = 0; t < vt_pool_size(pool) && t < 64; t++)
        r.y[t] = vt_alloc_aligned(64, (size_t)TILE_M * TILE_N * sizeof(float));
    if (!values || !packed || !r.x.data || !r.memory || !r.y[vt_pool_size(pool) > 64 ? 63 : vt_pool_size(pool) - 1]) {
        status = vt_fail(err, VT_ENOMEM, "out of memory for measuring this machine's rates");
        goto out;
    }
    vt_matrix_pack_f32(layout, TILE_N, TILE_K, values, TILE_K, 1, packed, &r.w);
    r.k->acts_pack(&r.x, r.k->has_bf16 ? VT_LM_FAST : VT_LM_F32, 0, TILE_M, values, TILE_K, 1);
    memset(r.memory, 0, r.n_floats * sizeof *r.memory);
    out->flops = 2.0 * TILE_M * TILE_N * TILE_K * RATE_REPS * vt_pool_size(pool) / best_time(pool, product, &r);
    out->isa = r.k->name;
    out->operands = r.k->has_bf16 ? "bf16" : "fp32";
    out->n_threads = vt_pool_size(pool);
    out->bytes = (double)(r.n_floats * sizeof *r.memory) / best_time(pool, read_memory, &r);
out:
    for (int t = 0; t < 64; t++)
        free(r.y[t]);
    free(r.x.data);
    free(r.memory);
    free(values);
    free(packed);
    vt_pool_free(pool);
    return status;
}
