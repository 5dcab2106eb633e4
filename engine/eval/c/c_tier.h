/* SPDX-License-Identifier: Apache-2.0
 *
 * c_tier.h: the tier "c": bodies of C functions in jailed processes on the CPU (trust: DECISIONS.md sections 3 to 5).
 */
#ifndef VT_EVAL_C_C_TIER_H
#define VT_EVAL_C_C_TIER_H

#include "eval/tier.h"

extern const struct vt_tier_ops vt_c_tier;

/* Evaluator with toolchain, and machine class, of the tier that would be opened with the compiler cc (NULL: the usual
 * one), without opening it: vt_eval_version and vt_eval_machine are these. */
struct vt_c_identity {
    char version[96], machine[160];
};
vt_status vt_c_identity_of(const char *cc, struct vt_c_identity *out, vt_err *err) VT_MUST_USE;

#endif
