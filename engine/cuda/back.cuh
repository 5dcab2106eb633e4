/* SPDX-License-Identifier: Apache-2.0
 *
 * back.cuh: gradients of what stands between the products of a training batch: the head's softmax, SwiGLU, norms, and
 * rotation with head norms. Row-wise; sums in fp32, in the order of the row's threads.
 */
#ifndef VT_CUDA_BACK_CUH
#define VT_CUDA_BACK_CUH

#include "cuda/common.cuh"
#include "cuda/head.cuh"

/* out = x as bf16; n in fours. */
KERNEL(256, 1) vt_round(const float *x, bf16 *out, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n)
        return;
    const float4 v = reinterpret_cast<const float4 *>(x)[i];
    reinterpret_cast<uint2 *>(out)[i] = make_uint2(pack2(v.x, v.y), pack2(v.z, v.w));
}

/* dx += the gradient, through y = x / rms(x) * w, of x, whose y has gradient dy; out, where given: the new dx, rounded. A
 * warp; x and dy are read twice, the second time from the cache. */
DEVICE void back_norm_row(const float *x, const float *w, const float *dy, float *dx, bf16 *out, int n, float eps)
{
    const int lane = threadIdx.x % 32;
    float squares = 0, dot = 0;
#pragma unroll 4
    for (int i = lane * 4; i < n; i += 128) {
        const float4 v = *reinterpret_cast<const float4 *>(x + i), g = *reinterpret_cast<const float4 *>(w + i),
                     d = *reinterpret_cast<const float4 *>(dy + i);
        squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
        dot += v.x * g.x * d.x + v.y * g.y * d.y + v.z * g.z * d.z + v.w * g.w * d.w;
    }
    squares = warp_sum(squares);
    dot = warp_sum(dot);
    const float inv = 1.0f / sqrtf(squares / (float)n + eps), back = inv * inv * inv * dot / (float)n;
#pragma unroll 4
    for (int i = lane * 4; i < n; i += 128) {
        const float4 v = *reinterpret_cast<const float4 *>(x + i), g = *reinterpret_cast<const float4 *>(w + i),
                     d = *reinterpret_cast<const float4 *>(dy + i);
        float4 r = *reinterpret_cast<const float4 *>(dx + i);
        r.x += inv * g.x * d.x - back * v.x;
        r.y += inv * g.y * d.y - back * v.y;
        r.z += inv * g.z * d.z - back * v.z;
        r.w += inv * g.w * d.w - back * v.w;
        *reinterpret_cast<float4 *>(dx + i) = r;
        if (out)
            *reinterpret_cast<uint2 *>(out + i) = make_uint2(pack2(r.x, r.y), pack2(r.z, r.w));
    }
}

/* grid: rows / 8. */
KERNEL(256, 1) vt_back_norm(const float *x, const float *w, const float *dy, float *dx, bf16 *out, int n, float eps, int n_rows)
{
    const int row = blockIdx.x * 8 + threadIdx.x / 32;
    const size_t first = (size_t)row * n;
    if (row < n_rows)
        back_norm_row(x + first, w, dy + first, dx + first, out ? out + first : nullptr, n, eps);
}
/* Of the head's rows, which are some of the batch's. */
KERNEL(256, 1)
vt_back_head_norm(const struct vt_dev_back_head *heads, const float *w, const float *dy, float *dx, int n, float eps, int n_rows)
{
    const int row = blockIdx.x * 8 + threadIdx.x / 32;
    if (row >= n_rows)
        return;
    const struct vt_dev_back_head h = heads[row];
    back_norm_row(at<const float>(h.source), w, dy + (size_t)row * n, dx + (size_t)h.row * n, nullptr, n, eps);
}

/* Gradient of -sum w log p(id) with respect to a row's logits: (sum of w) softmax - w at the ids. One block of 256 a row;
 * shared: n_chunks chunk_sums. */
KERNEL(256, 1)
vt_back_head(const float *logits, const struct vt_dev_back_head *heads, const int32_t *ids, const float *weights, bf16 *out,
             struct vt_dev_shape m)
{
    struct chunk_sums *sums = reinterpret_cast<struct chunk_sums *>(dynamic_shared);
    __shared__ double shared_lse;
    const struct vt_dev_back_head h = heads[blockIdx.x];
    const float *x = logits + (size_t)blockIdx.x * m.ld_vocab;
    bf16 *to = out + (size_t)blockIdx.x * m.ld_vocab;
    for (int chunk = threadIdx.x / 32; chunk < m.n_chunks; chunk += 8) {
        const int first = chunk * VT_DEV_HEAD_CHUNK;
        const struct chunk_sums r = reduce_chunk(x + first, min(VT_DEV_HEAD_CHUNK, m.n_vocab - first), 0);
        if (threadIdx.x % 32 == 0)
            sums[chunk] = r;
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        const struct row_sums r = merge_chunks(sums, m.n_chunks);
        if (threadIdx.x == 0)
            shared_lse = r.lse;
    }
    __syncthreads();
    const float lse = (float)shared_lse;
    for (int i = threadIdx.x * 8; i < m.ld_vocab; i += 2048) {
        float v[8];
        *reinterpret_cast<float4 *>(v) = *reinterpret_cast<const float4 *>(x + i);
        *reinterpret_cast<float4 *>(v + 4) = *reinterpret_cast<const float4 *>(x + i + 4);
#pragma unroll
        for (int k = 0; k < 8; k++)
            v[k] = i + k < m.n_vocab ? h.weight * __expf(v[k] - lse) : 0;
        *reinterpret_cast<uint4 *>(to + i) = make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7]));
    }
    __syncthreads();
    for (int t = h.t0 + threadIdx.x; t < h.t1; t += 256) {
        float sum = 0;
        bool is_first = true;
        for (int k = h.t0; k < h.t1; k++)
            if (ids[k] == ids[t]) {
                is_first &= k >= t;
                sum += weights[k];
            }
        if (is_first)
            to[ids[t]] = __float2bfloat16_rn(h.weight * __expf(x[ids[t]] - lse) - sum);
    }
}

