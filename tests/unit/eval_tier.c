/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_tier.c: the evaluator's core behind its door (tier.h), with the fake tier of eval_fake.h: what each answer of a
 * tier becomes, and which calls a candidate gets.
 */
#include "base/json.h"
#include "eval_fake.h"

static void every_answer_has_its_verdict(void)
{
    static const struct {
        const char *code, *status, *stage, *says;
        int n_checks;
        const char *flags;
    } cases[] = {
        {"nothing", "malformed", "extract", "There is nothing.", 0, "fake"},
        {"build=fail", "compile_error", "build", "Fake compile_error of (build=fail).", 0, "fake"},
        {"build=later", "compile_error", "build", "Fake compile_error of (build=later).", 0, "fake"},
        {"build=refused", "load_error", "build", "Fake load_error of (build=refused).", 0, "fake"},
        {"load=fail", "load_error", "load", "Fake load_error of (load=fail).", 0, "fake"},
        {"check=wrong", "wrong_output", "check", "2 of 4 elements are outside", 1, "over_bound,fake"},
        /* sets 0 and 1 and set 0 again, then the first of the second distribution */
        {"check=wrong on=4", "wrong_output", "check", "(inputs x: normal)", 4, "over_bound,fake"},
        {"check=wrong on=7", "wrong_output", "check", "(inputs x: uniform, other sizes: hidden)", 7, "over_bound,fake"},
        {"check=fault on=1", "runtime_error", "check", "Fake runtime_error of (check=fault on=1) in a call.", 3,
         "fake"},
        {"check=timeout", "timeout", "check", "Fake timeout", 1, "fake"},
        {"check=overrun", "runtime_error", "check", "in a call.", 1, "fake"},
        {"check=deferred", "runtime_error", "check", "in a call.", 1, "deferred,fake"},
        {"bits=other", "flagged", "time", "left other outputs", 7, "nondeterministic,fake"},
        {"time=50", "correct_fast", "time", "Speedup 2 over the baseline", 7, "fake"},
        {"time=125", "correct_slow", "time", "Speedup 0.8 over the baseline", 7, "fake"},
        {"copy time=50", "correct_slow", "time", "a copy", 7, "copy,fake"},
        {"artefact=copy time=50", "correct_slow", "time", "a copy", 7, "copy,fake"},
        {"late=3", "wrong_output", "time", "2 of 4 elements", 7, "over_bound,fake"},
        {"bits=timed", "flagged", "time", "left other outputs", 7, "nondeterministic,fake"},
        {"time=50 disturbed=all", "correct_fast", "time", "Speedup 2 over", 7, "contended,fake"},
    };
    fake_reset();
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture_result r;
        judge(e, cases[i].code, (struct vt_eval_request){.scale = "cpu"}, &r);
        CHECK_OK(r.status, r.err);
        vt_json *j = parse(&r);
        CHECK_STR(vt_verdict_status_name(r.v.status), cases[i].status);
        CHECK_STR(vt_json_str(vt_json_get(j, "status"), ""), cases[i].status);
        CHECK_STR(vt_json_str(vt_json_get(j, "stage"), ""), cases[i].stage);
        CHECK_STR(vt_json_str(vt_json_get(j, "tier"), ""), "fake");
        CHECK_STR(vt_json_str(vt_json_get(j, "fake_machine"), ""), "nowhere");
        CHECK_INT(vt_json_int(vt_json_get(j, "n_checks"), 0), cases[i].n_checks);
        if (!r.v.correct)
            CHECK_NEAR(r.v.speedup, 0, 0);
        char flags[128];
        CHECK_STR(flags_of(j, flags), cases[i].flags); /* the last is the tier's own */
        CHECK_INT(vt_json_is_null(vt_json_get(j, "error")), r.v.status >= VT_CORRECT_SLOW);
        CHECK(strstr(r.json, "\"fake\"") != NULL);
        if (!strstr(r.feedback, cases[i].says))
            CHECK_STR(r.feedback, cases[i].says);
        const vt_json *failure = vt_json_get(j, "failure");
        bool in_a_call = strstr(cases[i].code, "check=") || strstr(cases[i].code, "late=");
        CHECK_INT(failure != NULL, in_a_call);
        if (failure)
            CHECK_STR(vt_json_str(vt_json_get(failure, "fake_code"), ""), cases[i].code);
        vt_json_free(j);
        fixture_result_free(&r);
    }
    close_fake(e);
}

