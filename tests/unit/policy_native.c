/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_native.c: the native backend on the real default model: what a sample depends on, stop strings inside tokens,
 * score against sample, the learning test of the trainer with the agreement of its halves, weights in a file. What
 * holds for every backend is tested on a tiny model (policy_common.h).
 */
#include "base/fs.h"
#include "base/mail.h"
#include "harness.h"
#include <vegttt/policy.h>

static vt_policy *policy;
static int32_t *prompt;
static int n_prompt;

static const char *model_path(void)
{
    const char *path = getenv("VEGTTT_TEST_MODEL");
    static char *found;
    vt_err err;

    if (path && *path)
        return path;
    if (!found && vt_model_find("smollm2-135m", &found, &err) != VT_OK)
        return NULL;
    return found;
}

/* Opens the model once; false when this machine does not have it. */
static bool need_policy(void)
{
    static const char text[] =
        "<|im_start|>user\nSay something about the number seven.<|im_end|>\n<|im_start|>assistant\n";
    struct vt_policy_opts o = {.rank = 4, .init_seed = 5};
    struct vt_mail m = VT_MAIL;
    size_t n;
    vt_err err;

    if (policy)
        return true;
    if (!model_path())
        return false;
    if (vt_policy_open(model_path(), &o, &policy, vt_mail_deliver, &m, NULL, &err) != VT_OK ||
        vt_mail_wait(&m, &err) != VT_OK) {
        printf("  %s\n", err.msg);
        test_failures_in_case++;
        return false;
    }
    CHECK_OK(vt_policy_encode(policy, text, sizeof text - 1, true, &prompt, &n, &err), err);
    n_prompt = (int)n;
    return true;
}
#define NEED_POLICY()                                                                                                  \
    if (!need_policy())                                                                                                \
    SKIP("the default model is not here: vegttt model pull smollm2-135m")

enum { MAX_N = 8 };

/* Samples number first … first + n - 1 of the group that seed names. */
static void sample(vt_weights *w, int n, uint64_t seed, int first, int max_tokens, const char *const *stop, int n_stop,
                   struct vt_sample *out)
{
    int index[MAX_N];
    struct vt_mail m = VT_MAIL;
    struct vt_sample_request r = {.weights = w,
                                  .prompt = prompt,
                                  .n_prompt = n_prompt,
                                  .n = n,
                                  .seed = seed,
                                  .index = index,
                                  .temperature = 0.8f,
                                  .top_p = 1,
                                  .max_tokens = max_tokens,
                                  .stop = stop,
                                  .n_stop = n_stop,
                                  .out = out};
    vt_err err;

