/* SPDX-License-Identifier: Apache-2.0
 *
 * cage.c: namespaces, private roots, limits, user id, landlock and seccomp for the jobs of one broker.
 *
 * Built in two steps because the costs differ by a hundred: the broker enters user, mount, network, ipc and uts
 * namespaces once and prepares two roots (one empty, one with the toolchain mounted
 * read-only); each job then changes root, gives up its user id and privileges, and restricts itself. As root a job
 * gets a user id of its own slot; as an ordinary user the same id within a user namespace, when those are allowed.
 *
 * Nothing here is fatal: a layer that cannot be put up is missing from the bits that are reported, and the evaluator
 * refuses to work below the floor. Layers do not lean on each other: a candidate that has passed seccomp has neither
 * open, clone, mmap nor kill whatever else failed.
 */
#include "eval/c/worker/cage.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Rights of landlock's later versions, absent from older headers. */
enum { RIGHT_REFER = 1 << 13, RIGHT_TRUNCATE = 1 << 14, RIGHT_IOCTL_DEV = 1 << 15 };

struct ruleset_attr {
    uint64_t fs, net, scoped;
};

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* Read-only view of a toolchain: everything a C compiler driver opens on the distributions we know. */
static const char *const toolchain_dirs[] = {"usr/bin",     "usr/lib", "usr/lib64", "usr/lib32", "usr/libexec",
                                             "usr/include", "lib",     "lib64",     "bin",       "opt"};
static const char *const toolchain_files[] = {"etc/ld.so.cache"};

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

static bool join(char *out, const char *a, const char *b)
{
    int n = snprintf(out, VT_WIRE_PATH, "%s/%s", a, b);
    return n > 0 && n < VT_WIRE_PATH;
}

static bool enter_user_ns(void)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) != 0)
        return false;
    snprintf(map, sizeof map, "%u %u 1", uid, uid);
    bool ok = write_text("/proc/self/uid_map", map);
    write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "%u %u 1", gid, gid);
    return write_text("/proc/self/gid_map", map) && ok;
}

static bool bind_read_only(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0)
        return false;
    /* Refused for some locked mounts in a user namespace; the files there are not ours to write in any case. */
    mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
    return true;
}

static bool make_compiler_root(const struct cage *c)
{
    char root[VT_WIRE_PATH], to[VT_WIRE_PATH], from[VT_WIRE_PATH], link_text[VT_WIRE_PATH];
    if (!join(root, c->slot, "cc") || mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755") != 0)
        return false;
    if (!join(to, root, "usr") || mkdir(to, 0755) != 0 || !join(to, root, "etc") || mkdir(to, 0755) != 0)
        return false;
    for (size_t i = 0; i < sizeof toolchain_dirs / sizeof toolchain_dirs[0]; i++) {
        struct stat st;
        if (!join(from, "", toolchain_dirs[i]) || !join(to, root, toolchain_dirs[i]) || lstat(from, &st) != 0)
            continue;
        if (S_ISLNK(st.st_mode)) {
            ssize_t n = readlink(from, link_text, sizeof link_text - 1);
            link_text[n > 0 ? n : 0] = 0;
            if (n <= 0 || symlink(link_text, to) != 0)
                return false;
        } else if (mkdir(to, 0755) != 0 || !bind_read_only(from, to)) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof toolchain_files / sizeof toolchain_files[0]; i++) {
        if (!join(from, "", toolchain_files[i]) || !join(to, root, toolchain_files[i]) || access(from, R_OK) != 0)
            continue;
        int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
        if (fd >= 0)
            close(fd);
        if (!bind_read_only(from, to))
            return false;
    }
    if (!join(to, root, "work") || mkdir(to, 0755) != 0 || !join(from, c->slot, "work"))
        return false;
    return mount(from, to, NULL, MS_BIND, NULL) == 0;
}

static bool make_roots(struct cage *c)
{
    char root[VT_WIRE_PATH];
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || !join(root, c->slot, "root"))
        return false;
    return bind_read_only(root, root) && make_compiler_root(c);
}

