/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_emulated.c: the CUDA backend where there is no GPU: its host code and its kernels, run on this CPU by a double
 * of the driver (driver.cc), against the CPU backend: a training batch whose completions share prompts, what it scores
 * apart, samples and what they score, on a card before Hopper and on one like it, whose kernels are others; and a model
 * on two devices (lm_many.h) against itself on one. The bars are those of tests/gpu/check_train.c, which does more on a
 * card. x86-64, as the fibers are.
 */
#include "harness.h"

#include "cpu_lm_common.h"
#include "cuda/cuda.h"
#include "model/lm_many.h"

static const struct vt_lm_ops *const both[] = {&vt_lm_cuda_ops, &vt_lm_cpu_ops, NULL};
enum { N = 3, PROMPT = 70, VALUES = 16, STEPS = 3, SLOTS = 2 };
static const int lengths[N] = {9, 1, 6};

static bool open_on(struct model *m, const char *backend, uint64_t devices)
{
    vt_err err = {0};
    const struct vt_lm_opts o = {
        .backends = both, .backend = backend, .max_memory = (uint64_t)768 << 20, .devices = devices};
    memset(m, 0, sizeof *m);
    CHECK_OK(vt_ckpt_open(GOLDEN("tiny/llama"), &m->ckpt, &err), err);
    if (m->ckpt)
        CHECK_OK(vt_lm_open(m->ckpt, &o, &m->lm, &err), err);
    return m->lm != NULL;
}

/* Log-probabilities of the batch and its gradient; *n_differ: values that are others when a sequence is scored alone.
 */
static float *run_batch(vt_lm *lm, int id, float logp[VALUES], int *n_differ)
{
    struct seq s[N];
    vt_lm_grad *g = NULL;
    int at = 0;
    for (int i = 0; i < N; i++)
        random_seq(&s[i], vt_lm_cfg(lm)->n_vocab, i == 2, i == 2 ? 3 : PROMPT, i, lengths[i]);
    (void)train(lm, s, N, id, true, &g);
    float *grad = grad_floats(lm, g);
    vt_lm_grad_free(lm, g);
    for (int i = 0; i < N; i++) {
        for (int t = 0; t < s[i].n; t++)
            logp[at + t] = s[i].logp[t];
        score_seq(lm, &s[i], id);
        for (int t = 0; t < s[i].n; t++)
            *n_differ += s[i].logp[t] != logp[at + t];
        at += s[i].n;
        free_seq(&s[i]);
    }
    return grad;
}

static void sample_and_score(vt_lm *lm, int id)
{
    static int32_t tokens[SLOTS][STEPS], prompt[PROMPT];
    static float logp[SLOTS][STEPS], behaviour[SLOTS][STEPS], scored[SLOTS][STEPS];
    const struct vt_sampling sampling = {.temperature = 1, .top_p = 1};
    vt_lm_slot *slots[SLOTS];
    vt_lm_group *group_of[SLOTS];
    const int32_t *rows[SLOTS];
    float *out[SLOTS];
    int n_out[SLOTS], n[SLOTS];
    unsigned char finished[SLOTS];
    struct gap g = {0};
    vt_err err = {0};
    uint32_t state = 77;
    for (int t = 0; t < PROMPT; t++)
        prompt[t] = (int32_t)(next_random(&state) % (uint32_t)vt_lm_cfg(lm)->n_vocab);
    vt_lm_group *group = prefill(lm, prompt, PROMPT, id);
    for (int i = 0; i < SLOTS; i++) {
        CHECK_OK(vt_lm_slot_open(lm, group, (uint64_t)i, &sampling, STEPS, NULL, 0, &slots[i], &err), err);
        group_of[i] = group;
        rows[i] = tokens[i];
        out[i] = scored[i];
        n[i] = STEPS;
    }
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = slots,
                                       .n_slots = SLOTS,
                                       .n_steps = STEPS,
                                       .tokens = tokens[0],
                                       .logprob = logp[0],
                                       .logprob_behaviour = behaviour[0],
                                       .n_out = n_out,
                                       .finished = finished}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    score_rows(lm, group_of, rows, n, SLOTS, out);
    for (int i = 0; i < SLOTS; i++) {
        CHECK_INT(n_out[i], STEPS);
        gap_add(&g, logp[i], scored[i], STEPS);
        vt_lm_slot_close(lm, slots[i]);
    }
    vt_lm_group_close(lm, group);
    printf("  sampler - scorer: mean %.1e max %.1e\n", gap_mean(&g), g.max);
    CHECK(gap_mean(&g) <= 5e-2);
}

static void run_card(void)
{
    struct model gpu, cpu;
    float got[VALUES], want[VALUES];
    struct gap g = {0};
    vt_err err = {0};
    int n_differ = 0, unused = 0, id = 0;
    if (!open_on(&gpu, "cuda", 0) || !open_on(&cpu, "cpu", 0))
        return;
    struct vt_adapter *a = random_adapter(vt_lm_cfg(gpu.lm), 4, 9);
    CHECK_OK(vt_lm_adapter_put(gpu.lm, a, &id, &err), err);
    float *x = run_batch(gpu.lm, id, got, &n_differ);
    sample_and_score(gpu.lm, id);
    CHECK_OK(vt_lm_adapter_put(cpu.lm, a, &id, &err), err);
    float *y = run_batch(cpu.lm, id, want, &unused);
    gap_add(&g, got, want, VALUES);
    CHECK(gap_mean(&g) <= 0.05);
    CHECK_INT(n_differ, 0);
    if (x && y) {
        const struct likeness l = compare(x, y, a->n_params);
        printf("  |dlogp| mean %.1e max %.1e; gradients cosine %.5f, norm %.4f\n", gap_mean(&g), g.max, l.cosine,
               l.norm);
        CHECK(l.cosine >= 0.99);
        CHECK(fabs(l.norm - 1) <= 0.03);
    }
    free(x);
    free(y);
    vt_adapter_free(a);
    close_model(&gpu);
    close_model(&cpu);
}

/* The batch in more shards than it has prompts, on one and on two devices: the same gradient, bit for bit. */
static void devices(void)
{
    float *grad[2] = {NULL}, values[2][VALUES];
    size_t n = 0;
    (void)setenv("EMULATED_HOPPER", "1", 1);
    for (int i = 0; i < 2; i++) {
        struct model m;
        vt_err err = {0};
        int n_differ = 0, id = 0;
        if (!open_on(&m, "cuda", i ? 3 : 1))
            return;
        ((struct vt_lm_many *)m.lm->be)->shard_rows = 6;
        ((struct vt_lm_many *)m.lm->be)->shard_prompts = 0;
        struct vt_adapter *a = random_adapter(vt_lm_cfg(m.lm), 4, 9);
        CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
        grad[i] = run_batch(m.lm, id, values[i], &n_differ);
        CHECK_INT(n_differ, 0);
        sample_and_score(m.lm, id);
        n = a->n_params;
        vt_adapter_free(a);
        close_model(&m);
    }
    CHECK_INT(memcmp(values[0], values[1], sizeof values[0]), 0);
    CHECK(grad[0] && grad[1] && memcmp(grad[0], grad[1], n * sizeof(float)) == 0);
    free(grad[0]);
    free(grad[1]);
}

static void ampere(void)
{
    (void)unsetenv("EMULATED_HOPPER");
    run_card();
}

static void hopper(void)
{
    (void)setenv("EMULATED_HOPPER", "1", 1);
    run_card();
}

static const struct test_case cases[] = {TEST(ampere), TEST(hopper), TEST(devices)};
TEST_MAIN(cases)
