/* SPDX-License-Identifier: Apache-2.0
 *
 * backends.h: the language-model backends of this build, for vt_lm_opts, and the policies that are served elsewhere.
 */
#ifndef VT_POLICY_BACKENDS_H
#define VT_POLICY_BACKENDS_H

#include "model/lm_ops.h"
#include "policy/policy_ops.h"

/* What the environment asks for, into options: the backends of this build, best first; $VEGTTT_BACKEND, one of them by
 * name, else the first that can run; $VEGTTT_DEVICES, the devices that one model is to run on ("0,1"), else the first
 * alone. EINVAL where that is no list of numbers. */
vt_status vt_lm_asked(struct vt_lm_opts *o, vt_err *err) VT_MUST_USE;
/* One for each scheme, NULL at the end. */
extern const struct vt_policy_backend *const vt_policy_served[];

#endif
