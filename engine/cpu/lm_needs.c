/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_needs.c: the backend's rows of a memory plan (model/lm_plan.c sums and judges them): what a batch of a given shape
 * holds at its peak (KV pages, logits, tapes, working rows), and what the model holds anyway. Arrays that grow and stay
 * between jobs count with the larger of what they are and what they would be. Runs on any thread.
 */
#include "cpu/lm_train.h"

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t blocks_for(int64_t n_tokens)
{
    return ((uint64_t)n_tokens + VT_PAGE_KEYS - 1) / VT_PAGE_KEYS;
}

static uint64_t page_bytes(const struct vt_cpu *lm)
{
    return (uint64_t)lm->block_bytes * (uint64_t)lm->cfg.n_layers;
}

/* Own blocks of a completion of n_new fed tokens behind a prompt. */
static uint64_t own_blocks(const struct vt_lm_shapes *s, int n_new)
{
    return blocks_for((int64_t)s->n_prompt + n_new) - (uint64_t)(s->n_prompt / VT_PAGE_KEYS);
}

static uint64_t group_pages(const struct vt_lm_shapes *s)
{
    return times((uint64_t)s->n_groups, blocks_for(s->n_prompt));
}

static int least(int64_t a, int b)
{
    return a < b ? (int)a : b;
}

static void plan_rows(const struct vt_cpu *lm, const uint64_t *kept, int64_t n_rows, struct vt_lm_needs *out)
{
    const uint64_t now = n_rows > INT32_MAX ? UINT64_MAX : vt_cpu_rows_bytes(lm, (int)n_rows);
    vt_lm_needs_add(out, "working rows", larger(now, kept[VT_CPU_ROWS]), false);
}

static void plan_sampling(const struct vt_cpu *lm, const uint64_t *kept, const struct vt_lm_shapes *s,
                          struct vt_lm_needs *out)
{
    const uint64_t own = times((uint64_t)s->n_slots, own_blocks(s, s->n_new));
    vt_lm_needs_add(out, "KV pages of prompts", times(group_pages(s), page_bytes(lm)), false);
    vt_lm_needs_add(out, "KV pages of samples", times(own, page_bytes(lm)), false);
    vt_lm_needs_add(out, "logits", larger(vt_cpu_logits_bytes(lm, s->n_slots), kept[VT_CPU_LOGITS]), false);
    plan_rows(lm, kept, least(s->n_prompt > s->n_slots ? s->n_prompt : s->n_slots, VT_PASS_ROWS), out);
}

/* Completions are packed into passes; one longer than a pass keeps pages. */
static void plan_scoring(const struct vt_cpu *lm, const uint64_t *kept, const struct vt_lm_shapes *s,
                         struct vt_lm_needs *out)
{
    const int fed = s->n_new > 1 ? s->n_new - 1 : 0;
    const int64_t all = (int64_t)s->n_slots * fed;
    vt_lm_needs_add(out, "KV pages of prompts", times(group_pages(s), page_bytes(lm)), false);
    if (fed > VT_PASS_ROWS) {
        vt_lm_needs_add(out, "KV pages of a completion", times(own_blocks(s, fed), page_bytes(lm)), false);
    } else {
        const int at_once = fed ? least(VT_PASS_ROWS / fed, s->n_slots) : 0;
        vt_lm_needs_add(out, "keys of the scored tokens",
                        times(times((uint64_t)at_once, own_blocks(s, fed)), lm->block_bytes), false);
    }
    const int n_list = least(all + s->n_slots, VT_PASS_ROWS + (fed ? VT_PASS_ROWS / fed : s->n_slots));
    vt_lm_needs_add(out, "log-softmax reductions", vt_cpu_targets_bytes(lm, n_list, true), false);
    vt_lm_needs_add(out, "targets", times(times((uint64_t)n_list, (uint64_t)s->k), sizeof(struct vt_cpu_target)),
                    false);
    plan_rows(lm, kept, least(all > s->n_prompt ? all : s->n_prompt, VT_PASS_ROWS), out);
    vt_lm_needs_add(out, "logits", kept[VT_CPU_LOGITS], false);
}

