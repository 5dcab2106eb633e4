/* SPDX-License-Identifier: Apache-2.0
 *
 * truth.c: the truth of DECISIONS.md section 1, made in the jail.
 *
 * The body becomes a C++ function in which float is a value-and-error type (truth_prelude.c), compiled without the C++
 * library and linked into an image of the kind that candidates are. It is kept in `dir` (truth-<hash>, renamed into
 * place, so that concurrent runs share it); what is read back from there is inspected like any stranger's object. A run
 * is a call of it in a template (runner.h): inputs, converted here, in a file that it can only read; outputs in
 * another. A user's task may crash or loop without harm to the engine.
 *
 *   bound = k u sqrt(r) + rtol |v| + atol max|v of the row|,  u = 2^-24
 *
 * and for convolutions at least 4 u times what the same text makes of the magnitudes around (widen.h).
 */
#include "eval/c/truth.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "eval/c/build.h"
#include "eval/c/runner.h"
#include "eval/c/scratch.h"
#include "eval/c/spread.h"
#include "eval/c/truth_wide.h"
#include "eval/c/unit.h"
#include "eval/c/widen.h"
#include "eval/task_parts.h"
#include "eval/truth_prelude.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    COMPILE_WALL_S = 60,
    COMPILE_MEMORY_MIB = 2048,
    RUN_TIMEOUT_S = 20,
    MAX_SOURCE_BYTES = 4 << 20,
    MAX_OBJECT_BYTES = 16 << 20
};
_Static_assert((int)VT_TRUTH_MAX_ARRAYS == (int)VT_TASK_MAX_ARRAYS, "header and task agree");
_Static_assert((int)VT_TRUTH_MAX_SIZES == (int)VT_TASK_MAX_SIZES, "header and task agree");

/* C++ may assume that a loop ends; C may not, and the body is C. Without exceptions, run-time types and guards of
 * static variables nothing of the C++ library is missed. */
static const char *const flags[] = {"-std=gnu++17",
                                    "-O2",
                                    "-ffp-contract=off",
                                    "-fno-finite-loops",
                                    "-w",
                                    "-fdiagnostics-color=never",
                                    "-fno-exceptions",
                                    "-fno-rtti",
                                    "-fno-threadsafe-statics",
                                    "-fvisibility=hidden",
                                    "-c",
                                    "-fPIC",
                                    "-D_Thread_local=",
                                    "-D__thread=",
                                    "-fno-asynchronous-unwind-tables",
                                    "-ffunction-sections",
                                    "-fdata-sections",
                                    NULL};
/* Besides, of a unit: the headers of C, and its conversions of pointers. */
static const char *const unit_flags[] = {"-nostdinc++", "-fpermissive", NULL};
/* Of a unit whose truth is a spread (spread.c): C, in which the rounding mode counts. */
static const char *const spread_flags[] = {"-std=gnu17",
                                           "-O1",
                                           "-ffp-contract=off",
                                           "-frounding-math",
                                           "-w",
                                           "-fdiagnostics-color=never",
                                           "-fvisibility=hidden",
                                           "-c",
                                           "-fPIC",
                                           "-D_Thread_local=",
                                           "-D__thread=",
                                           "-fno-asynchronous-unwind-tables",
                                           NULL};

struct vt_truth {
    vt_task *task;
    struct vt_broker *broker;
    vt_lease *lease;
    double timeout_s;
    bool allow_unsafe;
    unsigned char *object;
    size_t object_len;
    bool is_spread, is_wide; /* how a unit's truth is made: both have the layout of spread.h */
    /* of the run before */
    struct vt_truth_header header;
    struct vt_spread_header spread;
    double step[VT_TASK_MAX_ARRAYS]; /* vt_spread_collect */
    struct vt_plan plan;
    size_t in_bytes, va_bytes; /* what the runner can take */
    int in_fd;
    void *in_map;
    struct vt_outputs outputs;
    struct vt_runner *runner;
};

