/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_attention.c: attention over KV pages and its gradients, for every instruction set this machine runs, against
 * double-precision references, and the bitwise contract of kernels.h: a row's result does not depend on the other rows
 * of the call. Odd sizes on purpose: head dimensions 16, 24, 64 and 128, pages that rows see in part.
 */
#include "harness.h"

#include "base/alloc.h"
#include "cpu/kernels.h"
#include "cpu_random.h"

/* Attention of n rows over n_pages pages, in pieces of `step` rows. */
struct attention {
    int head_dim, n, n_pages;
    float *q, *k, *v, *m, *l, *acc;
    int *visible; /* [n_pages][n] */
    unsigned char *pages, *packed;
};
static void attention_new(struct attention *a, const struct vt_kernels *k, enum vt_lm_precision prec, int head_dim,
                          int n, int n_pages)
{
    size_t hd = (size_t)head_dim, n_keys = (size_t)n_pages * 64, page = k->page_bytes(prec, head_dim);
    *a = (struct attention){.head_dim = head_dim, .n = n, .n_pages = n_pages};
    a->q = floats((size_t)n * hd);
    a->k = floats(n_keys * hd);
    a->v = floats(n_keys * hd);
    a->m = floats((size_t)n);
    a->l = floats((size_t)n);
    a->acc = floats((size_t)n * hd);
    a->visible = vt_alloc_array((size_t)(n * n_pages), sizeof(int));
    a->pages = vt_alloc_aligned(64, page * (size_t)n_pages);
    a->packed = vt_alloc_aligned(64, vt_query_bytes(head_dim) * (size_t)n);
    memset(a->pages, 0, page * (size_t)n_pages);
    fill(a->q, (size_t)n * hd, 3.0);
    fill(a->k, n_keys * hd, 1.0);
    fill(a->v, n_keys * hd, 1.0);
    for (int p = 0; p < n_pages; p++)
        for (int r = 0; r < n; r++)
            a->visible[p * n + r] = p + 1 < n_pages ? 64 : (r * 5) % 65;
    for (size_t j = 0; j < n_keys; j++)
        k->kv_put(prec, a->pages + j / 64 * page, head_dim, (int)(j % 64), a->k + j * hd, a->v + j * hd);
    k->query_pack(prec, head_dim, n, a->q, hd, a->packed);
}
static void attention_run(struct attention *a, const struct vt_kernels *k, enum vt_lm_precision prec, int step)
{
    size_t hd = (size_t)a->head_dim;
    for (int r = 0; r < a->n; r++) {
        a->m[r] = -INFINITY;
        a->l[r] = 0.0f;
    }
    memset(a->acc, 0, (size_t)a->n * hd * sizeof(float));
    for (int r = 0; r < a->n; r += step)
        for (int p = 0; p < a->n_pages; p++)
            k->attend(prec, a->pages + (size_t)p * k->page_bytes(prec, a->head_dim), a->pages, a->head_dim,
                      a->n - r < step ? a->n - r : step, a->packed + (size_t)r * vt_query_bytes(a->head_dim),
                      a->visible + p * a->n + r, a->m + r, a->l + r, a->acc + (size_t)r * hd);
}
static void attention_free(struct attention *a)
{
    free(a->q);
    free(a->k);
    free(a->v);
    free(a->m);
    free(a->l);
    free(a->acc);
    free(a->visible);
    free(a->pages);
    free(a->packed);
}

/* Output row and log-sum-exp in double. */
static double attention_row(const struct attention *a, int r, double *out)
{
    double s[1024], top = -INFINITY, sum = 0.0;
    int hd = a->head_dim, n = 0;
    for (int j = 0; j < a->n_pages * 64; j++) {
        if (j % 64 >= a->visible[j / 64 * a->n + r])
            continue;
        double dot = 0.0;
        for (int i = 0; i < hd; i++)
            dot += (double)a->q[r * hd + i] * (double)a->k[j * hd + i];
        s[n] = dot / sqrt((double)hd);
        top = s[n] > top ? s[n] : top;
        n++;
    }
    for (int i = 0; i < hd; i++)
        out[i] = 0.0;
    n = 0;
    for (int j = 0; j < a->n_pages * 64; j++) {
        if (j % 64 >= a->visible[j / 64 * a->n + r])
            continue;
        double e = exp(s[n++] - top);
        sum += e;
        for (int i = 0; i < hd; i++)
            out[i] += e * (double)a->v[j * hd + i];
    }
    for (int i = 0; i < hd; i++)
        out[i] /= sum;
    return top + log(sum);
}

