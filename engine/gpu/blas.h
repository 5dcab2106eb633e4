/* SPDX-License-Identifier: Apache-2.0
 *
 * blas.h: large dense matrix products by cuBLASLt, opened at run time. Matrices are row-major; bf16 factors, fp32
 * accumulation, a bf16 or fp32 result. For each shape one algorithm is chosen, cuBLASLt's first choice, and kept: the
 * same shapes give the same bits on every run on one kind of card with one version of the library. Partial sums of a
 * product that is split along k are added in fp32.
 */
#ifndef VT_GPU_BLAS_H
#define VT_GPU_BLAS_H

#include "gpu/gpu.h"

typedef struct vt_gpu_blas vt_gpu_blas;

/* d[m][n] = (or +=) alpha * sum over k of x[m][k] y[k][n]; sums in fp32, one rounding. */
struct vt_gpu_matmul {
    vt_gpu_ptr x, y, d;
    int m, n, k;
    int ldx, ldy, ldd; /* elements between rows as stored */
    bool x_by_k;       /* x is stored [k][m] */
    bool y_by_n;       /* y is stored [n][k], as weights are */
    bool is_f32;       /* of d */
    bool add;
    vt_gpu_ptr to;   /* what is added to, laid out as d; 0 = d itself */
    bool is_unsplit; /* an element is one chain over k in order: its bits do not depend on how many rows x has */
    float alpha;     /* 0 = 1 */
};

/* The workspace is one allocation of g. One handle serves one stream. */
vt_status vt_gpu_blas_open(vt_gpu *g, size_t workspace, vt_gpu_blas **out, vt_err *err) VT_MUST_USE;
void vt_gpu_blas_close(vt_gpu_blas *b);
vt_status vt_gpu_matmul(vt_gpu_blas *b, vt_cu_stream s, const struct vt_gpu_matmul *m, vt_err *err) VT_MUST_USE;
/* "cuBLASLt 13.0.2 (libcublasLt.so.13)": version and file; opens the library. */
vt_status vt_gpu_blas_describe(char *out, size_t len, vt_err *err) VT_MUST_USE;

#endif
