/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_task.c: task documents. All 100 level-1 files parse and are laid out at every scale; known shapes of the
 * benchmark come out; the identity depends on content alone; every malformed document and size expression is refused
 * with one sentence that names the fault; truncated and damaged documents never get through unnoticed or crash.
 */
#include "base/rng.h"
#include "eval/c/null.h"
#include "eval/expr.h"
#include "eval_fixture.h"
#include "eval_tasks.h"

static const char good[] =
    "{\"id\":7,\"level\":1,\"name\":\"axpy\",\"title\":\"7_axpy\",\"family\":\"elementwise\","
    "\"sizes\":{\"cpu\":{\"n\":100,\"m\":3},\"full\":{\"n\":1000,\"m\":5}},\"size_order\":[\"n\",\"m\"],"
    "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\",\"m\"],\"dist\":[\"uniform\","
    "\"normal\"]},"
    "{\"name\":\"t\",\"role\":\"in\",\"dtype\":\"i64\",\"shape\":[\"n\"],\"dist\":[\"labels\"],\"max\":\"m\"},"
    "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\",\"m\"]}],"
    "\"scalars\":[{\"name\":\"a\",\"type\":\"f32\",\"value\":2.5},{\"name\":\"k\",\"type\":\"i32\",\"value\":3}],"
    "\"rtol\":0,\"atol\":0.001,\"bytes\":\"8*n*m\",\"flops\":\"n*m\",\"body\":\"y[0] = a * x[0];\"}";

/* The good document with the first `from` replaced by `to`; malloc'd. */
static char *mutate(const char *from, const char *to)
{
    const char *at = strstr(good, from);
    size_t n = sizeof good + strlen(to) + 1;
    char *out = malloc(n);
    CHECK(at != NULL);
    snprintf(out, n, "%.*s%s%s", (int)(at ? at - good : 0), good, to, at ? at + strlen(from) : "");
    return out;
}

static void a_good_document_is_read(void)
{
    vt_err err = {0};
    vt_task *t = NULL;
    vt_layout l;
    int64_t v = 0;
    CHECK_OK(vt_task_parse(good, strlen(good), &t, &err), err);
    if (!t)
        return;
    CHECK_STR(vt_task_signature(t),
              "void axpy(const float *restrict x, const long long *restrict t, float *restrict y, "
              "float a, int k, int n, int m)");
    CHECK_INT(vt_task_id(t), 7);
    CHECK_INT((long long)vt_task_n_arrays(t), 3);
    CHECK_INT(vt_task_array(t, 2)->compare, VT_BOUND);
    CHECK_INT(vt_task_array(t, 1)->compare, VT_EXACT);
    CHECK_NEAR(vt_task_atol(t), 0.001, 0);
    CHECK_NEAR(vt_task_k(t), 8, 0);
    CHECK_INT(vt_task_n_dists(t), 2);
    CHECK_OK(vt_task_layout(t, "full", &l, &err), err);
    CHECK_INT(l.array[0].n_elem, 5000);
    CHECK_INT((long long)l.array[1].bytes, 8000);
    CHECK_INT(l.array[0].row, 5);
    CHECK_INT(l.size[1], 5);
    CHECK_INT(l.bytes_moved, 40000);
    CHECK_OK(vt_task_size(t, "cpu", "ceil_div(n, m) + 1", &v, &err), err);
    CHECK_INT(v, 35);
    CHECK_INT(vt_task_layout(t, "search", &l, &err), VT_EINVAL);
    CHECK(!vt_task_has_scale(t, "search") && vt_task_has_scale(t, "full"));
    vt_task_unref(t);
}

static void identity_is_content(void)
{
    vt_err err = {0};
    vt_task *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    char *spaced = mutate("{\"id\":7,\"level\":1,", "{ \"level\" : 1 , \"id\" : 7,\n");
    char *other = mutate("a * x[0]", "a * x[1]");
    char *late = mutate("7_axpy", "8_axpy"); /* its last key in canonical order */
    CHECK_OK(vt_task_parse(good, strlen(good), &a, &err), err);
    CHECK_OK(vt_task_parse(spaced, strlen(spaced), &b, &err), err);
    CHECK_OK(vt_task_parse(other, strlen(other), &c, &err), err);
    CHECK_OK(vt_task_parse(late, strlen(late), &d, &err), err);
    if (a && b && c && d) {
        CHECK(strcmp(vt_task_digest(a), vt_task_digest(d)) != 0);
        CHECK_STR(vt_task_digest(a), vt_task_digest(b));
        CHECK_STR(vt_task_json(a), vt_task_json(b));
        CHECK(strcmp(vt_task_digest(a), vt_task_digest(c)) != 0);
    }
    vt_task_unref(a);
    vt_task_unref(b);
    vt_task_unref(c);
    vt_task_unref(d);
    free(spaced);
    free(other);
    free(late);
}

