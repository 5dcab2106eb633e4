/* SPDX-License-Identifier: Apache-2.0
 *
 * child.c: helper children, with a loop and without.
 *
 * A child leads its own process group, reads /dev/null and writes to pipes. Its end is seen on a pidfd, which is
 * readable while the leader is a zombie: then the rest of the group is killed, the pipes are drained of what is in
 * them, and only after that the leader is reaped, because until then its number cannot belong to anybody else. A
 * grandchild that keeps a pipe open therefore delays nothing.
 *
 * A child does not outlive the thread that started it: it asks the kernel for SIGKILL at that thread's end, which also
 * comes when the process is killed. That request can only be made between fork and exec, so vfork is used rather than
 * posix_spawn; fork itself would copy the page tables of a parent that may hold gigabytes. Whatever goes wrong in the
 * child before its exec comes back through a pipe that the exec closes.
 *
 * That signal reaches the leader alone. What the leader has started is the guard's: one more process of the group,
 * forked here, which does nothing but wait for this process's end or the leader's and kills the group then. It holds no
 * descriptor but the two that tell it.
 *
 * It works where this process does, unless that is a folder it may not enter (one of root's, after privileges were
 * dropped): many programs look there first, and gcc gives up when it may not. Then it works in the root folder.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "loop/guard.h"
#include "loop/loop_parts.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_CAP = 1 << 20, READ_CHUNK = 16384, N_CHUNKS = 64, LINE_CAP = 65536 };

struct process {
    pid_t pid;
    int pidfd;
    pid_t guard; /* ends the group when this process has ended; 0 = none */
};

struct stream {
    int fd;             /* -1 after end of file */
    struct vt_buf tail; /* up to twice OUTPUT_CAP; the last OUTPUT_CAP bytes count */
};

struct vt_loop_child {
    struct vt_loop_child *next;
    vt_loop *loop;
    struct process process;
    struct stream out, errout;
    vt_timer deadline;
    bool is_timed_out;
    void (*done)(void *arg, const struct vt_child_result *r);
    void *arg;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Kills what is left of the group, then reaps its leader, whose status it gives, and the guard. */
static int kill_group(struct process *p)
{
    kill(-p->pid, SIGKILL);
    if (p->guard > 0) {
        kill(p->guard, SIGKILL); /* also where it has not joined the group yet */
        (void)wait_for(p->guard);
    }
    int status = wait_for(p->pid);
    p->pid = p->guard = 0;
    return status;
}

static void kill_and_reap(struct process *p)
{
    if (p->pid > 0)
        (void)kill_group(p);
    p->pid = 0;
    close_fd(&p->pidfd);
}

/* ---- the guard ---- */

/* The guard's whole life, between fork and its end: only system calls. It is of the group, so the group's number stays
 * the group's as long as it lives. */
static _Noreturn void keep_guard(pid_t group, int group_fd, int parent_fd, bool ends_with_leader)
{
    enum { GROUP, PARENT, N_FDS, FREE = 8 };
    struct pollfd fds[N_FDS] = {{.fd = GROUP, .events = POLLIN}, {.fd = PARENT, .events = POLLIN}};

    /* First out of the way of the numbers that they get. */
    group_fd = fcntl(group_fd, F_DUPFD, FREE);
    parent_fd = fcntl(parent_fd, F_DUPFD, FREE);
    if (setpgid(0, group) != 0 || dup2(group_fd, GROUP) != GROUP || dup2(parent_fd, PARENT) != PARENT ||
        syscall(SYS_close_range, (unsigned)N_FDS, ~0u, 0u) != 0)
        _exit(127);
    while (poll(fds, N_FDS, -1) < 0 && errno == EINTR)
        ;
    if (fds[PARENT].revents || ends_with_leader)
        kill(0, SIGKILL);
    _exit(0);
}

/* A process of the child's group that outlives this one just long enough to kill the group. Without it (no memory, an
 * old kernel) what the child has started would outlive a killed parent; that is no reason not to start it. */
pid_t vt_guard_start(pid_t group, int group_fd, bool ends_with_leader)
{
    const int parent_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    sigset_t all, old;
    pid_t guard = -1;

    if (parent_fd < 0)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler of ours runs in the guard */
    guard = fork();
    if (guard == 0)
        keep_guard(group, group_fd, parent_fd, ends_with_leader);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(parent_fd);
    return guard > 0 ? guard : 0;
}

/* ---- starting ---- */

/* Descriptor `to` of the child becomes a copy of `from`. */
static bool place(int from, int to)
{
    return from == to ? fcntl(to, F_SETFD, 0) == 0 : dup2(from, to) == to;
}

/* The child between vfork and exec: only system calls. Returns an errno. */
static int become(const char *const argv[], int out, int errout, pid_t parent)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    int null;

    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return errno;
    if (getppid() != parent)
        return ESRCH; /* killed before the request above was made */
    for (int signo = 1; signo < NSIG; signo++)
        (void)sigaction(signo, &by_default, NULL); /* what cannot be set (SIGKILL) needs no setting */
    null = open("/dev/null", O_RDONLY);
    if (null < 0 || !place(null, 0) || !place(out, 1) || !place(errout, 2))
        return errno;
    if (null > 2)
        close(null);
    if (access(".", X_OK) != 0 && chdir("/") != 0)
        return errno;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    return errno;
}

