/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_tier.c: the table of the torch tier, the open tier and its stations.
 *
 * A lane is a GPU, or all cores of a machine without one. Its station holds three Pythons: the judge (trusted: inputs,
 * baseline, truth), the worker with the candidate, and a spare that has imported torch and opened its device, so that
 * the next candidate waits for neither. A candidate gets a process of its own and keeps it from its checks to its
 * timing.
 */
#include "eval/torch/torch_tier.h"
#include "base/alloc.h"
#include "base/embedded.h"
#include "eval/torch/parts.h"
#include "eval/torch/text.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A change of it makes verdicts incomparable. */
static const char version[] = "torch-1";
static const uint64_t start_timeout_ns = 120000000000u, judge_timeout_ns = 300000000000u;
enum { REFERENCE_DEADLINE_S = 120, MAX_GROUNDS = 4 };

extern const struct vt_embedded vt_torch_text[];

/* ---- processes ---- */

vt_json *vt_torch_request(const char *op)
{
    vt_json *q = vt_json_object();
    vt_json_put_str(q, "op", op);
    return q;
}

static vt_status hello(struct vt_torch_process *p, vt_json **reply, vt_err *err)
{
    vt_status s = vt_torch_receive(p, start_timeout_ns, reply, NULL, NULL);
    if (s == VT_OK)
        return VT_OK;
    const char *python = getenv("VEGTTT_PYTHON") ? getenv("VEGTTT_PYTHON") : "python3";
    return vt_fail(err, VT_EUNSUPPORTED,
                   "the torch tier needs a Python with torch, and %s is none; name one in VEGTTT_PYTHON", python);
}

/* Started and asked; the answer is read when it is needed. */
static vt_status start(const char *mode, int device, struct vt_torch_process *out, vt_err *err)
{
    vt_json *q = vt_torch_request("hello");
    vt_status s = vt_torch_process_start(mode, device, out, err);
    if (s == VT_OK)
        s = vt_torch_send(out, q, err);
    vt_json_free(q);
    return s;
}

static void replace(struct vt_station *s, struct vt_torch_process *which, const struct vt_torch_process *by)
{
    pthread_mutex_lock(&s->lock);
    vt_torch_process_end(which);
    *which = *by;
    if (s->is_cancelled)
        vt_torch_process_stop(which);
    pthread_mutex_unlock(&s->lock);
}

static const struct vt_torch_process none = {.socket = -1};

void vt_torch_end_worker(struct vt_station *s)
{
    replace(s, &s->worker, &none);
    s->loaded = 0;
}

static void start_spare(struct vt_station *s)
{
    struct vt_torch_process p;
    if (start("run", s->device, &p, NULL) == VT_OK)
        replace(s, &s->spare, &p);
    else
        vt_torch_process_end(&p);
}

vt_status vt_torch_new_worker(struct vt_station *s, vt_err *err)
{
    vt_json *reply = NULL;
    vt_torch_end_worker(s);
    if (s->spare.pid <= 0)
        start_spare(s);
    pthread_mutex_lock(&s->lock);
    s->worker = s->spare;
    s->spare = none;
    const bool is_cancelled = s->is_cancelled;
    pthread_mutex_unlock(&s->lock);
    if (is_cancelled)
        return vt_fail(err, VT_ECANCELLED, "the evaluator is being closed");
    VT_TRY(hello(&s->worker, &reply, err));
    vt_json_free(reply);
    start_spare(s);
    return VT_OK;
}

static vt_status exchange(struct vt_torch_process *p, vt_json *q, vt_json **reply, uint64_t *ns, vt_err *err)
{
    VT_TRY(vt_torch_send(p, q, err));
    VT_TRY(vt_torch_receive(p, judge_timeout_ns, reply, ns, err));
    const char *error = vt_json_str(vt_json_get(*reply, "error"), NULL);
    vt_status s = error ? vt_fail(err, VT_EFORMAT, "the problem file cannot be used: %.400s", error) : VT_OK;
    if (error) {
        vt_json_free(*reply);
        *reply = NULL;
    }
    return s;
}

static vt_status need_judge(struct vt_station *s, vt_err *err)
{
    struct vt_torch_process p;
    vt_json *reply = NULL;
    if (s->judge.pid > 0)
        return VT_OK;
    vt_status status = start("judge", s->device, &p, err);
    if (status == VT_OK)
        status = hello(&p, &reply, err);
    vt_json_free(reply);
    s->ground = 0;
    replace(s, &s->judge, status == VT_OK ? &p : &none);
    if (status != VT_OK)
        vt_torch_process_end(&p);
    return status;
}

