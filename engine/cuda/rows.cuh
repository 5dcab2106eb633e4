/* SPDX-License-Identifier: Apache-2.0
 *
 * rows.cuh: the work of a row outside matrix products: embedding, RMSNorm (mean of squares and scale in fp32, one
 * rounding to bf16 at the end), rotary positions with the writing of keys and values, SwiGLU. One block a row.
 */
#ifndef VT_CUDA_ROWS_CUH
#define VT_CUDA_ROWS_CUH

#include "cuda/copy.cuh"

enum { NORM_THREADS = 512 }; /* at most; a multiple of 32 */

enum { MOST_LOW = 256 }; /* an adapter's rank */

/* What is still to be added to a row of columns (device.h): a row of vt_dev_sums. */
struct parts {
    const float *first;
    int n_splits;
    int64_t stride;
    const bf16 *low; /* NULL = none */
    int n_low, n_columns;
    float scale;
};

DEVICE struct parts parts_of(const struct vt_dev_sums &s, int row)
{
    struct parts p = {at<const float>(s.first) + (size_t)row * s.ld, s.n,     s.stride, at<const bf16>(s.low),
                      s.n_low,                                       s.n_columns, s.scale};
    return p;
}
DEVICE struct parts no_parts()
{
    struct parts p = {nullptr, 0, 0, nullptr, 0, 0, 0};
    return p;
}

/* scale A x of column j of the low ones, as the product with B takes it. */
DEVICE float low_value(const struct parts &p, int j)
{
    enum { AT_ONCE = 8 };
    float sum = 0;
    for (int s = 0; s < p.n_splits; s += AT_ONCE) {
        float v[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            v[k] = s + k < p.n_splits ? p.first[(s + k) * p.stride + p.n_columns + j] : 0;
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            sum += v[k];
    }
    return __bfloat162float(__float2bfloat16_rn(p.scale * sum));
}

DEVICE float low_eight(uint4 v, const float *u, float sum)
{
    sum += low_of(v.x) * u[0] + high_of(v.x) * u[1];
    sum += low_of(v.y) * u[2] + high_of(v.y) * u[3];
    sum += low_of(v.z) * u[4] + high_of(v.z) * u[5];
    sum += low_of(v.w) * u[6] + high_of(v.w) * u[7];
    return sum;
}

/* Sum of n (a multiple of 8) products of a row of B and low values. */
DEVICE float low_dot(const bf16 *b, const float *u, int n)
{
    float sum = 0;
    for (int j = 0; j < n; j += 8)
        sum = low_eight(*reinterpret_cast<const uint4 *>(b + j), u + j, sum);
    return sum;
}

DEVICE float4 add4(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

DEVICE struct vt_dev_low no_low()
{
    struct vt_dev_low l = {0, 0, 0, 0};
    return l;
}

/* scale A x of the row that stands in shared memory, as bf16: a warp takes four rows of A at once. */
DEVICE void write_low(const struct vt_dev_low &l, const bf16 *x, int n, bf16 *out)
{
    enum { AT_ONCE = 4 };
    const int lane = threadIdx.x % 32, n_warps = blockDim.x / 32;
    for (int j0 = threadIdx.x / 32 * AT_ONCE; j0 < l.n_low; j0 += n_warps * AT_ONCE) {
        const bf16 *a = at<const bf16>(l.a) + (size_t)j0 * n;
        float sum[AT_ONCE] = {0, 0, 0, 0};
#pragma unroll 2
        for (int i = lane * 8; i < n; i += 256) {
            const uint4 v = *reinterpret_cast<const uint4 *>(x + i);
            uint4 w[AT_ONCE];
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++)
                w[j] = *reinterpret_cast<const uint4 *>(a + (size_t)j * n + i);
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                sum[j] += low_of(v.x) * low_of(w[j].x) + high_of(v.x) * high_of(w[j].x);
                sum[j] += low_of(v.y) * low_of(w[j].y) + high_of(v.y) * high_of(w[j].y);
                sum[j] += low_of(v.z) * low_of(w[j].z) + high_of(v.z) * high_of(w[j].z);
                sum[j] += low_of(v.w) * low_of(w[j].w) + high_of(v.w) * high_of(w[j].w);
            }
        }
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            const float all = warp_sum(sum[j]);
            if (lane == j)
                out[j0 + j] = __float2bfloat16_rn(l.scale * all);
        }
    }
}