static void test_attention(void)
{
    static const int dims[] = {16, 24, 64, 128};
    for (int i = 0; vt_kernels_at(i); i++)
        for (int d = 0; d < 4; d++)
            for (int prec = 0; prec < 2; prec++) {
                const struct vt_kernels *k = vt_kernels_at(i);
                struct attention a;
                double out[128], worst = 0.0, worst_lse = 0.0;
                attention_new(&a, k, (enum vt_lm_precision)prec, dims[d], 37, 3);
                attention_run(&a, k, (enum vt_lm_precision)prec, a.n);
                for (int r = 0; r < a.n; r++) {
                    double lse = attention_row(&a, r, out);
                    worst_lse = fmax(worst_lse, fabs(lse - ((double)a.m[r] + log((double)a.l[r]))));
                    for (int c = 0; c < dims[d]; c++)
                        worst = fmax(worst, fabs(out[c] - (double)a.acc[r * dims[d] + c] / (double)a.l[r]));
                }
                /* integers and split operands keep 15 bits: scores of size <= 3, values of size <= 1. */
                bool rounds = k->has_bf16 && prec == VT_LM_FAST;
                CHECK_NEAR(worst, 0.0, rounds ? 1e-4 : 2e-6);
                CHECK_NEAR(worst_lse, 0.0, rounds ? 1e-4 : 4e-6);
                attention_free(&a);
            }
}

static void test_attention_bitwise(void)
{
    static const int dims[] = {16, 64, 128};
    for (int i = 0; vt_kernels_at(i); i++)
        for (int d = 0; d < 3; d++)
            for (int prec = 0; prec < 2; prec++) {
                const struct vt_kernels *k = vt_kernels_at(i);
                struct attention a;
                attention_new(&a, k, (enum vt_lm_precision)prec, dims[d], 96, 3);
                attention_run(&a, k, (enum vt_lm_precision)prec, a.n);
                size_t n = (size_t)a.n * (size_t)dims[d];
                float *acc = floats(n), *l = floats((size_t)a.n);
                memcpy(acc, a.acc, n * sizeof(float));
                memcpy(l, a.l, (size_t)a.n * sizeof(float));
                for (int step = 1; step < 40; step += step < 5 ? 1 : 7) {
                    attention_run(&a, k, (enum vt_lm_precision)prec, step);
                    CHECK(memcmp(acc, a.acc, n * sizeof(float)) == 0);
                    CHECK(memcmp(l, a.l, (size_t)a.n * sizeof(float)) == 0);
                }
                free(acc);
                free(l);
                attention_free(&a);
            }
}

static void put_again(struct attention *a, const struct vt_kernels *k, enum vt_lm_precision prec)
{
    size_t hd = (size_t)a->head_dim, page = k->page_bytes(prec, a->head_dim);
    for (size_t j = 0; j < (size_t)a->n_pages * 64; j++)
        k->kv_put(prec, a->pages + j / 64 * page, a->head_dim, (int)(j % 64), a->k + j * hd, a->v + j * hd);
}

/* Pages keep keys and values of any size beside each other; what is not finite reaches the rows that see it. */
static void test_attention_range(void)
{
    enum { HD = 24, N = 40, NAN_KEY = 20, INF_VALUE = 30 };
    for (int i = 0; vt_kernels_at(i); i++)
        for (int prec = 0; prec < 2; prec++) {
            const struct vt_kernels *k = vt_kernels_at(i);
            struct attention a;
            double out[HD];
            attention_new(&a, k, (enum vt_lm_precision)prec, HD, N, 1);
            for (int r = 0; r < N; r++) {
                a.visible[r] = r + 1;
                for (int c = 0; c < HD; c++) {
                    a.k[r * HD + c] *= r % 3 ? 1.0f : 1e-35f;
                    a.v[r * HD + c] = r % 5 < 4 ? a.v[r * HD + c] * powf(10.0f, (float)(10 * r - 160) / 8.0f) : 0.0f;
                }
            }
            put_again(&a, k, (enum vt_lm_precision)prec);
            attention_run(&a, k, (enum vt_lm_precision)prec, N);
            for (int r = 0; r < N; r++) {
                double largest = 1e-37;
                for (int c = 0; c < (r + 1) * HD; c++)
                    largest = fmax(largest, fabs((double)a.v[c]));
                (void)attention_row(&a, r, out);
                for (int c = 0; c < HD; c++)
                    CHECK_NEAR((double)a.acc[r * HD + c] / (double)a.l[r] / largest, out[c] / largest,
                               r ? 1e-4 : ldexp(1.0, -15)); /* one key, of probability 1: its value's 15 bits */
            }
            a.k[NAN_KEY * HD + 3] = NAN;
            a.v[INF_VALUE * HD + 5] = INFINITY;
            put_again(&a, k, (enum vt_lm_precision)prec);
            attention_run(&a, k, (enum vt_lm_precision)prec, 7);
            for (int r = 0; r < N; r++) {
                CHECK(isfinite(a.l[r]) == (r < NAN_KEY));
                CHECK(r < NAN_KEY || isnan(a.acc[r * HD + 5]));
            }
            a.k[NAN_KEY * HD + 3] = 0.0f;
            put_again(&a, k, (enum vt_lm_precision)prec);
            attention_run(&a, k, (enum vt_lm_precision)prec, 7);
            for (int r = 0; r < N; r++) {
                CHECK(isfinite(a.l[r]));
                /* Rows before it meet 0 times infinity: that pages are finite is the caller's part. */
                CHECK(r < INF_VALUE || !isfinite(a.acc[r * HD + 5]));
            }
            attention_free(&a);
        }
}

