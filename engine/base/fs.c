/* SPDX-License-Identifier: Apache-2.0
 *
 * fs.c: files and folders over the plain POSIX calls.
 *
 * Every descriptor is close-on-exec, because compilers and candidates are started from this process. Reads take what
 * the descriptor gives until end of file, so that pipes and /proc files work like regular ones.
 */
#include "base/fs.h"
#include "base/alloc.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_CHUNK = 65536, MAX_TREE_DEPTH = 128 };

static vt_status fail_errno(vt_err *err, const char *attempt, const char *path)
{
    int e = errno;
    vt_status code = e == ENOENT || e == ENOTDIR ? VT_ENOENT
                     : e == ENOMEM               ? VT_ENOMEM
                     : e == EISDIR               ? VT_EINVAL
                                                 : VT_EIO;
    return vt_fail(err, code, "cannot %s %s: %s", attempt, path, strerror(e));
}

static vt_status read_all(int fd, const char *path, struct vt_buf *out, vt_err *err)
{
    char *chunk = vt_alloc(READ_CHUNK);
    if (!chunk)
        return vt_fail(err, VT_ENOMEM, "out of memory while reading %s", path);
    vt_status status = VT_OK;
    for (;;) {
        ssize_t n = read(fd, chunk, READ_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = fail_errno(err, "read", path);
        if (n <= 0)
            break;
        vt_buf_add(out, chunk, (size_t)n);
        if ((status = vt_buf_check(out, path, err)) != VT_OK)
            break;
    }
    free(chunk);
    return status;
}

vt_status vt_fs_read(const char *path, size_t max, struct vt_buf *out, vt_err *err)
{
    vt_buf_init(out, max);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "open", path);
    vt_status status = read_all(fd, path, out, err);
    close(fd);
    if (status != VT_OK)
        vt_buf_free(out);
    return status;
}

vt_status vt_fs_read_regular(const char *path, size_t max, struct vt_buf *out, vt_err *err)
{
    struct stat st;
    vt_buf_init(out, max);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENXIO) /* a socket */
        return vt_fail(err, VT_EINVAL, "cannot read %s: it is not a regular file", path);
    if (fd < 0)
        return fail_errno(err, "open", path);
    vt_status status = VT_OK;
    if (fstat(fd, &st) != 0)
        status = fail_errno(err, "look at", path);
    else if (!S_ISREG(st.st_mode))
        status = vt_fail(err, VT_EINVAL, "cannot read %s: it is not a regular file", path);
    else if ((uint64_t)st.st_size > max)
        status = vt_fail(err, VT_EINVAL, "cannot read %s: it has %lld bytes, more than the %zu that it may have", path,
                         (long long)st.st_size, max);
    if (status == VT_OK)
        status = read_all(fd, path, out, err);
    close(fd);
    if (status != VT_OK)
        vt_buf_free(out);
    return status;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

