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
#include "eval/c/assemble.h"
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { CHECK_SLACK_MS = 1000, MAX_RECORD = 1 << 20, LOG_KEPT = 64 << 10, TIMING_NICE = -15 };

static const struct {
    int min_pairs, max_pairs;
    double precision, budget_ms;
} protocols[] = {[VT_PROTOCOL_FAST] = {8, 240, 0.002, 200}, [VT_PROTOCOL_FULL] = {24, 1000, 0.0015, 3000}};
/* A copy's speedup is 1 whatever is timed; a rough figure will do. */
static const double copy_precision = 0.05;

void vt_case_key(const struct vt_lab *lab, struct vt_case *c)
{
    struct vt_sha256 h;
    vt_sha256_init(&h);
    vt_hash_str(&h, "task", vt_task_digest(c->task));
    vt_hash_field(&h, "code", c->text, c->len);
    vt_hash_u64(&h, "answer", c->is_answer);
    vt_hash_str(&h, "tier", "c");
    vt_hash_str(&h, "scale", c->scale);
    vt_hash_u64(&h, "protocol", (uint64_t)c->protocol);
    vt_hash_u64(&h, "skip_timing", c->skip_timing);
    vt_hash_str(&h, "evaluator", VT_EVALUATOR_VERSION);
    vt_hash_str(&h, "compiler", lab->cc.id);
    vt_hash_str(&h, "machine", lab->machine);
    vt_sha256_hex(&h, c->key);
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
        vt_content_get(lab->store, VT_CONTENT_CHECK, c->key, MAX_RECORD, &record, NULL) != VT_OK)
        return false;
    c->cached_record = vt_buf_take(&record, NULL);
    vt_buf_free(&record);
    return c->cached_record != NULL;
}

static void build_key(const struct vt_lab *lab, const struct vt_buf *unit, char key[VT_SHA256_HEX])
{
    struct vt_sha256 h;
    vt_sha256_init(&h);
    vt_hash_str(&h, "compiler", lab->cc.id);
    vt_hash_field(&h, "unit", unit->p, unit->len);
    vt_sha256_hex(&h, key);
}

/* ---- build ---- */

static void note_build(struct vt_case *c, struct vt_build *b)
{
    struct vt_outcome *o = c->outcome;
    o->build_end = b->end;
    o->diagnostics = b->diagnostics;
    o->build_ms = b->ms;
    o->build_cpu_ms = b->cpu_ms;
    o->build_rss_kib = b->max_rss_kib;
    free(o->log);
    o->log = NULL;
    if (b->log_len) {
        vt_sha256_of(b->log, b->log_len, o->log_sha);
        o->log = vt_strndup(b->log, b->log_len < LOG_KEPT ? b->log_len : LOG_KEPT);
    }
    if (b->end == VT_BUILD_REFUSED)
        snprintf(o->why, sizeof o->why, "%s", b->info.refused);
}

static vt_status build(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c,
                       struct vt_object_info *info, vt_err *err)
{
    char key[VT_SHA256_HEX];
    struct vt_buf unit, kept;
    struct vt_build b = {0};
    VT_TRY(vt_assemble(c->task, &c->code, &unit, err));
    build_key(lab, &unit, key);
    vt_status s = VT_OK;
    if (lab->store && !c->is_fresh &&
        vt_content_get(lab->store, VT_CONTENT_BUILD, key, 64u << 20, &kept, NULL) == VT_OK) {
        c->object_len = kept.len;
        c->object = (unsigned char *)vt_buf_take(&kept, NULL);
        vt_buf_free(&kept);
        vt_object_inspect(c->object, c->object_len, info);
        if (!info->refused[0])
            goto out;
        free(c->object);
        c->object = NULL;
    }
    s = vt_build_run(station->broker, &lab->cc, lab->lease, unit.p, unit.len, &b, err);
    if (s != VT_OK)
        goto out;
    note_build(c, &b);
    *info = b.info;
    c->object = b.object;
    c->object_len = b.object_len;
    b.object = NULL;
    if (lab->store && c->object)
        (void)!vt_content_put(lab->store, VT_CONTENT_BUILD, key, c->object, c->object_len, NULL);
out:
    vt_build_free(&b);
    vt_buf_free(&unit);
    return s;
}

/* ---- load and check ---- */

