/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker.c: the backend of specs tinker:MODEL: a service that samples from a base model and trains LoRA adapters of it
 * over the Tinker API, hosted (TINKER_API_KEY) or one's own (TINKER_BASE_URL). It works in tokens, so it needs the
 * model's tokenizer here. Weights stay at the service under names; sampling, scoring and training from any of them is
 * what the other files of this backend do.
 */
#include "policy/tinker.h"
#include "base/alloc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_URL "https://tinker.thinkingmachines.dev/services/tinker-prod"
enum { DEFAULT_MAX_REQUESTS = 1000, DEFAULT_DEADLINE_S = 3600, DEFAULT_TTL_S = 14 * 24 * 3600 };

/* The service's address, without slashes at its end. */
static vt_status find_url(char **out, vt_err *err)
{
    const char *url = getenv("TINKER_BASE_URL");
    size_t n;

    *out = vt_strdup(url && *url ? url : DEFAULT_URL);
    if (!*out)
        return vt_fail(err, VT_ENOMEM, "out of memory for the service's address");
    for (n = strlen(*out); n > 0 && (*out)[n - 1] == '/'; n--)
        (*out)[n - 1] = '\0';
    vt_status status = vt_remote_check_url(*out, "TINKER_BASE_URL", err);
    if (status != VT_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static vt_status check_parsed(const struct vt_remote_spec *s, const char *spec, vt_err *err)
{
    if (!s->what[0])
        return vt_fail(err, VT_EINVAL, "the model \"%.200s\" names no base model: write tinker:ORGANISATION/NAME",
                       spec);
    if (!s->tokenizer)
        return vt_fail(
            err, VT_EINVAL,
            "the model \"%.200s\" is worked with in tokens: name its tokenizer (tinker:%.100s?tokenizer=PATH, a "
            "folder, tokenizer.json or .gguf)",
            spec, s->what);
    return VT_OK;
}

static vt_status tinker_check(const char *spec, vt_err *err)
{
    struct vt_remote_spec s;
    char *url = NULL;
    vt_status status;

    VT_TRY(vt_remote_parse(spec, &s, err));
    status = check_parsed(&s, spec, err);
    if (status == VT_OK)
        status = find_url(&url, err);
    free(url);
    vt_remote_spec_free(&s);
    return status;
}

/* --- opening --- */

static vt_status set_up(struct vt_tinker *t, const struct vt_remote_spec *s, vt_err *err)
{
    static const char tail[] = "/api/v1/";
    char *url = NULL;
    size_t n;

    VT_TRY(find_url(&url, err));
    n = strlen(url) + sizeof tail;
    t->base = vt_alloc(n);
    t->model = vt_strdup(s->what);
    t->credential = t->remote.key ? vt_strdup(t->remote.key) : NULL;
    if (t->base)
        snprintf(t->base, n, "%s%s", url, tail);
    free(url);
    return t->base && t->model && (t->credential || !t->remote.key)
               ? VT_OK
               : vt_fail(err, VT_ENOMEM, "out of memory for the service's address");
}

static void set_caps(vt_policy *p, const struct vt_remote_spec *s)
{
    const struct vt_tinker *t = vt_tinker_of(p);

    p->caps = (struct vt_policy_caps){.sample = true,
                                      .score = true,
                                      .update = true,
                                      .forward = true,
                                      .tokens = true,
                                      .prefix = true,
                                      .top_p = true,
                                      .top_k = true,
                                      .logprobs = true,
                                      .durable_snapshots = true,
                                      .branch_makes_model = true,
                                      .seeds = VT_SEEDS_REQUEST,
                                      .max_requests = s->max_requests > 0 ? s->max_requests : DEFAULT_MAX_REQUESTS,
                                      .n_ctx = s->n_ctx > 0 ? s->n_ctx : t->n_ctx,
                                      .n_vocab = vt_tokenizer_size(t->remote.text.tokenizer)};
}

/* --- those that are open, for an end of the process that closes none of them --- */

static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct vt_tinker *open_ones; /* guarded by it, as are the links */

static void add_open(struct vt_tinker *t)
{
    pthread_mutex_lock(&open_mutex);
    t->next_open = open_ones;
    open_ones = t;
    pthread_mutex_unlock(&open_mutex);
}

static void remove_open(struct vt_tinker *t)
{
    pthread_mutex_lock(&open_mutex);
    for (struct vt_tinker **at = &open_ones; *at; at = &(*at)->next_open)
        if (*at == t) {
            *at = t->next_open;
            break;
        }
    pthread_mutex_unlock(&open_mutex);
}

/* Holds the lock to the process's end: whoever closes one meanwhile waits. */
static void tinker_leave(struct vt_buf *said)
{
    pthread_mutex_lock(&open_mutex);
    for (struct vt_tinker *t = open_ones; t; t = t->next_open) {
        t->was_interrupted = true;
        if (!vt_tinker_end_session(t, 1))
            vt_buf_printf(said,
                          "vegttt: the session %.100s of %.160s could not be ended in a second and is left open: the "
                          "service ends it when it misses its heartbeat, and bills until then\n",
                          t->session, t->policy->spec);
    }
}

static vt_status tinker_open(vt_policy *p, vt_request *r, vt_err *err)
{
    struct vt_remote_spec s;
    struct vt_tinker *t;
    vt_status status;

    VT_TRY(vt_remote_parse(p->spec, &s, err));
    t = vt_alloc(sizeof *t);
    status = t ? check_parsed(&s, p->spec, err) : vt_fail(err, VT_ENOMEM, "out of memory for the policy %s", p->spec);
    if (status != VT_OK) {
        free(t);
        vt_remote_spec_free(&s);
        return status;
    }
    p->state = t;
    t->policy = p;
    t->deadline_s = DEFAULT_DEADLINE_S;
    t->ttl_s = DEFAULT_TTL_S;
    t->chunk_len = 1024;
    t->chunk_bytes = 5000000;
    status = vt_remote_open(&t->remote, p, &s, "TINKER_API_KEY", err);
    if (status == VT_OK)
        status = set_up(t, &s, err);
    if (status == VT_OK)
        status = vt_tinker_open_session(p, vt_request_stop_fd(r), err);
    if (status == VT_OK) {
        add_open(t);
        set_caps(p, &s);
        status = vt_tinker_open_weights(p, err);
    }
    if (status == VT_OK)
        status = vt_model_record(t->model, NULL, &p->record, err);
    vt_remote_spec_free(&s);
    return status;
}

/* The heartbeat stops on the network's thread before the session is ended. */
struct stopping {
    struct vt_post post;
    struct vt_tinker *t;
};

static void stop_beating(void *arg)
{
    struct vt_tinker *t = ((struct stopping *)arg)->t;

    if (t->heartbeat)
        vt_loop_cancel(vt_net_loop(t->remote.net), t->heartbeat);
    t->heartbeat = 0;
    if (t->beating)
        vt_tinker_cancel_call(t->beating);
    if (t->opening)
        vt_tinker_cancel_call(t->opening);
    if (t->exchanging)
        vt_tinker_cancel_call(t->exchanging);
}

static void tinker_close(vt_policy *p)
{
    struct vt_tinker *t = vt_tinker_of(p);
    struct stopping s = {.t = t};

    if (!t)
        return;
    remove_open(t);
    if (t->remote.net) {
        s.post = (struct vt_post){.fn = stop_beating, .arg = &s};
        vt_net_post(t->remote.net, &s.post);
        (void)vt_tinker_end_session(t, 3); /* asks on that thread, so after the stop */
    }
    vt_remote_close(&t->remote); /* joins the thread */
    if (t->credential)
        explicit_bzero(t->credential, strlen(t->credential));
    free(t->credential);
    free(t->base);
    free(t->model);
    free(t);
}

_Static_assert(offsetof(struct vt_tinker, remote) == 0, "remote.c finds it in a policy's state");
const struct vt_policy_backend vt_policy_tinker = {
    .scheme = "tinker",
    .check = tinker_check,
    .open = tinker_open,
    .close = tinker_close,
    .leave = tinker_leave,
    .encode = vt_remote_encode,
    .decode = vt_remote_decode,
    .render = vt_remote_render,
    .sample = vt_tinker_sample,
    .score = vt_tinker_score,
    .forward = vt_tinker_forward,
    .step = vt_tinker_step,
    .update = vt_tinker_update,
    .branch = vt_tinker_branch,
    .save = vt_tinker_save,
    .load = vt_tinker_load,
    .cancel = vt_remote_cancel,
    .read_snapshot = vt_tinker_read_snapshot,
    .free_weights = vt_tinker_free_weights,
    .free_forward = vt_tinker_free_forward,
};
