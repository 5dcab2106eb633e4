/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_no_memory.c: every call of policy.h with each of its allocations failing in turn, on whatever thread they are:
 * the request ends once, with an error, and the policy serves the next one. The native backend; what a server's client
 * allocates is the server's client's.
 */
#include "no_memory.h"

#include "policy_common.h"

static vt_policy *p;
static vt_weights *start, *made;
static char chat[] = CHAT, adapted[] = CHAT "+fast", dir[] = "/tmp/vegttt-no-memory-XXXXXX";

/* The end of a request that was made. */
static vt_status end(vt_status submitted, struct vt_mail *m, vt_err *why)
{
    return submitted == VT_OK ? vt_mail_wait(m, why) : submitted;
}

static vt_status open_call(void *arg, vt_err *why)
{
    const struct vt_policy_opts o = {.rank = 4, .n_threads = 1};
    struct vt_mail m = VT_MAIL;
    vt_policy *opened = NULL;
    vt_request *ticket = NULL;
    vt_status status = vt_policy_open(arg, &o, &opened, vt_mail_deliver, &m, &ticket, why);

    status = end(status, &m, why);
    CHECK((opened != NULL) == (status == VT_OK));
    vt_request_release(ticket);
    vt_policy_close(opened);
    return status;
}

static vt_status check_call(void *arg, vt_err *why)
{
    return vt_policy_check_spec(arg, why);
}

static vt_status text_call(void *arg, vt_err *why)
{
    static const char *const roles[] = {"user"}, *const contents[] = {"Hi"};
    char *text = NULL, *back = NULL;
    int32_t *ids = NULL;
    size_t n = 0, len;
    vt_status status = vt_policy_render(p, roles, contents, 1, true, NULL, &text, why);

    (void)arg;
    if (status == VT_OK)
        status = vt_policy_encode(p, text, strlen(text), true, &ids, &n, why);
    if (status == VT_OK)
        status = vt_policy_decode(p, ids, n, &back, &len, why);
    free(text);
    free(ids);
    free(back);
    return status;
}

static vt_status sample_call(void *arg, vt_err *why)
{
    static const char *const stop[] = {"\n}"};
    struct vt_sample out[3] = {0};
    struct vt_sample_request r = sample_request(arg, 3, 12, out);
    struct vt_mail m = VT_MAIL;
    vt_status status;

    r.stop = stop;
    r.n_stop = 1;
    status = end(vt_policy_sample(p, &r, vt_mail_deliver, &m, NULL, why), &m, why);
    for (int i = 0; i < 3 && status != VT_OK; i++)
        CHECK(out[i].tokens == NULL && out[i].text == NULL);
    clear_samples(out, 3);
    return status;
}

static vt_status score_call(void *arg, vt_err *why)
{
    const int32_t *tokens[2] = {batch_tokens[0], batch_tokens[1]};
    const int n[2] = {4, 4};
    float logp[2][4], *rows[2] = {logp[0], logp[1]};
    struct vt_mail m = VT_MAIL;
    struct vt_score_request r = {.weights = arg,
                                 .prompt = some_prompt,
                                 .n_prompt = N_SOME_PROMPT,
                                 .n_rows = 2,
                                 .tokens = tokens,
                                 .n = n,
                                 .logprobs = rows};

    return end(vt_policy_score(p, &r, vt_mail_deliver, &m, NULL, why), &m, why);
}