/* s: the sizes, then the bits of the float scalars, where they are not part of the text. */
static void put_call(struct vt_buf *b, const vt_task *t)
{
    const char *comma = "";
    size_t n_floats = 0;
    if (vt_plan_takes_scalars(t))
        vt_buf_puts(b, "typedef decltype(0.0f) vt_single;\n"
                       "static inline vt_real vt_scalar(int bits)\n{\n    vt_single x;\n"
                       "    __builtin_memcpy(&x, &bits, sizeof x);\n    return vt_real((decltype(0.0))x);\n}\n");
    vt_buf_puts(b, "static void vt_call(void **a, const int *s)\n{\n    (void)s;\n    ");
    vt_buf_printf(b, "%s(", t->has_unit ? VT_UNIT_ENTRY : t->name);
    for (size_t i = 0; i < t->n_arrays; i++, comma = ", ")
        vt_buf_printf(b, "%s(%s *)a[%zu]", comma, vt_dtype_c_name(t->array[i].dtype), i);
    for (size_t i = 0; i < t->n_scalars; i++)
        if (t->scalar[i].is_int)
            vt_buf_printf(b, ", %d", (int)t->scalar[i].value);
        else if (vt_plan_takes_scalars(t))
            vt_buf_printf(b, ", vt_scalar(s[%zu])", t->n_sizes + n_floats++);
        else
            vt_buf_printf(b, ", vt_real(%a)", (double)(float)t->scalar[i].value);
    for (size_t i = 0; i < t->n_sizes; i++)
        vt_buf_printf(b, ", s[%zu]", i);
    vt_buf_puts(b, ");\n}\n");
}

/* A unit in which double means double: it is an input, or a result. */
static bool is_wide(const vt_task *t)
{
    for (size_t i = 0; t->has_unit && t->unit.truth == VT_UNIT_TEXT && i < t->n_arrays; i++)
        if (t->array[i].dtype == VT_F64)
            return true;
    return false;
}

static vt_status make_source(const vt_task *t, struct vt_buf *b, vt_err *err)
{
    if (t->has_unit && t->unit.truth == VT_UNIT_SPREAD) {
        vt_spread_source(t, b);
        return vt_buf_check(b, "the source of the truth", err);
    }
    const char *const *prelude = is_wide(t) ? vt_truth_wide_prelude : vt_truth_prelude;
    if (t->has_unit)
        vt_buf_puts(b, vt_unit_text_headers);
    for (size_t i = 0; prelude[i]; i++)
        vt_buf_puts(b, prelude[i]);
    if (t->has_unit) {
        vt_unit_put_text_truth(t, b);
    } else {
        vt_buf_puts(b, t->helpers);
        vt_buf_printf(b, "\nstatic %s {\n", t->signature);
        vt_buf_puts(b, t->body);
        vt_buf_puts(b, "\n}\n");
    }
    put_call(b, t);
    vt_buf_puts(b, is_wide(t) ? vt_truth_wide_entry : vt_truth_entry);
    return vt_buf_check(b, "the source of the truth", err);
}

static vt_status make_source_file(const struct vt_buf *source, int *fd, vt_err *err)
{
    void *map;
    VT_TRY(vt_memfile_make("source", source->len, fd, &map, err));
    memcpy(map, source->p, source->len);
    munmap(map, source->len);
    return VT_OK;
}

static vt_status judge_spread(const vt_task *t, const struct vt_build *b, vt_err *err)
{
    if (b->end == VT_BUILD_OK)
        return VT_OK;
    return vt_fail(err, VT_EFORMAT, "the unit of task %s does not compile as C: %s", t->name,
                   b->diagnostics.n     ? b->diagnostics.item[0].text
                   : b->info.refused[0] ? b->info.refused
                                        : "the compiler gave up");
}

