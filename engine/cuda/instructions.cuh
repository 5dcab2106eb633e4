/* SPDX-License-Identifier: Apache-2.0
 *
 * instructions.cuh: what common.cuh's files need of the machine beyond CUDA C++: the hand-over between kernels that may
 * overlap, matrix instructions of 16 x 8 x 16, copies into shared memory, reads that the compiler keeps in flight. Where
 * VT_CUDA_EMULATED is defined they are plain functions (tests/emulated), and the kernels run on a CPU. Hopper's own are
 * in copy.cuh and wgmma.cuh.
 */
#ifndef VT_CUDA_INSTRUCTIONS_CUH
#define VT_CUDA_INSTRUCTIONS_CUH

#ifdef VT_CUDA_EMULATED
#include "emulated_instructions.h"
#else

extern __shared__ __align__(1024) float4 dynamic_shared[]; /* as many bytes as the launch asks for */

/* Returns once everything that the kernel ahead wrote can be read. */
DEVICE void wait_ahead()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/* Lets the next kernel begin what it does before it waits. */
DEVICE void release_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

DEVICE float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
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

/* Sixteen bytes into shared memory, zeros when !is_there; in groups. */
DEVICE void copy_async(uint32_t to, const void *from, bool is_there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(is_there ? 16 : 0) : "memory");
}
DEVICE void copy_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> DEVICE void copy_async_wait() /* until at most N groups are unfinished */
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#endif
#endif
