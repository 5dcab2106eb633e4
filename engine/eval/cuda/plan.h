/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: the launch plan of a CUDA answer (DECISIONS.md section 2): which kernels are launched, in which order, on
 * which grids, with which arguments, and what scratch memory they need. A candidate of the cuda tier has no host code;
 * these comment lines of its text stand in for it:
 *
 *   // scratch NAME bytes(e)
 *   // launch NAME grid(e,e,e) block(e,e,e) smem(e) args(a,b,n)
 *
 * e is a size expression (eval/expr.h) over the task's sizes; trailing members of grid and block are 1 and smem is 0
 * where they are left out. An argument is an array of the task, a scratch, a size or a scalar, by name. The lines are
 * taken in order; a call is all launches, one after another. Whoever launches (the runner) and whoever judges the text
 * (the tier) read plans with the functions here.
 */
#ifndef VT_EVAL_CUDA_PLAN_H
#define VT_EVAL_CUDA_PLAN_H

#include "eval/check.h"

enum {
    VT_PLAN_MAX_LAUNCHES = 64,
    VT_PLAN_MAX_SCRATCH = 8,
    VT_PLAN_MAX_ARGS = 48,
    VT_PLAN_MAX_SMEM = 227 * 1024,
    VT_PLAN_NAME = 64
};

enum vt_plan_arg_kind { VT_ARG_ARRAY, VT_ARG_SCRATCH, VT_ARG_SIZE, VT_ARG_SCALAR };
struct vt_plan_arg {
    enum vt_plan_arg_kind kind;
    unsigned index; /* among the task's arrays, the plan's scratches, the task's sizes or scalars */
};
struct vt_plan_launch {
    const char *kernel, *grid[3], *block[3], *smem; /* expressions; NULL = 1 (smem: 0) */
    unsigned line;                                  /* of the source, from 1 */
    unsigned n_args;
    struct vt_plan_arg arg[VT_PLAN_MAX_ARGS];
};
struct vt_launch_plan {
    char *text; /* what the strings point into */
    unsigned n_launches, n_scratch;
    struct vt_plan_launch launch[VT_PLAN_MAX_LAUNCHES];
    struct {
        const char *name, *bytes;
    } scratch[VT_PLAN_MAX_SCRATCH];
};
/* Reads the plan off a source. What is wrong with it goes to why, a sentence ("" = nothing); ENOMEM is the only
 * failure. Freed with vt_launch_plan_free in every case. */
vt_status vt_launch_plan_read(const vt_task *t, const char *source, size_t len, struct vt_launch_plan *out,
                              char why[256], vt_err *err) VT_MUST_USE;
void vt_launch_plan_free(struct vt_launch_plan *p);

/* The plan at a scale of its task: numbers. */
struct vt_launch_sizes {
    unsigned grid[3], block[3], smem;
};
struct vt_plan_sizes {
    struct vt_launch_sizes launch[VT_PLAN_MAX_LAUNCHES];
    uint64_t scratch[VT_PLAN_MAX_SCRATCH], scratch_total;
};
/* False with why: a grid, a block or an amount of memory that no device has, or an expression with no value. */
bool vt_launch_plan_at(const struct vt_launch_plan *p, const vt_task *t, const char *scale, struct vt_plan_sizes *out,
                       char why[256]);

#endif
