/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler.c: the evaluator's end of the compiling process, and the compiler's log as data.
 */
#include "eval/cuda/compiler.h"
#include "base/alloc.h"
#include "base/clock.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WALL_MS = 10000, CPU_S = 20, MEMORY_MIB = 4096, START_S = 30, GRACE_MS = 2000 };

static const char *const options[][6] = {
    [VT_CUDA_CANDIDATE] = {"--std=c++17", "--device-as-default-execution-space", "--disable-warnings", NULL},
    [VT_CUDA_TRUSTED] = {"--std=c++17", "--device-as-default-execution-space", "--disable-warnings", "--fmad=false",
                         NULL}};

vt_status vt_cuda_compiler_open(struct vt_cuda_compiler *c, bool allow_unsafe, vt_err *err)
{
    struct vt_cuda_request r = {.op = VT_CUDA_HELLO};
    struct vt_cuda_reply reply;
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->wall_ms = WALL_MS;
    vt_status s = vt_cuda_process_start("compile", &c->process, err);
    if (s == VT_OK)
        s = vt_cuda_process_send(&c->process, &r, NULL, 0, err);
    if (s == VT_OK)
        s = vt_cuda_process_receive(&c->process, &reply, (uint64_t)START_S * 1000000000, err);
    if (s == VT_OK && reply.end != VT_CUDA_DONE)
        s = vt_fail(err, reply.status, "%s", reply.why);
    if (s == VT_OK) {
        c->major = reply.nvrtc_major;
        c->minor = reply.nvrtc_minor;
        c->layers = reply.layers;
        memcpy(c->include, reply.include, sizeof c->include);
        const unsigned floor = VT_CUDA_LAYER_PRIVS | VT_CUDA_LAYER_SECCOMP | VT_CUDA_LAYER_LANDLOCK;
        if (!allow_unsafe && (c->layers & floor) != floor)
            s = vt_fail(err, VT_EJAIL,
                        "refused to compile CUDA text: this machine's kernel does not give the compiler's jail %s; run "
                        "elsewhere, or pass --unsafe-jail for code you trust",
                        !(c->layers & VT_CUDA_LAYER_LANDLOCK) ? "landlock" : "a filter of system calls");
    }
    if (s != VT_OK)
        vt_cuda_compiler_close(c);
    return s;
}

void vt_cuda_compiler_close(struct vt_cuda_compiler *c)
{
    vt_cuda_process_end(&c->process);
    pthread_mutex_destroy(&c->lock);
}

void vt_cuda_compiler_stop(struct vt_cuda_compiler *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_stopped = true;
    vt_cuda_process_shutdown(&c->process);
    pthread_mutex_unlock(&c->lock);
}

bool vt_cuda_compiler_is_alive(const struct vt_cuda_compiler *c)
{
    return !c->process.is_lost && c->process.pid > 0;
}

void vt_cuda_compiler_id(const struct vt_cuda_compiler *c, const char *architecture, char out[VT_SHA256_HEX])
{
    struct vt_sha256 h;
    vt_sha256_init(&h);
    vt_hash_str(&h, "compiler", "nvrtc");
    vt_hash_u64(&h, "major", (uint64_t)c->major);
    vt_hash_u64(&h, "minor", (uint64_t)c->minor);
    vt_hash_str(&h, "architecture", architecture);
    for (int i = 0; options[VT_CUDA_CANDIDATE][i]; i++)
        vt_hash_str(&h, "option", options[VT_CUDA_CANDIDATE][i]);
    vt_sha256_hex(&h, out);
}

/* ---- the log ---- */

static void copy_clean(char *out, size_t size, const char *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < size; i++)
        out[n++] = (unsigned char)p[i] < 32 || p[i] == 127 ? ' ' : p[i];
    out[n] = '\0';
}

/* `FILE(LINE): error: TEXT`, with or without a number behind the word. */
static void read_log(struct vt_cuda_build *b)
{
    static const char file[] = "kernel.cu(";
    for (const char *p = b->log; p && *p;) {
        const char *end = strchr(p, '\n');
        const size_t len = end ? (size_t)(end - p) : strlen(p);
        const char *at = memmem(p, len, "error", 5), *colon = at ? memchr(at, ':', (size_t)(p + len - at)) : NULL;
        bool is_error = at && colon && (at == p || at[-1] == ' ') && colon - at < 12;
        if (is_error) {
            b->n_errors++;
            if (b->n_diagnostics < VT_CUDA_MAX_DIAGNOSTICS) {
                struct vt_cuda_diagnostic *d = &b->diagnostic[b->n_diagnostics++];
                d->line = strncmp(p, file, sizeof file - 1) == 0 ? (int)strtol(p + sizeof file - 1, NULL, 10) : 0;
                const char *text = colon + 1 + (colon[1] == ' ');
                copy_clean(d->text, sizeof d->text, text, (size_t)(p + len - text));
            }
        }
        p += len + (end != NULL);
    }
}

/* ---- compiling ---- */

