/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_tier_queue.c: the evaluator's core behind its door (tier.h), with the fake tier of eval_fake.h: the queue, what
 * is kept of what was judged, lanes, bounds, and closing at every stage.
 */
#include "base/fs.h"
#include "base/json.h"
#include "eval/turns.h"
#include "eval_fake.h"

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

/* A check under the full protocol visits more sets than one under the fast one, so neither answers the other. */
static void checks_are_their_protocols(void)
{
    struct tally t;
    char key[2][VT_EVAL_KEY_SIZE];
    vt_err err;
    tally_init(&t);
    fake_reset();
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 2});
    vt_task *task = fixture_task("relu");
    for (int full = 0; full < 2; full++) {
        struct vt_eval_request r = {.skip_timing = true, .protocol = full ? VT_PROTOCOL_FULL : VT_PROTOCOL_FAST};
        submit(e, "time=50 hold=build", r, &t);
        submit(e, "time=50 hold=build", r, &t);
        r.task = task;
        r.code = "time=50";
        r.code_len = 7;
        CHECK_OK(vt_eval_key(e, &r, key[full], &err), err);
    }
    CHECK(strcmp(key[0], key[1]) != 0);
    fake_await_held(FAKE_BUILD, 2);
    fake_release(true);
    await(&t, 4);
    CHECK_INT(fake.n_builds, 2);
    vt_task_unref(task);
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
        for (int joins = 0; joins < 3; joins++) { /* nobody; before the first has gone; afterwards */
            struct tally gone, joined;
            tally_init(&gone);
            tally_init(&joined);
            fake_reset();
            vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
            submit(e, codes[i], (struct vt_eval_request){0}, &gone);
            fake_await_held(i ? FAKE_CHECK : FAKE_BUILD, 1);
            if (joins == 1)
                submit(e, codes[i], (struct vt_eval_request){0}, &joined);
            vt_eval_cancel(e, &gone);
            vt_eval_cancel(e, e); /* nobody's */
            if (joins == 2)
                submit(e, codes[i], (struct vt_eval_request){0}, &joined);
            if (joins == 1)
                CHECK_INT(gone.n_cancelled, 1); /* at once: the other one keeps the job going */
            fake_release(true);
            await(&gone, 1);
            await(&joined, joins > 0);
            CHECK_INT(gone.n_cancelled, joins < 2); /* who comes while it still runs revives it */
            CHECK_INT(joined.n_ok, joins > 0);
            int n_timed = 0;
            for (int k = 0; k < fake.n_calls; k++)
                n_timed += fake.call[k].is_timed;
            CHECK_INT(n_timed > 0, joins > 0);
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

/* What the fast protocol's sets need is not enough for the full one's, which are more. */
static void the_full_pool_is_measured_by_itself(void)
{
    vt_task *t = fixture_task("relu");
    vt_err err = {0};
    int n_done = 0;
    fake_reset();
    fake.max_pool_bytes = 11210064;
    vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
    const struct vt_eval_request r = {
        .task = t, .code = "time=50", .code_len = 7, .scale = "cpu", .protocol = VT_PROTOCOL_FULL};
    CHECK_INT(vt_eval_submit(e, &r, count_done, &n_done, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "for its 14 input sets") != NULL);
    close_fake(e);
    CHECK_INT(fake.n_builds, 0);
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
    vt_pool_plan(&pool, t, "cpu", true, false, 0);
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

/* Who waits long enough goes on without its turn, and then holds none of its places. */
static void a_turn_is_of_all_places_or_none(void)
{
    char dir[] = "/tmp/vegttt-tier-test-XXXXXX";
    struct vt_place both = {.devices = 3}, second = {.devices = 2}, first = {.devices = 1};
    struct vt_turns held, wanted, other;
    CHECK(mkdtemp(dir) != NULL);
    vt_turns_open(&held, dir, &second);
    vt_turns_open(&wanted, dir, &both);
    vt_turns_open(&other, dir, &first);
    CHECK(vt_turns_take(&held));
    CHECK(!vt_turns_take(&wanted));
    CHECK(vt_turns_take(&other));
    vt_turns_close(&held);
    vt_turns_close(&wanted);
    vt_turns_close(&other);
    CHECK_INT(vt_fs_remove_tree(dir, NULL), VT_OK);
}

/* Another process that holds the lane's turn and does not let go: the time is taken all the same, and said to be
 * contended. */
static void a_turn_that_never_comes_is_told(void)
{
    struct vt_place lane = {.devices = 1ull << 40}; /* the fake's first */
    struct fixture_result r;
    struct vt_turns others;
    char *cache = NULL;
    vt_err err;
    CHECK_OK(vt_cache_dir(&cache, &err), err);
    vt_turns_open(&others, cache, &lane);
    CHECK_INT(others.n, 1);
    CHECK(vt_turns_take(&others));
    for (int is_free = 0; is_free < 2; is_free++) {
        fake_reset();
        vt_eval *e = open_fake(&(struct vt_eval_opts){.n_build = 1});
        judge(e, "time=50", (struct vt_eval_request){0}, &r);
        CHECK(r.v.correct);
        CHECK_INT(strstr(r.json, "\"contended\"") == NULL, is_free);
        fixture_result_free(&r);
        close_fake(e);
        vt_turns_give(&others);
    }
    vt_turns_close(&others);
    free(cache);
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
    TEST(equal_requests_are_judged_once),
    TEST(checks_are_their_protocols),
    TEST(cancelling_drops_what_is_queued),
    TEST(withdrawing_between_stages),
    TEST(a_station_that_died_is_mended),
    TEST(a_pool_beyond_the_tier_is_refused_before_it_is_made),
    TEST(the_full_pool_is_measured_by_itself),
    TEST(a_pool_that_cannot_be_counted_is_refused),
    TEST(grounds_that_failed_are_not_kept),
    TEST(what_will_fail_again_is_kept),
    TEST(lanes_that_do_not_meet_time_at_once),
    TEST(checks_can_be_the_lanes),
    TEST(processes_take_turns),
    TEST(a_turn_is_of_all_places_or_none),
    TEST(a_turn_that_never_comes_is_told),
    TEST(closing_at_each_stage),
    TEST(closing_refuses_requests_of_its_own_dones),
};
TEST_MAIN(cases)
