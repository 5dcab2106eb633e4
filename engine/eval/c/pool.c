/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c: draws the sets that the rules of eval/dists.h ask for, and looks at what a call left in its outputs.
 */
#include "eval/c/pool.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/c/inputs.h"
#include "eval/c/runner.h"
#include "eval/c/scratch.h"
#include <stdlib.h>
#include <string.h>

enum { SERIES_BYTES = 64 << 20 }; /* outputs of the calls of one process */

/* Quiet NaN in both halves: also a huge integer and an absurd index. */
static const uint64_t nan_margin = 0x7fc0dead7fc0deadull;

/* Sets that are timed lie as the cache has them best, baseline and candidate alike. The others alternate: every second
 * one ends at a page that is not there, the rest begins after one or lies anywhere. */
static enum vt_plan_lie lie_of(const struct vt_pool *rules, size_t i, uint64_t key)
{
    if (i < rules->n_timed + rules->n_spiced)
        return VT_LIE_LINES;
    bool starts = i / 2 % 3 == 0 || key % 4 == 0;
    return i % 2 == 0 ? VT_LIE_END : starts ? VT_LIE_START : VT_LIE_ANYWHERE;
}

static vt_status make_plans(struct vt_pool_sets *p, const struct vt_pool *rules, vt_err *err)
{
    size_t at = 0, first_of_series = rules->first_drawn < rules->n_sets ? rules->first_drawn : 0, out = 0, va = 0;
    p->plan = vt_alloc_array(rules->n_sets, sizeof *p->plan);
    p->set = vt_alloc_array(rules->n_sets, sizeof *p->set);
    if (!p->plan || !p->set)
        return vt_fail(err, VT_ENOMEM, "cannot prepare task %s: out of memory", vt_task_name(rules->task));
    for (size_t i = 0; i < rules->n_sets; i++) {
        const struct vt_pool_set *r = &rules->set[i];
        struct vt_plan *plan = &p->plan[i];
        uint64_t key = vt_seed_mix(vt_seed_mix(rules->key, i), 0x1e);
        VT_TRY(vt_plan_make(rules->task, r->scale, lie_of(rules, i, key), i >= rules->first_drawn, key, plan, err));
        if (i >= rules->first_drawn)
            vt_plan_vary_scalars(rules->task, key, plan);
        p->set[p->n_sets++] = (struct vt_set){plan, r->scale, r->dist, r->spice, at, {0}};
        at += plan->in_bytes;
        p->out_bytes = plan->out_bytes > p->out_bytes ? plan->out_bytes : p->out_bytes;
        p->va_bytes = plan->va_bytes > p->va_bytes ? plan->va_bytes : p->va_bytes;
        if (i >= first_of_series) {
            out = plan->out_bytes > out ? plan->out_bytes : out;
            va = plan->va_bytes > va ? plan->va_bytes : va;
        }
    }
    /* A file whose pages nobody touches takes no memory. */
    out = out * VT_CALL_MAX_STEPS < SERIES_BYTES ? out * VT_CALL_MAX_STEPS : SERIES_BYTES;
    p->out_bytes = out > p->out_bytes ? out : p->out_bytes;
    va *= VT_CALL_MAX_STEPS;
    p->va_bytes = va > p->va_bytes ? va : p->va_bytes;
    p->in_bytes = at ? at : VT_WIRE_PAGE;
    return VT_OK;
}

static vt_status draw(struct vt_pool_sets *p, const struct vt_pool *rules, vt_truth *truth, vt_lease *lease,
                      vt_err *err)
{
    uint64_t *words = (uint64_t *)(void *)p->in_map;
    for (size_t i = 0; i < p->in_bytes / sizeof *words; i++)
        words[i] = nan_margin;
    for (size_t i = 0; i < p->n_sets; i++) {
        struct vt_set *s = &p->set[i];
        void *buf[VT_TASK_MAX_ARRAYS];
        vt_set_buffers(p, s, NULL, buf);
        for (size_t a = 0; a < s->plan->layout.n_arrays; a++)
            if (s->plan->array[a].is_in)
                buf[a] = p->in_map + s->in_at + s->plan->array[a].in_at + s->plan->array[a].data;
        vt_lease_enter(lease);
        vt_status status = vt_inputs_fill(rules->task, s->scale, rules->key, i, s->dist, s->spice, buf, err);
        vt_lease_leave(lease);
        VT_TRY(status);
        VT_TRY(vt_truth_run(truth, s->scale, s->plan->floats, (const void *const *)buf, &s->expect, err));
    }
    return VT_OK;
}

