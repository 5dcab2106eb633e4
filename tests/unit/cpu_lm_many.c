/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_many.c: one model on several devices (model/lm_many.h), with the CPU backend opened once a device: N ranks in
 * one process. What they give together is compared bit for bit with one rank, and with the backend alone: values of a
 * training batch, gradients, adapters after Adam, samples, scores. Then how batches are cut and dealt, and what a
 * device does to the run that falls out of it.
 */
#include "harness.h"

#include "base/clock.h"
#include "cpu_lm_common.h"
#include "model/lm_many.h"

enum { RANKS = 4, SEQS = 11, STEPS = 3 };
static const int lengths[SEQS] = {9, 1, 6, 2, 17, 5, 8, 4, 13, 3, 7};
static const int prompt_of[SEQS] = {0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 3};
static const int prompt_lengths[] = {70, 5, 64, 3};

/* --- the backend, many times --- */

static int failing_device = -1, differing_device = -1;
static enum vt_lm_precision precision = VT_LM_F32;
static void *be_of[RANKS];

static vt_status any_device(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    (void)ckpt;
    (void)o;
    (void)err;
    return VT_OK;
}

static vt_status open_rank(const vt_ckpt *ckpt, const struct vt_lm_opts *o, struct vt_lm_limits *limits,
                           uint64_t *max_memory, void **be, vt_err *err)
{
    VT_TRY(vt_lm_cpu_ops.open(ckpt, o, limits, max_memory, be, err));
    be_of[o->device] = *be;
    return VT_OK;
}

static vt_status backward(void *be, struct vt_lm_work *w, vt_err *err)
{
    if (failing_device >= 0 && be == be_of[failing_device])
        return vt_fail(err, VT_EIO, "the driver says UNPLUGGED");
    return vt_lm_cpu_ops.backward(be, w, err);
}

static vt_status adam(void *be, struct vt_lm_adapter *a, const vt_lm_grad *g, const struct vt_adam *o, double *norm,
                      vt_err *err)
{
    VT_TRY(vt_lm_cpu_ops.adam(be, a, g, o, norm, err));
    if (differing_device >= 0 && be == be_of[differing_device])
        *norm *= 1 + 1e-15;
    return VT_OK;
}

static struct vt_lm_ops rank_ops;
static const struct vt_lm_ops *const ranks_only[] = {&rank_ops, NULL};

/* n_ranks 0: the backend alone. shard_rows 0: as it comes. */
static vt_lease *lease;

static bool open_ranks(struct model *m, int n_ranks, int shard_rows)
{
    vt_err err = {0};
    const struct vt_lm_opts o = {.backends = ranks_only,
                                 .n_threads = 1,
                                 .precision = precision,
                                 .max_memory = (uint64_t)1 << 30,
                                 .lease = lease,
                                 .devices = n_ranks ? ((uint64_t)1 << n_ranks) - 1 : 0};
    rank_ops = vt_lm_cpu_ops;
    rank_ops.probe = any_device;
    rank_ops.open = open_rank;
    rank_ops.backward = backward;
    rank_ops.adam = adam;
    failing_device = differing_device = -1;
    memset(m, 0, sizeof *m);
    CHECK_OK(vt_ckpt_open(GOLDEN("tiny/llama"), &m->ckpt, &err), err);
    if (m->ckpt)
        CHECK_OK(vt_lm_open(m->ckpt, &o, &m->lm, &err), err);
    if (m->lm && n_ranks && shard_rows) {
        ((struct vt_lm_many *)m->lm->be)->shard_rows = shard_rows;
        ((struct vt_lm_many *)m->lm->be)->shard_prompts = 0;
    }
    return m->lm != NULL;
}

static int put_adapter(vt_lm *lm)
{
    struct vt_adapter *a = random_adapter(vt_lm_cfg(lm), 4, 9);
    vt_err err = {0};
    int id = 0;
    CHECK_OK(vt_lm_adapter_put(lm, a, &id, &err), err);
    vt_adapter_free(a);
    return id;
}

