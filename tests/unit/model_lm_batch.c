/* SPDX-License-Identifier: Apache-2.0
 *
 * model_lm_batch.c: what the language-model door does to a batch before a backend (the fake) sees it, and back: order,
 * packed rows and targets, routing traces; what it refuses, by a sentence each; and memory plans as data.
 */
#include "harness.h"

#include "model_lm_common.h"

/* --- order --- */

/* Slots of six groups under two adapters and none, in no order. */
enum { N = 9, STEPS = 4, TOP = 2 };
static const int group_of[N] = {3, 0, 5, 2, 3, 1, 4, 0, 5}, max_tokens[N] = {4, 2, 4, 3, 4, 1, 4, 4, 2};
struct scattered {
    vt_lm *lm;
    int ids[3];
    vt_lm_group *groups[6];
    vt_lm_slot *slots[N];
    char order[FAKE_LOG]; /* in which a backend should see them */
    int32_t tokens[N * STEPS], top_ids[N * STEPS * TOP];
    float logprob[N * STEPS], behaviour[N * STEPS], entropy[N * STEPS], sum[N * STEPS], top[N * STEPS * TOP];
    int n_out[N];
    unsigned char finished[N];
};

static void scatter(struct scattered *x)
{
    fake_reset(1);
    x->lm = open_fake(1);
    x->ids[0] = put_adapter(x->lm, 2, 0.9f);
    x->ids[1] = put_adapter(x->lm, 2, -0.9f);
    x->ids[2] = 0;
    for (int i = 0; i < 6; i++)
        x->groups[i] =
            i % 2 ? open_group(x->lm, prompt_a, 3, x->ids[i % 3]) : open_group(x->lm, prompt_b, 2, x->ids[i % 3]);
    for (int i = 0; i < N; i++)
        x->slots[i] = open_slot(x->lm, x->groups[group_of[i]], 100 + (uint64_t)i, max_tokens[i]);
    snprintf(x->order, sizeof x->order, "0:3 0:6 0:6 %d:1 %d:1 %d:4 %d:4 %d:2 %d:5 ", x->ids[0], x->ids[0], x->ids[0],
             x->ids[0], x->ids[1], x->ids[1]);
}

static struct vt_lm_job decode_scattered(struct scattered *x)
{
    return (struct vt_lm_job){.kind = VT_LM_DECODE,
                              .decode = {.slots = x->slots,
                                         .n_slots = N,
                                         .n_steps = STEPS,
                                         .tokens = x->tokens,
                                         .logprob = x->logprob,
                                         .logprob_behaviour = x->behaviour,
                                         .n_out = x->n_out,
                                         .finished = x->finished,
                                         .extra = {x->entropy, x->sum, TOP, x->top_ids, x->top}}};
}

/* Every row holds what its slot gives when it is alone. */
static void check_alone(struct scattered *x)
{
    for (int i = 0; i < N; i++) {
        vt_lm_slot *alone = open_slot(x->lm, x->groups[group_of[i]], 100 + (uint64_t)i, max_tokens[i]);
        struct burst b;
        struct vt_lm_job one = decode_job(&alone, STEPS, &b);
        CHECK_OK(vt_lm_run(x->lm, &one, &err), err);
        CHECK_INT(x->n_out[i], max_tokens[i]);
        CHECK_INT(b.n_out[0], max_tokens[i]);
        CHECK_INT(x->finished[i], 2);
        CHECK(memcmp(&x->tokens[i * STEPS], b.tokens, (size_t)b.n_out[0] * 4) == 0);
        CHECK(memcmp(&x->logprob[i * STEPS], b.logprob, (size_t)b.n_out[0] * 4) == 0);
        vt_lm_slot_close(x->lm, alone);
    }
}

