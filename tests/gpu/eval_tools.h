/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_tools.h: what check_eval and bench_eval share: tasks read from a file of JSON lines (tests/lua/tasks_json.lua
 * writes it, so that no Lua is needed where the GPU is), verdicts waited for, and null candidates as CUDA text.
 *
 * Null candidates are made from a task's own text by its launch plan alone: a launch before it puts worse inputs into
 * scratch, which its launches then take instead of the arrays; or a launch behind it spoils the outputs.
 */
#ifndef VT_TEST_GPU_EVAL_TOOLS_H
#define VT_TEST_GPU_EVAL_TOOLS_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "eval/check.h"
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vegttt/eval.h>

enum { MAX_TASKS = 128 };
struct tasks {
    vt_task *t[MAX_TASKS];
    int n;
};

static inline void read_tasks(const char *path, struct tasks *out)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    vt_err err = {0};
    FILE *f = fopen(path, "r");
    out->n = 0;
    while (f && out->n < MAX_TASKS && (len = getline(&line, &cap, f)) > 0)
        if (vt_task_parse(line, (size_t)len, &out->t[out->n], &err) == VT_OK)
            out->n++;
        else
            printf("%s: %s\n", path, err.msg);
    free(line);
    if (f)
        fclose(f);
}

static inline vt_task *task_of(const struct tasks *all, int id)
{
    for (int i = 0; i < all->n; i++)
        if (vt_task_id(all->t[i]) == id)
            return all->t[i];
    return NULL;
}

/* Kernels written for speed: FOLDER/NNN_name.cu, by number. */
enum { MOST_TUNED = 64 };
struct tuned {
    int task;
    char *code;
};

static inline int by_task(const void *a, const void *b)
{
    return ((const struct tuned *)a)->task - ((const struct tuned *)b)->task;
}

static inline int read_kernels(const char *folder, struct tuned out[MOST_TUNED])
{
    struct dirent *d;
    DIR *dir = opendir(folder);
    int n = 0;
    while (dir && (d = readdir(dir)) != NULL && n < MOST_TUNED) {
        struct vt_buf text;
        char path[512];
        const char *end = strrchr(d->d_name, '.');
        if (!end || strcmp(end, ".cu") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
        if (vt_fs_read(path, 1 << 16, &text, NULL) == VT_OK)
            out[n++] = (struct tuned){(int)strtol(d->d_name, NULL, 10), vt_buf_take(&text, NULL)};
        vt_buf_free(&text);
    }
    if (dir)
        closedir(dir);
    qsort(out, (size_t)n, sizeof out[0], by_task);
    return n;
}

/* ---- verdicts ---- */

struct answer {
    pthread_mutex_t *lock;
    pthread_cond_t *changed;
    int *n_done;
    bool is_done;
    vt_status status;
    vt_err err;
    vt_verdict v;
    char feedback[400];
    double at, check_ms, time_ms; /* when it was there; on the lane */
    double step_ns;               /* of the clock, as its times show */
};
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n_done;
};

static inline double now_s(void)
{
    return (double)vt_now_ns() / 1e9;
}

static inline double number_in(const char *json, const char *name)
{
    const char *at = json ? strstr(json, name) : NULL;
    return at ? strtod(at + strlen(name), NULL) : 0;
}

/* The smallest step between two of the times of a record, in ns: the clock's. */
static inline double clock_step(const char *json)
{
    double x[1024], step = INFINITY;
    int n = 0;
    const char *p = json ? strstr(json, "\"trials\":[") : NULL;
    for (p = p ? p + 10 : NULL; p && *p != ']' && n < 1024; p = strpbrk(p + 1, ",]"))
        x[n++] = strtod(p + 1, NULL);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            step = x[i] != x[k] ? fmin(step, fabs(x[i] - x[k])) : step;
    return 1e3 * step;
}

static inline void on_done(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct answer *a = arg;
    pthread_mutex_lock(a->lock);
    a->status = status;
    if (err)
        a->err = *err;
    if (v) {
        a->v = *v;
        a->check_ms = number_in(v->json, "\"check_ms\":");
        a->time_ms = number_in(v->json, "\"time_ms\":");
        a->step_ns = clock_step(v->json);
        snprintf(a->feedback, sizeof a->feedback, "%s", v->feedback ? v->feedback : "");
    }
    a->is_done = true;
    a->at = now_s();
    ++*a->n_done;
    pthread_cond_signal(a->changed);
    pthread_mutex_unlock(a->lock);
}

static inline void waiting_init(struct waiting *w)
{
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->n_done = 0;
}

