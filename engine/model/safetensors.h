/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.h: reader and writer of one .safetensors file. Header: u64 little-endian length (<= 100 MB), a JSON
 * object, then the data; offsets are relative to the data and must tile it without holes or overlaps.
 */
#ifndef VT_MODEL_SAFETENSORS_H
#define VT_MODEL_SAFETENSORS_H

#include "model/ckpt.h"

typedef struct vt_st vt_st;
vt_status vt_st_open(const char *path, vt_st **out, vt_err *err) VT_MUST_USE; /* mmaps the file */
void vt_st_free(vt_st *s);
size_t vt_st_n(const vt_st *s);
const struct vt_tensor *vt_st_at(const vt_st *s,
                                 size_t i); /* F32, F16 and BF16; others are EUNSUPPORTED at open, named */
const struct vt_tensor *vt_st_find(const vt_st *s, const char *name);

/* Writes name, shape and fp32 values as dtype F32 or BF16 (rounded to nearest even), atomically. */
struct vt_st_item {
    const char *name;
    enum vt_dtype dtype;
    int n_dims;
    int64_t shape[4];
    const float *values;
};
struct vt_st_pair {
    const char *key, *value;
};
vt_status vt_st_write(const char *path, const struct vt_st_item *items, size_t n, const struct vt_st_pair *meta,
                      size_t n_meta, vt_err *err) VT_MUST_USE;

#endif
