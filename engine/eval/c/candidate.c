/* SPDX-License-Identifier: Apache-2.0
 *
 * candidate.c: from code to calls: built by the jailed compiler (or found in the store), loaded in a jailed template,
 * called on one input set at a time.
 */
#include "base/alloc.h"
#include "eval/c/assemble.h"
#include "eval/c/clash.h"
#include "eval/c/parts.h"
#include "eval/c/reading.h"
#include "eval/c/series.h"
#include "eval/c/unit.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { LOG_KEPT = 64 << 10, MAX_OBJECT = 64 << 20, TIMING_NICE = -15 };

static vt_status new_candidate(struct vt_tier *tier, struct vt_candidate **out, vt_err *err)
{
    struct vt_candidate *c = vt_alloc(sizeof *c);
    *out = c;
    if (!c)
        return vt_fail(err, VT_ENOMEM, "cannot judge a candidate: out of memory");
    c->tier = tier;
    return VT_OK;
}

void vt_c_candidate_close(struct vt_candidate *c)
{
    if (!c)
        return;
    vt_c_unload(c);
    free(c->object);
    free(c->log);
    free(c);
}

/* ---- build ---- */

static void build_key(const struct vt_tier *t, const char *const *own, const struct vt_buf *unit, const char *symbol,
                      char key[VT_SHA256_HEX])
{
    struct vt_sha256 h;
    vt_sha256_init(&h);
    vt_hash_str(&h, "compiler", t->cc.id);
    for (int i = 0; own && own[i]; i++)
        vt_hash_str(&h, "flag", own[i]);
    vt_hash_str(&h, "function", symbol);
    vt_hash_field(&h, "unit", unit->p, unit->len);
    vt_sha256_hex(&h, key);
}

/* What is kept was inspected when it was made; the store is a folder of the user's, so it is inspected again. */
static bool find_kept(struct vt_candidate *c, vt_content *store, const char *key, struct vt_object_info *info)
{
    struct vt_buf kept;
    if (vt_content_get(store, VT_CONTENT_BUILD, key, MAX_OBJECT, &kept, NULL) != VT_OK)
        return false;
    c->object_len = kept.len;
    c->object = (unsigned char *)vt_buf_take(&kept, NULL);
    vt_buf_free(&kept);
    if (c->object)
        vt_object_inspect(c->object, c->object_len, info);
    c->is_build_stored = c->object && !info->refused[0];
    if (c->is_build_stored)
        return true;
    free(c->object);
    c->object = NULL;
    memset(info, 0, sizeof *info);
    return false;
}

static void note_unit(struct vt_candidate *c, const struct vt_task_unit *u)
{
    c->truth = u->truth == VT_UNIT_SPREAD ? "spread" : "text";
    for (int i = 0, at = 0; i < u->n_flags && at < (int)sizeof c->cflags; i++)
        at += snprintf(c->cflags + at, sizeof c->cflags - (size_t)at, "%s%s", i ? " " : "", u->flag[i]);
}

static void note_build(struct vt_candidate *c, struct vt_build *b)
{
    c->build_end = b->end;
    c->diagnostics = b->diagnostics;
    c->build_ms = b->ms;
    c->build_cpu_ms = b->cpu_ms;
    c->build_rss_kib = b->max_rss_kib;
    c->object = b->object;
    c->object_len = b->object_len;
    b->object = NULL;
    if (b->log_len) {
        vt_sha256_of(b->log, b->log_len, c->log_sha);
        c->log = vt_strndup(b->log, b->log_len < LOG_KEPT ? b->log_len : LOG_KEPT);
    }
    if (b->end == VT_BUILD_REFUSED)
        snprintf(c->why, sizeof c->why, "%s", b->info.refused);
}

