/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c: the id before the record, without reading either again.
 */
#include "farm/answer.h"
#include "base/json.h"
#include <string.h>

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
