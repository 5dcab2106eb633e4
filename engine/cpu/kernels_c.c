/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_c.c: the kernels in plain C (SSE2 or NEON through the compiler's vectors), the fallback of every machine. The
 * code is in the templates (rows_impl.h, gemm_impl.h, attention_impl.h), compiled here for this instruction set. Both
 * precisions compute in fp32: FAST only means that 4-bit, 8-bit and bf16 weights stay small in memory.
 */
#include "cpu/kernels_isa.h"

#include "cpu/attention_impl.h"

const struct vt_kernels vt_kernels_c = VT_KERNELS_FP32("c");
