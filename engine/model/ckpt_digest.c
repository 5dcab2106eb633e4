/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_digest.c: what a file is, by its content. SHA-256 of 98 MB takes longer than opening the model, so a digest is
 * kept in the cache folder under the file's device, inode, size and its two times: mtime can be set back by whoever
 * copies a file over another, ctime cannot. A file that was changed less than RACY_S ago is hashed but not remembered,
 * since a second change within one tick of the clock would leave both times as they are, and a small one is hashed
 * every time. There are N_SLOTS places for digests, each of which holds the last of the files that share it, so the
 * folder does not grow with every file that was ever read.
 *
 * The weights of an open checkpoint are read from a mapping while its digest names packed weights in the cache. Both
 * must speak of one content, so the identity is taken when the file is mapped, and a digest of a file that has another
 * identity now is refused: never packs of old weights with norms of new ones.
 *
 * The digest of a GGUF file is that of its bytes, which hold the config too. A Hugging Face folder has its config in
 * another file; the values that were read from it enter the digest, because the same weights under another rope base
 * are another model.
 */
#include "model/ckpt_parts.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { RACY_S = 2, SMALL = 64 << 10, SLOT_DIGITS = 3 /* hexadecimal: 4096 places */ };

struct slot {
    char *path;
    char key[VT_SHA256_HEX]; /* names the file as it is now */
};

vt_status vt_file_id_of(const char *path, struct vt_file_id *out, vt_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return vt_fail(err, VT_EIO, "cannot read the size and times of %s", path);
    *out = (struct vt_file_id){.device = (uint64_t)st.st_dev,
                               .inode = (uint64_t)st.st_ino,
                               .size = (uint64_t)st.st_size,
                               .mtime_s = (int64_t)st.st_mtim.tv_sec,
                               .mtime_ns = (int64_t)st.st_mtim.tv_nsec,
                               .ctime_s = (int64_t)st.st_ctim.tv_sec,
                               .ctime_ns = (int64_t)st.st_ctim.tv_nsec};
    return VT_OK;
}

static bool is_same_file(const struct vt_file_id *a, const struct vt_file_id *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_s == b->mtime_s &&
           a->mtime_ns == b->mtime_ns && a->ctime_s == b->ctime_s && a->ctime_ns == b->ctime_ns;
}

vt_status vt_file_id_check(const char *path, const struct vt_file_id *id, vt_err *err)
{
    struct vt_file_id now;
    VT_TRY(vt_file_id_of(path, &now, err));
    if (!is_same_file(id, &now))
        return vt_fail(err, VT_EIO, "%s was changed or replaced while it was being read; open the model again", path);
    return VT_OK;
}

/* Where the digest of a file is kept, and under which key: what would change if the file did. */
static vt_status find_slot(const struct vt_file_id *id, struct slot *out, vt_err *err)
{
    char name[32], *dir = NULL;
    struct vt_sha256 h;
    VT_TRY(vt_cache_dir(&dir, err));
    vt_sha256_init(&h);
    vt_hash_u64(&h, "device", id->device);
    vt_hash_u64(&h, "inode", id->inode);
    vt_hash_u64(&h, "size", id->size);
    vt_hash_u64(&h, "mtime_s", (uint64_t)id->mtime_s);
    vt_hash_u64(&h, "mtime_ns", (uint64_t)id->mtime_ns);
    vt_hash_u64(&h, "ctime_s", (uint64_t)id->ctime_s);
    vt_hash_u64(&h, "ctime_ns", (uint64_t)id->ctime_ns);
    vt_sha256_hex(&h, out->key);
    snprintf(name, sizeof name, "digests/%.*s", (int)SLOT_DIGITS, out->key);
    out->path = vt_path_join(dir, name);
    free(dir);
    return out->path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for the digest of a file");
}

