/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_common.h: the tests of policies run over every backend that is here: the native one and the double, which does
 * everything as a remote service would (tests/double). A case reads `backend`; what only one of them promises it asks
 * the caps. The model is tests/golden/tiny/chat, so a case opens a policy of its own.
 */
#ifndef VT_TEST_POLICY_COMMON_H
#define VT_TEST_POLICY_COMMON_H

#include "base/fs.h"
#include "base/mail.h"
#include "double.h"
#include "harness.h"
#include <vegttt/policy.h>

#define CHAT VT_SOURCE_DIR "/tests/golden/tiny/chat"

static const struct test_backend {
    const char *name, *spec;
} test_backends[] = {{"native", CHAT}, {"double", "double:" CHAT}};
enum { N_TEST_BACKENDS = sizeof test_backends / sizeof test_backends[0] };
static const struct test_backend *backend;
static vt_err err;

static inline bool is_double(void)
{
    return strcmp(backend->name, "double") == 0;
}

/* --- waiting --- */

static inline vt_status open_spec(const char *spec, const struct vt_policy_opts *o, vt_policy **out)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_policy_open(spec, o, out, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

/* The backend's policy with a small adapter; what follows frees it. */
static inline vt_policy *open_policy(void)
{
    const struct vt_policy_opts o = {.rank = 4, .init_seed = 5, .n_threads = 1};
    vt_policy *p = NULL;

    CHECK_OK(open_spec(backend->spec, &o, &p), err);
    return p;
}

/* What a test counts of a request: how often it ended, and how. */
struct ending {
    struct vt_mail mail;
    _Atomic int n_done;
};
#define ENDING                                                                                                         \
    {                                                                                                                  \
        .mail = VT_MAIL                                                                                                \
    }

static inline void on_end(void *arg, vt_status status, const vt_err *why)
{
    struct ending *e = arg;

    e->n_done++;
    vt_mail_deliver(&e->mail, status, why);
}

static inline vt_status wait_end(struct ending *e)
{
    return vt_mail_wait(&e->mail, &err);
}

/* --- the four primitives, waited for --- */

enum { MAX_N = 8, MAX_LEN = 64 };
static const int32_t some_prompt[] = {65, 66, 67, 10, 70, 71, 72, 73, 74, 10};
enum { N_SOME_PROMPT = sizeof some_prompt / sizeof some_prompt[0] };

static inline struct vt_sample_request sample_request(vt_weights *w, int n, int max_tokens, struct vt_sample *out)
{
    return (struct vt_sample_request){.weights = w,
                                      .prompt = some_prompt,
                                      .n_prompt = N_SOME_PROMPT,
                                      .n = n,
                                      .seed = 7,
                                      .stream = "group/",
                                      .temperature = 1,
                                      .top_p = 1,
                                      .max_tokens = max_tokens,
                                      .out = out};
}

static inline vt_status run_sample(vt_policy *p, struct vt_sample_request *r)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_policy_sample(p, r, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

static inline void clear_samples(struct vt_sample *s, int n)
{
    for (int i = 0; i < n; i++)
        vt_sample_clear(&s[i]);
}

/* Log-probabilities of n completions after some_prompt. */
static inline void score(vt_policy *p, vt_weights *w, const int32_t *const *tokens, const int *n_tokens, int n,
                         float (*out)[MAX_LEN])
{
    float *rows[MAX_N];
    struct vt_mail m = VT_MAIL;
    struct vt_score_request r = {.weights = w,
                                 .prompt = some_prompt,
                                 .n_prompt = N_SOME_PROMPT,
                                 .n_rows = n,
                                 .tokens = tokens,
                                 .n = n_tokens,
                                 .logprobs = rows};

    for (int i = 0; i < n; i++)
        rows[i] = out[i];
    CHECK_OK(vt_policy_score(p, &r, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
}

/* A fixed batch of two completions, the first wanted, the second not. */
struct batch {
    struct vt_train_seq seqs[2];
    float logp[2][4], w[2][4], logq[2][4], advantage[2][4];
};
static const int32_t batch_tokens[2][4] = {{70, 71, 72, 73}, {80, 81, 82, 83}};

static inline void make_batch(struct batch *b)
{
    memset(b, 0, sizeof *b);
    for (int i = 0; i < 2; i++) {
        for (int t = 0; t < 4; t++) {
            b->advantage[i][t] = i == 0 ? 1 : -1;
            b->logq[i][t] = -4;
        }
        b->seqs[i] = (struct vt_train_seq){.prompt = some_prompt,
                                           .n_prompt = N_SOME_PROMPT,
                                           .tokens = batch_tokens[i],
                                           .n_tokens = 4,
                                           .logq = b->logq[i],
                                           .advantage = b->advantage[i],
                                           .logp = b->logp[i],
                                           .w = b->w[i]};
    }
}

static inline struct vt_update_opts update_opts(float lr, const char *digest)
{
    struct vt_update_opts o = vt_update_defaults;

    o.lr = lr;
    o.digest = digest;
    return o;
}

static inline vt_forward *forward(vt_policy *p, vt_weights *from, struct batch *b)
{
    struct vt_mail m = VT_MAIL;
    vt_forward *f = NULL;

    CHECK_OK(vt_policy_forward(p, from, b->seqs, 2, false, &f, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    return f;
}

static inline vt_status step(vt_forward *f, float lr, const char *digest, vt_weights **made)
{
    struct vt_update_opts o = update_opts(lr, digest);
    struct vt_update_report report;
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_policy_step(f, &o, made, &report, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

/* One update under importance sampling. */
static inline vt_weights *update(vt_policy *p, vt_weights *from, float lr, const char *digest)
{
    struct batch b;
    struct vt_mail m = VT_MAIL;
    struct vt_update_request u = {.from = from,
                                  .seqs = b.seqs,
                                  .n = 2,
                                  .loss = VT_LOSS_IMPORTANCE_SAMPLING,
                                  .loss_opts = vt_loss_defaults,
                                  .opts = update_opts(lr, digest)};

    make_batch(&b);
    CHECK_OK(vt_policy_update(p, &u, vt_mail_deliver, &m, NULL, &err), err);
    CHECK_OK(vt_mail_wait(&m, &err), err);
    return u.made;
}

/* Sum of the log-probabilities of the batch's completion i. */
static inline double logp_of(vt_policy *p, vt_weights *w, int i)
{
    const int32_t *tokens = batch_tokens[i];
    const int n = 4;
    float out[1][MAX_LEN];
    double sum = 0;

    score(p, w, &tokens, &n, 1, out);
    for (int t = 0; t < n; t++)
        sum += (double)out[0][t];
    return sum;
}

/* --- main: every case over every backend --- */

static inline int policy_test_main(const struct test_case *cases, size_t n, int argc, char **argv)
{
    static char dir[] = "/tmp/vegttt-double-XXXXXX";
    int passed = 0, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!mkdtemp(dir) || setenv("VEGTTT_DOUBLE_DIR", dir, 1) != 0 || vt_policy_backend_add(&double_backend, &err)) {
        printf("cannot set up the double: %s\n0 passed, 1 failed\n", err.msg);
        return 1;
    }
    for (int b = 0; b < N_TEST_BACKENDS; b++) {
        backend = &test_backends[b];
        for (size_t i = 0; i < n; i++) {
            if (argc > 1 && !strstr(cases[i].name, argv[1]))
                continue;
            test_failures_in_case = 0;
            cases[i].fn();
            passed += test_failures_in_case == 0;
            failed += test_failures_in_case != 0;
            if (test_failures_in_case)
                printf("FAIL %s over the %s backend\n", cases[i].name, backend->name);
        }
    }
    (void)!vt_fs_remove_tree(dir, &err);
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
#define POLICY_TEST_MAIN(cases)                                                                                        \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        return policy_test_main(cases, sizeof cases / sizeof cases[0], argc, argv);                                    \
    }

#endif
