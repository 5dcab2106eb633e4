/* SPDX-License-Identifier: Apache-2.0
 *
 * library.c: the search of library.h. Folders are listed, nothing is executed: the Python on PATH is only asked where
 * it lies (its site-packages are ../lib/python3.N/site-packages, of the link and of what the link points to).
 */
#include "gpu/library.h"
#include "base/alloc.h"
#include "base/fs.h"
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const majors[] = {"13", "12"};

struct search {
    const char *stem;
    vt_gpu_candidate *each;
    void *arg;
    int is_over;
};

static void offer(struct search *s, const char *path)
{
    if (!s->is_over)
        s->is_over = s->each(s->arg, path);
}

/* Every file that matches, the versions in order within one pattern. */
static void offer_glob(struct search *s, const char *folder, const char *rest)
{
    for (size_t v = 0; v < sizeof majors / sizeof majors[0] && !s->is_over; v++) {
        char pattern[PATH_MAX];
        glob_t found;
        const int n = snprintf(pattern, sizeof pattern, "%s/%s/%s.%s", folder, rest, s->stem, majors[v]);
        if (n < 0 || (size_t)n >= sizeof pattern || glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t i = 0; i < found.gl_pathc; i++)
            offer(s, found.gl_pathv[i]);
        globfree(&found);
    }
}

static void offer_wheels(struct search *s, const char *prefix)
{
    static const char *const places[] = {"lib/python3*/site-packages/nvidia/*/lib",
                                         "lib/python3*/dist-packages/nvidia/*/lib",
                                         "local/lib/python3*/dist-packages/nvidia/*/lib"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        offer_glob(s, prefix, places[i]);
}

/* PREFIX of PREFIX/bin/python3. */
static void offer_python(struct search *s, const char *program)
{
    char prefix[PATH_MAX];
    const int n = snprintf(prefix, sizeof prefix, "%s", program);
    if (n < 0 || (size_t)n >= sizeof prefix)
        return;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(prefix, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
    offer_wheels(s, prefix);
}

static void offer_path_pythons(struct search *s)
{
    const char *path = getenv("PATH");
    while (path && *path && !s->is_over) {
        const size_t n = strcspn(path, ":");
        char program[PATH_MAX], target[PATH_MAX];
        const int len = snprintf(program, sizeof program, "%.*s/python3", (int)n, path);
        path += n + (path[n] == ':');
        if (len < 0 || (size_t)len >= sizeof program || access(program, X_OK) != 0)
            continue;
        offer_python(s, program);
        if (realpath(program, target))
            offer_python(s, target);
    }
}

void vt_gpu_library_candidates(const char *stem, vt_gpu_candidate *each, void *arg)
{
    static const char *const homes[] = {"CUDA_HOME", "CUDA_PATH"};
    struct search s = {.stem = stem, .each = each, .arg = arg};
    for (size_t v = 0; v < sizeof majors / sizeof majors[0]; v++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s.%s", stem, majors[v]);
        offer(&s, name);
    }
    for (size_t i = 0; i < sizeof homes / sizeof homes[0]; i++) {
        const char *home = getenv(homes[i]);
        if (home && *home) {
            offer_glob(&s, home, "lib64");
            offer_glob(&s, home, "lib");
        }
    }
    offer_glob(&s, "/usr/local/cuda", "lib64");
    const char *venv = getenv("VIRTUAL_ENV"), *home = getenv("HOME");
    if (venv && *venv)
        offer_wheels(&s, venv);
    offer_path_pythons(&s);
    if (home && *home) {
        char local[PATH_MAX];
        (void)snprintf(local, sizeof local, "%s/.local", home);
        offer_wheels(&s, local);
    }
    offer_wheels(&s, "/usr");
}

struct opening {
    void *handle;
    char *path;
    char why[256]; /* of the last file that exists and does not open */
};

static int try_open(void *arg, const char *path)
{
    struct opening *o = arg;
    o->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!o->handle) {
        const char *why = dlerror();
        if (strchr(path, '/') && why)
            (void)snprintf(o->why, sizeof o->why, "%s", why);
        return 0;
    }
    o->path = vt_strdup(path);
    return 1;
}

vt_status vt_gpu_library_open(const char *stem, void **handle, char **path, vt_err *err)
{
    struct opening o = {0};
    *handle = NULL;
    *path = NULL;
    vt_gpu_library_candidates(stem, try_open, &o);
    if (!o.handle)
        return vt_fail(
            err, VT_EUNSUPPORTED,
            "cannot open %s.13 or .12 (looked where the linker does, below CUDA_HOME, in /usr/local/cuda and "
            "in the nvidia wheels of pip)%s%s; install the CUDA toolkit or pip's wheel",
            stem, o.why[0] ? ": " : "", o.why);
    if (!o.path) {
        (void)dlclose(o.handle);
        return vt_fail(err, VT_ENOMEM, "out of memory while opening %s", stem);
    }
    *handle = o.handle;
    *path = o.path;
    return VT_OK;
}

vt_status vt_gpu_library_symbol(void *handle, const char *library, const char *symbol, void *out, vt_err *err)
{
    void *address = dlsym(handle, symbol);
    if (!address)
        return vt_fail(err, VT_ENOENT, "%s has no %s; it is too old for vegttt", library, symbol);
    memcpy(out, &address, sizeof address); /* POSIX lets a function live in a void pointer, C does not */
    return VT_OK;
}
