/* SPDX-License-Identifier: Apache-2.0
 *
 * line.c: build threads, a thread per lane, the queues between a caller and them.
 *
 *   vt_line_submit -> queue -> build thread: extract, build, load, check -> lane queue -> lane thread: time -> done
 *                                     `-> done (failures, skip_timing)
 *
 * Where a tier's checks disturb its timings (tier.h, checks_on_lane), load and check are the lane's. Requests that ask
 * the same of the same code while it is under way join it and share its verdict, unless `fresh`. The lane queue is
 * short: a candidate that waits there holds a live process, so build threads wait for room instead of running ahead.
 * Queued requests cost their code and a few hundred bytes.
 *
 * Every thread has a station of its own, opened by itself when it gets its first job (the first thread: at once, so
 * that a machine on which nothing can work says so when the evaluator is opened). done is called with no lock held.
 *
 * Closing: from is_closing on (set and read under the lock) nothing is taken from a queue to be judged and nothing is
 * queued; stations are told to end what runs on them; a job that meets any of this ends with ECANCELLED.
 */
#include "eval/line.h"
#include "base/alloc.h"
#include "base/fs.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_QUEUED = 1 << 20, MAX_THREADS = 64, WAITING_PER_LANE = 8, N_BUCKETS = 1024 };

struct waiter {
    struct waiter *next;
    vt_eval_done *done;
    void *arg;
};

struct job {
    struct job *next;             /* in a queue */
    struct job *next_same;        /* in a bucket of jobs under way */
    struct job *before, *after;   /* in the list of all */
    bool is_queued, is_withdrawn; /* nobody waits for it any more */
    struct waiter waiters;        /* the first one is the submitter */
    struct vt_case c;
};

struct queue {
    struct job *first, *last;
    size_t n;
};

/* A build thread or a lane's. */
struct worker {
    struct vt_line *line;
    struct vt_seat seat;
    pthread_t thread;
    bool is_started, is_joined;
    struct vt_station *station; /* written by its thread, under the lock; read by others under the lock */
};

struct vt_line {
    struct vt_lab lab;
    pthread_mutex_t lock;
    pthread_cond_t work, lane_work, lane_room, first_ready;
    struct queue queued, timing;
    struct job *under_way[N_BUCKETS];
    struct job *all;
    size_t n_pending; /* submitted, done not yet called */
    bool is_closing;
    struct worker build[MAX_THREADS], lane[VT_MAX_LANES];
    int n_build, n_build_running;
    bool is_first_ready; /* the first build thread has opened its station, or failed to: */
    vt_status first_status;
    vt_err first_err;
    struct vt_turns turns[VT_MAX_LANES];
};

/* ---- queues; the lock is held ---- */

static void push(struct queue *q, struct job *j)
{
    j->next = NULL;
    if (q->last)
        q->last->next = j;
    else
        q->first = j;
    q->last = j;
    q->n++;
}

static struct job *pop(struct queue *q)
{
    struct job *j = q->first;
    if (!j)
        return NULL;
    q->first = j->next;
    if (!q->first)
        q->last = NULL;
    q->n--;
    return j;
}

static struct job **bucket(struct vt_line *l, const struct job *j)
{
    unsigned h = 0;
    for (int i = 0; i < 8; i++)
        h = h * 31 + (unsigned char)j->c.keys.key[i];
    return &l->under_way[h % N_BUCKETS];
}

static struct job *find_same(struct vt_line *l, const struct job *j)
{
    for (struct job *k = *bucket(l, j); k; k = k->next_same)
        if (strcmp(k->c.keys.key, j->c.keys.key) == 0)
            return k;
    return NULL;
}

static void forget(struct vt_line *l, struct job *j)
{
    for (struct job **p = bucket(l, j); *p; p = &(*p)->next_same)
        if (*p == j) {
            *p = j->next_same;
            return;
        }
}

static void enter(struct vt_line *l, struct job *j)
{
    j->after = l->all;
    if (l->all)
        l->all->before = j;
    l->all = j;
}

static void leave(struct vt_line *l, struct job *j)
{
    if (j->before)
        j->before->after = j->after;
    else
        l->all = j->after;
    if (j->after)
        j->after->before = j->before;
}

static bool is_closing(struct vt_line *l)
{
    pthread_mutex_lock(&l->lock);
    bool is = l->is_closing;
    pthread_mutex_unlock(&l->lock);
    return is;
}

/* ---- ends of jobs ---- */

