/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_extra.c: what the walk over the vocabulary yields beside a token's log-probability, and targets that are not
 * the completion's own: entropy, sum of logits and top k against arithmetic in double and against the whole
 * distribution; decode's equal to score's bit for bit; k targets at a position equal to k scores of one, and their
 * gradient to the sum of the single ones.
 */
#include "harness.h"

#include "cpu_lm_common.h"

static char *tiny_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", GOLDEN("tiny"), name);
    return path;
}

/* 2,500 logits in three chunks, far from 0, with ties inside a chunk and across chunks. */
static void walk_against_double(void)
{
    enum { N = 2500, CHUNKS = 3, TOP = 5 };
    static float z[N];
    for (int k = 0; vt_kernels_at(k); k++)
        for (int offset = -300; offset <= 300; offset += 300) {
            const struct vt_kernels *kernels = vt_kernels_at(k);
            float max[CHUNKS], exps[CHUNKS], sum[CHUNKS], ez[CHUNKS], entropy, certainty, top_logprob[TOP];
            int32_t top_ids[TOP];
            const struct vt_cpu_sums row = {max, exps, sum, ez};
            const struct vt_lm_extra e = {&entropy, &certainty, TOP, top_ids, top_logprob};
            uint32_t state = 17;
            for (int i = 0; i < N; i++)
                z[i] = (float)offset + (float)(next_random(&state) % 4000) * 2e-3f;
            z[2048] = z[3] = z[1023] = (float)offset + 9;
            z[2000] = z[1500] = (float)offset + 8.5f;
            double top = -INFINITY, total = 0, want = 0, all = 0;
            for (int i = 0; i < N; i++)
                top = (double)z[i] > top ? (double)z[i] : top;
            for (int i = 0; i < N; i++)
                total += exp((double)z[i] - top);
            const double lse = top + log(total);
            for (int i = 0; i < N; i++) {
                want -= exp((double)z[i] - lse) * ((double)z[i] - lse);
                all += (double)z[i];
            }
            vt_cpu_extra_begin(&e);
            for (int c = 0; c < CHUNKS; c++) {
                const int n = c == 2 ? N - 2 * VT_HEAD_CHUNK : VT_HEAD_CHUNK;
                const float *x = z + c * VT_HEAD_CHUNK;
                max[c] = kernels->max(n, x);
                exps[c] = kernels->exp_sum(n, x, 1.0f, max[c], NULL);
                kernels->soft_sums(n, x, max[c], &sum[c], &ez[c]);
                vt_cpu_extra_chunk(&e, x, n, c * VT_HEAD_CHUNK, max[c]);
            }
            vt_cpu_extra_finish(&e, &row, N, lse);
            CHECK_NEAR(entropy, want, 2e-5); /* about 7 nats: the offset costs nothing */
            CHECK_NEAR(certainty, lse - all / N - log(N), 2e-5);
            static const int32_t best[TOP] = {3, 1023, 2048, 1500, 2000};
            for (int i = 0; i < TOP; i++) {
                CHECK_INT(top_ids[i], best[i]);
                CHECK_NEAR(top_logprob[i], (double)z[best[i]] - lse, 2e-6 * fabs(top));
            }
        }
}

enum { N_NEW = 24, TOP = 3, ROWS = 5 };

struct drawn {
    int32_t tokens[ROWS * N_NEW], top_ids[ROWS * N_NEW * TOP];
    float logprob[ROWS * N_NEW], behaviour[ROWS * N_NEW], entropy[ROWS * N_NEW], sum[ROWS * N_NEW],
        top[ROWS * N_NEW * TOP];
    int n_out[ROWS];
    unsigned char finished[ROWS];
};

