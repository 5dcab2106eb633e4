/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker_session.c: the session in which everything of one client happens. It is kept by a heartbeat every ten seconds,
 * and ended when the policy is closed, since what is left running is billed. A service that says that it knows the
 * session no more (it was restarted, or we slept too long) gets a new one at once: models and samplers of the old one
 * are gone with it (their generation is another), and are made again from checkpoints when somebody needs them.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "policy/tinker.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SDK_VERSION "0.38.0" /* the contract that is kept; the service refuses versions that it has retired */
static const double heartbeat_s = 10, opening_patience_s = 20;

/* --- bodies --- */

static char *session_body(size_t *len)
{
    struct vt_buf b;

    vt_buf_init(&b, 1 << 12);
    vt_buf_puts(&b, "{\"tags\":[\"vegttt\"],\"user_metadata\":{},\"sdk_version\":\"" SDK_VERSION
                    "\",\"type\":\"create_session\"}");
    return vt_buf_take(&b, len);
}

static char *of_session(const struct vt_tinker *t, const char *rest, size_t *len)
{
    struct vt_buf b;

    vt_buf_init(&b, 1 << 12);
    vt_buf_puts(&b, "{\"session_id\":");
    vt_json_write_string(&b, t->session, strlen(t->session));
    vt_buf_printf(&b, "%s}", rest);
    return vt_buf_take(&b, len);
}

static vt_status take_session(struct vt_tinker *t, const vt_json *j, vt_err *err)
{
    const char *id = vt_json_str(vt_json_get(j, "session_id"), "");

    if (!id[0] || strlen(id) >= sizeof t->session)
        return vt_fail(err, VT_ENET, "the service of %.200s gave no session: it does not speak the Tinker API",
                       t->policy->spec);
    snprintf(t->session, sizeof t->session, "%s", id);
    t->generation++;
    t->next_model = t->next_sampler = 0;
    t->wire = VT_TINKER_UNDECIDED; /* who knows nothing of the last one may be another server */
    return VT_OK;
}

/* --- tokens: where the service wants none of its keys on the way, a JWT that it makes of one --- */

