/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_step.cuh: a step's attention on Hopper. A block takes samples of one group and one key head; each of its warps
 * has 16 queries (some samples, times the query heads that share the key head). Keys come by bulk copies: the prompt's
 * through a ring that all warps read, so that they leave the second-level cache once for all samples of the block; each
 * warp's samples' own through a small ring of the warp. The prompt's keys were there before the step began and are
 * copied while the kernel ahead still runs; the samples' own wait for it, for it writes this step's keys.
 *
 * The blocks of a cluster share the same samples: a sequence's keys are cut into links of 32, link i belongs to block
 * i mod the cluster's size, each block takes its links in order, and what they found is merged through each other's
 * shared memory in the order of their ranks. So a query's bits depend on its own sequence and on the cluster's size,
 * which is the model's: not on who else is in the batch.
 */
#ifndef VT_CUDA_ATTEND_STEP_CUH
#define VT_CUDA_ATTEND_STEP_CUH

#include "cuda/attend.cuh"
#include "cuda/copy.cuh"

enum { STEP_WARPS = 4, STEP_THREADS = 32 * STEP_WARPS, STEP_MOST_STAGES = 6, STEP_OWN_STAGES = 2, STEP_MOST_RANKS = 8 };

#if __CUDA_ARCH__ >= 900

template <int HD> struct step_plan {
    static const int prompt_stages = HD == 64 ? 6 : 3;
    static const int own_keys = HD == 64 ? 32 : 16; /* of a copy of a sample's own */
    static const int prompt_bytes = 2 * ATTEND_KEYS * HD * 2, own_bytes = 2 * own_keys * HD * 2;
    static const int all_bytes = prompt_stages * prompt_bytes + STEP_WARPS * STEP_OWN_STAGES * own_bytes;
};

struct step_room { /* behind the stages */
    uint64_t full[STEP_MOST_STAGES], empty[STEP_MOST_STAGES], own_full[STEP_WARPS][STEP_OWN_STAGES];
    uint64_t record[STEP_WARPS * VT_DEV_TILE_ROWS];
    int end[STEP_WARPS * VT_DEV_TILE_ROWS]; /* keys a sample attends to; 0: none */
};

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
    if (w.key % ATTEND_KEYS == 0)
        w.key += w.jump; /* the other blocks' links */
}

/* One lane: keys and values of n keys from `key` of the sequence whose page table stands behind `record`. */
template <int HD>
DEVICE void step_copy(char *to, uint64_t entry, int key, int n, int kv, int layer, int64_t layer_stride, uint64_t *full)
{
    const char *from = page_of<HD>(entry, kv, layer, layer_stride).keys + key % VT_DEV_PAGE_KEYS * HD * 2;
    barrier_expect(full, 2 * n * HD * 2);
    copy_bytes(to, from, n * HD * 2, full);
    copy_bytes(to + n * HD * 2, from + VT_DEV_PAGE_KEYS * HD * 2, n * HD * 2, full);
}

DEVICE uint64_t step_entry(uint64_t record, int key)
{
    return at<const uint64_t>(record + sizeof(struct vt_dev_slot))[key / VT_DEV_PAGE_KEYS];
}

