/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_policy.c: sampling, scoring and training on a GPU, counted as DECISIONS.md section 15 says, with random weights
 * of known shapes.
 *
 *     bench_policy [OPTION...] [--only decode|score|train] [135m] [1.5b] [7b]
 *
 * decode: 5 prompts of 600 tokens x 32 samples, 128 new tokens, temperature 0.25, log-probabilities on. Whole: prompts
 * included, as rivals are counted. Steps: decoding alone. The bound is the bytes a step must move (weights once, the
 * prompt's keys and values once per group, each sample's own) over the bandwidth of a copy measured here.
 *
 * score: the same shape; all 160 x 728 tokens are counted, 5 x 600 + 160 x 128 computed, prompts included.
 *
 * train (only when asked for): one step of a rank 16 adapter on 5 x (600 + 32 x 296) tokens: forward, backward, Adam.
 * The bound is three times the forward's matrix work (forward, again, gradients of inputs) at the measured rate.
 *
 * Options: --runs N, --steps N (fewer tokens); --lora (decode and score under that adapter); --portable (as on cards
 * before Hopper); --eager (kernels one by one, for a profiler); --ranks N (blocks of a cluster of a step's attention);
 * --clusters N (of its large products, 2 or 4); --ahead MB (weights that attention asks the cache for). Best and median
 * of the runs after a warm one.
 */
#include "harness.h"

#include "bench_model.h"

struct options {
    bool is_eager;
    bool is_portable, has_lora;
    int steps, runs, ranks, clusters, ahead;
    const char *only;
};

struct bench {
    const struct shape *shape;
    const struct options *o;
    struct vt_cuda *be;
    struct direct d;
    struct vt_lm_adapter adapter, *used; /* used: by decode and score */
    double bandwidth, matmul;            /* bytes/s, FLOP/s, measured */
    int32_t prompts[GROUPS][PROMPT], tokens[SLOTS][MOST_NEW], trained[SLOTS][TRAINED];
};

static double wall(struct direct *d, struct vt_cuda *be)
{
    vt_err err = {0};
    (void)d;
    CHECK_OK(vt_gpu_stream_wait(be->gpu, be->stream, &err), err);
    return vt_now_s();
}

/* --- the card's own ceilings --- */

static void ceilings(struct bench *b)
{
    enum { N = 8192, TIMES = 10 };
    const size_t bytes = (size_t)2 << 30;
    struct vt_cuda *be = b->be;
    vt_gpu_ptr from = 0, to = 0;
    vt_err err = {0};
    CHECK_OK(vt_gpu_alloc(be->gpu, bytes, "a copy's source", &from, &err), err);
    CHECK_OK(vt_gpu_alloc(be->gpu, bytes, "a copy's target", &to, &err), err);
    if (!from || !to)
        return;
    /* Random bits of the weights: zeros would multiply faster. */
    for (size_t at = 0; at + (16 << 20) <= bytes; at += 16 << 20)
        (void)vt_gpu_cu(be->gpu)->copy_across(from + at, be->w.matrices, 16 << 20, be->stream);
    double best = 1e9;
    for (int i = 0; i < TIMES; i++) {
        const double start = wall(&b->d, be);
        (void)vt_gpu_cu(be->gpu)->copy_across(to, from, bytes, be->stream);
        best = fmin(best, wall(&b->d, be) - start);
    }
    b->bandwidth = 2 * (double)bytes / best;
    const struct vt_gpu_matmul m = {.x = from,
                                    .y = from + (size_t)N * N * 2,
                                    .d = to,
                                    .m = N,
                                    .n = N,
                                    .k = N,
                                    .ldx = N,
                                    .ldy = N,
                                    .ldd = N,
                                    .y_by_n = true};
    best = 1e9;
    for (int i = 0; i < TIMES; i++) {
        const double start = wall(&b->d, be);
        CHECK_OK(vt_gpu_matmul(be->blas, be->stream, &m, &err), err);
        best = fmin(best, wall(&b->d, be) - start);
    }
    b->matmul = 2.0 * N * N * N / best;
    vt_gpu_free(be->gpu, from);
    vt_gpu_free(be->gpu, to);
    char blas[256];
    CHECK_OK(vt_gpu_blas_describe(blas, sizeof blas, &err), err);
    printf("%s, %s; copy %.2f TB/s, bf16 product %.0f TFLOP/s\n", be->gpu_props->name, blas, b->bandwidth / 1e12,
           b->matmul / 1e12);
}

/* --- decode --- */

static double step_bytes(const struct bench *b, int n_new)
{
    const struct vt_lm_config *c = &b->shape->cfg;
    const double token = 2.0 * c->n_layers * 2 * c->n_kv_heads * c->head_dim;
    double weights = (double)vt_cuda_weights_bytes(c);
    if (!c->tied)
        weights -= 2.0 * c->n_vocab * c->d_model;
    const double shared = GROUPS * (double)(PROMPT / 64 * 64), own = SLOTS * (PROMPT % 64 + n_new / 2.0);
    return weights + token * (shared + own);
}

static void report(const struct bench *b, const char *what, double *seconds, int n, double counted, double bar,
                   double bound)
{
    qsort(seconds, (size_t)n, sizeof *seconds, by_value);
    printf("  %-5s %-7s %9.0f tok/s best, %9.0f median of %d (%.1f ms)", b->shape->name, what, counted / seconds[0],
           counted / seconds[n / 2], n, 1e3 * seconds[0]);
    if (bar > 0)
        printf("; H200 bar %.0fk", bar / 1e3);
    if (bound > 0)
        printf("; %.0f %% of the bound %.0f", 100 * counted / seconds[0] * bound / counted, counted / bound);
    printf("\n");
}

static void begin_groups(struct bench *b, vt_lm_group **groups)
{
    const int32_t *tokens[GROUPS];
    int n[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        tokens[g] = b->prompts[g];
        n[g] = PROMPT;
    }
    direct_groups(&b->d, tokens, n, GROUPS, b->used, groups);
}

static void decode(struct bench *b)
{
    const struct vt_sampling s = {.temperature = 0.25f, .top_p = 1};
    const int n_new = b->o->steps;
    double whole[MOST_RUNS], steps[MOST_RUNS], prompts[MOST_RUNS];
    for (int run = -1; run < b->o->runs; run++) {
        vt_lm_group *groups[GROUPS];
        vt_lm_slot *slots[SLOTS];
        const double start = wall(&b->d, b->be);
        begin_groups(b, groups);
        const double middle = wall(&b->d, b->be);
        for (int i = 0; i < SLOTS; i++)
            slots[i] = direct_slot(&b->d, groups[i / EACH], (uint64_t)i, &s, n_new, NULL, 0);
        struct draws *r = direct_decode(&b->d, slots, SLOTS, n_new);
        const double end = wall(&b->d, b->be);
        if (run >= 0) {
            whole[run] = end - start;
            prompts[run] = middle - start;
            steps[run] = end - middle;
        }
        for (int i = 0; i < SLOTS; i++) {
            CHECK_INT(r->n_out[i], n_new);
            memcpy(b->tokens[i], r->tokens + (size_t)i * (size_t)n_new, (size_t)n_new * sizeof(int32_t));
            direct_slot_free(&b->d, slots[i]);
        }
        for (int g = 0; g < GROUPS; g++)
            direct_group_free(&b->d, groups[g]);
        draws_free(r);
    }
    if (b->o->runs < 1)
        return;
    const double counted = (double)SLOTS * n_new, bound = n_new * step_bytes(b, n_new) / b->bandwidth;
    report(b, "decode", whole, b->o->runs, counted, b->shape->decode_bar, bound);
    report(b, " steps", steps, b->o->runs, counted, 0, bound);
    printf("        a step %.3f ms (bound %.3f), prompts %.1f ms\n", 1e3 * steps[0] / n_new, 1e3 * bound / n_new,
           1e3 * prompts[0]);
}

/* --- score --- */

static void score(struct bench *b)
{
    const struct vt_lm_config *c = &b->shape->cfg;
    static float out[SLOTS][MOST_NEW];
    double seconds[MOST_RUNS];
    for (int run = -1; run < b->o->runs; run++) {
        vt_lm_group *groups[GROUPS];
        struct vt_lm_score_row rows[SLOTS];
        const double start = wall(&b->d, b->be);
        begin_groups(b, groups);
        for (int i = 0; i < SLOTS; i++)
            rows[i] = (struct vt_lm_score_row){.group = groups[i / EACH],
                                               .tokens = b->tokens[i],
                                               .n = MOST_NEW,
                                               .targets = b->tokens[i],
                                               .logprob = out[i]};
        direct_score(&b->d, rows, SLOTS, 1);
        if (run >= 0)
            seconds[run] = wall(&b->d, b->be) - start;
        for (int g = 0; g < GROUPS; g++)
            direct_group_free(&b->d, groups[g]);
    }
    if (b->o->runs < 1)
        return;
    const double q = c->n_heads * (double)c->head_dim, kv = c->n_kv_heads * (double)c->head_dim, d = c->d_model;
    const double layer = d * (q + 2 * kv) + q * d + 3 * d * c->d_ff, rows = GROUPS * PROMPT + SLOTS * (MOST_NEW - 1.0);
    const double attention =
        4 * q * c->n_layers * (GROUPS * PROMPT * (PROMPT / 2.0) + SLOTS * MOST_NEW * (PROMPT + MOST_NEW / 2.0));
    const double flops = 2 * layer * c->n_layers * rows + 2 * d * c->n_vocab * SLOTS * (double)MOST_NEW + attention;
    report(b, "score", seconds, b->o->runs, (double)SLOTS * (PROMPT + MOST_NEW), b->shape->score_bar,
           flops / b->matmul);
}

/* --- training --- */

static void make_adapter(struct bench *b)
{
    struct vt_adapter *a = NULL;
    struct vt_stream rng;
    vt_err err = {0};
    CHECK_OK(vt_adapter_new(&b->shape->cfg, 16, 32, VT_LORA_DEFAULT, 1, &a, &err), err);
    if (!a)
        return;
    vt_stream_init(&rng, 3);
    for (size_t i = 0; i < a->n_params; i++)
        if (a->params[i] == 0)
            a->params[i] = (float)(0.01 * normal(&rng));
    b->adapter.shape = *a;
    b->adapter.shape.params = b->adapter.shape.m = b->adapter.shape.v = NULL;
    CHECK_OK(b->d.ops->adapter_put(b->be, a, &b->adapter, &err), err);
    vt_adapter_free(a);
    b->used = b->o->has_lora ? &b->adapter : NULL;
}

static double train_flops(const struct bench *b)
{
    const struct vt_lm_config *c = &b->shape->cfg;
    const double q = c->n_heads * (double)c->head_dim, kv = c->n_kv_heads * (double)c->head_dim, d = c->d_model;
    const double layer = d * (q + 2 * kv) + q * d + 3 * d * c->d_ff;
    const double rows = GROUPS * (double)PROMPT + SLOTS * (TRAINED - 1.0), heads = SLOTS * (TRAINED - 1.0) + GROUPS;
    const double attention =
        4 * q * c->n_layers * (GROUPS * PROMPT * (PROMPT / 2.0) + SLOTS * (TRAINED - 1.0) * (PROMPT + TRAINED / 2.0));
    /* Attention forward twice, backward in five products. */
    return 3 * 2 * (layer * c->n_layers * rows + d * c->n_vocab * heads) + 4.5 * attention;
}

/* Forward, backward and Adam; seconds of all, of the forward. */
static void train_once(struct bench *b, const float *w, float *logprob, double seconds[2], double *norm)
{
    static const struct vt_adam adam = {.lr = 1e-5f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    const int32_t *prompts[GROUPS];
    vt_err err = {0};
    for (int g = 0; g < GROUPS; g++)
        prompts[g] = b->prompts[g];
    vt_lm_tape *t = direct_tape(prompts, PROMPT, GROUPS, EACH, b->trained[0], TRAINED, &b->adapter);
    vt_lm_grad grad = {.shape = b->adapter.shape};
    struct vt_lm_work f = {.kind = VT_LM_FORWARD, .forward = {.tape = t, .logprob = logprob}},
                      back = {.kind = VT_LM_BACKWARD, .backward = {.tape = t, .w = w, .grad = &grad}};
    const double start = wall(&b->d, b->be);
    CHECK_OK(b->d.ops->grad_new(b->be, &grad, &err), err);
    CHECK_OK(direct_run(&b->d, &f, b->d.ops->forward, &err), err);
    seconds[1] = wall(&b->d, b->be) - start;
    if (test_failures_in_case == 0)
        CHECK_OK(direct_run(&b->d, &back, b->d.ops->backward, &err), err);
    if (test_failures_in_case == 0)
        CHECK_OK(b->d.ops->adam(b->be, &b->adapter, &grad, &adam, norm, &err), err);
    seconds[0] = wall(&b->d, b->be) - start;
    b->d.ops->grad_free(b->be, &grad);
    direct_tape_free(&b->d, t);
}

static void train(struct bench *b)
{
    double all[MOST_RUNS], forward[MOST_RUNS], seconds[2] = {0}, norm = 0;
    const size_t n = (size_t)SLOTS * TRAINED;
    float *w = vt_alloc_array(n, sizeof *w), *logprob = vt_alloc_array(n, sizeof *logprob);
    uint64_t peak = 0;
    for (size_t i = 0; i < n; i++)
        w[i] = i / TRAINED % 2 ? 1.0f / SLOTS : -1.0f / SLOTS;
    for (int run = -1; run < b->o->runs && test_failures_in_case == 0; run++) {
        train_once(b, w, logprob, seconds, &norm);
        if (run >= 0) {
            all[run] = seconds[0];
            forward[run] = seconds[1];
        }
    }
    free(w);
    free(logprob);
    if (b->o->runs < 1 || test_failures_in_case)
        return;
    (void)vt_gpu_bytes(b->be->gpu, &peak);
    qsort(all, (size_t)b->o->runs, sizeof *all, by_value);
    qsort(forward, (size_t)b->o->runs, sizeof *forward, by_value);
    const double bound = train_flops(b) / b->matmul;
    printf("  %-5s LoRA step %.3f s best, %.3f median of %d (forward %.3f); H200 bar %.1f; %.0f %% of the bound %.3f; "
           "peak %.1f GB; gradient's norm %.3g\n",
           b->shape->name, all[0], all[b->o->runs / 2], b->o->runs, forward[0], b->shape->step_bar,
           100 * bound / all[0], bound, (double)peak / 1e9, norm);
}

/* Only clusters of n blocks, where a weight's cut leaves at most as many sums as before. */
static void recut(struct vt_cuda *be, struct vt_cuda_product *p, int n)
{
    struct vt_cuda_machine m = be->machine;
    m.most_clusters[n == 2] = 0;
    const struct vt_cuda_cut c = vt_cuda_cut_of(&m, p->kind, p->n_columns, p->k, 0, 0);
    if (c.n_splits <= p->cut.n_splits)
        p->cut = c;
}

static void recut_all(struct vt_cuda *be, int n)
{
    for (int i = 0; i < be->cfg.n_layers; i++) {
        recut(be, &be->products.layers[i].gate_up, n);
        recut(be, &be->products.layers[i].down, n);
    }
    recut(be, &be->products.head, n);
}

static bool run_shape(const struct shape *shape, const struct options *o)
{
    static struct bench b;
    struct vt_stream rng;
    vt_err err = {0};
    uint64_t memory = 0;
    const struct vt_lm_opts opts = {0};
    b = (struct bench){.shape = shape, .o = o, .d = {.ops = &vt_lm_cuda_ops, .cfg = shape->cfg}};
    const double start = vt_now_s();
    if (vt_cuda_open_with(&shape->cfg, &opts, random_weights, NULL, &b.d.limits, &memory, &b.be, &err) != VT_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return false;
    }
    b.d.be = b.be;
    b.be->has_no_graphs = o->is_eager;
    if (o->ranks)
        b.be->attend_ranks = o->ranks;
    if (o->ahead)
        b.be->ahead_bytes = (uint32_t)o->ahead << 20;
    if (o->clusters)
        recut_all(b.be, o->clusters);
    if (o->is_portable)
        b.be->is_own = false;
    vt_stream_init(&rng, 2);
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < PROMPT; i++)
            b.prompts[g][i] = (int32_t)vt_stream_below(&rng, (uint64_t)shape->cfg.n_vocab);
    for (int i = 0; i < SLOTS; i++)
        for (int t = 0; t < MOST_NEW; t++)
            b.tokens[i][t] = (int32_t)vt_stream_below(&rng, (uint64_t)shape->cfg.n_vocab);
    for (int i = 0; i < SLOTS; i++)
        for (int t = 0; t < TRAINED; t++)
            b.trained[i][t] = (int32_t)vt_stream_below(&rng, (uint64_t)shape->cfg.n_vocab);
    make_adapter(&b);
    printf("%s: opened in %.1f s, %.2f GB\n", shape->name, vt_now_s() - start,
           (double)vt_gpu_bytes(b.be->gpu, NULL) / 1e9);
    if (o->runs > 0)
        ceilings(&b);
    if (!o->only || strcmp(o->only, "decode") == 0)
        decode(&b);
    if (!o->only || strcmp(o->only, "score") == 0)
        score(&b);
    if (o->only && strcmp(o->only, "train") == 0)
        train(&b);
    if (b.adapter.impl)
        b.d.ops->adapter_free(b.be, &b.adapter);
    direct_close(&b.d);
    return test_failures_in_case == 0;
}

int main(int argc, char **argv)
{
    struct options o = {.steps = MOST_NEW, .runs = 3};
    bool asked[sizeof shapes / sizeof shapes[0]] = {false}, is_any = false, is_good = true;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--eager") == 0)
            o.is_eager = true;
        else if (strcmp(argv[i], "--lora") == 0)
            o.has_lora = true;
        else if (strcmp(argv[i], "--portable") == 0)
            o.is_portable = true;
        else if (has_value && strcmp(argv[i], "--steps") == 0)
            o.steps = (int)strtol(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--runs") == 0)
            o.runs = (int)strtol(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--ranks") == 0)
            o.ranks = (int)strtol(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--clusters") == 0)
            o.clusters = (int)strtol(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--ahead") == 0)
            o.ahead = (int)strtol(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--only") == 0)
            o.only = argv[++i];
        else
            for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
                if (strcmp(argv[i], shapes[k].name) == 0)
                    asked[k] = is_any = true;
    }
    if (o.steps < 1 || o.steps > MOST_NEW || o.runs > MOST_RUNS)
        return fprintf(stderr, "steps: 1 to %d; runs: at most %d\n", MOST_NEW, MOST_RUNS), 2;
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        if (asked[k] || !is_any)
            is_good &= run_shape(&shapes[k], &o);
    return is_good ? 0 : 1;
}
