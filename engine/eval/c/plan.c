/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: placing arrays in pages.
 *
 * Right alignment catches reads and writes past the end at the very next cache line, the margin of NaN before the
 * start catches underruns; both ends are followed by GAP bytes of unmapped addresses, more than a row of any task at
 * its cpu size, so that a wrong row stride faults too.
 */
#include "eval/c/plan.h"
#include "base/alloc.h"
#include <string.h>

enum { GAP = 4 << 20, LINE = 64 };

static bool round_up(size_t n, size_t to, size_t *out)
{
    if (!vt_add_size(n, to - 1, out))
        return false;
    *out -= *out % to;
    return true;
}

vt_status vt_plan_add(struct vt_plan *p, size_t bytes, bool is_in, bool is_out, vt_err *err)
{
    size_t lines, pages;
    if (p->layout.n_arrays == VT_WIRE_MAX_ARRAYS || !round_up(bytes ? bytes : 1, LINE, &lines) ||
        !round_up(lines, VT_WIRE_PAGE, &pages) || pages > (size_t)1 << 36)
        return vt_fail(err, VT_ELIMIT, "an array of %zu bytes is too large to evaluate", bytes);
    struct vt_wire_array *a = &p->array[p->layout.n_arrays++];
    a->bytes = bytes;
    a->len = pages;
    a->data = pages - lines;
    a->is_in = is_in;
    a->is_out = is_out;
    a->va = p->va_bytes + GAP;
    p->va_bytes = a->va + a->len;
    if (a->is_in) {
        a->in_at = p->in_bytes;
        p->in_bytes += a->len;
    }
    if (a->is_out) {
        a->out_at = p->out_bytes;
        p->out_bytes += a->len;
    }
    return VT_OK;
}

void vt_plan_close(struct vt_plan *p)
{
    p->va_bytes += GAP;
}

vt_status vt_plan_make(const vt_task *t, const char *scale, struct vt_plan *out, vt_err *err)
{
    vt_err why;
    memset(out, 0, sizeof *out);
    VT_TRY(vt_task_layout(t, scale, &out->layout, err));
    out->layout.n_arrays = 0;
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        const struct vt_task_array *a = vt_task_array(t, i);
        if (vt_plan_add(out, out->layout.array[i].bytes, vt_role_is_input(a->role), vt_role_is_output(a->role), &why) !=
            VT_OK)
            return vt_fail(err, VT_ELIMIT, "task %s, array %s: %s", vt_task_name(t), a->name, why.msg);
    }
    vt_plan_close(out);
    for (size_t i = 0; i < vt_task_n_scalars(t); i++) {
        const struct vt_task_scalar *s = vt_task_scalar(t, i);
        if (s->is_int) {
            out->ints[out->n_ints++] = (int64_t)s->value;
        } else {
            if (out->n_floats == VT_WIRE_MAX_FLOATS)
                return vt_fail(err, VT_EUNSUPPORTED, "task %s: more than %d float scalars", vt_task_name(t),
                               VT_WIRE_MAX_FLOATS);
            out->floats[out->n_floats++] = (float)s->value;
        }
    }
    for (size_t i = 0; i < out->layout.n_sizes; i++)
        out->ints[out->n_ints++] = out->layout.size[i];
    return VT_OK;
}
