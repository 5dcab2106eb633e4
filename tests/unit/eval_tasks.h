/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_tasks.h: what the tests of tasks share: all task files as vt_task (through lua and tests/lua/tasks_json.lua),
 * bodies compiled into one shared object and called in this process (task files are ours, so no jail), and buffers
 * with NaN margins that show a read or a write outside an array. A failure of any of these is a failed CHECK and a
 * NULL result.
 */
#ifndef VT_TEST_EVAL_TASKS_H
#define VT_TEST_EVAL_TASKS_H

#include "base/buf.h"
#include "base/fs.h"
#include "eval/c/compare.h"
#include "eval/c/inputs.h"
#include "eval/c/scratch.h"
#include "eval/c/truth.h"
#include "eval/check.h"
#include "eval/dists.h"
#include "eval/task_parts.h"
#include "harness.h"
#include "loop/loop.h"
#include <dlfcn.h>

enum { MARGIN = 256, MAX_TASKS = 160 };

struct task_list {
    vt_task *t[MAX_TASKS];
    size_t n;
};

static const char *work_dir(void)
{
    static char dir[64];
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "/tmp/vegttt-test-XXXXXX");
        if (!mkdtemp(dir))
            dir[0] = '\0';
    }
    return dir;
}

static struct vt_owned work_scratch;
static struct vt_broker *work_jail;

/* The jail that compiles and runs truths, opened when first asked for. */
static inline struct vt_broker *work_broker(void)
{
    vt_err err = {0};
    if (work_jail)
        return work_jail;
    CHECK_OK(vt_scratch_make(&work_scratch, &err), err);
    CHECK_OK(vt_broker_open(work_scratch.path, "truth", 0, &work_jail, &err), err);
    return work_jail;
}

static inline void remove_work_dir(void)
{
    vt_err err = {0};
    vt_broker_close(work_jail);
    vt_owned_remove(&work_scratch);
    work_jail = NULL;
    CHECK_OK(vt_fs_remove_tree(work_dir(), &err), err);
}

/* Task files are Lua; tests of a folder below bind/ have no Lua of their own. */
static inline bool has_lua(void)
{
    return system("command -v lua5.4 >/dev/null 2>&1 || command -v lua >/dev/null 2>&1") == 0;
}
#define NEEDS_LUA()                                                                                                    \
    do {                                                                                                               \
        if (!has_lua())                                                                                                \
            SKIP("there is no lua5.4 interpreter to read the task files");                                             \
    } while (0)

/* Reads the task files matching a shell pattern below lua/tasks ("l1", "l1/019_relu.lua"). */
static inline struct task_list load_tasks(const char *what)
{
    struct task_list list = {{NULL}, 0};
    vt_err err = {0};
    char command[1024], *line = NULL;
    size_t cap = 0;
    ssize_t len;
    snprintf(command, sizeof command,
             "$(command -v lua5.4 || command -v lua) '" VT_SOURCE_DIR "/tests/lua/tasks_json.lua' '" VT_SOURCE_DIR
             "/lua/tasks/%s'",
             what);
    FILE *pipe = popen(command, "r");
    CHECK(pipe != NULL);
    while (pipe && (len = getline(&line, &cap, pipe)) > 0 && list.n < MAX_TASKS) {
        CHECK_OK(vt_task_parse(line, (size_t)len, &list.t[list.n], &err), err);
        if (list.t[list.n])
            list.n++;
    }
    free(line);
    CHECK_INT(pipe ? pclose(pipe) : 1, 0);
    return list;
}

static inline void free_tasks(struct task_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        vt_task_unref(list->t[i]);
    list->n = 0;
}

/* ---- compiled bodies ---- */

/* The same task at its cpu sizes alone. A null candidate is written for one shape: crashing on another is no refusal.
 */
static inline vt_task *at_one_shape(const vt_task *t)
{
    const char *text = vt_task_json(t);
    struct vt_buf b;
    vt_json *doc = NULL;
    vt_task *out = NULL;
    vt_layout l;
    vt_err err;
    vt_buf_init(&b, 1 << 20);
    CHECK_OK(vt_json_parse(text, strlen(text), "a task", &doc, &err), err);
    CHECK_OK(vt_task_layout(t, "cpu", &l, &err), err);
    vt_json *sizes = vt_json_object(), *range = vt_json_object();
    vt_json_put(sizes, "cpu", vt_json_clone(vt_json_get(vt_json_get(doc, "sizes"), "cpu")));
    for (size_t i = 0; i < l.n_sizes; i++) {
        vt_json *only = vt_json_array();
        vt_json_push(only, vt_json_new_num(l.size[i]));
        vt_json_push(only, vt_json_new_num(l.size[i]));
        vt_json_put(range, vt_task_size_name(t, i), only);
    }
    vt_json_put(doc, "sizes", sizes);
    vt_json_put(doc, "range", range);
    CHECK_OK(vt_json_write(doc, true, &b, &err), err);
    CHECK_OK(vt_task_parse(b.p, b.len, &out, &err), err);
    vt_json_free(doc);
    vt_buf_free(&b);
    return out;
}

