/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_text.c: policy_text.h over engine/model's tokenizer and chat formats; results are copied out of growing
 * buffers with a cap.
 */
#include "policy/policy_text.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "model/tokenizer_files.h"
#include <stdlib.h>
#include <string.h>

vt_status vt_policy_text_of(const vt_ckpt *c, const char *path, const char *chat, struct vt_policy_text *out,
                            vt_err *err)
{
    *out = (struct vt_policy_text){.tokenizer = vt_ckpt_tokenizer(c)};
    if (!out->tokenizer)
        return vt_fail(err, VT_EFORMAT, "the model %s comes without a tokenizer: put its tokenizer.json beside it",
                       path);
    out->has_chat = vt_chat_pick(c, chat, &out->chat, &out->why_no_chat) == VT_OK;
    if (!out->has_chat && chat && chat[0])
        return vt_chat_pick(c, chat, &out->chat, err); /* what was asked for must be had */
    return VT_OK;
}

/* --- a tokenizer without a model --- */

/* The folder that holds tokenizer.json, malloc'd: path itself, or what it lies in. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (vt_fs_is_dir(path))
        return vt_strdup(path);
    return !slash ? vt_strdup(".") : slash == path ? vt_strdup("/") : vt_strndup(path, (size_t)(slash - path));
}

/* The format by name, or by the template that lies beside the tokenizer. */
static vt_status pick_chat(struct vt_policy_text *t, const char *path, const char *chat, const char *template,
                           vt_err *err)
{
    char digest[65];
    const char *stop;

    if (chat && chat[0]) {
        VT_TRY(vt_chat_named(chat, &t->chat, err));
        stop = vt_chat_stop(t->chat);
        if (t->tokenizer && vt_tokenizer_find(t->tokenizer, stop, strlen(stop)) < 0)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "the chat format %s cannot be used with the tokenizer %s: it has no token %s, which ends a "
                           "turn",
                           chat, path, stop);
        t->has_chat = true;
        return VT_OK;
    }
    vt_chat_digest(template, digest);
    t->has_chat = template[0] && vt_chat_known(digest, &t->chat);
    if (!t->has_chat)
        vt_fail(&t->why_no_chat, VT_EUNSUPPORTED, "%s: name the model's chat format with --chat",
                path ? "the tokenizer comes without a chat template that vegttt knows"
                     : "the server's chat template is not known here");
    return VT_OK;
}

static vt_status open_folder(const char *path, const char *chat, struct vt_policy_text *out, vt_err *err)
{
    const struct vt_ids ends = {0};
    char *dir = folder_of(path), *template = NULL;
    vt_status status = dir ? vt_tokenizer_open(dir, &ends, &out->owned_tokenizer, &template, err)
                           : vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", path);

    if (status == VT_OK && !out->owned_tokenizer)
        status = vt_fail(err, VT_ENOENT, "there is no tokenizer.json in %s", dir);
    out->tokenizer = out->owned_tokenizer;
    if (status == VT_OK)
        status = pick_chat(out, path, chat, template, err);
    free(dir);
    free(template);
    return status;
}

vt_status vt_policy_text_open(const char *path, const char *chat, struct vt_policy_text *out, vt_err *err)
{
    const size_t n = path ? strlen(path) : 0;

    *out = (struct vt_policy_text){0};
    if (!path)
        return pick_chat(out, NULL, chat, "", err);
    if (n > 5 && strcmp(path + n - 5, ".gguf") == 0) {
        VT_TRY(vt_ckpt_open(path, &out->owned_ckpt, err));
        vt_ckpt *c = out->owned_ckpt;
        vt_status status = vt_policy_text_of(c, path, chat, out, err);

        out->owned_ckpt = c;
        return status;
    }
    return open_folder(path, chat, out, err);
}

void vt_policy_text_close(struct vt_policy_text *t)
{
    vt_ckpt_free(t->owned_ckpt);
    vt_tokenizer_free(t->owned_tokenizer);
    *t = (struct vt_policy_text){0};
}

/* A GGUF's own digest covers these; a folder has them in files beside the tensors, a server's model here only. */
void vt_policy_text_digest(const vt_tokenizer *t, char out[65])
{
    struct vt_sha256 h;
    size_t n_ends = 0;

    vt_sha256_init(&h);
    for (int32_t id = 0; t && id < vt_tokenizer_size(t); id++) {
        size_t len = 0;
        const char *bytes = vt_tokenizer_bytes(t, id, &len);
        vt_hash_field(&h, vt_tokenizer_is_control(t, id) ? "control" : "token", bytes ? bytes : "", bytes ? len : 0);
    }
    const int32_t *ends = t ? vt_tokenizer_ends(t, &n_ends) : NULL;
    for (size_t i = 0; i < n_ends; i++)
        vt_hash_u64(&h, "end", (uint64_t)ends[i]);
    vt_sha256_hex(&h, out);
}

/* --- tokens and turns --- */

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

    if (!t->has_chat) {
        if (err)
            *err = t->why_no_chat;
        return t->why_no_chat.code;
    }
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