static void job_free(struct job *j)
{
    for (struct waiter *w = j->waiters.next, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    vt_task_unref(j->c.task);
    vt_code_free(&j->c.code);
    free(j);
}

static vt_status cancelled(const struct job *j, vt_err *err)
{
    return vt_fail(err, VT_ECANCELLED, "the evaluation of task %s was cancelled", vt_task_name(j->c.task));
}

/* Tells every waiter; the job is gone afterwards. */
static void finish(struct vt_line *l, struct job *j, vt_status s, vt_err *err)
{
    vt_verdict v;
    struct vt_buf feedback = {0}, record = {0};
    pthread_mutex_lock(&l->lock);
    forget(l, j);
    leave(l, j);
    for (struct waiter *w = &j->waiters; w; w = w->next)
        l->n_pending--;
    if (s == VT_EINTERNAL && l->is_closing)
        s = cancelled(j, err);
    pthread_mutex_unlock(&l->lock);
    if (s == VT_OK)
        s = vt_case_verdict(&l->lab, &j->c, &v, &feedback, &record, err);
    vt_case_release(&l->lab, &j->c);
    for (struct waiter *w = &j->waiters; w; w = w->next)
        w->done(w->arg, s, err, s == VT_OK ? &v : NULL);
    vt_buf_free(&feedback);
    vt_buf_free(&record);
    job_free(j);
}

/* ---- threads ---- */

/* The worker's station, opened or mended: ready for a candidate. */
static vt_status ready_station(struct worker *w, vt_err *err)
{
    struct vt_line *l = w->line;
    struct vt_station *s = w->station;
    if (s)
        return l->lab.ops->station_ready(s, err);
    VT_TRY(l->lab.ops->station_open(l->lab.tier, &w->seat, &s, err));
    pthread_mutex_lock(&l->lock);
    w->station = s;
    if (l->is_closing) /* too late to be told with the others */
        l->lab.ops->cancel(s);
    pthread_mutex_unlock(&l->lock);
    return VT_OK;
}

static struct job *next_job(struct vt_line *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->queued.first && !l->is_closing)
        pthread_cond_wait(&l->work, &l->lock);
    struct job *j = l->is_closing ? NULL : pop(&l->queued);
    if (j)
        j->is_queued = false;
    pthread_mutex_unlock(&l->lock);
    return j;
}

/* Between two stages: does anybody wait for the job? If not, nobody may join it any more. */
static vt_status check_wanted(struct vt_line *l, struct job *j, vt_err *err)
{
    pthread_mutex_lock(&l->lock);
    if (j->is_withdrawn)
        forget(l, j);
    bool is = !j->is_withdrawn;
    pthread_mutex_unlock(&l->lock);
    return is ? VT_OK : cancelled(j, err);
}

static void hand_to_lanes(struct vt_line *l, struct job *j)
{
    const size_t room = (size_t)(WAITING_PER_LANE * l->lab.caps->n_lanes);
    pthread_mutex_lock(&l->lock);
    while (l->timing.n >= room && !l->is_closing)
        pthread_cond_wait(&l->lane_room, &l->lock);
    push(&l->timing, j);
    pthread_cond_signal(&l->lane_work);
    pthread_mutex_unlock(&l->lock);
}

static void build_one(struct worker *w, struct job *j)
{
    struct vt_line *l = w->line;
    vt_err err = {0};
    bool goes_on = false;
    vt_status s = ready_station(w, &err);
    if (s == VT_OK)
        s = vt_judge_build(&l->lab, w->station, &j->c, &goes_on, &err);
    if (s == VT_OK && goes_on)
        s = check_wanted(l, j, &err);
    if (s == VT_OK && goes_on && !l->lab.caps->checks_on_lane)
        s = vt_judge_check(&l->lab, w->station, &j->c, &goes_on, &err);
    if (s == VT_OK && goes_on)
        s = check_wanted(l, j, &err);
    if (s == VT_OK && goes_on)
        hand_to_lanes(l, j);
    else
        finish(l, j, s, &err);
}

static void announce_first(struct worker *w)
{
    struct vt_line *l = w->line;
    vt_err err = {0};
    vt_status s = ready_station(w, &err);
    pthread_mutex_lock(&l->lock);
    l->first_status = s;
    l->first_err = err;
    l->is_first_ready = true;
    pthread_cond_signal(&l->first_ready);
    pthread_mutex_unlock(&l->lock);
}

