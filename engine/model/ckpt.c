/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt.c: one view of a checkpoint. Opens a file or a folder with the opener of its format, which translates it into
 * Hugging Face names, shapes and row order, and has the result checked (ckpt_weights.c); then lends what it holds.
 *
 * Digest: SHA-256 of the weight file; of several, of their framed digests in shard order. Reading 98 MB takes longer
 * than opening the model, so it is kept in the cache folder under a name made of path, size and modification time.
 */
#include "model/ckpt_parts.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "model/dtype.h"
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
        return vt_ckpt_open_hf(c, path, err);
    if (!vt_fs_exists(path))
        return vt_fail(err, VT_ENOENT, "cannot open model %s: there is no such file or folder", path);
    if (!has_suffix(path, ".safetensors"))
        return vt_ckpt_open_gguf(c, path, err);
    char *dir = folder_of(path);
    if (!dir)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    vt_status status = vt_ckpt_open_hf(c, dir, err);
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
        free(c->files[i]);
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

static bool is_digest(const struct vt_buf *b)
{
    if (b->len != VT_SHA256_HEX - 1)
        return false;
    for (size_t i = 0; i < b->len; i++)
        if (!strchr("0123456789abcdef", b->p[i]))
            return false;
    return true;
}

/* Path of the cached digest of a file: named by what would change if the file did. */
static vt_status digest_cache_path(const char *file, char **out, vt_err *err)
{
    struct stat st;
    if (stat(file, &st) != 0)
        return vt_fail(err, VT_EIO, "cannot read the size and time of %s", file);
    char *full = realpath(file, NULL), *dir = NULL;
    vt_status status = vt_cache_dir(&dir, err);
    if (status == VT_OK) {
        struct vt_sha256 h;
        char hex[VT_SHA256_HEX], name[VT_SHA256_HEX + 16];
        vt_sha256_init(&h);
        vt_hash_str(&h, "path", full ? full : file);
        vt_hash_u64(&h, "size", (uint64_t)st.st_size);
        vt_hash_u64(&h, "mtime_s", (uint64_t)st.st_mtim.tv_sec);
        vt_hash_u64(&h, "mtime_ns", (uint64_t)st.st_mtim.tv_nsec);
        vt_sha256_hex(&h, hex);
        snprintf(name, sizeof name, "digests/%s", hex);
        *out = vt_path_join(dir, name);
        if (!*out)
            status = vt_fail(err, VT_ENOMEM, "out of memory for the digest of %s", file);
    }
    free(full);
    free(dir);
    return status;
}

/* Keeping the digest only saves time, so a cache folder that cannot be written does not fail the call. */
static void digest_keep(const char *cached, const char *hex)
{
    char *dir = folder_of(cached);
    if (dir && vt_fs_mkdir_p(dir, NULL) == VT_OK) {
        vt_status ignored = vt_fs_write_atomic(cached, hex, VT_SHA256_HEX - 1, NULL);
        (void)ignored;
    }
    free(dir);
}

vt_status vt_file_digest(const char *file, char out[65], vt_err *err)
{
    char *cached = NULL;
    struct vt_buf b;
    if (digest_cache_path(file, &cached, NULL) != VT_OK)
        return vt_sha256_file(file, out, err);
    vt_status status = VT_ENOENT;
    if (vt_fs_exists(cached) && vt_fs_read(cached, 256, &b, NULL) == VT_OK) {
        if (is_digest(&b)) {
            memcpy(out, b.p, VT_SHA256_HEX);
            status = VT_OK;
        }
        vt_buf_free(&b);
    }
    if (status != VT_OK) {
        status = vt_sha256_file(file, out, err);
        if (status == VT_OK)
            digest_keep(cached, out);
    }
    free(cached);
    return status;
}

vt_status vt_ckpt_digest(const vt_ckpt *c, char out[65], vt_err *err)
{
    if (c->n_files == 1)
        return vt_file_digest(c->files[0], out, err);
    struct vt_sha256 h;
    vt_sha256_init(&h);
    for (size_t i = 0; i < c->n_files; i++) {
        char hex[VT_SHA256_HEX];
        VT_TRY(vt_file_digest(c->files[i], hex, err));
        vt_hash_str(&h, "file", hex);
    }
    vt_sha256_hex(&h, out);
    return VT_OK;
}
