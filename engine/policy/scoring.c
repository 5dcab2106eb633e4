/* SPDX-License-Identifier: Apache-2.0
 *
 * scoring.c: log-probabilities of given completions. A request is one prompt and any number of rows: the prompt is
 * computed once, then all rows in one job (the backend bounds its own memory by walking the rows in chunks).
 */
#include "base/alloc.h"
#include "policy/native.h"
#include <stdlib.h>

struct score_work {
    struct score_work *next;
    struct vt_score_request *r;
    vt_weights *weights;
    vt_policy_done *done;
    void *arg;
    vt_lm_group *group;
    vt_lm_group **groups; /* [n_rows], all the same group */
    vt_status status;
    vt_err err;
};

static void finish_work(vt_policy *p, struct score_work *w)
{
    vt_policy_done *done = w->done;
    void *arg = w->arg;
    vt_status status = w->status;
    vt_err err = w->err;

    if (w->group)
        vt_lm_group_close(p->lm, w->group);
    vt_weights_unref(w->weights);
    free(w->groups);
    free(w);
    done(arg, status, &err);
}

/* The head of the queue is over. Mutex held on entry, released on return. */
static void conclude(vt_policy *p, struct score_work *w, const struct vt_lm_job *job)
{
    if (job->status != VT_OK) {
        w->status = job->status;
        w->err = job->err;
    }
    p->scores = w->next;
    vt_native_job_done(p);
    pthread_mutex_unlock(&p->mutex);
    finish_work(p, w);
}

static void on_scored(struct vt_lm_job *job)
{
    struct score_work *w = job->user;
    vt_policy *p = w->weights->policy;

    pthread_mutex_lock(&p->mutex);
    conclude(p, w, job);
}

static void on_prefilled(struct vt_lm_job *job)
{
    struct score_work *w = job->user;
    vt_policy *p = w->weights->policy;

    pthread_mutex_lock(&p->mutex);
    if (job->status != VT_OK) {
        conclude(p, w, job);
        return;
    }
    w->group = job->group.group;
    for (int i = 0; i < w->r->n_rows; i++)
        w->groups[i] = w->group;
    p->job = (struct vt_lm_job){.kind = VT_LM_SCORE, .done = on_scored, .user = w};
    p->job.score.groups = w->groups;
    p->job.score.tokens = w->r->tokens;
    p->job.score.n = w->r->n;
    p->job.score.n_rows = w->r->n_rows;
    p->job.score.logprob = w->r->logprobs;
    vt_lm_submit(p->lm, &p->job);
    pthread_mutex_unlock(&p->mutex);
}

bool vt_native_start_scoring(vt_policy *p)
{
    struct score_work *w = p->scores;

    if (!w)
        return false;
    p->job = (struct vt_lm_job){.kind = VT_LM_GROUP, .done = on_prefilled, .user = w};
    p->job.group.tokens = w->r->prompt;
    p->job.group.n_tokens = w->r->n_prompt;
    p->job.group.adapter = w->weights->adapter;
    vt_lm_submit(p->lm, &p->job);
    return true;
}

/* Refused here, and not in the middle of the work, when it does not fit the memory limit. */
static vt_status plan_rows(vt_policy *p, const struct vt_score_request *r, vt_err *err)
{
    struct vt_lm_shapes s = {.purpose = VT_LM_SCORING,
                             .n_groups = 1,
                             .n_prompt = r->n_prompt,
                             .n_slots = r->n_rows,
                             .adapter = r->weights->adapter};

    for (int i = 0; i < r->n_rows; i++)
        s.n_new = r->n[i] > s.n_new ? r->n[i] : s.n_new;
    return vt_lm_plan(p->lm, &s, NULL, err);
}

static vt_status check_request(const vt_policy *p, const struct vt_score_request *r, vt_err *err)
{
    if (r->weights->policy != p)
        return vt_fail(err, VT_EINVAL, "cannot score: the weights belong to another policy");
    if (r->n_prompt < 1)
        return vt_fail(err, VT_EINVAL, "cannot score after an empty prompt: give it at least one token");
    if (r->n_rows < 1)
        return vt_fail(err, VT_EINVAL, "cannot score %d completions: give at least one", r->n_rows);
    for (int i = 0; i < r->n_rows; i++)
        if (r->n[i] < 0 || r->n[i] > p->caps.n_ctx - r->n_prompt)
            return vt_fail(err, VT_ELIMIT,
                           "completion %d has %d tokens after a prompt of %d: the model's context is %d", i + 1,
                           r->n[i], r->n_prompt, p->caps.n_ctx);
    return VT_OK;
}

vt_status vt_policy_score(vt_policy *p, struct vt_score_request *r, vt_policy_done *done, void *arg, vt_err *err)
{
    struct score_work *w, **last;

    VT_TRY(check_request(p, r, err));
    VT_TRY(plan_rows(p, r, err));
    w = vt_alloc(sizeof *w);
    if (w)
        w->groups = vt_alloc_array((size_t)r->n_rows, sizeof *w->groups);
    if (!w || !w->groups) {
        free(w);
        return vt_fail(err, VT_ENOMEM, "out of memory for scoring %d completions", r->n_rows);
    }
    w->r = r;
    w->done = done;
    w->arg = arg;
    w->weights = vt_weights_ref(r->weights);
    pthread_mutex_lock(&p->mutex);
    for (last = &p->scores; *last; last = &(*last)->next)
        ;
    *last = w;
    vt_native_pump(p);
    pthread_mutex_unlock(&p->mutex);
    return VT_OK;
}

void vt_native_cancel_scores(vt_policy *p)
{
    while (p->scores) {
        struct score_work *w = p->scores;

        p->scores = w->next;
        w->status = vt_fail(&w->err, VT_ECANCELLED, "scoring was cancelled: the policy was closed");
        finish_work(p, w);
    }
}
