/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_truth.c: the truth and its bound against the formulas of DECISIONS.md section 1 worked out by hand, the
 * comparison's rules, and what becomes of task texts that do not compile, crash, never end or mean harm.
 */
#include "eval_tasks.h"
#include <float.h>
#include <pthread.h>
#include <sys/stat.h>

static const double U = 0x1p-24;

/* A task over x[n] (f32, in), q[n] (i64, in) -> y[n] with the given body and extra fields ("\"rtol\":1e-5," or ""). */
static vt_task *make_task(const char *body, const char *extra, const char *out_type, int n)
{
    char text[4096], escaped[2048];
    size_t k = 0;
    vt_err err = {0};
    vt_task *t = NULL;
    for (const char *p = body; *p && k + 2 < sizeof escaped; p++) {
        if (*p == '"' || *p == '\\')
            escaped[k++] = '\\';
        escaped[k++] = *p;
    }
    escaped[k] = '\0';
    snprintf(
        text, sizeof text,
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"1_f\",\"family\":\"test\",\"sizes\":{\"cpu\":{\"n\":%d}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"shape\":[\"n\"],\"dist\":[\"normal\"]},"
        "{\"name\":\"q\",\"role\":\"in\",\"dtype\":\"i64\",\"shape\":[\"n\"],\"dist\":[\"mask\"]},"
        "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"%s\",\"shape\":[\"n\"]}],"
        "\"scalars\":[{\"name\":\"s\",\"type\":\"f32\",\"value\":0.1}],%s"
        "\"bytes\":\"n\",\"flops\":\"n\",\"body\":\"%s\"}",
        n, out_type, extra, escaped);
    CHECK_OK(vt_task_parse(text, strlen(text), &t, &err), err);
    return t;
}

static vt_status run_truth(const char *body, const char *extra, const char *out_type, const float *x, int n,
                           struct vt_expect *e, vt_err *err)
{
    vt_task *t = make_task(body, extra, out_type, n);
    struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker(), .timeout_s = 2};
    vt_truth *truth = NULL;
    int64_t q[16] = {3, 1, 2};
    const void *buf[3] = {x, q, NULL};
    memset(e, 0, sizeof *e);
    vt_status s = t ? vt_truth_new(t, &o, &truth, err) : VT_EINVAL;
    if (s == VT_OK)
        s = vt_truth_run(truth, "cpu", NULL, buf, e, err);
    vt_truth_free(truth);
    vt_task_unref(t);
    return s;
}

/* A run takes the scalars it is given: x + s with s = 0.1 of the task, and with 0.25. */
static void scalars_are_of_a_run(void)
{
    vt_err err = {0};
    vt_task *t = make_task("for (int i = 0; i < n; i++) y[i] = x[i] + s;", "", "f32", 2);
    struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker(), .timeout_s = 2};
    static const float x[2] = {1, 2}, given[] = {0.25f};
    const int64_t q[2] = {0};
    const void *buf[3] = {x, q, NULL};
    const float *const floats[] = {NULL, given, NULL};
    vt_truth *truth = NULL;
    CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
    for (int i = 0; i < 3 && truth; i++) {
        struct vt_expect e;
        CHECK_OK(vt_truth_run(truth, "cpu", floats[i], buf, &e, &err), err);
        CHECK(fabs(e.array[2].value[1] - (i == 1 ? 2.25 : 2.1)) < 1e-7);
        vt_expect_free(&e);
    }
    vt_truth_free(truth);
    vt_task_unref(t);
}

