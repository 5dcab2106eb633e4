/* SPDX-License-Identifier: Apache-2.0
 *
 * double_server.c: the service's thread: it takes the message whose delay is over first, does what it says through the
 * native policy, waiting for it, and answers. Messages overtake each other, as on a network.
 *
 * Checkpoints lie in $VEGTTT_DOUBLE_DIR, or in the cache. Their names come from the system's randomness, so no two
 * processes make the same and nobody can know one ahead.
 */
#include "double_server.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mail.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* A model or a sampler. */
struct state {
    struct state *next;
    char name[DOUBLE_NAME];
    vt_weights *weights;
};

struct double_server {
    vt_policy *native;
    char *folder;
    int delay_ms;
    pthread_t thread;
    struct state *models, *samplers; /* the thread's */

    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct double_call *queue, *current;
    vt_request *ticket; /* of the native request that current waits for */
    bool is_closing;
};

static uint64_t randomness(void)
{
    uint64_t v = 0;

    (void)!getrandom(&v, sizeof v, 0);
    return v;
}

static void make_name(const char *kind, char out[DOUBLE_NAME])
{
    snprintf(out, DOUBLE_NAME, "%s-%016llx", kind, (unsigned long long)randomness());
}

/* --- waiting for the native policy --- */

/* mail was given to a request whose ticket this is. */
static vt_status wait_native(struct double_server *s, struct vt_mail *mail, vt_request *ticket, vt_err *err)
{
    bool is_cancelled;
    vt_status status;

    pthread_mutex_lock(&s->mutex);
    s->ticket = ticket;
    is_cancelled = s->current->is_cancelled;
    pthread_mutex_unlock(&s->mutex);
    if (is_cancelled)
        vt_request_cancel(ticket);
    status = vt_mail_wait(mail, err);
    pthread_mutex_lock(&s->mutex);
    s->ticket = NULL;
    pthread_mutex_unlock(&s->mutex);
    vt_request_release(ticket);
    return status;
}

static char *path_of(const struct double_server *s, const char *checkpoint)
{
    return vt_path_join(s->folder, checkpoint);
}

/* The state of a checkpoint; "" is the untrained one. */
static vt_status load(struct double_server *s, const char *checkpoint, vt_weights **out, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    vt_request *ticket;
    char *path;
    vt_status status;

    if (!checkpoint[0]) {
        *out = vt_policy_start(s->native);
        return VT_OK;
    }
    path = path_of(s, checkpoint);
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory for a path");
    status = vt_weights_load(s->native, path, out, vt_mail_deliver, &mail, &ticket, err);
    if (status == VT_OK)
        status = wait_native(s, &mail, ticket, err);
    free(path);
    return status;
}

static vt_status save(struct double_server *s, vt_weights *w, const char *checkpoint, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    vt_request *ticket;
    char *path = path_of(s, checkpoint);
    vt_status status = VT_ENOMEM;

    if (!path)
        return vt_fail(err, status, "out of memory for a path");
    status = vt_weights_save(w, path, VT_SNAPSHOT_TRAINING, vt_mail_deliver, &mail, &ticket, err);
    if (status == VT_OK)
        status = wait_native(s, &mail, ticket, err);
    free(path);
    return status;
}

/* --- what the messages ask for --- */

static struct state *find(struct state *list, const char *name)
{
    for (; list; list = list->next)
        if (strcmp(list->name, name) == 0)
            return list;
    return NULL;
}

/* A new entry in the state of a checkpoint; its name is written to out. */
static vt_status add(struct double_server *s, struct state **list, const char *kind, const char *checkpoint, char *out,
                     vt_err *err)
{
    struct state *made = vt_alloc(sizeof *made);
    vt_status status =
        made ? load(s, checkpoint, &made->weights, err) : vt_fail(err, VT_ENOMEM, "out of memory for a %s", kind);

    if (status != VT_OK) {
        free(made);
        return status;
    }
    make_name(kind, made->name);
    memcpy(out, made->name, sizeof made->name);
    made->next = *list;
    *list = made;
    return VT_OK;
}

static vt_status do_forward(struct double_server *s, struct double_call *c, vt_err *err)
{
    const struct state *m = find(s->models, c->model);
    struct vt_mail mail = VT_MAIL;
    vt_request *ticket;
    vt_forward *f = NULL;
    vt_status status;

    if (!m)
        return vt_fail(err, VT_ENOENT, "there is no model %s", c->model);
    status = vt_policy_forward(s->native, m->weights, c->seqs, c->n, false, &f, vt_mail_deliver, &mail, &ticket, err);
    if (status == VT_OK)
        status = wait_native(s, &mail, ticket, err);
    vt_forward_forget(f);
    return status;
}

