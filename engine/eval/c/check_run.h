/* SPDX-License-Identifier: Apache-2.0
 *
 * check_run.h: one loaded kernel against one secret input set.
 */
#ifndef VT_EVAL_C_CHECK_RUN_H
#define VT_EVAL_C_CHECK_RUN_H

#include "eval/c/runner.h"

enum vt_check_end {
    VT_CHECK_RIGHT,
    VT_CHECK_WRONG,    /* an element outside its bound */
    VT_CHECK_OVERRUN,  /* the margin of an output was written */
    VT_CHECK_DEFERRED, /* outputs changed after the call said it was done */
    VT_CHECK_FAULT     /* the call did not finish: see call.end */
};
struct vt_check_result {
    enum vt_check_end end;
    const struct vt_set *set;
    struct vt_call_result call;
    struct vt_compare_result compare; /* RIGHT and WRONG */
    uint64_t digest;                  /* RIGHT: of the outputs' bits */
    int64_t n_unwritten;              /* WRONG: elements still holding the poison */
    size_t array;                     /* OVERRUN */
    bool is_before;
};
vt_status vt_check_run(struct vt_runner *r, const struct vt_pool_sets *pool, const struct vt_outputs *outputs,
                       const struct vt_call_opts *call, struct vt_check_result *out, vt_err *err) VT_MUST_USE;
/* The margins and elements of a finished call; fills end, compare and the rest from out->call. */
void vt_check_outputs(const struct vt_pool_sets *pool, const struct vt_set *set, const unsigned char *out_map,
                      struct vt_check_result *out);

#endif
