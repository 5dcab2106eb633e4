/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_group.c: keys and values of groups (a prompt computed once) and slots (one sample in the making).
 *
 * A group holds its prompt's KV pages and the residual row of its last token, from which the first token of every
 * sample is drawn. A slot reads the group's full pages by reference. The page that straddles the prompt's end is copied
 * into the slot at its first step, because its own keys go there: blocks are absolute, so this keeps the merge order
 * of decode equal to that of score and of the training forward. The door counts references, so a group outlives its
 * slots.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

static int blocks_for(int n_tokens)
{
    return (n_tokens + VT_PAGE_KEYS - 1) / VT_PAGE_KEYS;
}

static void free_group(struct vt_cpu *lm, struct vt_cpu_group *g)
{
    if (!g)
        return;
    for (int i = 0; g->pages && i < g->n_blocks; i++)
        vt_cpu_page_free(lm, g->pages[i]);
    free(g->pages);
    free(g->blocks);
    free(g->last);
    free(g);
}

void vt_cpu_group_free(void *be, vt_lm_group *g)
{
    free_group(be, g->impl);
}

static vt_status fill_group(struct vt_cpu *lm, struct vt_cpu_group *g, int n_tokens, vt_err *err)
{
    g->n_blocks = blocks_for(n_tokens);
    g->blocks = vt_alloc_array((size_t)g->n_blocks, sizeof *g->blocks);
    g->pages = vt_alloc_array((size_t)g->n_blocks, sizeof *g->pages);
    g->last = vt_alloc_array((size_t)lm->cfg.d_model, sizeof *g->last);
    if (!g->blocks || !g->pages || !g->last)
        return vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", n_tokens);
    for (int i = 0; i < g->n_blocks; i++) {
        VT_TRY(vt_cpu_page_new(lm, &g->pages[i], err));
        g->blocks[i] = (struct vt_cpu_block){g->pages[i]->data, lm->block_bytes};
    }
    return VT_OK;
}

static vt_status prefill(struct vt_cpu *lm, const struct vt_lm_work *w, struct vt_cpu_group *g, vt_err *err)
{
    struct vt_cpu_adapter *a = vt_cpu_adapter_of(w->group.group->adapter);
    const int n = w->group.group->n_tokens;
    VT_TRY(vt_cpu_bufs_ensure(lm, a ? a->host->rank : 0, err));
    VT_TRY(vt_cpu_adapter_ready(lm, a, false, err));
    VT_TRY(vt_cpu_rope_ensure(lm, n, err));
    VT_TRY(fill_group(lm, g, n, err));
    for (int at = 0; at < n; at += lm->pass_rows) {
        const int rows = n - at < lm->pass_rows ? n - at : lm->pass_rows;
        struct vt_cpu_pass p;
        VT_TRY(vt_cpu_rows_begin(lm, rows, 1, &p, err));
        p.work = w;
        vt_cpu_rows_add(&p, w->group.tokens + at, rows, at, g->blocks, at / VT_PAGE_KEYS, NULL, a);
        VT_TRY(vt_cpu_pass_run(&p, err));
        memcpy(g->last, p.x + (size_t)(rows - 1) * (size_t)lm->cfg.d_model, (size_t)lm->cfg.d_model * sizeof *g->last);
    }
    return VT_OK;
}

vt_status vt_cpu_group(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cpu_group *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", w->group.group->n_tokens);
    vt_status status = prefill(be, w, g, err);
    if (status != VT_OK) {
        free_group(be, g);
        return status;
    }
    w->group.group->impl = g;
    return VT_OK;
}

static void free_slot(struct vt_cpu *lm, struct vt_cpu_slot *slot)
{
    for (int i = 0; slot->own && i < slot->n_blocks; i++)
        vt_cpu_page_free(lm, slot->own[i]);
    free(slot->own);
    free(slot->blocks);
    free(slot);
}

vt_status vt_cpu_slot_new(void *be, vt_lm_slot *s, vt_err *err)
{
    const struct vt_cpu_group *g = vt_cpu_group_of(s->group);
    const int cap = blocks_for(s->group->n_tokens + s->max_tokens);
    struct vt_cpu_slot *slot = vt_alloc(sizeof *slot);
    if (!slot)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    slot->blocks = vt_alloc_array((size_t)cap, sizeof *slot->blocks);
    slot->own = vt_alloc_array((size_t)cap, sizeof *slot->own);
    if (!slot->blocks || !slot->own) {
        free_slot(be, slot);
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    }
    slot->n_blocks = s->group->n_tokens / VT_PAGE_KEYS;
    memcpy(slot->blocks, g->blocks, (size_t)slot->n_blocks * sizeof *slot->blocks);
    s->impl = slot;
    return VT_OK;
}

void vt_cpu_slot_free(void *be, vt_lm_slot *s)
{
    free_slot(be, s->impl);
}

vt_status vt_cpu_blocks_grow(struct vt_cpu *lm, const struct vt_cpu_group *g, int n_tokens, struct vt_cpu_block *blocks,
                             struct vt_cpu_page **own, int *n_blocks, vt_err *err)
{
    while (*n_blocks < blocks_for(n_tokens)) {
        struct vt_cpu_page *page;
        VT_TRY(vt_cpu_page_new(lm, &page, err));
        if (*n_blocks < g->n_blocks) /* the block that straddles the prompt's end */
            memcpy(page->data, g->pages[*n_blocks]->data, lm->block_bytes * (size_t)lm->cfg.n_layers);
        own[*n_blocks] = page;
        blocks[(*n_blocks)++] = (struct vt_cpu_block){page->data, lm->block_bytes};
    }
    return VT_OK;
}
