/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_extract.c: any bytes as a model's answer, and as a file of code. The first byte says which; the rest is read
 * from memory that ends with it.
 */
#include "eval/extract.h"
#include "fuzz.h"
#include <string.h>

static void check(const struct vt_code *c, size_t size)
{
    if (!c->text && c->why[0] == '\0')
        abort();
    if (c->text && (c->len > size || c->text[c->len] != '\0' || c->first_line < 1))
        abort();
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
    check(&c, n);
    if (!c.text != !again.text || (c.text && (c.len != again.len || memcmp(c.text, again.text, c.len) != 0)))
        abort();
    vt_code_free(&c);
    vt_code_free(&again);
    free(exact);
    return 0;
}
