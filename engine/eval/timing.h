/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.h: interleaved timing of two kernels under the machine lease (DECISIONS.md section 4).
 */
#ifndef VT_EVAL_TIMING_H
#define VT_EVAL_TIMING_H

#include "eval/check_run.h"

enum { VT_MAX_PAIRS = 200 };

struct vt_pair {
    uint64_t a_ns, b_ns;        /* the reference's and the candidate's run on the same input set */
    bool a_first, is_disturbed; /* a core was lost during one of the two: kept, not counted */
};
struct vt_trials {
    struct vt_pair pair[VT_MAX_PAIRS];
    int n, n_disturbed;
    double log_ratio, lo, hi; /* median of log(a/b) over the counted pairs, and its bootstrap interval */
    double a_us, b_us;        /* medians */
    bool is_contended;        /* the lease was, or so many pairs were disturbed that all had to be counted */
    double worst;             /* largest error / bound of the candidate's outputs */
    double timed_ms, wall_ms; /* timed: inside undisturbed pairs */
};
struct vt_timing_opts {
    const struct vt_pool_sets *pool;
    size_t n_sets; /* timed on sets 0..n_sets-1 */
    struct vt_runner *a, *b;
    const struct vt_outputs *outputs; /* the pages both write to: output file 1 */
    vt_lease *lease;
    int machine_lock; /* a file locked during each batch, so that processes on one machine take turns; -1 = none */
    enum vt_call_clock clock;
    int cpu; /* the run core */
    uint64_t seed;
    uint64_t deadline_ns; /* of one call */
    int min_pairs, max_pairs;
    double precision;       /* stop when the interval of the ratio lies within 1 +- this of its centre */
    bool stop_when_decided; /* stop, too, when the interval clearly excludes 1 */
    double budget_ms;       /* of clocked, undisturbed time; on a busy machine the wall time may be twenty times that */
};
/* When a call of b fails, *failed is set and *failure says how; a's failure is EINTERNAL. */
vt_status vt_timing_run(const struct vt_timing_opts *o, struct vt_trials *out, bool *failed,
                        struct vt_check_result *failure, vt_err *err) VT_MUST_USE;
/* Distribution-free 95 % interval of the median of n sorted values (order statistics, binomial); indices into x. */
void vt_median_interval(size_t n, size_t *lo, size_t *hi);

#endif
