/* SPDX-License-Identifier: Apache-2.0
 *
 * err.h: how every fallible function of vegttt reports failure.
 *
 * A function that can fail returns vt_status (0 or negative) and takes a vt_err as its last argument, which may be
 * NULL. The struct lives on the caller's stack: reporting an error never allocates. Its message is one sentence that
 * says what was attempted, on what, and what to do. Callers forward with VT_TRY and may prefix context with
 * vt_err_context. Nothing below engine/cli prints or exits.
 */
#ifndef VEGTTT_ERR_H
#define VEGTTT_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

/* code, value, what it means */
#define VT_STATUS_MAP(X)                                                                                               \
    X(OK, 0, "success")                                                                                                \
    X(EINVAL, -1, "misuse: a bad argument, flag or parameter")                                                         \
    X(ENOMEM, -2, "out of memory, or over --max-memory")                                                               \
    X(EIO, -3, "the operating system refused a read or a write")                                                       \
    X(ENOENT, -4, "not found")                                                                                         \
    X(EFORMAT, -5, "malformed input")                                                                                  \
    X(ELIMIT, -6, "a stated limit was exceeded")                                                                       \
    X(ETIMEOUT, -7, "took longer than allowed")                                                                        \
    X(ENET, -8, "the network or a server failed")                                                                      \
    X(ECANCELLED, -9, "cancelled")                                                                                     \
    X(EBUDGET, -10, "the run's budget is spent")                                                                       \
    X(EUNSUPPORTED, -11, "this backend or machine cannot do it")                                                       \
    X(EBUSY, -12, "held by another process")                                                                           \
    X(EJAIL, -13, "the jail floor is not met on this machine")                                                         \
    X(EINTERNAL, -14, "a fault inside vegttt")

typedef enum vt_status {
#define X(name, value, text) VT_##name = value,
    VT_STATUS_MAP(X)
#undef X
} vt_status;

#define VT_ERR_MSG 640

typedef struct vt_err {
    vt_status code;
    int line;         /* where vt_fail was called */
    const char *file; /* static string */
    char msg[VT_ERR_MSG];
} vt_err;

#if defined(__GNUC__)
#define VT_MUST_USE __attribute__((warn_unused_result))
#define VT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define VT_MUST_USE
#define VT_PRINTF(f, a)
#endif

/* Name of a status ("ENOENT") and its sentence. Static strings; never NULL. */
const char *vt_status_name(vt_status code);
const char *vt_status_text(vt_status code);

/* Fills *err (when not NULL) and returns code, so that `return vt_fail(err, VT_EIO, "…")` reads as one step. */
#define vt_fail(err, code, ...) vt_fail_at((err), (code), __FILE__, __LINE__, __VA_ARGS__)
vt_status vt_fail_at(vt_err *err, vt_status code, const char *file, int line, const char *fmt, ...) VT_PRINTF(5, 6);

/* Prefixes err->msg with "context: ". Returns err->code. */
vt_status vt_err_context(vt_err *err, const char *fmt, ...) VT_PRINTF(2, 3);

/* Forwards a failure to the caller. For functions that have nothing to release. */
#define VT_TRY(call)                                                                                                   \
    do {                                                                                                               \
        vt_status vt_try_status_ = (call);                                                                             \
        if (vt_try_status_ != VT_OK)                                                                                   \
            return vt_try_status_;                                                                                     \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
