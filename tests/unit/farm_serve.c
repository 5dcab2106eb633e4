/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_serve.c: the server of judgements over pipes and sockets, with a judge that answers when the test says so. What
 * is awaited is turned for until it is there; the deadline only ends a test that would wait for ever.
 */
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

static vt_status submit(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg, vt_err *err)
{
    struct judge *j = arg;
    if (j->refuses)
        return vt_fail(err, VT_ELIMIT, "too many wait");
    struct asked *a = &j->asked[j->n++];
    *a = (struct asked){.done = done, .arg = done_arg, .r = *r};
    snprintf(a->code, sizeof a->code, "%s", r->code);
    return VT_OK;
}

static void end(struct judge *j, size_t i, vt_status s, const char *json)
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

static void withdraw(void *arg, void *done_arg)
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

static vt_status find(void *arg, const char *what, vt_task **out, vt_err *err)
{
    struct bench *b = arg;
    b->n_found++;
    if (strcmp(what, "relu") != 0)
        return vt_fail(err, VT_EINVAL, "there is no task %s", what);
    *out = fixture_task("relu");
    return VT_OK;
}

static void ended(void *arg, vt_status status, const vt_err *err, const struct vt_serve_count *count)
{
    struct bench *b = arg;
    (void)err;
    b->n_ended++;
    b->status = status;
    b->count = *count;
}

static void turn(struct bench *b)
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

static struct bench *bench_new(bool with_socket, int in_flight)
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

static void bench_free(struct bench *b)
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

static void say(int fd, const char *text)
{
    for (size_t n = strlen(text), at = 0; at < n;) {
        ssize_t k = write(fd, text + at, n - at);
        CHECK(k > 0);
        if (k <= 0)
            return;
        at += (size_t)k;
    }
}

static void hear_from(struct bench *b, int fd)
{
    ssize_t n = read(fd, b->text + b->len, TEXT - 1 - b->len);
    if (n > 0)
        b->len += (size_t)n;
    b->text[b->len] = 0;
}

static bool hears(struct bench *b, const char *what)
{
    hear_from(b, b->out);
    return strstr(b->text, what) != NULL;
}

static int connect_to(const struct bench *b)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", b->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void ask(int fd, const char *id, const char *code)
{
    char line[256];
    snprintf(line, sizeof line, "{\"id\":%s,\"task\":\"relu\",\"code\":\"%s\"}\n", id, code);
    say(fd, line);
}

/* ---- the tests ---- */

/* Answers in the order in which verdicts come, ids exact, each bad line answered with its number, in any position. */
static void lines(void)
{
    struct bench *b = bench_new(false, 0);
    say(b->in,
        "{\"id\":12345678901234567890123,\"task\":\"relu\",\"code\":\"a\"}\n\n  \r\nno json\n"
        "{\"id\":\"b\",\"task\":\"tanh\",\"code\":\"x\"}\n{\"id\":{\"k\":1.0},\"task\":\"relu\",\"answer\":\"b\"}\r\n"
        "{\"id\":3,\"task\":\"relu\",\"code\":\"c\",\"nonsense\":1}\n"
        "{\"id\":4,\"task\":\"relu\",\"code\":\"d\",\"protocol\":\"full\"}");
    UNTIL(b, b->judge.n == 2);
    CHECK(hears(b, "{\"id\":null,\"error\":\"the request is not valid JSON"));
    CHECK(hears(b, ",\"code\":\"EFORMAT\",\"line\":4}\n"));
    CHECK(hears(b, "{\"id\":\"b\",\"error\":\"there is no task tanh\",\"code\":\"EINVAL\",\"line\":5}\n"));
    CHECK(hears(b, "{\"id\":3,\"error\":\"a request has no field 'nonsense'"));
    CHECK(hears(b, ",\"line\":7}\n"));
    CHECK_STR(b->judge.asked[0].code, "a");
    CHECK(!b->judge.asked[0].r.extract && b->judge.asked[1].r.extract);
    close(b->in);
    b->in = -1;
    UNTIL(b, b->judge.n == 3); /* the last line has no end */
    CHECK_INT(b->judge.asked[2].r.protocol, VT_PROTOCOL_FULL);
    b->len = 0;
    end(&b->judge, 2, VT_OK, "{\"status\":\"one\"}");
    UNTIL(b, hears(b, "{\"id\":4,\"status\":\"one\"}\n"));
    end(&b->judge, 1, VT_EJAIL, NULL);
    UNTIL(b, hears(b, "{\"id\":{\"k\":1.0},\"error\":\"the judge failed\",\"code\":\"EJAIL\",\"line\":6}\n"));
    CHECK_INT(b->n_ended, 0);
    end(&b->judge, 0, VT_OK, "{\"status\":\"two\"}");
    UNTIL(b, b->n_ended == 1);
    CHECK(hears(b, "{\"id\":12345678901234567890123,\"status\":\"two\"}\n"));
    CHECK_INT(b->status, VT_OK);
    CHECK_INT(b->count.n_requests, 6);
    CHECK_INT(b->count.n_judged, 2);
    CHECK_INT(b->count.n_refused, 4);
    CHECK_INT(b->count.n_dropped, 0);
    CHECK_INT(b->n_found, 4); /* each time it is named: the file may have changed */
    bench_free(b);
}

