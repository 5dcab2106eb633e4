/* SPDX-License-Identifier: Apache-2.0
 *
 * call.c: a candidate of the torch tier from its text to its calls.
 *
 *   judge: reveal (inputs staged, outputs poisoned) · clock · worker: call · clock · judge: compare
 *
 * The baseline goes the same way with the judge in the worker's place, so what a message costs both sides pay. The
 * clock is this program's. A worker that answers before its GPU has ended leaves poison behind, or gains what a message
 * takes.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "eval/torch/parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Inline CUDA is compiled by nvcc while it loads, Triton at the first call. */
static const uint64_t load_timeout_ns = 180000000000u, warm_timeout_ns = 30000000000u;

void vt_torch_candidate_close(struct vt_candidate *c)
{
    if (!c)
        return;
    vt_json_free(c->layers);
    free(c->code);
    free(c);
}

static vt_status new_candidate(struct vt_tier *t, const char *code, bool is_whole, bool is_trusted,
                               struct vt_candidate **out, vt_err *err)
{
    struct vt_candidate *c = vt_alloc(sizeof *c);
    *out = NULL;
    if (!c || !(c->code = vt_strdup(code))) {
        free(c);
        return vt_fail(err, VT_ENOMEM, "cannot judge a candidate: out of memory");
    }
    c->tier = t;
    c->id = atomic_fetch_add(&t->next_id, 1);
    c->is_whole = is_whole;
    c->is_trusted = is_trusted;
    *out = c;
    return VT_OK;
}

/* Python is compiled where it is loaded. */
vt_status vt_torch_build(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                         struct vt_stage_result *result, vt_err *err)
{
    *result = (struct vt_stage_result){.passed = true};
    return new_candidate(s->tier, r->code->text, r->code->is_whole, false, out, err);
}

vt_status vt_torch_reference(struct vt_station *s, const vt_task *t, enum vt_reference which, struct vt_candidate **out,
                             struct vt_stage_result *result, vt_err *err)
{
    *out = NULL;
    *result = (struct vt_stage_result){.passed = true};
    return which == VT_BASELINE ? new_candidate(s->tier, vt_task_torch(t), true, true, out, err) : VT_OK;
}

/* ---- load ---- */

static vt_status refuse(struct vt_candidate *c, vt_verdict_status how, const char *why, struct vt_stage_result *r)
{
    snprintf(c->why, sizeof c->why, "%.600s", why);
    *r = (struct vt_stage_result){.status = how, .is_deterministic = how == VT_COMPILE_ERROR};
    snprintf(r->why, sizeof r->why, "%.250s", why);
    return VT_OK;
}

static vt_json *load_request(const struct vt_station *s, const struct vt_candidate *c, const struct vt_ground *g)
{
    static const char *const of_share[] = {"inputs", "outputs", "constants"};
    vt_json *q = vt_torch_request("load");
    char folder[96];
    snprintf(folder, sizeof folder, "%s/run%u", s->folder, s->n_workers);
    for (size_t i = 0; i < 3; i++)
        vt_json_put(q, of_share[i], vt_json_clone(vt_json_get(s->share, of_share[i])));
    vt_json_put_str(q, "folder", folder);
    vt_json_put_str(q, "code", c->code);
    vt_json_put_bool(q, "is_whole", c->is_whole);
    vt_json_put_str(q, "class", c->is_trusted ? "Model" : "ModelNew");
    vt_json_put_str(q, "problem", vt_task_torch(g->pool->task));
    vt_json_put_num(q, "key", (double)(g->pool->key >> 16));
    vt_json_put_bool(q, "needs_walls", !s->tier->allow_unsafe);
    return q;
}

static vt_status read_load(struct vt_candidate *c, const vt_json *reply, struct vt_stage_result *r, vt_err *err)
{
    const char *syntax = vt_json_str(vt_json_get(reply, "syntax"), NULL);
    const char *error = vt_json_str(vt_json_get(reply, "error"), NULL);
    vt_json_free(c->layers);
    c->layers = vt_json_clone(vt_json_get(reply, "layers"));
    if (vt_json_bool(vt_json_get(reply, "unwalled"), false))
        return vt_fail(err, VT_EJAIL,
                       "candidates of the torch tier need landlock and either a network namespace or landlock's TCP "
                       "rules, which this machine does not give (--unsafe-jail judges all the same)");
    return syntax ? refuse(c, VT_COMPILE_ERROR, syntax, r) : error ? refuse(c, VT_LOAD_ERROR, error, r) : VT_OK;
}

