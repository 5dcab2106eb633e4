/* SPDX-License-Identifier: Apache-2.0
 *
 * owned.c: folders whose owners hold a lock on them (flock). A lock ends with the last descriptor of its open file, so
 * a killed process holds none; a child that was made by fork alone holds it, too, and then the folder is still in use.
 *
 * Between making a folder and locking it somebody may take it for an orphan: whoever locks looks whether what it locked
 * still stands under that name, and makes another one otherwise.
 */
#include "base/owned.h"
#include "base/alloc.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 8 };

/* A descriptor of the folder with its lock; -1 when another process has it, or it is none of ours. */
static int lock_folder(const char *path)
{
    struct stat st, there;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        lstat(path, &there) == 0 && there.st_dev == st.st_dev && there.st_ino == st.st_ino)
        return fd;
    close(fd);
    return -1;
}

static void remove_orphans(const char *parent, const char *prefix)
{
    char **names = NULL;
    size_t n = 0;
    if (vt_fs_list(parent, &names, &n, NULL) != VT_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        char *path = strncmp(names[i], prefix, strlen(prefix)) == 0 ? vt_path_join(parent, names[i]) : NULL;
        int fd = path ? lock_folder(path) : -1;
        if (fd >= 0) {
            (void)!vt_fs_remove_tree(path, NULL);
            close(fd);
        }
        free(path);
    }
    vt_fs_list_free(names, n);
}

static vt_status make(const char *parent, const char *prefix, struct vt_owned *out, bool *is_mine, vt_err *err)
{
    char name[128];
    *is_mine = false;
    snprintf(name, sizeof name, "%sXXXXXX", prefix);
    out->path = vt_path_join(parent, name);
    if (!out->path)
        return vt_fail(err, VT_ENOMEM, "no memory for the name of a folder in %s", parent);
    if (!mkdtemp(out->path))
        return vt_fail(err, VT_EIO, "cannot make the folder %s: %s", out->path, strerror(errno));
    /* Else it was taken for an orphan already. */
    if (chmod(out->path, 0711) == 0)
        *is_mine = (out->fd = lock_folder(out->path)) >= 0;
    return VT_OK;
}

vt_status vt_owned_make(const char *parent, const char *prefix, struct vt_owned *out, vt_err *err)
{
    *out = (struct vt_owned){.fd = -1};
    remove_orphans(parent, prefix);
    for (int i = 0; i < TRIES; i++) {
        bool is_mine;
        vt_status s = make(parent, prefix, out, &is_mine, err);
        if (s == VT_OK && is_mine)
            return VT_OK;
        free(out->path);
        *out = (struct vt_owned){.fd = -1};
        VT_TRY(s);
    }
    return vt_fail(err, VT_EIO, "cannot keep a folder in %s: others remove it, or its file system has no locks",
                   parent);
}

void vt_owned_remove(struct vt_owned *o)
{
    if (!o->path)
        return;
    (void)!vt_fs_remove_tree(o->path, NULL);
    free(o->path);
    close(o->fd);
    *o = (struct vt_owned){.fd = -1};
}
