/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_tier.c: the evaluator's core behind its door (tier.h), with the fake tier of eval_fake.h: what each answer of a
 * tier becomes, which calls a candidate gets, in which order and where, the queue, and closing at every stage.
 */
#include "base/fs.h"
#include "base/json.h"
#include "eval/turns.h"
#include "eval_fake.h"

static vt_eval *open_fake(const struct vt_eval_opts *o)
{
    vt_eval *e = NULL;
    vt_err err;
    CHECK_OK(vt_eval_open_tiers(o, fake_table, &e, &err), err);
    return e;
}

/* Everything behind the door is gone again. */
static void close_fake(vt_eval *e)
{
    vt_eval_close(e);
    CHECK_INT(fake.n_tiers, 0);
    CHECK_INT(fake.n_stations, 0);
    CHECK_INT(fake.n_grounds, 0);
    CHECK_INT(fake.n_candidates, 0);
}

static void judge(vt_eval *e, const char *code, struct vt_eval_request r, struct fixture_result *out)
{
    vt_task *t = fixture_task("relu"); /* four distributions and hidden sizes: 4 timed sets, 3 others, 1 hidden */
    fixture_judge(e, t, code, r, out);
    vt_task_unref(t);
}

static vt_json *parse(const struct fixture_result *r)
{
    vt_json *j = NULL;
    vt_err err;
    CHECK_OK(vt_json_parse(r->json ? r->json : "{}", r->json ? strlen(r->json) : 2, "a record", &j, &err), err);
    return j;
}

/* The names of its flags, in their order. */
static const char *flags_of(const vt_json *record, char out[128])
{
    size_t n = 0;
    out[0] = 0;
    for (const vt_json *f = vt_json_first(vt_json_get(record, "flags")); f; f = vt_json_next(f))
        n += (size_t)snprintf(out + n, 128 - n, "%s%s", n ? "," : "", vt_json_str(f, "?"));
    return out;
}

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
        {"bits=other", "flagged", "time", "left different outputs", 7, "nondeterministic,fake"},
        {"time=50", "correct_fast", "time", "Speedup 2 over the baseline", 7, "fake"},
        {"time=125", "correct_slow", "time", "Speedup 0.8 over the baseline", 7, "fake"},
        {"copy time=50", "correct_slow", "time", "a copy", 7, "copy,fake"},
        {"artefact=copy time=50", "correct_slow", "time", "a copy", 7, "copy,fake"},
        {"late=3", "wrong_output", "time", "2 of 4 elements", 7, "over_bound,fake"},
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
    CHECK_INT(vt_eval_open(&(struct vt_eval_opts){.tier = "torch"}, &e, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "'torch'") && strstr(err.msg, "'c'"));
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

struct tally {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int n_done, n_ok, n_cancelled, n_other;
    double worst;
};

static void tally_init(struct tally *t)
{
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->cond, NULL);
}