/* A first call that is neither timed nor compared. An exception will come again, where it counts. */
static vt_status warm(struct vt_station *s, struct vt_candidate *c, struct vt_stage_result *result)
{
    vt_json *q = vt_torch_request("warm"), *reply = NULL;
    vt_status status = vt_torch_send(&s->worker[c->is_trusted], q, NULL);
    if (status == VT_OK)
        status = vt_torch_receive(&s->worker[c->is_trusted], warm_timeout_ns, &reply, NULL, NULL);
    vt_json_free(q);
    vt_json_free(reply);
    if (status != VT_ETIMEOUT && status != VT_EINTERNAL)
        return status;
    vt_torch_end_worker(s, c->is_trusted);
    return refuse(c, status == VT_ETIMEOUT ? VT_TIMED_OUT : VT_RUNTIME_ERROR,
                  status == VT_ETIMEOUT ? "its first call did not return in 30 s" : "it ended its process", result);
}

vt_status vt_torch_load(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                        struct vt_stage_result *result, vt_err *err)
{
    *result = (struct vt_stage_result){.passed = true};
    c->ground = g;
    vt_json *q = vt_torch_request("ready"), *reply = NULL;
    vt_status status = vt_torch_ask_judge(s, g, q, &reply, NULL, err);
    vt_json_free(q);
    vt_json_free(reply);
    if (status != VT_OK || (!is_fresh && s->loaded[c->is_trusted] == c->id && s->worker[c->is_trusted].pid > 0))
        return status;
    VT_TRY(vt_torch_new_worker(s, c->is_trusted, err));
    s->n_workers++;
    snprintf(c->truth, sizeof c->truth, "%s", vt_json_str(vt_json_get(s->share, "truth"), ""));
    q = load_request(s, c, g);
    status = vt_torch_send(&s->worker[c->is_trusted], q, NULL);
    vt_json_free(q);
    if (status == VT_OK)
        status = vt_torch_receive(&s->worker[c->is_trusted], load_timeout_ns, &reply, NULL, NULL);
    if (status == VT_ETIMEOUT || status == VT_EINTERNAL) {
        vt_torch_end_worker(s, c->is_trusted);
        return refuse(c, VT_LOAD_ERROR,
                      status == VT_ETIMEOUT ? "it did not load in three minutes"
                                            : "it ended its process while it loaded",
                      result);
    }
    if (status == VT_OK)
        status = read_load(c, reply, result, err);
    vt_json_free(reply);
    if (status == VT_OK && result->passed)
        status = warm(s, c, result);
    s->loaded[c->is_trusted] = status == VT_OK && result->passed ? c->id : 0;
    return status;
}

void vt_torch_unload(struct vt_candidate *c)
{
    c->ground = NULL;
}

/* ---- calls ---- */

static vt_status reveal(struct vt_station *s, const struct vt_candidate *c, const struct vt_call *call, vt_err *err)
{
    vt_json *q = vt_torch_request("reveal"), *reply = NULL;
    vt_json_put_int(q, "set", (int64_t)call->set);
    vt_json_put_int(q, "random", (int64_t)(call->random >> 40));
    const vt_status status = vt_torch_ask_judge(s, c->ground, q, &reply, NULL, err);
    vt_json_free(q);
    vt_json_free(reply);
    return status;
}

/* In a process of its own. A candidate's failures are its verdict. */
static vt_status run(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                     vt_err *err)
{
    vt_json *q = vt_torch_request("call"), *reply = NULL;
    uint64_t to = 0;
    const uint64_t from = vt_now_ns();
    vt_status status = vt_torch_send(&s->worker[c->is_trusted], q, err);
    if (status == VT_OK)
        status = vt_torch_receive(&s->worker[c->is_trusted], call->deadline_ns, &reply, &to, err);
    vt_json_free(q);
    out->ns = to > from ? to - from : 1;
    const char *error = vt_json_str(vt_json_get(reply, "error"), NULL);
    if (status == VT_ENOMEM) {
        vt_json_free(reply);
        return status;
    }
    out->is_timeout = status == VT_ETIMEOUT;
    c->is_timeout = out->is_timeout;
    if (status != VT_OK || error) {
        out->end = VT_CHECK_FAULT;
        snprintf(c->why, sizeof c->why, "%.600s",
                 error             ? error
                 : out->is_timeout ? "it did not return in time"
                                   : "it ended its process");
        if (!error)
            vt_torch_end_worker(s, c->is_trusted);
    }
    vt_json_free(reply);
    return VT_OK;
}