/* A line without end is told about once and skipped; what follows is read again. A judge that takes nothing is said. */
static void long_line(void)
{
    struct bench *b = bench_new(false, 0);
    char *part = malloc(65537);
    memset(part, 'a', 65536);
    part[65536] = 0;
    fcntl(b->in, F_SETFL, O_NONBLOCK);
    for (size_t sent = 0; sent < (size_t)9 << 20;) {
        ssize_t n = write(b->in, part, 65536);
        sent += n > 0 ? (size_t)n : 0;
        turn(b);
    }
    fcntl(b->in, F_SETFL, 0);
    b->judge.refuses = true;
    say(b->in, "\n");
    ask(b->in, "2", "x");
    UNTIL(b, hears(b, "\"line\":2}\n"));
    CHECK(strstr(b->text, "{\"id\":null,\"error\":\"the line is longer than 4 MB\",\"code\":\"ELIMIT\",\"line\":1}\n"
                          "{\"id\":2,\"error\":\"too many wait\",\"code\":\"ELIMIT\",\"line\":2}\n") == b->text);
    free(part);
    bench_free(b);
}

/* Verdicts that come between two turns of the loop are answered in the order in which they came. */
static void order(void)
{
    struct bench *b = bench_new(false, 0);
    for (int i = 0; i < 3; i++) {
        char id[2] = {(char)('1' + i), 0};
        ask(b->in, id, "x");
    }
    UNTIL(b, b->judge.n == 3);
    for (size_t i = 0; i < 3; i++)
        end(&b->judge, (i + 2) % 3, VT_OK, "{}");
    UNTIL(b, hears(b, "{\"id\":2}\n"));
    CHECK_STR(b->text, "{\"id\":3}\n{\"id\":1}\n{\"id\":2}\n");
    bench_free(b);
}

/* No more requests are taken than may be under way; the rest waits in the pipe. */
static void room(void)
{
    struct bench *b = bench_new(false, 2);
    for (int i = 0; i < 5; i++)
        ask(b->in, "1", "x");
    UNTIL(b, b->judge.n == 2);
    for (int i = 0; i < 5; i++)
        turn(b);
    CHECK_INT(b->judge.n, 2);
    end(&b->judge, 1, VT_OK, "{}");
    UNTIL(b, b->judge.n == 3);
    for (int i = 0; i < 5; i++)
        turn(b);
    CHECK_INT(b->judge.n, 3);
    for (size_t i = 0; i < 5; i++) {
        UNTIL(b, b->judge.n > i);
        if (!b->judge.asked[i].is_over)
            end(&b->judge, i, VT_OK, "{}");
    }
    close(b->in);
    b->in = -1;
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->count.n_judged, 5);
    bench_free(b);
}

/* Clients take turns, whoever came first and sends most. */
static void turns(void)
{
    struct bench *b = bench_new(true, 2);
    int greedy = connect_to(b), modest = connect_to(b);
    for (int i = 0; i < 10; i++)
        ask(greedy, "1", "greedy");
    UNTIL(b, b->judge.n == 2);
    ask(modest, "2", "modest");
    for (int i = 0; i < 20; i++)
        turn(b);
    end(&b->judge, 0, VT_OK, "{}");
    end(&b->judge, 1, VT_OK, "{}");
    UNTIL(b, b->judge.n == 4);
    CHECK(strcmp(b->judge.asked[2].code, "modest") == 0 || strcmp(b->judge.asked[3].code, "modest") == 0);
    close(greedy);
    close(modest);
    bench_free(b);
}

