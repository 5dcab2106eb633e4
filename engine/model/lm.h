/* SPDX-License-Identifier: Apache-2.0
 *
 * lm.h: the narrow waist between policies and language-model backends (engine/cpu now, engine/cuda later). No call
 * returns logits. Every piece of work is a job: vt_lm_submit queues it, the backend runs jobs in order on its own
 * thread(s) and calls job->done there; the backend knows no event loop, Lua or JSON. policy/ owns queueing and
 * batching; the backend owns KV pages, packed weights and kernels.
 *
 * Numerics (DECISIONS.md section 7): every output element is one fixed-order chain over K; attention runs over
 * absolute 64-key blocks merged in index order; the vocabulary is walked in fixed chunks. So a result never depends on
 * batch size, chunking, thread count or batch mates, and on one numerics id these hold bit for bit:
 *   DECODE's logprob == SCORE's == FORWARD's, alone or among others, for any adapter.
 *
 * Lifetimes: a group keeps its prompt's KV until vt_lm_group_close and until its slots are closed (reference counted).
 * Job structs and every array they point to belong to the caller and must stay valid until done is called.
 */
#ifndef VT_MODEL_LM_H
#define VT_MODEL_LM_H

#include "base/thread.h"
#include "model/adapter.h"

typedef struct vt_lm vt_lm;
typedef struct vt_lm_group vt_lm_group; /* a prompt computed once under one adapter */
typedef struct vt_lm_slot vt_lm_slot;   /* one sample being decoded */
typedef struct vt_lm_tape vt_lm_tape;   /* activations kept between FORWARD and BACKWARD */

enum vt_lm_precision { VT_LM_FAST, VT_LM_F32 };

struct vt_lm_opts {
    int n_threads; /* 0 = all cores */
    enum vt_lm_precision precision;
    uint64_t max_memory; /* bytes for KV, tapes and packed weights; 0 = 75 % of what is available */
    const char *isa;     /* NULL = best; "c", "avx2", "avx512", "avx512bf16", "amx" (also env VEGTTT_ISA) */
    vt_lease *lease;     /* guest of this lease, polled at layer boundaries; may be NULL */
};

/* The checkpoint must outlive the model. Packed weights are cached on disk by content hash and mmapped. */
vt_status vt_lm_cpu_open(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_lm **out, vt_err *err) VT_MUST_USE;
void vt_lm_close(vt_lm *lm);                 /* finishes the job in flight, fails queued ones with ECANCELLED */
const char *vt_lm_numerics(const vt_lm *lm); /* "cpu/fast/amx/5": enters weights ids and sample keys */
const struct vt_lm_config *vt_lm_cfg(const vt_lm *lm);
uint64_t vt_lm_bytes(const vt_lm *lm, uint64_t *peak); /* memory held now and at most */

/* Adapters are slots of the backend, immutable but for vt_lm_adam on the id it is given. id 0 = no adapter. Calls are
 * synchronous and cheap (a copy and a rounding to bf16). */
vt_status vt_lm_adapter_put(vt_lm *lm, const struct vt_adapter *a, int *id, vt_err *err) VT_MUST_USE;
vt_status vt_lm_adapter_clone(vt_lm *lm, int id, int *out, vt_err *err) VT_MUST_USE; /* moments come along */
vt_status vt_lm_adapter_get(vt_lm *lm, int id, struct vt_adapter **out, vt_err *err) VT_MUST_USE; /* caller frees */
void vt_lm_adapter_drop(vt_lm *lm, int id); /* freed once no group, slot or tape uses it */

struct vt_sampling {
    float temperature;     /* 0 = argmax (first index on ties) */
    float top_p;           /* 1 = off */
    int top_k;             /* 0 = off */
    float min_p;           /* 0 = off */
    const int32_t *banned; /* ids that are never sampled (logit bias -inf); may be NULL */
    int n_banned;
};

enum vt_lm_job_kind { VT_LM_GROUP, VT_LM_DECODE, VT_LM_SCORE, VT_LM_FORWARD, VT_LM_BACKWARD };

