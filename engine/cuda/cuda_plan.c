/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_plan.c: what work of a given shape takes of the device's memory, row by row, before anything is begun. What the
 * model holds whatever is asked is taken at opening and told as held; keys and values come on top.
 */
#include "cuda/cuda_train.h"

static uint64_t blocks_for(int n_tokens)
{
    return ((uint64_t)n_tokens + VT_DEV_PAGE_KEYS - 1) / VT_DEV_PAGE_KEYS;
}

static void plan_training(const struct vt_cuda *be, const struct vt_lm_shapes *s, const struct vt_lm_adapter *a,
                          uint64_t keys, struct vt_lm_needs *out)
{
    const int fed = s->n_new > 0 ? s->n_new - 1 : 0, n_rows = s->n_groups * s->n_prompt + s->n_slots * fed;
    const int behind = s->n_groups ? (s->n_slots + s->n_groups - 1) / s->n_groups * fed : 0;
    const uint64_t n_params = a ? a->shape.n_params : 0, n_grads = s->n_grads > 1 ? (uint64_t)s->n_grads : 1;
    vt_lm_needs_add(out, "keys of the training batch", keys, false);
    vt_lm_needs_add(out, "activations kept for the backward", vt_cuda_tape_bytes(be, n_rows), false);
    vt_lm_needs_add(out, "the backward's buffers",
                    vt_cuda_back_bytes(be, vt_cuda_adapter_of(a), n_rows,
                                       s->n_groups * vt_cuda_key_parts(s->n_prompt, behind), VT_CUDA_KEEP_INPUTS),
                    false);
    vt_lm_needs_add(out, "gradients", n_grads * n_params * sizeof(float), false);
    vt_lm_needs_add(out, "Adam's moments", 2 * n_params * sizeof(float), false);
}

void vt_cuda_plan(void *opened, const struct vt_lm_shapes *s, const struct vt_lm_adapter *a, struct vt_lm_needs *out)
{
    const struct vt_cuda *be = opened;
    const uint64_t head = (uint64_t)be->head_rows * ((uint64_t)be->shape.ld_vocab * 4 + (uint64_t)be->cfg.d_model * 2);
    const uint64_t rows = (uint64_t)(be->wide_rows + VT_CUDA_STEP_ROWS) * vt_cuda_row_bytes(&be->cfg);
    const uint64_t pages = (uint64_t)s->n_groups * blocks_for(s->n_prompt);
    const uint64_t own =
        (uint64_t)s->n_slots * (blocks_for(s->n_prompt + s->n_new) - (uint64_t)(s->n_prompt / VT_DEV_PAGE_KEYS));
    const uint64_t adapters = vt_cuda_adapters_bytes(be);
    vt_lm_needs_add(out, "packed weights", vt_cuda_weights_bytes(&be->cfg), true);
    vt_lm_needs_add(out, "working rows", rows, true);
    vt_lm_needs_add(out, "logits of some rows", head, true);
    vt_lm_needs_add(out, "keys of scored tokens", (uint64_t)be->shape.layer_stride * VT_CUDA_SCRATCH_PAGES, true);
    vt_lm_needs_add(out, "workspace of matrix products", VT_CUDA_WORKSPACE, true);
    vt_lm_needs_add(out, "adapters", adapters, true);
    if (s->purpose == VT_LM_TRAINING) {
        plan_training(be, s, a, (pages + own) * (uint64_t)be->shape.layer_stride, out);
        return;
    }
    vt_lm_needs_add(out, "KV pages", (pages + (s->purpose == VT_LM_SAMPLING ? own : 0)) * be->page_bytes, false);
    if (s->purpose == VT_LM_SAMPLING)
        vt_lm_needs_add(out, "sample records", (uint64_t)s->n_slots * be->record_bytes, false);
}
