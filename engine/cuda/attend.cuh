/* SPDX-License-Identifier: Apache-2.0
 *
 * attend.cuh: causal attention over pages of 64 keys. The unit of work is a warp with 16 queries; keys and values go
 * from memory straight into the registers that the matrix instructions read, 16 bytes a load, without shared memory:
 *   scores: the order of the head's elements inside a dot product is free, so lane (g, q) takes elements 8 q .. 8 q + 7
 *   of key g in one load, which serves two instructions, and queries are laid out alike;
 *   values: the columns of the result may be numbered freely too, so lane (g, q) takes columns 8 g .. 8 g + 7 of four
 *   keys and pairs them up with byte permutes; a lane then owns 16 neighbouring columns of its rows.
 * The keys of a page, and its values, stand in tiles of 64 rows by 64 elements (128 bytes a row), whose 16-byte pieces
 * are swizzled: piece c of row r stands at c ^ (r mod 8), as Hopper's matrix instructions read shared memory.
 * A step (one token a sample) has the samples of a group, times the query heads that share a key head, as the queries of
 * a tile: the prompt is read for all of them at once, each sample's own keys for its rows only. The blocks of keys of a
 * tile are dealt to the warps of a block in a fixed order and merged in that order at the end. A wide pass has
 * consecutive tokens of one sequence as the queries of a warp, and walks the sequence's page table.
 */
#ifndef VT_CUDA_ATTEND_CUH
#define VT_CUDA_ATTEND_CUH

#include "cuda/common.cuh"

enum { ATTEND_KEYS = 32 }; /* keys a warp takes at once, and of a link of a chain of partial results */

template <int HD> struct attention {
    uint4 q[HD / 32][2];    /* rows g and g + 8; elements 32 c + 8 q .. + 8 */
    float o[HD / 64][8][4]; /* column group e, tile t: columns 64 e + 16 q + t (0: row g, 2: row g + 8), + 8 (1, 3) */
    float m[2], l[2];       /* rows g, g + 8: maximum in units of log2; sum of this lane's columns */
};

template <int HD> DEVICE void attention_begin(attention<HD> &a)
{
#pragma unroll
    for (int e = 0; e < HD / 64; e++)
#pragma unroll
        for (int t = 0; t < 8; t++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                a.o[e][t][i] = 0;
    a.m[0] = a.m[1] = -CUDART_INF_F;
    a.l[0] = a.l[1] = 0;
}

template <int HD> DEVICE void attention_query(attention<HD> &a, int row, const bf16 *q)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int c = 0; c < HD / 32; c++)
        a.q[c][row] = q ? load16(q + 32 * c + 8 * (lane % 4)) : make_uint4(0, 0, 0, 0);
}

/* Where piece `piece` (eight elements) of row `row` stands in n rows of a page's keys or values. */
DEVICE int piece_at(int row, int piece, int n)
{
    return (piece / 8 * n + row) * 128 + ((piece % 8) ^ (row % 8)) * 16;
}

/* A page's keys and values in device memory. */
template <int HD> struct page_rows {
    const char *keys; /* values stand behind the page's keys */
    DEVICE_MEMBER uint4 key(int row, int piece) const
    {
        return load16(keys + piece_at(row, piece, VT_DEV_PAGE_KEYS));
    }
    DEVICE_MEMBER uint4 value(int row, int piece) const
    {
        return load16(keys + VT_DEV_PAGE_KEYS * HD * 2 + piece_at(row, piece, VT_DEV_PAGE_KEYS));
    }
};

/* Eight keys from `key`, a multiple of 8. */
template <int HD> DEVICE void load_keys(uint4 (&k)[HD / 32], const page_rows<HD> &from, int key)
{
    const int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
#pragma unroll
    for (int c = 0; c < HD / 32; c++)
        k[c] = from.key(key + g, 4 * c + q);
}

/* Column group e of the values of 16 keys from `key`, a multiple of 16. */
template <int HD> DEVICE void load_values(uint4 (&v)[4], int e, const page_rows<HD> &from, int key)
{
    const int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = key + 2 * q + (i & 1) + 8 * (i >> 1);
        v[i] = from.value(row, 8 * e + g);
    }
}

