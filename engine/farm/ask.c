/* SPDX-License-Identifier: Apache-2.0
 *
 * ask.c: requests to a queue and what comes of them.
 *
 *   submit --any thread--> waiting --the net thread, WINDOW at most--> GET result --none--> XADD --> out
 *   a message on done:REPLY, a look every few seconds, a connection that came back  --> GET result --> done
 *
 * Everything that touches Redis happens on the net thread; other threads put jobs into a list under the lock and post.
 * A job lives until its done was called and no command that names it is under way (n_commands).
 *
 * Nothing rests on a message: it only saves waiting for the next look. A look asks of every job that is out whether its
 * entry still stands and whether its answer is there, in this order, because a worker writes the answer before it
 * deletes the entry: without either the job is lost, and it is entered again.
 */
#include "farm/ask.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "farm/answer.h"
#include "farm/queue.h"
#include "farm/request.h"
#include "net/net.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WINDOW = 4096, N_BUCKETS = 4096 };
static const double look_s = 5, default_patience_s = 15;

enum place { WAITING, OUT, OVER };

struct job {
    struct ask *ask;
    struct job *next, **link; /* of the list of its place */
    struct job *next_same;    /* in its bucket, while it is out */
    vt_eval_done *done;
    void *arg;
    enum place place;
    int n_commands;
    bool is_withdrawn; /* under the lock */
    bool is_entered, was_missing;
    char key[VT_EVAL_KEY_SIZE], rid[VT_QUEUE_RID_SIZE], entry[VT_QUEUE_ENTRY_SIZE];
    struct vt_farm_request request;
};

struct list {
    struct job *first, **last;
};

struct ask {
    vt_eval door;
    struct vt_redis_address address;
    struct vt_net *net;
    char reply[VT_QUEUE_CLASS_SIZE], channel[VT_QUEUE_KEY_MAX], jobs_key[VT_QUEUE_KEY_MAX];
    struct vt_queue_class class;
    struct vt_eval_class lent;
    char version[96];
    /* the net thread's */
    vt_redis *commands, *news;
    bool is_news_up;
    struct job *bucket[N_BUCKETS];
    size_t n_out;
    vt_timer look;
    struct vt_post opening, closing, sending;
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list waiting, out;
    size_t n_pending, n_withdrawn;
    bool is_posted, is_closing;
    enum { OPENING, OPEN, FAILED } state;
    vt_err why;
    bool is_dead; /* it will never be up again: `why` */
    struct vt_ask_state shown;
};

static void post_sending(struct ask *a) /* with the lock held */
{
    if (!a->is_posted)
        vt_net_post(a->net, &a->sending);
    a->is_posted = true;
}

/* ---- jobs ---- */

static void list_put(struct list *l, struct job *j)
{
    j->next = NULL;
    j->link = l->last;
    *l->last = j;
    l->last = &j->next;
}

static void list_take(struct list *l, struct job *j)
{
    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
    else
        l->last = j->link;
}

static void free_job(struct job *j)
{
    vt_farm_request_free(&j->request);
    free(j);
}

static void release(struct job *j)
{
    if (j->place == OVER && j->n_commands == 0)
        free_job(j);
}

static struct job **bucket_of(struct ask *a, const char *rid)
{
    size_t h = 0;
    for (const char *p = rid; *p; p++)
        h = 31 * h + (unsigned char)*p;
    return &a->bucket[h % N_BUCKETS];
}

/* The job has its end; the caller's callback runs without the lock. */
static void finish(struct job *j, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct ask *a = j->ask;
    pthread_mutex_lock(&a->lock);
    list_take(j->place == OUT ? &a->out : &a->waiting, j);
    if (j->place == OUT) {
        struct job **p = bucket_of(a, j->rid);
        while (*p != j)
            p = &(*p)->next_same;
        *p = j->next_same;
        a->n_out--;
        if (a->waiting.first && !a->is_closing)
            post_sending(a); /* there is room for one that waits */
    }
    j->place = OVER;
    a->n_pending--;
    a->n_withdrawn -= j->is_withdrawn;
    pthread_mutex_unlock(&a->lock);
    j->done(j->arg, status, err, v);
    release(j);
}

static void cancel_job(struct job *j)
{
    vt_err err;
    (void)vt_fail(&err, VT_ECANCELLED, "the evaluation was cancelled");
    finish(j, VT_ECANCELLED, &err, NULL);
}

/* ---- answers ---- */

