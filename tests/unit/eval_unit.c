/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_unit.c: functions in a user's own file: what is compiled for a candidate, the truths of units worked out by
 * hand, the element types, and integers that may be off where runs disagree.
 */
#include "eval/c/assemble.h"
#include "eval/c/build.h"
#include "eval/c/inputs.h"
#include "eval/c/null.h"
#include "eval/c/unit.h"
#include "eval/sizes.h"
#include "eval_fixture.h"
#include "eval_tasks.h"

/* A unit over x[n] -> y[n] of these types, with the given file text around the function and body. */
static vt_task *make_unit(const char *x_type, const char *y_type, const char *before, const char *head,
                          const char *body, const char *truth, int n, const char *more, vt_err *err)
{
    char text[8192];
    vt_task *t = NULL;
    const char *c_types[2] = {"", ""}, *types[2] = {x_type, y_type};
    static const char *const names[][2] = {{"f32", "float"},        {"f64", "double"}, {"i32", "int"},
                                           {"u8", "unsigned char"}, {"i16", "short"},  {"i64", "long long"}};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (strcmp(names[i][0], types[k]) == 0)
                c_types[k] = names[i][1];
    bool is_int = x_type[0] != 'f', is_int_out = y_type[0] != 'f';
    snprintf(
        text, sizeof text,
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"f\",\"family\":\"user\",\"sizes\":{\"cpu\":{\"n\":%d}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"%s\",\"shape\":[\"n\"],\"dist\":%s,"
        "\"range\":[%s]},{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"%s\",\"shape\":[\"n\"]%s}],"
        "\"bytes\":\"n\",\"flops\":\"n\",\"body\":\"%s\",\"unit\":{\"before\":\"%s\",\"head\":\"%s\",\"after\":"
        "\"\\nint behind;\\n\",\"arguments\":\"x, y, n\",\"truth\":\"%s\","
        "\"entry\":\"__attribute__((visibility(\\\"default\\\"))) void vt_entry(%s *a, %s *b, int n) { f((const %s "
        "*)a, b, n); }\\n\"%s}}",
        n, x_type, is_int ? "[\"span\",\"ends\",\"sparse\"]" : "[\"uniform\"]", is_int ? "-5,7" : "-1,1", y_type,
        is_int_out ? ",\"compare\":\"bound\"" : "", body, before, head, truth, c_types[0], c_types[1], c_types[0],
        more);
    return vt_task_parse(text, strlen(text), &t, err) == VT_OK ? t : NULL;
}

static struct vt_expect expect_of(const char *x_type, const char *y_type, const char *before, const char *head,
                                  const char *body, const char *truth, const void *x, int n)
{
    struct vt_expect e = {0};
    vt_err err = {0};
    vt_truth *made = NULL;
    const void *buf[2] = {x, NULL};
    struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker(), .timeout_s = 5};
    vt_task *t = make_unit(x_type, y_type, before, head, body, truth, n, "", &err);
    CHECK_OK(t ? VT_OK : VT_EINVAL, err);
    if (t && vt_truth_new(t, &o, &made, &err) == VT_OK)
        CHECK_OK(vt_truth_run(made, "cpu", NULL, buf, &e, &err), err);
    else
        CHECK_OK(VT_EINVAL, err);
    vt_truth_free(made);
    vt_task_unref(t);
    return e;
}

static const char doubles[] = "static void f(const double *x, double *y, int n)";

/* u is 2^-53 for doubles: a factor of 2^29 too much would let floats pass. Sums keep what a double loses. */
static void doubles_have_their_own_bound(void)
{
    const double x[3] = {1.0, 0x1p-60, 0.7};
    struct vt_expect e = expect_of("f64", "f64", "", doubles,
                                   "y[0] = (x[0] + x[1]) - x[0]; y[1] = x[2] * x[2]; y[2] = x[2];", "text", x, 3);
    if (!e.n_arrays)
        return;
    CHECK_NEAR(e.array[1].value[0], 0x1p-60, 0);
    CHECK_NEAR(e.array[1].bound[0], 8 * 0x1p-53, 1e-3 * 8 * 0x1p-53);
    CHECK_NEAR(e.array[1].bound[1], 8 * 0x1p-53 * 0.7 * 0.7, 1e-25);
    CHECK_NEAR(e.array[1].value[2], 0.7, 0);
    CHECK_NEAR(e.array[1].bound[2], 0, 0);
    vt_expect_free(&e);
}

