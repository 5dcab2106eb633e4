/* SPDX-License-Identifier: Apache-2.0
 *
 * order.c: the order of values, and statistics that compare values two at a time: Kendall's tau-b of pairs and Cliff's
 * delta of two independent samples. Both count all comparisons, n^2 of them, which at the thousands of values of a run
 * takes milliseconds and needs no argument about ties.
 */
#include "base/alloc.h"
#include "stats/distributions.h"
#include "stats/ranks.h"
#include "stats/stats.h"
#include <math.h>
#include <stdlib.h>

enum { EXACT_PAIRS = 50 };

struct place {
    double value;
    size_t at;
};

static int by_value(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->value < y->value || x->value > y->value)
        return x->value < y->value ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

vt_status vt_order(const double *x, size_t n, size_t *order, vt_err *err)
{
    struct place *places = vt_alloc_array(n + 1, sizeof *places);

    if (!places)
        return vt_fail(err, VT_ENOMEM, "out of memory for the order of %zu values", n);
    for (size_t i = 0; i < n; i++)
        places[i] = (struct place){.value = x[i], .at = i};
    qsort(places, n, sizeof *places, by_value);
    for (size_t i = 0; i < n; i++)
        order[i] = places[i].at;
    free(places);
    return VT_OK;
}

static int sign_of(double a, double b)
{
    return (a > b) - (a < b);
}

/* Two-sided p of `discordant` inversions among n pairs without ties: the distribution of inversions of a random
 * permutation, built up one element at a time (an element more adds 0 to i inversions, equally likely). */
static double inversions_p(size_t n, double discordant, double *p_min)
{
    double share[EXACT_PAIRS * (EXACT_PAIRS - 1) / 2 + 1] = {1}, next[sizeof share / sizeof share[0]], tail = 0;
    size_t most = 0, few;

    for (size_t i = 1; i < n; i++) {
        for (size_t s = 0; s <= most + i; s++) {
            next[s] = 0;
            for (size_t add = s > most ? s - most : 0; add <= i && add <= s; add++)
                next[s] += share[s - add];
        }
        most += i;
        for (size_t s = 0; s <= most; s++)
            share[s] = next[s] / (double)(i + 1);
    }
    few = (size_t)fmin(discordant, (double)most - discordant);
    for (size_t s = 0; s <= few; s++)
        tail += share[s];
    *p_min = fmin(1, 2 * share[0]);
    return fmin(1, 2 * tail);
}

/* Sums over groups of t equal values of one side: t(t-1)/2, t(t-1)(t-2), t(t-1)(2t+5), and how many are tied. */
struct tie_sums {
    double pairs, threes, fives;
    size_t n_tied;
};

static struct tie_sums tie_sums_of(const double *x, size_t n)
{
    struct tie_sums s = {0};

    for (size_t i = 0; i < n; i++) {
        double t = 0;

        for (size_t j = 0; j < n; j++)
            t += sign_of(x[i], x[j]) == 0;
        s.pairs += (t - 1) / 2; /* each group's sum is spread over its t members */
        s.threes += (t - 1) * (t - 2);
        s.fives += (t - 1) * (2 * t + 5);
        s.n_tied += t > 1;
    }
    return s;
}

vt_status vt_kendall(const double *x, const double *y, size_t n, double level, struct vt_correlation *out, vt_err *err)
{
    struct tie_sums tx = tie_sums_of(x, n), ty = tie_sums_of(y, n);
    double m = (double)n, all = m * (m - 1) / 2, score = 0, variance;

    (void)err;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            score += sign_of(x[i], x[j]) * sign_of(y[i], y[j]);
    }
    *out = (struct vt_correlation){.lo = (double)NAN, .hi = (double)NAN, .p = (double)NAN, .n = n};
    out->n_tied = tx.n_tied + ty.n_tied;
    out->value = score / sqrt((all - tx.pairs) * (all - ty.pairs));
    if (n < 2 || tx.pairs >= all || ty.pairs >= all) {
        out->value = (double)NAN;
        return VT_OK;
    }
    if (out->n_tied == 0 && n <= EXACT_PAIRS) {
        out->is_exact = true;
        out->p = inversions_p(n, (all - score) / 2, &out->p_min);
    } else {
        variance = (m * (m - 1) * (2 * m + 5) - tx.fives - ty.fives) / 18 + 2 * tx.pairs * ty.pairs / (m * (m - 1));
        if (n > 2)
            variance += tx.threes * ty.threes / (9 * m * (m - 1) * (m - 2));
        out->p = erfc(fabs(score) / sqrt(2 * variance));
    }
    if (n > 4 && fabs(out->value) < 1) {
        double z = atanh(out->value), half = vt_normal_quantile((1 + level) / 2) * sqrt(0.437 / (m - 4));

        out->lo = tanh(z - half);
        out->hi = tanh(z + half);
    }
    return VT_OK;
}

