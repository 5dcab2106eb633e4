/* SPDX-License-Identifier: Apache-2.0
 *
 * lease.c: the machine lease of thread.h.
 *
 * One mutex guards everything; the number of places that are wanted is also an atomic, so that a guest's poll costs one
 * load while no timing wants anything. A holder goes through three states: it queues behind earlier ones whose places
 * it meets, it wants (guests that it meets park), it holds (all of them are parked, or the grace period is over and
 * *contended says so). On two cores every place meets every other, and the lease is the machine's.
 *
 * Guests must not starve when one timing follows the other without a pause: release marks the parked guests that it let
 * go as owed, and the next holder that meets them wants only after each of them has gone on. A guest then runs one
 * stretch up to its next poll, so compute advances between any two timings.
 *
 * A guest with a pool has a home, where it may run when nothing is wanted. When a place is wanted that meets it, and at
 * least MIN_REST cores are left, its pool moves there instead of parking; it goes home at the first poll that finds
 * home free, or when the guest leaves. The lease moves it only inside enter, poll and leave, where no job of the pool
 * runs.
 *
 * Child process groups are stopped when a place that meets theirs is wanted and continued at release. A group that is
 * gone is no error: its owner may still be about to reap it.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GRACE_MS = 20, MAX_TURNS = 64, MAX_SPANS = 64, MIN_REST = 2 };

enum turn_state { FREE, QUEUED, WANTED, HELD };
struct turn {
    enum turn_state state;
    uint64_t ticket, since_ns;
    struct vt_place place;
};

struct guest {
    pthread_t thread;
    int depth; /* of enter; 0: outside, remembered for its pool */
    struct vt_place home, now;
    vt_pool *pool;
    bool is_away;            /* the pool is not at home */
    bool is_parked, is_owed; /* owed: let go by a release, not yet running */
};

struct child {
    pid_t group;
    struct vt_place place;
    bool is_stopped;
};

/* How long a place was held, of those that are no longer held now. */
struct span {
    struct vt_place place;
    uint64_t ns;
};

struct vt_lease {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* any change of the fields below */
    atomic_int n_wanted, n_away;
    uint64_t next_ticket;
    struct turn turn[MAX_TURNS];
    struct guest *guests;
    size_t n_guests, cap_guests;
    struct child *children;
    size_t n_children, cap_children;
    struct span span[MAX_SPANS];
    size_t n_spans;
};

void vt_place_here(struct vt_place *p)
{
    memset(p, 0, sizeof *p);
    /* A kernel with more cores than a cpu_set_t holds says EINVAL: then anywhere. */
    if (sched_getaffinity(0, sizeof p->cores, &p->cores) != 0)
        memset(&p->cores, 0xff, sizeof p->cores);
}

static bool meets(const struct vt_place *a, const struct vt_place *b)
{
    cpu_set_t both;
    CPU_AND(&both, &a->cores, &b->cores);
    return CPU_COUNT(&both) > 0 || (a->devices & b->devices) != 0;
}

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
    free(l->guests);
    free(l->children);
    free(l);
}

/* Room for one more element; NULL leaves the old array as it was. */
static void *grow(void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    size_t more = *cap ? *cap * 2 : 16;
    void *p = vt_realloc_array(array, more, size);
    if (p)
        *cap = more;
    return p;
}

/* ---- with the lock held ---- */

static bool is_taken(const struct turn *t)
{
    return t->state == WANTED || t->state == HELD;
}

static bool is_met(const vt_lease *l, const struct vt_place *p)
{
    for (int i = 0; i < MAX_TURNS; i++)
        if (is_taken(&l->turn[i]) && meets(&l->turn[i].place, p))
            return true;
    return false;
}

static struct guest *find_guest(vt_lease *l)
{
    for (size_t i = 0; i < l->n_guests; i++)
        if (pthread_equal(l->guests[i].thread, pthread_self()))
            return &l->guests[i];
    return NULL;
}

/* What taken turns leave of the guest's home. */
static bool rest_of(const vt_lease *l, const struct guest *g, struct vt_place *rest)
{
    *rest = g->home;
    for (int i = 0; i < MAX_TURNS; i++)
        if (is_taken(&l->turn[i])) {
            cpu_set_t both;
            CPU_AND(&both, &rest->cores, &l->turn[i].place.cores);
            CPU_XOR(&rest->cores, &rest->cores, &both);
        }
    return CPU_COUNT(&rest->cores) >= MIN_REST && !is_met(l, rest);
}

static void move_pool(vt_lease *l, struct guest *g, const struct vt_place *to, bool is_away)
{
    if (CPU_EQUAL(&g->now.cores, &to->cores))
        return;
    vt_pool_place(g->pool, &to->cores, is_away ? CPU_COUNT(&to->cores) : vt_pool_size(g->pool));
    g->now = *to;
    if (g->is_away != is_away)
        atomic_fetch_add(&l->n_away, is_away ? 1 : -1);
    g->is_away = is_away;
    pthread_cond_broadcast(&l->changed);
}

