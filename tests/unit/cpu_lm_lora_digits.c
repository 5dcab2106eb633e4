/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_lora_digits.c: low-rank products of every instruction set and precision against double precision. Activations
 * are bf16 numbers, so that only what lm_lora.c rounds shows: with both digits of A, of B and of the number between
 * them the result is within 1e-5 of the sum of its terms' sizes; each digit left out alone costs 1e-4 and more.
 */
#include "harness.h"

#include "base/alloc.h"
#include "cpu/lm_parts.h"
#include "cpu_random.h"

enum { D_IN = 40, D_OUT = 70, N_ROWS = 37, N_MODULES = VT_N_LINEAR + 1 };

struct product {
    struct vt_cpu lm;
    struct vt_cpu_adapter adapter;
    struct vt_adapter host;
    struct vt_cpu_lora lora[N_MODULES];
    struct vt_cpu_bufs bufs;
    struct vt_acts acts;
    float *a, *b, *x, *y;
    void *memory[2];
};

static void *bytes64(size_t n)
{
    void *p = vt_alloc_aligned(64, (n + 63) / 64 * 64);
    memset(p, 0, (n + 63) / 64 * 64);
    return p;
}

static struct vt_acts acts_of(int n_in)
{
    struct vt_acts a = {.n_in = n_in, .stride = vt_acts_row_bytes(n_in)};
    a.data = bytes64(a.stride * N_ROWS);
    return a;
}

/* The module `up` of one layer is adapted. */
static void product_new(struct product *p, const struct vt_kernels *k, enum vt_lm_precision prec, int rank)
{
    const size_t r = (size_t)rank;
    memset(p, 0, sizeof *p);
    p->lm.k = k;
    p->lm.prec = prec;
    p->lm.cfg.n_layers = 1;
    p->host.rank = rank;
    p->adapter = (struct vt_cpu_adapter){.host = &p->host, .scale = 2, .lora = p->lora};
    p->a = floats(r * D_IN);
    p->b = floats(r * D_OUT);
    p->x = floats((size_t)N_ROWS * D_IN);
    p->y = floats((size_t)N_ROWS * D_OUT);
    fill(p->a, r * D_IN, 1);
    fill(p->b, r * D_OUT, 1);
    fill(p->x, (size_t)N_ROWS * D_IN, 1);
    for (size_t i = 0; i < (size_t)N_ROWS * D_IN; i++)
        p->x[i] = vt_bf16_to_f32(vt_f32_to_bf16(p->x[i]));
    p->memory[0] = bytes64(vt_cpu_narrow_bytes(&p->lm, rank, D_IN));
    p->memory[1] = bytes64(vt_cpu_wide_bytes(&p->lm, D_OUT, rank));
    vt_cpu_narrow_pack(&p->lm, rank, D_IN, p->a, D_IN, 1, p->memory[0], &p->lora[VT_LORA_UP].a);
    vt_cpu_wide_pack(&p->lm, D_OUT, rank, p->b, r, 1, p->memory[1], &p->lora[VT_LORA_UP].b);
    p->acts = acts_of(D_IN);
    k->acts_pack(&p->acts, prec, 0, N_ROWS, p->x, D_IN, 1);
    p->bufs.low = acts_of(VT_LOW_DIGITS * rank);
    p->bufs.low.is_plain = true;
    p->bufs.f_low = floats(r * N_ROWS);
    p->bufs.low_digits = floats(r * VT_LOW_DIGITS * N_ROWS);
}

static void product_free(struct product *p)
{
    free(p->a);
    free(p->b);
    free(p->x);
    free(p->y);
    free(p->memory[0]);
    free(p->memory[1]);
    free(p->acts.data);
    free(p->bufs.low.data);
    free(p->bufs.f_low);
    free(p->bufs.low_digits);
}

