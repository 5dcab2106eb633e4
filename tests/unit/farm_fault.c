/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_fault.c: many evaluations while workers are killed and the server is restarted under them: none is lost, none is
 * counted twice, and what comes out is what one process would have said. 1,000 jobs; 10,000 with VEGTTT_FULL=1.
 */
#include "queue_bench.h"

enum { N_WORKERS = 8, MOST = 10000 };

static void killed_and_restarted(void)
{
    NEEDS_REDIS();
    const int n = getenv("VEGTTT_FULL") ? MOST : MOST / 10;
    const double kill_every_s = getenv("VEGTTT_FULL") ? 2 : 0.4;
    static struct answer a[MOST];
    struct redis r;
    pid_t w[N_WORKERS];
    char code[32];
    vt_task *t = fixture_task("relu");
    redis_new(&r, "fault", false);
    for (int i = 0; i < N_WORKERS; i++)
        w[i] = worker_start(r.url, 1, 0.02, 4);
    vt_eval *e = ask_open(r.url);
    for (int i = 0; i < n; i++) {
        snprintf(code, sizeof code, "y= %d", i);
        ask_for(e, t, code, &a[i]);
    }
    int n_done = 0, n_killed = 0, n_restarts = 0;
    double next_kill = vt_now_s() + kill_every_s;
    const double until = vt_now_s() + 300;
    while (vt_eval_pending(e) && vt_now_s() < until) {
        n_done = n - (int)vt_eval_pending(e);
        if (vt_now_s() >= next_kill) {
            const int i = n_killed++ % N_WORKERS;
            next_kill += kill_every_s;
            worker_end(w[i], SIGKILL);
            w[i] = worker_start(r.url, 1, 0.02, 4);
        }
        if (n_restarts < 2 && n_done > (n_restarts + 1) * n / 3) {
            redis_stop(&r, n_restarts ? SIGKILL : SIGTERM);
            vt_sleep_ms(300);
            redis_start(&r);
            n_restarts++;
        }
        vt_sleep_ms(10);
    }
    CHECK_INT(vt_eval_pending(e), 0);
    CHECK(n_killed >= 2);
    CHECK_INT(n_restarts, 2);
    for (int i = 0; i < n; i++) {
        CHECK_INT(a[i].n, 1);
        CHECK_INT(a[i].status, VT_OK);
        CHECK_NEAR(a[i].speedup, i + 0.5, 0);
    }
    printf("  %d jobs, %d workers killed, %d restarts\n", n, n_killed, n_restarts);
    for (int i = 0; i < N_WORKERS; i++)
        worker_end(w[i], SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

/* A job that kills every worker is answered in the end, and does not take the others along. */
static void a_killer(void)
{
    NEEDS_REDIS();
    struct redis r;
    struct answer killer = {0}, fine = {0};
    vt_task *t = fixture_task("relu");
    redis_new(&r, "fault", false);
    pid_t w = worker_start(r.url, 0.2, 0.01, 2);
    vt_eval *e = ask_open(r.url);
    ask_for(e, t, "y=kill", &killer);
    ask_for(e, t, "y= 9", &fine);
    for (double until = vt_now_s() + most_s; (!killer.n || !fine.n) && vt_now_s() < until; vt_sleep_ms(5))
        if (waitpid(w, NULL, WNOHANG) == w)
            w = worker_start(r.url, 0.2, 0.01, 2);
    CHECK_INT(killer.n, 1);
    CHECK_INT(killer.status, VT_ELIMIT);
    CHECK(strstr(killer.why, "workers took this job and none came back") != NULL);
    CHECK_INT(fine.n, 1);
    CHECK_INT(fine.status, VT_OK);
    worker_end(w, SIGTERM);
    vt_eval_close(e);
    vt_task_unref(t);
    redis_free(&r);
}

static const struct test_case cases[] = {TEST(killed_and_restarted), TEST(a_killer)};

int main(int argc, char **argv)
{
    return queue_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
