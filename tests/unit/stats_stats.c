/* SPDX-License-Identifier: Apache-2.0
 *
 * stats_stats.c: every formula against values computed elsewhere (SciPy 1.10 or closed form) and against identities.
 */
#include "base/rng.h"
#include "no_memory.h"
#include "numbers.h"
#include "stats/distributions.h"
#include "stats/paired.h"
#include "stats/proportions.h"
#include "stats/ranks.h"
#include "stats/resample.h"

static void means_and_spread(void)
{
    const double a[] = {42.5, 20.0, 29.4}, b[] = {21.44, 1, 1}, c[] = {2, 8};
    double q[] = {4, 1, 3, 2};

    CHECK_NEAR(vt_mean(a, 3), 30.6333, 1e-4);
    CHECK_NEAR(vt_sample_sd(a, 3), 11.30, 5e-3);
    CHECK_NEAR(vt_sample_sd(b, 3), 11.80, 5e-3);
    CHECK_NEAR(vt_geometric_mean(c, 2), 4, 1e-12);
    CHECK(isnan(vt_geometric_mean(b, 0)));
    CHECK(isnan(vt_geometric_mean((const double[]){2, 0, 8}, 3)) && isnan(vt_geometric_mean((const double[]){-1}, 1)));
    CHECK(isnan(vt_sample_sd(a, 1)));
    CHECK_NEAR(vt_quantile(q, 4, 0.5), 2.5, 0);
    CHECK_NEAR(vt_quantile(q, 4, 0.25), 1.75, 0);
    CHECK_NEAR(vt_quantile(q, 4, 1), 4, 0);
}

static void pass_at_k(void)
{
    static const double expected[] = {0.3125, 0.5308, 0.7863, 0.9600, 0.9991};

    for (int i = 0; i < 5; i++)
        CHECK_NEAR(vt_pass_at_k(64, 20, 1u << i), expected[i], 5e-5);
    CHECK_NEAR(vt_pass_at_k(10, 10, 3), 1, 0);
    CHECK_NEAR(vt_pass_at_k(10, 8, 3), 1, 0);
    CHECK_NEAR(vt_pass_at_k(10, 7, 3), 1 - 6.0 / 720, 1e-12); /* all three may fail in one way of 120 */
    CHECK_NEAR(vt_pass_at_k(10, 0, 3), 0, 0);
    CHECK(isnan(vt_pass_at_k(4, 1, 5)));
    CHECK(isnan(vt_pass_at_k(4, 1, 0)));
}

/* The expected maximum equals the mean over all subsets, counted by brute force. */
/* Against every subset of 3 of 6, of which four are ranked; and the best of k, which is the same with all ranked. */
static void first_of_k(void)
{
    const double x[4] = {5, -1, 2.5, 7}, sorted[5] = {9, 7, 4, 2, 1};
    double sum = 0, best;
    int n_subsets = 0;
    vt_err err;

    for (unsigned set = 0; set < 64; set++) {
        if (__builtin_popcount(set) != 3)
            continue;
        n_subsets++;
        for (int r = 0; r < 4; r++)
            if (set & 1u << r) {
                sum += x[r];
                break;
            }
    }
    CHECK_NEAR(vt_first_of_k(x, 4, 6, 3), sum / n_subsets, 1e-12);
    CHECK_OK(vt_best_of_k(sorted, 5, 2, &best, &err), err);
    CHECK_NEAR(vt_first_of_k(sorted, 5, 5, 2), best, 1e-12);
    CHECK_NEAR(vt_first_of_k(sorted, 5, 5, 5), 9, 1e-12);
    CHECK_NEAR(vt_first_of_k(x, 0, 6, 3), 0, 0);
    CHECK(isnan(vt_first_of_k(x, 4, 6, 7)) && isnan(vt_first_of_k(x, 4, 6, 0)));
}

