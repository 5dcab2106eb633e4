/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_rate.c: candidates per second. `bench_eval_rate FOLDER [N]` takes the .c files of a folder (each with a first
 * line `// task: NAME`, a task of eval_fixture.h; tests/hacks works, recorded samples of a policy are better), repeats
 * them up to N (default 500) with a comment that defeats every cache, and prints
 *
 *   compile  files per second when the compiler alone, with the evaluator's flags and on all cores, builds those that
 *            were found valid
 *   eval     verdicts per second at protocol fast, store off
 *
 * and the ratio of the two; the aim is 0.6.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/thread.h"
#include "eval/assemble.h"
#include "eval/build.h"
#include "eval_fixture.h"
#include <spawn.h>
#include <sys/wait.h>

struct candidate {
    vt_task *task;
    char *text;
    struct fixture_result result;
};
static struct candidate *all;
static int n_all, next_compile;
static char dir[] = "/tmp/vegttt-rate-XXXXXX";
static struct vt_compiler cc;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void load(const char *folder, int n)
{
    char **names, task[64];
    size_t n_names;
    vt_err err;
    CHECK_OK(vt_fs_list(folder, &names, &n_names, &err), err);
    all = calloc((size_t)n, sizeof *all);
    for (size_t i = 0; n_all < n && n_names > 0; i++) {
        struct vt_buf text;
        const char *name = names[i % n_names];
        size_t len = strlen(name);
        char *path = vt_path_join(folder, name);
        bool is_c = len > 2 && strcmp(name + len - 2, ".c") == 0;
        if (is_c && vt_fs_read(path, 1 << 20, &text, &err) == VT_OK) {
            const char *mark = strstr(text.p, "// task: ");
            snprintf(task, sizeof task, "%.*s", mark ? (int)strcspn(mark + 9, "\r\n") : 0, mark ? mark + 9 : "");
            struct candidate *c = &all[n_all];
            size_t size = text.len + 32;
            c->task = fixture_task(task);
            c->text = malloc(size);
            snprintf(c->text, size, "/* %d */ %s", n_all, text.p);
            n_all += c->task != NULL;
            vt_buf_free(&text);
        }
        free(path);
        if (i > 100000)
            break;
    }
    vt_fs_list_free(names, n_names);
}

static double evaluate(void)
{
    vt_eval *e;
    vt_err err;
    struct vt_eval_opts o = {0};
    CHECK_OK(vt_eval_open(&o, &e, &err), err);
    for (int i = 0; i < n_all && i < 40; i++) { /* tasks made ready, not counted */
        struct fixture_result r;
        fixture_judge(e, all[i].task, vt_task_body(all[i].task), (struct vt_eval_request){0}, &r);
        fixture_result_free(&r);
    }
    double from = vt_now_s();
    for (int i = 0; i < n_all; i++) {
        fixture_result_init(&all[i].result);
        struct vt_eval_request r = {.task = all[i].task, .code = all[i].text, .code_len = strlen(all[i].text)};
        CHECK_OK(vt_eval_submit(e, &r, fixture_done, &all[i].result, &err), err);
    }
    for (int i = 0; i < n_all; i++)
        fixture_wait(&all[i].result);
    double s = vt_now_s() - from;
    vt_eval_close(e);
    return s;
}

static bool is_valid(const struct candidate *c)
{
    return c->result.status == VT_OK && c->result.v.status >= VT_RUNTIME_ERROR;
}

static void *compile_some(void *arg)
{
    extern char **environ;
    (void)arg;
    for (;;) {
        char in[128], out[128];
        const char *argv[48];
        int n = 0, status;
        pid_t pid;
        pthread_mutex_lock(&lock);
        while (next_compile < n_all && !is_valid(&all[next_compile]))
            next_compile++;
        int i = next_compile++;
        pthread_mutex_unlock(&lock);
        if (i >= n_all)
            return NULL;
        snprintf(in, sizeof in, "%s/%d.c", dir, i);
        snprintf(out, sizeof out, "%s/%d.so", dir, i);
        argv[n++] = cc.path;
        for (int k = 0; vt_compile_flags[k]; k++)
            argv[n++] = vt_compile_flags[k];
        const char *const tail[] = {"-o", out, in, "-lm", NULL};
        memcpy(argv + n, tail, sizeof tail);
        if (posix_spawn(&pid, cc.path, NULL, NULL, (char *const *)(uintptr_t)argv, environ) == 0)
            waitpid(pid, &status, 0);
    }
}

static double compile_alone(int *n_valid)
{
    pthread_t threads[64];
    int n_threads = vt_cpu_count() < 64 ? vt_cpu_count() : 64;
    vt_err err;
    *n_valid = 0;
    for (int i = 0; i < n_all; i++) {
        struct vt_code code;
        struct vt_buf unit;
        char path[128];
        if (!is_valid(&all[i]))
            continue;
        *n_valid += 1;
        CHECK_OK(vt_extract(all[i].text, strlen(all[i].text), vt_task_name(all[i].task), false, &code, &err), err);
        CHECK_OK(vt_assemble(all[i].task, &code, &unit, &err), err);
        snprintf(path, sizeof path, "%s/%d.c", dir, i);
        CHECK_OK(vt_fs_write_atomic(path, unit.p, unit.len, &err), err);
        vt_buf_free(&unit);
        vt_code_free(&code);
    }
    double from = vt_now_s();
    for (int i = 0; i < n_threads; i++)
        pthread_create(&threads[i], NULL, compile_some, NULL);
    for (int i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    return vt_now_s() - from;
}

int main(int argc, char **argv)
{
    vt_err err;
    int n_valid, by_status[VT_FLAGGED + 1] = {0};
    if (argc < 2) {
        printf("usage: bench_eval_rate FOLDER [N]\n");
        return 2;
    }
    load(argv[1], argc > 2 ? (int)strtol(argv[2], NULL, 10) : 500);
    CHECK_OK(vt_compiler_find(NULL, &cc, &err), err);
    CHECK(mkdtemp(dir) != NULL);
    double eval_s = evaluate();
    double compile_s = compile_alone(&n_valid);
    for (int i = 0; i < n_all; i++)
        by_status[all[i].result.v.status]++;
    for (int s = 0; s <= VT_FLAGGED; s++)
        if (by_status[s])
            printf("%s %d  ", vt_verdict_status_name((vt_verdict_status)s), by_status[s]);
    printf("\neval     %d in %.1f s: %.1f per second\ncompile  %d in %.1f s: %.1f per second\nratio    %.2f\n", n_all,
           eval_s, n_all / eval_s, n_valid, compile_s, n_valid / compile_s, n_all / eval_s / (n_valid / compile_s));
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    return test_failures_in_case != 0;
}
