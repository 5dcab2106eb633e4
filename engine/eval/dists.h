/* SPDX-License-Identifier: Apache-2.0
 *
 * dists.h: the distributions of inputs, by name, and the keys that every value of a set derives from. A value is a pure
 * function of (secret, task digest, scale, array, set, distribution, element index): a set can be made again anywhere,
 * by any tier, and never has to be kept or sent.
 *
 *   set     vt_set_key(...)            array a   vt_seed_mix(set, a)            row r   vt_seed_mix(array, r)
 *
 * A distribution is raw numbers (uniform or normal) and a transformation of each row in place; what each one is for
 * stands at its name in dists.c.
 */
#ifndef VT_EVAL_DISTS_H
#define VT_EVAL_DISTS_H

#include "eval/sizes.h"

enum vt_dist_kind {
    VT_DIST_RAW,
    VT_DIST_SIGNED,
    VT_DIST_KAIMING,
    VT_DIST_SCALED,
    VT_DIST_POSITIVE,
    VT_DIST_WIDE,
    VT_DIST_EDGES,
    VT_DIST_ROWSCALE,
    VT_DIST_OFFSET,
    VT_DIST_NEEDLE,
    VT_DIST_TINY,
    VT_DIST_CONSTANT,
    VT_DIST_TIES,
    VT_DIST_NEARONE,
    VT_DIST_CANCEL,
    VT_DIST_PROBS,
    VT_DIST_PEAKED,
    VT_DIST_LOGITS,
    VT_DIST_PM1,
    VT_DIST_ONES,
    VT_DIST_CLOSE,
    VT_DIST_SHIFTED,
    VT_DIST_EVEN,
    VT_DIST_HUGE,
    VT_DIST_BELOW,
    VT_DIST_ABOVE,
    VT_DIST_FAR_BELOW,
    VT_DIST_FAR_ABOVE,
    VT_DIST_ZEROS, /* of floats and of integers */
    VT_DIST_SINGLE,
    VT_DIST_VALUE,
    VT_DIST_LABELS, /* integer arrays */
    VT_DIST_MASK,
    VT_DIST_SPAN,
    VT_DIST_ENDS,
    VT_DIST_SPARSE,
    VT_DIST_SMALL,
    VT_N_DISTS
};
struct vt_dist {
    const char *name;
    enum vt_dist_kind kind;
    bool is_normal; /* raw numbers: N(0,1), else U[0,1) */
    bool per_array; /* the transformation sees the whole array as one row */
};
/* NULL when arrays of this type have no such distribution. */
const struct vt_dist *vt_dist_find(const char *name, enum vt_dtype dtype);
/* As a `spice`: no distribution of the task, but numbers that ordinary ones do not reach, in the arrays where any real
 * number is an input.
 *
 *   huge     some of 30 to 10000 (250 at a tolerance of 3e-5), with either sign. Ordinary distributions end near 25,
 *            where an exponential without its clamp is still right. In a convolution a whole image is multiplied by
 *            such a number: a transformed form loses the digits of what stands beside a single one.
 *   below, above   all of them: beyond a number of 2000 to 1e5 on one side of zero. A maximum that starts at -1000, a
 *            tail that holds up to a thousand.
 *   far      the same, beyond 1e6 to 1e18; at drawn sizes beyond 1e28 to 5e29
 */
enum {
    VT_SPICE_HUGE = VT_TASK_MAX_DISTS,
    VT_SPICE_BELOW,
    VT_SPICE_ABOVE,
    VT_SPICE_FAR_BELOW,
    VT_SPICE_FAR_ABOVE,
    VT_N_FAR = VT_SPICE_FAR_ABOVE - VT_SPICE_HUGE
};
/* Where the exceptions of this array come from; NULL: it has none. */
const struct vt_dist *vt_spice_find(const vt_task *t, size_t array, int dist, int spice);
uint64_t vt_set_key(const vt_task *t, const char *scale, uint64_t key, uint64_t set, int dist);
/* "x: normal, w: kaiming": what distribution index `dist` means for this task, with "x: uniform with some normal" where
 * spice is not 0. Writes a NUL-terminated string. */
void vt_inputs_describe(const vt_task *t, int dist, int spice, char *out, size_t n);

/* ---- the pool: which sets a candidate meets ---- */

/* First the timed sets: four or six of the benchmark's distribution, then contaminated ones, in which a few elements at
 * secret positions come from another distribution of the task (two or four sets, of kinds drawn in secret) or are huge
 * (as many): a kernel that looks at some of its input and chooses a formula that holds only for those is wrong
 * there. Then one or two of every other distribution, two or four that lie beside zero altogether, and the irregular
 * scale "hidden" when the task has one. Last, the drawn sizes (sizes.h), a contaminated set and one of another
 * distribution at each, at some of them one beside zero; with the protocol `full` the sizes go on to all residues
 * modulo 64. The two protocols have keys of their own: a kernel promoted from `fast` to `full` meets inputs and sizes
 * nobody has used. Contaminated sets and drawn sizes are for tiers that take them. */
struct vt_pool_set {
    const char *scale; /* lent: the pool's own or a static string */
    int dist;
    int spice; /* distribution of the exceptions, or VT_SPICE_…; 0: none */
    /* The task's own texts come close to the bound here, by rounding, or overflow on huge numbers: the set would refuse
     * honest kernels and is left out. Found when the task is made ready; contaminated and drawn sets only. */
    bool is_unfit;
};
enum { VT_POOL_MAX_SETS = 14 + 2 * VT_TASK_MAX_DISTS + VT_N_FAR + 3 * VT_MAX_DRAWN };
struct vt_pool {
    vt_task *task; /* lent */
    char scale[24];
    char drawn[VT_MAX_DRAWN][VT_SCALE_SIZE];
    uint64_t key; /* of vt_set_key; the index of a set in the pool is its number */
    struct vt_pool_set set[VT_POOL_MAX_SETS];
    size_t n_timed, n_spiced; /* the benchmark's own sets, then contaminated ones: these are timed */
    size_t first_drawn, n_sets;
    bool is_full;
};
/* Without drawn sizes; with contaminated sets where is_spiced. The pool keeps pointers into itself. */
void vt_pool_plan(struct vt_pool *p, vt_task *task, const char *scale, bool is_full, bool is_spiced, uint64_t secret);
/* Adds them. */
void vt_pool_draw(struct vt_pool *p);
/* Those of the contaminated timed sets that are fit, at most `most`; their number. */
size_t vt_pool_spiced(const struct vt_pool *p, size_t *set, size_t most);
/* Refuses, with EINVAL, a pool whose arrays of all sets are more together than this tier takes; nothing is allocated.
 */
vt_status vt_pool_check(const struct vt_pool *p, const char *tier, size_t max_bytes, vt_err *err) VT_MUST_USE;

#endif
