/* SPDX-License-Identifier: Apache-2.0
 *
 * openai_wire.c: the completions API as it is spoken: requests as JSON, and the shapes in which servers answer.
 *
 * They agree on little. Log-probabilities are {"tokens", "token_logprobs", "top_logprobs"} at vLLM, SGLang and
 * llama-cpp-python, and {"content": [{"id", "token", "logprob", "top_logprobs"}]} at llama.cpp's own server. Token ids
 * are "token_ids" of a choice at vLLM and SGLang, when they are asked for, and "id" of each entry at llama.cpp's. The
 * stop string is left out of the text everywhere; which one it was says "stop_reason" at vLLM and "matched_stop" at
 * SGLang, and elsewhere the tokens show it, which go on where the text ends.
 */
#include "base/alloc.h"
#include "base/json_text.h"
#include "policy/openai.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY ((size_t)256 << 20)
enum { MOST_TOKENS = 1 << 24 };

/* --- requests --- */

static void write_ids(struct vt_buf *b, const int32_t *ids, size_t n, bool *is_first)
{
    for (size_t i = 0; i < n; i++) {
        vt_buf_printf(b, *is_first ? "%d" : ",%d", ids[i]);
        *is_first = false;
    }
}

static void write_number(struct vt_buf *b, const char *key, double v)
{
    vt_buf_printf(b, ",\"%s\":", key);
    vt_json_write_double(b, v);
}

static void write_prompt(struct vt_buf *b, const struct vt_openai_ask *a)
{
    bool is_first = true;

    vt_buf_puts(b, ",\"prompt\":");
    if (!a->ids) {
        vt_json_write_string(b, a->text, a->text_len);
        return;
    }
    vt_buf_putc(b, '[');
    write_ids(b, a->ids, a->n_ids, &is_first);
    write_ids(b, a->more, a->n_more, &is_first);
    vt_buf_putc(b, ']');
}

/* Nothing is left to a server's defaults: some cut to forty tokens and penalise repetition unless they are told not to,
 * others take what the model's author recommends. Penalties have two names. */
static void write_sampling(struct vt_buf *b, const struct vt_openai *o, const struct vt_openai_ask *a)
{
    const enum vt_openai_extras extras = o->facts.extras;

    write_number(b, "temperature", a->temperature);
    write_number(b, "top_p", a->top_p);
    if (extras != VT_OPENAI_NO_EXTRAS) {
        vt_buf_printf(b, ",\"top_k\":%d", a->top_k > 0 ? a->top_k : extras == VT_OPENAI_TOP_K_ZERO ? 0 : -1);
        write_number(b, "min_p", a->min_p);
        vt_buf_puts(b, ",\"repetition_penalty\":1,\"repeat_penalty\":1");
    }
    if (a->has_seed) /* servers keep 32 bits, some of them signed */
        vt_buf_printf(b, ",\"seed\":%u", (unsigned)(a->seed >> 33));
    for (int i = 0; i < a->n_stop; i++) {
        vt_buf_puts(b, i == 0 ? ",\"stop\":[" : ",");
        vt_json_write_string(b, a->stop[i], strlen(a->stop[i]));
    }
    if (a->n_stop > 0)
        vt_buf_putc(b, ']');
}

vt_status vt_openai_write(const struct vt_openai *o, const struct vt_openai_ask *a, char **body, size_t *len,
                          vt_err *err)
{
    struct vt_buf b;

    vt_buf_init(&b, MAX_BODY);
    vt_buf_puts(&b, "{\"model\":");
    vt_json_write_string(&b, o->model, strlen(o->model));
    write_prompt(&b, a);
    vt_buf_printf(&b, ",\"max_tokens\":%d", a->max_tokens);
    if (a->n > 1)
        vt_buf_printf(&b, ",\"n\":%d", a->n);
    write_sampling(&b, o, a);
    if (a->wants_logprobs)
        vt_buf_puts(&b, ",\"logprobs\":1");
    if (a->wants_ids)
        vt_buf_puts(&b, ",\"return_token_ids\":true");
    if (a->scoring == VT_OPENAI_PROMPT_LOGPROBS)
        vt_buf_puts(&b, ",\"prompt_logprobs\":0");
    if (a->scoring == VT_OPENAI_ECHO)
        vt_buf_puts(&b, ",\"echo\":true,\"logprobs\":1");
    vt_buf_putc(&b, '}');
    if (vt_buf_check(&b, "a request", err) != VT_OK) {
        vt_buf_free(&b);
        return err ? err->code : VT_ENOMEM;
    }
    *body = vt_buf_take(&b, len);
    return VT_OK;
}