/* --- training --- */

static void make_batch(struct seq *s, int n_vocab)
{
    for (int i = 0; i < SEQS; i++) {
        random_seq(&s[i], n_vocab, prompt_of[i], prompt_lengths[prompt_of[i]], i, lengths[i]);
        for (int t = 0; t < lengths[i] && prompt_of[i] == 2; t++)
            s[i].w[t] = 0; /* one shard without weights */
    }
}

struct outcome {
    float logp[128], *grad;
    int n;
    struct vt_adapter *after;
};

static const struct vt_adam step_of = {.lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};

/* A batch, whose gradient is that of twice itself, and some steps. */
static struct outcome train_ranks(int n_ranks, int shard_rows)
{
    struct outcome out = {.n = 0};
    struct seq s[SEQS];
    struct model m;
    vt_err err = {0};
    if (!open_ranks(&m, n_ranks, shard_rows))
        return out;
    const int id = put_adapter(m.lm);
    make_batch(s, vt_lm_cfg(m.lm)->n_vocab);
    for (int step = 0; step < STEPS; step++) {
        vt_lm_grad *g = NULL;
        double norm;
        (void)train(m.lm, s, SEQS, id, true, &g);
        (void)train(m.lm, s, SEQS, id, true, &g);
        if (step == 0) {
            out.grad = grad_floats(m.lm, g);
            for (int i = 0; i < SEQS; i++)
                for (int t = 0; t < s[i].n; t++)
                    out.logp[out.n++] = s[i].logp[t];
        }
        CHECK_OK(vt_lm_adam(m.lm, id, g, &step_of, &norm, &err), err);
        vt_lm_grad_free(m.lm, g);
    }
    CHECK_OK(vt_lm_adapter_get(m.lm, id, &out.after, &err), err);
    for (int i = 0; i < SEQS; i++)
        free_seq(&s[i]);
    close_model(&m);
    return out;
}

static void free_outcome(struct outcome *o)
{
    free(o->grad);
    vt_adapter_free(o->after);
}

/* What one rank gives, any number gives: a sum in the order of the devices would differ in last places. */
static void same_bits(int shard_rows)
{
    struct outcome alone = train_ranks(0, 0), one = train_ranks(1, shard_rows);
    if (!alone.after || !one.after)
        return;
    const size_t n = one.after->n_params;
    CHECK_INT(memcmp(alone.logp, one.logp, (size_t)one.n * sizeof(float)), 0);
    const struct likeness l = compare(one.grad, alone.grad, n);
    CHECK(l.rel < (precision == VT_LM_FAST ? 1e-2 : 1e-5));
    CHECK(l.rel > 0 || shard_rows == 0); /* another order than the backend's own */
    for (int ranks = 2; ranks <= RANKS; ranks++) {
        struct outcome many = train_ranks(ranks, shard_rows);
        CHECK_INT(many.n, one.n);
        CHECK_INT(memcmp(many.logp, one.logp, (size_t)one.n * sizeof(float)), 0);
        CHECK_INT(memcmp(many.grad, one.grad, n * sizeof(float)), 0);
        CHECK_INT(memcmp(many.after->params, one.after->params, n * sizeof(float)), 0);
        CHECK_INT(memcmp(many.after->v, one.after->v, n * sizeof(float)), 0);
        free_outcome(&many);
    }
    free_outcome(&alone);
    free_outcome(&one);
}

static void prompts_as_shards(void)
{
    same_bits(0);
}

static void cut_prompts(void)
{
    same_bits(8);
}

/* Operands of a backward are rounded to bf16 there, so that it matters what stands in a shard beside a sequence. */
static void cut_prompts_fast(void)
{
    precision = VT_LM_FAST;
    same_bits(8);
    precision = VT_LM_F32;
}

