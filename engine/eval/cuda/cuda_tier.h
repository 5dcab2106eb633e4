/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_tier.h: the tier "cuda": device-only CUDA C++ with a launch plan, on NVIDIA GPUs.
 */
#ifndef VT_EVAL_CUDA_CUDA_TIER_H
#define VT_EVAL_CUDA_CUDA_TIER_H

#include "eval/tier.h"

extern const struct vt_tier_ops vt_cuda_tier;
/* Can the tier work on this machine? OK, or what is missing in one sentence. Asks the driver in a process of its own. */
vt_status vt_cuda_tier_look(char name[128], vt_err *err) VT_MUST_USE;

#endif
