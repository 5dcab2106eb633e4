/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_serve_ends.c: the server of judgements where something ends: room, its own time, a reader's patience; its
 * socket.
 */
#include "farm_bench.h"

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

static const struct test_case cases[] = {
    TEST(no_space), TEST(stop),        TEST(stop_busy), TEST(a_stopped_server_has_patience),
    TEST(threads),  TEST(slow_reader), TEST(listening)};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
