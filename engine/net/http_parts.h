/* SPDX-License-Identifier: Apache-2.0
 *
 * http_parts.h: the fields of a client and of a call, shared by http.c (attempts), http_answer.c (what came of one),
 * http_secret.c and http_trace.c only.
 */
#ifndef VT_NET_HTTP_PARTS_H
#define VT_NET_HTTP_PARTS_H

#include "base/rng.h"
#include "net/http.h"
#include <curl/curl.h>
#include <stdio.h>

struct vt_secret {
    struct vt_secret *next;
    char *text;
    const char *shown_as; /* static */
};

struct vt_http {
    vt_loop *loop;
    CURLM *multi;
    char *ca_file, *ca_dir, *key_env;
    FILE *trace;
    struct vt_secret *secrets;
    struct vt_stream jitter;
    vt_http_call *calls; /* all that are not over */
    CURL **idle;         /* [n_idle] easy handles for the next attempts */
    size_t n_idle, cap_idle;
};

struct vt_http_call {
    vt_http *http;
    vt_http_call *next, **link;
    struct vt_http_request r;
    char *url, *what;
    char *shown; /* the URL without its query, which may be signed */
    struct curl_slist *headers;
    CURL *easy;     /* during an attempt */
    vt_timer timer; /* between attempts */
    double began_s, attempt_began_s, paused_s;
    int attempt;
    struct vt_buf body, head; /* the answer's; head holds its header lines */
    char net_error[CURL_ERROR_SIZE];
    CURLcode code;
};

/* --- http_secret.c --- */

/* Masks all that an attempt brought. is_credential: but its body. */
void vt_http_hide(vt_http_call *c, bool is_credential);
void vt_http_forget_secrets(vt_http *h);

/* --- http_answer.c --- */

void vt_http_read_answer(vt_http_call *c, struct vt_http_answer *out);
/* Says what went wrong. */
vt_status vt_http_explain(const vt_http_call *c, const struct vt_http_answer *a, vt_err *err);

/* --- http_trace.c --- */

vt_status vt_http_trace_open(vt_http *h, const char *path, vt_err *err) VT_MUST_USE;
void vt_http_trace(const vt_http_call *c, const struct vt_http_answer *a);

#endif
