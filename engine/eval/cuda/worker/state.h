/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h: what a runner has: the device, the trusted kernels, grounds (tasks made ready, with their input sets) and
 * candidates. Shared by run.c (messages), ground.c (inputs), call.c (calls) and truth.c (comparison).
 */
#ifndef VT_EVAL_CUDA_WORKER_STATE_H
#define VT_EVAL_CUDA_WORKER_STATE_H

#include "eval/cuda/cubin.h"
#include "eval/cuda/device/shared.cuh"
#include "eval/cuda/worker/worker.h"
#include "gpu/gpu.h"

enum { VT_RUN_GROUNDS = 32, VT_RUN_CODES = 64, VT_RUN_RESULTS = 32, VT_RUN_PAD = 128 * 1024 };

/* Device memory for one array: margins around data. */
struct vt_run_block {
    vt_gpu_ptr base, data;
    size_t size, bytes;   /* of the allocation; of the array as it lies there now */
    size_t guard;         /* bytes behind it that are looked at */
    unsigned char margin; /* the byte that its margins hold: another one around outputs than around inputs, so that a
                             kernel that copies past an end does not put there what was there */
};
/* One input set, resident. */
struct vt_run_slot {
    int set; /* -1 = empty */
    uint64_t used;
    struct vt_run_block in[VT_TASK_MAX_ARRAYS];
    uint64_t sum[VT_TASK_MAX_ARRAYS]; /* keyed checksums */
};
struct vt_run_truth {
    bool is_made; /* stored, one veiled buffer an output */
    vt_gpu_ptr store[VT_TASK_MAX_ARRAYS];
};
struct vt_run_ground {
    uint64_t id, used, key;
    vt_task *task;
    char scale[24];
    struct vt_launch_plan plan; /* of the reference */
    vt_layout layout[2];        /* of the scale; of "hidden" */
    struct vt_plan_sizes sizes[2];
    unsigned n_sets, n_timed;
    struct vt_cuda_set set[VT_POOL_MAX_SETS];
    vt_cu_module truth_module;
    vt_cu_function truth[VT_PLAN_MAX_LAUNCHES];
    struct vt_run_truth stored[VT_POOL_MAX_SETS];
    bool is_dear; /* a truth took long: storing them pays */
    vt_gpu_ptr truth_scratch[VT_PLAN_MAX_SCRATCH], row_max[VT_TASK_MAX_ARRAYS];
    struct vt_run_block out[VT_TASK_MAX_ARRAYS];
    unsigned n_slots;
    struct vt_run_slot slot[VT_POOL_MAX_SETS];
    size_t bytes;
};
/* Outputs that were judged right before need no second comparison. */
struct vt_run_judged {
    bool is_known;
    uint64_t digest;
    struct vt_compare_result compare;
};
struct vt_run_code {
    uint64_t id, used;
    bool is_trusted;
    unsigned char *image;
    size_t image_len;
    struct vt_launch_plan plan;
    vt_cu_module module;
    bool has_variables; /* the module remembers: a new one for every call */
    vt_cu_function function[VT_PLAN_MAX_LAUNCHES];
    uint64_t ground; /* of the sizes, the scratch and what was judged */
    struct vt_plan_sizes sizes[2];
    struct vt_run_judged judged[VT_POOL_MAX_SETS];
};
struct vt_run_kernels {
    vt_cu_module module;
    vt_cu_function rows, fill, checksum, poison, unwritten, margins, compare, gate, copy, canary;
};
struct vt_runner {
    vt_gpu *gpu;
    const struct vt_cu *cu;
    vt_cu_stream stream;
    vt_cu_event from, to;
    struct vt_run_kernels k;
    volatile int *gate;         /* pinned */
    uint64_t *results;          /* pinned; VT_RUN_RESULTS of them */
    struct vt_dev_tally *tally; /* pinned */
    vt_gpu_ptr d_results, d_tally, d_sink, d_gens, d_margins, quantile;
    vt_gpu_ptr rows, scratch[VT_PLAN_MAX_SCRATCH], flush;
    size_t rows_bytes, scratch_bytes[VT_PLAN_MAX_SCRATCH], flush_bytes;
    uint64_t secret, clock;
    unsigned char margin; /* from 1 to 254: the byte around inputs */
    struct vt_run_ground *ground[VT_RUN_GROUNDS];
    struct vt_run_code *code[VT_RUN_CODES];
};

/* ground.c */
vt_status vt_run_ground_make(struct vt_runner *r, const struct vt_cuda_request *q, char *json, size_t json_len,
                             const char *reference, const void *truth, struct vt_run_ground **out,
                             vt_err *err) VT_MUST_USE;
void vt_run_ground_free(struct vt_runner *r, struct vt_run_ground *g);
/* The inputs of a set, made if they are not there. */
vt_status vt_run_inputs(struct vt_runner *r, struct vt_run_ground *g, size_t set, struct vt_run_slot **out,
                        vt_err *err) VT_MUST_USE;
const vt_layout *vt_run_layout(const struct vt_run_ground *g, size_t set);
/* Puts the array somewhere in its block, `random` of it, and fills the margins. */
vt_status vt_run_place(struct vt_runner *r, struct vt_run_block *b, size_t bytes, uint64_t random,
                       vt_err *err) VT_MUST_USE;
vt_status vt_run_checksum(struct vt_runner *r, vt_gpu_ptr data, size_t bytes, unsigned result, vt_err *err) VT_MUST_USE;
/* Device memory that grows: *p holds at least `bytes`. */
vt_status vt_run_grow(struct vt_runner *r, vt_gpu_ptr *p, size_t *have, size_t bytes, const char *what,
                      vt_err *err) VT_MUST_USE;
/* As many threads as n elements keep busy. */
vt_status vt_run_launch(struct vt_runner *r, vt_cu_function f, const char *what, int64_t n, void **args,
                        vt_err *err) VT_MUST_USE;
vt_status vt_run_fetch(struct vt_runner *r, vt_err *err) VT_MUST_USE; /* the results, waited for */
/* truth.c */
/* The candidate's outputs of this call against the truth of set `against`, whose inputs lie in the slot. */
vt_status vt_run_compare(struct vt_runner *r, struct vt_run_ground *g, size_t against, const struct vt_run_slot *slot,
                         struct vt_compare_result *out, vt_err *err) VT_MUST_USE;
/* call.c */
/* False: the candidate's fault, in why. */
vt_status vt_run_load(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g, char why[VT_CUDA_WHY],
                      vt_err *err) VT_MUST_USE;
void vt_run_unload(struct vt_runner *r, struct vt_run_code *c);
vt_status vt_run_call(struct vt_runner *r, struct vt_run_code *c, struct vt_run_ground *g,
                      const struct vt_cuda_request *q, struct vt_cuda_reply *reply, vt_err *err) VT_MUST_USE;
vt_status vt_run_peak(struct vt_runner *r, double *bytes_per_s, vt_err *err) VT_MUST_USE;

#endif
