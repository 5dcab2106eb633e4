/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: the runner: one device, one context, requests one after another.
 *
 * It is trusted and holds the device's context; what it launches is not. A candidate that poisons the context or does
 * not end costs this process: the reply says so (is_dead), and the evaluator kills it and goes on with another that
 * stands ready. So nothing here is the only copy of anything: what a runner does not know it asks for again.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "eval/cuda/worker/state.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { CANARY_BLOCKS = 8, CANARY_THREADS = 64, PATIENCE_MS = 4000, NAP_MS = 50 };

/* ---- opening ---- */

static vt_status take_memory(struct vt_runner *r, vt_err *err)
{
    void *p = NULL;
    VT_TRY(vt_gpu_host_alloc(r->gpu, sizeof(int), &p, err));
    r->gate = p;
    VT_TRY(vt_gpu_host_alloc(r->gpu, VT_RUN_RESULTS * sizeof(uint64_t), &p, err));
    r->results = p;
    VT_TRY(vt_gpu_host_alloc(r->gpu, sizeof *r->tally, &p, err));
    r->tally = p;
    VT_TRY(vt_gpu_alloc(r->gpu, VT_RUN_RESULTS * sizeof(uint64_t), "results", &r->d_results, err));
    VT_TRY(vt_gpu_alloc(r->gpu, sizeof(struct vt_dev_tally), "tally", &r->d_tally, err));
    VT_TRY(vt_gpu_alloc(r->gpu, sizeof(struct vt_dev_sink), "sink", &r->d_sink, err));
    VT_TRY(vt_gpu_alloc(r->gpu, VT_TASK_MAX_ARRAYS * sizeof(struct vt_dev_gen), "generators", &r->d_gens, err));
    return vt_gpu_alloc(r->gpu, sizeof(struct vt_dev_margins), "margins", &r->d_margins, err);
}

static vt_status hello(struct vt_runner *r, int device, struct vt_cuda_reply *reply, vt_err *err)
{
    size_t free_bytes = 0, total = 0;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1); /* a kernel that is loaded at its launch would wait for the gate */
    VT_TRY(vt_gpu_open(device, (uint64_t)1 << 50, &r->gpu, err));
    r->cu = vt_gpu_cu(r->gpu);
    VT_TRY(vt_gpu_stream_new(r->gpu, &r->stream, err));
    VT_TRY(vt_gpu_event_new(r->gpu, true, &r->from, err));
    VT_TRY(vt_gpu_event_new(r->gpu, true, &r->to, err));
    VT_TRY(take_memory(r, err));
    if (getrandom(&r->secret, sizeof r->secret, 0) != (ssize_t)sizeof r->secret)
        return vt_fail(err, VT_EIO, "cannot draw a secret from the kernel: %s", strerror(errno));
    r->margin = (unsigned char)(1 + (r->secret >> 32) % 254);
    VT_TRY(vt_gpu_check(r->gpu, r->cu->mem_info(&free_bytes, &total), "reading the free GPU memory", err));
    const struct vt_gpu_props *p = vt_gpu_props(r->gpu);
    snprintf(reply->name, sizeof reply->name, "%s", p->name);
    snprintf(reply->uuid, sizeof reply->uuid, "%s", p->uuid);
    reply->major = p->major;
    reply->minor = p->minor;
    reply->n_sm = p->n_sm;
    reply->l2_bytes = p->l2_bytes;
    reply->smem_optin = p->smem_optin;
    reply->clock_khz = p->clock_khz;
    reply->driver = r->cu->version;
    reply->n_devices = vt_gpu_count(NULL);
    reply->bytes = p->bytes;
    reply->free_bytes = free_bytes;
    return VT_OK;
}

/* A device that does not compute what it should is no ground for verdicts. */
static vt_status sing(struct vt_runner *r, vt_err *err)
{
    enum { N = CANARY_BLOCKS * CANARY_THREADS };
    uint64_t seed = r->secret, got[N];
    vt_gpu_ptr p = 0;
    VT_TRY(vt_gpu_alloc(r->gpu, sizeof got, "canary", &p, err));
    void *args[] = {&p, &seed};
    const struct vt_gpu_grid grid = {.x = CANARY_BLOCKS, .y = 1, .z = 1, .threads = CANARY_THREADS};
    vt_status s = vt_gpu_launch(r->gpu, r->stream, r->k.canary, "the canary", &grid, args, err);
    if (s == VT_OK)
        s = vt_gpu_copy_out(r->gpu, got, p, sizeof got, r->stream, err);
    if (s == VT_OK)
        s = vt_gpu_stream_wait(r->gpu, r->stream, err);
    vt_gpu_free(r->gpu, p);
    for (uint64_t i = 0; i < N && s == VT_OK; i++) {
        uint64_t x = seed + i;
        for (int k = 0; k < 2; k++) {
            x ^= x >> 32;
            x *= 0xd6e8feb86659fd93u;
        }
        if (got[i] != (x ^ x >> 32))
            s = vt_fail(err, VT_EIO, "GPU %d (%s) computes wrong results; reset it", vt_gpu_index(r->gpu),
                        vt_gpu_props(r->gpu)->name);
    }
    return s;
}

