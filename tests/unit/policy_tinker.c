/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_tinker.c: the Tinker backend against the double of the service, which was written by others from the contract
 * and checks every field; in both dialects. Its model is a bigram with sixteen trainable numbers, so that what an
 * update does can be seen in scores. What fails on the way is policy_tinker_faults.c.
 */
#include "tinker_common.h"

static void scores_are_the_samples_log_probabilities(void)
{
    for (int k = 0; k < 2; k++) {
        struct served s = start(wires[k], NULL, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        struct vt_sample out[3], again[3];
        float scores[3][MAX_LEN];
        const int32_t *rows[3];
        int n[3];

        CHECK(p != NULL);
        if (p) {
            struct vt_sample_request r = sample_request(w, 3, 12, out);
            const struct vt_policy_caps *c = vt_policy_caps(p);

            CHECK(c->sample && c->score && c->update && c->forward && c->tokens && c->durable_snapshots);
            CHECK(!c->ids_ahead && !c->agreement && !c->exact && c->branch_makes_model);
            CHECK_INT(c->n_ctx, 32768);
            r.temperature = 0.7f;
            CHECK_OK(run_sample(p, &r), err);
            for (int i = 0; i < 3; i++) {
                rows[i] = out[i].tokens;
                n[i] = out[i].n_tokens;
                CHECK(n[i] > 0 && out[i].logprobs && !out[i].logprobs_behaviour);
                CHECK_INT(out[i].finish, out[i].tokens[n[i] - 1] == 258 ? VT_FINISH_STOP : VT_FINISH_LENGTH);
            }
            score(p, w, rows, n, 3, scores);
            for (int i = 0; i < 3; i++)
                for (int t = 0; t < n[i]; t++)
                    CHECK_NEAR(scores[i][t], out[i].logprobs[t], 1e-5);
            r.out = again;
            CHECK_OK(run_sample(p, &r), err);
            for (int i = 0; i < 3; i++)
                CHECK(again[i].n_tokens == n[i] && memcmp(again[i].tokens, out[i].tokens, (size_t)n[i] * 4) == 0);
            clear_samples(out, 3);
            clear_samples(again, 3);
        }
        vt_weights_unref(w);
        vt_policy_close(p);
        unserve(&s);
    }
}

/* An update moves its model once, makes new weights, and leaves the old ones what they were; training goes on from
 * both, and the same update from the same weights is the same again, on a model made for it from the checkpoint. */
static void weights_stay_what_they_are(void)
{
    for (int k = 0; k < 2; k++) {
        struct served s = start(wires[k], NULL, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

        CHECK(p != NULL);
        if (p) {
            vt_weights *w0 = vt_policy_start(p);
            const double before = logp_of(p, w0, 0);
            vt_weights *w1 = update_by(p, w0, VT_LOSS_CROSS_ENTROPY, 0.02f, "first");
            const double after = w1 ? logp_of(p, w1, 0) : NAN;

            CHECK(w1 && after > before + 1e-3);
            CHECK_NEAR(logp_of(p, w0, 0), before, 1e-6);
            CHECK_INT(vt_weights_step(w1), 1);
            CHECK_INT(sum_of(&s, "version"), 1);
            vt_weights *w2 = update_by(p, w1, VT_LOSS_CROSS_ENTROPY, 0.02f, "second");
            vt_weights *again = update_by(p, w1, VT_LOSS_CROSS_ENTROPY, 0.02f, "second"); /* w1's model has moved on */

            CHECK(w2 && again);
            if (w2 && again) {
                CHECK_NEAR(logp_of(p, again, 0), logp_of(p, w2, 0), 1e-5);
                CHECK_NEAR(logp_of(p, w1, 0), after, 1e-6);
                CHECK(strcmp(vt_weights_id(w2), vt_weights_id(w1)) != 0);
                CHECK_INT(sum_of(&s, "adam_steps"), 4); /* one and two, and those of the model that was loaded: two */
            }
            vt_weights_unref(again);
            vt_weights_unref(w2);
            vt_weights_unref(w1);
            vt_weights_unref(w0);
        }
        vt_policy_close(p);
        unserve(&s);
    }
}

/* Every built-in loss, as the service computes it and in two halves with the weights that it is here. */
static void losses_mean_the_same_there_and_here(void)
{
    for (int k = 0; k < 2; k++) {
        struct served s = start(wires[k], NULL, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

        CHECK(p != NULL);
        for (int loss = 0; p && loss <= (int)VT_LOSS_GSPO; loss++) {
            vt_weights *w0 = vt_policy_start(p), *halves = NULL;
            vt_weights *whole = update_by(p, w0, (enum vt_loss)loss, 0.02f, vt_loss_name((size_t)loss));
            const struct vt_loss_opts o = vt_loss_defaults_of((enum vt_loss)loss);
            struct batch b;
            vt_forward *f;

            make_batch(&b);
            f = forward(p, w0, &b);
            for (int i = 0; i < 2; i++)
                vt_loss_weights((enum vt_loss)loss, &o, b.logp[i], b.logq[i], b.advantage[i], 4, b.w[i]);
            CHECK_OK(step(f, 0.02f, "halves", &halves), err);
            vt_forward_forget(f);
            if (!whole || !halves)
                printf("  loss %s (%s): %s\n", vt_loss_name((size_t)loss), wires[k], err.msg);
            CHECK(whole && halves);
            for (int i = 0; whole && halves && i < 2; i++)
                CHECK_NEAR(logp_of(p, whole, i), logp_of(p, halves, i), 1e-4);
            vt_weights_unref(whole);
            vt_weights_unref(halves);
            vt_weights_unref(w0);
        }
        vt_policy_close(p);
        unserve(&s);
    }
}

/* A forward that nobody steps gives its model back, in the state it was in. */
static void a_forgotten_forward_costs_no_model(void)
{
    struct served s = start("proto", NULL, NULL, NULL);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

    CHECK(p != NULL);
    if (p) {
        vt_weights *w = vt_policy_start(p), *made;
        struct batch b;

        for (int i = 0; i < 2; i++) {
            make_batch(&b);
            vt_forward_forget(forward(p, w, &b));
        }
        made = update_by(p, w, VT_LOSS_PPO, 0.01f, "x");
        CHECK(made != NULL);
        vt_json *j = state_of(&s);
        CHECK_INT(vt_json_count(vt_json_get(j, "models")), 1);
        vt_json_free(j);
        CHECK_INT(sum_of(&s, "forward"), 2);
        vt_weights_unref(made);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    unserve(&s);
}

static void a_batch_is_cut_as_the_service_wants(void)
{
    struct served s = start("proto", NULL, "--max-chunk-len", "1");
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

    CHECK(p != NULL);
    if (p) {
        vt_weights *w = vt_policy_start(p), *made = update_by(p, w, VT_LOSS_IMPORTANCE_SAMPLING, 0.01f, "x");

        CHECK(made != NULL);
        CHECK_INT(sum_of(&s, "forward_backward"), 2);
        CHECK_INT(sum_of(&s, "version"), 1);
        vt_weights_unref(made);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    unserve(&s);
}

/* --- snapshots and sessions --- */

static void another_process_goes_on_from_a_snapshot(void)
{
    char dir[] = "/tmp/vegttt-tinker-XXXXXX";
    struct served s = start("proto", NULL, NULL, NULL);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL), *q;
    char id[65] = "";
    double logp = 0;

    CHECK(mkdtemp(dir) && p);
    if (p) {
        vt_weights *w = vt_policy_start(p), *made = update_by(p, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "x");

        CHECK_INT(save_to(w, dir, VT_SNAPSHOT_TRAINING), VT_EINVAL);
        CHECK(made && save_to(made, dir, VT_SNAPSHOT_EXPORT) == VT_EUNSUPPORTED);
        CHECK_OK(save_to(made, dir, VT_SNAPSHOT_TRAINING), err);
        snprintf(id, sizeof id, "%s", vt_weights_id(made));
        logp = logp_of(p, made, 0);
        vt_weights_unref(made);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    q = open_at(&s, "toy/tiny", OPTIONS, NULL);
    if (q) {
        vt_weights *w = NULL, *made;
        struct vt_snapshot info;

        CHECK_OK(vt_snapshot_read(q, dir, &info, &err), err);
        CHECK(info.step == 1 && info.is_trainable && strcmp(info.id, id) == 0);
        CHECK_OK(load_from(q, dir, &w), err);
        CHECK_STR(w ? vt_weights_id(w) : "", id);
        CHECK_NEAR(logp_of(q, w, 0), logp, 1e-6);
        made = update_by(q, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "y");
        CHECK(made && vt_weights_step(made) == 2);
        vt_weights_unref(made);
        vt_weights_unref(w);
    }
    vt_policy_close(q);
    /* Both sessions were ended. */
    vt_json *j = state_of(&s);
    int n = 0;
    for (const vt_json *c = vt_json_first(vt_json_get(j, "sessions")); c; c = vt_json_next(c)) {
        const vt_json *reason = vt_json_get(vt_json_get(vt_json_get(c, "finished"), "reason"), "type");

        CHECK_STR(vt_json_str(reason, ""), "success");
        n++;
    }
    CHECK_INT(n, 2);
    vt_json_free(j);
    unserve(&s);
    s = start("proto", NULL, NULL, NULL); /* a service that knows nothing of it */
    q = open_at(&s, "toy/tiny", OPTIONS, NULL);
    if (q) {
        vt_weights *w = NULL;
        char path[128];
        struct vt_buf text = {0};

        snprintf(path, sizeof path, "%s/vegttt_tinker.json", dir);
        CHECK_OK(vt_fs_read(path, 1 << 20, &text, &err), err);
        CHECK(!strstr(text.p, key));
        vt_buf_free(&text);
        CHECK_INT(load_from(q, dir, &w), VT_EINVAL); /* another address */
        CHECK(strstr(err.msg, "belongs to the model"));
    }
    vt_policy_close(q);
    unserve(&s);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

/* --- the official client --- */

/* The batch of the official client's loop: a prompt of eight tokens, a completion of one. */
static const int32_t official_prompt[] = {504, 253, 3354, 28, 339, 216, 35, 17}, official_completion[] = {2};

static void requests_are_those_of_the_official_client(void)
{
    for (int k = 0; k < 2; k++) {
        char dir[] = "/tmp/vegttt-tinker-XXXXXX", record[64], command[512];
        const char *args[] = {"--wire",         wires[k],   "--vocab", "49152", "--model",
                              "toy/bigram-49k", "--record", record,    NULL};
        struct served s;
        vt_policy *p;

        CHECK(mkdtemp(dir) != NULL);
        snprintf(record, sizeof record, "%s/record.json", dir);
        s = serve("tinker_server.py", args);
        p = open_at(&s, "toy/bigram-49k", OPTIONS, NULL);
        CHECK(p != NULL);
        if (p) {
            static const enum vt_loss losses[] = {VT_LOSS_CROSS_ENTROPY, VT_LOSS_IMPORTANCE_SAMPLING, VT_LOSS_PPO,
                                                  VT_LOSS_CISPO, VT_LOSS_DRO};
            vt_weights *w = vt_policy_start(p), *made = NULL, *loaded = NULL;
            struct vt_sample out[1];
            struct vt_sample_request r = sample_request(w, 1, 4, out);
            static const float advantages[] = {1, -0.5f, 0.25f, -1}, q = -6.383848190307617f;
            const int32_t last[] = {17};
            float logp[4], weight[4], *logps[] = {logp};
            struct vt_train_seq seqs[4];
            struct vt_mail m = VT_MAIL;
            const int32_t *completion = last;
            const int n_completion = 1;
            vt_forward *f = NULL;

            r.prompt = official_prompt;
            r.n_prompt = 8;
            (void)run_sample(p, &r); /* its tokens are none of this tokenizer's */
            clear_samples(out, 1);
            struct vt_score_request sr = {.weights = w,
                                          .prompt = official_prompt,
                                          .n_prompt = 7,
                                          .n_rows = 1,
                                          .tokens = &completion,
                                          .n = &n_completion,
                                          .logprobs = logps};
            CHECK_OK(vt_policy_score(p, &sr, vt_mail_deliver, &m, NULL, &err), err);
            CHECK_OK(vt_mail_wait(&m, &err), err);
            for (int i = 0; i < 4; i++)
                seqs[i] = (struct vt_train_seq){.prompt = official_prompt,
                                                .n_prompt = 8,
                                                .tokens = official_completion,
                                                .n_tokens = 1,
                                                .logq = &q,
                                                .advantage = &advantages[i],
                                                .logp = &logp[i],
                                                .w = &weight[i]};
            CHECK_OK(vt_policy_forward(p, w, seqs, 4, false, &f, vt_mail_deliver, &m, NULL, &err), err);
            CHECK_OK(vt_mail_wait(&m, &err), err);
            vt_forward_forget(f);
            for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
                struct vt_update_request u = {.from = i < 2 ? w : made, /* twice from w: a model is loaded */
                                              .seqs = seqs,
                                              .n = 4,
                                              .loss = losses[i],
                                              .loss_opts = vt_loss_defaults_of(losses[i]),
                                              .opts = update_opts(0.02f, "x")};

                u.opts.eps = 1e-8f;
                for (int at = 0; at < 4; at++)
                    seqs[at].advantage = losses[i] == VT_LOSS_CROSS_ENTROPY ? advantages : &advantages[at];
                CHECK_OK(vt_policy_update(p, &u, vt_mail_deliver, &m, NULL, &err), err);
                CHECK_OK(vt_mail_wait(&m, &err), err);
                if (made)
                    vt_weights_unref(made);
                made = u.made;
            }
            if (made) {
                CHECK_OK(save_to(made, dir, VT_SNAPSHOT_TRAINING), err);
                CHECK_OK(load_from(p, dir, &loaded), err);
                struct vt_update_request u = {.from = loaded,
                                              .seqs = seqs,
                                              .n = 4,
                                              .loss = VT_LOSS_CROSS_ENTROPY,
                                              .opts = update_opts(0.02f, "x")};
                CHECK_OK(vt_policy_update(p, &u, vt_mail_deliver, &m, NULL, &err), err);
                CHECK_OK(vt_mail_wait(&m, &err), err);
                vt_weights_unref(u.made);
                sr.weights = loaded; /* a sampler of a path */
                CHECK_OK(vt_policy_score(p, &sr, vt_mail_deliver, &m, NULL, &err), err);
                CHECK_OK(vt_mail_wait(&m, &err), err);
            }
            vt_weights_unref(loaded);
            vt_weights_unref(made);
            vt_weights_unref(w);
        }
        vt_policy_close(p);
        close(s.in); /* it writes its record when it ends */
        s.in = -1;
        waitpid(s.pid, NULL, 0);
        fflush(stdout);
        snprintf(command, sizeof command, "python3 %s/tests/double/tinker/compare.py %s %s", VT_SOURCE_DIR, record,
                 wires[k]);
        CHECK_INT(system(command), 0);
        CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    }
}

static const struct test_case cases[] = {
    TEST(scores_are_the_samples_log_probabilities), TEST(weights_stay_what_they_are),
    TEST(losses_mean_the_same_there_and_here),      TEST(a_forgotten_forward_costs_no_model),
    TEST(a_batch_is_cut_as_the_service_wants),      TEST(another_process_goes_on_from_a_snapshot),
    TEST(requests_are_those_of_the_official_client)};

int main(int argc, char **argv)
{
    return tinker_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
