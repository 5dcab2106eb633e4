/* SPDX-License-Identifier: Apache-2.0
 *
 * backends.c: the lists of backends.h. The CPU's comes first until the GPU's trains as it does; VEGTTT_BACKEND=cuda
 * asks for a GPU.
 */
#include "policy/backends.h"
#include "cpu/lm_cpu.h"
#include "policy/openai.h"
#include "policy/tinker.h"
#include <stdlib.h>
#ifdef VEGTTT_HAS_CUDA
#include "cuda/cuda.h"
#endif

const struct vt_lm_ops *const vt_lm_backends[] = {
    &vt_lm_cpu_ops,
#ifdef VEGTTT_HAS_CUDA
    &vt_lm_cuda_ops,
#endif
    NULL,
};

const char *vt_lm_backend_asked(void)
{
    const char *name = getenv("VEGTTT_BACKEND");
    return name && *name ? name : NULL;
}

const struct vt_policy_backend *const vt_policy_served[] = {&vt_policy_openai, &vt_policy_tinker, NULL};
