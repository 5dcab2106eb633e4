/* SPDX-License-Identifier: Apache-2.0
 *
 * openai_sample.c: sampling and scoring as HTTP calls, and the calls themselves.
 *
 * A sample request is one call where the server draws several samples at once, else as many as it has samples, each
 * with its own seed. A score request is a call a row: prompt and completion as one prompt whose log-probabilities are
 * asked for. A job ends when all its calls have; one that failed does not stop the others, since each sample that ends
 * is the caller's at once (`each`) and was paid for.
 */
#include "base/alloc.h"
#include "policy/openai.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A generation may be silent for as long as it takes; a server that is gone resets the connection. */
static const double silence_s = 3600, patience_s = 300;
enum { MAX_BAD_ANSWERS = 3 };

/* --- a call --- */

/* One call of a job and its answer, parsed. */
struct call {
    struct vt_remote_job *job;
    vt_http_call *http; /* NULL before and after */
    vt_json *answer;
    int at;                     /* which of the job's */
    bool had_connection;        /* when it was sent */
    struct vt_remote_wait wait; /* for trust in the server */
    vt_status status;           /* of what waits */
    vt_err err;
    void (*answered)(struct call *c, vt_status status, const vt_err *err);
};

/* An answer that is no JSON was cut or made up on the way: asked for again, not for ever. */
static enum vt_http_verdict judge(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    struct call *c = arg;

    vt_openai_watch_attempt(vt_openai_of(c->job->request->policy), a, c->had_connection);
    vt_json_free(c->answer);
    c->answer = NULL;
    if (a->status / 100 != 2)
        return vt_http_judge(NULL, a, wait_s);
    if (vt_json_parse(a->body, a->len, "the server's answer", &c->answer, NULL) != VT_OK)
        c->answer = NULL;
    return c->answer || a->attempt >= MAX_BAD_ANSWERS ? VT_HTTP_FINAL : VT_HTTP_AGAIN;
}

static void end_call(struct call *c, vt_status status, const vt_err *err)
{
    vt_json *answer = c->answer;

    c->answered(c, status, err); /* which may be the end of c */
    vt_json_free(answer);
}

static void use_answer(void *arg)
{
    struct call *c = arg;
    const struct vt_openai_watch *w = &vt_openai_of(c->job->request->policy)->watch;

    if (w->status != VT_OK)
        end_call(c, w->status, &w->err);
    else
        end_call(c, c->status, &c->err);
}

static void on_done(void *arg, vt_status status, const struct vt_http_answer *a, const vt_err *err)
{
    struct call *c = arg;
    struct vt_openai *o = vt_openai_of(c->job->request->policy);

    c->http = NULL;
    o->watch.n_out--;
    c->status = status;
    if (status != VT_OK)
        c->err = *err;
    else if (!c->answer)
        c->status = vt_json_parse(a->body, a->len, "the server's answer", &c->answer, &c->err);
    if (!a || a->status == 0)
        end_call(c, c->status, &c->err);
    else if (vt_openai_trusts(o, &c->wait))
        use_answer(c);
}

/* body is taken whatever comes of it. */
static vt_status send(struct vt_openai *o, struct call *c, const char *what, char *body, size_t len, size_t limit,
                      vt_err *err)
{
    const struct vt_http_request r = {.method = "POST",
                                      .url = o->completions,
                                      .headers = (const char *const *)o->headers,
                                      .body = body,
                                      .len = len,
                                      .what = what,
                                      .silence_s = silence_s,
                                      .patience_s = patience_s,
                                      .max_answer = limit,
                                      .judge = judge,
                                      .done = on_done,
                                      .arg = c};
    vt_status status = vt_http_send(vt_net_http(o->remote.net), &r, &c->http, err);

    if (status != VT_OK) {
        free(body);
        return status;
    }
    c->wait = (struct vt_remote_wait){.fn = use_answer, .arg = c};
    c->had_connection = ++o->watch.n_out <= o->watch.n_connections;
    return VT_OK;
}

/* --- a job of several calls --- */

struct body {
    char *text;
    size_t len, limit; /* limit: of the answer */
};

struct calls_job {
    struct vt_remote_job job;
    struct call *calls;
    struct body *bodies; /* [n], until they are sent */
    int n, n_open;
    const char *doing;
    /* Reads the answer of call c into what the request fills. */
    vt_status (*read)(struct calls_job *j, const struct call *c, vt_err *err);
    void (*drop)(struct calls_job *j); /* the request failed: what was filled goes */
    int n_each;                        /* samples a call gives */
    vt_status status;                  /* the first failure */
    vt_err err;
};

