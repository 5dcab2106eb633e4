/* SPDX-License-Identifier: Apache-2.0
 *
 * training.c: one LoRA update in two halves. forward gives the log-probability of every token under the weights it
 * starts from and keeps the activations; the caller turns log-probabilities into weights w; step runs the backward pass
 * of L = -sum w logp, then AdamW, and gives new, immutable weights. What lies between the halves belongs to the handle,
 * so any number of updates may be under way, from any weights.
 *
 * The batch is cut into parts. Two parts (even and odd sequences) when the caller wants to know how well the gradients
 * of two halves agree; more when the whole does not fit the memory limit. If all tapes cannot be kept at once, forward
 * frees them and step computes each part's forward again: same bits, more time. Within a part, sequences with equal
 * prompts share one computation of the prompt.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "policy/native.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct part {
    struct vt_lm_prompt_batch *batches;
    int n_batches, half; /* half: 0 or 1, whose gradient it adds to */
    const int32_t **tokens, **targets;
    int *n;
    float **logp;
    const float **w;           /* [sequence] */
    const float *const **rows; /* [batch] -> first row in w */
    vt_lm_tape *tape;
};

/* vt_forward.state */
struct forward_state {
    struct vt_train_seq *seqs;
    size_t n_seqs;
    bool agreement, keeps_tapes;
    vt_weights *from; /* what is trained: the caller's weights, or a fresh adapter over the base */
    struct part *parts;
    int n_parts;
    double seconds;
    uint64_t n_tokens, n_computed;
};

struct train_work {
    struct vt_native_work work; /* of a forward or a step */
    struct forward_state *f;
    int at; /* part */
    uint64_t started_ns;
    vt_lm_grad *grad[2]; /* of a step, by half */
};

static struct train_work *work_of(struct vt_native_work *w)
{
    return (struct train_work *)w;
}

static void free_part(vt_lm *lm, struct part *part)
{
    if (part->tape)
        vt_lm_tape_free(lm, part->tape);
    free(part->batches);
    free(part->tokens);
    free(part->targets);
    free(part->n);
    free(part->logp);
    free(part->w);
    free(part->rows);
}

static void free_parts(vt_lm *lm, struct forward_state *f)
{
    for (int i = 0; i < f->n_parts; i++)
        free_part(lm, &f->parts[i]);
    free(f->parts);
    f->parts = NULL;
    f->n_parts = 0;
}

void vt_native_free_forward(vt_policy *p, void *state)
{
    struct forward_state *f = state;

    free_parts(vt_native_of(p)->lm, f);
    vt_weights_unref(f->from);
    free(f);
}

static void release_work(vt_policy *p, struct vt_native_work *work)
{
    struct train_work *w = work_of(work);

    /* A spent or failed update keeps no tapes, however long its handle lives. */
    if (work->request->kind == VT_REQUEST_STEP || work->status != VT_OK)
        free_parts(vt_native_of(p)->lm, w->f);
    vt_lm_grad_free(vt_native_of(p)->lm, w->grad[0]);
    vt_lm_grad_free(vt_native_of(p)->lm, w->grad[1]);
    free(w);
}

static bool same_prompt(const struct vt_train_seq *a, const struct vt_train_seq *b)
{
    return a->n_prompt == b->n_prompt &&
           (a->prompt == b->prompt || memcmp(a->prompt, b->prompt, (size_t)a->n_prompt * sizeof *a->prompt) == 0);
}

/* Lays out one part from the sequences order[0..n), which are sorted so that equal prompts are neighbours. */
static vt_status make_part(struct part *part, const struct vt_train_seq *seqs, const size_t *order, size_t n, int half,
                           vt_err *err)
{
    part->half = half;
    part->batches = vt_alloc_array(n, sizeof *part->batches);
    part->tokens = vt_alloc_array(n, sizeof *part->tokens);
    part->targets = vt_alloc_array(n, sizeof *part->targets);
    part->n = vt_alloc_array(n, sizeof *part->n);
    part->logp = vt_alloc_array(n, sizeof *part->logp);
    part->w = vt_alloc_array(n, sizeof *part->w);
    part->rows = vt_alloc_array(n, sizeof *part->rows);
    if (!part->batches || !part->tokens || !part->targets || !part->n || !part->logp || !part->w || !part->rows)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", n);
    for (size_t i = 0; i < n; i++) {
        const struct vt_train_seq *seq = &seqs[order[i]];
        struct vt_lm_prompt_batch *batch;

        part->tokens[i] = seq->tokens;
        part->targets[i] = seq->targets;
        part->n[i] = seq->n_tokens;
        part->logp[i] = seq->logp;
        part->w[i] = seq->w;
        if (i == 0 || !same_prompt(seq, &seqs[order[i - 1]])) {
            part->rows[part->n_batches] = &part->w[i];
            part->batches[part->n_batches++] =
                (struct vt_lm_prompt_batch){.prompt = seq->prompt,
                                            .n_prompt = seq->n_prompt,
                                            .tokens = &part->tokens[i],
                                            .n = &part->n[i],
                                            .targets = seq->k > 0 ? &part->targets[i] : NULL,
                                            .logprob = &part->logp[i]};
        }
        batch = &part->batches[part->n_batches - 1];
        batch->n_rows++;
    }
    return VT_OK;
}