/* Root gives each slot an unused id, so that jobs of two slots cannot touch each other; "nobody" when ids are scarce.
 */
static bool choose_uid(struct cage *c)
{
    unsigned slot = 0;
    for (const char *p = c->slot; *p; p++)
        slot = slot * 31 + (unsigned char)*p;
    uid_t ids[2] = {0x60000u + slot % 0x8000u, 65534};
    for (int i = 0; i < 2; i++) {
        char work[VT_WIRE_PATH];
        uid_t now = geteuid();
        if (setresuid((uid_t)-1, ids[i], (uid_t)-1) != 0)
            continue;
        if (setresuid((uid_t)-1, now, (uid_t)-1) != 0)
            return false;
        c->uid = ids[i];
        c->gid = ids[i];
        return join(work, c->slot, "work") && chown(work, c->uid, c->gid) == 0;
    }
    return false;
}

static int landlock_version(void)
{
    long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return v > 0 ? (int)v : 0;
}

static bool seccomp_works(void)
{
    uint32_t action = SECCOMP_RET_TRAP;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* Can a process be born into a group here (Linux 5.7; containers may refuse clone3)? */
static bool cgroup_works(struct cage *c)
{
    struct cage probe = {.layers = 0};
    unsigned number = 0;
    if (!cgroup_open(&c->cgroup))
        return false;
    int fd = cgroup_begin(&c->cgroup, 64u << 20, 8, &number), status = -1;
    pid_t pid = fd >= 0 ? cage_fork(&probe, fd) : -1;
    if (pid == 0)
        _exit(0);
    if (fd >= 0)
        close(fd);
    bool ok = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status);
    cgroup_end(&c->cgroup, number);
    if (!ok)
        cgroup_close(&c->cgroup);
    return ok;
}

static bool pid_ns_works(void)
{
    struct cage probe = {.has_pid_ns = true};
    pid_t pid = cage_fork(&probe, -1);
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return false;
    siginfo_t info;
    return waitid(P_PID, (id_t)pid, &info, WEXITED) == 0;
}

void cage_open(struct cage *c)
{
    uint32_t want = ~c->without;
    bool is_root = geteuid() == 0;
    c->uid = geteuid();
    c->gid = getegid();
    c->cgroup = (struct cgroup){.parent_fd = -1, .fd = -1};
    c->layers = want & (VT_LAYER_NO_NEW_PRIVS | VT_LAYER_RLIMITS | VT_LAYER_CLOSED_FDS | VT_LAYER_CLEAR_ENV);
    /* While the machine's own mounts and names are in view. */
    if ((want & VT_LAYER_CGROUP) && cgroup_works(c))
        c->layers |= VT_LAYER_CGROUP | (c->cgroup.has_limits ? want & VT_LAYER_CGROUP_LIMITS : 0);
    if (is_root && (want & VT_LAYER_OWN_UID) && choose_uid(c))
        c->layers |= VT_LAYER_OWN_UID;
    if (!is_root && (want & VT_LAYER_USER_NS) && enter_user_ns())
        c->layers |= VT_LAYER_USER_NS;
    if ((want & VT_LAYER_NET_NS) && unshare(CLONE_NEWNET) == 0)
        c->layers |= VT_LAYER_NET_NS;
    if ((want & VT_LAYER_IPC_NS) && unshare(CLONE_NEWIPC) == 0)
        c->layers |= VT_LAYER_IPC_NS;
    if ((want & VT_LAYER_MOUNT_NS) && unshare(CLONE_NEWNS) == 0 && make_roots(c))
        c->layers |= VT_LAYER_MOUNT_NS | VT_LAYER_PRIVATE_TMP;
    if ((want & VT_LAYER_PID_NS) && pid_ns_works()) {
        c->has_pid_ns = true;
        c->layers |= VT_LAYER_PID_NS;
    }
    c->landlock_abi = landlock_version();
    if ((want & VT_LAYER_LANDLOCK) && c->landlock_abi > 0)
        c->layers |= VT_LAYER_LANDLOCK;
    if ((want & VT_LAYER_SECCOMP) && seccomp_works())
        c->layers |= VT_LAYER_SECCOMP;
}

