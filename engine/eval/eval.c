/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.c: vt_eval: build threads, one timing thread, the queue between a caller and them.
 *
 *   vt_eval_submit -> queue -> build thread: extract, build, load, check -> timing queue -> timing thread -> done
 *                                     `-> done (failures, skip_timing)
 *
 * Requests that ask the same of the same code while it is under way join it and share its verdict, unless `fresh`. The
 * timing queue is short: a candidate that waits there holds a live process, so build threads wait for room instead of
 * running ahead. Queued requests cost their code and a few hundred bytes.
 *
 * Every thread has a station (broker and output memory) of its own. A broker that died is replaced before the next
 * candidate; the case that met it fails with EINTERNAL.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/rng.h"
#include "eval/c/scratch.h"
#include "eval/judge.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_QUEUED = 1 << 20, MAX_THREADS = 64, MAX_TIMING = 8, MAX_RETIRED = 64, N_BUCKETS = 1024, TIMING_NICE = -15 };

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

struct build_thread {
    vt_eval *e;
    pthread_t thread;
    struct vt_station station;
    int index;
};

struct vt_eval {
    struct vt_lab lab;
    struct vt_roofline roofline;
    pthread_mutex_t lock;
    pthread_cond_t work, timing_work, timing_room;
    struct queue queued, timing;
    struct job *under_way[N_BUCKETS];
    struct job *all;
    size_t n_pending; /* submitted, done not yet called */
    bool is_closing, owns_lease;
    struct build_thread build[MAX_THREADS];
    int n_build, n_build_running;
    struct build_thread timer;
    char *dir;
    struct vt_broker *retired[MAX_RETIRED]; /* dead brokers: runners may still point to them */
    int n_retired;
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

static struct job **bucket(vt_eval *e, const struct job *j)
{
    unsigned h = 0;
    for (int i = 0; i < 8; i++)
        h = h * 31 + (unsigned char)j->c.keys.key[i];
    return &e->under_way[h % N_BUCKETS];
}

static struct job *find_same(vt_eval *e, const struct job *j)
{
    for (struct job *k = *bucket(e, j); k; k = k->next_same)
        if (strcmp(k->c.keys.key, j->c.keys.key) == 0)
            return k;
    return NULL;
}

static void forget(vt_eval *e, struct job *j)
{
    for (struct job **p = bucket(e, j); *p; p = &(*p)->next_same)
        if (*p == j) {
            *p = j->next_same;
            return;
        }
}

static void enter(vt_eval *e, struct job *j)
{
    j->after = e->all;
    if (e->all)
        e->all->before = j;
    e->all = j;
}

static void leave(vt_eval *e, struct job *j)
{
    if (j->before)
        j->before->after = j->after;
    else
        e->all = j->after;
    if (j->after)
        j->after->before = j->before;
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

/* Tells every waiter; the job is gone afterwards. */
static void finish(vt_eval *e, struct job *j, vt_status s, vt_err *err)
{
    vt_verdict v;
    struct vt_buf feedback = {0}, record = {0};
    pthread_mutex_lock(&e->lock);
    forget(e, j);
    leave(e, j);
    for (struct waiter *w = &j->waiters; w; w = w->next)
        e->n_pending--;
    if (s == VT_EINTERNAL && e->is_closing)
        s = vt_fail(err, VT_ECANCELLED, "the evaluation of task %s was cancelled", vt_task_name(j->c.task));
    pthread_mutex_unlock(&e->lock);
    if (s == VT_OK)
        s = vt_case_verdict(&e->lab, &j->c, &v, &feedback, &record, err);
    vt_case_release(&e->lab, &j->c);
    for (struct waiter *w = &j->waiters; w; w = w->next)
        w->done(w->arg, s, err, s == VT_OK ? &v : NULL);
    vt_buf_free(&feedback);
    vt_buf_free(&record);
    job_free(j);
}

static void cancel(vt_eval *e, struct job *j)
{
    vt_err err;
    (void)vt_fail(&err, VT_ECANCELLED, "the evaluation of task %s was cancelled", vt_task_name(j->c.task));
    finish(e, j, VT_ECANCELLED, &err);
}

/* ---- threads ---- */

static vt_status open_station(vt_eval *e, struct build_thread *t, vt_err *err)
{
    char name[32];
    if (t->station.broker && vt_broker_is_alive(t->station.broker))
        return VT_OK;
    pthread_mutex_lock(&e->lock);
    bool may_open = !e->is_closing && e->n_retired < MAX_RETIRED;
    if (may_open && t->station.broker) {
        e->retired[e->n_retired++] = t->station.broker;
        t->station.broker = NULL;
    }
    pthread_mutex_unlock(&e->lock);
    if (!may_open)
        return vt_fail(err, VT_ECANCELLED, "the evaluator is closing, or its workers keep dying");
    snprintf(name, sizeof name, "%s%d", t->index < 0 ? "timer" : "build", t->index < 0 ? 0 : t->index);
    struct vt_broker *b = NULL;
    VT_TRY(vt_broker_open(e->dir, name, 0, &b, err));
    pthread_mutex_lock(&e->lock);
    t->station.broker = b;
    pthread_mutex_unlock(&e->lock);
    return VT_OK;
}

static struct job *next_job(vt_eval *e)
{
    pthread_mutex_lock(&e->lock);
    while (!e->queued.first && !e->is_closing)
        pthread_cond_wait(&e->work, &e->lock);
    struct job *j = e->is_closing ? NULL : pop(&e->queued);
    if (j)
        j->is_queued = false;
    pthread_mutex_unlock(&e->lock);
    return j;
}

/* Between two stages: does anybody wait for the job? If not, nobody may join it any more. */
static bool is_wanted(vt_eval *e, struct job *j)
{
    pthread_mutex_lock(&e->lock);
    if (j->is_withdrawn)
        forget(e, j);
    bool is = !j->is_withdrawn;
    pthread_mutex_unlock(&e->lock);
    return is;
}

static void hand_to_timer(vt_eval *e, struct job *j)
{
    pthread_mutex_lock(&e->lock);
    while (e->timing.n >= MAX_TIMING && !e->is_closing)
        pthread_cond_wait(&e->timing_room, &e->lock);
    push(&e->timing, j);
    pthread_cond_signal(&e->timing_work);
    pthread_mutex_unlock(&e->lock);
}

static void *build_main(void *arg)
{
    struct build_thread *t = arg;
    vt_eval *e = t->e;
    struct job *j;
    while ((j = next_job(e)) != NULL) {
        vt_err err = {0};
        bool wants_timing = false;
        vt_status s = open_station(e, t, &err);
        if (s == VT_OK)
            s = vt_judge_check(&e->lab, &t->station, &j->c, &wants_timing, &err);
        if (s == VT_OK && wants_timing && !is_wanted(e, j))
            cancel(e, j);
        else if (s == VT_OK && wants_timing)
            hand_to_timer(e, j);
        else
            finish(e, j, s, &err);
    }
    pthread_mutex_lock(&e->lock);
    e->n_build_running--;
    pthread_cond_signal(&e->timing_work);
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

static void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static struct job *next_timing(vt_eval *e)
{
    pthread_mutex_lock(&e->lock);
    while (!e->timing.first && !(e->is_closing && e->n_build_running == 0))
        pthread_cond_wait(&e->timing_work, &e->lock);
    struct job *j = pop(&e->timing);
    pthread_cond_signal(&e->timing_room);
    pthread_mutex_unlock(&e->lock);
    return j;
}

static void *timer_main(void *arg)
{
    struct build_thread *t = arg;
    vt_eval *e = t->e;
    struct job *j;
    if (e->lab.clock == VT_CLOCK_SPIN)
        pin_to(e->lab.cores.clock_cpu);
    /* Of this thread; granted to root only. Not a real-time priority: the kernel's own threads must run on its core. */
    setpriority(PRIO_PROCESS, 0, TIMING_NICE);
    while ((j = next_timing(e)) != NULL) {
        vt_err err = {0};
        if (!is_wanted(e, j)) {
            cancel(e, j);
            continue;
        }
        vt_status s =
            e->is_closing ? vt_fail(&err, VT_ECANCELLED, "the evaluator is closing") : open_station(e, t, &err);
        if (s == VT_OK)
            s = vt_judge_time(&e->lab, &t->station, &j->c, &err);
        finish(e, j, s, &err);
    }
    return NULL;
}

/* ---- opening and closing ---- */

/* Both names stand in file names and in keys: no spaces. */
static void name_identity(const struct vt_compiler *cc, struct vt_eval_identity *out)
{
    vt_machine_class(out->machine, sizeof out->machine);
    for (char *p = out->machine; *p; p++)
        if (*p == ' ')
            *p = '_';
    snprintf(out->version, sizeof out->version, "%s/%.16s", VT_EVALUATOR_VERSION, cc->id);
}

vt_status vt_eval_identity_of(const char *cc, struct vt_eval_identity *out, vt_err *err)
{
    struct vt_compiler found;
    vt_status s = vt_compiler_find(cc, &found, err);
    if (s == VT_OK)
        name_identity(&found, out);
    vt_compiler_free(&found);
    return s;
}

static vt_status open_lab(vt_eval *e, const struct vt_eval_opts *o, vt_err *err)
{
    struct vt_lab *lab = &e->lab;
    char *cache = NULL, *truth = NULL, name[256];
    lab->allow_unsafe_jail = o->unsafe_jail;
    lab->secret = o->secret;
    if (!lab->secret && getrandom(&lab->secret, sizeof lab->secret, 0) != (ssize_t)sizeof lab->secret)
        return vt_fail(err, VT_EIO, "cannot draw a secret from the kernel: %s", strerror(errno));
    lab->lease = o->lease ? o->lease : vt_lease_new();
    e->owns_lease = !o->lease;
    vt_cores_choose(&lab->cores);
    lab->clock = lab->cores.clock_cpu >= 0 ? VT_CLOCK_SPIN : VT_CLOCK_SLEEP;
    VT_TRY(vt_compiler_find(o->cc, &lab->cc, err));
    struct vt_eval_identity who;
    name_identity(&lab->cc, &who);
    memcpy(lab->machine, who.machine, sizeof lab->machine);
    memcpy(lab->version, who.version, sizeof lab->version);
    VT_TRY(vt_cache_dir(&cache, err));
    char *lock = vt_path_join(cache, "timing.lock");
    lab->machine_lock = lock ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    free(lock);
    snprintf(name, sizeof name, "roofline-%s.json", lab->machine);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '-';
    truth = vt_path_join(cache, "truth");
    lab->roofline = &e->roofline;
    lab->roofline_file = vt_path_join(cache, name);
    vt_status s =
        truth && lab->roofline_file ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    if (s == VT_OK)
        s = vt_roofline_get(lab->roofline_file, lab->roofline, err);
    if (s == VT_OK)
        s = vt_subjects_new(truth, lab->secret, &lab->subjects, err);
    if (s == VT_OK && o->store && !o->no_cache)
        s = vt_content_open(o->store, &lab->store, err);
    free(cache);
    free(truth);
    return s;
}

static vt_status start_threads(vt_eval *e, vt_err *err)
{
    for (int i = 0; i < e->n_build; i++) {
        struct build_thread *t = &e->build[i];
        *t = (struct build_thread){.e = e, .index = i, .station.outputs.fd = -1};
        if (i == 0) {
            VT_TRY(open_station(e, t, err));
            if (!e->lab.allow_unsafe_jail)
                VT_TRY(vt_jail_floor(vt_broker_jail(t->station.broker), err));
        }
        if (pthread_create(&t->thread, NULL, build_main, t) != 0)
            return vt_fail(err, VT_EIO, "cannot start an evaluator thread");
        pthread_mutex_lock(&e->lock);
        e->n_build_running++;
        pthread_mutex_unlock(&e->lock);
    }
    e->timer = (struct build_thread){.e = e, .index = -1, .station.outputs.fd = -1};
    if (pthread_create(&e->timer.thread, NULL, timer_main, &e->timer) != 0)
        return vt_fail(err, VT_EIO, "cannot start the evaluator's timing thread");
    return VT_OK;
}

vt_status vt_eval_open(const struct vt_eval_opts *o, vt_eval **out, vt_err *err)
{
    *out = NULL;
    vt_eval *e = vt_alloc(sizeof *e);
    if (!e)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    e->lab.machine_lock = -1;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->work, NULL);
    pthread_cond_init(&e->timing_work, NULL);
    pthread_cond_init(&e->timing_room, NULL);
    e->n_build = o->n_build > 0 ? o->n_build : vt_cpu_count();
    e->n_build = e->n_build > MAX_THREADS ? MAX_THREADS : e->n_build;
    vt_status s = open_lab(e, o, err);
    if (s == VT_OK)
        s = vt_scratch_make(&e->dir, err);
    if (s == VT_OK)
        s = start_threads(e, err);
    if (s != VT_OK) {
        vt_eval_close(e);
        return s;
    }
    *out = e;
    return VT_OK;
}

static void close_station(struct build_thread *t)
{
    vt_outputs_free(&t->station.outputs);
    vt_broker_close(t->station.broker);
}

void vt_eval_close(vt_eval *e)
{
    if (!e)
        return;
    vt_eval_cancel_all(e);
    pthread_mutex_lock(&e->lock);
    e->is_closing = true;
    pthread_cond_broadcast(&e->work);
    pthread_cond_broadcast(&e->timing_work);
    pthread_cond_broadcast(&e->timing_room);
    for (int i = 0; i < e->n_build; i++)
        if (e->build[i].station.broker)
            vt_broker_shutdown(e->build[i].station.broker);
    if (e->timer.station.broker)
        vt_broker_shutdown(e->timer.station.broker);
    pthread_mutex_unlock(&e->lock);
    for (int i = 0; i < e->n_build; i++)
        if (e->build[i].thread)
            pthread_join(e->build[i].thread, NULL);
    if (e->timer.thread)
        pthread_join(e->timer.thread, NULL);
    vt_subjects_free(e->lab.subjects);
    for (int i = 0; i < e->n_build; i++)
        close_station(&e->build[i]);
    close_station(&e->timer);
    for (int i = 0; i < e->n_retired; i++)
        vt_broker_close(e->retired[i]);
    vt_content_close(e->lab.store);
    if (e->owns_lease)
        vt_lease_free(e->lab.lease);
    free(e->lab.roofline_file);
    vt_compiler_free(&e->lab.cc);
    if (e->lab.machine_lock >= 0)
        close(e->lab.machine_lock);
    vt_scratch_remove(e->dir);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->work);
    pthread_cond_destroy(&e->timing_work);
    pthread_cond_destroy(&e->timing_room);
    free(e);
}

/* ---- requests ---- */

static vt_status check_request(const struct vt_eval_request *r, const char **scale, vt_err *err)
{
    *scale = r->scale ? r->scale : "cpu";
    if (!r->task || !r->code || strlen(*scale) >= sizeof((struct vt_case *)0)->scale)
        return vt_fail(err, VT_EINVAL, "cannot evaluate: a request needs a task, code and the name of a scale");
    return VT_OK;
}

vt_status vt_eval_key(const vt_eval *e, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err)
{
    const char *scale;
    struct vt_code code;
    struct vt_case_keys keys;
    VT_TRY(check_request(r, &scale, err));
    VT_TRY(vt_case_name(&e->lab, r, scale, &code, &keys, err));
    memcpy(key, keys.key, VT_EVAL_KEY_SIZE);
    vt_code_free(&code);
    return VT_OK;
}

static vt_status make_job(vt_eval *e, const struct vt_eval_request *r, vt_eval_done *done, void *arg, struct job **out,
                          vt_err *err)
{
    const char *scale;
    VT_TRY(check_request(r, &scale, err));
    struct job *j = vt_alloc(sizeof *j);
    if (!j)
        return vt_fail(err, VT_ENOMEM, "cannot queue an evaluation: out of memory");
    vt_status s = vt_case_name(&e->lab, r, scale, &j->c.code, &j->c.keys, err);
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

vt_status vt_eval_submit(vt_eval *e, const struct vt_eval_request *r, vt_eval_done *done, void *arg, vt_err *err)
{
    struct job *j = NULL, *spare = NULL;
    struct waiter *w = vt_alloc(sizeof *w);
    vt_status s =
        w ? make_job(e, r, done, arg, &j, err) : vt_fail(err, VT_ENOMEM, "cannot queue an evaluation: out of memory");
    if (s != VT_OK) {
        free(w);
        return s;
    }
    pthread_mutex_lock(&e->lock);
    struct job *same = j->c.is_fresh ? NULL : find_same(e, j);
    if (e->queued.n >= MAX_QUEUED) {
        s = vt_fail(err, VT_ELIMIT, "cannot queue an evaluation: %d are waiting", MAX_QUEUED);
        spare = j;
    } else if (same) {
        *w = (struct waiter){same->waiters.next, done, arg};
        same->waiters.next = w;
        same->is_withdrawn = false;
        w = NULL;
        spare = j;
        e->n_pending++;
    } else {
        if (!j->c.is_fresh) {
            struct job **b = bucket(e, j);
            j->next_same = *b;
            *b = j;
        }
        enter(e, j);
        j->is_queued = true;
        push(&e->queued, j);
        e->n_pending++;
        pthread_cond_signal(&e->work);
    }
    pthread_mutex_unlock(&e->lock);
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

static void unqueue(vt_eval *e, struct job *j)
{
    struct queue rest = {0};
    for (struct job *k; (k = pop(&e->queued));)
        if (k != j)
            push(&rest, k);
    e->queued = rest;
    j->is_queued = false;
    forget(e, j);
}

void vt_eval_cancel(vt_eval *e, void *arg)
{
    struct waiter w = {0};
    struct job *j;
    bool was_queued = false;
    pthread_mutex_lock(&e->lock);
    for (j = e->all; j && !waits_for(j, arg);)
        j = j->after;
    if (j && j->waiters.next) {
        take_waiter(j, arg, &w);
        e->n_pending--;
    } else if (j && (was_queued = j->is_queued)) {
        unqueue(e, j);
    } else if (j) {
        j->is_withdrawn = true;
    }
    vt_err err;
    if (w.done)
        (void)vt_fail(&err, VT_ECANCELLED, "the evaluation of task %s was cancelled", vt_task_name(j->c.task));
    pthread_mutex_unlock(&e->lock);
    if (w.done)
        w.done(w.arg, VT_ECANCELLED, &err, NULL);
    else if (was_queued)
        cancel(e, j);
}

void vt_eval_cancel_all(vt_eval *e)
{
    for (;;) {
        pthread_mutex_lock(&e->lock);
        struct job *j = pop(&e->queued);
        if (j)
            j->is_queued = false;
        pthread_mutex_unlock(&e->lock);
        if (!j)
            return;
        cancel(e, j);
    }
}

size_t vt_eval_pending(const vt_eval *e)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&e->lock;
    pthread_mutex_lock(lock);
    size_t n = e->n_pending;
    pthread_mutex_unlock(lock);
    return n;
}

const char *vt_eval_version(const vt_eval *e)
{
    return e->lab.version;
}

const char *vt_eval_machine(const vt_eval *e)
{
    return e->lab.machine;
}
