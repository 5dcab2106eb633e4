/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_many.h: one model on several devices of a host, as a table of operations of its own that stands between the door
 * and the backend of every device. Private to lm_many*.c, the door's opening and tests.
 *
 * Every device has a replica: the whole model, opened by the backend, and one thread, which alone begins and waits for
 * work there, as a guest of the lease on its device alone. Adapters and gradients are on all of them, a prompt and its
 * samples on one, a batch's shards where lm_many_train.c puts them. A job's share of a replica is an ordinary job of
 * the backend, so nothing in a backend knows of other devices but one operation, grad_copy.
 *
 * What comes out does not depend on the number of devices: a prompt's samples are drawn together whatever is drawn
 * elsewhere, and gradients are summed over shards that the batch alone decides, by one fixed tree. A model opened with
 * a list of devices is one of these, also when the list names one: that is how a run on one device and a run on eight
 * give the same weights.
 *
 * A device that fails with EIO has fallen out: that call says which one, and every later one says it again, so the run
 * ends where its journal can be taken up.
 */
#ifndef VT_MODEL_LM_MANY_H
#define VT_MODEL_LM_MANY_H

#include "model/lm_ops.h"
#include <pthread.h>

enum { VT_LM_MOST_DEVICES = 64 };

struct vt_lm_many;
struct vt_lm_replica {
    struct vt_lm_many *many;
    int index, device;
    void *be;
    struct vt_lm_limits limits;
    uint64_t max_memory;
    pthread_t thread;
    bool is_started;
    int n_groups; /* prompts that live here; under the lock */
    /* of the round at work */
    vt_status status;
    vt_err err;
};

typedef vt_status vt_lm_replica_fn(struct vt_lm_replica *r, void *arg, vt_err *err);

struct vt_lm_many {
    const struct vt_lm_ops *ops; /* of every replica */
    vt_lease *lease;
    int n;
    int shard_rows, shard_prompts; /* rows behind a prompt that are worth a shard: so many, and so many prompts long */
    struct vt_lm_replica *replicas;
    pthread_mutex_t lock;
    pthread_cond_t go, done;
    uint64_t round; /* counts calls of vt_lm_many_run */
    int n_left;     /* replicas that are not through the round */
    vt_lm_replica_fn *fn;
    void *arg;
    bool is_closing, is_out;
    vt_err out_err; /* the sentence of the device that fell out */
};

/* impl of the door's objects; inner ones are the backend's, with impl of a replica */
struct vt_lm_many_adapter {
    struct vt_lm_adapter *inner; /* [n] */
};
struct vt_lm_many_grad {
    vt_lm_grad *inner; /* [n] */
};
struct vt_lm_many_group {
    int replica;
    vt_lm_group inner;
};
struct vt_lm_many_slot {
    vt_lm_slot inner;
};

/* lm_many_ops.c */
extern const struct vt_lm_ops vt_lm_many_ops;
/* o->devices: those to use. The rest as vt_lm_ops.open. */
vt_status vt_lm_many_open(const struct vt_lm_ops *ops, const vt_ckpt *ckpt, const struct vt_lm_opts *o,
                          struct vt_lm_limits *limits, uint64_t *max_memory, void **be, vt_err *err) VT_MUST_USE;
/* The numerics of a model on devices whose backend has these. */
void vt_lm_many_numerics(char numerics[64]);
/* lm_many.c */
vt_status vt_lm_many_start(struct vt_lm_replica *r, vt_err *err) VT_MUST_USE; /* its thread */
void vt_lm_many_stop(struct vt_lm_many *m);                                   /* all threads */
/* fn for every replica on its thread, all at once; the first failure in their order, named. The model's thread. */
vt_status vt_lm_many_run(struct vt_lm_many *m, vt_lm_replica_fn *fn, void *arg, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_alive(const struct vt_lm_many *m, vt_err *err) VT_MUST_USE; /* EIO once a device fell out */
/* On a replica's thread, which is a guest of the lease meanwhile: a job of the backend begun, and waited for; into +=
 * g; a step of the adapter's copy there by the gradient's. */
vt_status vt_lm_many_begin(struct vt_lm_replica *r, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_wait(struct vt_lm_replica *r, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_add(struct vt_lm_replica *r, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_adam(struct vt_lm_replica *r, struct vt_lm_adapter *a, const vt_lm_grad *g,
                          const struct vt_adam *o, double *norm, vt_err *err) VT_MUST_USE;
struct vt_lm_adapter *vt_lm_many_adapter_of(const struct vt_lm_adapter *a, int replica); /* NULL for NULL */
vt_lm_grad *vt_lm_many_grad_of(const vt_lm_grad *g, int replica);

/* lm_many_work.c: operations of the table */
vt_status vt_lm_many_group(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_decode(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_score(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_work_wait(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;

/* lm_many_train.c: operations of the table */
vt_status vt_lm_many_forward(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
vt_status vt_lm_many_backward(void *be, struct vt_lm_work *w, vt_err *err) VT_MUST_USE;
void vt_lm_many_tape_free(void *be, vt_lm_tape *t);
/* Shards of a prompt with so many rows behind it, in n_seqs completions. */
int vt_lm_many_shards(const struct vt_lm_many *m, int n_prompt, int64_t n_behind, int n_seqs);

#endif
