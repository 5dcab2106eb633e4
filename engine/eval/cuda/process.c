/* SPDX-License-Identifier: Apache-2.0
 *
 * process.c: starts vegttt-cuda and exchanges messages with it. The program is looked for where the evaluator's other
 * worker is: beside this executable or libvegttt, one folder up, in ../libexec/vegttt, or where VEGTTT_CUDA_WORKER
 * says.
 */
#include "eval/cuda/process.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/spawn.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The folder that holds this code: the program's, or that of libvegttt. */
static vt_status code_dir(char **out, vt_err *err)
{
    static const char here;
    Dl_info info;
    char *path =
        dladdr(&here, &info) && info.dli_fname && strchr(info.dli_fname, '/') ? realpath(info.dli_fname, NULL) : NULL;
    if (!path)
        return vt_exe_dir(out, err);
    *strrchr(path, '/') = '\0';
    *out = path;
    return VT_OK;
}

static vt_status find_program(char **out, vt_err *err)
{
    static const char *const places[] = {"vegttt-cuda", "../vegttt-cuda", "../libexec/vegttt/vegttt-cuda",
                                         "../../libexec/vegttt/vegttt-cuda"};
    const char *named = getenv("VEGTTT_CUDA_WORKER");
    char *dir = NULL;
    *out = named ? vt_strdup(named) : NULL;
    if (named)
        return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot start vegttt-cuda: out of memory");
    VT_TRY(code_dir(&dir, err));
    for (size_t i = 0; i < sizeof places / sizeof places[0] && !*out; i++) {
        char *path = vt_path_join(dir, places[i]);
        if (path && access(path, X_OK) == 0)
            *out = path;
        else
            free(path);
    }
    vt_status s = *out ? VT_OK
                       : vt_fail(err, VT_ENOENT,
                                 "cannot start the cuda tier: the program vegttt-cuda is not beside %s; build it, or "
                                 "name it in VEGTTT_CUDA_WORKER",
                                 dir);
    free(dir);
    return s;
}

vt_status vt_cuda_process_start(const char *mode, struct vt_cuda_process *out, vt_err *err)
{
    char *program = NULL;
    *out = (struct vt_cuda_process){.socket = -1};
    VT_TRY(find_program(&program, err));
    char *argv[] = {program, (char *)(uintptr_t)mode, NULL};
    /* A candidate's printf ends at /dev/null; what the driver says of an error is seen. */
    const struct vt_spawn spawn = {program, argv, environ, SOCK_SEQPACKET, VT_CUDA_SOCKET, 2};
    int e = vt_spawn_start(&spawn, &out->pid, &out->socket);
    vt_status s = e ? vt_fail(err, VT_EIO, "cannot start %s: %s", program, strerror(e)) : VT_OK;
    free(program);
    return s;
}

vt_status vt_cuda_process_send(struct vt_cuda_process *p, const struct vt_cuda_request *r, const int *fds, int n_fds,
                               vt_err *err)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * VT_CUDA_MAX_FDS)];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {(void *)(uintptr_t)r, sizeof *r};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    for (int i = 0; i < n_fds; i++)
        if (fds[i] < 0)
            return vt_fail(err, VT_ENOMEM, "out of memory for a message to vegttt-cuda");
    if (n_fds > 0) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)n_fds);
    }
    if (p->is_lost || sendmsg(p->socket, &m, MSG_NOSIGNAL) != (ssize_t)sizeof *r) {
        p->is_lost = true;
        return vt_fail(err, VT_EINTERNAL, "vegttt-cuda ended unexpectedly");
    }
    return VT_OK;
}

vt_status vt_cuda_process_receive(struct vt_cuda_process *p, struct vt_cuda_reply *reply, uint64_t timeout_ns,
                                  vt_err *err)
{
    struct pollfd w = {.fd = p->socket, .events = POLLIN};
    ssize_t n = -1;
    int ready;
    do {
        ready = poll(&w, 1, timeout_ns ? (int)(timeout_ns / 1000000 + 1) : -1);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return vt_fail(err, VT_ETIMEOUT, "vegttt-cuda did not answer in time");
    do {
        n = recv(p->socket, reply, sizeof *reply, 0);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *reply)
        return VT_OK;
    p->is_lost = true;
    return vt_fail(err, VT_EINTERNAL, "vegttt-cuda ended unexpectedly");
}

void vt_cuda_process_shutdown(struct vt_cuda_process *p)
{
    if (p->socket >= 0)
        shutdown(p->socket, SHUT_RDWR);
    if (p->pid > 0)
        kill(p->pid, SIGKILL);
}

void vt_cuda_process_end(struct vt_cuda_process *p)
{
    if (p->socket >= 0)
        close(p->socket);
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL);
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    *p = (struct vt_cuda_process){.socket = -1, .is_lost = true};
}

int vt_cuda_file(const void *bytes, size_t n)
{
    int fd = memfd_create("vegttt-cuda", MFD_CLOEXEC);
    const char *p = bytes;
    while (fd >= 0 && n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            close(fd);
            return -1;
        }
        p += k;
        n -= (size_t)k;
    }
    return fd;
}
