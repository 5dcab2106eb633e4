/* SPDX-License-Identifier: Apache-2.0
 *
 * content.c: the content store on plain files.
 *
 * The time of last modification of an object is its time of last use. Who uses an object opens it, takes a shared
 * flock, sets the time to now and reads through that descriptor; who trims opens it, takes an exclusive flock without
 * waiting, and removes it only when the time is still the listed one and the name still leads to the file that is
 * locked. A name changes its file by removal, which needs the exclusive lock, and by the hard link of a put, which
 * fails while the name is taken: so nothing can come between that check and the removal. A user whose open came before
 * the removal and whose lock came after sees a file without a name and looks again.
 */
#include "store/content.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIN_KEY = 8, MAX_KEY = 128, N_TRIES = 100, TRIM_EVERY_S = 24 * 3600 };

static const char *const kind_names[VT_CONTENT_N_KINDS] = {"build", "check", "sample"};

struct vt_content {
    char *dir;
    bool has_put;
};

vt_status vt_content_open(const char *dir, vt_content **out, vt_err *err)
{
    *out = NULL;
    char *cache = NULL;
    vt_status status = VT_OK;
    vt_content *c = vt_alloc(sizeof *c);
    if (!c)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening the content store");
    if (!dir && (status = vt_cache_dir(&cache, err)) != VT_OK)
        goto out;
    c->dir = dir ? vt_strdup(dir) : vt_path_join(cache, "store");
    if (!c->dir) {
        status = vt_fail(err, VT_ENOMEM, "out of memory while opening the content store");
        goto out;
    }
    if ((status = vt_fs_mkdir_p(c->dir, err)) != VT_OK)
        goto out;
    *out = c;
    c = NULL;
out:
    free(cache);
    vt_content_close(c);
    return status;
}

static bool is_old(const struct stat *st, uint64_t seconds)
{
    return (uint64_t)st->st_mtim.tv_sec + seconds < vt_wall_ns() / 1000000000;
}

/* True for the first caller of the day: the age of DIR/trimmed says when the last one was. */
static bool is_trim_due(const vt_content *c)
{
    char path[PATH_MAX];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/trimmed", c->dir) >= (int)sizeof path)
        return false;
    bool is_due = stat(path, &st) != 0 || is_old(&st, TRIM_EVERY_S);
    return is_due && vt_fs_write_atomic(path, "", 0, NULL) == VT_OK;
}

void vt_content_close(vt_content *c)
{
    if (!c)
        return;
    struct vt_content_listing l;
    if (c->has_put && is_trim_due(c) && vt_content_list(c, &l, NULL) == VT_OK) {
        vt_content_trim(&l, VT_CONTENT_MAX_BYTES, NULL);
        vt_content_listing_free(&l);
    }
    free(c->dir);
    free(c);
}

const char *vt_content_dir(const vt_content *c)
{
    return c->dir;
}

/* DIR/<kind>/<ab>/<key> in `out` (PATH_MAX bytes). */
static vt_status object_path(const vt_content *c, enum vt_content_kind kind, const char *key, char *out, vt_err *err)
{
    size_t len = strlen(key);
    if (len < MIN_KEY || len > MAX_KEY || strspn(key, "0123456789abcdef") != len)
        return vt_fail(err, VT_EINVAL, "'%.140s' is not a key of the content store: %d to %d hex digits", key,
                       (int)MIN_KEY, (int)MAX_KEY);
    int n = snprintf(out, PATH_MAX, "%s/%s/%.2s/%s", c->dir, kind_names[kind], key, key);
    if (n < 0 || n >= PATH_MAX)
        return vt_fail(err, VT_EINVAL, "the folder %.200s of the content store has too long a name", c->dir);
    return VT_OK;
}

