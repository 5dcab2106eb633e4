/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt.c: one view of a checkpoint. Opens a file or a folder with the opener of its format, which translates it into
 * Hugging Face names, shapes and row order, and has the result checked (ckpt_weights.c); then lends what it holds.
 */
#include "model/ckpt_parts.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "model/dtype.h"
#include "model/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

/* The folder of a file path, malloc'd: "." when it has none. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return vt_strdup(".");
    return slash == path ? vt_strdup("/") : vt_strndup(path, (size_t)(slash - path));
}

static vt_status open_by_kind(vt_ckpt *c, const char *path, vt_err *err)
{
    if (vt_fs_is_dir(path))
        return vt_ckpt_open_hf(c, path, NULL, err);
    if (!vt_fs_exists(path))
        return vt_fail(err, VT_ENOENT, "cannot open model %s: there is no such file or folder", path);
    if (has_suffix(path, ".bin") || has_suffix(path, ".pt") || has_suffix(path, ".pth"))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s is a pickle, which runs code when it is read; save the model as safetensors", path);
    if (has_suffix(path, ".json") && !has_suffix(path, ".safetensors.index.json"))
        return vt_fail(err, VT_EUNSUPPORTED, "%s is a part of a model's folder; name the folder", path);
    if (!has_suffix(path, ".safetensors") && !has_suffix(path, ".safetensors.index.json"))
        return vt_ckpt_open_gguf(c, path, err);
    char *dir = folder_of(path);
    if (!dir)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    const char *slash = strrchr(path, '/');
    vt_status status = vt_ckpt_open_hf(c, dir, slash ? slash + 1 : path, err);
    free(dir);
    return status;
}

vt_status vt_ckpt_open(const char *path, vt_ckpt **out, vt_err *err)
{
    vt_ckpt *c = vt_alloc(sizeof *c);
    if (!c)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    vt_status status = VT_OK;
    c->path = vt_strdup(path);
    if (!c->path)
        status = vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    if (status == VT_OK)
        status = open_by_kind(c, path, err);
    if (status == VT_OK)
        status = vt_ckpt_check(c, err);
    if (status == VT_OK && c->tokenizer && vt_tokenizer_size(c->tokenizer) > c->cfg.n_vocab)
        status = vt_fail(err, VT_EFORMAT, "%s: its tokenizer has %d tokens but the embedding only %d rows", path,
                         vt_tokenizer_size(c->tokenizer), c->cfg.n_vocab);
    if (status != VT_OK) {
        vt_ckpt_free(c);
        return status;
    }
    *out = c;
    return VT_OK;
}

void vt_ckpt_free(vt_ckpt *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_tensors; i++)
        free((char *)c->tensors[i].name);
    for (size_t i = 0; i < c->n_files; i++)
        free(c->files[i].path);
    for (size_t i = 0; i < c->n_shards; i++)
        vt_st_free(c->shards[i]);
    vt_gguf_free(c->gguf);
    vt_tokenizer_free(c->tokenizer);
    free(c->tensors);
    free(c->files);
    free(c->shards);
    free(c->chat_template);
    free(c->name);
    free(c->path);
    free(c);
}

const struct vt_lm_config *vt_ckpt_config(const vt_ckpt *c)
{
    return &c->cfg;
}

const vt_tokenizer *vt_ckpt_tokenizer(const vt_ckpt *c)
{
    return c->tokenizer;
}

const char *vt_ckpt_chat_template(const vt_ckpt *c)
{
    return c->chat_template ? c->chat_template : "";
}

const char *vt_ckpt_name(const vt_ckpt *c)
{
    return c->name ? c->name : "";
}
