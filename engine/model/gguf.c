/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.c: the GGUF container. The file is mapped once; the header is walked with a cursor that cannot leave the
 * mapping, so a count of 2^63 costs one comparison and not an allocation: before anything is allocated, a count is
 * held against the smallest size its entries can have. Strings stay in the mapping and are lent as (pointer, length).
 *
 * Layout: "GGUF", u32 version, u64 tensors, u64 metadata entries; entries (key, type, value); tensor directory (name,
 * dimensions, type, offset); padding to general.alignment; data. Offsets are relative to the data.
 *
 * What holds after open: every array item and every tensor byte lies inside the file, names are shorter than 256
 * bytes, dimensions are positive, tensors do not overlap, and every type is one that dtype.c can read.
 */
#include "model/gguf.h"

#include "base/alloc.h"
#include "model/dtype.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 255, MAX_KEY = 65535, DEFAULT_ALIGNMENT = 32 };

struct cursor {
    const unsigned char *p;
    size_t len, at;
    const char *path;
};

static vt_status cut_off(const struct cursor *c, const char *what, vt_err *err)
{
    return vt_fail(err, VT_EFORMAT,
                   "%s is cut off or damaged: its GGUF header needs more than the file's %zu bytes at byte %zu (%s); "
                   "download it again",
                   c->path, c->len, c->at, what);
}

static const unsigned char *take(struct cursor *c, size_t n)
{
    if (n > c->len - c->at)
        return NULL;
    const unsigned char *p = c->p + c->at;
    c->at += n;
    return p;
}

static uint64_t load_le(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static vt_status read_int(struct cursor *c, size_t n, const char *what, uint64_t *out, vt_err *err)
{
    const unsigned char *p = take(c, n);
    if (!p)
        return cut_off(c, what, err);
    *out = load_le(p, n);
    return VT_OK;
}

static vt_status read_str(struct cursor *c, const char *what, struct vt_text *out, vt_err *err)
{
    uint64_t len = 0;
    VT_TRY(read_int(c, 8, what, &len, err));
    if (len > c->len - c->at)
        return cut_off(c, what, err);
    out->p = (const char *)c->p + c->at;
    out->len = (size_t)len;
    c->at += (size_t)len;
    return VT_OK;
}

/* Bytes of a scalar type; 0 for strings, arrays and unknown types. */
static size_t scalar_bytes(uint64_t type)
{
    static const unsigned char bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof bytes ? bytes[type] : 0;
}

static void decode_scalar(struct vt_gguf_kv *kv, const unsigned char *p)
{
    uint64_t u = load_le(p, scalar_bytes(kv->type));
    uint32_t low = (uint32_t)u;
    float f;
    switch (kv->type) {
    case VT_GGUF_I8:
        kv->i = (int8_t)u;
        break;
    case VT_GGUF_I16:
        kv->i = (int16_t)u;
        break;
    case VT_GGUF_I32:
        kv->i = (int32_t)u;
        break;
    case VT_GGUF_F32:
        memcpy(&f, &low, sizeof f);
        kv->f = (double)f;
        break;
    case VT_GGUF_F64:
        memcpy(&kv->f, &u, sizeof kv->f);
        break;
    case VT_GGUF_I64:
        kv->i = (int64_t)u;
        break;
    default:
        kv->i = u > INT64_MAX ? INT64_MAX : (int64_t)u;
        break;
    }
}

static vt_status read_array(struct cursor *c, struct vt_gguf_kv *kv, vt_err *err)
{
    uint64_t type = 0, n = 0;
    VT_TRY(read_int(c, 4, "type of an array", &type, err));
    VT_TRY(read_int(c, 8, "length of an array", &n, err));
    size_t bytes = scalar_bytes(type);
    if (!bytes && type != VT_GGUF_STRING)
        return vt_fail(err, VT_EFORMAT, "%s: GGUF key %.*s is an array of type %llu, which vegttt cannot read", c->path,
                       (int)kv->key.len, kv->key.p, (unsigned long long)type);
    if (n > (c->len - c->at) / (bytes ? bytes : 8))
        return cut_off(c, "items of an array", err);
    kv->item = (enum vt_gguf_type)type;
    kv->n = (size_t)n;
    kv->items = c->p + c->at;
    if (bytes) {
        c->at += (size_t)n * bytes;
        return VT_OK;
    }
    struct vt_text item;
    for (uint64_t i = 0; i < n; i++)
        VT_TRY(read_str(c, "string in an array", &item, err));
    return VT_OK;
}

static vt_status read_kv(struct cursor *c, struct vt_gguf_kv *kv, vt_err *err)
{
    uint64_t type = 0;
    VT_TRY(read_str(c, "metadata key", &kv->key, err));
    if (kv->key.len > MAX_KEY)
        return vt_fail(err, VT_EFORMAT, "%s: a GGUF metadata key is %zu bytes long; the file is damaged", c->path,
                       kv->key.len);
    VT_TRY(read_int(c, 4, "type of a metadata value", &type, err));
    kv->type = (enum vt_gguf_type)type;
    if (type == VT_GGUF_STRING)
        return read_str(c, "metadata string", &kv->str, err);
    if (type == VT_GGUF_ARRAY)
        return read_array(c, kv, err);
    size_t bytes = scalar_bytes(type);
    if (!bytes)
        return vt_fail(err, VT_EFORMAT,
                       "%s: GGUF key %.*s has unknown type %llu; the file is damaged or newer than vegttt", c->path,
                       (int)(kv->key.len < 80 ? kv->key.len : 80), kv->key.p, (unsigned long long)type);
    const unsigned char *p = take(c, bytes);
    if (!p)
        return cut_off(c, "metadata value", err);
    decode_scalar(kv, p);
    return VT_OK;
}

static bool dtype_of(uint64_t type, enum vt_dtype *out)
{
    static const struct {
        unsigned id;
        enum vt_dtype dtype;
    } known[] = {{0, VT_F32},  {1, VT_F16},   {2, VT_Q4_0},  {3, VT_Q4_1},
                 {8, VT_Q8_0}, {12, VT_Q4_K}, {14, VT_Q6_K}, {30, VT_BF16}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].id == type) {
            *out = known[i].dtype;
            return true;
        }
    return false;
}