/* KEPT: float4s of a thread; n <= KEPT * 4 * threads. AT_ONCE: parts read before the first is added: the time of this is
 * that of a few reads in a row. */
template <int KEPT, int AT_ONCE, bool HAS_LOW, bool HAS_AHEAD>
DEVICE void norm_some(float *x, const struct parts &p, bool is_kept, const float *w, bf16 *out, const struct vt_dev_low &l, int row,
                      int n, float eps)
{
    bf16 *normed = reinterpret_cast<bf16 *>(dynamic_shared); /* [n], where A x is wanted */
    __shared__ float scratch[NORM_THREADS / 32], low[MOST_LOW];
    float4 kept[KEPT];
    float sum = 0;
    /* B of this thread's four columns, read ahead of what it is multiplied by, where it is small. */
    const bool is_ahead = HAS_AHEAD && p.n_low == 16;
    uint4 ahead[8];
    if (is_ahead) {
        const int at = threadIdx.x * 4;
#pragma unroll
        for (int k = 0; k < 8; k++)
            ahead[k] = at < n ? reinterpret_cast<const uint4 *>(p.low + (size_t)at * 16)[k] : make_uint4(0, 0, 0, 0);
    }
    if (HAS_LOW && p.n_low) {
        for (int j = threadIdx.x; j < p.n_low; j += blockDim.x)
            low[j] = low_value(p, j);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        const int at = (i * blockDim.x + threadIdx.x) * 4;
        kept[i] = at < n ? *reinterpret_cast<const float4 *>(x + at) : make_float4(0, 0, 0, 0);
    }
    for (int s = 0; s < p.n_splits; s += AT_ONCE) {
        float4 v[AT_ONCE][KEPT];
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++)
#pragma unroll
            for (int i = 0; i < KEPT; i++) {
                const int at = (i * blockDim.x + threadIdx.x) * 4;
                v[j][i] = make_float4(0, 0, 0, 0);
                if (s + j < p.n_splits && at < n)
                    v[j][i] = *reinterpret_cast<const float4 *>(p.first + (s + j) * p.stride + at);
            }
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++)
#pragma unroll
            for (int i = 0; i < KEPT; i++)
                kept[i] = add4(kept[i], v[j][i]);
    }
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        const int at = (i * blockDim.x + threadIdx.x) * 4;
        if (!HAS_LOW || !p.n_low || at >= n)
            continue;
        if (is_ahead) {
            kept[i] = add4(kept[i], make_float4(low_eight(ahead[1], low + 8, low_eight(ahead[0], low, 0)),
                                                low_eight(ahead[3], low + 8, low_eight(ahead[2], low, 0)),
                                                low_eight(ahead[5], low + 8, low_eight(ahead[4], low, 0)),
                                                low_eight(ahead[7], low + 8, low_eight(ahead[6], low, 0))));
            continue;
        }
        const bf16 *b = p.low + (size_t)at * p.n_low;
        kept[i] = add4(kept[i], make_float4(low_dot(b, low, p.n_low), low_dot(b + p.n_low, low, p.n_low),
                                            low_dot(b + 2 * p.n_low, low, p.n_low), low_dot(b + 3 * p.n_low, low, p.n_low)));
    }
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        const int at = (i * blockDim.x + threadIdx.x) * 4;
        if (is_kept && p.n_splits && at < n)
            *reinterpret_cast<float4 *>(x + at) = kept[i];
        sum += kept[i].x * kept[i].x + kept[i].y * kept[i].y + kept[i].z * kept[i].z + kept[i].w * kept[i].w;
    }
    sum = block_sum(sum, scratch);
    const float inv = 1.0f / sqrtf(sum / (float)n + eps);
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        const int at = (i * blockDim.x + threadIdx.x) * 4;
        if (at >= n)
            break;
        const float4 g = *reinterpret_cast<const float4 *>(w + at);
        uint2 v;
        v.x = pack2(kept[i].x * inv * g.x, kept[i].y * inv * g.y);
        v.y = pack2(kept[i].z * inv * g.z, kept[i].w * inv * g.w);
        *reinterpret_cast<uint2 *>(out + at) = v;
        if (HAS_LOW && l.a)
            *reinterpret_cast<uint2 *>(normed + at) = v;
    }
    if (HAS_LOW && l.a) {
        __syncthreads();
        write_low(l, normed, n, at<bf16>(l.out) + (size_t)row * l.n_low);
    }
}

