/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_timing_cores.c: which two cores a timing takes, and that looking for them leaves no trace. Whether two logical
 * cores are halves of one is the machine's to say: the figure is printed.
 */
#include "eval/c/cores.h"
#include "harness.h"
#include <sched.h>

static void choice(void)
{
    cpu_set_t before, after;
    struct vt_cores c;
    sched_getaffinity(0, sizeof before, &before);
    vt_cores_choose(&c);
    sched_getaffinity(0, sizeof after, &after);
    CHECK(CPU_EQUAL(&before, &after)); /* the probe pins its thread for a while */
    CHECK(CPU_ISSET((size_t)c.run_cpu, &before));
    if (CPU_COUNT(&before) < 2) {
        CHECK_INT(c.clock_cpu, -1);
        return;
    }
    CHECK(c.clock_cpu >= 0 && c.clock_cpu < c.run_cpu && CPU_ISSET((size_t)c.clock_cpu, &before));
    printf("  cores %d and %d: %.2f\n", c.run_cpu, c.clock_cpu, c.corun);
    CHECK(c.corun > 0.5);
    CHECK_INT(c.is_shared, c.corun > 1.3);
}

/* What disturbs the pair is among the other cores this process may use; looking leaves no trace either. */
static void disturbing(void)
{
    cpu_set_t before, after, found, both;
    struct vt_cores c;
    sched_getaffinity(0, sizeof before, &before);
    vt_cores_choose(&c);
    vt_cores_disturbing(&c, &found);
    sched_getaffinity(0, sizeof after, &after);
    CHECK(CPU_EQUAL(&before, &after));
    CPU_AND(&both, &found, &before);
    CHECK(CPU_EQUAL(&both, &found));
    CHECK(!CPU_ISSET((size_t)c.run_cpu, &found));
    CHECK(c.clock_cpu < 0 || !CPU_ISSET((size_t)c.clock_cpu, &found));
    CHECK(CPU_COUNT(&before) > 2 || CPU_COUNT(&found) == 0);
    printf("  %d of %d other cores disturb core %d\n", CPU_COUNT(&found), CPU_COUNT(&before) - 1 - (c.clock_cpu >= 0),
           c.run_cpu);
}

static void confined_to_one(void)
{
    cpu_set_t before, one;
    struct vt_cores c;
    sched_getaffinity(0, sizeof before, &before);
    vt_cores_choose(&c);
    CPU_ZERO(&one);
    CPU_SET((size_t)c.run_cpu, &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    vt_cores_choose(&c);
    CHECK_INT(c.clock_cpu, -1);
    CHECK(!c.is_shared);
    CHECK_NEAR(c.corun, 0, 0);
    sched_setaffinity(0, sizeof before, &before);
}

static const struct test_case cases[] = {TEST(choice), TEST(disturbing), TEST(confined_to_one)};
TEST_MAIN(cases)