/* A float inside a function of doubles rounds as a float does; a constant of it is exact; functions keep the rest of
 * their argument. */
static void floats_among_doubles_round_as_floats(void)
{
    const double x[3] = {0.3, 2.0, 1.0};
    struct vt_expect e =
        expect_of("f64", "f64", "", doubles, "float s = (float)x[0]; y[0] = s; y[1] = sqrt(x[1]); y[2] = exp(x[2]);",
                  "text", x, 3);
    if (!e.n_arrays)
        return;
    CHECK_NEAR(e.array[1].bound[0], 8 * 0x1p-24 * 0.3, 1e-12);
    CHECK_NEAR(e.array[1].value[1], 1.4142135623730951, 3e-16);
    CHECK_NEAR(e.array[1].bound[1], 8 * 0x1p-53 * 1.4142135623730951, 1e-22);
    CHECK_NEAR(e.array[1].value[2], 2.718281828459045, 5e-16);
    vt_expect_free(&e);
}

static const char to_bytes[] = "void f(const float *x, unsigned char *y, int n)";

/* 0.5 exactly is where a float may go either way by its last bit only if something moves it; integers that no run moves
 * stay exact; rounding to nearest is no matter of the mode in which the runs are made. */
static void integers_may_be_off_where_runs_disagree(void)
{
    const float x[3] = {0.1f, 0.25f, 0.7f};
    struct vt_expect e =
        expect_of("f32", "u8", "#include <math.h>\\n", to_bytes,
                  "y[0] = (unsigned char)(x[0] * 3.0f * 10.0f); y[1] = (unsigned char)lrintf(x[1] * 100.0f); y[2] = "
                  "(unsigned char)lrintf(x[2] * 100.0f);",
                  "spread", x, 3);
    if (!e.n_arrays)
        return;
    CHECK_INT(e.array[1].exact[1], 25);
    CHECK_NEAR(e.array[1].bound[1], 0, 0);
    CHECK_INT(e.array[1].exact[2], 70);
    CHECK_NEAR(e.array[1].bound[2], 0, 0);
    CHECK_NEAR(e.array[1].bound[0], 2, 0);
    CHECK_INT(e.array[1].n_loose, 1);
    vt_expect_free(&e);
}

static void integers_of_integers_are_exact(void)
{
    const int x[4] = {3, -5, 7, 0};
    struct vt_expect e =
        expect_of("i32", "i64", "", "void f(const int *x, long long *y, int n)",
                  "for (int i = 0; i < n; i++) y[i] = (long long)x[i] * 3000000000ll;", "spread", x, 4);
    if (!e.n_arrays)
        return;
    CHECK_INT(e.array[1].exact[1], -15000000000ll);
    CHECK_INT(e.array[1].n_loose, 0);
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(e.array[1].bound[i], 0, 0);
    vt_expect_free(&e);
}

/* Four bytes are a float in C, not in the truth's types: runs tell the truth, the rule cannot. */
static void a_spread_covers_what_rounding_does(void)
{
    float x[64];
    for (int i = 0; i < 64; i++)
        x[i] = 0.1f + 0.01f * (float)i;
    struct vt_expect e = expect_of("f32", "f32", "#include <string.h>\\n", "void f(const float *x, float *y, int n)",
                                   "memcpy(y, x, n * 4); float s = 0; for (int i = 0; i < n; i++) s += y[i]; y[0] = s;",
                                   "spread", x, 64);
    if (!e.n_arrays)
        return;
    float pairs = 0;
    for (int i = 0; i < 64; i += 2)
        pairs += x[i] + x[i + 1];
    CHECK(fabs((double)pairs - e.array[1].value[0]) <= e.array[1].bound[0]);
    CHECK(e.array[1].bound[0] < 1e-3);
    CHECK_NEAR(e.array[1].value[5], (double)x[5], 0);
    vt_expect_free(&e);
}

