/* SPDX-License-Identifier: Apache-2.0
 *
 * svg.c: lays out charts: axes and regions, then the series, then the legend and what is said above. Coordinates are
 * printed with two decimals, so the text does not depend on the last bits of floating point. A panel of several is a
 * chart of smaller measures at another place of the page; its letters are as large as those of a chart alone, so that a
 * figure as wide as a paper's column can still be read.
 */
#include "plot/axis.h"
#include <math.h>
#include <string.h>

struct measures {
    int width, height, left, right, top, bottom;
};

static const struct measures alone = {720, 440, 72, 160, 40, 56}, panel = {480, 340, 64, 130, 40, 52};

/* Text has no measure here: a letter of 12 pixels is taken to be 7 wide, which is more than most are. */
enum { LETTER = 7, MAX_LABEL = 16, MAX_ROOM = 24, SLANT = 35, BRACKET = 22, MAX_BRACKETS = 64, LEGEND_LINE = 18 };
static const double PI = 3.14159265358979;

static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#000000", "#F0E442"};
enum { N_COLOURS = sizeof colours / sizeof colours[0], N_SHAPES = 4 };

struct chart {
    const struct vt_plot *p;
    const struct measures *m;
    struct axis x, y;
    struct vt_buf *out;
    size_t brackets[MAX_BRACKETS]; /* the row of each */
    double ceiling;                /* pixels: where the data begin, below the brackets */
    double floor;                  /* pixels: where the plot ends and what is written below it begins */
    bool is_slanted;               /* names of categories, which would run into each other */
};

static const char *colour_of(size_t i)
{
    return colours[i % N_COLOURS];
}

static void put_text(struct vt_buf *out, const char *s)
{
    for (; s && *s; s++) {
        switch (*s) {
        case '&':
            vt_buf_puts(out, "&amp;");
            break;
        case '<':
            vt_buf_puts(out, "&lt;");
            break;
        case '>':
            vt_buf_puts(out, "&gt;");
            break;
        case '"':
            vt_buf_puts(out, "&quot;");
            break;
        default:
            vt_buf_putc(out, *s);
        }
    }
}

/* The length in letters of at most MAX_LABEL of them: bytes that begin one, in UTF-8. */
static size_t label_length(const char *name)
{
    size_t n = 0;

    for (; *name && n < MAX_LABEL; name++)
        n += ((unsigned char)*name & 0xc0) != 0x80;
    return n;
}

/* At most so many letters, MAX_ROOM of them at most; a name that is longer ends in dots. */
static void put_label(struct vt_buf *out, const char *name, size_t room)
{
    char text[4 * MAX_ROOM + 4];
    size_t n = 0, at = 0;

    for (; name[at]; at++) {
        n += ((unsigned char)name[at] & 0xc0) != 0x80;
        if (n > room || at >= sizeof text - 4)
            break;
        text[at] = name[at];
    }
    text[at] = '\0';
    put_text(out, text);
    if (name[at])
        vt_buf_puts(out, "\xe2\x80\xa6");
}

/* ── axes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
 */

static void draw_y_axis(struct chart *c)
{
    for (int n = 0; n < vt_axis_n_ticks(&c->y); n++) {
        double v = vt_axis_tick(&c->y, n), at = vt_axis_place(&c->y, v);
        char label[VT_TICK_MAX];

        vt_buf_printf(c->out, "<line x1=\"%d\" y1=\"%.2f\" x2=\"%d\" y2=\"%.2f\" stroke=\"#ddd\"/>", c->m->left, at,
                      c->m->width - c->m->right, at);
        vt_buf_printf(c->out, "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\">", c->m->left - 6, at + 4);
        vt_axis_label(v, label);
        vt_buf_printf(c->out, "%s</text>\n", label);
    }
}

static void x_tick(struct chart *c, double v, const char *name)
{
    double x = vt_axis_place(&c->x, v), y = c->floor + 18;
    char label[VT_TICK_MAX];

    if (c->is_slanted)
        vt_buf_printf(c->out, "<text transform=\"translate(%.2f %.2f) rotate(-%d)\" text-anchor=\"end\">", x + 4, y - 4,
                      (int)SLANT);
    else
        vt_buf_printf(c->out, "<text x=\"%.2f\" y=\"%.0f\" text-anchor=\"middle\">", x, y);
    vt_axis_label(v, label);
    put_label(c->out, name ? name : label, MAX_LABEL);
    vt_buf_puts(c->out, "</text>\n");
}

