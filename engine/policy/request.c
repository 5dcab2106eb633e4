/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c: the life of a request, whatever its kind: made, perhaps waiting for its turn, started, perhaps cancelled,
 * finished once.
 *
 * A request is in its policy's list from submission until it is over, and counts as live until its done has returned:
 * closing cancels the list and waits for the count. References: the run itself, the ticket, and whoever is at work on
 * it in this file. Locks are never held across a backend's operation or a done, so a cancel may come between any two
 * lines of a start; it is therefore repeated after the start when it came during it.
 *
 * Opening and pulling have no policy yet. They run on a thread of their own and are told to stop through a descriptor.
 */
#include "policy/request.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

vt_status vt_request_new(vt_policy *p, enum vt_request_kind kind, vt_policy_done *done, void *arg, vt_request **out,
                         vt_err *err)
{
    vt_request *r = vt_alloc(sizeof *r);

    if (!r)
        return vt_fail(err, VT_ENOMEM, "out of memory for a request to %s", p ? p->spec : "a model");
    r->kind = kind;
    r->policy = p;
    r->done = done;
    r->arg = arg;
    r->refs = 1;
    r->stop_fd = -1;
    r->mutex = p ? &p->mutex : &r->own_mutex;
    pthread_mutex_init(&r->own_mutex, NULL);
    if (p)
        vt_policy_ref(p);
    *out = r;
    return VT_OK;
}

static void free_request(vt_request *r)
{
    vt_request_release(r->forward_child);
    vt_request_release(r->step_child);
    if (r->stop_fd >= 0)
        close(r->stop_fd);
    pthread_mutex_destroy(&r->own_mutex);
    free(r->dir);
    free(r->digest);
    free(r->trained_on);
    if (r->policy)
        vt_policy_unref(r->policy);
    free(r);
}

void vt_request_pin(vt_request *r)
{
    pthread_mutex_lock(r->mutex);
    r->refs++;
    pthread_mutex_unlock(r->mutex);
}

void vt_request_release(vt_request *r)
{
    bool is_last;

    if (!r)
        return;
    pthread_mutex_lock(r->mutex);
    is_last = --r->refs == 0;
    pthread_mutex_unlock(r->mutex);
    if (is_last)
        free_request(r);
}

bool vt_request_is_cancelled(vt_request *r)
{
    bool is_cancelled;

    pthread_mutex_lock(r->mutex);
    is_cancelled = r->is_cancelled;
    pthread_mutex_unlock(r->mutex);
    return is_cancelled;
}

int vt_request_stop_fd(const vt_request *r)
{
    return r->stop_fd;
}

/* --- starting --- */

static vt_status start(vt_request *r, vt_err *err)
{
    const struct vt_policy_backend *b = r->policy->backend;

    if (r->start)
        return r->start(r, err);
    switch (r->kind) {
    case VT_REQUEST_SAMPLE:
        return b->sample(r->policy, r, err);
    case VT_REQUEST_SCORE:
        return b->score(r->policy, r, err);
    case VT_REQUEST_FORWARD:
        return b->forward(r->policy, r, err);
    case VT_REQUEST_STEP:
        return b->step(r->policy, r, err);
    case VT_REQUEST_UPDATE:
        return b->update(r->policy, r, err);
    case VT_REQUEST_BRANCH:
        if (b->branch)
            return b->branch(r->policy, r, err);
        *r->out = vt_weights_ref(r->weights);
        vt_request_finish(r, VT_OK, NULL);
        return VT_OK;
    case VT_REQUEST_SAVE:
        return b->save(r->policy, r, err);
    case VT_REQUEST_LOAD:
        return b->load(r->policy, r, err);
    case VT_REQUEST_OPEN:
    case VT_REQUEST_PULL:
        break;
    }
    return vt_fail(err, VT_EINTERNAL, "a request of kind %d reached the policy %s", (int)r->kind, r->policy->spec);
}

/* A request that only makes others does not count itself. */
static bool counts(const vt_request *r)
{
    return !r->start;
}

