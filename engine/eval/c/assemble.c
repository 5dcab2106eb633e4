/* SPDX-License-Identifier: Apache-2.0
 *
 * assemble.c: prelude + helpers + candidate. A body ends before a brace that would close the function around it. Line
 * directives make the compiler count the candidate's own lines from 1, whatever stands before them, so that a
 * diagnostic points into the text its author sees.
 */
#include "eval/c/assemble.h"
#include "eval/c/prototype.h"
#include "eval/c/unit.h"
#include <ctype.h>
#include <string.h>

enum { MAX_UNIT = 2 * 1024 * 1024 };

#define HEADERS(X) X("float.h") X("limits.h") X("math.h") X("stddef.h") X("stdint.h") X("stdlib.h") X("string.h")
#define INCLUDE(name) "#include <" name ">\n"
#define NAME(name) name,
const char vt_unit_prelude[] = HEADERS(INCLUDE);
const char *const vt_unit_headers[] = {HEADERS(NAME) NULL};

static void put_alone(const vt_task *t, const char *text, bool is_whole, struct vt_buf *out)
{
    const char *helpers = vt_task_helpers(t);
    vt_buf_puts(out, vt_unit_prelude);
    if (helpers[0])
        vt_buf_printf(out, "#line 1 \"helpers.c\"\n%s\n", helpers);
    if (is_whole) {
        vt_buf_printf(out, "#line 1 \"" VT_KERNEL_FILE "\"\n%s\n", text);
        vt_prototype_put(t, out);
        return;
    }
    vt_buf_printf(out, "#line 1 \"signature.c\"\n%s\n{\n#line 1 \"" VT_KERNEL_FILE "\"\n%.*s\n}\n",
                  vt_task_signature(t), (int)vt_body_length(text, strlen(text)), text);
}

static vt_status assemble(const vt_task *t, const char *text, bool is_whole, struct vt_buf *out, vt_err *err)
{
    vt_buf_init(out, MAX_UNIT);
    if (vt_task_unit(t))
        vt_unit_put(t, text, is_whole, out);
    else
        put_alone(t, text, is_whole, out);
    vt_status s = vt_buf_check(out, "the translation unit", err);
    if (s != VT_OK)
        vt_buf_free(out);
    return s;
}

vt_status vt_assemble(const vt_task *t, const struct vt_code *code, struct vt_buf *out, vt_err *err)
{
    return assemble(t, code->text, code->is_whole, out, err);
}

vt_status vt_assemble_body(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err)
{
    return assemble(t, body, false, out, err);
}

/* Without the empty lines before and the white space after. */
static void put_trimmed(struct vt_buf *out, const char *text)
{
    while (*text == '\n')
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    vt_buf_add(out, text, n);
}

vt_status vt_assemble_shown(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err)
{
    const char *helpers = vt_task_helpers(t);
    if (helpers[0]) {
        put_trimmed(out, helpers);
        vt_buf_putc(out, '\n');
    }
    vt_buf_printf(out, "%s {\n", vt_task_signature(t));
    put_trimmed(out, body ? body : vt_task_body(t));
    vt_buf_puts(out, "\n}");
    return vt_buf_check(out, "the text of a task", err);
}
