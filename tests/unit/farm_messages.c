/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_messages.c: requests as clients write them and answers as they read them. Every field is understood or refused
 * by name; an id comes back byte for byte, whatever it is and whatever else is wrong.
 */
#include "base/json.h"
#include "eval_fixture.h"
#include "farm/answer.h"
#include "farm/request.h"

static void expect_refused(const char *line, const char *id, const char *why)
{
    struct vt_farm_request r;
    vt_err err = {0};
    vt_status s = vt_farm_request_parse(line, strlen(line), &r, &err);
    CHECK(s == VT_EINVAL || s == VT_EFORMAT || s == VT_ELIMIT);
    if (!strstr(err.msg, why)) {
        printf("  '%s' says: %s\n", line, err.msg);
        CHECK(strstr(err.msg, why) != NULL);
    }
    if (id)
        CHECK_STR(r.id, id);
    else
        CHECK(r.id == NULL);
    vt_farm_request_free(&r);
}

static void expect_id(const char *line, const char *id)
{
    struct vt_farm_request r;
    vt_err err = {0};
    CHECK_OK(vt_farm_request_parse(line, strlen(line), &r, &err), err);
    if (id)
        CHECK_STR(r.id, id);
    else
        CHECK(r.id == NULL);
    vt_farm_request_free(&r);
}

/* Each option alone, so that one which is ignored or swapped shows. */
static void options(void)
{
    struct vt_farm_request r;
    struct vt_eval_request e;
    vt_err err;
    vt_task *t = fixture_task("relu");
    static const char plain[] = "{\"task\":19,\"code\":\"y[0] = 1;\"}";
    CHECK_OK(vt_farm_request_parse(plain, strlen(plain), &r, &err), err);
    CHECK_STR(r.task, "19");
    vt_farm_request_fill(&r, t, &e);
    CHECK_STR(e.code, "y[0] = 1;");
    CHECK_INT(e.code_len, 9);
    CHECK(!e.extract && !e.fresh && !e.skip_timing && e.protocol == VT_PROTOCOL_FAST && !e.scale && e.task == t);
    vt_farm_request_free(&r);
    static const char full[] =
        "{\"task\":\"my/relu.lua\",\"answer\":\"a\\u00e9\\n\",\"protocol\":\"full\",\"scale\":\"search\","
        "\"timing\":false,\"fresh\":true}";
    CHECK_OK(vt_farm_request_parse(full, strlen(full), &r, &err), err);
    CHECK_STR(r.task, "my/relu.lua");
    vt_farm_request_fill(&r, t, &e);
    CHECK_STR(e.code, "a\xc3\xa9\n");
    CHECK(e.extract && e.fresh && e.skip_timing && e.protocol == VT_PROTOCOL_FULL);
    CHECK_STR(e.scale, "search");
    vt_farm_request_free(&r);
    static const char off[] = "{\"task\":1e2,\"code\":\";\",\"protocol\":\"fast\",\"timing\":true,\"fresh\":false}";
    CHECK_OK(vt_farm_request_parse(off, strlen(off), &r, &err), err);
    CHECK_STR(r.task, "100");
    CHECK(!r.is_fresh && !r.skip_timing && r.protocol == VT_PROTOCOL_FAST);
    vt_farm_request_free(&r);
    vt_task_unref(t);
}

/* A task's document is the task, as it will come through a queue: the same digest as when it is parsed alone. */
static void document(void)
{
    char line[8192];
    struct vt_farm_request r;
    vt_err err;
    vt_task *t = fixture_task("relu");
    snprintf(line, sizeof line, "{\"id\":1,\"task\":%s,\"code\":\";\"}", fixture_tasks[0].json);
    CHECK_OK(vt_farm_request_parse(line, strlen(line), &r, &err), err);
    CHECK(r.task == NULL && r.parsed != NULL);
    if (r.parsed)
        CHECK_STR(vt_task_digest(r.parsed), vt_task_digest(t));
    vt_farm_request_free(&r);
    expect_refused("{\"id\":2,\"task\":{\"id\":3},\"code\":\";\"}", "2", "");
    vt_task_unref(t);
}

