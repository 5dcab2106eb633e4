/* SPDX-License-Identifier: Apache-2.0
 *
 * plot_svg.c: the drawing is checked by what it must contain (one mark a point, gaps, escapes) and by what it refuses.
 */
#include "no_memory.h"
#include "plot/plot.h"

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

static void line_with_star_and_gap(void)
{
    const double x[] = {0, 1, 2, 3}, y[] = {0.1, (double)NAN, 0.4, 0.3}, lo[] = {0, 0, 0.3, 0.2},
                 hi[] = {0.2, 1, 0.5, 0.4}, ref[] = {0.25};
    struct vt_series s = {.name = "a<b", .x = x, .y = y, .lo = lo, .hi = hi, .n = 4, .star = 2};
    struct vt_plot p = {.kind = VT_PLOT_LINE,
                        .title = "t & t",
                        .x_label = "step",
                        .y_label = "fast_1",
                        .series = &s,
                        .n_series = 1,
                        .ref_y = ref,
                        .n_ref_y = 1};
    struct vt_buf out, again;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    vt_buf_init(&again, 1 << 20);
    CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
    CHECK_OK(vt_plot_svg(&p, 1, 1, &again, &err), err);
    CHECK_STR(out.p, again.p);
    CHECK_INT(count(out.p, "<circle"), 2 + 1); /* four points, one a gap, one the star; the legend */
    CHECK_INT(count(out.p, "a&lt;b"), 1);
    CHECK_INT(count(out.p, "t &amp; t"), 1);
    CHECK_INT(count(out.p, "stroke-dasharray"), 1);
    CHECK_INT(count(out.p, "nan"), 0);
    vt_buf_free(&out);
    vt_buf_free(&again);
}

static void what_is_not_finite_is_left_out(void)
{
    const double nan = (double)NAN, x[] = {0, 1, nan, 3}, y[] = {1, 2, 3, 4}, lo[] = {0, nan, 1, 2},
                 hi[] = {2, 3, nan, HUGE_VAL};
    struct vt_series s = {.name = "a", .x = x, .y = y, .lo = lo, .hi = hi, .n = 4, .star = -1};
    struct vt_plot p = {.kind = VT_PLOT_LINE, .title = "t", .series = &s, .n_series = 1};
    struct vt_buf out;
    vt_err err;

    for (int kind = 0; kind < 2; kind++) {
        p.kind = kind ? VT_PLOT_BAR : VT_PLOT_LINE;
        p.n_categories = 4;
        vt_buf_init(&out, 1 << 20);
        CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
        CHECK_INT(count(out.p, "nan") + count(out.p, "inf"), 0);
        CHECK_INT(count(out.p, kind ? "<rect" : "<circle"), kind ? 1 + 3 + 1 : 3 + 1);
        vt_buf_free(&out);
    }
}

static void bars(void)
{
    static const char *const names[] = {"relu", "softmax"};
    const double x[] = {0, 1}, y[] = {2, 3};
    struct vt_series s[] = {{.name = "a", .x = x, .y = y, .n = 2, .star = -1},
                            {.name = "b", .x = x, .y = y, .n = 2, .star = -1}};
    struct vt_plot p = {
        .kind = VT_PLOT_BAR, .title = "", .series = s, .n_series = 2, .categories = names, .n_categories = 2};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
    CHECK_INT(count(out.p, "<rect"), 1 + 4 + 2); /* background, bars, legend */
    CHECK_INT(count(out.p, "softmax"), 1);
    CHECK_INT(count(out.p, "height=\"0.00\""), 0); /* bars stand on zero, not on the smallest value */
    double low = 0, high = 0;
    const char *at = strstr(strstr(out.p, "fill=\"#fff\""), "<rect");
    CHECK(sscanf(strstr(at, "height=\""), "height=\"%lf", &low) == 1);
    CHECK(sscanf(strstr(strstr(at + 1, "<rect"), "height=\""), "height=\"%lf", &high) == 1);
    CHECK_NEAR(high / low, 1.5, 0.01);
    double top = 0, whole = 0; /* and zero is on the page */
    CHECK(sscanf(strstr(strstr(at, "<rect"), " y=\""), " y=\"%lf", &top) == 1);
    CHECK(sscanf(strstr(out.p, " height=\""), " height=\"%lf", &whole) == 1);
    CHECK(top + low < whole);
    vt_buf_free(&out);
}

/* How often a text element holds just this. */
static size_t count_text(const char *svg, const char *text)
{
    char what[64];

    snprintf(what, sizeof what, ">%s</text>", text);
    return count(svg, what);
}

