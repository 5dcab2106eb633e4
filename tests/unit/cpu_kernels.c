/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_kernels.c: every kernel of every instruction set this machine runs, against double-precision references with
 * error bounds derived from the number of roundings, and the bitwise contract of kernels.h: a result does not depend on
 * the number of rows, the row's position, the column range or what else is in the call. Odd sizes on purpose: n_in no
 * multiple of 32, n_out no multiple of 16. Attention: cpu_attention.c.
 */
#include "harness.h"
#include "numbers.h"

#include "base/alloc.h"
#include "cpu/kernels.h"
#include "cpu/layout.h"
#include "cpu_random.h"

static float as_bf16(float x)
{
    return vt_bf16_to_f32(vt_f32_to_bf16(x));
}

/* A random tensor of a dtype in file layout. */
static struct vt_tensor random_tensor(enum vt_dtype dtype, int n_out, int n_in)
{
    size_t block = dtype == VT_Q4_1 ? 20 : dtype == VT_Q8_0 ? 34 : 18;
    bool quantised = dtype == VT_Q4_0 || dtype == VT_Q4_1 || dtype == VT_Q8_0;
    size_t row = quantised ? (size_t)(n_in / 32) * block : (size_t)n_in * (dtype == VT_F32 ? 4 : 2);
    unsigned char *data = vt_alloc((size_t)n_out * row);
    for (size_t r = 0; r < (size_t)n_out; r++)
        for (size_t b = 0; quantised && b < (size_t)(n_in / 32); b++) {
            unsigned char *p = data + r * row + b * block;
            for (size_t i = 0; i < block; i++)
                p[i] = (unsigned char)(127.0 * (uniform() + 1.0));
            uint16_t d = f32_to_f16((float)(0.01 * uniform())), m = f32_to_f16((float)(0.05 * uniform()));
            memcpy(p, &d, 2);
            if (dtype == VT_Q4_1)
                memcpy(p + 2, &m, 2);
        }
    for (size_t i = 0; !quantised && i < (size_t)n_out * (size_t)n_in; i++) {
        float x = (float)(0.1 * uniform());
        uint16_t h = dtype == VT_F16 ? f32_to_f16(x) : vt_f32_to_bf16(x);
        memcpy(data + i * (dtype == VT_F32 ? 4 : 2), dtype == VT_F32 ? (void *)&x : (void *)&h,
               dtype == VT_F32 ? 4 : 2);
    }
    return (struct vt_tensor){
        .name = "test", .dtype = dtype, .n_dims = 2, .shape = {n_out, n_in}, .data = data, .row_bytes = row};
}

struct problem {
    struct vt_tensor t;
    struct vt_matrix w;
    void *memory;
    struct vt_acts acts;
    float *x, *y;
    int m;
};

static void problem_new(struct problem *p, const struct vt_kernels *k, enum vt_lm_precision prec, enum vt_dtype dtype,
                        int m, int n_out, int n_in)
{
    vt_err err;
    enum vt_layout layout = vt_layout_of(prec, dtype);
    p->t = random_tensor(dtype, n_out, n_in);
    p->memory = vt_alloc_aligned(64, vt_matrix_bytes(layout, n_out, n_in));
    CHECK_OK(vt_matrix_pack(&p->t, layout, p->memory, &p->w, &err), err);
    p->m = m;
    p->x = floats((size_t)m * (size_t)n_in);
    p->y = floats((size_t)m * (size_t)n_out);
    fill(p->x, (size_t)m * (size_t)n_in, 3.0);
    p->acts = (struct vt_acts){.n_in = n_in,
                               .stride = vt_acts_row_bytes(n_in),
                               .data = vt_alloc_aligned(64, vt_acts_row_bytes(n_in) * (size_t)m)};
    k->acts_pack(&p->acts, prec, 0, m, p->x, (size_t)n_in, 1.0f);
    k->gemm(&p->w, &p->acts, 0, m, 0, n_out, p->y, (size_t)n_out, false);
}
static void problem_free(struct problem *p)
{
    free((void *)(uintptr_t)p->t.data);
    free(p->memory);
    free(p->x);
    free(p->y);
    free(p->acts.data);
}

