/* SPDX-License-Identifier: Apache-2.0
 *
 * cgroup.c: one control group for each broker, one below it for each job.
 *
 *   <this process's group, or the one above it>/vegttt-<pid>/job-<n>
 *
 * A job is born into its group, so whatever it forks, in whatever session or process group, is in it too: one write to
 * cgroup.kill ends all of it. Where the administrator has handed down the controllers pids and memory, the job as a
 * whole is limited in both, which limits of single processes cannot do. Nothing is asked for that is not handed down:
 * no controller is switched on outside our own folder.
 *
 * Groups are folders and outlive a broker that is killed. A broker therefore holds a lock on its folder; one that is
 * not locked has no owner, and the next broker that starts removes it. An ordinary user has this layer where a folder
 * was delegated to him (systemd does that for a session's services), root nearly everywhere; it is never needed.
 */
#include "eval/c/worker/cgroup.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PATH = 1024, N_TRIES = 3, N_WAITS = 50 };

static bool write_at(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

static int open_dir(int dir, const char *name)
{
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The path of this process's group below the root of the hierarchy: "0::/path". */
static bool own_path(char out[MAX_PATH])
{
    char line[MAX_PATH];
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        found = strncmp(line, "0::/", 4) == 0;
        if (found)
            memcpy(out, line + 3, strlen(line + 3) + 1);
    }
    if (f)
        fclose(f);
    return found;
}

/* Where the hierarchy is mounted, and which of its folders is at the mount point:
 * "30 25 0:26 ROOT POINT options - cgroup2 source options". */
static bool mount_point(char root[MAX_PATH], char point[MAX_PATH])
{
    char line[2 * MAX_PATH];
    bool found = false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f && !found && fgets(line, sizeof line, f))
        found = strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) == 2;
    if (f)
        fclose(f);
    return found;
}

static int open_own(void)
{
    char own[MAX_PATH], root[MAX_PATH], point[MAX_PATH], path[2 * MAX_PATH];
    if (!own_path(own) || !mount_point(root, point))
        return -1;
    size_t skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(own, root, skip) != 0)
        return -1;
    int n = snprintf(path, sizeof path, "%s%s", point, own + skip);
    return n > 0 && n < (int)sizeof path ? open_dir(AT_FDCWD, path) : -1;
}

/* A killed process leaves its group a moment after the kill. */
static bool remove_dir(int dir, const char *name)
{
    const struct timespec pause = {0, 1000000};
    for (int i = 0; i < N_WAITS; i++) {
        if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return true;
        if (errno != EBUSY)
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Calls fn for every folder below `dir` whose name begins with `prefix`. */
static void each_dir(int dir, const char *prefix, void (*fn)(int dir, const char *name))
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    if (!list) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *e; (e = readdir(list)) != NULL;)
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
            fn(dir, e->d_name);
    closedir(list);
}

static void remove_job(int dir, const char *name)
{
    remove_dir(dir, name);
}

/* With the folder's lock held. */
static void remove_group(int parent, const char *name, int fd)
{
    write_at(fd, "cgroup.kill", "1");
    each_dir(fd, "job-", remove_job);
    remove_dir(parent, name);
}

static void remove_stale(int parent, const char *name)
{
    int fd = open_dir(parent, name);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        remove_group(parent, name, fd);
    if (fd >= 0)
        close(fd);
}

static bool has_word(int dir, const char *file, const char *word)
{
    char text[512];
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return false;
    text[n] = 0;
    for (char *rest = text, *w; (w = strsep(&rest, " \n")) != NULL;)
        if (strcmp(w, word) == 0)
            return true;
    return false;
}

/* Between mkdir and flock a broker that starts at the same time may take the folder for a stale one. */
static bool make_group(struct cgroup *g, int parent)
{
    for (int i = 0; i < N_TRIES; i++) {
        snprintf(g->name, sizeof g->name, "vegttt-%d-%d", (int)getpid(), i);
        if (mkdirat(parent, g->name, 0755) != 0 && errno != EEXIST)
            return false;
        g->fd = open_dir(parent, g->name);
        if (g->fd >= 0 && flock(g->fd, LOCK_EX | LOCK_NB) == 0 && faccessat(g->fd, "cgroup.kill", W_OK, 0) == 0) {
            g->parent_fd = parent;
            return true;
        }
        if (g->fd >= 0)
            close(g->fd);
        g->fd = -1;
        unlinkat(parent, g->name, AT_REMOVEDIR);
    }
    return false;
}

bool cgroup_open(struct cgroup *g)
{
    *g = (struct cgroup){.parent_fd = -1, .fd = -1};
    int own = open_own(), above = own >= 0 ? open_dir(own, "..") : -1;
    /* A group that holds processes, as our own does, can hand no controllers down: the one above may. */
    int folder[2] = {above, own};
    bool is_above_better = above >= 0 && has_word(above, "cgroup.subtree_control", "pids");
    for (int i = is_above_better ? 0 : 1; i < 2 && g->fd < 0; i++) {
        if (folder[i] < 0)
            continue;
        each_dir(folder[i], "vegttt-", remove_stale);
        (void)make_group(g, folder[i]);
    }
    for (int i = 0; i < 2; i++)
        if (folder[i] >= 0 && folder[i] != g->parent_fd)
            close(folder[i]);
    if (g->fd >= 0)
        g->has_limits = write_at(g->fd, "cgroup.subtree_control", "+pids +memory");
    return g->fd >= 0;
}

void cgroup_close(struct cgroup *g)
{
    if (g->fd < 0)
        return;
    remove_group(g->parent_fd, g->name, g->fd);
    close(g->fd);
    close(g->parent_fd);
    g->fd = g->parent_fd = -1;
}

static const char *job_name(unsigned number, char out[32])
{
    snprintf(out, 32, "job-%u", number);
    return out;
}

int cgroup_begin(struct cgroup *g, uint64_t max_memory, unsigned max_processes, unsigned *number)
{
    char name[32], text[32];
    if (g->fd < 0)
        return -1;
    *number = ++g->n_jobs;
    if (mkdirat(g->fd, job_name(*number, name), 0755) != 0)
        return -1;
    int fd = open_dir(g->fd, name);
    if (fd < 0 || !g->has_limits)
        return fd;
    snprintf(text, sizeof text, "%u", max_processes);
    bool ok = write_at(fd, "pids.max", text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)max_memory);
    ok = write_at(fd, "memory.max", text) && ok;
    write_at(fd, "memory.swap.max", "0");
    if (ok)
        return fd;
    close(fd);
    cgroup_end(g, *number);
    return -1;
}

void cgroup_kill(const struct cgroup *g, unsigned number)
{
    char name[32], path[64];
    if (g->fd < 0 || !number)
        return;
    snprintf(path, sizeof path, "%s/cgroup.kill", job_name(number, name));
    write_at(g->fd, path, "1");
}

void cgroup_end(const struct cgroup *g, unsigned number)
{
    char name[32];
    if (g->fd >= 0 && number)
        remove_dir(g->fd, job_name(number, name));
}
