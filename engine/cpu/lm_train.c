/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_train.c: FORWARD, the training pass: values as SCORE, and a tape for BACKWARD (lm_train.h).
 *
 * All rows of the job walk through the layers in one pass, so the keys of a layer are needed while that layer is at
 * work only: one layer's pages serve all. The tape copies the token ids, because the caller's arrays need not outlive
 * the job.
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

uint64_t vt_lm_tape_bytes(const vt_lm *lm, int n_rows)
{
    return (uint64_t)(lm->cfg.n_layers + 1) * (uint64_t)n_rows * (uint64_t)lm->cfg.d_model * sizeof(float);
}

void vt_lm_tape_free(vt_lm *lm, vt_lm_tape *t)
{
    if (!t)
        return;
    for (int b = 0; t->batches && b < t->n_batches; b++) {
        struct vt_lm_tape_batch *batch = &t->batches[b];
        for (int r = 0; batch->tokens && r < batch->n_rows; r++)
            free(batch->tokens[r]);
        free(batch->tokens);
        free(batch->prompt);
        free(batch->n);
    }
    vt_lm_give(lm, t->x, vt_lm_tape_bytes(lm, t->n_rows));
    vt_lm_give(lm, t->keys, t->keys_bytes);
    vt_lm_adapter_unref(lm, t->adapter);
    free(t->batches);
    free(t->blocks);
    free(t->lse);
    free(t);
}

static int32_t *copy_tokens(const int32_t *ids, int n)
{
    int32_t *copy = vt_alloc_array((size_t)n, sizeof *copy);
    if (copy && n)
        memcpy(copy, ids, (size_t)n * sizeof *copy);
    return copy;
}

static vt_status copy_batch(const struct vt_lm_prompt_batch *from, struct vt_lm_tape_batch *to, vt_err *err)
{
    to->n_prompt = from->n_prompt;
    to->prompt = copy_tokens(from->prompt, from->n_prompt);
    to->tokens = vt_alloc_array((size_t)from->n_rows, sizeof *to->tokens);
    to->n = vt_alloc_array((size_t)from->n_rows, sizeof *to->n);
    bool is_ok = to->prompt && to->tokens && to->n;
    for (int r = 0; r < from->n_rows && is_ok; r++) {
        to->n[r] = from->n[r];
        to->tokens[r] = copy_tokens(from->tokens[r], from->n[r]);
        to->n_rows = r + 1;
        is_ok = to->tokens[r] != NULL;
    }
    return is_ok ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a training batch of %d rows", from->n_rows);
}

static vt_status check_batch(vt_lm *lm, const struct vt_lm_prompt_batch *b, vt_err *err)
{
    int longest = 0;
    VT_TRY(vt_lm_check_prompt(lm, b->prompt, b->n_prompt, err));
    if (b->n_rows < 1)
        return vt_fail(err, VT_EINVAL, "a training batch has a prompt but no completion");
    for (int r = 0; r < b->n_rows; r++) {
        if (b->n[r] < 0)
            return vt_fail(err, VT_EINVAL, "completion %d has %d tokens; 0 or more are possible", r, b->n[r]);
        if (b->n[r] > lm->cfg.n_ctx - b->n_prompt)
            return vt_fail(err, VT_ELIMIT,
                           "completion %d has %d tokens after a prompt of %d, but the model's context is %d", r,
                           b->n[r], b->n_prompt, lm->cfg.n_ctx);
        VT_TRY(vt_lm_check_tokens(lm, b->tokens[r], b->n[r], "a completion", err));
        longest = b->n[r] > longest ? b->n[r] : longest;
    }
    return vt_lm_rope_ensure(lm, b->n_prompt + longest, err);
}

/* Rows, spans, targets and the table of blocks: a prompt's blocks, then for each completion the prompt's full blocks
 * followed by its own. */
static vt_status lay_out(vt_lm *lm, struct vt_lm_tape *t, vt_err *err)
{
    size_t n_table = 0, n_own = 0;
    for (int i = 0; i < t->n_batches; i++) {
        const struct vt_lm_tape_batch *b = &t->batches[i];
        n_table += (size_t)blocks_for(b->n_prompt);
        n_own += (size_t)blocks_for(b->n_prompt);
        t->n_rows += b->n_prompt;
        t->n_spans++;
        for (int r = 0; r < b->n_rows; r++) {
            const int rows = fed(b->n[r]), blocks = blocks_for(b->n_prompt + rows);
            t->n_rows += rows;
            t->n_spans += rows > 0;
            t->n_targets += b->n[r];
            n_table += rows ? (size_t)blocks : 0;
            n_own += rows ? (size_t)(blocks - b->n_prompt / VT_PAGE_KEYS) : 0;
        }
    }
    void *memory;
    VT_TRY(vt_lm_take_zeroed(lm, n_own * lm->block_bytes, "keys of the training batch", &memory, err));
    t->keys = memory;
    t->keys_bytes = n_own * lm->block_bytes;
    t->blocks = vt_alloc_array(n_table, sizeof *t->blocks);
    t->lse = vt_alloc_array((size_t)t->n_rows, sizeof *t->lse);
    if (!t->blocks || !t->lse)
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch of %d tokens", t->n_rows);
    struct vt_lm_block *table = t->blocks;
    unsigned char *keys = t->keys;
    for (int i = 0; i < t->n_batches; i++) {
        const struct vt_lm_tape_batch *b = &t->batches[i];
        const struct vt_lm_block *prompt = table;
        for (int k = 0; k < blocks_for(b->n_prompt); k++, keys += lm->block_bytes)
            *table++ = (struct vt_lm_block){keys, 0};
        for (int r = 0; r < b->n_rows; r++) {
            const int rows = fed(b->n[r]), n_shared = b->n_prompt / VT_PAGE_KEYS;
            if (rows == 0)
                continue;
            for (int k = 0; k < n_shared; k++)
                *table++ = prompt[k];
            for (int k = n_shared; k < blocks_for(b->n_prompt + rows); k++, keys += lm->block_bytes)
                *table++ = (struct vt_lm_block){keys, 0};
        }
    }
    return VT_OK;
}