static const enum vt_dtype dtypes[] = {VT_F32, VT_F16, VT_BF16, VT_Q8_0, VT_Q4_0, VT_Q4_1};
static const int shapes[][2] = {{1, 32}, {5, 64}, {33, 96}, {100, 576}, {48, 1536}, {31, 7}, {17, 50}, {64, 288}};
enum { N_DTYPES = 6, N_SHAPES = 8 };

static bool shape_fits(enum vt_dtype dtype, int n_in)
{
    return n_in % 32 == 0 || (dtype != VT_Q8_0 && dtype != VT_Q4_0 && dtype != VT_Q4_1);
}

static void check_gemm(const struct vt_kernels *k, enum vt_lm_precision prec, enum vt_dtype dtype, int n_out, int n_in)
{
    struct problem p;
    problem_new(&p, k, prec, dtype, 19, n_out, n_in);
    bool bf16_weight = prec == VT_LM_FAST && dtype == VT_BF16, fast = k->has_bf16 && prec == VT_LM_FAST;
    bool digits = fast && !bf16_weight && strcmp(k->name, "amx") == 0, rounds = fast && !digits;
    float *row = floats((size_t)n_in);
    double worst = 0.0;
    for (int o = 0; o < n_out; o++) {
        vt_tensor_row(&p.t, o, row);
        for (int r = 0; r < p.m; r++) {
            double sum = 0.0, size = 0.0, x_size = 0.0, x_max = 0.0, w_size = 0.0;
            for (int i = 0; i < n_in; i++) {
                float x = p.x[r * n_in + i];
                x_size += fabs((double)x);
                x_max = fmax(x_max, fabs((double)x));
                w_size += fabs((double)row[i]);
                double term = (double)(rounds ? as_bf16(x) : x) * (double)(bf16_weight ? as_bf16(row[i]) : row[i]);
                sum += term;
                size += fabs(term);
            }
            /* n_in + 4 roundings of partial sums at most `size`. A weight that is stored as an integer is one rounding
             * in units of its column's scale. Where both sides become 16-bit integers: a weight is the sum of three
             * such roundings, an activation one. */
            double bound = (n_in + 4) * ldexp(size, -24) + 1e-30;
            if (p.w.layout == VT_LAYOUT_I16 && !digits)
                bound += 0.5 * x_size * (double)vt_column_scales(&p.w)[o];
            if (digits)
                bound += 1.5 * x_size * (double)vt_column_scales(&p.w)[o] + 0.5 * w_size * x_max / 32512.0;
            double e = fabs(sum - (double)p.y[r * n_out + o]) / bound;
            worst = e <= worst ? worst : e;
        }
    }
    if (!(worst <= 1.0))
        printf("  %s %s %s %d x %d: error %.3g of the bound\n", k->name, prec == VT_LM_FAST ? "fast" : "f32",
               vt_dtype_name(dtype), n_out, n_in, worst);
    CHECK(worst <= 1.0);
    free(row);
    problem_free(&p);
}

static void test_gemm_accuracy(void)
{
    for (int i = 0; vt_kernels_at(i); i++)
        for (int d = 0; d < N_DTYPES; d++)
            for (int s = 0; s < N_SHAPES; s++)
                for (int p = 0; p < 2; p++)
                    if (shape_fits(dtypes[d], shapes[s][1]))
                        check_gemm(vt_kernels_at(i), (enum vt_lm_precision)p, dtypes[d], shapes[s][0], shapes[s][1]);
}