static void order(void)
{
    const double x[6] = {2, -1, 2, 0, -1, 3};
    const size_t want[6] = {1, 4, 3, 0, 2, 5};
    size_t found[6];
    vt_err err;

    CHECK_OK(vt_order(x, 6, found, &err), err);
    for (int i = 0; i < 6; i++)
        CHECK(found[i] == want[i]);
}

static void best_of_k(void)
{
    const double x[] = {3, 1, 4, 1.5, 9};
    double found;
    vt_err err;

    for (size_t k = 1; k <= 5; k++) {
        double sum = 0, n_subsets = 0;

        for (unsigned mask = 0; mask < 32; mask++) {
            double best = 0;
            size_t bits = 0;

            for (size_t i = 0; i < 5; i++) {
                if (mask >> i & 1) {
                    bits++;
                    best = x[i] > best ? x[i] : best;
                }
            }
            if (bits == k) {
                sum += best;
                n_subsets++;
            }
        }
        CHECK_OK(vt_best_of_k(x, 5, k, &found, &err), err);
        CHECK_NEAR(found, sum / n_subsets, 1e-12);
    }
    CHECK_OK(vt_best_of_k(x, 5, 6, &found, &err), err);
    CHECK(isnan(found));
    CHECK_OK(vt_best_of_k(x, 5, 0, &found, &err), err);
    CHECK(isnan(found));
}

static void tests_and_effects(void)
{
    const double x[] = {1, 2, 3, 4, 5}, y[] = {5, 6, 7, 8, 7}, tied[] = {2, 2, 2, 2, 2};
    double rho;
    vt_err err;

    CHECK_NEAR(vt_cohens_h(0.8, 0.5), 0.6435, 5e-5);
    CHECK_NEAR(vt_sign_test(3, 0), 0.25, 1e-12); /* one-sided 0.125 */
    CHECK_NEAR(vt_sign_test(5, 5), 1, 1e-12);
    for (uint64_t n = 0; n < 40; n++) /* as many, or one more: 1 and not 0.9999999999999998 */
        CHECK(vt_sign_test(n, n) == 1 && vt_sign_test(n + 1, n) == 1 && vt_sign_test(n, n + 2) < 1);
    CHECK_NEAR(vt_sign_test(8, 2), 0.109375, 1e-12);
    CHECK_OK(vt_spearman(x, y, 5, &rho, &err), err);
    CHECK_NEAR(rho, 0.8207826816681233, 1e-12); /* scipy.stats.spearmanr */
    CHECK_OK(vt_spearman(x, tied, 5, &rho, &err), err);
    CHECK(isnan(rho));
}

/* What the papers and their notes print. */
static void published(void)
{
    double d[] = {-1, -2, -3, -4, -5, -6, -7, -8, -9, 10};
    struct vt_paired_test t;
    vt_err err;

    CHECK_OK(vt_wilcoxon(d, 10, VT_ZEROS_DROPPED, &t, &err), err);
    CHECK_NEAR(t.statistic, 10, 0);
    CHECK_NEAR(t.p, 0.083984, 5e-7);
    CHECK_OK(vt_wilcoxon(d, 5, VT_ZEROS_DROPPED, &t, &err), err);
    CHECK_NEAR(t.p_min, 0.0625, 1e-12); /* five pairs cannot reach 0.05 */
    CHECK_NEAR(t.p, 0.0625, 1e-12);
    CHECK_NEAR(vt_student_two_sided(-0.198 * sqrt(318 / (1 - 0.198 * 0.198)), 318), 3.66e-4, 5e-7);
    CHECK_NEAR(vt_student_two_sided(-0.275 * sqrt(318 / (1 - 0.275 * 0.275)), 318), 5.83e-7, 5e-10);
    CHECK_NEAR(vt_student_two_sided(-0.047 * sqrt(548 / (1 - 0.047 * 0.047)), 548), 0.271, 5e-4);
}