/* --- choices --- */

int vt_openai_n_choices(const vt_json *answer)
{
    const vt_json *choices = vt_json_get(answer, "choices");

    return vt_json_is_array(choices) ? (int)vt_json_count(choices) : 0;
}

static const vt_json *array_or_null(const vt_json *j)
{
    return vt_json_is_array(j) ? j : NULL;
}

static void find_logprobs(struct vt_openai_choice *out)
{
    const vt_json *logprobs = vt_json_get(out->json, "logprobs"), *content = vt_json_get(logprobs, "content");

    out->logprobs = array_or_null(content);
    if (!out->logprobs)
        out->logprobs = array_or_null(vt_json_get(logprobs, "token_logprobs"));
    out->tokens = array_or_null(vt_json_get(logprobs, "tokens"));
    if (!out->ids && out->logprobs && vt_json_is_number(vt_json_get(vt_json_first(out->logprobs), "id")))
        out->ids = out->logprobs;
    out->n_tokens = out->ids ? vt_json_count(out->ids) : out->logprobs ? vt_json_count(out->logprobs) : 0;
}

vt_status vt_openai_choice(const vt_json *answer, int i, struct vt_openai_choice *out, vt_err *err)
{
    const vt_json *choices = vt_json_get(answer, "choices"), *found = NULL, *stop;
    int at = 0;

    for (const vt_json *c = vt_json_first(choices); c; c = vt_json_next(c), at++)
        if (vt_json_int(vt_json_get(c, "index"), at) == i)
            found = c;
    if (!found || !vt_json_is_string(vt_json_get(found, "text")))
        return vt_fail(err, VT_ENET,
                       "the server's answer has no choice number %d with a text: it is no answer of the "
                       "completions API",
                       i);
    *out = (struct vt_openai_choice){.json = found,
                                     .text = vt_json_str(vt_json_get(found, "text"), ""),
                                     .finish = vt_json_str(vt_json_get(found, "finish_reason"), ""),
                                     .ids = array_or_null(vt_json_get(found, "token_ids"))};
    stop = vt_json_get(found, "stop_reason");
    if (!vt_json_is_string(stop))
        stop = vt_json_get(found, "matched_stop");
    out->stop_text = vt_json_str(stop, NULL);
    find_logprobs(out);
    if (out->n_tokens == 0 && vt_json_count(choices) == 1) {
        const int64_t said = vt_json_int(vt_json_get(vt_json_get(answer, "usage"), "completion_tokens"), 0);
        if (said < 0 || said > MOST_TOKENS)
            return vt_fail(err, VT_ENET, "the server says that an answer has %" PRId64 " tokens, which none can have",
                           said);
        out->n_tokens = (size_t)said;
    }
    return VT_OK;
}

static int64_t count_of(const vt_json *j, const char *name)
{
    const int64_t n = vt_json_int(vt_json_get(j, name), 0);

    return n > 0 && n <= MOST_TOKENS ? n : 0;
}

void vt_openai_read_usage(const vt_json *answer, struct vt_sample_request *r)
{
    const vt_json *usage = vt_json_get(answer, "usage");
    const int64_t n = count_of(usage, "prompt_tokens"),
                  cached = count_of(vt_json_get(usage, "prompt_tokens_details"), "cached_tokens");

    r->n_prompt_counted += n;
    r->n_cached += cached < n ? cached : n;
}

/* Where a server lists the ids that it read, each of them. */
static bool are_the_ids(const vt_json *list, const int32_t *ids, size_t n_ids, const int32_t *more, size_t n_more)
{
    size_t at = 0;

    if (!vt_json_is_array(list))
        return true;
    for (const vt_json *t = vt_json_first(list); t; t = vt_json_next(t), at++)
        if (at >= n_ids + n_more || vt_json_int(t, -1) != (at < n_ids ? ids[at] : more[at - n_ids]))
            return false;
    return at == n_ids + n_more;
}

/* Servers cut prompts that are too long for them, and answer what is left. A count of as many prompts as there are
 * samples is one of whole prompts too. */