static void count(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct tally *t = arg;
    (void)err;
    pthread_mutex_lock(&t->lock);
    t->n_done++;
    t->n_ok += status == VT_OK && v != NULL;
    t->n_cancelled += status == VT_ECANCELLED && v == NULL;
    t->n_other += status != VT_OK && status != VT_ECANCELLED;
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

static void await(struct tally *t, int n)
{
    pthread_mutex_lock(&t->lock);
    while (t->n_done < n)
        pthread_cond_wait(&t->cond, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static void submit_task(vt_eval *e, vt_task *task, const char *code, struct vt_eval_request r, struct tally *t)
{
    vt_err err;
    r.task = task;
    r.code = code;
    r.code_len = strlen(code);
    CHECK_OK(vt_eval_submit(e, &r, count, t, &err), err);
}

static void submit(vt_eval *e, const char *code, struct vt_eval_request r, struct tally *t)
{
    vt_task *task = fixture_task("relu");
    submit_task(e, task, code, r, t);
    vt_task_unref(task);
}

static void equal_requests_are_judged_once(void)
{
    struct tally t;
    tally_init(&t);
    fake_reset();
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 2});
    for (int i = 0; i < 5; i++)
        submit(e, "time=50 hold=build", (struct vt_eval_request){0}, &t);
    fake_await_held(FAKE_BUILD, 1);
    submit(e, "time=50 hold=build", (struct vt_eval_request){.skip_timing = true}, &t); /* asks for something else */
    fake_await_held(FAKE_BUILD, 2);
    CHECK_INT(vt_eval_pending(e), 6);
    fake_release(true);
    await(&t, 6);
    CHECK_INT(fake.n_builds, 2);
    for (int i = 0; i < 3; i++)
        submit(e, "time=50", (struct vt_eval_request){.fresh = true}, &t);
    await(&t, 9);
    CHECK_INT(fake.n_builds, 5);
    CHECK_INT(t.n_ok, 9);
    CHECK_INT(vt_eval_pending(e), 0);
    close_fake(e);
}

static void cancelling_drops_what_is_queued(void)
{
    struct tally t;
    char code[64];
    tally_init(&t);
    fake_reset();
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    submit(e, "time=50 hold=build", (struct vt_eval_request){0}, &t);
    fake_await_held(FAKE_BUILD, 1);
    for (int i = 0; i < 7; i++) {
        snprintf(code, sizeof code, "time=%d", 60 + i);
        submit(e, code, (struct vt_eval_request){0}, &t);
    }
    vt_eval_cancel_all(e);
    CHECK_INT(t.n_cancelled, 7); /* at once */
    CHECK_INT(vt_eval_pending(e), 1);
    CHECK_INT(fake.n_cancelled, 0); /* what runs goes on */
    fake_release(true);
    await(&t, 8);
    CHECK_INT(t.n_ok, 1);
    CHECK_INT(fake.n_builds, 1);
    close_fake(e);
}

/* Whoever withdraws while a stage runs is told before the next one; who joined meanwhile still gets a verdict. */
static void withdrawing_between_stages(void)
{
    static const char *const codes[] = {"time=50 hold=build", "time=51 hold=check"};
    for (int i = 0; i < 2; i++)
        for (int joins = 0; joins < 2; joins++) {
            struct tally gone, joined;
            tally_init(&gone);
            tally_init(&joined);
            fake_reset();
            vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
            submit(e, codes[i], (struct vt_eval_request){0}, &gone);
            fake_await_held(i ? FAKE_CHECK : FAKE_BUILD, 1);
            if (joins)
                submit(e, codes[i], (struct vt_eval_request){0}, &joined);
            vt_eval_cancel(e, &gone);
            vt_eval_cancel(e, e); /* nobody's */
            if (joins)
                CHECK_INT(gone.n_cancelled, 1); /* at once: the other one keeps the job going */
            fake_release(true);
            await(&gone, 1);
            await(&joined, joins);
            CHECK_INT(gone.n_cancelled, 1);
            CHECK_INT(joined.n_ok, joins);
            int n_timed = 0;
            for (int k = 0; k < fake.n_calls; k++)
                n_timed += fake.call[k].is_timed;
            CHECK_INT(n_timed > 0, joins);
            close_fake(e);
        }
}

static void a_station_that_died_is_mended(void)
{
    static const char *const codes[] = {"build=die", "load=die", "check=die", "time=die"};
    struct fixture_result r;
    fake_reset();
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    for (int i = 0; i < 4; i++) {
        judge(e, codes[i], (struct vt_eval_request){0}, &r);
        CHECK_INT(r.status, VT_EINTERNAL);
        fixture_result_free(&r);
        judge(e, "time=50", (struct vt_eval_request){0}, &r);
        CHECK_OK(r.status, r.err);
        CHECK_INT(fake.n_mended, i + 1);
        fixture_result_free(&r);
    }
    close_fake(e);
}

/* A ground that could not be made because of the machine is tried again; one that the task cannot have fails again. */
static void grounds_that_failed_are_not_kept(void)
{
    struct fixture_result r;
    fake_reset();
    fake.ground_fails_once = VT_ENOMEM;
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    judge(e, "time=50", (struct vt_eval_request){0}, &r);
    CHECK_INT(r.status, VT_ENOMEM);
    fixture_result_free(&r);
    judge(e, "time=50", (struct vt_eval_request){0}, &r);
    CHECK_OK(r.status, r.err);
    fixture_result_free(&r);
    judge(e, "time=50", (struct vt_eval_request){.scale = "enormous"}, &r);
    CHECK_INT(r.status, VT_EINVAL);
    fixture_result_free(&r);
    CHECK_INT(fake.n_grounds, 1);
    close_fake(e);
}

static void count_done(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    (void)status, (void)err, (void)v;
    ++*(int *)arg;
}

/* 7 sets of 200,003 and one of 1,237 elements, two arrays of floats each: 11,210,064 bytes are taken, one byte less is
 * not, and then nothing was built and no memory asked for. */
static void a_pool_beyond_the_tier_is_refused_before_it_is_made(void)
{
    vt_task *t = fixture_task("relu");
    for (int under = 0; under < 2; under++) {
        vt_err err = {0};
        fake_reset();
        fake.max_pool_bytes = (size_t)11210064 - (size_t)under;
        vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
        const struct vt_eval_request r = {.task = t, .code = "time=50", .code_len = 7, .scale = "cpu"};
        int n_done = 0;
        CHECK_INT(vt_eval_submit(e, &r, count_done, &n_done, &err), under ? VT_EINVAL : VT_OK);
        close_fake(e);
        CHECK_INT(n_done, !under);
        if (under)
            CHECK_STR(err.msg, "task relu at scale cpu needs 11.2 MB of arrays for its 8 input sets; the fake tier "
                               "takes at most 11.2 MB: make the sizes smaller or name another scale");
        if (under)
            CHECK_INT(fake.n_builds, 0);
    }
    vt_task_unref(t);
}

/* Sizes whose bytes overflow a word are no small sizes. */
static void a_pool_that_cannot_be_counted_is_refused(void)
{
    static const char json[] =
        "{\"id\":19,\"level\":1,\"name\":\"relu\",\"title\":\"t\",\"family\":\"f\","
        "\"sizes\":{\"cpu\":{\"n\":2000000000,\"m\":280000000}},\"arrays\":[{\"name\":\"x\",\"role\":\"in\","
        "\"dtype\":\"f32\",\"shape\":[\"n\",\"m\"],\"dist\":[\"uniform\"]},{\"name\":\"y\","
        "\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\",\"m\"],\"compare\":\"bound\"}],"
        "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"n\",\"flops\":\"n\",\"body\":\";\"}";
    struct vt_pool pool;
    vt_task *t = NULL;
    vt_err err;
    CHECK_OK(vt_task_parse(json, strlen(json), &t, &err), err);
    vt_pool_plan(&pool, t, "cpu", true, 0);
    CHECK_INT(vt_pool_check(&pool, "fake", SIZE_MAX, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "needs too many bytes of arrays for its 6 input sets") != NULL);
    vt_task_unref(t);
}

/* Kept by one replicate and found by the next: with the key of the case that asks. */
static void what_will_fail_again_is_kept(void)
{
    static const struct {
        const char *code;
        bool is_kept;
    } cases[] = {{"nothing", true},          {"build=fail", true},  {"build=later", false}, {"build=refused", true},
                 {"load=fail", true},        {"check=wrong", true}, {"check=fault", false}, {"late=2", false},
                 {"copy check=wrong", true}, {"time=50", false}};
    enum { N = sizeof cases / sizeof cases[0] };
    char dir[] = "/tmp/vegttt-tier-test-XXXXXX", key[N][2 * VT_SHA256_HEX];
    CHECK(mkdtemp(dir) != NULL);
    for (int round = 0; round < 2; round++) {
        fake_reset();
        vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1, .store = dir});
        for (size_t i = 0; i < N; i++) {
            struct fixture_result r;
            int n = fake.n_builds;
            judge(e, cases[i].code, (struct vt_eval_request){.replicate = round}, &r);
            CHECK_INT(r.v.cached, round == 1 && cases[i].is_kept);
            CHECK_INT(fake.n_builds - n, !r.v.cached && i > 0);
            CHECK_INT(r.v.is_copy, strncmp(cases[i].code, "copy", 4) == 0);
            if (strstr(cases[i].code, "check=wrong"))
                CHECK_NEAR(r.v.worst, 9, 0);
            vt_json *j = parse(&r);
            if (round == 0)
                snprintf(key[i], sizeof key[i], "%s", vt_json_str(vt_json_get(j, "key"), ""));
            else
                CHECK(strlen(key[i]) >= 64 && strcmp(key[i], vt_json_str(vt_json_get(j, "key"), "")) != 0);
            CHECK_INT(vt_json_bool(vt_json_get(j, "cached"), false), r.v.cached);
            vt_json_free(j);
            fixture_result_free(&r);
        }
        close_fake(e);
    }
    CHECK_INT(vt_fs_remove_tree(dir, NULL), VT_OK);
}