/* Score of the same rows, scattered alike, with its extras: the same values. */
static void check_scored(struct scattered *x)
{
    vt_lm_group *groups[N];
    const int32_t *tokens[N];
    float out[N][STEPS], *rows[N], entropy[N][STEPS], sum[N][STEPS], top[N][STEPS * TOP];
    int32_t ids[N][STEPS * TOP];
    struct vt_lm_extra extra[N];
    for (int i = 0; i < N; i++) {
        groups[i] = x->groups[group_of[i]];
        tokens[i] = &x->tokens[i * STEPS];
        rows[i] = out[i];
        extra[i] = (struct vt_lm_extra){entropy[i], sum[i], TOP, ids[i], top[i]};
    }
    struct vt_lm_job job = {
        .kind = VT_LM_SCORE,
        .score = {.groups = groups, .tokens = tokens, .n = x->n_out, .n_rows = N, .logprob = rows, .extra = extra}};
    CHECK_OK(vt_lm_run(x->lm, &job, &err), err);
    CHECK_STR(fake.order, x->order);
    for (int i = 0; i < N; i++) {
        const size_t bytes = (size_t)x->n_out[i] * 4;
        CHECK(memcmp(out[i], &x->logprob[i * STEPS], bytes) == 0);
        CHECK(memcmp(entropy[i], &x->entropy[i * STEPS], bytes) == 0);
        CHECK(memcmp(sum[i], &x->sum[i * STEPS], bytes) == 0);
        CHECK(memcmp(ids[i], &x->top_ids[i * STEPS * TOP], bytes * TOP) == 0);
        CHECK(memcmp(top[i], &x->top[i * STEPS * TOP], bytes * TOP) == 0);
    }
}

static void batches_in_order(void)
{
    static struct scattered x;
    scatter(&x);
    struct vt_lm_job job = decode_scattered(&x);
    CHECK_OK(vt_lm_run(x.lm, &job, &err), err);
    CHECK_STR(fake.order, x.order);
    check_alone(&x);
    check_scored(&x);
    vt_lm_slot *kept = x.slots[4];
    x.slots[4] = x.slots[1];
    CHECK(vt_lm_run(x.lm, &job, &err) == VT_EINVAL);
    says(VT_EINVAL, "sample 4 of the batch comes twice");
    x.slots[4] = NULL;
    CHECK(vt_lm_run(x.lm, &job, &err) == VT_EINVAL);
    says(VT_EINVAL, "sample 4 of the batch has no slot");
    CHECK_INT(x.n_out[0], 0); /* nothing was drawn, and it says so */
    x.slots[4] = kept;
    for (int i = 0; i < 6; i++)
        vt_lm_group_close(x.lm, x.groups[i]);
    for (int i = 0; i < N; i++)
        vt_lm_slot_close(x.lm, x.slots[i]);
    close_fake(x.lm);
}

/* Packed rows, head rows and targets of the small batch, by hand. */
static void tape_layout(void)
{
    static const int32_t pairs[3][6] = {{4, 10, -1, 11, 6, 12}, {7, 13}, {8, -1, -1, -1}};
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct batch b;
    vt_lm_tape *t;
    fill_batch(&b);
    t = forward(lm, &b, 0, 1);
    /* rows: 1 2 3 | 4 5 | (7 has none) | 4 5 | 8 */
    CHECK_INT(t->n_rows, 8);
    CHECK_INT(t->prompts[1].row0, 5);
    CHECK_INT(t->seqs[0].row0, 3);
    CHECK_INT(t->seqs[2].row0, 7);
    CHECK_INT(t->seqs[2].prompt, 1);
    CHECK_INT(t->prompts[1].seq0, 2);
    /* heads: row 2 gives 4 and 7, rows 3 and 4 give 5 and 6, row 6 gives 8, row 7 gives 9 */
    static const int rows[] = {2, 3, 4, 6, 7}, target0[] = {0, 2, 3, 4, 5};
    static const int32_t ids[] = {4, 7, 5, 6, 8, 9};
    CHECK_INT(t->n_heads, 5);
    CHECK_INT(t->n_targets, 6);
    for (int h = 0; h < 5; h++) {
        CHECK_INT(t->heads[h].row, rows[h]);
        CHECK_INT(t->heads[h].target0, target0[h]);
    }
    CHECK_INT(t->heads[5].target0, 6);
    CHECK(memcmp(t->target_ids, ids, sizeof ids) == 0);
    float flat[6];
    bool is_zero = true;
    CHECK_OK(vt_lm_tape_gather(t, b.w_batch, flat, &is_zero, &err), err);
    const float want[] = {b.w[0][0], b.w[1][0], b.w[0][1], b.w[0][2], b.w[2][0], b.w[2][1]};
    CHECK(!is_zero && memcmp(flat, want, sizeof want) == 0);
    vt_lm_tape_free(lm, t);
    for (int i = 0; i < 3; i++)
        b.targets[i] = pairs[i];
    b.b[0].targets = b.targets;
    b.b[1].targets = b.targets + 2;
    t = forward(lm, &b, 0, 2);
    static const int32_t two[] = {4, 10, 7, 13, 11, 6, 12, 8};
    static const int two0[] = {0, 4, 5, 7, 8, 8}; /* the last head row has no target left */
    CHECK_INT(t->n_targets, 8);
    CHECK(memcmp(t->target_ids, two, sizeof two) == 0);
    for (int h = 0; h < 6; h++)
        CHECK_INT(t->heads[h].target0, two0[h]);
    vt_lm_tape_free(lm, t);
    close_fake(lm);
}

