/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_cuda_tier.c: the cuda tier from answer to verdict over doubles of the driver and of NVRTC (tests/gpu_double):
 * the tier, its processes, generated inputs, truths and comparison are the real ones, only the device is this CPU.
 */
#include "eval_fixture.h"
#include <sys/stat.h>

static vt_eval *ev;

static bool open_eval(void)
{
    vt_err err = {0};
    char path[1024];
    if (ev)
        return true;
    snprintf(path, sizeof path, "%s/tests/gpu_double", VT_SOURCE_DIR);
    setenv("VT_DOUBLE_DIR", path, 1);
    char exe[512] = "";
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    CHECK(n > 0);
    *strrchr(exe, '/') = '\0';
    snprintf(path, sizeof path, "%s/gpu_double", exe);
    setenv("LD_LIBRARY_PATH", path, 1);
    snprintf(path, sizeof path, "/tmp/vegttt-test-cuda-%d", (int)getpid());
    mkdir(path, 0700);
    setenv("XDG_CACHE_HOME", path, 1);
    const struct vt_eval_opts o = {.tier = "cuda", .n_build = 1, .secret = 7, .no_cache = true};
    CHECK_OK(vt_eval_open(&o, &ev, &err), err);
    return ev != NULL;
}

#define RELU                                                                                                           \
    "// launch relu grid(ceil_div(n, 128)) block(128) args(x, y, n)\n"                                                 \
    "extern \"C\" __global__ void relu(const float *x, float *y, int n)\n{\n"                                          \
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"

/* What a candidate gets, and a part of what it is told. */
static const struct row {
    const char *name, *task, *code;
    vt_verdict_status status;
    const char *said;
} rows[] = {
    {"honest", "relu", RELU "    if (i < n)\n        y[i] = fmaxf(x[i], 0.0f);\n}\n", VT_CORRECT_SLOW, ""},
    {"no guard", "relu", RELU "    y[i] = fmaxf(x[i], 0.0f);\n}\n", VT_RUNTIME_ERROR, "past the end of the output y"},
    {"copies past the end", "relu",
     RELU "    if (i < n)\n        y[i] = fmaxf(x[i], 0.0f);\n    else\n        y[i] = x[i];\n}\n", VT_RUNTIME_ERROR,
     "past the end of the output y"},
    {"copies", "relu", RELU "    if (i < n)\n        y[i] = x[i];\n}\n", VT_WRONG_OUTPUT, "expected 0"},
    {"last one missing", "relu", RELU "    if (i < n - 1)\n        y[i] = fmaxf(x[i], 0.0f);\n}\n", VT_WRONG_OUTPUT,
     "y["},
    {"writes its input", "relu",
     RELU "    if (i < n)\n        y[i] = fmaxf(x[i], 0.0f);\n    if (i == 5)\n        ((float *)x)[7] = 1.5f;\n}\n",
     VT_RUNTIME_ERROR, "wrote to the input x"},
    {"remembers", "relu",
     "__device__ int calls;\n" RELU
     "    if (i == 0)\n        calls++;\n    if (i < n)\n        y[i] = calls > 1 ? 0.0f : fmaxf(x[i], 0.0f);\n}\n",
     VT_CORRECT_SLOW, ""}, /* the module is new in every call: it never sees its second */
    {"crashes", "relu",
     RELU "    if (i == 3)\n        *(volatile int *)16 = 1;\n    if (i < n)\n        y[i] = 0;\n}\n", VT_RUNTIME_ERROR,
     "ended the process"},
    {"no plan", "relu", "extern \"C\" __global__ void relu(const float *x, float *y, int n) { }\n", VT_COMPILE_ERROR,
     "no launch plan"},
    {"no kernel", "relu", "// launch other grid(1) block(1) args(x)\n__global__ void k(float *x) { }\n", VT_LOAD_ERROR,
     "no kernel \"other\""},
    {"too few arguments", "relu",
     "// launch k grid(1) block(1) args(x, y)\nextern \"C\" __global__ void k(const float *x, float *y, int n) { }\n",
     VT_LOAD_ERROR, "takes 3 parameters"},
    {"a size for a pointer", "relu",
     "// launch k grid(1) block(1) args(x, n, y)\nextern \"C\" __global__ void k(const float *x, float *y, int n) { "
     "}\n",
     VT_LOAD_ERROR, "parameter 2"},
    {"a grid of none", "relu",
     "// launch k grid(n / 1000000) block(1) args(x)\nextern \"C\" __global__ void k(const float *x) { }\n",
     VT_LOAD_ERROR, "grid(n / 1000000) is 0"},
    {"syntax", "relu", RELU "    y[i] = undefined_name;\n}\n", VT_COMPILE_ERROR, "does not compile"},
    {"prose", "relu", "I would use shared memory.", VT_MALFORMED, "no CUDA kernel"},
    {"two kernels and scratch", "row_sum",
     "// scratch part bytes(4 * m * 8)\n"
     "// launch parts grid(m) block(8) args(x, part, n)\n"
     "// launch sums grid(ceil_div(m, 32)) block(32) args(part, y, m)\n"
     "extern \"C\" __global__ void parts(const float *x, float *part, int n)\n{\n    float s = 0;\n"
     "    for (int j = threadIdx.x; j < n; j += 8)\n        s += x[blockIdx.x * n + j];\n"
     "    part[blockIdx.x * 8 + threadIdx.x] = s;\n}\n"
     "extern \"C\" __global__ void sums(const float *part, float *y, int m)\n{\n"
     "    int i = blockIdx.x * 32 + threadIdx.x;\n    if (i >= m)\n        return;\n    float s = 0;\n"
     "    for (int k = 0; k < 8; k++)\n        s += part[i * 8 + k];\n    y[i] = s;\n}\n",
     VT_CORRECT_SLOW, ""},
    {"half precision", "row_sum",
     "// launch k grid(m) block(1) args(x, y, n)\nextern \"C\" __global__ void k(const float *x, float *y, int n)\n{\n"
     "    float s = 0;\n    for (int j = 0; j < n; j++)\n        s += (float)(int)(x[blockIdx.x * n + j] * 1024) / "
     "1024;\n"
     "    y[blockIdx.x] = s;\n}\n",
     VT_WRONG_OUTPUT, "y["},
    {"an index", "argmax",
     "// launch k grid(m) block(1) args(x, y, n)\nextern \"C\" __global__ void k(const float *x, long long *y, int "
     "n)\n{\n"
     "    int best = 0;\n    for (int j = 1; j < n; j++)\n"
     "        if (x[blockIdx.x * n + j] > x[blockIdx.x * n + best])\n            best = j;\n    y[blockIdx.x] = "
     "best;\n}\n",
     VT_CORRECT_SLOW, ""},
};

