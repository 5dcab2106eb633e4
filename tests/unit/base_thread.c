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

static void pool_keeps_to_a_place(void)
{
    struct vt_place here;
    struct sums s = {0};
    vt_err err;
    vt_place_here(&here);
    CHECK_OK(vt_pool_new(5, &s.pool, &err), err);
    for (int n_active = 1; n_active <= 6; n_active++) {
        const int n = n_active < 5 ? n_active : 5;
        int n_wrong = 0;
        vt_pool_place(s.pool, &here.cores, n_active);
        CHECK_INT(vt_pool_size(s.pool), 5);
        for (int round = 0; round < 100; round++) {
            for (int i = 0; i < 5; i++)
                s.total[i] = -7;
            vt_pool_run(s.pool, add_up, &s);
            for (int i = 0; i < 5; i++)
                n_wrong += s.total[i] != (i < n ? n * (n + 1) / 2 : -7);
            if (round % 50 == 0)
                vt_sleep_ms(1);
        }
        CHECK_INT(n_wrong, 0);
    }
    vt_pool_free(s.pool);
}

struct guest {
    vt_lease *lease;
    atomic_bool is_ending;
    atomic_long n_steps;
    bool is_deaf; /* never polls */
    uint64_t devices;
};

/* All cores, which is what a timing on two cores needs. */
static const struct vt_place *everywhere(void)
{
    static _Thread_local struct vt_place p;
    vt_place_here(&p);
    return &p;
}

/* A device: on machines of any size it meets nobody who does not use it. */
static const struct vt_place device_1 = {.devices = 2};

static void *guest_main(void *arg)
{
    struct guest *g = arg;
    if (g->devices)
        vt_lease_enter_devices(g->lease, g->devices);
    else
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
        vt_lease_acquire(l, everywhere(), &contended);
        if (!contended) {
            long held = atomic_load(&g[0].n_steps) + atomic_load(&g[1].n_steps) + atomic_load(&g[2].n_steps);
            vt_sleep_ms(5);
            CHECK_INT(atomic_load(&g[0].n_steps) + atomic_load(&g[1].n_steps) + atomic_load(&g[2].n_steps), held);
        }
        vt_lease_release(l, everywhere());
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
        vt_lease_acquire(g.lease, everywhere(), &contended);
        n_uncontended += !contended;
        vt_lease_release(g.lease, everywhere());
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
    vt_lease_acquire(g.lease, everywhere(), &contended);
    CHECK(contended);
    vt_lease_release(g.lease, everywhere());
    atomic_store(&g.is_ending, true);
    pthread_join(thread, NULL);
    vt_lease_acquire(g.lease, everywhere(), &contended);
    CHECK(!contended);
    vt_lease_release(g.lease, everywhere());
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
    vt_lease_acquire(h->lease, everywhere(), NULL);
    CHECK_INT(atomic_fetch_add(h->n_holding, 1), 0);
    h->order[(*h->n_order)++] = h->index;
    vt_sleep_ms(2);
    atomic_fetch_sub(h->n_holding, 1);
    vt_lease_release(h->lease, everywhere());
    return NULL;
}

static void holders_wait_in_order(void)
{
    enum { N = 6 };
    vt_lease *l = vt_lease_new();
    struct holder h[N];
    pthread_t threads[N];
    atomic_int n_holding = 1; /* this thread, which the first of the others has to wait for as well */
    int order[N], n_order = 0;
    vt_lease_acquire(l, everywhere(), NULL);
    for (int i = 0; i < N; i++) {
        h[i] = (struct holder){l, i, &n_holding, order, &n_order};
        pthread_create(&threads[i], NULL, holder_main, &h[i]);
        vt_sleep_ms(20); /* lets thread i queue before thread i + 1 starts */
    }
    atomic_fetch_sub(&n_holding, 1);
    vt_lease_release(l, everywhere());
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
    vt_lease_acquire(l, everywhere(), NULL);
    CHECK(child_reaches(pid, true));
    vt_lease_release(l, everywhere());
    CHECK(child_reaches(pid, false));
    vt_lease_child_del(l, pid);
    vt_lease_acquire(l, everywhere(), NULL);
    vt_lease_child_add(l, pid); /* a compiler started while a timing runs */
    CHECK(child_reaches(pid, true));
    vt_lease_child_del(l, pid);
    CHECK(child_reaches(pid, false));
    vt_lease_release(l, everywhere());
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    vt_lease_free(l);
}

