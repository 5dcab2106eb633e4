/* SPDX-License-Identifier: Apache-2.0
 *
 * from_c.h: CUDA text that follows from a task's C body.
 */
#ifndef VT_EVAL_CUDA_FROM_C_H
#define VT_EVAL_CUDA_FROM_C_H

#include "base/buf.h"
#include "eval/check.h"

/* Appends the text with its launch plan. EUNSUPPORTED says what in the body is in the way. */
vt_status vt_cuda_from_c(const vt_task *t, struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