static void check_one(const char *body, float x0, float x1, double value, double root_r)
{
    float x[2] = {x0, x1};
    struct vt_expect e;
    vt_err err = {0};
    CHECK_OK(run_truth(body, "", "f32", x, 2, &e, &err), err);
    if (!e.n_arrays)
        return;
    double v = e.array[2].value[0], bound = e.array[2].bound[0], expected = 8 * U * root_r;
    if (!(fabs(v - value) <= 1e-14 * fabs(value)) || !(fabs(bound - expected) <= 1e-9 * expected))
        printf("  %s: value %.17g (expected %.17g), bound %.12g (expected %.12g)\n", body, v, value, bound, expected);
    CHECK_NEAR(v, value, 1e-14 * fabs(value));
    CHECK_NEAR(bound, expected, 1e-9 * expected);
    vt_expect_free(&e);
}

static void bounds_follow_the_rules(void)
{
    const double a = (double)0.7f, b = (double)1.3f, s = (double)0.1f;
    double sum = a + b, ratio = a / b, e = exp(a);
    check_one("y[0] = x[0]; y[1] = 0;", 0.7f, 1.3f, a, 0);
    check_one("y[0] = fmaxf(x[0], x[1]); y[1] = 0;", 0.7f, 1.3f, b, 0);
    check_one("y[0] = x[0] > x[1] ? x[0] : -x[1]; y[1] = 0;", 0.7f, 1.3f, -b, 0);
    check_one("y[0] = x[0] + x[1]; y[1] = 0;", 0.7f, 1.3f, sum, sum);
    check_one("y[0] = x[0] * s; y[1] = 0;", 0.7f, 1.3f, a * s, a * s);
    check_one("y[0] = x[0] + x[1] + x[0]; y[1] = 0;", 0.7f, 1.3f, sum + a, sqrt(sum * sum + (sum + a) * (sum + a)));
    check_one("y[0] = (x[0] + x[1]) * x[1]; y[1] = 0;", 0.7f, 1.3f, sum * b,
              sqrt(b * b * sum * sum + sum * b * sum * b));
    check_one(
        "y[0] = (x[0] / x[1]) / (x[0] + x[1]); y[1] = 0;", 0.7f, 1.3f, ratio / sum,
        sqrt((ratio * ratio + (ratio / sum) * (ratio / sum) * sum * sum) / (sum * sum) + ratio / sum * (ratio / sum)));
    check_one("float acc[2] = {0}; acc[0] += expf(x[0]); acc[1] = acc[0]; y[0] = acc[1] - 1; y[1] = 0;", 0.7f, 1.3f,
              e - 1, sqrt(e * e + e * e + 1 + (e - 1) * (e - 1)));
    /* A constant may be rounded in another way where it is a term of a sum; not where it is a factor, or the result. */
    check_one("const float c = 3.0f; y[0] = (x[0] + c) / 6.0f; y[1] = 0;", 0.7f, 1.3f, (a + 3) / 6,
              sqrt((9 + (a + 3) * (a + 3)) / 36 + (a + 3) * (a + 3) / 36));
    check_one("y[0] = 2 - x[0]; y[1] = 0;", 0.7f, 1.3f, 2 - a, sqrt(4 + (2 - a) * (2 - a)));
    check_one("y[0] = fmaf(x[0], x[1], 0.5f); y[1] = 0;", 0.7f, 1.3f, a * b + 0.5,
              sqrt(0.25 + (a * b + 0.5) * (a * b + 0.5)));
    check_one("y[0] = x[0] * 3.0f; y[1] = 0;", 0.7f, 1.3f, a * 3, a * 3);
    check_one("y[0] = fmaxf(x[0], 2.0f); y[1] = 0;", 0.7f, 1.3f, 2, 0);
    check_one("float m = -INFINITY; m = fmaxf(m + x[0], x[1]); y[0] = m; y[1] = 0;", 0.7f, 1.3f, b, 0);
    check_one("y[0] = sqrtf(x[0] * x[1]); y[1] = 0;", 0.7f, 1.3f, sqrt(a * b),
              sqrt(a * b * a * b / (4 * a * b) + a * b));
    check_one("for (int i = 0; i < n; i++) y[i] = (float)(i + 3) / 2.0f;", 0.7f, 1.3f, 1.5, 1.5);
    check_one("double d = x[0]; d = d * d; y[0] = (float)d; y[1] = 0;", 0.7f, 1.3f, a * a, a * a);
    check_one("y[0] = q[0] > 2 ? x[1] : x[0]; y[1] = (float)q[1];", 0.7f, 1.3f, b, 0);
}