static vt_status open_runner(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c,
                             struct vt_runner **out, vt_err *err)
{
    char load_error[256];
    struct vt_runner_opts o = {.broker = station->broker,
                               .object = c->object,
                               .object_len = c->object_len,
                               .symbol = vt_task_name(c->task),
                               .pool = &c->subject->pool,
                               .outputs = {&station->outputs, &c->subject->outputs}};
    VT_TRY(vt_outputs_fit(&station->outputs, c->subject->pool.out_bytes, err));
    VT_TRY(vt_runner_open(&o, out, load_error, err));
    if (!*out) {
        c->outcome->status = VT_LOAD_ERROR;
        snprintf(c->outcome->why, sizeof c->outcome->why, "%s", load_error);
        return VT_OK;
    }
    struct vt_jail jail;
    c->outcome->layers = vt_runner_layers(*out);
    c->outcome->landlock_abi = vt_broker_jail(station->broker)->landlock_abi;
    vt_jail_from_bits(c->outcome->layers, c->outcome->landlock_abi, &jail);
    vt_status s = vt_jail_floor(&jail, err);
    if (s == VT_OK)
        return VT_OK;
    if (lab->allow_unsafe_jail) {
        c->outcome->flags |= VT_FLAG_UNSAFE_JAIL;
        return VT_OK;
    }
    vt_runner_close(*out);
    *out = NULL;
    return s;
}

static void note_failure(struct vt_case *c, const struct vt_check_result *r)
{
    struct vt_outcome *o = c->outcome;
    o->failure = *r;
    snprintf(o->failure_scale, sizeof o->failure_scale, "%s", r->set->scale);
    vt_inputs_describe(c->task, r->set->dist, o->failure_inputs, sizeof o->failure_inputs);
    if (r->end == VT_CHECK_WRONG) {
        o->status = VT_WRONG_OUTPUT;
        o->flags |= VT_FLAG_OVER_BOUND;
        o->worst = r->compare.worst;
    } else {
        o->status = r->call.end == VT_CALL_TIMEOUT ? VT_TIMED_OUT : VT_RUNTIME_ERROR;
    }
    if (r->end == VT_CHECK_DEFERRED)
        o->flags |= VT_FLAG_DEFERRED;
}

static vt_status check_one(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, size_t set,
                           uint64_t random, struct vt_check_result *r, vt_err *err)
{
    struct vt_call_opts call = {
        &c->subject->pool.set[set], 0, VT_CLOCK_NONE, vt_seed_mix(lab->secret, random), -1, deadline_ns(c), lab->lease};
    vt_lease_enter(lab->lease);
    vt_lease_leave(lab->lease);
    c->outcome->n_checks++;
    return vt_check_run(c->runner, &c->subject->pool, &station->outputs, &call, r, err);
}

/* The first set again, in another process and over another poison: a kernel that reads what it never wrote, or races
 * with itself, leaves other bits. */
static vt_status check_again(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, uint64_t random,
                             uint64_t digest, struct vt_check_result *r, vt_err *err)
{
    VT_TRY(check_one(lab, station, c, 0, random, r, err));
    if (r->end == VT_CHECK_RIGHT && r->digest != digest)
        c->outcome->flags |= VT_FLAG_NONDETERMINISTIC;
    return VT_OK;
}

