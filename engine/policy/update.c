/* SPDX-License-Identifier: Apache-2.0
 *
 * update.c: the door's side of training: the two halves of an update, the update as one request where a backend has
 * only halves, branches and snapshots. An update in two halves is a request that makes two others, one after the other,
 * and cancels them when it is cancelled.
 */
#include "base/alloc.h"
#include "base/limits.h"
#include "policy/request.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct vt_update_opts vt_update_defaults = {.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};

/* --- checks --- */

static vt_status check_batch(const vt_policy *p, const vt_weights *from, const struct vt_train_seq *seqs, size_t n,
                             vt_err *err)
{
    VT_TRY(vt_weights_check(p, from, "update", err));
    if (!p->caps.update)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s cannot be updated", p->spec);
    if (n == 0)
        return vt_fail(err, VT_EINVAL, "cannot update on an empty batch: give it at least one sequence");
    if (n > INT_MAX)
        return vt_fail(err, VT_ELIMIT, "cannot update on %zu sequences at once: cut the batch", n);
    for (size_t i = 0; i < n; i++)
        if (seqs[i].n_prompt < 1 || seqs[i].n_tokens < 0 ||
            (p->caps.n_ctx > 0 &&
             (seqs[i].n_prompt > p->caps.n_ctx || seqs[i].n_tokens > p->caps.n_ctx - seqs[i].n_prompt)))
            return vt_fail(
                err, VT_ELIMIT,
                "sequence %zu of the batch has a prompt of %d and a completion of %d tokens: the prompt needs "
                "one at least, and the model's context is %d",
                i + 1, seqs[i].n_prompt, seqs[i].n_tokens, p->caps.n_ctx);
    for (size_t i = 0; i < n; i++) {
        if (seqs[i].k == 0 && seqs[0].k == 0)
            continue;
        if (!p->caps.targets)
            return vt_fail(err, VT_EUNSUPPORTED, "the model %s trains on the tokens of a completion only", p->spec);
        if (seqs[i].k != seqs[0].k || seqs[i].k < 1 || seqs[i].k > VT_MAX_TARGETS)
            return vt_fail(err, VT_EINVAL,
                           "sequence %zu of the batch has %d targets a position and the first %d: give all the same "
                           "number, 1 to %d",
                           i + 1, seqs[i].k, seqs[0].k, VT_MAX_TARGETS);
    }
    return VT_OK;
}

/* Log-probabilities, and weights, of a sequence. */
static int n_values(const struct vt_train_seq *q)
{
    return q->n_tokens * (q->k > 0 ? q->k : 1);
}

static vt_status check_optimiser(const struct vt_update_opts *o, vt_err *err)
{
    VT_TRY(vt_limit_check(VT_LIMIT_LR, (double)o->lr, err));
    VT_TRY(vt_limit_check(VT_LIMIT_WEIGHT_DECAY, (double)o->weight_decay, err));
    VT_TRY(vt_limit_check(VT_LIMIT_GRAD_CLIP, (double)o->grad_clip, err));
    if (!(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1))
        return vt_fail(err, VT_EINVAL, "Adam's betas must be in [0, 1), not %g and %g", (double)o->beta1,
                       (double)o->beta2);
    if (!(o->eps >= 0) || !isfinite(o->eps))
        return vt_fail(err, VT_EINVAL, "Adam's eps must be 0 or more, not %g", (double)o->eps);
    return VT_OK;
}

/* agreement: what the forward did, whatever the caller wrote. */
static vt_status copy_opts(vt_request *r, const struct vt_update_opts *o, bool agreement, vt_err *err)
{
    r->opts = *o;
    r->opts.agreement = agreement;
    r->digest = o->digest ? vt_strdup(o->digest) : NULL;
    r->trained_on = o->trained_on ? vt_strdup(o->trained_on) : NULL;
    if ((o->digest && !r->digest) || (o->trained_on && !r->trained_on))
        return vt_fail(err, VT_ENOMEM, "out of memory for an update");
    r->opts.digest = r->digest;
    r->opts.trained_on = r->trained_on;
    return VT_OK;
}

/* --- the two halves --- */

void vt_forward_forget(vt_forward *f)
{
    vt_request *running;

    if (!f)
        return;
    pthread_mutex_lock(&f->policy->mutex);
    running = f->running;
    if (running)
        running->refs++;
    pthread_mutex_unlock(&f->policy->mutex);
    vt_request_cancel(running);
    vt_request_release(running);
    vt_forward_unref(f);
}

