/* SPDX-License-Identifier: Apache-2.0
 *
 * model_formats.c: tokenizers as folders have them, against transformers and tokenizers (tests/golden/formats, made by
 * make_formats.py): control tokens in four files, added tokens in two passes with their flags, pre-tokenizers in other
 * words, split patterns of another syntax; and that decoding what was encoded gives the text back, for random text and
 * every tokenizer here.
 */
#include "base/alloc.h"
#include "base/rng.h"
#include "harness.h"
#include "model/nfc.h"
#include "model/text.h"
#include "model/tokenizer_build.h"
#include "model/tokenizer_files.h"
#include "model_common.h"

#define FORMATS GOLDEN("formats/")

static vt_json *read_golden(const char *path)
{
    struct vt_buf text;
    vt_err err = {0};
    vt_json *j = NULL;
    CHECK_OK(vt_fs_read(path, 64 << 20, &text, &err), err);
    CHECK_OK(vt_json_parse(text.p, text.len, path, &j, &err), err);
    vt_buf_free(&text);
    return j;
}

static void write_json(const char *dir, const char *name, const vt_json *j)
{
    char path[512];
    struct vt_buf text;
    vt_err err = {0};
    vt_buf_init(&text, 64 << 20);
    CHECK_OK(vt_json_write(j, false, &text, &err), err);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    write_scratch(path, text.p, text.len);
    vt_buf_free(&text);
}

static void lay_over(vt_json *object, const vt_json *patch)
{
    for (const vt_json *e = vt_json_first(patch); e; e = vt_json_next(e))
        vt_json_put(object, vt_json_key(e), vt_json_clone(e));
}

/* The folder that make_formats.py describes by `files`, on scratch; static storage. */
static const char *lay_out(const vt_json *files)
{
    const char *dir = scratch_path("formats");
    vt_err err = {0};
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    vt_json *tokenizer = read_golden(FORMATS "base.json");
    for (const vt_json *e = vt_json_first(vt_json_get(files, "tokenizer.json")); e; e = vt_json_next(e)) {
        vt_json *model = vt_json_clone(vt_json_get(tokenizer, "model"));
        bool is_model = strcmp(vt_json_key(e), "model") == 0;
        if (is_model)
            lay_over(model, e);
        vt_json_put(tokenizer, vt_json_key(e), is_model ? model : vt_json_clone(e));
        if (!is_model)
            vt_json_free(model);
    }
    write_json(dir, "tokenizer.json", tokenizer);
    vt_json_free(tokenizer);
    for (const vt_json *e = vt_json_first(files); e; e = vt_json_next(e))
        if (strcmp(vt_json_key(e), "tokenizer.json") != 0 && !vt_json_is_null(e))
            write_json(dir, vt_json_key(e), e);
    return dir;
}

static vt_status open_tokenizer(const char *dir, vt_tokenizer **t, vt_err *err)
{
    char *chat_template = NULL;
    vt_status status = vt_tokenizer_open(dir, &(struct vt_ids){0}, t, &chat_template, err);
    free(chat_template);
    return status;
}

static bool same_ids(const struct vt_ids *ids, const vt_json *expected)
{
    size_t i = 0;
    for (const vt_json *e = vt_json_first(expected); e; e = vt_json_next(e), i++)
        if (i >= ids->n || ids->p[i] != (int32_t)vt_json_int(e, -1))
            return false;
    return i == ids->n;
}

static void check_folder(void *arg, const vt_json *line)
{
    int *counts = arg;
    const char *name = vt_json_str(vt_json_get(line, "name"), "?");
    const char *word = vt_json_str(vt_json_get(line, "refused"), NULL);
    const char *dir = lay_out(vt_json_get(line, "files"));
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    vt_status status = open_tokenizer(dir, &t, &err);
    counts[word != NULL]++;
    if (word) {
        CHECK(status != VT_OK);
        if (!strstr(err.msg, word))
            CHECK_STR(err.msg, word);
    } else {
        CHECK_OK(status, err);
    }
    for (const vt_json *row = t ? vt_json_first(vt_json_get(line, "texts")) : NULL; row; row = vt_json_next(row)) {
        const char *text = vt_json_str(vt_json_first(row), "");
        struct vt_ids ids = {0};
        CHECK_OK(vt_tokenizer_encode(t, text, strlen(text), true, &ids, &err), err);
        if (!same_ids(&ids, vt_json_next(vt_json_first(row)))) {
            printf("  %s: \"%s\" gives", name, text);
            for (size_t i = 0; i < ids.n; i++)
                printf(" %d", ids.p[i]);
            printf("\n");
            test_failures_in_case++;
        }
        vt_ids_free(&ids);
    }
    vt_tokenizer_free(t);
}