/* Indices of every `stride`-th sequence from `first`, equal prompts brought together in order of first appearance. */
static size_t order_half(const struct vt_train_seq *seqs, size_t n, size_t first, size_t stride, size_t *order,
                         bool *taken)
{
    size_t n_ordered = 0;

    memset(taken, 0, n * sizeof *taken);
    for (size_t i = first; i < n; i += stride) {
        if (taken[i])
            continue;
        for (size_t j = i; j < n; j += stride) {
            if (!taken[j] && same_prompt(&seqs[i], &seqs[j])) {
                taken[j] = true;
                order[n_ordered++] = j;
            }
        }
    }
    return n_ordered;
}

static struct vt_lm_shapes shapes_of(const struct vt_train_seq *seqs, const size_t *order, size_t n)
{
    struct vt_lm_shapes s = {.purpose = VT_LM_TRAINING, .n_slots = (int)n, .k = n > 0 ? seqs[order[0]].k : 0};

    for (size_t i = 0; i < n; i++) {
        const struct vt_train_seq *seq = &seqs[order[i]];

        if (i == 0 || !same_prompt(seq, &seqs[order[i - 1]]))
            s.n_groups++;
        s.n_prompt = seq->n_prompt > s.n_prompt ? seq->n_prompt : s.n_prompt;
        s.n_new = seq->n_tokens > s.n_new ? seq->n_tokens : s.n_new;
    }
    return s;
}

/* Largest number of sequences from the front of order that one tape can hold; a refusal when it is 0. */
static vt_status fit(const struct vt_native *nat, const struct forward_state *f, const size_t *order, size_t n,
                     size_t *fits, vt_err *err)
{
    vt_status status = VT_ENOMEM;

    for (*fits = n; *fits >= 1; *fits /= 2) {
        struct vt_lm_shapes s = shapes_of(f->seqs, order, *fits);

        s.adapter = vt_native_adapter(f->from);
        s.n_grads = f->agreement ? 2 : 1;
        status = vt_lm_plan(nat->lm, &s, NULL, err);
        if (status != VT_ENOMEM)
            break;
    }
    return status;
}

static vt_status cut_into_parts(const struct vt_native *nat, struct forward_state *f, vt_err *err)
{
    size_t n_halves = f->agreement && f->n_seqs >= 2 ? 2 : 1;
    size_t *order = vt_alloc_array(f->n_seqs, sizeof *order);
    bool *taken = vt_alloc_array(f->n_seqs, sizeof *taken);
    vt_status status = VT_OK;

    f->parts = vt_alloc_array(f->n_seqs, sizeof *f->parts);
    if (!order || !taken || !f->parts)
        status = vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", f->n_seqs);
    for (size_t half = 0; half < n_halves && status == VT_OK; half++) {
        size_t n = order_half(f->seqs, f->n_seqs, half, n_halves, order, taken), fits = 0;

        for (size_t at = 0; at < n && status == VT_OK; at += fits) {
            status = fit(nat, f, order + at, n - at, &fits, err);
            if (status == VT_OK)
                status = make_part(&f->parts[f->n_parts++], f->seqs, order + at, fits, (int)half, err);
        }
    }
    /* A tape of everything fits when one part did, or when two halves fit as one. */
    f->keeps_tapes = f->n_parts == 1;
    if (status == VT_OK && f->n_parts == (int)n_halves && n_halves == 2) {
        size_t fits = 0, n = order_half(f->seqs, f->n_seqs, 0, 1, order, taken);

        f->keeps_tapes = fit(nat, f, order, n, &fits, NULL) == VT_OK && fits == n;
    }
    free(order);
    free(taken);
    return status;
}

static void submit_forward(struct vt_native *n, struct train_work *w, void (*done)(struct vt_lm_job *))
{
    const struct part *part = &w->f->parts[w->at];
    struct vt_lm_job *job = vt_native_job(&w->work, VT_LM_FORWARD, done);

    job->forward.adapter = vt_native_adapter(w->f->from);
    job->forward.k = w->f->seqs[0].k; /* every sequence's */
    job->forward.batches = part->batches;
    job->forward.n_batches = part->n_batches;
    vt_native_submit(n, job);
}

