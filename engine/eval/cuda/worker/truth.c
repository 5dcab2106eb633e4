/* SPDX-License-Identifier: Apache-2.0
 *
 * truth.c: outputs against truth, on the device, all of them, after the candidate has run. The truth's text judges each
 * element at the moment it has computed it, so that no truth need be anywhere (an elementwise task's is four times its
 * output). Only where that took long, or the truth is small, is it stored, veiled, when it is wanted again.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "eval/cuda/worker/state.h"
#include "eval/task_parts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHARES = 24 }; /* of the device's memory: one is the most that a dear truth may take */
static const size_t small_bytes = (size_t)64 << 20;
static const uint64_t dear_ns = 5000000;

/* Memory for the truth of a set, if it shall be stored and a quarter of the device stays free. */
static bool has_store(struct vt_runner *r, struct vt_run_ground *g, size_t set)
{
    const vt_layout *l = vt_run_layout(g, set);
    struct vt_run_truth *truth = &g->stored[set];
    size_t bytes = 0, free_bytes = 0, total = 0;
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++)
        bytes += vt_role_is_output(vt_task_array(g->task, i)->role) ? 16 * (size_t)l->array[i].n_elem : 0;
    if ((bytes > small_bytes && !g->is_dear) || r->cu->mem_info(&free_bytes, &total) != VT_CU_OK ||
        bytes > total / SHARES || free_bytes < bytes + total / 4)
        return false;
    for (size_t i = 0; i < vt_task_n_arrays(g->task); i++)
        if (vt_role_is_output(vt_task_array(g->task, i)->role) && !truth->store[i] &&
            vt_gpu_alloc(r->gpu, 16 * (size_t)l->array[i].n_elem, "truths", &truth->store[i], NULL) != VT_OK)
            return false;
    return true;
}

/* One run of the truth's text. */
static vt_status run_text(struct vt_runner *r, struct vt_run_ground *g, size_t set, const struct vt_run_slot *slot,
                          vt_err *err)
{
    const vt_task *t = g->task;
    const int hidden = g->set[set].is_hidden;
    for (unsigned i = 0; i < g->plan.n_launches; i++) {
        const struct vt_plan_launch *l = &g->plan.launch[i];
        const struct vt_launch_sizes *n = &g->sizes[hidden].launch[i];
        uint64_t value[VT_PLAN_MAX_ARGS + 1] = {r->d_sink};
        void *args[VT_PLAN_MAX_ARGS + 1] = {&value[0]};
        for (unsigned k = 0; k < l->n_args; k++) {
            const unsigned at = l->arg[k].index;
            args[k + 1] = &value[k + 1];
            if (l->arg[k].kind == VT_ARG_ARRAY)
                value[k + 1] = vt_role_is_output(vt_task_array(t, at)->role) ? at : slot->in[at].data;
            else if (l->arg[k].kind == VT_ARG_SCRATCH)
                value[k + 1] = g->truth_scratch[at];
            else if (l->arg[k].kind == VT_ARG_SIZE)
                memcpy(&value[k + 1], &g->layout[hidden].size[at], sizeof(int32_t));
            else if (t->scalar[at].is_int)
                memcpy(&value[k + 1], &(int){(int)t->scalar[at].value}, sizeof(int));
            else
                memcpy(&value[k + 1], &(float){(float)t->scalar[at].value}, sizeof(float));
        }
        const struct vt_cu_launch launch = {.grid = {n->grid[0], n->grid[1], n->grid[2]},
                                            .block = {n->block[0], n->block[1], n->block[2]},
                                            .smem = n->smem,
                                            .stream = r->stream};
        VT_TRY(vt_gpu_check(r->gpu, r->cu->launch(&launch, g->truth[i], args, NULL), "launching a task's truth", err));
    }
    return VT_OK;
}

static vt_status put_sink(struct vt_runner *r, struct vt_dev_sink *s, int mode, vt_err *err)
{
    s->mode = mode;
    VT_TRY(vt_gpu_copy_in(r->gpu, r->d_sink, s, sizeof *s, r->stream, err));
    return vt_gpu_stream_wait(r->gpu, r->stream, err);
}

static vt_status clear_tally(struct vt_runner *r, vt_err *err)
{
    memset(r->tally, 0, sizeof *r->tally);
    return vt_gpu_copy_in(r->gpu, r->d_tally, r->tally, sizeof *r->tally, r->stream, err);
}

