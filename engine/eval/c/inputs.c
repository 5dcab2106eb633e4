/* SPDX-License-Identifier: Apache-2.0
 *
 * inputs.c: secret input sets on the CPU: raw numbers, then the transformation that the distribution's name stands for
 * (eval/dists.h) of each row.
 *
 * Speed: Philox (base/rng.h) derives one 64-bit key per array and one per row; inside an array a keyed 32-bit
 * finaliser (two multiplications; constants by C. Wellons, "Prospecting for hash functions", 2018) turns the element
 * index into bits in a loop that vectorises. Normals come from a piecewise-linear quantile function with 1,024 equal
 * steps: exact moments do not matter here, cost does; the tails end at +-3.5.
 */
#include "eval/c/inputs.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/dists.h"
#include "eval/task_parts.h"
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTILES = 1024, ORDINARY = 40 };
static const double huge_from = 30, huge_to = 1e4, huge_least_top = 100;
static const double below_from = 2e3, below_to = 1e5, far_from = 1e6, far_to = 1e18, top_from = 1e28, top_to = 5e29;

/* One row of an array under transformation; key is the row's own. */
struct row {
    float *x;
    int64_t n, index;
    uint64_t key;
    double fan_in;
};
typedef void row_fn(const struct row *r);

static double row_uniform(const struct row *r, uint64_t salt)
{
    return vt_philox_uniform(r->key, salt, 1);
}

static double row_normal(const struct row *r, uint64_t salt)
{
    double u = row_uniform(r, salt), v = row_uniform(r, salt + 100);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

static void scale_by(const struct row *r, float s)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] *= s;
}

static void shift_by(const struct row *r, float s)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] += s;
}

static void to_signed(const struct row *r)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = 2.0f * r->x[i] - 1.0f;
}

static void to_kaiming(const struct row *r)
{
    float s = (float)(1 / sqrt(r->fan_in));
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = (2.0f * r->x[i] - 1.0f) * s;
}

static void to_scaled(const struct row *r)
{
    scale_by(r, (float)row_uniform(r, 0));
}

static void to_positive(const struct row *r)
{
    shift_by(r, 0.5f);
}

static void to_wide(const struct row *r)
{
    scale_by(r, 5.0f);
}

/* Values at which piecewise functions change, both zeros among them, between ordinary ones. */
static void to_edges(const struct row *r)
{
    static const float edges[] = {0.0f, -0.0f, 1.0f, -1.0f, 3.0f, -3.0f, 0.5f, -0.5f, 20.0f, -20.0f, 6.0f, 1e-6f};
    size_t at = (size_t)(row_uniform(r, 0) * 12);
    for (int64_t i = 0; i < r->n; i += 3)
        r->x[i] = edges[at++ % 12];
}

static void to_rowscale(const struct row *r)
{
    scale_by(r, (float)exp(3 * row_normal(r, 0)));
}

static void to_offset(const struct row *r)
{
    shift_by(r, (float)(10 * row_normal(r, 0)));
}

static float needle_of(float x)
{
    return x < 0 ? -300.0f + x : 300.0f + x;
}

/* One element 300 times the others: what a sampled or skipped element would miss. It lies in the first quarter of its
 * row, so that a serial sum carries it along and the bound made from that sum holds for every other order. */
static void to_needle(const struct row *r)
{
    int64_t at = (int64_t)(row_uniform(r, 0) * (double)r->n / 4);
    r->x[at] = needle_of(r->x[at]);
}

/* Rows far below any epsilon between ordinary ones. */
static void to_tiny(const struct row *r)
{
    scale_by(r, r->index % 3 == 0 ? 1e-3f : r->index % 3 == 1 ? 1e-5f : 1.0f);
}

/* The error model takes roundings as independent; in a sum of equal numbers they are not. So the constants are small
 * multiples of 1/2, whose sums are exact: what is left to see is what a body does with a variance of 0. */
static void to_constant(const struct row *r)
{
    float c = 0.5f * (float)(1 + (int)(row_uniform(r, 0) * 6));
    c = row_uniform(r, 1) < 0.5 ? -c : c;
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = c;
}

