/* SPDX-License-Identifier: Apache-2.0
 *
 * model_tokenizer.c: the default model's tokenizer against ids that Hugging Face's tokenizers library gives
 * (tests/golden/tokenizer.jsonl), and what the goldens do not reach: bytes that are no UTF-8, control tokens in plain
 * text, long runs, the split patterns of the other families.
 */
#include "model/tokenizer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "harness.h"
#include "model/nfc.h"
#include "model/tokenizer_build.h"
#include "model_common.h"

static vt_ckpt *open_model(void)
{
    vt_err err = {0};
    vt_ckpt *c = NULL;
    CHECK_OK(vt_ckpt_open(model_path(), &c, &err), err);
    return c;
}

static size_t from_hex(const char *hex, char *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (char)strtol(pair, NULL, 16);
    }
    return n;
}

static bool same_ids(const struct vt_ids *ids, const vt_json *expected)
{
    size_t i = 0;
    for (const vt_json *e = vt_json_first(expected); e; e = vt_json_next(e), i++)
        if (i >= ids->n || ids->p[i] != (int32_t)vt_json_int(e, -1))
            return false;
    return i == ids->n;
}

static void check_line(void *arg, const vt_json *line)
{
    const vt_tokenizer *t = arg;
    vt_err err = {0};
    int64_t id = vt_json_int(vt_json_get(line, "id"), -1);
    const char *hex = vt_json_str(vt_json_get(line, "utf8_hex"), "");
    char *text = vt_alloc(strlen(hex) / 2 + 1);
    size_t len = from_hex(hex, text);
    for (int special = 0; special < 2; special++) {
        struct vt_ids ids = {0};
        CHECK_OK(vt_tokenizer_encode(t, text, len, special, &ids, &err), err);
        if (!same_ids(&ids, vt_json_get(line, special ? "ids_special" : "ids_plain"))) {
            printf("  string %lld, special %d: %zu ids differ from the golden\n", (long long)id, special, ids.n);
            test_failures_in_case++;
        }
        if (special) {
            struct vt_buf out;
            vt_buf_init(&out, 1 << 20);
            CHECK_OK(vt_tokenizer_decode(t, ids.p, ids.n, &out, &err), err);
            const char *expected_hex = vt_json_str(vt_json_get(line, "decoded_special_hex"), "");
            char *expected = vt_alloc(strlen(expected_hex) / 2 + 1);
            size_t n = from_hex(expected_hex, expected);
            CHECK_INT(out.len, n);
            CHECK(out.len == n && memcmp(out.p, expected, n) == 0);
            free(expected);
            vt_buf_free(&out);
        }
        vt_ids_free(&ids);
    }
    free(text);
}

static void goldens(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = open_model();
    if (c)
        CHECK_INT(each_json_line(GOLDEN("tokenizer.jsonl"), check_line, (void *)vt_ckpt_tokenizer(c)), 223);
    vt_ckpt_free(c);
}

static void properties(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = open_model();
    const vt_tokenizer *t = c ? vt_ckpt_tokenizer(c) : NULL;
    if (!t)
        return;
    CHECK_INT(vt_tokenizer_size(t), 49152);
    size_t n_ends;
    const int32_t *ends = vt_tokenizer_ends(t, &n_ends);
    CHECK(n_ends >= 1 && ends[0] == 2);
    CHECK_INT(vt_tokenizer_bos(t), -1);
    CHECK_INT(vt_tokenizer_find(t, "<|im_end|>", 10), 2);
    CHECK_INT(vt_tokenizer_find(t, " the", 4), vt_tokenizer_find(t, " the", 4));
    CHECK(vt_tokenizer_find(t, " the", 4) > 16);
    CHECK_INT(vt_tokenizer_find(t, "no such token", 13), -1);
    CHECK(vt_tokenizer_is_control(t, 2) && !vt_tokenizer_is_control(t, 300) && !vt_tokenizer_is_control(t, -1));
    size_t len = 0;
    CHECK(vt_tokenizer_bytes(t, 49152, &len) == NULL && vt_tokenizer_bytes(t, -1, &len) == NULL);
    struct vt_buf out;
    vt_err err = {0};
    vt_buf_init(&out, 100);
    int32_t bad[] = {5, 49152};
    CHECK_INT(vt_tokenizer_decode(t, bad, 2, &out, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "49152") != NULL);
    vt_buf_free(&out);
    vt_ckpt_free(c);
}

/* No text becomes a control token by itself, wherever it stands. */
static void control_tokens_are_asked_for(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = open_model();
    const vt_tokenizer *t = c ? vt_ckpt_tokenizer(c) : NULL;
    vt_err err = {0};
    for (int32_t id = 0; t && id < 17; id++) {
        size_t len = 0;
        const char *text = vt_tokenizer_bytes(t, id, &len);
        struct vt_ids plain = {0}, special = {0};
        CHECK_OK(vt_tokenizer_encode(t, text, len, false, &plain, &err), err);
        CHECK_OK(vt_tokenizer_encode(t, text, len, true, &special, &err), err);
        for (size_t i = 0; i < plain.n; i++)
            CHECK(!vt_tokenizer_is_control(t, plain.p[i]));
        CHECK_INT(special.n, 1);
        CHECK_INT(special.n ? special.p[0] : -1, id);
        vt_ids_free(&plain);
        vt_ids_free(&special);
    }
    vt_ckpt_free(c);
}

