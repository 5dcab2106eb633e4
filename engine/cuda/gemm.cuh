/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm.cuh: the products of a step on Hopper: few rows (at most 256 samples), a weight that is read once. The weight's
 * rows are the long side of the matrix instruction and the samples its short one, so little of a tile is wasted whatever
 * their number. Bytes decide here, so:
 *   - two neighbouring blocks (a cluster) take neighbouring rows of the weight and share the samples' rows: each copies
 *     half of them into both;
 *   - one thread keeps a ring of stages full by bulk copies; it begins with the weight, before the kernel ahead has
 *     ended, for the weight does not depend on it;
 *   - where tiles do not fill the machine k is split, each split writes its own sums and the kernel behind adds them in
 *     order, and small weights are cut along the samples too (the grid's second axis);
 *   - where there are more tiles than the machine takes at once, every cluster gets an equal run of units; a tile cut by
 *     the end of a run is completed by the cluster that has its beginning, out of what the next ones left. There the two
 *     multiplying warpgroups take tiles in turn, so that one writes its sums while the other multiplies; elsewhere they
 *     share a tile.
 * An element is a sum over k in order, cut at places that depend on the weight's shape and the machine only: never on
 * the number of samples.
 */
#ifndef VT_CUDA_GEMM_CUH
#define VT_CUDA_GEMM_CUH

#include "cuda/copy.cuh"
#include "cuda/wgmma.cuh"

enum { GEMM_K = 64, GEMM_THREADS = 384, GEMM_MOST_STAGES = 8, GEMM_PAD = 4 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* TN samples; BLOCKS of 64 rows of the weight that a warpgroup has; IN_TURN: warpgroups take tiles in turn. */
template <int TN, int BLOCKS, bool IN_TURN> struct gemm_plan {
    static const int rows = 64 * BLOCKS * (IN_TURN ? 1 : 2); /* of the weight, a block's */
    static const int weight_bytes = rows * GEMM_K * 2, sample_bytes = TN * GEMM_K * 2;
    static const int stage_bytes = weight_bytes + sample_bytes;
    static const int threads = IN_TURN ? 128 : 256; /* that share a tile */
};

struct gemm_ring {
    char *stages;
    uint64_t *full, *empty;
    int n; /* of stages */
};

/* Where a warpgroup is in the ring. */
struct gemm_place {
    int stage, turn;
};

DEVICE void gemm_skip(const struct gemm_ring &r, struct gemm_place &at, int n)
{
    const int place = (at.turn * r.n + at.stage + n) % (2 * r.n);
    at.turn = place >= r.n;
    at.stage = at.turn ? place - r.n : place;
}

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

/* The copying thread. */
template <typename PLAN>
DEVICE void gemm_copy(const struct gemm_ring &r, const tensor_map *weight, const tensor_map *samples, const struct vt_dev_gemm &g,
                      int u0, int u1, uint32_t rank)
{
    const int n = u1 - u0, early = n < r.n ? n : r.n;
    const int tile_samples = PLAN::sample_bytes / (GEMM_K * 2), half = (int)rank * (tile_samples / 2);
    int k = u0 % g.k_blocks, row = (u0 / g.k_blocks * 2 + (int)rank) * PLAN::rows; /* of the weight's next box */
    for (int i = 0; i < early; i++) {
        barrier_expect(&r.full[i], PLAN::stage_bytes);
        copy_box(r.stages + i * PLAN::stage_bytes, weight, k * GEMM_K, row, &r.full[i]);
        if (++k == g.k_blocks) {
            k = 0;
            row += 2 * PLAN::rows;
        }
    }
    wait_ahead();
    int sample_k = u0 % g.k_blocks, s = 0, turn = 1;
    for (int i = 0; i < n; i++) {
        char *stage = r.stages + s * PLAN::stage_bytes;
        if (i >= r.n) {
            barrier_wait(&r.empty[s], turn);
            barrier_expect(&r.full[s], PLAN::stage_bytes);
            copy_box(stage, weight, k * GEMM_K, row, &r.full[s]);
            if (++k == g.k_blocks) {
                k = 0;
                row += 2 * PLAN::rows;
            }
        }
        copy_box_to(stage + PLAN::weight_bytes + rank * (PLAN::sample_bytes / 2), samples, sample_k * GEMM_K,
                    (int)blockIdx.y * tile_samples + half, &r.full[s], 3);
        sample_k = sample_k + 1 == g.k_blocks ? 0 : sample_k + 1;
        if (++s == r.n) {
            s = 0;
            turn ^= 1;
        }
    }
}

/* Tells both blocks of the cluster that this warp has done with a stage. */
DEVICE void gemm_release(const struct gemm_ring &r, int stage)
{
    if (threadIdx.x % 32 < 2)
        barrier_arrive_at(&r.empty[stage], threadIdx.x % 32);
}

/* Named barriers: 1: the consumers; 2, 3: a warpgroup's turn to multiply; 4, 5: the threads of one warpgroup. */
template <int ID, int THREADS> DEVICE void meet()
{
    asm volatile("bar.sync %0, %1;" ::"n"(ID), "n"(THREADS) : "memory");
}
DEVICE void meet_at(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
DEVICE void pass_turn(int id)
{
    asm volatile("bar.arrive %0, 256;" ::"r"(id) : "memory");
}

/* Sums of the next n blocks of k; first: of the warpgroup's blocks in a stage. */
template <int TN, int BLOCKS, bool IN_TURN>
DEVICE void gemm_multiply(const struct gemm_ring &r, float (&d)[BLOCKS][TN / 2], struct gemm_place &at, int n, int first, int group)
{
    typedef gemm_plan<TN, BLOCKS, IN_TURN> plan;
    int last = 0;
    if (IN_TURN)
        meet_at(2 + group, 256);
    for (int i = 0; i < n; i++) {
        const uint32_t stage = shared_address(r.stages + at.stage * plan::stage_bytes);
        barrier_wait(&r.full[at.stage], at.turn);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < GEMM_K / 16; k++)
#pragma unroll
            for (int b = 0; b < BLOCKS; b++)
                wgmma<TN>::run(d[b], wgmma_factor(stage + (first + b) * 64 * GEMM_K * 2 + k * 32),
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
    if (IN_TURN)
        pass_turn(2 + (group ^ 1));
    wgmma_wait<0>();
    gemm_release(r, last);
}

/* A tile whose beginning another cluster has: leave the sums where that one looks. id, n: barrier of the threads that
 * share the tile; thread: this one among them. */
template <int N> DEVICE void gemm_leave(const struct vt_dev_gemm &g, const float (&d)[N], int tile_floats, int id, int n, int thread)
{
    const int block = blockIdx.y * gridDim.x + blockIdx.x;
    float *to = at<float>(g.parts) + (size_t)block * tile_floats + thread;
#pragma unroll
    for (int i = 0; i < N; i++)
        __stcg(to + i * n, d[i]);
    __threadfence();
    meet_at(id, n);
    if (thread == 0)
        asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(at<int32_t>(g.flags) + block) : "memory");
}

/* Adds what block `block` left. */
template <int N> DEVICE void gemm_take(const struct vt_dev_gemm &g, float (&d)[N], int tile_floats, int block, int id, int n, int thread)
{
    int32_t *flag = at<int32_t>(g.flags) + block;
    if (thread == 0) {
        int32_t is_there;
        do
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(is_there) : "l"(flag) : "memory");
        while (!is_there);
    }
    meet_at(id, n);
    const float *from = at<const float>(g.parts) + (size_t)block * tile_floats + thread;
#pragma unroll
    for (int i = 0; i < N; i++)
        d[i] += __ldcg(from + i * n);
    meet_at(id, n);
    if (thread == 0)
        *flag = 0; /* for the next launch */
}

/* Straight from the registers. row0: the weight's row of the warpgroup's first. */
template <int TN, int BLOCKS> DEVICE void gemm_write(const struct vt_dev_gemm &g, const float (&d)[BLOCKS][TN / 2], int row0)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
#pragma unroll
    for (int b = 0; b < BLOCKS; b++) {
        const int first = row0 + b * 64 + 16 * warp, column = first + lane / 4;
#pragma unroll
        for (int j = 0; j < TN / 8; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int row = (int)blockIdx.y * TN + 8 * j + 2 * (lane % 4) + i;
                if (row >= g.n_rows)
                    continue;
                const float low = d[b][4 * j + i], high = d[b][4 * j + 2 + i];
                if (g.kind == VT_DEV_GEMM_SWIGLU) {
                    if (column < g.n_columns)
                        at<bf16>(g.out)[row * g.ld + first / 2 + lane / 4] =
                            __float2bfloat16_rn(__fdividef(low, 1.0f + __expf(-low)) * high);
                    continue;
                }
                float *out = at<float>(g.out) + row * g.ld + column;
                if (column < g.n_columns)
                    out[0] = low;
                if (column + 8 < g.n_columns)
                    out[8] = high;
            }
    }
}

/* A split's sums, by way of the stages (which nobody reads or fills any more): a sample's columns leave in one copy. */
template <int TN, int BLOCKS>
DEVICE void gemm_write_split(const struct vt_dev_gemm &g, const float (&d)[BLOCKS][TN / 2], char *stages, int tile_row, int split,
                             int group)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, width = 128 * BLOCKS + GEMM_PAD;
    float *rows = reinterpret_cast<float *>(stages);
    meet<1, 256>();
#pragma unroll
    for (int b = 0; b < BLOCKS; b++)
#pragma unroll
        for (int j = 0; j < TN / 8; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float *to = rows + (8 * j + 2 * (lane % 4) + i) * width + (group * BLOCKS + b) * 64 + 16 * warp + lane / 4;
                to[0] = d[b][4 * j + i];
                to[8] = d[b][4 * j + 2 + i];
            }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    meet<1, 256>();
    const int n_columns = min(128 * BLOCKS, g.n_columns - tile_row);
    for (int i = threadIdx.x - 128; i < TN; i += 256) {
        const int row = (int)blockIdx.y * TN + i;
        if (row < g.n_rows && n_columns > 0)
            copy_out_bytes(at<float>(g.out) + split * g.split_stride + row * g.ld + tile_row, rows + i * width, n_columns * 4);
    }
    copy_out_wait();
}

