/* SPDX-License-Identifier: Apache-2.0
 *
 * estimate.c: log(reference time / candidate time) from ABBA pairs, by fastest runs where they repeat, else by the
 * middle of three estimates.
 *
 * On a shared machine a run time is a floor plus a disturbance that is never negative: timer ticks of the machine and
 * of its host (ten microseconds each), a neighbour on the other half of the physical core (a third longer, for
 * milliseconds on end), a preemption. Such noise is one-sided, bursty and often larger than what is to be measured: a
 * median over pairs needs hundreds of them, while the fastest of a few runs is clean when one of them was. The danger
 * of a fastest run is that one side happened to be clean and the other did not; hence three guards:
 *
 *   pairs    both sides run next to each other, in alternating order, so a burst meets both
 *   sets     the fastest runs are taken per input set: a set's own cost (its data, its physical pages) is the same on
 *            both sides and cancels, and a candidate that is quick on one set gains on that set only
 *   settling each set gives an estimate of its own, from other runs than the next one's. Timing goes on, on the set
 *            that disagrees most, until all say the same within the precision and, on either side, the fastest runs
 *            have been met twice on the average (more often where a run is so short that the clock's own jitter shows).
 *            Disturbed runs do neither by chance: they differ by more than that.
 *            A fast state that only one side has met yet is told by the median of the pairs, which must not contradict
 *
 * The estimate then is the median over the sets, the interval twice their range (the range of four values misses their
 * median one time in eight). A kernel whose data does not fit the core's own caches may never be undisturbed, and one
 * that has several speeds by chance (of branch prediction, say) meets the fastest seldom. Its estimate is the middle of
 * three that fail for different reasons: the fastest runs; the median of log(a/b) over the pairs, each set weighing the
 * same; the median of log(a/b) over the faster half of each set's runs, rank by rank (which two speeds met equally
 * often on both sides do not move). The interval is that of the pairs' order statistics, and pairs are added until it
 * is narrow; what is reported is stretched to hold all three, since a difference they do not agree on was not measured.
 *
 * Both intervals are widened by what two processes with the same code were seen to differ by (tests/bench/eval_aa.c
 * counts how often the truth is missed) and by the clock's own jitter, which matters for runs of a few microseconds.
 * Sides are treated alike throughout: exchanging them turns the result's sign and nothing else.
 */
#include "eval/estimate.h"
#include <math.h>
#include <stdlib.h>

static const double process_effect = 0.002; /* in log(a/b) */
static const double clock_jitter_ns = 50;   /* of a pair: two stores seen across cores, twice */
static const double roughest = 0.03;        /* the precision that is enough for any difference, however clear */
static const double pairs_precision = 2.5;  /* what the median of pairs may be less precise than fastest runs */

