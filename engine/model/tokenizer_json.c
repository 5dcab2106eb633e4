/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_json.c: Hugging Face's tokenizer.json, as far as byte-level BPE uses it: model (vocab, merges as "a b" or
 * [a, b]), added_tokens, normalizer (none or NFC, alone or in a sequence), pre_tokenizer (Digits, Split and then
 * ByteLevel), decoder (ByteLevel), post_processor (only to learn which token is put in front). Every key of every part
 * stands in a table (keys.h); whatever changes the ids and is not here is refused by name.
 *
 * The byte alphabet comes from the ByteLevel step. Without it the same JSON describes a tokenizer of characters, and
 * a step behind it would see spelled bytes instead of text: both are refused.
 */
#include "model/tokenizer.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "model/keys.h"
#include "model/tokenizer_build.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 256 << 20 };
#define MATTERS "the ids of a text"
#define N_OF(table) (sizeof(table) / sizeof(table)[0])
#define CHECK_KEYS(object, table, what, err) vt_keys_check(object, table, N_OF(table), what, MATTERS, err)

/* truncation and padding apply to batches of texts; transformers switches them off for a single text. */
static const struct vt_key root_keys[] = {
    {"version", VT_KEY_HARMLESS, 0, NULL},
    {"truncation", VT_KEY_HARMLESS, 0, NULL},
    {"padding", VT_KEY_HARMLESS, 0, NULL},
    {"added_tokens", VT_KEY_READ, VT_NULL | VT_LIST, NULL},
    {"normalizer", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"pre_tokenizer", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"post_processor", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"decoder", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"model", VT_KEY_READ, VT_MAP, NULL},
};
/* fuse_unk joins unknown tokens, which byte-level BPE does not make. */
static const struct vt_key model_keys[] = {
    {"type", VT_KEY_READ, VT_STR, NULL},
    {"vocab", VT_KEY_READ, VT_MAP, NULL},
    {"merges", VT_KEY_READ, VT_LIST, NULL},
    {"dropout", VT_KEY_OFF, 0, NULL},
    {"unk_token", VT_KEY_READ, VT_NULL | VT_STR, NULL},
    {"fuse_unk", VT_KEY_HARMLESS, 0, NULL},
    {"continuing_subword_prefix", VT_KEY_OFF, 0, NULL},
    {"end_of_word_suffix", VT_KEY_OFF, 0, NULL},
    {"byte_fallback", VT_KEY_READ, VT_NULL | VT_BOOL, NULL},
    {"ignore_merges", VT_KEY_READ, VT_NULL | VT_BOOL, NULL},
};
static const struct vt_key added_keys[] = {
    {"id", VT_KEY_READ, VT_INT, NULL},       {"content", VT_KEY_READ, VT_STR, NULL},
    {"special", VT_KEY_READ, VT_BOOL, NULL}, {"normalized", VT_KEY_READ, VT_BOOL, NULL},
    {"lstrip", VT_KEY_READ, VT_BOOL, NULL},  {"rstrip", VT_KEY_READ, VT_BOOL, NULL},
    {"single_word", VT_KEY_OFF, 0, NULL},
};
static const struct vt_key sequence_keys[] = {
    {"type", VT_KEY_READ, VT_STR, NULL},         {"pretokenizers", VT_KEY_READ, VT_LIST, NULL},
    {"normalizers", VT_KEY_READ, VT_LIST, NULL}, {"processors", VT_KEY_READ, VT_LIST, NULL},
    {"decoders", VT_KEY_READ, VT_LIST, NULL},
};
static const struct vt_key plain_keys[] = {{"type", VT_KEY_READ, VT_STR, NULL}};
static const struct vt_key digits_keys[] = {{"type", VT_KEY_READ, VT_STR, NULL},
                                            {"individual_digits", VT_KEY_READ, VT_BOOL, NULL}};
static const struct vt_key split_keys[] = {{"type", VT_KEY_READ, VT_STR, NULL},
                                           {"pattern", VT_KEY_READ, VT_MAP, NULL},
                                           {"behavior", VT_KEY_READ, VT_STR, NULL},
                                           {"invert", VT_KEY_READ, VT_BOOL, NULL}};
static const struct vt_key pattern_keys[] = {{"Regex", VT_KEY_READ, VT_STR, NULL}};
/* trim_offsets is about offsets into the text, which are not computed here. */
static const struct vt_key byte_level_keys[] = {{"type", VT_KEY_READ, VT_STR, NULL},
                                                {"add_prefix_space", VT_KEY_READ, VT_BOOL, NULL},
                                                {"trim_offsets", VT_KEY_HARMLESS, 0, NULL},
                                                {"use_regex", VT_KEY_READ, VT_BOOL, NULL}};
