/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_door.c: which backend a spec belongs to, what is refused before anything is fetched or loaded, and what a
 * policy says of itself.
 */
#include "policy_common.h"

static void expect_spec(const char *spec, vt_status status, const char *says)
{
    err.msg[0] = '\0';
    CHECK_INT(vt_policy_check_spec(spec, &err), status);
    if (status != VT_OK && !strstr(err.msg, says))
        CHECK_STR(err.msg, says);
}

static void a_spec_is_checked_without_opening_it(void)
{
    char cache[] = "/tmp/vegttt-cache-XXXXXX", path[128];
    const char *old = getenv("VEGTTT_CACHE");
    char *kept = old ? strdup(old) : NULL;

    expect_spec("c:model", VT_ENOENT, "c:model"); /* one letter is a drive's or a file's, not a scheme */
    /* Known names are good whether they were fetched or not, and nothing is fetched to find out. */
    CHECK(mkdtemp(cache) != NULL);
    setenv("VEGTTT_CACHE", cache, 1);
    expect_spec("smollm2-135m", VT_OK, "");
    snprintf(path, sizeof path, "%s/models", cache);
    CHECK(!vt_fs_exists(path));
    if (kept)
        setenv("VEGTTT_CACHE", kept, 1);
    else
        unsetenv("VEGTTT_CACHE");
    free(kept);
    CHECK_OK(vt_fs_remove_tree(cache, &err), err);

    expect_spec(CHAT, VT_OK, "");
    expect_spec(CHAT "/model.safetensors", VT_OK, "");
    expect_spec("double:" CHAT, VT_OK, "");
    expect_spec("", VT_EINVAL, "empty");
    expect_spec("no-such-model", VT_ENOENT, "\"no-such-model\"");
    expect_spec("/nowhere/model.gguf", VT_ENOENT, "/nowhere/model.gguf");
    expect_spec(VT_SOURCE_DIR "/README.md", VT_EFORMAT, "is no model");
    expect_spec(VT_SOURCE_DIR "/tests", VT_EFORMAT, "config.json");
    expect_spec(CHAT "+no-such-adapter", VT_ENOENT, "\"no-such-adapter\"");
    expect_spec(CHAT "+" VT_SOURCE_DIR "/tests", VT_EFORMAT, "adapter_model.safetensors");
    expect_spec(CHAT "+", VT_EINVAL, "without an adapter");
    expect_spec("double:nonsense@" CHAT, VT_EINVAL, "\"nonsense\"");
    expect_spec("double:/nowhere", VT_ENOENT, "/nowhere");
    expect_spec("openai:http://127.0.0.1:1/v1#m", VT_OK, "");
    expect_spec("openai:127.0.0.1:1/v1#m", VT_EINVAL, "http://");
    expect_spec("banana:split", VT_EINVAL, "\"banana:split\" names no backend");
}

/* Opening says the same as checking. */
static void what_cannot_be_opened_says_why(void)
{
    static const char *const bad[] = {"openai:127.0.0.1:1/v1#m", "banana:split", "/nowhere/model.gguf",
                                      CHAT "+no-such-adapter"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vt_policy *p = NULL;
        vt_status status = vt_policy_check_spec(bad[i], &err);

        CHECK_INT(open_spec(bad[i], NULL, &p), status);
        CHECK(p == NULL && strstr(err.msg, strrchr(bad[i], '+') ? "no-such-adapter" : bad[i]) != NULL);
    }
}

static void backends_are_added_once_each(void)
{
    static const struct vt_policy_backend more[4] = {
        {.scheme = "one"}, {.scheme = "two"}, {.scheme = "three"}, {.scheme = "four"}};

    if (is_double())
        return; /* the table is full now */
    CHECK_OK(vt_policy_backend_add(&double_backend, &err), err);
    for (int i = 0; i < 3; i++)
        CHECK_OK(vt_policy_backend_add(&more[i], &err), err);
    CHECK_INT(vt_policy_backend_add(&more[3], &err), VT_ELIMIT);
    CHECK(strstr(err.msg, "four") != NULL);
}

static void a_policy_says_what_it_can(void)
{
    vt_policy *p = open_policy();
    const struct vt_policy_caps *c = vt_policy_caps(p);
    vt_weights *base = vt_policy_base(p), *start = vt_policy_start(p);

    CHECK(c->sample && c->score && c->update && c->forward && c->tokens && c->top_k && c->min_p && c->bans);
    CHECK(c->logprobs && c->logprobs_behaviour && c->exact && c->prefix);
    CHECK_INT(c->n_ctx, 4096);
    CHECK_INT(c->n_vocab, 264);
    CHECK_INT(c->seeds, is_double() ? VT_SEEDS_NONE : VT_SEEDS_SAMPLE);
    CHECK_INT(c->ids_ahead, !is_double());
    CHECK_INT(c->agreement, !is_double());
    CHECK_INT(c->durable_snapshots, is_double());
    CHECK_INT(c->branch_makes_model, is_double());
    CHECK_INT(c->max_requests, is_double() ? 4 : 0);
    CHECK_NEAR(c->price.trained, is_double() ? 2 : 0, 0);
    CHECK_STR(vt_policy_spec(p), backend->spec);
    CHECK(strstr(vt_policy_record(p), "\"max_tokens\":384") != NULL);
    CHECK(base == start); /* no adapter in the spec */
    CHECK_INT(vt_weights_step(base), 0);
    vt_weights_unref(base);
    vt_weights_unref(start);
    vt_policy_close(p);
}

static void text_goes_through_the_model_s_own_tokenizer(void)
{
    static const char *const roles[] = {"user"}, *const contents[] = {"Hi"};
    vt_policy *p = open_policy();
    char *text = NULL, *back = NULL;
    int32_t *ids = NULL;
    size_t n = 0, len = 0;

    CHECK_OK(vt_policy_render(p, roles, contents, 1, true, NULL, &text, &err), err);
    CHECK_STR(text, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    CHECK_OK(vt_policy_encode(p, text, strlen(text), true, &ids, &n, &err), err);
    CHECK_INT(ids[0], 257);
    CHECK_OK(vt_policy_decode(p, ids, n, &back, &len, &err), err);
    CHECK_STR(back, text);
    free(text);
    free(back);
    free(ids);
    vt_policy_close(p);
}

static const struct test_case cases[] = {
    TEST(a_spec_is_checked_without_opening_it), TEST(what_cannot_be_opened_says_why), TEST(a_policy_says_what_it_can),
    TEST(text_goes_through_the_model_s_own_tokenizer), TEST(backends_are_added_once_each)};
POLICY_TEST_MAIN(cases)
