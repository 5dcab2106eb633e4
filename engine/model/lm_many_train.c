/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_many_train.c: training on several devices (lm_many.h): data parallel over shards, whose gradients are summed by
 * one fixed tree.
 *
 * A shard is a prompt with neighbouring completions of it, and a training batch of its own for the backend. The batch
 * alone decides how it is cut: a prompt's completions make as many shards as have `shard_rows` rows each, or eight
 * times the prompt's where that is more, since every shard computes its prompt again (at 600 + 32 x 295 tokens: two
 * shards, 6 % more rows). So a shard's bits are the same wherever it runs and whatever runs beside it.
 *
 * Shards stand in the order of their sequences; each device has neighbours of about its part of the rows. The tree is
 * over the shards: sum(i, j) = sum(i, m) + sum(m, j) with m in the middle. A device sums what lies on it alone; the
 * few sums that are left travel one by one (grad_copy), and the root goes to all devices, which add it to the gradient
 * of the job: an all-reduce, whose order the number of devices does not change. Summing over a library's ring would be
 * no faster at tens of megabytes and its order would follow the devices.
 */
#include "base/alloc.h"
#include "model/lm_many.h"
#include <stdlib.h>
#include <string.h>

/* Where a shard's targets lie in the batch's flat arrays: those of first tokens, and the others. */
struct targets {
    int first0, n_first, rest0, n_rest;
};
struct shard {
    vt_lm_tape tape;
    struct targets at;
    int replica;
    float *values; /* log-probabilities, later weights */
    bool is_zero;  /* no weight differs from 0 */
};
struct shards {
    int n;
    struct shard *shard;
    const struct vt_lm_work *work;
};

int vt_lm_many_shards(const struct vt_lm_many *m, int n_prompt, int64_t n_behind, int n_seqs)
{
    const int64_t by_prompt = (int64_t)m->shard_prompts * n_prompt,
                  rows = by_prompt > m->shard_rows ? by_prompt : m->shard_rows, n = (n_behind + rows - 1) / rows;
    return n < 1 ? 1 : n > n_seqs ? (n_seqs ? n_seqs : 1) : (int)n;
}

static int fed(const struct vt_lm_tape_seq *s)
{
    return s->n > 0 ? s->n - 1 : 0;
}

/* --- cutting --- */

/* A batch's prompt on the way: heads and targets of what is behind the shards made so far. */
struct cursor {
    const vt_lm_tape *t;
    const struct vt_lm_tape_prompt *prompt;
    int head;  /* of the next completion's second token */
    int first; /* the next target of a first token */
};

static vt_status take_arrays(struct shard *s, int n_seqs, vt_err *err)
{
    vt_lm_tape *t = &s->tape;
    t->prompts = vt_alloc_array(1, sizeof *t->prompts);
    t->seqs = vt_alloc_array((size_t)n_seqs, sizeof *t->seqs);
    t->heads = vt_alloc_array((size_t)t->n_heads + 1, sizeof *t->heads);
    t->target_ids = vt_alloc_array((size_t)t->n_targets, sizeof *t->target_ids);
    s->values = vt_alloc_array((size_t)t->n_targets, sizeof *s->values);
    return t->prompts && t->seqs && t->heads && t->target_ids && s->values
               ? VT_OK
               : vt_fail(err, VT_ENOMEM, "out of memory for a training batch of %d tokens", t->n_rows);
}

