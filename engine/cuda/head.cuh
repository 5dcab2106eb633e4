/* SPDX-License-Identifier: Apache-2.0
 *
 * head.cuh: the walk over the vocabulary. Logits are fp32 in scratch that never leaves the device, and only of as many
 * rows as the scratch holds. A warp reduces a chunk of 1024 columns to its maximum, sum of exponentials, sum of logits,
 * sum of logits times exponentials, and (when drawing) the sum of exponentials at the row's temperature; chunks are
 * merged in double, in an order that depends on the vocabulary only. A step and a score use the same functions, so their
 * values are the same function of the logits.
 */
#ifndef VT_CUDA_HEAD_CUH
#define VT_CUDA_HEAD_CUH

#include "cuda/common.cuh"

struct chunk_sums {
    float max, exp, z, z_exp, mass;
};

/* All lanes get the result. inv_t: 1 / temperature, 0 = not wanted (mass is 0 then). n <= 1024. */
DEVICE struct chunk_sums reduce_chunk(const float *x, int n, float inv_t)
{
    const int lane = threadIdx.x % 32;
    float4 v[8];
    struct chunk_sums r = {-CUDART_INF_F, 0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int at = (i * 32 + lane) * 4;
        v[i] = make_float4(-CUDART_INF_F, -CUDART_INF_F, -CUDART_INF_F, -CUDART_INF_F);
        if (at + 3 < n) {
            v[i] = *reinterpret_cast<const float4 *>(x + at);
        } else {
            v[i].x = at < n ? x[at] : v[i].x;
            v[i].y = at + 1 < n ? x[at + 1] : v[i].y;
            v[i].z = at + 2 < n ? x[at + 2] : v[i].z;
        }
        r.max = fmaxf(r.max, fmaxf(fmaxf(v[i].x, v[i].y), fmaxf(v[i].z, v[i].w)));
    }
    r.max = warp_max(r.max);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float z[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (z[j] == -CUDART_INF_F)
                continue;
            const float e = __expf(z[j] - r.max);
            r.exp += e;
            r.z += z[j];
            r.z_exp += z[j] * e;
            if (inv_t > 0)
                r.mass += __expf((z[j] - r.max) * inv_t);
        }
    }
    r.exp = warp_sum(r.exp);
    r.z = warp_sum(r.z);
    r.z_exp = warp_sum(r.z_exp);
    if (inv_t > 0)
        r.mass = warp_sum(r.mass);
    return r;
}

DEVICE double warp_sum_double(double v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}

struct row_sums {
    double top, lse, entropy, sum;
};

/* One warp, chunks in shared or global memory; all lanes get the result. */
DEVICE struct row_sums merge_chunks(const struct chunk_sums *c, int n)
{
    const int lane = threadIdx.x % 32, per = (n + 31) / 32;
    float top = -CUDART_INF_F;
    for (int i = lane; i < n; i += 32)
        top = fmaxf(top, c[i].max);
    top = warp_max(top);
    double exps = 0, z = 0, z_exps = 0;
    for (int i = lane * per; i < min(n, (lane + 1) * per); i++) {
        const double w = c[i].max == -CUDART_INF_F ? 0 : (double)expf(c[i].max - top);
        exps += (double)c[i].exp * w;
        z += (double)c[i].z;
        z_exps += (double)c[i].z_exp * w;
    }
    exps = warp_sum_double(exps);
    z = warp_sum_double(z);
    z_exps = warp_sum_double(z_exps);
    struct row_sums r;
    r.top = (double)top;
    r.lse = (double)top + log(exps);
    r.entropy = r.lse - z_exps / exps;
    r.sum = z;
    return r;
}

/* Partial sums of a step's logits: grid (chunks / 8, rows), a warp a chunk; sums: [row][n_chunks]. */
KERNEL(256, 1)
vt_step_chunks(const struct vt_dev_job *job, const float *logits, struct chunk_sums *sums, struct vt_dev_shape m)
{
    const int row = blockIdx.y, chunk = blockIdx.x * 8 + threadIdx.x / 32;
    release_next();
    wait_ahead();
    if (row >= job->n_rows || chunk >= m.n_chunks)
        return;
    const struct vt_dev_slot *s = at<const struct vt_dev_slot>(job->rows[row]);
    if (!s || s->finished)
        return;
    const int first = chunk * VT_DEV_HEAD_CHUNK, n = min(VT_DEV_HEAD_CHUNK, m.n_vocab - first);
    const struct chunk_sums r =
        reduce_chunk(logits + (size_t)row * m.ld_vocab + first, n, s->temperature > 0 ? 1.0f / s->temperature : 0);
    if (threadIdx.x % 32 == 0)
        sums[(size_t)row * m.n_chunks + chunk] = r;
}

/* A scored row: its log-sum-exp and the log-probabilities of its targets ids[begin[row] .. begin[row + 1]); -1: none.
 * entropy and certainty may be NULL. One block of 256 a row; shared: n_chunks chunk_sums. */
KERNEL(256, 1)
vt_head_rows(const float *logits, const int32_t *begin, const int32_t *ids, float *logprob, float *entropy, float *certainty,
             struct vt_dev_shape m)
{
    struct chunk_sums *sums = reinterpret_cast<struct chunk_sums *>(dynamic_shared);
    const int row = blockIdx.x;
    const float *x = logits + (size_t)row * m.ld_vocab;
    for (int chunk = threadIdx.x / 32; chunk < m.n_chunks; chunk += 8) {
        const int first = chunk * VT_DEV_HEAD_CHUNK;
        const struct chunk_sums r = reduce_chunk(x + first, min(VT_DEV_HEAD_CHUNK, m.n_vocab - first), 0);
        if (threadIdx.x % 32 == 0)
            sums[chunk] = r;
    }
    __syncthreads();
    if (threadIdx.x >= 32)
        return;
    const struct row_sums r = merge_chunks(sums, m.n_chunks);
    for (int t = begin[row] + (int)threadIdx.x; t < begin[row + 1]; t += 32)
        logprob[t] = ids[t] < 0 ? 0 : (float)((double)x[ids[t]] - r.lse);
    if (threadIdx.x == 0) {
        if (entropy)
            entropy[row] = (float)r.entropy;
        if (certainty)
            certainty[row] = (float)(r.lse - r.sum / m.n_vocab - log((double)m.n_vocab));
    }
}

#endif