vt_status vt_lm_tape_pass(vt_lm *lm, struct vt_lm_tape *t, struct vt_lm_pass *out, vt_err *err)
{
    VT_TRY(vt_lm_rows_begin(lm, t->n_rows, t->n_spans, out, err));
    const struct vt_lm_block *table = t->blocks;
    for (int i = 0; i < t->n_batches; i++) {
        struct vt_lm_tape_batch *b = &t->batches[i];
        const int n_shared = b->n_prompt / VT_PAGE_KEYS, n_tail = b->n_prompt % VT_PAGE_KEYS;
        b->prompt_row = out->n_rows;
        vt_lm_rows_add(out, b->prompt, b->n_prompt, 0, table, 0, NULL, t->adapter);
        table += blocks_for(b->n_prompt);
        b->span0 = out->n_spans;
        for (int r = 0; r < b->n_rows; r++) {
            const int rows = fed(b->n[r]);
            if (rows == 0)
                continue;
            vt_lm_rows_add(out, b->tokens[r], rows, b->n_prompt, table, n_shared, b, t->adapter);
            vt_lm_rows_tail(out, b->prompt_row + b->n_prompt - n_tail, n_tail);
            table += blocks_for(b->n_prompt + rows);
        }
        b->n_spans = out->n_spans - b->span0;
    }
    return VT_OK;
}

void vt_lm_tape_targets(const vt_lm *lm, const struct vt_lm_tape *t, const float *x, const struct vt_lm_job *job,
                        struct vt_lm_targets *list)
{
    const size_t d = (size_t)lm->cfg.d_model;
    for (int i = 0; i < t->n_batches; i++) {
        const struct vt_lm_tape_batch *b = &t->batches[i];
        size_t row = (size_t)(b->prompt_row + b->n_prompt);
        vt_lm_targets_row(list, x + (row - 1) * d, t->adapter);
        for (int r = 0; r < b->n_rows; r++)
            if (b->n[r] > 0)
                vt_lm_targets_add(list, b->tokens[r][0], job ? &job->forward.batches[i].logprob[r][0] : NULL);
        for (int r = 0; r < b->n_rows; r++) {
            for (int k = 1; k < b->n[r]; k++) {
                vt_lm_targets_row(list, x + row++ * d, t->adapter);
                vt_lm_targets_add(list, b->tokens[r][k], job ? &job->forward.batches[i].logprob[r][k] : NULL);
            }
        }
    }
}

static vt_status make_tape(vt_lm *lm, const struct vt_lm_job *job, struct vt_lm_tape *t, vt_err *err)
{
    VT_TRY(vt_lm_adapter_ref(lm, job->forward.adapter, &t->adapter, err));
    t->batches = vt_alloc_array((size_t)job->forward.n_batches, sizeof *t->batches);
    if (!t->batches)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d training batches", job->forward.n_batches);
    for (int i = 0; i < job->forward.n_batches; i++) {
        VT_TRY(check_batch(lm, &job->forward.batches[i], err));
        t->n_batches = i + 1;
        VT_TRY(copy_batch(&job->forward.batches[i], &t->batches[i], err));
    }
    VT_TRY(lay_out(lm, t, err));
    void *x;
    VT_TRY(vt_lm_take(lm, vt_lm_tape_bytes(lm, t->n_rows), "activations kept for the backward", &x, err));
    t->x = x;
    return VT_OK;
}

static vt_status run_tape(vt_lm *lm, const struct vt_lm_job *job, struct vt_lm_tape *t, vt_err *err)
{
    struct vt_lm_pass p;
    struct vt_lm_targets list;
    void *qkv;
    const size_t qkv_bytes = (size_t)t->n_rows * (size_t)lm->qkv_dim * sizeof(float);
    const size_t last = (size_t)lm->cfg.n_layers * (size_t)t->n_rows * (size_t)lm->cfg.d_model;
    VT_TRY(vt_lm_tape_pass(lm, t, &p, err));
    VT_TRY(vt_lm_take(lm, qkv_bytes, "a layer's keys and queries", &qkv, err));
    p.qkv = qkv;
    p.tape = t->x;
    vt_lm_pass_run(&p);
    vt_lm_give(lm, qkv, qkv_bytes);
    memcpy(t->x + last, p.x, (size_t)t->n_rows * (size_t)lm->cfg.d_model * sizeof *t->x);
    VT_TRY(vt_lm_targets_begin(lm, t->n_rows, t->n_targets, &list, err));
    vt_lm_tape_targets(lm, t, t->x + last, job, &list);
    vt_lm_targets_run(lm, &list);
    memcpy(t->lse, list.lse, (size_t)list.n_rows * sizeof *t->lse);
    vt_lm_targets_free(lm, &list);
    return VT_OK;
}

vt_status vt_lm_do_forward(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    job->forward.tape = NULL;
    if (job->forward.n_batches < 1)
        return vt_fail(err, VT_EINVAL, "there is nothing to train on: give at least one prompt with a completion");
    struct vt_lm_tape *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory for a training batch");
    vt_status status = make_tape(lm, job, t, err);
    if (status == VT_OK)
        status = run_tape(lm, job, t, err);
    if (status != VT_OK) {
        vt_lm_tape_free(lm, t);
        return status;
    }
    job->forward.tape = t;
    return VT_OK;
}
