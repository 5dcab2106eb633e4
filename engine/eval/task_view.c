/* SPDX-License-Identifier: Apache-2.0
 *
 * task_view.c: reading a parsed task: its parts, the names of roles and types, and its layout at a scale. Element and
 * byte counts are computed with overflow checks, so a hostile shape ends here as ELIMIT and never in an allocation.
 */
#include "base/alloc.h"
#include "eval/task_parts.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool vt_role_is_input(enum vt_role r)
{
    return r != VT_OUT;
}

bool vt_role_is_output(enum vt_role r)
{
    return r == VT_OUT || r == VT_STATE;
}

size_t vt_dtype_size(enum vt_dtype d)
{
    static const unsigned char sizes[] = {[VT_F32] = 4, [VT_I32] = 4, [VT_I64] = 8, [VT_U8] = 1,  [VT_F64] = 8,
                                          [VT_I8] = 1,  [VT_I16] = 2, [VT_U16] = 2, [VT_U32] = 4, [VT_U64] = 8};
    return sizes[d];
}

bool vt_dtype_is_float(enum vt_dtype d)
{
    return d == VT_F32 || d == VT_F64;
}

int64_t vt_dtype_at(const void *buf, enum vt_dtype d, int64_t i)
{
    switch (d) {
    case VT_U8:
        return ((const uint8_t *)buf)[i];
    case VT_I8:
        return ((const int8_t *)buf)[i];
    case VT_I16:
        return ((const int16_t *)buf)[i];
    case VT_U16:
        return ((const uint16_t *)buf)[i];
    case VT_I32:
        return ((const int32_t *)buf)[i];
    case VT_U32:
        return ((const uint32_t *)buf)[i];
    case VT_I64:
    case VT_U64:
        return ((const int64_t *)buf)[i];
    case VT_F32:
    case VT_F64:
        break;
    }
    return 0;
}

const char *vt_dtype_c_name(enum vt_dtype d)
{
    static const char *const names[] = {
        "float",       "int",   "long long",      "unsigned char", "double",
        "signed char", "short", "unsigned short", "unsigned",      "unsigned long long"};
    return names[d];
}

const char *vt_task_dtype_name(enum vt_dtype d)
{
    static const char *const names[] = {"f32", "i32", "i64", "u8", "f64", "i8", "i16", "u16", "u32", "u64"};
    return names[d];
}

int vt_task_id(const vt_task *t)
{
    return t->id;
}

int vt_task_level(const vt_task *t)
{
    return t->level;
}

const char *vt_task_name(const vt_task *t)
{
    return t->name;
}

const char *vt_task_title(const vt_task *t)
{
    return t->title;
}

const char *vt_task_family(const vt_task *t)
{
    return t->family;
}

const char *vt_task_digest(const vt_task *t)
{
    return t->digest;
}

const char *vt_task_json(const vt_task *t)
{
    return t->json;
}

const char *vt_task_body(const vt_task *t)
{
    return t->body;
}

const char *vt_task_signature(const vt_task *t)
{
    return t->signature;
}

const char *vt_task_tuned(const vt_task *t)
{
    return t->tuned;
}

const char *vt_task_helpers(const vt_task *t)
{
    return t->helpers;
}

const char *vt_task_cuda(const vt_task *t)
{
    return t->cuda;
}

const char *vt_task_torch(const vt_task *t)
{
    return t->torch;
}

const char *vt_task_cuda_tuned(const vt_task *t)
{
    return t->cuda_tuned;
}

double vt_task_rtol(const vt_task *t)
{
    return t->rtol;
}

double vt_task_atol(const vt_task *t)
{
    return t->atol;
}

double vt_task_k(const vt_task *t)
{
    return t->k;
}

size_t vt_task_n_arrays(const vt_task *t)
{
    return t->n_arrays;
}

const struct vt_task_array *vt_task_array(const vt_task *t, size_t i)
{
    return &t->array[i];
}

const struct vt_task_unit *vt_task_unit(const vt_task *t)
{
    return t->has_unit ? &t->unit : NULL;
}

size_t vt_task_n_scalars(const vt_task *t)
{
    return t->n_scalars;
}

const struct vt_task_scalar *vt_task_scalar(const vt_task *t, size_t i)
{
    return &t->scalar[i];
}

size_t vt_task_n_sizes(const vt_task *t)
{
    return t->n_sizes;
}

