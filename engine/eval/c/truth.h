/* SPDX-License-Identifier: Apache-2.0
 *
 * truth.h: what a task's outputs must be, and how far an honest float program may be from it.
 *
 * A task's text may come from anybody's queue, so it is treated as a candidate's is: compiled by the jailed compiler,
 * run in a jailed template, refused below the floor.
 */
#ifndef VT_EVAL_C_TRUTH_H
#define VT_EVAL_C_TRUTH_H

#include "base/thread.h"
#include "eval/c/broker.h"
#include "eval/c/compare.h"

typedef struct vt_truth vt_truth;
struct vt_truth_opts {
    const char *cxx; /* NULL = $CXX or g++ */
    const char *cc;  /* for units whose truth is a spread; NULL = $CC or cc */
    const char *dir; /* folder where compiled truths are kept by content; created; required */
    struct vt_broker *broker;
    vt_lease *lease;
    double timeout_s;  /* of one run; 0 = 20 s. The compiler gets 60 s */
    bool allow_unsafe; /* below the floor, too */
};
/* Compiles the body with `float` replaced by the value-and-error type, or finds what the same content became before.
 * EFORMAT with the compiler's first message when the body is not in the common subset of C and C++. */
vt_status vt_truth_new(vt_task *task, const struct vt_truth_opts *o, vt_truth **out, vt_err *err) VT_MUST_USE;
void vt_truth_free(vt_truth *t); /* NULL is allowed */
/* The truth of one input set; floats: the float scalars in their order, NULL: the task's own values. Inputs are read
 * from buf, entries of pure outputs may be NULL. ETIMEOUT at the deadline, EFORMAT when the task's text crashed or
 * tried a system call. One thread at a time. Release with vt_expect_free. */
vt_status vt_truth_run(vt_truth *t, const char *scale, const float *floats, const void *const buf[],
                       struct vt_expect *out, vt_err *err) VT_MUST_USE;

#endif
