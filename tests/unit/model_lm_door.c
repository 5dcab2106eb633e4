/* SPDX-License-Identifier: Apache-2.0
 *
 * model_lm_door.c: the language-model door with a fake behind it: the order of jobs, work taken ahead, cancellation,
 * who lives how long, gradients as handles, who may move an adapter, and the choice of a backend. No CPU backend is
 * linked here.
 */
#include "harness.h"

#include "model_lm_common.h"

static void jobs_run_in_order(void)
{
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct vt_lm_job jobs[5];
    listed.n = 0;
    fake_hold(true);
    for (int i = 0; i < 5; i++) {
        jobs[i] = group_job(prompt_a, 1 + i % 3);
        vt_lm_submit(lm, &jobs[i]);
    }
    fake_await(1);
    char log[FAKE_LOG];
    fake_log_copy(log);
    CHECK_STR(log, "g"); /* the second does not begin before the first is done */
    fake_hold(false);
    await_listed(5);
    for (int i = 0; i < 5; i++) {
        CHECK(listed.done[i] == &jobs[i]);
        CHECK_INT(jobs[i].status, VT_OK);
        vt_lm_group_close(lm, jobs[i].group.group);
    }
    CHECK(!pthread_equal(fake.worker, pthread_self()));
    close_fake(lm);
}

static void two_in_flight(void)
{
    fake_reset(2);
    vt_lm *lm = open_fake(2);
    CHECK_INT(vt_lm_limits(lm)->in_flight, 2);
    struct vt_lm_job jobs[4];
    char log[FAKE_LOG];
    listed.n = 0;
    jobs[0] = group_job(prompt_a, 3); /* one alone is not held back for want of a second */
    vt_lm_submit(lm, &jobs[0]);
    await_listed(1);
    fake_hold(true);
    vt_lm_group *g = jobs[0].group.group;
    for (int i = 0; i < 4; i++) {
        jobs[i] = group_job(prompt_a, 3);
        vt_lm_submit(lm, &jobs[i]);
        if (i == 0)
            fake_await(1); /* the first is waited for before the others come */
    }
    fake_log_copy(log);
    CHECK_STR(log, "gwgw");
    fake_hold(false);
    await_listed(5);
    fake_log_copy(log);
    /* from here on the next has begun before the last is waited for; the very last has none behind it */
    CHECK_STR(log, "gwgwggwgww");
    for (int i = 0; i < 4; i++) {
        CHECK(listed.done[1 + i] == &jobs[i]);
        vt_lm_group_close(lm, jobs[i].group.group);
    }
    vt_lm_group_close(lm, g);
    close_fake(lm);
}

/* The same slot in two jobs in flight: the second goes on where the first ends, and past the end gives nothing. */
static void one_slot_in_two_jobs(void)
{
    fake_reset(2);
    vt_lm *lm = open_fake(2);
    vt_lm_group *g = open_group(lm, prompt_a, 3, 0);
    vt_lm_slot *ahead = open_slot(lm, g, 9, 5), *alone = open_slot(lm, g, 9, 5);
    struct burst parts[4], ones[5];
    struct vt_lm_job jobs[4], job;
    listed.n = 0;
    fake_hold(true);
    for (int i = 0; i < 4; i++) {
        jobs[i] = decode_job(&ahead, 2, &parts[i]);
        vt_lm_submit(lm, &jobs[i]);
    }
    fake_await(1);
    fake_hold(false);
    await_listed(4);
    for (int i = 0; i < 5; i++) {
        job = decode_job(&alone, 1, &ones[i]);
        CHECK_OK(vt_lm_run(lm, &job, &err), err);
        CHECK_INT(parts[i / 2].tokens[i % 2], ones[i].tokens[0]);
        CHECK(parts[i / 2].logprob[i % 2] == ones[i].logprob[0]);
    }
    CHECK_INT(parts[1].n_out[0], 2);
    CHECK_INT(parts[2].n_out[0], 1);
    CHECK_INT(parts[2].finished[0], 2);
    CHECK_INT(parts[3].n_out[0], 0);
    vt_lm_slot_close(lm, ahead);
    vt_lm_slot_close(lm, alone);
    vt_lm_group_close(lm, g);
    close_fake(lm);
}

