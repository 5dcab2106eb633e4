/* SPDX-License-Identifier: Apache-2.0
 *
 * http_answer.c: reading what an attempt brought, and saying in one sentence what went wrong with a call. The sentence
 * names what was attempted, where, what the server said, and what to do. Secrets were masked in the answer before.
 */
#include "base/alloc.h"
#include "base/json.h"
#include "net/http_parts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MAX_REASON = 300, MAX_PARSED_REASON = 64 << 10 };

/* --- headers --- */

/* The value of a header, NULL = none; name in lower case. Header lines end in CRLF; the value of the last one of that
 * name counts. The line's end is replaced by NUL, which is where the next search goes on. */
const char *vt_http_header(const struct vt_http_answer *a, const char *name)
{
    const size_t n = strlen(name);
    const char *found = NULL;
    char *at = a->call->head.p, *end = at + a->call->head.len;

    while (at < end) {
        char *stop = at;

        while (stop < end && *stop != '\n' && *stop != '\0')
            stop++;
        if ((size_t)(stop - at) > n && at[n] == ':' && strncasecmp(at, name, n) == 0) {
            char *tail = stop;

            at += n + 1;
            while (*at == ' ' || *at == '\t')
                at++;
            while (tail > at && (tail[-1] == '\r' || tail[-1] == ' '))
                *--tail = '\0';
            *stop = '\0';
            found = at;
        }
        at = stop + 1;
    }
    return found;
}

/* Seconds, or < 0 when the text is none. An HTTP date is turned into the time left. */
static double parse_wait(const char *text, double unit)
{
    char *end;
    double v;

    if (!text)
        return -1;
    v = strtod(text, &end);
    if (end != text && *end == '\0')
        return isfinite(v) && v >= 0 ? fmin(v * unit, 1e9) : -1;
    if (unit == 1) {
        const time_t at = curl_getdate(text, NULL);
        const double left = at < 0 ? -1 : difftime(at, time(NULL));

        return at < 0 ? -1 : left > 0 ? left : 0;
    }
    return -1;
}

static bool is_hopeless(CURLcode code)
{
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_WRITE_ERROR: /* the answer passed its limit */
        return true;
    default:
        return false;
    }
}

void vt_http_read_answer(vt_http_call *c, struct vt_http_answer *out)
{
    const char *type, *again;
    long status = 0, sent = 0, n_connects = 0;

    if (c->easy) {
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent);
        curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &n_connects);
    }
    *out = (struct vt_http_answer){.status = c->code == CURLE_OK ? (int)status : 0,
                                   .attempt = c->attempt,
                                   .body = c->body.p,
                                   .len = c->body.len,
                                   .is_new_connection = n_connects > 0,
                                   .was_sent = sent > 0,
                                   .is_hopeless = is_hopeless(c->code),
                                   .call = c};
    type = vt_http_header(out, "content-type");
    out->content_type = type ? type : "";
    out->retry_after_s = parse_wait(vt_http_header(out, "retry-after-ms"), 1e-3);
    if (out->retry_after_s < 0)
        out->retry_after_s = parse_wait(vt_http_header(out, "retry-after"), 1);
    again = vt_http_header(out, "x-should-retry");
    out->should_retry = !again ? -1 : strcasecmp(again, "true") == 0 ? 1 : strcasecmp(again, "false") == 0 ? 0 : -1;
}

/* --- what a server says --- */

/* The sentence in an error body: a string, or the first message below it. */
static const char *message_of(const vt_json *j, int depth)
{
    static const char *const keys[] = {"error", "detail", "message", "msg"};

    if (!j || depth > 4)
        return NULL;
    if (vt_json_is_string(j))
        return vt_json_str(j, NULL);
    if (vt_json_is_array(j))
        return message_of(vt_json_first(j), depth + 1);
    for (size_t i = 0; vt_json_is_object(j) && i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = message_of(vt_json_get(j, keys[i]), depth + 1);

        if (text)
            return text;
    }
    return NULL;
}

/* One line: white space and control characters become single spaces. */
static void copy_line(const char *text, size_t n, char *out, size_t size)
{
    size_t to = 0;

    for (size_t i = 0; i < n && to + 1 < size; i++) {
        const unsigned char ch = (unsigned char)text[i];

        if (ch > ' ' && ch != 0x7f)
            out[to++] = (char)ch;
        else if (to > 0 && out[to - 1] != ' ')
            out[to++] = ' ';
    }
    while (to > 0 && out[to - 1] == ' ')
        to--;
    out[to] = '\0';
}

