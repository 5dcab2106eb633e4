/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_bench.c: `vegttt bench [SPEC] [--row NAME] [--json]`: how fast this machine samples, scores and trains, through
 * the same calls a script makes, and which share of the machine's own bound that is.
 *
 * Rows (DECISIONS.md section 15): prefill of 512 tokens; decode of 128 new tokens for B samples of one 256-token
 * prompt, log-probabilities on, the prompt's time taken off; score and LoRA step of 32 completions of 128 tokens after
 * one 256-token prompt, counted as 32 x 384 tokens.
 *
 * The bound is what the arithmetic and the weights' bytes allow: FLOPs at the rate this machine reaches on a bf16 (or
 * fp32) product that stays in cache, bytes at the rate it reads memory; both measured here, all threads at once.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "base/thread.h"
#include "cli/verbs.h"
#include "cpu/kernels.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vegttt/policy.h>

enum { PROMPT = 256, NEW = 128, SEQS = 32, PREFILL = 512, REPS = 3 };

struct bound {
    double flops, bytes; /* a second */
};

struct model {
    vt_policy *policy;
    vt_weights *weights;
    double n_body, n_head, weight_bytes; /* parameters outside and inside the unembedding */
    int32_t prompt[PREFILL], completion[SEQS][NEW];
    struct bound bound;
};

struct result {
    double tokens, seconds, bound_seconds;
};

/* --- the machine's own rates --- */

struct rate_work {
    const struct vt_kernels *k;
    struct vt_matrix w;
    struct vt_acts x;
    float *y[64], *memory;
    size_t n_floats;
    int reps;
};

enum { TILE_M = 128, TILE_N = 512, TILE_K = 512, RATE_REPS = 60 };

static void product(void *arg, int thread, int n_threads)
{
    struct rate_work *r = arg;

    (void)n_threads;
    for (int i = 0; i < r->reps; i++)
        r->k->gemm(&r->w, &r->x, 0, TILE_M, 0, TILE_N, r->y[thread], TILE_N, false);
}

static void read_memory(void *arg, int thread, int n_threads)
{
    struct rate_work *r = arg;
    size_t share = r->n_floats / (size_t)n_threads;

    r->y[thread][0] = r->k->max((int)share, r->memory + share * (size_t)thread);
}

static double best_time(vt_pool *pool, vt_pool_fn *fn, struct rate_work *r)
{
    double best = 1e30;

    for (int i = 0; i < 5; i++) {
        double start = vt_now_s(), took;

        vt_pool_run(pool, fn, r);
        took = vt_now_s() - start;
        best = took < best ? took : best;
    }
    return best;
}

static vt_status measure_bound(struct bound *out, vt_err *err)
{
    struct rate_work r = {.n_floats = (size_t)64 << 20, .reps = RATE_REPS};
    enum vt_layout layout;
    vt_pool *pool = NULL;
    float *values = vt_alloc_array((size_t)TILE_N * TILE_K, sizeof *values);
    void *packed = NULL;
    vt_status status = vt_kernels_pick(getenv("VEGTTT_ISA"), &r.k, err);

    if (status == VT_OK)
        status = vt_pool_new(0, &pool, err);
    if (status != VT_OK)
        goto out;
    layout = r.k->has_bf16 ? VT_LAYOUT_BF16 : VT_LAYOUT_F32;
    packed = vt_alloc_aligned(64, vt_matrix_bytes(layout, TILE_N, TILE_K));
    r.x = (struct vt_acts){.n_in = TILE_K, .stride = vt_acts_row_bytes(TILE_K)};
    r.x.data = vt_alloc_aligned(64, r.x.stride * TILE_M);
    r.memory = vt_alloc_aligned(64, r.n_floats * sizeof *r.memory);
    for (int t = 0; t < vt_pool_size(pool) && t < 64; t++)
        r.y[t] = vt_alloc_aligned(64, (size_t)TILE_M * TILE_N * sizeof(float));
    if (!values || !packed || !r.x.data || !r.memory || !r.y[vt_pool_size(pool) > 64 ? 63 : vt_pool_size(pool) - 1]) {
        status = vt_fail(err, VT_ENOMEM, "out of memory for measuring this machine's rates");
        goto out;
    }
    vt_matrix_pack_f32(layout, TILE_N, TILE_K, values, TILE_K, 1, packed, &r.w);
    r.k->acts_pack(&r.x, r.k->has_bf16 ? VT_LM_FAST : VT_LM_F32, 0, TILE_M, values, TILE_K, 1);
    memset(r.memory, 0, r.n_floats * sizeof *r.memory);
    out->flops = 2.0 * TILE_M * TILE_N * TILE_K * RATE_REPS * vt_pool_size(pool) / best_time(pool, product, &r);
    out->bytes = (double)(r.n_floats * sizeof *r.memory) / best_time(pool, read_memory, &r);
out:
    for (int t = 0; t < 64; t++)
        free(r.y[t]);
    free(r.x.data);
    free(r.memory);
    free(values);
    free(packed);
    vt_pool_free(pool);
    return status;
}

