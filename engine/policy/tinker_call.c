/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker_call.c: one call of the Tinker API: a submit, and where the answer is a promise, polls until its result is
 * there. A submit is sent again with the same bytes, so with the same sequence number, which the service takes for the
 * same request: nothing runs twice. A server that speaks the older JSON dialect keeps no such record; there a training
 * call whose outcome is unknown is an error.
 *
 * What an answer to a poll means is told by a table of the service's habits (statuses 408, 410, 402, a body that says
 * try_again, a body with "error"). A promise that never comes is an error that names it, after the policy's deadline.
 *
 * Circle: a call whose token the service takes no more asks tinker_session for another one, which is a call like this.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "policy/tinker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PROTO_TYPE "application/x-protobuf"
static const double submit_s = 60, poll_s = 60, default_patience_s = 300, most_billing_pause_s = 3600,
                    most_hold_s = 600, tell_again_s = 60, alarm_s = 600;
enum { MAX_POLL_FAILURES = 20, MAX_BAD_REQUESTS = 3, LARGE_PROMPT = 128 << 10 };

struct vt_tinker_call {
    struct vt_tinker *t;
    struct vt_tinker_post p;
    struct vt_tinker_call *next, **link;
    char *what;
    vt_http_call *http;
    vt_timer timer;
    struct vt_remote_wait wait; /* for a new token, once */
    bool has_new_token;
    char *promise; /* its id; NULL while submitting */
    char *poll_body;
    double promised_s, paused_s, polled_s;
    bool has_told;                   /* that it takes long */
    int n_failures, n_silent, n_bad; /* polls in a row */
};

/* --- the end --- */

