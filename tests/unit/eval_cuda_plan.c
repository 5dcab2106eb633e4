/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_cuda_plan.c: launch plans read and evaluated, and CUDA text taken out of answers. Both come from models, so each
 * row is a mistake one makes, with the sentence it must meet.
 */
#include "eval/cuda/answer.h"
#include "eval/cuda/from_c.h"
#include "eval/cuda/plan.h"
#include "eval_fixture.h"

static void plan_is_read(void)
{
    static const char text[] =
        "// A kernel that launches (well) is not a plan.\n"
        "// scratch part bytes(4 * m * ceil_div(n, 32))\n"
        "  //launch first grid(ceil_div(n, 32), m) block(32, 4, 1) smem(4 * n) args(x, part, m, n)\r\n"
        "// launch second grid(m) block(1) args(part, y)\n"
        "int launch(int a);\n";
    struct vt_launch_plan p;
    struct vt_plan_sizes s;
    char why[256];
    vt_err err = {0};
    vt_task *t = fixture_task("row_sum"); /* m 256, n 1000; hidden 7, 13 */
    CHECK_OK(vt_launch_plan_read(t, text, sizeof text - 1, &p, why, &err), err);
    CHECK_STR(why, "");
    CHECK_INT(p.n_launches, 2);
    CHECK_INT(p.n_scratch, 1);
    CHECK_STR(p.launch[0].kernel, "first");
    CHECK_INT(p.launch[0].line, 3);
    CHECK_INT(p.launch[0].n_args, 4);
    CHECK(p.launch[0].arg[1].kind == VT_ARG_SCRATCH && p.launch[0].arg[1].index == 0);
    CHECK(p.launch[0].arg[3].kind == VT_ARG_SIZE && p.launch[0].arg[3].index == 1);
    CHECK(vt_launch_plan_at(&p, t, "cpu", &s, why));
    CHECK_INT(s.launch[0].grid[0], 32);
    CHECK_INT(s.launch[0].grid[1], 256);
    CHECK_INT(s.launch[0].grid[2], 1);
    CHECK_INT(s.launch[0].block[1], 4);
    CHECK_INT(s.launch[0].smem, 4000);
    CHECK_INT(s.scratch[0], 4 * 256 * 32);
    CHECK(vt_launch_plan_at(&p, t, "hidden", &s, why));
    CHECK_INT(s.launch[0].grid[0], 1);
    vt_launch_plan_free(&p);
    vt_task_unref(t);
}

static void bad_plans_are_refused(void)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"", "there is no launch plan"},
        {"// launch k grid(1) block(1)\n", "needs grid(…), block(…) and args(…)"},
        {"// launch k block(1) args(x)\n", "needs grid(…), block(…) and args(…)"},
        {"// launch k grid(1, 1, 1, 1) block(1) args(x)\n", "too many members in \"grid\""},
        {"// launch k grid(1 block(1) args(x)\n", "a bracket is not closed"},
        {"// launch k grid() block(1) args(x)\n", "an empty member in \"grid\""},
        {"// launch k grid(1,) block(1) args(x)\n", "an empty member in \"grid\""},
        {"// launch k grid(1) block(1) args(x, q)\n", "there is no \"q\""},
        {"// launch k grid(1) block(1) cluster(2) args(x)\n", "it has no \"cluster\""},
        {"// launch k grid(1) block(1) args(x) quickly\n", "\"quickly\""},
        {"// launch <<<1, 1>>>(x)\n", "launch needs the name of a kernel"},
        {"// scratch x bytes(4)\n", "a name of its own, not \"x\""},
        {"// scratch s (4)\n", "a scratch is written"},
        {"// scratch s bytes(4, 5)\n", "bytes"},
        {"// launch k grid(1) block(1) args(s)\n// scratch s bytes(4)\n", "there is no \"s\""}, /* declared above */
        {"// launch k grid(m - 1000) block(1) args(x)\n", "grid(m - 1000)"},
        {"// launch k grid(m / 1000) block(1) args(x)\n", "is 0"},
        {"// launch k grid(1, 100000) block(1) args(x)\n", "must be from 1 to 65535"},
        {"// launch k grid(1) block(2048) args(x)\n", "must be from 1 to 1024"},
        {"// launch k grid(1) block(64, 64) args(x)\n", "a block of 4096 threads"},
        {"// launch k grid(1) block(1) smem(1000000) args(x)\n", "must be from 0 to 232448"},
        {"// launch k grid(unknown) block(1) args(x)\n", "unknown"},
        {"// scratch s bytes(m * m * m * m * m * m)\n// launch k grid(1) block(1) args(x)\n", "must be from 1 to"},
    };
    vt_err err = {0};
    vt_task *t = fixture_task("row_sum");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_launch_plan p;
        struct vt_plan_sizes s;
        char why[256];
        CHECK_OK(vt_launch_plan_read(t, rows[i].text, strlen(rows[i].text), &p, why, &err), err);
        if (!why[0])
            (void)vt_launch_plan_at(&p, t, "cpu", &s, why);
        if (!strstr(why, rows[i].said))
            printf("  %s  got: %s\n", rows[i].text, why);
        CHECK(strstr(why, rows[i].said));
        vt_launch_plan_free(&p);
    }
    vt_task_unref(t);
}

