/* SPDX-License-Identifier: Apache-2.0
 *
 * lora.cuh: adapters' values. The masters are fp32, laid out as vt_adapter.params; products read bf16 copies, packed by
 * product (struct vt_dev_module), whose gradients are laid out alike in fp32 until they are added to a gradient's array.
 * Sums over an array go by blocks of fixed size and in a fixed order.
 */
#ifndef VT_CUDA_LORA_CUH
#define VT_CUDA_LORA_CUH

#include "cuda/common.cuh"

enum { DOT_BLOCK = 1 << 16 };

DEVICE int64_t packed_row(const struct vt_dev_module &m, int row)
{
    return m.interleave < 0 ? row : row / 8 * 16 + row % 8 + 8 * m.interleave;
}

/* grid: (modules, any). */
KERNEL(256, 1) vt_pack_modules(const struct vt_dev_module *modules, const float *params, int rank)
{
    const struct vt_dev_module m = modules[blockIdx.x];
    const int64_t step = (int64_t)gridDim.y * 256, first = (int64_t)blockIdx.y * 256 + threadIdx.x;
    for (int64_t i = first; i < (int64_t)rank * m.d_in; i += step)
        at<bf16>(m.a)[i] = __float2bfloat16_rn(params[m.a_off + i]);
    for (int64_t i = first; i < (int64_t)rank * m.d_out; i += step)
        at<bf16>(m.b)[packed_row(m, (int)(i / rank)) * m.ldb + i % rank] = __float2bfloat16_rn(params[m.b_off + i]);
}

/* grad += sums, which stand where the packed values stand behind `packed`. */
KERNEL(256, 1)
vt_add_modules(const struct vt_dev_module *modules, const float *sums, uint64_t packed, float *grad, int rank)
{
    const struct vt_dev_module m = modules[blockIdx.x];
    const int64_t step = (int64_t)gridDim.y * 256, first = (int64_t)blockIdx.y * 256 + threadIdx.x;
    const float *a = sums + (m.a - packed) / 2, *b = sums + (m.b - packed) / 2;
    for (int64_t i = first; i < (int64_t)rank * m.d_in; i += step)
        grad[m.a_off + i] += a[i];
    for (int64_t i = first; i < (int64_t)rank * m.d_out; i += step)
        grad[m.b_off + i] += b[packed_row(m, (int)(i / rank)) * m.ldb + i % rank];
}

KERNEL(256, 1) vt_add(float *into, const float *from, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i < n)
        into[i] += from[i];
}

/* out[block] = sum of the products of DOT_BLOCK elements. */
KERNEL(256, 1) vt_dot(const float *a, const float *b, double *out, int64_t n)
{
    __shared__ double sums[256];
    const int64_t first = (int64_t)blockIdx.x * DOT_BLOCK, end = min(n, first + DOT_BLOCK);
    double sum = 0;
    for (int64_t i = first + threadIdx.x; i < end; i += 256)
        sum += (double)a[i] * (double)b[i];
    sums[threadIdx.x] = sum;
    for (int half = 128; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        out[blockIdx.x] = sums[0];
}

KERNEL(256, 1) vt_adam(float *param, const float *grad, float *m, float *v, struct vt_dev_adam o, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n)
        return;
    const float g = grad[i] * o.grad_scale;
    const float first = o.beta1 * m[i] + (1.0f - o.beta1) * g, second = o.beta2 * v[i] + (1.0f - o.beta2) * (g * g);
    m[i] = first;
    v[i] = second;
    const float denominator = sqrtf(second) / o.root_c2 + o.eps;
    param[i] = param[i] * o.decay - (first == 0.0f ? 0.0f : o.step * first / denominator);
}

#endif
