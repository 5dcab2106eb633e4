/* SPDX-License-Identifier: Apache-2.0
 *
 * declared.h: what a C text declares at file scope: functions, macros, types, constants.
 */
#ifndef VT_EVAL_DECLARED_H
#define VT_EVAL_DECLARED_H

#include "eval/blocks.h"

enum { VT_MAX_DECLARED = 128 };

struct vt_declared_name {
    struct vt_span name;
    bool is_function; /* defined here, with its body */
};
struct vt_declared {
    struct vt_declared_name name[VT_MAX_DECLARED]; /* the first ones, in the text's order */
    size_t n;
    struct vt_span function; /* the last function; NULL: none is defined */
    bool is_pure;            /* nothing else stands there: no statement, no prose */
    bool has_variables;      /* of a kind that a function's body could declare as well */
};
void vt_declared_of(struct vt_span s, struct vt_declared *out);
bool vt_declared_has(const struct vt_declared *d, struct vt_span name);

#endif
