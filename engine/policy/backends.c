/* SPDX-License-Identifier: Apache-2.0
 *
 * backends.c: the list of backends.h. The CPU's comes first until the GPU's trains as it does; VEGTTT_BACKEND=cuda asks
 * for a GPU, VEGTTT_DEVICES=0,1 for several.
 */
#include "policy/backends.h"
#include "cpu/lm_cpu.h"
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

/* "0,1" as bits. */
static vt_status read_devices(const char *text, uint64_t *out, vt_err *err)
{
    const char *at = text;
    *out = 0;
    for (;;) {
        char *end;
        const unsigned long d = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || d > 63 || (*end && *end != ','))
            return vt_fail(err, VT_EINVAL, "VEGTTT_DEVICES=%s is no list of devices; give their numbers, as 0,1", text);
        *out |= (uint64_t)1 << d;
        if (!*end)
            return VT_OK;
        at = end + 1;
    }
}

vt_status vt_lm_asked(struct vt_lm_opts *o, vt_err *err)
{
    const char *name = getenv("VEGTTT_BACKEND"), *devices = getenv("VEGTTT_DEVICES");
    o->backends = backends;
    o->backend = name && *name ? name : NULL;
    o->devices = 0;
    return devices && *devices ? read_devices(devices, &o->devices, err) : VT_OK;
}
