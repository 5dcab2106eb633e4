/* SPDX-License-Identifier: Apache-2.0
 *
 * tidy.c: sizes and removal of run directories.
 *
 * The walk uses descriptors of folders, one stat a file: a list of a thousand runs asks for the size of each. Files of
 * several names are remembered by device and inode, few as they are, in a list.
 *
 * Removing a file is not work but waiting: some file systems let each unlink wait for the journal or the disk, 1 to 4
 * ms, and answer many at once in the same time. So runs are removed by several threads.
 */
#include "store/tidy.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "store/run_find.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 64, N_HELPERS = 15 };

/* A file of several names: how many of them were met. */
struct linked {
    dev_t dev;
    ino_t ino;
    nlink_t n_met, n_links;
    uint64_t n_bytes;
    size_t path; /* the first that has it */
};

struct walk {
    struct vt_tree_size size;
    struct linked *linked;
    size_t n, cap;
    size_t path; /* which one is walked */
    bool is_out_of_memory;
};

static void add_linked(struct walk *w, const struct stat *st)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->linked[i].ino == st->st_ino && w->linked[i].dev == st->st_dev) {
            w->linked[i].n_met++;
            return;
        }
    }
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 16;
        struct linked *more = vt_realloc_array(w->linked, cap, sizeof *more);
        if (!more) {
            w->is_out_of_memory = true;
            return;
        }
        w->linked = more;
        w->cap = cap;
    }
    w->linked[w->n++] = (struct linked){st->st_dev, st->st_ino, 1, st->st_nlink, (uint64_t)st->st_size, w->path};
}

static void add_file(struct walk *w, const struct stat *st)
{
    if (st->st_nlink > 1) {
        add_linked(w, st);
        return;
    }
    w->size.n_bytes += (uint64_t)st->st_size;
    w->size.n_freed += (uint64_t)st->st_size;
}

/* What another process removes meanwhile is not there: that is no failure. */
static void walk_folder(struct walk *w, int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (e->d_type != DT_DIR && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (e->d_type == DT_DIR || S_ISDIR(st.st_mode)) {
            int below = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below >= 0 && depth < MAX_DEPTH)
                walk_folder(w, below, depth + 1);
            else if (below >= 0)
                close(below);
        } else if (S_ISREG(st.st_mode)) {
            add_file(w, &st);
        }
    }
    closedir(dir);
}

static vt_status walk_path(struct walk *w, const char *path, vt_err *err)
{
    struct stat st;
    w->size = (struct vt_tree_size){0};
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        walk_folder(w, fd, 0);
    else if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        add_file(w, &st);
    else if (errno != ENOENT && errno != ENOTDIR)
        return vt_fail(err, VT_EIO, "cannot measure %s: %s", path, strerror(errno));
    return w->is_out_of_memory ? vt_fail(err, VT_ENOMEM, "out of memory while measuring %s", path) : VT_OK;
}

vt_status vt_tree_sizes(const char *const paths[], size_t n, struct vt_tree_size out[], vt_err *err)
{
    struct walk w = {0};
    vt_status status = VT_OK;
    for (size_t i = 0; i < n && status == VT_OK; i++) {
        w.path = i;
        status = walk_path(&w, paths[i], err);
        out[i] = w.size;
    }
    for (size_t i = 0; i < w.n && status == VT_OK; i++) {
        const struct linked *l = &w.linked[i];
        out[l->path].n_bytes += l->n_bytes;
        if (l->n_met == l->n_links)
            out[l->path].n_freed += l->n_bytes;
    }
    free(w.linked);
    return status;
}

vt_status vt_tree_size(const char *path, struct vt_tree_size *out, vt_err *err)
{
    return vt_tree_sizes(&path, 1, out, err);
}

/* EXPERIMENT/../latest, when it leads nowhere. experiment: the open folder that the run stood in. */
static void remove_dead_link(int experiment)
{
    struct stat st;
    if (fstatat(experiment, "../latest", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) &&
        fstatat(experiment, "../latest", &st, 0) != 0)
        unlinkat(experiment, "../latest", 0);
}

static bool is_inside(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path && vt_fs_exists(path);
}

static vt_status remove_locked(const char *dir, vt_err *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/run.json", dir) >= (int)sizeof path)
        return vt_fail(err, VT_EINVAL, "the run directory %.200s has too long a name", dir);
    if (unlink(path) != 0 && errno != ENOENT)
        return vt_fail(err, VT_EIO, "cannot remove %s: %s", path, strerror(errno));
    return vt_fs_remove_tree(dir, err);
}

