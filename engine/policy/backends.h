/* SPDX-License-Identifier: Apache-2.0
 *
 * backends.h: the language-model backends of this build, for vt_lm_opts, and the policies that are served elsewhere.
 */
#ifndef VT_POLICY_BACKENDS_H
#define VT_POLICY_BACKENDS_H

#include "model/lm_ops.h"
#include "policy/policy_ops.h"

/* Best first, NULL at the end. */
extern const struct vt_lm_ops *const vt_lm_backends[];
/* $VEGTTT_BACKEND, or NULL: the first that can run. */
const char *vt_lm_backend_asked(void);
/* One for each scheme, NULL at the end. */
extern const struct vt_policy_backend *const vt_policy_served[];

#endif
