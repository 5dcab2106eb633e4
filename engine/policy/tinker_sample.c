/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker_sample.c: sampling and scoring at a service. Weights are sampled from through a sampling session, which is
 * made when somebody first wants one, from the base model or from the state as it was published with its update;
 * requests that come meanwhile wait for it. A score is a sample of one token whose prompt is the text, with the
 * prompt's log-probabilities.
 *
 * A promise that the service has lost (410) is asked for again under a new number. A session that the service knows no
 * more is made anew once, and with it what the request needs.
 */
#include "base/alloc.h"
#include "policy/tinker.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LOST = 3 };

struct row {
    struct sampling *j;
    int at, n_lost;
    bool is_out, is_done;
};

/* A request: one call of a sample, a call for each row of a score. */
struct sampling {
    struct vt_remote_job job;
    struct vt_tinker *t;
    struct vt_tinker_weights *w;
    struct vt_tinker_calls calls;
    struct vt_remote_wait wait;
    struct row *rows; /* [n] */
    int n, n_open, generation;
    bool has_checked; /* the session, after a call that it may be to blame for */
    vt_status status; /* the first failure */
    vt_err err;
};

static void free_job(struct vt_remote_job *job)
{
    struct sampling *j = (struct sampling *)job;

    free(j->rows);
    free(j);
}

static void go(void *arg);

static void keep_failure(struct sampling *j, vt_status status, const vt_err *err)
{
    if (j->status != VT_OK)
        return;
    j->status = status;
    j->err = *err;
}

static void drop_samples(const struct sampling *j)
{
    struct vt_sample_request *r = j->job.request->sample;

    for (int i = 0; r && i < r->n; i++)
        vt_sample_clear(&r->out[i]);
}

static void end_if_done(struct sampling *j)
{
    if (j->n_open > 0)
        return;
    if (j->status == VT_OK && j->job.is_halted)
        j->status = vt_fail(&j->err, VT_ECANCELLED, "the request to %s was cancelled", j->t->policy->spec);
    if (j->status != VT_OK)
        drop_samples(j);
    vt_remote_end(&j->job, j->status, &j->err);
}

static void halt(struct vt_remote_job *job)
{
    struct sampling *j = (struct sampling *)job;
    const bool was_waiting = j->wait.link != NULL;

    j->t->was_interrupted = true;
    vt_remote_stop_waiting(&j->wait);
    j->n_open += !was_waiting;
    vt_tinker_cancel_calls(&j->calls);
    j->n_open--;
    end_if_done(j);
}

/* --- requests --- */

static void write_ids(struct vt_buf *b, const int32_t *ids, int n, bool *is_first)
{
    for (int i = 0; i < n; i++) {
        vt_buf_printf(b, *is_first ? "%d" : ",%d", ids[i]);
        *is_first = false;
    }
}

static void write_prompt(struct vt_buf *b, const int32_t *ids, int n, const int32_t *more, int n_more)
{
    bool is_first = true;

    vt_buf_puts(b, ",\"prompt\":{\"chunks\":[{\"type\":\"encoded_text\",\"tokens\":[");
    write_ids(b, ids, n, &is_first);
    write_ids(b, more, n_more, &is_first);
    vt_buf_puts(b, "]}]}");
}

static void write_sample(struct vt_buf *b, const struct vt_sample_request *r)
{
    const uint64_t seed = vt_sample_seed(r->seed, r->stream, r->index ? r->index[0] : 1);

    vt_buf_printf(b, "{\"num_samples\":%d", r->n);
    write_prompt(b, r->prompt, r->n_prompt, NULL, 0);
    vt_buf_printf(b, ",\"sampling_params\":{\"max_tokens\":%d,\"seed\":%llu", r->max_tokens,
                  (unsigned long long)(seed >> 11)); /* numbers of JSON hold 53 bits */
    for (int i = 0; i < r->n_stop; i++) {
        vt_buf_puts(b, i == 0 ? ",\"stop\":[" : ",");
        vt_json_write_string(b, r->stop[i], strlen(r->stop[i]));
    }
    if (r->n_stop > 0)
        vt_buf_putc(b, ']');
    vt_tinker_put_number(b, ",\"temperature\":", r->temperature);
    vt_buf_printf(b, ",\"top_k\":%d", r->top_k > 0 ? r->top_k : -1);
    vt_tinker_put_number(b, ",\"top_p\":", r->top_p);
    vt_buf_puts(b, "},\"prompt_logprobs\":false");
}