template <int TN, int BLOCKS, bool IN_TURN>
DEVICE void gemm_consume(const struct gemm_ring &r, const struct vt_dev_gemm &g, int cluster, int u0, int u1, uint32_t rank, int group)
{
    typedef gemm_plan<TN, BLOCKS, IN_TURN> plan;
    const int first = IN_TURN ? 0 : group * BLOCKS, id = IN_TURN ? 4 + group : 1;
    const int thread = (threadIdx.x - 128) % plan::threads, tile_floats = plan::rows * TN;
    struct gemm_place place = {0, 0};
    if (IN_TURN && group == 1)
        pass_turn(2); /* the first warpgroup begins */
    for (int u = u0, segment = 0; u < u1; segment++) {
        float d[BLOCKS][TN / 2];
        const int tile = u / g.k_blocks, k0 = u % g.k_blocks, k1 = min(g.k_blocks, k0 + u1 - u);
        u += k1 - k0;
        if (IN_TURN && segment % 2 != group) {
            gemm_skip(r, place, k1 - k0);
            continue;
        }
        gemm_multiply<TN, BLOCKS, IN_TURN>(r, d, place, k1 - k0, first, group);
        const int tile_row = (tile * 2 + (int)rank) * plan::rows;
        if (!IN_TURN && g.kind == VT_DEV_GEMM_PARTIAL) {
            gemm_write_split<TN, BLOCKS>(g, d, r.stages, tile_row, cluster % g.n_splits, group);
            return; /* a cluster has one */
        }
        float(&sums)[BLOCKS * (TN / 2)] = *reinterpret_cast<float(*)[BLOCKS * (TN / 2)]>(&d);
        if (IN_TURN && k0 > 0) {
            gemm_leave(g, sums, tile_floats, id, plan::threads, thread);
            continue;
        }
        for (int covered = k1, next = cluster + 1; IN_TURN && covered < g.k_blocks; next++) {
            int from, to;
            gemm_range(g, next, &from, &to);
            gemm_take(g, sums, tile_floats, (int)(blockIdx.y * gridDim.x) + 2 * next + (int)rank, id, plan::threads, thread);
            covered += min(g.k_blocks - covered, to - from);
        }
        gemm_write<TN, BLOCKS>(g, d, tile_row + first * 64);
    }
}

