/* SPDX-License-Identifier: Apache-2.0
 *
 * expr.h: size expressions of tasks and launch plans ("n*m + ceil_div(k, 4)"), evaluated over named sizes. This is the
 * only parser of them. Values are non-negative int64: a negative difference, a division by zero, an overflow, an
 * unknown name and anything nested deeper than VT_EXPR_MAX_DEPTH are errors that quote the expression.
 */
#ifndef VT_EVAL_EXPR_H
#define VT_EVAL_EXPR_H

#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

enum { VT_EXPR_MAX_DEPTH = 32 };

struct vt_expr_name {
    const char *name;
    int64_t value;
};

vt_status vt_expr_eval(const char *text, const struct vt_expr_name *names, size_t n_names, int64_t *out,
                       vt_err *err) VT_MUST_USE;

#endif
