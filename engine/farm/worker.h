/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.h: somebody who judges what stands in a queue (queue.h), with an evaluator of this machine. It may be killed
 * at any instant: what it held is judged by another one once its lease has run out.
 *
 * Everything here runs on the loop's thread, callbacks included.
 */
#ifndef VT_FARM_WORKER_H
#define VT_FARM_WORKER_H

#include "farm/queue.h"
#include "farm/serve.h"

struct vt_farm_worker_count {
    size_t n_taken;      /* jobs */
    size_t n_judged;     /* answers with a verdict that were written */
    size_t n_refused;    /* answers with an error */
    size_t n_known;      /* had their answer already */
    size_t n_released;   /* given back, for others */
    size_t n_taken_over; /* of n_taken: from workers that were dead */
};

typedef struct vt_farm_worker vt_farm_worker;
struct vt_farm_worker_opts {
    vt_loop *loop;
    const struct vt_redis_address *address; /* outlives the worker */
    struct vt_eval_class class;             /* lent for the worker's life */
    struct vt_farm_judge judge;
    vt_status (*key)(void *arg, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err);
    int max_in_flight; /* jobs held at once; 0 = two more than there are cores */
    double lease_s;    /* how long others wait before they take what a silent worker held; 0 = 30 */
    double grace_s;    /* how long one that was stopped waits for what it judges; 0 = 20 */
    /* Something that people should know: connected, a connection lost, a job taken over. */
    void (*note)(void *arg, const char *sentence);
    /* Stopped and everything delivered or given back, or (status) the queue cannot be used. */
    void (*ended)(void *arg, vt_status status, const vt_err *err, const struct vt_farm_worker_count *count);
    void *arg; /* of key, note and ended */
};
vt_status vt_farm_worker_open(const struct vt_farm_worker_opts *o, vt_farm_worker **out, vt_err *err) VT_MUST_USE;
const char *vt_farm_worker_name(const vt_farm_worker *w);
/* Takes no more; delivers what is done, gives back what has not begun; then `ended`. */
void vt_farm_worker_stop(vt_farm_worker *w);
/* At any time, without `ended`; like vt_serve_free. */
void vt_farm_worker_free(vt_farm_worker *w);

#endif