/* Any sub-range of rows and columns, alone and on top of y, gives the bits of the whole. */
static void check_slices(const struct vt_kernels *k, enum vt_lm_precision prec, enum vt_dtype dtype, int n_out,
                         int n_in)
{
    enum { M = 70 };
    struct problem p;
    problem_new(&p, k, prec, dtype, M, n_out, n_in);
    float *y = floats((size_t)M * (size_t)n_out), *sum = floats((size_t)M * (size_t)n_out),
          *base = floats((size_t)M * (size_t)n_out);
    fill(base, (size_t)M * (size_t)n_out, 1.0);
    memcpy(sum, base, (size_t)M * (size_t)n_out * sizeof(float));
    k->gemm(&p.w, &p.acts, 0, M, 0, n_out, sum, (size_t)n_out, true);
    int bad = 0;
    for (int m = 1; m <= 64; m++) {
        int r0 = (m * 7) % (M - m + 1), split = m % 3 * 32 < n_out ? m % 3 * 32 : 0;
        for (int add = 0; add < 2; add++) {
            memcpy(y, base, (size_t)M * (size_t)n_out * sizeof(float));
            float *yr = y + (size_t)r0 * (size_t)n_out;
            if (split)
                k->gemm(&p.w, &p.acts, r0, r0 + m, 0, split, yr, (size_t)n_out, add);
            k->gemm(&p.w, &p.acts, r0, r0 + m, split, n_out, yr, (size_t)n_out, add);
            const float *want = (add ? sum : p.y) + (size_t)r0 * (size_t)n_out;
            bad += memcmp(yr, want, (size_t)m * (size_t)n_out * sizeof(float)) != 0;
            size_t after = (size_t)(r0 + m) * (size_t)n_out, total = (size_t)M * (size_t)n_out;
            bad += memcmp(y + after, base + after, (total - after) * sizeof(float)) != 0;
        }
    }
    CHECK_INT(bad, 0);
    free(y);
    free(sum);
    free(base);
    problem_free(&p);
}

static void test_gemm_bitwise(void)
{
    for (int i = 0; vt_kernels_at(i); i++)
        for (int d = 0; d < N_DTYPES; d++)
            for (int p = 0; p < 2; p++) {
                check_slices(vt_kernels_at(i), (enum vt_lm_precision)p, dtypes[d], 100, 576);
                check_slices(vt_kernels_at(i), (enum vt_lm_precision)p, dtypes[d], 33, 96);
            }
}

static void test_gemm_nan(void)
{
    for (int i = 0; vt_kernels_at(i); i++)
        for (int d = 0; d < N_DTYPES; d++) {
            const struct vt_kernels *k = vt_kernels_at(i);
            struct problem p;
            problem_new(&p, k, VT_LM_FAST, dtypes[d], 20, 40, 64);
            p.x[3 * 64 + 11] = NAN;
            k->acts_pack(&p.acts, VT_LM_FAST, 0, 20, p.x, 64, 1.0f);
            k->gemm(&p.w, &p.acts, 0, 20, 0, 40, p.y, 40, false);
            int n_nan[20] = {0};
            for (int j = 0; j < 20 * 40; j++)
                n_nan[j / 40] += isnan(p.y[j]) != 0;
            for (int r = 0; r < 20; r++)
                CHECK_INT(n_nan[r], r == 3 ? 40 : 0);
            problem_free(&p);
        }
}

/* A weight that is no number makes its own column no number, in every layout that a value can be stored in. */
static void test_weight_nan(void)
{
    for (int i = 0; vt_kernels_at(i); i++)
        for (int d = 0; d < 3; d++) {
            const struct vt_kernels *k = vt_kernels_at(i);
            struct problem p;
            problem_new(&p, k, VT_LM_FAST, dtypes[d], 2, 40, 64);
            uint32_t infinite = dtypes[d] == VT_F32 ? 0x7f800000u : dtypes[d] == VT_F16 ? 0x7c00u : 0x7f80u;
            size_t width = dtypes[d] == VT_F32 ? 4 : 2;
            memcpy((unsigned char *)(uintptr_t)p.t.data + (7 * 64 + 5) * width, &infinite, width);
            vt_err err;
            CHECK_OK(vt_matrix_pack(&p.t, p.w.layout, p.memory, &p.w, &err), err);
            k->gemm(&p.w, &p.acts, 0, 2, 0, 40, p.y, 40, false);
            for (int j = 0; j < 2 * 40; j++)
                CHECK_INT(isfinite(p.y[j]) == 0, j % 40 == 7);
            problem_free(&p);
        }
}

