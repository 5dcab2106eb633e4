/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_tinker_faults.c: what goes wrong between the Tinker backend and its service, as the double does it on demand:
 * each ends in recovery, with nothing done twice, or in one sentence.
 */
#include "base/clock.h"
#include "tinker_common.h"
#include <sys/wait.h>

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

/* A service that wants tokens gets one made of the key; one that it does not take any more is made anew, once. */
static void tokens_are_made_of_the_key(void)
{
    static const char *const faults[] = {"{\"path\":\"optim_step\",\"status\":401}",
                                         "{\"path\":\"retrieve_future\",\"status\":401,\"from\":2}", NULL};
    const char *const args[] = {"--jwt", "--wire", "proto", "--fault", faults[0], "--fault", faults[1], NULL};
    struct served s = serve("tinker_server.py", args);
    char path[] = "/tmp/vegttt-tinker-XXXXXX";
    const int fd = mkstemp(path);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, path);
    struct vt_buf text = {0};

    CHECK(p && fd >= 0);
    if (p) {
        vt_weights *w = vt_policy_start(p), *made = update_by(p, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "x");

        if (!made)
            printf("  %s\n", err.msg);
        CHECK(made != NULL);
        CHECK_INT(sum_of(&s, "version"), 1);
        vt_weights_unref(made);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    CHECK_OK(vt_fs_read(path, 1 << 22, &text, &err), err);
    CHECK(strstr(text.p, "auth/token") && !strstr(text.p, "4242424242") && !strstr(text.p, "eyJ"));
    vt_buf_free(&text);
    close(fd);
    unlink(path);
    unserve(&s);
    const char *const short_lived[] = {"--jwt", "--wire", "proto", "--jwt-lifetime", "-1", NULL};
    s = serve("tinker_server.py", short_lived);
    CHECK(open_at(&s, "toy/tiny", OPTIONS, NULL) == NULL);
    CHECK(strstr(err.msg, "401") && strstr(err.msg, "TINKER_API_KEY"));
    unserve(&s);
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
        {"{\"path\":\"create_model\",\"status\":400,\"body\":{\"detail\":\"toy/tiny was retired; use toy/tiny-2\"}}",
         VT_EINVAL, "400, a bad request: toy/tiny was retired; use toy/tiny-2"},
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

/* What cannot be true is no result. */
static void answers_that_lie_are_refused(void)
{
    static const struct {
        const char *how, *says;
    } rows[] = {{"positive", "gave no log-probability for token"},
                {"longer", "tokens where 6 were asked for at most"},
                {"no such id", "gave the token 9999 in a sample, and the model has 264"},
                {"positive batch", "gave no log-probability for token 4 of sequence 1"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char fault[128];
        const char *const one[] = {fault, NULL};

        snprintf(fault, sizeof fault, "{\"path\":\"retrieve_future\",\"action\":\"lie\",\"how\":\"%s\",\"count\":-1}",
                 rows[i].how);
        struct served s = start("json", one, NULL, NULL);
        vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);
        struct vt_sample out[2];

        CHECK(p != NULL);
        if (p) {
            vt_weights *w = vt_policy_start(p);
            struct vt_sample_request r = sample_request(w, 2, 6, out);

            if (i < 3)
                CHECK(run_sample(p, &r) == VT_ENET && !out[0].text && !out[1].text);
            else
                CHECK(update_by(p, w, VT_LOSS_CROSS_ENTROPY, 0.02f, "x") == NULL);
            if (!strstr(err.msg, rows[i].says))
                CHECK_STR(err.msg, rows[i].says);
            vt_weights_unref(w);
        }
        vt_policy_close(p);
        unserve(&s);
    }
}

/* Sampling waits for a service that is busy, and not for one that asks for a day. */
static void a_day_is_not_waited_for(void)
{
    static const char *const faults[] = {
        "{\"path\":\"asample\",\"status\":429,\"count\":1,\"headers\":{\"retry-after\":\"86400\"}}", NULL};
    struct served s = start("proto", faults, NULL, NULL);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);
    struct vt_sample out[1];

    CHECK(p != NULL);
    if (p) {
        vt_weights *w = vt_policy_start(p);
        struct vt_sample_request r = sample_request(w, 1, 6, out);

        CHECK_INT(run_sample(p, &r), VT_ENET);
        CHECK(strstr(err.msg, "it asks for a pause of 86400 s"));
        CHECK_OK(run_sample(p, &r), err); /* nor do others wait for it */
        clear_samples(out, 1);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    unserve(&s);
}

static char told[256];

static void tell(void *arg, const char *line)
{
    (void)arg;
    snprintf(told, sizeof told, "%s", line);
}

/* An account that is paused is waited for, and the user knows what for. */
static void a_pause_of_the_account_is_told(void)
{
    static const char *const faults[] = {"{\"path\":\"asample\",\"status\":402,\"count\":1}", NULL};
    struct served s = start("proto", faults, NULL, NULL);
    const struct vt_policy_opts o = {.rank = 16, .init_seed = 1, .chat = "smollm2", .notice = tell};
    vt_policy *p = NULL;
    struct vt_sample out[1];

    setenv("TINKER_BASE_URL", s.url, 1);
    setenv("TINKER_API_KEY", key, 1);
    CHECK_OK(open_spec("tinker:toy/tiny" OPTIONS, &o, &p), err);
    if (p) {
        vt_weights *w = vt_policy_start(p);
        struct vt_sample_request r = sample_request(w, 1, 6, out);

        CHECK_OK(run_sample(p, &r), err);
        CHECK(strstr(told, "wants to be paid (402)"));
        clear_samples(out, 1);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    unserve(&s);
}

/* What nobody waits for any more is not sampled on, at the user's cost. */
static void a_cancelled_sample_is_cancelled_at_the_service(void)
{
    static const char *const faults[] = {"{\"path\":\"retrieve_future\",\"action\":\"try_again\",\"count\":-1}", NULL};
    struct served s = start("proto", faults, NULL, NULL);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);
    struct vt_sample out[1];
    int n_cancelled = 0;

    CHECK(p != NULL);
    if (p) {
        vt_weights *w = vt_policy_start(p);
        struct vt_sample_request r = sample_request(w, 1, 6, out);
        struct ending e = ENDING;
        vt_request *ticket = NULL;

        CHECK_OK(vt_policy_sample(p, &r, on_end, &e, &ticket, &err), err);
        for (int i = 0; i < 200 && count_of(&s, "retrieve_future") == 0; i++)
            vt_sleep_ms(20);
        vt_request_cancel(ticket);
        CHECK_INT(wait_end(&e), VT_ECANCELLED);
        vt_request_release(ticket);
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    n_cancelled = count_of(&s, "cancel_future");
    CHECK_INT(n_cancelled, 1);
    unserve(&s);
}

/* Until a killed process has nothing open any more; its parent, which is another one, collects it later. */
static void await_dead(pid_t pid)
{
    char path[64], state = 'R';

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 1000 && state != 'Z' && state != 'X'; i++, vt_sleep_ms(5)) {
        FILE *f = fopen(path, "r");

        if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
            state = 'X';
        if (f)
            fclose(f);
    }
}

/* The process that ends at once ends its session, or says that it did not. */
static void who_leaves_ends_the_session_or_says_that_it_is_open(void)
{
    for (int k = 0; k < 2; k++) {
        struct served s = start("proto", NULL, NULL, NULL);
        const pid_t pid = fork();
        int status = 0;

        if (pid == 0) {
            vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);

            if (p && k == 1) {
                kill(s.pid, SIGKILL);
                await_dead(s.pid);
            }
            char *left = p ? vt_policy_leave() : NULL;

            _exit(left && (k == 1 ? strstr(left, "is left open") != NULL : left[0] == '\0') ? 0 : 1);
        }
        waitpid(pid, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (k == 0) {
            vt_json *j = state_of(&s);
            const vt_json *session = vt_json_first(vt_json_get(j, "sessions"));

            CHECK_STR(vt_json_str(vt_json_get(vt_json_get(vt_json_get(session, "finished"), "reason"), "type"), ""),
                      "interrupted");
            vt_json_free(j);
        }
        unserve(&s);
    }
}

/* A text is other tokens by another tokenizer. */
static void weights_are_named_by_the_tokenizer_too(void)
{
    struct served s = start("proto", NULL, NULL, NULL);
    char dir[] = "/tmp/vegttt-other-XXXXXX", path[96], option[96];
    struct vt_buf tokenizer = {0};
    vt_policy *p[2];

    CHECK(mkdtemp(dir) != NULL);
    CHECK_OK(vt_fs_read(VT_SOURCE_DIR "/tests/golden/tokenizers/qwen.json", 64 << 20, &tokenizer, &err), err);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    snprintf(option, sizeof option, "?tokenizer=%s", dir);
    CHECK_OK(vt_fs_write_atomic(path, tokenizer.p, tokenizer.len, &err), err);
    vt_buf_free(&tokenizer);
    p[0] = open_at(&s, "toy/tiny", OPTIONS, NULL);
    p[1] = open_at(&s, "toy/tiny", option, NULL);
    CHECK(p[0] && p[1]);
    if (p[0] && p[1]) {
        vt_weights *a = vt_policy_start(p[0]), *b = vt_policy_start(p[1]);

        CHECK(strcmp(vt_weights_id(a), vt_weights_id(b)) != 0);
        vt_weights_unref(a);
        vt_weights_unref(b);
    }
    vt_policy_close(p[0]);
    vt_policy_close(p[1]);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    unserve(&s);
}

/* The service that knows the session no more may be one that has other models. */
static void a_service_that_was_replaced_is_noticed(void)
{
    struct served s = start("proto", NULL, NULL, NULL);
    vt_policy *p = open_at(&s, "toy/tiny", OPTIONS, NULL);
    struct vt_sample out[1];
    char port[16];

    CHECK(p != NULL);
    snprintf(port, sizeof port, "%d", s.port);
    unserve(&s);
    const char *const args[] = {"--model", "toy/other", "--port", port, NULL};
    s = serve("tinker_server.py", args);
    if (p) {
        vt_weights *w = vt_policy_start(p);
        struct vt_sample_request r = sample_request(w, 1, 6, out);

        CHECK_INT(run_sample(p, &r), VT_ENOENT);
        CHECK(strstr(err.msg, "has no model \"toy/tiny\"; it has toy/other"));
        vt_weights_unref(w);
    }
    vt_policy_close(p);
    unserve(&s);
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

        CHECK(made == NULL && strstr(err.msg, "the key (api key)***") && !strstr(err.msg, "4242"));
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

static const struct test_case cases[] = {TEST(what_fails_on_the_way_is_done_once),
                                         TEST(samples_survive_back_pressure_and_lost_promises),
                                         TEST(tokens_are_made_of_the_key),
                                         TEST(a_lost_session_is_made_again),
                                         TEST(what_cannot_be_mended_is_one_sentence),
                                         TEST(answers_that_lie_are_refused),
                                         TEST(a_day_is_not_waited_for),
                                         TEST(a_pause_of_the_account_is_told),
                                         TEST(a_cancelled_sample_is_cancelled_at_the_service),
                                         TEST(who_leaves_ends_the_session_or_says_that_it_is_open),
                                         TEST(weights_are_named_by_the_tokenizer_too),
                                         TEST(a_service_that_was_replaced_is_noticed),
                                         TEST(what_cannot_be_opened_says_what_to_do),
                                         TEST(an_update_under_way_can_be_cancelled),
                                         TEST(a_key_is_sent_and_told_to_nobody)};

int main(int argc, char **argv)
{
    return tinker_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
