/* SPDX-License-Identifier: Apache-2.0
 *
 * openai.c: the backend of specs openai:URL#MODEL: a server of OpenAI's completions API, such as vLLM, SGLang or
 * llama.cpp's. It samples, and scores where the server can; the weights are the server's, so nothing is updated and
 * there is one state of weights, named by address and model, by the tokenizer that lies here, by what the server was
 * found to do with a request (what it does not do changes what is drawn), and by what it said of one prompt.
 *
 * Answers are not streamed: a sample that ends early because its stream broke would be one of another distribution, so
 * nothing but whole ones can be kept; each sample of a request that is drawn alone ends by itself; and a request that
 * is cancelled closes its connection, at which servers stop drawing, with a stream or without.
 *
 * It works in tokens where the spec names the model's tokenizer and the server takes and gives token ids; else in text,
 * and says what is then not to be had. What else the server can is found out while it is opened (openai_probe.c).
 */
#include "policy/openai.h"
#include "base/alloc.h"
#include "base/sha256.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX_REQUESTS = 1024 };

/* openai:URL#MODEL: URL without slashes at its end; *model is NULL when none is named. */
static vt_status parse(const char *spec, struct vt_remote_spec *s, char **model, vt_err *err)
{
    char *hash;
    size_t n;
    vt_status status;

    VT_TRY(vt_remote_parse(spec, s, err));
    hash = strchr(s->what, '#');
    if (hash)
        *hash = '\0';
    *model = hash && hash[1] ? hash + 1 : NULL;
    for (n = strlen(s->what); n > 0 && s->what[n - 1] == '/'; n--)
        s->what[n - 1] = '\0';
    status = vt_remote_check_url(s->what, spec, err);
    if (status != VT_OK)
        vt_remote_spec_free(s);
    return status;
}

static vt_status openai_check(const char *spec, vt_err *err)
{
    struct vt_remote_spec s;
    char *model;

    VT_TRY(parse(spec, &s, &model, err));
    vt_remote_spec_free(&s);
    return VT_OK;
}

/* --- opening --- */

static char *joined(const char *a, const char *b)
{
    const size_t n = strlen(a) + strlen(b) + 1;
    char *text = vt_alloc(n);

    if (text)
        snprintf(text, n, "%s%s", a, b);
    return text;
}

static vt_status set_up(struct vt_openai *o, const char *url, vt_err *err)
{
    o->url = vt_strdup(url);
    o->completions = joined(url, "/completions");
    o->headers[0] = vt_strdup("Content-Type: application/json");
    if (o->remote.key)
        o->headers[1] = joined("Authorization: Bearer ", o->remote.key);
    return o->url && o->completions && o->headers[0] && (o->headers[1] || !o->remote.key)
               ? VT_OK
               : vt_fail(err, VT_ENOMEM, "out of memory for the model's address");
}

/* What the weights were seen to say. A server that computes the same again, in batches of another size, is off by
 * hundredths of a nat at most, and so mostly has the same tenths; other weights, that is another training or
 * quantisation of some effect, are off by more or have another token. A number near the middle between two tenths may
 * be rounded either way: then nothing is found again that was stored, which costs time, and nothing wrong is. */
static void hash_top(struct vt_sha256 *h, const struct vt_openai_facts *f)
{
    char tenths[32] = "";

    if (!isnan(f->top))
        snprintf(tenths, sizeof tenths, "%ld", lround(f->top * 10));
    vt_hash_str(h, "likeliest token", f->top_token);
    vt_hash_str(h, "its log-probability in tenths", tenths);
}

static vt_status make_weights(vt_policy *p, vt_err *err)
{
    const struct vt_openai *o = vt_openai_of(p);
    const struct vt_openai_facts *f = &o->facts;
    const struct {
        const char *name;
        int value;
    } facts[] = {{"in tokens", o->is_tokens},
                 {"logprobs", (int)f->logprobs},
                 {"scoring", (int)f->scoring},
                 {"extras", (int)f->extras},
                 {"top_k", f->top_k},
                 {"min_p", f->min_p},
                 {"many", f->many},
                 {"seed", f->seed}};
    struct vt_sha256 h;
    char id[65], tokens[65];

    vt_sha256_init(&h);
    vt_hash_str(&h, "backend", "openai");
    vt_hash_str(&h, "url", o->url);
    vt_hash_str(&h, "model", o->model);
    vt_policy_text_digest(o->remote.text.tokenizer, tokens);
    vt_hash_str(&h, "tokens", tokens);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        vt_hash_u64(&h, facts[i].name, (uint64_t)facts[i].value);
    hash_top(&h, f);
    vt_sha256_hex(&h, id);
    VT_TRY(vt_weights_new(p, id, 0, NULL, p->state, &p->base, err));
    p->start = vt_weights_ref(p->base);
    return VT_OK;
}

