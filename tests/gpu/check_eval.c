/* SPDX-License-Identifier: Apache-2.0
 *
 * check_eval.c: the cuda tier on a GPU: check_eval TASKS.jsonl KERNELS [honest] [nulls] [bugs] [faults] [cheats] [aa]
 * (none = all). KERNELS: the folder of kernels written for speed.
 *
 *   honest   the shown text of every task is accepted, on every distribution and the irregular sizes
 *   nulls    null candidates of the evaluation tasks are refused
 *   bugs     honest mistakes (bugs.h) in the shown text of every task and in the kernels written for speed: refused;
 *            those that are not are listed
 *   faults   candidates that poison the context, do not end, or ask for too much: the right word, and the next verdict
 *   cheats   what reaches outside its outputs or remembers earlier calls
 *   aa       the shown texts against themselves, 200 times: how far from 1
 */
#include "bugs.h"
#include "eval_tools.h"
#include <math.h>

static const int evaluation[] = {4, 5, 12, 14, 15, 18, 28, 29, 30, 32, 36, 55, 65, 70, 76, 82, 87, 89, 95, 98};
enum { N_EVALUATION = sizeof evaluation / sizeof evaluation[0] };

static int n_passed, n_failed;
static const char *scale = "search";

static void check(bool ok, const char *what, const char *detail)
{
    n_passed += ok;
    n_failed += !ok;
    if (!ok)
        printf("FAIL %s: %s\n", what, detail);
}

static char *shown(const vt_task *t)
{
    char *text = NULL;
    vt_err err = {0};
    if (vt_eval_prompt("cuda", t, NULL, &text, &err) != VT_OK)
        printf("  %s\n", err.msg);
    return text;
}

static void honest(vt_eval *e, const struct tasks *all)
{
    printf("honest: the shown text of each task at scale %s\n", scale);
    for (int i = 0; i < all->n; i++) {
        struct answer a;
        char *text = shown(all->t[i]), what[96];
        snprintf(what, sizeof what, "honest %d %.60s", vt_task_id(all->t[i]), vt_task_name(all->t[i]));
        const double from = now_s();
        if (text)
            judge(e, all->t[i], text, scale, true, &a);
        const bool ok = text && a.status == VT_OK && a.v.correct;
        printf("  %3d %-28s %-14s worst %.3g  %.2f s\n", vt_task_id(all->t[i]), vt_task_name(all->t[i]),
               text ? outcome(&a) : "no text", text ? a.v.worst : 0, now_s() - from);
        check(ok, what, text ? (a.status == VT_OK ? a.feedback : a.err.msg) : "no text");
        free(text);
    }
}

static void nulls(vt_eval *e, const struct tasks *all)
{
    int n_refused = 0, n_blind = 0, n_all = 0;
    printf("nulls of the evaluation tasks at scale %s\n", scale);
    for (int k = 0; k < N_EVALUATION; k++) {
        vt_task *t = task_of(all, evaluation[k]);
        char *text = t ? shown(t) : NULL;
        struct null list[24];
        struct answer a[24];
        struct waiting w;
        if (!text)
            continue;
        waiting_init(&w);
        int n = null_list(t, text, list), n_sent = 0;
        for (int i = 0; i < n; i++)
            n_sent += submit(e, &w, t, list[i].code, scale, true, &a[i]);
        wait_for(&w, n_sent);
        for (int i = 0; i < n; i++) {
            char what[128];
            const char *blind = vt_task_blind(t, list[i].name);
            snprintf(what, sizeof what, "null %.50s of %d %.50s", list[i].name, vt_task_id(t), vt_task_name(t));
            const bool refused = a[i].status == VT_OK && a[i].v.status == VT_WRONG_OUTPUT;
            n_all++;
            n_refused += refused;
            n_blind += !refused && blind;
            check(refused || (blind && a[i].status == VT_OK), what,
                  a[i].status == VT_OK && a[i].v.correct ? "accepted"
                  : a[i].status == VT_OK                 ? a[i].feedback
                                                         : a[i].err.msg);
            free(list[i].code);
        }
        free(text);
    }
    printf("  %d of %d refused, %d accepted where the task says that no bound can tell\n", n_refused, n_all, n_blind);
}

/* Mutants that compute the same: what they change cannot be told by anybody. */
static const struct equal {
    int task;
    const char *line, *why;
} equals[] = {
    {23, "max = part[i * 1024 + 1]", "the maximum over all of them follows"},
    {24, "max = part[i * 1024 + 1]", "the maximum over all of them follows"},
    {95, "max = part[i * 32 + 1]", "the maximum over all of them follows"},
    {49, "for (int i = 1;", "the maximum begins with the first element"},
    {53, "for (int i = 1;", "the minimum begins with the first element"},
    {29, "> (1.01f * 20.0f)", "log(1 + exp(x)) is x there, to the last bit"},
    {97, "dot = 0.01f", "a softmax does not see what is added to all of its arguments"},
};