static void relative_and_row_terms_are_added(void)
{
    const float x[3] = {1.0f, -4.0f, 2.0f};
    struct vt_expect e;
    vt_err err = {0};
    CHECK_OK(
        run_truth("for (int i = 0; i < n; i++) y[i] = x[i];", "\"rtol\":1e-3,\"atol\":1e-2,", "f32", x, 3, &e, &err),
        err);
    if (e.n_arrays)
        for (int i = 0; i < 3; i++)
            CHECK_NEAR(e.array[2].bound[i], 1e-3 * fabs((double)x[i]) + 1e-2 * 4, 1e-15);
    vt_expect_free(&e);
}

/* The row term is of the row's own largest value. */
static void rows_have_their_own_bounds(void)
{
    static const char text[] =
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"1_f\",\"family\":\"test\",\"sizes\":{\"cpu\":{\"n\":2}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"shape\":[\"2\",\"n\"],\"dist\":[\"normal\"]},"
        "{\"name\":\"y\",\"role\":\"out\",\"shape\":[\"2\",\"n\"]}],\"atol\":1e-2,"
        "\"bytes\":\"n\",\"flops\":\"n\",\"body\":\"for (int i = 0; i < 2 * n; i++) y[i] = x[i];\"}";
    const float x[4] = {8.0f, 1.0f, -0.5f, 0.25f};
    const void *buf[2] = {x, NULL};
    struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker()};
    struct vt_expect e;
    vt_task *t = NULL;
    vt_truth *truth = NULL;
    vt_err err = {0};
    CHECK_OK(vt_task_parse(text, strlen(text), &t, &err), err);
    CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
    CHECK_OK(vt_truth_run(truth, "cpu", NULL, buf, &e, &err), err);
    for (int i = 0; i < 4 && e.n_arrays; i++)
        CHECK_NEAR(e.array[1].bound[i], 1e-2 * (i < 2 ? 8 : 0.5), 1e-15);
    vt_expect_free(&e);
    vt_truth_free(truth);
    vt_task_unref(t);
}

/* Of a convolution: 4 u times the weights' magnitudes by the largest inputs within a window's length, where that is
 * more. */
static void convolutions_see_around_the_window(void)
{
    static const char text[] =
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"1_f\",\"family\":\"%s\",\"sizes\":{\"cpu\":{\"n\":8}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"shape\":[\"1\",\"1\",\"n\"],\"dist\":[\"normal\"]},"
        "{\"name\":\"g\",\"role\":\"weight\",\"shape\":[\"1\",\"1\",\"2\"],\"dist\":[\"normal\"]},"
        "{\"name\":\"y\",\"role\":\"out\",\"shape\":[\"1\",\"1\",\"n - 1\"]}],\"k\":1,"
        "\"bytes\":\"n\",\"flops\":\"n\","
        "\"body\":\"for (int i = 0; i < n - 1; i++) y[i] = x[i] * g[0] + x[i + 1] * g[1];\"}";
    const float x[8] = {1, -1, 1, 1, 1, 1, 1, 16}, g[2] = {1, -1};
    const void *buf[3] = {x, g, NULL};
    /* 16 is within two places of the elements from 5 on. */
    const double wide[7] = {8, 8, 8, 8, 4 * 17, 4 * 32, 4 * 32};
    struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker()};
    for (int is_other = 0; is_other < 2; is_other++) {
        struct vt_expect e = {0};
        vt_task *t = NULL;
        vt_truth *truth = NULL;
        vt_err err = {0};
        char json[1024];
        snprintf(json, sizeof json, text, is_other ? "test" : "convolution");
        CHECK_OK(vt_task_parse(json, strlen(json), &t, &err), err);
        CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
        CHECK_OK(vt_truth_run(truth, "cpu", NULL, buf, &e, &err), err);
        for (int i = 0; i < 7 && e.n_arrays; i++) {
            double v = (double)x[i] - (double)x[i + 1],
                   own = U * sqrt((double)(x[i] * x[i] + x[i + 1] * x[i + 1]) + v * v);
            CHECK_NEAR(e.array[2].value[i], v, 0);
            CHECK_NEAR(e.array[2].bound[i], is_other ? own : fmax(own, U * wide[i]), 1e-12 * U);
        }
        vt_expect_free(&e);
        vt_truth_free(truth);
        vt_task_unref(t);
    }
}