/* ---- text ---- */

static char *assembled(vt_task *t, const char *text, bool is_whole)
{
    struct vt_buf unit;
    vt_err err = {0};
    struct vt_code code = {.text = (char *)(uintptr_t)text, .len = strlen(text), .is_whole = is_whole};
    CHECK_OK(vt_assemble(t, &code, &unit, &err), err);
    char *out = vt_buf_take(&unit, NULL);
    vt_buf_free(&unit);
    return out;
}

static void a_candidate_stands_in_the_file(void)
{
    vt_err err = {0};
    vt_task *t = make_unit("f32", "f32", "#define TWO 2\\n", "static void f(const float *x, float *y, int n)",
                           "y[0] = TWO * x[0];", "text", 8,
                           ",\"declaration\":\"static void f(const float *, float *, int);\"", &err);
    CHECK_OK(t ? VT_OK : VT_EINVAL, err);
    if (!t)
        return;
    char *body = assembled(t, "y[0] = 1; } int stray; {", false), *whole = assembled(t, "void f() {}", true);
    CHECK(strstr(body, "#define TWO 2\n#line 1 \"signature.c\"\nstatic void f(") == body);
    CHECK(strstr(body, "stray") == NULL); /* a body ends before a brace that would close the function */
    CHECK(strstr(body, "\n#line 1 \"rest.c\"\n\nint behind;\n") != NULL);
    CHECK(strstr(whole,
                 "#define TWO 2\nstatic void f(const float *, float *, int);\n#line 1 \"kernel.c\"\nvoid f() {}\n") !=
          NULL);
    CHECK(strstr(whole, "#include") == NULL); /* what the file does not include is not there */
    CHECK(strcmp(vt_task_signature(t), "static void f(const float *x, float *y, int n)") == 0);
    char *lifted = assembled(t, "#include <immintrin.h>\n\n    y[0] = 1;", false);
    const char *header = strstr(lifted, "#line 1 \"kernel.c\"\n#include <immintrin.h>\n#line 1 \"signature.c\"\n");
    CHECK(header && strstr(header, "{\n#line 1 \"kernel.c\"\n\n\n    y[0] = 1;\n}")); /* its lines keep their numbers */
    free(lifted);
    free(body);
    free(whole);
    vt_task_unref(t);
}

/* What a candidate says of macros, options and names ends where it ends. */
static void what_a_candidate_brings_ends_with_it(void)
{
    vt_err err = {0};
    vt_task *t = make_unit("f32", "f32", "#define TWO 2\\nstatic float half(float v) { return v / 2; }\\n",
                           "void f(const float *x, float *y, int n)", "y[0] = TWO * x[0];", "text", 8, "", &err);
    CHECK_OK(t ? VT_OK : VT_EINVAL, err);
    if (!t)
        return;
    char *whole = assembled(t,
                            "#define TWO 3\n# undef \\\n ONE\n#pragma GCC optimize(\"fast-math\")\n"
                            "static float half(float v) { return v * 0.5f; }\nstatic float own(void) { return 1; }\n"
                            "void f(const float *x, float *y, int n) { y[0] = half(x[0]) + own(); }",
                            true);
    char *body = assembled(t, "#define TWO 3\n    y[0] = TWO;", false), *plain = assembled(t, "y[0] = 1;", false);
    CHECK(strstr(whole, "#pragma push_macro(\"TWO\")\n#pragma push_macro(\"ONE\")\n#pragma push_macro(\"half\")\n"
                        "#define half f_half\n#pragma GCC push_options\n#pragma GCC diagnostic push\n"
                        "#line 1 \"kernel.c\"\n#define TWO 3\n") != NULL);
    CHECK(strstr(whole, "\n#pragma GCC diagnostic pop\n#pragma GCC pop_options\n#pragma pop_macro(\"half\")\n"
                        "#pragma pop_macro(\"ONE\")\n#pragma pop_macro(\"TWO\")\n#line 1 \"rest.c\"\n") != NULL);
    CHECK(strstr(whole, "f_own") == NULL && strstr(whole, "f_f") == NULL);
    CHECK(strstr(body, "#pragma push_macro(\"TWO\")\n") && strstr(body, "}\n#pragma pop_macro(\"TWO\")\n#line 1 "));
    CHECK(strstr(plain, "#pragma") == NULL);
    free(whole);
    free(body);
    free(plain);
    vt_task_unref(t);
}

