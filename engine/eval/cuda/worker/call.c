/* SPDX-License-Identifier: Apache-2.0
 *
 * call.c: one call of a candidate.
 *
 *   inputs there? · a new module if it has variables · outputs moved, margins and poison written · [caches emptied] ·
 *   [gate] event, launches, event · what the driver says · margins · checksums of the inputs · comparison
 *
 * The driver's word is asked before anything is read, because a launch that failed leaves an output of another time.
 * The module of a candidate that has variables is loaded again for every call, so that none of them remembers an
 * earlier one; its scratch is poisoned. A timed call stands behind a gate that is opened once everything is queued: the
 * time between the events is then the device's alone. A call that does not end is not waited for: the process answers
 * and is killed.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "eval/cuda/worker/state.h"
#include "eval/task_parts.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RESULT_MARGIN = 24, RESULT_DIGEST = 12, RESULT_UNWRITTEN = 25, SPIN_NS = 300000, NAP_NS = 50000 };
static const uint64_t gate_limit_ns = 200000000, fault_grace_ns = 1000000000;

/* ---- loading ---- */

void vt_run_unload(struct vt_runner *r, struct vt_run_code *c)
{
    vt_gpu_module_free(r->gpu, c->module);
    c->module = NULL;
}

static vt_status load_module(struct vt_runner *r, struct vt_run_code *c, vt_err *err)
{
    static struct vt_cubin cubin;
    VT_TRY(vt_gpu_module_load(r->gpu, c->image, "the code", &c->module, err));
    if (!vt_cubin_read(c->image, c->image_len, &cubin))
        return vt_fail(err, VT_EINTERNAL, "machine code that was read before cannot be read again");
    c->has_variables = cubin.has_variables;
    for (unsigned i = 0; i < c->plan.n_launches; i++) {
        const struct vt_cubin_kernel *k = vt_cubin_find(&cubin, c->plan.launch[i].kernel);
        if (!k)
            return vt_fail(err, VT_EINTERNAL, "a kernel that was there is not any more");
        const unsigned a = c->sizes[0].launch[i].smem, b = c->sizes[1].launch[i].smem;
        VT_TRY(vt_gpu_kernel(r->gpu, c->module, k->name, a > b ? a : b, &c->function[i], err));
    }
    return VT_OK;
}

vt_status vt_run_load(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g, char why[VT_CUDA_WHY],
                      vt_err *err)
{
    char said[256] = "";
    size_t free_bytes = 0, total = 0;
    vt_err own = {0};
    why[0] = '\0';
    vt_run_unload(r, c);
    c->ground = g->id;
    memset(c->judged, 0, sizeof c->judged);
    memset(&c->sizes[1], 0, sizeof c->sizes[1]);
    bool ok = vt_launch_plan_at(&c->plan, g->task, g->scale, &c->sizes[0], said) &&
              (g->layout[1].n_arrays == 0 || vt_launch_plan_at(&c->plan, g->task, "hidden", &c->sizes[1], said));
    if (ok) {
        VT_TRY(vt_gpu_check(r->gpu, r->cu->mem_info(&free_bytes, &total), "reading the free GPU memory", err));
        size_t have = 0;
        for (unsigned i = 0; i < VT_PLAN_MAX_SCRATCH; i++)
            have += r->scratch_bytes[i];
        if (c->sizes[0].scratch_total > have + free_bytes) {
            snprintf(said, sizeof said, "the scratches take %.1f GB; %.1f GB of GPU memory are free",
                     (double)c->sizes[0].scratch_total / 1e9, (double)(have + free_bytes) / 1e9);
            ok = false;
        }
    }
    for (unsigned i = 0; ok && i < c->plan.n_launches; i++)
        if (c->sizes[0].launch[i].smem > (unsigned)vt_gpu_props(r->gpu)->smem_optin) {
            snprintf(said, sizeof said, "line %u of the launch plan: smem is %u bytes; a block has at most %d here",
                     c->plan.launch[i].line, c->sizes[0].launch[i].smem, vt_gpu_props(r->gpu)->smem_optin);
            ok = false;
        }
    if (ok && load_module(r, c, &own) != VT_OK) {
        if (vt_gpu_is_dead(r->gpu)) {
            *err = own;
            return VT_EIO;
        }
        snprintf(said, sizeof said, "%.250s", own.msg);
        ok = false;
    }
    if (!ok)
        snprintf(why, VT_CUDA_WHY, "%s", said);
    return VT_OK;
}

