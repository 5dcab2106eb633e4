/* SPDX-License-Identifier: Apache-2.0
 *
 * mail.h: waiting for one asynchronous call. Engine calls end by a callback on a thread of theirs; a caller with
 * nothing else to do (a bench, a test) gives vt_mail_deliver with a mail as its argument and waits for it.
 *
 *   struct vt_mail mail = VT_MAIL;
 *   VT_TRY(vt_policy_sample(policy, &request, vt_mail_deliver, &mail, err));
 *   VT_TRY(vt_mail_wait(&mail, err));
 *
 * One call at a time; the mail may serve the next one once it was waited for.
 */
#ifndef VT_BASE_MAIL_H
#define VT_BASE_MAIL_H

#include <pthread.h>
#include <stdbool.h>
#include <vegttt/err.h>

struct vt_mail {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_there;
    vt_status status;
    vt_err err;
};
#define VT_MAIL                                                                                                        \
    {                                                                                                                  \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER                                           \
    }

/* A done callback: arg is the mail; err may be NULL when status is VT_OK. */
void vt_mail_deliver(void *arg, vt_status status, const vt_err *err);
/* The call's status and, when it failed, its error. */
vt_status vt_mail_wait(struct vt_mail *m, vt_err *err) VT_MUST_USE;

#endif
