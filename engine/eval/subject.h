/* SPDX-License-Identifier: Apache-2.0
 *
 * subject.h: a task made ready to be judged at a scale under a protocol: its truth compiled, a pool of secret input
 * sets with their truths, baseline and tuned reference built and found correct, and the baseline's time.
 *
 * Making one costs about a second, so an evaluator keeps the most recently used (bounded in number and bytes). The two
 * protocols have pools of different secrets: a kernel promoted from `fast` to `full` meets inputs nobody has used.
 */
#ifndef VT_EVAL_SUBJECT_H
#define VT_EVAL_SUBJECT_H

#include "eval/c/build.h"
#include "eval/c/runner.h"
#include "eval/copycheck.h"
#include <pthread.h>
#include <vegttt/eval.h>

enum { VT_BASELINE, VT_TUNED, VT_N_REFERENCES };

struct vt_subject {
    vt_task *task;
    vt_protocol protocol;
    char scale[24];
    vt_truth *truth;
    struct vt_pool_sets pool;
    size_t n_timed; /* sets 0..n_timed-1 have the benchmark's distribution at `scale`: the timed pool */
    struct {
        unsigned char *object;
        size_t object_len;
        char text_sha[VT_SHA256_HEX];
        struct vt_runner *runner; /* timing thread only */
    } reference[VT_N_REFERENCES];
    uint64_t baseline_ns;      /* least of its checks, as processes: an upper estimate for deadlines */
    double tuned_log_ratio;    /* log(baseline / tuned), timing thread only; NAN until measured */
    struct vt_outputs outputs; /* of the timing thread */
    /* owned by the cache */
    int refs;
    bool is_ready;
    vt_status status;
    vt_err err;
    uint64_t used;
};

struct vt_subjects;
struct vt_subject_tools {
    struct vt_broker *broker;
    const struct vt_compiler *cc;
    vt_lease *lease;
    struct vt_outputs *outputs; /* of the calling thread */
};
vt_status vt_subjects_new(const char *truth_dir, uint64_t secret, struct vt_subjects **out, vt_err *err) VT_MUST_USE;
/* Only when no subject is held. */
void vt_subjects_free(struct vt_subjects *s);
/* Finds or makes the subject; other threads that want the same one wait. Give it back with vt_subject_put. */
vt_status vt_subject_get(struct vt_subjects *s, vt_task *task, const char *scale, vt_protocol protocol,
                         const struct vt_subject_tools *tools, struct vt_subject **out, vt_err *err) VT_MUST_USE;
void vt_subject_put(struct vt_subjects *s, struct vt_subject *x);

#endif
