/* SPDX-License-Identifier: Apache-2.0
 *
 * check_run.h: one loaded kernel against one secret input set.
 */
#ifndef VT_EVAL_C_CHECK_RUN_H
#define VT_EVAL_C_CHECK_RUN_H

#include "eval/c/pool.h"
#include "eval/c/runner.h"
#include "eval/tier.h"

/* Calls r on set `set` (call: the rest of how; its plan and inputs are filled in here), then holds the outputs against
 * the truth of set `against`, which has the same sizes. *raw: how the call itself went. */
vt_status vt_check_run(struct vt_runner *r, const struct vt_pool_sets *pool, size_t set, size_t against,
                       const struct vt_outputs *outputs, struct vt_call_opts *call, struct vt_check *out,
                       struct vt_call_result *raw, vt_err *err) VT_MUST_USE;
/* Its second half: margins and elements of a call on set `set` that returned. */
void vt_check_outputs(const struct vt_pool_sets *pool, size_t set, size_t against, const unsigned char *out_map,
                      const struct vt_call_result *raw, struct vt_check *out);

#endif
