/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.c: clients, the requests taken on, and when it is over.
 *
 *   a client's line -> request -> judge -> (its thread) done list -> loop -> answer -> the client's unsent bytes
 *
 * Backpressure: a line is taken only while there is room for another request, from one client after the other, a client
 * whose next line waits is not read from, and neither is one that leaves SLOW_BYTES of answers unread. So a client that
 * sends faster than the evaluator judges fills its own pipe, one that does not read stops itself, and none stops the
 * others.
 *
 * A client that has shut its writing side down stays until its last answer is out. One that has gone altogether takes
 * its requests with it: they are withdrawn from the judge. Who is not being read from is looked at four times a second.
 *
 * A server that was stopped waits grace_s for the judge and for readers. What the judge has not given by then is
 * answered as not judged (it may be a compiler's minute away), what nobody has read is lost, and it is over.
 *
 * A verdict comes on a thread of the judge's. It goes into a list and the loop is woken, neither of which needs memory.
 */
#include "farm/serve.h"
#include "base/alloc.h"
#include "farm/answer.h"
#include "farm/listen.h"
#include "farm/peer.h"
#include "farm/request.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CLIENTS = 256, SLOW_BYTES = 4 << 20, IN_FLIGHT = 256, ANSWER_MAX = 8 << 20 };
static const double retry_s = 0.02, look_s = 0.25, default_grace_s = 5;

struct job;

struct client {
    vt_serve *server;
    struct vt_peer peer;
    bool is_used, is_watched;
    struct job *jobs;
};

struct job {
    struct job *next;      /* of its client's; the loop's thread */
    struct job *next_done; /* in the done list */
    vt_serve *server;
    struct client *client; /* NULL: it is gone */
    char *id;
    size_t line;
    vt_status status;
    vt_err err;
    char *record;
};

struct vt_serve {
    struct vt_serve_opts o;
    char *path;
    int listen_fd;
    bool is_listening; /* the descriptor is watched */
    bool is_stopping, is_ended, is_freed;
    bool is_abandoned; /* the grace time is over: nothing is waited for any more */
    struct client client[MAX_CLIENTS];
    size_t turn; /* whose line comes next */
    int n_in_flight;
    struct vt_serve_count count;
    vt_status status; /* why the output was lost */
    vt_err err;
    vt_timer retry, look, grace;
    pthread_mutex_t lock; /* of what follows */
    struct job *done;
    bool is_posted; /* the loop will look at done */
    struct vt_post post;
};

static void go_on(vt_serve *s);

/* ---- jobs ---- */

static void client_forget(struct client *c, struct job *j)
{
    for (struct job **p = &c->jobs; *p; p = &(*p)->next)
        if (*p == j) {
            *p = j->next;
            return;
        }
}

/* The client is gone: so are its requests. */
static void client_drop(struct client *c)
{
    vt_serve *s = c->server;
    struct job *jobs = c->jobs;
    if (c->is_watched)
        vt_loop_unwatch(s->o.loop, c->peer.in_fd);
    vt_peer_close(&c->peer);
    *c = (struct client){.server = s};
    for (struct job *j = jobs; j; j = j->next)
        j->client = NULL;
    /* done may be called from within; jobs are freed later, in take_done. */
    for (struct job *j = jobs; j; j = j->next)
        s->o.judge.withdraw(s->o.judge.arg, j);
}

static void client_send(struct client *c, const struct vt_buf *line)
{
    vt_serve *s = c->server;
    vt_err err;
    vt_status status = vt_buf_check(line, "an answer", &err);
    if (status == VT_OK)
        status = vt_peer_put(&c->peer, line->p, line->len, &err);
    if (status == VT_OK)
        status = vt_peer_flush(&c->peer, &err);
    if (status == VT_OK)
        return;
    /* Without a socket there is nobody else to serve: what could not be written is how the server ends. */
    if (!s->path && status != VT_ECANCELLED) {
        s->status = status;
        s->err = err;
    }
    client_drop(c);
}

static void send_error(struct client *c, const char *id, size_t line, const vt_err *why)
{
    struct vt_buf text;
    c->server->count.n_refused++;
    vt_buf_init(&text, ANSWER_MAX);
    vt_farm_answer_error(id, line, why, &text);
    client_send(c, &text);
    vt_buf_free(&text);
}

static void send_verdict(struct client *c, const struct job *j)
{
    struct vt_buf text;
    c->server->count.n_judged++;
    vt_buf_init(&text, ANSWER_MAX);
    vt_farm_answer_verdict(j->id, j->record, &text);
    client_send(c, &text);
    vt_buf_free(&text);
}

static void send_dropped(struct client *c, const struct job *j)
{
    struct vt_buf text;
    vt_err err;
    c->server->count.n_dropped++;
    (void)vt_fail(&err, VT_ECANCELLED, "not judged: the server was told to stop first; ask again");
    vt_buf_init(&text, ANSWER_MAX);
    vt_farm_answer_error(j->id, j->line, &err, &text);
    client_send(c, &text);
    vt_buf_free(&text);
}

/* ---- verdicts ---- */

static void serve_destroy(vt_serve *s)
{
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

/* The jobs that ended since the last look, in the order in which they did. */
static struct job *done_jobs(vt_serve *s)
{
    struct job *in_order = NULL;
    pthread_mutex_lock(&s->lock);
    struct job *jobs = s->done;
    s->done = NULL;
    pthread_mutex_unlock(&s->lock);
    for (struct job *next; jobs; jobs = next) {
        next = jobs->next_done;
        jobs->next_done = in_order;
        in_order = jobs;
    }
    return in_order;
}

static void take_done(vt_serve *s)
{
    for (struct job *j = done_jobs(s), *next; j; j = next) {
        struct client *c = j->client;
        next = j->next_done;
        s->n_in_flight--;
        if (c)
            client_forget(c, j);
        if (!c)
            s->count.n_dropped++;
        else if (j->status == VT_OK)
            send_verdict(c, j);
        else if (j->status == VT_ECANCELLED)
            send_dropped(c, j);
        else
            send_error(c, j->id, j->line, &j->err);
        free(j->id);
        free(j->record);
        free(j);
    }
}

/* A freed server goes when nobody will touch it any more: no verdict is awaited and no post is on its way. */
static void destroy_unless_awaited(vt_serve *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_awaited = s->is_posted || s->n_in_flight > 0;
    pthread_mutex_unlock(&s->lock);
    if (!is_awaited)
        serve_destroy(s);
}

static void on_done(void *arg)
{
    vt_serve *s = arg;
    pthread_mutex_lock(&s->lock);
    s->is_posted = false;
    pthread_mutex_unlock(&s->lock);
    take_done(s);
    if (!s->is_freed)
        go_on(s);
    else
        destroy_unless_awaited(s);
}

/* A thread of the judge's. */
static void on_verdict(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct job *j = arg;
    vt_serve *s = j->server;
    j->status = status;
    if (status == VT_OK && !(j->record = vt_strdup(v->json)))
        j->status = vt_fail(&j->err, VT_ENOMEM, "no memory for a verdict");
    else if (status != VT_OK && err)
        j->err = *err;
    pthread_mutex_lock(&s->lock);
    j->next_done = s->done;
    s->done = j; /* from here on the job may be gone */
    if (!s->is_posted)
        vt_loop_post(s->o.loop, &s->post);
    s->is_posted = true;
    pthread_mutex_unlock(&s->lock);
}

/* ---- requests ---- */

static vt_status submit(struct client *c, const struct vt_farm_request *r, vt_task *task, char **id, size_t line,
                        vt_err *err)
{
    vt_serve *s = c->server;
    struct vt_eval_request request;
    struct job *j = vt_alloc(sizeof *j);
    if (!j)
        return vt_fail(err, VT_ENOMEM, "no memory for a request");
    *j = (struct job){.next = c->jobs, .server = s, .client = c, .id = *id, .line = line};
    vt_farm_request_fill(r, task, &request);
    vt_status status = s->o.judge.submit(s->o.judge.arg, &request, on_verdict, j, err);
    if (status != VT_OK) {
        free(j);
        return status;
    }
    *id = NULL;
    c->jobs = j;
    s->n_in_flight++;
    return VT_OK;
}

static void take_line(struct client *c, const struct vt_peer_line *line)
{
    vt_serve *s = c->server;
    struct vt_farm_request r = {0};
    vt_task *task = NULL;
    vt_err err;
    s->count.n_requests++;
    vt_status status = line->text ? vt_farm_request_parse(line->text, line->len, &r, &err)
                                  : vt_fail(&err, VT_ELIMIT, "the line is longer than %d MB", VT_PEER_LINE_MAX >> 20);
    if (status == VT_OK && r.parsed)
        task = vt_task_ref(r.parsed);
    else if (status == VT_OK)
        status = s->o.task(s->o.task_arg, r.task, &task, &err);
    if (status == VT_OK)
        status = submit(c, &r, task, &r.id, line->number, &err);
    if (status != VT_OK)
        send_error(c, r.id, line->number, &err);
    vt_task_unref(task);
    vt_farm_request_free(&r);
}

static bool has_room(const vt_serve *s)
{
    return !s->is_stopping && s->n_in_flight < s->o.max_in_flight;
}

static bool may_ask(const struct client *c)
{
    return c->is_used && vt_peer_unsent(&c->peer) < SLOW_BYTES;
}

/* One line each, from one client after the other, while there is room. */
static void take_lines(vt_serve *s)
{
    for (size_t n_idle = 0; n_idle < MAX_CLIENTS && has_room(s); s->turn = (s->turn + 1) % MAX_CLIENTS) {
        struct client *c = &s->client[s->turn];
        struct vt_peer_line line;
        n_idle++;
        if (may_ask(c) && vt_peer_line(&c->peer, &line)) {
            n_idle = 0;
            take_line(c, &line);
        }
    }
}

/* ---- descriptors ---- */

static void on_readable(void *arg)
{
    struct client *c = arg;
    vt_serve *s = c->server;
    vt_err err;
    vt_peer_read(&c->peer);
    if (vt_buf_check(&c->peer.in, "the lines of a client", &err) != VT_OK) {
        if (!s->path) {
            s->status = err.code;
            s->err = err;
        }
        send_error(c, NULL, c->peer.n_lines + 1, &err);
    }
    go_on(s);
}

static struct client *free_client(vt_serve *s)
{
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (!s->client[i].is_used)
            return &s->client[i];
    return NULL;
}

static void client_begin(struct client *c, int in_fd, int out_fd, bool owns)
{
    c->is_used = true;
    vt_peer_init(&c->peer, in_fd, out_fd, owns);
}

static void on_client(void *arg)
{
    vt_serve *s = arg;
    struct client *c = free_client(s);
    int fd = c ? accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    if (fd >= 0)
        client_begin(c, fd, fd, true);
    go_on(s);
}

static void watch(vt_serve *s, int fd, bool wants, bool *is_watched, vt_loop_fn *fn, void *arg)
{
    if (wants && !*is_watched)
        *is_watched = vt_loop_watch(s->o.loop, fd, fn, arg, NULL) == VT_OK; /* else at the next look */
    else if (!wants && *is_watched)
        vt_loop_unwatch(s->o.loop, fd);
    *is_watched = wants && *is_watched;
}

/* Whoever has no line waiting is read from, room or not: when there is room again everybody's next line is known, and
 * no client's many lines come before another one's first. */
static void watch_all(vt_serve *s)
{
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *c = &s->client[i];
        bool wants = !s->is_stopping && may_ask(c) && !c->peer.is_ended && !vt_peer_has_line(&c->peer);
        if (c->is_used)
            watch(s, c->peer.in_fd, wants, &c->is_watched, on_readable, c);
    }
    if (s->listen_fd >= 0)
        watch(s, s->listen_fd, !s->is_stopping && free_client(s), &s->is_listening, on_client, s);
}

static void on_retry(void *arg)
{
    vt_serve *s = arg;
    struct vt_buf nothing;
    s->retry = 0;
    vt_buf_init(&nothing, 1);
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->client[i].is_used && vt_peer_unsent(&s->client[i].peer))
            client_send(&s->client[i], &nothing);
    go_on(s);
}

