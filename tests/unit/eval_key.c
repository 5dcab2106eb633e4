/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_key.c: the identity of an evaluation. Every field of it counts; what does not belong to it does not; an answer
 * asks the same as the code in it, by every road; what waits under one key is judged once, and one of those who wait
 * can withdraw. What a second run shares through the content store it does not build again.
 */
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "eval/key.h"
#include "eval_fixture.h"
#include <ftw.h>

static const char good[] = "    for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;";

static void expect_other(const struct vt_key_parts *p, const struct vt_case_keys *base, bool is_settled_too)
{
    struct vt_case_keys k;
    vt_case_keys(p, &k);
    CHECK(strcmp(k.key, base->key) != 0);
    CHECK_INT(strcmp(k.settled, base->settled) != 0, is_settled_too);
}

/* One field after the other is another one; a dropped or confused field gives an equal key. */
static void fields(void)
{
    struct vt_code code = {.text = (char *)(uintptr_t) "a", .len = 1},
                   other = {.text = (char *)(uintptr_t) "b", .len = 1}, none = {0};
    vt_task *relu = fixture_task("relu"), *sum = fixture_task("row_sum");
    const struct vt_key_parts base = {.task = relu,
                                      .code = &code,
                                      .answer = "x",
                                      .answer_len = 1,
                                      .tier = "c",
                                      .scale = "cpu",
                                      .protocol = "fast",
                                      .evaluator = "c-1",
                                      .compiler = "gcc",
                                      .baseline = "shown",
                                      .machine = "here"};
    struct vt_case_keys k, same;
    vt_case_keys(&base, &k);
    CHECK_STR(k.key, k.settled);
    struct vt_key_parts p = base;
    p.answer = "y"; /* what stood around the code */
    vt_case_keys(&p, &same);
    CHECK_STR(same.key, k.key);
#define OTHER(field, value)                                                                                            \
    do {                                                                                                               \
        p = base;                                                                                                      \
        p.field = (value);                                                                                             \
        expect_other(&p, &k, true);                                                                                    \
    } while (0)
    OTHER(task, sum);
    OTHER(code, &other);
    OTHER(tier, "cuda");
    OTHER(scale, "full");
    OTHER(protocol, "full");
    OTHER(protocol, "check");
    OTHER(evaluator, "c-2");
    OTHER(compiler, "clang");
    OTHER(baseline, "eager");
    OTHER(machine, "there");
    p = base;
    p.tier = "ccpu"; /* the same bytes in other fields */
    p.scale = "";
    expect_other(&p, &k, true);
    /* An answer without code is named by what it says, and is not the code that says the same. */
    struct vt_case_keys x, y;
    p = base;
    p.code = &none;
    p.answer = "a";
    vt_case_keys(&p, &x);
    CHECK(strcmp(x.key, k.key) != 0);
    p.answer = "b";
    vt_case_keys(&p, &y);
    CHECK(strcmp(x.key, y.key) != 0);
    /* Repetitions and confirmations are other evaluations, of which what is settled is settled. */
    p = base;
    p.replicate = 1;
    expect_other(&p, &k, false);
    vt_case_keys(&p, &x);
    p.replicate = 2;
    vt_case_keys(&p, &y);
    CHECK(strcmp(x.key, y.key) != 0);
    p = base;
    p.confirms = k.key;
    expect_other(&p, &k, false);
    vt_case_keys(&p, &y);
    CHECK(strcmp(x.key, y.key) != 0);
    p.confirms = x.key;
    vt_case_keys(&p, &same);
    CHECK(strcmp(same.key, y.key) != 0);
    vt_task_unref(relu);
    vt_task_unref(sum);
}

static vt_eval *eval;

static void key_of(vt_task *t, const char *text, bool is_answer, char key[VT_EVAL_KEY_SIZE])
{
    vt_err err;
    struct vt_eval_request r = {.task = t, .code = text, .code_len = strlen(text), .extract = is_answer};
    CHECK_OK(vt_eval_key(eval, &r, key, &err), err);
}

static void expect_text(const char *json, const char *field, const char *value)
{
    vt_json *j = NULL;
    vt_err err;
    CHECK_OK(vt_json_parse(json, strlen(json), "a record", &j, &err), err);
    CHECK_STR(vt_json_str(vt_json_get(j, field), NULL), value);
    vt_json_free(j);
}

