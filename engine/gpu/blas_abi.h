/* SPDX-License-Identifier: Apache-2.0
 *
 * blas_abi.h: the values and structs of cuBLASLt's binary interface that blas.c uses. Private to engine/gpu and to
 * tests/gpu/abi.c, which compares them with the toolkit's header.
 */
#ifndef VT_GPU_BLAS_ABI_H
#define VT_GPU_BLAS_ABI_H

#include <stddef.h>
#include <stdint.h>

enum {
    VT_LT_OK = 0,
    VT_LT_OP_N = 0,
    VT_LT_OP_T = 1,
    VT_LT_R_32F = 0,
    VT_LT_R_16BF = 14,
    VT_LT_COMPUTE_32F = 68,
    VT_LT_DESC_TRANSA = 3,
    VT_LT_DESC_TRANSB = 4,
    VT_LT_PREF_WORKSPACE = 1,
    VT_LT_PREF_REDUCTION = 3,
    VT_LT_PREF_ALIGN_A = 5,
    VT_LT_PREF_ALIGN_D = 8,
    VT_LT_REDUCTION_NONE = 0,
    VT_LT_REDUCTION_COMPUTE_TYPE = 2
};

struct vt_lt_algo {
    uint64_t data[8];
};
struct vt_lt_result {
    struct vt_lt_algo algo;
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};

#endif