static void write_score(struct vt_buf *b, const struct vt_score_request *r, int row)
{
    vt_buf_puts(b, "{\"num_samples\":1");
    write_prompt(b, r->prompt, r->n_prompt, r->tokens[row], r->n[row]);
    vt_buf_puts(
        b, ",\"sampling_params\":{\"max_tokens\":1,\"temperature\":1,\"top_k\":-1,\"top_p\":1},\"prompt_logprobs\":"
           "true");
}

/* --- answers --- */

/* Position of the earliest stop string in text, and which; len and -1 when there is none. */
static size_t find_stop(const struct vt_sample_request *r, const char *text, size_t len, int *which)
{
    size_t at = len;

    *which = -1;
    for (int i = 0; i < r->n_stop; i++) {
        const size_t n = strlen(r->stop[i]);
        const char *hit = n > 0 ? memmem(text, len, r->stop[i], n) : NULL;

        if (hit && (size_t)(hit - text) < at) {
            at = (size_t)(hit - text);
            *which = i;
        }
    }
    return at;
}

static vt_status set_text(const struct sampling *j, const struct vt_sample_request *r, struct vt_sample *out,
                          vt_err *err)
{
    const vt_tokenizer *t = j->t->remote.text.tokenizer;
    struct vt_buf text;
    size_t n = (size_t)out->n_tokens, end;
    vt_status status;

    vt_buf_init(&text, (size_t)256 << 20);
    n -= n > 0 && out->finish == VT_FINISH_STOP && vt_tokenizer_is_control(t, out->tokens[n - 1]);
    status = vt_tokenizer_decode(t, out->tokens, n, &text, err);
    if (status == VT_OK)
        status = vt_buf_check(&text, "a sample's text", err);
    if (status == VT_OK) {
        end = out->finish == VT_FINISH_STOP ? find_stop(r, text.p, text.len, &out->stop) : text.len;
        out->text = vt_strndup(text.p, end);
        out->text_len = end;
        if (!out->text)
            status = vt_fail(err, VT_ENOMEM, "out of memory for a sample's text");
    }
    vt_buf_free(&text);
    return status;
}

/* The sequence's arrays go over to the sample. */
static vt_status take_sample(const struct sampling *j, const struct vt_sample_request *r, struct vt_tinker_sequence *s,
                             struct vt_sample *out, vt_err *err)
{
    *out = (struct vt_sample){.tokens = s->tokens, .n_tokens = (int)s->n, .logprobs = s->logprobs, .stop = -1};
    out->finish = s->has_stopped ? VT_FINISH_STOP : VT_FINISH_LENGTH;
    s->tokens = NULL;
    s->logprobs = NULL;
    if (r->temperature == 1 && r->top_p >= 1 && r->top_k <= 0) {
        out->logprobs_behaviour = vt_alloc_array(s->n + 1, sizeof *out->logprobs_behaviour);
        if (!out->logprobs_behaviour)
            return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
        memcpy(out->logprobs_behaviour, out->logprobs, s->n * sizeof *out->logprobs);
    }
    VT_TRY(vt_remote_check_tokens(&j->t->remote, r, out, err));
    VT_TRY(set_text(j, r, out, err));
    vt_http_mask(vt_net_http(j->t->remote.net), out->text, out->text_len); /* which ids may spell */
    return VT_OK;
}

static vt_status take_samples(const struct sampling *j, struct vt_tinker_samples *s, vt_err *err)
{
    struct vt_sample_request *r = j->job.request->sample;

    r->n_prompt_counted = r->n_prompt;
    r->n_cached = s->n_cached < 0 ? 0 : s->n_cached < r->n_prompt ? s->n_cached : r->n_prompt;
    if (s->n != (size_t)r->n)
        return vt_fail(err, VT_ENET, "the service gave %zu samples of the %d that were asked for", s->n, r->n);
    for (int i = 0; i < r->n; i++) {
        VT_TRY(take_sample(j, r, &s->seqs[i], &r->out[i], err));
        if (r->each)
            r->each(r->each_arg, i);
    }
    return VT_OK;
}