static void times_become_speedups(void)
{
    struct fixture_result r;
    fake_reset();
    fake.has_tuned = fake.is_lane_wanted = true;
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    judge(e, "time=50", (struct vt_eval_request){0}, &r);
    CHECK_NEAR(r.v.speedup, 2, 1e-12);
    CHECK_NEAR(r.v.speedup_measured, 2, 1e-12);
    CHECK_NEAR(r.v.speedup_lo, 2, 0.01);
    CHECK_NEAR(r.v.speedup_hi, 2, 0.01);
    CHECK_NEAR(r.v.speedup_tuned, 80.0 / 50, 1e-12);
    CHECK_NEAR(r.v.runtime_us, 50, 1e-9);
    CHECK_NEAR(r.v.baseline_us, 100, 1e-9);
    CHECK_NEAR(r.v.worst, 0.25, 0);
    CHECK(strstr(r.json, "\"unsettled\"") == NULL);
    CHECK(strstr(r.json, "\"contended\"") != NULL);        /* the watch said so */
    CHECK(strstr(r.json, "\"scale\":\"hidden\"") != NULL); /* the tier's own */
    fixture_result_free(&r);
    judge(e, "copy time=50", (struct vt_eval_request){0}, &r);
    CHECK_NEAR(r.v.speedup, 1, 0);
    CHECK_NEAR(r.v.speedup_measured, 2, 1e-12);
    CHECK(r.v.is_copy);
    fixture_result_free(&r);
    judge(e, "time=50 disturbed=3", (struct vt_eval_request){0}, &r);
    CHECK(strstr(r.json, "\"disturbed\":[2]") != NULL); /* of pairs, counted from 0 */
    fixture_result_free(&r);
    judge(e, "time=50 worst=inf", (struct vt_eval_request){0}, &r); /* JSON has no infinity */
    vt_json *j = parse(&r);
    CHECK_NEAR(vt_json_num(vt_json_first(vt_json_get(j, "trials")), 0), 50, 1e-9);
    CHECK_NEAR(vt_json_num(vt_json_first(vt_json_get(j, "ref_trials")), 0), 100, 1e-9);
    CHECK_NEAR(vt_json_num(vt_json_get(j, "worst"), 0), 1e308, 0);
    vt_json_free(j);
    fixture_result_free(&r);
    judge(e, "time=50 noise=90", (struct vt_eval_request){0}, &r);
    CHECK(strstr(r.json, "\"unsettled\"") != NULL);
    fixture_result_free(&r);
    judge(e, "time=50 worst=0.5", (struct vt_eval_request){0}, &r); /* of all calls, timed or not */
    CHECK_NEAR(r.v.worst, 0.5, 0);
    fixture_result_free(&r);
    judge(e, "time=50 worst=0.125", (struct vt_eval_request){0}, &r);
    CHECK_NEAR(r.v.worst, 0.25, 0);
    fixture_result_free(&r);
    judge(e, "time=50 x", (struct vt_eval_request){.skip_timing = true}, &r);
    CHECK_NEAR(r.v.speedup, 0, 0);
    CHECK(r.v.correct);
    CHECK_NEAR(r.v.worst, 0.25, 0);
    fixture_result_free(&r);
    close_fake(e);
}

static int n_timed_calls(vt_eval *e, const char *code)
{
    struct fixture_result r;
    int n = 0;
    fake.n_calls = 0;
    judge(e, code, (struct vt_eval_request){0}, &r);
    for (int i = 0; i < fake.n_calls; i++)
        n += fake.call[i].is_timed;
    fixture_result_free(&r);
    return n;
}

/* The tuned reference is measured for the first candidate of a task and a lane, in as many calls as that candidate. */
static void the_tuned_reference_is_measured_once(void)
{
    fake_reset();
    fake.has_tuned = true;
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    const int first = n_timed_calls(e, "time=50"), second = n_timed_calls(e, "time=50 again");
    CHECK(second > 0);
    CHECK_INT(first, 2 * second);
    /* A call may take ten times as long as the baseline's, which takes 0.1 ms here, and a second more. */
    for (int i = 0; i < fake.n_calls; i++)
        CHECK_INT((long long)fake.call[i].deadline_ns, 1000000000LL + 10 * 100000);
    close_fake(e);
}

