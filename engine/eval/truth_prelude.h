/* SPDX-License-Identifier: Apache-2.0
 *
 * truth_prelude.h: the fixed text around a task's body in the object that computes its truth. The first two pieces, the
 * value-and-error type and its functions, are those of every tier; the rest is for C++ on the CPU.
 */
#ifndef VT_EVAL_TRUTH_PRELUDE_H
#define VT_EVAL_TRUTH_PRELUDE_H

#include <stdint.h>

/* Before the body, in pieces up to a NULL: the value-and-error type, its functions, the macros. */
enum { VT_TRUTH_N_TYPE = 2 };
extern const char *const vt_truth_prelude[];
/* After it: the function VT_TRUTH_SYMBOL(in, out), which finds the arrays by the header at `in` and calls the body. */
extern const char vt_truth_entry[];
#define VT_TRUTH_SYMBOL "vt_truth"

enum { VT_TRUTH_MAX_ARRAYS = 12, VT_TRUTH_MAX_SIZES = 24 };

/* A float as the body sees it. */
struct vt_truth_real {
    double v, r;
};
/* Start of the inputs, all int64, the same in vt_truth_entry. Floats lie as vt_truth_real, integers as they are.
 * Offsets are in bytes, from the start of the inputs (`in`) and of the outputs (`out`); -1 = none. */
struct vt_truth_header {
    int64_t n_arrays, n_sizes, size[VT_TRUTH_MAX_SIZES];
    struct {
        int64_t is_float, n_elem, bytes;
        int64_t in, out; /* both: state */
    } array[VT_TRUTH_MAX_ARRAYS];
};

#endif
