/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.h: a task made ready exactly as the evaluator would, and how far its own texts stay from the bound on every
 * input set; for `vegttt task check`. It blocks: it belongs to a caller that has nothing else to do.
 */
#ifndef VT_EVAL_PROBE_H
#define VT_EVAL_PROBE_H

#include "eval/tier.h"

struct vt_probe_set {
    const char *scale; /* lent by the probe */
    char inputs[512];
    double worst[VT_N_REFERENCES]; /* largest error / bound; infinity: it did not come to a comparison */
};
struct vt_probe {
    size_t n_sets;
    struct vt_probe_set set[VT_POOL_MAX_SETS];
    bool has[VT_N_REFERENCES];
    bool is_stale_refused; /* the answer of one set does not pass for another's */
    struct vt_pool pool;
};
/* tier NULL = the default. EFORMAT when the task itself is at fault. */
vt_status vt_probe_task(const char *tier, vt_task *t, vt_protocol protocol, vt_lease *lease, bool allow_unsafe,
                        struct vt_probe *out, vt_err *err) VT_MUST_USE;

#endif
