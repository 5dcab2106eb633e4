/* SPDX-License-Identifier: Apache-2.0
 *
 * crowd.h: does anybody else want the cores of a timing?
 */
#ifndef VT_EVAL_C_CROWD_H
#define VT_EVAL_C_CROWD_H

#include <stdbool.h>

struct vt_crowd {
    int fd, n_looks, n_crowded, n_spare; /* spare: cores that others may use without meeting a timing */
};
void vt_crowd_open(struct vt_crowd *c);
/* Called by the timing thread while its kernels sleep; takes a fraction of a millisecond. n_ours: what of this process
 * may run on other cores now. */
void vt_crowd_look(struct vt_crowd *c, int n_ours);
/* True when most looks found more runnable tasks than cores to spare. */
bool vt_crowd_close(struct vt_crowd *c);

#endif