/* N keys from key0, a multiple of 16; rows g and g + 8 see the keys below seen0 and seen1. */
template <int HD, int N>
DEVICE void attend_keys(attention<HD> &a, const page_rows<HD> &from, int key0, int seen0, int seen1, float scale)
{
    const int lane = threadIdx.x % 32, q = lane % 4;
    uint4 k[N / 8][HD / 32], v[N / 16][HD / 64][4];
    /* All reads are begun before the first is used, as far as registers last. */
#pragma unroll
    for (int t = 0; t < N / 8; t++)
        load_keys<HD>(k[t], from, key0 + 8 * t);
#pragma unroll
    for (int j = 0; j < N / 16; j++)
        load_values<HD>(v[j][0], 0, from, key0 + 16 * j);
    float s[N / 8][4];
#pragma unroll
    for (int t = 0; t < N / 8; t++) {
        s[t][0] = s[t][1] = s[t][2] = s[t][3] = 0;
#pragma unroll
        for (int c = 0; c < HD / 32; c++) {
            const uint32_t first[4] = {a.q[c][0].x, a.q[c][1].x, a.q[c][0].y, a.q[c][1].y};
            const uint32_t second[4] = {a.q[c][0].z, a.q[c][1].z, a.q[c][0].w, a.q[c][1].w};
            mma16816(s[t], first, k[t][c].x, k[t][c].y);
            mma16816(s[t], second, k[t][c].z, k[t][c].w);
        }
    }
    if constexpr (HD > 64) { /* the registers of the keys are free now */
#pragma unroll
        for (int j = 0; j < N / 16; j++)
            load_values<HD>(v[j][1], 1, from, key0 + 16 * j);
    }
    float top0 = -CUDART_INF_F, top1 = -CUDART_INF_F;
#pragma unroll
    for (int t = 0; t < N / 8; t++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int key = key0 + 8 * t + 2 * q + i;
            s[t][i] = key < seen0 ? s[t][i] * scale : -CUDART_INF_F;
            s[t][2 + i] = key < seen1 ? s[t][2 + i] * scale : -CUDART_INF_F;
            top0 = fmaxf(top0, s[t][i]);
            top1 = fmaxf(top1, s[t][2 + i]);
        }
#pragma unroll
    for (int o = 1; o <= 2; o <<= 1) {
        top0 = fmaxf(top0, __shfl_xor_sync(0xffffffffu, top0, o));
        top1 = fmaxf(top1, __shfl_xor_sync(0xffffffffu, top1, o));
    }
    top0 = fmaxf(top0, a.m[0]);
    top1 = fmaxf(top1, a.m[1]);
    const float base0 = top0 == -CUDART_INF_F ? 0 : top0, base1 = top1 == -CUDART_INF_F ? 0 : top1;
    const float fade0 = exp2_fast(a.m[0] - base0), fade1 = exp2_fast(a.m[1] - base1);
    a.m[0] = top0;
    a.m[1] = top1;
    float sum0 = 0, sum1 = 0;
#pragma unroll
    for (int t = 0; t < N / 8; t++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            s[t][i] = exp2_fast(s[t][i] - base0);
            s[t][2 + i] = exp2_fast(s[t][2 + i] - base1);
            sum0 += s[t][i];
            sum1 += s[t][2 + i];
        }
    a.l[0] = a.l[0] * fade0 + sum0;
    a.l[1] = a.l[1] * fade1 + sum1;
#pragma unroll
    for (int e = 0; e < HD / 64; e++)
#pragma unroll
        for (int t = 0; t < 8; t++) {
            a.o[e][t][0] *= fade0;
            a.o[e][t][1] *= fade0;
            a.o[e][t][2] *= fade1;
            a.o[e][t][3] *= fade1;
        }
#pragma unroll
    for (int j = 0; j < N / 16; j++) {
        const uint32_t p[4] = {pack2(s[2 * j][0], s[2 * j][1]), pack2(s[2 * j][2], s[2 * j][3]),
                               pack2(s[2 * j + 1][0], s[2 * j + 1][1]), pack2(s[2 * j + 1][2], s[2 * j + 1][3])};
#pragma unroll
        for (int e = 0; e < HD / 64; e++) {
            const uint32_t w[4][4] = {{v[j][e][0].x, v[j][e][0].y, v[j][e][0].z, v[j][e][0].w},
                                      {v[j][e][1].x, v[j][e][1].y, v[j][e][1].z, v[j][e][1].w},
                                      {v[j][e][2].x, v[j][e][2].y, v[j][e][2].z, v[j][e][2].w},
                                      {v[j][e][3].x, v[j][e][3].y, v[j][e][3].z, v[j][e][3].w}};
#pragma unroll
            for (int t = 0; t < 8; t++) {
                const uint32_t pick = t & 1 ? 0x7632 : 0x5410;
                mma16816(a.o[e][t], p, __byte_perm(w[0][t / 2], w[1][t / 2], pick), __byte_perm(w[2][t / 2], w[3][t / 2], pick));
            }
        }
    }
}

