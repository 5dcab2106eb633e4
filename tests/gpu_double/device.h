/* SPDX-License-Identifier: Apache-2.0
 *
 * device.h: CUDA C++ for a compiler for CPUs: put before a text by nvrtc.c. Threads run one after another, so a text
 * that needs __syncthreads or shuffles does not run here. What the device's side of a module looks like from outside is
 * made by VT_DOUBLE_KERNEL: a function that takes the arguments of a launch, and the parameters' sizes where a cubin
 * has them.
 */
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

struct vt_double_dim {
    unsigned x, y, z;
};
extern "C" {
__attribute__((visibility("default"))) vt_double_dim vt_double_block, vt_double_thread, vt_double_grid, vt_double_size;
}
#define blockIdx vt_double_block
#define threadIdx vt_double_thread
#define gridDim vt_double_grid
#define blockDim vt_double_size
#define __device__
#define __host__
#define __global__
#define __shared__ static
#define __constant__ static
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
using std::memcpy;

template <class T> static inline T atomicAdd(T *p, T v)
{
    T old = *p;
    *p = old + v;
    return old;
}
template <class T> static inline T atomicMax(T *p, T v)
{
    T old = *p;
    *p = v > old ? v : old;
    return old;
}
static inline float __int_as_float(int i)
{
    float f;
    memcpy(&f, &i, sizeof f);
    return f;
}

static inline unsigned __float_as_uint(float f)
{
    unsigned i;
    memcpy(&i, &f, sizeof i);
    return i;
}
static inline float __uint_as_float(unsigned i)
{
    return __int_as_float((int)i);
}

namespace vt_double
{
struct parameter {
    unsigned char format, attribute;
    unsigned short length;
    unsigned index;
    unsigned short ordinal, offset;
    unsigned word;
} __attribute__((packed));
template <class... A> constexpr std::array<parameter, sizeof...(A)> parameters(void (*)(A...))
{
    std::array<parameter, sizeof...(A)> all{};
    const unsigned sizes[] = {(unsigned)sizeof(A)...};
    for (unsigned i = 0; i < sizeof...(A); i++)
        all[i] = parameter{4, 0x17, 12, 0, (unsigned short)i, 0, sizes[i] << 18};
    return all;
}
template <class... A, size_t... I> void call(void (*f)(A...), void **args, std::index_sequence<I...>)
{
    f(*(A *)args[I]...);
}
template <class... A> void call(void (*f)(A...), void **args)
{
    call(f, args, std::index_sequence_for<A...>());
}
} // namespace vt_double

#define VT_DOUBLE_KERNEL(name)                                                                                         \
    extern "C" __attribute__((visibility("default"))) void vt_double_call_##name(void **args)                          \
    {                                                                                                                  \
        vt_double::call(&name, args);                                                                                  \
    }                                                                                                                  \
    extern const decltype(vt_double::parameters(&name)) vt_double_info_##name;                                         \
    __attribute__((section(".nv.info." #name), used)) constexpr decltype(vt_double::parameters(                        \
        &name)) vt_double_info_##name = vt_double::parameters(&name);