/* The work's jobs are over. Mutex held. */
static void conclude(vt_policy *p, struct train_work *w)
{
    struct vt_native *n = p->state;

    w->work.n_jobs = 0;
    vt_native_end(n, &n->trainings, &w->work);
    vt_native_job_done(p);
}

static void on_forward(struct vt_lm_job *job)
{
    struct train_work *w = job->user;
    struct forward_state *f = w->f;
    vt_policy *p = w->work.request->policy;
    struct vt_native *n = p->state;

    vt_native_lock(n);
    if (job->status != VT_OK) {
        vt_native_fail(&w->work, &job->err);
    } else if (f->keeps_tapes) {
        f->parts[w->at].tape = job->forward.tape;
    } else {
        vt_lm_tape_free(n->lm, job->forward.tape);
    }
    if (w->work.status == VT_OK && ++w->at < f->n_parts) {
        n->n_in_flight--; /* the part that ended; the next one follows at once */
        submit_forward(n, w, on_forward);
    } else {
        f->seconds = 1e-9 * (double)(vt_now_ns() - w->started_ns);
        conclude(p, w);
    }
    vt_native_unlock(p);
}

/* New weights from the gradient. On the model's thread, between jobs. */
static vt_status apply(vt_policy *p, struct train_work *w, vt_weights **made, vt_err *err)
{
    const struct vt_native *n = p->state;
    const struct vt_update_opts *o = &w->work.request->opts;
    struct vt_adam adam = {.lr = o->lr,
                           .beta1 = o->beta1,
                           .beta2 = o->beta2,
                           .eps = o->eps,
                           .weight_decay = o->weight_decay,
                           .grad_clip = o->grad_clip};
    const vt_weights *old = w->f->from;
    int adapter = 0;
    char id[65], *trained_on = NULL;
    vt_status status;

    vt_native_next_id(old, o, id);
    status = vt_identity_merge_trained_on(old->trained_on, o->trained_on, &trained_on, err);
    if (status == VT_OK)
        status = vt_lm_adapter_clone(n->lm, vt_native_adapter(old), &adapter, err);
    if (status == VT_OK)
        status = vt_lm_adam(n->lm, adapter, w->grad[0], &adam, &w->work.request->report->grad_norm, err);
    if (status != VT_OK && adapter)
        vt_lm_adapter_drop(n->lm, adapter);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, old->step + 1, true, trained_on, made, err);
    free(trained_on);
    return status;
}

/* How far the gradients of the two halves agree; their sum is left in grad[0]. */
static vt_status join_halves(const struct vt_native *n, struct train_work *w, double *agreement, vt_err *err)
{
    *agreement = (double)NAN;
    if (!w->grad[1])
        return VT_OK;
    VT_TRY(vt_lm_grad_cosine(n->lm, w->grad[0], w->grad[1], agreement, err));
    return vt_lm_grad_add(n->lm, w->grad[0], w->grad[1], err);
}

/* All gradients are there: the weights, and the end of the work. On the model's thread, between jobs. A cancel that
 * comes meanwhile still wins. */
static void finish_step(vt_policy *p, struct train_work *w)
{
    struct vt_native *n = p->state;
    struct vt_update_report *report = w->work.request->report;
    vt_weights *made = NULL;
    vt_err err;
    vt_status status;

    status = join_halves(n, w, &report->agreement, &err);
    if (status == VT_OK)
        status = apply(p, w, &made, &err);
    vt_lm_bytes(n->lm, &report->peak_bytes);
    report->forward_s = w->f->seconds;
    report->backward_s = 1e-9 * (double)(vt_now_ns() - w->started_ns);
    report->n_tokens = w->f->n_tokens;
    report->n_tokens_computed = w->f->n_computed;
    vt_native_lock(n);
    if (status != VT_OK)
        vt_native_fail(&w->work, &err);
    if (w->work.status == VT_OK) {
        *w->work.request->out = made;
        made = NULL;
        conclude(p, w);
        w = NULL;
    }
    vt_native_unlock(p);
    if (!w)
        return;
    vt_weights_unref(made);
    vt_native_lock(n);
    conclude(p, w);
    vt_native_unlock(p);
}

static void on_step_job(struct vt_lm_job *job);

/* Backward of the part at hand, or its forward first when the tape was not kept. */
static void submit_step(struct vt_native *n, struct train_work *w)
{
    struct part *part = &w->f->parts[w->at];
    struct vt_lm_job *job;

    if (!part->tape) {
        submit_forward(n, w, on_step_job);
        return;
    }
    job = vt_native_job(&w->work, VT_LM_BACKWARD, on_step_job);
    job->backward.tape = part->tape;
    job->backward.w = part->rows;
    job->backward.grad = w->grad[part->half];
    part->tape = NULL;
    vt_native_submit(n, job);
}