/* --- waiting for the policy --- */

struct mail {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_done;
    vt_status status;
    vt_err err;
};

static void deliver(void *arg, vt_status status, const vt_err *err)
{
    struct mail *m = arg;

    pthread_mutex_lock(&m->mutex);
    m->is_done = true;
    m->status = status;
    if (status != VT_OK)
        m->err = *err;
    pthread_cond_signal(&m->cond);
    pthread_mutex_unlock(&m->mutex);
}

static vt_status wait_for(struct mail *m, vt_err *err)
{
    pthread_mutex_lock(&m->mutex);
    while (!m->is_done)
        pthread_cond_wait(&m->cond, &m->mutex);
    m->is_done = false;
    pthread_mutex_unlock(&m->mutex);
    if (m->status != VT_OK && err)
        *err = m->err;
    return m->status;
}

/* --- rows --- */

static vt_status sample(struct model *m, int n_prompt, int n, int n_new, double *seconds, vt_err *err)
{
    struct mail mail = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct vt_sample out[64];
    uint64_t seeds[64];
    static const int32_t banned[] = {0, 1, 2}; /* the ends of a text: every sample runs to max_tokens */
    struct vt_sample_request r = {.weights = m->weights,
                                  .prompt = m->prompt,
                                  .n_prompt = n_prompt,
                                  .n = n,
                                  .seeds = seeds,
                                  .temperature = 1,
                                  .top_p = 1,
                                  .max_tokens = n_new,
                                  .banned = banned,
                                  .n_banned = 3,
                                  .out = out};
    double start;
    vt_status status;

    for (int i = 0; i < n; i++)
        seeds[i] = (uint64_t)i;
    start = vt_now_s();
    status = vt_policy_sample(m->policy, &r, deliver, &mail, err);
    if (status == VT_OK)
        status = wait_for(&mail, err);
    *seconds = vt_now_s() - start;
    for (int i = 0; i < n && status == VT_OK; i++)
        vt_sample_clear(&out[i]);
    return status;
}

static vt_status prefill(struct model *m, int width, struct result *r, vt_err *err)
{
    (void)width;
    r->tokens = PREFILL;
    r->bound_seconds = 2 * m->n_body * PREFILL / m->bound.flops;
    return sample(m, PREFILL, 1, 1, &r->seconds, err);
}

static vt_status decode(struct model *m, int width, struct result *r, vt_err *err)
{
    double first, all, flops = 2 * (m->n_body + m->n_head) * width / m->bound.flops,
                       bytes = m->weight_bytes / m->bound.bytes;

    VT_TRY(sample(m, PROMPT, width, 1, &first, err));
    VT_TRY(sample(m, PROMPT, width, 1 + NEW, &all, err));
    r->tokens = NEW * width;
    r->seconds = all - first;
    r->bound_seconds = NEW * (flops > bytes ? flops : bytes);
    return VT_OK;
}

static const double COMPUTED = PROMPT + SEQS * NEW; /* tokens of the body in score and lora: the prompt once */

static vt_status score(struct model *m, int width, struct result *r, vt_err *err)
{
    struct mail mail = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    const int32_t *tokens[SEQS];
    int n[SEQS];
    static float logp[SEQS][NEW];
    float *rows[SEQS];
    struct vt_score_request q = {.weights = m->weights,
                                 .prompt = m->prompt,
                                 .n_prompt = PROMPT,
                                 .n_rows = SEQS,
                                 .tokens = tokens,
                                 .n = n,
                                 .logprobs = rows};
    double start = vt_now_s();
    vt_status status;

    (void)width;
    for (int i = 0; i < SEQS; i++) {
        tokens[i] = m->completion[i];
        n[i] = NEW;
        rows[i] = logp[i];
    }
    status = vt_policy_score(m->policy, &q, deliver, &mail, err);
    if (status == VT_OK)
        status = wait_for(&mail, err);
    r->seconds = vt_now_s() - start;
    r->tokens = SEQS * (PROMPT + NEW);
    r->bound_seconds = 2 * (m->n_body * COMPUTED + m->n_head * SEQS * NEW) / m->bound.flops;
    return status;
}

static vt_status lora(struct model *m, int width, struct result *r, vt_err *err)
{
    struct mail mail = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct vt_train_seq seqs[SEQS];
    static float logp[SEQS][NEW], w[SEQS][NEW];
    struct vt_update_opts o = {.lr = 1e-5f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f, .digest = "bench"};
    struct vt_update_report report;
    vt_weights *made = NULL;
    double start = vt_now_s();
    vt_status status;

    (void)width;
    for (int i = 0; i < SEQS; i++)
        seqs[i] = (struct vt_train_seq){.prompt = m->prompt,
                                        .n_prompt = PROMPT,
                                        .tokens = m->completion[i],
                                        .n_tokens = NEW,
                                        .logp = logp[i],
                                        .w = w[i]};
    status = vt_policy_forward(m->policy, seqs, SEQS, false, deliver, &mail, err);
    if (status == VT_OK)
        status = wait_for(&mail, err);
    for (int i = 0; i < SEQS; i++)
        for (int t = 0; t < NEW; t++)
            w[i][t] = i % 2 ? 1.0f : -1.0f;
    if (status == VT_OK)
        status = vt_policy_step(m->policy, &o, &made, &report, deliver, &mail, err);
    if (status == VT_OK)
        status = wait_for(&mail, err);
    r->seconds = vt_now_s() - start;
    r->tokens = SEQS * (PROMPT + NEW);
    /* Forward and dX of the frozen base: 4 FLOPs a parameter and token (LoRA's own products are under 4 % of it). */
    r->bound_seconds = 4 * (m->n_body * COMPUTED + m->n_head * SEQS * NEW) / m->bound.flops;
    vt_weights_unref(made);
    return status;
}