pid_t cage_fork(const struct cage *c, int group_fd)
{
    const unsigned own_pids = c->has_pid_ns ? CLONE_NEWPID : 0;
    if (group_fd < 0)
        return (pid_t)syscall(SYS_clone, (unsigned long)own_pids | SIGCHLD, NULL, NULL, NULL, NULL);
    struct clone_args args = {
        .flags = own_pids | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)group_fd};
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

void cage_close(struct cage *c)
{
    cgroup_close(&c->cgroup);
}

bool cage_keep_fds(int *keep, int n, int first)
{
    for (int i = 0; i < n; i++) {
        int fd = fcntl(keep[i], F_DUPFD, 128);
        if (fd < 0)
            return false;
        keep[i] = fd;
    }
    for (int i = 0; i < n; i++) {
        if (dup2(keep[i], first + i) < 0)
            return false;
        keep[i] = first + i;
    }
    return syscall(SYS_close_range, (unsigned)(first + n), ~0u, 0) == 0;
}

static bool limit(int resource, rlim_t value)
{
    struct rlimit r = {value, value};
    return setrlimit((__rlimit_resource_t)resource, &r) == 0;
}

static bool drop_user(const struct cage *c)
{
    if (!(c->layers & VT_LAYER_OWN_UID))
        return false;
    return setgroups(0, NULL) == 0 && setresgid(c->gid, c->gid, c->gid) == 0 && setresuid(c->uid, c->uid, c->uid) == 0;
}

static bool landlock_allow(int ruleset, int fd, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

/* A ruleset that handles every right this kernel knows: file system, TCP, abstract sockets and signals. */
static int landlock_open(int abi, uint64_t *all_fs)
{
    struct ruleset_attr attr = {.fs = (1u << 13) - 1};
    size_t size = sizeof attr.fs;
    if (abi >= 2)
        attr.fs |= RIGHT_REFER;
    if (abi >= 3)
        attr.fs |= RIGHT_TRUNCATE;
    if (abi >= 5)
        attr.fs |= RIGHT_IOCTL_DEV;
    if (abi >= 4) {
        attr.net = 3;
        size = offsetof(struct ruleset_attr, scoped);
    }
    if (abi >= 6) {
        attr.scoped = 3;
        size = sizeof attr;
    }
    *all_fs = attr.fs;
    return (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
}

static bool landlock_template(const struct cage *c)
{
    uint64_t all;
    int rules = landlock_open(c->landlock_abi, &all);
    if (rules < 0)
        return false;
    bool ok = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return ok;
}

static bool landlock_compiler(const struct cage *c)
{
    const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
    char path[VT_WIRE_PATH];
    uint64_t all;
    int rules = landlock_open(c->landlock_abi, &all);
    if (rules < 0)
        return false;
    bool ok = true;
    for (size_t i = 0; i < sizeof toolchain_dirs / sizeof toolchain_dirs[0]; i++) {
        int fd = join(path, "", toolchain_dirs[i]) ? open(path, O_PATH | O_CLOEXEC) : -1;
        if (fd >= 0) {
            ok = landlock_allow(rules, fd, read) && ok;
            close(fd);
        }
    }
    for (size_t i = 0; i < sizeof toolchain_files / sizeof toolchain_files[0]; i++) {
        int fd = join(path, "", toolchain_files[i]) ? open(path, O_PATH | O_CLOEXEC) : -1;
        if (fd >= 0) {
            ok = landlock_allow(rules, fd, LANDLOCK_ACCESS_FS_READ_FILE) && ok;
            close(fd);
        }
    }
    int work = open(".", O_PATH | O_CLOEXEC);
    uint64_t own = read | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                   (all & RIGHT_TRUNCATE);
    ok = work >= 0 && landlock_allow(rules, work, own & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE) && ok;
    if (work >= 0)
        close(work);
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return ok;
}

static bool install(const struct sock_filter *code, size_t n)
{
    struct sock_fprog program = {.len = (unsigned short)n, .filter = (struct sock_filter *)(uintptr_t)code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define ONLY_THIS_ARCH                                                                                                 \
    LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0), RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr)
#define ON(number, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(number), 0, 1), RETURN(action)
#define DENY (SECCOMP_RET_ERRNO | EPERM)

/* For programs we trust to run but not to reach: compilers, and the template before it forks a call. */
static bool seccomp_outer(void)
{
    static const struct sock_filter code[] = {ONLY_THIS_ARCH,
                                              ON(SYS_ptrace, DENY),
                                              ON(SYS_process_vm_readv, DENY),
                                              ON(SYS_process_vm_writev, DENY),
                                              ON(SYS_socket, DENY),
                                              ON(SYS_socketpair, DENY),
                                              ON(SYS_mount, DENY),
                                              ON(SYS_umount2, DENY),
                                              ON(SYS_pivot_root, DENY),
                                              ON(SYS_unshare, DENY),
                                              ON(SYS_setns, DENY),
                                              ON(SYS_bpf, DENY),
                                              ON(SYS_perf_event_open, DENY),
                                              ON(SYS_userfaultfd, DENY),
                                              ON(SYS_keyctl, DENY),
                                              ON(SYS_add_key, DENY),
                                              ON(SYS_request_key, DENY),
                                              ON(SYS_io_uring_setup, DENY),
                                              ON(SYS_init_module, DENY),
                                              ON(SYS_finit_module, DENY),
                                              ON(SYS_kexec_load, DENY),
                                              ON(SYS_open_by_handle_at, DENY),
                                              ON(SYS_memfd_create, DENY),
                                              ON(SYS_shmget, DENY),
                                              ON(SYS_msgget, DENY),
                                              ON(SYS_semget, DENY),
                                              ON(SYS_mq_open, DENY),
                                              ON(SYS_personality, DENY),
                                              ON(SYS_chroot, DENY),
                                              RETURN(SECCOMP_RET_ALLOW)};
    return install(code, sizeof code / sizeof code[0]);
}

/* Goes on only when argument i is this value: else jumps over what follows to the end of the rule, `skip` further. */
#define ARG_IS(i, value, skip)                                                                                         \
    LOAD(args[i]), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (skip) + 2),                              \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]) + 4),                                \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)((uint64_t)(value) >> 32), 0, (skip))
