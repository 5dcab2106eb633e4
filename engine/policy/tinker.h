/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker.h: the inside of the backend of services that speak the Tinker API: tinker.c opens one and ends it,
 * tinker_call.c makes calls and waits for promises, tinker_wire.c writes and reads batches and samples (JSON and
 * protobuf), tinker_sample.c and tinker_train.c are the requests, tinker_weights.c is what weights are there.
 *
 * Everything but opening, encoding and decoding happens on the network's thread, which alone reads and writes what is
 * below "the network thread's".
 */
#ifndef VT_POLICY_TINKER_H
#define VT_POLICY_TINKER_H

#include "base/json.h"
#include "policy/remote.h"

extern const struct vt_policy_backend vt_policy_tinker;

enum { VT_TINKER_NAME = 192 };

/* How batches and their results travel; everything else is JSON. */
enum vt_tinker_wire { VT_TINKER_UNDECIDED, VT_TINKER_PROTO, VT_TINKER_JSON };

struct vt_tinker {
    struct vt_remote remote;
    vt_policy *policy;
    char *base;     /* …/api/v1/ */
    char *model;    /* base model */
    int deadline_s; /* of a promise */
    int ttl_s;      /* of what is saved */
    size_t chunk_len, chunk_bytes;
    int n_ctx; /* as the service said when it was opened; 0 = not */

    /* The network thread's. */
    char session[VT_TINKER_NAME]; /* "" = lost, another is being made */
    int generation;               /* of sessions: what belongs to an earlier one is gone */
    int next_model, next_sampler; /* sequence numbers of this session */
    struct vt_remote_wait *waiting;
    vt_timer heartbeat;
    struct vt_tinker_call *beating, *opening;
    vt_err why_no_session;
    char *credential; /* what X-API-Key carries: the key, or a token made from it (a JWT) */
    bool uses_token;
    double token_until_s; /* it is made anew from then on */
    struct vt_tinker_call *exchanging;
    struct vt_remote_wait *wanting; /* a new token */
    double sampling_from_s;         /* back-pressure: no sample is submitted before */
    double told_s;                  /* when the user was last told that the account is paused */
    bool can_cancel;                /* samples under way, by a call */
    bool has_told_note;             /* of a deprecation */
    enum vt_tinker_wire wire;
    bool was_interrupted;
    struct vt_tinker *next_open; /* tinker.c's list */
};

static inline struct vt_tinker *vt_tinker_of(const vt_policy *p)
{
    return p->state;
}

/* --- tinker_call.c --- */

enum vt_tinker_class { VT_TINKER_PLAIN, VT_TINKER_SAMPLING, VT_TINKER_TRAINING };

struct vt_tinker_reply {
    int status;          /* HTTP's, of the last answer; 0 = none */
    const vt_json *json; /* NULL where it is protobuf, or where there is nothing */
    const void *proto;
    size_t len;
};
typedef void vt_tinker_done(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err);

/* The calls of one job, so that a cancelled job finds them. */
struct vt_tinker_calls {
    struct vt_tinker_call *first;
};

struct vt_tinker_post {
    const char *endpoint;
    char *body; /* malloc'd; taken whatever comes of it; NULL = GET */
    size_t len;
    bool is_proto;   /* the body */
    bool is_promise; /* the answer names a result that is fetched */
    bool is_trial;   /* 415, 422 and 500 are final: does the server read protobuf? */
    bool with_key;   /* not the token */
    enum vt_tinker_class class;
    double patience_s;             /* 0 = 300 */
    size_t max_answer;             /* of a result; 0 = a mebibyte */
    struct vt_tinker_calls *calls; /* may be NULL */
    void (*accepted)(void *arg);   /* the promise was made; may be NULL */
    vt_tinker_done *done;          /* once, never before this returns */
    void *arg;
};
vt_status vt_tinker_send(struct vt_tinker *t, const struct vt_tinker_post *p, struct vt_tinker_call **out,
                         vt_err *err) VT_MUST_USE;
void vt_tinker_cancel_calls(struct vt_tinker_calls *calls);
void vt_tinker_cancel_call(struct vt_tinker_call *c);

/* --- tinker_session.c --- */

