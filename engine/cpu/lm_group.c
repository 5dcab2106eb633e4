/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_group.c: groups (a prompt computed once) and slots (one sample in the making).
 *
 * A group holds its prompt's KV pages and the residual row of its last token, from which the first token of every
 * sample is drawn. A slot reads the group's full pages by reference. The page that straddles the prompt's end is copied
 * into the slot at its first step, because its own keys go there: blocks are absolute, so this keeps the merge order
 * of decode equal to that of score and of the training forward. Closing may happen on any thread; a group lives until
 * its last slot is closed.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

static int blocks_for(int n_tokens)
{
    return (n_tokens + VT_PAGE_KEYS - 1) / VT_PAGE_KEYS;
}

vt_status vt_lm_check_tokens(const vt_lm *lm, const int32_t *ids, int n, const char *what, vt_err *err)
{
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= lm->cfg.n_vocab)
            return vt_fail(err, VT_EINVAL, "token %d of %s has id %d, but the vocabulary has ids 0 to %d", i, what,
                           (int)ids[i], lm->cfg.n_vocab - 1);
    return VT_OK;
}

vt_status vt_lm_check_prompt(const vt_lm *lm, const int32_t *ids, int n, vt_err *err)
{
    if (n < 1)
        return vt_fail(err, VT_EINVAL, "the prompt is empty; give at least one token");
    if (n > lm->cfg.n_ctx)
        return vt_fail(err, VT_ELIMIT, "the prompt has %d tokens, but the model's context is %d", n, lm->cfg.n_ctx);
    return vt_lm_check_tokens(lm, ids, n, "the prompt", err);
}

static void destroy(vt_lm *lm, vt_lm_group *g)
{
    for (int i = 0; g->pages && i < g->n_blocks; i++)
        vt_lm_page_free(lm, g->pages[i]);
    vt_lm_adapter_unref(lm, g->adapter);
    free(g->pages);
    free(g->blocks);
    free(g->last);
    free(g);
}

static void unref(vt_lm *lm, vt_lm_group *g)
{
    pthread_mutex_lock(&lm->lock);
    bool is_last = --g->refs == 0;
    pthread_mutex_unlock(&lm->lock);
    if (is_last)
        destroy(lm, g);
}

void vt_lm_group_close(vt_lm *lm, vt_lm_group *g)
{
    if (g)
        unref(lm, g);
}

static vt_status group_new(vt_lm *lm, int n_tokens, int adapter, vt_lm_group **out, vt_err *err)
{
    *out = NULL;
    vt_lm_group *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", n_tokens);
    g->refs = 1;
    g->n_tokens = n_tokens;
    g->n_blocks = blocks_for(n_tokens);
    g->serial = ++lm->next_group;
    g->blocks = vt_alloc_array((size_t)g->n_blocks, sizeof *g->blocks);
    g->pages = vt_alloc_array((size_t)g->n_blocks, sizeof *g->pages);
    g->last = vt_alloc_array((size_t)lm->cfg.d_model, sizeof *g->last);
    vt_status status = VT_OK;
    if (!g->blocks || !g->pages || !g->last)
        status = vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", n_tokens);
    if (status == VT_OK)
        status = vt_lm_adapter_ref(lm, adapter, &g->adapter, err);
    for (int i = 0; i < g->n_blocks && status == VT_OK; i++) {
        status = vt_lm_page_new(lm, &g->pages[i], err);
        if (status == VT_OK)
            g->blocks[i] = (struct vt_lm_block){g->pages[i]->data, lm->block_bytes};
    }
    if (status != VT_OK) {
        destroy(lm, g);
        return status;
    }
    *out = g;
    return VT_OK;
}

vt_status vt_lm_do_group(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    const int32_t *tokens = job->group.tokens;
    const int n = job->group.n_tokens;
    vt_lm_group *g;
    job->group.group = NULL;
    VT_TRY(vt_lm_check_prompt(lm, tokens, n, err));
    VT_TRY(vt_lm_rope_ensure(lm, n, err));
    VT_TRY(group_new(lm, n, job->group.adapter, &g, err));
    for (int at = 0; at < n; at += lm->pass_rows) {
        const int rows = n - at < lm->pass_rows ? n - at : lm->pass_rows;
        struct vt_lm_pass p;
        vt_status status = vt_lm_rows_begin(lm, rows, 1, &p, err);
        if (status != VT_OK) {
            destroy(lm, g);
            return status;
        }
        vt_lm_rows_add(&p, tokens + at, rows, at, g->blocks, at / VT_PAGE_KEYS, NULL, g->adapter);
        vt_lm_pass_run(&p);
        memcpy(g->last, p.x + (size_t)(rows - 1) * (size_t)lm->cfg.d_model, (size_t)lm->cfg.d_model * sizeof *g->last);
    }
    job->group.group = g;
    return VT_OK;
}

