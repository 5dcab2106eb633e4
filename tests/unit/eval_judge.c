/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_judge.c: one candidate at a time through the whole evaluator: every status, and what its verdict says.
 */
#include "eval_fixture.h"

static vt_eval *eval;

static void expect(const char *task, const char *code, vt_verdict_status status, const char *feedback)
{
    struct fixture_result r;
    vt_task *t = fixture_task(task);
    fixture_judge(eval, t, code, (struct vt_eval_request){.extract = false}, &r);
    CHECK_OK(r.status, r.err);
    if (r.status == VT_OK) {
        CHECK_STR(vt_verdict_status_name(r.v.status), vt_verdict_status_name(status));
        if (feedback && !strstr(r.feedback, feedback)) {
            CHECK_STR(r.feedback, feedback);
        }
        if (getenv("VEGTTT_VERBOSE"))
            printf("    %s: %s | speedup %.2f [%.2f, %.2f] tuned %.2f roofline %.2f\n    %s\n",
                   vt_verdict_status_name(r.v.status), r.feedback, r.v.speedup, r.v.speedup_lo, r.v.speedup_hi,
                   r.v.speedup_tuned, r.v.roofline, r.json);
    }
    fixture_result_free(&r);
    vt_task_unref(t);
}

static void copy_is_never_fast(void)
{
    expect(
        "relu",
        "    for (int k = 0; k < n; k++) { /* renamed */\n        if (x[k] > 0.0f)\n            y[k] = x[k];\n        "
        "else\n            y[k] = 0.0f;\n    }",
        VT_CORRECT_SLOW, "a copy");
}

static void fast_reduction(void)
{
    expect("row_sum",
           "    for (int i = 0; i < m; i++) {\n        float s = 0;\n#pragma omp simd reduction(+:s)\n        for (int "
           "j = 0; "
           "j < n; j++)\n            s += x[i*n+j];\n        y[i] = s;\n    }",
           VT_CORRECT_FAST, "Speedup");
}

static void scalars_and_loops(void)
{
    expect("softmax",
           "for (int i = 0; i < m; i++) {\n const float *r = x + i * n; float *o = y + i * n; float t = r[0];\n for "
           "(int j = 1; j "
           "< n; j++) t = r[j] > t ? r[j] : t;\n float s = 0;\n for (int j = 0; j < n; j++) { o[j] = expf(scale * "
           "(r[j] - t)); s "
           "+= o[j]; }\n float inv = 1.0f / s;\n for (int j = 0; j < n; j++) o[j] *= inv;\n}",
           VT_CORRECT_FAST, NULL);
}

static void wrong(void)
{
    expect("relu", "for (int i = 0; i < n; i++) y[i] = x[i];", VT_WRONG_OUTPUT, "First differences: y[");
    expect("relu", "for (int i = 0; i < n - 1; i++) y[i] = x[i] > 0 ? x[i] : 0;", VT_WRONG_OUTPUT, "never written");
    expect("argmax", "for (int i = 0; i < m; i++) y[i] = 3;", VT_WRONG_OUTPUT, NULL);
}

static void faults(void)
{
    expect("relu", "for (int i = 0; i <= n + 64; i++) y[i] = x[i] > 0 ? x[i] : 0;", VT_RUNTIME_ERROR, "x[");
    expect("relu", "for (int i = 0; i <= n; i++) y[i] = x[i < n ? i : 0] > 0 ? x[i < n ? i : 0] : 0;", VT_RUNTIME_ERROR,
           "past the end of the output y");
    expect("relu", "((float *)x)[0] = 1;", VT_RUNTIME_ERROR, "read-only");
    expect("relu", "*(volatile int *)0 = 1;", VT_RUNTIME_ERROR, "null pointer");
    expect("relu", "exit(0);", VT_RUNTIME_ERROR, "exit code 0");
    expect("relu", "volatile int z = 0, w = 7; y[0] = w / z;", VT_RUNTIME_ERROR, "SIGFPE");
    expect("relu", "for (volatile int i = 0;;) ;", VT_TIMED_OUT, "in time");
}

static void compile_errors(void)
{
    expect("relu", "for (int i = 0; i < n; i++)\n    y[i] = nosuch(x[i]);", VT_COMPILE_ERROR, "Line 2: ");
    expect("relu", "float q = undeclared;\n", VT_COMPILE_ERROR, "Line 1: ");
    expect("relu", "#include \"/etc/hostname\"\n", VT_COMPILE_ERROR, "Line 1: ");
    expect(
        "relu",
        "static float half(float v) { return v / 2; }\nvoid relu(const float *restrict x, float *restrict y, int n)\n"
        "{\n    y[0] = half(x[0]) + nosuch;\n}\n",
        VT_COMPILE_ERROR, "Line 4: ");
}

static void constructors_are_refused(void)
{
    expect("relu",
           "__attribute__((constructor)) static void early(void) { __asm__ volatile(\"nop\"); }\n"
           "void relu(const float *restrict x, float *restrict y, int n) { for (int i = 0; i < n; i++) y[i] = x[i] > 0 "
           "? x[i] "
           ": 0; }",
           VT_LOAD_ERROR, "constructor");
}

static void malformed(void)
{
    expect("relu", "", VT_MALFORMED, "no code");
    expect("relu", "  /* nothing */\n", VT_MALFORMED, "no code");
}

static const struct test_case cases[] = {TEST(malformed),
                                         TEST(compile_errors),
                                         TEST(wrong),
                                         TEST(faults),
                                         TEST(fast_reduction),
                                         TEST(copy_is_never_fast),
                                         TEST(scalars_and_loops),
                                         TEST(constructors_are_refused)};

int main(int argc, char **argv)
{
    return fixture_main(cases, sizeof cases / sizeof cases[0], 1, &eval, argc, argv);
}
