/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_shortage.c: running out of memory, by the limit and by the system, at every point of a session: a refusal is a
 * sentence, leaves nothing half made, and what is asked next is answered as if it had not been. Work that was planned
 * is not refused afterwards, also when earlier work has left pages, rows and logits behind.
 */
#include "harness.h"

#include "cpu_lm_common.h"

static char *tiny_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", GOLDEN("tiny"), name);
    return path;
}

enum { N_PROMPT = 70, N_NEW = 20, ROWS = 3 };
static int32_t prompt[N_PROMPT], completion[ROWS][N_NEW];

static void fill_tokens(void)
{
    uint32_t state = 5;
    for (int i = 0; i < N_PROMPT; i++)
        prompt[i] = (int32_t)(next_random(&state) % 90);
    for (int i = 0; i < ROWS * N_NEW; i++)
        completion[i / N_NEW][i % N_NEW] = (int32_t)(next_random(&state) % 90);
}

/* What a session yields. */
struct yield {
    int32_t tokens[ROWS * N_NEW];
    float logprob[ROWS * N_NEW], scored[ROWS][N_NEW], trained[ROWS][N_NEW];
    double norm, dot;
};

static vt_status session_sample(vt_lm *lm, vt_lm_group *g, struct yield *y, vt_err *err)
{
    const struct vt_sampling s = {.temperature = 1, .top_p = 1};
    vt_lm_slot *slots[ROWS] = {0};
    float behaviour[ROWS * N_NEW];
    int n_out[ROWS];
    unsigned char finished[ROWS];
    vt_status status = VT_OK;
    for (int i = 0; i < ROWS && status == VT_OK; i++)
        status = vt_lm_slot_open(lm, g, (uint64_t)i, &s, N_NEW, NULL, 0, &slots[i], err);
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = slots,
                                       .n_slots = ROWS,
                                       .n_steps = N_NEW,
                                       .tokens = y->tokens,
                                       .logprob = y->logprob,
                                       .logprob_behaviour = behaviour,
                                       .n_out = n_out,
                                       .finished = finished}};
    if (status == VT_OK)
        status = vt_lm_run(lm, &job, err);
    for (int i = 0; i < ROWS; i++)
        vt_lm_slot_close(lm, slots[i]);
    return status;
}

static vt_status session_score(vt_lm *lm, vt_lm_group *g, struct yield *y, vt_err *err)
{
    vt_lm_group *groups[ROWS] = {g, g, g};
    const int32_t *tokens[ROWS] = {completion[0], completion[1], completion[2]};
    const int n[ROWS] = {N_NEW, N_NEW, 1};
    float *out[ROWS] = {y->scored[0], y->scored[1], y->scored[2]};
    struct vt_lm_job job = {.kind = VT_LM_SCORE,
                            .score = {.groups = groups, .tokens = tokens, .n = n, .n_rows = ROWS, .logprob = out}};
    return vt_lm_run(lm, &job, err);
}

static vt_status session_train(vt_lm *lm, int id, struct yield *y, vt_err *err)
{
    const struct vt_adam adam = {.lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    const int32_t *tokens[ROWS] = {completion[0], completion[1], completion[2]};
    const int n[ROWS] = {N_NEW, 0, N_NEW};
    static const float ones[N_NEW] = {1, -1, 0.5f};
    const float *w[ROWS] = {ones, ones, ones}, *const * w_batch[1] = {w};
    float *out[ROWS] = {y->trained[0], y->trained[1], y->trained[2]};
    const struct vt_lm_prompt_batch b = {
        .prompt = prompt, .n_prompt = N_PROMPT, .tokens = tokens, .n = n, .n_rows = ROWS, .logprob = out};
    struct vt_lm_job job = {.kind = VT_LM_FORWARD, .forward = {.adapter = id, .batches = &b, .n_batches = 1}};
    vt_lm_grad *g = NULL;
    int clone = 0;
    vt_status status = vt_lm_run(lm, &job, err);
    struct vt_lm_job back = {.kind = VT_LM_BACKWARD, .backward = {.tape = job.forward.tape, .w = w_batch}};
    if (status == VT_OK)
        status = vt_lm_run(lm, &back, err);
    g = back.backward.grad;
    if (status == VT_OK)
        status = vt_lm_grad_dot(lm, g, g, &y->dot, err);
    if (status == VT_OK)
        status = vt_lm_adapter_clone(lm, id, &clone, err);
    if (status == VT_OK)
        status = vt_lm_adam(lm, clone, g, &adam, &y->norm, err);
    vt_lm_adapter_drop(lm, clone);
    vt_lm_grad_free(lm, g);
    return status;
}

/* Prompt, samples, scores and an update under a fresh adapter; ends at the first refusal. */
static vt_status session(vt_lm *lm, struct yield *y, vt_err *err)
{
    struct vt_adapter *a = NULL;
    int id = 0;
    memset(y, 0, sizeof *y);
    VT_TRY(vt_adapter_new(vt_lm_cfg(lm), 20, 8, 0xff, 9, &a, err));
    vt_status status = vt_lm_adapter_put(lm, a, &id, err);
    vt_adapter_free(a);
    VT_TRY(status);
    struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = prompt, .n_tokens = N_PROMPT, .adapter = id}};
    status = vt_lm_run(lm, &job, err);
    if (status == VT_OK)
        status = session_sample(lm, job.group.group, y, err);
    if (status == VT_OK)
        status = session_score(lm, job.group.group, y, err);
    if (status == VT_OK)
        status = session_train(lm, id, y, err);
    vt_lm_group_close(lm, job.group.group);
    vt_lm_adapter_drop(lm, id);
    return status;
}

