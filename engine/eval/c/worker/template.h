/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h: a candidate's process: loads the object once, forks a fresh child for every call.
 */
#ifndef VT_EVAL_C_WORKER_TEMPLATE_H
#define VT_EVAL_C_WORKER_TEMPLATE_H

#include "eval/c/worker/cage.h"

/* Runs in the process that cage_fork made; fds are shared, call, inputs, outputs 0, outputs 1. Never returns. */
_Noreturn void template_run(const struct cage *c, const struct vt_wire_request *r, int fds[VT_WIRE_RUN_FDS]);

#endif
