/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_timing_estimate.c: the estimate from pairs, on made-up machines whose truth is known: a floor per input set,
 * ticks, bursts of a busy neighbour, rare preemptions. Deterministic: a simulated clock drives the bursts.
 */
#include "base/rng.h"
#include "eval/estimate.h"
#include "harness.h"

struct machine {
    struct vt_stream random;
    double now_ms, busy_until_ms;       /* a neighbour slows everything down until then */
    double busy_share, tick_share;      /* of the time; of the runs */
    double set_cost[VT_MAX_TIMED_SETS]; /* of an input set, on both sides */
};

static double uniform(struct machine *m)
{
    return (double)vt_stream_below(&m->random, 1u << 30) / (double)(1u << 30);
}

static void machine_init(struct machine *m, uint64_t seed, double busy_share, double tick_share)
{
    memset(m, 0, sizeof *m);
    vt_stream_init(&m->random, seed);
    m->busy_share = busy_share;
    m->tick_share = tick_share;
    for (int s = 0; s < VT_MAX_TIMED_SETS; s++)
        m->set_cost[s] = 1 + 0.1 * uniform(m);
}

/* Nanoseconds of a run whose undisturbed time is `us` on a set of cost 1. */
static uint64_t run(struct machine *m, double us, size_t set)
{
    double t = us * m->set_cost[set];
    if (m->now_ms > m->busy_until_ms && uniform(m) < m->busy_share / 5)
        m->busy_until_ms = m->now_ms + 5 * uniform(m);
    if (m->now_ms < m->busy_until_ms)
        t *= 1.2 + 0.2 * uniform(m);
    if (uniform(m) < m->tick_share)
        t += 5 + 10 * uniform(m);
    t *= 1 + 0.001 * uniform(m);
    m->now_ms += t / 1e3 + 0.3;
    return (uint64_t)(1e3 * t);
}

static void time_it(struct machine *m, struct vt_trials *t, double a_us, const double *b_us, size_t n_sets)
{
    const double precision = 0.003;
    memset(t, 0, sizeof *t);
    t->n_sets = n_sets;
    while (t->n < VT_MAX_PAIRS && !(t->n >= 8 && vt_trials_settle(t, precision))) {
        size_t set = vt_trials_next_set(t, precision);
        struct vt_pair p = {.set = (uint8_t)set, .a_first = t->n % 2 == 0};
        if (p.a_first)
            p.a_ns = run(m, a_us, set);
        p.b_ns = run(m, b_us[set], set);
        if (!p.a_first)
            p.a_ns = run(m, a_us, set);
        t->pair[t->n++] = p;
    }
    vt_trials_settle(t, precision);
}

/* A thousand times identical code, at three levels of noise. */
static void identical_code(void)
{
    static const double busy[] = {0, 0.3, 0.6};
    static const double same[] = {100, 100, 100, 100};
    for (size_t k = 0; k < 3; k++) {
        double worst = 0;
        int n_missed = 0, n_pairs = 0;
        for (uint64_t i = 0; i < 1000; i++) {
            struct machine m;
            struct vt_trials t;
            machine_init(&m, 1000 * k + i, busy[k], 0.2);
            time_it(&m, &t, 100, same, 4);
            n_missed += t.lo > 0 || t.hi < 0;
            n_pairs += t.n;
            if (t.is_settled)
                worst = fmax(worst, fabs(t.log_ratio));
        }
        printf("  neighbour busy %.0f %%: worst settled error %.3f %%, %d intervals missed, %.1f pairs\n",
               100 * busy[k], 100 * worst, n_missed, n_pairs / 1000.0);
        CHECK(worst < 0.01);
        CHECK(n_missed <= 50);
    }
}

static void true_ratio(void)
{
    static const double faster[] = {50, 50, 50, 50}, slower[] = {103, 103, 103, 103};
    struct machine m;
    struct vt_trials t;
    machine_init(&m, 1, 0.3, 0.2);
    time_it(&m, &t, 100, faster, 4);
    CHECK_NEAR(t.log_ratio, log(2), 0.03);
    CHECK(t.lo < log(2) && t.hi > log(2));
    time_it(&m, &t, 100, slower, 4);
    CHECK_NEAR(t.log_ratio, -log(1.03), 0.004);
    CHECK(t.hi < 0);
}

