/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: vegttt-cuda, started by the evaluator only.
 */
#include "base/alloc.h"
#include "eval/cuda/worker/worker.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

bool vt_cuda_worker_next(struct vt_cuda_request *r, int fds[VT_CUDA_MAX_FDS], int *n_fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * VT_CUDA_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {r, sizeof *r};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    do {
        n = recvmsg(VT_CUDA_SOCKET, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    *n_fds = 0;
    struct cmsghdr *c = n == (ssize_t)sizeof *r ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS) {
        *n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), sizeof(int) * (size_t)*n_fds);
    }
    return n == (ssize_t)sizeof *r;
}

void vt_cuda_worker_close(const int *fds, int n_fds)
{
    for (int i = 0; i < n_fds; i++)
        close(fds[i]);
}

bool vt_cuda_worker_answer(const struct vt_cuda_reply *reply)
{
    return send(VT_CUDA_SOCKET, reply, sizeof *reply, MSG_NOSIGNAL) == (ssize_t)sizeof *reply;
}

char *vt_cuda_worker_read(int fd, size_t *len)
{
    struct stat st;
    *len = 0;
    if (fstat(fd, &st) != 0)
        return NULL;
    char *p = vt_alloc((size_t)st.st_size + 1);
    if (p && pread(fd, p, (size_t)st.st_size, 0) != (ssize_t)st.st_size) {
        free(p);
        return NULL;
    }
    *len = (size_t)st.st_size;
    return p;
}

int main(int argc, char **argv)
{
    struct stat st;
    if (argc != 2 || fstat(VT_CUDA_SOCKET, &st) != 0 || !S_ISSOCK(st.st_mode))
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (strcmp(argv[1], "compile") == 0)
        return vt_cuda_worker_compile();
    return strcmp(argv[1], "run") == 0 ? vt_cuda_worker_run() : 2;
}
