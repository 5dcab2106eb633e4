/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_doctor.c: `vegttt doctor`: everything about this machine that decides what vegttt can do here, a line each, and
 * for what is missing what to do about it. Exit code 4 when a run could not work.
 */
#include "base/fs.h"
#include "base/thread.h"
#include "bind/build_id.h"
#include "cli/verbs.h"
#include "cpu/kernels.h"
#include "eval/c/broker.h"
#include "eval/c/cores.h"
#include "eval/cuda/look.h"
#include "eval/torch/torch_look.h"
#include "gpu/blas.h"
#include "gpu/nvrtc.h"
#include "loop/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <vegttt/policy.h>

static void keep_first(void *arg, const char *line)
{
    char *first = arg;

    if (!first[0])
        snprintf(first, 120, "%s", line);
}

/* A program's first line of output, or what to install. */
static bool program(const char *name, const char *flag, const char *package)
{
    const char *const argv[] = {name, flag, NULL};
    char first[120] = "";
    int code = -1;
    vt_err err;

    if (vt_child_run(argv, 20, keep_first, first, &code, &err) == VT_OK && code == 0) {
        printf("%-14s %s\n", name, first);
        return true;
    }
    printf("%-14s MISSING: install %s\n", name, package);
    return false;
}

static void instruction_sets(void)
{
    printf("%-14s %d usable\n%-14s", "cores", vt_cpu_count(), "kernels");
    for (int i = 0; vt_kernels_at(i); i++)
        printf(" %s", vt_kernels_at(i)->name);
    printf(" (the last is used; VEGTTT_ISA overrides)\n");
}

static void timing_cores(void)
{
    struct vt_cores all[VT_C_MAX_LANES], c;
    cpu_set_t place[VT_C_MAX_LANES];
    const int n = vt_cores_lanes(VT_C_MAX_LANES, all, place);

    c = all[0];
    if (c.clock_cpu < 0)
        printf("%-14s one core only: a kernel and its clock take turns; times are less exact\n", "timing");
    else if (c.is_shared)
        printf(
            "%-14s kernels run on core %d, the clock on core %d, halves of one physical core (work takes %.2f times as "
            "long beside a busy clock core): allow this process another core\n",
            "timing", c.run_cpu, c.clock_cpu, c.corun);
    else
        printf("%-14s kernels run on core %d, the clock on core %d, independent of each other (%.2f)%s\n", "timing",
               c.run_cpu, c.clock_cpu, c.corun, n > 1 ? ", and on others:" : "");
    for (int i = 1; i < n; i++)
        printf("%-14s lane %d: cores %d and %d (%.2f)\n", "", i + 1, all[i].run_cpu, all[i].clock_cpu, all[i].corun);
}

static bool jail(void)
{
    struct vt_jail j;
    vt_err err;
    vt_status status = vt_jail_probe(&j, &err);

    if (status != VT_OK) {
        printf("%-14s MISSING: %s\n", "jail", err.msg);
        return false;
    }
    for (size_t i = 0; i < VT_JAIL_N_LAYERS; i++) {
        bool is_active;
        const char *purpose, *name = vt_jail_layer(&j, i, &is_active, &purpose);

        printf("jail %-13s %s: %s\n", name, is_active ? "on " : "OFF", purpose);
    }
    status = vt_jail_floor(&j, &err);
    printf("%-14s %s\n", "jail floor", status == VT_OK ? "met" : err.msg);
    return status == VT_OK;
}

static void places(void)
{
    char *cache = NULL, *model = NULL;
    vt_err err;

    if (vt_cache_dir(&cache, &err) == VT_OK)
        printf("%-14s %s\n", "cache", cache);
    else
        printf("%-14s MISSING: %s\n", "cache", err.msg);
    if (vt_model_find(vt_model_default(), &model, &err) == VT_OK)
        printf("%-14s %s\n", "default model", model);
    else
        printf("%-14s not fetched yet: the first run fetches it, or vegttt model pull %s\n", "default model",
               vt_model_default());
    free(cache);
    free(model);
}

static void gpus(void)
{
    struct vt_gpu_props g;
    const char *path;
    char text[256];
    vt_err err;
    int major, minor, n = vt_gpu_count(&err);

    if (n == 0) {
        printf("%-14s none: %s\n", "gpu", err.msg);
        return;
    }
    for (int i = 0; i < n; i++)
        if (vt_gpu_look(i, &g, &err) == VT_OK)
            printf("gpu %-10d %s, %.0f GB, compute capability %d.%d\n", i, g.name, (double)g.bytes / 1e9, g.major,
                   g.minor);
        else
            printf("gpu %-10d %s\n", i, err.msg);
    printf("%-14s CUDA %d.%d\n", "driver", vt_gpu_driver_version() / 1000, vt_gpu_driver_version() % 1000 / 10);
    if (vt_nvrtc_version(&major, &minor, &path, &err) == VT_OK)
        printf("%-14s %d.%d (%s)\n", "nvrtc", major, minor, path);
    else
        printf("%-14s MISSING: %s\n", "nvrtc", err.msg);
    printf("%-14s %s\n", "cublaslt", vt_gpu_blas_describe(text, sizeof text, &err) == VT_OK ? text : err.msg);
#ifdef VEGTTT_HAS_CUDA
    printf("%-14s in this build; VEGTTT_BACKEND=cuda runs models on a GPU, VEGTTT_DEVICES=0,1 on several\n",
           "cuda models");
#else
    printf(
        "%-14s left out of this build, which found no nvcc 12.4 or newer: install the CUDA toolkit and build again\n",
        "cuda models");
#endif
}

static void cuda_tier(void)
{
    char name[128];
    vt_err err;

    if (vt_cuda_tier_look(name, &err) == VT_OK)
        printf("%-14s CUDA kernels (.cu files) are judged on %s\n", "cuda tier", name);
    else
        printf("%-14s not usable: %s\n", "cuda tier", err.msg);
}

static void torch_tier(void)
{
    char name[256];
    vt_err err;

    if (vt_torch_tier_look(name, &err) == VT_OK)
        printf("%-14s KernelBench's problem files are judged by %s\n", "torch tier", name);
    else
        printf("%-14s not usable: %s\n", "torch tier", err.msg);
}

int vt_verb_doctor(int argc, char **argv)
{
    bool is_well = true;
    size_t n;
    int code;

    if (!vt_cli_words("doctor", NULL, 0, argc, argv, NULL, NULL, 0, &n, &code))
        return code;
    printf("%-14s %s, commit %s, engine %.12s\n", "vegttt", VEGTTT_VERSION, vt_build_commit, vt_build_engine);
    instruction_sets();
    timing_cores();
    is_well &= program("cc", "--version", "gcc");
    is_well &= program("g++", "--version", "g++");
    is_well &= program("python3", "--version", "python3");
    is_well &= jail();
    gpus();
    cuda_tier();
    torch_tier();
    places();
    puts(is_well ? "all that a run needs is here" : "something that a run needs is missing");
    return is_well ? VT_EXIT_OK : VT_EXIT_INFRA;
}
