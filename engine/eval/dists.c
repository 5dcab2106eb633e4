/* SPDX-License-Identifier: Apache-2.0
 *
 * dists.c: the table of distributions, the keys, and the rule for a pool.
 *
 * The benchmark fills everything with U[0,1), on which many wrong answers look right (a ReLU that copies, a norm that
 * is a constant, a loss that reads a thousandth of its input). So each task lists, after the benchmark's own
 * distribution, signed and structured ones: rows of different scale, rows with an offset, tiny rows that expose a
 * dropped epsilon, constant rows, needles that expose skipped elements, ties, saturating values.
 */
#include "eval/dists.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/task_parts.h"
#include <stdio.h>
#include <string.h>

enum { N_TIMED = 4, N_TIMED_FULL = 6, N_SPICED = 2, N_HUGE = 2, N_FAR = 2, FAR_EACH = 2, FAR_EACH_FULL = 8 };

static const struct vt_dist dists[] = {
    {"uniform", VT_DIST_RAW, false, false},      {"normal", VT_DIST_RAW, true, false},
    {"signed", VT_DIST_SIGNED, false, false},    {"kaiming", VT_DIST_KAIMING, false, true},
    {"scaled", VT_DIST_SCALED, false, true},     {"positive", VT_DIST_POSITIVE, false, false},
    {"wide", VT_DIST_WIDE, true, false},         {"edges", VT_DIST_EDGES, true, false},
    {"rowscale", VT_DIST_ROWSCALE, true, false}, {"offset", VT_DIST_OFFSET, true, false},
    {"needle", VT_DIST_NEEDLE, true, false},     {"tiny", VT_DIST_TINY, true, false},
    {"constant", VT_DIST_CONSTANT, true, false}, {"flat", VT_DIST_CONSTANT, true, true},
    {"ties", VT_DIST_TIES, true, false},         {"nearone", VT_DIST_NEARONE, true, false},
    {"cancel", VT_DIST_CANCEL, true, false},     {"probs", VT_DIST_PROBS, false, false},
    {"peaked", VT_DIST_PEAKED, true, false},     {"logits", VT_DIST_LOGITS, true, false},
    {"pm1", VT_DIST_PM1, false, false},          {"ones", VT_DIST_ONES, false, false},
    {"close", VT_DIST_CLOSE, true, false},       {"shifted", VT_DIST_SHIFTED, true, false},
    {"even", VT_DIST_EVEN, false, false},        {"zeros", VT_DIST_ZEROS, false, true},
    {"single", VT_DIST_SINGLE, false, true},     {"value", VT_DIST_VALUE, false, true},
};
/* Integer arrays: labels are uniform below `max`; mask is 0 or 1 with rows all set, half set and sparse. Within the
 * range, else among all values of the type: span is uniform, ends are mostly its ends and the values beside 0, sparse
 * is one value with few others, small lies within 100 of 0. Of either type: zeros, on which a question has its other
 * answer (equal, sorted, none); single is zeros but for one element; value is the array's own `value`. */
static const struct vt_dist int_dists[] = {
    {"labels", VT_DIST_LABELS, false, false}, {"mask", VT_DIST_MASK, false, false},
    {"span", VT_DIST_SPAN, false, false},     {"ends", VT_DIST_ENDS, false, false},
    {"sparse", VT_DIST_SPARSE, false, false}, {"small", VT_DIST_SMALL, false, false},
    {"zeros", VT_DIST_ZEROS, false, true},    {"single", VT_DIST_SINGLE, false, true},
    {"value", VT_DIST_VALUE, false, true}};

const struct vt_dist *vt_dist_find(const char *name, enum vt_dtype dtype)
{
    const struct vt_dist *from = vt_dtype_is_float(dtype) ? dists : int_dists;
    size_t n = vt_dtype_is_float(dtype) ? sizeof dists / sizeof dists[0] : sizeof int_dists / sizeof int_dists[0];
    for (size_t i = 0; i < n; i++)
        if (strcmp(from[i].name, name) == 0)
            return &from[i];
    return NULL;
}

/* Only as spice: no task is measured on such numbers. In the order of VT_SPICE_HUGE and what follows it. */
static const struct vt_dist beyond[] = {{"huge", VT_DIST_HUGE, false, false},
                                        {"below zero", VT_DIST_BELOW, false, false},
                                        {"above zero", VT_DIST_ABOVE, false, false},
                                        {"far below zero", VT_DIST_FAR_BELOW, false, false},
                                        {"far above zero", VT_DIST_FAR_ABOVE, false, false}};

/* Is any real number an input here? An array says so with a distribution that has no bound, and takes it back with one
 * whose values mean more than their size: probabilities, signs, a declared range. */
