/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_source.c: the token list that readers fill before a tokenizer is built: a vocabulary by id and by text,
 * and the tokens that are added to it.
 *
 * Added tokens follow Hugging Face's AddedVocabulary to the letter, because files rely on it: the id in a file is not
 * what counts. A token whose text is in the vocabulary has the vocabulary's id; another one gets one more than the
 * largest id added so far, or the size of the vocabulary when that is larger. A file that states another id would be
 * read differently by the library that wrote it, so it is refused with both numbers.
 */
#include "model/tokenizer_build.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SHOWN = 40 };

static uint32_t hash_text(struct vt_text t)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < t.len; i++)
        h = (h ^ (unsigned char)t.p[i]) * 16777619u;
    return h ^ h >> 15;
}

/* The slot that holds text, or the empty one where it would go. */
static size_t slot_of(const struct vt_token_source *s, struct vt_text text)
{
    size_t mask = s->by_text_cap - 1, i = hash_text(text) & mask;
    for (; s->by_text[i] >= 0; i = (i + 1) & mask) {
        struct vt_text have = s->tokens[s->by_text[i]];
        if (have.len == text.len && memcmp(have.p, text.p, text.len) == 0)
            break;
    }
    return i;
}

/* Room for n texts at most half full. */
static vt_status table_reserve(struct vt_token_source *s, size_t n, const char *what, vt_err *err)
{
    size_t cap = 64;
    while (cap < 2 * n)
        cap *= 2;
    if (cap <= s->by_text_cap)
        return VT_OK;
    int32_t *old = s->by_text, *table = vt_alloc_array(cap, sizeof *table);
    size_t old_cap = s->by_text_cap;
    if (!table)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    memset(table, 0xff, cap * sizeof *table);
    s->by_text = table;
    s->by_text_cap = cap;
    for (size_t i = 0; i < old_cap; i++)
        if (old[i] >= 0)
            table[slot_of(s, s->tokens[old[i]])] = old[i];
    free(old);
    return VT_OK;
}

vt_status vt_token_source_alloc(struct vt_token_source *s, size_t n, size_t n_merges, const char *what, vt_err *err)
{
    if (n == 0 || n > VT_TOKENIZER_MAX_ID + 1 || n_merges > VT_TOKENIZER_MAX_ID + 1)
        return vt_fail(err, VT_EFORMAT, "%s: a tokenizer of %zu tokens and %zu merges is not possible", what, n,
                       n_merges);
    s->n = s->cap = n;
    s->n_merges = n_merges;
    s->tokens = vt_alloc_array(n, sizeof *s->tokens);
    s->kinds = vt_alloc_array(n, sizeof *s->kinds);
    s->merges = vt_alloc_array(n_merges ? n_merges : 1, sizeof *s->merges);
    if (!s->tokens || !s->kinds || !s->merges)
        return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
    return table_reserve(s, n, what, err);
}

void vt_token_source_free(struct vt_token_source *s)
{
    free(s->tokens);
    free(s->kinds);
    free(s->merges);
    free(s->added);
    free(s->by_text);
}

static int shown(struct vt_text t)
{
    return (int)(t.len < MAX_SHOWN ? t.len : MAX_SHOWN);
}

static vt_status enter(struct vt_token_source *s, struct vt_text text, size_t id, enum vt_token_kind kind,
                       const char *what, vt_err *err)
{
    VT_TRY(table_reserve(s, s->by_text_n + 1, what, err));
    s->tokens[id] = text;
    s->kinds[id] = (unsigned char)kind;
    size_t slot = slot_of(s, text);
    if (s->by_text[slot] < 0) {
        s->by_text[slot] = (int32_t)id;
        s->by_text_n++;
    }
    return VT_OK;
}

vt_status vt_token_source_put(struct vt_token_source *s, struct vt_text text, size_t id, const char *what, vt_err *err)
{
    if (s->kinds[id] != VT_TOKEN_UNUSED)
        return vt_fail(err, VT_EFORMAT, "%s: tokens \"%.*s\" and \"%.*s\" have the same id %zu", what,
                       shown(s->tokens[id]), s->tokens[id].p, shown(text), text.p, id);
    s->n_vocab++;
    return enter(s, text, id, VT_TOKEN_NORMAL, what, err);
}

