/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_openai.c: the backend of completions servers against tests/double/openai_server.py in the shapes of vLLM,
 * SGLang, llama.cpp's server and llama-cpp-python: what it finds out of each, what it asks and what it reads. The
 * server's model is a bigram whose log-probabilities this file computes itself.
 */
#include "base/json.h"
#include "net/net.h"
#include "openai_common.h"

/* --- the server's model --- */

static bool is_allowed(int v)
{
    return v == 10 || (v >= 32 && v < 127) || v == 258;
}

static double toy_logp(int u, int v)
{
    double sum = 0;

    for (int x = 0; x < 264; x++)
        if (is_allowed(x))
            sum += exp(((31 * u + 17 * x) % 13) / 4.0);
    return ((31 * u + 17 * v) % 13) / 4.0 - log(sum);
}

/* A number of the server's /counts. */
static int count_of(const struct served *s, const char *name)
{
    const struct vt_http_opts o = {0};
    struct vt_net *net = NULL;
    struct vt_net_answer a;
    vt_json *j = NULL;
    char url[128];
    int n = -1;

    snprintf(url, sizeof url, "%s/counts", s->url);
    CHECK_OK(vt_net_open(&o, &net, &err), err);
    struct vt_http_request r = {.method = "GET", .url = url, .what = "counting", .patience_s = 5};
    CHECK_OK(vt_net_ask(net, &r, -1, &a, &err), err);
    if (a.body && vt_json_parse(a.body, a.len, "counts", &j, &err) == VT_OK)
        n = (int)vt_json_int(vt_json_get(j, name), -1);
    vt_json_free(j);
    free(a.body);
    vt_net_close(net);
    return n;
}

/* --- what is found out --- */