static void to_ties(const struct row *r)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = 0.5f * floorf(2.0f * r->x[i]);
}

static void to_nearone(const struct row *r)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = 1.0f + 0.02f * r->x[i];
}

static void to_close(const struct row *r)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = 1.0f + 0.001f * r->x[i];
}

/* Differences of two such arrays keep few bits: inputs cut to half precision show even in a mean. */
static void to_shifted(const struct row *r)
{
    shift_by(r, 1000.0f);
}

static void to_ones(const struct row *r)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = 1.0f;
}

static void to_even(const struct row *r)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = 1.0f / (float)r->n;
}

/* Neighbours that cancel to a hundredth of their size. */
static void to_cancel(const struct row *r)
{
    for (int64_t i = 0; i + 1 < r->n; i += 2) {
        r->x[i] *= 30.0f;
        r->x[i + 1] = 0.3f * r->x[i + 1] - r->x[i];
    }
}

static void normalise(const struct row *r, float sharpness)
{
    double total = 0;
    for (int64_t i = 0; i < r->n; i++) {
        r->x[i] = expf(sharpness * r->x[i]);
        total += (double)r->x[i];
    }
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = (float)((double)r->x[i] / total);
}

static void to_probs(const struct row *r)
{
    normalise(r, 1.0f);
}

static void to_peaked(const struct row *r)
{
    normalise(r, 4.0f);
}

static void to_logits(const struct row *r)
{
    scale_by(r, r->index % 2 ? 10.0f : 1.0f);
}

static void to_sign(const struct row *r)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[i] = r->x[i] < 0.5f ? -1.0f : 1.0f;
}

/* NULL: the raw numbers as they are. */
static row_fn *const transforms[VT_N_DISTS] = {
    [VT_DIST_SIGNED] = to_signed,     [VT_DIST_KAIMING] = to_kaiming,   [VT_DIST_SCALED] = to_scaled,
    [VT_DIST_POSITIVE] = to_positive, [VT_DIST_WIDE] = to_wide,         [VT_DIST_EDGES] = to_edges,
    [VT_DIST_ROWSCALE] = to_rowscale, [VT_DIST_OFFSET] = to_offset,     [VT_DIST_NEEDLE] = to_needle,
    [VT_DIST_TINY] = to_tiny,         [VT_DIST_CONSTANT] = to_constant, [VT_DIST_TIES] = to_ties,
    [VT_DIST_NEARONE] = to_nearone,   [VT_DIST_CANCEL] = to_cancel,     [VT_DIST_PROBS] = to_probs,
    [VT_DIST_PEAKED] = to_peaked,     [VT_DIST_LOGITS] = to_logits,     [VT_DIST_PM1] = to_sign,
    [VT_DIST_ONES] = to_ones,         [VT_DIST_CLOSE] = to_close,       [VT_DIST_SHIFTED] = to_shifted,
    [VT_DIST_EVEN] = to_even,
};

static float quantile[QUANTILES + 1];
static pthread_once_t quantile_once = PTHREAD_ONCE_INIT;

/* Inverts the normal distribution function by bisection; runs once, 10^5 erfc calls. */
static void make_quantiles(void)
{
    for (int q = 0; q <= QUANTILES; q++) {
        double p = q == 0 ? 0.25 / QUANTILES : q == QUANTILES ? 1 - 0.25 / QUANTILES : (double)q / QUANTILES;
        double lo = -5, hi = 5;
        for (int step = 0; step < 60; step++) {
            double mid = (lo + hi) / 2;
            if (0.5 * erfc(-mid / 1.4142135623730951) < p)
                lo = mid;
            else
                hi = mid;
        }
        quantile[q] = (float)lo;
    }
}

static inline uint32_t mix(uint32_t i, uint32_t k0, uint32_t k1)
{
    uint32_t h = i ^ k0;
    h ^= h >> 16;
    h *= 0x7feb352dU;
    h ^= (h >> 15) ^ k1;
    h *= 0x846ca68bU;
    return h ^ (h >> 16);
}

