/* SPDX-License-Identifier: Apache-2.0
 *
 * cage.h: the walls around compilers and candidates, built by the broker (namespaces, once) and by each job in itself
 * (limits, user id, landlock, seccomp). Every function returns the layers it really put up as bits of
 * enum vt_wire_layer; deciding whether they suffice is the evaluator's business.
 */
#ifndef VT_EVAL_C_WORKER_CAGE_H
#define VT_EVAL_C_WORKER_CAGE_H

#include "eval/c/worker/cgroup.h"
#include "eval/c/worker/protocol.h"
#include <stdbool.h>
#include <sys/types.h>

struct cage {
    uint32_t without; /* layers left out on purpose */
    uint32_t layers;  /* layers a job of this broker gets */
    bool has_pid_ns;  /* jobs are cloned into a pid namespace */
    uid_t uid;        /* jobs' user */
    gid_t gid;
    int landlock_abi;
    char slot[VT_WIRE_PATH]; /* the evaluator's folder for this broker: root/, cc/, work/ */
    struct cgroup cgroup;
};

/* Broker: enters namespaces, prepares the two roots, finds out what jobs can have. */
void cage_open(struct cage *c);
void cage_close(struct cage *c);
/* Like fork, into a new pid namespace when the cage has one, and into a control group unless group_fd is -1. */
pid_t cage_fork(const struct cage *c, int group_fd);
/* Job: a candidate's template. Closes every descriptor but keep[0..n) (which become 3, 4, …). 0 on failure of a floor
 * layer is the caller's to judge from the bits. No file may be opened from then on. */
uint32_t cage_enter_template(const struct cage *c);
/* Job: a compiler, in the slot's work folder. 0 when a layer that the broker had promised could not be put up. */
uint32_t cage_enter_compiler(const struct cage *c, const struct vt_wire_request *r);
/* Moves keep[i] to first + i and closes all others from `first` on; descriptors below `first` stay. */
bool cage_keep_fds(int *keep, int n, int first);
/* Call child: from here on only computing, the clock's own futex calls (sleeping on go, waking for ready and done),
 * giving up the set-up memory at `shared`, and leaving. Both NULL: only computing and leaving. */
bool cage_seccomp(const struct vt_wire_call *page, const struct vt_wire_shared *shared);

#endif