/* Names of the types that other software stores, for messages. */
static const char *type_name(uint64_t type)
{
    static const char *const names[] = {
        "F32",        "F16",        "Q4_0",       "Q4_1",  "Q4_2",     "Q4_3",     "Q5_0",     "Q5_1",    "Q8_0",
        "Q8_1",       "Q2_K",       "Q3_K",       "Q4_K",  "Q5_K",     "Q6_K",     "Q8_K",     "IQ2_XXS", "IQ2_XS",
        "IQ3_XXS",    "IQ1_S",      "IQ4_NL",     "IQ3_S", "IQ2_S",    "IQ4_XS",   "I8",       "I16",     "I32",
        "I64",        "F64",        "IQ1_M",      "BF16",  "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",   "TQ2_0",
        "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4", "NVFP4",    "Q1_0"};
    return type < sizeof names / sizeof names[0] ? names[type] : "none that vegttt has heard of";
}

/* Reads one directory entry; *offset is relative to the data section, which is not known yet. */
static vt_status read_tensor(struct cursor *c, struct vt_gguf_tensor *t, uint64_t *offset, vt_err *err)
{
    uint64_t n_dims = 0, type = 0;
    VT_TRY(read_str(c, "tensor name", &t->name, err));
    if (t->name.len == 0 || t->name.len > MAX_NAME || memchr(t->name.p, 0, t->name.len))
        return vt_fail(err, VT_EFORMAT,
                       "%s: a GGUF tensor name is empty, longer than %d bytes or holds a NUL; the file is damaged",
                       c->path, MAX_NAME);
    int name_len = (int)t->name.len;
    VT_TRY(read_int(c, 4, "tensor dimensions", &n_dims, err));
    if (n_dims < 1 || n_dims > 4)
        return vt_fail(err, VT_EFORMAT, "%s: tensor %.*s has %llu dimensions; 1 to 4 are possible", c->path, name_len,
                       t->name.p, (unsigned long long)n_dims);
    t->n_dims = (int)n_dims;
    uint64_t n_rows = 1;
    for (int i = 0; i < t->n_dims; i++) {
        uint64_t ne = 0;
        VT_TRY(read_int(c, 8, "tensor shape", &ne, err));
        if (ne == 0 || ne > INT64_MAX || (i > 0 && ne > INT64_MAX / n_rows))
            return vt_fail(err, VT_EFORMAT, "%s: tensor %.*s has an impossible shape (dimension %d is %llu)", c->path,
                           name_len, t->name.p, i, (unsigned long long)ne);
        t->ne[i] = (int64_t)ne;
        if (i > 0)
            n_rows *= ne;
    }
    VT_TRY(read_int(c, 4, "tensor type", &type, err));
    if (!dtype_of(type, &t->dtype))
        return vt_fail(
            err, VT_EUNSUPPORTED,
            "%s: tensor %.*s is stored as %s (GGUF type %llu); vegttt reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and "
            "Q6_K",
            c->path, name_len, t->name.p, type_name(type), (unsigned long long)type);
    VT_TRY(read_int(c, 8, "tensor offset", offset, err));
    if (!vt_dtype_row_bytes(t->dtype, t->ne[0], &t->row_bytes) || !vt_mul_size(t->row_bytes, (size_t)n_rows, &t->bytes))
        return vt_fail(err, VT_EFORMAT, "%s: tensor %.*s has rows of %lld weights, which %s cannot store", c->path,
                       name_len, t->name.p, (long long)t->ne[0], vt_dtype_name(t->dtype));
    return VT_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct vt_text *x = *(const struct vt_text *const *)a, *y = *(const struct vt_text *const *)b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = n ? memcmp(x->p, y->p, n) : 0;
    return order ? order : x->len < y->len ? -1 : x->len > y->len;
}

