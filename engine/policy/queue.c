/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.c: which language-model job runs next, and how works end. As many jobs are in flight as the model works on at
 * once (one on the CPU, which spreads it over the cores). Sampling works in short bursts (sampling.c), and after each
 * burst a waiting score or update gets its turn, so neither starves the other.
 *
 * A work ends under the mutex by moving to the list of the ended; vt_native_unlock, on the same thread, lets the mutex
 * go and then tells the requests. A cancelled work with a job in the model's hands takes the mark, and the job with it
 * when it is the work's own; the job's end does the rest.
 */
#include "policy/native.h"

void vt_native_lock(struct vt_native *n)
{
    pthread_mutex_lock(&n->mutex);
}

void vt_native_unlock(vt_policy *p)
{
    struct vt_native *n = p->state;
    struct vt_native_work *ended = n->ended, *next;

    n->ended = NULL;
    pthread_mutex_unlock(&n->mutex);
    for (; ended; ended = next) {
        vt_request *r = ended->request;
        const vt_status status = ended->status;
        const vt_err err = ended->err;

        next = ended->next;
        ended->release(p, ended);
        vt_request_finish(r, status, &err);
    }
}

/* One more job, when there is one to start. */
static bool start_next(vt_policy *p)
{
    struct vt_native *n = p->state;

    if (n->turn_is_scoring) {
        n->turn_is_scoring = false;
        return n->scores.start(p) || n->trainings.start(p) || n->samples.start(p);
    }
    n->turn_is_scoring = true;
    return n->samples.start(p) || n->scores.start(p) || n->trainings.start(p);
}

static void pump(vt_policy *p)
{
    struct vt_native *n = p->state;
    const int limit = vt_lm_limits(n->lm)->in_flight;

    while (n->n_in_flight < limit && start_next(p))
        ;
}

struct vt_lm_job *vt_native_job(struct vt_native_work *w, enum vt_lm_job_kind kind, void (*done)(struct vt_lm_job *))
{
    w->n_jobs = 1;
    w->owns_job = true;
    w->job = (struct vt_lm_job){.kind = kind, .done = done, .user = w};
    return &w->job;
}

void vt_native_submit(struct vt_native *n, struct vt_lm_job *job)
{
    n->n_in_flight++;
    vt_lm_submit(n->lm, job);
}

void vt_native_job_done(vt_policy *p)
{
    ((struct vt_native *)p->state)->n_in_flight--;
    pump(p);
}

void vt_native_enqueue(vt_policy *p, struct vt_native_queue *queue, struct vt_native_work *w)
{
    struct vt_native *n = p->state;
    struct vt_native_work **last = &queue->first;

    vt_native_lock(n);
    while (*last)
        last = &(*last)->next;
    *last = w;
    w->request->state = w;
    pump(p);
    vt_native_unlock(p);
}

void vt_native_end(struct vt_native *n, struct vt_native_queue *queue, struct vt_native_work *w)
{
    struct vt_native_work **last = &n->ended;

    for (struct vt_native_work **at = &queue->first; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    while (*last)
        last = &(*last)->next;
    *last = w;
    w->next = NULL;
    w->request->state = NULL;
}

void vt_native_fail(struct vt_native_work *w, const vt_err *err)
{
    if (w->status != VT_OK)
        return;
    w->status = err->code;
    w->err = *err;
}

static struct vt_native_queue *queue_of(struct vt_native *n, enum vt_request_kind kind)
{
    switch (kind) {
    case VT_REQUEST_SAMPLE:
        return &n->samples;
    case VT_REQUEST_SCORE:
        return &n->scores;
    default:
        return &n->trainings;
    }
}

/* Saves and loads have no work: the worker asks whether they were cancelled before it begins. */
void vt_native_cancel(vt_policy *p, vt_request *r)
{
    struct vt_native *n = p->state;
    struct vt_native_work *w;
    vt_err err;

    vt_native_lock(n);
    w = r->state;
    if (w) {
        vt_fail(&err, VT_ECANCELLED, "the request to %s was cancelled", p->spec);
        vt_native_fail(w, &err);
        w->is_cancelled = true;
        if (w->n_jobs == 0)
            vt_native_end(n, queue_of(n, r->kind), w);
        else if (w->owns_job)
            vt_lm_cancel(n->lm, &w->job);
    }
    vt_native_unlock(p);
}