static vt_status fetch_tally(struct vt_runner *r, int64_t *n_checked, vt_err *err)
{
    VT_TRY(vt_gpu_copy_out(r->gpu, r->tally, r->d_tally, sizeof *r->tally, r->stream, err));
    VT_TRY(vt_gpu_stream_wait(r->gpu, r->stream, err));
    *n_checked = 0;
    for (int i = 0; i < VT_DEV_SLOTS; i++)
        *n_checked += (int64_t)r->tally->slot[i].n_checked;
    return VT_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct vt_dev_diff *x = a, *y = b;
    if (x->array != y->array)
        return x->array < y->array ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void read_tally(struct vt_dev_tally *t, int64_t n_checked, struct vt_compare_result *out)
{
    uint64_t n = t->n_diffs < VT_DEV_DIFFS ? t->n_diffs : VT_DEV_DIFFS;
    memset(out, 0, sizeof *out);
    out->n_checked = n_checked;
    out->n_wrong = (int64_t)t->n_wrong;
    out->n_nan = (int64_t)t->n_nan;
    for (int i = 0; i < VT_DEV_SLOTS; i++) {
        double worst;
        memcpy(&worst, &t->slot[i].worst, sizeof worst);
        out->worst = worst > out->worst ? worst : out->worst;
    }
    qsort(t->diff, n, sizeof t->diff[0], by_place);
    for (uint64_t i = 0; i < n && out->n_diffs < VT_MAX_DIFFS; i++)
        out->diff[out->n_diffs++] = (struct vt_diff){(size_t)t->diff[i].array, t->diff[i].index, t->diff[i].expected,
                                                     t->diff[i].got, t->diff[i].bound};
}

static vt_status must_cover(const struct vt_run_ground *g, int64_t n_checked, int64_t n_elem, vt_err *err)
{
    return n_checked == n_elem
               ? VT_OK
               : vt_fail(err, VT_EFORMAT,
                         "task %s: its CUDA text assigns %lld output elements of %lld; it must assign each one once",
                         vt_task_name(g->task), (long long)n_checked, (long long)n_elem);
}

/* Nothing that a later candidate could find: not the key of the stored truths, not what led to one. */
static vt_status forget(struct vt_runner *r, const struct vt_run_ground *g, size_t set, vt_err *err)
{
    const int hidden = g->set[set].is_hidden;
    for (unsigned i = 0; i < g->plan.n_scratch; i++)
        VT_TRY(vt_gpu_fill(r->gpu, g->truth_scratch[i], 0, 4 * g->sizes[hidden].scratch[i], r->stream, err));
    return vt_gpu_fill(r->gpu, r->d_sink, 0, sizeof(struct vt_dev_sink), r->stream, err);
}

vt_status vt_run_compare(struct vt_runner *r, struct vt_run_ground *g, size_t against, const struct vt_run_slot *slot,
                         struct vt_compare_result *out, vt_err *err)
{
    const vt_task *t = g->task;
    const vt_layout *l = vt_run_layout(g, against);
    struct vt_run_truth *truth = &g->stored[against];
    struct vt_dev_sink s = {.tally = r->d_tally,
                            .key = vt_seed_mix(r->secret ^ g->id, against),
                            .k = vt_task_k(t),
                            .rtol = vt_task_rtol(t),
                            .atol = vt_task_atol(t)};
    int64_t n_elem = 0, n_checked = 0;
    bool has_rows = false;
    const uint64_t from = vt_now_ns();
    const bool is_stored = truth->is_made || has_store(r, g, against);
    for (size_t i = 0; i < vt_task_n_arrays(t); i++) {
        if (!vt_role_is_output(vt_task_array(t, i)->role))
            continue;
        n_elem += l->array[i].n_elem;
        s.got[i] = g->out[i].data;
        s.store[i] = truth->store[i];
        s.row[i] = l->array[i].row;
        s.is_exact[i] = vt_task_array(t, i)->compare != VT_BOUND;
        s.row_max[i] = g->row_max[i];
        has_rows |= g->row_max[i] != 0;
        if (g->row_max[i])
            VT_TRY(vt_gpu_fill(r->gpu, g->row_max[i], 0, 8 * (size_t)(l->array[i].n_elem / l->array[i].row), r->stream,
                               err));
    }
    VT_TRY(clear_tally(r, err));
    if (has_rows && !truth->is_made) {
        VT_TRY(put_sink(r, &s, VT_SINK_ROW_MAX, err));
        VT_TRY(run_text(r, g, against, slot, err));
    }
    if (is_stored && !truth->is_made) {
        VT_TRY(put_sink(r, &s, VT_SINK_STORE, err));
        VT_TRY(run_text(r, g, against, slot, err));
        VT_TRY(fetch_tally(r, &n_checked, err));
        VT_TRY(must_cover(g, n_checked, n_elem, err));
        truth->is_made = true;
        VT_TRY(clear_tally(r, err));
    }
    VT_TRY(put_sink(r, &s, VT_SINK_COMPARE, err));
    if (!is_stored)
        VT_TRY(run_text(r, g, against, slot, err));
    for (int i = 0; is_stored && i < (int)vt_task_n_arrays(t); i++) {
        long long n = l->array[i].n_elem;
        int dtype = (int)vt_task_array(t, (size_t)i)->dtype;
        void *args[] = {&r->d_sink, &i, &n, &dtype};
        if (vt_role_is_output(vt_task_array(t, (size_t)i)->role))
            VT_TRY(vt_run_launch(r, r->k.compare, "a comparison", n, args, err));
    }
    VT_TRY(fetch_tally(r, &n_checked, err));
    VT_TRY(must_cover(g, n_checked, n_elem, err));
    VT_TRY(forget(r, g, against, err));
    read_tally(r->tally, n_checked, out);
    g->is_dear |= !is_stored && vt_now_ns() - from > dear_ns; /* so are the truths of its other sets */
    return VT_OK;
}
