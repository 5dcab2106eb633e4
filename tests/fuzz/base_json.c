/* SPDX-License-Identifier: Apache-2.0
 *
 * base_json.c: any bytes as JSON. What is accepted is written canonically, and that text is a fixed point: read and
 * written again it is the same.
 */
#include "base/json.h"
#include "fuzz.h"
#include <string.h>

static bool write_sorted(const char *text, size_t n, struct vt_buf *out)
{
    vt_json *j = NULL;
    vt_err err = {0};
    vt_buf_init(out, 1 << 24);
    vt_status status = vt_json_parse(text, n, "the input", &j, &err);
    must_explain(status, &err);
    if (status == VT_OK && vt_json_write(j, true, out, &err) != VT_OK)
        abort();
    vt_json_free(j);
    return status == VT_OK;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct vt_buf once, twice;
    char *exact = malloc(size ? size : 1); /* no byte behind it */
    if (!exact)
        abort();
    memcpy(exact, data, size);
    if (write_sorted(exact, size, &once)) {
        if (!write_sorted(once.p, once.len, &twice) || once.len != twice.len || memcmp(once.p, twice.p, once.len) != 0)
            abort();
        vt_buf_free(&twice);
    }
    vt_buf_free(&once);
    free(exact);
    return 0;
}
