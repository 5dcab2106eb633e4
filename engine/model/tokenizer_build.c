/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_build.c: from token and merge strings to the tables that encoding uses, and GGUF's tables as one source of
 * those strings.
 *
 * GPT-2 spells bytes as printable characters: 21-7E, A1-AC and AE-FF stand for themselves, the other 68 bytes for
 * U+0100.. in order. Undoing that at load keeps every later step on raw bytes.
 *
 * Tables: normal tokens by bytes (FNV-1a) and merges by pair of ids, both open addressing at no more than half full.
 * A merge whose parts or product are not in the vocabulary would make encoding depend on who reads the file, so it is
 * an error naming the merge. Control and added tokens are bucketed by first byte, longest first.
 */
#include "model/tokenizer_build.h"

#include "base/alloc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 1 << 22, MAX_TOKEN_BYTES = 1 << 16, MAX_SHOWN = 40 };

/* The byte a character of the GPT-2 alphabet stands for, or -1. */
static int gpt2_byte(uint32_t cp)
{
    if ((cp >= 0x21 && cp <= 0x7e) || (cp >= 0xa1 && cp <= 0xac) || (cp >= 0xae && cp <= 0xff))
        return (int)cp;
    if (cp >= 0x100 && cp <= 0x120)
        return (int)(cp - 0x100); /* 00-20 */
    if (cp >= 0x121 && cp <= 0x142)
        return (int)(cp - 0x121 + 0x7f); /* 7F-A0 */
    return cp == 0x143 ? 0xad : -1;
}

size_t vt_gpt2_bytes(struct vt_text text, char *out)
{
    size_t n = 0, at = 0;
    while (at < text.len) {
        uint32_t cp;
        size_t len = vt_utf8_next(text.p + at, text.len - at, &cp);
        int byte = len ? gpt2_byte(cp) : -1;
        if (byte < 0) {
            memcpy(out, text.p, text.len);
            return text.len;
        }
        out[n++] = (char)byte;
        at += len;
    }
    return n;
}

vt_status vt_token_source_alloc(struct vt_token_source *s, size_t n, size_t n_merges, const char *what, vt_err *err)
{
    if (n == 0 || n > MAX_TOKENS || n_merges > MAX_TOKENS)
        return vt_fail(err, VT_EFORMAT, "%s: a tokenizer of %zu tokens and %zu merges is not possible", what, n,
                       n_merges);
    s->n = n;
    s->n_merges = n_merges;
    s->tokens = vt_alloc_array(n, sizeof *s->tokens);
    s->kinds = vt_alloc_array(n, sizeof *s->kinds);
    s->merges = vt_alloc_array(n_merges, sizeof *s->merges);
    s->eos = s->bos = -1;
    if (!s->tokens || !s->kinds || !s->merges)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    return VT_OK;
}

void vt_token_source_free(struct vt_token_source *s)
{
    free(s->tokens);
    free(s->kinds);
    free(s->merges);
}

static uint32_t hash_bytes(const char *p, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

/* Size of a table at most half full, as a mask. */
static uint32_t table_mask(size_t n)
{
    uint32_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size - 1;
}

int32_t vt_vocab_find(const vt_tokenizer *t, const char *p, size_t len)
{
    for (uint32_t i = hash_bytes(p, len) & t->vocab_mask; t->vocab[i] >= 0; i = (i + 1) & t->vocab_mask) {
        int32_t id = t->vocab[i];
        if (t->offsets[id + 1] - t->offsets[id] == len && memcmp(t->bytes + t->offsets[id], p, len) == 0)
            return id;
    }
    return -1;
}

const struct vt_merge *vt_merge_find(const vt_tokenizer *t, int32_t left, int32_t right)
{
    for (uint32_t i = hash_pair(left, right) & t->merge_mask; t->merges[i].left >= 0; i = (i + 1) & t->merge_mask)
        if (t->merges[i].left == left && t->merges[i].right == right)
            return &t->merges[i];
    return NULL;
}

static vt_status build_vocab(vt_tokenizer *t, const struct vt_token_source *s, const char *what, vt_err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->tokens[i].len > MAX_TOKEN_BYTES)
            return vt_fail(err, VT_EFORMAT, "%s: token %zu is %zu bytes long; at most %d are possible", what, i,
                           s->tokens[i].len, MAX_TOKEN_BYTES);
        total += s->tokens[i].len;
    }
    if (total >= UINT32_MAX)
        return vt_fail(err, VT_ELIMIT, "%s: its tokens take %zu bytes, more than 4 GiB", what, total);
    t->n = (int32_t)s->n;
    t->vocab_mask = table_mask(s->n);
    t->bytes = vt_alloc(total);
    t->offsets = vt_alloc_array(s->n + 1, sizeof *t->offsets);
    t->kinds = vt_alloc_array(s->n, 1);
    t->vocab = vt_alloc_array((size_t)t->vocab_mask + 1, sizeof *t->vocab);
    if (!t->bytes || !t->offsets || !t->kinds || !t->vocab)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    memset(t->vocab, 0xff, ((size_t)t->vocab_mask + 1) * sizeof *t->vocab);
    memcpy(t->kinds, s->kinds, s->n);
    for (int32_t id = 0; id < t->n; id++) {
        char *at = t->bytes + t->offsets[id];
        size_t len = s->tokens[id].len;
        if (s->kinds[id] == VT_TOKEN_NORMAL)
            len = vt_gpt2_bytes(s->tokens[id], at);
        else if (len)
            memcpy(at, s->tokens[id].p, len);
        t->offsets[id + 1] = t->offsets[id] + (uint32_t)len;
        if (s->kinds[id] != VT_TOKEN_NORMAL || len == 0 || vt_vocab_find(t, at, len) >= 0)
            continue;
        uint32_t i = hash_bytes(at, len) & t->vocab_mask;
        while (t->vocab[i] >= 0)
            i = (i + 1) & t->vocab_mask;
        t->vocab[i] = id;
    }
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        t->byte_id[b] = vt_vocab_find(t, &byte, 1);
    }
    return VT_OK;
}

