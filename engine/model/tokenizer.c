/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.c: text to ids and back.
 *
 * Encoding, outermost first: (1) added and control tokens are cut out of the raw text; control tokens only when the
 * caller asked for them, so that text written by users or models cannot end a turn. (2) What lies between is cut into
 * valid UTF-8 and single bad bytes; Hugging Face never sees the latter, here they simply become byte tokens. (3) NFC
 * where the tokenizer has it. (4) Added tokens that are matched in the normal form. (5) The split patterns, one inside
 * the other. (6) BPE of every piece.
 *
 * A tokenizer is immutable after it is built; all scratch memory belongs to one encode call.
 */
#include "model/tokenizer.h"

#include "model/nfc.h"
#include "model/tokenizer_build.h"

#include <string.h>

struct encoder {
    const vt_tokenizer *t;
    struct vt_bpe *bpe;
    struct vt_ids *out;
    size_t level; /* of the split pattern in use */
    bool special; /* control tokens are matched */
};

static vt_status encode_level(void *arg, const char *p, size_t len, vt_err *err)
{
    struct encoder *e = arg;
    if (e->level == e->t->n_splits)
        return vt_bpe_piece(e->bpe, p, len, e->out, err);
    const struct vt_split *split = e->t->splits[e->level++];
    vt_status status = vt_split_run(split, p, len, encode_level, e, err);
    e->level--;
    return status;
}

/* A piece of the normal form between two added tokens. */
static vt_status encode_piece(void *arg, const char *p, size_t len, vt_err *err)
{
    return encode_level(arg, p, len, err);
}

static vt_status push_token(void *arg, int32_t id, vt_err *err)
{
    struct encoder *e = arg;
    return vt_ids_push(e->out, id, err);
}

static vt_status encode_valid(struct encoder *e, const char *p, size_t len, vt_err *err)
{
    struct vt_added_walk walk = {encode_piece, push_token, e, e->special};
    if (!e->t->nfc || vt_nfc_is_plain(p, len))
        return vt_added_run(&e->t->normal, &walk, p, len, err);
    struct vt_buf normal;
    vt_buf_init(&normal, SIZE_MAX / 2);
    vt_nfc(p, len, &normal);
    vt_status status = vt_buf_check(&normal, "normalised text", err);
    if (status == VT_OK && normal.len > 0)
        status = vt_added_run(&e->t->normal, &walk, normal.p, normal.len, err);
    vt_buf_free(&normal);
    return status;
}

static vt_status encode_text(void *arg, const char *p, size_t len, vt_err *err)
{
    struct encoder *e = arg;
    while (len > 0) {
        size_t valid = vt_utf8_valid(p, len);
        if (valid > 0)
            VT_TRY(encode_valid(e, p, valid, err));
        p += valid;
        len -= valid;
        if (len > 0) {
            VT_TRY(vt_bpe_piece(e->bpe, p, 1, e->out, err));
            p++;
            len--;
        }
    }
    return VT_OK;
}

vt_status vt_tokenizer_encode(const vt_tokenizer *t, const char *text, size_t len, bool special, struct vt_ids *out,
                              vt_err *err)
{
    struct encoder e = {.t = t, .out = out, .special = special};
    struct vt_added_walk walk = {encode_text, push_token, &e, special};
    VT_TRY(vt_bpe_new(t, &e.bpe, err));
    vt_status status = vt_added_run(&t->raw, &walk, text, len, err);
    vt_bpe_free(e.bpe);
    return status;
}

const char *vt_tokenizer_bytes(const vt_tokenizer *t, int32_t id, size_t *len)
{
    if (id < 0 || id >= t->n)
        return NULL;
    *len = t->offsets[id + 1] - t->offsets[id];
    return t->bytes + t->offsets[id];
}

vt_status vt_tokenizer_decode(const vt_tokenizer *t, const int32_t *ids, size_t n, struct vt_buf *out, vt_err *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = vt_tokenizer_bytes(t, ids[i], &len);
        if (!bytes)
            return vt_fail(err, VT_EINVAL, "cannot decode token id %d at position %zu: the vocabulary has ids 0 to %d",
                           ids[i], i, t->n - 1);
        vt_buf_add(out, bytes, len);
    }
    return vt_buf_check(out, "decoded text", err);
}

bool vt_tokenizer_is_control(const vt_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n && t->kinds[id] == VT_TOKEN_CONTROL;
}

int vt_tokenizer_size(const vt_tokenizer *t)
{
    return t->n;
}

const int32_t *vt_tokenizer_ends(const vt_tokenizer *t, size_t *n)
{
    *n = t->n_ends;
    return t->ends;
}

int32_t vt_tokenizer_bos(const vt_tokenizer *t)
{
    return t->bos;
}

int32_t vt_tokenizer_bos_token(const vt_tokenizer *t)
{
    return t->bos_token;
}

int32_t vt_tokenizer_find(const vt_tokenizer *t, const char *bytes, size_t len)
{
    const struct vt_added_set *sets[] = {&t->raw, &t->normal};
    for (size_t i = 0; i < 2 && len > 0; i++) {
        const struct vt_added_entry *e = vt_added_find(sets[i], bytes, len);
        if (e && e->len == len)
            return e->id;
    }
    return vt_vocab_find(t, bytes, len);
}