vt_status vt_pool_sets_make(const struct vt_pool *rules, vt_truth *truth, vt_lease *lease, struct vt_pool_sets *out,
                            vt_err *err)
{
    void *map = NULL;
    memset(out, 0, sizeof *out);
    out->in_fd = -1;
    vt_status s = make_plans(out, rules, err);
    if (s == VT_OK)
        s = vt_memfile_make("inputs", out->in_bytes, &out->in_fd, &map, err);
    out->in_map = map;
    if (s == VT_OK)
        s = draw(out, rules, truth, lease, err);
    if (s == VT_OK)
        s = vt_memfile_seal(out->in_fd, err);
    if (s != VT_OK)
        vt_pool_sets_free(out);
    return s;
}

void vt_pool_sets_free(struct vt_pool_sets *p)
{
    void *map = p->in_map;
    for (size_t i = 0; i < p->n_sets; i++)
        vt_expect_free(&p->set[i].expect);
    free(p->set);
    free(p->plan);
    vt_memfile_free(&p->in_fd, &map, p->in_bytes);
    memset(p, 0, sizeof *p);
    p->in_fd = -1;
}

void vt_set_buffers(const struct vt_pool_sets *p, const struct vt_set *s, unsigned char *out_map,
                    void *buf[VT_TASK_MAX_ARRAYS])
{
    for (size_t i = 0; i < s->plan->layout.n_arrays; i++) {
        const struct vt_wire_array *a = &s->plan->array[i];
        if (a->is_out)
            buf[i] = out_map ? out_map + a->out_at + a->data : NULL;
        else
            buf[i] = p->in_map + s->in_at + a->in_at + a->data;
    }
}

static bool is_pattern(const unsigned char *p, size_t from, size_t to, uint64_t pattern)
{
    unsigned char bytes[8];
    memcpy(bytes, &pattern, sizeof bytes);
    for (size_t i = from; i < to; i++)
        if (p[i] != bytes[i % 8])
            return false;
    return true;
}

bool vt_set_margins_hold(const struct vt_set *s, const unsigned char *out_map, uint64_t poison, size_t *array,
                         bool *is_before)
{
    for (size_t i = 0; i < s->plan->layout.n_arrays; i++) {
        const struct vt_wire_array *a = &s->plan->array[i];
        if (!a->is_out)
            continue;
        const unsigned char *map = out_map + a->out_at;
        *array = i;
        *is_before = true;
        if (!is_pattern(map, 0, a->data, poison))
            return false;
        *is_before = false;
        if (!is_pattern(map, a->data + a->bytes, a->len, poison))
            return false;
    }
    return true;
}

int64_t vt_set_unwritten(const struct vt_set *s, const unsigned char *out_map, uint64_t poison)
{
    int64_t n = 0;
    for (size_t i = 0; i < s->plan->layout.n_arrays; i++) {
        const struct vt_wire_array *a = &s->plan->array[i];
        const struct vt_expect_array *e = &s->expect.array[i];
        if (!a->is_out || a->is_in)
            continue;
        size_t size = vt_dtype_size(e->dtype);
        for (int64_t k = 0; size >= 4 && k < e->n_elem; k++) {
            size_t at = a->data + (size_t)k * size;
            n += is_pattern(out_map + a->out_at, at, at + size, poison);
        }
    }
    return n;
}

/* Four lanes, so that a megabyte takes less than its comparison does. */
static uint64_t digest_bytes(uint64_t seed, const unsigned char *p, size_t n)
{
    const uint64_t odd = 0x9e3779b97f4a7c15ull;
    uint64_t lane[4] = {seed, seed ^ 1, seed ^ 2, seed ^ 3}, word[4];
    for (; n > 0; p += n < sizeof word ? n : sizeof word, n -= n < sizeof word ? n : sizeof word) {
        memset(word, 0, sizeof word);
        memcpy(word, p, n < sizeof word ? n : sizeof word);
        for (int k = 0; k < 4; k++) {
            lane[k] = (lane[k] ^ word[k]) * odd;
            lane[k] ^= lane[k] >> 29;
        }
    }
    return vt_seed_mix(vt_seed_mix(lane[0], lane[1]), vt_seed_mix(lane[2], lane[3]));
}

uint64_t vt_set_digest(const struct vt_set *s, const unsigned char *out_map)
{
    uint64_t d = 0;
    for (size_t i = 0; i < s->plan->layout.n_arrays; i++) {
        const struct vt_wire_array *a = &s->plan->array[i];
        if (a->is_out)
            d = digest_bytes(d, out_map + a->out_at + a->data, a->bytes);
    }
    return d;
}