/* Starts the child with its descriptors and signals in place; returns an errno. */
static int spawn_with(const char *const argv[], int out, int errout, pid_t *pid)
{
    const pid_t parent = getpid();
    sigset_t all, old;
    int report[2], e = 0;

    if (pipe2(report, O_CLOEXEC) != 0)
        return errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler of ours runs in the child */
    *pid = vfork();
    if (*pid == 0) {
        const int why = become(argv, out, errout, parent);

        (void)!write(report[1], &why, sizeof why);
        _exit(127);
    }
    if (*pid < 0)
        e = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(report[1]);
    if (*pid > 0 && read(report[0], &e, sizeof e) == (ssize_t)sizeof e)
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
            ;
    close(report[0]);
    return e;
}

static vt_status spawn(const char *const argv[], int out, int errout, struct process *p, vt_err *err)
{
    p->pid = p->guard = 0;
    p->pidfd = -1;
    int e = spawn_with(argv, out, errout, &p->pid);
    if (e != 0) {
        p->pid = 0;
        return vt_fail(err, e == ENOENT ? VT_ENOENT : VT_EIO, "cannot start '%s': %s", argv[0],
                       e == ENOENT ? "no such program in PATH" : strerror(e));
    }
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0); /* close-on-exec by definition */
    if (p->pidfd < 0) {
        e = errno;
        kill_and_reap(p);
        return vt_fail(err, VT_EUNSUPPORTED, "cannot watch '%s': pidfd_open: %s (Linux 5.3 or newer is needed)",
                       argv[0], strerror(e));
    }
    p->guard = vt_guard_start(p->pid, p->pidfd, true);
    return VT_OK;
}

static vt_status make_pipe(int ends[2], vt_err *err)
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = ends[1] = -1;
        return vt_fail(err, VT_EIO, "cannot make a pipe for a child: %s", strerror(errno));
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* a flag of the read end only: the child writes to the other one */
    return VT_OK;
}

/* Reads what the pipe holds now, at most 1 MiB (a pipe's largest size) so that a child that floods it cannot hold the
 * loop. False at end of file. */
