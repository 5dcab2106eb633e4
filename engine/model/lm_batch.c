/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_batch.c: the order of a batch. Slots and rows are sorted by (adapter, group), so that a LoRA product and the
 * attention over a shared prompt run once for a run of neighbours, in every backend alike. The sort is stable: equal
 * ones stay in the caller's order. It moves indices only, so results go straight to the caller's rows.
 */
#include "base/alloc.h"
#include "model/lm_door.h"
#include <stdlib.h>
#include <string.h>

static int adapter_id(const vt_lm_group *g)
{
    return g->adapter ? g->adapter->id : 0;
}

struct item {
    const vt_lm_group *group;
    int index;
};

static int by_place(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    const int ix = adapter_id(x->group), iy = adapter_id(y->group);
    if (ix != iy)
        return ix < iy ? -1 : 1;
    if (x->group->serial != y->group->serial)
        return x->group->serial < y->group->serial ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* One slot twice in a job would draw twice from one place. */
static vt_status mark_slots(vt_lm *lm, const struct vt_lm_job *job, vt_err *err)
{
    const uint64_t mark = ++lm->next_mark;
    for (int i = 0; i < job->decode.n_slots; i++) {
        vt_lm_slot *s = job->decode.slots[i];
        if (!s)
            return vt_fail(err, VT_EINVAL, "sample %d of the batch has no slot", i);
        if (s->mark == mark)
            return vt_fail(err, VT_EINVAL, "sample %d of the batch comes twice", i);
        s->mark = mark;
    }
    return VT_OK;
}

vt_status vt_lm_order_decode(vt_lm *lm, struct vt_lm_work *w, vt_err *err)
{
    const struct vt_lm_job *job = w->job;
    const size_t n = (size_t)job->decode.n_slots;
    VT_TRY(mark_slots(lm, job, err));
    struct item *items = vt_alloc_array(n, sizeof *items);
    w->memory = vt_alloc_array(n, sizeof(vt_lm_slot *) + sizeof(int));
    if (!items || !w->memory) {
        free(items);
        return vt_fail(err, VT_ENOMEM, "out of memory for a batch of %zu samples", n);
    }
    vt_lm_slot **slots = w->memory;
    int *row = (int *)(void *)(slots + n);
    for (size_t i = 0; i < n; i++)
        items[i] = (struct item){job->decode.slots[i]->group, (int)i};
    qsort(items, n, sizeof *items, by_place);
    for (size_t i = 0; i < n; i++) {
        slots[i] = job->decode.slots[items[i].index];
        row[i] = items[i].index;
    }
    free(items);
    w->decode.slots = slots;
    w->decode.row = row;
    w->decode.n_slots = job->decode.n_slots;
    w->decode.n_steps = job->decode.n_steps;
    w->decode.tokens = job->decode.tokens;
    w->decode.logprob = job->decode.logprob;
    w->decode.logprob_behaviour = job->decode.logprob_behaviour;
    w->decode.n_out = job->decode.n_out;
    w->decode.finished = job->decode.finished;
    w->decode.extra = job->decode.extra;
    w->decode.trace = lm->limits.trace_bytes ? job->decode.trace : NULL;
    memset(job->decode.n_out, 0, n * sizeof *job->decode.n_out);
    return VT_OK;
}

/* Ids of -1 have no log-probability; the caller reads 0 there. */
static void clear_absent(const struct vt_lm_score_row *row, int k)
{
    for (size_t i = 0, n = (size_t)row->n * (size_t)k; i < n; i++)
        if (row->targets[i] < 0)
            row->logprob[i] = 0;
}

vt_status vt_lm_order_score(struct vt_lm_work *w, vt_err *err)
{
    const struct vt_lm_job *job = w->job;
    const size_t n = (size_t)job->score.n_rows;
    struct item *items = vt_alloc_array(n, sizeof *items);
    struct vt_lm_score_row *rows = vt_alloc_array(n, sizeof *rows);
    w->memory = rows;
    if (!items || !rows) {
        free(items);
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu scored completions", n);
    }
    for (size_t i = 0; i < n; i++)
        items[i] = (struct item){job->score.groups[i], (int)i};
    qsort(items, n, sizeof *items, by_place);
    w->score.rows = rows;
    w->score.n_rows = job->score.n_rows;
    w->score.k = job->score.k > 1 ? job->score.k : 1;
    for (size_t i = 0; i < n; i++) {
        const int at = items[i].index;
        struct vt_lm_score_row *row = &rows[i];
        *row = (struct vt_lm_score_row){.group = job->score.groups[at],
                                        .tokens = job->score.tokens[at],
                                        .n = job->score.n[at],
                                        .logprob = job->score.logprob[at],
                                        .trace = job->score.trace ? job->score.trace[at] : NULL};
        row->targets = job->score.targets && job->score.targets[at] ? job->score.targets[at] : row->tokens;
        if (job->score.targets)
            clear_absent(row, w->score.k);
        if (!job->score.extra)
            continue;
        row->extra = job->score.extra[at];
        w->score.n_top = row->extra.n_top;
        w->score.wants_entropy |= row->extra.entropy != NULL;
        w->score.wants_certainty |= row->extra.certainty != NULL;
    }
    free(items);
    return VT_OK;
}
