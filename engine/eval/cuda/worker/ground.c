/* SPDX-License-Identifier: Apache-2.0
 *
 * ground.c: a task made ready on the device: memory for its arrays, and input sets made from their keys where they lie.
 *
 * Sets stay resident, all of them or those that are timed; one that was pushed out is made again, bit by bit the same.
 * Every array lies at another place of its block each time it is made, between margins whose bytes nobody may change.
 */
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/cuda/worker/state.h"
#include "eval/dists.h"
#include "eval/task_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, QUANTILES = 1024, WAVES = 16, SHARES = 64 };
static const size_t reserve_bytes = (size_t)512 << 20;
/* ---- small things ---- */

vt_status vt_run_launch(struct vt_runner *r, vt_cu_function f, const char *what, int64_t n, void **args, vt_err *err)
{
    const int64_t most = (int64_t)vt_gpu_props(r->gpu)->n_sm * WAVES, want = (n + BLOCK - 1) / BLOCK;
    const struct vt_gpu_grid grid = {.x = (unsigned)(want < 1      ? 1
                                                     : want > most ? most
                                                                   : want),
                                     .y = 1,
                                     .z = 1,
                                     .threads = BLOCK};
    return vt_gpu_launch(r->gpu, r->stream, f, what, &grid, args, err);
}

vt_status vt_run_fetch(struct vt_runner *r, vt_err *err)
{
    VT_TRY(vt_gpu_copy_out(r->gpu, r->results, r->d_results, VT_RUN_RESULTS * sizeof *r->results, r->stream, err));
    return vt_gpu_stream_wait(r->gpu, r->stream, err);
}

vt_status vt_run_grow(struct vt_runner *r, vt_gpu_ptr *p, size_t *have, size_t bytes, const char *what, vt_err *err)
{
    if (bytes <= *have)
        return VT_OK;
    vt_gpu_free(r->gpu, *p);
    *p = 0;
    *have = 0;
    VT_TRY(vt_gpu_alloc(r->gpu, bytes, what, p, err));
    *have = bytes;
    return VT_OK;
}

vt_status vt_run_checksum(struct vt_runner *r, vt_gpu_ptr data, size_t bytes, unsigned result, vt_err *err)
{
    long long n = (long long)bytes;
    vt_gpu_ptr to = r->d_results + result * sizeof(uint64_t);
    VT_TRY(vt_gpu_fill(r->gpu, to, 0, sizeof(uint64_t), r->stream, err));
    void *args[] = {&data, &n, &r->secret, &to};
    return vt_run_launch(r, r->k.checksum, "a checksum", n / 16, args, err);
}

vt_status vt_run_place(struct vt_runner *r, struct vt_run_block *b, size_t bytes, uint64_t random, vt_err *err)
{
    b->bytes = bytes;
    b->data = b->base + VT_RUN_PAD / 2 + 256 * (random % (VT_RUN_PAD / 512));
    b->guard = (size_t)(b->base + b->size - b->data) - bytes;
    b->guard = b->guard < VT_RUN_PAD ? b->guard : VT_RUN_PAD; /* an array of a smaller scale leaves much behind it */
    const vt_gpu_ptr after = b->data + bytes;
    VT_TRY(vt_gpu_fill(r->gpu, b->base, b->margin, b->data - b->base, r->stream, err));
    return vt_gpu_fill(r->gpu, after, b->margin, b->guard, r->stream, err);
}

static vt_status new_block(struct vt_runner *r, struct vt_run_block *b, size_t bytes, bool is_out, vt_err *err)
{
    b->margin = is_out ? (unsigned char)~r->margin : r->margin;
    b->size = (bytes + 255) / 256 * 256 + 2 * VT_RUN_PAD;
    return vt_gpu_alloc(r->gpu, b->size, is_out ? "outputs" : "inputs", &b->base, err);
}

const vt_layout *vt_run_layout(const struct vt_run_ground *g, size_t set)
{
    return &g->layout[g->set[set].is_hidden];
}

/* ---- inputs ---- */

