/* SPDX-License-Identifier: Apache-2.0
 *
 * rounds.h: series of calls, each series in one process: a kernel is a function that people call again.
 */
#ifndef VT_EVAL_ROUNDS_H
#define VT_EVAL_ROUNDS_H

#include "eval/tier.h"

/* Calls in all rounds: of search verdicts, and of kernels that are reported, where one wrong call in 200 shows with
 * 95 % (0.995^600 = 0.049). Every drawn set is met at least once, and so many of them again, so there may be more. */
enum { VT_ROUNDS_FAST = 32, VT_ROUNDS_FULL = 640, VT_ROUNDS_AGAIN = 12 };
/* A series is gone through up to so many times in a process of its own, as long as that stays short. The first series
 * of a kernel that is reported goes on much longer: some ten thousand calls, where a call takes 30 us. */
enum { VT_ROUNDS_TURNS = 12, VT_ROUNDS_MS = 20, VT_ROUNDS_LONG_TURNS = 256, VT_ROUNDS_LONG_MS = 500 };

struct vt_rounds_opts {
    const struct vt_tier_ops *ops;
    const struct vt_tier_caps *caps;
    struct vt_station *station;
    struct vt_candidate *candidate; /* loaded */
    const struct vt_pool *pool;
    size_t n_calls;
    bool is_long;               /* as for a kernel that is reported */
    uint64_t seed, baseline_ns; /* of a call, for deadlines */
    uint64_t slack_ns;
};
struct vt_rounds {
    size_t n_calls, n_processes;
    size_t longest;                /* calls of one process, of which the last were compared */
    size_t n_repeats, n_differing; /* calls on a set met before, and those that left other bits */
    double worst;                  /* largest error / bound */
    bool failed;
    struct vt_check failure;
};
/* On the drawn sets of the pool that are fit, or on the others where no sizes were drawn, in secret order. Does nothing
 * on a tier without series. */
vt_status vt_rounds_run(const struct vt_rounds_opts *o, struct vt_rounds *out, vt_err *err) VT_MUST_USE;

#endif
