/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.h: the stages of one evaluation. eval.c owns threads and queues and calls these two functions: the first on a
 * build thread (extract, build, load, check), the second on the timing thread.
 */
#ifndef VT_EVAL_JUDGE_H
#define VT_EVAL_JUDGE_H

#include "eval/c/cores.h"
#include "eval/c/roofline.h"
#include "eval/subject.h"
#include "eval/verdict.h"
#include "store/content.h"

#define VT_EVALUATOR_VERSION "c-3"

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
    struct vt_place place; /* what a timing holds */
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
    char *text;
    size_t len;
    bool is_answer, is_fresh, skip_timing;
    vt_protocol protocol;
    char scale[24];
    char key[VT_SHA256_HEX]; /* identity of the evaluation */
    /* on the way */
    struct vt_code code;
    char code_sha[VT_SHA256_HEX];
    unsigned char *object;
    size_t object_len;
    struct vt_subject *subject;
    struct vt_runner *runner;
    struct vt_outcome *outcome; /* from the first stage on: a queued case stays small */
    char *cached_record;        /* a stored verdict that settles the case */
};
/* Digest of what a verdict depends on, for the queue and the store. */
void vt_case_key(const struct vt_lab *lab, struct vt_case *c);
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
