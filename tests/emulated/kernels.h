/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h: the backend's kernels by name. A launch's arguments are pointers to values whose sizes only the kernel
 * knows; bind copies them.
 */
#ifndef EMULATED_KERNELS_H
#define EMULATED_KERNELS_H

#include <functional>

struct emulated_kernel {
    const char *name;
    std::function<void()> (*bind)(void **args); /* one thread of the kernel */
};
const struct emulated_kernel *emulated_find(const char *name); /* NULL: there is none */

#endif
