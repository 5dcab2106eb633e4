/* SPDX-License-Identifier: Apache-2.0
 *
 * sizes.c: which sizes a kernel must be right at.
 *
 * A kernel that is checked at sizes it can know is right at those sizes. The classic errors need particular ones:
 * `i + 8 < n` fails where n is a multiple of 8, a missing tail where it is none, four rows read without a question
 * where there are three, a short counter beyond 32,767, a square assumption where sides differ. So sizes of each such
 * kind are drawn from the task's ranges, anew in every process.
 *
 * Sizes depend on each other: shapes are expressions that must stay positive, `where` may tie one size to another, and
 * all have a cost together. A draw starts from a point that is allowed (`low`: from the sizes of the scale every size
 * is lowered as far as it goes while the others stand) and changes one size after the other, in random order, to a
 * value of the wanted kind, where that is allowed within the cost; a size for which no try fits keeps its low value.
 * So every draw is allowed by construction, and with few exceptions what was wanted.
 *
 * Costs are relative to the scale's own bytes and flops: most draws may cost a third of it (a check of all of them is
 * to cost little beside the compiler), those that cannot be small a little more than all of it.
 */
#include "eval/sizes.h"
#include "base/rng.h"
#include "eval/task_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RESIDUES = 64, TRIES = 16, LOWERING = 256, SMALL = 4096 };

struct cost {
    double bytes, flops; /* of the scale's */
};
static const struct cost small = {0.34, 0.34}, whole = {1.0, 1.0}, large = {1.6, 2.0};

struct drawer {
    const vt_task *t;
    struct vt_stream random;
    int32_t low[VT_TASK_MAX_SIZES], own[VT_TASK_MAX_SIZES]; /* own: the scale's */
    double bytes, flops;
    char (*out)[VT_SCALE_SIZE];
    size_t n;
};

static int64_t below(struct drawer *d, int64_t n)
{
    return (int64_t)vt_stream_below(&d->random, (uint64_t)(n > 0 ? n : 1));
}

static bool is_allowed(const struct drawer *d, const int32_t *v, struct cost most)
{
    vt_layout l;
    for (size_t j = 0; j < d->t->n_sizes; j++)
        if (v[j] < d->t->range[j].lo || v[j] > d->t->range[j].hi)
            return false;
    return vt_task_where_holds(d->t, v) && vt_task_layout_at(d->t, v, &l, NULL) == VT_OK &&
           (double)l.total_bytes <= most.bytes * d->bytes && (double)l.flops <= most.flops * d->flops;
}

static bool put(const struct drawer *d, int32_t *v, size_t j, int64_t x, struct cost most)
{
    int32_t old = v[j];
    if (x < 0 || x > INT32_MAX)
        return false;
    v[j] = (int32_t)x;
    if (is_allowed(d, v, most))
        return true;
    v[j] = old;
    return false;
}

/* The same draw twice would tell nothing. */
static bool keep(struct drawer *d, const int32_t *v)
{
    size_t at = 0;
    if (d->n == VT_MAX_DRAWN)
        return false;
    for (size_t j = 0; j < d->t->n_sizes; j++) {
        int w = snprintf(d->out[d->n] + at, VT_SCALE_SIZE - at, "%c%d", j ? ',' : VT_SCALE_WRITTEN, v[j]);
        at += w > 0 ? (size_t)w : 0;
        if (at >= VT_SCALE_SIZE)
            return false;
    }
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->out[i], d->out[d->n]) == 0)
            return false;
    d->n++;
    return true;
}

static void shuffle(struct drawer *d, size_t *order)
{
    for (size_t j = 0; j < d->t->n_sizes; j++)
        order[j] = j;
    for (size_t j = d->t->n_sizes; j > 1; j--) {
        size_t k = (size_t)below(d, (int64_t)j), x = order[j - 1];
        order[j - 1] = order[k];
        order[k] = x;
    }
}

