/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_no_memory.c: reading, serving and answering a request with each allocation failing in turn. A client gets its
 * verdict or an error with its id, or the server ends with an error: a request is never lost in silence. Of a queue's
 * two ends what needs no server: opening and closing them, and what is written and read.
 */
#include "eval_fixture.h"
#include "farm/answer.h"
#include "farm/ask.h"
#include "farm/listen.h"
#include "farm/peer.h"
#include "farm/request.h"
#include "farm/serve.h"
#include "farm/worker.h"
#include "no_memory.h"
#include <fcntl.h>

static const char lines[] = "{\"id\":{\"a\":[1]},\"task\":\"relu\",\"answer\":\"y[0] = 1;\",\"scale\":\"cpu\"}\n";

static vt_status parse_call(void *arg, vt_err *err)
{
    struct vt_farm_request r;
    vt_status s = vt_farm_request_parse(arg, strlen(arg), &r, err);
    vt_farm_request_free(&r);
    return s;
}

/* ---- a server that judges at once ---- */

struct bench {
    vt_status status;
    vt_err err;
    int n_ended;
};

static vt_status submit(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg, vt_err *err)
{
    const vt_verdict v = {.json = "{\"status\":\"correct_fast\"}"};
    (void)arg;
    (void)r;
    (void)err;
    done(done_arg, VT_OK, NULL, &v);
    return VT_OK;
}

static void withdraw(void *arg, void *done_arg)
{
    (void)arg;
    (void)done_arg;
}

static vt_status find(void *arg, const char *what, vt_task **out, vt_err *err)
{
    (void)what;
    (void)err;
    *out = vt_task_ref(arg);
    return VT_OK;
}

static void ended(void *arg, vt_status status, const vt_err *err, const struct vt_serve_count *count)
{
    struct bench *b = arg;
    (void)count;
    b->n_ended++;
    b->status = status;
    if (status != VT_OK)
        b->err = *err;
}

/* What the server said, and how it ended. */
static vt_status serve_once(vt_loop *loop, vt_task *task, char said[4096], vt_err *err)
{
    int in[2], out[2], n = 0;
    struct bench b = {.status = VT_OK};
    vt_serve *server = NULL;
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return vt_fail(err, VT_EIO, "no pipe");
    const struct vt_serve_opts o = {.loop = loop,
                                    .judge = {&b, submit, withdraw},
                                    .task = find,
                                    .task_arg = task,
                                    .in_fd = in[0],
                                    .out_fd = out[1],
                                    .ended = ended,
                                    .ended_arg = &b};
    vt_status s = vt_serve_open(&o, &server, err);
    if (write(in[1], lines, strlen(lines)) < 0)
        s = vt_fail(err, VT_EIO, "cannot write");
    close(in[1]);
    while (s == VT_OK && b.n_ended == 0)
        if (vt_loop_turn(loop, 100, &n, err) == VT_ENOMEM)
            n = 0; /* said, and tried again */
    vt_serve_free(server);
    (void)!vt_loop_turn(loop, 0, &n, NULL);
    close(in[0]);
    close(out[1]);
    ssize_t got = read(out[0], said, 4095);
    said[got > 0 ? got : 0] = '\0';
    close(out[0]);
    if (s == VT_OK && b.status != VT_OK)
        s = vt_fail(err, b.status, "%s", b.err.msg);
    return s;
}

static vt_status serve_call(void *arg, vt_err *err)
{
    char said[4096];
    vt_loop *loop = NULL;
    VT_TRY(vt_loop_new(&loop, err));
    vt_status s = serve_once(loop, arg, said, err);
    vt_loop_free(loop);
    VT_TRY(s);
    if (strcmp(said, "{\"id\":{\"a\":[1]},\"status\":\"correct_fast\"}\n") == 0)
        return VT_OK;
    if (strstr(said, "\"code\":\"ENOMEM\""))
        return vt_fail(err, VT_ENOMEM, "said to the client");
    return vt_fail(err, VT_EINTERNAL, "the client heard: %s", said);
}

/* ---- a queue ---- */

/* Nobody listens there. */
static const char nowhere[] = "redis://127.0.0.1:1/study";
static const struct vt_eval_class stub_class = {"c", "cpu", "stub-1", "0123456789abcdef", "nowhere"};

static vt_status cross_call(void *arg, vt_err *err)
{
    const struct vt_eval_request r = {
        .task = arg, .code = "y[0] = 1;", .code_len = 9, .tier = "c", .scale = "cpu", .confirms = "0123"};
    struct vt_farm_request copy, read = {0};
    struct vt_eval_request filled;
    struct vt_buf text;
    vt_buf_init(&text, 1 << 20);
    vt_status s = vt_farm_request_copy(&r, &copy, err);
    if (s == VT_OK) {
        vt_farm_request_fill(&copy, copy.parsed, &filled);
        s = vt_farm_request_write(&filled, &text, err);
    }
    if (s == VT_OK)
        s = vt_farm_request_parse(text.p, text.len, &read, err);
    if (s == VT_OK && (strcmp(read.tier, "c") != 0 || strcmp(read.confirms, "0123") != 0 || !read.parsed))
        s = vt_fail(err, VT_EINTERNAL, "it crossed as %s", text.p);
    vt_farm_request_free(&read);
    vt_farm_request_free(&copy);
    vt_buf_free(&text);
    return s;
}

