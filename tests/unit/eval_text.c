/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_text.c: the parts of the evaluator that work on text and bytes: finding code in answers, telling copies,
 * reading compiler logs, judging objects. Real compiler logs and objects are made by the compiler of this machine in
 * eval_judge.c; here are the cases that are easier to write down, damaged ones among them.
 */
#include "base/fs.h"
#include "eval/c/diagnostics.h"
#include "eval/c/object.h"
#include "eval/c/roofline.h"
#include "eval/copycheck.h"
#include "eval/extract.h"
#include "eval_fixture.h"

static void expect_code(const char *answer, bool is_answer, const char *text, bool is_whole, int first_line)
{
    struct vt_code c;
    vt_err err;
    CHECK_OK(vt_extract(answer, strlen(answer), "relu", is_answer, &c, &err), err);
    CHECK_STR(c.text, text);
    CHECK_INT(c.is_whole, is_whole);
    CHECK_INT(c.first_line, first_line);
    vt_code_free(&c);
}

static void expect_none(const char *answer, bool is_answer, const char *why)
{
    struct vt_code c;
    vt_err err;
    CHECK_OK(vt_extract(answer, strlen(answer), "relu", is_answer, &c, &err), err);
    CHECK(c.text == NULL);
    CHECK(strstr(c.why, why) != NULL);
    vt_code_free(&c);
}

static void bodies(void)
{
    expect_code("    y[0] = 1;\n", false, "    y[0] = 1;\n", false, 1);
    expect_code("    y[0] = 1;\n}\n", true, "    y[0] = 1;\n", false, 1);
    expect_code("    if (n) {\n        y[0] = 1;\n    }\n}\n```\nThis is faster; it is }.", true,
                "    if (n) {\n        y[0] = 1;\n    }\n", false, 1);
    expect_code("    y[0] = '}'; /* } */ // }\n    y[1] = \"}\"[0];\n}\n", true,
                "    y[0] = '}'; /* } */ // }\n    y[1] = \"}\"[0];\n", false, 1);
    expect_code("    y[0] = 1;\n```\nnot code;", true, "    y[0] = 1;\n", false, 1);
    expect_code("    y[0] = relu_one(x[0]);\n}\n", true, "    y[0] = relu_one(x[0]);\n", false, 1);
}

static void fenced(void)
{
    const char *whole =
        "static float f(float v) { return v; }\nvoid relu(const float *x, float *y, int n) {\n    y[0] = f(x[0]);\n}\n";
    char answer[1024];
    snprintf(answer, sizeof answer, "Sure; here it is:\n\n```c\n%s```\nIt is fast.\n", whole);
    expect_code(answer, true, whole, true, 4);
    snprintf(answer, sizeof answer, "```\nint a;\n```\nand\n```c\n%s```\nthen\n```\nint b;\n```\n", whole);
    expect_code(answer, true, whole, true, 6);
    snprintf(answer, sizeof answer, "```c\n%s", whole);
    expect_code(answer, true, whole, true, 2);
    expect_code("First:\n```c\ny[0] = 1;\n```\nBetter:\n```c\ny[0] = 2;\n```\n", true, "y[0] = 2;\n", false, 7);
    expect_code(whole, false, whole, true, 1);
    /* A call or a prototype is no definition. */
    expect_code("void relu(const float *x, float *y, int n);\nrelu(x, y, n);\n", false,
                "void relu(const float *x, float *y, int n);\nrelu(x, y, n);\n", false, 1);
}

static void no_code(void)
{
    expect_none("", true, "no code");
    expect_none("\n\n  \t", false, "no code");
    expect_none("I cannot do that.", true, "no code");
    expect_none("```c\n```\n", true, "no code");
    expect_none("}\n", true, "no code");
    char *big = malloc(VT_CODE_MAX + 2);
    memset(big, ';', VT_CODE_MAX + 1);
    big[VT_CODE_MAX + 1] = 0;
    expect_none(big, false, "longer than");
    free(big);
    struct vt_code c;
    vt_err err;
    CHECK_OK(vt_extract("y[0] = 1;\0x", 11, "relu", false, &c, &err), err);
    CHECK(c.text == NULL && strstr(c.why, "NUL"));
}

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

