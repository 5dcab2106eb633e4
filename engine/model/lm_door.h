/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_door.h: what the files of the language-model door (lm*.c) share. Private to them and to tests that look behind the
 * door.
 *
 * One lock guards the queue, the table of adapters and every reference count. It is never held while a backend works or
 * a callback runs. What only the model's thread touches (jobs in flight, serials) needs no lock.
 */
#ifndef VT_MODEL_LM_DOOR_H
#define VT_MODEL_LM_DOOR_H

#include "model/lm_ops.h"
#include <pthread.h>

enum {
    VT_LM_CALL = VT_LM_BACKWARD + 1, /* a kind of job: a function to be run on the model's thread */
    VT_LM_MOST_IN_FLIGHT = 8
};

/* The steps of a job that a backend does: what the queue runs without knowing what is in it. */
struct vt_lm_steps {
    vt_status (*begin)(vt_lm *lm, struct vt_lm_job *job, vt_err *err);
    /* status: begin's, or ECANCELLED when it was not called. Waits, brings results to the caller, frees the work. */
    vt_status (*end)(vt_lm *lm, struct vt_lm_job *job, vt_status status, vt_err *err);
};

struct vt_lm {
    const struct vt_lm_ops *ops;
    const struct vt_lm_steps *steps;
    void *be;
    struct vt_lm_config cfg;
    struct vt_lm_limits limits;
    uint64_t max_memory;
    vt_lease *lease;

    pthread_mutex_t lock;
    pthread_cond_t came; /* a job, or the end */
    pthread_t thread;
    bool is_started, is_closing;
    struct vt_lm_job *head, *tail;
    struct vt_lm_adapter **adapters; /* by no order; NULL = free place */
    int n_adapters, next_adapter;

    struct vt_lm_job *flight[VT_LM_MOST_IN_FLIGHT]; /* oldest first */
    int n_flight;
    uint64_t next_group, next_mark;
};

/* lm_queue.c; lm->steps is set. */
vt_status vt_lm_queue_start(vt_lm *lm, vt_err *err) VT_MUST_USE;
void vt_lm_queue_stop(vt_lm *lm);
/* fn(arg, err) on the model's thread, behind what was submitted before; at once when this is that thread. */
vt_status vt_lm_call(vt_lm *lm, vt_status (*fn)(void *arg, vt_err *err), void *arg, vt_err *err) VT_MUST_USE;

/* lm_work.c: job -> work -> backend, and back. */
extern const struct vt_lm_steps vt_lm_steps;

/* lm_check.c */
vt_status vt_lm_check_config(const struct vt_lm_config *c, vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_limits(const struct vt_lm_limits *l, bool has_wait, vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_adapter(const vt_lm *lm, const struct vt_adapter *a, vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_adam(const struct vt_adam *o, vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_grad(const vt_lm_grad *g, const struct vt_adapter *shape, const char *what,
                           vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_slot(const vt_lm *lm, const vt_lm_group *g, const struct vt_sampling *s, int max_tokens,
                           const int32_t *stop_ids, int n_stop_ids, vt_err *err) VT_MUST_USE;
vt_status vt_lm_check_job(vt_lm *lm, const struct vt_lm_job *job, vt_err *err) VT_MUST_USE;

/* lm_ids.c */
vt_status vt_lm_adapter_ref(vt_lm *lm, int id, struct vt_lm_adapter **out, vt_err *err) VT_MUST_USE; /* id 0: NULL */
struct vt_lm_adapter *vt_lm_adapter_widest(vt_lm *lm); /* a reference; NULL when there is none */
void vt_lm_adapter_unref(vt_lm *lm, struct vt_lm_adapter *a);
/* Takes the adapter for Adam alone: EBUSY when somebody else reads it. */
vt_status vt_lm_adapter_seize(vt_lm *lm, int id, struct vt_lm_adapter **out, vt_err *err) VT_MUST_USE;
void vt_lm_adapter_release(vt_lm *lm, struct vt_lm_adapter *a);
vt_status vt_lm_group_new(vt_lm *lm, int n_tokens, struct vt_lm_adapter *adapter, vt_lm_group **out,
                          vt_err *err) VT_MUST_USE;
void vt_lm_adapters_free(vt_lm *lm);

/* lm_batch.c: orders and copies. */
vt_status vt_lm_order_decode(vt_lm *lm, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_lm_order_score(struct vt_lm_work *w, vt_err *err) VT_MUST_USE;

/* lm_tape.c */
vt_status vt_lm_tape_new(vt_lm *lm, const struct vt_lm_job *job, vt_lm_tape **out, vt_err *err) VT_MUST_USE;
void vt_lm_tape_scatter(const vt_lm_tape *t, const float *values, const struct vt_lm_prompt_batch *to);
/* out[n_targets]; *is_zero when no weight differs from 0. */
vt_status vt_lm_tape_gather(const vt_lm_tape *t, const float *const *const *w, float *out, bool *is_zero,
                            vt_err *err) VT_MUST_USE;

/* lm_grad.c */
vt_status vt_lm_grad_new(vt_lm *lm, const struct vt_lm_adapter *a, vt_lm_grad **out, vt_err *err) VT_MUST_USE;

#endif
