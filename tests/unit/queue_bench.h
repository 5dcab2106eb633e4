/* SPDX-License-Identifier: Apache-2.0
 *
 * queue_bench.h: a real Redis server on loopback, and workers that are processes of their own (this program once more)
 * with a judge that waits a while and says of a code what only depends on the code. So a test can kill them.
 */
#ifndef VT_TEST_QUEUE_BENCH_H
#define VT_TEST_QUEUE_BENCH_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "eval_fixture.h"
#include "farm/ask.h"
#include "farm/worker.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const double most_s = 60;
static const char *self; /* argv[0], set by queue_main */

/* ---- the server ---- */

struct redis {
    char folder[64], url[128], password_file[96];
    int port;
    pid_t pid;
    bool has_password;
};

static inline bool redis_is_installed(void)
{
    return access("/usr/bin/redis-server", X_OK) == 0 || access("/usr/bin/valkey-server", X_OK) == 0;
}
#define NEEDS_REDIS()                                                                                                  \
    if (!redis_is_installed())                                                                                         \
    SKIP("there is no redis-server (Debian: apt-get install redis-server)")

static inline int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static inline bool answers(int port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return is_there;
}

static inline void redis_start(struct redis *r)
{
    char port[16];
    const char *server =
        access("/usr/bin/redis-server", X_OK) == 0 ? "/usr/bin/redis-server" : "/usr/bin/valkey-server";
    snprintf(port, sizeof port, "%d", r->port);
    fflush(stdout);
    r->pid = fork();
    if (r->pid == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, 1);
        dup2(quiet, 2);
        const char *argv[] = {server,       "--port",
                              port,         "--bind",
                              "127.0.0.1",  "--dir",
                              r->folder,    "--save",
                              "",           "--appendonly",
                              "yes",        "--appendfsync",
                              "always",     r->has_password ? "--requirepass" : NULL,
                              "a password", NULL};
        execv(server, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    double until = vt_now_s() + most_s;
    while (!answers(r->port) && vt_now_s() < until)
        vt_sleep_ms(10);
    CHECK(answers(r->port));
}

static inline void redis_stop(struct redis *r, int signo)
{
    kill(r->pid, signo);
    CHECK(waitpid(r->pid, NULL, 0) == r->pid);
}

static inline void redis_new(struct redis *r, const char *name, bool has_password)
{
    *r = (struct redis){.port = free_port(), .has_password = has_password};
    snprintf(r->folder, sizeof r->folder, "/tmp/vegttt-queue-XXXXXX");
    CHECK(mkdtemp(r->folder) != NULL);
    snprintf(r->url, sizeof r->url, "redis://127.0.0.1:%d/%s", r->port, name);
    redis_start(r);
}

static inline void redis_free(struct redis *r)
{
    vt_err err;
    redis_stop(r, SIGKILL);
    CHECK_OK(vt_fs_remove_tree(r->folder, &err), err);
}

/* One command, by a connection of its own; the answer's bytes. For looking at what the queue holds. */
static inline void redis_ask(const struct redis *r, const char *command, char *out, size_t size)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)r->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t n = 0;
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(write(fd, command, strlen(command)) == (ssize_t)strlen(command) && write(fd, "\r\n", 2) == 2);
    shutdown(fd, SHUT_WR);
    for (ssize_t k; n + 1 < size && (k = read(fd, out + n, size - 1 - n)) > 0;)
        n += (size_t)k;
    out[n] = '\0';
    close(fd);
}

/* ---- workers ---- */

static const struct vt_eval_class stub_class = {"c", "cpu", "stub-1", "0123456789abcdef", "nowhere"};

struct stub {
    vt_loop *loop;
    vt_farm_worker *worker;
    double delay_s;
    bool is_over;
};
struct stub_job {
    struct stub *stub;
    struct stub_job *next;
    vt_eval_done *done;
    void *arg;
    vt_timer timer;
    char key[VT_EVAL_KEY_SIZE], code[32];
};
static struct stub_job *stub_jobs;

static inline vt_status stub_key(void *arg, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err)
{
    (void)arg;
    return vt_eval_class_key(&stub_class, r, key, err);
}

static inline void stub_end(struct stub_job *j, vt_status status)
{
    char record[512];
    vt_err err;
    for (struct stub_job **p = &stub_jobs; *p; p = &(*p)->next)
        if (*p == j) {
            *p = j->next;
            break;
        }
    snprintf(
        record, sizeof record,
        "{\"key\":\"%s\",\"status\":\"correct_fast\",\"correct\":true,\"speedup\":%d.5,\"feedback\":\"It is fine.\"}",
        j->key, (int)strtol(j->code + 3, NULL, 10));
    const vt_verdict v = {.json = record, .correct = true};
    if (status != VT_OK)
        (void)vt_fail(&err, status, "the stub was told so");
    j->done(j->arg, status, status == VT_OK ? NULL : &err, status == VT_OK ? &v : NULL);
    free(j);
}

static inline void stub_due(void *arg)
{
    struct stub_job *j = arg;
    if (strcmp(j->code, "y=kill") == 0)
        kill(getpid(), SIGKILL);
    stub_end(j, strcmp(j->code, "y=disk") == 0 ? VT_EIO : strcmp(j->code, "y=bad") == 0 ? VT_EINVAL : VT_OK);
}

