/* SPDX-License-Identifier: Apache-2.0
 *
 * training.c: one LoRA update in two halves. forward gives the log-probability of every token under the current
 * weights and keeps the activations; the caller turns log-probabilities into weights w; step runs the backward pass of
 * L = -sum w logp, then AdamW, and the policy continues from new, immutable weights.
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
    const int32_t **tokens;
    int *n;
    float **logp;
    const float **w;           /* [sequence] */
    const float *const **rows; /* [batch] -> first row in w */
    vt_lm_tape *tape;
};

struct forward_work {
    struct vt_train_seq *seqs;
    size_t n_seqs;
    bool agreement, keeps_tapes, is_ready;
    struct part *parts;
    int n_parts, at;
    double seconds;
    uint64_t started_ns, n_tokens, n_computed;
    vt_policy_done *done;
    void *arg;
};

struct step_work {
    struct vt_update_opts o;
    char *digest, *trained_on;
    vt_weights **out;
    struct vt_update_report *report;
    vt_lm_grad *grad[2];
    uint64_t started_ns;
    vt_policy_done *done;
    void *arg;
};

static void free_part(vt_policy *p, struct part *part)
{
    if (part->tape)
        vt_lm_tape_free(p->lm, part->tape);
    free(part->batches);
    free(part->tokens);
    free(part->n);
    free(part->logp);
    free(part->w);
    free(part->rows);
}

static void free_forward(vt_policy *p, struct forward_work *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->n_parts; i++)
        free_part(p, &f->parts[i]);
    free(f->parts);
    free(f);
}

