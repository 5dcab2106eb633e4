/* SPDX-License-Identifier: Apache-2.0
 *
 * model_tokenizer_json.c: tokenizer.json files against the tokenizers library (tests/golden/tokenizers): the split
 * patterns of Qwen, Llama 3 and gpt-oss, both spellings of merges, added tokens, normalisation form C, the token put
 * in front; and files that must be refused.
 */
#include "harness.h"
#include "model/nfc.h"
#include "model/tokenizer.h"
#include "model_common.h"

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
    vt_err err = {0};
    const char *text = vt_json_str(vt_json_get(line, "text"), "");
    for (int special = 0; special < 2; special++) {
        struct vt_ids ids = {0};
        CHECK_OK(vt_tokenizer_encode(arg, text, strlen(text), special, &ids, &err), err);
        if (!same_ids(&ids, vt_json_get(line, special ? "special" : "plain"))) {
            printf("  \"%s\", special %d: ids differ from the golden:", text, special);
            for (size_t i = 0; i < ids.n && i < 30; i++)
                printf(" %d", ids.p[i]);
            printf("\n");
            test_failures_in_case++;
        }
        vt_ids_free(&ids);
    }
}

static void check_family(const char *json, const char *lines, int32_t bos)
{
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    CHECK_OK(vt_tokenizer_from_json(json, &t, &err), err);
    if (!t)
        return;
    CHECK_INT(vt_tokenizer_size(t), 385);
    CHECK_INT(vt_tokenizer_bos(t), bos);
    CHECK(vt_tokenizer_is_control(t, 381) && !vt_tokenizer_is_control(t, 383));
    CHECK_INT(each_json_line(lines, check_line, t), 56);
    vt_tokenizer_free(t);
}

static void qwen(void)
{
    check_family(GOLDEN("tokenizers/qwen.json"), GOLDEN("tokenizers/qwen.jsonl"), -1);
}

static void llama3(void)
{
    check_family(GOLDEN("tokenizers/llama3.json"), GOLDEN("tokenizers/llama3.jsonl"), 382);
}

static void gptoss(void)
{
    check_family(GOLDEN("tokenizers/gptoss.json"), GOLDEN("tokenizers/gptoss.jsonl"), -1);
}

static void check_nfc(void *arg, const vt_json *line)
{
    (void)arg;
    const char *text = vt_json_str(vt_json_first(line), ""),
               *normal = vt_json_str(vt_json_next(vt_json_first(line)), "");
    struct vt_buf out;
    vt_buf_init(&out, 4096);
    vt_nfc(text, strlen(text), &out);
    CHECK_STR(out.p, normal);
    vt_buf_clear(&out);
    vt_nfc(normal, strlen(normal), &out); /* normal text stays as it is */
    CHECK_STR(out.p, normal);
    vt_buf_free(&out);
}

static void normalisation(void)
{
    CHECK_INT(each_json_line(GOLDEN("tokenizers/nfc.jsonl"), check_nfc, NULL), 3665);
    CHECK(vt_nfc_is_plain("caf\xc3\xa9", 5) && !vt_nfc_is_plain("e\xcc\x81", 3));
    /* 200,000 marks of alternating class: ordered in linear time, all dots below (class 220) before all acutes. */
    enum { N = 100000 };
    struct vt_buf in, out;
    vt_buf_init(&in, 1 << 20);
    vt_buf_init(&out, 1 << 20);
    vt_buf_putc(&in, 'x');
    for (int i = 0; i < N; i++)
        vt_buf_puts(&in, "\xcc\x81\xcc\xa3");
    vt_nfc(in.p, in.len, &out);
    CHECK_INT(out.len, in.len);
    for (size_t i = 0; i < 2 * N && out.len == in.len; i++)
        if (memcmp(out.p + 1 + 2 * i, i < N ? "\xcc\xa3" : "\xcc\x81", 2) != 0) {
            CHECK_INT(i, -1);
            break;
        }
    vt_buf_free(&in);
    vt_buf_free(&out);
}

static const struct test_case cases[] = {TEST(qwen), TEST(llama3), TEST(gptoss), TEST(normalisation)};
TEST_MAIN(cases)
