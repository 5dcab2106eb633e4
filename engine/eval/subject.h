/* SPDX-License-Identifier: Apache-2.0
 *
 * subject.h: a task made ready to be judged at a scale under a protocol: the pool of input sets it meets, the tier's
 * ground for it, its own texts (baseline and tuned version) built and found correct, and the baseline's time.
 *
 * Making one costs about a second, so a line of the evaluator keeps the most recently used, bounded in number and
 * bytes.
 */
#ifndef VT_EVAL_SUBJECT_H
#define VT_EVAL_SUBJECT_H

#include "eval/estimate.h"
#include "eval/tier.h"
#include <pthread.h>

struct vt_subject {
    vt_protocol protocol;
    struct vt_pool pool;
    struct vt_ground *ground;
    size_t bytes;
    struct {
        struct vt_candidate *c; /* NULL: the task has none */
        char artefact[VT_SHA256_HEX];
    } reference[VT_N_REFERENCES];
    uint64_t baseline_ns;                               /* least of its checks: an upper estimate for deadlines */
    uint64_t known_ns[VT_MAX_LANES][VT_MAX_TIMED_SETS]; /* the baseline's fastest runs, where the tier stores them */
    double tuned_log_ratio[VT_MAX_LANES]; /* log(baseline / tuned), of each lane's thread; NAN until measured */
    /* owned by the cache */
    vt_task *task;
    int refs;
    bool is_ready;
    vt_status status;
    vt_err err;
    uint64_t used;
};

struct vt_subjects;
vt_status vt_subjects_new(const struct vt_tier_ops *ops, const struct vt_tier_caps *caps, uint64_t secret,
                          struct vt_subjects **out, vt_err *err) VT_MUST_USE;
/* Only when no subject is held. */
void vt_subjects_free(struct vt_subjects *s);
/* Finds the subject or makes it on this station; other threads that want the same one wait. Give it back with
 * vt_subject_put. */
vt_status vt_subject_get(struct vt_subjects *s, struct vt_station *station, vt_task *task, const char *scale,
                         vt_protocol protocol, struct vt_subject **out, vt_err *err) VT_MUST_USE;
void vt_subject_put(struct vt_subjects *s, struct vt_subject *x);

#endif