static void forward_cancel(vt_request *r)
{
    if (r->stop)
        r->stop(r);
    else
        r->policy->backend->cancel(r->policy, r);
}

/* Starts r, which is pinned. A cancel that came meanwhile may have found nothing to stop; it is said again. */
static vt_status start_pinned(vt_request *r, vt_err *err)
{
    vt_status status = start(r, err);
    bool is_late;

    if (status != VT_OK)
        return status;
    pthread_mutex_lock(r->mutex);
    is_late = r->is_cancelled && !r->is_over;
    pthread_mutex_unlock(r->mutex);
    if (is_late)
        forward_cancel(r);
    return VT_OK;
}

/* The oldest request that waits, when there is room for it now: counted and pinned. Mutex held. */
static vt_request *take_waiting(vt_policy *p)
{
    if (p->caps.max_requests > 0 && p->n_running >= p->caps.max_requests)
        return NULL;
    for (vt_request *r = p->requests; r; r = r->next) {
        if (!r->is_waiting)
            continue;
        r->is_waiting = false;
        r->is_counted = true;
        p->n_running++;
        r->refs++;
        return r;
    }
    return NULL;
}

/* Takes r off its policy's list; what waits may take its place. Mutex held. */
static void unlink_request(vt_request *r)
{
    vt_policy *p = r->policy;

    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    else
        p->last = r->link;
    r->next = NULL;
    r->is_over = true;
    p->n_running -= r->is_counted;
    r->is_counted = false;
}

/* A request's last step: closing may go on without it. Gives back a reference of the policy. */
static void leave(vt_policy *p)
{
    pthread_mutex_lock(&p->mutex);
    if (--p->n_live == 0)
        pthread_cond_broadcast(&p->idle);
    pthread_mutex_unlock(&p->mutex);
    vt_policy_unref(p);
}

static void start_waiting(vt_request *r)
{
    vt_err err;

    if (!r)
        return;
    if (start_pinned(r, &err) != VT_OK)
        vt_request_finish(r, err.code, &err);
    vt_request_release(r);
}

vt_status vt_request_submit(vt_request *r, vt_request **ticket, vt_err *err)
{
    vt_policy *p = r->policy;
    vt_request *next = NULL;
    bool is_closing, is_waiting;
    vt_status status;

    pthread_mutex_lock(&p->mutex);
    is_closing = p->is_closing;
    is_waiting = !is_closing && counts(r) && p->caps.max_requests > 0 && p->n_running >= p->caps.max_requests;
    if (!is_closing) {
        r->link = p->last;
        *p->last = r;
        p->last = &r->next;
        r->is_waiting = is_waiting;
        r->is_counted = counts(r) && !is_waiting;
        p->n_running += r->is_counted;
        p->n_live++;
        r->refs += ticket ? 2 : 1;
    }
    pthread_mutex_unlock(&p->mutex);
    if (is_closing) {
        vt_request_drop(r);
        return vt_fail(err, VT_ECANCELLED, "the policy %s was closed", p->spec);
    }
    if (ticket)
        *ticket = r;
    status = is_waiting ? VT_OK : start_pinned(r, err);
    if (status != VT_OK) {
        if (ticket)
            *ticket = NULL;
        pthread_mutex_lock(&p->mutex);
        unlink_request(r);
        next = take_waiting(p);
        r->refs -= ticket ? 2 : 1;
        p->refs++;
        pthread_mutex_unlock(&p->mutex);
        start_waiting(next);
        vt_request_drop(r);
        leave(p);
        return status;
    }
    vt_request_release(r);
    return VT_OK;
}

void vt_request_drop(vt_request *r)
{
    vt_weights *weights = r->weights;
    vt_forward *forward = r->forward;

    r->weights = NULL;
    r->forward = NULL;
    vt_weights_unref(weights);
    if (forward)
        vt_forward_unref(forward);
    vt_request_release(r);
}

/* --- ending --- */

