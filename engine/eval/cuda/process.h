/* SPDX-License-Identifier: Apache-2.0
 *
 * process.h: the evaluator's end of a vegttt-cuda process (wire.h). One thread at a time talks to it; stopping it is
 * everybody's.
 */
#ifndef VT_EVAL_CUDA_PROCESS_H
#define VT_EVAL_CUDA_PROCESS_H

#include "eval/cuda/wire.h"
#include <sys/types.h>

struct vt_cuda_process {
    int socket;
    pid_t pid;
    bool is_lost; /* an exchange failed: only closing is left */
};
/* mode: "compile" or "run". */
vt_status vt_cuda_process_start(const char *mode, struct vt_cuda_process *out, vt_err *err) VT_MUST_USE;
/* Sends without waiting for the answer. */
vt_status vt_cuda_process_send(struct vt_cuda_process *p, const struct vt_cuda_request *r, const int *fds, int n_fds,
                               vt_err *err) VT_MUST_USE;
/* ETIMEOUT when there is no answer in time (0 = wait for ever). */
vt_status vt_cuda_process_receive(struct vt_cuda_process *p, struct vt_cuda_reply *reply, uint64_t timeout_ns,
                                  vt_err *err) VT_MUST_USE;
/* Ends its exchanges; any thread. */
void vt_cuda_process_shutdown(struct vt_cuda_process *p);
/* Kills it and collects it. Idempotent. */
void vt_cuda_process_end(struct vt_cuda_process *p);
/* A memory file with these bytes; -1 when there is no memory. */
int vt_cuda_file(const void *bytes, size_t n);

#endif
