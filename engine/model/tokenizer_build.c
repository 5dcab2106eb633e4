/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_build.c: from token and merge strings to the tables that encoding uses.
 *
 * GPT-2 spells bytes as printable characters: 21-7E, A1-AC and AE-FF stand for themselves, the other 68 bytes for
 * U+0100.. in order. Undoing that at load keeps every later step on raw bytes.
 *
 * Tables: the vocabulary by bytes (FNV-1a) and merges by pair of ids, both open addressing at no more than half full.
 * A token of the vocabulary keeps its place there when it is also an added token: text that was not cut out as that
 * token still becomes it. A token that is not spelled in the byte alphabet can never be met by merges and is left out.
 * A merge whose parts or product are not in the vocabulary would make encoding depend on who reads the file, so it is
 * an error naming the merge.
 */
#include "model/tokenizer_build.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TOKEN_BYTES = 1 << 16, MAX_SHOWN = 40 };

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

/* A token as spelled in the GPT-2 alphabet into bytes, at most text.len of them; returns their number. Text that is
 * not spelled in that alphabet is copied, and *spelled (may be NULL) says so. */
static size_t gpt2_bytes(struct vt_text text, char *out, bool *spelled)
{
    size_t n = 0, at = 0;
    if (spelled)
        *spelled = true;
    while (at < text.len) {
        uint32_t cp;
        size_t len = vt_utf8_next(text.p + at, text.len - at, &cp);
        int byte = len ? gpt2_byte(cp) : -1;
        if (byte < 0) {
            if (spelled)
                *spelled = false;
            memcpy(out, text.p, text.len);
            return text.len;
        }
        out[n++] = (char)byte;
        at += len;
    }
    return n;
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

static vt_status allocate(vt_tokenizer *t, const struct vt_token_source *s, const char *what, vt_err *err)
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
    t->bytes = vt_alloc(total ? total : 1);
    t->offsets = vt_alloc_array(s->n + 1, sizeof *t->offsets);
    t->kinds = vt_alloc_array(s->n, 1);
    t->vocab = vt_alloc_array((size_t)t->vocab_mask + 1, sizeof *t->vocab);
    if (!t->bytes || !t->offsets || !t->kinds || !t->vocab)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    memset(t->vocab, 0xff, ((size_t)t->vocab_mask + 1) * sizeof *t->vocab);
    memcpy(t->kinds, s->kinds, s->n);
    return VT_OK;
}

/* Bytes of every token, and the table of those that merges can meet: spelled in the byte alphabet. */
static vt_status build_vocab(vt_tokenizer *t, const struct vt_token_source *s, const char *what, vt_err *err)
{
    VT_TRY(allocate(t, s, what, err));
    for (int32_t id = 0; id < t->n; id++) {
        char *at = t->bytes + t->offsets[id];
        size_t len = s->tokens[id].len;
        bool spelled = false;
        if (s->kinds[id] == VT_TOKEN_NORMAL)
            len = gpt2_bytes(s->tokens[id], at, &spelled);
        else if (len)
            memcpy(at, s->tokens[id].p, len);
        t->offsets[id + 1] = t->offsets[id] + (uint32_t)len;
        if (!spelled || len == 0 || vt_vocab_find(t, at, len) >= 0)
            continue;
        uint32_t i = hash_bytes(at, len) & t->vocab_mask;
        while (t->vocab[i] >= 0)
            i = (i + 1) & t->vocab_mask;
        t->vocab[i] = id;
    }
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        t->byte_id[b] = vt_vocab_find(t, &byte, 1);
        bool in_utf8 = b < 0xc0 || (b >= 0xc2 && b <= 0xf4);
        if (s->needs_every_byte && in_utf8 && t->byte_id[b] < 0)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s uses unk_token or byte_fallback for byte %02X, which its vocabulary lacks; vegttt has "
                           "neither",
                           what, (unsigned)b);
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
        bool left_spelled, right_spelled;
        if (m->left.len <= MAX_TOKEN_BYTES && m->right.len <= MAX_TOKEN_BYTES) {
            size_t n_left = gpt2_bytes(m->left, joined, &left_spelled),
                   n_right = gpt2_bytes(m->right, joined + n_left, &right_spelled);
            left = vt_vocab_find(t, joined, n_left);
            right = vt_vocab_find(t, joined + n_left, n_right);
            product = vt_vocab_find(t, joined, n_left + n_right);
        }
        if (left < 0 || right < 0 || product < 0) {
            status = bad_merge(m, rank, what, err);
            goto out;
        }
        if (!s->last_rank_counts && vt_merge_find(t, left, right))
            continue;
        uint32_t i = hash_pair(left, right) & t->merge_mask;
        while (t->merges[i].left >= 0 && (t->merges[i].left != left || t->merges[i].right != right))
            i = (i + 1) & t->merge_mask;
        t->merges[i] = (struct vt_merge){left, right, product, (int32_t)rank};
    }
