/* SPDX-License-Identifier: Apache-2.0
 *
 * nvrtc.c: a libnvrtc.so for tests without a toolkit or a GPU: "machine code" is a shared object that the double of the
 * driver loads. The compiler proper (g++) runs in a helper that is forked at the first use, because later the caller is
 * in a jail that lets it start nothing.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct program {
    char *source, *log;
    char *image;
    size_t len;
};
static int helper = -1;

static int all(int fd, void *p, size_t n, int is_write)
{
    char *at = p;
    while (n > 0) {
        ssize_t k = is_write ? write(fd, at, n) : read(fd, at, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return 0;
        at += k;
        n -= (size_t)k;
    }
    return 1;
}

/* A macro call for every kernel of the text. */
static void name_kernels(FILE *out, const char *source)
{
    for (const char *p = source; (p = strstr(p, "__global__")) != NULL;) {
        const char *open = strchr(p, '('), *end = open;
        p += 10;
        while (end && end > p && isspace((unsigned char)end[-1]))
            end--;
        const char *name = end;
        while (name && name > p && (isalnum((unsigned char)name[-1]) || name[-1] == '_'))
            name--;
        if (name && name < end && strncmp(p, " __device__", 11) != 0)
            fprintf(out, "VT_DOUBLE_KERNEL(%.*s)\n", (int)(end - name), name);
    }
}

static char *slurp(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *len = 0;
    if (fd < 0 || fstat(fd, &st) != 0)
        return NULL;
    char *p = calloc(1, (size_t)st.st_size + 1);
    if (p && all(fd, p, (size_t)st.st_size, 0))
        *len = (size_t)st.st_size;
    close(fd);
    return p;
}

static void serve(int fd)
{
    char dir[] = "/tmp/vegttt-double-XXXXXX", path[64], so[64], log[64], command[512];
    size_t n;
    if (!mkdtemp(dir))
        _exit(1);
    snprintf(path, sizeof path, "%s/kernel.cc", dir);
    snprintf(so, sizeof so, "%s/kernel.so", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    while (all(fd, &n, sizeof n, 0)) {
        char *source = calloc(1, n + 1);
        FILE *f = fopen(path, "w");
        if (!source || !f || !all(fd, source, n, 0))
            break;
        /* As device memory of its own: the module is taken for one that remembers. */
        fputs("asm(\".section .nv.global,\\\"aw\\\"\\n.byte 0\\n.previous\");\n", f);
        fprintf(f, "#include \"device.h\"\n#line 1 \"kernel.cu\"\n%s\n", source);
        name_kernels(f, source);
        fclose(f);
        snprintf(command, sizeof command,
                 "g++ -std=c++17 -O1 -w -shared -fPIC -ffp-contract=off -fvisibility=hidden -fno-gnu-unique -I%s -o %s "
                 "%s 2>%s",
                 getenv("VT_DOUBLE_DIR"), so, path, log);
        unlink(so);
        int failed = system(command) != 0;
        char *text = slurp(failed ? log : so, &n);
        if (!all(fd, &failed, sizeof failed, 1) || !all(fd, &n, sizeof n, 1) || !all(fd, text, n, 1))
            break;
        free(text);
        free(source);
    }
    snprintf(command, sizeof command, "rm -rf %s", dir);
    _exit(system(command) != 0);
}

static void start(void)
{
    int pair[2];
    if (helper >= 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return;
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        close(pair[0]);
        serve(pair[1]);
    }
    close(pair[1]);
    helper = pair[0];
}

int nvrtcVersion(int *major, int *minor);
int nvrtcCreateProgram(struct program **p, const char *source, const char *name, int n, const char *const *h,
                       const char *const *names);
int nvrtcDestroyProgram(struct program **p);
int nvrtcCompileProgram(struct program *p, int n, const char *const *options);
int nvrtcGetProgramLogSize(struct program *p, size_t *n);
int nvrtcGetProgramLog(struct program *p, char *log);
int nvrtcGetCUBINSize(struct program *p, size_t *n);
int nvrtcGetCUBIN(struct program *p, char *to);

int nvrtcVersion(int *major, int *minor)
{
    *major = 0;
    *minor = 1;
    return 0;
}
int nvrtcCreateProgram(struct program **p, const char *source, const char *name, int n, const char *const *h,
                       const char *const *names)
{
    (void)name, (void)n, (void)h, (void)names;
    *p = calloc(1, sizeof **p);
    (*p)->source = strdup(source);
    return 0;
}
int nvrtcDestroyProgram(struct program **p)
{
    free((*p)->source);
    free((*p)->log);
    free((*p)->image);
    free(*p);
    return 0;
}
int nvrtcCompileProgram(struct program *p, int n, const char *const *options)
{
    int failed = 1;
    size_t len = strlen(p->source), got = 0;
    (void)n, (void)options;
    start();
    if (!all(helper, &len, sizeof len, 1) || !all(helper, p->source, len, 1) ||
        !all(helper, &failed, sizeof failed, 0) || !all(helper, &got, sizeof got, 0))
        return 1;
    char *text = calloc(1, got + 1);
    if (!all(helper, text, got, 0))
        return 1;
    *(failed ? &p->log : &p->image) = text;
    p->len = failed ? 0 : got;
    return failed ? 6 : 0;
}
int nvrtcGetProgramLogSize(struct program *p, size_t *n)
{
    *n = p->log ? strlen(p->log) + 1 : 0;
    return 0;
}
int nvrtcGetProgramLog(struct program *p, char *log)
{
    memcpy(log, p->log ? p->log : "", p->log ? strlen(p->log) + 1 : 1);
    return 0;
}
int nvrtcGetCUBINSize(struct program *p, size_t *n)
{
    *n = p->len;
    return 0;
}
int nvrtcGetCUBIN(struct program *p, char *to)
{
    memcpy(to, p->image, p->len);
    return 0;
}
