/* SPDX-License-Identifier: Apache-2.0
 *
 * direct.h: a language-model backend driven through its table of operations (model/lm_ops.h), standing where the door
 * stands: the programs of this folder compare backends and measure them with weights that no file holds. Include after
 * harness.h; a failed operation is a failed CHECK. Slots and rows are given by (adapter, group), as the door gives
 * them.
 */
#ifndef VT_TEST_GPU_DIRECT_H
#define VT_TEST_GPU_DIRECT_H

#include "base/alloc.h"
#include "model/lm_ops.h"

struct direct {
    const struct vt_lm_ops *ops;
    void *be;
    struct vt_lm_limits limits;
    struct vt_lm_config cfg;
};

static inline bool direct_open(struct direct *d, const struct vt_lm_ops *ops, const vt_ckpt *ckpt,
                               const struct vt_lm_opts *o)
{
    vt_err err = {0};
    uint64_t memory = o->max_memory;
    *d = (struct direct){.ops = ops, .cfg = *vt_ckpt_config(ckpt)};
    CHECK_OK(ops->open(ckpt, o, &d->limits, &memory, &d->be, &err), err);
    return d->be != NULL;
}

static inline void direct_close(struct direct *d)
{
    if (d->be)
        d->ops->close(d->be);
    d->be = NULL;
}

/* Begins a job and waits for it. */
static inline vt_status direct_run(struct direct *d, struct vt_lm_work *w,
                                   vt_status (*begin)(void *be, struct vt_lm_work *w, vt_err *err), vt_err *err)
{
    static const struct vt_lm_job no_job; /* nobody cancels it */
    w->job = &no_job;
    VT_TRY(begin(d->be, w, err));
    return d->ops->wait ? d->ops->wait(d->be, w, err) : VT_OK;
}

/* Groups begun together, as a door with n jobs in flight begins them (n <= limits.in_flight); then waited for. */
static inline void direct_groups(struct direct *d, const int32_t *const *tokens, const int *n_tokens, int n,
                                 struct vt_lm_adapter *adapter, vt_lm_group **out)
{
    enum { MOST = 16 };
    static const struct vt_lm_job no_job;
    static uint64_t serial;
    struct vt_lm_work w[MOST];
    vt_err err = {0};
    for (int i = 0; i < n; i++) {
        out[i] = vt_alloc(sizeof *out[i]);
        *out[i] = (vt_lm_group){.adapter = adapter, .n_tokens = n_tokens[i], .serial = ++serial};
        w[i] =
            (struct vt_lm_work){.job = &no_job, .kind = VT_LM_GROUP, .group = {.tokens = tokens[i], .group = out[i]}};
        CHECK_OK(d->ops->group(d->be, &w[i], &err), err);
    }
    for (int i = 0; d->ops->wait && i < n; i++)
        CHECK_OK(d->ops->wait(d->be, &w[i], &err), err);
}

static inline vt_lm_group *direct_group(struct direct *d, const int32_t *tokens, int n, struct vt_lm_adapter *adapter)
{
    vt_lm_group *g;
    direct_groups(d, &tokens, &n, 1, adapter, &g);
    return g;
}

static inline void direct_group_free(struct direct *d, vt_lm_group *g)
{
    d->ops->group_free(d->be, g);
    free(g);
}

static inline vt_lm_slot *direct_slot(struct direct *d, vt_lm_group *g, uint64_t seed, const struct vt_sampling *s,
                                      int max_tokens, const int32_t *stop_ids, int n_stop_ids)
{
    vt_err err = {0};
    vt_lm_slot *slot = vt_alloc(sizeof *slot);
    *slot = (vt_lm_slot){.group = g, .seed = seed, .sampling = *s, .max_tokens = max_tokens, .n_stop_ids = n_stop_ids};
    slot->banned = vt_alloc_array((size_t)s->n_banned, sizeof(int32_t));
    slot->stop_ids = vt_alloc_array((size_t)n_stop_ids, sizeof(int32_t));
    for (int i = 0; i < s->n_banned; i++)
        slot->banned[i] = s->banned[i];
    for (int i = 0; i < n_stop_ids; i++)
        slot->stop_ids[i] = stop_ids[i];
    slot->sampling.banned = slot->banned;
    CHECK_OK(d->ops->slot_new(d->be, slot, &err), err);
    return slot;
}

static inline void direct_slot_free(struct direct *d, vt_lm_slot *slot)
{
    d->ops->slot_free(d->be, slot);
    free(slot->banned);
    free(slot->stop_ids);
    free(slot);
}

/* What a decode gives, [n_slots * n_steps] each. */
struct draws {
    int n_slots, n_steps;
    int32_t *tokens;
    float *logprob, *behaviour, *entropy, *certainty;
    int *n_out, *row;
    unsigned char *finished;
    struct vt_lm_work work;
};