static vt_status load_kernels(struct vt_runner *r, int fd, vt_err *err)
{
    const struct {
        const char *name;
        vt_cu_function *to;
    } all[] = {{"vt_k_rows", &r->k.rows},       {"vt_k_fill", &r->k.fill},           {"vt_k_checksum", &r->k.checksum},
               {"vt_k_poison", &r->k.poison},   {"vt_k_unwritten", &r->k.unwritten}, {"vt_k_margins", &r->k.margins},
               {"vt_k_compare", &r->k.compare}, {"vt_k_gate", &r->k.gate},           {"vt_k_copy", &r->k.copy},
               {"vt_k_canary", &r->k.canary}};
    size_t len;
    char *image = vt_cuda_worker_read(fd, &len);
    if (!image)
        return vt_fail(err, VT_ENOMEM, "out of memory for the evaluator's kernels");
    vt_status s = vt_gpu_module_load(r->gpu, image, "the evaluator's kernels", &r->k.module, err);
    for (size_t i = 0; i < sizeof all / sizeof all[0] && s == VT_OK; i++)
        s = vt_gpu_kernel(r->gpu, r->k.module, all[i].name, 0, all[i].to, err);
    free(image);
    return s == VT_OK ? sing(r, err) : s;
}

/* ---- grounds and candidates ---- */

static struct vt_run_ground **find_ground(struct vt_runner *r, uint64_t id)
{
    for (int i = 0; i < VT_RUN_GROUNDS; i++)
        if (r->ground[i] && r->ground[i]->id == id) {
            r->ground[i]->used = ++r->clock;
            return &r->ground[i];
        }
    return NULL;
}

static struct vt_run_code **find_code(struct vt_runner *r, uint64_t id)
{
    for (int i = 0; i < VT_RUN_CODES; i++)
        if (r->code[i] && r->code[i]->id == id) {
            r->code[i]->used = ++r->clock;
            return &r->code[i];
        }
    return NULL;
}

/* False: there was none to push out. */
static bool drop_ground(struct vt_runner *r)
{
    struct vt_run_ground **oldest = NULL;
    for (int i = 0; i < VT_RUN_GROUNDS; i++)
        if (r->ground[i] && (!oldest || r->ground[i]->used < (*oldest)->used))
            oldest = &r->ground[i];
    if (!oldest)
        return false;
    vt_run_ground_free(r, *oldest);
    *oldest = NULL;
    return true;
}

/* Others are pushed out until it fits. A runner that was killed a moment ago may still hold memory: patience. */
static vt_status add_ground(struct vt_runner *r, const struct vt_cuda_request *q, const int fds[3],
                            struct vt_cuda_reply *reply, vt_err *err)
{
    size_t json_len, reference_len, truth_len;
    char *json = vt_cuda_worker_read(fds[0], &json_len), *reference = vt_cuda_worker_read(fds[1], &reference_len),
         *truth = vt_cuda_worker_read(fds[2], &truth_len);
    struct vt_run_ground *g = NULL, **to = NULL;
    vt_status s = json && reference && truth ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a task");
    const uint64_t until = vt_now_ns() + (uint64_t)PATIENCE_MS * 1000000;
    while (s == VT_OK) {
        s = vt_run_ground_make(r, q, json, json_len, reference, truth, &g, err);
        if (s != VT_ENOMEM)
            break;
        if (drop_ground(r)) {
            s = VT_OK;
        } else if (vt_now_ns() < until) {
            vt_sleep_ms(NAP_MS);
            s = VT_OK;
        }
    }
    for (int i = 0; i < VT_RUN_GROUNDS && !to; i++)
        to = r->ground[i] ? NULL : &r->ground[i];
    if (s == VT_OK && !to) {
        drop_ground(r);
        for (int i = 0; i < VT_RUN_GROUNDS && !to; i++)
            to = r->ground[i] ? NULL : &r->ground[i];
    }
    if (s == VT_OK) {
        g->used = ++r->clock;
        reply->ground_bytes = g->bytes;
        *to = g;
    }
    free(json);
    free(reference);
    free(truth);
    return s;
}

