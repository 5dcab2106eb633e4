/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_json.c: Hugging Face's tokenizer.json, as far as byte-level BPE uses it: model (vocab, merges as "a b" or
 * [a, b]), added_tokens, normalizer (none or NFC), pre_tokenizer (Digits, Split, ByteLevel and sequences of them),
 * post_processor (only to learn which token is put in front). Anything else changes the ids and is refused by name.
 */
#include "model/tokenizer.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "model/tokenizer_build.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 256 << 20, MAX_ID = (1 << 22) - 1 };

static const char *type_of(const vt_json *j)
{
    return vt_json_str(vt_json_get(j, "type"), "");
}

static vt_status add_split(struct vt_token_source *s, const char *pattern, const char *path, vt_err *err)
{
    if (s->n_splits == VT_TOKENIZER_MAX_SPLITS)
        return vt_fail(err, VT_ELIMIT, "%s: its pre-tokenizer has more than %d steps", path, VT_TOKENIZER_MAX_SPLITS);
    s->splits[s->n_splits++] = (struct vt_text){pattern, strlen(pattern)};
    return VT_OK;
}

static vt_status read_split(const vt_json *p, struct vt_token_source *s, const char *path, vt_err *err)
{
    const char *behavior = vt_json_str(vt_json_get(p, "behavior"), "");
    const char *regex = vt_json_str(vt_json_get(vt_json_get(p, "pattern"), "Regex"), NULL);
    if (!regex || strcmp(behavior, "Isolated") != 0 || vt_json_bool(vt_json_get(p, "invert"), false))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its Split pre-tokenizer (behavior \"%.40s\") is none that isolates the matches of a Regex",
                       path, behavior);
    return add_split(s, regex, path, err);
}

static vt_status read_pre_tokenizer(const vt_json *p, struct vt_token_source *s, const char *path, vt_err *err)
{
    const char *type = type_of(p);
    if (strcmp(type, "Sequence") == 0) {
        const vt_json *parts = vt_json_get(p, "pretokenizers");
        for (const vt_json *e = parts ? vt_json_first(parts) : NULL; e; e = vt_json_next(e)) {
            if (strcmp(type_of(e), "Sequence") == 0)
                return vt_fail(err, VT_EUNSUPPORTED,
                               "%s: its pre-tokenizer nests sequences, which vegttt does not read", path);
            VT_TRY(read_pre_tokenizer(e, s, path, err));
        }
        return VT_OK;
    }
    if (strcmp(type, "Digits") == 0 && vt_json_bool(vt_json_get(p, "individual_digits"), false))
        return add_split(s, VT_SPLIT_DIGITS, path, err);
    if (strcmp(type, "Split") == 0)
        return read_split(p, s, path, err);
    if (strcmp(type, "ByteLevel") == 0 && !vt_json_bool(vt_json_get(p, "add_prefix_space"), true))
        return vt_json_bool(vt_json_get(p, "use_regex"), true) ? add_split(s, vt_split_gpt2, path, err) : VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED, "%s: its pre-tokenizer \"%.40s\" (or its options) is none that vegttt knows",
                   path, type);
}

static vt_status read_normalizer(const vt_json *n, struct vt_token_source *s, const char *path, vt_err *err)
{
    if (!n || vt_json_is_null(n))
        return VT_OK;
    if (strcmp(type_of(n), "NFC") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s: its normalizer is \"%.40s\"; vegttt knows NFC", path, type_of(n));
    s->nfc = true;
    return VT_OK;
}

static bool token_id(const vt_json *j, size_t *out)
{
    int64_t id = j && vt_json_is_number(j) ? vt_json_int(j, -1) : -1;
    if (id < 0 || id > MAX_ID)
        return false;
    *out = (size_t)id;
    return true;
}

/* One more than the largest id of vocabulary and added tokens. */
static vt_status count_tokens(const vt_json *vocab, const vt_json *added, const char *path, size_t *out, vt_err *err)
{
    size_t n = 0, id;
    for (const vt_json *e = vt_json_first(vocab); e; e = vt_json_next(e)) {
        if (!token_id(e, &id))
            return vt_fail(err, VT_EFORMAT, "%s: token \"%.40s\" has no id between 0 and %d", path, vt_json_key(e),
                           MAX_ID);
        n = id >= n ? id + 1 : n;
    }
    for (const vt_json *e = added ? vt_json_first(added) : NULL; e; e = vt_json_next(e)) {
        if (!token_id(vt_json_get(e, "id"), &id) || !vt_json_is_string(vt_json_get(e, "content")))
            return vt_fail(err, VT_EFORMAT, "%s: an added token has no content or no id between 0 and %d", path,
                           MAX_ID);
        n = id >= n ? id + 1 : n;
    }
    *out = n;
    return VT_OK;
}

static struct vt_text text_of(const char *s)
{
    return (struct vt_text){s, strlen(s)};
}

