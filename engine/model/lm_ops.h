/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_ops.h: the other side of the language-model door (lm.h): what a backend gives, and what the door hands it. A
 * backend exports one table of operations (vt_lm_cpu_ops, vt_lm_cuda_ops) and no other symbol of the door, so any
 * number of them link side by side.
 *
 * The door has checked everything before an operation is called: tokens lie in the vocabulary, lengths in the context,
 * settings in their ranges, shapes belong to this model, handles are whole, k and n_top are within the limits. It owns
 * the structs below; `impl` in each is the backend's, set by the operation that makes the thing and freed by the one
 * that frees it. A struct and what it points to stay valid until its free operation is called.
 *
 * Threads. Operations under "storage" come from any thread, several at once, beside a running job: they copy and
 * allocate, and the backend guards its allocator. Operations under "work" come from the model's thread, one at a time.
 * work begins a job and either completes it before it returns, or leaves it running on the device and returns: then
 * `wait`, called on the same thread in the same order, blocks until the job's results lie in the host arrays. The door
 * begins at most limits.in_flight jobs before it waits for the first; a backend without `wait` has in_flight 1. What
 * makes an object (group, forward) makes it at begin: later work may name it, in order, before the first was waited
 * for. A failed begin or wait leaves every object as it was before, DECODE's slots as lm.h says.
 * The door is a guest of the machine lease around jobs; a backend polls it, and vt_lm_is_cancelled, where it can stop.
 */
#ifndef VT_MODEL_LM_OPS_H
#define VT_MODEL_LM_OPS_H

#include "model/lm.h"

/* --- objects; the backend reads them and owns impl --- */

struct vt_lm_adapter {
    int id;
    struct vt_adapter shape; /* params, m, v and trained_on are NULL: values are the backend's */
    void *impl;
    int refs;       /* the door's, under its lock: the id, groups, tapes and begun jobs */
    bool is_moving; /* likewise: Adam is at it */
};

struct vt_lm_group {
    struct vt_lm_adapter *adapter; /* NULL = base */
    int n_tokens;
    uint64_t serial; /* order of creation */
    void *impl;
    int refs; /* the door's: itself and its slots */
};

struct vt_lm_slot {
    vt_lm_group *group;
    uint64_t seed;
    struct vt_sampling sampling; /* banned: sorted, each once */
    int32_t *banned, *stop_ids;
    int n_stop_ids, max_tokens;
    void *impl;    /* keys and values, tokens drawn so far, the newest token, whether it is finished */
    uint64_t mark; /* the door's: last job that named it */
};

/* A training batch in packed rows: prompt 0, its completions, prompt 1, ... A completion of n tokens has n - 1 rows
 * (its last token is predicted, never fed). Everything is a copy: the caller's arrays need not outlive FORWARD. */
struct vt_lm_tape_prompt {
    const int32_t *tokens;
    int n, row0;                /* packed rows row0 .. row0 + n */
    int seq0, n_seqs;           /* its completions */
    const unsigned char *trace; /* [n * trace_bytes], or NULL: route anew */
};
struct vt_lm_tape_seq {
    const int32_t *tokens;
    int n, row0; /* packed rows row0 .. row0 + n - 1; none when n < 2 */
    int prompt;
    const int32_t *targets;     /* [n * k], -1 = none; the door's: backends read target_ids */
    const unsigned char *trace; /* [n * trace_bytes], entry t is that of the row which gives token t; NULL: anew */
};
/* Head rows: packed rows whose residual predicts something, in rising order: a prompt's last row, for the first token
 * of all its completions, then every row of these. Head h has targets [heads[h].target0, heads[h + 1].target0). */
struct vt_lm_tape_head {
    int row, target0;
};
struct vt_lm_tape {
    struct vt_lm_adapter *adapter; /* NULL = base: cannot go backward */
    int n_prompts, n_seqs, n_rows, n_heads, n_targets, k;
    int rows_after; /* of batches that will be kept beside this one: it leaves room for the least of them */
    struct vt_lm_tape_prompt *prompts;
    struct vt_lm_tape_seq *seqs;
    struct vt_lm_tape_head *heads; /* [n_heads + 1] */
    int32_t *target_ids;           /* [n_targets] */
    void *impl;
    void *memory[2]; /* the door's: tokens and targets; traces */
};

struct vt_lm_grad {
    struct vt_adapter shape; /* of the adapter; pointers are NULL */
    void *impl;
    bool is_poisoned; /* the door's */
};

/* --- work: a job, checked and put in order --- */

/* A completion to score. */
struct vt_lm_score_row {
    vt_lm_group *group;
    const int32_t *tokens;
    int n;
    const int32_t *targets; /* [n * k]; the tokens when no others were given; of an id of -1 logprob is left alone */
    float *logprob;         /* out: [n * k] */
    struct vt_lm_extra extra;
    const unsigned char *trace;
};

