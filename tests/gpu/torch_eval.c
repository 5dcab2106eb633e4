/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_eval.c: the torch tier as a filter, for torch/matrix.py: lines "PROBLEM.py TAB CANDIDATE.py" in, a JSON object
 * a line out. One evaluator for all of them, as an experiment has it.
 */
#include "base/json.h"
#include "eval_tools.h"

static char *slurp(const char *path)
{
    struct vt_buf text;
    char *out = NULL;
    vt_err err = {0};
    if (vt_fs_read(path, 1 << 20, &text, &err) == VT_OK)
        out = vt_buf_take(&text, NULL);
    else
        fprintf(stderr, "%s\n", err.msg);
    vt_buf_free(&text);
    return out;
}

static vt_task *problem(const char *path)
{
    struct vt_buf json;
    vt_task *t = NULL;
    vt_err err = {0};
    char *text = slurp(path);
    vt_buf_init(&json, 1 << 21);
    vt_buf_puts(&json,
                "{\"id\":1,\"level\":1,\"name\":\"problem\",\"title\":\"problem\",\"family\":\"torch\",\"torch\":");
    if (text)
        vt_json_write_string(&json, text, strlen(text));
    vt_buf_puts(&json, "}");
    if (vt_task_parse(json.p, json.len, &t, &err) != VT_OK)
        fprintf(stderr, "%s: %s\n", path, err.msg);
    vt_buf_free(&json);
    free(text);
    return t;
}

int main(void)
{
    vt_eval *e = NULL;
    vt_err err = {0};
    char line[2048];
    const struct vt_eval_opts o = {.tier = "torch", .no_cache = true};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (vt_eval_open(&o, &e, &err) != VT_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        struct answer a;
        char *tab = strchr(line, '\t');
        line[strcspn(line, "\n")] = '\0';
        if (!tab)
            continue;
        *tab = '\0';
        vt_task *t = problem(line);
        char *code = slurp(tab + 1);
        if (!t || !code)
            continue;
        const double from = now_s();
        judge_on(e, t, code, "torch", NULL, false, &a);
        printf(
            "{\"status\": \"%s\", \"correct\": %s, \"speedup\": %.4f, \"us\": %.1f, \"ref_us\": %.1f, \"s\": %.3f}\n",
            a.status == VT_OK ? outcome(&a) : "no verdict", a.status == VT_OK && a.v.correct ? "true" : "false",
            a.v.speedup, a.v.runtime_us, a.v.baseline_us, now_s() - from);
        fprintf(stderr, "%s: %s\n", tab + 1, a.status == VT_OK ? a.feedback : a.err.msg);
        vt_task_unref(t);
        free(code);
    }
    vt_eval_close(e);
    return 0;
}
