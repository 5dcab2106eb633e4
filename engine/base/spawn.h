/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn.h: a program of ours, or a user's Python, at the other end of a socket: how the evaluator's tiers start what
 * candidates run in. Children that only print and end are the loop's (loop.h).
 */
#ifndef VT_BASE_SPAWN_H
#define VT_BASE_SPAWN_H

#include <sys/types.h>

struct vt_spawn {
    const char *program; /* looked up in PATH unless it has a slash */
    char *const *argv, *const *env;
    int type;    /* of the socket: SOCK_SEQPACKET or SOCK_STREAM */
    int number;  /* the descriptor that the program finds it at; all above are closed there */
    int n_quiet; /* its first descriptors that are /dev/null: 3, 2 (errors are seen) or 0 */
};
/* In a process group of its own, no signal blocked. 0, or an errno: *pid is then 0 and *socket -1. */
int vt_spawn_start(const struct vt_spawn *s, pid_t *pid, int *socket);

#endif
