/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_update.c: updates over both backends: that they move weights the right way, whole and in halves; that weights
 * flow in and out by name, with no state between a forward and its step; what a handle says when it cannot go on; ids,
 * branches, refusals.
 */
#include "policy/native.h"
#include "policy_common.h"
#include <limits.h>

static void learning_moves_the_right_way(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made = update(p, start, 1e-2f, "first");
    vt_weights *still = update(p, start, 0, "nothing");

    CHECK(logp_of(p, made, 0) > logp_of(p, start, 0) + 0.01);
    CHECK(logp_of(p, made, 1) < logp_of(p, start, 1) - 0.01);
    CHECK_NEAR(logp_of(p, still, 0), logp_of(p, start, 0), 0);
    CHECK_INT(vt_weights_step(made), 1);
    vt_weights_unref(start);
    vt_weights_unref(made);
    vt_weights_unref(still);
    vt_policy_close(p);
}

/* A backend with losses of its own gives what forward, vt_loss_weights and step give, bit for bit here. */
static void an_update_is_its_halves(void)
{
    vt_policy *p = open_policy();
    const struct double_counts before = double_counts();
    vt_weights *start = vt_policy_start(p), *halves = NULL;
    struct batch whole, b;
    struct vt_mail m = VT_MAIL;
    struct vt_update_request u = {.from = start,
                                  .seqs = whole.seqs,
                                  .n = 2,
                                  .loss = VT_LOSS_CISPO,
                                  .loss_opts = vt_loss_defaults,
                                  .opts = update_opts(1e-2f, "same")};
    vt_forward *f;

    make_batch(&whole);
    make_batch(&b);
    CHECK_OK(vt_policy_update(p, &u, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    CHECK_INT(double_counts().n_forwards, before.n_forwards); /* one request, where the server takes it */
    CHECK_INT(double_counts().n_trained - before.n_trained, is_double() ? 1 : 0);
    f = forward(p, start, &b);
    for (int i = 0; i < 2; i++) {
        CHECK(memcmp(b.logp[i], whole.logp[i], sizeof b.logp[i]) == 0);
        vt_loss_weights(VT_LOSS_CISPO, &vt_loss_defaults, b.logp[i], b.logq[i], b.advantage[i], 4, b.w[i]);
        CHECK(memcmp(b.w[i], whole.w[i], sizeof b.w[i]) == 0);
        CHECK(b.w[i][0] != 0);
    }
    CHECK_OK(step(f, 1e-2f, "same", &halves), err);
    vt_forward_forget(f);
    CHECK_NEAR(logp_of(p, halves, 0), logp_of(p, u.made, 0), 0);
    CHECK(u.report.grad_norm > 0 && u.report.n_tokens == 28);
    CHECK_INT(strcmp(vt_weights_id(halves), vt_weights_id(u.made)) == 0, vt_policy_caps(p)->ids_ahead);
    vt_weights_unref(start);
    vt_weights_unref(halves);
    vt_weights_unref(u.made);
    vt_policy_close(p);
}

/* Two updates with one digest from two weights, all of their halves interleaved: each has its own parent, so the ids
 * differ, and each state is the one that the same update gives alone. */
static void a_forward_names_the_weights_it_starts_from(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *other = update(p, start, 5e-2f, "other"), *a, *b, *alone_a, *alone_b;
    struct batch batch_a, batch_b;
    vt_forward *fa, *fb;

    make_batch(&batch_a);
    make_batch(&batch_b);
    fa = forward(p, start, &batch_a);
    fb = forward(p, other, &batch_b);
    CHECK(batch_a.logp[0][0] != batch_b.logp[0][0]);
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < 4; t++)
            batch_a.w[i][t] = batch_b.w[i][t] = batch_a.advantage[i][t];
    CHECK_OK(step(fb, 1e-2f, "same", &b), err);
    CHECK_OK(step(fa, 1e-2f, "same", &a), err);
    vt_forward_forget(fa);
    vt_forward_forget(fb);
    CHECK(strcmp(vt_weights_id(a), vt_weights_id(b)) != 0);
    fa = forward(p, start, &batch_a);
    CHECK_OK(step(fa, 1e-2f, "same", &alone_a), err);
    fb = forward(p, other, &batch_b);
    CHECK_OK(step(fb, 1e-2f, "same", &alone_b), err);
    vt_forward_forget(fa);
    vt_forward_forget(fb);
    CHECK_NEAR(logp_of(p, a, 0), logp_of(p, alone_a, 0), 0);
    CHECK_NEAR(logp_of(p, b, 0), logp_of(p, alone_b, 0), 0);
    if (vt_policy_caps(p)->ids_ahead) {
        CHECK_STR(vt_weights_id(a), vt_weights_id(alone_a));
        CHECK_STR(vt_weights_id(b), vt_weights_id(alone_b));
    }
    vt_weights_unref(start);
    vt_weights_unref(other);
    vt_weights_unref(a);
    vt_weights_unref(b);
    vt_weights_unref(alone_a);
    vt_weights_unref(alone_b);
    vt_policy_close(p);
}

static void expect_no_step(vt_forward *f, const char *says)
{
    vt_weights *made = NULL;

    CHECK_INT(step(f, 1e-3f, "x", &made), VT_EINVAL);
    CHECK(made == NULL);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
}

static void a_handle_says_why_it_cannot_go_on(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made;
    const struct vt_update_opts o = update_opts(1e-3f, "x");
    struct vt_update_report report;
    struct batch b;
    struct ending e = ENDING;
    vt_request *ticket;
    vt_forward *f;
    vt_status status;

    make_batch(&b);
    f = forward(p, start, &b);
    CHECK_OK(vt_policy_step(f, &o, &made, &report, on_end, &e, NULL, &err), err);
    expect_no_step(f, "stepped already"); /* at work on it, or done */
    CHECK_OK(wait_end(&e), err);
    expect_no_step(f, "stepped already");
    vt_forward_forget(f);
    /* A forward that is cancelled in time poisons its handle; one that was faster leaves it ready. */
    CHECK_OK(vt_policy_forward(p, start, b.seqs, 2, false, &f, on_end, &e, &ticket, &err), err);
    vt_request_cancel(ticket);
    status = wait_end(&e);
    CHECK_INT(e.n_done, 2);
    if (status == VT_ECANCELLED)
        expect_no_step(f, "failed before");
    else
        CHECK_OK(status, err);
    vt_request_release(ticket);
    vt_forward_forget(f);
    vt_weights_unref(made);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Measuring how far the halves agree takes another way to the same gradient. */
static void agreement_is_measured_beside(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *plain = NULL, *measured = NULL;
    const struct vt_update_opts o = update_opts(1e-2f, "x");
    struct vt_update_report report;
    struct batch b;
    struct vt_mail m = VT_MAIL;
    vt_forward *f;

    if (vt_policy_caps(p)->agreement) {
        make_batch(&b);
        memcpy(b.w, b.advantage, sizeof b.w);
        f = forward(p, start, &b);
        CHECK_OK(vt_policy_step(f, &o, &plain, &report, vt_mail_deliver, &m, NULL, &err), err);
        CHECK_OK(vt_mail_wait(&m, &err), err);
        CHECK(isnan(report.agreement));
        vt_forward_forget(f);
        CHECK_OK(vt_policy_forward(p, start, b.seqs, 2, true, &f, vt_mail_deliver, &m, NULL, &err), err);
        CHECK_OK(vt_mail_wait(&m, &err), err);
        CHECK_OK(vt_policy_step(f, &o, &measured, &report, vt_mail_deliver, &m, NULL, &err), err);
        CHECK_OK(vt_mail_wait(&m, &err), err);
        CHECK(report.agreement > -1 && report.agreement < 1);
        vt_forward_forget(f);
        for (int i = 0; i < 2; i++)
            CHECK_NEAR(logp_of(p, measured, i), logp_of(p, plain, i), 0.05); /* Adam turns the last bits into steps */
        CHECK(logp_of(p, plain, 1) < logp_of(p, start, 1) - 0.01);
    }
    vt_weights_unref(plain);
    vt_weights_unref(measured);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* A step that fails poisons its handle too, and says how it failed. */
static void a_failed_step_poisons_the_handle(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made = NULL;
    struct vt_update_opts o = update_opts(1e-3f, "x");
    struct vt_update_report report;
    struct batch b;
    struct vt_mail m = VT_MAIL;
    vt_forward *f;
    vt_status status;

    make_batch(&b);
    f = forward(p, start, &b);
    o.trained_on = "this is not JSON";
    status = vt_policy_step(f, &o, &made, &report, vt_mail_deliver, &m, NULL, &err);
    if (status == VT_OK)
        status = vt_mail_wait(&m, &err);
    CHECK_INT(status, VT_EFORMAT);
    CHECK(made == NULL);
    expect_no_step(f, "trained_on");
    vt_forward_forget(f);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Whoever gives an update up, at any moment, does not stand in the way of the next one. */
static void a_forgotten_update_leaves_the_way_free(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made;
    struct batch b[4];
    struct ending e[4] = {ENDING, ENDING, ENDING, ENDING};

    for (int i = 0; i < 4; i++) {
        vt_forward *f;

        make_batch(&b[i]);
        CHECK_OK(vt_policy_forward(p, start, b[i].seqs, 2, false, &f, on_end, &e[i], NULL, &err), err);
        if (i % 2)
            (void)!wait_end(&e[i]);
        vt_forward_forget(f);
    }
    made = update(p, start, 1e-2f, "after");
    CHECK(logp_of(p, made, 0) > logp_of(p, start, 0));
    for (int i = 0; i < 4; i += 2)
        (void)!wait_end(&e[i]);
    for (int i = 0; i < 4; i++)
        CHECK_INT(e[i].n_done, 1);
    vt_weights_unref(made);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Behind a request that takes all the room there is, a forward waits; forgetting it ends it there and then. */
static void forgetting_stops_a_forward(void)
{
    const struct vt_policy_opts o = {.rank = 4, .n_threads = 1};
    struct ending sampled = ENDING, forwarded = ENDING;
    struct vt_sample out[MAX_N];
    vt_policy *p = NULL;
    vt_forward *f;
    struct batch b;

    if (!is_double())
        return;
    CHECK_OK(open_spec("double:requests=1,delay=200@" CHAT, &o, &p), err);
    vt_weights *start = vt_policy_start(p);
    struct vt_sample_request r = sample_request(start, MAX_N, 400, out);
    make_batch(&b);
    CHECK_OK(vt_policy_sample(p, &r, on_end, &sampled, NULL, &err), err);
    CHECK_OK(vt_policy_forward(p, start, b.seqs, 2, false, &f, on_end, &forwarded, NULL, &err), err);
    vt_forward_forget(f);
    CHECK_INT(wait_end(&forwarded), VT_ECANCELLED);
    CHECK_OK(wait_end(&sampled), err);
    clear_samples(out, MAX_N);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Every option of the optimiser reaches it. */
static void options_reach_the_optimiser(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *one = update(p, start, 1e-2f, "one");
    struct batch b;
    double plain = 0;

    for (int option = 0; option < 4; option++) {
        struct vt_update_opts o = update_opts(1e-2f, "two");
        struct vt_update_report report;
        struct vt_mail m = VT_MAIL;
        vt_weights *made = NULL;
        vt_forward *f;

        if (option == 1)
            o.weight_decay = 5;
        if (option == 2)
            o.grad_clip = 1e-3f;
        if (option == 3)
            o.beta1 = 0;
        make_batch(&b);
        memcpy(b.w, b.advantage, sizeof b.w);
        f = forward(p, one, &b);
        CHECK_OK(vt_policy_step(f, &o, &made, &report, vt_mail_deliver, &m, NULL, &err), err);
        CHECK_OK(vt_mail_wait(&m, &err), err);
        vt_forward_forget(f);
        if (option == 0)
            plain = logp_of(p, made, 0);
        else
            CHECK(fabs(logp_of(p, made, 0) - plain) > 1e-3);
        vt_weights_unref(made);
    }
    vt_weights_unref(start);
    vt_weights_unref(one);
    vt_policy_close(p);
}

static uint64_t bytes_of(const vt_policy *p)
{
    return vt_lm_bytes(vt_native_of(p)->lm, NULL);
}

/* What a forward keeps goes when it is forgotten, and when it was stepped, however long its handle lives. */
static void memory_goes_with_the_update(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made = NULL;
    struct batch b;
    uint64_t before = 0, kept;
    vt_forward *f;

    make_batch(&b);
    for (int round = 0; round < 2 && !is_double(); round++) { /* the first one sizes the model's own buffers */
        before = bytes_of(p);
        f = forward(p, start, &b);
        kept = bytes_of(p);
        CHECK(kept > before);
        vt_forward_forget(f);
        if (round == 1)
            CHECK_INT((long long)bytes_of(p), (long long)before);
        f = forward(p, start, &b);
        CHECK_OK(step(f, 1e-3f, "x", &made), err);
        vt_weights_unref(made);
        CHECK(bytes_of(p) < kept); /* the handle still holds what it trained, but no tape */
        vt_forward_forget(f);
        if (round == 1)
            CHECK_INT((long long)bytes_of(p), (long long)before);
    }
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Whole updates of `long` sequences under a memory limit; the tokens that were computed, 0 when it does not fit. */
static uint64_t computed_under(uint64_t max_memory, double *logp)
{
    enum { N = 6, LEN = 300 };
    static int32_t tokens[N][LEN];
    static float buffers[N][4][LEN];
    const struct vt_policy_opts o = {.rank = 4, .init_seed = 5, .n_threads = 1, .max_memory = max_memory};
    struct vt_train_seq seqs[N];
    struct vt_mail m = VT_MAIL;
    vt_policy *p = NULL;
    struct vt_update_request u = {.seqs = seqs,
                                  .n = N,
                                  .loss = VT_LOSS_CROSS_ENTROPY,
                                  .loss_opts = vt_loss_defaults,
                                  .opts = update_opts(1e-2f, "x")};
    vt_status status = open_spec(CHAT, &o, &p);

    for (int i = 0; i < N; i++) {
        for (int t = 0; t < LEN; t++) {
            tokens[i][t] = 65 + (i * 7 + t * (i + 1)) % 26;
            buffers[i][0][t] = i % 2 ? -1 : 0.5f * (float)(i + 1);
        }
        seqs[i] = (struct vt_train_seq){.prompt = some_prompt,
                                        .n_prompt = N_SOME_PROMPT,
                                        .tokens = tokens[i],
                                        .n_tokens = LEN,
                                        .advantage = buffers[i][0],
                                        .logp = buffers[i][1],
                                        .w = buffers[i][2]};
    }
    if (status == VT_OK) {
        u.from = vt_policy_start(p);
        status = vt_policy_update(p, &u, vt_mail_deliver, &m, NULL, &err);
        if (status == VT_OK)
            status = vt_mail_wait(&m, &err);
    }
    CHECK(status == VT_OK || status == VT_ENOMEM);
    if (status == VT_OK)
        *logp = logp_of(p, u.made, 0);
    vt_weights_unref(u.made);
    vt_weights_unref(u.from);
    vt_policy_close(p);
    return status == VT_OK ? u.report.n_tokens_computed : 0;
}

/* Where not all activations fit, the batch is cut, and what was not kept is computed again: the same update, by more
 * computed tokens (each part has the prompt), down to the limit under which one sequence does not fit. */
static void a_small_memory_costs_time_only(void)
{
    double whole = 0, cut = 0;
    uint64_t n_whole, n;
    int n_cut = 0;

    if (is_double())
        return;
    n_whole = computed_under(64u << 20, &whole);
    CHECK_INT((long long)n_whole, N_SOME_PROMPT + 6 * 300);
    for (uint64_t limit = 32u << 20; (n = computed_under(limit, &cut)) > 0; limit -= limit / 8) {
        CHECK_NEAR(cut, whole, 1e-3);
        n_cut += n > n_whole;
    }
    CHECK(n_cut > 0);
}

/* Both lines from one branch point give what the line that was there gives; where the server's models move, each line
 * has a model of its own. */
static void branches_train_apart(void)
{
    const int n_models = double_counts().n_models;
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *one = update(p, start, 1e-2f, "one"), *twin = NULL, *left, *right, *third;
    struct vt_mail m = VT_MAIL;

    CHECK_OK(vt_policy_branch(one, &twin, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    CHECK_STR(vt_weights_id(twin), vt_weights_id(one));
    CHECK_INT(vt_weights_step(twin), 1);
    CHECK_INT(twin == one, !vt_policy_caps(p)->branch_makes_model);
    left = update(p, one, 1e-2f, "two");
    right = update(p, twin, 1e-2f, "two");
    third = update(p, one, 1e-2f, "two"); /* its model has gone with `left` */
    CHECK_NEAR(logp_of(p, right, 0), logp_of(p, left, 0), 0);
    CHECK_NEAR(logp_of(p, third, 0), logp_of(p, left, 0), 0);
    CHECK(logp_of(p, left, 0) != logp_of(p, one, 0));
    CHECK_INT(double_counts().n_models - n_models, is_double() ? 3 : 0);
    vt_weights_unref(start);
    vt_weights_unref(one);
    vt_weights_unref(twin);
    vt_weights_unref(left);
    vt_weights_unref(right);
    vt_weights_unref(third);
    vt_policy_close(p);
}

/* Where ids are known ahead, every field of the update is in them. */
static void ids_name_the_whole_update(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made;
    struct vt_update_opts o = update_opts(1e-3f, "digest"), changed[8];
    char id[65], other[65];

    for (int i = 0; i < 8; i++)
        changed[i] = o;
    changed[0].lr = 2e-3f;
    changed[1].beta1 = 0.8f;
    changed[2].eps = 1e-8f;
    changed[3].weight_decay = 0.1f;
    changed[4].grad_clip = 1;
    changed[5].digest = "another";
    changed[6].agreement = true;
    changed[7].beta2 = 0.9f;
    CHECK_INT(vt_weights_next_id(start, &o, id), vt_policy_caps(p)->ids_ahead);
    for (int i = 0; i < 8 && vt_policy_caps(p)->ids_ahead; i++) {
        CHECK(vt_weights_next_id(start, &changed[i], other));
        CHECK(strcmp(id, other) != 0);
    }
    made = update(p, start, 1e-3f, "digest");
    if (vt_policy_caps(p)->ids_ahead)
        CHECK_STR(vt_weights_id(made), id);
    CHECK_INT((long long)strlen(vt_weights_id(made)), 64);
    CHECK_STR(vt_weights_trained_on(made), "{\"families\":[],\"tasks\":[]}");
    vt_weights_unref(made);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Every task and family once, whatever weights and update name of it. */
static void what_was_trained_on_stands_once(void)
{
    char *merged = NULL;

    CHECK_OK(vt_identity_merge_trained_on("{\"tasks\":[1,2],\"families\":[\"a\"]}",
                                          "{\"tasks\":[2,3],\"families\":[\"a\",\"b\"]}", &merged, &err),
             err);
    CHECK_STR(merged, "{\"families\":[\"a\",\"b\"],\"tasks\":[1,2,3]}");
    free(merged);
}

static vt_status try_forward(vt_policy *p, vt_weights *w, struct vt_train_seq *q, size_t n, bool agreement)
{
    struct vt_mail m = VT_MAIL;
    vt_forward *f = NULL;
    vt_status status = vt_policy_forward(p, w, q, n, agreement, &f, vt_mail_deliver, &m, NULL, &err);

    CHECK((f == NULL) == (status != VT_OK));
    if (status == VT_OK)
        status = vt_mail_wait(&m, &err);
    vt_forward_forget(f);
    return status;
}

static void refusals_name_what_and_why(void)
{
    vt_policy *p = open_policy(), *other = open_policy();
    vt_weights *start = vt_policy_start(p), *foreign = vt_policy_start(other);
    struct vt_update_request u;
    struct batch b;

    make_batch(&b);
    CHECK_INT(try_forward(p, start, b.seqs, 0, false), VT_EINVAL);
    CHECK(strstr(err.msg, "empty batch") != NULL);
    CHECK_INT(try_forward(p, foreign, b.seqs, 2, false), VT_EINVAL);
    CHECK(strstr(err.msg, "belong to") != NULL);
    /* Together they pass INT_MAX; the sum must not wrap into something small. */
    b.seqs[1].n_tokens = INT_MAX;
    CHECK_INT(try_forward(p, start, b.seqs, 2, false), VT_ELIMIT);
    CHECK(strstr(err.msg, "sequence 2") != NULL);
    b.seqs[1].n_tokens = 4;
    b.seqs[1].n_prompt = INT_MAX;
    CHECK_INT(try_forward(p, start, b.seqs, 2, false), VT_ELIMIT);
    b.seqs[1].n_prompt = N_SOME_PROMPT;
    CHECK_INT(try_forward(p, start, b.seqs, 2, true), vt_policy_caps(p)->agreement ? VT_OK : VT_EUNSUPPORTED);
    u = (struct vt_update_request){.from = start,
                                   .seqs = b.seqs,
                                   .n = 2,
                                   .loss = VT_LOSS_PPO,
                                   .loss_opts = vt_loss_defaults,
                                   .opts = update_opts(-1, "x")};
    CHECK_INT(vt_policy_update(p, &u, vt_mail_deliver, NULL, NULL, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "lr must be") != NULL);
    u.opts.lr = 1;
    u.opts.beta2 = 1;
    CHECK_INT(vt_policy_update(p, &u, vt_mail_deliver, NULL, NULL, &err), VT_EINVAL);
    u.opts = update_opts(1, "x");
    b.seqs[1].logq = NULL;
    CHECK_INT(vt_policy_update(p, &u, vt_mail_deliver, NULL, NULL, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "sequence 2") != NULL);
    vt_weights_unref(start);
    vt_weights_unref(foreign);
    vt_policy_close(p);
    vt_policy_close(other);
}

/* A server that trains on its own losses only: the halves are refused, the whole is not. */
static void built_in_losses_only(void)
{
    struct vt_policy_opts o = {.rank = 4, .n_threads = 1};
    vt_policy *p = NULL;
    vt_weights *start, *made;
    struct batch b;

    if (!is_double())
        return;
    CHECK_OK(open_spec("double:whole@" CHAT, &o, &p), err);
    start = vt_policy_start(p);
    make_batch(&b);
    CHECK_INT(try_forward(p, start, b.seqs, 2, false), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "built-in losses") != NULL);
    made = update(p, start, 1e-2f, "x");
    CHECK(logp_of(p, made, 0) > logp_of(p, start, 0));
    vt_weights_unref(start);
    vt_weights_unref(made);
    vt_policy_close(p);
}

/* One ratio for a sequence: the geometric mean of its tokens', here exp(0.2 / 4), not a token's own. */
static void gspo_weighs_sequences(void)
{
    const float logp[] = {-1, -1, -1, -1}, logq[] = {-1, -1.5f, -0.7f, -1}, a[] = {2, 2, 2, 2},
                bad[] = {-2, -2, -2, -2};
    const struct vt_loss_opts wide = {.clip_lo = 0.8, .clip_hi = 1.2}, narrow = vt_loss_defaults_of(VT_LOSS_GSPO);
    float w[4];

    vt_loss_weights(VT_LOSS_GSPO, &wide, logp, logq, a, 4, w);
    for (int t = 0; t < 4; t++)
        CHECK_NEAR(w[t], exp(0.05) * 2 / 4, 1e-6);
    vt_loss_weights(VT_LOSS_GSPO, &narrow, logp, logq, a, 4, w);
    for (int t = 0; t < 4; t++)
        CHECK_NEAR(w[t], 0, 0); /* 1.051 is above 1 + 4e-4 */
    vt_loss_weights(VT_LOSS_GSPO, &narrow, logp, logq, bad, 4, w);
    CHECK_NEAR(w[0], exp(0.05) * -2 / 4, 1e-6);                    /* and not below 1 - 3e-4 */
    vt_loss_weights(VT_LOSS_GSPO, &narrow, logq, logp, bad, 4, w); /* exp(-0.05) is, and the sequence is bad */
    CHECK_NEAR(w[0], 0, 0);
    vt_loss_weights(VT_LOSS_GSPO, &narrow, logq, logp, a, 4, w);
    CHECK_NEAR(w[0], exp(-0.05) * 2 / 4, 1e-6);
    vt_loss_weights(VT_LOSS_GSPO, &wide, logq, logp, bad, 4, w);
    CHECK_NEAR(w[0], exp(-0.05) * -2 / 4, 1e-6);
    CHECK_NEAR(narrow.clip_lo, 0.9997, 1e-12);
    CHECK_NEAR(narrow.clip_hi, 1.0004, 1e-12);
    vt_loss_weights(VT_LOSS_GSPO, &narrow, logp, logp, a, 4, w);
    CHECK_NEAR(w[3], 0.5, 0); /* on policy */
}

static void losses_as_token_weights(void)
{
    const float logp[] = {-1, -1, -1, -1}, logq[] = {-1, -1.5f, -0.5f, -1}, a[] = {1, 1, -1, 0};
    const struct vt_loss_opts o = {.clip_lo = 0.8, .clip_hi = 1.2, .beta = 0.5};
    float w[4];
    enum vt_loss loss;

    CHECK_NEAR(vt_loss_defaults.clip_lo, 0.8, 0);
    CHECK_NEAR(vt_loss_defaults.clip_hi, 1.2, 0);
    CHECK_NEAR(vt_loss_defaults.beta, 0.05, 0);
    vt_loss_weights(VT_LOSS_IMPORTANCE_SAMPLING, &o, logp, logq, a, 4, w);
    CHECK_NEAR(w[0], 1, 0);
    CHECK_NEAR(w[1], exp(0.5), 1e-6);
    CHECK_NEAR(w[2], -exp(-0.5), 1e-6);
    vt_loss_weights(VT_LOSS_PPO, &o, logp, logq, a, 4, w);
    CHECK_NEAR(w[0], 1, 0);
    CHECK_NEAR(w[1], 0, 0); /* rho = 1.65 > 1.2 with a > 0 */
    CHECK_NEAR(w[2], 0, 0); /* rho = 0.61 < 0.8 with a < 0 */
    vt_loss_weights(VT_LOSS_CISPO, &o, logp, logq, a, 4, w);
    CHECK_NEAR(w[1], 1.2, 1e-6);
    CHECK_NEAR(w[2], -0.8, 1e-6);
    vt_loss_weights(VT_LOSS_DRO, &o, logp, logq, a, 4, w);
    CHECK_NEAR(w[1], 0.75, 1e-6);
    vt_loss_weights(VT_LOSS_CROSS_ENTROPY, &o, logp, NULL, a, 4, w);
    CHECK_NEAR(w[2], -1, 0);
    vt_loss_weights(VT_LOSS_CLIP_HIGHER, &o, logp, logq, a, 4, w);
    CHECK_NEAR(w[1], 0, 0);
    CHECK_NEAR(vt_loss_defaults_of(VT_LOSS_CLIP_HIGHER).clip_hi, 1.28, 0);
    CHECK_NEAR(vt_loss_defaults_of(VT_LOSS_CLIP_HIGHER).clip_lo, 0.8, 0);
    CHECK_NEAR(vt_loss_defaults_of(VT_LOSS_CISPO).clip_hi, 1.2, 0);
    CHECK_OK(vt_loss_parse("ppo", &loss, &err), err);
    CHECK_INT(loss, VT_LOSS_PPO);
    CHECK_OK(vt_loss_parse("gspo", &loss, &err), err);
    CHECK_INT(loss, VT_LOSS_GSPO);
    CHECK_INT(vt_loss_parse("pppo", &loss, &err), VT_EINVAL);
}

static const struct test_case cases[] = {TEST(learning_moves_the_right_way),
                                         TEST(an_update_is_its_halves),
                                         TEST(a_forward_names_the_weights_it_starts_from),
                                         TEST(a_handle_says_why_it_cannot_go_on),
                                         TEST(agreement_is_measured_beside),
                                         TEST(a_failed_step_poisons_the_handle),
                                         TEST(a_forgotten_update_leaves_the_way_free),
                                         TEST(forgetting_stops_a_forward),
                                         TEST(options_reach_the_optimiser),
                                         TEST(memory_goes_with_the_update),
                                         TEST(a_small_memory_costs_time_only),
                                         TEST(branches_train_apart),
                                         TEST(ids_name_the_whole_update),
                                         TEST(what_was_trained_on_stands_once),
                                         TEST(refusals_name_what_and_why),
                                         TEST(built_in_losses_only),
                                         TEST(losses_as_token_weights),
                                         TEST(gspo_weighs_sequences)};
POLICY_TEST_MAIN(cases)