/* Inverts the normal distribution function by bisection, as eval/c/inputs.c does. */
static vt_status make_quantiles(struct vt_runner *r, vt_err *err)
{
    static float table[QUANTILES + 1];
    for (int q = 0; q <= QUANTILES; q++) {
        double p = q == 0 ? 0.25 / QUANTILES : q == QUANTILES ? 1 - 0.25 / QUANTILES : (double)q / QUANTILES;
        double lo = -5, hi = 5;
        for (int step = 0; step < 60; step++) {
            double mid = (lo + hi) / 2;
            if (0.5 * erfc(-mid / 1.4142135623730951) < p)
                lo = mid;
            else
                hi = mid;
        }
        table[q] = (float)lo;
    }
    VT_TRY(vt_gpu_alloc(r->gpu, sizeof table, "quantiles", &r->quantile, err));
    VT_TRY(vt_gpu_copy_in(r->gpu, r->quantile, table, sizeof table, r->stream, err));
    return vt_gpu_stream_wait(r->gpu, r->stream, err);
}

static vt_status describe(const struct vt_run_ground *g, size_t set, size_t i, struct vt_dev_gen *out, vt_err *err)
{
    const vt_task *t = g->task;
    const vt_layout *l = vt_run_layout(g, set);
    const struct vt_layout_array *la = &l->array[i];
    const struct vt_task_array *a = vt_task_array(t, i);
    const struct vt_array_rules *rules = &t->rules[i];
    const char *scale = g->set[set].is_hidden ? "hidden" : g->scale;
    const int dist = g->set[set].dist;
    const float lo = (float)rules->lo, hi = (float)rules->hi;
    const struct vt_dist *d = vt_dist_find(a->dist[dist % a->n_dists], a->dtype);
    int64_t fan_in = 1, max = 2;
    if (rules->fan_in)
        VT_TRY(vt_task_size(t, scale, rules->fan_in, &fan_in, err));
    if (rules->max)
        VT_TRY(vt_task_size(t, scale, rules->max, &max, err));
    if (fan_in < 1 || max < 1 || max > INT32_MAX || (a->dtype == VT_U8 && max > 256))
        return vt_fail(err, VT_EFORMAT, "array \"%s\": fan_in or max is out of range at scale \"%s\"", a->name, scale);
    *out = (struct vt_dev_gen){.key = vt_seed_mix(vt_set_key(t, scale, g->key, set, dist), i),
                               .n = la->n_elem,
                               .block = d->per_array ? la->n_elem : la->block,
                               .dim_n = la->n_dims > 1 ? la->shape[la->n_dims - 2] : 1,
                               .dim_m = la->row,
                               .max = (uint64_t)max,
                               .fan_in = (double)fan_in,
                               .kind = (int)d->kind,
                               .is_normal = d->is_normal,
                               .dtype = (int)a->dtype,
                               .keep = (int)rules->keep,
                               .has_range = rules->has_range,
                               .is_mask = d->kind == VT_DIST_MASK,
                               .lo = lo,
                               .hi = hi};
    out->n_rows = out->n / out->block;
    out->unit = hi - lo;
    out->from = lo;
    if (rules->has_range && (d->is_normal || d->kind != VT_DIST_RAW)) {
        out->unit = exp2f(floorf(log2f((hi - lo) / 6)));
        out->from = out->unit * roundf((lo + (hi - lo) / 2) / out->unit);
    }
    return VT_OK;
}

static vt_status fill_array(struct vt_runner *r, struct vt_run_ground *g, size_t set, size_t i,
                            struct vt_run_slot *slot, vt_err *err)
{
    struct vt_dev_gen gen;
    struct vt_run_block *b = &slot->in[i];
    vt_gpu_ptr at = r->d_gens + i * sizeof gen;
    VT_TRY(describe(g, set, i, &gen, err));
    VT_TRY(vt_run_place(r, b, vt_run_layout(g, set)->array[i].bytes, vt_seed_mix(r->secret, ++r->clock), err));
    VT_TRY(vt_run_grow(r, &r->rows, &r->rows_bytes, (size_t)gen.n_rows * sizeof(struct vt_dev_row), "rows", err));
    gen.data = b->data;
    gen.rows = r->rows;
    gen.quantile = r->quantile;
    VT_TRY(vt_gpu_copy_in(r->gpu, at, &gen, sizeof gen, r->stream, err));
    void *args[] = {&at};
    if (gen.dtype == VT_F32) {
        const struct vt_gpu_grid grid = {
            .x = (unsigned)((gen.n_rows + BLOCK - 1) / BLOCK), .y = 1, .z = 1, .threads = BLOCK};
        VT_TRY(vt_gpu_launch(r->gpu, r->stream, r->k.rows, "rows of inputs", &grid, args, err));
    }
    VT_TRY(vt_run_launch(r, r->k.fill, "inputs", gen.n, args, err));
    return vt_run_checksum(r, b->data, b->bytes, (unsigned)i, err);
}

