/* SPDX-License-Identifier: Apache-2.0
 *
 * net_secret.c: any text that a server may send, with a secret put into it in one of the forms that are undone: what is
 * left after masking holds it in none of them, is as long as it was, and what was no secret is as it was.
 */
#include "fuzz.h"
#include "net/http.h"
#include <stdbool.h>
#include <string.h>

static const char secret[] = "sk-aB9/z_secret";

static void must(bool is)
{
    if (!is)
        abort();
}

static size_t put(char *out, int form)
{
    size_t n = 0;

    for (const char *c = secret; *c; c++) {
        const char *const formats[] = {"%c", "\\%c", "\\u%04x", "%%%02X", "%%25%02x", "&#%d;", "&#x%x;", "\\\\u%04X"};
        char text[16];

        /* Letters behind a backslash mean other characters: only what may stand there. */
        n += (size_t)snprintf(text, sizeof text, formats[form == 1 && *c != '/' ? 0 : form], *c);
        memcpy(out + n - strlen(text), text, strlen(text) + 1);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static vt_loop *loop;
    static vt_http *http;
    const struct vt_http_opts o = {0};
    vt_err err = {0};

    if (!http) {
        must(vt_loop_new(&loop, &err) == VT_OK && vt_http_new(loop, &o, &http, &err) == VT_OK);
        must(vt_http_add_secret(http, secret, "(key)", &err) == VT_OK);
    }
    if (size < 2)
        return 0;
    const size_t n = size - 2, at = n ? data[0] % (n + 1) : 0;
    char form[160], *text = malloc(n + sizeof form), *before = malloc(n + 1);
    const size_t k = put(form, data[1] % 8);

    must(text && before);
    memcpy(text, data + 2, at);
    memcpy(text + at, form, k);
    memcpy(text + at + k, data + 2 + at, n - at);
    vt_http_mask(http, text, n + k);
    must(!memmem(text, n + k, form, k) && !memmem(text, n + k, secret, sizeof secret - 1));
    for (size_t i = 0; i + 8 <= n + k; i++) /* nor its beginning, of eight characters */
        must(memcmp(text + i, secret, 8) != 0);
    memcpy(before, data + 2, n); /* a text without the beginning of one in any form is left alone */
    if (!memchr(before, 's', n) && !memchr(before, '\\', n) && !memchr(before, '%', n) && !memchr(before, '&', n)) {
        vt_http_mask(http, before, n);
        must(memcmp(before, data + 2, n) == 0);
    }
    free(text);
    free(before);
    return 0;
}
