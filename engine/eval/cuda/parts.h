/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.h: what stands behind the door of the cuda tier, shared by cuda_tier.c (tier, stations), ground.c, candidate.c
 * and explain.c.
 */
#ifndef VT_EVAL_CUDA_PARTS_H
#define VT_EVAL_CUDA_PARTS_H

#include "eval/cuda/compiler.h"
#include "eval/cuda/runner.h"
#include <stdatomic.h>

struct vt_tier {
    struct vt_tier_caps caps;
    vt_lease *lease;
    bool allow_unsafe;
    char architecture[16], toolchain[VT_SHA256_HEX], machine[200], compiler[40];
    struct vt_cuda_device device;
    unsigned char *kernels; /* image of the trusted kernels */
    size_t kernels_len;
    vt_content *images; /* of kernels and truths, by content */
    atomic_uint_fast64_t next_id;
    pthread_mutex_t floor_lock; /* of peak */
    double peak;                /* bytes a second that memory gives; 0 = not measured */
};
struct vt_station {
    struct vt_tier *tier;
    struct vt_seat seat;
    pthread_mutex_t lock; /* of is_cancelled, and of the compiler's replacement against cancel */
    bool is_cancelled, has_compiler, has_runner;
    struct vt_cuda_compiler compiler;
    pid_t guest; /* the compiler's process group, as the lease knows it */
    struct vt_cuda_seat runner;
};
struct vt_ground {
    struct vt_tier *tier;
    uint64_t id;
    const struct vt_pool *pool;
    char *reference;
    unsigned char *truth;
    size_t truth_len;
    double floor_bytes, floor_flops;
};
struct vt_candidate {
    struct vt_tier *tier;
    uint64_t id;
    bool is_trusted;
    char *source;
    struct vt_launch_plan plan;
    unsigned char *image; /* NULL: it was not built */
    size_t image_len;
    enum vt_cuda_build_end build_end;
    bool is_build_stored, is_plan_refused;
    struct vt_cuda_diagnostic diagnostic[VT_CUDA_MAX_DIAGNOSTICS];
    int n_diagnostics, n_errors;
    char *log;
    double build_ms, build_cpu_ms;
    uint64_t build_rss_kib;
    char why[VT_CUDA_WHY]; /* plan refused, or does not load */
    struct vt_ground *ground;
    /* the last call that failed */
    enum vt_cuda_fault fault;
    int fault_array;
    unsigned fault_launch;
    char fault_why[VT_CUDA_WHY];
};

/* image.c */
/* An image of trusted text, from the store or compiled. EFORMAT with the first message when it does not compile. */
vt_status vt_cuda_image(struct vt_station *s, const struct vt_buf *unit, const char *what, unsigned char **out,
                        size_t *len, vt_err *err) VT_MUST_USE;
/* ground.c */
vt_status vt_cuda_ground_open(struct vt_station *s, const struct vt_pool *pool, struct vt_ground **out, size_t *bytes,
                              vt_err *err) VT_MUST_USE;
void vt_cuda_ground_close(struct vt_ground *g);
double vt_cuda_floor_ns(const struct vt_ground *g);
/* Asks the station's runner about this ground and candidate (may be NULL), giving it what it does not know. */
vt_status vt_cuda_ask(struct vt_station *s, struct vt_ground *g, const struct vt_candidate *c,
                      struct vt_cuda_request *r, uint64_t timeout_ns, struct vt_cuda_reply *reply,
                      vt_err *err) VT_MUST_USE;
/* candidate.c */
vt_status vt_cuda_build(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                        struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_reference_build(struct vt_station *s, const vt_task *t, enum vt_reference which,
                                  struct vt_candidate **out, struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
vt_status vt_cuda_load(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                       struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
void vt_cuda_unload(struct vt_candidate *c);
vt_status vt_cuda_check(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                        vt_err *err) VT_MUST_USE;
vt_status vt_cuda_time(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                       vt_err *err) VT_MUST_USE;
void vt_cuda_candidate_close(struct vt_candidate *c);
/* explain.c */
void vt_cuda_explain(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                     const struct vt_check *failure, struct vt_say *out);
void vt_cuda_record(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                    struct vt_record_parts *parts);

#endif
