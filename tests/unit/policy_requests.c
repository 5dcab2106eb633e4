/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_requests.c: the life of requests over both backends: every done is called once, whoever cancels or closes and
 * whenever; no lock is held when it is; limits on what runs at a time; handles that outlive their policy.
 */
#include "policy_common.h"
#include <pthread.h>

enum { LONG = 400 };

/* Everything there is, queued behind a long sample: closing ends each once, with ECANCELLED unless it was faster. */
static void closing_ends_everything_once(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made = update(p, start, 1e-3f, "x"), *loaded = NULL, *branch = NULL;
    struct ending e[7] = {ENDING, ENDING, ENDING, ENDING, ENDING, ENDING, ENDING};
    struct vt_sample out[MAX_N];
    struct vt_sample_request r = sample_request(start, MAX_N, LONG, out);
    const int32_t *tokens = batch_tokens[0];
    const int n = 4;
    float logp[4], *row = logp;
    struct vt_score_request s = {.weights = made,
                                 .prompt = some_prompt,
                                 .n_prompt = N_SOME_PROMPT,
                                 .n_rows = 1,
                                 .tokens = &tokens,
                                 .n = &n,
                                 .logprobs = &row};
    struct batch b, c;
    struct vt_update_request u = {.from = made,
                                  .seqs = b.seqs,
                                  .n = 2,
                                  .loss = VT_LOSS_DRO,
                                  .loss_opts = vt_loss_defaults,
                                  .opts = update_opts(1e-3f, "y")};
    vt_forward *f;

    make_batch(&b);
    make_batch(&c);
    CHECK_OK(vt_policy_sample(p, &r, on_end, &e[0], NULL, &err), err);
    CHECK_OK(vt_policy_score(p, &s, on_end, &e[1], NULL, &err), err);
    CHECK_OK(vt_policy_update(p, &u, on_end, &e[2], NULL, &err), err);
    CHECK_OK(vt_policy_forward(p, made, c.seqs, 2, false, &f, on_end, &e[3], NULL, &err), err);
    CHECK_OK(vt_weights_save(made, "/tmp/vegttt-closed", VT_SNAPSHOT_TRAINING, on_end, &e[4], NULL, &err), err);
    CHECK_OK(vt_weights_load(p, "/tmp/vegttt-closed", &loaded, on_end, &e[5], NULL, &err), err);
    CHECK_OK(vt_policy_branch(made, &branch, on_end, &e[6], NULL, &err), err);
    vt_policy_close(p);
    for (int i = 0; i < 7; i++) {
        CHECK_INT(e[i].n_done, 1);
        CHECK(e[i].mail.is_there);
        /* The snapshot may be looked for before it is written. */
        CHECK(e[i].mail.status == VT_ECANCELLED || e[i].mail.status == VT_OK ||
              (i == 5 && e[i].mail.status == VT_ENOENT));
    }
    if (e[0].mail.status == VT_OK)
        clear_samples(out, MAX_N);
    CHECK(u.made == NULL || e[2].mail.status == VT_OK);
    vt_forward_forget(f);
    vt_weights_unref(u.made);
    vt_weights_unref(loaded);
    vt_weights_unref(branch);
    vt_weights_unref(start);
    vt_weights_unref(made);
    (void)!vt_fs_remove_tree("/tmp/vegttt-closed", &err);
}

