/* SPDX-License-Identifier: Apache-2.0
 *
 * paired.c: Wilcoxon's signed-rank test, random signs, random splits, and power by simulation.
 *
 * Ranks are doubled where they are counted, so that averaged ranks are whole numbers and the distribution of their
 * signed sum is exact with ties too: speedups of copies are exactly 1, so ties are the rule here. Sums that are
 * compared with the observed one are compared with a tolerance of 1e-12 of the largest possible sum, since a sum taken
 * in another order rounds otherwise.
 */
#include "stats/paired.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "stats/distributions.h"
#include "stats/ranks.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_RANKED = 50, EXACT_SIGNS = 16, EXACT_SPLITS = 200000 };

/* The distribution of the sum of those doubled ranks that random signs choose: P(sum = s) at [s], 0 to the sum of all.
 * NULL without memory; the caller frees it. */
static double *signed_sums(const size_t *weights, size_t n, size_t *total)
{
    size_t most = 0;
    double *share;

    *total = 0;
    for (size_t i = 0; i < n; i++)
        *total += weights[i];
    share = vt_alloc_array(*total + 1, sizeof *share);
    if (!share)
        return NULL;
    share[0] = 1;
    for (size_t i = 0; i < n; i++) {
        most += weights[i];
        for (size_t s = most + 1; s-- > 0;)
            share[s] = 0.5 * share[s] + (s >= weights[i] ? 0.5 * share[s - weights[i]] : 0);
    }
    return share;
}

/* Two-sided p of a sum. */
static vt_status signed_sum_p(const size_t *weights, size_t n, size_t at, double *p, vt_err *err)
{
    size_t total;
    double *share = signed_sums(weights, n, &total), below = 0, above = 0;

    if (!share)
        return vt_fail(err, VT_ENOMEM, "out of memory for the signed ranks of %zu differences", n);
    for (size_t s = 0; s <= total; s++) {
        below += s <= at ? share[s] : 0;
        above += s >= at ? share[s] : 0;
    }
    free(share);
    *p = fmin(1, 2 * fmin(below, above));
    return VT_OK;
}

/* Ranks of |d| in order of d; those of zeros are 0, and n_ranked counts the others. */
static vt_status signed_ranks(const double *d, size_t n, enum vt_zeros zeros, double *size, double *ranks,
                              struct vt_paired_test *out, double *ties, vt_err *err)
{
    size_t m = 0, n_zero = 0;

    for (size_t i = 0; i < n; i++) {
        n_zero += d[i] == 0;
        if (d[i] != 0 || zeros == VT_ZEROS_PRATT)
            size[m++] = fabs(d[i]);
    }
    VT_TRY(vt_ranks(size, m, ranks, &out->n_tied, ties, err));
    m = 0;
    for (size_t i = 0; i < n; i++) { /* size becomes the rank of each difference */
        size[i] = d[i] != 0 ? ranks[m] : 0;
        m += d[i] != 0 || zeros == VT_ZEROS_PRATT;
    }
    out->n_zero = n_zero;
    if (zeros == VT_ZEROS_PRATT && n_zero > 1)
        out->n_tied -= n_zero;
    return VT_OK;
}

static double normal_wilcoxon(const struct vt_paired_test *t, enum vt_zeros zeros, double ties)
{
    double m = (double)t->n - (zeros == VT_ZEROS_DROPPED ? (double)t->n_zero : 0);
    double z = zeros == VT_ZEROS_PRATT ? (double)t->n_zero : 0;
    double mean = m * (m + 1) / 4 - z * (z + 1) / 4, away = t->statistic - mean;
    double variance = (m * (m + 1) * (2 * m + 1) - z * (z + 1) * (2 * z + 1)) / 24 - (ties - (z * z * z - z)) / 48;

    return variance > 0 ? fmin(1, erfc(fmax(0, fabs(away) - 0.5) / sqrt(2 * variance))) : 1;
}

vt_status vt_wilcoxon(const double *d, size_t n, enum vt_zeros zeros, struct vt_paired_test *out, vt_err *err)
{
    double *size = vt_alloc_array(n + 1, sizeof *size), *ranks = vt_alloc_array(n + 1, sizeof *ranks), ties = 0;
    size_t *weights = vt_alloc_array(n + 1, sizeof *weights), n_ranked = 0, at = 0;
    vt_status status = VT_OK;

    *out = (struct vt_paired_test){.n = n, .p = 1, .p_min = 1};
    if (!size || !ranks || !weights)
        status = vt_fail(err, VT_ENOMEM, "out of memory for the signed ranks of %zu differences", n);
    if (status == VT_OK)
        status = signed_ranks(d, n, zeros, size, ranks, out, &ties, err);
    if (status != VT_OK)
        goto done;
    for (size_t i = 0; i < n; i++) {
        if (d[i] == 0)
            continue;
        weights[n_ranked++] = (size_t)(2 * size[i]);
        if (d[i] > 0) {
            out->statistic += size[i];
            at += (size_t)(2 * size[i]);
        }
    }
    out->p_min = fmin(1, 2 * pow(0.5, (double)n_ranked));
    if (n_ranked <= EXACT_RANKED) {
        status = signed_sum_p(weights, n_ranked, at, &out->p, err);
        out->is_exact = true;
    } else {
        out->p = normal_wilcoxon(out, zeros, ties);
    }
done:
    free(size);
    free(ranks);
    free(weights);
    return status;
}

