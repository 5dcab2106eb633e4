/* SPDX-License-Identifier: Apache-2.0
 *
 * estimate.h: from interleaved pairs of run times to a speedup, its interval, and whether more pairs are needed.
 */
#ifndef VT_EVAL_ESTIMATE_H
#define VT_EVAL_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VT_MAX_PAIRS = 1000, VT_MAX_TIMED_SETS = 8 };

struct vt_pair {
    uint64_t a_ns, b_ns;        /* the reference's and the candidate's run on the same input set */
    uint8_t set;                /* which one, below n_sets */
    bool a_first, is_disturbed; /* the kernel took a core away during one of the two */
    bool is_stored;             /* a_ns is of earlier runs, corrected by the last anchor (timing.h) */
};
struct vt_trials {
    struct vt_pair pair[VT_MAX_PAIRS];
    int n, n_disturbed, n_stored;
    size_t n_sets;            /* timed on, at most VT_MAX_TIMED_SETS */
    double log_ratio, lo, hi; /* log(a/b): the estimate and its interval */
    double a_us, b_us;        /* median over the sets of the fastest run */
    bool by_middle;           /* the estimate is the middle of three: fastest runs did not repeat */
    bool is_settled;          /* the precision asked for was reached */
    bool is_contended;        /* somebody else wanted the cores */
    /* The candidate's runs on a set it had met before, and those that left other bits, within the bound both times. */
    int n_repeats, n_differing;
    double worst;             /* largest error / bound of the candidate's outputs */
    double timed_ms, wall_ms; /* timed: inside undisturbed pairs */
    double wasted_ms;         /* of the wall: how much longer than the reference's the candidate's processes lived */
};
/* Fills log_ratio to is_settled from the pairs, nothing while a set was never timed. Settled: the estimate is within
 * +- precision (a twentieth of a clear difference) for all that can be seen. Where fastest runs do not repeat the
 * interval holds all three estimates. */
bool vt_trials_settle(struct vt_trials *t, double precision);
/* The set that another pair would tell most about. */
size_t vt_trials_next_set(const struct vt_trials *t, double precision);

#endif
