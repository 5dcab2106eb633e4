/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_drawn.c: honest texts under sizes, places and values that are drawn in secret. For secrets of the test's own the
 * evaluator makes every task ready, which holds baseline and tuned reference against the truth on each set of the pool,
 * drawn sizes and contaminated values among them; then the baseline is judged as a candidate, in series of calls. A
 * refusal here is an honest kernel refused, or a task whose `range` or `where` admits sizes that its text cannot take.
 *
 * A rotation of a dozen tasks runs under one secret by default; VEGTTT_FULL=1 runs all under three, and with the full
 * protocol.
 */
#include "eval_fixture.h"
#include "eval_tasks.h"
#include <time.h>

static bool is_full(void)
{
    return getenv("VEGTTT_FULL") != NULL;
}

static int judge(vt_eval *e, vt_task *t, vt_protocol protocol, uint64_t secret)
{
    struct fixture_result r;
    const struct vt_eval_request how = {.skip_timing = true, .protocol = protocol};
    fixture_judge(e, t, vt_task_body(t), how, &r);
    bool is_right = r.status == VT_OK && r.v.correct;
    if (!is_right)
        printf("  %s, secret %llu, %s: %s\n", vt_task_name(t), (unsigned long long)secret,
               protocol == VT_PROTOCOL_FULL ? "full" : "fast", r.status == VT_OK ? r.feedback : r.err.msg);
    fixture_result_free(&r);
    return is_right;
}

static void honest_texts_pass(void)
{
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    const size_t turn = (size_t)(time(NULL) / 86400);
    int n = 0, n_right = 0;
    for (uint64_t secret = 1; secret <= (is_full() ? 3 : 1); secret++) {
        const struct vt_eval_opts o = {.secret = 1000 + turn + secret};
        vt_eval *e = NULL;
        vt_err err;
        CHECK_OK(vt_eval_open(&o, &e, &err), err);
        for (size_t i = 0; i < list.n && e; i++) {
            if (!is_full() && (i + turn) % 8)
                continue;
            n_right += judge(e, list.t[i], VT_PROTOCOL_FAST, o.secret);
            n++;
            if (!is_full() || secret > 1)
                continue;
            n_right += judge(e, list.t[i], VT_PROTOCOL_FULL, o.secret);
            n++;
        }
        vt_eval_close(e);
    }
    printf("  %d judged, %d honest refused\n", n, n - n_right);
    CHECK_INT(n_right, n);
    free_tasks(&list);
}

static const struct test_case cases[] = {TEST(honest_texts_pass)};
TEST_MAIN(cases)
