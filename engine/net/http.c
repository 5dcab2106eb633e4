/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c: calls as attempts on the loop's curl multi handle.
 *
 * Every attempt has an easy handle of the pool, set up anew; connections are kept by the multi handle, so a handle that
 * is used again costs nothing. A call is in the client's list from vt_http_send until its done; between two attempts it
 * has a timer instead of an easy handle. done is called with the call off the list and freed afterwards, so it may make
 * other calls and cancel others.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "loop/loop_http.h"
#include "net/http_parts.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_HEAD = 64 << 10, MAX_KEPT_CONNECTIONS = 4096 };
#define DEFAULT_MAX_ANSWER ((size_t)1 << 20)
#define MAX_REFUSAL ((size_t)64 << 10)
#define USER_AGENT "vegttt/" VEGTTT_VERSION
static const double connect_s = 15, default_silence_s = 60, first_wait_s = 0.5, most_wait_s = 10;

static int read_finished(void *arg);

/* --- the client --- */

/* The first of these variables that is set, malloc'd; NULL when none is. */
static char *from_environment(const char *const *names)
{
    for (; *names; names++) {
        const char *v = getenv(*names);

        if (v && *v)
            return vt_strdup(v);
    }
    return NULL;
}

vt_status vt_http_new(vt_loop *l, const struct vt_http_opts *o, vt_http **out, vt_err *err)
{
    static const char *const files[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", NULL};
    static const char *const dirs[] = {"SSL_CERT_DIR", NULL};
    vt_http *h = vt_alloc(sizeof *h);
    uint64_t seed = vt_now_ns();
    vt_status status = VT_OK;

    *out = NULL;
    if (!h)
        return vt_fail(err, VT_ENOMEM, "out of memory for an HTTP client");
    (void)!getrandom(&seed, sizeof seed, GRND_NONBLOCK);
    vt_stream_init(&h->jitter, seed);
    h->loop = l;
    h->ca_file = from_environment(files);
    h->ca_dir = from_environment(dirs);
    h->key_env = o->key_env ? vt_strdup(o->key_env) : NULL;
    if (o->trace && o->trace[0])
        status = vt_http_trace_open(h, o->trace, err);
    if (status != VT_OK) {
        free(h->ca_file);
        free(h->ca_dir);
        free(h->key_env);
        free(h);
        return status;
    }
    h->multi = vt_loop_http(l, read_finished, h);
    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)MAX_KEPT_CONNECTIONS);
    *out = h;
    return VT_OK;
}

/* --- a call's life --- */

static void free_call(vt_http_call *c)
{
    curl_slist_free_all(c->headers);
    vt_buf_free(&c->body);
    vt_buf_free(&c->head);
    free(c->r.body);
    free(c->url);
    free(c->shown);
    free(c->what);
    free(c);
}

