/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_cost.c: what the jail costs a candidate. N times (default 200, or the first argument):
 *
 *   start    a template in the jail: fork, walls, object loaded and ready; later killed and collected
 *   call     one call in a fresh child: fork, mapping, warming, filter, the kernel itself, collection
 *   compile  the jailed compiler on the relu task, beside the same command line run without a jail
 *
 * Milliseconds, best and median (on a busy machine the best is nearer the truth). The jail's cost per candidate is
 * start + (compile - plain): all of `start` is counted as jail.
 */
#include "base/clock.h"
#include "eval/c/assemble.h"
#include "eval/c/build.h"
#include "eval/c/pool.h"
#include "eval/c/runner.h"
#include "eval/c/scratch.h"
#include "eval_fixture.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct cost {
    double best, median;
};

static struct cost cost_of(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return (struct cost){x[0], x[n / 2]};
}

static struct cost start_cost(const char *dir, const struct vt_build *build, struct vt_pool_sets *pool,
                              struct vt_outputs *outputs, int n, struct cost *call_cost)
{
    struct vt_broker *b;
    vt_err err;
    double *start = calloc((size_t)n, sizeof *start), *call = calloc((size_t)n, sizeof *call);
    CHECK_OK(vt_broker_open(dir, "jailed", 0, &b, &err), err);
    for (int i = 0; i < n; i++) {
        char load_error[256];
        struct vt_runner *r;
        const struct vt_runner_opts o = {.broker = b,
                                         .object = build->object,
                                         .object_len = build->object_len,
                                         .in_fd = pool->in_fd,
                                         .va_bytes = pool->va_bytes,
                                         .outputs = {outputs, NULL}};
        const struct vt_call_opts c = {.plan = pool->set[0].plan,
                                       .clock = VT_CLOCK_NONE,
                                       .random = (uint64_t)i,
                                       .cpu = -1,
                                       .deadline_ns = 5000000000ull};
        struct vt_call_result result;
        double from = vt_now_s();
        CHECK_OK(vt_runner_open(&o, &r, load_error, &err), err);
        double ready = vt_now_s();
        CHECK_OK(vt_runner_call(r, &c, &result, &err), err);
        double called = vt_now_s();
        vt_runner_close(r);
        start[i] = 1e3 * (vt_now_s() - called + ready - from);
        call[i] = 1e3 * (called - ready);
    }
    vt_broker_close(b);
    struct cost c = cost_of(start, n);
    *call_cost = cost_of(call, n);
    free(start);
    free(call);
    return c;
}

static double plain_compile(const struct vt_compiler *cc, const struct vt_buf *unit, const char *dir)
{
    const char *argv[40];
    int n = 0, status;
    char out[256], in[256];
    snprintf(in, sizeof in, "%s/plain.c", dir);
    snprintf(out, sizeof out, "%s/plain.so", dir);
    FILE *f = fopen(in, "w");
    fwrite(unit->p, 1, unit->len, f);
    fclose(f);
    argv[n++] = cc->path;
    for (int i = 0; vt_compile_flags[i]; i++)
        if (strcmp(vt_compile_flags[i], "-c") != 0)
            argv[n++] = vt_compile_flags[i];
    const char *const tail[] = {"-shared", "-o", out, in, "-lm", NULL};
    memcpy(argv + n, tail, sizeof tail);
    pid_t pid;
    double from = vt_now_s();
    CHECK_INT(posix_spawn(&pid, cc->path, NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    return 1e3 * (vt_now_s() - from);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 200, n_compiles = n < 40 ? n : 40;
    double jailed_ms[40], plain_ms[40];
    struct cost call;
    struct vt_owned dir;
    vt_err err;
    struct vt_compiler cc;
    struct vt_buf unit;
    struct vt_build build = {0};
    struct vt_broker *b;
    struct vt_truth *truth;
    struct vt_pool_sets pool;
    struct vt_outputs outputs = {-1, NULL, 0};
    vt_task *t = fixture_task("relu");
    static struct vt_pool rules;
    vt_pool_plan(&rules, t, "cpu", false, true, 1);
    CHECK_OK(vt_scratch_make(&dir, &err), err);
    CHECK_OK(vt_compiler_find(NULL, &cc, &err), err);
    CHECK_OK(vt_assemble_body(t, vt_task_body(t), &unit, &err), err);
    CHECK_OK(vt_broker_open(dir.path, "build", 0, &b, &err), err);
    struct vt_truth_opts o = {.dir = dir.path, .broker = b};
    CHECK_OK(vt_truth_new(t, &o, &truth, &err), err);
    CHECK_OK(vt_pool_sets_make(&rules, truth, NULL, &pool, &err), err);
    CHECK_OK(vt_outputs_fit(&outputs, pool.out_bytes, &err), err);
    if (test_failures_in_case)
        return 1;
    for (int i = 0; i < n_compiles; i++) {
        vt_build_free(&build);
        double from = vt_now_s();
        CHECK_OK(vt_build_run(b, &cc, NULL, NULL, unit.p, unit.len, vt_task_name(t), &build, &err), err);
        jailed_ms[i] = 1e3 * (vt_now_s() - from);
        plain_ms[i] = plain_compile(&cc, &unit, dir.path);
    }
    struct cost start = start_cost(dir.path, &build, &pool, &outputs, n, &call);
    struct cost jailed = cost_of(jailed_ms, n_compiles), plain = cost_of(plain_ms, n_compiles);
    printf("         best    median\nstart    %-7.2f %.2f\ncall     %-7.2f %.2f\ncompile  %-7.1f %.1f\nplain    %-7.1f "
           "%.1f\n",
           start.best, start.median, call.best, call.median, jailed.best, jailed.median, plain.best, plain.median);
    printf("the jail costs %.2f ms per candidate (best), %.2f (median)\n", start.best + jailed.best - plain.best,
           start.median + jailed.median - plain.median);
    vt_build_free(&build);
    vt_compiler_free(&cc);
    vt_pool_sets_free(&pool);
    vt_truth_free(truth);
    vt_outputs_free(&outputs);
    vt_broker_close(b);
    vt_buf_free(&unit);
    vt_task_unref(t);
    vt_owned_remove(&dir);
    return test_failures_in_case != 0;
}
