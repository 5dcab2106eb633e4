/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.h: byte-level BPE, from a GGUF's tables or a tokenizer.json. The split pattern runs in PCRE2 with JIT and
 * with match, depth and heap limits, since it runs on model output. User text never becomes a control token unless
 * `special` is asked for. Thread-safe after creation.
 */
#ifndef VT_MODEL_TOKENIZER_H
#define VT_MODEL_TOKENIZER_H

#include "base/buf.h"
#include "model/ckpt.h"

enum { VT_TOKENIZER_MAX_ENDS = 16 };

struct vt_ids {
    int32_t *p;
    size_t n, cap;
};
void vt_ids_free(struct vt_ids *ids);
vt_status vt_ids_push(struct vt_ids *ids, int32_t id, vt_err *err) VT_MUST_USE;

/* Appends the ids of text[0..len). special: the text of control tokens is matched first and becomes those tokens. */
vt_status vt_tokenizer_encode(const vt_tokenizer *t, const char *text, size_t len, bool special, struct vt_ids *out,
                              vt_err *err) VT_MUST_USE;
/* Appends the raw bytes of the tokens (control tokens as their text). EINVAL on an id outside the vocabulary. */
vt_status vt_tokenizer_decode(const vt_tokenizer *t, const int32_t *ids, size_t n, struct vt_buf *out,
                              vt_err *err) VT_MUST_USE;
/* Raw bytes of one token; lent. NULL when outside the vocabulary. */
const char *vt_tokenizer_bytes(const vt_tokenizer *t, int32_t id, size_t *len);
bool vt_tokenizer_is_control(const vt_tokenizer *t, int32_t id);
int vt_tokenizer_size(const vt_tokenizer *t);
/* Ids that end a sample, in the order in which the files name them, VT_TOKENIZER_MAX_ENDS at most; lent. They need not
 * be control tokens. */
const int32_t *vt_tokenizer_ends(const vt_tokenizer *t, size_t *n);
int32_t vt_tokenizer_bos(const vt_tokenizer *t);       /* what its own library puts before a text; -1: nothing */
int32_t vt_tokenizer_bos_token(const vt_tokenizer *t); /* what the files call the beginning of a text; -1: none */
int32_t vt_tokenizer_find(const vt_tokenizer *t, const char *bytes, size_t len); /* id or -1 */

vt_status vt_tokenizer_from_json(const char *path, vt_tokenizer **out, vt_err *err) VT_MUST_USE; /* tokenizer.json */
void vt_tokenizer_free(vt_tokenizer *t); /* only for tokenizers not owned by a checkpoint */

#endif
