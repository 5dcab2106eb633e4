/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch.c: the evaluator's folder and its memory files.
 *
 * The folder lies in /tmp (or $TMPDIR) and not in the user's cache, because as root the jailed user ids must be able
 * to walk to it.
 */
#include "eval/c/scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

vt_status vt_scratch_make(struct vt_owned *out, vt_err *err)
{
    const char *tmp = getenv("TMPDIR");
    vt_status s = vt_owned_make(tmp && tmp[0] == '/' ? tmp : "/tmp", "vegttt-eval-", out, err);
    return s == VT_OK ? s : vt_err_context(err, "the evaluator's folder (set TMPDIR to a writable folder)");
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
