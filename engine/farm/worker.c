/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c: jobs from the queue to the judge and back.
 *
 *   XREADGROUP -> job -> EXISTS result --no--> judge -> (its thread) done list -> loop -> SET NX, PUBLISH, XACK, XDEL
 *
 * Two connections: on `reader` one XREADGROUP at a time waits for work, on `commands` everything else is sent, because
 * a connection that waits answers nothing. While as many jobs are held as the judge can use nothing is read, so what
 * others could begin is not hoarded.
 *
 * The lease is the key worker:NAME, set anew three times in its length. A sweep looks for entries that were given to
 * somebody whose key is gone and claims them; XCLAIM with the lease as least idle time gives an entry to one of those
 * who try. A worker whose connection broke in the middle of a read asks for what is its own: the server thinks it has
 * those.
 *
 * An answer that could not be written stays with its job until the connection is back. A job that the judge could not
 * judge for reasons of this machine (disk, memory, jail) is given back for others, and answered as not judged after
 * MAX_DELIVERIES: it would go round for ever, and so would one that kills whoever takes it.
 */
#include "farm/worker.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "farm/answer.h"
#include "farm/request.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    AHEAD = 2,
    MAX_DELIVERIES = 20,
    SUSPECT_DELIVERIES = 3,
    MAX_TRIES_HERE = 3,
    SWEEP_MOST = 32,
    READ_BLOCK_MS = 1000
};
static const double default_lease_s = 30, default_grace_s = 20, read_again_s = 0.5;
static const char nobody[] = "released", error_life_s[] = "60", idle_for_all_ms[] = "86400000";

enum stage { LOOKING_UP, JUDGING, DELIVERING, GONE };

struct job {
    vt_farm_worker *worker;
    struct job *next;      /* of all that are held */
    struct job *next_done; /* in the done list */
    enum stage stage;
    int n_commands, n_deliveries;
    bool is_released; /* another one shall have it */
    char entry[VT_QUEUE_ENTRY_SIZE], rid[VT_QUEUE_RID_SIZE], key[VT_EVAL_KEY_SIZE], reply[VT_QUEUE_CLASS_SIZE];
    struct vt_farm_request request;
    vt_status status;
    vt_err err;
    char *answer; /* the line that goes to result:RID; NULL = there is one already */
};

struct vt_farm_worker {
    struct vt_farm_worker_opts o;
    char name[VT_QUEUE_CLASS_SIZE], class_id[VT_QUEUE_CLASS_SIZE];
    char jobs_key[VT_QUEUE_KEY_MAX], alive_key[VT_QUEUE_KEY_MAX], own_key[VT_QUEUE_KEY_MAX];
    vt_redis *commands, *reader;
    bool is_reading, is_stopping, is_ended, is_freed;
    bool is_own_read; /* what the server thinks is ours has been looked at since the reader came up */
    struct job *jobs;
    int n_held;
    int n_claiming; /* entries of the dead that are being looked after */
    int n_judging;  /* the judge will call back */
    struct vt_farm_worker_count count;
    vt_timer beat, sweep, again, grace;
    pthread_mutex_t lock; /* of what follows */
    struct job *done;
    bool is_posted;
    struct vt_post post;
};

static void go_on(vt_farm_worker *w);

static void note(vt_farm_worker *w, const char *sentence)
{
    if (w->o.note)
        w->o.note(w->o.arg, sentence);
}

/* ---- jobs ---- */

static void free_job(struct job *j)
{
    vt_farm_request_free(&j->request);
    free(j->answer);
    free(j);
}

static void drop(struct job *j)
{
    vt_farm_worker *w = j->worker;
    if (j->stage != GONE || j->n_commands)
        return;
    for (struct job **p = &w->jobs; *p; p = &(*p)->next)
        if (*p == j) {
            *p = j->next;
            w->n_held--;
            free_job(j);
            return;
        }
}

static bool is_held(const vt_farm_worker *w, const char *entry)
{
    for (const struct job *j = w->jobs; j; j = j->next)
        if (strcmp(j->entry, entry) == 0)
            return true;
    return false;
}

/* ---- delivering ---- */