static const char *why_equal(int task, const char *line)
{
    const size_t n = strcspn(line, "\n");
    for (size_t i = 0; i < sizeof equals / sizeof equals[0]; i++)
        if (equals[i].task == task && memmem(line, n, equals[i].line, strlen(equals[i].line)))
            return equals[i].why;
    return NULL;
}

/* At most so many a text, spread over its mutants. */
enum { BUGS_A_TEXT = 5 };
struct bugs_count {
    int n, n_refused, n_built, n_equal, n_tasks;
};

static void bugs_of(vt_eval *e, vt_task *t, const char *of, const char *text, struct bugs_count *count)
{
    static struct bug_list list;
    static struct answer a[MOST_BUGS];
    struct waiting w;
    int n_sent = 0, sent[MOST_BUGS];
    bug_make(text, &list);
    waiting_init(&w);
    const int n = list.n < BUGS_A_TEXT ? list.n : BUGS_A_TEXT;
    for (int k = 0; k < n; k++) {
        const int i = k * list.n / n;
        if (submit(e, &w, t, list.bug[i].code, scale, true, &a[n_sent]))
            sent[n_sent++] = i;
    }
    wait_for(&w, n_sent);
    count->n_tasks += n_sent > 0;
    for (int k = 0; k < n_sent; k++) {
        const struct bug *b = &list.bug[sent[k]];
        const char *line = b->code;
        count->n++;
        if (a[k].status != VT_OK || a[k].v.status == VT_COMPILE_ERROR) {
            printf("  not judged: %d %s %s: %.200s\n", vt_task_id(t), of, b->rule,
                   a[k].status == VT_OK ? a[k].feedback : a[k].err.msg);
            continue;
        }
        for (int at = 1; at < b->line && line; at++)
            line = strchr(line, '\n') + 1;
        if (a[k].v.correct && why_equal(vt_task_id(t), line)) {
            printf("  the same: %d %s: %.*s (%s)\n", vt_task_id(t), b->rule, (int)strcspn(line, "\n"), line,
                   why_equal(vt_task_id(t), line));
            count->n_equal++;
            continue;
        }
        count->n_built++;
        count->n_refused += !a[k].v.correct;
        if (a[k].v.correct)
            printf("  survived: %d %s, %s, %s: %.*s\n", vt_task_id(t), vt_task_name(t), of, b->rule,
                   (int)strcspn(line, "\n"), line);
    }
    for (int i = 0; i < list.n; i++)
        free(list.bug[i].code);
}

static void bugs(vt_eval *e, const struct tasks *all, const struct tuned *tuned, int n_tuned)
{
    struct bugs_count count = {0};
    printf("honest mistakes at scale %s\n", scale);
    for (int i = 0; i < all->n; i++) {
        char *text = shown(all->t[i]);
        if (text)
            bugs_of(e, all->t[i], "shown text", text, &count);
        free(text);
    }
    const int n_tasks = count.n_tasks;
    for (int i = 0; i < n_tuned; i++)
        if (task_of(all, tuned[i].task))
            bugs_of(e, task_of(all, tuned[i].task), "kernel", tuned[i].code, &count);
    const double share = count.n_built ? 100.0 * count.n_refused / count.n_built : 0;
    printf("  %d mutants of %d tasks, %d of them computing the same, %d judged, %d refused: %.2f %%\n", count.n,
           n_tasks, count.n_equal, count.n_built, count.n_refused, share);
    check(share >= 99, "honest mistakes", "fewer than 99 % are refused");
}

#define HEAD                                                                                                           \
    "extern \"C\" __global__ void k(const float *x, float *y, int n)\n{\n"                                             \
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
#define PLAN "// launch k grid(ceil_div(n, 256)) block(256) args(x, y, n)\n"
#define RIGHT "    if (i < n)\n        y[i] = fmaxf(x[i], 0.0f);\n"

struct row {
    const char *name, *code;
    vt_verdict_status status;
};