/* A whole page; most: no row sees more keys than that (the same on all lanes). */
template <int HD>
DEVICE void attend_page(attention<HD> &a, const page_rows<HD> &from, int seen0, int seen1, int most, float scale)
{
    attend_keys<HD, ATTEND_KEYS>(a, from, 0, seen0, seen1, scale);
    if (most > ATTEND_KEYS)
        attend_keys<HD, ATTEND_KEYS>(a, from, ATTEND_KEYS, seen0, seen1, scale);
}

/* Sums over all columns; call once, after the last page. */
template <int HD> DEVICE void attention_end(attention<HD> &a)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        a.l[i] += __shfl_xor_sync(0xffffffffu, a.l[i], 1);
        a.l[i] += __shfl_xor_sync(0xffffffffu, a.l[i], 2);
    }
}

template <int HD> DEVICE page_rows<HD> page_of(uint64_t entry, int kv, int layer, int64_t layer_stride)
{
    const uint64_t base = (entry & ~(uint64_t)1) + ((entry & 1) ? 0 : (uint64_t)layer * layer_stride);
    page_rows<HD> m;
    m.keys = at<const char>(base + (uint64_t)kv * (2 * VT_DEV_PAGE_KEYS * HD * 2));
    return m;
}

/* --- a step --- */

/* Tiles of 16 queries, one a warp row; N_SPLITS warps share the pages of a tile. grid: (tiles / tiles of a block, key
 * heads); block: 32 * splits * tiles of a block; shared memory: HD * 16 + 32 floats a warp. */
