/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_no_memory.c: the calls of the evaluator with each of their allocations failing in turn, on whatever thread makes
 * it: pure ones, the core over the fake tier, and one evaluation of the c tier. A request for which there is no memory
 * ends with VT_ENOMEM, never with a verdict about the candidate; what is only remembered (a build in the store) may be
 * lost. Opening the c tier and compiling in it take long, so that is left to selftest --full.
 */
#include "base/fs.h"
#include "base/json.h"
#include "eval/c/assemble.h"
#include "eval/c/null.h"
#include "eval/c/roofline.h"
#include "eval/eval.h"
#include "eval/expr.h"
#include "eval/extract.h"
#include "eval_fake.h"
#include "no_memory.h"

static char root[] = "/tmp/vegttt-memory-XXXXXX";
static vt_task *task;
static vt_eval *eval;

/* ---- pure calls ---- */

static vt_status task_call(void *arg, vt_err *err)
{
    vt_task *t = NULL;
    int64_t n;
    vt_layout l;
    VT_TRY(vt_task_parse(arg, strlen(arg), &t, err));
    vt_status s = vt_task_size(t, "cpu", "2*n", &n, err);
    if (s == VT_OK)
        s = vt_task_layout(t, "cpu", &l, err);
    vt_task_unref(t);
    return s;
}

static vt_status extract_call(void *arg, vt_err *err)
{
    static const char answer[] =
        "> ```c\n> static float f(float v) { return v; }\n> ```\n> ```c\n> void relu(float *y) {\n"
        ">     y[0] = f(1);\n> }\n> ```\n";
    struct vt_code code = {0};
    (void)arg;
    vt_status s = vt_extract(answer, strlen(answer), "relu", true, &code, err);
    if (s == VT_OK && !code.text)
        s = vt_fail(err, VT_EINTERNAL, "no code: %s", code.why);
    vt_code_free(&code);
    return s;
}

static vt_status assemble_calls(void *arg, vt_err *err)
{
    char body[] = "y[0] = x[0];";
    const struct vt_code code = {.text = body, .len = strlen(body)};
    struct vt_buf unit;
    char *shown = NULL;
    (void)arg;
    VT_TRY(vt_assemble(task, &code, &unit, err));
    vt_buf_free(&unit);
    VT_TRY(vt_assemble_body(task, body, &unit, err));
    vt_buf_free(&unit);
    VT_TRY(vt_eval_prompt("c", task, NULL, &shown, err));
    free(shown);
    return VT_OK;
}

/* The text of a candidate that does not fit the task is thrown away, written or not; of the others none may be missing.
 */
static vt_status nulls_call(void *arg, vt_err *err)
{
    vt_layout l;
    struct vt_null *list = NULL;
    size_t n = 0;
    VT_TRY(vt_task_layout(task, "cpu", &l, err));
    VT_TRY(vt_null_list(task, &l, &list, &n, err));
    vt_null_free(list, n);
    return n == *(const size_t *)arg ? VT_OK : vt_fail(err, VT_EINTERNAL, "%zu null candidates", n);
}

static void pure_calls(void)
{
    vt_err err;
    vt_layout l;
    struct vt_null *list = NULL;
    size_t n = 0;
    task = fixture_task("relu");
    for (size_t i = 0; i < sizeof fixture_tasks / sizeof fixture_tasks[0]; i += 4)
        fail_each("vt_task_parse", task_call, (void *)(uintptr_t)fixture_tasks[i].json, MUST_FAIL);
    fail_each("vt_extract", extract_call, NULL, MUST_FAIL);
    fail_each("vt_assemble, vt_assemble_body, vt_eval_prompt", assemble_calls, NULL, MUST_FAIL);
    CHECK_OK(vt_task_layout(task, "cpu", &l, &err), err);
    CHECK_OK(vt_null_list(task, &l, &list, &n, &err), err);
    vt_null_free(list, n);
    fail_each("vt_null_list", nulls_call, &n, MAY_SUCCEED);
    vt_task_unref(task);
    no_memory_total();
}

/* ---- the core ---- */

static vt_status judge_one(struct vt_eval_request r, vt_verdict_status expected, vt_err *err)
{
    struct fixture_result out;
    fixture_result_init(&out);
    r.task = task;
    r.code_len = strlen(r.code);
    vt_status s = vt_eval_submit(eval, &r, fixture_done, &out, err);
    if (s == VT_OK) {
        fixture_wait(&out);
        s = out.status;
        if (s != VT_OK)
            *err = out.err;
        else if (out.v.status != expected)
            s = vt_fail(err, VT_EINTERNAL, "the verdict is %s: %s", vt_verdict_status_name(out.v.status), out.feedback);
    }
    fixture_result_free(&out);
    return s;
}

struct question {
    const char *code;
    vt_verdict_status status;
};

static vt_status submit_call(void *arg, vt_err *err)
{
    const struct question *q = arg;
    return judge_one((struct vt_eval_request){.code = q->code}, q->status, err);
}

static vt_status key_call(void *arg, vt_err *err)
{
    char key[VT_EVAL_KEY_SIZE];
    const struct vt_eval_request r = {.task = task, .code = "time=50", .code_len = 7};
    (void)arg;
    return vt_eval_key(eval, &r, key, err);
}

