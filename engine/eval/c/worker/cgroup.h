/* SPDX-License-Identifier: Apache-2.0
 *
 * cgroup.h: control groups (version 2) around a broker's jobs.
 */
#ifndef VT_EVAL_C_WORKER_CGROUP_H
#define VT_EVAL_C_WORKER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

struct cgroup {
    int parent_fd, fd; /* the folder it lies in, and its own, locked while its broker lives; -1 = none */
    char name[32];
    bool has_limits; /* jobs' groups count processes and memory */
    unsigned n_jobs; /* started so far: names the next */
};
/* Makes a group for this process's jobs beside or below its own one; removes groups whose brokers are gone. False where
 * the machine does not let us. */
bool cgroup_open(struct cgroup *g);
/* Kills what is left in any job and removes everything. */
void cgroup_close(struct cgroup *g);
/* A group for the next job: its descriptor for cage_fork, or -1. *number is for cgroup_end. */
int cgroup_begin(struct cgroup *g, uint64_t max_memory, unsigned max_processes, unsigned *number);
/* Kills every process of the job at once. */
void cgroup_kill(const struct cgroup *g, unsigned number);
/* Removes the job's group, once its processes are collected. */
void cgroup_end(const struct cgroup *g, unsigned number);

#endif
