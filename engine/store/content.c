/* SPDX-License-Identifier: Apache-2.0
 *
 * content.c: the content store on plain files.
 *
 * The time of last modification of an object is its time of last use: get and pin set it to now. gc lists everything,
 * sorts by that time and removes from the old end. Before it unlinks an object it takes an exclusive flock on it
 * without waiting; a pin is a shared flock, so a pinned object is passed over whoever pinned it. A reader that had the
 * object open keeps its bytes, because unlinking does not take them away.
 *
 * Key locks are files below locks/, never removed while the store is in use: unlinking a lock file that another
 * process is about to lock would let two of them hold "the" lock.
 */
#include "store/content.h"
#include "base/alloc.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIN_KEY = 8, MAX_KEY = 128 };

static const char *const kind_names[VT_CONTENT_N_KINDS] = {"build", "check", "sample"};

struct vt_content {
    char *dir;
};

const char *vt_content_kind_name(enum vt_content_kind kind)
{
    return kind >= 0 && kind < VT_CONTENT_N_KINDS ? kind_names[kind] : "unknown";
}

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

void vt_content_close(vt_content *c)
{
    if (!c)
        return;
    free(c->dir);
    free(c);
}

const char *vt_content_dir(const vt_content *c)
{
    return c->dir;
}

/* DIR/<area>/<ab>/<key>; area is a kind or "locks/<kind>". Creates the folder when asked to. */
static vt_status object_path(const vt_content *c, const char *area, const char *key, bool is_created, char *out,
                             vt_err *err)
{
    size_t len = strlen(key);
    if (len < MIN_KEY || len > MAX_KEY || strspn(key, "0123456789abcdef") != len)
        return vt_fail(err, VT_EINVAL, "'%.140s' is not a key of the content store: %d to %d hex digits", key,
                       (int)MIN_KEY, (int)MAX_KEY);
    int n = snprintf(out, PATH_MAX, "%s/%s/%.2s/%s", c->dir, area, key, key);
    if (n < 0 || n >= PATH_MAX)
        return vt_fail(err, VT_EINVAL, "the folder %.200s of the content store has too long a name", c->dir);
    if (is_created) {
        char *slash = strrchr(out, '/');
        *slash = '\0';
        vt_status status = vt_fs_mkdir_p(out, err);
        *slash = '/';
        return status;
    }
    return VT_OK;
}

vt_status vt_content_put(vt_content *c, enum vt_content_kind kind, const char *key, const void *bytes, size_t n,
                         vt_err *err)
{
    char path[PATH_MAX];
    VT_TRY(object_path(c, vt_content_kind_name(kind), key, true, path, err));
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0)
        return VT_OK; /* the same key is the same result */
    return vt_fs_write_atomic(path, bytes, n, err);
}

vt_status vt_content_get(vt_content *c, enum vt_content_kind kind, const char *key, size_t max, struct vt_buf *out,
                         vt_err *err)
{
    char path[PATH_MAX];
    vt_buf_init(out, max);
    VT_TRY(object_path(c, vt_content_kind_name(kind), key, false, path, err));
    VT_TRY(vt_fs_read(path, max, out, err));
    utimensat(AT_FDCWD, path, NULL, 0); /* a store that is read-only still answers; it only forgets the use */
    return VT_OK;
}

bool vt_content_has(const vt_content *c, enum vt_content_kind kind, const char *key)
{
    char path[PATH_MAX];
    return object_path(c, vt_content_kind_name(kind), key, false, path, NULL) == VT_OK && vt_fs_exists(path);
}

vt_status vt_content_path(const vt_content *c, enum vt_content_kind kind, const char *key, char **out, vt_err *err)
{
    char path[PATH_MAX];
    *out = NULL;
    VT_TRY(object_path(c, vt_content_kind_name(kind), key, false, path, err));
    if (!(*out = vt_strdup(path)))
        return vt_fail(err, VT_ENOMEM, "out of memory while naming an object of the content store");
    return VT_OK;
}

vt_status vt_content_pin(vt_content *c, enum vt_content_kind kind, const char *key, int *pin, vt_err *err)
{
    char path[PATH_MAX];
    struct stat st;
    *pin = -1;
    VT_TRY(object_path(c, vt_content_kind_name(kind), key, false, path, err));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vt_fail(err, errno == ENOENT ? VT_ENOENT : VT_EIO, "cannot pin %s: %s", path, strerror(errno));
    /* gc may have unlinked the object between open and flock: then nobody else will find it by its path. */
    if (flock(fd, LOCK_SH) != 0 || fstat(fd, &st) != 0 || st.st_nlink == 0) {
        close(fd);
        return vt_fail(err, VT_ENOENT, "cannot pin %s: it was removed meanwhile", path);
    }
    utimensat(AT_FDCWD, path, NULL, 0);
    *pin = fd;
    return VT_OK;
}

void vt_content_unpin(int pin)
{
    if (pin >= 0)
        close(pin);
}

