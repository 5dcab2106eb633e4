/* SPDX-License-Identifier: Apache-2.0
 *
 * build.c: runs the compiler in the jail and judges what it made.
 *
 * Source, log and image travel as memory files; the compiler's object stays in the jail, where the linker reads it
 * (worker/link.c), and the work folder is emptied whatever happened. While the machine lease is held the compiler's
 * process group is stopped, and that time does not count against its limit.
 *
 * The headers every unit begins with are read once per compiler, already preprocessed (about 2,300 lines, macros
 * included): without opening, skipping and guarding forty files cc1 needs a quarter less time for a typical kernel.
 */
#include "eval/c/build.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "eval/c/assemble.h"
#include "eval/c/scratch.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WALL_S = 10,
    CPU_S = 10,
    MEMORY_MIB = 1024,
    FILE_MIB = 16,
    POLL_MS = 50,
    MAX_HEADERS = 1 << 20,
    MAX_IMAGE = 64 << 20,
    LOG_TAIL = 1024
};

/* No table of frames is kept; what the function does not reach is left out, part by part. A kernel has one thread: its
 * thread-local variables are ordinary ones. */
const char *const vt_compile_flags[] = {"-std=gnu17",
                                        "-O3",
                                        "-march=native",
                                        "-fopenmp-simd",
                                        "-c",
                                        "-fPIC",
                                        "-D_Thread_local=",
                                        "-D__thread=",
                                        "-fno-asynchronous-unwind-tables",
                                        "-ffunction-sections",
                                        "-fdata-sections",
                                        "-fdiagnostics-color=never",
                                        "-Werror=implicit-function-declaration",
                                        NULL};

bool vt_program_find(const char *cc, char out[512])
{
    char buf[4096];
    if (strchr(cc, '/'))
        snprintf(buf, sizeof buf, "%s", cc);
    for (const char *p = strchr(cc, '/') ? NULL : getenv("PATH"); p && *p;) {
        size_t n = strcspn(p, ":");
        if (n > 0 && n < sizeof buf - 300) {
            snprintf(buf, sizeof buf, "%.*s/%.255s", (int)n, p, cc);
            if (access(buf, X_OK) == 0)
                break;
        }
        buf[0] = 0;
        p += n + (p[n] == ':');
    }
    char *real = realpath(buf, NULL);
    bool ok = real && access(real, X_OK) == 0 && strlen(real) < 512;
    if (ok)
        memcpy(out, real, strlen(real) + 1);
    free(real);
    return ok;
}

struct lines {
    struct vt_sha256 hash;
    char first[160];
    bool has_first, is_of_header;
    struct vt_buf headers;
};

static void on_version(void *arg, const char *line)
{
    struct lines *l = arg;
    if (!l->has_first)
        snprintf(l->first, sizeof l->first, "%s", line);
    l->has_first = true;
    vt_hash_str(&l->hash, "line", line);
}

/* A line of preprocessed text with its macro definitions. `# 1 "FILE" … 3` says that system header FILE follows; what
 * the compiler defines by itself (names in <>) enters the digest only, which so knows -march and what it implies. */
static void on_preprocessed(void *arg, const char *line)
{
    struct lines *l = arg;
    if (line[0] == '#' && line[1] == ' ') {
        const char *name = strchr(line, '"'), *flags = name ? strrchr(line, '"') : NULL;
        l->is_of_header = flags && name[1] != '<' && strstr(flags, " 3");
        return;
    }
    vt_hash_str(&l->hash, "line", line);
    if (l->is_of_header && line[0])
        vt_buf_printf(&l->headers, "%s\n", line);
}

static vt_status ask_compiler(const char *path, const char *const argv[], void (*on_line)(void *, const char *),
                              struct lines *l, vt_err *err)
{
    int exit_code = 0;
    VT_TRY(vt_child_run(argv, 20, on_line, l, &exit_code, err));
    return exit_code == 0 ? VT_OK
                          : vt_fail(err, VT_ENOENT, "the C compiler %s does not work: with %s it exited with %d", path,
                                    argv[1], exit_code);
}

/* -E -dD of the standard headers, all of -march=native's definitions included. */
static vt_status read_headers(struct vt_compiler *cc, struct lines *l, vt_err *err)
{
    enum { MAX_ARGS = 64 };
    const char *argv[MAX_ARGS];
    int n = 0;
    argv[n++] = cc->path;
    for (int i = 0; vt_compile_flags[i] && n < MAX_ARGS - 24; i++)
        if (strcmp(vt_compile_flags[i], "-c") != 0)
            argv[n++] = vt_compile_flags[i];
    for (int i = 0; vt_unit_headers[i] && n < MAX_ARGS - 6; i++) {
        argv[n++] = "-include";
        argv[n++] = vt_unit_headers[i];
    }
    const char *const tail[] = {"-E", "-dD", "-xc", "/dev/null", NULL};
    memcpy(argv + n, tail, sizeof tail);
    vt_buf_puts(&l->headers, "# 1 \"standard headers\" 3\n");
    VT_TRY(ask_compiler(cc->path, argv, on_preprocessed, l, err));
    vt_buf_puts(&l->headers, "# 1 \"unit.c\"\n");
    VT_TRY(vt_buf_check(&l->headers, "the text of the standard headers", err));
    cc->headers = vt_buf_take(&l->headers, &cc->headers_len);
    return VT_OK;
}

