/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm.cuh: the products of a step on Hopper: few rows (at most 256 samples), a weight that is read once. The weight's
 * rows are the long side of the matrix instruction and the samples its short one, so little of a tile is wasted whatever
 * their number. Bytes decide here, so:
 *   - neighbouring blocks (a cluster of two or four) take neighbouring rows of the weight and share the samples' rows:
 *     each copies its part of them into all, for what leaves the second-level cache is the narrowest place;
 *   - one thread keeps a ring of stages full by bulk copies; it begins with the weight, before the kernel ahead has
 *     ended, for the weight does not depend on it;
 *   - where tiles do not fill the machine k is split, each split writes its own sums and the kernel behind adds them in
 *     order, and small weights are cut along the samples too (the grid's second axis);
 *   - where there are more tiles than the machine takes at once, every cluster gets an equal run of units; a tile cut by
 *     the end of a run is completed by the cluster that has its beginning, out of what the next ones left.
 * Two warpgroups multiply and share a tile (taking tiles in turn, so that one writes while the other multiplies, was
 * slower: 115 us instead of 84 for gate and up of a 7B model). A block holds no more registers than its sums need, so
 * that it finds room beside the kernel ahead and can begin to copy.
 * An element is a sum over k in order, cut at places that depend on the weight's shape and the machine only: never on
 * the number of samples.
 */
#ifndef VT_CUDA_GEMM_CUH
#define VT_CUDA_GEMM_CUH

#include "cuda/copy.cuh"
#include "cuda/wgmma.cuh"

enum { GEMM_K = 64, GEMM_THREADS = 384, GEMM_MOST_STAGES = 8, GEMM_PAD = 4 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* TN samples by 128 rows of the weight, 64 a warpgroup (twice as many were slower: what clusters share is larger, and
 * fewer multiprocessors have work). Registers at the start, later of the threads that
 * multiply and of those that copy: 3 * entry = 2 * many + few. */
template <int TN> struct gemm_plan {
    static const int rows = 128; /* of the weight, a block's */
    static const int weight_bytes = rows * GEMM_K * 2, sample_bytes = TN * GEMM_K * 2;
    static const int stage_bytes = weight_bytes + sample_bytes;
    static const int entry = TN > 128 ? 128 : TN > 96 ? 96 : 80;
    static const int many = TN > 128 ? 168 : TN > 96 ? 128 : 104;
    static const int few = 3 * entry - 2 * many;
};

struct gemm_ring {
    char *stages;
    uint64_t *full, *empty;
    int n, n_ranks; /* stages; blocks of the cluster */
};

/* Where a warpgroup is in the ring. */
struct gemm_place {
    int stage, turn;
};

/* Units [u0, u1) of this cluster. */
DEVICE void gemm_range(const struct vt_dev_gemm &g, int cluster, int *u0, int *u1)
{
    if (g.kind == VT_DEV_GEMM_PARTIAL) {
        const int tile = cluster / g.n_splits, s = cluster % g.n_splits;
        *u0 = tile * g.k_blocks + g.k_blocks * s / g.n_splits;
        *u1 = tile * g.k_blocks + g.k_blocks * (s + 1) / g.n_splits;
        return;
    }
    const unsigned all = (unsigned)g.n_tiles * (unsigned)g.k_blocks; /* the host sees to it that products fit 32 bits */
    *u0 = (int)(all * (unsigned)cluster / (unsigned)g.n_clusters);
    *u1 = (int)(all * (unsigned)(cluster + 1) / (unsigned)g.n_clusters);
}

/* What products read: a weight; more rows of it (an adapter's A) or more columns (its B); samples, and those columns' own
 * (A x of the samples). */
struct gemm_views {
    const tensor_map *weight, *extra, *samples, *low;
};

template <typename PLAN>
DEVICE void gemm_copy_weight(char *to, const struct gemm_views &v, const struct vt_dev_gemm &g, int unit, uint32_t rank, uint64_t *full)
{
    const int tile = unit / g.k_blocks, k = unit % g.k_blocks;
    const bool is_own = tile < g.n_own_tiles, is_tail = k >= g.k_own;
    barrier_expect(full, PLAN::stage_bytes);
    copy_box(to, is_own && !is_tail ? v.weight : v.extra, (is_tail ? k - g.k_own : k) * GEMM_K,
             ((is_own ? tile : tile - g.n_own_tiles) * g.n_ranks + (int)rank) * PLAN::rows, full);
}

/* The copying thread. */
template <typename PLAN>
DEVICE void gemm_copy(const struct gemm_ring &r, const struct gemm_views &v, const struct vt_dev_gemm &g, int u0, int u1, uint32_t rank)
{
    const int n = u1 - u0, early = n < r.n ? n : r.n;
    const int tile_samples = PLAN::sample_bytes / (GEMM_K * 2), part = tile_samples / g.n_ranks;
    const int part_row = (int)blockIdx.y * tile_samples + (int)rank * part, part_at = (int)rank * part * GEMM_K * 2;
    const uint16_t everyone = (uint16_t)((1 << g.n_ranks) - 1);
    for (int i = 0; i < early; i++)
        gemm_copy_weight<PLAN>(r.stages + i * PLAN::stage_bytes, v, g, u0 + i, rank, &r.full[i]);
    wait_ahead();
    for (int i = 0, k = u0 % g.k_blocks, s = 0, turn = 1; i < n; i++) {
        char *stage = r.stages + s * PLAN::stage_bytes;
        if (i >= r.n) {
            barrier_wait(&r.empty[s], turn);
            gemm_copy_weight<PLAN>(stage, v, g, u0 + i, rank, &r.full[s]);
        }
        const bool is_tail = k >= g.k_own;
        copy_box_to(stage + PLAN::weight_bytes + part_at, is_tail ? v.low : v.samples, (is_tail ? k - g.k_own : k) * GEMM_K, part_row,
                    &r.full[s], everyone);
        k = k + 1 == g.k_blocks ? 0 : k + 1;
        if (++s == r.n) {
            s = 0;
            turn ^= 1;
        }
    }
}

/* Tells all blocks of the cluster that this warp has done with a stage. */
DEVICE void gemm_release(const struct gemm_ring &r, int stage)
{
    if ((int)(threadIdx.x % 32) < r.n_ranks)
        barrier_arrive_at(&r.empty[stage], threadIdx.x % 32);
}

/* The threads that multiply. */
DEVICE void consumers_meet()
{
    threads_meet<1, 256>();
}

/* Sums of the next n blocks of k. */
template <int TN>
DEVICE void gemm_multiply(const struct gemm_ring &r, float (&d)[TN / 2], struct gemm_place &at, int n, int group)
{
    typedef gemm_plan<TN> plan;
    int last = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t stage = shared_address(r.stages + at.stage * plan::stage_bytes);
        barrier_wait(&r.full[at.stage], at.turn);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < GEMM_K / 16; k++)
            wgmma<TN>::run(d, wgmma_factor(stage + group * 64 * GEMM_K * 2 + k * 32),
                           wgmma_factor(stage + plan::weight_bytes + k * 32), i + k > 0);
        wgmma_commit();
        if (i > 0) {
            wgmma_wait<1>();
            gemm_release(r, last);
        }
        last = at.stage;
        if (++at.stage == r.n) {
            at.stage = 0;
            at.turn ^= 1;
        }
    }
    wgmma_wait<0>();
    gemm_release(r, last);
}

