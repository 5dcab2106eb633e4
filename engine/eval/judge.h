/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.h: the stages of one evaluation. line.c owns threads and queues and calls these functions in order: build and
 * (unless only lanes run calls) check on a build station, the rest on a lane.
 */
#ifndef VT_EVAL_JUDGE_H
#define VT_EVAL_JUDGE_H

#include "eval/key.h"
#include "eval/subject.h"
#include "eval/turns.h"
#include "eval/verdict.h"

/* What all threads of a line share; read-only once it is open, the caches inside have their own locks. */
struct vt_lab {
    const struct vt_tier_ops *ops;
    struct vt_tier *tier;
    const struct vt_tier_caps *caps;
    vt_lease *lease;
    struct vt_subjects *subjects;
    vt_content *store;      /* NULL = no cache */
    struct vt_turns *turns; /* of each lane */
    struct vt_place all_lanes;
    char version[96]; /* evaluator and toolchain */
    uint64_t secret;
};

struct vt_case {
    /* the request */
    vt_task *task;
    struct vt_code code;
    bool is_copy_text, is_fresh, skip_timing;
    vt_protocol protocol;
    char scale[24];
    struct vt_case_keys keys; /* identity of the evaluation */
    /* on the way */
    char code_sha[VT_SHA256_HEX], artefact[VT_SHA256_HEX];
    struct vt_subject *subject;
    struct vt_candidate *candidate;
    bool is_checked;            /* else the lane checks it, too */
    struct vt_outcome *outcome; /* from the first stage on: a queued case stays small */
    char *cached_record;        /* a stored verdict that settles the case */
};
/* The code that a request asks about (*is_copy: the shown text again), and the identity of the evaluation: for the
 * queue, the store and whoever records verdicts. */
vt_status vt_case_name(const struct vt_lab *lab, const struct vt_eval_request *r, const char *scale,
                       struct vt_code *code, bool *is_copy, struct vt_case_keys *keys, vt_err *err) VT_MUST_USE;
/* *goes_on: it was built and wants to be checked. */
vt_status vt_judge_build(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *goes_on,
                         vt_err *err) VT_MUST_USE;
/* *goes_on: it is correct and wants to be timed. */
vt_status vt_judge_check(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *goes_on,
                         vt_err *err) VT_MUST_USE;
vt_status vt_judge_time(const struct vt_lab *lab, struct vt_station *station, int lane, struct vt_case *c,
                        vt_err *err) VT_MUST_USE;
/* The verdict; its strings live in the two buffers (initialised here). Deterministic failures go to the store. */
vt_status vt_case_verdict(const struct vt_lab *lab, struct vt_case *c, vt_verdict *out, struct vt_buf *feedback,
                          struct vt_buf *record, vt_err *err) VT_MUST_USE;
/* Closes the candidate and gives the subject back. */
void vt_case_release(const struct vt_lab *lab, struct vt_case *c);

#endif
