/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.h: judgements for other programs: lines with requests in, a line with an answer for each, in completion order;
 * from one pair of descriptors or from any number of clients of a Unix socket.
 *
 * Everything here runs on the loop's thread, `ended` included. What judges and what knows tasks are given as functions,
 * so that a test, a queue's worker or the evaluator of this process may stand there.
 */
#ifndef VT_FARM_SERVE_H
#define VT_FARM_SERVE_H

#include "loop/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <vegttt/eval.h>

/* vt_eval_submit and vt_eval_cancel of some evaluator: every submission that succeeds gets one call of done, on any
 * thread; the done of a withdrawn one comes soon, with ECANCELLED or with its verdict. */
struct vt_farm_judge {
    void *arg;
    vt_status (*submit)(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg, vt_err *err);
    void (*withdraw)(void *arg, void *done_arg);
};

struct vt_serve_count {
    size_t n_requests; /* lines that were no blank ones */
    size_t n_judged;   /* answered with a verdict */
    size_t n_refused;  /* answered with an error: no request, or the evaluator could not judge it */
    size_t n_dropped;  /* not judged because the server was stopped or its client went away */
};

typedef struct vt_serve vt_serve;
struct vt_serve_opts {
    vt_loop *loop;
    struct vt_farm_judge judge;
    /* The task that a request names; called for every request, so that an edited file is another task. The reference
     * goes to the server. */
    vt_status (*task)(void *arg, const char *what, vt_task **out, vt_err *err);
    void *task_arg;
    const char *socket; /* path of a Unix socket; NULL: in_fd and out_fd */
    int in_fd, out_fd;
    int max_in_flight; /* requests taken on at once; 0 = 256 */
    double grace_s;    /* how long a server that was stopped waits for its judge and for readers; 0 = 5 */
    /* The input has ended or the server was stopped, and everything was answered. */
    void (*ended)(void *arg, vt_status status, const vt_err *err, const struct vt_serve_count *count);
    void *ended_arg;
};
vt_status vt_serve_open(const struct vt_serve_opts *o, vt_serve **out, vt_err *err) VT_MUST_USE;
/* Takes no more lines; every request taken on is withdrawn and gets its answer, a verdict if the judge was about to
 * give one; then `ended`, a few seconds later at most. */
void vt_serve_stop(vt_serve *s);
/* At any time; without `ended`. What is under way is withdrawn; the memory goes when its done calls have come, for
 * which the loop must turn once more after the judge is closed. */
void vt_serve_free(vt_serve *s);

#endif