/* A client that went away takes its requests with it, and only them; one that only stopped sending gets its answers. */
static void gone(void)
{
    struct bench *b = bench_new(true, 0);
    int dead = connect_to(b), half = connect_to(b);
    for (int i = 0; i < 3; i++)
        ask(dead, "1", "dead");
    UNTIL(b, b->judge.n == 3);
    ask(half, "2", "half");
    shutdown(half, SHUT_WR);
    UNTIL(b, b->judge.n == 4);
    b->judge.is_slow_to_withdraw = true;
    end(&b->judge, 0, VT_OK, "{}");
    UNTIL(b, (hear_from(b, dead), strstr(b->text, "{\"id\":1}")));
    close(dead);
    UNTIL(b, b->judge.n_withdrawn == 2);
    CHECK(!b->judge.asked[3].is_over);
    end(&b->judge, 1, VT_ECANCELLED, NULL);
    end(&b->judge, 2, VT_OK, "{}"); /* it was about to come */
    end(&b->judge, 3, VT_OK, "{\"status\":\"half\"}");
    UNTIL(b, (hear_from(b, half), strstr(b->text, "{\"id\":2,\"status\":\"half\"}\n")));
    char byte;
    UNTIL(b, read(half, &byte, 1) == 0); /* then it is closed */
    vt_serve_stop(b->server);
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->count.n_judged, 2);
    CHECK_INT(b->count.n_dropped, 2);
    close(half);
    bench_free(b);
}

/* A client that only stopped sending is served to the end: its last lines are read, and its last answer is written
 * whole, although it takes many writes. */
static void the_end_of_a_client(void)
{
    struct bench *b = bench_new(true, 1);
    int other = connect_to(b), half = connect_to(b);
    const size_t size = 3 << 20;
    char *record = calloc(1, size + 64);
    memset(record, 'a', size);
    memcpy(record, "{\"a\":\"", 6);
    memcpy(record + size, "\"}", 3);
    ask(other, "0", "x"); /* takes all the room, so that the next one has lines and nothing under way */
    UNTIL(b, b->judge.n == 1);
    for (int i = 0; i < 3; i++)
        ask(half, "1", "x");
    shutdown(half, SHUT_WR);
    for (size_t i = 0; i < 4; i++) {
        UNTIL(b, b->judge.n == i + 1); /* one at a time */
        for (int k = 0; k < 3; k++)
            turn(b);
        end(&b->judge, i, VT_OK, i < 3 ? "{}" : record);
    }
    size_t n = 0;
    char *sink = malloc(1 << 16);
    for (double until = vt_now_s() + deadline_s; vt_now_s() < until; turn(b)) {
        ssize_t k = read(half, sink, 1 << 16);
        n += k > 0 ? (size_t)k : 0;
        if (k == 0)
            break;
    }
    CHECK_INT(n, 2 * strlen("{\"id\":1}\n") + strlen("{\"id\":1,") + size + 2 - 1 + 1);
    close(half);
    close(other);
    free(sink);
    free(record);
    bench_free(b);
}

/* Nobody reads the answers on a pipe: the same, and there is nobody else to go on for. */
static void nobody_reads(void)
{
    struct bench *b = bench_new(false, 0);
    ask(b->in, "1", "x");
    ask(b->in, "2", "x");
    UNTIL(b, b->judge.n == 2);
    close(b->out);
    b->out = -1;
    UNTIL(b, b->judge.n_withdrawn == 2);
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->status, VT_OK);
    CHECK_INT(b->count.n_dropped, 2);
    bench_free(b);
}

/* Answers that do not fit on the disk are no answers: the server ends and says why. */
static void no_space(void)
{
    vt_err err;
    struct bench *b = bench_new(false, 0);
    vt_serve_free(b->server);
    int in[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) {
        bench_free(b);
        SKIP("there is no /dev/full here");
    }
    CHECK(pipe2(in, O_CLOEXEC) == 0);
    const struct vt_serve_opts o = {.loop = b->loop,
                                    .judge = {&b->judge, submit, withdraw},
                                    .task = find,
                                    .task_arg = b,
                                    .in_fd = in[0],
                                    .out_fd = full,
                                    .ended = ended,
                                    .ended_arg = b};
    CHECK_OK(vt_serve_open(&o, &b->server, &err), err);
    ask(in[1], "1", "x");
    UNTIL(b, b->judge.n == 1);
    end(&b->judge, 0, VT_OK, "{}");
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->status, VT_EIO);
    close(in[0]);
    close(in[1]);
    close(full);
    bench_free(b);
}

