/* SPDX-License-Identifier: Apache-2.0
 *
 * nvrtc.c: the run-time compiler of nvrtc.h. A program that asks for an architecture sm_… yields machine code, one that
 * asks for compute_… has none and is refused: what runs must not depend on the driver's own compiler.
 */
#include "gpu/nvrtc.h"
#include "base/alloc.h"
#include "gpu/library.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct program_s *program;

enum { NVRTC_OK = 0, NVRTC_COMPILATION = 6 };

#define NVRTC_MAP(X)                                                                                                   \
    X(version, "nvrtcVersion", (int *major, int *minor))                                                               \
    X(create, "nvrtcCreateProgram",                                                                                    \
      (program * p, const char *source, const char *name, int n, const char *const *headers,                           \
       const char *const *names))                                                                                      \
    X(destroy, "nvrtcDestroyProgram", (program * p))                                                                   \
    X(compile, "nvrtcCompileProgram", (program p, int n, const char *const *options))                                  \
    X(log_size, "nvrtcGetProgramLogSize", (program p, size_t * n))                                                     \
    X(log, "nvrtcGetProgramLog", (program p, char *log))                                                               \
    X(cubin_size, "nvrtcGetCUBINSize", (program p, size_t * n))                                                        \
    X(cubin, "nvrtcGetCUBIN", (program p, char *cubin))

static struct {
    pthread_once_t once;
    vt_status status;
    vt_err err;
    char *path;
#define X(name, symbol, args) int(*name) args;
    NVRTC_MAP(X)
#undef X
} nvrtc = {.once = PTHREAD_ONCE_INIT};

static vt_status fill(vt_err *err)
{
    void *lib;
    VT_TRY(vt_gpu_library_open("libnvrtc.so", &lib, &nvrtc.path, err));
#define X(name, symbol, args) VT_TRY(vt_gpu_library_symbol(lib, nvrtc.path, symbol, &nvrtc.name, err));
    NVRTC_MAP(X)
#undef X
    return VT_OK;
}

static void fill_once(void)
{
    nvrtc.status = fill(&nvrtc.err);
}

static vt_status ready(vt_err *err)
{
    (void)pthread_once(&nvrtc.once, fill_once);
    if (nvrtc.status != VT_OK && err)
        *err = nvrtc.err;
    return nvrtc.status;
}

vt_status vt_nvrtc_version(int *major, int *minor, const char **path, vt_err *err)
{
    *major = *minor = 0;
    VT_TRY(ready(err));
    if (path)
        *path = nvrtc.path;
    const int r = nvrtc.version(major, minor);
    return r == NVRTC_OK ? VT_OK : vt_fail(err, VT_EIO, "error %d of nvrtcVersion", r);
}

static vt_status take_log(program p, char **log, vt_err *err)
{
    size_t n = 0;
    *log = NULL;
    if (nvrtc.log_size(p, &n) != NVRTC_OK)
        n = 0;
    *log = vt_alloc(n + 1);
    if (!*log)
        return vt_fail(err, VT_ENOMEM, "out of memory for a compiler's messages");
    if (n && nvrtc.log(p, *log) != NVRTC_OK)
        (*log)[0] = '\0';
    return VT_OK;
}

static vt_status take_cubin(program p, const char *name, void **cubin, size_t *len, vt_err *err)
{
    if (nvrtc.cubin_size(p, len) != NVRTC_OK || *len == 0)
        return vt_fail(err, VT_EINVAL,
                       "compiling %s gave no machine code; name a real architecture (sm_90), not a virtual one", name);
    *cubin = vt_alloc(*len);
    if (!*cubin)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu bytes of machine code", *len);
    const int r = nvrtc.cubin(p, *cubin);
    return r == NVRTC_OK ? VT_OK : vt_fail(err, VT_EIO, "error %d of nvrtcGetCUBIN", r);
}

vt_status vt_nvrtc_compile(const char *source, const char *name, const char *const *options, int n_options,
                           void **cubin, size_t *len, char **log, vt_err *err)
{
    program p = NULL;
    char *said = NULL;
    *cubin = NULL;
    *len = 0;
    if (log)
        *log = NULL;
    VT_TRY(ready(err));
    const int made = nvrtc.create(&p, source, name, 0, NULL, NULL);
    if (made != NVRTC_OK)
        return vt_fail(err, VT_EIO, "error %d of nvrtcCreateProgram for %s", made, name);
    const int r = nvrtc.compile(p, n_options, options);
    vt_status status = take_log(p, &said, err);
    if (status == VT_OK && r == NVRTC_COMPILATION)
        status = vt_fail(err, VT_EFORMAT, "%s does not compile: %.400s", name, said);
    else if (status == VT_OK && r != NVRTC_OK)
        status =
            vt_fail(err, VT_EINVAL, "compiling %s ended with error %d of nvrtcCompileProgram: %.400s", name, r, said);
    if (status == VT_OK)
        status = take_cubin(p, name, cubin, len, err);
    (void)nvrtc.destroy(&p);
    if (status != VT_OK) {
        free(*cubin);
        *cubin = NULL;
        *len = 0;
    }
    if (log)
        *log = said;
    else
        free(said);
    return status;
}
