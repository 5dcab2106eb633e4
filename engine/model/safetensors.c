/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors.c: one .safetensors file: u64 header length, a JSON object {name: {dtype, shape, data_offsets}}, data.
 *
 * Reading trusts nothing: the header length is held against the file before the JSON is parsed, each tensor's byte
 * count must equal its shape times its type, and sorted by offset the tensors must tile the data exactly. So no byte
 * is read twice, none is hidden between tensors, and every row a caller can ask for lies in the mapping.
 * Names and shapes live in this struct; data stays in the mapping.
 *
 * Writing builds the file in memory (adapters are some ten megabytes) and replaces the old one atomically.
 */
#include "model/safetensors.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "model/dtype.h"
#include "model/keys.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HEADER ((uint64_t)100 * 1000 * 1000)

struct vt_st {
    struct vt_map map;
    vt_json *header;
    struct vt_tensor *tensors; /* sorted by name; names are lent by header */
    size_t n;
};

static bool to_size(const vt_json *j, uint64_t *out)
{
    double v = vt_json_is_number(j) ? vt_json_num(j, -1) : -1;
    if (!(v >= 0 && v <= 9007199254740992.0) || v != (double)(uint64_t)v)
        return false;
    *out = (uint64_t)v;
    return true;
}

static vt_status read_shape(const vt_json *entry, const char *path, struct vt_tensor *t, vt_err *err)
{
    const vt_json *shape = vt_json_get(entry, "shape");
    size_t n = shape && vt_json_is_array(shape) ? vt_json_count(shape) : 0;
    if (n < 1 || n > 4)
        return vt_fail(err, VT_EFORMAT, "%s: tensor %s has %zu dimensions; 1 to 4 are possible", path, t->name, n);
    uint64_t rows = 1;
    for (const vt_json *d = vt_json_first(shape); d; d = vt_json_next(d)) {
        uint64_t size;
        if (!to_size(d, &size) || size == 0 || (t->n_dims + 1 < (int)n && size > INT64_MAX / rows))
            return vt_fail(err, VT_EFORMAT, "%s: tensor %s has an impossible shape (dimension %d)", path, t->name,
                           t->n_dims);
        if (t->n_dims + 1 < (int)n)
            rows *= size;
        t->shape[t->n_dims++] = (int64_t)size;
    }
    return VT_OK;
}

static vt_status read_dtype(const vt_json *entry, const char *path, struct vt_tensor *t, vt_err *err)
{
    const char *name = vt_json_str(vt_json_get(entry, "dtype"), "");
    static const enum vt_dtype known[] = {VT_F32, VT_F16, VT_BF16};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, vt_dtype_name(known[i])) == 0) {
            t->dtype = known[i];
            return VT_OK;
        }
    return vt_fail(err, VT_EUNSUPPORTED, "%s: tensor %s has dtype \"%.20s\"; vegttt reads F32, F16 and BF16", path,
                   t->name, name);
}

/* Fills t from one header entry; data_size is the number of bytes behind the header. */
static vt_status read_entry(const vt_json *entry, const char *path, const unsigned char *data, size_t data_size,
                            struct vt_tensor *t, vt_err *err)
{
    t->name = vt_json_key(entry);
    VT_TRY(read_dtype(entry, path, t, err));
    VT_TRY(read_shape(entry, path, t, err));
    const vt_json *offsets = vt_json_get(entry, "data_offsets");
    const vt_json *first =
        offsets && vt_json_is_array(offsets) && vt_json_count(offsets) == 2 ? vt_json_first(offsets) : NULL;
    uint64_t from, to;
    if (!first || !to_size(first, &from) || !to_size(vt_json_next(first), &to) || from > to)
        return vt_fail(err, VT_EFORMAT, "%s: tensor %s has no valid data_offsets", path, t->name);
    size_t bytes;
    if (!vt_dtype_row_bytes(t->dtype, t->shape[t->n_dims - 1], &t->row_bytes) ||
        !vt_mul_size(t->row_bytes, (size_t)vt_tensor_n_rows(t), &bytes) || bytes != to - from)
        return vt_fail(err, VT_EFORMAT, "%s: tensor %s has %llu bytes of data, which does not fit its shape", path,
                       t->name, (unsigned long long)(to - from));
    if (to > data_size)
        return vt_fail(err, VT_EFORMAT, "%s is cut off: tensor %s ends at byte %llu of the data, the file has %zu",
                       path, t->name, (unsigned long long)to, data_size);
    t->data = data + from;
    return VT_OK;
}

