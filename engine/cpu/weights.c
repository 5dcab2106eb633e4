/* SPDX-License-Identifier: Apache-2.0
 *
 * weights.c: the forward packs of a whole checkpoint as one file in the cache folder, mmapped, so that opening a model
 * once packed costs milliseconds and processes share its pages. Packing is deterministic; the file's name is a hash of
 * the checkpoint's digest, the precision and LAYOUT_VERSION.
 *
 * File: a header, a table with one record per matrix, the matrices on 64-byte borders. Opening compares the table with
 * the one the checkpoint's own tensors give (names, shapes, layouts, offsets) and checks a 64-bit sum of the table and
 * of every matrix, which reads each byte once. Anything unexpected: the file is packed again.
 */
#include "cpu/kernels.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "cpu/layout.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYOUT_VERSION = 3 };
static const char magic[8] = "vtpack1";

struct record {
    char name[96];
    uint64_t offset, n_bytes, sum;
    int32_t layout, n_out, n_in, reserved;
};
struct header {
    char magic[8];
    uint64_t n_records, n_bytes, table_sum;
};

struct vt_pack {
    struct vt_map map;
    bool is_in_memory; /* map.p is a buffer of ours, not a mapping */
    const struct record *records;
    struct vt_matrix *matrices;
    size_t n;
};

/* Four interleaved multiply-xor chains over 8-byte words (n is a multiple of 32); catches flipped, moved and missing
 * bytes, not an adversary: whoever can write the cache folder can write the model too. */
static uint64_t words_sum(const void *bytes, size_t n)
{
    uint64_t s[4] = {1, 2, 3, 4}, w[4];
    for (size_t i = 0; i + sizeof w <= n; i += sizeof w) {
        memcpy(w, (const unsigned char *)bytes + i, sizeof w);
        for (int j = 0; j < 4; j++) {
            s[j] = (s[j] ^ w[j]) * 0x9e3779b97f4a7c15u;
            s[j] ^= s[j] >> 29;
        }
    }
    return s[0] ^ s[1] << 1 ^ s[2] << 2 ^ s[3] << 3;
}

/* Fills the table for the two-dimensional tensors of c: everything but the sums. *total: bytes of the whole file. */
static vt_status table_make(const vt_ckpt *c, enum vt_lm_precision p, struct record **out, size_t *n_out,
                            uint64_t *total, vt_err *err)
{
    size_t n = vt_ckpt_n_tensors(c), used = 0;
    struct record *t = vt_alloc_array(n + 1, sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "packing the weights of %s: no memory for a table of %zu tensors.",
                       vt_ckpt_name(c), n);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct vt_tensor *x = vt_ckpt_tensor_at(c, i);
        if (x->n_dims != 2)
            continue;
        struct record *r = &t[used++];
        if (strlen(x->name) >= sizeof r->name || x->shape[0] > INT32_MAX || x->shape[1] > INT32_MAX) {
            free(t);
            return vt_fail(err, VT_EFORMAT,
                           "packing the weights of %s: the tensor %.80s has too long a name or too many rows.",
                           vt_ckpt_name(c), x->name);
        }
        memcpy(r->name, x->name, strlen(x->name));
        r->n_out = (int32_t)x->shape[0];
        r->n_in = (int32_t)x->shape[1];
        r->layout = (int32_t)vt_layout_of(p, x->dtype);
        r->n_bytes = vt_matrix_bytes((enum vt_layout)r->layout, r->n_out, r->n_in);
        r->offset = at;
        at += r->n_bytes;
    }
    uint64_t first = (sizeof(struct header) + used * sizeof *t + 63) / 64 * 64;
    for (size_t i = 0; i < used; i++)
        t[i].offset += first;
    *out = t;
    *n_out = used;
    *total = first + at;
    return VT_OK;
}

static vt_status file_name(const vt_ckpt *c, enum vt_lm_precision p, char **out, vt_err *err)
{
    char digest[65], key[VT_SHA256_HEX], leaf[VT_SHA256_HEX + 8];
    char *cache = NULL, *folder = NULL;
    VT_TRY(vt_ckpt_digest(c, digest, err));
    struct vt_sha256 h;
    vt_sha256_init(&h);
    vt_hash_str(&h, "checkpoint", digest);
    vt_hash_u64(&h, "precision", (uint64_t)p);
    vt_hash_u64(&h, "layout", LAYOUT_VERSION);
    vt_sha256_hex(&h, key);
    VT_TRY(vt_cache_dir(&cache, err));
    folder = vt_path_join(cache, "packed");
    free(cache);
    if (!folder)
        return vt_fail(err, VT_ENOMEM, "naming the packed weights of %s: no memory.", vt_ckpt_name(c));
    vt_status s = vt_fs_mkdir_p(folder, err);
    snprintf(leaf, sizeof leaf, "%.64s.pack", key);
    *out = s == VT_OK ? vt_path_join(folder, leaf) : NULL;
    free(folder);
    if (s == VT_OK && !*out)
        return vt_fail(err, VT_ENOMEM, "naming the packed weights of %s: no memory.", vt_ckpt_name(c));
    return s;
}

