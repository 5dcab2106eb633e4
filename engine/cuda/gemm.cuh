/* SPDX-License-Identifier: Apache-2.0
 *
 * gemm.cuh: the products of a step on Hopper: few rows (at most 256 samples), a weight that is read once. The weight's
 * rows are the long side of the matrix instruction and all samples its short one, so nothing of a tile is wasted
 * whatever their number. Bytes decide here, so:
 *   - two neighbouring blocks (a cluster) take neighbouring rows of the weight and share the samples' rows: each copies
 *     half of them into both;
 *   - one thread keeps a ring of stages full by bulk copies; it begins with the weight, before the kernel ahead has
 *     ended, for the weight does not depend on it;
 *   - where tiles do not fill the machine k is split, each split writes its own sums and the kernel behind adds them in
 *     order; where there are more tiles than the machine takes at once, every cluster gets an equal run of units, and a
 *     tile cut by the end of a run is completed by the cluster that has its beginning, out of what the next ones left.
 * An element is a sum over k in order, cut at places that depend on the weight's shape and the machine only: never on
 * the number of samples. Two warpgroups multiply, one thread of a third copies.
 */
#ifndef VT_CUDA_GEMM_CUH
#define VT_CUDA_GEMM_CUH

#include "cuda/copy.cuh"
#include "cuda/wgmma.cuh"

enum { GEMM_K = 64, GEMM_THREADS = 384, GEMM_MOST_STAGES = 8 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

template <int TN, int BLOCKS> struct gemm_plan {
    static const int rows = 128 * BLOCKS; /* of the weight, a block's */
    static const int weight_bytes = rows * GEMM_K * 2, sample_bytes = TN * GEMM_K * 2;
    static const int stage_bytes = weight_bytes + sample_bytes;
};

struct gemm_ring {
    char *stages;
    uint64_t *full, *empty;
    int n; /* of stages */
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

template <int TN, int BLOCKS>
DEVICE void gemm_copy(const struct gemm_ring &r, const tensor_map *weight, const tensor_map *samples, const struct vt_dev_gemm &g,
                      int u0, int u1, uint32_t rank)
{
    typedef gemm_plan<TN, BLOCKS> plan;
    const int n = u1 - u0, early = n < r.n ? n : r.n;
    int k = u0 % g.k_blocks, row = (u0 / g.k_blocks * 2 + (int)rank) * plan::rows; /* of the weight's next box */
    for (int i = 0; i < early; i++) {
        barrier_expect(&r.full[i], plan::stage_bytes);
        copy_box(r.stages + i * plan::stage_bytes, weight, k * GEMM_K, row, &r.full[i]);
        if (++k == g.k_blocks) {
            k = 0;
            row += 2 * plan::rows;
        }
    }
    wait_ahead();
    int sample_k = u0 % g.k_blocks, s = 0, turn = 1;
    for (int i = 0; i < n; i++) {
        char *stage = r.stages + s * plan::stage_bytes;
        if (i >= r.n) {
            barrier_wait(&r.empty[s], turn);
            barrier_expect(&r.full[s], plan::stage_bytes);
            copy_box(stage, weight, k * GEMM_K, row, &r.full[s]);
            if (++k == g.k_blocks) {
                k = 0;
                row += 2 * plan::rows;
            }
        }
        copy_box_to(stage + plan::weight_bytes + rank * (plan::sample_bytes / 2), samples, sample_k * GEMM_K,
                    (int)rank * (TN / 2), &r.full[s], 3);
        sample_k = sample_k + 1 == g.k_blocks ? 0 : sample_k + 1;
        if (++s == r.n) {
            s = 0;
            turn ^= 1;
        }
    }
}

/* Where a warpgroup is in the ring. */
struct gemm_place {
    int stage, turn;
};

/* Sums of the next n blocks of k. */
template <int TN, int BLOCKS>
DEVICE void gemm_multiply(const struct gemm_ring &r, float (&d)[BLOCKS][TN / 2], struct gemm_place &at, int n, int group)
{
    typedef gemm_plan<TN, BLOCKS> plan;
    int last = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t stage = shared_address(r.stages + at.stage * plan::stage_bytes);
        barrier_wait(&r.full[at.stage], at.turn);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < GEMM_K / 16; k++)
#pragma unroll
            for (int b = 0; b < BLOCKS; b++)
                wgmma<TN>::run(d[b], wgmma_factor(stage + (group * BLOCKS + b) * 64 * GEMM_K * 2 + k * 32),
                               wgmma_factor(stage + plan::weight_bytes + k * 32), i + k > 0);
        wgmma_commit();
        if (i > 0) {
            wgmma_wait<1>();
            if (threadIdx.x % 32 < 2)
                barrier_arrive_at(&r.empty[last], threadIdx.x % 32);
        }
        last = at.stage;
        if (++at.stage == r.n) {
            at.stage = 0;
            at.turn ^= 1;
        }
    }
    wgmma_wait<0>();
    if (threadIdx.x % 32 < 2)
        barrier_arrive_at(&r.empty[last], threadIdx.x % 32);
}

DEVICE void consumers_meet()
{
    asm volatile("bar.sync 1, 256;" ::: "memory");
}

/* A tile whose beginning another cluster has: leave the sums where that one looks. */
template <int TN, int BLOCKS> DEVICE void gemm_leave(const struct vt_dev_gemm &g, const float (&d)[BLOCKS][TN / 2])
{
    const int block = blockIdx.x, thread = threadIdx.x - 128;
    float *to = at<float>(g.parts) + (size_t)block * (BLOCKS * 128 * TN) + thread;
#pragma unroll
    for (int b = 0; b < BLOCKS; b++)
#pragma unroll
        for (int i = 0; i < TN / 2; i++)
            __stcg(to + (b * (TN / 2) + i) * 256, d[b][i]);
    __threadfence();
    consumers_meet();
    if (thread == 0)
        asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(at<int32_t>(g.flags) + block) : "memory");
}

