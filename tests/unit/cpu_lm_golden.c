/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_golden.c: the model's values against transformers' and PEFT's (tests/golden): the default model's
 * log-probabilities in both precisions, and tiny Llama, Qwen2 and Qwen3 models with log-probabilities and LoRA
 * gradients, sharded, tied and untied, with scaled rope, biases and head norms.
 */
#include "harness.h"

#include "cpu_lm_common.h"

struct totals {
    vt_lm *lm;
    struct gap all;
    double worst_mean;
};

static void check_line(void *arg, const vt_json *line)
{
    struct totals *t = arg;
    struct seq s = json_seq(line, "prompt_ids", "completion_ids");
    struct gap one = {0};
    s.want = json_floats(vt_json_get(line, "logp_fp64"), s.n);
    score_seq(t->lm, &s, 0);
    gap_add(&one, s.logp, s.want, s.n);
    gap_add(&t->all, s.logp, s.want, s.n);
    if (gap_mean(&one) > t->worst_mean)
        t->worst_mean = gap_mean(&one);
    free_seq(&s);
}

static bool default_model(struct totals *t, enum vt_lm_precision p, const char *isa)
{
    struct model m;
    if (!open_model(&m, model_path(), p, isa, 0))
        return false;
    t->lm = m.lm;
    CHECK(each_json_line(GOLDEN("logprobs.jsonl"), check_line, t) == 8);
    printf("  %s: mean |dlogp| %.2e, worst case's mean %.2e, max %.2e\n", vt_lm_numerics(m.lm), gap_mean(&t->all),
           t->worst_mean, t->all.max);
    close_model(&m);
    return true;
}

static void default_model_f32(void)
{
    struct totals t = {0};
    if (!model_path())
        SKIP(NO_MODEL);
    if (!default_model(&t, VT_LM_F32, NULL))
        return;
    CHECK(gap_mean(&t.all) <= 2e-5);
    CHECK(t.all.max <= 5e-4);
}

static void default_model_fast(void)
{
    struct totals t = {0};
    if (!model_path())
        SKIP(NO_MODEL);
    if (!default_model(&t, VT_LM_FAST, NULL))
        return;
    CHECK(gap_mean(&t.all) <= 0.005);
}

/* --- tiny models --- */

static const char *const tiny[] = {"llama", "llama_sharded", "qwen2", "qwen3"};

static char *tiny_path(const char *name, const char *file)
{
    static char paths[4][512];
    static int at;
    char *p = paths[at++ & 3];
    snprintf(p, 512, "%s/%s%s%s", GOLDEN("tiny"), name, file ? "/" : "", file ? file : "");
    return p;
}

static void score_all(vt_lm *lm, struct seq *s, int n, int adapter, const vt_json *file, const char *want,
                      struct gap *gap)
{
    const vt_json *row = vt_json_first(vt_json_get(file, "sequences"));
    for (int i = 0; i < n; i++, row = vt_json_next(row)) {
        float *values = json_floats(vt_json_get(row, want), s[i].n);
        score_seq(lm, &s[i], adapter);
        gap_add(gap, s[i].logp, values, s[i].n);
        free(values);
    }
}

static void tiny_model(const char *name, enum vt_lm_precision p, const char *isa)
{
    struct model m;
    struct seq s[16];
    int n = 0, id = 0;
    vt_err err = {0};
    struct vt_adapter *a = NULL;
    struct gap base = {0}, lora = {0};
    if (!open_model(&m, tiny_path(name, NULL), p, isa, 2))
        return;
    vt_json *file = read_json(tiny_path(name, "golden.json"));
    for (const vt_json *row = vt_json_first(vt_json_get(file, "sequences")); row && n < 16; row = vt_json_next(row))
        s[n++] = json_seq(row, "prompt", "completion");
    CHECK(n == 4);
    CHECK_OK(vt_adapter_load(tiny_path(name, "adapter"), vt_lm_cfg(m.lm), NULL, &a, NULL, &err), err);
    CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
    score_all(m.lm, s, n, 0, file, "logp", &base);
    score_all(m.lm, s, n, id, file, "logp_lora", &lora);
    vt_lm_grad *g = NULL;
    double loss = train(m.lm, s, n, id, true, &g);
    float *grad = grad_floats(m.lm, g);
    struct worst w = compare_file(tiny_path(name, "grad.safetensors"), a, grad);
    printf("  %-13s %s: |dlogp| mean %.1e max %.1e, adapted mean %.1e max %.1e; gradients rel %.1e, cosine %.6f, norm "
           "%.4f over %d\n",
           name, vt_lm_numerics(m.lm), gap_mean(&base), base.max, gap_mean(&lora), lora.max, w.rel, w.cosine,
           1 + w.norm, w.n);
    CHECK_INT(w.n, 28);
    if (p == VT_LM_F32) {
        /* fp32_max_diff is what transformers' own fp32 shows; the adapted model has larger activations. */
        CHECK(base.max <= 4 * vt_json_num(vt_json_get(file, "fp32_max_diff"), 0));
        CHECK(gap_mean(&lora) <= 1e-5);
        CHECK(lora.max <= 1e-4);
        CHECK(w.rel <= 1e-4);
        CHECK_NEAR(loss, vt_json_num(vt_json_get(file, "loss"), NAN), 1e-4);
    } else {
        CHECK(gap_mean(&base) <= 0.05);
        CHECK(gap_mean(&lora) <= 0.05);
        /* Two random layers have no redundancy: bf16 rounding moves these by more than the trained model's bars. */
        CHECK(w.cosine >= 0.97);
        CHECK(w.norm <= 0.05);
    }
    for (int i = 0; i < n; i++)
        free_seq(&s[i]);
    free(grad);
    vt_lm_grad_free(m.lm, g);
    vt_adapter_free(a);
    vt_json_free(file);
    close_model(&m);
}

static void tiny_models_f32(void)
{
    for (int k = 0; vt_kernels_at(k); k++)
        for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++)
            tiny_model(tiny[i], VT_LM_F32, vt_kernels_at(k)->name);
}

static void tiny_models_fast(void)
{
    for (int k = 0; vt_kernels_at(k); k++)
        for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++)
            tiny_model(tiny[i], VT_LM_FAST, vt_kernels_at(k)->name);
}

static const struct test_case cases[] = {TEST(tiny_models_f32), TEST(tiny_models_fast), TEST(default_model_f32),
                                         TEST(default_model_fast)};
TEST_MAIN(cases)
