/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: how arrays lie in the files that a jailed call maps, and at which addresses.
 *
 * A plan places each array at the end of whole pages, 64-byte aligned: what lies before it in its first page and after
 * it up to the page's end is margin, then comes unmapped address space. All inputs lie in one file, outputs in another.
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
vt_status vt_plan_make(const vt_task *t, const char *scale, struct vt_plan *out, vt_err *err) VT_MUST_USE;
/* By hand: from a plan of zeros, array by array, then close. */
vt_status vt_plan_add(struct vt_plan *p, size_t bytes, bool is_in, bool is_out, vt_err *err) VT_MUST_USE;
void vt_plan_close(struct vt_plan *p);

#endif
