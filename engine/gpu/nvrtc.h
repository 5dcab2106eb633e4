/* SPDX-License-Identifier: Apache-2.0
 *
 * nvrtc.h: CUDA C++ text to machine code in this process, by NVIDIA's run-time compiler, opened at run time. Needs no
 * GPU and no driver. The library is opened at the first call and stays open.
 */
#ifndef VT_GPU_NVRTC_H
#define VT_GPU_NVRTC_H

#include <stddef.h>
#include <vegttt/err.h>

/* "13.0"; EUNSUPPORTED says where it was looked for. *path (may be NULL) is lent. */
vt_status vt_nvrtc_version(int *major, int *minor, const char **path, vt_err *err) VT_MUST_USE;
/* options: such as "--gpu-architecture=sm_90a". *cubin (malloc'd) and its length; *log (malloc'd, may be NULL) what the
 * compiler said, whatever came of it. EFORMAT: the text does not compile. */
vt_status vt_nvrtc_compile(const char *source, const char *name, const char *const *options, int n_options,
                           void **cubin, size_t *len, char **log, vt_err *err) VT_MUST_USE;

#endif
