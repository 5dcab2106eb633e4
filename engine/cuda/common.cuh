/* SPDX-License-Identifier: Apache-2.0
 *
 * common.cuh: what the device files share: the words they are written in, reductions in a fixed order, bf16 pairs. What
 * only the machine's own text can say is in instructions.cuh.
 */
#ifndef VT_CUDA_COMMON_CUH
#define VT_CUDA_COMMON_CUH

#include "cuda/device.h"
#include <cuda_bf16.h>
#include <math_constants.h>

typedef __nv_bfloat16 bf16;

#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)

#include "cuda/instructions.cuh"

DEVICE float warp_sum(float v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
DEVICE float warp_max(float v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}

/* Sum over the block, the same on every thread; scratch holds a float per warp. */
DEVICE float block_sum(float v, float *scratch)
{
    const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
    v = warp_sum(v);
    if (threadIdx.x % 32 == 0)
        scratch[warp] = v;
    __syncthreads();
    float total = 0;
    for (int i = 0; i < n_warps; i++)
        total += scratch[i];
    __syncthreads();
    return total;
}

DEVICE uint32_t pack2(float lo, float hi)
{
    __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
    return *reinterpret_cast<uint32_t *>(&v);
}
DEVICE float low_of(uint32_t v)
{
    return __uint_as_float(v << 16);
}
DEVICE float high_of(uint32_t v)
{
    return __uint_as_float(v & 0xffff0000u);
}

template <typename T> DEVICE T *at(uint64_t address)
{
    return reinterpret_cast<T *>(address);
}

#endif
