/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_no_memory.c: the calls of engine/loop with each of their allocations failing in turn. libcurl's own memory is
 * its own affair.
 */
#include "loop/loop.h"
#include "no_memory.h"
#include <sys/wait.h>

static void nothing(void *arg)
{
    (void)arg;
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void no_signal(void *arg, int signo)
{
    (void)arg;
    (void)signo;
}

static vt_status turns(vt_loop *l, int ends[2], vt_err *err)
{
    int n_run, n_called = 0;
    for (int i = 0; i < 20; i++) /* past the first size of the array */
        if (!vt_loop_after(l, 0, count, &n_called))
            return vt_fail(err, VT_ENOMEM, "no timer");
    VT_TRY(vt_loop_watch(l, ends[0], nothing, NULL, err));
    VT_TRY(vt_loop_on_signal(l, no_signal, NULL, err));
    VT_TRY(vt_loop_turn(l, 0, &n_run, err));
    return n_called == 20 ? VT_OK : vt_fail(err, VT_EINTERNAL, "%d of 20 callbacks ran", n_called);
}

static vt_status loop_calls(void *arg, vt_err *err)
{
    vt_loop *l;
    VT_TRY(vt_loop_new(&l, err));
    vt_status status = turns(l, arg, err);
    vt_loop_free(l);
    return status;
}

struct ended {
    int n_done;
    size_t out_len;
};

static void on_done(void *arg, const struct vt_child_result *r)
{
    struct ended *e = arg;
    e->n_done++;
    e->out_len = r->out_len;
}

/* Output that there is no memory for is lost, as is what exceeds the cap; the child's end is not. */
static vt_status child_calls(void *arg, vt_err *err)
{
    static const char *const argv[] = {"sh", "-c", "echo out", NULL};
    struct ended ended = {0};
    vt_loop *l;
    int n_run;
    (void)arg;
    VT_TRY(vt_loop_new(&l, err));
    vt_status status = vt_loop_child(l, argv, 60, on_done, &ended, err);
    while (status == VT_OK && !ended.n_done)
        status = vt_loop_turn(l, -1, &n_run, err);
    vt_loop_free(l);
    return status;
}

static vt_status blocking_child(void *arg, vt_err *err)
{
    static const char *const argv[] = {"sh", "-c", "echo out", NULL};
    int code;
    (void)arg;
    VT_TRY(vt_child_run(argv, 60, NULL, NULL, &code, err));
    return code == 0 ? VT_OK : vt_fail(err, VT_EINTERNAL, "exit code %d", code);
}

static vt_status stoppable_child(void *arg, vt_err *err)
{
    static const char *const argv[] = {"sh", "-c", "echo out", NULL};
    const int *ends = arg;
    int code;
    VT_TRY(vt_child_run_until(argv, 60, ends[0], NULL, NULL, &code, err));
    return code == 0 ? VT_OK : vt_fail(err, VT_EINTERNAL, "exit code %d", code);
}

static void every_call(void)
{
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    fail_each("loop", loop_calls, ends, MUST_FAIL);
    fail_each("child", child_calls, NULL, MAY_SUCCEED);
    fail_each("blocking child", blocking_child, NULL, MAY_SUCCEED);
    fail_each("stoppable child", stoppable_child, ends, MAY_SUCCEED);
    close(ends[0]);
    close(ends[1]);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no child is left behind */
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};
TEST_MAIN(cases)
