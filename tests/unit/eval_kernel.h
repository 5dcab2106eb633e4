/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_kernel.h: a kernel of a test's own, built and loaded in the jail, for tests of calls below tasks and verdicts.
 */
#ifndef VT_TEST_EVAL_KERNEL_H
#define VT_TEST_EVAL_KERNEL_H

#include "base/buf.h"
#include "base/clock.h"
#include "eval/c/assemble.h"
#include "eval/c/build.h"
#include "eval/c/runner.h"
#include "eval/c/scratch.h"
#include "harness.h"

enum { WORDS = 1024, DEADLINE_S = 20 };
static struct vt_owned dir;
static struct vt_broker *broker;
static struct vt_compiler cc;

/* A kernel f(const uint64_t *in, uint64_t *out, …) with its files; in and out are pages of their own. */
struct kernel {
    struct vt_build build;
    struct vt_plan plan;
    int in_fd;
    uint64_t *in;
    struct vt_outputs outputs;
    struct vt_runner *runner;
};

static inline bool open_kernel(struct kernel *k, const char *code, size_t in_shift, uint32_t placement, size_t n_sets)
{
    struct vt_buf unit;
    vt_err err;
    char load_error[256];
    void *map = NULL;
    memset(k, 0, sizeof *k);
    k->outputs.fd = k->in_fd = -1;
    vt_buf_init(&unit, 1 << 20);
    vt_buf_printf(&unit, "%s#line 1 \"" VT_KERNEL_FILE "\"\n%s\n", vt_unit_prelude, code);
    CHECK_OK(vt_build_run(broker, &cc, NULL, NULL, unit.p, unit.len, "f", &k->build, &err), err);
    vt_buf_free(&unit);
    if (k->build.end != VT_BUILD_OK) {
        printf("  %s %s\n", k->build.log, k->build.info.refused);
        CHECK_INT(k->build.end, VT_BUILD_OK);
        return false;
    }
    CHECK_OK(vt_plan_add(&k->plan, WORDS * 8, true, false, &err), err);
    CHECK_OK(vt_plan_add(&k->plan, WORDS * 8, false, true, &err), err);
    vt_plan_close(&k->plan);
    k->plan.array[0].bytes -= in_shift;
    k->plan.array[0].data += in_shift;
    CHECK_OK(vt_memfile_make("inputs", k->plan.in_bytes * n_sets, &k->in_fd, &map, &err), err);
    k->in = map;
    CHECK_OK(vt_outputs_fit(&k->outputs, k->plan.out_bytes * n_sets, &err), err);
    const struct vt_runner_opts o = {.broker = broker,
                                     .object = k->build.object,
                                     .object_len = k->build.object_len,
                                     .in_fd = k->in_fd,
                                     .va_bytes = k->plan.va_bytes * n_sets,
                                     .outputs = {&k->outputs, NULL},
                                     .placement = placement,
                                     .allow_unsafe = true};
    CHECK_OK(vt_runner_open(&o, &k->runner, load_error, &err), err);
    CHECK_STR(load_error, "");
    return k->runner != NULL;
}

static inline void close_kernel(struct kernel *k)
{
    void *map = k->in;
    vt_runner_close(k->runner);
    vt_outputs_free(&k->outputs);
    if (map)
        vt_memfile_free(&k->in_fd, &map, k->plan.in_bytes);
    vt_build_free(&k->build);
}

static inline const uint64_t *out_of(const struct kernel *k, size_t set)
{
    return (const uint64_t *)(void *)(k->outputs.map + set * k->plan.out_bytes + k->plan.array[1].out_at +
                                      k->plan.array[1].data);
}

static inline struct vt_call_opts options(const struct kernel *k)
{
    return (struct vt_call_opts){
        .plan = &k->plan, .random = vt_now_ns(), .cpu = -1, .deadline_ns = (uint64_t)DEADLINE_S * 1000000000};
}

/* main of a program whose cases share one jail. */
static inline int kernel_main(const char *name, const struct test_case *cases, size_t n_cases, int argc, char **argv)
{
    vt_err err;
    CHECK_OK(vt_scratch_make(&dir, &err), err);
    CHECK_OK(vt_compiler_find(NULL, &cc, &err), err);
    CHECK_OK(vt_broker_open(dir.path, name, 0, &broker, &err), err);
    if (test_failures_in_case)
        return 1;
    int failed = test_main(cases, n_cases, argc, argv);
    vt_broker_close(broker);
    vt_compiler_free(&cc);
    vt_owned_remove(&dir);
    return failed;
}

#endif