/* The same code in answers of every kind is the same question, and the record says so. */
static void roads(void)
{
    static const struct {
        const char *before, *after;
        bool is_answer;
    } answers[] = {{"", "\n}\n", true},
                   {"Here it is:\n\n```c\n", "\n```\nIt is fast.\n", true},
                   {"<think>y[0] = 1;</think>\n```\n", "\n```\n", true},
                   {"Here it is:\n\n```c\n", "\n```\nIt is fast.\n", false}};
    char text[512], key[VT_EVAL_KEY_SIZE], other[VT_EVAL_KEY_SIZE];
    vt_task *t = fixture_task("relu");
    key_of(t, good, false, key);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        snprintf(text, sizeof text, "%s%s%s", answers[i].before, good, answers[i].after);
        key_of(t, text, answers[i].is_answer, other);
        CHECK_STR(other, key);
        struct fixture_result r;
        fixture_judge(eval, t, text, (struct vt_eval_request){.extract = answers[i].is_answer, .skip_timing = true},
                      &r);
        CHECK(r.v.correct);
        fixture_result_free(&r);
    }
    struct fixture_result r;
    fixture_judge(eval, t, good, (struct vt_eval_request){.replicate = 7}, &r);
    struct vt_eval_request again = {.task = t, .code = good, .code_len = strlen(good), .replicate = 7};
    vt_err err;
    CHECK_OK(vt_eval_key(eval, &again, other, &err), err);
    expect_text(r.json, "key", other);
    CHECK(strcmp(key, other) != 0);
    fixture_result_free(&r);
    /* A brace too many is what the model wrote: another text, the same by both roads, and judged up to that brace. */
    snprintf(text, sizeof text, "%s\n  }\n}\n", good);
    key_of(t, text, true, other);
    snprintf(text, sizeof text, "%s\n  }", good);
    key_of(t, text, false, key);
    CHECK_STR(other, key);
    fixture_judge(eval, t, text, (struct vt_eval_request){.skip_timing = true}, &r);
    CHECK(r.v.correct);
    fixture_result_free(&r);
    /* Whole functions and answers that hold none, too. */
    snprintf(text, sizeof text, "Well.\n%s {\n%s\n}\nDone.\n", vt_task_signature(t), good);
    fixture_judge(eval, t, text, (struct vt_eval_request){.extract = true, .skip_timing = true}, &r);
    CHECK(r.v.correct);
    fixture_result_free(&r);
    fixture_judge(eval, t, "    y[0] = 1;\n    y[1]", (struct vt_eval_request){.extract = true}, &r);
    CHECK_INT(r.v.status, VT_MALFORMED);
    CHECK(strstr(r.feedback, "ends before") != NULL);
    fixture_result_free(&r);
    fixture_judge(eval, t, "}\n", (struct vt_eval_request){.extract = true}, &r);
    CHECK_INT(r.v.status, VT_MALFORMED);
    fixture_result_free(&r);
    vt_task_unref(t);
}

static void submit(vt_task *t, const char *code, bool is_answer, struct fixture_result *r)
{
    vt_err err;
    struct vt_eval_request q = {
        .task = t, .code = code, .code_len = strlen(code), .extract = is_answer, .skip_timing = true};
    fixture_result_init(r);
    CHECK_OK(vt_eval_submit(eval, &q, fixture_done, r, &err), err);
}

/* One build thread: what is submitted behind the first request waits. Of two who wait for one evaluation the first and
 * the second may go; alone the request is dropped; nobody else's is. */
static void withdrawing(void)
{
    enum { FIRST, ONE, SAME, ALONE, OTHER, N };
    char code[N][128], answer[256];
    struct fixture_result r[N];
    vt_task *t = fixture_task("relu");
    for (int gone = ONE; gone <= SAME; gone++) {
        for (int i = 0; i < N; i++)
            snprintf(code[i], sizeof code[i], "/* %d %d */ %s", gone, i, good);
        snprintf(answer, sizeof answer, "```c\n%s\n```", code[ONE]);
        submit(t, code[FIRST], false, &r[FIRST]);
        submit(t, code[ONE], false, &r[ONE]);
        submit(t, answer, true, &r[SAME]);
        submit(t, code[ALONE], false, &r[ALONE]);
        submit(t, code[OTHER], false, &r[OTHER]);
        vt_eval_cancel(eval, &r[gone]);
        vt_eval_cancel(eval, &r[ALONE]);
        vt_eval_cancel(eval, &r[ALONE]); /* over */
        vt_eval_cancel(eval, code);      /* nobody's */
        for (int i = 0; i < N; i++)
            fixture_wait(&r[i]);
        CHECK_INT(r[gone].status, VT_ECANCELLED);
        CHECK_INT(r[ALONE].status, VT_ECANCELLED);
        CHECK(r[FIRST].status == VT_OK && r[OTHER].status == VT_OK);
        CHECK(r[ONE + SAME - gone].status == VT_OK && r[ONE + SAME - gone].v.correct);
        CHECK_INT(vt_eval_pending(eval), 0);
        for (int i = 0; i < N; i++)
            fixture_result_free(&r[i]);
    }
    /* The one that runs gets a verdict or a cancellation, and the evaluator goes on. */
    submit(t, "/* runs */ y[0] = 1;", false, &r[0]);
    vt_eval_cancel(eval, &r[0]);
    fixture_wait(&r[0]);
    CHECK(r[0].status == VT_OK || r[0].status == VT_ECANCELLED);
    fixture_result_free(&r[0]);
    vt_task_unref(t);
}

static bool build_is_cached(const char *json)
{
    vt_json *j = NULL;
    vt_err err;
    CHECK_OK(vt_json_parse(json, strlen(json), "a record", &j, &err), err);
    bool is = vt_json_bool(vt_json_get(vt_json_get(j, "build"), "cached"), false);
    vt_json_free(j);
    return is;
}

