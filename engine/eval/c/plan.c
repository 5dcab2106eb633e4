/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c: placing arrays in pages.
 *
 * An array that ends with its last page makes a read or write of one element too many a fault; one that begins with its
 * first page does so before its start; a start that is a multiple of the element's size and of nothing else is what a
 * caller may give, and aligned loads fault there. No place shows everything, so sets alternate. Both ends are followed
 * by unmapped addresses, more than a row of any task at its cpu size, so that a wrong row stride faults too.
 */
#include "eval/c/plan.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

enum { GAP = 4 << 20, SMALL_GAP = 256 << 10, LINE = 64 };

static bool round_up(size_t n, size_t to, size_t *out)
{
    if (!vt_add_size(n, to - 1, out))
        return false;
    *out -= *out % to;
    return true;
}

struct place {
    enum vt_plan_lie lie;
    size_t align, gap;
    uint64_t key;
};

/* Pages, and the array's start in them. */
static bool find_place(size_t bytes, const struct place *w, size_t *pages, size_t *data)
{
    size_t room = w->lie == VT_LIE_ANYWHERE ? VT_WIRE_PAGE : 0, needed = bytes ? bytes : 1;
    if (w->lie == VT_LIE_LINES && !round_up(needed, LINE, &needed))
        return false;
    if (!vt_add_size(needed, room, &room) || !round_up(room, VT_WIRE_PAGE, pages) || *pages > (size_t)1 << 36)
        return false;
    size_t last = *pages - needed - (*pages - needed) % w->align;
    *data = w->lie == VT_LIE_START      ? 0
            : w->lie == VT_LIE_ANYWHERE ? (size_t)(w->key % (last / w->align + 1)) * w->align
                                        : last;
    return true;
}

static vt_status add_array(struct vt_plan *p, size_t bytes, bool is_in, bool is_out, const struct place *w, vt_err *err)
{
    size_t pages, data;
    if (p->layout.n_arrays == VT_WIRE_MAX_ARRAYS || !find_place(bytes, w, &pages, &data))
        return vt_fail(err, VT_ELIMIT, "an array of %zu bytes is too large to evaluate", bytes);
    struct vt_wire_array *a = &p->array[p->layout.n_arrays++];
    a->bytes = bytes;
    a->len = pages;
    a->data = data;
    a->is_in = is_in;
    a->is_out = is_out;
    a->va = p->va_bytes + w->gap;
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

vt_status vt_plan_add(struct vt_plan *p, size_t bytes, bool is_in, bool is_out, vt_err *err)
{
    const struct place lines = {VT_LIE_LINES, 1, GAP, 0};
    return add_array(p, bytes, is_in, is_out, &lines, err);
}

void vt_plan_close(struct vt_plan *p)
{
    p->va_bytes += GAP;
}

vt_status vt_plan_make(const vt_task *t, const char *scale, enum vt_plan_lie lie, bool is_small, uint64_t key,
                       struct vt_plan *out, vt_err *err)
{
    vt_err why;
    memset(out, 0, sizeof *out);
    VT_TRY(vt_task_layout(t, scale, &out->layout, err));
    out->layout.n_arrays = 0;
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        const struct vt_task_array *a = vt_task_array(t, i);
        const struct place w = {lie, vt_task_align(t, i), is_small ? SMALL_GAP : GAP, vt_seed_mix(key, i)};
        if (add_array(out, out->layout.array[i].bytes, vt_role_is_input(a->role), vt_role_is_output(a->role), &w,
                      &why) != VT_OK)
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

bool vt_plan_takes_scalars(const vt_task *t)
{
    return !vt_task_unit(t) && vt_task_n_scalars(t) > 0 &&
           vt_task_n_sizes(t) + vt_task_n_scalars(t) <= VT_TASK_MAX_SIZES;
}

void vt_plan_vary_scalars(const vt_task *t, uint64_t key, struct vt_plan *p)
{
    const double least = 1.25, most = 3;
    if (!vt_plan_takes_scalars(t))
        return;
    for (uint32_t i = 0; i < p->n_floats; i++) {
        uint64_t bits = vt_seed_mix(vt_seed_mix(key, 0x5ca1a), i);
        double factor = least * pow(most / least, (double)(bits >> 11) * 0x1p-53);
        p->floats[i] = (float)((double)p->floats[i] * (bits & 1 ? factor : 1 / factor));
    }
}
