/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_wide.cuh: a wide pass's attention on Hopper. A block has warpgroups of 64 queries each (consecutive tokens of
 * one sequence, times the query heads that share a key head) and a warp that copies: it walks the sequence's page table and
 * keeps a ring of pages full, keys and values in turn, which all warpgroups multiply straight from shared memory, some while
 * others soften. Queries lie in shared memory too: registers are what limits the number of warps. Only the pages that some query of a warpgroup does not see whole are masked.
 */
#ifndef VT_CUDA_ATTEND_WIDE_CUH
#define VT_CUDA_ATTEND_WIDE_CUH

#include "cuda/attend_step.cuh"

enum { WIDE_QUERIES = 64, WIDE_MOST_STAGES = 8 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

template <int HD> struct wide_plan {
    static const int groups = HD == 64 ? 2 : 3; /* warpgroups with queries */
    static const int stages = HD == 64 ? 8 : 6; /* a stage is a page's keys, or its values */
    static const int bytes = VT_DEV_PAGE_KEYS * HD * 2;
    static const int query_bytes = WIDE_QUERIES * HD * 2; /* of a warpgroup, behind the stages; laid out as a page's keys */
    static const int all_bytes = stages * bytes + groups * query_bytes;
};

struct wide_room { /* behind those */
    uint64_t full[WIDE_MOST_STAGES], empty[WIDE_MOST_STAGES];
};

/* The copying thread. */
template <int HD>
DEVICE void wide_copy(const struct vt_dev_tile &tile, int n_pages, char *stages, struct wide_room *room, int kv, int layer,
                      int64_t layer_stride)
{
    typedef wide_plan<HD> plan;
    const uint64_t *table = at<const uint64_t>(tile.table);
    for (int part = 0, s = 0, turn = 1; part < 2 * n_pages; part++) {
        if (part >= plan::stages)
            barrier_wait(&room->empty[s], turn);
        const char *from = page_of<HD>(table[part / 2], kv, layer, layer_stride).keys + part % 2 * plan::bytes;
        barrier_expect(&room->full[s], plan::bytes);
        copy_bytes(stages + s * plan::bytes, from, plan::bytes, &room->full[s]);
        if (++s == plan::stages) {
            s = 0;
            turn ^= 1;
        }
    }
}

/* This warp has done with a stage; on to the next. */
template <int HD> DEVICE void wide_next(struct step_place &at, struct wide_room *room)
{
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        barrier_arrive(&room->empty[at.stage]);
    if (++at.stage == wide_plan<HD>::stages) {
        at.stage = 0;
        at.turn ^= 1;
    }
}

/* Pages [0, n_pages) go by; this warpgroup needs those below n_own. seen: keys of the sequence that a lane's two rows see;
 * whole: pages below this one are seen whole by all. */
template <int HD>
DEVICE void wide_consume(step_state<HD> &a, uint32_t queries, int n_pages, int n_own, int whole, const int (&seen)[2],
                         const char *stages, struct wide_room *room, float scale)
{
    typedef wide_plan<HD> plan;
    struct step_place at = {0, 0};
    for (int b = 0; b < n_pages; b++) {
        float s[VT_DEV_PAGE_KEYS / 2];
        uint32_t p[VT_DEV_PAGE_KEYS / 16][4];
        barrier_wait(&room->full[at.stage], at.turn);
        if (b >= n_own) {
            wide_next<HD>(at, room);
            barrier_wait(&room->full[at.stage], at.turn);
            wide_next<HD>(at, room);
            continue;
        }
        uint32_t tile = shared_address(stages + at.stage * plan::bytes);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
            wgmma<VT_DEV_PAGE_KEYS>::run(s, wgmma_factor(queries + k / 4 * WIDE_QUERIES * VT_DEV_KEY_BYTES + k % 4 * 32),
                                         wgmma_factor(tile + k / 4 * VT_DEV_PAGE_KEYS * VT_DEV_KEY_BYTES + k % 4 * 32), k > 0);
        wgmma_commit();
        wgmma_wait<0>();
        wide_next<HD>(at, room);
        if (b < whole)
            step_soften<HD, VT_DEV_PAGE_KEYS>(a, s, p, VT_DEV_PAGE_KEYS, VT_DEV_PAGE_KEYS, scale);
        else
            step_soften<HD, VT_DEV_PAGE_KEYS>(a, s, p, seen[0] - b * VT_DEV_PAGE_KEYS, seen[1] - b * VT_DEV_PAGE_KEYS, scale);
        barrier_wait(&room->full[at.stage], at.turn);
        tile = shared_address(stages + at.stage * plan::bytes);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < VT_DEV_PAGE_KEYS / 16; k++)
            wgmma_columns<HD>::run(
                a.o, p[k], wgmma_column_factor(tile + k * 16 * VT_DEV_KEY_BYTES, VT_DEV_PAGE_KEYS * VT_DEV_KEY_BYTES), 1);
        wgmma_commit();
        wgmma_wait<0>();
        wide_next<HD>(at, room);
    }
}

