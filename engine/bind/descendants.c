/* SPDX-License-Identifier: Apache-2.0
 *
 * descendants.c: children are found by their parent's number in /proc, since no call lists them. Killing one makes its
 * own children ours, so it is done again until there are none.
 */
#include "bind/descendants.h"
#include "base/clock.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double end_s = 2;
static atomic_bool has_adopted; /* as the process has, not an engine */

void vt_descendants_adopt(void)
{
    if (!atomic_exchange(&has_adopted, true))
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* The parent of a process, 0 when that is not known. */
static long parent_of(const char *pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    char *name_end = strrchr(text, ')'); /* then " S 123 …"; a name may hold anything */
    return name_end && strlen(name_end) > 4 ? strtol(name_end + 4, NULL, 10) : 0;
}

static void kill_children(void)
{
    DIR *dir = opendir("/proc");
    long self = getpid();
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (isdigit((unsigned char)d->d_name[0]) && parent_of(d->d_name) == self)
            kill((pid_t)strtol(d->d_name, NULL, 10), SIGKILL);
    if (dir)
        closedir(dir);
}

void vt_descendants_end(void)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    if (!atomic_load(&has_adopted))
        return;
    for (double began = vt_now_s(); vt_now_s() - began < end_s;) {
        pid_t pid;
        kill_children();
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 && errno == ECHILD)
            return;
        nanosleep(&pause, NULL);
    }
}