/* ---- before ---- */

static vt_status poison(struct vt_runner *r, vt_gpu_ptr p, size_t bytes, uint64_t pattern, vt_err *err)
{
    long long n = (long long)bytes;
    void *args[] = {&p, &n, &pattern};
    return vt_run_launch(r, r->k.poison, "poison", n / 8, args, err);
}

/* A NaN in either half, another one each time. */
static uint64_t poison_of(uint64_t random)
{
    return 0x7fc000007fc00000ull | (random & 0x003fffff003fffffull);
}

static vt_status ready_memory(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g, size_t set,
                              uint64_t random, vt_err *err)
{
    const vt_layout *l = vt_run_layout(g, set);
    const int hidden = g->set[set].is_hidden;
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++) {
        if (!vt_role_is_output(vt_task_array(g->task, i)->role))
            continue;
        VT_TRY(vt_run_place(r, &g->out[i], l->array[i].bytes, vt_seed_mix(random, i), err));
        VT_TRY(poison(r, g->out[i].data, g->out[i].bytes, poison_of(random), err));
    }
    for (unsigned i = 0; i < c->plan.n_scratch; i++) {
        const size_t bytes = c->sizes[hidden].scratch[i];
        VT_TRY(vt_run_grow(r, &r->scratch[i], &r->scratch_bytes[i], (bytes + 255) / 256 * 256, "scratch", err));
        VT_TRY(poison(r, r->scratch[i], bytes, ~poison_of(random), err));
    }
    return VT_OK;
}

/* What the last call left in the device's cache must not serve this one. Large arrays do that by themselves. */
static vt_status empty_caches(struct vt_runner *r, const vt_layout *l, vt_err *err)
{
    static int (*reset)(void);
    static bool is_looked_for;
    const size_t cache = (size_t)vt_gpu_props(r->gpu)->l2_bytes;
    if (!is_looked_for) {
        void *address = dlsym(RTLD_DEFAULT, "cuCtxResetPersistingL2Cache");
        memcpy(&reset, &address, sizeof reset);
        is_looked_for = true;
    }
    if (reset)
        (void)reset();
    if (l->total_bytes > 8 * cache)
        return VT_OK;
    VT_TRY(vt_run_grow(r, &r->flush, &r->flush_bytes, 2 * cache + 256, "cache flush", err));
    return poison(r, r->flush, 2 * cache, r->clock, err);
}

/* ---- the call ---- */

static vt_cu_result launch_all(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g, size_t set,
                               const struct vt_run_slot *slot, unsigned *which)
{
    const vt_task *t = g->task;
    const int hidden = g->set[set].is_hidden;
    for (unsigned i = 0; i < c->plan.n_launches; i++) {
        const struct vt_plan_launch *l = &c->plan.launch[i];
        const struct vt_launch_sizes *n = &c->sizes[hidden].launch[i];
        uint64_t value[VT_CUBIN_MAX_PARAMS] = {0};
        void *args[VT_CUBIN_MAX_PARAMS];
        for (unsigned k = 0; k < VT_CUBIN_MAX_PARAMS; k++)
            args[k] = &value[k];
        for (unsigned k = 0; k < l->n_args; k++) {
            const unsigned at = l->arg[k].index;
            if (l->arg[k].kind == VT_ARG_ARRAY)
                value[k] = vt_role_is_output(vt_task_array(t, at)->role) ? g->out[at].data : slot->in[at].data;
            else if (l->arg[k].kind == VT_ARG_SCRATCH)
                value[k] = r->scratch[at];
            else if (l->arg[k].kind == VT_ARG_SIZE)
                memcpy(&value[k], &g->layout[hidden].size[at], sizeof(int32_t));
            else if (t->scalar[at].is_int)
                memcpy(&value[k], &(int){(int)t->scalar[at].value}, sizeof(int));
            else
                memcpy(&value[k], &(float){(float)t->scalar[at].value}, sizeof(float));
        }
        const struct vt_cu_launch launch = {.grid = {n->grid[0], n->grid[1], n->grid[2]},
                                            .block = {n->block[0], n->block[1], n->block[2]},
                                            .smem = n->smem,
                                            .stream = r->stream};
        *which = i;
        const vt_cu_result result = r->cu->launch(&launch, c->function[i], args, NULL);
        if (result != VT_CU_OK)
            return result;
    }
    return VT_CU_OK;
}

