/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h: Python in answers, and what a model is shown of a problem file.
 */
#ifndef VT_EVAL_TORCH_TEXT_H
#define VT_EVAL_TORCH_TEXT_H

#include "base/buf.h"
#include "eval/extract.h"
#include <vegttt/task.h>

/* The problem file, or with a body the class ModelNew that it makes. */
vt_status vt_torch_prompt(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* The last block that defines ModelNew (is_whole), else the last block, else text without fences. */
vt_status vt_torch_extract(const char *text, size_t len, bool is_answer, struct vt_code *out, vt_err *err) VT_MUST_USE;
/* The body of Model.forward, lent; false: there is none. */
bool vt_torch_forward(const char *problem, const char **body, size_t *len);
/* Equal but for white space and comments. */
bool vt_torch_is_same(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