/* Adds what block `block` left. */
template <int TN, int BLOCKS> DEVICE void gemm_take(const struct vt_dev_gemm &g, float (&d)[BLOCKS][TN / 2], int block)
{
    const int thread = threadIdx.x - 128;
    int32_t *flag = at<int32_t>(g.flags) + block;
    if (thread == 0) {
        int32_t is_there;
        do
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(is_there) : "l"(flag) : "memory");
        while (!is_there);
    }
    consumers_meet();
    const float *from = at<const float>(g.parts) + (size_t)block * (BLOCKS * 128 * TN) + thread;
#pragma unroll
    for (int b = 0; b < BLOCKS; b++)
#pragma unroll
        for (int i = 0; i < TN / 2; i++)
            d[b][i] += __ldcg(from + (b * (TN / 2) + i) * 256);
    consumers_meet();
    if (thread == 0)
        *flag = 0; /* for the next launch */
}

template <int TN, int BLOCKS>
DEVICE void gemm_write(const struct vt_dev_gemm &g, const float (&d)[BLOCKS][TN / 2], int tile, uint32_t rank, int group, int split)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
#pragma unroll
    for (int b = 0; b < BLOCKS; b++) {
        const int first = (tile * 2 + (int)rank) * 128 * BLOCKS + (group * BLOCKS + b) * 64 + 16 * warp, column = first + lane / 4;
#pragma unroll
        for (int j = 0; j < TN / 8; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int row = 8 * j + 2 * (lane % 4) + i;
                if (row >= g.n_rows)
                    continue;
                const float low = d[b][4 * j + i], high = d[b][4 * j + 2 + i];
                if (g.kind == VT_DEV_GEMM_SWIGLU) {
                    if (column < g.n_columns)
                        at<bf16>(g.out)[row * g.ld + first / 2 + lane / 4] = __float2bfloat16_rn(__fdividef(low, 1.0f + __expf(-low)) * high);
                    continue;
                }
                float *out = at<float>(g.out) + split * g.split_stride + row * g.ld + column;
                if (column < g.n_columns)
                    out[0] = low;
                if (column + 8 < g.n_columns)
                    out[8] = high;
            }
    }
}

template <int TN, int BLOCKS>
DEVICE void gemm(const tensor_map *weight, const tensor_map *samples, const struct vt_dev_gemm &g)
{
    typedef gemm_plan<TN, BLOCKS> plan;
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
            barrier_init(&r.empty[s], 2 * 8); /* the consumers' warps of both blocks */
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
            gemm_copy<TN, BLOCKS>(r, weight, samples, g, u0, u1, rank);
        __syncwarp();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        wait_ahead(); /* what is written may still be read by the kernel ahead */
        struct gemm_place place = {0, 0};
        for (int u = u0; u < u1;) {
            float d[BLOCKS][TN / 2];
            const int tile = u / g.k_blocks, k0 = u % g.k_blocks, k1 = min(g.k_blocks, k0 + u1 - u);
            gemm_multiply<TN, BLOCKS>(r, d, place, k1 - k0, group - 1);
            u += k1 - k0;
            if (g.kind != VT_DEV_GEMM_PARTIAL) {
                if (k0 > 0) {
                    gemm_leave<TN, BLOCKS>(g, d);
                    continue;
                }
                for (int covered = k1, next = cluster + 1; covered < g.k_blocks; next++) {
                    int from, to;
                    gemm_range(g, next, &from, &to);
                    gemm_take<TN, BLOCKS>(g, d, 2 * next + (int)rank);
                    covered += min(g.k_blocks - covered, to - from);
                }
            }
            gemm_write<TN, BLOCKS>(g, d, tile, rank, group - 1, g.kind == VT_DEV_GEMM_PARTIAL ? cluster % g.n_splits : 0);
        }
    }
    cluster_meet(); /* nobody may copy into a block that has ended */
}

#define GEMM_KERNEL(TN, BLOCKS)                                                                                                    \
    KERNEL(GEMM_THREADS, 1)                                                                                                        \
    vt_gemm_##TN##_##BLOCKS(const __grid_constant__ tensor_map weight, const __grid_constant__ tensor_map samples,                 \
                            const __grid_constant__ struct vt_dev_gemm g)                                                          \
    {                                                                                                                              \
        gemm<TN, BLOCKS>(&weight, &samples, g);                                                                                    \
    }
#else
#define GEMM_KERNEL(TN, BLOCKS)                                                                                                    \
    KERNEL(GEMM_THREADS, 1)                                                                                                        \
    vt_gemm_##TN##_##BLOCKS(const __grid_constant__ tensor_map weight, const __grid_constant__ tensor_map samples,                 \
                            const __grid_constant__ struct vt_dev_gemm g)                                                          \
    {                                                                                                                              \
        __trap(); /* never chosen on this architecture */                                                                          \
    }
#endif

GEMM_KERNEL(16, 1)
GEMM_KERNEL(32, 1)
GEMM_KERNEL(64, 1)
GEMM_KERNEL(96, 1)
GEMM_KERNEL(128, 1)
GEMM_KERNEL(160, 1)
GEMM_KERNEL(256, 1)
GEMM_KERNEL(16, 2)
GEMM_KERNEL(32, 2)
GEMM_KERNEL(64, 2)
GEMM_KERNEL(96, 2)
GEMM_KERNEL(128, 2)
GEMM_KERNEL(160, 2)

#endif
