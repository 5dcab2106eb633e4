/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.h: the stages of one evaluation. eval.c owns threads and queues and calls these two functions: the first on a
 * build thread (extract, build, load, check), the second on the timing thread.
 */
#ifndef VT_EVAL_JUDGE_H
#define VT_EVAL_JUDGE_H

#include "eval/c/cores.h"
#include "eval/c/roofline.h"
#include "eval/key.h"
#include "eval/subject.h"
#include "eval/verdict.h"
#include "store/content.h"

#define VT_EVALUATOR_VERSION "c-4"

/* What all threads of an evaluator share; read-only after vt_eval_open, the caches inside have their own locks. */
struct vt_lab {
    struct vt_compiler cc;
    vt_lease *lease;
    struct vt_subjects *subjects;
    vt_content *store;            /* NULL = no cache */
    struct vt_roofline *roofline; /* timing thread only */
    char *roofline_file;
    char machine[160], version[96];
    uint64_t secret;
    bool allow_unsafe_jail;
    int machine_lock; /* see timing.h */
    struct vt_cores cores;
    enum vt_call_clock clock;
};
/* What each thread has for itself. */
struct vt_station {
    struct vt_broker *broker;
    struct vt_outputs outputs;
};

struct vt_case {
    /* the request */
    vt_task *task;
    struct vt_code code;
    bool is_fresh, skip_timing;
    vt_protocol protocol;
    char scale[24];
    struct vt_case_keys keys; /* identity of the evaluation */
    /* on the way */
    char code_sha[VT_SHA256_HEX];
    unsigned char *object;
    size_t object_len;
    struct vt_subject *subject;
    struct vt_runner *runner;
    struct vt_outcome *outcome; /* from the first stage on: a queued case stays small */
    char *cached_record;        /* a stored verdict that settles the case */
};
/* The code that a request asks about, and the identity of the evaluation: for the queue, the store and whoever records
 * verdicts. */
vt_status vt_case_name(const struct vt_lab *lab, const struct vt_eval_request *r, const char *scale,
                       struct vt_code *code, struct vt_case_keys *keys, vt_err *err) VT_MUST_USE;
/* *wants_timing: the case is correct and waits for vt_judge_time. */
vt_status vt_judge_check(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c, bool *wants_timing,
                         vt_err *err) VT_MUST_USE;
vt_status vt_judge_time(const struct vt_lab *lab, struct vt_station *station, struct vt_case *c,
                        vt_err *err) VT_MUST_USE;
/* The verdict; its strings live in the two buffers (initialised here). Deterministic failures go to the store. */
vt_status vt_case_verdict(const struct vt_lab *lab, struct vt_case *c, vt_verdict *out, struct vt_buf *feedback,
                          struct vt_buf *record, vt_err *err) VT_MUST_USE;
/* Ends the candidate's process and gives the subject back. */
void vt_case_release(const struct vt_lab *lab, struct vt_case *c);

#endif