static void note_result(const struct vt_candidate *c, const struct vt_object_info *info, struct vt_stage_result *r)
{
    *r = (struct vt_stage_result){.passed = c->object != NULL};
    r->status = c->build_end == VT_BUILD_REFUSED ? VT_LOAD_ERROR : c->is_no_reading ? VT_MALFORMED : VT_COMPILE_ERROR;
    r->is_deterministic = c->build_end == VT_BUILD_REFUSED || c->build_end == VT_BUILD_FAILED;
    memcpy(r->artefact, info->text_sha, sizeof r->artefact);
    snprintf(r->why, sizeof r->why, "%s", c->diagnostics.n && !c->is_no_reading ? c->diagnostics.item[0].text : c->why);
}

/* code: what the unit was made of; NULL: of a task's own text. */
static vt_status build_unit(struct vt_station *s, const vt_task *t, const struct vt_code *code,
                            const struct vt_buf *unit, vt_content *store, bool is_fresh, struct vt_candidate **out,
                            struct vt_stage_result *result, vt_err *err)
{
    char key[VT_SHA256_HEX];
    struct vt_object_info info = {0};
    struct vt_build b = {0};
    const struct vt_task_unit *of = vt_task_unit(t);
    const char *const *own = of && of->n_flags > 0 ? of->flag : NULL; /* one more than can be given: ends with NULL */
    const char *symbol = of ? VT_UNIT_ENTRY : vt_task_name(t);
    vt_status status = new_candidate(s->tier, out, err);
    build_key(s->tier, own, unit, symbol, key);
    if (status == VT_OK)
        (*out)->guard = own ? VT_GUARD_CALLER : VT_GUARD_UPPER;
    if (status == VT_OK && of)
        note_unit(*out, of);
    if (status == VT_OK && !(store && !is_fresh && find_kept(*out, store, key, &info))) {
        status = vt_build_run(s->broker, &s->tier->cc, s->tier->lease, own, unit->p, unit->len, symbol, &b, err);
        if (status == VT_OK) {
            info = b.info;
            if (code) {
                vt_reading_judge(code, &b);
                vt_diagnostics_compare(&b.diagnostics, code->text);
            }
            (*out)->is_no_reading = b.is_no_reading;
            note_build(*out, &b);
            if (store && (*out)->object)
                (void)!vt_content_put(store, VT_CONTENT_BUILD, key, (*out)->object, (*out)->object_len, NULL);
        }
    }
    if (status == VT_OK) {
        note_result(*out, &info, result);
    } else {
        vt_c_candidate_close(*out);
        *out = NULL;
    }
    vt_build_free(&b);
    return status;
}

/* The pragma of each compiler; the other one ignores it. gcc clears the upper halves of vector registers at the end of
 * a function only where it may do what is expensive, and does nothing else for that without optimisation. */
static vt_status make_plain(const struct vt_buf *unit, struct vt_buf *plain, vt_err *err)
{
    vt_buf_init(plain, unit->len + 256);
    vt_buf_puts(plain, "#if defined(__clang__)\n#pragma clang optimize off\n#else\n"
                       "#pragma GCC optimize(\"O0\", \"expensive-optimizations\")\n#endif\n");
    vt_buf_add(plain, unit->p, unit->len);
    vt_status s = vt_buf_check(plain, "a candidate without optimisation", err);
    if (s != VT_OK)
        vt_buf_free(plain);
    return s;
}

static vt_status build_as(struct vt_station *s, const struct vt_build_request *r, const struct vt_code *code,
                          const struct vt_buf *unit, struct vt_candidate **out, struct vt_stage_result *result,
                          vt_err *err)
{
    struct vt_buf plain;
    if (!r->is_plain)
        return build_unit(s, r->task, code, unit, r->store, r->is_fresh, out, result, err);
    VT_TRY(make_plain(unit, &plain, err));
    vt_status status = build_unit(s, r->task, code, &plain, r->store, r->is_fresh, out, result, err);
    vt_buf_free(&plain);
    return status;
}