static int by_data(const void *a, const void *b)
{
    const unsigned char *x = ((const struct vt_tensor *)a)->data, *y = ((const struct vt_tensor *)b)->data;
    return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vt_tensor *)a)->name, ((const struct vt_tensor *)b)->name);
}

/* The tensors must lie end to end and use every byte; then they are put in order of name. */
static vt_status check_tiling(vt_st *s, const char *path, const unsigned char *data, size_t data_size, vt_err *err)
{
    if (s->n > 1)
        qsort(s->tensors, s->n, sizeof *s->tensors, by_data);
    size_t at = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct vt_tensor *t = &s->tensors[i];
        if (t->data != data + at)
            return vt_fail(err, VT_EFORMAT,
                           "%s: tensor %s overlaps another or leaves a hole before it; the file is damaged", path,
                           t->name);
        at += t->row_bytes * (size_t)vt_tensor_n_rows(t);
    }
    if (at != data_size)
        return vt_fail(err, VT_EFORMAT, "%s: %zu bytes behind its last tensor belong to none; the file is damaged",
                       path, data_size - at);
    if (s->n > 1)
        qsort(s->tensors, s->n, sizeof *s->tensors, by_name);
    for (size_t i = 1; i < s->n; i++)
        if (strcmp(s->tensors[i - 1].name, s->tensors[i].name) == 0)
            return vt_fail(err, VT_EFORMAT, "%s: tensor %s appears twice", path, s->tensors[i].name);
    return VT_OK;
}

static vt_status read_file(vt_st *s, const char *path, vt_err *err)
{
    VT_TRY(vt_map_open(path, &s->map, err));
    uint64_t header = 0;
    for (size_t i = 0; i < 8 && s->map.len >= 8; i++)
        header |= (uint64_t)s->map.p[i] << (8 * i);
    if (s->map.len < 8 || header > s->map.len - 8 || header < 2 || s->map.p[8] != '{')
        return vt_fail(err, VT_EFORMAT, "%s is no safetensors file or is cut off (%zu bytes)", path, s->map.len);
    if (header > MAX_HEADER)
        return vt_fail(err, VT_ELIMIT, "%s: its header of %llu bytes is larger than the format's limit of 100 MB", path,
                       (unsigned long long)header);
    VT_TRY(vt_json_parse((const char *)s->map.p + 8, (size_t)header, path, &s->header, err));
    const unsigned char *data = s->map.p + 8 + header;
    size_t data_size = s->map.len - 8 - (size_t)header;
    s->tensors = vt_alloc_array(vt_json_count(s->header), sizeof *s->tensors);
    if (!s->tensors)
        return vt_fail(err, VT_ENOMEM, "out of memory reading the header of %s", path);
    for (const vt_json *e = vt_json_first(s->header); e; e = vt_json_next(e))
        if (strcmp(vt_json_key(e), "__metadata__") != 0)
            VT_TRY(read_entry(e, path, data, data_size, &s->tensors[s->n++], err));
    return check_tiling(s, path, data, data_size, err);
}

vt_status vt_st_open(const char *path, vt_st **out, vt_err *err)
{
    vt_st *s = vt_alloc(sizeof *s);
    if (!s)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    vt_status status = read_file(s, path, err);
    if (status != VT_OK) {
        vt_st_free(s);
        return status;
    }
    *out = s;
    return VT_OK;
}

void vt_st_free(vt_st *s)
{
    if (!s)
        return;
    vt_map_close(&s->map);
    vt_json_free(s->header);
    free(s->tensors);
    free(s);
}

