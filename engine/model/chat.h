/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.h: chat formats as plain renderers (no Jinja): ChatML (SmolLM2, Qwen2, Qwen2.5, Qwen3), Llama 3, Harmony. Each
 * is checked against goldens rendered from the original templates. reference/policy.md section 3.5.
 */
#ifndef VT_MODEL_CHAT_H
#define VT_MODEL_CHAT_H

#include "base/buf.h"
#include "model/ckpt.h"

enum vt_chat {
    VT_CHAT_SMOLLM2,
    VT_CHAT_CHATML, /* no default system turn: Qwen3-2507 */
    VT_CHAT_QWEN2,
    VT_CHAT_QWEN25,
    VT_CHAT_QWEN3,
    VT_CHAT_LLAMA3,  /* no system turn of its own */
    VT_CHAT_LLAMA31, /* Llama 3.1 and 3.2: a system turn with dates, always */
    VT_CHAT_HARMONY
};
struct vt_message {
    const char *role, *content; /* role: system, user, assistant */
};
/* The format of the checkpoint's template, known by the digest of the whole text. EUNSUPPORTED says what to do. */
vt_status vt_chat_of(const vt_ckpt *c, enum vt_chat *out, vt_err *err) VT_MUST_USE;
/* The format a user named (--chat); NULL or "": vt_chat_of. EUNSUPPORTED when the tokenizer lacks its tokens. */
vt_status vt_chat_pick(const vt_ckpt *c, const char *name, enum vt_chat *out, vt_err *err) VT_MUST_USE;
vt_status vt_chat_named(const char *name, enum vt_chat *out, vt_err *err) VT_MUST_USE;
const char *vt_chat_name(enum vt_chat chat);
/* SHA-256 of a template, less one newline at its end; whether a digest is known. */
void vt_chat_digest(const char *template, char out[65]);
bool vt_chat_known(const char *digest, enum vt_chat *out);
vt_status vt_chat_render(enum vt_chat chat, const struct vt_message *m, size_t n, bool generation_prompt,
                         const char *reasoning, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* A short conversation that shows default turns, spaces and ends. */
vt_status vt_chat_probe(enum vt_chat chat, struct vt_buf *out, vt_err *err) VT_MUST_USE;
const char *vt_chat_stop(enum vt_chat chat); /* "<|im_end|>" … the text of the token that ends a turn */
const char *vt_chat_bos(enum vt_chat chat);  /* what stands before the first turn; NULL: nothing */

#endif