/* A tile whose beginning another cluster has: leave the sums where that one looks. */
template <int TN> DEVICE void gemm_leave(const struct vt_dev_gemm &g, const float (&d)[TN / 2])
{
    const int block = blockIdx.y * gridDim.x + blockIdx.x, thread = threadIdx.x - 128;
    float *to = at<float>(g.parts) + (size_t)block * (128 * TN) + thread;
#pragma unroll
    for (int i = 0; i < TN / 2; i++)
        __stcg(to + i * 256, d[i]);
    __threadfence();
    consumers_meet();
    if (thread == 0)
        store_release(at<int32_t>(g.flags) + block, 1);
}

/* Adds what block `block` left. */
template <int TN> DEVICE void gemm_take(const struct vt_dev_gemm &g, float (&d)[TN / 2], int block)
{
    const int thread = threadIdx.x - 128;
    int32_t *flag = at<int32_t>(g.flags) + block;
    if (thread == 0) {
        while (!load_acquire(flag))
            ;
    }
    consumers_meet();
    const float *from = at<const float>(g.parts) + (size_t)block * (128 * TN) + thread;
#pragma unroll
    for (int i = 0; i < TN / 2; i++)
        d[i] += __ldcg(from + i * 256);
    consumers_meet();
    if (thread == 0)
        *flag = 0; /* for the next launch */
}

