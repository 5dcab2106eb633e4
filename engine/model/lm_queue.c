/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_queue.c: the job queue and the model's one thread.
 *
 * The thread begins jobs in the order of submission, at most limits.in_flight of them before it waits for the oldest:
 * a device then has its next job while the host handles the results of the last. It waits as soon as it cannot begin
 * another, so a single job is never held back. done is called on this thread with no lock held, in order, so it may
 * submit again. Cancelled jobs that have not begun leave first, since their callers want to be gone.
 *
 * The thread is a guest of the machine lease while jobs are in flight. After close began, what is still queued is
 * failed with ECANCELLED in order.
 */
#include "model/lm_door.h"

/* The next job to begin or to give up, or NULL when there is none now; sleeps while nothing is in flight either.
 * *is_cancelled: it must not begin. */
static struct vt_lm_job *next_job(vt_lm *lm, bool *is_cancelled)
{
    pthread_mutex_lock(&lm->lock);
    while (!lm->head && !lm->is_closing && lm->n_flight == 0)
        pthread_cond_wait(&lm->came, &lm->lock);
    struct vt_lm_job **at = &lm->head, *before = NULL;
    while (*at && !atomic_load(&(*at)->is_cancelled)) {
        before = *at;
        at = &before->next;
    }
    *is_cancelled = *at || lm->is_closing;
    if (!*at) {
        at = &lm->head;
        before = NULL;
    }
    struct vt_lm_job *job = *at;
    if (job) {
        *at = job->next;
        if (lm->tail == job)
            lm->tail = before;
        job->next = NULL;
    }
    pthread_mutex_unlock(&lm->lock);
    return job;
}

/* After this the job is the caller's again and may be gone. */
static void conclude(vt_lm *lm, struct vt_lm_job *job, vt_status status)
{
    job->status = (int)job->kind == VT_LM_CALL ? status : lm->steps->end(lm, job, status, &job->err);
    job->done(job);
}

static void finish_oldest(vt_lm *lm)
{
    struct vt_lm_job *job = lm->flight[0];
    job->status = lm->steps->end(lm, job, job->status, &job->err);
    for (int i = 1; i < lm->n_flight; i++)
        lm->flight[i - 1] = lm->flight[i];
    if (--lm->n_flight == 0)
        vt_lease_leave(lm->lease);
    job->done(job);
}

static void give_up(vt_lm *lm, struct vt_lm_job *job)
{
    const char *why = atomic_load(&job->is_cancelled) ? "the job was cancelled before it began"
                                                      : "the model was closed before this job began";
    conclude(lm, job, vt_fail(&job->err, VT_ECANCELLED, "%s", why));
}

struct call {
    struct vt_lm_job job;
    vt_status (*fn)(void *arg, vt_err *err);
    void *arg;
};

static void run_call(vt_lm *lm, struct vt_lm_job *job)
{
    struct call *c = (struct call *)job;
    while (lm->n_flight)
        finish_oldest(lm);
    vt_lease_enter_devices(lm->lease, lm->limits.devices);
    vt_status status = c->fn(c->arg, &job->err);
    vt_lease_leave(lm->lease);
    conclude(lm, job, status);
}

static void start(vt_lm *lm, struct vt_lm_job *job)
{
    if (lm->n_flight == 0)
        vt_lease_enter_devices(lm->lease, lm->limits.devices);
    job->status = lm->steps->begin(lm, job, &job->err);
    lm->flight[lm->n_flight++] = job;
}

static void *queue_main(void *arg)
{
    vt_lm *lm = arg;
    for (;;) {
        bool is_cancelled;
        struct vt_lm_job *job = next_job(lm, &is_cancelled);
        if (!job && lm->n_flight == 0)
            return NULL;
        if (job && is_cancelled)
            give_up(lm, job);
        else if (job && (int)job->kind == VT_LM_CALL)
            run_call(lm, job);
        else if (job)
            start(lm, job);
        if (lm->n_flight && (!job || lm->n_flight >= lm->limits.in_flight))
            finish_oldest(lm);
    }
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
    pthread_cond_broadcast(&lm->came);
    pthread_mutex_unlock(&lm->lock);
    pthread_join(lm->thread, NULL);
    lm->is_started = false;
}

void vt_lm_submit(vt_lm *lm, struct vt_lm_job *job)
{
    job->next = NULL;
    job->work = NULL;
    job->status = VT_OK;
    job->err = (vt_err){0};
    pthread_mutex_lock(&lm->lock);
    if (lm->tail)
        lm->tail->next = job;
    else
        lm->head = job;
    lm->tail = job;
    pthread_cond_signal(&lm->came);
    pthread_mutex_unlock(&lm->lock);
}

void vt_lm_cancel(vt_lm *lm, struct vt_lm_job *job)
{
    (void)lm;
    atomic_store(&job->is_cancelled, true);
}

bool vt_lm_is_cancelled(const struct vt_lm_work *w)
{
    return atomic_load_explicit(&w->job->is_cancelled, memory_order_relaxed);
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

static bool is_own_thread(const vt_lm *lm)
{
    return pthread_equal(pthread_self(), lm->thread);
}

vt_status vt_lm_run(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    struct waiter w = {.is_done = false};
    if (is_own_thread(lm))
        return vt_fail(err, VT_EINVAL, "a done callback cannot wait for another job: submit it instead");
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

vt_status vt_lm_call(vt_lm *lm, vt_status (*fn)(void *arg, vt_err *err), void *arg, vt_err *err)
{
    struct call c = {.job = {.kind = (enum vt_lm_job_kind)VT_LM_CALL}, .fn = fn, .arg = arg};
    if (!is_own_thread(lm))
        return vt_lm_run(lm, &c.job, err);
    if (lm->n_flight)
        return fn(arg, err);
    vt_lease_enter_devices(lm->lease, lm->limits.devices);
    vt_status status = fn(arg, err);
    vt_lease_leave(lm->lease);
    return status;
}