static void await_steps(struct guest *g)
{
    for (long before = atomic_load(&g->n_steps); atomic_load(&g->n_steps) < before + 3;)
        vt_sleep_ms(1);
}

/* A place that meets nobody is held beside any other, and nobody parks or stops for it. */
static void places_apart_do_not_wait(void)
{
    struct guest g = {0}, on_device = {.devices = 2};
    pthread_t threads[2];
    bool contended = true;
    vt_lease *l = vt_lease_new();
    g.lease = on_device.lease = l;
    pthread_create(&threads[0], NULL, guest_main, &g);
    pthread_create(&threads[1], NULL, guest_main, &on_device);
    await_steps(&g);
    await_steps(&on_device);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        for (;;)
            pause();
    }
    setpgid(pid, pid);
    vt_lease_child_add(l, pid);
    vt_lease_acquire(l, &device_1, &contended);
    await_steps(&g); /* goes on while the device is held */
    CHECK(child_reaches(pid, false));
    CHECK(vt_lease_n_elsewhere(l, &device_1) >= 2); /* the guest on cores and the child, not the one on the device */
    CHECK_INT(vt_lease_held_ns(l), 0);              /* nobody holds what this thread uses */
    if (!contended) {
        long steps = atomic_load(&on_device.n_steps);
        await_steps(&g);
        CHECK_INT(atomic_load(&on_device.n_steps), steps);
    }
    vt_lease_acquire(l, everywhere(), NULL); /* does not wait for the device */
    CHECK(child_reaches(pid, true));
    CHECK_INT(vt_lease_n_elsewhere(l, everywhere()), 0);
    vt_lease_release(l, everywhere());
    CHECK(child_reaches(pid, false)); /* while the device is still held */
    await_steps(&g);
    vt_lease_release(l, &device_1);
    await_steps(&on_device);
    vt_lease_child_del(l, pid);
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    atomic_store(&g.is_ending, true);
    atomic_store(&on_device.is_ending, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    vt_lease_free(l);
}

/* The cores 0 to n_cores - 1 of those this process may use. */
static void first_cores(cpu_set_t *out, int n_cores)
{
    struct vt_place here;
    vt_place_here(&here);
    CPU_ZERO(out);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(out) < n_cores; cpu++)
        if (CPU_ISSET(cpu, &here.cores))
            CPU_SET(cpu, out);
}

static void *pinned_guest_main(void *arg)
{
    cpu_set_t one;
    first_cores(&one, 1);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    return guest_main(arg);
}

/* With two cores and more: a guest that may run only on the first goes on while the others are held. */
static void guests_on_other_cores_go_on(void)
{
    struct guest g = {0};
    pthread_t thread;
    struct vt_place others;
    cpu_set_t one;
    vt_place_here(&others);
    first_cores(&one, 1);
    CPU_XOR(&others.cores, &others.cores, &one);
    if (CPU_COUNT(&others.cores) == 0)
        SKIP("one core");
    g.lease = vt_lease_new();
    pthread_create(&thread, NULL, pinned_guest_main, &g);
    await_steps(&g);
    bool contended = true;
    vt_lease_acquire(g.lease, &others, &contended);
    CHECK(!contended);
    await_steps(&g);
    vt_lease_release(g.lease, &others);
    CHECK(vt_lease_held_ns(g.lease) > 0); /* this thread may run on the others */
    atomic_store(&g.is_ending, true);
    pthread_join(thread, NULL);
    vt_lease_free(g.lease);
}

struct pool_guest {
    vt_lease *lease;
    vt_pool *pool;
    atomic_bool is_ending;
    atomic_long n_jobs;
    atomic_int n_threads; /* of the last job */
    cpu_set_t seen;       /* where its threads could run */
    pthread_mutex_t lock;
};

static void note_place(void *arg, int thread, int n_threads)
{
    struct pool_guest *g = arg;
    struct vt_place here;
    (void)thread;
    vt_place_here(&here);
    pthread_mutex_lock(&g->lock);
    CPU_OR(&g->seen, &g->seen, &here.cores);
    pthread_mutex_unlock(&g->lock);
    atomic_store(&g->n_threads, n_threads);
}

static void *pool_guest_main(void *arg)
{
    struct pool_guest *g = arg;
    vt_lease_enter(g->lease);
    while (!atomic_load(&g->is_ending)) {
        vt_lease_poll_pool(g->lease, g->pool);
        vt_pool_run(g->pool, note_place, g);
        atomic_fetch_add(&g->n_jobs, 1);
        if (atomic_load(&g->n_jobs) % 8 == 0) { /* a job of the model ends, the next one begins */
            vt_lease_leave(g->lease);
            vt_lease_enter(g->lease);
        }
        vt_sleep_ms(1);
    }
    vt_lease_leave(g->lease);
    return NULL;
}