static void fill_uniform(float *x, int64_t n, uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(int32_t)(mix((uint32_t)i, k0, k1) >> 8) * 0x1p-24f;
}

static void fill_normal(float *x, int64_t n, uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int64_t i = 0; i < n; i++) {
        uint32_t h = mix((uint32_t)i, k0, k1), q = h >> 22;
        float f = (float)(int32_t)(h & 0x3fffff) * 0x1p-22f;
        x[i] = quantile[q] + f * (quantile[q + 1] - quantile[q]);
    }
}

static void keep_part(float *x, const struct vt_layout_array *l, enum vt_keep keep)
{
    int64_t n = l->shape[l->n_dims - 2], m = l->row;
    for (int64_t base = 0; base < l->n_elem; base += n * m)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < m; j++) {
                float *e = &x[base + i * m + j];
                if ((keep == VT_KEEP_UPPER && j < i) || (keep == VT_KEEP_LOWER && j > i))
                    *e = 0.0f;
                if (keep == VT_KEEP_SYMMETRIC && j < i && j < n && i < m)
                    *e = x[base + j * m + i] = 0.5f * (*e + x[base + j * m + i]);
            }
}

/* Raw uniform numbers fill [lo, hi) evenly; every other distribution keeps its structure around the middle, with about
 * a sixth of the range as its unit, and is cut at the ends. The unit is a power of two and the middle a multiple of it,
 * so that constants stay numbers whose sums are exact (see to_constant). */
static void into_range(float *x, int64_t n, bool is_raw_uniform, float lo, float hi)
{
    float unit = hi - lo, from = lo;
    if (!is_raw_uniform) {
        unit = exp2f(floorf(log2f((hi - lo) / 6)));
        from = unit * roundf((lo + (hi - lo) / 2) / unit);
    }
    for (int64_t i = 0; i < n; i++) {
        float v = from + unit * x[i];
        x[i] = v < lo ? lo : v > hi ? hi : v;
    }
}

static double nearest_to_zero(const struct vt_array_rules *rules)
{
    return !rules->has_range ? 0 : rules->lo > 0 ? rules->lo : rules->hi < 0 ? rules->hi : 0;
}

static int64_t some_index(int64_t n, uint64_t key)
{
    return (int64_t)(vt_philox_uniform(key, 0, 2) * (double)n);
}

/* Zeros, zeros but for one element, or one value. */
static bool fill_plain(float *x, const struct vt_layout_array *l, enum vt_dist_kind kind,
                       const struct vt_array_rules *rules, uint64_t key)
{
    const double lo = rules->has_range ? rules->lo : -1, hi = rules->has_range ? rules->hi : 1;
    if (kind != VT_DIST_ZEROS && kind != VT_DIST_SINGLE && kind != VT_DIST_VALUE)
        return false;
    const float usual = (float)(kind == VT_DIST_VALUE ? rules->value : nearest_to_zero(rules));
    for (int64_t i = 0; i < l->n_elem; i++)
        x[i] = usual;
    if (kind == VT_DIST_SINGLE && l->n_elem > 0)
        x[some_index(l->n_elem, key)] = (float)(lo + (hi - lo) * vt_philox_uniform(key, 0, 3));
    return true;
}

static void fill_f32(float *x, const struct vt_layout_array *l, const struct vt_dist *d,
                     const struct vt_array_rules *rules, double fan_in, uint64_t key)
{
    if (fill_plain(x, l, d->kind, rules, key))
        return;
    row_fn *fn = transforms[d->kind];
    int64_t block = d->per_array ? l->n_elem : l->block;
    if (d->is_normal)
        fill_normal(x, l->n_elem, key);
    else
        fill_uniform(x, l->n_elem, key);
    for (int64_t i = 0; fn && i < l->n_elem / block; i++) {
        struct row r = {x + i * block, block, i, vt_seed_mix(key, (uint64_t)i), fan_in};
        fn(&r);
    }
    if (rules->has_range)
        into_range(x, l->n_elem, !d->is_normal && !fn, (float)rules->lo, (float)rules->hi);
    if (rules->keep != VT_KEEP_ALL)
        keep_part(x, l, rules->keep);
}

