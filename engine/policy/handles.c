/* SPDX-License-Identifier: Apache-2.0
 *
 * handles.c: what callers hold: policies, weights, forwards, samples; how they are counted, and what is left of them
 * when their policy closes.
 *
 * All counts are guarded by the policy's mutex. A handle keeps its policy's memory, so it may outlive the policy;
 * closing takes the backend's state out of it, after which every call refuses it.
 *
 * A forward's handle goes running -> ready -> stepping -> spent; whatever fails on the way poisons it, with the reason
 * kept for whoever tries to go on. The backend's state lives in the handle until its last reference is gone: the
 * caller's, and one of each request at work on it. So forgetting a handle at any moment is safe.
 */
#include "base/alloc.h"
#include "policy/request.h"
#include <stdlib.h>
#include <string.h>

/* --- policies --- */

void vt_policy_ref(vt_policy *p)
{
    pthread_mutex_lock(&p->mutex);
    p->refs++;
    pthread_mutex_unlock(&p->mutex);
}

void vt_policy_unref(vt_policy *p)
{
    bool is_last;

    pthread_mutex_lock(&p->mutex);
    is_last = --p->refs == 0;
    pthread_mutex_unlock(&p->mutex);
    if (!is_last)
        return;
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->mutex);
    free(p->record);
    free(p->spec);
    free(p->chat);
    free(p->trace_http);
    free(p);
}

/* --- weights --- */

vt_status vt_weights_new(vt_policy *p, const char *id, int step, const char *trained_on, void *state, vt_weights **out,
                         vt_err *err)
{
    vt_weights *w = vt_alloc(sizeof *w);

    if (w)
        w->trained_on = vt_strdup(trained_on ? trained_on : "{\"families\":[],\"tasks\":[]}");
    if (!w || !w->trained_on) {
        free(w);
        return vt_fail(err, VT_ENOMEM, "out of memory for a weights handle");
    }
    w->policy = p;
    w->refs = 1;
    memcpy(w->id, id, sizeof w->id);
    w->step = step;
    w->state = state;
    pthread_mutex_lock(&p->mutex);
    p->refs++;
    w->next = p->all_weights;
    w->link = &p->all_weights;
    if (w->next)
        w->next->link = &w->next;
    p->all_weights = w;
    pthread_mutex_unlock(&p->mutex);
    *out = w;
    return VT_OK;
}

vt_weights *vt_weights_ref(vt_weights *w)
{
    pthread_mutex_lock(&w->policy->mutex);
    w->refs++;
    pthread_mutex_unlock(&w->policy->mutex);
    return w;
}

void vt_weights_unref(vt_weights *w)
{
    vt_policy *p;
    bool is_last;

    if (!w)
        return;
    p = w->policy;
    pthread_mutex_lock(&p->mutex);
    is_last = --w->refs == 0;
    if (is_last) {
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
    }
    pthread_mutex_unlock(&p->mutex);
    if (!is_last)
        return;
    if (w->state)
        p->backend->free_weights(p, w->state);
    free(w->trained_on);
    free(w);
    vt_policy_unref(p);
}

void vt_weights_strip_all(vt_policy *p)
{
    for (vt_weights *w = p->all_weights; w; w = w->next) {
        if (w->state)
            p->backend->free_weights(p, w->state);
        w->state = NULL;
    }
}

const char *vt_weights_id(const vt_weights *w)
{
    return w->id;
}

const char *vt_weights_trained_on(const vt_weights *w)
{
    return w->trained_on;
}

int vt_weights_step(const vt_weights *w)
{
    return w->step;
}

vt_status vt_weights_check(const vt_policy *p, const vt_weights *w, const char *what, vt_err *err)
{
    if (!w)
        return vt_fail(err, VT_EINVAL, "cannot %s without weights", what);
    if (w->policy != p)
        return vt_fail(err, VT_EINVAL, "cannot %s: the weights belong to the policy %s, not to %s", what,
                       w->policy->spec, p->spec);
    return VT_OK;
}

/* --- forwards --- */

vt_status vt_forward_new(vt_policy *p, vt_weights *from, struct vt_train_seq *seqs, size_t n, bool agreement,
                         vt_forward **out, vt_err *err)
{
    vt_forward *f = vt_alloc(sizeof *f);

    if (!f)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", n);
    f->policy = p;
    f->from = vt_weights_ref(from);
    f->seqs = seqs;
    f->n = n;
    f->agreement = agreement;
    f->refs = 1;
    pthread_mutex_lock(&p->mutex);
    p->refs++;
    f->next = p->all_forwards;
    f->link = &p->all_forwards;
    if (f->next)
        f->next->link = &f->next;
    p->all_forwards = f;
    pthread_mutex_unlock(&p->mutex);
    *out = f;
    return VT_OK;
}

vt_forward *vt_forward_ref(vt_forward *f)
{
    pthread_mutex_lock(&f->policy->mutex);
    f->refs++;
    pthread_mutex_unlock(&f->policy->mutex);
    return f;
}

void vt_forward_unref(vt_forward *f)
{
    vt_policy *p = f->policy;
    bool is_last;

    pthread_mutex_lock(&p->mutex);
    is_last = --f->refs == 0;
    if (is_last) {
        *f->link = f->next;
        if (f->next)
            f->next->link = f->link;
    }
    pthread_mutex_unlock(&p->mutex);
    if (!is_last)
        return;
    if (f->state)
        p->backend->free_forward(p, f->state);
    vt_weights_unref(f->from);
    free(f);
    vt_policy_unref(p);
}

void vt_forward_strip_all(vt_policy *p)
{
    for (vt_forward *f = p->all_forwards; f; f = f->next) {
        if (f->state)
            p->backend->free_forward(p, f->state);
        f->state = NULL;
        if (f->stage == VT_FORWARD_READY) {
            f->stage = VT_FORWARD_POISONED;
            vt_fail(&f->why, VT_ECANCELLED, "the policy %s was closed", p->spec);
        }
    }
}

void vt_forward_settle(vt_request *r, vt_status status, const vt_err *err)
{
    vt_forward *f = r->forward;

    f->running = NULL;
    if (status != VT_OK) {
        f->stage = VT_FORWARD_POISONED;
        f->why = *err;
    } else {
        f->stage = r->kind == VT_REQUEST_FORWARD ? VT_FORWARD_READY : VT_FORWARD_SPENT;
    }
}

/* --- samples --- */

void vt_sample_clear(struct vt_sample *s)
{
    free(s->tokens);
    free(s->logprobs);
    free(s->logprobs_behaviour);
    free(s->text);
    memset(s, 0, sizeof *s);
}
