/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_extract.c: any bytes as a model's answer, and as a file of code. The first byte says which; the rest is read
 * from memory that ends with it. The code stands where it is said to stand, and taking code out of code changes
 * nothing.
 */
#include "eval/extract.h"
#include "fuzz.h"
#include <string.h>

static void check(const struct vt_code *c, const char *answer, size_t size)
{
    if (!c->text) {
        if (c->why[0] == '\0')
            abort();
        return;
    }
    if (c->from > c->to || c->to > size || c->text[c->len] != '\0' || vt_body_length(c->text, c->len) > c->len)
        abort();
    int line = 1;
    bool is_cr = !memchr(answer, '\n', size);
    for (size_t i = 0; i < c->from; i++)
        line += answer[i] == (is_cr ? '\r' : '\n');
    if (c->first_line != line)
        abort();
    if (memchr(answer, '&', size)) /* an entity is one character of the text */
        return;
    size_t n = 0, at = c->from;
    for (; n < c->len; n++) {
        if (n >= 2 && c->text[n - 1] == '\n' && c->text[n - 2] == '\n')
            at = c->from; /* another block, which may stand before */
        if (strchr(" \n\r", c->text[n]))
            continue; /* blanks stand for what was left out */
        while (at < c->to && answer[at] != c->text[n])
            at++;
        if (at++ == c->to)
            abort();
    }
}

/* A text with backticks may be an answer again. */
static void check_again(const struct vt_code *c)
{
    struct vt_code again;
    vt_err err;
    if (!c->text || c->why[0] || strchr(c->text, '`'))
        return;
    if (vt_extract(c->text, c->len, "relu", false, &again, &err) != VT_OK || again.len != c->len ||
        memcmp(again.text, c->text, c->len) != 0 || again.is_whole != c->is_whole)
        abort();
    vt_code_free(&again);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size == 0)
        return 0;
    bool is_answer = data[0] & 1;
    size_t n = size - 1;
    char *exact = malloc(n ? n : 1);
    if (!exact)
        abort();
    memcpy(exact, data + 1, n);
    struct vt_code c = {0}, again = {0};
    vt_err err = {0};
    if (vt_extract(exact, n, "relu", is_answer, &c, &err) != VT_OK ||
        vt_extract(exact, n, "relu", is_answer, &again, &err) != VT_OK)
        abort(); /* want of memory is the only failure */
    check(&c, exact, n);
    check_again(&c);
    if (!c.text != !again.text || (c.text && (c.len != again.len || memcmp(c.text, again.text, c.len) != 0)))
        abort();
    vt_code_free(&c);
    vt_code_free(&again);
    free(exact);
    return 0;
}