vt_status vt_openai_check_prompt(const vt_json *answer, const int32_t *ids, size_t n_ids, const int32_t *more,
                                 size_t n_more, vt_err *err)
{
    const vt_json *choices = vt_json_get(answer, "choices"),
                  *counted = vt_json_get(vt_json_get(answer, "usage"), "prompt_tokens");
    const int64_t n = (int64_t)(n_ids + n_more), said = vt_json_is_number(counted) ? vt_json_int(counted, -1) : n;
    bool are = are_the_ids(vt_json_get(answer, "prompt_token_ids"), ids, n_ids, more, n_more);

    if (said != n && said != n * vt_openai_n_choices(answer))
        return vt_fail(err, VT_ENET,
                       "the server read %" PRId64 " tokens of a prompt of %" PRId64
                       ": what it answers is no answer to the prompt that was sent (is it longer than its context?)",
                       said, n);
    for (const vt_json *c = vt_json_first(choices); c && are; c = vt_json_next(c))
        are = are_the_ids(vt_json_get(c, "prompt_token_ids"), ids, n_ids, more, n_more);
    return are ? VT_OK
               : vt_fail(err, VT_ENET,
                         "the server read other tokens than the %" PRId64
                         " of the prompt that was sent, by its prompt_token_ids: what it answers is no answer to it",
                         n);
}

/* The log-probability of an entry of a choice's logprobs. false: it is none. */
static bool read_logprob(const vt_json *c, float *out)
{
    const vt_json *v = vt_json_is_number(c) ? c : vt_json_is_object(c) ? vt_json_get(c, "logprob") : NULL;

    return vt_remote_logprob(vt_json_num(v, (double)NAN), out);
}

bool vt_openai_top_logprob(const struct vt_openai_choice *c, char *token, size_t size, double *out)
{
    const vt_json *first = vt_json_first(c->logprobs), *top;
    bool is_found = false;

    if (vt_json_is_object(first))
        top = vt_json_get(first, "top_logprobs");
    else
        top = vt_json_first(vt_json_get(vt_json_get(c->json, "logprobs"), "top_logprobs"));
    for (const vt_json *t = vt_json_first(top); t; t = vt_json_next(t)) {
        const char *name = vt_json_key(t) ? vt_json_key(t) : vt_json_str(vt_json_get(t, "token"), "");
        float v;

        if (!read_logprob(t, &v) || (is_found && (double)v <= *out))
            continue;
        *out = (double)v;
        snprintf(token, size, "%s", name);
        is_found = true;
    }
    return is_found;
}

/* --- samples --- */

/* The texts of all tokens, one after another. */
static void join_tokens(const struct vt_openai_choice *c, struct vt_buf *out)
{
    for (const vt_json *t = vt_json_first(c->tokens); t; t = vt_json_next(t))
        vt_buf_puts(out, vt_json_str(t, ""));
    if (!c->tokens && vt_json_is_object(vt_json_first(c->logprobs)))
        for (const vt_json *t = vt_json_first(c->logprobs); t; t = vt_json_next(t))
            vt_buf_puts(out, vt_json_str(vt_json_get(t, "token"), ""));
}

/* Which stop string ended the sample, and where it begins in `whole`, which holds the text of all tokens; -1 and len
 * when none did: the model ended by itself, or nobody can tell. */
static int find_stop(const struct vt_sample_request *r, const struct vt_openai_choice *c, const char *whole, size_t len,
                     size_t *at)
{
    int which = -1;

    *at = len;
    for (int i = 0; i < r->n_stop; i++) {
        const size_t n = strlen(r->stop[i]);
        const char *hit = n > 0 ? memmem(whole, len, r->stop[i], n) : NULL;

        if (!hit || (size_t)(hit - whole) >= *at)
            continue;
        *at = (size_t)(hit - whole);
        which = i;
    }
    for (int i = 0; which < 0 && c->stop_text && i < r->n_stop; i++)
        if (strcmp(r->stop[i], c->stop_text) == 0)
            which = i;
    return which;
}

static vt_status read_numbers(const struct vt_openai_choice *c, struct vt_sample *out, bool wants_ids, vt_err *err)
{
    const size_t n = c->n_tokens;
    size_t at = 0;

    out->n_tokens = (int)n;
    out->tokens = wants_ids ? vt_alloc_array(n + 1, sizeof *out->tokens) : NULL;
    out->logprobs = c->logprobs ? vt_alloc_array(n + 1, sizeof *out->logprobs) : NULL;
    if ((wants_ids && !out->tokens) || (c->logprobs && !out->logprobs))
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample of %zu tokens", n);
    if (c->logprobs && vt_json_count(c->logprobs) != n)
        return vt_fail(err, VT_ENET, "the server gave %zu log-probabilities for a sample of %zu tokens",
                       vt_json_count(c->logprobs), n);
    for (const vt_json *l = vt_json_first(c->logprobs); l; l = vt_json_next(l), at++)
        if (!read_logprob(l, &out->logprobs[at]))
            return vt_fail(err, VT_ENET, "the server gave no log-probability for token %zu of a sample", at + 1);
    return wants_ids ? vt_openai_read_ids(c->ids, out->tokens, err) : VT_OK;
}

