/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_cuda_compile.c: CUDA text to machine code without a GPU: the compiler's jail, its limits and diagnostics, and
 * the texts of all tasks (naive version and truth), for a named architecture.
 */
#include "eval/cuda/compiler.h"
#include "eval/cuda/reference.h"
#include "eval_tasks.h"

static struct vt_cuda_compiler compiler;
static bool is_open;

static bool have_compiler(void)
{
    vt_err err = {0};
    if (is_open && vt_cuda_compiler_is_alive(&compiler))
        return true;
    vt_status s = vt_cuda_compiler_open(&compiler, false, &err);
    if (s == VT_EUNSUPPORTED || s == VT_EJAIL)
        return false;
    CHECK_OK(s, err);
    return is_open = s == VT_OK;
}
#define NEEDS_COMPILER()                                                                                               \
    do {                                                                                                               \
        if (!have_compiler())                                                                                          \
            SKIP("there is no NVRTC here, or no landlock");                                                            \
    } while (0)

static struct vt_cuda_build build(const char *text)
{
    struct vt_cuda_build b = {0};
    vt_err err = {0};
    struct vt_buf unit;
    CHECK_OK(vt_cuda_candidate_unit(text, strlen(text), &unit, &err), err);
    CHECK_OK(vt_cuda_compile(&compiler, unit.p, unit.len, "sm_90", VT_CUDA_CANDIDATE, &b, &err), err);
    vt_buf_free(&unit);
    return b;
}

static void test_kernel(void)
{
    static struct vt_cubin cubin;
    NEEDS_COMPILER();
    struct vt_cuda_build b = build("#include <cuda_fp16.h>\n"
                                   "extern \"C\" __global__ void k(const float *x, float *y, float s, int n)\n"
                                   "{ int i = threadIdx.x; if (i < n) y[i] = __half2float(__float2half(x[i] * s)); }\n"
                                   "__global__ void other(long long n, float *y) { y[n] = 0; }\n");
    CHECK_INT(b.end, VT_CUDA_BUILD_OK);
    if (b.end != VT_CUDA_BUILD_OK)
        printf("  %s\n", b.log);
    CHECK(b.image && vt_cubin_read(b.image, b.image_len, &cubin));
    const struct vt_cubin_kernel *k = vt_cubin_find(&cubin, "k"), *other = vt_cubin_find(&cubin, "other");
    CHECK(k && k->n_params == 4 && k->size[0] == 8 && k->size[2] == 4 && k->size[3] == 4);
    CHECK(other && other->n_params == 2 && strcmp(other->name, "other") != 0); /* mangled */
    CHECK(!vt_cubin_find(&cubin, "oth"));
    CHECK(!vt_cubin_find(&cubin, "missing"));
    CHECK(!cubin.has_variables);
    /* A truncated image is refused, wherever it was cut. */
    for (size_t n = 0; n < b.image_len; n += 97)
        (void)vt_cubin_read(b.image, n, &cubin);
    CHECK(!vt_cubin_read(b.image, b.image_len / 2, &cubin));
    vt_cuda_build_free(&b);
}

static void test_diagnostics(void)
{
    NEEDS_COMPILER();
    struct vt_cuda_build b = build("extern \"C\" __global__ void k(float *x)\n{\n    x[0] = nothing;\n    y = 1;\n}\n");
    CHECK_INT(b.end, VT_CUDA_BUILD_ERROR);
    CHECK_INT(b.n_errors, 2);
    CHECK_INT(b.diagnostic[0].line, 3);
    CHECK_STR(b.diagnostic[0].text, "identifier \"nothing\" is undefined");
    CHECK_INT(b.diagnostic[1].line, 4);
    vt_cuda_build_free(&b);
}

/* What remembers from one call to the next, and what does not. */
static void test_variables(void)
{
    static const struct {
        const char *text;
        bool remembers;
    } rows[] = {
        {"__device__ int n;\nextern \"C\" __global__ void k(int *x) { x[0] = n++; }\n", true},
        {"__device__ int n = 3;\nextern \"C\" __global__ void k(int *x) { x[0] = n++; }\n", true},
        {"__constant__ int n = 3;\nextern \"C\" __global__ void k(int *x) { x[0] = n; }\n", true},
        {"extern \"C\" __global__ void k(int *x) { static int n; x[0] = n++; }\n", true},
        {"extern \"C\" __global__ void k(int *x) { __shared__ int n; n = x[1]; __syncthreads(); x[0] = n; }\n", false},
    };
    static struct vt_cubin cubin;
    NEEDS_COMPILER();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_cuda_build b = build(rows[i].text);
        CHECK(b.image && vt_cubin_read(b.image, b.image_len, &cubin));
        CHECK_INT(cubin.has_variables, rows[i].remembers);
        vt_cuda_build_free(&b);
    }
}

