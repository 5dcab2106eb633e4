/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_tinker.c: the Tinker backend against the double of the service (tests/double/tinker), which was written by
 * others from the contract, checks every field, and fails on demand; in both dialects. Its model is a bigram with
 * sixteen trainable numbers, so that what an update does can be seen in scores.
 */
#include "base/json.h"
#include "net/net.h"
#include "policy_common.h"
#include "served.h"

#define OPTIONS "?tokenizer=" CHAT
static const char key[] = "tml-test-4242424242";

/* --- servers --- */

static struct served start(const char *wire, const char *const *faults, const char *more, const char *value)
{
    const char *args[16] = {"--wire", wire};
    int n = 2;

    for (; faults && *faults; faults++) {
        args[n++] = "--fault";
        args[n++] = *faults;
    }
    if (more) {
        args[n++] = more;
        args[n++] = value;
    }
    return serve("tinker_server.py", args);
}

static vt_policy *open_at(const struct served *s, const char *model, const char *options, const char *trace)
{
    const struct vt_policy_opts o = {.rank = 16, .init_seed = 1, .chat = "smollm2", .trace_http = trace};
    char spec[512];
    vt_policy *p = NULL;

    setenv("TINKER_BASE_URL", s->url, 1);
    setenv("TINKER_API_KEY", key, 1);
    snprintf(spec, sizeof spec, "tinker:%s%s", model, options);
    if (open_spec(spec, &o, &p) != VT_OK) {
        printf("  cannot open %s: %s\n", spec, err.msg);
        return NULL;
    }
    return p;
}

/* The double's own account of itself. */
static vt_json *ask_double(const struct served *s, const char *what)
{
    const struct vt_http_opts o = {0};
    struct vt_net *net = NULL;
    struct vt_net_answer a;
    vt_json *j = NULL;
    char url[128];

    snprintf(url, sizeof url, "%s/__mock__/%s", s->url, what);
    CHECK_OK(vt_net_open(&o, &net, &err), err);
    struct vt_http_request r = {.method = "GET", .url = url, .what = "looking", .patience_s = 5};
    CHECK_OK(vt_net_ask(net, &r, -1, &a, &err), err);
    if (a.body)
        CHECK_OK(vt_json_parse(a.body, a.len, "the double's state", &j, &err), err);
    free(a.body);
    vt_net_close(net);
    return j;
}

static vt_json *state_of(const struct served *s)
{
    return ask_double(s, "state");
}

/* A number of the double's models, summed over them. */
static int sum_of(const struct served *s, const char *name)
{
    vt_json *j = state_of(s);
    int sum = 0;

    for (const vt_json *m = vt_json_first(vt_json_get(j, "models")); m; m = vt_json_next(m))
        sum += (int)vt_json_int(vt_json_get(m, name), 0);
    vt_json_free(j);
    return sum;
}

/* --- what a policy does --- */

/* The batch of the official client's loop: a prompt of eight tokens, a completion of one. */
static const int32_t official_prompt[] = {504, 253, 3354, 28, 339, 216, 35, 17}, official_completion[] = {2};

static vt_weights *update_by(vt_policy *p, vt_weights *from, enum vt_loss loss, float lr, const char *digest)
{
    struct batch b;
    struct vt_mail m = VT_MAIL;
    struct vt_update_request u = {.from = from,
                                  .seqs = b.seqs,
                                  .n = 2,
                                  .loss = loss,
                                  .loss_opts = vt_loss_defaults_of(loss),
                                  .opts = update_opts(lr, digest)};
    vt_status status;

    make_batch(&b);
    status = vt_policy_update(p, &u, vt_mail_deliver, &m, NULL, &err);
    if (status == VT_OK)
        status = vt_mail_wait(&m, &err);
    if (status != VT_OK)
        return NULL;
    for (int i = 0; i < 2; i++) /* the request fills in what it was computed from, whoever computed it */
        for (int t = 0; t < 4; t++) {
            float w[4];

            vt_loss_weights(loss, &u.loss_opts, b.logp[i], b.logq[i], b.advantage[i], 4, w);
            CHECK_NEAR(b.w[i][t], w[t], 1e-6);
            CHECK(b.logp[i][t] < 0);
        }
    CHECK(isfinite(u.report.grad_norm) && u.report.grad_norm > 0);
    return u.made;
}

