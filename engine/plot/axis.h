/* SPDX-License-Identifier: Apache-2.0
 *
 * axis.h: what SVG and text have in common: which part of the plane a chart shows, and its round ticks.
 */
#ifndef VT_PLOT_AXIS_H
#define VT_PLOT_AXIS_H

#include "plot/plot.h"

struct axis {
    double lo, hi;   /* in axis units: log'd when log */
    int log;         /* base, or 0 */
    double from, to; /* where lo and hi are drawn */
    bool is_whole;   /* every value is a whole number, so a tick between two of them would name nothing */
};

/* The ranges of what the chart draws, with room around it; from and to are the caller's. */
vt_status vt_axes_of(const struct vt_plot *p, struct axis *x, struct axis *y, vt_err *err) VT_MUST_USE;
double vt_axis_place(const struct axis *a, double v);
/* Ticks are counted, so that an axis as narrow as the last bits of its values ends, too. */
int vt_axis_n_ticks(const struct axis *a);
double vt_axis_tick(const struct axis *a, int n);
enum { VT_TICK_MAX = 24 };
void vt_axis_label(double v, char text[VT_TICK_MAX]);

/* What is not finite is left out: the point, or only its band or bar. */
bool vt_has_point(const struct vt_series *s, size_t i);
bool vt_has_spread(const struct vt_series *s, size_t i);
/* In which row above the data each bracket stands, from 0: rows[n_brackets]; how many rows there are. */
size_t vt_bracket_rows(const struct vt_plot *p, size_t *rows);

#endif
