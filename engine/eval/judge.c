/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.c: extract, build, load, check, time; each stage either passes the case on or settles its outcome.
 *
 * Every distribution of the task is visited in both protocols: a check costs under a millisecond against a tenth of a
 * second for the compiler, and the mutation test of the checker relies on all of them. Builds and deterministic
 * failures are kept in the content store; a correct kernel is checked again on this process's own secrets every time.
 */
#include "eval/judge.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "eval/eval.h"
#include "eval/rounds.h"
#include "eval/timing.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_SLACK_MS = 1000, MAX_RECORD = 1 << 20 };

static const struct protocol {
    int min_pairs, max_pairs;
    double precision, budget_ms;
} protocols[] = {[VT_PROTOCOL_FAST] = {8, 240, 0.002, 200}, [VT_PROTOCOL_FULL] = {24, 1000, 0.0015, 3000}};
/* A copy's speedup is 1 whatever is timed; a rough figure will do. */
static const double copy_precision = 0.05;
/* Differences below this one are timed against a baseline that runs in every pair. */
static const double close_ratio = 0.1;
/* Where runs scatter to both sides, a GPU's by 0.4 %, eight pairs miss a ratio by up to 0.8 % in 200, three times as
 * many by up to 0.45 %. */
enum { CLOSE_PAIRS = 4 };

vt_status vt_case_name(const struct vt_lab *lab, const struct vt_eval_request *r, const char *scale,
                       struct vt_code *code, bool *is_copy, struct vt_case_keys *keys, vt_err *err)
{
    char baseline[VT_SHA256_HEX];
    *is_copy = false;
    VT_TRY(vt_tier_takes(lab->ops, r->task, err));
    VT_TRY(lab->ops->extract(r->task, r->code, r->code_len, r->extract, code, is_copy, err));
    lab->ops->baseline(lab->tier, r->task, baseline);
    /* The protocol's pool is checked whether it is timed or not, so a check alone is another case under each. */
    static const char *const protocol[][2] = {
        [VT_PROTOCOL_FAST] = {"fast", "check"}, [VT_PROTOCOL_FULL] = {"full", "full check"}};
    const struct vt_key_parts parts = {.task = r->task,
                                       .code = code,
                                       .answer = r->code,
                                       .answer_len = r->code_len,
                                       .tier = lab->ops->name,
                                       .scale = scale,
                                       .protocol = protocol[r->protocol][r->skip_timing],
                                       .evaluator = lab->caps->evaluator,
                                       .compiler = lab->caps->toolchain,
                                       .baseline = baseline,
                                       .machine = lab->caps->machine,
                                       .replicate = r->replicate,
                                       .confirms = r->confirms};
    vt_case_keys(&parts, keys);
    return VT_OK;
}

static uint64_t deadline_ns(const struct vt_case *c)
{
    return 10 * c->subject->baseline_ns + (uint64_t)CHECK_SLACK_MS * 1000000;
}

/* ---- store ---- */

static bool find_settled(const struct vt_lab *lab, struct vt_case *c)
{
    struct vt_buf record;
    if (!lab->store || c->is_fresh ||
        vt_content_get(lab->store, VT_CONTENT_CHECK, c->keys.settled, MAX_RECORD, &record, NULL) != VT_OK)
        return false;
    c->cached_record = vt_buf_take(&record, NULL);
    vt_buf_free(&record);
    return c->cached_record != NULL;
}

/* ---- build ---- */

static void fail_stage(struct vt_case *c, const struct vt_stage_result *r)
{
    c->outcome->status = r->status;
    c->outcome->is_deterministic = r->is_deterministic;
    snprintf(c->outcome->why, sizeof c->outcome->why, "%s", r->status == VT_MALFORMED ? r->why : "");
}

static vt_status need_subject(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, vt_err *err)
{
    if (c->subject)
        return VT_OK;
    return vt_subject_get(lab->subjects, station, c->task, c->scale, c->protocol, &c->subject, err);
}

