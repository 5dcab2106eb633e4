/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.h: what of the evaluator the public header (vegttt/eval.h) does not show.
 */
#ifndef VT_EVAL_EVAL_H
#define VT_EVAL_EVAL_H

#include "eval/tier.h"

/* vt_eval_open over another table of tiers. */
vt_status vt_eval_open_tiers(const struct vt_eval_opts *o, const struct vt_tier_ops *const *table, vt_eval **out,
                             vt_err *err) VT_MUST_USE;

#endif