vt_status vt_run_inputs(struct vt_runner *r, struct vt_run_ground *g, size_t set, struct vt_run_slot **out, vt_err *err)
{
    struct vt_run_slot *oldest = &g->slot[0];
    for (unsigned i = 0; i < g->n_slots; i++) {
        if (g->slot[i].set == (int)set) {
            g->slot[i].used = ++r->clock;
            *out = &g->slot[i];
            return VT_OK;
        }
        /* A set that is timed is wanted again; the others are met once or twice. */
        bool is_timed = g->slot[i].set >= 0 && g->slot[i].set < (int)g->n_timed,
             is_oldest_timed = oldest->set >= 0 && oldest->set < (int)g->n_timed;
        if (is_timed != is_oldest_timed ? is_oldest_timed : g->slot[i].used < oldest->used)
            oldest = &g->slot[i];
    }
    oldest->set = -1;
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++)
        if (vt_role_is_input(vt_task_array(g->task, i)->role))
            VT_TRY(fill_array(r, g, set, i, oldest, err));
    VT_TRY(vt_run_fetch(r, err));
    memcpy(oldest->sum, r->results, sizeof oldest->sum);
    oldest->set = (int)set;
    oldest->used = ++r->clock;
    *out = oldest;
    return VT_OK;
}

/* ---- grounds ---- */

static size_t bytes_of(const struct vt_run_ground *g, size_t i)
{
    size_t a = g->layout[0].array[i].bytes, b = g->layout[1].n_arrays ? g->layout[1].array[i].bytes : 0;
    return a > b ? a : b;
}

static vt_status read_task(struct vt_run_ground *g, const struct vt_cuda_request *q, char *json, size_t len,
                           const char *reference, vt_err *err)
{
    char why[256];
    VT_TRY(vt_task_parse(json, len, &g->task, err));
    VT_TRY(vt_task_layout(g->task, g->scale, &g->layout[0], err));
    bool has_hidden = false;
    for (unsigned i = 0; i < q->n_sets; i++)
        has_hidden |= q->set[i].is_hidden != 0;
    if (has_hidden)
        VT_TRY(vt_task_layout(g->task, "hidden", &g->layout[1], err));
    VT_TRY(vt_launch_plan_read(g->task, reference, strlen(reference), &g->plan, why, err));
    if (!why[0])
        (void)vt_launch_plan_at(&g->plan, g->task, g->scale, &g->sizes[0], why);
    if (!why[0] && has_hidden)
        (void)vt_launch_plan_at(&g->plan, g->task, "hidden", &g->sizes[1], why);
    return why[0] ? vt_fail(err, VT_EFORMAT, "task %s, its CUDA text: %s", vt_task_name(g->task), why) : VT_OK;
}

static vt_status load_truth(struct vt_runner *r, struct vt_run_ground *g, const void *image, vt_err *err)
{
    char name[32];
    VT_TRY(vt_gpu_module_load(r->gpu, image, "the truth of a task", &g->truth_module, err));
    for (unsigned i = 0; i < g->plan.n_launches; i++) {
        snprintf(name, sizeof name, "vt_truth_%u", i);
        const size_t smem = g->sizes[0].launch[i].smem;
        VT_TRY(vt_gpu_kernel(r->gpu, g->truth_module, name, smem, &g->truth[i], err));
    }
    return VT_OK;
}