/* Without size_order sizes come by name, not as they stand in the document. */
static void sizes_have_an_order(void)
{
    vt_err err = {0};
    vt_task *t = NULL;
    char *text =
        mutate("\"sizes\":{\"cpu\":{\"n\":100,\"m\":3},\"full\":{\"n\":1000,\"m\":5}},\"size_order\":[\"n\",\"m\"],",
               "\"sizes\":{\"cpu\":{\"n\":100,\"m\":3},\"full\":{\"n\":1000,\"m\":5}},");
    CHECK_OK(vt_task_parse(text, strlen(text), &t, &err), err);
    if (t)
        CHECK(strstr(vt_task_signature(t), "int k, int m, int n)") != NULL);
    vt_task_unref(t);
    free(text);
}

static void malformed_documents_are_refused(void)
{
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"\"rtol\"", "\"rtoll\"", "rtoll"},
        {"\"name\":\"axpy\"", "\"name\":\"a b\"", "identifier"},
        {"\"name\":\"axpy\"", "\"name\":\"while\"", "identifier"},
        {"\"name\":\"axpy\"", "\"name\":\"vt_call\"", "identifier"},
        {"\"name\":\"axpy\"", "\"name\":\"x\"", "twice"},
        {"\"body\":", "\"tuned\":", "body"},
        {"\"id\":7", "\"id\":\"seven\"", "id"},
        {"\"id\":7", "\"id\":-1", "range"},
        {"\"shape\":[\"n\",\"m\"]", "\"shape\":[]", "shape"},
        {"\"shape\":[\"n\",\"m\"]", "\"shape\":[\"n\",3]", "string"},
        {"\"shape\":[\"n\",\"m\"]", "\"shape\":[\"n - 2000\"]", "negative"},
        {"\"shape\":[\"n\",\"m\"]", "\"shape\":[\"n - n\"]", "is 0"},
        {"\"shape\":[\"n\",\"m\"]", "\"shape\":[\"n*1000000000\",\"n*1000000000\"]", "too large"},
        {"\"shape\":[\"n\",\"m\"]", "\"shape\":[\"q\"]", "unknown size"},
        {"\"role\":\"in\"", "\"role\":\"inout\"", "role"},
        {"\"dtype\":\"f32\"", "\"dtype\":\"f16\"", "dtype"},
        {"\"dist\":[\"uniform\"", "\"dist\":[\"unifrom\"", "unifrom"},
        {"\"dist\":[\"labels\"]", "\"dist\":[\"normal\"]", "no distribution"},
        {",\"max\":\"m\"", "", "needs \"max\""},
        {"\"role\":\"out\"", "\"role\":\"in\"", "dist"},
        {"\"role\":\"out\"", "\"dist\":[\"uniform\"],\"role\":\"in\"", "no array with role"},
        {"{\"name\":\"x\",", "{\"name\":\"x\",\"dists\":[\"uniform\"],", "dists"},
        {"{\"name\":\"y\",", "{\"name\":\"m\",", "twice"},
        {"\"shape\":[\"n\",\"m\"]", "\"shape\":[\"n*2741 + 77\",\"n*672804213107 + 21\"]",
         "too large"}, /* 2^64 + 1 elements */
        {"\"role\":\"out\",\"dtype\":\"f32\"", "\"role\":\"out\",\"dtype\":\"i32\",\"compare\":\"bound\"", "bound"},
        {"\"n\":100", "\"n\":0", "integer from 1"},
        {"\"n\":100", "\"n\":1.5", "integer from 1"},
        {"\"n\":100", "\"n\":3000000000", "integer from 1"},
        {"\"n\":1000", "\"q\":1000", "integer from 1"},
        {"\"cpu\":{", "\"CPU\":{", "cpu"},
        {"[\"n\",\"m\"],\"arrays\"", "[\"n\",\"n\"],\"arrays\"", "twice"},
        {"\"value\":3}", "\"value\":3.5}", "cannot hold"},
        {"\"atol\":0.001", "\"atol\":-1", "negative"},
        {"\"atol\":0.001", "\"atol\":\"x\"", "number"},
        {"\"8*n*m\"", "\"8*n*\"", "expected a number"},
        {"\"arrays\":[", "\"arrays\":[5,", "list of objects"},
        {"\"sizes\":{", "\"sizes\":[],\"blind\":{", "sizes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vt_err err = {0};
        vt_task *t = NULL;
        char *text = mutate(cases[i].from, cases[i].to);
        CHECK(vt_task_parse(text, strlen(text), &t, &err) != VT_OK);
        if (t || !strstr(err.msg, cases[i].says))
            printf("  %s: \"%s\" lacks \"%s\"\n", cases[i].to, err.msg, cases[i].says);
        CHECK(!t && strstr(err.msg, cases[i].says));
        vt_task_unref(t);
        free(text);
    }
}

