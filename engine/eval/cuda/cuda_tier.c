/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_tier.c: the table of the cuda tier, the open tier and its stations.
 *
 * A candidate has no host code: this program never holds a context, and the processes that do run nothing of a
 * stranger's on the CPU. A lane is a device: its station holds the runner and the spare. Calls of a candidate meet
 * those of a timing on a device, so checks are the lane's, too, and build stations only compile, on all cores; the
 * device never waits for a compiler. Every station has a compiler of its own (the lanes' for the tasks' texts).
 */
#include "eval/cuda/cuda_tier.h"
#include "base/alloc.h"
#include "eval/cuda/answer.h"
#include "eval/cuda/look.h"
#include "eval/cuda/parts.h"
#include "eval/cuda/reference.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A change of it makes verdicts incomparable. */
static const char version[] = "cuda-2";

enum { MAX_GROUNDS = 24, REFERENCE_DEADLINE_S = 30 };

/* ---- tier ---- */

static const struct vt_tier_caps *caps(const struct vt_tier *t)
{
    return &t->caps;
}

static void tier_close(struct vt_tier *t)
{
    if (!t)
        return;
    vt_content_close(t->images);
    free(t->kernels);
    pthread_mutex_destroy(&t->floor_lock);
    free(t);
}

static void name_machine(struct vt_tier *t)
{
    snprintf(t->machine, sizeof t->machine, "%s_driver-%d.%d", t->device.name, t->device.driver / 1000,
             t->device.driver % 1000 / 10);
    for (char *p = t->machine; *p; p++)
        if (*p == ' ' || *p == '/')
            *p = '_';
}

/* A lane a device: those of VEGTTT_EVAL_DEVICES, else all. Where a model runs on the same ones, the lease says when. */
static vt_status choose_devices(struct vt_tier *t, vt_err *err)
{
    uint64_t asked;
    VT_TRY(vt_devices_asked("VEGTTT_EVAL_DEVICES", &asked, err));
    if (asked >> (t->device.n_devices < 63 ? t->device.n_devices : 63))
        return vt_fail(err, VT_EINVAL, "VEGTTT_EVAL_DEVICES=%s names a GPU that is not there; there are %d, from 0",
                       getenv("VEGTTT_EVAL_DEVICES"), t->device.n_devices);
    for (int d = 0; d < t->device.n_devices && t->caps.n_lanes < VT_MAX_LANES; d++)
        if (!asked || asked >> d & 1)
            t->caps.lane[t->caps.n_lanes++].devices = (uint64_t)1 << d;
    return VT_OK;
}

/* The device of a lane. */
static int device_of(const struct vt_tier *t, int lane)
{
    int d = 0;
    while (!(t->caps.lane[lane].devices >> d & 1))
        d++;
    return d;
}

static vt_status open_parts(struct vt_tier *t, vt_err *err)
{
    struct vt_station alone = {.tier = t};
    struct vt_buf unit;
    VT_TRY(vt_cuda_look(0, &t->device, err));
    snprintf(t->architecture, sizeof t->architecture, "sm_%d%d%s", t->device.major, t->device.minor,
             t->device.major >= 9 ? "a" : "");
    VT_TRY(vt_content_open(NULL, &t->images, err));
    VT_TRY(vt_cuda_compiler_open(&alone.compiler, t->allow_unsafe, err));
    vt_cuda_compiler_id(&alone.compiler, t->architecture, t->toolchain);
    snprintf(t->compiler, sizeof t->compiler, "NVRTC %d.%d", alone.compiler.major, alone.compiler.minor);
    vt_status s = vt_cuda_kernels_unit(&unit, err);
    if (s == VT_OK)
        s = vt_cuda_image(&alone, &unit, "the evaluator's kernels", &t->kernels, &t->kernels_len, err);
    vt_buf_free(&unit);
    vt_cuda_compiler_close(&alone.compiler);
    VT_TRY(s);
    name_machine(t);
    t->caps = (struct vt_tier_caps){.evaluator = version,
                                    .toolchain = t->toolchain,
                                    .machine = t->machine,
                                    .scale = "search",
                                    .n_stations = vt_cpu_count(),
                                    .checks_on_lane = true,
                                    .max_grounds = MAX_GROUNDS,
                                    .max_ground_bytes = t->device.bytes / 10 * 6,
                                    /* One set at a time must fit; whether it does, the runner says. */
                                    .max_pool_bytes = t->device.bytes * VT_POOL_MAX_SETS,
                                    .reference_deadline_s = REFERENCE_DEADLINE_S,
                                    .stores_baseline = true,
                                    .scatters = true};
    return choose_devices(t, err);
}

static vt_status tier_open(const struct vt_tier_opts *o, struct vt_tier **out, vt_err *err)
{
    *out = NULL;
    struct vt_tier *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    t->lease = o->lease;
    t->allow_unsafe = o->allow_unsafe;
    atomic_init(&t->next_id, 1);
    pthread_mutex_init(&t->floor_lock, NULL);
    vt_status s = open_parts(t, err);
    if (s != VT_OK) {
        vt_err_context(err, "the cuda tier");
        tier_close(t);
        return s;
    }
    *out = t;
    return VT_OK;
}

vt_status vt_cuda_tier_look(char name[128], vt_err *err)
{
    struct vt_cuda_device device;
    struct vt_cuda_compiler compiler;
    VT_TRY(vt_cuda_look(0, &device, err));
    VT_TRY(vt_cuda_compiler_open(&compiler, false, err));
    vt_cuda_compiler_close(&compiler);
    memcpy(name, device.name, sizeof device.name);
    return VT_OK;
}