static void draw_x_axis(struct chart *c)
{
    const struct vt_plot *p = c->p;

    for (size_t i = 0; p->categories && i < p->n_categories; i++)
        x_tick(c, (double)i, p->categories[i]);
    for (int n = 0; !p->categories && n < vt_axis_n_ticks(&c->x); n++)
        x_tick(c, vt_axis_tick(&c->x, n), NULL);
}

static void draw_reference_lines(struct chart *c)
{
    static const char end[] = "stroke=\"#888\" stroke-dasharray=\"5 4\"/>\n";

    for (size_t i = 0; i < c->p->n_ref_y; i++) {
        double at = vt_axis_place(&c->y, c->p->ref_y[i]);

        vt_buf_printf(c->out, "<line x1=\"%d\" y1=\"%.2f\" x2=\"%d\" y2=\"%.2f\" %s", c->m->left, at,
                      c->m->width - c->m->right, at, end);
    }
    for (size_t i = 0; i < c->p->n_ref_x; i++) {
        double at = vt_axis_place(&c->x, c->p->ref_x[i]);

        vt_buf_printf(c->out, "<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.0f\" %s", at, c->ceiling, at, c->floor,
                      end);
    }
}

/* Where an end of a region is drawn: within the chart. */
static double end_of(const struct axis *a, double v, double edge)
{
    double lo = fmin(a->from, a->to), hi = fmax(a->from, a->to);

    if (!isfinite(v) || (a->log && !(v > 0)))
        return edge;
    return fmin(hi, fmax(lo, vt_axis_place(a, v)));
}

static void draw_regions(struct chart *c)
{
    for (size_t i = 0; i < c->p->n_regions; i++) {
        const struct vt_region *r = &c->p->regions[i];
        double x0 = end_of(&c->x, r->x_lo, c->x.from), x1 = end_of(&c->x, r->x_hi, c->x.to);
        double y0 = end_of(&c->y, r->y_lo, c->y.from), y1 = end_of(&c->y, r->y_hi, c->y.to);

        if (x1 <= x0 || y0 <= y1)
            continue; /* outside of what is shown */
        vt_buf_printf(c->out,
                      "<path d=\"M%.2f %.2fH%.2fV%.2fH%.2fZ\" fill=\"#888\" fill-opacity=\"%s\" stroke=\"#bbb\"/>"
                      "<text x=\"%.2f\" y=\"%.2f\" fill=\"#555\" font-style=\"italic\">",
                      x0, y0, x1, y1, x0, i % 2 ? "0.06" : "0.12", x0 + 5, y1 + 14);
        put_text(c->out, r->name);
        vt_buf_puts(c->out, "</text>\n");
    }
}

static void draw_brackets(struct chart *c)
{
    for (size_t i = 0; i < c->p->n_brackets; i++) {
        const struct vt_bracket *b = &c->p->brackets[i];
        double x0 = vt_axis_place(&c->x, b->from), x1 = vt_axis_place(&c->x, b->to);
        double y = c->ceiling - 4 - BRACKET * (double)c->brackets[i];

        vt_buf_printf(c->out, "<path d=\"M%.2f %.2fv-5H%.2fv5\" fill=\"none\" stroke=\"#222\"/>", x0, y, x1);
        vt_buf_printf(c->out, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\" font-size=\"11\">", (x0 + x1) / 2,
                      y - 8);
        put_text(c->out, b->name);
        vt_buf_puts(c->out, "</text>\n");
    }
}

static void draw_frame(struct chart *c, char letter)
{
    const struct vt_plot *p = c->p;
    const struct measures *m = c->m;

    draw_regions(c);
    draw_y_axis(c);
    draw_x_axis(c);
    vt_buf_printf(c->out, "<path d=\"M%d %dV%.0fH%d\" fill=\"none\" stroke=\"#444\"/>\n", m->left, m->top, c->floor,
                  m->width - m->right);
    vt_buf_printf(c->out, "<text x=\"%d\" y=\"24\" font-size=\"15\" font-weight=\"bold\">", letter ? 12 : m->left);
    if (letter)
        vt_buf_printf(c->out, "%c\xe2\x80\x83", letter);
    put_text(c->out, p->title);
    vt_buf_printf(c->out, "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
                  (m->left + m->width - m->right) / 2, m->height - 14);
    put_text(c->out, p->x_label);
    vt_buf_printf(c->out, "</text>\n<text transform=\"translate(18 %.0f) rotate(-90)\" text-anchor=\"middle\">",
                  (m->top + c->floor) / 2);
    put_text(c->out, p->y_label);
    vt_buf_puts(c->out, "</text>\n");
    draw_reference_lines(c);
}

