/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.h: what the evaluator and the program vegttt-cuda say to each other over one SOCK_SEQPACKET socket (descriptor
 * 3). Both are built from one tree, so the structures are plain memory. Texts and machine code travel as memory files.
 *
 * vegttt-cuda has two modes. `compile` is a fork server around NVRTC: it opens the compiler, lets it load what it needs
 * by compiling an empty text, goes into its jail for good, and then forks a child for each text. `run` holds a device's
 * context: it makes inputs, launches candidates and compares, and is killed and replaced when a candidate has poisoned
 * the context or does not end.
 */
#ifndef VT_EVAL_CUDA_WIRE_H
#define VT_EVAL_CUDA_WIRE_H

#include "eval/tier.h"

enum { VT_CUDA_SOCKET = 3, VT_CUDA_OPTIONS = 1024, VT_CUDA_WHY = 320, VT_CUDA_MAX_FDS = 3 };

enum vt_cuda_op {
    VT_CUDA_HELLO,   /* either mode */
    VT_CUDA_COMPILE, /* fds: source, result */
    VT_CUDA_KERNELS, /* fds: image of the trusted kernels */
    VT_CUDA_GROUND,  /* fds: task, reference text, image of the truth */
    VT_CUDA_CODE,    /* fds: image, source */
    VT_CUDA_LOAD,
    VT_CUDA_CALL,
    VT_CUDA_PEAK
};

struct vt_cuda_set {
    int is_hidden, dist;
};
struct vt_cuda_request {
    enum vt_cuda_op op;
    int device; /* HELLO of a runner */
    /* COMPILE */
    unsigned wall_ms, cpu_s, memory_mib, n_options;
    char options[VT_CUDA_OPTIONS]; /* NUL-terminated strings */
    /* GROUND, CODE, LOAD, CALL: numbers that the evaluator gives */
    uint64_t ground, code;
    uint64_t key; /* of the ground's pool */
    char scale[24];
    unsigned n_sets, n_timed;
    struct vt_cuda_set set[VT_POOL_MAX_SETS];
    bool is_trusted_code; /* CODE: a task's own text: its module stays loaded between calls */
    struct vt_call call;
    bool is_timed;
};

enum vt_cuda_end {
    VT_CUDA_DONE,
    VT_CUDA_NEED_GROUND, /* this runner does not know it (any more) */
    VT_CUDA_NEED_CODE,
    VT_CUDA_REFUSED, /* LOAD: the candidate's fault, in why */
    VT_CUDA_FAILED   /* not the candidate's: status and why */
};
/* What the driver said about a call that did not end well. */
enum vt_cuda_fault {
    VT_FAULT_NONE,
    VT_FAULT_LAUNCH, /* refused before it ran */
    VT_FAULT_DEVICE, /* while it ran */
    VT_FAULT_INPUT   /* an input was written */
};
struct vt_cuda_reply {
    enum vt_cuda_end end;
    vt_status status;
    bool is_dead; /* the process must be replaced */
    char why[VT_CUDA_WHY];
    /* HELLO of a compiler */
    int nvrtc_major, nvrtc_minor;
    unsigned layers;
    char include[512];
    /* HELLO of a runner */
    char name[128], uuid[40];
    int major, minor, n_sm, l2_bytes, smem_optin, clock_khz, driver;
    int n_devices;
    uint64_t bytes, free_bytes;
    double peak_bytes_per_s; /* PEAK */
    /* GROUND */
    size_t ground_bytes;
    /* CALL */
    struct vt_check check;
    enum vt_cuda_fault fault;
    int fault_array;
    unsigned launch; /* of the plan: the one that was refused */
    /* COMPILE */
    int wait_status;
    bool is_timeout;
    uint64_t cpu_us, max_rss_kib;
};

/* At the start of a compilation's result file; the machine code and the log follow. */
enum { VT_CUDA_RESULT_NONE, VT_CUDA_RESULT_OK, VT_CUDA_RESULT_ERROR, VT_CUDA_RESULT_TROUBLE };
struct vt_cuda_result {
    uint32_t outcome, pad;
    uint64_t image_len, log_len;
};

/* Layers of the compiler's jail. */
enum { VT_CUDA_LAYER_PRIVS = 1, VT_CUDA_LAYER_SECCOMP = 2, VT_CUDA_LAYER_LANDLOCK = 4 };

#endif
