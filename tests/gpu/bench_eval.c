/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_eval.c: what a verdict of the cuda tier costs: bench_eval TASKS.jsonl KERNELS EAGER.jsonl [full] [search] (none
 * = both). KERNELS: a folder of kernels written for speed, NNN_name.cu; EAGER.jsonl: what `vegttt baseline
 * --out EAGER.jsonl` wrote on this card.
 *
 *   full     seconds per candidate (protocol fast: compile, check, time) at the benchmark's own sizes, for every kernel
 *            of the folder; the task is ready, as it is from the second candidate on; what making it ready took is
 *            printed, too. With its speedup over the shown text, and over eager.
 *   search   candidates a second at the search sizes, compiled on all cores, once every lane knows the tasks: the shown
 *            texts of the twenty evaluation tasks mixed (naive kernels, which are slow), and the folder's; and where a
 *            lane's time goes
 */
#include "eval_tools.h"

static const int evaluation[] = {4, 5, 12, 14, 15, 18, 28, 29, 30, 32, 36, 55, 65, 70, 76, 82, 87, 89, 95, 98};
enum { N_EVALUATION = sizeof evaluation / sizeof evaluation[0], REPEATS = 3, VARIANTS = 6, WARM = 8, MOST_TASKS = 32 };

/* What eager takes, of the lines of this machine's card; 0 = not known. */
static double eager_us(const char *path, const char *machine, int task, const char *scale)
{
    char line[1024], name[128];
    double us = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *of = strstr(line, "\"machine\": \""), *at = strstr(line, "\"scale\": \""),
                   *time = strstr(line, "\"us\": ");
        if (!of || !at || !time || sscanf(of, "\"machine\": \"%127[^\"]", name) != 1)
            continue;
        for (char *p = name; *p; p++)
            *p = *p == ' ' ? '_' : *p;
        if (strncmp(machine, name, strlen(name)) == 0 && machine[strlen(name)] == '_' &&
            strncmp(at + 10, scale, strlen(scale)) == 0 && at[10 + strlen(scale)] == '"' &&
            number_in(line, "\"task\":") == task)
            us = strtod(time + 6, NULL);
    }
    if (f)
        fclose(f);
    return us;
}

/* The same code to a reader, another text to every cache: a name that is never used. */
static void variant(const char *code, int number, char *out, size_t n)
{
    snprintf(out, n, "#define vt_variant %d\n%s", number, code);
}