/* A stop is said to everyone who waits; a verdict that was about to come is given; new lines and clients are not met.
 */
static void stop(void)
{
    struct bench *b = bench_new(true, 2);
    b->out = connect_to(b);
    ask(b->out, "1", "x");
    ask(b->out, "2", "x");
    UNTIL(b, b->judge.n == 2);
    ask(b->out, "3", "x");
    b->judge.is_slow_to_withdraw = true;
    vt_serve_stop(b->server);
    vt_serve_stop(b->server);
    CHECK_INT(b->judge.n_withdrawn, 2);
    end(&b->judge, 1, VT_OK, "{}");
    end(&b->judge, 0, VT_ECANCELLED, NULL);
    UNTIL(b, b->n_ended == 1);
    CHECK(hears(b, "{\"id\":2}\n"));
    CHECK(hears(b, "{\"id\":1,\"error\":\"not judged: the server was told to stop first"));
    CHECK(!hears(b, "{\"id\":3"));
    CHECK_INT(b->judge.n, 2);
    CHECK_INT(b->count.n_judged, 1);
    CHECK_INT(b->count.n_dropped, 1);
    CHECK(access(b->path, F_OK) != 0);
    for (int i = 0; i < 3; i++)
        turn(b);
    CHECK_INT(b->n_ended, 1);
    bench_free(b);
}

/* A judge that is busy for long does not keep a stopped server: after the grace time what it has not given is said to
 * be not judged, and it is over; the verdict that comes after all goes to nobody. With a grace time that begins only
 * when nothing is under way, or without the answer, this waits for ever. */
static void stop_busy(void)
{
    grace_s = 0.05;
    struct bench *b = bench_new(true, 2);
    grace_s = 0;
    int other = connect_to(b);
    b->out = connect_to(b);
    ask(b->out, "1", "x");
    ask(other, "2", "x");
    UNTIL(b, b->judge.n == 2);
    b->judge.is_slow_to_withdraw = true;
    vt_serve_stop(b->server);
    CHECK_INT(b->judge.n_withdrawn, 2);
    CHECK_INT(b->n_ended, 0);
    UNTIL(b, b->n_ended == 1);
    CHECK(hears(b, "{\"id\":1,\"error\":\"not judged: the server was told to stop first"));
    hear_from(b, other);
    CHECK(strstr(b->text, "{\"id\":2,\"error\":\"not judged") != NULL);
    CHECK_INT(b->count.n_dropped, 2);
    CHECK_INT(b->count.n_judged, 0);
    end(&b->judge, 0, VT_OK, "{}");
    turn(b);
    vt_serve_free(b->server);
    b->server = NULL;
    end(&b->judge, 1, VT_OK, "{}");
    turn(b);
    CHECK_INT(b->n_ended, 1);
    CHECK(!hears(b, "{\"id\":1}"));
    close(other);
    bench_free(b);
}

/* Told to stop, a server that has its verdicts waits a little for whoever does not read: not for ever, and not before.
 */
static void a_stopped_server_has_patience(void)
{
    grace_s = 0.4;
    struct bench *b = bench_new(true, 2);
    grace_s = 0;
    char *record = calloc(1, (4 << 20) + 64);
    memset(record, 'a', (4 << 20) + 32);
    memcpy(record, "{\"a\":\"", 6);
    memcpy(record + (4 << 20), "\"}", 3);
    b->out = connect_to(b);
    ask(b->out, "1", "x");
    UNTIL(b, b->judge.n == 1);
    end(&b->judge, 0, VT_OK, record);
    turn(b);
    vt_serve_stop(b->server);
    for (int i = 0; i < 3; i++)
        turn(b);
    CHECK_INT(b->n_ended, 0); /* it may still read */
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->count.n_judged, 1);
    free(record);
    bench_free(b);
}

static void *judge_two(void *arg)
{
    struct bench *b = arg;
    end(&b->judge, 0, VT_OK, "{}");
    end(&b->judge, 1, VT_OK, "{}");
    return NULL;
}