static void take_answer(struct job *j, const char *text, size_t len)
{
    vt_err err;
    struct vt_farm_answer answer;
    vt_status s = vt_farm_answer_read(text, len, &answer, &err);
    if (s == VT_OK && strcmp(answer.key, j->key) != 0)
        s = vt_fail(&err, VT_EFORMAT, "the queue answers a request with the verdict of another one");
    finish(j, s, s == VT_OK ? NULL : &err, s == VT_OK ? &answer.verdict : NULL);
    vt_farm_answer_free(&answer);
}

/* ---- entering ---- */

/* What passes: the server has no memory or no disk now, reads its file, or is not yet the one that is written to. */
static bool is_passing(const vt_err *err)
{
    static const char *const words[] = {"OOM", "MISCONF", "LOADING", "READONLY", "BUSY"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(err->msg, words[i]))
            return true;
    return false;
}

static void on_entered(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct job *j = arg;
    struct vt_resp_reader r;
    struct vt_resp_item id;
    j->n_commands--;
    if (j->place == OUT && status == VT_OK) {
        r = *reply;
        if (vt_resp_expect(&r, VT_RESP_TEXT, &id) && id.len < sizeof j->entry) {
            memcpy(j->entry, id.text, id.len);
            j->entry[id.len] = '\0';
            j->is_entered = true;
        }
    } else if (j->place == OUT && status == VT_EINVAL && !is_passing(err)) {
        finish(j, VT_EIO, err, NULL);
        return;
    } /* else the next look tries again */
    release(j);
}

static void enter(struct job *j)
{
    struct ask *a = j->ask;
    struct vt_buf text;
    struct vt_eval_request r;
    vt_err err;
    vt_buf_init(&text, VT_QUEUE_JOB_MAX);
    vt_farm_request_fill(&j->request, j->request.parsed, &r);
    vt_status s = vt_farm_request_write(&r, &text, &err);
    if (s != VT_OK) {
        vt_buf_free(&text);
        finish(j, s, &err, NULL);
        return;
    }
    const char *const words[] = {"XADD", a->jobs_key, "*", "rid", j->rid, "reply", a->reply, "key", j->key, "job"};
    struct vt_resp_word word[11];
    for (size_t i = 0; i < 10; i++)
        word[i] = (struct vt_resp_word){words[i], strlen(words[i])};
    word[10] = (struct vt_resp_word){text.p, text.len};
    j->n_commands++;
    vt_redis_send(a->commands, word, 11, on_entered, j);
    vt_buf_free(&text);
}

static void on_result(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct job *j = arg;
    struct vt_resp_reader r;
    struct vt_resp_item text;
    j->n_commands--;
    if (j->place == OUT && status == VT_EINVAL && !is_passing(err)) {
        finish(j, VT_EIO, err, NULL);
        return;
    }
    if (j->place != OUT || status != VT_OK) {
        release(j);
        return;
    }
    r = *reply;
    if (vt_resp_expect(&r, VT_RESP_TEXT, &text)) {
        take_answer(j, text.text, text.len);
        return;
    }
    if (j->is_entered && !j->was_missing)
        return;
    if (j->is_entered) {
        pthread_mutex_lock(&j->ask->lock);
        j->ask->shown.n_again++;
        pthread_mutex_unlock(&j->ask->lock);
    }
    j->is_entered = j->was_missing = false;
    j->n_commands++; /* stays while enter may end it */
    enter(j);
    j->n_commands--;
    release(j);
}

static void on_entry(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct job *j = arg;
    (void)err;
    j->n_commands--;
    if (j->place == OUT && status == VT_OK) {
        struct vt_resp_reader r = *reply;
        struct vt_resp_item list;
        j->was_missing = vt_resp_expect(&r, VT_RESP_LIST, &list) && list.number == 0;
    }
    release(j);
}

/* Is there an answer? Where there is none, and no entry either, it is entered. */
static void ask_after(struct job *j)
{
    struct ask *a = j->ask;
    char result[VT_QUEUE_KEY_MAX];
    vt_queue_name(&a->address, "result", j->rid, result);
    j->n_commands++;
    if (j->is_entered) {
        j->n_commands++;
        vt_redis_say(a->commands, on_entry, j, "XRANGE", a->jobs_key, j->entry, j->entry, NULL);
    }
    vt_redis_say(a->commands, on_result, j, "GET", result, NULL);
}

/* ---- the net thread ---- */

/* The next job that waits, moved to those that are out. */
static struct job *next_waiting(struct ask *a)
{
    pthread_mutex_lock(&a->lock);
    struct job *j = a->n_out < WINDOW ? a->waiting.first : NULL;
    if (j) {
        list_take(&a->waiting, j);
        j->place = OUT;
        list_put(&a->out, j);
        struct job **b = bucket_of(a, j->rid);
        j->next_same = *b;
        *b = j;
        a->n_out++;
    }
    pthread_mutex_unlock(&a->lock);
    return j;
}

