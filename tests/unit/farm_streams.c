/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_streams.c: a server without a socket whose streams are not there. A stream that was closed, or that stands for
 * one that was (cli/main.c), is refused at once: it would never end, or lose what is answered.
 */
#include "farm/serve.h"
#include "harness.h"
#include <fcntl.h>
#include <unistd.h>

static vt_status submit(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg, vt_err *err)
{
    (void)arg, (void)r, (void)done, (void)done_arg;
    return vt_fail(err, VT_EINTERNAL, "nothing was to be judged");
}

static void withdraw(void *arg, void *done_arg)
{
    (void)arg, (void)done_arg;
}

static void ended(void *arg, vt_status status, const vt_err *err, const struct vt_serve_count *count)
{
    (void)status, (void)err, (void)count;
    ++*(int *)arg;
}

static void closed_streams(void)
{
    vt_err err;
    vt_loop *loop = NULL;
    int n_ended = 0;
    int to_read = open("/dev/null", O_RDONLY | O_CLOEXEC), to_write = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const struct {
        int in, out;
        const char *why;
    } pairs[] = {{-1, to_write, "the input cannot be read"},
                 {to_write, to_write, "the input cannot be read"},
                 {to_read, -1, "the output cannot be written"},
                 {to_read, to_read, "the output cannot be written"}};
    CHECK_OK(vt_loop_new(&loop, &err), err);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        vt_serve *server = NULL;
        const struct vt_serve_opts o = {.loop = loop,
                                        .judge = {NULL, submit, withdraw},
                                        .in_fd = pairs[i].in,
                                        .out_fd = pairs[i].out,
                                        .ended = ended,
                                        .ended_arg = &n_ended};
        CHECK_INT(vt_serve_open(&o, &server, &err), VT_EINVAL);
        CHECK(strstr(err.msg, pairs[i].why) != NULL);
        CHECK(server == NULL);
    }
    CHECK_INT(n_ended, 0);
    close(to_read);
    close(to_write);
    vt_loop_free(loop);
}

static const struct test_case cases[] = {TEST(closed_streams)};
TEST_MAIN(cases)
