/* SPDX-License-Identifier: Apache-2.0
 *
 * truth.c: what a task's outputs must be, and how far an honest float program may be from it (DECISIONS.md section 1).
 *
 * The body becomes a C++ program in which float is a value-and-error type (truth_prelude.c). The program is compiled
 * once per content into `dir` (truth-<hash>, renamed into place, so that concurrent runs share it) and run as a child
 * with a deadline: a user's task may crash or loop without harm to the engine. Inputs and results travel through one
 * mapped file of mode 0600 in `dir`, removed as soon as the child has ended; candidates never see that folder.
 *
 *   bound = k u sqrt(r) + rtol |v| + atol max|v of the row|,  u = 2^-24
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "eval/c/truth_prelude.h"
#include "eval/task_parts.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COMPILE_TIMEOUT_S = 60, RUN_TIMEOUT_S = 20, MAX_SOURCE_BYTES = 4 << 20 };
_Static_assert((int)VT_TRUTH_MAX_ARRAYS == (int)VT_TASK_MAX_ARRAYS, "header and task agree");
_Static_assert((int)VT_TRUTH_MAX_SIZES == (int)VT_TASK_MAX_SIZES, "header and task agree");

struct vt_truth {
    vt_task *task;
    char *dir, *program;
    double timeout_s;
};

/* The first error line of the compiler, without the name of our file. */
struct first_error {
    char text[200];
};

/* Makes the temporary names of two threads differ that compile the same body at once. */
static atomic_int n_compiled;

static void on_compiler_line(void *arg, const char *line)
{
    struct first_error *first = arg;
    const char *e = strstr(line, "error:");
    if (e && !first->text[0])
        snprintf(first->text, sizeof first->text, "%s", e + strlen("error: "));
}

static void put_call(struct vt_buf *b, const vt_task *t)
{
    const char *comma = "";
    vt_buf_puts(b, "static void vt_call(void **a, const int *s)\n{\n    (void)s;\n    ");
    vt_buf_printf(b, "%s(", t->name);
    for (size_t i = 0; i < t->n_arrays; i++, comma = ", ")
        vt_buf_printf(b, "%s(%s *)a[%zu]", comma, vt_dtype_c_name(t->array[i].dtype), i);
    for (size_t i = 0; i < t->n_scalars; i++)
        if (t->scalar[i].is_int)
            vt_buf_printf(b, ", %d", (int)t->scalar[i].value);
        else
            vt_buf_printf(b, ", vt_real(%a)", (double)(float)t->scalar[i].value);
    for (size_t i = 0; i < t->n_sizes; i++)
        vt_buf_printf(b, ", s[%zu]", i);
    vt_buf_puts(b, ");\n}\n");
}

static vt_status make_source(const vt_task *t, struct vt_buf *b, vt_err *err)
{
    for (size_t i = 0; vt_truth_prelude[i]; i++)
        vt_buf_puts(b, vt_truth_prelude[i]);
    vt_buf_puts(b, t->helpers);
    vt_buf_printf(b, "\nstatic %s {\n", t->signature);
    vt_buf_puts(b, t->body);
    vt_buf_puts(b, "\n}\n");
    put_call(b, t);
    vt_buf_puts(b, vt_truth_main);
    return vt_buf_check(b, "the source of the truth", err);
}

static vt_status compile(const vt_task *t, const char *cxx, const struct vt_buf *source, const char *program,
                         vt_err *err)
{
    struct vt_buf cpp, exe;
    struct first_error first = {""};
    int code = -1;
    vt_buf_init(&cpp, 4096);
    vt_buf_init(&exe, 4096);
    int serial = atomic_fetch_add(&n_compiled, 1);
    vt_buf_printf(&cpp, "%s.%d-%d.cpp", program, (int)getpid(), serial);
    vt_buf_printf(&exe, "%s.%d-%d.tmp", program, (int)getpid(), serial);
    vt_status s = vt_buf_check(&exe, "the path of the truth program", err);
    if (s == VT_OK)
        s = vt_fs_write_atomic(cpp.p, source->p, source->len, err);
    /* C++ may assume that a loop ends; C may not, and the body is C. */
    const char *const argv[] = {cxx,   "-std=gnu++17", "-O2", "-ffp-contract=off", "-fno-finite-loops", "-w", "-o",
                                exe.p, cpp.p,          NULL};
    if (s == VT_OK)
        s = vt_child_run(argv, COMPILE_TIMEOUT_S, on_compiler_line, &first, &code, err);
    if (s == VT_OK && code != 0)
        s = first.text[0]
                ? vt_fail(err, VT_EFORMAT, "the body of task %s is not in the common subset of C and C++: %s", t->name,
                          first.text)
                : vt_fail(err, VT_EUNSUPPORTED, "%s could not compile the truth of task %s (exit %d); install g++", cxx,
                          t->name, code);
    if (s == VT_OK && rename(exe.p, program) != 0)
        s = vt_fail(err, VT_EIO, "cannot move the truth program to %s: %s", program, strerror(errno));
    unlink(cpp.p);
    unlink(exe.p);
    vt_buf_free(&cpp);
    vt_buf_free(&exe);
    return s;
}

