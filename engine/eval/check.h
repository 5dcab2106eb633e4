/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h: what a task asks for, as data: its arrays at a scale, how each input is distributed and how each output is
 * compared. Whoever makes inputs or compares outputs is a tier (tier.h), because a GPU does both where the data lie; it
 * reads the rules here and reports in the words of vt_compare_result. The rules are DECISIONS.md section 1.
 *
 * Buffers are arrays of pointers indexed like the task's arrays: buf[i] holds l.array[i].bytes bytes.
 *
 * Threads: vt_task is immutable and everything here is a pure function.
 */
#ifndef VT_EVAL_CHECK_H
#define VT_EVAL_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vegttt/task.h>

enum {
    VT_TASK_MAX_ARRAYS = 12,
    VT_TASK_MAX_DIMS = 8,
    VT_TASK_MAX_SCALARS = 12,
    VT_TASK_MAX_SIZES = 24,
    VT_TASK_MAX_DISTS = 12,
    VT_MAX_DIFFS = 5,
    VT_SCALE_SIZE = 128 /* bytes of a scale's text */
};
/* Wherever a scale is named, sizes can be written out instead: "=37,64", in the order of the signature. */
#define VT_SCALE_WRITTEN '='

enum vt_role { VT_IN, VT_OUT, VT_WEIGHT, VT_STATE };
enum vt_dtype { VT_F32, VT_I32, VT_I64, VT_U8, VT_F64, VT_I8, VT_I16, VT_U16, VT_U32, VT_U64 };
enum vt_compare_rule { VT_BOUND, VT_EXACT, VT_FIRST_INDEX };

/* ---- the task's parts; strings are lent for the task's lifetime ---- */

struct vt_task_array {
    const char *name;
    enum vt_role role;
    enum vt_dtype dtype;
    enum vt_compare_rule compare; /* of outputs; inputs have VT_EXACT (they must not change) */
    int n_dims, n_dists;
    const char *shape[VT_TASK_MAX_DIMS]; /* size expressions */
    const char *dist[VT_TASK_MAX_DISTS]; /* names from vt_dist_names; [0] is the benchmark's own */
};
struct vt_task_scalar {
    const char *name;
    bool is_int;
    double value;
};

size_t vt_task_n_arrays(const vt_task *t);
const struct vt_task_array *vt_task_array(const vt_task *t, size_t i);
/* A user's translation unit (task.h, `unit`), or NULL: the task is a body of its own. */
enum vt_unit_truth { VT_UNIT_TEXT, VT_UNIT_SPREAD };
enum { VT_UNIT_MAX_FLAGS = 24 };
struct vt_task_unit {
    const char *before, *head, *after, *entry; /* C text */
    const char *arguments, *result; /* of a call of the function from one with its head; result: NULL or the array */
    const char *declaration;        /* what a whole function stands under, or "" */
    enum vt_unit_truth truth;
    int n_flags; /* 0 = the evaluator's own */
    const char *flag[VT_UNIT_MAX_FLAGS];
};
const struct vt_task_unit *vt_task_unit(const vt_task *t);
size_t vt_task_n_scalars(const vt_task *t);
const struct vt_task_scalar *vt_task_scalar(const vt_task *t, size_t i);
size_t vt_task_n_sizes(const vt_task *t);
const char *vt_task_size_name(const vt_task *t, size_t i);   /* in the order of the signature */
bool vt_task_has_scale(const vt_task *t, const char *scale); /* by name: "cpu", "search", "full", "hidden" */
/* A scale for people: its name, or "n = 37, m = 64" where the sizes are written out. */
void vt_scale_describe(const vt_task *t, const char *scale, char *out, size_t n);
double vt_task_rtol(const vt_task *t);
double vt_task_atol(const vt_task *t);
double vt_task_k(const vt_task *t);
const char *vt_task_tuned(const vt_task *t);   /* NULL = none */
const char *vt_task_helpers(const vt_task *t); /* "" = none; stands before the function */
const char *vt_task_cuda(const vt_task *t); /* CUDA text with its launch plan; NULL = none but what follows from body */
const char *vt_task_cuda_tuned(const vt_task *t); /* NULL = none */
const char *
vt_task_torch(const vt_task *t); /* of a KernelBench problem file, which has no arrays: its text; else NULL */
/* Number of input distributions worth visiting: the longest list among the arrays. Array a uses dist[d % n_dists]. */
int vt_task_n_dists(const vt_task *t);
/* The array's start is a multiple of this: what the task promises, or the size of an element. */
size_t vt_task_align(const vt_task *t, size_t array);
/* Why a null candidate cannot be told from an honest one here ("half_inputs": reason), or NULL. */
const char *vt_task_blind(const vt_task *t, const char *null_name);

bool vt_role_is_input(enum vt_role r);  /* in, weight, state */
bool vt_role_is_output(enum vt_role r); /* out, state */
size_t vt_dtype_size(enum vt_dtype d);
bool vt_dtype_is_float(enum vt_dtype d);                          /* f32, f64 */
int64_t vt_dtype_at(const void *buf, enum vt_dtype d, int64_t i); /* of an integer array; u64 as the same bits */
const char *vt_dtype_c_name(enum vt_dtype d);    /* "float", "int", "long long", "unsigned char", … */
const char *vt_task_dtype_name(enum vt_dtype d); /* "f32" */

/* ---- a task at a scale ---- */

struct vt_layout_array {
    int n_dims;
    int64_t shape[VT_TASK_MAX_DIMS];
    int64_t n_elem; /* > 0 */
    int64_t row;    /* length of the last dimension: the row of atol * max|v of the row| */
    int64_t block;  /* contiguous elements that structured distributions treat as one row */
    size_t bytes;
};
typedef struct vt_layout {
    size_t n_arrays, n_sizes;
    struct vt_layout_array array[VT_TASK_MAX_ARRAYS];
    int32_t size[VT_TASK_MAX_SIZES]; /* values of the size arguments, in the order of the signature */
    int64_t bytes_moved, flops;      /* the task's `bytes` and `flops` */
    size_t total_bytes;              /* all arrays */
} vt_layout;
/* EINVAL for an unknown scale, ELIMIT for overflow or a size beyond int. */
vt_status vt_task_layout(const vt_task *t, const char *scale, vt_layout *out, vt_err *err) VT_MUST_USE;

/* ---- comparison ---- */

struct vt_diff {
    size_t array;  /* index into the task's arrays */
    int64_t index; /* flat element index */
    double expected, got, bound;
};
/* An element is wrong when !(error <= bound) or an integer differs; NaN is right only where the truth is NaN, and
 * infinities must agree in sign. */
struct vt_compare_result {
    int64_t n_checked, n_wrong; /* elements over all outputs */
    int64_t n_nan;              /* NaN where the truth is finite */
    bool is_beyond;             /* of the truth: a value of it is no finite number */
    double worst;               /* largest error / bound; infinity when an exact element differs */
    int n_diffs;
    struct vt_diff diff[VT_MAX_DIFFS]; /* the first differing elements, in order */
};
/* "y[3][17]: expected 0.25, got 0.5 (bound 1.2e-07)": one difference in words. */
void vt_diff_describe(const vt_task *t, const vt_layout *l, const struct vt_diff *d, char *out, size_t n);

#endif
