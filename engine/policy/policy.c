/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.c: the door of policies: which backend a spec belongs to, opening and closing, and the checks that every
 * request passes once, here, whatever serves it.
 *
 * A spec "SCHEME:…" belongs to the backend of that scheme (backends.c lists them); every other one is a model on this
 * machine.
 *
 * Handles outlive the policy they came from: closing takes the backend's state out of them, and the memory of the
 * policy itself goes with the last of them.
 */
#include "base/alloc.h"
#include "base/limits.h"
#include "policy/backends.h"
#include "policy/hub.h"
#include "policy/native.h"
#include "policy/request.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SPEC VT_DEFAULT_MODEL "+fast"

enum { MAX_ADDED = 4 };

static pthread_mutex_t added_mutex = PTHREAD_MUTEX_INITIALIZER;
static const struct vt_policy_backend *added[MAX_ADDED]; /* guarded by added_mutex */

/* --- which backend --- */

vt_status vt_policy_backend_add(const struct vt_policy_backend *b, vt_err *err)
{
    vt_status status = VT_ELIMIT;

    pthread_mutex_lock(&added_mutex);
    for (int i = 0; i < MAX_ADDED && status != VT_OK; i++) {
        if (added[i] && added[i] != b)
            continue;
        added[i] = b;
        status = VT_OK;
    }
    pthread_mutex_unlock(&added_mutex);
    return status == VT_OK
               ? VT_OK
               : vt_fail(err, status, "cannot add the backend %s: %d are there already", b->scheme, MAX_ADDED);
}

/* Length of the scheme that spec begins with, 0 = none. A path may hold colons, but not before its first slash. */
static size_t scheme_length(const char *spec)
{
    size_t n = 0;

    while (islower((unsigned char)spec[n]) || isdigit((unsigned char)spec[n]))
        n++;
    return n >= 2 && spec[n] == ':' ? n : 0;
}

static bool is_scheme(const char *name, const char *spec, size_t n)
{
    return strlen(name) == n && memcmp(name, spec, n) == 0;
}

static vt_status backend_of(const char *spec, const struct vt_policy_backend **out, vt_err *err)
{
    const size_t n = scheme_length(spec);

    *out = n == 0 || vt_hub_is_name(spec) ? &vt_policy_native : NULL;
    pthread_mutex_lock(&added_mutex);
    for (int i = 0; i < MAX_ADDED && added[i] && !*out; i++)
        if (is_scheme(added[i]->scheme, spec, n))
            *out = added[i];
    pthread_mutex_unlock(&added_mutex);
    for (size_t i = 0; vt_policy_served[i] && !*out; i++)
        if (is_scheme(vt_policy_served[i]->scheme, spec, n))
            *out = vt_policy_served[i];
    if (!*out)
        return vt_fail(err, VT_EINVAL,
                       "the model \"%s\" names no backend that vegttt knows: name %s, a .gguf file, a Hugging Face "
                       "folder, hf:ORGANISATION/NAME or openai:URL#MODEL (write ./%s for a file of that name)",
                       spec, vt_model_default(), spec);
    return VT_OK;
}

/* What the user wrote -> what is opened. */
static const char *resolve(const char *spec)
{
    return strcmp(spec, "default") == 0 ? DEFAULT_SPEC : spec;
}

vt_status vt_policy_check_spec(const char *spec, vt_err *err)
{
    const struct vt_policy_backend *b;

    if (!spec[0])
        return vt_fail(err, VT_EINVAL, "the model spec is empty: name %s, a .gguf file or a folder",
                       vt_model_default());
    spec = resolve(spec);
    VT_TRY(backend_of(spec, &b, err));
    return b->check(spec, err);
}

/* --- opening and closing --- */

static vt_status new_policy(const char *spec, const struct vt_policy_opts *o, vt_policy **out, vt_err *err)
{
    const struct vt_policy_backend *b;
    vt_policy *p;

    VT_TRY(backend_of(spec, &b, err));
    p = vt_alloc(sizeof *p);
    if (p) {
        p->spec = vt_strdup(spec);
        p->chat = vt_strdup(o && o->chat ? o->chat : "");
        p->trace_http = vt_strdup(o && o->trace_http ? o->trace_http : "");
    }
    if (!p || !p->spec || !p->chat || !p->trace_http) {
        if (p) {
            free(p->spec);
            free(p->chat);
            free(p->trace_http);
        }
        free(p);
        return vt_fail(err, VT_ENOMEM, "out of memory for the policy %s", spec);
    }
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->refs = 1;
    p->last = &p->requests;
    p->backend = b;
    if (o)
        p->opts = *o;
    p->opts.chat = p->chat;
    p->opts.trace_http = p->trace_http;
    p->opts.rank = p->opts.rank > 0 ? p->opts.rank : 16;
    p->opts.alpha = p->opts.alpha > 0 ? p->opts.alpha : 32;
    *out = p;
    return VT_OK;
}