/* Writes and syncs a file beside `path`, whose name is left in `temporary` (PATH_MAX bytes). */
static vt_status write_beside(const char *path, const void *bytes, size_t n, char *temporary, vt_err *err)
{
    static atomic_uint serial; /* two threads may write the same file */
    int len = snprintf(temporary, PATH_MAX, "%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
    if (len < 0 || len >= PATH_MAX)
        return vt_fail(err, VT_EINVAL, "cannot write %s: the path is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_errno(err, "create", temporary);
    bool is_written = write_all(fd, bytes, n) && fsync(fd) == 0;
    int e = errno;
    if (close(fd) != 0 && is_written) {
        is_written = false;
        e = errno;
    }
    if (is_written)
        return VT_OK;
    unlink(temporary);
    errno = e;
    return fail_errno(err, "write", path);
}

vt_status vt_fs_write_atomic(const char *path, const void *bytes, size_t n, vt_err *err)
{
    char temporary[PATH_MAX];
    VT_TRY(write_beside(path, bytes, n, temporary, err));
    if (rename(temporary, path) == 0)
        return VT_OK;
    vt_status status = fail_errno(err, "write", path);
    unlink(temporary);
    return status;
}

vt_status vt_fs_write_new(const char *path, const void *bytes, size_t n, bool *is_new, vt_err *err)
{
    char temporary[PATH_MAX];
    *is_new = false;
    VT_TRY(write_beside(path, bytes, n, temporary, err));
    vt_status status = VT_OK;
    if (link(temporary, path) == 0)
        *is_new = true;
    else if (errno != EEXIST)
        status = fail_errno(err, "write", path);
    unlink(temporary);
    return status;
}

vt_status vt_fs_mkdir_p(const char *path, vt_err *err)
{
    char *partial = vt_strdup(path);
    if (!partial)
        return vt_fail(err, VT_ENOMEM, "out of memory while creating folder %s", path);
    vt_status status = VT_OK;
    for (char *p = partial + (partial[0] == '/');; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        int e = partial[0] && mkdir(partial, 0755) != 0 ? errno : 0;
        if (e && !vt_fs_is_dir(partial)) { /* on a read-only file system, existing folders do not say EEXIST */
            errno = e;
            status = fail_errno(err, "create folder", partial);
            break;
        }
        *p = end;
        if (end == '\0')
            break;
    }
    free(partial);
    return status;
}

/* Removes one entry of the folder `at`; links are removed, never followed. Sets errno on failure. */
static bool remove_entry(int at, const char *name, int depth)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return true;
    if ((errno != EISDIR && errno != EPERM) || depth > MAX_TREE_DEPTH)
        return false;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        errno = e;
        return false;
    }
    bool is_removed = true;
    for (struct dirent *entry; is_removed && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            is_removed = remove_entry(fd, entry->d_name, depth + 1);
    int e = errno;
    closedir(dir);
    errno = e;
    return is_removed && (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

vt_status vt_fs_remove_tree(const char *path, vt_err *err)
{
    if (!remove_entry(AT_FDCWD, path, 0) && errno != ENOTDIR)
        return fail_errno(err, "remove", path);
    return VT_OK;
}

bool vt_fs_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool vt_fs_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t vt_fs_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

vt_status vt_fs_list(const char *path, char ***names, size_t *n, vt_err *err)
{
    *names = NULL;
    *n = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return fail_errno(err, "list", path);
    char **list = NULL;
    size_t count = 0, cap = 0;
    vt_status status = VT_OK;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count == cap) {
            char **more = vt_realloc_array(list, cap ? cap * 2 : 16, sizeof *list);
            if (!more)
                goto no_memory;
            list = more;
            cap = cap ? cap * 2 : 16;
        }
        if (!(list[count] = vt_strdup(entry->d_name)))
            goto no_memory;
        count++;
    }
    if (count)
        qsort(list, count, sizeof *list, compare_names);
    *names = list;
    *n = count;
    goto out;
no_memory:
    vt_fs_list_free(list, count);
    status = vt_fail(err, VT_ENOMEM, "out of memory while listing %s", path);
out:
    closedir(dir);
    return status;
}

void vt_fs_list_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

char *vt_path_join(const char *a, const char *b)
{
    if (b[0] == '/' || a[0] == '\0')
        return vt_strdup(b);
    struct vt_buf path;
    vt_buf_init(&path, SIZE_MAX / 2);
    vt_buf_puts(&path, a);
    if (a[strlen(a) - 1] != '/')
        vt_buf_putc(&path, '/');
    vt_buf_puts(&path, b);
    return vt_buf_take(&path, NULL);
}

vt_status vt_cache_dir(char **out, vt_err *err)
{
    const char *own = getenv("VEGTTT_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *out = NULL;
    char *dir;
    if (own && own[0])
        dir = vt_strdup(own);
    else if (xdg && xdg[0] == '/') /* the XDG rule: a relative path is ignored */
        dir = vt_path_join(xdg, "vegttt");
    else if (home && home[0])
        dir = vt_path_join(home, ".cache/vegttt");
    else
        return vt_fail(err, VT_EINVAL, "cannot find the cache folder: set VEGTTT_CACHE or HOME");
    if (!dir)
        return vt_fail(err, VT_ENOMEM, "out of memory while naming the cache folder");
    vt_status status = vt_fs_mkdir_p(dir, err);
    if (status != VT_OK)
        free(dir);
    else
        *out = dir;
    return status;
}

vt_status vt_exe_dir(char **out, vt_err *err)
{
    char path[PATH_MAX];
    *out = NULL;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0)
        return fail_errno(err, "read link", "/proc/self/exe");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        *(slash == path ? slash + 1 : slash) = '\0';
    if (!(*out = vt_strdup(path)))
        return vt_fail(err, VT_ENOMEM, "out of memory while naming the program's folder");
    return VT_OK;
}

vt_status vt_map_open(const char *path, struct vt_map *out, vt_err *err)
{
    *out = (struct vt_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused below, not waited for */
    if (fd < 0)
        return fail_errno(err, "open", path);
    vt_status status = VT_OK;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        status = fail_errno(err, "stat", path);
    } else if (!S_ISREG(st.st_mode)) {
        status = vt_fail(err, VT_EINVAL, "cannot map %s: it is not a regular file", path);
    } else if (st.st_size == 0) {
        status = vt_fail(err, VT_EFORMAT, "%s is empty", path);
    } else {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            status = fail_errno(err, "map", path);
        else
            *out = (struct vt_map){.p = p, .len = (size_t)st.st_size};
    }
    close(fd);
    return status;
}

void vt_map_close(struct vt_map *m)
{
    if (m->p)
        munmap((void *)(uintptr_t)m->p, m->len);
    *m = (struct vt_map){0};
}
