/* SPDX-License-Identifier: Apache-2.0
 *
 * lease.c: the machine lease of thread.h.
 *
 * One mutex guards everything; `is_wanted` is also an atomic so that a guest's poll costs one load while no timing
 * wants the machine. A holder goes through three states: it queues (tickets, first come first served), it wants (the
 * flag is up and guests park), it holds (all guests parked, or the grace period is over and *contended says so).
 *
 * Guests must not starve when one timing follows the other without a pause: release notes how many guests are parked
 * (n_owed), and the next holder raises its flag only after each of them has been let go. A guest then runs one stretch
 * up to its next poll, so compute advances between any two timings.
 *
 * Child process groups are stopped when the flag goes up and continued at release. A group that is gone is no error:
 * its owner may still be about to reap it.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { GRACE_MS = 20 };

struct vt_lease {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* any change of the fields below */
    atomic_bool is_wanted;
    uint64_t next_ticket, serving;
    int n_inside;  /* guests between enter and leave that are not parked */
    int n_waiting; /* guests parked in enter or poll */
    int n_owed;    /* of those, how many must be let go before the next holder may want */
    bool is_held;
    uint64_t held_since_ns, held_ns;
    pid_t *children;
    size_t n_children, cap_children;
};

vt_lease *vt_lease_new(void)
{
    vt_lease *l = vt_alloc(sizeof *l);
    if (!l)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return l;
}

void vt_lease_free(vt_lease *l)
{
    if (!l)
        return;
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l->children);
    free(l);
}

/* With the lock held: waits until no timing wants the machine. */
static void park(vt_lease *l)
{
    l->n_waiting++;
    while (atomic_load(&l->is_wanted))
        pthread_cond_wait(&l->changed, &l->lock);
    l->n_waiting--;
    if (l->n_owed > 0 && --l->n_owed == 0)
        pthread_cond_broadcast(&l->changed);
}

void vt_lease_enter(vt_lease *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    if (atomic_load(&l->is_wanted))
        park(l);
    l->n_inside++;
    pthread_mutex_unlock(&l->lock);
}

void vt_lease_poll(vt_lease *l)
{
    if (!l || !atomic_load_explicit(&l->is_wanted, memory_order_relaxed))
        return;
    pthread_mutex_lock(&l->lock);
    if (atomic_load(&l->is_wanted)) {
        if (--l->n_inside == 0)
            pthread_cond_broadcast(&l->changed);
        park(l);
        l->n_inside++;
    }
    pthread_mutex_unlock(&l->lock);
}

void vt_lease_leave(vt_lease *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    if (--l->n_inside == 0)
        pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void signal_children(const vt_lease *l, int signo)
{
    for (size_t i = 0; i < l->n_children; i++)
        kill(-l->children[i], signo);
}

void vt_lease_child_add(vt_lease *l, pid_t process_group)
{
    if (!l || process_group <= 1)
        return;
    pthread_mutex_lock(&l->lock);
    if (l->n_children == l->cap_children) {
        size_t cap = l->cap_children ? l->cap_children * 2 : 16;
        pid_t *more = vt_realloc_array(l->children, cap, sizeof *more);
        if (more) {
            l->children = more;
            l->cap_children = cap;
        }
    }
    if (l->n_children <
        l->cap_children) { /* out of memory leaves the child running: the timing is noisier, not wrong */
        l->children[l->n_children++] = process_group;
        if (atomic_load(&l->is_wanted))
            kill(-process_group, SIGSTOP);
    }
    pthread_mutex_unlock(&l->lock);
}

void vt_lease_child_del(vt_lease *l, pid_t process_group)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_children; i++) {
        if (l->children[i] != process_group)
            continue;
        l->children[i] = l->children[--l->n_children];
        if (atomic_load(&l->is_wanted))
            kill(-process_group, SIGCONT);
        break;
    }
    pthread_mutex_unlock(&l->lock);
}

static struct timespec deadline_in_ms(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* With the lock held: waits until *count is 0; false when the grace period ran out first. */
static bool wait_for_zero(vt_lease *l, const int *count)
{
    struct timespec deadline = deadline_in_ms(GRACE_MS);
    while (*count > 0)
        if (pthread_cond_timedwait(&l->changed, &l->lock, &deadline) == ETIMEDOUT)
            return *count <= 0;
    return true;
}

void vt_lease_acquire(vt_lease *l, bool *contended)
{
    bool is_contended = false;
    if (l) {
        pthread_mutex_lock(&l->lock);
        uint64_t ticket = l->next_ticket++;
        while (l->serving != ticket)
            pthread_cond_wait(&l->changed, &l->lock);
        wait_for_zero(l, &l->n_owed);
        l->n_owed = 0;
        atomic_store(&l->is_wanted, true);
        signal_children(l, SIGSTOP);
        is_contended = !wait_for_zero(l, &l->n_inside);
        l->is_held = true;
        l->held_since_ns = vt_now_ns();
        pthread_mutex_unlock(&l->lock);
    }
    if (contended)
        *contended = is_contended;
}

void vt_lease_release(vt_lease *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    if (l->is_held) {
        l->is_held = false;
        l->held_ns += vt_now_ns() - l->held_since_ns;
        l->serving++;
        l->n_owed = l->n_waiting;
        atomic_store(&l->is_wanted, false);
        signal_children(l, SIGCONT);
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
}

uint64_t vt_lease_held_ns(const vt_lease *l)
{
    if (!l)
        return 0;
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&l->lock; /* reading takes the lock; nothing else changes */
    pthread_mutex_lock(lock);
    uint64_t ns = l->held_ns + (l->is_held ? vt_now_ns() - l->held_since_ns : 0);
    pthread_mutex_unlock(lock);
    return ns;
}