static vt_status need_ground(struct vt_station *s, const struct vt_ground *g, vt_err *err)
{
    if (s->ground == g->id)
        return VT_OK;
    vt_torch_end_worker(s); /* it has borrowed what goes now */
    vt_json *q = vt_torch_request("problem"), *reply = NULL;
    vt_json_put_str(q, "text", vt_task_torch(g->pool->task));
    vt_json_put_num(q, "key", (double)(g->pool->key >> 16));
    vt_json_put_str(q, "folder", s->folder);
    vt_status status = exchange(&s->judge, q, &reply, NULL, err);
    vt_json_free(q);
    if (status != VT_OK)
        return status;
    vt_json_free(s->share);
    s->share = reply;
    s->ground = g->id;
    return VT_OK;
}

vt_status vt_torch_ask_judge(struct vt_station *s, const struct vt_ground *g, vt_json *q, vt_json **reply, uint64_t *ns,
                             vt_err *err)
{
    *reply = NULL;
    vt_status status = need_judge(s, err);
    if (status == VT_OK)
        status = need_ground(s, g, err);
    if (status == VT_OK)
        status = exchange(&s->judge, q, reply, ns, err);
    if (status == VT_EINTERNAL || status == VT_ETIMEOUT)
        replace(s, &s->judge, &none);
    return status;
}

/* ---- tier ---- */

static const struct vt_tier_caps *caps(const struct vt_tier *t)
{
    return &t->caps;
}

static void tier_close(struct vt_tier *t)
{
    free(t);
}

static void copy_word(char *to, size_t n, const char *from)
{
    snprintf(to, n, "%s", from);
    for (char *p = to; *p; p++)
        *p = *p == ' ' || *p == '/' ? '_' : *p;
}

static void describe(struct vt_tier *t, const vt_json *hello)
{
    struct vt_sha256 h;
    snprintf(t->torch, sizeof t->torch, "%s", vt_json_str(vt_json_get(hello, "torch"), "?"));
    snprintf(t->kind, sizeof t->kind, "%s", vt_json_str(vt_json_get(hello, "device"), "cpu"));
    copy_word(t->device, sizeof t->device, vt_json_str(vt_json_get(hello, "name"), "?"));
    t->n_devices = (int)vt_json_num(vt_json_get(hello, "n_devices"), 0);
    snprintf(t->machine, sizeof t->machine, "%s_torch-%s", t->device, t->torch);
    vt_sha256_init(&h);
    vt_hash_str(&h, "torch", t->torch);
    for (const struct vt_embedded *e = vt_torch_text; e->name; e++)
        vt_hash_field(&h, e->name, e->text, e->len);
    vt_sha256_hex(&h, t->toolchain);
    t->caps = (struct vt_tier_caps){.evaluator = version,
                                    .toolchain = t->toolchain,
                                    .machine = t->machine,
                                    .scale = "full",
                                    .n_stations = 1,
                                    .checks_on_lane = true,
                                    .max_grounds = MAX_GROUNDS,
                                    .max_ground_bytes = SIZE_MAX,
                                    .max_pool_bytes = SIZE_MAX,
                                    .reference_deadline_s = REFERENCE_DEADLINE_S,
                                    .stores_baseline = true,
                                    .scatters = true};
    t->caps.n_lanes = t->n_devices > 1 ? (t->n_devices < VT_MAX_LANES ? t->n_devices : VT_MAX_LANES) : 1;
    for (int i = 0; i < t->caps.n_lanes; i++)
        if (t->n_devices > 0)
            t->caps.lane[i].devices = (uint64_t)1 << i;
        else
            vt_place_here(&t->caps.lane[i]);
}

static vt_status tier_open(const struct vt_tier_opts *o, struct vt_tier **out, vt_err *err)
{
    struct vt_torch_process p;
    vt_json *reply = NULL;
    struct vt_tier *t = vt_alloc(sizeof *t);
    *out = NULL;
    if (!t)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    t->allow_unsafe = o->allow_unsafe;
    atomic_init(&t->next_id, 1);
    vt_status s = start("judge", -1, &p, err);
    if (s == VT_OK)
        s = hello(&p, &reply, err);
    vt_torch_process_end(&p);
    if (s == VT_OK)
        describe(t, reply);
    vt_json_free(reply);
    if (s != VT_OK) {
        tier_close(t);
        return s;
    }
    *out = t;
    return VT_OK;
}

static vt_status prompt(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err)
{
    return vt_torch_prompt(t, body, out, err);
}

