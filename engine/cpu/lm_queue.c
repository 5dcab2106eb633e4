/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_queue.c: the job queue and its one thread. Jobs run in order; done is called on this thread with no lock held, so
 * it may submit again. The thread is a guest of the machine lease while it works. After close began, what is still
 * queued is failed with ECANCELLED in order.
 */
#include "cpu/lm_parts.h"

static vt_status dispatch(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    VT_TRY(vt_lm_bufs_ensure(lm, err));
    switch (job->kind) {
    case VT_LM_GROUP:
        return vt_lm_do_group(lm, job, err);
    case VT_LM_DECODE:
        return vt_lm_do_decode(lm, job, err);
    case VT_LM_SCORE:
        return vt_lm_do_score(lm, job, err);
    case VT_LM_FORWARD:
        return vt_lm_do_forward(lm, job, err);
    case VT_LM_BACKWARD:
        return vt_lm_do_backward(lm, job, err);
    }
    return vt_fail(err, VT_EINVAL, "a job of kind %d does not exist", (int)job->kind);
}

static struct vt_lm_job *next_job(vt_lm *lm, bool *is_cancelled)
{
    pthread_mutex_lock(&lm->lock);
    while (!lm->head && !lm->is_closing)
        pthread_cond_wait(&lm->work, &lm->lock);
    struct vt_lm_job *job = lm->head;
    if (job) {
        lm->head = job->next;
        if (!lm->head)
            lm->tail = NULL;
    }
    *is_cancelled = lm->is_closing;
    pthread_mutex_unlock(&lm->lock);
    return job;
}

static void *queue_main(void *arg)
{
    vt_lm *lm = arg;
    bool is_cancelled;
    struct vt_lm_job *job;
    while ((job = next_job(lm, &is_cancelled))) {
        job->next = NULL;
        job->err.msg[0] = 0;
        if (is_cancelled) {
            job->status = vt_fail(&job->err, VT_ECANCELLED, "the model was closed before this job began");
        } else {
            vt_lease_enter_pool(lm->lease, lm->pool);
            job->status = dispatch(lm, job, &job->err);
            vt_lease_leave(lm->lease);
        }
        job->done(job);
    }
    return NULL;
}

vt_status vt_lm_queue_start(vt_lm *lm, vt_err *err)
{
    int e = pthread_create(&lm->thread, NULL, queue_main, lm);
    if (e != 0)
        return vt_fail(err, VT_EIO, "cannot start the language model's thread: error %d of pthread_create", e);
    lm->is_started = true;
    return VT_OK;
}

void vt_lm_queue_stop(vt_lm *lm)
{
    if (!lm->is_started)
        return;
    pthread_mutex_lock(&lm->lock);
    lm->is_closing = true;
    pthread_cond_broadcast(&lm->work);
    pthread_mutex_unlock(&lm->lock);
    pthread_join(lm->thread, NULL);
    lm->is_started = false;
}

void vt_lm_submit(vt_lm *lm, struct vt_lm_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&lm->lock);
    if (lm->tail)
        lm->tail->next = job;
    else
        lm->head = job;
    lm->tail = job;
    pthread_cond_signal(&lm->work);
    pthread_mutex_unlock(&lm->lock);
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
};

static void wake(struct vt_lm_job *job)
{
    struct waiter *w = job->user;
    pthread_mutex_lock(&w->lock);
    w->is_done = true;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

vt_status vt_lm_run(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    struct waiter w = {.is_done = false};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.done, NULL);
    job->done = wake;
    job->user = &w;
    vt_lm_submit(lm, job);
    pthread_mutex_lock(&w.lock);
    while (!w.is_done)
        pthread_cond_wait(&w.done, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.done);
    if (job->status != VT_OK && err)
        *err = job->err;
    return job->status;
}
