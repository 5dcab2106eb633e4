/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_cpu.h: the CPU backend of the language-model door, for lists of backends (vt_lm_opts.backends). Its options:
 * n_threads, precision, max_memory (0 = 75 % of what is available), isa and lease; it has one device, 0.
 */
#ifndef VT_CPU_LM_CPU_H
#define VT_CPU_LM_CPU_H

#include "model/lm_ops.h"

extern const struct vt_lm_ops vt_lm_cpu_ops;

#endif
