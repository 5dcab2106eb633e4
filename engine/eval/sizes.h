/* SPDX-License-Identifier: Apache-2.0
 *
 * sizes.h: the sizes that decide, drawn in secret.
 */
#ifndef VT_EVAL_SIZES_H
#define VT_EVAL_SIZES_H

#include "eval/check.h"

enum { VT_MAX_DRAWN = 400 };

/* Draws sizes from the task's ranges around those of `scale` and writes them out as scales. The first ones are of
 * every kind: three tiny ones, among them 1, 2 and 3 where the task allows them, primes, multiples of 8, multiples of
 * 64, unequal ones, and for each size one where it is as large as the scale's cost allows. With `all_residues` others
 * follow until every size has had every residue modulo 64 that its range allows. A pure function of its arguments.
 * Returns how many; none when the task's sizes cannot vary. */
size_t vt_sizes_draw(const vt_task *t, const char *scale, bool all_residues, uint64_t key,
                     char out[VT_MAX_DRAWN][VT_SCALE_SIZE]);

#endif
