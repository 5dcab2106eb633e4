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

enum { VT_TASK_MAX_SCALES = 8 };

enum vt_keep { VT_KEEP_ALL, VT_KEEP_UPPER, VT_KEEP_LOWER, VT_KEEP_SYMMETRIC };

/* What inputs.c needs to know about an array beyond its public part; expressions, NULL when absent. */
struct vt_array_rules {
    const char *block, *fan_in, *max;
    enum vt_keep keep;
    bool has_range;
    double lo, hi; /* of integers: both included */
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
    double rtol, atol, k;
    bool has_unit;
    struct vt_task_unit unit;
    struct vt_task_array array[VT_TASK_MAX_ARRAYS];
    struct vt_array_rules rules[VT_TASK_MAX_ARRAYS];
    struct vt_task_scalar scalar[VT_TASK_MAX_SCALARS];
    struct vt_task_scale scale[VT_TASK_MAX_SCALES];
    size_t n_arrays, n_scalars, n_sizes, n_scales;
};

#endif
