/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_sample.c: one draw from one row of logits.
 *
 * The draw is an inverse CDF with one Philox uniform keyed by (seed, position): it depends on the row's logits only,
 * never on the batch. Without filters the walk goes over the fixed vocabulary chunks, then inside one of them. With
 * top-k, top-p or min-p the most probable tokens are gathered and sorted (logit, then id) and the walk goes over the
 * kept ones in that order. Banned ids get a logit of minus infinity before anything else, so that a filter never keeps
 * only banned tokens. Reported are the log-probability at temperature 1 over the full vocabulary, and the
 * log-probability that this draw had.
 */
#include "base/rng.h"
#include "cpu/lm_parts.h"
#include <math.h>
#include <stdlib.h>

struct candidate {
    float logit;
    int32_t id;
};

struct row {
    const struct vt_kernels *k;
    int n, n_chunks;
    const float *logit;
    const float *max, *sum;
    double t;   /* temperature */
    double top; /* largest logit */
};

static int chunk_length(const struct row *r, int chunk)
{
    const int left = r->n - chunk * VT_HEAD_CHUNK;
    return left < VT_HEAD_CHUNK ? left : VT_HEAD_CHUNK;
}

static int32_t first_best(const struct row *r)
{
    for (int c = 0; c < r->n_chunks; c++) {
        if ((double)r->max[c] < r->top)
            continue;
        const float *x = r->logit + (size_t)c * VT_HEAD_CHUNK;
        for (int i = 0; i < chunk_length(r, c); i++)
            if ((double)x[i] >= r->top)
                return (int32_t)(c * VT_HEAD_CHUNK + i);
    }
    return 0;
}

/* Sum over a chunk of exp((logit - top) / t). */
static double chunk_mass(const struct row *r, int c)
{
    if (isinf(r->max[c]))
        return 0;
    double weight = exp(((double)r->max[c] - r->top) / r->t);
    if (r->t == 1 || weight == 0)
        return (double)r->sum[c] * weight;
    const float a = (float)(1 / r->t);
    return (double)r->k->exp_sum(chunk_length(r, c), r->logit + (size_t)c * VT_HEAD_CHUNK, a, a * r->max[c], NULL) *
           weight;
}

/* Token of chunk c where the running mass passes target, given the mass before the chunk. */
static int32_t walk_chunk(const struct row *r, int c, double before, double target)
{
    const float *x = r->logit + (size_t)c * VT_HEAD_CHUNK;
    int32_t last = -1;
    for (int i = 0; i < chunk_length(r, c); i++) {
        double p = exp(((double)x[i] - r->top) / r->t);
        if (p == 0)
            continue;
        last = (int32_t)(c * VT_HEAD_CHUNK + i);
        before += p;
        if (before > target)
            break;
    }
    return last;
}

static void draw_plain(const struct row *r, double u, double *mass, struct vt_cpu_draw *out)
{
    double total = 0, before = 0;
    int chunk = -1;
    for (int c = 0; c < r->n_chunks; c++)
        total += mass[c] = chunk_mass(r, c);
    const double target = u * total;
    double running = 0;
    for (int c = 0; c < r->n_chunks; c++) {
        if (mass[c] == 0)
            continue;
        chunk = c;
        before = running;
        running += mass[c];
        if (running > target)
            break;
    }
    out->token = walk_chunk(r, chunk, before, target);
    out->logprob_behaviour = (float)(((double)r->logit[out->token] - r->top) / r->t - log(total));
}

static int by_logit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static size_t gather(const struct row *r, double floor, struct candidate *out)
{
    size_t n = 0;
    for (int c = 0; c < r->n_chunks; c++) {
        if (!((double)r->max[c] >= floor))
            continue;
        const float *x = r->logit + (size_t)c * VT_HEAD_CHUNK;
        for (int i = 0; i < chunk_length(r, c); i++)
            if ((double)x[i] >= floor && !isinf(x[i]))
                out[n++] = (struct candidate){x[i], (int32_t)(c * VT_HEAD_CHUNK + i)};
    }
    qsort(out, n, sizeof *out, by_logit);
    return n;
}

static double weight_of(const struct row *r, const struct candidate *c)
{
    return exp(((double)c->logit - r->top) / r->t);
}