static const struct row fault_rows[] = {
    {"illegal address", PLAN HEAD "    if (i == 77)\n        *(volatile int *)0x10 = 1;\n" RIGHT "}\n",
     VT_RUNTIME_ERROR},
    {"far out of bounds", PLAN HEAD RIGHT "    y[i + (1ll << 40)] = 1;\n}\n", VT_RUNTIME_ERROR},
    {"misaligned",
     PLAN HEAD RIGHT "    if (i == 0)\n        *(double *)((char *)y + 4) = *(double *)((char *)x + 1);\n}\n",
     VT_RUNTIME_ERROR},
    {"hang", PLAN HEAD "    volatile int *p = (volatile int *)y;\n    while (p[0] != 12345) { }\n}\n", VT_TIMED_OUT},
    {"trap", PLAN HEAD RIGHT "    if (i == 3)\n        asm volatile(\"trap;\");\n}\n", VT_RUNTIME_ERROR},
    {"printf flood", PLAN HEAD RIGHT "    if (i % 1024 == 0)\n        printf(\"%d %d %d %d\\n\", i, i, i, i);\n}\n",
     VT_CORRECT_SLOW},
    {"device malloc",
     PLAN HEAD RIGHT
     "    float *p = i < 64 ? (float *)malloc(1 << 20) : 0;\n    if (p && i == 3)\n        y[4] = p[0] * 0 + "
     "fmaxf(x[4], 0.0f);\n}\n",
     VT_CORRECT_SLOW},
    {"too much scratch", "// scratch s bytes(200000000000)\n" PLAN HEAD RIGHT "}\n", VT_LOAD_ERROR},
    {"absurd grid", "// launch k grid(n * n) block(256) args(x, y, n)\n" HEAD RIGHT "}\n", VT_LOAD_ERROR},
    {"absurd block", "// launch k grid(1) block(64, 64) args(x, y, n)\n" HEAD RIGHT "}\n", VT_LOAD_ERROR},
    {"too much shared memory", "// launch k grid(1) block(64) smem(300000) args(x, y, n)\n" HEAD RIGHT "}\n",
     VT_LOAD_ERROR},
    {"NaN", PLAN HEAD "    if (i < n)\n        y[i] = i == 5000 ? NAN : fmaxf(x[i], 0.0f);\n}\n", VT_WRONG_OUTPUT},
    {"nothing", PLAN HEAD "}\n", VT_WRONG_OUTPUT},
    {"deep recursion",
     "__device__ int f(int a) { volatile int b[256]; b[a % 256] = a; return a == 0 ? b[0] : f(a - 1) + b[a % 256]; "
     "}\n" PLAN HEAD "    if (i < n)\n        y[i] = (float)f(1000000 + i);\n}\n",
     VT_RUNTIME_ERROR},
};

static void faults(vt_eval *e, const struct tasks *all)
{
    vt_task *t = task_of(all, 19);
    struct answer a;
    printf("faults, and the next verdict after each\n");
    judge(e, t, PLAN HEAD RIGHT "}\n", scale, true, &a);
    check(a.status == VT_OK && a.v.correct, "an honest kernel", a.status == VT_OK ? a.feedback : a.err.msg);
    for (size_t i = 0; i < sizeof fault_rows / sizeof fault_rows[0]; i++) {
        const struct row *r = &fault_rows[i];
        char honest_text[1024], what[128];
        double from = now_s();
        judge(e, t, r->code, scale, true, &a);
        const double took = now_s() - from;
        const bool is_right =
            a.status == VT_OK && (r->status == VT_CORRECT_SLOW ? a.v.correct : a.v.status == r->status);
        printf("  %-24s %-14s %.2f s: %.140s\n", r->name, outcome(&a), took, a.status == VT_OK ? a.feedback : "");
        check(is_right, r->name, outcome(&a));
        snprintf(honest_text, sizeof honest_text, "%s    // %zu\n}\n", PLAN HEAD RIGHT, i);
        from = now_s();
        judge(e, t, honest_text, scale, true, &a);
        snprintf(what, sizeof what, "the verdict after: %s", r->name);
        printf("  %-24s %-14s %.2f s\n", "  then an honest one", outcome(&a), now_s() - from);
        check(a.status == VT_OK && a.v.correct, what, a.status == VT_OK ? a.feedback : a.err.msg);
    }
}

static const struct row cheat_rows[] = {
    {"writes its input", PLAN HEAD RIGHT "    if (i == 9)\n        ((float *)x)[5] = 3.0f;\n}\n", VT_RUNTIME_ERROR},
    {"makes the input its answer", PLAN HEAD "    if (i < n)\n        ((float *)x)[i] = y[i] = 0.0f;\n}\n",
     VT_RUNTIME_ERROR},
    {"one past the end", PLAN HEAD RIGHT "    if (i == n)\n        y[n] = 0.0f;\n}\n", VT_RUNTIME_ERROR},
    {"one before the start", PLAN HEAD RIGHT "    if (i == 0)\n        y[-1] = 0.0f;\n}\n", VT_RUNTIME_ERROR},
    {"works in the first call only",
     "__device__ int calls;\n" PLAN "// launch count grid(1) block(1) args(n)\n" HEAD
     "    if (i < n && calls == 0)\n        y[i] = fmaxf(x[i], 0.0f);\n}\n"
     "extern \"C\" __global__ void count(int n) { calls = n; }\n",
     VT_CORRECT_SLOW}, /* there is no second call that it could know of */
    {"first and last elements only",
     PLAN HEAD
     "    if (i < n)\n        y[i] = i < 4096 || i > n - 4096 || i % 64 == 0 ? fmaxf(x[i], 0.0f) : 0.0f;\n}\n",
     VT_WRONG_OUTPUT},
    {"half of the blocks", "// launch k grid(ceil_div(n, 512)) block(256) args(x, y, n)\n" HEAD RIGHT "}\n",
     VT_WRONG_OUTPUT},
};

