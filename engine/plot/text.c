/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: a chart for a terminal. Points and lines stand on a grid of characters; of bars there is one line each, with
 * its value, since a bar of eighteen rows says less than a number. Series are told apart by shape, as in the SVG, so
 * nothing depends on colours. Regions and brackets are said below the chart: a grid has no room for their words.
 */
#include "plot/axis.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MIN_WIDTH = 40, MAX_WIDTH = 160, ROWS = 18, MARGIN = 10, LABEL = 20, VALUE = 26 };

static const char *const shapes[] = {"●", "■", "▲", "◆", "○", "□", "△", "◇"};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

struct grid {
    const struct vt_plot *p;
    struct axis x, y;
    int columns;
    const char *at[ROWS][MAX_WIDTH]; /* NULL = nothing there */
};

static const char *shape_of(size_t series)
{
    return shapes[series % N_SHAPES];
}

static void put(struct grid *g, double column, double row, const char *what, bool is_over)
{
    int c = (int)lrint(column), r = (int)lrint(row);

    if (c >= 0 && c < g->columns && r >= 0 && r < ROWS && (is_over || !g->at[r][c]))
        g->at[r][c] = what;
}

static void put_points(struct grid *g, size_t index)
{
    const struct vt_series *s = &g->p->series[index];

    for (size_t i = 0; i < s->n; i++)
        if (vt_has_point(s, i))
            put(g, vt_axis_place(&g->x, s->x[i]), vt_axis_place(&g->y, s->y[i]),
                s->star == (long)i ? "★" : shape_of(index), true);
}

static void put_line(struct grid *g, const struct vt_series *s)
{
    for (size_t i = 1; i < s->n; i++) {
        if (!vt_has_point(s, i - 1) || !vt_has_point(s, i))
            continue;
        double x0 = vt_axis_place(&g->x, s->x[i - 1]), x1 = vt_axis_place(&g->x, s->x[i]);
        double y0 = vt_axis_place(&g->y, s->y[i - 1]), y1 = vt_axis_place(&g->y, s->y[i]);
        double n = fmax(1, ceil(fmax(fabs(x1 - x0), fabs(y1 - y0))));

        for (double k = 1; k < n; k++)
            put(g, x0 + (x1 - x0) * k / n, y0 + (y1 - y0) * k / n, "·", false);
    }
}

/* The ends of bands and error bars: filled areas would hide what lies behind them. */
static void put_spread(struct grid *g, const struct vt_series *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (vt_has_spread(s, i)) {
            put(g, vt_axis_place(&g->x, s->x[i]), vt_axis_place(&g->y, s->lo[i]), "┴", false);
            put(g, vt_axis_place(&g->x, s->x[i]), vt_axis_place(&g->y, s->hi[i]), "┬", false);
        }
}

static void put_reference_lines(struct grid *g)
{
    for (size_t i = 0; i < g->p->n_ref_y; i++)
        for (int c = 0; c < g->columns; c++)
            put(g, c, vt_axis_place(&g->y, g->p->ref_y[i]), "╌", false);
    for (size_t i = 0; i < g->p->n_ref_x; i++)
        for (int r = 0; r < ROWS; r++)
            put(g, vt_axis_place(&g->x, g->p->ref_x[i]), r, "╎", false);
}

/* At most `room` letters, and blanks up to it. */
static void put_word(struct vt_buf *out, const char *word, int room)
{
    int n = 0;

    for (; *word; word++) {
        n += ((unsigned char)*word & 0xc0) != 0x80;
        if (n > room)
            break;
        vt_buf_putc(out, *word);
    }
    for (; n < room; n++)
        vt_buf_putc(out, ' ');
}

static void print_grid(struct grid *g, struct vt_buf *out)
{
    const char *labels[ROWS] = {NULL};
    char text[MAX_WIDTH + 1];
    char names[ROWS][MARGIN + 1];

    for (int n = 0; n < vt_axis_n_ticks(&g->y); n++) {
        double v = vt_axis_tick(&g->y, n);
        int r = (int)lrint(vt_axis_place(&g->y, v));
        char label[VT_TICK_MAX];

        vt_axis_label(v, label);
        snprintf(names[r], sizeof names[r], "%*.*s", MARGIN - 2, MARGIN - 2, label);
        labels[r] = names[r];
    }
    for (int r = 0; r < ROWS; r++) {
        put_word(out, labels[r] ? labels[r] : "", MARGIN - 2);
        vt_buf_puts(out, labels[r] ? " ┤" : " │");
        for (int c = 0; c < g->columns; c++)
            vt_buf_puts(out, g->at[r][c] ? g->at[r][c] : " ");
        while (out->len > 0 && out->p[out->len - 1] == ' ')
            out->p[--out->len] = '\0';
        vt_buf_putc(out, '\n');
    }
    put_word(out, "", MARGIN - 1);
    vt_buf_puts(out, "└");
    for (int c = 0; c < g->columns; c++)
        vt_buf_puts(out, "─");
    memset(text, ' ', sizeof text);
    int taken = 0;
    for (int n = 0; n < vt_axis_n_ticks(&g->x); n++) {
        double v = vt_axis_tick(&g->x, n);
        char label[VT_TICK_MAX];

        vt_axis_label(v, label);
        int length = (int)strlen(label), at = MARGIN + (int)lrint(vt_axis_place(&g->x, v)) - length / 2;
        if (at > taken && at + length < MAX_WIDTH) {
            memcpy(text + at, label, (size_t)length);
            taken = at + length + 1;
        }
    }
    text[taken > 0 ? taken - 1 : 0] = '\0';
    vt_buf_printf(out, "\n%s\n", text);
}

