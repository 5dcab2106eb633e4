/* SPDX-License-Identifier: Apache-2.0
 *
 * plain.h: a model's answer as plain text with Markdown fences, whatever it was wrapped in.
 */
#ifndef VT_EVAL_PLAIN_H
#define VT_EVAL_PLAIN_H

#include "eval/blocks.h"
#include <vegttt/err.h>

struct vt_plain {
    struct vt_span text; /* the answer's own bytes, or `own` */
    char *own;           /* NULL: nothing had to be changed */
    size_t *at;          /* where each byte of `own` stands in the answer */
    struct vt_span answer;
};
vt_status vt_plain_make(struct vt_span answer, struct vt_plain *out, vt_err *err) VT_MUST_USE;
void vt_plain_free(struct vt_plain *p);
/* Where a stretch of the text begins and ends in the answer. */
size_t vt_plain_from(const struct vt_plain *p, const char *in_text);
size_t vt_plain_to(const struct vt_plain *p, const char *in_text);
/* The line of the answer, from 1, on which that byte of it stands. */
int vt_plain_line(const struct vt_plain *p, size_t at);

#endif
