/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_tier.h: the tier "cuda": device-only CUDA C++ with a launch plan, on NVIDIA GPUs.
 */
#ifndef VT_EVAL_CUDA_CUDA_TIER_H
#define VT_EVAL_CUDA_CUDA_TIER_H

#include "eval/tier.h"

extern const struct vt_tier_ops vt_cuda_tier;

#endif