/* Quick on one of four inputs: no credit beyond that input, and the interval says that sets differ. */
static void quick_on_one_set(void)
{
    static const double one[] = {100, 100, 10, 100};
    struct machine m;
    struct vt_trials t;
    machine_init(&m, 2, 0, 0.1);
    time_it(&m, &t, 100, one, 4);
    CHECK_NEAR(t.log_ratio, 0, 0.01);
    CHECK(t.lo < 0);
}

static struct vt_trials swapped(const struct vt_trials *t)
{
    struct vt_trials u = *t;
    for (int i = 0; i < u.n; i++) {
        u.pair[i].a_ns = t->pair[i].b_ns;
        u.pair[i].b_ns = t->pair[i].a_ns;
    }
    vt_trials_settle(&u, 0.003);
    return u;
}

static void sides_are_alike(void)
{
    static const double slower[] = {120, 120, 120, 120, 120, 120};
    for (uint64_t i = 0; i < 100; i++) {
        struct machine m;
        struct vt_trials t;
        machine_init(&m, 77 + i, 0.5, 0.3);
        time_it(&m, &t, 100, slower, 6);
        struct vt_trials u = swapped(&t);
        CHECK_NEAR(u.log_ratio, -t.log_ratio, 1e-12);
        CHECK_NEAR(u.lo, -t.hi, 1e-12);
        CHECK_NEAR(u.hi, -t.lo, 1e-12);
        CHECK_INT(vt_trials_next_set(&u, 0.003), vt_trials_next_set(&t, 0.003));
        CHECK_INT(u.is_settled, t.is_settled);
    }
}

static void too_little_to_say(void)
{
    struct vt_trials t = {.n_sets = 3};
    CHECK(!vt_trials_settle(&t, 0.003));
    CHECK_NEAR(t.log_ratio, 0, 0);
    for (int s = 0; s < 3; s++) {
        CHECK_INT(vt_trials_next_set(&t, 0.003), s);
        CHECK(!vt_trials_settle(&t, 10));
        t.pair[t.n++] = (struct vt_pair){.a_ns = 1000000, .b_ns = 1000000, .set = (uint8_t)s};
    }
    CHECK(vt_trials_settle(&t, 0.003) && t.by_middle); /* no fastest run was met twice */
    for (int s = 0; s < 3; s++)
        t.pair[t.n++] = (struct vt_pair){.a_ns = 1000000, .b_ns = 1000000, .set = (uint8_t)s};
    CHECK(vt_trials_settle(&t, 0.003) && !t.by_middle);
    t.pair[t.n++] = (struct vt_pair){.a_ns = 1000000, .b_ns = 1000000, .set = 1};
    t.pair[4].b_ns = 1700000; /* set 1 was disturbed once: its other runs count */
    CHECK(vt_trials_settle(&t, 0.003) && !t.by_middle);
    CHECK_NEAR(t.log_ratio, 0, 1e-12);
    t.pair[1].b_ns = t.pair[6].b_ns = 1500000; /* in all its runs: it is looked at again */
    CHECK(!vt_trials_settle(&t, 0.003));
    CHECK_INT(vt_trials_next_set(&t, 0.003), 1);
    /* The clock's own jitter is a twentieth of a run of a microsecond: nothing can be sure. */
    for (int i = 0; i < t.n; i++)
        t.pair[i].a_ns = t.pair[i].b_ns = 1000;
    vt_trials_settle(&t, 0.003);
    CHECK(t.lo < -0.045 && t.hi > 0.045);
}

/* One side met a rare fast state on every set, the other did not: that is luck, and most pairs say so. */
static void rare_fast_state(void)
{
    struct vt_trials t = {.n_sets = 4};
    for (int i = 0; i < 40; i++) {
        struct vt_pair p = {.a_ns = 335000, .b_ns = i < 8 ? 306000 : 335000, .set = (uint8_t)(i % 4)};
        t.pair[t.n++] = p;
    }
    vt_trials_settle(&t, 0.003);
    CHECK(t.by_middle);
    CHECK_NEAR(t.log_ratio, 0, 1e-9);
}

