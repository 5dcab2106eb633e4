/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_threads.c: what lm.h promises about threads, on the CPU backend: adapters put, cloned, read, planned with and
 * dropped on some threads while jobs run on another, work stopped in the middle and gone on with, and a second backend
 * in the same program. Run it under ThreadSanitizer as well: the values are right by luck where an access is not.
 */
#include "harness.h"

#include "cpu_lm_common.h"
#include "lm_fake.h"

static char *tiny_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", GOLDEN("tiny"), name);
    return path;
}

static const int32_t prompt[70] = {5, 6, 7, 8, 9};

static int put_random(vt_lm *lm, int rank, uint64_t seed)
{
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    uint32_t state = (uint32_t)seed;
    int id = 0;
    CHECK_OK(vt_adapter_new(vt_lm_cfg(lm), rank, 8, 0xff, seed, &a, &err), err);
    for (size_t i = 0; i < a->n_params; i++)
        if (a->params[i] == 0)
            a->params[i] = ((float)(next_random(&state) % 2001) - 1000) * 1e-4f;
    CHECK_OK(vt_lm_adapter_put(lm, a, &id, &err), err);
    vt_adapter_free(a);
    return id;
}

struct beside {
    vt_lm *lm;
    int kept; /* an adapter that stays */
    atomic_bool is_over;
    atomic_int n_bad, n_rounds;
};

/* Everything that storage operations may do, over and over. */
static void *keep_house(void *arg)
{
    struct beside *b = arg;
    vt_err err = {0};
    for (uint64_t i = 0; !atomic_load(&b->is_over); i++) {
        struct vt_lm_shapes s = {.purpose = (enum vt_lm_purpose)(i % 3),
                                 .n_groups = 2,
                                 .n_prompt = 8,
                                 .n_slots = 3,
                                 .n_new = 8,
                                 .adapter = i % 2 ? b->kept : 0};
        struct vt_adapter *a = NULL;
        struct vt_lm_needs needs;
        uint64_t peak;
        int clone = 0, id = put_random(b->lm, 4 + (int)(i % 3) * 16, i);
        bool is_bad = vt_lm_adapter_clone(b->lm, b->kept, &clone, &err) != VT_OK ||
                      vt_lm_adapter_get(b->lm, clone, &a, &err) != VT_OK ||
                      vt_lm_plan(b->lm, &s, &needs, &err) != VT_OK;
        vt_adapter_free(a);
        vt_lm_group *g = NULL;
        struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = prompt, .n_tokens = 9, .adapter = id}};
        is_bad |= vt_lm_run(b->lm, &job, &err) != VT_OK;
        g = job.group.group;
        vt_lm_adapter_drop(b->lm, id); /* the group still reads it */
        const struct vt_sampling sampling = {.temperature = 1, .top_p = 1};
        vt_lm_slot *slot = NULL;
        is_bad |= vt_lm_slot_open(b->lm, g, i, &sampling, 4, NULL, 0, &slot, &err) != VT_OK;
        vt_lm_group_close(b->lm, g);
        vt_lm_slot_close(b->lm, slot);
        vt_lm_adapter_drop(b->lm, clone);
        (void)vt_lm_bytes(b->lm, &peak);
        atomic_fetch_add(&b->n_bad, is_bad);
        atomic_fetch_add(&b->n_rounds, 1);
    }
    return NULL;
}

static void storage_beside_work(void)
{
    enum { THREADS = 2, ROUNDS = 12, N_NEW = 30 };
    struct model m;
    vt_err err = {0};
    pthread_t threads[THREADS];
    int32_t tokens[N_NEW];
    float first[N_NEW], logp[N_NEW];
    if (!open_model(&m, tiny_path("llama"), VT_LM_FAST, NULL, 2))
        return;
    struct beside b = {.lm = m.lm, .kept = put_random(m.lm, 8, 99)};
    for (int i = 0; i < N_NEW; i++)
        tokens[i] = (i * 7 + 3) % 90;
    const struct vt_adam adam = {.lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, keep_house, &b), 0);
    float ones[N_NEW];
    for (int i = 0; i < N_NEW; i++)
        ones[i] = 1;
    for (int round = 0; round < ROUNDS || atomic_load(&b.n_rounds) < 20; round++) {
        struct seq s = {.prompt = (int32_t *)(uintptr_t)prompt,
                        .n_prompt = 70,
                        .tokens = tokens,
                        .n = N_NEW,
                        .w = ones,
                        .logp = round ? logp : first};
        int clone = 0;
        double norm;
        vt_lm_grad *g = NULL;
        score_seq(m.lm, &s, b.kept);
        CHECK(round == 0 || memcmp(first, logp, sizeof first) == 0);
        (void)train(m.lm, &s, 1, b.kept, true, &g);
        CHECK(round == 0 || memcmp(first, logp, sizeof first) == 0);
        CHECK_OK(vt_lm_adapter_clone(m.lm, b.kept, &clone, &err), err);
        CHECK_OK(vt_lm_adam(m.lm, clone, g, &adam, &norm, &err), err);
        vt_lm_adapter_drop(m.lm, clone);
        vt_lm_grad_free(m.lm, g);
    }
    atomic_store(&b.is_over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&b.n_bad), 0);
    close_model(&m);
}

