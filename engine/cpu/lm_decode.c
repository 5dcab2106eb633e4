/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_decode.c: n_steps tokens for each of some slots, of any groups and adapters.
 *
 * A step feeds the newest token of every live slot through one pass, makes the logits and draws. Slots are ordered by
 * adapter and group, so that a LoRA product and the attention over a shared prompt run once per run of rows. A slot
 * that has no token yet takes its logits from its group's last prompt row; such slots of one group share that row.
 * All memory of the job is taken before the first step: a refusal leaves the slots as they were.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

struct decode {
    vt_lm *lm;
    struct vt_lm_job *job;
    int *order;           /* slot indices by (adapter, group) */
    vt_lm_slot **live;    /* [n_live] this step's slots, in order */
    int *index;           /* [n_live] their rows in the job's arrays */
    int *row;             /* [n_live] pass row, -1 = the group's last */
    int n_live, from, to; /* [from, to): live slots of the head at work */
    const float **x;
    struct vt_lm_run *runs;
    double *lse;
    struct vt_lm_head head;
    vt_err *errs; /* [n_threads] */
};

static int adapter_id(const vt_lm_slot *s)
{
    return s->group->adapter ? s->group->adapter->id : 0;
}

static bool comes_before(const vt_lm_slot *a, const vt_lm_slot *b)
{
    if (adapter_id(a) != adapter_id(b))
        return adapter_id(a) < adapter_id(b);
    return a->group->serial < b->group->serial;
}

/* Insertion sort: stable, and batches come nearly sorted. */
static void sort_slots(const struct decode *d)
{
    vt_lm_slot **slots = d->job->decode.slots;
    for (int i = 0; i < d->job->decode.n_slots; i++) {
        int at = i;
        while (at > 0 && comes_before(slots[i], slots[d->order[at - 1]])) {
            d->order[at] = d->order[at - 1];
            at--;
        }
        d->order[at] = i;
    }
}

static vt_status grow_head(vt_lm *lm, int n, vt_err *err)
{
    if (n <= lm->head_cap)
        return VT_OK;
    vt_lm_decode_free(lm);
    const size_t chunks = (size_t)vt_lm_head_chunks(lm), row = ((size_t)lm->cfg.n_vocab + 2 * chunks) * sizeof(float);
    void *memory;
    VT_TRY(vt_lm_take(lm, (size_t)n * row, "logits", &memory, err));
    lm->head_logits = memory;
    lm->head_max = lm->head_logits + (size_t)n * (size_t)lm->cfg.n_vocab;
    lm->head_sum = lm->head_max + (size_t)n * chunks;
    lm->head_cap = n;
    return VT_OK;
}

