/* SPDX-License-Identifier: Apache-2.0
 *
 * guard.h: what ends a command whose parent was killed.
 *
 * A process that is killed cannot end what it has started, and the kernel's own signal for that reaches one process and
 * not its children. A guard is one more process of the command's group that only waits for its parent's end and kills
 * the group then (child.c).
 */
#ifndef VT_LOOP_GUARD_H
#define VT_LOOP_GUARD_H

#include <stdbool.h>
#include <sys/types.h>

/* A guard of the process group `group`, whose leader the pidfd leader_fd (lent) is; 0 = there is none. When the leader
 * has ended it ends too, with the whole group where ends_with_leader. The caller kills and reaps it. */
pid_t vt_guard_start(pid_t group, int leader_fd, bool ends_with_leader);

#endif
