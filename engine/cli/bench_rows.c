/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_rows.c: the workloads of `vegttt bench` (DECISIONS.md section 15), through the same calls a script makes:
 * prefill of 512 tokens; decode of 128 new tokens for B samples of one 256-token prompt, log-probabilities on, the
 * prompt's time taken off; score and LoRA step of 32 completions of 128 tokens after one 256-token prompt, counted as
 * 32 x 384 tokens although the shared prompt is computed once.
 */
#include "cli/bench.h"

#include "base/clock.h"
#include "base/mail.h"
#include "policy/native.h"

/* --- calls --- */

vt_status vt_bench_open(const char *spec, const struct vt_policy_opts *o, vt_policy **out, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;

    VT_TRY(vt_policy_open(spec, o, out, vt_mail_deliver, &mail, NULL, err));
    return vt_mail_wait(&mail, err);
}

vt_status vt_bench_sample(struct vt_bench_model *m, vt_weights *w, int n_prompt, int n, int n_new,
                          struct vt_sample *out, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    static const int32_t banned[] = {0, 1, 2}; /* the ends of a text: every sample runs to max_tokens */
    struct vt_sample_request r = {.weights = w,
                                  .prompt = m->prompt,
                                  .n_prompt = n_prompt,
                                  .n = n,
                                  .seed = 1,
                                  .temperature = 1,
                                  .top_p = 1,
                                  .max_tokens = n_new,
                                  .banned = banned,
                                  .n_banned = 3,
                                  .out = out};

    VT_TRY(vt_policy_sample(m->policy, &r, vt_mail_deliver, &mail, NULL, err));
    return vt_mail_wait(&mail, err);
}

vt_status vt_bench_score(struct vt_bench_model *m, vt_weights *w, int n_prompt, int n, const int32_t *const *tokens,
                         const int *n_tokens, float *const *logprobs, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    struct vt_score_request q = {.weights = w,
                                 .prompt = m->prompt,
                                 .n_prompt = n_prompt,
                                 .n_rows = n,
                                 .tokens = tokens,
                                 .n = n_tokens,
                                 .logprobs = logprobs};

    VT_TRY(vt_policy_score(m->policy, &q, vt_mail_deliver, &mail, NULL, err));
    return vt_mail_wait(&mail, err);
}

vt_status vt_bench_step(struct vt_bench_model *m, float lr, vt_weights **made, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    struct vt_train_seq seqs[VT_BENCH_SEQS];
    static float logp[VT_BENCH_SEQS][VT_BENCH_NEW], w[VT_BENCH_SEQS][VT_BENCH_NEW];
    struct vt_update_opts o = vt_update_defaults;
    struct vt_update_report report;
    vt_forward *forward;
    vt_status status;

    for (int i = 0; i < VT_BENCH_SEQS; i++)
        seqs[i] = (struct vt_train_seq){.prompt = m->prompt,
                                        .n_prompt = VT_BENCH_PROMPT,
                                        .tokens = m->completion[i],
                                        .n_tokens = VT_BENCH_NEW,
                                        .logp = logp[i],
                                        .w = w[i]};
    o.lr = lr;
    o.digest = "bench";
    VT_TRY(vt_policy_forward(m->policy, m->weights, seqs, VT_BENCH_SEQS, false, &forward, vt_mail_deliver, &mail, NULL,
                             err));
    status = vt_mail_wait(&mail, err);
    for (int i = 0; i < VT_BENCH_SEQS; i++)
        for (int t = 0; t < VT_BENCH_NEW; t++)
            w[i][t] = i % 2 ? 1.0f : -1.0f;
    if (status == VT_OK)
        status = vt_policy_step(forward, &o, made, &report, vt_mail_deliver, &mail, NULL, err);
    if (status == VT_OK)
        status = vt_mail_wait(&mail, err);
    vt_forward_forget(forward);
    return status;
}

/* --- rows --- */

double vt_bench_flops(const struct vt_bench_model *m, double n, double n_head, double n_pairs)
{
    const double attention = 4.0 * m->cfg.n_layers * m->cfg.n_heads * m->cfg.head_dim;

    return 2 * (m->n_body * n + m->n_head * n_head) + attention * n_pairs;
}

static double peak_bytes(const struct vt_bench_model *m)
{
    uint64_t peak = 0;

    (void)vt_lm_bytes(vt_native_of(m->policy)->lm, &peak);
    return (double)peak;
}

