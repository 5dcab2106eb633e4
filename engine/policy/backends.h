/* SPDX-License-Identifier: Apache-2.0
 *
 * backends.h: the language-model backends of this build, for vt_lm_opts.
 */
#ifndef VT_POLICY_BACKENDS_H
#define VT_POLICY_BACKENDS_H

#include "model/lm_ops.h"

/* Best first, NULL at the end. */
extern const struct vt_lm_ops *const vt_lm_backends[];
/* $VEGTTT_BACKEND, or NULL: the first that can run. */
const char *vt_lm_backend_asked(void);

#endif
