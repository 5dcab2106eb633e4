/* SPDX-License-Identifier: Apache-2.0
 *
 * net.c: the thread of net.h: it turns its loop until it is told to end. It raises the process's soft limit of open
 * files to the hard one, 8,192 at most, since a thousand requests at a time are as many connections.
 */
#include "net/net.h"
#include "base/alloc.h"
#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

struct vt_net {
    vt_loop *loop;
    vt_http *http;
    pthread_t thread;
    struct vt_post ending;
    bool is_ending; /* the thread's */
};

static void end(void *arg)
{
    ((struct vt_net *)arg)->is_ending = true;
}

static void *run(void *arg)
{
    struct vt_net *n = arg;
    vt_err err;
    int n_run;

    while (!n->is_ending)
        if (vt_loop_turn(n->loop, -1, &n_run, &err) != VT_OK)
            vt_sleep_ms(10); /* no memory for a poll set: what is under way waits for better times */
    vt_http_free(n->http);
    return NULL;
}

static void raise_file_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= 8192 || l.rlim_cur == l.rlim_max)
        return;
    l.rlim_cur = l.rlim_max < 8192 ? l.rlim_max : 8192;
    (void)!setrlimit(RLIMIT_NOFILE, &l);
}

vt_status vt_net_open(const struct vt_http_opts *o, struct vt_net **out, vt_err *err)
{
    struct vt_net *n = vt_alloc(sizeof *n);
    vt_status status;

    *out = NULL;
    if (!n)
        return vt_fail(err, VT_ENOMEM, "out of memory for a network thread");
    raise_file_limit();
    status = vt_loop_new(&n->loop, err);
    if (status == VT_OK)
        status = vt_http_new(n->loop, o, &n->http, err);
    if (status == VT_OK && pthread_create(&n->thread, NULL, run, n) != 0)
        status = vt_fail(err, VT_ENOMEM, "cannot start a network thread: %s", strerror(errno));
    if (status == VT_OK) {
        *out = n;
        return VT_OK;
    }
    vt_http_free(n->http);
    vt_loop_free(n->loop);
    free(n);
    return status;
}

void vt_net_close(struct vt_net *n)
{
    if (!n)
        return;
    n->ending = (struct vt_post){.fn = end, .arg = n};
    vt_loop_post(n->loop, &n->ending);
    pthread_join(n->thread, NULL);
    vt_loop_free(n->loop);
    free(n);
}

vt_loop *vt_net_loop(struct vt_net *n)
{
    return n->loop;
}

vt_http *vt_net_http(struct vt_net *n)
{
    return n->http;
}

void vt_net_post(struct vt_net *n, struct vt_post *p)
{
    vt_loop_post(n->loop, p);
}

/* --- a call that is waited for --- */

struct asking {
    struct vt_net *net;
    struct vt_http_request r;
    bool (*on_data)(void *arg, int status, const char *bytes, size_t n);
    void *data_arg;
    struct vt_net_answer *out;
    vt_http_call *call; /* NULL after its end */
    struct vt_post start, stop;
    int over_fd; /* an event counter: 1 when the call is over, `stopped` when it was told to stop */
    vt_status status;
    vt_err err;
};
static const uint64_t stopped = UINT64_C(1) << 32;

static void over(struct asking *a)
{
    const uint64_t one = 1;

    a->call = NULL;
    (void)!write(a->over_fd, &one, sizeof one);
}

static void answered(void *arg, vt_status status, const struct vt_http_answer *answer, const vt_err *err)
{
    struct asking *a = arg;

    a->status = status;
    if (err)
        a->err = *err;
    if (answer) {
        const char *location = vt_http_header(answer, "location"), *part = vt_http_header(answer, "content-range");
        long long from = -1;
        double ignored = 0;

        a->out->status = answer->status;
        a->out->may_try_again = vt_http_judge(NULL, answer, &ignored) == VT_HTTP_AGAIN;
        a->out->retry_after_s = answer->retry_after_s;
        snprintf(a->out->location, sizeof a->out->location, "%s", location ? location : "");
        a->out->from = part && sscanf(part, "bytes %lld-", &from) == 1 ? from : -1;
        a->out->body = vt_strndup(answer->body, answer->len);
        a->out->len = a->out->body ? answer->len : 0;
        if (!a->out->body)
            a->status = vt_fail(&a->err, VT_ENOMEM, "out of memory for an answer");
    }
    over(a);
}

static bool pass_data(void *arg, int status, const char *bytes, size_t n)
{
    const struct asking *a = arg;

    return a->on_data(a->data_arg, status, bytes, n);
}

static void start_asking(void *arg)
{
    struct asking *a = arg;

    a->status = vt_http_send(a->net->http, &a->r, &a->call, &a->err);
    if (a->status == VT_OK)
        return;
    free(a->r.body);
    over(a);
}

static void stop_asking(void *arg)
{
    struct asking *a = arg;

    if (a->call)
        vt_http_cancel(a->call);
    (void)!write(a->over_fd, &stopped, sizeof stopped);
}

/* True when stop_fd was ready first. */
static bool wait_for_answer(const struct asking *a, int stop_fd)
{
    struct pollfd fds[2] = {{.fd = a->over_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return fds[0].revents == 0;
}

/* Until stop_asking ran: the thread then knows nothing of `a` any more. */
static void wait_for_stop(const struct asking *a)
{
    uint64_t sum = 0, more;

    while (sum < stopped)
        if (read(a->over_fd, &more, sizeof more) == sizeof more)
            sum += more;
}

vt_status vt_net_ask(struct vt_net *n, const struct vt_http_request *r, int stop_fd, struct vt_net_answer *out,
                     vt_err *err)
{
    struct asking a = {.net = n, .r = *r, .on_data = r->on_data, .out = out, .over_fd = eventfd(0, EFD_CLOEXEC)};

    *out = (struct vt_net_answer){0};
    if (a.over_fd < 0) {
        free(r->body);
        return vt_fail(err, VT_EIO, "cannot make a descriptor to wait for an answer");
    }
    a.r.done = answered;
    a.data_arg = r->arg;
    a.r.arg = &a;
    a.r.on_data = r->on_data ? pass_data : NULL;
    a.start = (struct vt_post){.fn = start_asking, .arg = &a};
    a.stop = (struct vt_post){.fn = stop_asking, .arg = &a};
    vt_net_post(n, &a.start);
    if (wait_for_answer(&a, stop_fd)) {
        vt_net_post(n, &a.stop);
        wait_for_stop(&a);
    }
    close(a.over_fd);
    if (a.status != VT_OK && err)
        *err = a.err;
    return a.status;
}
