/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_jail.c: the jail on machines that grant less than this one. Each configuration is made for real in a forked
 * child: as root or as "nobody", with namespaces or landlock refused by a seccomp filter (as containers do). In each,
 * an honest kernel must pass, hostile ones must die, and the verdict must name the layers that held; below the floor
 * the evaluator must refuse, or say unsafe_jail. A configuration that needs a layer which this machine refuses is
 * skipped by that layer's name; whether it does is asked of the kernel, not of the jail.
 */
#include "eval/c/broker.h"
#include "eval_fixture.h"
#include "eval_worker.h"
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define REFUSE(number, error)                                                                                          \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(number), 0, 1),                                                     \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define LOAD_NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static bool install(const struct sock_filter *code, size_t n)
{
    struct sock_fprog p = {(unsigned short)n, (struct sock_filter *)(uintptr_t)code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}

/* unshare always fails; clone fails when asked for a namespace (the flags are its first argument); clone3, whose flags
 * a filter cannot see, does not exist, as container engines have it. */
static bool refuse_namespaces(void)
{
    const unsigned all = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC;
    const struct sock_filter code[] = {LOAD_NR,
                                       REFUSE(SYS_unshare, EPERM),
                                       REFUSE(SYS_clone3, ENOSYS),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
                                       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
                                       BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, all, 0, 1),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                       ALLOW};
    return install(code, sizeof code / sizeof code[0]);
}

static bool refuse_landlock(void)
{
    const struct sock_filter code[] = {LOAD_NR, REFUSE(SYS_landlock_create_ruleset, ENOSYS), ALLOW};
    return install(code, sizeof code / sizeof code[0]);
}

/* What the machine allows, tried out in a child. */
static bool child_can(bool as_nobody, bool (*try)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (as_nobody && geteuid() == 0 && (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
            _exit(1);
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        _exit(try() ? 0 : 1);
    }
    int status = -1;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool can_mount(void)
{
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", "/tmp", "tmpfs", 0, NULL) == 0;
}

static bool can_have_namespaces(void)
{
    return unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC) == 0 && can_mount();
}

static bool can_have_user_namespaces(void)
{
    return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC) == 0 && can_mount();
}

static bool can_have_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* NULL, or why this machine cannot show it. */
static const char *missing(bool as_nobody, bool namespaces, bool landlock)
{
    if (landlock && !child_can(as_nobody, can_have_landlock))
        return "the kernel has no landlock";
    if (namespaces && !as_nobody && !child_can(false, can_have_namespaces))
        return "root may not make mount, network and process namespaces here";
    if (namespaces && as_nobody && !child_can(true, can_have_user_namespaces))
        return "a user may not make user namespaces and mount in them here";
    return NULL;
}

struct config {
    bool as_nobody, without_namespaces, without_landlock, unsafe;
    const char *must_have[8], *must_lack[4];
    vt_status open_status;
};

static bool has_layer(const char *json, const char *layer)
{
    char quoted[48];
    const char *jail = strstr(json, "\"jail\":[");
    snprintf(quoted, sizeof quoted, "\"%s\"", layer);
    const char *at = jail ? strstr(jail, quoted) : NULL;
    return at && at < strchr(jail, ']');
}

/* A system call by instruction: its number on x86-64, on aarch64, and a first argument. */
#define ASK_SYSTEM(x86, arm, first)                                                                                    \
    "#if defined(__x86_64__)\n"                                                                                        \
    "    long rc = " x86 ";\n"                                                                                         \
    "    __asm__ volatile(\"syscall\" : \"+a\"(rc) : \"D\"(" first                                                     \
    "), \"S\"(0L), \"d\"(0L) : \"rcx\", \"r11\", \"memory\");\n"                                                       \
    "#else\n"                                                                                                          \
    "    register long n __asm__(\"x8\") = " arm ", rc __asm__(\"x0\") = (long)(" first ");\n"                         \
    "    __asm__ volatile(\"svc 0\" : \"+r\"(rc) : \"r\"(n) : \"memory\");\n"                                          \
    "#endif\n"