/* Routing: decode's trace, given to score and forward, gives the same values; another one gives others. */
static void traces(void)
{
    fake_reset(1);
    fake.trace_bytes = 1;
    vt_lm *lm = open_fake(1);
    unsigned char prompt_trace[3], trace[4], other[4];
    struct vt_lm_job job = group_job(prompt_a, 3);
    job.group.trace = prompt_trace;
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    for (int i = 0; i < 3; i++)
        CHECK_INT(prompt_trace[i], fake_route(prompt_a[i], i));
    vt_lm_group *g = job.group.group;
    vt_lm_slot *slot = open_slot(lm, g, 5, 4);
    struct burst b;
    struct vt_lm_job decode = decode_job(&slot, 4, &b);
    decode.decode.trace = trace;
    CHECK_OK(vt_lm_run(lm, &decode, &err), err);
    const int32_t *tokens = b.tokens;
    const unsigned char *row = trace;
    int n = 4;
    float logp[4], *out = logp;
    struct vt_lm_job score = {
        .kind = VT_LM_SCORE,
        .score = {.groups = &g, .tokens = &tokens, .n = &n, .n_rows = 1, .logprob = &out, .trace = &row}};
    CHECK_OK(vt_lm_run(lm, &score, &err), err);
    CHECK(memcmp(logp, b.logprob, sizeof logp) == 0);
    for (int i = 0; i < 4; i++)
        other[i] = (unsigned char)(3 - trace[i]);
    row = other;
    CHECK_OK(vt_lm_run(lm, &score, &err), err);
    CHECK(logp[1] != b.logprob[1]);
    struct vt_lm_prompt_batch batch = {.prompt = prompt_a,
                                       .n_prompt = 3,
                                       .tokens = &tokens,
                                       .n = &n,
                                       .n_rows = 1,
                                       .logprob = &out,
                                       .prompt_trace = prompt_trace};
    struct vt_lm_job forward_job = {.kind = VT_LM_FORWARD, .forward = {.batches = &batch, .n_batches = 1}};
    row = trace;
    batch.trace = &row;
    CHECK_OK(vt_lm_run(lm, &forward_job, &err), err);
    CHECK(memcmp(logp, b.logprob, sizeof logp) == 0);
    vt_lm_tape_free(lm, forward_job.forward.tape);
    row = other; /* the prompt's own row gives token 0, so only the others move */
    CHECK_OK(vt_lm_run(lm, &forward_job, &err), err);
    CHECK(logp[0] == b.logprob[0] && logp[1] != b.logprob[1]);
    vt_lm_tape_free(lm, forward_job.forward.tape);
    row = trace;
    prompt_trace[2] ^= 1;
    CHECK_OK(vt_lm_run(lm, &forward_job, &err), err);
    CHECK(logp[0] != b.logprob[0] && logp[1] == b.logprob[1]);
    vt_lm_tape_free(lm, forward_job.forward.tape);
    vt_lm_slot_close(lm, slot);
    vt_lm_group_close(lm, g);
    close_fake(lm);
}

/* --- refusals --- */