static void plan_training(const struct vt_cpu *lm, const uint64_t *kept, const struct vt_lm_shapes *s,
                          const struct vt_adapter *h, struct vt_lm_needs *out)
{
    const uint64_t params = h ? times((uint64_t)h->n_params, sizeof(float)) : 0;
    const int64_t n_rows = (int64_t)s->n_groups * s->n_prompt + (int64_t)s->n_slots * s->n_new;
    const uint64_t n_targets = times(times((uint64_t)s->n_slots, (uint64_t)s->n_new), (uint64_t)s->k);
    const uint64_t blocks = group_pages(s) + times((uint64_t)s->n_slots, own_blocks(s, s->n_new));
    const int n = n_rows > INT32_MAX ? INT32_MAX : (int)n_rows;
    vt_lm_needs_add(out, "activations kept for the backward", vt_cpu_tape_bytes(lm, n), false);
    vt_lm_needs_add(out, "keys of a layer", times(blocks, lm->block_bytes), false);
    const size_t keys = (size_t)times((uint64_t)s->n_groups, vt_cpu_key_floats(lm, s->n_prompt, VT_KEY_SETS));
    vt_lm_needs_add(out, "the backward's buffers",
                    n_rows > INT32_MAX ? UINT64_MAX : vt_cpu_backward_bytes(lm, h, n, keys), false);
    vt_lm_needs_add(out, "log-softmax reductions", vt_cpu_targets_bytes(lm, n, false), false);
    vt_lm_needs_add(out, "targets", times(n_targets, sizeof(struct vt_cpu_target) + sizeof(int32_t) + sizeof(float)),
                    false);
    vt_lm_needs_add(out, "gradients", times((uint64_t)s->n_grads, params), false);
    /* a step moves a clone: masters, moments, packed copies and their transposes */
    if (h)
        vt_lm_needs_add(out, "the moved adapter",
                        times(3, params) + vt_cpu_packed_bytes(lm, h, false) + vt_cpu_packed_bytes(lm, h, true), false);
    plan_rows(lm, kept, n_rows, out);
    vt_lm_needs_add(out, "logits", kept[VT_CPU_LOGITS], false);
}

void vt_cpu_plan(void *be, const struct vt_lm_shapes *s, const struct vt_lm_adapter *a, struct vt_lm_needs *out)
{
    struct vt_cpu *lm = be;
    uint64_t kept[VT_CPU_N_KEPT];
    pthread_mutex_lock(&lm->lock);
    memcpy(kept, lm->kept, sizeof kept);
    pthread_mutex_unlock(&lm->lock);
    const struct vt_adapter *h = a ? vt_cpu_adapter_of(a)->host : NULL;
    const bool is_training = s->purpose == VT_LM_TRAINING;
    vt_lm_needs_add(out, "packed weights", vt_pack_bytes(lm->pack), true);
    vt_lm_needs_add(out, "transposed weights", is_training ? vt_cpu_back_bytes(lm) : kept[VT_CPU_BACK], true);
    vt_lm_needs_add(out, "adapters", kept[VT_CPU_ADAPTERS], true);
    vt_lm_needs_add(out, "rotary tables", larger(vt_cpu_rope_bytes(lm, s->n_prompt + s->n_new), kept[VT_CPU_ROPE]),
                    true);
    vt_lm_needs_add(out, "working buffers", larger(vt_cpu_bufs_bytes(lm, h ? h->rank : 0), kept[VT_CPU_BUFS]), true);
    if (is_training)
        plan_training(lm, kept, s, h, out);
    else if (s->purpose == VT_LM_SCORING)
        plan_scoring(lm, kept, s, out);
    else
        plan_sampling(lm, kept, s, out);
}