static inline bool submit_to(vt_eval *e, struct waiting *w, vt_task *t, const char *code, const char *tier,
                             const char *scale, bool skip_timing, struct answer *a)
{
    vt_err err = {0};
    *a = (struct answer){.lock = &w->lock, .changed = &w->changed, .n_done = &w->n_done};
    const struct vt_eval_request r = {.task = t,
                                      .code = code,
                                      .code_len = strlen(code),
                                      .tier = tier,
                                      .scale = scale,
                                      .skip_timing = skip_timing,
                                      .fresh = true};
    if (vt_eval_submit(e, &r, on_done, a, &err) == VT_OK)
        return true;
    printf("  cannot submit: %s\n", err.msg);
    return false;
}

static inline bool submit(vt_eval *e, struct waiting *w, vt_task *t, const char *code, const char *scale,
                          bool skip_timing, struct answer *a)
{
    return submit_to(e, w, t, code, "cuda", scale, skip_timing, a);
}

static inline void wait_for(struct waiting *w, int n)
{
    pthread_mutex_lock(&w->lock);
    while (w->n_done < n)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static inline void judge_on(vt_eval *e, vt_task *t, const char *code, const char *tier, const char *scale,
                            bool skip_timing, struct answer *a)
{
    struct waiting w;
    waiting_init(&w);
    if (submit_to(e, &w, t, code, tier, scale, skip_timing, a))
        wait_for(&w, 1);
    else
        a->status = VT_EINVAL;
}

static inline void judge(vt_eval *e, vt_task *t, const char *code, const char *scale, bool skip_timing,
                         struct answer *a)
{
    judge_on(e, t, code, "cuda", scale, skip_timing, a);
}

static inline const char *outcome(const struct answer *a)
{
    return a->status == VT_OK ? vt_verdict_status_name(a->v.status) : a->err.msg;
}

/* ---- null candidates ---- */

struct null {
    char name[64];
    char *code;
};

/* "(long long)(n) * (m)": elements of an array. */
static inline void put_count(struct vt_buf *b, const struct vt_task_array *a)
{
    for (int d = 0; d < a->n_dims; d++)
        vt_buf_printf(b, "%s%s(%s)", d ? " * " : "", d ? "" : "(long long)", a->shape[d]);
}

static inline void put_bytes(struct vt_buf *b, const struct vt_task_array *a)
{
    vt_buf_puts(b, "4");
    for (int d = 0; d < a->n_dims; d++)
        vt_buf_printf(b, " * (%s)", a->shape[d]);
}

static inline void put_sizes(struct vt_buf *b, const vt_task *t, const char *before)
{
    for (size_t i = 0; i < vt_task_n_sizes(t); i++)
        vt_buf_printf(b, ", %s%s", before, vt_task_size_name(t, i));
}

/* A kernel that does `statement` for every element i of array a, with the arrays `from` (const) and `to`. */
static inline void put_kernel(struct vt_buf *b, const vt_task *t, const char *name, const char *from_type,
                              const char *to_type, const struct vt_task_array *a, const char *statement)
{
    vt_buf_printf(b, "extern \"C\" __global__ void %s(const %s *vt_from, %s *vt_to", name, from_type, to_type);
    put_sizes(b, t, "int ");
    vt_buf_puts(b, ")\n{\n    const long long vt_n = ");
    put_count(b, a);
    vt_buf_printf(
        b,
        ";\n    for (long long vt_i = (long long)blockIdx.x * blockDim.x + threadIdx.x; vt_i < vt_n; vt_i += (long "
        "long)gridDim.x * blockDim.x)\n        %s\n}\n",
        statement);
}

/* The reference with inputs replaced in its launch lines by vt_NAME. */
static inline void put_replaced(struct vt_buf *b, const vt_task *t, const char *reference)
{
    for (const char *p = reference; *p;) {
        const char *end = strchr(p, '\n'), *stop = end ? end + 1 : p + strlen(p);
        const char *args = strncmp(p, "// launch", 9) == 0 ? memmem(p, (size_t)(stop - p), "args(", 5) : NULL;
        if (!args) {
            vt_buf_add(b, p, (size_t)(stop - p));
            p = stop;
            continue;
        }
        vt_buf_add(b, p, (size_t)(args + 5 - p));
        for (p = args + 5; p < stop;) {
            size_t n = strcspn(p, ",) \n");
            for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
                const struct vt_task_array *a = vt_task_array(t, i);
                if (vt_role_is_input(a->role) && a->dtype == VT_F32 && strlen(a->name) == n &&
                    memcmp(a->name, p, n) == 0)
                    vt_buf_puts(b, "vt_");
            }
            vt_buf_add(b, p, n);
            p += n;
            if (p < stop)
                vt_buf_putc(b, *p++);
        }
    }
}

static inline void add_null(struct null *list, int *n, const char *kind, const char *of, struct vt_buf *b)
{
    snprintf(list[*n].name, sizeof list[*n].name, "%s%s", kind, of);
    list[(*n)++].code = vt_buf_take(b, NULL);
    vt_buf_free(b);
}