/* ---- lanes ---- */

static void lanes_that_do_not_meet_time_at_once(void)
{
    for (int same = 0; same < 2; same++) {
        struct tally t;
        tally_init(&t);
        fake_reset();
        fake.n_lanes = 2;
        fake.devices[0] = 1;
        fake.devices[1] = same ? 1 : 2;
        vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
        submit(e, "time=50 hold=time", (struct vt_eval_request){0}, &t);
        submit(e, "time=51 hold=time", (struct vt_eval_request){0}, &t);
        fake_await_held(FAKE_TIME, same ? 1 : 2); /* would wait for ever */
        if (same) {
            usleep(20000); /* a second one would show now and then; never here */
            pthread_mutex_lock(&fake.lock);
            CHECK_INT(fake.n_held[FAKE_TIME], 1);
            pthread_mutex_unlock(&fake.lock);
        }
        fake_release(true);
        await(&t, 2);
        CHECK_INT(t.n_ok, 2);
        close_fake(e);
    }
}

static void checks_can_be_the_lanes(void)
{
    struct fixture_result r;
    fake_reset();
    fake.checks_on_lane = true;
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 2});
    judge(e, "build=fail", (struct vt_eval_request){0}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "compile_error");
    CHECK_INT(fake.n_grounds, 0); /* nobody needed one */
    fixture_result_free(&r);
    judge(e, "check=wrong", (struct vt_eval_request){0}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "wrong_output");
    fixture_result_free(&r);
    judge(e, "time=50", (struct vt_eval_request){.skip_timing = true}, &r);
    CHECK_STR(vt_verdict_status_name(r.v.status), "correct_slow");
    fixture_result_free(&r);
    judge(e, "artefact=copy time=50", (struct vt_eval_request){0}, &r);
    CHECK(r.v.correct && r.v.is_copy);
    fixture_result_free(&r);
    for (int i = 0; i < fake.n_calls; i++)
        CHECK_INT(fake.call[i].lane, 0);
    close_fake(e);
}

