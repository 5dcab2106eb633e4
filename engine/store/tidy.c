/* SPDX-License-Identifier: Apache-2.0
 *
 * tidy.c: sizes and removal of run directories.
 *
 * The walk uses descriptors of folders, one stat a file: a list of a thousand runs asks for the size of each. Files of
 * several names are remembered by device and inode, few as they are, in a sorted list.
 */
#include "store/tidy.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "store/run_find.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 64 };

/* A file of several names: how many of them were met. */
struct linked {
    dev_t dev;
    ino_t ino;
    nlink_t n_met, n_links;
    uint64_t n_bytes;
};

struct walk {
    struct vt_tree_size size;
    struct linked *linked;
    size_t n, cap;
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
    w->linked[w->n++] = (struct linked){st->st_dev, st->st_ino, 1, st->st_nlink, (uint64_t)st->st_size};
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

vt_status vt_tree_size(const char *path, struct vt_tree_size *out, vt_err *err)
{
    struct walk w = {0};
    struct stat st;
    *out = w.size;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        walk_folder(&w, fd, 0);
    else if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        add_file(&w, &st);
    else if (errno != ENOENT && errno != ENOTDIR)
        return vt_fail(err, VT_EIO, "cannot measure %s: %s", path, strerror(errno));
    for (size_t i = 0; i < w.n; i++) {
        w.size.n_bytes += w.linked[i].n_bytes;
        if (w.linked[i].n_met == w.linked[i].n_links)
            w.size.n_freed += w.linked[i].n_bytes;
    }
    free(w.linked);
    if (w.is_out_of_memory)
        return vt_fail(err, VT_ENOMEM, "out of memory while measuring %s", path);
    *out = w.size;
    return VT_OK;
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

vt_status vt_run_remove(const char *dir, bool is_dry, vt_err *err)
{
    struct stat st;
    char folder[PATH_MAX];
    int lock = -1;
    if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
        return vt_fail(err, VT_EINVAL, "cannot remove %s: it is a link; name the run that it leads to", dir);
    if (!is_inside(dir, "run.json") && !is_inside(dir, "lock"))
        return vt_fail(err, VT_ENOENT, "cannot remove %s: it is no run", dir);
    if (snprintf(folder, sizeof folder, "%s/..", dir) >= (int)sizeof folder)
        return vt_fail(err, VT_EINVAL, "the run directory %.200s has too long a name", dir);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return vt_fail(err, VT_EIO, "cannot lock the folder %s: %s", folder, strerror(e));
    }
    vt_status status = vt_run_lock_unnamed(dir, &lock, err);
    if (status == VT_OK && !is_dry)
        status = remove_locked(dir, err);
    if (lock >= 0)
        close(lock);
    if (status == VT_OK && !is_dry)
        remove_dead_link(fd);
    close(fd);
    return status;
}
