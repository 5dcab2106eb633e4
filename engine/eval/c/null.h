/* SPDX-License-Identifier: Apache-2.0
 *
 * null.h: null candidates, the mutation test of the checker: what it must refuse.
 */
#ifndef VT_EVAL_C_NULL_H
#define VT_EVAL_C_NULL_H

#include "eval/check.h"

/* One body of C that cheats in one named way ("zeros", "copy_x", "half_inputs", "three_quarters", …); made from the
 * task's data, never by hand. `layout` gives the sizes of scratch arrays. */
struct vt_null {
    char name[48];
    char *body;
};
vt_status vt_null_list(const vt_task *t, const vt_layout *layout, struct vt_null **out, size_t *n,
                       vt_err *err) VT_MUST_USE;
/* The same of a user's unit (null_unit.c), which vt_null_list calls. */
vt_status vt_null_unit_list(const vt_task *t, const vt_layout *layout, struct vt_null **out, size_t *n,
                            vt_err *err) VT_MUST_USE;
void vt_null_free(struct vt_null *list, size_t n);

#endif
