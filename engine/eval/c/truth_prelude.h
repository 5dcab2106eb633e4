/* SPDX-License-Identifier: Apache-2.0
 *
 * truth_prelude.h: the fixed text around a task's body in the program that computes its truth.
 */
#ifndef VT_EVAL_C_TRUTH_PRELUDE_H
#define VT_EVAL_C_TRUTH_PRELUDE_H

#include <stdint.h>

/* Before the body, in pieces up to a NULL: the value-and-error type, its functions, the macros. */
extern const char *const vt_truth_prelude[];
extern const char vt_truth_main[]; /* after it: maps the data file, converts, calls vt_call, stores v and r */

enum { VT_TRUTH_MAX_ARRAYS = 12, VT_TRUTH_MAX_SIZES = 24 };
#define VT_TRUTH_MAGIC 0x7674727574683031LL

/* Start of the data file, all int64, the same in vt_truth_main. Offsets are in bytes; 0 = none. */
struct vt_truth_header {
    int64_t magic, n_arrays, n_sizes, total_bytes;
    int64_t size[VT_TRUTH_MAX_SIZES];
    struct {
        int64_t is_float, n_elem, elem_bytes;
        int64_t in;       /* raw input bytes */
        int64_t value, r; /* doubles (float arrays) */
        int64_t out;      /* raw output bytes (integer arrays) */
    } array[VT_TRUTH_MAX_ARRAYS];
};

#endif