static void code_free(struct vt_runner *r, struct vt_run_code *c)
{
    if (!c)
        return;
    vt_run_unload(r, c);
    vt_launch_plan_free(&c->plan);
    free(c->image);
    free(c);
}

/* The plan is read when the code first meets a ground: it names the arrays of a task. */
static vt_status add_code(struct vt_runner *r, const struct vt_cuda_request *q, const int fds[2], vt_err *err)
{
    struct vt_run_code **to = &r->code[0], *c = vt_alloc(sizeof *c);
    struct vt_run_ground **g = find_ground(r, q->ground);
    size_t len, source_len;
    char why[256];
    char *image = vt_cuda_worker_read(fds[0], &len), *source = vt_cuda_worker_read(fds[1], &source_len);
    vt_status s = c && image && source && g ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a candidate");
    if (s == VT_OK)
        s = vt_launch_plan_read((*g)->task, source, source_len, &c->plan, why, err);
    if (s == VT_OK && why[0])
        s = vt_fail(err, VT_EINTERNAL, "a launch plan that could be read cannot be read: %s", why);
    free(source);
    if (s != VT_OK) {
        free(image);
        free(c);
        return s;
    }
    c->id = q->code;
    c->is_trusted = q->is_trusted_code;
    c->image = (unsigned char *)image;
    c->image_len = len;
    c->used = ++r->clock;
    for (int i = 0; i < VT_RUN_CODES; i++) {
        if (!r->code[i]) {
            to = &r->code[i];
            break;
        }
        to = r->code[i]->used < (*to)->used ? &r->code[i] : to;
    }
    code_free(r, *to);
    *to = c;
    return VT_OK;
}

/* ---- requests ---- */

static vt_status use(struct vt_runner *r, const struct vt_cuda_request *q, struct vt_cuda_reply *reply, vt_err *err)
{
    struct vt_run_ground **g = find_ground(r, q->ground);
    struct vt_run_code **c = find_code(r, q->code);
    if (!g || !c) {
        reply->end = g ? VT_CUDA_NEED_CODE : VT_CUDA_NEED_GROUND;
        return VT_OK;
    }
    if (q->op == VT_CUDA_LOAD || (*c)->ground != (*g)->id || !(*c)->module) {
        VT_TRY(vt_run_load(r, *c, *g, reply->why, err));
        if (reply->why[0]) {
            reply->end = VT_CUDA_REFUSED;
            return VT_OK;
        }
    }
    return q->op == VT_CUDA_LOAD ? VT_OK : vt_run_call(r, *c, *g, q, reply, err);
}

static vt_status serve(struct vt_runner *r, const struct vt_cuda_request *q, const int *fds, int n_fds,
                       struct vt_cuda_reply *reply, vt_err *err)
{
    switch (q->op) {
    case VT_CUDA_HELLO:
        return hello(r, q->device, reply, err);
    case VT_CUDA_KERNELS:
        return n_fds == 1 ? load_kernels(r, fds[0], err) : VT_EINVAL;
    case VT_CUDA_GROUND:
        return n_fds == 3 ? add_ground(r, q, fds, reply, err) : VT_EINVAL;
    case VT_CUDA_CODE:
        return n_fds == 2 ? add_code(r, q, fds, err) : VT_EINVAL;
    case VT_CUDA_LOAD:
    case VT_CUDA_CALL:
        return use(r, q, reply, err);
    case VT_CUDA_PEAK:
        return vt_run_peak(r, &reply->peak_bytes_per_s, err);
    case VT_CUDA_COMPILE:
        break;
    }
    return vt_fail(err, VT_EINVAL, "a runner does not compile");
}

int vt_cuda_worker_run(void)
{
    static struct vt_runner r;
    static struct vt_cuda_request q;
    static struct vt_cuda_reply reply;
    int fds[VT_CUDA_MAX_FDS], n_fds;
    while (vt_cuda_worker_next(&q, fds, &n_fds)) {
        vt_err err = {0};
        memset(&reply, 0, sizeof reply);
        const vt_status s = serve(&r, &q, fds, n_fds, &reply, &err);
        vt_cuda_worker_close(fds, n_fds);
        if (s != VT_OK) {
            reply.end = VT_CUDA_FAILED;
            reply.status = s;
            snprintf(reply.why, sizeof reply.why, "%.300s", err.msg);
        }
        reply.is_dead |= r.gpu && vt_gpu_is_dead(r.gpu);
        if (!vt_cuda_worker_answer(&reply))
            break;
    }
    return 0; /* the driver gives back what the process holds */
}