/* out = x / rms(x) * w, n a multiple of 4 and at most 8192; x gets the parts first, in their order. is_kept: x is written
 * back. HAS_LOW: under an adapter, which takes registers that the others would miss; l: A x of the row, wanted too; row:
 * its place there. */
template <bool HAS_LOW>
DEVICE void norm_row(float *x, const struct parts &p, bool is_kept, const float *w, bf16 *out, const struct vt_dev_low &l, int row,
                     int n, float eps)
{
    if (n <= 4 * (int)blockDim.x)
        norm_some<1, 8, HAS_LOW, HAS_LOW>(x, p, is_kept, w, out, l, row, n, eps);
    else if (n <= 8 * (int)blockDim.x)
        norm_some<2, 4, HAS_LOW, false>(x, p, is_kept, w, out, l, row, n, eps);
    else
        norm_some<4, 2, HAS_LOW, false>(x, p, is_kept, w, out, l, row, n, eps);
}

DEVICE void embed_row(const bf16 *row, float *x, int n)
{
    for (int at = threadIdx.x * 4; at < n; at += blockDim.x * 4) {
        const uint2 v = *reinterpret_cast<const uint2 *>(row + at);
        *reinterpret_cast<float4 *>(x + at) = make_float4(low_of(v.x), high_of(v.x), low_of(v.y), high_of(v.y));
    }
}

/* Asks the second-level cache for n bytes of an adapter, which no kernel ahead writes; all blocks together. */
DEVICE void ask_ahead(uint64_t from, int n)
{
#if __CUDA_ARCH__ >= 900
    const int n_warps = blockDim.x / 32;
    if (from)
        prefetch_share(from, (uint32_t)n, (int)blockIdx.x * n_warps + (int)threadIdx.x / 32, (int)gridDim.x * n_warps);
#endif
}

/* x[row] = embedding of tokens[row]. */
KERNEL(NORM_THREADS, 1) vt_embed(const int32_t *tokens, const bf16 *embedding, float *x, int n)
{
    embed_row(embedding + (size_t)tokens[blockIdx.x] * n, x + (size_t)blockIdx.x * n, n);
}

/* What a step's norm under an adapter does before it waits for the kernel ahead. */
DEVICE void ask_for_low(const struct vt_dev_sums &sums, const struct vt_dev_low &low, int n)
{
    ask_ahead(low.a, low.n_low * n * 2);
    ask_ahead(sums.low, sums.n_columns * sums.n_low * 2);
}

/* A step's rows get what is left to be added, and are normed; without and under an adapter. */
KERNEL(NORM_THREADS, 1) vt_norm(float *x, const struct vt_dev_sums sums, const float *w, bf16 *out, int n, float eps)
{
    release_next();
    wait_ahead();
    norm_row<false>(x + (size_t)blockIdx.x * n, parts_of(sums, blockIdx.x), true, w, out + (size_t)blockIdx.x * n, no_low(), 0, n,
                    eps);
}
/* Under an adapter the registers are bounded so that two blocks fit a multiprocessor: with one, a step's 160 rows would
 * take two turns on 132 of them. Rows of at most four elements a thread, and longer ones, whose threads are more. */
