/* SPDX-License-Identifier: Apache-2.0
 *
 * copycheck.h: is a candidate the shown baseline over again? (DECISIONS.md section 4)
 */
#ifndef VT_EVAL_COPYCHECK_H
#define VT_EVAL_COPYCHECK_H

#include "eval/extract.h"
#include <vegttt/task.h>

/* True when the token streams agree once comments and white space are dropped and names are replaced by the order in
 * which they first appear. Which name stands where still counts: an interchange of two loops is no copy. */
bool vt_is_copy_text(const vt_task *t, const struct vt_code *code);

#endif