void vt_policy_close(vt_policy *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->is_closing = true;
    pthread_mutex_unlock(&p->mutex);
    vt_request_cancel_all(p);
    vt_weights_unref(p->base);
    vt_weights_unref(p->start);
    p->base = p->start = NULL;
    vt_forward_strip_all(p);
    vt_weights_strip_all(p);
    p->backend->close(p);
    p->state = NULL;
    vt_policy_unref(p);
}

struct opening {
    vt_policy *p, **out;
};

static vt_status open_run(vt_request *r, void *arg, vt_err *err)
{
    const struct opening o = *(struct opening *)arg;
    vt_status status = o.p->backend->open(o.p, r, err);

    free(arg);
    if (status == VT_OK && vt_request_is_cancelled(r))
        status = vt_fail(err, VT_ECANCELLED, "opening the model %s was cancelled", o.p->spec);
    o.p->opts.progress = NULL;
    if (status != VT_OK)
        vt_policy_close(o.p);
    else
        *o.out = o.p;
    return status;
}

vt_status vt_policy_open(const char *spec, const struct vt_policy_opts *o, vt_policy **out, vt_policy_done *done,
                         void *arg, vt_request **ticket, vt_err *err)
{
    struct opening *opening = vt_alloc(sizeof *opening);
    vt_policy *p = NULL;
    vt_status status = opening ? new_policy(resolve(spec), o, &p, err)
                               : vt_fail(err, VT_ENOMEM, "out of memory for the policy %s", spec);

    *out = NULL;
    if (status == VT_OK) {
        *opening = (struct opening){.p = p, .out = out};
        status = vt_request_run_alone(VT_REQUEST_OPEN, open_run, opening, done, arg, ticket, err);
    }
    if (status != VT_OK) {
        if (p)
            vt_policy_unref(p);
        free(opening);
    }
    return status;
}

char *vt_policy_leave(void)
{
    struct vt_buf said;

    vt_buf_init(&said, 1 << 16);
    for (size_t i = 0; vt_policy_served[i]; i++)
        if (vt_policy_served[i]->leave)
            vt_policy_served[i]->leave(&said);
    return vt_buf_take(&said, NULL);
}

const struct vt_policy_caps *vt_policy_caps(const vt_policy *p)
{
    return &p->caps;
}

const char *vt_policy_spec(const vt_policy *p)
{
    return p->spec;
}

const char *vt_policy_record(const vt_policy *p)
{
    return p->record;
}

vt_weights *vt_policy_base(vt_policy *p)
{
    return vt_weights_ref(p->base);
}

vt_weights *vt_policy_start(vt_policy *p)
{
    return vt_weights_ref(p->start);
}

/* --- text --- */

vt_status vt_policy_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                           vt_err *err)
{
    if (!p->caps.tokens)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s takes and gives text: its tokens are not known here",
                       p->spec);
    return p->backend->encode(p, text, len, special, ids, n, err);
}

vt_status vt_policy_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len, vt_err *err)
{
    if (!p->caps.tokens)
        return vt_fail(err, VT_EUNSUPPORTED, "the model %s takes and gives text: its tokens are not known here",
                       p->spec);
    return p->backend->decode(p, ids, n, text, len, err);
}

vt_status vt_policy_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                           bool generation_prompt, const char *reasoning, char **text, vt_err *err)
{
    return p->backend->render(p, roles, contents, n, generation_prompt, reasoning, text, err);
}

/* --- checks --- */

static vt_status refuse(const vt_policy *p, const char *what, vt_err *err)
{
    return vt_fail(err, VT_EUNSUPPORTED, "the model %s cannot %s", p->spec, what);
}

static vt_status check_sampling_caps(const vt_policy *p, const struct vt_sample_request *r, vt_err *err)
{
    const struct vt_policy_caps *c = &p->caps;

    if (!c->sample)
        return refuse(p, "sample", err);
    if (!c->top_p && r->top_p < 1)
        return refuse(p, "sample with top_p: leave it at 1", err);
    if (!c->top_k && r->top_k > 0)
        return refuse(p, "sample with top_k: leave it at 0", err);
    if (!c->min_p && r->min_p > 0)
        return refuse(p, "sample with min_p: leave it at 0", err);
    if (!c->bans && r->n_banned > 0)
        return refuse(p, "sample with banned tokens", err);
    if (!c->tokens && (r->prompt || !r->text))
        return refuse(p, "take tokens: give the prompt as text", err);
    return VT_OK;
}

