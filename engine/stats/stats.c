/* SPDX-License-Identifier: Apache-2.0
 *
 * stats.c: means, quantiles, intervals, pass@k, effect sizes. Products of many ratios are formed one factor at a time,
 * never through factorials, so n of thousands neither overflows nor loses digits.
 */
#include "stats/stats.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "stats/distributions.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

double vt_mean(const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return n ? sum / (double)n : (double)NAN;
}

double vt_sample_sd(const double *x, size_t n)
{
    double mean = vt_mean(x, n), sum = 0;

    if (n < 2)
        return (double)NAN;
    for (size_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (double)(n - 1));
}

double vt_geometric_mean(const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        if (!(x[i] > 0))
            return (double)NAN;
        sum += log(x[i]);
    }
    return n ? exp(sum / (double)n) : (double)NAN;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double sorted_quantile(const double *x, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;

    if (i + 1 >= n)
        return x[n - 1];
    return x[i] + (at - (double)i) * (x[i + 1] - x[i]);
}

double vt_quantile(double *x, size_t n, double q)
{
    if (n == 0 || !(q >= 0 && q <= 1))
        return (double)NAN;
    qsort(x, n, sizeof *x, compare_doubles);
    return sorted_quantile(x, n, q);
}

double vt_stat_mean(double *x, size_t n)
{
    return vt_mean(x, n);
}

double vt_stat_median(double *x, size_t n)
{
    return vt_quantile(x, n, 0.5);
}

vt_status vt_bootstrap(const double *x, size_t n, vt_statistic *statistic, size_t n_draws, double level, uint64_t seed,
                       struct vt_interval *out, vt_err *err)
{
    double *sample, *draws;
    struct vt_stream rng;

    *out = (struct vt_interval){.value = (double)NAN, .lo = (double)NAN, .hi = (double)NAN, .n = n};
    if (n == 0 || n_draws == 0)
        return VT_OK;
    sample = vt_alloc_array(n, sizeof *sample);
    draws = vt_alloc_array(n_draws, sizeof *draws);
    if (!sample || !draws) {
        free(sample);
        free(draws);
        return vt_fail(err, VT_ENOMEM, "out of memory for a bootstrap of %zu values", n);
    }
    memcpy(sample, x, n * sizeof *x);
    out->value = statistic(sample, n);
    vt_stream_init(&rng, seed);
    for (size_t d = 0; d < n_draws; d++) {
        for (size_t i = 0; i < n; i++)
            sample[i] = x[vt_stream_below(&rng, n)];
        draws[d] = statistic(sample, n);
    }
    qsort(draws, n_draws, sizeof *draws, compare_doubles);
    out->lo = sorted_quantile(draws, n_draws, (1 - level) / 2);
    out->hi = sorted_quantile(draws, n_draws, (1 + level) / 2);
    free(sample);
    free(draws);
    return VT_OK;
}

struct vt_interval vt_wilson(uint64_t n_success, uint64_t n, double level)
{
    double z = vt_normal_quantile((1 + level) / 2), m = (double)n, p, centre, half;

    if (n == 0)
        return (struct vt_interval){.value = (double)NAN, .lo = 0, .hi = 1, .n = 0};
    p = (double)n_success / m;
    centre = (p + z * z / (2 * m)) / (1 + z * z / m);
    half = z / (1 + z * z / m) * sqrt(p * (1 - p) / m + z * z / (4 * m * m));
    return (struct vt_interval){.value = p, .lo = fmax(0, centre - half), .hi = fmin(1, centre + half), .n = (size_t)n};
}

double vt_pass_at_k(uint64_t n, uint64_t c, uint64_t k)
{
    double miss = 1;

    if (k == 0 || k > n || c > n)
        return (double)NAN;
    if (n - c < k)
        return 1;
    for (uint64_t j = 0; j < k; j++)
        miss *= (double)(n - c - j) / (double)(n - j);
    return 1 - miss;
}

vt_status vt_best_of_k(const double *x, size_t n, size_t k, double *out, vt_err *err)
{
    double *sorted, weight = 0, sum = 0;

    *out = (double)NAN;
    if (k == 0 || k > n)
        return VT_OK;
    sorted = vt_alloc_array(n, sizeof *sorted);
    if (!sorted)
        return vt_fail(err, VT_ENOMEM, "out of memory for the best of %zu values", n);
    memcpy(sorted, x, n * sizeof *x);
    qsort(sorted, n, sizeof *sorted, compare_doubles);
    /* The largest value has weight k/n; each next lower one C(i-1,k-1)/C(i,k-1) of the one above it. */
    weight = (double)k / (double)n;
    for (size_t i = n; i >= k; i--) {
        sum += weight * sorted[i - 1];
        if (i > 1)
            weight *= (double)(i - k) / (double)(i - 1);
    }
    free(sorted);
    *out = sum;
    return VT_OK;
}

double vt_first_of_k(const double *x, size_t m, size_t n, size_t k)
{
    double weight = (double)k / (double)n, sum = 0;

    if (k == 0 || k > n || m > n)
        return (double)NAN;
    for (size_t r = 1; r <= m && n - r + 1 >= k; r++) {
        sum += weight * x[r - 1];
        if (r < n)
            weight *= (double)(n - r - k + 1) / (double)(n - r);
    }
    return sum;
}

double vt_cohens_h(double p1, double p2)
{
    return 2 * asin(sqrt(p1)) - 2 * asin(sqrt(p2));
}

double vt_sign_test(uint64_t n_plus, uint64_t n_minus)
{
    uint64_t n = n_plus + n_minus, few = n_plus < n_minus ? n_plus : n_minus;
    double log_choose = 0, tail = 0;

    if (n - few <= few + 1) /* the two tails hold everything: 1, which their sum only rounds to */
        return 1;
    for (uint64_t i = 0; i <= few; i++) {
        tail += exp(log_choose - (double)n * log(2.0));
        log_choose += log((double)(n - i)) - log((double)(i + 1));
    }
    return fmin(1, 2 * tail);
}