/* How many Walsh averages lie outside the interval on each side: the largest c with P(W < c) at most the tail. */
static vt_status walsh_outside(size_t n, double tail, size_t *c, vt_err *err)
{
    double m = (double)n, below = 0, *share;
    size_t weights[EXACT_RANKED], total;

    if (n > EXACT_RANKED) {
        double at = m * (m + 1) / 4 - vt_normal_quantile(1 - tail) * sqrt(m * (m + 1) * (2 * m + 1) / 24);

        *c = at > 0 ? (size_t)at : 0;
        return VT_OK;
    }
    for (size_t i = 0; i < n; i++)
        weights[i] = i + 1;
    share = signed_sums(weights, n, &total);
    if (!share)
        return vt_fail(err, VT_ENOMEM, "out of memory for the signed ranks of %zu differences", n);
    for (*c = 0; *c <= total; ++*c) {
        below += share[*c];
        if (below > tail)
            break;
    }
    free(share);
    return VT_OK;
}

vt_status vt_hodges_lehmann(const double *d, size_t n, double level, struct vt_interval *out, vt_err *err)
{
    size_t n_walsh = n * (n + 1) / 2, at = 0, c = 0;
    double *walsh;
    vt_status status;

    *out = (struct vt_interval){.value = (double)NAN, .lo = (double)NAN, .hi = (double)NAN, .n = n};
    if (n == 0)
        return VT_OK;
    walsh = n < 100000 ? vt_alloc_array(n_walsh, sizeof *walsh) : NULL;
    if (!walsh)
        return vt_fail(err, VT_ENOMEM, "out of memory for the %zu averages of pairs of %zu differences", n_walsh, n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++)
            walsh[at++] = (d[i] + d[j]) / 2;
    }
    out->value = vt_quantile(walsh, n_walsh, 0.5); /* sorts */
    status = walsh_outside(n, (1 - level) / 2, &c, err);
    if (status == VT_OK && c > 0) {
        out->lo = walsh[c - 1];
        out->hi = walsh[n_walsh - c];
    }
    free(walsh);
    return status;
}

/* Of the 2^(n - i) ways to sign d[i..n), how many sums are as far from 0 as `far`? */
static uint64_t count_signs(const double *d, size_t n, size_t i, double sum, double far)
{
    if (i == n)
        return fabs(sum) >= far;
    return count_signs(d, n, i + 1, sum + d[i], far) + count_signs(d, n, i + 1, sum - d[i], far);
}

static uint64_t draw_signs(const double *d, size_t n, size_t n_draws, uint64_t seed, double far)
{
    struct vt_stream rng;
    uint64_t as_far = 0;

    vt_stream_init(&rng, seed);
    for (size_t draw = 0; draw < n_draws; draw++) {
        double sum = 0;
        uint64_t bits = 0;

        for (size_t i = 0; i < n; i++) {
            if (i % 64 == 0)
                bits = vt_stream_u64(&rng);
            sum += bits >> i % 64 & 1 ? d[i] : -d[i];
        }
        as_far += fabs(sum) >= far;
    }
    return as_far;
}

vt_status vt_sign_flip(const double *d, size_t n, size_t n_draws, uint64_t seed, struct vt_paired_test *out,
                       vt_err *err)
{
    double *moved = vt_alloc_array(n + 1, sizeof *moved), sum = 0, most = 0, far;
    size_t m = 0;

    *out = (struct vt_paired_test){.n = n, .p = 1, .p_min = 1};
    if (!moved)
        return vt_fail(err, VT_ENOMEM, "out of memory for the signs of %zu differences", n);
    for (size_t i = 0; i < n; i++) {
        if (d[i] != 0)
            moved[m++] = d[i]; /* the sign of a 0 changes nothing */
        sum += d[i];
        most += fabs(d[i]);
    }
    out->n_zero = n - m;
    out->statistic = n ? sum / (double)n : (double)NAN;
    far = fabs(sum) - 1e-12 * most;
    out->is_exact = m <= EXACT_SIGNS;
    if (m > 0 && out->is_exact) {
        out->p = (double)count_signs(moved, m, 0, 0, far) / (double)((uint64_t)1 << m);
        out->p_min = 2 * pow(0.5, (double)m);
    } else if (m > 0) {
        out->p = (1 + (double)draw_signs(moved, m, n_draws, seed, far)) / (1 + (double)n_draws);
        out->p_min = 1 / (1 + (double)n_draws);
    }
    free(moved);
    return VT_OK;
}

