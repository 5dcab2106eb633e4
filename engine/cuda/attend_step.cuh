/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_step.cuh: a step's attention on Hopper. A block takes samples of one group and one key head: 64 queries in four
 * warps of 16 (some samples each, times the query heads that share the key head). The prompt's pages are multiplied by
 * all 64 at once, straight from shared memory (wgmma); bulk copies bring them, keys and values in turn, while the kernel
 * ahead still runs: they were there before the step began. Each sample's own keys are multiplied by the one warp that
 * has it, 16 or 32 at a time, through a small ring of the warp; they wait for the kernel ahead, which writes this step's.
 *
 * The blocks of a cluster share the same samples: page i of the prompt, and link i of 32 keys of what follows, belong to
 * block i mod the cluster's size; each block takes its own in order, and what they found is merged through each other's
 * shared memory in the order of their ranks. So a query's bits depend on its own sequence, its prompt's length and the
 * cluster's size, which is the model's: not on who else is in the batch.
 */
#ifndef VT_CUDA_ATTEND_STEP_CUH
#define VT_CUDA_ATTEND_STEP_CUH

#include "cuda/attend.cuh"
#include "cuda/copy.cuh"
#include "cuda/wgmma.cuh"

enum { STEP_WARPS = 4, STEP_THREADS = 32 * STEP_WARPS, STEP_MOST_STAGES = 6, STEP_OWN_STAGES = 2, STEP_MOST_RANKS = 8, STEP_LINK = 32 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

template <int HD> struct step_plan {
    static const int prompt_stages = HD == 64 ? 6 : 3; /* a stage is a page's keys, or its values */
    static const int prompt_bytes = VT_DEV_PAGE_KEYS * HD * 2;
    static const int own_keys = HD == 64 ? 32 : 16; /* of a copy of a sample's own */
    static const int own_bytes = 2 * own_keys * HD * 2;
    static const int all_bytes = prompt_stages * prompt_bytes + STEP_WARPS * STEP_OWN_STAGES * own_bytes;
};

struct step_room { /* behind the stages */
    uint64_t full[STEP_MOST_STAGES], empty[STEP_MOST_STAGES], own_full[STEP_WARPS][STEP_OWN_STAGES];
    uint64_t record[STEP_WARPS * VT_DEV_TILE_ROWS];
    int end[STEP_WARPS * VT_DEV_TILE_ROWS]; /* keys a sample attends to; 0: none */
};

/* A warp's 16 queries: rows g and g + 8 of lane (g, q). */
template <int HD> struct step_state {
    uint32_t q[HD / 16][4]; /* as mma16816 takes them */
    float o[HD / 2];        /* o[4 j + i]: row g + 8 (i / 2), column 8 j + 2 q + i % 2 */
    float m[2], l[2];       /* maximum in units of log2; sum of this lane's columns */
};

/* Scores of N keys (s[4 t + i]: key 8 t + 2 q + i % 2) become weights, packed as mma16816 takes them; the state fades. */
template <int HD, int N>
DEVICE void step_soften(step_state<HD> &a, float (&s)[N / 2], uint32_t (&p)[N / 16][4], int seen0, int seen1, float scale)
{
    const int q = threadIdx.x % 4;
    float top[2] = {-CUDART_INF_F, -CUDART_INF_F}, base[2], fade[2], sum[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        const int key = i / 4 * 8 + 2 * q + i % 2;
        s[i] = key < (i & 2 ? seen1 : seen0) ? s[i] * scale : -CUDART_INF_F;
        top[i / 2 % 2] = fmaxf(top[i / 2 % 2], s[i]);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 1));
        top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 2));
        top[r] = fmaxf(top[r], a.m[r]);
        base[r] = top[r] == -CUDART_INF_F ? 0 : top[r];
        fade[r] = exp2_fast(a.m[r] - base[r]);
        a.m[r] = top[r];
    }
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        s[i] = exp2_fast(s[i] - base[i / 2 % 2]);
        sum[i / 2 % 2] += s[i];
    }
#pragma unroll
    for (int r = 0; r < 2; r++)
        a.l[r] = a.l[r] * fade[r] + sum[r];
    if (__any_sync(0xffffffffu, fade[0] != 1 || fade[1] != 1)) {
#pragma unroll
        for (int i = 0; i < HD / 2; i++)
            a.o[i] *= fade[i / 2 % 2];
    }
#pragma unroll
    for (int j = 0; j < N / 16; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            p[j][i] = pack2(s[8 * j + 2 * i], s[8 * j + 2 * i + 1]);
}

/* --- the prompt --- */