/* What was drawn at temperature 1 from the whole vocabulary was drawn by the model's own distribution. */
static bool is_plain(const struct vt_sample_request *r)
{
    return r->temperature == 1 && r->top_p >= 1 && r->top_k <= 0 && r->min_p <= 0;
}

static vt_status set_logprobs(const struct vt_sample_request *r, struct vt_sample *out, vt_err *err)
{
    if (!out->logprobs || !is_plain(r))
        return VT_OK;
    out->logprobs_behaviour = vt_alloc_array((size_t)out->n_tokens + 1, sizeof *out->logprobs_behaviour);
    if (!out->logprobs_behaviour)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample of %d tokens", out->n_tokens);
    memcpy(out->logprobs_behaviour, out->logprobs, (size_t)out->n_tokens * sizeof *out->logprobs);
    return VT_OK;
}

/* What the tokens spell, the token that ends a turn left out. */
static vt_status spell(const struct vt_openai *o, const struct vt_openai_choice *c, const struct vt_sample *s,
                       struct vt_buf *out, vt_err *err)
{
    const vt_tokenizer *t = o->remote.text.tokenizer;
    size_t n = (size_t)s->n_tokens;

    if (!o->is_tokens) {
        join_tokens(c, out);
    } else {
        n -= n > 0 && s->finish == VT_FINISH_STOP && vt_tokenizer_is_control(t, s->tokens[n - 1]);
        VT_TRY(vt_tokenizer_decode(t, s->tokens, n, out, err));
    }
    return vt_buf_check(out, "a sample's text", err);
}

/* The bytes of tokens are what the model wrote; in a server's text what is not UTF-8 was replaced. */
static vt_status read_text(const struct vt_openai *o, const struct vt_sample_request *r,
                           const struct vt_openai_choice *c, struct vt_sample *out, vt_err *err)
{
    struct vt_buf whole;
    size_t end;
    vt_status status;

    vt_buf_init(&whole, MAX_BODY);
    out->stop = -1;
    out->finish = strcmp(c->finish, "stop") == 0     ? VT_FINISH_STOP
                  : strcmp(c->finish, "length") == 0 ? VT_FINISH_LENGTH
                                                     : VT_FINISH_ERROR;
    status = spell(o, c, out, &whole, err);
    end = whole.len;
    if (status == VT_OK && out->finish == VT_FINISH_STOP)
        out->stop = find_stop(r, c, whole.p, whole.len, &end);
    if (status == VT_OK) {
        out->text = o->is_tokens ? vt_strndup(whole.p, end) : vt_strdup(c->text);
        out->text_len = !out->text ? 0 : o->is_tokens ? end : strlen(out->text);
        if (!out->text)
            status = vt_fail(err, VT_ENOMEM, "out of memory for a sample's text");
    }
    vt_buf_free(&whole);
    return status;
}

/* Text as servers give it: in place of what is no UTF-8 stands U+FFFD, as often as they like, and some tidy blanks. */
static void add_plain(struct vt_buf *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t step = vt_utf8_sequence((const unsigned char *)p + i, n - i);

        if (step > 0 && p[i] != ' ' && !(step == 3 && memcmp(p + i, "\xef\xbf\xbd", 3) == 0))
            vt_buf_add(out, p + i, step);
        i += step > 0 ? step : 1;
    }
}

static bool begins_with(const struct vt_buf *b, size_t at, const char *text, size_t n)
{
    struct vt_buf plain;
    bool does;

    vt_buf_init(&plain, MAX_BODY);
    add_plain(&plain, text, n);
    does = b->len - at >= plain.len && memcmp(b->p + at, plain.p, plain.len) == 0;
    vt_buf_free(&plain);
    return does;
}

/* What the ids spell is the text, or goes on behind it with what ended the sample. */
static bool are_spelled(const vt_tokenizer *t, const struct vt_openai_choice *c, const int32_t *ids, size_t n,
                        bool with_control, const char *const *stop, int n_stop)
{
    const bool has_stopped = strcmp(c->finish, "stop") == 0;
    const size_t n_text = strlen(c->text);
    struct vt_buf plain, text;
    size_t len = 0, before_last = 0;
    bool are;

    vt_buf_init(&plain, MAX_BODY);
    vt_buf_init(&text, MAX_BODY);
    for (size_t i = 0; i < n; i++) { /* joined first: a character may be in two tokens */
        const char *bytes = vt_tokenizer_bytes(t, ids[i], &len);

        before_last = text.len;
        if (bytes && (with_control || !vt_tokenizer_is_control(t, ids[i])))
            vt_buf_add(&text, bytes, len);
    }
    add_plain(&plain, text.p, text.len);
    vt_buf_clear(&text);
    add_plain(&text, c->text, n_text);
    are = begins_with(&plain, 0, c->text, n_text) && (plain.len == text.len || has_stopped);
    if (are && plain.len > text.len) {
        are = before_last <= n_text; /* the token that ended it, or a stop string and what stood in its last token */
        for (int i = 0; !are && i < n_stop; i++)
            are = begins_with(&plain, text.len, stop[i], strlen(stop[i]));
    }
    are = are && plain.status == VT_OK && text.status == VT_OK;
    vt_buf_free(&plain);
    vt_buf_free(&text);
    return are;
}