/* This block's part of the queries' attention. */
template <int HD>
DEVICE void step_links(attention<HD> &a, const struct vt_dev_job *job, const bf16 *q, const struct vt_dev_tile &tile, char *stages,
                       struct step_room *room, const struct vt_dev_shape &m, int layer, int rank, int n_ranks)
{
    typedef step_plan<HD> plan;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, kv = blockIdx.y;
    const int group_heads = m.n_heads / m.n_kv_heads;
    const int per_sample = group_heads < VT_DEV_TILE_ROWS ? group_heads : VT_DEV_TILE_ROWS;
    const int per_warp = VT_DEV_TILE_ROWS / per_sample;
    const int n_links = (tile.n_shared * (VT_DEV_PAGE_KEYS / ATTEND_KEYS) - rank + n_ranks - 1) / n_ranks; /* of the prompt */
    char *own = stages + plan::prompt_stages * plan::prompt_bytes + warp * STEP_OWN_STAGES * plan::own_bytes;
    /* A lane a stage, so that the page table is read once for all. */
    if ((int)threadIdx.x < min(n_links, (int)plan::prompt_stages)) {
        const int key = (rank + (int)threadIdx.x * n_ranks) * ATTEND_KEYS;
        step_copy<HD>(stages + threadIdx.x * plan::prompt_bytes, step_entry(room->record[0], key), key, ATTEND_KEYS, kv, layer,
                      m.layer_stride, &room->full[threadIdx.x]);
    }
    __syncwarp();
    wait_ahead();
    int sample[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = g + 8 * i, s = warp * per_warp + r / per_sample, head = tile.head0 + r % per_sample;
        const bool is_row = r < per_warp * per_sample && s < tile.n && head < group_heads;
        sample[i] = is_row ? s : -1;
        attention_query<HD>(a, i, is_row ? q + ((size_t)(tile.row0 + s) * m.n_heads + kv * group_heads + head) * HD : nullptr);
    }
    /* The first own link that is this block's. */
    const int shared_links = tile.n_shared * (VT_DEV_PAGE_KEYS / ATTEND_KEYS);
    const int first = (shared_links + (rank + n_ranks - shared_links % n_ranks) % n_ranks) * ATTEND_KEYS;
    struct step_walk w = {warp * per_warp, min(tile.n, (warp + 1) * per_warp), first, first, plan::own_keys,
                          (n_ranks - 1) * ATTEND_KEYS};
    struct step_walk ahead = w; /* of the copies */
    uint64_t entry = step_is_there(ahead, room) ? step_entry(room->record[ahead.sample], ahead.key) : 0;
    for (int i = 0; i < STEP_OWN_STAGES && entry; i++) {
        if (lane == 0)
            step_copy<HD>(own + i * plan::own_bytes, entry, ahead.key, plan::own_keys, kv, layer, m.layer_stride,
                          &room->own_full[warp][i]);
        step_on(ahead);
        entry = step_is_there(ahead, room) ? step_entry(room->record[ahead.sample], ahead.key) : 0;
    }
    for (int i = 0, s = 0, turn = 0; i < n_links; i++) {
        barrier_wait(&room->full[s], turn);
        const in_shared<HD, ATTEND_KEYS> link = {stages + s * plan::prompt_bytes};
        attend_keys<HD, ATTEND_KEYS>(a, link, 0, ATTEND_KEYS, ATTEND_KEYS, m.scale_log2);
        __syncwarp();
        if (lane == 0)
            barrier_arrive(&room->empty[s]);
        if (threadIdx.x == 0 && i + plan::prompt_stages < n_links) {
            const int key = (rank + (i + plan::prompt_stages) * n_ranks) * ATTEND_KEYS;
            const uint64_t next = step_entry(room->record[0], key);
            barrier_wait(&room->empty[s], turn);
            step_copy<HD>(stages + s * plan::prompt_bytes, next, key, ATTEND_KEYS, kv, layer, m.layer_stride, &room->full[s]);
        }
        __syncwarp();
        if (++s == plan::prompt_stages) {
            s = 0;
            turn ^= 1;
        }
    }
    for (int s = 0, turn = 0; step_is_there(w, room); step_on(w)) {
        const int seen = room->end[w.sample] - w.key;
        barrier_wait(&room->own_full[warp][s], turn);
        const in_shared<HD, plan::own_keys> part = {own + s * plan::own_bytes};
        attend_keys<HD, plan::own_keys>(a, part, 0, sample[0] == w.sample ? seen : 0, sample[1] == w.sample ? seen : 0, m.scale_log2);
        __syncwarp();
        if (entry) {
            if (lane == 0)
                step_copy<HD>(own + s * plan::own_bytes, entry, ahead.key, plan::own_keys, kv, layer, m.layer_stride,
                              &room->own_full[warp][s]);
            step_on(ahead);
            entry = step_is_there(ahead, room) ? step_entry(room->record[ahead.sample], ahead.key) : 0;
        }
        if (++s == STEP_OWN_STAGES) {
            s = 0;
            turn ^= 1;
        }
    }
    attention_end<HD>(a);
}

