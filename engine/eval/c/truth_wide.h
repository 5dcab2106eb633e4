/* SPDX-License-Identifier: Apache-2.0
 *
 * truth_wide.h: the text around a unit of doubles in the object that computes its truth (truth_prelude.h, of doubles).
 */
#ifndef VT_EVAL_C_TRUTH_WIDE_H
#define VT_EVAL_C_TRUTH_WIDE_H

/* Before the unit, in pieces up to a NULL. */
extern const char *const vt_truth_wide_prelude[];
/* After it and vt_call: VT_TRUTH_SYMBOL(in, out), which finds the arrays by the vt_spread_header at `in`. */
extern const char vt_truth_wide_entry[];
/* Bytes of a float or double as the unit sees it. */
enum { VT_TRUTH_WIDE = 32 };

#endif
