/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_bench.c: tokens per second of the CPU language model, the shapes of the policy bars: prefill 512, batched decode
 * behind a shared prompt with logprobs, score, and a LoRA step, each beside its share of what this machine can do.
 *
 *     lm_bench MODEL [--threads N] [--isa NAME] [--f32] [--repeat N] [--only prefill|decode|score|train] [--json]
 *
 * Counted tokens are those a user asked for (prompt and completion of every row in score and training, new tokens in
 * decode); computed tokens are the rows that went through the layers, because a group's prompt is computed once. The
 * bound is the larger of two times: multiply-adds over the matrix rate, and weight bytes (each once a step) over the
 * memory rate, both measured here at the start: the rate of the model's own gemm on data that stays in cache, and a
 * read of the packed weights.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "cpu/lm_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct options {
    const char *model, *isa, *only;
    int n_threads, repeat;
    bool is_f32, is_json;
};

struct bench {
    struct options o;
    vt_ckpt *ckpt;
    vt_lm *lm;
    int adapter;
    double flops, bytes_per_s; /* of this machine, all threads */
};

static void die(const vt_err *err)
{
    (void)fprintf(stderr, "lm_bench: %s\n", err->msg);
    exit(1);
}

static void *need(void *p)
{
    if (!p) {
        (void)fprintf(stderr, "lm_bench: out of memory\n");
        exit(1);
    }
    return p;
}

static int32_t *random_tokens(const vt_lm *lm, int n, uint64_t seed)
{
    struct vt_stream s;
    vt_stream_init(&s, seed);
    int32_t *ids = need(vt_alloc_array((size_t)n, sizeof *ids));
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)vt_stream_below(&s, (uint64_t)vt_lm_cfg(lm)->n_vocab);
    return ids;
}

/* --- what this machine can do --- */

struct probe {
    const struct bench *b;
    struct vt_acts acts;
    float *y[64];
    double flops;
    size_t sum;
};

enum { PROBE_ROWS = 128, PROBE_ROUNDS = 40 };

static void probe_gemm(void *arg, int thread, int n_threads)
{
    struct probe *p = arg;
    const vt_lm *lm = p->b->lm;
    const struct vt_matrix *w = lm->layers[0].w[VT_LORA_GATE];
    (void)n_threads;
    for (int i = 0; i < PROBE_ROUNDS; i++)
        lm->k->gemm(w, &p->acts, 0, PROBE_ROWS, 0, w->n_out, p->y[thread], (size_t)w->n_out, false);
}

static void probe_read(void *arg, int thread, int n_threads)
{
    struct probe *p = arg;
    const vt_lm *lm = p->b->lm;
    size_t sum = 0;
    for (int l = thread; l < lm->cfg.n_layers; l += n_threads)
        for (int t = 0; t < VT_N_LINEAR; t++) {
            const struct vt_matrix *w = lm->layers[l].w[t];
            const size_t n = vt_matrix_bytes(w->layout, w->n_out, w->n_in) / sizeof(size_t);
            const size_t *words = w->data;
            for (size_t i = 0; i + 8 <= n; i += 8)
                sum += words[i];
        }
    __atomic_fetch_add(&p->sum, sum, __ATOMIC_RELAXED);
}

static size_t weight_bytes(const vt_lm *lm, bool with_head)
{
    size_t n = with_head ? vt_matrix_bytes(lm->unembed->layout, lm->unembed->n_out, lm->unembed->n_in) : 0;
    for (int l = 0; l < lm->cfg.n_layers; l++)
        for (int t = 0; t < VT_N_LINEAR; t++) {
            const struct vt_matrix *w = lm->layers[l].w[t];
            n += vt_matrix_bytes(w->layout, w->n_out, w->n_in);
        }
    return n;
}

static double layer_weights(const vt_lm *lm)
{
    double n = 0;
    for (int t = 0; t < VT_N_LINEAR; t++)
        n += (double)lm->layers[0].w[t]->n_out * (double)lm->layers[0].w[t]->n_in;
    return n * lm->cfg.n_layers;
}