static void on_look(void *arg)
{
    vt_serve *s = arg;
    s->look = 0;
    take_done(s);
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->client[i].is_used && vt_peer_is_gone(&s->client[i].peer))
            client_drop(&s->client[i]);
    go_on(s);
}

/* Says of every request under way that it was not judged; the verdicts may still come, to nobody. */
static void disown(struct client *c)
{
    struct job *jobs = c->jobs;
    c->jobs = NULL;
    for (struct job *j = jobs; j; j = j->next) {
        j->client = NULL;
        if (c->is_used)
            send_dropped(c, j);
    }
}

static void on_grace(void *arg)
{
    vt_serve *s = arg;
    s->grace = 0;
    s->is_abandoned = true;
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        disown(&s->client[i]);
        if (s->client[i].is_used)
            client_drop(&s->client[i]);
    }
    go_on(s);
}

/* ---- the whole ---- */

static bool is_settled(const struct client *c)
{
    return c->peer.is_ended && !vt_peer_has_line(&c->peer) && !c->jobs && vt_peer_unsent(&c->peer) == 0;
}

static void close_all(vt_serve *s)
{
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->client[i].is_used)
            client_drop(&s->client[i]);
    if (s->listen_fd >= 0) {
        if (s->is_listening)
            vt_loop_unwatch(s->o.loop, s->listen_fd);
        close(s->listen_fd);
        unlink(s->path);
    }
    s->listen_fd = -1;
    s->is_listening = false;
    vt_timer *const timers[] = {&s->retry, &s->look, &s->grace};
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        if (*timers[i])
            vt_loop_cancel(s->o.loop, *timers[i]);
        *timers[i] = 0;
    }
}

