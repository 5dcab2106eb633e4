/* SPDX-License-Identifier: Apache-2.0
 *
 * backends.c: the lists of backends.h. The CPU's comes first until the GPU's trains as it does; VEGTTT_BACKEND=cuda
 * asks for a GPU, VEGTTT_DEVICES=0,1 for several.
 */
#include "policy/backends.h"
#include "cpu/lm_cpu.h"
#include "policy/openai.h"
#include "policy/tinker.h"
#include <stdlib.h>
#ifdef VEGTTT_HAS_CUDA
#include "cuda/cuda.h"
#endif

/* Best first. */
static const struct vt_lm_ops *const backends[] = {
    &vt_lm_cpu_ops,
#ifdef VEGTTT_HAS_CUDA
    &vt_lm_cuda_ops,
#endif
    NULL,
};

vt_status vt_lm_asked(struct vt_lm_opts *o, vt_err *err)
{
    const char *name = getenv("VEGTTT_BACKEND");
    o->backends = backends;
    o->backend = name && *name ? name : NULL;
    return vt_devices_asked("VEGTTT_DEVICES", &o->devices, err);
}

const struct vt_policy_backend *const vt_policy_served[] = {&vt_policy_openai, &vt_policy_tinker, NULL};
