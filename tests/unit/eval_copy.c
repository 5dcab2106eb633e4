/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_copy.c: which texts are the shown function again, and which only look like it.
 */
#include "eval/copycheck.h"
#include "eval/extract.h"
#include "eval_fixture.h"

static bool copy(const char *task, const char *text)
{
    struct vt_code c;
    vt_err err;
    vt_task *t = fixture_task(task);
    CHECK_OK(vt_extract(text, strlen(text), vt_task_name(t), false, &c, &err), err);
    bool is = c.text && vt_is_copy_text(t, &c);
    vt_code_free(&c);
    vt_task_unref(t);
    return is;
}

static void copies(void)
{
    CHECK(copy("relu", "for(int i=0;i<n;i++){if(x[i]>0.0f)y[i]=x[i];else y[i]=0.0f;}"));
    CHECK(
        copy("relu",
             "for (int k = 0; k < n; k++) { // same\n if (x[k] > 0.0f)\n y[k] = x[k];\n else /* so */ y[k] = 0.0f; }"));
    CHECK(
        copy("relu",
             "void relu(const float *restrict a, float *restrict b, int m) { for (int i = 0; i < m; i++) { if (a[i] > "
             "0.0f) b[i] = a[i]; else b[i] = 0.0f; } }"));
    CHECK(!copy("relu", "for (int i = 0; i < n; i++) { if (x[i] > 0.0f) y[i] = x[i]; else y[i] = 0.5f; }"));
    CHECK(!copy("relu", "for (int i = 0; i < n; i++) { if (y[i] > 0.0f) x[i] = y[i]; else x[i] = 0.0f; }"));
    CHECK(!copy("relu", "for (int i = 0; i < n; i++) y[i] = x[i] > 0.0f ? x[i] : 0.0f;"));
    CHECK(
        !copy("relu",
              "void relu(const float *restrict a, float *restrict b, int m) { for (int i = 0; i < m; i++) { if (b[i] > "
              "0.0f) a[i] = b[i]; else a[i] = 0.0f; } }"));
    /* What is called keeps its name, and what stands before a function may make it another. */
#define HEAD "void rms_norm(const float *x, const float *w, float *y, float eps, int m, int n) {"
#define LOOP(root)                                                                                                     \
    "for (int i = 0; i < m; i++) { float s = 0.0f; for (int j = 0; j < n; j++) s += x[i * n + j] * x[i * n + j]; "     \
    "for (int j = 0; j < n; j++) y[i * n + j] = x[i * n + j] / " root "(s / (float)n + eps) * w[j]; }"
    CHECK(copy("rms_norm", LOOP("sqrtf")));
    CHECK(copy("rms_norm", "#include <math.h>\nstatic float no(float a) { return a; }\n" HEAD LOOP("sqrtf") "}"));
    CHECK(!copy("rms_norm", LOOP("fast_root")));
    CHECK(!copy("rms_norm", "#define sqrtf(v) own(v)\n" HEAD LOOP("sqrtf") "}"));
    CHECK(!copy("rms_norm", "#pragma GCC optimize(\"fast-math\")\n" HEAD LOOP("sqrtf") "}"));
    CHECK(!copy("rms_norm", "__attribute__((optimize(\"fast-math\"))) " HEAD LOOP("sqrtf") "}"));
#undef HEAD
#undef LOOP
    /* Loops interchanged: the same words in another order of names. */
    CHECK(copy(
        "matmul",
        "for (int r = 0; r < m; r++) for (int q = 0; q < n; q++) { float t = 0.0f; for (int p = 0; p < k; p++) t += "
        "a[r * k + p] * b[p * n + q]; c[r * n + q] = t; }"));
    CHECK(
        !copy("matmul",
              "for (int j = 0; j < n; j++) for (int i = 0; i < m; i++) { float s = 0.0f; for (int p = 0; p < k; p++) s "
              "+= a[i * k + p] * b[p * n + j]; c[i * n + j] = s; }"));
}

static const struct test_case cases[] = {TEST(copies)};
TEST_MAIN(cases)
