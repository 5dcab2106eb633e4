/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_gguf.c: the tokenizer tables of a GGUF file. The split pattern is not in the file, only its name
 * (tokenizer.ggml.pre); vegttt knows those of the families it runs, and another name is refused.
 *
 * The file keeps added tokens without Hugging Face's flags (normalized, lstrip), so all are matched in the raw text,
 * leftmost and longest first, which is what the model was trained with.
 */
#include "model/tokenizer_build.h"

#include "base/alloc.h"

#include <limits.h>
#include <string.h>

enum { MAX_SHOWN = 40 };

/* How GGUF names the pre-tokenizers, and what they are. */
static vt_status split_by_name(struct vt_token_source *s, struct vt_text pre, const char *path, vt_err *err)
{
    static const struct {
        const char *name, *pattern;
        bool digits, nfc, ignore_merges;
    } known[] = {
        {"smollm", vt_split_gpt2, true, false, false},      {"starcoder", vt_split_gpt2, true, false, false},
        {"gpt-2", vt_split_gpt2, false, false, false},      {"qwen2", vt_split_qwen2, false, true, false},
        {"llama-bpe", vt_split_llama3, false, false, true}, {"llama3", vt_split_llama3, false, false, true},
        {"gpt-4o", vt_split_gpt4o, false, false, false},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!vt_text_is(pre, known[i].name))
            continue;
        if (known[i].digits)
            s->splits[s->n_splits++].pattern = (struct vt_text){VT_SPLIT_DIGITS, strlen(VT_SPLIT_DIGITS)};
        s->splits[s->n_splits++].pattern = (struct vt_text){known[i].pattern, strlen(known[i].pattern)};
        s->nfc = known[i].nfc;
        s->ignore_merges = known[i].ignore_merges;
        return VT_OK;
    }
    return vt_fail(err, VT_EUNSUPPORTED,
                   "%s: its pre-tokenizer is %.*s; vegttt knows smollm, starcoder, gpt-2, qwen2, llama-bpe and gpt-4o",
                   path, (int)(pre.len < MAX_SHOWN ? pre.len : MAX_SHOWN), pre.p);
}

/* llama.cpp's token types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. A control or user-defined
 * token is plain text; one of ASCII is spelled alike in the byte alphabet and belongs to the vocabulary as well. */
static vt_status read_kinds(struct vt_token_source *s, const struct vt_gguf_kv *types, const char *path, vt_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        int32_t type = 1;
        struct vt_text text = s->tokens[i];
        if (types)
            memcpy(&type, types->items + 4 * i, sizeof type);
        if (type < 1 || type > 5)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s: token %zu has type %d; vegttt knows normal, unknown, control, user-defined and unused",
                           path, i, type);
        if (type == 5)
            continue;
        bool is_plain = type != 1, is_ascii = true;
        for (size_t j = 0; j < text.len; j++)
            is_ascii &= (unsigned char)text.p[j] > 0x20 && (unsigned char)text.p[j] < 0x7f;
        VT_TRY(vt_token_source_put(s, text, i, path, err));
        if (is_plain && !is_ascii)
            s->kinds[i] = VT_TOKEN_ADDED;
        if (is_plain)
            VT_TRY(vt_token_source_add(
                s, &(struct vt_added_token){.content = text, .id = (int32_t)i, .special = type != 4}, path, err));
    }
    return VT_OK;
}