template <int HD>
DEVICE void step_attend(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, const int32_t *pos, struct vt_dev_shape m,
                        int layer, int n_splits)
{
    float *shared = reinterpret_cast<float *>(dynamic_shared);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, split = warp % n_splits;
    const int per_block = blockDim.x / 32 / n_splits, tile_at = blockIdx.x * per_block + warp / n_splits, kv = blockIdx.y;
    const int group_heads = m.n_heads / m.n_kv_heads;
    const int per_sample = group_heads < VT_DEV_TILE_ROWS ? group_heads : VT_DEV_TILE_ROWS;
    wait_ahead();
    const bool is_there = tile_at < job->n_tiles;
    const struct vt_dev_tile tile =
        is_there ? job->tiles[tile_at] : (struct vt_dev_tile){0, 0, 0, 0, 0, 0, 0};
    const uint64_t *rows = job->rows;
    attention<HD> a;
    attention_begin<HD>(a);
    int sample[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = g + 8 * i, s = r / per_sample, head = tile.head0 + r % per_sample;
        const bool is_row = s < tile.n && head < group_heads && r < VT_DEV_TILE_ROWS / per_sample * per_sample;
        sample[i] = is_row ? s : -1;
        attention_query<HD>(
            a, i, is_row ? q + ((size_t)(tile.row0 + s) * m.n_heads + kv * group_heads + head) * HD : nullptr);
    }
    int turn = 0;
    if (tile.n > 0) {
        const uint64_t *table = at<const uint64_t>(rows[tile.row0] + sizeof(struct vt_dev_slot));
        for (; turn < tile.n_shared; turn++)
            if (turn % n_splits == split)
                attend_page<HD>(a, page_of<HD>(table[turn], kv, layer, m.layer_stride), VT_DEV_PAGE_KEYS, VT_DEV_PAGE_KEYS,
                                VT_DEV_PAGE_KEYS, m.scale_log2);
    }
    for (int s = 0; s < tile.n; s++) {
        const int p = pos[tile.row0 + s];
        const uint64_t *table = at<const uint64_t>(rows[tile.row0 + s] + sizeof(struct vt_dev_slot));
        for (int b = tile.n_shared; b * VT_DEV_PAGE_KEYS <= p; b++, turn++) {
            if (turn % n_splits != split)
                continue;
            const int seen = min(VT_DEV_PAGE_KEYS, p + 1 - b * VT_DEV_PAGE_KEYS);
            attend_page<HD>(a, page_of<HD>(table[b], kv, layer, m.layer_stride), sample[0] == s ? seen : 0,
                            sample[1] == s ? seen : 0, seen, m.scale_log2);
        }
    }
    release_next();
    attention_end<HD>(a);
    /* Each warp's part: 16 rows of HD columns, then maxima and sums. */
    float *part = shared + (size_t)warp * (VT_DEV_TILE_ROWS * HD + 2 * VT_DEV_TILE_ROWS);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int e = 0; e < HD / 64; e++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float *to = part + (g + 8 * i) * HD + 64 * e + 16 * (lane % 4) + 8 * half;
#pragma unroll
                for (int t = 0; t < 8; t += 4)
                    *reinterpret_cast<float4 *>(to + t) =
                        make_float4(a.o[e][t][2 * i + half], a.o[e][t + 1][2 * i + half], a.o[e][t + 2][2 * i + half],
                                    a.o[e][t + 3][2 * i + half]);
            }
    if (lane % 4 == 0) {
        part[VT_DEV_TILE_ROWS * HD + g] = a.m[0];
        part[VT_DEV_TILE_ROWS * HD + g + 8] = a.m[1];
        part[VT_DEV_TILE_ROWS * HD + VT_DEV_TILE_ROWS + g] = a.l[0];
        part[VT_DEV_TILE_ROWS * HD + VT_DEV_TILE_ROWS + g + 8] = a.l[1];
    }
    __syncthreads();
    if (!is_there)
        return;
    /* The warps of a tile share its rows: row r, eight columns a lane. */
    const float *first = shared + (size_t)(warp - split) * (VT_DEV_TILE_ROWS * HD + 2 * VT_DEV_TILE_ROWS);
    const size_t part_size = VT_DEV_TILE_ROWS * HD + 2 * VT_DEV_TILE_ROWS;
    for (int i = split * 32 + lane; i < VT_DEV_TILE_ROWS * (HD / 8); i += n_splits * 32) {
        const int r = i / (HD / 8), column = i % (HD / 8) * 8, s = r / per_sample, head = tile.head0 + r % per_sample;
        if (s >= tile.n || head >= group_heads || column >= m.head_dim || r >= VT_DEV_TILE_ROWS / per_sample * per_sample)
            continue;
        float top = -CUDART_INF_F, sum = 0, out[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (int w = 0; w < n_splits; w++)
            top = fmaxf(top, first[w * part_size + VT_DEV_TILE_ROWS * HD + r]);
        const float base = top == -CUDART_INF_F ? 0 : top;
        for (int w = 0; w < n_splits; w++) {
            const float *from = first + w * part_size;
            const float weight = exp2_fast(from[VT_DEV_TILE_ROWS * HD + r] - base);
            sum += weight * from[VT_DEV_TILE_ROWS * HD + VT_DEV_TILE_ROWS + r];
#pragma unroll
            for (int c = 0; c < 8; c++)
                out[c] += weight * from[r * HD + column + c];
        }
        const float inv = sum > 0 ? 1.0f / sum : 0;
        *reinterpret_cast<uint4 *>(ctx + (size_t)(tile.row0 + s) * m.q_dim + (size_t)(kv * group_heads + head) * m.head_dim +
                                   column) = make_uint4(pack2(out[0] * inv, out[1] * inv), pack2(out[2] * inv, out[3] * inv),
                                                        pack2(out[4] * inv, out[5] * inv), pack2(out[6] * inv, out[7] * inv));
    }
}

