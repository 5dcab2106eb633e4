/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_many_work.c: prompts, sampling and scoring on several devices (lm_many.h).
 *
 * A prompt goes to the device that holds the fewest, the first of them when several do, and its samples stay with it: a
 * batch is split by group, and what a group's samples are drawn with does not depend on how many devices there are. A
 * device's share of a job keeps the job's order and writes straight to its arrays, by row.
 */
#include "base/alloc.h"
#include "model/lm_many.h"
#include <stdlib.h>

/* A job's shares; started of the door's work. */
struct split {
    const struct vt_lm_work *work;
    struct share {
        bool is_used;
        int n;
        vt_lm_slot **slots;
        int *row;
        struct vt_lm_score_row *rows;
        struct vt_lm_work part; /* the backend's job: of DECODE the last one */
    } * shares;                 /* [replica] */
    int n;
};

static void free_split(struct split *s)
{
    for (int i = 0; s && s->shares && i < s->n; i++) {
        free(s->shares[i].slots);
        free(s->shares[i].row);
        free(s->shares[i].rows);
    }
    if (s)
        free(s->shares);
    free(s);
}

static vt_status new_split(const struct vt_lm_many *m, const struct vt_lm_work *w, struct split **out, vt_err *err)
{
    *out = NULL;
    VT_TRY(vt_lm_many_alive(m, err));
    struct split *s = *out = vt_alloc(sizeof *s);
    if (s) {
        s->work = w;
        s->n = m->n;
        s->shares = vt_alloc_array((size_t)m->n, sizeof *s->shares);
    }
    return s && s->shares ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a job on %d devices", m->n);
}

static vt_status wait_share(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    struct split *s = arg;
    return vt_lm_many_wait(r, &s->shares[r->index].part, err);
}

/* Begins every share, or none: those that were begun are waited for when another cannot be. */
static vt_status begin(struct vt_lm_many *m, struct vt_lm_work *w, struct split *s, vt_lm_replica_fn *fn, vt_err *err)
{
    const vt_status status = vt_lm_many_run(m, fn, s, err);
    if (status != VT_OK) {
        if (vt_lm_many_run(m, wait_share, s, NULL) != VT_OK)
            w->started = NULL; /* what ended badly beside a failure is not told */
        free_split(s);
        return status;
    }
    w->started = s;
    return VT_OK;
}

vt_status vt_lm_many_work_wait(void *be, struct vt_lm_work *w, vt_err *err)
{
    if (!w->started) /* complete when it was begun */
        return VT_OK;
    const vt_status status = vt_lm_many_run(be, wait_share, w->started, err);
    free_split(w->started);
    w->started = NULL;
    return status;
}

static const struct vt_lm_many_group *group_of(const vt_lm_group *g)
{
    return g->impl;
}

/* --- prompts --- */

static int take_place(struct vt_lm_many *m)
{
    int at = 0;
    pthread_mutex_lock(&m->lock);
    for (int i = 1; i < m->n; i++)
        if (m->replicas[i].n_groups < m->replicas[at].n_groups)
            at = i;
    m->replicas[at].n_groups++;
    pthread_mutex_unlock(&m->lock);
    return at;
}

static vt_status begin_share(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    struct share *share = &((struct split *)arg)->shares[r->index];
    return share->is_used ? vt_lm_many_begin(r, &share->part, err) : VT_OK;
}

vt_status vt_lm_many_group(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_lm_many *m = be;
    vt_lm_group *g = w->group.group;
    struct split *s;
    struct vt_lm_many_group *one = vt_alloc(sizeof *one);
    vt_status status = new_split(m, w, &s, err);
    if (status == VT_OK && !one)
        status = vt_fail(err, VT_ENOMEM, "out of memory for a prompt");
    if (status != VT_OK) {
        free(one);
        free_split(s);
        return status;
    }
    one->replica = take_place(m);
    one->inner = *g;
    one->inner.adapter = vt_lm_many_adapter_of(g->adapter, one->replica);
    one->inner.impl = NULL;
    struct share *share = &s->shares[one->replica];
    share->is_used = true;
    share->part =
        (struct vt_lm_work){.job = w->job,
                            .kind = VT_LM_GROUP,
                            .group = {.tokens = w->group.tokens, .group = &one->inner, .trace = w->group.trace}};
    g->impl = one; /* a failure's is freed with the group */
    return begin(m, w, s, begin_share, err);
}

/* --- sampling --- */

static vt_status decode_share(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    struct split *s = arg;
    struct share *share = &s->shares[r->index];
    const int most = r->limits.max_slots;
    for (int at = 0; at < share->n; at += most) {
        VT_TRY(vt_lm_many_wait(r, &share->part, err)); /* one batch after another, where they are too many */
        share->part = *s->work;
        share->part.has_begun = false;
        share->part.decode.slots = share->slots + at;
        share->part.decode.row = share->row + at;
        share->part.decode.n_slots = share->n - at < most ? share->n - at : most;
        VT_TRY(vt_lm_many_begin(r, &share->part, err));
    }
    return VT_OK;
}

vt_status vt_lm_many_decode(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_lm_many *m = be;
    const size_t n = (size_t)w->decode.n_slots;
    struct split *s;
    vt_status status = new_split(m, w, &s, err);
    for (int i = 0; i < m->n && status == VT_OK; i++) {
        struct share *share = &s->shares[i];
        share->slots = vt_alloc_array(n, sizeof *share->slots);
        share->row = vt_alloc_array(n, sizeof *share->row);
        if (!share->slots || !share->row)
            status = vt_fail(err, VT_ENOMEM, "out of memory for a batch of %zu samples", n);
    }
    if (status != VT_OK) {
        free_split(s);
        return status;
    }
    for (int i = 0; i < w->decode.n_slots; i++) {
        vt_lm_slot *slot = w->decode.slots[i];
        struct share *share = &s->shares[group_of(slot->group)->replica];
        share->slots[share->n] = &((struct vt_lm_many_slot *)slot->impl)->inner;
        share->row[share->n++] = w->decode.row[i];
    }
    return begin(m, w, s, decode_share, err);
}

/* --- scoring --- */

vt_status vt_lm_many_score(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_lm_many *m = be;
    const size_t n = (size_t)w->score.n_rows;
    struct split *s;
    vt_status status = new_split(m, w, &s, err);
    for (int i = 0; i < m->n && status == VT_OK; i++) {
        s->shares[i].rows = vt_alloc_array(n, sizeof *s->shares[i].rows);
        if (!s->shares[i].rows)
            status = vt_fail(err, VT_ENOMEM, "out of memory for %zu scored completions", n);
    }
    if (status != VT_OK) {
        free_split(s);
        return status;
    }
    for (int i = 0; i < w->score.n_rows; i++) {
        const struct vt_lm_score_row *row = &w->score.rows[i];
        struct vt_lm_many_group *group = row->group->impl;
        struct share *share = &s->shares[group->replica];
        share->rows[share->n] = *row;
        share->rows[share->n++].group = &group->inner;
    }
    for (int i = 0; i < m->n; i++) {
        struct share *share = &s->shares[i];
        share->is_used = share->n > 0;
        share->part = *w;
        share->part.has_begun = false;
        share->part.score.rows = share->rows;
        share->part.score.n_rows = share->n;
    }
    return begin(m, w, s, begin_share, err);
}