static void free_step(vt_policy *p, struct step_work *s)
{
    if (!s)
        return;
    free(s->digest);
    free(s->trained_on);
    vt_lm_grad_free(p->lm, s->grad[0]);
    vt_lm_grad_free(p->lm, s->grad[1]);
    free(s);
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
    part->n = vt_alloc_array(n, sizeof *part->n);
    part->logp = vt_alloc_array(n, sizeof *part->logp);
    part->w = vt_alloc_array(n, sizeof *part->w);
    part->rows = vt_alloc_array(n, sizeof *part->rows);
    if (!part->batches || !part->tokens || !part->n || !part->logp || !part->w || !part->rows)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", n);
    for (size_t i = 0; i < n; i++) {
        const struct vt_train_seq *seq = &seqs[order[i]];
        struct vt_lm_prompt_batch *batch;

        part->tokens[i] = seq->tokens;
        part->n[i] = seq->n_tokens;
        part->logp[i] = seq->logp;
        part->w[i] = seq->w;
        if (i == 0 || !same_prompt(seq, &seqs[order[i - 1]])) {
            part->rows[part->n_batches] = &part->w[i];
            part->batches[part->n_batches++] = (struct vt_lm_prompt_batch){.prompt = seq->prompt,
                                                                           .n_prompt = seq->n_prompt,
                                                                           .tokens = &part->tokens[i],
                                                                           .n = &part->n[i],
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
    struct vt_lm_shapes s = {.purpose = VT_LM_TRAINING, .n_slots = (int)n};

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
static vt_status fit(vt_policy *p, const struct vt_train_seq *seqs, const size_t *order, size_t n, size_t *fits,
                     vt_err *err)
{
    vt_status status = VT_ENOMEM;

    for (*fits = n; *fits >= 1; *fits /= 2) {
        struct vt_lm_shapes s = shapes_of(seqs, order, *fits);

        s.adapter = p->current->adapter;
        status = vt_lm_plan(p->lm, &s, NULL, err);
        if (status != VT_ENOMEM)
            break;
    }
    return status;
}

static vt_status cut_into_parts(vt_policy *p, struct forward_work *f, vt_err *err)
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
            status = fit(p, f->seqs, order + at, n - at, &fits, err);
            if (status == VT_OK)
                status = make_part(&f->parts[f->n_parts++], f->seqs, order + at, fits, (int)half, err);
        }
    }
    /* A tape of everything fits when one part did, or when two halves fit as one. */
    f->keeps_tapes = f->n_parts == 1;
    if (status == VT_OK && f->n_parts == (int)n_halves && n_halves == 2) {
        size_t fits = 0, n = order_half(f->seqs, f->n_seqs, 0, 1, order, taken);

        f->keeps_tapes = fit(p, f->seqs, order, n, &fits, NULL) == VT_OK && fits == n;
    }
    free(order);
    free(taken);
    return status;
}

static void submit_forward(vt_policy *p, struct part *part, void (*done)(struct vt_lm_job *))
{
    p->job = (struct vt_lm_job){.kind = VT_LM_FORWARD, .done = done, .user = p};
    p->job.forward.adapter = p->current->adapter;
    p->job.forward.batches = part->batches;
    p->job.forward.n_batches = part->n_batches;
    vt_lm_submit(p->lm, &p->job);
}

/* Tells the caller that its half is over; everything is released first. Mutex held on entry, released on return. */
static void conclude_forward(vt_policy *p, const struct vt_lm_job *job)
{
    struct forward_work *f = p->forward;
    vt_policy_done *done = f->done;
    void *arg = f->arg;
    vt_status status = job->status;
    vt_err err = job->err;

    f->seconds = 1e-9 * (double)(vt_now_ns() - f->started_ns);
    f->is_ready = true;
    if (status != VT_OK) {
        p->forward = NULL;
        free_forward(p, f);
    }
    vt_native_job_done(p);
    pthread_mutex_unlock(&p->mutex);
    done(arg, status, &err);
}

static void on_forward(struct vt_lm_job *job)
{
    vt_policy *p = job->user;
    struct forward_work *f = p->forward;
    struct part *part = &f->parts[f->at];

    pthread_mutex_lock(&p->mutex);
    if (job->status == VT_OK) {
        part->tape = job->forward.tape;
        if (!f->keeps_tapes) {
            vt_lm_tape_free(p->lm, part->tape);
            part->tape = NULL;
        }
        if (++f->at < f->n_parts) {
            submit_forward(p, &f->parts[f->at], on_forward);
            pthread_mutex_unlock(&p->mutex);
            return;
        }
    }
    conclude_forward(p, job);
}

/* New weights from the gradient. On the backend's thread, mutex held, nothing else running. */
static vt_status apply(vt_policy *p, struct step_work *s, vt_err *err)
{
    struct vt_adam adam = {.lr = s->o.lr,
                           .beta1 = s->o.beta1,
                           .beta2 = s->o.beta2,
                           .eps = s->o.eps,
                           .weight_decay = s->o.weight_decay,
                           .grad_clip = s->o.grad_clip};
    vt_weights *old = p->current, *made = NULL;
    int adapter = 0;
    char id[65], *trained_on = NULL;
    vt_status status;

    s->o.digest = s->digest;
    vt_weights_next_id(old, &s->o, id);
    status = vt_native_merge_trained_on(old->trained_on, s->trained_on, &trained_on, err);
    if (status == VT_OK)
        status = vt_lm_adapter_clone(p->lm, old->adapter, &adapter, err);
    if (status == VT_OK)
        status = vt_lm_adam(p->lm, adapter, s->grad[0], &adam, &s->report->grad_norm, err);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, old->step + 1, true, trained_on, &made, err);
    if (status != VT_OK && adapter)
        vt_lm_adapter_drop(p->lm, adapter);
    free(trained_on);
    if (status != VT_OK)
        return status;
    made->refs = 2; /* the policy's and the caller's */
    p->current = made;
    *s->out = made;
    if (--old->refs == 0) {
        if (old->adapter)
            vt_lm_adapter_drop(p->lm, old->adapter);
        free(old->trained_on);
        free(old);
    }
    return VT_OK;
}

/* How far the gradients of the two halves agree; their sum is left in grad[0]. */
static vt_status join_halves(vt_policy *p, struct step_work *s, double *agreement, vt_err *err)
{
    *agreement = (double)NAN;
    if (!s->grad[1])
        return VT_OK;
    VT_TRY(vt_lm_grad_cosine(p->lm, s->grad[0], s->grad[1], agreement, err));
    return vt_lm_grad_add(p->lm, s->grad[0], s->grad[1], err);
}

