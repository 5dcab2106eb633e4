/* SPDX-License-Identifier: Apache-2.0
 *
 * reference.h: a task's own CUDA text: the naive version that a model is shown, which is also the baseline, and the
 * truth, which is the same text over the value-and-error type.
 */
#ifndef VT_EVAL_CUDA_REFERENCE_H
#define VT_EVAL_CUDA_REFERENCE_H

#include "base/buf.h"
#include "eval/check.h"
#include "eval/cuda/plan.h"

/* The naive text with its launch plan: the task's own, or one thread for each iteration of the loops that its C body
 * begins with. EUNSUPPORTED, saying what in the body is in the way, when neither is there. out is initialised here. */
vt_status vt_cuda_reference(const vt_task *t, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* The unit whose kernels vt_truth_0, vt_truth_1 … (one for each launch of the plan) compute or judge the truth: each
 * takes a `const struct vt_dev_sink *`, then the launch's arguments; outputs are passed as the array's number. */
vt_status vt_cuda_truth_unit(const vt_task *t, const char *reference, const struct vt_launch_plan *plan,
                             struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* A candidate's unit: its text behind a few names of C. */
vt_status vt_cuda_candidate_unit(const char *text, size_t len, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* The unit of the trusted kernels (device/kernels.cuh). */
vt_status vt_cuda_kernels_unit(struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
