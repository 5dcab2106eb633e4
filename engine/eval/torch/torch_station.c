/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_station.c: the Pythons of a lane: the judge (trusted: inputs, truth, comparison), the workers with the
 * candidate and with the baseline, and a spare that has imported torch and opened its device, so that the next
 * candidate waits for neither. A process that fails is ended, and started again when it is wanted.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "eval/torch/parts.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t start_timeout_ns = 120000000000u, judge_timeout_ns = 300000000000u;

/* ---- processes ---- */

vt_json *vt_torch_request(const char *op)
{
    vt_json *q = vt_json_object();
    vt_json_put_str(q, "op", op);
    return q;
}

static vt_status hello(struct vt_torch_process *p, vt_json **reply, vt_err *err)
{
    vt_status s = vt_torch_receive(p, start_timeout_ns, reply, NULL, NULL);
    if (s == VT_OK)
        return VT_OK;
    const char *python = getenv("VEGTTT_PYTHON") ? getenv("VEGTTT_PYTHON") : "python3";
    return vt_fail(err, VT_EUNSUPPORTED,
                   "the torch tier needs a Python with torch, and %s is none; name one in VEGTTT_PYTHON", python);
}

/* Started and asked; the answer is read when it is needed. */
static vt_status start(const char *mode, int device, struct vt_torch_process *out, vt_err *err)
{
    vt_json *q = vt_torch_request("hello");
    vt_status s = vt_torch_process_start(mode, device, out, err);
    if (s == VT_OK)
        s = vt_torch_send(out, q, err);
    vt_json_free(q);
    return s;
}

static void replace(struct vt_station *s, struct vt_torch_process *which, const struct vt_torch_process *by)
{
    pthread_mutex_lock(&s->lock);
    vt_torch_process_end(which);
    *which = *by;
    if (s->is_cancelled)
        vt_torch_process_stop(which);
    pthread_mutex_unlock(&s->lock);
}

static const struct vt_torch_process none = {.socket = -1};

void vt_torch_end_worker(struct vt_station *s, int which)
{
    replace(s, &s->worker[which], &none);
    s->loaded[which] = 0;
}

static void start_spare(struct vt_station *s)
{
    struct vt_torch_process p;
    if (start("run", s->device, &p, NULL) == VT_OK)
        replace(s, &s->spare, &p);
    else
        vt_torch_process_end(&p);
}

vt_status vt_torch_new_worker(struct vt_station *s, int which, vt_err *err)
{
    vt_json *reply = NULL;
    vt_torch_end_worker(s, which);
    if (s->spare.pid <= 0)
        start_spare(s);
    pthread_mutex_lock(&s->lock);
    s->worker[which] = s->spare;
    s->spare = none;
    const bool is_cancelled = s->is_cancelled;
    pthread_mutex_unlock(&s->lock);
    if (is_cancelled)
        return vt_fail(err, VT_ECANCELLED, "the evaluator is being closed");
    VT_TRY(hello(&s->worker[which], &reply, err));
    vt_json_free(reply);
    start_spare(s);
    return VT_OK;
}

static vt_status exchange(struct vt_torch_process *p, vt_json *q, vt_json **reply, uint64_t *ns, vt_err *err)
{
    VT_TRY(vt_torch_send(p, q, err));
    VT_TRY(vt_torch_receive(p, judge_timeout_ns, reply, ns, err));
    const char *error = vt_json_str(vt_json_get(*reply, "error"), NULL);
    vt_status s = error ? vt_fail(err, VT_EFORMAT, "the problem file cannot be used: %.400s", error) : VT_OK;
    if (error) {
        vt_json_free(*reply);
        *reply = NULL;
    }
    return s;
}

vt_status vt_torch_look(vt_json **reply, vt_err *err)
{
    struct vt_torch_process p;
    *reply = NULL;
    vt_status s = start("judge", -1, &p, err);
    if (s == VT_OK)
        s = hello(&p, reply, err);
    vt_torch_process_end(&p);
    return s;
}

