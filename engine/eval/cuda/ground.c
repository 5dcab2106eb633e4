/* SPDX-License-Identifier: Apache-2.0
 *
 * ground.c: a task made ready for the cuda tier, on this side: its text and the image of its truth. The arrays are the
 * runner's, which makes them when it is told of the ground and again after it was replaced.
 */
#include "base/alloc.h"
#include "eval/cuda/parts.h"
#include "eval/cuda/reference.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t ground_timeout_ns = 60000000000u, peak_timeout_ns = 20000000000u;
/* Arithmetic that a multiprocessor's tensor cores do in a cycle at most, sparse and eight-bit products apart. */
static const double flops_per_clock = 8192;

void vt_cuda_ground_close(struct vt_ground *g)
{
    free(g->reference);
    free(g->truth);
    free(g);
}

static vt_status send_ground(struct vt_station *s, struct vt_ground *g, size_t *bytes, vt_err *err)
{
    struct vt_cuda_reply reply;
    struct vt_cuda_request r = {.op = VT_CUDA_GROUND,
                                .ground = g->id,
                                .key = g->pool->key,
                                .n_sets = (unsigned)g->pool->n_sets,
                                .n_timed = (unsigned)g->pool->n_timed};
    const char *json = vt_task_json(g->pool->task);
    memcpy(r.scale, g->pool->scale, sizeof r.scale);
    for (size_t i = 0; i < g->pool->n_sets; i++) {
        r.set[i].is_hidden = strcmp(g->pool->set[i].scale, g->pool->scale) != 0;
        r.set[i].dist = g->pool->set[i].dist;
    }
    const int fds[3] = {vt_cuda_file(json, strlen(json)), vt_cuda_file(g->reference, strlen(g->reference)),
                        vt_cuda_file(g->truth, g->truth_len)};
    vt_status status = vt_cuda_seat_ask(&s->runner, &r, fds, 3, ground_timeout_ns, &reply, err);
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    VT_TRY(status);
    if (bytes)
        *bytes = reply.ground_bytes;
    return reply.end == VT_CUDA_DONE ? VT_OK : vt_fail(err, reply.status, "%s", reply.why);
}

static vt_status send_code(struct vt_station *s, const struct vt_ground *g, const struct vt_candidate *c, vt_err *err)
{
    struct vt_cuda_reply reply;
    const struct vt_cuda_request r = {
        .op = VT_CUDA_CODE, .ground = g->id, .code = c->id, .is_trusted_code = c->is_trusted};
    const int fds[2] = {vt_cuda_file(c->image, c->image_len), vt_cuda_file(c->source, strlen(c->source))};
    vt_status status = vt_cuda_seat_ask(&s->runner, &r, fds, 2, ground_timeout_ns, &reply, err);
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    VT_TRY(status);
    return reply.end == VT_CUDA_DONE ? VT_OK : vt_fail(err, reply.status, "%s", reply.why);
}

vt_status vt_cuda_ask(struct vt_station *s, struct vt_ground *g, const struct vt_candidate *c,
                      struct vt_cuda_request *r, uint64_t timeout_ns, struct vt_cuda_reply *reply, vt_err *err)
{
    enum { MAX_ROUNDS = 6 };
    r->ground = g->id;
    r->code = c->id;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        VT_TRY(vt_cuda_seat_ask(&s->runner, r, NULL, 0, timeout_ns, reply, err));
        if (reply->end == VT_CUDA_NEED_GROUND)
            VT_TRY(send_ground(s, g, NULL, err));
        else if (reply->end == VT_CUDA_NEED_CODE)
            VT_TRY(send_code(s, g, c, err));
        else
            return reply->end == VT_CUDA_FAILED ? vt_fail(err, reply->status, "%s", reply->why) : VT_OK;
    }
    return vt_fail(err, VT_EINTERNAL, "a GPU's runner keeps forgetting what it is told");
}