out:
    free(joined);
    return status;
}

/* Which special tokens are control tokens: those that ordinary text cannot become. A special token that is one byte or
 * the product of a merge ("!" as a padding token) is an ordinary token, too. */
static vt_status settle_kinds(vt_tokenizer *t, const struct vt_token_source *s, const char *what, vt_err *err)
{
    unsigned char *made = vt_alloc((size_t)t->n);
    if (!made)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] >= 0)
            made[t->byte_id[b]] = 1;
    for (size_t i = 0; i <= t->merge_mask; i++)
        if (t->merges[i].left >= 0)
            made[t->merges[i].product] = 1;
    for (size_t i = 0; i < s->n_added; i++)
        if (s->added[i].special && !made[s->added[i].id])
            t->kinds[s->added[i].id] = VT_TOKEN_CONTROL;
    free(made);
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
    vt_added_free(&t->raw);
    vt_added_free(&t->normal);
    free(t);
}

vt_status vt_tokenizer_build(const struct vt_token_source *s, const char *what, vt_tokenizer **out, vt_err *err)
{
    vt_tokenizer *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    t->nfc = s->nfc;
    t->ignore_merges = s->ignore_merges;
    t->bos = t->bos_token = -1;
    vt_status status = build_vocab(t, s, what, err);
    if (status == VT_OK)
        status = build_merges(t, s, what, err);
    if (status == VT_OK)
        status = settle_kinds(t, s, what, err);
    if (status == VT_OK)
        status = vt_added_build(&t->raw, s, false, what, err);
    if (status == VT_OK)
        status = vt_added_build(&t->normal, s, true, what, err);
    for (size_t i = 0; i < s->n_splits && status == VT_OK; i++) {
        status = vt_split_compile(s->splits[i], what, &t->splits[i], err);
        t->n_splits += status == VT_OK;
    }
    if (status != VT_OK) {
        vt_tokenizer_free(t);
        return status;
    }
    if (s->bos.p)
        vt_tokenizer_set_bos(t, vt_token_source_find(s, s->bos), -1);
    *out = t;
    return VT_OK;
}

void vt_tokenizer_set_bos(vt_tokenizer *t, int32_t bos, int32_t bos_token)
{
    t->bos = bos >= 0 && bos < t->n ? bos : -1;
    t->bos_token = bos_token >= 0 && bos_token < t->n ? bos_token : -1;
}

vt_status vt_tokenizer_add_end(vt_tokenizer *t, int32_t id, vt_err *err)
{
    if (id < 0 || id >= t->n)
        return VT_OK;
    for (size_t i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id)
            return VT_OK;
    if (t->n_ends == VT_TOKENIZER_MAX_ENDS)
        return vt_fail(err, VT_ELIMIT, "the model names more than %d tokens that end a sample", VT_TOKENIZER_MAX_ENDS);
    t->ends[t->n_ends++] = id;
    return VT_OK;
}