vt_status vt_judge_build(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *goes_on,
                         vt_err *err)
{
    struct vt_stage_result r = {.passed = false};
    *goes_on = false;
    if (!(c->outcome = vt_alloc(sizeof *c->outcome)))
        return vt_fail(err, VT_ENOMEM, "cannot judge a candidate: out of memory");
    vt_outcome_init(c->outcome);
    if (find_settled(lab, c))
        return VT_OK;
    c->outcome->is_copy = c->is_copy_text;
    vt_sha256_of(c->code.text ? c->code.text : "", c->code.text ? c->code.len : 0, c->code_sha);
    if (c->code.why[0]) {
        c->outcome->status = VT_MALFORMED;
        c->outcome->is_deterministic = true;
        snprintf(c->outcome->why, sizeof c->outcome->why, "%s", c->code.why);
        return VT_OK;
    }
    /* Where a build station may not run the task's own texts, a task that is at fault is found out on the lane. */
    if (!lab->caps->checks_on_lane)
        VT_TRY(need_subject(lab, station, c, err));
    c->outcome->stage = VT_STAGE_BUILD;
    const struct vt_build_request b = {c->task, &c->code, lab->store, c->is_fresh, false};
    VT_TRY(lab->ops->build(station, &b, &c->candidate, &r, err));
    memcpy(c->artefact, r.artefact, sizeof c->artefact);
    *goes_on = r.passed;
    if (!r.passed)
        fail_stage(c, &r);
    return VT_OK;
}

/* ---- load and check ---- */

static void note_failure(struct vt_case *c, const struct vt_check *r)
{
    struct vt_outcome *o = c->outcome;
    const struct vt_pool_set *set = &c->subject->pool.set[r->set];
    o->has_failure = true;
    o->failure = *r;
    snprintf(o->failure_scale, sizeof o->failure_scale, "%s", set->scale);
    vt_inputs_describe(c->task, set->dist, set->spice, o->failure_inputs, sizeof o->failure_inputs);
    if (r->end == VT_CHECK_WRONG) {
        o->status = VT_WRONG_OUTPUT;
        o->is_deterministic = o->stage == VT_STAGE_CHECK;
        o->flags |= VT_FLAG_OVER_BOUND;
        o->worst = r->compare.worst;
    } else {
        o->status = r->is_timeout ? VT_TIMED_OUT : VT_RUNTIME_ERROR;
    }
    if (r->end == VT_CHECK_DEFERRED)
        o->flags |= VT_FLAG_DEFERRED;
}

static vt_status check_one(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, size_t set,
                           uint64_t random, struct vt_check *r, vt_err *err)
{
    const struct vt_call call = {
        .set = set, .against = set, .random = vt_seed_mix(lab->secret, random), .deadline_ns = deadline_ns(c)};
    vt_lease_enter(lab->lease);
    vt_lease_leave(lab->lease);
    c->outcome->n_checks++;
    c->outcome->n_check_processes++;
    return lab->ops->check(station, c->candidate, &call, r, err);
}

/* The first set again, in another process and over another poison: a kernel that reads what it never wrote, or races
 * with itself, leaves other bits. */
static vt_status check_again(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, uint64_t random,
                             uint64_t digest, struct vt_check *r, vt_err *err)
{
    VT_TRY(check_one(lab, station, c, 0, random, r, err));
    if (r->end == VT_CHECK_RIGHT) {
        c->outcome->n_repeats++;
        c->outcome->n_differing += r->digest != digest;
    }
    return VT_OK;
}

/* Series of calls at the drawn sizes: see rounds.h. */
static vt_status check_rounds(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, uint64_t random,
                              bool *passed, vt_err *err)
{
    const struct vt_rounds_opts o = {.ops = lab->ops,
                                     .caps = lab->caps,
                                     .station = station,
                                     .candidate = c->candidate,
                                     .pool = &c->subject->pool,
                                     .n_calls = c->protocol == VT_PROTOCOL_FULL ? VT_ROUNDS_FULL : VT_ROUNDS_FAST,
                                     .is_long = c->protocol == VT_PROTOCOL_FULL,
                                     .seed = vt_seed_mix(lab->secret, random),
                                     .baseline_ns = c->subject->baseline_ns,
                                     .slack_ns = (uint64_t)CHECK_SLACK_MS * 1000000};
    struct vt_outcome *out = c->outcome;
    struct vt_rounds r;
    vt_lease_enter(lab->lease);
    vt_lease_leave(lab->lease);
    VT_TRY(vt_rounds_run(&o, &r, err));
    out->n_checks += (int)r.n_calls;
    out->n_check_processes += (int)r.n_processes;
    out->n_repeats += (int)r.n_repeats;
    out->n_differing += (int)r.n_differing;
    out->longest = r.longest;
    out->worst = fmax(out->worst, r.worst);
    *passed = !r.failed;
    if (r.failed)
        note_failure(c, &r.failure);
    return VT_OK;
}

