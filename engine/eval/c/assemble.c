/* SPDX-License-Identifier: Apache-2.0
 *
 * assemble.c: prelude + helpers + candidate. A body ends before a brace that would close the function around it. Line
 * directives make the compiler count the candidate's own lines from 1, whatever stands before them, so that a
 * diagnostic points into the text its author sees.
 *
 * Behind a whole text stands what makes the function's symbol one that can be called, however it was declared: inline,
 * static, by a macro. A text that does not declare it is an error on those lines and on no other (diagnostics.c), so
 * that the compiler, no parser of ours, says whether the function is there.
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

static void put_entry(struct vt_buf *out, const char *name)
{
    vt_buf_printf(out, "#line 1 \"" VT_ENTRY_FILE "\"\n#undef %s\nextern __typeof__(%s) %s;\n", name, name, name);
    /* clang takes no attribute behind a definition. */
    vt_buf_printf(out,
                  "#ifdef __clang__\nstatic __typeof__(%s) *const vt_entry __attribute__((used)) = %s;\n#else\n"
                  "extern __typeof__(%s) %s __attribute__((used));\n#endif\n__asm__(\".globl %s\");\n",
                  name, name, name, name, name);
}

void vt_put_body(struct vt_buf *out, const char *signature, const char *text)
{
    size_t n = vt_body_length(text, strlen(text)), head = vt_body_head(text, n);
    int line = 1;
    for (size_t i = 0; i < head; i++)
        line += text[i] == '\n';
    if (head > 0)
        vt_buf_printf(out, "#line 1 \"" VT_KERNEL_FILE "\"\n%.*s\n", (int)head, text);
    vt_buf_printf(out, "#line 1 \"signature.c\"\n%s\n{\n#line %d \"" VT_KERNEL_FILE "\"\n%.*s\n}\n", signature, line,
                  (int)(n - head), text + head);
}

/* Of a doubtful text that is compiled as a body, functions that nothing calls show that it is none (reading.c). */
static void put_body(struct vt_buf *out, const vt_task *t, const char *text, bool is_doubtful)
{
    if (is_doubtful)
        vt_buf_puts(out, "#pragma GCC diagnostic warning \"-Wunused-function\"\n");
    vt_put_body(out, vt_task_signature(t), text);
}

static void put_alone(const vt_task *t, const struct vt_code *code, struct vt_buf *out)
{
    const char *helpers = vt_task_helpers(t);
    vt_buf_puts(out, vt_unit_prelude);
    if (helpers[0])
        vt_buf_printf(out, "#line 1 \"helpers.c\"\n%s\n", helpers);
    if (!code->is_whole) {
        put_body(out, t, code->text, code->is_doubtful);
        return;
    }
    vt_buf_printf(out, "#line 1 \"" VT_KERNEL_FILE "\"\n%s\n", code->text);
    put_entry(out, vt_task_name(t));
    vt_prototype_put(t, out);
}

vt_status vt_assemble(const vt_task *t, const struct vt_code *code, struct vt_buf *out, vt_err *err)
{
    vt_buf_init(out, MAX_UNIT);
    if (vt_task_unit(t))
        vt_unit_put(t, code->text, code->is_whole, out);
    else
        put_alone(t, code, out);
    vt_status s = vt_buf_check(out, "the translation unit", err);
    if (s != VT_OK)
        vt_buf_free(out);
    return s;
}

vt_status vt_assemble_body(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err)
{
    const struct vt_code code = {.text = (char *)(uintptr_t)body};
    return vt_assemble(t, &code, out, err);
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
