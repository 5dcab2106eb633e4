/* SPDX-License-Identifier: Apache-2.0
 *
 * widen.c: inputs whose convolution is the wider bound. The window's length on an axis is that of the weights, whose
 * last axes are the taps; where weights have no such axes (a pointwise second step) they say nothing of it.
 */
#include "eval/c/widen.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The longest window on spatial axis d (from 0) of n_axes. */
static int64_t window_of(const vt_task *t, const vt_layout *l, int d, int n_axes)
{
    int64_t longest = 0;
    for (size_t i = 0; i < l->n_arrays; i++) {
        const struct vt_layout_array *w = &l->array[i];
        if (t->array[i].role == VT_WEIGHT && w->n_dims > n_axes && w->shape[w->n_dims - n_axes + d] > longest)
            longest = w->shape[w->n_dims - n_axes + d];
    }
    return longest;
}

/* Along one axis: to[j] = the largest of from[j - reach] … from[j + reach]. */
static void spread(const float *from, float *to, int64_t n_elem, int64_t n, int64_t stride, int64_t reach)
{
    for (int64_t at = 0; at < n_elem; at++) {
        int64_t j = at / stride % n, lo = j < reach ? -j : -reach, hi = n - 1 - j < reach ? n - 1 - j : reach;
        float largest = 0;
        for (int64_t k = lo; k <= hi; k++)
            largest = fmaxf(largest, from[at + k * stride]);
        to[at] = largest;
    }
}

bool vt_widen_input(const vt_task *t, const vt_layout *l, size_t i, const float *from, float *to)
{
    const struct vt_layout_array *a = &l->array[i];
    int n_axes = a->n_dims - 2;
    for (int64_t j = 0; j < a->n_elem; j++)
        to[j] = fabsf(from[j]);
    if (t->array[i].role != VT_IN || n_axes < 1)
        return true;
    float *before = vt_alloc_array((size_t)a->n_elem, sizeof *before);
    if (!before)
        return false;
    for (int64_t stride = 1, d = n_axes - 1; d >= 0; d--) {
        int64_t n = a->shape[2 + d];
        memcpy(before, to, (size_t)a->n_elem * sizeof *before);
        spread(before, to, a->n_elem, n, stride, window_of(t, l, (int)d, n_axes));
        stride *= n;
    }
    free(before);
    return true;
}
