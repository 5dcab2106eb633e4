/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_extra.c: what the walk over the vocabulary yields beside the log-sum-exp: entropy, certainty and the most
 * probable tokens. Sums run by chunk and are merged in index order in double, the list takes its candidates in index
 * order, so decode, which keeps the logits, and score, which does not, give the same bits.
 *
 * With m the chunk's maximum and M the row's: entropy = ln sum e^(z - M) - sum p (z - M), whose second sum is
 * sum_c e^(m - lse) (ez_c + (m - M) exp_c): differences of logits only, so a large common offset costs no digits.
 *
 * Circle: lm_head walks the vocabulary once and calls this file for each chunk, which asks lm_head for its chunks'
 * count.
 */
#include "cpu/lm_parts.h"
#include <math.h>

size_t vt_cpu_sums_floats(const struct vt_cpu *lm, bool has_extra)
{
    return (has_extra ? 4 : 2) * (size_t)vt_cpu_head_chunks(lm);
}

struct vt_cpu_sums vt_cpu_sums_carve(const struct vt_cpu *lm, float *memory, int n_rows, bool has_extra)
{
    const size_t n = (size_t)n_rows * (size_t)vt_cpu_head_chunks(lm);
    return (struct vt_cpu_sums){.max = memory,
                                .exp = memory + n,
                                .z = has_extra ? memory + 2 * n : NULL,
                                .ez = has_extra ? memory + 3 * n : NULL};
}

struct vt_cpu_sums vt_cpu_sums_row(const struct vt_cpu_sums *s, size_t row, int n_chunks)
{
    const size_t at = row * (size_t)n_chunks;
    return (struct vt_cpu_sums){
        .max = s->max + at, .exp = s->exp + at, .z = s->z ? s->z + at : NULL, .ez = s->ez ? s->ez + at : NULL};
}

struct vt_lm_extra vt_cpu_extra_at(const struct vt_lm_extra *e, size_t at)
{
    const size_t top = at * (size_t)e->n_top;
    return (struct vt_lm_extra){.entropy = e->entropy ? e->entropy + at : NULL,
                                .certainty = e->certainty ? e->certainty + at : NULL,
                                .n_top = e->n_top,
                                .top_ids = e->n_top ? e->top_ids + top : NULL,
                                .top_logprob = e->n_top ? e->top_logprob + top : NULL};
}

void vt_cpu_extra_begin(const struct vt_lm_extra *e)
{
    for (int i = 0; i < e->n_top; i++) {
        e->top_ids[i] = -1;
        e->top_logprob[i] = -INFINITY;
    }
}

/* Ids rise from call to call, so among equal logits the earlier one stays before the later. */
static void insert(const struct vt_lm_extra *e, float logit, int32_t id)
{
    int at = e->n_top - 1;
    for (; at > 0 && e->top_logprob[at - 1] < logit; at--) {
        e->top_logprob[at] = e->top_logprob[at - 1];
        e->top_ids[at] = e->top_ids[at - 1];
    }
    e->top_logprob[at] = logit;
    e->top_ids[at] = id;
}

void vt_cpu_extra_chunk(const struct vt_lm_extra *e, const float *logits, int n, int id0, float max)
{
    const int last = e->n_top - 1;
    if (last < 0 || !(max > e->top_logprob[last]))
        return;
    for (int i = 0; i < n; i++)
        if (logits[i] > e->top_logprob[last])
            insert(e, logits[i], id0 + i);
}

void vt_cpu_extra_finish(const struct vt_lm_extra *e, const struct vt_cpu_sums *row, int n_vocab, double lse)
{
    const int n_chunks = (n_vocab + VT_HEAD_CHUNK - 1) / VT_HEAD_CHUNK;
    if (e->entropy) {
        double top = -INFINITY, mean = 0;
        for (int c = 0; c < n_chunks; c++)
            top = (double)row->max[c] > top ? (double)row->max[c] : top;
        for (int c = 0; c < n_chunks; c++) {
            const double max = (double)row->max[c];
            mean += exp(max - lse) * ((double)row->ez[c] + (max - top) * (double)row->exp[c]);
        }
        *e->entropy = (float)(lse - top - mean);
    }
    if (e->certainty) {
        double sum = 0;
        for (int c = 0; c < n_chunks; c++)
            sum += (double)row->z[c];
        *e->certainty = (float)(lse - sum / n_vocab - log(n_vocab));
    }
    for (int i = 0; i < e->n_top; i++)
        e->top_logprob[i] = (float)((double)e->top_logprob[i] - lse);
}