/* Some servers leave out the first token, which has none: what they give ends with the text. */
static vt_status take_scores(const struct sampling *j, int row, const struct vt_tinker_samples *s, vt_err *err)
{
    const struct vt_score_request *r = j->job.request->score;
    const size_t n_all = (size_t)(r->n_prompt + r->n[row]), n = (size_t)r->n[row];

    if (s->n_prompt != n_all && s->n_prompt + 1 != n_all)
        return vt_fail(err, VT_ENET, "the service gave %zu log-probabilities for a text of %zu tokens", s->n_prompt,
                       n_all);
    for (size_t i = 0; i < n; i++) {
        if (!vt_remote_logprob((double)s->prompt[s->n_prompt - n + i], &r->logprobs[row][i]))
            return vt_fail(err, VT_ENET, "the service gave no log-probability for token %zu of a completion", i + 1);
    }
    return VT_OK;
}

static vt_status take_answer(struct sampling *j, const struct row *row, const struct vt_tinker_reply *reply,
                             vt_err *err)
{
    struct vt_tinker_samples s;
    vt_status status;

    VT_TRY(vt_tinker_read_samples(reply, &s, err));
    if (s.is_json && j->t->wire == VT_TINKER_UNDECIDED)
        j->t->wire = VT_TINKER_JSON; /* who answers so reads so */
    status = j->job.request->sample ? take_samples(j, &s, err) : take_scores(j, row->at, &s, err);
    vt_tinker_samples_free(&s);
    return status;
}

/* --- calls --- */

static void submit(struct sampling *j, struct row *row);

static void on_answer(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *why)
{
    struct row *row = arg;
    struct sampling *j = row->j;
    vt_err err = why ? *why : (vt_err){0};

    j->n_open--;
    row->is_out = false;
    if (status != VT_OK && reply->status == 410 && row->n_lost < MAX_LOST && !j->job.is_halted) {
        row->n_lost++;
        submit(j, row);
        return;
    }
    if (status != VT_OK && reply->status == 404 && !j->job.is_halted && (!j->has_checked || j->wait.link)) {
        /* Perhaps the session has gone, and the sampler with it. */
        if (j->wait.link)
            return;
        j->has_checked = true;
        j->n_open++;
        j->w->sampler[0] = '\0';
        vt_tinker_check_session(j->t, &j->wait);
        return;
    }
    if (status == VT_OK)
        status = take_answer(j, row, reply, &err);
    if (status != VT_OK)
        keep_failure(j, status, &err);
    row->is_done = true;
    end_if_done(j);
}

static size_t limit_of(const vt_request *r, int row)
{
    const struct vt_sample_request *s = r->sample;

    return vt_remote_answer_limit(s ? (int64_t)s->n * s->max_tokens : (int64_t)r->score->n_prompt + r->score->n[row]);
}

static void submit(struct sampling *j, struct row *row)
{
    const vt_request *r = j->job.request;
    struct vt_tinker_post p = {.endpoint = "asample",
                               .is_promise = true,
                               .class = VT_TINKER_SAMPLING,
                               .max_answer = limit_of(r, row->at),
                               .calls = &j->calls,
                               .done = on_answer,
                               .arg = row};
    struct vt_buf b;
    vt_err err;
    vt_status status;

    vt_buf_init(&b, (size_t)256 << 20);
    if (r->sample)
        write_sample(&b, r->sample);
    else
        write_score(&b, r->score, row->at);
    vt_buf_puts(&b, ",\"sampling_session_id\":");
    vt_json_write_string(&b, j->w->sampler, strlen(j->w->sampler));
    vt_buf_printf(&b, ",\"seq_id\":%d,\"topk_prompt_logprobs\":0,\"type\":\"sample\"}", j->w->sampler_next_seq++);
    status = vt_buf_check(&b, "a request", &err);
    if (status == VT_OK) {
        p.body = vt_buf_take(&b, &p.len);
        status = vt_tinker_send(j->t, &p, NULL, &err);
    }
    vt_buf_free(&b);
    if (status == VT_OK) {
        row->is_out = true;
        j->n_open++;
        return;
    }
    keep_failure(j, status, &err);
    row->is_done = true;
    end_if_done(j);
}

/* --- the sampling session --- */