/* Mann-Whitney's p from the number of wins: normal, corrected for ties and continuity. */
static double mann_whitney_p(double delta, double nx, double ny, double ties)
{
    double n = nx + ny, u = delta * nx * ny / 2; /* U less its mean */
    double variance = nx * ny / 12 * (n + 1 - ties / (n * (n - 1)));

    return variance > 0 ? fmin(1, erfc((fabs(u) - 0.5) / sqrt(2 * variance))) : 1;
}

/* Feng and Cliff 2004, eq. 8 to 10: the consistent variance of delta, from the mean dominance of each value. */
static double delta_variance(const double *x, size_t n_x, const double *y, size_t n_y, double delta, double *row,
                             double *column)
{
    double nx = (double)n_x, ny = (double)n_y, sx = 0, sy = 0, sxy = 0;

    for (size_t i = 0; i < n_x; i++) {
        for (size_t j = 0; j < n_y; j++) {
            double d = sign_of(x[i], y[j]);

            row[i] += d / ny;
            column[j] += d / nx;
            sxy += (d - delta) * (d - delta);
        }
    }
    for (size_t i = 0; i < n_x; i++)
        sx += (row[i] - delta) * (row[i] - delta) / (nx - 1);
    for (size_t j = 0; j < n_y; j++)
        sy += (column[j] - delta) * (column[j] - delta) / (ny - 1);
    sxy /= (nx - 1) * (ny - 1);
    return ((ny - 1) * sx + (nx - 1) * sy + sxy) / (nx * ny);
}

vt_status vt_cliffs_delta(const double *x, size_t n_x, const double *y, size_t n_y, double level,
                          struct vt_correlation *out, vt_err *err)
{
    double *room = vt_alloc_array(2 * (n_x + n_y) + 1, sizeof *room), delta = 0, ties = 0, variance, q, middle, half;
    vt_status status = VT_OK;

    *out = (struct vt_correlation){
        .value = (double)NAN, .lo = (double)NAN, .hi = (double)NAN, .p = (double)NAN, .n = n_x + n_y};
    if (!room)
        return vt_fail(err, VT_ENOMEM, "out of memory for comparing %zu with %zu values", n_x, n_y);
    if (n_x < 2 || n_y < 2)
        goto done;
    for (size_t i = 0; i < n_x; i++) {
        for (size_t j = 0; j < n_y; j++)
            delta += sign_of(x[i], y[j]);
    }
    delta /= (double)n_x * (double)n_y;
    out->value = delta;
    for (size_t i = 0; i < n_x; i++)
        room[i] = x[i];
    for (size_t j = 0; j < n_y; j++)
        room[n_x + j] = y[j];
    status = vt_ranks(room, n_x + n_y, room + n_x + n_y, &out->n_tied, &ties, err);
    if (status != VT_OK)
        goto done;
    out->p = mann_whitney_p(delta, (double)n_x, (double)n_y, ties);
    for (size_t i = 0; i < n_x + n_y; i++)
        room[i] = 0;
    variance = delta_variance(x, n_x, y, n_y, delta, room, room + n_x);
    if (fabs(delta) < 1 && variance > 0) {
        q = vt_student_quantile((1 + level) / 2, (double)(n_x + n_y) - 2);
        middle = delta - delta * delta * delta;
        half = q * sqrt(variance * ((1 - delta * delta) * (1 - delta * delta) + q * q * variance));
        out->lo = (middle - half) / (1 - delta * delta + q * q * variance);
        out->hi = (middle + half) / (1 - delta * delta + q * q * variance);
    }
done:
    free(room);
    return status;
}
