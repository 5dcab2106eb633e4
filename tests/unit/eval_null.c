/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_null.c: admission of the tasks, DECISIONS.md section 1: on every input distribution the baseline and the tuned
 * reference lie within the bound, and every null candidate lies outside it on at least one distribution or is named
 * in the task's `blind` field with a reason. Prints, per task, the largest error / bound of the honest bodies and the
 * mutation matrix. A rotation of 12 tasks, chosen by the date, is the default; VEGTTT_FULL=1 takes all;
 * VEGTTT_TASKS=19,23 takes those; VEGTTT_VERBOSE=1 prints the matrix row by row.
 */
#include "eval/c/null.h"
#include "eval_tasks.h"
#include <time.h>

enum { ROTATION = 12, MAX_BODIES = 72 };

struct tally {
    int n_tasks, n_nulls, n_refused, n_blind, n_passed;
};

/* Everything about one task at scale "cpu": one input set and its truth per distribution. */
struct bench {
    vt_task *t;
    vt_layout l;
    int n_dists;
    struct buffers in[VT_TASK_MAX_DISTS + 1];
    struct vt_expect truth[VT_TASK_MAX_DISTS + 1];
};

static bool bench_open(struct bench *b, vt_task *t)
{
    vt_err err = {0};
    vt_truth *truth = NULL;
    struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker()};
    memset(b, 0, sizeof *b);
    b->t = t;
    b->n_dists = vt_task_n_dists(t);
    CHECK_OK(vt_task_layout(t, "cpu", &b->l, &err), err);
    CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
    /* One set per distribution, and a second set of distribution 0 for the stale output. */
    for (int d = 0; truth && d <= b->n_dists; d++) {
        buffers_new(&b->l, &b->in[d]);
        CHECK_OK(vt_inputs_fill(t, "cpu", 42, (uint64_t)d, d % b->n_dists, 0, b->in[d].at, &err), err);
        CHECK_OK(vt_truth_run(truth, "cpu", NULL, (const void *const *)b->in[d].at, &b->truth[d], &err), err);
    }
    vt_truth_free(truth);
    return truth && b->truth[b->n_dists].n_arrays > 0;
}

static void bench_close(struct bench *b)
{
    for (int d = 0; d <= b->n_dists; d++) {
        buffers_free(&b->l, &b->in[d]);
        vt_expect_free(&b->truth[d]);
    }
}

/* Runs a body on set d; state arrays are filled again first, since a body changes them. */
static void run_body(struct bench *b, body_fn *fn, int d)
{
    vt_err err = {0};
    for (size_t i = 0; i < b->l.n_arrays; i++)
        if (vt_task_array(b->t, i)->role == VT_STATE)
            CHECK_OK(vt_inputs_fill(b->t, "cpu", 42, (uint64_t)d, d % b->n_dists, 0, b->in[d].at, &err), err);
    buffers_poison(b->t, &b->l, &b->in[d]);
    fn(b->in[d].at, b->l.size);
}

static void check_honest(struct bench *b, const char *what, body_fn *fn)
{
    printf("  %-24s", what);
    for (int d = 0; d < b->n_dists; d++) {
        struct vt_compare_result r;
        run_body(b, fn, d);
        vt_compare(&b->truth[d], (const void *const *)b->in[d].at, &r);
        printf(" %9.2g", r.worst);
        CHECK(margins_intact(&b->l, &b->in[d]));
        if (r.n_wrong) {
            char dist[256], diff[256];
            vt_inputs_describe(b->t, d, 0, dist, sizeof dist);
            vt_diff_describe(b->t, &b->l, &r.diff[0], diff, sizeof diff);
            printf("\n  %s of %s is outside the bound on {%s}: %lld of %lld, first %s\n", what, vt_task_name(b->t),
                   dist, (long long)r.n_wrong, (long long)r.n_checked, diff);
        }
        CHECK_INT(r.n_wrong, 0);
        if (b->truth[d].array[b->l.n_arrays - 1].value)
            CHECK(isfinite(b->truth[d].array[b->l.n_arrays - 1].value[0]));
    }
    printf("\n");
}

