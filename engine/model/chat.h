/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.h: chat formats as plain renderers (no Jinja): ChatML (SmolLM2, Qwen2.5, Qwen3), Llama 3, Harmony. Each is
 * checked against goldens rendered from the original templates. reference/policy.md section 3.5.
 */
#ifndef VT_MODEL_CHAT_H
#define VT_MODEL_CHAT_H

#include "base/buf.h"
#include "model/ckpt.h"

enum vt_chat { VT_CHAT_SMOLLM2, VT_CHAT_CHATML, VT_CHAT_QWEN25, VT_CHAT_QWEN3, VT_CHAT_LLAMA3, VT_CHAT_HARMONY };
struct vt_message {
    const char *role, *content; /* role: system, user, assistant */
};
/* Recognises the format from the checkpoint's template and architecture. EUNSUPPORTED names what was seen. */
vt_status vt_chat_of(const vt_ckpt *c, enum vt_chat *out, vt_err *err) VT_MUST_USE;
vt_status vt_chat_render(enum vt_chat chat, const struct vt_message *m, size_t n, bool generation_prompt,
                         const char *reasoning, struct vt_buf *out, vt_err *err) VT_MUST_USE;
const char *vt_chat_stop(enum vt_chat chat); /* "<|im_end|>" … the text of the token that ends a turn */

#endif
