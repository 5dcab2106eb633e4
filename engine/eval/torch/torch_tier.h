/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_tier.h: the torch tier behind the door of tiers (eval/tier.h): KernelBench problem files, judged by a Python of
 * the user's that has torch.
 */
#ifndef VT_EVAL_TORCH_TORCH_TIER_H
#define VT_EVAL_TORCH_TORCH_TIER_H

#include "eval/tier.h"

extern const struct vt_tier_ops vt_torch_tier;

#endif
