/* SPDX-License-Identifier: Apache-2.0
 *
 * http.h: an HTTP client on the event loop: many transfers at a time over kept connections, tried again by the class of
 * their failure. Everything here belongs to the loop's thread, callbacks included; net.h gives a loop a thread.
 *
 * A call is one request that the caller wants answered, and as many attempts as that takes. After each attempt a judge
 * says whether the answer is final; vt_http_judge is the usual one. Between attempts the client waits: what the server
 * asked for (Retry-After), or a random part of 0.5, 1, 2 … 10 s, so that a thousand clients of a server that came back
 * do not return at once. No attempt begins after the call's patience; a pause that the server asked for is not counted,
 * and one of more than ten minutes is not made: the call ends, and says what was asked for.
 *
 * Proxies come from the environment (http_proxy, https_proxy, all_proxy, no_proxy), certificates of authorities from
 * CURL_CA_BUNDLE, SSL_CERT_FILE and SSL_CERT_DIR. Redirects are not followed: they would take the key along.
 *
 * Secrets (vt_http_add_secret) are masked in every answer, whole, before a callback sees a byte of it; so they appear
 * in nothing that is made of one, and in no trace. What on_data is given is the server's own bytes.
 */
#ifndef VT_NET_HTTP_H
#define VT_NET_HTTP_H

#include "base/buf.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct vt_http vt_http;
typedef struct vt_http_call vt_http_call;

/* A server that asks for a longer pause than so many seconds is not waited for. */
#define VT_HTTP_MOST_ASKED_S 600.0

/* What came of an attempt. Lent for the time of the callback. */
struct vt_http_answer {
    int status;       /* HTTP's; 0 = none came */
    int attempt;      /* 1, 2, … */
    const char *body; /* NUL after the end; empty where on_data took it */
    size_t len;
    const char *content_type; /* "" = none */
    double retry_after_s;     /* what the server asked for; < 0 = nothing */
    int should_retry;         /* x-should-retry: 1, 0; -1 = not said */
    bool is_new_connection;   /* it was not sent on one that had been used before */
    bool was_sent;            /* the server may have acted on it, whatever came back */
    bool is_hopeless;         /* no attempt would do better: a certificate, a name that is no URL */
    const vt_http_call *call; /* whose */
};
/* The value of a header of the answer; NULL = none. name in lower case. Lent, as the answer is. */
const char *vt_http_header(const struct vt_http_answer *a, const char *name);

enum vt_http_verdict {
    VT_HTTP_FINAL, /* done is called; what it is given is an error unless the status is 2xx */
    VT_HTTP_AGAIN, /* another attempt while patience lasts */
    VT_HTTP_PAUSE  /* another attempt after *wait_s, whatever the patience */
};
/* wait_s: what the client would wait before the next attempt; may be changed. */
typedef enum vt_http_verdict vt_http_judge_fn(void *arg, const struct vt_http_answer *a, double *wait_s);
/* 2xx is final; x-should-retry counts; no answer, 408, 429 and 5xx are tried again (501 and 505 excepted). */
vt_http_judge_fn vt_http_judge;

struct vt_http_request {
    const char *method;         /* "GET", "POST" … */
    const char *url;            /* copied, as are the headers */
    const char *const *headers; /* "Name: value", NULL at the end; may be NULL */
    char *body;                 /* malloc'd; the client's once vt_http_send succeeded */
    size_t len;
    const char *what;   /* for errors: "sampling from MODEL"; copied */
    double attempt_s;   /* an attempt's time; 0 = any, while bytes come */
    double silence_s;   /* an attempt ends when nothing came for so long; 0 = 60 */
    double patience_s;  /* no attempt begins later than this after the first */
    int max_attempts;   /* 0 = any number */
    size_t max_answer;  /* bytes of a 2xx answer; 0 = 1 MiB. Of others 64 KiB are read. */
    bool is_credential; /* a 2xx answer holds a secret for its caller: not masked, and not in the trace */
    bool is_once;       /* each attempt on a connection of its own: on one that was used before libcurl itself would
                           send again what a server may have done already */
    vt_http_judge_fn *judge; /* NULL = vt_http_judge */
    /* Bytes of a 2xx answer as they come, undecoded, which are then not kept; status: HTTP's. false: no more. */
    bool (*on_data)(void *arg, int status, const char *bytes, size_t n);
    /* Once. status is VT_OK when the last answer was a 2xx; err says what went wrong else; a is the last answer, or
     * NULL when the call was cancelled. */
    void (*done)(void *arg, vt_status status, const struct vt_http_answer *a, const vt_err *err);
    void *arg;
};

struct vt_http_opts {
    const char *trace;   /* a file to which every attempt is appended as a line of JSON; NULL or "" = none */
    const char *key_env; /* what 401's advice names: "OPENAI_API_KEY"; may be NULL */
};

vt_status vt_http_new(vt_loop *l, const struct vt_http_opts *o, vt_http **out, vt_err *err) VT_MUST_USE;
void vt_http_free(vt_http *h); /* calls under way end with VT_ECANCELLED */
vt_status vt_http_add_secret(vt_http *h, const char *secret, const char *shown_as, vt_err *err) VT_MUST_USE;
/* Replaces every secret in text, in place, by as many bytes. */
void vt_http_mask(const vt_http *h, char *text, size_t n);

/* done comes later, never before this returns. */
vt_status vt_http_send(vt_http *h, const struct vt_http_request *r, vt_http_call **out, vt_err *err) VT_MUST_USE;
/* Ends a call with VT_ECANCELLED; done is called before this returns. Not from the call's own callbacks. */
void vt_http_cancel(vt_http_call *c);

#endif
