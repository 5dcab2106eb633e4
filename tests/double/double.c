/* SPDX-License-Identifier: Apache-2.0
 *
 * double.c: the client's side of the double: policy operations as messages to double_server.
 *
 * Weights are a checkpoint's name, and perhaps a sampler's once somebody wanted to sample, and perhaps a model's while
 * that model stands in just this state. An update takes the model with it; from weights whose model has gone, it asks
 * for another one in the checkpoint's state. A request is an errand: one message after another, each sent when the last
 * was answered, until there is nothing more to ask. The id of new weights is known with the last answer.
 */
#include "double.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/sha256.h"
#include "double_server.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDECAR "double.json"
enum { MAX_TAG = 128 };

struct client {
    struct double_server *server;
    bool is_text;
    pthread_mutex_t mutex; /* guards the names in weights, and which errand a request has */
};

/* vt_weights.state; "" = none yet */
struct remote {
    char checkpoint[DOUBLE_NAME], sampler[DOUBLE_NAME], model[DOUBLE_NAME];
};

/* vt_forward.state: the model that its step trains */
struct held {
    char model[DOUBLE_NAME];
};

struct errand {
    vt_request *r;
    struct double_call call;
    /* The next message, or the end: called on the server's thread with the answer, and once at the start with none. */
    void (*go_on)(struct errand *e, const struct double_call *answer);
};

static pthread_mutex_t counts_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct double_counts counts;

struct double_counts double_counts(void)
{
    struct double_counts now;

    pthread_mutex_lock(&counts_mutex);
    now = counts;
    pthread_mutex_unlock(&counts_mutex);
    return now;
}

void double_counts_reset(void)
{
    pthread_mutex_lock(&counts_mutex);
    counts = (struct double_counts){0};
    pthread_mutex_unlock(&counts_mutex);
}

static void count(int *what, int by)
{
    pthread_mutex_lock(&counts_mutex);
    *what += by;
    if (counts.n_running > counts.most_running)
        counts.most_running = counts.n_running;
    pthread_mutex_unlock(&counts_mutex);
}

/* --- errands --- */

static struct client *client_of(const struct errand *e)
{
    return e->r->policy->state;
}

static void finish(struct errand *e, vt_status status, const vt_err *err)
{
    struct client *c = client_of(e);
    vt_request *r = e->r;
    const vt_err why = err ? *err : (vt_err){0};

    pthread_mutex_lock(&c->mutex);
    r->state = NULL;
    pthread_mutex_unlock(&c->mutex);
    free(e);
    count(&counts.n_running, -1);
    vt_request_finish(r, status, &why);
}

static void answered(struct double_call *call)
{
    struct errand *e = call->user;

    e->go_on(e, call);
}

/* A cancelled errand's call keeps the mark, so its next message is answered at once. */
static void send(struct errand *e, enum double_kind kind)
{
    e->call.kind = kind;
    e->call.status = VT_OK;
    e->call.answer = answered;
    e->call.user = e;
    double_server_send(client_of(e)->server, &e->call); /* which may be answered, and e gone, before this returns */
}

static vt_status begin(vt_request *r, void (*go_on)(struct errand *e, const struct double_call *answer), vt_err *err)
{
    struct client *c = r->policy->state;
    struct errand *e = vt_alloc(sizeof *e);

    if (!e)
        return vt_fail(err, VT_ENOMEM, "out of memory for a message");
    e->r = r;
    e->go_on = go_on;
    count(&counts.n_running, 1);
    pthread_mutex_lock(&c->mutex);
    r->state = e;
    pthread_mutex_unlock(&c->mutex);
    go_on(e, NULL);
    return VT_OK;
}

static void double_cancel(vt_policy *p, vt_request *r)
{
    struct client *c = p->state;
    struct errand *e;

    pthread_mutex_lock(&c->mutex);
    e = r->state;
    if (e)
        double_server_cancel(c->server, &e->call);
    pthread_mutex_unlock(&c->mutex);
}

/* --- weights --- */

static struct remote *remote_of(const vt_weights *w)
{
    return w->state;
}

