/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.cu: every kernel of the backend, one image for all architectures (engine/build/cuda.cmake embeds it).
 */
#include "cuda/attend.cuh"
#include "cuda/attend_back.cuh"
#include "cuda/attend_back_wide.cuh"
#include "cuda/attend_step.cuh"
#include "cuda/attend_wide.cuh"
#include "cuda/back.cuh"
#include "cuda/draw.cuh"
#include "cuda/gemm.cuh"
#include "cuda/head.cuh"
#include "cuda/lora.cuh"
#include "cuda/pages.cuh"
#include "cuda/rows.cuh"