/* ---- text ---- */

static void trim(struct vt_buf *b, const char *text)
{
    while (*text == '\n')
        text++;
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    vt_buf_add(b, text, n);
}

static vt_status prompt(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err)
{
    struct vt_buf text;
    vt_status s = VT_OK;
    vt_buf_init(&text, 1);
    if (!body)
        s = vt_cuda_reference(t, &text, err);
    if (s == VT_OK)
        trim(out, body ? body : text.p);
    vt_buf_free(&text);
    return s == VT_OK ? vt_buf_check(out, "the text of a task", err) : s;
}

static vt_status extract(const vt_task *t, const char *text, size_t len, bool is_answer, struct vt_code *out,
                         bool *is_copy, vt_err *err)
{
    struct vt_buf shown;
    *is_copy = false;
    VT_TRY(vt_cuda_extract(text, len, is_answer, out, err));
    if (out->why[0])
        return VT_OK;
    vt_status s = vt_cuda_reference(t, &shown, err);
    if (s == VT_OK)
        *is_copy = vt_cuda_is_copy(shown.p, out);
    vt_buf_free(&shown);
    if (s != VT_OK)
        vt_code_free(out);
    return s;
}

static void baseline(const struct vt_tier *t, const vt_task *task, char out[VT_SHA256_HEX])
{
    struct vt_buf text;
    (void)t;
    if (vt_cuda_reference(task, &text, NULL) == VT_OK)
        vt_sha256_of(text.p, text.len, out);
    else
        out[0] = '\0';
    vt_buf_free(&text);
}

/* ---- stations ---- */

static vt_status open_compiler(struct vt_station *s, vt_err *err)
{
    struct vt_cuda_compiler c;
    VT_TRY(vt_cuda_compiler_open(&c, s->tier->allow_unsafe, err));
    pthread_mutex_lock(&s->lock);
    if (s->has_compiler) {
        vt_lease_child_del(s->tier->lease, s->guest);
        vt_cuda_compiler_close(&s->compiler);
    }
    s->compiler = c;
    s->has_compiler = true;
    s->guest = c.process.pid;
    vt_lease_child_add(s->tier->lease, s->guest);
    pthread_mutex_unlock(&s->lock);
    return VT_OK;
}

static vt_status station_ready(struct vt_station *s, vt_err *err)
{
    pthread_mutex_lock(&s->lock);
    const bool is_cancelled = s->is_cancelled, is_gone = !s->has_compiler || !vt_cuda_compiler_is_alive(&s->compiler);
    pthread_mutex_unlock(&s->lock);
    if (is_cancelled)
        return vt_fail(err, VT_ECANCELLED, "the evaluator is being closed");
    if (is_gone)
        VT_TRY(open_compiler(s, err));
    return s->has_runner ? vt_cuda_seat_ready(&s->runner, err) : VT_OK;
}

static void station_close(struct vt_station *s)
{
    if (s->has_compiler) {
        vt_lease_child_del(s->tier->lease, s->guest);
        vt_cuda_compiler_close(&s->compiler);
    }
    if (s->has_runner)
        vt_cuda_seat_close(&s->runner);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static vt_status station_open(struct vt_tier *t, const struct vt_seat *seat, struct vt_station **out, vt_err *err)
{
    *out = NULL;
    struct vt_station *s = vt_alloc(sizeof *s);
    if (!s)
        return vt_fail(err, VT_ENOMEM, "cannot open an evaluator slot: out of memory");
    s->tier = t;
    s->seat = *seat;
    pthread_mutex_init(&s->lock, NULL);
    vt_status status = VT_OK;
    if (seat->kind != VT_SEAT_BUILD)
        status = vt_cuda_seat_open(&s->runner, device_of(t, seat->kind == VT_SEAT_LANE ? seat->number : 0), t->kernels,
                                   t->kernels_len, err);
    s->has_runner = seat->kind != VT_SEAT_BUILD && status == VT_OK;
    if (status == VT_OK)
        status = station_ready(s, err);
    if (status != VT_OK) {
        station_close(s);
        return status;
    }
    *out = s;
    return VT_OK;
}

static void cancel(struct vt_station *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_cancelled = true;
    if (s->has_compiler)
        vt_cuda_compiler_stop(&s->compiler);
    pthread_mutex_unlock(&s->lock);
    if (s->has_runner)
        vt_cuda_seat_stop(&s->runner);
}

/* Nobody else's work reaches a device that is held; other processes' is seen as scatter. */
static bool watch(struct vt_station *s, enum vt_watch what)
{
    (void)s;
    (void)what;
    return false;
}

const struct vt_tier_ops vt_cuda_tier = {.name = "cuda",
                                         .open = tier_open,
                                         .close = tier_close,
                                         .caps = caps,
                                         .prompt = prompt,
                                         .extract = extract,
                                         .baseline = baseline,
                                         .station_open = station_open,
                                         .station_ready = station_ready,
                                         .cancel = cancel,
                                         .station_close = station_close,
                                         .watch = watch,
                                         .ground_open = vt_cuda_ground_open,
                                         .ground_close = vt_cuda_ground_close,
                                         .floor_ns = vt_cuda_floor_ns,
                                         .build = vt_cuda_build,
                                         .reference = vt_cuda_reference_build,
                                         .load = vt_cuda_load,
                                         .unload = vt_cuda_unload,
                                         .check = vt_cuda_check,
                                         .time = vt_cuda_time,
                                         .candidate_close = vt_cuda_candidate_close,
                                         .explain = vt_cuda_explain,
                                         .record = vt_cuda_record};