vt_status vt_compiler_find(const char *cc, struct vt_compiler *out, vt_err *err)
{
    memset(out, 0, sizeof *out);
    if (!cc)
        cc = getenv("CC");
    if (!cc || !*cc)
        cc = "cc";
    if (!vt_program_find(cc, out->path))
        return vt_fail(err, VT_ENOENT, "cannot find the C compiler %s; install gcc or clang, or set CC", cc);
    struct lines l = {.has_first = false};
    vt_buf_init(&l.headers, MAX_HEADERS);
    vt_sha256_init(&l.hash);
    for (int i = 0; vt_compile_flags[i]; i++)
        vt_hash_str(&l.hash, "flag", vt_compile_flags[i]);
    const char *version[] = {out->path, "--version", NULL};
    vt_status s = ask_compiler(out->path, version, on_version, &l, err);
    if (s == VT_OK)
        s = read_headers(out, &l, err);
    vt_buf_free(&l.headers);
    memcpy(out->version, l.first, sizeof out->version);
    vt_sha256_hex(&l.hash, out->id);
    return s;
}

void vt_compiler_free(struct vt_compiler *cc)
{
    free(cc->headers);
    cc->headers = NULL;
}

/* A memory file with the unit; the headers' text takes the place of the lines that include them. */
static vt_status source_file(const struct vt_compiler *cc, const char *source, size_t len, int *fd, vt_err *err)
{
    size_t head = strlen(vt_unit_prelude), flat = 0;
    void *map;
    if (len >= head && memcmp(source, vt_unit_prelude, head) == 0)
        flat = cc->headers_len;
    else
        head = 0;
    size_t total = flat + len - head;
    VT_TRY(vt_memfile_make("source", total ? total : 1, fd, &map, err));
    memcpy(map, cc->headers, flat);
    memcpy((char *)map + flat, source + head, len - head);
    munmap(map, total ? total : 1);
    return VT_OK;
}

/* Waits for the compiler; false = it ran past the limit. */
static bool await_end(const struct vt_job *j, vt_lease *lease, unsigned wall_s)
{
    uint64_t from = vt_now_ns(), held = vt_lease_held_ns(lease);
    for (;;) {
        struct pollfd p = {.fd = j->pidfd, .events = POLLIN};
        if (poll(&p, 1, POLL_MS) > 0)
            return true;
        if (vt_now_ns() - from > (uint64_t)wall_s * 1000000000 + (vt_lease_held_ns(lease) - held))
            return false;
    }
}

/* The first of it, and where it is longer than is kept its end: there stand the linker's reasons. */
static vt_status read_log(int fd, struct vt_build *out, vt_err *err)
{
    const off_t size = lseek(fd, 0, SEEK_END);
    const size_t n = size < 0 ? 0 : size > VT_BUILD_LOG ? VT_BUILD_LOG : (size_t)size;
    const size_t tail = size > VT_BUILD_LOG ? LOG_TAIL : 0;
    out->log = vt_alloc(n + 1);
    if (!out->log)
        return vt_fail(err, VT_ENOMEM, "cannot read a compiler log: out of memory");
    ssize_t got = pread(fd, out->log, n - tail, 0);
    out->log_len = got > 0 ? (size_t)got : 0;
    if (tail && (got = pread(fd, out->log + out->log_len, tail, size - (off_t)tail)) > 0)
        out->log_len += (size_t)got;
    out->log[out->log_len] = 0;
    return VT_OK;
}

static vt_status read_image(int fd, struct vt_build *out, vt_err *err)
{
    off_t size = lseek(fd, 0, SEEK_END);
    if (size <= 0 || size > MAX_IMAGE)
        return VT_OK;
    out->object = vt_alloc((size_t)size);
    if (!out->object)
        return vt_fail(err, VT_ENOMEM, "cannot read an image of %zu bytes: out of memory", (size_t)size);
    if (pread(fd, out->object, (size_t)size, 0) == (ssize_t)size)
        out->object_len = (size_t)size;
    return VT_OK;
}

static void empty_folder(const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    if (vt_fs_list(dir, &names, &n, NULL) != VT_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        char *path = vt_path_join(dir, names[i]);
        if (path && unlink(path) != 0)
            (void)!vt_fs_remove_tree(path, NULL);
        free(path);
    }
    vt_fs_list_free(names, n);
}

/* The linker's own words: what stands behind the last line end. Nothing of the compiler's can follow them. */
static void read_refusal(const struct vt_build *b, char *out, size_t size)
{
    const char *p = strrchr(b->log, '\n');
    snprintf(out, size, "the compiled object is refused: %s", p ? p + 1 : "no reason was given");
}