static void *take_turn(void *arg)
{
    struct vt_turns *t = arg;
    CHECK(vt_turns_take(t));
    vt_turns_give(t);
    return NULL;
}

/* Places of different processes; a lock of a file counts for whoever opened it. */
static void processes_take_turns(void)
{
    char dir[] = "/tmp/vegttt-tier-test-XXXXXX";
    struct vt_place p = {.devices = 6}, q = {.devices = 12}, far = {.devices = 1};
    struct vt_turns a, b, c;
    pthread_t thread;
    CHECK(mkdtemp(dir) != NULL);
    CPU_SET(3, &p.cores);
    CPU_SET(4, &far.cores);
    vt_turns_open(&a, dir, &p);
    vt_turns_open(&b, dir, &q); /* device 2 is in both */
    vt_turns_open(&c, dir, &far);
    CHECK_INT(a.n, 3);
    CHECK(vt_turns_take(&a));
    CHECK(vt_turns_take(&c)); /* does not wait */
    pthread_create(&thread, NULL, take_turn, &b);
    usleep(5000);
    vt_turns_give(&a);
    pthread_join(thread, NULL);
    CHECK(vt_turns_take(&a));
    vt_turns_close(&a);
    CHECK(vt_turns_take(&b)); /* who is gone holds nothing */
    vt_turns_close(&b);
    vt_turns_close(&c);
    CHECK_INT(vt_fs_remove_tree(dir, NULL), VT_OK);
}

/* ---- closing ---- */

/* With one candidate in the middle of each stage, others before and behind it: every done is called once, what ran
 * ends because its station is told so, and nothing is left behind the door. */