/* Keeping the digest only saves time, so a cache folder that cannot be written does not fail the call. */
static void keep(const struct slot *slot, const char *hex)
{
    const char *slash = strrchr(slot->path, '/');
    char *dir = slash ? vt_strndup(slot->path, (size_t)(slash - slot->path)) : NULL, text[2 * VT_SHA256_HEX];
    if (dir && vt_fs_mkdir_p(dir, NULL) == VT_OK) {
        int n = snprintf(text, sizeof text, "%s %s", slot->key, hex);
        vt_status ignored = vt_fs_write_atomic(slot->path, text, (size_t)n, NULL);
        (void)ignored;
    }
    free(dir);
}

static bool recall(const struct slot *slot, char out[65])
{
    enum { HEX = VT_SHA256_HEX - 1 };
    struct vt_buf b;
    if (!vt_fs_exists(slot->path) || vt_fs_read(slot->path, 256, &b, NULL) != VT_OK)
        return false;
    bool is_sound = b.len == 2 * HEX + 1 && memcmp(b.p, slot->key, HEX) == 0 && b.p[HEX] == ' ' &&
                    strspn(b.p + HEX + 1, "0123456789abcdef") == HEX;
    if (is_sound)
        memcpy(out, b.p + HEX + 1, VT_SHA256_HEX);
    vt_buf_free(&b);
    return is_sound;
}

/* The digest of the file at path while it has this identity. */
static vt_status digest_of(const char *path, const struct vt_file_id *id, char out[65], vt_err *err)
{
    struct slot slot = {0};
    int64_t now = (int64_t)time(NULL);
    bool is_settled = id->mtime_s + RACY_S <= now && id->ctime_s + RACY_S <= now;
    VT_TRY(vt_file_id_check(path, id, err));
    if (id->size < SMALL || find_slot(id, &slot, NULL) != VT_OK)
        slot.path = NULL;
    vt_status status = VT_OK;
    if (!slot.path || !recall(&slot, out)) {
        status = vt_sha256_file(path, out, err);
        if (status == VT_OK)
            status = vt_file_id_check(path, id, err);
        if (status == VT_OK && slot.path && is_settled)
            keep(&slot, out);
    }
    free(slot.path);
    return status;
}

vt_status vt_file_digest(const char *path, char out[65], vt_err *err)
{
    struct vt_file_id id;
    VT_TRY(vt_file_id_of(path, &id, err));
    return digest_of(path, &id, out, err);
}

vt_status vt_ckpt_unchanged(const vt_ckpt *c, vt_err *err)
{
    for (size_t i = 0; i < c->n_files; i++)
        VT_TRY(vt_file_id_check(c->files[i].path, &c->files[i].id, err));
    return VT_OK;
}

/* Every value of the config that the engine computes with. */
static void hash_config(struct vt_sha256 *h, const struct vt_lm_config *g)
{
    const struct {
        const char *name;
        double value;
    } values[] = {
        {"arch", (double)g->arch},
        {"n_layers", g->n_layers},
        {"d_model", g->d_model},
        {"d_ff", g->d_ff},
        {"n_heads", g->n_heads},
        {"n_kv_heads", g->n_kv_heads},
        {"head_dim", g->head_dim},
        {"n_vocab", g->n_vocab},
        {"n_ctx", g->n_ctx},
        {"rms_eps", (double)g->rms_eps},
        {"rope_theta", (double)g->rope_theta},
        {"rope_factor", (double)g->rope_factor},
        {"rope_low", (double)g->rope_low},
        {"rope_high", (double)g->rope_high},
        {"rope_orig_ctx", g->rope_orig_ctx},
        {"tied", g->tied},
        {"qkv_bias", g->qkv_bias},
        {"qk_norm", g->qk_norm},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        vt_hash_f64(h, values[i].name, values[i].value);
}

vt_status vt_ckpt_digest(const vt_ckpt *c, char out[65], vt_err *err)
{
    if (c->gguf)
        return digest_of(c->files[0].path, &c->files[0].id, out, err);
    struct vt_sha256 h;
    vt_sha256_init(&h);
    hash_config(&h, &c->cfg);
    for (size_t i = 0; i < c->n_files; i++) {
        char hex[VT_SHA256_HEX];
        VT_TRY(digest_of(c->files[i].path, &c->files[i].id, hex, err));
        vt_hash_str(&h, "file", hex);
    }
    vt_sha256_hex(&h, out);
    return VT_OK;
}