static void cancellation(void)
{
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct vt_lm_job jobs[4];
    char log[FAKE_LOG];
    listed.n = 0;
    fake_hold(true);
    for (int i = 0; i < 4; i++) {
        jobs[i] = group_job(prompt_a, 3);
        vt_lm_submit(lm, &jobs[i]);
    }
    fake_await(1);
    vt_lm_cancel(lm, &jobs[2]); /* queued: never begun, and gone before the others */
    vt_lm_cancel(lm, &jobs[0]); /* running: told to stop */
    await_listed(2);
    CHECK(listed.done[0] == &jobs[0] && listed.done[1] == &jobs[2]);
    CHECK_INT(jobs[0].status, VT_ECANCELLED);
    CHECK(strstr(jobs[0].err.msg, "told to stop") != NULL);
    CHECK_INT(jobs[2].status, VT_ECANCELLED);
    CHECK(strstr(jobs[2].err.msg, "before it began") != NULL);
    CHECK(jobs[0].group.group == NULL && jobs[2].group.group == NULL);
    fake_hold(false);
    await_listed(4);
    CHECK(listed.done[2] == &jobs[1] && listed.done[3] == &jobs[3]);
    fake_log_copy(log);
    CHECK_STR(log, "ggg");
    vt_lm_cancel(lm, &jobs[3]); /* over: left alone */
    CHECK_INT(jobs[3].status, VT_OK);
    vt_lm_group_close(lm, jobs[1].group.group);
    vt_lm_group_close(lm, jobs[3].group.group);
    close_fake(lm);
}

/* Lets the work at the gate go once the door is closing. */
static void *release_when_closing(void *arg)
{
    vt_lm *lm = arg;
    for (bool is_closing = false; !is_closing; usleep(200)) {
        pthread_mutex_lock(&lm->lock);
        is_closing = lm->is_closing;
        pthread_mutex_unlock(&lm->lock);
    }
    fake_hold(false);
    return NULL;
}

/* Closing ends what has begun, fails the rest, calls every done once, and frees the tape of a BACKWARD that never
 * began.
 */
static void closing(void)
{
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct batch b;
    struct vt_lm_job jobs[3];
    pthread_t releaser;
    fill_batch(&b);
    vt_lm_tape *tape = forward(lm, &b, put_adapter(lm, 2, 0.1f), 1);
    listed.n = 0;
    fake_hold(true);
    jobs[0] = jobs[2] = group_job(prompt_a, 3);
    jobs[1] = (struct vt_lm_job){.kind = VT_LM_BACKWARD, .done = list_done, .backward = {.tape = tape, .w = b.w_batch}};
    for (int i = 0; i < 3; i++)
        vt_lm_submit(lm, &jobs[i]);
    fake_await(1);
    CHECK_INT(pthread_create(&releaser, NULL, release_when_closing, lm), 0);
    vt_lm_queue_stop(lm);
    pthread_join(releaser, NULL);
    CHECK_INT(listed.n, 3);
    CHECK(listed.done[0] == &jobs[0] && listed.done[1] == &jobs[1] && listed.done[2] == &jobs[2]);
    CHECK_INT(jobs[0].status, VT_OK);
    for (int i = 1; i < 3; i++) {
        CHECK_INT(jobs[i].status, VT_ECANCELLED);
        CHECK(strstr(jobs[i].err.msg, "closed") != NULL);
    }
    CHECK(jobs[1].backward.tape == NULL && jobs[1].backward.grad == NULL && jobs[2].group.group == NULL);
    vt_lm_group_close(lm, jobs[0].group.group);
    close_fake(lm);
}

