/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.h: from a model's answer to CUDA text.
 */
#ifndef VT_EVAL_CUDA_ANSWER_H
#define VT_EVAL_CUDA_ANSWER_H

#include "eval/extract.h"
#include <vegttt/task.h>

/* The fenced block that defines kernels and has a launch plan (the last such one; else the last with a kernel), or the
 * whole text when it has no fences. Like vt_extract, a pure function of the bytes. */
vt_status vt_cuda_extract(const char *text, size_t len, bool is_answer, struct vt_code *out, vt_err *err) VT_MUST_USE;
/* The same tokens and the same plan: the shown text again. */
bool vt_cuda_is_copy(const char *reference, const struct vt_code *code);

#endif