static void free_job(struct vt_remote_job *job)
{
    struct calls_job *j = (struct calls_job *)job;

    for (int i = 0; i < j->n; i++)
        free(j->bodies[i].text);
    free(j->bodies);
    free(j->calls);
    free(j);
}

static void keep_failure(struct calls_job *j, vt_status status, const vt_err *err)
{
    if (j->status != VT_OK)
        return;
    j->status = status;
    j->err = *err;
}

static void end_if_done(struct calls_job *j)
{
    if (j->n_open > 0)
        return;
    if (j->status == VT_OK && j->job.is_halted)
        j->status = vt_fail(&j->err, VT_ECANCELLED, "%s was cancelled", j->doing);
    if (j->status != VT_OK && j->drop)
        j->drop(j);
    vt_remote_end(&j->job, j->status, &j->err);
}

static void on_answer(struct call *c, vt_status status, const vt_err *err)
{
    struct calls_job *j = (struct calls_job *)c->job;
    vt_err why;

    if (status == VT_OK) {
        status = j->read(j, c, &why);
        err = &why;
    }
    if (status != VT_OK)
        keep_failure(j, status, err);
    j->n_open--;
    end_if_done(j);
}

static void begin(struct vt_remote_job *job)
{
    struct calls_job *j = (struct calls_job *)job;
    struct vt_openai *o = vt_openai_of(job->request->policy);
    char what[256];
    vt_err err;

    snprintf(what, sizeof what, "%s %.200s", j->doing, job->request->policy->spec);
    j->n_open = 1; /* the beginning itself */
    for (int i = 0; i < j->n && j->status == VT_OK; i++) {
        struct body *b = &j->bodies[i];
        const vt_status status = send(o, &j->calls[i], what, b->text, b->len, b->limit, &err);

        b->text = NULL;
        if (status != VT_OK)
            keep_failure(j, status, &err);
        else
            j->n_open++;
    }
    j->n_open--;
    end_if_done(j);
}

static void halt(struct vt_remote_job *job)
{
    struct calls_job *j = (struct calls_job *)job;

    j->n_open++; /* so that the last cancelled call does not end it under our hands */
    for (int i = 0; i < j->n; i++) {
        struct call *c = &j->calls[i];
        vt_err err;

        if (c->http) {
            vt_http_cancel(c->http);
        } else if (c->wait.link) {
            vt_remote_stop_waiting(&c->wait);
            end_call(c, vt_fail(&err, VT_ECANCELLED, "%s was cancelled", j->doing), &err);
        }
    }
    j->n_open--;
    end_if_done(j);
}

static struct calls_job *new_job(int n, const char *doing, vt_err *err)
{
    struct calls_job *j = vt_alloc(sizeof *j);

    if (j) {
        j->calls = vt_alloc_array((size_t)n, sizeof *j->calls);
        j->bodies = vt_alloc_array((size_t)n, sizeof *j->bodies);
    }
    if (!j || !j->calls || !j->bodies) {
        if (j)
            free_job(&j->job);
        vt_fail(err, VT_ENOMEM, "out of memory for %d requests", n);
        return NULL;
    }
    j->job.begin = begin;
    j->job.halt = halt;
    j->job.free = free_job;
    j->n = n;
    j->doing = doing;
    for (int i = 0; i < n; i++) {
        j->calls[i].job = &j->job;
        j->calls[i].at = i;
        j->calls[i].answered = on_answer;
    }
    return j;
}

/* --- sampling --- */

static vt_status read_samples(struct calls_job *j, const struct call *c, vt_err *err)
{
    struct vt_sample_request *r = j->job.request->sample;
    const vt_policy *p = j->job.request->policy;

    if (vt_openai_n_choices(c->answer) != j->n_each)
        return vt_fail(err, VT_ENET, "the server gave %d samples of the %d that were asked for",
                       vt_openai_n_choices(c->answer), j->n_each);
    if (vt_openai_of(p)->is_tokens)
        VT_TRY(vt_openai_check_prompt(c->answer, r->prompt, (size_t)r->n_prompt, NULL, 0, err));
    vt_openai_read_usage(c->answer, r);
    for (int i = 0; i < j->n_each; i++) {
        struct vt_openai_choice choice;
        const int at = c->at * j->n_each + i;

        VT_TRY(vt_openai_choice(c->answer, i, &choice, err));
        VT_TRY(vt_openai_read_sample(p, r, &choice, &r->out[at], err));
        if (r->each)
            r->each(r->each_arg, at);
    }
    return VT_OK;
}

static void drop_samples(struct calls_job *j)
{
    struct vt_sample_request *r = j->job.request->sample;

    for (int i = 0; i < r->n; i++)
        vt_sample_clear(&r->out[i]);
}

static bool is_plain(const struct vt_sample_request *r)
{
    return r->temperature == 1 && r->top_p >= 1 && r->top_k <= 0 && r->min_p <= 0;
}