static const char *const wires[] = {"proto", "json"};

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

static vt_status save_to(vt_weights *w, const char *dir, enum vt_snapshot_kind kind)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_weights_save(w, dir, kind, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

static vt_status load_from(vt_policy *p, const char *dir, vt_weights **out)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_weights_load(p, dir, out, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

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

/* --- faults: each ends in recovery or one sentence, and nothing runs twice --- */

static void what_fails_on_the_way_is_done_once(void)
{
    static const char *const faults[] = {
        "{\"path\":\"forward_backward\",\"status\":503,\"headers\":{\"retry-after-ms\":\"5\"}}",
        "{\"path\":\"optim_step\",\"status\":429,\"count\":2,\"headers\":{\"retry-after-ms\":\"5\"}}",
        "{\"path\":\"forward_backward\",\"action\":\"drop_after\"}",
        "{\"path\":\"optim_step\",\"action\":\"drop_after\"}",
        "{\"path\":\"save_weights\",\"action\":\"drop_before\"}",
        "{\"path\":\"save_weights_for_sampler\",\"action\":\"truncate\"}",
        "{\"path\":\"retrieve_future\",\"action\":\"truncate\",\"from\":3}",
        "{\"path\":\"retrieve_future\",\"action\":\"try_again\",\"from\":2,\"count\":2}",
        "{\"path\":\"retrieve_future\",\"action\":\"try_again\",\"from\":2,\"http\":200}",
        "{\"path\":\"retrieve_future\",\"status\":500,\"from\":2,\"count\":3}",
        "{\"path\":\"optim_step\",\"action\":\"empty400\"}",
        "{\"path\":\"create_model\",\"action\":\"drop_after\"}",
    };

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        const char *const one[] = {faults[i], NULL};
        struct served s = start("proto", one, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

        CHECK(p != NULL);
        if (p) {
            vt_weights *w = vt_policy_start(p), *made = update_by(p, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "x");

            if (!made || sum_of(&s, "version") != 1 || sum_of(&s, "forward_backward") != 1) {
                printf("  after %s: %s; version %d, %d passes\n", faults[i], made ? "made" : err.msg,
                       sum_of(&s, "version"), sum_of(&s, "forward_backward"));
                test_failures_in_case++;
            }
            vt_weights_unref(made);
            vt_weights_unref(w);
        }
        vt_policy_close(p);
        unserve(&s);
    }
}

static void samples_survive_back_pressure_and_lost_promises(void)
{
    static const char *const faults[] = {
        "{\"path\":\"asample\",\"status\":429,\"count\":3,\"headers\":{\"retry-after-ms\":\"5\"}}",
        "{\"path\":\"retrieve_future\",\"action\":\"expired\",\"count\":1}",
        "{\"path\":\"asample\",\"action\":\"drop_after\"}",
        "{\"path\":\"create_sampling_session\",\"status\":500,\"headers\":{\"retry-after-ms\":\"5\"}}",
    };

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        const char *const one[] = {faults[i], NULL};
        struct served s = start("proto", one, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);
        struct vt_sample out[2];

        CHECK(p != NULL);
        if (p) {
            vt_weights *w = vt_policy_start(p);
            struct vt_sample_request r = sample_request(w, 2, 6, out);

            CHECK_OK(run_sample(p, &r), err);
            CHECK(out[0].n_tokens > 0 && out[1].n_tokens > 0);
            clear_samples(out, 2);
            vt_weights_unref(w);
        }
        vt_policy_close(p);
        unserve(&s);
    }
}

/* A service that was restarted knows neither session nor sampler nor model; what it keeps are checkpoints. */
static void a_lost_session_is_made_again(void)
{
    for (int k = 0; k < 2; k++) {
        struct served s = start(wires[k], NULL, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

        CHECK(p != NULL);
        if (p) {
            vt_weights *w0 = vt_policy_start(p), *w1 = update_by(p, w0, VT_LOSS_CROSS_ENTROPY, 0.02f, "x"), *w2, *w3;
            const double before = w1 ? logp_of(p, w1, 0) : 0;
            vt_forward *f;
            struct batch b;

            CHECK(w1 != NULL);
            vt_json_free(ask_double(&s, "forget"));
            CHECK_NEAR(logp_of(p, w1, 0), before, 1e-6); /* a sampler again */
            vt_json_free(ask_double(&s, "forget"));
            w2 = update_by(p, w1, VT_LOSS_CROSS_ENTROPY, 0.02f, "y"); /* a model again, from the checkpoint */
            if (!w2)
                printf("  %s\n", err.msg);
            CHECK(w2 && logp_of(p, w2, 0) > before);
            make_batch(&b);
            f = forward(p, w2, &b);
            memset(b.w, 0, sizeof b.w);
            b.w[0][0] = 1;
            vt_json_free(ask_double(&s, "forget")); /* between the halves */
            CHECK_OK(step(f, 0.01f, "z", &w3), err);
            vt_forward_forget(f);
            vt_weights_unref(w3);
            vt_weights_unref(w2);
            vt_weights_unref(w1);
            vt_weights_unref(w0);
        }
        vt_policy_close(p);
        unserve(&s);
    }
}

static void what_cannot_be_mended_is_one_sentence(void)
{
    static const struct {
        const char *fault;
        vt_status code;
        const char *says;
    } rows[] = {
        {"{\"path\":\"forward_backward\",\"action\":\"future_error\",\"error\":\"your tokens are "
         "bad\",\"category\":\"user\"}",
         VT_EINVAL, "the service failed: your tokens are bad"},
        {"{\"path\":\"optim_step\",\"action\":\"future_error\",\"error\":\"a machine broke\",\"category\":\"server\"}",
         VT_ENET, "the service failed: a machine broke"},
        {"{\"path\":\"optim_step\",\"status\":503,\"headers\":{\"x-should-retry\":\"false\"}}", VT_ENET, "503"},
        {"{\"path\":\"retrieve_future\",\"action\":\"expired\",\"from\":3,\"count\":-1}", VT_ENET, "410"},
        {"{\"path\":\"create_model\",\"status\":401,\"body\":{\"detail\":\"no such credential\"}}", VT_ENET,
         "401, not authorised: no such credential; set TINKER_API_KEY"},
        {"{\"path\":\"save_weights\",\"status\":409,\"body\":{\"detail\":\"that name is taken\"}}", VT_ENET,
         "409, a conflict: that name is taken"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const one[] = {rows[i].fault, NULL};
        struct served s = start("proto", one, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

        CHECK(p != NULL);
        if (p) {
            vt_weights *w = vt_policy_start(p), *made = update_by(p, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "x");

            CHECK(made == NULL);
            if (err.code != rows[i].code || !strstr(err.msg, rows[i].says) || strchr(err.msg, '\n')) {
                printf("  after %s: %d %s\n", rows[i].fault, (int)err.code, err.msg);
                test_failures_in_case++;
            }
            made = update_by(p, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "y"); /* a failed model is left; another one is made */
            if (i < 3 || i == 4)
                CHECK(made != NULL);
            vt_weights_unref(made);
            vt_weights_unref(w);
        }
        vt_policy_close(p);
        unserve(&s);
    }
}

static void what_cannot_be_opened_says_what_to_do(void)
{
    struct served s = start("proto", NULL, NULL, NULL);

    CHECK(open_at(&s, "toy/other", OPTIONS, NULL) == NULL);
    CHECK(strstr(err.msg, "has no model \"toy/other\"; it has toy/tiny"));
    CHECK_INT(vt_policy_check_spec("tinker:toy/tiny", &err), VT_EINVAL);
    CHECK(strstr(err.msg, "?tokenizer=PATH"));
    setenv("TINKER_BASE_URL", "http://u:hunter2@host", 1);
    CHECK_INT(vt_policy_check_spec("tinker:toy/tiny?tokenizer=x", &err), VT_EINVAL);
    CHECK(!strstr(err.msg, "hunter2"));
    unserve(&s);
    s = start("proto", NULL, "--min-sdk", "9.9.9");
    CHECK(open_at(&s, "toy/tiny", OPTIONS, NULL) == NULL);
    CHECK(strstr(err.msg, "Your Tinker SDK version is no longer supported"));
    unserve(&s);
}

static void an_update_under_way_can_be_cancelled(void)
{
    static const char *const faults[] = {"{\"path\":\"retrieve_future\",\"action\":\"try_again\",\"count\":-1}", NULL};
    struct served s = start("proto", faults, NULL, NULL);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);
    struct ending e = ENDING;
    struct batch b;

    CHECK(p != NULL);
    if (p) {
        vt_weights *w = vt_policy_start(p);
        struct vt_update_request u = {
            .from = w, .seqs = b.seqs, .n = 2, .loss = VT_LOSS_CROSS_ENTROPY, .opts = update_opts(0.01f, "x")};
        vt_request *ticket = NULL;

        make_batch(&b);
        CHECK_OK(vt_policy_update(p, &u, on_end, &e, &ticket, &err), err);
        vt_request_cancel(ticket);
        CHECK_INT(wait_end(&e), VT_ECANCELLED);
        vt_request_release(ticket);
        CHECK_INT(e.n_done, 1);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    vt_json *j = state_of(&s);
    const vt_json *session = vt_json_first(vt_json_get(j, "sessions"));
    CHECK_STR(vt_json_str(vt_json_get(vt_json_get(vt_json_get(session, "finished"), "reason"), "type"), ""),
              "interrupted");
    vt_json_free(j);
    unserve(&s);
}

/* --- the official client --- */

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

static void a_key_is_sent_and_told_to_nobody(void)
{
    static const char *const faults[] = {
        "{\"path\":\"create_model\",\"status\":403,\"body\":{\"detail\":\"the key tml-test-4242424242 may not\"}}",
        NULL};
    struct served s = start("proto", faults, "--api-key", key);
    char path[] = "/tmp/vegttt-tinker-XXXXXX";
    const int fd = mkstemp(path);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, path);
    struct vt_buf text = {0};

    CHECK(p && fd >= 0);
    if (p) {
        vt_weights *w = vt_policy_start(p), *made = update_by(p, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "x");

        CHECK(made == NULL && strstr(err.msg, "the key (api key) may not"));
        CHECK(!strstr(vt_policy_record(p), "4242424242"));
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    CHECK_OK(vt_fs_read(path, 1 << 22, &text, &err), err);
    CHECK(strstr(text.p, "\"X-API-Key\":\"(secret)\"") && !strstr(text.p, "4242424242"));
    vt_buf_free(&text);
    close(fd);
    unlink(path);
    unserve(&s);
}

static const struct test_case cases[] = {TEST(scores_are_the_samples_log_probabilities),
                                         TEST(weights_stay_what_they_are),
                                         TEST(losses_mean_the_same_there_and_here),
                                         TEST(a_forgotten_forward_costs_no_model),
                                         TEST(a_batch_is_cut_as_the_service_wants),
                                         TEST(another_process_goes_on_from_a_snapshot),
                                         TEST(what_fails_on_the_way_is_done_once),
                                         TEST(samples_survive_back_pressure_and_lost_promises),
                                         TEST(a_lost_session_is_made_again),
                                         TEST(what_cannot_be_mended_is_one_sentence),
                                         TEST(what_cannot_be_opened_says_what_to_do),
                                         TEST(an_update_under_way_can_be_cancelled),
                                         TEST(requests_are_those_of_the_official_client),
                                         TEST(a_key_is_sent_and_told_to_nobody)};

int main(int argc, char **argv)
{
    without_proxies();
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