static vt_status read_tokens(const vt_json *vocab, const vt_json *added, const char *path, struct vt_token_source *s,
                             vt_err *err)
{
    static const char *const unsupported[] = {"lstrip", "rstrip", "single_word"};
    size_t id = 0;
    memset(s->kinds, VT_TOKEN_UNUSED, s->n);
    for (const vt_json *e = vt_json_first(vocab); e; e = vt_json_next(e)) {
        (void)token_id(e, &id);
        s->tokens[id] = text_of(vt_json_key(e));
        s->kinds[id] = VT_TOKEN_NORMAL;
    }
    for (const vt_json *e = added ? vt_json_first(added) : NULL; e; e = vt_json_next(e)) {
        (void)token_id(vt_json_get(e, "id"), &id);
        s->tokens[id] = text_of(vt_json_str(vt_json_get(e, "content"), ""));
        s->kinds[id] = vt_json_bool(vt_json_get(e, "special"), false) ? VT_TOKEN_CONTROL : VT_TOKEN_ADDED;
        for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
            if (vt_json_bool(vt_json_get(e, unsupported[i]), false))
                return vt_fail(err, VT_EUNSUPPORTED, "%s: added token \"%.40s\" sets %s, which vegttt does not support",
                               path, s->tokens[id].p, unsupported[i]);
    }
    return VT_OK;
}

static vt_status read_merges(const vt_json *merges, const char *path, struct vt_token_source *s, vt_err *err)
{
    size_t i = 0;
    for (const vt_json *e = merges ? vt_json_first(merges) : NULL; e; e = vt_json_next(e), i++) {
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
        }
        if (!left || !right)
            return vt_fail(err, VT_EFORMAT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", path, i);
        s->merges[i].left = (struct vt_text){left, n_left};
        s->merges[i].right = text_of(right);
    }
    return VT_OK;
}

/* The token that a TemplateProcessing post-processor puts before a single sequence, or NULL. */
static const char *leading_token(const vt_json *post)
{
    if (!post || vt_json_is_null(post))
        return NULL;
    if (strcmp(type_of(post), "Sequence") == 0) {
        const vt_json *parts = vt_json_get(post, "processors");
        for (const vt_json *e = parts ? vt_json_first(parts) : NULL; e; e = vt_json_next(e))
            if (strcmp(type_of(e), "TemplateProcessing") == 0)
                return leading_token(e);
        return NULL;
    }
    const vt_json *single = vt_json_get(post, "single");
    const vt_json *first = single && vt_json_is_array(single) ? vt_json_first(single) : NULL;
    return first ? vt_json_str(vt_json_get(vt_json_get(first, "SpecialToken"), "id"), NULL) : NULL;
}

static vt_status read_model(const vt_json *root, const char *path, struct vt_token_source *s, vt_err *err)
{
    const vt_json *model = vt_json_get(root, "model"), *added = vt_json_get(root, "added_tokens");
    const vt_json *vocab = vt_json_get(model, "vocab"), *merges = vt_json_get(model, "merges");
    const char *type = vt_json_str(vt_json_get(model, "type"), "BPE");
    if (strcmp(type, "BPE") != 0 || vt_json_bool(vt_json_get(model, "byte_fallback"), false) ||
        vt_json_is_string(vt_json_get(model, "unk_token")))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its model is \"%.40s\" (or uses byte_fallback or unk_token); vegttt reads byte-level BPE",
                       path, type);
    if (!vocab || !vt_json_is_object(vocab) || (merges && !vt_json_is_array(merges)) ||
        (added && !vt_json_is_array(added)))
        return vt_fail(err, VT_EFORMAT, "%s: its vocab, merges or added_tokens are missing or of another type", path);
    size_t n = 0;
    VT_TRY(count_tokens(vocab, added, path, &n, err));
    VT_TRY(vt_token_source_alloc(s, n, merges ? vt_json_count(merges) : 0, path, err));
    VT_TRY(read_tokens(vocab, added, path, s, err));
    VT_TRY(read_merges(merges, path, s, err));
    VT_TRY(read_normalizer(vt_json_get(root, "normalizer"), s, path, err));
    s->ignore_merges = vt_json_bool(vt_json_get(model, "ignore_merges"), false);
    const vt_json *pre = vt_json_get(root, "pre_tokenizer");
    if (!pre || vt_json_is_null(pre))
        return vt_fail(err, VT_EUNSUPPORTED, "%s has no pre_tokenizer; vegttt reads byte-level BPE", path);
    return read_pre_tokenizer(pre, s, path, err);
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
        status = read_model(root, path, &s, err);
    if (status == VT_OK)
        status = vt_tokenizer_build(&s, path, out, err);
    if (status == VT_OK) {
        const char *bos = leading_token(vt_json_get(root, "post_processor"));
        if (bos)
            vt_tokenizer_set_ends(*out, -1, vt_tokenizer_find(*out, bos, strlen(bos)));
    }
    vt_token_source_free(&s);
    vt_json_free(root);
    return status;
}