/* How many of the sorted candidates the filters keep; 0 when the gathered ones do not suffice to tell. */
static size_t keep(const struct row *r, const struct vt_sampling *s, const struct candidate *c, size_t n, bool is_all)
{
    size_t kept = n;
    bool is_cut = is_all;
    if (s->top_k > 0 && (size_t)s->top_k <= n) {
        kept = (size_t)s->top_k;
        is_cut = true;
    }
    if (s->top_p < 1) {
        double total = 0, running = 0;
        if (s->top_k > 0) {
            if (!is_cut)
                return 0;
            for (size_t i = 0; i < kept; i++)
                total += weight_of(r, &c[i]);
        } else {
            for (int i = 0; i < r->n_chunks; i++)
                total += chunk_mass(r, i);
        }
        for (size_t i = 0; i < kept; i++) {
            running += weight_of(r, &c[i]);
            if (running >= (double)s->top_p * total) {
                kept = i + 1;
                is_cut = true;
                break;
            }
        }
    }
    if (s->min_p > 0) {
        for (size_t i = 1; i < kept; i++) {
            if (weight_of(r, &c[i]) < (double)s->min_p) {
                kept = i;
                is_cut = true;
                break;
            }
        }
    }
    return is_cut ? kept : 0;
}

static void draw_filtered(const struct row *r, const struct vt_sampling *s, double u, struct candidate *c,
                          struct vt_cpu_draw *out)
{
    size_t kept = 0;
    for (double reach = 12; !kept; reach *= 4) {
        const bool is_all = reach > 1e4;
        size_t n = gather(r, is_all ? -INFINITY : r->top - reach * r->t, c);
        kept = keep(r, s, c, n, is_all);
    }
    double total = 0, running = 0;
    for (size_t i = 0; i < kept; i++)
        total += weight_of(r, &c[i]);
    size_t at = kept - 1;
    for (size_t i = 0; i < kept; i++) {
        running += weight_of(r, &c[i]);
        if (running > u * total) {
            at = i;
            break;
        }
    }
    out->token = c[at].id;
    out->logprob_behaviour = (float)(((double)c[at].logit - r->top) / r->t - log(total));
}

/* The row with banned ids at minus infinity, in scratch: the logits, then maxima and sums by chunk. */
static void ban(const struct vt_sampling *s, float *scratch, struct row *r)
{
    float *copy = scratch, *max = scratch + r->n, *sum = max + r->n_chunks;
    memcpy(copy, r->logit, (size_t)r->n * sizeof *copy);
    memcpy(max, r->max, (size_t)r->n_chunks * sizeof *max);
    memcpy(sum, r->sum, (size_t)r->n_chunks * sizeof *sum);
    for (int i = 0; i < s->n_banned; i++)
        if (s->banned[i] >= 0 && s->banned[i] < r->n)
            copy[s->banned[i]] = -INFINITY;
    for (int i = 0; i < s->n_banned; i++) {
        if (s->banned[i] < 0 || s->banned[i] >= r->n)
            continue;
        const int c = s->banned[i] / VT_HEAD_CHUNK;
        const float *x = copy + (size_t)c * VT_HEAD_CHUNK;
        max[c] = r->k->max(chunk_length(r, c), x);
        sum[c] = isinf(max[c]) ? 0 : r->k->exp_sum(chunk_length(r, c), x, 1.0f, max[c], NULL);
    }
    r->logit = copy;
    r->max = max;
    r->sum = sum;
}

size_t vt_cpu_sample_scratch(int n_vocab)
{
    const size_t n = (size_t)n_vocab, chunks = n / VT_HEAD_CHUNK + 1;
    return (n + 2 * chunks) * sizeof(float) + 64 + n * sizeof(struct candidate) + chunks * sizeof(double);
}

vt_status vt_cpu_sample(const struct vt_cpu_logits *in, const struct vt_sampling *s, uint64_t seed, uint64_t position,
                        void *scratch, struct vt_cpu_draw *out, vt_err *err)
{
    struct row r = {.k = in->k,
                    .n = in->n_vocab,
                    .n_chunks = in->n_chunks,
                    .logit = in->logit,
                    .max = in->max,
                    .sum = in->sum,
                    .t = (double)s->temperature};
    const size_t chunks = (size_t)in->n_chunks;
    void *rest = (char *)scratch + (((size_t)in->n_vocab + 2 * chunks) * sizeof(float) + 63) / 64 * 64;
    if (s->n_banned)
        ban(s, scratch, &r);
    r.top = -INFINITY;
    for (int c = 0; c < r.n_chunks; c++)
        r.top = (double)r.max[c] > r.top ? (double)r.max[c] : r.top;
    if (isinf(r.top) || isnan(in->lse))
        return vt_fail(err, VT_EINVAL, "no token can be sampled: every one of the %d is banned or has no finite logit",
                       r.n);
    const bool is_filtered = (s->top_k > 0 && s->top_k < r.n) || s->top_p < 1 || s->min_p > 0;
    if (s->temperature == 0) {
        out->token = first_best(&r);
        out->logprob_behaviour = 0;
    } else if (is_filtered || r.t < 0.02) {
        draw_filtered(&r, s, vt_philox_uniform(seed, 0, position), rest, out);
    } else {
        draw_plain(&r, vt_philox_uniform(seed, 0, position), rest, out);
    }
    out->logprob = (float)((double)in->logit[out->token] - in->lse);
    return VT_OK;
}