/* Targets of each position, and the likeliest tokens. */
static vt_status top_call(void *arg, vt_err *why)
{
    const int32_t *tokens[1] = {batch_tokens[0]}, targets[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const int32_t *targets_row[1] = {targets};
    const int n[1] = {4};
    int32_t top_ids[8];
    float logp[8], top_logprobs[8], *rows[1] = {logp};
    struct vt_mail m = VT_MAIL;
    struct vt_score_detail detail = {.top_ids = top_ids, .top_logprobs = top_logprobs};
    struct vt_score_request r = {.weights = arg,
                                 .prompt = some_prompt,
                                 .n_prompt = N_SOME_PROMPT,
                                 .n_rows = 1,
                                 .tokens = tokens,
                                 .n = n,
                                 .k = 2,
                                 .targets = targets_row,
                                 .logprobs = rows,
                                 .detail = &detail,
                                 .n_top = 2};

    return end(vt_policy_score(p, &r, vt_mail_deliver, &m, NULL, why), &m, why);
}

static vt_status mix_call(void *arg, vt_err *why)
{
    vt_weights *out = NULL;
    vt_status status = vt_weights_mix(start, arg, 0.25, &out, why);

    CHECK((out != NULL) == (status == VT_OK));
    vt_weights_unref(out);
    return status;
}

static vt_status update_call(void *arg, vt_err *why)
{
    struct batch b;
    struct vt_mail m = VT_MAIL;
    struct vt_update_request u = {.from = arg,
                                  .seqs = b.seqs,
                                  .n = 2,
                                  .loss = VT_LOSS_PPO,
                                  .loss_opts = vt_loss_defaults,
                                  .opts = update_opts(1e-3f, "x")};
    vt_status status;

    make_batch(&b);
    u.opts.trained_on = "{\"families\":[\"a\"],\"tasks\":[1]}";
    status = end(vt_policy_update(p, &u, vt_mail_deliver, &m, NULL, why), &m, why);
    CHECK((u.made != NULL) == (status == VT_OK));
    vt_weights_unref(u.made);
    return status;
}

static vt_status halves_call(void *arg, vt_err *why)
{
    const struct vt_update_opts o = update_opts(1e-3f, "x");
    struct vt_update_report report;
    struct batch b;
    struct vt_mail m = VT_MAIL;
    vt_weights *out = NULL;
    vt_forward *f = NULL;
    vt_status status;

    make_batch(&b);
    memcpy(b.w, b.advantage, sizeof b.w);
    status = end(vt_policy_forward(p, arg, b.seqs, 2, true, &f, vt_mail_deliver, &m, NULL, why), &m, why);
    if (status == VT_OK)
        status = end(vt_policy_step(f, &o, &out, &report, vt_mail_deliver, &m, NULL, why), &m, why);
    vt_forward_forget(f);
    CHECK((out != NULL) == (status == VT_OK));
    vt_weights_unref(out);
    return status;
}

static vt_status branch_call(void *arg, vt_err *why)
{
    struct vt_mail m = VT_MAIL;
    vt_weights *out = NULL;
    vt_status status = end(vt_policy_branch(arg, &out, vt_mail_deliver, &m, NULL, why), &m, why);

    vt_weights_unref(out);
    return status;
}

static vt_status save_call(void *arg, vt_err *why)
{
    struct vt_mail m = VT_MAIL;

    return end(vt_weights_save(arg, dir, VT_SNAPSHOT_TRAINING, vt_mail_deliver, &m, NULL, why), &m, why);
}

static vt_status load_call(void *arg, vt_err *why)
{
    struct vt_mail m = VT_MAIL;
    struct vt_snapshot info;
    vt_weights *out = NULL;
    vt_status status = vt_snapshot_read(p, dir, &info, why);

    (void)arg;
    if (status == VT_OK)
        status = end(vt_weights_load(p, dir, &out, vt_mail_deliver, &m, NULL, why), &m, why);
    CHECK((out != NULL) == (status == VT_OK));
    vt_weights_unref(out);
    return status;
}

static vt_status model_call(void *arg, vt_err *why)
{
    struct vt_mail m = VT_MAIL;
    char *path = NULL;
    vt_status status = end(vt_model_pull(arg, NULL, NULL, &path, vt_mail_deliver, &m, NULL, why), &m, why);

    free(path);
    path = NULL;
    if (status == VT_OK)
        status = vt_model_find(arg, &path, why);
    free(path);
    return status;
}

/* A pattern that gets no memory for its JIT code is interpreted, and a digest that cannot be kept is computed. */
static void opening(void)
{
    fail_each("vt_policy_open", open_call, chat, MAY_SUCCEED);
    fail_each("vt_policy_open of nothing", check_call, chat, MUST_FAIL);
    fail_each("vt_policy_check_spec of a shipped adapter", check_call, adapted, MUST_FAIL);
    fail_each("vt_model_pull and _find", model_call, chat, MUST_FAIL);
}

static void requests(void)
{
    backend = &test_backends[0];
    p = open_policy();
    start = vt_policy_start(p);
    made = update(p, start, 1e-3f, "x");
    CHECK(mkdtemp(dir) != NULL);
    fail_each("text", text_call, NULL, MAY_SUCCEED);
    fail_each("vt_policy_sample", sample_call, made, MUST_FAIL);
    fail_each("vt_policy_score", score_call, made, MUST_FAIL);
    fail_each("vt_policy_score of targets", top_call, made, MUST_FAIL);
    fail_each("vt_weights_mix", mix_call, made, MUST_FAIL);
    fail_each("vt_policy_update of the base", update_call, start, MUST_FAIL);
    fail_each("vt_policy_update", update_call, made, MUST_FAIL);
    fail_each("vt_policy_forward and _step", halves_call, made, MUST_FAIL);
    fail_each("vt_policy_branch", branch_call, made, MUST_FAIL);
    fail_each("vt_weights_save", save_call, made, MUST_FAIL);
    fail_each("vt_snapshot_read and vt_weights_load", load_call, NULL, MUST_FAIL);
    vt_weights_unref(start);
    vt_weights_unref(made);
    vt_policy_close(p);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

static const struct test_case cases[] = {TEST(opening), TEST(requests), TEST(no_memory_total)};
TEST_MAIN(cases)
