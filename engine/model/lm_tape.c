/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_tape.c: a training batch behind the door: copies of its tokens, laid out in packed rows, and the one order of its
 * targets, in which FORWARD's log-probabilities and BACKWARD's weights travel as flat arrays.
 *
 * Packed rows: prompt 0, each of its completions without the last token, prompt 1, and so on. Head rows follow them: a
 * prompt's last row predicts the first token of all of its completions, each completion row the token behind it.
 * Targets stand by head row; within a prompt's first head row by completion, everywhere in the caller's order of the k.
 * So the targets of a head row are neighbours, which a softmax's gradient needs together.
 */
#include "base/alloc.h"
#include "model/lm_door.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Calls visit for every position (completion, token) that has targets, in their order. */
typedef void visit_fn(void *arg, int seq, int position);
static void each_position(const vt_lm_tape *t, visit_fn *visit, void *arg)
{
    for (int p = 0; p < t->n_prompts; p++) {
        const int first = t->prompts[p].seq0, end = first + t->prompts[p].n_seqs;
        for (int s = first; s < end; s++)
            if (t->seqs[s].n > 0)
                visit(arg, s, 0);
        for (int s = first; s < end; s++)
            for (int i = 1; i < t->seqs[s].n; i++)
                visit(arg, s, i);
    }
}

static size_t fed(int n_tokens)
{
    return n_tokens > 0 ? (size_t)n_tokens - 1 : 0;
}

struct sizes {
    size_t n_seqs, n_rows, n_heads, n_ids, n_trace; /* ids: tokens and targets to be copied */
};

static struct sizes measure(const vt_lm *lm, const struct vt_lm_job *job, size_t k)
{
    struct sizes z = {0};
    for (int i = 0; i < job->forward.n_batches; i++) {
        const struct vt_lm_prompt_batch *b = &job->forward.batches[i];
        z.n_seqs += (size_t)b->n_rows;
        z.n_rows += (size_t)b->n_prompt;
        z.n_ids += (size_t)b->n_prompt;
        z.n_heads++;
        z.n_trace += b->prompt_trace ? (size_t)b->n_prompt * lm->limits.trace_bytes : 0;
        for (int r = 0; r < b->n_rows; r++) {
            const size_t n = b->n[r] > 0 ? (size_t)b->n[r] : 0;
            z.n_rows += fed(b->n[r]);
            z.n_heads += fed(b->n[r]);
            z.n_ids += b->targets && b->targets[r] ? n * (k + 1) : n;
            z.n_trace += b->trace && b->trace[r] ? n * lm->limits.trace_bytes : 0;
        }
    }
    return z;
}

struct copies {
    int32_t *ids;
    unsigned char *trace;
};

static const int32_t *copy_ids(struct copies *c, const int32_t *from, size_t n)
{
    int32_t *at = c->ids;
    if (n)
        memcpy(at, from, n * sizeof *at);
    c->ids += n;
    return at;
}

static const unsigned char *copy_trace(struct copies *c, const unsigned char *from, size_t n)
{
    unsigned char *at = c->trace;
    if (!from)
        return NULL;
    memcpy(at, from, n);
    c->trace += n;
    return at;
}

static void copy_batch(const vt_lm *lm, const struct vt_lm_prompt_batch *b, vt_lm_tape *t, struct copies *c)
{
    const size_t bytes = lm->limits.trace_bytes, k = (size_t)t->k;
    struct vt_lm_tape_prompt *p = &t->prompts[t->n_prompts];
    *p = (struct vt_lm_tape_prompt){.n = b->n_prompt, .row0 = t->n_rows, .seq0 = t->n_seqs, .n_seqs = b->n_rows};
    p->tokens = copy_ids(c, b->prompt, (size_t)b->n_prompt);
    p->trace = copy_trace(c, b->prompt_trace, (size_t)b->n_prompt * bytes);
    t->n_rows += b->n_prompt;
    for (int r = 0; r < b->n_rows; r++) {
        const size_t n = (size_t)b->n[r];
        struct vt_lm_tape_seq *s = &t->seqs[t->n_seqs++];
        *s = (struct vt_lm_tape_seq){.n = b->n[r], .row0 = t->n_rows, .prompt = t->n_prompts};
        s->tokens = copy_ids(c, b->tokens[r], n);
        s->targets = b->targets && b->targets[r] ? copy_ids(c, b->targets[r], n * k) : s->tokens;
        s->trace = copy_trace(c, b->trace ? b->trace[r] : NULL, n * bytes);
        t->n_rows += (int)fed(b->n[r]);
    }
    t->n_prompts++;
}

/* Appends a position's targets to the flat list, under a head row of their own unless the prompt's serves them. */
static void list_targets(void *arg, int seq, int position)
{
    vt_lm_tape *t = arg;
    const struct vt_lm_tape_seq *s = &t->seqs[seq];
    if (position > 0)
        t->heads[t->n_heads++] = (struct vt_lm_tape_head){s->row0 + position - 1, t->n_targets};
    for (int j = 0; j < t->k; j++) {
        const int32_t id = s->targets[(size_t)position * (size_t)t->k + (size_t)j];
        if (id >= 0)
            t->target_ids[t->n_targets++] = id;
    }
}