/* Verdicts come on another thread; a server that is freed with requests under way waits for them in vain, not for ever.
 */
static void threads(void)
{
    for (int is_freed = 0; is_freed < 2; is_freed++) {
        pthread_t thread;
        struct bench *b = bench_new(false, 0);
        ask(b->in, "1", "x");
        ask(b->in, "2", "x");
        UNTIL(b, b->judge.n == 2);
        b->judge.is_slow_to_withdraw = true;
        if (is_freed) {
            vt_serve_free(b->server);
            b->server = NULL;
            CHECK_INT(b->judge.n_withdrawn, 2);
        }
        CHECK_INT(pthread_create(&thread, NULL, judge_two, b), 0);
        if (!is_freed)
            UNTIL(b, hears(b, "{\"id\":1}\n") && hears(b, "{\"id\":2}\n"));
        pthread_join(thread, NULL);
        CHECK_INT(b->n_ended, 0);
        bench_free(b);
    }
}

/* A client that does not read its answers is not asked for more, and others are. */
static void slow_reader(void)
{
    struct bench *b = bench_new(true, 2);
    int slow = connect_to(b);
    char *record = malloc((1 << 20) + 64);
    memset(record, 'a', (1 << 20) + 63);
    memcpy(record, "{\"a\":\"", 6);
    memcpy(record + (1 << 20), "\"}", 3);
    for (int i = 0; i < 12; i++)
        ask(slow, "1", "slow");
    for (size_t i = 0; i < b->judge.n || i < 6; i++) {
        UNTIL(b, b->judge.n > i);
        end(&b->judge, i, VT_OK, record);
        turn(b);
    }
    size_t n = b->judge.n;
    CHECK(n < 9); /* four megabytes are unread, two were under way */
    int other = connect_to(b);
    ask(other, "2", "other");
    UNTIL(b, b->judge.n == n + 1);
    CHECK_STR(b->judge.asked[n].code, "other");
    close(other);
    /* Once it reads, the rest is taken. */
    char *sink = malloc(1 << 20);
    double until = vt_now_s() + deadline_s;
    while (b->judge.n < 13 && vt_now_s() < until) {
        (void)!read(slow, sink, 1 << 20);
        turn(b);
        for (size_t i = n + 1; i < b->judge.n; i++)
            if (!b->judge.asked[i].is_over)
                end(&b->judge, i, VT_OK, "{}");
    }
    CHECK_INT(b->judge.n, 13);
    close(slow);
    free(sink);
    free(record);
    bench_free(b);
}

static void listening(void)
{
    int fd, other;
    vt_err err;
    char folder[] = "/tmp/vegttt-listen-XXXXXX", path[64], longer[256];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/here.sock", folder);
    CHECK_OK(vt_listen_unix(path, &fd, &err), err);
    struct stat st;
    CHECK(stat(path, &st) == 0 && (st.st_mode & 077) == 0);
    CHECK_INT(vt_listen_unix(path, &other, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "another server does") != NULL);
    close(fd); /* it died: its file stays, and is no obstacle */
    CHECK_OK(vt_listen_unix(path, &fd, &err), err);
    close(fd);
    unlink(path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    CHECK_INT(vt_listen_unix(path, &other, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "it is a file") != NULL && access(path, F_OK) == 0);
    unlink(path);
    snprintf(longer, sizeof longer, "%s/%0120d", folder, 0);
    CHECK_INT(vt_listen_unix(longer, &other, &err), VT_EINVAL);
    CHECK_INT(vt_listen_unix("", &other, &err), VT_EINVAL);
    snprintf(longer, sizeof longer, "%s/absent/here.sock", folder);
    CHECK_INT(vt_listen_unix(longer, &other, &err), VT_EIO);
    rmdir(folder);
}

static const struct test_case cases[] = {TEST(lines),
                                         TEST(long_line),
                                         TEST(room),
                                         TEST(order),
                                         TEST(turns),
                                         TEST(gone),
                                         TEST(the_end_of_a_client),
                                         TEST(nobody_reads),
                                         TEST(no_space),
                                         TEST(stop),
                                         TEST(stop_busy),
                                         TEST(a_stopped_server_has_patience),
                                         TEST(threads),
                                         TEST(slow_reader),
                                         TEST(listening)};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
