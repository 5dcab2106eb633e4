/* SPDX-License-Identifier: Apache-2.0
 *
 * switched.h: which code of a C text is switched off by an #if.
 */
#ifndef VT_EVAL_SWITCHED_H
#define VT_EVAL_SWITCHED_H

#include "eval/blocks.h"
#include "eval/ctext.h"

/* A walk over a text that is asked in the order of the text. */
struct vt_switches {
    struct vt_clexer l;
    struct vt_span text;
    bool is_off[VT_MAX_BRANCHES], is_taken[VT_MAX_BRANCHES]; /* this branch; one of the branches so far is on */
    int n, n_looked_up;
};
void vt_switches_of(struct vt_span s, struct vt_switches *w);
/* Does the code at `at` stand in a branch that no compiler of ours takes? In doubt it does not. */
bool vt_is_off(struct vt_switches *w, const char *at);

#endif
