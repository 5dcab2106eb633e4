/* SPDX-License-Identifier: Apache-2.0
 *
 * candidate.c: from CUDA text to calls: plan read, compiled in the jail (or found in the store), kernels and parameters
 * held against the plan, loaded by the runner, called on one input set at a time.
 */
#include "base/alloc.h"
#include "eval/cuda/parts.h"
#include "eval/cuda/reference.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IMAGE = 64 << 20, LOG_KEPT = 64 << 10 };
/* Inputs and truths of a call are the runner's work, beyond the candidate's deadline. */
static const uint64_t work_timeout_ns = 120000000000u;

void vt_cuda_candidate_close(struct vt_candidate *c)
{
    if (!c)
        return;
    vt_launch_plan_free(&c->plan);
    free(c->source);
    free(c->image);
    free(c->log);
    free(c);
}

static vt_status new_candidate(struct vt_tier *tier, const char *source, size_t len, struct vt_candidate **out,
                               vt_err *err)
{
    struct vt_candidate *c = vt_alloc(sizeof *c);
    *out = NULL;
    if (!c || !(c->source = vt_strndup(source, len))) {
        free(c);
        return vt_fail(err, VT_ENOMEM, "cannot judge a candidate: out of memory");
    }
    c->tier = tier;
    c->id = atomic_fetch_add(&tier->next_id, 1);
    *out = c;
    return VT_OK;
}

/* ---- build ---- */

/* Equal code launched in another way is another candidate. */
static void hash_artefact(const struct vt_candidate *c, const struct vt_cubin *cubin, char out[VT_SHA256_HEX])
{
    struct vt_sha256 h;
    vt_sha256_init(&h);
    vt_hash_str(&h, "text", cubin->text_sha);
    for (unsigned i = 0; i < c->plan.n_launches; i++) {
        const struct vt_plan_launch *l = &c->plan.launch[i];
        vt_hash_str(&h, "kernel", l->kernel);
        for (int d = 0; d < 3; d++) {
            vt_hash_str(&h, "grid", l->grid[d] ? l->grid[d] : "1");
            vt_hash_str(&h, "block", l->block[d] ? l->block[d] : "1");
        }
        vt_hash_str(&h, "smem", l->smem ? l->smem : "0");
        for (unsigned k = 0; k < l->n_args; k++)
            vt_hash_u64(&h, "argument", (uint64_t)l->arg[k].kind << 32 | l->arg[k].index);
    }
    vt_sha256_hex(&h, out);
}

static void note_build(struct vt_candidate *c, struct vt_cuda_build *b)
{
    c->build_end = b->end;
    memcpy(c->diagnostic, b->diagnostic, sizeof c->diagnostic);
    c->n_diagnostics = b->n_diagnostics;
    c->n_errors = b->n_errors;
    c->build_ms = b->ms;
    c->build_cpu_ms = b->cpu_ms;
    c->build_rss_kib = b->max_rss_kib;
    c->image = b->image;
    c->image_len = b->image_len;
    b->image = NULL;
    if (b->log && b->log[0])
        c->log = vt_strndup(b->log, strnlen(b->log, LOG_KEPT));
}

static bool find_kept(struct vt_candidate *c, vt_content *store, const char *key)
{
    struct vt_buf kept;
    if (vt_content_get(store, VT_CONTENT_BUILD, key, MAX_IMAGE, &kept, NULL) != VT_OK)
        return false;
    c->image = (unsigned char *)vt_buf_take(&kept, &c->image_len);
    vt_buf_free(&kept);
    return c->is_build_stored = c->image != NULL;
}

static vt_status compile(struct vt_station *s, struct vt_candidate *c, vt_content *store, bool is_fresh, vt_err *err)
{
    struct vt_buf unit;
    struct vt_sha256 h;
    struct vt_cuda_build b = {0};
    char key[VT_SHA256_HEX];
    vt_status status = vt_cuda_candidate_unit(c->source, strlen(c->source), &unit, err);
    vt_sha256_init(&h);
    vt_hash_str(&h, "compiler", s->tier->toolchain);
    vt_hash_field(&h, "unit", unit.p ? unit.p : "", unit.len);
    vt_sha256_hex(&h, key);
    if (status == VT_OK && !(store && !is_fresh && find_kept(c, store, key))) {
        status = vt_cuda_compile(&s->compiler, unit.p, unit.len, s->tier->architecture, VT_CUDA_CANDIDATE, &b, err);
        if (status == VT_OK) {
            note_build(c, &b);
            if (store && c->image)
                (void)!vt_content_put(store, VT_CONTENT_BUILD, key, c->image, c->image_len, NULL);
        }
        vt_cuda_build_free(&b);
    }
    vt_buf_free(&unit);
    return status;
}

static void refuse(struct vt_candidate *c, vt_verdict_status how, const char *why, struct vt_stage_result *r)
{
    if (why != c->why)
        snprintf(c->why, sizeof c->why, "%s", why);
    *r = (struct vt_stage_result){.passed = false, .status = how, .is_deterministic = true};
    snprintf(r->why, sizeof r->why, "%.250s", why);
}