/* True when the null is refused on at least one distribution. */
static bool check_null(struct bench *b, const char *name, body_fn *fn, struct tally *tally)
{
    bool is_verbose = getenv("VEGTTT_VERBOSE") != NULL, is_refused = false;
    const char *blind = vt_task_blind(b->t, name);
    char line[512];
    int at = snprintf(line, sizeof line, "  %-24s", name);
    for (int d = 0; d < b->n_dists; d++) {
        struct vt_compare_result r;
        run_body(b, fn, d);
        vt_compare(&b->truth[d], (const void *const *)b->in[d].at, &r);
        is_refused = is_refused || r.n_wrong > 0;
        if (at < (int)sizeof line - 16)
            at += snprintf(line + at, sizeof line - (size_t)at, " %8.2g%c", r.worst, r.n_wrong ? '*' : ' ');
    }
    tally->n_nulls++;
    tally->n_refused += is_refused;
    tally->n_blind += !is_refused && blind;
    tally->n_passed += !is_refused && !blind;
    if (is_verbose || !is_refused)
        printf("%s %s%s\n", line, is_refused ? "" : blind ? "blind: " : "PASSED", !is_refused && blind ? blind : "");
    if (is_refused && blind)
        printf("  task %s calls %s blind, but it is refused: take it out\n", vt_task_name(b->t), name);
    CHECK(is_refused || blind);
    CHECK(!(is_refused && blind));
    return is_refused;
}

static void check_stale(struct bench *b, body_fn *baseline)
{
    struct vt_compare_result r;
    run_body(b, baseline, 0);
    vt_compare(&b->truth[b->n_dists], (const void *const *)b->in[0].at, &r);
    CHECK(r.n_wrong > 0);
}

static void admit(vt_task *t, struct tally *tally)
{
    vt_err err = {0};
    struct bench b;
    struct vt_null *nulls = NULL;
    size_t n = 0;
    const char *body[MAX_BODIES] = {vt_task_body(t), vt_task_tuned(t) ? vt_task_tuned(t) : vt_task_body(t)};
    body_fn *fn[MAX_BODIES];
    printf("%03d %s\n", vt_task_id(t), vt_task_name(t));
    bool ok = bench_open(&b, t);
    void *honest = ok ? build_bodies(t, body, 2, 3, fn) : NULL;
    if (honest) {
        tally->n_tasks++;
        check_honest(&b, "baseline", fn[0]);
        check_honest(&b, "tuned", fn[1]);
        check_stale(&b, fn[0]);
        CHECK_OK(vt_null_list(t, &b.l, &nulls, &n, &err), err);
        for (size_t k = 0; k < n; k++)
            body[k] = nulls[k].body;
        void *cheats = n ? build_bodies(t, body, n, 1, fn) : NULL;
        for (size_t k = 0; cheats && k < n; k++)
            check_null(&b, nulls[k].name, fn[k], tally);
        if (cheats)
            dlclose(cheats);
        dlclose(honest);
        vt_null_free(nulls, n);
    }
    bench_close(&b);
}

static bool is_wanted(const vt_task *t, size_t i, size_t n)
{
    const char *ids = getenv("VEGTTT_TASKS"), *full = getenv("VEGTTT_FULL");
    if (ids) {
        for (const char *p = ids; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
            if (strtol(p, NULL, 10) == vt_task_id(t))
                return true;
        return false;
    }
    if (full && *full == '1')
        return true;
    size_t step = n / ROTATION ? n / ROTATION : 1;
    return i % step == (size_t)(time(NULL) / 86400) % step;
}

static void every_null_is_refused(void)
{
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    struct tally tally = {0};
    for (size_t i = 0; i < list.n; i++)
        if (is_wanted(list.t[i], i, list.n))
            admit(list.t[i], &tally);
    CHECK(tally.n_tasks > 0);
    printf("%d tasks, %d null candidates: %d refused, %d blind with a reason, %d passed\n", tally.n_tasks,
           tally.n_nulls, tally.n_refused, tally.n_blind, tally.n_passed);
    free_tasks(&list);
    remove_work_dir();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(every_null_is_refused)};
    return test_main(cases, 1, argc, argv);
}
