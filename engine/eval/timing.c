/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.c: ABBA pairs, median of log-ratios, bootstrap interval.
 *
 * A pair is two calls next to each other on the same input set, in alternating order (AB, BA, AB, …), so that drift
 * slower than a pair cancels. Each is a fresh process on warm data. Every output is compared with its set's truth;
 * the first wrong one ends the timing. The machine lease is held for at most BATCH_MS at a time. A pair during which
 * the kernel took a core away is kept in the record but not counted, as long as most pairs are undisturbed.
 *
 * The stop rule uses the order-statistic interval of the median (cheap, exact level); the reported interval is the
 * bootstrap of engine/stats with 2,000 resamples.
 */
#include "eval/timing.h"
#include "base/clock.h"
#include "base/rng.h"
#include "stats/stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

enum { BATCH_MS = 200, N_RESAMPLES = 2000, FEWEST_PAIRS = 3, WALL_PER_BUDGET = 20, LOCK_WAIT_MS = 3000 };

/* An interval that excludes 1 by less than this does not end a timing: with a look after every fourth pair one in
 * twenty such exclusions per look would be chance. */
static const double decided_by = 0.03;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void vt_median_interval(size_t n, size_t *lo, size_t *hi)
{
    /* Largest k with 2 P(Binomial(n, 1/2) < k) <= 0.05; the interval is [x_k, x_{n-1-k}]. */
    double term = pow(0.5, (double)n), tail = 0;
    size_t k = 0;
    while (k < n / 2 && 2 * (tail + term) <= 0.05) {
        tail += term;
        term *= (double)(n - k) / (double)(k + 1);
        k++;
    }
    *lo = k > 0 ? k - 1 : 0;
    *hi = n - 1 - *lo;
}

static size_t counted(const struct vt_trials *t, double log_ratio[VT_MAX_PAIRS])
{
    bool use_all = 2 * t->n_disturbed > t->n;
    size_t n = 0;
    for (int i = 0; i < t->n; i++)
        if (use_all || !t->pair[i].is_disturbed)
            log_ratio[n++] = log((double)t->pair[i].a_ns / (double)t->pair[i].b_ns);
    return n;
}

static bool is_settled(const struct vt_timing_opts *o, const struct vt_trials *t)
{
    double x[VT_MAX_PAIRS];
    size_t n = counted(t, x), lo, hi;
    if ((int)n < o->min_pairs)
        return false;
    qsort(x, n, sizeof x[0], by_value);
    vt_median_interval(n, &lo, &hi);
    if (o->stop_when_decided && (x[lo] > decided_by || x[hi] < -decided_by) && x[hi] - x[lo] < 1)
        return true;
    return x[hi] - x[lo] <= 2 * log1p(o->precision);
}

static double median_of(const struct vt_trials *t, bool of_a)
{
    double x[VT_MAX_PAIRS];
    bool use_all = 2 * t->n_disturbed > t->n;
    size_t n = 0;
    for (int i = 0; i < t->n; i++)
        if (use_all || !t->pair[i].is_disturbed)
            x[n++] = (double)(of_a ? t->pair[i].a_ns : t->pair[i].b_ns) / 1e3;
    return n ? vt_stat_median(x, n) : 0;
}

static vt_status summarise(const struct vt_timing_opts *o, struct vt_trials *t, vt_err *err)
{
    double x[VT_MAX_PAIRS];
    struct vt_interval interval;
    size_t n = counted(t, x);
    VT_TRY(vt_bootstrap(x, n, vt_stat_median, N_RESAMPLES, 0.95, o->seed, &interval, err));
    t->log_ratio = interval.value;
    t->lo = interval.lo;
    t->hi = interval.hi;
    t->a_us = median_of(t, true);
    t->b_us = median_of(t, false);
    if (2 * t->n_disturbed > t->n)
        t->is_contended = true;
    return VT_OK;
}

struct session {
    const struct vt_timing_opts *o;
    struct vt_trials *t;
    struct vt_stream random;
    bool *failed;
    struct vt_check_result *failure;
};