static const struct vt_key template_keys[] = {{"type", VT_KEY_READ, VT_STR, NULL},
                                              {"single", VT_KEY_READ, VT_LIST, NULL},
                                              {"pair", VT_KEY_HARMLESS, 0, NULL},
                                              {"special_tokens", VT_KEY_HARMLESS, 0, NULL}};

static const char *type_of(const vt_json *j)
{
    return vt_json_str(vt_json_get(j, "type"), "");
}

static struct vt_text text_of(const char *s)
{
    return (struct vt_text){s, strlen(s)};
}

static vt_status add_split(struct vt_token_source *s, const char *pattern, bool drop_gaps, const char *path,
                           vt_err *err)
{
    if (s->n_splits == VT_TOKENIZER_MAX_SPLITS)
        return vt_fail(err, VT_ELIMIT, "%s: its pre-tokenizer has more than %d steps", path, VT_TOKENIZER_MAX_SPLITS);
    s->splits[s->n_splits++] = (struct vt_split_source){text_of(pattern), drop_gaps};
    return VT_OK;
}

/* Isolated keeps matches and gaps, whichever of the two `invert` calls the delimiter; Removed and inverted keeps the
 * matches only. */
static vt_status read_split(const vt_json *p, struct vt_token_source *s, const char *path, vt_err *err)
{
    const char *behavior = vt_json_str(vt_json_get(p, "behavior"), "");
    const vt_json *pattern = vt_json_get(p, "pattern");
    bool invert = vt_json_bool(vt_json_get(p, "invert"), false), removed = strcmp(behavior, "Removed") == 0;
    VT_TRY(CHECK_KEYS(p, split_keys, path, err));
    VT_TRY(CHECK_KEYS(pattern, pattern_keys, path, err));
    const char *regex = vt_json_str(vt_json_get(pattern, "Regex"), NULL);
    if (!regex || !(strcmp(behavior, "Isolated") == 0 || (removed && invert)))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its Split pre-tokenizer (behavior \"%.40s\"%s) is none that keeps the matches of a Regex "
                       "apart",
                       path, behavior, invert ? ", inverted" : "");
    return add_split(s, regex, removed, path, err);
}

static vt_status read_byte_level(const vt_json *p, struct vt_token_source *s, const char *path, vt_err *err)
{
    VT_TRY(CHECK_KEYS(p, byte_level_keys, path, err));
    if (vt_json_bool(vt_json_get(p, "add_prefix_space"), true))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its pre-tokenizer sets add_prefix_space, which puts a space before a text; vegttt does not "
                       "support it",
                       path);
    return vt_json_bool(vt_json_get(p, "use_regex"), true) ? add_split(s, vt_split_gpt2, false, path, err) : VT_OK;
}

/* is_bytes: the ByteLevel step has been seen. */
static vt_status read_pre_tokenizer(const vt_json *p, struct vt_token_source *s, bool *is_bytes, const char *path,
                                    vt_err *err)
{
    const char *type = type_of(p);
    if (strcmp(type, "Sequence") == 0) {
        const vt_json *parts = vt_json_get(p, "pretokenizers");
        VT_TRY(CHECK_KEYS(p, sequence_keys, path, err));
        for (const vt_json *e = vt_json_first(parts); e; e = vt_json_next(e))
            VT_TRY(read_pre_tokenizer(e, s, is_bytes, path, err));
        return VT_OK;
    }
    if (*is_bytes)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its pre-tokenizer has the step \"%.40s\" behind ByteLevel, where text is spelled bytes; "
                       "vegttt does not support it",
                       path, type);
    if (strcmp(type, "Digits") == 0) {
        VT_TRY(CHECK_KEYS(p, digits_keys, path, err));
        bool each = vt_json_bool(vt_json_get(p, "individual_digits"), false);
        return add_split(s, each ? VT_SPLIT_DIGITS : VT_SPLIT_DIGITS "+", false, path, err);
    }
    if (strcmp(type, "Split") == 0)
        return read_split(p, s, path, err);
    if (strcmp(type, "ByteLevel") == 0) {
        *is_bytes = true;
        return read_byte_level(p, s, path, err);
    }
    return vt_fail(err, VT_EUNSUPPORTED,
                   "%s: its pre-tokenizer \"%.40s\" is none that vegttt knows (Digits, Split, ByteLevel)", path, type);
}

static vt_status read_normalizer(const vt_json *n, struct vt_token_source *s, const char *path, vt_err *err)
{
    if (!n || vt_json_is_null(n))
        return VT_OK;
    if (strcmp(type_of(n), "Sequence") == 0) {
        const vt_json *parts = vt_json_get(n, "normalizers");
        VT_TRY(CHECK_KEYS(n, sequence_keys, path, err));
        for (const vt_json *e = vt_json_first(parts); e; e = vt_json_next(e))
            VT_TRY(read_normalizer(e, s, path, err));
        return VT_OK;
    }
    if (strcmp(type_of(n), "NFC") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s: its normalizer is \"%.40s\"; vegttt knows NFC", path, type_of(n));
    s->nfc = true;
    return CHECK_KEYS(n, plain_keys, path, err);
}

