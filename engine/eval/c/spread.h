/* SPDX-License-Identifier: Apache-2.0
 *
 * spread.h: the truth of a user's unit that is outside the common subset of C and C++, or whose outputs are integers.
 */
#ifndef VT_EVAL_C_SPREAD_H
#define VT_EVAL_C_SPREAD_H

#include "base/buf.h"
#include "eval/c/compare.h"

enum { VT_SPREAD_RUNS = 8 };

/* Start of the inputs, all int64, the same in the text that vt_spread_source makes. Offsets are in bytes from the start
 * of the inputs (`in`) and of the outputs (`out`, `work`); -1 = none. */
struct vt_spread_header {
    int64_t n_arrays, n_sizes, size[VT_TASK_MAX_SIZES];
    struct {
        int64_t dtype, n_elem, bytes;
        int64_t in;   /* the array as it is */
        int64_t out;  /* a vt_spread_result an element */
        int64_t work; /* the array while a run works on it */
    } array[VT_TASK_MAX_ARRAYS];
};
struct vt_spread_result {
    union {
        double value;
        int64_t exact;
    };
    double off; /* floats: the largest difference of the runs; integers: how far a result may lie from `exact` */
};

/* C text of an object whose VT_TRUTH_SYMBOL(in, out) makes the runs. */
void vt_spread_source(const vt_task *t, struct vt_buf *out);
/* Places the arrays; in and out begin at *in_bytes and *out_bytes and are raised. wide: bytes of a float or double
 * while it is worked on; 0 = its own. */
void vt_spread_place(const vt_task *t, const vt_layout *l, size_t wide, struct vt_spread_header *h, size_t *in_bytes,
                     size_t *out_bytes);
/* Values and bounds of output i, rows of `row` elements, from what a run left at `out`. *step: the largest difference
 * of integers that any run of this truth has shown in this array; raised here. k: floats have a bound of k times `off`;
 * 0 = that of runs. */
vt_status vt_spread_collect(const vt_task *t, const struct vt_spread_header *h, size_t i, const unsigned char *out,
                            int64_t row, double k, double *step, struct vt_expect_array *e, vt_err *err) VT_MUST_USE;

#endif