/* ── series ─────────────────────────────────────────────────────────────────────────────────────────────────────────
 */

static void draw_star(struct chart *c, double x, double y, const char *colour)
{
    vt_buf_puts(c->out, "<path d=\"");
    for (int i = 0; i < 10; i++) {
        double r = i % 2 ? 4.0 : 10.0, angle = PI * (i / 5.0 - 0.5);

        vt_buf_printf(c->out, "%c%.2f %.2f", i ? 'L' : 'M', x + r * cos(angle), y + r * sin(angle));
    }
    vt_buf_printf(c->out, "Z\" fill=\"%s\" stroke=\"#fff\"/>\n", colour);
}

/* Series after the first eight have the colours again, with other shapes. */
static void draw_marker(struct vt_buf *out, size_t series, double x, double y)
{
    const char *colour = colour_of(series);

    switch ((series + series / N_COLOURS) % N_SHAPES) {
    case 0:
        vt_buf_printf(out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"3.5\" fill=\"%s\"/>\n", x, y, colour);
        break;
    case 1:
        vt_buf_printf(out, "<path d=\"M%.2f %.2fh6v6h-6Z\" fill=\"%s\"/>\n", x - 3, y - 3, colour);
        break;
    case 2:
        vt_buf_printf(out, "<path d=\"M%.2f %.2fl4 7h-8Z\" fill=\"%s\"/>\n", x, y - 4, colour);
        break;
    default:
        vt_buf_printf(out, "<path d=\"M%.2f %.2fl4 4l-4 4l-4 -4Z\" fill=\"%s\"/>\n", x, y - 4, colour);
    }
}

static void draw_band(struct chart *c, const struct vt_series *s, const char *colour)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        if (vt_has_spread(s, i))
            vt_buf_printf(c->out, "%s%.2f %.2f", n++ ? "L" : "<path d=\"M", vt_axis_place(&c->x, s->x[i]),
                          vt_axis_place(&c->y, s->hi[i]));
    if (n == 0)
        return;
    for (size_t i = s->n; i-- > 0;)
        if (vt_has_spread(s, i))
            vt_buf_printf(c->out, "L%.2f %.2f", vt_axis_place(&c->x, s->x[i]), vt_axis_place(&c->y, s->lo[i]));
    vt_buf_printf(c->out, "Z\" fill=\"%s\" fill-opacity=\"0.15\"/>\n", colour);
}

static void draw_line(struct chart *c, const struct vt_series *s, const char *colour)
{
    bool is_down = false;

    draw_band(c, s, colour);
    vt_buf_puts(c->out, "<path d=\"");
    for (size_t i = 0; i < s->n; i++) {
        if (!vt_has_point(s, i)) {
            is_down = false;
            continue;
        }
        vt_buf_printf(c->out, "%c%.2f %.2f", is_down ? 'L' : 'M', vt_axis_place(&c->x, s->x[i]),
                      vt_axis_place(&c->y, s->y[i]));
        is_down = true;
    }
    vt_buf_printf(c->out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", colour);
}

static void draw_error_bar(struct chart *c, const struct vt_series *s, size_t i, double x, const char *colour)
{
    if (vt_has_spread(s, i))
        vt_buf_printf(c->out, "<path d=\"M%.2f %.2fV%.2f\" stroke=\"%s\"/>\n", x, vt_axis_place(&c->y, s->lo[i]),
                      vt_axis_place(&c->y, s->hi[i]), colour);
}

static void draw_points(struct chart *c, const struct vt_series *s, size_t index)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!vt_has_point(s, i))
            continue;
        double x = vt_axis_place(&c->x, s->x[i]), y = vt_axis_place(&c->y, s->y[i]);

        if (c->p->kind == VT_PLOT_SCATTER)
            draw_error_bar(c, s, i, x, colour_of(index));
        if (s->star == (long)i)
            draw_star(c, x, y, colour_of(index));
        else
            draw_marker(c->out, index, x, y);
    }
}

static void draw_bars(struct chart *c, const struct vt_series *s, size_t index)
{
    double slot = 0.8 / (double)c->p->n_series;
    double floor_at = c->y.log ? c->y.from : vt_axis_place(&c->y, 0);

    for (size_t i = 0; i < s->n; i++) {
        double x0 = s->x[i] - 0.4 + slot * (double)index, a = vt_axis_place(&c->x, x0),
               b = vt_axis_place(&c->x, x0 + slot * 0.92);
        double y = vt_axis_place(&c->y, s->y[i]);

        if (!vt_has_point(s, i))
            continue;
        vt_buf_printf(c->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n", a,
                      fmin(y, floor_at), b - a, fabs(floor_at - y), colour_of(index));
        draw_error_bar(c, s, i, (a + b) / 2, "#222");
    }
}