static void put_int(void *buf, enum vt_dtype dtype, int64_t i, int64_t v)
{
    switch (vt_dtype_size(dtype)) {
    case 1:
        ((uint8_t *)buf)[i] = (uint8_t)v;
        return;
    case 2:
        ((uint16_t *)buf)[i] = (uint16_t)v;
        return;
    case 4:
        ((uint32_t *)buf)[i] = (uint32_t)v;
        return;
    default:
        ((int64_t *)buf)[i] = v;
    }
}

/* The values of an integer array: `span` of them above the least. Those of 64 bits without a sign are the bits. */
struct values {
    int64_t lo;
    uint64_t span;
    bool is_unsigned;
};

static struct values values_of(enum vt_dtype dtype, const struct vt_array_rules *rules)
{
    const bool is_unsigned = dtype == VT_U8 || dtype == VT_U16 || dtype == VT_U32 || dtype == VT_U64;
    const uint64_t all = UINT64_MAX >> (64 - 8 * vt_dtype_size(dtype));
    if (rules->has_range)
        return (struct values){(int64_t)rules->lo, (uint64_t)((int64_t)rules->hi - (int64_t)rules->lo), is_unsigned};
    return (struct values){is_unsigned ? 0 : -(int64_t)(all / 2) - 1, all, is_unsigned};
}

static int64_t within(uint64_t bits, const struct values *v)
{
    return (int64_t)((uint64_t)v->lo + (v->span == UINT64_MAX ? bits : bits % (v->span + 1)));
}

/* As near to x as the values allow. */
static int64_t nearest(int64_t x, const struct values *v)
{
    if (v->span == UINT64_MAX)
        return x < 0 && v->is_unsigned ? 0 : x;
    const int64_t hi = v->lo + (int64_t)v->span;
    return x < v->lo ? v->lo : x > hi ? hi : x;
}

static void fill_span(void *buf, const struct vt_layout_array *l, enum vt_dtype dtype, enum vt_dist_kind kind,
                      const struct vt_array_rules *rules, uint64_t key)
{
    enum { SMALL = 100 };
    const struct values all = values_of(dtype, rules);
    const int64_t lo = all.lo, hi = (int64_t)((uint64_t)lo + all.span), zero = nearest(0, &all);
    const int64_t edges[] = {lo,
                             hi,
                             lo,
                             hi,
                             zero,
                             nearest(1, &all),
                             (int64_t)((uint64_t)lo + (all.span > 0)),
                             (int64_t)((uint64_t)hi - (all.span > 0))};
    const int64_t low = nearest(-SMALL, &all);
    const struct values few = {low, (uint64_t)(nearest(low < zero ? SMALL : low + SMALL, &all) - low), all.is_unsigned};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    int64_t usual = kind == VT_DIST_VALUE    ? (int64_t)rules->value
                    : kind == VT_DIST_SPARSE ? within(vt_seed_mix(key, 7), &all)
                                             : zero;
    for (int64_t i = 0; i < l->n_elem; i++) {
        uint64_t bits = (uint64_t)mix((uint32_t)i, k0, k1) << 32 | mix((uint32_t)i, k1, ~k0);
        int64_t v = usual;
        if (kind == VT_DIST_SMALL)
            v = within(bits, &few);
        else if (kind == VT_DIST_ENDS && (bits & 7) != 0)
            v = edges[bits >> 32 & 7];
        else if (kind == VT_DIST_SPAN || kind == VT_DIST_ENDS || (kind == VT_DIST_SPARSE && bits >> 58 == 0))
            v = within(bits, &all);
        put_int(buf, dtype, i, v);
    }
    if (kind == VT_DIST_SINGLE && l->n_elem > 0)
        put_int(buf, dtype, some_index(l->n_elem, key), within(vt_seed_mix(key, 8), &all));
}