static vt_status judge_build(struct vt_candidate *c, const vt_task *t, struct vt_stage_result *r, vt_err *err)
{
    char why[256];
    struct vt_cubin *cubin = vt_alloc(sizeof *cubin);
    if (!cubin)
        return vt_fail(err, VT_ENOMEM, "cannot judge a candidate: out of memory");
    *r = (struct vt_stage_result){.passed = c->image != NULL, .status = VT_COMPILE_ERROR};
    if (!c->image) {
        r->is_deterministic = c->build_end == VT_CUDA_BUILD_ERROR;
        snprintf(r->why, sizeof r->why, "%.250s", c->n_diagnostics ? c->diagnostic[0].text : "the compiler gave up");
    } else if (!vt_cubin_read(c->image, c->image_len, cubin)) {
        refuse(c, VT_LOAD_ERROR, "its machine code cannot be read", r);
    } else if (!vt_cubin_fits(cubin, t, &c->plan, why)) {
        refuse(c, VT_LOAD_ERROR, why, r);
    } else {
        hash_artefact(c, cubin, r->artefact);
    }
    free(cubin);
    return VT_OK;
}

static vt_status build(struct vt_station *s, const vt_task *t, const char *source, size_t len, vt_content *store,
                       bool is_fresh, struct vt_candidate **out, struct vt_stage_result *result, vt_err *err)
{
    char why[256];
    VT_TRY(new_candidate(s->tier, source, len, out, err));
    vt_status status = vt_launch_plan_read(t, source, len, &(*out)->plan, why, err);
    if (status == VT_OK && why[0]) {
        (*out)->is_plan_refused = true;
        refuse(*out, VT_COMPILE_ERROR, why, result);
        return VT_OK;
    }
    if (status == VT_OK)
        status = compile(s, *out, store, is_fresh, err);
    if (status == VT_OK)
        status = judge_build(*out, t, result, err);
    if (status != VT_OK) {
        vt_cuda_candidate_close(*out);
        *out = NULL;
    }
    return status;
}

vt_status vt_cuda_build(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                        struct vt_stage_result *result, vt_err *err)
{
    return build(s, r->task, r->code->text, r->code->len, r->store, r->is_fresh, out, result, err);
}

vt_status vt_cuda_reference_build(struct vt_station *s, const vt_task *t, enum vt_reference which,
                                  struct vt_candidate **out, struct vt_stage_result *result, vt_err *err)
{
    struct vt_buf text;
    vt_status status = VT_OK;
    *out = NULL;
    if (which == VT_TUNED && !vt_task_cuda_tuned(t))
        return VT_OK;
    vt_buf_init(&text, 1);
    if (which == VT_BASELINE)
        status = vt_cuda_reference(t, &text, err);
    const char *source = which == VT_BASELINE ? text.p : vt_task_cuda_tuned(t);
    if (status == VT_OK)
        status = build(s, t, source, strlen(source), s->tier->images, false, out, result, err);
    if (*out)
        (*out)->is_trusted = true;
    vt_buf_free(&text);
    return status;
}

/* ---- load and calls ---- */

vt_status vt_cuda_load(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                       struct vt_stage_result *result, vt_err *err)
{
    struct vt_cuda_request r = {.op = VT_CUDA_LOAD};
    struct vt_cuda_reply reply;
    (void)is_fresh; /* loading takes a new module, and so does every call where modules have variables */
    *result = (struct vt_stage_result){.passed = true};
    c->ground = g;
    VT_TRY(vt_cuda_ask(s, g, c, &r, work_timeout_ns, &reply, err));
    if (reply.end == VT_CUDA_REFUSED)
        refuse(c, VT_LOAD_ERROR, reply.why, result);
    return VT_OK;
}

void vt_cuda_unload(struct vt_candidate *c)
{
    c->ground = NULL;
}

/* The process that held the device went while the candidate was on it. */
static void note_lost(struct vt_candidate *c, const struct vt_call *call, bool is_timeout, struct vt_check *out)
{
    *out = (struct vt_check){.end = VT_CHECK_FAULT, .is_timeout = is_timeout, .set = call->set};
    c->fault = VT_FAULT_DEVICE;
    snprintf(c->fault_why, sizeof c->fault_why, "%s",
             is_timeout ? "it did not end" : "it ended the process that held the GPU");
}

static vt_status call(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, bool is_timed,
                      struct vt_check *out, vt_err *err)
{
    struct vt_cuda_request r = {.op = VT_CUDA_CALL, .call = *call, .is_timed = is_timed};
    struct vt_cuda_reply reply;
    if (!c->ground)
        return vt_fail(err, VT_EINTERNAL, "a candidate is called that was not loaded");
    const vt_status status = vt_cuda_ask(s, c->ground, c, &r, call->deadline_ns + work_timeout_ns, &reply, err);
    if ((status == VT_EINTERNAL || status == VT_ETIMEOUT) && !c->is_trusted &&
        vt_cuda_seat_ready(&s->runner, NULL) == VT_OK) {
        note_lost(c, call, status == VT_ETIMEOUT, out);
        return VT_OK;
    }
    VT_TRY(status);
    if (reply.end == VT_CUDA_REFUSED)
        return vt_fail(err, VT_EINTERNAL, "a kernel that had loaded does not load again: %s", reply.why);
    *out = reply.check;
    c->fault = reply.fault;
    c->fault_array = reply.fault_array;
    c->fault_launch = reply.launch;
    memcpy(c->fault_why, reply.why, sizeof c->fault_why);
    return VT_OK;
}

vt_status vt_cuda_check(struct vt_station *s, struct vt_candidate *c, const struct vt_call *o, struct vt_check *out,
                        vt_err *err)
{
    return call(s, c, o, false, out, err);
}

vt_status vt_cuda_time(struct vt_station *s, struct vt_candidate *c, const struct vt_call *o, struct vt_check *out,
                       vt_err *err)
{
    return call(s, c, o, true, out, err);
}