static vt_status need_judge(struct vt_station *s, vt_err *err)
{
    struct vt_torch_process p;
    vt_json *reply = NULL;
    if (s->judge.pid > 0)
        return VT_OK;
    vt_status status = start("judge", s->device, &p, err);
    if (status == VT_OK)
        status = hello(&p, &reply, err);
    vt_json_free(reply);
    s->ground = 0;
    replace(s, &s->judge, status == VT_OK ? &p : &none);
    if (status != VT_OK)
        vt_torch_process_end(&p);
    return status;
}

static vt_status need_ground(struct vt_station *s, const struct vt_ground *g, vt_err *err)
{
    if (s->ground == g->id)
        return VT_OK;
    for (int i = 0; i < 2; i++)
        vt_torch_end_worker(s, i); /* they have borrowed what goes now */
    vt_json *q = vt_torch_request("problem"), *reply = NULL;
    vt_json_put_str(q, "text", vt_task_torch(g->pool->task));
    vt_json_put_num(q, "key", (double)(g->pool->key >> 16));
    vt_json_put_str(q, "folder", s->folder);
    vt_status status = exchange(&s->judge, q, &reply, NULL, err);
    vt_json_free(q);
    if (status != VT_OK)
        return status;
    vt_json_free(s->share);
    s->share = reply;
    s->ground = g->id;
    return VT_OK;
}

vt_status vt_torch_ask_judge(struct vt_station *s, const struct vt_ground *g, vt_json *q, vt_json **reply, uint64_t *ns,
                             vt_err *err)
{
    *reply = NULL;
    vt_status status = need_judge(s, err);
    if (status == VT_OK)
        status = need_ground(s, g, err);
    if (status == VT_OK)
        status = exchange(&s->judge, q, reply, ns, err);
    if (status == VT_EINTERNAL || status == VT_ETIMEOUT)
        replace(s, &s->judge, &none);
    return status;
}

/* ---- stations ---- */

vt_status vt_torch_station_ready(struct vt_station *s, vt_err *err)
{
    pthread_mutex_lock(&s->lock);
    const bool is_cancelled = s->is_cancelled;
    pthread_mutex_unlock(&s->lock);
    return is_cancelled ? vt_fail(err, VT_ECANCELLED, "the evaluator is being closed") : VT_OK;
}

void vt_torch_station_close(struct vt_station *s)
{
    for (int i = 0; i < 2; i++)
        replace(s, &s->worker[i], &none);
    replace(s, &s->spare, &none);
    replace(s, &s->judge, &none);
    vt_json_free(s->share);
    if (s->folder[0])
        (void)!vt_fs_remove_tree(s->folder, NULL);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static vt_status make_folder(char out[64], vt_err *err)
{
    snprintf(out, 64, "%s/vegttt-torch-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(out) && chmod(out, 0711) == 0)
        return VT_OK;
    out[0] = '\0';
    return vt_fail(err, VT_EIO, "cannot make a folder of shared memory for the torch tier: %s", strerror(errno));
}

vt_status vt_torch_station_open(struct vt_tier *t, const struct vt_seat *seat, struct vt_station **out, vt_err *err)
{
    struct vt_station *s = vt_alloc(sizeof *s);
    *out = NULL;
    if (!s)
        return vt_fail(err, VT_ENOMEM, "cannot open an evaluator slot: out of memory");
    s->tier = t;
    s->device = t->n_devices > 1 ? (seat->kind == VT_SEAT_LANE ? seat->number : 0) : -1;
    s->judge = s->worker[0] = s->worker[1] = s->spare = none;
    pthread_mutex_init(&s->lock, NULL);
    vt_status status = VT_OK;
    if (seat->kind != VT_SEAT_BUILD)
        status = make_folder(s->folder, err);
    if (seat->kind != VT_SEAT_BUILD && status == VT_OK) {
        start_spare(s);
        status = need_judge(s, err);
    }
    if (status != VT_OK) {
        vt_torch_station_close(s);
        return status;
    }
    *out = s;
    return VT_OK;
}

void vt_torch_cancel(struct vt_station *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_cancelled = true;
    vt_torch_process_stop(&s->judge);
    vt_torch_process_stop(&s->worker[0]);
    vt_torch_process_stop(&s->worker[1]);
    vt_torch_process_stop(&s->spare);
    pthread_mutex_unlock(&s->lock);
}