/* A speedup over what gave a wrong output would be one over nothing: the task is at fault. */
static void a_tuned_reference_may_fail(void)
{
    struct fixture_result r;
    fake_reset();
    fake.has_tuned = fake.tuned_fails = true;
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    judge(e, "time=50", (struct vt_eval_request){0}, &r);
    CHECK_INT(r.status, VT_EFORMAT);
    CHECK(strstr(r.err.msg, "its tuned reference failed") != NULL);
    fixture_result_free(&r);
    close_fake(e);
}

/* Times are told against nothing then: the task or the machine is at fault, and that is no verdict. */
static void a_baseline_may_fail_late(void)
{
    struct fixture_result r;
    fake_reset();
    fake.baseline_late = 3;
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    judge(e, "time=50", (struct vt_eval_request){0}, &r);
    CHECK_INT(r.status, VT_EINTERNAL);
    CHECK(strstr(r.err.msg, "the baseline failed while it was timed") != NULL);
    fixture_result_free(&r);
    close_fake(e);
}

static int n_trials(vt_eval *e, const char *code, vt_protocol protocol)
{
    struct fixture_result r;
    int n = 0;
    judge(e, code, (struct vt_eval_request){.protocol = protocol}, &r);
    vt_json *j = parse(&r);
    for (const vt_json *t = vt_json_first(vt_json_get(j, "trials")); t; t = vt_json_next(t))
        n++;
    vt_json_free(j);
    fixture_result_free(&r);
    return n;
}

/* How fast a copy is interests nobody, so its fast timing is over sooner; its full one is not. */
static void copies_are_timed_briefly(void)
{
    fake_reset();
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    const int copy = n_trials(e, "copy time=90 noise=9", VT_PROTOCOL_FAST);
    const int own = n_trials(e, "time=90 noise=9", VT_PROTOCOL_FAST);
    CHECK(copy > 0 && copy < own);
    CHECK_INT(n_trials(e, "copy time=90 noise=9", VT_PROTOCOL_FULL), n_trials(e, "time=90 noise=9", VT_PROTOCOL_FULL));
    close_fake(e);
}

/* Checks at a build station, timed calls on the lane; baseline and candidate next to each other on one set, the first
 * of a pair in turns; only the baseline is trusted; only timed sets are timed. */
static void timed_calls_come_in_pairs(void)
{
    struct fixture_result r;
    fake_reset();
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    judge(e, "time=50", (struct vt_eval_request){.scale = "cpu"}, &r);
    CHECK(r.v.correct);
    fixture_result_free(&r);
    int n_pairs = 0;
    for (int i = 0; i < fake.n_calls; i++) {
        const struct fake_call *a = &fake.call[i], *b = a + 1;
        CHECK_INT(a->lane, a->is_timed ? 0 : -1);
        if (!a->is_timed)
            continue;
        CHECK(b->is_timed && a->set == b->set && a->set < 4);
        CHECK_INT(a->is_baseline, n_pairs % 2 == 0);
        CHECK_INT(b->is_baseline, n_pairs % 2 == 1);
        CHECK(a->is_trusted == a->is_baseline && b->is_trusted == b->is_baseline);
        n_pairs++;
        i++;
    }
    CHECK(n_pairs >= 8); /* the protocol's least */
    CHECK_INT(fake.n_fresh_loads, 2);
    close_fake(e);
}