static void refused(void)
{
    expect_refused("", NULL, "the request is not valid JSON");
    expect_refused("no json", NULL, "the request is not valid JSON");
    expect_refused("{\"id\":1,\"task\":19", NULL, "the request is not valid JSON");
    expect_refused("{\"id\":1} {\"id\":2}", NULL, "the request is not valid JSON");
    expect_refused("[1]", NULL, "a request is a JSON object, not a list");
    expect_refused("19", NULL, "a request is a JSON object, not a number");
    expect_refused("{}", NULL, "no \"code\"");
    expect_refused("{\"id\":1,\"code\":\";\"}", "1", "no \"task\"");
    expect_refused("{\"id\":1,\"task\":19}", "1", "no \"code\"");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\"\"}", "1", "no \"code\"");
    expect_refused("{\"id\":1,\"task\":19,\"answer\":\"\"}", "1", "no \"answer\"");
    expect_refused("{\"id\":1,\"task\":19,\"code\":7}", "1", "\"code\" must be a text, not a number");
    expect_refused("{\"id\":1,\"task\":19,\"code\":null}", "1", "\"code\" must be a text, not null");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"answer\":\";\"}", "1", "both \"code\" and \"answer\"");
    expect_refused("{\"id\":1,\"task\":19,\"answer\":\";\",\"code\":\";\"}", "1", "both \"code\" and \"answer\"");
    expect_refused("{\"id\":1,\"task\":1.5,\"code\":\";\"}", "1", "\"task\" must be");
    expect_refused("{\"id\":1,\"task\":1e300,\"code\":\";\"}", "1", "a number of 2^53 or more");
    expect_refused("{\"id\":1,\"task\":9007199254740993,\"code\":\";\"}", "1", "a number of 2^53 or more");
    expect_refused("{\"id\":1,\"task\":-9007199254740992,\"code\":\";\"}", "1", "a number of 2^53 or more");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"protocol\":[]}", "1", "'a list'");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"protocol\":\"\"}", "1", "'a text'");
    expect_refused("{\"id\":1,\"task\":[19],\"code\":\";\"}", "1", "\"task\" must be");
    expect_refused("{\"id\":1,\"task\":null,\"code\":\";\"}", "1", "\"task\" must be");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"protocol\":\"slow\"}", "1", "protocol must be fast or full");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"protocol\":3}", "1", "protocol must be fast or full");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"fresh\":1}", "1", "\"fresh\" must be true or false");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"timing\":\"no\"}", "1", "\"timing\" must be true or false");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"scale\":0}", "1", "\"scale\" must be a text");
    expect_refused("{\"id\":1,\"task\":19,\"cod\":\";\"}", "1", "no field 'cod'; did you mean 'code'?");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"tier\":3}", "1", "\"tier\" must be a text, not a number");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\";\",\"task\":20}", NULL, "the key \"task\" twice");
    expect_refused("{\"id\":1,\"id\":2,\"task\":19,\"code\":\";\"}", NULL, "the key \"id\" twice");
    /* Below the request, too: of the task's document and of the id. */
    expect_refused("{\"id\":{\"a\":1,\"a\":2},\"task\":19,\"code\":\";\"}", NULL, "the key \"a\" twice");
    expect_refused("\xef\xbb\xbf{\"id\":1}", NULL, "a byte order mark at byte 0");
    expect_refused("{\"id\":01,\"task\":19,\"code\":\";\"}", NULL, "begins with a 0 at byte 6");
    expect_refused("{\"id\":\"\xff\",\"task\":19,\"code\":\";\"}", NULL, "no UTF-8 at byte 7");
    expect_refused("{\"id\":1,\"task\":19,\"code\":\"a\\u0000;\"}", NULL,
                   "U+0000, which no text here can hold, at byte 27, at or in \"code\"");
    static const char nul[] = "{\"id\":\"a\0b\",\"task\":19,\"code\":\";\"}";
    struct vt_farm_request r;
    vt_err err;
    CHECK_INT(vt_farm_request_parse(nul, sizeof nul - 1, &r, &err), VT_EFORMAT);
    CHECK(r.id == NULL);
    vt_farm_request_free(&r);
}

