/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_input_range.c: a task's "range" field: every distribution stays inside it, and ranges that are none are refused.
 */
#include "eval/c/inputs.h"
#include "harness.h"
#include <stdio.h>
#include <string.h>

enum { N = 4096 };

/* A task that copies x; `range` is JSON text. NULL when it was refused. */
static vt_task *task_with(const char *range, vt_err *err)
{
    char json[1024];
    vt_task *t = NULL;
    snprintf(
        json, sizeof json,
        "{\"id\":10001,\"level\":1,\"name\":\"copy\",\"title\":\"copy\",\"family\":\"user\",\"sizes\":{\"cpu\":{\"n\":%"
        "d}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\","
        "\"normal\","
        "\"needle\",\"tiny\",\"constant\",\"wide\"],\"range\":%s},{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\","
        "\"shape\":[\"n\"]}],\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"8*n\",\"flops\":\"n\","
        "\"body\":\"for (int i = 0; i < n; i++) y[i] = x[i];\"}",
        N, range);
    return vt_task_parse(json, strlen(json), &t, err) == VT_OK ? t : NULL;
}

static void values_stay_inside(void)
{
    static float x[N];
    vt_err err;
    vt_task *t = task_with("[2, 5.5]", &err);
    CHECK(t != NULL);
    for (int d = 0; t && d < vt_task_n_dists(t); d++) {
        void *buf[2] = {x, NULL};
        float lo = x[0] = 1e9f, hi = -1e9f;
        CHECK_OK(vt_inputs_fill(t, "cpu", 7, 1, d, 0, buf, &err), err);
        for (int i = 0; i < N; i++) {
            lo = x[i] < lo ? x[i] : lo;
            hi = x[i] > hi ? x[i] : hi;
        }
        CHECK(lo >= 2.0f);
        CHECK(hi <= 5.5f);
        if (d == 0) { /* uniform: 4,096 draws come within a hundredth of both ends */
            CHECK(lo < 2.035f);
            CHECK(hi > 5.465f);
        }
    }
    vt_task_unref(t);
}

static void wrong_ranges_are_refused(void)
{
    static const char *const wrong[] = {"[1, 1]", "[2, 1]",  "[1]",        "[1, 2, 3]", "[]",
                                        "5",      "\"1:2\"", "[\"a\", 2]", "[0, 1e31]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        vt_err err = {0};
        vt_task *t = task_with(wrong[i], &err);
        CHECK(t == NULL);
        CHECK(strstr(err.msg, "range") != NULL);
        vt_task_unref(t);
    }
}

static const struct test_case cases[] = {TEST(values_stay_inside), TEST(wrong_ranges_are_refused)};
TEST_MAIN(cases)
