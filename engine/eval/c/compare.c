/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.c: outputs against truth. Every timed output passes here, so the usual case (all finite, all within the
 * bound) is one branch-free sweep that vectorises; only when that sweep counts something does a second, careful one
 * decide about NaN and infinities and collect the first differences.
 */
#include "eval/c/compare.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 };

typedef int64_t sweep_fn(const double *value, const double *bound, const float *got, int64_t n, double *worst);

/* Elements for which !(error <= bound), special values included; *worst gets the largest error / bound. A block whose
 * errors stay below worst * bound needs no division, and a division costs more than all the rest. */
#define SWEEP(name, how)                                                                                               \
    how static int64_t name(const double *restrict value, const double *restrict bound, const float *restrict got,     \
                            int64_t n, double *worst)                                                                  \
    {                                                                                                                  \
        double w = *worst;                                                                                             \
        int64_t n_out = 0;                                                                                             \
        for (int64_t from = 0; from < n; from += BLOCK) {                                                              \
            int64_t to = n - from < BLOCK ? n : from + BLOCK, n_larger = 0;                                            \
            for (int64_t i = from; i < to; i++) {                                                                      \
                double error = fabs((double)got[i] - value[i]);                                                        \
                n_out += !(error <= bound[i]);                                                                         \
                n_larger += error > w * bound[i];                                                                      \
            }                                                                                                          \
            for (int64_t i = from; n_larger > 0 && i < to; i++) {                                                      \
                double ratio = fabs((double)got[i] - value[i]) / (bound[i] + 1e-300);                                  \
                w = ratio > w ? ratio : w;                                                                             \
            }                                                                                                          \
        }                                                                                                              \
        *worst = w;                                                                                                    \
        return n_out;                                                                                                  \
    }
SWEEP(sweep_plain, )
#if defined(__x86_64__)
SWEEP(sweep_avx2, __attribute__((target("avx2"))))
#endif

static sweep_fn *best_sweep(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return sweep_avx2;
#endif
    return sweep_plain;
}

static bool is_right(double value, double bound, double got)
{
    if (isnan(value))
        return isnan(got);
    if (isinf(value))
        return got == value;
    return fabs(got - value) <= bound;
}

static void note(struct vt_compare_result *out, size_t array, int64_t i, double expected, double got, double bound)
{
    out->n_wrong++;
    if (out->n_diffs < VT_MAX_DIFFS)
        out->diff[out->n_diffs++] = (struct vt_diff){array, i, expected, got, bound};
}

static void careful_f32(const struct vt_expect_array *a, const float *got, size_t array, struct vt_compare_result *out)
{
    double worst = 0;
    for (int64_t i = 0; i < a->n_elem; i++) {
        double g = (double)got[i], error = fabs(g - a->value[i]);
        bool right = is_right(a->value[i], a->bound[i], g);
        if (!right) {
            note(out, array, i, a->value[i], g, a->bound[i]);
            out->n_nan += isnan(g) ? 1 : 0;
        }
        if (right && (!isfinite(a->value[i]) || error == 0))
            continue;
        double ratio = a->bound[i] > 0 && isfinite(error) ? error / a->bound[i] : INFINITY;
        worst = ratio > worst ? ratio : worst;
    }
    out->worst = worst > out->worst ? worst : out->worst;
}

static void compare_f32(const struct vt_expect_array *a, const float *got, size_t array, struct vt_compare_result *out)
{
    double worst = 0;
    if (best_sweep()(a->value, a->bound, got, a->n_elem, &worst) == 0)
        out->worst = worst > out->worst ? worst : out->worst;
    else
        careful_f32(a, got, array, out);
}

static void compare_f64(const struct vt_expect_array *a, const double *got, size_t array, struct vt_compare_result *out)
{
    double worst = 0;
    for (int64_t i = 0; i < a->n_elem; i++) {
        double error = fabs(got[i] - a->value[i]);
        if (!is_right(a->value[i], a->bound[i], got[i])) {
            note(out, array, i, a->value[i], got[i], a->bound[i]);
            out->n_nan += isnan(got[i]) ? 1 : 0;
            error = INFINITY;
        } else if (!isfinite(a->value[i]) || error == 0) {
            continue;
        }
        double ratio = a->bound[i] > 0 && isfinite(got[i]) ? fabs(got[i] - a->value[i]) / a->bound[i] : error;
        worst = ratio > worst ? ratio : worst;
    }
    out->worst = worst > out->worst ? worst : out->worst;
}

static void compare_int(const struct vt_expect_array *a, const void *buf, size_t array, struct vt_compare_result *out)
{
    int64_t n_loose = 0;
    for (int64_t i = 0; i < a->n_elem; i++) {
        int64_t got = vt_dtype_at(buf, a->dtype, i);
        double bound = a->bound ? a->bound[i] : 0, error;
        if (got == a->exact[i])
            continue;
        error = fabs((double)got - (double)a->exact[i]);
        if (bound > 0 && error <= bound) {
            out->worst = error / bound > out->worst ? error / bound : out->worst;
            continue;
        }
        if (n_loose < a->n_loose && error <= a->loose) {
            n_loose++;
            continue;
        }
        note(out, array, i, (double)a->exact[i], (double)got, bound);
        out->worst = INFINITY;
    }
}

void vt_compare(const struct vt_expect *e, const void *const buf[], struct vt_compare_result *out)
{
    memset(out, 0, sizeof *out);
    out->is_beyond = e->is_beyond;
    for (size_t i = 0; i < e->n_arrays; i++) {
        const struct vt_expect_array *a = &e->array[i];
        if (a->n_elem == 0)
            continue;
        out->n_checked += a->n_elem;
        if (a->dtype == VT_F32)
            compare_f32(a, buf[i], i, out);
        else if (a->dtype == VT_F64)
            compare_f64(a, buf[i], i, out);
        else
            compare_int(a, buf[i], i, out);
    }
}

void vt_expect_free(struct vt_expect *e)
{
    for (size_t i = 0; i < e->n_arrays; i++) {
        free(e->array[i].value);
        free(e->array[i].bound);
        free(e->array[i].exact);
    }
    memset(e, 0, sizeof *e);
}
