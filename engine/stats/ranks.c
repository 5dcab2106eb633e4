/* SPDX-License-Identifier: Apache-2.0
 *
 * ranks.c: ranks, Spearman's rho of pairs that are independent, of pairs given a third value, and of pairs that come in
 * clusters. Samples of one task share its difficulty and are often copies of each other; a test that takes them for
 * independent finds relations in noise, so tables of samples use the jackknife over tasks.
 */
#include "stats/ranks.h"
#include "base/alloc.h"
#include "stats/distributions.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ranked {
    double value;
    size_t index;
};

static int compare_ranked(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->value, y = ((const struct ranked *)b)->value;

    return (x > y) - (x < y);
}

vt_status vt_ranks(const double *x, size_t n, double *ranks, size_t *n_tied, double *ties, vt_err *err)
{
    struct ranked *sorted = vt_alloc_array(n + 1, sizeof *sorted);
    size_t count = 0;
    double sum = 0;

    if (!sorted)
        return vt_fail(err, VT_ENOMEM, "out of memory for ranking %zu values", n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct ranked){.value = x[i], .index = i};
    qsort(sorted, n, sizeof *sorted, compare_ranked);
    for (size_t i = 0; i < n;) {
        size_t j = i;
        double t;

        while (j < n && !(sorted[j].value > sorted[i].value))
            j++;
        for (size_t at = i; at < j; at++)
            ranks[sorted[at].index] = 0.5 * (double)(i + 1 + j);
        t = (double)(j - i);
        sum += t * t * t - t;
        count += j - i > 1 ? j - i : 0;
        i = j;
    }
    free(sorted);
    if (n_tied)
        *n_tied = count;
    if (ties)
        *ties = sum;
    return VT_OK;
}

/* Pearson's correlation. The sums run over whole or half ranks, so they are exact. */
static double correlation(const double *x, const double *y, size_t n)
{
    double middle = 0.5 * (double)(n + 1), sxx = 0, syy = 0, sxy = 0;

    for (size_t i = 0; i < n; i++) {
        sxx += (x[i] - middle) * (x[i] - middle);
        syy += (y[i] - middle) * (y[i] - middle);
        sxy += (x[i] - middle) * (y[i] - middle);
    }
    return n >= 2 && sxx > 0 && syy > 0 ? sxy / sqrt(sxx * syy) : (double)NAN;
}

struct both {
    double *x, *y;
    size_t n_tied;
};

static void free_both(struct both *b)
{
    free(b->x);
    free(b->y);
}

static vt_status rank_both(const double *x, const double *y, size_t n, struct both *b, vt_err *err)
{
    size_t n_x = 0, n_y = 0;
    vt_status status = VT_OK;

    *b = (struct both){.x = vt_alloc_array(n + 1, sizeof(double)), .y = vt_alloc_array(n + 1, sizeof(double))};
    if (!b->x || !b->y)
        status = vt_fail(err, VT_ENOMEM, "out of memory for the ranks of %zu pairs", n);
    if (status == VT_OK)
        status = vt_ranks(x, n, b->x, &n_x, NULL, err);
    if (status == VT_OK)
        status = vt_ranks(y, n, b->y, &n_y, NULL, err);
    b->n_tied = n_x + n_y;
    return status;
}

vt_status vt_spearman(const double *x, const double *y, size_t n, double *rho, vt_err *err)
{
    struct both b;
    vt_status status = rank_both(x, y, n, &b, err);

    if (status == VT_OK)
        *rho = correlation(b.x, b.y, n);
    free_both(&b);
    return status;
}