/* Above the sizes that are enumerated p is drawn, and counts the observed arrangement. */
static void drawn_tests(void)
{
    double d[30], far[30];
    struct vt_paired_test t;
    struct vt_stream rng;
    vt_err err;

    vt_stream_init(&rng, 3);
    for (int i = 0; i < 30; i++) {
        d[i] = normal(&rng) + 0.35;
        far[i] = 1 + i;
    }
    CHECK_OK(vt_sign_flip(d, 30, 100000, 1, &t, &err), err);
    CHECK(!t.is_exact);
    /* Under random signs the mean is nearly normal with variance sum d^2 / n^2. */
    double squares = 0, sum = 0;
    for (int i = 0; i < 30; i++) {
        squares += d[i] * d[i];
        sum += d[i];
    }
    CHECK_NEAR(t.p, erfc(fabs(sum) / sqrt(2 * squares)), 0.01);
    CHECK_OK(vt_sign_flip(far, 30, 999, 1, &t, &err), err);
    CHECK_NEAR(t.p, 0.001, 1e-12); /* no draw is as far, and p is not 0 */
    CHECK_NEAR(t.p_min, 0.001, 1e-12);
    CHECK_OK(vt_permutation(far, 15, far + 15, 15, 9999, 1, &t, &err), err);
    CHECK(!t.is_exact);
    CHECK_NEAR(t.p, 1e-4, 1e-12);
    CHECK_OK(vt_permutation(d, 15, d, 15, 999, 1, &t, &err), err);
    CHECK_NEAR(t.p, 1, 1e-12); /* equal samples: every split is as far */
}

/* Power of a sign test over 10 tasks of which each is better with chance 0.9: P(9 or 10 of 10, or as few), and nobody
 * finds an effect that is not there more often than alpha. */
static void power(void)
{
    const double pilot[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, -1};
    const double even[] = {-1.7, -1.1, -0.8, -0.4, -0.1, 0.1, 0.4, 0.8, 1.1, 1.7};
    struct vt_power_request r = {.pilot = pilot,
                                 .n_pilot = 10,
                                 .n_tasks = 10,
                                 .n_simulations = 20000,
                                 .effect = 0.8,
                                 .alpha = 0.05,
                                 .test = VT_POWER_SIGN,
                                 .seed = 5};
    size_t n;
    vt_err err;

    CHECK_OK(vt_power(&r, &n, &err), err);
    CHECK_NEAR((double)n / 20000, 0.7361, 0.012); /* binomial(10, 0.9): 0.3487 + 0.3874 */
    r.test = VT_POWER_WILCOXON;
    r.pilot = even;
    r.effect = 0;
    CHECK_OK(vt_power(&r, &n, &err), err);
    CHECK((double)n / 20000 < 0.055 && (double)n / 20000 > 0.03);
    r.test = VT_POWER_SIGN_FLIP;
    r.n_simulations = 2000;
    CHECK_OK(vt_power(&r, &n, &err), err);
    CHECK((double)n / 2000 < 0.065 && (double)n / 2000 > 0.03);
    r.test = VT_POWER_WILCOXON;
    r.effect = 1;
    CHECK_OK(vt_power(&r, &n, &err), err);
    CHECK((double)n / 2000 > 0.6); /* the mean is 1, the sd 1, ten tasks */
}

static void no_spread(void)
{
    const double same[] = {1, 1, 1, 1, 1, 1, 1, 1}, one[] = {3};
    struct vt_interval i;
    vt_err err;

    CHECK_OK(vt_bootstrap_t(same, 8, 100, 0.95, 1, &i, &err), err);
    CHECK(i.value == 1 && isnan(i.lo) && isnan(i.hi));
    CHECK_OK(vt_bootstrap_bca(same, 8, vt_stat_mean, 100, 0.95, 1, &i, &err), err);
    CHECK(i.value == 1 && isnan(i.lo) && isnan(i.hi));
    i = vt_student_interval(one, 1, 0.95);
    CHECK(i.value == 3 && isnan(i.lo));
}