static struct job *next_withdrawn(struct ask *a)
{
    struct job *found = NULL;
    pthread_mutex_lock(&a->lock);
    struct job *const lists[] = {a->out.first, a->waiting.first};
    for (size_t i = 0; i < 2 && a->n_withdrawn && !found; i++)
        for (found = lists[i]; found && !found->is_withdrawn;)
            found = found->next;
    pthread_mutex_unlock(&a->lock);
    return found;
}

/* Nobody shall take up what has not been begun; what a worker holds it ends, and its answer waits for who asks again.
 */
static void end_withdrawn(struct ask *a)
{
    for (struct job *j; (j = next_withdrawn(a)); cancel_job(j))
        if (j->is_entered)
            vt_redis_say(a->commands, NULL, NULL, "XDEL", a->jobs_key, j->entry, NULL);
}

static void send_waiting(struct ask *a)
{
    struct job *j;
    while (vt_redis_is_up(a->commands) && (j = next_waiting(a)))
        ask_after(j);
}

static void on_send(void *arg)
{
    struct ask *a = arg;
    pthread_mutex_lock(&a->lock);
    a->is_posted = false;
    pthread_mutex_unlock(&a->lock);
    end_withdrawn(a);
    send_waiting(a);
}

static void look_at_all(struct ask *a)
{
    for (struct job *j = a->out.first, *next; j; j = next) {
        next = j->next; /* a command to a connection that is down answers at once, and ends no job */
        if (j->n_commands == 0)
            ask_after(j);
    }
    send_waiting(a);
}

static void on_workers(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct ask *a = arg;
    struct vt_resp_item item;
    (void)err;
    if (status != VT_OK)
        return;
    struct vt_resp_reader r = *reply;
    pthread_mutex_lock(&a->lock);
    if (vt_resp_expect(&r, VT_RESP_INT, &item))
        a->shown.n_workers = (size_t)item.number;
    pthread_mutex_unlock(&a->lock);
}

static void on_look(void *arg)
{
    struct ask *a = arg;
    char alive[VT_QUEUE_KEY_MAX], now[32];
    a->look = vt_loop_after(vt_net_loop(a->net), look_s, on_look, a);
    look_at_all(a);
    vt_queue_name(&a->address, "alive", a->class.id, alive);
    snprintf(now, sizeof now, "%.3f", (double)vt_wall_ns() / 1e9);
    vt_redis_say(a->commands, on_workers, a, "ZCOUNT", alive, now, "+inf", NULL);
}

/* ---- news ---- */

static void on_message(void *arg, const struct vt_resp_reader *message)
{
    struct ask *a = arg;
    struct vt_resp_reader r = *message;
    struct vt_resp_item item;
    char rid[VT_QUEUE_RID_SIZE];
    if (!vt_resp_expect(&r, VT_RESP_LIST, &item) || item.number != 3)
        return;
    for (int i = 0; i < 3; i++)
        if (!vt_resp_expect(&r, VT_RESP_TEXT, &item))
            return;
    if (item.len >= sizeof rid)
        return;
    memcpy(rid, item.text, item.len);
    rid[item.len] = '\0';
    for (struct job *j = *bucket_of(a, rid); j; j = j->next_same)
        if (strcmp(j->rid, rid) == 0) {
            char result[VT_QUEUE_KEY_MAX];
            vt_queue_name(&a->address, "result", rid, result);
            j->n_commands++;
            vt_redis_say(a->commands, on_result, j, "GET", result, NULL);
        }
}

