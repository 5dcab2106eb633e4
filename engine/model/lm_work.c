/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_work.c: a job on its way through the door: checked, made into work for the backend, begun; later waited for, its
 * results brought to the caller and its borrowed things returned. Runs on the model's thread.
 *
 * What a job made (group, tape) reaches the caller only when it succeeded. A tape that was given to BACKWARD is gone
 * whatever happens. A gradient is poisoned once the backend was at it and failed, since nobody can say how much of the
 * sum is in it.
 */
#include "base/alloc.h"
#include "model/lm_door.h"
#include <stdlib.h>
#include <string.h>

typedef vt_status work_fn(void *be, struct vt_lm_work *w, vt_err *err);

static vt_status hand_over(vt_lm *lm, work_fn *fn, struct vt_lm_work *w, vt_err *err)
{
    w->has_begun = true;
    return fn(lm->be, w, err);
}

static vt_status begin_group(vt_lm *lm, struct vt_lm_work *w, vt_err *err)
{
    const struct vt_lm_job *job = w->job;
    struct vt_lm_adapter *a;
    VT_TRY(vt_lm_adapter_ref(lm, job->group.adapter, &a, err));
    VT_TRY(vt_lm_group_new(lm, job->group.n_tokens, a, &w->group.group, err));
    w->group.tokens = job->group.tokens;
    w->group.trace = lm->limits.trace_bytes ? job->group.trace : NULL;
    return hand_over(lm, lm->ops->group, w, err);
}

static vt_status begin_forward(vt_lm *lm, struct vt_lm_work *w, vt_err *err)
{
    VT_TRY(vt_lm_tape_new(lm, w->job, &w->forward.tape, err));
    w->memory = vt_alloc_array((size_t)w->forward.tape->n_targets, sizeof *w->forward.logprob);
    w->forward.logprob = w->memory;
    if (!w->memory)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d log-probabilities", w->forward.tape->n_targets);
    return hand_over(lm, lm->ops->forward, w, err);
}

static vt_status begin_backward(vt_lm *lm, struct vt_lm_work *w, vt_err *err)
{
    const struct vt_lm_job *job = w->job;
    const vt_lm_tape *t = job->backward.tape;
    float *flat = vt_alloc_array((size_t)t->n_targets, sizeof *flat);
    bool is_zero;
    w->memory = flat;
    w->backward.tape = job->backward.tape;
    w->backward.grad = job->backward.grad;
    if (!flat)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d weights", t->n_targets);
    VT_TRY(vt_lm_tape_gather(t, job->backward.w, flat, &is_zero, err));
    w->backward.w = flat;
    if (!w->backward.grad)
        VT_TRY(vt_lm_grad_new(lm, t->adapter, &w->backward.grad, err));
    return is_zero ? VT_OK : hand_over(lm, lm->ops->backward, w, err);
}

static vt_status begin(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    VT_TRY(vt_lm_check_job(lm, job, err));
    struct vt_lm_work *w = job->work = vt_alloc(sizeof *w);
    if (!w)
        return vt_fail(err, VT_ENOMEM, "out of memory for a job");
    w->job = job;
    w->kind = job->kind;
    switch (job->kind) {
    case VT_LM_GROUP:
        return begin_group(lm, w, err);
    case VT_LM_DECODE:
        VT_TRY(vt_lm_order_decode(lm, w, err));
        return hand_over(lm, lm->ops->decode, w, err);
    case VT_LM_SCORE:
        VT_TRY(vt_lm_order_score(w, err));
        return hand_over(lm, lm->ops->score, w, err);
    case VT_LM_FORWARD:
        return begin_forward(lm, w, err);
    case VT_LM_BACKWARD:
        return begin_backward(lm, w, err);
    }
    return VT_OK;
}

static void end_backward(vt_lm *lm, struct vt_lm_job *job, const struct vt_lm_work *w, vt_status status)
{
    vt_lm_grad *g = w ? w->backward.grad : NULL;
    vt_lm_tape_free(lm, job->backward.tape);
    job->backward.tape = NULL;
    if (status == VT_OK)
        job->backward.grad = g;
    else if (!job->backward.grad)
        vt_lm_grad_free(lm, g);
    else if (g && w->has_begun)
        g->is_poisoned = true;
}

static vt_status end(vt_lm *lm, struct vt_lm_job *job, vt_status status, vt_err *err)
{
    struct vt_lm_work *w = job->work;
    const bool has_begun = w && w->has_begun;
    if (status == VT_OK && has_begun && lm->ops->wait)
        status = lm->ops->wait(lm->be, w, err);
    switch (job->kind) {
    case VT_LM_GROUP:
        job->group.group = status == VT_OK ? w->group.group : NULL;
        if (w && status != VT_OK)
            vt_lm_group_close(lm, w->group.group);
        break;
    case VT_LM_DECODE:
        if (!has_begun && job->decode.n_slots > 0)
            memset(job->decode.n_out, 0, (size_t)job->decode.n_slots * sizeof *job->decode.n_out);
        break;
    case VT_LM_SCORE:
        break;
    case VT_LM_FORWARD:
        job->forward.tape = status == VT_OK ? w->forward.tape : NULL;
        if (status == VT_OK)
            vt_lm_tape_scatter(w->forward.tape, w->forward.logprob, job->forward.batches);
        else if (w)
            vt_lm_tape_free(lm, w->forward.tape);
        break;
    case VT_LM_BACKWARD:
        end_backward(lm, job, w, status);
        break;
    }
    if (w)
        free(w->memory);
    free(w);
    job->work = NULL;
    return status;
}

const struct vt_lm_steps vt_lm_steps = {begin, end};
