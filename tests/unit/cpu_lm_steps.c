/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_steps.c: the forward sees the adapter that Adam made. One Adam step on the default model's golden batch at
 * five learning rates, from a fresh adapter (b0) and from a trained one (bnz): what it does to the batch's
 * log-probabilities, against what it does in fp64 (tests/golden/lora/steps.json).
 *
 * Where products are fp32, every rate's change agrees: correlation 0.999, slope within 2 %. With LoRA rounded to one
 * bf16 the trained adapter's slopes were 0.80 at 1e-4, 0.11 at 1e-5 and 0.004 at 3e-7; with the adapter's terms added
 * to the weight's sum one by one, the fresh adapter's was 0.92 at 3e-7.
 * AMX and AVX512_BF16 round activations, to 16 bits and to bf16, and two forwards of any two adapters differ by that
 * rounding's noise, which no rate makes smaller: 1.5e-3 and 2e-2 a token. There the slope must be right within 2 % and
 * what such a noise leaves of the slope's certainty over the batch's tokens (four deviations), and the noise must stay
 * what it is.
 * The best kernels step from both adapters; the two modes of fp32 products share them, AVX512_BF16 has the trained one.
 * Of the rates every second. VEGTTT_FULL=1: all of all. Under a sanitizer: the best kernels only.
 */
#include "harness.h"

#include "cpu_lm_common.h"

enum { MAX_SEQS = 8, MAX_TOKENS = 1024 };

struct bench {
    struct model m;
    struct vt_adapter *a;
    struct seq s[MAX_SEQS];
    int n;
};

/* Of got against want, means not subtracted but in the correlation. */
struct likeness_of_steps {
    double correlation, slope, rms, noise; /* rms of want, of got - want */
};

static struct likeness_of_steps compare_steps(const double *got, const double *want, int n)
{
    double ww = 0, gw = 0, gg = 0, w = 0, g = 0, dd = 0;
    for (int i = 0; i < n; i++) {
        ww += want[i] * want[i];
        gw += got[i] * want[i];
        gg += got[i] * got[i];
        w += want[i];
        g += got[i];
        dd += (got[i] - want[i]) * (got[i] - want[i]);
    }
    return (struct likeness_of_steps){.correlation = (gw - g * w / n) / sqrt((ww - w * w / n) * (gg - g * g / n)),
                                      .slope = gw / ww,
                                      .rms = sqrt(ww / n),
                                      .noise = sqrt(dd / n)};
}

static int read_logp(const struct bench *b, double *out)
{
    int n = 0;
    for (int i = 0; i < b->n; i++)
        for (int t = 0; t < b->s[i].n && n < MAX_TOKENS; t++)
            out[n++] = (double)b->s[i].logp[t];
    return n;
}

static void read_want(const vt_json *rows, double *out)
{
    int n = 0;
    for (const vt_json *row = vt_json_first(rows); row; row = vt_json_next(row))
        for (const vt_json *v = vt_json_first(row); v && n < MAX_TOKENS; v = vt_json_next(v))
            out[n++] = vt_json_num(v, NAN);
}

/* floor: the noise that rounded activations make, a token; 0 for fp32 products. */
static void check(const struct likeness_of_steps *l, int n, double floor)
{
    if (floor == 0) {
        CHECK(l->correlation >= 0.999);
        CHECK(fabs(l->slope - 1) <= 0.02);
        return;
    }
    CHECK(fabs(l->slope - 1) <= 0.02 + 4 * floor / (l->rms * sqrt(n)));
    CHECK(l->noise <= floor + 0.03 * l->rms);
    if (l->rms > 40 * floor)
        CHECK(l->correlation >= 0.999);
}

