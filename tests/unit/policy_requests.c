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

/* --- updates in two halves, of a backend whose halves wait, or are refused, as the test says --- */

static struct {
    bool forward_waits, step_waits, step_refuses, too_late; /* too_late: a cancelled half ends well all the same */
    vt_request **parent;                                    /* is cancelled while a half starts that waits */
    vt_request *forward;                                    /* the last one that waits */
    int n_forwards, n_steps, n_cancelled;
} halves;

static vt_status halves_open(vt_policy *p, vt_request *r, vt_err *why)
{
    VT_TRY(late_open(p, r, why));
    p->caps.forward = p->caps.update = true;
    p->caps.max_requests = 1;
    return VT_OK;
}

static vt_status halves_forward(vt_policy *p, vt_request *r, vt_err *why)
{
    (void)p;
    (void)why;
    halves.n_forwards++;
    halves.forward = r;
    if (halves.parent && !halves.step_waits)
        vt_request_cancel(*halves.parent);
    if (!halves.forward_waits)
        vt_request_finish(r, VT_OK, NULL);
    return VT_OK;
}

static vt_status halves_step(vt_policy *p, vt_request *r, vt_err *why)
{
    char id[65] = "stepped";
    if (halves.step_refuses)
        return vt_fail(why, VT_ENOMEM, "no room for a step");
    halves.n_steps++;
    if (halves.parent && halves.step_waits)
        vt_request_cancel(*halves.parent);
    if (halves.step_waits)
        return VT_OK;
    VT_TRY(vt_weights_new(p, id, 1, NULL, NULL, r->out, why));
    vt_request_finish(r, VT_OK, NULL);
    return VT_OK;
}

static void halves_cancel(vt_policy *p, vt_request *r)
{
    vt_err why;

    (void)p;
    halves.n_cancelled++;
    if (halves.too_late) {
        vt_request_finish(r, VT_OK, NULL);
        return;
    }
    vt_fail(&why, VT_ECANCELLED, "a half was cancelled");
    vt_request_finish(r, VT_ECANCELLED, &why);
}

static vt_policy *open_halves(void)
{
    static const struct vt_policy_backend table = {.scheme = "halves",
                                                   .open = halves_open,
                                                   .close = late_close,
                                                   .forward = halves_forward,
                                                   .step = halves_step,
                                                   .cancel = halves_cancel};
    static bool is_added;
    vt_policy *p = NULL;

    memset(&halves, 0, sizeof halves);
    if (!is_added)
        CHECK_OK(vt_policy_backend_add(&table, &err), err);
    is_added = true;
    CHECK_OK(open_spec("halves:", NULL, &p), err);
    return p;
}

static struct vt_update_request halves_update(vt_weights *from, struct batch *b)
{
    return (struct vt_update_request){.from = from,
                                      .seqs = b->seqs,
                                      .n = 2,
                                      .loss = VT_LOSS_CROSS_ENTROPY,
                                      .loss_opts = vt_loss_defaults,
                                      .opts = update_opts(1e-3f, "x")};
}

/* Whoever cancels an update in halves stops the half that is at work, the first or the second. */
static void cancelling_an_update_stops_its_half(void)
{
    for (int second = 0; second < 2; second++) {
        vt_policy *p = open_halves();
        vt_weights *start = vt_policy_start(p);
        struct batch b;
        struct ending e = ENDING;
        vt_request *ticket;
        struct vt_update_request u = halves_update(start, &b);

        make_batch(&b);
        halves.forward_waits = !second;
        halves.step_waits = second;
        CHECK_OK(vt_policy_update(p, &u, on_end, &e, &ticket, &err), err);
        CHECK_INT(halves.n_steps, second);
        CHECK_INT(e.n_done, 0);
        vt_request_cancel(ticket);
        CHECK_INT(halves.n_cancelled, 1);
        CHECK_INT(e.n_done, 1);
        vt_request_release(ticket);
        vt_weights_unref(start);
        if (e.n_done) { /* else closing would wait for ever */
            CHECK_INT(e.mail.status, VT_ECANCELLED);
            vt_policy_close(p);
        }
        CHECK(u.made == NULL);
    }
}

/* A cancel that comes while a half starts finds no ticket of it yet; one that comes too late for the first half still
 * stops the update before the second. */
static void a_cancel_between_halves_is_not_lost(void)
{
    enum { AT_FORWARD, AT_STEP, TOO_LATE };
    for (int when = AT_FORWARD; when <= TOO_LATE; when++) {
        vt_policy *p = open_halves();
        vt_weights *start = vt_policy_start(p);
        struct batch b;
        struct ending e = ENDING;
        vt_request *ticket = NULL;
        struct vt_update_request u = halves_update(start, &b);

        make_batch(&b);
        halves.forward_waits = true;
        halves.step_waits = when == AT_STEP;
        halves.too_late = when == TOO_LATE;
        halves.parent = when == TOO_LATE ? NULL : &ticket;
        CHECK_OK(vt_policy_update(p, &u, on_end, &e, &ticket, &err), err);
        if (when == TOO_LATE)
            vt_request_cancel(ticket);
        if (when == AT_STEP)
            vt_request_finish(halves.forward, VT_OK, NULL);
        CHECK_INT(halves.n_steps, when == AT_STEP);
        CHECK_INT(e.n_done, 1);
        CHECK_INT(e.mail.status, VT_ECANCELLED);
        vt_request_release(ticket);
        vt_weights_unref(start);
        vt_weights_unref(u.made);
        if (e.n_done)
            vt_policy_close(p);
    }
}

