/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h: everything about a task that decides whether an answer is right: its arrays at a scale, secret inputs, the
 * truth with an error bound for every output element, and the comparison. The evaluator core (jail, build, timing) is
 * built on this file and never looks inside a task by itself.
 *
 * A check, step by step:
 *   vt_layout l;            vt_task_layout(task, "cpu", &l, err)      shapes, element counts, byte counts
 *   vt_inputs_fill(...)     one input set into caller's buffers        keyed: (secret, task, set, distribution)
 *   vt_truth_run(...)       truth and bound of that set's outputs      child process, cached program, deadline
 *   run the candidate on the same bytes
 *   vt_compare(...)         violations, worst error / bound, first differences
 *
 * Buffers are arrays of pointers indexed like the task's arrays: buf[i] holds l.array[i].bytes bytes. Entries of pure
 * outputs may be NULL for vt_inputs_fill and vt_truth_run.
 *
 * Threads: vt_task is immutable; vt_truth and its results may be used from several threads at once (one vt_truth_run
 * per thread); everything else is a pure function.
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
    VT_MAX_DIFFS = 5
};

enum vt_role { VT_IN, VT_OUT, VT_WEIGHT, VT_STATE };
enum vt_dtype { VT_F32, VT_I32, VT_I64, VT_U8 };
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
size_t vt_task_n_scalars(const vt_task *t);
const struct vt_task_scalar *vt_task_scalar(const vt_task *t, size_t i);
size_t vt_task_n_sizes(const vt_task *t);
const char *vt_task_size_name(const vt_task *t, size_t i);   /* in the order of the signature */
bool vt_task_has_scale(const vt_task *t, const char *scale); /* "cpu", "search", "full", "hidden" */
double vt_task_rtol(const vt_task *t);
double vt_task_atol(const vt_task *t);
double vt_task_k(const vt_task *t);
const char *vt_task_tuned(const vt_task *t);   /* NULL = none */
const char *vt_task_helpers(const vt_task *t); /* "" = none; stands before the function */
/* Number of input distributions worth visiting: the longest list among the arrays. Array a uses dist[d % n_dists]. */
int vt_task_n_dists(const vt_task *t);
/* Why a null candidate cannot be told from an honest one here ("half_inputs": reason), or NULL. */
const char *vt_task_blind(const vt_task *t, const char *null_name);

bool vt_role_is_input(enum vt_role r);  /* in, weight, state */
bool vt_role_is_output(enum vt_role r); /* out, state */
size_t vt_dtype_size(enum vt_dtype d);
const char *vt_dtype_c_name(enum vt_dtype d);    /* "float", "int", "long long", "unsigned char" */
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

/* ---- inputs (inputs.c) ---- */

/* Fills every input array of one set: a pure function of (key, task digest, scale, set, dist). Two sets with different
 * numbers share nothing. About 1 ns an element for uniform, 2 for normal. Weights get new values in each set, too. */
vt_status vt_inputs_fill(const vt_task *t, const char *scale, uint64_t key, uint64_t set, int dist, void *const buf[],
                         vt_err *err) VT_MUST_USE;
/* "x: normal, w: kaiming": what distribution index `dist` means for this task. Writes a NUL-terminated string. */
void vt_inputs_describe(const vt_task *t, int dist, char *out, size_t n);
bool vt_dist_is_known(const char *name, enum vt_dtype dtype);

/* ---- truth (truth.c): DECISIONS.md section 1 ---- */

typedef struct vt_truth vt_truth;
struct vt_truth_opts {
    const char *cxx;  /* NULL = $CXX or g++ */
    const char *dir;  /* folder for programs (kept, by content) and data files (removed at once); created; required */
    double timeout_s; /* of one run; 0 = 20 s. The compiler gets 60 s */
};
/* Compiles the body with `float` replaced by the value-and-error type, or finds the program of the same content.
 * EFORMAT with the compiler's first message when the body is not in the common subset of C and C++. */
vt_status vt_truth_new(vt_task *task, const struct vt_truth_opts *o, vt_truth **out, vt_err *err) VT_MUST_USE;
void vt_truth_free(vt_truth *t); /* NULL is allowed */

/* Expected values of one output array. f32 outputs with rule VT_BOUND have value and bound; all others have `exact`
 * integers (i32, i64, u8) or value with bound 0 (f32 with rule VT_EXACT). */
struct vt_expect_array {
    enum vt_dtype dtype;
    enum vt_compare_rule compare;
    int64_t n_elem;
    double *value; /* NULL for integer arrays; a value beyond the float range is stored as the infinity it becomes */
    double *bound;
    int64_t *exact; /* NULL for f32 arrays */
};
struct vt_expect {
    size_t n_arrays;
    struct vt_expect_array array[VT_TASK_MAX_ARRAYS]; /* pure inputs have n_elem 0 */
};
/* Runs the truth of one input set in a child process: ETIMEOUT at the deadline, EFORMAT when the task's text crashed.
 * Release with vt_expect_free. */
vt_status vt_truth_run(vt_truth *t, const char *scale, const void *const buf[], struct vt_expect *out,
                       vt_err *err) VT_MUST_USE;
void vt_expect_free(struct vt_expect *e); /* idempotent */

/* ---- comparison (compare.c) ---- */

struct vt_diff {
    size_t array;  /* index into the task's arrays */
    int64_t index; /* flat element index */
    double expected, got, bound;
};
struct vt_compare_result {
    int64_t n_checked, n_wrong; /* elements over all outputs */
    int64_t n_nan;              /* NaN where the truth is finite */
    double worst;               /* largest error / bound; infinity when an exact element differs */
    int n_diffs;
    struct vt_diff diff[VT_MAX_DIFFS]; /* the first differing elements, in order */
};
/* Compares every output in buf with the expectation; adds to nothing, overwrites *out. The test is !(error <= bound);
 * NaN is right only where the truth is NaN; infinities must agree in sign. */
void vt_compare(const struct vt_expect *e, const void *const buf[], struct vt_compare_result *out);
/* "y[3][17]: expected 0.25, got 0.5 (bound 1.2e-07)": one difference in words. */
void vt_diff_describe(const vt_task *t, const vt_layout *l, const struct vt_diff *d, char *out, size_t n);

/* ---- null candidates (null.c): what the checker must refuse ---- */

/* One body of C that cheats in one named way ("zeros", "copy_x", "half_inputs", "three_quarters", …); made from the
 * task's data, never by hand. `layout` gives the sizes of scratch arrays. */
struct vt_null {
    char name[48];
    char *body;
};
vt_status vt_null_list(const vt_task *t, const vt_layout *layout, struct vt_null **out, size_t *n,
                       vt_err *err) VT_MUST_USE;
void vt_null_free(struct vt_null *list, size_t n);

#endif