/* NOT_READY: the deadline came first. */
static vt_cu_result wait_until(struct vt_runner *r, uint64_t deadline_ns)
{
    const uint64_t from = vt_now_ns();
    for (;;) {
        const vt_cu_result result = r->cu->event_query(r->to);
        const uint64_t spent = vt_now_ns() - from;
        /* A fault is told late (the driver looks at it for most of a second): what ends behind the deadline with one
         * is a fault, what ends well is too late all the same. */
        if (result != VT_CU_NOT_READY)
            return result == VT_CU_OK && spent > deadline_ns ? VT_CU_NOT_READY : result;
        if (spent > deadline_ns + fault_grace_ns)
            return result;
        if (spent > SPIN_NS)
            nanosleep(&(struct timespec){0, NAP_NS}, NULL);
    }
}

static void note_fault(struct vt_runner *r, vt_cu_result result, bool is_launch, unsigned which,
                       struct vt_cuda_reply *reply)
{
    vt_err said = {0};
    reply->check.end = VT_CHECK_FAULT;
    reply->launch = which;
    reply->fault = is_launch ? VT_FAULT_LAUNCH : VT_FAULT_DEVICE;
    if (result == VT_CU_NOT_READY) {
        reply->check.is_timeout = true;
        reply->is_dead = true;
        return;
    }
    if (vt_gpu_check(r->gpu, result, is_launch ? "the launch was refused" : "while it ran", &said) == VT_OK)
        return;
    snprintf(reply->why, sizeof reply->why, "%.300s", said.msg);
    reply->is_dead = vt_gpu_is_dead(r->gpu) || !is_launch;
}

/* Runs it once. False: it ended badly, and the reply says how. */
static vt_status run(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g,
                     const struct vt_run_slot *slot, const struct vt_cuda_request *q, struct vt_cuda_reply *reply,
                     bool *ran, vt_err *err)
{
    unsigned which = 0;
    float ms = 0;
    *ran = false;
    if (q->is_timed)
        VT_TRY(empty_caches(r, vt_run_layout(g, q->call.set), err));
    VT_TRY(
        vt_gpu_stream_wait(r->gpu, r->stream, err)); /* ours has worked: what fails from here on is the candidate's */
    *r->gate = !q->is_timed;
    if (q->is_timed) {
        const void *gate = (const void *)(uintptr_t)r->gate;
        void *args[] = {&gate, (void *)(uintptr_t)&gate_limit_ns};
        const struct vt_gpu_grid one = {1, 1, 1, 1, 0, 0, false};
        VT_TRY(vt_gpu_launch(r->gpu, r->stream, r->k.gate, "the gate", &one, args, err));
    }
    VT_TRY(vt_gpu_event_record(r->gpu, r->from, r->stream, err));
    const vt_cu_result launched = launch_all(r, c, g, q->call.set, slot, &which);
    const vt_status recorded = vt_gpu_event_record(r->gpu, r->to, r->stream, err);
    *r->gate = 1;
    if (launched != VT_CU_OK) {
        note_fault(r, launched, true, which, reply);
        return VT_OK;
    }
    VT_TRY(recorded);
    const vt_cu_result ended = wait_until(r, q->call.deadline_ns);
    if (ended != VT_CU_OK) {
        note_fault(r, ended, false, which, reply);
        return VT_OK;
    }
    VT_TRY(vt_gpu_event_ms(r->gpu, r->from, r->to, &ms, err));
    reply->check.ns = (uint64_t)((double)ms * 1e6);
    *ran = true;
    return VT_OK;
}

