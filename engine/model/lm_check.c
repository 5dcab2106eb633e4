/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_check.c: what the door refuses before a backend hears of it: sizes no model has, tokens outside the vocabulary,
 * settings outside their ranges, adapters of other models, jobs that do not add up. One sentence each. Kernels index
 * memory with these numbers, so nothing here is advice.
 */
#include "base/limits.h"
#include "model/lm_door.h"
#include <math.h>
#include <stdio.h>

enum { MAX_DIM = 1 << 24, MAX_RANK = 1024 };

vt_status vt_lm_check_config(const struct vt_lm_config *c, vt_err *err)
{
    const int dims[] = {c->n_layers, c->d_model, c->d_ff, c->n_heads, c->n_kv_heads, c->head_dim, c->n_vocab, c->n_ctx};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
        if (dims[i] < 1 || dims[i] > MAX_DIM)
            return vt_fail(err, VT_EFORMAT, "the model's config holds a size of %d (field %zu), which no model has",
                           dims[i], i + 1);
    if (c->n_heads % c->n_kv_heads)
        return vt_fail(err, VT_EFORMAT, "%d attention heads cannot share %d key heads evenly", c->n_heads,
                       c->n_kv_heads);
    if (c->head_dim % 2)
        return vt_fail(err, VT_EFORMAT, "rotary positions need an even head size, not %d", c->head_dim);
    if ((uint64_t)c->n_heads * (uint64_t)c->head_dim > MAX_DIM)
        return vt_fail(err, VT_EFORMAT, "%d heads of size %d are more than this engine handles", c->n_heads,
                       c->head_dim);
    return VT_OK;
}

vt_status vt_lm_check_limits(const struct vt_lm_limits *l, bool has_wait, vt_err *err)
{
    if (l->in_flight < 1 || l->in_flight > (has_wait ? VT_LM_MOST_IN_FLIGHT : 1) || l->burst < 1 || l->max_slots < 1 ||
        l->max_targets < 1 || l->max_top < 0 || !l->numerics[0])
        return vt_fail(err, VT_EINTERNAL, "the backend %s states limits that cannot be (%d jobs in flight)", l->backend,
                       l->in_flight);
    return VT_OK;
}

static vt_status check_ids(const vt_lm *lm, const int32_t *ids, size_t n, int32_t lowest, const char *what, vt_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < lowest || ids[i] >= lm->cfg.n_vocab)
            return vt_fail(err, VT_EINVAL, "token %zu of %s has id %d, but the vocabulary has ids 0 to %d", i + 1, what,
                           (int)ids[i], lm->cfg.n_vocab - 1);
    return VT_OK;
}

static vt_status check_prompt(const vt_lm *lm, const int32_t *ids, int n, vt_err *err)
{
    if (n < 1)
        return vt_fail(err, VT_EINVAL, "the prompt is empty; give at least one token");
    if (n > lm->cfg.n_ctx)
        return vt_fail(err, VT_ELIMIT, "the prompt has %d tokens, but the model's context is %d", n, lm->cfg.n_ctx);
    return check_ids(lm, ids, (size_t)n, 0, "the prompt", err);
}

/* --- adapters --- */

static const char *const target_names[VT_LORA_N] = {"q_proj",    "k_proj",  "v_proj",    "o_proj",
                                                    "gate_proj", "up_proj", "down_proj", "lm_head"};

static vt_status check_experts(const vt_lm *lm, const struct vt_adapter *h, vt_err *err)
{
    for (int t = 0; t < VT_LORA_N; t++) {
        const int n = h->n_a[t] > h->n_b[t] ? h->n_a[t] : h->n_b[t];
        if (h->n_a[t] < 0 || h->n_b[t] < 0)
            return vt_fail(err, VT_EINVAL, "the adapter's %s has factors for %d experts", target_names[t], n);
        if (n > 0 && (h->targets & 1u << t) && !lm->limits.has_experts)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "the adapter's %s has factors for %d experts, but the backend %s runs this model's modules "
                           "without experts; use an adapter of one A and one B a module",
                           target_names[t], n, lm->limits.backend);
    }
    return VT_OK;
}

