/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.h: everything learnt about one candidate, and its two renderings: sentences for people and models, a JSON
 * record for files (reference fields of evals.jsonl).
 */
#ifndef VT_EVAL_VERDICT_H
#define VT_EVAL_VERDICT_H

#include "base/json.h"
#include "eval/c/build.h"
#include "eval/c/check_run.h"
#include "eval/c/cores.h"
#include "eval/timing.h"
#include <vegttt/eval.h>

enum { VT_FEEDBACK_MAX = 800 };

/* What makes a record more than its status. */
enum vt_flag {
    VT_FLAG_COPY = 1 << 0,
    VT_FLAG_CONTENDED = 1 << 1,
    VT_FLAG_BELOW_FLOOR = 1 << 2,   /* once: measured again */
    VT_FLAG_INPUT_WRITTEN = 1 << 3, /* died writing to an input */
    VT_FLAG_OVER_BOUND = 1 << 4,
    VT_FLAG_UNSAFE_JAIL = 1 << 5,
    VT_FLAG_DEFERRED = 1 << 6,
    VT_FLAG_CACHED = 1 << 7,
    VT_FLAG_ONE_CORE = 1 << 8,
    VT_FLAG_UNSETTLED = 1 << 9,         /* the timing's precision was not reached */
    VT_FLAG_NONDETERMINISTIC = 1 << 10, /* two runs on one input set left different bits */
    VT_FLAG_SHARED_CORE = 1 << 11       /* run core and clock core are halves of one */
};

enum vt_stage { VT_STAGE_EXTRACT, VT_STAGE_BUILD, VT_STAGE_LOAD, VT_STAGE_CHECK, VT_STAGE_TIME, VT_N_STAGES };

struct vt_outcome {
    vt_verdict_status status;
    enum vt_stage stage; /* the last one reached */
    uint32_t flags;      /* of enum vt_flag */
    char why[256];       /* extract and load failures, timeouts of the compiler */
    /* build */
    enum vt_build_end build_end;
    bool is_build_stored; /* the object came from the content store: nothing was compiled */
    struct vt_diagnostics diagnostics;
    char log_sha[VT_SHA256_HEX];
    char *log; /* what the compiler wrote; malloc'd, NULL when nothing */
    double build_ms, build_cpu_ms;
    uint64_t build_rss_kib;
    /* check */
    struct vt_check_result failure; /* when status is wrong_output, runtime_error or timeout */
    char failure_scale[24], failure_inputs[160];
    int n_checks;
    double worst, check_ms;
    uint32_t layers; /* active in the candidate's process */
    int landlock_abi;
    /* time */
    bool is_timed, is_copy;
    struct vt_trials trials;
    double tuned_log_ratio; /* log(baseline / tuned); NAN = no tuned reference */
    double floor_ns;
    int n_remeasured;
};
void vt_outcome_init(struct vt_outcome *o);

/* Who and what an outcome is about: the rest of the record. All lent. */
struct vt_subject_names {
    const vt_task *task;
    const vt_layout *layout; /* of the failing set's plan; for indices in feedback; may be NULL before the check */
    const char *scale, *code_sha, *key;
    vt_protocol protocol;
    const char *evaluator, *compiler, *machine;
    const struct vt_cores *cores;
    uint32_t seed;
};

/* Sentences, at most VT_FEEDBACK_MAX bytes, printable. */
void vt_feedback_write(const struct vt_outcome *o, const struct vt_subject_names *n, char out[VT_FEEDBACK_MAX + 1]);
/* The numbers of the public verdict. feedback and json are left NULL. */
void vt_outcome_verdict(const struct vt_outcome *o, vt_verdict *out);
vt_status vt_record_write(const struct vt_outcome *o, const struct vt_subject_names *n, const char *feedback,
                          struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
