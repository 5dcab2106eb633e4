/* SPDX-License-Identifier: Apache-2.0
 *
 * check_run.c: call, then margins, then every element. The same function judges checks and timed runs, so nothing a
 * kernel could notice tells the one from the other.
 */
#include "eval/c/check_run.h"
#include <string.h>

void vt_check_outputs(const struct vt_pool_sets *pool, const struct vt_set *set, const unsigned char *out_map,
                      struct vt_check_result *out)
{
    void *buf[VT_TASK_MAX_ARRAYS];
    if (out->call.end != VT_CALL_DONE) {
        out->end = VT_CHECK_FAULT;
        return;
    }
    if (!vt_set_margins_hold(set, out_map, out->call.poison, &out->array, &out->is_before)) {
        out->end = VT_CHECK_OVERRUN;
        return;
    }
    /* vt_compare reads only. */
    vt_set_buffers(pool, set, (unsigned char *)(uintptr_t)out_map, buf);
    vt_compare(&set->expect, (const void *const *)buf, &out->compare);
    if (out->compare.n_wrong > 0) {
        out->end = VT_CHECK_WRONG;
        out->n_unwritten = vt_set_unwritten(set, out_map, out->call.poison);
    } else {
        out->end = out->call.was_deferred ? VT_CHECK_DEFERRED : VT_CHECK_RIGHT;
        out->digest = vt_set_digest(set, out_map);
    }
}

vt_status vt_check_run(struct vt_runner *r, const struct vt_pool_sets *pool, const struct vt_outputs *outputs,
                       const struct vt_call_opts *call, struct vt_check_result *out, vt_err *err)
{
    memset(out, 0, sizeof *out);
    out->set = call->set;
    VT_TRY(vt_runner_call(r, call, &out->call, err));
    vt_check_outputs(pool, call->set, outputs->map, out);
    return VT_OK;
}
