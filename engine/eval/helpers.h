/* SPDX-License-Identifier: Apache-2.0
 *
 * helpers.h: blocks of an answer that come along with the one that defines the function.
 */
#ifndef VT_EVAL_HELPERS_H
#define VT_EVAL_HELPERS_H

#include "eval/blocks.h"

enum { VT_MAX_HELPERS = 8 };

struct vt_helpers {
    struct vt_span block[VT_MAX_HELPERS]; /* in the answer's order */
    size_t n;
};
/* The blocks of `part` that declare what `code` uses and does not declare itself. `name` is the function's: a block
 * that defines it is another answer, no helper; NULL: any function's. */
void vt_helpers_find(struct vt_span part, struct vt_span code, const char *name, struct vt_helpers *out);
/* Text up to `end`, which something else follows: without the blanks of its last line, and without the line end before
 * them. */
struct vt_span vt_span_cut(struct vt_span s, const char *end);

#endif
