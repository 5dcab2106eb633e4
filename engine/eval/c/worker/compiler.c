/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler.c: runs the C compiler on text it reads from standard input, in the slot's work folder, seeing nothing of
 * the machine but the toolchain, and then our linker on the object it left. Includes of other files, .incbin and the
 * like fail because the files are not there or may not be opened; nobody parses the text for them.
 */
#include "eval/c/worker/compiler.h"
#include "eval/c/worker/link.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { MAX_ARGS = 96, FD_LOG = 2, FD_IMAGE = 3, MAX_COMPILER_STATUS = 4 };

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

/* The compiler's end as an exit status of this job. */
static int compile(char *const argv[])
{
    static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C", tmp[] = "TMPDIR=.";
    char *const envp[] = {path, locale, tmp, NULL};
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(FD_IMAGE);
        execve(argv[0], argv, envp);
        _exit(VT_EXIT_NO_COMPILER);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0)
        return VT_EXIT_NO_COMPILER;
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    int code = WEXITSTATUS(status);
    return code == VT_EXIT_NO_COMPILER || code <= MAX_COMPILER_STATUS ? code : MAX_COMPILER_STATUS;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
    for (const char *p = bytes; n > 0;) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* The object as the compiler left it: a regular file, or there is none. */
static void *map_object(const char *name, size_t *n)
{
    struct stat st;
    int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return NULL;
    *n = (size_t)st.st_size;
    void *p = mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int link_it(const char *name, const char *symbol)
{
    struct link_result r;
    size_t n;
    void *object = map_object(name, &n);
    if (!object)
        return 1;
    link_object(object, n, MACHINE, symbol, &r);
    switch (r.end) {
    case LINK_OK:
        return write_all(FD_IMAGE, r.image, r.image_len) ? 0 : VT_EXIT_NO_MEMORY;
    case LINK_NO_MEMORY:
        return VT_EXIT_NO_MEMORY;
    case LINK_UNDEFINED:
    case LINK_REFUSED:
        break;
    }
    if (!write_all(FD_LOG, "\n", 1) || !write_all(FD_LOG, r.why, strlen(r.why)))
        return VT_EXIT_NO_MEMORY;
    return r.end == LINK_UNDEFINED ? VT_EXIT_UNDEFINED : VT_EXIT_REFUSED;
}

/* Was the work folder removed from outside? What failed then is no fault of the text. */
static bool is_homeless(void)
{
    struct stat st;
    return stat(".", &st) != 0 || st.st_nlink == 0;
}

_Noreturn void compiler_run(const struct cage *c, const struct vt_wire_request *r, int fds[VT_WIRE_COMPILE_FDS])
{
    static char *argv[MAX_ARGS + 1];
    uint32_t n = 0;
    const char *end = r->args + r->args_len;
    for (const char *p = r->args; p < end && n < MAX_ARGS && n < r->n_args; p += strlen(p) + 1)
        argv[n++] = (char *)(uintptr_t)p;
    int keep[4] = {fds[0], fds[1], fds[1], fds[2]};
    if (n == 0 || r->args_len > VT_WIRE_ARGS || r->args[r->args_len - 1] != 0 || !cage_keep_fds(keep, 4, 0))
        _exit(VT_EXIT_NO_COMPILER);
    if (!cage_enter_compiler(c, r))
        _exit(VT_EXIT_NO_COMPILER);
    int status = compile(argv);
    if (status != 0 && is_homeless())
        _exit(VT_EXIT_NO_COMPILER);
    _exit(status == 0 ? link_it(r->object, r->symbol) : status);
}
