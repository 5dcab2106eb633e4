/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker_common.h: what the tests of the Tinker backend share: the double of the service (tests/double/tinker), a
 * policy of it, the double's own account of what was done to it, and an update.
 */
#ifndef VT_TEST_TINKER_COMMON_H
#define VT_TEST_TINKER_COMMON_H

#include "base/json.h"
#include "net/net.h"
#include "policy_common.h"
#include "served.h"

#define OPTIONS "?tokenizer=" CHAT
static const char key[] = "tml-test-4242424242";
static const char *const wires[] = {"proto", "json"};

/* --- servers --- */

static inline struct served start(const char *wire, const char *const *faults, const char *more, const char *value)
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

static inline vt_policy *open_at(const struct served *s, const char *model, const char *options, const char *trace)
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
static inline vt_json *ask_double(const struct served *s, const char *what)
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

static inline vt_json *state_of(const struct served *s)
{
    return ask_double(s, "state");
}

/* A number of the double's models, summed over them. */
static inline int sum_of(const struct served *s, const char *name)
{
    vt_json *j = state_of(s);
    int sum = 0;

    for (const vt_json *m = vt_json_first(vt_json_get(j, "models")); m; m = vt_json_next(m))
        sum += (int)vt_json_int(vt_json_get(m, name), 0);
    vt_json_free(j);
    return sum;
}

/* How many requests of an endpoint came in. */
static inline int count_of(const struct served *s, const char *endpoint)
{
    vt_json *j = state_of(s);
    char name[96];

    snprintf(name, sizeof name, "POST %s", endpoint);
    const int n = (int)vt_json_int(vt_json_get(vt_json_get(j, "counts"), name), 0);

    vt_json_free(j);
    return n;
}

/* --- what a policy does --- */

static inline vt_weights *update_by(vt_policy *p, vt_weights *from, enum vt_loss loss, float lr, const char *digest)
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

static inline vt_status save_to(vt_weights *w, const char *dir, enum vt_snapshot_kind kind)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_weights_save(w, dir, kind, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

static inline vt_status load_from(vt_policy *p, const char *dir, vt_weights **out)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_weights_load(p, dir, out, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

static inline int tinker_test_main(const struct test_case *cases, size_t n, int argc, char **argv)
{
    without_proxies();
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, n, argc, argv);
}

#endif