/* Where a block's rows of the weight go: columns `first` .. first + n of out. */
struct gemm_columns {
    int first, n;
};
template <typename PLAN> DEVICE struct gemm_columns gemm_columns_of(const struct vt_dev_gemm &g, int tile, uint32_t rank)
{
    const bool is_own = tile < g.n_own_tiles;
    const int row = ((is_own ? tile : tile - g.n_own_tiles) * g.n_ranks + (int)rank) * PLAN::rows;
    struct gemm_columns c = {is_own ? row : g.n_columns + row, min(PLAN::rows, (is_own ? g.n_columns : g.n_low) - row)};
    return c;
}

/* Straight from the registers. */
template <int TN>
DEVICE void gemm_write(const struct vt_dev_gemm &g, const float (&d)[TN / 2], const struct gemm_columns &columns, int group)
{
    const int lane = threadIdx.x % 32, end = columns.first + columns.n;
    const int first = columns.first + group * 64 + 16 * (threadIdx.x / 32 % 4), column = first + lane / 4;
#pragma unroll
    for (int j = 0; j < TN / 8; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = (int)blockIdx.y * TN + 8 * j + 2 * (lane % 4) + i;
            if (row >= g.n_rows)
                continue;
            const float low = d[4 * j + i], high = d[4 * j + 2 + i];
            if (g.kind == VT_DEV_GEMM_SWIGLU) {
                if (column < end)
                    at<bf16>(g.out)[row * g.ld + first / 2 + lane / 4] =
                        __float2bfloat16_rn(__fdividef(low, 1.0f + __expf(-low)) * high);
                continue;
            }
            float *out = at<float>(g.out) + row * g.ld + column;
            if (column < end)
                out[0] = low;
            if (column + 8 < end)
                out[8] = high;
        }
}

/* A split's sums, by way of the stages (which nobody reads or fills any more): a sample's columns leave in one copy. */
template <int TN>
DEVICE void gemm_write_split(const struct vt_dev_gemm &g, const float (&d)[TN / 2], char *stages, const struct gemm_columns &columns,
                             int split, int group)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, width = 128 + GEMM_PAD;
    float *rows = reinterpret_cast<float *>(stages);
    consumers_meet();
#pragma unroll
    for (int j = 0; j < TN / 8; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float *to = rows + (8 * j + 2 * (lane % 4) + i) * width + group * 64 + 16 * warp + lane / 4;
            to[0] = d[4 * j + i];
            to[8] = d[4 * j + 2 + i];
        }
    copies_see_shared();
    consumers_meet();
    for (int i = threadIdx.x - 128; i < TN; i += 256) {
        const int row = (int)blockIdx.y * TN + i;
        if (row < g.n_rows && columns.n > 0)
            copy_out_bytes(at<float>(g.out) + split * g.split_stride + row * g.ld + columns.first, rows + i * width, columns.n * 4);
    }
    copy_out_wait();
}