static void test_rows(void)
{
    if (!open_eval())
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *only = getenv("ROW");
        if (only && !strstr(rows[i].name, only))
            continue;
        struct fixture_result r;
        vt_task *t = fixture_task(rows[i].task);
        fixture_judge(
            ev, t, rows[i].code,
            (struct vt_eval_request){.scale = "cpu", .skip_timing = i > 0, .extract = rows[i].status == VT_MALFORMED},
            &r);
        CHECK_OK(r.status, r.err);
        if (r.status == VT_OK) {
            const bool is_right = rows[i].status == VT_CORRECT_SLOW ? r.v.correct : r.v.status == rows[i].status;
            if (!is_right || !strstr(r.feedback, rows[i].said)) {
                printf("  %s: %s: %s\n", rows[i].name, vt_verdict_status_name(r.v.status), r.feedback);
                CHECK(is_right);
                CHECK(strstr(r.feedback, rows[i].said));
            }
        }
        fixture_result_free(&r);
        vt_task_unref(t);
    }
}

/* The shown text is a copy with a speedup of exactly 1; another block size is none. */
static void test_copy(void)
{
    char *text = NULL;
    vt_err err = {0};
    struct fixture_result r;
    if (!open_eval())
        return;
    vt_task *t = fixture_task("matmul");
    CHECK_OK(vt_eval_prompt("cuda", t, NULL, &text, &err), err);
    CHECK(text && strstr(text, "// launch matmul grid(ceil_div((m) * (n), 256)) block(256) args(a, b, c, k, m, n)"));
    fixture_judge(ev, t, text, (struct vt_eval_request){.scale = "cpu"}, &r);
    CHECK_OK(r.status, r.err);
    CHECK(r.v.correct && r.v.is_copy);
    CHECK_NEAR(r.v.speedup, 1.0, 0);
    CHECK(r.v.runtime_us > 0 && r.v.baseline_us > 0);
    fixture_result_free(&r);
    char *block = text ? strstr(text, "block(256)") : NULL; /* more threads than there is work for: all the same */
    CHECK(block != NULL);
    if (block)
        memcpy(block, "block(512)", 10);
    fixture_judge(ev, t, text, (struct vt_eval_request){.scale = "cpu", .skip_timing = true}, &r);
    CHECK_OK(r.status, r.err);
    CHECK(r.v.correct && !r.v.is_copy);
    fixture_result_free(&r);
    free(text);
    vt_task_unref(t);
}