vt_status vt_lm_check_adapter(const vt_lm *lm, const struct vt_adapter *h, vt_err *err)
{
    const struct vt_lm_config *a = &h->cfg, *b = &lm->cfg;
    if (a->n_layers != b->n_layers || a->d_model != b->d_model || a->d_ff != b->d_ff || a->n_heads != b->n_heads ||
        a->n_kv_heads != b->n_kv_heads || a->head_dim != b->head_dim || a->n_vocab != b->n_vocab)
        return vt_fail(
            err, VT_EINVAL,
            "the adapter was made for a model of %d layers, width %d and %d tokens, this one has %d, %d and %d; use an "
            "adapter of this model",
            a->n_layers, a->d_model, a->n_vocab, b->n_layers, b->d_model, b->n_vocab);
    if (h->rank < 1 || h->rank > MAX_RANK)
        return vt_fail(err, VT_EINVAL, "the adapter's rank is %d; ranks 1 to %d are possible", h->rank, (int)MAX_RANK);
    VT_TRY(check_experts(lm, h, err));
    for (size_t i = 0; i < h->n_params; i++)
        if (!isfinite(h->params[i]))
            return vt_fail(err, VT_EINVAL,
                           "the adapter holds a NaN or infinite value at parameter %zu; it cannot be used", i);
    return VT_OK;
}

vt_status vt_lm_check_adam(const struct vt_adam *o, vt_err *err)
{
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1 && o->eps >= 0 && o->lr >= 0 &&
          isfinite(o->eps) && isfinite(o->lr)))
        return vt_fail(err, VT_EINVAL,
                       "Adam needs 0 <= beta < 1 and lr, eps >= 0; got lr %g, beta1 %g, beta2 %g, eps %g",
                       (double)o->lr, (double)o->beta1, (double)o->beta2, (double)o->eps);
    if (!(o->weight_decay >= 0 && isfinite(o->weight_decay) && o->grad_clip >= 0))
        return vt_fail(err, VT_EINVAL, "Adam needs weight_decay and grad_clip >= 0; got %g and %g",
                       (double)o->weight_decay, (double)o->grad_clip);
    return VT_OK;
}

/* --- slots --- */

static vt_status check_sampling(const vt_lm *lm, const struct vt_sampling *s, vt_err *err)
{
    VT_TRY(vt_limit_check(VT_LIMIT_TEMPERATURE, (double)s->temperature, err));
    VT_TRY(vt_limit_check(VT_LIMIT_TOP_P, (double)s->top_p, err));
    VT_TRY(vt_limit_check(VT_LIMIT_MIN_P, (double)s->min_p, err));
    VT_TRY(vt_limit_check(VT_LIMIT_TOP_K, s->top_k, err));
    if (s->n_banned < 0)
        return vt_fail(err, VT_EINVAL, "the number of banned ids must be 0 or more");
    return check_ids(lm, s->banned, (size_t)s->n_banned, 0, "the banned ids", err);
}

vt_status vt_lm_check_grad(const vt_lm_grad *g, const struct vt_adapter *shape, const char *what, vt_err *err)
{
    if (g->is_poisoned)
        return vt_fail(err, VT_EINVAL,
                       "%s is of no use: a backward pass failed while it added to it; free it and begin anew", what);
    if (g->shape.n_params != shape->n_params || g->shape.rank != shape->rank || g->shape.targets != shape->targets)
        return vt_fail(err, VT_EINVAL,
                       "%s has %zu parameters at rank %d, where %zu at rank %d belong: they are of different adapters",
                       what, g->shape.n_params, g->shape.rank, shape->n_params, shape->rank);
    return VT_OK;
}