/* A warpgroup's queries into shared memory; rows beyond its n tokens are zeros. */
template <int HD>
DEVICE void wide_load_queries(char *to, const bf16 *q, int row0, int n, int kv, const struct vt_dev_shape &m)
{
    const int heads = m.n_heads / m.n_kv_heads;
    for (int i = threadIdx.x % 128; i < WIDE_QUERIES * (HD / 8); i += 128) {
        const int r = i / (HD / 8), piece = i % (HD / 8), token = r / heads;
        const bf16 *from = q + ((size_t)(row0 + token) * m.n_heads + kv * heads + r % heads) * HD + piece * 8;
        *reinterpret_cast<uint4 *>(to + piece_at(r, piece, WIDE_QUERIES)) = token < n ? load16(from) : make_uint4(0, 0, 0, 0);
    }
    copies_see_shared();
    switch (threadIdx.x / 128) {
    case 0:
        return threads_meet<1, 128>();
    case 1:
        return threads_meet<2, 128>();
    default:
        return threads_meet<3, 128>();
    }
}

/* lse, where given: log2 of the sum of a query's weights, [row][head]. grid: (tiles, key heads). Shared memory: stages
 * (aligned to 1024 bytes), the room. */
template <int HD>
DEVICE void wide_pages(const struct vt_dev_tile *tiles, const bf16 *q, bf16 *ctx, float *lse, const struct vt_dev_shape &m, int layer)
{
    char *stages = reinterpret_cast<char *>(dynamic_shared);
    struct wide_room *room = reinterpret_cast<struct wide_room *>(stages + wide_plan<HD>::all_bytes);
    const struct vt_dev_tile tile = tiles[blockIdx.x];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, kv = blockIdx.y, heads = m.n_heads / m.n_kv_heads;
    const int per_group = WIDE_QUERIES / heads; /* tokens of a warpgroup */
    const int n_pages = (tile.pos0 + tile.n - 1) / VT_DEV_PAGE_KEYS + 1;
    if (threadIdx.x == 0) {
        for (int s = 0; s < wide_plan<HD>::stages; s++) {
            barrier_init(&room->full[s], 1);
            barrier_init(&room->empty[s], 4 * wide_plan<HD>::groups);
        }
        barriers_ready();
    }
    __syncthreads();
    if (warp == 4 * wide_plan<HD>::groups) {
        if (lane == 0)
            wide_copy<HD>(tile, n_pages, stages, room, kv, layer, m.layer_stride);
        return;
    }
    step_state<HD> a;
#pragma unroll
    for (int i = 0; i < HD / 2; i++)
        a.o[i] = 0;
    a.m[0] = a.m[1] = -CUDART_INF_F;
    a.l[0] = a.l[1] = 0;
    const int first = warp / 4 * per_group, n = min(per_group, tile.n - first); /* this warpgroup's tokens */
    int seen[2], at_row[2], at_head[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = warp % 4 * 16 + lane / 4 + 8 * i, token = r / heads;
        const bool is_row = token < n;
        seen[i] = is_row ? tile.pos0 + first + token + 1 : 0;
        at_row[i] = tile.row0 + first + token;
        at_head[i] = kv * heads + r % heads;
    }
    char *queries = stages + wide_plan<HD>::stages * wide_plan<HD>::bytes + warp / 4 * wide_plan<HD>::query_bytes;
    wide_load_queries<HD>(queries, q, tile.row0 + first, n, kv, m);
    const int n_own = n > 0 ? (tile.pos0 + first + n - 1) / VT_DEV_PAGE_KEYS + 1 : 0;
    wide_consume<HD>(a, shared_address(queries), n_pages, n_own, (tile.pos0 + first + 1) / VT_DEV_PAGE_KEYS, seen, stages, room, m.scale_log2);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        a.l[i] += __shfl_xor_sync(0xffffffffu, a.l[i], 1);
        a.l[i] += __shfl_xor_sync(0xffffffffu, a.l[i], 2);
        if (!seen[i])
            continue;
        const float inv = 1.0f / a.l[i];
        if (lse && lane % 4 == 0)
            lse[(size_t)at_row[i] * m.n_heads + at_head[i]] = a.m[i] + __log2f(a.l[i]);
        bf16 *out = ctx + (size_t)at_row[i] * m.q_dim + (size_t)at_head[i] * m.head_dim + 2 * (lane % 4);
#pragma unroll
        for (int j = 0; j < HD / 8; j++)
            if (8 * j < m.head_dim)
                *reinterpret_cast<uint32_t *>(out + 8 * j) = pack2(a.o[4 * j + 2 * i] * inv, a.o[4 * j + 2 * i + 1] * inv);
    }
}

#define WIDE_PAGES(HD) wide_pages<HD>(tiles, q, ctx, lse, m, layer)
#else
#define WIDE_PAGES(HD) __trap() /* never chosen on this architecture */
#endif

KERNEL(2 * 128 + 32, 2)
vt_wide_pages_64(const struct vt_dev_tile *tiles, const bf16 *q, bf16 *ctx, float *lse, struct vt_dev_shape m, int layer)
{
    WIDE_PAGES(64);
}
KERNEL(3 * 128 + 32, 1)
vt_wide_pages_128(const struct vt_dev_tile *tiles, const bf16 *q, bf16 *ctx, float *lse, struct vt_dev_shape m, int layer)
{
    WIDE_PAGES(128);
}

#endif
