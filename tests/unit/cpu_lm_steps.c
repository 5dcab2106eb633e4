/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_steps.c: the forward sees the adapter that Adam made. One Adam step of the default model's golden batch at five
 * learning rates; what it does to the batch's log-probabilities, against fp64 (tests/golden/lora/steps.json).
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

static void read_all(const struct bench *b, float *out)
{
    for (int i = 0, at = 0; i < b->n; i++)
        for (int t = 0; t < b->s[i].n; t++)
            out[at++] = b->s[i].logp[t];
}

static void one(struct bench *b, const vt_json *start, const char *name)
{
    vt_err err = {0};
    static float before[MAX_TOKENS], after[MAX_TOKENS];
    int id;
    CHECK_OK(vt_lm_adapter_put(b->m.lm, b->a, &id, &err), err);
    vt_lm_grad *grad = NULL;
    train(b->m.lm, b->s, b->n, id, true, &grad);
    read_all(b, before);
    for (const vt_json *r = vt_json_first(vt_json_get(start, "dlogp")); r; r = vt_json_next(r)) {
        const struct vt_adam adam = {
            .lr = (float)strtod(vt_json_key(r), NULL), .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
        double norm, gg = 0, eg = 0, ee = 0, sg = 0, se = 0, wg = 0, we = 0, nn=0;
        int moved = 0, n = 0;
        CHECK_OK(vt_lm_adapter_clone(b->m.lm, id, &moved, &err), err);
        CHECK_OK(vt_lm_adam(b->m.lm, moved, grad, &adam, &norm, &err), err);
        train(b->m.lm, b->s, b->n, moved, true, NULL);
        read_all(b, after);
        const vt_json *row = vt_json_first(r);
        for (int i = 0; i < b->n; i++, row = vt_json_next(row)) {
            const vt_json *v = vt_json_first(row);
            for (int t = 0; t < b->s[i].n; t++, v = vt_json_next(v), n++) {
                double g = vt_json_num(v, NAN), e = (double)after[n] - (double)before[n];
                gg += g * g, eg += e * g, ee += e * e, sg += g, se += e;
                nn += (e-g)*(e-g);
                wg += (double)b->s[i].w[t] * g, we += (double)b->s[i].w[t] * e;
            }
        }
        const double corr = (eg - se * sg / n) / sqrt((gg - sg * sg / n) * (ee - se * se / n));
        printf("  %-20s %-4s lr %-8s correlation %.5f slope %.4f loss ratio %.4f  rms %.2e noise %.2e  n %d\n",
               vt_lm_numerics(b->m.lm), name, vt_json_key(r), corr, eg / gg, we / wg, sqrt(gg / n), sqrt(nn/n), n);
        vt_lm_adapter_drop(b->m.lm, moved);
    }
    vt_lm_grad_free(b->m.lm, grad);
    vt_lm_adapter_drop(b->m.lm, id);
}

static void steps(enum vt_lm_precision p, const char *isa)
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
    one(&b, vt_json_get(want, "bnz"), "bnz");
    for (int layer = 0; layer <= b.a->cfg.n_layers; layer++)
        for (int t = 0; t < VT_LORA_N; t++) {
            size_t a_off, b_off;
            int d_out, d_in;
            if (!vt_adapter_at(b.a, layer, (enum vt_target)t, &a_off, &b_off))
                continue;
            vt_adapter_dims(&b.a->cfg, (enum vt_target)t, &d_out, &d_in);
            memset(b.a->params + b_off, 0, (size_t)d_out * (size_t)b.a->rank * sizeof *b.a->params);
        }
    one(&b, vt_json_get(want, "b0"), "b0");
    for (int i = 0; i < b.n; i++)
        free_seq(&b.s[i]);
    vt_json_free(batch);
    vt_json_free(want);
    vt_adapter_free(b.a);
    close_model(&b.m);
}

static void default_model(void)
{
    const char *only = getenv("ONLY");
    for (int k = 0; vt_kernels_at(k); k++)
        for (int p = VT_LM_FAST; p <= VT_LM_F32; p++)
            if (!only || strcmp(only, vt_kernels_at(k)->name) == 0)
                steps((enum vt_lm_precision)p, vt_kernels_at(k)->name);
}

static const struct test_case cases[] = {TEST(default_model)};
TEST_MAIN(cases)