static void integers_are_exact(void)
{
    const float x[3] = {1.5f, 7.5f, 7.5f};
    struct vt_expect e;
    vt_err err = {0};
    const char *body = "int best = 0; for (int i = 1; i < n; i++) if (x[i] > x[best]) best = i;"
                       "for (int i = 0; i < n; i++) y[i] = best + q[i] + (int)x[0];";
    CHECK_OK(run_truth(body, "", "i64", x, 3, &e, &err), err);
    if (!e.n_arrays)
        return;
    int64_t right[3] = {5, 3, 4}, wrong[3] = {5, 3, 5};
    const void *good[3] = {NULL, NULL, right}, *bad[3] = {NULL, NULL, wrong};
    struct vt_compare_result r;
    vt_compare(&e, good, &r);
    CHECK_INT(r.n_wrong, 0);
    CHECK_NEAR(r.worst, 0, 0);
    vt_compare(&e, bad, &r);
    CHECK_INT(r.n_wrong, 1);
    CHECK(isinf(r.worst));
    CHECK_INT(r.diff[0].index, 2);
    CHECK_NEAR(r.diff[0].expected, 4, 0);
    vt_expect_free(&e);
}

/* A state array is read and written: its truth starts from the set's own bytes. */
static void state_is_input_and_output(void)
{
    static const char text[] =
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"1_f\",\"family\":\"test\",\"sizes\":{\"cpu\":{\"n\":2}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"shape\":[\"n\"],\"dist\":[\"normal\"]},"
        "{\"name\":\"m\",\"role\":\"state\",\"shape\":[\"n\"],\"dist\":[\"normal\"]},"
        "{\"name\":\"c\",\"role\":\"state\",\"dtype\":\"i32\",\"shape\":[\"n\"],\"dist\":[\"mask\"]}],"
        "\"bytes\":\"n\",\"flops\":\"n\",\"helpers\":\"static inline float twice(float v) { return v + v; }\","
        "\"body\":\"for (int i = 0; i < n; i++) { m[i] += twice(x[i]); c[i]++; }\"}";
    vt_err err = {0};
    vt_task *t = NULL;
    vt_truth *truth = NULL;
    struct vt_expect e = {0};
    struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker()};
    const float x[2] = {1, 2}, m[2] = {10, 20};
    const int c[2] = {5, 6};
    const void *buf[3] = {x, m, c};
    CHECK_OK(vt_task_parse(text, sizeof text - 1, &t, &err), err);
    if (t)
        CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
    if (truth)
        CHECK_OK(vt_truth_run(truth, "cpu", NULL, buf, &e, &err), err);
    if (e.n_arrays) {
        CHECK_INT(e.array[0].n_elem, 0);
        CHECK_NEAR(e.array[1].value[0], 12, 0);
        CHECK_NEAR(e.array[1].value[1], 24, 0);
        CHECK_NEAR(e.array[1].bound[0], 8 * U * sqrt(4 + 144), 1e-12);
        CHECK_INT(e.array[2].exact[1], 7);
        CHECK_INT(c[1], 6);
    }
    vt_expect_free(&e);
    vt_truth_free(truth);
    vt_task_unref(t);
}