KERNEL(VT_DEV_LOW_THREADS, 2)
vt_norm_low(float *x, const struct vt_dev_sums sums, const float *w, bf16 *out, int n, float eps, const struct vt_dev_low low)
{
    const size_t row = (size_t)blockIdx.x * n;
    release_next();
    ask_for_low(sums, low, n);
    wait_ahead();
    norm_some<1, 8, true, true>(x + row, parts_of(sums, blockIdx.x), true, w, out + row, low, blockIdx.x, n, eps);
}
KERNEL(NORM_THREADS, 2)
vt_norm_low_long(float *x, const struct vt_dev_sums sums, const float *w, bf16 *out, int n, float eps, const struct vt_dev_low low)
{
    const size_t row = (size_t)blockIdx.x * n;
    const struct parts p = parts_of(sums, blockIdx.x);
    release_next();
    ask_for_low(sums, low, n);
    wait_ahead();
    if (n <= 8 * (int)blockDim.x)
        norm_some<2, 4, true, false>(x + row, p, true, w, out + row, low, blockIdx.x, n, eps);
    else
        norm_some<4, 1, true, false>(x + row, p, true, w, out + row, low, blockIdx.x, n, eps);
}

/* The same of many rows that have nothing to be added: a warp a row, which is read twice, the second time from the cache. */
KERNEL(256, 1) vt_norm_rows(const float *x, const float *w, bf16 *out, int n, float eps, int n_rows)
{
    const int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= n_rows)
        return;
    const float4 *from = reinterpret_cast<const float4 *>(x + (size_t)row * n), *g = reinterpret_cast<const float4 *>(w);
    uint2 *to = reinterpret_cast<uint2 *>(out + (size_t)row * n);
    float sum = 0;
#pragma unroll 4
    for (int i = lane; i < n / 4; i += 32)
        sum += from[i].x * from[i].x + from[i].y * from[i].y + from[i].z * from[i].z + from[i].w * from[i].w;
    const float inv = 1.0f / sqrtf(warp_sum(sum) / (float)n + eps);
#pragma unroll 4
    for (int i = lane; i < n / 4; i += 32)
        to[i] = make_uint2(pack2(from[i].x * inv * g[i].x, from[i].y * inv * g[i].y),
                           pack2(from[i].z * inv * g[i].z, from[i].w * inv * g[i].w));
}

/* Rows from anywhere: sources[row] is an address of n floats. */
KERNEL(NORM_THREADS, 1) vt_norm_from(const uint64_t *sources, const float *w, bf16 *out, int n, float eps)
{
    norm_row<false>(at<float>(sources[blockIdx.x]), no_parts(), false, w, out + (size_t)blockIdx.x * n, no_low(), 0, n, eps);
}

/* The first kernel of a step: where each row's token goes, and its embedding, normed for the first layer. A row without
 * a token to feed (empty, finished, or none drawn yet) has position -1: its keys are not written and it attends to
 * nothing. */
KERNEL(NORM_THREADS, 1)
vt_step_begin(const struct vt_dev_job *job, const bf16 *embedding, float *x, int n, int32_t *pos, uint64_t *key_at,
              const float *w, bf16 *out, float eps, const struct vt_dev_low low)
{
    const int row = blockIdx.x;
    release_next();
    wait_ahead();
    const struct vt_dev_slot *s = row < job->n_rows ? at<const struct vt_dev_slot>(job->rows[row]) : nullptr;
    const bool is_fed = s && s->n_tokens > 0 && !s->finished;
    const int p = is_fed ? s->n_prompt + s->n_tokens - 1 : -1;
    if (threadIdx.x == 0) {
        const uint64_t *table = reinterpret_cast<const uint64_t *>(s + 1);
        pos[row] = p;
        key_at[row] = is_fed ? table[p / VT_DEV_PAGE_KEYS] + (uint64_t)(p % VT_DEV_PAGE_KEYS) * VT_DEV_KEY_BYTES : 0;
    }
    embed_row(embedding + (size_t)(is_fed ? s->last : 0) * n, x + (size_t)row * n, n);
    __syncthreads();
    norm_row<true>(x + (size_t)row * n, no_parts(), false, w, out + (size_t)row * n, low, row, n, eps);
}

