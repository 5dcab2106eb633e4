/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_train.c: FORWARD, the training pass: values as SCORE, and a tape for BACKWARD (lm_train.h).
 *
 * All rows of the job walk through the layers in one pass, in the door's packed order, so the keys of a layer are
 * needed while that layer is at work only: one layer's pages serve all.
 */
#include "cpu/lm_train.h"
#include <stdlib.h>

static int blocks_for(int n_tokens)
{
    return (n_tokens + VT_PAGE_KEYS - 1) / VT_PAGE_KEYS;
}

static int fed(int n_tokens)
{
    return n_tokens > 0 ? n_tokens - 1 : 0;
}

uint64_t vt_cpu_tape_bytes(const struct vt_cpu *lm, int n_rows)
{
    return (uint64_t)(lm->cfg.n_layers + 1) * (uint64_t)n_rows * (uint64_t)lm->cfg.d_model * sizeof(float);
}

static void free_tape(struct vt_cpu *lm, struct vt_cpu_tape *t)
{
    vt_cpu_give(lm, t->x, (size_t)vt_cpu_tape_bytes(lm, t->door->n_rows));
    vt_cpu_give(lm, t->keys, t->keys_bytes);
    free(t->spans);
    free(t->blocks);
    free(t->lse);
    free(t);
}

void vt_cpu_tape_free(void *be, vt_lm_tape *t)
{
    free_tape(be, t->impl);
}

/* Blocks of a completion behind a prompt: those it shares, then its own. */
static void completion_blocks(const struct vt_lm_tape_prompt *p, const struct vt_lm_tape_seq *s, int *n_shared,
                              int *n_all)
{
    *n_shared = p->n / VT_PAGE_KEYS;
    *n_all = blocks_for(p->n + fed(s->n));
}

/* The table of blocks: a prompt's blocks, then for each completion the prompt's full blocks followed by its own. */
static void fill_table(const struct vt_cpu *lm, struct vt_cpu_tape *t)
{
    const vt_lm_tape *d = t->door;
    struct vt_cpu_block *table = t->blocks;
    unsigned char *keys = t->keys;
    for (int i = 0; i < d->n_prompts; i++) {
        const struct vt_lm_tape_prompt *p = &d->prompts[i];
        const struct vt_cpu_block *prompt = table;
        for (int k = 0; k < blocks_for(p->n); k++, keys += lm->block_bytes)
            *table++ = (struct vt_cpu_block){keys, 0};
        for (int s = p->seq0; s < p->seq0 + p->n_seqs; s++) {
            int n_shared, n_all;
            completion_blocks(p, &d->seqs[s], &n_shared, &n_all);
            if (fed(d->seqs[s].n) == 0)
                continue;
            for (int k = 0; k < n_shared; k++)
                *table++ = prompt[k];
            for (int k = n_shared; k < n_all; k++, keys += lm->block_bytes)
                *table++ = (struct vt_cpu_block){keys, 0};
        }
    }
}

static vt_status lay_out(struct vt_cpu *lm, struct vt_cpu_tape *t, vt_err *err)
{
    const vt_lm_tape *d = t->door;
    size_t n_table = 0, n_own = 0;
    for (int i = 0; i < d->n_prompts; i++) {
        const struct vt_lm_tape_prompt *p = &d->prompts[i];
        n_table += (size_t)blocks_for(p->n);
        n_own += (size_t)blocks_for(p->n);
        t->n_spans++;
        for (int s = p->seq0; s < p->seq0 + p->n_seqs; s++) {
            int n_shared, n_all;
            completion_blocks(p, &d->seqs[s], &n_shared, &n_all);
            if (fed(d->seqs[s].n) == 0)
                continue;
            t->n_spans++;
            n_table += (size_t)n_all;
            n_own += (size_t)(n_all - n_shared);
        }
    }
    void *memory;
    VT_TRY(vt_cpu_take_zeroed(lm, n_own * lm->block_bytes, "keys of the training batch", &memory, err));
    t->keys = memory;
    t->keys_bytes = n_own * lm->block_bytes;
    t->blocks = vt_alloc_array(n_table, sizeof *t->blocks);
    t->lse = vt_alloc_array((size_t)d->n_heads, sizeof *t->lse);
    t->spans = vt_alloc_array((size_t)d->n_prompts, sizeof *t->spans);
    if (!t->blocks || !t->lse || !t->spans)
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch of %d tokens", d->n_rows);
    fill_table(lm, t);
    VT_TRY(
        vt_cpu_take(lm, (size_t)vt_cpu_tape_bytes(lm, d->n_rows), "activations kept for the backward", &memory, err));
    t->x = memory;
    return VT_OK;
}

