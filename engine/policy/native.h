/* SPDX-License-Identifier: Apache-2.0
 *
 * native.h: the inside of a native policy (policy.h over engine/model/lm.h), shared by native.c (opening, text),
 * weights.c (identity, files), queue.c (which job runs next), sampling.c and training.c.
 *
 * One language-model job is in flight at a time; the backend parallelises inside it. Requests arrive on the caller's
 * thread, results are handled on the backend's thread, and everything below `mutex` is guarded by it. done callbacks
 * are called without the mutex.
 */
#ifndef VT_POLICY_NATIVE_H
#define VT_POLICY_NATIVE_H

#include "model/chat.h"
#include "model/lm.h"
#include "model/tokenizer.h"
#include <pthread.h>
#include <vegttt/policy.h>

struct vt_weights {
    vt_policy *policy;
    int refs; /* guarded by policy->mutex */
    char id[65];
    int adapter;      /* backend id; 0 = base */
    int step;         /* updates since load */
    bool has_masters; /* fp32 parameters present: can be trained on */
    char *trained_on; /* JSON text; never NULL */
};

struct sample_work;
struct score_work;
struct forward_work;
struct step_work;

struct vt_policy {
    char *spec;
    vt_ckpt *ckpt;
    const vt_tokenizer *tokenizer;
    enum vt_chat chat;
    bool has_chat;
    vt_lm *lm;
    char digest[65];
    struct vt_policy_caps caps;
    struct vt_policy_opts opts;
    char *record;

    pthread_mutex_t mutex;
    pthread_cond_t idle; /* signalled when a job ends while the policy is closing */
    vt_weights *base, *start, *current;
    bool is_closing;

    bool is_busy;                 /* a job is in the backend */
    struct sample_work *samples;  /* FIFO of requests with samples not yet finished */
    struct score_work *scores;    /* FIFO */
    struct forward_work *forward; /* at most one update is open at a time */
    struct step_work *step;
    bool turn_is_scoring; /* alternate between decoding and the other queues */
    struct vt_lm_job job;
};

/* queue.c: starts the next job when none is in flight. Called with the mutex held. */
void vt_native_pump(vt_policy *p);
/* Called by job handlers, on the backend thread, mutex held: the job is over. */
void vt_native_job_done(vt_policy *p);

/* sampling.c and training.c: each starts its next job and returns true, or returns false when it has none. Mutex held.
 */
bool vt_native_start_sampling(vt_policy *p);
bool vt_native_start_scoring(vt_policy *p);
bool vt_native_start_training(vt_policy *p);
/* Frees a tape that was never used; policy is closing or forgetting. */
void vt_native_drop_training(vt_policy *p);
/* Fail what is queued with ECANCELLED; the policy is closing and idle. */
void vt_native_cancel_samples(vt_policy *p);
void vt_native_cancel_scores(vt_policy *p);

/* weights.c */
vt_status vt_native_weights_new(vt_policy *p, const char *id, int adapter, int step, bool has_masters,
                                const char *trained_on, vt_weights **out, vt_err *err) VT_MUST_USE;
/* Identity of weights without and with a fresh or loaded adapter (DECISIONS.md section 9). */
void vt_native_base_id(const vt_policy *p, char out[65]);
void vt_native_fresh_id(const vt_policy *p, char out[65]);
vt_status vt_native_adapter_id(const vt_policy *p, const char *dir, char out[65], vt_err *err) VT_MUST_USE;
vt_status vt_native_merge_trained_on(const char *a, const char *b, char **out, vt_err *err) VT_MUST_USE;

/* record.c: defaults of a model as JSON (malloc'd). */
vt_status vt_model_record(const char *model, const char *adapter_dir, char **out, vt_err *err) VT_MUST_USE;

#endif