static vt_status bad_merge(const struct vt_merge_text *m, size_t rank, const char *what, vt_err *err)
{
    int left = (int)(m->left.len < MAX_SHOWN ? m->left.len : MAX_SHOWN),
        right = (int)(m->right.len < MAX_SHOWN ? m->right.len : MAX_SHOWN);
    return vt_fail(err, VT_EFORMAT,
                   "%s: merge %zu (\"%.*s\" and \"%.*s\") joins or makes a token that is not in the vocabulary", what,
                   rank, left, m->left.p, right, m->right.p);
}

static vt_status build_merges(vt_tokenizer *t, const struct vt_token_source *s, const char *what, vt_err *err)
{
    enum { MAX_MERGED = 2 * MAX_TOKEN_BYTES };
    t->merge_mask = table_mask(s->n_merges);
    t->merges = vt_alloc_array((size_t)t->merge_mask + 1, sizeof *t->merges);
    char *joined = vt_alloc(MAX_MERGED);
    vt_status status = VT_OK;
    if (!t->merges || !joined) {
        status = vt_fail(err, VT_ENOMEM, "out of memory for the merges of %s", what);
        goto out;
    }
    for (size_t i = 0; i <= t->merge_mask; i++)
        t->merges[i].left = -1;
    for (size_t rank = 0; rank < s->n_merges; rank++) {
        const struct vt_merge_text *m = &s->merges[rank];
        int32_t left = -1, right = -1, product = -1;
        if (m->left.len <= MAX_TOKEN_BYTES && m->right.len <= MAX_TOKEN_BYTES) {
            size_t n_left = vt_gpt2_bytes(m->left, joined), n_right = vt_gpt2_bytes(m->right, joined + n_left);
            left = vt_vocab_find(t, joined, n_left);
            right = vt_vocab_find(t, joined + n_left, n_right);
            product = vt_vocab_find(t, joined, n_left + n_right);
        }
        if (left < 0 || right < 0 || product < 0) {
            status = bad_merge(m, rank, what, err);
            goto out;
        }
        if (vt_merge_find(t, left, right))
            continue; /* a repeated pair keeps its first rank */
        uint32_t i = hash_pair(left, right) & t->merge_mask;
        while (t->merges[i].left >= 0)
            i = (i + 1) & t->merge_mask;
        t->merges[i] = (struct vt_merge){left, right, product, (int32_t)rank};
    }
out:
    free(joined);
    return status;
}

static bool is_matched(const vt_tokenizer *t, int32_t id)
{
    return (t->kinds[id] == VT_TOKEN_CONTROL || t->kinds[id] == VT_TOKEN_ADDED) && t->offsets[id + 1] > t->offsets[id];
}

