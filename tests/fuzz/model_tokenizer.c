/* SPDX-License-Identifier: Apache-2.0
 *
 * model_tokenizer.c: two parsers in one program. Input that begins with '{' is a tokenizer.json, which then encodes
 * itself. Other input is text for the tokenizer named by VEGTTT_FUZZ_TOKENIZER (a tokenizer.json whose vocabulary has
 * all 256 bytes and that does not normalise): decoding what it encodes must give the text back.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "model/tokenizer.h"

#include <string.h>

static const vt_tokenizer *fixed_tokenizer(void)
{
    static vt_tokenizer *t;
    const char *path = getenv("VEGTTT_FUZZ_TOKENIZER");
    vt_err err;
    if (!t && path && vt_tokenizer_from_json(path, &t, &err) != VT_OK)
        abort();
    return t;
}

static void encode(const vt_tokenizer *t, const char *text, size_t n, bool exact)
{
    for (int special = 0; special < 2; special++) {
        struct vt_ids ids = {0};
        struct vt_buf out;
        vt_err err = {0};
        vt_buf_init(&out, 1 << 24);
        vt_status status = vt_tokenizer_encode(t, text, n, special, &ids, &err);
        must_explain(status, &err);
        if (status == VT_OK && vt_tokenizer_decode(t, ids.p, ids.n, &out, &err) != VT_OK)
            abort();
        if (exact && (status != VT_OK || out.len != n || memcmp(out.p, text, n) != 0))
            abort();
        for (size_t i = 0; i < ids.n && !special; i++)
            if (vt_tokenizer_is_control(t, ids.p[i]))
                abort();
        vt_ids_free(&ids);
        vt_buf_free(&out);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size > 0 && data[0] == '{') {
        char path[64];
        int fd;
        vt_tokenizer *t = NULL;
        vt_err err = {0};
        memory_file(data, size, path, &fd);
        vt_status status = vt_tokenizer_from_json(path, &t, &err);
        must_explain(status, &err);
        if (status == VT_OK)
            encode(t, (const char *)data, size < 4096 ? size : 4096, false);
        vt_tokenizer_free(t);
        close(fd);
    } else if (fixed_tokenizer()) {
        encode(fixed_tokenizer(), (const char *)data, size, true);
    }
    return 0;
}