/* ---- after ---- */

static vt_status look_at_memory(struct vt_runner *r, struct vt_run_ground *g, const struct vt_run_slot *slot,
                                vt_err *err)
{
    struct vt_dev_margins m = {.n = 0};
    vt_gpu_ptr found = r->d_results + RESULT_MARGIN * sizeof(uint64_t);
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++) {
        const bool is_out = vt_role_is_output(vt_task_array(g->task, i)->role);
        const struct vt_run_block *b = is_out ? &g->out[i] : &slot->in[i];
        m.value[m.n] = m.value[m.n + 1] = b->margin;
        m.from[m.n] = b->base;
        m.len[m.n++] = b->data - b->base;
        m.from[m.n] = b->data + b->bytes;
        m.len[m.n++] = b->guard;
        VT_TRY(vt_run_checksum(r, b->data, b->bytes, (unsigned)i + (is_out ? RESULT_DIGEST : 0), err));
    }
    VT_TRY(vt_gpu_copy_in(r->gpu, r->d_margins, &m, sizeof m, r->stream, err));
    VT_TRY(vt_gpu_fill(r->gpu, found, 0, sizeof(uint64_t), r->stream, err));
    void *args[] = {&r->d_margins, &found};
    const struct vt_gpu_grid grid = {.x = (unsigned)m.n, .y = 1, .z = 1, .threads = 1024};
    VT_TRY(vt_gpu_launch(r->gpu, r->stream, r->k.margins, "the margins", &grid, args, err));
    return vt_run_fetch(r, err);
}

/* Did it keep to its outputs? */
static bool kept_bounds(struct vt_runner *r, struct vt_run_ground *g, struct vt_run_slot *slot,
                        struct vt_cuda_reply *reply)
{
    const uint64_t margin = r->results[RESULT_MARGIN];
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++)
        if (!vt_role_is_output(vt_task_array(g->task, i)->role) && r->results[i] != slot->sum[i]) {
            reply->check.end = VT_CHECK_FAULT;
            reply->fault = VT_FAULT_INPUT;
            reply->fault_array = (int)i;
            slot->set = -1; /* made again when it is wanted */
            return false;
        }
    if (!margin)
        return true;
    reply->check.array = (size_t)(margin - 1) / 2;
    reply->check.is_before = (margin - 1) % 2 == 0;
    reply->check.end = VT_CHECK_OVERRUN;
    if (!vt_role_is_output(vt_task_array(g->task, reply->check.array)->role))
        slot->set = -1;
    return false;
}

static vt_status count_unwritten(struct vt_runner *r, struct vt_run_ground *g, uint64_t random, int64_t *n, vt_err *err)
{
    uint64_t pattern = poison_of(random);
    vt_gpu_ptr to = r->d_results + RESULT_UNWRITTEN * sizeof(uint64_t);
    VT_TRY(vt_gpu_fill(r->gpu, to, 0, sizeof(uint64_t), r->stream, err));
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++) {
        if (!vt_role_is_output(vt_task_array(g->task, i)->role))
            continue;
        long long size = (long long)vt_dtype_size(vt_task_array(g->task, i)->dtype);
        long long elements = (long long)g->out[i].bytes / size;
        void *args[] = {&g->out[i].data, &elements, &size, &pattern, &to};
        VT_TRY(vt_run_launch(r, r->k.unwritten, "counting", elements, args, err));
    }
    VT_TRY(vt_run_fetch(r, err));
    *n = (int64_t)r->results[RESULT_UNWRITTEN];
    return VT_OK;
}