static bool takes_huge(const vt_task *t, size_t array)
{
    const struct vt_task_array *a = &t->array[array];
    bool is_open = false;
    if (!vt_role_is_input(a->role) || !vt_dtype_is_float(a->dtype) || t->rules[array].has_range)
        return false;
    if (vt_task_is_convolution(t) && a->role != VT_IN) /* the bound of transformed forms knows no scale of one tap */
        return false;
    if (t->has_unit && t->unit.truth == VT_UNIT_SPREAD) /* reads the bits of its floats, or makes integers of them */
        return false;
    for (int i = 0; i < a->n_dists; i++) {
        const struct vt_dist *d = vt_dist_find(a->dist[i], a->dtype);
        switch (d ? d->kind : VT_N_DISTS) {
        case VT_DIST_WIDE:
        case VT_DIST_EDGES:
        case VT_DIST_ROWSCALE:
        case VT_DIST_OFFSET:
        case VT_DIST_NEEDLE:
        case VT_DIST_CANCEL:
        case VT_DIST_LOGITS:
            is_open = true;
            break;
        case VT_DIST_RAW:
            is_open |= d->is_normal;
            break;
        case VT_DIST_PROBS:
        case VT_DIST_PEAKED:
        case VT_DIST_PM1:
            return false;
        default:
            break;
        }
    }
    return is_open;
}

static bool has_huge(const vt_task *t)
{
    for (size_t i = 0; i < t->n_arrays; i++)
        if (takes_huge(t, i))
            return true;
    return false;
}

/* How many of the kinds that lie beside zero altogether. A formula without a tolerance only adds, multiplies, divides
 * and compares: numbers of one scale are to it what the benchmark's are, whatever the scale, unless it overflows, which
 * is seen when the task is made ready. A tolerance stands for exponentials, whose argument may be rounded; where each
 * element is on its own they have long reached their limit beyond 2000, and further out an honest clamp may be felt
 * (x / (1 + exp(88)) at -1e30). Where elements are compared with each other in an exponent, all may differ. */
static int n_far(const vt_task *t)
{
    if (!has_huge(t))
        return 0;
    return !(t->rtol > 0) ? VT_N_FAR : strcmp(t->family, "elementwise") == 0 ? VT_N_FAR / 2 : 0;
}

const struct vt_dist *vt_spice_find(const vt_task *t, size_t array, int dist, int spice)
{
    const struct vt_task_array *a = &t->array[array];
    if (spice >= VT_SPICE_HUGE)
        return takes_huge(t, array) ? &beyond[spice - VT_SPICE_HUGE] : NULL;
    const char *kind = a->dist[(dist < 0 ? 0 : dist) % a->n_dists], *other = a->dist[spice % a->n_dists];
    return spice > 0 && strcmp(kind, other) != 0 ? vt_dist_find(other, a->dtype) : NULL;
}

uint64_t vt_set_key(const vt_task *t, const char *scale, uint64_t key, uint64_t set, int dist)
{
    uint64_t set_key = vt_seed_mix(vt_seed_str(vt_seed_str(key, t->digest), scale), set);
    return vt_seed_mix(set_key, (uint64_t)dist);
}

void vt_inputs_describe(const vt_task *t, int dist, int spice, char *out, size_t n)
{
    size_t at = 0;
    if (n)
        out[0] = '\0';
    for (size_t i = 0; i < t->n_arrays; i++) {
        const struct vt_task_array *a = &t->array[i];
        if (!vt_role_is_input(a->role) || at >= n)
            continue;
        const struct vt_dist *other = vt_spice_find(t, i, dist, spice);
        const char *kind = a->dist[(dist < 0 ? 0 : dist) % a->n_dists];
        int w = spice > VT_SPICE_HUGE && other
                    ? snprintf(out + at, n - at, "%s%s: %s", at ? ", " : "", a->name, other->name)
                    : snprintf(out + at, n - at, "%s%s: %s%s%s", at ? ", " : "", a->name, kind,
                               other ? " with some " : "", other ? other->name : "");
        at += w > 0 ? (size_t)w : 0;
    }
}

static void add(struct vt_pool *p, const char *scale, int dist, int spice)
{
    if (p->n_sets < VT_POOL_MAX_SETS)
        p->set[p->n_sets++] = (struct vt_pool_set){scale, dist, spice, false};
}

