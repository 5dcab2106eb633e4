/* SPDX-License-Identifier: Apache-2.0
 *
 * items.h: a C text as what stands at file scope, one item after the other: directives, declarations, functions, and
 * whatever else somebody wrote there.
 */
#ifndef VT_EVAL_ITEMS_H
#define VT_EVAL_ITEMS_H

#include "eval/blocks.h"
#include "eval/ctext.h"

enum { VT_MAX_ITEM_NAMES = 32 };

/* What an item holds; a group of #if branches may hold several things, another item holds one. */
enum vt_item_part {
    VT_ITEM_MACRO = 1,         /* #define */
    VT_ITEM_DIRECTIVE = 2,     /* another directive */
    VT_ITEM_FUNCTION = 4,      /* braces behind a head */
    VT_ITEM_DECLARATION = 8,   /* begins with a word that only a declaration begins with */
    VT_ITEM_VARIABLE = 16,     /* a declaration of a kind that a function's body could hold as well */
    VT_ITEM_STATEMENT = 32,    /* cannot stand at file scope */
    VT_ITEM_INVOCATION = 64,   /* NAME or NAME(…) with nothing else: a call, or a macro that is anything */
    VT_ITEM_UNCLEAR = 128,     /* something else: sentences, declarations with a type of somebody's own */
    VT_ITEM_CUT = 256,         /* the text ends before the item does */
    VT_ITEM_CONDITIONAL = 512, /* a group of #if branches */
};
struct vt_item {
    struct vt_span text;  /* from the end of the item before it, comments between them included */
    unsigned parts;       /* of enum vt_item_part */
    struct vt_span first; /* its first word or sign */
    struct vt_span head;  /* the last name that parentheses follow as they follow a function's; NULL = none */
    struct vt_span name[VT_MAX_ITEM_NAMES]; /* what it declares: the first ones; of a function its head */
    size_t n_names;
};
struct vt_items {
    struct vt_clexer l;
    struct vt_span text;
    const char *from;
};
void vt_items_of(struct vt_span s, struct vt_items *w);
bool vt_items_next(struct vt_items *w, struct vt_item *out);

#endif