static void on_sampler(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *why)
{
    struct sampling *j = arg;
    struct vt_tinker_weights *w = j->w;
    const char *id = status == VT_OK ? vt_json_str(vt_json_get(reply->json, "sampling_session_id"), "") : "";
    vt_err err = why ? *why : (vt_err){0};

    w->is_making_sampler = false;
    if (status == VT_OK && (!id[0] || strlen(id) >= sizeof w->sampler))
        status = vt_fail(&err, VT_ENET, "the service of %.200s gave no sampling session", j->t->policy->spec);
    if (status == VT_OK) {
        snprintf(w->sampler, sizeof w->sampler, "%s", id);
        w->sampler_generation = j->generation;
        w->sampler_next_seq = 0;
    } else if (reply->status == 404 && !j->has_checked && !j->job.is_halted) {
        j->has_checked = true;
        vt_tinker_check_session(j->t, &j->wait);
        vt_remote_wake(&w->waiting);
        return;
    } else {
        keep_failure(j, status, &err);
    }
    vt_remote_wake(&w->waiting); /* of whom one tries, if this one could not */
    go(j);
}

static void make_sampler(struct sampling *j)
{
    struct vt_tinker *t = j->t;
    struct vt_tinker_weights *w = j->w;
    struct vt_tinker_post p = {.endpoint = "create_sampling_session", .calls = &j->calls, .done = on_sampler, .arg = j};
    const char *const path = w->checkpoint[0] ? w->sampler_path : NULL;
    struct vt_buf b;
    vt_err err;

    vt_buf_init(&b, 1 << 14);
    vt_buf_puts(&b, "{\"session_id\":");
    vt_json_write_string(&b, t->session, strlen(t->session));
    vt_buf_printf(&b, ",\"sampling_session_seq_id\":%d,\"%s\":", t->next_sampler++, path ? "model_path" : "base_model");
    vt_json_write_string(&b, path ? path : t->model, strlen(path ? path : t->model));
    vt_buf_puts(&b, ",\"type\":\"create_sampling_session\"}");
    p.body = vt_buf_take(&b, &p.len);
    j->generation = t->generation;
    if (p.body && vt_tinker_send(t, &p, NULL, &err) == VT_OK) {
        w->is_making_sampler = true;
        return;
    }
    vt_fail(&err, VT_ENOMEM, "out of memory for a sampling session");
    keep_failure(j, VT_ENOMEM, &err);
    j->n_open--;
    end_if_done(j);
}

/* Goes on where it can; n_open counts this very course of things. */
static void go(void *arg)
{
    struct sampling *j = arg;
    struct vt_tinker_weights *w = j->w;

    if (j->status == VT_OK && j->has_checked && !j->t->session[0] && !j->t->opening)
        keep_failure(j, j->t->why_no_session.code, &j->t->why_no_session);
    if (j->status != VT_OK || j->job.is_halted) {
        j->n_open--;
        end_if_done(j);
        return;
    }
    if (!vt_tinker_need_session(j->t, &j->wait)) {
        j->has_checked = true;
        return;
    }
    if (!w->sampler[0] || w->sampler_generation != j->t->generation) {
        if (w->is_making_sampler)
            vt_remote_wait_on(&w->waiting, &j->wait);
        else
            make_sampler(j);
        return;
    }
    for (int i = 0; i < j->n; i++)
        if (!j->rows[i].is_done && !j->rows[i].is_out)
            submit(j, &j->rows[i]);
    j->n_open--;
    end_if_done(j);
}

static void begin(struct vt_remote_job *job)
{
    struct sampling *j = (struct sampling *)job;

    j->n_open = 1;
    go(j);
}

static vt_status start(vt_policy *p, vt_request *r, int n, vt_err *err)
{
    struct sampling *j = vt_alloc(sizeof *j);

    if (j)
        j->rows = vt_alloc_array((size_t)n, sizeof *j->rows);
    if (!j || !j->rows) {
        free(j);
        return vt_fail(err, VT_ENOMEM, "out of memory for a request of %d texts", n);
    }
    j->job.begin = begin;
    j->job.halt = halt;
    j->job.free = free_job;
    j->t = vt_tinker_of(p);
    j->w = r->weights->state;
    j->wait = (struct vt_remote_wait){.fn = go, .arg = j};
    j->n = n;
    for (int i = 0; i < n; i++)
        j->rows[i] = (struct row){.j = j, .at = i};
    vt_remote_start(&j->t->remote, r, &j->job);
    return VT_OK;
}

vt_status vt_tinker_sample(vt_policy *p, vt_request *r, vt_err *err)
{
    return start(p, r, 1, err);
}

vt_status vt_tinker_score(vt_policy *p, vt_request *r, vt_err *err)
{
    return start(p, r, r->score->n_rows, err);
}
