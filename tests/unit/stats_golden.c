/* SPDX-License-Identifier: Apache-2.0
 *
 * stats_golden.c: engine/stats against tests/golden/stats.jsonl, which make_stats.py wrote with scipy, statsmodels and
 * definitions written out: random inputs with ties, zeros, copies, constants and very few values among them. What is
 * drawn at random here (bootstraps) is compared within the error of the draws, everything else to nine digits.
 */
#include "base/json.h"
#include "harness.h"
#include "stats/distributions.h"
#include "stats/paired.h"
#include "stats/proportions.h"
#include "stats/ranks.h"
#include "stats/resample.h"

enum { MOST = 1000 };

static vt_err err;

static double num(const vt_json *c, const char *key)
{
    return vt_json_num(vt_json_get(c, key), (double)NAN);
}

static size_t count(const vt_json *c, const char *key)
{
    return (size_t)vt_json_int(vt_json_get(c, key), 0);
}

static size_t numbers(const vt_json *c, const char *key, double *out)
{
    size_t n = 0;

    for (const vt_json *v = vt_json_first(vt_json_get(c, key)); v && n < MOST; v = vt_json_next(v))
        out[n++] = vt_json_num(v, (double)NAN);
    return n;
}

/* Equal within `tol` of the size of the number, NaN to NaN. */
static bool is_close(double found, double expected, double tol)
{
    return isnan(expected) ? isnan(found) : fabs(found - expected) <= tol * fmax(fabs(expected), 1e-3);
}

#define SAME(found, key)                                                                                               \
    do {                                                                                                               \
        double f_ = (found), e_ = num(c, key);                                                                         \
        if (!is_close(f_, e_, 1e-9)) {                                                                                 \
            printf("  line %d: %s %s = %.15g, expected %.15g\n", line, of, key, f_, e_);                               \
            test_failures_in_case++;                                                                                   \
        }                                                                                                              \
    } while (0)

static void same_interval(const struct vt_interval *i, const vt_json *c, const char *of, int line)
{
    if (vt_json_get(c, "value"))
        SAME(i->value, "value");
    SAME(i->lo, "lo");
    SAME(i->hi, "hi");
}

static void same_test(const struct vt_paired_test *t, const vt_json *c, const char *of, int line)
{
    SAME(t->statistic, "statistic");
    SAME(t->p, "p");
    if (vt_json_get(c, "p_min"))
        SAME(t->p_min, "p_min");
}

static void same_correlation(const struct vt_correlation *r, const vt_json *c, const char *of, int line)
{
    SAME(r->value, "value");
    SAME(r->p, "p");
    SAME(r->lo, "lo");
    SAME(r->hi, "hi");
    if (vt_json_get(c, "ties"))
        CHECK_INT(r->n_tied, count(c, "ties"));
}

static bool distribution(const char *of, const vt_json *c, int line)
{
    if (strcmp(of, "student") == 0) {
        SAME(vt_student_two_sided(num(c, "t"), num(c, "df")), "two_sided");
        SAME(vt_student_quantile(num(c, "p"), num(c, "df")), "quantile");
    } else if (strcmp(of, "beta") == 0) {
        SAME(vt_beta_cdf(num(c, "x"), num(c, "a"), num(c, "b")), "cdf");
        SAME(vt_beta_quantile(num(c, "p"), num(c, "a"), num(c, "b")), "quantile");
    } else {
        return false;
    }
    return true;
}

static bool proportion(const char *of, const vt_json *c, int line)
{
    struct vt_interval i;

    if (strcmp(of, "clopper_pearson") == 0) {
        i = vt_clopper_pearson(count(c, "k"), count(c, "n"), num(c, "level"));
    } else if (strcmp(of, "wilson") == 0) {
        i = vt_wilson(count(c, "k"), count(c, "n"), num(c, "level"));
    } else if (strcmp(of, "odds_ratio") == 0) {
        i = vt_odds_ratio(count(c, "a"), count(c, "b"), count(c, "c"), count(c, "d"), 0.95);
    } else if (strcmp(of, "mcnemar") == 0) {
        SAME(vt_sign_test(count(c, "b"), count(c, "c")), "p");
        i = vt_paired_difference(count(c, "b"), count(c, "c"), count(c, "n"), 0.95);
    } else {
        return false;
    }
    same_interval(&i, c, of, line);
    return true;
}

static bool curve(const char *of, const vt_json *c, int line)
{
    double k[MOST], pass[MOST], found;
    size_t n = numbers(c, "k", k);

    if (strcmp(of, "equivalent_k") != 0)
        return false;
    numbers(c, "curve", pass);
    found = vt_equivalent_k(k, pass, n, num(c, "target"));
    SAME(isinf(found) ? -1 : found, "value");
    return true;
}

static bool paired_test(const char *of, const vt_json *c, int line)
{
    double d[MOST], y[MOST];
    struct vt_paired_test t;
    struct vt_interval i;
    size_t n = numbers(c, "d", d), n_y;

    if (strcmp(of, "wilcoxon") == 0) {
        enum vt_zeros zeros = vt_json_bool(vt_json_get(c, "pratt"), false) ? VT_ZEROS_PRATT : VT_ZEROS_DROPPED;

        CHECK_OK(vt_wilcoxon(d, n, zeros, &t, &err), err);
        same_test(&t, c, of, line);
        CHECK_INT(t.n_zero, count(c, "zeros"));
        CHECK_INT(t.n_tied, count(c, "ties"));
        CHECK_INT(t.is_exact, vt_json_bool(vt_json_get(c, "exact"), false));
    } else if (strcmp(of, "hodges_lehmann") == 0) {
        CHECK_OK(vt_hodges_lehmann(d, n, 0.95, &i, &err), err);
        same_interval(&i, c, of, line);
    } else if (strcmp(of, "sign_flip") == 0) {
        CHECK_OK(vt_sign_flip(d, n, 10, 1, &t, &err), err);
        same_test(&t, c, of, line);
        CHECK(t.is_exact);
    } else if (strcmp(of, "permutation") == 0) {
        n = numbers(c, "x", d);
        n_y = numbers(c, "y", y);
        CHECK_OK(vt_permutation(d, n, y, n_y, 10, 1, &t, &err), err);
        same_test(&t, c, of, line);
        CHECK(t.is_exact);
    } else {
        return false;
    }
    return true;
}