static void bad_jobs(void)
{
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    vt_lm_group *g = open_group(lm, prompt_a, 3, 0), *groups[2] = {g, g};
    vt_lm_slot *slots[17] = {0};
    const int32_t row[] = {1, 2}, outside[] = {1, 90}, *tokens[2] = {row, row}, *targets[2] = {row, outside};
    const unsigned char trace[2] = {0}, *no_trace[2] = {NULL, NULL}, *some_trace[2] = {NULL, trace};
    int n[2] = {1, 2}, n_out[17];
    float logp[2][8], *out[2] = {logp[0], logp[1]}, logits[8];
    struct vt_lm_extra extra[2] = {{.n_top = 1, .top_ids = (int32_t[2]){0}, .top_logprob = logits}, {.n_top = 0}};
    struct vt_lm_job job = {.kind = VT_LM_SCORE};
#define SCORE_JOB                                                                                                      \
    job = (struct vt_lm_job)                                                                                           \
    {                                                                                                                  \
        .kind = VT_LM_SCORE, .score = {.groups = groups, .tokens = tokens, .n = n, .n_rows = 2, .logprob = out }       \
    }
#define REFUSED(status, part)                                                                                          \
    CHECK(vt_lm_run(lm, &job, &err) == (status));                                                                      \
    says(status, part)
    job.kind = (enum vt_lm_job_kind)99;
    REFUSED(VT_EINVAL, "kind 99");
    job.kind = VT_LM_SCORE;
    REFUSED(VT_EINVAL, "no completion");
    SCORE_JOB;
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    job.score.k = 4;
    REFUSED(VT_ELIMIT, "fake takes 1 to 3");
    job.score.k = 2;
    REFUSED(VT_EINVAL, "completion 1 is to have 2 targets at a position, but names none");
    job.score.k = 1;
    job.score.targets = targets;
    REFUSED(VT_EINVAL, "token 2 of a completion's targets has id 90");
    SCORE_JOB;
    job.score.extra = extra;
    REFUSED(VT_EINVAL, "one number a job");
    extra[0].n_top = 5;
    REFUSED(VT_ELIMIT, "gives 0 to 4");
    extra[0] = (struct vt_lm_extra){.n_top = 2};
    REFUSED(VT_EINVAL, "without room");
    SCORE_JOB;
    job.score.trace = no_trace;
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    job.score.trace = some_trace;
    REFUSED(VT_EUNSUPPORTED, "completion 2 comes with a routing trace, but the backend fake routes nothing");
    n[0] = 510;
    REFUSED(VT_ELIMIT, "context is 512");
    n[0] = -1;
    REFUSED(VT_EINVAL, "-1 tokens");
    n[0] = 1;
    tokens[0] = outside + 1;
    REFUSED(VT_EINVAL, "ids 0 to 89");
    tokens[0] = row;
    struct vt_lm_prompt_batch batch = {
        .prompt = row, .n_prompt = 2, .tokens = tokens, .n = n, .n_rows = 2, .logprob = out};
    job = (struct vt_lm_job){.kind = VT_LM_FORWARD, .forward = {.batches = &batch, .n_batches = 1}};
    batch.prompt_trace = trace;
    REFUSED(VT_EUNSUPPORTED, "routing trace");
    batch.prompt_trace = NULL;
    batch.n_rows = 0;
    REFUSED(VT_EINVAL, "no completion");
    batch.n_rows = 2;
    batch.n_prompt = 0;
    REFUSED(VT_EINVAL, "prompt is empty");
    job.forward.n_batches = 0;
    REFUSED(VT_EINVAL, "nothing to train on");
    job = (struct vt_lm_job){.kind = VT_LM_BACKWARD};
    REFUSED(VT_EINVAL, "no tape");
    job = (struct vt_lm_job){.kind = VT_LM_DECODE,
                             .decode = {.slots = slots, .n_slots = 17, .n_steps = 1, .n_out = n_out}};
    REFUSED(VT_ELIMIT, "fake takes 16");
    vt_lm_group_close(lm, g);
    close_fake(lm);
}