static void conclude_step(vt_policy *p, const struct vt_lm_job *job)
{
    struct step_work *s = p->step;
    struct forward_work *f = p->forward;
    vt_policy_done *done = s->done;
    void *arg = s->arg;
    vt_status status = job->status;
    vt_err err = job->err;
    uint64_t peak = 0;

    if (status == VT_OK) {
        status = join_halves(p, s, &s->report->agreement, &err);
        if (status == VT_OK)
            status = apply(p, s, &err);
        vt_lm_bytes(p->lm, &peak);
        s->report->forward_s = f->seconds;
        s->report->backward_s = 1e-9 * (double)(vt_now_ns() - s->started_ns);
        s->report->n_tokens = f->n_tokens;
        s->report->n_tokens_computed = f->n_computed;
        s->report->peak_bytes = peak;
    }
    p->forward = NULL;
    p->step = NULL;
    free_forward(p, f);
    free_step(p, s);
    vt_native_job_done(p);
    pthread_mutex_unlock(&p->mutex);
    done(arg, status, &err);
}

static void on_step_job(struct vt_lm_job *job);

/* Backward of the part at hand, or its forward first when the tape was not kept. */
static void submit_step(vt_policy *p)
{
    struct forward_work *f = p->forward;
    struct part *part = &f->parts[f->at];

    if (!part->tape) {
        submit_forward(p, part, on_step_job);
        return;
    }
    p->job = (struct vt_lm_job){.kind = VT_LM_BACKWARD, .done = on_step_job, .user = p};
    p->job.backward.tape = part->tape;
    p->job.backward.w = part->rows;
    p->job.backward.grad = p->step->grad[part->half];
    part->tape = NULL;
    vt_lm_submit(p->lm, &p->job);
}

static void on_step_job(struct vt_lm_job *job)
{
    vt_policy *p = job->user;
    struct forward_work *f = p->forward;

    pthread_mutex_lock(&p->mutex);
    if (job->status != VT_OK) {
        conclude_step(p, job);
        return;
    }
    if (job->kind == VT_LM_FORWARD)
        f->parts[f->at].tape = job->forward.tape;
    else
        p->step->grad[f->parts[f->at++].half] = job->backward.grad;
    if (f->at == f->n_parts) {
        conclude_step(p, job);
        return;
    }
    submit_step(p);
    pthread_mutex_unlock(&p->mutex);
}

bool vt_native_start_training(vt_policy *p)
{
    struct forward_work *f = p->forward;

    if (!f)
        return false;
    if (!f->is_ready) {
        f->started_ns = vt_now_ns();
        f->at = 0;
        submit_forward(p, &f->parts[0], on_forward);
        return true;
    }
    if (!p->step)
        return false;
    p->step->started_ns = vt_now_ns();
    f->at = 0;
    submit_step(p);
    return true;
}

/* The first update of a model without an adapter trains a fresh one. Mutex held. */
static vt_status need_adapter(vt_policy *p, vt_err *err)
{
    struct vt_adapter *a = NULL;
    vt_weights *fresh = NULL, *old = p->current;
    int adapter = 0;
    char id[65];
    vt_status status;

    if (old->adapter && !old->has_masters)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "cannot train on weights %.12s: they were saved without fp32 parameters; repeat the run from an "
                       "earlier step",
                       old->id);
    if (old->adapter)
        return VT_OK;
    vt_native_fresh_id(p, id);
    status = vt_adapter_new(vt_lm_cfg(p->lm), p->opts.rank, p->opts.alpha, p->opts.targets, p->opts.init_seed, &a, err);
    if (status == VT_OK)
        status = vt_lm_adapter_put(p->lm, a, &adapter, err);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, old->step, true, old->trained_on, &fresh, err);
    if (status != VT_OK && adapter)
        vt_lm_adapter_drop(p->lm, adapter);
    vt_adapter_free(a);
    if (status != VT_OK)
        return status;
    p->current = fresh;
    old->refs--; /* the policy still holds it as base and start */
    return VT_OK;
}

