/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_inherit.c: what a helper child must not inherit from a parent that has signals blocked and ignored and something
 * on its standard input; and that of a flood the end is kept.
 */
#include "harness.h"
#include "loop/loop.h"
#include <fcntl.h>
#include <signal.h>

static vt_err err;
static char text[(1 << 20) + 1];
static size_t text_len;
static int n_done;

/* Keeps the end of the output. */
static void on_done(void *arg, const struct vt_child_result *r)
{
    (void)arg;
    text_len = r->out_len;
    size_t n = r->out_len < sizeof text - 1 ? r->out_len : sizeof text - 1;
    memcpy(text, r->out + r->out_len - n, n);
    text[n] = '\0';
    n_done++;
}

static void run_argv(const char *const argv[])
{
    vt_loop *l;
    int n;
    n_done = 0;
    CHECK_OK(vt_loop_new(&l, &err), err);
    CHECK_OK(vt_loop_child(l, argv, 60, on_done, NULL, &err), err);
    while (!n_done)
        CHECK_OK(vt_loop_turn(l, -1, &n, &err), err);
    vt_loop_free(l);
}

static void run(const char *script)
{
    run_argv((const char *const[]){"sh", "-c", script, NULL});
}

static void standard_input(void)
{
    int ends[2], kept = dup(0);
    CHECK_INT(pipe(ends), 0);
    CHECK_INT(write(ends[1], "secret", 6), 6);
    CHECK_INT(dup2(ends[0], 0), 0);
    close(ends[0]);
    close(ends[1]);
    run("wc -c");
    CHECK_INT(strtol(text, NULL, 10), 0);
    CHECK_INT(dup2(kept, 0), 0);
    close(kept);
}

/* As under nohup, and in a loop that reads its signals from a descriptor. No shell between: some clear the mask. */
static void signals(void)
{
    sigset_t blocked, old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGUSR1);
    CHECK_INT(pthread_sigmask(SIG_BLOCK, &blocked, &old), 0);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    run_argv((const char *const[]){"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL});
    unsigned long blocked_there = 1, ignored_there = 1;
    CHECK_INT(sscanf(text, "SigBlk: %lx SigIgn: %lx", &blocked_there, &ignored_there), 2);
    CHECK_INT(blocked_there, 0);
    CHECK_INT(ignored_there & 0x7fffffff, 0); /* the C library keeps two beyond those for itself */
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    CHECK_INT(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

static void the_end_of_a_flood(void)
{
    run("seq 100000 900000");
    CHECK_INT(text_len, 1 << 20);
    CHECK_STR(text + strlen(text) - 7, "900000\n");
    const char *line = strchr(text, '\n') + 1; /* the first whole one; all have seven bytes */
    CHECK_INT(strtol(line, NULL, 10), 900001 - (int)(strlen(line) / 7));
}

static const struct test_case cases[] = {TEST(standard_input), TEST(signals), TEST(the_end_of_a_flood)};
TEST_MAIN(cases)
