/* SPDX-License-Identifier: Apache-2.0
 *
 * openai_watch.c: whether the server that answers is the one that was opened. What it is was found out by asking, and
 * is part of what weights and samples are called; a server that is restarted under the same address may be another
 * one: other weights under the same name, log-probabilities after temperature instead of before it, no token ids.
 *
 * So the server is doubted when a connection was lost: an attempt brought no answer, or an answer came over a new
 * connection where one was there to be used (servers also close idle ones, so of those not every one leads to doubt).
 * Answers that come then are held, the server is asked again what it can, on a thread of its own, and what it says is
 * compared. The same: they are released. Another: they, and every request from then on, fail with a sentence.
 */
#include "base/clock.h"
#include "policy/openai.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Between two looks for which there was no better reason than a new connection. */
static const double least_between_s = 30;

/* What of the server has become another; NULL = nothing. What a single request cannot tell for sure (seeds, cuts) is
 * not asked again. */
static const char *difference(const struct vt_openai_facts *was, const struct vt_openai_facts *is)
{
    if (was->takes_ids != is->takes_ids || was->gives_ids != is->gives_ids)
        return "which token ids it takes and gives";
    if (was->logprobs != is->logprobs)
        return "what its log-probabilities are of";
    if (was->many != is->many)
        return "how many samples it draws at once";
    if (was->extras != is->extras)
        return "which sampling fields it reads";
    if (was->scoring != is->scoring)
        return "how it scores";
    if (was->n_ctx != is->n_ctx)
        return "its context";
    if (isnan(was->top) != isnan(is->top) || strcmp(was->top_token, is->top_token) != 0 ||
        (!isnan(was->top) && fabs(was->top - is->top) > 0.2))
        return "what it says of the same prompt";
    return NULL;
}

/* Back on the network's thread. */
static void compare(void *arg)
{
    struct vt_openai *o = arg;
    struct vt_openai_watch *w = &o->watch;
    const char *what = w->status == VT_OK ? difference(&o->facts, &w->now) : NULL;

    pthread_join(w->thread, NULL);
    w->is_looking = false;
    w->looked_s = vt_now_s();
    w->is_doubted = w->status != VT_OK;
    if (what) {
        w->has_changed = true;
        w->status = vt_fail(&w->err, VT_ENET,
                            "the server at %.200s was replaced by another one while it was used: %s has changed. What "
                            "was sampled before stays recorded; start the run again, so that the new one is told from "
                            "the old one",
                            o->url, what);
    }
    vt_remote_wake(&w->waiting);
}

static void *look(void *arg)
{
    struct vt_openai *o = arg;
    struct vt_openai again = {.remote = o->remote, .url = o->url, .completions = o->completions}; /* which are fixed */

    memcpy(again.headers, o->headers, sizeof again.headers);
    o->watch.status = vt_openai_find_out(&again, o->model, true, o->watch.stop_fd, &o->watch.err);
    free(again.model);
    o->watch.now = again.facts;
    o->watch.post = (struct vt_post){.fn = compare, .arg = o};
    vt_net_post(o->remote.net, &o->watch.post);
    return NULL;
}

static void start_looking(struct vt_openai *o)
{
    struct vt_openai_watch *w = &o->watch;

    if (w->is_looking)
        return;
    w->is_looking = pthread_create(&w->thread, NULL, look, o) == 0;
    if (w->is_looking)
        return;
    w->status = vt_fail(&w->err, VT_ENOMEM, "cannot start a thread to ask %.200s what it is", o->url);
    vt_remote_wake(&w->waiting);
}

void vt_openai_watch_attempt(struct vt_openai *o, const struct vt_http_answer *a, bool had_connection)
{
    struct vt_openai_watch *w = &o->watch;

    if (a->status == 0)
        w->is_doubted = true;
    if (!a->is_new_connection)
        return;
    w->is_doubted = w->is_doubted || (had_connection && vt_now_s() - w->looked_s > least_between_s);
    w->n_connections += !had_connection;
}

bool vt_openai_trusts(struct vt_openai *o, struct vt_remote_wait *wait)
{
    struct vt_openai_watch *w = &o->watch;

    if (w->has_changed || (!w->is_doubted && !w->is_looking))
        return true;
    vt_remote_wait_on(&w->waiting, wait);
    start_looking(o);
    return false;
}

vt_status vt_openai_watch_open(struct vt_openai *o, vt_err *err)
{
    o->watch.n_connections = 1; /* the one that it was opened over */
    o->watch.stop_fd = eventfd(0, EFD_CLOEXEC);
    return o->watch.stop_fd >= 0 ? VT_OK : vt_fail(err, VT_EIO, "cannot make a descriptor: %s", strerror(errno));
}

struct stopping {
    struct vt_post post;
    struct vt_openai *o;
    int over_fd;
};

/* Whether somebody looks is the network thread's to say. */
static void say_whether_it_looks(void *arg)
{
    const struct stopping *s = arg;
    const uint64_t v = s->o->watch.is_looking ? 2 : 1;

    (void)!write(s->over_fd, &v, sizeof v);
}

void vt_openai_watch_close(struct vt_openai *o)
{
    struct vt_openai_watch *w = &o->watch;
    const uint64_t one = 1;

    if (w->stop_fd <= 0)
        return;
    (void)!write(w->stop_fd, &one, sizeof one);
    struct stopping s = {.o = o, .over_fd = eventfd(0, EFD_CLOEXEC)};
    uint64_t v = 0;

    while (v != 1 && s.over_fd >= 0) { /* looking ends soon, since it was told to stop */
        s.post = (struct vt_post){.fn = say_whether_it_looks, .arg = &s};
        vt_net_post(o->remote.net, &s.post);
        if (read(s.over_fd, &v, sizeof v) != sizeof v)
            continue;
        if (v != 1)
            vt_sleep_ms(5);
    }
    close(s.over_fd);
    close(w->stop_fd);
}
