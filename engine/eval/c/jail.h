/* SPDX-License-Identifier: Apache-2.0
 *
 * jail.h: which layers of the jail hold on this machine, their names, and the floor below which no host code is run
 * (DECISIONS.md section 5). The walls themselves are put up by engine/eval/c/worker/cage.c inside the jailed processes;
 * every template reports the layers it really got, and verdicts record those.
 */
#ifndef VT_EVAL_C_JAIL_H
#define VT_EVAL_C_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

struct vt_jail {
    bool no_new_privs, seccomp, rlimits, closed_fds, landlock, mount_ns, user_ns, net_ns, pid_ns, ipc_ns, own_uid;
    bool clear_env, private_tmp, cgroup, cgroup_limits;
    int landlock_abi;
};
enum { VT_JAIL_N_LAYERS = 15 };

/* The i-th layer: its name ("landlock"), whether it holds, one sentence on what it is for. */
const char *vt_jail_layer(const struct vt_jail *j, size_t i, bool *is_active, const char **purpose);
void vt_jail_from_bits(uint32_t bits, int landlock_abi, struct vt_jail *out);
/* OK, or EJAIL naming what is missing. */
vt_status vt_jail_floor(const struct vt_jail *j, vt_err *err) VT_MUST_USE;

#endif
