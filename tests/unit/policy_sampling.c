/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_sampling.c: samples and scores over both backends: what a sample holds and what names it, stop strings, bans,
 * log-probabilities against the scorer's, the ranges of parameters, servers that know less and servers of text.
 */
#include "base/rng.h"
#include "policy_common.h"
#include <limits.h>

enum { CLOSING_TOKEN = 263 }; /* "\n}" */

static void samples_hold_what_the_scorer_says(void)
{
    const int n_published = double_counts().n_published;
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *made = update(p, start, 1e-2f, "x"), *both[2] = {start, made};

    CHECK(vt_policy_caps(p)->exact);
    for (int k = 0; k < 2; k++) {
        struct vt_sample out[4];
        struct vt_sample_request r = sample_request(both[k], 4, 40, out);
        const int32_t *tokens[4];
        float scored[4][MAX_LEN];
        int n[4];

        CHECK_OK(run_sample(p, &r), err);
        for (int i = 0; i < 4; i++) {
            tokens[i] = out[i].tokens;
            n[i] = out[i].n_tokens;
            CHECK(n[i] >= 1 && n[i] <= 40);
            CHECK(out[i].finish == VT_FINISH_LENGTH || out[i].finish == VT_FINISH_STOP);
            CHECK_INT(out[i].stop, -1);
        }
        score(p, both[k], tokens, n, 4, scored);
        for (int i = 0; i < 4; i++)
            CHECK(memcmp(scored[i], out[i].logprobs, (size_t)n[i] * sizeof(float)) == 0);
        clear_samples(out, 4);
    }
    CHECK_INT(double_counts().n_published - n_published, is_double() ? 2 : 0); /* each once, for both */
    vt_weights_unref(start);
    vt_weights_unref(made);
    vt_policy_close(p);
}

/* The stop string is the model's own usual ending; it is not in the text, but its token is in the tokens. */
static void stop_strings_end_a_sample(void)
{
    static const char *const stop[] = {"no such text", "\n}"};
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct vt_sample out[MAX_N];
    struct vt_sample_request r = sample_request(start, MAX_N, 64, out);
    int n_stopped = 0;

    r.stop = stop;
    r.n_stop = 2;
    CHECK_OK(run_sample(p, &r), err);
    for (int i = 0; i < MAX_N; i++) {
        CHECK(strstr(out[i].text, "\n}") == NULL);
        CHECK_INT((long long)strlen(out[i].text), (long long)out[i].text_len);
        if (out[i].stop < 0)
            continue;
        n_stopped++;
        CHECK_INT(out[i].stop, 1);
        CHECK_INT(out[i].finish, VT_FINISH_STOP);
        CHECK_INT(out[i].tokens[out[i].n_tokens - 1], CLOSING_TOKEN);
    }
    CHECK(n_stopped > 0);
    clear_samples(out, MAX_N);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Where two stop strings end with the same token, the text ends where the earlier one begins, whichever is named first.
 */
static void the_earliest_stop_string_ends_a_sample(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct vt_sample whole[MAX_N], out[MAX_N];
    struct vt_sample_request r = sample_request(start, MAX_N, 64, whole);
    int n_seen = 0;

    CHECK_OK(run_sample(p, &r), err);
    for (int i = 0; i < MAX_N && vt_policy_caps(p)->seeds == VT_SEEDS_SAMPLE; i++) {
        const char *text = whole[i].text;
        const char third[2] = {text[2]}, both[3] = {text[1], text[2]};
        const char *const orders[2][2] = {{third, both}, {both, third}};

        if (whole[i].text_len < 3 || text[2] == text[0] || text[2] == text[1])
            continue;
        n_seen++;
        for (int k = 0; k < 2; k++) {
            r.out = out;
            r.stop = orders[k];
            r.n_stop = 2;
            CHECK_OK(run_sample(p, &r), err);
            CHECK_INT(out[i].text_len, 1);
            CHECK_INT(out[i].stop, k ? 0 : 1);
            clear_samples(out, MAX_N);
        }
    }
    CHECK(n_seen > 0 || vt_policy_caps(p)->seeds != VT_SEEDS_SAMPLE);
    clear_samples(whole, MAX_N);
    vt_weights_unref(start);
    vt_policy_close(p);
}

static bool same_sample(const struct vt_sample *a, const struct vt_sample *b)
{
    return a->n_tokens == b->n_tokens && memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof *a->tokens) == 0;
}

