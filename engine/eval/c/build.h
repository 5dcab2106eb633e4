/* SPDX-License-Identifier: Apache-2.0
 *
 * build.h: one translation unit through the jailed compiler: a candidate's (vt_build_run), or any that a trusted caller
 * has a command line for (vt_compile_run; the truth's).
 */
#ifndef VT_EVAL_C_BUILD_H
#define VT_EVAL_C_BUILD_H

#include "base/thread.h"
#include "eval/c/broker.h"
#include "eval/c/diagnostics.h"
#include "eval/c/object.h"

/* The compiler of an evaluator: where it is, what it calls itself, what -march=native means here. */
struct vt_compiler {
    char path[512];         /* resolved; no symbolic link */
    char version[160];      /* first line of --version */
    char id[VT_SHA256_HEX]; /* digest of version, flags, the resolved -march and the headers */
    char *headers;          /* the text of the standard headers, preprocessed */
    size_t headers_len;
};
/* The program's own path, absolute and through symbolic links, looked up in PATH; false when there is none. */
bool vt_program_find(const char *name, char out[512]);
/* cc: NULL = $CC or "cc"; looked up in PATH. ENOENT says so when there is none. */
vt_status vt_compiler_find(const char *cc, struct vt_compiler *out, vt_err *err) VT_MUST_USE;
void vt_compiler_free(struct vt_compiler *cc); /* what find filled in, or zeros */
extern const char *const vt_compile_flags[];   /* NULL-terminated, without input and output */

enum vt_build_end { VT_BUILD_OK, VT_BUILD_FAILED, VT_BUILD_TIMEOUT, VT_BUILD_CRASHED, VT_BUILD_REFUSED };
struct vt_build {
    enum vt_build_end end;
    unsigned char *object; /* the image (worker/image.h), malloc'd; NULL unless OK */
    size_t object_len;
    char *log; /* malloc'd, NUL-terminated, at most VT_BUILD_LOG bytes; never NULL */
    size_t log_len;
    struct vt_diagnostics diagnostics;
    struct vt_object_info info;
    bool is_no_reading; /* vt_reading_judge's */
    double ms, cpu_ms;
    uint64_t max_rss_kib;
};
enum { VT_BUILD_LOG = 256 * 1024 };

/* Reads its source from standard input, runs in the slot's empty work folder, leaves the object `product` there; the
 * linker makes an image of that, entered at `symbol`. */
struct vt_compile {
    const char *const *argv; /* NULL-terminated; argv[0] from vt_program_find */
    const char *product, *symbol;
    int source_fd;
    unsigned wall_s, cpu_s, memory_mib;
};
vt_status vt_compile_run(struct vt_broker *b, vt_lease *lease, const struct vt_compile *c, struct vt_build *out,
                         vt_err *err) VT_MUST_USE;
/* symbol: the function that others call. Compiler failures are outcomes (end); only the evaluator's own trouble is a
 * status. */
vt_status vt_build_run(struct vt_broker *b, const struct vt_compiler *cc, vt_lease *lease, const char *source,
                       size_t len, const char *symbol, struct vt_build *out, vt_err *err) VT_MUST_USE;
void vt_build_free(struct vt_build *b);

#endif
