/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c: one subject made on a station of the calling thread, its references called on every set.
 */
#include "eval/probe.h"
#include "base/rng.h"
#include "eval/subject.h"
#include <math.h>
#include <string.h>

/* Not secret: a probe says the same each time. */
static const uint64_t probe_secret = 0x7a5c;

struct bench {
    const struct vt_tier_ops *ops;
    const struct vt_tier_caps *caps;
    struct vt_tier *tier;
    struct vt_station *station;
    struct vt_subjects *subjects;
    struct vt_subject *subject;
};

static vt_status bench_open(struct bench *b, const struct vt_tier_opts *o, vt_task *t, vt_protocol protocol,
                            vt_err *err)
{
    const struct vt_seat alone = {VT_SEAT_ALONE, 0, 1};
    VT_TRY(b->ops->open(o, &b->tier, err));
    b->caps = b->ops->caps(b->tier);
    VT_TRY(b->ops->station_open(b->tier, &alone, &b->station, err));
    VT_TRY(vt_subjects_new(b->ops, b->caps, probe_secret, &b->subjects, err));
    return vt_subject_get(b->subjects, b->station, t, b->caps->scale, protocol, &b->subject, err);
}

static void bench_close(struct bench *b)
{
    if (b->subject)
        vt_subject_put(b->subjects, b->subject);
    vt_subjects_free(b->subjects);
    if (b->station)
        b->ops->station_close(b->station);
    if (b->tier)
        b->ops->close(b->tier);
}

static vt_status check(struct bench *b, struct vt_candidate *c, size_t set, size_t against, struct vt_check *out,
                       vt_err *err)
{
    const struct vt_call call = {.set = set,
                                 .against = against,
                                 .random = vt_seed_mix(set, 1),
                                 .deadline_ns = (uint64_t)b->caps->reference_deadline_s * 1000000000u};
    return b->ops->check(b->station, c, &call, out, err);
}

/* The outputs of set i held against another draw of the same inputs' distribution: the answer of the previous call must
 * not pass for this one's. */
static vt_status try_stale(struct bench *b, struct vt_candidate *c, size_t i, bool *is_refused, vt_err *err)
{
    const struct vt_pool *pool = &b->subject->pool;
    for (size_t j = 0; j < pool->n_sets && !*is_refused; j++) {
        struct vt_check r;
        if (j == i || strcmp(pool->set[j].scale, pool->set[i].scale) != 0)
            continue;
        VT_TRY(check(b, c, i, j, &r, err));
        *is_refused = r.end == VT_CHECK_WRONG;
    }
    return VT_OK;
}

static vt_status run_reference(struct bench *b, int which, struct vt_probe *out, vt_err *err)
{
    struct vt_candidate *c = b->subject->reference[which].c;
    struct vt_stage_result r = {.passed = false};
    VT_TRY(b->ops->load(b->station, c, b->subject->ground, true, &r, err));
    if (!r.passed)
        return vt_fail(err, VT_EFORMAT, "the task's reference does not load: %s", r.why);
    for (size_t i = 0; i < b->subject->pool.n_sets; i++) {
        struct vt_check got;
        VT_TRY(check(b, c, i, i, &got, err));
        bool is_compared = got.end == VT_CHECK_RIGHT || got.end == VT_CHECK_WRONG;
        out->set[i].worst[which] = is_compared ? got.compare.worst : INFINITY;
        if (which == VT_BASELINE)
            VT_TRY(try_stale(b, c, i, &out->is_stale_refused, err));
    }
    b->ops->unload(c);
    out->has[which] = true;
    return VT_OK;
}

vt_status vt_probe_task(const char *tier, vt_task *t, vt_protocol protocol, vt_lease *lease, bool allow_unsafe,
                        struct vt_probe *out, vt_err *err)
{
    struct bench b = {.ops = NULL};
    const struct vt_tier_opts o = {NULL, lease, allow_unsafe};
    memset(out, 0, sizeof *out);
    VT_TRY(vt_tier_find(vt_tiers, tier, &b.ops, err));
    VT_TRY(vt_tier_takes(b.ops, t, err));
    vt_status s = bench_open(&b, &o, t, protocol, err);
    for (int which = 0; which < VT_N_REFERENCES && s == VT_OK; which++)
        if (b.subject->reference[which].c)
            s = run_reference(&b, which, out, err);
    if (s == VT_OK) {
        vt_pool_plan(&out->pool, t, b.caps->scale, protocol == VT_PROTOCOL_FULL, b.caps->max_series > 0, probe_secret);
        if (b.caps->max_series > 0)
            vt_pool_draw(&out->pool);
        out->n_sets = out->pool.n_sets;
        for (size_t i = 0; i < out->n_sets; i++) {
            out->set[i].scale = out->pool.set[i].scale;
            vt_inputs_describe(t, out->pool.set[i].dist, out->pool.set[i].spice, out->set[i].inputs,
                               sizeof out->set[i].inputs);
        }
    }
    bench_close(&b);
    return s;
}
