/* SPDX-License-Identifier: Apache-2.0
 *
 * lm.h: the language-model door, the narrow waist between policies and language-model backends (engine/cpu,
 * engine/cuda). This header is the callers' side; lm_ops.h is the backends'. Behind the door (lm*.c) stands everything
 * that no backend differs in: the queue, checks of tokens, settings and shapes, adapter ids and reference counts, the
 * order of a batch, copies of what must outlive a job, and the memory plan. A backend keeps keys and values, packed
 * weights, kernels and tapes. No call returns logits, and nobody outside sees a gradient as numbers.
 *
 * Work. Every piece of heavy work is a job: vt_lm_submit queues it, the model's own thread hands jobs to the backend in
 * the order of submission (a cancelled one that has not begun is answered at once) and calls job->done there, in the
 * same order. A backend may take a job before the last one is done (vt_lm_limits.in_flight); its effects are as if
 * they ran one after the other, so two DECODEs of the same slots may be in flight, the second of which goes on where
 * the first ends. The door knows no event loop, Lua or JSON.
 *
 * Numerics (DECISIONS.md section 7): every output element is one fixed-order chain over K; attention runs over absolute
 * blocks of keys merged in index order; the vocabulary is walked in fixed chunks, once, and that walk gives
 * log-probability, entropy, sum of logits and the top k. So where vt_lm_limits.is_exact says so, a result never depends
 * on batch size, chunking, thread count or batch mates, and on one numerics id these hold bit for bit:
 *   DECODE's values == SCORE's == FORWARD's, alone or among others, for any adapter.
 *
 * Threads. "Any thread" below includes done callbacks; no lock is held while done runs. Calls that compute (vt_lm_adam,
 * vt_lm_grad_add, _dot, _cosine, vt_lm_run) wait for their turn behind the jobs submitted before them; on the model's
 * own thread, that is inside done, the first four run at once and vt_lm_run is refused. So nobody may make such a call
 * while holding a lock that a done callback takes, except inside done.
 *
 * Lifetimes. A group keeps its prompt's keys and values until vt_lm_group_close and until its slots are closed. A job
 * and every array it points to belong to the caller and stay valid until done is called; what a job names (groups,
 * slots, tape, gradient) stays open until then, adapters are counted by the door and may be dropped at any time.
 * Groups, slots, tapes and gradients are closed before their model.
 */
#ifndef VT_MODEL_LM_H
#define VT_MODEL_LM_H

#include "base/thread.h"
#include "model/adapter.h"
#include <stdatomic.h>

typedef struct vt_lm vt_lm;
typedef struct vt_lm_group vt_lm_group; /* a prompt computed once under one adapter */
typedef struct vt_lm_slot vt_lm_slot;   /* one sample being decoded */
typedef struct vt_lm_tape vt_lm_tape;   /* activations kept between FORWARD and BACKWARD */
typedef struct vt_lm_grad vt_lm_grad;   /* gradient of a loss with respect to an adapter of one shape */
struct vt_lm_ops;                       /* a backend (lm_ops.h) */

/* --- opening --- */

enum vt_lm_precision { VT_LM_FAST, VT_LM_F32 };

struct vt_lm_opts {
    const struct vt_lm_ops *const *backends; /* what the program has, best first, NULL at the end */
    const char *backend;                     /* one of them by name; NULL = the first that this machine can run */
    int device;                              /* of the backend, counted from 0 */
    uint64_t devices; /* bit i: device i; not 0: one model on all of these (lm_many.h), results as on any number */
    int n_threads;    /* 0 = all cores */
    enum vt_lm_precision precision;
    bool is_loose;       /* results may depend on batch mates where that is faster (vt_lm_limits.is_exact) */
    uint64_t max_memory; /* bytes for KV, tapes, adapters and packed weights; 0 = the backend's share of what is free */
    const char *isa;     /* cpu: NULL = best; "c", "avx2", "avx512", "avx512bf16", "amx" (also env VEGTTT_ISA) */
    vt_lease *lease;     /* guest of this lease, polled at layer boundaries; may be NULL */
};

/* The checkpoint must outlive the model. EUNSUPPORTED says of every backend asked why it cannot run. */
vt_status vt_lm_open(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_lm **out, vt_err *err) VT_MUST_USE;
/* Ends the jobs in flight, fails queued ones with ECANCELLED (each done is called once), frees adapters. Not from a
 * done callback. NULL is allowed. */
