/* SPDX-License-Identifier: Apache-2.0
 *
 * scoring.c: log-probabilities of given completions. A request is one prompt and any number of rows: the prompt is
 * computed once, then all rows in one job (the backend bounds its own memory by walking the rows in chunks).
 */
#include "base/alloc.h"
#include "policy/native.h"
#include <stdlib.h>
#include <string.h>

struct score_work {
    struct vt_native_work work;
    vt_lm_group *group;
    vt_lm_group **groups; /* [n_rows], all the same group */
    /* Where more than log-probabilities is asked for: [n_rows], and the top tokens of all positions. */
    struct vt_lm_extra *extra;
    int32_t *top_ids;
    float *top_logprob;
};

static void free_work(struct score_work *w)
{
    if (!w)
        return;
    free(w->groups);
    free(w->extra);
    free(w->top_ids);
    free(w->top_logprob);
    free(w);
}

static void release_work(vt_policy *p, struct vt_native_work *work)
{
    struct score_work *w = (struct score_work *)work;

    if (w->group)
        vt_lm_group_close(vt_native_of(p)->lm, w->group);
    free_work(w);
}

static size_t count_tokens(const struct vt_score_request *r)
{
    size_t n = 0;

    for (int i = 0; i < r->n_rows; i++)
        n += (size_t)r->n[i];
    return n;
}

/* Room for the top tokens, and what the backend fills. */
static bool make_extra(struct score_work *w, const struct vt_score_request *r)
{
    const size_t n = count_tokens(r) * (size_t)r->n_top + 1;
    size_t at = 0;

    w->extra = vt_alloc_array((size_t)r->n_rows, sizeof *w->extra);
    w->top_ids = vt_alloc_array(n, sizeof *w->top_ids);
    w->top_logprob = vt_alloc_array(n, sizeof *w->top_logprob);
    if (!w->extra || !w->top_ids || !w->top_logprob)
        return false;
    for (int i = 0; i < r->n_rows; i++) {
        w->extra[i] = (struct vt_lm_extra){.entropy = r->detail[i].entropy,
                                           .certainty = r->detail[i].certainty,
                                           .n_top = r->n_top,
                                           .top_ids = w->top_ids + at,
                                           .top_logprob = w->top_logprob + at};
        at += (size_t)r->n[i] * (size_t)r->n_top;
    }
    return true;
}

static void fill_top(const struct score_work *w, const struct vt_score_request *r)
{
    for (int i = 0; i < r->n_rows; i++) {
        const size_t n = (size_t)r->n[i] * (size_t)r->n_top;

        if (r->detail[i].top_ids)
            memcpy(r->detail[i].top_ids, w->extra[i].top_ids, n * sizeof *w->top_ids);
        if (r->detail[i].top_logprobs)
            memcpy(r->detail[i].top_logprobs, w->extra[i].top_logprob, n * sizeof *w->top_logprob);
    }
    for (int i = 0; i < r->n_rows; i++)
        for (int t = 0; r->detail[i].confidence && t < r->n[i]; t++) {
            double sum = 0;
            for (int j = 0; j < r->n_top; j++)
                sum += (double)w->extra[i].top_logprob[t * r->n_top + j];
            r->detail[i].confidence[t] = (float)(-sum / r->n_top);
        }
}

/* The work's job is over. Mutex held. */
static void conclude(vt_policy *p, struct score_work *w, const struct vt_lm_job *job)
{
    struct vt_native *n = p->state;

    if (job->status != VT_OK)
        vt_native_fail(&w->work, &job->err);
    else if (w->extra && job->kind == VT_LM_SCORE)
        fill_top(w, w->work.request->score);
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
    job->score.k = r->k;
    job->score.targets = r->k > 0 ? r->targets : NULL;
    job->score.logprob = r->logprobs;
    job->score.extra = w->extra;
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
                             .k = r->k,
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
    if (!w || !w->groups || (r->score->detail && !make_extra(w, r->score))) {
        free_work(w);
        return vt_fail(err, VT_ENOMEM, "out of memory for scoring %d completions", r->score->n_rows);
    }
    w->work.request = r;
    w->work.release = release_work;
    vt_native_enqueue(p, &vt_native_of(p)->scores, &w->work);
    return VT_OK;
}