/* One thread: a page's keys (part 0) or values (1). */
template <int HD>
DEVICE void step_copy_page(char *to, uint64_t record, int page, int part, int kv, int layer, int64_t layer_stride, uint64_t *full)
{
    const uint64_t entry = at<const uint64_t>(record + sizeof(struct vt_dev_slot))[page];
    const char *from = page_of<HD>(entry, kv, layer, layer_stride).keys + part * step_plan<HD>::prompt_bytes;
    barrier_expect(full, step_plan<HD>::prompt_bytes);
    copy_bytes(to, from, step_plan<HD>::prompt_bytes, full);
}

struct step_place {
    int stage, turn;
};

/* This page's keys or values were read by all warps: the stage gets what comes prompt_stages parts later. */
template <int HD>
DEVICE void step_refill(struct step_place &at, int part, int n_parts, char *stages, struct step_room *room, int kv, int layer,
                        int64_t layer_stride, int rank, int n_ranks)
{
    typedef step_plan<HD> plan;
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        barrier_arrive(&room->empty[at.stage]);
    const int next = part + plan::prompt_stages;
    if (threadIdx.x == 0 && next < n_parts) {
        barrier_wait(&room->empty[at.stage], at.turn);
        step_copy_page<HD>(stages + at.stage * plan::prompt_bytes, room->record[0], rank + next / 2 * n_ranks, next % 2, kv, layer,
                           layer_stride, &room->full[at.stage]);
    }
    __syncwarp();
    if (++at.stage == plan::prompt_stages) {
        at.stage = 0;
        at.turn ^= 1;
    }
}

/* All four warps together. */
template <int HD>
DEVICE void step_prompt(step_state<HD> &a, int n_pages, char *stages, struct step_room *room, const struct vt_dev_shape &m, int kv,
                        int layer, int rank, int n_ranks)
{
    typedef step_plan<HD> plan;
    struct step_place at = {0, 0};
    for (int i = 0; i < n_pages; i++) {
        float s[VT_DEV_PAGE_KEYS / 2];
        uint32_t p[VT_DEV_PAGE_KEYS / 16][4];
        barrier_wait(&room->full[at.stage], at.turn);
        uint32_t tile = shared_address(stages + at.stage * plan::prompt_bytes);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
            wgmma_rows<VT_DEV_PAGE_KEYS>::run(
                s, a.q[k], wgmma_factor(tile + k / 4 * VT_DEV_PAGE_KEYS * VT_DEV_KEY_BYTES + k % 4 * 32), k > 0);
        wgmma_commit();
        wgmma_wait<0>();
        step_refill<HD>(at, 2 * i, 2 * n_pages, stages, room, kv, layer, m.layer_stride, rank, n_ranks);
        step_soften<HD, VT_DEV_PAGE_KEYS>(a, s, p, VT_DEV_PAGE_KEYS, VT_DEV_PAGE_KEYS, m.scale_log2);
        barrier_wait(&room->full[at.stage], at.turn);
        tile = shared_address(stages + at.stage * plan::prompt_bytes);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < VT_DEV_PAGE_KEYS / 16; k++)
            wgmma_columns<HD>::run(
                a.o, p[k], wgmma_column_factor(tile + k * 16 * VT_DEV_KEY_BYTES, VT_DEV_PAGE_KEYS * VT_DEV_KEY_BYTES), 1);
        wgmma_commit();
        wgmma_wait<0>();
        step_refill<HD>(at, 2 * i + 1, 2 * n_pages, stages, room, kv, layer, m.layer_stride, rank, n_ranks);
    }
}

/* --- a sample's own --- */

/* Walks the own keys of a warp's samples that belong to this block: sample by sample, n keys at once. */
struct step_walk {
    int sample, last, key, first, n, jump;
};
DEVICE bool step_is_there(struct step_walk &w, const struct step_room *room)
{
    while (w.sample < w.last && w.key >= room->end[w.sample]) {
        w.sample++;
        w.key = w.first;
    }
    return w.sample < w.last;
}
DEVICE void step_on(struct step_walk &w)
{
    w.key += w.n;
    if (w.key % STEP_LINK == 0)
        w.key += w.jump; /* the other blocks' links */
}
DEVICE uint64_t step_entry(const struct step_walk &w, const struct step_room *room)
{
    return at<const uint64_t>(room->record[w.sample] + sizeof(struct vt_dev_slot))[w.key / VT_DEV_PAGE_KEYS];
}

