/* SPDX-License-Identifier: Apache-2.0
 *
 * c_tier.c: the table of the c tier, the open tier, its stations and grounds.
 *
 * A lane is two cores: kernels run on one, the clock spins on the other; it holds also what a co-run probe finds to be
 * halves of the run core. Where that leaves two cores or more (four in all), most build stations keep to the rest and
 * work while something is timed; the others, one for each core of the lane, use those cores while they are free. The
 * processes of a station inherit where it may run. On two cores every station meets the lane; on many there are several
 * lanes (cores.c), each with its part of a ground's output pages and its own processes of a task's texts.
 *
 * A station has a broker, which is replaced when it died; what it started before keeps the old one.
 */
#include "eval/c/c_tier.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "eval/c/assemble.h"
#include "eval/c/parts.h"
#include "eval/c/scratch.h"
#include "eval/copycheck.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* A change of it makes verdicts incomparable. */
static const char version[] = "c-11";

enum { TIMING_NICE = -15, MAX_BROKERS = 64, MAX_GROUNDS = 24, MIN_REST = 2, REFERENCE_DEADLINE_S = 5 };
static const size_t max_ground_bytes = (size_t)768 << 20;
/* The shipped tasks need 0.3 to 13 MB at their cpu sizes, 0.1 to 14 GB at the sizes of a GPU. A truth takes four times
 * its arrays on top, one set at a time, and inputs are made where nothing can be killed. */
static const size_t max_pool_bytes = 64000000;

/* ---- tier ---- */

static const struct vt_tier_caps *caps(const struct vt_tier *t)
{
    return &t->caps;
}

static void tier_close(struct vt_tier *t)
{
    if (!t)
        return;
    vt_compiler_free(&t->cc);
    vt_owned_remove(&t->dir);
    free(t->truth_dir);
    free(t->roofline_file);
    pthread_mutex_destroy(&t->floor_lock);
    free(t);
}

static void choose_places(struct vt_tier *t)
{
    struct vt_place here;
    cpu_set_t place[VT_C_MAX_LANES], lanes, both;
    vt_place_here(&here);
    CPU_ZERO(&lanes);
    t->caps.n_lanes = vt_cores_lanes(VT_C_MAX_LANES, t->cores, place);
    t->clock = t->cores[0].clock_cpu >= 0 ? VT_CLOCK_SPIN : VT_CLOCK_SLEEP;
    for (int i = 0; i < t->caps.n_lanes; i++) {
        t->caps.lane[i].cores = place[i];
        CPU_OR(&lanes, &lanes, &place[i]);
    }
    CPU_AND(&both, &here.cores, &lanes);
    CPU_XOR(&t->rest.cores, &here.cores, &both);
    t->n_rest = CPU_COUNT(&t->rest.cores) >= MIN_REST ? CPU_COUNT(&t->rest.cores) : 0;
}

static vt_status find_files(struct vt_tier *t, vt_err *err)
{
    char *cache = NULL, name[256];
    VT_TRY(vt_cache_dir(&cache, err));
    snprintf(name, sizeof name, "roofline-%s.json", t->machine);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '-';
    t->truth_dir = vt_path_join(cache, "truth");
    t->roofline_file = vt_path_join(cache, name);
    free(cache);
    if (!t->truth_dir || !t->roofline_file)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    return vt_scratch_make(&t->dir, err);
}

static void name_machine(char *out, size_t n)
{
    vt_machine_class(out, n);
    for (char *p = out; *p; p++)
        if (*p == ' ')
            *p = '_';
}

vt_status vt_c_identity_of(const char *cc, struct vt_c_identity *out, vt_err *err)
{
    struct vt_compiler found;
    vt_status s = vt_compiler_find(cc, &found, err);
    if (s == VT_OK) {
        name_machine(out->machine, sizeof out->machine);
        snprintf(out->version, sizeof out->version, "%s/%.16s", version, found.id);
    }
    vt_compiler_free(&found);
    return s;
}

