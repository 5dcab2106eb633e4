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
    size_t n_ends;
    const int32_t *ends = vt_tokenizer_ends(vt_ckpt_tokenizer(c), &n_ends);
    CHECK(n_ends >= 1 && vt_tokenizer_find(vt_ckpt_tokenizer(c), stop, strlen(stop)) == ends[0]);
    vt_ckpt_free(c);
}

static void other_line(void *arg, const vt_json *line)
{
    static const struct {
        const char *name;
        enum vt_chat chat;
    } formats[] = {{"qwen25", VT_CHAT_QWEN25},    {"chatml", VT_CHAT_CHATML},   {"qwen3", VT_CHAT_QWEN3},
                   {"llama3.1", VT_CHAT_LLAMA31}, {"harmony", VT_CHAT_HARMONY}, {"llama3", VT_CHAT_LLAMA3},
                   {"qwen2", VT_CHAT_QWEN2}};
    const char *name = vt_json_str(vt_json_get(line, "chat"), "");
    int *seen = arg;
    for (int i = 0; i < 7; i++)
        if (strcmp(formats[i].name, name) == 0) {
            check_render(formats[i].chat, line, vt_json_bool(vt_json_get(line, "generation_prompt"), false),
                         vt_json_str(vt_json_get(line, "reasoning"), NULL),
                         vt_json_str(vt_json_get(line, "rendered"), NULL));
            seen[i]++;
        }
}

static void other_formats(void)
{
    int seen[7] = {0};
    CHECK_INT(each_json_line(GOLDEN("chat_formats.jsonl"), other_line, seen), 254);
    CHECK_INT(seen[0], 26);
    CHECK_INT(seen[1], 26);
    CHECK_INT(seen[2], 52);
    CHECK_INT(seen[3], 26);
    CHECK_INT(seen[4], 72);
    CHECK_INT(seen[5], 26);
    CHECK_INT(seen[6], 26);
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

static void known_line(void *arg, const vt_json *line)
{
    static const struct {
        const char *name;
        enum vt_chat chat;
    } formats[] = {{"qwen25", VT_CHAT_QWEN25},    {"chatml", VT_CHAT_CHATML},   {"qwen3", VT_CHAT_QWEN3},
                   {"llama3.1", VT_CHAT_LLAMA31}, {"harmony", VT_CHAT_HARMONY}, {"llama3", VT_CHAT_LLAMA3},
                   {"qwen2", VT_CHAT_QWEN2},      {"smollm2", VT_CHAT_SMOLLM2}};
    const char *name = vt_json_str(vt_json_get(line, "chat"), "");
    enum vt_chat chat = VT_CHAT_HARMONY;
    for (int i = 0; i < 8; i++)
        if (strcmp(formats[i].name, name) == 0) {
            CHECK(vt_chat_known(vt_json_str(vt_json_get(line, "sha256"), ""), &chat));
            CHECK_INT(chat, formats[i].chat);
            ++*(int *)arg;
        }
}

#define CHATML                                                                                                         \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "    \
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

/* The whole text decides: one newline at its end is nothing, anything else another template. */
static void templates(void)
{
    static const char *const others[] = {
        CHATML "\n\n",
        CHATML " ",
        "{{ bos_token }}" CHATML,
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + "
        "'<|im_end|>'}}{% endfor %}",
        "<|start_header_id|>Cutting Knowledge Date",
        "<|channel|>",
    };
    char digest[65];
    enum vt_chat chat = VT_CHAT_HARMONY;
    int n = 0;
    CHECK_INT(each_json_line(GOLDEN("chat_templates.jsonl"), known_line, &n), 11);
    CHECK_INT(n, 11);
    vt_chat_digest(CHATML "\n", digest);
    CHECK(vt_chat_known(digest, &chat) && chat == VT_CHAT_CHATML);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        vt_chat_digest(others[i], digest);
        CHECK(!vt_chat_known(digest, &chat));
    }
    vt_err err = {0};
    CHECK_OK(vt_chat_named("llama3.1", &chat, &err), err);
    CHECK_INT(chat, VT_CHAT_LLAMA31);
    CHECK_STR(vt_chat_name(chat), "llama3.1");
    CHECK_INT(vt_chat_named("ChatML", &chat, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "smollm2, chatml") != NULL);
}

/* A folder's template, its refusal and a choice by name. */
static void folder(void)
{
    static const struct {
        const char *template, *pick, *says; /* says NULL: recognised as `chat` */
        enum vt_chat chat;
    } rows[] = {
        {CHATML, NULL, NULL, VT_CHAT_CHATML},
        {CHATML " ", NULL, "--chat FAMILY (smollm2, chatml", VT_CHAT_CHATML},
        {"", NULL, "carries no chat template; if you know its format, say --chat FAMILY", VT_CHAT_CHATML},
        {CHATML " ", "qwen2.5", NULL, VT_CHAT_QWEN25},
        {CHATML, "llama3", "no token <|eot_id|>", VT_CHAT_CHATML},
        {CHATML, "alpaca", "no chat format \"alpaca\"", VT_CHAT_CHATML},
    };
    const char *dir = scratch_path("chat");
    char path[512];
    vt_err err = {0};
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    static const char *const copied[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, copied[i]);
        char from[512];
        snprintf(from, sizeof from, "%s/%s", GOLDEN("tiny/llama"), copied[i]);
        CHECK_INT(symlink(from, path), 0);
    }
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    static const char tokenizer[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"<|im_end|>\":1},\"merges\":[]},\"pre_tokenizer\":{\"type\":"
        "\"ByteLevel\",\"add_prefix_space\":false}}";
    write_scratch(path, tokenizer, sizeof tokenizer - 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vt_ckpt *c = NULL;
        enum vt_chat chat = VT_CHAT_HARMONY;
        snprintf(path, sizeof path, "%s/chat_template.jinja", dir);
        write_scratch(path, rows[i].template, strlen(rows[i].template));
        CHECK_OK(vt_ckpt_open(dir, &c, &err), err);
        if (!c)
            continue;
        vt_status status = vt_chat_pick(c, rows[i].pick, &chat, &err);
        if (!rows[i].says) {
            CHECK_OK(status, err);
            CHECK_INT(chat, rows[i].chat);
        } else {
            CHECK(status != VT_OK);
            if (!strstr(err.msg, rows[i].says))
                CHECK_STR(err.msg, rows[i].says);
        }
        vt_ckpt_free(c);
    }
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

static const struct test_case cases[] = {TEST(smollm2),   TEST(default_model), TEST(other_formats),
                                         TEST(templates), TEST(folder),        TEST(refused)};
TEST_MAIN(cases)