/* Packs every tensor into one new buffer laid out as the file. */
static vt_status file_make(const vt_ckpt *c, struct record *t, size_t n, uint64_t total, unsigned char **out,
                           vt_err *err)
{
    unsigned char *bytes = total <= SIZE_MAX ? vt_alloc_aligned(64, (size_t)total) : NULL;
    if (!bytes)
        return vt_fail(err, VT_ENOMEM, "packing the weights of %s: it needs %llu bytes.", vt_ckpt_name(c),
                       (unsigned long long)total);
    vt_status s = VT_OK;
    struct header h = {.n_records = n, .n_bytes = total};
    memcpy(h.magic, magic, sizeof magic);
    for (size_t i = 0; i < n && s == VT_OK; i++) {
        struct vt_matrix w;
        s = vt_matrix_pack(vt_ckpt_tensor(c, t[i].name), (enum vt_layout)t[i].layout, bytes + t[i].offset, &w, err);
        t[i].sum = s == VT_OK ? words_sum(bytes + t[i].offset, (size_t)t[i].n_bytes) : 0;
    }
    if (s != VT_OK) {
        free(bytes);
        return s;
    }
    size_t table_end = sizeof h + n * sizeof *t;
    uint64_t first = n ? t[0].offset : total;
    h.table_sum = words_sum(t, n * sizeof *t);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + sizeof h, t, n * sizeof *t);
    memset(bytes + table_end, 0, (size_t)first - table_end);
    *out = bytes;
    return VT_OK;
}

/* Whether the mapped file is what table_make promised, checksums included. */
static bool file_is_sound(const struct vt_map *map, const struct record *want, size_t n, uint64_t total)
{
    struct header h;
    if (map->len != total || map->len < sizeof h)
        return false;
    memcpy(&h, map->p, sizeof h);
    const struct record *have = (const struct record *)(const void *)(map->p + sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.n_records != n || h.n_bytes != total ||
        h.table_sum != words_sum(have, n * sizeof *have))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct record r = have[i];
        r.sum = 0;
        if (memcmp(&r, &want[i], sizeof r) != 0 || have[i].sum != words_sum(map->p + r.offset, (size_t)r.n_bytes))
            return false;
    }
    return true;
}

/* Maps path when it holds what the table says. */
static bool file_open(const char *path, const struct record *want, size_t n, uint64_t total, struct vt_map *map)
{
    vt_err ignored;
    if (!vt_fs_exists(path) || vt_map_open(path, map, &ignored) != VT_OK)
        return false;
    if (file_is_sound(map, want, n, total))
        return true;
    vt_map_close(map);
    return false;
}

/* The bytes of the pack: the cached file, mapped; or packed now, written to the cache and mapped; or, when the cache
 * cannot be written (full disk, read-only home), kept in memory. */
static vt_status pack_load(struct vt_pack *k, const vt_ckpt *c, enum vt_lm_precision p, vt_err *err)
{
    struct record *table = NULL;
    unsigned char *bytes = NULL;
    char *path = NULL;
    uint64_t total = 0;
    vt_err ignored;
    vt_status s = table_make(c, p, &table, &k->n, &total, err);
    if (s != VT_OK)
        return s;
    bool has_path = file_name(c, p, &path, &ignored) == VT_OK;
    if (has_path && file_open(path, table, k->n, total, &k->map))
        goto out;
    if ((s = file_make(c, table, k->n, total, &bytes, err)) != VT_OK)
        goto out;
    for (size_t i = 0; i < k->n; i++)
        table[i].sum = 0;
    if (has_path && vt_fs_write_atomic(path, bytes, (size_t)total, &ignored) == VT_OK &&
        file_open(path, table, k->n, total, &k->map))
        goto out;
    k->map = (struct vt_map){bytes, (size_t)total};
    k->is_in_memory = true;
    bytes = NULL;
out:
    free(table);
    free(bytes);
    free(path);
    return s;
}

vt_status vt_pack_open(const vt_ckpt *c, enum vt_lm_precision p, struct vt_pack **out, vt_err *err)
{
    struct vt_pack *k = vt_alloc(sizeof *k);
    vt_status s =
        k ? pack_load(k, c, p, err) : vt_fail(err, VT_ENOMEM, "opening the weights of %s: no memory.", vt_ckpt_name(c));
    if (s == VT_OK && !(k->matrices = vt_alloc_array(k->n + 1, sizeof *k->matrices)))
        s = vt_fail(err, VT_ENOMEM, "opening the weights of %s: no memory.", vt_ckpt_name(c));
    if (s != VT_OK) {
        vt_pack_close(k);
        return s;
    }
    k->records = (const struct record *)(const void *)(k->map.p + sizeof(struct header));
    for (size_t i = 0; i < k->n; i++) {
        const struct record *r = &k->records[i];
        k->matrices[i] = (struct vt_matrix){(enum vt_layout)r->layout, r->n_out, r->n_in, k->map.p + r->offset};
    }
    *out = k;
    return VT_OK;
}

void vt_pack_close(struct vt_pack *p)
{
    if (!p)
        return;
    if (p->is_in_memory)
        free((void *)(uintptr_t)p->map.p);
    else if (p->map.p)
        vt_map_close(&p->map);
    free(p->matrices);
    free(p);
}

const struct vt_matrix *vt_pack_matrix(const struct vt_pack *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->records[i].name, name) == 0)
            return &p->matrices[i];
    return NULL;
}

uint64_t vt_pack_bytes(const struct vt_pack *p)
{
    return p->map.len;
}
