/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_back_wide.cuh: the gradient of attention (attend_back.cuh, where the formulas and the order of sums are) on
 * Hopper: the same blocks, whose four warps multiply as one warpgroup. Tiles of keys, queries and gradients of the output lie
 * in shared memory as a page's keys do, and serve both as rows (scores) and as columns (what the weights gather).
 */
#ifndef VT_CUDA_ATTEND_BACK_WIDE_CUH
#define VT_CUDA_ATTEND_BACK_WIDE_CUH

#include "cuda/attend_back.cuh"
#include "cuda/copy.cuh"
#include "cuda/wgmma.cuh"

enum { BACK_WIDE_TURN = 64 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* What copies into shared memory brought is there for all, and for the matrix instructions. */
DEVICE void back_meet()
{
    copies_see_shared();
    __syncthreads();
}

DEVICE uint32_t back_step(uint32_t tile, int k) /* elements 16 k … of the rows of a tile */
{
    return tile + k / 4 * BACK_KEYS * VT_DEV_KEY_BYTES + k % 4 * 32;
}
DEVICE uint64_t back_columns(uint32_t tile, int k) /* rows 16 k … as rows of K */
{
    return wgmma_column_factor(tile + k * 16 * VT_DEV_KEY_BYTES, BACK_KEYS * VT_DEV_KEY_BYTES);
}

DEVICE void back_pack_wide(uint32_t (&p)[4][4], const float (&s)[32])
{
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            p[j][i] = pack2(s[8 * j + 2 * i], s[8 * j + 2 * i + 1]);
}

/* --- queries --- */

template <int HD>
DEVICE void back_wide_queries(const struct vt_dev_span *spans, const struct vt_dev_back_queries *tiles, const struct back_rows &in,
                              float *dq, const struct vt_dev_shape &m)
{
    const int stage_bytes = 2 * BACK_KEYS * HD * 2, lane = threadIdx.x % 32, kv = blockIdx.y;
    const uint32_t stages = shared_address(dynamic_shared);
    const float scale = m.scale_log2 * 0.69314718056f;
    struct back_tile<HD> t;
    float acc[HD / 2];
    back_tile_load<HD>(t, spans, tiles[blockIdx.x], in, m, kv);
#pragma unroll
    for (int i = 0; i < HD / 2; i++)
        acc[i] = 0;
    for (int b = -1; b < t.n_blocks; b++) {
        back_tile_keys<HD>(t, b + 1, stages + ((b + 1) & 1) * stage_bytes, in, m, kv);
        if (b < 0)
            continue;
        copy_async_wait<1>();
        back_meet();
        const uint32_t keys = stages + (b & 1) * stage_bytes, values = keys + BACK_KEYS * HD * 2;
        float s[BACK_KEYS / 2], d[BACK_KEYS / 2];
        uint32_t p[4][4];
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
            wgmma_rows<BACK_KEYS>::run(s, t.q[k], wgmma_factor(back_step(keys, k)), k > 0);
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
            wgmma_rows<BACK_KEYS>::run(d, t.d_out[k], wgmma_factor(back_step(values, k)), k > 0);
        wgmma_commit();
        wgmma_wait<0>();
#pragma unroll
        for (int e = 0; e < BACK_KEYS / 2; e++) {
            const int key = e / 4 * 8 + 2 * (lane % 4) + e % 2, i = e / 2 % 2;
            const float w = key < back_tile_seen<HD>(t, b, i) ? exp2_fast(s[e] * m.scale_log2 - t.lse[i]) : 0;
            s[e] = w * (d[e] - t.delta[i]) * scale;
        }
        back_pack_wide(p, s);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < BACK_KEYS / 16; k++)
            wgmma_columns<HD>::run(acc, p[k], back_columns(keys, k), 1);
        wgmma_commit();
        wgmma_wait<0>();
        __syncthreads();
    }
    back_tile_store<HD>(t, acc, dq, m);
}

/* --- keys --- */