/* Fills what follows from rho with n_given values held fixed. */
static void test_rho(double rho, size_t n, size_t n_given, double level, struct vt_correlation *out)
{
    double df = (double)n - 2 - (double)n_given, spread, z = atanh(rho);

    *out = (struct vt_correlation){.value = rho, .lo = (double)NAN, .hi = (double)NAN, .p = (double)NAN, .n = n};
    if (!(rho == rho) || df < 1)
        return;
    out->p = vt_student_two_sided(rho * sqrt(df / ((1 - rho) * (1 + rho))), df);
    if (df < 2 || fabs(rho) >= 1)
        return;
    spread = vt_normal_quantile((1 + level) / 2) * sqrt((1 + rho * rho / 2) / (df - 1));
    out->lo = tanh(z - spread);
    out->hi = tanh(z + spread);
}

vt_status vt_spearman_test(const double *x, const double *y, size_t n, double level, struct vt_correlation *out,
                           vt_err *err)
{
    struct both b;
    vt_status status = rank_both(x, y, n, &b, err);

    if (status == VT_OK) {
        test_rho(correlation(b.x, b.y, n), n, 0, level, out);
        out->n_tied = b.n_tied;
    }
    free_both(&b);
    return status;
}

vt_status vt_partial_spearman(const double *x, const double *y, const double *z, size_t n, double level,
                              struct vt_correlation *out, vt_err *err)
{
    struct both b;
    double *rz = vt_alloc_array(n + 1, sizeof *rz);
    vt_status status = rank_both(x, y, n, &b, err);

    if (!rz)
        status = vt_fail(err, VT_ENOMEM, "out of memory for the ranks of %zu values", n);
    if (status == VT_OK)
        status = vt_ranks(z, n, rz, NULL, NULL, err);
    if (status == VT_OK) {
        double xy = correlation(b.x, b.y, n), xz = correlation(b.x, rz, n), yz = correlation(b.y, rz, n);
        double free_x = 1 - xz * xz, free_y = 1 - yz * yz;
        double rho = free_x > 1e-14 && free_y > 1e-14 ? (xy - xz * yz) / sqrt(free_x * free_y) : (double)NAN;

        test_rho(rho > 1 ? 1 : rho < -1 ? -1 : rho, n, 1, level, out);
        out->n_tied = b.n_tied;
    }
    free_both(&b);
    free(rz);
    return status;
}

/* rho of all pairs but those of one cluster, in the room of x and y. */
static vt_status rho_without(const double *x, const double *y, const size_t *cluster, size_t n, size_t left_out,
                             double *room_x, double *room_y, double *rho, vt_err *err)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++) {
        if (cluster[i] != left_out) {
            room_x[m] = x[i];
            room_y[m++] = y[i];
        }
    }
    return vt_spearman(room_x, room_y, m, rho, err);
}

vt_status vt_spearman_clusters(const double *x, const double *y, const size_t *cluster, size_t n, size_t n_clusters,
                               double level, struct vt_correlation *out, vt_err *err)
{
    double *room_x = vt_alloc_array(n + 1, sizeof *room_x), *room_y = vt_alloc_array(n + 1, sizeof *room_y);
    double *pseudo = vt_alloc_array(n_clusters + 1, sizeof *pseudo), g = (double)n_clusters, z, half;
    vt_status status = vt_spearman_test(x, y, n, level, out, err);

    if (!room_x || !room_y || !pseudo)
        status = vt_fail(err, VT_ENOMEM, "out of memory for a correlation of %zu pairs in clusters", n);
    if (status != VT_OK)
        goto done;
    z = atanh(out->value);
    out->lo = out->hi = out->p = (double)NAN;
    for (size_t c = 0; c < n_clusters; c++) {
        double rho;

        status = rho_without(x, y, cluster, n, c, room_x, room_y, &rho, err);
        if (status != VT_OK)
            goto done;
        pseudo[c] = g * z - (g - 1) * atanh(rho);
    }
    half = vt_sample_sd(pseudo, n_clusters) / sqrt(g);
    if (half > 0 && isfinite(half)) {
        out->p = vt_student_two_sided(z / half, g - 1);
        half *= vt_student_quantile((1 + level) / 2, g - 1);
        out->lo = tanh(z - half);
        out->hi = tanh(z + half);
    }
done:
    free(room_x);
    free(room_y);
    free(pseudo);
    return status;
}
