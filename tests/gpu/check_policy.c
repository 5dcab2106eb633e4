/* SPDX-License-Identifier: Apache-2.0
 *
 * check_policy.c: the CUDA backend's values on a GPU, against transformers' in fp64 (tests/golden) and against itself:
 * what the sampler reports is what the scorer gives, a draw is the inverse CDF of the scored distribution, the same
 * seeds give the same bits again. Where a default model is named (VEGTTT_TEST_MODEL) it is checked too.
 *
 * bf16 activations against fp64: mean |dlogp| at most 0.05 on the tiny random models (which have no redundancy), 0.02
 * on the default model. Sampler against scorer: mean 2e-3 and k3 1e-4, the bars of the fast mode.
 */
#include "harness.h"

#include "base/rng.h"
#include "cuda/cuda.h"
#include "direct.h"
#include "gpu/gpu.h"
#include "model_common.h"

static const char *const tiny[] = {"llama", "llama_sharded", "qwen2", "qwen3"};

struct model {
    vt_ckpt *ckpt;
    struct direct d;
};

/* Every case of this program needs a device. */
#define NEED_GPU()                                                                                                     \
    if (vt_gpu_count(NULL) == 0)                                                                                       \
    SKIP("there is no GPU here")

static bool open_model(struct model *m, const char *path)
{
    vt_err err = {0};
    const struct vt_lm_opts o = {.max_memory = (uint64_t)8 << 30};
    memset(m, 0, sizeof *m);
    CHECK_OK(vt_ckpt_open(path, &m->ckpt, &err), err);
    return m->ckpt && direct_open(&m->d, &vt_lm_cuda_ops, m->ckpt, &o);
}

static bool open_tiny(struct model *m, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", GOLDEN("tiny"), name);
    return open_model(m, path);
}

static void close_model(struct model *m)
{
    direct_close(&m->d);
    vt_ckpt_free(m->ckpt);
}

static int32_t *json_ids(const vt_json *a, int *n)
{
    *n = (int)vt_json_count(a);
    int32_t *ids = vt_alloc_array((size_t)*n, sizeof *ids);
    int i = 0;
    for (const vt_json *c = vt_json_first(a); c; c = vt_json_next(c))
        ids[i++] = (int32_t)vt_json_int(c, -1);
    return ids;
}

struct gap {
    double sum, max, k3;
    int n;
};

static void gap_add(struct gap *g, float got, double want)
{
    const double d = (double)got - want, size = fabs(d);
    g->sum += size;
    if (!(size <= g->max))
        g->max = size;
    g->k3 += exp(d) - 1 - d;
    g->n++;
}

static void gap_print(const char *what, const struct gap *g)
{
    printf("  %-58s mean %.2e  max %.2e  k3 %.2e  (%d values)\n", what, g->sum / g->n, g->max, g->k3 / g->n, g->n);
}

/* --- golden values --- */

static void score_sequence(struct direct *d, const vt_json *seq, const char *prompt_key, const char *tokens_key,
                           const char *want_key, struct gap *g)
{
    int n_prompt, n, i = 0;
    int32_t *prompt = json_ids(vt_json_get(seq, prompt_key), &n_prompt);
    int32_t *tokens = json_ids(vt_json_get(seq, tokens_key), &n);
    float *logprob = vt_alloc_array((size_t)n, sizeof *logprob);
    vt_lm_group *group = direct_group(d, prompt, n_prompt, NULL);
    const struct vt_lm_score_row row = {
        .group = group, .tokens = tokens, .n = n, .targets = tokens, .logprob = logprob};
    direct_score(d, &row, 1, 1);
    for (const vt_json *c = vt_json_first(vt_json_get(seq, want_key)); c && i < n; c = vt_json_next(c), i++)
        gap_add(g, logprob[i], vt_json_num(c, NAN));
    direct_group_free(d, group);
    free(prompt);
    free(tokens);
    free(logprob);
}

