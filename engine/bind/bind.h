/* SPDX-License-Identifier: Apache-2.0
 *
 * bind.h: the Lua side of the engine as the command line sees it: open, call one module of the Lua half, close.
 *
 * bind/ is the only folder that includes lua.h. It owns the lua_State, the event loop, the machine lease and every
 * handle that scripts hold; all of it lives on one thread. Nothing here prints: text for people and progress go to the
 * host's functions.
 */
#ifndef VT_BIND_BIND_H
#define VT_BIND_BIND_H

#include "base/embedded.h"
#include <stdbool.h>
#include <stddef.h>
#include <vegttt/err.h>

typedef struct vt_bind vt_bind;

/* What a run is doing, for the progress line and the panel. Text is lent for the duration of the call. */
struct vt_progress {
    const char *stage;  /* "step 2 of 5" */
    const char *counts; /* "41 correct_fast, 12 wrong_output" */
    const char *best;   /* "5 matmul 12.3x" */
    double n_samples, n_samples_planned, n_evals, n_evals_planned, n_updates, n_updates_planned;
    double elapsed_s, eta_s; /* eta_s < 0: unknown */
};

enum vt_output { VT_STDOUT = 1, VT_STDERR = 2 };

struct vt_bind_host {
    void *arg;
    const struct vt_embedded *lua; /* the Lua half, compiled in; lent */
    const char *lua_dir;           /* read it from here instead; NULL = embedded */
    bool tty;                      /* standard error is a terminal */
    void (*print)(void *arg, enum vt_output stream, const char *text, size_t len);
    void (*progress)(void *arg, const struct vt_progress *p);
    /* What the verbs of a terminal need; a host without one leaves them NULL. panel: these lines in the place of the
     * progress; columns: of standard output; raw: typed keys come at once and unseen; key: the next byte typed, -1
     * where there is none yet, -2 at the end of the input. */
    void (*panel)(void *arg, const char *text);
    int (*columns)(void *arg);
    void (*raw)(void *arg, bool is_raw);
    int (*key)(void *arg);
    /* The second interrupt, or a script that can be ended in no other way (warden.h; from its thread then): says
     * err_text (NULL: a sentence of its own) and out_text (NULL: nothing), and must not return. */
    void (*stop_now)(void *arg, int exit_code, const char *err_text, const char *out_text);
};

vt_status vt_bind_open(const struct vt_bind_host *host, vt_bind **out, vt_err *err) VT_MUST_USE;
/* require(module).main(argv[0], …): its integer result is the exit code. A Lua error that the module let through is
 * a failure with its message. */
vt_status vt_bind_main(vt_bind *b, const char *module, int argc, char **argv, int *exit_code, vt_err *err) VT_MUST_USE;
void vt_bind_close(vt_bind *b); /* stops evaluators and policies, then the state */

#endif
