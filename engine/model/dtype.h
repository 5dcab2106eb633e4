/* SPDX-License-Identifier: Apache-2.0
 *
 * dtype.h: the storage formats of weights as seen inside engine/model: how many weights one block holds and how many
 * bytes it takes. Plain types are blocks of one.
 */
#ifndef VT_MODEL_DTYPE_H
#define VT_MODEL_DTYPE_H

#include "model/ckpt.h"

struct vt_dtype_info {
    const char *name;
    int block; /* weights in a block */
    int bytes; /* bytes of a block */
};
const struct vt_dtype_info *vt_dtype_info(enum vt_dtype t);
/* Bytes of a row of n weights; false when n is no positive multiple of the block or the product overflows. */
bool vt_dtype_row_bytes(enum vt_dtype t, int64_t n, size_t *out);
int64_t vt_tensor_n_rows(const struct vt_tensor *t); /* product of all dimensions but the last */

#endif
