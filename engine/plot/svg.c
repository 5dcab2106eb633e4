/* SPDX-License-Identifier: Apache-2.0
 *
 * svg.c: lays out one chart: find the ranges, choose round ticks, draw axes, then the series, then the legend.
 * Coordinates are printed with two decimals, so the text does not depend on the last bits of floating point.
 */
#include "plot/plot.h"
#include <math.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 440, LEFT = 72, RIGHT = 160, TOP = 40, BOTTOM = 56 };
/* Text has no measure here: a letter of 12 pixels is taken to be 7 wide, which is more than most are. */
enum { LETTER = 7, MAX_LABEL = 16, SLANT = 35 };
enum { MAX_TICKS = 100 };

static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#F0E442", "#000000"};

struct axis {
    double lo, hi; /* in axis units: log'd when log */
    int log;
    double from, to; /* pixels */
};

struct chart {
    const struct vt_plot *p;
    struct axis x, y;
    struct vt_buf *out;
    double floor;     /* pixels: where the plot ends and what is written below it begins */
    bool is_slanted;  /* names of categories, which would run into each other */
    bool is_whole[2]; /* x, y: every value is a whole number, so a tick between two of them would name nothing */
};

static const char *colour_of(size_t i)
{
    return colours[i % (sizeof colours / sizeof colours[0])];
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

static double to_axis(const struct axis *a, double v)
{
    return a->log ? log(v) / log((double)a->log) : v;
}

static double to_pixel(const struct axis *a, double v)
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

/* What is not finite is left out: the point, or only its band or bar. */
static bool has_point(const struct vt_series *s, size_t i)
{
    return isfinite(s->x[i]) && isfinite(s->y[i]);
}

static bool has_spread(const struct vt_series *s, size_t i)
{
    return s->lo && s->hi && has_point(s, i) && isfinite(s->lo[i]) && isfinite(s->hi[i]);
}

static vt_status find_ranges(struct chart *c, vt_err *err)
{
    const struct vt_plot *p = c->p;

    for (size_t s = 0; s < p->n_series; s++) {
        const struct vt_series *series = &p->series[s];

        for (size_t i = 0; i < series->n; i++) {
            if (!has_point(series, i))
                continue;
            VT_TRY(widen(&c->x, series->x[i], "x", err));
            VT_TRY(widen(&c->y, series->y[i], "y", err));
            c->is_whole[0] &= series->x[i] == rint(series->x[i]);
            c->is_whole[1] &= series->y[i] == rint(series->y[i]) && !has_spread(series, i);
            if (has_spread(series, i)) {
                VT_TRY(widen(&c->y, series->lo[i], "y", err));
                VT_TRY(widen(&c->y, series->hi[i], "y", err));
            }
        }
    }
    for (size_t i = 0; i < p->n_ref_y; i++)
        VT_TRY(widen(&c->y, p->ref_y[i], "y", err));
    if (p->kind == VT_PLOT_BAR) {
        c->x.lo = -0.5;
        c->x.hi = (double)p->n_categories - 0.5;
        if (!c->y.log)
            VT_TRY(widen(&c->y, 0, "y", err));
    }
    if (!(c->x.lo <= c->x.hi) || !(c->y.lo <= c->y.hi))
        return vt_fail(err, VT_EINVAL, "the plot \"%s\" has no finite point to draw", p->title ? p->title : "");
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

/* A round step (1, 2 or 5 times a power of ten) that gives four to nine ticks. */
static double round_step(double span)
{
    double raw = span / 6, power = pow(10, floor(log10(raw))), share = raw / power;

    return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
}

static void tick_label(struct vt_buf *out, double v)
{
    vt_buf_printf(out, fabs(v) >= 1e5 || (v != 0 && fabs(v) < 1e-3) ? "%.0e" : "%.6g", v);
}

/* Between ticks, in units of the axis: powers of a logarithmic axis are whole, and so are the values of whole numbers.
 */
static double step_of(const struct axis *a, bool is_whole)
{
    double step = round_step(a->hi - a->lo);

    return a->log || is_whole ? fmax(1, step) : step;
}

/* The n-th tick, in units of the axis. They are counted, so that an axis as narrow as the last bits
 * of its values ends, too. */
static double tick(const struct axis *a, double step, int n)
{
    double t = (ceil(a->lo / step) + n) * step;

    return fabs(t) < 1e-9 * step ? 0 : t;
}

static int n_ticks(const struct axis *a, double step)
{
    double n = floor(a->hi / step + 1e-9) - ceil(a->lo / step) + 1;

    return n > 0 ? (int)fmin(n, MAX_TICKS) : 0;
}

static void draw_y_axis(struct chart *c)
{
    double step = step_of(&c->y, c->is_whole[1]);

    for (int n = 0; n < n_ticks(&c->y, step); n++) {
        double t = tick(&c->y, step, n), v = c->y.log ? pow(c->y.log, t) : t;
        double at = to_pixel(&c->y, v);

        vt_buf_printf(c->out, "<line x1=\"%d\" y1=\"%.2f\" x2=\"%d\" y2=\"%.2f\" stroke=\"#ddd\"/>", LEFT, at,
                      WIDTH - RIGHT, at);
        vt_buf_printf(c->out, "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\">", LEFT - 6, at + 4);
        tick_label(c->out, v);
        vt_buf_puts(c->out, "</text>\n");
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

/* A name that is longer than that ends in dots. */
static void put_label(struct vt_buf *out, const char *name)
{
    char text[4 * MAX_LABEL + 4];
    size_t n = 0, at = 0;

    for (; name[at]; at++) {
        n += ((unsigned char)name[at] & 0xc0) != 0x80;
        if (n > MAX_LABEL || at >= sizeof text - 4)
            break;
        text[at] = name[at];
    }
    text[at] = '\0';
    put_text(out, text);
    if (name[at])
        vt_buf_puts(out, "\xe2\x80\xa6");
}

static void x_tick(struct chart *c, double v, const char *name)
{
    double x = to_pixel(&c->x, v), y = c->floor + 18;

    if (c->is_slanted)
        vt_buf_printf(c->out, "<text transform=\"translate(%.2f %.2f) rotate(-%d)\" text-anchor=\"end\">", x + 4, y - 4,
                      (int)SLANT);
    else
        vt_buf_printf(c->out, "<text x=\"%.2f\" y=\"%.0f\" text-anchor=\"middle\">", x, y);
    if (name)
        put_label(c->out, name);
    else
        tick_label(c->out, v);
    vt_buf_puts(c->out, "</text>\n");
}

/* Names of categories slant where they would run into each other; the room below grows by what the longest needs. */
static void place_labels(struct chart *c)
{
    const struct vt_plot *p = c->p;
    size_t longest = 0;

    for (size_t i = 0; p->categories && i < p->n_categories; i++)
        longest = label_length(p->categories[i]) > longest ? label_length(p->categories[i]) : longest;
    c->floor = HEIGHT - BOTTOM;
    c->is_slanted = longest > 0 && (double)((longest + 1) * LETTER) > (WIDTH - LEFT - RIGHT) / (double)p->n_categories;
    if (c->is_slanted)
        c->floor -= sin(SLANT * 3.14159265358979 / 180) * (double)(longest * LETTER) - 4;
}

static void draw_x_axis(struct chart *c)
{
    const struct vt_plot *p = c->p;
    double step;

    if (p->categories) {
        for (size_t i = 0; i < p->n_categories; i++)
            x_tick(c, (double)i, p->categories[i]);
        return;
    }
    step = step_of(&c->x, c->is_whole[0]);
    for (int n = 0; n < n_ticks(&c->x, step); n++) {
        double t = tick(&c->x, step, n);
        x_tick(c, c->x.log ? pow(c->x.log, t) : t, NULL);
    }
}

static void draw_frame(struct chart *c)
{
    const struct vt_plot *p = c->p;

    draw_y_axis(c);
    draw_x_axis(c);
    vt_buf_printf(c->out, "<path d=\"M%d %dV%.0fH%d\" fill=\"none\" stroke=\"#444\"/>\n", LEFT, TOP, c->floor,
                  WIDTH - RIGHT);
    vt_buf_printf(c->out, "<text x=\"%d\" y=\"24\" font-size=\"15\" font-weight=\"bold\">", LEFT);
    put_text(c->out, p->title);
    vt_buf_printf(c->out, "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2,
                  HEIGHT - 14);
    put_text(c->out, p->x_label);
    vt_buf_printf(c->out, "</text>\n<text transform=\"translate(18 %.0f) rotate(-90)\" text-anchor=\"middle\">",
                  (TOP + c->floor) / 2);
    put_text(c->out, p->y_label);
    vt_buf_puts(c->out, "</text>\n");
    for (size_t i = 0; i < p->n_ref_y; i++) {
        double at = to_pixel(&c->y, p->ref_y[i]);

        vt_buf_printf(c->out,
                      "<line x1=\"%d\" y1=\"%.2f\" x2=\"%d\" y2=\"%.2f\" stroke=\"#888\" stroke-dasharray=\"5 4\"/>\n",
                      LEFT, at, WIDTH - RIGHT, at);
    }
}

static void draw_star(struct chart *c, double x, double y, const char *colour)
{
    vt_buf_puts(c->out, "<path d=\"");
    for (int i = 0; i < 10; i++) {
        double r = i % 2 ? 4.0 : 10.0, angle = 3.14159265358979 * (i / 5.0 - 0.5);

        vt_buf_printf(c->out, "%c%.2f %.2f", i ? 'L' : 'M', x + r * cos(angle), y + r * sin(angle));
    }
    vt_buf_printf(c->out, "Z\" fill=\"%s\" stroke=\"#fff\"/>\n", colour);
}

static void draw_band(struct chart *c, const struct vt_series *s, const char *colour)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        if (has_spread(s, i))
            vt_buf_printf(c->out, "%s%.2f %.2f", n++ ? "L" : "<path d=\"M", to_pixel(&c->x, s->x[i]),
                          to_pixel(&c->y, s->hi[i]));
    if (n == 0)
        return;
    for (size_t i = s->n; i-- > 0;)
        if (has_spread(s, i))
            vt_buf_printf(c->out, "L%.2f %.2f", to_pixel(&c->x, s->x[i]), to_pixel(&c->y, s->lo[i]));
    vt_buf_printf(c->out, "Z\" fill=\"%s\" fill-opacity=\"0.15\"/>\n", colour);
}

static void draw_line(struct chart *c, const struct vt_series *s, const char *colour)
{
    bool is_down = false;

    draw_band(c, s, colour);
    vt_buf_puts(c->out, "<path d=\"");
    for (size_t i = 0; i < s->n; i++) {
        if (!has_point(s, i)) {
            is_down = false;
            continue;
        }
        vt_buf_printf(c->out, "%c%.2f %.2f", is_down ? 'L' : 'M', to_pixel(&c->x, s->x[i]), to_pixel(&c->y, s->y[i]));
        is_down = true;
    }
    vt_buf_printf(c->out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", colour);
}

static void draw_points(struct chart *c, const struct vt_series *s, const char *colour)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!has_point(s, i))
            continue;
        if (s->star == (long)i)
            draw_star(c, to_pixel(&c->x, s->x[i]), to_pixel(&c->y, s->y[i]), colour);
        else
            vt_buf_printf(c->out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"3.5\" fill=\"%s\"/>\n", to_pixel(&c->x, s->x[i]),
                          to_pixel(&c->y, s->y[i]), colour);
    }
}

static void draw_bars(struct chart *c, const struct vt_series *s, size_t index, const char *colour)
{
    double slot = 0.8 / (double)c->p->n_series;
    double floor_at = c->y.log ? c->y.from : to_pixel(&c->y, 0);

    for (size_t i = 0; i < s->n; i++) {
        double x0 = s->x[i] - 0.4 + slot * (double)index, a = to_pixel(&c->x, x0),
               b = to_pixel(&c->x, x0 + slot * 0.92);
        double y = to_pixel(&c->y, s->y[i]);

        if (!has_point(s, i))
            continue;
        vt_buf_printf(c->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n", a,
                      fmin(y, floor_at), b - a, fabs(floor_at - y), colour);
        if (has_spread(s, i))
            vt_buf_printf(c->out, "<path d=\"M%.2f %.2fV%.2f\" stroke=\"#222\"/>\n", (a + b) / 2,
                          to_pixel(&c->y, s->lo[i]), to_pixel(&c->y, s->hi[i]));
    }
}

static void draw_legend(struct chart *c)
{
    for (size_t s = 0; s < c->p->n_series; s++) {
        int y = TOP + 10 + 18 * (int)s;

        if (!c->p->series[s].name || !*c->p->series[s].name)
            continue;
        vt_buf_printf(c->out,
                      "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">",
                      WIDTH - RIGHT + 12, y, colour_of(s), WIDTH - RIGHT + 30, y + 10);
        put_text(c->out, c->p->series[s].name);
        vt_buf_puts(c->out, "</text>\n");
    }
}

vt_status vt_plot_svg(const struct vt_plot *p, struct vt_buf *out, vt_err *err)
{
    struct chart c = {.p = p,
                      .x = {.lo = HUGE_VAL, .hi = -HUGE_VAL, .log = p->log_x, .from = LEFT, .to = WIDTH - RIGHT},
                      .y = {.lo = HUGE_VAL, .hi = -HUGE_VAL, .log = p->log_y, .to = TOP},
                      .out = out,
                      .is_whole = {true, true}};

    place_labels(&c);
    c.y.from = c.floor;
    VT_TRY(find_ranges(&c, err));
    if (p->kind != VT_PLOT_BAR)
        pad(&c.x, 0.03);
    pad(&c.y, 0.05);
    if (p->kind == VT_PLOT_BAR && !p->log_y && c.y.lo < 0 && c.y.lo > -0.06 * c.y.hi)
        c.y.lo = 0;
    vt_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                  "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_frame(&c);
    for (size_t s = 0; s < p->n_series; s++) {
        if (p->kind == VT_PLOT_BAR) {
            draw_bars(&c, &p->series[s], s, colour_of(s));
            continue;
        }
        if (p->kind == VT_PLOT_LINE)
            draw_line(&c, &p->series[s], colour_of(s));
        draw_points(&c, &p->series[s], colour_of(s));
    }
    draw_legend(&c);
    vt_buf_puts(out, "</svg>\n");
    return vt_buf_check(out, "a plot", err);
}