static void lifetimes(void)
{
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct vt_adapter *got = NULL;
    struct batch b;
    int clone = 0;
    const int id = put_adapter(lm, 2, 0.5f), other = put_adapter(lm, 2, 0.5f);
    CHECK(id > 0 && other > 0 && id != other);
    CHECK_OK(vt_lm_adapter_clone(lm, id, &clone, &err), err);
    CHECK(clone != id && clone != other);
    vt_lm_adapter_drop(lm, other);
    vt_lm_adapter_drop(lm, other); /* a second time is nothing */
    CHECK_INT(fake_alive(&fake.adapters), 2);
    CHECK(vt_lm_adapter_get(lm, other, &got, &err) == VT_EINVAL);
    says(VT_EINVAL, "no adapter");
    vt_lm_group *g = open_group(lm, prompt_a, 3, id);
    vt_lm_slot *slot = open_slot(lm, g, 1, 4);
    vt_lm_adapter_drop(lm, id); /* the id is gone, the group still reads it */
    CHECK_INT(fake_alive(&fake.adapters), 2);
    struct vt_lm_job job = group_job(prompt_a, 3);
    job.group.adapter = id;
    CHECK(vt_lm_run(lm, &job, &err) == VT_EINVAL);
    vt_lm_group_close(lm, g); /* the slot still reads the group */
    CHECK_INT(fake_alive(&fake.groups), 1);
    struct burst burst;
    struct vt_lm_job decode = decode_job(&slot, 2, &burst);
    CHECK_OK(vt_lm_run(lm, &decode, &err), err);
    vt_lm_slot_close(lm, slot);
    CHECK_INT(fake_alive(&fake.groups), 0);
    CHECK_INT(fake_alive(&fake.adapters), 1);
    fill_batch(&b);
    vt_lm_tape *tape = forward(lm, &b, clone, 1);
    vt_lm_adapter_drop(lm, clone);
    CHECK_INT(fake_alive(&fake.adapters), 1);
    CHECK_INT(fake_alive(&fake.tapes), 1);
    vt_lm_tape_free(lm, tape);
    CHECK_INT(fake_alive(&fake.adapters), 0);
    CHECK(vt_lm_adapter_clone(lm, 0, &clone, &err) == VT_EINVAL);
    CHECK(vt_lm_adapter_get(lm, 0, &got, &err) == VT_EINVAL);
    close_fake(lm);
}

/* --- gradients and Adam --- */

static double loss_of(const struct batch *b, int k)
{
    double loss = 0;
    for (int i = 0; i < 3; i++)
        for (int t = 0; t < b->n[i] * k; t++)
            loss -= (double)b->w[i][t] * (double)b->logp[i][t];
    return loss;
}

/* The door's gradient of the loss against differences of the loss, one target a position and two. */
static void gradients_are_the_losses(void)
{
    static const int32_t targets[3][6] = {{4, 30, 5, -1, 6, 7}, {-1, 11}, {8, 8, 9, 2}};
    for (int k = 1; k <= 2; k++) {
        fake_reset(1);
        vt_lm *lm = open_fake(1);
        struct vt_adapter *a = host_adapter(lm, 2, 0.3f);
        struct batch b;
        int id = 0;
        fill_batch(&b);
        for (int i = 0; i < 3; i++)
            b.targets[i] = targets[i];
        b.b[0].targets = k > 1 ? b.targets : NULL;
        b.b[1].targets = k > 1 ? b.targets + 2 : NULL;
        CHECK_OK(vt_lm_adapter_put(lm, a, &id, &err), err);
        vt_lm_grad *g = NULL;
        float *x = NULL;
        size_t n = 0;
        CHECK_OK(backward(lm, &b, forward(lm, &b, id, k), &g), err);
        if (k > 1) /* an id of -1: log-probability 0, weight unread */
            CHECK(b.logp[0][3] == 0 && b.logp[1][0] == 0 && b.logp[0][2] != 0);
        CHECK_OK(vt_lm_grad_read(lm, g, &x, &n, &err), err);
        CHECK_INT(n, a->n_params);
        double worst = 0;
        for (size_t i = 0; i < 60; i++) {
            double loss[2];
            for (int side = 0; side < 2; side++) {
                int moved = 0;
                const float keep = a->params[i];
                a->params[i] += side ? -1e-2f : 1e-2f;
                CHECK_OK(vt_lm_adapter_put(lm, a, &moved, &err), err);
                a->params[i] = keep;
                vt_lm_tape_free(lm, forward(lm, &b, moved, k));
                loss[side] = loss_of(&b, k);
                vt_lm_adapter_drop(lm, moved);
            }
            const double slope = (loss[0] - loss[1]) / 2e-2;
            worst = fabs(slope - (double)x[i]) > worst ? fabs(slope - (double)x[i]) : worst;
        }
        CHECK_NEAR(worst, 0, 2e-3);
        free(x);
        vt_lm_grad_free(lm, g);
        vt_adapter_free(a);
        close_fake(lm);
    }
}

