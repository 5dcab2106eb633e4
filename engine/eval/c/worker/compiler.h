/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler.h: one run of the C compiler in the cage.
 */
#ifndef VT_EVAL_C_WORKER_COMPILER_H
#define VT_EVAL_C_WORKER_COMPILER_H

#include "eval/c/worker/cage.h"

/* Runs in the process that cage_fork made; fds are the source and the log. Never returns. */
_Noreturn void compiler_run(const struct cage *c, const struct vt_wire_request *r, int fds[VT_WIRE_COMPILE_FDS]);

#endif
