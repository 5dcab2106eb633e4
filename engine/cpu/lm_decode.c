/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_decode.c: n_steps tokens for each of some slots, of any groups and adapters.
 *
 * A step feeds the newest token of every live slot through one pass, makes the logits and draws. Slots come ordered by
 * adapter and group, so that a LoRA product and the attention over a shared prompt run once per run of rows. A slot
 * that has no token yet takes its logits from its group's last prompt row; such slots of one group share that row.
 * All memory of the job is taken before the first step: a refusal leaves the slots as they were. A step that is
 * cancelled on its way is as if it had not begun: the keys it wrote are written again, to the same bits.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

struct decode {
    struct vt_cpu *lm;
    const struct vt_lm_work *w;
    const vt_lm_slot **live; /* [n_live] this step's slots, in order */
    int *index;              /* [n_live] their rows in the job's arrays */
    int *row;                /* [n_live] pass row, -1 = the group's last */
    int n_live, from, to;    /* [from, to): live slots of the head at work */
    const float **x;
    struct vt_cpu_run *runs;
    double *lse;
    struct vt_cpu_head head;
    bool has_extra;
    vt_err *errs; /* [n_threads] */
};

uint64_t vt_cpu_logits_bytes(const struct vt_cpu *lm, int n_slots)
{
    const int n = n_slots < VT_NARROW_ROWS ? n_slots : VT_NARROW_ROWS;
    return (uint64_t)n * ((uint64_t)lm->cfg.n_vocab + vt_cpu_sums_floats(lm, true)) * sizeof(float);
}

static vt_status grow_logits(struct vt_cpu *lm, int n, vt_err *err)
{
    void *memory;
    if (n <= lm->logits_cap)
        return VT_OK;
    vt_cpu_decode_free(lm);
    VT_TRY(vt_cpu_take(lm, (size_t)vt_cpu_logits_bytes(lm, n), "logits", &memory, err));
    lm->logits = memory;
    lm->logits_cap = n;
    vt_cpu_keep(lm, VT_CPU_LOGITS, vt_cpu_logits_bytes(lm, n), 0);
    return VT_OK;
}