/* ROWS samples of a group, the odd ones with bans and filters, which the extras must not see. */
static void draw(vt_lm *lm, vt_lm_group *g, struct drawn *d)
{
    static const int32_t banned[] = {3, 4, 5};
    vt_lm_slot *slots[ROWS];
    vt_err err = {0};
    for (int i = 0; i < ROWS; i++) {
        const struct vt_sampling s = {.temperature = i % 2 ? 0.5f : 1.0f,
                                      .top_p = i % 2 ? 0.9f : 1.0f,
                                      .banned = banned,
                                      .n_banned = i % 2 ? 3 : 0};
        CHECK_OK(vt_lm_slot_open(lm, g, 40 + (uint64_t)i, &s, N_NEW, NULL, 0, &slots[i], &err), err);
    }
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = slots,
                                       .n_slots = ROWS,
                                       .n_steps = N_NEW,
                                       .tokens = d->tokens,
                                       .logprob = d->logprob,
                                       .logprob_behaviour = d->behaviour,
                                       .n_out = d->n_out,
                                       .finished = d->finished,
                                       .extra = {d->entropy, d->sum, TOP, d->top_ids, d->top}}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    for (int i = 0; i < ROWS; i++)
        vt_lm_slot_close(lm, slots[i]);
}

static int differ(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n * 4) != 0;
}

/* The same tokens scored with the same wishes, all together and row by row. */
static void check_scored(vt_lm *lm, vt_lm_group *g, const struct drawn *d)
{
    static float logp[ROWS][N_NEW], entropy[ROWS][N_NEW], sum[ROWS][N_NEW], top[ROWS][N_NEW * TOP];
    static int32_t ids[ROWS][N_NEW * TOP];
    vt_lm_group *groups[ROWS];
    const int32_t *tokens[ROWS];
    struct vt_lm_extra extra[ROWS];
    float *out[ROWS];
    vt_err err = {0};
    for (int i = 0; i < ROWS; i++) {
        groups[i] = g;
        tokens[i] = &d->tokens[i * N_NEW];
        out[i] = logp[i];
        extra[i] = (struct vt_lm_extra){entropy[i], sum[i], TOP, ids[i], top[i]};
    }
    for (int n_rows = ROWS; n_rows >= 1; n_rows -= ROWS - 1) {
        memset(entropy, 0, sizeof entropy);
        memset(ids, 0, sizeof ids);
        struct vt_lm_job job = {
            .kind = VT_LM_SCORE,
            .score = {
                .groups = groups, .tokens = tokens, .n = d->n_out, .n_rows = n_rows, .logprob = out, .extra = extra}};
        CHECK_OK(vt_lm_run(lm, &job, &err), err);
        for (int i = 0; i < n_rows; i++) {
            const size_t n = (size_t)d->n_out[i], at = (size_t)i * N_NEW;
            CHECK_INT(n, N_NEW);
            CHECK(!differ(logp[i], &d->logprob[at], n));
            CHECK(!differ(entropy[i], &d->entropy[at], n));
            CHECK(!differ(sum[i], &d->sum[at], n));
            CHECK(!differ(ids[i], &d->top_ids[at * TOP], n * TOP));
            CHECK(!differ(top[i], &d->top[at * TOP], n * TOP));
        }
    }
}

