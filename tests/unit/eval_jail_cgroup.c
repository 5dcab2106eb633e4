/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_jail_cgroup.c: the control-group layer: there for root and for an ordinary user to whom a group was delegated,
 * absent and said so otherwise; nothing left behind after a run, after the evaluator was killed, and, by the next
 * start, after evaluator and broker were killed together.
 */
#include "base/clock.h"
#include "eval/c/broker.h"
#include "eval/c/jail.h"
#include "eval_worker.h"
#include "harness.h"
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char top[512]; /* this process's group, as a folder; empty where there is none to write to */

static void find_top(void)
{
    char line[512], own[256] = "", point[256] = "", found[256];
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "0::", 3) == 0)
            snprintf(own, sizeof own, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (f)
        fclose(f);
    f = fopen("/proc/self/mountinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s / %255s", found) == 1)
            snprintf(point, sizeof point, "%s", found);
    if (f)
        fclose(f);
    if (own[0] && point[0])
        snprintf(top, sizeof top, "%s%s", point, own);
    if (top[0] && access(top, W_OK) != 0)
        top[0] = 0;
}

static int n_groups(const char *dir, pid_t of)
{
    char prefix[32];
    int n = 0;
    DIR *d = opendir(dir);
    snprintf(prefix, sizeof prefix, "vegttt-%d-", (int)of);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += strncmp(e->d_name, of ? prefix : "vegttt-", of ? strlen(prefix) : 7) == 0;
    if (d)
        closedir(d);
    return n;
}

static void put(const char *dir, const char *file, const char *text)
{
    char path[640];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    if (f) {
        fputs(text, f);
        CHECK_INT(fclose(f), 0);
    }
}

/* A group of our own below the present one, in which nobody but this test makes groups. */
static bool make_nest(char dir[600])
{
    if (geteuid() != 0 || !top[0])
        return false;
    snprintf(dir, 600, "%s/nest-%d", top, (int)getpid());
    return mkdir(dir, 0755) == 0;
}

static void remove_nest(const char *dir)
{
    for (int i = 0; i < 100 && rmdir(dir) != 0; i++)
        vt_sleep_ms(5);
    CHECK(access(dir, F_OK) != 0);
}

/* Runs fn in a child that has moved into `nest`. */
static pid_t in_nest(const char *nest, void (*fn)(const char *nest))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        put(nest, "cgroup.procs", "0");
        fn(nest);
        fflush(stdout);
        _exit(test_failures_in_case ? 1 : 0);
    }
    return pid;
}

static void wait_for(pid_t pid)
{
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void probe_here(const char *nest)
{
    struct vt_jail j;
    vt_err err;
    CHECK_OK(vt_jail_probe(&j, &err), err);
    CHECK(j.cgroup);
    CHECK_INT(n_groups(nest, 0), 0);
}

static void root_has_it(void)
{
    char nest[600];
    if (!make_nest(nest))
        SKIP("needs root and a writable cgroup v2 hierarchy");
    wait_for(in_nest(nest, probe_here));
    remove_nest(nest);
}

static void become_nobody(void)
{
    CHECK_INT(setgroups(0, NULL), 0);
    CHECK_INT(setresgid(65534, 65534, 65534), 0);
    CHECK_INT(setresuid(65534, 65534, 65534), 0);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void probe_as_nobody(const char *nest)
{
    become_nobody();
    probe_here(nest);
}

static void delegated_user_has_it(void)
{
    static const char *const files[] = {"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"};
    char nest[600], path[640];
    if (!make_nest(nest))
        SKIP("needs root and a writable cgroup v2 hierarchy");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", nest, files[i]);
        CHECK_INT(chown(path, 65534, 65534), 0);
    }
    wait_for(in_nest(nest, probe_as_nobody));
    remove_nest(nest);
}

static void lacks_it(const char *nest)
{
    struct vt_jail j;
    vt_err err;
    (void)nest;
    become_nobody();
    CHECK_OK(vt_jail_probe(&j, &err), err);
    CHECK(!j.cgroup && !j.cgroup_limits);
    CHECK_OK(vt_jail_floor(&j, &err), err);
}

static void other_user_lacks_it(void)
{
    char nest[600];
    if (!make_nest(nest))
        SKIP("needs root and a writable cgroup v2 hierarchy");
    wait_for(in_nest(nest, lacks_it));
    remove_nest(nest);
}

/* Opens a broker with a compile job that never ends, says so on the pipe, and waits to be killed. */
static int ready[2];

static void hold_a_job(const char *nest)
{
    char dir[] = "/tmp/vegttt-cgroup-test-XXXXXX";
    static const char *const argv[] = {"/bin/sh", "-c", "while :; do (while :; do :; done) & wait; done", NULL};
    struct vt_broker *b = NULL;
    struct vt_job job;
    vt_err err;
    (void)nest;
    CHECK(mkdtemp(dir) != NULL);
    CHECK_OK(vt_broker_open(dir, "slot", 0, &b, &err), err);
    int log = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct vt_compile_opts o = {
        .argv = argv, .source_fd = log, .log_fd = log, .max_memory_mib = 256, .max_cpu_s = 60, .max_file_mib = 1};
    if (b)
        CHECK_OK(vt_broker_compile(b, &o, &job, &err), err);
    vt_sleep_ms(100);
    CHECK(write(ready[1], dir, sizeof dir) == (ssize_t)sizeof dir);
    pause();
}

static bool wait_empty(const char *nest)
{
    for (int i = 0; i < 400 && n_groups(nest, 0) > 0; i++)
        vt_sleep_ms(5);
    return n_groups(nest, 0) == 0;
}

static void kill_with(bool kill_broker, const char *nest)
{
    char dir[64] = "", command[128], path[640];
    CHECK_INT(pipe(ready), 0);
    pid_t pid = in_nest(nest, hold_a_job);
    CHECK(read(ready[0], dir, sizeof dir) > 0);
    CHECK_INT(n_groups(nest, 0), 1);
    if (kill_broker) { /* evaluator and broker are all that is in the nest itself */
        char line[32];
        snprintf(path, sizeof path, "%s/cgroup.procs", nest);
        FILE *f = fopen(path, "r");
        for (int n = 0; f && n < 2 && fgets(line, sizeof line, f); n++)
            if (strtol(line, NULL, 10) != pid)
                kill((pid_t)strtol(line, NULL, 10), SIGKILL);
        if (f)
            fclose(f);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
}

static void killed_evaluator(void)
{
    char nest[600];
    if (!make_nest(nest))
        SKIP("needs root and a writable cgroup v2 hierarchy");
    kill_with(false, nest);
    CHECK(wait_empty(nest));
    remove_nest(nest);
}

static void killed_broker(void)
{
    char nest[600];
    if (!make_nest(nest))
        SKIP("needs root and a writable cgroup v2 hierarchy");
    kill_with(true, nest);
    vt_sleep_ms(50);
    CHECK_INT(n_groups(nest, 0), 1); /* nobody was left to remove it */
    wait_for(in_nest(nest, probe_here));
    CHECK_INT(n_groups(nest, 0), 0);
    remove_nest(nest);
}

static const struct test_case cases[] = {TEST(root_has_it), TEST(delegated_user_has_it), TEST(other_user_lacks_it),
                                         TEST(killed_evaluator), TEST(killed_broker)};

int main(int argc, char **argv)
{
    char dir[] = "/tmp/vegttt-cgroup-worker-XXXXXX", command[96];
    find_top();
    if (!mkdtemp(dir) || chmod(dir, 0755) != 0 || !worker_for_others(dir))
        return 1;
    int code = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? code : 1;
}
