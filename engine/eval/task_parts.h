/* SPDX-License-Identifier: Apache-2.0
 *
 * task_parts.h: the inside of vt_task, shared by the files of engine/eval that own a piece of it (task.c parses,
 * layout.c evaluates shapes, inputs.c fills arrays). All strings point into `doc`, which the task owns. After
 * vt_task_parse returned, nothing here changes but the reference count.
 */
#ifndef VT_EVAL_TASK_PARTS_H
#define VT_EVAL_TASK_PARTS_H

#include "base/json.h"
#include "base/sha256.h"
#include "eval/check.h"
#include "eval/expr.h"
#include <stdatomic.h>

enum { VT_TASK_MAX_SCALES = 8, VT_TASK_MAX_WHERE = 8, VT_WHERE_SIDE = 96 };

enum vt_keep { VT_KEEP_ALL, VT_KEEP_UPPER, VT_KEEP_LOWER, VT_KEEP_SYMMETRIC };

/* What inputs.c needs to know about an array beyond its public part; expressions, NULL when absent. */
struct vt_array_rules {
    const char *block, *fan_in, *max;
    enum vt_keep keep;
    bool has_range;
    double lo, hi; /* of integers: both included */
    double value;  /* of the distribution "value" */
    size_t align; /* bytes that the array's start is promised to be a multiple of; the element's size when no more is */
};

/* Sizes that are drawn lie in their range and satisfy every condition. */
struct vt_task_range {
    int32_t lo, hi;
};
enum vt_where_op { VT_WHERE_GE, VT_WHERE_LE, VT_WHERE_EQ, VT_WHERE_NE, VT_WHERE_GT, VT_WHERE_LT };
struct vt_task_where {
    char left[VT_WHERE_SIDE], right[VT_WHERE_SIDE]; /* size expressions */
    enum vt_where_op op;
};

struct vt_task_scale {
    const char *name;
    struct vt_expr_name size[VT_TASK_MAX_SIZES]; /* in the order of the signature */
};

struct vt_task {
    atomic_int refs;
    vt_json *doc;
    char *json, *signature;
    char digest[VT_SHA256_HEX];
    int id, level;
    const char *name, *title, *family, *body, *tuned, *helpers, *bytes, *flops;
    const char *cuda, *cuda_tuned; /* NULL = none */
    const char *torch;             /* NULL = it is no KernelBench problem file */
    double rtol, atol, k;
    bool has_unit;
    struct vt_task_unit unit;
    struct vt_task_array array[VT_TASK_MAX_ARRAYS];
    struct vt_array_rules rules[VT_TASK_MAX_ARRAYS];
    struct vt_task_scalar scalar[VT_TASK_MAX_SCALARS];
    struct vt_task_scale scale[VT_TASK_MAX_SCALES];
    struct vt_task_range range[VT_TASK_MAX_SIZES]; /* in the order of the signature */
    struct vt_task_where where[VT_TASK_MAX_WHERE];
    size_t n_arrays, n_scalars, n_sizes, n_scales, n_where;
};

/* The layout at explicit sizes, in the order of the signature, each from 1. */
vt_status vt_task_layout_at(const vt_task *t, const int32_t *size, vt_layout *out, vt_err *err) VT_MUST_USE;
/* Its outputs are sums over windows of weighted inputs, for which there are transformed forms. */
bool vt_task_is_convolution(const vt_task *t);
/* Do these sizes satisfy every condition? One whose sides cannot be evaluated does not hold. */
bool vt_task_where_holds(const vt_task *t, const int32_t *size);

#endif
