/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_back.cuh: the gradient of attention over a training batch, whose completions share their prompts (Dao, 2023,
 * with the prompt's keys in common). With S = scale Q K', P = 2^(S log2 e - L), D = rowsum(dO . O):
 *     dV = P' dO,   dS = P . (dO V' - D) scale,   dQ = dS K,   dK = dS' Q.
 * Rows are packed: a prompt, its completions one after another. Queries and keys, rotated, and the gradient of the
 * output lie in plain rows. One kernel gives dQ (a block has 64 queries and walks the prompt's keys, then its own), the
 * other dK and dV (a block has 64 keys and walks the tokens that see them). All completions of a prompt see its keys, so
 * those tokens are cut into parts at fixed places, whose sums are added in order at the end: the same batch gives the
 * same bits.
 */
#ifndef VT_CUDA_ATTEND_BACK_CUH
#define VT_CUDA_ATTEND_BACK_CUH

#include "cuda/attend.cuh"

enum { BACK_THREADS = 128, BACK_KEYS = 64, BACK_TURN = 32 };

/* What both kernels read; row-major. */
struct back_rows {
    const bf16 *q;            /* [row][head][head_pad] */
    const bf16 *kv;           /* [row][K heads, V heads][head_pad] */
    const bf16 *d_out;        /* [row][head][head_dim] */
    const float *lse, *delta; /* [row][head] */
};

/* Keys and values of n <= 64 rows from `row` into shared memory, tiles of 64 rows; beyond n zeros. */
template <int HD>
DEVICE void back_load_keys(uint32_t to, const struct back_rows &in, const struct vt_dev_shape &m, int row, int n, int kv)
{
    const bf16 *first = in.kv + ((size_t)row * 2 * m.n_kv_heads + kv) * HD;
    const size_t step = (size_t)2 * m.n_kv_heads * HD;
    for (int i = threadIdx.x; i < BACK_KEYS * (HD / 8); i += BACK_THREADS) {
        const int r = i / (HD / 8), piece = i % (HD / 8);
        const bf16 *from = first + (r < n ? r : 0) * step + piece * 8;
        copy_async(to + piece_at(r, piece, BACK_KEYS), from, r < n);
        copy_async(to + BACK_KEYS * HD * 2 + piece_at(r, piece, BACK_KEYS), from + (size_t)m.n_kv_heads * HD, r < n);
    }
}

/* Rows g and g + 8 of a lane as the matrix instruction takes them; n: elements of a row that are there. */
template <int HD> DEVICE void back_load_row(uint32_t (&to)[HD / 16][4], int i, const bf16 *row, int n)
{
    const int q = threadIdx.x % 4;
    const uint32_t *pairs = reinterpret_cast<const uint32_t *>(row);
#pragma unroll
    for (int k = 0; k < HD / 16; k++) {
        to[k][i] = row && 2 * (8 * k + q) < n ? pairs[8 * k + q] : 0;
        to[k][2 + i] = row && 2 * (8 * k + 4 + q) < n ? pairs[8 * k + 4 + q] : 0;
    }
}

/* d[4 t + …] += rows of a (in registers) times 32 rows of a tile of N, from row `row`. */
template <int HD, int N> DEVICE void back_scores(float (&d)[16], const uint32_t (&a)[HD / 16][4], uint32_t tile, int row)
{
    const int lane = threadIdx.x % 32, r = lane % 8, which = lane / 8;
#pragma unroll
    for (int t = 0; t < 4; t++) {
        float s[4] = {0, 0, 0, 0};
#pragma unroll
        for (int c = 0; c < HD / 32; c++) {
            uint32_t b[4];
            load_matrices(b, tile + piece_at(row + 8 * t + r, 4 * c + which, N));
            mma16816(s, a[2 * c], b[0], b[1]);
            mma16816(s, a[2 * c + 1], b[2], b[3]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            d[4 * t + i] = s[i];
    }
}

/* Sixteen rows by 32 weights, packed. */
DEVICE void back_pack(uint32_t (&p)[2][4], const float (&s)[16])
{
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            p[j][i] = pack2(s[8 * j + 2 * i], s[8 * j + 2 * i + 1]);
}

/* acc += weights times 32 rows of a tile of N, from row `row`. */
template <int HD, int N> DEVICE void back_gather(float (&acc)[HD / 2], const uint32_t (&p)[2][4], uint32_t tile, int row)
{
    const int lane = threadIdx.x % 32, r = lane % 8, which = lane / 8;
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
        for (int n = 0; n < HD / 8; n += 2) {
            uint32_t b[4];
            float(&low)[4] = *reinterpret_cast<float(*)[4]>(&acc[4 * n]);
            float(&high)[4] = *reinterpret_cast<float(*)[4]>(&acc[4 * n + 4]);
            load_matrices_turned(b, tile + piece_at(row + 16 * j + which % 2 * 8 + r, n + which / 2, N));
            mma16816(low, p[j], b[0], b[1]);
            mma16816(high, p[j], b[2], b[3]);
        }
}

/* --- queries --- */

/* 64 queries of a span, a warp's sixteen in registers, and the blocks of keys that they see: the prompt's, then the
 * span's own as far as the last of them. */
template <int HD> struct back_tile {
    struct vt_dev_span span;
    uint32_t q[HD / 16][4], d_out[HD / 16][4];
    float lse[2], delta[2]; /* of rows g and g + 8 of a lane */
    int token[2], head[2];  /* token -1: no row */
    int n_prompt, n_blocks; /* of the prompt; of all keys */
};

template <int HD>
DEVICE void back_tile_load(struct back_tile<HD> &t, const struct vt_dev_span *spans, const struct vt_dev_back_queries &of,
                           const struct back_rows &in, const struct vt_dev_shape &m, int kv)
{
    t.span = spans[of.span];
    const int heads = m.n_heads / m.n_kv_heads, n_queries = t.span.n * heads;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int at_query = of.first + 16 * (threadIdx.x / 32) + threadIdx.x % 32 / 4 + 8 * i;
        const bool is_row = at_query < n_queries;
        t.token[i] = is_row ? at_query / heads : -1;
        t.head[i] = kv * heads + at_query % heads;
        const size_t row = (size_t)(t.span.row0 + t.token[i]) * m.n_heads + t.head[i];
        back_load_row<HD>(t.q, i, is_row ? in.q + row * HD : nullptr, HD);
        back_load_row<HD>(t.d_out, i, is_row ? in.d_out + row * m.head_dim : nullptr, m.head_dim);
        t.lse[i] = is_row ? in.lse[row] : 0;
        t.delta[i] = is_row ? in.delta[row] : 0;
    }
    const int last = min(n_queries - 1, of.first + 63) / heads;
    t.n_prompt = (t.span.n_prompt + BACK_KEYS - 1) / BACK_KEYS;
    t.n_blocks = t.n_prompt + last / BACK_KEYS + 1;
}

/* Begins to copy block b's keys and values, where there is one. */
template <int HD>
DEVICE void back_tile_keys(const struct back_tile<HD> &t, int b, uint32_t to, const struct back_rows &in,
                           const struct vt_dev_shape &m, int kv)
{
    if (b < t.n_blocks) {
        const bool is_own = b >= t.n_prompt;
        const int key = (is_own ? b - t.n_prompt : b) * BACK_KEYS;
        back_load_keys<HD>(to, in, m, (is_own ? t.span.row0 : t.span.prompt_row) + key,
                           min((int)BACK_KEYS, (is_own ? t.span.n : t.span.n_prompt) - key), kv);
    }
    copy_async_commit();
}

/* Keys of block b that row i sees. */
template <int HD> DEVICE int back_tile_seen(const struct back_tile<HD> &t, int b, int i)
{
    return b < t.n_prompt ? t.span.n_prompt - b * BACK_KEYS : t.token[i] + 1 - (b - t.n_prompt) * BACK_KEYS;
}

template <int HD>
DEVICE void back_tile_store(const struct back_tile<HD> &t, const float (&acc)[HD / 2], float *dq, const struct vt_dev_shape &m)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (t.token[i] < 0)
            continue;
        float *out = dq + ((size_t)(t.span.row0 + t.token[i]) * m.n_heads + t.head[i]) * HD + 2 * (threadIdx.x % 4);
#pragma unroll
        for (int n = 0; n < HD / 8; n++)
            *reinterpret_cast<float2 *>(out + 8 * n) = make_float2(acc[4 * n + 2 * i], acc[4 * n + 2 * i + 1]);
    }
}