static bool add_option(struct vt_cuda_request *r, size_t *at, const char *name, const char *value)
{
    int n = snprintf(r->options + *at, sizeof r->options - *at, "%s%s", name, value);
    if (n < 0 || (size_t)n >= sizeof r->options - *at)
        return false;
    *at += (size_t)n + 1;
    r->n_options++;
    return true;
}

static vt_status take_result(int fd, struct vt_cuda_build *out, uint32_t *outcome, vt_err *err)
{
    struct vt_cuda_result head = {0};
    struct stat st;
    *outcome = VT_CUDA_RESULT_NONE;
    if (fstat(fd, &st) != 0 || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        head.image_len > (uint64_t)st.st_size || head.log_len > (uint64_t)st.st_size)
        return VT_OK;
    size_t log_len = head.log_len < VT_CUDA_MAX_LOG ? head.log_len : VT_CUDA_MAX_LOG;
    out->image = head.image_len ? vt_alloc(head.image_len) : NULL;
    out->log = vt_alloc(log_len + 1);
    if ((head.image_len && !out->image) || !out->log)
        return vt_fail(err, VT_ENOMEM, "out of memory for %llu bytes of machine code",
                       (unsigned long long)head.image_len);
    if (head.image_len && pread(fd, out->image, head.image_len, (off_t)sizeof head) != (ssize_t)head.image_len)
        return VT_OK;
    ssize_t got = pread(fd, out->log, log_len, (off_t)(sizeof head + head.image_len));
    out->log[got > 0 ? got : 0] = '\0';
    out->image_len = head.image_len;
    *outcome = head.outcome;
    return VT_OK;
}

static void judge(struct vt_cuda_build *b, const struct vt_cuda_reply *reply, uint32_t outcome)
{
    const bool exited = WIFEXITED(reply->wait_status) && WEXITSTATUS(reply->wait_status) == 0;
    read_log(b);
    if (reply->is_timeout ||
        (WIFSIGNALED(reply->wait_status) &&
         (WTERMSIG(reply->wait_status) == SIGXCPU || (WTERMSIG(reply->wait_status) == SIGKILL && !exited))))
        b->end = VT_CUDA_BUILD_TIMEOUT;
    else if (exited && outcome == VT_CUDA_RESULT_OK && b->image_len)
        b->end = VT_CUDA_BUILD_OK;
    else if (exited && outcome == VT_CUDA_RESULT_ERROR)
        b->end = VT_CUDA_BUILD_ERROR;
    else
        b->end = VT_CUDA_BUILD_CRASHED;
    if (b->end != VT_CUDA_BUILD_OK) {
        free(b->image);
        b->image = NULL;
        b->image_len = 0;
    }
}

static vt_status exchange(struct vt_cuda_compiler *c, const struct vt_cuda_request *r, const int fds[2],
                          struct vt_cuda_reply *reply, vt_err *err)
{
    VT_TRY(vt_cuda_process_send(&c->process, r, fds, 2, err));
    VT_TRY(vt_cuda_process_receive(&c->process, reply, (uint64_t)(r->wall_ms + GRACE_MS) * 1000000, err));
    return reply->end == VT_CUDA_DONE ? VT_OK : vt_fail(err, reply->status, "%s", reply->why);
}

vt_status vt_cuda_compile(struct vt_cuda_compiler *c, const char *source, size_t len, const char *architecture,
                          enum vt_cuda_text kind, struct vt_cuda_build *out, vt_err *err)
{
    struct vt_cuda_request r = {.op = VT_CUDA_COMPILE, .wall_ms = c->wall_ms, .cpu_s = CPU_S, .memory_mib = MEMORY_MIB};
    struct vt_cuda_reply reply;
    uint32_t outcome;
    size_t at = 0;
    memset(out, 0, sizeof *out);
    bool fits = add_option(&r, &at, "--gpu-architecture=", architecture);
    for (int i = 0; options[kind][i]; i++)
        fits = add_option(&r, &at, options[kind][i], "") && fits;
    if (c->include[0])
        fits = add_option(&r, &at, "--include-path=", c->include) && fits;
    if (!fits)
        return vt_fail(err, VT_ELIMIT, "the compiler's options are longer than %d bytes", VT_CUDA_OPTIONS);
    const uint64_t from = vt_now_ns();
    const int fds[2] = {vt_cuda_file(source, len), vt_cuda_file("", 0)};
    vt_status s = exchange(c, &r, fds, &reply, err);
    if (s == VT_OK)
        s = take_result(fds[1], out, &outcome, err);
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    out->ms = (double)(vt_now_ns() - from) / 1e6;
    if (s == VT_OK) {
        out->cpu_ms = (double)reply.cpu_us / 1e3;
        out->max_rss_kib = reply.max_rss_kib;
        judge(out, &reply, outcome);
    } else {
        vt_cuda_build_free(out);
    }
    return s;
}

void vt_cuda_build_free(struct vt_cuda_build *b)
{
    free(b->image);
    free(b->log);
    b->image = NULL;
    b->log = NULL;
}