static void on_step_job(struct vt_lm_job *job)
{
    struct train_work *w = job->user;
    vt_policy *p = w->work.request->policy;
    struct vt_native *n = p->state;
    bool has_all = false;

    vt_native_lock(n);
    if (job->status != VT_OK) {
        vt_native_fail(&w->work, &job->err);
    } else if (job->kind == VT_LM_FORWARD) {
        w->f->parts[w->at].tape = job->forward.tape;
    } else {
        w->grad[w->f->parts[w->at++].half] = job->backward.grad;
        has_all = w->at == w->f->n_parts;
    }
    has_all = has_all && w->work.status == VT_OK;
    if (w->work.status != VT_OK) {
        conclude(p, w);
    } else if (!has_all) {
        n->n_in_flight--; /* the job that ended; the next one follows at once */
        submit_step(n, w);
    }
    vt_native_unlock(p);
    if (has_all)
        finish_step(p, w);
}

bool vt_native_start_training(vt_policy *p)
{
    struct vt_native *n = p->state;
    struct train_work *w = work_of(n->trainings.first);

    if (!w || w->work.n_jobs > 0) /* one update at a time: each takes all the memory there is */
        return false;
    w->started_ns = vt_now_ns();
    w->at = 0;
    if (w->work.request->kind == VT_REQUEST_FORWARD)
        submit_forward(n, w, on_forward);
    else
        submit_step(n, w);
    return true;
}

/* What a forward from w trains. The first update of a model without an adapter trains a fresh one. */
static vt_status trained_weights(vt_policy *p, vt_weights *w, vt_weights **out, vt_err *err)
{
    const struct vt_native *n = p->state;
    const struct vt_native_weights *state = w->state;
    struct vt_adapter *a = NULL;
    int adapter = 0;
    char id[65];
    vt_status status;

    if (state->adapter && !state->has_masters)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "cannot train on weights %.12s: they were saved without fp32 parameters; repeat the run from an "
                       "earlier step",
                       w->id);
    if (state->adapter) {
        *out = vt_weights_ref(w);
        return VT_OK;
    }
    vt_native_fresh_id(p, id);
    status = vt_adapter_new(vt_lm_cfg(n->lm), p->opts.rank, p->opts.alpha, p->opts.targets, p->opts.init_seed, &a, err);
    if (status == VT_OK)
        status = vt_lm_adapter_put(n->lm, a, &adapter, err);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, w->step, true, w->trained_on, out, err);
    vt_adapter_free(a);
    return status;
}

static void count_tokens(struct forward_state *f)
{
    for (int i = 0; i < f->n_parts; i++)
        for (int b = 0; b < f->parts[i].n_batches; b++) {
            const struct vt_lm_prompt_batch *batch = &f->parts[i].batches[b];

            f->n_computed += (uint64_t)batch->n_prompt;
            for (int r = 0; r < batch->n_rows; r++) {
                f->n_computed += (uint64_t)batch->n[r];
                f->n_tokens += (uint64_t)batch->n_prompt + (uint64_t)batch->n[r];
            }
        }
}

static vt_status new_work(vt_request *r, struct forward_state *f, struct train_work **out, vt_err *err)
{
    struct train_work *w = vt_alloc(sizeof *w);

    if (!w)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", f->n_seqs);
    w->work.request = r;
    w->work.release = release_work;
    w->f = f;
    *out = w;
    return VT_OK;
}

vt_status vt_native_forward(vt_policy *p, vt_request *r, vt_err *err)
{
    struct vt_native *n = p->state;
    struct forward_state *f = vt_alloc(sizeof *f);
    struct train_work *w = NULL;
    vt_status status;

    if (!f)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", r->forward->n);
    f->seqs = r->forward->seqs;
    f->n_seqs = r->forward->n;
    f->agreement = r->forward->agreement;
    status = trained_weights(p, r->weights, &f->from, err);
    if (status == VT_OK)
        status = cut_into_parts(n, f, err);
    if (status == VT_OK)
        status = new_work(r, f, &w, err);
    if (status != VT_OK) {
        vt_native_free_forward(p, f);
        return status;
    }
    count_tokens(f);
    r->forward->state = f;
    vt_native_enqueue(p, &n->trainings, &w->work);
    return VT_OK;
}

vt_status vt_native_step(vt_policy *p, vt_request *r, vt_err *err)
{
    struct train_work *w = NULL;

    VT_TRY(new_work(r, r->forward->state, &w, err));
    vt_native_enqueue(p, &vt_native_of(p)->trainings, &w->work);
    return VT_OK;
}
