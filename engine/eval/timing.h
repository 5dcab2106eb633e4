/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.h: interleaved timing of two kernels under the machine lease (DECISIONS.md section 4).
 */
#ifndef VT_EVAL_TIMING_H
#define VT_EVAL_TIMING_H

#include "eval/c/check_run.h"
#include "eval/estimate.h"

struct vt_timing_opts {
    const struct vt_pool_sets *pool;
    size_t n_sets; /* timed on sets 0..n_sets-1; at most VT_MAX_TIMED_SETS */
    struct vt_runner *a, *b;
    const struct vt_outputs *outputs; /* the pages both write to: output file 1 */
    vt_lease *lease;
    const struct vt_place *place; /* what a batch holds */
    int machine_lock; /* a file locked during each batch, so that processes on one machine take turns; -1 = none */
    enum vt_call_clock clock;
    int cpu; /* the run core */
    uint64_t seed;
    uint64_t deadline_ns; /* of one call */
    int min_pairs, max_pairs;
    double precision; /* see vt_trials_settle */
    double budget_ms; /* of clocked, undisturbed time; on a busy machine the wall time may be three times that */
};
/* When a call of b fails, *failed is set and *failure says how; a's failure is EINTERNAL. */
vt_status vt_timing_run(const struct vt_timing_opts *o, struct vt_trials *out, bool *failed,
                        struct vt_check_result *failure, vt_err *err) VT_MUST_USE;

#endif