static vt_status new_weights(vt_policy *p, const char *id, int step, const char *trained_on, const char *checkpoint,
                             const char *model, vt_weights **out, vt_err *err)
{
    struct remote *state = vt_alloc(sizeof *state);
    vt_status status;

    if (!state)
        return vt_fail(err, VT_ENOMEM, "out of memory for weights");
    snprintf(state->checkpoint, sizeof state->checkpoint, "%s", checkpoint);
    snprintf(state->model, sizeof state->model, "%s", model);
    status = vt_weights_new(p, id, step, trained_on, state, out, err);
    if (status != VT_OK)
        free(state);
    return status;
}

static void free_state(vt_policy *p, void *state)
{
    (void)p;
    free(state);
}

/* Takes the model that stands in the state of w, so that nobody else moves it; "" when there is none. */
static void take_model(struct client *c, vt_weights *w, char out[DOUBLE_NAME])
{
    pthread_mutex_lock(&c->mutex);
    memcpy(out, remote_of(w)->model, DOUBLE_NAME);
    remote_of(w)->model[0] = '\0';
    pthread_mutex_unlock(&c->mutex);
}

static void ask_for_model(struct errand *e)
{
    memcpy(e->call.checkpoint, remote_of(e->r->weights)->checkpoint, DOUBLE_NAME);
    count(&counts.n_models, 1);
    send(e, DOUBLE_CREATE);
}

/* --- sampling and scoring --- */

/* True when the weights are published and e->call.sampler says where; else a message is on its way, or e is over. */
static bool need_sampler(struct errand *e, const struct double_call *answer)
{
    struct client *c = client_of(e);
    struct remote *w = remote_of(e->r->weights);

    if (answer && answer->status != VT_OK) {
        finish(e, answer->status, &answer->err);
        return false;
    }
    pthread_mutex_lock(&c->mutex);
    if (answer)
        memcpy(w->sampler, answer->sampler, sizeof w->sampler);
    memcpy(e->call.sampler, w->sampler, sizeof w->sampler);
    pthread_mutex_unlock(&c->mutex);
    if (e->call.sampler[0])
        return true;
    memcpy(e->call.checkpoint, w->checkpoint, DOUBLE_NAME);
    count(&counts.n_published, 1);
    send(e, DOUBLE_PUBLISH);
    return false;
}

static void end_sample(struct errand *e, const struct double_call *answer)
{
    const struct vt_sample_request *r = e->r->sample;

    for (int i = 0; i < r->n; i++) {
        if (answer->status != VT_OK)
            vt_sample_clear(&r->out[i]);
        if (!client_of(e)->is_text)
            continue;
        free(r->out[i].tokens);
        r->out[i].tokens = NULL;
    }
    finish(e, answer->status, &answer->err);
}

static void sample(struct errand *e, const struct double_call *answer)
{
    if (!need_sampler(e, answer))
        return;
    count(&counts.n_sampled, e->r->sample->n);
    e->call.sample = e->r->sample;
    e->go_on = end_sample;
    send(e, DOUBLE_SAMPLE);
}

static vt_status double_sample(vt_policy *p, vt_request *r, vt_err *err)
{
    (void)p;
    return begin(r, sample, err);
}

static void end_score(struct errand *e, const struct double_call *answer)
{
    finish(e, answer->status, &answer->err);
}

static void score(struct errand *e, const struct double_call *answer)
{
    if (!need_sampler(e, answer))
        return;
    e->call.score = e->r->score;
    e->go_on = end_score;
    send(e, DOUBLE_SCORE);
}

static vt_status double_score(vt_policy *p, vt_request *r, vt_err *err)
{
    (void)p;
    return begin(r, score, err);
}

/* --- updates --- */

/* The last answer names the new state, and with it the new weights. */
static void end_training(struct errand *e, const struct double_call *answer)
{
    const vt_weights *from = e->r->weights;
    char id[65], *trained_on = NULL;
    vt_err err = answer->err;
    vt_status status = answer->status;

    if (status == VT_OK) {
        vt_identity_next(from->id, &e->r->opts, answer->checkpoint, id);
        status = vt_identity_merge_trained_on(from->trained_on, e->r->opts.trained_on, &trained_on, &err);
    }
    if (status == VT_OK)
        status = new_weights(e->r->policy, id, from->step + 1, trained_on, answer->checkpoint, answer->model, e->r->out,
                             &err);
    if (status == VT_OK) {
        *e->r->report = answer->report;
        e->r->report->agreement = (double)NAN;
    }
    free(trained_on);
    finish(e, status, &err);
}

