/* SPDX-License-Identifier: Apache-2.0
 *
 * proportions.h: shares of independent trials and how two of them differ. (Wilson's interval, Cohen's h and the sign
 * test are in stats.h.) Samples of one task are no independent trials: what is measured over tasks belongs to
 * resample.h and paired.h.
 */
#ifndef VT_STATS_PROPORTIONS_H
#define VT_STATS_PROPORTIONS_H

#include "stats/stats.h"

/* Exact interval of a proportion (Clopper and Pearson 1934): never covers less than `level`. n > 0, n_success <= n. */
struct vt_interval vt_clopper_pearson(uint64_t n_success, uint64_t n, double level);

/* Difference of two paired proportions, (n_first - n_second) / n, where n_first pairs succeeded on the first side
 * only and n_second on the second only; Agresti and Min's interval (2005: half an observation more in every cell). Its
 * exact p-value is vt_sign_test(n_first, n_second). */
struct vt_interval vt_paired_difference(uint64_t n_first, uint64_t n_second, uint64_t n, double level);

/* Odds ratio of the table {{a, b}, {c, d}} with Woolf's logit interval; half an observation is added to every cell when
 * one is 0 (Haldane 1956). */
struct vt_interval vt_odds_ratio(uint64_t a, uint64_t b, uint64_t c, uint64_t d, double level);

/* The k at which a curve of pass@k reaches `target`: linear in log k between points, after making the curve monotone by
 * its running maximum. k ascends. 0 when the target lies below the first point, INFINITY when above all. */
double vt_equivalent_k(const double *k, const double *pass, size_t n, double target);

#endif