static void truncated_documents_are_refused(void)
{
    for (size_t n = 0; n < strlen(good); n++) {
        vt_err err = {0};
        vt_task *t = NULL;
        CHECK(vt_task_parse(good, n, &t, &err) != VT_OK);
        CHECK(!t && err.msg[0]);
    }
}

/* Whatever damage does to the bytes, the answer is a task or a sentence. */
static void damaged_documents_do_no_harm(void)
{
    struct vt_stream s;
    int n_refused = 0;
    vt_stream_init(&s, 99);
    for (int i = 0; i < 3000; i++) {
        char text[sizeof good];
        vt_err err = {0};
        vt_task *t = NULL;
        memcpy(text, good, sizeof good);
        for (int k = 0; k < 3; k++)
            text[vt_stream_below(&s, sizeof good - 1)] = (char)vt_stream_below(&s, 256);
        if (vt_task_parse(text, sizeof good - 1, &t, &err) != VT_OK) {
            n_refused++;
            CHECK(err.msg[0] != '\0');
        }
        vt_task_unref(t);
    }
    CHECK(n_refused > 1000);
}

static void expressions(void)
{
    static const struct vt_expr_name names[] = {{"n", 10}, {"nn", 3}, {"big", INT64_MAX / 2}};
    static const struct {
        const char *text;
        int64_t value;
    } right[] = {{"1 + 2 * 3", 7},
                 {"(1 + 2) * 3", 9},
                 {"n / nn", 3},
                 {"n % nn", 1},
                 {"ceil_div(n, nn)", 4},
                 {"min(n, nn, 2)", 2},
                 {"max(nn, n) - nn", 7},
                 {"10 - 3 - 2", 5},
                 {" n*nn ", 30},
                 {"2 * (n - (nn + 1))", 12},
                 {"9223372036854775807", INT64_MAX},
                 {"ceil_div(0, 5)", 0},
                 {"100 / 10 / 5", 2}};
    static const char *const wrong[] = {"",
                                        "n +",
                                        "n m",
                                        "q",
                                        "1 - 2",
                                        "n / 0",
                                        "n % (nn - 3)",
                                        "big * 3",
                                        "big + big + 2",
                                        "9223372036854775808",
                                        "min(n)",
                                        "sqrt(n, n)",
                                        "ceil_div(n, 0)",
                                        "ceil_div(1, 2, 3)",
                                        "(n",
                                        "n)",
                                        "n; n",
                                        "-1",
                                        "min(n, nn",
                                        "1.5",
                                        "n\n"};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        vt_err err = {0};
        int64_t v = -1;
        CHECK_OK(vt_expr_eval(right[i].text, names, 3, &v, &err), err);
        CHECK_INT(v, right[i].value);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        vt_err err = {0};
        int64_t v = -1;
        if (vt_expr_eval(wrong[i], names, 3, &v, &err) == VT_OK)
            printf("  \"%s\" was accepted as %lld\n", wrong[i], (long long)v);
        CHECK(v == -1 && err.msg[0]);
    }
    char deep[4096];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    vt_err err = {0};
    int64_t v;
    CHECK_INT(vt_expr_eval(deep, names, 3, &v, &err), VT_EFORMAT);
    /* Parentheses may nest, but not for ever. */
    for (int n = VT_EXPR_MAX_DEPTH - 1; n <= VT_EXPR_MAX_DEPTH; n++) {
        memset(deep, '(', (size_t)n);
        memset(deep + n, ')', (size_t)n + 1);
        deep[n] = '7';
        deep[2 * n + 1] = '\0';
        v = 0;
        CHECK_INT(vt_expr_eval(deep, names, 3, &v, &err), n < VT_EXPR_MAX_DEPTH ? VT_OK : VT_EFORMAT);
        CHECK(n < VT_EXPR_MAX_DEPTH ? v == 7 : strstr(err.msg, "too deeply") != NULL);
    }
}

