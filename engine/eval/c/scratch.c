/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch.c: the evaluator's folder and its memory files.
 *
 * A folder's name carries the pid of its owner, so that a later evaluator can remove what a killed one left behind, and
 * the namespace that the pid is of: containers may share a folder, and to each the others' processes are no processes.
 * The folder lies in /tmp (or $TMPDIR) and not in the user's cache, because as root the jailed user ids must be able
 * to walk to it.
 */
#include "eval/c/scratch.h"
#include "base/alloc.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "vegttt-eval-"
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* 0: unknown, which is a namespace like any other. */
static unsigned long pid_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long)st.st_ino : 0;
}

static void remove_orphans(const char *tmp)
{
    char **names = NULL;
    size_t n = 0;
    if (vt_fs_list(tmp, &names, &n, NULL) != VT_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], PREFIX, strlen(PREFIX)) != 0)
            continue;
        char *end, *end_of_space;
        long pid = strtol(names[i] + strlen(PREFIX), &end, 10);
        unsigned long space = strtoul(*end ? end + 1 : end, &end_of_space, 10);
        struct stat st;
        char *path = vt_path_join(tmp, names[i]);
        bool is_ours = path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
        bool is_here = *end == '-' && *end_of_space == '-' && space == pid_namespace();
        if (is_ours && is_here && pid > 1 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            (void)!vt_fs_remove_tree(path, NULL);
        free(path);
    }
    vt_fs_list_free(names, n);
}

vt_status vt_scratch_make(char **out, vt_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char name[64];
    *out = NULL;
    if (!tmp || tmp[0] != '/')
        tmp = "/tmp";
    remove_orphans(tmp);
    snprintf(name, sizeof name, PREFIX "%ld-%lu-XXXXXX", (long)getpid(), pid_namespace());
    char *path = vt_path_join(tmp, name);
    if (!path)
        return vt_fail(err, VT_ENOMEM, "cannot make the evaluator's folder: out of memory");
    if (!mkdtemp(path) || chmod(path, 0711) != 0) {
        vt_status s = vt_fail(err, VT_EIO, "cannot make the evaluator's folder %s: %s; set TMPDIR to a writable folder",
                              path, strerror(errno));
        free(path);
        return s;
    }
    *out = path;
    return VT_OK;
}

void vt_scratch_remove(char *dir)
{
    if (dir)
        (void)!vt_fs_remove_tree(dir, NULL);
    free(dir);
}

vt_status vt_memfile_make(const char *name, size_t n, int *fd, void **map, vt_err *err)
{
    *map = NULL;
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return vt_fail(err, VT_EIO, "cannot make shared memory for %s: %s", name, strerror(errno));
    void *p = MAP_FAILED;
    if (ftruncate(*fd, (off_t)n) == 0)
        p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (p == MAP_FAILED) {
        vt_status s =
            vt_fail(err, VT_ENOMEM, "cannot map %zu bytes of shared memory for %s: %s", n, name, strerror(errno));
        close(*fd);
        *fd = -1;
        return s;
    }
    *map = p;
    return VT_OK;
}

vt_status vt_memfile_seal(int fd, vt_err *err)
{
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "cannot seal the inputs' shared memory: %s; Linux 5.1 or newer is needed",
                       strerror(errno));
    return VT_OK;
}

void vt_memfile_free(int *fd, void **map, size_t n)
{
    if (*map)
        munmap(*map, n);
    if (*fd >= 0)
        close(*fd);
    *map = NULL;
    *fd = -1;
}
