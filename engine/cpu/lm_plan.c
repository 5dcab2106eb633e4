/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_plan.c: what a batch of a given shape needs, before anything is begun. The figure counts what the batch itself
 * holds at its peak (KV pages, logits, tapes, working rows); what the model always holds (packed weights, adapters) is
 * taken off the limit first.
 */
#include "cpu/lm_parts.h"

static uint64_t blocks_for(int n_tokens)
{
    return ((uint64_t)n_tokens + VT_PAGE_KEYS - 1) / VT_PAGE_KEYS;
}

static uint64_t held_bytes(vt_lm *lm)
{
    pthread_mutex_lock(&lm->lock);
    uint64_t bytes = vt_pack_bytes(lm->pack);
    for (int i = 0; i < lm->n_adapters; i++)
        bytes += lm->adapters[i] ? lm->adapters[i]->bytes : 0;
    pthread_mutex_unlock(&lm->lock);
    return bytes + (uint64_t)lm->rope_rows * (uint64_t)lm->cfg.head_dim * sizeof(float) + vt_lm_bufs_bytes(lm);
}

static uint64_t sampling_bytes(const vt_lm *lm, const struct vt_lm_shapes *s)
{
    const uint64_t page = (uint64_t)lm->block_bytes * (uint64_t)lm->cfg.n_layers;
    const uint64_t own = blocks_for(s->n_prompt + s->n_new) - (uint64_t)(s->n_prompt / VT_PAGE_KEYS);
    const uint64_t pages = (uint64_t)s->n_groups * blocks_for(s->n_prompt) + (uint64_t)s->n_slots * own;
    const uint64_t logits = (uint64_t)(s->n_slots < VT_NARROW_ROWS ? s->n_slots : VT_NARROW_ROWS) *
                            ((uint64_t)lm->cfg.n_vocab + 2 * (uint64_t)vt_lm_head_chunks(lm)) * sizeof(float);
    const int rows = s->n_prompt > s->n_slots ? s->n_prompt : s->n_slots;
    return pages * page + logits + vt_lm_rows_bytes(lm, rows < VT_PASS_ROWS ? rows : VT_PASS_ROWS);
}

vt_status vt_lm_plan(vt_lm *lm, const struct vt_lm_shapes *s, uint64_t *bytes, vt_err *err)
{
    *bytes = 0;
    if (s->n_groups < 1 || s->n_slots < 1 || s->n_prompt < 1 || s->n_new < 1)
        return vt_fail(err, VT_EINVAL, "a plan needs at least one group, slot, prompt token and new token");
    if (s->n_new > lm->cfg.n_ctx - s->n_prompt)
        return vt_fail(err, VT_ELIMIT, "a prompt of %d tokens and %d new ones pass the model's context of %d",
                       s->n_prompt, s->n_new, lm->cfg.n_ctx);
    *bytes = s->train ? vt_lm_train_bytes(lm, s) : sampling_bytes(lm, s);
    const uint64_t held = held_bytes(lm), room = lm->max_bytes > held ? lm->max_bytes - held : 0;
    if (*bytes > room)
        return vt_fail(err, VT_ENOMEM,
                       "%s %d x (%d + %d) tokens needs %.1f MB, but the memory limit leaves %.1f MB for it; ask for "
                       "less or raise the limit",
                       s->train ? "a training step of" : "sampling", s->n_slots, s->n_prompt, s->n_new,
                       (double)*bytes / 1e6, (double)room / 1e6);
    return VT_OK;
}
