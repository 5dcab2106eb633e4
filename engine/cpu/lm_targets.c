/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_targets.c: the list of head rows, shared by score and training: the residual row before a token gives that token's
 * log-probability, so a prompt's last row serves the first token of all of its completions. Each head row has the
 * targets added after it, any number of them, and may ask for the rest of the walk's yield (entropy, sum, top).
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

uint64_t vt_cpu_targets_bytes(const struct vt_cpu *lm, int n_rows, bool has_extra)
{
    return (uint64_t)n_rows * vt_cpu_sums_floats(lm, has_extra) * sizeof(float);
}

void vt_cpu_targets_free(struct vt_cpu *lm, struct vt_cpu_targets *l)
{
    const bool has_extra = l->extra != NULL;
    free(l->x);
    free(l->runs);
    free(l->targets);
    free(l->lse);
    free(l->extra);
    vt_cpu_give(lm, l->memory, (size_t)vt_cpu_targets_bytes(lm, l->cap_rows, has_extra));
    memset(l, 0, sizeof *l);
}

static bool allocate(struct vt_cpu_targets *l, size_t n_rows, size_t n_targets)
{
    l->x = vt_alloc_array(n_rows, sizeof *l->x);
    l->runs = vt_alloc_array(n_rows, sizeof *l->runs);
    l->lse = vt_alloc_array(n_rows, sizeof *l->lse);
    l->targets = vt_alloc_array(n_targets, sizeof *l->targets);
    return l->x && l->runs && l->lse && l->targets;
}

vt_status vt_cpu_targets_begin(struct vt_cpu *lm, int n_rows, size_t n_targets, bool has_extra,
                               struct vt_cpu_targets *l, vt_err *err)
{
    void *sums;
    memset(l, 0, sizeof *l);
    if (has_extra && !(l->extra = vt_alloc_array((size_t)n_rows, sizeof *l->extra)))
        return vt_fail(err, VT_ENOMEM, "out of memory for the entropies of %d tokens", n_rows);
    vt_status status =
        vt_cpu_take(lm, (size_t)vt_cpu_targets_bytes(lm, n_rows, has_extra), "log-softmax reductions", &sums, err);
    if (status == VT_OK) {
        l->memory = sums;
        l->cap_rows = n_rows;
        l->sums = vt_cpu_sums_carve(lm, l->memory, n_rows, has_extra);
        if (!allocate(l, (size_t)n_rows, n_targets))
            status = vt_fail(err, VT_ENOMEM, "out of memory for the logprobs of %zu tokens", n_targets);
    }
    if (status != VT_OK)
        vt_cpu_targets_free(lm, l);
    return status;
}

void vt_cpu_targets_row(struct vt_cpu_targets *l, const float *x, struct vt_cpu_adapter *adapter)
{
    if (l->n_runs == 0 || l->runs[l->n_runs - 1].adapter != adapter)
        l->runs[l->n_runs++] = (struct vt_cpu_run){.row0 = l->n_rows, .adapter = adapter};
    l->x[l->n_rows++] = x;
    l->runs[l->n_runs - 1].row1 = l->n_rows;
}

void vt_cpu_targets_add(struct vt_cpu_targets *l, int32_t id, float *logprob)
{
    l->targets[l->n_targets++] = (struct vt_cpu_target){.row = l->n_rows - 1, .id = id, .logprob = logprob};
}

void vt_cpu_targets_extra(struct vt_cpu_targets *l, struct vt_lm_extra extra)
{
    l->extra[l->n_rows - 1] = extra;
}

void vt_cpu_targets_run(struct vt_cpu *lm, struct vt_cpu_targets *l)
{
    struct vt_cpu_head h = {.x = l->x,
                            .n_rows = l->n_rows,
                            .runs = l->runs,
                            .n_runs = l->n_runs,
                            .targets = l->targets,
                            .n_targets = l->n_targets,
                            .lse = l->lse,
                            .sums = l->sums,
                            .extra = l->extra};
    vt_cpu_head_run(lm, &h);
}
