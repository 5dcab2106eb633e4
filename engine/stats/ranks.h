/* SPDX-License-Identifier: Apache-2.0
 *
 * ranks.h: ranks and the rank correlations. Ranks are averaged over ties and start at 1. Values must be finite: the
 * caller refuses others, because a NaN has no rank.
 */
#ifndef VT_STATS_RANKS_H
#define VT_STATS_RANKS_H

#include "stats/stats.h"
#include <stdbool.h>

/* Writes the ranks of x. Both counts may be NULL: n_tied is how many values equal another one, ties the sum of t^3 - t
 * over groups of t equal ones. */
vt_status vt_ranks(const double *x, size_t n, double *ranks, size_t *n_tied, double *ties, vt_err *err) VT_MUST_USE;

/* A correlation, its interval and its p-value against no relation; n_tied counts values of either side that equal
 * another of their side. value is NaN when a side is constant, lo, hi and p where n is too small for them. */
struct vt_correlation {
    double value, lo, hi, p, p_min;
    size_t n, n_tied;
    bool is_exact;
};

/* Spearman's rho. NaN when n < 2 or a side is constant. */
vt_status vt_spearman(const double *x, const double *y, size_t n, double *rho, vt_err *err) VT_MUST_USE;
/* With p by Student's t on n - 2 degrees of freedom and the interval of Bonett and Wright (2000): Fisher's z with
 * variance (1 + rho^2 / 2) / (n - 3). */
vt_status vt_spearman_test(const double *x, const double *y, size_t n, double level, struct vt_correlation *out,
                           vt_err *err) VT_MUST_USE;
/* Rho of x and y given z: the partial correlation of the three rhos, one degree of freedom less. */
vt_status vt_partial_spearman(const double *x, const double *y, const double *z, size_t n, double level,
                              struct vt_correlation *out, vt_err *err) VT_MUST_USE;
/* Pairs come in clusters (cluster[i] < n_clusters, as tasks): rho of all pairs, with the standard error of Fisher's z
 * by the jackknife over clusters and Student's t on n_clusters - 1 degrees of freedom. Pairs of one cluster may depend
 * on each other in any way, be copies too. */
vt_status vt_spearman_clusters(const double *x, const double *y, const size_t *cluster, size_t n, size_t n_clusters,
                               double level, struct vt_correlation *out, vt_err *err) VT_MUST_USE;
/* Kendall's tau-b. Without ties and up to 50 pairs p counts permutations by their inversions; else it is normal with
 * the variance corrected for ties (Kendall 1970). Interval: Fisher's z with variance 0.437 / (n - 4) (Fieller 1957). */
vt_status vt_kendall(const double *x, const double *y, size_t n, double level, struct vt_correlation *out,
                     vt_err *err) VT_MUST_USE;

/* Cliff's delta, P(x > y) - P(x < y), with the interval of Feng and Cliff (2004) from the consistent variance. p: the
 * Mann-Whitney test, normal with tie and continuity corrections. */
vt_status vt_cliffs_delta(const double *x, size_t n_x, const double *y, size_t n_y, double level,
                          struct vt_correlation *out, vt_err *err) VT_MUST_USE;

#endif