/* Where samples have seeds, number i of a group is the same sample in any request; elsewhere nothing repeats. */
static void a_sample_is_named_by_group_and_number(void)
{
    static const int odd[] = {5, 3};
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct vt_sample all[MAX_N], some[2], again[MAX_N];
    struct vt_sample_request r = sample_request(start, MAX_N, 40, all), q = sample_request(start, 2, 40, some);
    bool is_repeated = true;

    CHECK(vt_sample_seed(7, "group/", 3) == vt_seed_str(7, "group/3"));
    CHECK_OK(run_sample(p, &r), err);
    q.index = odd;
    CHECK_OK(run_sample(p, &q), err);
    r.out = again;
    CHECK_OK(run_sample(p, &r), err);
    for (int i = 0; i < MAX_N; i++)
        is_repeated = is_repeated && same_sample(&all[i], &again[i]);
    CHECK_INT(is_repeated, vt_policy_caps(p)->seeds == VT_SEEDS_SAMPLE);
    if (is_repeated)
        CHECK(same_sample(&some[0], &all[4]) && same_sample(&some[1], &all[2]));
    clear_samples(again, MAX_N);
    r.stream = "another/";
    CHECK_OK(run_sample(p, &r), err);
    is_repeated = true;
    for (int i = 0; i < MAX_N; i++)
        is_repeated = is_repeated && same_sample(&all[i], &again[i]);
    CHECK(!is_repeated);
    clear_samples(all, MAX_N);
    clear_samples(some, 2);
    clear_samples(again, MAX_N);
    vt_weights_unref(start);
    vt_policy_close(p);
}