/* What a whole function for an ordinary task may be called with, asked of the compiler. */
static void a_prototype_is_a_sentence(void)
{
    static const struct {
        const char *text;
        bool is_fine;
    } cases[] = {
        {"void row_sum(const float *a, float *restrict b, int rows, int cols) { b[0] = a[rows - rows + cols - cols]; }",
         true},
        {"void row_sum(float a[], float b[], unsigned long m, unsigned long n) { b[0] = a[m - n]; }", true},
        {"void row_sum(float *y, const float *x, int m, int n) { y[0] = x[m - n]; }", false},
        {"void row_sum(const double *x, double *y, int m, int n) { y[0] = x[m - n]; }", false},
        {"void row_sum(const float *x, float *y, int n) { y[0] = x[n]; }", false},
        {"float row_sum(const float *x, float *y, int m, int n) { return y[0] = x[m - n]; }", false}};
    struct vt_compiler cc;
    vt_err err = {0};
    vt_task *t = fixture_task("row_sum");
    CHECK_OK(vt_compiler_find(NULL, &cc, &err), err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vt_build b;
        char *unit = assembled(t, cases[i].text, true);
        CHECK_OK(vt_build_run(work_broker(), &cc, NULL, NULL, unit, strlen(unit), "row_sum", &b, &err), err);
        CHECK((b.end == VT_BUILD_OK) == cases[i].is_fine);
        CHECK(
            (strstr(b.log, "the prototype must be: void row_sum(const float *restrict x, float *restrict y, int m, int "
                           "n)") == NULL) == cases[i].is_fine);
        vt_build_free(&b);
        free(unit);
    }
    vt_compiler_free(&cc);
    vt_task_unref(t);
}

static void options_say_how_code_is_made(void)
{
    static const struct {
        const char *flags;
        bool is_fine;
    } sets[] = {{"\"-O2\",\"-march=native\",\"-fopenmp-simd\",\"-DX=1\",\"-std=c11\"", true},
                {"\"-fplugin=x.so\"", false},
                {"\"-o\"", false},
                {"\"-Wl,-rpath,.\"", false},
                {"\"-fopenmp\"", false},
                {"\"@file\"", false},
                {"\"-I/etc\"", false}};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        char more[200];
        vt_err err = {0};
        snprintf(more, sizeof more, ",\"cflags\":[%s]", sets[i].flags);
        vt_task *t = make_unit("f32", "f32", "", "void f(const float *x, float *y, int n)", "y[0] = x[0];", "text", 8,
                               more, &err);
        CHECK((t != NULL) == sets[i].is_fine);
        vt_task_unref(t);
    }
}

static void null_candidates_call_the_original(void)
{
    vt_err err = {0};
    vt_layout l;
    struct vt_null *list;
    size_t n = 0;
    bool has[3] = {false, false, false};
    vt_task *t = make_unit("u8", "i32", "", "void f(const unsigned char *x, int *y, int n)", "y[0] = x[0];", "spread",
                           64, "", &err);
    if (!t) { /* the range of the fixture is no range of bytes */
        CHECK(strstr(err.msg, "u8") != NULL);
        t = make_unit("i16", "i32", "", "void f(const short *x, int *y, int n)", "y[0] = x[0];", "spread", 64, "",
                      &err);
    }
    CHECK_OK(vt_task_layout(t, "cpu", &l, &err), err);
    CHECK_OK(vt_null_list(t, &l, &list, &n, &err), err);
    for (size_t i = 0; i < n; i++) {
        has[0] |= strcmp(list[i].name, "off_by_one") == 0;
        has[1] |= strcmp(list[i].name, "half_outputs") == 0; /* there are no floats */
        if (strcmp(list[i].name, "sampled") == 0)
            has[2] = strstr(list[i].body, "vt_original(x, y, n)") && strstr(list[i].body, "x = (void *)vt_copy0");
    }
    CHECK(has[0] && !has[1] && has[2]);
    vt_null_free(list, n);
    vt_task_unref(t);
}