static vt_status open_parts(struct vt_tier *t, const struct vt_tier_opts *o, vt_err *err)
{
    name_machine(t->machine, sizeof t->machine);
    VT_TRY(vt_compiler_find(o->cc, &t->cc, err));
    choose_places(t);
    VT_TRY(find_files(t, err));
    VT_TRY(vt_roofline_get(t->roofline_file, &t->roofline, err));
    t->caps.evaluator = version;
    t->caps.toolchain = t->cc.id;
    t->caps.machine = t->machine;
    t->caps.scale = "cpu";
    t->caps.n_stations = vt_cpu_count();
    t->caps.max_grounds = MAX_GROUNDS;
    t->caps.max_ground_bytes = max_ground_bytes;
    t->caps.max_pool_bytes = max_pool_bytes;
    t->caps.reference_deadline_s = REFERENCE_DEADLINE_S;
    t->caps.max_series = VT_CALL_MAX_STEPS;
    t->caps.n_placements = VT_C_PLACEMENTS;
    return VT_OK;
}

static vt_status tier_open(const struct vt_tier_opts *o, struct vt_tier **out, vt_err *err)
{
    *out = NULL;
    struct vt_tier *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    t->lease = o->lease;
    t->allow_unsafe = o->allow_unsafe;
    pthread_mutex_init(&t->floor_lock, NULL);
    vt_status s = open_parts(t, o, err);
    if (s != VT_OK) {
        tier_close(t);
        return s;
    }
    *out = t;
    return VT_OK;
}

/* ---- text ---- */

static vt_status extract(const vt_task *t, const char *text, size_t len, bool is_answer, struct vt_code *out,
                         bool *is_copy, vt_err *err)
{
    VT_TRY(vt_extract(text, len, vt_task_name(t), is_answer, out, err));
    *is_copy = !out->why[0] && vt_is_copy_text(t, out);
    return VT_OK;
}

static void baseline(const struct vt_tier *t, const vt_task *task, char out[VT_SHA256_HEX])
{
    const char *body = vt_task_body(task);
    (void)t;
    vt_sha256_of(body, strlen(body), out);
}

/* ---- stations ---- */

static void stay_on(const cpu_set_t *cores)
{
    sched_setaffinity(0, sizeof *cores, cores);
}

/* The first stations share the rest; then each lane's cores have as many as they are. */
static const cpu_set_t *building_cores(const struct vt_tier *t, int number)
{
    int n_all = t->n_rest;
    for (int i = 0; i < t->caps.n_lanes; i++)
        n_all += CPU_COUNT(&t->caps.lane[i].cores);
    int at = number % n_all - t->n_rest;
    for (int i = 0; i < t->caps.n_lanes && at >= 0; i++) {
        if (at < CPU_COUNT(&t->caps.lane[i].cores))
            return &t->caps.lane[i].cores;
        at -= CPU_COUNT(&t->caps.lane[i].cores);
    }
    return &t->rest.cores;
}

static void take_seat(const struct vt_tier *t, const struct vt_seat *seat)
{
    cpu_set_t clock;
    if (seat->kind == VT_SEAT_LANE) {
        CPU_ZERO(&clock);
        if (t->clock == VT_CLOCK_SPIN) {
            CPU_SET((size_t)t->cores[seat->number].clock_cpu, &clock);
            stay_on(&clock);
        }
        /* Of this thread; granted to root only. Not a real-time priority: the kernel's own threads must run on its
         * core. */
        setpriority(PRIO_PROCESS, 0, TIMING_NICE);
    } else if (seat->kind == VT_SEAT_BUILD && t->n_rest > 0) {
        stay_on(building_cores(t, seat->number));
    }
}

/* With the lock held. */
static vt_status open_broker(struct vt_station *s, vt_err *err)
{
    static const char *const kinds[] = {[VT_SEAT_BUILD] = "build", [VT_SEAT_LANE] = "timer", [VT_SEAT_ALONE] = "check"};
    char name[64];
    if (s->n_brokers == MAX_BROKERS)
        return vt_fail(err, VT_EINTERNAL, "the evaluator's workers keep dying");
    snprintf(name, sizeof name, "%s%d-%d", kinds[s->seat.kind], s->seat.number, s->n_brokers++);
    struct vt_broker *old = s->broker;
    s->broker = NULL;
    VT_TRY(vt_broker_open(s->tier->dir.path, name, 0, &s->broker, err));
    vt_broker_close(old);
    return VT_OK;
}

