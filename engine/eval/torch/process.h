/* SPDX-License-Identifier: Apache-2.0
 *
 * process.h: a Python process of the torch tier (worker.py) and one exchange with it.
 */
#ifndef VT_EVAL_TORCH_PROCESS_H
#define VT_EVAL_TORCH_PROCESS_H

#include "base/json.h"
#include <stdint.h>
#include <sys/types.h>

struct vt_torch_process {
    int socket;
    pid_t pid; /* 0: there is none */
};
/* mode: "judge" or "run". device: of several GPUs; below 0: no choice is made. */
vt_status vt_torch_process_start(const char *mode, int device, struct vt_torch_process *out, vt_err *err) VT_MUST_USE;
void vt_torch_process_stop(const struct vt_torch_process *p); /* any thread: exchanges fail from here on */
void vt_torch_process_end(struct vt_torch_process *p);        /* kills its group and collects it; idempotent */
vt_status vt_torch_send(struct vt_torch_process *p, const vt_json *request, vt_err *err) VT_MUST_USE;
/* *ns: when the answer was there (may be NULL). ETIMEOUT; EINTERNAL: it ended, or said what is no answer. */
vt_status vt_torch_receive(struct vt_torch_process *p, uint64_t timeout_ns, vt_json **reply, uint64_t *ns,
                           vt_err *err) VT_MUST_USE;

#endif