void vt_lm_close(vt_lm *lm);

/* What the backend says of itself; constant while the model is open. */
struct vt_lm_limits {
    const char *backend; /* "cpu" */
    char numerics[64];   /* "cpu/fast/amx/7": enters weights ids and sample keys */
    int device;
    uint64_t devices;   /* what its jobs keep busy besides cores, as in a vt_place: bit i is device i */
    bool is_exact;      /* the bit-for-bit promise above holds */
    bool has_experts;   /* takes adapters with factors per expert */
    int in_flight;      /* jobs it works on at once: as many submitted ahead keep it busy */
    int burst;          /* decode steps a job that pay: use it as n_steps */
    int max_slots;      /* most slots of one DECODE: more active ones would wait in turn */
    int max_targets;    /* largest k of targets */
    int max_top;        /* largest n_top */
    size_t trace_bytes; /* a token's routing trace; 0: there is nothing to route */
};
const struct vt_lm_limits *vt_lm_limits(const vt_lm *lm); /* these four: any thread */
const char *vt_lm_numerics(const vt_lm *lm);              /* limits' */
/* The numerics that a model opened with these options would have, without opening one: of the backend that the options
 * name, else of the first that this machine can use. */
vt_status vt_lm_numerics_of(const struct vt_lm_opts *o, char out[64], vt_err *err) VT_MUST_USE;
const struct vt_lm_config *vt_lm_cfg(const vt_lm *lm);
uint64_t vt_lm_bytes(const vt_lm *lm, uint64_t *peak); /* memory held now and at most; peak may be NULL */

/* --- adapters: immutable but for vt_lm_adam, known by id; 0 = none, the base --- */

/* Any thread, beside running jobs; a copy of the values, no arithmetic worth a job. put refuses shapes and values that
 * cannot run: another model's, not finite, or factors per expert where there are none (by name of the module). */
vt_status vt_lm_adapter_put(vt_lm *lm, const struct vt_adapter *a, int *id, vt_err *err) VT_MUST_USE;
vt_status vt_lm_adapter_clone(vt_lm *lm, int id, int *out, vt_err *err) VT_MUST_USE; /* moments come along */
vt_status vt_lm_adapter_get(vt_lm *lm, int id, struct vt_adapter **out, vt_err *err) VT_MUST_USE; /* caller frees */
void vt_lm_adapter_drop(vt_lm *lm, int id); /* freed once no group, tape or job uses it */

/* --- groups and slots --- */

struct vt_sampling {
    float temperature;     /* 0 = argmax (first index on ties) */
    float top_p;           /* 1 = off */
    int top_k;             /* 0 = off */
    float min_p;           /* 0 = off */
    const int32_t *banned; /* ids that are never sampled (logit bias -inf); may be NULL */
    int n_banned;
};

/* A sample of a group, drawing with Philox keyed by (seed, position of the token in the completion). Settings and ids
 * are copied. These three: any thread; close takes NULL, and nothing that a job in flight names. */
vt_status vt_lm_slot_open(vt_lm *lm, vt_lm_group *g, uint64_t seed, const struct vt_sampling *s, int max_tokens,
                          const int32_t *stop_ids, int n_stop_ids, vt_lm_slot **out, vt_err *err) VT_MUST_USE;
void vt_lm_slot_close(vt_lm *lm, vt_lm_slot *s);
void vt_lm_group_close(vt_lm *lm, vt_lm_group *g); /* lives on while slots of it are open */

/* --- jobs --- */

/* What else the walk over the vocabulary gives, for some positions in a row. NULL = not wanted. All values are those of
 * the raw logits z at temperature 1 over the full vocabulary, bans and filters aside:
 * entropy = -sum p ln p (nats); certainty = KL(uniform || p) = mean_v -ln p_v - ln n_vocab = logsumexp - mean z - ln
 * n_vocab; top: the n_top most probable tokens, by falling logit, then rising id, with their log-probabilities. */
struct vt_lm_extra {
    float *entropy, *certainty; /* [positions] */
    int n_top;                  /* 0 = none */
    int32_t *top_ids;           /* [positions * n_top] */
    float *top_logprob;         /* [positions * n_top] */
};