/* Completions [seq, end) of the cursor's prompt, which moves on. */
static vt_status cut(struct cursor *c, int seq, int end, struct shard *s, vt_err *err)
{
    const vt_lm_tape *from = c->t;
    const int row0 = seq < end ? from->seqs[seq].row0 : 0, head0 = c->head;
    vt_lm_tape *t = &s->tape;
    *t = (vt_lm_tape){.n_prompts = 1, .n_seqs = end - seq, .n_rows = c->prompt->n, .k = from->k};
    s->at = (struct targets){.first0 = c->first, .rest0 = from->heads[head0].target0};
    for (int i = seq; i < end; i++) {
        for (int j = 0; j < from->k && from->seqs[i].n > 0; j++)
            s->at.n_first += from->seqs[i].targets[j] >= 0;
        t->n_rows += fed(&from->seqs[i]);
        c->head += fed(&from->seqs[i]);
    }
    c->first += s->at.n_first;
    s->at.n_rest = from->heads[c->head].target0 - s->at.rest0;
    t->n_heads = 1 + c->head - head0;
    t->n_targets = s->at.n_first + s->at.n_rest;
    VT_TRY(take_arrays(s, end - seq, err));
    t->prompts[0] = *c->prompt;
    t->prompts[0].row0 = t->prompts[0].seq0 = 0;
    t->prompts[0].n_seqs = end - seq;
    for (int i = seq; i < end; i++) {
        t->seqs[i - seq] = from->seqs[i];
        t->seqs[i - seq].prompt = 0;
        t->seqs[i - seq].row0 = c->prompt->n + from->seqs[i].row0 - row0;
    }
    t->heads[0] = (struct vt_lm_tape_head){.row = c->prompt->n - 1};
    for (int h = 1; h < t->n_heads; h++)
        t->heads[h] =
            (struct vt_lm_tape_head){.row = c->prompt->n + from->heads[head0 + h - 1].row - row0,
                                     .target0 = s->at.n_first + from->heads[head0 + h - 1].target0 - s->at.rest0};
    t->heads[t->n_heads] = (struct vt_lm_tape_head){-1, t->n_targets};
    memcpy(t->target_ids, from->target_ids + s->at.first0, (size_t)s->at.n_first * sizeof(int32_t));
    memcpy(t->target_ids + s->at.n_first, from->target_ids + s->at.rest0, (size_t)s->at.n_rest * sizeof(int32_t));
    return VT_OK;
}

static int rows_behind(const vt_lm_tape *t, const struct vt_lm_tape_prompt *p)
{
    int n = 0;
    for (int s = p->seq0; s < p->seq0 + p->n_seqs; s++)
        n += fed(&t->seqs[s]);
    return n;
}

/* A prompt's completions in n_shards runs of about as many rows. */
static vt_status cut_prompt(struct cursor *c, int n_shards, struct shards *out, vt_err *err)
{
    const vt_lm_tape *t = c->t;
    const int end = c->prompt->seq0 + c->prompt->n_seqs;
    const int64_t behind = rows_behind(t, c->prompt);
    int64_t rows = 0;
    int seq = c->prompt->seq0;
    for (int i = 1; i <= n_shards; i++) {
        int to = seq;
        while (to < end && (i == n_shards || rows * n_shards < behind * i)) {
            rows += fed(&t->seqs[to++]);
        }
        VT_TRY(cut(c, seq, to, &out->shard[out->n], err));
        out->n++;
        seq = to;
    }
    return VT_OK;
}

/* Each shard to the device whose part of the rows has its middle. */
static void place(const struct vt_lm_many *m, struct shards *s)
{
    int64_t total = 0, before = 0;
    for (int i = 0; i < s->n; i++)
        total += s->shard[i].tape.n_rows;
    for (int i = 0; i < s->n; i++) {
        const int64_t rows = s->shard[i].tape.n_rows;
        s->shard[i].replica = (int)((2 * before + rows) * m->n / (2 * total));
        before += rows;
    }
    /* What a device has still to keep when it comes to a shard. */
    for (int i = s->n - 2; i >= 0; i--)
        if (s->shard[i].replica == s->shard[i + 1].replica)
            s->shard[i].tape.rows_after = s->shard[i + 1].tape.rows_after + s->shard[i + 1].tape.n_rows;
}

static void free_shards(struct vt_lm_many *m, struct shards *s)
{
    for (int i = 0; s && s->shard && i < s->n; i++) {
        vt_lm_tape *t = &s->shard[i].tape;
        if (t->impl)
            m->ops->tape_free(m->replicas[s->shard[i].replica].be, t);
        free(t->prompts);
        free(t->seqs);
        free(t->heads);
        free(t->target_ids);
        free(s->shard[i].values);
    }
    if (s)
        free(s->shard);
    free(s);
}

void vt_lm_many_tape_free(void *be, vt_lm_tape *t)
{
    free_shards(be, t->impl);
    t->impl = NULL;
}

static vt_status cut_batch(struct vt_lm_many *m, const vt_lm_tape *t, struct shards *s, vt_err *err)
{
    struct cursor c = {.t = t};
    int n = 0;
    for (int p = 0; p < t->n_prompts; p++)
        n += vt_lm_many_shards(m, t->prompts[p].n, rows_behind(t, &t->prompts[p]), t->prompts[p].n_seqs);
    s->shard = vt_alloc_array((size_t)n, sizeof *s->shard);
    if (!s->shard)
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch of %d tokens", t->n_rows);
    for (int p = 0; p < t->n_prompts; p++) {
        c.prompt = &t->prompts[p];
        c.first = t->heads[c.head++].target0;
        VT_TRY(cut_prompt(&c, vt_lm_many_shards(m, c.prompt->n, rows_behind(t, c.prompt), c.prompt->n_seqs), s, err));
    }
    place(m, s);
    for (int i = 0; i < s->n; i++)
        s->shard[i].tape.adapter = vt_lm_many_adapter_of(t->adapter, s->shard[i].replica);
    return VT_OK;
}

