/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_cuda_tasks.c: the CUDA text of a task is the same function as its C body. The texts are compiled for this CPU
 * (tests/gpu_double/device.h), launched as their plans say on the tiny sizes, and held against the truth of the C body
 * within the task's own bound, on every distribution. Texts that a task carries are all tried, of those that follow
 * from its body by the rule every eighth (VEGTTT_ALL=1: all).
 */
#include "eval/cuda/reference.h"
#include "eval_tasks.h"

typedef void call_fn(void **args);
struct dim {
    unsigned x, y, z;
};
struct text {
    vt_task *t;
    struct vt_buf source;
    struct vt_launch_plan plan;
    call_fn *call[VT_PLAN_MAX_LAUNCHES];
};
static struct dim *block, *thread, *grid, *size;

/* All texts in one object, each in a namespace of its own. */
static void put_text(struct vt_buf *b, const struct text *x, size_t number)
{
    vt_buf_printf(b, "namespace t%zu {\n", number);
    for (const char *p = x->source.p; *p;) {
        const char *next = strstr(p, "extern \"C\" ");
        vt_buf_add(b, p, next ? (size_t)(next - p) : strlen(p));
        p = next ? next + strlen("extern \"C\" ") : p + strlen(p);
    }
    vt_buf_puts(b, "\n}\n");
    for (unsigned i = 0; i < x->plan.n_launches; i++)
        vt_buf_printf(b,
                      "extern \"C\" __attribute__((visibility(\"default\"))) void call_%zu_%u(void **args)\n"
                      "{\n    vt_double::call(&t%zu::%s, args);\n}\n",
                      number, i, number, x->plan.launch[i].kernel);
}

static void *symbol(void *handle, const char *name)
{
    void *p = handle ? dlsym(handle, name) : NULL;
    CHECK(p != NULL);
    return p;
}

static bool build(struct text *x, size_t n)
{
    struct vt_buf b;
    vt_err err = {0};
    char src[128], so[128];
    int code = -1;
    snprintf(src, sizeof src, "%s/texts.cc", work_dir());
    snprintf(so, sizeof so, "%s/texts.so", work_dir());
    vt_buf_init(&b, 8 << 20);
    vt_buf_puts(&b, "#include \"device.h\"\n");
    for (size_t i = 0; i < n; i++)
        put_text(&b, &x[i], i);
    CHECK_OK(vt_fs_write_atomic(src, b.p, b.len, &err), err);
    vt_buf_free(&b);
    const char *const argv[] = {"g++",
                                "-std=c++17",
                                "-O1",
                                "-w",
                                "-ffp-contract=off",
                                "-shared",
                                "-fPIC",
                                "-I" VT_SOURCE_DIR "/tests/gpu_double",
                                "-o",
                                so,
                                src,
                                NULL};
    CHECK_OK(vt_child_run(argv, 120, print_line, NULL, &code, &err), err);
    CHECK_INT(code, 0);
    void *handle = code == 0 ? dlopen(so, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!handle)
        return false;
    block = symbol(handle, "vt_double_block");
    thread = symbol(handle, "vt_double_thread");
    grid = symbol(handle, "vt_double_grid");
    size = symbol(handle, "vt_double_size");
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < x[i].plan.n_launches; k++) {
            char name[64];
            snprintf(name, sizeof name, "call_%zu_%u", i, k);
            void *p = symbol(handle, name);
            memcpy(&x[i].call[k], &p, sizeof p);
        }
    return true;
}

static void launch(call_fn *call, const struct vt_launch_sizes *n, void **args)
{
    *grid = (struct dim){n->grid[0], n->grid[1], n->grid[2]};
    *size = (struct dim){n->block[0], n->block[1], n->block[2]};
    for (block->z = 0; block->z < n->grid[2]; block->z++)
        for (block->y = 0; block->y < n->grid[1]; block->y++)
            for (block->x = 0; block->x < n->grid[0]; block->x++)
                for (thread->z = 0; thread->z < n->block[2]; thread->z++)
                    for (thread->y = 0; thread->y < n->block[1]; thread->y++)
                        for (thread->x = 0; thread->x < n->block[0]; thread->x++)
                            call(args);
}

