/* SPDX-License-Identifier: Apache-2.0
 *
 * fibers.h: runs a kernel's grid on this CPU.
 */
#ifndef EMULATED_FIBERS_H
#define EMULATED_FIBERS_H

#include <cstddef>
#include <functional>

struct emulated_grid {
    unsigned x, y, threads, cluster; /* cluster: blocks along x that share memory; 1 = none */
    size_t shared_bytes;
};
void emulated_run(const struct emulated_grid &grid, const std::function<void()> &thread);

#endif
