/* SPDX-License-Identifier: Apache-2.0
 *
 * net_resp.c: RESP2 in whole, in pieces, and as no server should say it.
 */
#include "harness.h"
#include "net/resp.h"

static const char sample[] =
    "*3\r\n$6\r\nstream\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$1\r\na\r\n$4\r\nx\r\ny\r\n$1\r\nb\r\n$0\r\n\r\n"
    "*2\r\n$3\r\n2-0\r\n*-1\r\n:-42\r\n";

/* The same items, however the bytes arrive; nothing is whole one byte too early. */
static void pieces(void)
{
    const size_t n = sizeof sample - 1;
    struct vt_resp_scan s = {0};
    vt_err err;
    bool is_whole = false;
    for (size_t len = 1; len <= n; len++) {
        CHECK_OK(vt_resp_scan(&s, sample, len, &is_whole, &err), err);
        CHECK_INT(is_whole, len == n);
    }
    CHECK_INT(s.at, n);
    struct vt_resp_reader r = {sample, sample + n};
    static const enum vt_resp_kind kinds[] = {VT_RESP_LIST, VT_RESP_TEXT, VT_RESP_LIST, VT_RESP_LIST, VT_RESP_TEXT,
                                              VT_RESP_LIST, VT_RESP_TEXT, VT_RESP_TEXT, VT_RESP_TEXT, VT_RESP_TEXT,
                                              VT_RESP_LIST, VT_RESP_TEXT, VT_RESP_NONE, VT_RESP_INT};
    struct vt_resp_item item;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        CHECK(vt_resp_next(&r, &item));
        CHECK_INT(item.kind, kinds[i]);
        if (i == 7)
            CHECK(item.len == 4 && memcmp(item.text, "x\r\ny", 4) == 0);
        if (i == 9)
            CHECK_INT(item.len, 0);
    }
    CHECK_INT(item.number, -42);
    CHECK(!vt_resp_next(&r, &item));
}

/* What is not the kind that was expected is passed over whole. */
static void passing_over(void)
{
    struct vt_resp_reader r = {sample, sample + sizeof sample - 1};
    struct vt_resp_item item;
    CHECK(vt_resp_expect(&r, VT_RESP_LIST, &item));
    CHECK(vt_resp_expect(&r, VT_RESP_TEXT, &item));
    CHECK(!vt_resp_expect(&r, VT_RESP_INT, &item)); /* the list of entries */
    CHECK(vt_resp_expect(&r, VT_RESP_INT, &item));
    CHECK_INT(item.number, -42);
    r = (struct vt_resp_reader){sample, sample + sizeof sample - 1};
    vt_resp_skip(&r);
    CHECK(r.p == r.end);
}

static vt_status scan(const char *text, char *message, size_t size)
{
    struct vt_resp_scan s = {0};
    bool is_whole;
    vt_err err = {.msg = ""};
    vt_status status = vt_resp_scan(&s, text, strlen(text), &is_whole, &err);
    snprintf(message, size, "%s", err.msg);
    return status;
}

static void strangers(void)
{
    static const char *const texts[] = {"HTTP/1.1 400 Bad Request\r\n\r\n",
                                        ":12x\r\n",
                                        ":\r\n",
                                        "$-2\r\n",
                                        "$99999999999999999999\r\n",
                                        "*1048577\r\n",
                                        "$67108865\r\n",
                                        "$2\r\nabcd",
                                        ":9223372036854775808\r\n",
                                        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"};
    char message[700];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_INT(scan(texts[i], message, sizeof message), VT_EFORMAT);
        CHECK(message[0]);
    }
    CHECK_INT(scan(texts[0], message, sizeof message), VT_EFORMAT);
    CHECK_STR(message, "the answer is not Redis's protocol, it has 'HTTP/1.1 400 Bad Request'; is it a Redis server?");
    CHECK_INT(scan(":9223372036854775807\r\n", message, sizeof message), VT_OK);
    CHECK_INT(scan("$67108864\r\n", message, sizeof message), VT_OK); /* more must come */
}

/* A line that never ends is no line. */
static void endless_line(void)
{
    struct vt_resp_scan s = {0};
    bool is_whole;
    vt_err err;
    static char text[70000];
    memset(text, 'a', sizeof text);
    text[0] = '+';
    CHECK_OK(vt_resp_scan(&s, text, 60000, &is_whole, &err), err);
    CHECK_INT(vt_resp_scan(&s, text, sizeof text, &is_whole, &err), VT_EFORMAT);
}

static void commands(void)
{
    struct vt_buf out;
    const struct vt_resp_word word[] = {{"SET", 3}, {"a\r\nb", 4}, {"", 0}};
    vt_buf_init(&out, 1000);
    vt_resp_command(&out, word, 3);
    CHECK_STR(out.p, "*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
    vt_buf_free(&out);
}

static const struct test_case cases[] = {TEST(pieces), TEST(passing_over), TEST(strangers), TEST(endless_line),
                                         TEST(commands)};
TEST_MAIN(cases)