static void opened(struct ask *a, vt_status status, const vt_err *err)
{
    pthread_mutex_lock(&a->lock);
    if (a->state == OPENING) {
        a->state = status == VT_OK ? OPEN : FAILED;
        if (status != VT_OK)
            a->why = *err;
    }
    a->shown.is_up = status == VT_OK;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void on_subscribed(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct ask *a = arg;
    (void)reply;
    if (status == VT_ENET || status == VT_ECANCELLED)
        return;
    if (a->class.tier)
        opened(a, status, err);
    a->is_news_up = status == VT_OK;
}

static void news_up(void *arg)
{
    struct ask *a = arg;
    vt_redis_say(a->news, on_subscribed, a, "SUBSCRIBE", a->channel, NULL);
}

/* ---- which class ---- */

static void use_class(struct ask *a)
{
    vt_queue_class_lend(&a->class, &a->lent);
    snprintf(a->version, sizeof a->version, "%s/%.16s", a->class.evaluator, a->class.toolchain);
    vt_queue_name(&a->address, "jobs", a->class.id, a->jobs_key);
}

static void on_classes(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct ask *a = arg;
    vt_err why;
    if (status == VT_ENET || status == VT_ECANCELLED)
        return;
    if (status == VT_OK) {
        status = vt_queue_class_choose(&a->address, reply, &a->class, &why);
        err = &why;
    }
    if (status != VT_OK) {
        opened(a, status, err);
        return;
    }
    use_class(a);
    if (a->is_news_up)
        opened(a, VT_OK, NULL);
}

static void commands_up(void *arg)
{
    struct ask *a = arg;
    char classes[VT_QUEUE_KEY_MAX];
    if (a->class.tier) {
        pthread_mutex_lock(&a->lock);
        a->shown.is_up = 1;
        pthread_mutex_unlock(&a->lock);
        look_at_all(a);
        return;
    }
    vt_queue_name(&a->address, "classes", NULL, classes);
    vt_redis_say(a->commands, on_classes, a, "HGETALL", classes, NULL);
}

static struct job *any_job(struct ask *a)
{
    pthread_mutex_lock(&a->lock);
    struct job *j = a->out.first ? a->out.first : a->waiting.first;
    pthread_mutex_unlock(&a->lock);
    return j;
}

static void on_down(void *arg, const vt_err *err, bool is_final)
{
    struct ask *a = arg;
    pthread_mutex_lock(&a->lock);
    a->shown.is_up = 0;
    snprintf(a->shown.why, sizeof a->shown.why, "%.255s", err->msg);
    if (a->state == OPENING)
        a->why = *err;
    if (is_final) {
        a->is_dead = true;
        a->why = *err;
    }
    pthread_mutex_unlock(&a->lock);
    if (!is_final)
        return;
    opened(a, err->code, err);
    for (struct job *j; (j = any_job(a));)
        finish(j, VT_ENET, err, NULL);
}

static void news_down(void *arg, const vt_err *err, bool is_final)
{
    struct ask *a = arg;
    a->is_news_up = false;
    if (is_final)
        on_down(a, err, true);
}

/* ---- opening and closing ---- */

static void begin(void *arg)
{
    struct ask *a = arg;
    vt_err err;
    const struct vt_redis_opts commands = {
        .loop = vt_net_loop(a->net), .address = &a->address, .up = commands_up, .down = on_down, .arg = a};
    const struct vt_redis_opts news = {.loop = vt_net_loop(a->net),
                                       .address = &a->address,
                                       .up = news_up,
                                       .down = news_down,
                                       .push = on_message,
                                       .arg = a};
    vt_status s = vt_redis_open(&commands, &a->commands, &err);
    if (s == VT_OK)
        s = vt_redis_open(&news, &a->news, &err);
    if (s != VT_OK)
        opened(a, s, &err);
    else
        a->look = vt_loop_after(vt_net_loop(a->net), look_s, on_look, a);
}

static void end(void *arg)
{
    struct ask *a = arg;
    if (a->look)
        vt_loop_cancel(vt_net_loop(a->net), a->look);
    vt_redis_close(a->news);
    vt_redis_close(a->commands);
    a->news = a->commands = NULL;
    for (struct job *j; (j = any_job(a));)
        cancel_job(j);
}

static void close_ask(vt_eval *door)
{
    struct ask *a = (struct ask *)door;
    pthread_mutex_lock(&a->lock);
    a->is_closing = true;
    pthread_mutex_unlock(&a->lock);
    if (a->net) {
        a->closing = (struct vt_post){.fn = end, .arg = a};
        vt_net_post(a->net, &a->closing);
        vt_net_close(a->net);
    }
    vt_redis_address_free(&a->address);
    vt_queue_class_free(&a->class);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* ---- the door ---- */

static vt_status key(vt_eval *door, const struct vt_eval_request *r, char out[VT_EVAL_KEY_SIZE], vt_err *err)
{
    if (!r->task || !r->code)
        return vt_fail(err, VT_EINVAL, "cannot evaluate: a request needs a task and code");
    return vt_eval_class_key(&((struct ask *)door)->lent, r, out, err);
}

static vt_status submit(vt_eval *door, const struct vt_eval_request *r, vt_eval_done *done, void *arg, vt_err *err)
{
    struct ask *a = (struct ask *)door;
    struct job *j = vt_alloc(sizeof *j);
    if (!j)
        return vt_fail(err, VT_ENOMEM, "no memory for a request");
    j->ask = a;
    j->done = done;
    j->arg = arg;
    char own[VT_QUEUE_CLASS_SIZE] = "";
    vt_status s = key(door, r, j->key, err);
    if (s == VT_OK)
        s = vt_farm_request_copy(r, &j->request, err);
    if (s == VT_OK && r->fresh)
        s = vt_queue_new_name(own, err);
    snprintf(j->rid, sizeof j->rid, "%s%s%s", j->key, r->fresh ? "-" : "", own);
    pthread_mutex_lock(&a->lock);
    if (s == VT_OK && a->is_closing)
        s = vt_fail(err, VT_ECANCELLED, "cannot evaluate: the evaluator is being closed");
    if (s == VT_OK && a->is_dead)
        s = vt_fail(err, a->why.code, "%s", a->why.msg);
    if (s == VT_OK) {
        list_put(&a->waiting, j);
        a->n_pending++;
        post_sending(a);
    }
    pthread_mutex_unlock(&a->lock);
    if (s != VT_OK)
        free_job(j);
    return s;
}

/* arg NULL: all. */
static void withdraw(struct ask *a, const void *arg)
{
    struct job *const lists[] = {a->waiting.first, a->out.first};
    for (size_t i = 0; i < 2; i++)
        for (struct job *j = lists[i]; j; j = j->next)
            if (!j->is_withdrawn && (!arg || j->arg == arg)) {
                j->is_withdrawn = true;
                a->n_withdrawn++;
            }
    post_sending(a);
}

static void cancel(vt_eval *door, void *arg)
{
    struct ask *a = (struct ask *)door;
    pthread_mutex_lock(&a->lock);
    withdraw(a, arg);
    pthread_mutex_unlock(&a->lock);
}

static void cancel_all(vt_eval *door)
{
    cancel(door, NULL);
}

static size_t pending(vt_eval *door)
{
    struct ask *a = (struct ask *)door;
    pthread_mutex_lock(&a->lock);
    size_t n = a->n_pending;
    pthread_mutex_unlock(&a->lock);
    return n;
}

static const char *version(const vt_eval *door)
{
    return ((const struct ask *)door)->version;
}

static const char *machine(const vt_eval *door)
{
    return ((const struct ask *)door)->class.machine;
}

static const struct vt_eval_ops ops = {close_ask, submit, key, cancel, cancel_all, pending, version, machine};

void vt_ask_state(vt_eval *door, struct vt_ask_state *out)
{
    struct ask *a = (struct ask *)door;
    pthread_mutex_lock(&a->lock);
    *out = a->shown;
    out->n_out = a->n_out;
    out->n_waiting = a->n_pending - a->n_out;
    pthread_mutex_unlock(&a->lock);
}

static vt_status wait_open(struct ask *a, double patience_s, vt_err *err)
{
    const uint64_t until_ns = vt_now_ns() + (uint64_t)((patience_s > 0 ? patience_s : default_patience_s) * 1e9);
    const struct timespec until = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};
    vt_status s = VT_OK;
    pthread_mutex_lock(&a->lock);
    while (a->state == OPENING && pthread_cond_timedwait(&a->changed, &a->lock, &until) == 0)
        ;
    if (a->state == OPENING)
        s = vt_fail(err, VT_ETIMEOUT, "%s", a->why.msg[0] ? a->why.msg : "the queue does not answer");
    else if (a->state == FAILED)
        s = vt_fail(err, a->why.code, "%s", a->why.msg);
    pthread_mutex_unlock(&a->lock);
    return s;
}

vt_status vt_ask_open(const char *url, double patience_s, vt_eval **out, vt_err *err)
{
    *out = NULL;
    struct ask *a = vt_alloc(sizeof *a);
    if (!a)
        return vt_fail(err, VT_ENOMEM, "no memory for a queue");
    pthread_condattr_t steady;
    a->door.ops = &ops;
    a->waiting.last = &a->waiting.first;
    a->out.last = &a->out.first;
    a->sending = (struct vt_post){.fn = on_send, .arg = a};
    a->opening = (struct vt_post){.fn = begin, .arg = a};
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &steady);
    pthread_condattr_destroy(&steady);
    vt_status s = vt_redis_address_read(url, &a->address, err);
    if (s == VT_OK)
        s = vt_queue_new_name(a->reply, err);
    if (s == VT_OK)
        s = vt_net_open(&(struct vt_http_opts){0}, &a->net, err);
    if (s == VT_OK) {
        vt_queue_name(&a->address, "done", a->reply, a->channel);
        vt_net_post(a->net, &a->opening);
        s = wait_open(a, patience_s, err);
    }
    if (s != VT_OK) {
        close_ask(&a->door);
        return s;
    }
    *out = &a->door;
    return VT_OK;
}