static void run(const struct text *x, const vt_layout *l, const struct vt_plan_sizes *sizes, struct buffers *b)
{
    void *scratch[VT_PLAN_MAX_SCRATCH] = {NULL};
    for (unsigned i = 0; i < x->plan.n_scratch; i++) {
        scratch[i] = malloc(sizes->scratch[i]);
        memset(scratch[i], 0xff, sizes->scratch[i]);
    }
    for (unsigned i = 0; i < x->plan.n_launches; i++) {
        const struct vt_plan_launch *p = &x->plan.launch[i];
        void *args[VT_PLAN_MAX_ARGS];
        float f[VT_PLAN_MAX_ARGS];
        int n[VT_PLAN_MAX_ARGS];
        for (unsigned k = 0; k < p->n_args; k++) {
            const unsigned at = p->arg[k].index;
            if (p->arg[k].kind == VT_ARG_ARRAY) {
                args[k] = &b->at[at];
            } else if (p->arg[k].kind == VT_ARG_SCRATCH) {
                args[k] = &scratch[at];
            } else if (p->arg[k].kind == VT_ARG_SIZE) {
                n[k] = l->size[at];
                args[k] = &n[k];
            } else {
                f[k] = (float)vt_task_scalar(x->t, at)->value;
                n[k] = (int)vt_task_scalar(x->t, at)->value;
                args[k] = vt_task_scalar(x->t, at)->is_int ? (void *)&n[k] : (void *)&f[k];
            }
        }
        launch(x->call[i], &sizes->launch[i], args);
    }
    for (unsigned i = 0; i < x->plan.n_scratch; i++)
        free(scratch[i]);
}

static void try_text(const struct text *x)
{
    const struct vt_truth_opts o = {.dir = work_dir(), .broker = work_broker()};
    static struct vt_plan_sizes sizes;
    vt_layout l;
    vt_truth *truth = NULL;
    vt_err err = {0};
    char why[256], where[200];
    struct buffers b;
    CHECK_OK(vt_task_layout(x->t, "cpu", &l, &err), err);
    CHECK(vt_launch_plan_at(&x->plan, x->t, "cpu", &sizes, why));
    CHECK_STR(why, "");
    CHECK_OK(vt_truth_new(x->t, &o, &truth, &err), err);
    buffers_new(&l, &b);
    for (int d = 0; truth && d < vt_task_n_dists(x->t); d++) {
        struct vt_expect e;
        struct vt_compare_result got = {0};
        CHECK_OK(vt_inputs_fill(x->t, "cpu", 11, 0, d, 0, b.at, &err), err);
        buffers_poison(x->t, &l, &b);
        CHECK_OK(vt_truth_run(truth, "cpu", NULL, (const void *const *)b.at, &e, &err), err);
        run(x, &l, &sizes, &b);
        vt_compare(&e, (const void *const *)b.at, &got);
        if (got.n_wrong) {
            vt_inputs_describe(x->t, d, 0, where, sizeof where);
            printf("  %d %s: %lld of %lld elements wrong, worst %.3g bounds, on %s\n", vt_task_id(x->t),
                   vt_task_name(x->t), (long long)got.n_wrong, (long long)got.n_checked, got.worst, where);
        }
        CHECK_INT(got.n_wrong, 0);
        vt_expect_free(&e);
    }
    CHECK(margins_intact(&l, &b));
    buffers_free(&l, &b);
    vt_truth_free(truth);
}

static void texts_compute_what_bodies_do(void)
{
    static struct text x[MAX_TASKS];
    size_t n = 0, n_own = 0, n_ruled = 0, n_without = 0;
    vt_err err = {0};
    char why[256];
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    for (size_t i = 0; i < list.n; i++) {
        const bool is_own = vt_task_cuda(list.t[i]) != NULL;
        if (!is_own && n_ruled++ % 8 != 0 && !getenv("VEGTTT_ALL"))
            continue;
        vt_status s = vt_cuda_reference(list.t[i], &x[n].source, &err);
        if (s == VT_EUNSUPPORTED) {
            printf("  %s\n", err.msg);
            n_without++;
            continue;
        }
        CHECK_OK(s, err);
        x[n].t = list.t[i];
        CHECK_OK(vt_launch_plan_read(x[n].t, x[n].source.p, x[n].source.len, &x[n].plan, why, &err), err);
        CHECK_STR(why, "");
        n_own += is_own;
        n++;
    }
    CHECK_INT(n_without, 0);
    CHECK(n_own >= 38);
    if (build(x, n))
        for (size_t i = 0; i < n; i++)
            try_text(&x[i]);
    for (size_t i = 0; i < n; i++) {
        vt_launch_plan_free(&x[i].plan);
        vt_buf_free(&x[i].source);
    }
    free_tasks(&list);
    remove_work_dir();
}

static const struct test_case cases[] = {TEST(texts_compute_what_bodies_do)};
TEST_MAIN(cases)
