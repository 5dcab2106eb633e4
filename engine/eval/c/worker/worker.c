/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c: the broker, program vegttt-worker (protocol.h has the whole picture). `vegttt-worker SLOT WITHOUT`, with
 * the evaluator's socket as descriptor 3. One request, one reply; when the socket closes, every job is killed.
 *
 * The broker is trusted and never runs anything of a candidate: it forks, and the child puts up the walls before it
 * looks at a candidate's bytes. It is linked with the C library and libm only: what kernels can call (slots.h).
 */
#include "eval/c/worker/compiler.h"
#include "eval/c/worker/template.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct cage cage;
static struct {
    pid_t pid;      /* 0 = free */
    unsigned group; /* 0 = none */
} jobs[VT_WIRE_MAX_JOBS];

enum { MAX_FDS = 8, RUN_PROCESSES = 8, COMPILE_PROCESSES = 64 };
/* Of a template and its call; the arrays are the evaluator's. A compile job as a whole may have twice what each of its
 * processes may (cage.c). */
static const uint64_t run_memory = 4ull << 30;

static ssize_t receive(struct vt_wire_request *r, int fds[MAX_FDS], int *n_fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {r, sizeof *r};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *n_fds = 0;
    ssize_t n = recvmsg(VT_WIRE_SOCKET, &m, MSG_CMSG_CLOEXEC);
    for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        *n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), sizeof(int) * (size_t)*n_fds);
    }
    return n;
}

static bool reply_with(const struct vt_wire_reply *reply, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {(void *)(uintptr_t)reply, sizeof *reply};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return sendmsg(VT_WIRE_SOCKET, &m, MSG_NOSIGNAL) == (ssize_t)sizeof *reply;
}

static int free_job(void)
{
    for (int i = 0; i < VT_WIRE_MAX_JOBS; i++)
        if (!jobs[i].pid)
            return i;
    return -1;
}

static void start(const struct vt_wire_request *r, int fds[MAX_FDS], int n_fds, struct vt_wire_reply *reply, int *pidfd)
{
    int slot = free_job();
    bool is_run = r->op == VT_WIRE_RUN;
    if (slot < 0 || n_fds != (is_run ? VT_WIRE_RUN_FDS : VT_WIRE_COMPILE_FDS)) {
        reply->error = slot < 0 ? EAGAIN : EINVAL;
        return;
    }
    unsigned group = 0;
    int group_fd = cgroup_begin(&cage.cgroup, is_run ? run_memory : (uint64_t)r->max_memory_mib << 21,
                                is_run ? RUN_PROCESSES : COMPILE_PROCESSES, &group);
    if (cage.cgroup.fd >= 0 && group_fd < 0) {
        reply->error = EAGAIN;
        return;
    }
    pid_t pid = cage_fork(&cage, group_fd);
    if (group_fd >= 0 && pid != 0)
        close(group_fd);
    if (pid == 0) {
        if (is_run)
            template_run(&cage, r, fds);
        compiler_run(&cage, r, fds);
    }
    if (pid < 0) {
        reply->error = errno;
        cgroup_end(&cage.cgroup, group);
        return;
    }
    jobs[slot].pid = pid;
    jobs[slot].group = group;
    reply->pid = pid;
    *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (*pidfd < 0)
        reply->error = errno;
}

/* Kills the job's whole group, collects it and whatever it left to us as subreaper. */
static void reap(pid_t pid, struct vt_wire_reply *reply)
{
    int slot = -1, status = 0;
    for (int i = 0; i < VT_WIRE_MAX_JOBS; i++)
        if (jobs[i].pid == pid)
            slot = i;
    if (slot < 0 || pid <= 0) {
        reply->error = ESRCH;
        return;
    }
    struct rusage usage = {0};
    cgroup_kill(&cage.cgroup, jobs[slot].group);
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    cgroup_end(&cage.cgroup, jobs[slot].group);
    jobs[slot].pid = 0;
    reply->status = status;
    reply->cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    reply->max_rss_kib = (uint64_t)usage.ru_maxrss;
}

static bool is_job(pid_t pid)
{
    for (int i = 0; i < VT_WIRE_MAX_JOBS; i++)
        if (jobs[i].pid == pid)
            return true;
    return false;
}

/* Orphans of a killed group arrive here; jobs stay waitable for their REAP. */
static void collect_orphans(void)
{
    siginfo_t info;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 || is_job(info.si_pid))
            return;
        waitpid(info.si_pid, NULL, 0);
    }
}

static void handle(const struct vt_wire_request *r, int fds[MAX_FDS], int n_fds, struct vt_wire_reply *reply,
                   int *pidfd)
{
    switch (r->op) {
    case VT_WIRE_HELLO:
        reply->layers = cage.layers;
        reply->uid = cage.uid;
        reply->landlock_abi = (uint32_t)cage.landlock_abi;
        return;
    case VT_WIRE_RUN:
    case VT_WIRE_COMPILE:
        start(r, fds, n_fds, reply, pidfd);
        return;
    case VT_WIRE_REAP:
        reap(r->pid, reply);
        return;
    default:
        reply->error = EINVAL;
    }
}

/* Starts over at addresses that are not random: templates of all brokers then have code, libraries and stack at the
 * same places. Branch predictors and caches are indexed by address; two loads of the same kernel differed by up to 8 %
 * for as long as they lived. What keeps a candidate in does not rest on addresses. */
static void fix_addresses(char **argv)
{
    int now = personality(0xffffffff);
    if (now >= 0 && !(now & ADDR_NO_RANDOMIZE) && personality((unsigned)now | ADDR_NO_RANDOMIZE) >= 0 &&
        (personality(0xffffffff) & ADDR_NO_RANDOMIZE))
        execv(argv[0], argv);
}

int main(int argc, char **argv)
{
    static struct vt_wire_request request;
    if (argc != 3 || strlen(argv[1]) >= sizeof cage.slot)
        return 2;
    fix_addresses(argv);
    memcpy(cage.slot, argv[1], strlen(argv[1]) + 1);
    cage.without = (uint32_t)strtoul(argv[2], NULL, 0);
    clearenv();
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    cage_open(&cage);
    for (;;) {
        int fds[MAX_FDS], n_fds, pidfd = -1;
        struct vt_wire_reply reply = {0};
        ssize_t n = receive(&request, fds, &n_fds);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof request)
            break;
        handle(&request, fds, n_fds, &reply, &pidfd);
        for (int i = 0; i < n_fds; i++)
            close(fds[i]);
        bool ok = reply_with(&reply, pidfd);
        if (pidfd >= 0)
            close(pidfd);
        collect_orphans();
        if (!ok)
            break;
    }
    for (int i = 0; i < VT_WIRE_MAX_JOBS; i++) {
        struct vt_wire_reply unused = {0};
        if (jobs[i].pid)
            reap(jobs[i].pid, &unused);
    }
    cage_close(&cage);
    return 0;
}