/* grid: (tiles, key heads). Shared memory: two stages of keys and values. */
template <int HD>
DEVICE void back_queries(const struct vt_dev_span *spans, const struct vt_dev_back_queries *tiles, const struct back_rows &in, float *dq,
                         const struct vt_dev_shape &m)
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
        __syncthreads();
        const uint32_t keys = stages + (b & 1) * stage_bytes, values = keys + BACK_KEYS * HD * 2;
        const int seen[2] = {back_tile_seen<HD>(t, b, 0), back_tile_seen<HD>(t, b, 1)};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float s[16], d[16];
            uint32_t p[2][4];
            back_scores<HD, BACK_KEYS>(s, t.q, keys, 32 * half);
            back_scores<HD, BACK_KEYS>(d, t.d_out, values, 32 * half);
#pragma unroll
            for (int e = 0; e < 16; e++) {
                const int key = 32 * half + e / 4 * 8 + 2 * (lane % 4) + e % 2, i = e / 2 % 2;
                const float w = key < seen[i] ? exp2_fast(s[e] * m.scale_log2 - t.lse[i]) : 0;
                s[e] = w * (d[e] - t.delta[i]) * scale;
            }
            back_pack(p, s);
            back_gather<HD, BACK_KEYS>(acc, p, keys, 32 * half);
        }
        __syncthreads();
    }
    back_tile_store<HD>(t, acc, dq, m);
}

