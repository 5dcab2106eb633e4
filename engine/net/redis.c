/* SPDX-License-Identifier: Apache-2.0
 *
 * redis.c: libcurl's connection (it brings TLS, and names that have several addresses), RESP over it.
 *
 * libcurl connects while its caller waits, so a thread of its own does that and rings a bell, a descriptor that the
 * loop watches; sending and receiving do not wait and happen on the loop's thread. What cannot be sent at once is
 * offered again a few milliseconds later: commands are small and the loop watches for reading only.
 *
 *   down --thread connects--> greeting (AUTH, PING) --answers--> up --breaks--> down, a pause, again
 *
 * A break is noticed inside a call that a callback made. It is dealt with when that callback has returned, by a timer
 * of no length, so that nobody's `done` runs inside its own vt_redis_send; until then the connection is just not up.
 */
#include "net/redis.h"
#include "base/alloc.h"
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MAX_UNSENT = 256 << 20, MAX_UNREAD = 2 * VT_RESP_MAX_TEXT, READ_SIZE = 64 << 10, MAX_WORDS = 64 };
static const double send_again_s = 0.002, first_wait_s = 0.1, most_wait_s = 5, greet_s = 10;
static const long connect_s = 10;

struct waiting {
    vt_redis_done *done;
    void *arg;
};

struct vt_redis {
    struct vt_redis_opts o;
    CURL *easy;
    char curl_error[CURL_ERROR_SIZE];
    char url[600];
    /* connecting */
    pthread_t thread;
    int bell; /* watched while the thread runs */
    bool is_connecting;
    CURLcode connected;
    atomic_bool must_stop;
    double wait_s;
    /* connected */
    int fd; /* -1 = not connected */
    bool is_up, is_broken, is_refused;
    vt_err why;
    struct vt_buf in, out;
    size_t sent;
    struct vt_resp_scan scan;
    struct waiting *waiting; /* whose answers are to come, in order: from [first] on */
    size_t first, n, cap;
    vt_timer again, more, deal, greeting;
};

static void connect_begin(vt_redis *r);

/* ---- the end of a connection ---- */

static void cancel(vt_redis *r, vt_timer *t)
{
    if (*t)
        vt_loop_cancel(r->o.loop, *t);
    *t = 0;
}

static void answer_all(vt_redis *r, vt_status status)
{
    vt_err err;
    while (r->n) {
        struct waiting w = r->waiting[r->first++];
        r->n--;
        (void)vt_fail(&err, status, "%s", status == VT_ECANCELLED ? "the connection was closed" : r->why.msg);
        if (w.done)
            w.done(w.arg, status, &err, NULL);
    }
    r->first = 0;
}

static void hang_up(vt_redis *r)
{
    cancel(r, &r->more);
    cancel(r, &r->deal);
    cancel(r, &r->greeting);
    if (r->fd >= 0)
        vt_loop_unwatch(r->o.loop, r->fd);
    curl_easy_cleanup(r->easy);
    r->easy = NULL;
    r->fd = -1;
    r->is_up = r->is_broken = false;
    vt_buf_clear(&r->in);
    vt_buf_clear(&r->out);
    r->sent = 0;
    r->scan = (struct vt_resp_scan){0};
}

static void on_again(void *arg)
{
    vt_redis *r = arg;
    r->again = 0;
    connect_begin(r);
}

static void on_deal(void *arg)
{
    vt_redis *r = arg;
    bool is_final = r->is_refused;
    vt_err why = r->why;
    r->deal = 0;
    hang_up(r);
    answer_all(r, VT_ENET);
    if (!is_final)
        r->again = vt_loop_after(r->o.loop, r->wait_s, on_again, r);
    r->wait_s = r->wait_s * 2 < most_wait_s ? r->wait_s * 2 : most_wait_s;
    r->o.down(r->o.arg, &why, is_final);
}

/* r->why says why. */
static void lose(vt_redis *r)
{
    if (r->is_broken)
        return;
    r->is_up = false;
    r->is_broken = true;
    r->deal = vt_loop_after(r->o.loop, 0, on_deal, r);
}

