/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_look.h: can the torch tier work on this machine?
 */
#ifndef VT_EVAL_TORCH_TORCH_LOOK_H
#define VT_EVAL_TORCH_TORCH_LOOK_H

#include <vegttt/err.h>

/* "torch 2.11.0 on NVIDIA H200"; or what is missing, in one sentence. */
vt_status vt_torch_tier_look(char name[256], vt_err *err) VT_MUST_USE;

#endif
