/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_queue.c: many requests: a long queue stays small, equal requests share one evaluation, cancelling and closing
 * leave nothing behind, the store is used for what is deterministic, and hostile candidates do not hurt their
 * successors (60 in a row; 1,000 with VEGTTT_FULL=1).
 */
#include "base/fs.h"
#include "eval_fixture.h"
#include <dirent.h>
#include <sys/wait.h>

struct tally {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int n_done, n_cancelled, n_failed, by_status[VT_FLAGGED + 1];
    double speedup[64];
    bool cached[64];
};

static void tally_init(struct tally *t)
{
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->cond, NULL);
}

static void count(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct tally *t = arg;
    pthread_mutex_lock(&t->lock);
    if (v) {
        t->by_status[v->status]++;
        if (t->n_done < 64) {
            t->speedup[t->n_done] = v->speedup_measured;
            t->cached[t->n_done] = v->cached;
        }
    } else if (status == VT_ECANCELLED) {
        t->n_cancelled++;
    } else {
        t->n_failed++;
        printf("  %s\n", err->msg);
    }
    t->n_done++;
    pthread_cond_signal(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

static void await(struct tally *t, int n)
{
    pthread_mutex_lock(&t->lock);
    while (t->n_done < n)
        pthread_cond_wait(&t->cond, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static vt_eval *open_eval(const char *store, int n_build)
{
    vt_eval *e = NULL;
    vt_err err;
    struct vt_eval_opts o = {.n_build = n_build, .store = store};
    CHECK_OK(vt_eval_open(&o, &e, &err), err);
    return e;
}

static void submit(vt_eval *e, vt_task *task, const char *code, struct tally *t, struct vt_eval_request r)
{
    vt_err err;
    r.task = task;
    r.code = code;
    r.code_len = strlen(code);
    CHECK_OK(vt_eval_submit(e, &r, count, t, &err), err);
}

static long resident_kib(void)
{
    struct vt_buf b;
    long kib = 0;
    if (vt_fs_read("/proc/self/status", 65536, &b, NULL) == VT_OK) {
        const char *p = strstr(b.p, "VmRSS:");
        kib = p ? strtol(p + 6, NULL, 10) : 0;
        vt_buf_free(&b);
    }
    return kib;
}

static int open_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void ten_thousand_queued(void)
{
    struct tally t;
    char code[256];
    tally_init(&t);
    vt_eval *e = open_eval(NULL, 1);
    vt_task *task = fixture_task("relu");
    struct fixture_result first; /* what the task itself needs is there before */
    fixture_judge(e, task, "for (int i = 0; i < n; i++) y[i] = 0;", (struct vt_eval_request){.skip_timing = true},
                  &first);
    fixture_result_free(&first);
    long before = resident_kib();
    for (int i = 0; i < 10000; i++) {
        snprintf(code, sizeof code, "/* %d */ for (int i = 0; i < n; i++) y[i] = x[i] > %d ? x[i] : 0;", i, i);
        submit(e, task, code, &t, (struct vt_eval_request){.skip_timing = true});
    }
    CHECK(vt_eval_pending(e) > 9900);
    long grown = resident_kib() - before;
    printf("  10,000 queued: %ld KiB\n", grown);
#if !defined(__SANITIZE_THREAD__) /* its shadow memory is counted, too */
    CHECK(grown < 64 * 1024);
#endif
    vt_eval_cancel_all(e);
    await(&t, 9990);
    vt_eval_close(e);
    CHECK_INT(t.n_done, 10000);
    CHECK_INT(t.n_failed, 0);
    CHECK(t.n_cancelled >= 9900);
    vt_task_unref(task);
}

static void equal_requests_share(void)
{
    struct tally t;
    tally_init(&t);
    vt_eval *e = open_eval(NULL, 2);
    vt_task *task = fixture_task("row_sum");
    const char *code =
        "for (int i = 0; i < m; i++) { double s = 0; for (int j = 0; j < n; j++) s += x[i * n + j]; y[i] = s; }";
    for (int i = 0; i < 32; i++)
        submit(e, task, code, &t, (struct vt_eval_request){0});
    await(&t, 32);
    CHECK_INT(t.by_status[VT_CORRECT_SLOW] + t.by_status[VT_CORRECT_FAST], 32);
    for (int i = 1; i < 32; i++)
        CHECK_NEAR(t.speedup[i], t.speedup[0], 0);
    /* Asked for afresh, each is timed by itself. */
    tally_init(&t);
    for (int i = 0; i < 4; i++)
        submit(e, task, code, &t, (struct vt_eval_request){.fresh = true});
    await(&t, 4);
    CHECK(t.speedup[0] != t.speedup[1] || t.speedup[1] != t.speedup[2] || t.speedup[2] != t.speedup[3]);
    CHECK_INT(vt_eval_pending(e), 0);
    vt_eval_close(e);
    vt_task_unref(task);
}

static void store_keeps_what_is_deterministic(void)
{
    char dir[] = "/tmp/vegttt-store-test-XXXXXX";
    static const struct {
        const char *code;
        bool is_kept;
    } kinds[] = {{"y[0] = nosuch;", true},
                 {"y[0] = 1;", true},
                 {"for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;", false},
                 {"*(volatile int *)0 = 1;", false}};
    CHECK(mkdtemp(dir) != NULL);
    vt_task *task = fixture_task("relu");
    for (int round = 0; round < 3; round++) {
        vt_eval *e = open_eval(dir, 1);
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            struct fixture_result r;
            fixture_judge(e, task, kinds[i].code, (struct vt_eval_request){.fresh = round == 2}, &r);
            CHECK_OK(r.status, r.err);
            CHECK_INT(r.v.cached, round == 1 && kinds[i].is_kept);
            if (i == 0) {
                CHECK_STR(vt_verdict_status_name(r.v.status), "compile_error");
                CHECK(strstr(r.feedback, "Line 1") != NULL);
                CHECK(strstr(r.json, round == 1 ? "\"cached\":true" : "\"cached\":false") != NULL);
            }
            fixture_result_free(&r);
        }
        vt_eval_close(e);
    }
    vt_task_unref(task);
    CHECK_INT(vt_fs_remove_tree(dir, NULL), VT_OK);
}

static void closing_kills_what_runs(void)
{
    struct tally t;
    tally_init(&t);
    vt_eval *e = open_eval(NULL, 2);
    vt_task *task = fixture_task("relu");
    submit(e, task, "for (volatile int i = 0;;) ;", &t, (struct vt_eval_request){0});
    submit(e, task, "static const float big[1 << 28] = {[0 ... (1 << 28) - 1] = 1.0f}; y[0] = big[n];", &t,
           (struct vt_eval_request){0});
    submit(e, task, "for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;", &t, (struct vt_eval_request){0});
    usleep(400000);
    vt_eval_close(e);
    CHECK_INT(t.n_done, 3);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    vt_task_unref(task);
}

/* Closed in the middle of a long timing, others waiting for their turn: all are told, and (under ThreadSanitizer) the
 * lane hears of the end under the lock. */
static void closing_while_timing(void)
{
    struct tally t;
    tally_init(&t);
    vt_eval *e = open_eval(NULL, 1);
    vt_task *task = fixture_task("relu");
    for (int i = 0; i < 4; i++) {
        char code[96];
        snprintf(code, sizeof code, "for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] * %d.0f / %d.0f : 0;", i + 1,
                 i + 1);
        submit(e, task, code, &t, (struct vt_eval_request){.protocol = VT_PROTOCOL_FULL});
    }
    await(&t, 1);
    usleep(300000);
    vt_eval_close(e);
    CHECK_INT(t.n_done, 4);
    CHECK_INT(t.n_failed, 0);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    vt_task_unref(task);
}

struct asker {
    vt_eval *e;
    vt_task *task;
    struct tally tally;
    int n_asked;
};

static void ask_again(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct asker *a = arg;
    struct vt_eval_request r = {.task = a->task, .code = "y[0] = 2;", .code_len = 9};
    vt_err why;
    if (a->n_asked++ < 3 && vt_eval_submit(a->e, &r, ask_again, a, &why) != VT_OK)
        CHECK_INT(why.code, VT_ECANCELLED);
    else if (a->n_asked <= 3)
        a->tally.n_done--; /* one more to come */
    count(&a->tally, status, err, v);
}

/* Whoever asks again when told that a request was cancelled: what is taken gets its answer before close returns. */
static void closing_answers_whoever_asks_again(void)
{
    struct asker a = {.task = fixture_task("relu")};
    vt_err err;
    tally_init(&a.tally);
    a.e = open_eval(NULL, 1);
    struct vt_eval_request r = {.task = a.task, .code = "for (volatile int i = 0;;) ;", .code_len = 28};
    CHECK_OK(vt_eval_submit(a.e, &r, ask_again, &a, &err), err);
    usleep(400000);
    vt_eval_close(a.e);
    CHECK_INT(a.tally.n_done, 1);
    vt_task_unref(a.task);
}

static void unusable_tasks_and_requests(void)
{
    struct fixture_result r;
    vt_eval *e = open_eval(NULL, 1);
    vt_task *task = fixture_task("relu");
    vt_err err;
    fixture_judge(e, task, "y[0] = 1;", (struct vt_eval_request){.scale = "enormous"}, &r);
    CHECK_INT(r.status, VT_EINVAL);
    CHECK(strstr(r.err.msg, "enormous") != NULL);
    fixture_result_free(&r);
    struct vt_eval_request none = {.code = "x", .code_len = 1};
    CHECK_INT(vt_eval_submit(e, &none, count, NULL, &err), VT_EINVAL);
    vt_eval_close(e);
    vt_task_unref(task);
    struct vt_eval_opts bad = {.cc = "/nonexistent/cc"};
    CHECK_INT(vt_eval_open(&bad, &e, &err), VT_ENOENT);
    CHECK(strstr(err.msg, "install gcc") != NULL);
    vt_eval_close(NULL);
}

static void hostile_and_honest_in_a_row(void)
{
    static const char *const codes[] = {
        "for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;",
        "extern int fork(void); for (;;) fork();",
        "*(volatile int *)0 = 1;",
        "for (;;) { char *p = malloc(1 << 20); if (p) memset(p, 1, 1 << 20); }",
        "exit(0);",
        "y[n] = 1;",
        "extern long syscall(long, ...); syscall(62, -1, 9);",
        "__builtin_trap();",
        "y[0] = nosuch;",
        "volatile char room[1 << 30]; room[0] = 1; y[0] = room[0];",
        "for (int i = 0; i < n; i++) y[i] = x[i];",
        "extern int open(const char *, int, ...); open(\"/tmp/vegttt-was-here\", 0102, 0600);",
    };
    const int n_codes = sizeof codes / sizeof codes[0], n = getenv("VEGTTT_FULL") ? 1000 : 60;
    struct tally t;
    char code[512];
    tally_init(&t);
    vt_task *task = fixture_task("relu");
    vt_eval *e = open_eval(NULL, 2);
    struct fixture_result first;
    fixture_judge(e, task, codes[0], (struct vt_eval_request){.skip_timing = true}, &first);
    CHECK(first.v.correct);
    fixture_result_free(&first);
    int fds = open_descriptors(), n_honest = 0;
    for (int i = 0; i < n; i++) {
        const char *body = i % 2 == 0 ? codes[0] : codes[(i * 7 / 2) % n_codes];
        n_honest += body == codes[0];
        snprintf(code, sizeof code, "/* %d */ %s", i, body);
        submit(e, task, code, &t, (struct vt_eval_request){.skip_timing = i % 8 != 0});
    }
    await(&t, n);
    CHECK_INT(t.by_status[VT_CORRECT_SLOW] + t.by_status[VT_CORRECT_FAST], n_honest);
    CHECK_INT(t.n_failed + t.n_cancelled, 0);
    CHECK(open_descriptors() <= fds + 6); /* the timed subject's reference runners stay */
    vt_eval_close(e);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK(!vt_fs_exists("/tmp/vegttt-was-here"));
    vt_task_unref(task);
    printf("  %d in a row: %d honest accepted, %d others refused\n", n, n_honest, n - n_honest);
}

static const struct test_case cases[] = {TEST(unusable_tasks_and_requests),
                                         TEST(equal_requests_share),
                                         TEST(store_keeps_what_is_deterministic),
                                         TEST(closing_while_timing),
                                         TEST(closing_answers_whoever_asks_again),
                                         TEST(closing_kills_what_runs),
                                         TEST(ten_thousand_queued),
                                         TEST(hostile_and_honest_in_a_row)};
TEST_MAIN(cases)