/* No run is ever undisturbed: the median of pairs says it, and its interval holds the truth. */
static void never_clean(void)
{
    int n_missed = 0, n_settled = 0;
    double worst = 0;
    for (uint64_t i = 0; i < 200; i++) {
        struct machine m;
        struct vt_trials t = {.n_sets = 4};
        machine_init(&m, 5000 + i, 0, 0);
        while (t.n < VT_MAX_PAIRS && !(t.n >= 8 && vt_trials_settle(&t, 0.003))) {
            struct vt_pair p = {.set = (uint8_t)vt_trials_next_set(&t, 0.003), .a_first = t.n % 2 == 0};
            p.a_ns = (uint64_t)(1e5 * (1.2 + 0.1 * uniform(&m)));
            p.b_ns = (uint64_t)(1e5 * (1.2 + 0.1 * uniform(&m)));
            t.pair[t.n++] = p;
        }
        vt_trials_settle(&t, 0.003);
        n_missed += t.lo > 0 || t.hi < 0;
        n_settled += t.is_settled;
        worst = fmax(worst, fabs(t.log_ratio));
    }
    printf("  never clean: worst error %.2f %%, %d of 200 intervals missed, %d settled\n", 100 * worst, n_missed,
           n_settled);
    CHECK(worst < 0.03);
    CHECK(n_missed <= 10);
}

/* Without any noise the ratio is exact, and the interval is what two processes and the clock may differ by. */
static void no_noise(void)
{
    struct vt_trials t = {.n_sets = 4};
    for (int i = 0; i < 16; i++)
        t.pair[t.n++] = (struct vt_pair){.a_ns = 200000, .b_ns = 100000, .set = (uint8_t)(i % 4)};
    CHECK(vt_trials_settle(&t, 0.003));
    CHECK(!t.by_middle);
    CHECK_NEAR(t.log_ratio, log(2), 1e-12);
    CHECK_NEAR(t.log_ratio - t.lo, 0.002 + 50.0 / 100000, 1e-12);
    CHECK_NEAR(t.hi - t.log_ratio, 0.002 + 50.0 / 100000, 1e-12);
    CHECK_NEAR(t.a_us, 200, 1e-9);
    CHECK_NEAR(t.b_us, 100, 1e-9);
}

/* Runs that scatter to both sides, by 0.42 % as on a GPU: how far 200 ratios of equals are off by eight pairs, and by
 * the pairs that judge.c takes there for a small difference. */
static void even_noise(void)
{
    enum { N = 200, SETS = 4 };
    static const int pairs[] = {8, 32};
    double worst[2] = {0, 0};
    for (uint64_t i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) {
            struct machine m;
            struct vt_trials t = {.n_sets = SETS};
            machine_init(&m, i, 0, 0);
            while (t.n < pairs[k]) {
                double scatter[2] = {0, 0};
                for (int d = 0; d < 24; d++)
                    scatter[d % 2] += (uniform(&m) - 0.5) * 0.0042;
                t.pair[t.n] = (struct vt_pair){.set = (uint8_t)(t.n % SETS),
                                               .a_ns = (uint64_t)(170e3 * (1 + scatter[0])),
                                               .b_ns = (uint64_t)(170e3 * (1 + scatter[1]))};
                t.n++;
            }
            vt_trials_settle(&t, 0.002);
            worst[k] = fmax(worst[k], fabs(t.log_ratio));
        }
    printf("  even noise: worst of %d: %.3f %% by %d pairs, %.3f %% by %d\n", N, 100 * worst[0], pairs[0],
           100 * worst[1], pairs[1]);
    CHECK(worst[0] > 0.005);
    CHECK(worst[1] < 0.005);
}

static const struct test_case cases[] = {TEST(no_noise),         TEST(identical_code),    TEST(true_ratio),
                                         TEST(quick_on_one_set), TEST(rare_fast_state),   TEST(never_clean),
                                         TEST(sides_are_alike),  TEST(too_little_to_say), TEST(even_noise)};
TEST_MAIN(cases)