vt_status vt_policy_forward(vt_policy *p, vt_weights *from, struct vt_train_seq *seqs, size_t n, bool agreement,
                            vt_forward **out, vt_policy_done *done, void *arg, vt_request **ticket, vt_err *err)
{
    vt_request *r;
    vt_forward *f;
    vt_status status;

    *out = NULL;
    VT_TRY(check_batch(p, from, seqs, n, err));
    if (!p->caps.forward)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s trains on built-in losses only", p->spec);
    if (agreement && !p->caps.agreement)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s cannot measure how well half batches agree", p->spec);
    VT_TRY(vt_forward_new(p, from, seqs, n, agreement, &f, err));
    status = vt_request_new(p, VT_REQUEST_FORWARD, done, arg, &r, err);
    if (status == VT_OK) {
        r->weights = vt_weights_ref(from);
        r->forward = vt_forward_ref(f);
        f->running = r;
        *out = f;
        status = vt_request_submit(r, ticket, err);
    }
    if (status != VT_OK) {
        *out = NULL;
        f->running = NULL;
        vt_forward_unref(f);
    }
    return status;
}

/* Takes a ready handle for a step; says why another one cannot be. */
static vt_status claim(vt_forward *f, vt_err *err)
{
    vt_status status = VT_EINVAL;
    vt_err why;

    pthread_mutex_lock(&f->policy->mutex);
    why = f->why;
    switch (f->stage) {
    case VT_FORWARD_READY:
        f->stage = VT_FORWARD_STEPPING;
        status = VT_OK;
        break;
    case VT_FORWARD_RUNNING:
        vt_fail(err, status, "an update's step needs a finished forward: wait for its done first");
        break;
    case VT_FORWARD_STEPPING:
    case VT_FORWARD_SPENT:
        vt_fail(err, status, "this forward was stepped already: every step needs a forward of its own");
        break;
    case VT_FORWARD_POISONED:
        vt_fail(err, status, "this update failed before and cannot go on; begin it again with a forward (%s)", why.msg);
        break;
    }
    pthread_mutex_unlock(&f->policy->mutex);
    return status;
}

vt_status vt_policy_step(vt_forward *f, const struct vt_update_opts *o, vt_weights **out,
                         struct vt_update_report *report, vt_policy_done *done, void *arg, vt_request **ticket,
                         vt_err *err)
{
    vt_request *r;
    vt_status status;

    *out = NULL;
    VT_TRY(check_optimiser(o, err));
    VT_TRY(vt_request_new(f->policy, VT_REQUEST_STEP, done, arg, &r, err));
    status = copy_opts(r, o, f->agreement, err);
    if (status == VT_OK)
        status = claim(f, err);
    if (status != VT_OK) {
        vt_request_drop(r);
        return status;
    }
    memset(report, 0, sizeof *report);
    r->weights = vt_weights_ref(f->from);
    r->forward = vt_forward_ref(f);
    r->out = out;
    r->report = report;
    status = vt_request_submit(r, ticket, err);
    if (status != VT_OK) {
        pthread_mutex_lock(&f->policy->mutex);
        f->stage = VT_FORWARD_READY; /* nothing was started */
        pthread_mutex_unlock(&f->policy->mutex);
    }
    return status;
}

/* --- the update as one request --- */

/* Keeps a half's ticket where a cancel finds it; a cancel that was faster is passed on. */
static void keep_child(vt_request *r, vt_request **slot, vt_request *child)
{
    bool is_cancelled;

    pthread_mutex_lock(r->mutex);
    *slot = child;
    is_cancelled = r->is_cancelled;
    pthread_mutex_unlock(r->mutex);
    if (is_cancelled)
        vt_request_cancel(child);
}

static void end_halves(void *arg, vt_status status, const vt_err *err)
{
    vt_request *r = arg;
    vt_forward *f = r->forward_half;

    r->forward_half = NULL;
    vt_forward_forget(f);
    vt_request_finish(r, status, err);
}

static void on_forwarded(void *arg, vt_status status, const vt_err *err)
{
    vt_request *r = arg, *child;
    struct vt_update_request *u = r->update;
    vt_err why;

    if (status != VT_OK) {
        end_halves(r, status, err);
        return;
    }
    for (size_t i = 0; i < u->n; i++) {
        struct vt_train_seq *q = &u->seqs[i];

        vt_loss_weights(u->loss, &u->loss_opts, q->logp, q->logq, q->advantage, n_values(q), q->w);
    }
    vt_request_pin(r);
    status = vt_request_is_cancelled(r)
                 ? vt_fail(&why, VT_ECANCELLED, "the update was cancelled between its halves")
                 : vt_policy_step(r->forward_half, &r->opts, r->out, r->report, end_halves, r, &child, &why);
    if (status == VT_OK)
        keep_child(r, &r->step_child, child);
    else
        end_halves(r, status, &why);
    vt_request_release(r);
}

static vt_status start_halves(vt_request *r, vt_err *err)
{
    struct vt_update_request *u = r->update;
    vt_request *child;

    VT_TRY(
        vt_policy_forward(r->policy, r->weights, u->seqs, u->n, false, &r->forward_half, on_forwarded, r, &child, err));
    keep_child(r, &r->forward_child, child);
    return VT_OK;
}

