/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_fake.h: a tier behind the evaluator's door that judges nothing: a candidate's code says itself what becomes of
 * it, in words. No process, no clock, no chance: what the core makes of a tier's answers can be told to the digit.
 *
 *   nothing             extract finds no code
 *   copy                the shown text again          artefact=copy   the baseline's machine code
 *   build=fail|later|refused|die                      load=fail|die
 *   check=wrong|fault|timeout|overrun|deferred|die    on set `on` (default 0)
 *   time=US             of every timed call (the baseline takes 100)
 *   noise=PERCENT       how far timed calls lie around that, in a cycle of seven
 *   worst=E             the error of its timed calls
 *   disturbed=N|all     something else ran during the N-th timed call, or every one
 *   late=N              wrong at the N-th timed call
 *   bits=other|timed|series   other output bits on every call, every timed one, or every second one of a series
 *   atN=US              of timed calls at placement N
 *   spiced=US           of timed calls on contaminated inputs
 *   linger=MS           how long its process stays after a timed call; each=N: after every N-th only
 *   plain=wrong|fault|fail       what becomes of it without optimisation
 *   series=wrong|fault|timeout   at call `nth` of a series (default 1)
 *   hold=ground|build|load|check|time                 waits there until the test lets go or the station is cancelled
 *
 * `fake` says what the machine is like and counts what the core did; it is one per program.
 */
#ifndef VT_TEST_EVAL_FAKE_H
#define VT_TEST_EVAL_FAKE_H

#include "eval/eval.h"
#include "eval_fixture.h"

enum fake_stage { FAKE_GROUND, FAKE_BUILD, FAKE_LOAD, FAKE_CHECK, FAKE_TIME, FAKE_N };

struct fake_call {
    bool is_timed, is_baseline, is_trusted, is_series;
    size_t set;
    unsigned placement;
    uint64_t deadline_ns;
    int lane; /* -1: a build station */
};
enum { FAKE_MAX_CALLS = 4096 };

