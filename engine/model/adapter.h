/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter.h: a LoRA adapter as plain host data, and its files. For a target module with weight W (d_out, d_in):
 * y = W x + s B (A x), s = alpha / rank, A (rank, d_in) uniform in ±1/sqrt(d_in), B (d_out, rank) zero (PEFT's and
 * Tinker's convention, reference/policy.md section 4.2). Values are fp32 masters; what of them
 * a backend computes with is the backend's (the CPU: all of it, or 16 bits, cpu/lm_lora.c).
 *
 * Layout: one allocation of fp32; module (layer l, target t) has A at a_off(l, t) and B behind it. UNEMBED, when
 * present, is one module with layer index n_layers. Where experts have factors of their own (n_a, n_b) these follow
 * each other in order of the expert: all A of a module, then all B.
 * Files: adapter_model.safetensors + adapter_config.json (PEFT, q/k rows in Hugging Face order, base digest in the
 * config) and, when moments are kept, vegttt_optimizer.safetensors (m, v) + vegttt.json (step, trained_on, ids).
 */
#ifndef VT_MODEL_ADAPTER_H
#define VT_MODEL_ADAPTER_H

#include "model/ckpt.h"

enum vt_target {
    VT_LORA_Q,
    VT_LORA_K,
    VT_LORA_V,
    VT_LORA_O,
    VT_LORA_GATE,
    VT_LORA_UP,
    VT_LORA_DOWN,
    VT_LORA_UNEMBED,
    VT_LORA_N
};
#define VT_LORA_DEFAULT 0x7fu /* q k v o gate up down */

struct vt_adapter {
    struct vt_lm_config cfg;
    int rank;
    float alpha;
    unsigned targets;                   /* bit mask of 1 << vt_target */
    int n_a[VT_LORA_N], n_b[VT_LORA_N]; /* experts with an A, a B of their own; 0 = one for all, or no experts */
    size_t n_params;
    float *params;    /* n_params */
    float *m, *v;     /* n_params each, or NULL: no optimiser state */
    uint64_t step;    /* Adam steps taken */
    char *trained_on; /* JSON text: {"tasks": [...], "families": [...]}; NULL = nothing known */
    char base_digest[65];
};

vt_status vt_adapter_new(const struct vt_lm_config *cfg, int rank, float alpha, unsigned targets, uint64_t seed,
                         struct vt_adapter **out, vt_err *err) VT_MUST_USE;
vt_status vt_adapter_clone(const struct vt_adapter *a, struct vt_adapter **out, vt_err *err) VT_MUST_USE;
void vt_adapter_free(struct vt_adapter *a);
/* d_out and d_in of a target's weight. */
void vt_adapter_dims(const struct vt_lm_config *cfg, enum vt_target t, int *d_out, int *d_in);
/* Offsets into params of A and B of a module; false when the module is not adapted. */
bool vt_adapter_at(const struct vt_adapter *a, int layer, enum vt_target t, size_t *a_off, size_t *b_off);
/* Whether all parameters are bf16 numbers, as those of an adapter that was stored so. */
bool vt_adapter_is_bf16(const struct vt_adapter *a);

/* dir: a PEFT folder. Checks shapes and targets against cfg; warns through *warning (malloc'd, may be NULL) when the
 * base digest differs. dtype: VT_F32 or VT_BF16 for saving. */
vt_status vt_adapter_load(const char *dir, const struct vt_lm_config *cfg, const char *base_digest,
                          struct vt_adapter **out, char **warning, vt_err *err) VT_MUST_USE;
/* The same on a base that is open: an adapter of the head, with which PEFT saves the base's own head, can be told from
 * one that changes it. */
vt_status vt_adapter_load_on(const char *dir, const vt_ckpt *base, const char *base_digest, struct vt_adapter **out,
                             char **warning, vt_err *err) VT_MUST_USE;
vt_status vt_adapter_save(const struct vt_adapter *a, const char *dir, enum vt_dtype dtype, bool with_moments,
                          vt_err *err) VT_MUST_USE;

#endif