const char *vt_task_size_name(const vt_task *t, size_t i)
{
    return t->scale[0].size[i].name;
}

size_t vt_task_align(const vt_task *t, size_t array)
{
    return t->rules[array].align;
}

const char *vt_task_blind(const vt_task *t, const char *null_name)
{
    return vt_json_str(vt_json_get(vt_json_get(t->doc, "blind"), null_name), NULL);
}

int vt_task_n_dists(const vt_task *t)
{
    int n = 1;
    for (size_t i = 0; i < t->n_arrays; i++)
        n = t->array[i].n_dists > n ? t->array[i].n_dists : n;
    return n;
}

bool vt_task_has_scale(const vt_task *t, const char *scale)
{
    for (size_t i = 0; i < t->n_scales; i++)
        if (strcmp(t->scale[i].name, scale) == 0)
            return true;
    return false;
}

/* ---- sizes ---- */

static void name_sizes(const vt_task *t, const int32_t *size, struct vt_expr_name *out)
{
    for (size_t i = 0; i < t->n_sizes; i++)
        out[i] = (struct vt_expr_name){t->scale[0].size[i].name, size[i]};
}

static bool read_written(const vt_task *t, const char *text, int32_t *size)
{
    const char *p = text;
    for (size_t i = 0; i < t->n_sizes; i++) {
        char *end;
        long v = p[0] && p[1] >= '0' && p[1] <= '9' ? strtol(p + 1, &end, 10) : -1;
        if (*p != (i ? ',' : VT_SCALE_WRITTEN) || v < t->range[i].lo || v > INT32_MAX)
            return false;
        size[i] = (int32_t)v;
        p = end;
    }
    return *p == '\0';
}

/* EINVAL lists the scales there are. */
static vt_status sizes_of(const vt_task *t, const char *scale, int32_t *size, vt_err *err)
{
    if (scale[0] == VT_SCALE_WRITTEN && read_written(t, scale, size))
        return VT_OK;
    for (size_t i = 0; i < t->n_scales; i++)
        if (strcmp(t->scale[i].name, scale) == 0) {
            for (size_t k = 0; k < t->n_sizes; k++)
                size[k] = (int32_t)t->scale[i].size[k].value;
            return VT_OK;
        }
    return vt_fail(err, VT_EINVAL, "task %s has no scale \"%.40s\"; \"cpu\" always exists", t->name, scale);
}

void vt_scale_describe(const vt_task *t, const char *scale, char *out, size_t n)
{
    int32_t size[VT_TASK_MAX_SIZES];
    if (scale[0] != VT_SCALE_WRITTEN || !read_written(t, scale, size)) {
        snprintf(out, n, "%s", scale);
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < t->n_sizes && at < n; i++) {
        int w = snprintf(out + at, n - at, "%s%s = %d", i ? ", " : "", t->scale[0].size[i].name, size[i]);
        at += w > 0 ? (size_t)w : 0;
    }
}

vt_status vt_task_size(const vt_task *t, const char *scale, const char *expr, int64_t *out, vt_err *err)
{
    int32_t size[VT_TASK_MAX_SIZES];
    struct vt_expr_name names[VT_TASK_MAX_SIZES];
    VT_TRY(sizes_of(t, scale, size, err));
    name_sizes(t, size, names);
    return vt_expr_eval(expr, names, t->n_sizes, out, err);
}

bool vt_task_where_holds(const vt_task *t, const int32_t *size)
{
    struct vt_expr_name names[VT_TASK_MAX_SIZES];
    name_sizes(t, size, names);
    for (size_t i = 0; i < t->n_where; i++) {
        const struct vt_task_where *w = &t->where[i];
        int64_t l, r;
        if (vt_expr_eval(w->left, names, t->n_sizes, &l, NULL) != VT_OK ||
            vt_expr_eval(w->right, names, t->n_sizes, &r, NULL) != VT_OK)
            return false;
        const bool holds[] = {[VT_WHERE_GE] = l >= r, [VT_WHERE_LE] = l <= r, [VT_WHERE_EQ] = l == r,
                              [VT_WHERE_NE] = l != r, [VT_WHERE_GT] = l > r,  [VT_WHERE_LT] = l < r};
        if (!holds[w->op])
            return false;
    }
    return true;
}

