/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.c: whether a socket file is in use is asked by connecting to it: a server that died leaves its file behind.
 */
#include "farm/listen.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64 };

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Removes the file of a server that is gone; refuses anything else that is there. */
static vt_status make_room(const char *path, const struct sockaddr_un *a, vt_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return VT_OK;
    if (!S_ISSOCK(st.st_mode))
        return vt_fail(err, VT_EINVAL, "Could not listen at %s: it is a file", path);
    int fd = new_socket();
    bool is_live = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) == 0;
    is_live = is_live || (fd >= 0 && errno == EAGAIN); /* there, and its backlog is full */
    if (fd >= 0)
        close(fd);
    if (is_live)
        return vt_fail(err, VT_EINVAL, "Could not listen at %s: another server does", path);
    unlink(path);
    return VT_OK;
}

vt_status vt_listen_unix(const char *path, int *out, vt_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    *out = -1;
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return vt_fail(err, VT_EINVAL,
                       "Could not listen at '%s': a socket's path has 1 to %zu bytes; choose another one", path,
                       sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    VT_TRY(make_room(path, &a, err));
    int fd = new_socket();
    mode_t mask = umask(077);
    bool is_well = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && listen(fd, BACKLOG) == 0;
    int e = errno;
    umask(mask);
    if (is_well) {
        *out = fd;
        return VT_OK;
    }
    if (fd >= 0)
        close(fd);
    return vt_fail(err, VT_EIO, "Could not listen at %s: %s", path, strerror(e));
}