static void take_off(vt_http_call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

/* The attempt's easy handle goes back to the pool. */
static void end_attempt(vt_http_call *c)
{
    vt_http *h = c->http;

    if (!c->easy)
        return;
    curl_multi_remove_handle(h->multi, c->easy);
    if (h->n_idle == h->cap_idle) {
        const size_t cap = h->cap_idle ? 2 * h->cap_idle : 64;
        void *more = vt_realloc_array(h->idle, cap, sizeof(CURL *));

        if (more) {
            h->idle = more;
            h->cap_idle = cap;
        }
    }
    if (h->n_idle < h->cap_idle)
        h->idle[h->n_idle++] = c->easy;
    else
        curl_easy_cleanup(c->easy);
    c->easy = NULL;
}

static void finish(vt_http_call *c, vt_status status, const struct vt_http_answer *a, const vt_err *err)
{
    take_off(c);
    c->r.done(c->r.arg, status, a, err);
    free_call(c);
}

void vt_http_cancel(vt_http_call *c)
{
    vt_err err;

    end_attempt(c);
    if (c->timer)
        vt_loop_cancel(c->http->loop, c->timer);
    vt_fail(&err, VT_ECANCELLED, "%s was cancelled", c->what);
    finish(c, VT_ECANCELLED, NULL, &err);
}

void vt_http_free(vt_http *h)
{
    if (!h)
        return;
    while (h->calls)
        vt_http_cancel(h->calls);
    vt_loop_http(h->loop, NULL, NULL);
    for (size_t i = 0; i < h->n_idle; i++)
        curl_easy_cleanup(h->idle[i]);
    vt_http_forget_secrets(h);
    if (h->trace)
        fclose(h->trace);
    free(h->idle);
    free(h->ca_file);
    free(h->ca_dir);
    free(h->key_env);
    free(h);
}

/* --- an attempt --- */

static int status_of(CURL *easy)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static bool is_success(CURL *easy)
{
    return status_of(easy) / 100 == 2;
}

static size_t take_body(char *bytes, size_t size, size_t n, void *arg)
{
    vt_http_call *c = arg;

    const bool is_good = is_success(c->easy);

    if (c->r.on_data && is_good)
        return c->r.on_data(c->r.arg, status_of(c->easy), bytes, size * n) ? size * n : 0;
    if (!is_good && c->body.len + size * n > (c->body.max < MAX_REFUSAL ? c->body.max : MAX_REFUSAL))
        return size * n; /* enough was said */
    vt_buf_add(&c->body, bytes, size * n);
    return c->body.status == VT_OK ? size * n : 0;
}

static size_t take_head(char *bytes, size_t size, size_t n, void *arg)
{
    vt_http_call *c = arg;

    if (size * n >= 5 && memcmp(bytes, "HTTP/", 5) == 0) /* a 1xx or a proxy's came before */
        vt_buf_clear(&c->head);
    vt_buf_add(&c->head, bytes, size * n);
    return size * n; /* what is too much is not looked at */
}

static void set_transfer(vt_http_call *c)
{
    const vt_http *h = c->http;
    const double silence_s = c->r.silence_s > 0 ? c->r.silence_s : default_silence_s;
    CURL *e = c->easy;

    curl_easy_setopt(e, CURLOPT_URL, c->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(e, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, c->r.method);
    if (c->r.body) {
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->r.len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->r.body);
    }
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(e, CURLOPT_USERAGENT, USER_AGENT);
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, c->r.on_data ? NULL : "");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L); /* on an HTTP/2 server: one connection for all */
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    if (c->r.is_once) {
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    }
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_s * 1e3));
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(c->r.attempt_s * 1e3));
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)silence_s);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    if (h->ca_file)
        curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_file);
    if (h->ca_dir)
        curl_easy_setopt(e, CURLOPT_CAPATH, h->ca_dir);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->net_error);
    curl_easy_setopt(e, CURLOPT_PRIVATE, c);
}

static void judge(vt_http_call *c);

static void start_attempt(vt_http_call *c)
{
    vt_http *h = c->http;

    c->attempt++;
    c->attempt_began_s = vt_now_s();
    c->net_error[0] = '\0';
    c->code = CURLE_OK;
    vt_buf_clear(&c->head);
    vt_buf_clear(&c->body);
    c->easy = h->n_idle > 0 ? h->idle[--h->n_idle] : curl_easy_init();
    if (c->easy) {
        curl_easy_reset(c->easy);
        set_transfer(c);
    }
    if (c->easy && curl_multi_add_handle(h->multi, c->easy) == CURLM_OK)
        return;
    if (c->easy)
        curl_easy_cleanup(c->easy);
    c->easy = NULL;
    c->code = CURLE_OUT_OF_MEMORY;
    judge(c);
}

static void attempt_again(void *arg)
{
    vt_http_call *c = arg;

    c->timer = 0;
    start_attempt(c);
}

/* Full jitter (Brooker 2015): a uniform part of a wait that doubles. What the server asked for is kept, with a little
 * on top so that those whom it sent away together do not come back together. */
static double wait_before_next(vt_http_call *c, const struct vt_http_answer *a)
{
    const int n = c->attempt - 1 < 16 ? c->attempt - 1 : 16;
    const double most = first_wait_s * (double)(1 << n), u = vt_stream_uniform(&c->http->jitter);

    if (a->retry_after_s >= 0)
        return a->retry_after_s + 0.25 * u * (a->retry_after_s < 1 ? a->retry_after_s : 1);
    return u * (most < most_wait_s ? most : most_wait_s);
}