static vt_status judge_build(const vt_task *t, const char *cxx, struct vt_build *b, vt_err *err)
{
    switch (b->end) {
    case VT_BUILD_OK:
        return VT_OK;
    case VT_BUILD_TIMEOUT:
        return vt_fail(err, VT_EFORMAT, "the body of task %s takes %s longer than %d s; make it simpler", t->name, cxx,
                       COMPILE_WALL_S);
    case VT_BUILD_REFUSED:
        return vt_fail(err, VT_EFORMAT, "the body of task %s compiles as C++, but %s", t->name, b->info.refused);
    case VT_BUILD_CRASHED:
    case VT_BUILD_FAILED:
        break;
    }
    if (strstr(b->log, "undefined reference"))
        return vt_fail(err, VT_EFORMAT,
                       "the body of task %s is not in the common subset of C and C++: it needs a function that is "
                       "neither the task's nor one that kernels can call",
                       t->name);
    if (b->diagnostics.n)
        return vt_fail(err, VT_EFORMAT, "the body of task %s is not in the common subset of C and C++: %s", t->name,
                       b->diagnostics.item[0].text);
    return vt_fail(err, VT_EUNSUPPORTED, "%s could not compile the truth of task %s; install g++", cxx, t->name);
}

static vt_status compile(vt_truth *t, const char *cxx, const struct vt_buf *source, const char *path, vt_err *err)
{
    enum { MAX_ARGS = 64 };
    const char *argv[MAX_ARGS];
    static const char product[] = "truth.o";
    const char *const *base = t->is_spread ? spread_flags : flags;
    struct vt_compile c = {argv, product, VT_TRUTH_SYMBOL, -1, COMPILE_WALL_S, COMPILE_WALL_S, COMPILE_MEMORY_MIB};
    struct vt_build b = {0};
    char program[512];
    int n = 0;
    if (!vt_program_find(cxx, program))
        return vt_fail(err, VT_EUNSUPPORTED, "cannot find %s, which compiles the truth of task %s; install g++", cxx,
                       t->task->name);
    argv[n++] = program;
    for (int i = 0; base[i]; i++)
        argv[n++] = base[i];
    for (int i = 0; t->task->has_unit && !t->is_spread && unit_flags[i]; i++)
        argv[n++] = unit_flags[i];
    for (int i = 0; t->task->has_unit && i < t->task->unit.n_flags; i++)
        if (vt_unit_flag_is_of_language(t->task->unit.flag[i], t->is_spread))
            argv[n++] = t->task->unit.flag[i];
    const char *const tail[] = {"-o", product, t->is_spread ? "-xc" : "-xc++", "-", NULL};
    memcpy(argv + n, tail, sizeof tail);
    VT_TRY(make_source_file(source, &c.source_fd, err));
    vt_status s = vt_compile_run(t->broker, t->lease, &c, &b, err);
    close(c.source_fd);
    if (s == VT_OK)
        s = t->is_spread ? judge_spread(t->task, &b, err) : judge_build(t->task, cxx, &b, err);
    if (s == VT_OK)
        s = vt_fs_write_atomic(path, b.object, b.object_len, err);
    if (s == VT_OK) {
        t->object = b.object;
        t->object_len = b.object_len;
        b.object = NULL;
    }
    vt_build_free(&b);
    return s;
}

static char *object_path(const vt_truth *t, const char *dir, const char *cxx, const struct vt_buf *source)
{
    const char *const *base = t->is_spread ? spread_flags : flags;
    struct vt_sha256 h;
    char hex[VT_SHA256_HEX], name[VT_SHA256_HEX + 8];
    vt_sha256_init(&h);
    vt_hash_str(&h, "compiler", cxx);
    for (int i = 0; base[i]; i++)
        vt_hash_str(&h, "flag", base[i]);
    for (int i = 0; t->task->has_unit && i < t->task->unit.n_flags; i++)
        vt_hash_str(&h, "own flag", t->task->unit.flag[i]);
    vt_hash_field(&h, "source", source->p, source->len);
    vt_sha256_hex(&h, hex);
    snprintf(name, sizeof name, "truth-%.32s", hex);
    return vt_path_join(dir, name);
}

