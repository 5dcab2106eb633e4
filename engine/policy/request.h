/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h: what the files of the door share: requests (request.c), handles (identity.c, update.c) and the policy
 * itself (policy.c). Backends include policy_ops.h.
 */
#ifndef VT_POLICY_REQUEST_H
#define VT_POLICY_REQUEST_H

#include "policy/policy_ops.h"

/* A request with one reference, that of its run. */
vt_status vt_request_new(vt_policy *p, enum vt_request_kind kind, vt_policy_done *done, void *arg, vt_request **out,
                         vt_err *err) VT_MUST_USE;
/* Hands it over: from here on it ends through vt_request_finish. On failure it is gone, with what it holds. */
vt_status vt_request_submit(vt_request *r, vt_request **ticket, vt_err *err) VT_MUST_USE;
void vt_request_pin(vt_request *r);  /* one more reference: vt_request_release */
void vt_request_drop(vt_request *r); /* one that was not submitted, with what it holds */
/* Cancels every request and returns when all dones have. */
void vt_request_cancel_all(vt_policy *p);
/* run(r, run_arg) on a thread of its own, then done. */
vt_status vt_request_run_alone(enum vt_request_kind kind, vt_status (*run)(vt_request *r, void *run_arg, vt_err *err),
                               void *run_arg, vt_policy_done *done, void *arg, vt_request **ticket,
                               vt_err *err) VT_MUST_USE;

/* --- handles.c --- */

void vt_policy_ref(vt_policy *p);
void vt_policy_unref(vt_policy *p);
/* Frees what the backend keeps for handles that outlive their policy. */
void vt_weights_strip_all(vt_policy *p);
void vt_forward_strip_all(vt_policy *p);
vt_status vt_weights_check(const vt_policy *p, const vt_weights *w, const char *what, vt_err *err) VT_MUST_USE;
vt_status vt_forward_new(vt_policy *p, vt_weights *from, struct vt_train_seq *seqs, size_t n, bool agreement,
                         vt_forward **out, vt_err *err) VT_MUST_USE;
vt_forward *vt_forward_ref(vt_forward *f);
void vt_forward_unref(vt_forward *f);
/* A forward or a step is over. Policy's mutex held. */
void vt_forward_settle(vt_request *r, vt_status status, const vt_err *err);

#endif