struct floors {
    double a[VT_MAX_TIMED_SETS], b[VT_MAX_TIMED_SETS]; /* fastest runs in ns; 0 = never timed */
    double x[VT_MAX_TIMED_SETS];                       /* log(a/b) */
    int n_visits[VT_MAX_TIMED_SETS];
    double middle, low, high; /* of x */
    double jitter;            /* of the clock, in log(a/b) */
    bool is_complete;         /* every set was timed */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *x, size_t n)
{
    double sorted[VT_MAX_TIMED_SETS];
    for (size_t i = 0; i < n; i++)
        sorted[i] = x[i];
    qsort(sorted, n, sizeof sorted[0], by_value);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

static void lower(double *floor, uint64_t ns)
{
    if (*floor == 0 || (double)ns < *floor)
        *floor = (double)ns;
}

static struct floors find_floors(const struct vt_trials *t)
{
    struct floors f = {.is_complete = t->n_sets > 0};
    double shortest = INFINITY;
    for (int i = 0; i < t->n; i++) {
        const struct vt_pair *p = &t->pair[i];
        lower(&f.a[p->set], p->a_ns);
        lower(&f.b[p->set], p->b_ns);
        f.n_visits[p->set]++;
    }
    for (size_t s = 0; s < t->n_sets; s++) {
        if (!f.n_visits[s]) {
            f.is_complete = false;
            continue;
        }
        f.x[s] = log(f.a[s]) - log(f.b[s]);
        shortest = fmin(shortest, fmin(f.a[s], f.b[s]));
    }
    if (!f.is_complete)
        return f;
    f.jitter = clock_jitter_ns / shortest;
    f.middle = median(f.x, t->n_sets);
    f.low = f.high = f.x[0];
    for (size_t s = 1; s < t->n_sets; s++) {
        f.low = fmin(f.low, f.x[s]);
        f.high = fmax(f.high, f.x[s]);
    }
    return f;
}

/* How many runs of a side come within `tolerance` of the fastest on their set, the fastest included. */
static size_t n_near(const struct vt_trials *t, const double *floor, bool of_a, double tolerance)
{
    size_t n = 0;
    for (int i = 0; i < t->n; i++) {
        const struct vt_pair *p = &t->pair[i];
        n += (double)(of_a ? p->a_ns : p->b_ns) <= floor[p->set] * (1 + tolerance);
    }
    return n;
}

static double wanted(double middle, double precision)
{
    return fmax(precision, fmin(fabs(middle) / 20, roughest));
}

static bool floors_agree(const struct vt_trials *t, const struct floors *f, double precision)
{
    double precise = wanted(f->middle, precision), tolerance = 2 * (precise + f->jitter);
    size_t n_needed = (size_t)(2 * (double)t->n_sets * (1 + f->jitter / precise));
    return f->high - f->low <= tolerance && n_near(t, f->a, true, tolerance) >= n_needed &&
           n_near(t, f->b, false, tolerance) >= n_needed;
}

struct weighted {
    double x, weight;
};

static int by_x(const void *a, const void *b)
{
    double x = ((const struct weighted *)a)->x, y = ((const struct weighted *)b)->x;
    return (x > y) - (x < y);
}

/* The value below which a share `p` of the weight lies; midway between two values at a tie. */
static double quantile(const struct weighted *w, int n, double p)
{
    double below = 0;
    for (int i = 0; i < n; i++) {
        below += w[i].weight;
        if (fabs(below - p) < 1e-9 && i + 1 < n)
            return (w[i].x + w[i + 1].x) / 2;
        if (below > p)
            return w[i].x;
    }
    return w[n - 1].x;
}

/* Median of the pairs and its interval: the weight below the true median is 1/2 +- sqrt(sum of squares) / 2. 2.4 of
 * these, not 1.96, for 95 %: pairs are added until the interval is narrow, so there is more than one look. */
static void median_of_pairs(const struct vt_trials *t, const struct floors *f, double out[3])
{
    struct weighted w[VT_MAX_PAIRS];
    double squares = 0;
    for (int i = 0; i < t->n; i++) {
        const struct vt_pair *p = &t->pair[i];
        w[i].x = log((double)p->a_ns) - log((double)p->b_ns);
        w[i].weight = 1.0 / (f->n_visits[p->set] * (double)t->n_sets);
        squares += w[i].weight * w[i].weight;
    }
    qsort(w, (size_t)t->n, sizeof w[0], by_x);
    double half = 1.2 * sqrt(squares);
    out[0] = quantile(w, t->n, 0.5 - half);
    out[1] = quantile(w, t->n, 0.5);
    out[2] = quantile(w, t->n, 0.5 + half);
}

/* The faster half of the runs on one set, each side sorted: log(a/b) rank by rank. */
static int ranks_of_set(const struct vt_trials *t, size_t set, struct weighted *w)
{
    double a[VT_MAX_PAIRS], b[VT_MAX_PAIRS];
    size_t n = 0, half;
    for (int i = 0; i < t->n; i++)
        if (t->pair[i].set == set) {
            a[n] = (double)t->pair[i].a_ns;
            b[n++] = (double)t->pair[i].b_ns;
        }
    qsort(a, n, sizeof a[0], by_value);
    qsort(b, n, sizeof b[0], by_value);
    half = (n + 1) / 2;
    for (size_t i = 0; i < half; i++)
        w[i] = (struct weighted){log(a[i]) - log(b[i]), 1 / (double)(half * t->n_sets)};
    return (int)half;
}

static double median_of_ranks(const struct vt_trials *t)
{
    struct weighted w[VT_MAX_PAIRS];
    int n = 0;
    for (size_t s = 0; s < t->n_sets; s++)
        n += ranks_of_set(t, s, w + n);
    qsort(w, (size_t)n, sizeof w[0], by_x);
    return quantile(w, n, 0.5);
}

static double middle_of(double x, double y, double z)
{
    return fmax(fmin(x, y), fmin(fmax(x, y), z));
}

bool vt_trials_settle(struct vt_trials *t, double precision)
{
    const struct floors f = find_floors(t);
    if (!f.is_complete)
        return false;
    double margin = process_effect + f.jitter, half_range = (f.high - f.low) / 2;
    double x[3] = {f.low - half_range, f.middle, f.high + half_range};
    double pairs[3], reach = margin + wanted(f.middle, precision);
    median_of_pairs(t, &f, pairs);
    t->by_middle = !floors_agree(t, &f, precision) || f.middle < pairs[0] - reach || f.middle > pairs[2] + reach;
    double of_pairs = 0, of_all[2] = {x[0], x[2]};
    if (t->by_middle) {
        double ranks = median_of_ranks(t);
        x[1] = middle_of(f.middle, pairs[1], ranks);
        x[0] = fmin(pairs[0], x[1]);
        x[2] = fmax(pairs[2], x[1]);
        of_pairs = x[2] - x[0];
        of_all[0] = fmin(x[0], fmin(f.middle, ranks));
        of_all[1] = fmax(x[2], fmax(f.middle, ranks));
    }
    t->lo = of_all[0] - margin;
    t->log_ratio = x[1];
    t->hi = of_all[1] + margin;
    t->a_us = median(f.a, t->n_sets) / 1e3;
    t->b_us = median(f.b, t->n_sets) / 1e3;
    t->is_settled = !t->by_middle || of_pairs <= 2 * pairs_precision * wanted(x[1], precision);
    return t->is_settled;
}

size_t vt_trials_next_set(const struct vt_trials *t, double precision)
{
    const struct floors f = find_floors(t);
    size_t best = 0;
    double most = -1;
    for (size_t s = 0; s < t->n_sets; s++) {
        if (!f.n_visits[s])
            return s;
        double gain = (fabs(f.x[s] - f.middle) + precision / 2) / (f.n_visits[s] * f.n_visits[s]);
        if (f.is_complete && gain > most) {
            most = gain;
            best = s;
        }
    }
    return best;
}
