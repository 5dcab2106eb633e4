/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker_train.c: updates at a service. A model there moves from state to state, and weights here do not: an update
 * takes the model that stands in the state it starts from, or has one made in it (create_model and load_weights, which
 * a service allows as a model's first call only); then it sends, in the model's order and without waiting, the batch in
 * chunks, the optimiser's step, and two saves of the new state (tinker_weights.c). When all four have been
 * acknowledged, and not before, the new weights exist: what a run's journal records has happened. A model of which a
 * call failed is left alone.
 *
 * An update in two halves first asks for a forward pass alone; its step is cross entropy with the caller's weights,
 * whose gradient is the same. So is a built-in loss that the service does not know.
 *
 * Which dialect a batch travels in is found out with the first one: the service, asked in protobuf, refuses it (415,
 * 422, or 500 from servers that do not look), and it is sent once more in JSON under the same number.
 */
#include "base/alloc.h"
#include "policy/tinker.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG = 2 };

struct training;
struct chunk {
    struct training *j;
    struct vt_tinker_batch batch;
    int seq;
    bool is_sent, was_refused; /* in protobuf */
};

enum phase { MAKING, FORWARDING, TRAINING };

struct training {
    struct vt_remote_job job;
    struct vt_tinker *t;
    struct vt_tinker_weights *from;
    struct vt_tinker_calls calls;
    struct vt_remote_wait wait;
    struct vt_tinker_model *model;
    enum phase phase;
    struct vt_train_seq *seqs;
    size_t n;
    bool needs_forward, needs_step;
    const float **weights; /* [n], of a step by weights */
    struct chunk *chunks;
    size_t n_chunks;
    char name[48], checkpoint[VT_TINKER_NAME], sampler[VT_TINKER_NAME];
    double grad_norm;
    bool has_steps; /* the step and the saves are on their way */
    const char *config_names[MAX_CONFIG];
    double config[MAX_CONFIG];
    int n_open;
    bool has_checked; /* the session, after a failure that it may be to blame for */
    int http_status;  /* of the first failure */
    vt_status status;
    vt_err err;
};

static void free_job(struct vt_remote_job *job)
{
    struct training *j = (struct training *)job;

    free(j->model);
    free(j->chunks);
    free(j->weights);
    free(j);
}

static void keep_failure(struct training *j, vt_status status, const vt_err *err)
{
    if (j->status != VT_OK)
        return;
    j->status = status;
    j->err = *err;
}

static void proceed(struct training *j);
static void go(void *arg);

/* --- calls --- */

/* The service does not know the model or a result: a session that was lost, or a promise. Once, all is done again on a
 * model that is made for it, since nothing of what the lost one did can be had. */
static void begin_again(struct training *j)
{
    free(j->model);
    j->model = NULL;
    j->status = VT_OK;
    j->http_status = 0;
    j->phase = MAKING;
    j->has_steps = false;
    j->has_checked = true;
    j->n_open = 1;
    vt_tinker_check_session(j->t, &j->wait);
}

static void end_if_done(struct training *j)
{
    if (j->n_open > 0)
        return;
    if (j->status == VT_OK && j->job.is_halted)
        j->status = vt_fail(&j->err, VT_ECANCELLED, "the update of %s was cancelled", j->t->policy->spec);
    if ((j->http_status == 404 || j->http_status == 410) && !j->has_checked && !j->job.is_halted)
        begin_again(j);
    else if (j->status != VT_OK)
        vt_remote_end(&j->job, j->status, &j->err);
    else
        proceed(j);
}

static void halt(struct vt_remote_job *job)
{
    struct training *j = (struct training *)job;
    const bool was_waiting = j->wait.link != NULL;

    j->t->was_interrupted = true;
    vt_remote_stop_waiting(&j->wait);
    j->n_open += !was_waiting;
    vt_tinker_cancel_calls(&j->calls);
    j->n_open--;
    end_if_done(j);
}

/* Sends one call of the model; arg's done ends with one of the functions below. */
static void call(struct training *j, const char *endpoint, struct vt_buf *body, vt_tinker_done *done)
{
    struct vt_tinker_post p = {.endpoint = endpoint,
                               .is_promise = true,
                               .class = VT_TINKER_TRAINING,
                               .calls = &j->calls,
                               .done = done,
                               .arg = j};
    vt_err err;
    vt_status status = vt_buf_check(body, "a request", &err);

    if (status == VT_OK) {
        p.body = vt_buf_take(body, &p.len);
        status = vt_tinker_send(j->t, &p, NULL, &err);
    }
    vt_buf_free(body);
    if (status == VT_OK)
        j->n_open++;
    else
        keep_failure(j, status, &err);
}

/* What stands behind a call that failed in the model's order would wait for it for ever: it is given up with it. */
static void answered(struct training *j, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    const bool is_first = status != VT_OK && j->status == VT_OK;

    if (is_first && reply)
        j->http_status = reply->status;
    if (status != VT_OK)
        keep_failure(j, status, err);
    if (is_first)
        vt_tinker_cancel_calls(&j->calls);
    j->n_open--;
    end_if_done(j);
}

static void put_str(struct vt_buf *b, const char *before, const char *text)
{
    vt_buf_puts(b, before);
    vt_json_write_string(b, text, strlen(text));
}

/* --- a model in the state to start from --- */

static void on_loaded(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    answered(arg, status, reply, err);
}

static void load_state(struct training *j)
{
    struct vt_buf b;

    vt_buf_init(&b, 1 << 14);
    put_str(&b, "{\"model_id\":", j->model->id);
    vt_buf_printf(&b, ",\"seq_id\":%d", j->model->next_seq++);
    put_str(&b, ",\"path\":", j->from->checkpoint);
    vt_buf_puts(&b, ",\"optimizer\":true,\"type\":\"load_weights\"}");
    call(j, "load_weights", &b, on_loaded);
}

static void on_created(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *why)
{
    struct training *j = arg;
    const char *id = status == VT_OK ? vt_json_str(vt_json_get(reply->json, "model_id"), "") : "";
    vt_err err = why ? *why : (vt_err){0};

    if (status == VT_OK && (!id[0] || strlen(id) >= VT_TINKER_NAME))
        status = vt_fail(&err, VT_ENET, "the service of %.200s made a model without a name", j->t->policy->spec);
    if (status == VT_OK) {
        j->model = vt_alloc(sizeof *j->model);
        if (!j->model)
            status = vt_fail(&err, VT_ENOMEM, "out of memory for a model");
    }
    if (status == VT_OK) {
        snprintf(j->model->id, sizeof j->model->id, "%s", id);
        j->model->generation = j->t->generation;
        j->model->next_seq = 1;
        if (j->from->checkpoint[0])
            load_state(j);
    }
    answered(j, status, reply, &err);
}

static void create_model(struct training *j)
{
    struct vt_tinker *t = j->t;
    const struct vt_policy_opts *o = &t->policy->opts;
    struct vt_buf b;

    vt_buf_init(&b, 1 << 14);
    put_str(&b, "{\"session_id\":", t->session);
    vt_buf_printf(&b, ",\"model_seq_id\":%d", t->next_model++);
    put_str(&b, ",\"base_model\":", t->model);
    vt_buf_printf(&b,
                  ",\"lora_config\":{\"rank\":%d,\"seed\":%u,\"train_unembed\":%s,\"train_mlp\":%s,\"train_attn\":%s},"
                  "\"type\":\"create_model\"}",
                  o->rank, (unsigned)(o->init_seed & 0x7fffffff), o->targets & 128 ? "true" : "false",
                  !o->targets || o->targets & 112 ? "true" : "false",
                  !o->targets || o->targets & 15 ? "true" : "false");
    call(j, "create_model", &b, on_created);
}

/* --- the batch --- */

static void send_chunk(struct chunk *c);
static void send_steps(struct training *j);

/* The chunks that have not been sent, and behind the last of them the step. */
static void send_rest(struct training *j)
{
    for (size_t i = 0; i < j->n_chunks && j->status == VT_OK; i++)
        if (!j->chunks[i].is_sent)
            send_chunk(&j->chunks[i]);
    if (j->phase == TRAINING && !j->has_steps && j->status == VT_OK) {
        j->has_steps = true;
        send_steps(j);
    }
}

/* The first batch of a session tells the dialect. */
static void on_batch_accepted(void *arg)
{
    struct chunk *c = arg;
    struct training *j = c->j;

    if (j->t->wire == VT_TINKER_UNDECIDED)
        j->t->wire = c->was_refused ? VT_TINKER_JSON : VT_TINKER_PROTO;
    j->n_open++;
    send_rest(j);
    j->n_open--;
}

static void on_batch(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *why)
{
    struct chunk *c = arg;
    struct training *j = c->j;
    vt_err err = why ? *why : (vt_err){0};

    if (status != VT_OK && j->t->wire == VT_TINKER_UNDECIDED && !j->job.is_halted && !c->was_refused &&
        (reply->status == 415 || reply->status == 422 || reply->status == 500)) {
        c->was_refused = true;
        send_chunk(c);
        answered(j, VT_OK, NULL, NULL);
        return;
    }
    if (status != VT_OK && j->t->wire == VT_TINKER_UNDECIDED && c->was_refused && reply->status == 415) {
        c->was_refused = false; /* it reads protobuf after all, and had failed */
        j->t->wire = VT_TINKER_PROTO;
        send_chunk(c);
        send_rest(j);
        answered(j, VT_OK, NULL, NULL);
        return;
    }
    if (status == VT_OK)
        status = vt_tinker_read_batch(reply, &c->batch, &err);
    answered(j, status, reply, &err);
}

static void send_chunk(struct chunk *c)
{
    struct training *j = c->j;
    int64_t n_tokens = 0;
    const enum vt_tinker_wire wire = c->was_refused ? VT_TINKER_JSON : j->t->wire;
    struct vt_tinker_post p = {.endpoint =
                                   c->batch.forward_only && wire == VT_TINKER_JSON ? "forward" : "forward_backward",
                               .is_proto = wire != VT_TINKER_JSON,
                               .is_trial = wire == VT_TINKER_UNDECIDED,
                               .is_promise = true,
                               .class = VT_TINKER_TRAINING,
                               .calls = &j->calls,
                               .accepted = on_batch_accepted,
                               .done = on_batch,
                               .arg = c};
    vt_err err;

    for (size_t i = c->batch.first; i < c->batch.first + c->batch.n; i++)
        n_tokens += (int64_t)j->seqs[i].n_prompt + j->seqs[i].n_tokens;
    p.max_answer = vt_remote_answer_limit(n_tokens);
    vt_status status = vt_tinker_write_batch(wire, j->model->id, c->seq, &c->batch, &p.body, &p.len, &err);

    c->is_sent = true;
    if (status == VT_OK)
        status = vt_tinker_send(j->t, &p, NULL, &err);
    if (status != VT_OK) {
        keep_failure(j, status, &err);
        return;
    }
    j->n_open++;
}

/* Cuts the batch as the service wants it. */
static vt_status make_chunks(struct training *j, const struct vt_tinker_batch *whole, vt_err *err)
{
    size_t from = 0, bytes = 0;

    free(j->chunks);
    j->n_chunks = 0;
    j->chunks = vt_alloc_array(j->n, sizeof *j->chunks);
    if (!j->chunks)
        return vt_fail(err, VT_ENOMEM, "out of memory for a batch of %zu sequences", j->n);
    for (size_t i = 0; i <= j->n; i++) {
        const size_t more = i < j->n ? vt_tinker_batch_bytes(&j->seqs[i], whole->has_ratio) : 0;

        if (i > from && (i == j->n || i - from >= j->t->chunk_len || bytes + more > j->t->chunk_bytes)) {
            struct chunk *c = &j->chunks[j->n_chunks++];

            *c = (struct chunk){.j = j, .batch = *whole, .seq = j->model->next_seq++};
            c->batch.first = from;
            c->batch.n = i - from;
            from = i;
            bytes = 0;
        }
        bytes += more;
    }
    return VT_OK;
}

static void send_batch(struct training *j, const struct vt_tinker_batch *whole)
{
    vt_err err;
    const vt_status status = make_chunks(j, whole, &err);

    j->n_open++;
    if (status != VT_OK)
        keep_failure(j, status, &err);
    else if (j->t->wire == VT_TINKER_UNDECIDED)
        send_chunk(&j->chunks[0]); /* the others when it was accepted */
    else
        send_rest(j);
    answered(j, VT_OK, NULL, NULL);
}

/* --- the step and the saves --- */

/* Metrics are NAME:REDUCTION, the name the server's own. */
static double find_grad_norm(const vt_json *metrics)
{
    for (const vt_json *m = vt_json_first(metrics); m; m = vt_json_next(m))
        if (strstr(vt_json_key(m), "grad_norm"))
            return vt_json_num(m, (double)NAN);
    return (double)NAN;
}

static void on_stepped(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *err)
{
    struct training *j = arg;

    if (status == VT_OK)
        j->grad_norm = find_grad_norm(vt_json_get(reply->json, "metrics"));
    answered(j, status, reply, err);
}

static vt_status take_path(const struct vt_tinker_reply *reply, char out[VT_TINKER_NAME], vt_err *err)
{
    const char *path = vt_json_str(vt_json_get(reply->json, "path"), "");

    if (!path[0] || strlen(path) >= VT_TINKER_NAME)
        return vt_fail(err, VT_ENET, "the service saved weights and named no path of them");
    snprintf(out, VT_TINKER_NAME, "%s", path);
    return VT_OK;
}

static void on_saved(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *why)
{
    struct training *j = arg;
    vt_err err = why ? *why : (vt_err){0};

    if (status == VT_OK)
        status = take_path(reply, j->checkpoint, &err);
    answered(j, status, reply, &err);
}

static void on_published(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *why)
{
    struct training *j = arg;
    vt_err err = why ? *why : (vt_err){0};

    if (status == VT_OK)
        status = take_path(reply, j->sampler, &err);
    answered(j, status, reply, &err);
}

static void send_step(struct training *j)
{
    const struct vt_update_opts *o = &j->job.request->opts;
    struct vt_buf b;

    vt_buf_init(&b, 1 << 14);
    vt_tinker_put_number(&b, "{\"adam_params\":{\"learning_rate\":", o->lr);
    vt_tinker_put_number(&b, ",\"beta1\":", o->beta1);
    vt_tinker_put_number(&b, ",\"beta2\":", o->beta2);
    vt_tinker_put_number(&b, ",\"eps\":", o->eps);
    vt_tinker_put_number(&b, ",\"weight_decay\":", o->weight_decay);
    vt_tinker_put_number(&b, ",\"grad_clip_norm\":", o->grad_clip);
    put_str(&b, "},\"model_id\":", j->model->id);
    vt_buf_printf(&b, ",\"seq_id\":%d,\"type\":\"optim_step\"}", j->model->next_seq++);
    call(j, "optim_step", &b, on_stepped);
}

static void send_save(struct training *j, const char *endpoint, vt_tinker_done *done)
{
    struct vt_buf b;

    vt_buf_init(&b, 1 << 14);
    put_str(&b, "{\"model_id\":", j->model->id);
    vt_buf_printf(&b, ",\"seq_id\":%d", j->model->next_seq++);
    put_str(&b, ",\"path\":", j->name);
    vt_buf_printf(&b, ",\"ttl_seconds\":%d,\"type\":\"%s\"}", j->t->ttl_s, endpoint);
    call(j, endpoint, &b, done);
}

/* Behind the last chunk, in the model's order; the service works them off one after another. */
static void send_steps(struct training *j)
{
    send_step(j);
    if (j->status == VT_OK)
        send_save(j, "save_weights", on_saved);
    if (j->status == VT_OK)
        send_save(j, "save_weights_for_sampler", on_published);
}

/* --- phases --- */

static void start_forward(struct training *j)
{
    const struct vt_tinker_batch whole = {.seqs = j->seqs, .loss = "cross_entropy", .forward_only = true};

    j->phase = FORWARDING;
    send_batch(j, &whole);
}

/* A built-in loss by its name at the service; false: it has none, and the loss is computed here. */
static bool name_loss(struct training *j, const struct vt_update_request *u, struct vt_tinker_batch *out)
{
    static const char *const names[] = {"cross_entropy", "importance_sampling", "ppo", "cispo", "dro", "ppo", NULL};
    const bool clips = u->loss == VT_LOSS_PPO || u->loss == VT_LOSS_CISPO || u->loss == VT_LOSS_CLIP_HIGHER;

    out->loss = names[u->loss];
    if (!out->loss)
        return false;
    out->has_ratio = u->loss != VT_LOSS_CROSS_ENTROPY;
    out->config_names = j->config_names;
    out->config = j->config;
    if (clips) {
        j->config_names[0] = "clip_low_threshold";
        j->config_names[1] = "clip_high_threshold";
        j->config[0] = u->loss_opts.clip_lo;
        j->config[1] = u->loss_opts.clip_hi;
        out->n_config = 2;
    } else if (u->loss == VT_LOSS_DRO) {
        j->config_names[0] = "beta";
        j->config[0] = u->loss_opts.beta;
        out->n_config = 1;
    }
    return true;
}

static void start_training(struct training *j)
{
    struct vt_update_request *u = j->job.request->update;
    struct vt_tinker_batch whole = {.seqs = j->seqs};

    j->phase = TRAINING;
    if (!u || j->needs_forward || !name_loss(j, u, &whole)) {
        for (size_t i = 0; i < j->n; i++)
            j->weights[i] = j->seqs[i].w;
        whole.loss = "cross_entropy";
        whole.weights = j->weights;
    } else if (u->loss == VT_LOSS_CROSS_ENTROPY) {
        for (size_t i = 0; i < j->n; i++)
            j->weights[i] = j->seqs[i].advantage;
        whole.weights = j->weights;
    }
    send_batch(j, &whole);
}

/* What the loss makes of the log-probabilities: the request fills it in whoever computed the loss. */
static void fill_weights(struct training *j)
{
    const struct vt_update_request *u = j->job.request->update;

    for (size_t i = 0; u && i < j->n; i++) {
        struct vt_train_seq *q = &j->seqs[i];

        vt_loss_weights(u->loss, &u->loss_opts, q->logp, q->logq, q->advantage, q->n_tokens, q->w);
    }
}

static void end_forward(struct training *j)
{
    struct vt_tinker_held *held = j->job.request->forward->state;

    pthread_mutex_lock(&j->t->remote.mutex);
    held->model = j->model;
    pthread_mutex_unlock(&j->t->remote.mutex);
    j->model = NULL;
    vt_remote_end(&j->job, VT_OK, NULL);
}

static void end_training(struct training *j)
{
    vt_request *r = j->job.request;
    const vt_weights *from = r->weights;
    char id[65], *trained_on = NULL;
    vt_err err;
    vt_status status;

    vt_identity_next(from->id, &r->opts, j->checkpoint, id);
    status = vt_identity_merge_trained_on(from->trained_on, r->opts.trained_on, &trained_on, &err);
    if (status == VT_OK)
        status = vt_tinker_weights_new(r->policy, id, from->step + 1, trained_on, j->checkpoint, j->sampler, j->model,
                                       r->out, &err);
    free(trained_on);
    if (status == VT_OK) {
        j->model = NULL;
        fill_weights(j);
        r->report->grad_norm = j->grad_norm;
        r->report->agreement = (double)NAN;
        for (size_t i = 0; i < j->n; i++)
            r->report->n_tokens += (uint64_t)(j->seqs[i].n_prompt + j->seqs[i].n_tokens);
        r->report->n_tokens_computed = r->report->n_tokens;
    }
    vt_remote_end(&j->job, status, &err);
}

static void end_branch(struct training *j)
{
    vt_request *r = j->job.request;
    const vt_weights *w = r->weights;
    vt_err err;
    const vt_status status = vt_tinker_weights_new(r->policy, w->id, w->step, w->trained_on, j->from->checkpoint,
                                                   j->from->sampler_path, j->model, r->out, &err);

    if (status == VT_OK)
        j->model = NULL;
    vt_remote_end(&j->job, status, &err);
}

/* A phase is over, and well. */
static void proceed(struct training *j)
{
    if (j->phase == MAKING && j->job.request->kind == VT_REQUEST_BRANCH) {
        end_branch(j);
    } else if (j->phase == MAKING && j->needs_forward) {
        start_forward(j);
    } else if (j->phase == FORWARDING && !j->needs_step) {
        end_forward(j);
    } else if (j->phase == TRAINING) {
        end_training(j);
    } else {
        if (j->phase == FORWARDING)
            fill_weights(j);
        start_training(j);
    }
}

static void go(void *arg)
{
    struct training *j = arg;

    if (j->has_checked && !j->t->session[0] && !j->t->opening)
        keep_failure(j, j->t->why_no_session.code, &j->t->why_no_session);
    if (j->status == VT_OK && !j->job.is_halted && !j->model) {
        if (!vt_tinker_need_session(j->t, &j->wait)) {
            j->has_checked = true;
            return;
        }
        if (j->job.request->kind != VT_REQUEST_BRANCH)
            j->model = vt_tinker_take_model(j->t, j->from);
        if (!j->model)
            create_model(j);
    }
    answered(j, VT_OK, NULL, NULL);
}

static void begin(struct vt_remote_job *job)
{
    struct training *j = (struct training *)job;

    j->n_open = 1;
    go(j);
}

static vt_status start(vt_policy *p, vt_request *r, struct vt_train_seq *seqs, size_t n, bool needs_forward,
                       bool needs_step, struct vt_tinker_model *model, vt_err *err)
{
    struct training *j = vt_alloc(sizeof *j);

    if (j)
        j->weights = vt_alloc_array(n + 1, sizeof *j->weights);
    if (!j || !j->weights) {
        free(j);
        return vt_fail(err, VT_ENOMEM, "out of memory for an update over %zu sequences", n);
    }
    for (size_t i = 0; i < n; i++)
        if (seqs[i].n_prompt + seqs[i].n_tokens < 2) {
            free_job(&j->job);
            return vt_fail(err, VT_EINVAL, "sequence %zu of the batch has one token: there is nothing to predict",
                           i + 1);
        }
    j->job.begin = begin;
    j->job.halt = halt;
    j->job.free = free_job;
    j->t = vt_tinker_of(p);
    j->from = r->weights->state;
    j->wait = (struct vt_remote_wait){.fn = go, .arg = j};
    j->seqs = seqs;
    j->n = n;
    j->needs_forward = needs_forward;
    j->needs_step = needs_step;
    j->model = model;
    snprintf(j->name, sizeof j->name, "vegttt-%d-%016llx", r->weights->step + 1,
             (unsigned long long)vt_tinker_random());
    vt_remote_start(&j->t->remote, r, &j->job);
    return VT_OK;
}

vt_status vt_tinker_update(vt_policy *p, vt_request *r, vt_err *err)
{
    struct vt_update_request *u = r->update;

    return start(p, r, u->seqs, u->n, u->loss == VT_LOSS_GSPO, true, NULL, err);
}

vt_status vt_tinker_forward(vt_policy *p, vt_request *r, vt_err *err)
{
    struct vt_tinker_held *held = vt_alloc(sizeof *held);
    vt_status status;

    if (!held)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update");
    held->from = r->weights->state;
    r->forward->state = held;
    status = start(p, r, r->forward->seqs, r->forward->n, true, false, NULL, err);
    if (status != VT_OK) {
        r->forward->state = NULL;
        free(held);
    }
    return status;
}

vt_status vt_tinker_step(vt_policy *p, vt_request *r, vt_err *err)
{
    struct vt_tinker *t = vt_tinker_of(p);
    struct vt_tinker_held *held = r->forward->state;
    struct vt_tinker_model *model;
    vt_status status;

    pthread_mutex_lock(&t->remote.mutex);
    model = held->model;
    held->model = NULL;
    pthread_mutex_unlock(&t->remote.mutex);
    status = start(p, r, r->forward->seqs, r->forward->n, false, true, model, err);
    if (status != VT_OK) {
        pthread_mutex_lock(&t->remote.mutex);
        held->model = model;
        pthread_mutex_unlock(&t->remote.mutex);
    }
    return status;
}

vt_status vt_tinker_branch(vt_policy *p, vt_request *r, vt_err *err)
{
    return start(p, r, NULL, 0, false, false, NULL, err);
}
