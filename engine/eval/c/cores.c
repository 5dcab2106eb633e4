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
 *
 * Where there are many cores, several pairs time at once. Each takes its run core's other halves out of use, so a lane
 * costs three or four logical cores; a quarter of the machine at least stays for building. What a lane shares with
 * another is then what it shares with any compiler that runs elsewhere: the last cache level and memory, from which
 * timed arrays stay away (they fit a core's own caches). A run core that a core of another lane slows is not taken.
 */
#include "eval/c/cores.h"
#include "base/clock.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { N_ROUNDS = 6, N_ROUNDS_FIRST = 2, N_STEPS = 60000, MAX_TRIES = 8, MIN_REST = 2, CORES_PER_LANE = 3 };
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

static int highest(const cpu_set_t *set, int below)
{
    int cpu = below - 1;
    while (cpu >= 0 && !CPU_ISSET((size_t)cpu, set))
        cpu--;
    return cpu;
}

/* The highest core of a set and the next below it that is independent. False: there is none among the next few; *out
 * is then the two highest. */
static bool choose(const cpu_set_t *set, vt_cores_measure *measure, struct vt_cores *out)
{
    const int run = highest(set, CPU_SETSIZE);
    struct vt_cores first = {.run_cpu = run, .clock_cpu = -1}, tried = first;
    int n_tries = 0;
    for (int cpu = highest(set, run); cpu >= 0 && n_tries < MAX_TRIES; cpu = highest(set, cpu)) {
        tried = (struct vt_cores){.run_cpu = run, .clock_cpu = cpu};
        measure(&tried, N_ROUNDS);
        if (n_tries++ == 0)
            first = tried;
        if (!tried.is_shared) {
            *out = tried;
            return true;
        }
    }
    *out = first;
    return false;
}

/* The pair, and those of all others that slow work on its run core when they are busy: halves of the physical core. A
 * first look is short; only what looks like a half is measured properly. */
static void place_of(const struct vt_cores *c, const cpu_set_t *all, vt_cores_measure *measure, cpu_set_t *out)
{
    const bool is_small = CPU_COUNT(all) < 2 + MIN_REST;
    CPU_ZERO(out);
    CPU_SET((size_t)c->run_cpu, out);
    if (c->clock_cpu >= 0)
        CPU_SET((size_t)c->clock_cpu, out);
    for (int cpu = 0; cpu < CPU_SETSIZE && !is_small; cpu++) {
        struct vt_cores pair = {.run_cpu = c->run_cpu, .clock_cpu = cpu};
        if (!CPU_ISSET((size_t)cpu, all) || CPU_ISSET((size_t)cpu, out))
            continue;
        measure(&pair, N_ROUNDS_FIRST);
        if (pair.is_shared)
            measure(&pair, N_ROUNDS);
        if (pair.is_shared)
            CPU_SET((size_t)cpu, out);
    }
}

int vt_cores_plan(const cpu_set_t *all, int most, vt_cores_measure *measure, struct vt_cores *out, cpu_set_t *place)
{
    const int n_all = CPU_COUNT(all), least_left = n_all / 4 > MIN_REST ? n_all / 4 : MIN_REST;
    cpu_set_t left = *all, met;
    int n = 1;
    choose(all, measure, &out[0]);
    place_of(&out[0], all, measure, &place[0]);
    CPU_XOR(&left, &left, &place[0]);
    while (n < most && CPU_COUNT(&left) >= least_left + CORES_PER_LANE && choose(&left, measure, &out[n])) {
        place_of(&out[n], all, measure, &place[n]);
        CPU_AND(&met, &place[n], &left);
        if (!CPU_EQUAL(&met, &place[n])) { /* a core of another lane would slow it */
            CPU_CLR((size_t)out[n].run_cpu, &left);
            continue;
        }
        if (CPU_COUNT(&left) - CPU_COUNT(&met) < least_left)
            break;
        CPU_XOR(&left, &left, &met);
        n++;
    }
    return n;
}

int vt_cores_lanes(int most, struct vt_cores *out, cpu_set_t *place)
{
    cpu_set_t all;
    CPU_ZERO(&all);
    sched_getaffinity(0, sizeof all, &all);
    return vt_cores_plan(&all, most, probe, out, place);
}
