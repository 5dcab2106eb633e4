/* SPDX-License-Identifier: Apache-2.0
 *
 * unit.c: a user's function is judged in the user's file. The file is not taken apart: what stands before and after the
 * function stays as it is, macros, types, tables, helpers above and below, callers, and the candidate takes the place
 * of the function's text, so that what is compiled and timed is, but for one function behind it, the file that will be
 * written. That last function, the entry, is text of the task: it has the arguments that every task's function has and
 * calls the user's with those that it wants. Line directives keep compiler messages about the candidate in its own
 * lines.
 *
 * For the truth the same text is C++ in which float means something else, so the headers of the system, which would not
 * survive that, are left out; some stand before it, and what the others declare of mathematics the truth's prelude has.
 * What then does not compile is outside the common subset (spread.c).
 *
 * Circle: assemble puts a task's unit together here, and a body is put here as assemble puts one anywhere.
 */
#include "eval/c/unit.h"
#include "eval/c/assemble.h"
#include <ctype.h>
#include <string.h>

void vt_unit_put(const vt_task *t, const char *text, bool is_whole, struct vt_buf *out)
{
    const struct vt_task_unit *u = vt_task_unit(t);
    size_t n = strlen(u->before);
    vt_buf_printf(out, "%s%s", u->before, n > 0 && u->before[n - 1] != '\n' ? "\n" : "");
    if (is_whole)
        vt_buf_printf(out, "%s%s#line 1 \"" VT_KERNEL_FILE "\"\n%s\n", u->declaration, u->declaration[0] ? "\n" : "",
                      text);
    else
        vt_put_body(out, u->head, text);
    vt_buf_printf(out, "#line 1 \"rest.c\"\n%s\n#line 1 \"" VT_UNIT_FILE "\"\n%s\n", u->after, u->entry);
}

const char vt_unit_text_headers[] = "#define abs vt_c_abs\n#include <ctype.h>\n#include <limits.h>\n"
                                    "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n"
                                    "#include <stdlib.h>\n#include <string.h>\n#undef abs\n"
                                    "#define assert(x) ((void)0)\n";

static bool is_include(const char *p)
{
    while (isblank((unsigned char)*p))
        p++;
    if (*p++ != '#')
        return false;
    while (isblank((unsigned char)*p))
        p++;
    return strncmp(p, "include", 7) == 0;
}

static void put_without_includes(const char *text, struct vt_buf *out)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (!is_include(text))
            vt_buf_add(out, text, n);
        vt_buf_putc(out, '\n');
        text += n + (text[n] == '\n');
    }
}

void vt_unit_put_text_truth(const vt_task *t, struct vt_buf *out)
{
    const struct vt_task_unit *u = vt_task_unit(t);
    vt_buf_puts(out, "#define _Bool bool\n");
    put_without_includes(u->before, out);
    vt_buf_printf(out, "%s\n{\n", u->head);
    put_without_includes(vt_task_body(t), out);
    vt_buf_puts(out, "}\n");
    put_without_includes(u->after, out);
    vt_buf_puts(out, u->entry);
}

bool vt_unit_flag_is_of_language(const char *flag, bool is_c)
{
    return strncmp(flag, "-D", 2) == 0 || strncmp(flag, "-U", 2) == 0 || (is_c && strncmp(flag, "-std=", 5) == 0);
}
