/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda.h: the language-model backend on NVIDIA GPUs (Ampere and newer), as one table for the door (model/lm.h). The
 * build leaves this folder out where there is no nvcc, and defines VEGTTT_HAS_CUDA where it is in.
 */
#ifndef VT_CUDA_CUDA_H
#define VT_CUDA_CUDA_H

#include "model/lm_ops.h"

extern const struct vt_lm_ops vt_lm_cuda_ops;

#endif