struct vt_lm_job {
    enum vt_lm_job_kind kind;
    vt_status status; /* set before done */
    vt_err err;
    void (*done)(struct vt_lm_job *job); /* on a backend thread; may call vt_lm_submit */
    void *user;
    struct vt_lm_job *next; /* backend's queue link */
    union {
        /* Prefill: prompt ids (n >= 1) under adapter -> group. */
        struct {
            const int32_t *tokens;
            int n_tokens, adapter;
            vt_lm_group *group; /* out */
        } group;
        /* n_steps tokens for each slot. Slots may belong to different groups and adapters. A slot that has sampled one
         * of its stop ids or reached max_tokens stops early: n_out[i] < n_steps. Arrays are [n_slots * n_steps], row i
         * for slot i. logprob: log-softmax of the raw logits at temperature 1, full vocabulary. logprob_behaviour:
         * log of the probability the draw had, after bans, temperature, top-k, top-p and min-p (in this order). */
        struct {
            vt_lm_slot **slots;
            int n_slots, n_steps;
            int32_t *tokens;
            float *logprob, *logprob_behaviour;
            int *n_out;
            unsigned char *finished; /* [n_slots] 1 = stop id, 2 = max_tokens */
        } decode;
        /* Log-probabilities of given completions of groups: row i is tokens[i][0..n[i]) after group[i]'s prompt;
         * logprob[i][t] belongs to tokens[i][t]. n[i] = 0 is allowed. */
        struct {
            vt_lm_group **groups;
            const int32_t *const *tokens;
            const int *n;
            int n_rows;
            float *const *logprob;
        } score;
        /* Training forward: rows grouped by prompt; each prompt is computed once and all of its completions attend to
         * it. Keeps a tape. Same values as SCORE. */
        struct {
            int adapter;
            const struct vt_lm_prompt_batch {
                const int32_t *prompt;
                int n_prompt;
                const int32_t *const *tokens;
                const int *n;
                int n_rows;
                float *const *logprob; /* out */
            } * batches;
            int n_batches;
            vt_lm_tape *tape; /* out */
        } forward;
        /* Gradient of L = -sum w[b][r][t] * logprob[b][r][t] with respect to the adapter, added into grad
         * (fp32, laid out as vt_adapter.params). Frees the tape. */
        struct {
            vt_lm_tape *tape;
            const float *const *const *w; /* w[batch][row][t] */
            float *grad;                  /* n_params, caller zeroes it */
        } backward;
    };
};
void vt_lm_submit(vt_lm *lm, struct vt_lm_job *job);
/* Submits and waits; for tests, tools and set-up. Returns job->status with *err filled. */
vt_status vt_lm_run(vt_lm *lm, struct vt_lm_job *job, vt_err *err) VT_MUST_USE;
void vt_lm_tape_free(vt_lm *lm, vt_lm_tape *t); /* when no BACKWARD follows */

/* Slots: sample i of a group, drawing with Philox keyed by (seed, position of the token in the completion). */
vt_status vt_lm_slot_open(vt_lm *lm, vt_lm_group *g, uint64_t seed, const struct vt_sampling *s, int max_tokens,
                          const int32_t *stop_ids, int n_stop_ids, vt_lm_slot **out, vt_err *err) VT_MUST_USE;
void vt_lm_slot_close(vt_lm *lm, vt_lm_slot *s);
void vt_lm_group_close(vt_lm *lm, vt_lm_group *g);

/* AdamW (Loshchilov & Hutter 2019, algorithm 2), torch's form: m, v with bias correction, eps outside the root,
 * decay decoupled. 0/(0+eps) is 0. Moves the adapter `id` in place and returns the l2 norm of grad in *norm. */
struct vt_adam {
    float lr, beta1, beta2, eps, weight_decay, grad_clip; /* defaults .9 .95 1e-12 0 0 */
};
vt_status vt_lm_adam(vt_lm *lm, int id, const float *grad, const struct vt_adam *o, double *norm,
                     vt_err *err) VT_MUST_USE;

/* Bytes that sampling n_slots of n_prompt + n_new tokens, and a training step of the same shape, would need at once;
 * ENOMEM with both figures in the sentence when they do not fit max_memory. */
struct vt_lm_shapes {
    int n_groups, n_prompt, n_slots, n_new;
    bool train;
};
vt_status vt_lm_plan(vt_lm *lm, const struct vt_lm_shapes *s, uint64_t *bytes, vt_err *err) VT_MUST_USE;

#endif