static void closing_at_each_stage(void)
{
    static const char *const names[FAKE_N] = {"ground", "build", "load", "check", "time"};
    for (int on_lane = 0; on_lane < 2; on_lane++)
        for (int stage = 0; stage < FAKE_N; stage++) {
            struct tally t;
            char code[64], family[64];
            tally_init(&t);
            fake_reset();
            fake.checks_on_lane = on_lane;
            fake.n_lanes = 2;
            vt_task *task = fixture_task("relu");
            if (stage == FAKE_GROUND) {
                vt_err err;
                char *json = strdup(vt_task_json(task));
                char *at = json ? strstr(json, "\"elementwise\"") : NULL;
                CHECK(at != NULL);
                snprintf(family, sizeof family, "\"hold=ground\"");
                memcpy(at, family, strlen(family)); /* of the same length */
                vt_task_unref(task);
                CHECK_OK(vt_task_parse(json, strlen(json), &task, &err), err);
                free(json);
            }
            vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 2});
            snprintf(code, sizeof code, "time=50 hold=%s", names[stage]);
            submit_task(e, task, code, (struct vt_eval_request){0}, &t);
            submit_task(e, task, code, (struct vt_eval_request){0}, &t); /* joins */
            fake_await_held((enum fake_stage)stage, 1);
            for (int i = 0; i < 20; i++) {
                snprintf(code, sizeof code, "time=%d hold=%s", 60 + i, names[stage]);
                submit_task(e, task, code, (struct vt_eval_request){0}, &t);
            }
            close_fake(e);
            CHECK_INT(t.n_done, 22);
            CHECK_INT(t.n_cancelled, 22);
            CHECK(fake.n_cancelled >= 1);
            vt_task_unref(task);
        }
}

struct resubmit {
    vt_eval *e;
    vt_task *task;
    struct tally tally;
    vt_status status;
};

static void submit_again(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct resubmit *r = arg;
    vt_err why;
    struct vt_eval_request q = {.task = r->task, .code = "time=50", .code_len = 7, .tier = "other"};
    r->status = vt_eval_submit(r->e, &q, count, &r->tally, &why);
    count(&r->tally, status, err, v);
}

/* A done that asks for more while the evaluator closes is told that it is too late, whichever line it asks. */
static void closing_refuses_requests_of_its_own_dones(void)
{
    struct resubmit r = {.task = fixture_task("relu")};
    vt_err err;
    struct fixture_result first;
    tally_init(&r.tally);
    fake_reset();
    r.e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    judge(r.e, "time=50", (struct vt_eval_request){.tier = "other"}, &first); /* opens it */
    fixture_result_free(&first);
    struct vt_eval_request q = {.task = r.task, .code = "hold=check", .code_len = 10};
    CHECK_OK(vt_eval_submit(r.e, &q, submit_again, &r, &err), err);
    fake_await_held(FAKE_CHECK, 1);
    close_fake(r.e);
    CHECK_INT(r.status, VT_ECANCELLED);
    CHECK_INT(r.tally.n_done, 1);
    vt_task_unref(r.task);
}

static const struct test_case cases[] = {
    TEST(every_answer_has_its_verdict),
    TEST(times_become_speedups),
    TEST(copies_are_timed_briefly),
    TEST(a_tuned_reference_may_fail),
    TEST(the_tuned_reference_is_measured_once),
    TEST(timed_calls_come_in_pairs),
    TEST(doubted_times_are_measured_again),
    TEST(tiers_are_found_by_name),
    TEST(prompts_are_the_tiers),
    TEST(equal_requests_are_judged_once),
    TEST(cancelling_drops_what_is_queued),
    TEST(withdrawing_between_stages),
    TEST(a_station_that_died_is_mended),
    TEST(a_pool_beyond_the_tier_is_refused_before_it_is_made),
    TEST(a_pool_that_cannot_be_counted_is_refused),
    TEST(grounds_that_failed_are_not_kept),
    TEST(what_will_fail_again_is_kept),
    TEST(lanes_that_do_not_meet_time_at_once),
    TEST(checks_can_be_the_lanes),
    TEST(processes_take_turns),
    TEST(closing_at_each_stage),
    TEST(closing_refuses_requests_of_its_own_dones),
};
TEST_MAIN(cases)
