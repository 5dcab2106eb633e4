/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_child.c: real children: exit codes, output, floods, deadlines, grandchildren, and that nobody is left behind.
 */
#include "base/clock.h"
#include "harness.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static vt_err err;

struct seen {
    int n_done;
    struct vt_child_result r;
    char out[64], errout[64];
};

static void on_done(void *arg, const struct vt_child_result *r)
{
    struct seen *s = arg;
    s->n_done++;
    s->r = *r;
    snprintf(s->out, sizeof s->out, "%.*s", (int)(r->out_len < 60 ? r->out_len : 60), r->out);
    snprintf(s->errout, sizeof s->errout, "%.*s", (int)(r->err_len < 60 ? r->err_len : 60), r->errout);
}

static struct seen run_shell(const char *script, double timeout_s)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct seen s = {0};
    vt_loop *l;
    int n;
    CHECK_OK(vt_loop_new(&l, &err), err);
    CHECK_OK(vt_loop_child(l, argv, timeout_s, on_done, &s, &err), err);
    while (!s.n_done)
        CHECK_OK(vt_loop_turn(l, -1, &n, &err), err);
    CHECK_INT(s.n_done, 1);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to reap */
    vt_loop_free(l);
    return s;
}

static void exit_code_and_output(void)
{
    struct seen s = run_shell("echo out; echo err >&2; exit 7", 30);
    CHECK_INT(s.r.exit_code, 7);
    CHECK_INT(s.r.signo, 0);
    CHECK(!s.r.timed_out);
    CHECK_STR(s.out, "out\n");
    CHECK_STR(s.errout, "err\n");
    s = run_shell("kill -9 $$", 30);
    CHECK_INT(s.r.exit_code, -1);
    CHECK_INT(s.r.signo, SIGKILL);
    CHECK(!s.r.timed_out);
}

static void stdin_is_empty(void)
{
    struct seen s = run_shell("wc -c", 30);
    CHECK_INT(atol(s.out), 0);
    CHECK_INT(s.r.exit_code, 0);
}

static void flood_keeps_the_end(void)
{
    struct seen s = run_shell("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end", 60);
    CHECK_INT(s.r.exit_code, 0);
    CHECK_INT(s.r.out_len, 1 << 20);
}

static void deadline_kills_the_group(void)
{
    char path[] = "/tmp/vegttt-child-XXXXXX", script[256];
    int fd = mkstemp(path);
    snprintf(script, sizeof script, "sleep 600 & echo $! > %s; wait", path);
    struct seen s = run_shell(script, 0.3);
    CHECK(s.r.timed_out);
    CHECK_INT(s.r.signo, SIGKILL);
    char text[32] = "";
    CHECK(read(fd, text, sizeof text - 1) > 0);
    long grandchild = strtol(text, NULL, 10);
    char state[64];
    snprintf(state, sizeof state, "/proc/%ld/stat", grandchild);
    bool is_gone = false;
    for (int i = 0; i < 2000 && !is_gone; i++) { /* init reaps it when it likes; a zombie counts as gone */
        char stat[256] = "";
        FILE *f = fopen(state, "r");
        is_gone = !f || !fgets(stat, sizeof stat, f) || strstr(stat, ") Z") || strstr(stat, ") X");
        if (f)
            fclose(f);
        vt_sleep_ms(1);
    }
    CHECK(is_gone);
    close(fd);
    unlink(path);
}

static void open_pipe_of_a_grandchild_delays_nothing(void)
{
    struct seen s = run_shell("sleep 600 & echo started", 60);
    CHECK_INT(s.r.exit_code, 0);
    CHECK(!s.r.timed_out);
    CHECK_STR(s.out, "started\n");
}