/* Opens the object for use: locked against removal until *fd is closed, and now the most recently used one. */
static vt_status use_object(const char *path, int *fd, vt_err *err)
{
    for (int i = 0; i < N_TRIES; i++) {
        struct stat st;
        *fd = open(path, O_RDONLY | O_CLOEXEC);
        if (*fd < 0)
            return vt_fail(err, errno == ENOENT ? VT_ENOENT : VT_EIO, "cannot open %s: %s", path, strerror(errno));
        while (flock(*fd, LOCK_SH) != 0 && errno == EINTR)
            ; /* a file system without flock needs none: there a trim gets no lock either and removes nothing */
        if (fstat(*fd, &st) == 0 && st.st_nlink > 0) {
            futimens(*fd, NULL); /* a store that is read-only still answers; it only forgets the use */
            return VT_OK;
        }
        close(*fd);
        *fd = -1;
    }
    return vt_fail(err, VT_EIO, "cannot lock %s: it is removed as often as it is made", path);
}

/* Removes the file that fd, which it closes, holds open, if nobody else uses it and the name still leads to it. */
static void remove_damaged(const char *path, int fd)
{
    struct stat held, named;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && stat(path, &named) == 0 &&
        named.st_ino == held.st_ino && named.st_dev == held.st_dev)
        unlink(path);
    close(fd);
}

/* Takes the seal off; false when it is not that of the bytes before it. */
static bool unseal(struct vt_buf *b)
{
    char seal[VT_SHA256_HEX];
    if (b->len < VT_CONTENT_SEAL)
        return false;
    vt_sha256_of(b->p, b->len - VT_CONTENT_SEAL, seal);
    if (memcmp(b->p + b->len - VT_CONTENT_SEAL, seal, VT_CONTENT_SEAL) != 0)
        return false;
    b->len -= VT_CONTENT_SEAL;
    b->p[b->len] = '\0';
    return true;
}

static vt_status write_sealed(const char *path, const void *bytes, size_t n, bool *is_new, vt_err *err)
{
    char seal[VT_SHA256_HEX];
    struct vt_buf file;
    vt_sha256_of(bytes, n, seal);
    vt_buf_init(&file, SIZE_MAX);
    vt_buf_add(&file, bytes, n);
    vt_buf_add(&file, seal, VT_CONTENT_SEAL);
    vt_status status = vt_buf_check(&file, path, err);
    if (status == VT_OK)
        status = vt_fs_write_new(path, file.p, file.len, is_new, err);
    vt_buf_free(&file);
    return status;
}

vt_status vt_content_put(vt_content *c, enum vt_content_kind kind, const char *key, const void *bytes, size_t n,
                         vt_err *err)
{
    char path[PATH_MAX];
    VT_TRY(object_path(c, kind, key, path, err));
    for (int i = 0; i < N_TRIES; i++) {
        int fd;
        vt_status status = use_object(path, &fd, err);
        if (status == VT_OK)
            close(fd); /* the same key is the same result */
        if (status != VT_ENOENT)
            return status;
        char *slash = strrchr(path, '/');
        *slash = '\0';
        status = vt_fs_mkdir_p(path, err);
        *slash = '/';
        VT_TRY(status);
        bool is_new;
        VT_TRY(write_sealed(path, bytes, n, &is_new, err));
        c->has_put |= is_new;
        if (is_new)
            return VT_OK;
    }
    return vt_fail(err, VT_EIO, "cannot keep %s: it is removed as often as it is made", path);
}

vt_status vt_content_get(vt_content *c, enum vt_content_kind kind, const char *key, size_t max, struct vt_buf *out,
                         vt_err *err)
{
    char path[PATH_MAX];
    int fd;
    vt_buf_init(out, max);
    VT_TRY(object_path(c, kind, key, path, err));
    VT_TRY(use_object(path, &fd, err));
    vt_status status = vt_fs_read(path, max + VT_CONTENT_SEAL, out, err); /* the lock keeps the name on its file */
    if (status != VT_OK || unseal(out)) {
        close(fd);
        return status;
    }
    vt_buf_free(out);
    remove_damaged(path, fd);
    return vt_fail(err, VT_ENOENT, "%s was damaged and is gone", path);
}