static void lose_by(vt_redis *r, const char *what)
{
    (void)vt_fail(&r->why, VT_ENET, "the queue at %s:%d %s", r->o.address->host, r->o.address->port, what);
    lose(r);
}

/* ---- sending ---- */

static void flush(vt_redis *r);

static void on_more(void *arg)
{
    vt_redis *r = arg;
    r->more = 0;
    flush(r);
}

static void flush(vt_redis *r)
{
    if (r->out.status != VT_OK)
        lose_by(r, "is not read from fast enough: too much waits to be sent");
    while (!r->is_broken && r->sent < r->out.len) {
        size_t n = 0;
        CURLcode c = curl_easy_send(r->easy, r->out.p + r->sent, r->out.len - r->sent, &n);
        r->sent += n;
        if (c == CURLE_AGAIN) {
            if (!r->more)
                r->more = vt_loop_after(r->o.loop, send_again_s, on_more, r);
            return;
        }
        if (c != CURLE_OK)
            lose_by(r, "does not take commands any more");
    }
    if (r->sent == r->out.len) {
        vt_buf_clear(&r->out);
        r->sent = 0;
    }
}

static bool remember(vt_redis *r, vt_redis_done *done, void *arg)
{
    if (r->first + r->n == r->cap) {
        if (r->first > r->cap / 2) {
            memmove(r->waiting, r->waiting + r->first, r->n * sizeof *r->waiting);
        } else {
            const size_t cap = r->cap ? 2 * r->cap : 64;
            struct waiting *more = vt_realloc_array(r->waiting, cap, sizeof *more);
            if (!more)
                return false;
            r->waiting = more;
            r->cap = cap;
            memmove(r->waiting, r->waiting + r->first, r->n * sizeof *r->waiting);
        }
        r->first = 0;
    }
    r->waiting[r->first + r->n++] = (struct waiting){done, arg};
    return true;
}

static void send_words(vt_redis *r, const struct vt_resp_word *word, size_t n, vt_redis_done *done, void *arg)
{
    if (!remember(r, done, arg)) {
        vt_err err;
        (void)vt_fail(&err, VT_ENOMEM, "no memory for a command to the queue");
        if (done)
            done(arg, VT_ENOMEM, &err, NULL);
        return;
    }
    vt_resp_command(&r->out, word, n);
    flush(r);
}

void vt_redis_send(vt_redis *r, const struct vt_resp_word *word, size_t n, vt_redis_done *done, void *arg)
{
    vt_err err;
    if (r->is_up) {
        send_words(r, word, n, done, arg);
        return;
    }
    (void)vt_fail(&err, VT_ENET, "the queue at %s:%d cannot be reached now", r->o.address->host, r->o.address->port);
    if (done)
        done(arg, VT_ENET, &err, NULL);
}

void vt_redis_say(vt_redis *r, vt_redis_done *done, void *arg, ...)
{
    struct vt_resp_word word[MAX_WORDS];
    size_t n = 0;
    va_list ap;
    va_start(ap, arg);
    for (const char *p; n < MAX_WORDS && (p = va_arg(ap, const char *)); n++)
        word[n] = (struct vt_resp_word){p, strlen(p)};
    va_end(ap);
    vt_redis_send(r, word, n, done, arg);
}

/* ---- receiving ---- */

/* Messages come as lists that begin with the word "message"; everything else answers a command. */
static bool is_push(const vt_redis *r, struct vt_resp_reader reply)
{
    struct vt_resp_item item;
    return r->o.push && vt_resp_expect(&reply, VT_RESP_LIST, &item) && vt_resp_expect(&reply, VT_RESP_TEXT, &item) &&
           item.len == 7 && memcmp(item.text, "message", 7) == 0;
}