static void probe_machine(struct bench *b)
{
    vt_lm *lm = b->lm;
    const struct vt_matrix *w = lm->layers[0].w[VT_LORA_GATE];
    struct probe p = {.b = b, .acts = {.n_in = w->n_in, .stride = vt_acts_row_bytes(w->n_in)}};
    float *x = need(vt_alloc_array((size_t)PROBE_ROWS * (size_t)w->n_in, sizeof *x));
    p.acts.data = need(vt_alloc_aligned(64, PROBE_ROWS * p.acts.stride));
    lm->k->acts_pack(&p.acts, lm->prec, 0, PROBE_ROWS, x, (size_t)w->n_in, 1.0f);
    for (int i = 0; i < lm->n_threads && i < 64; i++)
        p.y[i] = need(vt_alloc_array((size_t)PROBE_ROWS * (size_t)w->n_out, sizeof(float)));
    for (int round = 0; round < 5; round++) {
        const double t0 = vt_now_s();
        vt_pool_run(lm->pool, probe_gemm, &p);
        const double t1 = vt_now_s();
        vt_pool_run(lm->pool, probe_read, &p);
        const double t2 = vt_now_s();
        const double flops = 2.0 * PROBE_ROWS * w->n_out * w->n_in * PROBE_ROUNDS * lm->n_threads / (t1 - t0);
        const double rate = (double)weight_bytes(lm, false) / (t2 - t1);
        b->flops = flops > b->flops ? flops : b->flops;
        b->bytes_per_s = rate > b->bytes_per_s ? rate : b->bytes_per_s;
    }
    for (int i = 0; i < lm->n_threads && i < 64; i++)
        free(p.y[i]);
    free(x);
    free(p.acts.data);
    printf("machine: gemm %.0f GFLOP/s, weight read %.1f GB/s on %d threads, %s\n", b->flops / 1e9,
           b->bytes_per_s / 1e9, lm->n_threads, vt_lm_numerics(lm));
}

/* --- reporting --- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const struct bench *b, const char *what, double *seconds, int n, double counted, double computed,
                   double bound_s)
{
    uint64_t peak;
    (void)vt_lm_bytes(b->lm, &peak);
    qsort(seconds, (size_t)n, sizeof *seconds, by_value);
    const double best = seconds[0], median = seconds[n / 2];
    if (b->o.is_json)
        printf("{\"what\":\"%s\",\"best_tok_s\":%.1f,\"median_tok_s\":%.1f,\"computed_tok_s\":%.1f,\"share_of_bound\":%"
               ".3f,\"seconds\":%.4f,"
               "\"peak_mb\":%.0f}\n",
               what, counted / best, counted / median, computed / best, bound_s / best, best, (double)peak / 1e6);
    else
        printf("%-22s best %9.1f tok/s  median %9.1f  computed %9.1f  %5.1f %% of bound  %7.3f s  peak %.0f MB\n", what,
               counted / best, counted / median, computed / best, 100 * bound_s / best, best, (double)peak / 1e6);
    (void)fflush(stdout);
}

/* Seconds that n rows through the layers and n_head rows through the head need at the least, n_steps reads of the
 * weights. */
static double bound(const struct bench *b, double n, double n_head, double n_steps)
{
    const double head = (double)b->lm->cfg.n_vocab * b->lm->cfg.d_model;
    const double compute = 2 * (n * layer_weights(b->lm) + n_head * head) / b->flops;
    const double memory = n_steps * (double)weight_bytes(b->lm, true) / b->bytes_per_s;
    return compute > memory ? compute : memory;
}

static void run_job(struct bench *b, struct vt_lm_job *job)
{
    vt_err err;
    if (vt_lm_run(b->lm, job, &err) != VT_OK)
        die(&err);
}

static vt_lm_group *prefill(struct bench *b, const int32_t *tokens, int n, int adapter)
{
    struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = tokens, .n_tokens = n, .adapter = adapter}};
    run_job(b, &job);
    return job.group.group;
}

static void bench_prefill(struct bench *b)
{
    enum { N = 512 };
    double seconds[64];
    int32_t *tokens = random_tokens(b->lm, N, 1);
    for (int i = 0; i < b->o.repeat; i++) {
        const double t0 = vt_now_s();
        vt_lm_group *g = prefill(b, tokens, N, 0);
        seconds[i] = vt_now_s() - t0;
        vt_lm_group_close(b->lm, g);
    }
    report(b, "prefill 512", seconds, b->o.repeat, N, N, bound(b, N, 0, 1));
    free(tokens);
}

enum { PROMPT = 256, NEW = 128, BURST = 8, MOST = 64 };