static void handles(void)
{
    const struct vt_adam o = {.lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.9f};
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct batch b;
    const int id = put_adapter(lm, 2, 0.3f), wide = put_adapter(lm, 3, 0.3f);
    vt_lm_grad *g[3] = {0}, *sum = NULL;
    double dot, norm, twice;
    float *x[4];
    size_t n;
    fill_batch(&b);
    CHECK_OK(backward(lm, &b, forward(lm, &b, id, 1), &g[0]), err);
    b.w[0][1] = 4;
    CHECK_OK(backward(lm, &b, forward(lm, &b, id, 1), &g[1]), err);
    CHECK_OK(backward(lm, &b, forward(lm, &b, wide, 1), &g[2]), err);
    CHECK_OK(backward(lm, &b, forward(lm, &b, id, 1), &sum), err);
    CHECK_OK(backward(lm, &b, forward(lm, &b, id, 1), &sum), err); /* added to the one that is there */
    for (int i = 0; i < 2; i++)
        CHECK_OK(vt_lm_grad_read(lm, g[i], &x[i], &n, &err), err);
    CHECK_OK(vt_lm_grad_read(lm, sum, &x[2], &n, &err), err);
    double want = 0, aa = 0, bb = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        want += (double)x[0][i] * (double)x[1][i];
        aa += (double)x[0][i] * (double)x[0][i];
        bb += (double)x[1][i] * (double)x[1][i];
        off += fabs((double)x[2][i] - 2 * (double)x[1][i]);
    }
    CHECK_NEAR(off, 0, 1e-4);
    CHECK_OK(vt_lm_grad_dot(lm, g[0], g[1], &dot, &err), err);
    CHECK_NEAR(dot, want, 1e-12);
    CHECK_OK(vt_lm_grad_cosine(lm, g[0], g[1], &dot, &err), err);
    CHECK_NEAR(dot, want / sqrt(aa * bb), 1e-12);
    CHECK_OK(vt_lm_grad_add(lm, g[0], g[1], &err), err);
    CHECK_OK(vt_lm_grad_read(lm, g[0], &x[3], &n, &err), err);
    CHECK_NEAR(x[3][5], (double)x[0][5] + (double)x[1][5], 1e-6);
    CHECK(vt_lm_grad_dot(lm, g[0], g[2], &dot, &err) == VT_EINVAL);
    says(VT_EINVAL, "different adapters");
    CHECK(vt_lm_grad_add(lm, g[0], g[2], &err) == VT_EINVAL);
    CHECK(vt_lm_adam(lm, id, g[2], &o, &norm, &err) == VT_EINVAL);
    CHECK(vt_lm_adam(lm, 0, g[0], &o, &norm, &err) == VT_EINVAL);
    says(VT_EINVAL, "frozen");
    CHECK_OK(vt_lm_adam(lm, id, g[0], &o, &norm, &err), err);
    CHECK_OK(vt_lm_grad_dot(lm, g[0], g[0], &twice, &err), err);
    CHECK_NEAR(norm, sqrt(twice), 1e-12);
    CHECK(backward(lm, &b, forward(lm, &b, wide, 1), &g[0]) == VT_EINVAL); /* another shape's gradient; still whole */
    CHECK_OK(vt_lm_grad_dot(lm, g[0], g[0], &twice, &err), err);
    for (int i = 0; i < 4; i++)
        free(x[i]);
    for (int i = 0; i < 3; i++)
        vt_lm_grad_free(lm, g[i]);
    vt_lm_grad_free(lm, sum);
    close_fake(lm);
}