static struct yield wanted(void)
{
    struct model m;
    struct yield y = {.norm = -1};
    vt_err err = {0};
    if (open_model(&m, tiny_path("llama"), VT_LM_FAST, NULL, 2))
        CHECK_OK(session(m.lm, &y, &err), err);
    close_model(&m);
    CHECK(y.norm > 0);
    return y;
}

/* The limit at every 40 KB from nothing to enough: three sessions in a row each. */
static void every_limit(void)
{
    fill_tokens();
    const struct yield want = wanted();
    int n_opened = 0, n_refused = 0;
    bool is_enough = false;
    for (uint64_t limit = 100 << 10; limit < 64 << 20 && !is_enough; limit += 40 << 10) {
        struct model m = {0};
        struct yield y;
        vt_err err = {0};
        const struct vt_lm_opts o = {
            .backends = only_cpu, .precision = VT_LM_FAST, .n_threads = 2, .max_memory = limit};
        CHECK_OK(vt_ckpt_open(tiny_path("llama"), &m.ckpt, &err), err);
        vt_status status = vt_lm_open(m.ckpt, &o, &m.lm, &err);
        if (status == VT_OK) {
            uint64_t peak = 0;
            n_opened++;
            for (int i = 0; i < 3; i++) {
                status = session(m.lm, &y, &err);
                n_refused += status != VT_OK;
                CHECK(status == VT_OK || (status == VT_ENOMEM && strstr(err.msg, "memory limit")));
                CHECK(status != VT_OK || memcmp(&y, &want, sizeof y) == 0);
            }
            is_enough = status == VT_OK;
            (void)vt_lm_bytes(m.lm, &peak);
            CHECK(peak <= limit);
        } else {
            CHECK_INT(status, VT_ENOMEM);
        }
        close_model(&m);
    }
    printf("  %d limits under which the model opened, %d sessions refused\n", n_opened, n_refused);
    CHECK(is_enough);
    CHECK(n_opened > 10 && n_refused > 10);
}

/* The k-th allocation of a session fails, for every k: an error, and then the same session gives the same bits. */
static void every_allocation(void)
{
    fill_tokens();
    const struct yield want = wanted();
    struct model m;
    vt_err err = {0};
    int n_failed = 0;
    if (!open_model(&m, tiny_path("llama"), VT_LM_FAST, NULL, 2))
        return;
    for (long k = 1; k < 4000; k++) {
        struct yield y;
        vt_alloc_fail_at(k);
        vt_status status = session(m.lm, &y, &err);
        vt_alloc_fail_at(0);
        if (status == VT_OK) /* k passes the last one */
            break;
        CHECK_INT(status, VT_ENOMEM);
        n_failed++;
        if (k % 7)
            continue;
        CHECK_OK(session(m.lm, &y, &err), err);
        CHECK(memcmp(&y, &want, sizeof y) == 0);
    }
    printf("  %d allocations failed in turn\n", n_failed);
    CHECK(n_failed > 60 && n_failed < 3999);
    close_model(&m);
}

