/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_equal.c: the promise that selection and training rest on, bit for bit: the logprob that decode reports is the
 * one that score and the training forward compute, whatever the batch size, the batch mates, the chunking, the number
 * of threads and the adapters beside it; and a sample depends on its own seed and prompt only. For every instruction
 * set of this machine, in both precisions, on tiny models, and on the default model when it is here. The best
 * instruction set runs every tiny model, each other one a model of its own; these and the default model have fewer
 * batch sizes and one other number of threads. VEGTTT_FULL=1 runs all with all. Under a sanitizer: plain C and the best
 * instruction set, on one model.
 */
#include "harness.h"

#include "cpu_lm_common.h"

enum { N_GROUPS = 6, PER_GROUP = 11, MOST = N_GROUPS * PER_GROUP, MAX_NEW = 80 };

struct sample {
    int group, n;
    uint64_t seed;
    int32_t tokens[MAX_NEW];
    float logprob[MAX_NEW], behaviour[MAX_NEW];
    int finished;
};

struct world {
    struct model m;
    int adapter[2]; /* ids; 0 is the base */
    int32_t prompts[N_GROUPS][200];
    int n_prompt[N_GROUPS];
    vt_lm_group *groups[N_GROUPS];
};

static const int prompt_lengths[N_GROUPS] = {1, 64, 70, 130, 63, 128};

static int put_random_adapter(vt_lm *lm, uint64_t seed)
{
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    int id = 0;
    uint32_t state = (uint32_t)seed;
    CHECK_OK(vt_adapter_new(vt_lm_cfg(lm), 4, 8, 0xff, seed, &a, &err), err);
    for (size_t i = 0; a && i < a->n_params; i++)
        if (a->params[i] == 0)
            a->params[i] = ((float)(next_random(&state) % 2001) - 1000) * 1e-4f;
    CHECK_OK(vt_lm_adapter_put(lm, a, &id, &err), err);
    vt_adapter_free(a);
    return id;
}

static int group_adapter(const struct world *w, int group)
{
    return group % 3 == 0 ? 0 : w->adapter[group % 3 - 1];
}

static bool world_open(struct world *w, const char *path, enum vt_lm_precision p, const char *isa, int n_threads,
                       int pass_rows)
{
    if (!open_model(&w->m, path, p, isa, n_threads)) {
        close_model(&w->m);
        return false;
    }
    cpu_of(w->m.lm)->pass_rows = pass_rows;
    for (int i = 0; i < 2; i++)
        w->adapter[i] = put_random_adapter(w->m.lm, 11 + (uint64_t)i);
    for (int g = 0; g < N_GROUPS; g++) {
        uint32_t state = 77u + (uint32_t)g;
        w->n_prompt[g] = prompt_lengths[g];
        for (int i = 0; i < w->n_prompt[g]; i++)
            w->prompts[g][i] = (int32_t)(next_random(&state) % (uint32_t)vt_lm_cfg(w->m.lm)->n_vocab);
        w->groups[g] = prefill(w->m.lm, w->prompts[g], w->n_prompt[g], group_adapter(w, g));
    }
    return true;
}

static void world_close(struct world *w)
{
    for (int g = 0; g < N_GROUPS; g++)
        vt_lm_group_close(w->m.lm, w->groups[g]);
    close_model(&w->m);
}

/* Sample number i: lengths and settings vary, so that slots end at different steps. */
static struct sample sample_of(int i)
{
    return (struct sample){.group = i % N_GROUPS, .seed = 1000u + (uint64_t)i};
}

static vt_lm_slot *open_slot(struct world *w, const struct sample *s, int max_new)
{
    const int kind = (int)(s->seed % 4), max_tokens = 1 + (int)(s->seed * 37 % (uint64_t)max_new);
    const struct vt_sampling sampling = {.temperature = kind == 3 ? 0.0f : 0.7f,
                                         .top_p = kind == 1 ? 0.9f : 1.0f,
                                         .top_k = kind == 2 ? 20 : 0,
                                         .min_p = kind == 1 ? 0.02f : 0.0f};
    vt_lm_slot *slot = NULL;
    vt_err err = {0};
    CHECK_OK(vt_lm_slot_open(w->m.lm, w->groups[s->group], s->seed, &sampling, max_tokens, NULL, 0, &slot, &err), err);
    return slot;
}

