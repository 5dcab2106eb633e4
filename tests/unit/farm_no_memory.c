/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_no_memory.c: reading, serving and answering a request with each allocation failing in turn. A client gets its
 * verdict or an error with its id, or the server ends with an error: a request is never lost in silence.
 */
#include "eval_fixture.h"
#include "farm/answer.h"
#include "farm/listen.h"
#include "farm/peer.h"
#include "farm/request.h"
#include "farm/serve.h"
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

static void every_call(void)
{
    char document[2048];
    vt_task *task = fixture_task("relu");
    snprintf(document, sizeof document, "{\"id\":7,\"task\":%s,\"code\":\"x\",\"protocol\":\"full\",\"fresh\":true}",
             fixture_tasks[0].json);
    fail_each("vt_farm_request_parse", parse_call, (void *)(uintptr_t)lines, MUST_FAIL);
    fail_each("vt_farm_request_parse of a document", parse_call, document, MUST_FAIL);
    fail_each("vt_serve_open and one request", serve_call, task, MAY_SUCCEED);
    vt_task_unref(task);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};

TEST_MAIN(cases)
