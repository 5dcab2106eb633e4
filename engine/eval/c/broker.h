/* SPDX-License-Identifier: Apache-2.0
 *
 * broker.h: the evaluator's end of one vegttt-worker broker (engine/eval/c/worker/protocol.h).
 *
 * A broker owns a slot folder: work/ (the compiler's, emptied after each build), root/ (empty: what templates see) and
 * cc/. Its calls are short request-reply exchanges and may be made from several threads. Jobs are pids of the broker's
 * children; each comes with a pidfd that becomes readable when the job ends, and stays a zombie until vt_broker_reap,
 * so a pid is never reused under us. A broker that died makes every call fail with EINTERNAL; open another.
 */
#ifndef VT_EVAL_C_BROKER_H
#define VT_EVAL_C_BROKER_H

#include "eval/c/jail.h"
#include "eval/c/worker/protocol.h"
#include <sys/types.h>

struct vt_broker;

struct vt_job {
    pid_t pid; /* also the process group; 0 = none */
    int pidfd;
};
struct vt_job_end {
    int status; /* as from wait(2) */
    uint64_t cpu_us, max_rss_kib;
};
struct vt_run_opts {
    const struct vt_image_head *image; /* checked */
    uint64_t image_len, va_bytes;
    uint32_t placement;
    int fds[VT_WIRE_RUN_FDS]; /* image, shared, call, inputs, outputs 0, outputs 1 */
};
struct vt_compile_opts {
    const char *const *argv;     /* NULL-terminated; argv[0] an absolute path */
    const char *object, *symbol; /* the file it leaves, and the function to enter */
    int source_fd, log_fd, image_fd;
    uint32_t max_memory_mib, max_cpu_s, max_file_mib;
};

/* dir/NAME becomes the slot; no two brokers have one in common. `without` leaves out layers (bits of enum
 * vt_wire_layer): tests of weaker machines. */
vt_status vt_broker_open(const char *dir, const char *name, uint32_t without, struct vt_broker **out,
                         vt_err *err) VT_MUST_USE;
/* A broker lives until its last reference is closed: whoever has a job of it holds one. The last close kills its jobs
 * and removes the slot; NULL is allowed. */
struct vt_broker *vt_broker_ref(struct vt_broker *b);
void vt_broker_close(struct vt_broker *b);
const struct vt_jail *vt_broker_jail(const struct vt_broker *b);
const char *vt_broker_slot(const struct vt_broker *b);
vt_status vt_broker_run(struct vt_broker *b, const struct vt_run_opts *o, struct vt_job *out, vt_err *err) VT_MUST_USE;
vt_status vt_broker_compile(struct vt_broker *b, const struct vt_compile_opts *o, struct vt_job *out,
                            vt_err *err) VT_MUST_USE;
bool vt_job_has_ended(const struct vt_job *j);
/* Kills the job's process group if it still runs, collects it, closes the pidfd. */
vt_status vt_broker_reap(struct vt_broker *b, struct vt_job *j, struct vt_job_end *out, vt_err *err) VT_MUST_USE;
bool vt_broker_is_alive(const struct vt_broker *b);
/* Makes the broker kill its jobs and leave; exchanges under way or to come fail. Any thread. */
void vt_broker_shutdown(struct vt_broker *b);
/* Starts a broker and reads off the layers that its jobs would have; for `vegttt doctor`. */
vt_status vt_jail_probe(struct vt_jail *out, vt_err *err) VT_MUST_USE;

#endif
