/* SPDX-License-Identifier: Apache-2.0
 *
 * protocol.h: what the evaluator and its small worker program say to each other. Included by both.
 *
 * vegttt-worker is a *broker*: started once per evaluator thread, never the process that holds gigabytes, so that its
 * forks cost a tenth of a millisecond. It answers synchronous requests on one SOCK_SEQPACKET socket (descriptor 3):
 * HELLO, RUN, COMPILE, REAP. COMPILE runs a compiler and then our linker on what it wrote, both in the jail; what comes
 * back is an image (image.h), bytes with a table of lengths. RUN forks a *template*: it enters the jail, lets a child
 * of its own put the image's bytes into place (load.c) and then forks one *call child* per call. Only that child maps
 * the image, and the candidate's code only ever runs there, from the moment the clock starts until the child is gone:
 *
 *   evaluator            template                 call child (fresh copy of the template)
 *   write call, cmd++ -> fork                  -> map the image, this call's inputs (read-only) and outputs, poison the
 *                                                 outputs, touch everything, seccomp; set_up = cmd, unmap
 * vt_wire_shared, ready = 1 clock starts, go = 1                       -> call the function clock stops         <- done
 * = nonce           exit gone?               <- wait4 status
 *
 * So no state survives a call by construction, no candidate code can run before its clock starts, and the page with
 * the clock's words, which the evaluator clears whole before each call, holds nothing else. `done` can be forged while
 * work is left; the evaluator therefore samples the outputs at once and compares the sample with what is there after
 * the child is gone.
 *
 * Two pieces of shared memory: vt_wire_shared (evaluator and template; call children have it until the filter stands,
 * and no candidate ever) and vt_wire_call (call child too). Whether a call was set up is said in the first, by whoever
 * sets it up; nothing in the second is believed beyond "the clock may stop" and hints for a sentence about a fault.
 */
#ifndef VT_EVAL_C_WORKER_PROTOCOL_H
#define VT_EVAL_C_WORKER_PROTOCOL_H

#include "eval/c/worker/image.h"
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    VT_WIRE_SOCKET = 3, /* the broker's descriptor */
    VT_WIRE_MAX_ARRAYS = 12,
    VT_WIRE_MAX_INTS = 36, /* int scalars and sizes */
    VT_WIRE_MAX_FLOATS = 8,
    VT_WIRE_TEXT = 200,
    VT_WIRE_PATH = 512,
    VT_WIRE_ARGS = 8192,
    VT_WIRE_MAX_JOBS = 256, /* two resident templates for each of subject.c's subjects, and what is being judged */
    VT_WIRE_MAX_STEPS = 64,
    VT_WIRE_MAX_STACK = 1 << 16, /* below what a call's stack can start lower */
    VT_WIRE_PAGE = 4096
};

/* Exit statuses of a compile job: the compiler's (0 to 4), 128 + the signal that ended it, or one of these. UNDEFINED
 * and REFUSED: the linker's reason stands in the log, behind all that the compiler wrote. */
enum { VT_EXIT_UNDEFINED = 120, VT_EXIT_REFUSED = 121, VT_EXIT_NO_MEMORY = 122, VT_EXIT_NO_COMPILER = 127 };

enum vt_wire_op { VT_WIRE_HELLO = 1, VT_WIRE_RUN, VT_WIRE_COMPILE, VT_WIRE_REAP };

/* Layers of the jail, as bits: which to leave out (tests of weaker machines) and which are active. */
enum vt_wire_layer {
    VT_LAYER_NO_NEW_PRIVS = 1 << 0,
    VT_LAYER_SECCOMP = 1 << 1,
    VT_LAYER_RLIMITS = 1 << 2,
    VT_LAYER_CLOSED_FDS = 1 << 3,
    VT_LAYER_LANDLOCK = 1 << 4,
    VT_LAYER_MOUNT_NS = 1 << 5,
    VT_LAYER_USER_NS = 1 << 6,
    VT_LAYER_NET_NS = 1 << 7,
    VT_LAYER_PID_NS = 1 << 8,
    VT_LAYER_IPC_NS = 1 << 9,
    VT_LAYER_OWN_UID = 1 << 10,
    VT_LAYER_CLEAR_ENV = 1 << 11,
    VT_LAYER_PRIVATE_TMP = 1 << 12,
    VT_LAYER_CGROUP = 1 << 13,
    VT_LAYER_CGROUP_LIMITS = 1 << 14,
    VT_N_LAYERS = 15
};

struct vt_wire_request {
    uint32_t op, without;
    int32_t pid;                                      /* REAP: kill this job's group and collect it */
    uint32_t max_memory_mib, max_cpu_s, max_file_mib; /* COMPILE */
    uint64_t va_bytes;                                /* RUN: address space to reserve for arrays */
    uint64_t image_len;                               /* RUN */
    struct vt_image_head image;                       /* RUN: as the evaluator has checked it */
    uint32_t placement;                               /* RUN: vt_image_shift */
    char object[64];                                  /* COMPILE: the file that the compiler leaves */
    char symbol[64];                                  /* COMPILE: the function's name */
    uint32_t n_args, args_len; /* COMPILE: args_len bytes of NUL-terminated strings; args[0] is the program's path */
    char args[VT_WIRE_ARGS];
};
/* Descriptors that travel with a request. RUN: image, shared, call, inputs, outputs 0, outputs 1. COMPILE: source, log,
 * image. */