static inline void outputs_null(const vt_task *t, struct null *list, int *n, const char *kind, const char *of,
                                const char *expression, const char *from, const char *from_type)
{
    struct vt_buf b;
    vt_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        const struct vt_task_array *a = vt_task_array(t, i);
        char name[80], statement[400];
        if (!vt_role_is_output(a->role))
            continue;
        snprintf(name, sizeof name, "vt_null_%s", a->name);
        vt_buf_printf(&b, "// launch %s grid(1024) block(256) args(%s, %s", name, from, a->name);
        put_sizes(&b, t, "");
        vt_buf_puts(&b, ")\n");
        snprintf(statement, sizeof statement, "vt_to[vt_i] = (%s)(%s);", vt_dtype_c_name(a->dtype), expression);
        put_kernel(&b, t, name, from_type, vt_dtype_c_name(a->dtype), a, statement);
    }
    add_null(list, n, kind, of, &b);
}

static inline void inputs_null(const vt_task *t, const char *reference, struct null *list, int *n, const char *kind,
                               const char *statement)
{
    struct vt_buf b;
    vt_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        const struct vt_task_array *a = vt_task_array(t, i);
        char name[80];
        if (!vt_role_is_input(a->role) || a->dtype != VT_F32)
            continue;
        snprintf(name, sizeof name, "vt_worse_%s", a->name);
        vt_buf_printf(&b, "// scratch vt_%s bytes(", a->name);
        put_bytes(&b, a);
        vt_buf_printf(&b, ")\n// launch %s grid(1024) block(256) args(%s, vt_%s", name, a->name, a->name);
        put_sizes(&b, t, "");
        vt_buf_puts(&b, ")\n");
        put_kernel(&b, t, name, "float", "float", a, statement);
    }
    put_replaced(&b, t, reference);
    add_null(list, n, kind, "", &b);
}

static inline void spoiled_null(const vt_task *t, const char *reference, struct null *list, int *n, const char *kind,
                                const char *statement)
{
    struct vt_buf b;
    vt_buf_init(&b, 1 << 20);
    vt_buf_puts(&b, reference);
    vt_buf_putc(&b, '\n');
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        const struct vt_task_array *a = vt_task_array(t, i);
        char name[80];
        if (!vt_role_is_output(a->role))
            continue;
        snprintf(name, sizeof name, "vt_spoil_%s", a->name);
        vt_buf_printf(&b, "// launch %s grid(1024) block(256) args(%s, %s", name, a->name, a->name);
        put_sizes(&b, t, "");
        vt_buf_puts(&b, ")\n");
        put_kernel(&b, t, name, vt_dtype_c_name(a->dtype), vt_dtype_c_name(a->dtype), a, statement);
    }
    add_null(list, n, kind, "", &b);
}

#define TO_HALF(x)                                                                                                     \
    "{ unsigned u = __float_as_uint(" x "); u = (u + 0x1000u) & 0xffffe000u; vt_to[vt_i] = __uint_as_float(u); }"

/* At most 24. */
static inline int null_list(const vt_task *t, const char *reference, struct null list[24])
{
    int n = 0;
    const struct vt_task_array *first = NULL;
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        const struct vt_task_array *a = vt_task_array(t, i);
        char expression[300];
        struct vt_buf count;
        if (!vt_role_is_input(a->role))
            continue;
        first = first ? first : a;
        vt_buf_init(&count, 1 << 12);
        put_count(&count, a);
        snprintf(expression, sizeof expression, "vt_from[vt_i %% (%s)]", count.p);
        vt_buf_free(&count);
        if (n < 6)
            outputs_null(t, list, &n, "copy_", a->name, expression, a->name, vt_dtype_c_name(a->dtype));
    }
    outputs_null(t, list, &n, "zeros", "", "0", first->name, vt_dtype_c_name(first->dtype));
    outputs_null(t, list, &n, "half", "", "0.5f", first->name, vt_dtype_c_name(first->dtype));
    outputs_null(t, list, &n, "ones", "", "1", first->name, vt_dtype_c_name(first->dtype));
    inputs_null(t, reference, list, &n, "half_inputs", TO_HALF("vt_from[vt_i]"));
    inputs_null(t, reference, list, &n, "abs_inputs", "vt_to[vt_i] = fabsf(vt_from[vt_i]);");
    inputs_null(t, reference, list, &n, "sampled", "vt_to[vt_i] = vt_from[vt_i / 8 * 8];");
    spoiled_null(t, reference, list, &n, "skip_last", "if (vt_i == vt_n - 1) vt_to[vt_i] = 0;");
    spoiled_null(t, reference, list, &n, "skip_tile", "if (vt_i >= vt_n - 16) vt_to[vt_i] = 0;");
    bool is_float = false;
    for (size_t i = 0; i < vt_task_n_arrays(t); i++)
        is_float |= vt_role_is_output(vt_task_array(t, i)->role) && vt_task_array(t, i)->dtype == VT_F32;
    if (is_float)
        spoiled_null(t, reference, list, &n, "half_outputs", TO_HALF("vt_from[vt_i]"));
    return n;
}

#endif