typedef void body_fn(void *const *arrays, const int *sizes);

static inline void put_body(struct vt_buf *b, const vt_task *t, const char *body, size_t k)
{
    vt_buf_printf(b, "static void f%zu%s {\n%s\n}\n", k, strchr(vt_task_signature(t), '('), body);
    vt_buf_printf(b, "void call%zu(void *const *a, const int *s)\n{\n    f%zu(", k, k);
    for (size_t i = 0; i < vt_task_n_arrays(t); i++)
        vt_buf_printf(b, "%sa[%zu]", i ? ", " : "", i);
    for (size_t i = 0; i < vt_task_n_scalars(t); i++)
        vt_buf_printf(b, vt_task_scalar(t, i)->is_int ? ", %.0f" : ", %af", vt_task_scalar(t, i)->value);
    for (size_t i = 0; i < t->n_sizes; i++)
        vt_buf_printf(b, ", s[%zu]", i);
    vt_buf_puts(b, ");\n}\n");
}

static void print_line(void *arg, const char *line)
{
    (void)arg;
    printf("    %s\n", line);
}

/* Compiles n bodies of a task with -O`level`; fn[k] is body k. Returns the handle for dlclose. */
static inline void *build_bodies(const vt_task *t, const char *const *body, size_t n, int level, body_fn **fn)
{
    static int serial;
    struct vt_buf b;
    vt_err err = {0};
    char src[128], so[128], opt[8];
    int code = -1;
    snprintf(src, sizeof src, "%s/%d.c", work_dir(), serial);
    snprintf(so, sizeof so, "%s/%d.so", work_dir(), serial++);
    snprintf(opt, sizeof opt, "-O%d", level);
    vt_buf_init(&b, 8 << 20);
    vt_buf_printf(&b, "#include <float.h>\n#include <limits.h>\n#include <math.h>\n%s\n", vt_task_helpers(t));
    for (size_t k = 0; k < n; k++)
        put_body(&b, t, body[k], k);
    CHECK_OK(vt_fs_write_atomic(src, b.p, b.len, &err), err);
    vt_buf_free(&b);
    const char *cc = getenv("CC") ? getenv("CC") : "cc";
    const char *const argv[] = {
        cc, opt, "-march=native", "-fopenmp-simd", "-std=gnu17", "-w", "-shared", "-fPIC", "-o", so, src, "-lm", NULL};
    CHECK_OK(vt_child_run(argv, 120, print_line, NULL, &code, &err), err);
    CHECK_INT(code, 0);
    void *handle = code == 0 ? dlopen(so, RTLD_NOW | RTLD_LOCAL) : NULL;
    CHECK(handle != NULL);
    for (size_t k = 0; handle && k < n; k++) {
        char name[32];
        snprintf(name, sizeof name, "call%zu", k);
        void *symbol = dlsym(handle, name);
        memcpy(&fn[k], &symbol, sizeof symbol);
        CHECK(symbol != NULL);
    }
    return handle;
}

/* ---- buffers ---- */

struct buffers {
    void *at[VT_TASK_MAX_ARRAYS];
    unsigned char *raw[VT_TASK_MAX_ARRAYS];
};

static inline void buffers_new(const vt_layout *l, struct buffers *b)
{
    for (size_t i = 0; i < l->n_arrays; i++) {
        b->raw[i] = malloc(l->array[i].bytes + 2 * MARGIN);
        memset(b->raw[i], 0xff, l->array[i].bytes + 2 * MARGIN);
        b->at[i] = b->raw[i] + MARGIN;
    }
}

static inline void buffers_free(const vt_layout *l, struct buffers *b)
{
    for (size_t i = 0; i < l->n_arrays; i++)
        free(b->raw[i]);
}

/* Poisons the pure outputs. */
static inline void buffers_poison(const vt_task *t, const vt_layout *l, struct buffers *b)
{
    for (size_t i = 0; i < l->n_arrays; i++)
        if (vt_task_array(t, i)->role == VT_OUT)
            memset(b->at[i], 0xff, l->array[i].bytes);
}

static inline bool margins_intact(const vt_layout *l, const struct buffers *b)
{
    for (size_t i = 0; i < l->n_arrays; i++)
        for (size_t j = 0; j < MARGIN; j++)
            if (b->raw[i][j] != 0xff || b->raw[i][MARGIN + l->array[i].bytes + j] != 0xff)
                return false;
    return true;
}

#endif
