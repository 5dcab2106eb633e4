/* SPDX-License-Identifier: Apache-2.0
 *
 * model_lm_common.h: what the tests of the language-model door share: opening the fake, adapters, groups and slots,
 * jobs that report to a list, a small training batch. Include after harness.h.
 */
#ifndef VT_TEST_MODEL_LM_COMMON_H
#define VT_TEST_MODEL_LM_COMMON_H

#include "lm_fake.h"
#include "model/lm_door.h"
#include "model_common.h"

static const struct vt_lm_ops *const both[] = {&fake_ahead_ops, &fake_ops, NULL};
static vt_ckpt *ckpt; /* of the tests' process; opened once */
static vt_err err;

static inline vt_lm *open_fake(int in_flight)
{
    vt_lm *lm = NULL;
    const struct vt_lm_opts o = {.backends = both, .backend = in_flight > 1 ? "ahead" : "fake", .max_memory = 10 << 20};
    if (!ckpt)
        CHECK_OK(vt_ckpt_open(GOLDEN("tiny/llama"), &ckpt, &err), err);
    fake.in_flight = in_flight;
    CHECK_OK(vt_lm_open(ckpt, &o, &lm, &err), err);
    return lm;
}

/* Everything that the test opened is gone. */
static inline void close_fake(vt_lm *lm)
{
    vt_lm_close(lm);
    CHECK_INT(fake.adapters, 0);
    CHECK_INT(fake.groups, 0);
    CHECK_INT(fake.slots, 0);
    CHECK_INT(fake.tapes, 0);
    CHECK_INT(fake.grads, 0);
    CHECK_INT(fake.models, 0);
}

static inline void says(vt_status want, const char *part)
{
    CHECK_INT(err.code, want);
    if (!strstr(err.msg, part))
        printf("  message: %s\n", err.msg);
    CHECK(strstr(err.msg, part) != NULL);
}

static inline struct vt_adapter *host_adapter(const vt_lm *lm, int rank, float scale)
{
    struct vt_adapter *a = NULL;
    CHECK_OK(vt_adapter_new(vt_lm_cfg(lm), rank, 8, 1u << VT_LORA_Q, 3, &a, &err), err);
    for (size_t i = 0; i < a->n_params; i++)
        a->params[i] = scale * (float)((int)(i * 37 % 101) - 50) / 50;
    return a;
}

static inline int put_adapter(vt_lm *lm, int rank, float scale)
{
    struct vt_adapter *a = host_adapter(lm, rank, scale);
    int id = 0;
    CHECK_OK(vt_lm_adapter_put(lm, a, &id, &err), err);
    vt_adapter_free(a);
    return id;
}

static inline vt_lm_group *open_group(vt_lm *lm, const int32_t *tokens, int n, int adapter)
{
    struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = tokens, .n_tokens = n, .adapter = adapter}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    return job.group.group;
}

static inline vt_lm_slot *open_slot(vt_lm *lm, vt_lm_group *g, uint64_t seed, int max_tokens)
{
    const struct vt_sampling s = {.temperature = 1, .top_p = 1};
    vt_lm_slot *slot = NULL;
    CHECK_OK(vt_lm_slot_open(lm, g, seed, &s, max_tokens, NULL, 0, &slot, &err), err);
    return slot;
}

/* --- jobs that report to a list --- */

enum { MOST = 16 };
static struct listed {
    pthread_mutex_t lock;
    struct vt_lm_job *done[MOST];
    int n;
} listed = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void list_done(struct vt_lm_job *job)
{
    pthread_mutex_lock(&listed.lock);
    listed.done[listed.n++] = job;
    pthread_mutex_unlock(&listed.lock);
}

static inline int n_listed(void)
{
    pthread_mutex_lock(&listed.lock);
    const int n = listed.n;
    pthread_mutex_unlock(&listed.lock);
    return n;
}

static inline void await_listed(int n)
{
    while (n_listed() < n)
        usleep(500);
}

static const int32_t prompt_a[] = {1, 2, 3}, prompt_b[] = {4, 5};

static inline struct vt_lm_job group_job(const int32_t *tokens, int n)
{
    return (struct vt_lm_job){.kind = VT_LM_GROUP, .done = list_done, .group = {.tokens = tokens, .n_tokens = n}};
}

struct burst {
    int32_t tokens[4];
    float logprob[4], behaviour[4];
    int n_out[1];
    unsigned char finished[1];
};

static inline struct vt_lm_job decode_job(vt_lm_slot **slot, int n_steps, struct burst *b)
{
    return (struct vt_lm_job){.kind = VT_LM_DECODE,
                              .done = list_done,
                              .decode = {.slots = slot,
                                         .n_slots = 1,
                                         .n_steps = n_steps,
                                         .tokens = b->tokens,
                                         .logprob = b->logprob,
                                         .logprob_behaviour = b->behaviour,
                                         .n_out = b->n_out,
                                         .finished = b->finished}};
}

/* One training batch: prompt 1 2 3 with completions 4 5 6 and 7, prompt 4 5 with 8 9. */
struct batch {
    const int32_t *tokens[3], *targets[3];
    int n[3];
    float logp[3][8], w[3][8], *out[3];
    const float *w_rows[3], *const *w_batch[2];
    struct vt_lm_prompt_batch b[2];
};
static const int32_t completions[3][3] = {{4, 5, 6}, {7}, {8, 9}};

static inline void fill_batch(struct batch *b)
{
    memset(b, 0, sizeof *b);
    for (int i = 0; i < 3; i++) {
        b->tokens[i] = completions[i];
        b->n[i] = i == 0 ? 3 : i == 1 ? 1 : 2;
        b->out[i] = b->logp[i];
        b->w_rows[i] = b->w[i];
        for (int t = 0; t < 8; t++)
            b->w[i][t] = 0.5f * (float)(i + 1) - 0.2f * (float)t;
    }
    b->b[0] = (struct vt_lm_prompt_batch){
        .prompt = prompt_a, .n_prompt = 3, .tokens = b->tokens, .n = b->n, .n_rows = 2, .logprob = b->out};
    b->b[1] = (struct vt_lm_prompt_batch){
        .prompt = prompt_b, .n_prompt = 2, .tokens = b->tokens + 2, .n = b->n + 2, .n_rows = 1, .logprob = b->out + 2};
    b->w_batch[0] = b->w_rows;
    b->w_batch[1] = b->w_rows + 2;
}

static inline vt_lm_tape *forward(vt_lm *lm, struct batch *b, int adapter, int k)
{
    struct vt_lm_job job = {.kind = VT_LM_FORWARD,
                            .forward = {.adapter = adapter, .k = k, .batches = b->b, .n_batches = 2}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    return job.forward.tape;
}

static inline vt_status backward(vt_lm *lm, struct batch *b, vt_lm_tape *t, vt_lm_grad **g)
{
    struct vt_lm_job job = {.kind = VT_LM_BACKWARD, .backward = {.tape = t, .w = b->w_batch, .grad = *g}};
    vt_status status = vt_lm_run(lm, &job, &err);
    CHECK(job.backward.tape == NULL);
    *g = job.backward.grad;
    return status;
}

#endif