/* Beyond the float range the truth is the infinity that a float run ends in; 0/0 is NaN and nothing else may be. */
static void special_values_must_agree(void)
{
    const float x[4] = {1e30f, -1e30f, 0.0f, 2.0f};
    struct vt_expect e;
    vt_err err = {0};
    CHECK_OK(run_truth("for (int i = 0; i < n; i++) y[i] = i == 2 ? x[i] / x[i] : x[i] * fabsf(x[i]);", "", "f32", x, 4,
                       &e, &err),
             err);
    if (!e.n_arrays)
        return;
    CHECK(isinf(e.array[2].value[0]) && e.array[2].value[1] < 0 && isinf(e.array[2].value[1]));
    CHECK(isnan(e.array[2].value[2]));
    static const struct {
        float y[4];
        int n_wrong, n_nan;
    } cases[] = {{{INFINITY, -INFINITY, NAN, 4}, 0, 0},        {{-INFINITY, -INFINITY, NAN, 4}, 1, 0},
                 {{FLT_MAX, -INFINITY, NAN, 4}, 1, 0},         {{INFINITY, -INFINITY, 0, 4}, 1, 0},
                 {{INFINITY, -INFINITY, NAN, NAN}, 1, 1},      {{NAN, NAN, NAN, NAN}, 3, 3},
                 {{INFINITY, -INFINITY, NAN, INFINITY}, 1, 0}, {{INFINITY, -INFINITY, NAN, 4.0001f}, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const void *buf[3] = {NULL, NULL, cases[i].y};
        struct vt_compare_result r;
        vt_compare(&e, buf, &r);
        CHECK_INT(r.n_wrong, cases[i].n_wrong);
        CHECK_INT(r.n_nan, cases[i].n_nan);
        CHECK_INT(r.n_checked, 4);
        CHECK(cases[i].n_wrong ? r.worst > 1 : r.worst <= 1);
    }
    vt_expect_free(&e);
}

static void the_bound_itself_is_within(void)
{
    double value[2] = {1, 2}, bound[2] = {0.25, 0};
    struct vt_expect e = {3, false, {{0}, {0}, {VT_F32, VT_BOUND, 2, value, bound, NULL, 0, 0}}};
    const float at[2] = {1.25f, 2}, over[2] = {1.2500001f, 2}, off[2] = {1, 2.0000002f};
    const void *buf[3] = {NULL, NULL, at};
    struct vt_compare_result r;
    vt_compare(&e, buf, &r);
    CHECK_INT(r.n_wrong, 0);
    CHECK_NEAR(r.worst, 1, 1e-12);
    buf[2] = over;
    vt_compare(&e, buf, &r);
    CHECK_INT(r.n_wrong, 1);
    buf[2] = off;
    vt_compare(&e, buf, &r);
    CHECK_INT(r.n_wrong, 1);
    CHECK(isinf(r.worst));
}

static void differences_are_described(void)
{
    char text[200];
    vt_task *t = make_task("y[0] = x[0];", "", "f32", 4);
    vt_layout l;
    vt_err err = {0};
    CHECK_OK(vt_task_layout(t, "cpu", &l, &err), err);
    vt_diff_describe(t, &l, &(struct vt_diff){2, 3, 0.25, 0.5, 1e-7}, text, sizeof text);
    CHECK_STR(text, "y[3]: expected 0.25, got 0.5 (bound 1e-07)");
    l.array[2].n_dims = 2;
    l.array[2].shape[0] = 2;
    l.array[2].shape[1] = 3;
    l.array[2].n_elem = 6;
    vt_diff_describe(t, &l, &(struct vt_diff){2, 5, 0.25, 0.5, 1e-7}, text, sizeof text);
    CHECK_STR(text, "y[1][2]: expected 0.25, got 0.5 (bound 1e-07)");
    vt_task_unref(t);
}

static void bad_bodies_end_in_one_sentence(void)
{
    static const struct {
        const char *body;
        vt_status status;
        const char *says;
    } cases[] = {
        {"y[0] = undeclared;", VT_EFORMAT, "undeclared"},
        {"for (;;) y[0] = x[0] + y[0];", VT_ETIMEOUT, "did not end"},
        {"int *p = 0; *(volatile int *)p = 1; y[0] = x[0];", VT_EFORMAT, "crashed"},
        {"for (long i = 0; i >= 0; i++) y[i] = x[0];", VT_EFORMAT, "crashed"},
        {"} garbage {", VT_EFORMAT, "subset"},
    };
    const float x[2] = {1, 2};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vt_expect e;
        vt_err err = {0};
        CHECK_INT(run_truth(cases[i].body, "", "f32", x, 2, &e, &err), cases[i].status);
        if (!strstr(err.msg, cases[i].says))
            printf("  \"%s\" lacks \"%s\"\n", err.msg, cases[i].says);
        CHECK(strstr(err.msg, cases[i].says) != NULL);
        CHECK_INT((long long)e.n_arrays, 0);
    }
}