static void any_bytes(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = open_model();
    const vt_tokenizer *t = c ? vt_ckpt_tokenizer(c) : NULL;
    static const struct {
        const char *bytes;
        size_t len;
    } texts[] = {{"\xff", 1},         {"a\x80z", 3},           {"\xc3", 1}, {"ok \xe2\x82 then", 10},
                 {"\xed\xa0\x80", 3}, {"\xf4\x90\x80\x80", 4}, {"a\0b", 3}, {"\xc0\xaf", 2}};
    vt_err err = {0};
    for (size_t i = 0; t && i < sizeof texts / sizeof texts[0]; i++) {
        struct vt_ids ids = {0};
        struct vt_buf out, expected;
        vt_buf_init(&out, 100);
        vt_buf_init(&expected, 100);
        CHECK_OK(vt_tokenizer_encode(t, texts[i].bytes, texts[i].len, true, &ids, &err), err);
        CHECK_OK(vt_tokenizer_decode(t, ids.p, ids.n, &out, &err), err);
        for (size_t j = 0; j < texts[i].len; j++) { /* bytes without a token are dropped */
            char spelled = texts[i].bytes[j];
            if (vt_tokenizer_find(t, &spelled, 1) >= 0)
                vt_buf_putc(&expected, spelled);
        }
        CHECK_INT(out.len, expected.len);
        CHECK(out.len == expected.len && memcmp(out.p, expected.p, out.len) == 0);
        vt_buf_free(&out);
        vt_buf_free(&expected);
        vt_ids_free(&ids);
    }
    vt_ckpt_free(c);
}

/* A run of 100,000 characters of each class splits and merges; decoding gives it back. (A quadratic path would make
 * this test take minutes.) */
static void long_runs(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    enum { N = 100000 };
    vt_ckpt *c = open_model();
    const vt_tokenizer *t = c ? vt_ckpt_tokenizer(c) : NULL;
    static const char *const units[] = {"a", "A", " ", "\n", "7", "-", "ab", "<", "<|", "\xff", "é", "\t \n"};
    vt_err err = {0};
    for (size_t u = 0; t && u < sizeof units / sizeof units[0]; u++) {
        size_t len = strlen(units[u]);
        char *text = vt_alloc(N * len);
        for (size_t i = 0; i < N; i++)
            memcpy(text + i * len, units[u], len);
        struct vt_ids ids = {0};
        struct vt_buf out;
        vt_buf_init(&out, N * 4);
        CHECK_OK(vt_tokenizer_encode(t, text, N * len, true, &ids, &err), err);
        CHECK_OK(vt_tokenizer_decode(t, ids.p, ids.n, &out, &err), err);
        CHECK_INT(out.len, units[u][0] == '\xff' ? 0 : N * len);
        CHECK(out.len == 0 || memcmp(out.p, text, out.len) == 0);
        vt_ids_free(&ids);
        vt_buf_free(&out);
        free(text);
    }
    vt_ckpt_free(c);
}

struct pieces {
    char joined[256];
    size_t n;
};

static vt_status collect(void *arg, const char *p, size_t len, vt_err *err)
{
    (void)err;
    struct pieces *s = arg;
    s->n += (size_t)snprintf(s->joined + s->n, sizeof s->joined - s->n, "%s%.*s", s->n ? "|" : "", (int)len, p);
    return VT_OK;
}

static struct vt_split_source source_of(const char *pattern)
{
    return (struct vt_split_source){{pattern, strlen(pattern)}, false};
}

static void split_patterns(void)
{
    static const struct {
        const char *pattern, *text, *pieces;
    } rows[] = {
        {vt_split_gpt2, "I'll pay 12  euros!\n\n x", "I|'ll| pay| 12| | euros|!|\n\n| x"},
        {vt_split_gpt2, "I'LL", "I|'|LL"},
        {VT_SPLIT_DIGITS, "a12b", "a|1|2|b"},
        {vt_split_qwen2, "I'LL pay 12  euros!\n\n x", "I|'LL| pay| |1|2| | euros|!\n\n| x"},
        {vt_split_llama3, "x12345 .y", "x|123|45| .|y"},
        {vt_split_gpt4o, "HelloWorld'S 1234 //\n", "Hello|World'S| |123|4| //\n"},
        {vt_split_gpt2, "\xe1\xa0\x8e \xc2\xa0z", "\xe1\xa0\x8e| |\xc2\xa0|z"}, /* U+180E is no white space */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_split *s = NULL;
        vt_err err = {0};
        struct pieces got = {{0}, 0};
        CHECK_OK(vt_split_compile(source_of(rows[i].pattern), "a test", &s, &err), err);
        CHECK_OK(vt_split_run(s, rows[i].text, strlen(rows[i].text), collect, &got, &err), err);
        CHECK_STR(got.joined, rows[i].pieces);
        vt_split_free(s);
    }
    struct vt_split *s = NULL;
    vt_err err = {0};
    CHECK_INT(vt_split_compile(source_of("(a"), "a test", &s, &err), VT_EFORMAT);
    CHECK_INT(vt_split_compile(source_of("[^\\S]"), "a test", &s, &err), VT_EUNSUPPORTED);
    /* A pattern that backtracks exponentially ends at the match limit. */
    CHECK_OK(vt_split_compile(source_of("(a+)+[^a]"), "a test", &s, &err), err);
    struct pieces got = {{0}, 0};
    CHECK_INT(vt_split_run(s, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 48, collect, &got, &err), VT_ELIMIT);
    vt_split_free(s);
}

static const struct test_case cases[] = {TEST(goldens),   TEST(properties), TEST(control_tokens_are_asked_for),
                                         TEST(any_bytes), TEST(long_runs),  TEST(split_patterns)};
TEST_MAIN(cases)
