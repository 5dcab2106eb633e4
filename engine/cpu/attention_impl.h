/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_impl.h: attention over one KV page in fp32, for the instruction set of the including file, forward (online
 * softmax, Milakov & Gimelshein 2018) and backward (probabilities recomputed from the saved log-sum-exp, Dao et al.
 * 2022). Scores, P V and all five backward products run on the register tile of gemm_impl.h.
 *
 * fp32 page: keys transposed, [head_dim][64], so that keys are columns; then values, [64][head_dim padded to 32].
 * A query row: head_dim floats, already divided by sqrt(head_dim), in vt_query_bytes.
 */
#ifndef VT_CPU_ATTENTION_IMPL_H
#define VT_CPU_ATTENTION_IMPL_H

#include "cpu/gemm_impl.h"
#include "cpu/rows_impl.h"

enum { ATTEND_ROWS = 2 * TILE_ROWS };

static size_t page_bytes_f32(enum vt_lm_precision p, int head_dim)
{
    (void)p;
    return 2 * VT_PAGE_KEYS * (size_t)vt_round_up(head_dim, VT_STRIP) * sizeof(float);
}

static void kv_put_f32(enum vt_lm_precision p, void *page, int head_dim, int slot, const float *k, const float *v)
{
    (void)p;
    float *keys = page, *values = keys + (size_t)head_dim * VT_PAGE_KEYS;
    for (int i = 0; i < head_dim; i++)
        keys[(size_t)i * VT_PAGE_KEYS + (size_t)slot] = k[i];
    memcpy(values + (size_t)slot * (size_t)vt_round_up(head_dim, VT_STRIP), v, (size_t)head_dim * sizeof(float));
}

static void query_pack_f32(enum vt_lm_precision p, int head_dim, int n, const float *q, size_t ldq, void *q_out)
{
    (void)p;
    float scale = 1.0f / sqrtf((float)head_dim);
    for (int r = 0; r < n; r++) {
        float *out = (float *)q_out + (size_t)r * (vt_query_bytes(head_dim) / sizeof(float));
        for (int i = 0; i < head_dim; i++)
            out[i] = q[(size_t)r * ldq + (size_t)i] * scale;
    }
}

/* Softmax step of one row: s [64] holds scores and becomes probabilities against the new maximum. Returns the factor
 * by which the row's numerator must be multiplied; NaN scores reach l and the numerator. */
static float softmax_step(float *s, int visible, float *m, float *l)
{
    float top = row_max(visible, s), m_new = top > *m ? top : *m;
    if (top != top)
        m_new = top;
    float decay = row_exp_sum(1, m, 1.0f, m_new, NULL);
    for (int j = visible; j < VT_PAGE_KEYS; j++)
        s[j] = -INFINITY;
    *l = s_fma(*l, decay, row_exp_sum(VT_PAGE_KEYS, s, 1.0f, m_new, s));
    *m = m_new;
    return decay;
}

/* a = a * decay + sum */
static void numerator_step(int head_dim, float decay, const float *sum, float *a)
{
    FOR_LANES(head_dim)
    store_part(a + i, v_fma(load_part(a + i, n_here), v_set(decay), load_part(sum + i, n_here)), n_here);
}

static void attend_f32(enum vt_lm_precision p, const void *page, const void *next, int head_dim, int n, const void *q,
                       const int *visible, float *m, float *l, float *acc)
{
    (void)p;
    (void)next;
    enum { MAX = VT_MAX_HEAD_DIM };
    float scores[ATTEND_ROWS * VT_PAGE_KEYS], sum[ATTEND_ROWS * MAX];
    const float *keys = page, *values = keys + (size_t)head_dim * VT_PAGE_KEYS;
    size_t ld = (size_t)vt_round_up(head_dim, VT_STRIP), ldq = vt_query_bytes(head_dim) / sizeof(float);
    for (int r = 0; r < n; r += ATTEND_ROWS) {
        int n_rows = n - r < ATTEND_ROWS ? n - r : ATTEND_ROWS;
        float decay[ATTEND_ROWS];
        memset(scores, 0, sizeof scores);
        tile_rows(n_rows, VT_PAGE_KEYS, head_dim, (const float *)q + (size_t)r * ldq, ldq, 1, keys, VT_PAGE_KEYS,
                  scores, VT_PAGE_KEYS);
        for (int i = 0; i < n_rows; i++)
            decay[i] = visible[r + i]
                           ? softmax_step(scores + (size_t)i * VT_PAGE_KEYS, visible[r + i], m + r + i, l + r + i)
                           : 1.0f;
        memset(sum, 0, (size_t)n_rows * ld * sizeof(float));
        tile_rows(n_rows, (int)ld, VT_PAGE_KEYS, scores, VT_PAGE_KEYS, 1, values, ld, sum, ld);
        for (int i = 0; i < n_rows; i++)
            if (visible[r + i])
                numerator_step(head_dim, decay[i], sum + (size_t)i * ld, acc + (size_t)(r + i) * (size_t)head_dim);
    }
}