/* The calling guest goes where it may run, or waits until it may. The array of guests may move while it waits. */
static void settle(vt_lease *l)
{
    struct guest *g;
    while ((g = find_guest(l)) != NULL && g->depth > 0) {
        struct vt_place rest;
        if (!is_met(l, &g->home)) {
            if (g->is_away)
                move_pool(l, g, &g->home, false);
            break;
        }
        if (g->pool && rest_of(l, g, &rest)) {
            move_pool(l, g, &rest, true);
            break;
        }
        if (!g->is_parked)
            pthread_cond_broadcast(&l->changed);
        g->is_parked = true;
        pthread_cond_wait(&l->changed, &l->lock);
    }
    if (!g || (!g->is_parked && !g->is_owed))
        return;
    g->is_parked = g->is_owed = false;
    pthread_cond_broadcast(&l->changed);
}

/* ---- guests ---- */

/* The calling thread's entry, made when it has none; NULL: out of memory, which leaves it unknown: the timing is
 * noisier, not wrong. */
static struct guest *need_guest(vt_lease *l)
{
    struct guest *g = find_guest(l);
    if (g)
        return g;
    struct guest *more = grow(l->guests, l->n_guests, &l->cap_guests, sizeof *more);
    if (!more)
        return NULL;
    l->guests = more;
    g = &more[l->n_guests++];
    *g = (struct guest){.thread = pthread_self()};
    return g;
}

static void enter(vt_lease *l, uint64_t devices)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    struct guest *g = need_guest(l);
    if (g && g->depth++ == 0) {
        vt_place_here(&g->home);
        g->home.devices = devices;
        g->now = g->home;
        g->is_parked = true; /* it does not run yet */
    }
    settle(l);
    pthread_mutex_unlock(&l->lock);
}

void vt_lease_enter(vt_lease *l)
{
    enter(l, 0);
}

void vt_lease_enter_devices(vt_lease *l, uint64_t devices)
{
    enter(l, devices);
}

void vt_lease_poll(vt_lease *l)
{
    if (!l || (atomic_load_explicit(&l->n_wanted, memory_order_relaxed) == 0 &&
               atomic_load_explicit(&l->n_away, memory_order_relaxed) == 0))
        return;
    pthread_mutex_lock(&l->lock);
    settle(l);
    pthread_mutex_unlock(&l->lock);
}

void vt_lease_poll_pool(vt_lease *l, vt_pool *p)
{
    if (!l || (atomic_load_explicit(&l->n_wanted, memory_order_relaxed) == 0 &&
               atomic_load_explicit(&l->n_away, memory_order_relaxed) == 0))
        return;
    pthread_mutex_lock(&l->lock);
    struct guest *g = find_guest(l);
    if (g)
        g->pool = p;
    settle(l);
    pthread_mutex_unlock(&l->lock);
}

static void drop_guest(vt_lease *l, struct guest *g)
{
    *g = l->guests[--l->n_guests];
}

void vt_lease_forget_pool(vt_lease *l, vt_pool *p)
{
    if (!l || !p)
        return;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_guests; i++) {
        if (l->guests[i].pool != p)
            continue;
        l->guests[i].pool = NULL;
        if (l->guests[i].depth == 0)
            drop_guest(l, &l->guests[i--]);
    }
    pthread_mutex_unlock(&l->lock);
}

