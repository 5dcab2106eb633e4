/* SPDX-License-Identifier: Apache-2.0
 *
 * plot.h: charts as text, drawn by pure functions: same input, same bytes. One chart has named series over shared axes;
 * kinds are line (with markers, an optional band and one starred point), bar (grouped, with error bars) and scatter
 * (with error bars). Reference lines, regions and brackets say what to look at; several charts are the panels of one
 * figure. As SVG for papers and pages, as characters for a terminal. Colours are Okabe and Ito's, which colour-blind
 * readers can tell apart, and each series has a shape of its own, for those who print in black.
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

/* A part of the plane with a name; an end that is not finite is the chart's edge. */
struct vt_region {
    const char *name;
    double x_lo, x_hi, y_lo, y_hi;
};

/* Says something of two places on the x axis, above everything that is drawn there. */
struct vt_bracket {
    double from, to;
    const char *name;
};

struct vt_plot {
    enum vt_plot_kind kind;
    const char *title, *x_label, *y_label;
    const struct vt_series *series;
    size_t n_series;
    const char *const *categories; /* bar: names of the integer x positions 0..n_categories-1; else NULL */
    size_t n_categories;
    int log_x, log_y;            /* base (2 or 10), 0 = linear */
    const double *ref_x, *ref_y; /* vertical and horizontal reference lines */
    size_t n_ref_x, n_ref_y;
    const struct vt_region *regions;
    size_t n_regions;
    const struct vt_bracket *brackets;
    size_t n_brackets;
};

/* Appends one <svg> element: a chart of 720 x 440, or several of 480 x 340, `columns` beside each other, with a letter
 * each. EINVAL when a chart has nothing finite to draw or a log axis meets a value <= 0. */
vt_status vt_plot_svg(const struct vt_plot *panels, size_t n, size_t columns, struct vt_buf *out,
                      vt_err *err) VT_MUST_USE;

/* Appends the chart in UTF-8 characters, lines of at most `width` (40 at least). EINVAL as above. */
vt_status vt_plot_text(const struct vt_plot *p, size_t width, struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