/* Head rows of a step: the residual that gives a row's next token, normed. */
KERNEL(NORM_THREADS, 1)
vt_step_norm(const struct vt_dev_job *job, float *x, const struct vt_dev_sums sums, const float *w, bf16 *out, int n, float eps)
{
    const int row = blockIdx.x;
    release_next();
    wait_ahead();
    const struct vt_dev_slot *s = row < job->n_rows ? at<const struct vt_dev_slot>(job->rows[row]) : nullptr;
    const bool is_first = s && s->n_tokens == 0;
    const struct parts p = is_first ? no_parts() : parts_of(sums, row);
    norm_row<true>(is_first ? at<float>(s->last_hidden) : x + (size_t)row * n, p, false, w, out + (size_t)row * n, no_low(), 0, n, eps);
}

/* Element i of a row of a page at position p, from where the row stands in the page's first tile. */
DEVICE int element_at(int p, int i)
{
    return i / 64 * (VT_DEV_PAGE_KEYS * 64) + ((i % 64 / 8) ^ (p % 8)) * 8 + i % 8;
}

/* Four neighbouring elements from element i of a head's row, rounded. */
DEVICE void store_four(bf16 *row, int i, float4 v)
{
    *reinterpret_cast<uint2 *>(row + i) = make_uint2(pack2(v.x, v.y), pack2(v.z, v.w));
}
DEVICE float square4(float4 v)
{
    return v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
}
DEVICE float4 scale4(float4 v, float a, const float *g)
{
    const float4 b = g ? *reinterpret_cast<const float4 *>(g) : make_float4(1, 1, 1, 1);
    return make_float4(v.x * a * b.x, v.y * a * b.y, v.z * a * b.z, v.w * a * b.w);
}

/* y[row] = q, k, v of a token as multiplied -> bias, head norm, rotation; q to its own buffer [row][head][head_pad], keys
 * and values to their page and, where plain is given, to plain[row][2 key heads][head_pad]. key_at[row]: address of the
 * row's first key at layer 0, 0 = not kept; a set lowest bit means a page of one layer. head_pad / 8 lanes take a head, a
 * lane four elements and the four that are turned with them; grid: heads of all rows. */
