/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_lora.c: LoRA training of the default model against PEFT and an independent fp64 implementation
 * (tests/golden/lora): loss, log-probabilities, gradients of all modules and of the unembedding, and Adam steps at two
 * learning rates.
 *
 * Tolerances. Gradients in fp32: relative l2 1.5e-4 per tensor (PEFT's own fp32 is at 9e-5). After Adam steps with eps
 * 1e-12 an element whose gradient is rounding noise moves by a full learning rate in either direction, so what is
 * compared is the log-probabilities: twice the distance that PEFT's fp32 shows from fp64 in the same file. It grows
 * with the steps' effect: at 1e-3 three steps move log-probabilities by up to 26, of which 5e-4 is single precision's
 * share. The fresh adapter's steps at 1e-4 are those with an unembedding; VEGTTT_FULL=1 takes them without, too. Under
 * a sanitizer: gradients of the fresh adapter, with and without an unembedding, in either precision.
 */
#include "harness.h"

#include "cpu_lm_common.h"

enum { MAX_SEQS = 8 };

struct bench {
    struct model m;
    struct vt_adapter *a;
    struct seq s[MAX_SEQS];
    int n;
    vt_json *want;
};

static void zero_b(struct vt_adapter *a)
{
    for (int layer = 0; layer <= a->cfg.n_layers; layer++)
        for (int t = 0; t < VT_LORA_N; t++) {
            size_t a_off, b_off;
            int d_out, d_in;
            if (!vt_adapter_at(a, layer, (enum vt_target)t, &a_off, &b_off))
                continue;
            vt_adapter_dims(&a->cfg, (enum vt_target)t, &d_out, &d_in);
            memset(a->params + b_off, 0, (size_t)d_out * (size_t)a->rank * sizeof *a->params);
        }
}

/* The same modules and an unembedding, whose A comes from its own file. */
static struct vt_adapter *with_unembedding(const struct vt_adapter *from)
{
    struct vt_adapter *a = NULL;
    vt_st *st = NULL;
    vt_err err = {0};
    size_t to[2], src[2];
    CHECK_OK(vt_adapter_new(&from->cfg, from->rank, from->alpha, from->targets | 1u << VT_LORA_UNEMBED, 1, &a, &err),
             err);
    CHECK_OK(vt_st_open(GOLDEN("lora/lm_head_A.safetensors"), &st, &err), err);
    if (!a || !st)
        return a;
    for (int layer = 0; layer < a->cfg.n_layers; layer++)
        for (int t = 0; t < VT_LORA_UNEMBED; t++) {
            int d_out, d_in;
            if (!vt_adapter_at(a, layer, (enum vt_target)t, &to[0], &to[1]) ||
                !vt_adapter_at(from, layer, (enum vt_target)t, &src[0], &src[1]))
                continue;
            vt_adapter_dims(&a->cfg, (enum vt_target)t, &d_out, &d_in);
            memcpy(a->params + to[0], from->params + src[0], (size_t)(a->rank * d_in) * sizeof *a->params);
        }
    CHECK(vt_adapter_at(a, a->cfg.n_layers, VT_LORA_UNEMBED, &to[0], &to[1]));
    for (int64_t r = 0; r < a->rank; r++)
        vt_tensor_row(vt_st_at(st, 0), r, a->params + to[0] + (size_t)r * (size_t)a->cfg.d_model);
    zero_b(a);
    vt_st_free(st);
    return a;
}

static bool bench_open(struct bench *b, enum vt_lm_precision p, const char *want, bool is_b_zero, bool is_unembed)
{
    vt_err err = {0};
    memset(b, 0, sizeof *b);
    if (!open_model(&b->m, model_path(), p, NULL, 0))
        return false;
    CHECK_OK(vt_adapter_load(GOLDEN("lora"), vt_lm_cfg(b->m.lm), NULL, &b->a, NULL, &err), err);
    vt_json *batch = read_json(GOLDEN("lora/batch.json"));
    b->want = read_json(want);
    if (!b->a || !batch || !b->want)
        return false;
    for (const vt_json *row = vt_json_first(vt_json_get(batch, "sequences")); row && b->n < MAX_SEQS;
         row = vt_json_next(row))
        b->s[b->n++] = json_seq(row, "prompt_ids", "completion_ids");
    vt_json_free(batch);
    if (is_b_zero)
        zero_b(b->a);
    if (is_unembed) {
        struct vt_adapter *a = with_unembedding(b->a);
        vt_adapter_free(b->a);
        b->a = a;
    }
    return true;
}

static void bench_close(struct bench *b)
{
    for (int i = 0; i < b->n; i++)
        free_seq(&b->s[i]);
    vt_json_free(b->want);
    vt_adapter_free(b->a);
    close_model(&b->m);
}

static struct gap logp_gap(const struct bench *b, const vt_json *rows)
{
    struct gap g = {0};
    const vt_json *row = vt_json_first(rows);
    for (int i = 0; i < b->n; i++, row = vt_json_next(row)) {
        float *want = json_floats(row, b->s[i].n);
        gap_add(&g, b->s[i].logp, want, b->s[i].n);
        free(want);
    }
    return g;
}

/* l2 of every tensor's values against a table name -> l2; returns the largest relative difference. */
static double norms_differ(const struct bench *b, const float *values, const vt_json *table, int *n)
{
    double worst = 0;
    *n = 0;
    for (const vt_json *c = vt_json_first(table); c; c = vt_json_next(c)) {
        int layer, d[2];
        enum vt_target target;
        bool is_b;
        size_t off[2], size;
        if (!parse_peft(vt_json_key(c), b->a->cfg.n_layers, &layer, &target, &is_b) ||
            !vt_adapter_at(b->a, layer, target, &off[0], &off[1]))
            continue;
        vt_adapter_dims(&b->a->cfg, target, &d[1], &d[0]);
        size = (size_t)d[is_b] * (size_t)b->a->rank;
        double sum = 0, want = vt_json_num(c, NAN);
        for (size_t i = 0; i < size; i++)
            sum += (double)values[off[is_b] + i] * (double)values[off[is_b] + i];
        double diff = want > 0 ? fabs(sqrt(sum) / want - 1) : sqrt(sum);
        if (!(diff <= worst))
            worst = diff;
        ++*n;
    }
    return worst;
}

static void check_gradients(struct bench *b, int id, bool is_f32, const char *file, const char *label)
{
    vt_lm_grad *g_handle = NULL;
    const double loss = train(b->m.lm, b->s, b->n, id, true, &g_handle);
    float *grad = grad_floats(b->m.lm, g_handle);
    const struct gap g = logp_gap(b, vt_json_get(b->want, "logp0_fp64"));
    int n;
    const double norms = norms_differ(b, grad, vt_json_get(b->want, "grad0_fp64_l2"), &n);
    struct worst w = {.cosine = 1};
    if (file) {
        w = compare_file(file, b->a, grad);
        CHECK_INT(w.n, 21);
    }
    printf("  %s %s: loss %+.7f (fp64 %+.7f), |dlogp| mean %.1e max %.1e, gradients: rel %.1e, cosine %.6f over %d "
           "tensors, l2 within %.1e over %d\n",
           label, vt_lm_numerics(b->m.lm), loss, vt_json_num(vt_json_get(b->want, "loss0_fp64"), 0), gap_mean(&g),
           g.max, w.rel, w.cosine, w.n, norms, n);
    if (is_f32) {
        CHECK(g.max <= 5e-4);
        CHECK(gap_mean(&g) <= 2e-5);
        CHECK(w.rel <= 1.5e-4);
        CHECK(norms <= 1e-4);
        CHECK_NEAR(loss, vt_json_num(vt_json_get(b->want, "loss0_fp64"), NAN), 1e-4);
    } else {
        CHECK(gap_mean(&g) <= 0.01);
        CHECK(w.cosine >= 0.999);
        CHECK(norms <= 0.01);
    }
    free(grad);
    vt_lm_grad_free(b->m.lm, g_handle);
}

static void check_steps(struct bench *b, const char *key, const char *label)
{
    const vt_json *want = vt_json_get(b->want, key);
    const struct vt_adam adam = {
        .lr = (float)vt_json_num(vt_json_get(want, "lr"), 0), .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    vt_err err = {0};
    int id = 0, n_norms;
    double loss = 0, norm;
    CHECK_OK(vt_lm_adapter_put(b->m.lm, b->a, &id, &err), err);
    const vt_json *losses = vt_json_first(vt_json_get(want, "losses_before_each_step_then_after_last"));
    for (; losses; losses = vt_json_next(losses)) {
        const bool is_last = vt_json_next(losses) == NULL;
        vt_lm_grad *grad = NULL;
        loss = train(b->m.lm, b->s, b->n, id, true, is_last ? NULL : &grad);
        CHECK_NEAR(loss, vt_json_num(losses, NAN), 5e-3 * fabs(vt_json_num(losses, 0)));
        if (!is_last)
            CHECK_OK(vt_lm_adam(b->m.lm, id, grad, &adam, &norm, &err), err);
        vt_lm_grad_free(b->m.lm, grad);
    }
    struct vt_adapter *after = NULL;
    CHECK_OK(vt_lm_adapter_get(b->m.lm, id, &after, &err), err);
    const vt_json *logp = vt_json_get(want, "logp_after_fp64");
    const struct gap g = logp_gap(b, logp ? logp : vt_json_get(want, "logp_after"));
    const double norms = norms_differ(b, after->params, vt_json_get(want, "adapter_l2"), &n_norms);
    const double peft = vt_json_num(vt_json_get(want, "max_abs_dlogp_fp32_vs_fp64"), adam.lr >= 1e-3f ? 2e-3 : 9e-5);
    printf("  %s %s: after %d steps loss %+.6f, |dlogp| mean %.1e max %.1e (PEFT fp32: %.1e), adapter l2 within %.1e "
           "over %d\n",
           label, key, (int)after->step, loss, gap_mean(&g), g.max, peft, norms, n_norms);
    CHECK(g.max <= 2 * peft);
    CHECK(n_norms > 0);
    CHECK(norms <= 5e-3);
    vt_adapter_free(after);
    vt_lm_adapter_drop(b->m.lm, id);
}

static int put(struct bench *b)
{
    vt_err err = {0};
    int id = 0;
    CHECK_OK(vt_lm_adapter_put(b->m.lm, b->a, &id, &err), err);
    return id;
}

static void fresh_adapter_f32(void)
{
    struct bench b;
    if (!model_path())
        SKIP(NO_MODEL);
    if (bench_open(&b, VT_LM_F32, GOLDEN("lora/b0.json"), true, false)) {
        check_gradients(&b, put(&b), true, GOLDEN("lora/b0_grad0.safetensors"), "b0");
        if (!IS_SANITIZED) {
            if (is_full())
                check_steps(&b, "lr_0.0001", "b0");
            check_steps(&b, "lr_0.001", "b0");
        }
    }
    bench_close(&b);
}

static void trained_adapter_f32(void)
{
    struct bench b;
    if (!model_path())
        SKIP(NO_MODEL);
    if (IS_SANITIZED)
        SKIP("under a sanitizer the fresh adapter takes the same paths");
    if (bench_open(&b, VT_LM_F32, GOLDEN("lora/bnz.json"), false, false)) {
        check_gradients(&b, put(&b), true, NULL, "bnz");
        check_steps(&b, "lr_0.0001", "bnz");
    }
    bench_close(&b);
}

static void unembedding_f32(void)
{
    struct bench b;
    if (!model_path())
        SKIP(NO_MODEL);
    if (bench_open(&b, VT_LM_F32, GOLDEN("lora/b0_lmhead.json"), true, true)) {
        check_gradients(&b, put(&b), true, NULL, "b0_lmhead");
        if (!IS_SANITIZED)
            check_steps(&b, "lr_0.0001", "b0_lmhead");
    }
    bench_close(&b);
}

static void adapters_fast(void)
{
    struct bench b;
    if (!model_path())
        SKIP(NO_MODEL);
    if (bench_open(&b, VT_LM_FAST, GOLDEN("lora/b0.json"), true, false))
        check_gradients(&b, put(&b), false, GOLDEN("lora/b0_grad0.safetensors"), "b0");
    bench_close(&b);
    if (IS_SANITIZED)
        return;
    if (bench_open(&b, VT_LM_FAST, GOLDEN("lora/bnz.json"), false, false))
        check_gradients(&b, put(&b), false, NULL, "bnz");
    bench_close(&b);
}

static const struct test_case cases[] = {TEST(fresh_adapter_f32), TEST(trained_adapter_f32), TEST(unembedding_f32),
                                         TEST(adapters_fast)};
TEST_MAIN(cases)