static void count_tokens(struct forward_work *f)
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

static vt_status check_seqs(const vt_policy *p, const struct vt_train_seq *seqs, size_t n, vt_err *err)
{
    if (n == 0)
        return vt_fail(err, VT_EINVAL, "cannot update on an empty batch: give it at least one sequence");
    for (size_t i = 0; i < n; i++)
        if (seqs[i].n_prompt < 1 || seqs[i].n_tokens < 0 || seqs[i].n_prompt + seqs[i].n_tokens > p->caps.n_ctx)
            return vt_fail(
                err, VT_ELIMIT,
                "sequence %zu of the batch has a prompt of %d and a completion of %d tokens: the prompt needs "
                "one at least, and the model's context is %d",
                i + 1, seqs[i].n_prompt, seqs[i].n_tokens, p->caps.n_ctx);
    return VT_OK;
}

vt_status vt_policy_forward(vt_policy *p, struct vt_train_seq *seqs, size_t n, bool agreement, vt_policy_done *done,
                            void *arg, vt_err *err)
{
    struct forward_work *f;
    vt_status status;

    VT_TRY(check_seqs(p, seqs, n, err));
    f = vt_alloc(sizeof *f);
    if (!f)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", n);
    f->seqs = seqs;
    f->n_seqs = n;
    f->agreement = agreement;
    f->done = done;
    f->arg = arg;
    pthread_mutex_lock(&p->mutex);
    status = p->forward ? vt_fail(err, VT_EBUSY, "the policy %s is already in the middle of an update", p->spec)
                        : need_adapter(p, err);
    if (status == VT_OK)
        status = cut_into_parts(p, f, err);
    if (status == VT_OK) {
        count_tokens(f);
        p->forward = f;
        vt_native_pump(p);
    }
    pthread_mutex_unlock(&p->mutex);
    if (status != VT_OK)
        free_forward(p, f);
    return status;
}

static vt_status make_step(const struct vt_update_opts *o, struct step_work *s, vt_err *err)
{
    s->o = *o;
    s->digest = o->digest ? vt_strdup(o->digest) : NULL;
    s->trained_on = o->trained_on ? vt_strdup(o->trained_on) : NULL;
    if ((o->digest && !s->digest) || (o->trained_on && !s->trained_on))
        return vt_fail(err, VT_ENOMEM, "out of memory for an update");
    return VT_OK;
}

vt_status vt_policy_step(vt_policy *p, const struct vt_update_opts *o, vt_weights **out,
                         struct vt_update_report *report, vt_policy_done *done, void *arg, vt_err *err)
{
    struct step_work *s = vt_alloc(sizeof *s);
    vt_status status;

    if (!s)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update");
    s->out = out;
    s->report = report;
    s->done = done;
    s->arg = arg;
    memset(report, 0, sizeof *report);
    pthread_mutex_lock(&p->mutex);
    status = !p->forward || !p->forward->is_ready || p->step
                 ? vt_fail(err, VT_EINVAL, "an update's step needs a finished forward of the same batch first")
                 : make_step(o, s, err);
    if (status == VT_OK) {
        p->step = s;
        vt_native_pump(p);
    }
    pthread_mutex_unlock(&p->mutex);
    if (status != VT_OK)
        free_step(p, s);
    return status;
}

void vt_policy_forget(vt_policy *p)
{
    struct forward_work *f = NULL;

    pthread_mutex_lock(&p->mutex);
    if (p->forward && p->forward->is_ready && !p->step) {
        f = p->forward;
        p->forward = NULL;
    }
    pthread_mutex_unlock(&p->mutex);
    free_forward(p, f);
}

void vt_native_drop_training(vt_policy *p)
{
    free_forward(p, p->forward);
    free_step(p, p->step);
    p->forward = NULL;
    p->step = NULL;
}
