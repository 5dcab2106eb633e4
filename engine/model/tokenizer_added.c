/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_added.c: cutting added tokens out of a text, as Hugging Face's AddedVocabulary does: leftmost first, the
 * longest of those that start there, never overlapping. Two such passes are made, over the raw text with the tokens
 * that are not normalized and over the normal form of what remains with the others; each has a set of its own.
 *
 * A control token that was not asked for is stepped over: its text is ordinary, but no other added token is looked for
 * inside it. A token with lstrip or rstrip takes the white space beside it along; what an earlier token took is gone
 * as text, but a token that begins in it is still found.
 */
#include "model/tokenizer_build.h"

#include "base/alloc.h"
#include "model/nfc.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BUCKET = 1 << 14 };

static bool is_white_space(uint32_t c)
{
    return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Where the white space that ends p[0..len) begins. */
static size_t space_before(const char *p, size_t len)
{
    size_t from = 0, at = 0;
    while (at < len) {
        uint32_t cp = 0;
        size_t n = vt_utf8_next(p + at, len - at, &cp);
        at += n ? n : 1;
        if (!n || !is_white_space(cp))
            from = at;
    }
    return from;
}

/* Bytes of white space at the start of p[0..len). */
static size_t space_behind(const char *p, size_t len)
{
    size_t at = 0;
    while (at < len) {
        uint32_t cp = 0;
        size_t n = vt_utf8_next(p + at, len - at, &cp);
        if (!n || !is_white_space(cp))
            break;
        at += n;
    }
    return at;
}

/* All contents in one buffer, in their normal form where that is what they are matched against. */
static vt_status gather(struct vt_added_set *set, const struct vt_token_source *s, bool normalized, uint32_t *lens,
                        const char *what, vt_err *err)
{
    struct vt_buf texts;
    vt_buf_init(&texts, UINT32_MAX / 2);
    for (size_t i = 0; i < s->n_added; i++) {
        size_t before = texts.len;
        if (s->added[i].normalized != normalized)
            continue;
        struct vt_text c = s->added[i].content;
        if (normalized && s->nfc && vt_utf8_valid(c.p, c.len) == c.len)
            vt_nfc(c.p, c.len, &texts);
        else
            vt_buf_add(&texts, c.p, c.len);
        lens[i] = (uint32_t)(texts.len - before);
    }
    vt_status status = vt_buf_check(&texts, what, err);
    set->texts = status == VT_OK && texts.len ? vt_buf_take(&texts, NULL) : NULL;
    vt_buf_free(&texts);
    return status;
}

static vt_status sort_in(struct vt_added_set *set, const struct vt_token_source *s, const uint32_t *lens,
                         const char *what, vt_err *err)
{
    uint32_t count[256] = {0}, filled[256] = {0};
    const char *const none = "", *text = set->texts ? set->texts : none;
    for (size_t i = 0; i < s->n_added; text += lens[i], i++)
        if (lens[i])
            count[(unsigned char)*text]++;
    for (int b = 0; b < 256; b++) {
        set->at[b + 1] = set->at[b] + count[b];
        if (count[b] > MAX_BUCKET)
            return vt_fail(err, VT_ELIMIT, "%s: more than %d added tokens begin with the same byte", what, MAX_BUCKET);
    }
    set->entries = vt_alloc_array(set->at[256] ? set->at[256] : 1, sizeof *set->entries);
    if (!set->entries)
        return vt_fail(err, VT_ENOMEM, "out of memory for the added tokens of %s", what);
    text = set->texts ? set->texts : none;
    for (size_t i = 0; i < s->n_added; text += lens[i], i++) {
        if (!lens[i])
            continue;
        const struct vt_added_token *a = &s->added[i];
        unsigned char first = (unsigned char)*text;
        struct vt_added_entry *bucket = set->entries + set->at[first];
        uint32_t at = filled[first]++;
        for (uint32_t j = 0; j < at; j++)
            if (bucket[j].len == lens[i] && memcmp(bucket[j].text, text, lens[i]) == 0)
                return vt_fail(
                    err, VT_EUNSUPPORTED,
                    "%s: added tokens %d and %d have the same normal form; which of the two a text becomes is "
                    "not defined",
                    what, bucket[j].id, a->id);
        for (; at > 0 && bucket[at - 1].len < lens[i]; at--)
            bucket[at] = bucket[at - 1];
        bucket[at] = (struct vt_added_entry){text, lens[i], a->id, a->special, a->lstrip, a->rstrip};
    }
    return VT_OK;
}

vt_status vt_added_build(struct vt_added_set *set, const struct vt_token_source *s, bool normalized, const char *what,
                         vt_err *err)
{
    uint32_t *lens = vt_alloc_array(s->n_added ? s->n_added : 1, sizeof *lens);
    if (!lens)
        return vt_fail(err, VT_ENOMEM, "out of memory for the added tokens of %s", what);
    vt_status status = gather(set, s, normalized, lens, what, err);
    if (status == VT_OK)
        status = sort_in(set, s, lens, what, err);
    free(lens);
    return status;
}

void vt_added_free(struct vt_added_set *set)
{
    free(set->entries);
    free(set->texts);
}

const struct vt_added_entry *vt_added_find(const struct vt_added_set *set, const char *p, size_t len)
{
    unsigned char first = (unsigned char)*p;
    for (uint32_t i = set->at[first]; i < set->at[first + 1]; i++) {
        const struct vt_added_entry *e = &set->entries[i];
        if (e->len <= len && memcmp(e->text, p, e->len) == 0)
            return e;
    }
    return NULL;
}

vt_status vt_added_run(const struct vt_added_set *set, const struct vt_added_walk *w, const char *p, size_t len,
                       vt_err *err)
{
    size_t start = 0, at = 0; /* where text that no token has taken begins; where tokens are looked for */
    while (at < len) {
        const struct vt_added_entry *e = vt_added_find(set, p + at, len - at);
        size_t from = at;
        at += e ? e->len : 1;
        if (!e || (e->special && !w->special))
            continue;
        size_t to = at + (e->rstrip ? space_behind(p + at, len - at) : 0);
        if (e->lstrip)
            from = from > start ? start + space_before(p + start, from - start) : start;
        if (from > start)
            VT_TRY(w->text(w->arg, p + start, from - start, err));
        if (from < to) /* else an earlier token has taken all of it */
            VT_TRY(w->token(w->arg, e->id, err));
        start = to;
    }
    return start < len ? w->text(w->arg, p + start, len - start, err) : VT_OK;
}