/* False when there is none, or none that may be loaded: it is made again then. */
static bool find_kept(vt_truth *t, const char *path)
{
    struct vt_buf bytes;
    struct vt_object_info info = {0};
    if (!vt_fs_exists(path) || vt_fs_read(path, MAX_OBJECT_BYTES, &bytes, NULL) != VT_OK)
        return false;
    t->object_len = bytes.len;
    t->object = (unsigned char *)vt_buf_take(&bytes, NULL);
    vt_buf_free(&bytes);
    if (t->object)
        vt_object_inspect(t->object, t->object_len, &info);
    if (t->object && !info.refused[0])
        return true;
    free(t->object);
    t->object = NULL;
    return false;
}

vt_status vt_truth_new(vt_task *task, const struct vt_truth_opts *o, vt_truth **out, vt_err *err)
{
    struct vt_buf source;
    bool is_spread = task->has_unit && task->unit.truth == VT_UNIT_SPREAD;
    const char *cxx = is_spread ? (o->cc ? o->cc : getenv("CC")) : o->cxx ? o->cxx : getenv("CXX");
    char *path = NULL;
    *out = NULL;
    if (!o->allow_unsafe)
        VT_TRY(vt_jail_floor(vt_broker_jail(o->broker), err));
    vt_truth *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory while preparing the truth of task %s", task->name);
    if (!cxx || !*cxx)
        cxx = is_spread ? "cc" : "g++";
    t->is_spread = is_spread;
    t->is_wide = is_wide(task);
    vt_buf_init(&source, MAX_SOURCE_BYTES);
    t->task = vt_task_ref(task);
    t->broker = o->broker;
    t->lease = o->lease;
    t->timeout_s = o->timeout_s > 0 ? o->timeout_s : RUN_TIMEOUT_S;
    t->allow_unsafe = o->allow_unsafe;
    t->in_fd = t->outputs.fd = -1;
    vt_status s = vt_fs_mkdir_p(o->dir, err);
    if (s == VT_OK)
        s = make_source(task, &source, err);
    if (s == VT_OK && !(path = object_path(t, o->dir, cxx, &source)))
        s = vt_fail(err, VT_ENOMEM, "out of memory while preparing the truth of task %s", task->name);
    if (s == VT_OK && !find_kept(t, path))
        s = compile(t, cxx, &source, path, err);
    vt_buf_free(&source);
    free(path);
    if (s != VT_OK) {
        vt_truth_free(t);
        return s;
    }
    *out = t;
    return VT_OK;
}

static void drop_runner(vt_truth *t)
{
    vt_runner_close(t->runner);
    t->runner = NULL;
    vt_memfile_free(&t->in_fd, &t->in_map, t->in_bytes);
    vt_outputs_free(&t->outputs);
}

void vt_truth_free(vt_truth *t)
{
    if (!t)
        return;
    drop_runner(t);
    vt_task_unref(t->task);
    free(t->object);
    free(t);
}

/* ---- one run ---- */

static int64_t reserve(size_t *total, int64_t bytes)
{
    size_t at = (*total + 63) / 64 * 64;
    *total = at + (size_t)bytes;
    return (int64_t)at;
}

