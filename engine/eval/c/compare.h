/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.h: outputs in memory against the expected values of one input set, by the rules of eval/check.h.
 */
#ifndef VT_EVAL_C_COMPARE_H
#define VT_EVAL_C_COMPARE_H

#include "eval/check.h"

/* Expected values of one output array. Floats have value and bound (0 with rule VT_EXACT), integers `exact` and, with
 * rule VT_BOUND, a bound beside it. */
struct vt_expect_array {
    enum vt_dtype dtype;
    enum vt_compare_rule compare;
    int64_t n_elem;
    double *value;  /* NULL for integer arrays; a value beyond the float range is stored as the infinity it becomes */
    double *bound;  /* NULL for integers that must be equal */
    int64_t *exact; /* NULL for floats */
    /* Integers made of floats (spread.c): besides, this many elements may be off by at most `loose`. */
    int64_t n_loose;
    double loose;
};
struct vt_expect {
    size_t n_arrays;
    bool is_beyond;                                   /* a value of a float output is no finite number */
    struct vt_expect_array array[VT_TASK_MAX_ARRAYS]; /* pure inputs have n_elem 0 */
};
void vt_expect_free(struct vt_expect *e); /* idempotent */

/* Compares every output in buf with the expectation; adds to nothing, overwrites *out. Thread-safe. */
void vt_compare(const struct vt_expect *e, const void *const buf[], struct vt_compare_result *out);

#endif
