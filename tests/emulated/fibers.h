/* SPDX-License-Identifier: Apache-2.0
 *
 * fibers.h: runs a kernel's grid on this CPU, block by block.
 */
#ifndef EMULATED_FIBERS_H
#define EMULATED_FIBERS_H

#include <cstddef>
#include <functional>

void emulated_run(const unsigned grid[3], unsigned threads, size_t shared_bytes, const std::function<void()> &thread);

#endif