static void stop_halves(vt_request *r)
{
    vt_request *halves[2];

    pthread_mutex_lock(r->mutex);
    halves[0] = r->forward_child;
    halves[1] = r->step_child;
    for (int i = 0; i < 2; i++)
        if (halves[i])
            halves[i]->refs++;
    pthread_mutex_unlock(r->mutex);
    for (int i = 0; i < 2; i++) {
        vt_request_cancel(halves[i]);
        vt_request_release(halves[i]);
    }
}

vt_status vt_policy_update(vt_policy *p, struct vt_update_request *u, vt_policy_done *done, void *arg,
                           vt_request **ticket, vt_err *err)
{
    vt_request *r;
    vt_status status;

    u->made = NULL;
    memset(&u->report, 0, sizeof u->report);
    VT_TRY(check_batch(p, u->from, u->seqs, u->n, err));
    VT_TRY(check_optimiser(&u->opts, err));
    for (size_t i = 0; i < u->n; i++)
        if (u->seqs[i].k > 0 && u->loss != VT_LOSS_CROSS_ENTROPY)
            return vt_fail(err, VT_EINVAL,
                           "sequence %zu of the batch has targets of its own, and this loss is of the sampled tokens: "
                           "use cross_entropy, whose advantages are the targets' weights",
                           i + 1);
    for (size_t i = 0; i < u->n; i++)
        if (!u->seqs[i].logq && u->loss != VT_LOSS_CROSS_ENTROPY)
            return vt_fail(err, VT_EINVAL,
                           "this loss needs the sampler's log-probabilities; sequence %zu of the batch has none",
                           i + 1);
    VT_TRY(vt_request_new(p, VT_REQUEST_UPDATE, done, arg, &r, err));
    r->weights = vt_weights_ref(u->from);
    r->update = u;
    r->out = &u->made;
    r->report = &u->report;
    if (!p->backend->update) {
        r->start = start_halves;
        r->stop = stop_halves;
    }
    status = copy_opts(r, &u->opts, false, err);
    if (status != VT_OK) {
        vt_request_drop(r);
        return status;
    }
    return vt_request_submit(r, ticket, err);
}

/* --- branches and snapshots --- */

vt_status vt_policy_branch(vt_weights *w, vt_weights **out, vt_policy_done *done, void *arg, vt_request **ticket,
                           vt_err *err)
{
    vt_policy *p = w->policy;
    vt_request *r;

    *out = NULL;
    if (!p->caps.update)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s cannot be updated, so there is nothing to branch", p->spec);
    VT_TRY(vt_request_new(p, VT_REQUEST_BRANCH, done, arg, &r, err));
    r->weights = vt_weights_ref(w);
    r->out = out;
    return vt_request_submit(r, ticket, err);
}

vt_status vt_weights_mix(vt_weights *a, vt_weights *b, double share, vt_weights **out, vt_err *err)
{
    vt_policy *p = a->policy;
    char id[65];

    *out = NULL;
    VT_TRY(vt_weights_check(p, a, "mix", err));
    VT_TRY(vt_weights_check(p, b, "mix", err));
    if (!(share >= 0 && share <= 1))
        return vt_fail(err, VT_EINVAL, "cannot mix weights with a share of %g: it must be from 0 to 1", share);
    if (!p->backend->mix)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the model %s keeps its parameters to itself: its weights cannot be averaged", p->spec);
    vt_weights_mix_id(a->id, b->id, share, id);
    return p->backend->mix(a, b, share, id, out, err);
}

/* A request about the folder dir. */
static vt_status new_file_request(vt_policy *p, enum vt_request_kind kind, const char *dir, vt_policy_done *done,
                                  void *arg, vt_request **out, vt_err *err)
{
    VT_TRY(vt_request_new(p, kind, done, arg, out, err));
    (*out)->dir = vt_strdup(dir);
    if ((*out)->dir)
        return VT_OK;
    vt_request_drop(*out);
    return vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);
}

vt_status vt_weights_save(vt_weights *w, const char *dir, enum vt_snapshot_kind kind, vt_policy_done *done, void *arg,
                          vt_request **ticket, vt_err *err)
{
    vt_policy *p = w->policy;
    vt_request *r;

    if (!p->backend->save)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s keeps no snapshots", p->spec);
    VT_TRY(new_file_request(p, VT_REQUEST_SAVE, dir, done, arg, &r, err));
    r->weights = vt_weights_ref(w);
    r->snapshot = kind;
    return vt_request_submit(r, ticket, err);
}

vt_status vt_weights_load(vt_policy *p, const char *dir, vt_weights **out, vt_policy_done *done, void *arg,
                          vt_request **ticket, vt_err *err)
{
    vt_request *r;

    *out = NULL;
    if (!p->backend->load)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s keeps no snapshots", p->spec);
    VT_TRY(new_file_request(p, VT_REQUEST_LOAD, dir, done, arg, &r, err));
    r->out = out;
    return vt_request_submit(r, ticket, err);
}

vt_status vt_snapshot_read(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err)
{
    if (!p->backend->read_snapshot)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s keeps no snapshots", p->spec);
    return p->backend->read_snapshot(p, dir, out, err);
}