/* ---- inputs and outputs ---- */

static void integers_reach_both_ends(void)
{
    enum { N = 4096 };
    static short x[N];
    vt_err err = {0};
    vt_task *t =
        make_unit("i16", "i32", "", "void f(const short *x, int *y, int n)", "y[0] = x[0];", "spread", N, "", &err);
    void *buf[2] = {x, NULL};
    for (int d = 0; t && d < 3; d++) {
        int lo = 99, hi = -99, n_first = 0;
        CHECK_OK(vt_inputs_fill(t, "cpu", 3, 0, d, 0, buf, &err), err);
        for (int i = 0; i < N; i++) {
            lo = x[i] < lo ? x[i] : lo;
            hi = x[i] > hi ? x[i] : hi;
            n_first += x[i] == x[1];
        }
        CHECK_INT(lo, -5);
        CHECK_INT(hi, 7);
        if (d == 2)
            CHECK(n_first > N * 9 / 10 || n_first < N / 10); /* one value, with few others */
    }
    vt_task_unref(t);
}

/* Without a range all values of the type are; a range of 53 bits would leave out most of a u64. */
static void integers_reach_the_ends_of_their_type(void)
{
    enum { N = 4096 };
    static const char text[] =
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"f\",\"family\":\"user\",\"sizes\":{\"cpu\":{\"n\":4096}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"u64\",\"shape\":[\"n\"],\"dist\":[\"span\",\"ends\","
        "\"small\",\"zeros\",\"single\"]},{\"name\":\"s\",\"role\":\"in\",\"dtype\":\"i64\",\"shape\":[\"n\"],"
        "\"dist\":[\"span\",\"ends\",\"small\",\"value\"],\"range\":[-7,9],\"value\":4},{\"name\":\"y\",\"role\":"
        "\"out\",\"dtype\":\"f32\",\"shape\":[\"n\"]}],\"bytes\":\"n\",\"flops\":\"n\",\"body\":\"y[0] = 1;\"}";
    static uint64_t x[N];
    static int64_t s[N];
    void *buf[3] = {x, s, NULL};
    vt_task *t = NULL;
    vt_err err = {0};
    CHECK_OK(vt_task_parse(text, sizeof text - 1, &t, &err), err);
    for (int d = 0; t && d < 5; d++) {
        uint64_t all = 0, least = UINT64_MAX, most = 0;
        int n_zeros = 0;
        CHECK_OK(vt_inputs_fill(t, "cpu", 3, 0, d, 0, buf, &err), err);
        for (int i = 0; i < N; i++) {
            all |= x[i];
            least = x[i] < least ? x[i] : least;
            most = x[i] > most ? x[i] : most;
            n_zeros += x[i] == 0;
            CHECK(s[i] >= -7 && s[i] <= 9 && (d != 3 || s[i] == 4));
        }
        CHECK(d == 0 ? all == UINT64_MAX : true);
        CHECK(d == 1 ? least == 0 && most == UINT64_MAX : true);
        CHECK(d == 2 ? most == 100 : true);
        CHECK(d == 3 ? n_zeros == N : true);
        CHECK(d == 4 ? n_zeros == N - 1 : true);
    }
    vt_task_unref(t);
}

/* Nothing to do, one, and more than what is timed: what people call a function with. */
static void sizes_reach_nothing_and_beyond(void)
{
    static char drawn[VT_MAX_DRAWN][VT_SCALE_SIZE];
    vt_err err = {0};
    vt_layout l;
    bool has_none = false, has_one = false, has_more = false;
    vt_task *t = make_unit("f32", "f32", "", "void f(const float *x, float *y, int n)", "y[0] = x[0];", "text", 64,
                           "},\"range\":{\"n\":[0,96]", &err);
    CHECK_OK(t ? VT_OK : VT_EINVAL, err);
    size_t n = t ? vt_sizes_draw(t, "cpu", false, 5, drawn) : 0;
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(vt_task_layout(t, drawn[i], &l, &err), err);
        has_none |= l.size[0] == 0 && l.array[0].n_elem == 0;
        has_one |= l.size[0] == 1;
        has_more |= l.size[0] > 64;
    }
    CHECK(has_none && has_one && has_more);
    vt_task_unref(t);
}

