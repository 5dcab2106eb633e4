/* SPDX-License-Identifier: Apache-2.0
 *
 * cores.c: choosing the run core and the clock core by a co-run probe.
 *
 * Two logical cores that are halves of one physical core share its execution ports: the spinning clock would slow the
 * kernel it times, memory-bound kernels most. What the kernel of a virtual machine says about siblings is what its
 * host made up, so it is measured: the same arithmetic is run on the run core while a thread on the other core sleeps
 * and while it does the same, in turns. Fully independent cores give a ratio of 1, halves of one core nearly 2; noise
 * only lengthens single runs, so the least of several is taken on either side. From the last core this process may
 * use, its predecessors are tried until one is independent. Where there is none the last two are used and verdicts say
 * shared_core: both sides of a pair suffer alike, but the times are not those of a core alone.
 */
#include "eval/c/cores.h"
#include "base/clock.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { N_ROUNDS = 6, N_ROUNDS_FIRST = 2, N_STEPS = 60000, MAX_TRIES = 8 };
static const double shared_above = 1.3;

struct neighbour {
    int cpu;
    atomic_bool is_busy, is_over;
};

static void pin_self(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void pause_us(long us)
{
    const struct timespec t = {0, us * 1000};
    nanosleep(&t, NULL);
}

/* Enough independent chains to fill the multipliers and adders of a core. */
static void work(void)
{
    double x[16];
    for (int k = 0; k < 16; k++)
        x[k] = 1 + k;
    for (int i = 0; i < N_STEPS; i++)
        for (int k = 0; k < 16; k++)
            x[k] = x[k] * 0.999 + 0.001;
    __asm__ volatile("" : : "r"(x) : "memory");
}

static void *neighbour_main(void *arg)
{
    struct neighbour *n = arg;
    pin_self(n->cpu);
    while (!atomic_load(&n->is_over)) {
        if (atomic_load(&n->is_busy))
            work();
        else
            pause_us(20);
    }
    return NULL;
}

static uint64_t time_work(struct neighbour *n, bool is_beside_busy)
{
    atomic_store(&n->is_busy, is_beside_busy);
    pause_us(300); /* longer than the neighbour's longest step */
    uint64_t from = vt_now_ns();
    work();
    return vt_now_ns() - from;
}

static void probe(struct vt_cores *c, int n_rounds)
{
    struct neighbour n = {.cpu = c->clock_cpu};
    cpu_set_t before;
    pthread_t thread;
    uint64_t alone = UINT64_MAX, beside = UINT64_MAX;
    if (c->clock_cpu < 0 || pthread_getaffinity_np(pthread_self(), sizeof before, &before) != 0 ||
        pthread_create(&thread, NULL, neighbour_main, &n) != 0)
        return;
    pin_self(c->run_cpu);
    for (int i = 0; i < n_rounds; i++) {
        uint64_t t = time_work(&n, false), u = time_work(&n, true);
        alone = t < alone ? t : alone;
        beside = u < beside ? u : beside;
    }
    atomic_store(&n.is_over, true);
    pthread_join(thread, NULL);
    pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    c->corun = (double)beside / (double)(alone ? alone : 1);
    c->is_shared = c->corun > shared_above;
}

/* A first look is short; only what looks like a half is measured properly. */
void vt_cores_disturbing(const struct vt_cores *c, cpu_set_t *out)
{
    cpu_set_t set;
    CPU_ZERO(out);
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        struct vt_cores pair = {.run_cpu = c->run_cpu, .clock_cpu = cpu};
        if (!CPU_ISSET((size_t)cpu, &set) || cpu == c->run_cpu || cpu == c->clock_cpu)
            continue;
        probe(&pair, N_ROUNDS_FIRST);
        if (pair.is_shared)
            probe(&pair, N_ROUNDS);
        if (pair.is_shared)
            CPU_SET((size_t)cpu, out);
    }
}

void vt_cores_choose(struct vt_cores *out)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    *out = (struct vt_cores){.run_cpu = -1, .clock_cpu = -1};
    sched_getaffinity(0, sizeof set, &set);
    int cpu = CPU_SETSIZE - 1, n_tries = 0;
    while (cpu >= 0 && !CPU_ISSET((size_t)cpu, &set))
        cpu--;
    struct vt_cores first = {.run_cpu = cpu, .clock_cpu = -1}, tried = first;
    while (--cpu >= 0 && n_tries < MAX_TRIES) {
        if (!CPU_ISSET((size_t)cpu, &set))
            continue;
        tried.clock_cpu = cpu;
        probe(&tried, N_ROUNDS);
        if (n_tries++ == 0)
            first = tried;
        if (!tried.is_shared) {
            *out = tried;
            return;
        }
    }
    *out = first;
}
