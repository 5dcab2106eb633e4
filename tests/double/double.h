/* SPDX-License-Identifier: Apache-2.0
 *
 * double.h: a policy backend that behaves as a remote service does, for tests. Specs are double:MODEL or
 * double:OPTIONS@MODEL, where MODEL is a native spec and OPTIONS a comma separated list of
 *   delay=MS    how long a message is under way at most (default 3)
 *   requests=N  caps.max_requests (default 4)
 *   text        takes and gives text only
 *   plain       knows no top_k, top_p, min_p and bans
 *   whole       trains on built-in losses only
 */
#ifndef VT_DOUBLE_H
#define VT_DOUBLE_H

#include "policy/policy_ops.h"

extern const struct vt_policy_backend double_backend;

/* What the backends of this process asked of their servers so far. */
struct double_counts {
    int n_models, n_published, n_trained, n_forwards, n_sampled;
    int n_running, most_running; /* requests between their start and their end */
};
struct double_counts double_counts(void);
void double_counts_reset(void); /* while nothing is under way */

#endif