static void unlink_call(struct vt_tinker_call *c)
{
    if (!c->link)
        return;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void finish(struct vt_tinker_call *c, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    unlink_call(c);
    c->p.done(c->p.arg, status, reply, err);
    free(c->p.body);
    free(c->promise);
    free(c->poll_body);
    free(c->what);
    free(c);
}

static void fail(struct vt_tinker_call *c, const struct vt_http_answer *a, const vt_err *err)
{
    const struct vt_tinker_reply reply = {.status = a ? a->status : 0};

    finish(c, err->code, &reply, err);
}

static void on_cancelled(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    (void)arg;
    (void)status;
    (void)reply;
    (void)err; /* the service ends it by itself, later */
}

/* Samples that nobody waits for are paid for until the service is told. */
static void tell_to_stop(const struct vt_tinker_call *c)
{
    struct vt_tinker_post p = {.endpoint = "cancel_future", .patience_s = 0.001, .done = on_cancelled};
    vt_err ignored;

    if (!c->promise || c->p.class != VT_TINKER_SAMPLING || !c->t->can_cancel)
        return;
    p.body = vt_strdup(c->poll_body); /* {"request_id"} too */
    p.len = p.body ? strlen(p.body) : 0;
    if (p.body)
        (void)!vt_tinker_send(c->t, &p, NULL, &ignored);
}

void vt_tinker_cancel_call(struct vt_tinker_call *c)
{
    vt_err err;

    tell_to_stop(c);

    if (c->timer)
        vt_loop_cancel(vt_net_loop(c->t->remote.net), c->timer);
    c->timer = 0;
    vt_remote_stop_waiting(&c->wait);
    if (c->http) { /* whose done ends the call */
        vt_http_cancel(c->http);
        return;
    }
    vt_fail(&err, VT_ECANCELLED, "%s was cancelled", c->what);
    fail(c, NULL, &err);
}

void vt_tinker_cancel_calls(struct vt_tinker_calls *calls)
{
    while (calls->first)
        vt_tinker_cancel_call(calls->first);
}

static void submit(void *arg);
static void poll_promise(void *arg);

static void go_on_with_token(void *arg)
{
    struct vt_tinker_call *c = arg;

    if (c->promise)
        poll_promise(c);
    else
        submit(c);
}

/* A token that the service does not take any more is made anew, and what it was sent with is sent again: once. */
static bool renews_token(struct vt_tinker_call *c, const struct vt_http_answer *a)
{
    if (!a || a->status != 401 || !c->t->uses_token || c->has_new_token || c->p.with_key)
        return false;
    c->has_new_token = true;
    c->wait = (struct vt_remote_wait){.fn = go_on_with_token, .arg = c};
    vt_tinker_new_token(c->t, &c->wait);
    return true;
}

/* --- what the user is told --- */

static void tell_of_pause(struct vt_tinker *t)
{
    if (vt_now_s() - t->told_s < tell_again_s)
        return;
    t->told_s = vt_now_s();
    vt_remote_notice(
        t->policy, "the service of %.160s wants to be paid (402); what was asked of it waits for that, an hour at most",
        t->policy->spec);
}

static void tell_of_note(struct vt_tinker_call *c, const struct vt_http_answer *a)
{
    const char *note = a && !c->t->has_told_note ? vt_http_header(a, "x-deprecation-note") : NULL;

    if (!note)
        return;
    c->t->has_told_note = true;
    vt_remote_notice(c->t->policy, "the service of %.160s says: %.300s", c->t->policy->spec, note);
}

/* --- requests --- */

/* body: malloc'd, taken. */
static vt_status send(struct vt_tinker_call *c, const char *endpoint, char *body, size_t len, bool is_proto,
                      vt_http_judge_fn *judge,
                      void (*done)(void *arg, vt_status status, const struct vt_http_answer *a, const vt_err *err),
                      vt_err *err)
{
    const char *const accept = "Accept: " PROTO_TYPE ", application/json";
    const char *headers[5] = {accept, body ? is_proto ? "Content-Type: " PROTO_TYPE : "Content-Type: application/json"
                                           : accept};
    struct vt_buf url, key;
    vt_status status;
    int n = 2;

    vt_buf_init(&url, 1 << 14);
    vt_buf_init(&key, 1 << 16);
    vt_buf_printf(&url, "%s%s", c->t->base, endpoint);
    const char *const credential = c->p.with_key ? c->t->remote.key : c->t->credential;

    vt_buf_printf(&key, "X-API-Key: %s", credential ? credential : "");
    if (credential)
        headers[n++] = key.p;
    if (c->p.class == VT_TINKER_SAMPLING && !c->promise)
        headers[n++] = "X-Tinker-Sampling-Backpressure: 1";
    status = vt_buf_check(&url, "an address", err);
    if (status == VT_OK)
        status = vt_buf_check(&key, "a key", err);
    if (status == VT_OK)
        status = vt_http_send(
            vt_net_http(c->t->remote.net),
            &(struct vt_http_request){.method = body ? "POST" : "GET",
                                      .url = url.p,
                                      .headers = headers,
                                      .body = body,
                                      .len = len,
                                      .what = c->what,
                                      .is_once = c->p.class == VT_TINKER_TRAINING && !c->promise,
                                      .attempt_s = c->promise ? poll_s : submit_s,
                                      .silence_s = 2 * poll_s,
                                      .patience_s = c->p.patience_s > 0 ? c->p.patience_s : default_patience_s,
                                      .max_answer = c->promise ? c->p.max_answer : 0,
                                      .is_credential = c->p.with_key,
                                      .judge = judge,
                                      .done = done,
                                      .arg = c},
            &c->http, err);
    if (status != VT_OK)
        free(body);
    if (key.len > 0)
        explicit_bzero(key.p, key.len);
    vt_buf_free(&url);
    vt_buf_free(&key);
    return status;
}

static char *copy_bytes(const char *p, size_t n)
{
    char *copy = vt_alloc(n + 1);

    if (copy)
        memcpy(copy, p, n);
    return copy;
}

/* --- polling --- */

static void poll_after(struct vt_tinker_call *c, double seconds)
{
    const double waited_s = vt_now_s() - c->promised_s - c->paused_s;
    vt_err err;

    if (waited_s > alarm_s && !c->has_told) {
        c->has_told = true;
        vt_remote_notice(c->t->policy, "%s: the result %s has not come in %.0f minutes; it is waited for %d in all",
                         c->what, c->promise, waited_s / 60, c->t->deadline_s / 60);
    }
    if (waited_s > (double)c->t->deadline_s) {
        vt_fail(&err, VT_ETIMEOUT,
                "%s: the result %s has not come in %d s; it may have been paid for, and its name is what the service "
                "wants to know of a complaint",
                c->what, c->promise, c->t->deadline_s);
        fail(c, NULL, &err);
        return;
    }
    c->timer = vt_loop_after(vt_net_loop(c->t->remote.net), seconds, poll_promise, c);
    if (c->timer)
        return;
    vt_fail(&err, VT_ENOMEM, "out of memory for %s", c->what);
    fail(c, NULL, &err);
}

/* Held by the server until there is something to say, or answered at once: then not asked for again at once. */
static void poll_pending(struct vt_tinker_call *c)
{
    c->n_failures = c->n_silent = c->n_bad = 0;
    poll_after(c, vt_now_s() - c->polled_s < 1 ? 0.25 : 0);
}

/* A result in JSON: pending, failed, or what was asked for. */
static void read_result(struct vt_tinker_call *c, const struct vt_http_answer *a)
{
    struct vt_tinker_reply reply = {.status = a->status};
    const char *type, *status, *problem;
    vt_json *j = NULL;
    vt_err err;

    if (strstr(a->content_type, PROTO_TYPE)) {
        reply.proto = a->body;
        reply.len = a->len;
        finish(c, VT_OK, &reply, NULL);
        return;
    }
    if (vt_json_parse(a->body, a->len, "a result", &j, &err) != VT_OK) {
        if (++c->n_bad <= MAX_BAD_REQUESTS) {
            poll_after(c, 1);
            return;
        }
        vt_err_context(&err, "%s (%s)", c->what, c->promise);
        fail(c, a, &err);
        return;
    }
    type = vt_json_str(vt_json_get(j, "type"), "");
    status = vt_json_str(vt_json_get(j, "status"), "");
    problem = vt_json_str(vt_json_get(j, "error"), NULL);
    if (strcmp(type, "try_again") == 0) {
        poll_pending(c);
    } else if (strcmp(status, "complete_metadata") == 0) {
        poll_after(c, 0);
    } else if (problem) {
        const bool is_ours = strcmp(vt_json_str(vt_json_get(j, "category"), ""), "user") == 0;

        vt_fail(&err, is_ours ? VT_EINVAL : VT_ENET, "%s: the service failed: %.400s (%s)", c->what, problem,
                c->promise);
        fail(c, a, &err);
    } else {
        reply.json = j;
        finish(c, VT_OK, &reply, NULL);
    }
    vt_json_free(j);
}

static enum vt_http_verdict judge_poll(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    (void)arg;
    (void)a;
    (void)wait_s;
    return VT_HTTP_FINAL; /* the table below */
}

static void on_polled(void *arg, vt_status status, const struct vt_http_answer *a, const vt_err *err)
{
    struct vt_tinker_call *c = arg;
    const int s = a ? a->status : 0;

    c->http = NULL;
    if (renews_token(c, a))
        return;
    if (status == VT_ECANCELLED) {
        fail(c, NULL, err);
    } else if (s / 100 == 2) {
        c->n_silent = 0;
        read_result(c, a);
    } else if (s == 408 || status == VT_ETIMEOUT) {
        poll_pending(c);
    } else if (s == 402 && c->paused_s < most_billing_pause_s) {
        c->paused_s += 5;
        tell_of_pause(c->t);
        poll_after(c, 5);
    } else if (s >= 500 && ++c->n_failures <= MAX_POLL_FAILURES) {
        poll_after(c, 0.5);
    } else if (s == 400 && c->t->wire != VT_TINKER_JSON && ++c->n_bad <= MAX_BAD_REQUESTS) {
        poll_after(c, 0.5);
    } else if ((s == 0 && !a->is_hopeless) || s == 429) {
        const int n = c->n_silent < 5 ? c->n_silent : 5;

        c->n_silent++;
        if (c->n_silent > 30)
            fail(c, a, err);
        else
            poll_after(c, (double)(1 << n) < 30 ? (double)(1 << n) : 30);
    } else {
        fail(c, a, err);
    }
}

static void poll_promise(void *arg)
{
    struct vt_tinker_call *c = arg;
    char *body = copy_bytes(c->poll_body, strlen(c->poll_body));
    vt_err err;

    c->timer = 0;
    c->polled_s = vt_now_s();
    if (!body)
        vt_fail(&err, VT_ENOMEM, "out of memory for %s", c->what);
    if (!body || send(c, "retrieve_future", body, strlen(body), false, judge_poll, on_polled, &err) != VT_OK)
        fail(c, NULL, &err);
}

/* --- submitting --- */

static void hold_sampling(struct vt_tinker *t, double seconds)
{
    const double until = vt_now_s() + (seconds < most_hold_s ? seconds : 0); /* longer is not waited for */

    if (until > t->sampling_from_s)
        t->sampling_from_s = until;
}

static enum vt_http_verdict judge_submit(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    struct vt_tinker_call *c = arg;
    const bool is_unknown = a->status == 0 && a->was_sent;

    if (a->status / 100 == 2 || a->is_hopeless)
        return VT_HTTP_FINAL;
    if (a->should_retry == 0)
        return VT_HTTP_FINAL;
    if (c->p.is_trial && (a->status == 415 || a->status == 422 || a->status == 500))
        return VT_HTTP_FINAL;
    if (c->p.class == VT_TINKER_TRAINING && c->t->wire == VT_TINKER_JSON && is_unknown)
        return VT_HTTP_FINAL;
    if (a->status == 402) {
        *wait_s = 5;
        c->paused_s += 5;
        tell_of_pause(c->t);
        return c->paused_s <= most_billing_pause_s ? VT_HTTP_PAUSE : VT_HTTP_FINAL;
    }
    if (a->status == 429 && c->p.class == VT_TINKER_SAMPLING) {
        if (a->retry_after_s < 0)
            *wait_s = c->p.len > LARGE_PROMPT ? 5 : 1;
        hold_sampling(c->t, *wait_s);
        return VT_HTTP_PAUSE;
    }
    if (a->status == 400 && a->len == 0 && ++c->n_bad <= MAX_BAD_REQUESTS) /* a proxy's */
        return VT_HTTP_AGAIN;
    if (a->status == 409 && c->p.class != VT_TINKER_TRAINING)
        return VT_HTTP_AGAIN;
    return vt_http_judge(NULL, a, wait_s);
}

static void keep_promise(struct vt_tinker_call *c, const vt_json *j, const struct vt_http_answer *a)
{
    const char *id = vt_json_str(vt_json_get(j, "request_id"), NULL);
    struct vt_buf body;
    vt_err err;

    if (!id) {
        vt_fail(&err, VT_ENET, "%s: the service's answer names no request_id: it is none of the Tinker API", c->what);
        fail(c, a, &err);
        return;
    }
    vt_buf_init(&body, 1 << 16);
    vt_buf_puts(&body, "{\"request_id\":");
    vt_json_write_string(&body, id, strlen(id));
    vt_buf_putc(&body, '}');
    c->promise = vt_strdup(id);
    c->poll_body = vt_buf_take(&body, NULL);
    if (!c->promise || !c->poll_body) {
        vt_fail(&err, VT_ENOMEM, "out of memory for %s", c->what);
        fail(c, a, &err);
        return;
    }
    c->promised_s = vt_now_s();
    c->paused_s = 0;
    c->n_bad = 0;
    free(c->p.body);
    c->p.body = NULL;
    c->timer = vt_loop_after(vt_net_loop(c->t->remote.net), 0, poll_promise, c);
    if (c->p.accepted)
        c->p.accepted(c->p.arg);
    if (!c->timer) {
        vt_fail(&err, VT_ENOMEM, "out of memory for %s", c->what);
        fail(c, a, &err);
    }
}

static void on_submitted(void *arg, vt_status status, const struct vt_http_answer *a, const vt_err *err)
{
    struct vt_tinker_call *c = arg;
    struct vt_tinker_reply reply = {.status = a ? a->status : 0};
    vt_json *j = NULL;
    vt_err why;

    c->http = NULL;
    tell_of_note(c, a);
    if (renews_token(c, a))
        return;
    if (status != VT_OK) {
        why = *err;
        if (a && a->status == 0 && a->was_sent && c->p.class == VT_TINKER_TRAINING && c->t->wire == VT_TINKER_JSON)
            vt_err_context(&why, "it is not known whether the server did this, and it would do it twice");
        finish(c, status, &reply, &why);
        return;
    }
    if (a->len > 0 && vt_json_parse(a->body, a->len, "the service's answer", &j, &why) != VT_OK) {
        vt_err_context(&why, "%s", c->what);
        finish(c, why.code, &reply, &why);
        return;
    }
    if (c->p.is_promise) {
        keep_promise(c, j, a);
    } else {
        reply.json = j;
        finish(c, VT_OK, &reply, NULL);
    }
    vt_json_free(j);
}

static void submit(void *arg)
{
    struct vt_tinker_call *c = arg;
    char *body = c->p.body ? copy_bytes(c->p.body, c->p.len) : NULL;
    vt_err err;

    c->timer = 0;
    if (c->p.body && !body)
        vt_fail(&err, VT_ENOMEM, "out of memory for %s", c->what);
    else if (send(c, c->p.endpoint, body, c->p.len, c->p.is_proto, judge_submit, on_submitted, &err) == VT_OK)
        return;
    fail(c, NULL, &err);
}

vt_status vt_tinker_send(struct vt_tinker *t, const struct vt_tinker_post *p, struct vt_tinker_call **out, vt_err *err)
{
    struct vt_tinker_call *c = vt_alloc(sizeof *c);
    const double hold_s = p->class == VT_TINKER_SAMPLING ? t->sampling_from_s - vt_now_s() : 0;
    struct vt_buf what;

    if (out)
        *out = NULL;
    vt_buf_init(&what, 1024);
    vt_buf_printf(&what, "%s of %.160s", p->endpoint, t->policy->spec);
    if (c) {
        c->t = t;
        c->p = *p;
        c->what = vt_buf_take(&what, NULL);
        c->timer = c->what ? vt_loop_after(vt_net_loop(t->remote.net), hold_s > 0 ? hold_s : 0, submit, c) : 0;
    }
    vt_buf_free(&what);
    if (!c || !c->timer) {
        if (c)
            free(c->what);
        free(c);
        free(p->body);
        return vt_fail(err, VT_ENOMEM, "out of memory for a call of %s", t->policy->spec);
    }
    if (p->calls) {
        c->next = p->calls->first;
        c->link = &p->calls->first;
        if (c->next)
            c->next->link = &c->next;
        p->calls->first = c;
    }
    if (out)
        *out = c;
    return VT_OK;
}