static void step_from(struct bench *b, const vt_json *start, double floor)
{
    static double before[MAX_TOKENS], got[MAX_TOKENS], want[MAX_TOKENS];
    vt_err err = {0};
    vt_lm_grad *grad = NULL;
    int id = 0, n_rates = 0;
    CHECK_OK(vt_lm_adapter_put(b->m.lm, b->a, &id, &err), err);
    (void)train(b->m.lm, b->s, b->n, id, true, &grad);
    const int n = read_logp(b, before);
    for (const vt_json *r = vt_json_first(vt_json_get(start, "dlogp")); r; r = vt_json_next(r), n_rates++) {
        if (n_rates % 2 && !is_full())
            continue;
        const struct vt_adam adam = {.lr = strtof(vt_json_key(r), NULL), .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
        int moved = 0;
        double norm;
        CHECK_OK(vt_lm_adapter_clone(b->m.lm, id, &moved, &err), err);
        CHECK_OK(vt_lm_adam(b->m.lm, moved, grad, &adam, &norm, &err), err);
        (void)train(b->m.lm, b->s, b->n, moved, true, NULL);
        CHECK_INT(read_logp(b, got), n);
        for (int i = 0; i < n; i++)
            got[i] -= before[i];
        read_want(r, want);
        const struct likeness_of_steps l = compare_steps(got, want, n);
        printf("  %-20s %-4s lr %-6s: dlogp rms %.1e, correlation %.5f, slope %.4f, off by %.1e\n",
               vt_lm_numerics(b->m.lm), vt_json_key(start), vt_json_key(r), l.rms, l.correlation, l.slope, l.noise);
        check(&l, n, floor);
        vt_lm_adapter_drop(b->m.lm, moved);
    }
    CHECK_INT(n_rates, 5);
    vt_lm_grad_free(b->m.lm, grad);
    vt_lm_adapter_drop(b->m.lm, id);
}

static void zero_b(struct vt_adapter *a)
{
    for (int layer = 0; layer < a->cfg.n_layers; layer++)
        for (int t = 0; t < VT_LORA_UNEMBED; t++) {
            size_t a_off, b_off;
            int d_out, d_in;
            if (!vt_adapter_at(a, layer, (enum vt_target)t, &a_off, &b_off))
                continue;
            vt_adapter_dims(&a->cfg, (enum vt_target)t, &d_out, &d_in);
            memset(a->params + b_off, 0, (size_t)d_out * (size_t)a->rank * sizeof *a->params);
        }
}

/* From the fresh adapter, from the trained one, or from both. */
enum start { FRESH = 1, TRAINED = 2 };

static void steps(enum vt_lm_precision p, const char *isa, double floor, unsigned from)
{
    struct bench b = {0};
    vt_err err = {0};
    if (!open_model(&b.m, model_path(), p, isa, 0))
        return;
    vt_json *batch = read_json(GOLDEN("lora/batch.json")), *want = read_json(GOLDEN("lora/steps.json"));
    for (const vt_json *row = vt_json_first(vt_json_get(batch, "sequences")); row && b.n < MAX_SEQS;
         row = vt_json_next(row))
        b.s[b.n++] = json_seq(row, "prompt_ids", "completion_ids");
    CHECK_OK(vt_adapter_load(GOLDEN("lora"), vt_lm_cfg(b.m.lm), NULL, &b.a, NULL, &err), err);
    if (from & TRAINED)
        step_from(&b, vt_json_get(want, "bnz"), floor);
    zero_b(b.a);
    if (from & FRESH)
        step_from(&b, vt_json_get(want, "b0"), floor);
    for (int i = 0; i < b.n; i++)
        free_seq(&b.s[i]);
    vt_json_free(batch);
    vt_json_free(want);
    vt_adapter_free(b.a);
    close_model(&b.m);
}

static void in_fp32(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    if (IS_SANITIZED)
        SKIP("under a sanitizer the full-speed mode takes the same paths");
    steps(VT_LM_F32, NULL, 0, is_full() ? FRESH | TRAINED : TRAINED);
}

/* The best kernels with fp32 products, and those that round activations. */
static void at_full_speed(void)
{
    const struct vt_kernels *k, *last = NULL;
    if (!model_path())
        SKIP(NO_MODEL);
    for (int i = 0; (k = vt_kernels_at(i)) != NULL; last = k, i++) {
        const struct vt_kernels *next = vt_kernels_at(i + 1);
        if (IS_SANITIZED ? next != NULL : !k->has_bf16 && next && !next->has_bf16)
            continue;
        const double floor = !k->has_bf16 ? 0 : strcmp(k->name, "amx") == 0 ? 2e-3 : 3e-2;
        steps(VT_LM_FAST, k->name, floor, is_full() || !next ? FRESH | TRAINED : k->has_bf16 ? TRAINED : FRESH);
    }
    CHECK(last != NULL);
}

static const struct test_case cases[] = {TEST(in_fp32), TEST(at_full_speed)};
TEST_MAIN(cases)