/* Four steps of a run: no half steps between them, one star, and a band for the series that has one. */
static void whole_numbers_have_whole_ticks(void)
{
    const double x[] = {0, 1, 2, 3}, y[] = {0.1, 0.3, 0.4, 0.3}, lo[] = {0, 0.2, 0.3, 0.2}, hi[] = {0.2, 0.4, 0.5, 0.4};
    struct vt_series s[] = {{.name = "a", .x = x, .y = y, .lo = lo, .hi = hi, .n = 4, .star = 2},
                            {.name = "sample_fast_1_sure", .x = x, .y = lo, .n = 4, .star = -1}};
    struct vt_plot p = {.kind = VT_PLOT_LINE, .title = "t", .series = s, .n_series = 2};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
    for (int i = 0; i < 4; i++) {
        char tick[8];
        snprintf(tick, sizeof tick, "%d", i);
        CHECK(count_text(out.p, tick) >= 1);
    }
    CHECK_INT(count_text(out.p, "0.5") + count_text(out.p, "1.5") + count_text(out.p, "2.5"), 1); /* 0.5 of y */
    CHECK_INT(count_text(out.p, "sample_fast_1_sure"), 1); /* a legend's name is not cut where there is room */
    CHECK_INT(count(out.p, "fill-opacity"), 1);
    CHECK_INT(count(out.p, "<circle"), 3 + 1);  /* four points, one the star; the legend */
    CHECK_INT(count(out.p, "h6v6h-6Z"), 4 + 1); /* the second series has a shape of its own */
    vt_buf_free(&out);
}

/* Twelve names of tasks under twelve bars slant, and the axis makes room; three of them stand upright. */
static void names_do_not_collide(void)
{
    static const char *const names[] = {
        "matvec", "scale_matrix", "diag_matmul", "upper_matmul", "lower_matmul",
        "relu",   "leaky_relu",   "softmax",     "layer_norm",   "an_operation_with_a_long_name",
        "conv",   "sum"};
    double x[12], y[12];
    struct vt_series s = {.name = "a", .x = x, .y = y, .n = 12, .star = -1};
    struct vt_plot p = {
        .kind = VT_PLOT_BAR, .title = "t", .series = &s, .n_series = 1, .categories = names, .n_categories = 12};
    struct vt_buf out;
    vt_err err;

    for (int i = 0; i < 12; i++) {
        x[i] = i;
        y[i] = i + 1;
    }
    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
    CHECK_INT(count(out.p, "rotate(-35)"), 12);
    CHECK_INT(count_text(out.p, "an_operation_wit\xe2\x80\xa6"), 1);
    CHECK_INT(count(out.p, "M72 40V384H560"), 0);
    vt_buf_free(&out);
    vt_buf_init(&out, 1 << 20);
    s.n = p.n_categories = 3;
    CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
    CHECK_INT(count(out.p, "rotate(-35)"), 0);
    CHECK_INT(count(out.p, "M72 40V384H560"), 1);
    vt_buf_free(&out);
}

/* Values that differ in their last bits only, near one and far from it: the axis is drawn around one value, and ends.
 */
static void nearly_equal(void)
{
    static const double at[] = {1, -3e8, 1e-300, 1e300};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        double x[] = {1, 2}, y[] = {at[i], nextafter(at[i], 0)};
        struct vt_series s = {.name = "s", .x = x, .y = y, .n = 2, .star = -1};
        struct vt_plot p = {.kind = VT_PLOT_LINE, .title = "t", .series = &s, .n_series = 1};
        struct vt_buf out;
        vt_err err = {0};
        for (int turn = 0; turn < 2; turn++) {
            s.x = turn ? y : x;
            s.y = turn ? x : y;
            vt_buf_init(&out, 1 << 20);
            CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
            CHECK(out.len < 8192);
            vt_buf_free(&out);
        }
    }
}

/* The attribute of the n-th element that begins with `what`. */
static double number_at(const char *svg, const char *what, size_t n, const char *attribute)
{
    const char *at = strstr(svg, what);
    double v = (double)NAN;

    for (; at && n > 0; n--)
        at = strstr(at + 1, what);
    at = at ? strstr(at, attribute) : NULL;
    if (at)
        (void)!sscanf(at + strlen(attribute), "%lf", &v);
    return v;
}

/* Two brackets that share a bar stand above each other, a third beside the first; all of them above the highest bar. */
static void brackets(void)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    const double x[] = {0, 1, 2, 3}, y[] = {1, 2, 3, 4};
    const struct vt_bracket of[] = {{0, 1, "p = 0.01"}, {1, 2, "n.s."}, {2, 3, "p < 0.001"}};
    struct vt_series s = {.name = "s", .x = x, .y = y, .n = 4, .star = -1};
    struct vt_plot p = {.kind = VT_PLOT_BAR,
                        .title = "t",
                        .series = &s,
                        .n_series = 1,
                        .categories = names,
                        .n_categories = 4,
                        .brackets = of,
                        .n_brackets = 3};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
    CHECK_INT(count(out.p, "v-5H"), 3);
    CHECK_INT(count_text(out.p, "p &lt; 0.001"), 1);
    double row[3], bar = number_at(out.p, "<rect", 4, " y=\"");
    const char *at = out.p;
    for (int i = 0; i < 3; i++) {
        at = strstr(at + 1, "v-5H"); /* M<x> <y>v-5H */
        const char *begin = at;
        while (begin[-1] != ' ')
            begin--;
        CHECK(sscanf(begin, "%lf", &row[i]) == 1);
    }
    CHECK_NEAR(row[2], row[0], 0.01);
    CHECK(row[1] < row[0] - 10);
    CHECK(row[0] < bar);
    vt_buf_free(&out);
}

