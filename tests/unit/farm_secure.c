/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_secure.c: a queue over TLS, with a certificate that this test makes, and a user who may do what the queue needs
 * and nothing else (the ACL of help queue). Who is not trusted, and what a user may not do, is one sentence.
 */
#include "queue_bench.h"

struct secure {
    struct redis r;
    char config[96], cert[96], key[96], password[96];
    int tls_port;
};

static void write_file(const char *path, const char *text)
{
    vt_err err;
    CHECK_OK(vt_fs_write_atomic(path, text, strlen(text), &err), err);
    CHECK(chmod(path, 0600) == 0);
}

static int run_quietly(const char *const argv[])
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        int quiet = open("/dev/null", O_RDWR);
        dup2(quiet, 1);
        dup2(quiet, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* False where this machine's server or openssl cannot do it. */
static bool secure_new(struct secure *s, const char *acl)
{
    char config[1000];
    *s = (struct secure){.r = {.port = free_port()}};
    do
        s->tls_port = free_port();
    while (s->tls_port == s->r.port);
    snprintf(s->r.folder, sizeof s->r.folder, "/tmp/vegttt-queue-XXXXXX");
    CHECK(mkdtemp(s->r.folder) != NULL);
    snprintf(s->cert, sizeof s->cert, "%s/cert.pem", s->r.folder);
    snprintf(s->key, sizeof s->key, "%s/key.pem", s->r.folder);
    snprintf(s->config, sizeof s->config, "%s/redis.conf", s->r.folder);
    snprintf(s->password, sizeof s->password, "%s/password", s->r.folder);
    write_file(s->password, "of the queue\n");
    const char *const make[] = {"openssl", "req",  "-x509", "-newkey", "rsa:2048", "-nodes",
                                "-days",   "2",    "-subj", "/CN=x",   "-addext",  "subjectAltName=IP:127.0.0.1",
                                "-keyout", s->key, "-out",  s->cert,   NULL};
    if (run_quietly(make) != 0)
        return false;
    snprintf(config, sizeof config,
             "port %d\nbind 127.0.0.1\ntls-port %d\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n"
             "tls-auth-clients no\ndir %s\nsave \"\"\nuser default on nopass ~* &* +@all\n"
             "user queue on \">of the queue\" resetkeys resetchannels %s\n",
             s->r.port, s->tls_port, s->cert, s->key, s->cert, s->r.folder, acl);
    write_file(s->config, config);
    s->r.pid = fork();
    if (s->r.pid == 0) {
        int quiet = open("/dev/null", O_RDWR);
        dup2(quiet, 1);
        dup2(quiet, 2);
        execlp("redis-server", "redis-server", s->config, (char *)NULL);
        execlp("valkey-server", "valkey-server", s->config, (char *)NULL);
        _exit(127);
    }
    for (double until = vt_now_s() + most_s; !answers(s->tls_port) && vt_now_s() < until; vt_sleep_ms(10))
        if (waitpid(s->r.pid, NULL, WNOHANG) == s->r.pid)
            return false;
    return answers(s->tls_port);
}

#define ACL_OF_THE_QUEUE                                                                                               \
    "~vegttt:* &vegttt:* +ping +hset +hgetall +xadd +xdel +xack +xclaim +xpending +xrange +xreadgroup +xgroup +get "   \
    "+set "                                                                                                            \
    "+exists +del +zadd +zrem +zcount +zremrangebyscore +publish +subscribe +multi +exec"

static void over_tls(void)
{
    NEEDS_REDIS();
    struct secure s;
    struct answer a = {0};
    char url[400];
    vt_eval *e = NULL;
    vt_err err;
    if (!secure_new(&s, ACL_OF_THE_QUEUE))
        SKIP("redis-server has no TLS here, or there is no openssl");
    vt_task *t = fixture_task("relu");
    snprintf(url, sizeof url, "rediss://queue@127.0.0.1:%d/study?ca=%s&password=%s", s.tls_port, s.cert, s.password);
    pid_t w = worker_start(url, 5, 0.01, 4);
    e = ask_open(url);
    ask_for(e, t, "y= 3", &a);
    WAIT_FOR(a.n == 1);
    CHECK_INT(a.status, VT_OK);
    CHECK_NEAR(a.speedup, 3.5, 0);
    vt_eval_close(e);
    worker_end(w, SIGTERM);
    /* An authority that this machine does not know, and a user without a password. */
    snprintf(url, sizeof url, "rediss://queue@127.0.0.1:%d/study?password=%s", s.tls_port, s.password);
    e = NULL;
    CHECK(vt_ask_open(url, 10, &e, &err) != VT_OK);
    CHECK(strstr(err.msg, "certificate") != NULL);
    snprintf(url, sizeof url, "rediss://queue@127.0.0.1:%d/study?ca=%s", s.tls_port, s.cert);
    CHECK_INT(vt_ask_open(url, 10, &e, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "password=FILE") != NULL);
    vt_task_unref(t);
    redis_free(&s.r);
}

/* A user who may not enter jobs: the evaluation ends with what the server says, and is not waited for. */
static void a_user_who_may_not(void)
{
    NEEDS_REDIS();
    struct secure s;
    struct answer a = {0};
    char url[400];
    if (!secure_new(&s, "~vegttt:* &vegttt:* +ping +hgetall +subscribe +xadd +zcount"))
        SKIP("redis-server has no TLS here, or there is no openssl");
    vt_task *t = fixture_task("relu");
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/study", s.r.port);
    pid_t w = worker_start(url, 5, 0.01, 4);
    vt_eval_close(ask_open(url));
    snprintf(url, sizeof url, "redis://queue@127.0.0.1:%d/study?password=%s", s.r.port, s.password);
    vt_eval *e = ask_open(url);
    ask_for(e, t, "y= 3", &a);
    WAIT_FOR(a.n == 1);
    CHECK_INT(a.status, VT_EIO);
    CHECK(strstr(a.why, "NOPERM") != NULL);
    vt_eval_close(e);
    worker_end(w, SIGTERM);
    vt_task_unref(t);
    redis_free(&s.r);
}

static const struct test_case cases[] = {TEST(over_tls), TEST(a_user_who_may_not)};

int main(int argc, char **argv)
{
    return queue_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
