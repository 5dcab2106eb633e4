/* SPDX-License-Identifier: Apache-2.0
 *
 * scoring.c: log-probabilities of given completions. A request is one prompt and any number of rows: the prompt is
 * computed once, then all rows in one job (the backend bounds its own memory by walking the rows in chunks).
 */
#include "base/alloc.h"
#include "policy/native.h"
#include <stdlib.h>

struct score_work {
    struct vt_native_work work;
    vt_lm_group *group;
    vt_lm_group **groups; /* [n_rows], all the same group */
};

static void release_work(vt_policy *p, struct vt_native_work *work)
{
    struct score_work *w = (struct score_work *)work;

    if (w->group)
        vt_lm_group_close(vt_native_of(p)->lm, w->group);
    free(w->groups);
    free(w);
}

/* The work's job is over. Mutex held. */
static void conclude(vt_policy *p, struct score_work *w, const struct vt_lm_job *job)
{
    struct vt_native *n = p->state;

    if (job->status != VT_OK)
        vt_native_fail(&w->work, &job->err);
    w->work.n_jobs = 0;
    vt_native_end(n, &n->scores, &w->work);
    vt_native_job_done(p);
}

static void on_scored(struct vt_lm_job *job)
{
    struct score_work *w = job->user;
    vt_policy *p = w->work.request->policy;

    vt_native_lock(p->state);
    conclude(p, w, job);
    vt_native_unlock(p);
}

/* The rows follow at once: the prompt's keys and values wait for nobody else. */
static void submit_rows(struct vt_native *n, struct score_work *w)
{
    const struct vt_score_request *r = w->work.request->score;
    struct vt_lm_job *job = vt_native_job(&w->work, VT_LM_SCORE, on_scored);

    for (int i = 0; i < r->n_rows; i++)
        w->groups[i] = w->group;
    job->score.groups = w->groups;
    job->score.tokens = r->tokens;
    job->score.n = r->n;
    job->score.n_rows = r->n_rows;
    job->score.logprob = r->logprobs;
    n->n_in_flight--; /* the prefill that ended */
    vt_native_submit(n, job);
}

static void on_prefilled(struct vt_lm_job *job)
{
    struct score_work *w = job->user;
    vt_policy *p = w->work.request->policy;

    vt_native_lock(p->state);
    if (job->status == VT_OK)
        w->group = job->group.group;
    if (job->status != VT_OK || w->work.is_cancelled)
        conclude(p, w, job);
    else
        submit_rows(p->state, w);
    vt_native_unlock(p);
}

bool vt_native_start_scoring(vt_policy *p)
{
    struct vt_native *n = p->state;
    struct vt_native_work *w = n->scores.first;
    struct vt_lm_job *job;

    while (w && w->n_jobs > 0)
        w = w->next;
    if (!w)
        return false;
    job = vt_native_job(w, VT_LM_GROUP, on_prefilled);
    job->group.tokens = w->request->score->prompt;
    job->group.n_tokens = w->request->score->n_prompt;
    job->group.adapter = vt_native_adapter(w->request->weights);
    vt_native_submit(n, job);
    return true;
}

/* Refused here, and not in the middle of the work, when it does not fit the memory limit. */
static vt_status plan_rows(const struct vt_native *n, const vt_request *request, vt_err *err)
{
    const struct vt_score_request *r = request->score;
    struct vt_lm_shapes s = {.purpose = VT_LM_SCORING,
                             .n_groups = 1,
                             .n_prompt = r->n_prompt,
                             .n_slots = r->n_rows,
                             .adapter = vt_native_adapter(request->weights)};

    for (int i = 0; i < r->n_rows; i++)
        s.n_new = r->n[i] > s.n_new ? r->n[i] : s.n_new;
    return vt_lm_plan(n->lm, &s, NULL, err);
}

vt_status vt_native_score(vt_policy *p, vt_request *r, vt_err *err)
{
    struct score_work *w;

    VT_TRY(plan_rows(p->state, r, err));
    w = vt_alloc(sizeof *w);
    if (w)
        w->groups = vt_alloc_array((size_t)r->score->n_rows, sizeof *w->groups);
    if (!w || !w->groups) {
        free(w);
        return vt_fail(err, VT_ENOMEM, "out of memory for scoring %d completions", r->score->n_rows);
    }
    w->work.request = r;
    w->work.release = release_work;
    vt_native_enqueue(p, &vt_native_of(p)->scores, &w->work);
    return VT_OK;
}