static void an_update_fits_the_context(void)
{
    static const int32_t ids[101] = {0};
    static const struct {
        int n_prompt, n;
        vt_status status;
    } sizes[] = {{60, 40, VT_OK}, {60, 41, VT_ELIMIT}, {101, 0, VT_ELIMIT}, {0, 4, VT_ELIMIT}, {60, -1, VT_ELIMIT}};
    float numbers[101] = {0};
    vt_policy *p = open_halves();
    vt_weights *start = vt_policy_start(p);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct vt_train_seq q = {.prompt = ids,
                                 .n_prompt = sizes[i].n_prompt,
                                 .tokens = ids,
                                 .n_tokens = sizes[i].n,
                                 .logp = numbers,
                                 .w = numbers};
        struct ending e = ENDING;
        vt_forward *f = NULL;

        CHECK_INT(vt_policy_forward(p, start, &q, 1, false, &f, on_end, &e, NULL, &err), sizes[i].status);
        vt_forward_forget(f);
    }
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* A step that the backend does not even begin leaves its forward as it was: the next step takes it. */
static void a_refused_step_leaves_its_forward(void)
{
    vt_policy *p = open_halves();
    vt_weights *start = vt_policy_start(p), *made = NULL;
    struct batch b;
    vt_forward *f;

    make_batch(&b);
    f = forward(p, start, &b);
    halves.step_refuses = true;
    CHECK_INT(step(f, 1e-3f, "x", &made), VT_ENOMEM);
    halves.step_refuses = false;
    CHECK_OK(step(f, 1e-3f, "x", &made), err);
    CHECK(made != NULL);
    CHECK(halves.n_forwards == 1 && halves.n_steps == 1);
    vt_forward_forget(f);
    vt_weights_unref(made);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* --- a backend that does nothing: what reaches it, and what does not --- */
static bool opening_is_cancelled;

static vt_status bound_score(vt_policy *p, vt_request *r, vt_err *why)
{
    (void)p;
    (void)why;
    vt_request_finish(r, VT_OK, NULL);
    return VT_OK;
}

static vt_status bound_open(vt_policy *p, vt_request *r, vt_err *why)
{
    if (opening_is_cancelled)
        vt_request_cancel(r);
    VT_TRY(late_open(p, r, why));
    p->caps.score = true;
    return VT_OK;
}

static vt_status open_bound(vt_policy **out)
{
    static const struct vt_policy_backend table = {.scheme = "bound",
                                                   .open = bound_open,
                                                   .close = late_close,
                                                   .score = bound_score,
                                                   .sample = bound_score,
                                                   .cancel = late_cancel};
    static bool is_added;
    if (!is_added)
        CHECK_OK(vt_policy_backend_add(&table, &err), err);
    is_added = true;
    return open_spec("bound:", NULL, out);
}

/* Whoever cancelled an opening is not handed a model, though the backend may not have noticed. */
static void a_cancelled_opening_gives_no_model(void)
{
    vt_policy *p = NULL;
    opening_is_cancelled = true;
    CHECK_INT(open_bound(&p), VT_ECANCELLED);
    CHECK(p == NULL);
    opening_is_cancelled = false;
}

/* What fills the context exactly may be scored, one token more reaches no backend: it would trust the door. */
static void a_score_fits_the_context(void)
{
    static const struct {
        int n_prompt, n;
        vt_status status;
    } sizes[] = {{60, 40, VT_OK},     {60, 41, VT_ELIMIT}, {100, 0, VT_OK},
                 {101, 0, VT_ELIMIT}, {60, -1, VT_ELIMIT}, {0, 5, VT_EINVAL}};
    int32_t ids[101] = {0};
    const int32_t *rows[2] = {ids, ids};
    float out[101], *outs[2] = {out, out};
    vt_policy *p = NULL;

    CHECK_OK(open_bound(&p), err);
    vt_weights *start = vt_policy_start(p);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int n[2] = {1, sizes[i].n}; /* the second row is looked at too */
        const int n_rows = sizes[i].n_prompt == 100 || sizes[i].n_prompt == 101 ? 1 : 2;
        struct vt_score_request r = {.weights = start,
                                     .prompt = ids,
                                     .n_prompt = sizes[i].n_prompt,
                                     .n_rows = n_rows,
                                     .tokens = rows,
                                     .n = n_rows == 1 ? n + 1 : n,
                                     .logprobs = outs};
        struct ending e = ENDING;
        vt_status status = vt_policy_score(p, &r, on_end, &e, NULL, &err);

        CHECK_INT(status, sizes[i].status);
        CHECK_INT(e.n_done, status == VT_OK);
    }
    for (int more = 0; more < 2; more++) {
        struct vt_sample sample[1];
        struct vt_sample_request r = sample_request(start, 1, 40 + more, sample);
        struct ending e = ENDING;

        r.prompt = ids;
        r.n_prompt = 60;
        CHECK_INT(vt_policy_sample(p, &r, on_end, &e, NULL, &err), more ? VT_ELIMIT : VT_OK);
    }
    vt_weights_unref(start);
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

static const struct test_case cases[] = {TEST(closing_ends_everything_once),
                                         TEST(handles_outlive_their_policy),
                                         TEST(cancelling_one_leaves_the_others),
                                         TEST(callbacks_may_make_requests),
                                         TEST(no_more_run_than_the_server_takes),
                                         TEST(opening_can_be_cancelled),
                                         TEST(a_cancel_during_the_start_is_not_lost),
                                         TEST(cancelling_an_update_stops_its_half),
                                         TEST(a_cancel_between_halves_is_not_lost),
                                         TEST(an_update_fits_the_context),
                                         TEST(a_cancelled_opening_gives_no_model),
                                         TEST(a_refused_step_leaves_its_forward),
                                         TEST(a_score_fits_the_context),
                                         TEST(threads_do_not_meet)};
POLICY_TEST_MAIN(cases)