static void handles_outlive_their_policy(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made = update(p, start, 1e-3f, "x"), *out = NULL;
    struct batch b;
    struct ending e = ENDING;
    struct vt_update_opts o = update_opts(1e-3f, "y");
    char id[65];
    vt_request *ticket;
    vt_forward *f;

    make_batch(&b);
    CHECK_OK(vt_policy_forward(p, made, b.seqs, 2, false, &f, on_end, &e, &ticket, &err), err);
    CHECK_OK(wait_end(&e), err);
    memcpy(id, vt_weights_id(made), sizeof id);
    vt_policy_close(p);
    CHECK_STR(vt_weights_id(made), id);
    CHECK_INT(vt_weights_step(made), 1);
    CHECK_INT(vt_weights_save(made, "/tmp/vegttt-closed", VT_SNAPSHOT_TRAINING, on_end, &e, NULL, &err), VT_ECANCELLED);
    CHECK(strstr(err.msg, "was closed") != NULL);
    CHECK_INT(vt_policy_branch(made, &out, on_end, &e, NULL, &err), VT_ECANCELLED);
    CHECK(!vt_weights_next_id(made, &o, id));
    CHECK_INT(step(f, 1e-3f, "y", &out), VT_EINVAL);
    CHECK(strstr(err.msg, "was closed") != NULL);
    vt_request_cancel(ticket);
    vt_request_release(ticket);
    vt_forward_forget(f);
    vt_weights_unref(start);
    vt_weights_unref(made);
    CHECK_INT(e.n_done, 1);
}

