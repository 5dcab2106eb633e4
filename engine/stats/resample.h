/* SPDX-License-Identifier: Apache-2.0
 *
 * resample.h: intervals of a mean over few units (tasks), and p-values of many tests at once. (The percentile bootstrap
 * is in stats.h; with 5 to 20 units it covers 83 to 92 % where 95 % is said.)
 */
#ifndef VT_STATS_RESAMPLE_H
#define VT_STATS_RESAMPLE_H

#include "stats/stats.h"

/* mean +- t sd / sqrt n. NaN bounds when n < 2. */
struct vt_interval vt_student_interval(const double *x, size_t n, double level);

/* Symmetric bootstrap-t (Hall 1988): the quantile of |mean* - mean| / se* over n_draws draws takes the place of
 * Student's. Draws of equal values have no standard error and are left out. NaN bounds when n < 2 or all are equal. */
vt_status vt_bootstrap_t(const double *x, size_t n, size_t n_draws, double level, uint64_t seed,
                         struct vt_interval *out, vt_err *err) VT_MUST_USE;

/* Percentile interval corrected for bias and acceleration (Efron 1987). */
vt_status vt_bootstrap_bca(const double *x, size_t n, vt_statistic *statistic, size_t n_draws, double level,
                           uint64_t seed, struct vt_interval *out, vt_err *err) VT_MUST_USE;

/* Adjusted p-values in the order given: Holm 1979 (chance of any false finding), Benjamini and Hochberg 1995 (share of
 * false findings). */
vt_status vt_holm(const double *p, size_t n, double *adjusted, vt_err *err) VT_MUST_USE;
vt_status vt_benjamini_hochberg(const double *p, size_t n, double *adjusted, vt_err *err) VT_MUST_USE;

#endif