void vt_lm_decode_free(vt_lm *lm)
{
    const size_t chunks = (size_t)vt_lm_head_chunks(lm), row = ((size_t)lm->cfg.n_vocab + 2 * chunks) * sizeof(float);
    vt_lm_give(lm, lm->head_logits, (size_t)lm->head_cap * row);
    lm->head_logits = lm->head_max = lm->head_sum = NULL;
    lm->head_cap = 0;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Pages for every token this job may feed. */
static vt_status take_pages(const struct decode *d, vt_err *err)
{
    int last_pos = 1;
    for (int i = 0; i < d->job->decode.n_slots; i++) {
        vt_lm_slot *s = d->job->decode.slots[i];
        const int fed = least(s->n_tokens + d->job->decode.n_steps, s->max_tokens) - 1;
        if (s->finished || fed < 1)
            continue;
        VT_TRY(vt_lm_blocks_grow(d->lm, s->group, s->group->n_tokens + fed, s->blocks, s->own, &s->n_blocks, err));
        last_pos = s->group->n_tokens + fed > last_pos ? s->group->n_tokens + fed : last_pos;
    }
    return vt_lm_rope_ensure(d->lm, last_pos, err);
}

/* Passes the newest token of every live slot that has one through the layers. */
static vt_status feed(struct decode *d, vt_err *err)
{
    struct vt_lm_pass p;
    VT_TRY(vt_lm_rows_begin(d->lm, d->n_live, d->n_live, &p, err));
    for (int i = 0; i < d->n_live; i++) {
        vt_lm_slot *s = d->live[i];
        d->row[i] = s->n_tokens ? p.n_rows : -1;
        if (s->n_tokens)
            vt_lm_rows_add(&p, &s->last, 1, s->group->n_tokens + s->n_tokens - 1, s->blocks,
                           s->group->n_tokens / VT_PAGE_KEYS, s->group, s->group->adapter);
    }
    vt_lm_pass_run(&p);
    for (int i = 0; i < d->n_live; i++)
        d->x[i] = d->row[i] < 0 ? d->live[i]->group->last : p.x + (size_t)d->row[i] * (size_t)d->lm->cfg.d_model;
    return VT_OK;
}

static void take_draw(vt_lm_slot *s, const struct vt_lm_draw *draw)
{
    s->last = draw->token;
    s->n_tokens++;
    for (int i = 0; i < s->n_stop_ids; i++)
        if (s->stop_ids[i] == draw->token)
            s->finished = 1;
    if (!s->finished && s->n_tokens >= s->max_tokens)
        s->finished = 2;
}

static void sample_share(void *arg, int thread, int n_threads)
{
    struct decode *d = arg;
    vt_lm *lm = d->lm;
    struct vt_lm_job *job = d->job;
    const int n_chunks = vt_lm_head_chunks(lm);
    int a, b;
    vt_range_split(d->to - d->from, 1, thread, n_threads, &a, &b);
    for (int i = d->from + a; i < d->from + b; i++) {
        vt_lm_slot *s = d->live[i];
        const size_t r = (size_t)s->head_row;
        struct vt_lm_logits row = {.k = lm->k,
                                   .n_vocab = lm->cfg.n_vocab,
                                   .n_chunks = n_chunks,
                                   .lse = d->lse[r],
                                   .logit = lm->head_logits + r * (size_t)lm->cfg.n_vocab,
                                   .max = lm->head_max + r * (size_t)n_chunks,
                                   .sum = lm->head_sum + r * (size_t)n_chunks};
        struct vt_lm_draw draw;
        if (vt_lm_sample(&row, &s->sampling, s->seed, (uint64_t)s->n_tokens, lm->bufs[thread].sample, &draw,
                         &d->errs[thread]) != VT_OK)
            return;
        const size_t at = (size_t)d->index[i] * (size_t)job->decode.n_steps + (size_t)job->decode.n_out[d->index[i]]++;
        job->decode.tokens[at] = draw.token;
        job->decode.logprob[at] = draw.logprob;
        job->decode.logprob_behaviour[at] = draw.logprob_behaviour;
        take_draw(s, &draw);
    }
}

/* Logits and draws of live slots [from, to): at most VT_NARROW_ROWS of them. */
static void draw_some(struct decode *d)
{
    struct vt_lm_head *h = &d->head;
    *h = (struct vt_lm_head){.x = d->x + d->from,
                             .runs = d->runs,
                             .lse = d->lse,
                             .logits = d->lm->head_logits,
                             .max = d->lm->head_max,
                             .sum = d->lm->head_sum};
    const float **x = d->x + d->from;
    for (int i = d->from; i < d->to; i++) {
        vt_lm_slot *s = d->live[i];
        if (h->n_rows == 0 || x[h->n_rows - 1] != d->x[i]) {
            if (h->n_runs == 0 || d->runs[h->n_runs - 1].adapter != s->group->adapter)
                d->runs[h->n_runs++] = (struct vt_lm_run){.row0 = h->n_rows, .adapter = s->group->adapter};
            x[h->n_rows++] = d->x[i];
            d->runs[h->n_runs - 1].row1 = h->n_rows;
        }
        s->head_row = h->n_rows - 1;
    }
    vt_lm_head_run(d->lm, h);
    vt_pool_run(d->lm->pool, sample_share, d);
}

static vt_status step(struct decode *d, vt_err *err)
{
    const struct vt_lm_job *job = d->job;
    d->n_live = 0;
    for (int i = 0; i < job->decode.n_slots; i++) {
        vt_lm_slot *s = job->decode.slots[d->order[i]];
        if (s->finished)
            continue;
        d->index[d->n_live] = d->order[i];
        d->live[d->n_live++] = s;
    }
    if (d->n_live == 0)
        return VT_OK;
    VT_TRY(feed(d, err));
    for (d->from = 0; d->from < d->n_live; d->from = d->to) {
        d->to = least(d->from + VT_NARROW_ROWS, d->n_live);
        draw_some(d);
    }
    for (int i = 0; i < d->lm->n_threads; i++) {
        if (d->errs[i].code != VT_OK) {
            if (err)
                *err = d->errs[i];
            return d->errs[i].code;
        }
    }
    return VT_OK;
}

static vt_status check(const struct vt_lm_job *job, vt_err *err)
{
    if (job->decode.n_slots < 1 || job->decode.n_steps < 1)
        return vt_fail(err, VT_EINVAL, "cannot decode %d samples by %d steps; both must be at least 1",
                       job->decode.n_slots, job->decode.n_steps);
    return VT_OK;
}

vt_status vt_lm_do_decode(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    VT_TRY(check(job, err));
    const size_t n = (size_t)job->decode.n_slots;
    struct decode d = {.lm = lm, .job = job};
    vt_status status = VT_OK;
    d.order = vt_alloc_array(n, sizeof *d.order);
    d.live = vt_alloc_array(n, sizeof *d.live);
    d.index = vt_alloc_array(n, sizeof *d.index);
    d.row = vt_alloc_array(n, sizeof *d.row);
    d.x = vt_alloc_array(n, sizeof *d.x);
    d.runs = vt_alloc_array(n, sizeof *d.runs);
    d.lse = vt_alloc_array(n, sizeof *d.lse);
    d.errs = vt_alloc_array((size_t)lm->n_threads, sizeof *d.errs);
    memset(job->decode.n_out, 0, n * sizeof *job->decode.n_out);
    if (!d.order || !d.live || !d.index || !d.row || !d.x || !d.runs || !d.lse || !d.errs) {
        status = vt_fail(err, VT_ENOMEM, "out of memory for a batch of %zu samples", n);
        goto out;
    }
    sort_slots(&d);
    status = grow_head(lm, least((int)n, VT_NARROW_ROWS), err);
    if (status == VT_OK)
        status = take_pages(&d, err);
    for (int i = 0; i < job->decode.n_steps && status == VT_OK; i++)
        status = step(&d, err);
    for (size_t i = 0; i < n; i++)
        job->decode.finished[i] = (unsigned char)job->decode.slots[i]->finished;
out:
    free(d.order);
    free(d.live);
    free(d.index);
    free(d.row);
    free(d.x);
    free(d.runs);
    free(d.lse);
    free(d.errs);
    return status;
}