/* --- keys --- */

template <int N> struct back_turn { /* queries of a turn */
    float lse[N], delta[N];
    int seen[N];
};

template <int HD, int N>
DEVICE void back_load_turn(uint32_t to, struct back_turn<N> *t, const struct back_rows &in, const struct vt_dev_shape &m,
                           const struct vt_dev_back_keys &item, int turn, int kv)
{
    const int heads = m.n_heads / m.n_kv_heads, n = item.n_q * heads;
    for (int i = threadIdx.x; i < N * (HD / 8); i += BACK_THREADS) {
        const int r = i / (HD / 8), piece = i % (HD / 8), at_query = turn * N + r;
        const bool is_row = at_query < n;
        const size_t row = (size_t)(item.q_row + (is_row ? at_query / heads : 0)) * m.n_heads + kv * heads + at_query % heads;
        const bool is_there = is_row && piece * 8 < m.head_dim;
        copy_async(to + piece_at(r, piece, N), in.q + row * HD + piece * 8, is_row);
        copy_async(to + N * HD * 2 + piece_at(r, piece, N), in.d_out + row * m.head_dim + (is_there ? piece * 8 : 0),
                   is_there);
    }
    if (threadIdx.x < N) {
        const int at_query = turn * N + threadIdx.x;
        const bool is_row = at_query < n;
        const int token = at_query / heads;
        const size_t row = (size_t)(item.q_row + token) * m.n_heads + kv * heads + at_query % heads;
        t->lse[threadIdx.x] = is_row ? in.lse[row] : 0;
        t->delta[threadIdx.x] = is_row ? in.delta[row] : 0;
        t->seen[threadIdx.x] = is_row ? token + item.seen0 : 0;
    }
}

