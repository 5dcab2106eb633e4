/* SPDX-License-Identifier: Apache-2.0
 *
 * kind.h: is a C text a body or a file that defines the function? Where its words cannot tell, the compiler must.
 */
#ifndef VT_EVAL_KIND_H
#define VT_EVAL_KIND_H

#include "eval/blocks.h"

struct vt_text_kind {
    bool is_whole;    /* defines the function itself; else it is its body */
    bool is_doubtful; /* only a compiler knows: is_whole is the better guess */
};
/* `name` is the function's; NULL: any function definition counts, and there is no doubt. */
struct vt_text_kind vt_text_kind(struct vt_span s, const char *name);
/* A text that would compile at file scope, as far as its words tell, and defines functions, none of them `name`: the
 * last one's name. NULL where there is none, or where the text may define `name` after all. */
struct vt_span vt_other_function(struct vt_span s, const char *name);
/* Does a text that does not define the function call it? */
bool vt_calls(struct vt_span s, const char *name);
/* Does it do nothing, whatever it is put into: declarations and directives alone? */
bool vt_only_declares(struct vt_span s);
bool vt_defines_macro(struct vt_span s, struct vt_span word);

#endif
