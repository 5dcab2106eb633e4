/* SPDX-License-Identifier: Apache-2.0
 *
 * definition.h: the function definitions of a C text.
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
/* A walk over the definitions outside any braces. */
struct vt_definitions {
    struct vt_clexer l;
    struct vt_ctoken last, before; /* the two tokens before */
    struct vt_span text;
    int braces, parens, n_linkages;
    struct vt_definition d;
    bool is_head, is_inside, has_parameters;
};
void vt_definitions_of(struct vt_span s, struct vt_definitions *w);
/* The next definition of `name` (NULL: of any function), complete, or cut by the end of the text. */
bool vt_definition_next(struct vt_definitions *w, const char *name, struct vt_definition *out);
/* The last complete definition of the function outside any braces, else the last one that is cut. */
bool vt_definition_find(struct vt_span s, const char *name, struct vt_definition *out);

struct vt_clexer vt_clexer_of(struct vt_span s);

#endif