void vt_cpu_decode_free(struct vt_cpu *lm)
{
    const uint64_t bytes = vt_cpu_logits_bytes(lm, lm->logits_cap);
    vt_cpu_give(lm, lm->logits, (size_t)bytes);
    vt_cpu_keep(lm, VT_CPU_LOGITS, 0, bytes);
    lm->logits = NULL;
    lm->logits_cap = 0;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Pages for every token this job may feed, and what else the slots need of the model. */
static vt_status make_ready(const struct decode *d, vt_err *err)
{
    int last_pos = 1, rank = 0;
    for (int i = 0; i < d->w->decode.n_slots; i++) {
        const vt_lm_slot *slot = d->w->decode.slots[i];
        struct vt_cpu_slot *s = vt_cpu_slot_of(slot);
        struct vt_cpu_adapter *a = vt_cpu_adapter_of(slot->group->adapter);
        const int n_prompt = slot->group->n_tokens;
        const int left = slot->max_tokens - s->n_tokens, fed = s->n_tokens + least(d->w->decode.n_steps, left) - 1;
        if (s->finished)
            continue;
        VT_TRY(vt_cpu_adapter_ready(d->lm, a, false, err));
        rank = a && a->host->rank > rank ? a->host->rank : rank;
        if (fed < 1)
            continue;
        VT_TRY(vt_cpu_blocks_grow(d->lm, vt_cpu_group_of(slot->group), n_prompt + fed, s->blocks, s->own, &s->n_blocks,
                                  err));
        last_pos = n_prompt + fed > last_pos ? n_prompt + fed : last_pos;
    }
    VT_TRY(vt_cpu_bufs_ensure(d->lm, rank, err));
    VT_TRY(grow_logits(d->lm, least(d->w->decode.n_slots, VT_NARROW_ROWS), err));
    return vt_cpu_rope_ensure(d->lm, last_pos, err);
}

/* Passes the newest token of every live slot that has one through the layers. */
static vt_status feed(struct decode *d, vt_err *err)
{
    struct vt_cpu_pass p;
    VT_TRY(vt_cpu_rows_begin(d->lm, d->n_live, d->n_live, &p, err));
    p.work = d->w;
    for (int i = 0; i < d->n_live; i++) {
        const vt_lm_group *g = d->live[i]->group;
        const struct vt_cpu_slot *s = vt_cpu_slot_of(d->live[i]);
        d->row[i] = s->n_tokens ? p.n_rows : -1;
        if (s->n_tokens)
            vt_cpu_rows_add(&p, &s->last, 1, g->n_tokens + s->n_tokens - 1, s->blocks, g->n_tokens / VT_PAGE_KEYS, g,
                            vt_cpu_adapter_of(g->adapter));
    }
    VT_TRY(vt_cpu_pass_run(&p, err));
    for (int i = 0; i < d->n_live; i++)
        d->x[i] = d->row[i] < 0 ? vt_cpu_group_of(d->live[i]->group)->last
                                : p.x + (size_t)d->row[i] * (size_t)d->lm->cfg.d_model;
    return VT_OK;
}

static void take_draw(const vt_lm_slot *slot, const struct vt_cpu_draw *draw)
{
    struct vt_cpu_slot *s = vt_cpu_slot_of(slot);
    s->last = draw->token;
    s->n_tokens++;
    for (int i = 0; i < slot->n_stop_ids; i++)
        if (slot->stop_ids[i] == draw->token)
            s->finished = 1;
    if (!s->finished && s->n_tokens >= slot->max_tokens)
        s->finished = 2;
}

/* Entropy, certainty and top of head row r, from its kept logits. */
static void put_extra(const struct decode *d, size_t r, size_t at, const struct vt_cpu_sums *row, const float *logits)
{
    const struct vt_lm_extra e = vt_cpu_extra_at(&d->w->decode.extra, at);
    const int n_chunks = vt_cpu_head_chunks(d->lm), n = d->lm->cfg.n_vocab;
    vt_cpu_extra_begin(&e);
    for (int c = 0; c < n_chunks; c++)
        vt_cpu_extra_chunk(&e, logits + (size_t)c * VT_HEAD_CHUNK, least(VT_HEAD_CHUNK, n - c * VT_HEAD_CHUNK),
                           c * VT_HEAD_CHUNK, row->max[c]);
    vt_cpu_extra_finish(&e, row, n, d->lse[r]);
}

static void sample_share(void *arg, int thread, int n_threads)
{
    struct decode *d = arg;
    struct vt_cpu *lm = d->lm;
    const int n_chunks = vt_cpu_head_chunks(lm);
    int a, b;
    vt_range_split(d->to - d->from, 1, thread, n_threads, &a, &b);
    for (int i = d->from + a; i < d->from + b; i++) {
        const vt_lm_slot *slot = d->live[i];
        const struct vt_cpu_slot *s = vt_cpu_slot_of(slot);
        const size_t r = (size_t)s->head_row;
        const struct vt_cpu_sums sums = vt_cpu_sums_row(&d->head.sums, r, n_chunks);
        struct vt_cpu_logits row = {.k = lm->k,
                                    .n_vocab = lm->cfg.n_vocab,
                                    .n_chunks = n_chunks,
                                    .lse = d->lse[r],
                                    .logit = d->head.logits + r * (size_t)lm->cfg.n_vocab,
                                    .max = sums.max,
                                    .sum = sums.exp};
        struct vt_cpu_draw draw;
        if (vt_cpu_sample(&row, &slot->sampling, slot->seed, (uint64_t)s->n_tokens, lm->bufs[thread].sample, &draw,
                          &d->errs[thread]) != VT_OK)
            return;
        int *n_out = &d->w->decode.n_out[d->index[i]];
        const size_t at = (size_t)d->index[i] * (size_t)d->w->decode.n_steps + (size_t)(*n_out)++;
        d->w->decode.tokens[at] = draw.token;
        d->w->decode.logprob[at] = draw.logprob;
        d->w->decode.logprob_behaviour[at] = draw.logprob_behaviour;
        if (d->has_extra)
            put_extra(d, r, at, &sums, row.logit);
        take_draw(slot, &draw);
    }
}

/* Logits and draws of live slots [from, to): at most VT_NARROW_ROWS of them. */
static void draw_some(struct decode *d)
{
    struct vt_cpu_head *h = &d->head;
    float *logits = d->lm->logits;
    *h = (struct vt_cpu_head){.x = d->x + d->from, .runs = d->runs, .lse = d->lse, .logits = logits};
    h->sums = vt_cpu_sums_carve(d->lm, logits + (size_t)d->lm->logits_cap * (size_t)d->lm->cfg.n_vocab,
                                d->lm->logits_cap, true);
    if (!d->has_extra)
        h->sums.z = h->sums.ez = NULL;
    const float **x = d->x + d->from;
    for (int i = d->from; i < d->to; i++) {
        struct vt_cpu_adapter *a = vt_cpu_adapter_of(d->live[i]->group->adapter);
        if (h->n_rows == 0 || x[h->n_rows - 1] != d->x[i]) {
            if (h->n_runs == 0 || d->runs[h->n_runs - 1].adapter != a)
                d->runs[h->n_runs++] = (struct vt_cpu_run){.row0 = h->n_rows, .adapter = a};
            x[h->n_rows++] = d->x[i];
            d->runs[h->n_runs - 1].row1 = h->n_rows;
        }
        vt_cpu_slot_of(d->live[i])->head_row = h->n_rows - 1;
    }
    vt_cpu_head_run(d->lm, h);
    vt_pool_run(d->lm->pool, sample_share, d);
}

static vt_status step(struct decode *d, vt_err *err)
{
    const struct vt_lm_work *w = d->w;
    d->n_live = 0;
    for (int i = 0; i < w->decode.n_slots; i++) {
        if (vt_cpu_slot_of(w->decode.slots[i])->finished)
            continue;
        d->index[d->n_live] = w->decode.row[i];
        d->live[d->n_live++] = w->decode.slots[i];
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

vt_status vt_cpu_decode(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cpu *lm = be;
    const size_t n = (size_t)w->decode.n_slots;
    const struct vt_lm_extra *e = &w->decode.extra;
    struct decode d = {.lm = lm, .w = w, .has_extra = e->entropy || e->certainty || e->n_top};
    vt_status status = VT_OK;
    d.live = vt_alloc_array(n, sizeof *d.live);
    d.index = vt_alloc_array(n, sizeof *d.index);
    d.row = vt_alloc_array(n, sizeof *d.row);
    d.x = vt_alloc_array(n, sizeof *d.x);
    d.runs = vt_alloc_array(n, sizeof *d.runs);
    d.lse = vt_alloc_array(n, sizeof *d.lse);
    d.errs = vt_alloc_array((size_t)lm->n_threads, sizeof *d.errs);
    if (!d.live || !d.index || !d.row || !d.x || !d.runs || !d.lse || !d.errs)
        status = vt_fail(err, VT_ENOMEM, "out of memory for a batch of %zu samples", n);
    if (status == VT_OK)
        status = make_ready(&d, err);
    for (int i = 0; i < w->decode.n_steps && status == VT_OK; i++) {
        status = vt_cpu_check_end(w, err);
        if (status == VT_OK)
            status = step(&d, err);
    }
    for (size_t i = 0; i < n; i++)
        w->decode.finished[w->decode.row[i]] = (unsigned char)vt_cpu_slot_of(w->decode.slots[i])->finished;
    free((void *)d.live);
    free(d.index);
    free(d.row);
    free((void *)d.x);
    free(d.runs);
    free(d.lse);
    free(d.errs);
    return status;
}
