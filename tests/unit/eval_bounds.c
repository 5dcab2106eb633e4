/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_bounds.c: kernels on both sides of the bound (DECISIONS.md section 1), through the evaluator as it ships. Each
 * file tests/bounds/ID_NAME.c is a kernel of task ID; its first line says "within X" (accepted, its largest error at
 * most X bounds) or "beyond" (refused as a wrong output). Algebra that honest kernels use, constants rounded in another
 * way and Winograd's forms, is within; half precision, Strassen and constants that were typed in too short are not.
 */
#include "eval_fixture.h"
#include "eval_tasks.h"

static vt_eval *eval;

static vt_task *find(const struct task_list *list, int id)
{
    for (size_t i = 0; i < list->n; i++)
        if (vt_task_id(list->t[i]) == id)
            return list->t[i];
    return NULL;
}

static void judge(vt_task *t, const char *name, const char *code)
{
    struct fixture_result r;
    double most = 0;
    vt_err err;
    bool is_within = sscanf(code, "// within %lf", &most) == 1;
    CHECK(is_within || strncmp(code, "// beyond", 9) == 0);
    fixture_result_init(&r);
    const struct vt_eval_request q = {.task = t, .code = code, .code_len = strlen(code), .skip_timing = true};
    CHECK_OK(vt_eval_submit(eval, &q, fixture_done, &r, &err), err);
    fixture_wait(&r);
    CHECK_OK(r.status, r.err);
    bool is_right = is_within ? r.v.correct && r.v.worst <= most : r.v.status == VT_WRONG_OUTPUT;
    printf("  %-32s %-13s %.3g of the bound\n", name, vt_verdict_status_name(r.v.status), r.v.worst);
    if (!is_right)
        printf("    expected %.40s…; %s\n", code + 3, r.feedback);
    CHECK(is_right);
    fixture_result_free(&r);
}

static void every_kernel(void)
{
    NEEDS_LUA();
    static const char folder[] = VT_SOURCE_DIR "/tests/bounds";
    struct task_list list = load_tasks("l1");
    char **names = NULL;
    size_t n = 0;
    vt_err err;
    CHECK_OK(vt_fs_list(folder, &names, &n, &err), err);
    CHECK(n >= 8);
    for (size_t i = 0; i < n; i++) {
        char path[512];
        struct vt_buf text;
        vt_task *t = find(&list, (int)strtol(names[i], NULL, 10));
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        CHECK(t != NULL);
        CHECK_OK(vt_fs_read(path, 1 << 20, &text, &err), err);
        if (t && text.p)
            judge(t, names[i], text.p);
        vt_buf_free(&text);
    }
    vt_fs_list_free(names, n);
    free_tasks(&list);
}

/* What differs by a few bounds is said to be rounding; what is wrong, wrong. */
static void words(void)
{
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    vt_task *leaky = find(&list, 20);
    static const char *const code[][2] = {
        {"for (int i = 0; i < n; i++) { float v = x[i] > 0.0f ? x[i] * 1.0f : 0.01f * x[i]; y[i] = v * 1.0000016f; }",
         "The output differs by rounding beyond the bound"},
        {"for (int i = 0; i < n; i++) y[i] = x[i] > 0.0f ? x[i] : 0.0101f * x[i];", "The output is wrong: "}};
    for (size_t i = 0; i < 2; i++) {
        struct fixture_result r;
        vt_err err;
        fixture_result_init(&r);
        const struct vt_eval_request q = {
            .task = leaky, .code = code[i][0], .code_len = strlen(code[i][0]), .skip_timing = true};
        CHECK_OK(vt_eval_submit(eval, &q, fixture_done, &r, &err), err);
        fixture_wait(&r);
        CHECK_OK(r.status, r.err);
        printf("  %.120s\n", r.feedback);
        CHECK_INT(r.v.status, VT_WRONG_OUTPUT);
        CHECK(r.feedback && strncmp(r.feedback, code[i][1], strlen(code[i][1])) == 0);
        fixture_result_free(&r);
    }
    free_tasks(&list);
}

static const struct test_case cases[] = {TEST(every_kernel), TEST(words)};

int main(int argc, char **argv)
{
    return fixture_main(cases, sizeof cases / sizeof cases[0], 2, &eval, argc, argv);
}
