/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_matrix.c: every task file through the real evaluator, jail and compiler included: the baseline must come out
 * correct and a copy, the tuned reference correct, and every null candidate that the task does not call blind refused.
 * (eval_null.c does the same faster, in process; this is the proof that the evaluator as it ships agrees.)
 *
 * A rotation of a dozen tasks runs by default, chosen by the day; VEGTTT_FULL=1 runs all of them and also times
 * baseline and tuned reference, and prints one line a task.
 */
#include "eval/c/null.h"
#include "eval_fixture.h"
#include "eval_tasks.h"
#include <time.h>

struct entry {
    char name[48];
    const char *blind; /* why a null may pass; lent by the task */
    bool is_honest, is_copy;
    struct fixture_result result;
};
enum { MAX_ENTRIES = 96 };

static vt_eval *eval;
static int n_nulls, n_refused, n_blind, n_passed, n_honest, n_honest_refused;

static bool is_chosen(size_t i)
{
    return getenv("VEGTTT_FULL") || (i + (size_t)(time(NULL) / 86400)) % 8 == 0;
}

static void submit(struct entry *e, vt_task *t, const char *body)
{
    vt_err err;
    fixture_result_init(&e->result);
    struct vt_eval_request r = {.task = t, .code = body, .code_len = strlen(body)};
    r.skip_timing = !e->is_honest || !getenv("VEGTTT_FULL");
    vt_status s = vt_eval_submit(eval, &r, fixture_done, &e->result, &err);
    CHECK_OK(s, err);
    e->result.is_done |= s != VT_OK;
}

static void judge_honest(const vt_task *t, const struct entry *e)
{
    const vt_verdict *v = &e->result.v;
    n_honest++;
    if (!v->correct || v->is_copy != e->is_copy || v->status == VT_FLAGGED) {
        printf("  %s %s: %s: %s\n", vt_task_name(t), e->name, vt_verdict_status_name(v->status), e->result.feedback);
        n_honest_refused++;
    } else if (getenv("VEGTTT_FULL")) {
        printf("  %3d %-28s %-8s %8.1f us, speedup %6.2f [%.2f, %.2f], worst %.2f of the bound, roofline %.2f\n",
               vt_task_id(t), vt_task_name(t), e->name, v->runtime_us, v->speedup_measured, v->speedup_lo,
               v->speedup_hi, v->worst, v->roofline);
    }
}

static void judge_null(const vt_task *t, const struct entry *e)
{
    const vt_verdict *v = &e->result.v;
    n_nulls++;
    if (!v->correct)
        n_refused++;
    else if (e->blind)
        n_blind++;
    else {
        printf("  %s: the null candidate %s passed\n", vt_task_name(t), e->name);
        n_passed++;
    }
}

static void one_task(vt_task *t)
{
    struct entry *e = calloc(MAX_ENTRIES, sizeof *e);
    vt_task *shape = at_one_shape(t);
    struct vt_null *nulls = NULL;
    vt_layout layout;
    vt_err err;
    size_t n = 0, n_null = 0;
    CHECK_OK(vt_task_layout(t, "cpu", &layout, &err), err);
    CHECK_OK(vt_null_list(t, &layout, &nulls, &n_null, &err), err);
    e[n] = (struct entry){.name = "baseline", .is_honest = true, .is_copy = true};
    submit(&e[n++], t, vt_task_body(t));
    if (vt_task_tuned(t)) {
        /* Where the compiler leaves nothing to do the tuned reference is the same text. */
        e[n] = (struct entry){.name = "tuned", .is_honest = true};
        e[n].is_copy = strcmp(vt_task_tuned(t), vt_task_body(t)) == 0;
        submit(&e[n++], t, vt_task_tuned(t));
    }
    for (size_t i = 0; i < n_null && n < MAX_ENTRIES; i++, n++) {
        snprintf(e[n].name, sizeof e[n].name, "%s", nulls[i].name);
        e[n].blind = vt_task_blind(t, nulls[i].name);
        submit(&e[n], shape, nulls[i].body);
    }
    for (size_t i = 0; i < n; i++) {
        fixture_wait(&e[i].result);
        if (e[i].result.status != VT_OK) {
            printf("  %s: %s\n", vt_task_name(t), e[i].result.err.msg);
            CHECK_INT(e[i].result.status, VT_OK);
        } else if (e[i].is_honest) {
            judge_honest(t, &e[i]);
        } else {
            judge_null(t, &e[i]);
        }
        fixture_result_free(&e[i].result);
    }
    vt_null_free(nulls, n_null);
    vt_task_unref(shape);
    free(e);
}

static void every_task(void)
{
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    int n_tasks = 0;
    CHECK(list.n >= 40);
    for (size_t i = 0; i < list.n; i++)
        if (is_chosen(i)) {
            one_task(list.t[i]);
            n_tasks++;
        }
    printf("  %d tasks: %d null candidates, %d refused, %d blind with a reason, %d passed; %d honest, %d refused\n",
           n_tasks, n_nulls, n_refused, n_blind, n_passed, n_honest, n_honest_refused);
    CHECK_INT(n_passed, 0);
    CHECK_INT(n_honest_refused, 0);
    free_tasks(&list);
}

static const struct test_case cases[] = {TEST(every_task)};

int main(int argc, char **argv)
{
    return fixture_main(cases, sizeof cases / sizeof cases[0], 2, &eval, argc, argv);
}
