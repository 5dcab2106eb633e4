/* SPDX-License-Identifier: Apache-2.0
 *
 * ask.h: an evaluator whose judges are workers behind a queue (queue.h). What it gives is a vt_eval like any other:
 * keys are those that an evaluator of the workers' class gives, verdicts are the records that they wrote.
 */
#ifndef VT_FARM_ASK_H
#define VT_FARM_ASK_H

#include <stddef.h>
#include <vegttt/eval.h>

/* Waits until the queue answers and says which class its workers are of; patience_s: how long for, 0 = 15 s. EINVAL
 * where it has had workers of several classes and the address names none (?class=CLASS), ENOENT where none came yet. */
vt_status vt_ask_open(const char *url, double patience_s, vt_eval **out, vt_err *err) VT_MUST_USE;

/* How it stands with a queue that was opened so. */
struct vt_ask_state {
    size_t n_workers; /* of the class, alive */
    size_t n_waiting; /* requests not yet entered */
    size_t n_out;     /* entered, without an answer */
    size_t n_again;   /* entered again because the queue had lost them */
    int is_up;        /* else `why` says what keeps it */
    char why[256];
};
void vt_ask_state(vt_eval *e, struct vt_ask_state *out); /* any thread */

#endif
