/* SPDX-License-Identifier: Apache-2.0
 *
 * unit.h: a user's translation unit as text to compile (task.h, `unit`).
 */
#ifndef VT_EVAL_C_UNIT_H
#define VT_EVAL_C_UNIT_H

#include "base/buf.h"
#include "eval/check.h"
#include "eval/extract.h"

/* The function behind the user's file that takes the arrays and sizes of the task and calls the user's function. */
#define VT_UNIT_ENTRY "vt_entry"

/* The file with the candidate in the function's place, and the entry behind it. */
void vt_unit_put(const vt_task *t, const char *text, bool is_whole, struct vt_buf *out);
/* Headers that the file may need and that survive what is done to its types, before all else. */
extern const char vt_unit_text_headers[];
/* The file as C++ for the truth's value-and-error type. */
void vt_unit_put_text_truth(const vt_task *t, struct vt_buf *out);
/* Does the option change what the text means (-D, -U, -fwrapv and its like and, of C, -std), so that the truth needs
 * it, too? Not the C of 1989, in which the truth's own text would not compile; what compiles as that means the same
 * later. */
bool vt_unit_flag_is_of_language(const char *flag, bool is_c);

#endif