static void folders(void)
{
    int counts[2] = {0};
    vt_err err = {0};
    CHECK(each_json_line(FORMATS "tokenizers.jsonl", check_folder, counts) > 0);
    CHECK_INT(counts[0], 36);
    CHECK_INT(counts[1], 16);
    CHECK_OK(vt_fs_remove_tree(lay_out(NULL), &err), err);
}

struct pieces {
    const vt_json *next;
    int wrong, n;
};

static vt_status compare_piece(void *arg, const char *p, size_t len, vt_err *err)
{
    struct pieces *s = arg;
    const char *want = vt_json_str(s->next, NULL);
    (void)err;
    s->wrong += !want || strlen(want) != len || memcmp(want, p, len) != 0;
    s->n++;
    s->next = vt_json_next(s->next);
    return VT_OK;
}

static void check_split(void *arg, const vt_json *line)
{
    int *counts = arg;
    const char *pattern = vt_json_str(vt_json_get(line, "pattern"), ""),
               *text = vt_json_str(vt_json_get(line, "text"), ""),
               *word = vt_json_str(vt_json_get(line, "refused"), NULL);
    struct vt_split_source source = {{pattern, strlen(pattern)}, vt_json_bool(vt_json_get(line, "drop"), false)};
    struct vt_split *s = NULL;
    vt_err err = {0};
    vt_status status = vt_split_compile(source, "a test", &s, &err);
    counts[word != NULL]++;
    if (word) {
        CHECK_INT(status, VT_EUNSUPPORTED);
        if (!strstr(err.msg, word))
            CHECK_STR(err.msg, word);
        return;
    }
    struct pieces got = {.next = vt_json_first(vt_json_get(line, "pieces"))};
    CHECK_OK(status, err);
    if (status == VT_OK)
        CHECK_OK(vt_split_run(s, text, strlen(text), compare_piece, &got, &err), err);
    if (got.wrong || got.next) {
        printf("  %s%s: piece %d or another differs\n", pattern, source.drop_gaps ? " (gaps dropped)" : "", got.n);
        test_failures_in_case++;
    }
    vt_split_free(s);
}

static void split_patterns(void)
{
    int counts[2] = {0};
    CHECK(each_json_line(FORMATS "splits.jsonl", check_split, counts) > 0);
    CHECK_INT(counts[0], 80);
    CHECK_INT(counts[1], 24);
}

/* Random text: words, white space, marks, control tokens' texts whole and cut, characters of every length. */
static size_t random_text(struct vt_stream *r, char *out, size_t cap)
{
    static const char *const parts[] = {"<|im_end|>",   "<|im_",  "|>",     " ",         "\n",    "  \t",
                                        "\r\n",         "the",    " quick", "n\xcc\x83", "own f", "!",
                                        "\xe3\x80\x80", "<mask>", "fox",    "123"};
    size_t n = 0, count = (size_t)(vt_stream_uniform(r) * 40);
    for (size_t i = 0; i < count && n + 16 < cap; i++) {
        double u = vt_stream_uniform(r);
        if (u < 0.4) {
            const char *part = parts[(size_t)(vt_stream_uniform(r) * 16)];
            memcpy(out + n, part, strlen(part));
            n += strlen(part);
            continue;
        }
        double top = u < 0.7 ? 0x80 : u < 0.8 ? 0x800 : u < 0.95 ? 0xd800 : 0x110000;
        uint32_t cp = (uint32_t)(vt_stream_uniform(r) * top);
        n += vt_utf8_put(cp >= 0xd800 && cp < 0xe000 ? 0x4e00 : cp ? cp : 'x', out + n);
    }
    return n;
}

static bool has_every_byte(const vt_tokenizer *t, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t->byte_id[(unsigned char)text[i]] < 0)
            return false;
    return true;
}

/* decode(encode(text)) is the text, in its normal form where the tokenizer has one; a text with a byte that the
 * vocabulary lacks loses it, as in the library, and is not counted. A split that drops gaps is not round. */
static void round_trip(const char *name, const vt_tokenizer *t, int n_texts)
{
    char text[1024];
    struct vt_stream r;
    vt_err err = {0};
    int n_counted = 0;
    vt_stream_init(&r, 20241128);
    for (int i = 0; i < n_texts; i++) {
        size_t n = random_text(&r, text, sizeof text);
        struct vt_buf want, got;
        vt_buf_init(&want, 1 << 20);
        if (t->nfc)
            vt_nfc(text, n, &want);
        else
            vt_buf_add(&want, text, n);
        n_counted += has_every_byte(t, text, n);
        for (int special = 0; special < 2 && has_every_byte(t, text, n); special++) {
            struct vt_ids ids = {0};
            vt_buf_init(&got, 1 << 20);
            CHECK_OK(vt_tokenizer_encode(t, text, n, special, &ids, &err), err);
            CHECK_OK(vt_tokenizer_decode(t, ids.p, ids.n, &got, &err), err);
            if (got.len != want.len || (want.len && memcmp(got.p, want.p, want.len) != 0)) {
                printf("  %s, special %d: \"%.*s\" comes back as \"%s\"\n", name, special, (int)n, text,
                       got.p ? got.p : "");
                test_failures_in_case++;
            }
            for (size_t k = 0; k < ids.n && !special; k++)
                CHECK(!vt_tokenizer_is_control(t, ids.p[k]));
            vt_ids_free(&ids);
            vt_buf_free(&got);
        }
        vt_buf_free(&want);
    }
    CHECK(n_counted > n_texts / 4);
}