/* Several targets a position, some absent: a shard's share of the flat arrays has holes. */
static void targets(void)
{
    enum { K = 2, N = 4, LENGTH = 5 };
    static const int32_t prompt[40] = {3, 1, 4, 1, 5};
    int32_t tokens[N][LENGTH], target[N][LENGTH * K];
    float logp[3][N][LENGTH * K], w[N][LENGTH * K], *grad[3] = {NULL};
    const int32_t *rows[N], *wanted[N];
    const float *weights[N];
    const float *const *by_batch = weights;
    const int n[N] = {LENGTH, LENGTH, LENGTH, LENGTH};
    size_t n_params = 0;
    for (int i = 0; i < N; i++)
        for (int t = 0; t < LENGTH; t++) {
            tokens[i][t] = 7 * i + t;
            for (int j = 0; j < K; j++) {
                target[i][t * K + j] = (i + t + j) % 3 == 0 ? -1 : tokens[i][t] + j;
                w[i][t * K + j] = (float)(i - t + j) / 4;
            }
        }
    for (int ranks = 0; ranks < 3; ranks++) {
        struct model m;
        vt_err err = {0};
        float *out[N];
        if (!open_ranks(&m, ranks, 8))
            return;
        const int id = put_adapter(m.lm);
        for (int i = 0; i < N; i++) {
            rows[i] = tokens[i];
            wanted[i] = target[i];
            weights[i] = w[i];
            out[i] = logp[ranks][i];
        }
        const struct vt_lm_prompt_batch batch = {
            .prompt = prompt, .n_prompt = 40, .tokens = rows, .n = n, .n_rows = N, .targets = wanted, .logprob = out};
        struct vt_lm_job job = {.kind = VT_LM_FORWARD,
                                .forward = {.adapter = id, .k = K, .batches = &batch, .n_batches = 1}};
        CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
        job = (struct vt_lm_job){.kind = VT_LM_BACKWARD, .backward = {.tape = job.forward.tape, .w = &by_batch}};
        CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
        CHECK_OK(vt_lm_grad_read(m.lm, job.backward.grad, &grad[ranks], &n_params, &err), err);
        vt_lm_grad_free(m.lm, job.backward.grad);
        close_model(&m);
    }
    CHECK_INT(memcmp(logp[1], logp[0], sizeof logp[0]), 0);
    CHECK_INT(memcmp(logp[2], logp[0], sizeof logp[0]), 0);
    CHECK(compare(grad[1], grad[0], n_params).rel < 1e-5);
    CHECK_INT(memcmp(grad[2], grad[1], n_params * sizeof(float)), 0);
    for (int i = 0; i < 3; i++)
        free(grad[i]);
}

/* A prompt of 600 with 32 x 295 rows behind it is two shards of the size that comes; a short one's are 4,096 rows. */
static void cutting(void)
{
    struct model m;
    if (!open_ranks(&m, 2, 0))
        return;
    const struct vt_lm_many *many = m.lm->be;
    CHECK_INT(vt_lm_many_shards(many, 600, 32 * 295, 32), 2);
    CHECK_INT(vt_lm_many_shards(many, 10, 4096, 32), 1);
    CHECK_INT(vt_lm_many_shards(many, 10, 4097, 32), 2);
    CHECK_INT(vt_lm_many_shards(many, 10, 9000, 2), 2); /* no more than there are completions */
    CHECK_INT(vt_lm_many_shards(many, 10, 0, 0), 1);
    close_model(&m);
}

/* --- sampling --- */

enum { GROUPS = 5, EACH = 3, SLOTS = GROUPS * EACH, NEW = 6 };

struct samples {
    int32_t tokens[SLOTS][NEW];
    float logp[SLOTS][NEW], scored[SLOTS][NEW], entropy[SLOTS * NEW];
};