static vt_status train_by_loss(struct double_server *s, const struct state *m, struct double_call *c, vt_weights **made,
                               vt_err *err)
{
    struct vt_update_request u = {
        .from = m->weights, .seqs = c->seqs, .n = c->n, .loss = c->loss, .loss_opts = c->loss_opts, .opts = c->opts};
    struct vt_mail mail = VT_MAIL;
    vt_request *ticket;

    VT_TRY(vt_policy_update(s->native, &u, vt_mail_deliver, &mail, &ticket, err));
    VT_TRY(wait_native(s, &mail, ticket, err));
    *made = u.made;
    c->report = u.report;
    return VT_OK;
}

/* The caller's own weights: its forward is computed again, since no tape was kept for it. */
static vt_status train_by_weights(struct double_server *s, const struct state *m, struct double_call *c,
                                  vt_weights **made, vt_err *err)
{
    struct vt_mail mail = VT_MAIL;
    vt_request *ticket;
    vt_forward *f = NULL;
    vt_status status =
        vt_policy_forward(s->native, m->weights, c->seqs, c->n, false, &f, vt_mail_deliver, &mail, &ticket, err);

    if (status == VT_OK)
        status = wait_native(s, &mail, ticket, err);
    if (status == VT_OK)
        status = vt_policy_step(f, &c->opts, made, &c->report, vt_mail_deliver, &mail, &ticket, err);
    if (status == VT_OK)
        status = wait_native(s, &mail, ticket, err);
    vt_forward_forget(f);
    return status;
}

static vt_status do_train(struct double_server *s, struct double_call *c, vt_err *err)
{
    struct state *m = find(s->models, c->model);
    vt_weights *made = NULL;
    vt_status status;

    if (!m)
        return vt_fail(err, VT_ENOENT, "there is no model %s", c->model);
    status = c->has_loss ? train_by_loss(s, m, c, &made, err) : train_by_weights(s, m, c, &made, err);
    if (status != VT_OK)
        return status;
    make_name("checkpoint", c->checkpoint);
    status = save(s, made, c->checkpoint, err);
    vt_weights_unref(m->weights);
    m->weights = made;
    return status;
}

static vt_status do_sample(struct double_server *s, const struct double_call *c, vt_err *err)
{
    const struct state *sampler = find(s->samplers, c->sampler);
    struct vt_sample_request r = *c->sample;
    struct vt_mail mail = VT_MAIL;
    int32_t *ids = NULL;
    size_t n = 0;
    vt_request *ticket;
    vt_status status = VT_OK;

    if (!sampler)
        return vt_fail(err, VT_ENOENT, "there is no sampler %s: publish the weights first", c->sampler);
    if (!r.prompt) {
        status = vt_policy_encode(s->native, r.text, r.text_len, true, &ids, &n, err);
        r.prompt = ids;
        r.n_prompt = (int)n;
    }
    r.weights = sampler->weights;
    r.seed = randomness();
    r.stream = NULL;
    r.index = NULL;
    r.each = NULL;
    if (status == VT_OK)
        status = vt_policy_sample(s->native, &r, vt_mail_deliver, &mail, &ticket, err);
    if (status == VT_OK)
        status = wait_native(s, &mail, ticket, err);
    free(ids);
    return status;
}

static vt_status do_score(struct double_server *s, const struct double_call *c, vt_err *err)
{
    const struct state *sampler = find(s->samplers, c->sampler);
    struct vt_score_request r = *c->score;
    struct vt_mail mail = VT_MAIL;
    vt_request *ticket;

    if (!sampler)
        return vt_fail(err, VT_ENOENT, "there is no sampler %s: publish the weights first", c->sampler);
    r.weights = sampler->weights;
    VT_TRY(vt_policy_score(s->native, &r, vt_mail_deliver, &mail, &ticket, err));
    return wait_native(s, &mail, ticket, err);
}

static vt_status look_up(const struct double_server *s, const struct double_call *c, vt_err *err)
{
    char *path = path_of(s, c->checkpoint);
    const bool is_there = path && vt_fs_exists(path);

    if (!path)
        return vt_fail(err, VT_ENOMEM, "the server has no memory");
    free(path);
    return is_there ? VT_OK : vt_fail(err, VT_ENOENT, "the server keeps no checkpoint %s", c->checkpoint);
}

static vt_status carry_out(struct double_server *s, struct double_call *c, vt_err *err)
{
    switch (c->kind) {
    case DOUBLE_CREATE:
        return add(s, &s->models, "model", c->checkpoint, c->model, err);
    case DOUBLE_FORWARD:
        return do_forward(s, c, err);
    case DOUBLE_TRAIN:
        return do_train(s, c, err);
    case DOUBLE_LOOK_UP:
        return look_up(s, c, err);
    case DOUBLE_PUBLISH:
        return add(s, &s->samplers, "sampler", c->checkpoint, c->sampler, err);
    case DOUBLE_SAMPLE:
        return do_sample(s, c, err);
    case DOUBLE_SCORE:
        return do_score(s, c, err);
    }
    return vt_fail(err, VT_EINTERNAL, "the server was sent a message of kind %d", (int)c->kind);
}

/* --- the thread --- */

