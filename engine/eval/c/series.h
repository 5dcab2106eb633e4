/* SPDX-License-Identifier: Apache-2.0
 *
 * series.h: several calls in one process, each compared.
 */
#ifndef VT_EVAL_C_SERIES_H
#define VT_EVAL_C_SERIES_H

#include "eval/c/pool.h"
#include "eval/c/runner.h"
#include "eval/tier.h"

/* Fills out[0] to out[*n_done - 1]: right ones and, when that is not all, the first that is not, of which *raw tells
 * more. `o` gives core, lease and output file. */
vt_status vt_series_run(struct vt_runner *r, const struct vt_pool_sets *pool, const struct vt_call *call, size_t n,
                        const struct vt_outputs *outputs, struct vt_call_opts *o, struct vt_check *out, size_t *n_done,
                        struct vt_call_result *raw, vt_err *err) VT_MUST_USE;

#endif
