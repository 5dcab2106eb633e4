/* SPDX-License-Identifier: Apache-2.0
 *
 * remote.h: what the backends of servers share (openai.c, tinker.c): the options of a spec, the key from the
 * environment, a tokenizer that lies here, a thread with an HTTP client, and requests as jobs on that thread.
 *
 * A job carries one request of the door. It is made on the caller's thread, begins on the network's, makes HTTP calls
 * there, and ends there once. A cancel of the request reaches it as `halt`, on the same thread, between two callbacks.
 */
#ifndef VT_POLICY_REMOTE_H
#define VT_POLICY_REMOTE_H

#include "net/net.h"
#include "policy/policy_ops.h"
#include "policy/policy_text.h"

/* SCHEME:WHAT?option=value&option=value. WHAT is the scheme's. */
struct vt_remote_spec {
    char *what;
    char *tokenizer;  /* a .gguf file, a folder or tokenizer.json, or the name of a model in the cache; NULL = none */
    int n_ctx;        /* context=N; 0 = what the server says */
    int max_requests; /* requests=N; 0 = the scheme's own */
};
/* Refuses unknown options and values out of range. */
vt_status vt_remote_parse(const char *spec, struct vt_remote_spec *out, vt_err *err) VT_MUST_USE;
void vt_remote_spec_free(struct vt_remote_spec *s);
/* A base URL fit for a record: http or https with a host, without credentials, query and fragment. */
vt_status vt_remote_check_url(const char *url, const char *spec, vt_err *err) VT_MUST_USE;

/* Stands first in the state of such a policy. */
struct vt_remote {
    struct vt_net *net;
    struct vt_policy_text text;
    char *key;             /* NULL = none */
    pthread_mutex_t mutex; /* guards which job a request has */
};

/* Key, tokenizer and network thread. key_env: the variable that holds the key. On failure what was made is closed by
 * vt_remote_close. */
vt_status vt_remote_open(struct vt_remote *m, const vt_policy *p, const struct vt_remote_spec *s, const char *key_env,
                         vt_err *err) VT_MUST_USE;
void vt_remote_close(struct vt_remote *m);
void vt_remote_say(const vt_policy *p, const char *format, ...) VT_PRINTF(2, 3); /* a line of progress while opening */
void vt_remote_notice(const vt_policy *p, const char *format, ...) VT_PRINTF(2, 3); /* one of news, afterwards */

/* --- what answers hold --- */

/* A log-probability: a finite number that is not above 0 by more than servers round. false: it is none. */
bool vt_remote_logprob(double v, float *out);
/* Bytes that an answer about so many tokens may have, as wordy as servers are. */
size_t vt_remote_answer_limit(int64_t n_tokens);
/* What holds of every sample whatever the server: no more tokens than were asked for, ids of the vocabulary. */
vt_status vt_remote_check_tokens(const struct vt_remote *m, const struct vt_sample_request *r,
                                 const struct vt_sample *s, vt_err *err) VT_MUST_USE;

/* --- waiting, on the network's thread --- */

/* Something that goes on when what it waits for is there, or cannot be. */
struct vt_remote_wait {
    struct vt_remote_wait *next, **link; /* link NULL: waits for nothing */
    vt_loop_fn *fn;
    void *arg;
};
void vt_remote_wait_on(struct vt_remote_wait **list, struct vt_remote_wait *w);
void vt_remote_stop_waiting(struct vt_remote_wait *w);
/* All that wait go on. */
void vt_remote_wake(struct vt_remote_wait **list);

/* --- jobs --- */

struct vt_remote_job {
    struct vt_remote *remote;
    vt_request *request;
    void (*begin)(struct vt_remote_job *j);
    void (*halt)(struct vt_remote_job *j); /* cancel the calls under way; the job ends soon, as any other does */
    void (*free)(struct vt_remote_job *j); /* NULL = free() */
    bool is_halted, is_over;
    /* remote.c's */
    struct vt_post beginning, halting;
    bool was_halted;
    int refs;
};
/* Hands the job over; it begins on the network's thread. The request's state is the job until its end. */
void vt_remote_start(struct vt_remote *m, vt_request *r, struct vt_remote_job *j);
/* Ends the request and the job. Nothing of it may be under way. */
void vt_remote_end(struct vt_remote_job *j, vt_status status, const vt_err *err);

/* --- operations of the door that are every such policy's: text by the tokenizer that lies here --- */

vt_status vt_remote_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                           vt_err *err) VT_MUST_USE;
vt_status vt_remote_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len,
                           vt_err *err) VT_MUST_USE;
vt_status vt_remote_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                           bool generation_prompt, const char *reasoning, char **text, vt_err *err) VT_MUST_USE;
void vt_remote_cancel(vt_policy *p, vt_request *r);

#endif