static void golden_tiny(void)
{
    NEED_GPU();
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++) {
        struct model m;
        struct gap g = {0};
        char path[512];
        struct vt_buf text;
        vt_json *file = NULL;
        vt_err err = {0};
        if (!open_tiny(&m, tiny[i]))
            return;
        snprintf(path, sizeof path, "%s/%s/golden.json", GOLDEN("tiny"), tiny[i]);
        CHECK_OK(vt_fs_read(path, 64 << 20, &text, &err), err);
        CHECK_OK(vt_json_parse(text.p, text.len, path, &file, &err), err);
        for (const vt_json *s = vt_json_first(vt_json_get(file, "sequences")); s; s = vt_json_next(s))
            score_sequence(&m.d, s, "prompt", "completion", "logp", &g);
        snprintf(path, sizeof path, "%s: score against fp64", tiny[i]);
        gap_print(path, &g);
        CHECK(g.sum / g.n <= 0.05);
        vt_json_free(file);
        vt_buf_free(&text);
        close_model(&m);
    }
}

struct default_model {
    struct model m;
    struct gap gap;
};

static void golden_line(void *arg, const vt_json *line)
{
    struct default_model *t = arg;
    score_sequence(&t->m.d, line, "prompt_ids", "completion_ids", "logp_fp64", &t->gap);
}

static void golden_default(void)
{
    NEED_GPU();
    struct default_model t = {0};
    if (!model_path())
        SKIP(NO_MODEL);
    if (!open_model(&t.m, model_path()))
        return;
    CHECK(each_json_line(GOLDEN("logprobs.jsonl"), golden_line, &t) == 8);
    gap_print("default model: score against fp64", &t.gap);
    CHECK(t.gap.sum / t.gap.n <= 0.02);
    close_model(&t.m);
}

/* --- sampler and scorer --- */

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

enum { MOST_SLOTS = 24, STEPS = 90 };

struct batch {
    vt_lm_group *groups[3];
    vt_lm_slot *slots[MOST_SLOTS];
    int n_groups, n_slots;
};

/* Three groups whose prompts end before, at and behind a page's edge; per_group samples each. */
static void make_batch(struct direct *d, struct batch *b, const int *lengths, int n_groups, int per_group,
                       const struct vt_sampling *s, int max_tokens, uint64_t seed)
{
    uint32_t state = 7;
    int32_t *prompts[3];
    b->n_groups = n_groups;
    b->n_slots = 0;
    for (int g = 0; g < n_groups; g++) {
        prompts[g] = vt_alloc_array((size_t)lengths[g], sizeof *prompts[g]);
        for (int i = 0; i < lengths[g]; i++)
            prompts[g][i] = (int32_t)(next_random(&state) % (uint32_t)d->cfg.n_vocab);
    }
    direct_groups(d, (const int32_t *const *)prompts, lengths, n_groups, NULL, b->groups);
    for (int g = 0; g < n_groups; g++) {
        for (int i = 0; i < per_group; i++)
            b->slots[b->n_slots++] =
                direct_slot(d, b->groups[g], seed + (uint64_t)(100 * g + i), s, max_tokens, NULL, 0);
        free(prompts[g]);
    }
}

static void free_batch(struct direct *d, struct batch *b)
{
    for (int i = 0; i < b->n_slots; i++)
        direct_slot_free(d, b->slots[i]);
    for (int i = 0; i < b->n_groups; i++)
        direct_group_free(d, b->groups[i]);
}

/* What the scorer says of the drawn tokens. */
static void score_draws(struct direct *d, const struct batch *b, const struct draws *r, struct gap *logprob,
                        struct gap *entropy, struct gap *sum)
{
    struct vt_lm_score_row rows[MOST_SLOTS];
    float *values = vt_alloc_array((size_t)b->n_slots * (size_t)r->n_steps * 3, sizeof *values);
    for (int i = 0; i < b->n_slots; i++) {
        float *at = values + (size_t)i * (size_t)r->n_steps * 3;
        const int32_t *tokens = r->tokens + (size_t)i * (size_t)r->n_steps;
        rows[i] = (struct vt_lm_score_row){.group = b->slots[i]->group,
                                           .tokens = tokens,
                                           .n = r->n_out[i],
                                           .targets = tokens,
                                           .logprob = at,
                                           .extra = {.entropy = at + r->n_steps, .certainty = at + 2 * r->n_steps}};
    }
    direct_score(d, rows, b->n_slots, 1);
    for (int i = 0; i < b->n_slots; i++)
        for (int t = 0; t < r->n_out[i]; t++) {
            const size_t at = (size_t)i * (size_t)r->n_steps + (size_t)t;
            gap_add(logprob, r->logprob[at], (double)rows[i].logprob[t]);
            gap_add(entropy, r->entropy[at], (double)rows[i].extra.entropy[t]);
            gap_add(sum, r->certainty[at], (double)rows[i].extra.certainty[t]);
        }
    free(values);
}