static vt_status check_keys_once(const char *path, const struct vt_gguf *g, vt_err *err)
{
    const struct vt_text **keys = vt_alloc_array(g->n_kv ? g->n_kv : 1, sizeof *keys);
    vt_status status = VT_OK;
    if (!keys)
        return vt_fail(err, VT_ENOMEM, "out of memory reading the header of %s", path);
    for (size_t i = 0; i < g->n_kv; i++)
        keys[i] = &g->kv[i].key;
    if (g->n_kv > 1)
        qsort(keys, g->n_kv, sizeof *keys, by_key);
    for (size_t i = 1; i < g->n_kv && status == VT_OK; i++)
        if (by_key(&keys[i - 1], &keys[i]) == 0)
            status = vt_fail(err, VT_EFORMAT, "%s has the GGUF key %.*s twice; which of the two counts is not defined",
                             path, (int)(keys[i]->len < 80 ? keys[i]->len : 80), keys[i]->p);
    free(keys);
    return status;
}

static int by_data(const void *a, const void *b)
{
    const struct vt_gguf_tensor *x = a, *y = b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static vt_status check_overlap(const char *path, struct vt_gguf *g, vt_err *err)
{
    if (g->n_tensors > 1)
        qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_data);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const struct vt_gguf_tensor *a = &g->tensors[i - 1], *b = &g->tensors[i];
        if ((size_t)(b->data - a->data) < a->bytes)
            return vt_fail(err, VT_EFORMAT, "%s: tensors %.*s and %.*s overlap; the file is damaged", path,
                           (int)a->name.len, a->name.p, (int)b->name.len, b->name.p);
    }
    return VT_OK;
}

static vt_status read_directory(struct cursor *c, struct vt_gguf *g, uint64_t *offsets, vt_err *err)
{
    for (size_t i = 0; i < g->n_tensors; i++)
        VT_TRY(read_tensor(c, &g->tensors[i], &offsets[i], err));
    int64_t alignment = DEFAULT_ALIGNMENT;
    (void)vt_gguf_int(g, "general.alignment", &alignment);
    if (alignment <= 0 || alignment > 65536 || (alignment & (alignment - 1)))
        return vt_fail(err, VT_EFORMAT, "%s: general.alignment is %lld; a power of two up to 65536 is needed", c->path,
                       (long long)alignment);
    size_t mask = (size_t)alignment - 1, start = (c->at + mask) & ~mask;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct vt_gguf_tensor *t = &g->tensors[i];
        if (offsets[i] & mask || start > c->len || offsets[i] > c->len - start ||
            t->bytes > c->len - start - (size_t)offsets[i])
            return vt_fail(err, VT_EFORMAT,
                           "%s is cut off or damaged: tensor %.*s needs %zu bytes at offset %llu of the data, the file "
                           "has %zu; download it again",
                           c->path, (int)t->name.len, t->name.p, t->bytes, (unsigned long long)offsets[i], c->len);
        t->data = c->p + start + (size_t)offsets[i];
    }
    return check_overlap(c->path, g, err);
}

