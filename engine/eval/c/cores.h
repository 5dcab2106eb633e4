/* SPDX-License-Identifier: Apache-2.0
 *
 * cores.h: the two cores that a timing uses, and whether they are two.
 */
#ifndef VT_EVAL_C_CORES_H
#define VT_EVAL_C_CORES_H

#include <sched.h>
#include <stdbool.h>

enum { VT_C_MAX_LANES = 8 };

struct vt_cores {
    int run_cpu, clock_cpu; /* clock_cpu -1: this process may use one core only */
    double corun;           /* time of the same work beside a busy clock core / beside an idle one; 0 = not measured */
    bool is_shared;         /* both are halves of one physical core */
};
/* Fills in corun and is_shared of a pair; more rounds are surer. */
typedef void vt_cores_measure(struct vt_cores *pair, int n_rounds);
/* Pairs that can time at once on the cores `all`, at most `most`, at least one; place[i] has the cores of pair i and
 * the halves that would slow its run core. Places do not meet; beyond
 * the first, they leave a quarter of the cores. */
int vt_cores_plan(const cpu_set_t *all, int most, vt_cores_measure *measure, struct vt_cores *out, cpu_set_t *place);
/* The same on the cores that this process may use, measured: about ten milliseconds for each pair that is tried, and
 * two for each core beside a lane. */
int vt_cores_lanes(int most, struct vt_cores *out, cpu_set_t *place);

#endif