static void judge_exit(struct vt_build *out, int code)
{
    if (code == VT_EXIT_UNDEFINED)
        out->end = VT_BUILD_FAILED;
    else if (code == VT_EXIT_REFUSED)
        read_refusal(out, out->info.refused, sizeof out->info.refused);
    else if (code == 128 + SIGXCPU)
        out->end = VT_BUILD_TIMEOUT;
    else if (code > 2)
        out->end = VT_BUILD_CRASHED;
    else if (code != 0 || !out->object_len)
        out->end = strstr(out->log, "out of memory") || strstr(out->log, "internal compiler error") ? VT_BUILD_CRASHED
                                                                                                    : VT_BUILD_FAILED;
    else
        vt_object_inspect(out->object, out->object_len, &out->info);
    if (out->end == VT_BUILD_OK && out->info.refused[0])
        out->end = VT_BUILD_REFUSED;
}

static void judge(struct vt_build *out, const struct vt_job_end *end, bool in_time)
{
    vt_diagnostics_parse(out->log, out->log_len, &out->diagnostics);
    if (!in_time || strstr(out->log, "CPU time limit exceeded") || strstr(out->log, "Killed signal terminated program"))
        out->end = VT_BUILD_TIMEOUT;
    else if (!WIFEXITED(end->status))
        out->end = VT_BUILD_CRASHED;
    else
        judge_exit(out, WEXITSTATUS(end->status));
}

vt_status vt_compile_run(struct vt_broker *b, vt_lease *lease, const struct vt_compile *c, struct vt_build *out,
                         vt_err *err)
{
    char work[VT_WIRE_PATH + 16];
    struct vt_job job = {0, -1};
    struct vt_job_end end = {0};
    bool in_time = false;
    memset(out, 0, sizeof *out);
    snprintf(work, sizeof work, "%s/work", vt_broker_slot(b));
    int log_fd = memfd_create("log", MFD_CLOEXEC), image_fd = memfd_create("image", MFD_CLOEXEC);
    if (log_fd < 0 || image_fd < 0) {
        vt_status failed = vt_fail(err, VT_EIO, "cannot make memory files for the compiler: %s", strerror(errno));
        close(log_fd);
        close(image_fd);
        return failed;
    }
    uint64_t from = vt_now_ns();
    const struct vt_compile_opts o = {.argv = c->argv,
                                      .object = c->product,
                                      .symbol = c->symbol,
                                      .source_fd = c->source_fd,
                                      .log_fd = log_fd,
                                      .image_fd = image_fd,
                                      .max_memory_mib = c->memory_mib,
                                      .max_cpu_s = c->cpu_s,
                                      .max_file_mib = FILE_MIB};
    vt_status s = vt_broker_compile(b, &o, &job, err);
    if (s == VT_OK) {
        pid_t group = job.pid;
        vt_lease_child_add(lease, group);
        in_time = await_end(&job, lease, c->wall_s);
        vt_lease_child_del(lease, group);
        s = vt_broker_reap(b, &job, &end, err);
    }
    if (s == VT_OK && WIFEXITED(end.status) && WEXITSTATUS(end.status) == VT_EXIT_NO_COMPILER)
        s = vt_fail(err, VT_EJAIL, "the jail for the compiler %s could not be set up; see `vegttt doctor`", c->argv[0]);
    if (s == VT_OK)
        s = read_log(log_fd, out, err);
    if (s == VT_OK)
        s = read_image(image_fd, out, err);
    empty_folder(work);
    close(log_fd);
    close(image_fd);
    out->ms = (double)(vt_now_ns() - from) / 1e6;
    out->cpu_ms = (double)end.cpu_us / 1e3;
    out->max_rss_kib = end.max_rss_kib;
    if (s == VT_OK)
        judge(out, &end, in_time);
    if (s != VT_OK || out->end != VT_BUILD_OK) {
        free(out->object);
        out->object = NULL;
        out->object_len = 0;
    }
    return s;
}

vt_status vt_build_run(struct vt_broker *b, const struct vt_compiler *cc, vt_lease *lease, const char *source,
                       size_t len, const char *symbol, struct vt_build *out, vt_err *err)
{
    enum { MAX_ARGS = 32 };
    const char *argv[MAX_ARGS];
    static const char product[] = "kernel.o";
    struct vt_compile c = {argv, product, symbol, -1, WALL_S, CPU_S, MEMORY_MIB};
    int n = 0;
    memset(out, 0, sizeof *out);
    argv[n++] = cc->path;
    for (int i = 0; vt_compile_flags[i] && n < MAX_ARGS - 8; i++)
        argv[n++] = vt_compile_flags[i];
    const char *const tail[] = {"-o", product, "-xc", "-", NULL};
    memcpy(argv + n, tail, sizeof tail);
    VT_TRY(source_file(cc, source, len, &c.source_fd, err));
    vt_status s = vt_compile_run(b, lease, &c, out, err);
    close(c.source_fd);
    return s;
}

void vt_build_free(struct vt_build *b)
{
    free(b->object);
    free(b->log);
    b->object = NULL;
    b->log = NULL;
}