static void each_server_is_found_out_by_asking(void)
{
    static const struct {
        const char *shape, *options;
        bool tokens, score, top_k, min_p, logprobs;
        enum vt_seeds seeds;
        int n_ctx;
    } rows[] = {
        {"vllm", TOKENIZER, true, true, true, true, true, VT_SEEDS_REQUEST, 4096},
        {"vllm", "", false, false, true, true, true, VT_SEEDS_REQUEST, 4096},
        /* Two samples of one seed are the same there: a request for each, so that they differ. */
        {"sglang", TOKENIZER, true, true, true, true, true, VT_SEEDS_SAMPLE, 4096},
        {"llamacpp", TOKENIZER, true, false, true, true, true, VT_SEEDS_SAMPLE, 4096},
        {"plain", TOKENIZER "&context=777", false, false, true, true, true, VT_SEEDS_SAMPLE, 777},
        {"bare", TOKENIZER, false, false, false, false, false, VT_SEEDS_NONE, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct served s = start(rows[i].shape, NULL);
        vt_policy *p = open_at(&s, "#toy", rows[i].options, NULL);

        if (!p) {
            printf("  %s: %s\n", rows[i].shape, err.msg);
            CHECK(p != NULL);
            unserve(&s);
            continue;
        }
        const struct vt_policy_caps *c = vt_policy_caps(p);

        if (c->tokens != rows[i].tokens || c->score != rows[i].score || c->seeds != rows[i].seeds)
            printf("  of the server %s%s:\n", rows[i].shape, rows[i].options);
        CHECK_INT(c->tokens, rows[i].tokens);
        CHECK_INT(c->score, rows[i].score);
        CHECK_INT(c->top_k, rows[i].top_k);
        CHECK_INT(c->min_p, rows[i].min_p);
        CHECK_INT(c->logprobs, rows[i].logprobs);
        CHECK_INT(c->seeds, rows[i].seeds);
        CHECK_INT(c->n_ctx, rows[i].n_ctx);
        CHECK(c->sample && c->prefix && c->top_p && !c->update && !c->forward && !c->bans && !c->exact);
        vt_policy_close(p);
        unserve(&s);
    }
}

static void expect_problem(const struct served *s, const char *model, const char *options, vt_status code,
                           const char *says)
{
    vt_policy *p = open_at(s, model, options, NULL);

    CHECK(p == NULL);
    vt_policy_close(p);
    CHECK_INT(err.code, code);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
}

static void what_cannot_be_opened_says_what_to_do(void)
{
    struct served s = start("vllm", NULL);
    char dir[] = "/tmp/vegttt-other-XXXXXX", path[96], option[96];
    struct vt_buf tokenizer = {0};

    CHECK(mkdtemp(dir) != NULL); /* another model's tokenizer */
    CHECK_OK(vt_fs_read(VT_SOURCE_DIR "/tests/golden/tokenizers/qwen.json", 64 << 20, &tokenizer, &err), err);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    snprintf(option, sizeof option, "?tokenizer=%s", dir);
    CHECK_OK(vt_fs_write_atomic(path, tokenizer.p, tokenizer.len, &err), err);
    vt_buf_free(&tokenizer);
    expect_problem(&s, "#toy", option, VT_EINVAL, "the tokenizer that the spec names is not that of toy");
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    expect_problem(&s, "#other", "", VT_ENOENT, "has no model \"other\"; it has toy");
    expect_problem(&s, "#toy", "?tokenizer=/nowhere", VT_ENOENT, "/nowhere");
    expect_problem(&s, "#toy", "?tokenizer=" VT_SOURCE_DIR "/tests/golden/tiny/llama", VT_ENOENT, "tokenizer.json");
    CHECK_INT(vt_policy_check_spec("openai:127.0.0.1:8000/v1#m", &err), VT_EINVAL);
    CHECK(strstr(err.msg, "http://") != NULL);
    CHECK_INT(vt_policy_check_spec("openai:http://me:hunter2@host/v1#m", &err), VT_EINVAL);
    CHECK(strstr(err.msg, "environment") && !strstr(err.msg, "hunter2"));
    CHECK_INT(vt_policy_check_spec("openai:http://host/v1#m?tokeniser=x", &err), VT_EINVAL);
    CHECK(strstr(err.msg, "tokeniser") && strstr(err.msg, "tokenizer=PATH"));
    CHECK_INT(vt_policy_check_spec("openai:http://host/v1#m?requests=0", &err), VT_EINVAL);
    CHECK_OK(vt_policy_check_spec("openai:http://host/v1?requests=8", &err), err);
    unserve(&s);
}

static void the_only_model_need_not_be_named(void)
{
    struct served s = start("vllm", NULL);
    vt_policy *p = open_at(&s, "", TOKENIZER, NULL);

    CHECK(p && strstr(vt_policy_record(p), "\"model\":\"toy\""));
    vt_policy_close(p);
    unserve(&s);
}

/* --- sampling --- */

static void samples_carry_the_model_s_log_probabilities(void)
{
    static const char *const shapes[] = {"vllm", "sglang", "llamacpp"};

    for (size_t k = 0; k < 3; k++) {
        struct served s = start(shapes[k], NULL);
        vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        struct vt_sample out[4], again[4];

        CHECK(p != NULL);
        if (!p) {
            unserve(&s);
            continue;
        }
        struct vt_sample_request r = ask(p, w, 4, 12, out);

        r.temperature = 0.7f; /* raw all the same */
        CHECK_OK(run_sample(p, &r), err);
        for (int i = 0; i < 4; i++) {
            int u = 10;

            CHECK(out[i].n_tokens > 0 && out[i].tokens && out[i].logprobs && !out[i].logprobs_behaviour);
            for (int t = 0; t < out[i].n_tokens; t++) {
                CHECK_NEAR(out[i].logprobs[t], toy_logp(u, out[i].tokens[t]), 1e-5);
                u = out[i].tokens[t];
            }
            CHECK_INT(out[i].finish, u == 258 ? VT_FINISH_STOP : VT_FINISH_LENGTH);
            CHECK_INT(out[i].text_len, out[i].n_tokens - (u == 258));
        }
        CHECK(strcmp(out[0].text, out[1].text) != 0 && strcmp(out[1].text, out[2].text) != 0);
        r.out = again;
        CHECK_OK(run_sample(p, &r), err);
        for (int i = 0; i < 4; i++)
            CHECK_STR(again[i].text, out[i].text);
        clear_samples(again, 4);
        r.temperature = 1;
        r.n = 1;
        CHECK_OK(run_sample(p, &r), err);
        CHECK(again[0].logprobs_behaviour && again[0].logprobs_behaviour[0] == again[0].logprobs[0]);
        clear_samples(again, 1);
        clear_samples(out, 4);
        vt_weights_unref(w);
        vt_policy_close(p);
        unserve(&s);
    }
}

/* Each server leaves the stop string out of the text and says in its own way, or not at all, which one it was. */
static void the_stop_string_is_known_whatever_the_server_says(void)
{
    static const char *const shapes[] = {"vllm", "sglang", "llamacpp", "plain"};
    static const char *const stop[] = {"\x01never", "e", "aa"};

    for (size_t k = 0; k < 4; k++) {
        struct served s = start(shapes[k], NULL);
        vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        struct vt_sample out[8];
        int n_stopped = 0;

        CHECK(p != NULL);
        if (!p) {
            unserve(&s);
            continue;
        }
        struct vt_sample_request r = ask(p, w, 8, 200, out);

        r.stop = stop;
        r.n_stop = 3;
        CHECK_OK(run_sample(p, &r), err);
        for (int i = 0; i < 8; i++) {
            CHECK(strchr(out[i].text, 'e') == NULL);
            if (out[i].stop < 0)
                continue;
            n_stopped++;
            CHECK(out[i].stop == 1 || out[i].stop == 2);
            CHECK_INT(out[i].finish, VT_FINISH_STOP);
            CHECK_INT(out[i].n_tokens, (int)out[i].text_len + (out[i].stop == 1 ? 1 : 2));
        }
        CHECK(n_stopped > 0);
        clear_samples(out, 8);
        vt_weights_unref(w);
        vt_policy_close(p);
        unserve(&s);
    }
}

static void a_server_that_draws_one_at_a_time_gets_a_request_for_each(void)
{
    struct served s = start("plain", NULL);
    vt_policy *p = open_at(&s, "#toy", "", NULL);
    vt_weights *w = p ? vt_policy_start(p) : NULL;
    struct vt_sample out[5], one;
    const int before = count_of(&s, "completions"), third[] = {3};

    CHECK(p != NULL);
    if (p) {
        struct vt_sample_request r = ask(p, w, 5, 12, out);

        CHECK_OK(run_sample(p, &r), err);
        CHECK_INT(count_of(&s, "completions") - before, 5);
        CHECK(!out[0].tokens && out[0].logprobs);
        CHECK_NEAR(out[0].logprobs[0], toy_logp(10, out[0].text[0]), 1e-5);
        r.n = 1; /* its third sample alone is the same */
        r.index = third;
        r.out = &one;
        CHECK_OK(run_sample(p, &r), err);
        CHECK_STR(one.text, out[2].text);
        CHECK(strcmp(out[0].text, out[2].text) != 0);
        clear_samples(out, 5);
        vt_sample_clear(&one);
    }
    vt_weights_unref(w);
    vt_policy_close(p);
    unserve(&s);
}

static void a_server_without_log_probabilities_gives_samples_without(void)
{
    struct served s = start("bare", NULL);
    vt_policy *p = open_at(&s, "#toy", "", NULL);
    vt_weights *w = p ? vt_policy_start(p) : NULL;
    struct vt_sample out[2];

    CHECK(p != NULL);
    if (p) {
        struct vt_sample_request r = ask(p, w, 2, 6, out);

        CHECK_OK(run_sample(p, &r), err);
        CHECK(out[0].text_len > 0 && !out[0].logprobs && !out[0].logprobs_behaviour && out[0].n_tokens > 0);
        clear_samples(out, 2);
    }
    vt_weights_unref(w);
    vt_policy_close(p);
    unserve(&s);
}

static void log_probabilities_after_temperature_are_not_taken_for_the_model_s(void)
{
    struct served s = start("processed", NULL);
    vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
    vt_weights *w = p ? vt_policy_start(p) : NULL;
    struct vt_sample out;

    CHECK(p != NULL);
    if (p) {
        struct vt_sample_request r = ask(p, w, 1, 6, &out);

        CHECK_OK(run_sample(p, &r), err); /* at temperature 1 they are the same */
        CHECK_NEAR(out.logprobs[0], toy_logp(10, out.tokens[0]), 1e-5);
        vt_sample_clear(&out);
        r.temperature = 0.5f;
        CHECK_INT(run_sample(p, &r), VT_EUNSUPPORTED);
        CHECK(strstr(err.msg, "raw_logprobs") != NULL);
    }
    vt_weights_unref(w);
    vt_policy_close(p);
    unserve(&s);
}

/* --- scoring, and what is refused --- */

static void scores_are_the_prompt_s_log_probabilities(void)
{
    static const char *const shapes[] = {"vllm", "sglang"};
    static const int32_t a[] = {104, 105, 258}, b[] = {97};
    const int32_t *const rows[] = {a, b};
    const int n[] = {3, 1};

    for (size_t k = 0; k < 2; k++) {
        struct served s = start(shapes[k], NULL);
        vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        float out[2][MAX_LEN];

        CHECK(p != NULL);
        if (p) {
            score(p, w, rows, n, 2, out);
            CHECK_NEAR(out[0][0], toy_logp(10, 104), 1e-5);
            CHECK_NEAR(out[0][1], toy_logp(104, 105), 1e-5);
            CHECK_NEAR(out[0][2], toy_logp(105, 258), 1e-5);
            CHECK_NEAR(out[1][0], toy_logp(10, 97), 1e-5);
        }
        vt_weights_unref(w);
        vt_policy_close(p);
        unserve(&s);
    }
}

static void updates_and_scores_that_cannot_be_are_refused_by_name(void)
{
    struct served s = start("llamacpp", NULL);
    vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
    vt_weights *w = p ? vt_policy_start(p) : NULL, *made;
    struct vt_score_request r = {.weights = w, .prompt = some_prompt, .n_prompt = 2};

    CHECK(p != NULL);
    if (p) {
        CHECK_INT(vt_policy_score(p, &r, NULL, NULL, NULL, &err), VT_EUNSUPPORTED);
        CHECK(strstr(err.msg, s.url) && strstr(err.msg, "score"));
        CHECK_INT(vt_policy_branch(w, &made, NULL, NULL, NULL, &err), VT_EUNSUPPORTED);
        CHECK(strstr(err.msg, s.url) && strstr(err.msg, "updated"));
    }
    vt_weights_unref(w);
    vt_policy_close(p);
    unserve(&s);
}

/* --- faults --- */

static void lost_answers_are_asked_for_again(void)
{
    static const char *const faults[] = {
        "{\"path\":\"completions\",\"from\":9,\"count\":4,\"action\":\"status\",\"status\":429,\"headers\":{\"retry-"
        "after-ms\":\"5\"}}",
        "{\"path\":\"completions\",\"from\":9,\"count\":2,\"action\":\"status\",\"status\":503,\"headers\":{\"retry-"
        "after-ms\":\"5\"}}",
        "{\"path\":\"completions\",\"from\":9,\"count\":1,\"action\":\"drop\"}",
        "{\"path\":\"completions\",\"from\":9,\"count\":1,\"action\":\"truncate\"}",
        "{\"path\":\"completions\",\"from\":9,\"count\":1,\"action\":\"garbage\"}",
    };

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct served s = start("vllm", faults[i]);
        vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        struct vt_sample out[2];

        CHECK(p != NULL);
        if (p) {
            struct vt_sample_request r = ask(p, w, 2, 6, out);

            CHECK_INT(count_of(&s, "completions"), N_PROBES);
            CHECK_OK(run_sample(p, &r), err);
            CHECK(out[1].n_tokens > 0);
            clear_samples(out, 2);
        }
        vt_weights_unref(w);
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
        {"{\"path\":\"completions\",\"from\":9,\"count\":-1,\"action\":\"garbage\"}", VT_EFORMAT,
         "the server's answer"},
        {"{\"path\":\"completions\",\"from\":9,\"count\":-1,\"action\":\"short\"}", VT_ENET,
         "5 log-probabilities for a sample of 6 tokens"},
        {"{\"path\":\"completions\",\"from\":9,\"count\":-1,\"action\":\"status\",\"status\":401,\"body\":{\"error\":{"
         "\"message\":\"no such key\"}}}",
         VT_ENET, "401, not authorised: no such key; set OPENAI_API_KEY"},
        {"{\"path\":\"completions\",\"from\":9,\"count\":-1,\"action\":\"status\",\"status\":402,\"body\":{\"detail\":"
         "\"no money left\"}}",
         VT_EBUDGET, "402, payment required: no money left"},
        {"{\"path\":\"completions\",\"from\":9,\"count\":-1,\"action\":\"status\",\"status\":500,\"headers\":{"
         "\"x-should-retry\":\"false\"}}",
         VT_ENET, "500, a failure of the server: as the test wants it"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct served s = start("vllm", rows[i].fault);
        vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        static const char *const stop[] = {"\x01never"};
        struct vt_sample out[1];

        CHECK(p != NULL);
        if (p) {
            struct vt_sample_request r = ask(p, w, 1, 6, out);

            r.stop = stop;
            r.n_stop = 1;
            r.temperature = 0; /* six tokens, whatever the seed */
            CHECK_INT(run_sample(p, &r), rows[i].code);
            if (!strstr(err.msg, rows[i].says))
                CHECK_STR(err.msg, rows[i].says);
            CHECK(strchr(err.msg, '\n') == NULL && out[0].text == NULL);
        }
        vt_weights_unref(w);
        vt_policy_close(p);
        unserve(&s);
    }
}

static void a_request_under_way_can_be_cancelled(void)
{
    struct served s = start("vllm", "{\"path\":\"completions\",\"from\":9,\"count\":-1,\"action\":\"hang\"}");
    vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
    vt_weights *w = p ? vt_policy_start(p) : NULL;
    struct ending first = ENDING, second = ENDING;
    struct vt_sample out[2];
    vt_request *ticket = NULL;

    CHECK(p != NULL);
    if (p) {
        struct vt_sample_request r = ask(p, w, 1, 6, &out[0]), other = ask(p, w, 1, 6, &out[1]);

        CHECK_OK(vt_policy_sample(p, &r, on_end, &first, &ticket, &err), err);
        CHECK_OK(vt_policy_sample(p, &other, on_end, &second, NULL, &err), err);
        vt_request_cancel(ticket);
        CHECK_INT(wait_end(&first), VT_ECANCELLED);
        vt_request_release(ticket);
        vt_weights_unref(w);
        vt_policy_close(p); /* cancels the other */
        CHECK_INT(wait_end(&second), VT_ECANCELLED);
        CHECK_INT(first.n_done + second.n_done, 2);
    }
    unserve(&s);
}

/* --- secrets --- */

/* A key of the environment is sent, and written nowhere: not in the trace, though the server repeats it, nor in an
 * error, nor in the record. */
static void a_key_is_sent_and_told_to_nobody(void)
{
    static const char key[] = "sk-test-4242424242";
    const char *const args[] = {"--shape", "vllm", "--key", key, NULL};
    struct served s = serve("openai_server.py", args);
    char dir[] = "/tmp/vegttt-key-XXXXXX", path[64];
    struct vt_buf trace = {0};
    vt_policy *p;

    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/trace", dir);
    setenv("OPENAI_API_KEY", "sk-wrong-777777", 1);
    p = open_at(&s, "#toy", "", path);
    CHECK(p == NULL && strstr(err.msg, "401") && strstr(err.msg, "OPENAI_API_KEY"));
    CHECK(strstr(err.msg, "(api key)***") && !strstr(err.msg, "777777"));
    setenv("OPENAI_API_KEY", key, 1);
    p = open_at(&s, "#toy", "", path);
    CHECK(p != NULL);
    if (p)
        CHECK(!strstr(vt_policy_record(p), key) && !strstr(vt_policy_spec(p), key));
    vt_policy_close(p);
    unsetenv("OPENAI_API_KEY");
    CHECK_OK(vt_fs_read(path, 1 << 20, &trace, &err), err);
    CHECK(strstr(trace.p, "\"Authorization\":\"(secret)\"") && strstr(trace.p, "/v1/completions"));
    CHECK(!strstr(trace.p, "4242424242") && !strstr(trace.p, "777777"));
    setenv("OPENAI_API_KEY", "with a blank", 1);
    CHECK(open_at(&s, "#toy", "", NULL) == NULL && strstr(err.msg, "OPENAI_API_KEY") && !strstr(err.msg, "blank"));
    unsetenv("OPENAI_API_KEY");
    vt_buf_free(&trace);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    unserve(&s);
}

static const struct test_case cases[] = {TEST(each_server_is_found_out_by_asking),
                                         TEST(what_cannot_be_opened_says_what_to_do),
                                         TEST(the_only_model_need_not_be_named),
                                         TEST(samples_carry_the_model_s_log_probabilities),
                                         TEST(the_stop_string_is_known_whatever_the_server_says),
                                         TEST(a_server_that_draws_one_at_a_time_gets_a_request_for_each),
                                         TEST(a_server_without_log_probabilities_gives_samples_without),
                                         TEST(log_probabilities_after_temperature_are_not_taken_for_the_model_s),
                                         TEST(scores_are_the_prompt_s_log_probabilities),
                                         TEST(updates_and_scores_that_cannot_be_are_refused_by_name),
                                         TEST(lost_answers_are_asked_for_again),
                                         TEST(what_cannot_be_mended_is_one_sentence),
                                         TEST(a_request_under_way_can_be_cancelled),
                                         TEST(a_key_is_sent_and_told_to_nobody)};

int main(int argc, char **argv)
{
    return openai_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
