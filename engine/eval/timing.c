/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.c: ABBA pairs under the machine lease.
 *
 * A pair is two calls next to each other on the same input set, in alternating order (AB, BA, AB, …), so that drift
 * slower than a pair cancels. Each is a fresh process on warm data. Every output of the candidate is compared with its
 * set's truth; the first wrong one ends the timing. The machine lease is held for at most BATCH_MS at a time. What the
 * pairs say, on which set the next one runs and when they are enough is estimate.c's business. A fresh process cannot
 * know which set came before, so their order need not be secret.
 *
 * Every pair counts and is kept. One during which the kernel took a core away is marked; when most are, or when other
 * work was ready to run on these cores (crowd.h), or when a guest of the lease did not park, the trials are contended.
 */
#include "eval/timing.h"
#include "base/clock.h"
#include "base/rng.h"
#include "eval/c/crowd.h"
#include <string.h>
#include <sys/file.h>

enum { BATCH_MS = 200, WALL_PER_BUDGET = 3, LOCK_WAIT_MS = 3000 };

struct session {
    const struct vt_timing_opts *o;
    struct vt_trials *t;
    struct vt_stream random;
    bool *failed;
    struct vt_check_result *failure;
    uint64_t digest[VT_MAX_TIMED_SETS]; /* of the candidate's first outputs on each set */
    bool has_digest[VT_MAX_TIMED_SETS];
};

static void compare_runs(struct session *s, uint8_t set, uint64_t digest)
{
    if (s->has_digest[set] && s->digest[set] != digest)
        s->t->is_nondeterministic = true;
    s->digest[set] = digest;
    s->has_digest[set] = true;
}

/* The reference has passed its checks and is the task's own text: its outputs are not compared again. */
static vt_status call_reference(struct session *s, const struct vt_call_opts *call, uint64_t *ns, bool *disturbed,
                                vt_err *err)
{
    struct vt_call_result c;
    VT_TRY(vt_runner_call(s->o->a, call, &c, err));
    *ns = c.ns ? c.ns : 1;
    *disturbed |= c.was_preempted;
    if (c.end != VT_CALL_DONE)
        return vt_fail(err, VT_EINTERNAL, "the baseline failed while it was timed, although it had passed its checks");
    return VT_OK;
}

static vt_status call_candidate(struct session *s, const struct vt_call_opts *call, uint8_t set, uint64_t *ns,
                                bool *disturbed, vt_err *err)
{
    struct vt_check_result c;
    VT_TRY(vt_check_run(s->o->b, s->o->pool, s->o->outputs, call, &c, err));
    *ns = c.call.ns ? c.call.ns : 1;
    *disturbed |= c.call.was_preempted;
    if (c.compare.worst > s->t->worst)
        s->t->worst = c.compare.worst;
    if (c.end == VT_CHECK_RIGHT) {
        compare_runs(s, set, c.digest);
        return VT_OK;
    }
    *s->failed = true;
    *s->failure = c;
    return VT_OK;
}

static vt_status one_pair(struct session *s, vt_err *err)
{
    struct vt_trials *t = s->t;
    uint8_t number = (uint8_t)vt_trials_next_set(t, s->o->precision);
    struct vt_pair p = {.a_first = t->n % 2 == 0, .set = number};
    for (int k = 0; k < 2 && !*s->failed; k++) {
        const struct vt_timing_opts *o = s->o;
        struct vt_call_opts call = {&o->pool->set[number], 1,   o->clock, vt_stream_u64(&s->random), o->cpu,
                                    o->deadline_ns,        NULL};
        if ((k == 0) == p.a_first)
            VT_TRY(call_reference(s, &call, &p.a_ns, &p.is_disturbed, err));
        else
            VT_TRY(call_candidate(s, &call, number, &p.b_ns, &p.is_disturbed, err));
    }
    if (!*s->failed) {
        t->pair[t->n++] = p;
        t->n_disturbed += p.is_disturbed;
        t->timed_ms += p.is_disturbed ? 0 : (double)(p.a_ns + p.b_ns) / 1e6;
    }
    return VT_OK;
}

static bool is_finished(const struct vt_timing_opts *o, struct vt_trials *t, uint64_t from)
{
    double wall_ms = (double)(vt_now_ns() - from) / 1e6;
    if (t->n < (int)t->n_sets)
        return false;
    bool is_looked_at = t->n >= o->min_pairs && t->n % (1 + t->n / 64) == 0; /* sorting all pairs is not free */
    return (is_looked_at && vt_trials_settle(t, o->precision)) || t->n >= VT_MAX_PAIRS ||
           t->n - t->n_disturbed >= o->max_pairs || t->timed_ms > o->budget_ms ||
           wall_ms > WALL_PER_BUDGET * o->budget_ms;
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

/* One turn with the machine to itself. */
static vt_status one_batch(struct session *s, struct vt_crowd *crowd, uint64_t *spent, bool *is_done, vt_err *err)
{
    const struct vt_timing_opts *o = s->o;
    bool contended = false, is_locked = lock_machine(o->machine_lock);
    vt_status status = VT_OK;
    vt_lease_acquire(o->lease, o->place, &contended);
    s->t->is_contended |= contended || !is_locked;
    vt_crowd_look(crowd);
    uint64_t from = vt_now_ns(), until = from + (uint64_t)BATCH_MS * 1000000;
    while (status == VT_OK && !*s->failed && !(*is_done = is_finished(o, s->t, from - *spent)) && vt_now_ns() < until)
        status = one_pair(s, err);
    *spent += vt_now_ns() - from;
    vt_crowd_look(crowd);
    vt_lease_release(o->lease, o->place);
    if (o->machine_lock >= 0)
        flock(o->machine_lock, LOCK_UN);
    return status;
}

vt_status vt_timing_run(const struct vt_timing_opts *o, struct vt_trials *out, bool *failed,
                        struct vt_check_result *failure, vt_err *err)
{
    struct session s = {.o = o, .t = out, .failed = failed, .failure = failure};
    struct vt_crowd crowd;
    memset(out, 0, sizeof *out);
    out->n_sets = o->n_sets;
    *failed = false;
    vt_stream_init(&s.random, vt_seed_mix(o->seed, 0x71de));
    vt_status status = VT_OK;
    uint64_t spent = 0;
    bool is_done = false;
    vt_crowd_open(&crowd);
    while (status == VT_OK && !*failed && !is_done)
        status = one_batch(&s, &crowd, &spent, &is_done, err);
    out->wall_ms = (double)spent / 1e6;
    out->is_contended |= vt_crowd_close(&crowd) || 2 * out->n_disturbed > out->n;
    (void)vt_trials_settle(out, o->precision);
    return status;
}