static void fill_int(void *buf, const struct vt_layout_array *l, enum vt_dtype dtype, bool is_mask, uint64_t max,
                     uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int64_t i = 0; i < l->n_elem; i++) {
        uint32_t h = mix((uint32_t)i, k0, k1);
        uint32_t v = (uint32_t)(((uint64_t)h * max) >> 32);
        if (is_mask) {
            int64_t kind = (i / l->block) % 4;
            v = kind == 0 ? 1 : kind == 1 ? (h & 15) == 0 : h & 1;
        }
        put_int(buf, dtype, i, v);
    }
}

/* ---- contamination ---- */

/* One row in some sets is another kind's altogether. */
static void add_row(float *x, const float *other, const struct vt_layout_array *l, struct vt_stream *random)
{
    uint64_t n_rows = (uint64_t)(l->n_elem / l->block);
    if (n_rows < 2 || vt_stream_below(random, 2))
        return;
    size_t at = (size_t)vt_stream_below(random, n_rows) * (size_t)l->block;
    memcpy(x + at, other + at, (size_t)l->block * sizeof *x);
}

/* One to three of them hide best, some dozen show in the mean of many. What is far larger than the rest lies in the
 * first quarter of its row, for the reason given at to_needle, and is there once: beside several of them a float sum
 * loses what is ordinary altogether, and in one direction. */
static void add_exceptions(float *x, const float *other, const struct vt_layout_array *l, bool is_needle, uint64_t key)
{
    struct vt_stream random;
    bool has_large = false;
    vt_stream_init(&random, vt_seed_mix(key, 0x591ce));
    add_row(x, other, l, &random);
    uint64_t n = 1 + vt_stream_below(&random, 3);
    n = vt_stream_below(&random, 2) ? n : 8 * n;
    for (uint64_t k = 0; k < n && (k == 0 || k < (uint64_t)l->n_elem / 8); k++) {
        int64_t at = (int64_t)vt_stream_below(&random, (uint64_t)l->n_elem);
        float v = is_needle && !has_large ? needle_of(other[at]) : other[at];
        bool is_large = fabsf(v) > ORDINARY;
        if (is_large && has_large)
            continue;
        x[is_large ? at - at % l->block + at % l->block / 4 : at] = v;
        has_large |= is_large;
    }
}

/* A task has a relative tolerance because of its exponentials. An honest kernel may round the argument of one, which
 * moves the result by u |x|: so x stays where that is half of the tolerance. */
static double huge_most(const vt_task *t)
{
    const double u = 0x1p-24, most = t->rtol / (2 * u);
    return !(t->rtol > 0) || most > huge_to ? huge_to : most > huge_least_top ? most : huge_least_top;
}

/* What the numbers of a set have in common, in all its arrays. */
struct spice {
    const struct vt_dist *dist;
    double far;   /* beside zero altogether: from here to twice that */
    bool is_high; /* huge: of the upper half of the sizes; every other set */
};

static double between(double from, double to, double u)
{
    return from * pow(to / from, u);
}

/* One of each sign hides best; four of each, where there are rows enough that they seldom meet in one, have small and
 * large among them. Sizes are even on a logarithmic scale, and every other set has the upper half of it. In the first
 * quarter of a row, as a needle is. */
static void add_huge(float *x, const struct vt_layout_array *l, double most, bool is_high, uint64_t key)
{
    struct vt_stream random;
    vt_stream_init(&random, vt_seed_mix(key, 0x4065));
    const int64_t n_rows = l->n_elem / l->block, n_pairs = n_rows >= 32 && vt_stream_below(&random, 2) ? 4 : 1;
    float sign = vt_stream_below(&random, 2) ? 1.0f : -1.0f;
    for (int64_t k = 0; k < 2 * n_pairs && k < l->n_elem; k++, sign = -sign) {
        int64_t at = (int64_t)vt_stream_below(&random, (uint64_t)l->n_elem);
        double u = ((double)(k / 2) + (double)vt_stream_below(&random, 1 << 20) * 0x1p-20) / (double)n_pairs;
        x[at - at % l->block + at % l->block / 4] = sign * (float)between(huge_from, most, (u + is_high) / 2);
    }
}

