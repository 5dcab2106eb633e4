/* SPDX-License-Identifier: Apache-2.0
 *
 * mail.c: a mutex, a condition and what was delivered. The error is copied on both ways, since the callback's lives
 * only as long as the callback.
 */
#include "base/mail.h"

void vt_mail_deliver(void *arg, vt_status status, const vt_err *err)
{
    struct vt_mail *m = arg;
    pthread_mutex_lock(&m->mutex);
    m->is_there = true;
    m->status = status;
    if (status != VT_OK)
        m->err = *err;
    pthread_cond_signal(&m->cond);
    pthread_mutex_unlock(&m->mutex);
}

vt_status vt_mail_wait(struct vt_mail *m, vt_err *err)
{
    pthread_mutex_lock(&m->mutex);
    while (!m->is_there)
        pthread_cond_wait(&m->cond, &m->mutex);
    m->is_there = false;
    vt_status status = m->status;
    if (status != VT_OK && err)
        *err = m->err;
    pthread_mutex_unlock(&m->mutex);
    return status;
}