static void many_launches_are_refused(void)
{
    struct vt_buf b;
    struct vt_launch_plan p;
    char why[256];
    vt_err err = {0};
    vt_task *t = fixture_task("relu");
    vt_buf_init(&b, 1 << 20);
    for (int i = 0; i < 65; i++)
        vt_buf_puts(&b, "// launch k grid(1) block(1) args(x)\n");
    CHECK_OK(vt_launch_plan_read(t, b.p, b.len, &p, why, &err), err);
    CHECK(strstr(why, "at most 64 launches"));
    vt_launch_plan_free(&p);
    vt_buf_free(&b);
    vt_task_unref(t);
}

#define KERNEL "// launch k grid(1) block(1) args(x)\n__global__ void k(float *x) { }\n"

static void code_is_taken_out_of_answers(void)
{
    static const struct {
        const char *answer, *code; /* NULL code: none, and `why` says */
        const char *why;
    } rows[] = {
        {KERNEL, KERNEL, ""},
        {"Here it is:\n```cuda\n" KERNEL "```\nDone.", KERNEL, ""},
        {"```python\nprint('__global__ launch')\n```\n```cpp\n" KERNEL "```\n", KERNEL, ""},
        {"```cpp\n__global__ void draft() { }\n```\nBetter:\n~~~\n" KERNEL "~~~\n", KERNEL, ""},
        {"```cpp\n" KERNEL "```\nCalled as\n```cpp\n__global__ void k(float *x);\n```\n", KERNEL,
         ""}, /* no plan there */
        {"<think>```cuda\n// launch draft grid(1) block(1) args(x)\n__global__ void draft() { "
         "}\n```</think>\n```cuda\n" KERNEL "```",
         KERNEL, ""},
        {"> ```cu\n" KERNEL "```\n", KERNEL, ""},
        {"```cuda\n" KERNEL, KERNEL, ""}, /* the closing fence was cut, the code was not */
        {"```cuda\n// launch k grid(1) block(1) args(x)\n__global__ void k(float *x) { if (x) {\n", NULL,
         "ends before"},
        {"I cannot help with that.", NULL, "holds no CUDA kernel"},
        {"```c\nint main(void) { return 0; }\n```\n", NULL, "holds no CUDA kernel"},
        {"", NULL, "holds no CUDA kernel"},
    };
    vt_err err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_code c;
        CHECK_OK(vt_cuda_extract(rows[i].answer, strlen(rows[i].answer), true, &c, &err), err);
        if (rows[i].code)
            CHECK_STR(c.text, rows[i].code);
        else
            CHECK(!c.text && strstr(c.why, rows[i].why));
        if (c.text) { /* taking the code out of code changes nothing */
            struct vt_code again;
            CHECK_OK(vt_cuda_extract(c.text, c.len, false, &again, &err), err);
            CHECK_STR(again.text, c.text);
            CHECK(memcmp(rows[i].answer + c.from, c.text, c.to - c.from) == 0);
            vt_code_free(&again);
        }
        vt_code_free(&c);
    }
}