/* One image among the others: numbers of one scale meet in every window. */
static void add_huge_image(float *x, const struct vt_layout_array *l, bool is_high, uint64_t key)
{
    struct vt_stream random;
    vt_stream_init(&random, vt_seed_mix(key, 0x4065));
    const int64_t n = l->n_elem / l->shape[0], at = (int64_t)vt_stream_below(&random, (uint64_t)l->shape[0]) * n;
    const double u = (double)vt_stream_below(&random, 1 << 20) * 0x1p-20;
    for (int64_t i = at; i < at + n; i++)
        x[i] *= (float)between(huge_from, huge_to, (u + is_high) / 2);
}

/* With exponentials one ordinary number stays in each row: where all others have gone to zero it says how large a zero
 * may be. */
static void put_far(float *x, const struct vt_layout_array *l, double far, bool has_ordinary, uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int64_t i = 0; i < l->n_elem; i++) {
        uint32_t row = mix((uint32_t)(i / l->block), k1, k0);
        if (!has_ordinary || i % l->block != (int64_t)(row % (uint64_t)l->block))
            x[i] = (float)(far * (1 + (double)mix((uint32_t)i, k0, k1) * 0x1p-32));
    }
}

/* The set's, of its spice; its key and number say the rest. Far at the sizes that are drawn is as far as it goes; at
 * the benchmark's it stays where squares have a float, too. */
static struct spice spice_of(int spice, bool is_drawn, uint64_t set_key, uint64_t set)
{
    const double u = (double)(vt_seed_mix(set_key, 0xfa4) >> 11) * 0x1p-53;
    const bool is_far = spice >= VT_SPICE_FAR_BELOW, is_below = (spice - VT_SPICE_BELOW) % 2 == 0;
    const double far = !is_far    ? between(below_from, below_to, u)
                       : is_drawn ? between(top_from, top_to, u)
                                  : between(far_from, far_to, u);
    return (struct spice){NULL, is_below ? -far : far, set % 2 == 0};
}

static vt_status spice_array(const vt_task *t, size_t i, const struct vt_layout_array *l, const struct spice *s,
                             double fan_in, uint64_t key, float *x, vt_err *err)
{
    const struct vt_array_rules *rules = &t->rules[i];
    const struct vt_dist *d = s->dist;
    uint64_t other_key = vt_seed_mix(key, 0x07e5);
    if (d->kind >= VT_DIST_HUGE && d->kind <= VT_DIST_FAR_ABOVE) {
        if (d->kind > VT_DIST_HUGE)
            put_far(x, l, s->far, t->rtol > 0, other_key);
        else if (vt_task_is_convolution(t))
            add_huge_image(x, l, s->is_high, other_key);
        else
            add_huge(x, l, huge_most(t), s->is_high, other_key);
        if (rules->keep != VT_KEEP_ALL)
            keep_part(x, l, rules->keep);
        return VT_OK;
    }
    float *other = vt_alloc_array((size_t)l->n_elem, sizeof *other);
    if (!other)
        return vt_fail(err, VT_ENOMEM, "out of memory while drawing inputs of task %s", t->name);
    fill_f32(other, l, d, rules, fan_in, other_key);
    add_exceptions(x, other, l, d->kind == VT_DIST_NEEDLE, other_key);
    for (int64_t k = 0; rules->has_range && k < l->n_elem; k++)
        x[k] = x[k] < (float)rules->lo ? (float)rules->lo : x[k] > (float)rules->hi ? (float)rules->hi : x[k];
    if (rules->keep != VT_KEEP_ALL)
        keep_part(x, l, rules->keep);
    free(other);
    return VT_OK;
}