/* Decodes n samples together, n_steps a job, until all are finished. */
static void decode_all(struct world *w, struct sample *s, int n, int n_steps, int max_new)
{
    vt_lm_slot *slots[MOST];
    int n_out[MOST];
    unsigned char finished[MOST];
    int32_t *tokens = vt_alloc_array((size_t)(n * n_steps), sizeof *tokens);
    float *logprob = vt_alloc_array((size_t)(n * n_steps), sizeof *logprob),
          *behaviour = vt_alloc_array((size_t)(n * n_steps), sizeof *behaviour);
    vt_err err = {0};
    for (int i = 0; i < n; i++)
        slots[i] = open_slot(w, &s[i], max_new);
    for (int left = n; left > 0;) {
        struct vt_lm_job job = {.kind = VT_LM_DECODE,
                                .decode = {.slots = slots,
                                           .n_slots = n,
                                           .n_steps = n_steps,
                                           .tokens = tokens,
                                           .logprob = logprob,
                                           .logprob_behaviour = behaviour,
                                           .n_out = n_out,
                                           .finished = finished}};
        CHECK_OK(vt_lm_run(w->m.lm, &job, &err), err);
        if (job.status != VT_OK)
            break;
        left = 0;
        for (int i = 0; i < n; i++) {
            for (int t = 0; t < n_out[i]; t++, s[i].n++) {
                s[i].tokens[s[i].n] = tokens[i * n_steps + t];
                s[i].logprob[s[i].n] = logprob[i * n_steps + t];
                s[i].behaviour[s[i].n] = behaviour[i * n_steps + t];
            }
            s[i].finished = finished[i];
            left += !finished[i];
        }
    }
    for (int i = 0; i < n; i++)
        vt_lm_slot_close(w->m.lm, slots[i]);
    free(tokens);
    free(logprob);
    free(behaviour);
}

static int n_unequal(const float *a, const float *b, int n)
{
    int bad = 0;
    for (int i = 0; i < n; i++)
        bad += memcmp(&a[i], &b[i], sizeof a[i]) != 0;
    return bad;
}

/* All samples scored in one job. */
static int score_differs(struct world *w, const struct sample *s, int n)
{
    vt_lm_group *groups[MOST];
    const int32_t *tokens[MOST];
    int lengths[MOST], bad = 0;
    float *out[MOST];
    for (int i = 0; i < n; i++) {
        groups[i] = w->groups[s[i].group];
        tokens[i] = s[i].tokens;
        lengths[i] = s[i].n;
        out[i] = vt_alloc_array((size_t)s[i].n, sizeof(float));
    }
    score_rows(w->m.lm, groups, tokens, lengths, n, out);
    for (int i = 0; i < n; i++) {
        bad += n_unequal(out[i], s[i].logprob, s[i].n);
        free(out[i]);
    }
    return bad;
}

/* The samples of one group through the training forward, together and one by one. */
static int forward_differs(struct world *w, const struct sample *s, int n, int group, bool pack)
{
    struct seq seqs[MOST];
    int n_seqs = 0, bad = 0, of[MOST];
    for (int i = 0; i < n; i++) {
        if (s[i].group != group)
            continue;
        struct seq *q = &seqs[n_seqs];
        of[n_seqs++] = i;
        *q = (struct seq){.prompt = w->prompts[group], .n_prompt = w->n_prompt[group], .n = s[i].n};
        q->tokens = (int32_t *)(uintptr_t)s[i].tokens;
        q->w = vt_alloc_array((size_t)s[i].n, sizeof *q->w);
        q->logp = vt_alloc_array((size_t)s[i].n, sizeof *q->logp);
    }
    if (n_seqs)
        (void)train(w->m.lm, seqs, n_seqs, group_adapter(w, group), pack, NULL);
    for (int i = 0; i < n_seqs; i++) {
        bad += n_unequal(seqs[i].logp, s[of[i]].logprob, s[of[i]].n);
        free(seqs[i].w);
        free(seqs[i].logp);
    }
    return bad;
}