vt_status vt_cpu_tape_pass(struct vt_cpu *lm, struct vt_cpu_tape *t, struct vt_cpu_pass *out, vt_err *err)
{
    const vt_lm_tape *d = t->door;
    VT_TRY(vt_cpu_rows_begin(lm, d->n_rows, t->n_spans, out, err));
    const struct vt_cpu_block *table = t->blocks;
    for (int i = 0; i < d->n_prompts; i++) {
        const struct vt_lm_tape_prompt *p = &d->prompts[i];
        const int n_tail = p->n % VT_PAGE_KEYS;
        vt_cpu_rows_add(out, p->tokens, p->n, 0, table, 0, NULL, t->adapter);
        table += blocks_for(p->n);
        t->spans[i].span0 = out->n_spans;
        for (int s = p->seq0; s < p->seq0 + p->n_seqs; s++) {
            int n_shared, n_all;
            completion_blocks(p, &d->seqs[s], &n_shared, &n_all);
            if (fed(d->seqs[s].n) == 0)
                continue;
            vt_cpu_rows_add(out, d->seqs[s].tokens, fed(d->seqs[s].n), p->n, table, n_shared, p, t->adapter);
            vt_cpu_rows_tail(out, p->row0 + p->n - n_tail, n_tail);
            table += n_all;
        }
        t->spans[i].n_spans = out->n_spans - t->spans[i].span0;
    }
    return VT_OK;
}

void vt_cpu_tape_targets(const struct vt_cpu *lm, const struct vt_cpu_tape *t, const float *x, float *logprob,
                         struct vt_cpu_targets *list)
{
    const vt_lm_tape *d = t->door;
    for (int h = 0; h < d->n_heads; h++) {
        vt_cpu_targets_row(list, x + (size_t)d->heads[h].row * (size_t)lm->cfg.d_model, t->adapter);
        for (int i = d->heads[h].target0; i < d->heads[h + 1].target0; i++)
            vt_cpu_targets_add(list, d->target_ids[i], logprob ? &logprob[i] : NULL);
    }
}

static vt_status run_tape(struct vt_cpu *lm, const struct vt_lm_work *w, struct vt_cpu_tape *t, vt_err *err)
{
    struct vt_cpu_pass p;
    struct vt_cpu_targets list;
    void *qkv;
    const size_t n_rows = (size_t)t->door->n_rows, d = (size_t)lm->cfg.d_model;
    const size_t qkv_bytes = n_rows * (size_t)lm->qkv_dim * sizeof(float);
    const size_t last = (size_t)lm->cfg.n_layers * n_rows * d;
    VT_TRY(vt_cpu_tape_pass(lm, t, &p, err));
    VT_TRY(vt_cpu_take(lm, qkv_bytes, "a layer's keys and queries", &qkv, err));
    p.qkv = qkv;
    p.tape = t->x;
    p.work = w;
    vt_status status = vt_cpu_pass_run(&p, err);
    vt_cpu_give(lm, qkv, qkv_bytes);
    VT_TRY(status);
    memcpy(t->x + last, p.x, n_rows * d * sizeof *t->x);
    VT_TRY(vt_cpu_targets_begin(lm, t->door->n_heads, (size_t)t->door->n_targets, false, &list, err));
    vt_cpu_tape_targets(lm, t, t->x + last, w->forward.logprob, &list);
    vt_cpu_targets_run(lm, &list);
    memcpy(t->lse, list.lse, (size_t)list.n_rows * sizeof *t->lse);
    vt_cpu_targets_free(lm, &list);
    return VT_OK;
}

/* What the batch needs of the model: the adapter packed, buffers as wide, angles as far. */
static vt_status make_ready(struct vt_cpu *lm, const vt_lm_tape *d, vt_err *err)
{
    struct vt_cpu_adapter *a = vt_cpu_adapter_of(d->adapter);
    int last_pos = 1;
    for (int s = 0; s < d->n_seqs; s++) {
        const int end = d->prompts[d->seqs[s].prompt].n + d->seqs[s].n;
        last_pos = end > last_pos ? end : last_pos;
    }
    VT_TRY(vt_cpu_bufs_ensure(lm, a ? a->host->rank : 0, err));
    VT_TRY(vt_cpu_adapter_ready(lm, a, false, err));
    return vt_cpu_rope_ensure(lm, last_pos, err);
}

vt_status vt_cpu_forward(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cpu *lm = be;
    struct vt_cpu_tape *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch");
    t->door = w->forward.tape;
    t->adapter = vt_cpu_adapter_of(t->door->adapter);
    vt_status status = make_ready(lm, t->door, err);
    if (status == VT_OK)
        status = lay_out(lm, t, err);
    if (status == VT_OK)
        status = run_tape(lm, w, t, err);
    if (status != VT_OK) {
        free_tape(lm, t);
        return status;
    }
    w->forward.tape->impl = t;
    return VT_OK;
}