KERNEL(256, 1)
vt_step_attend_64(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, const int32_t *pos, struct vt_dev_shape m, int layer,
                  int n_splits)
{
    step_attend<64>(job, q, ctx, pos, m, layer, n_splits);
}
KERNEL(256, 1)
vt_step_attend_128(const struct vt_dev_job *job, const bf16 *q, bf16 *ctx, const int32_t *pos, struct vt_dev_shape m, int layer,
                   int n_splits)
{
    step_attend<128>(job, q, ctx, pos, m, layer, n_splits);
}

/* --- a wide pass --- */

/* A warp takes 16 queries: tokens of a tile, each with the heads of its key head. lse, where given: log2 of the sum of a
 * query's weights, [row][head]. grid: (tiles / 8, key heads). */
template <int HD>
DEVICE void wide_attend(const struct vt_dev_tile *tiles, int n_tiles, const bf16 *q, bf16 *ctx, float *lse, struct vt_dev_shape m,
                        int layer)
{
    const int lane = threadIdx.x % 32, g = lane / 4, kv = blockIdx.y;
    const int tile_at = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (tile_at >= n_tiles)
        return;
    const int group_heads = m.n_heads / m.n_kv_heads;
    const int per_token = group_heads < VT_DEV_TILE_ROWS ? group_heads : VT_DEV_TILE_ROWS;
    const struct vt_dev_tile tile = tiles[tile_at];
    attention<HD> a;
    attention_begin<HD>(a);
    int token[2], head[2];
    bool is_row[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = g + 8 * i;
        token[i] = r / per_token;
        head[i] = kv * group_heads + tile.head0 + r % per_token;
        is_row[i] = token[i] < tile.n && tile.head0 + r % per_token < group_heads &&
                    r < VT_DEV_TILE_ROWS / per_token * per_token;
        attention_query<HD>(a, i, is_row[i] ? q + ((size_t)(tile.row0 + token[i]) * m.n_heads + head[i]) * HD : nullptr);
    }
    const uint64_t *table = at<const uint64_t>(tile.table);
    const int last = tile.pos0 + tile.n - 1;
    for (int b = 0; b * VT_DEV_PAGE_KEYS <= last; b++) {
        const int first_key = b * VT_DEV_PAGE_KEYS;
        attend_page<HD>(a, page_of<HD>(table[b], kv, layer, m.layer_stride), tile.pos0 + token[0] + 1 - first_key,
                        tile.pos0 + token[1] + 1 - first_key, last + 1 - first_key, m.scale_log2);
    }
    attention_end<HD>(a);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (!is_row[i])
            continue;
        const float inv = 1.0f / a.l[i];
        if (lse && lane % 4 == 0)
            lse[(size_t)(tile.row0 + token[i]) * m.n_heads + head[i]] = a.m[i] + __log2f(a.l[i]);
        bf16 *out = ctx + (size_t)(tile.row0 + token[i]) * m.q_dim + (size_t)head[i] * m.head_dim;
#pragma unroll
        for (int e = 0; e < HD / 64; e++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int column = 64 * e + 16 * (lane % 4) + 8 * half;
                const int c = 2 * i + half;
                if (column < m.head_dim)
                    *reinterpret_cast<uint4 *>(out + column) =
                        make_uint4(pack2(a.o[e][0][c] * inv, a.o[e][1][c] * inv), pack2(a.o[e][2][c] * inv, a.o[e][3][c] * inv),
                                   pack2(a.o[e][4][c] * inv, a.o[e][5][c] * inv), pack2(a.o[e][6][c] * inv, a.o[e][7][c] * inv));
            }
    }
}

KERNEL(256, 1)
vt_wide_attend_64(const struct vt_dev_tile *tiles, int n_tiles, const bf16 *q, bf16 *ctx, float *lse, struct vt_dev_shape m, int layer)
{
    wide_attend<64>(tiles, n_tiles, q, ctx, lse, m, layer);
}
KERNEL(256, 1)
vt_wide_attend_128(const struct vt_dev_tile *tiles, int n_tiles, const bf16 *q, bf16 *ctx, float *lse, struct vt_dev_shape m,
                   int layer)
{
    wide_attend<128>(tiles, n_tiles, q, ctx, lse, m, layer);
}

#endif