static vt_status extract(const vt_task *t, const char *text, size_t len, bool is_answer, struct vt_code *out,
                         bool *is_copy, vt_err *err)
{
    const char *body;
    size_t n;
    *is_copy = false;
    VT_TRY(vt_torch_extract(text, len, is_answer, out, err));
    *is_copy = out->text && !out->is_whole && vt_torch_forward(vt_task_torch(t), &body, &n) &&
               vt_torch_is_same(body, n, out->text, out->len);
    return VT_OK;
}

static void baseline(const struct vt_tier *t, const vt_task *task, char out[VT_SHA256_HEX])
{
    (void)t;
    vt_sha256_of(vt_task_torch(task), strlen(vt_task_torch(task)), out);
}

/* ---- stations ---- */

static vt_status station_ready(struct vt_station *s, vt_err *err)
{
    pthread_mutex_lock(&s->lock);
    const bool is_cancelled = s->is_cancelled;
    pthread_mutex_unlock(&s->lock);
    return is_cancelled ? vt_fail(err, VT_ECANCELLED, "the evaluator is being closed") : VT_OK;
}

static void remove_folder(const char *folder)
{
    char command[128];
    if (!folder[0])
        return;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    (void)!system(command);
}

static void station_close(struct vt_station *s)
{
    replace(s, &s->worker, &none);
    replace(s, &s->spare, &none);
    replace(s, &s->judge, &none);
    vt_json_free(s->share);
    remove_folder(s->folder);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static vt_status make_folder(char out[64], vt_err *err)
{
    snprintf(out, 64, "%s/vegttt-torch-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(out) && chmod(out, 0711) == 0)
        return VT_OK;
    out[0] = '\0';
    return vt_fail(err, VT_EIO, "cannot make a folder of shared memory for the torch tier: %s", strerror(errno));
}

static vt_status station_open(struct vt_tier *t, const struct vt_seat *seat, struct vt_station **out, vt_err *err)
{
    struct vt_station *s = vt_alloc(sizeof *s);
    *out = NULL;
    if (!s)
        return vt_fail(err, VT_ENOMEM, "cannot open an evaluator slot: out of memory");
    s->tier = t;
    s->device = t->n_devices > 1 ? (seat->kind == VT_SEAT_LANE ? seat->number : 0) : -1;
    s->judge = s->worker = s->spare = none;
    pthread_mutex_init(&s->lock, NULL);
    vt_status status = VT_OK;
    if (seat->kind != VT_SEAT_BUILD)
        status = make_folder(s->folder, err);
    if (seat->kind != VT_SEAT_BUILD && status == VT_OK) {
        start_spare(s);
        status = need_judge(s, err);
    }
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
    vt_torch_process_stop(&s->judge);
    vt_torch_process_stop(&s->worker);
    vt_torch_process_stop(&s->spare);
    pthread_mutex_unlock(&s->lock);
}

static bool watch(struct vt_station *s, enum vt_watch what)
{
    (void)s;
    (void)what;
    return false;
}

/* ---- grounds ---- */

static vt_status ground_open(struct vt_station *s, const struct vt_pool *pool, struct vt_ground **out, size_t *bytes,
                             vt_err *err)
{
    struct vt_ground *g = vt_alloc(sizeof *g);
    *out = g;
    *bytes = 0;
    if (!g)
        return vt_fail(err, VT_ENOMEM, "cannot prepare task %s: out of memory", vt_task_name(pool->task));
    *g = (struct vt_ground){atomic_fetch_add(&s->tier->next_id, 1), pool};
    return VT_OK;
}

static void ground_close(struct vt_ground *g)
{
    free(g);
}

/* Nothing is known of what a problem must move. */
static double floor_ns(const struct vt_ground *g)
{
    (void)g;
    return 0;
}

static vt_status measure_floor(struct vt_tier *t, vt_err *err)
{
    (void)t;
    (void)err;
    return VT_OK;
}

const struct vt_tier_ops vt_torch_tier = {.name = "torch",
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
                                          .ground_open = ground_open,
                                          .ground_close = ground_close,
                                          .floor_ns = floor_ns,
                                          .measure_floor = measure_floor,
                                          .build = vt_torch_build,
                                          .reference = vt_torch_reference,
                                          .load = vt_torch_load,
                                          .unload = vt_torch_unload,
                                          .check = vt_torch_check,
                                          .time = vt_torch_time,
                                          .candidate_close = vt_torch_candidate_close,
                                          .explain = vt_torch_explain,
                                          .record = vt_torch_record};
