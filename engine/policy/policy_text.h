/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_text.h: the text side of a policy whose tokenizer is on this machine: tokens, and messages as a prompt.
 * Thread-safe.
 */
#ifndef VT_POLICY_POLICY_TEXT_H
#define VT_POLICY_POLICY_TEXT_H

#include "model/chat.h"
#include "model/tokenizer.h"

struct vt_policy_text {
    const vt_tokenizer *tokenizer; /* NULL: none is here, there are no tokens */
    enum vt_chat chat;
    bool has_chat;
    vt_err why_no_chat;
    vt_ckpt *owned_ckpt; /* what a text of its own files keeps */
    vt_tokenizer *owned_tokenizer;
};

/* Of a checkpoint, which must outlive it; refuses one without a tokenizer. chat: a format's name that must be had, or
 * NULL or "": the template's, if it is known. */
vt_status vt_policy_text_of(const vt_ckpt *c, const char *path, const char *chat, struct vt_policy_text *out,
                            vt_err *err) VT_MUST_USE;
/* Of files that may hold no weights: a .gguf file, a folder with tokenizer.json, or that file; released by close. path
 * NULL: no tokenizer, and a chat format only where one is named. */
vt_status vt_policy_text_open(const char *path, const char *chat, struct vt_policy_text *out, vt_err *err) VT_MUST_USE;
void vt_policy_text_close(struct vt_policy_text *t);
/* The bytes of every token, which of them are control tokens and which end an answer; of NULL too. */
void vt_policy_text_digest(const vt_tokenizer *t, char out[65]);
/* Results are malloc'd. */
vt_status vt_policy_text_encode(const struct vt_policy_text *t, const char *text, size_t len, bool special,
                                int32_t **ids, size_t *n, vt_err *err) VT_MUST_USE;
vt_status vt_policy_text_decode(const struct vt_policy_text *t, const int32_t *ids, size_t n, char **text, size_t *len,
                                vt_err *err) VT_MUST_USE;
/* Refused when the model's chat format is not known. */
vt_status vt_policy_text_render(const struct vt_policy_text *t, const char *const *roles, const char *const *contents,
                                size_t n, bool generation_prompt, const char *reasoning, char **text,
                                vt_err *err) VT_MUST_USE;

#endif