static void logs(void)
{
    struct vt_diagnostics d;
    const char *log = "In file included from /usr/include/math.h:25,\nkernel.c: In function 'relu':\n"
                      "kernel.c:3:12: error: 'q' undeclared (first use in this function)\n"
                      "kernel.c:3:12: note: each undeclared identifier is reported only once\n"
                      "kernel.c:7:1: warning: unused\nhelpers.c:2:2: error: elsewhere\n"
                      "/usr/bin/ld: a.o: in function `relu': kernel.c:(.text+0x1): undefined reference to `nosuch'\n"
                      "kernel.c:9:1: fatal error: \x1b[31mred\x07\n";
    vt_diagnostics_parse(log, strlen(log), &d);
    CHECK_INT(d.n, 4);
    CHECK_INT(d.n_errors, 4);
    CHECK_INT(d.item[0].line, 3);
    CHECK_INT(d.item[0].column, 12);
    CHECK_STR(d.item[0].text, "'q' undeclared (first use in this function)");
    CHECK_INT(d.item[1].line, 0);
    CHECK(strstr(d.item[2].text, "nosuch") != NULL);
    CHECK_INT(d.item[3].line, 9);
    CHECK_STR(d.item[3].text, " [31mred ");
    char many[40 * 64] = "";
    size_t n = 0;
    for (int i = 1; i <= 40; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "kernel.c:%d:1: error: e\n", i);
    vt_diagnostics_parse(many, n, &d);
    CHECK_INT(d.n, VT_MAX_DIAGNOSTICS);
    CHECK_INT(d.n_errors, 40);
    /* Cut anywhere, nothing is read past the end. */
    for (size_t k = 0; k <= strlen(log); k++) {
        char *cut = malloc(k ? k : 1);
        memcpy(cut, log, k);
        vt_diagnostics_parse(cut, k, &d);
        CHECK(d.n >= 0 && d.n <= 4);
        free(cut);
    }
    vt_diagnostics_parse("kernel.c:99999999999999999999:1: error: x\n", 42, &d);
    CHECK_INT(d.item[0].line, 0);
}

/* The compiler's own shared objects carry start files: a constructor array at least, so they are refused, and no cut or
 * flipped byte makes the inspection read outside. */
static void objects(void)
{
    struct vt_object_info info;
    struct vt_buf self;
    vt_err err;
    vt_object_inspect((const unsigned char *)"", 0, &info);
    CHECK(info.refused[0] != 0);
    vt_object_inspect((const unsigned char *)"\177ELF", 4, &info);
    CHECK(info.refused[0] != 0);
    CHECK_OK(vt_fs_read("/proc/self/exe", 256u << 20, &self, &err), err);
    vt_object_inspect((const unsigned char *)self.p, self.len, &info);
    CHECK(strstr(info.refused, "refused") != NULL);
    for (size_t k = 0; k < 4096 && k < self.len; k += 7) {
        unsigned char *copy_of = malloc(k + 1);
        memcpy(copy_of, self.p, k);
        vt_object_inspect(copy_of, k, &info);
        CHECK(info.refused[0] != 0);
        free(copy_of);
    }
    for (size_t k = 0; k < 2048 && k < self.len; k++) {
        char was = self.p[k];
        self.p[k] = (char)(was ^ 0xff);
        vt_object_inspect((const unsigned char *)self.p, self.len, &info);
        self.p[k] = was;
    }
    vt_buf_free(&self);
}

static void roofline_floor(void)
{
    struct vt_roofline r;
    for (int i = 0; i < VT_ROOFLINE_N; i++)
        r.bytes_per_ns[i] = 200.0 / (i + 1);
    CHECK_NEAR(vt_roofline_floor_ns(&r, 16384), 0.8 * 16384 / 200.0, 1e-9);
    CHECK_NEAR(vt_roofline_floor_ns(&r, 100), 0.8 * 100 / 200.0, 1e-9);
    CHECK_NEAR(vt_roofline_floor_ns(&r, 65535), 0.8 * 65535 / 100.0, 1e-9); /* the level below is taken */
    CHECK_NEAR(vt_roofline_floor_ns(&r, 1ll << 40), 0.8 * (double)(1ll << 40) * 13 / 200.0, 1e-3);
    char machine[160];
    vt_machine_class(machine, sizeof machine);
    CHECK(machine[0] != 0);
    vt_machine_class(machine, 8);
    CHECK(strlen(machine) < 8);
}

static const struct test_case cases[] = {TEST(bodies), TEST(fenced),  TEST(no_code),       TEST(copies),
                                         TEST(logs),   TEST(objects), TEST(roofline_floor)};
TEST_MAIN(cases)