void vt_lease_leave(vt_lease *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    struct guest *g = find_guest(l);
    if (g && g->depth > 0 && --g->depth == 0) {
        if (g->is_away)
            move_pool(l, g, &g->home, false);
        if (!g->pool)
            drop_guest(l, g);
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- children ---- */

static void settle_children(vt_lease *l)
{
    for (size_t i = 0; i < l->n_children; i++) {
        struct child *c = &l->children[i];
        bool is_stopped = is_met(l, &c->place);
        if (is_stopped != c->is_stopped)
            kill(-c->group, is_stopped ? SIGSTOP : SIGCONT);
        c->is_stopped = is_stopped;
    }
}

void vt_lease_child_add(vt_lease *l, pid_t process_group)
{
    if (!l || process_group <= 1)
        return;
    pthread_mutex_lock(&l->lock);
    struct child *more = grow(l->children, l->n_children, &l->cap_children, sizeof *more);
    if (more) { /* out of memory leaves the child running: the timing is noisier, not wrong */
        l->children = more;
        struct child *c = &more[l->n_children++];
        *c = (struct child){.group = process_group};
        vt_place_here(&c->place);
        settle_children(l);
    }
    pthread_mutex_unlock(&l->lock);
}

void vt_lease_child_del(vt_lease *l, pid_t process_group)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_children; i++) {
        if (l->children[i].group != process_group)
            continue;
        if (l->children[i].is_stopped)
            kill(-process_group, SIGCONT);
        l->children[i] = l->children[--l->n_children];
        break;
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- holders ---- */

static struct timespec deadline_in_ms(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static bool is_in_the_way(const struct guest *g, const struct vt_place *p)
{
    return g->depth > 0 && !g->is_parked && meets(&g->now, p);
}

static bool is_owed(const struct guest *g, const struct vt_place *p)
{
    return g->is_owed && meets(&g->home, p);
}

typedef bool guest_test(const struct guest *g, const struct vt_place *p);

static bool any_guest(const vt_lease *l, const struct vt_place *p, guest_test *is)
{
    for (size_t i = 0; i < l->n_guests; i++)
        if (is(&l->guests[i], p))
            return true;
    return false;
}

/* Waits until no guest passes the test; false when the grace period ran out first. */
static bool await_none(vt_lease *l, const struct vt_place *p, guest_test *is)
{
    struct timespec deadline = deadline_in_ms(GRACE_MS);
    while (any_guest(l, p, is))
        if (pthread_cond_timedwait(&l->changed, &l->lock, &deadline) == ETIMEDOUT)
            return !any_guest(l, p, is);
    return true;
}

static struct turn *free_turn(vt_lease *l)
{
    for (int i = 0; i < MAX_TURNS; i++)
        if (l->turn[i].state == FREE)
            return &l->turn[i];
    return NULL;
}

static bool is_first(const vt_lease *l, const struct turn *t)
{
    for (int i = 0; i < MAX_TURNS; i++)
        if (l->turn[i].state != FREE && l->turn[i].ticket < t->ticket && meets(&l->turn[i].place, &t->place))
            return false;
    return true;
}

void vt_lease_acquire(vt_lease *l, const struct vt_place *p, bool *contended)
{
    bool is_contended = false;
    if (l) {
        struct turn *t;
        pthread_mutex_lock(&l->lock);
        while (!(t = free_turn(l)))
            pthread_cond_wait(&l->changed, &l->lock);
        *t = (struct turn){.state = QUEUED, .ticket = l->next_ticket++, .place = *p};
        while (!is_first(l, t))
            pthread_cond_wait(&l->changed, &l->lock);
        await_none(l, p, is_owed);
        for (size_t i = 0; i < l->n_guests; i++)
            if (is_owed(&l->guests[i], p))
                l->guests[i].is_owed = false;
        t->state = WANTED;
        atomic_fetch_add(&l->n_wanted, 1);
        settle_children(l);
        is_contended = !await_none(l, p, is_in_the_way);
        t->state = HELD;
        t->since_ns = vt_now_ns();
        pthread_mutex_unlock(&l->lock);
    }
    if (contended)
        *contended = is_contended;
}

static bool is_same(const struct vt_place *a, const struct vt_place *b)
{
    return CPU_EQUAL(&a->cores, &b->cores) && a->devices == b->devices;
}

static void keep_span(vt_lease *l, const struct turn *t)
{
    uint64_t ns = vt_now_ns() - t->since_ns;
    for (size_t i = 0; i < l->n_spans; i++)
        if (is_same(&l->span[i].place, &t->place)) {
            l->span[i].ns += ns;
            return;
        }
    if (l->n_spans < MAX_SPANS) {
        l->span[l->n_spans++] = (struct span){t->place, ns};
        return;
    }
    /* More places than anybody has: the last entry stands for all of them, which only lengthens deadlines. */
    struct span *last = &l->span[MAX_SPANS - 1];
    CPU_OR(&last->place.cores, &last->place.cores, &t->place.cores);
    last->place.devices |= t->place.devices;
    last->ns += ns;
}

void vt_lease_release(vt_lease *l, const struct vt_place *p)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    struct turn *t = NULL;
    for (int i = 0; i < MAX_TURNS && !t; i++)
        if (l->turn[i].state == HELD && is_same(&l->turn[i].place, p))
            t = &l->turn[i];
    if (t) {
        keep_span(l, t);
        t->state = FREE;
        atomic_fetch_sub(&l->n_wanted, 1);
        for (size_t i = 0; i < l->n_guests; i++) {
            struct guest *g = &l->guests[i];
            struct vt_place rest;
            if (g->depth > 0 && g->is_parked && meets(&g->home, p) &&
                (!is_met(l, &g->home) || (g->pool && rest_of(l, g, &rest))))
                g->is_owed = true;
        }
        settle_children(l);
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
}

uint64_t vt_lease_held_ns(const vt_lease *l)
{
    if (!l)
        return 0;
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&l->lock; /* reading takes the lock; nothing else changes */
    struct vt_place here;
    uint64_t ns = 0;
    vt_place_here(&here);
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < l->n_spans; i++)
        if (meets(&l->span[i].place, &here))
            ns += l->span[i].ns;
    for (int i = 0; i < MAX_TURNS; i++)
        if (l->turn[i].state == HELD && meets(&l->turn[i].place, &here))
            ns += vt_now_ns() - l->turn[i].since_ns;
    pthread_mutex_unlock(lock);
    return ns;
}

int vt_lease_n_elsewhere(const vt_lease *l, const struct vt_place *p)
{
    if (!l)
        return 0;
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&l->lock;
    int n = 0;
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < l->n_guests; i++) {
        const struct guest *g = &l->guests[i];
        if (g->depth > 0 && !g->is_parked && !meets(&g->now, p))
            n += g->pool ? CPU_COUNT(&g->now.cores) : 1;
    }
    for (size_t i = 0; i < l->n_children; i++)
        n += !meets(&l->children[i].place, p);
    pthread_mutex_unlock(lock);
    return n;
}