bool vt_openai_ids_spell(const vt_tokenizer *t, const struct vt_openai_choice *c, const int32_t *ids, size_t n,
                         const char *const *stop, int n_stop)
{
    return are_spelled(t, c, ids, n, false, stop, n_stop) || are_spelled(t, c, ids, n, true, stop, n_stop);
}

vt_status vt_openai_read_ids(const vt_json *ids, int32_t *out, vt_err *err)
{
    size_t at = 0;

    for (const vt_json *t = vt_json_first(ids); t; t = vt_json_next(t), at++) {
        const int64_t id = vt_json_int(vt_json_is_object(t) ? vt_json_get(t, "id") : t, -1);

        if (id < 0 || id > INT32_MAX)
            return vt_fail(err, VT_ENET, "the server gave no id for token %zu of a sample", at + 1);
        out[at] = (int32_t)id;
    }
    return VT_OK;
}

vt_status vt_openai_read_sample(const vt_policy *p, const struct vt_sample_request *r, const struct vt_openai_choice *c,
                                struct vt_sample *out, vt_err *err)
{
    const struct vt_openai *o = vt_openai_of(p);

    if (o->is_tokens && !c->ids)
        return vt_fail(err, VT_ENET, "the server left out the token ids of a sample, which it gave when it was opened");
    if (o->facts.logprobs != VT_OPENAI_NO_LOGPROBS && !c->logprobs && c->text[0])
        return vt_fail(err, VT_ENET,
                       "the server left out the log-probabilities of a sample, which it gave when it was opened");
    VT_TRY(read_numbers(c, out, o->is_tokens, err));
    VT_TRY(set_logprobs(r, out, err));
    VT_TRY(vt_remote_check_tokens(&o->remote, r, out, err));
    VT_TRY(read_text(o, r, c, out, err));
    if (o->is_tokens &&
        !vt_openai_ids_spell(o->remote.text.tokenizer, c, out->tokens, (size_t)out->n_tokens, r->stop, r->n_stop))
        return vt_fail(err, VT_ENET,
                       "the token ids that the server gave of a sample do not spell the text that it gave: one of them "
                       "is not what the model wrote");
    vt_http_mask(vt_net_http(o->remote.net), out->text, out->text_len); /* which ids may spell */
    return VT_OK;
}

/* --- scores --- */

/* vLLM: one object a token of the prompt, {"ID": {"logprob"}, …}, the likelier ones beside the token's own. */
static const vt_json *entry_of(const vt_json *entry, int32_t id)
{
    char key[16];

    snprintf(key, sizeof key, "%d", id);
    return vt_json_get(entry, key);
}

vt_status vt_openai_read_scores(const struct vt_openai *o, const struct vt_openai_choice *c, const int32_t *ids,
                                size_t n_all, size_t n, float *out, vt_err *err)
{
    const bool is_echo = o->facts.scoring == VT_OPENAI_ECHO;
    const vt_json *list = is_echo ? c->logprobs : array_or_null(vt_json_get(c->json, "prompt_logprobs"));
    const size_t n_list = list ? vt_json_count(list) : 0;
    size_t at = 0;

    /* An echo is followed by the token that had to be drawn. */
    if (n_list < n_all || n_list > n_all + (is_echo ? 1 : 0))
        return vt_fail(err, VT_ENET, "the server gave %zu log-probabilities for a text of %zu tokens", n_list, n_all);
    for (const vt_json *e = vt_json_first(list); e && at < n_all; e = vt_json_next(e), at++) {
        if (at < n_all - n)
            continue;
        if (!read_logprob(is_echo ? e : entry_of(e, ids[at]), &out[at - (n_all - n)]))
            return vt_fail(err, VT_ENET, "the server gave no log-probability for token %zu of %zu", at + 1, n_all);
    }
    return VT_OK;
}