static void train(struct errand *e, struct vt_train_seq *seqs, size_t n)
{
    e->call.seqs = seqs;
    e->call.n = n;
    e->call.opts = e->r->opts;
    e->go_on = end_training;
    count(&counts.n_trained, 1);
    send(e, DOUBLE_TRAIN);
}

static void update(struct errand *e, const struct double_call *answer)
{
    const struct vt_update_request *u = e->r->update;

    if (answer && answer->status != VT_OK) {
        finish(e, answer->status, &answer->err);
        return;
    }
    if (!answer)
        take_model(client_of(e), e->r->weights, e->call.model);
    if (!e->call.model[0]) {
        ask_for_model(e);
        return;
    }
    e->call.has_loss = true;
    e->call.loss = u->loss;
    e->call.loss_opts = u->loss_opts;
    train(e, u->seqs, u->n);
}

static vt_status double_update(vt_policy *p, vt_request *r, vt_err *err)
{
    (void)p;
    return begin(r, update, err);
}

static void end_forward(struct errand *e, const struct double_call *answer)
{
    finish(e, answer->status, &answer->err);
}

static void forward(struct errand *e, const struct double_call *answer)
{
    struct held *held = e->r->forward->state;

    if (answer && answer->status != VT_OK) {
        finish(e, answer->status, &answer->err);
        return;
    }
    if (!answer)
        take_model(client_of(e), e->r->weights, e->call.model);
    if (!e->call.model[0]) {
        ask_for_model(e);
        return;
    }
    memcpy(held->model, e->call.model, sizeof held->model);
    e->call.seqs = e->r->forward->seqs;
    e->call.n = e->r->forward->n;
    e->go_on = end_forward;
    count(&counts.n_forwards, 1);
    send(e, DOUBLE_FORWARD);
}

static vt_status double_forward(vt_policy *p, vt_request *r, vt_err *err)
{
    vt_status status;

    (void)p;
    r->forward->state = vt_alloc(sizeof(struct held));
    if (!r->forward->state)
        return vt_fail(err, VT_ENOMEM, "out of memory for an update");
    status = begin(r, forward, err);
    if (status != VT_OK) {
        free(r->forward->state);
        r->forward->state = NULL;
    }
    return status;
}

static void step(struct errand *e, const struct double_call *answer)
{
    const struct held *held = e->r->forward->state;

    (void)answer;
    memcpy(e->call.model, held->model, sizeof held->model);
    train(e, e->r->forward->seqs, e->r->forward->n);
}

static vt_status double_step(vt_policy *p, vt_request *r, vt_err *err)
{
    (void)p;
    return begin(r, step, err);
}

static void branch(struct errand *e, const struct double_call *answer)
{
    const vt_weights *w = e->r->weights;
    vt_err err;
    vt_status status;

    if (!answer) {
        ask_for_model(e);
        return;
    }
    err = answer->err;
    status = answer->status;
    if (status == VT_OK)
        status = new_weights(e->r->policy, w->id, w->step, w->trained_on, remote_of(w)->checkpoint, answer->model,
                             e->r->out, &err);
    finish(e, status, &err);
}

static vt_status double_branch(vt_policy *p, vt_request *r, vt_err *err)
{
    (void)p;
    return begin(r, branch, err);
}

/* --- snapshots: a sidecar that names the checkpoint --- */

static vt_status write_sidecar(const vt_weights *w, const char *dir, vt_err *err)
{
    vt_json *j = vt_json_object();
    char *path = vt_path_join(dir, SIDECAR);
    struct vt_buf text;
    vt_status status;

    vt_buf_init(&text, 1 << 20);
    vt_json_put_str(j, "checkpoint", remote_of(w)->checkpoint);
    vt_json_put_str(j, "id", w->id);
    vt_json_put_int(j, "step", w->step);
    vt_json_put_str(j, "trained_on", w->trained_on);
    status = vt_json_write(j, true, &text, err);
    if (status == VT_OK)
        status = path ? vt_fs_write_atomic(path, text.p, text.len, err) : vt_fail(err, VT_ENOMEM, "out of memory");
    vt_json_free(j);
    vt_buf_free(&text);
    free(path);
    return status;
}