/* Of two sample requests the second is cancelled, early or in the middle: the first is what it is alone. */
static void cancelling_one_leaves_the_others(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct vt_sample alone[4], kept[4], dropped[MAX_N];
    struct vt_sample_request r = sample_request(start, 4, 40, alone), keep = sample_request(start, 4, 40, kept);
    struct vt_sample_request drop = sample_request(start, MAX_N, LONG, dropped);

    drop.stream = "dropped/";
    CHECK_OK(run_sample(p, &r), err);
    for (int delay_us = 0; delay_us <= 2000; delay_us += 500) {
        struct ending a = ENDING, b = ENDING;
        vt_request *ticket;
        vt_status status;

        CHECK_OK(vt_policy_sample(p, &keep, on_end, &a, NULL, &err), err);
        CHECK_OK(vt_policy_sample(p, &drop, on_end, &b, &ticket, &err), err);
        usleep((useconds_t)delay_us);
        vt_request_cancel(ticket);
        vt_request_cancel(ticket);
        status = wait_end(&b);
        CHECK(status == VT_ECANCELLED || status == VT_OK);
        if (status == VT_ECANCELLED)
            CHECK(dropped[0].tokens == NULL && dropped[0].text == NULL);
        else
            clear_samples(dropped, MAX_N);
        CHECK_OK(wait_end(&a), err);
        vt_request_cancel(ticket); /* long over */
        vt_request_release(ticket);
        CHECK_INT(a.n_done + b.n_done, 2);
        for (int i = 0; i < 4 && vt_policy_caps(p)->seeds == VT_SEEDS_SAMPLE; i++) {
            CHECK_INT(kept[i].n_tokens, alone[i].n_tokens);
            CHECK_STR(kept[i].text, alone[i].text);
        }
        clear_samples(kept, 4);
    }
    clear_samples(alone, 4);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* A callback that makes requests and cancels others, which nobody could who held a lock while calling it. */
struct chain {
    vt_policy *p;
    vt_weights *w;
    struct ending score, sample;
    struct vt_score_request s;
    const int32_t *tokens;
    int n, n_each, n_started;
    float logp[4], *row;
    pthread_mutex_t mutex;
};

static void begin_score(struct chain *c)
{
    vt_err why;

    pthread_mutex_lock(&c->mutex);
    if (c->n_started++ == 0 && vt_policy_score(c->p, &c->s, on_end, &c->score, NULL, &why) != VT_OK)
        on_end(&c->score, why.code, &why);
    pthread_mutex_unlock(&c->mutex);
}

static void on_each(void *arg, int j)
{
    struct chain *c = arg;

    (void)j;
    c->n_each++;
    vt_weights_unref(vt_weights_ref(c->w));
    begin_score(c);
}

static void on_sampled(void *arg, vt_status status, const vt_err *why)
{
    struct chain *c = arg;

    begin_score(c);
    on_end(&c->sample, status, why);
}

static void callbacks_may_make_requests(void)
{
    vt_policy *p = open_policy();
    struct vt_sample out[4];
    struct chain c = {.p = p,
                      .w = vt_policy_start(p),
                      .score = ENDING,
                      .sample = ENDING,
                      .tokens = batch_tokens[0],
                      .n = 4,
                      .row = c.logp,
                      .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct vt_sample_request r = sample_request(c.w, 4, 40, out);

    c.s = (struct vt_score_request){.weights = c.w,
                                    .prompt = some_prompt,
                                    .n_prompt = N_SOME_PROMPT,
                                    .n_rows = 1,
                                    .tokens = &c.tokens,
                                    .n = &c.n,
                                    .logprobs = &c.row};
    r.each = on_each;
    r.each_arg = &c;
    CHECK_OK(vt_policy_sample(p, &r, on_sampled, &c, NULL, &err), err);
    CHECK_OK(wait_end(&c.sample), err);
    CHECK_OK(wait_end(&c.score), err);
    CHECK_INT(c.score.n_done, 1);
    CHECK(c.logp[0] < 0);
    clear_samples(out, 4);
    vt_weights_unref(c.w);
    vt_policy_close(p);
}

/* A server that takes two at a time is never sent a third; what waits can be cancelled before its turn. */
static void no_more_run_than_the_server_takes(void)
{
    const struct vt_policy_opts o = {.n_threads = 1};
    struct ending e[MAX_N] = {ENDING, ENDING, ENDING, ENDING, ENDING, ENDING, ENDING, ENDING};
    struct vt_sample out[MAX_N][2];
    struct vt_sample_request r[MAX_N];
    vt_request *ticket[MAX_N];
    vt_policy *p = NULL;
    vt_weights *start;

    if (!is_double())
        return;
    CHECK_OK(open_spec("double:requests=2,delay=20@" CHAT, &o, &p), err);
    start = vt_policy_start(p);
    double_counts_reset();
    for (int i = 0; i < MAX_N; i++) {
        r[i] = sample_request(start, 2, 8, out[i]);
        CHECK_OK(vt_policy_sample(p, &r[i], on_end, &e[i], &ticket[i], &err), err);
    }
    vt_request_cancel(ticket[7]);
    CHECK_INT(e[7].n_done, 1); /* at once: nobody else is at work on it */
    CHECK_INT(wait_end(&e[7]), VT_ECANCELLED);
    CHECK(strstr(err.msg, "before its turn") != NULL);
    for (int i = 0; i < MAX_N; i++) {
        if (i < 7)
            CHECK_OK(wait_end(&e[i]), err);
        vt_request_release(ticket[i]);
        if (i < 7)
            clear_samples(out[i], 2);
    }
    CHECK_INT(double_counts().most_running, 2);
    CHECK_INT(double_counts().n_sampled, 14);
    vt_weights_unref(start);
    vt_policy_close(p);
}

static void opening_can_be_cancelled(void)
{
    const struct vt_policy_opts o = {.n_threads = 1};
    struct ending e = ENDING;
    vt_request *ticket;
    vt_policy *p = NULL;
    vt_status status;

    CHECK_OK(vt_policy_open(backend->spec, &o, &p, on_end, &e, &ticket, &err), err);
    vt_request_cancel(ticket);
    status = wait_end(&e);
    CHECK(status == VT_ECANCELLED || status == VT_OK);
    CHECK_INT(p != NULL, status == VT_OK);
    CHECK_INT(e.n_done, 1);
    vt_request_release(ticket);
    vt_policy_close(p);
}

/* --- a cancel in the middle of a start --- */

static bool is_registered;
static int n_early;

static vt_status late_open(vt_policy *p, vt_request *r, vt_err *why)
{
    char id[65] = "late";

    (void)r;
    p->caps = (struct vt_policy_caps){.sample = true, .tokens = true, .top_p = true, .n_ctx = 100};
    VT_TRY(vt_weights_new(p, id, 0, NULL, NULL, &p->base, why));
    p->start = vt_weights_ref(p->base);
    return VT_OK;
}

/* Another thread cancels before the backend knows the request. */
static vt_status late_sample(vt_policy *p, vt_request *r, vt_err *why)
{
    (void)p;
    (void)why;
    is_registered = false;
    vt_request_cancel(r);
    is_registered = true;
    return VT_OK;
}

static void late_cancel(vt_policy *p, vt_request *r)
{
    vt_err why;

    (void)p;
    n_early += !is_registered;
    if (!is_registered)
        return;
    vt_fail(&why, VT_ECANCELLED, "cancelled late");
    vt_request_finish(r, VT_ECANCELLED, &why);
}

static void late_close(vt_policy *p)
{
    (void)p;
}

static void a_cancel_during_the_start_is_not_lost(void)
{
    static const struct vt_policy_backend late = {
        .scheme = "late", .open = late_open, .close = late_close, .sample = late_sample, .cancel = late_cancel};
    struct ending e = ENDING;
    struct vt_sample out[1];
    vt_policy *p = NULL;

    CHECK_OK(vt_policy_backend_add(&late, &err), err);
    CHECK_OK(open_spec("late:", NULL, &p), err);
    vt_weights *start = vt_policy_start(p);
    struct vt_sample_request r = sample_request(start, 1, 4, out);
    n_early = 0;
    CHECK_OK(vt_policy_sample(p, &r, on_end, &e, NULL, &err), err);
    CHECK_INT(n_early, 1);
    CHECK_INT(e.n_done, 1);
    vt_weights_unref(start);
    if (e.n_done) /* else closing would wait for ever */
        vt_policy_close(p);
}

/* --- many threads --- */

enum { N_THREADS = 4, N_ROUNDS = 12 };

struct stress {
    vt_policy *p;
    vt_weights *w;
    int seed;
};

static void *stress_thread(void *arg)
{
    const struct stress *s = arg;
    unsigned random = (unsigned)s->seed;

    for (int i = 0; i < N_ROUNDS; i++) {
        struct ending e = ENDING;
        struct vt_sample out[2];
        struct vt_sample_request r = sample_request(s->w, 2, 12, out);
        struct batch b;
        vt_request *ticket = NULL;
        vt_forward *f = NULL;
        vt_err why;
        vt_status status;
        const bool is_sample = rand_r(&random) % 2;

        make_batch(&b);
        status = is_sample ? vt_policy_sample(s->p, &r, on_end, &e, &ticket, &why)
                           : vt_policy_forward(s->p, s->w, b.seqs, 2, false, &f, on_end, &e, &ticket, &why);
        if (status != VT_OK)
            break;
        if (rand_r(&random) % 2)
            vt_request_cancel(ticket);
        status = vt_mail_wait(&e.mail, &why);
        if (is_sample && status == VT_OK)
            clear_samples(out, 2);
        vt_request_release(ticket);
        vt_forward_forget(f);
    }
    return NULL;
}

/* Requests and cancels from four threads at once, with one more that makes weights; for the sanitizers. */
static void threads_do_not_meet(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct stress s[N_THREADS];
    pthread_t threads[N_THREADS];

    for (int i = 0; i < N_THREADS; i++) {
        s[i] = (struct stress){.p = p, .w = start, .seed = i + 1};
        CHECK_INT(pthread_create(&threads[i], NULL, stress_thread, &s[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        vt_weights_unref(update(p, start, 1e-3f, "x"));
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    vt_weights_unref(start);
    vt_policy_close(p);
}

static const struct test_case cases[] = {
    TEST(closing_ends_everything_once),          TEST(handles_outlive_their_policy),
    TEST(cancelling_one_leaves_the_others),      TEST(callbacks_may_make_requests),
    TEST(no_more_run_than_the_server_takes),     TEST(opening_can_be_cancelled),
    TEST(a_cancel_during_the_start_is_not_lost), TEST(threads_do_not_meet)};
POLICY_TEST_MAIN(cases)