static int sextet(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* How long a token lasts, by its own account (iat and exp of its middle part, base64url); 0 when it does not say. */
static double lifetime_of(const char *jwt)
{
    const char *at = strchr(jwt, '.');
    struct vt_buf text;
    unsigned bits = 0;
    int n = 0;
    vt_json *j = NULL;
    double lasts = 0;

    vt_buf_init(&text, 1 << 16);
    for (at = at ? at + 1 : ""; sextet(*at) >= 0; at++) {
        bits = bits << 6 | (unsigned)sextet(*at);
        n += 6;
        if (n >= 8) {
            n -= 8;
            vt_buf_putc(&text, (char)(bits >> n & 255));
        }
    }
    if (vt_json_parse(text.p, text.len, "a token", &j, NULL) == VT_OK)
        lasts = vt_json_num(vt_json_get(j, "exp"), 0) - vt_json_num(vt_json_get(j, "iat"), 0);
    vt_json_free(j);
    vt_buf_free(&text);
    return lasts > 0 ? lasts : 0;
}

static vt_status take_token(struct vt_tinker *t, const vt_json *j, vt_err *err)
{
    const char *jwt = vt_json_str(vt_json_get(j, "jwt"), "");
    const double lasts = lifetime_of(jwt);
    char *copy = jwt[0] ? vt_strdup(jwt) : NULL;

    if (!copy)
        return vt_fail(err, VT_ENET, "the service of %.200s gave no token for the key", t->policy->spec);
    if (t->credential)
        explicit_bzero(t->credential, strlen(t->credential));
    free(t->credential);
    t->credential = copy;
    t->token_until_s = vt_now_s() + (lasts > 0 ? lasts / 2 : 300);
    return vt_http_add_secret(vt_net_http(t->remote.net), copy, "(token)", err);
}

static void on_token(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    struct vt_tinker *t = arg;
    vt_err ignored;

    (void)err; /* who waits for it is refused with the old one, and says so */
    t->exchanging = NULL;
    if (status == VT_OK)
        (void)!take_token(t, reply->json, &ignored);
    vt_remote_wake(&t->wanting);
}

void vt_tinker_new_token(struct vt_tinker *t, struct vt_remote_wait *w)
{
    struct vt_tinker_post p = {
        .endpoint = "auth/token", .with_key = true, .patience_s = opening_patience_s, .done = on_token, .arg = t};
    vt_err ignored;

    if (w)
        vt_remote_wait_on(&t->wanting, w);
    if (t->exchanging)
        return;
    p.body = vt_strdup("{}");
    p.len = 2;
    if (!p.body || vt_tinker_send(t, &p, &t->exchanging, &ignored) != VT_OK)
        vt_remote_wake(&t->wanting);
}

/* --- keeping it --- */

static void beat(void *arg);
static void lose_session(struct vt_tinker *t);

static void beat_later(struct vt_tinker *t)
{
    t->heartbeat = vt_loop_after(vt_net_loop(t->remote.net), heartbeat_s, beat, t);
}

static void on_beat(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    struct vt_tinker *t = arg;

    (void)err;
    t->beating = NULL;
    if (status == VT_ECANCELLED)
        return;
    if (status != VT_OK && (reply->status == 404 || reply->status == 410)) {
        lose_session(t);
        return;
    }
    beat_later(t);
    vt_remote_wake(&t->waiting);
}

static void beat(void *arg)
{
    struct vt_tinker *t = arg;
    struct vt_tinker_post p = {.endpoint = "session_heartbeat", .patience_s = 0.001, .done = on_beat, .arg = t};
    vt_err err;

    t->heartbeat = 0;
    if (t->uses_token && vt_now_s() >= t->token_until_s)
        vt_tinker_new_token(t, NULL);
    p.body = of_session(t, ",\"type\":\"session_heartbeat\"", &p.len);
    if (!p.body || vt_tinker_send(t, &p, &t->beating, &err) != VT_OK)
        beat_later(t);
}

/* The model as the service lists it: *n_ctx, 0 = not said. */
static vt_status find_in(const struct vt_tinker *t, const vt_json *capabilities, int *n_ctx, vt_err *err)
{
    char names[256] = "";
    size_t at = 0;
    bool is_there = false;

    for (const vt_json *m = vt_json_first(vt_json_get(capabilities, "supported_models")); m; m = vt_json_next(m)) {
        const char *name = vt_json_str(vt_json_get(m, "model_name"), "");
        const int64_t n = vt_json_int(vt_json_get(m, "max_context_length"), 0);

        if (at + 1 < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", name);
        if (strcmp(name, t->model) != 0)
            continue;
        is_there = true;
        *n_ctx = n > 0 && n <= INT_MAX ? (int)n : 0;
    }
    return is_there ? VT_OK
                    : vt_fail(err, VT_ENOENT, "the service at %.160s has no model \"%.80s\"; it has %s", t->base,
                              t->model, names[0] ? names : "none");
}

static void on_session(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    struct vt_tinker *t = arg;

    t->opening = NULL;
    if (status == VT_ECANCELLED)
        return;
    if (status == VT_OK)
        status = take_session(t, reply->json, &t->why_no_session);
    else
        t->why_no_session = *err;
    if (status == VT_OK)
        beat_later(t);
    vt_remote_wake(&t->waiting);
}

/* The service that knows no session may be another one: it must have the model, as it was, before it gets one. */
static void on_capabilities(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    struct vt_tinker *t = arg;
    struct vt_tinker_post p = {.endpoint = "create_session", .done = on_session, .arg = t};
    int n_ctx = 0;

    t->opening = NULL;
    if (status == VT_ECANCELLED)
        return;
    if (status == VT_OK)
        status = find_in(t, reply->json, &n_ctx, &t->why_no_session);
    else
        t->why_no_session = *err;
    if (status == VT_OK && n_ctx != t->n_ctx)
        status = vt_fail(&t->why_no_session, VT_ENET,
                         "the service of %.160s was replaced by another one while it was used: %.80s has a context of "
                         "%d tokens now, and had %d",
                         t->policy->spec, t->model, n_ctx, t->n_ctx);
    p.body = status == VT_OK ? session_body(&p.len) : NULL;
    if (!p.body || vt_tinker_send(t, &p, &t->opening, &t->why_no_session) != VT_OK)
        vt_remote_wake(&t->waiting);
}

static void lose_session(struct vt_tinker *t)
{
    const struct vt_tinker_post p = {.endpoint = "get_server_capabilities", .done = on_capabilities, .arg = t};

    t->session[0] = '\0';
    if (t->heartbeat)
        vt_loop_cancel(vt_net_loop(t->remote.net), t->heartbeat);
    t->heartbeat = 0;
    if (!t->opening && vt_tinker_send(t, &p, &t->opening, &t->why_no_session) != VT_OK)
        vt_remote_wake(&t->waiting);
}

bool vt_tinker_need_session(struct vt_tinker *t, struct vt_remote_wait *w)
{
    if (t->session[0])
        return true;
    vt_remote_wait_on(&t->waiting, w);
    if (!t->opening)
        lose_session(t);
    return false;
}

void vt_tinker_check_session(struct vt_tinker *t, struct vt_remote_wait *w)
{
    vt_remote_wait_on(&t->waiting, w);
    if (t->beating || t->opening)
        return;
    if (t->heartbeat)
        vt_loop_cancel(vt_net_loop(t->remote.net), t->heartbeat);
    beat(t);
}

/* --- opening and ending, from outside the thread --- */

/* Waits for one answer; *out is its JSON, NULL where it has none. status: HTTP's. */
static vt_status ask(struct vt_tinker *t, const char *endpoint, char *body, size_t len, double patience_s, int stop_fd,
                     vt_json **out, int *http_status, vt_err *err)
{
    const char *headers[4] = {"Accept: application/json"};
    struct vt_buf url, key, what;
    struct vt_net_answer a = {0};
    vt_status status;

    *out = NULL;
    vt_buf_init(&url, 1 << 14);
    vt_buf_init(&key, 1 << 16);
    vt_buf_init(&what, 1 << 12);
    vt_buf_printf(&url, "%s%s", t->base, endpoint);
    vt_buf_printf(&key, "X-API-Key: %s", t->credential ? t->credential : "");
    vt_buf_printf(&what, "opening %.200s (%s)", t->policy->spec, endpoint);
    headers[1] = body ? "Content-Type: application/json" : t->credential ? key.p : NULL;
    headers[2] = body && t->credential ? key.p : NULL;
    status = vt_net_ask(t->remote.net,
                        &(struct vt_http_request){.method = body ? "POST" : "GET",
                                                  .url = url.p,
                                                  .headers = headers,
                                                  .body = body,
                                                  .len = len,
                                                  .what = what.p,
                                                  .attempt_s = patience_s < 60 ? patience_s : 60,
                                                  .patience_s = patience_s,
                                                  .is_credential = strcmp(endpoint, "auth/token") == 0},
                        stop_fd, &a, err);
    *http_status = a.status;
    if (status == VT_OK && a.len > 0)
        status = vt_json_parse(a.body, a.len, "the service's answer", out, err);
    if (key.len > 0)
        explicit_bzero(key.p, key.len);
    free(a.body);
    vt_buf_free(&url);
    vt_buf_free(&key);
    vt_buf_free(&what);
    return status;
}

static const char client_body[] = "{\"sdk_version\":\"" SDK_VERSION "\"}";

/* What the service says of its clients, *out freed by the caller; nothing where it has no such call. */
static vt_status ask_client(struct vt_tinker *t, const char *path, int stop_fd, vt_json **out, vt_err *err)
{
    int http_status = 0;
    char *copy = vt_strdup(client_body);

    *out = NULL;
    if (!copy)
        return vt_fail(err, VT_ENOMEM, "out of memory for a request");
    vt_status status = ask(t, path, copy, strlen(copy), opening_patience_s, stop_fd, out, &http_status, err);
    return http_status == 404 ? VT_OK : status;
}

static vt_status read_config(struct vt_tinker *t, int stop_fd, vt_err *err)
{
    vt_json *j;

    VT_TRY(ask_client(t, "client/config", stop_fd, &j, err));
    t->chunk_len = (size_t)vt_json_int(vt_json_get(j, "fwdbwd_max_chunk_len"), 1024);
    t->chunk_bytes = (size_t)vt_json_int(vt_json_get(j, "fwdbwd_max_chunk_bytes_count"), 5000000);
    t->uses_token = vt_json_bool(vt_json_get(j, "pjwt_auth_enabled"), false);
    vt_json_free(j);
    return VT_OK;
}

static vt_status read_cancelling(struct vt_tinker *t, int stop_fd, vt_err *err)
{
    vt_json *j;

    VT_TRY(ask_client(t, "client/dynamic_config", stop_fd, &j, err));
    t->can_cancel = vt_json_bool(vt_json_get(j, "sample_cancel_enabled"), false);
    vt_json_free(j);
    return VT_OK;
}

static vt_status first_token(struct vt_tinker *t, int stop_fd, vt_err *err)
{
    char *body = vt_strdup("{}");
    int http_status;
    vt_json *j = NULL;
    vt_status status = body ? ask(t, "auth/token", body, 2, opening_patience_s, stop_fd, &j, &http_status, err)
                            : vt_fail(err, VT_ENOMEM, "out of memory for a request");

    if (status == VT_OK)
        status = take_token(t, j, err);
    vt_json_free(j);
    return status;
}

static void say_message(const struct vt_tinker *t, const vt_json *j, const char *key)
{
    const char *text = vt_json_str(vt_json_get(j, key), NULL);

    if (text)
        vt_remote_say(t->policy, "%s: %s", t->model, text);
}

struct starting {
    struct vt_post post;
    struct vt_tinker *t;
};

static void start_beating(void *arg)
{
    struct starting *s = arg;

    beat_later(s->t);
    free(s);
}

vt_status vt_tinker_open_session(vt_policy *p, int stop_fd, vt_err *err)
{
    struct vt_tinker *t = vt_tinker_of(p);
    struct starting *starting = vt_alloc(sizeof *starting);
    size_t len = 0;
    char *body = session_body(&len);
    int http_status;
    vt_json *j = NULL;
    vt_status status = body && starting ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a session");

    if (status == VT_OK)
        status = read_config(t, stop_fd, err);
    if (status == VT_OK && t->uses_token)
        status = first_token(t, stop_fd, err);
    if (status == VT_OK)
        status = read_cancelling(t, stop_fd, err);
    if (status == VT_OK)
        status = ask(t, "get_server_capabilities", NULL, 0, opening_patience_s, stop_fd, &j, &http_status, err);
    if (status == VT_OK)
        status = find_in(t, j, &t->n_ctx, err);
    vt_json_free(j);
    j = NULL;
    if (status == VT_OK) {
        status = ask(t, "create_session", body, len, opening_patience_s, stop_fd, &j, &http_status, err);
        body = NULL;
    }
    if (status == VT_OK) {
        say_message(t, j, "info_message");
        say_message(t, j, "warning_message");
        say_message(t, j, "error_message");
        status = take_session(t, j, err);
    }
    vt_json_free(j);
    free(body);
    if (status != VT_OK) {
        free(starting);
        return status;
    }
    *starting = (struct starting){.post = {.fn = start_beating, .arg = starting}, .t = t};
    vt_net_post(t->remote.net, &starting->post);
    return VT_OK;
}

/* A service that cannot be reached ends sessions by itself, later. */
bool vt_tinker_end_session(struct vt_tinker *t, double within_s)
{
    bool is_ended = true;
    struct vt_buf endpoint, body;
    int http_status;
    vt_json *j;
    char *text;
    size_t len = 0;
    vt_err err;

    if (!t->session[0])
        return true;
    vt_buf_init(&endpoint, 1 << 10);
    vt_buf_init(&body, 1 << 10);
    vt_buf_printf(&endpoint, "sessions/%s/finish", t->session);
    vt_buf_printf(&body, "{\"reason\":{\"type\":\"%s\"}}", t->was_interrupted ? "interrupted" : "success");
    text = vt_buf_take(&body, &len);
    if (text && endpoint.status == VT_OK) {
        is_ended = ask(t, endpoint.p, text, len, within_s, -1, &j, &http_status, &err) == VT_OK || http_status == 404;
        vt_json_free(j);
    } else {
        free(text);
    }
    vt_buf_free(&endpoint);
    vt_buf_free(&body);
    return is_ended;
}