/* After anything happened: lines that can be taken, clients that are done with, and whether it is over. The last thing
 * a caller does with the server. */
static void go_on(vt_serve *s)
{
    size_t n_used = 0, n_unsent = 0;
    if (s->is_ended)
        return;
    take_lines(s);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *c = &s->client[i];
        if (c->is_used && is_settled(c))
            client_drop(c);
        n_used += c->is_used;
        n_unsent += c->is_used ? vt_peer_unsent(&c->peer) : 0;
    }
    bool is_input_over = s->is_stopping || (s->listen_fd < 0 && n_used == 0);
    if (is_input_over && (s->is_abandoned || s->n_in_flight == 0) && n_unsent == 0) {
        s->is_ended = true;
        close_all(s);
        s->o.ended(s->o.ended_arg, s->status, &s->err, &s->count);
        return;
    }
    watch_all(s);
    if (n_unsent && !s->retry)
        s->retry = vt_loop_after(s->o.loop, retry_s, on_retry, s);
    if ((n_used || s->n_in_flight) && !s->look)
        s->look = vt_loop_after(s->o.loop, look_s, on_look, s);
}

/* A stream that was closed, or stands for one that was, would be an input that never ends or answers to nobody. */
static vt_status check_streams(int in_fd, int out_fd, vt_err *err)
{
    int in = fcntl(in_fd, F_GETFL), out = fcntl(out_fd, F_GETFL);
    if (in < 0 || (in & O_ACCMODE) == O_WRONLY)
        return vt_fail(err, VT_EINVAL,
                       "Could not serve: the input cannot be read, it is closed; give requests or --socket PATH");
    if (out < 0 || (out & O_ACCMODE) == O_RDONLY)
        return vt_fail(err, VT_EINVAL,
                       "Could not serve: the output cannot be written, it is closed; give it a file or a reader");
    return VT_OK;
}