struct vt_lm_work {
    const struct vt_lm_job *job;
    enum vt_lm_job_kind kind;
    void *started; /* the backend's, between begin and wait */
    union {
        struct {
            const int32_t *tokens;
            vt_lm_group *group; /* begin sets group->impl */
            unsigned char *trace;
        } group;
        /* Slots stand by (adapter, group). Slot i's values go to row row[i] of the output arrays, which are
         * [row * n_steps + step]. n_out is zeroed; finished and n_out are by row too. */
        struct {
            vt_lm_slot **slots;
            const int *row;
            int n_slots, n_steps;
            int32_t *tokens;
            float *logprob, *logprob_behaviour;
            int *n_out;
            unsigned char *finished;
            struct vt_lm_extra extra;
            unsigned char *trace;
        } decode;
        struct { /* rows stand by (adapter, group) */
            const struct vt_lm_score_row *rows;
            int n_rows, k, n_top;
            bool wants_entropy, wants_certainty; /* of some row */
        } score;
        struct {
            vt_lm_tape *tape; /* begin sets tape->impl */
            float *logprob;   /* out: [n_targets]; the door brings them to the caller */
        } forward;
        struct {
            vt_lm_tape *tape; /* freed by the door afterwards */
            const float *w;   /* [n_targets], some not 0 */
            vt_lm_grad *grad; /* added to */
        } backward;
    };
    void *memory; /* these two are the door's */
    bool has_begun;
};
bool vt_lm_is_cancelled(const struct vt_lm_work *w); /* its caller wants it to end: fail it with ECANCELLED */

/* --- the table --- */

struct vt_lm_ops {
    const char *name; /* "cpu" */
    /* EUNSUPPORTED when this machine or build cannot run the checkpoint here at all. */
    vt_status (*probe)(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err);
    /* limits.numerics of a model opened with these options, without one. EUNSUPPORTED when this machine or build runs
     * nothing with them. */
    vt_status (*numerics)(const struct vt_lm_opts *o, char out[64], vt_err *err);
    /* *limits is zeroed; *max_memory comes as o's and goes as what will hold. */
    vt_status (*open)(const vt_ckpt *ckpt, const struct vt_lm_opts *o, struct vt_lm_limits *limits,
                      uint64_t *max_memory, void **be, vt_err *err);
    void (*close)(void *be); /* everything else was freed before */

    /* storage */
    uint64_t (*bytes)(void *be, uint64_t *peak);
    /* Adds its rows (vt_lm_needs_add); a is the adapter of s, or NULL. */
    void (*plan)(void *be, const struct vt_lm_shapes *s, const struct vt_lm_adapter *a, struct vt_lm_needs *out);
    vt_status (*adapter_put)(void *be, const struct vt_adapter *values, struct vt_lm_adapter *a, vt_err *err);
    vt_status (*adapter_clone)(void *be, const struct vt_lm_adapter *from, struct vt_lm_adapter *a, vt_err *err);
    vt_status (*adapter_get)(void *be, const struct vt_lm_adapter *a, struct vt_adapter **out, vt_err *err);
    void (*adapter_free)(void *be, struct vt_lm_adapter *a);
    void (*group_free)(void *be, vt_lm_group *g);
    vt_status (*slot_new)(void *be, vt_lm_slot *s, vt_err *err);
    void (*slot_free)(void *be, vt_lm_slot *s);
    void (*tape_free)(void *be, vt_lm_tape *t);
    vt_status (*grad_new)(void *be, vt_lm_grad *g, vt_err *err); /* zeros */
    void (*grad_free)(void *be, vt_lm_grad *g);

    /* work */
    vt_status (*group)(void *be, struct vt_lm_work *w, vt_err *err);
    vt_status (*decode)(void *be, struct vt_lm_work *w, vt_err *err);
    vt_status (*score)(void *be, struct vt_lm_work *w, vt_err *err);
    vt_status (*forward)(void *be, struct vt_lm_work *w, vt_err *err);
    vt_status (*backward)(void *be, struct vt_lm_work *w, vt_err *err);
    vt_status (*wait)(void *be, struct vt_lm_work *w, vt_err *err); /* NULL: the five above complete their job */
    /* These four are complete when they return, behind all work begun before. */
    vt_status (*grad_add)(void *be, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err);
    vt_status (*grad_dot)(void *be, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err);
    vt_status (*grad_read)(void *be, const vt_lm_grad *g, float *out, vt_err *err); /* [shape.n_params] */
    /* to = from, which is another opened model's of this table, whose work on it has ended. NULL: one device only. */
    vt_status (*grad_copy)(void *be, vt_lm_grad *to, void *of, const vt_lm_grad *from, vt_err *err);
    /* Moves a; *norm = l2 of g. EINVAL when it is not finite, with a as it was. */
    vt_status (*adam)(void *be, struct vt_lm_adapter *a, const vt_lm_grad *g, const struct vt_adam *o, double *norm,
                      vt_err *err);
};

/* --- what backends share --- */

/* Adds to a plan; rows of the same name are summed, sums stop at UINT64_MAX. */
void vt_lm_needs_add(struct vt_lm_needs *n, const char *what, uint64_t bytes, bool is_held);

/* Rotary angles of one position in out[head_dim]: head_dim / 2 cosines, then as many sines, computed in double and
 * rounded once: at position 8000 an fp32 angle would already be off by 5e-4. */
void vt_lm_rope_row(const struct vt_lm_config *c, int position, float *out);

#endif
