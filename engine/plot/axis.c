/* SPDX-License-Identifier: Apache-2.0
 *
 * axis.c: finds the ranges of a chart and its ticks. Bars stand on zero; reference lines are always on the page;
 * regions widen nothing, since their ends may be far away; brackets need room above, which whoever draws them makes.
 */
#include "plot/axis.h"
#include <math.h>
#include <stdio.h>

enum { MAX_TICKS = 100 };

static double to_axis(const struct axis *a, double v)
{
    return a->log ? log(v) / log((double)a->log) : v;
}

double vt_axis_place(const struct axis *a, double v)
{
    return a->from + (to_axis(a, v) - a->lo) / (a->hi - a->lo) * (a->to - a->from);
}

static vt_status widen(struct axis *a, double v, const char *name, vt_err *err)
{
    double t;

    if (!isfinite(v))
        return VT_OK;
    if (a->log && !(v > 0))
        return vt_fail(err, VT_EINVAL, "cannot draw %g on the logarithmic %s axis: use a linear axis", v, name);
    t = to_axis(a, v);
    a->lo = fmin(a->lo, t);
    a->hi = fmax(a->hi, t);
    return VT_OK;
}

bool vt_has_point(const struct vt_series *s, size_t i)
{
    return isfinite(s->x[i]) && isfinite(s->y[i]);
}

bool vt_has_spread(const struct vt_series *s, size_t i)
{
    return s->lo && s->hi && vt_has_point(s, i) && isfinite(s->lo[i]) && isfinite(s->hi[i]);
}

static vt_status widen_to_series(const struct vt_series *s, struct axis *x, struct axis *y, vt_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!vt_has_point(s, i))
            continue;
        VT_TRY(widen(x, s->x[i], "x", err));
        VT_TRY(widen(y, s->y[i], "y", err));
        x->is_whole &= s->x[i] == rint(s->x[i]);
        y->is_whole &= s->y[i] == rint(s->y[i]) && !vt_has_spread(s, i);
        if (vt_has_spread(s, i)) {
            VT_TRY(widen(y, s->lo[i], "y", err));
            VT_TRY(widen(y, s->hi[i], "y", err));
        }
    }
    return VT_OK;
}

static void pad(struct axis *a, double share)
{
    double span = a->hi - a->lo;

    if (span <= 1e-9 * fmax(fabs(a->lo), fabs(a->hi))) /* the same value, but for its last bits */
        span = a->hi != 0 ? fabs(a->hi) : 1;
    a->lo -= share * span;
    a->hi += share * span;
}

vt_status vt_axes_of(const struct vt_plot *p, struct axis *x, struct axis *y, vt_err *err)
{
    *x = (struct axis){.lo = HUGE_VAL, .hi = -HUGE_VAL, .log = p->log_x, .is_whole = true};
    *y = (struct axis){.lo = HUGE_VAL, .hi = -HUGE_VAL, .log = p->log_y, .is_whole = true};
    for (size_t s = 0; s < p->n_series; s++)
        VT_TRY(widen_to_series(&p->series[s], x, y, err));
    bool has_points = x->lo <= x->hi && y->lo <= y->hi;
    for (size_t i = 0; i < p->n_ref_x && p->kind != VT_PLOT_BAR; i++)
        VT_TRY(widen(x, p->ref_x[i], "x", err));
    for (size_t i = 0; i < p->n_ref_y; i++)
        VT_TRY(widen(y, p->ref_y[i], "y", err));
    if (p->kind == VT_PLOT_BAR) {
        x->lo = -0.5;
        x->hi = (double)p->n_categories - 0.5;
        if (!y->log)
            VT_TRY(widen(y, 0, "y", err));
    }
    if (!has_points)
        return vt_fail(err, VT_EINVAL, "the plot \"%s\" has no finite point to draw", p->title ? p->title : "");
    if (p->kind != VT_PLOT_BAR)
        pad(x, 0.03);
    pad(y, 0.05);
    if (p->kind == VT_PLOT_BAR && !y->log && y->lo < 0 && y->lo > -0.06 * y->hi)
        y->lo = 0;
    return VT_OK;
}

/* A round step (1, 2 or 5 times a power of ten) that gives four to nine ticks. */
static double round_step(double span)
{
    double raw = span / 6, power = pow(10, floor(log10(raw))), share = raw / power;

    return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
}

/* How the ticks of an axis lie: so many of them from the first on, `step` apart, in units of the axis or (is_linear) in
 * those of the values. A logarithmic axis has the powers of its base; 1, 2 and 5 of each (is_125, a step being a third
 * of a power) where there would be few; and, within one power of ten, what a linear one would have. The values of whole
 * numbers have no ticks between them. */
struct ticks {
    double first, step;
    int n;
    bool is_linear, is_125;
};

static struct ticks ticks_of(const struct axis *a)
{
    double span = a->hi - a->lo, lo = a->lo, hi = a->hi;
    struct ticks t = {.is_linear = a->log && span * log((double)a->log) < log(10.0),
                      .is_125 = a->log == 10 && span >= 1 && span < 2.5};

    if (t.is_linear) {
        lo = pow(a->log, lo);
        hi = pow(a->log, hi);
    }
    t.step = round_step(hi - lo);
    if (a->is_whole || (a->log && !t.is_linear))
        t.step = fmax(1, t.step);
    if (t.is_125)
        t.step = 1.0 / 3;
    t.first = ceil(lo / t.step);
    double n = floor(hi / t.step + 1e-9) - t.first + 1;
    t.n = n > 0 ? (int)fmin(n, MAX_TICKS) : 0;
    return t;
}

double vt_axis_tick(const struct axis *a, int n)
{
    static const double of_power[] = {1, 2, 5};
    struct ticks t = ticks_of(a);
    double at = t.first + n, v = at * t.step;

    if (t.is_125)
        return pow(10, floor(at / 3)) * of_power[(int)(at - 3 * floor(at / 3))];
    v = fabs(v) < 1e-9 * t.step ? 0 : v;
    return a->log && !t.is_linear ? pow(a->log, v) : v;
}

int vt_axis_n_ticks(const struct axis *a)
{
    return ticks_of(a).n;
}

void vt_axis_label(double v, char text[VT_TICK_MAX])
{
    snprintf(text, VT_TICK_MAX, fabs(v) >= 1e5 || (v != 0 && fabs(v) < 1e-3) ? "%.0e" : "%.6g", v);
}

static bool meet(const struct vt_bracket *a, const struct vt_bracket *b)
{
    return fmin(a->from, a->to) <= fmax(b->from, b->to) && fmin(b->from, b->to) <= fmax(a->from, a->to);
}

static bool is_free(const struct vt_plot *p, const size_t *rows, size_t i, size_t row)
{
    for (size_t j = 0; j < i; j++)
        if (rows[j] == row && meet(&p->brackets[i], &p->brackets[j]))
            return false;
    return true;
}

size_t vt_bracket_rows(const struct vt_plot *p, size_t *rows)
{
    size_t n_rows = 0;

    for (size_t i = 0; i < p->n_brackets; i++) {
        for (rows[i] = 0; !is_free(p, rows, i, rows[i]);)
            rows[i]++;
        n_rows = rows[i] + 1 > n_rows ? rows[i] + 1 : n_rows;
    }
    return n_rows;
}