static vt_status class_key_call(void *arg, vt_err *err)
{
    static const struct vt_eval_class class = {"c", "cpu", "e-1", "0123456789abcdef", "m"};
    char key[VT_EVAL_KEY_SIZE];
    const struct vt_eval_request r = {.task = task, .code = "y[0] = 1;", .code_len = 9};
    (void)arg;
    return vt_eval_class_key(&class, &r, key, err);
}

static vt_status record_call(void *arg, vt_err *err)
{
    static const char text[] = "{\"status\":\"correct_fast\",\"correct\":true,\"speedup\":2.5}";
    vt_json *j;
    vt_verdict v;
    (void)arg;
    VT_TRY(vt_json_parse(text, strlen(text), "a record", &j, err));
    vt_status s = vt_record_verdict(j, &v, err);
    vt_json_free(j);
    return s;
}

static vt_status open_fake_call(void *arg, vt_err *err)
{
    char store[64];
    vt_eval *e = NULL;
    (void)arg;
    snprintf(store, sizeof store, "%s/store", root);
    VT_TRY(vt_eval_open_tiers(&(struct vt_eval_opts){.n_build = 1, .store = store, .cc = "cc"}, fake_table, &e, err));
    vt_eval_close(e);
    return VT_OK;
}

static vt_status other_tier_call(void *arg, vt_err *err)
{
    const struct vt_eval_request r = {.task = task, .code = "time=50", .code_len = 7, .tier = "other"};
    char key[VT_EVAL_KEY_SIZE];
    (void)arg;
    return vt_eval_key(eval, &r, key, err);
}

static void the_core(void)
{
    static const struct question questions[] = {{"nothing", VT_MALFORMED},         {"build=fail", VT_COMPILE_ERROR},
                                                {"load=fail", VT_LOAD_ERROR},      {"check=wrong", VT_WRONG_OUTPUT},
                                                {"check=fault", VT_RUNTIME_ERROR}, {"time=50", VT_CORRECT_FAST},
                                                {"bits=other", VT_FLAGGED}};
    vt_err err;
    fake_reset();
    fake.has_tuned = true;
    CHECK(mkdtemp(root) != NULL);
    no_memory_points = no_memory_calls = 0;
    fail_each("vt_eval_open", open_fake_call, NULL, MAY_SUCCEED);
    task = fixture_task("relu");
    CHECK_OK(vt_eval_open_tiers(&(struct vt_eval_opts){.n_build = 1}, fake_table, &eval, &err), err);
    fail_each("vt_eval_key", key_call, NULL, MUST_FAIL);
    fail_each("vt_eval_class_key", class_key_call, NULL, MUST_FAIL);
    fail_each("vt_record_verdict", record_call, NULL, MUST_FAIL);
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
        fail_each("vt_eval_submit", submit_call, (void *)(uintptr_t)&questions[i], MAY_SUCCEED);
    fail_each("a tier opened by a request", other_tier_call, NULL, MUST_FAIL);
    CHECK_INT(vt_eval_pending(eval), 0);
    vt_eval_close(eval);
    vt_task_unref(task);
    CHECK_INT(fake.n_tiers + fake.n_stations + fake.n_grounds + fake.n_candidates, 0);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    no_memory_total();
}

/* ---- the c tier ---- */

static const char relu[] = "for (int i = 0; i < n; i++) y[i] = x[i] > 0.0f ? x[i] : 0.0f;";

static vt_status c_call(void *arg, vt_err *err)
{
    return judge_one((struct vt_eval_request){.code = relu, .skip_timing = true, .fresh = arg != NULL}, VT_CORRECT_SLOW,
                     err);
}

static vt_status c_wrong_call(void *arg, vt_err *err)
{
    (void)arg;
    return judge_one((struct vt_eval_request){.code = "for (int i = 0; i < n; i++) y[i] = x[i];", .skip_timing = true},
                     VT_WRONG_OUTPUT, err);
}

static vt_status c_open_call(void *arg, vt_err *err)
{
    vt_eval *e = NULL;
    VT_TRY(vt_eval_open(arg, &e, err));
    vt_eval_close(e);
    return VT_OK;
}

static void the_c_tier(void)
{
    static char dir[] = "/tmp/vegttt-memory-XXXXXX";
    static char again[] = "again";
    vt_err err;
    CHECK(mkdtemp(dir) != NULL);
    struct vt_eval_opts o = {.n_build = 1, .store = dir};
    no_memory_points = no_memory_calls = 0;
    task = fixture_task("relu");
    CHECK_OK(vt_eval_open(&o, &eval, &err), err);
    fail_each("vt_eval_key", key_call, NULL, MUST_FAIL);
    fail_each("one evaluation", c_call, NULL, MAY_SUCCEED);
    fail_each("one evaluation that fails", c_wrong_call, NULL, MAY_SUCCEED);
    if (getenv("VEGTTT_FULL")) {
        fail_each("one evaluation that compiles", c_call, again, MAY_SUCCEED);
        fail_each("vt_eval_open", c_open_call, &o, MAY_SUCCEED);
    }
    vt_eval_close(eval);
    vt_task_unref(task);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(pure_calls), TEST(the_core), TEST(the_c_tier)};

TEST_MAIN(cases)
