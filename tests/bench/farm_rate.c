/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_rate.c [N]: what a queue costs. Judges that only wait stand for real ones, workers are processes, Redis is real:
 *
 *   one by one     the time from asking to the answer, one job at a time, judges that take no time
 *   together       jobs a second with judges that take no time: what the queue can carry
 *   four workers   against one, with judges that take 50 ms, one job at a time each
 *   many           N jobs (100,000) through one who asks and keeps at most 8,192 on their way: its memory does not grow
 *
 * The last line of a row is its figure beside the bar of the project.
 */
#include "queue_bench.h"

enum { WAITING_MOST = 8192 };

static double rss_mib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * 4096 / (1 << 20);
}

/* CPU seconds so far of a process. */
static double cpu_s(pid_t pid)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        user = system = 0;
    if (f)
        fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Seconds that n jobs take, with at most `ahead` of them asked for and not answered; the largest memory meanwhile. */
static double ask_many(vt_eval *e, vt_task *t, int n, size_t ahead, int first, double *most_mib)
{
    static struct answer a;
    const double began = vt_now_s();
    char code[32];
    a = (struct answer){0};
    for (int i = 0; i < n; i++) {
        snprintf(code, sizeof code, "y= %d", first + i);
        ask_for(e, t, code, &a);
        while (vt_eval_pending(e) >= ahead)
            usleep(50);
        if (most_mib && i % 1000 == 0 && rss_mib() > *most_mib)
            *most_mib = rss_mib();
    }
    while (vt_eval_pending(e))
        usleep(50);
    CHECK_INT(a.n, n);
    CHECK_INT(a.status, VT_OK);
    return vt_now_s() - began;
}

static double with_workers(const struct redis *r, vt_task *t, int n_workers, double delay_s, int in_flight, int n,
                           size_t ahead, int first, double *most_mib)
{
    pid_t w[16];
    for (int i = 0; i < n_workers; i++)
        w[i] = worker_start(r->url, 30, delay_s, in_flight);
    vt_eval *e = ask_open(r->url);
    (void)ask_many(e, t, 2 * n_workers * in_flight, ahead, first + n, NULL); /* everybody is there */
    const double s = ask_many(e, t, n, ahead, first, most_mib);
    vt_eval_close(e);
    for (int i = 0; i < n_workers; i++)
        worker_end(w[i], SIGTERM);
    return s;
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 6 && strcmp(argv[1], "worker") == 0)
        return worker_main(argv);
    signal(SIGPIPE, SIG_IGN);
    const int many = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;
    struct redis r;
    vt_task *t = fixture_task("relu");
    if (!redis_is_installed()) {
        printf("there is no redis-server (Debian: apt-get install redis-server)\n");
        return 77;
    }
    redis_new(&r, "rate", false);
    double s = with_workers(&r, t, 1, 0, 4, 1000, 1, 0, NULL);
    printf("one by one     %.3f ms from asking to the answer\n", s);
    s = with_workers(&r, t, 1, 0, 64, 5000, 512, 10000, NULL);
    printf("together       %.3f ms a job, one worker (bar: below 1)\n", s / 5);
    const double one = with_workers(&r, t, 1, 0.05, 1, 100, 64, 20000, NULL);
    const double four = with_workers(&r, t, 4, 0.05, 1, 400, 64, 30000, NULL);
    printf("four workers   %.2f times one (bar: 3.6)\n", 4 * one / four);
    double before = rss_mib(), most = before;
    const double asker_s = cpu_s(getpid()), server_s = cpu_s(r.pid);
    s = with_workers(&r, t, 2, 0, 256, many, WAITING_MOST, 1000000, &most);
    printf("many           %d jobs in %.1f s, %.0f a second; memory %.1f MiB before, %.1f at most\n", many, s, many / s,
           before, most);
    printf("               CPU a job: %.3f ms of who asks, %.3f ms of the server\n",
           1e3 * (cpu_s(getpid()) - asker_s) / many, 1e3 * (cpu_s(r.pid) - server_s) / many);
    vt_task_unref(t);
    redis_free(&r);
    return test_failures_in_case != 0;
}