/* Sixteen rows of a tile of 64, as the matrix instruction's left factor, for elements 16 k .. 16 k + 15. */
DEVICE void back_left(uint32_t (&a)[4], uint32_t tile, int row, int k)
{
    const int lane = threadIdx.x % 32, r = lane % 8, which = lane / 8;
    load_matrices(a, tile + piece_at(row + (which & 1) * 8 + r, 2 * k + (which >> 1), BACK_KEYS));
}

/* d = 16 rows of a tile of 64 by the turn's 32. */
template <int HD> DEVICE void back_turned_scores(float (&d)[16], uint32_t left, int row, uint32_t right)
{
    const int lane = threadIdx.x % 32, r = lane % 8, which = lane / 8;
#pragma unroll
    for (int i = 0; i < 16; i++)
        d[i] = 0;
#pragma unroll
    for (int c = 0; c < HD / 32; c++) {
        uint32_t a[2][4];
        back_left(a[0], left, row, 2 * c);
        back_left(a[1], left, row, 2 * c + 1);
#pragma unroll
        for (int t = 0; t < 4; t++) {
            uint32_t b[4];
            float(&s)[4] = *reinterpret_cast<float(*)[4]>(&d[4 * t]);
            load_matrices(b, right + piece_at(8 * t + r, 4 * c + which, BACK_TURN));
            mma16816(s, a[0], b[0], b[1]);
            mma16816(s, a[1], b[2], b[3]);
        }
    }
}

/* A warp's 16 keys, from row `row` of the block. */
template <int HD>
DEVICE void back_store_keys(const struct vt_dev_back_keys &item, const float (&dk)[HD / 2], const float (&dv)[HD / 2], int row, int kv,
                            float *dkv, float *parts, const struct vt_dev_shape &m)
{
    const int lane = threadIdx.x % 32, g = lane / 4;
    const size_t to_values = item.part < 0 ? (size_t)m.n_kv_heads * HD : (size_t)BACK_KEYS * HD;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int key = row + g + 8 * i;
        if (key >= item.n_keys)
            continue;
        float *out = item.part < 0 ? dkv + ((size_t)(item.key_row + key) * 2 * m.n_kv_heads + kv) * HD
                                   : parts + (((size_t)item.part * m.n_kv_heads + kv) * 2 * BACK_KEYS + key) * HD;
        out += 2 * (lane % 4);
#pragma unroll
        for (int n = 0; n < HD / 8; n++) {
            *reinterpret_cast<float2 *>(out + 8 * n) = make_float2(dk[4 * n + 2 * i], dk[4 * n + 2 * i + 1]);
            *reinterpret_cast<float2 *>(out + to_values + 8 * n) = make_float2(dv[4 * n + 2 * i], dv[4 * n + 2 * i + 1]);
        }
    }
}

/* parts: [part][key head][dK, dV][64][head_pad]. grid: (items, key heads). Shared memory: keys and values, two stages of
 * queries and gradients of the output, two turns. */