/* --- forward --- */

static struct vt_lm_work forward_of(const struct shards *s, struct shard *one)
{
    return (struct vt_lm_work){
        .job = s->work->job, .kind = VT_LM_FORWARD, .forward = {.tape = &one->tape, .logprob = one->values}};
}

/* A device's shards, the next begun before the last is waited for. */
static vt_status forward_replica(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    struct shards *s = arg;
    struct vt_lm_work work[2] = {{.has_begun = false}};
    vt_status status = VT_OK;
    int n = 0;
    for (int i = 0; i < s->n && status == VT_OK; i++) {
        if (s->shard[i].replica != r->index)
            continue;
        struct vt_lm_work *w = &work[n % 2], *last = &work[(n + 1) % 2];
        *w = forward_of(s, &s->shard[i]);
        if (r->limits.in_flight < 2)
            status = vt_lm_many_wait(r, last, err);
        if (status == VT_OK)
            status = vt_lm_many_begin(r, w, err);
        if (status == VT_OK)
            status = vt_lm_many_wait(r, last, err);
        n++;
    }
    for (int i = 0; i < 2; i++) {
        const vt_status ended = vt_lm_many_wait(r, &work[(n + i) % 2], status == VT_OK ? err : NULL);
        status = status == VT_OK ? ended : status;
    }
    return status;
}

vt_status vt_lm_many_forward(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_lm_many *m = be;
    vt_lm_tape *t = w->forward.tape;
    VT_TRY(vt_lm_many_alive(m, err));
    struct shards *s = vt_alloc(sizeof *s);
    if (!s)
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch");
    s->work = w;
    vt_status status = cut_batch(m, t, s, err);
    if (status == VT_OK)
        status = vt_lm_many_run(m, forward_replica, s, err);
    if (status != VT_OK) {
        free_shards(m, s);
        return status;
    }
    for (int i = 0; i < s->n; i++) {
        const struct shard *one = &s->shard[i];
        memcpy(w->forward.logprob + one->at.first0, one->values, (size_t)one->at.n_first * sizeof(float));
        memcpy(w->forward.logprob + one->at.rest0, one->values + one->at.n_first,
               (size_t)one->at.n_rest * sizeof(float));
    }
    s->work = NULL;
    t->impl = s;
    return VT_OK;
}

/* --- backward --- */

/* Shards [from, to) lie on one device, which sums their gradients. */
struct node {
    int from, to, replica;
    vt_lm_grad grad;
};
struct sums {
    struct shards *shards;
    const struct vt_adapter *shape;
    vt_lm_grad *into;
    struct node *nodes; /* in the tree's order */
    int n;
    const struct node *right; /* what is added, across devices */
    struct node *left;        /* to this one; NULL: to the job's gradient, on all of them */
};

static int middle(int from, int to)
{
    return from + (to - from + 1) / 2;
}

static void list_nodes(struct sums *s, int from, int to)
{
    const struct shard *shard = s->shards->shard;
    if (shard[from].replica == shard[to - 1].replica) {
        s->nodes[s->n++] = (struct node){.from = from, .to = to, .replica = shard[from].replica};
        return;
    }
    list_nodes(s, from, middle(from, to));
    list_nodes(s, middle(from, to), to);
}

static vt_status new_grad(struct vt_lm_replica *r, const struct sums *s, vt_lm_grad *g, vt_err *err)
{
    *g = (vt_lm_grad){.shape = *s->shape};
    return r->many->ops->grad_new(r->be, g, err);
}

static void free_grad(struct vt_lm_replica *r, vt_lm_grad *g)
{
    if (g->impl)
        r->many->ops->grad_free(r->be, g);
    g->impl = NULL;
}

/* A shard's gradient; its tape is of no use afterwards and makes room for the next one's buffers. */
static vt_status back_shard(struct vt_lm_replica *r, const struct sums *s, struct shard *one, vt_lm_grad *g,
                            vt_err *err)
{
    VT_TRY(new_grad(r, s, g, err));
    struct vt_lm_work w = {.job = s->shards->work->job,
                           .kind = VT_LM_BACKWARD,
                           .backward = {.tape = &one->tape, .w = one->values, .grad = g}};
    if (!one->is_zero) {
        VT_TRY(vt_lm_many_begin(r, &w, err));
        VT_TRY(vt_lm_many_wait(r, &w, err));
    }
    r->many->ops->tape_free(r->be, &one->tape);
    one->tape.impl = NULL;
    return VT_OK;
}

