/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_isa.h: the tables of the single instruction sets, for kernels.c, which picks one. The bf16 and AMX files
 * replace only some entries of the AVX-512 table, each through its function below.
 */
#ifndef VT_CPU_KERNELS_ISA_H
#define VT_CPU_KERNELS_ISA_H

#include "cpu/kernels.h"

/* A table whose entries are the templates' functions of the including file. */
#define VT_KERNELS_FP32(isa)                                                                                           \
    {                                                                                                                  \
        .name = isa, .acts_pack = acts_pack_f32, .gemm = gemm_f32, .gemm_tn = gemm_tn_f32,                             \
        .page_bytes = page_bytes_f32, .kv_put = kv_put_f32, .query_pack = query_pack_f32, .attend = attend_f32,        \
        .attend_backward = attend_backward_f32, .rmsnorm = row_rmsnorm, .rmsnorm_backward = row_rmsnorm_backward,      \
        .rope = row_rope, .silu_mul = row_silu_mul, .silu_mul_backward = row_silu_mul_backward, .add = row_add,        \
        .axpy = row_axpy, .scale = row_scale, .dot = row_dot, .sum_squares = row_sum_squares, .max = row_max,          \
        .exp_sum = row_exp_sum, .soft_sums = row_soft_sums, .adam = row_adam                                           \
    }

extern const struct vt_kernels vt_kernels_c;
#if defined(__x86_64__)
extern const struct vt_kernels vt_kernels_avx2, vt_kernels_avx512;
void vt_kernels_bf16_gemm(struct vt_kernels *k);
void vt_kernels_amx_gemm(struct vt_kernels *k);
/* gemm for codes, whose activations gemm_amx.c packs. */
void vt_kernels_amx_digits(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                           size_t ldy, bool add);
void vt_kernels_amx_attention(struct vt_kernels *k);
void vt_kernels_amx_backward(struct vt_kernels *k);
#endif

#endif