static void draw_legend(struct chart *c)
{
    int x = c->m->width - c->m->right + 12;
    size_t room = (size_t)(c->m->right - 31) / 6; /* a name that just fits is not cut, though its letters were wide */

    for (size_t s = 0; s < c->p->n_series; s++) {
        int y = c->m->top + 10 + LEGEND_LINE * (int)s;

        if (!c->p->series[s].name || !*c->p->series[s].name)
            continue;
        if (c->p->kind == VT_PLOT_BAR)
            vt_buf_printf(c->out, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>", x, y,
                          colour_of(s));
        if (c->p->kind == VT_PLOT_LINE)
            vt_buf_printf(c->out, "<path d=\"M%d %dh14\" stroke=\"%s\" stroke-width=\"2\"/>", x, y + 6, colour_of(s));
        if (c->p->kind != VT_PLOT_BAR)
            draw_marker(c->out, s, x + 7, y + 6);
        vt_buf_printf(c->out, "<text x=\"%d\" y=\"%d\">", x + 19, y + 10);
        put_label(c->out, c->p->series[s].name, room);
        vt_buf_puts(c->out, "</text>\n");
    }
}

/* ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────────────
 */

/* Names of categories slant where they would run into each other; the room below grows by what the longest needs, the
 * room above by the rows of brackets. */
static void place_labels(struct chart *c)
{
    const struct vt_plot *p = c->p;
    size_t longest = 0;

    for (size_t i = 0; p->categories && i < p->n_categories; i++)
        longest = label_length(p->categories[i]) > longest ? label_length(p->categories[i]) : longest;
    c->floor = c->m->height - c->m->bottom;
    c->is_slanted = longest > 0 && (double)((longest + 1) * LETTER) >
                                       (c->m->width - c->m->left - c->m->right) / (double)p->n_categories;
    if (c->is_slanted)
        c->floor -= sin(SLANT * PI / 180) * (double)(longest * LETTER) - 4;
    c->ceiling = c->m->top + BRACKET * (double)vt_bracket_rows(p, c->brackets);
}

static vt_status draw_chart(struct chart *c, char letter, vt_err *err)
{
    const struct vt_plot *p = c->p;

    if (p->n_brackets > MAX_BRACKETS)
        return vt_fail(err, VT_EINVAL, "the plot \"%s\" has %zu brackets; at most %d can be drawn",
                       p->title ? p->title : "", p->n_brackets, (int)MAX_BRACKETS);
    place_labels(c);
    VT_TRY(vt_axes_of(p, &c->x, &c->y, err));
    c->x.from = c->m->left;
    c->x.to = c->m->width - c->m->right;
    c->y.from = c->floor;
    c->y.to = c->ceiling;
    draw_frame(c, letter);
    for (size_t s = 0; s < p->n_series; s++) {
        if (p->kind == VT_PLOT_BAR) {
            draw_bars(c, &p->series[s], s);
            continue;
        }
        if (p->kind == VT_PLOT_LINE)
            draw_line(c, &p->series[s], colour_of(s));
        draw_points(c, &p->series[s], s);
    }
    draw_brackets(c);
    draw_legend(c);
    return VT_OK;
}

vt_status vt_plot_svg(const struct vt_plot *panels, size_t n, size_t columns, struct vt_buf *out, vt_err *err)
{
    const struct measures *m = n > 1 ? &panel : &alone;

    columns = columns < 1 ? 1 : columns > n ? n : columns;
    if (n == 0)
        return vt_fail(err, VT_EINVAL, "a figure needs at least one panel");
    int width = m->width * (int)columns, height = m->height * (int)((n + columns - 1) / columns);
    vt_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                  "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
                  width, height, width, height, width, height);
    for (size_t i = 0; i < n; i++) {
        struct chart c = {.p = &panels[i], .m = m, .out = out};

        if (n > 1)
            vt_buf_printf(out, "<g transform=\"translate(%d %d)\">\n", m->width * (int)(i % columns),
                          m->height * (int)(i / columns));
        VT_TRY(draw_chart(&c, n > 1 && n <= 26 ? (char)('a' + i) : '\0', err));
        if (n > 1)
            vt_buf_puts(out, "</g>\n");
    }
    vt_buf_puts(out, "</svg>\n");
    return vt_buf_check(out, "a plot", err);
}