static void cheats(vt_eval *e, const struct tasks *all)
{
    vt_task *t = task_of(all, 19);
    struct answer a;
    printf("cheats\n");
    for (size_t i = 0; i < sizeof cheat_rows / sizeof cheat_rows[0]; i++) {
        const struct row *r = &cheat_rows[i];
        judge(e, t, r->code, scale, false, &a);
        const bool is_right =
            a.status == VT_OK && (r->status == VT_CORRECT_SLOW ? a.v.correct : a.v.status == r->status);
        printf("  %-28s %-14s %.140s\n", r->name, outcome(&a), a.status == VT_OK ? a.feedback : "");
        check(is_right, r->name, outcome(&a));
    }
}

/* The same kernels beside one that is never launched: no copy to the evaluator, the same machine code to the device. */
static void aa(vt_eval *e, const struct tasks *all)
{
    enum { RUNS = 10 };
    double worst = 0;
    int n = 0, n_over = 0;
    printf("A/A: the shown texts of the evaluation tasks against themselves, at scale %s\n", scale);
    for (int k = 0; k < N_EVALUATION; k++) {
        vt_task *t = task_of(all, evaluation[k]);
        char *text = t ? shown(t) : NULL;
        double of_task = 0, us = 0, step = INFINITY;
        for (int i = 0; text && i < RUNS; i++) {
            char code[16384];
            struct answer a;
            snprintf(code, sizeof code, "%s\nextern \"C\" __global__ void vt_other(int *p)\n{\n    p[0] = %d;\n}\n",
                     text, i + 1);
            judge(e, t, code, scale, false, &a);
            if (a.status != VT_OK || !a.v.correct || a.v.is_copy) {
                check(false, "A/A", a.status == VT_OK ? a.feedback : a.err.msg);
                break;
            }
            const double off = fabs(log(a.v.speedup));
            of_task = fmax(of_task, off);
            us = a.v.runtime_us;
            step = fmin(step, a.step_ns);
            n_over += off > 0.005;
            n++;
        }
        printf("  %3d %-26s %8.1f us, worst of %d: %.3f %%; clock's step %.1f ns\n", evaluation[k],
               t ? vt_task_name(t) : "", us, RUNS, 100 * of_task, step);
        worst = fmax(worst, of_task);
        free(text);
    }
    printf("  worst of %d: %.3f %%, %d over 0.5 %%\n", n, 100 * worst, n_over);
}

int main(int argc, char **argv)
{
    static struct tasks all;
    vt_eval *e = NULL;
    vt_err err = {0};
    const struct vt_eval_opts o = {.tier = "cuda", .no_cache = true};
    static struct tuned tuned[MOST_TUNED];
    if (argc < 3) {
        printf("usage: check_eval TASKS.jsonl KERNELS [honest] [nulls] [bugs] [faults] [cheats] [aa]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    scale = getenv("SCALE") ? getenv("SCALE") : scale;
    read_tasks(argv[1], &all);
    const int n_tuned = read_kernels(argv[2], tuned);
    if (vt_eval_open(&o, &e, &err) != VT_OK) {
        printf("FAIL open: %s\n", err.msg);
        return 1;
    }
    printf("%s on %s, %d tasks\n", vt_eval_version(e), vt_eval_machine(e), all.n);
    for (int i = argc > 3 ? 3 : 2; i < argc; i++) {
        const char *what = argc > 3 ? argv[i] : "";
        if (!*what || strcmp(what, "faults") == 0)
            faults(e, &all);
        if (!*what || strcmp(what, "cheats") == 0)
            cheats(e, &all);
        if (!*what || strcmp(what, "honest") == 0)
            honest(e, &all);
        if (!*what || strcmp(what, "nulls") == 0)
            nulls(e, &all);
        if (!*what || strcmp(what, "bugs") == 0)
            bugs(e, &all, tuned, n_tuned);
        if (!*what || strcmp(what, "aa") == 0)
            aa(e, &all);
    }
    vt_eval_close(e);
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
