/* SPDX-License-Identifier: Apache-2.0
 *
 * paired.h: tests of paired differences, one per task: is one way of spending compute better than another on the same
 * tasks? Differences must be finite. Every test says the smallest p that its data could have given: five pairs cannot
 * reach 0.05 however they fall.
 */
#ifndef VT_STATS_PAIRED_H
#define VT_STATS_PAIRED_H

#include "stats/stats.h"
#include <stdbool.h>

struct vt_paired_test {
    double statistic, p, p_min;
    size_t n, n_zero, n_tied; /* pairs, differences of 0, differences whose size equals another's */
    bool is_exact;
};

enum vt_zeros { VT_ZEROS_DROPPED, VT_ZEROS_PRATT }; /* left out; or ranked first and then left out (Pratt 1959) */

/* Wilcoxon's signed-rank test, two-sided; the statistic is the sum of the positive ranks. Up to 50 ranked differences
 * the distribution is that of random signs on the ranks as they are, ties included; beyond it is normal, corrected for
 * ties and continuity. */
vt_status vt_wilcoxon(const double *d, size_t n, enum vt_zeros zeros, struct vt_paired_test *out,
                      vt_err *err) VT_MUST_USE;
/* The median of the Walsh averages (d[i] + d[j]) / 2, i <= j, and the interval that Wilcoxon's test gives when it is
 * inverted (Hodges and Lehmann 1963). lo and hi are NaN where no interval has the level. */
vt_status vt_hodges_lehmann(const double *d, size_t n, double level, struct vt_interval *out, vt_err *err) VT_MUST_USE;

/* Are the signs of the differences random? The statistic is their mean; two-sided. All 2^n ways are tried while they
 * are at most 2^16, else n_draws drawn ones, of which p counts the observed one too (Phipson and Smyth 2010). */
vt_status vt_sign_flip(const double *d, size_t n, size_t n_draws, uint64_t seed, struct vt_paired_test *out,
                       vt_err *err) VT_MUST_USE;
/* Two independent samples: does it matter which value belongs to which? The statistic is the difference of means. All
 * splits are tried while they are at most 200,000. */
vt_status vt_permutation(const double *x, size_t n_x, const double *y, size_t n_y, size_t n_draws, uint64_t seed,
                         struct vt_paired_test *out, vt_err *err) VT_MUST_USE;

/* Power by simulation: n_tasks differences are drawn with replacement from the pilot's, moved so that their mean is
 * `effect`, n_simulations times; counts the tests whose p is below alpha. */
enum vt_power_test { VT_POWER_WILCOXON, VT_POWER_SIGN_FLIP, VT_POWER_SIGN };
struct vt_power_request {
    const double *pilot;
    size_t n_pilot, n_tasks, n_simulations;
    double effect, alpha;
    enum vt_power_test test;
    uint64_t seed;
};
vt_status vt_power(const struct vt_power_request *r, size_t *n_significant, vt_err *err) VT_MUST_USE;

#endif