/* One call a process first, the benchmark's sizes, then many: a set of each distribution, then the second ones. The
 * timed pool's other sets are checked while timing, contaminated ones here as well: not every kernel is timed. */
static vt_status check_all(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *passed,
                           vt_err *err)
{
    const struct vt_pool *pool = &c->subject->pool;
    uint64_t from = vt_now_ns();
    vt_status s = VT_OK;
    *passed = true;
    for (size_t i = 0; i < pool->first_drawn && *passed && s == VT_OK; i++) {
        if ((i >= 2 && i < pool->n_timed) || pool->set[i].is_unfit)
            continue;
        struct vt_check r;
        s = check_one(lab, station, c, i, from + i, &r, err);
        if (s == VT_OK && i == 0 && r.end == VT_CHECK_RIGHT)
            s = check_again(lab, station, c, from + pool->n_sets, r.digest, &r, err);
        if (s != VT_OK)
            break;
        if (r.end == VT_CHECK_RIGHT) {
            if (r.compare.worst > c->outcome->worst)
                c->outcome->worst = r.compare.worst;
        } else {
            note_failure(c, &r);
            *passed = false;
        }
    }
    if (s == VT_OK && *passed)
        s = check_rounds(lab, station, c, from ^ 0x40d5, passed, err);
    c->outcome->check_ms = (double)(vt_now_ns() - from) / 1e6;
    return s;
}

vt_status vt_judge_check(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *goes_on,
                         vt_err *err)
{
    struct vt_stage_result r = {.passed = false};
    bool passed = false;
    *goes_on = false;
    c->is_checked = true;
    VT_TRY(need_subject(lab, station, c, err));
    if (c->artefact[0] && strcmp(c->artefact, c->subject->reference[VT_BASELINE].artefact) == 0)
        c->outcome->is_copy = true;
    if (c->outcome->is_copy)
        c->outcome->flags |= VT_FLAG_COPY;
    c->outcome->stage = VT_STAGE_LOAD;
    VT_TRY(lab->ops->load(station, c->candidate, c->subject->ground, true, &r, err));
    if (!r.passed) {
        fail_stage(c, &r);
        return VT_OK;
    }
    c->outcome->stage = VT_STAGE_CHECK;
    VT_TRY(check_all(lab, station, c, &passed, err));
    if (!passed)
        return VT_OK;
    if (c->outcome->n_differing > 0)
        c->outcome->flags |= VT_FLAG_NONDETERMINISTIC;
    c->outcome->status = c->outcome->flags & VT_FLAG_NONDETERMINISTIC ? VT_FLAGGED : VT_CORRECT_SLOW;
    *goes_on = !c->skip_timing;
    return VT_OK;
}

/* ---- time ---- */

/* Two candidates on one lane, in turns. */
struct duel {
    const struct vt_lab *lab;
    struct vt_station *station;
    struct vt_candidate *a, *b;
    uint64_t deadline_ns;
    size_t set[VT_MAX_TIMED_SETS];
    unsigned placement;
};

static vt_status timed_call(void *arg, bool is_reference, size_t set, uint64_t random, struct vt_check *out,
                            vt_err *err)
{
    const struct duel *d = arg;
    const struct vt_call call = {.set = d->set[set],
                                 .against = d->set[set],
                                 .random = random,
                                 .deadline_ns = d->deadline_ns,
                                 .placement = d->placement,
                                 .is_trusted = is_reference};
    return d->lab->ops->time(d->station, is_reference ? d->a : d->b, &call, out, err);
}

