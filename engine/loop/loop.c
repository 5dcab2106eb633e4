/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c: turns of the event loop: posted work, timers, watched descriptors and signals.
 *
 * One turn waits in curl_multi_poll until the next timer is due, a watched descriptor is ready or another thread posts,
 * then runs what is due, in this order: descriptors, HTTP progress, timers, posted work. Callbacks may add and remove
 * anything, themselves included, so the turn walks a copy of the ready descriptors and looks each one up again, and
 * timers are taken off the heap before they run. Work posted by a callback runs in the next turn, which therefore does
 * not wait: a callback that always posts cannot starve the descriptors.
 *
 * Timers are a binary heap ordered by (due time, id); equal times fire in the order they were made. Cancelling marks
 * nothing: it searches the heap and removes, because runs have tens of timers, not thousands.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "loop/loop_parts.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

vt_status vt_loop_new(vt_loop **out, vt_err *err)
{
    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return vt_fail(err, VT_EINTERNAL, "cannot initialise libcurl");
    vt_loop *l = vt_alloc(sizeof *l);
    if (l)
        l->multi = curl_multi_init();
    if (!l || !l->multi) {
        free(l);
        curl_global_cleanup();
        return vt_fail(err, VT_ENOMEM, "out of memory while creating the event loop");
    }
    l->signal_fd = -1;
    l->next_timer = 1;
    pthread_mutex_init(&l->post_lock, NULL);
    *out = l;
    return VT_OK;
}

void vt_loop_free(vt_loop *l)
{
    if (!l)
        return;
    if (l->free_children)
        l->free_children(l);
    if (l->signal_fd >= 0) {
        close(l->signal_fd);
        pthread_sigmask(SIG_SETMASK, &l->old_mask, NULL);
    }
    curl_multi_cleanup(l->multi);
    pthread_mutex_destroy(&l->post_lock);
    free(l->timers);
    free(l->watches);
    free(l->ready);
    free(l->polled);
    free(l);
    curl_global_cleanup();
}

void *vt_loop_http(vt_loop *l, int (*on_progress)(void *arg), void *arg)
{
    l->http_fn = on_progress;
    l->http_arg = arg;
    return l->multi;
}

/* Makes room for one more item of `size` bytes; doubles. */
static bool reserve(void **items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : 16;
    void *p = vt_realloc_array(*items, more, size);
    if (!p)
        return false;
    *items = p;
    *cap = more;
    return true;
}

void vt_loop_post(vt_loop *l, struct vt_post *p)
{
    p->next = NULL;
    pthread_mutex_lock(&l->post_lock);
    if (l->posted_last)
        l->posted_last->next = p;
    else
        l->posted = p;
    l->posted_last = p;
    pthread_mutex_unlock(&l->post_lock);
    curl_multi_wakeup(l->multi);
}

static int run_posted(vt_loop *l)
{
    int n = 0;
    pthread_mutex_lock(&l->post_lock);
    struct vt_post *p = l->posted;
    l->posted = l->posted_last = NULL;
    pthread_mutex_unlock(&l->post_lock);
    for (struct vt_post *next; p; p = next, n++) {
        next = p->next; /* the call may free p or post it again */
        p->fn(p->arg);
    }
    return n;
}

static bool has_posted(vt_loop *l)
{
    pthread_mutex_lock(&l->post_lock);
    bool has = l->posted != NULL;
    pthread_mutex_unlock(&l->post_lock);
    return has;
}

static bool is_earlier(const struct vt_loop_timer *a, const struct vt_loop_timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->id < b->id;
}

static void swap_timers(vt_loop *l, size_t a, size_t b)
{
    struct vt_loop_timer t = l->timers[a];
    l->timers[a] = l->timers[b];
    l->timers[b] = t;
}

static void sift_up(vt_loop *l, size_t i)
{
    for (; i && is_earlier(&l->timers[i], &l->timers[(i - 1) / 2]); i = (i - 1) / 2)
        swap_timers(l, i, (i - 1) / 2);
}

static void remove_timer(vt_loop *l, size_t i)
{
    l->timers[i] = l->timers[--l->n_timers];
    if (i == l->n_timers)
        return;
    sift_up(l, i);
    for (;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t c = left; c <= left + 1 && c < l->n_timers; c++)
            if (is_earlier(&l->timers[c], &l->timers[least]))
                least = c;
        if (least == i)
            return;
        swap_timers(l, i, least);
        i = least;
    }
}

vt_timer vt_loop_after(vt_loop *l, double seconds, vt_loop_fn *fn, void *arg)
{
    if (!reserve((void **)&l->timers, l->n_timers, &l->cap_timers, sizeof *l->timers))
        return 0;
    double ns = seconds > 0 ? seconds * 1e9 : 0; /* NaN and the past are now */
    uint64_t wait_ns = ns > 9e18 ? UINT64_C(9000000000000000000) : (uint64_t)ns;
    l->timers[l->n_timers] = (struct vt_loop_timer){vt_now_ns() + wait_ns, l->next_timer, fn, arg};
    sift_up(l, l->n_timers++);
    return l->next_timer++;
}

void vt_loop_cancel(vt_loop *l, vt_timer id)
{
    for (size_t i = 0; i < l->n_timers; i++) {
        if (l->timers[i].id == id) {
            remove_timer(l, i);
            return;
        }
    }
}

