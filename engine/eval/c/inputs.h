/* SPDX-License-Identifier: Apache-2.0
 *
 * inputs.h: input sets in memory, by the rules of eval/dists.h.
 */
#ifndef VT_EVAL_C_INPUTS_H
#define VT_EVAL_C_INPUTS_H

#include "eval/check.h"

/* Fills every input array of one set: a pure function of (key, task digest, scale, set, dist, spice). Two sets with
 * different numbers share nothing. Entries of pure outputs may be NULL. About 1 ns an element for uniform, 2 for
 * normal. Weights get new values in each set, too. With `spice` above 0 a few elements of each array, at positions that
 * derive from the key, are what the distribution of that number would have put there. */
vt_status vt_inputs_fill(const vt_task *t, const char *scale, uint64_t key, uint64_t set, int dist, int spice,
                         void *const buf[], vt_err *err) VT_MUST_USE;

#endif
