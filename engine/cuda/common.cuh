/* SPDX-License-Identifier: Apache-2.0
 *
 * common.cuh: what the device files share: warp reductions in a fixed order, bf16 pairs, matrix instructions of 16 x 8 x
 * 16, and the hand-over between kernels that may overlap (programmatic launches): wait() returns once everything the
 * kernel ahead wrote can be read, release() lets the next kernel begin its own preamble.
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

extern __shared__ __align__(1024) float4 dynamic_shared[]; /* as many bytes as the launch asks for */

DEVICE void wait_ahead()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
DEVICE void release_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

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

DEVICE float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
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

/* d += a b: a 16 x 16 (rows), b 16 x 8 (columns), d 16 x 8 fp32. */
DEVICE void mma16816(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEVICE uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* Four 8 x 8 matrices, a row address a lane; transposed where columns are wanted. */
DEVICE void load_matrices(uint32_t (&d)[4], uint32_t row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3]) : "r"(row));
}
DEVICE void load_matrices_turned(uint32_t (&d)[4], uint32_t row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(row));
}

/* Read once: not kept in the first-level cache. */
DEVICE uint4 load_stream(const void *p)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
/* An ordinary 16-byte read; volatile so that the compiler keeps many in flight in the order written. */
DEVICE uint4 load16(const void *p)
{
    uint4 v;
    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

template <typename T> DEVICE T *at(uint64_t address)
{
    return reinterpret_cast<T *>(address);
}

#endif
