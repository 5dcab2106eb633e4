/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_bf16.h: stands in for NVIDIA's (emulated_instructions.h): the words of CUDA C++, its vectors and its bf16 numbers,
 * as far as the kernels use them.
 */
#ifndef EMULATED_CUDA_BF16_H
#define EMULATED_CUDA_BF16_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __device__
#define __global__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

struct emulated_index {
    unsigned x, y, z;
};
extern "C" struct emulated_index threadIdx, blockIdx, blockDim, gridDim;

#define EMULATED_VECTORS(T, name)                                                                                      \
    struct __attribute__((aligned(2 * sizeof(T)))) name##2 {                                                           \
        T x, y;                                                                                                        \
    };                                                                                                                 \
    struct __attribute__((aligned(16))) name##4 {                                                                      \
        T x, y, z, w;                                                                                                  \
    };                                                                                                                 \
    inline name##2 make_##name##2(T x, T y)                                                                            \
    {                                                                                                                  \
        return name##2{x, y};                                                                                          \
    }                                                                                                                  \
    inline name##4 make_##name##4(T x, T y, T z, T w)                                                                  \
    {                                                                                                                  \
        return name##4{x, y, z, w};                                                                                    \
    }
EMULATED_VECTORS(float, float)
EMULATED_VECTORS(unsigned, uint)

inline int min(int a, int b)
{
    return a < b ? a : b;
}
inline unsigned min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}
inline int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
inline unsigned long long min(unsigned long long a, unsigned long long b)
{
    return a < b ? a : b;
}
inline unsigned long long min(int a, unsigned long long b)
{
    return min((unsigned long long)a, b);
}
inline int max(int a, int b)
{
    return a > b ? a : b;
}
template <typename T> T atomicMin(T *p, T v)
{
    const T old = *p;
    *p = v < old ? v : old;
    return old;
}
template <typename T> T atomicMax(T *p, T v)
{
    const T old = *p;
    *p = v > old ? v : old;
    return old;
}
template <typename T, typename U> T atomicAdd(T *p, U v)
{
    const T old = *p;
    *p += (T)v;
    return old;
}

inline float __uint_as_float(uint32_t v)
{
    float f;
    memcpy(&f, &v, 4);
    return f;
}
inline uint32_t __float_as_uint(float f)
{
    uint32_t v;
    memcpy(&v, &f, 4);
    return v;
}
inline float __expf(float x)
{
    return expf(x);
}
inline float __log2f(float x)
{
    return log2f(x);
}
inline float __fdividef(float a, float b)
{
    return a / b;
}
inline float __double2float_ru(double v)
{
    const float f = (float)v;
    return (double)f < v ? nextafterf(f, __builtin_inff()) : f;
}
inline int __ffs(unsigned v)
{
    return __builtin_ffs((int)v);
}
inline int __clz(unsigned v)
{
    return v ? __builtin_clz(v) : 32;
}
inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t pick)
{
    const uint64_t both = (uint64_t)b << 32 | a;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++)
        r |= (uint32_t)(both >> 8 * (pick >> 4 * i & 7) & 0xff) << 8 * i;
    return r;
}
template <typename T> T __ldcg(const T *p)
{
    return *p;
}
template <typename T> void __stcg(T *p, T v)
{
    *p = v;
}
[[noreturn]] inline void __trap()
{
    abort();
}

struct __nv_bfloat16 {
    uint16_t bits;
};
struct __attribute__((aligned(4))) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
inline __nv_bfloat16 __float2bfloat16_rn(float f)
{
    const uint32_t v = __float_as_uint(f);
    if (f != f)
        return __nv_bfloat16{0x7fff};
    return __nv_bfloat16{(uint16_t)((v + 0x7fff + (v >> 16 & 1)) >> 16)};
}
inline float __bfloat162float(__nv_bfloat16 h)
{
    return __uint_as_float((uint32_t)h.bits << 16);
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return __nv_bfloat162{__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}

#endif