/* The float's values with bits below a float's, where the distribution has no structure that they would spoil. */
static vt_status fill_f64(const vt_task *t, size_t array, const struct vt_layout_array *l, const struct vt_dist *d,
                          const struct spice *spice, double fan_in, uint64_t key, double *x, vt_err *err)
{
    const struct vt_array_rules *rules = &t->rules[array];
    float *coarse = vt_alloc_array((size_t)l->n_elem, sizeof *coarse);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    bool is_fine = !transforms[d->kind] || d->is_normal;
    if (!coarse)
        return vt_fail(err, VT_ENOMEM, "cannot make inputs: out of memory");
    fill_f32(coarse, l, d, rules, fan_in, key);
    is_fine &= d->kind != VT_DIST_ZEROS && d->kind != VT_DIST_SINGLE;
    vt_status s = spice->dist ? spice_array(t, array, l, spice, fan_in, key, coarse, err) : VT_OK;
    for (int64_t i = 0; i < l->n_elem; i++) {
        double v = (double)coarse[i], below = (double)(int32_t)mix((uint32_t)i, ~k0, k1) * 0x1p-56;
        bool is_plain = 2 * v == floor(2 * v);
        x[i] = d->kind == VT_DIST_VALUE ? rules->value : is_fine && !is_plain ? v + v * below : v;
        if (rules->has_range)
            x[i] = x[i] < rules->lo ? rules->lo : x[i] > rules->hi ? rules->hi : x[i];
    }
    free(coarse);
    return s;
}

static vt_status fill_array(const vt_task *t, size_t i, const vt_layout *l, const char *scale, uint64_t key, int dist,
                            const struct spice *spice, void *buf, vt_err *err)
{
    const struct vt_task_array *a = &t->array[i];
    const struct vt_array_rules *rules = &t->rules[i];
    const struct vt_dist *d = vt_dist_find(a->dist[dist % a->n_dists], a->dtype);
    int64_t fan_in = 1, max = 2;
    if (l->array[i].n_elem == 0)
        return VT_OK;
    if (rules->fan_in)
        VT_TRY(vt_task_size(t, scale, rules->fan_in, &fan_in, err));
    if (rules->max)
        VT_TRY(vt_task_size(t, scale, rules->max, &max, err));
    if (fan_in < 1 || max < 1 || max > INT32_MAX ||
        (vt_dtype_size(a->dtype) == 1 && max > (a->dtype == VT_I8 ? 128 : 256)))
        return vt_fail(err, VT_EFORMAT, "array \"%s\": fan_in or max is out of range at scale \"%s\"", a->name, scale);
    if (a->dtype == VT_F64)
        return fill_f64(t, i, &l->array[i], d, spice, (double)fan_in, key, buf, err);
    if (!vt_dtype_is_float(a->dtype) && d->kind != VT_DIST_LABELS && d->kind != VT_DIST_MASK) {
        fill_span(buf, &l->array[i], a->dtype, d->kind, rules, key);
        return VT_OK;
    }
    if (a->dtype != VT_F32) {
        fill_int(buf, &l->array[i], a->dtype, d->kind == VT_DIST_MASK, (uint64_t)max, key);
        return VT_OK;
    }
    fill_f32(buf, &l->array[i], d, rules, (double)fan_in, key);
    return spice->dist ? spice_array(t, i, &l->array[i], spice, (double)fan_in, key, buf, err) : VT_OK;
}

vt_status vt_inputs_fill(const vt_task *t, const char *scale, uint64_t key, uint64_t set, int dist, int spice,
                         void *const buf[], vt_err *err)
{
    vt_layout l;
    VT_TRY(vt_task_layout(t, scale, &l, err));
    if (dist < 0 || spice < 0)
        return vt_fail(err, VT_EINVAL, "a distribution index cannot be negative");
    pthread_once(&quantile_once, make_quantiles);
    uint64_t set_key = vt_set_key(t, scale, key, set, dist);
    struct spice with = spice_of(spice, scale[0] == VT_SCALE_WRITTEN, set_key, set);
    for (size_t i = 0; i < t->n_arrays; i++) {
        if (!vt_role_is_input(t->array[i].role))
            continue;
        with.dist = vt_spice_find(t, i, dist, spice);
        VT_TRY(fill_array(t, i, &l, scale, vt_seed_mix(set_key, i), dist, &with, buf[i], err));
    }
    return VT_OK;
}