/* Places every array in the two files. The layout was checked: n_elem * 16 fits in int64. */
static vt_status place(vt_truth *t, const vt_layout *l, const float *floats, vt_err *err)
{
    const vt_task *task = t->task;
    struct vt_truth_header *h = &t->header;
    size_t in = t->is_spread || t->is_wide ? sizeof t->spread : sizeof *h, out = 0;
    memset(h, 0, sizeof *h);
    if (t->is_spread || t->is_wide)
        vt_spread_place(task, l, t->is_wide ? VT_TRUTH_WIDE : 0, &t->spread, &in, &out);
    h->n_arrays = (int64_t)task->n_arrays;
    h->n_sizes = (int64_t)task->n_sizes;
    for (size_t i = 0; i < task->n_sizes; i++)
        h->size[i] = l->size[i];
    for (size_t i = 0, n = 0; i < task->n_scalars && vt_plan_takes_scalars(task); i++) {
        if (task->scalar[i].is_int)
            continue;
        float value = floats ? floats[n] : (float)task->scalar[i].value;
        int32_t bits;
        memcpy(&bits, &value, sizeof bits);
        h->size[h->n_sizes++] = bits;
        n++;
    }
    for (size_t i = 0; i < task->n_arrays && !t->is_spread && !t->is_wide; i++) {
        const struct vt_task_array *a = &task->array[i];
        int64_t n = l->array[i].n_elem;
        bool is_float = a->dtype == VT_F32;
        h->array[i].is_float = is_float;
        h->array[i].n_elem = n;
        h->array[i].bytes = is_float ? n * (int64_t)sizeof(struct vt_truth_real) : (int64_t)l->array[i].bytes;
        h->array[i].in = vt_role_is_input(a->role) ? reserve(&in, h->array[i].bytes) : -1;
        h->array[i].out = vt_role_is_output(a->role) ? reserve(&out, h->array[i].bytes) : -1;
    }
    memset(&t->plan, 0, sizeof t->plan);
    VT_TRY(vt_plan_add(&t->plan, in, true, false, err));
    VT_TRY(vt_plan_add(&t->plan, out, false, true, err));
    vt_plan_close(&t->plan);
    return VT_OK;
}

/* A template with files that fit this layout. Twice what the first run needs, since the drawn sizes of a pool (sizes.h)
 * are up to twice as large as the scale's own, and there are many. */
static vt_status open_runner(vt_truth *t, const vt_layout *l, const float *floats, vt_err *err)
{
    char load_error[256];
    VT_TRY(place(t, l, floats, err));
    if (t->runner && t->plan.in_bytes <= t->in_bytes && t->plan.out_bytes <= t->outputs.bytes &&
        t->plan.va_bytes <= t->va_bytes && vt_runner_is_alive(t->runner))
        return VT_OK;
    drop_runner(t);
    t->in_bytes = 2 * t->plan.in_bytes;
    t->va_bytes = 2 * t->plan.va_bytes;
    VT_TRY(vt_memfile_make("truth inputs", t->in_bytes, &t->in_fd, &t->in_map, err));
    VT_TRY(vt_outputs_fit(&t->outputs, 2 * t->plan.out_bytes, err));
    const struct vt_runner_opts o = {.broker = t->broker,
                                     .object = t->object,
                                     .object_len = t->object_len,
                                     .in_fd = t->in_fd,
                                     .va_bytes = t->va_bytes,
                                     .outputs = {&t->outputs, NULL},
                                     .allow_unsafe = t->allow_unsafe};
    VT_TRY(vt_runner_open(&o, &t->runner, load_error, err));
    if (!t->runner)
        return vt_fail(err, VT_EFORMAT, "the truth of task %s does not load: %s", t->task->name, load_error);
    return VT_OK;
}

static void put_inputs(vt_truth *t, const void *const buf[])
{
    unsigned char *to = (unsigned char *)t->in_map + t->plan.array[0].in_at + t->plan.array[0].data;
    if (t->is_spread || t->is_wide) {
        memcpy(to, &t->spread, sizeof t->spread);
        for (size_t i = 0; i < t->task->n_arrays; i++)
            if (t->spread.array[i].in >= 0)
                memcpy(to + t->spread.array[i].in, buf[i], (size_t)t->spread.array[i].bytes);
        return;
    }
    memcpy(to, &t->header, sizeof t->header);
    for (size_t i = 0; i < t->task->n_arrays; i++) {
        if (t->header.array[i].in < 0)
            continue;
        unsigned char *at = to + t->header.array[i].in;
        if (!t->header.array[i].is_float) {
            memcpy(at, buf[i], (size_t)t->header.array[i].bytes);
            continue;
        }
        struct vt_truth_real *x = (struct vt_truth_real *)(void *)at;
        const float *from = buf[i];
        for (int64_t j = 0; j < t->header.array[i].n_elem; j++)
            x[j] = (struct vt_truth_real){(double)from[j], 0};
    }
}

