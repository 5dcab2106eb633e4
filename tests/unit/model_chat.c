/* SPDX-License-Identifier: Apache-2.0
 *
 * model_chat.c: renderers against the original Jinja templates: SmolLM2's rendered by transformers
 * (chat_template.jsonl), the other formats by jinja2 (chat_formats.jsonl, made by make_chat.py).
 */
#include "model/chat.h"

#include "harness.h"
#include "model/tokenizer.h"
#include "model_common.h"

enum { MAX_MESSAGES = 16 };

static size_t read_messages(const vt_json *line, struct vt_message m[MAX_MESSAGES])
{
    size_t n = 0;
    const vt_json *list = vt_json_get(line, "messages");
    for (const vt_json *e = list ? vt_json_first(list) : NULL; e && n < MAX_MESSAGES; e = vt_json_next(e), n++)
        m[n] = (struct vt_message){vt_json_str(vt_json_get(e, "role"), NULL),
                                   vt_json_str(vt_json_get(e, "content"), NULL)};
    return n;
}

static void check_render(enum vt_chat chat, const vt_json *line, bool generation_prompt, const char *reasoning,
                         const char *expected)
{
    struct vt_message m[MAX_MESSAGES];
    struct vt_buf out;
    vt_err err = {0};
    vt_buf_init(&out, 1 << 20);
    CHECK_OK(vt_chat_render(chat, m, read_messages(line, m), generation_prompt, reasoning, &out, &err), err);
    CHECK_STR(out.p, expected);
    vt_buf_free(&out);
}

static void check_ids(const vt_tokenizer *t, const char *text, const vt_json *expected)
{
    struct vt_ids ids = {0};
    vt_err err = {0};
    size_t i = 0;
    CHECK_OK(vt_tokenizer_encode(t, text, strlen(text), true, &ids, &err), err);
    CHECK_INT(ids.n, vt_json_count(expected));
    for (const vt_json *e = vt_json_first(expected); e && i < ids.n; e = vt_json_next(e), i++)
        CHECK_INT(ids.p[i], vt_json_int(e, -1));
    vt_ids_free(&ids);
}

static void smollm2_line(void *arg, const vt_json *line)
{
    const char *plain = vt_json_str(vt_json_get(line, "rendered"), NULL),
               *gen = vt_json_str(vt_json_get(line, "rendered_gen"), NULL);
    check_render(VT_CHAT_SMOLLM2, line, false, NULL, plain);
    check_render(VT_CHAT_SMOLLM2, line, true, NULL, gen);
    if (arg) {
        check_ids(arg, plain, vt_json_get(line, "ids"));
        check_ids(arg, gen, vt_json_get(line, "ids_gen"));
    }
}

static void smollm2(void)
{
    CHECK_INT(each_json_line(GOLDEN("chat_template.jsonl"), smollm2_line, NULL), 6);
}

static void default_model(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = NULL;
    vt_err err = {0};
    enum vt_chat chat = VT_CHAT_HARMONY;
    CHECK_OK(vt_ckpt_open(model_path(), &c, &err), err);
    if (!c)
        return;
    CHECK_OK(vt_chat_of(c, &chat, &err), err);
    CHECK_INT(chat, VT_CHAT_SMOLLM2);
    CHECK_INT(each_json_line(GOLDEN("chat_template.jsonl"), smollm2_line, (void *)vt_ckpt_tokenizer(c)), 6);
    const char *stop = vt_chat_stop(chat);
    CHECK_INT(vt_tokenizer_find(vt_ckpt_tokenizer(c), stop, strlen(stop)), vt_tokenizer_eos(vt_ckpt_tokenizer(c)));
    vt_ckpt_free(c);
}

static void other_line(void *arg, const vt_json *line)
{
    static const struct {
        const char *name;
        enum vt_chat chat;
    } formats[] = {{"qwen25", VT_CHAT_QWEN25},
                   {"chatml", VT_CHAT_CHATML},
                   {"qwen3", VT_CHAT_QWEN3},
                   {"llama3", VT_CHAT_LLAMA3},
                   {"harmony", VT_CHAT_HARMONY}};
    const char *name = vt_json_str(vt_json_get(line, "chat"), "");
    int *seen = arg;
    for (int i = 0; i < 5; i++)
        if (strcmp(formats[i].name, name) == 0) {
            check_render(formats[i].chat, line, vt_json_bool(vt_json_get(line, "generation_prompt"), false),
                         vt_json_str(vt_json_get(line, "reasoning"), NULL),
                         vt_json_str(vt_json_get(line, "rendered"), NULL));
            seen[i]++;
        }
}

static void other_formats(void)
{
    int seen[5] = {0};
    CHECK_INT(each_json_line(GOLDEN("chat_formats.jsonl"), other_line, seen), 202);
    CHECK_INT(seen[0], 26);
    CHECK_INT(seen[1], 26);
    CHECK_INT(seen[2], 52);
    CHECK_INT(seen[3], 26);
    CHECK_INT(seen[4], 72);
}

static void refused(void)
{
    static const struct {
        enum vt_chat chat;
        struct vt_message m[2];
        size_t n;
        const char *reasoning, *says;
    } rows[] = {
        {VT_CHAT_SMOLLM2, {{"user", "x"}}, 0, NULL, "empty conversation"},
        {VT_CHAT_SMOLLM2, {{"tool", "x"}}, 1, NULL, "role \"tool\""},
        {VT_CHAT_SMOLLM2, {{"user", NULL}}, 1, NULL, "message 1"},
        {VT_CHAT_QWEN25, {{"user", "x"}}, 1, "off", "no such setting"},
        {VT_CHAT_QWEN3, {{"user", "x"}}, 1, "low", "no such setting"},
        {VT_CHAT_HARMONY, {{"user", "x"}}, 1, "extreme", "reasoning \"extreme\""},
        {VT_CHAT_HARMONY, {{"user", "x"}, {"system", "y"}}, 2, NULL, "at the start only"},
        {VT_CHAT_HARMONY, {{"user", "x"}, {"assistant", "<|channel|>final<|message|>y"}}, 2, NULL, "final channel"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_buf out;
        vt_err err = {0};
        vt_buf_init(&out, 1 << 16);
        CHECK_INT(vt_chat_render(rows[i].chat, rows[i].m, rows[i].n, true, rows[i].reasoning, &out, &err), VT_EINVAL);
        if (!strstr(err.msg, rows[i].says))
            CHECK_STR(err.msg, rows[i].says);
        vt_buf_free(&out);
    }
}

static const struct test_case cases[] = {TEST(smollm2), TEST(default_model), TEST(other_formats), TEST(refused)};
TEST_MAIN(cases)
