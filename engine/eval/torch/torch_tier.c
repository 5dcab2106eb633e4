/* SPDX-License-Identifier: Apache-2.0
 *
 * torch_tier.c: the table of the torch tier and the open tier. A lane is a GPU, or all cores of a machine without one.
 * A candidate gets a process of its own and keeps it from its checks to its timing (torch_station.c).
 */
#include "eval/torch/torch_tier.h"
#include "base/alloc.h"
#include "base/embedded.h"
#include "eval/torch/parts.h"
#include "eval/torch/text.h"
#include "eval/torch/torch_look.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A change of it makes verdicts incomparable. */
static const char version[] = "torch-1";
enum { REFERENCE_DEADLINE_S = 120, MAX_GROUNDS = 4 };

extern const struct vt_embedded vt_torch_text[];

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
    vt_json *reply = NULL;
    struct vt_tier *t = vt_alloc(sizeof *t);
    *out = NULL;
    if (!t)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    t->allow_unsafe = o->allow_unsafe;
    atomic_init(&t->next_id, 1);
    vt_status s = vt_torch_look(&reply, err);
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

vt_status vt_torch_tier_look(char name[256], vt_err *err)
{
    vt_json *reply;
    VT_TRY(vt_torch_look(&reply, err));
    snprintf(name, 256, "torch %.60s on %.120s", vt_json_str(vt_json_get(reply, "torch"), "?"),
             vt_json_str(vt_json_get(reply, "name"), "?"));
    vt_json_free(reply);
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

const struct vt_tier_ops vt_torch_tier = {.name = "torch",
                                          .open = tier_open,
                                          .close = tier_close,
                                          .caps = caps,
                                          .prompt = prompt,
                                          .extract = extract,
                                          .baseline = baseline,
                                          .station_open = vt_torch_station_open,
                                          .station_ready = vt_torch_station_ready,
                                          .cancel = vt_torch_cancel,
                                          .station_close = vt_torch_station_close,
                                          .watch = watch,
                                          .ground_open = ground_open,
                                          .ground_close = ground_close,
                                          .floor_ns = floor_ns,
                                          .build = vt_torch_build,
                                          .reference = vt_torch_reference,
                                          .load = vt_torch_load,
                                          .unload = vt_torch_unload,
                                          .check = vt_torch_check,
                                          .time = vt_torch_time,
                                          .candidate_close = vt_torch_candidate_close,
                                          .explain = vt_torch_explain,
                                          .record = vt_torch_record};