static void set_bounds(const vt_task *t, const struct vt_layout_array *l, const struct vt_truth_real *y,
                       struct vt_expect_array *e)
{
    const double u = 0x1p-24, float_limit = 0x1.ffffffp127;
    bool is_exact = e->compare != VT_BOUND;
    for (int64_t base = 0; base < e->n_elem; base += l->row) {
        double largest = 0;
        for (int64_t i = base; i < base + l->row; i++) {
            double v = fabs(e->value[i]);
            if (v >= float_limit)
                e->value[i] = copysign(INFINITY, e->value[i]);
            else if (v > largest)
                largest = v;
        }
        for (int64_t i = base; i < base + l->row; i++) {
            double v = fabs(e->value[i]);
            e->bound[i] =
                is_exact ? 0 : t->k * u * sqrt(y[i].r) + t->rtol * (v < float_limit ? v : 0) + t->atol * largest;
        }
    }
}

static vt_status collect_array(vt_truth *t, const vt_layout *l, size_t i, struct vt_expect_array *e, vt_err *err)
{
    const vt_task *task = t->task;
    const unsigned char *from = t->outputs.map + t->plan.array[1].out_at + t->plan.array[1].data;
    size_t n = (size_t)l->array[i].n_elem;
    if (t->is_spread || t->is_wide)
        return vt_spread_collect(task, &t->spread, i, from, l->array[i].row, t->is_wide ? task->k : 0, &t->step[i], e,
                                 err);
    from += t->header.array[i].out;
    *e = (struct vt_expect_array){task->array[i].dtype, task->array[i].compare, (int64_t)n, NULL, NULL, NULL, 0, 0};
    if (e->dtype != VT_F32) {
        e->exact = vt_alloc_array(n, sizeof *e->exact);
        for (int64_t j = 0; e->exact && j < e->n_elem; j++)
            e->exact[j] = vt_dtype_at(from, e->dtype, j);
        return e->exact ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for the truth of task %s", task->name);
    }
    const struct vt_truth_real *y = (const struct vt_truth_real *)(const void *)from;
    e->value = vt_alloc_array(n, sizeof *e->value);
    e->bound = vt_alloc_array(n, sizeof *e->bound);
    if (!e->value || !e->bound)
        return vt_fail(err, VT_ENOMEM, "out of memory for the truth of task %s", task->name);
    for (size_t j = 0; j < n; j++)
        e->value[j] = y[j].v;
    set_bounds(task, &l->array[i], y, e);
    return VT_OK;
}

static vt_status call(vt_truth *t, vt_err *err)
{
    const char *name = t->task->name;
    struct vt_call_result r;
    const struct vt_call_opts o = {.plan = &t->plan,
                                   .random = vt_now_ns(),
                                   .clock = VT_CLOCK_NONE,
                                   .cpu = -1,
                                   .deadline_ns = (uint64_t)(t->timeout_s * 1e9),
                                   .lease = t->lease};
    pid_t group = vt_runner_group(t->runner);
    vt_lease_child_add(t->lease, group);
    vt_status s = vt_runner_call(t->runner, &o, &r, err);
    vt_lease_child_del(t->lease, group);
    VT_TRY(s);
    switch (r.end) {
    case VT_CALL_DONE:
        return VT_OK;
    case VT_CALL_TIMEOUT:
        return vt_fail(err, VT_ETIMEOUT, "the body of task %s did not end within %.0f s; make the task smaller", name,
                       t->timeout_s);
    case VT_CALL_FORBIDDEN:
        return vt_fail(err, VT_EFORMAT, "the body of task %s made a system call (number %u); a kernel only computes",
                       name, r.syscall);
    case VT_CALL_SIGNAL:
    case VT_CALL_EXITED:
    case VT_CALL_LEFT:
        break;
    }
    return vt_fail(err, VT_EFORMAT, "the body of task %s crashed on valid inputs; check its array indices", name);
}

