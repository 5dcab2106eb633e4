/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c: the id before the record, without reading either again.
 */
#include "farm/answer.h"
#include "eval/eval.h"
#include <string.h>

enum { MAX_RECORD = 8 << 20 };

void vt_farm_answer_verdict(const char *id, const char *record, struct vt_buf *out)
{
    vt_buf_printf(out, "{\"id\":%s", id ? id : "null");
    if (record[0] == '{' && record[1] != '}')
        vt_buf_putc(out, ',');
    vt_buf_puts(out, record + (record[0] == '{'));
    vt_buf_putc(out, '\n');
}

void vt_farm_answer_error(const char *id, size_t line, const vt_err *why, struct vt_buf *out)
{
    vt_buf_printf(out, "{\"id\":%s,\"error\":", id ? id : "null");
    vt_json_write_string(out, why->msg, strlen(why->msg));
    vt_buf_printf(out, ",\"code\":\"%s\",\"line\":%zu}\n", vt_status_name(why->code), line);
}

/* What an answer's code says; a word that is none is the fault of whoever wrote it. */
static vt_status status_of(const char *code)
{
    static const vt_status all[] = {VT_EINVAL, VT_EFORMAT, VT_ELIMIT,   VT_EUNSUPPORTED, VT_ENOENT,
                                    VT_ENOMEM, VT_EIO,     VT_ETIMEOUT, VT_EJAIL};
    for (size_t i = 0; code && i < sizeof all / sizeof all[0]; i++)
        if (strcmp(code, vt_status_name(all[i])) == 0)
            return all[i];
    return VT_EFORMAT;
}

vt_status vt_farm_answer_read(const char *text, size_t len, struct vt_farm_answer *out, vt_err *err)
{
    *out = (struct vt_farm_answer){0};
    vt_buf_init(&out->record, MAX_RECORD);
    VT_TRY(vt_json_parse(text, len, "an answer", &out->root, err));
    if (!vt_json_get(out->root, "status"))
        return vt_fail(err, status_of(vt_json_str(vt_json_get(out->root, "code"), NULL)), "%s",
                       vt_json_str(vt_json_get(out->root, "error"), "an answer without a verdict"));
    VT_TRY(vt_record_verdict(out->root, &out->verdict, err));
    VT_TRY(vt_json_write(out->root, false, &out->record, err));
    out->key = vt_json_str(vt_json_get(out->root, "key"), "");
    out->verdict.json = out->record.p;
    out->verdict.feedback = vt_json_str(vt_json_get(out->root, "feedback"), "");
    return VT_OK;
}

void vt_farm_answer_free(struct vt_farm_answer *a)
{
    vt_buf_free(&a->record);
    vt_json_free(a->root);
    *a = (struct vt_farm_answer){0};
}