template <int TN, int BLOCKS, bool IN_TURN>
DEVICE void gemm(const tensor_map *weight, const tensor_map *samples, const struct vt_dev_gemm &g)
{
    typedef gemm_plan<TN, BLOCKS, IN_TURN> plan;
    struct gemm_ring r;
    r.stages = reinterpret_cast<char *>(((uintptr_t)dynamic_shared + 1023) & ~(uintptr_t)1023);
    r.n = g.n_stages;
    r.full = reinterpret_cast<uint64_t *>(r.stages + r.n * plan::stage_bytes);
    r.empty = r.full + GEMM_MOST_STAGES;
    const uint32_t rank = cluster_rank();
    const int cluster = blockIdx.x / 2, group = threadIdx.x / 128;
    if (threadIdx.x == 0) {
        prefetch_map(weight);
        prefetch_map(samples);
        for (int s = 0; s < r.n; s++) {
            barrier_init(&r.full[s], 1);
            barrier_init(&r.empty[s], 2 * plan::threads / 32); /* the warps that read a stage, of both blocks */
        }
        barriers_ready();
    }
    cluster_meet();
    release_next();
    int u0, u1;
    gemm_range(g, cluster, &u0, &u1);
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0)
            gemm_copy<plan>(r, weight, samples, g, u0, u1, rank);
        __syncwarp();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        wait_ahead(); /* what is written may still be read by the kernel ahead */
        gemm_consume<TN, BLOCKS, IN_TURN>(r, g, cluster, u0, u1, rank, group - 1);
    }
    cluster_meet(); /* nobody may copy into a block that has ended */
}

