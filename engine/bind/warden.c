/* SPDX-License-Identifier: Apache-2.0
 *
 * warden.c: the thread of warden.h. It looks at pending signals through a signalfd of its own, which it never reads:
 * the loop's thread receives them. While nothing is wrong it sleeps in poll.
 */
#include "bind/warden.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/exit.h"
#include "bind/descendants.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <vegttt/policy.h>

enum { MAX_CHILDREN = 64, LOOK_MS = 50 };
/* Without life for so long: the commands are killed, the process is ended. Together with a look's length well below the
 * two seconds that a limit may be overdrawn. */
static const double children_s = 0.4, end_s = 1.2;
static const double overdue_s = 0.3;

struct vt_warden {
    const struct vt_bind_host *host;
    pthread_t thread;
    bool has_thread;
    int signal_fd, wake_fd;
    atomic_ulong alive;
    atomic_bool waits, is_interrupted, is_overdue, is_armed, is_closing;
    pthread_mutex_t mutex; /* for what follows */
    double deadline_s;
    char *words[2][2]; /* of a cause: to standard error, to standard output */
    pid_t children[MAX_CHILDREN];
    size_t n_children;
};

static void wake(struct vt_warden *w)
{
    static const uint64_t one = 1;
    (void)!write(w->wake_fd, &one, sizeof one);
}

static double deadline_of(struct vt_warden *w)
{
    pthread_mutex_lock(&w->mutex);
    double at = w->deadline_s;
    pthread_mutex_unlock(&w->mutex);
    return at;
}

/* How many there were. */
static size_t kill_children(struct vt_warden *w)
{
    pthread_mutex_lock(&w->mutex);
    size_t n = w->n_children;
    for (size_t i = 0; i < n; i++)
        kill(-w->children[i], SIGKILL);
    pthread_mutex_unlock(&w->mutex);
    return n;
}

static void end_process(struct vt_warden *w, enum vt_warden_cause cause)
{
    kill_children(w);
    vt_descendants_end();
    char *left = vt_policy_leave();
    pthread_mutex_lock(&w->mutex);
    if (left && left[0])
        w->host->print(w->host->arg, VT_STDERR, left, strlen(left));
    w->host->stop_now(w->host->arg, cause == VT_WARDEN_DEADLINE ? VT_EXIT_BUDGET : VT_EXIT_INTERRUPTED,
                      w->words[cause][0], w->words[cause][1]);
    pthread_mutex_unlock(&w->mutex);
    free(left);
}

/* Sleeps until there may be something to look at. */
static void sleep_until_needed(struct vt_warden *w, bool is_looking)
{
    struct pollfd fds[] = {{.fd = w->wake_fd, .events = POLLIN}, {.fd = w->signal_fd, .events = POLLIN}};
    double at = deadline_of(w), left = at - vt_now_s();
    int ms = -1;
    if (is_looking || !atomic_load(&w->is_armed))
        fds[1].fd = -1; /* it is readable as long as the signal is pending */
    if (is_looking)
        ms = LOOK_MS;
    else if (at > 0 && atomic_load(&w->is_armed))
        ms = left <= 0 ? 0 : (int)fmin(ceil(left * 1e3), 1e8);
    if (poll(fds, 2, ms) > 0 && fds[0].revents) {
        uint64_t n;
        (void)!read(w->wake_fd, &n, sizeof n);
    }
}