static void test_transposed(void)
{
    enum { N_OUT = 70, N_IN = 100, M = 21 };
    vt_err err;
    for (int i = 0; vt_kernels_at(i); i++)
        for (int prec = 0; prec < 2; prec++) {
            const struct vt_kernels *k = vt_kernels_at(i);
            enum vt_layout layout = prec == VT_LM_F32 ? VT_LAYOUT_F32 : VT_LAYOUT_BF16;
            struct vt_tensor t = random_tensor(VT_F32, N_OUT, N_IN);
            struct vt_matrix w;
            void *memory = vt_alloc_aligned(64, vt_matrix_bytes(layout, N_IN, N_OUT));
            CHECK_OK(vt_matrix_pack_transposed(&t, layout, 10, N_OUT, memory, &w, &err), err);
            float *dy = floats(M * 60), *dx = floats(M * N_IN), row[N_IN];
            fill(dy, M * 60, 1.0);
            struct vt_acts a = {.n_in = 60,
                                .stride = vt_acts_row_bytes(60),
                                .data = vt_alloc_aligned(64, vt_acts_row_bytes(60) * M),
                                .is_plain = true};
            k->acts_pack(&a, (enum vt_lm_precision)prec, 0, M, dy, 60, 2.0f);
            k->gemm(&w, &a, 0, M, 0, N_IN, dx, N_IN, false);
            bool rounds = k->has_bf16 && prec == VT_LM_FAST;
            for (int r = 0; r < M; r++) {
                double want[N_IN] = {0};
                for (int o = 10; o < N_OUT; o++) {
                    vt_tensor_row(&t, o, row);
                    for (int c = 0; c < N_IN; c++) {
                        float d = 2.0f * dy[r * 60 + o - 10];
                        want[c] +=
                            (double)(rounds ? as_bf16(d) : d) * (double)(prec == VT_LM_FAST ? as_bf16(row[c]) : row[c]);
                    }
                }
                for (int c = 0; c < N_IN; c++)
                    CHECK_NEAR(dx[r * N_IN + c], want[c], 2e-5);
            }
            CHECK_INT(vt_matrix_pack_transposed(&t, layout, 10, N_OUT + 1, memory, &w, &err), VT_EINVAL);
            free((void *)(uintptr_t)t.data);
            free(memory);
            free(dy);
            free(dx);
            free(a.data);
        }
}

static void test_gemm_tn(void)
{
    enum { N = 300, P = 37, Q = 50 };
    float *a = floats(N * P), *b = floats(N * Q), *c = floats(P * Q), *d = floats(P * Q);
    fill(a, N * P, 1.0);
    fill(b, N * Q, 1.0);
    for (int i = 0; vt_kernels_at(i); i++)
        for (int prec = 0; prec < 2; prec++) {
            const struct vt_kernels *k = vt_kernels_at(i);
            bool rounds = k->has_bf16 && prec == VT_LM_FAST;
            for (int j = 0; j < P * Q; j++)
                c[j] = d[j] = 0.5f;
            k->gemm_tn((enum vt_lm_precision)prec, N, 0, P, Q, a, P, b, Q, 2.0f, c, Q);
            k->gemm_tn((enum vt_lm_precision)prec, N, 0, 16, Q, a, P, b, Q, 2.0f, d, Q);
            k->gemm_tn((enum vt_lm_precision)prec, N, 16, P, Q, a, P, b, Q, 2.0f, d, Q);
            CHECK(memcmp(c, d, P * Q * sizeof(float)) == 0);
            for (int p = 0; p < P; p++)
                for (int q = 0; q < Q; q++) {
                    double want = 0.5, size = 0.5;
                    for (int n = 0; n < N; n++) {
                        double t = 2.0 * (double)a[n * P + p] * (double)b[n * Q + q];
                        want += t;
                        size += fabs(t);
                    }
                    CHECK_NEAR(c[p * Q + q], want, size * (rounds ? ldexp(1.0, -8) : N * ldexp(1.0, -24)));
                }
        }
    free(a);
    free(b);
    free(c);
    free(d);
}

enum { N_ROW = 77 };