static inline struct draws *draws_new(vt_lm_slot **slots, int n_slots, int n_steps)
{
    const size_t n = (size_t)n_slots * (size_t)n_steps;
    struct draws *r = vt_alloc(sizeof *r);
    r->n_slots = n_slots;
    r->n_steps = n_steps;
    r->tokens = vt_alloc_array(n, sizeof *r->tokens);
    r->logprob = vt_alloc_array(n, sizeof *r->logprob);
    r->behaviour = vt_alloc_array(n, sizeof *r->behaviour);
    r->entropy = vt_alloc_array(n, sizeof *r->entropy);
    r->certainty = vt_alloc_array(n, sizeof *r->certainty);
    r->n_out = vt_alloc_array((size_t)n_slots, sizeof *r->n_out);
    r->row = vt_alloc_array((size_t)n_slots, sizeof *r->row);
    r->finished = vt_alloc_array((size_t)n_slots, 1);
    for (int i = 0; i < n_slots; i++)
        r->row[i] = i;
    static const struct vt_lm_job no_job;
    r->work = (struct vt_lm_work){.job = &no_job,
                                  .kind = VT_LM_DECODE,
                                  .decode = {.slots = slots,
                                             .row = r->row,
                                             .n_slots = n_slots,
                                             .n_steps = n_steps,
                                             .tokens = r->tokens,
                                             .logprob = r->logprob,
                                             .logprob_behaviour = r->behaviour,
                                             .n_out = r->n_out,
                                             .finished = r->finished,
                                             .extra = {.entropy = r->entropy, .certainty = r->certainty}}};
    return r;
}

static inline void draws_free(struct draws *r)
{
    free(r->tokens);
    free(r->logprob);
    free(r->behaviour);
    free(r->entropy);
    free(r->certainty);
    free(r->n_out);
    free(r->row);
    free(r->finished);
    free(r);
}

static inline struct draws *direct_decode(struct direct *d, vt_lm_slot **slots, int n_slots, int n_steps)
{
    vt_err err = {0};
    struct draws *r = draws_new(slots, n_slots, n_steps);
    CHECK_OK(direct_run(d, &r->work, d->ops->decode, &err), err);
    return r;
}

static inline void direct_score(struct direct *d, const struct vt_lm_score_row *rows, int n_rows, int k)
{
    vt_err err = {0};
    struct vt_lm_work w = {.kind = VT_LM_SCORE, .score = {.rows = rows, .n_rows = n_rows, .k = k}};
    for (int i = 0; i < n_rows; i++) {
        w.score.wants_entropy |= rows[i].extra.entropy != NULL;
        w.score.wants_certainty |= rows[i].extra.certainty != NULL;
    }
    CHECK_OK(direct_run(d, &w, d->ops->score, &err), err);
}

/* A training batch of n_prompts prompts, each with `each` completions of n_new tokens, as the door packs it. tokens:
 * [n_prompts * each] rows of n_new. */
static inline vt_lm_tape *direct_tape(const int32_t *const *prompts, int n_prompt, int n_prompts, int each,
                                      const int32_t *tokens, int n_new, struct vt_lm_adapter *adapter)
{
    vt_lm_tape *t = vt_alloc(sizeof *t);
    const int n_seqs = n_prompts * each;
    t->adapter = adapter;
    t->k = 1;
    t->prompts = vt_alloc_array((size_t)n_prompts, sizeof *t->prompts);
    t->seqs = vt_alloc_array((size_t)n_seqs, sizeof *t->seqs);
    t->heads = vt_alloc_array((size_t)(n_prompts + n_seqs * n_new) + 1, sizeof *t->heads);
    t->target_ids = vt_alloc_array((size_t)(n_seqs * n_new), sizeof *t->target_ids);
    for (int p = 0; p < n_prompts; p++) {
        t->prompts[t->n_prompts++] = (struct vt_lm_tape_prompt){
            .tokens = prompts[p], .n = n_prompt, .row0 = t->n_rows, .seq0 = t->n_seqs, .n_seqs = each};
        t->n_rows += n_prompt;
        t->heads[t->n_heads++] = (struct vt_lm_tape_head){t->n_rows - 1, t->n_targets};
        const int first = t->n_seqs;
        for (int i = 0; i < each; i++) {
            const int32_t *of = tokens + (size_t)t->n_seqs * (size_t)n_new;
            t->seqs[t->n_seqs++] =
                (struct vt_lm_tape_seq){.tokens = of, .n = n_new, .row0 = t->n_rows, .prompt = p, .targets = of};
            t->n_rows += n_new - 1;
            t->target_ids[t->n_targets++] = of[0];
        }
        for (int i = first; i < t->n_seqs; i++)
            for (int k = 1; k < n_new; k++) {
                t->heads[t->n_heads++] = (struct vt_lm_tape_head){t->seqs[i].row0 + k - 1, t->n_targets};
                t->target_ids[t->n_targets++] = t->seqs[i].tokens[k];
            }
    }
    t->heads[t->n_heads] = (struct vt_lm_tape_head){-1, t->n_targets};
    return t;
}

static inline void direct_tape_free(struct direct *d, vt_lm_tape *t)
{
    if (t->impl)
        d->ops->tape_free(d->be, t);
    free(t->prompts);
    free(t->seqs);
    free(t->heads);
    free(t->target_ids);
    free(t);
}

#endif
