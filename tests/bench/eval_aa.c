/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_aa.c: how wrong a timing can be. The baseline plus one no-op (so that it does not pass for a copy) is judged
 * against the baseline, N times (default 100, or the first argument) under each protocol; the true speedup is 1. Three
 * conditions:
 *
 *   quiet     nothing else of ours runs
 *   guest     two threads burn the cores as guests of the lease, the way the language model does
 *   foreign   two processes that know nothing of the lease burn the cores
 *
 * Printed: median and worst |speedup - 1|, how many verdicts carried the contended flag, how many intervals missed 1,
 * and the mean wall time of a verdict. Run it on an otherwise idle machine for the quiet row to deserve its name.
 */
#include "base/clock.h"
#include "base/thread.h"
#include "eval_fixture.h"
#include <signal.h>
#include <sys/wait.h>

static vt_lease *lease;
static volatile int stop_guests;
static const char *const tasks[] = {"row_sum", "matmul", "softmax", "mse_loss"};
enum { N_TASKS = sizeof tasks / sizeof tasks[0], N_BURNERS = 2 };

static void *guest(void *arg)
{
    volatile double x = 1;
    (void)arg;
    vt_lease_enter(lease);
    while (!stop_guests) {
        for (int i = 0; i < 200000; i++)
            x = x * 1.0000001 + 1e-9;
        vt_lease_poll(lease);
    }
    vt_lease_leave(lease);
    return NULL;
}

static pid_t burner(void)
{
    pid_t pid = fork();
    volatile double x = 1;
    if (pid == 0)
        for (;;)
            x = x * 1.0000001 + 1e-9;
    return pid;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(vt_eval *e, const char *condition, vt_protocol protocol, int n)
{
    double *error = calloc((size_t)n, sizeof *error);
    int n_contended = 0, n_missed = 0, n_bad = 0;
    double from = vt_now_s();
    for (int i = 0; i < n; i++) {
        vt_task *t = fixture_task(tasks[i % N_TASKS]);
        struct fixture_result r;
        char body[4096];
        snprintf(body, sizeof body, "%s\n    __asm__ volatile(\"nop\");", vt_task_body(t));
        fixture_judge(e, t, body, (struct vt_eval_request){.fresh = true, .protocol = protocol}, &r);
        if (r.status != VT_OK || !r.v.correct) {
            printf("    %s\n", r.status != VT_OK ? r.err.msg : r.feedback);
            n_bad++;
        }
        error[i] = fabs(r.v.speedup_measured - 1);
        n_contended += r.json && strstr(r.json, "\"contended\"") != NULL;
        n_missed += r.v.speedup_lo > 1 || r.v.speedup_hi < 1;
        fixture_result_free(&r);
        vt_task_unref(t);
    }
    double wall = (vt_now_s() - from) / n;
    qsort(error, (size_t)n, sizeof *error, by_value);
    printf("%-8s %-5s median %.3f %%  90th %.3f %%  worst of %d %.3f %%  contended %d  interval missed 1 %d  failed %d "
           " %.0f ms "
           "each\n",
           condition, protocol == VT_PROTOCOL_FULL ? "full" : "fast", 100 * error[n / 2], 100 * error[n * 9 / 10], n,
           100 * error[n - 1], n_contended, n_missed, n_bad, 1e3 * wall);
    free(error);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100;
    vt_err err;
    vt_eval *e = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    lease = vt_lease_new();
    struct vt_eval_opts o = {.n_build = 1, .lease = lease};
    if (n < 1 || vt_eval_open(&o, &e, &err) != VT_OK) {
        printf("%s\n", n < 1 ? "usage: eval_aa [N]" : err.msg);
        return 1;
    }
    for (int p = VT_PROTOCOL_FAST; p <= VT_PROTOCOL_FULL; p++)
        measure(e, "quiet", (vt_protocol)p, n);
    pthread_t threads[N_BURNERS];
    for (int i = 0; i < N_BURNERS; i++)
        pthread_create(&threads[i], NULL, guest, NULL);
    for (int p = VT_PROTOCOL_FAST; p <= VT_PROTOCOL_FULL; p++)
        measure(e, "guest", (vt_protocol)p, n);
    stop_guests = 1;
    for (int i = 0; i < N_BURNERS; i++)
        pthread_join(threads[i], NULL);
    pid_t pids[N_BURNERS];
    for (int i = 0; i < N_BURNERS; i++)
        pids[i] = burner();
    for (int p = VT_PROTOCOL_FAST; p <= VT_PROTOCOL_FULL; p++)
        measure(e, "foreign", (vt_protocol)p, n);
    for (int i = 0; i < N_BURNERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    vt_eval_close(e);
    vt_lease_free(lease);
    return 0;
}