static vt_status answer_call(void *arg, vt_err *err)
{
    static const char text[] =
        "{\"id\":null,\"key\":\"k\",\"status\":\"correct_fast\",\"correct\":true,\"speedup\":2.5}";
    struct vt_farm_answer a;
    (void)arg;
    vt_status s = vt_farm_answer_read(text, strlen(text), &a, err);
    if (s == VT_OK && (a.verdict.speedup < 2.5 || strcmp(a.key, "k") != 0))
        s = vt_fail(err, VT_EINTERNAL, "another verdict");
    vt_farm_answer_free(&a);
    return s;
}

static vt_status choose_call(void *arg, vt_err *err)
{
    static const char class[] = "{\"evaluator\":\"stub-1\",\"machine\":\"nowhere\",\"scale\":\"cpu\",\"tier\":\"c\","
                                "\"toolchain\":\"0123456789abcdef\"}";
    struct vt_redis_address address;
    struct vt_queue_class chosen;
    char id[VT_QUEUE_CLASS_SIZE], text[400];
    (void)arg;
    vt_queue_class_id(&stub_class, id);
    snprintf(text, sizeof text, "*2\r\n$16\r\n%s\r\n$%zu\r\n%s\r\n", id, strlen(class), class);
    const struct vt_resp_reader reply = {text, text + strlen(text)};
    VT_TRY(vt_redis_address_read(nowhere, &address, err));
    vt_status s = vt_queue_class_choose(&address, &reply, &chosen, err);
    vt_redis_address_free(&address);
    if (s == VT_OK)
        vt_queue_class_free(&chosen);
    return s;
}

/* Waiting in vain for a queue that is not there is how it goes with memory. */
static vt_status ask_call(void *arg, vt_err *err)
{
    vt_eval *e = NULL;
    (void)arg;
    vt_status s = vt_ask_open(nowhere, 0.02, &e, err);
    vt_eval_close(e);
    return s == VT_ETIMEOUT || s == VT_ENET ? VT_OK : s;
}

static vt_status no_key(void *arg, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err)
{
    (void)arg;
    return vt_eval_class_key(&stub_class, r, key, err);
}

static void worker_ended(void *arg, vt_status status, const vt_err *err, const struct vt_farm_worker_count *count)
{
    struct bench *b = arg;
    (void)status;
    (void)err;
    (void)count;
    b->n_ended++;
}

static vt_status worker_call(void *arg, vt_err *err)
{
    struct vt_redis_address address;
    vt_farm_worker *w = NULL;
    vt_loop *loop = NULL;
    int n;
    struct bench b = {.status = VT_OK};
    (void)arg;
    VT_TRY(vt_loop_new(&loop, err));
    vt_status s = vt_redis_address_read(nowhere, &address, err);
    if (s == VT_OK) {
        const struct vt_farm_worker_opts o = {.loop = loop,
                                              .address = &address,
                                              .class = stub_class,
                                              .judge = {&b, submit, withdraw},
                                              .key = no_key,
                                              .max_in_flight = 1,
                                              .ended = worker_ended,
                                              .arg = &b};
        s = vt_farm_worker_open(&o, &w, err);
        if (s == VT_OK)
            (void)!vt_loop_turn(loop, 20, &n, NULL);
        if (w)
            vt_farm_worker_free(w);
        vt_redis_address_free(&address);
    }
    (void)!vt_loop_turn(loop, 0, &n, NULL);
    vt_loop_free(loop);
    return s;
}

static void every_call(void)
{
    char document[2048];
    vt_task *task = fixture_task("relu");
    snprintf(document, sizeof document, "{\"id\":7,\"task\":%s,\"code\":\"x\",\"protocol\":\"full\",\"fresh\":true}",
             fixture_tasks[0].json);
    fail_each("vt_farm_request_parse", parse_call, (void *)(uintptr_t)lines, MUST_FAIL);
    fail_each("vt_farm_request_parse of a document", parse_call, document, MUST_FAIL);
    fail_each("vt_serve_open and one request", serve_call, task, MAY_SUCCEED);
    fail_each("a request that crosses a queue", cross_call, task, MUST_FAIL);
    fail_each("vt_farm_answer_read", answer_call, NULL, MUST_FAIL);
    fail_each("vt_queue_class_choose", choose_call, NULL, MUST_FAIL);
    fail_each("vt_ask_open", ask_call, NULL, MAY_SUCCEED);
    fail_each("vt_farm_worker_open", worker_call, NULL, MAY_SUCCEED);
    vt_task_unref(task);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};

TEST_MAIN(cases)