static void take_reply(vt_redis *r, const struct vt_resp_reader *reply)
{
    struct vt_resp_reader ahead = *reply;
    struct vt_resp_item item;
    vt_err err;
    if (is_push(r, *reply)) {
        r->o.push(r->o.arg, reply);
        return;
    }
    if (!r->n) {
        lose_by(r, "answers what nobody asked; is it a Redis server?");
        return;
    }
    struct waiting w = r->waiting[r->first++];
    r->n--;
    if (!w.done)
        return;
    if (!vt_resp_next(&ahead, &item) || item.kind != VT_RESP_ERROR) {
        w.done(w.arg, VT_OK, NULL, reply);
        return;
    }
    (void)vt_fail(&err, VT_EINVAL, "the queue's server answers: %.*s", (int)(item.len < 300 ? item.len : 300),
                  item.text);
    w.done(w.arg, VT_EINVAL, &err, NULL);
}

static void take_replies(vt_redis *r)
{
    size_t at = 0;
    while (!r->is_broken) {
        bool is_whole;
        if (vt_resp_scan(&r->scan, r->in.p + at, r->in.len - at, &is_whole, &r->why) != VT_OK) {
            r->is_refused = !r->is_up; /* whoever greets us so is no Redis server */
            lose(r);
            return;
        }
        if (!is_whole)
            break;
        struct vt_resp_reader reply = {r->in.p + at, r->in.p + at + r->scan.at};
        at += r->scan.at;
        r->scan = (struct vt_resp_scan){0};
        take_reply(r, &reply);
    }
    if (at) {
        memmove(r->in.p, r->in.p + at, r->in.len - at + 1);
        r->in.len -= at;
    }
}

static void on_readable(void *arg)
{
    vt_redis *r = arg;
    char piece[READ_SIZE];
    while (!r->is_broken) {
        size_t n = 0;
        CURLcode c = curl_easy_recv(r->easy, piece, sizeof piece, &n);
        if (c == CURLE_AGAIN)
            break;
        if (c != CURLE_OK || n == 0) {
            lose_by(r, "closed the connection");
            break;
        }
        vt_buf_add(&r->in, piece, n);
        if (r->in.status != VT_OK)
            lose_by(r, "sends more than can be kept");
        else
            take_replies(r);
    }
}

/* ---- greeting ---- */

bool vt_redis_passes(const vt_err *err)
{
    static const char *const words[] = {"OOM", "MISCONF", "LOADING", "READONLY", "BUSY"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(err->msg, words[i]))
            return true;
    return false;
}

static void on_greet(void *arg)
{
    vt_redis *r = arg;
    r->greeting = 0;
    lose_by(r, "accepts connections and says nothing");
}

static void on_greeted(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    vt_redis *r = arg;
    (void)reply;
    cancel(r, &r->greeting);
    if (status == VT_OK) {
        r->is_up = true;
        r->wait_s = first_wait_s;
        r->o.up(r->o.arg);
    } else if (status == VT_EINVAL && !vt_redis_passes(err)) {
        (void)vt_fail(&r->why, VT_EINVAL, "%s%s", err->msg,
                      r->o.address->password ? "" : "; a password is given by ?password=FILE");
        r->is_refused = true;
        lose(r);
    } else if (status == VT_EINVAL) {
        lose_by(r, "is not ready yet");
    }
}

static void on_let_in(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply)
{
    vt_redis *r = arg;
    (void)reply;
    if (status != VT_EINVAL || r->is_broken)
        return;
    r->why = *err;
    r->is_refused = !vt_redis_passes(err);
    lose(r);
}

static void greet(vt_redis *r)
{
    const struct vt_redis_address *a = r->o.address;
    struct vt_resp_word word[3] = {{"AUTH", 4}};
    size_t n = 1;
    if (a->user)
        word[n++] = (struct vt_resp_word){a->user, strlen(a->user)};
    if (a->password) {
        word[n++] = (struct vt_resp_word){a->password, strlen(a->password)};
        send_words(r, word, n, on_let_in, r);
    }
    word[0] = (struct vt_resp_word){"PING", 4};
    send_words(r, word, 1, on_greeted, r);
    r->greeting = vt_loop_after(r->o.loop, greet_s, on_greet, r);
}

/* ---- connecting ---- */

static int look_around(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    vt_redis *r = arg;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&r->must_stop);
}