static vt_status layout_array(const vt_task *t, size_t i, const struct vt_expr_name *size, struct vt_layout_array *l,
                              vt_err *err)
{
    const struct vt_task_array *a = &t->array[i];
    l->n_dims = a->n_dims;
    l->n_elem = 1;
    for (int d = 0; d < a->n_dims; d++) {
        VT_TRY(vt_expr_eval(a->shape[d], size, t->n_sizes, &l->shape[d], err));
        if (l->shape[d] < 0 || (l->shape[d] == 0 && !t->has_unit))
            return vt_fail(err, VT_EFORMAT, "array \"%s\": dimension %d is %lld", a->name, d, (long long)l->shape[d]);
        if (__builtin_mul_overflow(l->n_elem, l->shape[d], &l->n_elem))
            return vt_fail(err, VT_ELIMIT, "array \"%s\" is too large", a->name);
    }
    if (l->n_elem > INT64_MAX / 16 || !vt_mul_size((size_t)l->n_elem, vt_dtype_size(a->dtype), &l->bytes))
        return vt_fail(err, VT_ELIMIT, "array \"%s\" is too large", a->name);
    l->row = l->block = l->shape[a->n_dims - 1];
    if (t->rules[i].block)
        VT_TRY(vt_expr_eval(t->rules[i].block, size, t->n_sizes, &l->block, err));
    if (l->n_elem == 0)
        l->row = l->block = 1;
    if (t->rules[i].max && l->n_elem > 0) {
        int64_t max;
        VT_TRY(vt_expr_eval(t->rules[i].max, size, t->n_sizes, &max, err));
        if (max < 1)
            return vt_fail(err, VT_EFORMAT, "array \"%s\": no index lies below %lld", a->name, (long long)max);
    }
    if (l->block <= 0 || l->n_elem % l->block != 0)
        return vt_fail(err, VT_EFORMAT, "array \"%s\": its block does not divide it", a->name);
    return VT_OK;
}

vt_status vt_task_layout_at(const vt_task *t, const int32_t *size, vt_layout *out, vt_err *err)
{
    struct vt_expr_name names[VT_TASK_MAX_SIZES];
    memset(out, 0, sizeof *out);
    out->n_arrays = t->n_arrays;
    out->n_sizes = t->n_sizes;
    memcpy(out->size, size, sizeof *size * t->n_sizes);
    name_sizes(t, size, names);
    for (size_t i = 0; i < t->n_arrays; i++) {
        VT_TRY(layout_array(t, i, names, &out->array[i], err));
        if (!vt_add_size(out->total_bytes, out->array[i].bytes, &out->total_bytes))
            return vt_fail(err, VT_ELIMIT, "the arrays are too large");
    }
    VT_TRY(vt_expr_eval(t->bytes, names, t->n_sizes, &out->bytes_moved, err));
    return vt_expr_eval(t->flops, names, t->n_sizes, &out->flops, err);
}

vt_status vt_task_layout(const vt_task *t, const char *scale, vt_layout *out, vt_err *err)
{
    int32_t size[VT_TASK_MAX_SIZES];
    VT_TRY(sizes_of(t, scale, size, err));
    vt_status s = vt_task_layout_at(t, size, out, err);
    if (s != VT_OK && err)
        vt_err_context(err, "scale %.60s", scale);
    return s;
}

void vt_diff_describe(const vt_task *t, const vt_layout *l, const struct vt_diff *d, char *out, size_t n)
{
    const struct vt_task_array *a = vt_task_array(t, d->array);
    const struct vt_layout_array *la = &l->array[d->array];
    char where[VT_TASK_MAX_DIMS * 24];
    size_t at = 0;
    int64_t rest = d->index, inner = la->n_elem;
    for (int i = 0; i < la->n_dims; i++) {
        inner /= la->shape[i];
        at += (size_t)snprintf(where + at, sizeof where - at, "[%lld]", (long long)(rest / inner));
        rest %= inner;
    }
    if (vt_dtype_is_float(a->dtype))
        snprintf(out, n, "%s%s: expected %.*g, got %.*g (bound %.2g)", a->name, where, a->dtype == VT_F32 ? 9 : 17,
                 d->expected, a->dtype == VT_F32 ? 9 : 17, d->got, d->bound);
    else
        snprintf(out, n, "%s%s: expected %.0f, got %.0f%s", a->name, where, d->expected, d->got,
                 a->compare == VT_FIRST_INDEX ? " (the first index counts on ties)" : "");
}

bool vt_task_is_convolution(const vt_task *t)
{
    return strcmp(t->family, "convolution") == 0;
}
