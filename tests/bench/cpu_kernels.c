/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_kernels.c: the CPU kernels alone, one thread: GFLOP/s and GB/s of the matrix product over SmolLM2-135M's shapes
 * for M = 1, 8, 32, 64, 512, as shares of what the same thread reaches on operands that stay in the first-level cache
 * (a bf16 or fp32 product of 16 to 64 rows) and of a plain read of memory; then the other kernels in microseconds.
 *
 *     cpu_kernels [ISA...]        default: every instruction set of this machine
 *
 * Best and median of N_RUNS. Matrices are larger than the caches in sum: each run takes the next of several copies, so
 * that small M reads weights from memory as a model does.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "cpu/kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_RUNS = 21, MAX_ROWS = 512, MAX_COPIES = 64 };

static double seconds[N_RUNS];

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static float *random_floats(size_t n)
{
    float *p = vt_alloc_aligned(64, n * sizeof *p);
    uint32_t s = 1;
    for (size_t i = 0; p && i < n; i++) {
        s = s * 1664525u + 1013904223u;
        p[i] = (float)(int32_t)s / 2147483648.0f;
    }
    return p;
}

/* Copies of one packed matrix with random codes and sound scales. */
struct weights {
    enum vt_layout layout;
    int n_out, n_in, n_copies;
    void *memory[MAX_COPIES];
};

static bool weights_new(struct weights *w, enum vt_layout layout, int n_out, int n_in)
{
    size_t bytes = vt_matrix_bytes(layout, n_out, n_in);
    *w = (struct weights){.layout = layout, .n_out = n_out, .n_in = n_in};
    w->n_copies = (int)(64000000 / bytes) + 2;
    w->n_copies = w->n_copies < MAX_COPIES ? w->n_copies : MAX_COPIES;
    for (int i = 0; i < w->n_copies; i++) {
        if (!(w->memory[i] = vt_alloc_aligned(64, bytes)))
            return false;
        memset(w->memory[i], 0x1b, bytes); /* codes 1 and 11, fp16 0.0035, bf16 and fp32 1e-22 */
    }
    return true;
}

static void weights_free(struct weights *w)
{
    for (int i = 0; i < w->n_copies; i++)
        free(w->memory[i]);
}

/* Best and median seconds of one product of m rows, walking through the copies. */
static void time_gemm(const struct vt_kernels *k, const struct weights *w, const struct vt_acts *x, int m, float *y,
                      double *best, double *median)
{
    for (int r = 0; r < N_RUNS; r++) {
        struct vt_matrix matrix = {w->layout, w->n_out, w->n_in, w->memory[r % w->n_copies]};
        double t = vt_now_s();
        k->gemm(&matrix, x, 0, m, 0, w->n_out, y, (size_t)w->n_out, false);
        seconds[r] = vt_now_s() - t;
    }
    qsort(seconds, N_RUNS, sizeof seconds[0], by_value);
    *best = seconds[0];
    *median = seconds[N_RUNS / 2];
}

/* Bytes per second of k's dot product over memory that no cache holds. */
static double read_rate(const struct vt_kernels *k)
{
    size_t n = (size_t)1 << 28, piece = 16384;
    float *p = vt_alloc_aligned(64, n);
    double best = 0.0;
    if (!p)
        return 1.0;
    memset(p, 0, n);
    for (int run = 0; run < 5; run++) {
        volatile float sink = 0.0f;
        double t = vt_now_s();
        for (size_t i = 0; i < n / sizeof *p; i += piece)
            sink = sink + k->dot((int)piece, p + i, p + i);
        t = vt_now_s() - t;
        best = (double)n / t > best ? (double)n / t : best;
    }
    free(p);
    return best;
}

/* FLOP/s of the product while both operands stay in cache: the kernel's own ceiling. */
static double peak_rate(const struct vt_kernels *k, enum vt_lm_precision p, enum vt_layout layout, const float *x,
                        float *y)
{
    struct weights w;
    struct vt_acts a = {
        .n_in = 256, .stride = vt_acts_row_bytes(256), .data = vt_alloc_aligned(64, vt_acts_row_bytes(256) * 64)};
    double best = 1.0, median, rate = 0.0;
    if (weights_new(&w, layout, 32, 256) && a.data) {
        k->acts_pack(&a, p, 0, 64, x, 256, 1.0f);
        int copies = w.n_copies;
        w.n_copies = 1;
        for (int m = 16; m <= 64; m *= 2) {
            time_gemm(k, &w, &a, m, y, &best, &median);
            double r = 2.0 * 256 * 32 * m / best;
            rate = r > rate ? r : rate;
        }
        w.n_copies = copies;
    }
    weights_free(&w);
    free(a.data);
    return rate;
}

