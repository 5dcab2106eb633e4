/* SPDX-License-Identifier: Apache-2.0
 *
 * proportions.c: exact and approximate intervals of proportions and of their differences, and the inverse of a pass@k
 * curve. Counts come in as integers, so that nobody passes a share where a number of successes is meant.
 */
#include "stats/proportions.h"
#include "stats/distributions.h"
#include <math.h>

struct vt_interval vt_clopper_pearson(uint64_t n_success, uint64_t n, double level)
{
    double k = (double)n_success, m = (double)n, tail = (1 - level) / 2;

    return (struct vt_interval){.value = k / m,
                                .lo = n_success == 0 ? 0 : vt_beta_quantile(tail, k, m - k + 1),
                                .hi = n_success == n ? 1 : vt_beta_quantile(1 - tail, k + 1, m - k),
                                .n = (size_t)n};
}

struct vt_interval vt_paired_difference(uint64_t n_first, uint64_t n_second, uint64_t n, double level)
{
    double b = (double)n_first + 0.5, c = (double)n_second + 0.5, m = (double)n + 2, middle = (b - c) / m;
    double half = vt_normal_quantile((1 + level) / 2) * sqrt(b + c - (b - c) * (b - c) / m) / m;

    return (struct vt_interval){.value = ((double)n_first - (double)n_second) / (double)n,
                                .lo = fmax(-1, middle - half),
                                .hi = fmin(1, middle + half),
                                .n = (size_t)n};
}

struct vt_interval vt_odds_ratio(uint64_t a, uint64_t b, uint64_t c, uint64_t d, double level)
{
    double more = a && b && c && d ? 0 : 0.5;
    double wa = (double)a + more, wb = (double)b + more, wc = (double)c + more, wd = (double)d + more;
    double value = log(wa) + log(wd) - log(wb) - log(wc);
    double half = vt_normal_quantile((1 + level) / 2) * sqrt(1 / wa + 1 / wb + 1 / wc + 1 / wd);

    return (struct vt_interval){
        .value = exp(value), .lo = exp(value - half), .hi = exp(value + half), .n = (size_t)(a + b + c + d)};
}

double vt_equivalent_k(const double *k, const double *pass, size_t n, double target)
{
    double reached;

    if (n == 0 || target < pass[0])
        return n == 0 ? (double)NAN : 0;
    reached = pass[0];
    for (size_t i = 1; i < n; i++) {
        double next = fmax(reached, pass[i]);

        if (target <= reached)
            return k[i - 1];
        if (target <= next)
            return exp(log(k[i - 1]) + (target - reached) / (next - reached) * (log(k[i]) - log(k[i - 1])));
        reached = next;
    }
    return target <= reached ? k[n - 1] : (double)INFINITY;
}