static const struct row {
    const char *name;
    int width;
    vt_status (*run)(struct model *m, int width, struct result *r, vt_err *err);
} rows[] = {{"prefill", 1, prefill},  {"decode1", 1, decode},   {"decode8", 8, decode}, {"decode16", 16, decode},
            {"decode32", 32, decode}, {"decode64", 64, decode}, {"score", 1, score},    {"lora", 1, lora}};

static vt_status run_row(struct model *m, const struct row *row, bool json, vt_err *err)
{
    struct result r[REPS];
    int best = 0, n = 0;
    double median;

    for (; n < REPS; n++) {
        VT_TRY(row->run(m, row->width, &r[n], err));
        if (r[n].seconds < r[best].seconds)
            best = n;
    }
    median = r[(best + 1) % REPS].seconds; /* of three: the better of the other two */
    if (r[(best + 2) % REPS].seconds < median)
        median = r[(best + 2) % REPS].seconds;
    if (json)
        printf("{\"row\":\"%s\",\"tokens\":%.0f,\"seconds\":%.6f,\"median_seconds\":%.6f,\"bound_share\":%.4f}\n",
               row->name, r[best].tokens, r[best].seconds, median, r[best].bound_seconds / r[best].seconds);
    else
        printf("%-10s %10.0f %10.0f %9.0f %%\n", row->name, r[best].tokens / r[best].seconds, r[best].tokens / median,
               100 * r[best].bound_seconds / r[best].seconds);
    fflush(stdout);
    return VT_OK;
}

static vt_status open_model(const char *spec, struct model *m, vt_err *err)
{
    struct vt_policy_opts o = {0};
    const struct vt_policy_caps *caps;
    char *path = NULL;
    vt_ckpt *c = NULL;
    struct vt_stream rng;

    VT_TRY(measure_bound(&m->bound, err));
    VT_TRY(vt_policy_open(spec, &o, &m->policy, err));
    m->weights = vt_policy_start(m->policy);
    caps = vt_policy_caps(m->policy);
    vt_stream_init(&rng, 1);
    for (int i = 0; i < PREFILL; i++)
        m->prompt[i] = (int32_t)vt_stream_below(&rng, (uint64_t)caps->n_vocab);
    for (int i = 0; i < SEQS * NEW; i++)
        m->completion[i / NEW][i % NEW] = (int32_t)vt_stream_below(&rng, (uint64_t)caps->n_vocab);
    VT_TRY(vt_model_find(spec, &path, err));
    m->weight_bytes = (double)vt_fs_size(path);
    vt_status status = vt_ckpt_open(path, &c, err);
    free(path);
    if (status != VT_OK)
        return status;
    for (size_t i = 0; i < vt_ckpt_n_tensors(c); i++) {
        const struct vt_tensor *t = vt_ckpt_tensor_at(c, i);
        bool is_embedding = strcmp(t->name, "model.embed_tokens.weight") == 0;

        if (t->n_dims == 2 && !is_embedding && strcmp(t->name, "lm_head.weight") != 0)
            m->n_body += (double)t->shape[0] * (double)t->shape[1];
    }
    m->n_head = (double)vt_ckpt_config(c)->n_vocab * vt_ckpt_config(c)->d_model;
    vt_ckpt_free(c);
    return VT_OK;
}

int vt_verb_bench(int argc, char **argv)
{
    static struct model m;
    const char *spec = "smollm2-135m", *only = NULL;
    bool json = false, is_known = false;
    vt_err err;
    vt_status status;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--row") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (argv[i][0] != '-')
            spec = argv[i];
        else
            return vt_cli_usage("bench");
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        is_known |= !only || strcmp(only, rows[i].name) == 0;
    if (!is_known)
        return vt_cli_usage("bench");
    status = open_model(spec, &m, &err);
    if (status == VT_OK && !json)
        printf("%s: %.0f GFLOP/s and %.1f GB/s on this machine\n%-10s %10s %10s %11s\n", spec, m.bound.flops / 1e9,
               m.bound.bytes / 1e9, "row", "best tok/s", "median", "of the bound");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && status == VT_OK; i++)
        if (!only || strcmp(only, rows[i].name) == 0)
            status = run_row(&m, &rows[i], json, &err);
    vt_weights_unref(m.weights);
    vt_policy_close(m.policy);
    return status == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err);
}