static vt_status station_ready(struct vt_station *s, vt_err *err)
{
    vt_status status = VT_OK;
    pthread_mutex_lock(&s->lock);
    if (s->is_cancelled)
        status = vt_fail(err, VT_ECANCELLED, "the evaluator is being closed");
    else if (!s->broker || !vt_broker_is_alive(s->broker))
        status = open_broker(s, err);
    if (status == VT_OK && !s->tier->allow_unsafe)
        status = vt_jail_floor(vt_broker_jail(s->broker), err);
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void station_close(struct vt_station *s)
{
    vt_outputs_free(&s->outputs);
    vt_broker_close(s->broker);
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
    s->outputs.fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    take_seat(t, seat);
    vt_status status = station_ready(s, err);
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
    if (s->broker)
        vt_broker_shutdown(s->broker);
    pthread_mutex_unlock(&s->lock);
}

static bool watch(struct vt_station *s, enum vt_watch what)
{
    if (what == VT_WATCH_BEGIN)
        vt_crowd_open(&s->crowd);
    else if (what == VT_WATCH_LOOK)
        vt_crowd_look(&s->crowd, vt_lease_n_elsewhere(s->tier->lease, &s->tier->caps.lane[s->seat.number]) +
                                     2 * (s->tier->caps.n_lanes - 1));
    return what == VT_WATCH_END && vt_crowd_close(&s->crowd);
}

/* ---- grounds ---- */

static void ground_close(struct vt_ground *g)
{
    vt_pool_sets_free(&g->pool);
    vt_outputs_free(&g->timed);
    free(g);
}

static vt_status ground_open(struct vt_station *s, const struct vt_pool *pool, struct vt_ground **out, size_t *bytes,
                             vt_err *err)
{
    const struct vt_truth_opts o = {
        .dir = s->tier->truth_dir, .broker = s->broker, .lease = s->tier->lease, .allow_unsafe = s->tier->allow_unsafe};
    vt_truth *truth = NULL;
    *out = NULL;
    struct vt_ground *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "cannot prepare task %s: out of memory", vt_task_name(pool->task));
    g->tier = s->tier;
    g->pool.in_fd = g->timed.fd = -1;
    vt_status status = vt_truth_new(pool->task, &o, &truth, err);
    if (status == VT_OK)
        status = vt_pool_sets_make(pool, truth, s->tier->lease, &g->pool, err);
    vt_truth_free(truth);
    if (status == VT_OK)
        status = vt_outputs_fit(&g->timed, g->pool.out_bytes * (size_t)s->tier->caps.n_lanes, err);
    if (status != VT_OK) {
        ground_close(g);
        return status;
    }
    *bytes = g->pool.in_bytes + g->timed.bytes;
    *out = g;
    return VT_OK;
}

static double floor_ns(const struct vt_ground *g)
{
    pthread_mutex_lock(&g->tier->floor_lock);
    double ns = vt_roofline_floor_ns(&g->tier->roofline, g->pool.set[0].plan->layout.bytes_moved);
    pthread_mutex_unlock(&g->tier->floor_lock);
    return ns;
}

static vt_status measure_floor(struct vt_tier *t, vt_err *err)
{
    pthread_mutex_lock(&t->floor_lock);
    vt_status s = vt_roofline_refresh(t->roofline_file, &t->roofline, err);
    pthread_mutex_unlock(&t->floor_lock);
    return s;
}

const struct vt_tier_ops vt_c_tier = {.name = "c",
                                      .open = tier_open,
                                      .close = tier_close,
                                      .caps = caps,
                                      .prompt = vt_assemble_shown,
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
                                      .build = vt_c_build,
                                      .reference = vt_c_reference,
                                      .load = vt_c_load,
                                      .unload = vt_c_unload,
                                      .check = vt_c_check,
                                      .time = vt_c_time,
                                      .series = vt_c_series,
                                      .candidate_close = vt_c_candidate_close,
                                      .explain = vt_c_explain,
                                      .record = vt_c_record};