static void bench_shape(const struct vt_kernels *k, enum vt_lm_precision p, enum vt_layout layout, const char *name,
                        int n_out, int n_in, const float *x, float *y, double peak, double bandwidth)
{
    static const int rows[] = {1, 8, 32, 64, 512};
    struct weights w;
    struct vt_acts a = {.n_in = n_in,
                        .stride = vt_acts_row_bytes(n_in),
                        .data = vt_alloc_aligned(64, vt_acts_row_bytes(n_in) * MAX_ROWS)};
    if (!weights_new(&w, layout, n_out, n_in) || !a.data) {
        (void)fprintf(stderr, "cpu_kernels: out of memory\n");
        exit(1);
    }
    k->acts_pack(&a, p, 0, MAX_ROWS, x, (size_t)n_in, 1.0f);
    printf("%-10s %-22s", k->name, name);
    for (int i = 0; i < 5; i++) {
        double best, median, flops = 2.0 * rows[i] * n_out * n_in;
        double bytes = (double)vt_matrix_bytes(layout, n_out, n_in);
        time_gemm(k, &w, &a, rows[i], y, &best, &median);
        if (rows[i] == 1)
            printf(" M=1 %5.1f (%5.1f) GB/s %3.0f%%", bytes / best / 1e9, bytes / median / 1e9,
                   100.0 * bytes / best / bandwidth);
        else
            printf(" | M=%d %4.0f (%4.0f) %3.0f%%", rows[i], flops / best / 1e9, flops / median / 1e9,
                   100.0 * flops / best / peak);
    }
    printf("\n");
    weights_free(&w);
    free(a.data);
}

#define TIME_US(call)                                                                                                  \
    do {                                                                                                               \
        for (int run = 0; run < N_RUNS; run++) {                                                                       \
            double t = vt_now_s();                                                                                     \
            call;                                                                                                      \
            seconds[run] = vt_now_s() - t;                                                                             \
        }                                                                                                              \
        qsort(seconds, N_RUNS, sizeof seconds[0], by_value);                                                           \
        printf("  %-52s %8.2f us best, %8.2f median\n", #call, seconds[0] * 1e6, seconds[N_RUNS / 2] * 1e6);           \
    } while (0)

static void bench_others(const struct vt_kernels *k, const float *x, float *y)
{
    static float l[192], m[192], delta[192];
    static int seen[192];
    int hd = 64;
    float *acc = y, *dk = y + 20000, *dv = y + 30000, *dq = y + 40000;
    enum vt_lm_precision fast = VT_LM_FAST;
    size_t page_bytes = k->page_bytes(fast, hd);
    void *page = vt_alloc_aligned(64, page_bytes), *q = vt_alloc_aligned(64, vt_query_bytes(hd) * 192);
    memset(page, 0, page_bytes);
    for (int i = 0; i < 192; i++) {
        seen[i] = 64;
        l[i] = 1.0f;
    }
    for (int j = 0; j < 64; j++)
        k->kv_put(fast, page, hd, j, x + j * hd, x + j * hd + 7);
    k->query_pack(fast, hd, 192, x, 64, q);
    TIME_US(k->kv_put(fast, page, hd, 3, x, x + 64));
    TIME_US(k->attend(fast, page, page, hd, 3, q, seen, m, l, acc));
    TIME_US(k->attend(fast, page, page, hd, 96, q, seen, m, l, acc));
    TIME_US(k->attend_backward(fast, hd, 192, 64, x, x + 9, l, delta, seen, x, 64, x, 64, dq, dk, dv, 64));
    TIME_US(k->gemm_tn(fast, 512, 0, 1536, 16, x, 1536, x, 16, 1.0f, y, 16));
    TIME_US(k->gemm_tn(fast, 512, 0, 16, 1536, x, 16, x, 1536, 1.0f, y, 1536));
    TIME_US((void)k->rmsnorm(576, x, x + 600, 1e-5f, y));
    TIME_US(k->silu_mul(1536, x, x + 1600, y));
    TIME_US((void)k->exp_sum(49152, x, 1.0f, 1.0f, y));
    free(page);
    free(q);
}

int main(int argc, char **argv)
{
    float *x = random_floats((size_t)MAX_ROWS * 1536), *y = vt_alloc_aligned(64, (size_t)MAX_ROWS * 49152 * sizeof *y);
    if (!x || !y)
        return 1;
    memset(y, 0, (size_t)MAX_ROWS * 49152 * sizeof *y);
    printf(
        "one thread. GFLOP/s best (median) and share of the peak; M=1: weight bytes read and share of memory's rate\n");
    for (int i = 0; vt_kernels_at(i); i++) {
        const struct vt_kernels *k = vt_kernels_at(i);
        bool wanted = argc < 2;
        for (int j = 1; j < argc; j++)
            wanted |= strcmp(argv[j], k->name) == 0;
        if (!wanted)
            continue;
        double peak = peak_rate(k, VT_LM_FAST, k->has_bf16 ? VT_LAYOUT_BF16 : VT_LAYOUT_F32, x, y);
        double bandwidth = read_rate(k);
        printf("%s: peak in cache %.0f GFLOP/s, memory read %.1f GB/s\n", k->name, peak / 1e9, bandwidth / 1e9);
        bench_shape(k, VT_LM_FAST, VT_LAYOUT_Q4_1, "q4_1 q,o 576 x 576", 576, 576, x, y, peak, bandwidth);
        bench_shape(k, VT_LM_FAST, VT_LAYOUT_Q4_1, "q4_1 gate,up 1536 x 576", 1536, 576, x, y, peak, bandwidth);
        bench_shape(k, VT_LM_FAST, VT_LAYOUT_Q4_1, "q4_1 down 576 x 1536", 576, 1536, x, y, peak, bandwidth);
        bench_shape(k, VT_LM_FAST, VT_LAYOUT_Q8_0, "q8_0 head 49152 x 576", 49152, 576, x, y, peak, bandwidth);
        bench_shape(k, VT_LM_FAST, VT_LAYOUT_BF16, "bf16 dX 576 x 1536", 576, 1536, x, y, peak, bandwidth);
        bench_others(k, x, y);
    }
    free(x);
    free(y);
    return 0;
}