static void find_low(struct drawer *d, const int32_t *from)
{
    memcpy(d->low, from, sizeof d->low);
    for (int pass = 0; pass < 3; pass++)
        for (size_t j = 0; j < d->t->n_sizes; j++)
            for (int64_t x = d->t->range[j].lo > 0 ? d->t->range[j].lo : 1, end = x + LOWERING;
                 x < d->low[j] && x < end; x++)
                if (put(d, d->low, j, x, whole))
                    break;
}

/* ---- kinds ---- */

static bool is_prime(int64_t x)
{
    for (int64_t k = 2; k * k <= x; k++)
        if (x % k == 0)
            return false;
    return x > 1;
}

/* From low to about `most`, small ones as likely as large ones. */
static int64_t log_uniform(struct drawer *d, size_t j, double most)
{
    double from = d->low[j] + 3, to = fmin(d->t->range[j].hi, most);
    return to > from ? (int64_t)(from * pow(to / from, vt_stream_uniform(&d->random))) : d->low[j];
}

typedef int64_t pick_fn(struct drawer *d, size_t j, const int32_t *v, double most);

static int64_t pick_prime(struct drawer *d, size_t j, const int32_t *v, double most)
{
    int64_t x = log_uniform(d, j, most);
    (void)v;
    while (x > d->low[j] && !is_prime(x))
        x--;
    return x;
}

static int64_t pick_eights(struct drawer *d, size_t j, const int32_t *v, double most)
{
    int64_t x = (log_uniform(d, j, most) + 7) / 8 * 8;
    (void)v;
    return x % RESIDUES ? x : x + 8;
}

static int64_t pick_64s(struct drawer *d, size_t j, const int32_t *v, double most)
{
    (void)j;
    (void)v;
    return most > SMALL / 2 ? RESIDUES * (1 + below(d, 4)) : RESIDUES; /* small ones: others want to be round, too */
}

/* Unlike every other size so far. */
static int64_t pick_unequal(struct drawer *d, size_t j, const int32_t *v, double most)
{
    int64_t x = log_uniform(d, j, most);
    for (size_t k = 0; k < d->t->n_sizes; k++)
        if (k != j && v[k] == x)
            x++;
    return x;
}

/* From large to small values: what does not fit with the first tries may with the last. */
static bool set(struct drawer *d, int32_t *v, size_t j, pick_fn *pick, struct cost most)
{
    double range = SMALL;
    for (int k = 0; k < TRIES; k++, range = fmax(range * 0.7, 16))
        if (put(d, v, j, pick(d, j, v, range), most))
            return true;
    return false;
}

/* Nothing to do, by each size that may be 0, and by all. */
static void draw_nothing(struct drawer *d)
{
    int32_t all[VT_TASK_MAX_SIZES];
    memcpy(all, d->low, sizeof all);
    for (size_t j = 0; j < d->t->n_sizes; j++) {
        int32_t v[VT_TASK_MAX_SIZES];
        memcpy(v, d->low, sizeof v);
        if (put(d, v, j, 0, whole))
            (void)keep(d, v);
        (void)put(d, all, j, 0, whole);
    }
    if (d->t->n_sizes > 1)
        (void)keep(d, all);
}

static void draw_tiny(struct drawer *d, int step)
{
    int32_t v[VT_TASK_MAX_SIZES];
    size_t order[VT_TASK_MAX_SIZES];
    memcpy(v, d->low, sizeof v);
    shuffle(d, order);
    for (size_t k = 0; k < d->t->n_sizes; k++) {
        size_t j = order[k];
        for (int more = 0; more < 3 && !put(d, v, j, d->low[j] + (step + (int)j + more) % 3, whole); more++) {
        }
    }
    (void)keep(d, v);
}

static void draw_kind(struct drawer *d, pick_fn *pick, pick_fn *otherwise, struct cost most)
{
    int32_t v[VT_TASK_MAX_SIZES];
    size_t order[VT_TASK_MAX_SIZES];
    for (int turn = 0; turn < 4; turn++) {
        memcpy(v, d->low, sizeof v);
        shuffle(d, order);
        for (size_t k = 0; k < d->t->n_sizes; k++)
            if (!set(d, v, order[k], pick, most) && otherwise)
                (void)set(d, v, order[k], otherwise, most);
        if (keep(d, v))
            return;
    }
}