/* The message to take now, off the queue, or NULL; *wait_ns: until the next one is due. Mutex held. */
static struct double_call *take_due(struct double_server *s, uint64_t *wait_ns)
{
    struct double_call **best = NULL, *c;
    const uint64_t now = vt_now_ns();

    for (struct double_call **at = &s->queue; *at; at = &(*at)->next)
        if (!best || (*at)->due_ns < (*best)->due_ns)
            best = at;
    *wait_ns = !best ? 1000000000 : (*best)->due_ns > now ? (*best)->due_ns - now : 0;
    if (!best || *wait_ns > 0)
        return NULL;
    c = *best;
    *best = c->next;
    return c;
}

static void sleep_until(struct double_server *s, uint64_t wait_ns)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    wait_ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(wait_ns / 1000000000);
    until.tv_nsec = (long)(wait_ns % 1000000000);
    pthread_cond_timedwait(&s->cond, &s->mutex, &until);
}

static void *run(void *arg)
{
    struct double_server *s = arg;

    pthread_mutex_lock(&s->mutex);
    while (!s->is_closing) {
        uint64_t wait_ns;
        struct double_call *c = take_due(s, &wait_ns);
        bool is_cancelled;

        if (!c) {
            sleep_until(s, wait_ns);
            continue;
        }
        s->current = c;
        is_cancelled = c->is_cancelled;
        pthread_mutex_unlock(&s->mutex);
        c->status = is_cancelled ? vt_fail(&c->err, VT_ECANCELLED, "the message was cancelled on its way")
                                 : carry_out(s, c, &c->err);
        pthread_mutex_lock(&s->mutex);
        s->current = NULL;
        pthread_mutex_unlock(&s->mutex);
        c->answer(c);
        pthread_mutex_lock(&s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

void double_server_send(struct double_server *s, struct double_call *c)
{
    const uint64_t delay_ns = s->delay_ms > 0 ? randomness() % ((uint64_t)s->delay_ms * 1000000) : 0;

    pthread_mutex_lock(&s->mutex);
    c->due_ns = vt_now_ns() + delay_ns;
    c->next = s->queue;
    s->queue = c;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
}

void double_server_cancel(struct double_server *s, struct double_call *c)
{
    vt_request *ticket;

    pthread_mutex_lock(&s->mutex);
    c->is_cancelled = true;
    c->due_ns = 0;
    ticket = s->current == c ? s->ticket : NULL;
    pthread_cond_signal(&s->cond);
    /* Under the mutex: the ticket is released after it. The native's done only delivers a mail. */
    vt_request_cancel(ticket);
    pthread_mutex_unlock(&s->mutex);
}

/* --- opening --- */

static vt_status find_folder(char **out, vt_err *err)
{
    const char *dir = getenv("VEGTTT_DOUBLE_DIR");
    char *cache = NULL;

    if (dir && *dir) {
        *out = vt_strdup(dir);
    } else {
        VT_TRY(vt_cache_dir(&cache, err));
        *out = vt_path_join(cache, "double");
        free(cache);
    }
    return *out ? vt_fs_mkdir_p(*out, err) : vt_fail(err, VT_ENOMEM, "out of memory for a path");
}

vt_status double_server_open(const char *model, const struct vt_policy_opts *o, int delay_ms,
                             struct double_server **out, vt_err *err)
{
    struct double_server *s = vt_alloc(sizeof *s);
    struct vt_policy_opts opts = {.rank = o->rank,
                                  .alpha = o->alpha,
                                  .targets = o->targets,
                                  .init_seed = o->init_seed,
                                  .n_threads = 1,
                                  .max_memory = o->max_memory};
    struct vt_mail mail = VT_MAIL;
    vt_status status;

    if (!s)
        return vt_fail(err, VT_ENOMEM, "out of memory for a server");
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->cond, NULL);
    s->delay_ms = delay_ms;
    status = find_folder(&s->folder, err);
    if (status == VT_OK)
        status = vt_policy_open(model, &opts, &s->native, vt_mail_deliver, &mail, NULL, err);
    if (status == VT_OK)
        status = vt_mail_wait(&mail, err);
    if (status == VT_OK && pthread_create(&s->thread, NULL, run, s) != 0)
        status = vt_fail(err, VT_ENOMEM, "cannot start the server's thread: %s", strerror(errno));
    if (status != VT_OK) {
        vt_policy_close(s->native);
        free(s->folder);
        free(s);
        return status;
    }
    *out = s;
    return VT_OK;
}

static void free_states(struct state *list)
{
    while (list) {
        struct state *next = list->next;

        vt_weights_unref(list->weights);
        free(list);
        list = next;
    }
}

void double_server_close(struct double_server *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->mutex);
    s->is_closing = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    free_states(s->models);
    free_states(s->samplers);
    vt_policy_close(s->native);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    free(s->folder);
    free(s);
}

vt_policy *double_server_policy(struct double_server *s)
{
    return s->native;
}
