/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_text.c: policy_text.h over engine/model's tokenizer and chat formats; results are copied out of growing
 * buffers with a cap.
 */
#include "policy/policy_text.h"
#include "base/alloc.h"
#include "base/buf.h"
#include <stdlib.h>

vt_status vt_policy_text_of(const vt_ckpt *c, const char *path, const char *chat, struct vt_policy_text *out,
                            vt_err *err)
{
    vt_err ignored;

    out->ckpt = c;
    out->tokenizer = vt_ckpt_tokenizer(c);
    if (!out->tokenizer)
        return vt_fail(err, VT_EFORMAT, "the model %s comes without a tokenizer: put its tokenizer.json beside it",
                       path);
    out->has_chat = vt_chat_pick(c, chat, &out->chat, &ignored) == VT_OK;
    if (!out->has_chat && chat && chat[0])
        return vt_chat_pick(c, chat, &out->chat, err); /* what was asked for must be had */
    return VT_OK;
}

vt_status vt_policy_text_encode(const struct vt_policy_text *t, const char *text, size_t len, bool special,
                                int32_t **ids, size_t *n, vt_err *err)
{
    struct vt_ids list = {0};
    vt_status status = vt_tokenizer_encode(t->tokenizer, text, len, special, &list, err);

    if (status != VT_OK) {
        vt_ids_free(&list);
        return status;
    }
    if (!list.p)
        list.p = vt_alloc(1);
    if (!list.p)
        return vt_fail(err, VT_ENOMEM, "out of memory for token ids");
    *ids = list.p;
    *n = list.n;
    return VT_OK;
}

vt_status vt_policy_text_decode(const struct vt_policy_text *t, const int32_t *ids, size_t n, char **text, size_t *len,
                                vt_err *err)
{
    struct vt_buf b;
    vt_status status;

    vt_buf_init(&b, 64u << 20);
    status = vt_tokenizer_decode(t->tokenizer, ids, n, &b, err);
    if (status == VT_OK)
        status = vt_buf_check(&b, "the decoded text", err);
    if (status == VT_OK)
        *text = vt_buf_take(&b, len);
    vt_buf_free(&b);
    return status;
}

vt_status vt_policy_text_render(const struct vt_policy_text *t, const char *const *roles, const char *const *contents,
                                size_t n, bool generation_prompt, const char *reasoning, char **text, vt_err *err)
{
    struct vt_message *m;
    struct vt_buf b;
    vt_status status;

    enum vt_chat unknown;

    if (!t->has_chat)
        return vt_chat_of(t->ckpt, &unknown, err);
    m = vt_alloc_array(n ? n : 1, sizeof *m);
    if (!m)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu messages", n);
    for (size_t i = 0; i < n; i++)
        m[i] = (struct vt_message){.role = roles[i], .content = contents[i]};
    vt_buf_init(&b, 16u << 20);
    status = vt_chat_render(t->chat, m, n, generation_prompt, reasoning, &b, err);
    if (status == VT_OK)
        status = vt_buf_check(&b, "the rendered prompt", err);
    if (status == VT_OK)
        *text = vt_buf_take(&b, NULL);
    vt_buf_free(&b);
    free(m);
    return status;
}
