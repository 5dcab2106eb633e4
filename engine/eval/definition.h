/* SPDX-License-Identifier: Apache-2.0
 *
 * definition.h: the function definitions of a C text that can be seen without a preprocessor.
 */
#ifndef VT_EVAL_DEFINITION_H
#define VT_EVAL_DEFINITION_H

#include "eval/blocks.h"
#include "eval/ctext.h"

struct vt_definition {
    const char *name, *end; /* the function's name; behind its closing brace, or the end of a text that cuts it */
    size_t name_len;
    bool is_complete;
};
/* Where a walk stands between brackets; each branch of an #if begins where the first one did. */
struct vt_definition_place {
    int braces, parens;
    bool is_head, is_inside, has_parameters;
};
/* A walk over the definitions outside any braces. */
struct vt_definitions {
    struct vt_clexer l;
    struct vt_ctoken last, before, third, fourth; /* the tokens before */
    struct vt_span text;
    struct vt_definition_place at, branch[VT_MAX_BRANCHES];
    int n_branches, n_linkages;
    struct vt_definition d;
};
void vt_definitions_of(struct vt_span s, struct vt_definitions *w);
/* The next definition of `name` (NULL: of any function), complete, or cut by the end of the text. */
bool vt_definition_next(struct vt_definitions *w, const char *name, struct vt_definition *out);
/* The last complete definition of the function outside any braces, else the last one that is cut. */
bool vt_definition_find(struct vt_span s, const char *name, struct vt_definition *out);

struct vt_clexer vt_clexer_of(struct vt_span s);
/* Can `t` begin a declaration of parameters behind a head's parentheses? */
bool vt_begins_parameters(const struct vt_ctoken *t);
/* A word that a name behind it is no function of C by: a statement's, or the one that another language begins a
 * function with. */
bool vt_begins_no_head(const struct vt_ctoken *t);
/* A word that something in parentheses follows and that is no function's name: __attribute__. */
bool vt_ctoken_is_attribute(const struct vt_ctoken *t);

#endif
