/* SPDX-License-Identifier: Apache-2.0
 *
 * plot.h: charts as SVG text, drawn by pure functions: same input, same bytes. One chart has named series over shared
 * axes; kinds are line (with markers, an optional band and one starred point), bar (grouped, with error bars) and
 * scatter. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
 */
#ifndef VT_PLOT_PLOT_H
#define VT_PLOT_PLOT_H

#include "base/buf.h"
#include <stdbool.h>

enum vt_plot_kind { VT_PLOT_LINE, VT_PLOT_BAR, VT_PLOT_SCATTER };

struct vt_series {
    const char *name;
    const double *x, *y;   /* [n]; a NaN y is a gap */
    const double *lo, *hi; /* [n] band or error bars; may be NULL */
    size_t n;
    long star; /* index of the starred point, or -1 */
};

struct vt_plot {
    enum vt_plot_kind kind;
    const char *title, *x_label, *y_label;
    const struct vt_series *series;
    size_t n_series;
    const char *const *categories; /* bar: names of the integer x positions 0..n_categories-1; else NULL */
    size_t n_categories;
    int log_x, log_y;    /* base (2 or 10), 0 = linear */
    const double *ref_y; /* horizontal reference lines */
    size_t n_ref_y;
};

/* Appends one <svg> element, 720 x 440. EINVAL when there is nothing finite to draw or a log axis meets a value <= 0.
 */
vt_status vt_plot_svg(const struct vt_plot *p, struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
