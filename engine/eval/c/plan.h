/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: how arrays lie in the files that a jailed call maps, and at which addresses.
 *
 * A plan places each array somewhere in whole pages of its own. What lies before and after it there is margin, then
 * comes unmapped address space. All inputs lie in one file, outputs in another.
 */
#ifndef VT_EVAL_C_PLAN_H
#define VT_EVAL_C_PLAN_H

#include "eval/c/worker/protocol.h"
#include "eval/check.h"

struct vt_plan {
    vt_layout layout;                               /* of a task at a scale; of others n_arrays only */
    struct vt_wire_array array[VT_WIRE_MAX_ARRAYS]; /* in_at is relative to a set */
    size_t in_bytes, out_bytes, va_bytes;
    uint32_t n_ints, n_floats;
    int64_t ints[VT_WIRE_MAX_INTS];
    float floats[VT_WIRE_MAX_FLOATS];
};
enum vt_plan_lie {
    VT_LIE_LINES, /* cache lines that end with the pages: what is timed lies alike from set to set */
    VT_LIE_END,   /* the last element ends with the pages, so the start is aligned to no more than an element */
    VT_LIE_START, /* the first element begins with the pages */
    VT_LIE_ANYWHERE
};
/* What the task promises of an array's alignment holds wherever it lies; `key` says where ANYWHERE is. is_small: no
 * array is long, so little unmapped space between them is enough. */
vt_status vt_plan_make(const vt_task *t, const char *scale, enum vt_plan_lie lie, bool is_small, uint64_t key,
                       struct vt_plan *out, vt_err *err) VT_MUST_USE;
/* Can its truth run with other float scalars than the task's? They travel beside the sizes; a unit's are in its text.
 */
bool vt_plan_takes_scalars(const vt_task *t);
/* Gives every float scalar of a made plan a value of its own: 1.25 to 3 times the task's, or as much smaller, drawn
 * from `key`. A kernel that has the task's value written into it is wrong with any other. */
void vt_plan_vary_scalars(const vt_task *t, uint64_t key, struct vt_plan *p);
/* By hand: from a plan of zeros, array by array, then close. The arrays lie in LINES. */
vt_status vt_plan_add(struct vt_plan *p, size_t bytes, bool is_in, bool is_out, vt_err *err) VT_MUST_USE;
void vt_plan_close(struct vt_plan *p);

#endif