static bool watch(void *arg, enum vt_watch what)
{
    const struct duel *d = arg;
    return d->lab->ops->watch(d->station, what);
}

/* What is timed, where, and how much of the protocol's effort it gets. */
struct bout {
    struct vt_candidate *a, *b;
    unsigned placement;
    bool is_spiced, is_brief;
};

static vt_status time_bout(const struct vt_lab *lab, struct vt_station *station, int lane, struct vt_case *c,
                           const struct bout *w, struct vt_trials *out, bool *failed, struct vt_check *failure,
                           vt_err *err)
{
    const struct vt_pool *pool = &c->subject->pool;
    struct duel d = {
        .lab = lab, .station = station, .a = w->a, .b = w->b, .deadline_ns = deadline_ns(c), .placement = w->placement};
    size_t n_sets = w->is_spiced ? vt_pool_spiced(pool, d.set, VT_MAX_TIMED_SETS) : pool->n_timed;
    for (size_t i = 0; i < n_sets && !w->is_spiced; i++)
        d.set[i] = i;
    const struct protocol *p = &protocols[c->protocol];
    const bool is_rough = c->outcome->is_copy && c->protocol == VT_PROTOCOL_FAST;
    const bool is_stored = lab->caps->stores_baseline && !w->is_spiced && w->a == c->subject->reference[VT_BASELINE].c;
    const struct vt_timing_opts o = {.call = timed_call,
                                     .watch = watch,
                                     .arg = &d,
                                     .n_sets = n_sets,
                                     .lease = lab->lease,
                                     .place = &lab->caps->lane[lane],
                                     .turns = &lab->turns[lane],
                                     .seed = vt_seed_mix(lab->secret, vt_now_ns()),
                                     .min_pairs = w->is_brief ? p->min_pairs / 2 : p->min_pairs,
                                     .max_pairs = p->max_pairs,
                                     .precision = is_rough ? copy_precision : p->precision,
                                     .known_ns = is_stored ? c->subject->known_ns[lane] : NULL,
                                     .close = is_rough ? 0 : close_ratio,
                                     .min_close = lab->caps->scatters ? CLOSE_PAIRS * p->min_pairs : p->min_pairs,
                                     .budget_ms = w->is_brief ? p->budget_ms / 3 : p->budget_ms};
    vt_status s = vt_timing_run(&o, out, failed, failure, err);
    if (*failed && failure->end == VT_CHECK_LINGERED)
        failure->set = d.set[failure->set];
    return s;
}

/* Ready on this lane; what had been loaded before loads again. */
static vt_status load_again(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c,
                            struct vt_candidate *x, bool is_fresh, vt_err *err)
{
    struct vt_stage_result r = {.passed = false};
    VT_TRY(lab->ops->load(station, x, c->subject->ground, is_fresh, &r, err));
    return r.passed ? VT_OK : vt_fail(err, VT_EINTERNAL, "a kernel that had loaded does not load again: %s", r.why);
}

/* log(baseline / tuned) of the subject, measured once a lane, interleaved like any candidate. */
static vt_status measure_tuned(const struct vt_lab *lab, struct vt_station *station, int lane, struct vt_case *c,
                               vt_err *err)
{
    struct vt_subject *x = c->subject;
    struct vt_trials trials;
    struct vt_check failure;
    bool failed;
    if (!x->reference[VT_TUNED].c || !isnan(x->tuned_log_ratio[lane]))
        return VT_OK;
    VT_TRY(load_again(lab, station, c, x->reference[VT_TUNED].c, false, err));
    const struct bout w = {.a = x->reference[VT_BASELINE].c, .b = x->reference[VT_TUNED].c};
    VT_TRY(time_bout(lab, station, lane, c, &w, &trials, &failed, &failure, err));
    if (failed)
        return vt_fail(err, VT_EFORMAT, "task %s: its tuned reference failed while it was timed",
                       vt_task_name(c->task));
    x->tuned_log_ratio[lane] = trials.log_ratio;
    return VT_OK;
}