static int samples_differ(const struct sample *a, const struct sample *b, int n)
{
    int bad = 0;
    for (int i = 0; i < n; i++)
        bad += a[i].n != b[i].n || a[i].finished != b[i].finished ||
               memcmp(a[i].tokens, b[i].tokens, (size_t)a[i].n * 4) != 0 ||
               n_unequal(a[i].logprob, b[i].logprob, a[i].n) || n_unequal(a[i].behaviour, b[i].behaviour, a[i].n);
    return bad;
}

/* The batch size to try after n: 1 to 8, then doubled; of few, 1, 8 and 64. */
static int next_size(int n, bool is_few)
{
    return is_few ? n * 8 : n < 8 ? n + 1 : n * 2;
}

static void check_world(const char *path, enum vt_lm_precision p, const char *isa, int max_new, bool is_few)
{
    static struct sample all[MOST], some[MOST];
    struct world w = {0};
    if (!world_open(&w, path, p, isa, 2, VT_PASS_ROWS))
        return;
    for (int i = 0; i < MOST; i++)
        all[i] = sample_of(i);
    decode_all(&w, all, MOST, 8, max_new);
    CHECK_INT(score_differs(&w, all, MOST), 0);
    for (int g = 0; g < N_GROUPS; g++) {
        CHECK_INT(forward_differs(&w, all, MOST, g, true), 0);
        CHECK_INT(forward_differs(&w, all, MOST, g, false), 0);
    }
    for (int n = 1; n <= 64; n = next_size(n, is_few)) { /* the last n in a batch of their own, other steps a job */
        for (int i = 0; i < n; i++)
            some[i] = sample_of(MOST - n + i);
        decode_all(&w, some, n, 5, max_new);
        CHECK_INT(samples_differ(some, all + MOST - n, n), 0);
        CHECK_INT(score_differs(&w, some, n), 0);
    }
    world_close(&w);
    for (int threads = 1; threads <= (is_few ? 1 : 3);
         threads += 2) { /* prompts and completions chopped into odd pieces */
        if (!world_open(&w, path, p, isa, threads, threads == 1 ? 7 : 50))
            return;
        CHECK_INT(score_differs(&w, all, MOST), 0);
        for (int i = 0; i < MOST; i++)
            some[i] = sample_of(i);
        decode_all(&w, some, MOST, 13, max_new);
        CHECK_INT(samples_differ(some, all, MOST), 0);
        world_close(&w);
    }
}

static void tiny_everywhere(void)
{
    static const char *const names[] = {"llama", "qwen2", "qwen3"};
    char path[512];
    for (int k = 0; vt_kernels_at(k); k++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            const bool is_best = !vt_kernels_at(k + 1);
            if (IS_SANITIZED ? i != 2 || (k > 0 && !is_best) : !is_full() && !is_best && i != (size_t)k % 3)
                continue;
            for (int p = VT_LM_FAST; p <= VT_LM_F32; p++) {
                snprintf(path, sizeof path, "%s/%s", GOLDEN("tiny"), names[i]);
                check_world(path, (enum vt_lm_precision)p, vt_kernels_at(k)->name, MAX_NEW, !is_full() && !is_best);
            }
        }
}

static void default_model(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    if (IS_SANITIZED)
        SKIP("under a sanitizer the tiny models take the same paths");
    check_world(model_path(), VT_LM_FAST, NULL, 20, !is_full());
}

static const struct test_case cases[] = {TEST(tiny_everywhere), TEST(default_model)};
TEST_MAIN(cases)