enum vt_http_verdict vt_http_judge(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    (void)arg;
    (void)wait_s;
    if (a->status / 100 == 2 || a->is_hopeless)
        return VT_HTTP_FINAL;
    if (a->should_retry >= 0)
        return a->should_retry ? VT_HTTP_AGAIN : VT_HTTP_FINAL;
    if (a->status == 0 || a->status == 408 || a->status == 429)
        return VT_HTTP_AGAIN;
    return a->status >= 500 && a->status != 501 && a->status != 505 ? VT_HTTP_AGAIN : VT_HTTP_FINAL;
}

/* The attempt is over. */
static void judge(vt_http_call *c)
{
    struct vt_http_answer a;
    enum vt_http_verdict verdict;
    double wait_s, waited_s;
    bool may_go_on;
    vt_err err;

    vt_http_hide(c, c->r.is_credential && c->code == CURLE_OK && is_success(c->easy));
    vt_http_read_answer(c, &a);
    end_attempt(c);
    vt_http_trace(c, &a);
    wait_s = wait_before_next(c, &a);
    verdict = (c->r.judge ? c->r.judge : vt_http_judge)(c->r.arg, &a, &wait_s);
    waited_s = vt_now_s() - c->began_s - c->paused_s;
    may_go_on = verdict == VT_HTTP_PAUSE || (verdict == VT_HTTP_AGAIN && waited_s + wait_s <= c->r.patience_s &&
                                             (c->r.max_attempts == 0 || c->attempt < c->r.max_attempts));
    may_go_on = may_go_on && a.retry_after_s <= VT_HTTP_MOST_ASKED_S;
    if (may_go_on) {
        if (verdict == VT_HTTP_PAUSE)
            c->paused_s += wait_s;
        c->timer = vt_loop_after(c->http->loop, wait_s, attempt_again, c);
        if (c->timer)
            return;
    }
    if (a.status / 100 == 2 && c->code == CURLE_OK) {
        finish(c, VT_OK, &a, NULL);
        return;
    }
    finish(c, vt_http_explain(c, &a, &err), &a, &err);
}

/* The loop made progress. */
static int read_finished(void *arg)
{
    vt_http *h = arg;
    const CURLMsg *m;
    int left, n = 0;

    while ((m = curl_multi_info_read(h->multi, &left))) {
        vt_http_call *c = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
        c->code = m->data.result;
        judge(c);
        n++;
    }
    return n;
}

/* --- sending --- */

static bool add_header(vt_http_call *c, const char *line)
{
    struct curl_slist *more = curl_slist_append(c->headers, line);

    if (more)
        c->headers = more;
    return more != NULL;
}

static void start_call(void *arg)
{
    attempt_again(arg);
}

vt_status vt_http_send(vt_http *h, const struct vt_http_request *r, vt_http_call **out, vt_err *err)
{
    vt_http_call *c = vt_alloc(sizeof *c);
    bool is_whole = c != NULL;

    *out = NULL;
    if (c) {
        c->http = h;
        c->r = *r;
        c->url = vt_strdup(r->url);
        c->shown = vt_strndup(r->url, strcspn(r->url, "?"));
        c->what = vt_strdup(r->what);
        vt_buf_init(&c->body, r->max_answer ? r->max_answer : DEFAULT_MAX_ANSWER);
        vt_buf_init(&c->head, MAX_HEAD);
        is_whole = c->url && c->shown && c->what && add_header(c, "Expect:");
        for (size_t i = 0; is_whole && r->headers && r->headers[i]; i++)
            is_whole = add_header(c, r->headers[i]);
    }
    if (is_whole) {
        c->began_s = vt_now_s();
        c->timer = vt_loop_after(h->loop, 0, start_call, c);
    }
    if (!is_whole || !c->timer) {
        if (c) {
            c->r.body = NULL; /* the caller's still */
            free_call(c);
        }
        return vt_fail(err, VT_ENOMEM, "out of memory for %s", r->what);
    }
    c->next = h->calls;
    c->link = &h->calls;
    if (c->next)
        c->next->link = &c->next;
    h->calls = c;
    *out = c;
    return VT_OK;
}