static void await_jobs(struct pool_guest *g, int n_threads)
{
    while (atomic_load(&g->n_threads) != n_threads)
        vt_sleep_ms(1);
    for (long before = atomic_load(&g->n_jobs); atomic_load(&g->n_jobs) < before + 2;)
        vt_sleep_ms(1);
}

/* With four cores and more: a pool keeps what a timing leaves, and comes back. */
static void pools_keep_the_rest(void)
{
    struct pool_guest g = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    vt_err err;
    cpu_set_t both;
    struct vt_place lane = {.devices = 0};
    int n = vt_cpu_count();
    if (n < 4)
        SKIP("fewer than four cores");
    first_cores(&lane.cores, 2);
    g.lease = vt_lease_new();
    CHECK_OK(vt_pool_new(n, &g.pool, &err), err);
    pthread_create(&thread, NULL, pool_guest_main, &g);
    await_jobs(&g, n);
    for (int round = 0; round < 5; round++) {
        vt_lease_acquire(g.lease, &lane, NULL);
        await_jobs(&g, n - 2);
        pthread_mutex_lock(&g.lock);
        CPU_ZERO(&g.seen);
        pthread_mutex_unlock(&g.lock);
        await_jobs(&g, n - 2);
        pthread_mutex_lock(&g.lock);
        CPU_AND(&both, &g.seen, &lane.cores);
        CHECK_INT(CPU_COUNT(&both), 0);
        CHECK_INT(CPU_COUNT(&g.seen), n - 2);
        pthread_mutex_unlock(&g.lock);
        CHECK_INT(vt_lease_n_elsewhere(g.lease, &lane), n - 2);
        vt_lease_release(g.lease, &lane);
        await_jobs(&g, n);
    }
    atomic_store(&g.is_ending, true);
    pthread_join(thread, NULL);
    vt_lease_forget_pool(g.lease, g.pool);
    vt_pool_free(g.pool);
    vt_lease_free(g.lease);
}

static void no_lease_is_no_wait(void)
{
    bool contended = true;
    vt_lease_enter(NULL);
    vt_lease_poll(NULL);
    vt_lease_leave(NULL);
    vt_lease_acquire(NULL, everywhere(), &contended);
    CHECK(!contended);
    vt_lease_release(NULL, everywhere());
    vt_lease_child_add(NULL, 5);
    vt_lease_child_del(NULL, 5);
    CHECK_INT(vt_lease_held_ns(NULL), 0);
    vt_lease_free(NULL);
}

/* "0,1" as bits: a number that is taken for another device, or half a list taken for all of it, would run elsewhere. */
static void devices(void)
{
    static const char *const bad[] = {"x", "0,", ",1", "1;2", "-1", "64", "0, 1", " 1", "1x"};
    uint64_t got = 77;
    vt_err err = {0};
    (void)unsetenv("VT_TEST_DEVICES");
    CHECK_OK(vt_devices_asked("VT_TEST_DEVICES", &got, &err), err);
    CHECK(got == 0);
    (void)setenv("VT_TEST_DEVICES", "0,2,63", 1);
    CHECK_OK(vt_devices_asked("VT_TEST_DEVICES", &got, &err), err);
    CHECK(got == (UINT64_C(1) << 63 | 5));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)setenv("VT_TEST_DEVICES", bad[i], 1);
        CHECK_INT(vt_devices_asked("VT_TEST_DEVICES", &got, &err), VT_EINVAL);
        CHECK(strstr(err.msg, "VT_TEST_DEVICES=") != NULL);
    }
    (void)unsetenv("VT_TEST_DEVICES");
}

static const struct test_case cases[] = {
    TEST(a_run_ends_with_its_last_thread),
    TEST(pool_runs_and_meets),
    TEST(pool_refuses_nonsense),
    TEST(pool_keeps_to_a_place),
    TEST(guests_park),
    TEST(back_to_back_timings_starve_nobody),
    TEST(deaf_guest_is_reported),
    TEST(holders_wait_in_order),
    TEST(children_stop_and_go),
    TEST(places_apart_do_not_wait),
    TEST(guests_on_other_cores_go_on),
    TEST(pools_keep_the_rest),
    TEST(no_lease_is_no_wait),
    TEST(devices),
};
TEST_MAIN(cases)