/* Opening, with the k-th allocation failing. */
static void every_allocation_of_opening(void)
{
    struct model m = {0};
    vt_err err = {0};
    int n_failed = 0;
    const struct vt_lm_opts o = {.backends = only_cpu, .n_threads = 2, .max_memory = 1 << 30};
    CHECK_OK(vt_ckpt_open(tiny_path("qwen3"), &m.ckpt, &err), err);
    for (long k = 1; k < 2000; k++) {
        vt_alloc_fail_at(k);
        vt_status status = vt_lm_open(m.ckpt, &o, &m.lm, &err);
        vt_alloc_fail_at(0);
        if (status == VT_OK) {
            vt_lm_close(m.lm);
            if (k > 100)
                break; /* a lost allocation of the cache file is made up for: not every failure is one of opening */
            continue;
        }
        CHECK(m.lm == NULL);
        n_failed++;
    }
    printf("  %d allocations failed in turn\n", n_failed);
    CHECK(n_failed > 15);
    vt_ckpt_free(m.ckpt);
}

/* The smallest limit that a plan accepts suffices, whatever was done before: for sampling, scoring and training. */
static void planned_work_fits(void)
{
    fill_tokens();
    for (int purpose = VT_LM_SAMPLING; purpose <= VT_LM_TRAINING; purpose++) {
        struct model m;
        struct yield y;
        struct vt_adapter *a = NULL;
        struct vt_lm_needs needs = {0};
        vt_err err = {0};
        int id = 0;
        struct vt_lm_shapes s = {.purpose = (enum vt_lm_purpose)purpose,
                                 .n_groups = 1,
                                 .n_prompt = N_PROMPT,
                                 .n_slots = ROWS,
                                 .n_new = N_NEW};
        if (!open_model(&m, tiny_path("llama"), VT_LM_FAST, NULL, 2))
            return;
        CHECK_OK(vt_adapter_new(vt_lm_cfg(m.lm), 20, 8, 0xff, 9, &a, &err), err);
        CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
        s.adapter = id;
        for (int other = 0; other < 2;
             other++) { /* alone; and after a long prompt and an update have left their rooms */
            if (other) {
                int32_t long_prompt[500] = {0};
                vt_lm_group_close(m.lm, prefill(m.lm, long_prompt, 500, id));
                CHECK_OK(session_train(m.lm, id, &y, &err), err);
            }
            CHECK_OK(vt_lm_plan(m.lm, &s, &needs, &err), err);
            cpu_of(m.lm)->max_bytes = needs.held + needs.wanted;
            vt_lm_group *g = NULL;
            if (purpose != VT_LM_TRAINING)
                g = prefill(m.lm, prompt, N_PROMPT, id);
            vt_status status = purpose == VT_LM_SAMPLING  ? session_sample(m.lm, g, &y, &err)
                               : purpose == VT_LM_SCORING ? session_score(m.lm, g, &y, &err)
                                                          : session_train(m.lm, id, &y, &err);
            CHECK_OK(status, err);
            vt_lm_group_close(m.lm, g);
            uint64_t peak = 0;
            (void)vt_lm_bytes(m.lm, &peak);
            cpu_of(m.lm)->max_bytes = (uint64_t)6 << 30;
            printf("  purpose %d, %s: planned %.2f MB, held now %.2f MB\n", purpose, other ? "after others" : "alone",
                   (double)(needs.held + needs.wanted) / 1e6, (double)vt_lm_bytes(m.lm, NULL) / 1e6);
        }
        vt_adapter_free(a);
        close_model(&m);
    }
}

/* KV pages that nobody uses give way to whatever else needs the room. */
static void free_pages_give_way(void)
{
    struct model m;
    struct yield y;
    vt_err err = {0};
    fill_tokens();
    if (!open_model(&m, tiny_path("llama"), VT_LM_FAST, NULL, 2))
        return;
    CHECK_OK(session(m.lm, &y, &err), err);
    enum { MANY = 30 };
    vt_lm_group *groups[MANY];
    static const int32_t long_prompt[500];
    for (int i = 0; i < MANY; i++)
        groups[i] = prefill(m.lm, long_prompt, 500, 0);
    for (int i = 0; i < MANY; i++)
        vt_lm_group_close(m.lm, groups[i]);
    cpu_of(m.lm)->max_bytes = vt_lm_bytes(m.lm, NULL); /* full, but only of free pages */
    CHECK_OK(session(m.lm, &y, &err), err);
    close_model(&m);
}

static const struct test_case cases[] = {TEST(every_limit), TEST(every_allocation), TEST(every_allocation_of_opening),
                                         TEST(planned_work_fits), TEST(free_pages_give_way)};
TEST_MAIN(cases)