/* An output whose truth is too large to be stored: the truth's text judges it, element by element, where it stands. */
static void test_large(void)
{
    static const struct {
        const char *last;
        bool is_right;
    } large[] = {{"    if (i < n)\n        y[i] = fmaxf(x[i], 0.0f);\n}\n", true},
                 {"    if (i < n)\n        y[i] = i == 4300001 ? -1.0f : fmaxf(x[i], 0.0f);\n}\n", false}};
    char json[4096], code[1024];
    vt_task *t = NULL;
    vt_err err = {0};
    if (!open_eval())
        return;
    for (size_t i = 0; i < sizeof fixture_tasks / sizeof fixture_tasks[0]; i++)
        if (strcmp(fixture_tasks[i].name, "relu") == 0)
            snprintf(json, sizeof json, "%s", fixture_tasks[i].json);
    char *n = strstr(json, "200003");
    CHECK(n != NULL);
    memmove(n + 7, n + 6, strlen(n + 6) + 1);
    memcpy(n, "4300003", 7);
    CHECK_OK(vt_task_parse(json, strlen(json), &t, &err), err);
    for (int i = 0; t && i < 2; i++) {
        struct fixture_result r;
        snprintf(code, sizeof code, "%s%s", RELU, large[i].last);
        fixture_judge(ev, t, code, (struct vt_eval_request){.scale = "cpu", .skip_timing = true}, &r);
        CHECK_OK(r.status, r.err);
        CHECK_INT(r.v.correct, large[i].is_right);
        CHECK(large[i].is_right || (strstr(r.feedback, "1 of 4300003 elements") && strstr(r.feedback, "y[4300001]")));
        fixture_result_free(&r);
    }
    vt_task_unref(t);
}

/* A task that the tier has no text for says what to do. */
static void test_no_text(void)
{
    struct fixture_result r;
    if (!open_eval())
        return;
    vt_task *t = fixture_task("mse_loss");
    fixture_result_init(&r);
    vt_err err = {0};
    char *text = NULL;
    CHECK_INT(vt_eval_prompt("cuda", t, NULL, &text, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "give the task a field \"cuda\""));
    free(text);
    fixture_result_free(&r);
    vt_task_unref(t);
}

/* A list that names what is not there is no reason to take another device. */
static void test_devices(void)
{
    static const struct {
        const char *list, *said;
    } bad[] = {{"0,1", "names a GPU that is not there; there are 1"}, {"one", "is no list of devices"}};
    const struct vt_eval_opts o = {.tier = "cuda", .n_build = 1, .secret = 7, .no_cache = true};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vt_eval *e = NULL;
        vt_err err = {0};
        setenv("VEGTTT_EVAL_DEVICES", bad[i].list, 1);
        CHECK_INT(vt_eval_open(&o, &e, &err), VT_EINVAL);
        CHECK(strstr(err.msg, bad[i].said) != NULL);
        vt_eval_close(e);
    }
    unsetenv("VEGTTT_EVAL_DEVICES");
}

static void test_close(void)
{
    vt_eval_close(ev);
    ev = NULL;
}

static const struct test_case cases[] = {TEST(test_rows),    TEST(test_copy),    TEST(test_large),
                                         TEST(test_no_text), TEST(test_devices), TEST(test_close)};
TEST_MAIN(cases)
