/* SPDX-License-Identifier: Apache-2.0
 *
 * prototype.h: a whole function must be called as the task's is.
 */
#ifndef VT_EVAL_C_PROTOTYPE_H
#define VT_EVAL_C_PROTOTYPE_H

#include "base/buf.h"
#include "eval/check.h"

/* What the compiler says, before the signature, of one that takes something else. */
#define VT_PROTOTYPE_WORDS "the prototype must be: "
/* Text behind a candidate that compiles only where its function takes what the task's signature says. */
void vt_prototype_put(const vt_task *t, struct vt_buf *out);

#endif
