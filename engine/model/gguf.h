/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.h: reader of one GGUF file (versions 2 and 3, little-endian): its metadata and its tensor directory, checked
 * and lent from the mapping. It knows nothing of architectures; ckpt_gguf.c does.
 */
#ifndef VT_MODEL_GGUF_H
#define VT_MODEL_GGUF_H

#include "base/fs.h"
#include "model/ckpt.h"
#include "model/text.h"

enum vt_gguf_type {
    VT_GGUF_U8,
    VT_GGUF_I8,
    VT_GGUF_U16,
    VT_GGUF_I16,
    VT_GGUF_U32,
    VT_GGUF_I32,
    VT_GGUF_F32,
    VT_GGUF_BOOL,
    VT_GGUF_STRING,
    VT_GGUF_ARRAY,
    VT_GGUF_U64,
    VT_GGUF_I64,
    VT_GGUF_F64
};

struct vt_gguf_kv {
    struct vt_text key;
    enum vt_gguf_type type;
    int64_t i;              /* integers and bool; an unsigned value above INT64_MAX is INT64_MAX */
    double f;               /* floats */
    struct vt_text str;     /* strings */
    enum vt_gguf_type item; /* arrays: type, count and bytes of the items; every item lies inside the file */
    size_t n;
    const unsigned char *items;
};
struct vt_gguf_tensor {
    struct vt_text name;
    enum vt_dtype dtype;
    int n_dims;
    int64_t ne[4]; /* fastest dimension first, as in the file */
    size_t row_bytes;
    const unsigned char *data;
    size_t bytes;
};

struct vt_gguf {
    struct vt_map map;
    struct vt_gguf_kv *kv;
    size_t n_kv;
    struct vt_gguf_tensor *tensors;
    size_t n_tensors;
};

vt_status vt_gguf_open(const char *path, struct vt_gguf **out, vt_err *err) VT_MUST_USE;
void vt_gguf_free(struct vt_gguf *g);
const struct vt_gguf_kv *vt_gguf_find(const struct vt_gguf *g, const char *key); /* NULL when absent */
bool vt_gguf_int(const struct vt_gguf *g, const char *key, int64_t *out);        /* false when absent or no integer */
bool vt_gguf_num(const struct vt_gguf *g, const char *key, double *out);
bool vt_gguf_bool(const struct vt_gguf *g, const char *key, bool fallback);
bool vt_gguf_text(const struct vt_gguf *g, const char *key, struct vt_text *out);
/* Walks an array of strings: *at starts at kv->items. */
struct vt_text vt_gguf_next_str(const unsigned char **at);

#endif
