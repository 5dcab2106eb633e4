/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h: how a task's arrays lie in shared memory, and the pool of secret input sets with their truths.
 *
 * A plan places each array of a task at a scale at the end of whole pages, 64-byte aligned: what lies before it in
 * its first page and after it up to the page's end is margin (NaN in inputs, poison in outputs), then comes unmapped
 * address space. One memory file holds all input sets of a pool; it is sealed, so the candidate's mappings can only
 * read. Outputs live in files of their own, one per thread that runs calls.
 *
 * The pool stays with the trusted process. Only the bytes of inputs are ever shared, never an expectation.
 */
#ifndef VT_EVAL_C_PLAN_H
#define VT_EVAL_C_PLAN_H

#include "base/thread.h"
#include "eval/c/worker/protocol.h"
#include "eval/check.h"

struct vt_plan {
    vt_layout layout;
    struct vt_wire_array array[VT_WIRE_MAX_ARRAYS]; /* in_at is relative to a set */
    size_t in_bytes, out_bytes, va_bytes;
    uint32_t n_ints, n_floats;
    int64_t ints[VT_WIRE_MAX_INTS];
    float floats[VT_WIRE_MAX_FLOATS];
};
vt_status vt_plan_make(const vt_task *t, const char *scale, struct vt_plan *out, vt_err *err) VT_MUST_USE;

struct vt_set {
    const struct vt_plan *plan;
    const char *scale; /* lent by the pool */
    int dist;
    uint64_t number;
    size_t in_at; /* of this set in the input file */
    struct vt_expect expect;
};

/* What a pool should hold: n sets of each line. */
struct vt_set_wish {
    const char *scale; /* static string */
    int dist, n;
};
struct vt_pool_sets {
    struct vt_plan *plan; /* one per scale */
    size_t n_plans;
    struct vt_set *set;
    size_t n_sets;
    int in_fd;
    unsigned char *in_map;
    size_t in_bytes;
    size_t out_bytes, va_bytes; /* largest of the plans */
};
/* Draws the inputs (keyed by `key`), computes every truth, seals the file. The n-th set of a distribution differs from
 * all others. A guest of the lease, set by set. */
vt_status vt_pool_sets_make(vt_task *t, vt_truth *truth, uint64_t key, const struct vt_set_wish *wish, size_t n_wishes,
                            vt_lease *lease, struct vt_pool_sets *out, vt_err *err) VT_MUST_USE;
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