static char *program_path(const char *dir, const char *cxx, const struct vt_buf *source)
{
    struct vt_sha256 h;
    char hex[VT_SHA256_HEX], name[VT_SHA256_HEX + 8];
    vt_sha256_init(&h);
    vt_hash_str(&h, "compiler", cxx);
    vt_hash_field(&h, "source", source->p, source->len);
    vt_sha256_hex(&h, hex);
    snprintf(name, sizeof name, "truth-%.32s", hex);
    return vt_path_join(dir, name);
}

vt_status vt_truth_new(vt_task *task, const struct vt_truth_opts *o, vt_truth **out, vt_err *err)
{
    struct vt_buf source;
    const char *cxx = o->cxx ? o->cxx : getenv("CXX");
    vt_truth *t = vt_alloc(sizeof *t);
    *out = NULL;
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory while preparing the truth of task %s", task->name);
    if (!cxx || !*cxx)
        cxx = "g++";
    vt_buf_init(&source, MAX_SOURCE_BYTES);
    t->task = vt_task_ref(task);
    t->timeout_s = o->timeout_s > 0 ? o->timeout_s : RUN_TIMEOUT_S;
    t->dir = vt_strdup(o->dir);
    vt_status s = t->dir ? vt_fs_mkdir_p(t->dir, err) : vt_fail(err, VT_ENOMEM, "out of memory");
    if (s == VT_OK)
        s = make_source(task, &source, err);
    if (s == VT_OK && !(t->program = program_path(t->dir, cxx, &source)))
        s = vt_fail(err, VT_ENOMEM, "out of memory");
    if (s == VT_OK && !vt_fs_exists(t->program))
        s = compile(task, cxx, &source, t->program, err);
    vt_buf_free(&source);
    if (s != VT_OK) {
        vt_truth_free(t);
        return s;
    }
    *out = t;
    return VT_OK;
}

void vt_truth_free(vt_truth *t)
{
    if (!t)
        return;
    vt_task_unref(t->task);
    free(t->dir);
    free(t->program);
    free(t);
}

/* ---- one run ---- */

static int64_t reserve(struct vt_truth_header *h, int64_t bytes)
{
    int64_t at = (h->total_bytes + 63) / 64 * 64;
    h->total_bytes = at + bytes;
    return at;
}

/* Places every array in the data file. The layout was checked: n_elem * 16 fits in int64. */
static void plan_file(const vt_task *t, const vt_layout *l, struct vt_truth_header *h)
{
    memset(h, 0, sizeof *h);
    h->magic = VT_TRUTH_MAGIC;
    h->n_arrays = (int64_t)t->n_arrays;
    h->n_sizes = (int64_t)t->n_sizes;
    h->total_bytes = (int64_t)sizeof *h;
    for (size_t i = 0; i < t->n_sizes; i++)
        h->size[i] = l->size[i];
    for (size_t i = 0; i < t->n_arrays; i++) {
        const struct vt_task_array *a = &t->array[i];
        int64_t n = l->array[i].n_elem, bytes = (int64_t)l->array[i].bytes;
        h->array[i].is_float = a->dtype == VT_F32;
        h->array[i].n_elem = n;
        h->array[i].elem_bytes = (int64_t)vt_dtype_size(a->dtype);
        h->array[i].in = vt_role_is_input(a->role) ? reserve(h, bytes) : 0;
        if (vt_role_is_output(a->role) && a->dtype == VT_F32) {
            h->array[i].value = reserve(h, n * 8);
            h->array[i].r = reserve(h, n * 8);
        } else if (vt_role_is_output(a->role)) {
            h->array[i].out = reserve(h, bytes);
        }
    }
}