/* A region with one end open reaches the edge, one beyond what is shown is left out, and none widens the axes. */
static void regions(void)
{
    const double x[] = {0, 1}, y[] = {0, 1};
    const struct vt_region of[] = {{"right", 0.5, HUGE_VAL, -HUGE_VAL, 50}, {"far", 7, 9, 0, 1}};
    struct vt_series s = {.name = "s", .x = x, .y = y, .lo = x, .hi = y, .n = 2, .star = -1};
    struct vt_plot p = {.kind = VT_PLOT_SCATTER,
                        .title = "t",
                        .series = &s,
                        .n_series = 1,
                        .ref_x = x,
                        .n_ref_x = 2,
                        .regions = of,
                        .n_regions = 2};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
    CHECK(strstr(out.p, "M316.00 384.00H560.00V40.00H316.00Z") != NULL);
    CHECK_INT(count_text(out.p, "right"), 1);
    CHECK_INT(count_text(out.p, "far") + count_text(out.p, "50"), 0);
    CHECK_INT(count(out.p, "stroke-dasharray"), 2);
    CHECK_INT(count(out.p, "stroke=\"#0072B2\"/>"), 2); /* error bars have their series' colour */
    vt_buf_free(&out);
}

/* Three panels two beside each other: a page of two rows, a letter each, and every chart in its own place. */
static void panels(void)
{
    const double x[] = {0, 1}, y[] = {2, 3};
    struct vt_series s = {.name = "s", .x = x, .y = y, .n = 2, .star = -1};
    struct vt_plot p = {.kind = VT_PLOT_LINE, .title = "t", .series = &s, .n_series = 1}, three[] = {p, p, p};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_svg(three, 3, 2, &out, &err), err);
    CHECK(strstr(out.p, "viewBox=\"0 0 960 680\"") != NULL);
    CHECK_INT(count(out.p, "translate(0 0)") + count(out.p, "translate(480 0)") + count(out.p, "translate(0 340)"), 3);
    CHECK_INT(count(out.p, ">c\xe2\x80\x83t<"), 1);
    CHECK_INT(count(out.p, "<svg"), 1);
    CHECK_INT(vt_plot_svg(three, 0, 2, &out, &err), VT_EINVAL);
    vt_buf_free(&out);
}

/* The terminal's chart: points at their places, the chosen one a star, no line longer than asked. */
static void text_of_lines(void)
{
    const double x[] = {0, 1, 2}, y[] = {0, 10, 5}, ref[] = {5};
    struct vt_series s[] = {{.name = "first", .x = x, .y = y, .n = 3, .star = 1},
                            {.name = "second", .x = x, .y = x, .n = 3, .star = -1}};
    struct vt_plot p = {.kind = VT_PLOT_LINE,
                        .title = "title",
                        .x_label = "step",
                        .series = s,
                        .n_series = 2,
                        .ref_y = ref,
                        .n_ref_y = 1};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_text(&p, 60, &out, &err), err);
    CHECK(strncmp(out.p, "title\n", 6) == 0);
    CHECK_INT(count(out.p, "★"), 1);
    CHECK_INT(count(out.p, "●"), 1 + 1); /* the third point and the legend: at x = 0 the second series lies over it */
    CHECK_INT(count(out.p, "■"), 3 + 1);
    CHECK(count(out.p, "·") > 20 && count(out.p, "╌") > 20);
    CHECK_INT(count(out.p, " 10 ┤"), 1);
    CHECK(strstr(out.p, "  x: step\n") != NULL);
    size_t letters = 0;
    for (const char *at = out.p; *at; at++) {
        letters = *at == '\n' ? 0 : letters + (((unsigned char)*at & 0xc0) != 0x80);
        CHECK(letters <= 60);
    }
    vt_buf_free(&out);
}