vt_status vt_openai_sample(vt_policy *p, vt_request *request, vt_err *err)
{
    const struct vt_openai *o = vt_openai_of(p);
    const struct vt_sample_request *r = request->sample;
    const int n_calls = o->facts.many ? 1 : r->n;
    struct calls_job *j;

    if (o->facts.logprobs == VT_OPENAI_PROCESSED && !is_plain(r))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the server of %s gives log-probabilities of what it draws from, not of the model: sample at "
                       "temperature 1 without top_p, top_k and min_p, or start it so that it gives raw ones (vLLM: "
                       "--logprobs-mode raw_logprobs)",
                       p->spec);
    j = new_job(n_calls, "sampling from", err);
    if (!j)
        return VT_ENOMEM;
    j->read = read_samples;
    j->drop = drop_samples;
    j->n_each = o->facts.many ? r->n : 1;
    for (int i = 0; i < n_calls; i++) {
        const int first = i * j->n_each;
        const struct vt_openai_ask a = {.ids = o->is_tokens ? r->prompt : NULL,
                                        .n_ids = (size_t)r->n_prompt,
                                        .text = r->text,
                                        .text_len = r->text_len,
                                        .n = j->n_each,
                                        .max_tokens = r->max_tokens,
                                        .top_k = r->top_k,
                                        .temperature = (double)r->temperature,
                                        .top_p = r->top_p < 1 ? (double)r->top_p : 1,
                                        .min_p = (double)r->min_p,
                                        .has_seed = true,
                                        .seed =
                                            vt_sample_seed(r->seed, r->stream, r->index ? r->index[first] : first + 1),
                                        .wants_logprobs = o->facts.logprobs != VT_OPENAI_NO_LOGPROBS,
                                        .wants_ids = o->is_tokens,
                                        .stop = r->stop,
                                        .n_stop = r->n_stop};
        const vt_status status = vt_openai_write(o, &a, &j->bodies[i].text, &j->bodies[i].len, err);

        j->bodies[i].limit = vt_remote_answer_limit((int64_t)a.n * ((int64_t)a.max_tokens + r->n_prompt));
        if (status != VT_OK) {
            free_job(&j->job);
            return status;
        }
    }
    vt_remote_start(&vt_openai_of(p)->remote, request, &j->job);
    return VT_OK;
}

/* --- scoring --- */

static vt_status read_row(struct calls_job *j, const struct call *c, vt_err *err)
{
    const struct vt_score_request *r = j->job.request->score;
    const struct vt_openai *o = vt_openai_of(j->job.request->policy);
    const int i = c->at, n_all = r->n_prompt + r->n[i];
    struct vt_openai_choice choice;
    int32_t *ids;
    vt_status status;

    VT_TRY(vt_openai_choice(c->answer, 0, &choice, err));
    VT_TRY(vt_openai_check_prompt(c->answer, r->prompt, (size_t)r->n_prompt, r->tokens[i], (size_t)r->n[i], err));
    ids = vt_alloc_array((size_t)n_all + 1, sizeof *ids);
    if (!ids)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d tokens", n_all);
    memcpy(ids, r->prompt, (size_t)r->n_prompt * sizeof *ids);
    if (r->n[i] > 0)
        memcpy(ids + r->n_prompt, r->tokens[i], (size_t)r->n[i] * sizeof *ids);
    status = vt_openai_read_scores(o, &choice, ids, (size_t)n_all, (size_t)r->n[i], r->logprobs[i], err);
    free(ids);
    return status;
}

vt_status vt_openai_score(vt_policy *p, vt_request *request, vt_err *err)
{
    struct vt_openai *o = vt_openai_of(p);
    const struct vt_score_request *r = request->score;
    struct calls_job *j = new_job(r->n_rows, "scoring with", err);

    if (!j)
        return VT_ENOMEM;
    j->read = read_row;
    for (int i = 0; i < r->n_rows; i++) {
        const struct vt_openai_ask a = {.ids = r->prompt,
                                        .n_ids = (size_t)r->n_prompt,
                                        .more = r->tokens[i],
                                        .n_more = (size_t)r->n[i],
                                        .n = 1,
                                        .max_tokens = 1,
                                        .temperature = 1,
                                        .top_p = 1,
                                        .scoring = o->facts.scoring};
        const vt_status status = vt_openai_write(o, &a, &j->bodies[i].text, &j->bodies[i].len, err);

        j->bodies[i].limit = vt_remote_answer_limit((int64_t)r->n_prompt + r->n[i]);
        if (status != VT_OK) {
            free_job(&j->job);
            return status;
        }
    }
    vt_remote_start(&o->remote, request, &j->job);
    return VT_OK;
}
