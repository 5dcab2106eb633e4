/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.h: what stands behind the door of the torch tier, shared by torch_tier.c, torch_station.c (processes) and
 * call.c (candidates).
 */
#ifndef VT_EVAL_TORCH_PARTS_H
#define VT_EVAL_TORCH_PARTS_H

#include "eval/tier.h"
#include "eval/torch/process.h"
#include <stdatomic.h>

enum { VT_TORCH_WHY = 640 };

struct vt_tier {
    struct vt_tier_caps caps;
    bool allow_unsafe;
    char toolchain[VT_SHA256_HEX], machine[200], torch[40], kind[8], device[128];
    int n_devices;
    atomic_uint_fast64_t next_id;
};
struct vt_station {
    struct vt_tier *tier;
    int device;           /* below 0: none is chosen */
    pthread_mutex_t lock; /* of is_cancelled and of the processes' replacement against cancel */
    bool is_cancelled;
    /* The baseline runs where a candidate runs, in a process of its own: what a change of process costs a GPU, both
     * pay.
     */
    struct vt_torch_process judge, worker[2], spare;
    char folder[64]; /* shared memory of the two */
    unsigned n_workers;
    uint64_t ground, loaded[2]; /* in the judge; in the workers */
    vt_json *share;             /* how its memory is borrowed; of the ground */
};
struct vt_ground {
    uint64_t id;
    const struct vt_pool *pool;
};
struct vt_candidate {
    struct vt_tier *tier;
    uint64_t id;
    bool is_trusted, is_whole, is_timeout;
    char *code;
    struct vt_ground *ground;
    vt_json *layers; /* of the walls around it */
    char truth[16];
    char why[VT_TORCH_WHY];   /* not loaded, or its failing call */
    char diffs[VT_TORCH_WHY]; /* of its wrong output, in words */
};

/* torch_station.c */
/* What a Python of this machine says of itself. EUNSUPPORTED where there is none with torch. */
vt_status vt_torch_look(vt_json **reply, vt_err *err) VT_MUST_USE;
vt_status vt_torch_station_open(struct vt_tier *t, const struct vt_seat *seat, struct vt_station **out,
                                vt_err *err) VT_MUST_USE;
vt_status vt_torch_station_ready(struct vt_station *s, vt_err *err) VT_MUST_USE;
void vt_torch_station_close(struct vt_station *s);
void vt_torch_cancel(struct vt_station *s);
/* One exchange with the judge, which is started, and told of the ground, where it is not there. */
vt_status vt_torch_ask_judge(struct vt_station *s, const struct vt_ground *g, vt_json *request, vt_json **reply,
                             uint64_t *ns, vt_err *err) VT_MUST_USE;
/* Another process in the worker's place; of the candidate (0) or the baseline (1). */
vt_status vt_torch_new_worker(struct vt_station *s, int which, vt_err *err) VT_MUST_USE;
void vt_torch_end_worker(struct vt_station *s, int which);
vt_json *vt_torch_request(const char *op);
/* call.c */
vt_status vt_torch_build(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                         struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
vt_status vt_torch_reference(struct vt_station *s, const vt_task *t, enum vt_reference which, struct vt_candidate **out,
                             struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
vt_status vt_torch_load(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                        struct vt_stage_result *result, vt_err *err) VT_MUST_USE;
void vt_torch_unload(struct vt_candidate *c);
vt_status vt_torch_check(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                         vt_err *err) VT_MUST_USE;
vt_status vt_torch_time(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                        vt_err *err) VT_MUST_USE;
void vt_torch_candidate_close(struct vt_candidate *c);
void vt_torch_explain(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                      const struct vt_check *failure, struct vt_say *out);
void vt_torch_record(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                     struct vt_record_parts *parts);

#endif