static void check_rmsnorm(const struct vt_kernels *k)
{
    float x[N_ROW], w[N_ROW], y[N_ROW], dy[N_ROW], dx[N_ROW] = {0};
    double ss = 0.0, s = 0.0;
    fill(x, N_ROW, 2.0);
    fill(w, N_ROW, 1.0);
    fill(dy, N_ROW, 1.0);
    float inv = k->rmsnorm(N_ROW, x, w, 1e-5f, y);
    k->rmsnorm_backward(N_ROW, x, w, inv, dy, dx);
    for (int i = 0; i < N_ROW; i++)
        ss += (double)x[i] * (double)x[i];
    double r = 1.0 / sqrt(ss / N_ROW + 1e-5);
    for (int i = 0; i < N_ROW; i++)
        s += (double)w[i] * (double)dy[i] * (double)x[i];
    for (int i = 0; i < N_ROW; i++) {
        CHECK_NEAR(y[i], (double)x[i] * r * (double)w[i], 1e-6);
        CHECK_NEAR(dx[i], r * (double)w[i] * (double)dy[i] - (double)x[i] * r * r * r / N_ROW * s, 2e-6);
    }
}

static void check_elementwise(const struct vt_kernels *k)
{
    float g[N_ROW], u[N_ROW], d[N_ROW], out[N_ROW], dg[N_ROW], du[N_ROW];
    fill(g, N_ROW, 9.0);
    fill(u, N_ROW, 2.0);
    fill(d, N_ROW, 1.0);
    g[0] = -200.0f;
    g[1] = 200.0f;
    k->silu_mul(N_ROW, g, u, out);
    k->silu_mul_backward(N_ROW, g, u, d, dg, du);
    for (int i = 0; i < N_ROW; i++) {
        double s = 1.0 / (1.0 + exp(-(double)g[i]));
        CHECK_NEAR(out[i], (double)g[i] * s * (double)u[i], 4e-6 + 4e-7 * fabs((double)out[i]));
        CHECK_NEAR(dg[i], (double)d[i] * (double)u[i] * s * (1.0 + (double)g[i] * (1.0 - s)), 4e-6);
        CHECK_NEAR(du[i], (double)d[i] * (double)g[i] * s, 4e-6 + 4e-7 * fabs((double)du[i]));
    }
    float x[64], table[64], back[64];
    fill(x, 64, 1.0);
    memcpy(back, x, sizeof x);
    for (int i = 0; i < 32; i++) {
        table[i] = (float)cos(0.3 * i);
        table[32 + i] = (float)sin(0.3 * i);
    }
    k->rope(64, x, table, false);
    for (int i = 0; i < 32; i++) {
        CHECK_NEAR(x[i], (double)back[i] * cos(0.3 * i) - (double)back[32 + i] * sin(0.3 * i), 3e-7);
        CHECK_NEAR(x[32 + i], (double)back[32 + i] * cos(0.3 * i) + (double)back[i] * sin(0.3 * i), 3e-7);
    }
    k->rope(64, x, table, true);
    for (int i = 0; i < 64; i++)
        CHECK_NEAR(x[i], back[i], 4e-7);
}

/* e^x within 1.5 ulp; the same bits in a tail lane as in a full vector; sums; NaN wherever it stands. */
static void check_exp_and_max(const struct vt_kernels *k)
{
    float x[N_ROW], e[N_ROW], one;
    fill(x, N_ROW, 40.0);
    x[5] = -INFINITY;
    x[6] = -100.0f;
    float sum = k->exp_sum(N_ROW, x, 0.5f, 1.25f, e);
    double want = 0.0;
    for (int i = 0; i < N_ROW; i++) {
        double v = exp(0.5 * (double)x[i] - 1.25);
        want += v;
        /* the argument itself is rounded: |a x - b| <= 22, half an ulp of that is 2^-20 */
        CHECK_NEAR(e[i], v, v * 1.2e-6);
        k->exp_sum(1, x + i, 0.5f, 1.25f, &one);
        CHECK(memcmp(&one, e + i, sizeof one) == 0);
    }
    CHECK_NEAR(sum, want, want * 2e-6);
    CHECK(memcmp(&e[5], &(float){0.0f}, 4) == 0);
    for (int n = 1; n < N_ROW; n += 6) {
        float top = -INFINITY;
        for (int i = 0; i < n; i++)
            top = x[i] > top ? x[i] : top;
        CHECK(k->max(n, x) == top);
        float keep = x[n - 1];
        x[n - 1] = NAN;
        CHECK(isnan(k->max(n, x)));
        CHECK(isnan(k->exp_sum(n, x, 1.0f, 0.0f, NULL)));
        x[n - 1] = keep;
    }
}