vt_status vt_lm_check_slot(const vt_lm *lm, const vt_lm_group *g, const struct vt_sampling *s, int max_tokens,
                           const int32_t *stop_ids, int n_stop_ids, vt_err *err)
{
    VT_TRY(check_sampling(lm, s, err));
    if (n_stop_ids < 0)
        return vt_fail(err, VT_EINVAL, "a sample cannot have %d stop ids", n_stop_ids);
    VT_TRY(check_ids(lm, stop_ids, (size_t)n_stop_ids, 0, "the stop ids", err));
    VT_TRY(vt_limit_check(VT_LIMIT_MAX_TOKENS, max_tokens, err));
    if (max_tokens > lm->cfg.n_ctx - g->n_tokens)
        return vt_fail(err, VT_ELIMIT, "a prompt of %d tokens and %d new ones pass the model's context of %d",
                       g->n_tokens, max_tokens, lm->cfg.n_ctx);
    return VT_OK;
}

/* --- jobs --- */

static vt_status check_extra(const vt_lm *lm, const struct vt_lm_extra *e, vt_err *err)
{
    if (e->n_top < 0 || e->n_top > lm->limits.max_top || e->n_top > lm->cfg.n_vocab)
        return vt_fail(err, VT_ELIMIT, "the %d most probable tokens were asked for; the backend %s gives 0 to %d",
                       e->n_top, lm->limits.backend, lm->limits.max_top);
    if (e->n_top && (!e->top_ids || !e->top_logprob))
        return vt_fail(err, VT_EINVAL, "the %d most probable tokens were asked for without room for them", e->n_top);
    return VT_OK;
}

static vt_status check_decode(const vt_lm *lm, const struct vt_lm_job *job, vt_err *err)
{
    if (job->decode.n_slots < 1 || job->decode.n_steps < 1)
        return vt_fail(err, VT_EINVAL, "cannot decode %d samples by %d steps; both must be at least 1",
                       job->decode.n_slots, job->decode.n_steps);
    if (job->decode.n_slots > lm->limits.max_slots)
        return vt_fail(err, VT_ELIMIT, "cannot decode %d samples at once; the backend %s takes %d", job->decode.n_slots,
                       lm->limits.backend, lm->limits.max_slots);
    return check_extra(lm, &job->decode.extra, err);
}

static vt_status check_k(const vt_lm *lm, int k, vt_err *err)
{
    if (k < 0 || k > lm->limits.max_targets)
        return vt_fail(err, VT_ELIMIT, "%d targets at a position were given; the backend %s takes 1 to %d", k,
                       lm->limits.backend, lm->limits.max_targets);
    return VT_OK;
}

/* Row r: a completion after n_prompt tokens. targets and trace are its own, or NULL. */
static vt_status check_row(const vt_lm *lm, int r, int n_prompt, const int32_t *tokens, int n, const int32_t *targets,
                           int k, const unsigned char *trace, vt_err *err)
{
    if (n < 0)
        return vt_fail(err, VT_EINVAL, "completion %d has %d tokens; 0 or more are possible", r + 1, n);
    if (n > lm->cfg.n_ctx - n_prompt)
        return vt_fail(err, VT_ELIMIT,
                       "completion %d has %d tokens after a prompt of %d, but the model's context is %d", r + 1, n,
                       n_prompt, lm->cfg.n_ctx);
    VT_TRY(check_ids(lm, tokens, (size_t)n, 0, "a completion", err));
    if (k > 1 && n > 0 && !targets)
        return vt_fail(err, VT_EINVAL, "completion %d is to have %d targets at a position, but names none", r + 1, k);
    if (targets)
        VT_TRY(check_ids(lm, targets, (size_t)n * (size_t)k, -1, "a completion's targets", err));
    if (trace && !lm->limits.trace_bytes)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "completion %d comes with a routing trace, but the backend %s routes nothing in this model; "
                       "give none",
                       r + 1, lm->limits.backend);
    return VT_OK;
}

static int at_least_one(int k)
{
    return k > 1 ? k : 1;
}