KERNEL(256, 1)
vt_rope(const struct vt_dev_sums y, const float *bias, const float *q_norm, const float *k_norm, const float *rope,
        const int32_t *pos, const uint64_t *key_at, bf16 *q, bf16 *plain, struct vt_dev_shape m, int layer, int n_rows)
{
    enum { AT_ONCE = 4 };
    const int lanes = m.head_pad / 8, unit = blockIdx.x * (256 / lanes) + threadIdx.x / lanes, lane = threadIdx.x % lanes;
    const int n_heads = m.n_heads + 2 * m.n_kv_heads, head = unit % n_heads, half = m.head_dim / 2, i = lane * 4;
    release_next();
    wait_ahead();
    const bool is_there = unit < n_rows * n_heads, is_q = head < m.n_heads, is_v = head >= m.n_heads + m.n_kv_heads;
    const bool is_in = is_there && i < half;
    const int row = is_there ? unit / n_heads : 0;
    const float *in = at<const float>(y.first) + (size_t)row * y.ld + (size_t)head * m.head_dim + i;
    const float *b = bias ? bias + (size_t)head * m.head_dim + i : nullptr;
    const float *g = is_q ? q_norm : is_v ? nullptr : k_norm;
    const int p = pos[row];
    const uint64_t key = key_at[row];
    const float4 zero = make_float4(0, 0, 0, 0);
    float4 lo = b && is_in ? *reinterpret_cast<const float4 *>(b) : zero,
           hi = b && is_in ? *reinterpret_cast<const float4 *>(b + half) : zero;
    for (int s = 0; s < y.n; s += AT_ONCE) {
        float4 v[AT_ONCE][2];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const bool is_part = is_in && s + k < y.n;
            v[k][0] = is_part ? *reinterpret_cast<const float4 *>(in + (s + k) * y.stride) : zero;
            v[k][1] = is_part ? *reinterpret_cast<const float4 *>(in + (s + k) * y.stride + half) : zero;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            lo = add4(lo, v[k][0]);
            hi = add4(hi, v[k][1]);
        }
    }
    float sum = square4(lo) + square4(hi);
    for (int o = lanes / 2; o; o /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, o);
    if (g) {
        const float inv = 1.0f / sqrtf(sum / (float)m.head_dim + m.eps);
        lo = scale4(lo, inv, is_in ? g + i : nullptr);
        hi = scale4(hi, inv, is_in ? g + half + i : nullptr);
    }
    if (!is_there || (!is_q && !key))
        return;
    if (!is_v && is_in) {
        const float *angle = rope + (size_t)(p < 0 ? 0 : p) * m.head_dim + i;
        const float4 c = *reinterpret_cast<const float4 *>(angle), d = *reinterpret_cast<const float4 *>(angle + half), a = lo;
        lo = make_float4(a.x * c.x - hi.x * d.x, a.y * c.y - hi.y * d.y, a.z * c.z - hi.z * d.z, a.w * c.w - hi.w * d.w);
        hi = make_float4(hi.x * c.x + a.x * d.x, hi.y * c.y + a.y * d.y, hi.z * c.z + a.z * d.z, hi.w * c.w + a.w * d.w);
    }
    bf16 *out = q + ((size_t)row * m.n_heads + head) * m.head_pad;
    const bool is_page = !is_q; /* pieces of eight elements are swizzled there (attend.cuh); q is plain */
    if (is_page) {
        const int kv = is_v ? head - m.n_heads - m.n_kv_heads : head - m.n_heads;
        const uint64_t base = (key & ~(uint64_t)1) + ((key & 1) ? 0 : (uint64_t)layer * m.layer_stride);
        out = at<bf16>(base) + (size_t)(2 * kv + is_v) * VT_DEV_PAGE_KEYS * m.head_pad;
    }
    bf16 *also = plain && is_page ? plain + ((size_t)row * 2 * m.n_kv_heads + (head - m.n_heads)) * m.head_pad : nullptr;
    if (is_in) {
        store_four(out, is_page ? element_at(p, i) : i, lo);
        store_four(out, is_page ? element_at(p, half + i) : half + i, hi);
        if (also) {
            store_four(also, i, lo);
            store_four(also, half + i, hi);
        }
    }
    for (int e = m.head_dim + i; e < m.head_pad; e += 4 * lanes) {
        store_four(out, is_page ? element_at(p, e) : e, zero);
        if (also)
            store_four(also, e, zero);
    }
}

/* Gate and up rows are interleaved by eight in the packed weights: columns 16 i + j and 16 i + 8 + j of y are gate and up
 * of hidden unit 8 i + j. out = silu(gate) * up. A thread takes eight units. */
KERNEL(256, 1) vt_swiglu(const bf16 *y, bf16 *out, int d_ff, int64_t n_eights)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n_eights)
        return;
    const uint4 g = load_stream(y + i * 16), u = load_stream(y + i * 16 + 8);
    const uint32_t gs[4] = {g.x, g.y, g.z, g.w}, us[4] = {u.x, u.y, u.z, u.w};
    uint32_t r[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float a = low_of(gs[j]), b = high_of(gs[j]);
        r[j] = pack2(__fdividef(a, 1.0f + __expf(-a)) * low_of(us[j]), __fdividef(b, 1.0f + __expf(-b)) * high_of(us[j]));
    }
    *reinterpret_cast<uint4 *>(out + i * 8) = make_uint4(r[0], r[1], r[2], r[3]);
}

#endif