static void judge_some(vt_eval *e, const struct config *c)
{
    static const struct {
        const char *code;
        vt_verdict_status status;
    } kernels[] = {
        {"for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;", VT_CORRECT_SLOW},
        {ASK_SYSTEM("57", "220", "0"), VT_RUNTIME_ERROR},             /* fork; clone */
        {ASK_SYSTEM("2", "56", "\"/etc/passwd\""), VT_RUNTIME_ERROR}, /* open; openat */
        {"extern int fork(void); fork();", VT_COMPILE_ERROR},
        {"#include \"/etc/passwd\"\n", VT_COMPILE_ERROR},
        {"__asm__(\".pushsection .rodata\\n.incbin \\\"/etc/passwd\\\"\\n.popsection\");", VT_COMPILE_ERROR},
        {"for (volatile int i = 0;;) ;", VT_TIMED_OUT},
        {"for (int i = 0; i < n; i++) y[i] = fmaxf(x[i], 0);", VT_CORRECT_SLOW},
    };
    vt_task *t = fixture_task("relu");
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        struct fixture_result r;
        fixture_judge(e, t, kernels[i].code, (struct vt_eval_request){.skip_timing = i == 0}, &r);
        CHECK_OK(r.status, r.err);
        bool fine = r.v.status == kernels[i].status || (r.v.correct && kernels[i].status == VT_CORRECT_SLOW);
        /* Without landlock and namespaces only the file's own permissions stand between the compiler and a world-
         * readable file. */
        if (!c->unsafe || kernels[i].status != VT_COMPILE_ERROR)
            CHECK(fine);
        if (!fine)
            printf("  kernel %zu: %s: %s\n", i, vt_verdict_status_name(r.v.status), r.feedback);
        for (int k = 0; r.json && i == 0 && c->must_have[k]; k++)
            if (!has_layer(r.json, c->must_have[k])) {
                printf("  %s is not among the layers: %.400s\n", c->must_have[k], strstr(r.json, "\"jail\""));
                CHECK(false);
            }
        for (int k = 0; r.json && i == 0 && c->must_lack[k]; k++)
            CHECK(!has_layer(r.json, c->must_lack[k]));
        if (r.json && i == 0)
            CHECK_INT(strstr(r.json, "unsafe_jail") != NULL, c->unsafe);
        fixture_result_free(&r);
    }
    vt_task_unref(t);
}