static vt_status check_score(const vt_lm *lm, const struct vt_lm_job *job, vt_err *err)
{
    const int k = at_least_one(job->score.k);
    if (job->score.n_rows < 1)
        return vt_fail(err, VT_EINVAL, "there is no completion to score");
    VT_TRY(check_k(lm, job->score.k, err));
    for (int i = 0; i < job->score.n_rows; i++) {
        VT_TRY(check_row(lm, i, job->score.groups[i]->n_tokens, job->score.tokens[i], job->score.n[i],
                         job->score.targets ? job->score.targets[i] : NULL, k,
                         job->score.trace ? job->score.trace[i] : NULL, err));
        if (!job->score.extra)
            continue;
        VT_TRY(check_extra(lm, &job->score.extra[i], err));
        if (job->score.extra[i].n_top != job->score.extra[0].n_top)
            return vt_fail(err, VT_EINVAL,
                           "completion %d asks for the %d most probable tokens, completion 1 for %d; one number a job",
                           i + 1, job->score.extra[i].n_top, job->score.extra[0].n_top);
    }
    return VT_OK;
}

static vt_status check_batch(const vt_lm *lm, const struct vt_lm_prompt_batch *b, int k, vt_err *err)
{
    VT_TRY(check_prompt(lm, b->prompt, b->n_prompt, err));
    if (b->n_rows < 1)
        return vt_fail(err, VT_EINVAL, "a training batch has a prompt but no completion");
    VT_TRY(check_k(lm, k, err));
    if (b->prompt_trace && !lm->limits.trace_bytes)
        return vt_fail(
            err, VT_EUNSUPPORTED,
            "a prompt comes with a routing trace, but the backend %s routes nothing in this model; give none",
            lm->limits.backend);
    for (int r = 0; r < b->n_rows; r++)
        VT_TRY(check_row(lm, r, b->n_prompt, b->tokens[r], b->n[r], b->targets ? b->targets[r] : NULL, at_least_one(k),
                         b->trace ? b->trace[r] : NULL, err));
    return VT_OK;
}

static vt_status check_forward(const vt_lm *lm, const struct vt_lm_job *job, vt_err *err)
{
    const int k = at_least_one(job->forward.k);
    int64_t n_rows = 0, n_targets = 0;
    if (job->forward.n_batches < 1)
        return vt_fail(err, VT_EINVAL, "there is nothing to train on: give at least one prompt with a completion");
    for (int i = 0; i < job->forward.n_batches; i++) {
        const struct vt_lm_prompt_batch *b = &job->forward.batches[i];
        VT_TRY(check_batch(lm, b, job->forward.k, err));
        n_rows += b->n_prompt;
        for (int r = 0; r < b->n_rows; r++) {
            n_rows += b->n[r];
            n_targets += (int64_t)b->n[r] * k;
        }
        if (n_rows > INT32_MAX || n_targets > INT32_MAX)
            return vt_fail(err, VT_ELIMIT, "a training batch of more than %d tokens or targets; cut it in parts",
                           INT32_MAX);
    }
    return VT_OK;
}

vt_status vt_lm_check_job(vt_lm *lm, const struct vt_lm_job *job, vt_err *err)
{
    switch (job->kind) {
    case VT_LM_GROUP:
        return check_prompt(lm, job->group.tokens, job->group.n_tokens, err);
    case VT_LM_DECODE:
        return check_decode(lm, job, err);
    case VT_LM_SCORE:
        return check_score(lm, job, err);
    case VT_LM_FORWARD:
        return check_forward(lm, job, err);
    case VT_LM_BACKWARD:
        if (!job->backward.tape)
            return vt_fail(err, VT_EINVAL, "there is no tape to run backward; run FORWARD first");
        if (!job->backward.tape->adapter)
            return vt_fail(err, VT_EINVAL, "the base model is frozen; run FORWARD under an adapter to train it");
        return job->backward.grad ? vt_lm_check_grad(job->backward.grad, &job->backward.tape->adapter->shape,
                                                     "the gradient that BACKWARD adds to", err)
                                  : VT_OK;
    }
    return vt_fail(err, VT_EINVAL, "a job of kind %d does not exist", (int)job->kind);
}
