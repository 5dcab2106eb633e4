/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_queue.c: those who ask and those who judge, with a real Redis server between them.
 */
#include "farm/request.h"
#include "queue_bench.h"

static void verdicts(void)
{
    NEEDS_REDIS();
    enum { N = 200 };
    struct redis r;
    struct answer a[N] = {0};
    char code[32], text[4096], key[VT_EVAL_KEY_SIZE], same[VT_EVAL_KEY_SIZE];
    vt_err err;
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t w[2] = {worker_start(r.url, 30, 0.001, 4), worker_start(r.url, 30, 0.001, 4)};
    vt_eval *e = ask_open(r.url);
    for (int i = 0; i < N; i++) {
        snprintf(code, sizeof code, "y= %d", i);
        ask_for(e, t, code, &a[i]);
    }
    for (int i = 0; i < N; i++) {
        WAIT_FOR(a[i].n == 1);
        CHECK_INT(a[i].status, VT_OK);
        CHECK_NEAR(a[i].speedup, i + 0.5, 0);
    }
    CHECK_INT(vt_eval_pending(e), 0);
    CHECK_STR(vt_eval_machine(e), "nowhere");
    CHECK_STR(vt_eval_version(e), "stub-1/0123456789abcdef");
    const struct vt_eval_request q = {.task = t, .code = "y= 7", .code_len = 4};
    CHECK_OK(vt_eval_key(e, &q, key, &err), err);
    CHECK_OK(vt_eval_class_key(&stub_class, &q, same, &err), err);
    CHECK_STR(key, same);
    /* Nothing is left but the answers: no entry, no pending one. */
    struct vt_redis_address address;
    char jobs[VT_QUEUE_KEY_MAX], id[VT_QUEUE_CLASS_SIZE], command[600];
    CHECK_OK(vt_redis_address_read(r.url, &address, &err), err);
    vt_queue_class_id(&stub_class, id);
    vt_queue_name(&address, "jobs", id, jobs);
    snprintf(command, sizeof command, "XLEN %s", jobs);
    redis_ask(&r, command, text, sizeof text);
    CHECK_STR(text, ":0\r\n");
    vt_redis_address_free(&address);
    vt_eval_close(e);
    /* Another who asks finds them, with no worker alive. */
    worker_end(w[0], SIGTERM);
    worker_end(w[1], SIGTERM);
    struct answer again = {0};
    e = ask_open(r.url);
    ask_for(e, t, "y= 7", &again);
    WAIT_FOR(again.n == 1);
    CHECK_NEAR(again.speedup, 7.5, 0);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* A killed worker's jobs are judged by another one when its lease is over, and not before. */
static void taken_over(void)
{
    NEEDS_REDIS();
    struct redis r;
    struct answer a[3] = {0};
    struct vt_ask_state state;
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t first = worker_start(r.url, 1.5, 30, 4);
    vt_eval *e = ask_open(r.url);
    ask_for(e, t, "y= 1", &a[0]);
    ask_for(e, t, "y= 2", &a[1]);
    for (state.n_out = 0; state.n_out < 2; vt_sleep_ms(5))
        vt_ask_state(e, &state);
    vt_sleep_ms(300); /* it has them */
    pid_t second = worker_start(r.url, 1.5, 0.01, 4);
    vt_sleep_ms(2500); /* a lease and a sweep: the first lives, so they stay its own */
    CHECK_INT(a[0].n, 0);
    ask_for(e, t, "y= 3", &a[2]);
    WAIT_FOR(a[2].n == 1); /* the second is there and takes what is new */
    worker_end(first, SIGKILL);
    WAIT_FOR(a[0].n == 1 && a[1].n == 1);
    CHECK_NEAR(a[0].speedup, 1.5, 0);
    CHECK_NEAR(a[1].speedup, 2.5, 0);
    worker_end(second, SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* A worker that is told to stop gives back what it has not ended, at once. */
static void given_back(void)
{
    NEEDS_REDIS();
    struct redis r;
    struct answer a = {0};
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t first = worker_start(r.url, 2, 30, 4);
    vt_eval *e = ask_open(r.url);
    ask_for(e, t, "y= 1", &a);
    vt_sleep_ms(300);
    worker_end(first, SIGTERM);
    pid_t second = worker_start(r.url, 2, 0.01, 4);
    WAIT_FOR(a.n == 1);
    CHECK_NEAR(a.speedup, 1.5, 0);
    worker_end(second, SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* The request's fault is answered; a machine's trouble is tried elsewhere, but not for ever. */
static void failures(void)
{
    NEEDS_REDIS();
    struct redis r;
    struct answer bad = {0}, disk = {0}, fine = {0};
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t w = worker_start(r.url, 0.4, 0.01, 4);
    vt_eval *e = ask_open(r.url);
    ask_for(e, t, "y=bad", &bad);
    ask_for(e, t, "y=disk", &disk);
    WAIT_FOR(bad.n == 1 && disk.n == 1);
    CHECK_INT(bad.status, VT_EINVAL);
    CHECK_STR(bad.why, "the stub was told so");
    CHECK_INT(disk.status, VT_EIO);
    ask_for(e, t, "y= 4", &fine);
    WAIT_FOR(fine.n == 1);
    CHECK_INT(fine.status, VT_OK);
    worker_end(w, SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* What is withdrawn ends at once, and no worker takes it up. */
static void withdrawn(void)
{
    NEEDS_REDIS();
    struct redis r;
    struct answer a[2] = {0};
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t w = worker_start(r.url, 30, 0.01, 4);
    vt_eval *e = ask_open(r.url);
    worker_end(w, SIGTERM);
    ask_for(e, t, "y= 1", &a[0]);
    ask_for(e, t, "y= 2", &a[1]);
    vt_sleep_ms(200);
    vt_eval_cancel(e, &a[0]);
    WAIT_FOR(a[0].n == 1);
    CHECK_INT(a[0].status, VT_ECANCELLED);
    w = worker_start(r.url, 30, 0.01, 4);
    WAIT_FOR(a[1].n == 1);
    CHECK_INT(a[1].status, VT_OK);
    char text[4096], command[600];
    struct vt_redis_address address;
    vt_err err;
    char result[VT_QUEUE_KEY_MAX], key[VT_EVAL_KEY_SIZE];
    const struct vt_eval_request q = {.task = t, .code = "y= 1", .code_len = 4};
    CHECK_OK(vt_eval_key(e, &q, key, &err), err);
    CHECK_OK(vt_redis_address_read(r.url, &address, &err), err);
    vt_queue_name(&address, "result", key, result);
    snprintf(command, sizeof command, "EXISTS %s", result);
    redis_ask(&r, command, text, sizeof text);
    CHECK_STR(text, ":0\r\n");
    vt_redis_address_free(&address);
    struct answer b = {0};
    worker_end(w, SIGTERM);
    ask_for(e, t, "y= 3", &b);
    vt_eval_close(e);
    CHECK_INT(b.n, 1);
    CHECK_INT(b.status, VT_ECANCELLED);
    vt_task_unref(t);
    redis_free(&r);
}

/* A server that lost everything is filled again by those who wait; one that is away is waited for. */
static void forgotten(void)
{
    NEEDS_REDIS();
    struct redis r;
    struct answer a = {0}, b = {0};
    struct vt_ask_state state;
    char text[64];
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t w = worker_start(r.url, 1, 0.01, 4);
    vt_eval *e = ask_open(r.url);
    worker_end(w, SIGTERM);
    ask_for(e, t, "y= 1", &a);
    do
        vt_ask_state(e, &state);
    while (!state.n_out);
    vt_sleep_ms(300);
    redis_ask(&r, "FLUSHALL", text, sizeof text);
    redis_stop(&r, SIGKILL);
    ask_for(e, t, "y= 2", &b);
    vt_sleep_ms(300);
    redis_start(&r);
    w = worker_start(r.url, 1, 0.01, 4);
    WAIT_FOR(a.n == 1 && b.n == 1);
    CHECK_NEAR(a.speedup, 1.5, 0);
    CHECK_NEAR(b.speedup, 2.5, 0);
    vt_ask_state(e, &state);
    CHECK_INT(state.n_again, 1);
    worker_end(w, SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* Each way in which a queue cannot be used is one sentence, soon. */
static void refused(void)
{
    NEEDS_REDIS();
    struct redis r;
    vt_eval *e = NULL;
    vt_err err;
    char url[400], path[128];
    redis_new(&r, "study", true);
    CHECK_INT(vt_ask_open(r.url, 10, &e, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "NOAUTH") && strstr(err.msg, "?password=FILE"));
    snprintf(path, sizeof path, "%s/pw", r.folder);
    CHECK_OK(vt_fs_write_atomic(path, "wrong\n", 6, &err), err);
    snprintf(url, sizeof url, "%s?password=%s", r.url, path);
    chmod(path, 0644);
    CHECK_INT(vt_ask_open(url, 10, &e, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "chmod 600") != NULL);
    chmod(path, 0600);
    CHECK_INT(vt_ask_open(url, 10, &e, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "WRONGPASS") != NULL);
    CHECK_OK(vt_fs_write_atomic(path, "a password\n", 11, &err), err);
    chmod(path, 0600);
    CHECK_INT(vt_ask_open(url, 10, &e, &err), VT_ENOENT);
    CHECK(strstr(err.msg, "no worker has come to the queue 'study' yet") != NULL);
    pid_t w = worker_start(url, 5, 0.01, 4);
    e = ask_open(url);
    vt_eval_close(e);
    worker_end(w, SIGTERM);
    snprintf(url, sizeof url, "%s?password=%s&class=0123456789abcdef", r.url, path);
    CHECK_INT(vt_ask_open(url, 10, &e, &err), VT_ENOENT);
    CHECK(strstr(err.msg, "has had no worker of class 0123456789abcdef, only of ") != NULL);
    redis_free(&r);
    CHECK_INT(vt_ask_open(r.url, 0.5, &e, &err), VT_ETIMEOUT);
    CHECK(strstr(err.msg, "cannot connect to the queue at 127.0.0.1") != NULL);
    CHECK(!e);
}

/* An entry that no asker made: the job as it crosses, between quotes of a line of commands. */
static void enter_by_hand(const struct redis *r, const char *rid, const char *key, vt_task *t, const char *code)
{
    static char command[64 << 10], text[256];
    char jobs[VT_QUEUE_KEY_MAX], id[VT_QUEUE_CLASS_SIZE];
    struct vt_redis_address address;
    struct vt_buf job;
    vt_err err;
    const struct vt_eval_request q = {.task = t, .code = code, .code_len = strlen(code)};
    vt_buf_init(&job, 32 << 10);
    CHECK_OK(vt_farm_request_write(&q, &job, &err), err);
    CHECK(!strchr(job.p, '\''));
    CHECK_OK(vt_redis_address_read(r->url, &address, &err), err);
    vt_queue_class_id(&stub_class, id);
    vt_queue_name(&address, "jobs", id, jobs);
    /* In single quotes a line of commands keeps everything but the quote itself. */
    snprintf(command, sizeof command, "XADD %s * rid %s reply r key %s job '%s'", jobs, rid, key, job.p);
    redis_ask(r, command, text, sizeof text);
    CHECK_INT(text[0], '$');
    vt_buf_free(&job);
    vt_redis_address_free(&address);
}

/* The first answer stays, whoever judges a second time. */
static void first_answer_stays(void)
{
    NEEDS_REDIS();
    struct redis r;
    struct answer a = {0};
    char command[700], text[64], key[VT_EVAL_KEY_SIZE];
    vt_err err;
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t w = worker_start(r.url, 30, 1, 4);
    vt_eval *e = ask_open(r.url);
    const struct vt_eval_request q = {.task = t, .code = "y= 1", .code_len = 4};
    CHECK_OK(vt_eval_key(e, &q, key, &err), err);
    ask_for(e, t, "y= 1", &a);
    vt_sleep_ms(300); /* the worker has it */
    snprintf(command, sizeof command,
             "SET vegttt:study:result:%s '{\"id\":null,\"key\":\"%s\",\"status\":\"correct_fast\",\"correct\":true,"
             "\"speedup\":99.5}'",
             key, key);
    redis_ask(&r, command, text, sizeof text);
    CHECK_STR(text, "+OK\r\n");
    WAIT_FOR(a.n == 1);
    CHECK_NEAR(a.speedup, 99.5, 0);
    worker_end(w, SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* Who calls an evaluation by another key is of another version: that is answered, and not judged. */
static void other_key(void)
{
    NEEDS_REDIS();
    struct redis r;
    char text[4096] = "";
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t w = worker_start(r.url, 30, 0.01, 4);
    vt_eval_close(ask_open(r.url));
    enter_by_hand(&r, "0123", "0123", t, "y= 1");
    for (double until = vt_now_s() + most_s; !strstr(text, "error") && vt_now_s() < until; vt_sleep_ms(20))
        redis_ask(&r, "GET vegttt:study:result:0123", text, sizeof text);
    CHECK(strstr(text, "they are not of one version") != NULL);
    worker_end(w, SIGTERM);
    vt_task_unref(t);
    redis_free(&r);
}

/* One who asks for much holds most of it back: the queue has at most WINDOW of its jobs. What is withdrawn before it
 * was entered ends at once. */
static void more_than_the_window(void)
{
    NEEDS_REDIS();
    enum { WINDOW = 4096, N = WINDOW + 300 };
    static struct answer a[N];
    struct redis r;
    struct vt_ask_state state;
    char code[32];
    vt_task *t = fixture_task("relu");
    redis_new(&r, "study", false);
    pid_t w = worker_start(r.url, 30, 0, 8);
    vt_eval *e = ask_open(r.url);
    worker_end(w, SIGTERM);
    for (int i = 0; i < N; i++) {
        snprintf(code, sizeof code, "y= %d", i);
        ask_for(e, t, code, &a[i]);
    }
    WAIT_FOR((vt_ask_state(e, &state), state.n_out == WINDOW));
    CHECK_INT(state.n_waiting, N - WINDOW);
    vt_eval_cancel(e, &a[N - 1]);
    WAIT_FOR(a[N - 1].n == 1);
    CHECK_INT(a[N - 1].status, VT_ECANCELLED);
    vt_ask_state(e, &state);
    CHECK_INT(state.n_out, WINDOW);
    CHECK_INT(state.n_waiting, N - WINDOW - 1);
    w = worker_start(r.url, 30, 0, 8);
    for (int i = 0; i < N - 1; i++) {
        WAIT_FOR(a[i].n == 1);
        CHECK_NEAR(a[i].speedup, i + 0.5, 0);
    }
    worker_end(w, SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* A queue that has had workers of two classes wants to be told which; what it says of a class must be what its name
 * says. */
static void two_classes(void)
{
    NEEDS_REDIS();
    struct redis r;
    vt_eval *e = NULL;
    vt_err err;
    char text[256], url[256];
    redis_new(&r, "study", false);
    redis_ask(&r,
              "HSET vegttt:study:classes 0123456789abcdef '{\"evaluator\":\"e\",\"machine\":\"m\",\"scale\":\"cpu\","
              "\"tier\":\"c\",\"toolchain\":\"0\"}'",
              text, sizeof text);
    CHECK_INT(vt_ask_open(r.url, 10, &e, &err), VT_EFORMAT);
    CHECK(strstr(err.msg, "what another class is") != NULL);
    redis_ask(&r, "DEL vegttt:study:classes", text, sizeof text);
    pid_t w = worker_start(r.url, 5, 0.01, 4);
    vt_eval_close(ask_open(r.url));
    struct vt_eval_class other = stub_class;
    char id[VT_QUEUE_CLASS_SIZE], command[400];
    other.machine = "elsewhere";
    vt_queue_class_id(&other, id);
    snprintf(command, sizeof command,
             "HSET vegttt:study:classes %s '{\"evaluator\":\"stub-1\",\"machine\":\"elsewhere\",\"scale\":\"cpu\","
             "\"tier\":\"c\",\"toolchain\":\"0123456789abcdef\"}'",
             id);
    redis_ask(&r, command, text, sizeof text);
    CHECK_INT(vt_ask_open(r.url, 10, &e, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "say which by ?class=CLASS") && strstr(err.msg, id));
    snprintf(url, sizeof url, "%s?class=%s", r.url, id);
    CHECK_OK(vt_ask_open(url, 10, &e, &err), err);
    CHECK_STR(vt_eval_machine(e), "elsewhere");
    vt_eval_close(e);
    worker_end(w, SIGTERM);
    redis_free(&r);
}

static const struct test_case cases[] = {
    TEST(verdicts),   TEST(taken_over), TEST(given_back),         TEST(failures),  TEST(withdrawn),
    TEST(forgotten),  TEST(refused),    TEST(first_answer_stays), TEST(other_key), TEST(more_than_the_window),
    TEST(two_classes)};

int main(int argc, char **argv)
{
    return queue_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
