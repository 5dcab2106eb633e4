/* SPDX-License-Identifier: Apache-2.0
 *
 * runner.h: the evaluator's end of a device: the runner that works, and one that stands ready with its context open, to
 * take over when the first has been killed. Opening a context takes half a second, taking over milliseconds.
 */
#ifndef VT_EVAL_CUDA_RUNNER_H
#define VT_EVAL_CUDA_RUNNER_H

#include "eval/cuda/process.h"
#include <pthread.h>

struct vt_cuda_device { /* of HELLO */
    char name[128], uuid[40];
    int major, minor, n_sm, l2_bytes, smem_optin, clock_khz, driver, n_devices;
    uint64_t bytes;
};
struct vt_cuda_seat {
    int device;
    const unsigned char *kernels; /* image of the trusted kernels; lent */
    size_t kernels_len;
    pthread_mutex_t lock; /* of the two processes against stop */
    struct vt_cuda_process active, spare;
    bool is_stopped, is_spare_asked; /* the spare was sent its first messages */
    unsigned n_replaced;
    double replaced_ms; /* how long the last change took */
    struct vt_cuda_device props;
};
/* Opens a runner on device 0, 1 …, and starts another. EUNSUPPORTED where there is no driver or no device. */
vt_status vt_cuda_seat_open(struct vt_cuda_seat *s, int device, const unsigned char *kernels, size_t kernels_len,
                            vt_err *err) VT_MUST_USE;
void vt_cuda_seat_close(struct vt_cuda_seat *s);
void vt_cuda_seat_stop(struct vt_cuda_seat *s); /* any thread */
/* One exchange; a runner that died, or that says it has to go, is replaced before this returns (the reply keeps its
 * word). ETIMEOUT: it did not answer and was replaced. */
vt_status vt_cuda_seat_ask(struct vt_cuda_seat *s, const struct vt_cuda_request *r, const int *fds, int n_fds,
                           uint64_t timeout_ns, struct vt_cuda_reply *reply, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_seat_ready(struct vt_cuda_seat *s, vt_err *err) VT_MUST_USE; /* a runner works there */
/* What is on a device, asked of a process that ends again; for `doctor` and for the default tier. */
vt_status vt_cuda_look(int device, struct vt_cuda_device *out, vt_err *err) VT_MUST_USE;

#endif