vt_status vt_serve_open(const struct vt_serve_opts *o, vt_serve **out, vt_err *err)
{
    *out = NULL;
    vt_serve *s = vt_alloc(sizeof *s);
    if (!s || (o->socket && !(s->path = vt_strdup(o->socket)))) {
        free(s);
        return vt_fail(err, VT_ENOMEM, "no memory for a server");
    }
    s->o = *o;
    s->o.max_in_flight = o->max_in_flight > 0 ? o->max_in_flight : IN_FLIGHT;
    s->o.grace_s = o->grace_s > 0 ? o->grace_s : default_grace_s;
    s->listen_fd = -1;
    s->post = (struct vt_post){.fn = on_done, .arg = s};
    pthread_mutex_init(&s->lock, NULL);
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        s->client[i].server = s;
    vt_status status =
        o->socket ? vt_listen_unix(o->socket, &s->listen_fd, err) : check_streams(o->in_fd, o->out_fd, err);
    if (status != VT_OK) {
        serve_destroy(s);
        return status;
    }
    if (!o->socket)
        client_begin(&s->client[0], o->in_fd, o->out_fd, false);
    watch_all(s);
    if (!o->socket)
        s->look = vt_loop_after(o->loop, look_s, on_look, s);
    *out = s;
    return VT_OK;
}

void vt_serve_stop(vt_serve *s)
{
    if (s->is_stopping || s->is_ended)
        return;
    s->is_stopping = true;
    s->grace = vt_loop_after(s->o.loop, s->o.grace_s, on_grace, s);
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        for (struct job *j = s->client[i].jobs; j; j = j->next)
            s->o.judge.withdraw(s->o.judge.arg, j);
    go_on(s);
}

void vt_serve_free(vt_serve *s)
{
    if (!s)
        return;
    s->is_ended = s->is_freed = true;
    close_all(s);
    take_done(s);
    destroy_unless_awaited(s);
}
