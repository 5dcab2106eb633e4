/* SPDX-License-Identifier: Apache-2.0
 *
 * cores.h: the two cores that a timing uses, and whether they are two.
 */
#ifndef VT_EVAL_C_CORES_H
#define VT_EVAL_C_CORES_H

#include <sched.h>
#include <stdbool.h>

struct vt_cores {
    int run_cpu, clock_cpu; /* clock_cpu -1: this process may use one core only */
    double corun;           /* time of the same work beside a busy clock core / beside an idle one; 0 = not measured */
    bool is_shared;         /* both are halves of one physical core */
};
/* Takes about ten milliseconds for each pair that is tried. */
void vt_cores_choose(struct vt_cores *out);
/* Of the other cores this process may use, those that slow work on the run core when they are busy: halves of its
 * physical core. About two milliseconds a core. */
void vt_cores_disturbing(const struct vt_cores *c, cpu_set_t *out);

#endif