/* Whether the good code's build came from the store; it is right in any case. */
static bool judged_from_store(const char *folder, const char *cc, vt_task *t)
{
    struct vt_eval_opts o = {.n_build = 1, .store = folder, .cc = cc};
    struct fixture_result r;
    vt_eval *e = NULL;
    vt_err err;
    CHECK_OK(vt_eval_open(&o, &e, &err), err);
    fixture_judge(e, t, good, (struct vt_eval_request){.skip_timing = true}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "correct_slow");
    bool is = build_is_cached(r.json);
    fixture_result_free(&r);
    vt_eval_close(e);
    return is;
}

static int spoil_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    vt_err err;
    struct vt_buf program;
    (void)st;
    (void)at;
    if (kind != FTW_F || !strstr(path, "/build/"))
        return 0;
    CHECK_OK(vt_fs_read("/proc/self/exe", 64 << 20, &program, &err), err);
    char seal[VT_SHA256_HEX]; /* as the store seals what it keeps: no damage, but no object of ours either */
    vt_sha256_of(program.p, program.len, seal);
    vt_buf_puts(&program, seal);
    CHECK_OK(vt_fs_write_atomic(path, program.p, program.len, &err), err);
    vt_buf_free(&program);
    return 0;
}

/* Somebody puts a program where the store keeps objects. */
static void spoil_builds(const char *folder)
{
    CHECK_INT(nftw(folder, spoil_one, 8, FTW_PHYS), 0);
}

/* Another evaluator over the same store: what compiled is not compiled, what failed for good is not tried, and the
 * record has the key that was asked under. */
static void shared_store(void)
{
    char folder[] = "/tmp/vegttt-key-XXXXXX", key[VT_EVAL_KEY_SIZE];
    static const char *const codes[] = {good, "y[0] = 1;", "y[0] = nothing;"};
    vt_task *t = fixture_task("relu");
    vt_err err;
    CHECK(mkdtemp(folder) != NULL);
    for (int run = 0; run < 2; run++) {
        vt_eval *e = NULL;
        struct vt_eval_opts o = {.n_build = 1, .store = folder};
        CHECK_OK(vt_eval_open(&o, &e, &err), err);
        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
            struct fixture_result r;
            struct vt_eval_request q = {
                .task = t, .code = codes[i], .code_len = strlen(codes[i]), .skip_timing = true, .replicate = run};
            CHECK_OK(vt_eval_key(e, &q, key, &err), err);
            fixture_judge(e, t, codes[i], q, &r);
            expect_text(r.json, "key", key);
            CHECK_INT(r.v.cached, run == 1 && i > 0);
            if (i == 0)
                CHECK_INT(build_is_cached(r.json), run == 1);
            fixture_result_free(&r);
        }
        vt_eval_close(e);
    }
    /* Another compiler's objects are not taken, and none that may not be loaded. */
    CHECK(!judged_from_store(folder, "g++", t));
    CHECK(judged_from_store(folder, "g++", t));
    spoil_builds(folder);
    CHECK(!judged_from_store(folder, "g++", t));
    CHECK_OK(vt_fs_remove_tree(folder, &err), err);
    vt_task_unref(t);
}

/* One text with two functions, judged for the one and for the other: an image is entered at one of them. */
static void one_text_for_two_tasks(void)
{
    static const char text[] = "void clip(const float *restrict x, float *restrict y, int n)\n"
                               "{\n    for (int i = 0; i < n; i++)\n        y[i] = 2 * x[i];\n}\n"
                               "void relu(const float *restrict x, float *restrict y, int n)\n"
                               "{\n    for (int i = 0; i < n; i++)\n        y[i] = x[i] > 0 ? x[i] : 0;\n}\n";
    char folder[] = "/tmp/vegttt-key-XXXXXX", json[4096];
    struct fixture_result r;
    vt_eval *e = NULL;
    vt_task *relu = fixture_task("relu"), *clip = NULL;
    vt_err err;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(json, sizeof json, "%s", fixture_tasks[0].json);
    memcpy(strstr(json, "relu"), "clip", 4);
    CHECK_OK(vt_task_parse(json, strlen(json), &clip, &err), err);
    const struct vt_eval_opts o = {.n_build = 1, .store = folder};
    CHECK_OK(vt_eval_open(&o, &e, &err), err);
    fixture_judge(e, clip, text, (struct vt_eval_request){.skip_timing = true}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "wrong_output");
    fixture_result_free(&r);
    fixture_judge(e, relu, text, (struct vt_eval_request){.skip_timing = true}, &r);
    CHECK(r.v.correct);
    CHECK(!build_is_cached(r.json));
    fixture_result_free(&r);
    vt_eval_close(e);
    CHECK_OK(vt_fs_remove_tree(folder, &err), err);
    vt_task_unref(relu);
    vt_task_unref(clip);
}

static const struct test_case cases[] = {TEST(fields), TEST(roads), TEST(withdrawing), TEST(shared_store),
                                         TEST(one_text_for_two_tasks)};

int main(int argc, char **argv)
{
    return fixture_main(cases, sizeof cases / sizeof cases[0], 1, &eval, argc, argv);
}
