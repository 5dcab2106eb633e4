/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.h: everything the core learnt about one candidate, and its two renderings: sentences for people and models, a
 * JSON record for files (reference fields of evals.jsonl). What only the tier knows (why it was not built, what a
 * failing call did, the walls around it) the tier adds to both.
 */
#ifndef VT_EVAL_VERDICT_H
#define VT_EVAL_VERDICT_H

#include "eval/estimate.h"
#include "eval/tier.h"

/* What makes a record more than its status. Tiers have flags of their own beside these. */
enum vt_flag {
    VT_FLAG_COPY = 1 << 0,
    VT_FLAG_CONTENDED = 1 << 1,
    VT_FLAG_BELOW_FLOOR = 1 << 2, /* once: measured again */
    VT_FLAG_OVER_BOUND = 1 << 3,
    VT_FLAG_DEFERRED = 1 << 4,
    VT_FLAG_UNSETTLED = 1 << 5,        /* the timing's precision was not reached */
    VT_FLAG_NONDETERMINISTIC = 1 << 6, /* two runs on one input set left different bits */
    VT_FLAG_UNDEFINED = 1 << 7         /* right only as this compiler optimises it */
};

/* One more timing of the same two: at other places, or on contaminated inputs. */
enum { VT_MAX_PLACED = 8 };
struct vt_placed {
    unsigned placement;
    bool is_spiced, is_settled;
    int n_pairs;
    double log_ratio, lo, hi;
};

struct vt_outcome {
    vt_verdict_status status;
    enum vt_stage stage;   /* the last one reached */
    uint32_t flags;        /* of enum vt_flag */
    bool is_deterministic; /* judged again it would fail the same way */
    char why[256];         /* malformed answers */
    /* check */
    bool has_failure; /* a call failed, while checked or timed */
    struct vt_check failure;
    char failure_scale[VT_SCALE_SIZE], failure_inputs[160];
    int n_checks; /* calls that were compared before timing, and in how many processes */
    int n_check_processes;
    size_t longest;             /* calls of one process, the last of them compared */
    int n_repeats, n_differing; /* on sets met before; those that left other bits */
    int n_timed;                /* calls that were timed and compared */
    double worst, check_ms;
    /* time */
    bool is_timed, is_copy;
    struct vt_trials trials;  /* at the first placement, on the benchmark's inputs */
    double log_ratio, lo, hi; /* over all placements */
    struct vt_placed placed[VT_MAX_PLACED];
    size_t n_placed;
    bool is_sure;
    const char *unsure;     /* why a speedup above 1 is not sure; NULL: it is, or there is none */
    double tuned_log_ratio; /* log(baseline / tuned); NAN = no tuned reference */
    double floor_ns;
    int n_remeasured;
};
void vt_outcome_init(struct vt_outcome *o);

/* Who and what an outcome is about: the rest of the record. All lent. */
struct vt_subject_names {
    const vt_task *task;
    const char *scale, *code_sha, *key;
    vt_protocol protocol;
    const char *evaluator, *machine;
    const struct vt_tier_ops *ops;
    const struct vt_tier *tier;
    const struct vt_candidate *candidate; /* NULL before it was built */
};

void vt_feedback_write(const struct vt_outcome *o, const struct vt_subject_names *n, struct vt_say *out);
/* The numbers of the public verdict. feedback and json are left NULL. */
void vt_outcome_verdict(const struct vt_outcome *o, vt_verdict *out);
vt_status vt_record_write(const struct vt_outcome *o, const struct vt_subject_names *n, const char *feedback,
                          struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