#if defined(__x86_64__)
#define ASK_FORK "long rc = 57; asm volatile(\"syscall\" : \"+a\"(rc) : : \"rcx\", \"r11\", \"memory\");"
#else
#define ASK_FORK                                                                                                       \
    "register long n asm(\"x8\") = 220, rc asm(\"x0\") = 17; asm volatile(\"svc 0\" : \"+r\"(rc) : \"r\"(n) : "        \
    "\"memory\");"
#endif

/* A task file may be a stranger's: its text is compiled and run behind the same walls as a candidate's. */
static void hostile_texts_stay_inside(void)
{
    static const struct {
        const char *helpers, *body, *says;
    } cases[] = {
        {"#include \\\"/etc/passwd\\\"\\n", "y[0] = x[0];", "/etc/passwd"},
        {"asm(\\\".pushsection .rodata\\\\n.incbin \\\\\\\"/etc/passwd\\\\\\\"\\\\n.popsection\\\");", "y[0] = x[0];",
         "/etc/passwd"},
        {"", ASK_FORK " y[0] = x[0];", "system call"},
        {"extern \\\"C\\\" int fork(void);", "fork(); y[0] = x[0];", "neither the task's nor one that"},
        {"static int early(void) { __builtin_trap(); return 1; } static int at_load = early();",
         "y[0] = x[0] + (float)at_load;", "runs when it is loaded"},
        {"struct at_exit { ~at_exit() { __builtin_trap(); } }; static at_exit last;", "y[0] = x[0];", "C"},
        {"extern \\\"C\\\" void exit(int);", "exit(0);", "crashed"},
        {"extern \\\"C\\\" void no_such_function(void);", "no_such_function();", "neither the task's nor one that"},
    };
    const float x[2] = {1, 2};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vt_expect e;
        vt_err err = {0};
        char extra[1024];
        snprintf(extra, sizeof extra, "\"helpers\":\"%s\",", cases[i].helpers);
        CHECK_INT(run_truth(cases[i].body, extra, "f32", x, 2, &e, &err), VT_EFORMAT);
        if (!strstr(err.msg, cases[i].says))
            printf("  case %zu: \"%s\" lacks \"%s\"\n", i, err.msg, cases[i].says);
        CHECK(strstr(err.msg, cases[i].says) != NULL);
        vt_expect_free(&e);
    }
}

/* Inputs cannot be written, and what lies behind the arrays is not there. */
static void texts_keep_to_their_arrays(void)
{
    static const char *const bodies[] = {"((float *)x)[0] = 1; y[0] = x[0];", "y[0] = x[1 << 20];",
                                         "y[1 << 20] = x[0];"};
    const float x[2] = {1, 2};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct vt_expect e;
        vt_err err = {0};
        CHECK_INT(run_truth(bodies[i], "", "f32", x, 2, &e, &err), VT_EFORMAT);
        CHECK(strstr(err.msg, "crashed") != NULL);
    }
}