static vt_status check_sampling(const vt_lm *lm, const struct vt_sampling *s, vt_err *err)
{
    if (!(s->temperature >= 0) || s->temperature > 1e6f)
        return vt_fail(err, VT_EINVAL, "the temperature must be 0 or more, not %g", (double)s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return vt_fail(err, VT_EINVAL, "top_p must be above 0 and at most 1, not %g", (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return vt_fail(err, VT_EINVAL, "min_p must be between 0 and 1, not %g", (double)s->min_p);
    if (s->top_k < 0 || s->n_banned < 0)
        return vt_fail(err, VT_EINVAL, "top_k and the number of banned ids must be 0 or more");
    return vt_lm_check_tokens(lm, s->banned, s->n_banned, "the banned ids", err);
}

static vt_status copy_ids(const int32_t *ids, int n, int32_t **out, vt_err *err)
{
    *out = vt_alloc_array((size_t)n, sizeof **out);
    if (!*out)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d token ids", n);
    if (n)
        memcpy(*out, ids, (size_t)n * sizeof **out);
    return VT_OK;
}

vt_status vt_lm_slot_open(vt_lm *lm, vt_lm_group *g, uint64_t seed, const struct vt_sampling *s, int max_tokens,
                          const int32_t *stop_ids, int n_stop_ids, vt_lm_slot **out, vt_err *err)
{
    *out = NULL;
    VT_TRY(check_sampling(lm, s, err));
    if (max_tokens < 1)
        return vt_fail(err, VT_EINVAL, "a sample needs room for at least one token, not %d", max_tokens);
    if (max_tokens > lm->cfg.n_ctx - g->n_tokens)
        return vt_fail(err, VT_ELIMIT, "a prompt of %d tokens and %d new ones pass the model's context of %d",
                       g->n_tokens, max_tokens, lm->cfg.n_ctx);
    vt_lm_slot *slot = vt_alloc(sizeof *slot);
    if (!slot)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    const int cap = blocks_for(g->n_tokens + max_tokens);
    slot->seed = seed;
    slot->sampling = *s;
    slot->max_tokens = max_tokens;
    slot->n_stop_ids = n_stop_ids;
    slot->n_blocks = g->n_tokens / VT_PAGE_KEYS;
    slot->blocks = vt_alloc_array((size_t)cap, sizeof *slot->blocks);
    slot->own = vt_alloc_array((size_t)cap, sizeof *slot->own);
    vt_status status = slot->blocks && slot->own ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    if (status == VT_OK)
        status = copy_ids(s->banned, s->n_banned, &slot->banned, err);
    if (status == VT_OK)
        status = copy_ids(stop_ids, n_stop_ids, &slot->stop_ids, err);
    if (status != VT_OK) {
        vt_lm_slot_close(lm, slot);
        return status;
    }
    slot->sampling.banned = slot->banned;
    memcpy(slot->blocks, g->blocks, (size_t)slot->n_blocks * sizeof *slot->blocks);
    pthread_mutex_lock(&lm->lock);
    g->refs++;
    pthread_mutex_unlock(&lm->lock);
    slot->group = g;
    *out = slot;
    return VT_OK;
}

void vt_lm_slot_close(vt_lm *lm, vt_lm_slot *slot)
{
    if (!slot)
        return;
    for (int i = 0; slot->own && i < slot->n_blocks; i++)
        vt_lm_page_free(lm, slot->own[i]);
    if (slot->group)
        unref(lm, slot->group);
    free(slot->own);
    free(slot->blocks);
    free(slot->banned);
    free(slot->stop_ids);
    free(slot);
}

vt_status vt_lm_blocks_grow(vt_lm *lm, const vt_lm_group *g, int n_tokens, struct vt_lm_block *blocks,
                            struct vt_lm_page **own, int *n_blocks, vt_err *err)
{
    while (*n_blocks < blocks_for(n_tokens)) {
        struct vt_lm_page *page;
        VT_TRY(vt_lm_page_new(lm, &page, err));
        if (*n_blocks < g->n_blocks) /* the block that straddles the prompt's end */
            memcpy(page->data, g->pages[*n_blocks]->data, lm->block_bytes * (size_t)lm->cfg.n_layers);
        own[*n_blocks] = page;
        blocks[(*n_blocks)++] = (struct vt_lm_block){page->data, lm->block_bytes};
    }
    return VT_OK;
}