/* In the place of the first when it compiles. */
static vt_status build_renamed(struct vt_station *s, const struct vt_build_request *r, const struct vt_code *code,
                               const struct vt_buf *unit, struct vt_candidate **out, struct vt_stage_result *result,
                               vt_err *err)
{
    struct vt_candidate *other = NULL;
    struct vt_stage_result second = {.passed = false};
    VT_TRY(vt_buf_check(unit, "the translation unit", err));
    VT_TRY(build_as(s, r, code, unit, &other, &second, err));
    const bool is_better = other->build_end != VT_BUILD_FAILED;
    vt_c_candidate_close(is_better ? *out : other);
    if (is_better) {
        *out = other;
        *result = second;
    }
    return VT_OK;
}

static vt_status build_reading(struct vt_station *s, const struct vt_build_request *r, const struct vt_code *code,
                               struct vt_candidate **out, struct vt_stage_result *result, vt_err *err)
{
    struct vt_buf unit, renamed;
    struct vt_clashes clashes;
    *out = NULL;
    VT_TRY(vt_assemble(r->task, code, &unit, err));
    vt_status status = build_as(s, r, code, &unit, out, result, err);
    if (status == VT_OK && (*out)->build_end == VT_BUILD_FAILED) {
        vt_clash_find(&(*out)->diagnostics, s->tier->cc.headers, &clashes);
        if (clashes.n > 0 && vt_clash_rename(&clashes, &unit, &renamed)) {
            status = build_renamed(s, r, code, &renamed, out, result, err);
            vt_buf_free(&renamed);
        }
    }
    vt_buf_free(&unit);
    return status;
}

vt_status vt_c_build(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                     struct vt_stage_result *result, vt_err *err)
{
    struct vt_code code = *r->code;
    struct vt_candidate *other = NULL;
    struct vt_stage_result second = {.passed = false};
    VT_TRY(build_reading(s, r, &code, out, result, err));
    if (code.is_doubtful && (*out)->build_end == VT_BUILD_FAILED) {
        code.is_whole = !code.is_whole;
        vt_status status = build_reading(s, r, &code, &other, &second, err);
        if (status != VT_OK || vt_reading_is_better(other, *out)) {
            vt_c_candidate_close(*out);
            *out = other;
            *result = second;
            VT_TRY(status);
        } else {
            vt_c_candidate_close(other);
        }
    }
    if (result->status == VT_MALFORMED)
        vt_reading_explain(r->code->is_whole, vt_task_name(r->task), result->why, sizeof result->why);
    return VT_OK;
}

vt_status vt_c_reference(struct vt_station *s, const vt_task *t, enum vt_reference which, struct vt_candidate **out,
                         struct vt_stage_result *result, vt_err *err)
{
    struct vt_buf unit;
    const char *body = which == VT_BASELINE ? vt_task_body(t) : vt_task_tuned(t);
    *out = NULL;
    if (!body)
        return VT_OK;
    VT_TRY(vt_assemble_body(t, body, &unit, err));
    vt_status status = build_unit(s, t, NULL, &unit, NULL, true, out, result, err);
    vt_buf_free(&unit);
    VT_TRY(status);
    (*out)->is_reference = true;
    return VT_OK;
}

/* ---- load ---- */

static bool is_lane(const struct vt_station *s)
{
    return s->seat.kind == VT_SEAT_LANE;
}

/* Above ordinary load, for a template whose kernel has passed its checks and the calls it forks. Granted to root only;
 * without it other load is felt more, and pairs it disturbs are marked either way. */
static void raise_priority(const struct vt_runner *r)
{
    const struct sched_param first = {.sched_priority = 1};
    if (sched_setscheduler(vt_runner_group(r), SCHED_FIFO, &first) != 0)
        setpriority(PRIO_PGRP, (id_t)vt_runner_group(r), TIMING_NICE);
}