static void banned_tokens_do_not_come(void)
{
    static const int32_t banned[] = {CLOSING_TOKEN, 256, 257, 258}; /* with every end there is */
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct vt_sample out[MAX_N];
    struct vt_sample_request r = sample_request(start, MAX_N, 64, out);

    r.banned = banned;
    r.n_banned = 4;
    CHECK_OK(run_sample(p, &r), err);
    for (int i = 0; i < MAX_N; i++) {
        for (int t = 0; t < out[i].n_tokens; t++)
            CHECK(out[i].tokens[t] < 256 || (out[i].tokens[t] > 258 && out[i].tokens[t] != CLOSING_TOKEN));
        CHECK_INT(out[i].n_tokens, 64);
        CHECK_INT(out[i].finish, VT_FINISH_LENGTH);
    }
    clear_samples(out, MAX_N);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* Each filter, closed all the way, leaves the likeliest token alone: what temperature 0 takes. */
static void filters_reach_the_model(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct vt_sample greedy, out;
    struct vt_sample_request r = sample_request(start, 1, 24, &greedy);

    r.temperature = 0;
    CHECK_OK(run_sample(p, &r), err);
    for (int filter = 0; filter < 3; filter++) {
        r = sample_request(start, 1, 24, &out);
        r.temperature = 4;
        r.top_k = filter == 0 ? 1 : 0;
        r.top_p = filter == 1 ? 1e-6f : 1;
        r.min_p = filter == 2 ? 1 : 0;
        CHECK_OK(run_sample(p, &r), err);
        CHECK(same_sample(&out, &greedy));
        vt_sample_clear(&out);
    }
    vt_sample_clear(&greedy);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* `each` tells of every sample once, when it is final; a server that learns of all at once leaves it out. */
struct told {
    const struct vt_sample *out;
    int n[MAX_N], n_tokens[MAX_N];
};

static void on_each(void *arg, int j)
{
    struct told *t = arg;

    t->n[j]++;
    t->n_tokens[j] = t->out[j].n_tokens;
}

static void samples_are_told_as_they_end(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p);
    struct vt_sample out[MAX_N];
    struct vt_sample_request r = sample_request(start, MAX_N, 40, out);
    struct told told = {.out = out};

    r.each = on_each;
    r.each_arg = &told;
    CHECK_OK(run_sample(p, &r), err);
    for (int i = 0; i < MAX_N; i++) {
        CHECK_INT(told.n[i], is_double() ? 0 : 1);
        if (told.n[i])
            CHECK_INT(told.n_tokens[i], out[i].n_tokens);
    }
    clear_samples(out, MAX_N);
    vt_weights_unref(start);
    vt_policy_close(p);
}

static void expect(vt_policy *p, struct vt_sample_request *r, vt_status status, const char *says)
{
    CHECK_INT(run_sample(p, r), status);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
}

static void refusals_name_what_and_why(void)
{
    static const int zero[] = {0};
    vt_policy *p = open_policy(), *other = open_policy();
    vt_weights *start = vt_policy_start(p), *foreign = vt_policy_start(other);
    struct vt_sample out[1];
    const struct vt_sample_request good = sample_request(start, 1, 4, out);
    struct vt_sample_request r = good;

    r.n_prompt = 0;
    expect(p, &r, VT_EINVAL, "empty prompt");
    r = good;
    r.n = 0;
    expect(p, &r, VT_EINVAL, "n must be at least 1");
    r = good;
    r.weights = foreign;
    expect(p, &r, VT_EINVAL, "belong to");
    r = good;
    r.max_tokens = 1 << 20;
    expect(p, &r, VT_ELIMIT, "context of 4096");
    r.max_tokens = INT_MAX; /* with the prompt it passes INT_MAX */
    expect(p, &r, VT_EINVAL, "max_tokens must be at most 1048576");
    r = good;
    r.n_prompt = INT_MAX;
    expect(p, &r, VT_ELIMIT, "context of 4096");
    r = good;
    r.temperature = -1;
    expect(p, &r, VT_EINVAL, "temperature");
    r.temperature = (float)NAN;
    expect(p, &r, VT_EINVAL, "temperature");
    r.temperature = 150;
    expect(p, &r, VT_EINVAL, "at most 100, not 150");
    r = good;
    r.top_p = 0;
    expect(p, &r, VT_EINVAL, "top_p");
    r = good;
    r.min_p = 1.5f;
    expect(p, &r, VT_EINVAL, "min_p");
    r = good;
    r.top_k = -1;
    expect(p, &r, VT_EINVAL, "top_k");
    r = good;
    r.index = zero;
    expect(p, &r, VT_EINVAL, "numbered from 1");
    r = good;
    r.max_tokens = 0;
    expect(p, &r, VT_EINVAL, "max_tokens");
    vt_weights_unref(start);
    vt_weights_unref(foreign);
    vt_policy_close(p);
    vt_policy_close(other);
}

/* What a server does not know is refused by name, never left out in silence. */
static void a_plain_server_refuses_what_it_does_not_know(void)
{
    static const int32_t banned[] = {1};
    const struct vt_policy_opts o = {.n_threads = 1};
    struct vt_sample out[1];
    struct vt_sample_request good, r;
    vt_policy *p = NULL;

    if (!is_double())
        return;
    CHECK_OK(open_spec("double:plain@" CHAT, &o, &p), err);
    vt_weights *start = vt_policy_start(p);
    good = r = sample_request(start, 1, 4, out);
    r.top_k = 5;
    expect(p, &r, VT_EUNSUPPORTED, "top_k");
    r = good;
    r.top_p = 0.9f;
    expect(p, &r, VT_EUNSUPPORTED, "top_p");
    r = good;
    r.min_p = 0.1f;
    expect(p, &r, VT_EUNSUPPORTED, "min_p");
    r = good;
    r.banned = banned;
    r.n_banned = 1;
    expect(p, &r, VT_EUNSUPPORTED, "banned");
    r = good;
    CHECK_OK(run_sample(p, &r), err);
    clear_samples(out, 1);
    vt_weights_unref(start);
    vt_policy_close(p);
}

/* A server of text: prompts go as text, completions come as text with log-probabilities and without ids. */
static void a_server_of_text(void)
{
    static const char prompt[] = "ABC\nDEF\n";
    const struct vt_policy_opts o = {.n_threads = 1};
    struct vt_sample out[2];
    int32_t *ids = NULL;
    size_t n = 0;
    vt_policy *p = NULL;

    if (!is_double())
        return;
    CHECK_OK(open_spec("double:text@" CHAT, &o, &p), err);
    vt_weights *start = vt_policy_start(p);
    struct vt_sample_request r = sample_request(start, 2, 16, out);
    expect(p, &r, VT_EUNSUPPORTED, "as text");
    r.prompt = NULL;
    r.n_prompt = 0;
    expect(p, &r, VT_EUNSUPPORTED, "as text");
    r.text = prompt;
    r.text_len = sizeof prompt - 1;
    CHECK_OK(run_sample(p, &r), err);
    for (int i = 0; i < 2; i++)
        CHECK(out[i].tokens == NULL && out[i].text != NULL && out[i].n_tokens >= 1 && out[i].logprobs[0] < 0);
    clear_samples(out, 2);
    CHECK_INT(vt_policy_encode(p, prompt, 3, false, &ids, &n, &err), VT_EUNSUPPORTED);
    vt_weights_unref(start);
    vt_policy_close(p);
}

static const struct test_case cases[] = {TEST(samples_hold_what_the_scorer_says),
                                         TEST(stop_strings_end_a_sample),
                                         TEST(the_earliest_stop_string_ends_a_sample),
                                         TEST(a_sample_is_named_by_group_and_number),
                                         TEST(banned_tokens_do_not_come),
                                         TEST(filters_reach_the_model),
                                         TEST(samples_are_told_as_they_end),
                                         TEST(refusals_name_what_and_why),
                                         TEST(a_plain_server_refuses_what_it_does_not_know),
                                         TEST(a_server_of_text)};
POLICY_TEST_MAIN(cases)