vt_status vt_content_lock(vt_content *c, enum vt_content_kind kind, const char *key, int *lock, vt_err *err)
{
    char path[PATH_MAX], area[32];
    *lock = -1;
    snprintf(area, sizeof area, "locks/%s", vt_content_kind_name(kind));
    VT_TRY(object_path(c, area, key, true, path, err));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return vt_fail(err, VT_EIO, "cannot open the lock %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool is_busy = errno == EWOULDBLOCK;
        int e = errno;
        close(fd);
        return vt_fail(err, is_busy ? VT_EBUSY : VT_EIO, "cannot lock %s: %s", path,
                       is_busy ? "another process is computing it" : strerror(e));
    }
    *lock = fd;
    return VT_OK;
}

void vt_content_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

struct object {
    char *path;
    const char *key; /* the last part of path */
    enum vt_content_kind kind;
    uint64_t n_bytes;
    int64_t used_ns;
};

struct listing {
    struct object *items;
    size_t n, cap;
};

static void listing_free(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].path);
    free(l->items);
    *l = (struct listing){0};
}

static vt_status listing_add(struct listing *l, enum vt_content_kind kind, const char *folder, const char *name,
                             vt_err *err)
{
    struct stat st;
    char *path = vt_path_join(folder, name);
    if (!path)
        goto no_memory;
    if (strspn(name, "0123456789abcdef") != strlen(name) || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        free(path); /* another process's temporary file, or removed meanwhile */
        return VT_OK;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct object *more = vt_realloc_array(l->items, cap, sizeof *more);
        if (!more)
            goto no_memory;
        l->items = more;
        l->cap = cap;
    }
    l->items[l->n++] = (struct object){
        .path = path,
        .key = strrchr(path, '/') + 1,
        .kind = kind,
        .n_bytes = (uint64_t)st.st_size,
        .used_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
    return VT_OK;
no_memory:
    free(path);
    return vt_fail(err, VT_ENOMEM, "out of memory while listing %s", folder);
}

static vt_status list_folder(struct listing *l, enum vt_content_kind kind, const char *folder, vt_err *err)
{
    char **names;
    size_t n;
    if (!vt_fs_is_dir(folder))
        return VT_OK;
    VT_TRY(vt_fs_list(folder, &names, &n, err));
    vt_status status = VT_OK;
    for (size_t i = 0; i < n && status == VT_OK; i++)
        status = listing_add(l, kind, folder, names[i], err);
    vt_fs_list_free(names, n);
    return status;
}

static vt_status list_all(const vt_content *c, struct listing *l, vt_err *err)
{
    *l = (struct listing){0};
    vt_status status = VT_OK;
    for (int kind = 0; kind < VT_CONTENT_N_KINDS; kind++) {
        for (int first = 0; first < 256 && status == VT_OK; first++) {
            char folder[PATH_MAX];
            int n = snprintf(folder, sizeof folder, "%s/%s/%02x", c->dir, kind_names[kind], (unsigned)first);
            if (n > 0 && n < PATH_MAX)
                status = list_folder(l, (enum vt_content_kind)kind, folder, err);
        }
    }
    if (status != VT_OK)
        listing_free(l);
    return status;
}

vt_status vt_content_total(const vt_content *c, struct vt_content_size *out, vt_err *err)
{
    struct listing l;
    *out = (struct vt_content_size){0};
    VT_TRY(list_all(c, &l, err));
    out->n_objects = l.n;
    for (size_t i = 0; i < l.n; i++)
        out->n_bytes += l.items[i].n_bytes;
    listing_free(&l);
    return VT_OK;
}

static int compare_use(const void *a, const void *b)
{
    const struct object *x = a, *y = b;
    if (x->used_ns != y->used_ns)
        return x->used_ns < y->used_ns ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* False when the object is pinned or already gone. */
static bool remove_object(const struct object *o)
{
    int fd = open(o->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_removed = flock(fd, LOCK_EX | LOCK_NB) == 0 && unlink(o->path) == 0;
    close(fd);
    return is_removed;
}

vt_status vt_content_gc(vt_content *c, uint64_t max_bytes,
                        bool (*is_kept)(void *arg, enum vt_content_kind kind, const char *key), void *arg,
                        struct vt_content_size *removed, vt_err *err)
{
    struct listing l;
    struct vt_content_size gone = {0};
    VT_TRY(list_all(c, &l, err));
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < l.n; i++)
        n_bytes += l.items[i].n_bytes;
    if (l.n)
        qsort(l.items, l.n, sizeof *l.items, compare_use);
    for (size_t i = 0; i < l.n && n_bytes > max_bytes; i++) {
        const struct object *o = &l.items[i];
        if ((is_kept && is_kept(arg, o->kind, o->key)) || !remove_object(o))
            continue;
        n_bytes -= o->n_bytes;
        gone.n_objects++;
        gone.n_bytes += o->n_bytes;
    }
    if (removed)
        *removed = gone;
    listing_free(&l);
    return VT_OK;
}