static vt_status read_sidecar(const char *dir, vt_json **out, struct vt_snapshot *info, const char **checkpoint,
                              vt_err *err)
{
    char *path = vt_path_join(dir, SIDECAR);
    const char *id;
    struct vt_buf text = {0};
    vt_status status = path ? vt_fs_read(path, 1 << 20, &text, err) : vt_fail(err, VT_ENOMEM, "out of memory");

    *out = NULL;
    if (status == VT_OK)
        status = vt_json_parse(text.p, text.len, path, out, err);
    if (status == VT_OK)
        status = vt_json_need_str(*out, "id", path, &id, err);
    if (status == VT_OK)
        status = vt_json_need_str(*out, "checkpoint", path, checkpoint, err);
    if (status == VT_OK) {
        *info = (struct vt_snapshot){.step = (int)vt_json_int(vt_json_get(*out, "step"), 0), .is_trainable = true};
        snprintf(info->id, sizeof info->id, "%s", id);
    }
    vt_buf_free(&text);
    free(path);
    return status;
}

static vt_status double_read_snapshot(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err)
{
    const char *checkpoint;
    vt_json *j;
    vt_status status = read_sidecar(dir, &j, out, &checkpoint, err);

    (void)p;
    vt_json_free(j);
    return status;
}

/* The server's word that it keeps the checkpoint comes first: a snapshot is a name. */
static void save(struct errand *e, const struct double_call *answer)
{
    vt_err err;
    vt_status status;

    if (!answer) {
        memcpy(e->call.checkpoint, remote_of(e->r->weights)->checkpoint, DOUBLE_NAME);
        send(e, DOUBLE_LOOK_UP);
        return;
    }
    err = answer->err;
    status = answer->status;
    if (status == VT_OK)
        status = vt_fs_mkdir_p(e->r->dir, &err);
    if (status == VT_OK)
        status = write_sidecar(e->r->weights, e->r->dir, &err);
    finish(e, status, &err);
}

static vt_status double_save(vt_policy *p, vt_request *r, vt_err *err)
{
    (void)p;
    if (!remote_of(r->weights)->checkpoint[0])
        return vt_fail(err, VT_EINVAL, "cannot save the base model's weights to %s: the server keeps no checkpoint",
                       r->dir);
    return begin(r, save, err);
}

static void load(struct errand *e, const struct double_call *answer)
{
    struct vt_snapshot info;
    const char *checkpoint;
    vt_json *j;
    vt_err err;
    vt_status status = read_sidecar(e->r->dir, &j, &info, &checkpoint, &err);

    if (status == VT_OK && !answer) {
        snprintf(e->call.checkpoint, sizeof e->call.checkpoint, "%s", checkpoint);
        vt_json_free(j);
        send(e, DOUBLE_LOOK_UP);
        return;
    }
    if (status == VT_OK && answer->status != VT_OK) {
        err = answer->err;
        status = err.code;
    }
    if (status == VT_OK)
        status = new_weights(e->r->policy, info.id, info.step, vt_json_str(vt_json_get(j, "trained_on"), NULL),
                             checkpoint, "", e->r->out, &err);
    vt_json_free(j);
    finish(e, status, &err);
}

static vt_status double_load(vt_policy *p, vt_request *r, vt_err *err)
{
    (void)p;
    return begin(r, load, err);
}

/* --- text: the tokenizer is on this side --- */

static vt_policy *native_of(const vt_policy *p)
{
    return double_server_policy(((const struct client *)p->state)->server);
}

static vt_status double_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                               vt_err *err)
{
    return vt_policy_encode(native_of(p), text, len, special, ids, n, err);
}

static vt_status double_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len, vt_err *err)
{
    return vt_policy_decode(native_of(p), ids, n, text, len, err);
}

static vt_status double_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                               bool generation_prompt, const char *reasoning, char **text, vt_err *err)
{
    return vt_policy_render(native_of(p), roles, contents, n, generation_prompt, reasoning, text, err);
}