/* One size as large as it may be while the others are low; beyond the scale's own where that is allowed. */
static void draw_large(struct drawer *d, size_t j)
{
    int32_t v[VT_TASK_MAX_SIZES];
    int64_t from = d->low[j], to = d->t->range[j].hi;
    memcpy(v, d->low, sizeof v);
    while (from < to) { /* a condition may leave holes: then less than the largest is found, which is allowed, too */
        int64_t x = from + (to - from + 1) / 2;
        v[j] = d->low[j];
        if (put(d, v, j, x, large))
            from = x;
        else
            to = x - 1;
    }
    v[j] = (int32_t)from;
    int64_t width = from > d->own[j] && from - d->own[j] < from / 4 ? from - d->own[j] : from / 4 + 1;
    for (int k = 0; k < TRIES; k++)
        if (put(d, v, j, from - below(d, width), large) && keep(d, v))
            return;
}

/* ---- residues ---- */

/* Each draw serves as many sizes as fit into its cost; what did not fit is tried again, at last alone. */
static void draw_residues(struct drawer *d)
{
    bool seen[VT_TASK_MAX_SIZES][RESIDUES] = {{false}};
    size_t n_open = d->t->n_sizes * RESIDUES, order[VT_TASK_MAX_SIZES];
    while (n_open > 0 && d->n < VT_MAX_DRAWN) {
        int32_t v[VT_TASK_MAX_SIZES];
        size_t before = n_open;
        memcpy(v, d->low, sizeof v);
        shuffle(d, order);
        for (size_t k = 0; k < d->t->n_sizes; k++) {
            size_t j = order[k];
            int64_t r = below(d, RESIDUES), step = 0;
            while (step < RESIDUES && seen[j][(r + step) % RESIDUES])
                step++;
            if (step == RESIDUES)
                continue;
            r = (r + step) % RESIDUES;
            int64_t x = d->low[j] + (r - d->low[j] % RESIDUES + RESIDUES) % RESIDUES;
            bool fits = put(d, v, j, x + RESIDUES * below(d, 2), small) || put(d, v, j, x, small);
            /* Alone it must fit, or it never will. */
            if (!fits && n_open == before)
                fits = put(d, v, j, x, whole);
            if (fits || n_open == before) {
                seen[j][r] = true;
                n_open--;
            }
        }
        (void)keep(d, v);
    }
}

size_t vt_sizes_draw(const vt_task *t, const char *scale, bool all_residues, uint64_t key,
                     char out[VT_MAX_DRAWN][VT_SCALE_SIZE])
{
    struct drawer d = {.t = t, .out = out};
    vt_layout l;
    bool varies = false;
    for (size_t j = 0; j < t->n_sizes; j++)
        varies |= t->range[j].lo < t->range[j].hi;
    if (!varies || vt_task_layout(t, scale, &l, NULL) != VT_OK)
        return 0;
    vt_stream_init(&d.random, vt_seed_mix(vt_seed_str(key, t->digest), 0x512e5));
    memcpy(d.own, l.size, sizeof d.own);
    d.bytes = (double)l.total_bytes;
    d.flops = (double)l.flops;
    if (!is_allowed(&d, l.size, whole))
        return 0;
    find_low(&d, l.size);
    draw_nothing(&d);
    int shift = (int)below(&d, 3);
    for (int k = 0; k < 3; k++)
        draw_tiny(&d, shift + k);
    draw_kind(&d, pick_prime, NULL, small);
    draw_kind(&d, pick_eights, NULL, small);
    draw_kind(&d, pick_64s, pick_eights, whole);
    draw_kind(&d, pick_unequal, NULL, small);
    for (size_t j = 0; j < t->n_sizes; j++)
        draw_large(&d, j);
    if (all_residues)
        draw_residues(&d);
    return d.n;
}