template <int TN>
DEVICE void gemm_consume(const struct gemm_ring &r, const struct vt_dev_gemm &g, int cluster, int u0, int u1, uint32_t rank, int group)
{
    typedef gemm_plan<TN> plan;
    struct gemm_place place = {0, 0};
    for (int u = u0; u < u1;) {
        float d[TN / 2];
        const int tile = u / g.k_blocks, k0 = u % g.k_blocks, k1 = min(g.k_blocks, k0 + u1 - u);
        u += k1 - k0;
        gemm_multiply<TN>(r, d, place, k1 - k0, group);
        if (g.kind == VT_DEV_GEMM_PARTIAL) {
            gemm_write_split<TN>(g, d, r.stages, gemm_columns_of<plan>(g, tile, rank), cluster % g.n_splits, group);
            return; /* a cluster has one */
        }
        if (k0 > 0) {
            gemm_leave<TN>(g, d);
            continue;
        }
        for (int covered = k1, next = cluster + 1; covered < g.k_blocks; next++) {
            int from, to;
            gemm_range(g, next, &from, &to);
            gemm_take<TN>(g, d, (int)(blockIdx.y * gridDim.x) + g.n_ranks * next + (int)rank);
            covered += min(g.k_blocks - covered, to - from);
        }
        gemm_write<TN>(g, d, gemm_columns_of<plan>(g, tile, rank), group);
    }
}

template <int TN>
DEVICE void gemm(const struct gemm_views &v, const struct vt_dev_gemm &g)
{
    typedef gemm_plan<TN> plan;
    struct gemm_ring r;
    r.stages = reinterpret_cast<char *>(((uintptr_t)dynamic_shared + 1023) & ~(uintptr_t)1023);
    r.n = g.n_stages;
    r.n_ranks = g.n_ranks;
    r.full = reinterpret_cast<uint64_t *>(r.stages + r.n * plan::stage_bytes);
    r.empty = r.full + GEMM_MOST_STAGES;
    const uint32_t rank = cluster_rank();
    const int cluster = (int)blockIdx.x / g.n_ranks, group = threadIdx.x / 128;
    if (threadIdx.x == 0) {
        prefetch_map(v.weight);
        prefetch_map(v.samples);
        for (int s = 0; s < r.n; s++) {
            barrier_init(&r.full[s], 1);
            barrier_init(&r.empty[s], g.n_ranks * 8); /* the warps that read a stage, of all blocks */
        }
        barriers_ready();
    }
    cluster_meet();
    release_next();
    int u0, u1;
    gemm_range(g, cluster, &u0, &u1);
    if (group == 0) {
        registers_fewer<plan::few>();
        if (threadIdx.x == 0)
            gemm_copy<plan>(r, v, g, u0, u1, rank);
        __syncwarp();
    } else {
        registers_more<plan::many>();
        wait_ahead(); /* what is written may still be read by the kernel ahead */
        gemm_consume<TN>(r, g, cluster, u0, u1, rank, group - 1);
    }
    cluster_meet(); /* nobody may copy into a block that has ended */
}

#define GEMM_RUN(TN)                                                                                                               \
    const struct gemm_views views = {&weight, &extra, &samples, &low};                                                             \
    gemm<TN>(views, g)
#else
#define GEMM_RUN(TN) __trap() /* never chosen on this architecture */
#endif

/* The bound is of threads that would have `entry` registers each, which is how a kernel is held to so many. */
#define GEMM_KERNEL(TN, BOUND)                                                                                                     \
    KERNEL(BOUND, 1)                                                                                                               \
    vt_gemm_##TN(const __grid_constant__ tensor_map weight, const __grid_constant__ tensor_map extra,                              \
                 const __grid_constant__ tensor_map samples, const __grid_constant__ tensor_map low,                               \
                 const __grid_constant__ struct vt_dev_gemm g)                                                                     \
    {                                                                                                                              \
        GEMM_RUN(TN);                                                                                                      \
    }

GEMM_KERNEL(16, 704)
GEMM_KERNEL(32, 704)
GEMM_KERNEL(64, 704)
GEMM_KERNEL(96, 704)
GEMM_KERNEL(128, 640)
GEMM_KERNEL(160, 512)

#endif