/* A call with these first two arguments is allowed; 11 instructions. */
#define ALLOW_CALL(number, first, second)                                                                              \
    LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(number), 0, 9), ARG_IS(0, first, 5),                      \
        ARG_IS(1, second, 1), RETURN(SECCOMP_RET_ALLOW)

bool cage_seccomp(const struct vt_wire_call *page, const struct vt_wire_shared *shared)
{
    const uint64_t go = page ? (uintptr_t)&page->go : 0, ready = page ? (uintptr_t)&page->ready : 0,
                   done = page ? (uintptr_t)&page->done : 0, set_up = (uintptr_t)shared;
    /* rt_sigreturn lets the fault handler return into the default action. The addresses are this process's own: a
     * candidate can neither sleep nor wake on other words, nor unmap anything of its own. */
    const struct sock_filter code[] = {ONLY_THIS_ARCH,
                                       ON(SYS_exit_group, SECCOMP_RET_ALLOW),
                                       ON(SYS_exit, SECCOMP_RET_ALLOW),
                                       ON(SYS_rt_sigreturn, SECCOMP_RET_ALLOW),
                                       ALLOW_CALL(SYS_futex, go, FUTEX_WAIT),
                                       ALLOW_CALL(SYS_futex, ready, FUTEX_WAKE),
                                       ALLOW_CALL(SYS_futex, done, FUTEX_WAKE),
                                       ALLOW_CALL(SYS_munmap, set_up, VT_WIRE_SHARED),
                                       RETURN(SECCOMP_RET_TRAP)};
    return install(code, sizeof code / sizeof code[0]);
}

