/* SPDX-License-Identifier: Apache-2.0
 *
 * http_secret.c: what must not be told: keys and tokens, which stand in requests and which servers like to repeat.
 * Whatever text leaves the client for an error or a trace is masked here.
 */
#include "base/alloc.h"
#include "net/http_parts.h"
#include <stdlib.h>
#include <string.h>

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

void vt_http_mask(const vt_http *h, char *text)
{
    for (const struct vt_secret *s = h->secrets; s; s = s->next) {
        const size_t n = strlen(s->text), shown = strlen(s->shown_as) < n ? strlen(s->shown_as) : n;

        for (char *at = n > 0 ? strstr(text, s->text) : NULL; at; at = strstr(at, s->text)) {
            memcpy(at, s->shown_as, shown);
            memmove(at + shown, at + n, strlen(at + n) + 1);
            at += shown;
        }
    }
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
