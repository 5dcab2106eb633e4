/* SPDX-License-Identifier: Apache-2.0
 *
 * look.h: can the cuda tier work on this machine?
 */
#ifndef VT_EVAL_CUDA_LOOK_H
#define VT_EVAL_CUDA_LOOK_H

#include <vegttt/err.h>

/* OK, or what is missing in one sentence. The driver is asked in a process of its own. */
vt_status vt_cuda_tier_look(char name[128], vt_err *err) VT_MUST_USE;

#endif
