/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_known.c: which chat format a checkpoint uses. A template is recognised by the SHA-256 of its whole text (less
 * one newline at its end, which Jinja drops), because two templates with the same markers can differ in a default
 * system turn, a token in front, a date or a trimmed space, and each difference is another prompt. The table holds the
 * templates that were seen to render the goldens to the byte (tests/golden/make_chat.py).
 *
 * A format whose turns begin with the tokenizer's own bos_token is that format only with that token.
 *
 * An unknown template is refused in a sentence that offers a choice by name; `vegttt model check` then compares the
 * choice with what the user's own transformers renders.
 */
#include "model/chat.h"

#include "base/sha256.h"
#include "model/tokenizer.h"

#include <string.h>

static const struct {
    const char *digest;
    enum vt_chat chat;
} known[] = {
    {"55b2f4a26ac9ee719330a61a0c39d9e538b0e9322212f048326318cff4f8674a", VT_CHAT_QWEN25}, /* qwen2_5.jinja */
    {"64f85b198065d0fba2a81f37e10ed68161ce2c19a754c7100e67e0ca2ee9c326",
     VT_CHAT_CHATML}, /* qwen3_instruct_2507.jinja */
    {"153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3",
     VT_CHAT_CHATML}, /* ChatML of the transformers manual */
    {"58c1a1f04baa7adaeaba1f90267c3d57d9396f0c1f0129bdde9e76d3c6784af7",
     VT_CHAT_CHATML}, /* ChatML of the transformers manual, absent prompt flag */
    {"a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8", VT_CHAT_QWEN3},   /* qwen3.jinja */
    {"d82792f95932f1c9cef5c4bd992f171225e3bf8c7b609b4557c9e1ec96be819f", VT_CHAT_LLAMA31}, /* llama3_2.jinja */
    {"93c0e9aa3629bbd77e68dbc0f5621f6e6b23aa8d74b932595cdb8d64684526d7", VT_CHAT_LLAMA31}, /* llama3_1.jinja */
    {"a4c9919cbbd4acdd51ccffe22da049264b1b73e59055fa58811a99efbd7c8146", VT_CHAT_HARMONY}, /* gptoss.jinja */
    {"ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122", VT_CHAT_LLAMA3},  /* llama3.jinja */
    {"793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb", VT_CHAT_QWEN2},   /* Qwen2-Instruct */
    {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788", VT_CHAT_SMOLLM2}, /* SmolLM2-Instruct */
};

/* Names that a user can give. */
static const char *const names[] = {
    [VT_CHAT_SMOLLM2] = "smollm2",  [VT_CHAT_CHATML] = "chatml",  [VT_CHAT_QWEN2] = "qwen2",
    [VT_CHAT_QWEN25] = "qwen2.5",   [VT_CHAT_QWEN3] = "qwen3",    [VT_CHAT_LLAMA3] = "llama3",
    [VT_CHAT_LLAMA31] = "llama3.1", [VT_CHAT_HARMONY] = "harmony"};
enum { N_KNOWN = sizeof known / sizeof known[0], N_NAMES = sizeof names / sizeof names[0] };
#define ALL_NAMES "smollm2, chatml, qwen2, qwen2.5, qwen3, llama3, llama3.1 or harmony"
#define OFFER                                                                                                          \
    "if you know its format, say --chat FAMILY (" ALL_NAMES "), and compare the two with vegttt model check; else "    \
    "build the prompt's text yourself"

const char *vt_chat_name(enum vt_chat chat)
{
    return names[chat];
}

vt_status vt_chat_named(const char *name, enum vt_chat *out, vt_err *err)
{
    for (int i = 0; i < N_NAMES; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (enum vt_chat)i;
            return VT_OK;
        }
    return vt_fail(err, VT_EINVAL, "there is no chat format \"%.40s\"; vegttt has " ALL_NAMES, name);
}

void vt_chat_digest(const char *template, char out[65])
{
    size_t n = strlen(template);
    vt_sha256_of(template, n > 0 && template[n - 1] == '\n' ? n - 1 : n, out);
}

bool vt_chat_known(const char *digest, enum vt_chat *out)
{
    for (int i = 0; i < N_KNOWN; i++)
        if (strcmp(known[i].digest, digest) == 0) {
            *out = known[i].chat;
            return true;
        }
    return false;
}

static vt_status check_bos(const vt_ckpt *c, enum vt_chat chat, vt_err *err)
{
    const char *bos = vt_chat_bos(chat);
    const vt_tokenizer *t = vt_ckpt_tokenizer(c);
    if (!bos || !t)
        return VT_OK;
    int32_t id = vt_tokenizer_find(t, bos, strlen(bos));
    if (id >= 0 && vt_tokenizer_bos_token(t) == id)
        return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED,
                   "the chat template of %s begins with the tokenizer's bos_token, which is not %s there; " OFFER,
                   vt_ckpt_name(c), bos);
}

vt_status vt_chat_of(const vt_ckpt *c, enum vt_chat *out, vt_err *err)
{
    const char *t = vt_ckpt_chat_template(c);
    char digest[65];
    if (t[0] == '\0')
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s carries no chat template; " OFFER, vt_ckpt_name(c));
    vt_chat_digest(t, digest);
    if (!vt_chat_known(digest, out))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the chat template of %s (SHA-256 %.12s…) is none that vegttt knows, and templates that look "
                       "alike render differently; " OFFER,
                       vt_ckpt_name(c), digest);
    return check_bos(c, *out, err);
}

vt_status vt_chat_pick(const vt_ckpt *c, const char *name, enum vt_chat *out, vt_err *err)
{
    if (!name || !name[0])
        return vt_chat_of(c, out, err);
    VT_TRY(vt_chat_named(name, out, err));
    const char *stop = vt_chat_stop(*out);
    const vt_tokenizer *t = vt_ckpt_tokenizer(c);
    if (t && vt_tokenizer_find(t, stop, strlen(stop)) < 0)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the model %s cannot use the chat format %s: its tokenizer has no token %s, which ends a turn",
                       vt_ckpt_name(c), name, stop);
    return VT_OK;
}

vt_status vt_chat_probe(enum vt_chat chat, struct vt_buf *out, vt_err *err)
{
    static const struct vt_message m[] = {{"user", " One? "}, {"assistant", "Yes."}, {"user", "Two?"}};
    return vt_chat_render(chat, m, sizeof m / sizeof m[0], true, NULL, out, err);
}