static void sampler_and_scorer(struct direct *d, const char *name)
{
    static const int lengths[] = {37, 64, 130};
    const struct vt_sampling s = {.temperature = 1, .top_p = 1};
    struct gap logprob = {0}, entropy = {0}, sum = {0};
    struct batch b;
    char what[128];
    make_batch(d, &b, lengths, 3, 8, &s, STEPS, 1);
    struct draws *r = direct_decode(d, b.slots, b.n_slots, STEPS);
    for (int i = 0; i < b.n_slots; i++) {
        CHECK_INT(r->n_out[i], STEPS);
        CHECK_INT(r->finished[i], 2);
        for (int t = 0; t < STEPS; t++) {
            const size_t at = (size_t)i * STEPS + (size_t)t;
            CHECK(r->tokens[at] >= 0 && r->tokens[at] < d->cfg.n_vocab);
            CHECK_NEAR(r->behaviour[at], r->logprob[at], 1e-3); /* temperature 1 without filters */
        }
    }
    score_draws(d, &b, r, &logprob, &entropy, &sum);
    snprintf(what, sizeof what, "%s: sampler - scorer, log-probability", name);
    gap_print(what, &logprob);
    gap_print("    entropy", &entropy);
    gap_print("    mean logit", &sum);
    CHECK(logprob.k3 / logprob.n <= 1e-3);
    CHECK(logprob.sum / logprob.n <= 2e-2);
    draws_free(r);
    free_batch(d, &b);
}

/* Two runs, one in bursts of which two are in flight: the same tokens and bits. */
static void same_again(struct direct *d)
{
    static const int lengths[] = {37, 64, 130};
    const struct vt_sampling s = {.temperature = 0.7f, .top_p = 1};
    struct batch b, c;
    vt_err err = {0};
    make_batch(d, &b, lengths, 3, 8, &s, STEPS, 5);
    struct draws *whole = direct_decode(d, b.slots, b.n_slots, STEPS);
    make_batch(d, &c, lengths, 3, 8, &s, STEPS, 5);
    struct draws *parts[STEPS / 15];
    const int n_parts = STEPS / 15;
    for (int i = 0; i < n_parts; i++) {
        parts[i] = draws_new(c.slots, c.n_slots, 15);
        CHECK_OK(d->ops->decode(d->be, &parts[i]->work, &err), err);
        if (i > 0)
            CHECK_OK(d->ops->wait(d->be, &parts[i - 1]->work, &err), err);
    }
    CHECK_OK(d->ops->wait(d->be, &parts[n_parts - 1]->work, &err), err);
    int n_tokens = 0, n_bits = 0;
    for (int i = 0; i < c.n_slots; i++)
        for (int t = 0; t < STEPS; t++) {
            const size_t at = (size_t)i * STEPS + (size_t)t, part = (size_t)i * 15 + (size_t)(t % 15);
            n_tokens += whole->tokens[at] != parts[t / 15]->tokens[part];
            n_bits += memcmp(&whole->logprob[at], &parts[t / 15]->logprob[part], sizeof(float)) != 0;
        }
    CHECK_INT(n_tokens, 0);
    CHECK_INT(n_bits, 0);
    draws_free(whole);
    for (int i = 0; i < n_parts; i++)
        draws_free(parts[i]);
    free_batch(d, &b);
    free_batch(d, &c);
}

static void sampler_tiny(void)
{
    NEED_GPU();
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++) {
        struct model m;
        if (!open_tiny(&m, tiny[i]))
            return;
        sampler_and_scorer(&m.d, tiny[i]);
        same_again(&m.d);
        close_model(&m);
    }
}

static void sampler_default(void)
{
    NEED_GPU();
    struct model m;
    if (!model_path())
        SKIP(NO_MODEL);
    if (!open_model(&m, model_path()))
        return;
    sampler_and_scorer(&m.d, "default model");
    same_again(&m.d);
    close_model(&m);
}

/* --- a draw is the inverse CDF of what the scorer says (check_draw.c has the filters, on given logits) --- */