/* A candidate has one home, wherever it goes: it is on one station at a time. */
static struct vt_home *home_of(const struct vt_station *s, struct vt_candidate *c)
{
    return &c->home[c->is_reference && is_lane(s) ? s->seat.number : 0];
}

static size_t lane_base(const struct vt_station *s, const struct vt_ground *g)
{
    return is_lane(s) ? (size_t)s->seat.number * g->pool.out_bytes : 0;
}

/* The outputs that calls of this station write: its own file, or the lane's part of the ground's. */
static struct vt_outputs outputs_of(const struct vt_station *s, const struct vt_ground *g)
{
    if (!is_lane(s))
        return s->outputs;
    return (struct vt_outputs){g->timed.fd, g->timed.map + lane_base(s, g), g->pool.out_bytes};
}

static vt_status open_runner(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, unsigned placement,
                             vt_err *err)
{
    char load_error[256];
    struct vt_home *home = home_of(s, c);
    if (!is_lane(s))
        VT_TRY(vt_outputs_fit(&s->outputs, g->pool.out_bytes, err));
    const struct vt_runner_opts o = {.broker = s->broker,
                                     .object = c->object,
                                     .object_len = c->object_len,
                                     .in_fd = g->pool.in_fd,
                                     .va_bytes = g->pool.va_bytes,
                                     .outputs = {is_lane(s) ? &g->timed : &s->outputs, &g->timed},
                                     .placement = vt_c_placement[placement],
                                     .allow_unsafe = c->tier->allow_unsafe};
    struct vt_runner *r;
    VT_TRY(vt_runner_open(&o, &r, load_error, err));
    home->runner[placement] = r;
    if (!r) {
        snprintf(c->why, sizeof c->why, "%s", load_error);
        return VT_OK;
    }
    home->ground = g;
    if (is_lane(s))
        raise_priority(r);
    if (c->is_reference) /* no record speaks of its processes, and other lanes may be here */
        return VT_OK;
    c->layers = vt_runner_layers(r);
    c->landlock_abi = vt_broker_jail(s->broker)->landlock_abi;
    c->is_unsafe |= vt_runner_is_unsafe(r);
    return VT_OK;
}

static void leave_home(struct vt_home *home)
{
    for (int i = 0; i < VT_C_PLACEMENTS; i++) {
        vt_runner_close(home->runner[i]);
        home->runner[i] = NULL;
    }
}

vt_status vt_c_load(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                    struct vt_stage_result *result, vt_err *err)
{
    struct vt_home *home = home_of(s, c);
    *result = (struct vt_stage_result){.passed = true};
    if (is_fresh || !home->runner[0] || home->ground != g || !vt_runner_is_alive(home->runner[0])) {
        leave_home(home);
        VT_TRY(open_runner(s, c, g, 0, err));
    }
    if (!home->runner[0]) {
        *result = (struct vt_stage_result){.passed = false, .status = VT_LOAD_ERROR, .is_deterministic = true};
        snprintf(result->why, sizeof result->why, "%s", c->why);
    } else if (is_lane(s)) {
        raise_priority(home->runner[0]);
    }
    return VT_OK;
}

void vt_c_unload(struct vt_candidate *c)
{
    for (int i = 0; i < VT_MAX_LANES; i++)
        leave_home(&c->home[i]);
}

/* ---- calls ---- */

static void note_fault(struct vt_candidate *c, const struct vt_check *check, const struct vt_call_result *raw)
{
    if (check->end != VT_CHECK_RIGHT)
        c->fault = *raw;
}