static vt_status timed_sample(struct vt_bench_model *m, int n_prompt, int n, int n_new, double *seconds, vt_err *err)
{
    struct vt_sample out[VT_BENCH_WIDTH] = {0};
    double start = vt_now_s();
    vt_status status = vt_bench_sample(m, m->weights, n_prompt, n, n_new, out, err);

    *seconds = vt_now_s() - start;
    for (int i = 0; i < n && status == VT_OK; i++)
        vt_sample_clear(&out[i]);
    return status;
}

vt_status vt_bench_prefill(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err)
{
    const double n = VT_BENCH_PREFILL;

    VT_TRY(timed_sample(m, VT_BENCH_PREFILL, width, 1, &r->seconds, err));
    r->tokens = n;
    r->flops = vt_bench_flops(m, n, 1, n * n / 2);
    r->bytes = m->weight_bytes;
    r->peak_bytes = peak_bytes(m);
    return VT_OK;
}

vt_status vt_bench_decode(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err)
{
    const double n = (double)VT_BENCH_NEW * width;
    /* keys and values in 2 bytes that a step reads: the prompt's once, each sample's own */
    const double kv_bytes = 2.0 * 2 * m->cfg.n_layers * m->cfg.n_kv_heads * m->cfg.head_dim *
                            (VT_BENCH_PROMPT + width * VT_BENCH_NEW / 2.0);
    double first, all;

    VT_TRY(timed_sample(m, VT_BENCH_PROMPT, width, 1, &first, err));
    VT_TRY(timed_sample(m, VT_BENCH_PROMPT, width, 1 + VT_BENCH_NEW, &all, err));
    r->tokens = n;
    r->seconds = all - first;
    r->flops = vt_bench_flops(m, n, n, n * (VT_BENCH_PROMPT + VT_BENCH_NEW / 2));
    r->bytes = VT_BENCH_NEW * (m->weight_bytes + kv_bytes);
    r->peak_bytes = peak_bytes(m);
    return VT_OK;
}

/* (query, key) pairs of the shared prompt, once, and of the completions after it. */
static double group_pairs(void)
{
    const double p = VT_BENCH_PROMPT, c = VT_BENCH_NEW;

    return p * p / 2 + VT_BENCH_SEQS * c * (p + c / 2);
}

static const double GROUP_COUNTED = VT_BENCH_SEQS * (VT_BENCH_PROMPT + VT_BENCH_NEW),
                    GROUP_COMPUTED = VT_BENCH_PROMPT + VT_BENCH_SEQS * VT_BENCH_NEW,
                    GROUP_TARGETS = VT_BENCH_SEQS * VT_BENCH_NEW;

vt_status vt_bench_score_row(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err)
{
    const int32_t *tokens[VT_BENCH_SEQS];
    int n[VT_BENCH_SEQS];
    static float logp[VT_BENCH_SEQS][VT_BENCH_NEW];
    float *rows[VT_BENCH_SEQS];
    double start = vt_now_s();

    for (int i = 0; i < width; i++) {
        tokens[i] = m->completion[i];
        n[i] = VT_BENCH_NEW;
        rows[i] = logp[i];
    }
    VT_TRY(vt_bench_score(m, m->weights, VT_BENCH_PROMPT, width, tokens, n, rows, err));
    r->seconds = vt_now_s() - start;
    r->tokens = GROUP_COUNTED;
    r->flops = vt_bench_flops(m, GROUP_COMPUTED, GROUP_TARGETS, group_pairs());
    r->bytes = m->weight_bytes;
    r->peak_bytes = peak_bytes(m);
    return VT_OK;
}

vt_status vt_bench_lora(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err)
{
    vt_weights *made = NULL;
    double start = vt_now_s();

    (void)width;
    VT_TRY(vt_bench_step(m, 1e-5f, &made, err));
    r->seconds = vt_now_s() - start;
    r->tokens = GROUP_COUNTED;
    /* Forward and dX of the frozen base, twice the forward (LoRA's own products are under 4 % of it); attention's
     * backward is five products for the forward's two. */
    r->flops = 2 * vt_bench_flops(m, GROUP_COMPUTED, GROUP_TARGETS, 1.75 * group_pairs());
    r->bytes = 2 * m->weight_bytes;
    r->peak_bytes = peak_bytes(m);
    vt_weights_unref(made);
    return VT_OK;
}