static inline vt_status stub_submit(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg,
                                    vt_err *err)
{
    struct stub *s = arg;
    struct stub_job *j = calloc(1, sizeof *j);
    *j = (struct stub_job){.stub = s, .next = stub_jobs, .done = done, .arg = done_arg};
    stub_jobs = j;
    snprintf(j->code, sizeof j->code, "%s", r->code);
    j->timer = vt_loop_after(s->loop, s->delay_s, stub_due, j);
    return vt_eval_class_key(&stub_class, r, j->key, err);
}

static inline void stub_withdraw(void *arg, void *done_arg)
{
    struct stub *s = arg;
    for (struct stub_job *j = stub_jobs; j; j = j->next)
        if (j->arg == done_arg) {
            vt_loop_cancel(s->loop, j->timer);
            stub_end(j, VT_ECANCELLED);
            return;
        }
}

static inline void stub_ended(void *arg, vt_status status, const vt_err *err, const struct vt_farm_worker_count *count)
{
    struct stub *s = arg;
    (void)status, (void)err, (void)count;
    s->is_over = true;
}

static inline void stub_signal(void *arg, int signo)
{
    struct stub *s = arg;
    (void)signo;
    vt_farm_worker_stop(s->worker);
}

/* What the program is when it is started as a worker: PROGRAM worker URL LEASE DELAY IN_FLIGHT. */
static inline int worker_main(char **argv)
{
    vt_err err;
    int n;
    struct vt_redis_address address;
    struct stub s = {.delay_s = strtod(argv[4], NULL)};
    if (vt_redis_address_read(argv[2], &address, &err) != VT_OK || vt_loop_new(&s.loop, &err) != VT_OK ||
        vt_loop_on_signal(s.loop, stub_signal, &s, &err) != VT_OK)
        return 2;
    const struct vt_farm_worker_opts o = {.loop = s.loop,
                                          .address = &address,
                                          .class = stub_class,
                                          .judge = {&s, stub_submit, stub_withdraw},
                                          .key = stub_key,
                                          .max_in_flight = (int)strtol(argv[5], NULL, 10),
                                          .lease_s = strtod(argv[3], NULL),
                                          .grace_s = 5,
                                          .ended = stub_ended,
                                          .arg = &s};
    if (vt_farm_worker_open(&o, &s.worker, &err) != VT_OK)
        return 2;
    while (!s.is_over)
        if (vt_loop_turn(s.loop, -1, &n, &err) != VT_OK)
            return 3;
    vt_farm_worker_free(s.worker);
    vt_loop_free(s.loop);
    vt_redis_address_free(&address);
    return 0;
}

static inline pid_t worker_start(const char *url, double lease_s, double delay_s, int in_flight)
{
    char lease[32], delay[32], n[16];
    snprintf(lease, sizeof lease, "%g", lease_s);
    snprintf(delay, sizeof delay, "%g", delay_s);
    snprintf(n, sizeof n, "%d", in_flight);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        const char *const argv[] = {self, "worker", url, lease, delay, n, NULL};
        execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

static inline void worker_end(pid_t pid, int signo)
{
    int status = 0;
    kill(pid, signo);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(signo == SIGKILL || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/* ---- who asks ---- */

struct answer {
    atomic_int n; /* how often done was called */
    vt_status status;
    double speedup;
    char why[256];
};

static inline void answered(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct answer *a = arg;
    a->status = status;
    a->speedup = v ? v->speedup : 0;
    if (err)
        snprintf(a->why, sizeof a->why, "%.255s", err->msg);
    atomic_fetch_add(&a->n, 1);
}

static inline void ask_for(vt_eval *e, vt_task *t, const char *code, struct answer *a)
{
    vt_err err;
    const struct vt_eval_request r = {.task = t, .code = code, .code_len = strlen(code)};
    CHECK_OK(vt_eval_submit(e, &r, answered, a, &err), err);
}

#define WAIT_FOR(condition)                                                                                            \
    do {                                                                                                               \
        double until_ = vt_now_s() + most_s;                                                                           \
        while (!(condition) && vt_now_s() < until_)                                                                    \
            vt_sleep_ms(5);                                                                                            \
        CHECK(condition);                                                                                              \
    } while (0)

static inline vt_eval *ask_open(const char *url)
{
    vt_eval *e = NULL;
    vt_err err = {.msg = ""};
    vt_status s = VT_ENOENT;
    /* A worker that was just started has not said yet who it is. */
    for (double until = vt_now_s() + most_s; s == VT_ENOENT && vt_now_s() < until; vt_sleep_ms(20))
        s = vt_ask_open(url, 0, &e, &err);
    CHECK_OK(s, err);
    return e;
}

/* The main of a test with workers: the cases, or one worker of theirs. */
static inline int queue_main(const struct test_case *cases, size_t n, int argc, char **argv)
{
    self = argv[0];
    if (argc == 6 && strcmp(argv[1], "worker") == 0)
        return worker_main(argv);
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, n, argc, argv);
}

#endif