size_t vt_st_n(const vt_st *s)
{
    return s->n;
}

const struct vt_tensor *vt_st_at(const vt_st *s, size_t i)
{
    return i < s->n ? &s->tensors[i] : NULL;
}

const struct vt_tensor *vt_st_find(const vt_st *s, const char *name)
{
    struct vt_tensor key = {.name = name};
    return s->n ? bsearch(&key, s->tensors, s->n, sizeof key, by_name) : NULL;
}

static size_t item_count(const struct vt_st_item *item)
{
    size_t n = 1;
    for (int i = 0; i < item->n_dims; i++)
        n *= (size_t)item->shape[i];
    return n;
}

static vt_status write_header(struct vt_buf *out, const struct vt_st_item *items, size_t n,
                              const struct vt_st_pair *meta, size_t n_meta, const char *path, vt_err *err)
{
    vt_json *root = vt_json_object(), *pairs = vt_json_object();
    size_t at = 0;
    for (size_t i = 0; i < n_meta; i++)
        vt_json_put_str(pairs, meta[i].key, meta[i].value);
    if (n_meta > 0)
        vt_json_put(root, "__metadata__", pairs);
    else
        vt_json_free(pairs);
    for (size_t i = 0; i < n; i++) {
        vt_json *entry = vt_json_object(), *shape = vt_json_array(), *offsets = vt_json_array();
        size_t bytes = item_count(&items[i]) * (size_t)vt_dtype_info(items[i].dtype)->bytes;
        for (int d = 0; d < items[i].n_dims; d++)
            vt_json_push(shape, vt_json_new_num((double)items[i].shape[d]));
        vt_json_push(offsets, vt_json_new_num((double)at));
        vt_json_push(offsets, vt_json_new_num((double)(at + bytes)));
        at += bytes;
        vt_json_put_str(entry, "dtype", vt_dtype_name(items[i].dtype));
        vt_json_put(entry, "shape", shape);
        vt_json_put(entry, "data_offsets", offsets);
        vt_json_put(root, items[i].name, entry);
    }
    struct vt_buf text;
    vt_buf_init(&text, (size_t)MAX_HEADER);
    vt_status status = vt_json_write(root, false, &text, err);
    vt_json_free(root);
    while (status == VT_OK && text.len % 8 != 0 && text.status == VT_OK)
        vt_buf_putc(&text, ' '); /* the data begins 8-byte aligned */
    if (status == VT_OK)
        status = vt_buf_check(&text, path, err);
    for (size_t i = 0; i < 8; i++)
        vt_buf_putc(out, (char)((uint64_t)text.len >> (8 * i) & 0xff));
    vt_buf_add(out, text.p, text.len);
    vt_buf_free(&text);
    return status;
}

static void write_values(struct vt_buf *out, const struct vt_st_item *item)
{
    size_t n = item_count(item);
    if (item->dtype == VT_F32) {
        vt_buf_add(out, item->values, n * sizeof *item->values);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t b = vt_f32_to_bf16(item->values[i]);
        vt_buf_add(out, &b, sizeof b);
    }
}

vt_status vt_st_write(const char *path, const struct vt_st_item *items, size_t n, const struct vt_st_pair *meta,
                      size_t n_meta, vt_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (items[i].dtype != VT_F32 && items[i].dtype != VT_BF16)
            return vt_fail(err, VT_EINVAL, "cannot write tensor %s as %s; F32 and BF16 are possible", items[i].name,
                           vt_dtype_name(items[i].dtype));
    struct vt_buf out;
    vt_buf_init(&out, SIZE_MAX / 2);
    vt_status status = write_header(&out, items, n, meta, n_meta, path, err);
    for (size_t i = 0; i < n; i++)
        write_values(&out, &items[i]);
    if (status == VT_OK)
        status = vt_buf_check(&out, path, err);
    if (status == VT_OK)
        status = vt_fs_write_atomic(path, out.p, out.len, err);
    vt_buf_free(&out);
    return status;
}