static vt_status take_memory(struct vt_runner *r, struct vt_run_ground *g, vt_err *err)
{
    const vt_task *t = g->task;
    size_t free_bytes = 0, total = 0, in = 0, out = 0, scratch = 0;
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        const bool is_out = vt_role_is_output(vt_task_array(t, i)->role);
        *(is_out ? &out : &in) += bytes_of(g, i) + 2 * VT_RUN_PAD;
    }
    for (unsigned i = 0; i < g->plan.n_scratch; i++)
        scratch +=
            4 * (g->sizes[0].scratch[i] > g->sizes[1].scratch[i] ? g->sizes[0].scratch[i] : g->sizes[1].scratch[i]);
    VT_TRY(vt_gpu_check(r->gpu, r->cu->mem_info(&free_bytes, &total), "reading the free GPU memory", err));
    const size_t fixed = out + scratch + reserve_bytes;
    if (free_bytes < fixed + in)
        return vt_fail(
            err, VT_ENOMEM,
            "task %s at scale \"%s\" needs %.1f GB of GPU memory and %.1f GB are free; choose a smaller scale",
            vt_task_name(t), g->scale, (double)(fixed + in) / 1e9, (double)free_bytes / 1e9);
    /* All sets stay where that is little; else the timed ones, and the others take turns in one more place. */
    const size_t n = (free_bytes - fixed) / (in ? in : 1);
    const size_t want = in * g->n_sets <= total / SHARES ? g->n_sets : g->n_timed + 1;
    g->n_slots = (unsigned)(n < want ? n : want);
    g->bytes = fixed - reserve_bytes + in * g->n_slots;
    for (unsigned i = 0; i < g->plan.n_scratch; i++) {
        size_t a = g->sizes[0].scratch[i], b = g->sizes[1].scratch[i];
        VT_TRY(vt_gpu_alloc(r->gpu, 4 * (a > b ? a : b), "scratch of truths", &g->truth_scratch[i], err));
    }
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        if (!vt_role_is_output(vt_task_array(t, i)->role)) {
            for (unsigned s = 0; s < g->n_slots; s++)
                VT_TRY(new_block(r, &g->slot[s].in[i], bytes_of(g, i), false, err));
            continue;
        }
        VT_TRY(new_block(r, &g->out[i], bytes_of(g, i), true, err));
        if (vt_task_atol(t) > 0) {
            int64_t rows = 0;
            for (int h = 0; h < 2; h++)
                if (g->layout[h].n_arrays && g->layout[h].array[i].n_elem / g->layout[h].array[i].row > rows)
                    rows = g->layout[h].array[i].n_elem / g->layout[h].array[i].row;
            VT_TRY(vt_gpu_alloc(r->gpu, 8 * (size_t)rows, "row maxima", &g->row_max[i], err));
        }
    }
    return VT_OK;
}

void vt_run_ground_free(struct vt_runner *r, struct vt_run_ground *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < VT_TASK_MAX_ARRAYS; i++) {
        vt_gpu_free(r->gpu, g->out[i].base);
        vt_gpu_free(r->gpu, g->row_max[i]);
        for (unsigned s = 0; s < VT_POOL_MAX_SETS; s++)
            vt_gpu_free(r->gpu, g->slot[s].in[i].base);
        for (unsigned s = 0; s < VT_POOL_MAX_SETS; s++)
            vt_gpu_free(r->gpu, g->stored[s].store[i]);
    }
    for (unsigned i = 0; i < VT_PLAN_MAX_SCRATCH; i++)
        vt_gpu_free(r->gpu, g->truth_scratch[i]);
    vt_gpu_module_free(r->gpu, g->truth_module);
    vt_launch_plan_free(&g->plan);
    vt_task_unref(g->task);
    free(g);
}

vt_status vt_run_ground_make(struct vt_runner *r, const struct vt_cuda_request *q, char *json, size_t json_len,
                             const char *reference, const void *truth, struct vt_run_ground **out, vt_err *err)
{
    *out = NULL;
    if (!r->quantile)
        VT_TRY(make_quantiles(r, err));
    struct vt_run_ground *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "out of memory for a task");
    g->id = q->ground;
    g->key = q->key;
    g->n_sets = q->n_sets;
    g->n_timed = q->n_timed;
    memcpy(g->scale, q->scale, sizeof g->scale);
    memcpy(g->set, q->set, sizeof g->set);
    for (unsigned i = 0; i < VT_POOL_MAX_SETS; i++)
        g->slot[i].set = -1;
    vt_status s = read_task(g, q, json, json_len, reference, err);
    if (s == VT_OK)
        s = load_truth(r, g, truth, err);
    if (s == VT_OK)
        s = take_memory(r, g, err);
    if (s != VT_OK) {
        vt_run_ground_free(r, g);
        return s;
    }
    *out = g;
    return VT_OK;
}