static bool correlation(const char *of, const vt_json *c, int line)
{
    double x[MOST], y[MOST], z[MOST];
    size_t n = numbers(c, "x", x), n_y = numbers(c, "y", y), cluster[MOST], n_clusters = 0;
    struct vt_correlation r;

    if (strcmp(of, "spearman") == 0) {
        CHECK_OK(vt_spearman_test(x, y, n, 0.95, &r, &err), err);
    } else if (strcmp(of, "partial_spearman") == 0) {
        numbers(c, "z", z);
        CHECK_OK(vt_partial_spearman(x, y, z, n, 0.95, &r, &err), err);
    } else if (strcmp(of, "kendall") == 0) {
        CHECK_OK(vt_kendall(x, y, n, 0.95, &r, &err), err);
    } else if (strcmp(of, "cliffs_delta") == 0) {
        CHECK_OK(vt_cliffs_delta(x, n, y, n_y, 0.95, &r, &err), err);
    } else if (strcmp(of, "spearman_clusters") == 0) {
        numbers(c, "cluster", z);
        for (size_t i = 0; i < n; i++) {
            cluster[i] = (size_t)z[i];
            n_clusters = cluster[i] + 1 > n_clusters ? cluster[i] + 1 : n_clusters;
        }
        CHECK_OK(vt_spearman_clusters(x, y, cluster, n, n_clusters, 0.95, &r, &err), err);
    } else {
        return false;
    }
    same_correlation(&r, c, of, line);
    return true;
}

/* Drawn intervals: within 2 % of the width of the expected one. */
static void near_interval(const struct vt_interval *i, const vt_json *c, const char *of, int line)
{
    double lo = num(c, "lo"), hi = num(c, "hi"), tol = 0.02 * (hi - lo);

    SAME(i->value, "value");
    if (!(fabs(i->lo - lo) <= tol && fabs(i->hi - hi) <= tol)) {
        printf("  line %d: %s [%.6g, %.6g], expected [%.6g, %.6g]\n", line, of, i->lo, i->hi, lo, hi);
        test_failures_in_case++;
    }
}

static bool resampled(const char *of, const vt_json *c, int line)
{
    double x[MOST], adjusted[MOST], expected[MOST];
    struct vt_interval i;
    size_t n = numbers(c, "x", x);
    bool is_holm = strcmp(of, "holm") == 0;

    if (strcmp(of, "student_interval") == 0) {
        i = vt_student_interval(x, n, 0.95);
        same_interval(&i, c, of, line);
    } else if (strcmp(of, "bootstrap_t") == 0) {
        CHECK_OK(vt_bootstrap_t(x, n, 200000, num(c, "level"), 1, &i, &err), err);
        near_interval(&i, c, of, line);
    } else if (strcmp(of, "bootstrap_bca") == 0) {
        CHECK_OK(vt_bootstrap_bca(x, n, vt_stat_mean, 100000, 0.95, 1, &i, &err), err);
        near_interval(&i, c, of, line);
    } else if (is_holm || strcmp(of, "benjamini_hochberg") == 0) {
        n = numbers(c, "p", x);
        numbers(c, "adjusted", expected);
        CHECK_OK(is_holm ? vt_holm(x, n, adjusted, &err) : vt_benjamini_hochberg(x, n, adjusted, &err), err);
        for (size_t at = 0; at < n; at++)
            CHECK_NEAR(adjusted[at], expected[at], 1e-12);
    } else {
        return false;
    }
    return true;
}

/* Runs the cases that `fn` knows; at least `least` of them. */
static void run_cases(bool (*fn)(const char *, const vt_json *, int), int least)
{
    FILE *f = fopen(VT_SOURCE_DIR "/tests/golden/stats.jsonl", "r");
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    int line = 0, n = 0;

    CHECK(f != NULL);
    while (f && (len = getline(&text, &room, f)) > 0) {
        vt_json *c = NULL;

        line++;
        CHECK_OK(vt_json_parse(text, (size_t)len, "stats.jsonl", &c, &err), err);
        n += c && fn(vt_json_str(vt_json_get(c, "of"), ""), c, line);
        vt_json_free(c);
    }
    free(text);
    if (f)
        fclose(f);
    CHECK(n >= least);
}

static void distributions(void)
{
    run_cases(distribution, 80);
}

static void proportions(void)
{
    run_cases(proportion, 130);
}

static void curves(void)
{
    run_cases(curve, 30);
}

static void paired_tests(void)
{
    run_cases(paired_test, 330);
}

static void correlations(void)
{
    run_cases(correlation, 220);
}

static void resampling(void)
{
    run_cases(resampled, 70);
}

static const struct test_case cases[] = {TEST(distributions), TEST(proportions),  TEST(curves),
                                         TEST(paired_tests),  TEST(correlations), TEST(resampling)};
TEST_MAIN(cases)