static void check_adam(const struct vt_kernels *k)
{
    struct vt_adam o = {.lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f, .weight_decay = 0.1f};
    float p[N_ROW], g[N_ROW], m[N_ROW] = {0}, v[N_ROW] = {0};
    double wp[N_ROW], wm[N_ROW] = {0}, wv[N_ROW] = {0};
    fill(p, N_ROW, 1.0);
    for (int i = 0; i < N_ROW; i++)
        wp[i] = (double)p[i];
    for (int t = 1; t <= 3; t++) {
        fill(g, N_ROW, 1e-3);
        g[7] = 0.0f;
        double c1 = 1.0 - pow(0.9, t), c2 = 1.0 - pow(0.95, t);
        k->adam(N_ROW, p, g, m, v, &o, 0.5f, (float)c1, (float)c2);
        for (int i = 0; i < N_ROW; i++) {
            double gi = 0.5 * (double)g[i];
            wm[i] = 0.9 * wm[i] + 0.1 * gi;
            wv[i] = 0.95 * wv[i] + 0.05 * gi * gi;
            double up = wm[i] == 0.0 ? 0.0 : wm[i] / c1 / (sqrt(wv[i] / c2) + 1e-12);
            wp[i] = wp[i] * (1.0 - 1e-2 * 0.1) - 1e-2 * up;
            CHECK_NEAR(p[i], wp[i], 2e-6);
        }
    }
}

static void test_rows(void)
{
    for (int i = 0; vt_kernels_at(i); i++) {
        const struct vt_kernels *k = vt_kernels_at(i);
        check_rmsnorm(k);
        check_elementwise(k);
        check_exp_and_max(k);
        check_adam(k);
        float x[N_ROW], y[N_ROW], z[N_ROW];
        double dot = 0.0, ss = 0.0;
        fill(x, N_ROW, 1.0);
        fill(y, N_ROW, 1.0);
        memcpy(z, y, sizeof z);
        for (int j = 0; j < N_ROW; j++) {
            dot += (double)x[j] * (double)y[j];
            ss += (double)x[j] * (double)x[j];
        }
        CHECK_NEAR(k->dot(N_ROW, x, y), dot, 4e-6);
        CHECK_NEAR(k->sum_squares(N_ROW, x), ss, 1e-12);
        k->axpy(N_ROW, 0.5f, x, y);
        k->add(N_ROW, x, y);
        k->scale(N_ROW, 2.0f, y);
        for (int j = 0; j < N_ROW; j++)
            CHECK_NEAR(y[j], 2.0 * ((double)z[j] + 1.5 * (double)x[j]), 1e-6);
    }
}

static void test_pick_and_split(void)
{
    const struct vt_kernels *k = NULL;
    vt_err err = {0};
    CHECK_OK(vt_kernels_pick(NULL, &k, &err), err);
    for (int i = 0; vt_kernels_at(i); i++) {
        CHECK_OK(vt_kernels_pick(vt_kernels_at(i)->name, &k, &err), err);
        CHECK(k == vt_kernels_at(i));
    }
    CHECK_INT(vt_kernels_pick("sve2", &k, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "sve2") && strstr(err.msg, "c"));
    CHECK(vt_kernels_at(-1) == NULL);
    for (int n = 1; n < 300; n += 13)
        for (int threads = 1; threads < 6; threads++) {
            int at = 0, b, e;
            for (int t = 0; t < threads; t++) {
                vt_range_split(n, 32, t, threads, &b, &e);
                CHECK_INT(b, at);
                CHECK(b % 32 == 0 || b == n);
                at = e;
            }
            CHECK_INT(at, n);
        }
}

static const struct test_case cases[] = {
    TEST(test_gemm_accuracy), TEST(test_gemm_bitwise), TEST(test_gemm_nan), TEST(test_weight_nan),
    TEST(test_transposed),    TEST(test_gemm_tn),      TEST(test_rows),     TEST(test_pick_and_split),
};
TEST_MAIN(cases)