/* y: gate and up, interleaved by eight, become their gradients; d: that of silu(gate) * up. A thread takes eight units. */
KERNEL(256, 1) vt_back_swiglu(bf16 *y, const bf16 *d, int64_t n_eights)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n_eights)
        return;
    uint4 *gates = reinterpret_cast<uint4 *>(y + i * 16), *ups = gates + 1;
    const uint4 g = *gates, u = *ups, dv = load_stream(d + i * 8);
    const uint32_t gs[4] = {g.x, g.y, g.z, g.w}, us[4] = {u.x, u.y, u.z, u.w}, ds[4] = {dv.x, dv.y, dv.z, dv.w};
    uint32_t dg[4], du[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float a[2], b[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const float gate = k ? high_of(gs[j]) : low_of(gs[j]), up = k ? high_of(us[j]) : low_of(us[j]),
                        grad = k ? high_of(ds[j]) : low_of(ds[j]), s = __fdividef(1.0f, 1.0f + __expf(-gate));
            a[k] = grad * up * s * (1.0f + gate * (1.0f - s));
            b[k] = grad * gate * s;
        }
        dg[j] = pack2(a[0], a[1]);
        du[j] = pack2(b[0], b[1]);
    }
    *gates = make_uint4(dg[0], dg[1], dg[2], dg[3]);
    *ups = make_uint4(du[0], du[1], du[2], du[3]);
}

/* delta[row][head] = sum of the products of the attention's output and its gradient, [row][head][head_dim]. A warp a head;
 * grid: (rows, heads / 8). */
KERNEL(256, 1) vt_back_delta(const bf16 *out, const bf16 *d_out, float *delta, struct vt_dev_shape m)
{
    const int head = blockIdx.y * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (head >= m.n_heads)
        return;
    const size_t row = (size_t)blockIdx.x * m.n_heads + head;
    float sum = 0;
    for (int i = lane; i < m.head_dim; i += 32)
        sum += __bfloat162float(out[row * m.head_dim + i]) * __bfloat162float(d_out[row * m.head_dim + i]);
    sum = warp_sum(sum);
    if (lane == 0)
        delta[row] = sum;
}

/* Gradients of rotated q, k and of v (dq [row][head][head_pad], dkv [row][K, V heads][head_pad]) -> of q, k, v as
 * multiplied, bf16 [row][qkv_dim]. y: q, k, v as multiplied, where there are head norms. A warp a head; grid: (rows,
 * heads / 8). */
KERNEL(256, 1)
vt_back_rope(const float *dq, const float *dkv, const float *y, const float *bias, const float *q_norm, const float *k_norm,
             const float *rope, const int32_t *pos, bf16 *out, struct vt_dev_shape m)
{
    const int row = blockIdx.x, lane = threadIdx.x % 32, half = m.head_dim / 2, head = blockIdx.y * 8 + threadIdx.x / 32;
    const bool is_q = head < m.n_heads, is_v = head >= m.n_heads + m.n_kv_heads;
    if (head >= m.n_heads + 2 * m.n_kv_heads)
        return;
    const float *in = is_q ? dq + ((size_t)row * m.n_heads + head) * m.head_pad
                           : dkv + ((size_t)row * 2 * m.n_kv_heads + head - m.n_heads) * m.head_pad;
    const float *g = is_q ? q_norm : is_v ? nullptr : k_norm;
    const float *angle = rope + (size_t)pos[row] * m.head_dim, *raw = y + (size_t)row * m.qkv_dim + (size_t)head * m.head_dim;
    float d[2][2], x[2][2], squares = 0, dot = 0;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int i = lane + 32 * j;
        d[j][0] = d[j][1] = x[j][0] = x[j][1] = 0;
        if (i >= half)
            continue;
        const float a = in[i], c = in[half + i];
        d[j][0] = is_v ? a : a * angle[i] + c * angle[half + i];
        d[j][1] = is_v ? c : c * angle[i] - a * angle[half + i];
        if (!g)
            continue;
#pragma unroll
        for (int k = 0; k < 2; k++) {
            x[j][k] = raw[half * k + i] + (bias ? bias[head * m.head_dim + half * k + i] : 0);
            squares += x[j][k] * x[j][k];
            dot += x[j][k] * g[half * k + i] * d[j][k];
        }
    }
    const float inv = g ? 1.0f / sqrtf(warp_sum(squares) / (float)m.head_dim + m.eps) : 1.0f;
    const float back = g ? inv * inv * inv * warp_sum(dot) / (float)m.head_dim : 0;
    bf16 *to = out + (size_t)row * m.qkv_dim + (size_t)head * m.head_dim;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int i = lane + 32 * j;
        if (i >= half)
            continue;
#pragma unroll
        for (int k = 0; k < 2; k++)
            to[half * k + i] =
                __float2bfloat16_rn(g ? inv * g[half * k + i] * d[j][k] - back * x[j][k] : d[j][k]);
    }
}

#endif