/* A prompt with the completions that follow it, for training. */
struct vt_lm_prompt_batch {
    const int32_t *prompt;
    int n_prompt;
    const int32_t *const *tokens; /* [n_rows] */
    const int *n;                 /* [n_rows] */
    int n_rows;
    const int32_t *const *targets;     /* [n_rows] of [n * k]; NULL: the tokens themselves, k = 1 */
    float *const *logprob;             /* out: [n_rows] of [n * k] */
    const unsigned char *prompt_trace; /* GROUP's trace to be followed; NULL = route anew */
    const unsigned char *const *trace; /* [n_rows]: DECODE's; NULL = route anew */
};

enum vt_lm_job_kind { VT_LM_GROUP, VT_LM_DECODE, VT_LM_SCORE, VT_LM_FORWARD, VT_LM_BACKWARD };

/* Targets. In SCORE, FORWARD and BACKWARD a position t of a completion has k targets: targets[row][t * k + j] is an id
 * whose log-probability before token t is wanted, or -1 for none (its log-probability is 0, its weight is not read).
 * k = 0 or 1 without targets is the common case: the completion's own tokens.
 * Traces. Where experts are routed (vt_lm_limits.trace_bytes > 0) entry t of a completion's trace is the routing of the
 * row whose logits gave token t; a prompt's has one entry a token. SCORE and FORWARD follow a trace they are given. */
struct vt_lm_job {
    enum vt_lm_job_kind kind;
    vt_status status; /* set before done */
    vt_err err;
    void (*done)(struct vt_lm_job *job); /* on the model's thread; may call everything but run and close */
    void *user;
    struct vt_lm_job *next; /* these three are the door's */
    struct vt_lm_work *work;
    atomic_bool is_cancelled;
    union {
        /* Prefill: prompt ids (n >= 1) under adapter -> group. */
        struct {
            const int32_t *tokens;
            int n_tokens, adapter;
            unsigned char *trace; /* out: [n_tokens * trace_bytes]; NULL = not wanted */
            vt_lm_group *group;   /* out */
        } group;
        /* n_steps tokens for each slot. Slots may belong to different groups and adapters, none comes twice. A slot
         * that has sampled one of its stop ids or reached max_tokens stops early: n_out[i] < n_steps. Arrays are
         * [n_slots * n_steps], row i for slot i. logprob: log-softmax of the raw logits at temperature 1, full
         * vocabulary. logprob_behaviour: log of the probability the draw had, after bans, temperature, top-k, top-p and
         * min-p (in this order). A job that is cancelled or fails between two steps leaves the tokens drawn so far in
         * the arrays and counted in n_out, and the slots as if n_steps had been so many. */
        struct {
            vt_lm_slot **slots;
            int n_slots, n_steps;
            int32_t *tokens;
            float *logprob, *logprob_behaviour;
            int *n_out;
            unsigned char *finished;  /* [n_slots] 1 = stop id, 2 = max_tokens */
            struct vt_lm_extra extra; /* positions [n_slots * n_steps] */
            unsigned char *trace;     /* out: [n_slots * n_steps * trace_bytes]; NULL = not wanted */
        } decode;
        /* Log-probabilities after groups: row i is tokens[i][0..n[i]) after group[i]'s prompt. n[i] = 0 is allowed. */
        struct {
            vt_lm_group **groups;
            const int32_t *const *tokens;
            const int *n;
            int n_rows, k;
            const int32_t *const *targets;     /* [n_rows] of [n * k]; NULL: the tokens themselves, k = 1 */
            float *const *logprob;             /* out: [n_rows] of [n * k] */
            const struct vt_lm_extra *extra;   /* [n_rows], positions [n[i]] each, n_top equal; NULL = not wanted */
            const unsigned char *const *trace; /* [n_rows]: DECODE's, to be followed; NULL = route anew */
        } score;
        /* Training forward: rows grouped by prompt; each prompt is computed once and all of its completions attend to
         * it. Keeps a tape. Same values as SCORE. */
        struct {
            int adapter, k;
            const struct vt_lm_prompt_batch *batches;
            int n_batches;
            vt_lm_tape *tape; /* out */
        } forward;
        /* Gradient of L = -sum w[b][r][t * k + j] * logprob[b][r][t * k + j] with respect to the adapter, added into
         * grad; grad NULL: a new one is made. Frees the tape, whatever becomes of the job. A job that fails or is
         * cancelled once the backend was at it leaves grad poisoned: every use of it but freeing says so. */
        struct {
            vt_lm_tape *tape;
            const float *const *const *w; /* w[batch][row][t * k + j] */
            vt_lm_grad *grad;             /* in and out */
        } backward;
    };
};
void vt_lm_submit(vt_lm *lm, struct vt_lm_job *job); /* any thread */
/* Any thread. A job that has not begun is not begun; one that runs ends at its next step or layer, where the backend
 * can; one that ends first ends as it would have. Either way done is called once, with ECANCELLED in the first cases.
 * A job whose done was called is left alone, so whoever may race with done keeps the job's memory. */
