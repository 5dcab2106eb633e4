/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_timing_lanes.c: lanes that time at once. Machines on which tests run seldom have the cores for two lanes, so the
 * tier is told that it has two: they share the cores, which costs time only. Each thread times its own candidate
 * against the task's text on other inputs than its neighbour; outputs of one lane never reach the other's, and both
 * have the task's text running at once.
 */
#include "eval/c/c_tier.h"
#include "eval/c/parts.h"
#include "eval_fixture.h"

enum { N_LANES = 2, N_CALLS = 120 };

static struct vt_tier *tier;
static struct vt_ground *ground;
static struct vt_candidate *reference, *candidate[N_LANES];
static struct vt_pool pool;
static vt_task *task;
static int n_right[N_LANES], n_trusted[N_LANES];

static bool load(struct vt_station *s, struct vt_candidate *c)
{
    struct vt_stage_result r;
    vt_err err;
    CHECK_OK(vt_c_tier.load(s, c, ground, false, &r, &err), err);
    return r.passed;
}

static void *lane_main(void *arg)
{
    const int lane = *(const int *)arg;
    const struct vt_seat seat = {VT_SEAT_LANE, lane, N_LANES};
    struct vt_station *s = NULL;
    vt_err err;
    CHECK_OK(vt_c_tier.station_open(tier, &seat, &s, &err), err);
    if (!s || !load(s, reference) || !load(s, candidate[lane]))
        return NULL;
    for (uint32_t i = 0; i < N_CALLS; i++) {
        struct vt_check check;
        struct vt_call call = {.set = (i + (uint32_t)lane) % pool.n_timed,
                               .random = i * 7 + (uint32_t)lane,
                               .deadline_ns = 20000000000u,
                               .placement = i % 3};
        call.against = call.set;
        CHECK_OK(vt_c_tier.time(s, candidate[lane], &call, &check, &err), err);
        n_right[lane] += check.end == VT_CHECK_RIGHT;
        call.is_trusted = true;
        CHECK_OK(vt_c_tier.time(s, reference, &call, &check, &err), err);
        n_trusted[lane] += check.end == VT_CHECK_RIGHT;
    }
    vt_c_tier.unload(candidate[lane]);
    vt_c_tier.station_close(s);
    return NULL;
}

static struct vt_candidate *build(struct vt_station *s, const char *body)
{
    struct vt_code code = {0};
    struct vt_candidate *c = NULL;
    struct vt_stage_result r;
    vt_err err;
    bool is_copy;
    CHECK_OK(vt_c_tier.extract(task, body, strlen(body), false, &code, &is_copy, &err), err);
    const struct vt_build_request q = {.task = task, .code = &code};
    CHECK_OK(vt_c_tier.build(s, &q, &c, &r, &err), err);
    CHECK(r.passed);
    vt_code_free(&code);
    return c;
}

static void two_lanes_at_once(void)
{
    static const char *const bodies[N_LANES] = {"for (int i = 0; i < n; i++) y[i] = fmaxf(x[i], 0.0f);",
                                                "for (int i = n; i-- > 0;) y[i] = x[i] > 0.0f ? x[i] : 0.0f;"};
    const struct vt_seat seat = {VT_SEAT_BUILD, 0, 1};
    struct vt_station *s = NULL;
    struct vt_stage_result r;
    pthread_t thread[N_LANES];
    int number[N_LANES];
    size_t bytes;
    vt_err err;
    vt_lease *lease = vt_lease_new();
    const struct vt_tier_opts o = {.lease = lease, .allow_unsafe = true};
    task = fixture_task("relu");
    CHECK_OK(vt_c_tier.open(&o, &tier, &err), err);
    tier->caps.n_lanes = N_LANES;
    tier->cores[1] = tier->cores[0];
    tier->clock = VT_CLOCK_SLEEP; /* two spinning clocks would starve each other here */
    CHECK_OK(vt_c_tier.station_open(tier, &seat, &s, &err), err);
    vt_pool_plan(&pool, task, "cpu", false, false, 1);
    CHECK_OK(vt_c_tier.ground_open(s, &pool, &ground, &bytes, &err), err);
    CHECK_OK(vt_c_tier.reference(s, task, VT_BASELINE, &reference, &r, &err), err);
    for (int i = 0; i < N_LANES; i++) {
        candidate[i] = build(s, bodies[i]);
        CHECK(load(s, candidate[i])); /* where it was checked; a lane takes it over as it is */
    }
    for (int i = 0; i < N_LANES; i++) {
        number[i] = i;
        CHECK_INT(pthread_create(&thread[i], NULL, lane_main, &number[i]), 0);
    }
    for (int i = 0; i < N_LANES; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < N_LANES; i++) {
        CHECK_INT(n_right[i], N_CALLS);
        CHECK_INT(n_trusted[i], N_CALLS);
        vt_c_tier.candidate_close(candidate[i]);
    }
    vt_c_tier.candidate_close(reference);
    vt_c_tier.ground_close(ground);
    vt_c_tier.station_close(s);
    vt_c_tier.close(tier);
    vt_lease_free(lease);
    vt_task_unref(task);
}

static const struct test_case cases[] = {TEST(two_lanes_at_once)};
TEST_MAIN(cases)