/* Weights that are all zero give a gradient of zeros without asking the backend; a failed pass poisons what it met. */
static void zero_and_poison(void)
{
    const struct vt_adam o = {.lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.9f};
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct batch b, zero;
    const int id = put_adapter(lm, 2, 0.3f);
    vt_lm_grad *g = NULL, *none = NULL;
    double dot = 1, norm;
    char log[FAKE_LOG];
    fill_batch(&b);
    fill_batch(&zero);
    memset(zero.w, 0, sizeof zero.w);
    CHECK_OK(backward(lm, &zero, forward(lm, &zero, id, 1), &g), err);
    CHECK_OK(vt_lm_grad_dot(lm, g, g, &dot, &err), err);
    CHECK(dot == 0);
    CHECK_OK(vt_lm_grad_cosine(lm, g, g, &dot, &err), err);
    CHECK(isnan(dot));
    fake_log_copy(log);
    CHECK_STR(log, "f");
    b.w[2][1] = INFINITY; /* refused before the backend hears of it: nothing is poisoned */
    CHECK(backward(lm, &b, forward(lm, &b, id, 1), &g) == VT_EINVAL);
    says(VT_EINVAL, "token 2 of completion 1 is not finite");
    CHECK_OK(vt_lm_grad_dot(lm, g, g, &dot, &err), err);
    fill_batch(&b);
    fake.fails_backward = true;
    CHECK(backward(lm, &b, forward(lm, &b, id, 1), &none) == VT_EIO);
    CHECK(none == NULL);
    CHECK(backward(lm, &b, forward(lm, &b, id, 1), &g) == VT_EIO);
    fake.fails_backward = false;
    CHECK(g != NULL);
    CHECK(vt_lm_adam(lm, id, g, &o, &norm, &err) == VT_EINVAL);
    says(VT_EINVAL, "of no use");
    CHECK(vt_lm_grad_dot(lm, g, g, &dot, &err) == VT_EINVAL);
    CHECK(backward(lm, &b, forward(lm, &b, id, 1), &g) == VT_EINVAL);
    CHECK_INT(fake_alive(&fake.tapes), 0);
    vt_lm_grad_free(lm, g);
    close_fake(lm);
}