static void copies_are_told(void)
{
    static const struct {
        const char *text;
        bool is_copy;
    } rows[] = {{KERNEL, true},
                {"// the same\n//   launch k   grid(1) block( 1 ) args(x)\n__global__ void k(float *x)\n{\n}\n", true},
                {"// launch k grid(2) block(1) args(x)\n__global__ void k(float *x) { }\n", false},
                {"// launch k grid(1) block(1) args(x)\n__global__ void k(float *x) { x[0] = 0; }\n", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_code c = {.text = (char *)(uintptr_t)rows[i].text, .len = strlen(rows[i].text)};
        CHECK_INT(vt_cuda_is_copy(KERNEL, &c), rows[i].is_copy);
    }
}

/* The rule that makes CUDA text of C bodies, and what it must leave alone. */
static void bodies_become_kernels(void)
{
    static const struct {
        const char *body, *said; /* NULL: it becomes a kernel */
    } rows[] = {
        {"for (int i = 0; i < n; i++) y[i] = x[i];", NULL},
        {"int h = n / 2;\nfor (int i = 0; i < n; i++) { float a = x[i]; y[i] = a; }", NULL},
        {"for (int i = 0; i < n; i++) y[i] += x[i];", "reads an output or adds to one"},
        {"for (int i = 0; i < n; i++) { y[i] = x[i]; y[i] = y[i] + 1; }", "reads an output or adds to one"},
        {"for (int i = 0; i < n; i++) y[i] = 0; for (int i = 0; i < n; i++) y[i] = x[i];",
         "stands beside its first loop"},
        {"float s = 0; for (int i = 0; i < n; i++) s += x[i]; y[0] = s;", "does not begin with loops"},
        {"for (int i = 1; i < n; i++) y[i] = x[i];", "does not begin with loops"},
        {"for (int i = 0; i < n; i += 2) y[i] = x[i];", "does not step by one"},
        {"for (int i = 0; i < n; i++) for (int j = 0; j < i; j++) y[j] = x[i];",
         NULL}, /* threads of the outer loop only */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char json[1024], body[400];
        size_t n = 0;
        vt_task *t = NULL;
        vt_err err = {0};
        struct vt_buf out;
        for (const char *p = rows[i].body; *p; p++)
            n += (size_t)snprintf(body + n, sizeof body - n, *p == '\n' ? "\\n" : "%c", *p);
        snprintf(
            json, sizeof json,
            "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"f\",\"family\":\"elementwise\",\"sizes\":{\"cpu\":{\"n\":"
            "9}},"
            "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"normal\"]},"
            "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\"]}],\"scalars\":[],\"rtol\":0,\"atol\":"
            "0,"
            "\"bytes\":\"8*n\",\"flops\":\"n\",\"body\":\"%s\"}",
            body);
        CHECK_OK(vt_task_parse(json, strlen(json), &t, &err), err);
        if (!t)
            continue;
        vt_buf_init(&out, 1 << 16);
        vt_status s = vt_cuda_from_c(t, &out, &err);
        CHECK_INT(s, rows[i].said ? VT_EUNSUPPORTED : VT_OK);
        if (s != VT_OK && rows[i].said && !strstr(err.msg, rows[i].said))
            printf("  %s: %s\n", rows[i].body, err.msg);
        CHECK(!rows[i].said || strstr(err.msg, rows[i].said));
        vt_buf_free(&out);
        vt_task_unref(t);
    }
}

static const struct test_case cases[] = {TEST(plan_is_read),
                                         TEST(bad_plans_are_refused),
                                         TEST(many_launches_are_refused),
                                         TEST(code_is_taken_out_of_answers),
                                         TEST(copies_are_told),
                                         TEST(bodies_become_kernels)};
TEST_MAIN(cases)