/* One lane: keys and values of own_keys keys from `key` of a page, tile by tile. */
template <int HD> DEVICE void step_copy_own(char *to, uint64_t entry, int key, int kv, int layer, int64_t layer_stride, uint64_t *full)
{
    const int bytes = step_plan<HD>::own_keys * VT_DEV_KEY_BYTES;
    const char *from = page_of<HD>(entry, kv, layer, layer_stride).keys + key % VT_DEV_PAGE_KEYS * VT_DEV_KEY_BYTES;
    barrier_expect(full, step_plan<HD>::own_bytes);
#pragma unroll
    for (int tile = 0; tile < 2 * (HD / 64); tile++)
        copy_bytes(to + tile * bytes, from + tile * VT_DEV_PAGE_KEYS * VT_DEV_KEY_BYTES, bytes, full);
}

/* N keys in shared memory: tiles of keys, then of values. */
template <int HD, int N> DEVICE void step_own_keys(step_state<HD> &a, const char *keys, int seen0, int seen1, float scale)
{
    const uint32_t at_keys = shared_address(keys), at_values = at_keys + N * HD * 2;
    const int lane = threadIdx.x % 32, r = lane % 8, which = lane / 8;
    float s[N / 2];
    uint32_t p[N / 16][4];
#pragma unroll
    for (int t = 0; t < N / 8; t++) {
        float d[4] = {0, 0, 0, 0};
#pragma unroll
        for (int c = 0; c < HD / 32; c++) {
            uint32_t b[4];
            load_matrices(b, at_keys + piece_at(8 * t + r, 4 * c + which, N));
            mma16816(d, a.q[2 * c], b[0], b[1]);
            mma16816(d, a.q[2 * c + 1], b[2], b[3]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            s[4 * t + i] = d[i];
    }
    step_soften<HD, N>(a, s, p, seen0, seen1, scale);
#pragma unroll
    for (int j = 0; j < N / 16; j++)
#pragma unroll
        for (int n = 0; n < HD / 8; n += 2) {
            uint32_t b[4];
            float(&low)[4] = *reinterpret_cast<float(*)[4]>(&a.o[4 * n]);
            float(&high)[4] = *reinterpret_cast<float(*)[4]>(&a.o[4 * n + 4]);
            load_matrices_turned(b, at_values + piece_at(16 * j + which % 2 * 8 + r, n + which / 2, N));
            mma16816(low, p[j], b[0], b[1]);
            mma16816(high, p[j], b[2], b[3]);
        }
}

/* This block's part of the queries' attention. */
template <int HD>
DEVICE void step_attend_part(step_state<HD> &a, const bf16 *q, const struct vt_dev_tile &tile, char *stages, struct step_room *room,
                             const struct vt_dev_shape &m, int layer, int rank, int n_ranks)
{
    typedef step_plan<HD> plan;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, kv = blockIdx.y;
    const int group_heads = m.n_heads / m.n_kv_heads;
    const int per_sample = group_heads < VT_DEV_TILE_ROWS ? group_heads : VT_DEV_TILE_ROWS;
    const int per_warp = VT_DEV_TILE_ROWS / per_sample;
    const int n_pages = (tile.n_shared - rank + n_ranks - 1) / n_ranks; /* of the prompt, this block's */
    char *own = stages + plan::prompt_stages * plan::prompt_bytes + warp * STEP_OWN_STAGES * plan::own_bytes;
    /* A lane a stage, so that the page table is read once for all. */
    if ((int)threadIdx.x < min(2 * n_pages, (int)plan::prompt_stages))
        step_copy_page<HD>(stages + threadIdx.x * plan::prompt_bytes, room->record[0], rank + (int)threadIdx.x / 2 * n_ranks,
                           threadIdx.x % 2, kv, layer, m.layer_stride, &room->full[threadIdx.x]);
    __syncwarp();
    wait_ahead();
    int sample[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = g + 8 * i, s = warp * per_warp + r / per_sample, head = tile.head0 + r % per_sample;
        const bool is_row = r < per_warp * per_sample && s < tile.n && head < group_heads;
        sample[i] = is_row ? s : -1;
        const uint32_t *row =
            reinterpret_cast<const uint32_t *>(q + ((size_t)(tile.row0 + s) * m.n_heads + kv * group_heads + head) * HD);
#pragma unroll
        for (int k = 0; k < HD / 16; k++) {
            a.q[k][i] = is_row ? row[8 * k + lane % 4] : 0;
            a.q[k][2 + i] = is_row ? row[8 * k + 4 + lane % 4] : 0;
        }
    }
    /* The first own link that is this block's. */
    const int shared_links = tile.n_shared * (VT_DEV_PAGE_KEYS / STEP_LINK);
    const int first = (shared_links + (rank + n_ranks - shared_links % n_ranks) % n_ranks) * STEP_LINK;
    struct step_walk w = {warp * per_warp, min(tile.n, (warp + 1) * per_warp), first, first, plan::own_keys,
                          (n_ranks - 1) * STEP_LINK};
    struct step_walk ahead = w; /* of the copies */
    uint64_t entry = step_is_there(ahead, room) ? step_entry(ahead, room) : 0;
    for (int i = 0; i < STEP_OWN_STAGES && entry; i++) {
        if (lane == 0)
            step_copy_own<HD>(own + i * plan::own_bytes, entry, ahead.key, kv, layer, m.layer_stride, &room->own_full[warp][i]);
        step_on(ahead);
        entry = step_is_there(ahead, room) ? step_entry(ahead, room) : 0;
    }
    step_prompt<HD>(a, n_pages, stages, room, m, kv, layer, rank, n_ranks);
    for (int s = 0, turn = 0; step_is_there(w, room); step_on(w)) {
        const int seen = room->end[w.sample] - w.key;
        barrier_wait(&room->own_full[warp][s], turn);
        step_own_keys<HD, plan::own_keys>(a, own + s * plan::own_bytes, sample[0] == w.sample ? seen : 0,
                                          sample[1] == w.sample ? seen : 0, m.scale_log2);
        __syncwarp();
        if (entry) {
            if (lane == 0)
                step_copy_own<HD>(own + s * plan::own_bytes, entry, ahead.key, kv, layer, m.layer_stride, &room->own_full[warp][s]);
            step_on(ahead);
            entry = step_is_there(ahead, room) ? step_entry(ahead, room) : 0;
        }
        if (++s == STEP_OWN_STAGES) {
            s = 0;
            turn ^= 1;
        }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        a.l[i] += __shfl_xor_sync(0xffffffffu, a.l[i], 1);
        a.l[i] += __shfl_xor_sync(0xffffffffu, a.l[i], 2);
    }
}

/* --- merging --- */

/* What a warp found, in shared memory: [row][HD + 4]: columns, maximum, sum. */
template <int HD> DEVICE void step_show(const step_state<HD> &a, float *parts)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float *row = parts + (warp * VT_DEV_TILE_ROWS + g + 8 * i) * (HD + 4);
#pragma unroll
        for (int j = 0; j < HD / 8; j++)
            *reinterpret_cast<float2 *>(row + 8 * j + 2 * (lane % 4)) = make_float2(a.o[4 * j + 2 * i], a.o[4 * j + 2 * i + 1]);
        if (lane % 4 == 0) {
            row[HD] = a.m[i];
            row[HD + 1] = a.l[i];
        }
    }
}