static void sample_ranks(int n_ranks, struct samples *out)
{
    const struct vt_sampling sampling = {.temperature = 1, .top_p = 1};
    static float behaviour[SLOTS][NEW];
    vt_lm_group *groups[GROUPS], *group_of[SLOTS];
    vt_lm_slot *slots[SLOTS];
    const int32_t *rows[SLOTS];
    float *scored[SLOTS];
    int n_out[SLOTS], n[SLOTS];
    unsigned char finished[SLOTS];
    struct model m;
    vt_err err = {0};
    if (!open_ranks(&m, n_ranks, 0))
        return;
    const int id = put_adapter(m.lm);
    for (int g = 0; g < GROUPS; g++) {
        const int32_t prompt[4] = {g, 2 * g + 1, 9, 30 - g};
        groups[g] = prefill(m.lm, prompt, 4, id);
    }
    for (int i = 0; i < n_ranks; i++) /* the fewest prompts first: 3 and 2, 2 2 1, 2 1 1 1 */
        CHECK_INT(((struct vt_lm_many *)m.lm->be)->replicas[i].n_groups, (GROUPS + n_ranks - 1 - i) / n_ranks);
    for (int i = 0; i < SLOTS; i++) { /* neighbours of different groups */
        group_of[i] = groups[i % GROUPS];
        CHECK_OK(vt_lm_slot_open(m.lm, group_of[i], (uint64_t)i, &sampling, NEW, NULL, 0, &slots[i], &err), err);
        rows[i] = out->tokens[i];
        scored[i] = out->scored[i];
        n[i] = NEW;
    }
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = slots,
                                       .n_slots = SLOTS,
                                       .n_steps = NEW,
                                       .tokens = out->tokens[0],
                                       .logprob = out->logp[0],
                                       .logprob_behaviour = behaviour[0],
                                       .n_out = n_out,
                                       .finished = finished,
                                       .extra = {.entropy = out->entropy}}};
    CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
    score_rows(m.lm, group_of, rows, n, SLOTS, scored);
    for (int i = 0; i < SLOTS; i++) {
        CHECK_INT(n_out[i], NEW);
        CHECK_INT(finished[i], 2);
        vt_lm_slot_close(m.lm, slots[i]);
    }
    for (int g = 0; g < GROUPS; g++)
        vt_lm_group_close(m.lm, groups[g]);
    for (int i = 0; i < n_ranks; i++)
        CHECK_INT(((struct vt_lm_many *)m.lm->be)->replicas[i].n_groups, 0);
    close_model(&m);
}

static void sampling(void)
{
    static struct samples alone, many;
    sample_ranks(0, &alone);
    CHECK_INT(memcmp(alone.logp, alone.scored, sizeof alone.logp), 0);
    for (int ranks = 1; ranks <= RANKS; ranks++) {
        memset(&many, 0, sizeof many);
        sample_ranks(ranks, &many);
        CHECK_INT(memcmp(&many, &alone, sizeof many), 0);
    }
}

/* A device takes at most its own slots at once: what is more waits for its turn there. */
static void turns(void)
{
    enum { N = 5 };
    const struct vt_sampling greedy = {.temperature = 0, .top_p = 1};
    static const int32_t prompt[3] = {1, 2, 3};
    int32_t tokens[N][2];
    float logp[N][2], behaviour[N][2];
    int n_out[N];
    unsigned char finished[N];
    vt_lm_slot *slots[N];
    struct model m;
    vt_err err = {0};
    if (!open_ranks(&m, 2, 0))
        return;
    ((struct vt_lm_many *)m.lm->be)->replicas[0].limits.max_slots = 2;
    vt_lm_group *g = prefill(m.lm, prompt, 3, 0);
    for (int i = 0; i < N; i++)
        CHECK_OK(vt_lm_slot_open(m.lm, g, 0, &greedy, 2, NULL, 0, &slots[i], &err), err);
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = slots,
                                       .n_slots = N,
                                       .n_steps = 2,
                                       .tokens = tokens[0],
                                       .logprob = logp[0],
                                       .logprob_behaviour = behaviour[0],
                                       .n_out = n_out,
                                       .finished = finished}};
    CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
    for (int i = 0; i < N; i++) {
        CHECK_INT(n_out[i], 2);
        CHECK_INT(memcmp(tokens[i], tokens[0], sizeof tokens[0]), 0);
        vt_lm_slot_close(m.lm, slots[i]);
    }
    vt_lm_group_close(m.lm, g);
    close_model(&m);
}