/* dst (columns x rows, leading dimension ldd) = transpose of src (rows x columns). */
static void transpose(int rows, int columns, const float *src, size_t lds, float *dst, size_t ldd)
{
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            dst[(size_t)c * ldd + (size_t)r] = src[(size_t)r * lds + (size_t)c];
}

/* P = exp(S - lse), dS = P (dP - delta) / sqrt(head_dim); zero where a row sees no key. */
static void score_gradient(int n_rows, int nk, const int *visible, const float *lse, const float *delta, float scale,
                           float *s, float *dp)
{
    for (int r = 0; r < n_rows; r++) {
        float *sr = s + (size_t)r * VT_PAGE_KEYS, *dr = dp + (size_t)r * VT_PAGE_KEYS;
        int see = visible[r] < nk ? visible[r] : nk;
        for (int j = see; j < VT_PAGE_KEYS; j++)
            sr[j] = -INFINITY;
        row_exp_sum(VT_PAGE_KEYS, sr, scale, lse[r], sr);
        for (int j = 0; j < VT_PAGE_KEYS; j++)
            dr[j] = j < see ? sr[j] * (dr[j] - delta[r]) * scale : 0.0f;
        for (int j = see; j < VT_PAGE_KEYS; j++)
            sr[j] = 0.0f;
    }
}

/* y (rows, head_dim) += X W, W (nk, head_dim padded to 32), through a padded copy of y. */
static void add_product(int n_rows, int head_dim, int nk, const float *x, size_t sr, size_t sk, const float *w,
                        size_t ld, float *y, size_t ldy)
{
    float t[ATTEND_ROWS * VT_MAX_HEAD_DIM];
    for (int r = 0; r < n_rows; r += ATTEND_ROWS) {
        int here = n_rows - r < ATTEND_ROWS ? n_rows - r : ATTEND_ROWS;
        memset(t, 0, (size_t)here * ld * sizeof(float));
        for (int i = 0; i < here; i++)
            memcpy(t + (size_t)i * ld, y + (size_t)(r + i) * ldy, (size_t)head_dim * sizeof(float));
        tile_rows(here, (int)ld, nk, x + (size_t)r * sr, sr, sk, w, ld, t, ld);
        for (int i = 0; i < here; i++)
            memcpy(y + (size_t)(r + i) * ldy, t + (size_t)i * ld, (size_t)head_dim * sizeof(float));
    }
}

static void copy_padded(int rows, int head_dim, const float *src, size_t lds, float *dst, size_t ldd)
{
    memset(dst, 0, (size_t)rows * ldd * sizeof(float));
    for (int r = 0; r < rows; r++)
        memcpy(dst + (size_t)r * ldd, src + (size_t)r * lds, (size_t)head_dim * sizeof(float));
}

static void attend_backward_f32(enum vt_lm_precision p, int head_dim, int nq, int nk, const float *q,
                                const float *d_out, const float *lse, const float *delta, const int *visible,
                                const float *k, size_t ldk, const float *v, size_t ldv, float *dq, float *dk, float *dv,
                                size_t lddk)
{
    (void)p;
    enum { MAX = VT_MAX_HEAD_DIM, KEYS = VT_PAGE_KEYS };
    float wide[MAX * KEYS], keys[KEYS * MAX], rows[ATTEND_ROWS * MAX], s[ATTEND_ROWS * KEYS], dp[ATTEND_ROWS * KEYS];
    float wide_v[MAX * KEYS];
    size_t ld = (size_t)vt_round_up(head_dim, VT_STRIP), hd = (size_t)head_dim;
    memset(wide, 0, hd * KEYS * sizeof(float));
    memset(wide_v, 0, hd * KEYS * sizeof(float));
    transpose(nk, head_dim, k, ldk, wide, KEYS);
    transpose(nk, head_dim, v, ldv, wide_v, KEYS);
    copy_padded(nk, head_dim, k, ldk, keys, ld);
    float scale = 1.0f / sqrtf((float)head_dim);
    for (int r = 0; r < nq; r += ATTEND_ROWS) {
        int n_rows = nq - r < ATTEND_ROWS ? nq - r : ATTEND_ROWS;
        const float *qr = q + (size_t)r * hd, *dr = d_out + (size_t)r * hd;
        memset(s, 0, sizeof s);
        memset(dp, 0, sizeof dp);
        tile_rows(n_rows, KEYS, head_dim, qr, hd, 1, wide, KEYS, s, KEYS);
        tile_rows(n_rows, KEYS, head_dim, dr, hd, 1, wide_v, KEYS, dp, KEYS);
        score_gradient(n_rows, nk, visible + r, lse + r, delta + r, scale, s, dp);
        add_product(n_rows, head_dim, nk, dp, KEYS, 1, keys, ld, dq + (size_t)r * hd, hd);
        copy_padded(n_rows, head_dim, qr, hd, rows, ld);
        add_product(nk, head_dim, n_rows, dp, 1, KEYS, rows, ld, dk, lddk);
        copy_padded(n_rows, head_dim, dr, hd, rows, ld);
        add_product(nk, head_dim, n_rows, s, 1, KEYS, rows, ld, dv, lddk);
    }
}

#endif