/* The cluster's blocks share the rows: eight columns a thread. */
template <int HD>
DEVICE void step_merge(const float *parts, bf16 *ctx, const struct vt_dev_tile &tile, const struct vt_dev_shape &m, int rank, int n_ranks)
{
    const int group_heads = m.n_heads / m.n_kv_heads, pieces = HD / 8;
    const int per_sample = group_heads < VT_DEV_TILE_ROWS ? group_heads : VT_DEV_TILE_ROWS;
    const int per_warp = VT_DEV_TILE_ROWS / per_sample;
    for (int i = rank * STEP_THREADS + threadIdx.x; i < STEP_WARPS * VT_DEV_TILE_ROWS * pieces; i += n_ranks * STEP_THREADS) {
        const int at_row = i / pieces, column = i % pieces * 8, r = at_row % VT_DEV_TILE_ROWS;
        const int s = at_row / VT_DEV_TILE_ROWS * per_warp + r / per_sample, h = tile.head0 + r % per_sample;
        if (r >= per_warp * per_sample || s >= tile.n || h >= group_heads || column >= m.head_dim)
            continue;
        /* All of the blocks' parts are asked for before the first is used. */
        const uint32_t here = shared_address(parts + at_row * (HD + 4));
        float top[STEP_MOST_RANKS], share[STEP_MOST_RANKS], most = -CUDART_INF_F, sum = 0, out[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        float4 v[STEP_MOST_RANKS][2];
#pragma unroll
        for (int c = 0; c < STEP_MOST_RANKS; c++) {
            if (c >= n_ranks)
                break;
            top[c] = shared_load_at(here + HD * 4, c);
            share[c] = shared_load_at(here + HD * 4 + 4, c);
            v[c][0] = shared_load4_at(here + column * 4, c);
            v[c][1] = shared_load4_at(here + column * 4 + 16, c);
        }
#pragma unroll
        for (int c = 0; c < STEP_MOST_RANKS; c++)
            most = c < n_ranks ? fmaxf(most, top[c]) : most;
        const float base = most == -CUDART_INF_F ? 0 : most;
#pragma unroll
        for (int c = 0; c < STEP_MOST_RANKS; c++) {
            if (c >= n_ranks)
                break;
            const float weight = exp2_fast(top[c] - base);
            sum += weight * share[c];
            out[0] += weight * v[c][0].x;
            out[1] += weight * v[c][0].y;
            out[2] += weight * v[c][0].z;
            out[3] += weight * v[c][0].w;
            out[4] += weight * v[c][1].x;
            out[5] += weight * v[c][1].y;
            out[6] += weight * v[c][1].z;
            out[7] += weight * v[c][1].w;
        }
        const float inv = sum > 0 ? 1.0f / sum : 0;
        const size_t at_head = (size_t)(tile.row0 + s) * m.q_dim + (size_t)(blockIdx.y * group_heads + h) * m.head_dim;
        *reinterpret_cast<uint4 *>(ctx + at_head + column) =
            make_uint4(pack2(out[0] * inv, out[1] * inv), pack2(out[2] * inv, out[3] * inv), pack2(out[4] * inv, out[5] * inv),
                       pack2(out[6] * inv, out[7] * inv));
    }
}

/* grid: (blocks of samples * cluster, key heads). Shared memory: stages (which must be aligned to 1024 bytes), the room. */
template <int HD>
DEVICE void step_pages(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, const struct vt_dev_shape &m, int layer, int n_ranks,
                       uint64_t ahead, uint32_t ahead_bytes)
{
    char *stages = reinterpret_cast<char *>(dynamic_shared);
    struct step_room *room = reinterpret_cast<struct step_room *>(stages + step_plan<HD>::all_bytes);
    const int rank = blockIdx.x % n_ranks, tile_at = (int)blockIdx.x / n_ranks;
    const struct vt_dev_tile tile =
        tile_at < job->n_tiles ? job->tiles[tile_at] : (struct vt_dev_tile){0, 0, 0, 0, 0, 0, 0};
    if (threadIdx.x == STEP_THREADS - 1) {
        for (int s = 0; s < STEP_MOST_STAGES; s++) {
            barrier_init(&room->full[s], 1);
            barrier_init(&room->empty[s], STEP_WARPS);
        }
        for (int i = 0; i < STEP_WARPS * STEP_OWN_STAGES; i++)
            barrier_init(&room->own_full[0][i], 1);
        barriers_ready();
    }
    release_next();
    for (int s = threadIdx.x; s < tile.n; s += STEP_THREADS) {
        const uint64_t record = job->rows[tile.row0 + s];
        const struct vt_dev_slot *slot = at<const struct vt_dev_slot>(record);
        /* The last draw moved these: past the first-level cache. */
        const int n_tokens = __ldcg(&slot->n_tokens), finished = __ldcg(&slot->finished);
        room->record[s] = record;
        room->end[s] = n_tokens > 0 && !finished ? slot->n_prompt + n_tokens : 0;
    }
    __syncthreads();
    if (threadIdx.x / 32 == STEP_WARPS - 1)
        prefetch_share(ahead, ahead_bytes, blockIdx.y * gridDim.x + blockIdx.x, gridDim.x * gridDim.y);
    step_state<HD> a;
#pragma unroll
    for (int i = 0; i < HD / 2; i++)
        a.o[i] = 0;
    a.m[0] = a.m[1] = -CUDART_INF_F;
    a.l[0] = a.l[1] = 0;
    if (tile.n)
        step_attend_part<HD>(a, q, tile, stages, room, m, layer, rank, n_ranks);
    else
        wait_ahead();
    __syncthreads(); /* the stages are free now */
    float *parts = reinterpret_cast<float *>(stages);
    step_show<HD>(a, parts);
    cluster_sync();
    step_merge<HD>(parts, ctx, tile, m, rank, n_ranks);
    cluster_meet(); /* nobody reads a block that has ended */
}

#define STEP_PAGES(HD) step_pages<HD>(job, q, ctx, m, layer, n_ranks, ahead, ahead_bytes)
#else
#define STEP_PAGES(HD) __trap() /* never chosen on this architecture */
#endif

KERNEL(STEP_THREADS, 2)
vt_step_pages_64(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, struct vt_dev_shape m, int layer, int n_ranks,
                  uint64_t ahead, uint32_t ahead_bytes)
{
    STEP_PAGES(64);
}
KERNEL(STEP_THREADS, 2)
vt_step_pages_128(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, struct vt_dev_shape m, int layer, int n_ranks,
                  uint64_t ahead, uint32_t ahead_bytes)
{
    STEP_PAGES(128);
}

#endif