/* --- opening --- */

struct options {
    int delay_ms, max_requests;
    bool is_text, is_plain, is_whole;
    const char *model;
};

static vt_status parse(const char *spec, struct options *out, vt_err *err)
{
    const char *at = spec + strlen("double:"), *end = strchr(at, '@');
    char words[MAX_TAG];

    *out = (struct options){.delay_ms = 3, .max_requests = 4, .model = end ? end + 1 : at};
    if (!end)
        return VT_OK;
    snprintf(words, sizeof words, "%.*s", (int)(end - at), at);
    for (char *word = words, *next; word; word = next) {
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        if (strncmp(word, "delay=", 6) == 0)
            out->delay_ms = (int)strtol(word + 6, NULL, 10);
        else if (strncmp(word, "requests=", 9) == 0)
            out->max_requests = (int)strtol(word + 9, NULL, 10);
        else if (strcmp(word, "text") == 0)
            out->is_text = true;
        else if (strcmp(word, "plain") == 0)
            out->is_plain = true;
        else if (strcmp(word, "whole") == 0)
            out->is_whole = true;
        else
            return vt_fail(err, VT_EINVAL, "the double knows no option \"%s\"", word);
    }
    return VT_OK;
}

static vt_status double_check(const char *spec, vt_err *err)
{
    struct options o;

    VT_TRY(parse(spec, &o, err));
    return vt_policy_check_spec(o.model, err);
}

static vt_status open_weights(vt_policy *p, const char *model, vt_err *err)
{
    struct vt_sha256 h;
    char id[65];

    vt_sha256_init(&h);
    vt_hash_str(&h, "backend", "double");
    vt_hash_str(&h, "model", model);
    vt_hash_u64(&h, "rank", (uint64_t)p->opts.rank);
    vt_hash_u64(&h, "init_seed", p->opts.init_seed);
    vt_sha256_hex(&h, id);
    VT_TRY(new_weights(p, id, 0, NULL, "", "", &p->base, err));
    p->start = vt_weights_ref(p->base);
    return VT_OK;
}

static vt_status double_open(vt_policy *p, vt_request *r, vt_err *err)
{
    struct client *c = vt_alloc(sizeof *c);
    struct options o;
    vt_status status;

    (void)r;
    if (!c)
        return vt_fail(err, VT_ENOMEM, "out of memory for a client");
    pthread_mutex_init(&c->mutex, NULL);
    p->state = c;
    VT_TRY(parse(p->spec, &o, err));
    c->is_text = o.is_text;
    VT_TRY(double_server_open(o.model, &p->opts, o.delay_ms, &c->server, err));
    p->caps = *vt_policy_caps(double_server_policy(c->server));
    p->caps.score = p->caps.update = p->caps.tokens = !o.is_text;
    p->caps.forward = !o.is_text && !o.is_whole;
    p->caps.agreement = p->caps.ids_ahead = false;
    p->caps.top_p = p->caps.top_k = p->caps.min_p = p->caps.bans = !o.is_plain;
    p->caps.durable_snapshots = p->caps.branch_makes_model = true;
    p->caps.seeds = VT_SEEDS_NONE;
    p->caps.max_requests = o.max_requests;
    p->caps.price.prompt = 0.5;
    p->caps.price.sampled = 1.5;
    p->caps.price.trained = 2;
    status = open_weights(p, o.model, err);
    if (status == VT_OK)
        status = vt_model_record(o.model, NULL, &p->record, err);
    return status;
}

static void double_close(vt_policy *p)
{
    struct client *c = p->state;

    if (!c)
        return;
    double_server_close(c->server);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

const struct vt_policy_backend double_backend = {
    .scheme = "double",
    .check = double_check,
    .open = double_open,
    .close = double_close,
    .encode = double_encode,
    .decode = double_decode,
    .render = double_render,
    .sample = double_sample,
    .score = double_score,
    .forward = double_forward,
    .step = double_step,
    .update = double_update,
    .branch = double_branch,
    .save = double_save,
    .load = double_load,
    .cancel = double_cancel,
    .read_snapshot = double_read_snapshot,
    .free_weights = free_state,
    .free_forward = free_state,
};