/* The plain walk over a distribution whose log-probabilities are known. near: how close the draw came to an edge. */
static int reference_draw(const float *logp, int n, const struct vt_sampling *s, double u, double *behaviour,
                          double *near)
{
    double *p = vt_alloc_array((size_t)n, sizeof *p), total = 0, running = 0;
    int chosen = 0;
    for (int i = 0; i < n; i++) {
        p[i] = exp((double)logp[i] / (s->temperature > 0 ? (double)s->temperature : 1));
        for (int j = 0; j < s->n_banned; j++)
            p[i] = s->banned[j] == i ? 0 : p[i];
        total += p[i];
    }
    *near = 1;
    if (s->temperature == 0) {
        for (int i = 1; i < n; i++)
            chosen = p[i] > p[chosen] ? i : chosen;
        for (int i = 0; i < n; i++)
            *near = i != chosen && p[i] > 0.9 * p[chosen] ? 0 : *near;
    } else {
        while (chosen + 1 < n) {
            running += p[chosen];
            *near = fmin(*near, fabs(running / total - u));
            if (running > u * total)
                break;
            chosen++;
        }
    }
    *behaviour = s->temperature == 0 ? 0 : log(p[chosen] / total);
    free(p);
    return chosen;
}

/* Distributions before every token of a completion: all ids as targets, 45 at a time. */
static float *distributions(struct direct *d, vt_lm_group *g, const int32_t *tokens, int n)
{
    const int v = d->cfg.n_vocab, k = 45;
    float *all = vt_alloc_array((size_t)n * (size_t)v, sizeof *all),
          *part = vt_alloc_array((size_t)(n * k), sizeof *part);
    int32_t *targets = vt_alloc_array((size_t)(n * k), sizeof *targets);
    for (int from = 0; from < v; from += k) {
        for (int i = 0; i < n * k; i++)
            targets[i] = from + i % k;
        const struct vt_lm_score_row row = {.group = g, .tokens = tokens, .n = n, .targets = targets, .logprob = part};
        direct_score(d, &row, 1, k);
        for (int i = 0; i < n * k; i++)
            all[(size_t)(i / k) * (size_t)v + (size_t)(from + i % k)] = part[i];
    }
    free(part);
    free(targets);
    return all;
}

static void check_draws(struct direct *d, const struct vt_sampling *s, const char *name)
{
    static const int lengths[] = {70};
    struct batch b;
    int n_near = 0, n_checked = 0, n_wrong = 0;
    double worst = 0;
    make_batch(d, &b, lengths, 1, 8, s, 40, 11);
    struct draws *r = direct_decode(d, b.slots, b.n_slots, 40);
    for (int i = 0; i < b.n_slots; i++) {
        const int32_t *tokens = r->tokens + (size_t)i * 40;
        float *logp = distributions(d, b.groups[0], tokens, 40);
        for (int t = 0; t < 40; t++) {
            double behaviour, near;
            const int want = reference_draw(logp + (size_t)t * (size_t)d->cfg.n_vocab, d->cfg.n_vocab, s,
                                            vt_philox_uniform(b.slots[i]->seed, 0, (uint64_t)t), &behaviour, &near);
            if (near < 5e-3) { /* sampler and scorer round differently in fast mode */
                n_near++;
                continue;
            }
            n_checked++;
            n_wrong += tokens[t] != want;
            if (tokens[t] == want)
                worst = fmax(worst, fabs((double)r->behaviour[i * 40 + t] - behaviour));
        }
        free(logp);
    }
    printf("  draws, %-28s %d of %d differ, %d near an edge; worst |d behaviour| %.1e\n", name, n_wrong, n_checked,
           n_near, worst);
    CHECK_INT(n_wrong, 0);
    CHECK(n_checked > 100);
    CHECK(worst < 0.1);
    draws_free(r);
    free_batch(d, &b);
}