static void *build_main(void *arg)
{
    struct worker *w = arg;
    struct vt_line *l = w->line;
    struct job *j;
    if (w->seat.number == 0)
        announce_first(w);
    while ((j = next_job(l)) != NULL)
        build_one(w, j);
    pthread_mutex_lock(&l->lock);
    l->n_build_running--;
    pthread_cond_broadcast(&l->lane_work);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static struct job *next_for_lane(struct vt_line *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->timing.first && !(l->is_closing && l->n_build_running == 0))
        pthread_cond_wait(&l->lane_work, &l->lock);
    struct job *j = pop(&l->timing);
    pthread_cond_signal(&l->lane_room);
    pthread_mutex_unlock(&l->lock);
    return j;
}

static void *lane_main(void *arg)
{
    struct worker *w = arg;
    struct vt_line *l = w->line;
    struct job *j;
    while ((j = next_for_lane(l)) != NULL) {
        vt_err err = {0};
        bool goes_on = true;
        vt_status s = is_closing(l) ? cancelled(j, &err) : check_wanted(l, j, &err);
        if (s == VT_OK)
            s = ready_station(w, &err);
        if (s == VT_OK && !j->c.is_checked)
            s = vt_judge_check(&l->lab, w->station, &j->c, &goes_on, &err);
        if (s == VT_OK && goes_on)
            s = check_wanted(l, j, &err);
        if (s == VT_OK && goes_on)
            s = vt_judge_time(&l->lab, w->station, w->seat.number, &j->c, &err);
        finish(l, j, s, &err);
    }
    return NULL;
}

/* ---- opening and closing ---- */

static vt_status open_lab(struct vt_line *l, const struct vt_line_opts *o, vt_err *err)
{
    struct vt_lab *lab = &l->lab;
    char *cache = NULL;
    lab->ops = o->ops;
    lab->lease = o->tier.lease;
    lab->store = o->store;
    lab->secret = o->secret;
    VT_TRY(lab->ops->open(&o->tier, &lab->tier, err));
    lab->caps = lab->ops->caps(lab->tier);
    snprintf(lab->version, sizeof lab->version, "%s/%.16s", lab->caps->evaluator, lab->caps->toolchain);
    VT_TRY(vt_cache_dir(&cache, err));
    for (int i = 0; i < lab->caps->n_lanes; i++) {
        vt_turns_open(&l->turns[i], cache, &lab->caps->lane[i]);
        CPU_OR(&lab->all_lanes.cores, &lab->all_lanes.cores, &lab->caps->lane[i].cores);
        lab->all_lanes.devices |= lab->caps->lane[i].devices;
    }
    lab->turns = l->turns;
    free(cache);
    return vt_subjects_new(lab->ops, lab->caps, lab->secret, &lab->subjects, err);
}

static vt_status start(struct vt_line *l, struct worker *w, struct vt_seat seat, void *(*run)(void *), vt_err *err)
{
    w->line = l;
    w->seat = seat;
    pthread_mutex_lock(&l->lock);
    bool is_build = seat.kind == VT_SEAT_BUILD;
    l->n_build_running += is_build;
    w->is_started = pthread_create(&w->thread, NULL, run, w) == 0;
    l->n_build_running -= is_build && !w->is_started;
    pthread_mutex_unlock(&l->lock);
    return w->is_started ? VT_OK : vt_fail(err, VT_EIO, "cannot start an evaluator thread");
}

static vt_status start_all(struct vt_line *l, vt_err *err)
{
    for (int i = 0; i < l->n_build; i++)
        VT_TRY(start(l, &l->build[i], (struct vt_seat){VT_SEAT_BUILD, i, l->n_build}, build_main, err));
    for (int i = 0; i < l->lab.caps->n_lanes; i++)
        VT_TRY(start(l, &l->lane[i], (struct vt_seat){VT_SEAT_LANE, i, l->lab.caps->n_lanes}, lane_main, err));
    pthread_mutex_lock(&l->lock);
    while (!l->is_first_ready)
        pthread_cond_wait(&l->first_ready, &l->lock);
    vt_status s = l->first_status;
    if (s != VT_OK && err)
        *err = l->first_err;
    pthread_mutex_unlock(&l->lock);
    return s;
}

vt_status vt_line_open(const struct vt_line_opts *o, struct vt_line **out, vt_err *err)
{
    *out = NULL;
    struct vt_line *l = vt_alloc(sizeof *l);
    if (!l)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->lane_work, NULL);
    pthread_cond_init(&l->lane_room, NULL);
    pthread_cond_init(&l->first_ready, NULL);
    vt_status s = open_lab(l, o, err);
    if (s == VT_OK) {
        l->n_build = o->n_build > 0 ? o->n_build : l->lab.caps->n_stations;
        l->n_build = l->n_build > MAX_THREADS ? MAX_THREADS : l->n_build;
        s = start_all(l, err);
    }
    if (s != VT_OK) {
        vt_line_close(l);
        return s;
    }
    *out = l;
    return VT_OK;
}

