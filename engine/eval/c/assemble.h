/* SPDX-License-Identifier: Apache-2.0
 *
 * assemble.h: the translation unit that is compiled for a candidate.
 */
#ifndef VT_EVAL_C_ASSEMBLE_H
#define VT_EVAL_C_ASSEMBLE_H

#include "base/buf.h"
#include "eval/extract.h"
#include <vegttt/task.h>

/* Name under which the compiler reports the candidate's own lines. */
#define VT_KERNEL_FILE "kernel.c"
/* And those that stand behind a whole text. */
#define VT_ENTRY_FILE "entry.c"
/* What asks for the prototype, and what calls a function in its user's file: assertions there are ours. */
#define VT_PROTOTYPE_FILE "prototype.c"
#define VT_UNIT_FILE "unit.c"

/* What every unit begins with, and the same headers by name, NULL-terminated. */
extern const char vt_unit_prelude[];
extern const char *const vt_unit_headers[];

/* Prelude (standard headers), the task's helpers, then the candidate: as it is when whole, else what may be put there
 * of it (vt_body_length) between the task's signature and a closing brace. `out` is initialised here. */
vt_status vt_assemble(const vt_task *t, const struct vt_code *code, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* The baseline (or the tuned reference) assembled the same way. */
vt_status vt_assemble_body(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* A body in the function with this head; what of it belongs before the function (vt_body_head) goes there. */
void vt_put_body(struct vt_buf *out, const char *signature, const char *text);

/* What a model is shown: helpers and the function, with another body when one is given. Appends to `out`. */
vt_status vt_assemble_shown(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