/* Tables of constants are data: nothing of them runs when the object is loaded. */
static void tables_of_constants_are_data(void)
{
    const float x[2] = {1, 2};
    struct vt_expect e;
    vt_err err = {0};
    CHECK_OK(run_truth("static const float inner[2] = {0.5f, 0.1f}; y[0] = x[0] * table[1]; y[1] = x[1] * inner[1];",
                       "\"helpers\":\"static const float table[3] = {1.0f, 0.7f, -2.0f}; static float sum;\",", "f32",
                       x, 2, &e, &err),
             err);
    if (e.n_arrays) {
        CHECK_NEAR(e.array[2].value[0], (double)0.7f, 0);
        CHECK_NEAR(e.array[2].value[1], 2 * (double)0.1f, 0);
    }
    vt_expect_free(&e);
}

/* Below the floor no truth is compiled or run, unless its owner says so. */
static void below_the_floor_is_refused(void)
{
    const float x[4] = {1, 2, 3, 4};
    int64_t q[4] = {0};
    const void *buf[3] = {x, q, NULL};
    vt_err err = {0};
    struct vt_broker *weak = NULL;
    vt_truth *truth = NULL;
    struct vt_expect e;
    vt_task *t = make_task("y[0] = x[0] + 4.0f;", "", "f32", 4);
    work_broker();
    CHECK_OK(vt_broker_open(work_scratch.path, "weak", VT_LAYER_LANDLOCK | VT_LAYER_MOUNT_NS, &weak, &err), err);
    struct vt_truth_opts o = {.dir = work_dir(), .broker = weak};
    CHECK_INT(vt_truth_new(t, &o, &truth, &err), VT_EJAIL);
    CHECK(truth == NULL && strstr(err.msg, "landlock") != NULL);
    o.allow_unsafe = true;
    CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
    if (truth)
        CHECK_OK(vt_truth_run(truth, "cpu", NULL, buf, &e, &err), err);
    CHECK_NEAR(e.array[2].value[0], 5, 0);
    vt_expect_free(&e);
    vt_truth_free(truth);
    vt_broker_close(weak);
    vt_task_unref(t);
}

/* What lies in the folder is a stranger's until it was looked at. */
static void spoilt_programs_are_made_again(void)
{
    char dir[128], path[512];
    char **names = NULL;
    size_t n = 0;
    vt_err err = {0};
    const float x[4] = {1, 2, 3, 4};
    int64_t q[4] = {0};
    const void *buf[3] = {x, q, NULL};
    snprintf(dir, sizeof dir, "%s/spoilt", work_dir());
    struct vt_truth_opts o = {.dir = dir, .broker = work_broker()};
    for (int round = 0; round < 3; round++) {
        vt_truth *truth = NULL;
        struct vt_expect e = {0};
        vt_task *t = make_task("y[0] = x[0] + 5.0f;", "", "f32", 4);
        CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
        if (truth)
            CHECK_OK(vt_truth_run(truth, "cpu", NULL, buf, &e, &err), err);
        if (e.n_arrays)
            CHECK_NEAR(e.array[2].value[0], 6, 0);
        vt_expect_free(&e);
        vt_truth_free(truth);
        vt_task_unref(t);
        CHECK_OK(vt_fs_list(dir, &names, &n, &err), err);
        CHECK_INT((long long)n, 1);
        snprintf(path, sizeof path, "%s/%s", dir, n ? names[0] : "");
        vt_fs_list_free(names, n);
        CHECK_OK(vt_fs_write_atomic(path, round ? "" : "\177ELF and no more", round ? 0 : 16, &err), err);
    }
}

