/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_ops.h: what a policy backend implements, and what the door (policy.c, request.c, update.c, identity.c) does
 * for it. A backend is one table of operations in files of its own; the list in backends.c names it, or a host
 * program adds it with vt_policy_backend_add.
 *
 * A request reaches its operation checked: handles belong to this policy, sizes are sane, the caps allow it; weights
 * and forwards that it names are held until it is over, and strings are copied. The operation starts the work and
 * returns; the work ends with one vt_request_finish, on any thread. An operation that returns an error has started
 * nothing and does not finish the request. Operations of one policy may be called by several threads at once.
 *
 * The door holds no lock while it calls a backend, and a backend holds none while it calls the door: finish, a
 * request's `each`, vt_weights_unref and vt_weights_new may all lead to the caller's code or back into the backend.
 */
#ifndef VT_POLICY_POLICY_OPS_H
#define VT_POLICY_POLICY_OPS_H

#include "base/buf.h"
#include <pthread.h>
#include <vegttt/policy.h>

enum vt_request_kind {
    VT_REQUEST_OPEN,
    VT_REQUEST_PULL,
    VT_REQUEST_SAMPLE,
    VT_REQUEST_SCORE,
    VT_REQUEST_FORWARD,
    VT_REQUEST_STEP,
    VT_REQUEST_UPDATE,
    VT_REQUEST_BRANCH,
    VT_REQUEST_SAVE,
    VT_REQUEST_LOAD
};

struct vt_request {
    enum vt_request_kind kind;
    vt_policy *policy;              /* NULL while opening and pulling */
    vt_weights *weights;            /* sampled, scored, branched or saved; what an update starts from; held */
    vt_forward *forward;            /* of forward and step; held */
    vt_weights **out;               /* of step, branch and load */
    char *dir;                      /* of save and load */
    enum vt_snapshot_kind snapshot; /* of save */
    void *state;                    /* the backend's; guarded by a lock of its own */
    struct vt_sample_request *sample;
    struct vt_score_request *score;
    struct vt_update_request *update; /* its opts are not to be read: they are in `opts`, with copied strings */
    struct vt_update_opts opts;       /* of step and update */
    struct vt_update_report *report;

    /* The door's. Guarded by `mutex`: the policy's, or own_mutex of a request without one. */
    pthread_mutex_t *mutex, own_mutex;
    vt_policy_done *done;
    void *arg;
    vt_status (*start)(vt_request *r, vt_err *err); /* NULL = the backend's operation of this kind, and its cancel */
    void (*stop)(vt_request *r);
    int refs, stop_fd;
    bool is_cancelled, is_over, is_waiting, is_counted;
    char *digest, *trained_on;
    vt_forward *forward_half; /* of an update in two halves, as are these tickets */
    vt_request *forward_child, *step_child;
    vt_request *next, **link;
};

struct vt_weights {
    vt_policy *policy;
    char id[65];
    int step;         /* updates since load */
    char *trained_on; /* JSON text; never NULL */
    void *state;      /* the backend's; NULL once the policy is closed */
    int refs;         /* guarded by policy->mutex, as are the links */
    vt_weights *next, **link;
};

struct vt_forward {
    vt_policy *policy;
    vt_weights *from; /* held */
    struct vt_train_seq *seqs;
    size_t n;
    bool agreement;
    void *state; /* the backend's; NULL once the policy is closed */
    /* The door's, guarded by policy->mutex. */
    enum { VT_FORWARD_RUNNING, VT_FORWARD_READY, VT_FORWARD_STEPPING, VT_FORWARD_SPENT, VT_FORWARD_POISONED } stage;
    vt_err why; /* of POISONED */
    int refs;
    vt_request *running; /* the forward under way */
    vt_forward *next, **link;
};

struct vt_policy_backend {
    const char *scheme; /* "tinker": opens specs "tinker:…" */
    /* vt_policy_check_spec: no network, no loading. */
    vt_status (*check)(const char *spec, vt_err *err);
    /* Sets state, caps, record (malloc'd JSON), base and start of a policy whose spec and opts are set. Blocks, on a
     * thread of its own; looks at vt_request_is_cancelled or vt_request_stop_fd where it waits. */
    vt_status (*open)(vt_policy *p, vt_request *r, vt_err *err);
    /* No request, weights' or forward's state is left. Also called after a failed open: state may be NULL. */
    void (*close)(vt_policy *p);
    /* The process is about to end without closing anything: tells servers to stop what they would go on with, which
     * takes a second or so, and appends what could not be stopped. NULL = there is nothing of the kind. */
    void (*leave)(struct vt_buf *said);