static void missing_program(void)
{
    const char *argv[] = {"vegttt-no-such-program", NULL};
    int code;
    vt_loop *l;
    struct seen s = {0};
    CHECK_OK(vt_loop_new(&l, &err), err);
    CHECK_INT(vt_loop_child(l, argv, 1, on_done, &s, &err), VT_ENOENT);
    CHECK(strstr(err.msg, "vegttt-no-such-program") != NULL);
    int n = -1;
    CHECK_OK(vt_loop_turn(l, 0, &n, &err), err);
    CHECK_INT(n, 0); /* neither a deadline nor a descriptor is left */
    CHECK_INT(vt_child_run(argv, 1, NULL, NULL, &code, &err), VT_ENOENT);
    CHECK_INT(s.n_done, 0);
    vt_loop_free(l);
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void freeing_the_loop_kills_and_leaks_nothing(void)
{
    const char *argv[] = {"sleep", "600", NULL};
    int before = count_descriptors();
    struct seen s = {0};
    vt_loop *l;
    CHECK_OK(vt_loop_new(&l, &err), err);
    for (int i = 0; i < 5; i++)
        CHECK_OK(vt_loop_child(l, argv, 600, on_done, &s, &err), err);
    vt_loop_free(l);
    CHECK_INT(s.n_done, 0);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
    CHECK_INT(count_descriptors(), before);
}

static char lines[256];

static void on_line(void *arg, const char *line)
{
    (void)arg;
    size_t at = strlen(lines);
    snprintf(lines + at, sizeof lines - at, "[%s]", line);
}

static void blocking_run(void)
{
    const char *argv[] = {"sh", "-c", "echo one; printf tw; sleep 0.05; echo o >&2; printf three; exit 3", NULL};
    const char *forever[] = {"sh", "-c", "echo hello; sleep 600", NULL};
    int code = 0, before = count_descriptors();
    CHECK_OK(vt_child_run(argv, 30, on_line, NULL, &code, &err), err);
    CHECK_INT(code, 3);
    CHECK_STR(lines, "[one][two][three]");
    lines[0] = '\0';
    CHECK_INT(vt_child_run(forever, 0.2, on_line, NULL, &code, &err), VT_ETIMEOUT);
    CHECK_INT(code, -1);
    CHECK_STR(lines, "[hello]");
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(count_descriptors(), before);
}

/* Whoever asks a blocking run to stop is not kept waiting for the child's end. */
static void a_blocking_run_can_be_stopped(void)
{
    const char *forever[] = {"sleep", "600", NULL};
    int ends[2], code = 0, before = count_descriptors();
    CHECK_INT(pipe(ends), 0);
    CHECK_INT(write(ends[1], "x", 1), 1);
    CHECK_INT(vt_child_run_until(forever, 600, ends[0], NULL, NULL, &code, &err), VT_ECANCELLED);
    CHECK(strstr(err.msg, "'sleep'") != NULL);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    close(ends[0]);
    close(ends[1]);
    CHECK_INT(count_descriptors(), before);
}

/* SIGKILL leaves the parent no time to kill anybody: the kernel does it. A child that lived on would write once more
 * before the pipe ends. */
static void a_child_does_not_outlive_a_killed_parent(void)
{
    int ends[2];
    char word[8] = "";
    CHECK_INT(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        char script[64];
        snprintf(script, sizeof script, "echo up >&%d; sleep 3; echo late >&%d", ends[1], ends[1]);
        const char *argv[] = {"sh", "-c", script, NULL};
        int code;
        close(ends[0]);
        (void)!vt_child_run(argv, 600, NULL, NULL, &code, &err);
        _exit(0);
    }
    close(ends[1]);
    CHECK_INT(read(ends[0], word, 3), 3);
    CHECK_STR(word, "up\n");
    kill(parent, SIGKILL);
    CHECK_INT(waitpid(parent, NULL, 0), parent);
    CHECK_INT(read(ends[0], word, 1), 0);
    close(ends[0]);
}

/* A working folder that may not be entered is none; any other is kept. */
static void the_working_folder(void)
{
    char dir[] = "/tmp/vegttt-child-XXXXXX";
    int status = -1;
    CHECK(mkdtemp(dir) != NULL);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_INT(chdir(dir), 0);
        struct seen s = run_shell("pwd -P", 20);
        CHECK_INT(strncmp(s.out, dir, strlen(dir)), 0);
        CHECK_INT(chmod(dir, 0), 0);
        if (geteuid() == 0)
            CHECK_INT(setresuid(65534, 65534, 65534), 0);
        s = run_shell("pwd -P", 20);
        CHECK_STR(s.out, "/\n");
        fflush(stdout);
        _exit(test_failures_in_case ? 1 : 0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_INT(rmdir(dir), 0);
}

static const struct test_case cases[] = {
    TEST(the_working_folder),
    TEST(exit_code_and_output),
    TEST(stdin_is_empty),
    TEST(flood_keeps_the_end),
    TEST(deadline_kills_the_group),
    TEST(open_pipe_of_a_grandchild_delays_nothing),
    TEST(missing_program),
    TEST(freeing_the_loop_kills_and_leaks_nothing),
    TEST(blocking_run),
    TEST(a_blocking_run_can_be_stopped),
    TEST(a_child_does_not_outlive_a_killed_parent),
};
TEST_MAIN(cases)
