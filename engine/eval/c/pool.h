/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.h: the pool of secret input sets of a task with their truths.
 *
 * One memory file holds all input sets; it is sealed, so the candidate's mappings can only read. Around each array lies
 * margin (NaN in inputs, poison in outputs). Outputs live in files of their own, one per thread that runs calls.
 *
 * The pool stays with the trusted process. Only the bytes of inputs are ever shared, never an expectation.
 */
#ifndef VT_EVAL_C_POOL_H
#define VT_EVAL_C_POOL_H

#include "eval/c/plan.h"
#include "eval/c/truth.h"
#include "eval/dists.h"

struct vt_set {
    const struct vt_plan *plan;
    const char *scale; /* lent by the pool's rules */
    int dist, spice;
    size_t in_at; /* of this set in the input file */
    struct vt_expect expect;
};

struct vt_pool_sets {
    struct vt_plan *plan; /* one a set: arrays lie elsewhere in each */
    struct vt_set *set;
    size_t n_sets;
    int in_fd;
    unsigned char *in_map;
    size_t in_bytes;
    size_t out_bytes, va_bytes; /* largest of the plans, series of calls (rounds.h) included */
};
/* Draws the inputs of every set of the rules, computes every truth, seals the file. A guest of the lease. */
vt_status vt_pool_sets_make(const struct vt_pool *rules, vt_truth *truth, vt_lease *lease, struct vt_pool_sets *out,
                            vt_err *err) VT_MUST_USE;
void vt_pool_sets_free(struct vt_pool_sets *p);

/* Pointers to the arrays of a set: inputs in the pool, outputs (and state, as left by a call) in out_map. */
void vt_set_buffers(const struct vt_pool_sets *p, const struct vt_set *s, unsigned char *out_map,
                    void *buf[VT_TASK_MAX_ARRAYS]);
/* After a call: are all margins of the outputs still the poison? If not, *array and *before say where. */
bool vt_set_margins_hold(const struct vt_set *s, const unsigned char *out_map, uint64_t poison, size_t *array,
                         bool *is_before);
/* Number of output elements still holding the poison. */
int64_t vt_set_unwritten(const struct vt_set *s, const unsigned char *out_map, uint64_t poison);
/* Of the bits of all outputs: differs when two calls on a set wrote different values. No defence against intent. */
uint64_t vt_set_digest(const struct vt_set *s, const unsigned char *out_map);

#endif
