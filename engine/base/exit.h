/* SPDX-License-Identifier: Apache-2.0
 *
 * exit.h: what a process says with its exit code, and which error says what. The one table; nothing here exits.
 */
#ifndef VT_BASE_EXIT_H
#define VT_BASE_EXIT_H

#include <stdbool.h>
#include <vegttt/err.h>

enum vt_exit {
    VT_EXIT_OK = 0,
    VT_EXIT_SCRIPT = 1, /* an error in a script; of a verb: a negative answer */
    VT_EXIT_USAGE = 2,
    VT_EXIT_BUDGET = 3, /* the budget is reached; results are valid */
    VT_EXIT_INFRA = 4,
    VT_EXIT_INTERRUPTED = 130 /* the same command continues */
};

/* The kind of vt.Error that a status is: "misuse", "budget", "cancelled" or "infrastructure". */
const char *vt_error_kind(vt_status status);
/* The exit code of an error of this kind ("usage", "script" and those above; anything else is infrastructure).
 * in_script: it came out of a user's script, whose mistakes are its own; elsewhere they are bad input. */
enum vt_exit vt_exit_code(const char *kind, bool in_script);

#endif
