/* SPDX-License-Identifier: Apache-2.0
 *
 * emulated_view.h: what the driver's double writes into a tiled view of a matrix of 16-bit numbers.
 */
#ifndef EMULATED_VIEW_H
#define EMULATED_VIEW_H

#include <stdint.h>

struct emulated_view {
    uint64_t base, dims[2], stride; /* columns, rows; bytes between rows */
    uint32_t box[2];
};

#endif
