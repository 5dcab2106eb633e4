/* SPDX-License-Identifier: Apache-2.0
 *
 * amx.h: AMX tiles as assembler statements. The compilers' own intrinsics do not tell them that a tile load reads
 * memory (gcc 12 moves or drops the stores before it), so every access here clobbers memory. Tile numbers are literals.
 *
 * Use of the eight tiles everywhere: 0-3 accumulators, 4-5 left operands (rows of activations), 6-7 right operands
 * (16 rows of k, 16 columns). TILE_DP multiplies pairs of bf16 and adds in fp32, flushing denormals; TILE_DP_BYTES
 * fours of signed bytes and adds in int32. A row's result depends on that row only.
 */
#ifndef VT_CPU_AMX_H
#define VT_CPU_AMX_H

#include <stddef.h>
#include <stdint.h>

#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t ::)
#define TILE_LOAD(t, p, stride)                                                                                        \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"((const void *)(p)), "r"((size_t)(stride)) : "memory")
#define TILE_STORE(t, p, stride)                                                                                       \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"((void *)(p)), "r"((size_t)(stride)) : "memory")
#define TILE_DP_BYTES(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)
#define TILE_DP(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Accumulators 0, 1 and left operand 4 get `rows` rows, accumulators 2, 3 and left operand 5 get `rows_2` (>= 1). */
static inline void tiles_configure(int rows, int rows_2)
{
    struct tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.row_bytes[i] = 64;
        c.rows[i] = (uint8_t)(i >= 6 ? 16 : i == 2 || i == 3 || i == 5 ? rows_2 : rows);
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(c) : "memory");
}

static inline void tiles_release(void)
{
    __asm__ volatile("tilerelease" ::: "memory");
}

#endif