int32_t vt_token_source_find(const struct vt_token_source *s, struct vt_text text)
{
    return s->by_text_cap ? s->by_text[slot_of(s, text)] : -1;
}

static vt_status grow(struct vt_token_source *s, size_t n, const char *what, vt_err *err)
{
    if (n > VT_TOKENIZER_MAX_ID + 1)
        return vt_fail(err, VT_EFORMAT, "%s: a tokenizer of %zu tokens is not possible", what, n);
    if (n > s->cap) {
        size_t cap = n + n / 8 + 16;
        struct vt_text *tokens = vt_realloc_array(s->tokens, cap, sizeof *tokens);
        if (tokens)
            s->tokens = tokens;
        unsigned char *kinds = vt_realloc_array(s->kinds, cap, 1);
        if (kinds)
            s->kinds = kinds;
        if (!tokens || !kinds)
            return vt_fail(err, VT_ENOMEM, "out of memory for the tokenizer of %s", what);
        s->cap = cap;
    }
    for (; s->n < n; s->n++) {
        s->tokens[s->n] = (struct vt_text){"", 0};
        s->kinds[s->n] = VT_TOKEN_UNUSED;
    }
    return VT_OK;
}

static size_t next_id(const struct vt_token_source *s)
{
    size_t id = s->n_vocab;
    for (size_t i = 0; i < s->n_added; i++)
        if ((size_t)s->added[i].id >= id)
            id = (size_t)s->added[i].id + 1;
    return id;
}

/* The new entry of a text outside the vocabulary. */
static vt_status add_outside(struct vt_token_source *s, const struct vt_added_token *token, int32_t *id,
                             const char *what, vt_err *err)
{
    size_t next = next_id(s);
    VT_TRY(grow(s, next + 1, what, err));
    if (s->kinds[next] != VT_TOKEN_UNUSED)
        return vt_fail(err, VT_EFORMAT,
                       "%s: added token \"%.*s\" would get id %zu, which token \"%.*s\" has already; the ids of the "
                       "vocabulary leave gaps",
                       what, shown(token->content), token->content.p, next, shown(s->tokens[next]), s->tokens[next].p);
    *id = (int32_t)next;
    return enter(s, token->content, next, VT_TOKEN_ADDED, what, err);
}

vt_status vt_token_source_add(struct vt_token_source *s, const struct vt_added_token *token, const char *what,
                              vt_err *err)
{
    if (token->content.len == 0)
        return VT_OK; /* an empty token is never added */
    int32_t id = vt_token_source_find(s, token->content);
    struct vt_added_token *have = NULL;
    for (size_t i = 0; id >= 0 && i < s->n_added && !have; i++)
        have = s->added[i].id == id ? &s->added[i] : NULL;
    if (id < 0)
        VT_TRY(add_outside(s, token, &id, what, err));
    if (token->id >= 0 && token->id != id)
        return vt_fail(err, VT_EFORMAT,
                       "%s gives added token \"%.*s\" the id %d, but Hugging Face's tokenizers number it %d; save the "
                       "tokenizer again",
                       what, shown(token->content), token->content.p, token->id, id);
    if (have && have->normalized != token->normalized)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s says of added token \"%.*s\" that it is %snormalized, and another file says the opposite; "
                       "make them agree",
                       what, shown(token->content), token->content.p, token->normalized ? "" : "not ");
    if (!have && s->n_added == s->cap_added) {
        size_t cap = s->cap_added ? 2 * s->cap_added : 32;
        struct vt_added_token *added = vt_realloc_array(s->added, cap, sizeof *added);
        if (!added)
            return vt_fail(err, VT_ENOMEM, "out of memory for the added tokens of %s", what);
        s->added = added;
        s->cap_added = cap;
    }
    bool was_special = have && have->special;
    have = have ? have : &s->added[s->n_added++];
    *have = *token;
    have->id = id;
    have->special |= was_special;
    return VT_OK;
}
