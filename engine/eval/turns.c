/* SPDX-License-Identifier: Apache-2.0
 *
 * turns.c: flock on files named after cores and devices. A turn is all of a place's files or none, tried again after a
 * millisecond, so that two processes whose places overlap cannot wait for each other; the kernel drops the locks of a
 * process that dies.
 */
#include "eval/turns.h"
#include "base/clock.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

enum { PATIENCE_MS = 3000 };

static void add(struct vt_turns *t, const char *dir, const char *what, unsigned number)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/timing-%s%u.lock", dir, what, number);
    if (t->n == VT_MAX_TURN_FILES || n < 0 || (size_t)n >= sizeof path)
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        t->fd[t->n++] = fd;
}

void vt_turns_open(struct vt_turns *t, const char *dir, const struct vt_place *place)
{
    t->n = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &place->cores))
            add(t, dir, "core", cpu);
    for (unsigned i = 0; i < 64; i++)
        if (place->devices >> i & 1)
            add(t, dir, "device", i);
}

void vt_turns_close(struct vt_turns *t)
{
    for (int i = 0; i < t->n; i++)
        close(t->fd[i]);
    t->n = 0;
}

static bool try_all(struct vt_turns *t)
{
    for (int i = 0; i < t->n; i++) {
        if (flock(t->fd[i], LOCK_EX | LOCK_NB) == 0)
            continue;
        while (i-- > 0)
            flock(t->fd[i], LOCK_UN);
        return false;
    }
    return true;
}

bool vt_turns_take(struct vt_turns *t)
{
    for (int waited_ms = 0; !try_all(t); waited_ms++) {
        if (waited_ms >= PATIENCE_MS)
            return false;
        vt_sleep_ms(1);
    }
    return true;
}

void vt_turns_give(struct vt_turns *t)
{
    for (int i = 0; i < t->n; i++)
        flock(t->fd[i], LOCK_UN);
}
