/* SPDX-License-Identifier: Apache-2.0
 *
 * extract.h: from a model's answer to candidate code.
 */
#ifndef VT_EVAL_EXTRACT_H
#define VT_EVAL_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <vegttt/err.h>

enum { VT_CODE_MAX = 64 * 1024 };

struct vt_code {
    char *text; /* malloc'd; NUL-terminated */
    size_t len;
    bool is_whole;  /* defines the function itself; else text is its body */
    int first_line; /* line of the given text on which `text` starts, from 1 */
    char why[160];  /* when text is NULL: why the answer holds no code */
};
/* `name` is the function's. With is_answer the code is looked for inside fences; an answer without any fence is taken
 * as the continuation of a prompt that opened one. ENOMEM is the only failure. */
vt_status vt_extract(const char *answer, size_t len, const char *name, bool is_answer, struct vt_code *out,
                     vt_err *err) VT_MUST_USE;
void vt_code_free(struct vt_code *c);

#endif