static void draws(void)
{
    NEED_GPU();
    static const int32_t banned[] = {3, 17, 18, 40, 88};
    struct model m;
    if (!open_tiny(&m, "qwen3"))
        return;
    const struct {
        const char *name;
        struct vt_sampling s;
    } kinds[] = {{"temperature 1", {.temperature = 1, .top_p = 1}},
                 {"argmax", {.temperature = 0, .top_p = 1}},
                 {"bans", {.temperature = 1, .top_p = 1, .banned = banned, .n_banned = 5}}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        check_draws(&m.d, &kinds[i].s, kinds[i].name);
    close_model(&m);
}

/* --- stops, sizes, refusals --- */

static void stops(void)
{
    NEED_GPU();
    static const int lengths[] = {70};
    const struct vt_sampling s = {.temperature = 1, .top_p = 1};
    struct model m;
    struct batch b;
    if (!open_tiny(&m, "llama"))
        return;
    make_batch(&m.d, &b, lengths, 1, 4, &s, 30, 3);
    struct draws *all = direct_decode(&m.d, b.slots, 4, 30);
    /* The same sample with its eleventh token as a stop id ends where that id first came. */
    const int32_t stop = all->tokens[10];
    int first = 0;
    while (all->tokens[first] != stop)
        first++;
    vt_lm_slot *slots[2] = {direct_slot(&m.d, b.groups[0], b.slots[0]->seed, &s, 30, &stop, 1),
                            direct_slot(&m.d, b.groups[0], b.slots[1]->seed, &s, 5, NULL, 0)};
    struct draws *r = direct_decode(&m.d, slots, 2, 30);
    CHECK_INT(r->n_out[0], first + 1);
    CHECK_INT(r->finished[0], 1);
    CHECK_INT(r->n_out[1], 5);
    CHECK_INT(r->finished[1], 2);
    struct draws *more = direct_decode(&m.d, slots, 2, 3); /* nothing moves on */
    CHECK_INT(more->n_out[0], 0);
    CHECK_INT(more->finished[0], 1);
    CHECK_INT(more->n_out[1], 0);
    CHECK_INT(more->finished[1], 2);
    draws_free(all);
    draws_free(r);
    draws_free(more);
    direct_slot_free(&m.d, slots[0]);
    direct_slot_free(&m.d, slots[1]);
    free_batch(&m.d, &b);
    close_model(&m);
}

/* A batch of 200 samples over 13 groups of every length from 1 to 150 tokens; a score in pieces of few rows gives the
 * same values as one in one piece. */
static void many(void)
{
    NEED_GPU();
    enum { GROUPS = 13, EACH = 15, N = GROUPS * EACH, NEW = 70 };
    const struct vt_sampling s = {.temperature = 1, .top_p = 1};
    static vt_lm_group *groups[GROUPS];
    static vt_lm_slot *slots[N];
    static struct vt_lm_score_row rows[N];
    struct model m;
    struct gap gap = {0};
    uint32_t state = 3;
    int32_t prompt[160];
    if (!open_tiny(&m, "qwen2"))
        return;
    for (int g = 0; g < GROUPS; g++) {
        for (int i = 0; i < 160; i++)
            prompt[i] = (int32_t)(next_random(&state) % 90);
        groups[g] = direct_group(&m.d, prompt, 1 + 12 * g, NULL);
        for (int i = 0; i < EACH; i++)
            slots[g * EACH + i] = direct_slot(&m.d, groups[g], (uint64_t)(g * EACH + i), &s, NEW - i, NULL, 0);
    }
    struct draws *r = direct_decode(&m.d, slots, N, NEW);
    float *values = vt_alloc_array((size_t)N * NEW, sizeof *values);
    for (int i = 0; i < N; i++) {
        CHECK_INT(r->n_out[i], NEW - i % EACH);
        rows[i] = (struct vt_lm_score_row){.group = slots[i]->group,
                                           .tokens = r->tokens + (size_t)i * NEW,
                                           .n = r->n_out[i],
                                           .targets = r->tokens + (size_t)i * NEW,
                                           .logprob = values + (size_t)i * NEW};
    }
    direct_score(&m.d, rows, N, 1);
    for (int i = 0; i < N; i++)
        for (int t = 0; t < r->n_out[i]; t++)
            gap_add(&gap, r->logprob[(size_t)i * NEW + (size_t)t], (double)values[(size_t)i * NEW + (size_t)t]);
    gap_print("195 samples of 13 groups: sampler - scorer", &gap);
    CHECK(gap.sum / gap.n <= 2e-2);
    free(values);
    draws_free(r);
    for (int i = 0; i < N; i++)
        direct_slot_free(&m.d, slots[i]);
    for (int g = 0; g < GROUPS; g++)
        direct_group_free(&m.d, groups[g]);
    close_model(&m);
}

static const struct test_case cases[] = {TEST(golden_tiny), TEST(sampler_tiny),   TEST(draws),          TEST(stops),
                                         TEST(many),        TEST(golden_default), TEST(sampler_default)};
TEST_MAIN(cases)