static vt_status read_decoder(const vt_json *d, const char *path, vt_err *err)
{
    if (!d || vt_json_is_null(d))
        return VT_OK;
    if (strcmp(type_of(d), "Sequence") == 0) {
        const vt_json *parts = vt_json_get(d, "decoders");
        VT_TRY(CHECK_KEYS(d, sequence_keys, path, err));
        for (const vt_json *e = vt_json_first(parts); e; e = vt_json_next(e))
            VT_TRY(read_decoder(e, path, err));
        return VT_OK;
    }
    if (strcmp(type_of(d), "ByteLevel") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s: its decoder is \"%.40s\"; vegttt knows ByteLevel", path, type_of(d));
    return CHECK_KEYS(d, byte_level_keys, path, err);
}

/* The token that a TemplateProcessing step puts before a single text. */
static vt_status read_post_processor(const vt_json *p, struct vt_token_source *s, const char *path, vt_err *err)
{
    const char *type = type_of(p);
    if (!p || vt_json_is_null(p))
        return VT_OK;
    if (strcmp(type, "Sequence") == 0) {
        const vt_json *parts = vt_json_get(p, "processors");
        VT_TRY(CHECK_KEYS(p, sequence_keys, path, err));
        for (const vt_json *e = vt_json_first(parts); e; e = vt_json_next(e))
            VT_TRY(read_post_processor(e, s, path, err));
        return VT_OK;
    }
    if (strcmp(type, "ByteLevel") == 0)
        return CHECK_KEYS(p, byte_level_keys, path, err);
    if (strcmp(type, "TemplateProcessing") != 0)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its post-processor is \"%.40s\"; vegttt knows ByteLevel and TemplateProcessing", path,
                       type);
    VT_TRY(CHECK_KEYS(p, template_keys, path, err));
    const char *first =
        vt_json_str(vt_json_get(vt_json_get(vt_json_first(vt_json_get(p, "single")), "SpecialToken"), "id"), NULL);
    if (first)
        s->bos = text_of(first);
    return VT_OK;
}

static bool token_id(const vt_json *j, size_t *out)
{
    double id = vt_json_is_number(j) ? vt_json_num(j, -1) : -1;
    if (!(id >= 0 && id <= VT_TOKENIZER_MAX_ID) || id != (double)(size_t)id)
        return false;
    *out = (size_t)id;
    return true;
}

static vt_status read_vocab(const vt_json *vocab, const char *path, struct vt_token_source *s, vt_err *err)
{
    size_t id = 0;
    for (const vt_json *e = vt_json_first(vocab); e; e = vt_json_next(e)) {
        (void)token_id(e, &id);
        VT_TRY(vt_token_source_put(s, text_of(vt_json_key(e)), id, path, err));
    }
    return VT_OK;
}

/* One more than the largest id. */
static vt_status count_tokens(const vt_json *vocab, const char *path, size_t *out, vt_err *err)
{
    size_t n = 0, id;
    for (const vt_json *e = vt_json_first(vocab); e; e = vt_json_next(e)) {
        if (!token_id(e, &id))
            return vt_fail(err, VT_EFORMAT, "%s: token \"%.40s\" has no id between 0 and %d", path, vt_json_key(e),
                           VT_TOKENIZER_MAX_ID);
        n = id >= n ? id + 1 : n;
    }
    *out = n;
    return VT_OK;
}

static vt_status read_added(const vt_json *added, const char *path, struct vt_token_source *s, vt_err *err)
{
    for (const vt_json *e = vt_json_first(added); e; e = vt_json_next(e)) {
        size_t id;
        const char *content = vt_json_str(vt_json_get(e, "content"), NULL);
        if (!token_id(vt_json_get(e, "id"), &id) || !content || !vt_json_is_bool(vt_json_get(e, "special")) ||
            !vt_json_is_bool(vt_json_get(e, "normalized")))
            return vt_fail(err, VT_EFORMAT,
                           "%s: an added token (\"%.40s\") lacks its content, special, normalized or an id between 0 "
                           "and %d",
                           path, content ? content : "", VT_TOKENIZER_MAX_ID);
        VT_TRY(CHECK_KEYS(e, added_keys, path, err));
        struct vt_added_token t = {.content = text_of(content),
                                   .id = (int32_t)id,
                                   .special = vt_json_bool(vt_json_get(e, "special"), false),
                                   .normalized = vt_json_bool(vt_json_get(e, "normalized"), false),
                                   .lstrip = vt_json_bool(vt_json_get(e, "lstrip"), false),
                                   .rstrip = vt_json_bool(vt_json_get(e, "rstrip"), false)};
        VT_TRY(vt_token_source_add(s, &t, path, err));
    }
    return VT_OK;
}