static bool is_pending(struct vt_warden *w)
{
    struct pollfd fd = {.fd = w->signal_fd, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

static void *warden_main(void *arg)
{
    struct vt_warden *w = arg;
    double wrong_since = 0, alive_at = 0, pending_since = 0;
    bool are_killed = false;
    unsigned long alive = 0;
    for (;;) {
        sleep_until_needed(w, wrong_since > 0);
        if (atomic_load(&w->is_closing))
            return NULL;
        double now = vt_now_s(), at = deadline_of(w);
        bool is_late = at > 0 && now > at, has_pending = is_pending(w);
        if (!has_pending)
            pending_since = 0;
        else if (pending_since == 0)
            pending_since = now;
        atomic_store(&w->is_overdue, has_pending && now - pending_since > overdue_s);
        if (!atomic_load(&w->is_armed) || !(is_late || has_pending || atomic_load(&w->is_interrupted))) {
            wrong_since = 0;
            are_killed = false;
            continue;
        }
        unsigned long shown = atomic_load(&w->alive);
        if (wrong_since == 0)
            wrong_since = alive_at = now;
        if (shown != alive || atomic_load(&w->waits)) {
            alive = shown;
            alive_at = now;
            are_killed = false;
        }
        if (now - alive_at > children_s && !are_killed) {
            are_killed = true;
            if (kill_children(w) > 0)
                alive_at = now; /* the call returns now; the hook gets its time */
        }
        if (now - alive_at > end_s)
            end_process(w, is_late ? VT_WARDEN_DEADLINE : VT_WARDEN_INTERRUPT);
    }
}

vt_status vt_warden_open(const struct vt_bind_host *host, struct vt_warden **out, vt_err *err)
{
    *out = NULL;
    struct vt_warden *w = vt_alloc(sizeof *w);
    if (!w)
        return vt_fail(err, VT_ENOMEM, "No memory for the thread that watches scripts; free some and try again");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    w->host = host;
    pthread_mutex_init(&w->mutex, NULL);
    atomic_store(&w->is_armed, true);
    w->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->signal_fd < 0 || w->wake_fd < 0) {
        vt_status status = vt_fail(err, VT_EIO, "cannot watch for signals: %s", strerror(errno));
        vt_warden_close(w);
        return status;
    }
    int e = pthread_create(&w->thread, NULL, warden_main, w);
    if (e != 0) {
        vt_warden_close(w);
        return vt_fail(err, VT_EIO, "cannot start the thread that watches scripts: %s", strerror(e));
    }
    w->has_thread = true;
    *out = w;
    return VT_OK;
}

void vt_warden_close(struct vt_warden *w)
{
    if (!w)
        return;
    atomic_store(&w->is_closing, true);
    if (w->has_thread) {
        wake(w);
        pthread_join(w->thread, NULL);
    }
    if (w->signal_fd >= 0)
        close(w->signal_fd);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    for (size_t i = 0; i < 4; i++)
        free(w->words[i / 2][i % 2]);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

void vt_warden_alive(struct vt_warden *w)
{
    if (w)
        atomic_fetch_add_explicit(&w->alive, 1, memory_order_relaxed);
}

void vt_warden_waits(struct vt_warden *w, bool waits)
{
    if (!w)
        return;
    vt_warden_alive(w);
    atomic_store(&w->waits, waits);
}

void vt_warden_interrupted(struct vt_warden *w)
{
    if (!w)
        return;
    atomic_store(&w->is_interrupted, true);
    wake(w);
}

void vt_warden_calm(struct vt_warden *w)
{
    if (w)
        atomic_store(&w->is_interrupted, false);
}

void vt_warden_deadline(struct vt_warden *w, double at_s)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->deadline_s = at_s;
    pthread_mutex_unlock(&w->mutex);
    wake(w);
}

void vt_warden_arm(struct vt_warden *w, bool is_armed)
{
    if (!w)
        return;
    vt_warden_alive(w);
    atomic_store(&w->is_armed, is_armed);
    wake(w);
}

bool vt_warden_is_overdue(struct vt_warden *w)
{
    return w && atomic_load(&w->is_overdue);
}

void vt_warden_last_words(struct vt_warden *w, enum vt_warden_cause cause, const char *err_text, const char *out_text)
{
    if (!w)
        return;
    const char *texts[] = {err_text, out_text};
    pthread_mutex_lock(&w->mutex);
    for (int i = 0; i < 2; i++) {
        free(w->words[cause][i]);
        w->words[cause][i] = texts[i] ? vt_strdup(texts[i]) : NULL; /* without memory: the host's own sentence */
    }
    pthread_mutex_unlock(&w->mutex);
}

void vt_warden_end_now(struct vt_warden *w)
{
    if (w)
        end_process(w, VT_WARDEN_INTERRUPT);
}

bool vt_warden_child_add(struct vt_warden *w, pid_t group)
{
    if (!w)
        return false;
    pthread_mutex_lock(&w->mutex);
    bool has_room = w->n_children < MAX_CHILDREN;
    if (has_room)
        w->children[w->n_children++] = group;
    pthread_mutex_unlock(&w->mutex);
    return has_room;
}

void vt_warden_child_del(struct vt_warden *w, pid_t group)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    for (size_t i = 0; i < w->n_children; i++)
        if (w->children[i] == group) {
            w->children[i] = w->children[--w->n_children];
            break;
        }
    pthread_mutex_unlock(&w->mutex);
}
