/* SPDX-License-Identifier: Apache-2.0
 *
 * openai.h: the inside of the backend of servers that speak the completions API of OpenAI (vLLM, SGLang, llama.cpp):
 * openai.c opens one, openai_probe.c finds out by trying what it can, openai_watch.c whether it is still the same,
 * openai_wire.c writes requests and reads answers, openai_sample.c are the requests.
 */
#ifndef VT_POLICY_OPENAI_H
#define VT_POLICY_OPENAI_H

#include "base/json.h"
#include "policy/remote.h"

extern const struct vt_policy_backend vt_policy_openai;

/* What a server's log-probabilities of samples are. */
enum vt_openai_logprobs {
    VT_OPENAI_NO_LOGPROBS,
    VT_OPENAI_RAW,      /* of the model: temperature 1, whole vocabulary */
    VT_OPENAI_PROCESSED /* of what was drawn from: after temperature, top_p and so on */
};
/* How it scores given tokens. */
enum vt_openai_scoring {
    VT_OPENAI_NO_SCORES,
    VT_OPENAI_PROMPT_LOGPROBS, /* vLLM: "prompt_logprobs" beside the choice */
    VT_OPENAI_ECHO             /* SGLang and others: "echo" puts the prompt into the choice's log-probabilities */
};

/* Whether a server reads the sampling fields that OpenAI's own has not, and how top_k is switched off in them. They are
 * sent with every request where they are read: left out, servers cut and penalise by defaults of their own. */
enum vt_openai_extras { VT_OPENAI_NO_EXTRAS, VT_OPENAI_TOP_K_MINUS_ONE, VT_OPENAI_TOP_K_ZERO };

/* Measured when it was opened; fixed afterwards. */
struct vt_openai_facts {
    bool takes_ids; /* "return_token_ids" and prompts of token ids */
    bool gives_ids; /* of what was sampled */
    bool many;      /* "n" gives that many samples, which differ */
    bool seed;      /* equal seeds, equal samples */
    bool top_k, min_p;
    enum vt_openai_extras extras;
    enum vt_openai_logprobs logprobs;
    enum vt_openai_scoring scoring;
    int n_ctx;          /* 0 = it does not say */
    double top;         /* log-probability of the likeliest token behind the probe's prompt; NaN = not given */
    char top_token[64]; /* its text, or how the server writes it; "" = not given */
};

/* The network thread's. */
struct vt_openai_watch {
    bool is_doubted, is_looking, has_changed;
    double looked_s;
    int n_out, n_connections; /* requests under way; connections that were made while all others were in use */
    struct vt_remote_wait *waiting;
    pthread_t thread;
    int stop_fd;
    struct vt_post post;
    struct vt_openai_facts now; /* what the thread found */
    vt_status status;           /* of the last look */
    vt_err err;
};

struct vt_openai {
    struct vt_remote remote;
    char *url, *model; /* base without a slash at the end; the model's name on the server */
    char *completions; /* URL */
    char *headers[3];  /* of a request with a body, NULL at the end */
    struct vt_openai_facts facts;
    struct vt_openai_watch watch;
    bool is_tokens; /* works in tokens: a tokenizer is here, and the server takes and gives ids */
};

static inline struct vt_openai *vt_openai_of(const vt_policy *p)
{
    return p->state;
}

/* --- openai_wire.c --- */

/* What is asked of the server in one request. */
struct vt_openai_ask {
    const int32_t *ids; /* the prompt; else text */
    size_t n_ids;
    const int32_t *more; /* the prompt goes on with these */
    size_t n_more;
    const char *text;
    size_t text_len;
    int n, max_tokens, top_k;
    double temperature, top_p, min_p;
    bool has_seed, wants_logprobs, wants_ids;
    uint64_t seed;
    const char *const *stop;
    int n_stop;
    enum vt_openai_scoring scoring;
};
/* *body is malloc'd. */
vt_status vt_openai_write(const struct vt_openai *o, const struct vt_openai_ask *a, char **body, size_t *len,
                          vt_err *err) VT_MUST_USE;

/* One choice of an answer; lent by it, what is counted excepted. */
struct vt_openai_choice {
    const vt_json *json;
    const char *text;
    const char *finish;      /* "stop", "length", … */
    const char *stop_text;   /* the stop string that the server names; NULL = it does not */
    const vt_json *ids;      /* array; NULL = not given */
    const vt_json *logprobs; /* array: numbers, or objects with "logprob"; NULL = not given */
    const vt_json *tokens;   /* array: texts of the tokens; NULL = not given, or objects of logprobs have them */
    size_t n_tokens;         /* of ids or of logprobs; 0 = not known */
};
/* Choice number i of the answer by its "index". */
vt_status vt_openai_choice(const vt_json *answer, int i, struct vt_openai_choice *out, vt_err *err) VT_MUST_USE;
int vt_openai_n_choices(const vt_json *answer);
/* What the log-probability of the likeliest first token is, among those that the server lists. */
bool vt_openai_top_logprob(const struct vt_openai_choice *c, char *token, size_t size, double *out);
/* Ids as a server lists them: numbers, or objects that have an "id". */
vt_status vt_openai_read_ids(const vt_json *ids, int32_t *out, vt_err *err) VT_MUST_USE;
/* Do these tokens spell the choice's text, which ends before one of the stop strings where it was stopped? */
bool vt_openai_ids_spell(const vt_tokenizer *t, const struct vt_openai_choice *c, const int32_t *ids, size_t n,
                         const char *const *stop, int n_stop);
/* Whether the server read the whole prompt that was sent as ids and more, as far as it says what it read. */
vt_status vt_openai_check_prompt(const vt_json *answer, const int32_t *ids, size_t n_ids, const int32_t *more,
                                 size_t n_more, vt_err *err) VT_MUST_USE;
/* Adds what the server says that it counted. */
void vt_openai_read_usage(const vt_json *answer, struct vt_sample_request *r);
/* Fills a sample of the request from a choice. */
vt_status vt_openai_read_sample(const vt_policy *p, const struct vt_sample_request *r, const struct vt_openai_choice *c,
                                struct vt_sample *out, vt_err *err) VT_MUST_USE;
/* The log-probabilities of the last n tokens of a prompt of n_all. */
vt_status vt_openai_read_scores(const struct vt_openai *o, const struct vt_openai_choice *c, const int32_t *ids,
                                size_t n_all, size_t n, float *out, vt_err *err) VT_MUST_USE;

/* --- openai_probe.c: asks the server what it can; blocks, while the policy is being opened --- */

/* Sets o->model to the only model of the server, or the one that is asked for, and o->facts. again: what is compared
 * only. */
vt_status vt_openai_find_out(struct vt_openai *o, const char *asked, bool again, int stop_fd, vt_err *err) VT_MUST_USE;

/* --- openai_watch.c: on the network's thread, but for opening and closing --- */

vt_status vt_openai_watch_open(struct vt_openai *o, vt_err *err) VT_MUST_USE;
void vt_openai_watch_close(struct vt_openai *o);
/* An attempt ended. had_connection: when it was sent, there was a connection that no other request used. */
void vt_openai_watch_attempt(struct vt_openai *o, const struct vt_http_answer *a, bool had_connection);
/* Answers may be used; watch.has_changed says that they may not. false: wait goes on later, once it was looked
 * (watch.status). */
bool vt_openai_trusts(struct vt_openai *o, struct vt_remote_wait *wait);

/* --- the requests --- */

vt_status vt_openai_sample(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;
vt_status vt_openai_score(vt_policy *p, vt_request *r, vt_err *err) VT_MUST_USE;

#endif