static void bad_slots(void)
{
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    vt_lm_group *g = open_group(lm, prompt_a, 3, 0);
    vt_lm_slot *slot = NULL;
    const int32_t twice[] = {7, 3, 7, 3, 1}, outside[] = {-1};
    struct vt_sampling s = {.temperature = 1, .top_p = 1, .banned = twice, .n_banned = 5};
    CHECK_OK(vt_lm_slot_open(lm, g, 1, &s, 509, twice, 2, &slot, &err), err);
    CHECK_INT(slot->sampling.n_banned, 3); /* a backend sees each once, in order */
    CHECK(slot->sampling.banned != twice && slot->sampling.banned[0] == 1 && slot->sampling.banned[2] == 7);
    vt_lm_slot_close(lm, slot);
    CHECK(vt_lm_slot_open(lm, g, 1, &s, 510, NULL, 0, &slot, &err) == VT_ELIMIT);
    CHECK(slot == NULL);
    CHECK(vt_lm_slot_open(lm, g, 1, &s, 4, outside, 1, &slot, &err) == VT_EINVAL);
    says(VT_EINVAL, "stop ids");
    s.n_banned = -1;
    CHECK(vt_lm_slot_open(lm, g, 1, &s, 4, NULL, 0, &slot, &err) == VT_EINVAL);
    s = (struct vt_sampling){.temperature = -1, .top_p = 1};
    CHECK(vt_lm_slot_open(lm, g, 1, &s, 4, NULL, 0, &slot, &err) == VT_EINVAL);
    s = (struct vt_sampling){.temperature = 1, .top_p = 1.5f};
    CHECK(vt_lm_slot_open(lm, g, 1, &s, 4, NULL, 0, &slot, &err) == VT_EINVAL);
    s = (struct vt_sampling){.temperature = 1, .top_p = 1, .min_p = NAN};
    CHECK(vt_lm_slot_open(lm, g, 1, &s, 4, NULL, 0, &slot, &err) == VT_EINVAL);
    vt_lm_group_close(lm, g);
    close_fake(lm);
}

static void expert_shapes(void)
{
    for (int has = 0; has < 2; has++) {
        fake_reset(1);
        fake.has_experts = has;
        vt_lm *lm = open_fake(1);
        struct vt_adapter *a = NULL;
        int id = 0;
        size_t off[2][2];
        CHECK_OK(vt_adapter_new(vt_lm_cfg(lm), 2, 4, 1u << VT_LORA_GATE | 1u << VT_LORA_DOWN, 1, &a, &err), err);
        CHECK(vt_adapter_at(a, 0, VT_LORA_GATE, &off[0][0], &off[0][1]));
        free(a->params);
        a->n_b[VT_LORA_GATE] = 4; /* one A for all experts, a B for each */
        a->n_a[VT_LORA_DOWN] = 4; /* an A for each, one B for all */
        const int layers = vt_lm_cfg(lm)->n_layers, d = vt_lm_cfg(lm)->d_model, ff = vt_lm_cfg(lm)->d_ff;
        a->n_params = (size_t)layers * 2 * (size_t)(d + 4 * ff + 4 * ff + d);
        a->params = vt_alloc_array(a->n_params, sizeof *a->params);
        CHECK(vt_adapter_at(a, 0, VT_LORA_DOWN, &off[1][0], &off[1][1]));
        CHECK_INT(off[1][0], 2 * (d + 4 * ff));
        CHECK_INT(off[1][1] - off[1][0], 2 * 4 * ff);
        CHECK_INT(vt_lm_adapter_put(lm, a, &id, &err), has ? VT_OK : VT_EUNSUPPORTED);
        if (!has)
            says(VT_EUNSUPPORTED, "gate_proj has factors for 4 experts, but the backend fake");
        CHECK(vt_adapter_save(a, scratch_path("experts"), VT_F32, false, &err) == VT_EUNSUPPORTED);
        vt_adapter_free(a);
        close_fake(lm);
    }
}

static void heads_share_evenly(void)
{
    struct vt_lm_config c;
    vt_lm *lm = open_fake(1);
    c = *vt_lm_cfg(lm);
    CHECK_OK(vt_lm_check_config(&c, &err), err);
    c.n_heads = 3;
    c.n_kv_heads = 2;
    CHECK(vt_lm_check_config(&c, &err) == VT_EFORMAT);
    says(VT_EFORMAT, "3 attention heads cannot share 2 key heads");
    close_fake(lm);
}