/* The compiler prints the lines of files it can read: it must not be able to. */
static void test_no_files(void)
{
    static const char *const files[] = {"/etc/passwd", "/proc/self/environ", "/etc/hostname"};
    char text[256];
    NEEDS_COMPILER();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(text, sizeof text, "#include \"%s\"\nextern \"C\" __global__ void k(float *x) { x[0] = 1; }\n",
                 files[i]);
        struct vt_cuda_build b = build(text);
        CHECK_INT(b.end, VT_CUDA_BUILD_ERROR);
        CHECK(b.log && strstr(b.log, "root:") == NULL && strstr(b.log, "PATH=") == NULL);
        CHECK(b.n_diagnostics > 0 && strstr(b.diagnostic[0].text, "cannot open"));
        vt_cuda_build_free(&b);
    }
}

/* An array that no compiler's memory or time holds: the next text is compiled as if nothing had been. */
static void test_limits(void)
{
    NEEDS_COMPILER();
    compiler.wall_ms = 2000;
    struct vt_cuda_build b = build("__device__ int big[900000000] = {1, 2, 3};\n"
                                   "extern \"C\" __global__ void k(int *x) { x[0] = big[x[1]]; }\n");
    CHECK(b.end == VT_CUDA_BUILD_TIMEOUT || b.end == VT_CUDA_BUILD_CRASHED);
    vt_cuda_build_free(&b);
    compiler.wall_ms = 10000;
    b = build("extern \"C\" __global__ void k(int *x) { x[0] = 1; }\n");
    CHECK_INT(b.end, VT_CUDA_BUILD_OK);
    vt_cuda_build_free(&b);
}

static void test_trusted_kernels(void)
{
    struct vt_buf text;
    vt_err err = {0};
    struct vt_cuda_build b = {0};
    static struct vt_cubin cubin;
    NEEDS_COMPILER();
    CHECK_OK(vt_cuda_kernels_unit(&text, &err), err);
    CHECK_OK(vt_cuda_compile(&compiler, text.p, text.len, "sm_90", VT_CUDA_TRUSTED, &b, &err), err);
    CHECK_INT(b.end, VT_CUDA_BUILD_OK);
    if (b.end != VT_CUDA_BUILD_OK)
        CHECK(b.n_diagnostics > 0 && strstr(b.diagnostic[0].text, "cannot open"));
    CHECK(b.image && vt_cubin_read(b.image, b.image_len, &cubin) && vt_cubin_find(&cubin, "vt_k_fill"));
    vt_cuda_build_free(&b);
    vt_buf_free(&text);
}

/* One task: naive text and truth compile, and every launch fits its kernel. */
static void try_task(const vt_task *t, int *n_without)
{
    struct vt_buf text, unit;
    struct vt_launch_plan plan;
    struct vt_plan_sizes sizes;
    static struct vt_cubin cubin;
    struct vt_cuda_build b = {0};
    char why[256] = "";
    vt_err err = {0};
    vt_status s = vt_cuda_reference(t, &text, &err);
    if (s == VT_EUNSUPPORTED) {
        ++*n_without;
        printf("  %d %s\n", vt_task_id(t), err.msg);
        vt_buf_free(&text);
        return;
    }
    CHECK_OK(s, err);
    CHECK_OK(vt_launch_plan_read(t, text.p, text.len, &plan, why, &err), err);
    CHECK_STR(why, "");
    CHECK(vt_launch_plan_at(&plan, t, "search", &sizes, why));
    CHECK_STR(why, "");
    CHECK(vt_launch_plan_at(&plan, t, "full", &sizes, why));
    CHECK_STR(why, "");
    b = build(text.p);
    CHECK_INT(b.end, VT_CUDA_BUILD_OK);
    if (b.end == VT_CUDA_BUILD_OK) {
        CHECK(vt_cubin_read(b.image, b.image_len, &cubin));
        CHECK(vt_cubin_fits(&cubin, t, &plan, why));
        CHECK_STR(why, "");
    } else {
        printf("%s\n%s\n", text.p, b.log);
    }
    vt_cuda_build_free(&b);
    CHECK_OK(vt_cuda_truth_unit(t, text.p, &plan, &unit, &err), err);
    CHECK_OK(vt_cuda_compile(&compiler, unit.p, unit.len, "sm_90", VT_CUDA_TRUSTED, &b, &err), err);
    CHECK_INT(b.end, VT_CUDA_BUILD_OK);
    if (b.end != VT_CUDA_BUILD_OK)
        printf("%s: %.1500s\n", vt_task_name(t), b.log ? b.log : "");
    vt_cuda_build_free(&b);
    vt_buf_free(&unit);
    vt_buf_free(&text);
    vt_launch_plan_free(&plan);
}

static void test_tasks(void)
{
    int n_without = 0;
    NEEDS_COMPILER();
    NEEDS_LUA();
    const char *which = getenv("TASKS");
    struct task_list list = load_tasks(which ? which : "l1");
    for (size_t i = 0; i < list.n; i++)
        try_task(list.t[i], &n_without);
    printf("  %zu tasks, %d without CUDA text\n", list.n, n_without);
    free_tasks(&list);
}

static void test_close(void)
{
    if (is_open)
        vt_cuda_compiler_close(&compiler);
    is_open = false;
}

static const struct test_case cases[] = {TEST(test_kernel),   TEST(test_variables), TEST(test_diagnostics),
                                         TEST(test_no_files), TEST(test_limits),    TEST(test_trusted_kernels),
                                         TEST(test_tasks),    TEST(test_close)};
TEST_MAIN(cases)