static void adam_moves_alone(void)
{
    const struct vt_adam good = {.lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f};
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct batch b;
    struct vt_adapter *before = NULL, *after = NULL;
    const int id = put_adapter(lm, 2, 0.3f);
    int clone = 0;
    vt_lm_grad *g = NULL;
    double norm;
    fill_batch(&b);
    CHECK_OK(backward(lm, &b, forward(lm, &b, id, 1), &g), err);
    const struct vt_adam bad[] = {
        {.lr = -1, .beta1 = 0.9f, .beta2 = 0.9f},   {.lr = NAN, .beta1 = 0.9f, .beta2 = 0.9f},
        {.lr = 1, .beta1 = 1, .beta2 = 0.9f},       {.lr = 1, .beta1 = 0.9f, .beta2 = -0.1f},
        {.lr = 1, .beta1 = 0.9f, .eps = -1},        {.lr = 1, .beta1 = 0.9f, .weight_decay = -1},
        {.lr = 1, .beta1 = 0.9f, .grad_clip = NAN}, {.lr = INFINITY, .beta1 = 0.9f}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(vt_lm_adam(lm, id, g, &bad[i], &norm, &err) == VT_EINVAL);
        says(VT_EINVAL, "Adam needs");
    }
    vt_lm_group *group = open_group(lm, prompt_a, 3, id);
    CHECK(vt_lm_adam(lm, id, g, &good, &norm, &err) == VT_EBUSY); /* the group's keys are of the old values */
    says(VT_EBUSY, "move a clone");
    CHECK_OK(vt_lm_adapter_clone(lm, id, &clone, &err), err);
    CHECK_OK(vt_lm_adam(lm, clone, g, &good, &norm, &err), err);
    CHECK_OK(vt_lm_adapter_get(lm, id, &before, &err), err);
    CHECK_OK(vt_lm_adapter_get(lm, clone, &after, &err), err);
    CHECK_INT(before->step, 0);
    CHECK_INT(after->step, 1);
    CHECK(memcmp(before->params, after->params, after->n_params * sizeof(float)) != 0);
    vt_lm_group_close(lm, group);
    CHECK_OK(vt_lm_adam(lm, id, g, &good, &norm, &err), err);
    vt_adapter_free(before);
    vt_adapter_free(after);
    vt_lm_grad_free(lm, g);
    close_fake(lm);
}

/* Calls that compute wait behind the jobs before them; inside done they run at once, and waiting is refused. */
struct inside {
    vt_lm *lm;
    int id;
    vt_lm_grad *g;
    vt_status adam, run;
};
static void call_inside(struct vt_lm_job *job)
{
    const struct vt_adam o = {.lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.95f};
    struct inside *in = job->user;
    struct vt_lm_job again = group_job(prompt_a, 3);
    vt_err ignored;
    double norm;
    in->adam = vt_lm_adam(in->lm, in->id, in->g, &o, &norm, &ignored);
    in->run = vt_lm_run(in->lm, &again, &ignored);
    list_done(job);
}

static void calls_in_turn(void)
{
    const struct vt_adam o = {.lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.95f};
    fake_reset(1);
    vt_lm *lm = open_fake(1);
    struct batch b;
    struct inside in = {.lm = lm, .id = put_adapter(lm, 2, 0.3f)};
    char log[FAKE_LOG];
    double norm;
    fill_batch(&b);
    CHECK_OK(backward(lm, &b, forward(lm, &b, in.id, 1), &in.g), err);
    listed.n = 0;
    struct vt_lm_job jobs[2] = {group_job(prompt_a, 3), group_job(prompt_b, 2)};
    jobs[0].done = call_inside;
    jobs[0].user = &in;
    vt_lm_submit(lm, &jobs[0]);
    vt_lm_submit(lm, &jobs[1]);
    CHECK_OK(vt_lm_adam(lm, in.id, in.g, &o, &norm, &err), err);
    CHECK_INT(n_listed(), 2); /* both were done before */
    fake_log_copy(log);
    CHECK_STR(log, "fbgaga");
    CHECK_INT(in.adam, VT_OK);
    CHECK_INT(in.run, VT_EINVAL);
    vt_lm_group_close(lm, jobs[0].group.group);
    vt_lm_group_close(lm, jobs[1].group.group);
    vt_lm_grad_free(lm, in.g);
    close_fake(lm);
}

/* --- choosing a backend --- */

/* --- the lease --- */

struct timer {
    vt_lease *lease;
    struct vt_place place;
    bool is_contended;
};

static void *time_something(void *arg)
{
    struct timer *t = arg;
    vt_lease_acquire(t->lease, &t->place, &t->is_contended);
    vt_lease_release(t->lease, &t->place);
    return NULL;
}

/* A job keeps its backend's devices busy: who times something on one of them waits for it, and when it does not end
 * within the grace time is told that the time is contended; who times on another device and on no core is not. */
