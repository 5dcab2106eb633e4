/* SPDX-License-Identifier: Apache-2.0
 *
 * line.h: one open tier with its queue: build stations, lanes, and the requests on their way through them.
 */
#ifndef VT_EVAL_LINE_H
#define VT_EVAL_LINE_H

#include "eval/judge.h"

struct vt_line;
struct vt_line_opts {
    const struct vt_tier_ops *ops;
    struct vt_tier_opts tier;
    vt_content *store; /* NULL = no cache */
    uint64_t secret;
    int n_build; /* 0 = as many as make sense */
};
/* Returns when the first build station works. */
vt_status vt_line_open(const struct vt_line_opts *o, struct vt_line **out, vt_err *err) VT_MUST_USE;
/* Cancels what is queued, ends what runs; every done has been called when it returns. Idempotent. */
void vt_line_stop(struct vt_line *l);
void vt_line_close(struct vt_line *l); /* stops it; NULL is allowed */
/* ECANCELLED once stopping began: a request made by a done then would be nobody's. */
vt_status vt_line_submit(struct vt_line *l, const struct vt_eval_request *r, vt_eval_done *done, void *arg,
                         vt_err *err) VT_MUST_USE;
/* Withdraws the request with this argument (vt_eval_cancel); false: it is not here. */
bool vt_line_cancel(struct vt_line *l, const void *arg);
void vt_line_cancel_queued(struct vt_line *l);
vt_status vt_line_key(const struct vt_line *l, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE],
                      vt_err *err) VT_MUST_USE;
size_t vt_line_pending(const struct vt_line *l);
const struct vt_lab *vt_line_lab(const struct vt_line *l);

#endif