static vt_status open_data(const char *dir, int64_t bytes, char path[], size_t n_path, char **map, vt_err *err)
{
    snprintf(path, n_path, "%s/data-XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return vt_fail(err, VT_EIO, "cannot create a file for the truth in %s: %s", dir, strerror(errno));
    *map = MAP_FAILED;
    /* posix_fallocate, so that a full disk is an error here and not a bus error later. */
    int no_space = posix_fallocate(fd, 0, bytes);
    if (no_space == 0)
        *map = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int why = no_space ? no_space : errno;
    close(fd);
    if (*map != MAP_FAILED)
        return VT_OK;
    unlink(path);
    return vt_fail(err, VT_EIO, "cannot reserve %lld bytes for the truth in %s: %s", (long long)bytes, dir,
                   strerror(why));
}

static void set_bounds(const vt_task *t, const struct vt_layout_array *l, const double *r, struct vt_expect_array *e)
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
                is_exact ? 0 : t->k * u * sqrt(r[i]) + t->rtol * (v < float_limit ? v : 0) + t->atol * largest;
        }
    }
}

static int64_t raw_int(const char *p, enum vt_dtype dtype, int64_t i)
{
    int32_t i32;
    int64_t i64;
    if (dtype == VT_U8)
        return ((const unsigned char *)p)[i];
    if (dtype == VT_I32) {
        memcpy(&i32, p + i * 4, sizeof i32);
        return i32;
    }
    memcpy(&i64, p + i * 8, sizeof i64);
    return i64;
}

static vt_status collect_array(const vt_task *t, const vt_layout *l, const struct vt_truth_header *h, const char *map,
                               size_t i, struct vt_expect_array *e, vt_err *err)
{
    size_t n = (size_t)l->array[i].n_elem;
    *e = (struct vt_expect_array){t->array[i].dtype, t->array[i].compare, (int64_t)n, NULL, NULL, NULL};
    if (e->dtype != VT_F32) {
        e->exact = vt_alloc_array(n, sizeof *e->exact);
        for (int64_t j = 0; e->exact && j < e->n_elem; j++)
            e->exact[j] = raw_int(map + h->array[i].out, e->dtype, j);
        return e->exact ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for the truth of task %s", t->name);
    }
    e->value = vt_alloc_array(n, sizeof *e->value);
    e->bound = vt_alloc_array(n, sizeof *e->bound);
    if (!e->value || !e->bound)
        return vt_fail(err, VT_ENOMEM, "out of memory for the truth of task %s", t->name);
    memcpy(e->value, map + h->array[i].value, n * sizeof *e->value);
    set_bounds(t, &l->array[i], (const double *)(const void *)(map + h->array[i].r), e);
    return VT_OK;
}

static vt_status run_program(const vt_truth *t, const char *data, vt_err *err)
{
    const char *const argv[] = {t->program, data, NULL};
    int code = -1;
    vt_status s = vt_child_run(argv, t->timeout_s, NULL, NULL, &code, err);
    if (s == VT_ETIMEOUT)
        return vt_fail(err, VT_ETIMEOUT, "the body of task %s did not end within %.0f s; make the task smaller",
                       t->task->name, t->timeout_s);
    if (s != VT_OK)
        return s;
    if (code == 2 || code == 3)
        return vt_fail(err, VT_EIO, "the truth program of task %s could not %s", t->task->name,
                       code == 2 ? "read its data file" : "get memory for its arrays");
    if (code != 0)
        return vt_fail(err, VT_EFORMAT, "the body of task %s crashed on valid inputs; check its array indices",
                       t->task->name);
    return VT_OK;
}

vt_status vt_truth_run(vt_truth *t, const char *scale, const void *const buf[], struct vt_expect *out, vt_err *err)
{
    struct vt_truth_header h;
    vt_layout l;
    char path[4096], *map;
    memset(out, 0, sizeof *out);
    VT_TRY(vt_task_layout(t->task, scale, &l, err));
    plan_file(t->task, &l, &h);
    VT_TRY(open_data(t->dir, h.total_bytes, path, sizeof path, &map, err));
    memcpy(map, &h, sizeof h);
    for (size_t i = 0; i < l.n_arrays; i++)
        if (h.array[i].in)
            memcpy(map + h.array[i].in, buf[i], l.array[i].bytes);
    vt_status s = run_program(t, path, err);
    out->n_arrays = l.n_arrays;
    for (size_t i = 0; i < l.n_arrays && s == VT_OK; i++)
        if (vt_role_is_output(t->task->array[i].role))
            s = collect_array(t->task, &l, &h, map, i, &out->array[i], err);
    munmap(map, (size_t)h.total_bytes);
    unlink(path);
    if (s != VT_OK)
        vt_expect_free(out);
    return s;
}

void vt_expect_free(struct vt_expect *e)
{
    for (size_t i = 0; i < e->n_arrays; i++) {
        free(e->array[i].value);
        free(e->array[i].bound);
        free(e->array[i].exact);
    }
    memset(e, 0, sizeof *e);
}
