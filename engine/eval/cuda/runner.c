/* SPDX-License-Identifier: Apache-2.0
 *
 * runner.c: runners of one device, the active one and the spare. The spare is sent HELLO and the kernels when it is
 * started, and its answers are read when it is needed: by then they have long been there.
 */
#include "eval/cuda/runner.h"
#include "base/clock.h"
#include <string.h>
#include <unistd.h>

static const uint64_t start_timeout_ns = 60000000000u;

static vt_status start(const struct vt_cuda_seat *s, struct vt_cuda_process *p, vt_err *err)
{
    const struct vt_cuda_request hello = {.op = VT_CUDA_HELLO, .device = s->device}, kernels = {.op = VT_CUDA_KERNELS};
    VT_TRY(vt_cuda_process_start("run", p, err));
    VT_TRY(vt_cuda_process_send(p, &hello, NULL, 0, err));
    if (!s->kernels)
        return VT_OK;
    const int fd = vt_cuda_file(s->kernels, s->kernels_len);
    const vt_status status = vt_cuda_process_send(p, &kernels, &fd, 1, err);
    if (fd >= 0)
        close(fd);
    return status;
}

static vt_status await(struct vt_cuda_seat *s, struct vt_cuda_process *p, vt_err *err)
{
    struct vt_cuda_reply reply;
    VT_TRY(vt_cuda_process_receive(p, &reply, start_timeout_ns, err));
    if (reply.end != VT_CUDA_DONE)
        return vt_fail(err, reply.status, "%s", reply.why);
    memcpy(s->props.name, reply.name, sizeof s->props.name);
    memcpy(s->props.uuid, reply.uuid, sizeof s->props.uuid);
    s->props.major = reply.major;
    s->props.minor = reply.minor;
    s->props.n_sm = reply.n_sm;
    s->props.l2_bytes = reply.l2_bytes;
    s->props.smem_optin = reply.smem_optin;
    s->props.clock_khz = reply.clock_khz;
    s->props.driver = reply.driver;
    s->props.n_devices = reply.n_devices;
    s->props.bytes = reply.bytes;
    if (!s->kernels)
        return VT_OK;
    VT_TRY(vt_cuda_process_receive(p, &reply, start_timeout_ns, err));
    return reply.end == VT_CUDA_DONE ? VT_OK : vt_fail(err, reply.status, "%s", reply.why);
}

/* A spare in place of none; without one the next change takes longer, that is all. */
static void start_spare(struct vt_cuda_seat *s)
{
    struct vt_cuda_process p;
    if (start(s, &p, NULL) != VT_OK) {
        vt_cuda_process_end(&p);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->spare = p;
    if (s->is_stopped)
        vt_cuda_process_shutdown(&s->spare);
    pthread_mutex_unlock(&s->lock);
}

static void end(struct vt_cuda_seat *s, struct vt_cuda_process *p)
{
    pthread_mutex_lock(&s->lock);
    vt_cuda_process_end(p);
    pthread_mutex_unlock(&s->lock);
}

vt_status vt_cuda_seat_ready(struct vt_cuda_seat *s, vt_err *err)
{
    vt_status status = VT_EINTERNAL;
    if (!s->active.is_lost && s->active.pid > 0)
        return VT_OK;
    const uint64_t from = vt_now_ns();
    end(s, &s->active);
    for (int attempt = 0; attempt < 3 && status != VT_OK; attempt++) {
        struct vt_cuda_process p = {.socket = -1, .is_lost = true};
        pthread_mutex_lock(&s->lock);
        const bool stopped = s->is_stopped, has_spare = s->spare.pid > 0;
        if (has_spare) {
            p = s->spare;
            s->spare = (struct vt_cuda_process){.socket = -1, .is_lost = true};
        }
        pthread_mutex_unlock(&s->lock);
        if (stopped) {
            vt_cuda_process_end(&p);
            return vt_fail(err, VT_ECANCELLED, "the evaluator is being closed");
        }
        status = has_spare ? VT_OK : start(s, &p, err);
        if (status == VT_OK)
            status = await(s, &p, err);
        if (status != VT_OK) {
            vt_cuda_process_end(&p);
            if (status == VT_EUNSUPPORTED)
                return status;
            continue;
        }
        pthread_mutex_lock(&s->lock);
        s->active = p;
        if (s->is_stopped)
            vt_cuda_process_shutdown(&s->active);
        pthread_mutex_unlock(&s->lock);
    }
    VT_TRY(status);
    s->replaced_ms = (double)(vt_now_ns() - from) / 1e6;
    start_spare(s);
    return VT_OK;
}

vt_status vt_cuda_seat_open(struct vt_cuda_seat *s, int device, const unsigned char *kernels, size_t kernels_len,
                            vt_err *err)
{
    memset(s, 0, sizeof *s);
    s->device = device;
    s->kernels = kernels;
    s->kernels_len = kernels_len;
    s->active = s->spare = (struct vt_cuda_process){.socket = -1, .is_lost = true};
    pthread_mutex_init(&s->lock, NULL);
    const vt_status status = vt_cuda_seat_ready(s, err);
    if (status != VT_OK)
        vt_cuda_seat_close(s);
    return status;
}

void vt_cuda_seat_close(struct vt_cuda_seat *s)
{
    vt_cuda_process_end(&s->active);
    vt_cuda_process_end(&s->spare);
    pthread_mutex_destroy(&s->lock);
}

void vt_cuda_seat_stop(struct vt_cuda_seat *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_stopped = true;
    vt_cuda_process_shutdown(&s->active);
    vt_cuda_process_shutdown(&s->spare);
    pthread_mutex_unlock(&s->lock);
}

vt_status vt_cuda_seat_ask(struct vt_cuda_seat *s, const struct vt_cuda_request *r, const int *fds, int n_fds,
                           uint64_t timeout_ns, struct vt_cuda_reply *reply, vt_err *err)
{
    VT_TRY(vt_cuda_seat_ready(s, err));
    vt_status status = vt_cuda_process_send(&s->active, r, fds, n_fds, err);
    if (status == VT_OK)
        status = vt_cuda_process_receive(&s->active, reply, timeout_ns, err);
    if (status == VT_OK && !reply->is_dead)
        return VT_OK;
    end(s, &s->active);
    s->n_replaced++;
    vt_err own;
    const vt_status replaced = vt_cuda_seat_ready(s, &own);
    if (status == VT_OK && replaced != VT_OK && err)
        *err = own;
    return status == VT_OK ? replaced : status;
}

vt_status vt_cuda_look(int device, struct vt_cuda_device *out, vt_err *err)
{
    struct vt_cuda_seat s = {.device = device};
    struct vt_cuda_process p;
    vt_status status = start(&s, &p, err);
    if (status == VT_OK)
        status = await(&s, &p, err);
    vt_cuda_process_end(&p);
    *out = s.props;
    return status;
}