#define GEMM_RUN(TN, BLOCKS, IN_TURN) gemm<TN, BLOCKS, IN_TURN>(&weight, &samples, g)
#else
#define GEMM_RUN(TN, BLOCKS, IN_TURN) __trap() /* never chosen on this architecture */
#endif

#define GEMM_KERNEL(NAME, TN, BLOCKS, IN_TURN)                                                                                     \
    KERNEL(GEMM_THREADS, 1)                                                                                                        \
    vt_gemm_##NAME(const __grid_constant__ tensor_map weight, const __grid_constant__ tensor_map samples,                          \
                   const __grid_constant__ struct vt_dev_gemm g)                                                                   \
    {                                                                                                                              \
        GEMM_RUN(TN, BLOCKS, IN_TURN);                                                                                             \
    }

/* Tiles shared by both warpgroups, of 128 and of 256 rows a block; and tiles of 128 rows in turn. */
GEMM_KERNEL(16_1, 16, 1, false)
GEMM_KERNEL(32_1, 32, 1, false)
GEMM_KERNEL(64_1, 64, 1, false)
GEMM_KERNEL(96_1, 96, 1, false)
GEMM_KERNEL(128_1, 128, 1, false)
GEMM_KERNEL(160_1, 160, 1, false)
GEMM_KERNEL(16_2, 16, 2, false)
GEMM_KERNEL(32_2, 32, 2, false)
GEMM_KERNEL(64_2, 64, 2, false)
GEMM_KERNEL(96_2, 96, 2, false)
GEMM_KERNEL(128_2, 128, 2, false)
GEMM_KERNEL(160_2, 160, 2, false)
GEMM_KERNEL(16_t, 16, 2, true)
GEMM_KERNEL(32_t, 32, 2, true)
GEMM_KERNEL(64_t, 64, 2, true)
GEMM_KERNEL(96_t, 96, 2, true)
GEMM_KERNEL(128_t, 128, 2, true)
GEMM_KERNEL(160_t, 160, 2, true)

#endif