static bool read_stream(struct stream *s)
{
    char chunk[READ_CHUNK];
    for (int i = 0; i < N_CHUNKS;) {
        ssize_t n = read(s->fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        if (s->tail.len + (size_t)n > 2 * (size_t)OUTPUT_CAP) {
            memmove(s->tail.p, s->tail.p + s->tail.len - OUTPUT_CAP, OUTPUT_CAP);
            s->tail.len = OUTPUT_CAP;
        }
        vt_buf_add(&s->tail, chunk, (size_t)n);
        i++;
    }
    return true;
}

static void end_stream(vt_loop *l, struct stream *s)
{
    if (s->fd >= 0)
        vt_loop_unwatch(l, s->fd);
    close_fd(&s->fd);
}

static void on_out(void *arg)
{
    struct vt_loop_child *c = arg;
    if (!read_stream(&c->out))
        end_stream(c->loop, &c->out);
}

static void on_errout(void *arg)
{
    struct vt_loop_child *c = arg;
    if (!read_stream(&c->errout))
        end_stream(c->loop, &c->errout);
}

static void on_deadline(void *arg)
{
    struct vt_loop_child *c = arg;
    c->deadline = 0;
    c->is_timed_out = true;
    kill(-c->process.pid, SIGKILL);
}

/* Takes the child off the loop and releases it; the process is killed when it still runs. */
static void release_child(struct vt_loop_child *c)
{
    vt_loop *l = c->loop;
    for (struct vt_loop_child **at = &l->children; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    vt_loop_cancel(l, c->deadline);
    end_stream(l, &c->out);
    end_stream(l, &c->errout);
    if (c->process.pidfd >= 0)
        vt_loop_unwatch(l, c->process.pidfd);
    kill_and_reap(&c->process);
    vt_buf_free(&c->out.tail);
    vt_buf_free(&c->errout.tail);
    free(c);
}

static void reap(struct process *p, int *exit_code, int *signo)
{
    const int status = kill_group(p);
    *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    *signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static const char *capped(const struct stream *s, size_t *len)
{
    *len = s->tail.len > OUTPUT_CAP ? OUTPUT_CAP : s->tail.len;
    return s->tail.p + s->tail.len - *len;
}

static void on_exit_seen(void *arg)
{
    struct vt_loop_child *c = arg;
    struct vt_child_result r = {.timed_out = c->is_timed_out};
    if (c->out.fd >= 0)
        read_stream(&c->out);
    if (c->errout.fd >= 0)
        read_stream(&c->errout);
    r.out = capped(&c->out, &r.out_len);
    r.errout = capped(&c->errout, &r.err_len);
    vt_loop_unwatch(c->loop, c->process.pidfd);
    close_fd(&c->process.pidfd);
    reap(&c->process, &r.exit_code, &r.signo);
    c->done(c->arg, &r);
    release_child(c);
}

static vt_status watch_child(struct vt_loop_child *c, double timeout_s, vt_err *err)
{
    VT_TRY(vt_loop_watch(c->loop, c->out.fd, on_out, c, err));
    VT_TRY(vt_loop_watch(c->loop, c->errout.fd, on_errout, c, err));
    VT_TRY(vt_loop_watch(c->loop, c->process.pidfd, on_exit_seen, c, err));
    c->deadline = vt_loop_after(c->loop, timeout_s, on_deadline, c);
    return c->deadline ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory while starting a child");
}

static void free_children(vt_loop *l)
{
    while (l->children)
        release_child(l->children);
}

vt_status vt_loop_child(vt_loop *l, const char *const argv[], double timeout_s,
                        void (*done)(void *arg, const struct vt_child_result *r), void *arg, vt_err *err)
{
    int out[2] = {-1, -1}, errout[2] = {-1, -1};
    struct vt_loop_child *c = vt_alloc(sizeof *c);
    if (!c)
        return vt_fail(err, VT_ENOMEM, "out of memory while starting '%s'", argv[0]);
    *c = (struct vt_loop_child){.next = l->children, .loop = l, .done = done, .arg = arg, .process.pidfd = -1};
    c->out.fd = c->errout.fd = -1;
    vt_buf_init(&c->out.tail, 2 * OUTPUT_CAP);
    vt_buf_init(&c->errout.tail, 2 * OUTPUT_CAP);
    l->children = c;
    l->free_children = free_children;
    vt_status status;
    if ((status = make_pipe(out, err)) != VT_OK || (status = make_pipe(errout, err)) != VT_OK)
        goto out;
    c->out.fd = out[0];
    c->errout.fd = errout[0];
    out[0] = errout[0] = -1;
    if ((status = spawn(argv, out[1], errout[1], &c->process, err)) == VT_OK)
        status = watch_child(c, timeout_s, err);
out:
    close_fd(&out[0]);
    close_fd(&out[1]);
    close_fd(&errout[0]);
    close_fd(&errout[1]);
    if (status != VT_OK)
        release_child(c);
    return status;
}

/* Hands out the whole lines of `text`; at the end also what follows the last newline. */
static void emit_lines(struct vt_buf *text, bool is_end, void (*on_line)(void *arg, const char *line), void *arg)
{
    size_t start = 0;
    for (size_t i = 0; i < text->len; i++) {
        if (text->p[i] == '\n' || text->p[i] == '\r') {
            text->p[i] = '\0';
            if (i > start && on_line)
                on_line(arg, text->p + start);
            start = i + 1;
        }
    }
    bool is_rest_due = is_end || text->len - start >= LINE_CAP;
    if (is_rest_due && text->len > start && on_line)
        on_line(arg, text->p + start);
    size_t rest = is_rest_due ? 0 : text->len - start;
    if (text->len) {
        memmove(text->p, text->p + text->len - rest, rest);
        text->len = rest;
        text->p[rest] = '\0';
    }
}

/* Waits for output, the end, the deadline or stop_fd; true while the child runs and may go on. */
static bool wait_for_child(const struct process *p, int out_fd, int stop_fd, uint64_t deadline_ns, bool *has_exited,
                           bool *is_stopped)
{
    struct pollfd fds[3] = {
        {.fd = p->pidfd, .events = POLLIN}, {.fd = out_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    uint64_t now_ns = vt_now_ns();
    if (now_ns >= deadline_ns)
        return false;
    uint64_t left_ms = (deadline_ns - now_ns) / 1000000 + 1;
    poll(fds, 3, left_ms > 60000 ? 60000 : (int)left_ms);
    *has_exited = fds[0].revents != 0;
    *is_stopped = fds[2].revents != 0;
    return !*has_exited && !*is_stopped;
}

vt_status vt_child_run_until(const char *const argv[], double timeout_s, int stop_fd,
                             void (*on_line)(void *arg, const char *line), void *arg, int *exit_code, vt_err *err)
{
    int ends[2], signo = 0;
    struct process p;
    *exit_code = -1;
    VT_TRY(make_pipe(ends, err));
    vt_status status = spawn(argv, ends[1], ends[1], &p, err);
    close_fd(&ends[1]);
    if (status != VT_OK) {
        close_fd(&ends[0]);
        return status;
    }
    struct stream s = {.fd = ends[0]};
    vt_buf_init(&s.tail, 2 * OUTPUT_CAP);
    bool has_exited = false, is_stopped = false, is_running;
    double ns = timeout_s > 0 ? timeout_s * 1e9 : 0;
    uint64_t deadline_ns = vt_now_ns() + (ns > 9e18 ? UINT64_C(9000000000000000000) : (uint64_t)ns);
    do {
        is_running = wait_for_child(&p, s.fd, stop_fd, deadline_ns, &has_exited, &is_stopped);
        if (s.fd >= 0 && !read_stream(&s))
            close_fd(&s.fd);
        emit_lines(&s.tail, !is_running, on_line, arg);
    } while (is_running);
    reap(&p, exit_code, &signo);
    close_fd(&p.pidfd);
    close_fd(&s.fd);
    vt_buf_free(&s.tail);
    if (!has_exited && is_stopped)
        return vt_fail(err, VT_ECANCELLED, "'%s' was stopped before its end", argv[0]);
    if (!has_exited)
        return vt_fail(err, VT_ETIMEOUT, "'%s' took longer than %g s and was killed", argv[0], timeout_s);
    return VT_OK;
}

vt_status vt_child_run(const char *const argv[], double timeout_s, void (*on_line)(void *arg, const char *line),
                       void *arg, int *exit_code, vt_err *err)
{
    return vt_child_run_until(argv, timeout_s, -1, on_line, arg, exit_code, err);
}