static void ids(void)
{
    expect_id("{\"task\":19,\"code\":\";\"}", NULL);
    expect_id("{\"id\":12345678901234567890123,\"task\":19,\"code\":\";\"}", "12345678901234567890123");
    expect_id("{\"id\":9007199254740993,\"task\":19,\"code\":\";\"}", "9007199254740993");
    expect_id("{\"id\":1.0,\"task\":19,\"code\":\";\"}", "1.0");
    expect_id("{\"id\":-1E+2 ,\"task\":19,\"code\":\";\"}", "-1E+2");
    expect_id("{\"id\":null,\"task\":19,\"code\":\";\"}", "null");
    expect_id("{\"id\":\"\",\"task\":19,\"code\":\";\"}", "\"\"");
    expect_id("{\"task\":19,\"code\":\";\",\"id\":\"last\"}", "\"last\"");
    expect_id(" { \"task\" : 19 , \"code\" : \"{\\\"id\\\":7}\" , \"id\" : \"\\u0061\\\"}]\" } ", "\"\\u0061\\\"}]\"");
    expect_id("{\"id\":{\"a\":[1, {\"b\":\"},\"}],\"c\":2},\"task\":19,\"code\":\";\"}",
              "{\"a\":[1, {\"b\":\"},\"}],\"c\":2}");
    expect_id("{\"\\u0069d\":true,\"task\":19,\"code\":\";\"}", "true");
    expect_id("{\"id\":[1,\n2],\"task\":19,\"code\":\";\"}", "[1, 2]"); /* an answer is one line */
    /* At the limit and beyond. */
    char line[VT_FARM_MAX_ID + 64];
    for (int over = 0; over < 2; over++) {
        int n = snprintf(line, sizeof line, "{\"id\":");
        memset(line + n, '7', (size_t)(VT_FARM_MAX_ID + over));
        line[n + 1] = '.';
        snprintf(line + n + VT_FARM_MAX_ID + over, 32, ",\"task\":19,\"code\":\";\"}");
        struct vt_farm_request r;
        vt_err err;
        vt_status s = vt_farm_request_parse(line, strlen(line), &r, &err);
        CHECK_INT(s, over ? VT_EINVAL : VT_OK);
        CHECK(over ? r.id == NULL : r.id && strlen(r.id) == VT_FARM_MAX_ID);
        vt_farm_request_free(&r);
    }
}

/* A request cut anywhere, or with any byte replaced, is read without reading past it. */
static void damaged(void)
{
    static const char line[] =
        "{\"id\":{\"a\":[1,\"x\\\"\"]},\"task\":19,\"code\":\"y\",\"protocol\":\"full\",\"fresh\":true}";
    static const char bytes[] = "{}[]\",:\\ 0tn";
    size_t n = sizeof line - 1;
    for (size_t i = 0; i <= n; i++)
        for (size_t b = 0; b < sizeof bytes; b++) {
            struct vt_farm_request r;
            vt_err err;
            size_t len = b == sizeof bytes - 1 ? i : n;
            char *copy = malloc(len ? len : 1);
            memcpy(copy, line, len);
            if (b < sizeof bytes - 1 && i < len)
                copy[i] = bytes[b];
            vt_status s = vt_farm_request_parse(copy, len, &r, &err);
            CHECK(s != VT_OK || (r.code && (r.task || r.parsed)));
            vt_farm_request_free(&r);
            free(copy);
        }
}

static void expect_answer(const struct vt_buf *b, const char *text)
{
    vt_json *j = NULL;
    vt_err err;
    CHECK_STR(b->p, text);
    CHECK_OK(vt_json_parse(b->p, b->len, "an answer", &j, &err), err);
    vt_json_free(j);
}

static void answers(void)
{
    struct vt_buf b;
    vt_err err;
    vt_buf_init(&b, 1 << 16);
    vt_farm_answer_verdict("12345678901234567890123", "{\"status\":\"correct_fast\",\"speedup\":2.5}", &b);
    expect_answer(&b, "{\"id\":12345678901234567890123,\"status\":\"correct_fast\",\"speedup\":2.5}\n");
    vt_buf_clear(&b);
    vt_farm_answer_verdict(NULL, "{}", &b);
    expect_answer(&b, "{\"id\":null}\n");
    vt_buf_clear(&b);
    (void)vt_fail(&err, VT_EINVAL, "there is no task \"x\"\n");
    vt_farm_answer_error("\"a\"", 7, &err, &b);
    expect_answer(&b, "{\"id\":\"a\",\"error\":\"there is no task \\\"x\\\"\\n\",\"code\":\"EINVAL\",\"line\":7}\n");
    vt_buf_free(&b);
}

static const struct test_case cases[] = {TEST(options), TEST(document), TEST(refused),
                                         TEST(ids),     TEST(damaged),  TEST(answers)};
TEST_MAIN(cases)
