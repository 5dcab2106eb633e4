/* SPDX-License-Identifier: Apache-2.0
 *
 * reading.h: was a text what it was compiled as, a body or a whole function?
 */
#ifndef VT_EVAL_C_READING_H
#define VT_EVAL_C_READING_H

#include "eval/c/parts.h"

/* Of a build of this code: sets is_no_reading, and takes away an object that nobody should call. */
void vt_reading_judge(const struct vt_code *code, struct vt_build *b);
/* The other way to compile a doubtful text, after the one that was guessed failed: does it say more? */
bool vt_reading_is_better(const struct vt_candidate *other, const struct vt_candidate *guessed);
/* Why a text is neither. */
void vt_reading_explain(bool was_whole, const char *name, char *out, size_t n);

#endif
