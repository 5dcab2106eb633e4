/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_no_memory.c: every call of a policy with each of its allocations failing in turn, on whatever thread makes it:
 * the request then ends with VT_ENOMEM, exactly once, and the policy answers the next one. What can do with less memory
 * (a batch that is made smaller, a cache that is not filled) may succeed.
 */
#include "no_memory.h"
#include "policy_common.h"

static char root[] = "/tmp/vegttt-memory-XXXXXX";
static vt_policy *policy;
static vt_weights *start;

/* The request that `status` says was made or not: how it ended. */
static vt_status end_of(struct ending *e, vt_status status, vt_request *ticket, vt_err *why)
{
    if (status == VT_OK)
        status = vt_mail_wait(&e->mail, why);
    else if (e->n_done > 0)
        status = vt_fail(why, VT_EINTERNAL, "a request that was not made has ended");
    vt_request_release(ticket);
    return status;
}

static vt_status open_call(void *arg, vt_err *why)
{
    const struct vt_policy_opts o = {.rank = 4, .init_seed = 5, .n_threads = 1};
    struct ending e = ENDING;
    vt_policy *p = NULL;
    vt_request *ticket = NULL;
    vt_status made = vt_policy_open(arg, &o, &p, on_end, &e, &ticket, why);
    vt_status status = end_of(&e, made, ticket, why);

    if (status == VT_OK)
        vt_policy_close(p);
    return status;
}

static vt_status check_spec_call(void *arg, vt_err *why)
{
    return vt_policy_check_spec(arg, why);
}

static vt_status find_call(void *arg, vt_err *why)
{
    char *path = NULL;
    vt_status status = vt_model_find(arg, &path, why);

    free(path);
    return status;
}

static vt_status sample_call(void *arg, vt_err *why)
{
    static const char *const stops[] = {"\n}"};
    struct vt_sample out[3];
    struct vt_sample_request r = sample_request(start, 3, 6, out);
    struct ending e = ENDING;
    vt_request *ticket = NULL;
    (void)arg;
    memset(out, 0, sizeof out);
    r.stop = stops;
    r.n_stop = 1;
    vt_status made = vt_policy_sample(policy, &r, on_end, &e, &ticket, why);
    vt_status status = end_of(&e, made, ticket, why);

    for (int i = 0; i < 3 && status == VT_OK; i++)
        if (out[i].n_tokens < 1 || out[i].finish == VT_FINISH_ERROR)
            status = vt_fail(why, VT_EINTERNAL, "sample %d has %d tokens", i, out[i].n_tokens);
    clear_samples(out, 3);
    return status;
}

static vt_status score_call(void *arg, vt_err *why)
{
    static const int32_t row[] = {70, 71, 72};
    const int32_t *const rows[] = {row};
    const int n = 3;
    float logprobs[3] = {0}, *const out[] = {logprobs};
    struct vt_score_request r = {.weights = start,
                                 .prompt = some_prompt,
                                 .n_prompt = N_SOME_PROMPT,
                                 .n_rows = 1,
                                 .tokens = rows,
                                 .n = &n,
                                 .logprobs = out};
    struct ending e = ENDING;
    vt_request *ticket = NULL;
    (void)arg;
    vt_status made = vt_policy_score(policy, &r, on_end, &e, &ticket, why);
    vt_status status = end_of(&e, made, ticket, why);

    if (status == VT_OK && !(logprobs[0] < 0 && logprobs[2] < 0))
        status = vt_fail(why, VT_EINTERNAL, "no log-probabilities");
    return status;
}

static vt_status update_call(void *arg, vt_err *why)
{
    struct batch b;
    struct vt_update_request u = {.from = start,
                                  .seqs = b.seqs,
                                  .n = 2,
                                  .loss = VT_LOSS_IMPORTANCE_SAMPLING,
                                  .loss_opts = vt_loss_defaults,
                                  .opts = update_opts(1e-3f, "a batch")};
    struct ending e = ENDING;
    vt_request *ticket = NULL;
    (void)arg;
    u.opts.trained_on = "{\"tasks\":[1],\"families\":[\"matmul\"]}";
    make_batch(&b);
    vt_status made = vt_policy_update(policy, &u, on_end, &e, &ticket, why);
    vt_status status = end_of(&e, made, ticket, why);

    if (status == VT_OK && vt_weights_step(u.made) != 2)
        status = vt_fail(why, VT_EINTERNAL, "no step");
    vt_weights_unref(u.made);
    return status;
}