static void set_caps(vt_policy *p, const struct vt_remote_spec *s)
{
    const struct vt_openai *o = vt_openai_of(p);
    const struct vt_openai_facts *f = &o->facts;

    p->caps =
        (struct vt_policy_caps){.sample = true,
                                .score = o->is_tokens && f->scoring != VT_OPENAI_NO_SCORES,
                                .tokens = o->is_tokens,
                                .prefix = true,
                                .top_p = true,
                                .top_k = f->top_k,
                                .min_p = f->min_p,
                                .logprobs = f->logprobs != VT_OPENAI_NO_LOGPROBS,
                                .seeds = !f->seed  ? VT_SEEDS_NONE
                                         : f->many ? VT_SEEDS_REQUEST
                                                   : VT_SEEDS_SAMPLE,
                                .max_requests = s->max_requests > 0 ? s->max_requests : DEFAULT_MAX_REQUESTS,
                                .n_ctx = s->n_ctx > 0 ? s->n_ctx : f->n_ctx,
                                .n_vocab = o->remote.text.tokenizer ? vt_tokenizer_size(o->remote.text.tokenizer) : 0};
}

/* What the server can, and what cannot be had without tokens, in a line each. */
static void say_what_it_can(const vt_policy *p)
{
    static const char *const logprobs[] = {"no log-probabilities", "the model's log-probabilities",
                                           "log-probabilities after temperature"};
    const struct vt_openai *o = vt_openai_of(p);
    const struct vt_policy_caps *c = &p->caps;

    vt_remote_say(p, "%s: %s, %s, %s, %s at a time", o->model, logprobs[o->facts.logprobs],
                  c->seeds == VT_SEEDS_NONE ? "no seeds" : "seeds", c->score ? "scores" : "no scores",
                  o->facts.many ? "several samples" : "one sample");
    if (o->is_tokens)
        return;
    vt_remote_say(p,
                  "%s is worked with in text, because %s: there are no scores, no token ids, and no samples that go on "
                  "from others",
                  o->model,
                  !o->remote.text.tokenizer ? "the spec names no tokenizer (openai:URL#MODEL?tokenizer=PATH)"
                  : o->facts.takes_ids      ? "the server gives no token ids"
                                            : "the server takes no token ids");
}

static vt_status openai_open(vt_policy *p, vt_request *r, vt_err *err)
{
    struct vt_remote_spec s;
    struct vt_openai *o;
    char *model;
    vt_status status;

    VT_TRY(parse(p->spec, &s, &model, err));
    o = vt_alloc(sizeof *o);
    if (!o) {
        vt_remote_spec_free(&s);
        return vt_fail(err, VT_ENOMEM, "out of memory for the policy %s", p->spec);
    }
    p->state = o;
    status = vt_remote_open(&o->remote, p, &s, "OPENAI_API_KEY", err);
    if (status == VT_OK)
        status = set_up(o, s.what, err);
    if (status == VT_OK)
        status = vt_openai_watch_open(o, err);
    if (status == VT_OK)
        status = vt_openai_find_out(o, model, false, vt_request_stop_fd(r), err);
    if (status == VT_OK) {
        o->is_tokens = o->remote.text.tokenizer && o->facts.takes_ids && o->facts.gives_ids;
        set_caps(p, &s);
        say_what_it_can(p);
        status = make_weights(p, err);
    }
    if (status == VT_OK)
        status = vt_model_record(o->model, NULL, &p->record, err);
    vt_remote_spec_free(&s);
    return status;
}

static void openai_close(vt_policy *p)
{
    struct vt_openai *o = vt_openai_of(p);

    if (!o)
        return;
    vt_openai_watch_close(o);
    vt_remote_close(&o->remote);
    if (o->headers[1])
        explicit_bzero(o->headers[1], strlen(o->headers[1]));
    free(o->headers[0]);
    free(o->headers[1]);
    free(o->url);
    free(o->model);
    free(o->completions);
    free(o);
}

static void openai_free_weights(vt_policy *p, void *state)
{
    (void)p;
    (void)state; /* the policy's own */
}

_Static_assert(offsetof(struct vt_openai, remote) == 0, "remote.c finds it in a policy's state");
const struct vt_policy_backend vt_policy_openai = {
    .scheme = "openai",
    .check = openai_check,
    .open = openai_open,
    .close = openai_close,
    .encode = vt_remote_encode,
    .decode = vt_remote_decode,
    .render = vt_remote_render,
    .sample = vt_openai_sample,
    .score = vt_openai_score,
    .cancel = vt_remote_cancel,
    .free_weights = openai_free_weights,
};