static struct fake {
    /* the machine */
    int n_lanes;
    bool checks_on_lane, has_tuned, tuned_fails, is_lane_wanted;
    double floor_ns, floor_ns_again;
    size_t max_series; /* 0: neither series nor drawn sizes */
    unsigned n_placements;
    size_t hard_set; /* the baseline is a little outside its bound on this drawn or contaminated set; 0: nowhere */
    const struct vt_pool *pool; /* of the last ground */
    vt_status ground_fails_once, open_fails;
    int baseline_late;              /* the baseline is wrong at this timed call; 0: never */
    size_t max_pool_bytes;          /* 0: any */
    uint64_t devices[VT_MAX_LANES]; /* of each lane */
    /* what happened */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n_tiers, n_tiers_opened, n_stations, n_grounds, n_candidates;     /* alive, but for _opened */
    int n_builds, n_fresh_loads, n_floor_measured, n_cancelled, n_mended; /* so far */
    int n_held[FAKE_N];                                                   /* waiting now */
    bool is_released;
    struct fake_call call[FAKE_MAX_CALLS];
    int n_calls;
} fake = {.n_lanes = 1, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct vt_tier {
    struct vt_tier_caps caps;
};
struct vt_station {
    struct vt_seat seat;
    bool is_cancelled, is_dead; /* under fake.lock */
};
struct vt_ground {
    const struct vt_pool *pool;
};
struct vt_candidate {
    char code[256];
    bool is_baseline, is_plain;
    int n_timed;
    uint64_t n_digests;
};

/* ---- words ---- */

/* The value of `key=` in the code, copied to out; NULL without one. */
static const char *fake_word(const char *code, const char *key, char out[64])
{
    size_t n = strlen(key);
    for (const char *p = code; *p; p += strcspn(p, " "), p += *p == ' ')
        if (strncmp(p, key, n) == 0 && p[n] == '=') {
            snprintf(out, 64, "%.*s", (int)strcspn(p + n + 1, " "), p + n + 1);
            return out;
        }
    return NULL;
}

static bool fake_is(const char *code, const char *key, const char *value)
{
    char word[64];
    return fake_word(code, key, word) && strcmp(word, value) == 0;
}

static double fake_number(const char *code, const char *key, double otherwise)
{
    char word[64];
    return fake_word(code, key, word) ? strtod(word, NULL) : otherwise;
}

/* ECANCELLED when the station was cancelled while it waited here. */
static vt_status fake_hold(struct vt_station *s, const char *code, const char *name, enum fake_stage stage, vt_err *err)
{
    pthread_mutex_lock(&fake.lock);
    if (fake_is(code, "hold", name)) {
        fake.n_held[stage]++;
        pthread_cond_broadcast(&fake.changed);
        while (!fake.is_released && !s->is_cancelled)
            pthread_cond_wait(&fake.changed, &fake.lock);
        fake.n_held[stage]--;
    }
    bool is_dead = s->is_cancelled;
    if (fake_is(code, name, "die")) {
        is_dead = true;
        s->is_dead = true;
    }
    pthread_mutex_unlock(&fake.lock);
    return is_dead ? vt_fail(err, VT_EINTERNAL, "the fake station ended") : VT_OK;
}

static inline void fake_await_held(enum fake_stage stage, int n)
{
    pthread_mutex_lock(&fake.lock);
    while (fake.n_held[stage] < n)
        pthread_cond_wait(&fake.changed, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

static inline void fake_release(bool is_released)
{
    pthread_mutex_lock(&fake.lock);
    fake.is_released = is_released;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

static void fake_count(int *what, int n)
{
    pthread_mutex_lock(&fake.lock);
    *what += n;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

/* ---- the table ---- */

static vt_status fake_open(const struct vt_tier_opts *o, struct vt_tier **out, vt_err *err)
{
    (void)o;
    *out = NULL;
    if (fake.open_fails != VT_OK)
        return vt_fail(err, fake.open_fails, "the fake tier cannot be opened");
    struct vt_tier *t = calloc(1, sizeof *t);
    t->caps = (struct vt_tier_caps){.evaluator = "fake-1",
                                    .toolchain = "0123456789abcdef0123",
                                    .machine = "nowhere",
                                    .scale = "hidden",
                                    .n_stations = 2,
                                    .n_lanes = fake.n_lanes,
                                    .checks_on_lane = fake.checks_on_lane,
                                    .max_grounds = 4,
                                    .max_ground_bytes = 1000,
                                    .max_pool_bytes = fake.max_pool_bytes ? fake.max_pool_bytes : SIZE_MAX,
                                    .reference_deadline_s = 7,
                                    .max_series = fake.max_series,
                                    .n_placements = fake.n_placements};
    for (int i = 0; i < fake.n_lanes; i++)
        t->caps.lane[i].devices = fake.devices[i] ? fake.devices[i] : 1ull << (40 + i);
    fake_count(&fake.n_tiers, 1);
    fake_count(&fake.n_tiers_opened, 1);
    *out = t;
    return VT_OK;
}

static void fake_close(struct vt_tier *t)
{
    fake_count(&fake.n_tiers, -1);
    free(t);
}

static const struct vt_tier_caps *fake_caps(const struct vt_tier *t)
{
    return &t->caps;
}

static vt_status fake_prompt(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err)
{
    (void)err;
    vt_buf_printf(out, "%s: %s", vt_task_name(t), body ? body : "shown");
    return VT_OK;
}

static vt_status fake_extract(const vt_task *t, const char *text, size_t len, bool is_answer, struct vt_code *out,
                              bool *is_copy, vt_err *err)
{
    (void)t;
    (void)is_answer;
    *out = (struct vt_code){.text = NULL};
    if (strncmp(text, "nothing", 7) == 0) {
        snprintf(out->why, sizeof out->why, "There is nothing.");
        return VT_OK;
    }
    *is_copy = strncmp(text, "copy", 4) == 0;
    out->text = strndup(text, len);
    out->len = len;
    return out->text ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory");
}

static void fake_baseline(const struct vt_tier *t, const vt_task *task, char out[VT_SHA256_HEX])
{
    (void)t;
    (void)task;
    snprintf(out, VT_SHA256_HEX, "a hundred microseconds");
}

static vt_status fake_station_open(struct vt_tier *t, const struct vt_seat *seat, struct vt_station **out, vt_err *err)
{
    (void)t;
    (void)err;
    *out = calloc(1, sizeof **out);
    (*out)->seat = *seat;
    fake_count(&fake.n_stations, 1);
    return VT_OK;
}

static vt_status fake_station_ready(struct vt_station *s, vt_err *err)
{
    pthread_mutex_lock(&fake.lock);
    bool is_cancelled = s->is_cancelled;
    fake.n_mended += s->is_dead;
    s->is_dead = false;
    pthread_mutex_unlock(&fake.lock);
    return is_cancelled ? vt_fail(err, VT_ECANCELLED, "the fake station was cancelled") : VT_OK;
}

static void fake_cancel(struct vt_station *s)
{
    pthread_mutex_lock(&fake.lock);
    s->is_cancelled = true;
    fake.n_cancelled++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

static void fake_station_close(struct vt_station *s)
{
    fake_count(&fake.n_stations, -1);
    free(s);
}

static bool fake_watch(struct vt_station *s, enum vt_watch what)
{
    (void)s;
    return what == VT_WATCH_END && fake.is_lane_wanted;
}

/* The task's family holds its words: what a ground does is the task's, not the candidate's. */
static vt_status fake_ground_open(struct vt_station *s, const struct vt_pool *pool, struct vt_ground **out,
                                  size_t *bytes, vt_err *err)
{
    *out = NULL;
    VT_TRY(fake_hold(s, vt_task_family(pool->task), "ground", FAKE_GROUND, err));
    vt_status once = fake.ground_fails_once;
    fake.ground_fails_once = VT_OK;
    if (once != VT_OK)
        return vt_fail(err, once, "the fake ground failed this once");
    *out = calloc(1, sizeof **out);
    (*out)->pool = fake.pool = pool;
    *bytes = 10;
    fake_count(&fake.n_grounds, 1);
    return VT_OK;
}

static void fake_ground_close(struct vt_ground *g)
{
    fake_count(&fake.n_grounds, -1);
    free(g);
}

static double fake_floor_ns(const struct vt_ground *g)
{
    (void)g;
    return fake.n_floor_measured ? fake.floor_ns_again : fake.floor_ns;
}

static vt_status fake_measure_floor(struct vt_tier *t, vt_err *err)
{
    (void)t;
    (void)err;
    fake_count(&fake.n_floor_measured, 1);
    return VT_OK;
}

static struct vt_candidate *fake_candidate(const char *code, bool is_baseline)
{
    struct vt_candidate *c = calloc(1, sizeof *c);
    snprintf(c->code, sizeof c->code, "%s", code);
    c->is_baseline = is_baseline;
    fake_count(&fake.n_candidates, 1);
    return c;
}

static vt_status fake_build(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                            struct vt_stage_result *result, vt_err *err)
{
    *out = NULL;
    VT_TRY(fake_hold(s, r->code->text, "build", FAKE_BUILD, err));
    fake_count(&fake.n_builds, 1);
    *out = fake_candidate(r->code->text, false);
    (*out)->is_plain = r->is_plain;
    bool is_refused = fake_is(r->code->text, "build", "refused"), fails = fake_is(r->code->text, "build", "fail");
    fails = fails || (r->is_plain && fake_is(r->code->text, "plain", "fail"));
    *result = (struct vt_stage_result){.passed = !is_refused && !fails && !fake_is(r->code->text, "build", "later"),
                                       .status = is_refused ? VT_LOAD_ERROR : VT_COMPILE_ERROR,
                                       .is_deterministic = is_refused || fails};
    snprintf(result->artefact, sizeof result->artefact, "%s",
             fake_is(r->code->text, "artefact", "copy") ? "baseline" : "own");
    return VT_OK;
}

static vt_status fake_reference(struct vt_station *s, const vt_task *t, enum vt_reference which,
                                struct vt_candidate **out, struct vt_stage_result *result, vt_err *err)
{
    (void)s;
    (void)err;
    (void)t;
    *out = NULL;
    if (which == VT_TUNED && !fake.has_tuned)
        return VT_OK;
    const char *tuned = fake.tuned_fails ? "time=80 late=1" : "time=80";
    *out = fake_candidate(which == VT_BASELINE ? "time=100" : tuned, which == VT_BASELINE);
    *result = (struct vt_stage_result){.passed = true};
    snprintf(result->artefact, sizeof result->artefact, "%s", which == VT_BASELINE ? "baseline" : "tuned");
    return VT_OK;
}

static vt_status fake_load(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                           struct vt_stage_result *result, vt_err *err)
{
    (void)g;
    VT_TRY(fake_hold(s, c->code, "load", FAKE_LOAD, err));
    fake_count(&fake.n_fresh_loads, is_fresh);
    *result = (struct vt_stage_result){
        .passed = !fake_is(c->code, "load", "fail"), .status = VT_LOAD_ERROR, .is_deterministic = true};
    return VT_OK;
}

static void fake_unload(struct vt_candidate *c)
{
    (void)c;
}

/* Keeps the call. The number of the timed ones of this candidate. */
static int fake_note(const struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, bool is_timed)
{
    pthread_mutex_lock(&fake.lock);
    int n_timed = c->n_timed += is_timed;
    if (fake.n_calls < FAKE_MAX_CALLS)
        fake.call[fake.n_calls++] = (struct fake_call){.is_timed = is_timed,
                                                       .is_baseline = c->is_baseline,
                                                       .is_trusted = call->is_trusted,
                                                       .set = call->set,
                                                       .placement = call->placement,
                                                       .deadline_ns = call->deadline_ns,
                                                       .lane = s->seat.kind == VT_SEAT_LANE ? s->seat.number : -1};
    pthread_mutex_unlock(&fake.lock);
    return n_timed;
}

static void fake_right(struct vt_candidate *c, const struct vt_call *call, struct vt_check *out)
{
    *out = (struct vt_check){.end = VT_CHECK_RIGHT,
                             .set = call->set,
                             .ns = (uint64_t)(1e3 * fake_number(c->code, "time", 50)),
                             .compare = {.n_checked = 4, .worst = 0.25},
                             .digest = 7};
    if (fake_is(c->code, "bits", "other"))
        out->digest = ++c->n_digests;
}

static void fake_wrong(struct vt_check *out)
{
    out->end = VT_CHECK_WRONG;
    out->n_unwritten = 1;
    out->compare =
        (struct vt_compare_result){.n_checked = 4, .n_wrong = 2, .worst = 9, .n_diffs = 1, .diff = {{1, 3, 1, 2, 0.5}}};
}

static void fake_hard(const struct vt_candidate *c, const struct vt_call *call, struct vt_check *out)
{
    if (!c->is_baseline || fake.hard_set == 0 || call->set != fake.hard_set)
        return;
    out->end = VT_CHECK_WRONG;
    out->compare = (struct vt_compare_result){.n_checked = 4, .n_wrong = 1, .worst = 1.5};
}

static vt_status fake_check(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call,
                            struct vt_check *out, vt_err *err)
{
    VT_TRY(fake_hold(s, c->code, "check", FAKE_CHECK, err));
    (void)fake_note(s, c, call, false);
    fake_right(c, call, out);
    fake_hard(c, call, out);
    if (call->against != call->set) {
        fake_wrong(out);
        return VT_OK;
    }
    if (call->set != (size_t)fake_number(c->code, "on", 0))
        return VT_OK;
    if (fake_is(c->code, "check", "wrong"))
        fake_wrong(out);
    if (fake_is(c->code, "check", "fault") || fake_is(c->code, "check", "timeout"))
        out->end = VT_CHECK_FAULT;
    out->is_timeout = fake_is(c->code, "check", "timeout");
    if (fake_is(c->code, "check", "overrun"))
        out->end = VT_CHECK_OVERRUN;
    if (fake_is(c->code, "check", "deferred"))
        out->end = VT_CHECK_DEFERRED;
    return VT_OK;
}

static vt_status fake_series(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, size_t n,
                             struct vt_check *out, size_t *n_done, vt_err *err)
{
    VT_TRY(fake_hold(s, c->code, "check", FAKE_CHECK, err));
    for (size_t i = 0; i < n; i++) {
        (void)fake_note(s, c, &call[i], false);
        pthread_mutex_lock(&fake.lock);
        if (fake.n_calls <= FAKE_MAX_CALLS)
            fake.call[fake.n_calls - 1].is_series = true;
        pthread_mutex_unlock(&fake.lock);
        fake_right(c, &call[i], &out[i]);
        fake_hard(c, &call[i], &out[i]);
        out[i].nth = (uint32_t)i + 1;
        if (fake_is(c->code, "bits", "series"))
            out[i].digest = i & 1;
        bool fails = fake_word(c->code, "series", (char[64]){0}) && i + 1 == (size_t)fake_number(c->code, "nth", 1);
        if ((fails && fake_is(c->code, "series", "wrong")) || (c->is_plain && fake_is(c->code, "plain", "wrong")))
            fake_wrong(&out[i]);
        else if (c->is_plain && fake_is(c->code, "plain", "fault"))
            out[i].end = VT_CHECK_FAULT;
        else if (fails)
            out[i].end = VT_CHECK_FAULT;
        out[i].is_timeout = fails && fake_is(c->code, "series", "timeout");
        *n_done = i + 1;
        if (out[i].end != VT_CHECK_RIGHT)
            break;
    }
    return VT_OK;
}

static double fake_us(const struct vt_candidate *c, const struct vt_call *call, double usual)
{
    char key[16];
    bool is_spiced = call->set >= fake.pool->n_timed && call->set < fake.pool->n_timed + fake.pool->n_spiced;
    snprintf(key, sizeof key, "at%u", call->placement);
    return is_spiced ? fake_number(c->code, "spiced", usual) : fake_number(c->code, key, usual);
}

static vt_status fake_time(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call,
                           struct vt_check *out, vt_err *err)
{
    VT_TRY(fake_hold(s, c->code, "time", FAKE_TIME, err));
    int n_timed = fake_note(s, c, call, true);
    fake_right(c, call, out);
    out->ns = (uint64_t)(1e3 * fake_us(c, call, (double)out->ns / 1e3));
    out->after_ns =
        (uint64_t)(1e6 * fake_number(c->code, n_timed % (int)fake_number(c->code, "each", 1) ? "" : "linger", 0.2));
    out->ns = (uint64_t)((double)out->ns * (1 + fake_number(c->code, "noise", 0) / 100 * (n_timed % 7 - 3) / 3));
    out->compare.worst = fake_number(c->code, "worst", out->compare.worst);
    out->was_disturbed = n_timed == (int)fake_number(c->code, "disturbed", 0) || fake_is(c->code, "disturbed", "all");
    if (fake_is(c->code, "bits", "timed"))
        out->digest = ++c->n_digests;
    if (n_timed == (int)fake_number(c->code, "late", 0) || (c->is_baseline && n_timed == fake.baseline_late))
        fake_wrong(out);
    return VT_OK;
}

static void fake_candidate_close(struct vt_candidate *c)
{
    if (c)
        fake_count(&fake.n_candidates, -1);
    free(c);
}

static void fake_explain(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                         const struct vt_check *failure, struct vt_say *out)
{
    (void)t;
    vt_say(out, "Fake %s of (%.60s)%s.", vt_verdict_status_name(status), c->code, failure ? " in a call" : "");
}

static void fake_record(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                        struct vt_record_parts *parts)
{
    (void)stage;
    vt_json_put_str(parts->record, "fake_machine", t->caps.machine);
    vt_json_put_bool(parts->record, "fake_timed", is_timed);
    vt_json_push(parts->flags, vt_json_new_str("fake", 4));
    if (parts->failure)
        vt_json_put_str(parts->failure, "fake_code", c->code);
}

#define FAKE_TIER(tier_name)                                                                                           \
    {                                                                                                                  \
        .name = (tier_name), .open = fake_open, .close = fake_close, .caps = fake_caps, .prompt = fake_prompt,         \
        .extract = fake_extract, .baseline = fake_baseline, .station_open = fake_station_open,                         \
        .station_ready = fake_station_ready, .cancel = fake_cancel, .station_close = fake_station_close,               \
        .watch = fake_watch, .ground_open = fake_ground_open, .ground_close = fake_ground_close,                       \
        .floor_ns = fake_floor_ns, .measure_floor = fake_measure_floor, .build = fake_build,                           \
        .reference = fake_reference, .load = fake_load, .unload = fake_unload, .check = fake_check, .time = fake_time, \
        .series = fake_series, .candidate_close = fake_candidate_close, .explain = fake_explain, .record = fake_record \
    }
static const struct vt_tier_ops fake_tier = FAKE_TIER("fake"), other_tier = FAKE_TIER("other");
static const struct vt_tier_ops *const fake_table[] = {&fake_tier, &other_tier, NULL};

/* As it was at the start; nothing of an earlier case may be alive. */
static inline void fake_reset(void)
{
    CHECK_INT(fake.n_tiers + fake.n_stations + fake.n_grounds + fake.n_candidates, 0);
    pthread_mutex_lock(&fake.lock);
    fake.n_lanes = 1;
    fake.checks_on_lane = fake.has_tuned = fake.tuned_fails = false;
    fake.is_lane_wanted = fake.is_released = false;
    fake.floor_ns = fake.floor_ns_again = 0;
    fake.max_series = fake.hard_set = 0;
    fake.n_placements = 0;
    fake.pool = NULL;
    fake.ground_fails_once = fake.open_fails = VT_OK;
    fake.max_pool_bytes = 0;
    fake.baseline_late = 0;
    memset(fake.devices, 0, sizeof fake.devices);
    fake.n_tiers_opened = fake.n_builds = fake.n_fresh_loads = fake.n_floor_measured = 0;
    fake.n_cancelled = fake.n_mended = fake.n_calls = 0;
    memset(fake.n_held, 0, sizeof fake.n_held);
    pthread_mutex_unlock(&fake.lock);
}

static inline vt_eval *open_fake(const struct vt_eval_opts *o)
{
    vt_eval *e = NULL;
    vt_err err;
    CHECK_OK(vt_eval_open_tiers(o, fake_table, &e, &err), err);
    return e;
}

/* Everything behind the door is gone again. */
static inline void close_fake(vt_eval *e)
{
    vt_eval_close(e);
    CHECK_INT(fake.n_tiers, 0);
    CHECK_INT(fake.n_stations, 0);
    CHECK_INT(fake.n_grounds, 0);
    CHECK_INT(fake.n_candidates, 0);
}

static inline void judge(vt_eval *e, const char *code, struct vt_eval_request r, struct fixture_result *out)
{
    vt_task *t = fixture_task("relu"); /* four distributions and hidden sizes: 4 timed sets, 3 others, 1 hidden */
    fixture_judge(e, t, code, r, out);
    vt_task_unref(t);
}

static inline vt_json *parse(const struct fixture_result *r)
{
    vt_json *j = NULL;
    vt_err err;
    CHECK_OK(vt_json_parse(r->json ? r->json : "{}", r->json ? strlen(r->json) : 2, "a record", &j, &err), err);
    return j;
}

/* The names of its flags, in their order. */
static inline const char *flags_of(const vt_json *record, char out[128])
{
    size_t n = 0;
    out[0] = 0;
    for (const vt_json *f = vt_json_first(vt_json_get(record, "flags")); f; f = vt_json_next(f))
        n += (size_t)snprintf(out + n, 128 - n, "%s%s", n ? "," : "", vt_json_str(f, "?"));
    return out;
}

#endif
