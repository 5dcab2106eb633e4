/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn.c: posix_spawn with a socket, once for every tier. The group lets a deadline kill whatever a candidate started;
 * descriptors above the socket are closed by number because other threads open some without close-on-exec.
 */
#include "base/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

int vt_spawn_start(const struct vt_spawn *s, pid_t *pid, int *socket)
{
    int pair[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    *pid = 0;
    *socket = -1;
    if (socketpair(AF_UNIX, s->type | SOCK_CLOEXEC, 0, pair) != 0)
        return errno;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_adddup2(&actions, pair[1], s->number);
    for (int fd = 0; fd < s->n_quiet; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, s->number + 1);
    int e = posix_spawnp(pid, s->program, &actions, &attr, s->argv, s->env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    close(pair[1]);
    if (e) {
        close(pair[0]);
        *pid = 0;
        return e;
    }
    *socket = pair[0];
    return 0;
}
