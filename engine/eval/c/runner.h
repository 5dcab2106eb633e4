/* SPDX-License-Identifier: Apache-2.0
 *
 * runner.h: one loaded object (a candidate's, a baseline's, a truth's) in a jailed template, and calls of it on inputs
 * laid out by a plan. No object is loaded below the floor of the jail unless its owner says so.
 *
 * Where things lie is the evaluator's choice. Arrays: each call's plan says at which offset of its pages every array
 * starts (vt_wire_array.data: any multiple of the element size; a plan may differ from call to call). Code and static
 * data: the runner's placement. Stack: the call's stack_offset.
 *
 * A call is one process, with one exception that says so in its name: vt_runner_call_many makes one process call the
 * function again and again, as programs do.
 *
 * A runner is used by one thread at a time. Two output files can be given at its birth: the one of the thread that
 * checks (0) and the one of the thread that times (1), so that baseline and candidate are timed on the same pages.
 */
#ifndef VT_EVAL_C_RUNNER_H
#define VT_EVAL_C_RUNNER_H

#include "base/thread.h"
#include "eval/c/broker.h"
#include "eval/c/plan.h"

struct vt_runner;

/* An output file: shared memory for outputs of any set of a pool. */
struct vt_outputs {
    int fd;
    unsigned char *map;
    size_t bytes;
};
/* (Re)makes the file when it is smaller than n bytes. */
vt_status vt_outputs_fit(struct vt_outputs *o, size_t n, vt_err *err) VT_MUST_USE;
void vt_outputs_free(struct vt_outputs *o);

enum vt_call_end {
    VT_CALL_DONE,
    VT_CALL_EXITED,    /* left without finishing: exit(), _exit() */
    VT_CALL_SIGNAL,    /* killed by a signal */
    VT_CALL_FORBIDDEN, /* tried a system call */
    VT_CALL_LEFT,      /* came back, but not with the caller's state as it was */
    VT_CALL_TIMEOUT    /* the deadline passed: the runner is dead */
};
enum { VT_CALL_LAST_SYSCALL = 1023 };
struct vt_call_result {
    enum vt_call_end end;
    uint64_t ns; /* go to done, by this process's clock; with VT_CALL_CHECK includes process start and end */
    int exit_code, signo;
    uint32_t syscall;     /* VT_CALL_FORBIDDEN: as the process says it; beyond VT_CALL_LAST_SYSCALL it lies */
    uint32_t left;        /* VT_CALL_LEFT: enum vt_left, as the process says it */
    uint32_t fault_place; /* enum vt_wire_fault */
    uint64_t fault_address;
    uint64_t after_ns;   /* with a clock: from done until its process was gone */
    bool was_preempted;  /* the call or the clock lost its core */
    bool was_deferred;   /* outputs changed after `done` */
    uint32_t n_returned; /* calls of the process that came back, as far as it says */
    uint64_t poison;
};
enum vt_call_clock {
    VT_CLOCK_NONE, /* a check: sleep until the call is gone */
    VT_CLOCK_SPIN, /* both sides spin; two cores */
    VT_CLOCK_SLEEP /* one core: futexes */
};
struct vt_call_opts {
    const struct vt_plan *plan;
    size_t in_at; /* of the plan's inputs in the input file */
    int out_sel;
    size_t out_base; /* where the outputs of this call begin in that file; whole pages */
    enum vt_call_clock clock;
    uint64_t random;       /* poison and the sampled positions derive from it */
    int cpu;               /* core to run on; -1 = any */
    uint32_t stack_offset; /* bytes by which the call's stack starts lower: below VT_CALL_MAX_STACK, rounded to 16 */
    /* The steps of vt_runner_call_many, all of them, so many times in the same process, the last time each of them
     * twice in a row where it is not the first; 0 = once. */
    uint32_t n_rounds;
    enum vt_wire_guard guard; /* without a clock: what a call must leave as it was */
    uint64_t deadline_ns;     /* of this call */
    vt_lease *lease;          /* time the lease was held by others does not count; may be NULL */
};

/* One call of several in one process: outputs go to out_at of the output file, so that each call's are still there when
 * all are done. */
struct vt_call_step {
    const struct vt_plan *plan;
    size_t in_at, out_at; /* of the plan's inputs and outputs in their files; whole pages */
};
enum { VT_CALL_MAX_STEPS = VT_WIRE_MAX_STEPS, VT_CALL_MAX_STACK = VT_WIRE_MAX_STACK };

struct vt_runner_opts {
    struct vt_broker *broker; /* a reference is taken */
    const void *object;
    size_t object_len;
    int in_fd;
    uint64_t va_bytes; /* largest of the plans'; with calls of many steps the largest of their sums */
    struct vt_outputs *outputs[2];
    uint32_t placement; /* any number: where code and static data start in their pages; 0 = as linked */
    bool allow_unsafe;  /* load it below the floor, too */
};
/* *load_error (256 bytes) is filled and *out NULL when the object cannot be loaded: that is an outcome, not a failure.
 * EJAIL below the floor. */
vt_status vt_runner_open(const struct vt_runner_opts *o, struct vt_runner **out, char load_error[256],
                         vt_err *err) VT_MUST_USE;
void vt_runner_close(struct vt_runner *r);          /* kills and collects; NULL is allowed */
bool vt_runner_is_alive(const struct vt_runner *r); /* false once a deadline killed it or its broker died */
pid_t vt_runner_group(const struct vt_runner *r);
uint32_t vt_runner_layers(const struct vt_runner *r);
bool vt_runner_is_unsafe(const struct vt_runner *r); /* below the floor */
vt_status vt_runner_call(struct vt_runner *r, const struct vt_call_opts *o, struct vt_call_result *out,
                         vt_err *err) VT_MUST_USE;
/* n calls (at most VT_CALL_MAX_STEPS) one after another in one process; o->plan and o->in_at are not read, the deadline
 * is that of all. VT_CALL_DONE: all came back. The outputs must fit (vt_outputs_fit) the largest out_at + out_bytes. */
vt_status vt_runner_call_many(struct vt_runner *r, const struct vt_call_step *step, size_t n,
                              const struct vt_call_opts *o, struct vt_call_result *out, vt_err *err) VT_MUST_USE;

#endif
