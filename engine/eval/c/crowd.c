/* SPDX-License-Identifier: Apache-2.0
 *
 * crowd.c: the number of runnable tasks on the machine, before and after each batch of a timing.
 *
 * A process that burns a core need not preempt a timing to disturb it: it shares caches, memory bandwidth and clock
 * frequency, and a real-time priority only hides it from the counters of context switches. The kernel's count of
 * runnable tasks (fourth field of /proc/loadavg) shows it. At a look the timing's own kernels sleep, guests of the
 * lease are parked or keep to other cores and compilers stopped, so of ours only the calling thread and what the
 * caller counts run; all others beyond the spare cores are a crowd. A look reads the count up to N_READINGS times, some
 * time apart, until one is low enough: a daemon that wakes for an instant is no load. Where /proc is hidden or made up
 * the count is 0 and nothing is flagged.
 */
#include "eval/c/crowd.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { N_READINGS = 4, TIMING_CORES = 2 };

static int n_runnable(int fd)
{
    char text[128];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *slash = strchr(text, '/');
    while (slash && slash > text && slash[-1] != ' ')
        slash--;
    return slash ? (int)strtol(slash, NULL, 10) : 0;
}

void vt_crowd_open(struct vt_crowd *c)
{
    long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    *c = (struct vt_crowd){.fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC)};
    c->n_spare = n_cores > TIMING_CORES ? (int)n_cores - TIMING_CORES : 0;
}

void vt_crowd_look(struct vt_crowd *c, int n_ours)
{
    /* A kernel's process looks for its next call for 200 us before it sleeps. */
    const struct timespec pause = {0, 150000};
    const int n_spare = c->n_spare > n_ours ? c->n_spare - n_ours : 0;
    int i = 0;
    if (c->fd < 0)
        return;
    while (n_runnable(c->fd) - 1 - n_ours > n_spare && ++i < N_READINGS)
        nanosleep(&pause, NULL);
    c->n_looks++;
    c->n_crowded += i == N_READINGS;
}

bool vt_crowd_close(struct vt_crowd *c)
{
    if (c->fd >= 0)
        close(c->fd);
    return 2 * c->n_crowded > c->n_looks;
}