enum { VT_WIRE_RUN_FDS = 6, VT_WIRE_COMPILE_FDS = 3 };

struct vt_wire_reply {
    int32_t error;   /* errno of the broker's own work, 0 = fine */
    int32_t pid;     /* RUN and COMPILE; a pidfd comes with the message */
    int32_t status;  /* REAP: wait status */
    uint32_t layers; /* HELLO: layers that this broker can give its jobs */
    uint32_t uid;    /* HELLO: the jobs' user id */
    uint32_t landlock_abi;
    uint64_t cpu_us, max_rss_kib; /* REAP */
};

struct vt_wire_array {
    uint64_t va;            /* offset of the mapping in the reserved address space */
    uint64_t len;           /* bytes mapped, whole pages */
    uint64_t data;          /* offset of element 0 in the mapping */
    uint64_t bytes;         /* of the array */
    uint64_t in_at;         /* file offset in the input file; whole pages */
    uint64_t out_at;        /* file offset in the output file; whole pages */
    uint32_t is_in, is_out; /* both: state */
};

enum vt_wire_template_state { VT_TEMPLATE_STARTING, VT_TEMPLATE_READY, VT_TEMPLATE_FAILED };

/* One call of the function. */
struct vt_wire_step {
    uint32_t n_arrays;
    int64_t ints[VT_WIRE_MAX_INTS];
    float floats[VT_WIRE_MAX_FLOATS];
    struct vt_wire_array array[VT_WIRE_MAX_ARRAYS];
};
struct vt_wire_shared {
    uint32_t state;             /* enum vt_wire_template_state */
    uint32_t layers;            /* active in this template and its children */
    uint32_t cmd;               /* counts calls; the template sleeps on it */
    uint32_t gone;              /* = cmd when that call's child has been collected */
    uint32_t set_up;            /* = cmd when that call's child was about to run the candidate's code */
    int32_t status;             /* its wait status */
    int32_t n_preempted;        /* involuntary context switches of the child in all its life */
    int32_t n_preempted_before; /* of those, before it was set up */
    uint32_t is_spinning;       /* the child spins for go and the evaluator for done; else both sleep on futexes */
    int32_t cpu;                /* core to run on from the next call; -1 = any */
    uint32_t nonce;             /* expected in vt_wire_call.done */
    uint32_t out_sel;
    uint32_t stack_offset;   /* bytes by which the stack starts lower */
    uint32_t n_steps;        /* calls of this child */
    uint32_t n_rounds;       /* and how often it makes all of them */
    uint32_t guard;          /* enum vt_wire_guard: what is looked at after each call */
    uint64_t poison;         /* 8-byte pattern for outputs */
    char text[VT_WIRE_TEXT]; /* why loading failed */
    struct vt_wire_step step[VT_WIRE_MAX_STEPS];
};
enum { VT_WIRE_SHARED = (sizeof(struct vt_wire_shared) + VT_WIRE_PAGE - 1) / VT_WIRE_PAGE * VT_WIRE_PAGE };
enum vt_wire_fault { VT_FAULT_ELSEWHERE, VT_FAULT_ARRAYS, VT_FAULT_NULL, VT_FAULT_STACK, VT_FAULT_INSTRUCTION };
/* UPPER: also the upper halves of vector registers. */
enum vt_wire_guard { VT_GUARD_NOTHING, VT_GUARD_CALLER, VT_GUARD_UPPER };
/* What a call did not leave to its caller as it was. MXCSR: on aarch64 FPCR. */
enum vt_left {
    VT_LEFT_MXCSR = 1 << 0,
    VT_LEFT_X87_CONTROL = 1 << 1,
    VT_LEFT_X87_STACK = 1 << 2,
    VT_LEFT_DIRECTION = 1 << 3,
    VT_LEFT_ALIGNMENT = 1 << 4,
    VT_LEFT_REGISTERS = 1 << 5,
    VT_LEFT_UPPER = 1 << 6,
    VT_LEFT_MEMORY = 1 << 7, /* the same calls again took more blocks, which it did not give back */
    VT_N_LEFT = 8
};
/* Exit status of a child whose call left something, without `done`. */
enum { VT_EXIT_LEFT = 124 };
struct vt_wire_call {
    uint32_t ready;
    uint32_t pad0[15];
    uint32_t go;
    uint32_t pad1[15];
    uint32_t done;
    uint32_t n_returned; /* calls that came back */
    uint32_t left;       /* enum vt_left, of the call that is the last */
    uint32_t pad2[13];
    int32_t fault_signal;
    uint32_t fault_syscall;
    uint32_t fault_place;   /* enum vt_wire_fault */
    uint64_t fault_address; /* relative to the address space reserved for arrays */
};

static inline uint32_t vt_wire_load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
static inline void vt_wire_store(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}
static inline void vt_wire_wake(uint32_t *p)
{
    syscall(SYS_futex, p, FUTEX_WAKE, 64, NULL, NULL, 0);
}
/* Sleeps while *p == value, at most timeout_us (0 = for ever); may return early. */
static inline void vt_wire_sleep(uint32_t *p, uint32_t value, uint32_t timeout_us)
{
    struct timespec ts = {timeout_us / 1000000, (long)(timeout_us % 1000000) * 1000};
    syscall(SYS_futex, p, FUTEX_WAIT, value, timeout_us ? &ts : NULL, NULL, 0);
}
static inline void vt_wire_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
