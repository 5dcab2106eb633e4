/* SPDX-License-Identifier: Apache-2.0
 *
 * compile.c: the jailed fork server around NVRTC.
 *
 * NVRTC opens any file that a text includes and prints its lines, and ends the whole process when it runs out of
 * memory. So it works in children of a process that has given up everything first: it can read the toolkit's headers
 * and nothing else (landlock), can neither connect, start programs nor look at others (seccomp), and gains no
 * privileges. The parent has compiled an empty text before, so that all the compiler's libraries are open and warm: a
 * child starts in milliseconds and saves the compiler's start of some 50 ms. Time and memory of each child are limited.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "eval/cuda/worker/worker.h"
#include "gpu/nvrtc.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_OPTIONS = 24, MAX_RESULT_MIB = 64, SLICE_MS = 20 };

/* ---- the jail ---- */

#define DENY(nr)                                                                                                       \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static bool filter_calls(void)
{
#if defined(__x86_64__)
    const unsigned arch = AUDIT_ARCH_X86_64;
#else
    const unsigned arch = AUDIT_ARCH_AARCH64;
#endif
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        DENY(SYS_execve),
        DENY(SYS_execveat),
        DENY(SYS_ptrace),
        DENY(SYS_process_vm_readv),
        DENY(SYS_process_vm_writev),
        DENY(SYS_socket),
        DENY(SYS_socketpair),
        DENY(SYS_connect),
        DENY(SYS_mount),
        DENY(SYS_umount2),
        DENY(SYS_pivot_root),
        DENY(SYS_unshare),
        DENY(SYS_setns),
        DENY(SYS_bpf),
        DENY(SYS_perf_event_open),
        DENY(SYS_userfaultfd),
        DENY(SYS_keyctl),
        DENY(SYS_add_key),
        DENY(SYS_request_key),
        DENY(SYS_io_uring_setup),
        DENY(SYS_init_module),
        DENY(SYS_finit_module),
        DENY(SYS_kexec_load),
        DENY(SYS_open_by_handle_at),
        DENY(SYS_memfd_create),
        DENY(SYS_shmget),
        DENY(SYS_msgget),
        DENY(SYS_semget),
        DENY(SYS_mq_open),
        DENY(SYS_personality),
        DENY(SYS_chroot),
        DENY(SYS_pidfd_open),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* Reading below `include` and nothing else of the file system. */
static bool hide_files(const char *include)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs = (1u << 13) - 1};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (rules < 0)
        return false;
    int fd = include[0] ? open(include, O_PATH | O_CLOEXEC) : -1;
    bool ok = true;
    if (fd >= 0) {
        struct landlock_path_beneath_attr rule = {
            .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR, .parent_fd = fd};
        ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
        close(fd);
    }
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return ok;
}

/* The folder of the library as the kernel maps it. */
static bool library_dir(char out[512])
{
    char line[1024];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *path = strchr(line, '/'), *name = path ? strstr(path, "/libnvrtc.") : NULL;
        found = name && name - path < 512;
        if (found)
            snprintf(out, 512, "%.*s", (int)(name - path), path);
    }
    if (f)
        fclose(f);
    return found;
}

/* The toolkit's headers: beside the library in a toolkit or in the wheels of version 13, in a wheel of their own
 * before. */
static void find_headers(char out[512])
{
    static const char *const places[] = {"../include", "../../include", "../targets/x86_64-linux/include",
                                         "../../cuda_runtime/include"};
    char dir[512] = "", path[1100];
    out[0] = '\0';
    if (!library_dir(dir))
        return;
    for (size_t i = 0; i < sizeof places / sizeof places[0] && !out[0]; i++) {
        snprintf(path, sizeof path, "%s/%s/cuda_fp16.h", dir, places[i]);
        char *real = access(path, R_OK) == 0 ? realpath(path, NULL) : NULL;
        if (real && strlen(real) < 512) {
            *strrchr(real, '/') = '\0';
            snprintf(out, 512, "%s", real);
        }
        free(real);
    }
}

static void hello(struct vt_cuda_reply *reply)
{
    const char *const options[] = {"--gpu-architecture=sm_80"};
    void *image = NULL;
    size_t len = 0;
    vt_err err = {0};
    vt_status s = vt_nvrtc_version(&reply->nvrtc_major, &reply->nvrtc_minor, NULL, &err);
    if (s == VT_OK)
        s = vt_nvrtc_compile("extern \"C\" __global__ void k(float *x) { x[threadIdx.x] = expf(x[0]); }", "warm.cu",
                             options, 1, &image, &len, NULL, &err);
    free(image);
    if (s != VT_OK) {
        reply->end = VT_CUDA_FAILED;
        reply->status = s;
        snprintf(reply->why, sizeof reply->why, "CUDA text cannot be compiled here: %.250s", err.msg);
        return;
    }
    find_headers(reply->include);
    clearenv();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        reply->layers |= VT_CUDA_LAYER_PRIVS;
    if (hide_files(reply->include))
        reply->layers |= VT_CUDA_LAYER_LANDLOCK;
    if (filter_calls())
        reply->layers |= VT_CUDA_LAYER_SECCOMP;
}

