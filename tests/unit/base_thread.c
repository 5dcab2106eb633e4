/* SPDX-License-Identifier: Apache-2.0
 *
 * base_thread.c: the pool and the lease with real threads and a real child process. Also run under ThreadSanitizer.
 */
#include "base/clock.h"
#include "base/thread.h"
#include "harness.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { N_ROUNDS = 2000 };

struct sums {
    vt_pool *pool;
    long parts[8];
    long total[8]; /* what each thread saw after the barrier */
};

static void add_up(void *arg, int thread, int n_threads)
{
    struct sums *s = arg;
    s->parts[thread] = thread + 1;
    vt_pool_barrier(s->pool, thread);
    s->total[thread] = 0;
    for (int i = 0; i < n_threads; i++)
        s->total[thread] += s->parts[i];
    vt_pool_barrier(s->pool, thread);
    s->parts[thread] = -1000;
}

static void pool_runs_and_meets(void)
{
    for (int n = 1; n <= 5; n++) {
        vt_err err;
        struct sums s = {0};
        CHECK_OK(vt_pool_new(n, &s.pool, &err), err);
        CHECK_INT(vt_pool_size(s.pool), n);
        int n_wrong = 0;
        for (int round = 0; round < N_ROUNDS / n; round++) {
            vt_pool_run(s.pool, add_up, &s);
            for (int i = 0; i < n; i++)
                n_wrong += s.total[i] != n * (n + 1) / 2;
            if (round % 256 == 0)
                vt_sleep_ms(1); /* long enough for the threads to fall asleep */
        }
        CHECK_INT(n_wrong, 0);
        vt_pool_free(s.pool);
    }
}

static void pool_refuses_nonsense(void)
{
    vt_pool *p;
    vt_err err;
    CHECK_INT(vt_pool_new(-1, &p, &err), VT_EINVAL);
    CHECK_INT(vt_pool_new(1 << 20, &p, &err), VT_EINVAL);
    CHECK_OK(vt_pool_new(0, &p, &err), err);
    CHECK_INT(vt_pool_size(p), vt_cpu_count());
    vt_pool_free(p);
    vt_pool_free(NULL);
}

struct guest {
    vt_lease *lease;
    atomic_bool is_ending;
    atomic_long n_steps;
    bool is_deaf; /* never polls */
};

static void *guest_main(void *arg)
{
    struct guest *g = arg;
    vt_lease_enter(g->lease);
    while (!atomic_load(&g->is_ending)) {
        atomic_fetch_add(&g->n_steps, 1);
        vt_sleep_ms(1);
        if (!g->is_deaf)
            vt_lease_poll(g->lease);
    }
    vt_lease_leave(g->lease);
    return NULL;
}

