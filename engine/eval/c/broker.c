/* SPDX-License-Identifier: Apache-2.0
 *
 * broker.c: starts vegttt-worker and talks to it.
 *
 * The program is looked for beside this executable or libvegttt, one folder up (build trees) and in ../libexec/vegttt
 * (installed), or where VEGTTT_WORKER says. It is spawned with the socket and /dev/null only: none of this process's
 * descriptors, environment or memory reach it.
 */
#include "eval/c/broker.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/spawn.h"
#include "eval/c/scratch.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct vt_broker {
    pthread_mutex_t lock; /* one exchange at a time */
    int socket;
    pid_t pid;
    atomic_bool is_alive;
    atomic_int refs;
    struct vt_jail jail;
    char slot[VT_WIRE_PATH];
    struct vt_wire_request request;
};

/* The folder that holds this code: the program's, or that of libvegttt. */
static vt_status code_dir(char **out, vt_err *err)
{
    static const char here;
    Dl_info info;
    if (!dladdr(&here, &info) || !info.dli_fname || !strchr(info.dli_fname, '/'))
        return vt_exe_dir(out, err);
    char *path = realpath(info.dli_fname, NULL);
    if (!path)
        return vt_exe_dir(out, err);
    *strrchr(path, '/') = '\0';
    *out = vt_strdup(path[0] ? path : "/");
    free(path);
    return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot start the evaluator's worker: out of memory");
}

static vt_status find_worker(char **out, vt_err *err)
{
    static const char *const places[] = {"vegttt-worker", "../vegttt-worker", "../libexec/vegttt/vegttt-worker",
                                         "../../libexec/vegttt/vegttt-worker"};
    const char *named = getenv("VEGTTT_WORKER");
    char *dir = NULL;
    bool is_closed = false; /* something is there that this user may not run or reach */
    if (named) {
        *out = vt_strdup(named);
        return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot start the evaluator's worker: out of memory");
    }
    VT_TRY(code_dir(&dir, err));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char *path = vt_path_join(dir, places[i]);
        if (!path || access(path, X_OK) == 0) {
            free(dir);
            *out = path;
            return path ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot start the evaluator's worker: out of memory");
        }
        is_closed |= errno == EACCES;
        free(path);
    }
    vt_status s = is_closed ? vt_fail(err, VT_EIO,
                                      "cannot start the evaluator: user %u may not run the program vegttt-worker in "
                                      "%s or may not enter that folder; let others read it, or name a copy in "
                                      "VEGTTT_WORKER",
                                      (unsigned)geteuid(), dir)
                            : vt_fail(err, VT_ENOENT,
                                      "cannot start the evaluator: the program vegttt-worker is not beside %s; build "
                                      "it, or name it in VEGTTT_WORKER",
                                      dir);
    free(dir);
    return s;
}

static vt_status make_slot(struct vt_broker *b, const char *dir, const char *name, vt_err *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } parts[] = {{"", 0711}, {"root", 0755}, {"cc", 0755}, {"work", 0700}};
    int n = snprintf(b->slot, sizeof b->slot, "%s/%s", dir, name);
    if (n < 0 || n > (int)sizeof b->slot - 80)
        return vt_fail(err, VT_ELIMIT, "cannot use %s for evaluation: the path is too long", dir);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char path[VT_WIRE_PATH + 16];
        snprintf(path, sizeof path, "%s/%s", b->slot, parts[i].name);
        if ((mkdir(path, parts[i].mode) != 0 && errno != EEXIST) || chmod(path, parts[i].mode) != 0)
            return vt_fail(err, VT_EIO, "cannot make the evaluator's folder %s: %s; free some space or set TMPDIR",
                           path, strerror(errno));
    }
    return VT_OK;
}

static vt_status spawn_worker(struct vt_broker *b, uint32_t without, vt_err *err)
{
    char *program = NULL, bits[16];
    VT_TRY(find_worker(&program, err));
    snprintf(bits, sizeof bits, "%u", without);
    char *argv[] = {program, b->slot, bits, NULL};
    char *envp[] = {NULL};
    const struct vt_spawn spawn = {program, argv, envp, SOCK_SEQPACKET, VT_WIRE_SOCKET, 3};
    int e = vt_spawn_start(&spawn, &b->pid, &b->socket);
    b->is_alive = e == 0;
    vt_status s = e ? vt_fail(err, VT_EIO, "cannot start the evaluator's worker %s: %s", program, strerror(e)) : VT_OK;
    free(program);
    return s;
}

static bool send_request(struct vt_broker *b, const int *fds, int n_fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * VT_WIRE_RUN_FDS)];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {&b->request, sizeof b->request};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > 0) {
        size_t bytes = sizeof(int) * (size_t)n_fds;
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), fds, bytes);
    }
    return sendmsg(b->socket, &m, MSG_NOSIGNAL) == (ssize_t)sizeof b->request;
}