/* each_position for one prompt at a time, so that its first head row stands before its targets. */
static void list_heads(vt_lm_tape *t)
{
    vt_lm_tape one = *t;
    one.n_prompts = 1;
    for (int p = 0; p < t->n_prompts; p++) {
        one.prompts = &t->prompts[p];
        one.heads[one.n_heads++] = (struct vt_lm_tape_head){t->prompts[p].row0 + t->prompts[p].n - 1, one.n_targets};
        each_position(&one, list_targets, &one);
    }
    t->n_heads = one.n_heads;
    t->n_targets = one.n_targets;
    t->heads[t->n_heads] = (struct vt_lm_tape_head){-1, t->n_targets};
}

static vt_status allocate(vt_lm_tape *t, const struct sizes *z, size_t n_prompts, size_t n_targets, vt_err *err)
{
    t->prompts = vt_alloc_array(n_prompts, sizeof *t->prompts);
    t->seqs = vt_alloc_array(z->n_seqs, sizeof *t->seqs);
    t->heads = vt_alloc_array(z->n_heads + 1, sizeof *t->heads);
    t->target_ids = vt_alloc_array(n_targets, sizeof *t->target_ids);
    t->memory[0] = vt_alloc_array(z->n_ids, sizeof(int32_t));
    t->memory[1] = vt_alloc(z->n_trace);
    if (!t->prompts || !t->seqs || !t->heads || !t->target_ids || !t->memory[0] || !t->memory[1])
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch of %zu tokens", z->n_rows);
    return VT_OK;
}

vt_status vt_lm_tape_new(vt_lm *lm, const struct vt_lm_job *job, vt_lm_tape **out, vt_err *err)
{
    const int k = job->forward.k > 1 ? job->forward.k : 1;
    const struct sizes z = measure(lm, job, (size_t)k);
    size_t n_targets = 0;
    vt_lm_tape *t = *out = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch");
    t->k = k;
    for (int i = 0; i < job->forward.n_batches; i++)
        for (int r = 0; r < job->forward.batches[i].n_rows; r++)
            n_targets += (size_t)job->forward.batches[i].n[r] * (size_t)k;
    vt_status status = vt_lm_adapter_ref(lm, job->forward.adapter, &t->adapter, err);
    if (status == VT_OK)
        status = allocate(t, &z, (size_t)job->forward.n_batches, n_targets, err);
    if (status != VT_OK) {
        vt_lm_tape_free(lm, t);
        *out = NULL;
        return status;
    }
    struct copies c = {t->memory[0], t->memory[1]};
    for (int i = 0; i < job->forward.n_batches; i++)
        copy_batch(lm, &job->forward.batches[i], t, &c);
    list_heads(t);
    return VT_OK;
}

void vt_lm_tape_free(vt_lm *lm, vt_lm_tape *t)
{
    if (!t)
        return;
    if (t->impl)
        lm->ops->tape_free(lm->be, t);
    vt_lm_adapter_unref(lm, t->adapter);
    free(t->prompts);
    free(t->seqs);
    free(t->heads);
    free(t->target_ids);
    free(t->memory[0]);
    free(t->memory[1]);
    free(t);
}

/* --- flat arrays and the caller's --- */

struct scatter {
    const vt_lm_tape *t;
    const float *values;
    const struct vt_lm_prompt_batch *to;
};

static void scatter_position(void *arg, int seq, int position)
{
    struct scatter *c = arg;
    const struct vt_lm_tape_seq *s = &c->t->seqs[seq];
    const size_t k = (size_t)c->t->k, at = (size_t)position * k;
    float *row = c->to[s->prompt].logprob[seq - c->t->prompts[s->prompt].seq0];
    for (size_t j = 0; j < k; j++)
        row[at + j] = s->targets[at + j] >= 0 ? *c->values++ : 0;
}

void vt_lm_tape_scatter(const vt_lm_tape *t, const float *values, const struct vt_lm_prompt_batch *to)
{
    struct scatter c = {t, values, to};
    each_position(t, scatter_position, &c);
}

struct gather {
    const vt_lm_tape *t;
    const float *const *const *w;
    float *out;
    bool is_zero;
    int bad_seq, bad_position; /* the first weight that is not finite; -1 = none */
};

static void gather_position(void *arg, int seq, int position)
{
    struct gather *c = arg;
    const struct vt_lm_tape_seq *s = &c->t->seqs[seq];
    const int row = seq - c->t->prompts[s->prompt].seq0;
    const size_t k = (size_t)c->t->k, at = (size_t)position * k;
    const float *w = c->w[s->prompt][row] + at;
    for (size_t j = 0; j < k; j++) {
        if (s->targets[at + j] < 0)
            continue;
        if (!isfinite(w[j]) && c->bad_seq < 0) {
            c->bad_seq = row;
            c->bad_position = position;
        }
        c->is_zero &= w[j] == 0;
        *c->out++ = w[j];
    }
}

vt_status vt_lm_tape_gather(const vt_lm_tape *t, const float *const *const *w, float *out, bool *is_zero, vt_err *err)
{
    struct gather c = {.t = t, .w = w, .out = out, .is_zero = true, .bad_seq = -1};
    each_position(t, gather_position, &c);
    *is_zero = c.is_zero;
    if (c.bad_seq >= 0)
        return vt_fail(err, VT_EINVAL, "the weight of token %d of completion %d is not finite; check the rewards",
                       c.bad_position + 1, c.bad_seq + 1);
    return VT_OK;
}
