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
    bool is_mark;      /* the # that begins one */
};
struct vt_clexer {
    const char *at, *end;
    int line;
    bool is_line_start, in_directive;
};
void vt_clexer_init(struct vt_clexer *l, const char *text, size_t len);
struct vt_ctoken vt_clexer_next(struct vt_clexer *l);
bool vt_ctoken_is_spelt(const struct vt_ctoken *t, const char *text); /* vt_ctoken_is, whatever the first byte */
/* Is the token `text`, which may stand there as a digraph or with line continuations in it? Nearly always the first
 * bytes differ, and answers are asked millions of times. */
static inline bool vt_ctoken_is(const struct vt_ctoken *t, const char *text)
{
    bool may_be = t->len == 0 || *t->p == *text || (t->kind == VT_CTOKEN_PUNCT && t->len == 2);
    return may_be && vt_ctoken_is_spelt(t, text);
}
bool vt_ctoken_is_one_of(const struct vt_ctoken *t, const char *const *words); /* NULL-terminated */
bool vt_ctoken_is_keyword(const struct vt_ctoken *t); /* a word of C that no kernel could rename */

/* What the directive that the token `t`, just read, begins does to the text: it opens a branch, begins another branch
 * of the same #if, or ends the last one. */
enum vt_branch { VT_BRANCH_NONE, VT_BRANCH_IF, VT_BRANCH_ELSE, VT_BRANCH_END };
enum vt_branch vt_clexer_branch(const struct vt_clexer *l, const struct vt_ctoken *t);
/* Depths of brackets through the branches of #if: each branch begins as deep as the first one did. */
enum { VT_MAX_BRANCHES = 32 };
struct vt_branches {
    int depth[VT_MAX_BRANCHES], n;
};
void vt_branches_take(struct vt_branches *b, enum vt_branch branch, int *depth);

#endif
