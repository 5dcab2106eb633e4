/* SPDX-License-Identifier: Apache-2.0
 *
 * stats.h: the statistics that tables and verdicts are made of. Pure functions of arrays: no I/O, no Lua, no threads,
 * no state; randomness comes from a seed. Every interval says how it was made. Formulas name their source; golden
 * values are in tests/unit/stats_stats.c.
 */
#ifndef VT_STATS_STATS_H
#define VT_STATS_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

struct vt_interval {
    double value, lo, hi;
    size_t n;
};

double vt_mean(const double *x, size_t n);           /* NaN when n = 0 */
double vt_sample_sd(const double *x, size_t n);      /* divisor n - 1; NaN when n < 2 */
double vt_geometric_mean(const double *x, size_t n); /* of positive values; NaN when n = 0 or one is <= 0 */
double vt_quantile(double *x, size_t n, double q);   /* sorts x; linear between order statistics (type 7) */

/* The places of x in ascending order of its values, from 0; equal values in the order of their
 * places. */
vt_status vt_order(const double *x, size_t n, size_t *order, vt_err *err) VT_MUST_USE;

/* Percentile bootstrap interval of a statistic over n draws with replacement, n_draws times (Efron 1979). x is read
 * only. level: 0.95. */
typedef double vt_statistic(double *sample, size_t n); /* may reorder its sample */
double vt_stat_mean(double *x, size_t n);
double vt_stat_median(double *x, size_t n);
vt_status vt_bootstrap(const double *x, size_t n, vt_statistic *statistic, size_t n_draws, double level, uint64_t seed,
                       struct vt_interval *out, vt_err *err) VT_MUST_USE;

/* Wilson score interval of a proportion (Wilson 1927). */
struct vt_interval vt_wilson(uint64_t n_success, uint64_t n, double level);

/* Unbiased pass@k from n samples with c successes: 1 - prod_{j<k} (n-c-j)/(n-j) (Chen et al. 2021, eq. 1); 1 when
 * n - c < k; NaN when k > n or k = 0. */
double vt_pass_at_k(uint64_t n, uint64_t c, uint64_t k);
/* Expected maximum of k values drawn without replacement from x (n values, read only): order-statistic weights
 * C(i-1, k-1)/C(n, k). NaN when k > n or k = 0. */
vt_status vt_best_of_k(const double *x, size_t n, size_t k, double *out, vt_err *err) VT_MUST_USE;
/* Of n things of which the first m are ranked and have values, best first: the mean over all subsets of k of the value
 * of the best-ranked one in the subset, 0 where none is: sum of C(n-r, k-1)/C(n, k) x_r. NaN when k > n, k = 0 or m >
 * n. */
double vt_first_of_k(const double *x, size_t m, size_t n, size_t k);

/* Effect size of two proportions, 2 asin sqrt p1 - 2 asin sqrt p2 (Cohen 1988). */
double vt_cohens_h(double p1, double p2);
/* Two-sided exact sign test of n_plus against n_minus (ties left out): P(at least this uneven) under 1/2. */
double vt_sign_test(uint64_t n_plus, uint64_t n_minus);

#endif