/* ---- one text, in a child ---- */

static bool put(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* A sanitizer's run time reserves more address space than any limit leaves. */
static bool limit_memory(unsigned mib)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)mib;
    return true;
#else
    const struct rlimit memory = {(rlim_t)mib << 20, (rlim_t)mib << 20};
    return setrlimit(RLIMIT_AS, &memory) == 0;
#endif
}

static _Noreturn void compile(const struct vt_cuda_request *r, const int fds[2])
{
    const char *options[MAX_OPTIONS];
    int n = 0;
    struct stat st;
    const struct rlimit cpu = {r->cpu_s, r->cpu_s + 1},
                        file = {(rlim_t)MAX_RESULT_MIB << 20, (rlim_t)MAX_RESULT_MIB << 20}, none = {0, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!limit_memory(r->memory_mib) || setrlimit(RLIMIT_CPU, &cpu) != 0 || setrlimit(RLIMIT_FSIZE, &file) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0 || fstat(fds[0], &st) != 0)
        _exit(1);
    close(VT_CUDA_SOCKET);
    char *source = vt_alloc((size_t)st.st_size + 1);
    if (!source || pread(fds[0], source, (size_t)st.st_size, 0) != (ssize_t)st.st_size)
        _exit(1);
    const char *end = r->options + sizeof r->options;
    for (const char *p = r->options; n < MAX_OPTIONS && n < (int)r->n_options && p < end; p += strlen(p) + 1)
        options[n++] = p;
    void *image = NULL;
    size_t len = 0;
    char *log = NULL;
    vt_err err = {0};
    vt_status s = vt_nvrtc_compile(source, "kernel.cu", options, n, &image, &len, &log, &err);
    const char *said = log && log[0] ? log : err.msg;
    const struct vt_cuda_result head = {s == VT_OK        ? VT_CUDA_RESULT_OK
                                        : s == VT_EFORMAT ? VT_CUDA_RESULT_ERROR
                                                          : VT_CUDA_RESULT_TROUBLE,
                                        0, s == VT_OK ? len : 0, strlen(said)};
    if (!put(fds[1], &head, sizeof head) || !put(fds[1], image, s == VT_OK ? len : 0) ||
        !put(fds[1], said, strlen(said)))
        _exit(1);
    _exit(0);
}

/* Waits for the child, or for its time to be over; *hung_up: nobody asks any more. */
static void wait_for(pid_t child, const struct vt_cuda_request *r, struct vt_cuda_reply *reply, bool *hung_up)
{
    const uint64_t until = vt_now_ns() + (uint64_t)r->wall_ms * 1000000;
    struct rusage used = {0};
    struct pollfd peer = {.fd = VT_CUDA_SOCKET, .events = POLLRDHUP};
    int step_ms = 1;
    while (wait4(child, &reply->wait_status, WNOHANG, &used) == 0) {
        reply->is_timeout = vt_now_ns() > until;
        *hung_up = poll(&peer, 1, step_ms) > 0;
        step_ms = step_ms < SLICE_MS ? step_ms + 1 : SLICE_MS;
        if (!reply->is_timeout && !*hung_up)
            continue;
        kill(child, SIGKILL);
        wait4(child, &reply->wait_status, 0, &used);
        break;
    }
    reply->cpu_us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
                    (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    reply->max_rss_kib = (uint64_t)used.ru_maxrss;
}

int vt_cuda_worker_compile(void)
{
    static struct vt_cuda_request r;
    static struct vt_cuda_reply reply;
    int fds[VT_CUDA_MAX_FDS], n_fds;
    bool hung_up = false;
    while (!hung_up && vt_cuda_worker_next(&r, fds, &n_fds)) {
        memset(&reply, 0, sizeof reply);
        if (r.op == VT_CUDA_HELLO) {
            hello(&reply);
        } else if (r.op == VT_CUDA_COMPILE && n_fds == 2) {
            pid_t child = fork();
            if (child == 0)
                compile(&r, fds);
            if (child > 0) {
                wait_for(child, &r, &reply, &hung_up);
            } else {
                reply.end = VT_CUDA_FAILED;
                reply.status = VT_EIO;
                snprintf(reply.why, sizeof reply.why, "cannot start a compiler: %s", strerror(errno));
            }
        }
        vt_cuda_worker_close(fds, n_fds);
        if (!vt_cuda_worker_answer(&reply))
            break;
    }
    return 0;
}