/* --- names, memory --- */

/* Weights of a model on devices are others' than the backend's alone, whatever the number of devices. */
static void numerics(void)
{
    char plain[64], one[64], two[64];
    vt_err err = {0};
    struct model m;
    if (!open_ranks(&m, 2, 0))
        return;
    struct vt_lm_opts o = {.backends = ranks_only, .precision = precision};
    CHECK_OK(vt_lm_numerics_of(&o, plain, &err), err);
    o.devices = 1;
    CHECK_OK(vt_lm_numerics_of(&o, one, &err), err);
    o.devices = 6;
    CHECK_OK(vt_lm_numerics_of(&o, two, &err), err);
    CHECK_STR(one, two);
    CHECK_STR(vt_lm_numerics(m.lm), two);
    CHECK(strcmp(plain, one) != 0);
    CHECK(vt_lm_limits(m.lm)->devices == 3);
    CHECK_STR(vt_lm_limits(m.lm)->backend, "cpu");
    close_model(&m);
}

/* Two devices hold half each; a refusal is of the fullest. */
static void memory(void)
{
    const struct vt_lm_shapes s = {.purpose = VT_LM_SAMPLING, .n_groups = 4, .n_prompt = 64, .n_slots = 8, .n_new = 64};
    uint64_t pages[3] = {0};
    for (int ranks = 0; ranks < 3; ranks++) {
        struct model m;
        struct vt_lm_needs needs;
        vt_err err = {0};
        if (!open_ranks(&m, ranks, 0))
            return;
        CHECK_OK(vt_lm_plan(m.lm, &s, &needs, &err), err);
        for (int i = 0; i < needs.n; i++)
            if (strcmp(needs.need[i].what, "KV pages of prompts") == 0)
                pages[ranks] = needs.need[i].bytes;
        close_model(&m);
    }
    CHECK(pages[0] > 0 && pages[1] == pages[0]);
    CHECK(2 * pages[2] == pages[0]);
}

/* --- the lease --- */

static atomic_bool is_prompt_there;

static void note_prompt(struct vt_lm_job *job)
{
    atomic_store(&is_prompt_there, job->status == VT_OK);
}

/* A timing that holds device 1 stops what runs there, and nothing on device 0. */
static void leased(void)
{
    static const int32_t prompt[3] = {1, 2, 3};
    const struct vt_place second = {.devices = 2};
    struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = prompt, .n_tokens = 3}, .done = note_prompt};
    struct model m;
    bool is_contended;
    lease = vt_lease_new();
    if (!open_ranks(&m, 2, 0))
        return;
    vt_lease_acquire(lease, &second, &is_contended);
    vt_lm_group *first = prefill(m.lm, prompt, 3, 0); /* on device 0: it comes back */
    vt_lm_submit(m.lm, &job);
    vt_sleep_ms(30);
    CHECK(!atomic_load(&is_prompt_there));
    vt_lease_release(lease, &second);
    vt_lm_group *third = prefill(m.lm, prompt, 3, 0); /* behind it */
    CHECK(atomic_load(&is_prompt_there));
    vt_lm_group_close(m.lm, first);
    vt_lm_group_close(m.lm, job.group.group);
    vt_lm_group_close(m.lm, third);
    close_model(&m);
    vt_lease_free(lease);
    lease = NULL;
}

/* --- devices that fall out --- */