static int started_workers(struct vt_line *l, struct worker *out[MAX_THREADS + VT_MAX_LANES])
{
    int n = 0;
    for (int i = 0; i < MAX_THREADS; i++)
        if (l->build[i].is_started)
            out[n++] = &l->build[i];
    for (int i = 0; i < VT_MAX_LANES; i++)
        if (l->lane[i].is_started)
            out[n++] = &l->lane[i];
    return n;
}

void vt_line_stop(struct vt_line *l)
{
    struct worker *all[MAX_THREADS + VT_MAX_LANES];
    int n = started_workers(l, all);
    pthread_mutex_lock(&l->lock);
    l->is_closing = true;
    pthread_cond_broadcast(&l->work);
    pthread_cond_broadcast(&l->lane_work);
    pthread_cond_broadcast(&l->lane_room);
    for (int i = 0; i < n; i++)
        if (all[i]->station)
            l->lab.ops->cancel(all[i]->station);
    pthread_mutex_unlock(&l->lock);
    vt_line_cancel_queued(l);
    for (int i = 0; i < n; i++)
        if (!all[i]->is_joined) {
            pthread_join(all[i]->thread, NULL);
            all[i]->is_joined = true;
        }
}

void vt_line_close(struct vt_line *l)
{
    struct worker *all[MAX_THREADS + VT_MAX_LANES];
    if (!l)
        return;
    vt_line_stop(l);
    vt_subjects_free(l->lab.subjects);
    for (int i = 0, n = started_workers(l, all); i < n; i++)
        if (all[i]->station)
            l->lab.ops->station_close(all[i]->station);
    for (int i = 0; i < VT_MAX_LANES; i++)
        vt_turns_close(&l->turns[i]);
    if (l->lab.tier)
        l->lab.ops->close(l->lab.tier);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->lane_work);
    pthread_cond_destroy(&l->lane_room);
    pthread_cond_destroy(&l->first_ready);
    free(l);
}

/* ---- requests ---- */

static vt_status check_request(const struct vt_line *l, const struct vt_eval_request *r, const char **scale,
                               vt_err *err)
{
    *scale = r->scale ? r->scale : l->lab.caps->scale;
    if (!r->task || !r->code || strlen(*scale) >= sizeof((struct vt_case *)0)->scale)
        return vt_fail(err, VT_EINVAL, "cannot evaluate: a request needs a task, code and the name of a scale");
    return VT_OK;
}

vt_status vt_line_key(const struct vt_line *l, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err)
{
    const char *scale;
    struct vt_code code;
    struct vt_case_keys keys;
    bool is_copy;
    VT_TRY(check_request(l, r, &scale, err));
    VT_TRY(vt_case_name(&l->lab, r, scale, &code, &is_copy, &keys, err));
    memcpy(key, keys.key, VT_EVAL_KEY_SIZE);
    vt_code_free(&code);
    return VT_OK;
}

/* A request whose inputs would be too large is refused at once, before its code is compiled. */
static vt_status check_sizes(const struct vt_line *l, const struct vt_eval_request *r, const char *scale, vt_err *err)
{
    struct vt_pool pool;
    if (!vt_task_has_scale(r->task, scale)) /* judged all the same: bad code is bad at any scale */
        return VT_OK;
    vt_pool_plan(&pool, r->task, scale, r->protocol == VT_PROTOCOL_FULL, l->lab.caps->max_series > 0, l->lab.secret);
    return vt_pool_check(&pool, l->lab.ops->name, l->lab.caps->max_pool_bytes, err);
}

static vt_status make_job(struct vt_line *l, const struct vt_eval_request *r, vt_eval_done *done, void *arg,
                          struct job **out, vt_err *err)
{
    const char *scale;
    VT_TRY(check_request(l, r, &scale, err));
    VT_TRY(check_sizes(l, r, scale, err));
    struct job *j = vt_alloc(sizeof *j);
    if (!j)
        return vt_fail(err, VT_ENOMEM, "cannot queue an evaluation: out of memory");
    vt_status s = vt_case_name(&l->lab, r, scale, &j->c.code, &j->c.is_copy_text, &j->c.keys, err);
    if (s != VT_OK) {
        free(j);
        return s;
    }
    j->c.task = vt_task_ref(r->task);
    j->c.is_fresh = r->fresh;
    j->c.skip_timing = r->skip_timing;
    j->c.protocol = r->protocol;
    memcpy(j->c.scale, scale, strlen(scale) + 1);
    j->waiters.done = done;
    j->waiters.arg = arg;
    *out = j;
    return VT_OK;
}

