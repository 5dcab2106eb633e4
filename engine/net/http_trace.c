/* SPDX-License-Identifier: Apache-2.0
 *
 * http_trace.c: every attempt as a line of JSON in a file of the user's (--trace-http), for the day when a server does
 * not do what it says. Credentials never reach it: of the headers that carry them only the name is written, an answer
 * that is one is left out, and every secret that the client knows is masked wherever else it stands. Bodies are cut at
 * 64 KiB; one that is not UTF-8 is given by its length.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_text.h"
#include "net/http_parts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_BODY ((size_t)64 << 10)

vt_status vt_http_trace_open(vt_http *h, const char *path, vt_err *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    h->trace = fd >= 0 ? fdopen(fd, "a") : NULL;
    if (h->trace)
        return VT_OK;
    if (fd >= 0)
        close(fd);
    return vt_fail(err, VT_EIO, "cannot write the HTTP trace to %s: %s", path, strerror(errno));
}

static bool is_text(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t step = vt_utf8_sequence((const unsigned char *)p + i, n - i);

        if (step == 0 || p[i] == '\0')
            return n - i < 4 && n == MAX_BODY; /* cut inside a character */
        i += step;
    }
    return true;
}

static void put_body(const vt_http_call *c, vt_json *line, const char *key, const char *body, size_t n)
{
    const size_t kept = n < MAX_BODY ? n : MAX_BODY;
    char name[48], *text;

    if (n == 0)
        return;
    snprintf(name, sizeof name, "%s_bytes", key);
    vt_json_put_int(line, name, (int64_t)n);
    text = body && is_text(body, kept) ? vt_strndup(body, kept) : NULL;
    if (!text)
        return;
    vt_http_mask(c->http, text, kept);
    vt_json_put(line, key, vt_json_new_str(text, strlen(text)));
    free(text);
}

/* "Name: value" of a header, the value gone where it is a credential. */
static void put_header(const vt_http_call *c, vt_json *headers, const char *line, size_t n)
{
    static const char *const credentials[] = {"authorization", "x-api-key", "cookie", "set-cookie",
                                              "proxy-authorization"};
    const char *colon = memchr(line, ':', n);
    char *name = colon ? vt_strndup(line, (size_t)(colon - line)) : NULL, *value;
    bool is_secret = false;

    if (!name)
        return;
    do
        colon++;
    while (colon < line + n && *colon == ' ');
    value = vt_strndup(colon, (size_t)(line + n - colon));
    for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++)
        is_secret = is_secret || strcasecmp(name, credentials[i]) == 0;
    if (value) {
        vt_http_mask(c->http, value, strlen(value));
        vt_json_put_str(headers, name, is_secret ? "(secret)" : value);
    }
    free(name);
    free(value);
}

static vt_json *answer_headers(const vt_http_call *c)
{
    vt_json *headers = vt_json_object();
    const char *at = c->head.p, *end = c->head.p + c->head.len;

    while (at < end) {
        size_t n = 0;

        while (at + n < end && at[n] != '\r' && at[n] != '\n' && at[n] != '\0')
            n++;
        put_header(c, headers, at, n);
        at += n + 1;
    }
    return headers;
}

void vt_http_trace(const vt_http_call *c, const struct vt_http_answer *a)
{
    vt_json *line, *headers;
    struct vt_buf text;

    if (!c->http->trace)
        return;
    line = vt_json_object();
    headers = vt_json_object();
    vt_buf_init(&text, 1 << 20);
    for (const struct curl_slist *s = c->headers; s; s = s->next)
        put_header(c, headers, s->data, strlen(s->data));
    vt_json_put_num(line, "at_s", (double)vt_wall_ns() / 1e9);
    vt_json_put_num(line, "took_s", vt_now_s() - c->attempt_began_s);
    vt_json_put_int(line, "attempt", c->attempt);
    vt_json_put_str(line, "method", c->r.method);
    vt_json_put_str(line, "url", c->shown);
    vt_json_put(line, "headers", headers);
    put_body(c, line, "body", c->r.body, c->r.len);
    vt_json_put_int(line, "status", a->status);
    if (c->code != CURLE_OK)
        vt_json_put_str(line, "failure", c->net_error[0] ? c->net_error : curl_easy_strerror(c->code));
    vt_json_put(line, "answer_headers", answer_headers(c));
    if (c->r.is_credential && a->status / 100 == 2)
        vt_json_put_str(line, "answer", "(secret)");
    else
        put_body(c, line, "answer", a->body, a->len);
    if (vt_json_write(line, false, &text, NULL) == VT_OK) {
        fprintf(c->http->trace, "%s\n", text.p);
        fflush(c->http->trace);
    }
    vt_json_free(line);
    vt_buf_free(&text);
}