static void fallen(void)
{
    struct seq s[SEQS];
    struct model m;
    vt_err err = {0};
    struct vt_adapter *before = NULL, *after = NULL;
    double norm;
    if (!open_ranks(&m, 3, 0))
        return;
    const int id = put_adapter(m.lm);
    make_batch(s, vt_lm_cfg(m.lm)->n_vocab);
    CHECK_OK(vt_lm_adapter_get(m.lm, id, &before, &err), err);
    vt_lm_grad *g = NULL;
    (void)train(m.lm, s, SEQS, id, true, &g);
    const struct vt_lm_prompt_batch batch = {.prompt = s[3].prompt,
                                             .n_prompt = s[3].n_prompt,
                                             .tokens = (const int32_t *const *)&s[4].tokens,
                                             .n = &lengths[4],
                                             .n_rows = 1,
                                             .logprob = &s[4].logp};
    const float *const w[] = {s[4].w};
    const float *const *by_batch[] = {w};
    struct vt_lm_job job = {.kind = VT_LM_FORWARD, .forward = {.adapter = id, .batches = &batch, .n_batches = 1}};
    CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
    failing_device = 1; /* one shard lies in the middle of three */
    job = (struct vt_lm_job){.kind = VT_LM_BACKWARD, .backward = {.tape = job.forward.tape, .w = by_batch, .grad = g}};
    CHECK_INT(vt_lm_run(m.lm, &job, &err), VT_EIO);
    CHECK_STR(err.msg, "device 1: the driver says UNPLUGGED");
    CHECK_INT(vt_lm_adam(m.lm, id, g, &step_of, &norm, &err), VT_EINVAL); /* nobody knows what is in the gradient */
    failing_device = -1; /* it answers again: the run has lost track of it all the same */
    job = (struct vt_lm_job){.kind = VT_LM_FORWARD, .forward = {.adapter = id, .batches = &batch, .n_batches = 1}};
    CHECK_INT(vt_lm_run(m.lm, &job, &err), VT_EIO);
    CHECK_STR(err.msg, "device 1: the driver says UNPLUGGED");
    CHECK_OK(vt_lm_adapter_get(m.lm, id, &after, &err), err);
    CHECK_INT(memcmp(before->params, after->params, before->n_params * sizeof(float)), 0);
    vt_lm_grad_free(m.lm, g);
    vt_adapter_free(before);
    vt_adapter_free(after);
    for (int i = 0; i < SEQS; i++)
        free_seq(&s[i]);
    close_model(&m);
}

static void apart(void)
{
    struct seq s[SEQS];
    struct model m;
    vt_err err = {0};
    double norm;
    if (!open_ranks(&m, 2, 0))
        return;
    const int id = put_adapter(m.lm);
    make_batch(s, vt_lm_cfg(m.lm)->n_vocab);
    vt_lm_grad *g = NULL;
    (void)train(m.lm, s, SEQS, id, true, &g);
    differing_device = 1;
    CHECK_INT(vt_lm_adam(m.lm, id, g, &step_of, &norm, &err), VT_EIO);
    CHECK(strstr(err.msg, "have come apart") != NULL);
    differing_device = -1;
    CHECK_INT(vt_lm_grad_add(m.lm, g, g, &err), VT_EIO);
    CHECK(strstr(err.msg, "have come apart") != NULL);
    vt_lm_grad_free(m.lm, g);
    for (int i = 0; i < SEQS; i++)
        free_seq(&s[i]);
    close_model(&m);
}

static const struct test_case cases[] = {TEST(prompts_as_shards),
                                         TEST(cut_prompts),
                                         TEST(cut_prompts_fast),
                                         TEST(targets),
                                         TEST(cutting),
                                         TEST(sampling),
                                         TEST(turns),
                                         TEST(numerics),
                                         TEST(memory),
                                         TEST(leased),
                                         TEST(fallen),
                                         TEST(apart)};
TEST_MAIN(cases)
