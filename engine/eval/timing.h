/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.h: interleaved timing of two kernels on a lane (DECISIONS.md section 4). How a kernel is called and clocked is
 * the caller's to say.
 */
#ifndef VT_EVAL_TIMING_H
#define VT_EVAL_TIMING_H

#include "eval/estimate.h"
#include "eval/tier.h"
#include "eval/turns.h"

/* One clocked call of the reference or the candidate on set `set` of the timed pool. */
typedef vt_status vt_timed_call(void *arg, bool is_reference, size_t set, uint64_t random, struct vt_check *out,
                                vt_err *err);
typedef bool vt_timing_watch(void *arg, enum vt_watch what);

struct vt_timing_opts {
    vt_timed_call *call;
    vt_timing_watch *watch;
    void *arg;     /* of both */
    size_t n_sets; /* timed on sets 0..n_sets-1; at most VT_MAX_TIMED_SETS */
    vt_lease *lease;
    const struct vt_place *place; /* the lane: held batch by batch */
    struct vt_turns *turns;       /* of the lane; among processes */
    uint64_t seed;
    int min_pairs, max_pairs;
    double precision; /* see vt_trials_settle */
    /* A baseline may be far slower than the candidates. Its fastest runs, a set each (0 = none yet), are kept by the
     * caller from one timing to the next; NULL: it runs in every pair. */
    uint64_t *known_ns;
    double close;     /* |log(a/b)| below which it runs in every pair all the same, */
    int min_close;    /* and of which there are so many at least */
    double budget_ms; /* of clocked, undisturbed time; on a busy machine the wall time may be three times that */
};
/* When a call of the candidate fails, *failed is set and *failure says how; the reference's failure is EINTERNAL, or
 * ETIMEOUT. */
vt_status vt_timing_run(const struct vt_timing_opts *o, struct vt_trials *out, bool *failed, struct vt_check *failure,
                        vt_err *err) VT_MUST_USE;

#endif
