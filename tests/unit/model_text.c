/* SPDX-License-Identifier: Apache-2.0
 *
 * model_text.c: UTF-8 one code point at a time, against the table of RFC 3629; normalisation form C where order and
 * blocking matter; the longest added token.
 */
#include "model/text.h"

#include "harness.h"
#include "model/nfc.h"
#include "model/tokenizer.h"
#include "model_common.h"

static void code_points(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint32_t cp;
    } rows[] = {{"A", 1, 0x41},
                {"\x7f", 1, 0x7f},
                {"\xc2\x80", 2, 0x80},
                {"\xdf\xbf", 2, 0x7ff},
                {"\xe0\xa0\x80", 3, 0x800},
                {"\xed\x9f\xbf", 3, 0xd7ff},
                {"\xee\x80\x80", 3, 0xe000},
                {"\xef\xbf\xbf", 3, 0xffff},
                {"\xf0\x90\x80\x80", 4, 0x10000},
                {"\xf4\x8f\xbf\xbf", 4, 0x10ffff}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t cp = 0;
        char out[4];
        CHECK_INT(vt_utf8_next(rows[i].bytes, rows[i].len, &cp), rows[i].len);
        CHECK_INT(cp, rows[i].cp);
        CHECK_INT(vt_utf8_put(cp, out), rows[i].len);
        CHECK(memcmp(out, rows[i].bytes, rows[i].len) == 0);
        for (size_t cut = 1; cut < rows[i].len; cut++)
            CHECK_INT(vt_utf8_next(rows[i].bytes, cut, &cp), 0);
    }
}

static void no_code_points(void)
{
    static const char *const bad[] = {"\x80",     /* a continuation */
                                      "\xc0\x80", /* overlong in two, three and four bytes */
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xed\xa0\x80", /* surrogates */
                                      "\xed\xbf\xbf",
                                      "\xf4\x90\x80\x80", /* past U+10FFFF */
                                      "\xf5\x80\x80\x80",
                                      "\xff\xbf\xbf\xbf",
                                      "\xc2\x41",
                                      "\xe1\x80\xc0",
                                      "\xf1\x80\x80\x41"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t cp;
        char text[16];
        CHECK_INT(vt_utf8_next(bad[i], strlen(bad[i]), &cp), 0);
        snprintf(text, sizeof text, "ab\xc3\xa9%s", bad[i]);
        CHECK_INT(vt_utf8_valid(text, strlen(text)), 4);
    }
}

/* UAX 15: marks are put in order of their class, and one that is blocked does not compose. Values by Python's
 * unicodedata. */
static void marks(void)
{
    static const struct {
        const char *text, *normal;
    } rows[] = {{"a\xcc\x81", "\xc3\xa1"},                                 /* a, acute */
                {"a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81"},             /* a, acute, dot below: dot first */
                {"a\xcc\x85\xcc\x81", "a\xcc\x85\xcc\x81"},                /* overline blocks the acute */
                {"a\xcc\xa8\xcc\x81", "\xc4\x85\xcc\x81"},                 /* ogonek, acute */
                {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"},  /* Hangul L, V, T */
                {"\xea\xb0\x81\xe1\x86\xa8", "\xea\xb0\x81\xe1\x86\xa8"}}; /* LVT takes no further T */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_buf out;
        vt_buf_init(&out, 100);
        vt_nfc(rows[i].text, strlen(rows[i].text), &out);
        CHECK_STR(out.p, rows[i].normal);
        vt_buf_free(&out);
    }
}

static void longest_added_token(void)
{
    static const char json[] =
        "{\"added_tokens\":[{\"id\":3,\"content\":\"<|x|>\",\"special\":false,\"normalized\":false},{\"id\":4,"
        "\"content\":\"<|x|>a\",\"special\":false,\"normalized\":false},{\"id\":5,\"content\":\"<|\",\"special\":false,"
        "\"normalized\":false}],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":{"
        "\"type\":\"BPE\","
        "\"vocab\":{\"a\":0,\"b\":1,\"x\":2},\"merges\":[]}}";
    const char *path = scratch_path("added.json");
    struct vt_ids ids = {0};
    vt_tokenizer *t = NULL;
    vt_err err;
    write_scratch(path, json, sizeof json - 1);
    CHECK_OK(vt_tokenizer_from_json(path, &t, &err), err);
    if (!t)
        return;
    CHECK_OK(vt_tokenizer_encode(t, "<|x|>ab<|x|>b<|a", 16, false, &ids, &err), err);
    static const int32_t expected[] = {4, 1, 3, 1, 5, 0};
    CHECK_INT(ids.n, 6);
    for (size_t i = 0; i < ids.n && i < 6; i++)
        CHECK_INT(ids.p[i], expected[i]);
    vt_ids_free(&ids);
    vt_tokenizer_free(t);
    unlink(path);
}

static const struct test_case cases[] = {TEST(code_points), TEST(no_code_points), TEST(marks),
                                         TEST(longest_added_token)};
TEST_MAIN(cases)