static void devices_are_leased(void)
{
    fake_reset(1);
    fake.devices = 1u << 2;
    vt_lease *lease = vt_lease_new();
    const struct vt_lm_opts o = {.backends = both, .backend = "fake", .lease = lease};
    struct timer same = {.lease = lease, .place = {.devices = 1u << 2 | 1u << 5}};
    struct timer other = {.lease = lease, .place = {.devices = 1u << 1}};
    struct vt_lm_job job = group_job(prompt_a, 3);
    pthread_t thread;
    vt_lm_close(open_fake(1)); /* the checkpoint is open */
    vt_lm *lm = NULL;
    CHECK_OK(vt_lm_open(ckpt, &o, &lm, &err), err);
    listed.n = 0;
    fake_hold(true);
    vt_lm_submit(lm, &job);
    fake_await(1);
    CHECK_INT(pthread_create(&thread, NULL, time_something, &other), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(!other.is_contended);
    CHECK_INT(pthread_create(&thread, NULL, time_something, &same), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(same.is_contended);
    fake_hold(false);
    await_listed(1);
    vt_lm_group_close(lm, job.group.group);
    close_fake(lm);
    vt_lease_free(lease);
}

static void choosing(void)
{
    static const struct vt_lm_ops *const none[] = {NULL};
    fake_reset(1);
    vt_lm *lm = open_fake(1); /* opens the checkpoint */
    CHECK_STR(vt_lm_numerics(lm), "fake/1");
    CHECK_STR(vt_lm_limits(lm)->backend, "fake");
    CHECK_INT(vt_lm_limits(lm)->burst, 8);
    uint64_t peak = 0;
    CHECK(vt_lm_bytes(lm, &peak) == 1000 && peak == 2000);
    CHECK(vt_lm_bytes(lm, NULL) == 1000);
    close_fake(lm);
    struct vt_lm_opts o = {.backends = both, .device = 3};
    CHECK_OK(vt_lm_open(ckpt, &o, &lm, &err), err);
    CHECK_STR(vt_lm_limits(lm)->backend, "ahead"); /* the first of the list */
    CHECK_INT(vt_lm_limits(lm)->device, 3);
    close_fake(lm);
    o.backend = "rocm";
    CHECK(vt_lm_open(ckpt, &o, &lm, &err) == VT_EUNSUPPORTED);
    says(VT_EUNSUPPORTED, "no backend \"rocm\" in this build; it has ahead, fake");
    fake.is_absent = true;
    o.backend = NULL;
    CHECK(vt_lm_open(ckpt, &o, &lm, &err) == VT_EUNSUPPORTED);
    says(VT_EUNSUPPORTED, "ahead: the fake has no device; fake: the fake has no device");
    o.backend = "fake";
    CHECK(vt_lm_open(ckpt, &o, &lm, &err) == VT_EUNSUPPORTED);
    o = (struct vt_lm_opts){.backends = none};
    CHECK(vt_lm_open(ckpt, &o, &lm, &err) == VT_EUNSUPPORTED);
    says(VT_EUNSUPPORTED, "no backend");
    fake_reset(2); /* works ahead without a way to wait: a fault of the backend's, named */
    o = (struct vt_lm_opts){.backends = both, .backend = "fake"};
    CHECK(vt_lm_open(ckpt, &o, &lm, &err) == VT_EINTERNAL);
    CHECK(lm == NULL);
    CHECK_INT(fake.models, 0);
    vt_ckpt_free(ckpt);
    ckpt = NULL;
}

static const struct test_case cases[] = {TEST(jobs_run_in_order),
                                         TEST(two_in_flight),
                                         TEST(one_slot_in_two_jobs),
                                         TEST(cancellation),
                                         TEST(closing),
                                         TEST(lifetimes),
                                         TEST(gradients_are_the_losses),
                                         TEST(handles),
                                         TEST(zero_and_poison),
                                         TEST(adam_moves_alone),
                                         TEST(calls_in_turn),
                                         TEST(devices_are_leased),
                                         TEST(choosing)};
TEST_MAIN(cases)
