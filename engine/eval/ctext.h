/* SPDX-License-Identifier: Apache-2.0
 *
 * ctext.h: just enough of a C lexer to find the end of a function in a model's answer and to tell copies: comments,
 * strings, numbers, identifiers, punctuators. It never fails; unknown bytes are one-byte punctuators. No security
 * rests on it.
 */
#ifndef VT_EVAL_CTEXT_H
#define VT_EVAL_CTEXT_H

#include <stdbool.h>
#include <stddef.h>

enum vt_ctoken_kind { VT_CTOKEN_END, VT_CTOKEN_NAME, VT_CTOKEN_NUMBER, VT_CTOKEN_STRING, VT_CTOKEN_PUNCT };
struct vt_ctoken {
    enum vt_ctoken_kind kind;
    const char *p;
    size_t len;
    int line;          /* from 1 */
    bool in_directive; /* part of a preprocessor line */
};
struct vt_clexer {
    const char *at, *end;
    int line;
    bool is_line_start, in_directive;
};
void vt_clexer_init(struct vt_clexer *l, const char *text, size_t len);
struct vt_ctoken vt_clexer_next(struct vt_clexer *l);
bool vt_ctoken_is(const struct vt_ctoken *t, const char *text);
bool vt_ctoken_is_keyword(const struct vt_ctoken *t); /* a word of C that no kernel could rename */

#endif
