/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_again.c: kernels that are right for long. A search verdict sees some hundred calls of one process, the verdict
 * of a kernel that is reported some thousand, and each record says how many.
 */
#include "base/json.h"
#include "eval_fixture.h"

static vt_eval *eval;

static const char scale_json[] =
    "{\"id\":5,\"level\":1,\"name\":\"scale\",\"title\":\"t\",\"family\":\"elementwise\",\"sizes\":{\"cpu\":{\"n\":"
    "1501}},"
    "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\",\"normal\"]}"
    ","
    "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"compare\":\"bound\"}],\"scalars\":[],"
    "\"rtol\":0,\"atol\":0,\"bytes\":\"8*n\",\"flops\":\"n\",\"body\":\"for (int i = 0; i < n; i++) y[i] = 3.0f * "
    "x[i];\"}";

/* Calls of the longest process; the status goes to *status. */
static long judge(int right_for, vt_protocol protocol, vt_verdict_status *status)
{
    struct fixture_result r;
    char code[256];
    long longest = 0;
    vt_task *t = NULL;
    vt_json *j = NULL;
    vt_err err;
    CHECK_OK(vt_task_parse(scale_json, strlen(scale_json), &t, &err), err);
    snprintf(code, sizeof code,
             "static int calls; float by = ++calls > %d ? 2.0f : 3.0f; for (int i = 0; i < n; i++) y[i] = by * x[i];",
             right_for);
    fixture_judge(eval, t, code, (struct vt_eval_request){.protocol = protocol, .skip_timing = true}, &r);
    CHECK_OK(r.status, r.err);
    *status = r.v.status;
    if (r.status == VT_OK && vt_json_parse(r.json, strlen(r.json), "a record", &j, &err) == VT_OK)
        longest = (long)vt_json_int(vt_json_get(j, "longest_process"), 0);
    vt_json_free(j);
    fixture_result_free(&r);
    vt_task_unref(t);
    return longest;
}

static void calls_of_one_process(void)
{
    vt_verdict_status status;
    long fast = judge(1 << 30, VT_PROTOCOL_FAST, &status);
    CHECK_STR(vt_verdict_status_name(status), "correct_slow");
    CHECK(fast >= 100);
    long full = judge(1 << 30, VT_PROTOCOL_FULL, &status);
    CHECK_STR(vt_verdict_status_name(status), "correct_slow");
    printf("  calls of one process: fast %ld, full %ld\n", fast, full);
    CHECK(full >= 3 * fast);
    judge(90, VT_PROTOCOL_FAST, &status);
    CHECK_STR(vt_verdict_status_name(status), "wrong_output");
    judge(1000, VT_PROTOCOL_FAST, &status); /* what a search verdict cannot see */
    CHECK_STR(vt_verdict_status_name(status), "correct_slow");
    judge(1000, VT_PROTOCOL_FULL, &status);
    CHECK_STR(vt_verdict_status_name(status), "wrong_output");
}

static const struct test_case cases[] = {TEST(calls_of_one_process)};

int main(int argc, char **argv)
{
    return fixture_main(cases, sizeof cases / sizeof cases[0], 1, &eval, argc, argv);
}