/* s B (A x) of one element, and the sum of the terms' sizes. */
static double reference(const struct product *p, int row, int o, double *size)
{
    double sum = 0;
    *size = 0;
    for (int r = 0; r < p->host.rank; r++) {
        const double b = (double)p->adapter.scale * (double)p->b[o * p->host.rank + r];
        for (int i = 0; i < D_IN; i++) {
            const double term = b * (double)p->a[r * D_IN + i] * (double)p->x[row * D_IN + i];
            sum += term;
            *size += fabs(term);
        }
    }
    return sum;
}

static bool low_rank(struct product *p, const struct vt_cpu_run *runs, int n_runs, int target, int r0, int r1)
{
    if (!vt_cpu_lora_low(&p->lm, runs, n_runs, 0, target, r0, r1, &p->acts, &p->bufs))
        return false;
    vt_cpu_lora_wide(&p->lm, runs, n_runs, 0, target, r0, r1, &p->bufs, p->y, D_OUT, 0, 32);
    vt_cpu_lora_wide(&p->lm, runs, n_runs, 0, target, r0, r1, &p->bufs, p->y, D_OUT, 32, D_OUT);
    return true;
}

static void both_digits(void)
{
    static const int ranks[] = {3, 16, 33};
    for (int k = 0; vt_kernels_at(k); k++)
        for (int prec = VT_LM_FAST; prec <= VT_LM_F32; prec++)
            for (int i = 0; i < 3; i++) {
                struct product p;
                product_new(&p, vt_kernels_at(k), (enum vt_lm_precision)prec, ranks[i]);
                const struct vt_cpu_run run = {.row0 = 0, .row1 = N_ROWS, .adapter = &p.adapter};
                double worst = 0;
                CHECK(low_rank(&p, &run, 1, VT_LORA_UP, 0, N_ROWS));
                for (int r = 0; r < N_ROWS; r++)
                    for (int o = 0; o < D_OUT; o++) {
                        double size;
                        const double off = fabs((double)p.y[r * D_OUT + o] - reference(&p, r, o, &size)) / size;
                        worst = off > worst ? off : worst;
                    }
                printf("  %-10s %s rank %2d: off by %.1e of the terms\n", p.lm.k->name,
                       prec == VT_LM_F32 ? "f32 " : "fast", ranks[i], worst);
                CHECK(worst <= 1e-5);
                product_free(&p);
            }
}

/* Rows [10, 20) of a pass have no adapter, the part at work begins at row 5 and ends at 37 + 5. */
static void rows_without_an_adapter(void)
{
    struct product p;
    product_new(&p, vt_kernels_at(0), VT_LM_FAST, 4);
    struct vt_cpu_adapter other = p.adapter; /* adapts nothing */
    struct vt_cpu_lora none[N_MODULES] = {0};
    other.lora = none;
    const struct vt_cpu_run runs[] = {{0, 10, &p.adapter}, {10, 15, NULL}, {15, 20, &other}, {20, 99, &p.adapter}};
    fill(p.y, (size_t)N_ROWS * D_OUT, 1);
    CHECK(low_rank(&p, runs, 4, VT_LORA_UP, 5, 5 + N_ROWS));
    for (int r = 0; r < N_ROWS; r++)
        for (int o = 0; o < D_OUT; o++) {
            double size, want = reference(&p, r, o, &size);
            CHECK_NEAR(p.y[r * D_OUT + o], r >= 5 && r < 15 ? 0 : want, r >= 5 && r < 15 ? 0 : 1e-5 * size);
        }
    fill(p.y, 1, 1);
    const float before = p.y[0];
    CHECK(!low_rank(&p, runs + 1, 2, VT_LORA_UP, 10, 20));
    CHECK(!low_rank(&p, runs, 4, VT_LORA_UP, 12, 18));
    CHECK(!low_rank(&p, runs, 4, VT_LORA_GATE, 5, 42));
    CHECK_NEAR(p.y[0], before, 0);
    product_free(&p);
}

static const struct test_case cases[] = {TEST(both_digits), TEST(rows_without_an_adapter)};
TEST_MAIN(cases)