vt_status vt_tinker_open_session(vt_policy *p, int stop_fd, vt_err *err) VT_MUST_USE; /* blocks */
/* Blocks, so long at most. False: it was left open. */
bool vt_tinker_end_session(struct vt_tinker *t, double within_s);
/* True when there is a session; else w goes on later. */
bool vt_tinker_need_session(struct vt_tinker *t, struct vt_remote_wait *w);
/* w goes on once the service has said whether it knows the session; if not, there is another one, or none. */
void vt_tinker_check_session(struct vt_tinker *t, struct vt_remote_wait *w);
/* w goes on once there is a new token, or none to be had. */
void vt_tinker_new_token(struct vt_tinker *t, struct vt_remote_wait *w);

/* --- tinker_weights.c --- */

uint64_t vt_tinker_random(void); /* the system's: names that nobody else makes */

/* A model of the server, in one state after another. One job at a time has it. */
struct vt_tinker_model {
    char id[VT_TINKER_NAME];
    int generation, next_seq;
};

/* vt_weights.state. checkpoint "" = untrained. Names are fixed once made; the rest is the network thread's. */
struct vt_tinker_weights {
    char checkpoint[VT_TINKER_NAME], sampler_path[VT_TINKER_NAME];
    char sampler[VT_TINKER_NAME]; /* a sampling session, "" = none */
    int sampler_generation, sampler_next_seq;
    bool is_making_sampler;
    struct vt_remote_wait *waiting;
    struct vt_tinker_model *model; /* that stands in this state and is nobody's; NULL = none */
};
/* vt_forward.state: the model that its step trains, and whose it is until then. */
struct vt_tinker_held {
    struct vt_tinker_model *model;
    struct vt_tinker_weights *from;
};
/* The model that stands in w's state, which is the caller's then; NULL = there is none. The network's thread. */
struct vt_tinker_model *vt_tinker_take_model(struct vt_tinker *t, struct vt_tinker_weights *w);
void vt_tinker_free_forward(vt_policy *p, void *state);
vt_status vt_tinker_weights_new(vt_policy *p, const char *id, int step, const char *trained_on, const char *checkpoint,
                                const char *sampler_path, struct vt_tinker_model *model, vt_weights **out,
                                vt_err *err) VT_MUST_USE;
vt_status vt_tinker_open_weights(vt_policy *p, vt_err *err) VT_MUST_USE;
void vt_tinker_free_weights(vt_policy *p, void *state);
vt_status vt_tinker_save(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_tinker_load(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_tinker_read_snapshot(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err) VT_MUST_USE;

/* --- the requests --- */

vt_status vt_tinker_sample(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_tinker_score(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_tinker_update(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_tinker_forward(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_tinker_step(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_tinker_branch(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;

/* --- tinker_wire.c --- */

/* A 32-bit number as people wrote it (0.6f is 0.6), as JSON behind some text. */
void vt_tinker_put_number(struct vt_buf *b, const char *before, float v);

/* What a sequence is trained on: of cross entropy its weights, of the others log-probabilities and advantages; one for
 * each token of the completion. */
struct vt_tinker_batch {
    const struct vt_train_seq *seqs;
    size_t first, n; /* this part of them */
    const char *loss;
    bool has_ratio;              /* logq and advantage go along; else weights */
    const float *const *weights; /* [of all sequences]; NULL = zeros (forward only) */
    const char *const *config_names;
    const double *config;
    size_t n_config;
    bool forward_only;
};
vt_status vt_tinker_write_batch(enum vt_tinker_wire wire, const char *model, int seq, const struct vt_tinker_batch *b,
                                char **body, size_t *len, vt_err *err) VT_MUST_USE;
/* What one sequence is estimated to take on the wire. */
size_t vt_tinker_batch_bytes(const struct vt_train_seq *q, bool has_ratio);
/* The log-probabilities of the completions' tokens into logp of the batch's sequences. */
vt_status vt_tinker_read_batch(const struct vt_tinker_reply *r, const struct vt_tinker_batch *b,
                               vt_err *err) VT_MUST_USE;

struct vt_tinker_sequence {
    int32_t *tokens;
    float *logprobs;
    size_t n;
    bool has_stopped;
};
struct vt_tinker_samples {
    struct vt_tinker_sequence *seqs;
    size_t n;
    float *prompt; /* log-probabilities of the prompt's tokens; NaN = not given */
    size_t n_prompt;
    int64_t n_cached; /* tokens of the prompt that the service had still */
    bool is_json;
};
vt_status vt_tinker_read_samples(const struct vt_tinker_reply *r, struct vt_tinker_samples *out,
                                 vt_err *err) VT_MUST_USE;
void vt_tinker_samples_free(struct vt_tinker_samples *s);

#endif
