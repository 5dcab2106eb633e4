/* SPDX-License-Identifier: Apache-2.0
 *
 * check_run.c: call, then margins, then every element. The same function judges checks and timed runs, so nothing a
 * kernel could notice tells the one from the other.
 */
#include "eval/c/check_run.h"
#include <string.h>

void vt_check_outputs(const struct vt_pool_sets *pool, size_t set_at, size_t against, const unsigned char *out_map,
                      const struct vt_call_result *raw, struct vt_check *out)
{
    const struct vt_set *set = &pool->set[set_at];
    void *buf[VT_TASK_MAX_ARRAYS];
    memset(out, 0, sizeof *out);
    out->set = set_at;
    out->ns = raw->ns;
    out->after_ns = raw->after_ns;
    out->was_disturbed = raw->was_preempted;
    if (!vt_set_margins_hold(set, out_map, raw->poison, &out->array, &out->is_before)) {
        out->end = VT_CHECK_OVERRUN;
        return;
    }
    /* vt_compare reads only. */
    vt_set_buffers(pool, set, (unsigned char *)(uintptr_t)out_map, buf);
    vt_compare(&pool->set[against].expect, (const void *const *)buf, &out->compare);
    if (out->compare.n_wrong > 0) {
        out->end = VT_CHECK_WRONG;
        out->n_unwritten = vt_set_unwritten(set, out_map, raw->poison);
    } else {
        out->end = raw->was_deferred ? VT_CHECK_DEFERRED : VT_CHECK_RIGHT;
        out->digest = vt_set_digest(set, out_map);
    }
}

vt_status vt_check_run(struct vt_runner *r, const struct vt_pool_sets *pool, size_t set, size_t against,
                       const struct vt_outputs *outputs, struct vt_call_opts *call, struct vt_check *out,
                       struct vt_call_result *raw, vt_err *err)
{
    const struct vt_set *s = &pool->set[set];
    call->plan = s->plan;
    call->in_at = s->in_at;
    VT_TRY(vt_runner_call(r, call, raw, err));
    if (raw->end == VT_CALL_DONE)
        vt_check_outputs(pool, set, against, outputs->map, raw, out);
    else
        *out = (struct vt_check){.end = VT_CHECK_FAULT,
                                 .is_timeout = raw->end == VT_CALL_TIMEOUT,
                                 .set = set,
                                 .ns = raw->ns,
                                 .was_disturbed = raw->was_preempted};
    return VT_OK;
}
