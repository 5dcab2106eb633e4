/* SPDX-License-Identifier: Apache-2.0
 *
 * clash.h: names of a candidate's own that the standard headers have, too.
 */
#ifndef VT_EVAL_C_CLASH_H
#define VT_EVAL_C_CLASH_H

#include "base/buf.h"
#include "eval/c/diagnostics.h"

enum { VT_MAX_CLASHES = VT_MAX_DIAGNOSTICS, VT_CLASH_NAME = 64 };
struct vt_clashes {
    char name[VT_MAX_CLASHES][VT_CLASH_NAME];
    size_t n;
};
/* Which of the compiler's errors say that a name is declared otherwise, of names that stand in `headers`. */
void vt_clash_find(const struct vt_diagnostics *d, const char *headers, struct vt_clashes *out);
/* The same unit, in which those names are others from behind the headers on. False: it does not begin with them. */
bool vt_clash_rename(const struct vt_clashes *c, const struct vt_buf *unit, struct vt_buf *out);

#endif
