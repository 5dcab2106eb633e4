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

/* The head of the queue is over. Mutex held. */
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

static void on_prefilled(struct vt_lm_job *job)
{
    struct score_work *w = job->user;
    const struct vt_score_request *r = w->work.request->score;
    vt_policy *p = w->work.request->policy;
    struct vt_native *n = p->state;

    vt_native_lock(n);
    if (job->status == VT_OK)
        w->group = job->group.group;
    if (job->status != VT_OK || w->work.is_cancelled) {
        conclude(p, w, job);
        vt_native_unlock(p);
        return;
    }
    for (int i = 0; i < r->n_rows; i++)
        w->groups[i] = w->group;
    n->job = (struct vt_lm_job){.kind = VT_LM_SCORE, .done = on_scored, .user = w};
    n->job.score.groups = w->groups;
    n->job.score.tokens = r->tokens;
    n->job.score.n = r->n;
    n->job.score.n_rows = r->n_rows;
    n->job.score.logprob = r->logprobs;
    vt_lm_submit(n->lm, &n->job);
    vt_native_unlock(p);
}

bool vt_native_start_scoring(vt_policy *p)
{
    struct vt_native *n = p->state;
    struct vt_native_work *w = n->scores;

    if (!w)
        return false;
    w->n_jobs = 1;
    n->job = (struct vt_lm_job){.kind = VT_LM_GROUP, .done = on_prefilled, .user = w};
    n->job.group.tokens = w->request->score->prompt;
    n->job.group.n_tokens = w->request->score->n_prompt;
    n->job.group.adapter = vt_native_adapter(w->request->weights);
    vt_lm_submit(n->lm, &n->job);
    return true;
}

vt_status vt_native_score(vt_policy *p, vt_request *r, vt_err *err)
{
    struct score_work *w = vt_alloc(sizeof *w);

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