    vt_status (*encode)(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                        vt_err *err);
    vt_status (*decode)(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len, vt_err *err);
    vt_status (*render)(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                        bool generation_prompt, const char *reasoning, char **text, vt_err *err);

    /* Requests. NULL = cannot (the caps say so), except update: NULL = forward, loss and step; and branch: NULL = the
     * weights themselves, for a backend that keeps every state. forward and update start from any weights: where the
     * server has moved on from them they make a model first, as branch does. */
    vt_status (*sample)(vt_policy *p, vt_request *r, vt_err *err);
    vt_status (*score)(vt_policy *p, vt_request *r, vt_err *err);
    vt_status (*forward)(vt_policy *p, vt_request *r, vt_err *err);
    vt_status (*step)(vt_policy *p, vt_request *r, vt_err *err);
    vt_status (*update)(vt_policy *p, vt_request *r, vt_err *err);
    vt_status (*branch)(vt_policy *p, vt_request *r, vt_err *err);
    vt_status (*save)(vt_policy *p, vt_request *r, vt_err *err);
    vt_status (*load)(vt_policy *p, vt_request *r, vt_err *err);
    /* Called after is_cancelled was set; the request may be anywhere between its start and its end, also over. The
     * backend ends it soon, with VT_ECANCELLED when that is still possible. */
    void (*cancel)(vt_policy *p, vt_request *r);

    /* (1 - share) a + share b, under this id. NULL = cannot. Blocks. */
    vt_status (*mix)(const vt_weights *a, const vt_weights *b, double share, const char *id, vt_weights **out,
                     vt_err *err);

    vt_status (*read_snapshot)(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err);
    /* NULL where caps.ids_ahead is false. */
    void (*next_id)(const vt_weights *parent, const struct vt_update_opts *o, char out[65]);
    void (*free_weights)(vt_policy *p, void *state);
    void (*free_forward)(vt_policy *p, void *state);
};

struct vt_policy {
    const struct vt_policy_backend *backend;
    char *spec, *chat, *trace_http;
    struct vt_policy_opts opts; /* with defaults filled in; chat and trace_http are copies */
    /* Set by open. */
    void *state;
    struct vt_policy_caps caps;
    char *record;
    vt_weights *base, *start;
    /* The door's, guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t idle; /* n_live became 0 */
    int refs;            /* the caller's and one of each weights, forward and request handle */
    bool is_closing;
    vt_request *requests, **last; /* all that are not over, oldest first */
    int n_live, n_running;        /* dones not returned yet; requests that count against caps.max_requests */
    vt_weights *all_weights;
    vt_forward *all_forwards;
};

/* A host program's own backend; before the first policy is opened. The table must outlive the process. */
vt_status vt_policy_backend_add(const struct vt_policy_backend *b, vt_err *err) VT_MUST_USE;

/* Ends a request: once. err may be NULL when status is VT_OK. Afterwards *r is not to be touched. */
void vt_request_finish(vt_request *r, vt_status status, const vt_err *err);
bool vt_request_is_cancelled(vt_request *r);
/* Of open and pull: readable once the request was cancelled. */
int vt_request_stop_fd(const vt_request *r);

/* New weights with one reference. state becomes the weights' when this succeeds. */
vt_status vt_weights_new(vt_policy *p, const char *id, int step, const char *trained_on, void *state, vt_weights **out,
                         vt_err *err) VT_MUST_USE;
/* The id of the weights that an update makes. server_id: how the server calls them, where equal requests need not give
 * equal weights; else NULL. */
void vt_identity_next(const char *parent_id, const struct vt_update_opts *o, const char *server_id, char out[65]);
/* The union of two {"tasks":…,"families":…} records; b may be NULL. *out is malloc'd. */
vt_status vt_identity_merge_trained_on(const char *a, const char *b, char **out, vt_err *err) VT_MUST_USE;

/* record.c: the defaults of a model as JSON (malloc'd). adapter_dir may be NULL. */
vt_status vt_model_record(const char *model, const char *adapter_dir, char **out, vt_err *err) VT_MUST_USE;

#endif
