/* SPDX-License-Identifier: Apache-2.0
 *
 * native.h: the inside of the native backend (policy_ops.h over engine/model/lm.h), shared by native.c (opening),
 * spec.c (what a spec names), native_weights.c (roots of ids, files), queue.c (which job runs next), sampling.c,
 * scoring.c and training.c.
 *
 * Every request in the model's hands is a work in one of three queues. Requests arrive on the caller's thread, jobs end
 * on the model's, and what is below `mutex` is guarded by it. The mutex is let go by vt_native_unlock alone, which then
 * ends the works that ended under it: so no caller's code runs under the lock.
 */
#ifndef VT_POLICY_NATIVE_H
#define VT_POLICY_NATIVE_H

#include "model/lm.h"
#include "policy/file_worker.h"
#include "policy/policy_ops.h"
#include "policy/policy_text.h"

extern const struct vt_policy_backend vt_policy_native;

/* A request in a queue. The kinds extend it; it is their first member. */
struct vt_native_work {
    struct vt_native_work *next; /* in its queue, then among the ended */
    vt_request *request;
    vt_status status; /* of the end, once it is known */
    vt_err err;
    bool is_cancelled;
    int n_jobs;           /* in the model's hands: the work cannot end before them */
    bool owns_job;        /* that is `job`; else it shares a burst */
    struct vt_lm_job job; /* of this work alone: prefill, score, forward, backward */
    /* After the end, without the mutex; the request is finished next. Frees the work. */
    void (*release)(vt_policy *p, struct vt_native_work *w);
};

/* Works of one kind, oldest first, and how the next job of theirs is started: true when one was. Mutex held. */
struct vt_native_queue {
    struct vt_native_work *first;
    bool (*start)(vt_policy *p);
};

struct vt_native {
    vt_ckpt *ckpt;
    struct vt_policy_text text;
    vt_lm *lm;
    char digest[65];
    char tokens_digest[65];   /* of what tokens mean: two folders with the same tensors may write different texts */
    struct vt_worker *worker; /* for files */

    pthread_mutex_t mutex;
    int n_in_flight;  /* jobs in the model's hands; at most what it works on at once */
    bool is_decoding; /* one of them is a burst */
    struct vt_native_queue samples, scores, trainings;
    struct vt_native_work *ended;
    bool turn_is_scoring; /* alternate between decoding and the other queues */
};

/* vt_weights.state */
struct vt_native_weights {
    int adapter;      /* of the model; 0 = base */
    bool has_masters; /* fp32 parameters present: can be trained on */
};

static inline struct vt_native *vt_native_of(const vt_policy *p)
{
    return p->state;
}

static inline int vt_native_adapter(const vt_weights *w)
{
    return ((const struct vt_native_weights *)w->state)->adapter;
}

/* Weights over an adapter of the model; on failure the adapter is dropped. */
vt_status vt_native_weights_new(vt_policy *p, const char *id, int adapter, int step, bool has_masters,
                                const char *trained_on, vt_weights **out, vt_err *err) VT_MUST_USE;

/* --- queue.c --- */

void vt_native_lock(struct vt_native *n);
void vt_native_unlock(vt_policy *p);
/* Appends to a queue and starts the next job when there is room for one. The work is the request's state. Without the
 * mutex. */
void vt_native_enqueue(vt_policy *p, struct vt_native_queue *queue, struct vt_native_work *w);
/* The work leaves its queue with w->status; vt_native_unlock does the rest. Mutex held. */
void vt_native_end(struct vt_native *n, struct vt_native_queue *queue, struct vt_native_work *w);
void vt_native_fail(struct vt_native_work *w, const vt_err *err); /* keeps the first failure */
/* w's own job, to be filled in and submitted by vt_native_submit. Mutex held. */
struct vt_lm_job *vt_native_job(struct vt_native_work *w, enum vt_lm_job_kind kind, void (*done)(struct vt_lm_job *));
void vt_native_submit(struct vt_native *n, struct vt_lm_job *job);
/* A job is over: starts what comes next. Mutex held. */
void vt_native_job_done(vt_policy *p);
void vt_native_cancel(vt_policy *p, vt_request *r);

/* The queues' starts. */
bool vt_native_start_sampling(vt_policy *p);
bool vt_native_start_scoring(vt_policy *p);
bool vt_native_start_training(vt_policy *p);

/* --- the operations --- */

vt_status vt_native_sample(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_native_score(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_native_forward(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_native_step(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_native_save(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_native_load(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_native_read_snapshot(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err) VT_MUST_USE;
vt_status vt_native_mix(const vt_weights *a, const vt_weights *b, double share, const char *id, vt_weights **out,
                        vt_err *err) VT_MUST_USE;
void vt_native_next_id(const vt_weights *parent, const struct vt_update_opts *o, char out[65]);
void vt_native_free_weights(vt_policy *p, void *state);
void vt_native_free_forward(vt_policy *p, void *state);

/* --- native_weights.c: identity of weights without and with a fresh or loaded adapter (DECISIONS.md section 9) --- */

void vt_native_base_id(const vt_policy *p, char out[65]);
void vt_native_fresh_id(const vt_policy *p, char out[65]);
vt_status vt_native_adapter_id(const vt_policy *p, const char *dir, char out[65], vt_err *err) VT_MUST_USE;

/* --- spec.c: MODEL or MODEL+ADAPTER --- */

/* *adapter is a folder, or NULL. Both are malloc'd. */
vt_status vt_native_split_spec(const char *spec, char **model, char **adapter, vt_err *err) VT_MUST_USE;
vt_status vt_native_check_spec(const char *spec, vt_err *err) VT_MUST_USE;

/* fetch.c: vt_model_find, or fetched when it is not there. stop_fd: readable = stop; -1 = never. Blocks. */
vt_status vt_model_fetch(const char *name, int stop_fd, void (*progress)(void *arg, const char *line), void *arg,
                         char **path, vt_err *err) VT_MUST_USE;
#define VT_DEFAULT_MODEL "smollm2-135m" /* vt_model_default, for literals */
bool vt_model_is_known(const char *name);
vt_status vt_model_unknown(const char *name, vt_err *err); /* says so: ENOENT, with what could be named */

#endif
