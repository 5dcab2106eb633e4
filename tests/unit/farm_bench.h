/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_bench.h: a server of judgements over pipes and sockets for tests, with a judge that answers when the test says
 * so. What is awaited is turned for until it is there; the deadline only ends a test that would wait for ever.
 */
#ifndef VT_TEST_FARM_BENCH_H
#define VT_TEST_FARM_BENCH_H

#include "base/clock.h"
#include "eval_fixture.h"
#include "farm/listen.h"
#include "farm/serve.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { MAX_ASKED = 4096, TEXT = 1 << 20 };
static const double deadline_s = 60;

/* ---- a judge ---- */

struct asked {
    vt_eval_done *done;
    void *arg;
    char code[64];
    struct vt_eval_request r;
    bool is_over;
};

struct judge {
    struct asked asked[MAX_ASKED];
    size_t n, n_withdrawn;
    bool refuses, is_slow_to_withdraw;
};

static inline vt_status submit(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg,
                               vt_err *err)
{
    struct judge *j = arg;
    if (j->refuses)
        return vt_fail(err, VT_ELIMIT, "too many wait");
    struct asked *a = &j->asked[j->n++];
    *a = (struct asked){.done = done, .arg = done_arg, .r = *r};
    snprintf(a->code, sizeof a->code, "%s", r->code);
    return VT_OK;
}

static inline void end(struct judge *j, size_t i, vt_status s, const char *json)
{
    vt_err err;
    vt_verdict v = {.json = json};
    j->asked[i].is_over = true;
    if (s == VT_OK) {
        j->asked[i].done(j->asked[i].arg, VT_OK, NULL, &v);
    } else {
        (void)vt_fail(&err, s, "the judge failed");
        j->asked[i].done(j->asked[i].arg, s, &err, NULL);
    }
}

static inline void withdraw(void *arg, void *done_arg)
{
    struct judge *j = arg;
    for (size_t i = 0; i < j->n; i++)
        if (j->asked[i].arg == done_arg && !j->asked[i].is_over) {
            j->n_withdrawn++;
            if (!j->is_slow_to_withdraw)
                end(j, i, VT_ECANCELLED, NULL);
        }
}

/* ---- a server and its other ends ---- */

struct bench {
    vt_loop *loop;
    vt_serve *server;
    struct judge judge;
    size_t n_found;
    int in, out; /* what the client writes to and reads from */
    char *text;  /* what was read from `out` */
    size_t len;
    int n_ended;
    vt_status status;
    struct vt_serve_count count;
    char folder[64], path[96];
};

static inline vt_status find(void *arg, const char *what, vt_task **out, vt_err *err)
{
    struct bench *b = arg;
    b->n_found++;
    if (strcmp(what, "relu") != 0)
        return vt_fail(err, VT_EINVAL, "there is no task %s", what);
    *out = fixture_task("relu");
    return VT_OK;
}

static inline void ended(void *arg, vt_status status, const vt_err *err, const struct vt_serve_count *count)
{
    struct bench *b = arg;
    (void)err;
    b->n_ended++;
    b->status = status;
    b->count = *count;
}

static inline void turn(struct bench *b)
{
    int n = 0;
    vt_err err;
    CHECK_OK(vt_loop_turn(b->loop, 10, &n, &err), err);
}

/* Turns until the condition holds. */
#define UNTIL(b, condition)                                                                                            \
    do {                                                                                                               \
        double until_ = vt_now_s() + deadline_s;                                                                       \
        while (!(condition) && vt_now_s() < until_)                                                                    \
            turn(b);                                                                                                   \
        CHECK(condition);                                                                                              \
    } while (0)

static double grace_s; /* of the next bench */

static inline struct bench *bench_new(bool with_socket, int in_flight)
{
    int in[2], out[2];
    vt_err err;
    struct bench *b = calloc(1, sizeof *b);
    b->text = calloc(1, TEXT);
    CHECK_OK(vt_loop_new(&b->loop, &err), err);
    struct vt_serve_opts o = {.loop = b->loop,
                              .judge = {&b->judge, submit, withdraw},
                              .task = find,
                              .task_arg = b,
                              .max_in_flight = in_flight,
                              .grace_s = grace_s,
                              .ended = ended,
                              .ended_arg = b};
    snprintf(b->folder, sizeof b->folder, "/tmp/vegttt-serve-XXXXXX");
    if (with_socket) {
        CHECK(mkdtemp(b->folder) != NULL);
        snprintf(b->path, sizeof b->path, "%s/here.sock", b->folder);
        o.socket = b->path;
        b->in = b->out = -1;
    } else {
        CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
        o.in_fd = in[0];
        o.out_fd = out[1];
        b->in = in[1];
        b->out = out[0];
        fcntl(b->out, F_SETFL, O_NONBLOCK);
    }
    CHECK_OK(vt_serve_open(&o, &b->server, &err), err);
    return b;
}

static inline void bench_free(struct bench *b)
{
    int n = 0;
    vt_serve_free(b->server);
    (void)!vt_loop_turn(b->loop, 0, &n, NULL); /* done calls on their way */
    vt_loop_free(b->loop);
    if (b->in >= 0)
        close(b->in);
    if (b->out >= 0 && b->out != b->in)
        close(b->out);
    if (b->path[0]) {
        CHECK(access(b->path, F_OK) != 0); /* the socket's file goes with the server */
        rmdir(b->folder);
    }
    free(b->text);
    free(b);
}

static inline void say(int fd, const char *text)
{
    for (size_t n = strlen(text), at = 0; at < n;) {
        ssize_t k = write(fd, text + at, n - at);
        CHECK(k > 0);
        if (k <= 0)
            return;
        at += (size_t)k;
    }
}

static inline void hear_from(struct bench *b, int fd)
{
    ssize_t n = read(fd, b->text + b->len, TEXT - 1 - b->len);
    if (n > 0)
        b->len += (size_t)n;
    b->text[b->len] = 0;
}

static inline bool hears(struct bench *b, const char *what)
{
    hear_from(b, b->out);
    return strstr(b->text, what) != NULL;
}

static inline int connect_to(const struct bench *b)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", b->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline void ask(int fd, const char *id, const char *code)
{
    char line[256];
    snprintf(line, sizeof line, "{\"id\":%s,\"task\":\"relu\",\"code\":\"%s\"}\n", id, code);
    say(fd, line);
}

/* ---- the tests ---- */

#endif
