/* SPDX-License-Identifier: Apache-2.0
 *
 * emulated_instructions.h: CUDA C++ for a CPU's compiler, as far as the portable kernels of engine/cuda use it: a thread is
 * a fiber (fibers.cc), a block's threads take turns whenever one waits for others. Warp-wide instructions exchange their
 * lanes' values at a barrier of the warp. Included by cuda/instructions.cuh where VT_CUDA_EMULATED is defined; the two
 * headers beside it stand in for NVIDIA's.
 */
#ifndef EMULATED_INSTRUCTIONS_H
#define EMULATED_INSTRUCTIONS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A warp's exchange: every lane leaves up to 64 bytes, all wait, each reads what it wants. */
extern "C" {
const unsigned char *emulated_exchange(const void *mine, size_t n); /* [32][64], valid until the next but one */
void emulated_block_barrier(void);
void emulated_warp_barrier(void);
}

template <typename T> inline T lane_of(T v, int lane)
{
    T out;
    memcpy(&out, emulated_exchange(&v, sizeof v) + 64 * (lane & 31), sizeof out);
    return out;
}
template <typename T> inline T __shfl_xor_sync(unsigned, T v, int o)
{
    return lane_of(v, (int)(threadIdx.x % 32) ^ o);
}
template <typename T> inline T __shfl_sync(unsigned, T v, int lane)
{
    return lane_of(v, lane);
}
template <typename T> inline T __shfl_up_sync(unsigned, T v, int o)
{
    const int lane = (int)(threadIdx.x % 32);
    return lane_of(v, lane < o ? lane : lane - o);
}
inline unsigned __ballot_sync(unsigned, bool v)
{
    const unsigned char mine = v, *all = emulated_exchange(&mine, 1);
    unsigned r = 0;
    for (int i = 0; i < 32; i++)
        r |= all[64 * i] ? 1u << i : 0;
    return r;
}
inline bool __any_sync(unsigned all, bool v)
{
    return __ballot_sync(all, v) != 0;
}
inline void __threadfence() {}
inline void __syncthreads()
{
    emulated_block_barrier();
}
inline void __syncwarp()
{
    emulated_warp_barrier();
}

inline void wait_ahead() {}
inline void release_next() {}
inline float exp2_fast(float x)
{
    return exp2f(x);
}

inline float half_of(uint32_t pair, int i)
{
    const uint32_t bits = i ? pair & 0xffff0000u : pair << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* Lane (g, q) holds a: rows g, g + 8, columns 2 q, 2 q + 1 and the same + 8; b: rows as a's columns, column g. */
inline void mma16816(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    const unsigned char *all = emulated_exchange(mine, sizeof mine);
    const int g = (int)(threadIdx.x % 32) / 4, q = (int)(threadIdx.x % 4);
    uint32_t from[4][6], to[2][4][6];
    for (int i = 0; i < 4; i++) {
        memcpy(from[i], all + 64 * (4 * g + i), sizeof from[i]);
        for (int c = 0; c < 2; c++)
            memcpy(to[c][i], all + 64 * (4 * (2 * q + c) + i), sizeof to[c][i]);
    }
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 2; c++) {
            float sum = 0;
            for (int k = 0; k < 16; k++) {
                const int lane = k % 8 / 2, upper = k / 8;
                sum += half_of(from[lane][r + 2 * upper], k % 2) * half_of(to[c][lane][4 + upper], k % 2);
            }
            d[2 * r + c] += sum;
        }
}

#define dynamic_shared emulated_shared
extern float4 *emulated_shared;

inline uint32_t shared_address(const void *p)
{
    return (uint32_t)((const char *)p - (const char *)emulated_shared);
}
inline void *shared_at(uint32_t address)
{
    return (char *)emulated_shared + address;
}

inline void load_rows(uint32_t (&d)[4], uint32_t row, bool is_turned)
{
    uint16_t mine[8];
    memcpy(mine, shared_at(row), sizeof mine);
    const unsigned char *all = emulated_exchange(mine, sizeof mine);
    const int g = (int)(threadIdx.x % 32) / 4, q = (int)(threadIdx.x % 4);
    for (int m = 0; m < 4; m++) {
        uint16_t pair[2];
        for (int i = 0; i < 2; i++) {
            const int r = is_turned ? 2 * q + i : g, c = is_turned ? g : 2 * q + i;
            memcpy(&pair[i], all + 64 * (8 * m + r) + 2 * c, 2);
        }
        memcpy(&d[m], pair, 4);
    }
}
inline void load_matrices(uint32_t (&d)[4], uint32_t row)
{
    load_rows(d, row, false);
}
inline void load_matrices_turned(uint32_t (&d)[4], uint32_t row)
{
    load_rows(d, row, true);
}
inline uint4 load16(const void *p)
{
    uint4 v;
    if ((uintptr_t)p % 16)
        abort(); /* the card would fault */
    memcpy(&v, p, sizeof v);
    return v;
}
inline uint4 load_stream(const void *p)
{
    return load16(p);
}
inline void copy_async(uint32_t to, const void *from, bool is_there)
{
    if (to % 16 || (uintptr_t)from % 16)
        abort();
    memset(shared_at(to), 0, 16);
    if (is_there)
        memcpy(shared_at(to), from, 16);
}
inline void copy_async_commit() {}
template <int N> inline void copy_async_wait() {}

#endif