template <int HD>
DEVICE void back_keys(const struct vt_dev_back_keys *items, const struct back_rows &in, float *dkv, float *parts,
                      const struct vt_dev_shape &m)
{
    const int tile_bytes = BACK_KEYS * HD * 2, turn_bytes = BACK_TURN * HD * 2, stage_bytes = 2 * turn_bytes;
    const int lane = threadIdx.x % 32, g = lane / 4, row = 16 * (threadIdx.x / 32), kv = blockIdx.y;
    const struct vt_dev_back_keys item = items[blockIdx.x];
    const uint32_t keys = shared_address(dynamic_shared), values = keys + tile_bytes, stages = values + tile_bytes;
    struct back_turn<BACK_TURN> *turns =
        reinterpret_cast<struct back_turn<BACK_TURN> *>(reinterpret_cast<char *>(dynamic_shared) + 2 * tile_bytes + 2 * stage_bytes);
    const int n_turns = (item.n_q * (m.n_heads / m.n_kv_heads) + BACK_TURN - 1) / BACK_TURN;
    const float scale = m.scale_log2 * 0.69314718056f;
    float dk[HD / 2], dv[HD / 2];
#pragma unroll
    for (int i = 0; i < HD / 2; i++)
        dk[i] = dv[i] = 0;
    back_load_keys<HD>(keys, in, m, item.key_row, item.n_keys, kv);
    for (int turn = -1; turn < n_turns; turn++) {
        if (turn + 1 < n_turns)
            back_load_turn<HD, BACK_TURN>(stages + ((turn + 1) & 1) * stage_bytes, &turns[(turn + 1) & 1], in, m, item, turn + 1, kv);
        copy_async_commit();
        if (turn < 0)
            continue;
        copy_async_wait<1>();
        __syncthreads();
        const uint32_t q = stages + (turn & 1) * stage_bytes, d_out = q + turn_bytes;
        const struct back_turn<BACK_TURN> *t = &turns[turn & 1];
        float s[16], d[16];
        uint32_t p[2][4];
        back_turned_scores<HD>(s, keys, row, q);
        back_turned_scores<HD>(d, values, row, d_out);
#pragma unroll
        for (int e = 0; e < 16; e++) {
            const int at_query = e / 4 * 8 + 2 * (lane % 4) + e % 2, key = row + g + e / 2 % 2 * 8;
            s[e] = key < t->seen[at_query] ? exp2_fast(s[e] * m.scale_log2 - t->lse[at_query]) : 0;
            d[e] = s[e] * (d[e] - t->delta[at_query]) * scale;
        }
        back_pack(p, s);
        back_gather<HD, BACK_TURN>(dv, p, d_out, 0);
        back_pack(p, d);
        back_gather<HD, BACK_TURN>(dk, p, q, 0);
        __syncthreads();
    }
    copy_async_wait<0>();
    back_store_keys<HD>(item, dk, dv, row, kv, dkv, parts, m);
}

/* grid: (sums, 2 * key heads). */
KERNEL(256, 1)
vt_back_key_sums(const struct vt_dev_key_sum *sums, const float *parts, float *dkv, struct vt_dev_shape m)
{
    const struct vt_dev_key_sum s = sums[blockIdx.x];
    const int kv = blockIdx.y % m.n_kv_heads, is_v = blockIdx.y / m.n_kv_heads, hd = m.head_pad;
    for (int i = threadIdx.x; i < s.n_keys * hd; i += 256) {
        float sum = 0;
        for (int p = s.part0; p < s.part0 + s.n_parts; p++)
            sum += parts[(((size_t)p * m.n_kv_heads + kv) * 2 + is_v) * BACK_KEYS * hd + i];
        dkv[((size_t)(s.key_row + i / hd) * 2 * m.n_kv_heads + is_v * m.n_kv_heads + kv) * hd + i % hd] = sum;
    }
}

#define BACK_KERNELS(HD)                                                                                                           \
    KERNEL(BACK_THREADS, 2)                                                                                                        \
    vt_back_queries_##HD(const struct vt_dev_span *spans, const struct vt_dev_back_queries *tiles, const bf16 *q, const bf16 *kv,   \
                         const bf16 *d_out, const float *lse, const float *delta, float *dq, struct vt_dev_shape m)                 \
    {                                                                                                                              \
        const struct back_rows in = {q, kv, d_out, lse, delta};                                                                    \
        back_queries<HD>(spans, tiles, in, dq, m);                                                                                 \
    }                                                                                                                              \
    KERNEL(BACK_THREADS, 2)                                                                                                        \
    vt_back_keys_##HD(const struct vt_dev_back_keys *items, const bf16 *q, const bf16 *kv, const bf16 *d_out, const float *lse,      \
                      const float *delta, float *dkv, float *parts, struct vt_dev_shape m)                                         \
    {                                                                                                                              \
        const struct back_rows in = {q, kv, d_out, lse, delta};                                                                    \
        back_keys<HD>(items, in, dkv, parts, m);                                                                                   \
    }

BACK_KERNELS(64)
BACK_KERNELS(128)

#endif
