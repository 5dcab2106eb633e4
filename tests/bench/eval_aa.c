/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_aa.c: how wrong a timing can be. The baseline of a task plus one no-op (so that it does not pass for a copy) is
 * judged against the baseline, N times (default 100, or the first argument) under each protocol, over shipped tasks of
 * many families at their cpu size; the true speedup is 1. Three conditions:
 *
 *   quiet     nothing else of ours runs
 *   guest     two threads burn the cores as guests of the lease, the way the language model does
 *   foreign   two processes that know nothing of the lease burn the cores
 *
 * Printed: median, 90th percentile and worst |speedup - 1|, how many verdicts carried the flags contended and
 * unsettled, how many intervals missed 1, the mean time under the lease and the mean wall time of a verdict. Run it on
 * an otherwise idle machine for the quiet row to deserve its name.
 *
 *   eval_aa [N [fast|full|both [RECORDS]]]     RECORDS: a file for every verdict's record, one a line, with raw trials
 */
#include "base/clock.h"
#include "base/thread.h"
#include "eval_fixture.h"
#include "eval_tasks.h"
#include <signal.h>
#include <sys/wait.h>

static vt_lease *lease;
static volatile int stop_guests;
static FILE *records;
/* matmul, matrix-scalar, relu, softmax, rms norm, max pool, sum, argmax, conv, cumsum, mse loss, attention */
static const int ids[] = {1, 5, 19, 23, 36, 42, 47, 51, 67, 89, 94, 97};
enum { N_IDS = sizeof ids / sizeof ids[0], N_BURNERS = 2 };
static vt_task *tasks[N_IDS];

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

static void pick_tasks(void)
{
    struct task_list all = load_tasks("l1");
    for (size_t i = 0; i < all.n; i++) {
        for (size_t k = 0; k < N_IDS; k++)
            if (vt_task_id(all.t[i]) == ids[k])
                tasks[k] = all.t[i];
    }
}

/* The baseline plus a no-op against the baseline. */
static void judge_same(vt_eval *e, vt_task *t, vt_protocol protocol, struct fixture_result *r)
{
    size_t size = strlen(vt_task_body(t)) + 64;
    char *body = malloc(size);
    snprintf(body, size, "%s\n    __asm__ volatile(\"nop\");", vt_task_body(t));
    fixture_judge(e, t, body, (struct vt_eval_request){.fresh = true, .protocol = protocol}, r);
    free(body);
}

static void measure(vt_eval *e, const char *condition, vt_protocol protocol, int n)
{
    double *error = calloc((size_t)n, sizeof *error), time_ms = 0, time_worst = 0;
    int n_contended = 0, n_unsettled = 0, n_missed = 0, n_bad = 0;
    double from = vt_now_s();
    for (int i = 0; i < n; i++) {
        struct fixture_result r;
        judge_same(e, tasks[i % N_IDS], protocol, &r);
        if (r.status != VT_OK || !r.v.correct) {
            printf("    %s\n", r.status != VT_OK ? r.err.msg : r.feedback);
            n_bad++;
        }
        error[i] = fabs(r.v.speedup_measured - 1);
        n_contended += r.json && strstr(r.json, "\"contended\"") != NULL;
        n_unsettled += r.json && strstr(r.json, "\"unsettled\"") != NULL;
        n_missed += r.v.speedup_lo > 1 || r.v.speedup_hi < 1;
        const char *at = r.json ? strstr(r.json, "\"time_ms\":") : NULL;
        double ms = at ? strtod(at + 10, NULL) : 0;
        time_ms += ms / n;
        time_worst = fmax(time_worst, ms);
        if (records && r.json)
            fprintf(records, "{\"condition\":\"%s\",\"verdict\":%s}\n", condition, r.json);
        fixture_result_free(&r);
    }
    double wall = (vt_now_s() - from) / n;
    qsort(error, (size_t)n, sizeof *error, by_value);
    printf("%-8s %-5s median %.3f %%  90th %.3f %%  worst of %d %.3f %%  contended %d  unsettled %d  interval missed 1 "
           "%d  failed %d  timing %.1f ms (worst %.0f) of %.0f ms each\n",
           condition, protocol == VT_PROTOCOL_FULL ? "full" : "fast", 100 * error[n / 2], 100 * error[n * 9 / 10], n,
           100 * error[n - 1], n_contended, n_unsettled, n_missed, n_bad, time_ms, time_worst, 1e3 * wall);
    free(error);
}

/* Each task once, so that making its truth is in nobody's time. */
static void warm_up(vt_eval *e, const char *protocols)
{
    for (size_t i = 0; i < N_IDS; i++)
        for (int p = VT_PROTOCOL_FAST; p <= VT_PROTOCOL_FULL; p++) {
            struct fixture_result r;
            if (strcmp(protocols, p == VT_PROTOCOL_FAST ? "full" : "fast") == 0)
                continue;
            judge_same(e, tasks[i], (vt_protocol)p, &r);
            fixture_result_free(&r);
        }
}

static void measure_all(vt_eval *e, const char *condition, const char *protocols, int n)
{
    if (strcmp(protocols, "full") != 0)
        measure(e, condition, VT_PROTOCOL_FAST, n);
    if (strcmp(protocols, "fast") != 0)
        measure(e, condition, VT_PROTOCOL_FULL, n);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100;
    const char *protocols = argc > 2 ? argv[2] : "both";
    vt_err err;
    vt_eval *e = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    lease = vt_lease_new();
    struct vt_eval_opts o = {.n_build = 1, .lease = lease};
    if (n < 1 || vt_eval_open(&o, &e, &err) != VT_OK) {
        printf("%s\n", n < 1 ? "usage: eval_aa [N [fast|full|both [RECORDS]]]" : err.msg);
        return 1;
    }
    if (argc > 3 && !(records = fopen(argv[3], "w"))) {
        printf("cannot write %s\n", argv[3]);
        return 1;
    }
    pick_tasks();
    for (size_t k = 0; k < N_IDS; k++)
        if (!tasks[k]) {
            printf("task %d was not found; run from the repository's root with lua5.4 installed\n", ids[k]);
            return 1;
        }
    warm_up(e, protocols);
    measure_all(e, "quiet", protocols, n);
    pthread_t threads[N_BURNERS];
    for (int i = 0; i < N_BURNERS; i++)
        pthread_create(&threads[i], NULL, guest, NULL);
    measure_all(e, "guest", protocols, n);
    stop_guests = 1;
    for (int i = 0; i < N_BURNERS; i++)
        pthread_join(threads[i], NULL);
    pid_t pids[N_BURNERS];
    for (int i = 0; i < N_BURNERS; i++)
        pids[i] = burner();
    measure_all(e, "foreign", protocols, n);
    for (int i = 0; i < N_BURNERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    if (records)
        fclose(records);
    vt_eval_close(e);
    vt_lease_free(lease);
    return 0;
}