static void guests_park(void)
{
    struct guest g[3] = {0};
    pthread_t threads[3];
    vt_lease *l = vt_lease_new();
    for (int i = 0; i < 3; i++) {
        g[i].lease = l;
        pthread_create(&threads[i], NULL, guest_main, &g[i]);
    }
    for (int i = 0; i < 3; i++)
        while (atomic_load(&g[i].n_steps) == 0)
            vt_sleep_ms(1);
    for (int round = 0; round < 10; round++) {
        bool contended = true;
        vt_lease_acquire(l, &contended);
        if (!contended) {
            long held = atomic_load(&g[0].n_steps) + atomic_load(&g[1].n_steps) + atomic_load(&g[2].n_steps);
            vt_sleep_ms(5);
            CHECK_INT(atomic_load(&g[0].n_steps) + atomic_load(&g[1].n_steps) + atomic_load(&g[2].n_steps), held);
        }
        vt_lease_release(l);
    }
    CHECK(vt_lease_held_ns(l) >= 10 * 1000000);
    for (int i = 0; i < 3; i++)
        atomic_store(&g[i].is_ending, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    vt_lease_free(l);
}

static void back_to_back_timings_starve_nobody(void)
{
    struct guest g = {0};
    pthread_t thread;
    g.lease = vt_lease_new();
    pthread_create(&thread, NULL, guest_main, &g);
    while (atomic_load(&g.n_steps) == 0)
        vt_sleep_ms(1);
    long before = atomic_load(&g.n_steps);
    int n_uncontended = 0;
    for (int round = 0; round < 20; round++) {
        bool contended;
        vt_lease_acquire(g.lease, &contended);
        n_uncontended += !contended;
        vt_lease_release(g.lease);
    }
    CHECK(atomic_load(&g.n_steps) - before >= n_uncontended - 2);
    atomic_store(&g.is_ending, true);
    pthread_join(thread, NULL);
    vt_lease_free(g.lease);
}

static void deaf_guest_is_reported(void)
{
    struct guest g = {.is_deaf = true};
    pthread_t thread;
    bool contended = false;
    g.lease = vt_lease_new();
    pthread_create(&thread, NULL, guest_main, &g);
    while (atomic_load(&g.n_steps) == 0)
        vt_sleep_ms(1);
    vt_lease_acquire(g.lease, &contended);
    CHECK(contended);
    vt_lease_release(g.lease);
    atomic_store(&g.is_ending, true);
    pthread_join(thread, NULL);
    vt_lease_acquire(g.lease, &contended);
    CHECK(!contended);
    vt_lease_release(g.lease);
    vt_lease_free(g.lease);
}

static void slow_but_for_the_caller(void *arg, int thread, int n_threads)
{
    atomic_int *n_done = arg;
    (void)n_threads;
    if (thread > 0)
        vt_sleep_ms(30);
    atomic_fetch_add(n_done, 1);
}

static void a_run_ends_with_its_last_thread(void)
{
    vt_pool *p = NULL;
    vt_err err;
    CHECK_OK(vt_pool_new(3, &p, &err), err);
    for (int i = 0; i < 3; i++) {
        atomic_int n_done = 0;
        vt_pool_run(p, slow_but_for_the_caller, &n_done);
        CHECK_INT(atomic_load(&n_done), 3);
    }
    vt_pool_free(p);
}

struct holder {
    vt_lease *lease;
    int index;
    atomic_int *n_holding;
    int *order, *n_order;
};

static void *holder_main(void *arg)
{
    struct holder *h = arg;
    vt_lease_acquire(h->lease, NULL);
    CHECK_INT(atomic_fetch_add(h->n_holding, 1), 0);
    h->order[(*h->n_order)++] = h->index;
    vt_sleep_ms(2);
    atomic_fetch_sub(h->n_holding, 1);
    vt_lease_release(h->lease);
    return NULL;
}

static void holders_wait_in_order(void)
{
    enum { N = 6 };
    vt_lease *l = vt_lease_new();
    struct holder h[N];
    pthread_t threads[N];
    atomic_int n_holding = 0;
    int order[N], n_order = 0;
    vt_lease_acquire(l, NULL);
    for (int i = 0; i < N; i++) {
        h[i] = (struct holder){l, i, &n_holding, order, &n_order};
        pthread_create(&threads[i], NULL, holder_main, &h[i]);
        vt_sleep_ms(20); /* lets thread i queue before thread i + 1 starts */
    }
    vt_lease_release(l);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(n_order, N);
    for (int i = 0; i < N; i++)
        CHECK_INT(order[i], i);
    vt_lease_free(l);
}

/* 'T' while stopped. */
static char child_state(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = '\0';
    const char *p = strrchr(text, ')');
    return p && p[1] ? p[2] : '?';
}

static bool child_reaches(pid_t pid, bool is_stopped)
{
    for (int i = 0; i < 2000; i++) {
        if ((child_state(pid) == 'T') == is_stopped)
            return true;
        vt_sleep_ms(1);
    }
    return false;
}

static void children_stop_and_go(void)
{
    vt_lease *l = vt_lease_new();
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        for (;;)
            pause();
    }
    setpgid(pid, pid);
    vt_lease_child_add(l, pid);
    CHECK(child_reaches(pid, false));
    vt_lease_acquire(l, NULL);
    CHECK(child_reaches(pid, true));
    vt_lease_release(l);
    CHECK(child_reaches(pid, false));
    vt_lease_child_del(l, pid);
    vt_lease_acquire(l, NULL);
    vt_lease_child_add(l, pid); /* a compiler started while a timing runs */
    CHECK(child_reaches(pid, true));
    vt_lease_child_del(l, pid);
    CHECK(child_reaches(pid, false));
    vt_lease_release(l);
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    vt_lease_free(l);
}

static void no_lease_is_no_wait(void)
{
    bool contended = true;
    vt_lease_enter(NULL);
    vt_lease_poll(NULL);
    vt_lease_leave(NULL);
    vt_lease_acquire(NULL, &contended);
    CHECK(!contended);
    vt_lease_release(NULL);
    vt_lease_child_add(NULL, 5);
    vt_lease_child_del(NULL, 5);
    CHECK_INT(vt_lease_held_ns(NULL), 0);
    vt_lease_free(NULL);
}

static const struct test_case cases[] = {
    TEST(a_run_ends_with_its_last_thread),
    TEST(pool_runs_and_meets),
    TEST(pool_refuses_nonsense),
    TEST(guests_park),
    TEST(back_to_back_timings_starve_nobody),
    TEST(deaf_guest_is_reported),
    TEST(holders_wait_in_order),
    TEST(children_stop_and_go),
    TEST(no_lease_is_no_wait),
};
TEST_MAIN(cases)