void vt_content_listing_free(struct vt_content_listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->objects[i].path);
    free(l->objects);
    *l = (struct vt_content_listing){0};
}

static vt_status listing_add(struct vt_content_listing *l, const char *folder, const char *name, vt_err *err)
{
    struct stat st;
    char *path = vt_path_join(folder, name);
    if (!path)
        goto no_memory;
    bool is_object = strspn(name, "0123456789abcdef") == strlen(name);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (!is_object && !is_old(&st, TRIM_EVERY_S))) {
        free(path); /* removed meanwhile, or a put is writing it; an old temporary file is what a crash left */
        return VT_OK;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct vt_content_object *more = vt_realloc_array(l->objects, cap, sizeof *more);
        if (!more)
            goto no_memory;
        l->objects = more;
        l->cap = cap;
    }
    l->objects[l->n++] = (struct vt_content_object){
        .path = path,
        .n_bytes = (uint64_t)st.st_size,
        .used_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
    l->n_bytes += (uint64_t)st.st_size;
    return VT_OK;
no_memory:
    free(path);
    return vt_fail(err, VT_ENOMEM, "out of memory while listing %s", folder);
}

static vt_status list_folder(struct vt_content_listing *l, const char *folder, vt_err *err)
{
    char **names;
    size_t n;
    if (!vt_fs_is_dir(folder))
        return VT_OK;
    VT_TRY(vt_fs_list(folder, &names, &n, err));
    vt_status status = VT_OK;
    for (size_t i = 0; i < n && status == VT_OK; i++)
        status = listing_add(l, folder, names[i], err);
    vt_fs_list_free(names, n);
    return status;
}

static int compare_use(const void *a, const void *b)
{
    const struct vt_content_object *x = a, *y = b;
    if (x->used_ns != y->used_ns)
        return x->used_ns < y->used_ns ? -1 : 1;
    return strcmp(x->path, y->path);
}

vt_status vt_content_list(const vt_content *c, struct vt_content_listing *out, vt_err *err)
{
    *out = (struct vt_content_listing){0};
    vt_status status = VT_OK;
    for (int kind = 0; kind < VT_CONTENT_N_KINDS; kind++) {
        for (int first = 0; first < 256 && status == VT_OK; first++) {
            char folder[PATH_MAX];
            int n = snprintf(folder, sizeof folder, "%s/%s/%02x", c->dir, kind_names[kind], (unsigned)first);
            if (n > 0 && n < PATH_MAX)
                status = list_folder(out, folder, err);
        }
    }
    if (status != VT_OK)
        vt_content_listing_free(out);
    else if (out->n)
        qsort(out->objects, out->n, sizeof *out->objects, compare_use);
    return status;
}

/* False when the object is in use, was used since it was listed, or is gone or another one. */
static bool remove_object(const struct vt_content_object *o)
{
    struct stat locked, named;
    int fd = open(o->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_removed = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &locked) == 0 &&
                      (int64_t)locked.st_mtim.tv_sec * 1000000000 + locked.st_mtim.tv_nsec == o->used_ns &&
                      stat(o->path, &named) == 0 && named.st_ino == locked.st_ino && named.st_dev == locked.st_dev &&
                      unlink(o->path) == 0;
    close(fd);
    return is_removed;
}

size_t vt_content_trim(const struct vt_content_listing *l, uint64_t max_bytes, uint64_t *n_freed)
{
    size_t n_removed = 0;
    uint64_t n_bytes = l->n_bytes;
    for (size_t i = 0; i < l->n && n_bytes > max_bytes; i++) {
        if (remove_object(&l->objects[i])) {
            n_bytes -= l->objects[i].n_bytes;
            n_removed++;
        }
    }
    if (n_freed)
        *n_freed = l->n_bytes - n_bytes;
    return n_removed;
}