static vt_status check_sample(const vt_policy *p, const struct vt_sample_request *r, vt_err *err)
{
    VT_TRY(vt_weights_check(p, r->weights, "sample", err));
    VT_TRY(check_sampling_caps(p, r, err));
    VT_TRY(vt_limit_check(VT_LIMIT_N, r->n, err));
    if (p->caps.tokens ? r->n_prompt < 1 : r->text_len < 1)
        return vt_fail(err, VT_EINVAL, "cannot sample from an empty prompt: give it at least one token");
    VT_TRY(vt_limit_check(VT_LIMIT_MAX_TOKENS, r->max_tokens, err));
    VT_TRY(vt_limit_check(VT_LIMIT_TEMPERATURE, (double)r->temperature, err));
    VT_TRY(vt_limit_check(VT_LIMIT_TOP_P, (double)r->top_p, err));
    VT_TRY(vt_limit_check(VT_LIMIT_TOP_K, r->top_k, err));
    VT_TRY(vt_limit_check(VT_LIMIT_MIN_P, (double)r->min_p, err));
    if (p->caps.n_ctx > 0 && (r->n_prompt > p->caps.n_ctx || r->max_tokens > p->caps.n_ctx - r->n_prompt))
        return vt_fail(err, VT_ELIMIT,
                       "the prompt has %d tokens and max_tokens is %d: together they pass the model's context of %d",
                       r->n_prompt, r->max_tokens, p->caps.n_ctx);
    for (int i = 0; r->index && i < r->n; i++)
        if (r->index[i] < 1)
            return vt_fail(err, VT_EINVAL, "samples of a group are numbered from 1, not %d", r->index[i]);
    return VT_OK;
}

vt_status vt_policy_sample(vt_policy *p, struct vt_sample_request *r, vt_policy_done *done, void *arg,
                           vt_request **ticket, vt_err *err)
{
    vt_request *request;

    VT_TRY(check_sample(p, r, err));
    VT_TRY(vt_request_new(p, VT_REQUEST_SAMPLE, done, arg, &request, err));
    memset(r->out, 0, (size_t)r->n * sizeof *r->out);
    request->sample = r;
    request->weights = vt_weights_ref(r->weights);
    return vt_request_submit(request, ticket, err);
}

static vt_status check_score(const vt_policy *p, const struct vt_score_request *r, vt_err *err)
{
    VT_TRY(vt_weights_check(p, r->weights, "score", err));
    if (!p->caps.score)
        return refuse(p, "score given tokens", err);
    if (r->n_prompt < 1)
        return vt_fail(err, VT_EINVAL, "cannot score after an empty prompt: give it at least one token");
    if (r->n_rows < 1)
        return vt_fail(err, VT_EINVAL, "cannot score %d completions: give at least one", r->n_rows);
    if (r->detail && !p->caps.detail)
        return refuse(p, "say more of a token than its log-probability", err);
    if (r->detail && (r->n_top < 1 || r->n_top > 64))
        return vt_fail(err, VT_EINVAL, "the confidence of %d tokens: take 1 to 64", r->n_top);
    if (r->k != 0 && !p->caps.targets)
        return refuse(p, "score other tokens than those of a completion", err);
    if (r->k < 0 || r->k > VT_MAX_TARGETS)
        return vt_fail(err, VT_EINVAL, "cannot score %d targets a position: take 1 to %d", r->k, VT_MAX_TARGETS);
    for (int i = 0; i < r->n_rows; i++)
        if (r->n[i] < 0 ||
            (p->caps.n_ctx > 0 && (r->n_prompt > p->caps.n_ctx || r->n[i] > p->caps.n_ctx - r->n_prompt)))
            return vt_fail(err, VT_ELIMIT,
                           "completion %d has %d tokens after a prompt of %d: the model's context is %d", i + 1,
                           r->n[i], r->n_prompt, p->caps.n_ctx);
    return VT_OK;
}

vt_status vt_policy_score(vt_policy *p, struct vt_score_request *r, vt_policy_done *done, void *arg,
                          vt_request **ticket, vt_err *err)
{
    vt_request *request;

    VT_TRY(check_score(p, r, err));
    VT_TRY(vt_request_new(p, VT_REQUEST_SCORE, done, arg, &request, err));
    request->score = r;
    request->weights = vt_weights_ref(r->weights);
    return vt_request_submit(request, ticket, err);
}