static vt_status judge(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g, const struct vt_call *call,
                       struct vt_run_slot *slot, struct vt_cuda_reply *reply, vt_err *err)
{
    struct vt_run_judged *known = &c->judged[call->set];
    struct vt_check *out = &reply->check;
    out->digest = 0;
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++)
        out->digest = vt_seed_mix(out->digest, r->results[RESULT_DIGEST + i]);
    /* The same bits as outputs that were right: right. The checksum's key is not the candidate's to know. */
    if (call->against == call->set && known->is_known && known->digest == out->digest) {
        out->end = VT_CHECK_RIGHT;
        out->compare = known->compare;
        return VT_OK;
    }
    if (call->against != call->set)
        VT_TRY(vt_run_inputs(r, g, call->against, &slot, err));
    VT_TRY(vt_run_compare(r, g, call->against, slot, &out->compare, err));
    out->end = out->compare.n_wrong ? VT_CHECK_WRONG : VT_CHECK_RIGHT;
    if (out->end == VT_CHECK_WRONG)
        return count_unwritten(r, g, call->random, &out->n_unwritten, err);
    if (call->against == call->set)
        *known = (struct vt_run_judged){true, out->digest, out->compare};
    return VT_OK;
}

vt_status vt_run_call(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g,
                      const struct vt_cuda_request *q, struct vt_cuda_reply *reply, vt_err *err)
{
    struct vt_run_slot *slot;
    bool ran;
    reply->check = (struct vt_check){.end = VT_CHECK_RIGHT, .set = q->call.set};
    VT_TRY(vt_run_inputs(r, g, q->call.set, &slot, err));
    if (!c->module || (c->has_variables && !c->is_trusted)) {
        vt_run_unload(r, c);
        VT_TRY(load_module(r, c, err));
    }
    VT_TRY(ready_memory(r, c, g, q->call.set, q->call.random, err));
    VT_TRY(run(r, c, g, slot, q, reply, &ran, err));
    if (!ran || (q->is_timed && q->call.is_trusted))
        return VT_OK;
    VT_TRY(look_at_memory(r, g, slot, err));
    return kept_bounds(r, g, slot, reply) ? judge(r, c, g, &q->call, slot, reply, err) : VT_OK;
}

/* ---- what memory gives at most ---- */

vt_status vt_run_peak(struct vt_runner *r, double *bytes_per_s, vt_err *err)
{
    enum { TRIES = 8 };
    const size_t bytes = 16 * (size_t)vt_gpu_props(r->gpu)->l2_bytes;
    long long n = (long long)(bytes / 16);
    vt_gpu_ptr from = 0, to = 0;
    float ms = 0, best = INFINITY;
    vt_status s = vt_gpu_alloc(r->gpu, bytes, "measuring memory", &from, err);
    if (s == VT_OK)
        s = vt_gpu_alloc(r->gpu, bytes, "measuring memory", &to, err);
    for (int i = 0; i < TRIES && s == VT_OK; i++) {
        void *args[] = {&to, &from, &n};
        s = vt_gpu_event_record(r->gpu, r->from, r->stream, err);
        const struct vt_gpu_grid grid = {.x = (unsigned)(n / 256), .y = 1, .z = 1, .threads = 256};
        if (s == VT_OK)
            s = vt_gpu_launch(r->gpu, r->stream, r->k.copy, "a copy", &grid, args, err);
        if (s == VT_OK)
            s = vt_gpu_event_record(r->gpu, r->to, r->stream, err);
        if (s == VT_OK)
            s = vt_gpu_event_wait(r->gpu, r->to, err);
        if (s == VT_OK)
            s = vt_gpu_event_ms(r->gpu, r->from, r->to, &ms, err);
        best = ms > 0 && ms < best ? ms : best;
    }
    vt_gpu_free(r->gpu, from);
    vt_gpu_free(r->gpu, to);
    *bytes_per_s = isfinite(best) ? 2 * (double)bytes / ((double)best * 1e-3) : 0;
    return s;
}