    for (int i = 0; i < n; i++)
        index[i] = first + i;
    CHECK_OK(vt_policy_sample(policy, &r, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
}

static void clear(struct vt_sample *s, int n)
{
    for (int i = 0; i < n; i++)
        vt_sample_clear(&s[i]);
}

/* A sample alone, in company, and in company of another width is the same sample. */
static void a_sample_depends_on_its_seed_only(void)
{
    struct vt_sample all[MAX_N], one;
    vt_weights *w;

    NEED_POLICY();
    w = vt_policy_base(policy);
    sample(w, MAX_N, 11, 1, 24, NULL, 0, all);
    for (int i = 0; i < MAX_N; i += 3) {
        sample(w, 1, 11, 1 + i, 24, NULL, 0, &one);
        CHECK_INT(one.n_tokens, all[i].n_tokens);
        CHECK(memcmp(one.tokens, all[i].tokens, (size_t)one.n_tokens * sizeof *one.tokens) == 0);
        CHECK(memcmp(one.logprobs, all[i].logprobs, (size_t)one.n_tokens * sizeof *one.logprobs) == 0);
        CHECK_STR(one.text, all[i].text);
        vt_sample_clear(&one);
    }
    CHECK(strcmp(all[0].text, all[1].text) != 0);
    clear(all, MAX_N);
    vt_weights_unref(w);
}

/* The stop string is cut out of the sample's own text, so it starts anywhere inside tokens. */
static void stop_strings_span_tokens(void)
{
    struct vt_sample whole, cut;
    char needle[8];
    const char *stop = needle;
    vt_weights *w;

    NEED_POLICY();
    w = vt_policy_base(policy);
    sample(w, 1, 21, 1, 32, NULL, 0, &whole);
    CHECK(whole.text_len > 24);
    for (size_t at = 3; at + 5 < whole.text_len && at < 24; at += 4) {
        const char *first;

        memcpy(needle, whole.text + at, 5);
        needle[5] = '\0';
        first = strstr(whole.text, needle);
        sample(w, 1, 21, 1, 32, &stop, 1, &cut);
        CHECK_INT(cut.finish, VT_FINISH_STOP);
        CHECK_INT(cut.text_len, first - whole.text);
        CHECK(memcmp(cut.text, whole.text, cut.text_len) == 0);
        CHECK(cut.n_tokens <= whole.n_tokens);
        CHECK(memcmp(cut.tokens, whole.tokens, (size_t)cut.n_tokens * sizeof *cut.tokens) == 0);
        vt_sample_clear(&cut);
    }
    vt_sample_clear(&whole);
    vt_weights_unref(w);
}

static void score(vt_weights *w, const int32_t *const *tokens, const int *n, int n_rows, float *const *out)
{
    struct vt_mail m = VT_MAIL;
    struct vt_score_request r = {.weights = w,
                                 .prompt = prompt,
                                 .n_prompt = n_prompt,
                                 .n_rows = n_rows,
                                 .tokens = tokens,
                                 .n = n,
                                 .logprobs = out};
    vt_err err;

    CHECK_OK(vt_policy_score(policy, &r, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
}

static void score_equals_sample_bit_for_bit(void)
{
    struct vt_sample s[4];
    const int32_t *tokens[4];
    float rows[4][40], *out[4];
    int n[4];
    vt_weights *w;

    NEED_POLICY();
    w = vt_policy_base(policy);
    sample(w, 4, 31, 1, 40, NULL, 0, s);
    for (int i = 0; i < 4; i++) {
        tokens[i] = s[i].tokens;
        n[i] = s[i].n_tokens;
        out[i] = rows[i];
    }
    score(w, tokens, n, 4, out);
    for (int i = 0; i < 4; i++)
        CHECK(memcmp(rows[i], s[i].logprobs, (size_t)n[i] * sizeof(float)) == 0);
    clear(s, 4);
    vt_weights_unref(w);
}

/* One update of `from` on the sequences with the advantages a; returns new weights. */
static vt_weights *update(vt_weights *from, const struct vt_sample *s, const float *a, int n, float lr,
                          const char *digest, struct vt_update_report *report)
{
    struct vt_mail m = VT_MAIL;
    struct vt_train_seq seqs[MAX_N];
    float logp[MAX_N][64], w[MAX_N][64], advantage[64];
    struct vt_update_opts o = {.lr = lr,
                               .beta1 = 0.9f,
                               .beta2 = 0.95f,
                               .eps = 1e-12f,
                               .digest = digest,
                               .trained_on = "{\"families\":[\"toy\"],\"tasks\":[7]}"};
    vt_weights *made = NULL;
    vt_forward *f;
    vt_err err;

    for (int i = 0; i < n; i++)
        seqs[i] = (struct vt_train_seq){.prompt = prompt,
                                        .n_prompt = n_prompt,
                                        .tokens = s[i].tokens,
                                        .n_tokens = s[i].n_tokens,
                                        .logp = logp[i],
                                        .w = w[i]};
    CHECK_OK(vt_policy_forward(policy, from, seqs, (size_t)n, true, &f, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    for (int i = 0; i < n; i++) {
        for (int t = 0; t < s[i].n_tokens; t++)
            advantage[t] = a[i];
        vt_loss_weights(VT_LOSS_IMPORTANCE_SAMPLING, &vt_loss_defaults, logp[i], s[i].logprobs, advantage,
                        s[i].n_tokens, w[i]);
        /* On the first update the trainer's log-probabilities are the sampler's, so every ratio is exactly 1. */
        if (strcmp(digest, "first") == 0)
            for (int t = 0; t < s[i].n_tokens; t++)
                CHECK(w[i][t] == a[i]);
    }
    CHECK_OK(vt_policy_step(f, &o, &made, report, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    vt_forward_forget(f);
    return made;
}

static double expected_reward(vt_weights *w, const struct vt_sample *s, const float *reward, int n)
{
    const int32_t *tokens[MAX_N];
    float rows[MAX_N][64], *out[MAX_N];
    int lengths[MAX_N];
    double mass = 0, gain = 0;

    for (int i = 0; i < n; i++) {
        tokens[i] = s[i].tokens;
        lengths[i] = s[i].n_tokens;
        out[i] = rows[i];
    }
    score(w, tokens, lengths, n, out);
    for (int i = 0; i < n; i++) {
        double logp = 0;

        for (int t = 0; t < lengths[i]; t++)
            logp += (double)rows[i][t];
        mass += exp(logp / lengths[i]);
        gain += exp(logp / lengths[i]) * (double)reward[i];
    }
    return gain / mass;
}

/* The toy task: among eight fixed answers the first is worth 1. An update with the centred reward makes it likelier,
 * the negated reward less likely, zero advantages change no bit. */
static void learning_moves_the_right_way(void)
{
    const float reward[MAX_N] = {1};
    float a[MAX_N], zero[MAX_N] = {0};
    struct vt_sample s[MAX_N];
    struct vt_update_report report;
    vt_weights *base, *start, *up, *down, *same;
    double before;

    NEED_POLICY();
    base = vt_policy_base(policy);
    start = vt_policy_start(policy);
    sample(base, MAX_N, 41, 1, 16, NULL, 0, s);
    for (int i = 0; i < MAX_N; i++)
        a[i] = reward[i] - 1.0f / MAX_N;
    before = expected_reward(base, s, reward, MAX_N);
    up = update(start, s, a, MAX_N, 1e-3f, "first", &report);
    CHECK(report.grad_norm > 0);
    CHECK(report.agreement >= -1 && report.agreement <= 1);
    CHECK(expected_reward(up, s, reward, MAX_N) > before);
    for (int i = 0; i < MAX_N; i++)
        a[i] = -a[i];
    down = update(start, s, a, MAX_N, 1e-3f, "negated", &report);
    CHECK(expected_reward(down, s, reward, MAX_N) < before);
    same = update(start, s, zero, MAX_N, 1e-3f, "zero", &report);
    CHECK_NEAR(report.grad_norm, 0, 0);
    CHECK_NEAR(expected_reward(same, s, reward, MAX_N), before, 0);
    CHECK(strcmp(vt_weights_id(up), vt_weights_id(down)) != 0);
    CHECK_STR(vt_weights_trained_on(up), "{\"families\":[\"toy\"],\"tasks\":[7]}");
    clear(s, MAX_N);
    vt_weights_unref(up);
    vt_weights_unref(down);
    vt_weights_unref(same);
    vt_weights_unref(base);
    vt_weights_unref(start);
}

/* Saved weights come back under their id and give the same bits; so does the step after them. */
static void weights_survive_a_file(void)
{
    const float a[2] = {1, -1};
    char dir[] = "/tmp/vegttt-weights-XXXXXX", id[65];
    struct vt_sample s[2], again[2];
    struct vt_update_report report;
    struct vt_update_opts o = {
        .lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f, .digest = "second", .agreement = true};
    vt_weights *start, *one, *two, *back = NULL, *two_again;
    struct vt_mail m = VT_MAIL;
    vt_err err;

    NEED_POLICY();
    CHECK(mkdtemp(dir) != NULL);
    start = vt_policy_start(policy);
    sample(start, 2, 51, 1, 16, NULL, 0, s);
    one = update(start, s, a, 2, 1e-3f, "first", &report);
    CHECK(vt_weights_next_id(one, &o, id));
    CHECK_OK(vt_weights_save(one, dir, VT_SNAPSHOT_TRAINING, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    two = update(one, s, a, 2, 1e-3f, "second", &report);
    CHECK_STR(vt_weights_id(two), id);
    CHECK_OK(vt_weights_load(policy, dir, &back, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    CHECK_STR(vt_weights_id(back), vt_weights_id(one));
    two_again = update(back, s, a, 2, 1e-3f, "second", &report);
    CHECK_STR(vt_weights_id(two_again), id);
    sample(two, 2, 51, 1, 16, NULL, 0, again);
    clear(s, 2);
    sample(two_again, 2, 51, 1, 16, NULL, 0, s);
    for (int i = 0; i < 2; i++)
        CHECK(memcmp(s[i].logprobs, again[i].logprobs, (size_t)s[i].n_tokens * sizeof(float)) == 0);
    clear(s, 2);
    clear(again, 2);
    vt_weights_unref(start);
    vt_weights_unref(one);
    vt_weights_unref(two);
    vt_weights_unref(back);
    vt_weights_unref(two_again);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    vt_policy_close(policy);
    policy = NULL;
    free(prompt);
}

static const struct test_case cases[] = {TEST(a_sample_depends_on_its_seed_only), TEST(stop_strings_span_tokens),
                                         TEST(score_equals_sample_bit_for_bit), TEST(learning_moves_the_right_way),
                                         TEST(weights_survive_a_file)};
TEST_MAIN(cases)