/* The inputs as the wider bound takes them, in place of those that are there. */
static vt_status put_wide(vt_truth *t, const vt_layout *l, const void *const buf[], vt_err *err)
{
    unsigned char *to = (unsigned char *)t->in_map + t->plan.array[0].in_at + t->plan.array[0].data;
    for (size_t i = 0; i < t->task->n_arrays; i++) {
        size_t n = (size_t)t->header.array[i].n_elem;
        if (t->header.array[i].in < 0 || !t->header.array[i].is_float)
            continue;
        struct vt_truth_real *x = (struct vt_truth_real *)(void *)(to + t->header.array[i].in);
        float *wide = vt_alloc_array(n + 1, sizeof *wide);
        bool is_made = wide && vt_widen_input(t->task, l, i, buf[i], wide);
        for (size_t j = 0; is_made && j < n; j++)
            x[j] = (struct vt_truth_real){(double)wide[j], 0};
        free(wide);
        if (!is_made)
            return vt_fail(err, VT_ENOMEM, "out of memory for the truth of task %s", t->task->name);
    }
    return VT_OK;
}

/* Widens the bounds of a convolution's truth: its inputs are in place, and are replaced. */
static vt_status widen(vt_truth *t, const vt_layout *l, const void *const buf[], struct vt_expect *e, vt_err *err)
{
    const double u = 0x1p-24;
    VT_TRY(put_wide(t, l, buf, err));
    VT_TRY(call(t, err));
    const unsigned char *from = t->outputs.map + t->plan.array[1].out_at + t->plan.array[1].data;
    for (size_t i = 0; i < e->n_arrays; i++) {
        struct vt_expect_array *a = &e->array[i];
        const struct vt_truth_real *y = (const struct vt_truth_real *)(const void *)(from + t->header.array[i].out);
        for (int64_t j = 0; a->bound && a->compare == VT_BOUND && j < a->n_elem; j++) {
            double bound = 4 * u * fabs(y[j].v);
            if (isfinite(bound) && bound > a->bound[j])
                a->bound[j] = bound;
        }
    }
    return VT_OK;
}

static bool is_beyond(const struct vt_expect_array *e)
{
    for (int64_t i = 0; e->value && i < e->n_elem; i++)
        if (!isfinite(e->value[i]))
            return true;
    return false;
}

vt_status vt_truth_run(vt_truth *t, const char *scale, const float *floats, const void *const buf[],
                       struct vt_expect *out, vt_err *err)
{
    vt_layout l;
    memset(out, 0, sizeof *out);
    VT_TRY(vt_task_layout(t->task, scale, &l, err));
    VT_TRY(open_runner(t, &l, floats, err));
    vt_lease_enter(t->lease);
    put_inputs(t, buf);
    vt_lease_leave(t->lease);
    vt_status s = call(t, err);
    vt_lease_enter(t->lease);
    out->n_arrays = l.n_arrays;
    for (size_t i = 0; i < l.n_arrays && s == VT_OK; i++)
        if (vt_role_is_output(t->task->array[i].role))
            s = collect_array(t, &l, i, &out->array[i], err);
    for (size_t i = 0; i < l.n_arrays && s == VT_OK; i++)
        out->is_beyond |= is_beyond(&out->array[i]);
    vt_lease_leave(t->lease);
    if (s == VT_OK && vt_task_is_convolution(t->task))
        s = widen(t, &l, buf, out, err);
    if (s != VT_OK)
        vt_expect_free(out);
    return s;
}
