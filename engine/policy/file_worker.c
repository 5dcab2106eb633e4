/* SPDX-License-Identifier: Apache-2.0
 *
 * file_worker.c: a queue, a thread and a condition. Freeing lets the queue run dry: whoever wants that to be quick has
 * its work look at its own mark of being cancelled.
 */
#include "policy/file_worker.h"
#include "base/alloc.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct item {
    struct item *next;
    void (*fn)(void *arg);
    void *arg;
};

struct vt_worker {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_t thread;
    bool has_thread, is_ending;
    struct item *first, **last;
};

vt_status vt_worker_new(struct vt_worker **out, vt_err *err)
{
    struct vt_worker *w = vt_alloc(sizeof *w);

    if (!w)
        return vt_fail(err, VT_ENOMEM, "out of memory for a policy's worker");
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    w->last = &w->first;
    *out = w;
    return VT_OK;
}

static void *run(void *arg)
{
    struct vt_worker *w = arg;

    pthread_mutex_lock(&w->mutex);
    for (;;) {
        struct item *item = w->first;

        if (!item && w->is_ending)
            break;
        if (!item) {
            pthread_cond_wait(&w->cond, &w->mutex);
            continue;
        }
        w->first = item->next;
        if (!w->first)
            w->last = &w->first;
        pthread_mutex_unlock(&w->mutex);
        item->fn(item->arg);
        free(item);
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

vt_status vt_worker_post(struct vt_worker *w, void (*fn)(void *arg), void *arg, vt_err *err)
{
    struct item *item = vt_alloc(sizeof *item);
    bool is_started;

    if (!item)
        return vt_fail(err, VT_ENOMEM, "out of memory for a policy's file work");
    item->fn = fn;
    item->arg = arg;
    pthread_mutex_lock(&w->mutex);
    is_started = w->has_thread || pthread_create(&w->thread, NULL, run, w) == 0;
    if (is_started) {
        w->has_thread = true;
        *w->last = item;
        w->last = &item->next;
        pthread_cond_signal(&w->cond);
    }
    pthread_mutex_unlock(&w->mutex);
    if (is_started)
        return VT_OK;
    free(item);
    return vt_fail(err, VT_ENOMEM, "cannot start a thread for a policy's file work");
}

void vt_worker_free(struct vt_worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->is_ending = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
