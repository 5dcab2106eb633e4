/* SPDX-License-Identifier: Apache-2.0
 *
 * prose.h: code between sentences, where no fence tells them apart.
 */
#ifndef VT_EVAL_PROSE_H
#define VT_EVAL_PROSE_H

#include "eval/blocks.h"

bool vt_is_blank_line(const char *p, const char *end);
/* The lines of code that end with the definition of the function whose name stands at `name`: its helpers, directives
 * and comments, up to the prose before them. */
const char *vt_code_start(struct vt_span s, const char *name);
/* Without the sentences and tags before a body. */
struct vt_span vt_without_prose(struct vt_span s);
/* Do the sentences before a block say that it corrects what came before, and not that it is another version for another
 * purpose? */
bool vt_announces_correction(struct vt_span prose);
/* The last stretch of lines of code that may define `name` as only a compiler sees it (kind.h); NULL where there is
 * none, or where it does not end. */
struct vt_span vt_doubtful_code(struct vt_span s, const char *name);
/* `text`, a stretch of `all`, with the rest of every #if whose branches it cuts. */
struct vt_span vt_with_branches(struct vt_span all, struct vt_span text);

#endif
