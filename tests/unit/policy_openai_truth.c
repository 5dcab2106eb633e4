/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_openai_truth.c: what the backend of completions servers does not believe: answers that cannot be true, and
 * that a server which comes back under an address is the one that was there before.
 */
#include "openai_common.h"

/* An answer that cannot be true is refused whole: nothing of it is a sample. */
static void answers_that_lie_are_refused(void)
{
    static const struct {
        const char *how, *options, *says;
    } rows[] = {
        {"positive", TOKENIZER, "no log-probability for token 6"},
        {"nan", TOKENIZER, "no log-probability for token 6"},
        {"infinite", TOKENIZER, "no log-probability for token 6"},
        {"positive", "", "no log-probability for token 6"},
        {"other ids", TOKENIZER, "do not spell the text"},
        {"other text", TOKENIZER, "do not spell the text"},
        {"no such id", TOKENIZER, "the token 2000000000"},
        {"longer", TOKENIZER, "300 tokens where 6 were asked for"},
        {"cut prompt", TOKENIZER, "the server read 9 tokens of a prompt of 10"},
        {"cut ids", TOKENIZER, "other tokens than the 10 of the prompt"},
        {"fewer", TOKENIZER, "1 samples of the 2"},
        {"more", TOKENIZER, "3 samples of the 2"},
        {"twice", TOKENIZER, "no choice number 1"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char fault[128];

        snprintf(fault, sizeof fault,
                 "{\"path\":\"completions\",\"from\":%d,\"count\":-1,\"action\":\"lie\",\"how\":\"%s\"}",
                 rows[i].options[0] ? N_PROBES + 1 : N_PROBES_OF_TEXT + 1, rows[i].how);
        struct served s = start("vllm", fault);
        vt_policy *p = open_at(&s, "#toy", rows[i].options, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        struct vt_sample out[2];

        CHECK(p != NULL);
        if (p) {
            struct vt_sample_request r = ask(p, w, 2, 6, out);

            r.temperature = 0;
            r.stop = (const char *const[]){"\x01never"};
            r.n_stop = 1;
            if (run_sample(p, &r) != VT_ENET || !strstr(err.msg, rows[i].says) || out[0].text || out[1].text) {
                printf("  of the lie %s: %s\n", rows[i].how, err.msg);
                test_failures_in_case++;
            }
        }
        vt_weights_unref(w);
        vt_policy_close(p);
        unserve(&s);
    }
}

static void expect_no_score(const char *fault, const char *says)
{
    static const int32_t a[] = {104, 105};
    struct served s = start("vllm", fault);
    vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
    vt_weights *w = p ? vt_policy_start(p) : NULL;
    const int32_t *const rows[] = {a};
    const int n[] = {2};
    float scores[2], *const out[] = {scores};
    struct vt_score_request r = {
        .weights = w, .prompt = some_prompt, .n_prompt = 2, .tokens = rows, .n = n, .n_rows = 1, .logprobs = out};
    struct vt_mail m = VT_MAIL;

    CHECK(p != NULL);
    if (p) {
        CHECK_OK(vt_policy_score(p, &r, vt_mail_deliver, &m, NULL, &err), err);
        CHECK_INT(vt_mail_wait(&m, &err), VT_ENET);
        if (!strstr(err.msg, says))
            CHECK_STR(err.msg, says);
    }
    vt_weights_unref(w);
    vt_policy_close(p);
    unserve(&s);
}

static void scores_that_lie_are_refused(void)
{
    expect_no_score("{\"path\":\"completions\",\"from\":9,\"action\":\"lie\",\"how\":\"positive score\"}",
                    "no log-probability for token 4 of 4");
    expect_no_score("{\"path\":\"completions\",\"from\":9,\"action\":\"lie\",\"how\":\"cut prompt\"}",
                    "the server read 3 tokens of a prompt of 4");
}

/* --- which server it is --- */

static void id_of(const char *shape, const char *weights, const char *options, int port, char out[65])
{
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    const char *const args[] = {"--shape", shape, "--weights", weights, "--port", number, NULL};
    struct served s = serve("openai_server.py", args);
    vt_policy *p = open_at(&s, "#toy", options, NULL);
    vt_weights *w = p ? vt_policy_start(p) : NULL;

    CHECK(p != NULL);
    snprintf(out, 65, "%s", w ? vt_weights_id(w) : "");
    vt_weights_unref(w);
    vt_policy_close(p);
    unserve(&s);
}

/* Samples of one are no answers for another: in text or in tokens, by one tokenizer or another, of a server that reads
 * a request otherwise, or that has other weights. */
static void weights_are_named_by_what_the_server_is_and_how_it_is_asked(void)
{
    struct served s = start("vllm", NULL);
    const int port = s.port;
    char ids[6][65];

    unserve(&s);
    id_of("vllm", "0", TOKENIZER, port, ids[0]);
    id_of("vllm", "0", "", port, ids[1]);
    id_of("processed", "0", TOKENIZER, port, ids[2]);
    id_of("llamacpp", "0", TOKENIZER, port, ids[3]);
    id_of("vllm", "1", TOKENIZER, port, ids[4]); /* another model under the same name */
    id_of("vllm", "0", TOKENIZER, port, ids[5]);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++)
            CHECK(strcmp(ids[i], ids[k]) != 0);
    CHECK_STR(ids[5], ids[0]);
}

/* The same server may come back; another one under its address is told apart before an answer of it is used. */
static void a_server_that_was_replaced_is_noticed(void)
{
    static const struct {
        const char *after, *weights, *says;
    } rows[] = {{"vllm", "0", NULL},
                {"vllm", "1", "what it says of the same prompt has changed"},
                {"processed", "0", "what its log-probabilities are of has changed"},
                {"llamacpp", "0", "has changed"},
                {"bare", "0", "has changed"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct served s = start("vllm", NULL);
        vt_policy *p = open_at(&s, "#toy", TOKENIZER, NULL);
        vt_weights *w = p ? vt_policy_start(p) : NULL;
        struct vt_sample out[2];
        char port[16];

        CHECK(p != NULL);
        snprintf(port, sizeof port, "%d", s.port);
        unserve(&s);
        const char *const args[] = {"--shape", rows[i].after, "--weights", rows[i].weights, "--port", port, NULL};
        s = serve("openai_server.py", args);
        CHECK(s.port > 0);
        if (p) {
            struct vt_sample_request r = ask(p, w, 2, 6, out);
            const vt_status status = run_sample(p, &r);

            CHECK(status == (rows[i].says ? VT_ENET : VT_OK));
            if (rows[i].says && !strstr(err.msg, rows[i].says))
                CHECK_STR(err.msg, rows[i].says);
            if (status == VT_OK)
                clear_samples(out, 2);
            else
                CHECK(out[0].text == NULL);
        }
        vt_weights_unref(w);
        vt_policy_close(p);
        unserve(&s);
    }
}

static const struct test_case cases[] = {TEST(answers_that_lie_are_refused), TEST(scores_that_lie_are_refused),
                                         TEST(weights_are_named_by_what_the_server_is_and_how_it_is_asked),
                                         TEST(a_server_that_was_replaced_is_noticed)};

int main(int argc, char **argv)
{
    return openai_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