/* Elements of the first input and of the last array at scale "full", from the benchmark's own shapes. */
static void level_1_has_the_benchmarks_shapes(void)
{
    static const struct {
        int id;
        int64_t first, last;
    } known[] = {{4, 2048LL * 1048576, 2048},
                 {8, 8205LL * 2949, 8205LL * 5921},
                 {19, 4096LL * 393216, 4096LL * 393216},
                 {41, 64LL * 192 * 65536, 64LL * 192 * 65523},
                 {42, 32LL * 64 * 512 * 512, 32LL * 64 * 511 * 511},
                 {43, 512LL * 128 * 128 * 128, 512LL * 62 * 62 * 62},
                 {44, 64LL * 128 * 65536, 64LL * 128 * 65537},
                 {45, 1024LL * 2048 * 2048, 1024LL * 186 * 186},
                 {46, 512LL * 128 * 128 * 256, 512LL * 64 * 64 * 128},
                 {50, 256LL * 3 * 224 * 224, 256LL * 96 * 55 * 55},
                 {51, 128LL * 4096 * 4095, 128LL * 4095},
                 {58, 16LL * 32 * 16 * 32 * 64, 16LL * 16 * 18 * 36 * 70},
                 {72, 8LL * 32 * 12 * 24 * 48, 8LL * 32 * 24 * 48 * 96},
                 {73, 4LL * 32 * 32 * 64 * 128, 4LL * 32 * 63 * 127 * 255},
                 {75, 16LL * 32 * 128 * 256, 16LL * 64 * 257 * 766},
                 {76, 64LL * 64 * 524280, 64LL * 128 * 174758},
                 {77, 16LL * 32 * 16 * 32 * 32, 16LL * 64 * 33 * 65 * 65},
                 {79, 16LL * 32 * 131072, 16LL * 64 * 262145},
                 {80, 8LL * 32 * 512 * 512, 8LL * 64 * 508 * 496},
                 {81, 16LL * 32 * 64 * 128, 16LL * 64 * 318 * 638},
                 {86, 16LL * 64 * 512 * 512, 16LL * 128 * 512 * 512},
                 {97, 1024LL * 512 * 1024, 1024LL * 512 * 1024}};
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    bool seen[101] = {false};
    CHECK_INT((long long)list.n, 100);
    for (size_t i = 0; i < list.n; i++) {
        vt_task *t = list.t[i];
        vt_err err = {0};
        vt_layout l;
        int id = vt_task_id(t);
        CHECK(id >= 1 && id <= 100 && !seen[id]);
        seen[id] = true;
        CHECK_INT(strtol(vt_task_title(t), NULL, 10), id);
        CHECK(vt_task_has_scale(t, "hidden") && vt_task_has_scale(t, "search") && vt_task_tuned(t));
        CHECK_OK(vt_task_layout(t, "full", &l, &err), err);
        CHECK(l.bytes_moved > 0 && l.flops > 0);
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            if (known[k].id != id)
                continue;
            CHECK_INT(l.array[0].n_elem, known[k].first);
            CHECK_INT(l.array[l.n_arrays - 1].n_elem, known[k].last);
        }
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(vt_task_name(t), vt_task_name(list.t[j])) != 0);
    }
    free_tasks(&list);
}

/* All that the file's opening lists, for a task with two inputs in rows and an epsilon. */
static void every_kind_of_null_is_made(void)
{
    static const char expected[] =
        " zeros half ones copy_x mean_x copy_w mean_w half_inputs round_inputs abs_inputs sampled three_quarters "
        "skip_rows skip_last_input ignore_x ignore_w drop_eps half_outputs round_outputs output_mean skip_last "
        "skip_tile shift one_row";
    char names[1024] = "";
    vt_err err = {0};
    vt_layout l;
    struct vt_null *list = NULL;
    size_t n = 0, at = 0;
    vt_task *t = fixture_task("rms_norm");
    CHECK_OK(vt_task_layout(t, "cpu", &l, &err), err);
    CHECK_OK(vt_null_list(t, &l, &list, &n, &err), err);
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, " %s", list[i].name);
    CHECK_STR(names, expected);
    vt_null_free(list, n);
    vt_task_unref(t);
}

static const struct test_case cases[] = {
    TEST(a_good_document_is_read),
    TEST(identity_is_content),
    TEST(sizes_have_an_order),
    TEST(malformed_documents_are_refused),
    TEST(truncated_documents_are_refused),
    TEST(damaged_documents_do_no_harm),
    TEST(expressions),
    TEST(level_1_has_the_benchmarks_shapes),
    TEST(every_kind_of_null_is_made),
};
TEST_MAIN(cases)