/* "a b" or ["a", "b"]. Older files carry the version line of merges.txt as their first entry. */
static bool read_merge(const vt_json *e, struct vt_merge_text *out)
{
    const char *left = NULL, *right = NULL;
    size_t n_left = 0;
    if (vt_json_is_array(e) && vt_json_count(e) == 2) {
        left = vt_json_str(vt_json_first(e), NULL);
        right = vt_json_str(vt_json_next(vt_json_first(e)), NULL);
        n_left = left ? strlen(left) : 0;
    } else if (vt_json_is_string(e)) {
        left = vt_json_str(e, "");
        const char *space = strchr(left, ' ');
        right = space ? space + 1 : NULL;
        n_left = space ? (size_t)(space - left) : 0;
        if (right && strchr(right, ' '))
            return false;
    }
    if (!left || !right)
        return false;
    *out = (struct vt_merge_text){{left, n_left}, text_of(right)};
    return true;
}

static vt_status read_merges(const vt_json *merges, const char *path, struct vt_token_source *s, vt_err *err)
{
    size_t i = 0, n = 0;
    for (const vt_json *e = vt_json_first(merges); e; e = vt_json_next(e), i++) {
        if (strncmp(vt_json_str(e, ""), "#version", 8) == 0)
            continue;
        if (!read_merge(e, &s->merges[n++]))
            return vt_fail(err, VT_EFORMAT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", path, i);
    }
    s->n_merges = n;
    return VT_OK;
}

static vt_status read_model(const vt_json *model, const char *path, struct vt_token_source *s, vt_err *err)
{
    const vt_json *vocab = vt_json_get(model, "vocab"), *merges = vt_json_get(model, "merges");
    const char *type = vt_json_str(vt_json_get(model, "type"), "BPE");
    size_t n = 0;
    if (strcmp(type, "BPE") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s: its model is \"%.40s\"; vegttt reads byte-level BPE", path, type);
    VT_TRY(CHECK_KEYS(model, model_keys, path, err));
    if (!vocab || !merges)
        return vt_fail(err, VT_EFORMAT, "%s: its model has no vocab or no merges", path);
    s->ignore_merges = vt_json_bool(vt_json_get(model, "ignore_merges"), false);
    s->needs_every_byte =
        vt_json_is_string(vt_json_get(model, "unk_token")) || vt_json_bool(vt_json_get(model, "byte_fallback"), false);
    s->last_rank_counts = true;
    VT_TRY(count_tokens(vocab, path, &n, err));
    VT_TRY(vt_token_source_alloc(s, n, vt_json_count(merges), path, err));
    VT_TRY(read_vocab(vocab, path, s, err));
    return read_merges(merges, path, s, err);
}

vt_status vt_token_source_json(struct vt_token_source *s, const vt_json *root, const char *path, vt_err *err)
{
    const vt_json *pre = vt_json_get(root, "pre_tokenizer");
    bool is_bytes = false;
    VT_TRY(CHECK_KEYS(root, root_keys, path, err));
    if (!vt_json_is_object(vt_json_get(root, "model")))
        return vt_fail(err, VT_EFORMAT, "%s has no model", path);
    VT_TRY(read_model(vt_json_get(root, "model"), path, s, err));
    VT_TRY(read_added(vt_json_get(root, "added_tokens"), path, s, err));
    VT_TRY(read_normalizer(vt_json_get(root, "normalizer"), s, path, err));
    if (vt_json_is_object(pre))
        VT_TRY(read_pre_tokenizer(pre, s, &is_bytes, path, err));
    if (!is_bytes)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its pre-tokenizer has no ByteLevel step, so its vocabulary is of characters; vegttt reads "
                       "byte-level BPE",
                       path);
    VT_TRY(read_decoder(vt_json_get(root, "decoder"), path, err));
    return read_post_processor(vt_json_get(root, "post_processor"), s, path, err);
}

vt_status vt_tokenizer_from_json(const char *path, vt_tokenizer **out, vt_err *err)
{
    struct vt_buf text;
    vt_json *root = NULL;
    struct vt_token_source s = {0};
    VT_TRY(vt_fs_read(path, MAX_BYTES, &text, err));
    vt_status status = vt_json_parse(text.p, text.len, path, &root, err);
    vt_buf_free(&text);
    if (status == VT_OK)
        status = vt_token_source_json(&s, root, path, err);
    if (status == VT_OK)
        status = vt_tokenizer_build(&s, path, out, err);
    vt_token_source_free(&s);
    vt_json_free(root);
    return status;
}
