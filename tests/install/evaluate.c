/* SPDX-License-Identifier: Apache-2.0
 *
 * evaluate.c: the C API in one page. Judges C code for a task: is it correct, how much faster is it than the baseline?
 *
 *   cc evaluate.c $(pkg-config --cflags --libs vegttt) -lpthread -o evaluate
 *   ./evaluate TASK.json CODE.c          TASK.json as include/vegttt/task.h describes it
 *
 * Prints the verdict's status, its speedup and its feedback; the exit code is 0 when the code is correct.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <vegttt/eval.h>

/* An evaluation ends on a thread of the evaluator, which calls back; the main thread waits for that. */
struct answer {
    pthread_mutex_t lock;
    pthread_cond_t has_come;
    int is_there, is_correct;
};

static void on_verdict(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct answer *a = arg;
    if (status == VT_OK)
        printf("%s %.2f\n%s\n", vt_verdict_status_name(v->status), v->speedup, v->feedback);
    else
        fprintf(stderr, "evaluate: %s\n", err->msg);
    pthread_mutex_lock(&a->lock);
    a->is_correct = status == VT_OK && v->correct;
    a->is_there = 1;
    pthread_cond_signal(&a->has_come);
    pthread_mutex_unlock(&a->lock);
}

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *text = f ? malloc(1 << 20) : NULL;
    *len = text ? fread(text, 1, 1 << 20, f) : 0;
    if (f)
        fclose(f);
    else
        perror(path);
    return text;
}

static int judge(vt_eval *eval, vt_task *task, const char *code, size_t len, vt_err *err)
{
    struct answer answer = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    struct vt_eval_request request = {0};
    request.task = task;
    request.code = code;
    request.code_len = len;
    request.protocol = VT_PROTOCOL_FAST;
    request.scale = "cpu";
    if (vt_eval_submit(eval, &request, on_verdict, &answer, err) != VT_OK) {
        fprintf(stderr, "evaluate: %s\n", err->msg);
        return 0;
    }
    pthread_mutex_lock(&answer.lock);
    while (!answer.is_there)
        pthread_cond_wait(&answer.has_come, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.is_correct;
}

int main(int argc, char **argv)
{
    struct vt_eval_opts opts = {0};
    vt_eval *eval = NULL;
    vt_task *task = NULL;
    vt_err err = {VT_OK, 0, NULL, ""};
    size_t task_len, code_len;
    int is_correct = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: evaluate TASK.json CODE.c\n");
        return 2;
    }
    char *task_text = read_file(argv[1], &task_len), *code = read_file(argv[2], &code_len);
    if (!task_text || !code)
        return 2;
    if (vt_task_parse(task_text, task_len, &task, &err) != VT_OK || vt_eval_open(&opts, &eval, &err) != VT_OK)
        fprintf(stderr, "evaluate: %s\n", err.msg);
    else
        is_correct = judge(eval, task, code, code_len, &err);
    vt_eval_close(eval);
    vt_task_unref(task);
    free(task_text);
    free(code);
    return is_correct ? 0 : 1;
}
