/* SPDX-License-Identifier: Apache-2.0
 *
 * guard.h: what a call owes its caller beside its outputs, looked at in the child that made it.
 */
#ifndef VT_EVAL_C_WORKER_GUARD_H
#define VT_EVAL_C_WORKER_GUARD_H

#include <stdbool.h>
#include <stdint.h>

/* By the calling conventions of x86-64 and aarch64 integer and floating arguments are numbered apart, and a callee
 * ignores what it does not name: one type can call every signature the tasks have (pointers, int and float scalars,
 * sizes; at most 8 floats, 48 others). */
typedef void kernel_fn(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, float, float, float,
                       float, float, float, float, float);

/* The state that the calling convention promises a function, whatever ran before. */
void guard_reset(void);
/* A function that calls this one and keeps what it left; on machines where nothing can be kept, the function itself. */
kernel_fn *guard_around(kernel_fn *kernel);
/* After a call of it: enum vt_left bits, and the state is as before the call. */
uint32_t guard_left(bool is_upper_checked);

#endif