/* --- work that is stopped in the middle --- */

/* The model's thread has taken the queued job and waits for the machine. */
static void await_taken(vt_lm *lm)
{
    for (bool is_taken = false; !is_taken; usleep(200)) {
        pthread_mutex_lock(&lm->lock);
        is_taken = lm->head == NULL;
        pthread_mutex_unlock(&lm->lock);
    }
}

static void mark(struct vt_lm_job *job)
{
    atomic_store((atomic_bool *)job->user, true);
}

/* Begun while a timing holds the machine, so that it cannot get past its first layer: then cancelled. */
static void cancel_begun(vt_lm *lm, vt_lease *lease, struct vt_lm_job *job)
{
    atomic_bool is_done = false;
    struct vt_place everywhere;
    job->done = mark;
    job->user = &is_done;
    vt_place_here(&everywhere);
    vt_lease_acquire(lease, &everywhere, NULL);
    vt_lm_submit(lm, job);
    await_taken(lm);
    vt_lm_cancel(lm, job);
    vt_lease_release(lease, &everywhere);
    while (!atomic_load(&is_done))
        usleep(200);
    CHECK_INT(job->status, VT_ECANCELLED);
    CHECK(strstr(job->err.msg, "while it ran") != NULL);
    atomic_store(&job->is_cancelled, false);
}

enum { N_STOPPED = 40 };
struct stopped {
    struct model m;
    vt_lease *lease;
    vt_lm_group *g;
    int adapter;
    int32_t tokens[N_STOPPED]; /* of a sample that nobody stopped */
    float logprob[N_STOPPED];
};

static struct vt_lm_job decode_job(vt_lm_slot **slot, int32_t *tokens, float *logprob, int *n_out,
                                   unsigned char *finished)
{
    static float behaviour[N_STOPPED];
    return (struct vt_lm_job){.kind = VT_LM_DECODE,
                              .decode = {.slots = slot,
                                         .n_slots = 1,
                                         .n_steps = N_STOPPED,
                                         .tokens = tokens,
                                         .logprob = logprob,
                                         .logprob_behaviour = behaviour,
                                         .n_out = n_out,
                                         .finished = finished}};
}

static void stop_group(struct stopped *s)
{
    struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = prompt, .n_tokens = 70, .adapter = s->adapter}};
    vt_err err = {0};
    cancel_begun(s->m.lm, s->lease, &job);
    CHECK(job.group.group == NULL);
    CHECK_OK(vt_lm_run(s->m.lm, &job, &err), err);
    s->g = job.group.group;
}

/* A sample that is stopped before its first step; then one that is stopped wherever it happens to be, again and again,
 * and gone on with until it is finished: the same tokens. */
static void stop_decode(struct stopped *s)
{
    const struct vt_sampling sampling = {.temperature = 1, .top_p = 1};
    vt_lm_slot *slots[2];
    int32_t again[N_STOPPED], part[N_STOPPED];
    float ignored[N_STOPPED];
    int n_out = 7, n_again = 0;
    unsigned char finished = 0;
    vt_err err = {0};
    for (int i = 0; i < 2; i++)
        CHECK_OK(vt_lm_slot_open(s->m.lm, s->g, 5, &sampling, N_STOPPED, NULL, 0, &slots[i], &err), err);
    struct vt_lm_job job = decode_job(&slots[0], s->tokens, s->logprob, &n_out, &finished);
    cancel_begun(s->m.lm, s->lease, &job);
    CHECK_INT(n_out, 0);
    CHECK_OK(vt_lm_run(s->m.lm, &job, &err), err);
    CHECK_INT(n_out, N_STOPPED);
    finished = 0;
    for (unsigned n_stops = 1; !finished; n_stops++) {
        atomic_bool is_done = false;
        job = decode_job(&slots[1], part, ignored, &n_out, &finished);
        job.done = mark;
        job.user = &is_done;
        vt_lm_submit(s->m.lm, &job);
        usleep(100u * (n_stops % 13));
        vt_lm_cancel(s->m.lm, &job);
        while (!atomic_load(&is_done))
            usleep(50);
        CHECK(job.status == VT_OK || job.status == VT_ECANCELLED);
        memcpy(again + n_again, part, (size_t)n_out * sizeof *part);
        n_again += n_out;
    }
    CHECK_INT(n_again, N_STOPPED);
    CHECK(memcmp(s->tokens, again, sizeof again) == 0);
    for (int i = 0; i < 2; i++)
        vt_lm_slot_close(s->m.lm, slots[i]);
}

