/* SPDX-License-Identifier: Apache-2.0
 *
 * openai_probe.c: what a server can, found out by asking it for a few tokens. Servers of this API answer requests that
 * they understand half of as if they had understood them: n is ignored, a seed is, two samples of one seed are the
 * same, unknown fields are dropped or refused. So nothing is taken from a server's name: each thing is asked for in a
 * way in which the answer shows whether it was done.
 *
 * - Two samples at once, warm: are there two, and are they different? Again with the same seed: are they the same?
 * - Two warm samples with top_k = 1 and unlike seeds are alike if top_k was read; one with min_p = 1 is like them then.
 * - The likeliest first token's log-probability at temperature 1.5 and 0.5 is the same where the numbers are the
 *   model's own, and is not where they are those of what was drawn from.
 * - Prompts as token ids, token ids of samples, log-probabilities of a prompt: asked for, and looked for in the answer.
 *
 * A field that makes the server refuse is left out from then on.
 */
#include "base/alloc.h"
#include "policy/openai.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prompt_text[] = "Here is a list of ten unusual words:";
enum { N_WARM_TOKENS = 12, MAX_PROMPT_IDS = 64 };
#define MAX_ANSWER ((size_t)16 << 20) /* some list many models */
static const double warm = 1.5, cool = 0.5, patience_s = 10;

struct probe {
    struct vt_openai *o;
    int stop_fd;
    int32_t *ids; /* of the prompt; NULL = in text */
    size_t n_ids;
    bool wants_ids, wants_logprobs;
};

/* --- asking --- */

/* Not again when the server says that it failed: some say so of every field that they do not know. */
static enum vt_http_verdict judge(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    return a->status == 500 ? VT_HTTP_FINAL : vt_http_judge(arg, a, wait_s);
}

static vt_status ask(struct probe *b, const char *method, const char *url, const char *what, char *body, size_t len,
                     vt_json **out, int *http_status, vt_err *err)
{
    const struct vt_http_request r = {.method = method,
                                      .url = url,
                                      .headers = (const char *const *)(body ? b->o->headers : b->o->headers + 1),
                                      .body = body,
                                      .len = len,
                                      .what = what,
                                      .silence_s = 600,
                                      .max_answer = MAX_ANSWER,
                                      .patience_s = patience_s,
                                      .judge = judge};
    struct vt_net_answer a;
    vt_status status = vt_net_ask(b->o->remote.net, &r, b->stop_fd, &a, err);

    *out = NULL;
    *http_status = a.status;
    if (status == VT_OK)
        status = vt_json_parse(a.body, a.len, "the server's answer", out, err);
    free(a.body);
    return status;
}

static vt_status complete(struct probe *b, struct vt_openai_ask *a, vt_json **out, int *http_status, vt_err *err)
{
    char *body, what[256];
    size_t len;

    if (b->ids) {
        a->ids = b->ids;
        a->n_ids = b->n_ids;
    }
    a->text = prompt_text;
    a->text_len = strlen(prompt_text);
    a->wants_ids = b->wants_ids;
    a->wants_logprobs = b->wants_logprobs && a->scoring != VT_OPENAI_ECHO;
    *out = NULL;
    snprintf(what, sizeof what, "asking the server at %.160s what it can", b->o->url);
    VT_TRY(vt_openai_write(b->o, a, &body, &len, err));
    return ask(b, "POST", b->o->completions, what, body, len, out, http_status, err);
}

static struct vt_openai_ask warm_ask(int n, uint64_t seed)
{
    return (struct vt_openai_ask){
        .n = n, .max_tokens = N_WARM_TOKENS, .temperature = warm, .top_p = 1, .has_seed = true, .seed = seed << 33};
}

/* The text of choice i, malloc'd; NULL when there is none. */
static char *text_of(const vt_json *answer, int i)
{
    struct vt_openai_choice c;

    return answer && vt_openai_choice(answer, i, &c, NULL) == VT_OK ? vt_strdup(c.text) : NULL;
}