static double decode_once(struct bench *b, vt_lm_group *g, int n)
{
    static vt_lm_slot *slots[MOST];
    static int32_t tokens[MOST * BURST];
    static float logprob[MOST * BURST], behaviour[MOST * BURST];
    static int n_out[MOST];
    static unsigned char finished[MOST];
    const struct vt_sampling s = {.temperature = 0.6f, .top_p = 1};
    vt_err err;
    for (int i = 0; i < n; i++)
        if (vt_lm_slot_open(b->lm, g, (uint64_t)i, &s, NEW, NULL, 0, &slots[i], &err) != VT_OK)
            die(&err);
    const double t0 = vt_now_s();
    for (int at = 0; at < NEW; at += BURST) {
        struct vt_lm_job job = {.kind = VT_LM_DECODE,
                                .decode = {.slots = slots,
                                           .n_slots = n,
                                           .n_steps = BURST,
                                           .tokens = tokens,
                                           .logprob = logprob,
                                           .logprob_behaviour = behaviour,
                                           .n_out = n_out,
                                           .finished = finished}};
        run_job(b, &job);
    }
    const double t = vt_now_s() - t0;
    for (int i = 0; i < n; i++)
        vt_lm_slot_close(b->lm, slots[i]);
    return t;
}

static void bench_decode(struct bench *b)
{
    static const int sizes[] = {1, 8, 16, 32, 64};
    double seconds[64];
    char what[32];
    int32_t *prompt = random_tokens(b->lm, PROMPT, 2);
    vt_lm_group *g = prefill(b, prompt, PROMPT, 0);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        for (int i = 0; i < b->o.repeat; i++)
            seconds[i] = decode_once(b, g, sizes[k]);
        (void)snprintf(what, sizeof what, "decode B=%d", sizes[k]);
        const double n = (double)sizes[k] * NEW;
        report(b, what, seconds, b->o.repeat, n, n, bound(b, n, n, NEW));
    }
    vt_lm_group_close(b->lm, g);
    free(prompt);
}

enum { ROWS = 32 };

static void bench_score(struct bench *b)
{
    double seconds[64];
    int32_t *prompt = random_tokens(b->lm, PROMPT, 3);
    const int32_t *tokens[ROWS];
    float *logprob[ROWS];
    int n[ROWS];
    vt_lm_group *groups[ROWS];
    for (int r = 0; r < ROWS; r++) {
        tokens[r] = random_tokens(b->lm, NEW, 100 + (uint64_t)r);
        logprob[r] = need(vt_alloc_array(NEW, sizeof(float)));
        n[r] = NEW;
    }
    for (int i = 0; i < b->o.repeat; i++) {
        const double t0 = vt_now_s();
        vt_lm_group *g = prefill(b, prompt, PROMPT, 0);
        for (int r = 0; r < ROWS; r++)
            groups[r] = g;
        struct vt_lm_job job = {
            .kind = VT_LM_SCORE,
            .score = {.groups = groups, .tokens = tokens, .n = n, .n_rows = ROWS, .logprob = logprob}};
        run_job(b, &job);
        seconds[i] = vt_now_s() - t0;
        vt_lm_group_close(b->lm, g);
    }
    const double computed = PROMPT + ROWS * (NEW - 1);
    report(b, "score 32x(256+128)", seconds, b->o.repeat, ROWS * (PROMPT + NEW), computed,
           bound(b, computed, ROWS * NEW, 1));
    for (int r = 0; r < ROWS; r++) {
        free((void *)(uintptr_t)tokens[r]);
        free(logprob[r]);
    }
    free(prompt);
}

