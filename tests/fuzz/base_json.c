/* SPDX-License-Identifier: Apache-2.0
 *
 * base_json.c: any bytes as JSON. What is accepted is written canonically, and that text is a fixed point: read and
 * written again it is the same. With VEGTTT_FUZZ_VERDICTS every input and what became of it go into that file, a line
 * of hexadecimal digits each, for run.py to hold against Python's reader.
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

static void put_hex(FILE *f, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%02x", p[i]);
}

static void tell(const char *text, size_t n, const struct vt_buf *written)
{
    const char *path = getenv("VEGTTT_FUZZ_VERDICTS");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f)
        return;
    put_hex(f, text, n);
    fputs(written ? " " : " refused", f);
    if (written)
        put_hex(f, written->p, written->len);
    fputs("\n", f);
    fclose(f);
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
        tell(exact, size, &once);
    } else {
        tell(exact, size, NULL);
    }
    vt_buf_free(&once);
    free(exact);
    return 0;
}