static vt_status build_added(vt_tokenizer *t, const char *what, vt_err *err)
{
    uint32_t count[256] = {0};
    for (int32_t id = 0; id < t->n; id++)
        if (is_matched(t, id))
            count[(unsigned char)t->bytes[t->offsets[id]]]++;
    for (int b = 0; b < 256; b++)
        t->added_at[b + 1] = t->added_at[b] + count[b];
    t->added = vt_alloc_array(t->added_at[256], sizeof *t->added);
    if (!t->added)
        return vt_fail(err, VT_ENOMEM, "out of memory for the control tokens of %s", what);
    uint32_t filled[256] = {0};
    for (int32_t id = 0; id < t->n; id++) {
        if (!is_matched(t, id))
            continue;
        unsigned char first = (unsigned char)t->bytes[t->offsets[id]];
        int32_t *bucket = t->added + t->added_at[first];
        uint32_t i = filled[first]++, len = t->offsets[id + 1] - t->offsets[id];
        if (i >= 1 << 14)
            return vt_fail(err, VT_ELIMIT, "%s: more than %d control tokens begin with the same byte", what, 1 << 14);
        for (; i > 0 && t->offsets[bucket[i - 1] + 1] - t->offsets[bucket[i - 1]] < len; i--)
            bucket[i] = bucket[i - 1];
        bucket[i] = id;
    }
    return VT_OK;
}

void vt_tokenizer_free(vt_tokenizer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_splits; i++)
        vt_split_free(t->splits[i]);
    free(t->bytes);
    free(t->offsets);
    free(t->kinds);
    free(t->vocab);
    free(t->merges);
    free(t->added);
    free(t);
}

vt_status vt_tokenizer_build(const struct vt_token_source *s, const char *what, vt_tokenizer **out, vt_err *err)
{
    vt_tokenizer *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    t->nfc = s->nfc;
    t->ignore_merges = s->ignore_merges;
    vt_status status = build_vocab(t, s, what, err);
    if (status == VT_OK)
        status = build_merges(t, s, what, err);
    if (status == VT_OK)
        status = build_added(t, what, err);
    for (size_t i = 0; i < s->n_splits && status == VT_OK; i++) {
        status = vt_split_compile(s->splits[i], what, &t->splits[i], err);
        t->n_splits += status == VT_OK;
    }
    if (status != VT_OK) {
        vt_tokenizer_free(t);
        return status;
    }
    vt_tokenizer_set_ends(t, s->eos, s->bos);
    *out = t;
    return VT_OK;
}

void vt_tokenizer_set_ends(vt_tokenizer *t, int32_t eos, int32_t bos)
{
    t->eos = eos >= 0 && eos < t->n ? eos : -1;
    t->bos = bos >= 0 && bos < t->n ? bos : -1;
}

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
            s->splits[s->n_splits++] = (struct vt_text){VT_SPLIT_DIGITS, strlen(VT_SPLIT_DIGITS)};
        s->splits[s->n_splits++] = (struct vt_text){known[i].pattern, strlen(known[i].pattern)};
        s->nfc = known[i].nfc;
        s->ignore_merges = known[i].ignore_merges;
        return VT_OK;
    }
    return vt_fail(err, VT_EUNSUPPORTED,
                   "%s: its pre-tokenizer is %.*s; vegttt knows smollm, starcoder, gpt-2, qwen2, llama-bpe and gpt-4o",
                   path, (int)(pre.len < MAX_SHOWN ? pre.len : MAX_SHOWN), pre.p);
}

static void read_kinds(struct vt_token_source *s, const struct vt_gguf_kv *types)
{
    for (size_t i = 0; i < s->n; i++) {
        int32_t type = 1;
        if (types)
            memcpy(&type, types->items + 4 * i, sizeof type);
        s->kinds[i] = type == 3   ? VT_TOKEN_CONTROL
                      : type == 4 ? VT_TOKEN_ADDED
                      : type == 5 ? VT_TOKEN_UNUSED
                                  : VT_TOKEN_NORMAL;
    }
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
    read_kinds(s, types);
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
    if (status == VT_OK) {
        int64_t id;
        bool llama3 = vt_text_is(pre, "llama-bpe") || vt_text_is(pre, "llama3");
        if (vt_gguf_int(g, "tokenizer.ggml.eos_token_id", &id) && id >= 0 && id < INT_MAX)
            s.eos = (int32_t)id;
        if (vt_gguf_bool(g, "tokenizer.ggml.add_bos_token", llama3) &&
            vt_gguf_int(g, "tokenizer.ggml.bos_token_id", &id) && id >= 0 && id < INT_MAX)
            s.bos = (int32_t)id;
        status = vt_tokenizer_build(&s, path, out, err);
    }
    vt_token_source_free(&s);
    return status;
}