static void add_trials(struct vt_outcome *o, const struct vt_trials *t)
{
    o->n_timed += t->n;
    o->n_repeats += t->n_repeats;
    o->n_differing += t->n_differing;
    o->worst = fmax(o->worst, t->worst);
    if (t->is_contended)
        o->flags |= VT_FLAG_CONTENDED;
    if (o->n_differing > 0)
        o->flags |= VT_FLAG_NONDETERMINISTIC;
}

static void settle(struct vt_outcome *o)
{
    const struct vt_trials *t = &o->trials;
    o->is_timed = true;
    o->n_placed = 0;
    o->is_sure = false;
    o->unsure = NULL;
    o->log_ratio = t->log_ratio;
    o->lo = t->lo;
    o->hi = t->hi;
    add_trials(o, t);
    if (!t->is_settled)
        o->flags |= VT_FLAG_UNSETTLED;
}

static void set_status(struct vt_outcome *o)
{
    o->status = !o->is_copy && o->log_ratio > 0 ? VT_CORRECT_FAST : VT_CORRECT_SLOW;
    if (o->flags & VT_FLAG_NONDETERMINISTIC)
        o->status = VT_FLAGGED;
}

/* ---- sure ---- */

/* A loop may run at two speeds by where its code lies, with nothing else changed; relu's baseline does. A kernel that
 * is faster because the baseline lay badly is not faster. So before "faster" is said both are timed at other places of
 * code and stack, and on contaminated inputs, where a kernel cannot know its benchmark. A clear difference needs three
 * places, one that placement could explain all there are. */
