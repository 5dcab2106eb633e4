/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c: the compute pool of thread.h.
 *
 * Everything that waits here waits at a gate: a counter that threads watch for about 50 us and then sleep on. The
 * start gate opens when a job is set, the done gate when its last thread returns, the meet gate when the last thread
 * reaches a barrier. The opener bumps the counter and only then looks whether anybody sleeps; a sleeper announces
 * itself and only then looks at the counter again. Both orders are sequentially consistent, so one of the two sees
 * the other and no wake-up is lost. Sleeping matters as much as spinning: a thread that meets its mates while one of
 * them is parked by the lease must leave its core to the timing.
 *
 * A pool can be confined to some cores and as many threads. The others wake for each job all the same, see that it has
 * no share for them and sleep again without spinning: so every thread sees every job, and no count of them can slip.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SPIN_NS = 50000, SPINS_PER_CLOCK_READ = 64, MAX_THREADS = 1024 };

struct gate {
    atomic_uint opened; /* how often */
    atomic_int n_asleep;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

struct member {
    vt_pool *pool;
    int index;
    pthread_t thread;
};

struct vt_pool {
    int n;               /* with the caller */
    atomic_int n_active; /* threads that get a share of a job; changes between jobs only */
    int n_started;       /* members whose thread exists; they are indices 1.. */
    atomic_bool is_ending;
    vt_pool_fn *fn;
    void *arg;
    atomic_int n_working; /* threads that have not returned from fn */
    atomic_int n_arrived; /* at the barrier */
    struct gate start, done, meet;
    pthread_mutex_t one_job;
    struct member members[];
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void gate_init(struct gate *g)
{
    atomic_init(&g->opened, 0);
    atomic_init(&g->n_asleep, 0);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, NULL);
}

static void gate_destroy(struct gate *g)
{
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->wake);
}

static void gate_open(struct gate *g)
{
    atomic_fetch_add(&g->opened, 1);
    if (atomic_load(&g->n_asleep) == 0)
        return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

/* Returns once the gate has opened since `seen` was read. */
static void gate_wait(struct gate *g, unsigned seen, bool is_spinning)
{
    uint64_t start_ns = 0;
    for (unsigned spin = 1; is_spinning; spin++) {
        if (atomic_load_explicit(&g->opened, memory_order_acquire) != seen)
            return;
        relax();
        if (spin % SPINS_PER_CLOCK_READ)
            continue;
        uint64_t now_ns = vt_now_ns();
        if (!start_ns)
            start_ns = now_ns;
        if (now_ns - start_ns > SPIN_NS)
            break;
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->n_asleep, 1);
    while (atomic_load(&g->opened) == seen)
        pthread_cond_wait(&g->wake, &g->lock);
    atomic_fetch_sub(&g->n_asleep, 1);
    pthread_mutex_unlock(&g->lock);
}

static void *member_main(void *arg)
{
    struct member *m = arg;
    vt_pool *p = m->pool;
    for (unsigned seen = 0;; seen++) {
        gate_wait(&p->start, seen, m->index < p->n_active);
        if (atomic_load(&p->is_ending))
            return NULL;
        if (m->index < p->n_active)
            p->fn(p->arg, m->index, p->n_active);
        if (atomic_fetch_sub(&p->n_working, 1) == 1)
            gate_open(&p->done);
    }
}

int vt_cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n;
}

vt_status vt_pool_new(int n_threads, vt_pool **out, vt_err *err)
{
    *out = NULL;
    int n = n_threads == 0 ? vt_cpu_count() : n_threads;
    if (n < 1 || n > MAX_THREADS)
        return vt_fail(err, VT_EINVAL, "a pool of %d threads was asked for; 1 to %d are possible", n, (int)MAX_THREADS);
    vt_pool *p = vt_alloc(sizeof *p + (size_t)n * sizeof p->members[0]);
    if (!p)
        return vt_fail(err, VT_ENOMEM, "out of memory while creating a pool of %d threads", n);
    p->n = n;
    atomic_init(&p->n_active, n);
    gate_init(&p->start);
    gate_init(&p->done);
    gate_init(&p->meet);
    pthread_mutex_init(&p->one_job, NULL);
    for (int i = 1; i < n; i++) {
        p->members[i] = (struct member){.pool = p, .index = i};
        int e = pthread_create(&p->members[i].thread, NULL, member_main, &p->members[i]);
        if (e != 0) {
            vt_pool_free(p);
            return vt_fail(err, VT_EIO, "cannot start thread %d of %d: error %d of pthread_create", i + 1, n, e);
        }
        p->n_started++;
    }
    *out = p;
    return VT_OK;
}

void vt_pool_free(vt_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->is_ending, true);
    gate_open(&p->start);
    for (int i = 1; i <= p->n_started; i++)
        pthread_join(p->members[i].thread, NULL);
    gate_destroy(&p->start);
    gate_destroy(&p->done);
    gate_destroy(&p->meet);
    pthread_mutex_destroy(&p->one_job);
    free(p);
}

int vt_pool_size(const vt_pool *p)
{
    return p->n;
}

void vt_pool_place(vt_pool *p, const cpu_set_t *cores, int n_active)
{
    pthread_mutex_lock(&p->one_job);
    atomic_store(&p->n_active, n_active < 1 ? 1 : n_active > p->n ? p->n : n_active);
    pthread_setaffinity_np(pthread_self(), sizeof *cores, cores);
    for (int i = 1; i <= p->n_started; i++)
        pthread_setaffinity_np(p->members[i].thread, sizeof *cores, cores);
    pthread_mutex_unlock(&p->one_job);
}

void vt_pool_run(vt_pool *p, vt_pool_fn *fn, void *arg)
{
    pthread_mutex_lock(&p->one_job);
    p->fn = fn;
    p->arg = arg;
    atomic_store(&p->n_working, p->n);
    unsigned seen = atomic_load(&p->done.opened);
    if (p->n > 1)
        gate_open(&p->start);
    fn(arg, 0, p->n_active);
    if (atomic_fetch_sub(&p->n_working, 1) != 1)
        gate_wait(&p->done, seen, true);
    else
        gate_open(&p->done);
    pthread_mutex_unlock(&p->one_job);
}

void vt_pool_barrier(vt_pool *p, int thread)
{
    (void)thread;
    unsigned seen = atomic_load(&p->meet.opened);
    if (atomic_fetch_add(&p->n_arrived, 1) + 1 < p->n_active) {
        gate_wait(&p->meet, seen, true);
        return;
    }
    atomic_store(&p->n_arrived, 0);
    gate_open(&p->meet);
}