static void in_child(const struct config *c, const char *dir)
{
    vt_eval *e = NULL;
    vt_err err = {0};
    if (setenv("TMPDIR", dir, 1) != 0 || setenv("VEGTTT_CACHE", dir, 1) != 0)
        _exit(9);
    if (c->as_nobody && geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
        _exit(9);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* setresuid took /proc/self away */
    if ((c->without_namespaces && !refuse_namespaces()) || (c->without_landlock && !refuse_landlock()))
        _exit(9);
    struct vt_eval_opts o = {.n_build = 1, .unsafe_jail = c->unsafe};
    CHECK_INT(vt_eval_open(&o, &e, &err), c->open_status);
    if (e)
        judge_some(e, c);
    else
        printf("  refused: %s\n", err.msg);
    vt_eval_close(e);
    fflush(stdout);
    _exit(test_failures_in_case ? 1 : 0);
}

static void run(const struct config *c)
{
    char dir[] = "/tmp/vegttt-jail-test-XXXXXX";
    int status = -1;
    if (geteuid() != 0 && !c->as_nobody)
        SKIP("needs root");
    bool uses_landlock = !c->without_landlock, uses_namespaces = c->without_landlock && !c->without_namespaces;
    for (int k = 0; c->must_have[k]; k++)
        uses_namespaces = uses_namespaces || strcmp(c->must_have[k], "mount_ns") == 0;
    const char *why = missing(c->as_nobody, uses_namespaces, uses_landlock);
    if (why)
        SKIP(why);
    CHECK(mkdtemp(dir) != NULL);
    CHECK_INT(chmod(dir, 0777), 0);
    CHECK(!c->as_nobody || worker_for_others(dir));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        in_child(c, dir);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_INT(system(command), 0);
    unsetenv("VEGTTT_WORKER");
}

static void root_with_everything(void)
{
    run(&(struct config){.must_have = {"seccomp", "landlock", "mount_ns", "net_ns", "pid_ns", "own_uid", "rlimits"},
                         .must_lack = {"user_ns"}});
}

static void root_without_namespaces(void)
{
    run(&(struct config){.without_namespaces = true,
                         .must_have = {"seccomp", "landlock", "own_uid", "no_new_privs", "closed_fds"},
                         .must_lack = {"mount_ns", "pid_ns", "net_ns"}});
}

static void root_without_landlock(void)
{
    run(&(struct config){
        .without_landlock = true, .must_have = {"seccomp", "mount_ns", "own_uid"}, .must_lack = {"landlock"}});
}

static void user_with_everything(void)
{
    run(&(struct config){.as_nobody = true,
                         .must_have = {"seccomp", "landlock", "user_ns", "mount_ns", "net_ns", "pid_ns", "rlimits"},
                         .must_lack = {"own_uid"}});
}

static void user_without_namespaces(void)
{
    run(&(struct config){.as_nobody = true,
                         .without_namespaces = true,
                         .must_have = {"seccomp", "landlock", "no_new_privs", "rlimits", "closed_fds"},
                         .must_lack = {"user_ns", "mount_ns", "pid_ns"}});
}

static void below_the_floor(void)
{
    run(&(struct config){
        .as_nobody = true, .without_namespaces = true, .without_landlock = true, .open_status = VT_EJAIL});
}

static void below_the_floor_unsafe(void)
{
    run(&(struct config){.as_nobody = true,
                         .without_namespaces = true,
                         .without_landlock = true,
                         .unsafe = true,
                         .must_have = {"seccomp"},
                         .must_lack = {"landlock", "mount_ns"}});
}

static void probe_names_every_layer(void)
{
    struct vt_jail j;
    vt_err err;
    int n_active = 0;
    CHECK_OK(vt_jail_probe(&j, &err), err);
    for (size_t i = 0; i < VT_JAIL_N_LAYERS; i++) {
        bool on;
        const char *purpose = NULL, *name = vt_jail_layer(&j, i, &on, &purpose);
        CHECK(name && name[0] && purpose && purpose[0]);
        n_active += on;
    }
    CHECK(n_active >= 6);
    CHECK_OK(vt_jail_floor(&j, &err), err);
    j.seccomp = false;
    CHECK_INT(vt_jail_floor(&j, &err), VT_EJAIL);
    CHECK(strstr(err.msg, "seccomp") != NULL);
}

static void open_broker_as_nobody(const char *dir)
{
    struct vt_jail j;
    vt_err err = {0};
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        _exit(9);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    CHECK_INT(vt_jail_probe(&j, &err), VT_EIO);
    CHECK(strstr(err.msg, "may not run") && strstr(err.msg, "65534") && strstr(err.msg, dir));
    fflush(stdout);
    _exit(test_failures_in_case ? 1 : 0);
}

/* A copy of this program and the worker in a folder that only root may enter: the worker is there and says so. */
static void worker_out_of_reach(void)
{
    char dir[] = "/tmp/vegttt-closed-XXXXXX", command[512];
    int status = -1;
    if (geteuid() != 0)
        SKIP("needs root");
    if (getenv("VT_TEST_CLOSED")) {
        open_broker_as_nobody(getenv("VT_TEST_CLOSED"));
        return;
    }
    CHECK(mkdtemp(dir) != NULL && worker_for_others(dir));
    unsetenv("VEGTTT_WORKER");
    snprintf(command, sizeof command,
             "chmod 700 %s && cp /proc/%d/exe %s/test && VT_TEST_CLOSED=%s %s/test worker_out_of_reach", dir, getpid(),
             dir, dir, dir);
    status = system(command);
    CHECK_INT(status, 0);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_INT(system(command), 0);
}

static const struct test_case cases[] = {
    TEST(probe_names_every_layer), TEST(root_with_everything),   TEST(root_without_namespaces),
    TEST(root_without_landlock),   TEST(user_with_everything),   TEST(user_without_namespaces),
    TEST(below_the_floor),         TEST(below_the_floor_unsafe), TEST(worker_out_of_reach)};
TEST_MAIN(cases)
