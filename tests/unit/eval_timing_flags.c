/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_timing_flags.c: what a verdict says about its own timing: contended under a load that the test makes and not
 * without one, nondeterministic when outputs differ from run to run, and every raw trial in the record, so that the
 * speedup can be computed again from it.
 */
#include "base/clock.h"
#include "base/json.h"
#include "eval/c/crowd.h"
#include "eval/estimate.h"
#include "eval_fixture.h"
#include <signal.h>
#include <sys/wait.h>

static vt_eval *eval;

static const char sum_rows[] =
    "for (int i = 0; i < m; i++) { float s = 0, t = 0; for (int j = 0; j < n; j++) { if (j & 1) "
    "t += x[i*n+j]; else s += x[i*n+j]; } y[i] = s + t; }";

static bool has_flag(const char *json, const char *flag)
{
    char quoted[48];
    const char *flags = json ? strstr(json, "\"flags\":[") : NULL;
    snprintf(quoted, sizeof quoted, "\"%s\"", flag);
    const char *at = flags ? strstr(flags, quoted) : NULL;
    return at && at < strchr(flags, ']');
}

static void judge(const char *code, struct vt_eval_request request, struct fixture_result *r)
{
    vt_task *t = fixture_task("row_sum");
    request.fresh = true;
    fixture_judge(eval, t, code, request, r);
    CHECK_OK(r->status, r->err);
    vt_task_unref(t);
}

static void load_is_seen(void)
{
    pid_t pids[64];
    struct fixture_result r;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    n = n < 64 ? n : 64;
    for (long i = 0; i < n; i++)
        if ((pids[i] = fork()) == 0)
            for (volatile unsigned k = 0;; k++)
                ;
    judge(sum_rows, (struct vt_eval_request){0}, &r);
    for (long i = 0; i < n; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    CHECK(r.v.correct);
    CHECK(has_flag(r.json, "contended"));
    fixture_result_free(&r);
}

/* Nobody else wanted a core for a tenth of a second. */
static bool is_quiet(void)
{
    struct vt_crowd c;
    vt_crowd_open(&c);
    for (int i = 0; i < 100; i++) {
        vt_crowd_look(&c, 0);
        vt_sleep_ms(1);
    }
    int n = c.n_crowded;
    (void)vt_crowd_close(&c);
    return n == 0;
}

static void quiet_is_not_flagged(void)
{
    struct fixture_result r;
    bool was_contended = true, was_quiet = false;
    for (int attempt = 0; attempt < 20 && !(was_quiet && !was_contended); attempt++) {
        if (!is_quiet())
            continue;
        judge(sum_rows, (struct vt_eval_request){0}, &r);
        was_quiet = is_quiet();
        was_contended = has_flag(r.json, "contended");
        fixture_result_free(&r);
    }
    if (!was_quiet)
        SKIP("this machine was never quiet");
    CHECK(!was_contended);
}

/* The order of summation depends on what was in the output before: other bits every time, all within the bound. */
static void nondeterminism(void)
{
    static const char code[] =
        "unsigned u; memcpy(&u, y, sizeof u); for (int i = 0; i < m; i++) { float s = 0; for (int j = 0; j "
        "< n; j++) s += x[i*n + (j + (int)(u % 509u)) % n]; y[i] = s; }";
    struct fixture_result r;
    judge(code, (struct vt_eval_request){0}, &r);
    CHECK(r.v.correct);
    CHECK_STR(vt_verdict_status_name(r.v.status), "flagged");
    CHECK(has_flag(r.json, "nondeterministic"));
    CHECK(strstr(r.feedback, "runs on inputs met before") != NULL);
    fixture_result_free(&r);
    /* Checks run one set twice: once in 509 times both start in the same place. */
    bool is_flagged = false;
    for (int attempt = 0; attempt < 3 && !is_flagged; attempt++) {
        judge(code, (struct vt_eval_request){.skip_timing = true}, &r);
        is_flagged = r.v.status == VT_FLAGGED;
        fixture_result_free(&r);
    }
    CHECK(is_flagged);
    judge(sum_rows, (struct vt_eval_request){0}, &r);
    CHECK(!has_flag(r.json, "nondeterministic"));
    CHECK(r.v.status == VT_CORRECT_FAST || r.v.status == VT_CORRECT_SLOW);
    fixture_result_free(&r);
}

static void trials_tell_the_speedup(void)
{
    struct fixture_result r;
    struct vt_trials t = {.n_sets = 4};
    vt_json *j = NULL;
    vt_err err;
    judge(sum_rows, (struct vt_eval_request){0}, &r);
    CHECK_OK(vt_json_parse(r.json, strlen(r.json), "record", &j, &err), err);
    const vt_json *a = vt_json_first(vt_json_get(j, "ref_trials")), *b = vt_json_first(vt_json_get(j, "trials"));
    const vt_json *set = vt_json_first(vt_json_get(j, "trial_sets"));
    for (; a && b && set && t.n < VT_MAX_PAIRS; a = vt_json_next(a), b = vt_json_next(b), set = vt_json_next(set)) {
        t.pair[t.n].a_ns = (uint64_t)llround(1e3 * vt_json_num(a, 0));
        t.pair[t.n].b_ns = (uint64_t)llround(1e3 * vt_json_num(b, 0));
        t.pair[t.n++].set = (uint8_t)vt_json_num(set, 0);
    }
    CHECK(!a && !b && !set && t.n >= 4);
    vt_trials_settle(&t, 0.003);
    CHECK_NEAR(exp(t.log_ratio), r.v.speedup_measured, 1e-9);
    CHECK_NEAR(exp(t.lo), r.v.speedup_lo, 1e-9);
    CHECK_NEAR(t.b_us, r.v.runtime_us, 1e-6);
    CHECK(r.v.speedup_lo <= r.v.speedup_measured && r.v.speedup_measured <= r.v.speedup_hi);
    vt_json_free(j);
    fixture_result_free(&r);
}

static const struct test_case cases[] = {TEST(load_is_seen), TEST(quiet_is_not_flagged), TEST(nondeterminism),
                                         TEST(trials_tell_the_speedup)};

int main(int argc, char **argv)
{
    return fixture_main(cases, sizeof cases / sizeof cases[0], 1, &eval, argc, argv);
}
