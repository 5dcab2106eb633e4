/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.h: the program vegttt-cuda: its two modes, and its end of the socket.
 */
#ifndef VT_EVAL_CUDA_WORKER_WORKER_H
#define VT_EVAL_CUDA_WORKER_WORKER_H

#include "eval/cuda/wire.h"

int vt_cuda_worker_compile(void);
int vt_cuda_worker_run(void);

/* The next request with its descriptors; false: the evaluator has gone. */
bool vt_cuda_worker_next(struct vt_cuda_request *r, int fds[VT_CUDA_MAX_FDS], int *n_fds);
void vt_cuda_worker_close(const int *fds, int n_fds);
bool vt_cuda_worker_answer(const struct vt_cuda_reply *reply);
/* All bytes of a memory file, malloc'd and NUL-terminated; NULL when there is no memory. */
char *vt_cuda_worker_read(int fd, size_t *len);

#endif