/* Gradients of sum(out * d_out) for one page, from the textbook formulas in double. */
static void check_attend_backward(const struct vt_kernels *k, enum vt_lm_precision prec, int hd, int nq, int nk)
{
    size_t n = (size_t)nq * (size_t)hd, nkv = (size_t)nk * (size_t)hd;
    float *q = floats(n), *d_out = floats(n), *kk = floats(nkv), *v = floats(nkv), *dq = floats(n), *dk = floats(nkv),
          *dv = floats(nkv);
    float *lse = floats((size_t)nq), *delta = floats((size_t)nq);
    double *wq = vt_alloc_array(n, sizeof(double)), *wk = vt_alloc_array(nkv, sizeof(double)),
           *wv = vt_alloc_array(nkv, sizeof(double));
    int *visible = vt_alloc_array((size_t)nq, sizeof(int));
    double scale = 1.0 / sqrt((double)hd), p[64], dp[64];
    fill(q, n, 1.0);
    fill(kk, nkv, 1.0);
    fill(v, nkv, 1.0);
    fill(d_out, n, 1.0);
    for (int r = 0; r < nq; r++) {
        visible[r] = r % (nk + 1);
        double sum = 0.0, dot = 0.0;
        for (int j = 0; j < visible[r]; j++) {
            p[j] = dp[j] = 0.0;
            for (int i = 0; i < hd; i++) {
                p[j] += (double)q[r * hd + i] * (double)kk[j * hd + i] * scale;
                dp[j] += (double)d_out[r * hd + i] * (double)v[j * hd + i];
            }
            p[j] = exp(p[j]);
            sum += p[j];
        }
        for (int j = 0; j < visible[r]; j++)
            dot += p[j] / sum * dp[j];
        lse[r] = visible[r] ? (float)log(sum) : 0.0f;
        delta[r] = (float)dot;
        for (int j = 0; j < visible[r]; j++)
            for (int i = 0; i < hd; i++) {
                double ds = p[j] / sum * (dp[j] - dot) * scale;
                wq[r * hd + i] += ds * (double)kk[j * hd + i];
                wk[j * hd + i] += ds * (double)q[r * hd + i];
                wv[j * hd + i] += p[j] / sum * (double)d_out[r * hd + i];
            }
    }
    k->attend_backward(prec, hd, nq, nk, q, d_out, lse, delta, visible, kk, (size_t)hd, v, (size_t)hd, dq, dk, dv,
                       (size_t)hd);
    double e[3] = {0}, size[3] = {0};
    for (size_t i = 0; i < n; i++) {
        e[0] += ((double)dq[i] - wq[i]) * ((double)dq[i] - wq[i]);
        size[0] += wq[i] * wq[i];
    }
    for (size_t i = 0; i < nkv; i++) {
        e[1] += ((double)dk[i] - wk[i]) * ((double)dk[i] - wk[i]);
        size[1] += wk[i] * wk[i];
        e[2] += ((double)dv[i] - wv[i]) * ((double)dv[i] - wv[i]);
        size[2] += wv[i] * wv[i];
    }
    for (int i = 0; i < 3; i++)
        CHECK_NEAR(sqrt(e[i]), 0.0, (k->has_bf16 && prec == VT_LM_FAST ? 1e-2 : 3e-6) * sqrt(size[i]));
    free(q);
    free(d_out);
    free(kk);
    free(v);
    free(dq);
    free(dk);
    free(dv);
    free(lse);
    free(delta);
    free(wq);
    free(wk);
    free(wv);
    free(visible);
}

static void test_attend_backward(void)
{
    for (int i = 0; vt_kernels_at(i); i++)
        for (int prec = 0; prec < 2; prec++) {
            check_attend_backward(vt_kernels_at(i), (enum vt_lm_precision)prec, 64, 100, 64);
            check_attend_backward(vt_kernels_at(i), (enum vt_lm_precision)prec, 128, 31, 40);
            check_attend_backward(vt_kernels_at(i), (enum vt_lm_precision)prec, 24, 7, 5);
        }
}

static const struct test_case cases[] = {
    TEST(test_attention),
    TEST(test_attention_bitwise),
    TEST(test_attention_range),
    TEST(test_attend_backward),
};
TEST_MAIN(cases)
