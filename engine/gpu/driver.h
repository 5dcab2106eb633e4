/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.h: the driver's table of functions, private to engine/gpu.
 */
#ifndef VT_GPU_DRIVER_H
#define VT_GPU_DRIVER_H

#include "gpu/gpu.h"

/* Opened and initialised at the first call; later calls, from any thread, give the same answer. */
vt_status vt_gpu_driver(const struct vt_cu **out, vt_err *err) VT_MUST_USE;
vt_status vt_gpu_explain(const struct vt_cu *cu, vt_cu_result result, const char *doing, vt_err *err) VT_MUST_USE;

#endif