/* Removes one run whose folder is locked. */
static vt_status remove_one(const char *dir, bool is_dry, vt_err *err)
{
    struct stat st;
    int lock = -1;
    if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
        return vt_fail(err, VT_EINVAL, "cannot remove %s: it is a link; name the run that it leads to", dir);
    if (!is_inside(dir, "run.json") && !is_inside(dir, "lock"))
        return vt_fail(err, VT_ENOENT, "cannot remove %s: it is no run", dir);
    vt_status status = vt_run_lock_unnamed(dir, &lock, err);
    if (status == VT_OK && !is_dry)
        status = remove_locked(dir, err);
    if (lock >= 0)
        close(lock);
    return status;
}

/* ── several at once ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* Runs of one folder, which is locked; each helper takes the next one. */
struct removal {
    const char *const *dirs;
    size_t n;
    bool is_dry;
    bool *is_removed;
    atomic_size_t next;
    pthread_mutex_t mutex; /* of what follows */
    vt_status status;
    vt_err err;
};

static void *help(void *arg)
{
    struct removal *r = arg;
    for (size_t i; (i = atomic_fetch_add(&r->next, 1)) < r->n;) {
        vt_err err;
        vt_status status = remove_one(r->dirs[i], r->is_dry, &err);
        r->is_removed[i] = status == VT_OK && !r->is_dry;
        pthread_mutex_lock(&r->mutex);
        if (status != VT_OK && r->status == VT_OK) {
            r->status = status;
            r->err = err;
        }
        pthread_mutex_unlock(&r->mutex);
    }
    return NULL;
}

static void remove_together(struct removal *r)
{
    pthread_t helpers[N_HELPERS];
    size_t n = 0;
    while (n < N_HELPERS && n + 1 < r->n && pthread_create(&helpers[n], NULL, help, r) == 0)
        n++;
    help(r);
    for (size_t i = 0; i < n; i++)
        pthread_join(helpers[i], NULL);
}

/* DIR/.. locked, as everybody who opens a run there does it. */
static vt_status lock_folder(const char *dir, int *out, vt_err *err)
{
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s/..", dir) >= (int)sizeof folder)
        return vt_fail(err, VT_EINVAL, "the run directory %.200s has too long a name", dir);
    if (!vt_fs_exists(dir))
        return vt_fail(err, VT_ENOENT, "cannot remove %s: it is no run", dir);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return vt_fail(err, VT_EIO, "cannot lock the folder %s: %s", folder, strerror(e));
    }
    *out = fd;
    return VT_OK;
}

/* How many of the first runs stand in one folder. */
static size_t n_of_one_folder(const char *const dirs[], size_t n)
{
    const char *end = strrchr(dirs[0], '/');
    size_t len = end ? (size_t)(end - dirs[0]) : 0, i = 1;
    while (i < n && len > 0 && strncmp(dirs[i], dirs[0], len + 1) == 0 && !strchr(dirs[i] + len + 1, '/'))
        i++;
    return i;
}

vt_status vt_runs_remove(const char *const dirs[], size_t n, bool is_dry, bool is_removed[], vt_err *err)
{
    vt_status first = VT_OK;
    memset(is_removed, 0, n * sizeof *is_removed);
    for (size_t i = 0, n_here; i < n; i += n_here) {
        struct removal r = {.dirs = dirs + i, .is_dry = is_dry, .is_removed = is_removed + i, .status = VT_OK};
        int fd = -1;
        r.n = n_here = n_of_one_folder(dirs + i, n - i);
        pthread_mutex_init(&r.mutex, NULL);
        r.status = lock_folder(dirs[i], &fd, &r.err);
        if (r.status == VT_OK)
            remove_together(&r);
        if (fd >= 0 && !is_dry)
            remove_dead_link(fd);
        if (fd >= 0)
            close(fd);
        pthread_mutex_destroy(&r.mutex);
        if (r.status != VT_OK && first == VT_OK) {
            first = r.status;
            *err = r.err;
        }
    }
    return first;
}

vt_status vt_run_remove(const char *dir, bool is_dry, vt_err *err)
{
    bool is_removed;
    return vt_runs_remove(&dir, 1, is_dry, &is_removed, err);
}