void vt_request_finish(vt_request *r, vt_status status, const vt_err *err)
{
    vt_policy *p = r->policy;
    vt_policy_done *done = r->done;
    void *arg = r->arg;
    vt_request *next;
    vt_err why = {0};

    if (status != VT_OK)
        why = *err;
    pthread_mutex_lock(&p->mutex);
    unlink_request(r);
    if (r->forward)
        vt_forward_settle(r, status, &why);
    next = take_waiting(p);
    p->refs++;
    pthread_mutex_unlock(&p->mutex);
    vt_request_drop(r);
    start_waiting(next);
    done(arg, status, status == VT_OK ? NULL : &why);
    leave(p);
}

static void cancel_pinned(vt_request *r, bool was_waiting)
{
    vt_err err;

    if (!r->policy) {
        const uint64_t one = 1;

        (void)!write(r->stop_fd, &one, sizeof one);
    } else if (was_waiting) {
        vt_fail(&err, VT_ECANCELLED, "the request to %s was cancelled before its turn", r->policy->spec);
        vt_request_finish(r, VT_ECANCELLED, &err);
    } else {
        forward_cancel(r);
    }
}

void vt_request_cancel(vt_request *r)
{
    bool is_new, was_waiting;

    if (!r)
        return;
    pthread_mutex_lock(r->mutex);
    is_new = !r->is_over && !r->is_cancelled;
    was_waiting = r->is_waiting;
    if (is_new) {
        r->is_cancelled = true;
        r->is_waiting = false;
        r->refs++;
    }
    pthread_mutex_unlock(r->mutex);
    if (!is_new)
        return;
    cancel_pinned(r, was_waiting);
    vt_request_release(r);
}

void vt_request_cancel_all(vt_policy *p)
{
    pthread_mutex_lock(&p->mutex);
    for (vt_request *r = p->requests; r;) {
        if (r->is_cancelled) {
            r = r->next;
            continue;
        }
        r->refs++;
        pthread_mutex_unlock(&p->mutex);
        vt_request_cancel(r);
        vt_request_release(r);
        pthread_mutex_lock(&p->mutex);
        r = p->requests; /* the list may have changed */
    }
    while (p->n_live > 0)
        pthread_cond_wait(&p->idle, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

/* --- requests without a policy --- */

struct alone {
    vt_request *r;
    vt_status (*run)(vt_request *r, void *arg, vt_err *err);
    void *arg;
};

static void *alone_thread(void *arg)
{
    const struct alone a = *(struct alone *)arg;
    vt_policy_done *done = a.r->done;
    void *done_arg = a.r->arg;
    vt_err err;
    vt_status status = a.run(a.r, a.arg, &err);

    free(arg);
    pthread_mutex_lock(a.r->mutex);
    a.r->is_over = true;
    pthread_mutex_unlock(a.r->mutex);
    vt_request_release(a.r);
    done(done_arg, status, status == VT_OK ? NULL : &err);
    return NULL;
}

vt_status vt_request_run_alone(enum vt_request_kind kind, vt_status (*run)(vt_request *r, void *arg, vt_err *err),
                               void *run_arg, vt_policy_done *done, void *arg, vt_request **ticket, vt_err *err)
{
    struct alone *a = vt_alloc(sizeof *a);
    pthread_t thread;
    vt_request *r;
    vt_status status =
        a ? vt_request_new(NULL, kind, done, arg, &r, err) : vt_fail(err, VT_ENOMEM, "out of memory for a request");

    if (status != VT_OK) {
        free(a);
        return status;
    }
    *a = (struct alone){.r = r, .run = run, .arg = run_arg};
    r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ticket) {
        vt_request_pin(r);
        *ticket = r;
    }
    if (r->stop_fd < 0)
        status = vt_fail(err, VT_EIO, "cannot make a descriptor for a request that can be cancelled");
    else if (pthread_create(&thread, NULL, alone_thread, a) != 0)
        status = vt_fail(err, VT_ENOMEM, "cannot start a thread for a request");
    if (status == VT_OK) {
        pthread_detach(thread);
        return VT_OK;
    }
    free(a);
    if (ticket) {
        *ticket = NULL;
        vt_request_release(r);
    }
    vt_request_release(r);
    return status;
}