static vt_status draw_grid(const struct vt_plot *p, int width, struct vt_buf *out, vt_err *err)
{
    struct grid g = {.p = p, .columns = width - MARGIN};

    VT_TRY(vt_axes_of(p, &g.x, &g.y, err));
    g.x.from = 0;
    g.x.to = g.columns - 1;
    g.y.from = ROWS - 1;
    g.y.to = 0;
    for (size_t s = 0; s < p->n_series; s++)
        put_points(&g, s);
    for (size_t s = 0; s < p->n_series; s++) {
        put_spread(&g, &p->series[s]);
        if (p->kind == VT_PLOT_LINE)
            put_line(&g, &p->series[s]);
    }
    put_reference_lines(&g);
    print_grid(&g, out);
    for (size_t s = 0; s < p->n_series; s++)
        if (p->series[s].name && *p->series[s].name)
            vt_buf_printf(out, "  %s %s\n", shape_of(s), p->series[s].name);
    return VT_OK;
}

/* One bar: from zero (or the low end of a logarithmic axis) to its value, on a scale of so many characters. */
static void print_bar(const struct axis *y, const struct vt_series *s, size_t i, const char *name, struct vt_buf *out)
{
    double zero = y->log ? y->from : vt_axis_place(y, 0), end = vt_axis_place(y, s->y[i]);
    int from = (int)lrint(fmin(zero, end)), to = (int)lrint(fmax(zero, end));

    vt_buf_puts(out, "  ");
    put_word(out, name, LABEL);
    vt_buf_putc(out, ' ');
    for (int c = 0; c < (int)y->to; c++)
        vt_buf_puts(out, c >= from && c < to ? "█" : c == (int)lrint(zero) ? "│" : " ");
    vt_buf_printf(out, " %.4g", s->y[i]);
    if (vt_has_spread(s, i))
        vt_buf_printf(out, " [%.3g, %.3g]", s->lo[i], s->hi[i]);
    vt_buf_putc(out, '\n');
}

static vt_status draw_bars(const struct vt_plot *p, int width, struct vt_buf *out, vt_err *err)
{
    struct axis x, y;

    VT_TRY(vt_axes_of(p, &x, &y, err));
    y.from = 0;
    y.to = width - LABEL - VALUE > 8 ? width - LABEL - VALUE : 8;
    for (size_t c = 0; c < p->n_categories; c++) {
        bool is_named = false;

        for (size_t s = 0; s < p->n_series; s++)
            for (size_t i = 0; i < p->series[s].n; i++) {
                if (p->series[s].x[i] != (double)c || !vt_has_point(&p->series[s], i))
                    continue;
                if (p->n_series > 1 && !is_named)
                    vt_buf_printf(out, "%s\n", p->categories[c]);
                is_named = true;
                print_bar(&y, &p->series[s], i, p->n_series > 1 ? p->series[s].name : p->categories[c], out);
            }
    }
    return VT_OK;
}

static void print_place(struct vt_buf *out, const struct vt_plot *p, double at)
{
    char label[VT_TICK_MAX];

    vt_axis_label(at, label);
    vt_buf_puts(out, p->categories && at >= 0 && at < (double)p->n_categories ? p->categories[(size_t)at] : label);
}

static void print_ends(struct vt_buf *out, const char *name, double lo, double hi)
{
    if (isfinite(lo))
        vt_buf_printf(out, ", %s from %.6g", name, lo);
    if (isfinite(hi))
        vt_buf_printf(out, ", %s up to %.6g", name, hi);
}

vt_status vt_plot_text(const struct vt_plot *p, size_t width, struct vt_buf *out, vt_err *err)
{
    int w = width < MIN_WIDTH ? MIN_WIDTH : width > MAX_WIDTH ? MAX_WIDTH : (int)width;

    vt_buf_printf(out, "%s\n", p->title ? p->title : "");
    if (p->y_label && *p->y_label)
        vt_buf_printf(out, "%s%s\n", p->y_label, p->log_y ? " (logarithmic)" : "");
    VT_TRY(p->kind == VT_PLOT_BAR ? draw_bars(p, w, out, err) : draw_grid(p, w, out, err));
    if (p->x_label && *p->x_label)
        vt_buf_printf(out, "  x: %s%s\n", p->x_label, p->log_x ? " (logarithmic)" : "");
    for (size_t i = 0; i < p->n_brackets; i++) {
        vt_buf_puts(out, "  ");
        print_place(out, p, p->brackets[i].from);
        vt_buf_puts(out, " and ");
        print_place(out, p, p->brackets[i].to);
        vt_buf_printf(out, ": %s\n", p->brackets[i].name);
    }
    for (size_t i = 0; i < p->n_regions; i++) {
        const struct vt_region *r = &p->regions[i];

        vt_buf_printf(out, "  region %s", r->name);
        print_ends(out, "x", r->x_lo, r->x_hi);
        print_ends(out, "y", r->y_lo, r->y_hi);
        vt_buf_putc(out, '\n');
    }
    return vt_buf_check(out, "a plot", err);
}
