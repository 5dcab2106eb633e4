/* SPDX-License-Identifier: Apache-2.0
 *
 * file_worker.h: one thread that does a policy's blocking work (files) in the order it was posted. The thread starts
 * with the first post.
 */
#ifndef VT_POLICY_FILE_WORKER_H
#define VT_POLICY_FILE_WORKER_H

#include <vegttt/err.h>

struct vt_worker;
vt_status vt_worker_new(struct vt_worker **out, vt_err *err) VT_MUST_USE;
/* fn(arg) runs on the worker's thread. */
vt_status vt_worker_post(struct vt_worker *w, void (*fn)(void *arg), void *arg, vt_err *err) VT_MUST_USE;
void vt_worker_free(struct vt_worker *w); /* after everything posted was done; NULL is allowed */

#endif