/* Every id of the vocabulary as a target: entropy and top against the whole distribution of the last position. */
static void check_distribution(vt_lm *lm, vt_lm_group *g, const struct drawn *d)
{
    const int n_vocab = vt_lm_cfg(lm)->n_vocab, n = N_NEW;
    if (n_vocab > vt_lm_limits(lm)->max_targets)
        return;
    int32_t *targets = vt_alloc_array((size_t)(n * n_vocab), sizeof *targets);
    float *logp = vt_alloc_array((size_t)(n * n_vocab), sizeof *logp);
    const int32_t *row = targets, *tokens = d->tokens;
    vt_err err = {0};
    for (int i = 0; i < n * n_vocab; i++)
        targets[i] = i % n_vocab;
    struct vt_lm_job job = {
        .kind = VT_LM_SCORE,
        .score = {
            .groups = &g, .tokens = &tokens, .n = &n, .n_rows = 1, .k = n_vocab, .targets = &row, .logprob = &logp}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    for (int t = 0; t < n; t++) {
        const float *p = logp + t * n_vocab;
        double entropy = 0;
        int best = 0;
        for (int v = 0; v < n_vocab; v++) {
            entropy -= exp((double)p[v]) * (double)p[v];
            best = p[v] > p[best] ? v : best;
        }
        CHECK(p[d->tokens[t]] == d->logprob[t]);
        CHECK_NEAR(d->entropy[t], entropy, 1e-5);
        CHECK_INT(d->top_ids[t * TOP], best);
        CHECK(d->top[t * TOP] == p[best]);
    }
    free(targets);
    free(logp);
}

static void check_model(const char *path, enum vt_lm_precision p, const char *isa)
{
    static struct drawn d, chopped;
    static const int32_t prompt[70] = {7, 3, 9, 1};
    struct model m;
    if (!open_model(&m, path, p, isa, 2))
        return;
    vt_lm_group *g = prefill(m.lm, prompt, 70, 0);
    draw(m.lm, g, &d);
    check_scored(m.lm, g, &d);
    check_distribution(m.lm, g, &d);
    cpu_of(m.lm)->pass_rows = 9; /* completions longer than a pass */
    check_scored(m.lm, g, &d);
    draw(m.lm, g, &chopped);
    CHECK(memcmp(&d, &chopped, sizeof d) == 0);
    vt_lm_group_close(m.lm, g);
    close_model(&m);
}

static void decode_equals_score(void)
{
    for (int k = 0; vt_kernels_at(k); k++)
        for (int p = VT_LM_FAST; p <= VT_LM_F32; p++)
            check_model(tiny_path("qwen2"), (enum vt_lm_precision)p, vt_kernels_at(k)->name);
}

static void decode_equals_score_default(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    check_model(model_path(), VT_LM_FAST, NULL);
}

/* --- targets [t][k] --- */

enum { K = 3, LEN = 7 };
static const int32_t prompt[] = {5, 6, 7}, completion[2][LEN] = {{1, 2, 3, 4, 5, 6, 7}, {9, 8, 7}};
static const int lengths[2] = {LEN, 3};
static const int32_t teacher[2][LEN * K] = {{1, 50, 60, 2, -1, 61, 88, 3, 3, -1, -1, -1, 5, 6, 7, 70, 6, -1, 7, 0, 89},
                                            {9, 1, 2, 8, 3, -1, 7, 4, 5}};

struct distil {
    struct model m;
    struct vt_adapter *a;
    int id;
};

static bool open_distil(struct distil *d, const char *isa)
{
    vt_err err = {0};
    uint32_t state = 3;
    if (!open_model(&d->m, tiny_path("llama"), VT_LM_F32, isa, 2))
        return false;
    CHECK_OK(vt_adapter_new(vt_lm_cfg(d->m.lm), 4, 8, 0xff, 9, &d->a, &err), err);
    for (size_t i = 0; i < d->a->n_params; i++)
        if (d->a->params[i] == 0)
            d->a->params[i] = ((float)(next_random(&state) % 2001) - 1000) * 1e-4f;
    CHECK_OK(vt_lm_adapter_put(d->m.lm, d->a, &d->id, &err), err);
    return true;
}

static void close_distil(struct distil *d)
{
    vt_adapter_free(d->a);
    close_model(&d->m);
}

/* Gradient and log-probabilities of the two completions with the given targets (NULL: the tokens) and weights. */
static float *train_on(struct distil *d, int k, const int32_t *const *targets, const float *const *w, float *const *out)
{
    const int32_t *tokens[2] = {completion[0], completion[1]};
    const float *const *w_batch[1] = {w};
    vt_err err = {0};
    const struct vt_lm_prompt_batch b = {.prompt = prompt,
                                         .n_prompt = 3,
                                         .tokens = tokens,
                                         .n = lengths,
                                         .n_rows = 2,
                                         .targets = targets,
                                         .logprob = out};
    struct vt_lm_job job = {.kind = VT_LM_FORWARD,
                            .forward = {.adapter = d->id, .k = k, .batches = &b, .n_batches = 1}};
    CHECK_OK(vt_lm_run(d->m.lm, &job, &err), err);
    struct vt_lm_job back = {.kind = VT_LM_BACKWARD, .backward = {.tape = job.forward.tape, .w = w_batch}};
    CHECK_OK(vt_lm_run(d->m.lm, &back, &err), err);
    float *x = grad_floats(d->m.lm, back.backward.grad);
    vt_lm_grad_free(d->m.lm, back.backward.grad);
    return x;
}

static void k_targets(void)
{
    for (int isa = 0; vt_kernels_at(isa); isa++) {
        struct distil d;
        static float logp[2][LEN * K], scored[2][LEN * K], w[2][LEN * K], one_w[2][LEN], one_logp[2][LEN];
        static int32_t one[2][LEN];
        float *out[2] = {logp[0], logp[1]}, *score_out[2] = {scored[0], scored[1]},
              *one_out[2] = {one_logp[0], one_logp[1]};
        const float *w_rows[2] = {w[0], w[1]}, *one_rows[2] = {one_w[0], one_w[1]};
        const int32_t *targets[2] = {teacher[0], teacher[1]}, *ones[2] = {one[0], one[1]},
                      *tokens[2] = {completion[0], completion[1]};
        vt_err err = {0};
        if (!open_distil(&d, vt_kernels_at(isa)->name))
            return;
        for (int r = 0; r < 2; r++)
            for (int i = 0; i < LEN * K; i++)
                w[r][i] = 0.3f * (float)(i % 5) - 0.4f;
        float *all = train_on(&d, K, targets, w_rows, out);
        vt_lm_group *g = prefill(d.m.lm, prompt, 3, d.id), *groups[2] = {g, g};
        struct vt_lm_job job = {.kind = VT_LM_SCORE,
                                .score = {.groups = groups,
                                          .tokens = tokens,
                                          .n = lengths,
                                          .n_rows = 2,
                                          .k = K,
                                          .targets = targets,
                                          .logprob = score_out}};
        CHECK_OK(vt_lm_run(d.m.lm, &job, &err), err);
        float *sum = vt_alloc_array(d.a->n_params, sizeof *sum);
        for (int j = 0; j < K; j++) { /* the j-th of every position by itself */
            for (int r = 0; r < 2; r++)
                for (int t = 0; t < lengths[r]; t++) {
                    one[r][t] = teacher[r][t * K + j];
                    one_w[r][t] = w[r][t * K + j];
                }
            float *part = train_on(&d, 1, ones, one_rows, one_out);
            for (size_t i = 0; i < d.a->n_params; i++)
                sum[i] += part[i];
            free(part);
            for (int r = 0; r < 2; r++)
                for (int t = 0; t < lengths[r]; t++) {
                    const int at = t * K + j;
                    CHECK(logp[r][at] == one_logp[r][t] && scored[r][at] == one_logp[r][t]);
                    CHECK((logp[r][at] == 0) == (teacher[r][at] < 0));
                }
        }
        const struct likeness l = compare(all, sum, d.a->n_params);
        printf("  %s: gradient of %d targets against the sum of single ones: relative l2 %.1e\n",
               vt_lm_numerics(d.m.lm), K, l.rel);
        CHECK(l.rel <= 1e-5);
        for (int r = 0; r < 2; r++) /* the tokens themselves, said or unsaid */
            memcpy(one[r], completion[r], sizeof one[r]);
        float *said = train_on(&d, 1, ones, one_rows, one_out), *unsaid = train_on(&d, 0, NULL, one_rows, out);
        CHECK(memcmp(said, unsaid, d.a->n_params * sizeof *said) == 0);
        CHECK(memcmp(one_logp[0], logp[0], sizeof one_logp[0]) == 0);
        free(said);
        free(unsaid);
        free(all);
        free(sum);
        vt_lm_group_close(d.m.lm, g);
        close_distil(&d);
    }
}

static const struct test_case cases[] = {TEST(walk_against_double), TEST(decode_equals_score),
                                         TEST(decode_equals_score_default), TEST(k_targets)};
TEST_MAIN(cases)