template <int HD>
DEVICE void back_wide_keys(const struct vt_dev_back_keys *items, const struct back_rows &in, float *dkv, float *parts,
                           const struct vt_dev_shape &m)
{
    typedef struct back_turn<BACK_WIDE_TURN> turn_numbers;
    const int tile_bytes = BACK_KEYS * HD * 2, stage_bytes = 2 * tile_bytes, lane = threadIdx.x % 32;
    const int row = 16 * (threadIdx.x / 32), kv = blockIdx.y;
    const struct vt_dev_back_keys item = items[blockIdx.x];
    const uint32_t keys = shared_address(dynamic_shared), values = keys + tile_bytes, stages = values + tile_bytes;
    turn_numbers *turns =
        reinterpret_cast<turn_numbers *>(reinterpret_cast<char *>(dynamic_shared) + 2 * tile_bytes + 2 * stage_bytes);
    const int n_turns = (item.n_q * (m.n_heads / m.n_kv_heads) + BACK_WIDE_TURN - 1) / BACK_WIDE_TURN;
    const float scale = m.scale_log2 * 0.69314718056f;
    float dk[HD / 2], dv[HD / 2];
#pragma unroll
    for (int i = 0; i < HD / 2; i++)
        dk[i] = dv[i] = 0;
    back_load_keys<HD>(keys, in, m, item.key_row, item.n_keys, kv);
    for (int turn = -1; turn < n_turns; turn++) {
        if (turn + 1 < n_turns)
            back_load_turn<HD, BACK_WIDE_TURN>(stages + ((turn + 1) & 1) * stage_bytes, &turns[(turn + 1) & 1], in, m, item, turn + 1,
                                               kv);
        copy_async_commit();
        if (turn < 0)
            continue;
        copy_async_wait<1>();
        back_meet();
        const uint32_t q = stages + (turn & 1) * stage_bytes, d_out = q + tile_bytes;
        const turn_numbers *t = &turns[turn & 1];
        float s[BACK_WIDE_TURN / 2], d[BACK_WIDE_TURN / 2];
        uint32_t p[4][4];
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
            wgmma<BACK_WIDE_TURN>::run(s, wgmma_factor(back_step(keys, k)), wgmma_factor(back_step(q, k)), k > 0);
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
            wgmma<BACK_WIDE_TURN>::run(d, wgmma_factor(back_step(values, k)), wgmma_factor(back_step(d_out, k)), k > 0);
        wgmma_commit();
        wgmma_wait<0>();
#pragma unroll
        for (int e = 0; e < BACK_WIDE_TURN / 2; e++) {
            const int at_query = e / 4 * 8 + 2 * (lane % 4) + e % 2, key = row + lane / 4 + e / 2 % 2 * 8;
            s[e] = key < t->seen[at_query] ? exp2_fast(s[e] * m.scale_log2 - t->lse[at_query]) : 0;
            d[e] = s[e] * (d[e] - t->delta[at_query]) * scale;
        }
        back_pack_wide(p, s);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < BACK_WIDE_TURN / 16; k++)
            wgmma_columns<HD>::run(dv, p[k], back_columns(d_out, k), 1);
        wgmma_commit();
        wgmma_wait<0>();
        back_pack_wide(p, d);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < BACK_WIDE_TURN / 16; k++)
            wgmma_columns<HD>::run(dk, p[k], back_columns(q, k), 1);
        wgmma_commit();
        wgmma_wait<0>();
        __syncthreads();
    }
    copy_async_wait<0>();
    back_store_keys<HD>(item, dk, dv, row, kv, dkv, parts, m);
}

#define BACK_WIDE_QUERIES(HD) back_wide_queries<HD>(spans, tiles, in, dq, m)
#define BACK_WIDE_KEYS(HD) back_wide_keys<HD>(items, in, dkv, parts, m)
#else
#define BACK_WIDE_QUERIES(HD) __trap() /* never chosen on this architecture */
#define BACK_WIDE_KEYS(HD) __trap()
#endif

#define BACK_WIDE_KERNELS(HD)                                                                                                      \
    KERNEL(BACK_THREADS, 2)                                                                                                        \
    vt_back_wide_queries_##HD(const struct vt_dev_span *spans, const struct vt_dev_back_queries *tiles, const bf16 *q,              \
                              const bf16 *kv, const bf16 *d_out, const float *lse, const float *delta, float *dq,                  \
                              struct vt_dev_shape m)                                                                               \
    {                                                                                                                              \
        const struct back_rows in = {q, kv, d_out, lse, delta};                                                                    \
        (void)in;                                                                                                                  \
        BACK_WIDE_QUERIES(HD);                                                                                                     \
    }                                                                                                                              \
    KERNEL(BACK_THREADS, 2)                                                                                                        \
    vt_back_wide_keys_##HD(const struct vt_dev_back_keys *items, const bf16 *q, const bf16 *kv, const bf16 *d_out,                  \
                           const float *lse, const float *delta, float *dkv, float *parts, struct vt_dev_shape m)                  \
    {                                                                                                                              \
        const struct back_rows in = {q, kv, d_out, lse, delta};                                                                    \
        (void)in;                                                                                                                  \
        BACK_WIDE_KEYS(HD);                                                                                                        \
    }

BACK_WIDE_KERNELS(64)
BACK_WIDE_KERNELS(128)

#endif
