/* SPDX-License-Identifier: Apache-2.0
 *
 * exit.h: what a process says with its exit code, and which error says what. The one table; nothing here exits.
 */
#ifndef VT_BASE_EXIT_H
#define VT_BASE_EXIT_H

#include <stdbool.h>
#include <vegttt/err.h>

/* name, code, what it means */
#define VT_EXIT_MAP(X)                                                                                                 \
    X(OK, 0, "done")                                                                                                   \
    X(SCRIPT, 1, "an error in a script; of a verb: the answer is no (not correct, not sound, nothing found)")          \
    X(USAGE, 2, "a bad option, parameter, file or name; nothing was begun")                                            \
    X(BUDGET, 3, "the budget is spent; results are valid")                                                             \
    X(INFRA, 4, "the machine, the network or the evaluator could not work")                                            \
    X(INTERRUPTED, 130, "interrupted; the same command continues")

enum vt_exit {
#define X(name, code, text) VT_EXIT_##name = code,
    VT_EXIT_MAP(X)
#undef X
};

/* The kind of vt.Error that a status is: "misuse", "budget", "cancelled" or "infrastructure". */
const char *vt_error_kind(vt_status status);
/* The exit code of an error of this kind ("usage", "script" and those above; anything else is infrastructure).
 * in_script: it came out of a user's script, whose mistakes are its own; elsewhere they are bad input. */
enum vt_exit vt_exit_code(const char *kind, bool in_script);

#endif