static void doubted_times_are_measured_again(void)
{
    struct fixture_result r;
    fake_reset();
    fake.floor_ns = 60e3; /* a first look at the machine that was too good */
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    judge(e, "time=50", (struct vt_eval_request){0}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "correct_fast");
    CHECK(strstr(r.json, "\"below_floor\"") && strstr(r.json, "\"n_remeasured\":1"));
    CHECK_INT(fake.n_floor_measured, 1);
    CHECK_INT(fake.n_fresh_loads, 3); /* baseline, candidate, candidate in a fresh place */
    fixture_result_free(&r);
    fake.floor_ns_again = 70e3;
    judge(e, "time=50 again", (struct vt_eval_request){0}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "flagged");
    CHECK(strstr(r.feedback, "not believed") != NULL);
    fixture_result_free(&r);
    fake.floor_ns_again = 0;
    int n = fake.n_fresh_loads;
    judge(e, "time=50", (struct vt_eval_request){.protocol = VT_PROTOCOL_FULL}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "correct_fast");
    CHECK_INT(fake.n_fresh_loads - n, 3); /* its own pool's baseline; the candidate to be checked and to be timed */
    fixture_result_free(&r);
    close_fake(e);
}

static void tiers_are_found_by_name(void)
{
    struct fixture_result r;
    vt_err err;
    vt_eval *e = NULL;
    vt_task *t = fixture_task("relu");
    struct vt_eval_request q = {.task = t, .code = "x", .code_len = 1, .tier = "cuda"};
    fake_reset();
    CHECK_INT(vt_eval_open_tiers(&(struct vt_eval_opts){.tier = "torch"}, fake_table, &e, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "'torch'") && strstr(err.msg, "'fake', 'other'"));
    CHECK(e == NULL);
    CHECK_INT(vt_eval_open(&(struct vt_eval_opts){.tier = "abacus"}, &e, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "'abacus'") && strstr(err.msg, "'c'"));
    fake.open_fails = VT_ENOENT;
    CHECK_INT(vt_eval_open_tiers(&(struct vt_eval_opts){0}, fake_table, &e, &err), VT_ENOENT);
    fake.open_fails = VT_OK;
    e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    CHECK_STR(vt_eval_machine(e), "nowhere");
    CHECK_STR(vt_eval_version(e), "fake-1/0123456789abcdef");
    CHECK_INT(vt_eval_submit(e, &q, fixture_done, NULL, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "'cuda'") && strstr(err.msg, "'other'"));
    CHECK_INT(fake.n_tiers_opened, 1);
    for (int i = 0; i < 2; i++) {
        judge(e, "time=50", (struct vt_eval_request){.tier = "other"}, &r);
        CHECK(strstr(r.json, "\"tier\":\"other\"") != NULL);
        fixture_result_free(&r);
        CHECK_INT(fake.n_tiers_opened, 2); /* by the first request, and no more */
    }
    judge(e, "time=50", (struct vt_eval_request){0}, &r);
    CHECK(strstr(r.json, "\"tier\":\"fake\"") != NULL);
    fixture_result_free(&r);
    close_fake(e);
    vt_task_unref(t);
}

static void prompts_are_the_tiers(void)
{
    char *text = NULL;
    vt_err err;
    vt_task *t = fixture_task("decay");
    CHECK_OK(vt_eval_prompt(NULL, t, NULL, &text, &err), err);
    CHECK_STR(text ? text : "", "void decay(const float *restrict x, float *restrict r, float *restrict y, int n) {\n"
                                "    for (int i = 0; i < n; i++)\n        r[i] = 0.9f * r[i] + 0.1f * x[i];\n"
                                "    for (int i = 0; i < n; i++)\n        y[i] = r[i];\n}");
    free(text);
    CHECK_OK(vt_eval_prompt("c", t, "\n\n  y[0] = 1;\n \t\n", &text, &err), err);
    CHECK(text && strstr(text, "int n) {\n  y[0] = 1;\n}") != NULL);
    free(text);
    CHECK_INT(vt_eval_prompt("basic", t, NULL, &text, &err), VT_EUNSUPPORTED);
    CHECK(text == NULL);
    vt_task_unref(t);
}

/* ---- the queue ---- */

static const struct test_case cases[] = {
    TEST(every_answer_has_its_verdict), TEST(times_become_speedups),
    TEST(copies_are_timed_briefly),     TEST(a_tuned_reference_may_fail),
    TEST(a_baseline_may_fail_late),     TEST(the_tuned_reference_is_measured_once),
    TEST(timed_calls_come_in_pairs),    TEST(doubted_times_are_measured_again),
    TEST(tiers_are_found_by_name),      TEST(prompts_are_the_tiers),
};
TEST_MAIN(cases)