static void on_delivered(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct job *j = arg;
    vt_farm_worker *w = j->worker;
    (void)reply;
    j->n_commands--;
    if (status == VT_OK)
        j->stage = GONE;
    else if (status == VT_EINVAL)
        note(w, err->msg); /* the server's memory or disk is full: tried again at the next beat */
    drop(j);
    go_on(w);
}

/* All or nothing (MULTI … EXEC): an entry must not go without its answer, which a server without memory refuses. */
static void deliver(struct job *j)
{
    vt_farm_worker *w = j->worker;
    vt_redis *to = w->commands;
    char result[VT_QUEUE_KEY_MAX], channel[VT_QUEUE_KEY_MAX];
    const char *life_s = j->status == VT_OK ? VT_QUEUE_RESULT_S : error_life_s;
    j->stage = DELIVERING;
    if (!vt_redis_is_up(to) || j->n_commands)
        return;
    j->n_commands = 1;
    if (j->is_released) {
        vt_redis_say(to, on_delivered, j, "XCLAIM", w->jobs_key, VT_QUEUE_GROUP, nobody, "0", j->entry, "IDLE",
                     idle_for_all_ms, "JUSTID", NULL);
        return;
    }
    vt_queue_name(w->o.address, "result", j->rid, result);
    vt_queue_name(w->o.address, "done", j->reply, channel);
    vt_redis_say(to, NULL, NULL, "MULTI", NULL);
    if (j->answer)
        vt_redis_say(to, NULL, NULL, "SET", result, j->answer, "NX", "EX", life_s, NULL);
    vt_redis_say(to, NULL, NULL, "XACK", w->jobs_key, VT_QUEUE_GROUP, j->entry, NULL);
    vt_redis_say(to, NULL, NULL, "XDEL", w->jobs_key, j->entry, NULL);
    vt_redis_say(to, NULL, NULL, "PUBLISH", channel, j->rid, NULL);
    vt_redis_say(to, on_delivered, j, "EXEC", NULL);
}

/* What could not be written before. */
static void deliver_all(vt_farm_worker *w)
{
    for (struct job *j = w->jobs, *next; j; j = next) {
        next = j->next;
        if (j->stage == DELIVERING)
            deliver(j);
    }
}

static void answer(struct job *j)
{
    vt_farm_worker *w = j->worker;
    struct vt_buf text;
    vt_buf_init(&text, 2 * VT_QUEUE_JOB_MAX);
    vt_farm_answer_error("null", 0, &j->err, &text);
    free(j->answer);
    j->answer = vt_buf_take(&text, NULL);
    vt_buf_free(&text);
    w->count.n_refused++;
    deliver(j);
}

static void release_job(struct job *j)
{
    j->is_released = true;
    j->worker->count.n_released++;
    deliver(j);
}

/* The judge could not: is it the request's fault? */
static void settle_failure(struct job *j)
{
    bool is_requests = j->status == VT_EINVAL || j->status == VT_EFORMAT || j->status == VT_ELIMIT ||
                       j->status == VT_EUNSUPPORTED || j->status == VT_ENOENT;
    if (is_requests || (j->status != VT_ECANCELLED && j->n_deliveries >= MAX_TRIES_HERE)) {
        answer(j);
        return;
    }
    if (j->status != VT_ECANCELLED)
        note(j->worker, j->err.msg);
    release_job(j);
}

/* ---- verdicts ---- */

static void take_done(vt_farm_worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct job *j = w->done;
    w->done = NULL;
    pthread_mutex_unlock(&w->lock);
    for (struct job *next; j; j = next) {
        next = j->next_done;
        w->n_judging--;
        if (w->is_freed) {
            j->stage = GONE;
            j->n_commands = 0;
            drop(j);
        } else if (j->status != VT_OK) {
            settle_failure(j);
        } else {
            w->count.n_judged++;
            deliver(j);
        }
    }
}

