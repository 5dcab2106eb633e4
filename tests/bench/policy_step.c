/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_step.c: three shapes of the policy's work, in seconds, for given numbers of threads.
 *
 *     policy_step MODEL [THREADS...]        default: all cores
 *
 * step   a LoRA update of the shape that experiments/sft.lua makes: N_GROUPS prompts with one to three answers each,
 *        about 8,192 tokens in all; forward and the rest (backward, Adam, new weights) apart.
 * score  one prompt of 256 tokens with 32 completions of 128, as in the bars of DECISIONS.md section 15.
 * decode the same shape, sampled.
 * Score and decode run under the adapter that the step before them made.
 *
 * Best and median of N_RUNS after one warm round. Thread counts take turns run by run, so that a machine whose speed
 * drifts treats them alike.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/mail.h"
#include "base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <vegttt/policy.h>

enum { N_RUNS = 5, MAX_COUNTS = 8, N_GROUPS = 20, PROMPT = 180, ANSWER = 115, SCORE_PROMPT = 256, SCORE_ROWS = 32 };
enum { SCORE_NEW = 128, MAX_SEQS = 3 * N_GROUPS, MAX_PROMPT = 256, MAX_NEW = 160, N_TIMES = 4 };

static int32_t prompts[N_GROUPS][MAX_PROMPT], answers[MAX_SEQS][MAX_NEW];
static float logp[MAX_SEQS][MAX_NEW], weights[MAX_SEQS][MAX_NEW];
static int group_of[MAX_SEQS], n_prompt[N_GROUPS], n_answer[MAX_SEQS], n_seqs, n_tokens;

struct runner {
    int n_threads;
    vt_policy *policy;
    vt_weights *made;
    double seconds[N_TIMES][N_RUNS]; /* forward, rest of the step, score, decode */
};

static void make_shape(int n_vocab)
{
    struct vt_stream rng;
    vt_stream_init(&rng, 1);
    for (int g = 0; g < N_GROUPS; g++) {
        n_prompt[g] = PROMPT - 40 + (int)vt_stream_below(&rng, 81);
        n_tokens += n_prompt[g];
        for (int i = 0; i < MAX_PROMPT; i++)
            prompts[g][i] = (int32_t)vt_stream_below(&rng, (uint64_t)n_vocab);
        for (int k = 1 + (int)vt_stream_below(&rng, 3); k > 0; k--, n_seqs++) {
            group_of[n_seqs] = g;
            n_answer[n_seqs] = ANSWER - 40 + (int)vt_stream_below(&rng, 81);
            n_tokens += n_answer[n_seqs];
            for (int i = 0; i < MAX_NEW; i++) {
                answers[n_seqs][i] = (int32_t)vt_stream_below(&rng, (uint64_t)n_vocab);
                weights[n_seqs][i] = 1e-3f;
            }
        }
    }
}

static vt_status step(struct runner *r, int run, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    struct vt_train_seq seqs[MAX_SEQS];
    struct vt_update_opts o = vt_update_defaults;
    struct vt_update_report report;
    vt_weights *from = vt_policy_start(r->policy);
    vt_forward *forward;
    const double start = vt_now_s();
    for (int i = 0; i < n_seqs; i++)
        seqs[i] = (struct vt_train_seq){.prompt = prompts[group_of[i]],
                                        .n_prompt = n_prompt[group_of[i]],
                                        .tokens = answers[i],
                                        .n_tokens = n_answer[i],
                                        .logp = logp[i],
                                        .w = weights[i]};
    o.lr = 1e-5f;
    o.digest = "bench";
    vt_status status =
        vt_policy_forward(r->policy, from, seqs, (size_t)n_seqs, false, &forward, vt_mail_deliver, &mail, NULL, err);
    vt_weights_unref(from);
    VT_TRY(status);
    vt_weights_unref(r->made);
    r->made = NULL;
    status = vt_mail_wait(&mail, err);
    const double middle = vt_now_s();
    if (status == VT_OK)
        status = vt_policy_step(forward, &o, &r->made, &report, vt_mail_deliver, &mail, NULL, err);
    if (status == VT_OK)
        status = vt_mail_wait(&mail, err);
    vt_forward_forget(forward);
    r->seconds[0][run] = middle - start;
    r->seconds[1][run] = vt_now_s() - middle;
    return status;
}