/* Fires what was due when the turn began; a timer made by a callback waits for the next turn. */
static int run_timers(vt_loop *l)
{
    int n = 0;
    uint64_t now_ns = vt_now_ns();
    vt_timer first_new = l->next_timer;
    while (l->n_timers && l->timers[0].due_ns <= now_ns && l->timers[0].id < first_new) {
        struct vt_loop_timer t = l->timers[0];
        remove_timer(l, 0);
        t.fn(t.arg);
        n++;
    }
    return n;
}

vt_status vt_loop_watch(vt_loop *l, int fd, vt_loop_fn *fn, void *arg, vt_err *err)
{
    for (size_t i = 0; i < l->n_watches; i++)
        if (l->watches[i].fd == fd)
            return vt_fail(err, VT_EINVAL, "descriptor %d is watched already", fd);
    if (fd < 0 || !reserve((void **)&l->watches, l->n_watches, &l->cap_watches, sizeof *l->watches))
        return vt_fail(err, fd < 0 ? VT_EINVAL : VT_ENOMEM, "cannot watch descriptor %d", fd);
    l->watches[l->n_watches++] = (struct vt_loop_watch){fd, ++l->last_watch, fn, arg};
    return VT_OK;
}

void vt_loop_unwatch(vt_loop *l, int fd)
{
    for (size_t i = 0; i < l->n_watches; i++) {
        if (l->watches[i].fd == fd) {
            memmove(l->watches + i, l->watches + i + 1, (l->n_watches - i - 1) * sizeof *l->watches);
            l->n_watches--;
            return;
        }
    }
}

static int run_ready(vt_loop *l, size_t n_polled)
{
    int n = 0;
    size_t n_ready = 0;
    for (size_t i = 0; i < n_polled; i++)
        if (l->polled[i].revents)
            l->ready[n_ready++] = l->watches[i].serial;
    for (size_t i = 0; i < n_ready; i++) {
        for (size_t k = 0; k < l->n_watches; k++) {
            if (l->watches[k].serial == l->ready[i]) {
                struct vt_loop_watch w = l->watches[k];
                w.fn(w.arg);
                n++;
                break;
            }
        }
    }
    return n;
}

static void read_signals(void *arg)
{
    vt_loop *l = arg;
    struct signalfd_siginfo info;
    while (read(l->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        l->signal_fn(l->signal_arg, (int)info.ssi_signo);
}

vt_status vt_loop_on_signal(vt_loop *l, void (*fn)(void *arg, int signo), void *arg, vt_err *err)
{
    l->signal_fn = fn;
    l->signal_arg = arg;
    if (l->signal_fd >= 0)
        return VT_OK;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return vt_fail(err, VT_EIO, "cannot receive signals on a descriptor: %s", strerror(errno));
    pthread_sigmask(SIG_BLOCK, &set, &l->old_mask);
    l->signal_fd = fd;
    vt_status status = vt_loop_watch(l, fd, read_signals, l, err);
    if (status != VT_OK) {
        pthread_sigmask(SIG_SETMASK, &l->old_mask, NULL);
        close(fd);
        l->signal_fd = -1;
    }
    return status;
}

/* How long curl_multi_poll may wait, in ms. */
static int wait_ms(vt_loop *l, int timeout_ms)
{
    int ms = timeout_ms < 0 ? INT_MAX : timeout_ms;
    if (has_posted(l))
        return 0;
    if (l->n_timers) {
        uint64_t now_ns = vt_now_ns(), due_ns = l->timers[0].due_ns;
        uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns + 999999) / 1000000 : 0;
        if (left_ms < (uint64_t)ms)
            ms = (int)left_ms;
    }
    return ms;
}

/* The poll set of this turn; curl copies it, so watches may change while callbacks run. */
static bool fill_polled(vt_loop *l)
{
    if (l->n_watches > l->cap_polled) {
        void *polled = vt_realloc_array(l->polled, l->cap_watches, sizeof *l->polled);
        if (polled)
            l->polled = polled;
        void *ready = vt_realloc_array(l->ready, l->cap_watches, sizeof *l->ready);
        if (ready)
            l->ready = ready;
        if (!polled || !ready)
            return false;
        l->cap_polled = l->cap_watches;
    }
    for (size_t i = 0; i < l->n_watches; i++)
        l->polled[i] = (struct curl_waitfd){.fd = l->watches[i].fd, .events = CURL_WAIT_POLLIN};
    return true;
}

vt_status vt_loop_turn(vt_loop *l, int timeout_ms, int *n_run, vt_err *err)
{
    int n_transfers = 0;
    *n_run = 0;
    if (!fill_polled(l))
        return vt_fail(err, VT_ENOMEM, "out of memory while watching %zu descriptors", l->n_watches);
    size_t n_polled = l->n_watches;
    CURLMcode code = curl_multi_poll(l->multi, l->polled, (unsigned)n_polled, wait_ms(l, timeout_ms), NULL);
    if (code != CURLM_OK)
        return vt_fail(err, VT_EINTERNAL, "the event loop cannot wait: %s", curl_multi_strerror(code));
    int n_ready = run_ready(l, n_polled);
    code = curl_multi_perform(l->multi, &n_transfers);
    if (code != CURLM_OK)
        return vt_fail(err, VT_ENET, "cannot drive the HTTP transfers: %s", curl_multi_strerror(code));
    int n_http = l->http_fn ? l->http_fn(l->http_arg) : 0;
    int n_timers = run_timers(l);
    *n_run = n_ready + n_http + n_timers + run_posted(l);
    return VT_OK;
}