static vt_status read_header(struct cursor *c, struct vt_gguf *g, vt_err *err)
{
    const unsigned char *magic = take(c, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return vt_fail(err, VT_EFORMAT, "%s is not a GGUF file (it does not start with \"GGUF\")", c->path);
    uint64_t version = 0, n_tensors = 0, n_kv = 0;
    VT_TRY(read_int(c, 4, "version", &version, err));
    if (version != 2 && version != 3)
        return vt_fail(err, VT_EUNSUPPORTED, "%s has GGUF version %llu; vegttt reads little-endian versions 2 and 3",
                       c->path, (unsigned long long)version);
    VT_TRY(read_int(c, 8, "tensor count", &n_tensors, err));
    VT_TRY(read_int(c, 8, "metadata count", &n_kv, err));
    /* Smallest entries: key length + type + one byte; name length + name + dims + one dim + type + offset. */
    if (n_kv > (c->len - c->at) / 13 || n_tensors > (c->len - c->at) / 33)
        return vt_fail(err, VT_EFORMAT,
                       "%s is cut off or damaged: %llu metadata entries and %llu tensors cannot fit its %zu bytes",
                       c->path, (unsigned long long)n_kv, (unsigned long long)n_tensors, c->len);
    g->kv = vt_alloc_array((size_t)n_kv, sizeof *g->kv);
    g->tensors = vt_alloc_array((size_t)n_tensors, sizeof *g->tensors);
    uint64_t *offsets = vt_alloc_array((size_t)n_tensors, sizeof *offsets);
    vt_status status = VT_OK;
    if (!g->kv || !g->tensors || !offsets) {
        status = vt_fail(err, VT_ENOMEM, "out of memory reading the header of %s", c->path);
        goto out;
    }
    g->n_tensors = (size_t)n_tensors;
    for (; g->n_kv < (size_t)n_kv && status == VT_OK; g->n_kv++)
        status = read_kv(c, &g->kv[g->n_kv], err);
    if (status == VT_OK)
        status = check_keys_once(c->path, g, err);
    if (status == VT_OK)
        status = read_directory(c, g, offsets, err);
out:
    free(offsets);
    return status;
}

vt_status vt_gguf_open(const char *path, struct vt_gguf **out, vt_err *err)
{
    struct vt_gguf *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    vt_status status = vt_map_open(path, &g->map, err);
    if (status == VT_OK) {
        struct cursor c = {g->map.p, g->map.len, 0, path};
        status = read_header(&c, g, err);
    }
    if (status != VT_OK) {
        vt_gguf_free(g);
        return status;
    }
    *out = g;
    return VT_OK;
}

void vt_gguf_free(struct vt_gguf *g)
{
    if (!g)
        return;
    vt_map_close(&g->map);
    free(g->kv);
    free(g->tensors);
    free(g);
}

const struct vt_gguf_kv *vt_gguf_find(const struct vt_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_kv; i++)
        if (vt_text_is(g->kv[i].key, key))
            return &g->kv[i];
    return NULL;
}

static bool is_integer(enum vt_gguf_type t)
{
    return t <= VT_GGUF_I32 || t == VT_GGUF_U64 || t == VT_GGUF_I64;
}

bool vt_gguf_int(const struct vt_gguf *g, const char *key, int64_t *out)
{
    const struct vt_gguf_kv *kv = vt_gguf_find(g, key);
    if (!kv || !is_integer(kv->type))
        return false;
    *out = kv->i;
    return true;
}

bool vt_gguf_num(const struct vt_gguf *g, const char *key, double *out)
{
    const struct vt_gguf_kv *kv = vt_gguf_find(g, key);
    if (!kv || !(kv->type == VT_GGUF_F32 || kv->type == VT_GGUF_F64 || is_integer(kv->type)))
        return false;
    *out = is_integer(kv->type) ? (double)kv->i : kv->f;
    return true;
}

bool vt_gguf_bool(const struct vt_gguf *g, const char *key, bool fallback)
{
    const struct vt_gguf_kv *kv = vt_gguf_find(g, key);
    return kv && kv->type == VT_GGUF_BOOL ? kv->i != 0 : fallback;
}

bool vt_gguf_text(const struct vt_gguf *g, const char *key, struct vt_text *out)
{
    const struct vt_gguf_kv *kv = vt_gguf_find(g, key);
    if (!kv || kv->type != VT_GGUF_STRING)
        return false;
    *out = kv->str;
    return true;
}

struct vt_text vt_gguf_next_str(const unsigned char **at)
{
    struct vt_text s;
    s.len = (size_t)load_le(*at, 8);
    s.p = (const char *)*at + 8;
    *at += 8 + s.len;
    return s;
}