/* A range that somebody gave holds for the exceptions, too. */
static void needles_keep_the_range(void)
{
    enum { N = 512 };
    static float x[N];
    vt_err err = {0};
    void *buf[2] = {x, NULL};
    char text[1024];
    vt_task *t = NULL;
    snprintf(text, sizeof text,
             "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"f\",\"family\":\"user\",\"sizes\":{\"cpu\":{\"n\":%d}},"
             "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\","
             "\"needle\",\"zeros\"],\"range\":[0.25,1]},{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":"
             "[\"n\"]}],\"bytes\":\"n\",\"flops\":\"n\",\"body\":\"y[0] = 1;\"}",
             N);
    CHECK_OK(vt_task_parse(text, strlen(text), &t, &err), err);
    for (int set = 0; t && set < 32; set++)
        for (int dist = 0; dist < 3; dist++) {
            CHECK_OK(vt_inputs_fill(t, "cpu", 3, (uint64_t)set, dist, dist == 0 ? 1 : 0, buf, &err), err);
            for (int i = 0; i < N; i++)
                CHECK(x[i] >= 0.25f && x[i] <= 1.0f);
        }
    vt_task_unref(t);
}

static void doubles_have_bits_below_a_float(void)
{
    enum { N = 256 };
    static double x[N];
    int n_fine = 0;
    vt_err err = {0};
    vt_task *t = make_unit("f64", "f64", "", doubles, "y[0] = x[0];", "text", N, "", &err);
    void *buf[2] = {x, NULL};
    if (t)
        CHECK_OK(vt_inputs_fill(t, "cpu", 3, 0, 0, 0, buf, &err), err);
    for (int i = 0; i < N; i++) {
        n_fine += (double)(float)x[i] != x[i];
        CHECK(x[i] >= -1 && x[i] <= 1);
    }
    CHECK(n_fine > N / 2);
    vt_task_unref(t);
}

static void loose_integers_are_counted(void)
{
    int64_t exact[6] = {1, 2, 3, 4, 5, 6};
    double bound[6] = {0, 0, 0, 0, 0, 2};
    struct vt_expect e = {.n_arrays = 1};
    struct vt_compare_result r;
    e.array[0] = (struct vt_expect_array){VT_I16, VT_BOUND, 6, NULL, bound, exact, 1, 1};
    short got[6] = {1, 3, 3, 4, 5, 8};
    const void *buf[1] = {got};
    vt_compare(&e, buf, &r); /* one is off by one, the last within its bound */
    CHECK_INT(r.n_wrong, 0);
    got[3] = 5;
    vt_compare(&e, buf, &r); /* a second one */
    CHECK_INT(r.n_wrong, 1);
    CHECK_INT(r.diff[0].index, 3);
    got[3] = 4;
    got[1] = 4;
    vt_compare(&e, buf, &r); /* by more than a step */
    CHECK_INT(r.n_wrong, 1);
}

static void clean_up(void)
{
    remove_work_dir();
}

static const struct test_case cases[] = {
    TEST(loose_integers_are_counted),
    TEST(what_a_candidate_brings_ends_with_it),
    TEST(integers_reach_both_ends),
    TEST(integers_reach_the_ends_of_their_type),
    TEST(sizes_reach_nothing_and_beyond),
    TEST(needles_keep_the_range),
    TEST(doubles_have_bits_below_a_float),
    TEST(a_candidate_stands_in_the_file),
    TEST(a_prototype_is_a_sentence),
    TEST(options_say_how_code_is_made),
    TEST(null_candidates_call_the_original),
    TEST(doubles_have_their_own_bound),
    TEST(floats_among_doubles_round_as_floats),
    TEST(integers_may_be_off_where_runs_disagree),
    TEST(integers_of_integers_are_exact),
    TEST(a_spread_covers_what_rounding_does),
    TEST(clean_up),
};
TEST_MAIN(cases)