/* What a warp found, in shared memory: [row][HD + 4]: columns, maximum, sum. */
template <int HD> DEVICE void step_show(const attention<HD> &a, float *parts)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float *row = parts + (warp * VT_DEV_TILE_ROWS + g + 8 * i) * (HD + 4);
#pragma unroll
        for (int e = 0; e < HD / 64; e++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int t = 0; t < 8; t += 4)
                    *reinterpret_cast<float4 *>(row + 64 * e + 16 * (lane % 4) + 8 * half + t) =
                        make_float4(a.o[e][t][2 * i + half], a.o[e][t + 1][2 * i + half], a.o[e][t + 2][2 * i + half],
                                    a.o[e][t + 3][2 * i + half]);
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
            const int from = c < n_ranks ? c : 0;
            top[c] = shared_load_at(here + HD * 4, from);
            share[c] = shared_load_at(here + HD * 4 + 4, from);
            v[c][0] = shared_load4_at(here + column * 4, from);
            v[c][1] = shared_load4_at(here + column * 4 + 16, from);
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

/* grid: (blocks of samples * cluster, key heads). Shared memory: stages, then the room. */
template <int HD>
DEVICE void step_pages(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, const struct vt_dev_shape &m, int layer, int n_ranks)
{
    char *stages = reinterpret_cast<char *>(dynamic_shared);
    struct step_room *room = reinterpret_cast<struct step_room *>(stages + step_plan<HD>::all_bytes);
    const int rank = blockIdx.x % n_ranks, tile_at = (int)blockIdx.x / n_ranks;
    const struct vt_dev_tile tile = tile_at < job->n_tiles ? job->tiles[tile_at]
                                                           : (struct vt_dev_tile){0, 0, 0, 0, 0, 0, 0};
    const uint64_t *rows = job->rows;
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
        const struct vt_dev_slot *slot = at<const struct vt_dev_slot>(rows[tile.row0 + s]);
        room->record[s] = rows[tile.row0 + s];
        /* The last draw moved these: past the first-level cache. */
        const int n_tokens = __ldcg(&slot->n_tokens), finished = __ldcg(&slot->finished);
        room->end[s] = n_tokens > 0 && !finished ? slot->n_prompt + n_tokens : 0;
    }
    __syncthreads();
    attention<HD> a;
    attention_begin<HD>(a);
    if (tile.n)
        step_links<HD>(a, job, q, tile, stages, room, m, layer, rank, n_ranks);
    else
        wait_ahead();
    __syncthreads(); /* the stages are free now */
    float *parts = reinterpret_cast<float *>(stages);
    step_show<HD>(a, parts);
    cluster_sync();
    step_merge<HD>(parts, ctx, tile, m, rank, n_ranks);
    cluster_meet(); /* nobody reads a block that has ended */
}

#define STEP_PAGES(HD) step_pages<HD>(job, q, ctx, m, layer, n_ranks)
#else
#define STEP_PAGES(HD) __trap() /* never chosen on this architecture */
#endif

KERNEL(STEP_THREADS, 2)
vt_step_pages_64(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, struct vt_dev_shape m, int layer, int n_ranks)
{
    STEP_PAGES(64);
}
KERNEL(STEP_THREADS, 2)
vt_step_pages_128(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, struct vt_dev_shape m, int layer, int n_ranks)
{
    STEP_PAGES(128);
}

#endif