static vt_status read_gguf_tables(const struct vt_gguf *g, const char *path, struct vt_token_source *s, vt_err *err)
{
    const struct vt_gguf_kv *tokens = vt_gguf_find(g, "tokenizer.ggml.tokens"),
                            *merges = vt_gguf_find(g, "tokenizer.ggml.merges");
    const struct vt_gguf_kv *types = vt_gguf_find(g, "tokenizer.ggml.token_type");
    if (!tokens || tokens->type != VT_GGUF_ARRAY || tokens->item != VT_GGUF_STRING || !merges ||
        merges->type != VT_GGUF_ARRAY || merges->item != VT_GGUF_STRING)
        return vt_fail(err, VT_EFORMAT,
                       "%s: tokenizer.ggml.tokens or tokenizer.ggml.merges is missing or no array of strings", path);
    if (types && (types->type != VT_GGUF_ARRAY || types->item != VT_GGUF_I32 || types->n != tokens->n))
        return vt_fail(err, VT_EFORMAT, "%s: tokenizer.ggml.token_type does not give one int32 for each of %zu tokens",
                       path, tokens->n);
    VT_TRY(vt_token_source_alloc(s, tokens->n, merges->n, path, err));
    const unsigned char *at = tokens->items;
    for (size_t i = 0; i < s->n; i++)
        s->tokens[i] = vt_gguf_next_str(&at);
    VT_TRY(read_kinds(s, types, path, err));
    at = merges->items;
    for (size_t i = 0; i < s->n_merges; i++) {
        struct vt_text m = vt_gguf_next_str(&at);
        const char *space = m.len > 1 ? memchr(m.p + 1, ' ', m.len - 1) : NULL;
        if (!space)
            return vt_fail(err, VT_EFORMAT, "%s: merge %zu of the tokenizer is not two strings with a space between",
                           path, i);
        s->merges[i].left = (struct vt_text){m.p, (size_t)(space - m.p)};
        s->merges[i].right = (struct vt_text){space + 1, m.len - s->merges[i].left.len - 1};
    }
    return VT_OK;
}

/* What ends a sample: the end of text, of a turn and of a message as the file names them, and control tokens that mean
 * one of these whatever the file says (llama.cpp's list). */
static vt_status add_ends(const struct vt_gguf *g, vt_tokenizer *t, vt_err *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    static const char *const texts[] = {"<|eot_id|>", "<|im_end|>",    "<|end|>",         "<|return|>",
                                        "<|call|>",   "<|eom_id|>",    "<|end_of_text|>", "<|endoftext|>",
                                        "<|eom|>",    "<end_of_turn>", "<|eos|>"};
    int64_t id;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (vt_gguf_int(g, keys[i], &id) && id >= 0 && id < INT_MAX)
            VT_TRY(vt_tokenizer_add_end(t, (int32_t)id, err));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int32_t token = vt_tokenizer_find(t, texts[i], strlen(texts[i]));
        if (vt_tokenizer_is_control(t, token))
            VT_TRY(vt_tokenizer_add_end(t, token, err));
    }
    return VT_OK;
}

vt_status vt_tokenizer_from_gguf(const struct vt_gguf *g, const char *path, vt_tokenizer **out, vt_err *err)
{
    struct vt_text model, pre;
    struct vt_token_source s = {0};
    if (!vt_gguf_text(g, "tokenizer.ggml.model", &model)) {
        *out = NULL;
        return VT_OK;
    }
    if (!vt_text_is(model, "gpt2") || !vt_gguf_text(g, "tokenizer.ggml.pre", &pre))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its tokenizer is %.*s%s; vegttt reads byte-level BPE (gpt2) with tokenizer.ggml.pre", path,
                       (int)(model.len < MAX_SHOWN ? model.len : MAX_SHOWN), model.p,
                       vt_text_is(model, "gpt2") ? " without tokenizer.ggml.pre" : "");
    vt_status status = read_gguf_tables(g, path, &s, err);
    if (status == VT_OK)
        status = split_by_name(&s, pre, path, err);
    if (status == VT_OK)
        status = vt_tokenizer_build(&s, path, out, err);
    if (status == VT_OK) {
        status = add_ends(g, *out, err);
        int64_t id;
        bool llama3 = vt_text_is(pre, "llama-bpe") || vt_text_is(pre, "llama3");
        bool is_added = vt_gguf_bool(g, "tokenizer.ggml.add_bos_token", llama3);
        if (vt_gguf_int(g, "tokenizer.ggml.bos_token_id", &id) && id >= 0 && id < INT_MAX)
            vt_tokenizer_set_bos(*out, is_added ? (int32_t)id : -1, (int32_t)id);
        if (status != VT_OK) {
            vt_tokenizer_free(*out);
            *out = NULL;
        }
    }
    vt_token_source_free(&s);
    return status;
}
