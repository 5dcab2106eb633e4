/* SPDX-License-Identifier: Apache-2.0
 *
 * jail.c: names of the jail's layers, and the floor.
 *
 * The floor is what makes a hostile kernel harmless without help from the others: it cannot gain privileges, make a
 * system call, outgrow its limits or reach a descriptor, and has no view of the file system even before the filter is
 * on. The other layers are kept wherever the machine grants them.
 */
#include "eval/c/jail.h"
#include "eval/c/worker/protocol.h"
#include <string.h>

struct layer {
    const char *name, *purpose;
    size_t offset;
    uint32_t bit;
    bool is_floor;
};
#define LAYER(field, bit, is_floor, purpose)                                                                           \
    {                                                                                                                  \
#field, purpose, offsetof(struct vt_jail, field), bit, is_floor                                                \
    }
static const struct layer layers[VT_JAIL_N_LAYERS] = {
    LAYER(no_new_privs, VT_LAYER_NO_NEW_PRIVS, true, "no set-user-id program can give privileges back"),
    LAYER(seccomp, VT_LAYER_SECCOMP, true, "a running kernel can make no system call but to leave"),
    LAYER(rlimits, VT_LAYER_RLIMITS, true, "time, memory, files and core dumps are limited"),
    LAYER(closed_fds, VT_LAYER_CLOSED_FDS, true, "no descriptor of another process is inherited"),
    LAYER(landlock, VT_LAYER_LANDLOCK, false, "no file but the toolchain's (compiler) or none (kernel) can be opened"),
    LAYER(mount_ns, VT_LAYER_MOUNT_NS, false, "the file system is an empty or read-only root"),
    LAYER(user_ns, VT_LAYER_USER_NS, false, "an ordinary user's jobs get namespaces without capabilities outside"),
    LAYER(net_ns, VT_LAYER_NET_NS, false, "no network interface exists"),
    LAYER(pid_ns, VT_LAYER_PID_NS, false, "other processes cannot be seen, and none survives the job"),
    LAYER(ipc_ns, VT_LAYER_IPC_NS, false, "no System V or POSIX queue of the machine is visible"),
    LAYER(own_uid, VT_LAYER_OWN_UID, false, "when started as root, each slot runs under an unused user id"),
    LAYER(clear_env, VT_LAYER_CLEAR_ENV, false, "no environment variable is inherited"),
    LAYER(private_tmp, VT_LAYER_PRIVATE_TMP, false, "temporary files are the slot's own"),
    LAYER(cgroup, VT_LAYER_CGROUP, false, "all processes of a job are killed at once, whatever it forked"),
    LAYER(cgroup_limits, VT_LAYER_CGROUP_LIMITS, false, "a job as a whole is limited in processes and memory")};

static bool is_on(const struct vt_jail *j, const struct layer *l)
{
    bool on;
    memcpy(&on, (const char *)j + l->offset, sizeof on);
    return on;
}

const char *vt_jail_layer(const struct vt_jail *j, size_t i, bool *is_active, const char **purpose)
{
    const struct layer *l = &layers[i % VT_JAIL_N_LAYERS];
    if (is_active)
        *is_active = is_on(j, l);
    if (purpose)
        *purpose = l->purpose;
    return l->name;
}

void vt_jail_from_bits(uint32_t bits, int landlock_abi, struct vt_jail *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < VT_JAIL_N_LAYERS; i++) {
        bool on = bits & layers[i].bit;
        memcpy((char *)out + layers[i].offset, &on, sizeof on);
    }
    out->landlock_abi = landlock_abi;
}

vt_status vt_jail_floor(const struct vt_jail *j, vt_err *err)
{
    for (size_t i = 0; i < VT_JAIL_N_LAYERS; i++)
        if (layers[i].is_floor && !is_on(j, &layers[i]))
            return vt_fail(err, VT_EJAIL,
                           "refused to run a kernel: the jail layer %s is missing on this machine; run elsewhere, or "
                           "pass --unsafe-jail for code you trust",
                           layers[i].name);
    if (!j->landlock && !j->mount_ns)
        return vt_fail(err, VT_EJAIL,
                       "refused to run a kernel: this machine allows neither landlock nor a mount namespace; run "
                       "elsewhere, or pass --unsafe-jail for code you trust");
    return VT_OK;
}