/* The first 300 bytes or so of what a server says for a failure: its own sentence where it gives one as JSON
 * ({"error":{"message"}}, {"error"}, {"detail"}, {"message"}). */
static void read_reason(const struct vt_http_answer *a, char *out, size_t size)
{
    vt_json *j = NULL;
    const char *text = NULL;
    const size_t most = size < MAX_REASON ? size : MAX_REASON;

    if (a->len > 0 && a->len < MAX_PARSED_REASON &&
        vt_json_parse(a->body, a->len, "a server's answer", &j, NULL) == VT_OK)
        text = message_of(j, 0);
    copy_line(text ? text : a->body, text ? strlen(text) : a->len, out, most);
    vt_json_free(j);
}

/* --- the sentence --- */

static const char *status_word(int status)
{
    switch (status) {
    case 400:
        return "a bad request";
    case 401:
        return "not authorised";
    case 402:
        return "payment required";
    case 403:
        return "forbidden";
    case 404:
        return "not found";
    case 408:
        return "it took too long";
    case 409:
        return "a conflict";
    case 413:
        return "the request is too large";
    case 422:
        return "a request that it cannot use";
    case 429:
        return "too many requests";
    default:
        return status >= 500 ? "a failure of the server" : status / 100 == 3 ? "another address" : "a refusal";
    }
}

static vt_status explain_silence(const vt_http_call *c, vt_err *err)
{
    const char *why = c->net_error[0] ? c->net_error : curl_easy_strerror(c->code);
    char tries[48] = "";

    if (c->attempt > 1)
        snprintf(tries, sizeof tries, ", %d times in %.0f s", c->attempt, c->attempt_began_s - c->began_s);
    switch (c->code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return vt_fail(err, VT_ENET, "%s: the host of %.200s was not found (%.160s%s): check the address", c->what,
                       c->shown, why, tries);
    case CURLE_COULDNT_CONNECT:
        return vt_fail(err, VT_ENET, "%s: nobody answers at %.200s (%.160s%s): is the server running?", c->what,
                       c->shown, why, tries);
    case CURLE_OPERATION_TIMEDOUT:
        return vt_fail(err, VT_ETIMEOUT, "%s: no answer from %.200s in time (%.160s%s)", c->what, c->shown, why, tries);
    case CURLE_WRITE_ERROR:
        return vt_fail(err, VT_ELIMIT, "%s: the answer of %.200s is larger than %zu bytes", c->what, c->shown,
                       c->body.max);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return vt_fail(err, VT_ENET,
                       "%s: the certificate of %.200s is not trusted (%.160s): name the authority's file in "
                       "SSL_CERT_FILE",
                       c->what, c->shown, why);
    case CURLE_OUT_OF_MEMORY:
        return vt_fail(err, VT_ENOMEM, "%s: out of memory for a transfer", c->what);
    default:
        return vt_fail(err, VT_ENET, "%s: the connection to %.200s failed (%.160s%s)", c->what, c->shown, why, tries);
    }
}

static vt_status status_of(int status)
{
    if (status == 404)
        return VT_ENOENT;
    if (status == 402)
        return VT_EBUDGET;
    return status == 400 || status == 413 || status == 422 ? VT_EINVAL : VT_ENET;
}

vt_status vt_http_explain(const vt_http_call *c, const struct vt_http_answer *a, vt_err *err)
{
    char reason[MAX_REASON], tries[32] = "", advice[96] = "";

    if (a->status == 0)
        return explain_silence(c, err);
    read_reason(a, reason, sizeof reason);
    if (a->attempt > 1)
        snprintf(tries, sizeof tries, " after %d attempts", a->attempt);
    if ((a->status == 401 || a->status == 403) && c->http->key_env)
        snprintf(advice, sizeof advice, "; set %.40s to a key that it takes", c->http->key_env);
    else if (a->retry_after_s >= 1)
        snprintf(advice, sizeof advice, "; it asks for a pause of %.0f s", a->retry_after_s);
    return vt_fail(err, status_of(a->status), "%s: the server said %d, %s%s%s%s%s", c->what, a->status,
                   status_word(a->status), tries, reason[0] ? ": " : "", reason, advice);
}