static vt_status measure_peak(struct vt_station *s, vt_err *err)
{
    struct vt_cuda_reply reply;
    const struct vt_cuda_request r = {.op = VT_CUDA_PEAK};
    struct vt_tier *t = s->tier;
    pthread_mutex_lock(&t->floor_lock);
    vt_status status = VT_OK;
    if (t->peak <= 0) {
        status = vt_cuda_seat_ask(&s->runner, &r, NULL, 0, peak_timeout_ns, &reply, err);
        if (status == VT_OK && reply.end != VT_CUDA_DONE)
            status = vt_fail(err, reply.status, "%s", reply.why);
        if (status == VT_OK)
            t->peak = reply.peak_bytes_per_s;
    }
    pthread_mutex_unlock(&t->floor_lock);
    return status;
}

static vt_status make_truth(struct vt_station *s, struct vt_ground *g, vt_err *err)
{
    const vt_task *t = g->pool->task;
    struct vt_buf unit;
    struct vt_launch_plan plan;
    char why[256];
    vt_status status = vt_launch_plan_read(t, g->reference, strlen(g->reference), &plan, why, err);
    if (status == VT_OK && why[0])
        status = vt_fail(err, VT_EFORMAT, "task %s, its CUDA text: %s", vt_task_name(t), why);
    if (status == VT_OK) {
        status = vt_cuda_truth_unit(t, g->reference, &plan, &unit, err);
        if (status == VT_OK)
            status = vt_cuda_image(s, &unit, "the truth of a task", &g->truth, &g->truth_len, err);
        vt_buf_free(&unit);
    }
    vt_launch_plan_free(&plan);
    return status;
}

vt_status vt_cuda_ground_open(struct vt_station *s, const struct vt_pool *pool, struct vt_ground **out, size_t *bytes,
                              vt_err *err)
{
    struct vt_buf text;
    vt_layout layout;
    *out = NULL;
    for (size_t i = 0; i < vt_task_n_arrays(pool->task); i++)
        if (vt_task_array(pool->task, i)->role == VT_STATE)
            return vt_fail(err, VT_EUNSUPPORTED, "task %s changes an array in place; the cuda tier has no such tasks",
                           vt_task_name(pool->task));
    VT_TRY(measure_peak(s, err));
    struct vt_ground *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "cannot prepare task %s: out of memory", vt_task_name(pool->task));
    g->tier = s->tier;
    g->pool = pool;
    g->id = atomic_fetch_add(&s->tier->next_id, 1);
    vt_status status = vt_cuda_reference(pool->task, &text, err);
    if (status == VT_OK && !(g->reference = vt_buf_take(&text, NULL)))
        status = vt_fail(err, VT_ENOMEM, "cannot prepare task %s: out of memory", vt_task_name(pool->task));
    vt_buf_free(&text);
    if (status == VT_OK)
        status = vt_task_layout(pool->task, pool->scale, &layout, err);
    g->floor_bytes = status == VT_OK ? (double)layout.bytes_moved : 0;
    g->floor_flops = status == VT_OK ? (double)layout.flops : 0;
    if (status == VT_OK)
        status = make_truth(s, g, err);
    if (status == VT_OK)
        status = send_ground(s, g, bytes, err);
    if (status != VT_OK) {
        vt_cuda_ground_close(g);
        return status;
    }
    *out = g;
    return VT_OK;
}

/* The larger of moving the bytes that a cold cache must move, less what may stay in the cache, and of the arithmetic.
 */
double vt_cuda_floor_ns(const struct vt_ground *g)
{
    const struct vt_cuda_device *d = &g->tier->device;
    const double bytes = g->floor_bytes - (double)d->l2_bytes,
                 by_bytes = g->tier->peak > 0 && bytes > 0 ? 0.97 * bytes / g->tier->peak * 1e9 : 0,
                 flops = (double)d->n_sm * (double)d->clock_khz * 1e3 * flops_per_clock,
                 by_flops = flops > 0 ? g->floor_flops / flops * 1e9 : 0;
    return by_bytes > by_flops ? by_bytes : by_flops;
}