void vt_lm_cancel(vt_lm *lm, struct vt_lm_job *job);
/* Submits and waits; for tests, tools and set-up. done and user are overwritten. Returns job->status with *err filled.
 * Any thread but the model's. */
vt_status vt_lm_run(vt_lm *lm, struct vt_lm_job *job, vt_err *err) VT_MUST_USE;
void vt_lm_tape_free(vt_lm *lm, vt_lm_tape *t); /* when no BACKWARD follows; any thread; NULL is allowed */

/* --- gradients and Adam (threads: see the top) --- */

vt_status vt_lm_grad_add(vt_lm *lm, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err) VT_MUST_USE;
/* Sum of products in double, in a fixed order; the l2 norm of g is the root of dot(g, g). */
vt_status vt_lm_grad_dot(vt_lm *lm, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err) VT_MUST_USE;
/* Cosine of the angle between two gradients: how far two halves of a batch agree. NaN when one is zero. */
vt_status vt_lm_grad_cosine(vt_lm *lm, const vt_lm_grad *a, const vt_lm_grad *b, double *out, vt_err *err) VT_MUST_USE;
/* A copy as fp32, laid out as vt_adapter.params, n_params long; the caller frees it. For tests and export. */
vt_status vt_lm_grad_read(vt_lm *lm, const vt_lm_grad *g, float **out, size_t *n, vt_err *err) VT_MUST_USE;
void vt_lm_grad_free(vt_lm *lm, vt_lm_grad *g); /* any thread; NULL is allowed */

/* AdamW (Loshchilov & Hutter 2019, algorithm 2), torch's form: m, v with bias correction, eps outside the root,
 * decay decoupled. 0/(0+eps) is 0. Moves the adapter `id` in place and returns the l2 norm of grad in *norm; grad stays
 * as it is. EBUSY while a group, tape or job still reads the adapter: clone it and move the clone. */
struct vt_adam {
    float lr, beta1, beta2, eps, weight_decay, grad_clip; /* defaults .9 .95 1e-12 0 0 */
};
vt_status vt_lm_adam(vt_lm *lm, int id, const vt_lm_grad *grad, const struct vt_adam *o, double *norm,
                     vt_err *err) VT_MUST_USE;

/* --- the memory plan --- */

enum vt_lm_purpose { VT_LM_SAMPLING, VT_LM_SCORING, VT_LM_TRAINING };

/* n_slots rows of n_new tokens after n_groups prompts of n_prompt tokens, all at once. */
struct vt_lm_shapes {
    enum vt_lm_purpose purpose;
    int n_groups, n_prompt, n_slots, n_new;
    int k;       /* targets a position; 0 = 1 */
    int adapter; /* id; 0 = the base (training: an adapter of the widest shape that is here) */
    int n_grads; /* training: gradients held at once; 0 = 1 */
};

enum { VT_LM_MAX_NEEDS = 24 };
struct vt_lm_needs {
    struct vt_lm_need {
        const char *what; /* "KV pages"; static */
        uint64_t bytes;
        bool is_held; /* the model holds it whatever is asked: packed weights, adapters, working buffers */
    } need[VT_LM_MAX_NEEDS];
    int n;
    uint64_t held, wanted; /* sums of the held and of the other rows */
    uint64_t limit;        /* max_memory */
    int device;
};
/* Fills *out (may be NULL) with what the work would need at its peak. ENOMEM with the table in the sentence when
 * held + wanted pass the limit; ELIMIT when the tokens pass the model's context. Any thread. */
vt_status vt_lm_plan(vt_lm *lm, const struct vt_lm_shapes *s, struct vt_lm_needs *out, vt_err *err) VT_MUST_USE;

#endif
