/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.h: what stands behind the door of the c tier, shared by the files that own a piece of it: tier, stations and
 * grounds (c_tier.c), candidates (candidate.c), their words (explain.c).
 */
#ifndef VT_EVAL_C_PARTS_H
#define VT_EVAL_C_PARTS_H

#include "base/owned.h"
#include "eval/c/build.h"
#include "eval/c/check_run.h"
#include "eval/c/cores.h"
#include "eval/c/crowd.h"
#include "eval/c/roofline.h"
#include <pthread.h>

/* Places of code and stack that timings are repeated at. */
enum { VT_C_PLACEMENTS = 4 };
/* Of the runner (vt_image_shift). A compiler aligns functions to 16 bytes, so a loop can begin in any quarter of a
 * cache line; at these numbers it meets all four, whichever quarter it was linked in, and both halves where it aligns
 * to 32. So a difference that place alone makes cannot show at every one of them. */
static const uint32_t vt_c_placement[VT_C_PLACEMENTS] = {0, 2, 3, 5};

struct vt_tier {
    struct vt_tier_caps caps;
    struct vt_compiler cc;
    vt_lease *lease;
    bool allow_unsafe;
    struct vt_owned dir; /* of the slots */
    char *truth_dir;     /* where truths are kept */
    char machine[160];
    struct vt_cores cores[VT_MAX_LANES]; /* of each lane */
    enum vt_call_clock clock;
    struct vt_place rest; /* cores that stations can use without meeting a lane; none on small machines */
    int n_rest;
    pthread_mutex_t floor_lock; /* of the roofline */
    struct vt_roofline roofline;
    char *roofline_file;
};

struct vt_station {
    struct vt_tier *tier;
    struct vt_seat seat;
    pthread_mutex_t lock; /* of the next three: cancel comes from other threads */
    struct vt_broker *broker;
    int n_brokers; /* so far: one that died is replaced */
    bool is_cancelled;
    struct vt_outputs outputs; /* of checks */
    struct vt_crowd crowd;     /* lanes */
};

struct vt_ground {
    struct vt_tier *tier;
    struct vt_pool_sets pool;
    /* Where timed calls write, reference and candidate alike: the same pages for both. A part for each lane. */
    struct vt_outputs timed;
};

/* The processes that run a candidate, by placement; the first one checks, too. */
struct vt_home {
    struct vt_runner *runner[VT_C_PLACEMENTS];
    struct vt_ground *ground; /* of the runners */
};

struct vt_candidate {
    struct vt_tier *tier;
    /* build */
    unsigned char *object; /* NULL: it was not built */
    size_t object_len;
    enum vt_build_end build_end;
    bool is_build_stored; /* the object came from the content store: nothing was compiled */
    struct vt_diagnostics diagnostics;
    char log_sha[VT_SHA256_HEX];
    char *log; /* what the compiler wrote; NULL when nothing */
    double build_ms, build_cpu_ms;
    uint64_t build_rss_kib;
    bool is_no_reading; /* the text is not what it was compiled as (reading.h) */
    char why[256];      /* it was refused, or does not load */
    const char *truth;  /* of a function in somebody's file: how its truth is made; NULL = the task is no such */
    char cflags[512];   /* and what it is compiled with */
    /* load and after */
    /* What a call of it must leave as it was. Compilers clear the upper halves of vector registers at -O2 and above;
     * code with options of its own may be compiled with less. */
    enum vt_wire_guard guard;
    bool is_reference; /* a task's own text: timed on several lanes at once, at home on each */
    struct vt_home home[VT_MAX_LANES];
    int lane;        /* where it was timed last */
    uint32_t layers; /* active in its process */
    int landlock_abi;
    bool is_unsafe;
    struct vt_call_result fault; /* of the last call that failed */
};

/* candidate.c */
vt_status vt_c_build(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                     struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
vt_status vt_c_reference(struct vt_station *s, const vt_task *t, enum vt_reference which, struct vt_candidate **out,
                         struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
vt_status vt_c_load(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                    struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
void vt_c_unload(struct vt_candidate *c);
vt_status vt_c_check(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                     vt_err *err) VT_MUST_USE;
vt_status vt_c_time(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                    vt_err *err) VT_MUST_USE;
vt_status vt_c_series(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, size_t n,
                      struct vt_check *out, size_t *n_done, vt_err *err) VT_MUST_USE;
void vt_c_candidate_close(struct vt_candidate *c);
/* explain.c */
void vt_c_explain(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                  const struct vt_check *failure, struct vt_say *out);
void vt_c_record(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                 struct vt_record_parts *parts);

#endif