/* The text of one more request; NULL when the server refuses it. Its failures are no failures of the opening. */
static char *try_text(struct probe *b, struct vt_openai_ask a)
{
    vt_json *answer;
    int http_status;
    char *text = complete(b, &a, &answer, &http_status, NULL) == VT_OK ? text_of(answer, 0) : NULL;

    vt_json_free(answer);
    return text;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* --- the first request: what the server takes --- */

static bool is_refusal(int http_status)
{
    return http_status == 400 || http_status == 404 || http_status == 422 || http_status == 500 || http_status == 501;
}

/* The first request with as much as the server takes of it: token ids, log-probabilities, the further sampling fields.
 */
static vt_status first(struct probe *b, vt_json **out, vt_err *err)
{
    static const struct {
        bool ids, logprobs;
    } steps[] = {{true, true}, {false, true}, {false, false}};
    static const enum vt_openai_extras extras[] = {VT_OPENAI_TOP_K_MINUS_ONE, VT_OPENAI_TOP_K_ZERO,
                                                   VT_OPENAI_NO_EXTRAS};
    int http_status = 0;
    vt_status status = VT_EINTERNAL;
    int32_t *ids = b->ids;

    for (size_t i = 0; i < 3 * (sizeof steps / sizeof steps[0]); i++) {
        struct vt_openai_ask a = warm_ask(2, 7);

        if (steps[i / 3].ids && !ids)
            continue;
        b->ids = steps[i / 3].ids ? ids : NULL;
        b->wants_ids = steps[i / 3].ids;
        b->wants_logprobs = steps[i / 3].logprobs;
        b->o->facts.extras = extras[i % 3];
        status = complete(b, &a, out, &http_status, err);
        if (status == VT_OK || !is_refusal(http_status))
            break;
    }
    return status;
}

static vt_status read_first(struct probe *b, const vt_json *answer, vt_err *err)
{
    struct vt_openai_facts *f = &b->o->facts;
    struct vt_openai_choice c;
    char *other;

    VT_TRY(vt_openai_choice(answer, 0, &c, err));
    f->takes_ids = b->ids != NULL;
    f->gives_ids = c.ids != NULL;
    other = vt_openai_n_choices(answer) == 2 ? text_of(answer, 1) : NULL;
    f->many = other && strcmp(c.text, other) != 0;
    free(other);
    f->top_token[0] = '\0';
    if (!c.logprobs || !vt_openai_top_logprob(&c, f->top_token, sizeof f->top_token, &f->top))
        f->top = (double)NAN;
    f->logprobs = c.logprobs ? VT_OPENAI_RAW : VT_OPENAI_NO_LOGPROBS;
    return VT_OK;
}

/* --- one thing after another --- */

/* What the likeliest token has at temperature 1.5 is compared. What cannot be told is taken for the model's own, as
 * servers have it by default. */
static void probe_logprobs(struct probe *b)
{
    struct vt_openai_ask a = {.n = 1, .max_tokens = 1, .temperature = cool, .top_p = 1, .has_seed = true, .seed = 0};
    struct vt_openai_choice c;
    char other[sizeof b->o->facts.top_token];
    vt_json *answer;
    double v;
    int http_status;

    if (complete(b, &a, &answer, &http_status, NULL) == VT_OK && vt_openai_choice(answer, 0, &c, NULL) == VT_OK &&
        vt_openai_top_logprob(&c, other, sizeof other, &v) && strcmp(b->o->facts.top_token, other) == 0 &&
        fabs(v - b->o->facts.top) > 0.05)
        b->o->facts.logprobs = VT_OPENAI_PROCESSED;
    vt_json_free(answer);
}

static void probe_seeds(struct probe *b, const vt_json *answer)
{
    char *before = text_of(answer, 0), *after = try_text(b, warm_ask(2, 7)), *unlike = try_text(b, warm_ask(1, 8));

    b->o->facts.seed = same(before, after) && !same(before, unlike);
    free(before);
    free(after);
    free(unlike);
}

static void probe_cuts(struct probe *b)
{
    struct vt_openai_ask one = warm_ask(1, 1), other = warm_ask(1, 2), least = warm_ask(1, 3);
    char *texts[3];

    if (b->o->facts.extras == VT_OPENAI_NO_EXTRAS)
        return;
    one.top_k = other.top_k = 1;
    least.min_p = 1;
    texts[0] = try_text(b, one);
    texts[1] = try_text(b, other);
    texts[2] = try_text(b, least);
    b->o->facts.top_k = same(texts[0], texts[1]);
    b->o->facts.min_p = b->o->facts.top_k && same(texts[0], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
}

static void probe_scores(struct probe *b)
{
    static const enum vt_openai_scoring ways[] = {VT_OPENAI_PROMPT_LOGPROBS, VT_OPENAI_ECHO};
    struct vt_openai_facts *f = &b->o->facts;
    float scores[MAX_PROMPT_IDS];

    for (size_t i = 0; i < sizeof ways / sizeof ways[0] && f->scoring == VT_OPENAI_NO_SCORES; i++) {
        struct vt_openai_ask a = {.n = 1, .max_tokens = 1, .temperature = 1, .top_p = 1, .scoring = ways[i]};
        struct vt_openai_choice c;
        vt_json *answer;
        int http_status;
        bool is_good;

        f->scoring = ways[i];
        is_good = complete(b, &a, &answer, &http_status, NULL) == VT_OK &&
                  vt_openai_choice(answer, 0, &c, NULL) == VT_OK &&
                  vt_openai_read_scores(b->o, &c, b->ids, b->n_ids, b->n_ids - 1, scores, NULL) == VT_OK;
        if (!is_good)
            f->scoring = VT_OPENAI_NO_SCORES;
        vt_json_free(answer);
    }
}

/* Whether the tokenizer that was named is the model's: the ids of a sample spell its text. */
static vt_status check_tokenizer(const struct probe *b, const vt_json *answer, vt_err *err)
{
    const vt_tokenizer *t = b->o->remote.text.tokenizer;
    struct vt_openai_choice c;
    int32_t *ids;
    vt_status status;

    VT_TRY(vt_openai_choice(answer, 0, &c, err));
    if (!c.ids)
        return VT_OK;
    ids = vt_alloc_array(c.n_tokens + 1, sizeof *ids);
    if (!ids)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu tokens", c.n_tokens);
    status = vt_openai_read_ids(c.ids, ids, err);
    if (status == VT_OK && !vt_openai_ids_spell(t, &c, ids, c.n_tokens, NULL, 0))
        status = vt_fail(err, VT_EINVAL,
                         "the tokenizer that the spec names is not that of %s: by it the server's tokens do not spell "
                         "what the server says that they do, \"%.40s\"",
                         b->o->model, c.text);
    free(ids);
    return status;
}

/* again: what one answer cannot tell for sure is left out. */
static vt_status probe(struct probe *b, bool again, vt_err *err)
{
    struct vt_openai *o = b->o;
    vt_json *answer = NULL;
    int32_t *ids = NULL;
    vt_status status = VT_OK;

    if (o->remote.text.tokenizer)
        status = vt_policy_text_encode(&o->remote.text, prompt_text, strlen(prompt_text), false, &ids, &b->n_ids, err);
    b->ids = b->n_ids > 1 && b->n_ids <= MAX_PROMPT_IDS ? ids : NULL;
    if (status == VT_OK)
        status = first(b, &answer, err);
    if (status == VT_OK)
        status = read_first(b, answer, err);
    if (status == VT_OK && o->facts.takes_ids)
        status = check_tokenizer(b, answer, err);
    if (status == VT_OK) {
        if (!isnan(o->facts.top))
            probe_logprobs(b);
        if (!again)
            probe_seeds(b, answer);
        if (!again)
            probe_cuts(b);
        if (o->facts.takes_ids)
            probe_scores(b);
    }
    vt_json_free(answer);
    free(ids);
    return status;
}

/* --- which model --- */

static void list_names(const vt_json *models, char *out, size_t size)
{
    size_t at = 0;

    out[0] = '\0';
    for (const vt_json *m = vt_json_first(models); m && at + 1 < size; m = vt_json_next(m))
        at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", vt_json_str(vt_json_get(m, "id"), "?"));
}

static int context_of(const vt_json *model)
{
    int64_t n = vt_json_int(vt_json_get(model, "max_model_len"), 0);

    if (n <= 0)
        n = vt_json_int(vt_json_get(vt_json_get(model, "meta"), "n_ctx"), 0);
    return n > 0 && n < INT32_MAX ? (int)n : 0;
}

static vt_status find_model(struct probe *b, const char *asked, vt_err *err)
{
    struct vt_openai *o = b->o;
    struct vt_buf url;
    char what[256], names[256];
    const vt_json *models, *found = NULL;
    vt_json *answer = NULL;
    int http_status = 0;
    vt_status status;

    vt_buf_init(&url, 4096);
    vt_buf_printf(&url, "%s/models", o->url);
    snprintf(what, sizeof what, "asking %.200s for its models", o->url);
    status = vt_buf_check(&url, "the model's address", err);
    if (status == VT_OK)
        status = ask(b, "GET", url.p, what, NULL, 0, &answer, &http_status, err);
    vt_buf_free(&url);
    if (status != VT_OK)
        return status;
    models = vt_json_get(answer, "data");
    for (const vt_json *m = vt_json_first(models); m; m = vt_json_next(m))
        if (asked ? strcmp(vt_json_str(vt_json_get(m, "id"), ""), asked) == 0 : vt_json_count(models) == 1)
            found = m;
    list_names(models, names, sizeof names);
    if (!found)
        status =
            vt_fail(err, asked ? VT_ENOENT : VT_EINVAL,
                    asked ? "the server at %.200s has no model \"%.100s\"; it has %s"
                          : "the server at %.200s has more than one model: write #NAME behind the address%.0s (%s)",
                    o->url, asked ? asked : "", names[0] ? names : "none");
    else
        o->model = vt_strdup(vt_json_str(vt_json_get(found, "id"), ""));
    if (status == VT_OK && !o->model)
        status = vt_fail(err, VT_ENOMEM, "out of memory for a model's name");
    o->facts.n_ctx = found ? context_of(found) : 0;
    vt_json_free(answer);
    return status;
}

vt_status vt_openai_find_out(struct vt_openai *o, const char *asked, bool again, int stop_fd, vt_err *err)
{
    struct probe b = {.o = o, .stop_fd = stop_fd};

    VT_TRY(find_model(&b, asked, err));
    return probe(&b, again, err);
}