struct split {
    const double *x; /* both samples */
    size_t n, n_first;
    double far, all;
};

/* Is the difference of means as far from 0 when the first sample has this sum? */
static bool is_as_far(const struct split *s, double sum)
{
    double n_x = (double)s->n_first, n_y = (double)(s->n - s->n_first);

    return fabs(sum / n_x - (s->all - sum) / n_y) >= s->far;
}

/* Of the ways to put `left` of x[i..n) into the first sample, how many are as far? */
static uint64_t count_splits(const struct split *s, size_t i, size_t left, double sum)
{
    if (left == 0)
        return is_as_far(s, sum);
    if (s->n - i < left)
        return 0;
    return count_splits(s, i + 1, left - 1, sum + s->x[i]) + count_splits(s, i + 1, left, sum);
}

static uint64_t draw_splits(const struct split *s, double *x, size_t n_draws, uint64_t seed)
{
    struct vt_stream rng;
    uint64_t as_far = 0;

    vt_stream_init(&rng, seed);
    for (size_t draw = 0; draw < n_draws; draw++) {
        double sum = 0;

        for (size_t i = 0; i < s->n_first; i++) {
            size_t j = i + (size_t)vt_stream_below(&rng, s->n - i);
            double kept = x[i];

            x[i] = x[j];
            x[j] = kept;
            sum += x[i];
        }
        as_far += is_as_far(s, sum);
    }
    return as_far;
}

vt_status vt_permutation(const double *x, size_t n_x, const double *y, size_t n_y, size_t n_draws, uint64_t seed,
                         struct vt_paired_test *out, vt_err *err)
{
    size_t n = n_x + n_y;
    double *both = vt_alloc_array(n + 1, sizeof *both), most = 0, sum = 0, n_splits = 1;
    struct split s = {.x = both, .n = n, .n_first = n_x};

    *out = (struct vt_paired_test){.n = n, .p = 1, .p_min = 1, .statistic = vt_mean(x, n_x) - vt_mean(y, n_y)};
    if (!both)
        return vt_fail(err, VT_ENOMEM, "out of memory for permuting %zu values", n);
    for (size_t i = 0; i < n; i++) {
        both[i] = i < n_x ? x[i] : y[i - n_x];
        sum += i < n_x ? x[i] : 0;
        s.all += both[i];
        most = fmax(most, fabs(both[i]));
    }
    for (size_t i = 0; i < n_x; i++)
        n_splits *= (double)(n - i) / (double)(i + 1);
    if (n_x > 0 && n_y > 0) {
        s.far = fabs(sum / (double)n_x - (s.all - sum) / (double)n_y) - 1e-12 * most;
        out->is_exact = n_splits <= EXACT_SPLITS;
        if (out->is_exact) {
            out->p = (double)count_splits(&s, 0, n_x, 0) / round(n_splits);
            out->p_min = fmin(1, (n_x == n_y ? 2 : 1) / round(n_splits));
        } else {
            out->p = (1 + (double)draw_splits(&s, both, n_draws, seed)) / (1 + (double)n_draws);
            out->p_min = 1 / (1 + (double)n_draws);
        }
    }
    free(both);
    return VT_OK;
}

static vt_status p_of(const struct vt_power_request *r, const double *d, uint64_t seed, double *p, vt_err *err)
{
    struct vt_paired_test t = {.p = 1};
    uint64_t n_plus = 0, n_minus = 0;

    if (r->test == VT_POWER_WILCOXON) {
        VT_TRY(vt_wilcoxon(d, r->n_tasks, VT_ZEROS_DROPPED, &t, err));
    } else if (r->test == VT_POWER_SIGN_FLIP) {
        VT_TRY(vt_sign_flip(d, r->n_tasks, 999, seed, &t, err));
    } else {
        for (size_t i = 0; i < r->n_tasks; i++) {
            n_plus += d[i] > 0;
            n_minus += d[i] < 0;
        }
        t.p = vt_sign_test(n_plus, n_minus);
    }
    *p = t.p;
    return VT_OK;
}

vt_status vt_power(const struct vt_power_request *r, size_t *n_significant, vt_err *err)
{
    double *d = vt_alloc_array(r->n_tasks + 1, sizeof *d), move = r->effect - vt_mean(r->pilot, r->n_pilot), p = 1;
    struct vt_stream rng;
    vt_status status = VT_OK;

    *n_significant = 0;
    if (!d)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu simulated tasks", r->n_tasks);
    vt_stream_init(&rng, r->seed);
    for (size_t s = 0; s < r->n_simulations && status == VT_OK; s++) {
        for (size_t i = 0; i < r->n_tasks; i++)
            d[i] = r->pilot[vt_stream_below(&rng, r->n_pilot)] + move;
        status = p_of(r, d, vt_seed_mix(r->seed, s), &p, err);
        *n_significant += status == VT_OK && p < r->alpha;
    }
    free(d);
    return status;
}