static void a_missing_compiler_is_named(void)
{
    vt_err err = {0};
    vt_truth *truth = NULL;
    vt_task *t = make_task("y[0] = x[0];", "", "f32", 4);
    struct vt_truth_opts o = {.dir = work_dir(), .cxx = "no-such-compiler", .broker = work_broker()};
    CHECK(vt_truth_new(t, &o, &truth, &err) != VT_OK);
    CHECK(truth == NULL && strstr(err.msg, "no-such-compiler"));
    vt_task_unref(t);
}

/* One program per content; nothing else stays in the folder. */
static void programs_are_kept_and_data_is_not(void)
{
    vt_err err = {0};
    char dir[128];
    char **names = NULL;
    size_t n = 0;
    const float x[4] = {1, 2, 3, 4};
    int64_t q[4] = {0};
    const void *buf[3] = {x, q, NULL};
    snprintf(dir, sizeof dir, "%s/kept", work_dir());
    struct vt_truth_opts o = {.dir = dir, .broker = work_broker()};
    for (int round = 0; round < 2; round++) {
        vt_truth *truth = NULL;
        struct vt_expect e;
        vt_task *t = make_task("y[0] = x[0] + 1.0f;", "", "f32", 4);
        CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
        if (truth)
            CHECK_OK(vt_truth_run(truth, "cpu", NULL, buf, &e, &err), err);
        CHECK_NEAR(e.array[2].value[0], 2, 0);
        CHECK(isnan(e.array[2].value[1]));
        vt_expect_free(&e);
        vt_truth_free(truth);
        vt_task_unref(t);
    }
    CHECK_OK(vt_fs_list(dir, &names, &n, &err), err);
    CHECK_INT((long long)n, 1);
    CHECK(n == 1 && strncmp(names[0], "truth-", 6) == 0);
    vt_fs_list_free(names, n);
}

struct opener {
    vt_task *task;
    struct vt_broker *broker;
    vt_status status;
};

static void *open_truth(void *arg)
{
    struct opener *t = arg;
    vt_err err = {0};
    vt_truth *truth = NULL;
    struct vt_truth_opts o = {.dir = work_dir(), .broker = t->broker};
    t->status = vt_truth_new(t->task, &o, &truth, &err);
    vt_truth_free(truth);
    return NULL;
}

/* Each on a station of its own, as in the evaluator. */
static void two_threads_may_compile_the_same_body(void)
{
    enum { N = 4 };
    vt_task *t = make_task("y[0] = x[0] + 3.0f;", "", "f32", 4);
    vt_err err = {0};
    pthread_t thread[N];
    struct opener opener[N];
    work_broker();
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "thread%d", i);
        opener[i] = (struct opener){.task = t};
        CHECK_OK(vt_broker_open(work_scratch.path, name, 0, &opener[i].broker, &err), err);
        CHECK_INT(pthread_create(&thread[i], NULL, open_truth, &opener[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        CHECK_INT(pthread_join(thread[i], NULL), 0);
        CHECK_INT(opener[i].status, VT_OK);
        vt_broker_close(opener[i].broker);
    }
    vt_task_unref(t);
}

static void clean_up(void)
{
    remove_work_dir();
}

static const struct test_case cases[] = {
    TEST(scalars_are_of_a_run),
    TEST(bounds_follow_the_rules),
    TEST(relative_and_row_terms_are_added),
    TEST(rows_have_their_own_bounds),
    TEST(convolutions_see_around_the_window),
    TEST(integers_are_exact),
    TEST(state_is_input_and_output),
    TEST(special_values_must_agree),
    TEST(the_bound_itself_is_within),
    TEST(differences_are_described),
    TEST(bad_bodies_end_in_one_sentence),
    TEST(hostile_texts_stay_inside),
    TEST(texts_keep_to_their_arrays),
    TEST(tables_of_constants_are_data),
    TEST(below_the_floor_is_refused),
    TEST(spoilt_programs_are_made_again),
    TEST(a_missing_compiler_is_named),
    TEST(programs_are_kept_and_data_is_not),
    TEST(two_threads_may_compile_the_same_body),
    TEST(clean_up),
};
TEST_MAIN(cases)