/* What both kinds of job do: own session, death with the broker, root, user id, no way back to privileges. */
static uint32_t enter_common(const struct cage *c, const char *root)
{
    uint32_t up = c->layers & (VT_LAYER_USER_NS | VT_LAYER_NET_NS | VT_LAYER_IPC_NS | VT_LAYER_PID_NS |
                               VT_LAYER_CGROUP | VT_LAYER_CGROUP_LIMITS);
    char path[VT_WIRE_PATH];
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if ((c->layers & VT_LAYER_MOUNT_NS) && join(path, c->slot, root) && chroot(path) == 0 && chdir("/") == 0)
        up |= VT_LAYER_MOUNT_NS | (c->layers & VT_LAYER_PRIVATE_TMP);
    if (drop_user(c))
        up |= VT_LAYER_OWN_UID;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* changing user clears it */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if ((c->layers & VT_LAYER_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        up |= VT_LAYER_NO_NEW_PRIVS;
    return up;
}

/* In a user namespace of our own the broker holds every capability of that namespace; a job keeps none. */
static void drop_capabilities(void)
{
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    uint32_t none[6] = {0};
    syscall(SYS_capset, &header, none);
}

uint32_t cage_enter_template(const struct cage *c)
{
    uint32_t up = enter_common(c, "root");
    up |= VT_LAYER_CLOSED_FDS | (c->layers & VT_LAYER_CLEAR_ENV);
    drop_capabilities();
    const rlim_t stack = 64ul << 20;
    if ((c->layers & VT_LAYER_RLIMITS) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
        limit(RLIMIT_STACK, stack) && limit(RLIMIT_MSGQUEUE, 0) && limit(RLIMIT_MEMLOCK, 0) &&
        limit(RLIMIT_NOFILE, 64) && limit(RLIMIT_AS, 8ul << 30))
        up |= VT_LAYER_RLIMITS;
    if ((c->layers & VT_LAYER_LANDLOCK) && landlock_template(c))
        up |= VT_LAYER_LANDLOCK;
    if ((c->layers & VT_LAYER_SECCOMP) && seccomp_outer())
        up |= VT_LAYER_SECCOMP;
    return up;
}

uint32_t cage_enter_compiler(const struct cage *c, const struct vt_wire_request *r)
{
    /* What was promised to the evaluator and decides whether a compiler may see a stranger's text. */
    const uint32_t needed = c->layers & (VT_LAYER_NO_NEW_PRIVS | VT_LAYER_SECCOMP | VT_LAYER_RLIMITS |
                                         VT_LAYER_LANDLOCK | VT_LAYER_MOUNT_NS | VT_LAYER_OWN_UID);
    char work[VT_WIRE_PATH];
    /* Before the user id is dropped: the folders above may be closed to it. */
    if (!join(work, c->slot, "work") || chdir(work) != 0)
        return 0;
    uint32_t up = enter_common(c, "cc") | VT_LAYER_CLOSED_FDS;
    if ((up & VT_LAYER_MOUNT_NS) && chdir("/work") != 0)
        return 0;
    drop_capabilities();
    umask(022);
    bool ok = limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, (rlim_t)r->max_file_mib << 20) &&
              limit(RLIMIT_CPU, r->max_cpu_s) && limit(RLIMIT_AS, (rlim_t)r->max_memory_mib << 20) &&
              limit(RLIMIT_NOFILE, 256) && limit(RLIMIT_MSGQUEUE, 0) && limit(RLIMIT_MEMLOCK, 0);
    /* The count is per user, so it only makes sense for a user that runs nothing but this slot's templates and their
     * calls, which are in it. */
    if (up & (VT_LAYER_OWN_UID | VT_LAYER_USER_NS))
        limit(RLIMIT_NPROC, 64 + 2 * VT_WIRE_MAX_JOBS);
    if (ok)
        up |= VT_LAYER_RLIMITS;
    if ((c->layers & VT_LAYER_LANDLOCK) && landlock_compiler(c))
        up |= VT_LAYER_LANDLOCK;
    if ((c->layers & VT_LAYER_SECCOMP) && seccomp_outer())
        up |= VT_LAYER_SECCOMP;
    return (needed & ~up) ? 0 : up;
}
