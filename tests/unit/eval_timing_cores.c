/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_timing_cores.c: which cores timings take. On this machine: a pair, and looking for it leaves no trace; whether
 * two logical cores are halves of one is the machine's to say, so the figure is printed. On machines of many shapes,
 * which a measure of our own plays: how many lanes, of which cores.
 */
#include "eval/c/cores.h"
#include "harness.h"
#include <sched.h>

enum { MOST = 8, ROOM = 16 };

static void here(void)
{
    cpu_set_t before, after, place[ROOM], both, taken;
    struct vt_cores c[ROOM];
    sched_getaffinity(0, sizeof before, &before);
    int n = vt_cores_lanes(MOST, c, place);
    sched_getaffinity(0, sizeof after, &after);
    CHECK(CPU_EQUAL(&before, &after)); /* the probe pins its thread for a while */
    CPU_ZERO(&taken);
    for (int i = 0; i < n; i++) {
        CPU_AND(&both, &before, &place[i]);
        CHECK(CPU_EQUAL(&both, &place[i]));
        CPU_AND(&both, &taken, &place[i]);
        CHECK_INT(CPU_COUNT(&both), 0);
        CPU_OR(&taken, &taken, &place[i]);
        CHECK(CPU_ISSET((size_t)c[i].run_cpu, &place[i]));
        printf("  lane %d: cores %d and %d: %.2f, %d in all\n", i, c[i].run_cpu, c[i].clock_cpu, c[i].corun,
               CPU_COUNT(&place[i]));
        CHECK_INT(c[i].is_shared, c[i].corun > 1.3);
        if (CPU_COUNT(&before) > 1)
            CHECK(c[i].clock_cpu >= 0 && c[i].clock_cpu < c[i].run_cpu && c[i].corun > 0.5);
    }
    CHECK(CPU_COUNT(&before) > 1 || (n == 1 && c[0].clock_cpu == -1));
}

static void confined_to_one(void)
{
    cpu_set_t before, one, place[ROOM];
    struct vt_cores c[ROOM];
    sched_getaffinity(0, sizeof before, &before);
    vt_cores_lanes(1, c, place);
    CPU_ZERO(&one);
    CPU_SET((size_t)c[0].run_cpu, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_INT(vt_cores_lanes(MOST, c, place), 1);
    CHECK_INT(c[0].clock_cpu, -1);
    CHECK(!c[0].is_shared);
    CHECK_NEAR(c[0].corun, 0, 0);
    CHECK(CPU_EQUAL(&one, &place[0]));
    sched_setaffinity(0, sizeof before, &before);
}

/* ---- other machines ---- */

/* Core k is the same as k ^ 1 (neighbours), as k + half (counted the other way), as three others, as every other, or as
 * none. */
static enum { ALONE, NEIGHBOURS, FAR, QUADS, ALL_ONE } shape;
static int n_cores;

static void measure(struct vt_cores *c, int n_rounds)
{
    const int a = c->run_cpu, b = c->clock_cpu;
    (void)n_rounds;
    c->is_shared = shape == ALL_ONE || (shape == NEIGHBOURS && (a ^ 1) == b) || (shape == QUADS && a / 4 == b / 4) ||
                   (shape == FAR && a % (n_cores / 2) == b % (n_cores / 2));
    c->corun = c->is_shared ? 1.9 : 1;
}

static int lanes(int n, int how, struct vt_cores *c, cpu_set_t *place, cpu_set_t *left)
{
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int i = 0; i < n; i++)
        CPU_SET((size_t)i, &all);
    n_cores = n;
    shape = how;
    int found = vt_cores_plan(&all, MOST, measure, c, place);
    *left = all;
    for (int i = 0; i < found; i++)
        CPU_XOR(left, left, &place[i]);
    return found;
}

/* No core of a lane is half of another lane's run core, and what is left to build on is a quarter at least. */
static void many_shapes(void)
{
    static const struct {
        int n, shape, lanes;
    } machines[] = {{1, ALONE, 1},       {2, ALONE, 1}, {2, NEIGHBOURS, 1},  {4, NEIGHBOURS, 1}, {4, ALONE, 1},
                    {6, ALONE, 1},       {8, ALONE, 2}, {8, NEIGHBOURS, 1},  {8, FAR, 2},        {16, ALONE, 5},
                    {16, NEIGHBOURS, 3}, {16, FAR, 4},  {16, QUADS, 1},      {16, ALL_ONE, 1},   {64, ALONE, 8},
                    {64, NEIGHBOURS, 8}, {64, FAR, 8},  {512, NEIGHBOURS, 8}};
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++) {
        struct vt_cores c[ROOM];
        cpu_set_t place[ROOM], left;
        int n = machines[m].n, found = lanes(n, machines[m].shape, c, place, &left);
        if (found != machines[m].lanes)
            printf("  %d cores, shape %d: %d lanes, %d left\n", n, machines[m].shape, found, CPU_COUNT(&left));
        CHECK_INT(found, machines[m].lanes);
        CHECK(found == 1 || CPU_COUNT(&left) >= n / 4);
        for (int i = 0; i < found; i++) {
            CHECK(found == 1 || !c[i].is_shared);
            for (int k = 0; k < found; k++)
                for (int cpu = 0; cpu < n && i != k; cpu++) {
                    struct vt_cores pair = {.run_cpu = c[i].run_cpu, .clock_cpu = cpu};
                    measure(&pair, 1);
                    CHECK(!CPU_ISSET((size_t)cpu, &place[k]) || (!pair.is_shared && cpu != c[i].run_cpu));
                }
        }
    }
}

static const struct test_case cases[] = {TEST(here), TEST(confined_to_one), TEST(many_shapes)};
TEST_MAIN(cases)