static const double clear_ratio = 0.2; /* in log(a/b) */
enum { PLACES_WHEN_CLEAR = 3, PLAIN_SLOWER = 20 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Over the placements: the median, and an interval that holds all of theirs. */
static void combine(struct vt_outcome *o)
{
    double x[1 + VT_MAX_PLACED] = {o->trials.log_ratio};
    size_t n = 1;
    for (size_t i = 0; i < o->n_placed; i++) {
        const struct vt_placed *p = &o->placed[i];
        if (p->is_spiced)
            continue;
        x[n++] = p->log_ratio;
        o->lo = fmin(o->lo, p->lo);
        o->hi = fmax(o->hi, p->hi);
    }
    qsort(x, n, sizeof x[0], by_value);
    o->log_ratio = (x[(n - 1) / 2] + x[n / 2]) / 2;
}

/* *goes_on: it is still faster for all that was seen. */
static vt_status confirm(const struct vt_lab *lab, struct vt_station *station, int lane, struct vt_case *c,
                         const struct bout *w, struct vt_check *failure, bool *failed, bool *goes_on, vt_err *err)
{
    struct vt_outcome *o = c->outcome;
    struct vt_trials t;
    VT_TRY(time_bout(lab, station, lane, c, w, &t, failed, failure, err));
    *goes_on = false;
    if (*failed)
        return VT_OK;
    add_trials(o, &t);
    o->placed[o->n_placed++] =
        (struct vt_placed){w->placement, w->is_spiced, t.is_settled, t.n, t.log_ratio, t.lo, t.hi};
    /* Brief as they are, these need not settle where all that was seen is far above 1. */
    if (!t.is_settled && t.lo < clear_ratio)
        o->unsure = "its times do not settle";
    else if (t.lo <= 0)
        o->unsure = w->is_spiced ? "on inputs with a few exceptions it is no faster"
                                 : "elsewhere in memory (code and stack) it is no faster";
    *goes_on = !o->unsure;
    return VT_OK;
}

static bool is_wider_needed(const struct vt_outcome *o)
{
    double least = o->trials.log_ratio;
    for (size_t i = 0; i < o->n_placed; i++)
        least = fmin(least, o->placed[i].log_ratio);
    return least < clear_ratio;
}

/* The last question: is it the code that is right, or only what this compiler made of it? A read past the end that the
 * optimiser removed is still in the code, and comes back with the next compiler. So the code is compiled once more as
 * it stands and called on the drawn sets, when it is sure or looks clearly faster. Code that only compiles with
 * optimisation has nothing to be asked. */
static vt_status check_plain(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c,
                             struct vt_check *failure, bool *failed, vt_err *err)
{
    const struct vt_build_request b = {c->task, &c->code, lab->store, c->is_fresh, true};
    struct vt_candidate *plain = NULL;
    struct vt_stage_result built = {.passed = false}, loaded = {.passed = false};
    struct vt_rounds r = {.failed = false};
    if (lab->caps->max_series == 0)
        return VT_OK;
    VT_TRY(lab->ops->build(station, &b, &plain, &built, err));
    vt_status s = built.passed ? lab->ops->load(station, plain, c->subject->ground, true, &loaded, err) : VT_OK;
    if (s == VT_OK && loaded.passed) {
        const struct vt_rounds_opts o = {.ops = lab->ops,
                                         .caps = lab->caps,
                                         .station = station,
                                         .candidate = plain,
                                         .pool = &c->subject->pool,
                                         .seed = vt_seed_mix(lab->secret, vt_now_ns()),
                                         .baseline_ns = PLAIN_SLOWER * c->subject->baseline_ns,
                                         .slack_ns = (uint64_t)CHECK_SLACK_MS * 1000000};
        s = vt_rounds_run(&o, &r, err);
    }
    c->outcome->is_sure &= s == VT_OK && !r.failed;
    if (s == VT_OK && r.failed && !r.failure.is_timeout) {
        *failed = true;
        *failure = r.failure;
        c->outcome->flags |= VT_FLAG_UNDEFINED;
        lab->ops->candidate_close(c->candidate);
        c->candidate = plain; /* it can tell what its call did */
        return VT_OK;
    }
    if (r.failed)
        c->outcome->unsure = "compiled without optimisation it does not end in time";
    lab->ops->candidate_close(plain);
    return s;
}

static vt_status make_sure(const struct vt_lab *lab, struct vt_station *station, int lane, struct vt_case *c,
                           struct vt_check *failure, bool *failed, vt_err *err)
{
    struct vt_outcome *o = c->outcome;
    struct bout w = {.a = c->subject->reference[VT_BASELINE].c, .b = c->candidate, .is_brief = true};
    bool goes_on = true;
    if (!o->trials.is_settled)
        o->unsure = "its times do not settle";
    if (o->is_copy || (o->flags & VT_FLAG_NONDETERMINISTIC))
        return VT_OK;
    goes_on = !o->unsure && o->trials.lo > 0;
    for (unsigned k = 1; k < lab->caps->n_placements && goes_on; k++)
        if (k < PLACES_WHEN_CLEAR || is_wider_needed(o)) {
            w.placement = k;
            VT_TRY(confirm(lab, station, lane, c, &w, failure, failed, &goes_on, err));
        }
    size_t spiced[VT_MAX_TIMED_SETS];
    if (goes_on && vt_pool_spiced(&c->subject->pool, spiced, VT_MAX_TIMED_SETS) > 0) {
        w.placement = 0;
        w.is_spiced = true;
        VT_TRY(confirm(lab, station, lane, c, &w, failure, failed, &goes_on, err));
    }
    combine(o);
    o->is_sure = goes_on && o->lo > 0;
    return !*failed && (o->is_sure || o->log_ratio > clear_ratio) ? check_plain(lab, station, c, failure, failed, err)
                                                                  : VT_OK;
}

/* ---- the lane ---- */

/* Before a kernel is disbelieved the floor itself is measured again, with the machine to itself. */
static vt_status measure_floor(const struct vt_lab *lab, vt_err *err)
{
    if (!lab->ops->measure_floor)
        return VT_OK;
    vt_lease_acquire(lab->lease, &lab->all_lanes, NULL);
    vt_status s = lab->ops->measure_floor(lab->tier, err);
    vt_lease_release(lab->lease, &lab->all_lanes);
    return s;
}

vt_status vt_judge_time(const struct vt_lab *lab, struct vt_station *station, int lane, struct vt_case *c, vt_err *err)
{
    struct vt_candidate *baseline = c->subject->reference[VT_BASELINE].c;
    struct vt_outcome *o = c->outcome;
    struct vt_check failure;
    bool failed = false;
    o->stage = VT_STAGE_TIME;
    VT_TRY(load_again(lab, station, c, baseline, false, err));
    VT_TRY(measure_tuned(lab, station, lane, c, err));
    o->tuned_log_ratio = c->subject->tuned_log_ratio[lane];
    VT_TRY(load_again(lab, station, c, c->candidate, c->protocol == VT_PROTOCOL_FULL, err));
    const struct bout w = {.a = baseline, .b = c->candidate};
    for (int attempt = 0; attempt < 2 && !failed; attempt++) {
        VT_TRY(time_bout(lab, station, lane, c, &w, &o->trials, &failed, &failure, err));
        if (failed)
            break;
        settle(o);
        o->floor_ns = lab->ops->floor_ns(c->subject->ground);
        if (o->trials.b_us * 1e3 >= o->floor_ns) {
            VT_TRY(make_sure(lab, station, lane, c, &failure, &failed, err));
            set_status(o);
            break;
        }
        o->flags |= VT_FLAG_BELOW_FLOOR;
        o->status = VT_FLAGGED;
        if (attempt == 0) {
            o->n_remeasured++;
            VT_TRY(measure_floor(lab, err));
            VT_TRY(load_again(lab, station, c, c->candidate, true, err));
        }
    }
    if (failed)
        note_failure(c, &failure);
    return VT_OK;
}

/* ---- verdict ---- */

static vt_status verdict_from_record(struct vt_case *c, vt_verdict *out, struct vt_buf *feedback, struct vt_buf *record,
                                     vt_err *err)
{
    vt_json *j = NULL;
    VT_TRY(vt_json_parse(c->cached_record, strlen(c->cached_record), "a stored verdict", &j, err));
    vt_status s = vt_record_verdict(j, out, err);
    if (s != VT_OK) {
        vt_json_free(j);
        return s;
    }
    out->cached = true;
    vt_buf_init(feedback, VT_FEEDBACK_MAX + 1);
    vt_buf_puts(feedback, vt_json_str(vt_json_get(j, "feedback"), ""));
    vt_json_put_bool(j, "cached", true);
    vt_json_put_str(j, "key", c->keys.key);
    vt_buf_init(record, MAX_RECORD);
    s = vt_json_write(j, false, record, err);
    vt_json_free(j);
    return s;
}

vt_status vt_case_verdict(const struct vt_lab *lab, struct vt_case *c, vt_verdict *out, struct vt_buf *feedback,
                          struct vt_buf *record, vt_err *err)
{
    vt_status s;
    if (c->cached_record) {
        s = verdict_from_record(c, out, feedback, record, err);
    } else {
        struct vt_say text;
        const struct vt_subject_names names = {.task = c->task,
                                               .scale = c->scale,
                                               .code_sha = c->code_sha,
                                               .key = c->keys.key,
                                               .protocol = c->protocol,
                                               .evaluator = lab->version,
                                               .machine = lab->caps->machine,
                                               .ops = lab->ops,
                                               .tier = lab->tier,
                                               .candidate = c->candidate};
        vt_outcome_verdict(c->outcome, out);
        vt_feedback_write(c->outcome, &names, &text);
        vt_buf_init(feedback, VT_FEEDBACK_MAX + 1);
        vt_buf_puts(feedback, text.text);
        s = vt_record_write(c->outcome, &names, text.text, record, err);
        if (s == VT_OK && lab->store && c->outcome->is_deterministic)
            (void)!vt_content_put(lab->store, VT_CONTENT_CHECK, c->keys.settled, record->p, record->len, NULL);
    }
    out->feedback = feedback->p;
    out->json = record->p;
    return s;
}

void vt_case_release(const struct vt_lab *lab, struct vt_case *c)
{
    lab->ops->candidate_close(c->candidate);
    c->candidate = NULL;
    if (c->subject)
        vt_subject_put(lab->subjects, c->subject);
    c->subject = NULL;
    free(c->outcome);
    free(c->cached_record);
    c->outcome = NULL;
    c->cached_record = NULL;
}