static void text_of_bars(void)
{
    static const char *const names[] = {"frozen", "adapted"};
    const double x[] = {0, 1}, y[] = {1, 3}, lo[] = {0.5, 2}, hi[] = {1.5, 4};
    const struct vt_bracket b[] = {{0, 1, "p = 0.03"}};
    const struct vt_region r[] = {{"worse", -HUGE_VAL, HUGE_VAL, -HUGE_VAL, 1}};
    struct vt_series s = {.name = "s", .x = x, .y = y, .lo = lo, .hi = hi, .n = 2, .star = -1};
    struct vt_plot p = {.kind = VT_PLOT_BAR,
                        .title = "t",
                        .series = &s,
                        .n_series = 1,
                        .categories = names,
                        .n_categories = 2,
                        .brackets = b,
                        .n_brackets = 1,
                        .regions = r,
                        .n_regions = 1};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_plot_text(&p, 80, &out, &err), err);
    CHECK(strstr(out.p, " 3 [2, 4]\n") != NULL && strstr(out.p, "frozen and adapted: p = 0.03\n") != NULL);
    CHECK(strstr(out.p, "region worse, y up to 1\n") != NULL);
    const char *second = strstr(out.p, "  adapted ");
    size_t all = count(out.p, "█"), of_second = second ? count(second, "█") : 0;
    CHECK(of_second > 20);
    CHECK_NEAR((double)of_second / (double)(all - of_second), 3, 0.3);
    vt_buf_free(&out);
}

/* A logarithmic axis of three decades has its powers, one of a decade and a half 1, 2 and 5 of each, a shorter one what
 * a linear one would have: never fewer than three ticks. */
static void ticks_of_logarithms(void)
{
    static const struct {
        double lo, hi;
        const char *has[3], *lacks;
    } of[] = {{1, 1000, {"1", "10", "1000"}, "20"}, {1, 40, {"2", "5", "20"}, "3"}, {2, 6, {"2", "3", "5"}, "1"}};

    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        const double x[] = {0.5, 0.25}, y[] = {of[i].lo, of[i].hi};
        struct vt_series s = {.name = "", .x = x, .y = y, .n = 2, .star = -1};
        struct vt_plot p = {.kind = VT_PLOT_LINE, .title = "t", .series = &s, .n_series = 1, .log_y = 10};
        struct vt_buf out;
        vt_err err;

        vt_buf_init(&out, 1 << 20);
        CHECK_OK(vt_plot_svg(&p, 1, 1, &out, &err), err);
        for (int k = 0; k < 3; k++)
            CHECK_INT(count_text(out.p, of[i].has[k]), 1);
        CHECK_INT(count_text(out.p, of[i].lacks), 0);
        vt_buf_free(&out);
    }
}

static void refusals(void)
{
    const double x[] = {0, 1}, y[] = {(double)NAN, (double)NAN}, z[] = {0, 1};
    struct vt_series s = {.name = "a", .x = x, .y = y, .n = 2, .star = -1};
    struct vt_plot p = {.kind = VT_PLOT_LINE, .title = "empty", .series = &s, .n_series = 1};
    struct vt_buf out;
    vt_err err;

    vt_buf_init(&out, 1 << 20);
    CHECK_INT(vt_plot_svg(&p, 1, 1, &out, &err), VT_EINVAL);
    s.y = z;
    p.log_y = 10;
    CHECK_INT(vt_plot_svg(&p, 1, 1, &out, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "logarithmic") != NULL);
    CHECK_INT(vt_plot_text(&p, 80, &out, &err), VT_EINVAL);
    vt_buf_free(&out);
}

static vt_status draw(void *arg, vt_err *err)
{
    struct vt_buf out;

    vt_buf_init(&out, 1 << 20);
    vt_status status = vt_plot_svg(arg, 1, 1, &out, err);
    vt_buf_free(&out);
    return status;
}

static vt_status draw_text(void *arg, vt_err *err)
{
    struct vt_buf out;

    vt_buf_init(&out, 1 << 20);
    vt_status status = vt_plot_text(arg, 80, &out, err);
    vt_buf_free(&out);
    return status;
}

static void no_memory(void)
{
    const double x[] = {0, 1}, y[] = {2, 3};
    struct vt_series s = {.name = "a", .x = x, .y = y, .lo = x, .hi = y, .n = 2, .star = 1};
    struct vt_plot p = {.kind = VT_PLOT_LINE, .title = "t", .series = &s, .n_series = 1};

    fail_each("vt_plot_svg", draw, &p, MUST_FAIL);
    fail_each("vt_plot_text", draw_text, &p, MUST_FAIL);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(line_with_star_and_gap),
                                         TEST(what_is_not_finite_is_left_out),
                                         TEST(bars),
                                         TEST(whole_numbers_have_whole_ticks),
                                         TEST(names_do_not_collide),
                                         TEST(nearly_equal),
                                         TEST(ticks_of_logarithms),
                                         TEST(brackets),
                                         TEST(regions),
                                         TEST(panels),
                                         TEST(text_of_lines),
                                         TEST(text_of_bars),
                                         TEST(refusals),
                                         TEST(no_memory)};
TEST_MAIN(cases)
