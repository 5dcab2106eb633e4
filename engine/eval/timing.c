/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.c: ABBA pairs on a lane.
 *
 * A pair is two calls next to each other on the same input set, in alternating order (AB, BA, AB, …), so that drift
 * slower than a pair cancels. Every output of the candidate is compared with its set's truth; the first wrong one ends
 * the timing. The lane is held for at most BATCH_MS at a time. What the pairs say, on which set the next one runs and
 * when they are enough is estimate.c's business. A call keeps nothing of the one before, so the order of sets need not
 * be secret.
 *
 * Where the caller keeps the reference's times (known_ns) and the candidate is clearly faster or slower, the reference
 * runs in every eighth pair only. That run is the drift's anchor: in the pairs after it the reference's time is what is
 * known of the set, times what the anchor took of what was known. A difference too small for that is timed in whole
 * pairs.
 *
 * Every pair counts and is kept. One during which the tier saw a call disturbed is marked; when most are, or when the
 * tier's watch says that others wanted the lane, or when a guest of the lease did not park, the trials are contended.
 */
#include "eval/timing.h"
#include "base/clock.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_MS = 200,
    WALL_PER_BUDGET = 3,
    FEWEST_STAYS = 4,
    WASTE_MS = 300,
    LONG_STAY_MS = 20,
    NUISANCE_MS = 10000,
    ANCHOR_EVERY = 8
};

struct session {
    const struct vt_timing_opts *o;
    struct vt_trials *t;
    struct vt_stream random;
    bool *failed;
    struct vt_check *failure;
    uint64_t digest[VT_MAX_TIMED_SETS]; /* of the candidate's first outputs on each set */
    bool has_digest[VT_MAX_TIMED_SETS];
    float stay_ms[VT_MAX_PAIRS]; /* how much longer than the reference's the candidate's process stayed, a pair */
    int n_stays;
    double drift; /* the last run of the reference over what was known of its set */
};

static void compare_runs(struct session *s, uint8_t set, uint64_t digest)
{
    s->t->n_repeats += s->has_digest[set];
    s->t->n_differing += s->has_digest[set] && s->digest[set] != digest;
    s->digest[set] = digest;
    s->has_digest[set] = true;
}