/* An adapter of another model is refused, whichever size it differs in: kernels index its factors by these. */
static void adapters_of_other_models(void)
{
    static const size_t fields[] = {offsetof(struct vt_lm_config, n_layers),   offsetof(struct vt_lm_config, d_model),
                                    offsetof(struct vt_lm_config, d_ff),       offsetof(struct vt_lm_config, n_heads),
                                    offsetof(struct vt_lm_config, n_kv_heads), offsetof(struct vt_lm_config, head_dim),
                                    offsetof(struct vt_lm_config, n_vocab)};
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        for (int by = -1; by <= 1; by += 2) {
            struct vt_adapter *a = host_adapter(lm, 2, 0.1f);
            int id = 0;
            *(int *)((char *)&a->cfg + fields[i]) += by;
            CHECK(vt_lm_adapter_put(lm, a, &id, &err) == VT_EINVAL);
            says(VT_EINVAL, "was made for a model of");
            vt_adapter_free(a);
        }
    for (int rank = 0; rank < 2; rank++) {
        struct vt_adapter *a = host_adapter(lm, 2, 0.1f);
        int id = 0;
        a->rank = rank ? 1025 : 0;
        CHECK(vt_lm_adapter_put(lm, a, &id, &err) == VT_EINVAL);
        says(VT_EINVAL, "ranks 1 to 1024");
        vt_adapter_free(a);
    }
    CHECK_INT(fake_alive(&fake.adapters), 0);
    close_fake(lm);
}

/* --- plans --- */

static void plans(void)
{
    fake_reset(1);
    vt_lm *lm = open_fake(1); /* limit 10 MiB */
    struct vt_lm_needs n;
    struct vt_lm_shapes s = {.n_groups = 1, .n_prompt = 10, .n_slots = 100, .n_new = 20};
    CHECK_OK(vt_lm_plan(lm, &s, &n, &err), err);
    CHECK(n.limit == 10 << 20);
    CHECK(n.held == 1000000 && n.wanted == 100 * 100 + 10);
    CHECK_INT(n.n, 3);
    s.k = 3; /* rows of one name are summed */
    s.purpose = VT_LM_TRAINING;
    s.n_grads = 2;
    s.adapter = put_adapter(lm, 2, 1);
    CHECK_OK(vt_lm_plan(lm, &s, &n, &err), err);
    CHECK_INT(n.n, 5);
    CHECK(n.wanted == 10000 + 30 + 2000);
    const uint64_t with_adapter = n.held;
    (void)put_adapter(lm, 3, 1);
    s.adapter = 0; /* training under none: the widest that is here */
    CHECK_OK(vt_lm_plan(lm, &s, &n, &err), err);
    CHECK((n.held - 1000000) * 2 == (with_adapter - 1000000) * 3);
    s.adapter = 99;
    CHECK(vt_lm_plan(lm, &s, &n, &err) == VT_EINVAL);
    s = (struct vt_lm_shapes){.n_groups = 1, .n_prompt = 10, .n_slots = 100000, .n_new = 20};
    CHECK(vt_lm_plan(lm, &s, &n, &err) == VT_ENOMEM);
    says(VT_ENOMEM, "sampling 100000 x (10 + 20) tokens needs 10.0 MB (tokens 10.0 MB, targets 0.0 MB), but the memory "
                    "limit of 10.5 MB leaves 9.5 beside what the model holds (weights 1.0 MB)");
    CHECK(vt_lm_plan(lm, &s, NULL, &err) == VT_ENOMEM);
    fake.bytes_a_token = UINT64_MAX / 100000; /* sums stop, they do not start over */
    CHECK(vt_lm_plan(lm, &s, &n, &err) == VT_ENOMEM);
    fake.bytes_a_token = 1;
    s.n_new = 503;
    CHECK(vt_lm_plan(lm, &s, &n, &err) == VT_ELIMIT);
    s.n_new = 0;
    CHECK(vt_lm_plan(lm, &s, &n, &err) == VT_EINVAL);
    s.purpose = VT_LM_SCORING; /* completions may be empty */
    CHECK_OK(vt_lm_plan(lm, &s, &n, &err), err);
    close_fake(lm);
    struct vt_lm_needs many = {0};
    char names[40][8];
    for (int i = 0; i < 40; i++) { /* more kinds than rows: nothing is lost */
        snprintf(names[i], sizeof names[i], "n%d", i);
        vt_lm_needs_add(&many, names[i], 1, false);
    }
    CHECK_INT(many.n, VT_LM_MAX_NEEDS);
    CHECK(many.wanted == 40);
    vt_lm_needs_add(&many, "n0", UINT64_MAX, false);
    CHECK(many.wanted == UINT64_MAX);
}

static const struct test_case cases[] = {
    TEST(batches_in_order),  TEST(tape_layout),   TEST(traces), TEST(bad_jobs),
    TEST(bad_slots),         TEST(expert_shapes), TEST(plans),  TEST(adapters_of_other_models),
    TEST(heads_share_evenly)};
TEST_MAIN(cases)