static bool receive_reply(struct vt_broker *b, struct vt_wire_reply *reply, int *pidfd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {reply, sizeof *reply};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    do {
        n = recvmsg(b->socket, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n == (ssize_t)sizeof *reply ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(pidfd, CMSG_DATA(c), sizeof *pidfd);
    return n == (ssize_t)sizeof *reply;
}

/* b->request is filled in and b->lock held. */
static vt_status exchange(struct vt_broker *b, const int *fds, int n_fds, struct vt_wire_reply *reply, int *pidfd,
                          vt_err *err)
{
    *pidfd = -1;
    if (!b->is_alive || !send_request(b, fds, n_fds) || !receive_reply(b, reply, pidfd)) {
        b->is_alive = false;
        return vt_fail(err, VT_EINTERNAL, "the evaluator's worker ended unexpectedly; its jobs are lost");
    }
    if (reply->error)
        return vt_fail(err, VT_EIO, "the evaluator's worker could not start a process: %s", strerror(reply->error));
    return VT_OK;
}

vt_status vt_broker_open(const char *dir, const char *name, uint32_t without, struct vt_broker **out, vt_err *err)
{
    struct vt_broker *b = vt_alloc(sizeof *b);
    struct vt_wire_reply reply;
    int none;
    *out = NULL;
    if (!b)
        return vt_fail(err, VT_ENOMEM, "cannot open an evaluator slot: out of memory");
    pthread_mutex_init(&b->lock, NULL);
    atomic_init(&b->refs, 1);
    b->socket = -1;
    vt_status s = make_slot(b, dir, name, err);
    if (s == VT_OK)
        s = spawn_worker(b, without, err);
    if (s == VT_OK) {
        b->request.op = VT_WIRE_HELLO;
        s = exchange(b, NULL, 0, &reply, &none, err);
    }
    if (s != VT_OK) {
        vt_broker_close(b);
        return s;
    }
    vt_jail_from_bits(reply.layers, (int)reply.landlock_abi, &b->jail);
    *out = b;
    return VT_OK;
}

struct vt_broker *vt_broker_ref(struct vt_broker *b)
{
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void vt_broker_close(struct vt_broker *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    if (b->socket >= 0)
        close(b->socket);
    if (b->pid > 0) {
        while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (b->slot[0])
        (void)!vt_fs_remove_tree(b->slot, NULL);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

const struct vt_jail *vt_broker_jail(const struct vt_broker *b)
{
    return &b->jail;
}

const char *vt_broker_slot(const struct vt_broker *b)
{
    return b->slot;
}

bool vt_broker_is_alive(const struct vt_broker *b)
{
    return b->is_alive;
}

void vt_broker_shutdown(struct vt_broker *b)
{
    shutdown(b->socket, SHUT_RDWR);
}

static vt_status start(struct vt_broker *b, const int *fds, int n_fds, struct vt_job *out, vt_err *err)
{
    struct vt_wire_reply reply;
    vt_status s = exchange(b, fds, n_fds, &reply, &out->pidfd, err);
    out->pid = s == VT_OK ? reply.pid : 0;
    return s;
}

vt_status vt_broker_run(struct vt_broker *b, const struct vt_run_opts *o, struct vt_job *out, vt_err *err)
{
    pthread_mutex_lock(&b->lock);
    struct vt_wire_request *r = &b->request;
    memset(r, 0, sizeof *r);
    r->op = VT_WIRE_RUN;
    r->va_bytes = o->va_bytes;
    r->image_len = o->image_len;
    r->image = *o->image;
    r->placement = o->placement;
    vt_status s = start(b, o->fds, VT_WIRE_RUN_FDS, out, err);
    pthread_mutex_unlock(&b->lock);
    return s;
}

vt_status vt_broker_compile(struct vt_broker *b, const struct vt_compile_opts *o, struct vt_job *out, vt_err *err)
{
    int fds[VT_WIRE_COMPILE_FDS] = {o->source_fd, o->log_fd, o->image_fd};
    pthread_mutex_lock(&b->lock);
    struct vt_wire_request *r = &b->request;
    memset(r, 0, sizeof *r);
    r->op = VT_WIRE_COMPILE;
    r->max_memory_mib = o->max_memory_mib;
    r->max_cpu_s = o->max_cpu_s;
    r->max_file_mib = o->max_file_mib;
    snprintf(r->object, sizeof r->object, "%s", o->object);
    snprintf(r->symbol, sizeof r->symbol, "%s", o->symbol);
    vt_status s = VT_OK;
    for (size_t i = 0; o->argv[i] && s == VT_OK; i++) {
        size_t len = strlen(o->argv[i]) + 1;
        if (len > sizeof r->args - r->args_len) {
            s = vt_fail(err, VT_ELIMIT, "the compiler's command line is longer than %d bytes", VT_WIRE_ARGS);
            break;
        }
        memcpy(r->args + r->args_len, o->argv[i], len);
        r->args_len += (uint32_t)len;
        r->n_args++;
    }
    if (s == VT_OK)
        s = start(b, fds, VT_WIRE_COMPILE_FDS, out, err);
    pthread_mutex_unlock(&b->lock);
    return s;
}

bool vt_job_has_ended(const struct vt_job *j)
{
    struct pollfd p = {.fd = j->pidfd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

vt_status vt_broker_reap(struct vt_broker *b, struct vt_job *j, struct vt_job_end *out, vt_err *err)
{
    struct vt_wire_reply reply = {0};
    int none;
    if (j->pid == 0)
        return VT_OK;
    pthread_mutex_lock(&b->lock);
    memset(&b->request, 0, sizeof b->request);
    b->request.op = VT_WIRE_REAP;
    b->request.pid = j->pid;
    vt_status s = exchange(b, NULL, 0, &reply, &none, err);
    pthread_mutex_unlock(&b->lock);
    if (j->pidfd >= 0)
        close(j->pidfd);
    *j = (struct vt_job){0, -1};
    if (out)
        *out = (struct vt_job_end){reply.status, reply.cpu_us, reply.max_rss_kib};
    return s;
}

vt_status vt_jail_probe(struct vt_jail *out, vt_err *err)
{
    struct vt_owned dir;
    struct vt_broker *b = NULL;
    memset(out, 0, sizeof *out);
    VT_TRY(vt_scratch_make(&dir, err));
    vt_status s = vt_broker_open(dir.path, "probe", 0, &b, err);
    if (s == VT_OK)
        *out = *vt_broker_jail(b);
    vt_broker_close(b);
    vt_owned_remove(&dir);
    return s;
}