static void *connect_thread(void *arg)
{
    vt_redis *r = arg;
    const uint64_t one = 1;
    r->connected = curl_easy_perform(r->easy);
    (void)!write(r->bell, &one, sizeof one);
    return NULL;
}

static void on_bell(void *arg)
{
    vt_redis *r = arg;
    curl_socket_t fd = CURL_SOCKET_BAD;
    uint64_t rung;
    pthread_join(r->thread, NULL);
    r->is_connecting = false;
    (void)!read(r->bell, &rung, sizeof rung);
    vt_loop_unwatch(r->o.loop, r->bell);
    if (r->connected == CURLE_OK && curl_easy_getinfo(r->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
        fd != CURL_SOCKET_BAD && vt_loop_watch(r->o.loop, (int)fd, on_readable, r, &r->why) == VT_OK) {
        r->fd = (int)fd;
        greet(r);
        return;
    }
    const char *words = r->curl_error[0] ? r->curl_error : curl_easy_strerror(r->connected);
    r->is_refused = r->connected == CURLE_PEER_FAILED_VERIFICATION || r->connected == CURLE_SSL_CACERT_BADFILE;
    (void)vt_fail(&r->why, VT_ENET, "cannot connect to the queue at %s:%d: %s", r->o.address->host, r->o.address->port,
                  words);
    lose(r);
}

static bool set_up(vt_redis *r)
{
    const struct vt_redis_address *a = r->o.address;
    r->easy = curl_easy_init();
    if (!r->easy)
        return false;
    r->curl_error[0] = '\0';
    curl_easy_setopt(r->easy, CURLOPT_URL, r->url);
    curl_easy_setopt(r->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT, connect_s);
    curl_easy_setopt(r->easy, CURLOPT_PROXY, ""); /* a proxy for the web takes nothing else */
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(r->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(r->easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->curl_error);
    curl_easy_setopt(r->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(r->easy, CURLOPT_XFERINFOFUNCTION, look_around);
    curl_easy_setopt(r->easy, CURLOPT_XFERINFODATA, r);
    if (a->ca_file)
        curl_easy_setopt(r->easy, CURLOPT_CAINFO, a->ca_file);
    return true;
}

static void connect_begin(vt_redis *r)
{
    if (!set_up(r) || vt_loop_watch(r->o.loop, r->bell, on_bell, r, &r->why) != VT_OK) {
        lose_by(r, "cannot be connected to: no memory");
        return;
    }
    if (pthread_create(&r->thread, NULL, connect_thread, r) != 0) {
        vt_loop_unwatch(r->o.loop, r->bell);
        lose_by(r, "cannot be connected to: no thread");
        return;
    }
    r->is_connecting = true;
}

vt_status vt_redis_open(const struct vt_redis_opts *o, vt_redis **out, vt_err *err)
{
    *out = NULL;
    vt_redis *r = vt_alloc(sizeof *r);
    if (!r)
        return vt_fail(err, VT_ENOMEM, "out of memory for a connection to the queue");
    r->o = *o;
    r->fd = -1;
    r->wait_s = first_wait_s;
    r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->bell < 0) {
        free(r);
        return vt_fail(err, VT_EIO, "no descriptor for a connection to the queue: %s", strerror(errno));
    }
    snprintf(r->url, sizeof r->url, "%s://%s:%d", o->address->has_tls ? "https" : "http", o->address->host,
             o->address->port);
    vt_buf_init(&r->in, MAX_UNREAD);
    vt_buf_init(&r->out, MAX_UNSENT);
    connect_begin(r);
    *out = r;
    return VT_OK;
}

bool vt_redis_is_up(const vt_redis *r)
{
    return r->is_up;
}

void vt_redis_close(vt_redis *r)
{
    if (!r)
        return;
    cancel(r, &r->again);
    if (r->is_connecting) {
        atomic_store(&r->must_stop, true);
        pthread_join(r->thread, NULL);
        vt_loop_unwatch(r->o.loop, r->bell);
    }
    hang_up(r);
    answer_all(r, VT_ECANCELLED);
    close(r->bell);
    vt_buf_free(&r->in);
    vt_buf_free(&r->out);
    free(r->waiting);
    free(r);
}