static void round_trip_folder(void *arg, const vt_json *line)
{
    /* The last two do not keep the text by their own rules: white space that a token takes along, and dropped gaps. */
    static const char *const lossy[] = {"strips_meet",
                                        "lstrip",
                                        "rstrip",
                                        "both_strips",
                                        "named_as_object",
                                        "removed_inverted",
                                        "special_tokens_map",
                                        "decoder_flags_win",
                                        "normalized_nfc"};
    const char *name = vt_json_str(vt_json_get(line, "name"), "?");
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    for (size_t i = 0; i < sizeof lossy / sizeof lossy[0]; i++)
        if (strcmp(lossy[i], name) == 0)
            return;
    if (vt_json_get(line, "refused"))
        return;
    CHECK_OK(open_tokenizer(lay_out(vt_json_get(line, "files")), &t, &err), err);
    if (t)
        round_trip(name, t, 60);
    vt_tokenizer_free(t);
    ++*(int *)arg;
}

static void round_trips(void)
{
    static const char *const files[] = {GOLDEN("tokenizers/qwen.json"), GOLDEN("tokenizers/llama3.json"),
                                        GOLDEN("tokenizers/gptoss.json")};
    vt_err err = {0};
    int n = 0;
    for (size_t i = 0; i < 3; i++) {
        vt_tokenizer *t = NULL;
        CHECK_OK(vt_tokenizer_from_json(files[i], &t, &err), err);
        if (t)
            round_trip(files[i], t, 400);
        vt_tokenizer_free(t);
    }
    CHECK(each_json_line(FORMATS "tokenizers.jsonl", round_trip_folder, &n) > 0);
    CHECK_INT(n, 27);
    CHECK_OK(vt_fs_remove_tree(lay_out(NULL), &err), err);
}

static void round_trip_default(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = NULL;
    vt_err err = {0};
    CHECK_OK(vt_ckpt_open(model_path(), &c, &err), err);
    if (c)
        round_trip("the default model", vt_ckpt_tokenizer(c), 1000);
    vt_ckpt_free(c);
}

/* A padding token "!" is an ordinary token, too: plain text keeps its "!", and no control token comes of it. */
static void pad_is_a_byte(void)
{
    static const char config[] = "{\"tokenizer_config.json\":{\"pad_token\":\"!\",\"eos_token\":\"\xc4\xa0the\"}}";
    vt_json *files = NULL;
    vt_tokenizer *t = NULL;
    vt_err err = {0};
    struct vt_ids ids = {0};
    struct vt_buf out;
    vt_buf_init(&out, 100);
    CHECK_OK(vt_json_parse(config, sizeof config - 1, "a test", &files, &err), err);
    CHECK_OK(open_tokenizer(lay_out(files), &t, &err), err);
    if (!t)
        return;
    CHECK_OK(vt_tokenizer_encode(t, "if (!x)", 7, false, &ids, &err), err);
    CHECK_OK(vt_tokenizer_decode(t, ids.p, ids.n, &out, &err), err);
    CHECK_STR(out.p, "if (!x)");
    CHECK(!vt_tokenizer_is_control(t, vt_tokenizer_find(t, "!", 1)));
    /* An end that is a token of the vocabulary: " the" ends a sample although text becomes it. */
    size_t n = 0, len = 0;
    const int32_t *ends = vt_tokenizer_ends(t, &n);
    CHECK_INT(n, 1);
    const char *bytes = n ? vt_tokenizer_bytes(t, ends[0], &len) : NULL;
    CHECK(bytes && len == 4 && memcmp(bytes, " the", 4) == 0 && !vt_tokenizer_is_control(t, ends[0]));
    vt_ids_free(&ids);
    vt_buf_free(&out);
    vt_tokenizer_free(t);
    vt_json_free(files);
    CHECK_OK(vt_fs_remove_tree(lay_out(NULL), &err), err);
}

static const struct test_case cases[] = {TEST(folders), TEST(split_patterns), TEST(round_trips),
                                         TEST(round_trip_default), TEST(pad_is_a_byte)};
TEST_MAIN(cases)
