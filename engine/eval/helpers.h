/* SPDX-License-Identifier: Apache-2.0
 *
 * helpers.h: what the block that defines the function needs of an answer's other blocks.
 */
#ifndef VT_EVAL_HELPERS_H
#define VT_EVAL_HELPERS_H

#include "eval/blocks.h"
#include <vegttt/err.h>

/* A text put together from stretches of an answer; an empty line stands between two of them. */
struct vt_pieces {
    struct vt_span *piece; /* malloc'd */
    size_t n;
};
/* `code`, and right before the first of its items that needs it what it uses of other blocks of `part` and does not
 * declare itself; before a body (not is_whole) all of it. What a later block corrects of it takes its place. `name` is
 * the function's; NULL: any function's. ENOMEM is the only failure. */
vt_status vt_helpers_find(struct vt_span part, struct vt_span code, bool is_whole, const char *name,
                          struct vt_pieces *out, vt_err *err) VT_MUST_USE;
bool vt_has_other_blocks(struct vt_span part, struct vt_span code); /* else the code is all there is */
void vt_pieces_free(struct vt_pieces *p);
/* Text up to `end`, which something else follows: without the blanks of its last line, and without the line end before
 * them. */
struct vt_span vt_span_cut(struct vt_span s, const char *end);

#endif
