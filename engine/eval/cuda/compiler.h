/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler.h: CUDA C++ to machine code in a jailed process around NVRTC. Needs no GPU: the architecture is named.
 */
#ifndef VT_EVAL_CUDA_COMPILER_H
#define VT_EVAL_CUDA_COMPILER_H

#include "eval/cuda/cubin.h"
#include "eval/cuda/process.h"
#include <pthread.h>

enum { VT_CUDA_MAX_DIAGNOSTICS = 6, VT_CUDA_MAX_LOG = 256 * 1024 };
struct vt_cuda_diagnostic {
    int line; /* of the candidate's text; 0 = elsewhere */
    char text[240];
};
enum vt_cuda_build_end {
    VT_CUDA_BUILD_OK,
    VT_CUDA_BUILD_ERROR,   /* the text does not compile */
    VT_CUDA_BUILD_TIMEOUT, /* of the wall or the processor */
    VT_CUDA_BUILD_CRASHED  /* the compiler died, or ran out of memory */
};
struct vt_cuda_build {
    enum vt_cuda_build_end end;
    unsigned char *image; /* malloc'd; NULL unless OK */
    size_t image_len;
    char *log; /* malloc'd; may be NULL */
    struct vt_cuda_diagnostic diagnostic[VT_CUDA_MAX_DIAGNOSTICS];
    int n_diagnostics, n_errors;
    double ms, cpu_ms;
    uint64_t max_rss_kib;
};
void vt_cuda_build_free(struct vt_cuda_build *b);

struct vt_cuda_compiler {
    pthread_mutex_t lock; /* of the process against shutdown */
    struct vt_cuda_process process;
    bool is_stopped;
    int major, minor;
    unsigned layers, wall_ms; /* wall_ms: of one text */
    char include[512];
};
/* EUNSUPPORTED, in one sentence, where there is no NVRTC; EJAIL where the text of strangers cannot be held (landlock).
 */
vt_status vt_cuda_compiler_open(struct vt_cuda_compiler *c, bool allow_unsafe, vt_err *err) VT_MUST_USE;
void vt_cuda_compiler_close(struct vt_cuda_compiler *c);
/* What is compiled fails, now and later; any thread. */
void vt_cuda_compiler_stop(struct vt_cuda_compiler *c);
bool vt_cuda_compiler_is_alive(const struct vt_cuda_compiler *c);

enum vt_cuda_text { VT_CUDA_CANDIDATE, VT_CUDA_TRUSTED /* rounds as it is written: no contraction */ };
/* architecture: "sm_90a". Failures of the text are results. */
vt_status vt_cuda_compile(struct vt_cuda_compiler *c, const char *source, size_t len, const char *architecture,
                          enum vt_cuda_text kind, struct vt_cuda_build *out, vt_err *err) VT_MUST_USE;
/* Digest of compiler version, options and architecture. */
void vt_cuda_compiler_id(const struct vt_cuda_compiler *c, const char *architecture, char out[VT_SHA256_HEX]);

#endif
