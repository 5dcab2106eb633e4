/* SPDX-License-Identifier: Apache-2.0
 *
 * wgmma.cuh: stands in for engine/cuda/wgmma.cuh: every lane computes its own elements where the instruction is begun.
 */
#ifndef VT_CUDA_WGMMA_CUH
#define VT_CUDA_WGMMA_CUH

#include "cuda/common.cuh"

DEVICE uint64_t wgmma_factor(uint32_t shared_address)
{
    return shared_address;
}
DEVICE uint64_t wgmma_column_factor(uint32_t shared_address, uint32_t tile)
{
    return (uint64_t)tile << 32 | shared_address;
}
DEVICE void wgmma_fence() {}
DEVICE void wgmma_commit() {}
template <int N> DEVICE void wgmma_wait() {}

DEVICE float swizzled_at(uint32_t address)
{
    uint16_t bits;
    memcpy(&bits, shared_at(address ^ (address >> 7 & 7) << 4), 2);
    return __uint_as_float((uint32_t)bits << 16);
}
/* Element (row, k) of a factor whose rows are K's; element (k, column) of one whose columns are tiled. */
DEVICE float row_element(uint64_t factor, int row, int k)
{
    return swizzled_at((uint32_t)factor + (uint32_t)(row / 8 * 1024 + row % 8 * 128 + k * 2));
}
DEVICE float column_element(uint64_t factor, int k, int column)
{
    const uint32_t tile = (uint32_t)(factor >> 32);
    return swizzled_at((uint32_t)factor + (uint32_t)(column / 64) * tile +
                       (uint32_t)(k / 8 * 1024 + k % 8 * 128 + column % 64 * 2));
}

template <int N> struct wgmma {
    static void run(float (&d)[N / 2], uint64_t a, uint64_t b, int is_sum)
    {
        const int lane = (int)(threadIdx.x % 32), warp = (int)(threadIdx.x / 32 % 4), g = lane / 4, q = lane % 4;
        float rows[2][16];
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < 16; k++)
                rows[i][k] = row_element(a, 16 * warp + g + 8 * i, k);
        for (int j = 0; j < N / 8; j++)
            for (int c = 0; c < 2; c++) {
                float column[16];
                for (int k = 0; k < 16; k++)
                    column[k] = row_element(b, 8 * j + 2 * q + c, k);
                for (int i = 0; i < 2; i++) {
                    float sum = 0;
                    for (int k = 0; k < 16; k++)
                        sum += rows[i][k] * column[k];
                    d[4 * j + 2 * i + c] = is_sum ? d[4 * j + 2 * i + c] + sum : sum;
                }
            }
    }
};

/* a as mma16816 takes it: the four lanes of a row hold its 16 elements. */
DEVICE void gather_rows(const uint32_t (&a)[4], float (&rows)[2][16])
{
    const unsigned char *all = emulated_exchange(a, sizeof a);
    const int g = (int)(threadIdx.x % 32) / 4;
    for (int k = 0; k < 16; k++) {
        uint32_t from[4];
        memcpy(from, all + 64 * (4 * g + k % 8 / 2), sizeof from);
        for (int i = 0; i < 2; i++)
            rows[i][k] = half_of(from[i + 2 * (k / 8)], k % 2);
    }
}
template <int N, bool IS_COLUMNS> DEVICE void multiply_rows(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, int is_sum)
{
    const int q = (int)(threadIdx.x % 4);
    float rows[2][16];
    gather_rows(a, rows);
    for (int j = 0; j < N / 8; j++)
        for (int c = 0; c < 2; c++) {
            float column[16];
            for (int k = 0; k < 16; k++)
                column[k] = IS_COLUMNS ? column_element(b, k, 8 * j + 2 * q + c) : row_element(b, 8 * j + 2 * q + c, k);
            for (int i = 0; i < 2; i++) {
                float sum = 0;
                for (int k = 0; k < 16; k++)
                    sum += rows[i][k] * column[k];
                d[4 * j + 2 * i + c] = is_sum ? d[4 * j + 2 * i + c] + sum : sum;
            }
        }
}
template <int N> struct wgmma_rows {
    static void run(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, int is_sum)
    {
        multiply_rows<N, false>(d, a, b, is_sum);
    }
};
template <int N> struct wgmma_columns {
    static void run(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b, int is_sum)
    {
        multiply_rows<N, true>(d, a, b, is_sum);
    }
};

#endif
