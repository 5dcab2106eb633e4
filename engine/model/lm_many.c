/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_many.c: the threads of a model's replicas (lm_many.h). The model's thread hands all of them the same function and
 * waits until they are through it: a round. Work that a backend leaves running on its device is begun in one round and
 * waited for in another.
 */
#include "model/lm_many.h"

/* --- rounds --- */

vt_status vt_lm_many_alive(const struct vt_lm_many *m, vt_err *err)
{
    if (m->is_out && err)
        *err = m->out_err;
    return m->is_out ? VT_EIO : VT_OK;
}

/* What the replica's failure is called from outside. */
static vt_status name_failure(struct vt_lm_many *m, const struct vt_lm_replica *r, vt_err *err)
{
    vt_err own;
    const vt_status status = vt_fail(&own, r->status, "device %d: %s", r->device, r->err.msg);
    if (status == VT_EIO && !m->is_out) {
        m->is_out = true;
        m->out_err = own;
    }
    if (err)
        *err = own;
    return status;
}

static void *replica_main(void *arg)
{
    struct vt_lm_replica *r = arg;
    struct vt_lm_many *m = r->many;
    uint64_t done = 0;
    pthread_mutex_lock(&m->lock);
    for (;;) {
        while (m->round == done && !m->is_closing)
            pthread_cond_wait(&m->go, &m->lock);
        if (m->is_closing)
            break;
        done = m->round;
        vt_lm_replica_fn *fn = m->fn;
        void *with = m->arg;
        pthread_mutex_unlock(&m->lock);
        r->status = fn(r, with, &r->err);
        pthread_mutex_lock(&m->lock);
        if (--m->n_left == 0)
            pthread_cond_signal(&m->done);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

vt_status vt_lm_many_run(struct vt_lm_many *m, vt_lm_replica_fn *fn, void *arg, vt_err *err)
{
    pthread_mutex_lock(&m->lock);
    m->fn = fn;
    m->arg = arg;
    m->n_left = m->n;
    m->round++;
    pthread_cond_broadcast(&m->go);
    while (m->n_left)
        pthread_cond_wait(&m->done, &m->lock);
    pthread_mutex_unlock(&m->lock);
    for (int i = 0; i < m->n; i++)
        if (m->replicas[i].status != VT_OK)
            return name_failure(m, &m->replicas[i], err);
    return VT_OK;
}

/* --- work of a replica, a guest of the lease on its device --- */

static void enter(const struct vt_lm_replica *r)
{
    vt_lease_enter_devices(r->many->lease, (uint64_t)1 << r->device);
}

vt_status vt_lm_many_begin(struct vt_lm_replica *r, struct vt_lm_work *w, vt_err *err)
{
    const struct vt_lm_ops *ops = r->many->ops;
    vt_status (*const begin[])(void *, struct vt_lm_work *, vt_err *) = {[VT_LM_GROUP] = ops->group,
                                                                         [VT_LM_DECODE] = ops->decode,
                                                                         [VT_LM_SCORE] = ops->score,
                                                                         [VT_LM_FORWARD] = ops->forward,
                                                                         [VT_LM_BACKWARD] = ops->backward};
    enter(r);
    const vt_status status = begin[w->kind](r->be, w, err);
    w->has_begun = status == VT_OK;
    if (!w->has_begun)
        vt_lease_leave(r->many->lease);
    return status;
}

vt_status vt_lm_many_wait(struct vt_lm_replica *r, struct vt_lm_work *w, vt_err *err)
{
    if (!w->has_begun)
        return VT_OK;
    w->has_begun = false;
    const vt_status status = r->many->ops->wait ? r->many->ops->wait(r->be, w, err) : VT_OK;
    vt_lease_leave(r->many->lease);
    return status;
}

vt_status vt_lm_many_add(struct vt_lm_replica *r, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err)
{
    enter(r);
    const vt_status status = r->many->ops->grad_add(r->be, into, g, err);
    vt_lease_leave(r->many->lease);
    return status;
}

vt_status vt_lm_many_adam(struct vt_lm_replica *r, struct vt_lm_adapter *a, const vt_lm_grad *g,
                          const struct vt_adam *o, double *norm, vt_err *err)
{
    enter(r);
    const vt_status status =
        r->many->ops->adam(r->be, vt_lm_many_adapter_of(a, r->index), vt_lm_many_grad_of(g, r->index), o, norm, err);
    vt_lease_leave(r->many->lease);
    return status;
}

void vt_lm_many_stop(struct vt_lm_many *m)
{
    pthread_mutex_lock(&m->lock);
    m->is_closing = true;
    pthread_cond_broadcast(&m->go);
    pthread_mutex_unlock(&m->lock);
    for (int i = 0; i < m->n; i++)
        if (m->replicas[i].is_started)
            pthread_join(m->replicas[i].thread, NULL);
}

vt_status vt_lm_many_start(struct vt_lm_replica *r, vt_err *err)
{
    const int e = pthread_create(&r->thread, NULL, replica_main, r);
    if (e != 0)
        return vt_fail(err, VT_EIO, "cannot start the thread of device %d: error %d of pthread_create", r->device, e);
    r->is_started = true;
    return VT_OK;
}

/* --- a replica's part of the door's objects --- */

struct vt_lm_adapter *vt_lm_many_adapter_of(const struct vt_lm_adapter *a, int replica)
{
    return a ? &((struct vt_lm_many_adapter *)a->impl)->inner[replica] : NULL;
}

vt_lm_grad *vt_lm_many_grad_of(const vt_lm_grad *g, int replica)
{
    return &((struct vt_lm_many_grad *)g->impl)->inner[replica];
}
