/* SPDX-License-Identifier: Apache-2.0
 *
 * cubin.h: reads what the compiler made: which kernels are in it and what parameters they take. Without this a launch
 * with too few arguments would make the driver read past them, in the trusted process.
 */
#ifndef VT_EVAL_CUDA_CUBIN_H
#define VT_EVAL_CUDA_CUBIN_H

#include "base/sha256.h"
#include "eval/cuda/plan.h"

enum { VT_CUBIN_MAX_KERNELS = 128, VT_CUBIN_MAX_PARAMS = 64 };
struct vt_cubin_kernel {
    char name[160];            /* the symbol: as written for extern "C", else mangled */
    unsigned n_params, shared; /* bytes of static shared memory */
    unsigned char size[VT_CUBIN_MAX_PARAMS];
};
struct vt_cubin {
    unsigned n_kernels;
    struct vt_cubin_kernel kernel[VT_CUBIN_MAX_KERNELS];
    bool has_variables;           /* of its own in device memory, which remember */
    char text_sha[VT_SHA256_HEX]; /* of the machine code */
};
/* False when the bytes are no machine code that this function can read. */
bool vt_cubin_read(const unsigned char *image, size_t len, struct vt_cubin *out);
/* The kernel that a plan means by this name: the symbol itself, or the one whose mangled name begins with it. NULL. */
const struct vt_cubin_kernel *vt_cubin_find(const struct vt_cubin *c, const char *name);
/* Every launch names a kernel that is there and fits its parameters; else false, with why. */
bool vt_cubin_fits(const struct vt_cubin *c, const vt_task *t, const struct vt_launch_plan *p, char why[256]);

#endif