static void stop_score(struct stopped *s)
{
    const int32_t *row = s->tokens;
    const int n = N_STOPPED;
    float scored[N_STOPPED], *out = scored;
    vt_err err = {0};
    struct vt_lm_job job = {.kind = VT_LM_SCORE,
                            .score = {.groups = &s->g, .tokens = &row, .n = &n, .n_rows = 1, .logprob = &out}};
    cancel_begun(s->m.lm, s->lease, &job);
    CHECK_OK(vt_lm_run(s->m.lm, &job, &err), err);
    CHECK(memcmp(scored, s->logprob, sizeof scored) == 0);
}

static void stop_training(struct stopped *s)
{
    const int32_t *row = s->tokens;
    const int n = N_STOPPED;
    float trained[N_STOPPED], *out = trained, w[N_STOPPED] = {1};
    const float *w_row = w, *const * w_batch[1] = {&w_row};
    vt_err err = {0};
    struct vt_lm_prompt_batch batch = {
        .prompt = prompt, .n_prompt = 70, .tokens = &row, .n = &n, .n_rows = 1, .logprob = &out};
    struct vt_lm_job forward = {.kind = VT_LM_FORWARD,
                                .forward = {.adapter = s->adapter, .batches = &batch, .n_batches = 1}};
    cancel_begun(s->m.lm, s->lease, &forward);
    CHECK(forward.forward.tape == NULL);
    CHECK_OK(vt_lm_run(s->m.lm, &forward, &err), err);
    CHECK(memcmp(trained, s->logprob, sizeof trained) == 0);
    struct vt_lm_job backward = {.kind = VT_LM_BACKWARD, .backward = {.tape = forward.forward.tape, .w = w_batch}};
    cancel_begun(s->m.lm, s->lease, &backward);
    CHECK(backward.backward.tape == NULL && backward.backward.grad == NULL);
}

static void stopped_work(void)
{
    struct stopped s = {.lease = vt_lease_new()};
    const struct vt_lm_opts o = {.n_threads = 2, .max_memory = 1 << 30, .lease = s.lease};
    if (!open_with(&s.m, tiny_path("qwen3"), &o))
        return;
    s.adapter = put_random(s.m.lm, 4, 1);
    stop_group(&s);
    stop_decode(&s);
    stop_score(&s);
    stop_training(&s);
    vt_lm_group_close(s.m.lm, s.g);
    close_model(&s.m);
    vt_lease_free(s.lease);
}

/* The CPU and another backend in one program, each behind its own door. */
static void two_backends(void)
{
    static const struct vt_lm_ops *const all[] = {&fake_ops, &vt_lm_cpu_ops, NULL};
    static const char *const names[] = {"fake", "cpu"};
    vt_lm *lm[2];
    vt_ckpt *ckpt = NULL;
    vt_err err = {0};
    float logp[2], *out[2] = {&logp[0], &logp[1]};
    const int32_t token = 3, *row = &token;
    const int one = 1;
    CHECK_OK(vt_ckpt_open(tiny_path("llama"), &ckpt, &err), err);
    for (int i = 0; i < 2; i++) {
        const struct vt_lm_opts o = {.backends = all, .backend = names[i], .n_threads = 1, .max_memory = 1 << 30};
        CHECK_OK(vt_lm_open(ckpt, &o, &lm[i], &err), err);
        CHECK_STR(vt_lm_limits(lm[i])->backend, names[i]);
        vt_lm_group *g = prefill(lm[i], prompt, 5, put_random(lm[i], 2, 7));
        score_rows(lm[i], &g, &row, &one, 1, &out[i]);
        vt_lm_group_close(lm[i], g);
    }
    CHECK(logp[0] != logp[1] && logp[0] < 0 && logp[1] < 0);
    fake.is_absent = true; /* NULL takes the first that can */
    const struct vt_lm_opts best = {.backends = all, .n_threads = 1, .max_memory = 1 << 30};
    vt_lm *third = NULL;
    CHECK_OK(vt_lm_open(ckpt, &best, &third, &err), err);
    CHECK_STR(vt_lm_limits(third)->backend, "cpu");
    const struct vt_lm_opts second_device = {.backends = all, .backend = "cpu", .device = 1};
    vt_lm *none = NULL;
    CHECK(vt_lm_open(ckpt, &second_device, &none, &err) == VT_EUNSUPPORTED);
    vt_lm_close(lm[0]);
    vt_lm_close(lm[1]);
    vt_lm_close(third);
    vt_ckpt_free(ckpt);
}

static const struct test_case cases[] = {TEST(storage_beside_work), TEST(stopped_work), TEST(two_backends)};
TEST_MAIN(cases)
