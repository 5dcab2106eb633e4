/* SPDX-License-Identifier: Apache-2.0
 *
 * c_tier.h: the tier "c": bodies of C functions in jailed processes on the CPU (trust: DECISIONS.md sections 3 to 5).
 */
#ifndef VT_EVAL_C_C_TIER_H
#define VT_EVAL_C_C_TIER_H

#include "eval/tier.h"

extern const struct vt_tier_ops vt_c_tier;

#endif
