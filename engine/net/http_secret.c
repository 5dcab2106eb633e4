/* SPDX-License-Identifier: Apache-2.0
 *
 * http_secret.c: what must not be told: keys and tokens, which stand in requests and which servers like to repeat, as
 * they are or as JSON, URLs and HTML write them.
 *
 * Answers are masked once, whole, as they come in (vt_http_hide), before anybody reads, cuts or prints a byte of them,
 * so nothing that is made of an answer can hold a secret. What takes a secret's place is as long as what stood there: a
 * message in protobuf keeps its lengths, and JSON stays JSON. The first eight characters of a secret count as it, since
 * servers shorten keys, and connections break in the middle of one. A shorter word is no secret: people give such as a
 * key to servers that want none, and masking it would change what samples say.
 */
#include "base/alloc.h"
#include "net/http_parts.h"
#include <stdlib.h>
#include <string.h>

enum { LEAST = 8 };

vt_status vt_http_add_secret(vt_http *h, const char *secret, const char *shown_as, vt_err *err)
{
    struct vt_secret *s = vt_alloc(sizeof *s);

    if (s)
        s->text = vt_strdup(secret);
    if (!s || !s->text) {
        free(s);
        return vt_fail(err, VT_ENOMEM, "out of memory for a key");
    }
    s->shown_as = shown_as;
    s->next = h->secrets;
    h->secrets = s;
    return VT_OK;
}

/* --- what a server may have made of a character --- */

/* Digits of a number of that base from at: its value in *out. NULL: there are not as many. */
static const char *read_digits(const char *at, const char *end, int base, int least, int most, int *out)
{
    int n = 0;

    *out = 0;
    for (; n < most && at < end; n++, at++) {
        const int c = *at | 32, digit = *at >= '0' && *at <= '9'             ? *at - '0'
                                        : base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                                             : -1;

        if (digit < 0)
            break;
        *out = *out * base + digit;
    }
    return n < least ? NULL : at;
}

/* Behind \uXXXX, %XX (%25XX when it was quoted twice), &#NN; or &#xXX;. NULL: none stands at p. */
static const char *read_escape(const char *p, const char *end, int *out)
{
    if (*p == 'u' || *p == 'U')
        return read_digits(p + 1, end, 16, 4, 4, out);
    if (*p == '%') {
        for (p++; end - p > 4 && p[0] == '2' && p[1] == '5';)
            p += 2;
        return read_digits(p, end, 16, 2, 2, out);
    }
    if (*p == '&' && end - p > 3 && p[1] == '#') {
        const int base = (p[2] | 32) == 'x' ? 16 : 10;

        p = read_digits(p + (base == 16 ? 3 : 2), end, base, 1, 7, out);
        return p && p < end && *p == ';' ? p + 1 : NULL;
    }
    return NULL;
}

/* Behind the character want at p, however it is written; NULL: another one stands there. */
static const char *read_character(const char *p, const char *end, char want)
{
    const char *behind;
    int value;

    while (p < end && *p == '\\')
        p++;
    if (p == end)
        return NULL;
    behind = read_escape(p, end, &value);
    if (behind && value == (unsigned char)want)
        return behind;
    return *p == want ? p + 1 : NULL;
}

/* Behind the secret, or the beginning of it, that stands at p; p when there is none. */
static const char *read_secret(const char *p, const char *end, const char *secret)
{
    const char *at = p;
    int n = 0;

    for (; *secret; secret++) {
        const char *behind = *secret == '\\' ? at : read_character(at, end, *secret);

        if (!behind)
            break;
        at = behind;
        n++;
    }
    return n >= LEAST ? at : p;
}

/* --- masking --- */

static void hide_one(const struct vt_secret *s, char *text, size_t n)
{
    const char *const end = text + n;
    const size_t shown = strlen(s->shown_as);

    for (char *p = text; p < end; p++) {
        if (*p != s->text[0] && *p != '\\' && *p != '%' && *p != '&')
            continue;
        const size_t len = (size_t)(read_secret(p, end, s->text) - p);

        if (len == 0)
            continue;
        memset(p, '*', len);
        memcpy(p, s->shown_as, shown < len ? shown : len);
        p += len - 1;
    }
}

void vt_http_mask(const vt_http *h, char *text, size_t n)
{
    for (const struct vt_secret *s = h->secrets; s; s = s->next)
        hide_one(s, text, n);
}

void vt_http_hide(vt_http_call *c, bool is_credential)
{
    if (!is_credential)
        vt_http_mask(c->http, c->body.p, c->body.len);
    vt_http_mask(c->http, c->head.p, c->head.len);
    vt_http_mask(c->http, c->net_error, strlen(c->net_error));
}

void vt_http_forget_secrets(vt_http *h)
{
    while (h->secrets) {
        struct vt_secret *s = h->secrets;

        h->secrets = s->next;
        explicit_bzero(s->text, strlen(s->text));
        free(s->text);
        free(s);
    }
}