static vt_status sum_shards(struct vt_lm_replica *r, const struct sums *s, int from, int to, vt_lm_grad *g, vt_err *err)
{
    if (to - from == 1)
        return back_shard(r, s, &s->shards->shard[from], g, err);
    vt_lm_grad right = {.impl = NULL};
    vt_status status = sum_shards(r, s, from, middle(from, to), g, err);
    if (status == VT_OK)
        status = sum_shards(r, s, middle(from, to), to, &right, err);
    if (status == VT_OK)
        status = vt_lm_many_add(r, g, &right, err);
    free_grad(r, &right);
    return status;
}

static vt_status sum_replica(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    struct sums *s = arg;
    for (int i = 0; i < s->n; i++)
        if (s->nodes[i].replica == r->index)
            VT_TRY(sum_shards(r, s, s->nodes[i].from, s->nodes[i].to, &s->nodes[i].grad, err));
    return VT_OK;
}

/* *into += a node's gradient, which may lie elsewhere. */
static vt_status add_node(struct vt_lm_replica *r, const struct sums *s, vt_lm_grad *into, const struct node *from,
                          vt_err *err)
{
    const struct vt_lm_ops *ops = r->many->ops;
    vt_lm_grad copy;
    if (from->replica == r->index)
        return vt_lm_many_add(r, into, &from->grad, err);
    vt_status status = new_grad(r, s, &copy, err);
    if (status == VT_OK)
        status = ops->grad_copy(r->be, &copy, r->many->replicas[from->replica].be, &from->grad, err);
    if (status == VT_OK)
        status = vt_lm_many_add(r, into, &copy, err);
    free_grad(r, &copy);
    return status;
}

static vt_status add_right(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    const struct sums *s = arg;
    if (!s->left)
        return add_node(r, s, vt_lm_many_grad_of(s->into, r->index), s->right, err);
    return s->left->replica == r->index ? add_node(r, s, &s->left->grad, s->right, err) : VT_OK;
}

/* The tree above the nodes, which come in its order; the sum lies at *out. */
static vt_status sum_nodes(struct vt_lm_many *m, struct sums *s, int from, int to, struct node **next,
                           struct node **out, vt_err *err)
{
    if ((*next)->from == from && (*next)->to == to) {
        *out = (*next)++;
        return VT_OK;
    }
    struct node *left, *right;
    VT_TRY(sum_nodes(m, s, from, middle(from, to), next, &left, err));
    VT_TRY(sum_nodes(m, s, middle(from, to), to, next, &right, err));
    s->left = left;
    s->right = right;
    *out = left;
    return vt_lm_many_run(m, add_right, s, err);
}

/* The batch's weights, shard by shard. */
static void deal_weights(struct shards *s, const float *w)
{
    for (int i = 0; i < s->n; i++) {
        struct shard *one = &s->shard[i];
        memcpy(one->values, w + one->at.first0, (size_t)one->at.n_first * sizeof *w);
        memcpy(one->values + one->at.n_first, w + one->at.rest0, (size_t)one->at.n_rest * sizeof *w);
        one->is_zero = true;
        for (int t = 0; t < one->tape.n_targets; t++)
            one->is_zero &= one->values[t] == 0;
    }
}

vt_status vt_lm_many_backward(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_lm_many *m = be;
    struct shards *shards = w->backward.tape->impl;
    struct sums s = {.shards = shards, .shape = &w->backward.grad->shape, .into = w->backward.grad};
    VT_TRY(vt_lm_many_alive(m, err));
    s.nodes = vt_alloc_array((size_t)shards->n, sizeof *s.nodes);
    if (!s.nodes)
        return vt_fail(err, VT_ENOMEM, "out of memory for the sums of a backward");
    shards->work = w;
    deal_weights(shards, w->backward.w);
    list_nodes(&s, 0, shards->n);
    struct node *next = s.nodes, *root;
    vt_status status = vt_lm_many_run(m, sum_replica, &s, err);
    if (status == VT_OK)
        status = sum_nodes(m, &s, 0, shards->n, &next, &root, err);
    if (status == VT_OK) {
        s.left = NULL;
        s.right = root;
        status = vt_lm_many_run(m, add_right, &s, err);
    }
    for (int i = 0; i < s.n; i++)
        free_grad(&m->replicas[s.nodes[i].replica], &s.nodes[i].grad);
    free(s.nodes);
    return status;
}