void vt_pool_plan(struct vt_pool *p, vt_task *task, const char *scale, bool is_full, bool is_spiced, uint64_t secret)
{
    const int each = is_full ? 2 : 1, n_dists = vt_task_n_dists(task);
    p->task = task;
    p->key = vt_seed_mix(secret, is_full ? 0xf011 : 0xfa57);
    p->n_sets = 0;
    p->is_full = is_full;
    snprintf(p->scale, sizeof p->scale, "%s", scale);
    for (int i = 0; i < (is_full ? N_TIMED_FULL : N_TIMED); i++)
        add(p, p->scale, 0, 0);
    p->n_timed = p->n_sets;
    /* Which kinds they come from is as secret as where they lie: else whoever knows the first one looks for no other.
     */
    const uint64_t first = vt_seed_mix(vt_seed_str(p->key, task->digest), 0x591ce) >> 32;
    for (int i = 0; i < each * N_SPICED && n_dists > 1 && is_spiced; i++)
        add(p, p->scale, 0, 1 + (int)((first + (uint64_t)i) % (uint64_t)(n_dists - 1)));
    for (int i = 0; i < each * N_HUGE && is_spiced && has_huge(task); i++)
        add(p, p->scale, 0, VT_SPICE_HUGE);
    p->n_spiced = p->n_sets - p->n_timed;
    for (int d = 1; d < n_dists && d < VT_TASK_MAX_DISTS; d++)
        for (int i = 0; i < each; i++)
            add(p, p->scale, d, 0);
    /* Both sides of zero, in `fast` at one distance of the two. */
    const int far = is_spiced ? n_far(task) : 0, least = is_full ? far : far < N_FAR ? far : N_FAR;
    for (int i = 0; i < least; i++)
        add(p, p->scale, 0, VT_SPICE_BELOW + i + (least < far && first & 1 ? N_FAR : 0));
    if (vt_task_has_scale(task, "hidden") && strcmp(scale, "hidden") != 0)
        for (int i = 0; i < each; i++)
            add(p, "hidden", 0, 0);
    p->first_drawn = p->n_sets;
}

void vt_pool_draw(struct vt_pool *p)
{
    const int n_dists = vt_task_n_dists(p->task), n_spices = n_dists - 1 + has_huge(p->task);
    const int far = n_far(p->task), each = p->is_full ? FAR_EACH_FULL : FAR_EACH;
    size_t n = vt_sizes_draw(p->task, p->scale, p->is_full, p->key, p->drawn);
    for (size_t i = 0; i < n; i++) {
        const int turn = n_dists > 1 ? (int)i % (n_dists - 1) : 0, spice = n_spices > 0 ? 1 + (int)i % n_spices : 0;
        add(p, p->drawn[i], 0, spice < n_dists ? spice : VT_SPICE_HUGE);
        add(p, p->drawn[i], n_dists > 1 ? 1 + turn : 0, 0);
        if (far > 0 && (int)i % each == 0)
            add(p, p->drawn[i], 0, VT_SPICE_BELOW + (int)i / each % far);
    }
}

size_t vt_pool_spiced(const struct vt_pool *p, size_t *set, size_t most)
{
    size_t n = 0;
    for (size_t i = p->n_timed; i < p->n_timed + p->n_spiced && n < most; i++)
        if (!p->set[i].is_unfit)
            set[n++] = i;
    return n;
}

static void show_bytes(size_t n, char out[32])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)n;
    int unit = 0;
    for (; v >= 1000; v /= 1000)
        unit++;
    snprintf(out, 32, "%.3g %s", v, units[unit]);
}

vt_status vt_pool_check(const struct vt_pool *p, const char *tier, size_t max_bytes, vt_err *err)
{
    char needs[32] = "too many bytes", takes[32];
    size_t total = 0, of_set = 0;
    const char *scale = NULL;
    vt_status s = VT_OK;
    for (size_t i = 0; i < p->n_sets && s == VT_OK; i++) {
        vt_layout l;
        if (!scale || strcmp(scale, p->set[i].scale) != 0) {
            scale = p->set[i].scale;
            s = vt_task_layout(p->task, scale, &l, err);
            of_set = l.total_bytes;
        }
        if (s == VT_OK && !vt_add_size(total, of_set, &total))
            s = VT_ELIMIT;
    }
    if (s != VT_OK && s != VT_ELIMIT)
        return s;
    if (s == VT_OK && total <= max_bytes)
        return VT_OK;
    if (s == VT_OK)
        show_bytes(total, needs);
    show_bytes(max_bytes, takes);
    return vt_fail(err, VT_EINVAL,
                   "task %.60s at scale %s needs %s of arrays for its %zu input sets; the %s tier takes at most %s: "
                   "make the sizes smaller or name another scale",
                   vt_task_name(p->task), p->scale, needs, p->n_sets, tier, takes);
}