static vt_status halves_call(void *arg, vt_err *why)
{
    struct batch b;
    struct vt_update_opts o = update_opts(1e-3f, "another batch");
    struct vt_update_report report;
    struct ending first = ENDING, second = ENDING;
    vt_request *ticket = NULL;
    vt_forward *f = NULL;
    vt_weights *made = NULL;
    (void)arg;
    make_batch(&b);
    vt_status begun = vt_policy_forward(policy, start, b.seqs, 2, false, &f, on_end, &first, &ticket, why);
    vt_status status = end_of(&first, begun, ticket, why);

    ticket = NULL;
    if (status == VT_OK) {
        for (int i = 0; i < 2; i++)
            for (int t = 0; t < 4; t++)
                b.w[i][t] = 1;
        begun = vt_policy_step(f, &o, &made, &report, on_end, &second, &ticket, why);
        status = end_of(&second, begun, ticket, why);
    }
    vt_forward_forget(f);
    vt_weights_unref(made);
    return status;
}

static vt_status branch_call(void *arg, vt_err *why)
{
    struct ending e = ENDING;
    vt_weights *w = NULL;
    vt_request *ticket = NULL;
    (void)arg;
    vt_status made = vt_policy_branch(start, &w, on_end, &e, &ticket, why);
    vt_status status = end_of(&e, made, ticket, why);

    vt_weights_unref(w);
    return status;
}

/* A snapshot's folder is made again each time: a save that failed leaves what it may leave. */
static vt_status snapshot_calls(void *arg, vt_err *why)
{
    char dir[64];
    struct vt_snapshot s;
    struct ending saved = ENDING, loaded = ENDING;
    vt_request *ticket = NULL;
    vt_weights *w = NULL;
    (void)arg;
    snprintf(dir, sizeof dir, "%s/snapshot", root);
    vt_status made = vt_weights_save(start, dir, true, on_end, &saved, &ticket, why);
    vt_status status = end_of(&saved, made, ticket, why);

    if (status == VT_OK && (status = vt_snapshot_read(policy, dir, &s, why)) == VT_OK &&
        strcmp(s.id, vt_weights_id(start)) != 0)
        status = vt_fail(why, VT_EINTERNAL, "another snapshot");
    if (status == VT_OK) {
        ticket = NULL;
        made = vt_weights_load(policy, dir, &w, on_end, &loaded, &ticket, why);
        status = end_of(&loaded, made, ticket, why);
    }
    vt_weights_unref(w);
    return status;
}

static void forget_snapshot(void)
{
    char dir[64];

    snprintf(dir, sizeof dir, "%s/snapshot", root);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

static vt_status text_calls(void *arg, vt_err *why)
{
    static const char *const roles[] = {"user"}, *const contents[] = {"Hi"};
    char *text = NULL, *back = NULL;
    int32_t *ids = NULL;
    size_t n = 0, len = 0;
    (void)arg;
    vt_status status = vt_policy_render(policy, roles, contents, 1, true, &text, why);

    if (status == VT_OK)
        status = vt_policy_encode(policy, text, strlen(text), true, &ids, &n, why);
    if (status == VT_OK)
        status = vt_policy_decode(policy, ids, n, &back, &len, why);
    free(text);
    free(ids);
    free(back);
    return status;
}

/* A base model's weights have no adapter to save, so the policy starts from one step. */
static void open_one(void)
{
    policy = open_policy();
    vt_weights *base = vt_policy_start(policy);

    start = update(policy, base, 1e-3f, "the first batch");
    vt_weights_unref(base);
}

static void every_call(void)
{
    char spec[512], adapted[] = CHAT "+fast";

    no_memory_points = no_memory_calls = 0;
    if (!is_double())
        CHECK(mkdtemp(root) != NULL);
    snprintf(spec, sizeof spec, "%s", backend->spec);
    fail_each("vt_model_find", find_call, (void *)(uintptr_t)CHAT, MUST_FAIL);
    fail_each("vt_policy_check_spec", check_spec_call, spec, MUST_FAIL);
    fail_each("vt_policy_check_spec of a shipped adapter", check_spec_call, adapted, MUST_FAIL);
    fail_each("vt_policy_open", open_call, spec, MAY_SUCCEED);
    open_one();
    fail_each("text", text_calls, NULL, MUST_FAIL);
    fail_each("vt_policy_sample", sample_call, NULL, MAY_SUCCEED);
    fail_each("vt_policy_score", score_call, NULL, MAY_SUCCEED);
    fail_each("vt_policy_update", update_call, NULL, MAY_SUCCEED);
    fail_each("vt_policy_forward and vt_policy_step", halves_call, NULL, MAY_SUCCEED);
    fail_each("vt_policy_branch", branch_call, NULL, MUST_FAIL);
    fail_each_from("a snapshot", forget_snapshot, snapshot_calls, NULL, MAY_SUCCEED);
    vt_weights_unref(start);
    vt_policy_close(policy);
    if (is_double())
        CHECK_OK(vt_fs_remove_tree(root, &err), err);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};

POLICY_TEST_MAIN(cases)