vt_status vt_c_check(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                     vt_err *err)
{
    struct vt_call_result raw;
    struct vt_call_opts o = {.out_sel = 0,
                             .clock = VT_CLOCK_NONE,
                             .random = call->random,
                             .cpu = -1,
                             .guard = c->guard,
                             .deadline_ns = call->deadline_ns,
                             .lease = s->tier->lease};
    const struct vt_home *home = home_of(s, c);
    const struct vt_outputs outputs = outputs_of(s, home->ground);
    o.out_base = lane_base(s, home->ground);
    pid_t group = vt_runner_group(home->runner[0]);
    vt_lease_child_add(s->tier->lease, group);
    vt_status status =
        vt_check_run(home->runner[0], &home->ground->pool, call->set, call->against, &outputs, &o, out, &raw, err);
    vt_lease_child_del(s->tier->lease, group);
    VT_TRY(status);
    note_fault(c, out, &raw);
    return VT_OK;
}

vt_status vt_c_series(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, size_t n,
                      struct vt_check *out, size_t *n_done, vt_err *err)
{
    struct vt_call_result raw;
    struct vt_call_opts o = {.clock = VT_CLOCK_NONE,
                             .random = call[0].random,
                             .cpu = -1,
                             .guard = c->guard,
                             .deadline_ns = call[0].deadline_ns,
                             .lease = s->tier->lease};
    const struct vt_home *home = home_of(s, c);
    const struct vt_outputs outputs = outputs_of(s, home->ground);
    o.out_base = lane_base(s, home->ground);
    pid_t group = vt_runner_group(home->runner[0]);
    vt_lease_child_add(s->tier->lease, group);
    vt_status status =
        vt_series_run(home->runner[0], &home->ground->pool, call, n, &outputs, &o, out, n_done, &raw, err);
    vt_lease_child_del(s->tier->lease, group);
    VT_TRY(status);
    if (*n_done > 0)
        note_fault(c, &out[*n_done - 1], &raw);
    return VT_OK;
}

/* A call's stack starts elsewhere in its page at each placement. */
static uint32_t stack_offset(unsigned placement)
{
    static const uint32_t at[VT_C_PLACEMENTS] = {0, 1040, 2608, 3872};
    return at[placement];
}

/* The runner of a placement, started when it is first asked for. NULL: it does not load there. */
static vt_status runner_at(struct vt_station *s, struct vt_candidate *c, unsigned placement, struct vt_runner **out,
                           vt_err *err)
{
    const struct vt_home *home = home_of(s, c);
    if (!home->runner[placement])
        VT_TRY(open_runner(s, c, home->ground, placement, err));
    *out = home->runner[placement];
    return *out ? VT_OK : vt_fail(err, VT_EINTERNAL, "a kernel that had loaded does not load again: %s", c->why);
}

/* The lane is held: no deadline waits for anybody else. */
vt_status vt_c_time(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                    vt_err *err)
{
    struct vt_ground *g = home_of(s, c)->ground;
    const struct vt_set *set = &g->pool.set[call->set];
    const struct vt_outputs outputs = outputs_of(s, g);
    struct vt_call_result raw;
    struct vt_runner *r;
    struct vt_call_opts o = {.plan = set->plan,
                             .in_at = set->in_at,
                             .out_sel = 1,
                             .out_base = lane_base(s, g),
                             .stack_offset = stack_offset(call->placement),
                             .clock = s->tier->clock,
                             .random = call->random,
                             .cpu = s->tier->cores[s->seat.number].run_cpu,
                             .deadline_ns = call->deadline_ns};
    VT_TRY(runner_at(s, c, call->placement, &r, err));
    if (!call->is_trusted) {
        c->lane = s->seat.number;
        VT_TRY(vt_check_run(r, &g->pool, call->set, call->against, &outputs, &o, out, &raw, err));
        note_fault(c, out, &raw);
        return VT_OK;
    }
    VT_TRY(vt_runner_call(r, &o, &raw, err));
    *out = (struct vt_check){.end = raw.end == VT_CALL_DONE ? VT_CHECK_RIGHT : VT_CHECK_FAULT,
                             .is_timeout = raw.end == VT_CALL_TIMEOUT,
                             .set = call->set,
                             .ns = raw.ns,
                             .after_ns = raw.after_ns,
                             .was_disturbed = raw.was_preempted};
    return VT_OK;
}
