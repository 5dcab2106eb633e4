/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.h: what of the evaluator the public header (vegttt/eval.h) does not show.
 *
 * A vt_eval is a door: the evaluator of this machine (here.c), or one whose judges work elsewhere (farm/ask.c). Each
 * begins its own struct with `struct vt_eval`.
 */
#ifndef VT_EVAL_EVAL_H
#define VT_EVAL_EVAL_H

#include "eval/tier.h"

/* As the functions of the public header say. */
struct vt_eval_ops {
    void (*close)(vt_eval *e);
    vt_status (*submit)(vt_eval *e, const struct vt_eval_request *r, vt_eval_done *done, void *arg, vt_err *err);
    vt_status (*key)(vt_eval *e, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err);
    void (*cancel)(vt_eval *e, void *arg);
    void (*cancel_all)(vt_eval *e);
    size_t (*pending)(vt_eval *e);
    const char *(*version)(const vt_eval *e);
    const char *(*machine)(const vt_eval *e);
};
struct vt_eval {
    const struct vt_eval_ops *ops;
};

/* vt_eval_open over another table of tiers. */
vt_status vt_eval_open_tiers(const struct vt_eval_opts *o, const struct vt_tier_ops *const *table, vt_eval **out,
                             vt_err *err) VT_MUST_USE;

/* What makes the verdicts of two evaluators comparable and their keys equal. */
struct vt_eval_class {
    const char *tier, *scale; /* of requests that name none */
    const char *evaluator, *toolchain, *machine;
};
/* Of an evaluator of this machine; lent for its lifetime. EINVAL: its judges are elsewhere. */
vt_status vt_eval_class_of(const vt_eval *e, struct vt_eval_class *out, vt_err *err) VT_MUST_USE;
/* The key that an evaluator of this class gives a request; none need be open. EUNSUPPORTED for another tier. */
vt_status vt_eval_class_key(const struct vt_eval_class *c, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE],
                            vt_err *err) VT_MUST_USE;
/* The public verdict that a record tells of: its numbers and its status; feedback and json are NULL. EFORMAT: it is no
 * record of a verdict. */
vt_status vt_record_verdict(const vt_json *record, vt_verdict *out, vt_err *err) VT_MUST_USE;

#endif