static void intervals(void)
{
    struct vt_interval w = vt_wilson(8, 10, 0.95), b;
    double x[400];
    struct vt_stream rng;
    vt_err err;

    CHECK_NEAR(w.lo, 0.4901625, 1e-6); /* statsmodels proportion_confint(8, 10, method="wilson") */
    CHECK_NEAR(w.hi, 0.9433178, 1e-6);
    CHECK_NEAR(vt_wilson(0, 5, 0.95).lo, 0, 1e-12);
    vt_stream_init(&rng, 7);
    for (int i = 0; i < 400; i++)
        x[i] = normal(&rng);
    CHECK_OK(vt_bootstrap(x, 400, vt_stat_mean, 2000, 0.95, 1, &b, &err), err);
    CHECK_NEAR(b.value, vt_mean(x, 400), 1e-12);
    /* Normal theory: half width 1.96 sd / sqrt(n). */
    CHECK_NEAR((b.hi - b.lo) / 2, 1.96 * vt_sample_sd(x, 400) / 20, 0.01);
    CHECK_OK(vt_bootstrap(x, 1, vt_stat_median, 100, 0.95, 1, &b, &err), err);
    CHECK_NEAR(b.lo, x[0], 0);
    CHECK_OK(vt_bootstrap(x, 0, vt_stat_median, 100, 0.95, 1, &b, &err), err);
    CHECK(isnan(b.value));
}

static vt_status allocating_calls(void *arg, vt_err *err)
{
    const double x[] = {3, 1, 4, 1.5, 9}, other[] = {2, 7, 1, 8, 2.8}, third[] = {0.1, 0.5, 0.2, 0.9, 0.3};
    const size_t cluster[] = {0, 1, 2, 3, 4};
    const struct vt_power_request power = {.pilot = x, .n_pilot = 5, .n_tasks = 5, .n_simulations = 2, .effect = 1};
    double value, adjusted[5];
    struct vt_interval b;
    struct vt_correlation r;
    struct vt_paired_test t;
    size_t n_significant;

    (void)arg;
    VT_TRY(vt_bootstrap(x, 5, vt_stat_mean, 10, 0.95, 1, &b, err));
    VT_TRY(vt_best_of_k(x, 5, 2, &value, err));
    VT_TRY(vt_spearman(x, x, 5, &value, err));
    VT_TRY(vt_ranks(x, 5, adjusted, NULL, NULL, err));
    VT_TRY(vt_spearman_test(x, other, 5, 0.95, &r, err));
    VT_TRY(vt_kendall(x, other, 5, 0.95, &r, err));
    VT_TRY(vt_partial_spearman(x, other, third, 5, 0.95, &r, err));
    VT_TRY(vt_spearman_clusters(x, other, cluster, 5, 5, 0.95, &r, err));
    VT_TRY(vt_cliffs_delta(x, 5, other, 5, 0.95, &r, err));
    VT_TRY(vt_wilcoxon(x, 5, VT_ZEROS_PRATT, &t, err));
    VT_TRY(vt_hodges_lehmann(x, 5, 0.5, &b, err));
    VT_TRY(vt_sign_flip(x, 5, 10, 1, &t, err));
    VT_TRY(vt_permutation(x, 5, other, 5, 10, 1, &t, err));
    VT_TRY(vt_power(&power, &n_significant, err));
    VT_TRY(vt_bootstrap_t(x, 5, 10, 0.95, 1, &b, err));
    VT_TRY(vt_bootstrap_bca(x, 5, vt_stat_mean, 10, 0.95, 1, &b, err));
    VT_TRY(vt_holm(third, 5, adjusted, err));
    return vt_benjamini_hochberg(third, 5, adjusted, err);
}

static void no_memory(void)
{
    fail_each("stats", allocating_calls, NULL, MUST_FAIL);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(means_and_spread), TEST(pass_at_k),   TEST(best_of_k),
                                         TEST(first_of_k),       TEST(order),       TEST(tests_and_effects),
                                         TEST(published),        TEST(drawn_tests), TEST(power),
                                         TEST(no_spread),        TEST(intervals),   TEST(no_memory)};
TEST_MAIN(cases)