/* A set of each distribution first, then the second ones; the timed pool's other sets are checked while timing. */
static vt_status check_all(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *passed,
                           vt_err *err)
{
    const struct vt_pool_sets *pool = &c->subject->pool;
    uint64_t from = vt_now_ns();
    vt_status s = VT_OK;
    *passed = true;
    for (size_t i = 0; i < pool->n_sets && *passed && s == VT_OK; i++) {
        if (i >= 2 && i < c->subject->n_timed)
            continue;
        struct vt_check_result r;
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
    c->outcome->check_ms = (double)(vt_now_ns() - from) / 1e6;
    return s;
}

static vt_status load_and_check(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c,
                                bool *wants_timing, vt_err *err)
{
    bool passed = false;
    c->outcome->stage = VT_STAGE_LOAD;
    VT_TRY(open_runner(lab, station, c, &c->runner, err));
    if (!c->runner)
        return VT_OK;
    c->outcome->stage = VT_STAGE_CHECK;
    pid_t group = vt_runner_group(c->runner);
    vt_lease_child_add(lab->lease, group);
    vt_status s = check_all(lab, station, c, &passed, err);
    vt_lease_child_del(lab->lease, group);
    if (s != VT_OK || !passed)
        return s;
    c->outcome->status = c->outcome->flags & VT_FLAG_NONDETERMINISTIC ? VT_FLAGGED : VT_CORRECT_SLOW;
    *wants_timing = !c->skip_timing;
    return VT_OK;
}

vt_status vt_judge_check(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *wants_timing,
                         vt_err *err)
{
    struct vt_object_info info = {0};
    struct vt_subject_tools tools = {station->broker, &lab->cc, lab->lease, &station->outputs};
    *wants_timing = false;
    if (!(c->outcome = vt_alloc(sizeof *c->outcome)))
        return vt_fail(err, VT_ENOMEM, "cannot judge a candidate: out of memory");
    vt_outcome_init(c->outcome);
    if (find_settled(lab, c))
        return VT_OK;
    VT_TRY(vt_extract(c->text, c->len, vt_task_name(c->task), c->is_answer, &c->code, err));
    vt_sha256_of(c->code.text ? c->code.text : "", c->code.text ? c->code.len : 0, c->code_sha);
    if (!c->code.text) {
        c->outcome->status = VT_MALFORMED;
        snprintf(c->outcome->why, sizeof c->outcome->why, "%s", c->code.why);
        return VT_OK;
    }
    VT_TRY(vt_subject_get(lab->subjects, c->task, c->scale, c->protocol, &tools, &c->subject, err));
    c->outcome->stage = VT_STAGE_BUILD;
    c->outcome->is_copy = vt_is_copy_text(c->task, &c->code);
    VT_TRY(build(lab, station, c, &info, err));
    if (!c->object) {
        c->outcome->status = c->outcome->build_end == VT_BUILD_REFUSED ? VT_LOAD_ERROR : VT_COMPILE_ERROR;
        return VT_OK;
    }
    if (info.text_sha[0] && strcmp(info.text_sha, c->subject->reference[VT_BASELINE].text_sha) == 0)
        c->outcome->is_copy = true;
    if (c->outcome->is_copy)
        c->outcome->flags |= VT_FLAG_COPY;
    return load_and_check(lab, station, c, wants_timing, err);
}

/* ---- time ---- */

static vt_status reference_runner(struct vt_station *station, struct vt_case *c, int which, struct vt_runner **out,
                                  vt_err *err)
{
    struct vt_subject *x = c->subject;
    char load_error[256];
    if (x->reference[which].runner && !vt_runner_is_alive(x->reference[which].runner)) {
        vt_runner_close(x->reference[which].runner);
        x->reference[which].runner = NULL;
    }
    if (!x->reference[which].runner) {
        struct vt_runner_opts o = {.broker = station->broker,
                                   .object = x->reference[which].object,
                                   .object_len = x->reference[which].object_len,
                                   .symbol = vt_task_name(c->task),
                                   .pool = &x->pool,
                                   .outputs = {&x->outputs, &x->outputs}};
        VT_TRY(vt_runner_open(&o, &x->reference[which].runner, load_error, err));
        if (!x->reference[which].runner)
            return vt_fail(err, VT_EINTERNAL, "a reference that had been checked does not load: %s", load_error);
    }
    *out = x->reference[which].runner;
    return VT_OK;
}

/* Above ordinary load, for a template whose kernel has passed its checks and the calls it forks. Granted to root only;
 * without it other load is felt more, and pairs it disturbs are marked either way. */
static void raise_priority(const struct vt_runner *r)
{
    const struct sched_param first = {.sched_priority = 1};
    if (sched_setscheduler(vt_runner_group(r), SCHED_FIFO, &first) != 0)
        setpriority(PRIO_PGRP, (id_t)vt_runner_group(r), TIMING_NICE);
}

static vt_status time_against(const struct vt_lab *lab, struct vt_case *c, struct vt_runner *a, struct vt_runner *b,
                              struct vt_trials *out, bool *failed, struct vt_check_result *failure, vt_err *err)
{
    const struct vt_timing_opts o = {.pool = &c->subject->pool,
                                     .n_sets = c->subject->n_timed,
                                     .a = a,
                                     .b = b,
                                     .outputs = &c->subject->outputs,
                                     .lease = lab->lease,
                                     .place = &lab->place,
                                     .machine_lock = lab->machine_lock,
                                     .clock = lab->clock,
                                     .cpu = lab->cores.run_cpu,
                                     .seed = vt_seed_mix(lab->secret, vt_now_ns()),
                                     .deadline_ns = deadline_ns(c),
                                     .min_pairs = protocols[c->protocol].min_pairs,
                                     .max_pairs = protocols[c->protocol].max_pairs,
                                     .precision = c->outcome->is_copy && c->protocol == VT_PROTOCOL_FAST
                                                      ? copy_precision
                                                      : protocols[c->protocol].precision,
                                     .budget_ms = protocols[c->protocol].budget_ms};
    raise_priority(a);
    raise_priority(b);
    return vt_timing_run(&o, out, failed, failure, err);
}

/* log(baseline / tuned) of the subject, measured once, interleaved like any candidate. */
static vt_status measure_tuned(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, vt_err *err)
{
    struct vt_subject *x = c->subject;
    struct vt_runner *a, *b;
    struct vt_trials trials;
    struct vt_check_result failure;
    bool failed;
    if (!x->reference[VT_TUNED].object || !isnan(x->tuned_log_ratio))
        return VT_OK;
    VT_TRY(reference_runner(station, c, VT_BASELINE, &a, err));
    VT_TRY(reference_runner(station, c, VT_TUNED, &b, err));
    VT_TRY(time_against(lab, c, a, b, &trials, &failed, &failure, err));
    if (failed)
        return vt_fail(err, VT_EFORMAT, "task %s: its tuned reference failed while it was timed",
                       vt_task_name(c->task));
    x->tuned_log_ratio = trials.log_ratio;
    return VT_OK;
}

static void settle(struct vt_case *c)
{
    struct vt_outcome *o = c->outcome;
    o->is_timed = true;
    if (o->trials.is_contended)
        o->flags |= VT_FLAG_CONTENDED;
    if (!o->trials.is_settled)
        o->flags |= VT_FLAG_UNSETTLED;
    if (o->trials.worst > o->worst)
        o->worst = o->trials.worst;
    if (o->trials.is_nondeterministic)
        o->flags |= VT_FLAG_NONDETERMINISTIC;
    o->status = !o->is_copy && o->trials.log_ratio > 0 ? VT_CORRECT_FAST : VT_CORRECT_SLOW;
    if (o->flags & VT_FLAG_NONDETERMINISTIC)
        o->status = VT_FLAGGED;
}

/* The candidate in a process nobody has called before. */
static vt_status renew_runner(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, vt_err *err)
{
    vt_runner_close(c->runner);
    c->runner = NULL;
    VT_TRY(open_runner(lab, station, c, &c->runner, err));
    return c->runner ? VT_OK
                     : vt_fail(err, VT_EINTERNAL, "a kernel that had loaded does not load again: %s", c->outcome->why);
}

/* Before a kernel is disbelieved the floor itself is measured again, with the machine to itself. */
static vt_status measure_roofline(const struct vt_lab *lab, vt_err *err)
{
    bool contended;
    vt_lease_acquire(lab->lease, &lab->place, &contended);
    vt_status s = vt_roofline_refresh(lab->roofline_file, lab->roofline, err);
    vt_lease_release(lab->lease, &lab->place);
    return s;
}

vt_status vt_judge_time(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, vt_err *err)
{
    struct vt_runner *baseline;
    struct vt_outcome *o = c->outcome;
    struct vt_check_result failure;
    bool failed = false;
    o->stage = VT_STAGE_TIME;
    if (lab->clock == VT_CLOCK_SLEEP)
        o->flags |= VT_FLAG_ONE_CORE;
    if (lab->cores.is_shared)
        o->flags |= VT_FLAG_SHARED_CORE;
    VT_TRY(measure_tuned(lab, station, c, err));
    VT_TRY(reference_runner(station, c, VT_BASELINE, &baseline, err));
    o->tuned_log_ratio = c->subject->tuned_log_ratio;
    if (c->protocol == VT_PROTOCOL_FULL)
        VT_TRY(renew_runner(lab, station, c, err));
    for (int attempt = 0; attempt < 2; attempt++) {
        VT_TRY(time_against(lab, c, baseline, c->runner, &o->trials, &failed, &failure, err));
        if (failed) {
            note_failure(c, &failure);
            return VT_OK;
        }
        settle(c);
        o->floor_ns = vt_roofline_floor_ns(lab->roofline, c->subject->pool.set[0].plan->layout.bytes_moved);
        if (o->trials.b_us * 1e3 >= o->floor_ns)
            return VT_OK;
        o->flags |= VT_FLAG_BELOW_FLOOR;
        if (attempt == 0) {
            o->n_remeasured++;
            VT_TRY(measure_roofline(lab, err));
            VT_TRY(renew_runner(lab, station, c, err));
        }
    }
    o->status = VT_FLAGGED;
    return VT_OK;
}

/* ---- verdict ---- */

static bool is_deterministic(const struct vt_outcome *o)
{
    return o->status == VT_MALFORMED || (o->status == VT_COMPILE_ERROR && o->build_end == VT_BUILD_FAILED) ||
           o->status == VT_LOAD_ERROR || (o->status == VT_WRONG_OUTPUT && o->stage == VT_STAGE_CHECK);
}

static vt_status verdict_from_record(struct vt_case *c, vt_verdict *out, struct vt_buf *feedback, struct vt_buf *record,
                                     vt_err *err)
{
    vt_json *j = NULL;
    VT_TRY(vt_json_parse(c->cached_record, strlen(c->cached_record), "a stored verdict", &j, err));
    const char *status = vt_json_str(vt_json_get(j, "status"), "");
    memset(out, 0, sizeof *out);
    for (int s = VT_MALFORMED; s <= VT_FLAGGED; s++)
        if (strcmp(status, vt_verdict_status_name((vt_verdict_status)s)) == 0)
            out->status = (vt_verdict_status)s;
    out->is_copy = vt_json_bool(vt_json_get(j, "is_copy"), false);
    out->worst = vt_json_num(vt_json_get(j, "worst"), 0);
    out->cached = true;
    vt_buf_init(feedback, VT_FEEDBACK_MAX + 1);
    vt_buf_puts(feedback, vt_json_str(vt_json_get(j, "feedback"), ""));
    vt_json_put_bool(j, "cached", true);
    vt_buf_init(record, MAX_RECORD);
    vt_status s = vt_json_write(j, false, record, err);
    vt_json_free(j);
    return s;
}

vt_status vt_case_verdict(const struct vt_lab *lab, struct vt_case *c, vt_verdict *out, struct vt_buf *feedback,
                          struct vt_buf *record, vt_err *err)
{
    char text[VT_FEEDBACK_MAX + 1];
    vt_status s;
    if (c->cached_record) {
        s = verdict_from_record(c, out, feedback, record, err);
    } else {
        const struct vt_set *set = c->outcome->failure.set;
        const struct vt_subject_names names = {.task = c->task,
                                               .layout = set ? &set->plan->layout : NULL,
                                               .scale = c->scale,
                                               .code_sha = c->code_sha,
                                               .key = c->key,
                                               .protocol = c->protocol,
                                               .evaluator = lab->version,
                                               .compiler = lab->cc.version,
                                               .machine = lab->machine,
                                               .cores = &lab->cores};
        vt_outcome_verdict(c->outcome, out);
        vt_feedback_write(c->outcome, &names, text);
        vt_buf_init(feedback, VT_FEEDBACK_MAX + 1);
        vt_buf_puts(feedback, text);
        s = vt_record_write(c->outcome, &names, text, record, err);
        if (s == VT_OK && lab->store && is_deterministic(c->outcome))
            (void)!vt_content_put(lab->store, VT_CONTENT_CHECK, c->key, record->p, record->len, NULL);
    }
    out->feedback = feedback->p;
    out->json = record->p;
    return s;
}

void vt_case_release(const struct vt_lab *lab, struct vt_case *c)
{
    vt_runner_close(c->runner);
    c->runner = NULL;
    vt_subject_put(lab->subjects, c->subject);
    c->subject = NULL;
    free(c->object);
    if (c->outcome)
        free(c->outcome->log);
    free(c->outcome);
    free(c->cached_record);
    c->outcome = NULL;
    vt_code_free(&c->code);
    c->object = NULL;
    c->cached_record = NULL;
}