static int by_seconds(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct tuned tuned[MOST_TUNED];
static int n_tuned;
static const char *eager_file;

static void full(vt_eval *e, const struct tasks *all, const char *scale)
{
    char code[16384];
    struct answer a;
    printf("seconds per candidate, protocol fast, scale %s\n%5s %-22s %9s %9s %9s %9s  %s\n", scale, "task", "name",
           "ready", "best", "median", "candidate", "speedup over the shown text; over eager, where it is known");
    for (int i = 0; i < n_tuned; i++) {
        vt_task *t = task_of(all, tuned[i].task);
        double took[REPEATS];
        if (!t)
            continue;
        double from = now_s();
        variant(tuned[i].code, 0, code, sizeof code);
        judge(e, t, code, scale, true, &a);
        const double ready = now_s() - from;
        if (a.status != VT_OK || !a.v.correct) {
            printf("%5d %-22s %s: %.300s\n", tuned[i].task, vt_task_name(t), outcome(&a),
                   a.status == VT_OK ? a.feedback : "");
            continue;
        }
        for (int r = 0; r < REPEATS; r++) {
            variant(tuned[i].code, r + 1, code, sizeof code);
            from = now_s();
            judge(e, t, code, scale, false, &a);
            took[r] = now_s() - from;
        }
        qsort(took, REPEATS, sizeof took[0], by_seconds);
        printf("%5d %-22s %8.2fs %8.3fs %8.3fs %7.0fus  %.2fx (%.2f to %.2f), %s, %.0f %% of the floor", tuned[i].task,
               vt_task_name(t), ready, took[0], took[REPEATS / 2], a.v.runtime_us, a.v.speedup, a.v.speedup_lo,
               a.v.speedup_hi, outcome(&a), 100 * a.v.roofline);
        const double eager = eager_us(eager_file, vt_eval_machine(e), tuned[i].task, scale);
        if (eager > 0 && a.v.baseline_us > 0)
            printf("; eager %.0fus: %.2fx (%.2f to %.2f)", eager, a.v.speedup * eager / a.v.baseline_us,
                   a.v.speedup_lo * eager / a.v.baseline_us, a.v.speedup_hi * eager / a.v.baseline_us);
        printf("\n");
    }
}

/* A lane's time by task: the texts come round and round in one order. */
static void where_it_went(const struct answer *a, int n, const int *tasks, int n_tasks)
{
    printf("    a candidate's ms on the lane (check + timing):");
    for (int k = 0; k < n_tasks; k++) {
        double check = 0, timing = 0;
        int seen = 0;
        for (int i = k; i < n; i += n_tasks, seen++) {
            check += a[i].check_ms;
            timing += a[i].time_ms;
        }
        if (seen)
            printf("%s %d: %.1f + %.1f", k ? "," : "", tasks[k], check / seen, timing / seen);
    }
    printf("\n");
}

/* Rounds of candidates, all queued at once. Before the clock so many are checked that every lane has met every task. */
static void rate(vt_eval *e, const struct tasks *all, const char *scale, const char *what, const int *tasks,
                 char *const *text, int n_tasks)
{
    static struct answer a[MOST_TASKS * (VARIANTS + WARM)];
    static int serial;
    char code[16384];
    struct waiting w;
    for (int skip = 0; skip < 2; skip++) {
        double from = 0;
        int n = 0, n_right = 0;
        for (int round = 0; round < 2; round++) { /* warm, then counted */
            waiting_init(&w);
            n = 0;
            from = now_s();
            for (int v = 0; v < (round ? VARIANTS : skip ? 0 : WARM); v++)
                for (int k = 0; k < n_tasks; k++) {
                    variant(text[k], ++serial, code, sizeof code);
                    n += submit(e, &w, task_of(all, tasks[k]), code, scale, skip || !round, &a[n]);
                }
            wait_for(&w, n);
        }
        const double took = now_s() - from;
        for (int i = 0; i < n; i++)
            n_right += a[i].status == VT_OK && a[i].v.correct;
        printf("  %s: %d candidates, %d correct, in %.2f s: %.1f a second (%s)\n", what, n, n_right, took, n / took,
               skip ? "checked, not timed" : "checked and timed");
        if (!skip)
            where_it_went(a, n, tasks, n_tasks);
    }
}

static void search(vt_eval *e, const struct tasks *all, const char *scale)
{
    char *text[MOST_TASKS];
    int tasks[MOST_TASKS], n = 0;
    vt_err err = {0};
    printf("candidates a second at scale %s\n", scale);
    for (int k = 0; k < N_EVALUATION; k++) {
        vt_task *t = task_of(all, evaluation[k]);
        if (t && vt_eval_prompt("cuda", t, NULL, &text[n], &err) == VT_OK)
            tasks[n++] = evaluation[k];
    }
    rate(e, all, scale, "the shown texts of 20 mixed tasks", tasks, text, n);
    for (int k = 0; k < n; k++)
        free(text[k]);
    n = 0;
    for (int k = 0; k < n_tuned && n < MOST_TASKS; k++)
        if (task_of(all, tuned[k].task)) {
            text[n] = tuned[k].code;
            tasks[n++] = tuned[k].task;
        }
    rate(e, all, scale, "kernels written for speed, mixed", tasks, text, n);
}

int main(int argc, char **argv)
{
    static struct tasks all;
    vt_eval *e = NULL;
    vt_err err = {0};
    const struct vt_eval_opts o = {.tier = "cuda", .no_cache = true};
    if (argc < 4) {
        printf("usage: bench_eval TASKS.jsonl KERNELS EAGER.jsonl [full] [search]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    read_tasks(argv[1], &all);
    n_tuned = read_kernels(argv[2], tuned);
    eager_file = argv[3];
    if (vt_eval_open(&o, &e, &err) != VT_OK) {
        printf("FAIL open: %s\n", err.msg);
        return 1;
    }
    printf("%s on %s, %d tasks, %d kernels\n", vt_eval_version(e), vt_eval_machine(e), all.n, n_tuned);
    const char *scale = getenv("SCALE");
    for (int i = argc > 4 ? 4 : 3; i < argc; i++) {
        const char *what = argc > 4 ? argv[i] : "";
        if (!*what || strcmp(what, "full") == 0)
            full(e, &all, scale ? scale : "full");
        if (!*what || strcmp(what, "search") == 0)
            search(e, &all, scale ? scale : "search");
    }
    vt_eval_close(e);
    return 0;
}