static void note_diffs(struct vt_candidate *c, const vt_json *diffs)
{
    size_t at = 0;
    c->diffs[0] = '\0';
    for (const vt_json *d = vt_json_first(diffs); d && at < sizeof c->diffs; d = vt_json_next(d)) {
        const vt_json *array = vt_json_first(d), *index = array ? vt_json_next(array) : NULL,
                      *expected = index ? vt_json_next(index) : NULL, *got = expected ? vt_json_next(expected) : NULL;
        const int w = snprintf(
            c->diffs + at, sizeof c->diffs - at, "%soutput %d, element %.0f: expected %.20s, got %.20s", at ? "; " : "",
            (int)vt_json_num(array, 0), vt_json_num(index, 0), vt_json_str(expected, "?"), vt_json_str(got, "?"));
        at += w > 0 ? (size_t)w : 0;
    }
}

static vt_status compare(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                         vt_err *err)
{
    vt_json *q = vt_torch_request("compare"), *r = NULL;
    vt_json_put_int(q, "set", (int64_t)call->against);
    const vt_status status = vt_torch_ask_judge(s, c->ground, q, &r, NULL, err);
    vt_json_free(q);
    if (status != VT_OK)
        return status;
    out->compare = (struct vt_compare_result){.n_checked = vt_json_int(vt_json_get(r, "n_checked"), 0),
                                              .n_wrong = vt_json_int(vt_json_get(r, "n_wrong"), 1),
                                              .n_nan = vt_json_int(vt_json_get(r, "n_nan"), 0),
                                              .worst = vt_json_num(vt_json_get(r, "worst"), INFINITY)};
    out->digest = (uint64_t)vt_json_int(vt_json_get(r, "digest"), 0);
    out->end = out->compare.n_wrong ? VT_CHECK_WRONG : VT_CHECK_RIGHT;
    if (out->compare.n_wrong)
        note_diffs(c, vt_json_get(r, "diffs"));
    vt_json_free(r);
    return VT_OK;
}

static vt_status call(struct vt_station *s, struct vt_candidate *c, const struct vt_call *o, bool is_timed,
                      struct vt_check *out, vt_err *err)
{
    *out = (struct vt_check){.end = VT_CHECK_RIGHT, .set = o->set};
    if (!c->ground)
        return vt_fail(err, VT_EINTERNAL, "a candidate is called that was not loaded");
    VT_TRY(reveal(s, c, o, err));
    VT_TRY(run(s, c, o, out, err));
    if (out->end != VT_CHECK_RIGHT || (is_timed && o->is_trusted))
        return VT_OK;
    return compare(s, c, o, out, err);
}

vt_status vt_torch_check(struct vt_station *s, struct vt_candidate *c, const struct vt_call *o, struct vt_check *out,
                         vt_err *err)
{
    return call(s, c, o, false, out, err);
}

vt_status vt_torch_time(struct vt_station *s, struct vt_candidate *c, const struct vt_call *o, struct vt_check *out,
                        vt_err *err)
{
    return call(s, c, o, true, out, err);
}

/* ---- words ---- */

void vt_torch_explain(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                      const struct vt_check *failure, struct vt_say *out)
{
    (void)t;
    if (status == VT_COMPILE_ERROR)
        vt_say(out, "The code does not compile.");
    else if (status == VT_LOAD_ERROR)
        vt_say(out, "ModelNew cannot be made.");
    else if (status == VT_TIMED_OUT)
        vt_say(out, "It did not return in time.");
    else if (status == VT_RUNTIME_ERROR)
        vt_say(out, "The call failed.");
    else if (failure && failure->end == VT_CHECK_WRONG)
        vt_say(out, " First differences: %s.", c->diffs);
    if (status != VT_TIMED_OUT && status != VT_WRONG_OUTPUT && c->why[0])
        vt_say_message(out, 0, c->why, true);
}

void vt_torch_record(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                     struct vt_record_parts *parts)
{
    char compiler[64];
    snprintf(compiler, sizeof compiler, "torch %s", t->torch);
    vt_json_put_str(parts->record, "compiler", compiler);
    vt_json *device = vt_json_object();
    vt_json_put_str(device, "kind", t->kind);
    vt_json_put_str(device, "name", t->device);
    vt_json_put(parts->record, "device", device);
    vt_json_put_str(parts->record, "trust", "torch");
    if (!c)
        return;
    if (stage >= VT_STAGE_LOAD)
        vt_json_put(parts->record, "jail", c->layers ? vt_json_clone(c->layers) : vt_json_array());
    if (stage >= VT_STAGE_CHECK)
        vt_json_put_str(parts->record, "truth", c->truth);
    if (t->allow_unsafe)
        vt_json_push(parts->flags, vt_json_new_str("unsafe_jail", 11));
    if (is_timed)
        vt_json_put_str(parts->record, "baseline_kind", "the problem's Model, eager");
}