static void judge_candidate(struct session *s, const struct vt_check *c, uint8_t set)
{
    if (c->compare.worst > s->t->worst)
        s->t->worst = c->compare.worst;
    if (c->end == VT_CHECK_RIGHT) {
        compare_runs(s, set, c->digest);
        return;
    }
    *s->failed = true;
    *s->failure = *c;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* A candidate can keep its process busy after the clock has stopped, and then the wall's limit would cut its timing
 * short. So what its processes stay longer than the reference's is not counted; and it is a failure where most of them
 * do, which no load of the machine explains, or where it adds up to a nuisance. */
static bool is_lingering(struct session *s, uint64_t reference_ns, uint64_t candidate_ns)
{
    float sorted[VT_MAX_PAIRS + 1];
    double more = ((double)candidate_ns - (double)reference_ns) / 1e6;
    int n = s->n_stays;
    if (n < VT_MAX_PAIRS)
        s->stay_ms[s->n_stays++] = (float)more;
    s->t->wasted_ms = fmax(0, s->t->wasted_ms + more);
    if (n < FEWEST_STAYS || s->t->wasted_ms < WASTE_MS)
        return false;
    memcpy(sorted, s->stay_ms, sizeof sorted[0] * (size_t)s->n_stays);
    qsort(sorted, (size_t)s->n_stays, sizeof sorted[0], by_value);
    return sorted[s->n_stays / 2] > LONG_STAY_MS || s->t->wasted_ms > NUISANCE_MS;
}

/* Need the reference not run on this set? */
static bool is_known(const struct session *s, uint8_t set)
{
    const struct vt_trials *t = s->t;
    if (!s->o->known_ns || !s->o->known_ns[set] || t->n % ANCHOR_EVERY == 0)
        return false;
    const struct vt_pair *last = &t->pair[t->n - 1];
    return fabs(log((double)last->a_ns) - log((double)last->b_ns)) >= s->o->close;
}

/* The reference ran: what is known of the set, and how far from it the machine is now. */
static void learn(struct session *s, uint8_t set, uint64_t ns)
{
    uint64_t *known = s->o->known_ns ? &s->o->known_ns[set] : NULL;
    if (!known)
        return;
    if (*known)
        s->drift = (double)ns / (double)*known;
    if (!*known || ns < *known)
        *known = ns;
}

static vt_status one_pair(struct session *s, vt_err *err)
{
    struct vt_trials *t = s->t;
    uint8_t number = (uint8_t)vt_trials_next_set(t, s->o->precision);
    struct vt_pair p = {.a_first = t->n % 2 == 0, .set = number, .is_stored = is_known(s, number)};
    uint64_t stay[2] = {0, 0}; /* of the candidate's and the reference's process */
    if (p.is_stored)
        p.a_ns = (uint64_t)((double)s->o->known_ns[number] * s->drift + 0.5);
    for (int k = 0; k < 2 && !*s->failed; k++) {
        struct vt_check c = {.end = VT_CHECK_RIGHT};
        bool is_reference = (k == 0) == p.a_first;
        if (is_reference && p.is_stored)
            continue;
        VT_TRY(s->o->call(s->o->arg, is_reference, number, vt_stream_u64(&s->random), &c, err));
        stay[is_reference] = c.after_ns;
        *(is_reference ? &p.a_ns : &p.b_ns) = c.ns ? c.ns : 1;
        p.is_disturbed |= c.was_disturbed;
        if (!is_reference)
            judge_candidate(s, &c, number);
        else if (c.end != VT_CHECK_RIGHT)
            return c.is_timeout
                       ? vt_fail(err, VT_ETIMEOUT, "the baseline did not return in time; is this machine overloaded?")
                       : vt_fail(err, VT_EINTERNAL,
                                 "the baseline failed while it was timed, although it had passed its checks");
    }
    if (!p.is_stored)
        learn(s, number, p.a_ns);
    if (!*s->failed && is_lingering(s, stay[1], stay[0])) {
        *s->failed = true;
        *s->failure = (struct vt_check){.end = VT_CHECK_LINGERED, .set = number};
    }
    if (!*s->failed) {
        t->pair[t->n++] = p;
        t->n_disturbed += p.is_disturbed;
        t->n_stored += p.is_stored;
        t->timed_ms += p.is_disturbed ? 0 : (double)((p.is_stored ? 0 : p.a_ns) + p.b_ns) / 1e6;
    }
    return VT_OK;
}

static bool is_finished(const struct vt_timing_opts *o, struct vt_trials *t, uint64_t from)
{
    double wall_ms = (double)(vt_now_ns() - from) / 1e6 - t->wasted_ms;
    if (t->n < (int)t->n_sets)
        return false;
    bool is_looked_at = t->n >= o->min_pairs && t->n % (1 + t->n / 64) == 0; /* sorting all pairs is not free */
    return (is_looked_at && vt_trials_settle(t, o->precision) &&
            (t->n >= o->min_close || fabs(t->log_ratio) >= o->close)) ||
           t->n >= VT_MAX_PAIRS || t->n - t->n_disturbed >= o->max_pairs || t->timed_ms > o->budget_ms ||
           wall_ms > WALL_PER_BUDGET * o->budget_ms;
}

/* One turn with the lane to itself. */
static vt_status one_batch(struct session *s, uint64_t *spent, bool *is_done, vt_err *err)
{
    const struct vt_timing_opts *o = s->o;
    bool contended = false, is_our_turn = vt_turns_take(o->turns);
    vt_status status = VT_OK;
    vt_lease_acquire(o->lease, o->place, &contended);
    s->t->is_contended |= contended || !is_our_turn;
    o->watch(o->arg, VT_WATCH_LOOK);
    uint64_t from = vt_now_ns(), until = from + (uint64_t)BATCH_MS * 1000000;
    while (status == VT_OK && !*s->failed && !(*is_done = is_finished(o, s->t, from - *spent)) && vt_now_ns() < until)
        status = one_pair(s, err);
    *spent += vt_now_ns() - from;
    o->watch(o->arg, VT_WATCH_LOOK);
    vt_lease_release(o->lease, o->place);
    vt_turns_give(o->turns);
    return status;
}

vt_status vt_timing_run(const struct vt_timing_opts *o, struct vt_trials *out, bool *failed, struct vt_check *failure,
                        vt_err *err)
{
    struct session s = {.o = o, .t = out, .failed = failed, .failure = failure, .drift = 1};
    memset(out, 0, sizeof *out);
    out->n_sets = o->n_sets;
    *failed = false;
    vt_stream_init(&s.random, vt_seed_mix(o->seed, 0x71de));
    vt_status status = VT_OK;
    uint64_t spent = 0;
    bool is_done = false;
    o->watch(o->arg, VT_WATCH_BEGIN);
    while (status == VT_OK && !*failed && !is_done)
        status = one_batch(&s, &spent, &is_done, err);
    out->wall_ms = (double)spent / 1e6;
    out->is_contended |= o->watch(o->arg, VT_WATCH_END) || 2 * out->n_disturbed > out->n;
    (void)vt_trials_settle(out, o->precision);
    return status;
}