static void bench_train(struct bench *b)
{
    double seconds[64];
    int32_t *prompt = random_tokens(b->lm, PROMPT, 4);
    const int32_t *tokens[ROWS];
    float *logprob[ROWS];
    const float *w[ROWS];
    const float *const *w_batch[1] = {w};
    int n[ROWS];
    vt_err err;
    struct vt_adapter *a = NULL;
    if (vt_lm_adapter_get(b->lm, b->adapter, &a, &err) != VT_OK)
        die(&err);
    float *grad = need(vt_alloc_array(a->n_params, sizeof *grad));
    for (int r = 0; r < ROWS; r++) {
        float *weights = need(vt_alloc_array(NEW, sizeof(float)));
        for (int t = 0; t < NEW; t++)
            weights[t] = (r % 2 ? 1.0f : -0.5f) / NEW;
        tokens[r] = random_tokens(b->lm, NEW, 200 + (uint64_t)r);
        logprob[r] = need(vt_alloc_array(NEW, sizeof(float)));
        w[r] = weights;
        n[r] = NEW;
    }
    const struct vt_lm_prompt_batch batch = {
        .prompt = prompt, .n_prompt = PROMPT, .tokens = tokens, .n = n, .n_rows = ROWS, .logprob = logprob};
    const struct vt_adam adam = {.lr = 1e-5f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    double forward_s = 0, backward_s = 0, norm;
    for (int i = -1; i < b->o.repeat; i++) {
        const double t0 = vt_now_s();
        struct vt_lm_job job = {.kind = VT_LM_FORWARD,
                                .forward = {.adapter = b->adapter, .batches = &batch, .n_batches = 1}};
        memset(grad, 0, a->n_params * sizeof *grad);
        run_job(b, &job);
        const double t1 = vt_now_s();
        job = (struct vt_lm_job){.kind = VT_LM_BACKWARD,
                                 .backward = {.tape = job.forward.tape, .w = w_batch, .grad = grad}};
        run_job(b, &job);
        const double t2 = vt_now_s();
        if (vt_lm_adam(b->lm, b->adapter, grad, &adam, &norm, &err) != VT_OK)
            die(&err);
        if (i < 0)
            continue;
        seconds[i] = vt_now_s() - t0;
        forward_s = t1 - t0;
        backward_s = t2 - t1;
    }
    const double computed = PROMPT + ROWS * (NEW - 1);
    report(b, "train 32x(256+128)", seconds, b->o.repeat, ROWS * (PROMPT + NEW), computed,
           2 * bound(b, computed, ROWS * NEW, 1));
    if (!b->o.is_json)
        printf("%-22s forward %.3f s, backward %.3f s, |grad| %.3g\n", "", forward_s, backward_s, norm);
    for (int r = 0; r < ROWS; r++) {
        free((void *)(uintptr_t)tokens[r]);
        free((void *)(uintptr_t)w[r]);
        free(logprob[r]);
    }
    free(prompt);
    free(grad);
    vt_adapter_free(a);
}

static void put_adapter(struct bench *b)
{
    struct vt_adapter *a = NULL;
    vt_err err;
    if (vt_adapter_new(vt_lm_cfg(b->lm), 16, 32, VT_LORA_DEFAULT, 1, &a, &err) != VT_OK ||
        vt_lm_adapter_put(b->lm, a, &b->adapter, &err) != VT_OK)
        die(&err);
    vt_adapter_free(a);
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.repeat = 5};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--threads") == 0)
            o.n_threads = (int)strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--isa") == 0)
            o.isa = value, i++;
        else if (strcmp(argv[i], "--repeat") == 0)
            o.repeat = (int)strtol(value, NULL, 10), i++;
        else if (strcmp(argv[i], "--only") == 0)
            o.only = value, i++;
        else if (strcmp(argv[i], "--f32") == 0)
            o.is_f32 = true;
        else if (strcmp(argv[i], "--json") == 0)
            o.is_json = true;
        else
            o.model = argv[i];
    }
    o.repeat = o.repeat < 1 ? 1 : o.repeat > 64 ? 64 : o.repeat;
    return o;
}

int main(int argc, char **argv)
{
    struct bench b = {.o = parse(argc, argv)};
    vt_err err;
    if (!b.o.model) {
        (void)fprintf(stderr,
                      "usage: lm_bench MODEL [--threads N] [--isa NAME] [--f32] [--repeat N] [--only WHAT] [--json]\n");
        return 2;
    }
    const struct vt_lm_opts o = {
        .n_threads = b.o.n_threads, .precision = b.o.is_f32 ? VT_LM_F32 : VT_LM_FAST, .isa = b.o.isa};
    const double t0 = vt_now_s();
    if (vt_ckpt_open(b.o.model, &b.ckpt, &err) != VT_OK || vt_lm_cpu_open(b.ckpt, &o, &b.lm, &err) != VT_OK)
        die(&err);
    if (!b.o.is_json)
        printf("opened in %.2f s\n", vt_now_s() - t0);
    put_adapter(&b);
    probe_machine(&b);
    static const struct {
        const char *name;
        void (*fn)(struct bench *);
    } parts[] = {{"prefill", bench_prefill}, {"decode", bench_decode}, {"score", bench_score}, {"train", bench_train}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!b.o.only || strcmp(b.o.only, parts[i].name) == 0)
            parts[i].fn(&b);
    vt_lm_close(b.lm);
    vt_ckpt_free(b.ckpt);
    return 0;
}