vt_status vt_line_submit(struct vt_line *l, const struct vt_eval_request *r, vt_eval_done *done, void *arg, vt_err *err)
{
    struct job *j = NULL, *spare = NULL;
    struct waiter *w = vt_alloc(sizeof *w);
    vt_status s =
        w ? make_job(l, r, done, arg, &j, err) : vt_fail(err, VT_ENOMEM, "cannot queue an evaluation: out of memory");
    if (s != VT_OK) {
        free(w);
        return s;
    }
    pthread_mutex_lock(&l->lock);
    struct job *same = j->c.is_fresh ? NULL : find_same(l, j);
    if (l->is_closing) {
        s = cancelled(j, err);
        spare = j;
    } else if (l->queued.n >= MAX_QUEUED) {
        s = vt_fail(err, VT_ELIMIT, "cannot queue an evaluation: %d are waiting", MAX_QUEUED);
        spare = j;
    } else if (same) {
        *w = (struct waiter){same->waiters.next, done, arg};
        same->waiters.next = w;
        same->is_withdrawn = false;
        w = NULL;
        spare = j;
        l->n_pending++;
    } else {
        if (!j->c.is_fresh) {
            struct job **b = bucket(l, j);
            j->next_same = *b;
            *b = j;
        }
        enter(l, j);
        j->is_queued = true;
        push(&l->queued, j);
        l->n_pending++;
        pthread_cond_signal(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
    free(w);
    if (spare)
        job_free(spare);
    return s;
}

/* Takes the waiter with this argument off a job that has others; the first one is part of the job. */
static void take_waiter(struct job *j, const void *arg, struct waiter *out)
{
    struct waiter *first = &j->waiters, **link = &first->next;
    while (first->arg != arg && (*link)->arg != arg)
        link = &(*link)->next;
    struct waiter *gone = *link;
    if (first->arg == arg) {
        *out = *first;
        *first = *gone;
    } else {
        *out = *gone;
        *link = gone->next;
    }
    free(gone);
}

static bool waits_for(const struct job *j, const void *arg)
{
    for (const struct waiter *w = &j->waiters; w; w = w->next)
        if (w->arg == arg)
            return true;
    return false;
}

static void unqueue(struct vt_line *l, struct job *j)
{
    struct queue rest = {0};
    for (struct job *k; (k = pop(&l->queued));)
        if (k != j)
            push(&rest, k);
    l->queued = rest;
    j->is_queued = false;
    forget(l, j);
}

bool vt_line_cancel(struct vt_line *l, const void *arg)
{
    struct waiter w = {0};
    struct job *j;
    vt_err err;
    bool was_queued = false;
    pthread_mutex_lock(&l->lock);
    for (j = l->all; j && !waits_for(j, arg);)
        j = j->after;
    bool is_found = j != NULL;
    if (j && j->waiters.next) {
        take_waiter(j, arg, &w);
        l->n_pending--;
        (void)cancelled(j, &err);
    } else if (j && (was_queued = j->is_queued)) {
        unqueue(l, j);
    } else if (j) {
        j->is_withdrawn = true;
    }
    pthread_mutex_unlock(&l->lock);
    if (w.done)
        w.done(w.arg, VT_ECANCELLED, &err, NULL);
    else if (was_queued)
        finish(l, j, cancelled(j, &err), &err);
    return is_found;
}

void vt_line_cancel_queued(struct vt_line *l)
{
    for (;;) {
        vt_err err;
        pthread_mutex_lock(&l->lock);
        struct job *j = pop(&l->queued);
        if (j)
            j->is_queued = false;
        pthread_mutex_unlock(&l->lock);
        if (!j)
            return;
        finish(l, j, cancelled(j, &err), &err);
    }
}

size_t vt_line_pending(const struct vt_line *l)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&l->lock;
    pthread_mutex_lock(lock);
    size_t n = l->n_pending;
    pthread_mutex_unlock(lock);
    return n;
}

const struct vt_lab *vt_line_lab(const struct vt_line *l)
{
    return &l->lab;
}