static void destroy_unless_awaited(vt_farm_worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool is_awaited = w->is_posted || w->n_judging > 0;
    pthread_mutex_unlock(&w->lock);
    if (is_awaited)
        return;
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void on_done(void *arg)
{
    vt_farm_worker *w = arg;
    pthread_mutex_lock(&w->lock);
    w->is_posted = false;
    pthread_mutex_unlock(&w->lock);
    take_done(w);
    if (w->is_freed)
        destroy_unless_awaited(w);
    else
        go_on(w);
}

/* A thread of the judge's. */
static void on_verdict(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct job *j = arg;
    vt_farm_worker *w = j->worker;
    struct vt_buf text;
    j->status = status;
    if (status == VT_OK) {
        vt_buf_init(&text, 2 * VT_QUEUE_JOB_MAX);
        vt_farm_answer_verdict("null", v->json, &text);
        if (!(j->answer = vt_buf_take(&text, NULL)))
            j->status = vt_fail(&j->err, VT_ENOMEM, "no memory for a verdict");
        vt_buf_free(&text);
    } else if (err) {
        j->err = *err;
    }
    pthread_mutex_lock(&w->lock);
    j->next_done = w->done;
    w->done = j;
    if (!w->is_posted)
        vt_loop_post(w->o.loop, &w->post);
    w->is_posted = true;
    pthread_mutex_unlock(&w->lock);
}

/* ---- taking ---- */

/* To the judge, once it is known that nobody has the answer. */
static vt_status judge(struct job *j, vt_err *err)
{
    vt_farm_worker *w = j->worker;
    struct vt_eval_request r;
    char key[VT_EVAL_KEY_SIZE];
    if (!j->request.parsed)
        return vt_fail(err, VT_EINVAL, "a job of a queue holds its task as a document");
    vt_farm_request_fill(&j->request, j->request.parsed, &r);
    VT_TRY(w->o.key(w->o.arg, &r, key, err));
    if (strcmp(key, j->key) != 0)
        return vt_fail(err, VT_EINVAL,
                       "whoever asked calls this evaluation %.12s, this worker %.12s: they are not of one version",
                       j->key, key);
    j->stage = JUDGING;
    VT_TRY(w->o.judge.submit(w->o.judge.arg, &r, on_verdict, j, err));
    w->n_judging++;
    return VT_OK;
}

static void on_looked_up(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct job *j = arg;
    vt_farm_worker *w = j->worker;
    struct vt_resp_reader r;
    struct vt_resp_item item;
    (void)err;
    j->n_commands--;
    if (status != VT_OK) { /* looked at again when the connection is back: it is still ours */
        j->stage = GONE;
        drop(j);
        w->is_own_read = false;
        return;
    }
    r = *reply;
    if (vt_resp_expect(&r, VT_RESP_INT, &item) && item.number > 0) {
        w->count.n_known++;
        j->status = VT_OK;
        deliver(j);
        return;
    }
    if (w->is_stopping) {
        release_job(j);
        return;
    }
    j->status = judge(j, &j->err);
    if (j->status != VT_OK)
        settle_failure(j);
}

/* An entry that no job can be made of: nobody shall have it again. */
static void throw_away(vt_farm_worker *w, const char *entry)
{
    vt_redis_say(w->commands, NULL, NULL, "XACK", w->jobs_key, VT_QUEUE_GROUP, entry, NULL);
    vt_redis_say(w->commands, NULL, NULL, "XDEL", w->jobs_key, entry, NULL);
}

static void take(vt_farm_worker *w, const struct vt_queue_entry *e, int n_deliveries)
{
    char result[VT_QUEUE_KEY_MAX];
    if (is_held(w, e->id))
        return;
    if (!e->is_job) {
        throw_away(w, e->id);
        return;
    }
    struct job *j = vt_alloc(sizeof *j);
    if (!j)
        return; /* still ours by the server's account: read again with the next look at our own */
    j->worker = w;
    j->n_deliveries = n_deliveries;
    memcpy(j->entry, e->id, sizeof j->entry);
    memcpy(j->rid, e->rid, sizeof j->rid);
    memcpy(j->key, e->key, sizeof j->key);
    memcpy(j->reply, e->reply, sizeof j->reply);
    j->next = w->jobs;
    w->jobs = j;
    w->n_held++;
    w->count.n_taken++;
    j->status = e->job_len > VT_QUEUE_JOB_MAX
                    ? vt_fail(&j->err, VT_ELIMIT, "the job is larger than %d MB", VT_QUEUE_JOB_MAX >> 20)
                    : vt_farm_request_parse(e->job, e->job_len, &j->request, &j->err);
    if (j->status == VT_OK && n_deliveries > MAX_DELIVERIES)
        j->status = vt_fail(&j->err, VT_ELIMIT,
                            "not judged: %d workers took this job and none came back with an answer", n_deliveries - 1);
    if (j->status != VT_OK) {
        settle_failure(j);
        return;
    }
    vt_queue_name(w->o.address, "result", j->rid, result);
    j->n_commands++;
    vt_redis_say(w->commands, on_looked_up, j, "EXISTS", result, NULL);
}

static void take_entries(vt_farm_worker *w, struct vt_resp_reader *r, int n_deliveries)
{
    struct vt_queue_entry e;
    struct vt_resp_item list;
    if (!vt_resp_expect(r, VT_RESP_LIST, &list))
        return;
    for (int64_t i = 0; i < list.number && vt_queue_entry_next(r, &e); i++)
        take(w, &e, n_deliveries);
}

/* ---- reading ---- */

/* A job that was lost several times may kill whoever judges it, and what is judged beside it would share its fate: it
 * is judged alone. */
static int room(const vt_farm_worker *w)
{
    for (const struct job *j = w->jobs; j; j = j->next)
        if (j->n_deliveries >= SUSPECT_DELIVERIES)
            return 0;
    return w->o.max_in_flight - w->n_held;
}

static void on_again(void *arg)
{
    vt_farm_worker *w = arg;
    w->again = 0;
    go_on(w);
}

static void read_later(vt_farm_worker *w)
{
    if (!w->again)
        w->again = vt_loop_after(w->o.loop, read_again_s, on_again, w);
}

static void on_read(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    vt_farm_worker *w = arg;
    w->is_reading = false;
    if (status == VT_OK) {
        struct vt_resp_reader r = *reply;
        struct vt_resp_item item;
        /* A list of streams, each its name and its entries; nothing when the wait was in vain. */
        if (vt_resp_expect(&r, VT_RESP_LIST, &item) && vt_resp_expect(&r, VT_RESP_LIST, &item) &&
            vt_resp_expect(&r, VT_RESP_TEXT, &item))
            take_entries(w, &r, 1);
        go_on(w);
    } else if (status == VT_EINVAL) { /* the stream is gone with all that the server knew */
        if (strstr(err->msg, "NOGROUP"))
            vt_queue_announce(w->commands, w->o.address, &w->o.class);
        else
            note(w, err->msg);
        read_later(w);
    }
}

static void read_some(vt_farm_worker *w)
{
    char count[16], block[16];
    snprintf(count, sizeof count, "%d", w->is_own_read ? room(w) : w->o.max_in_flight);
    snprintf(block, sizeof block, "%d", READ_BLOCK_MS);
    w->is_reading = true;
    if (w->is_own_read)
        vt_redis_say(w->reader, on_read, w, "XREADGROUP", "GROUP", VT_QUEUE_GROUP, w->name, "COUNT", count, "BLOCK",
                     block, "STREAMS", w->jobs_key, ">", NULL);
    else
        vt_redis_say(w->reader, on_read, w, "XREADGROUP", "GROUP", VT_QUEUE_GROUP, w->name, "COUNT", count, "STREAMS",
                     w->jobs_key, "0", NULL);
    w->is_own_read = true;
}

/* ---- taking over ---- */

struct suspect {
    vt_farm_worker *worker;
    char entry[VT_QUEUE_ENTRY_SIZE];
    int n_deliveries;
};

static void on_claimed(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct suspect *s = arg;
    vt_farm_worker *w = s->worker;
    (void)err;
    w->n_claiming--;
    if (status == VT_OK) {
        struct vt_resp_reader r = *reply;
        const size_t before = w->count.n_taken;
        take_entries(w, &r, s->n_deliveries + 1);
        w->count.n_taken_over += w->count.n_taken - before;
    }
    free(s);
}

static void on_owner(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    struct suspect *s = arg;
    vt_farm_worker *w = s->worker;
    struct vt_resp_item item;
    (void)err;
    struct vt_resp_reader r = reply ? *reply : (struct vt_resp_reader){0};
    if (status != VT_OK || !vt_resp_expect(&r, VT_RESP_INT, &item) || item.number > 0 || room(w) <= 0 ||
        w->is_stopping) {
        w->n_claiming--;
        free(s);
        return;
    }
    char idle_ms[32];
    snprintf(idle_ms, sizeof idle_ms, "%.0f", w->o.lease_s * 1e3);
    vt_redis_say(w->commands, on_claimed, s, "XCLAIM", w->jobs_key, VT_QUEUE_GROUP, w->name, idle_ms, s->entry, NULL);
}

static void suspect(vt_farm_worker *w, const struct vt_queue_pending *p)
{
    char own[VT_QUEUE_KEY_MAX];
    struct suspect *s = vt_alloc(sizeof *s);
    if (!s)
        return;
    *s = (struct suspect){.worker = w, .n_deliveries = p->n_deliveries};
    memcpy(s->entry, p->entry, sizeof s->entry);
    vt_queue_name(w->o.address, "worker", p->owner, own);
    w->n_claiming++;
    vt_redis_say(w->commands, on_owner, s, "EXISTS", own, NULL);
}

/* Entries that were given to somebody and not touched for a lease. */
static void on_pending(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    vt_farm_worker *w = arg;
    struct vt_resp_item list;
    struct vt_queue_pending p;
    (void)err;
    struct vt_resp_reader r = reply ? *reply : (struct vt_resp_reader){0};
    if (status != VT_OK || !vt_resp_expect(&r, VT_RESP_LIST, &list))
        return;
    for (int left = room(w); left > 0 && vt_queue_pending_next(&r, &p);) {
        bool is_suspect = p.n_deliveries + 1 >= SUSPECT_DELIVERIES;
        if (strcmp(p.owner, w->name) == 0 || (is_suspect && w->n_held + w->n_claiming > 0))
            continue;
        suspect(w, &p);
        left = is_suspect ? 0 : left - 1;
    }
}

static void on_sweep(void *arg)
{
    vt_farm_worker *w = arg;
    char idle_ms[32], most[16];
    w->sweep = vt_loop_after(w->o.loop, w->o.lease_s / 2, on_sweep, w);
    if (room(w) <= 0 || w->is_stopping || w->n_claiming > 0)
        return;
    snprintf(idle_ms, sizeof idle_ms, "%.0f", w->o.lease_s * 1e3);
    snprintf(most, sizeof most, "%d", SWEEP_MOST);
    vt_redis_say(w->commands, on_pending, w, "XPENDING", w->jobs_key, VT_QUEUE_GROUP, "IDLE", idle_ms, "-", "+", most,
                 NULL);
}

/* ---- the lease ---- */

static void beat(vt_farm_worker *w)
{
    char life_ms[32], until[32], long_ago[32];
    snprintf(life_ms, sizeof life_ms, "%.0f", w->o.lease_s * 1e3);
    const double now_s = (double)vt_wall_ns() / 1e9;
    snprintf(until, sizeof until, "%.3f", now_s + w->o.lease_s);
    snprintf(long_ago, sizeof long_ago, "%.3f", now_s - 86400);
    vt_redis_say(w->commands, NULL, NULL, "SET", w->own_key, w->class_id, "PX", life_ms, NULL);
    vt_redis_say(w->commands, NULL, NULL, "ZADD", w->alive_key, until, w->name, NULL); /* for whoever counts workers */
    vt_redis_say(w->commands, NULL, NULL, "ZREMRANGEBYSCORE", w->alive_key, "-inf", long_ago, NULL);
}

static void on_beat(void *arg)
{
    vt_farm_worker *w = arg;
    w->beat = vt_loop_after(w->o.loop, w->o.lease_s / 3, on_beat, w);
    beat(w);
    deliver_all(w);
    go_on(w);
}

/* ---- connections ---- */

static void commands_up(void *arg)
{
    vt_farm_worker *w = arg;
    note(w, "connected to the queue");
    vt_queue_announce(w->commands, w->o.address, &w->o.class);
    beat(w);
    deliver_all(w);
    go_on(w);
}

static void reader_up(void *arg)
{
    vt_farm_worker *w = arg;
    w->is_reading = w->is_own_read = false;
    go_on(w);
}

static void end(vt_farm_worker *w, vt_status status, const vt_err *err)
{
    if (w->is_ended)
        return;
    w->is_ended = true;
    vt_redis_say(w->commands, NULL, NULL, "DEL", w->own_key, NULL);
    vt_redis_say(w->commands, NULL, NULL, "ZREM", w->alive_key, w->name, NULL);
    w->o.ended(w->o.arg, status, err, &w->count);
}

static void on_down(void *arg, const vt_err *err, bool is_final)
{
    vt_farm_worker *w = arg;
    if (is_final)
        end(w, err->code, err);
    else
        note(w, err->msg);
}

static void reader_down(void *arg, const vt_err *err, bool is_final)
{
    vt_farm_worker *w = arg;
    w->is_reading = false;
    if (is_final)
        end(w, err->code, err);
}

/* ---- the whole ---- */

static void go_on(vt_farm_worker *w)
{
    if (w->is_ended)
        return;
    if (w->is_stopping) {
        if (!w->jobs && w->n_judging == 0)
            end(w, VT_OK, NULL);
        return;
    }
    if (!w->is_reading && !w->again && room(w) > 0 && vt_redis_is_up(w->reader) && vt_redis_is_up(w->commands))
        read_some(w);
}

static vt_status open_connections(vt_farm_worker *w, vt_err *err)
{
    struct vt_redis_opts o = {.loop = w->o.loop, .address = w->o.address, .up = commands_up, .down = on_down, .arg = w};
    VT_TRY(vt_redis_open(&o, &w->commands, err));
    o.up = reader_up;
    o.down = reader_down;
    return vt_redis_open(&o, &w->reader, err);
}

vt_status vt_farm_worker_open(const struct vt_farm_worker_opts *o, vt_farm_worker **out, vt_err *err)
{
    *out = NULL;
    vt_farm_worker *w = vt_alloc(sizeof *w);
    if (!w)
        return vt_fail(err, VT_ENOMEM, "no memory for a worker");
    w->o = *o;
    w->o.max_in_flight = o->max_in_flight > 0 ? o->max_in_flight : vt_cpu_count() + AHEAD;
    w->o.lease_s = o->lease_s > 0 ? o->lease_s : default_lease_s;
    w->o.grace_s = o->grace_s > 0 ? o->grace_s : default_grace_s;
    w->post = (struct vt_post){.fn = on_done, .arg = w};
    pthread_mutex_init(&w->lock, NULL);
    vt_status s = vt_queue_new_name(w->name, err);
    if (s == VT_OK) {
        vt_queue_class_id(&o->class, w->class_id);
        vt_queue_name(o->address, "jobs", w->class_id, w->jobs_key);
        vt_queue_name(o->address, "alive", w->class_id, w->alive_key);
        vt_queue_name(o->address, "worker", w->name, w->own_key);
        s = open_connections(w, err);
    }
    if (s != VT_OK) {
        vt_farm_worker_free(w);
        return s;
    }
    w->beat = vt_loop_after(o->loop, w->o.lease_s / 3, on_beat, w);
    w->sweep = vt_loop_after(o->loop, w->o.lease_s / 2, on_sweep, w);
    *out = w;
    return VT_OK;
}

const char *vt_farm_worker_name(const vt_farm_worker *w)
{
    return w->name;
}

static void on_grace(void *arg)
{
    vt_farm_worker *w = arg;
    w->grace = 0;
    end(w, VT_OK, NULL); /* what is still held is taken over when the lease has run out */
}

void vt_farm_worker_stop(vt_farm_worker *w)
{
    if (w->is_stopping || w->is_ended)
        return;
    w->is_stopping = true;
    w->grace = vt_loop_after(w->o.loop, w->o.grace_s, on_grace, w);
    for (struct job *j = w->jobs, *next; j; j = next) {
        next = j->next;
        if (j->stage == JUDGING)
            w->o.judge.withdraw(w->o.judge.arg, j);
    }
    go_on(w);
}

void vt_farm_worker_free(vt_farm_worker *w)
{
    vt_timer *const timers[] = {&w->beat, &w->sweep, &w->again, &w->grace};
    w->is_ended = w->is_freed = true;
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++)
        if (*timers[i])
            vt_loop_cancel(w->o.loop, *timers[i]);
    vt_redis_close(w->reader);
    vt_redis_close(w->commands);
    for (struct job *j = w->jobs, *next; j; j = next) {
        next = j->next;
        j->n_commands = 0;
        if (j->stage == JUDGING) { /* freed when its verdict comes */
            w->o.judge.withdraw(w->o.judge.arg, j);
            continue;
        }
        j->stage = GONE;
        drop(j);
    }
    take_done(w);
    destroy_unless_awaited(w);
}