static vt_status score(struct runner *r, int run, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    static int32_t tokens[SCORE_ROWS][SCORE_NEW];
    static float out[SCORE_ROWS][SCORE_NEW];
    const int32_t *rows[SCORE_ROWS];
    float *outs[SCORE_ROWS];
    int n[SCORE_ROWS];
    for (int i = 0; i < SCORE_ROWS; i++) {
        for (int t = 0; t < SCORE_NEW; t++)
            tokens[i][t] = answers[i % n_seqs][(t + i) % MAX_NEW];
        rows[i] = tokens[i];
        outs[i] = out[i];
        n[i] = SCORE_NEW;
    }
    struct vt_score_request q = {.weights = r->made,
                                 .prompt = prompts[0],
                                 .n_prompt = SCORE_PROMPT,
                                 .n_rows = SCORE_ROWS,
                                 .tokens = rows,
                                 .n = n,
                                 .logprobs = outs};
    const double start = vt_now_s();
    vt_status status = vt_policy_score(r->policy, &q, vt_mail_deliver, &mail, NULL, err);
    if (status == VT_OK)
        status = vt_mail_wait(&mail, err);
    r->seconds[2][run] = vt_now_s() - start;
    return status;
}

static vt_status decode(struct runner *r, int run, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    struct vt_sample out[SCORE_ROWS] = {0};
    static const int32_t banned[] = {0, 1, 2}; /* the ends of a text: every sample runs to max_tokens */
    struct vt_sample_request q = {.weights = r->made,
                                  .prompt = prompts[0],
                                  .n_prompt = SCORE_PROMPT,
                                  .n = SCORE_ROWS,
                                  .seed = 1,
                                  .temperature = 1,
                                  .top_p = 1,
                                  .max_tokens = SCORE_NEW,
                                  .banned = banned,
                                  .n_banned = 3,
                                  .out = out};
    const double start = vt_now_s();
    vt_status status = vt_policy_sample(r->policy, &q, vt_mail_deliver, &mail, NULL, err);
    if (status == VT_OK)
        status = vt_mail_wait(&mail, err);
    r->seconds[3][run] = vt_now_s() - start;
    for (int i = 0; i < SCORE_ROWS; i++)
        vt_sample_clear(&out[i]);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct runner *r)
{
    double whole[N_RUNS];
    for (int i = 0; i < N_RUNS; i++)
        whole[i] = r->seconds[0][i] + r->seconds[1][i];
    for (int k = 0; k < N_TIMES; k++)
        qsort(r->seconds[k], N_RUNS, sizeof r->seconds[k][0], by_value);
    qsort(whole, N_RUNS, sizeof whole[0], by_value);
    printf("%2d threads  step %6.3f s (median %6.3f; forward %6.3f, rest %6.3f)  %5.0f tok/s   score %6.3f s (median "
           "%6.3f)  %6.0f counted tok/s   decode %6.3f s (median %6.3f)  %5.0f tok/s\n",
           r->n_threads, whole[0], whole[N_RUNS / 2], r->seconds[0][0], r->seconds[1][0], n_tokens / whole[0],
           r->seconds[2][0], r->seconds[2][N_RUNS / 2], SCORE_ROWS * (SCORE_PROMPT + SCORE_NEW) / r->seconds[2][0],
           r->seconds[3][0], r->seconds[3][N_RUNS / 2], SCORE_ROWS * SCORE_NEW / r->seconds[3][0]);
}

int main(int argc, char **argv)
{
    static struct runner r[MAX_COUNTS];
    const int n = argc < 3 ? 1 : argc - 2 < MAX_COUNTS ? argc - 2 : MAX_COUNTS;
    vt_err err = {0};
    vt_status status = VT_OK;
    if (argc < 2)
        return fprintf(stderr, "usage: policy_step MODEL [THREADS...]\n"), 2;
    for (int i = 0; i < n && status == VT_OK; i++) {
        r[i].n_threads = argc > i + 2 ? (int)strtol(argv[i + 2], NULL, 10) : 0;
        struct vt_policy_opts o = {.n_threads = r[i].n_threads, .reset = true, .max_memory = (uint64_t)6 << 30};
        struct vt_mail mail = VT_MAIL;
        status = vt_policy_open(argv[1], &o, &r[i].policy, vt_mail_deliver, &mail, NULL, &err);
        if (status == VT_OK)
            status = vt_mail_wait(&mail, &err);
    }
    if (status == VT_OK)
        make_shape(vt_policy_caps(r[0].policy)->n_vocab);
    printf("step: %d prompts, %d answers, %d tokens\n", N_GROUPS, n_seqs, n_tokens);
    for (int run = -1; run < N_RUNS && status == VT_OK; run++)
        for (int i = 0; i < n && status == VT_OK; i++) {
            status = step(&r[i], run < 0 ? 0 : run, &err);
            if (status == VT_OK)
                status = score(&r[i], run < 0 ? 0 : run, &err);
            if (status == VT_OK)
                status = decode(&r[i], run < 0 ? 0 : run, &err);
        }
    for (int i = 0; i < n; i++) {
        if (status == VT_OK)
            report(&r[i]);
        vt_weights_unref(r[i].made);
        vt_policy_close(r[i].policy);
    }
    if (status != VT_OK)
        fprintf(stderr, "%s\n", err.msg);
    return status == VT_OK ? 0 : 1;
}