static vt_status one_call(struct session *s, bool is_a, const struct vt_set *set, uint64_t *ns, bool *disturbed,
                          vt_err *err)
{
    const struct vt_timing_opts *o = s->o;
    struct vt_call_opts call = {set, 1, o->clock, vt_stream_u64(&s->random), o->cpu, o->deadline_ns, NULL};
    struct vt_check_result c;
    VT_TRY(vt_check_run(is_a ? o->a : o->b, o->pool, o->outputs, &call, &c, err));
    *ns = c.call.ns ? c.call.ns : 1;
    *disturbed |= c.call.was_preempted;
    if (!is_a && c.compare.worst > s->t->worst)
        s->t->worst = c.compare.worst;
    if (c.end == VT_CHECK_RIGHT)
        return VT_OK;
    if (is_a)
        return vt_fail(err, VT_EINTERNAL, "the baseline failed while it was timed, although it had passed its checks");
    *s->failed = true;
    *s->failure = c;
    return VT_OK;
}

static vt_status one_pair(struct session *s, bool is_counted, vt_err *err)
{
    struct vt_trials *t = s->t;
    const struct vt_set *set = &s->o->pool->set[vt_stream_below(&s->random, s->o->n_sets)];
    struct vt_pair p = {.a_first = t->n % 2 == 0};
    for (int k = 0; k < 2 && !*s->failed; k++) {
        bool is_a = (k == 0) == p.a_first;
        VT_TRY(one_call(s, is_a, set, is_a ? &p.a_ns : &p.b_ns, &p.is_disturbed, err));
    }
    if (is_counted && !*s->failed) {
        t->pair[t->n++] = p;
        t->n_disturbed += p.is_disturbed;
        t->timed_ms += p.is_disturbed ? 0 : (double)(p.a_ns + p.b_ns) / 1e6;
    }
    return VT_OK;
}

static bool is_finished(const struct vt_timing_opts *o, const struct vt_trials *t, uint64_t from)
{
    int n_counted = t->n - t->n_disturbed;
    double wall_ms = (double)(vt_now_ns() - from) / 1e6;
    if (n_counted >= o->max_pairs || t->n >= VT_MAX_PAIRS)
        return true;
    if (n_counted >= FEWEST_PAIRS && t->timed_ms > o->budget_ms)
        return true;
    if (t->n >= FEWEST_PAIRS && wall_ms > WALL_PER_BUDGET * o->budget_ms)
        return true;
    return n_counted >= o->min_pairs && t->n % 4 == 0 && is_settled(o, t);
}

/* Other vegttt processes of this user take turns with us; one that does not let go (it was stopped, say) is not waited
 * for longer than LOCK_WAIT_MS. */
static bool lock_machine(int fd)
{
    for (int waited_ms = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms++) {
        if (waited_ms >= LOCK_WAIT_MS)
            return false;
        vt_sleep_ms(1);
    }
    return true;
}

vt_status vt_timing_run(const struct vt_timing_opts *o, struct vt_trials *out, bool *failed,
                        struct vt_check_result *failure, vt_err *err)
{
    struct session s = {.o = o, .t = out, .failed = failed, .failure = failure};
    memset(out, 0, sizeof *out);
    *failed = false;
    vt_stream_init(&s.random, vt_seed_mix(o->seed, 0x71de));
    vt_status status = VT_OK;
    uint64_t spent = 0;
    bool is_warm = false;
    while (status == VT_OK && !*failed) {
        bool contended = false, is_locked = lock_machine(o->machine_lock);
        vt_lease_acquire(o->lease, &contended);
        out->is_contended |= contended || !is_locked;
        uint64_t from = vt_now_ns(), until = from + (uint64_t)BATCH_MS * 1000000;
        if (!is_warm)
            status = one_pair(&s, false, err);
        is_warm = true;
        while (status == VT_OK && !*failed && vt_now_ns() < until && !is_finished(o, out, from - spent))
            status = one_pair(&s, true, err);
        vt_lease_release(o->lease);
        if (o->machine_lock >= 0)
            flock(o->machine_lock, LOCK_UN);
        spent += vt_now_ns() - from;
        if (is_finished(o, out, vt_now_ns() - spent))
            break;
    }
    out->wall_ms = (double)spent / 1e6;
    if (status == VT_OK && !*failed)
        status = summarise(o, out, err);
    return status;
}
