/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_score.c: log-probabilities of given completions of groups.
 *
 * Completions are packed whole into passes of bounded size, in the door's order; all attend to their group's pages. A
 * completion lives in one pass, so its own keys are needed for the layer at work only: its blocks are scratch of one
 * layer (layer_stride 0), 1/n_layers of what decode keeps. A completion longer than a pass walks through several and
 * takes real pages.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

struct score {
    struct vt_cpu *lm;
    const struct vt_lm_work *w;
    const struct vt_lm_score_row *rows;
    bool has_extra;
    struct vt_cpu_targets list;
    unsigned char *keys; /* scratch blocks of one layer */
    size_t keys_bytes;
    struct vt_cpu_block *blocks;
};

static int fed_tokens(const struct vt_lm_score_row *row)
{
    return row->n > 0 ? row->n - 1 : 0;
}

/* Own blocks, and the table's length, of a row. */
static int own_blocks(const struct vt_lm_score_row *row, int *table)
{
    const int n_prompt = row->group->n_tokens, fed = fed_tokens(row);
    *table = (n_prompt + fed + VT_PAGE_KEYS - 1) / VT_PAGE_KEYS;
    return fed ? *table - n_prompt / VT_PAGE_KEYS : 0;
}

/* Rows from .. return value fit one pass. */
static int pack_rows(const struct score *s, int from, int *n_fed)
{
    int to = from;
    for (*n_fed = 0; to < s->w->score.n_rows; to++) {
        const int fed = fed_tokens(&s->rows[to]);
        if (to > from && *n_fed + fed > s->lm->pass_rows)
            break;
        *n_fed += fed;
    }
    return to;
}

/* One prefix of the table is the group's; the rest is scratch of the layer at work. */
static void lay_out_blocks(const struct score *s, int from, int to)
{
    struct vt_cpu_block *table = s->blocks;
    unsigned char *keys = s->keys;
    for (int i = from; i < to; i++) {
        const struct vt_cpu_group *g = vt_cpu_group_of(s->rows[i].group);
        int n_table, n_own = own_blocks(&s->rows[i], &n_table);
        memcpy(table, g->blocks,
               (size_t)(n_table - n_own < g->n_blocks ? n_table - n_own : g->n_blocks) * sizeof *table);
        for (int b = n_table - n_own; b < n_table; b++, keys += s->lm->block_bytes)
            table[b] = (struct vt_cpu_block){keys, 0};
        table += n_table;
    }
}

static vt_status make_room(struct score *s, int from, int to, vt_err *err)
{
    size_t n_table = 0, n_own = 0;
    for (int i = from; i < to; i++) {
        int table;
        n_own += (size_t)own_blocks(&s->rows[i], &table);
        n_table += (size_t)table;
    }
    void *keys;
    VT_TRY(vt_cpu_take_zeroed(s->lm, n_own * s->lm->block_bytes, "keys of the scored tokens", &keys, err));
    s->keys = keys;
    s->keys_bytes = n_own * s->lm->block_bytes;
    s->blocks = vt_alloc_array(n_table, sizeof *s->blocks);
    return s->blocks ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for %d scored completions", to - from);
}

static void free_room(struct score *s)
{
    vt_cpu_give(s->lm, s->keys, s->keys_bytes);
    free(s->blocks);
    s->keys = NULL;
    s->keys_bytes = 0;
    s->blocks = NULL;
    vt_cpu_targets_free(s->lm, &s->list);
}

/* Head rows of tokens [t0, t1) of a row: token t's logprob comes from the row before it. x: the row that feeds token
 * t0, or token 0 when t0 is 0. */
static void list_targets(struct score *s, const struct vt_lm_score_row *row, int t0, int t1, const float *x)
{
    const int k = s->w->score.k;
    struct vt_cpu_adapter *a = vt_cpu_adapter_of(row->group->adapter);
    for (int t = t0; t < t1; t++) {
        if (t > 0)
            vt_cpu_targets_row(&s->list, x + (size_t)(t - t0 - (t0 == 0)) * (size_t)s->lm->cfg.d_model, a);
        else
            vt_cpu_targets_row(&s->list, vt_cpu_group_of(row->group)->last, a);
        for (size_t j = (size_t)t * (size_t)k, end = j + (size_t)k; j < end; j++)
            if (row->targets[j] >= 0)
                vt_cpu_targets_add(&s->list, row->targets[j], &row->logprob[j]);
        if (s->has_extra)
            vt_cpu_targets_extra(&s->list, vt_cpu_extra_at(&row->extra, (size_t)t));
    }
}

static vt_status begin_targets(struct score *s, int n, vt_err *err)
{
    return vt_cpu_targets_begin(s->lm, n, (size_t)n * (size_t)s->w->score.k, s->has_extra, &s->list, err);
}

static vt_status score_packed(struct score *s, int from, int to, int n_fed, vt_err *err)
{
    struct vt_cpu *lm = s->lm;
    struct vt_cpu_pass p;
    VT_TRY(make_room(s, from, to, err));
    VT_TRY(begin_targets(s, n_fed + to - from, err));
    VT_TRY(vt_cpu_rows_begin(lm, n_fed, to - from, &p, err));
    p.work = s->w;
    lay_out_blocks(s, from, to);
    const struct vt_cpu_block *table = s->blocks;
    for (int i = from; i < to; i++) {
        const struct vt_lm_score_row *row = &s->rows[i];
        struct vt_cpu_group *g = vt_cpu_group_of(row->group);
        const int n_prompt = row->group->n_tokens, n_shared = n_prompt / VT_PAGE_KEYS;
        int n_table;
        (void)own_blocks(row, &n_table);
        if (fed_tokens(row)) {
            vt_cpu_rows_add(&p, row->tokens, fed_tokens(row), n_prompt, table, n_shared, g,
                            vt_cpu_adapter_of(row->group->adapter));
            if (n_prompt % VT_PAGE_KEYS)
                vt_cpu_rows_prefix(&p, &g->blocks[n_shared]);
        }
        table += n_table;
    }
    VT_TRY(vt_cpu_pass_run(&p, err));
    const float *x = p.x;
    for (int i = from; i < to; i++) {
        list_targets(s, &s->rows[i], 0, s->rows[i].n, x);
        x += (size_t)fed_tokens(&s->rows[i]) * (size_t)lm->cfg.d_model;
    }
    vt_cpu_targets_run(lm, &s->list);
    return VT_OK;
}

/* A completion longer than a pass: pieces of it, with pages that keep every layer. */
static vt_status score_long(struct score *s, const struct vt_lm_score_row *row, struct vt_cpu_page **own, int *n_blocks,
                            vt_err *err)
{
    struct vt_cpu *lm = s->lm;
    const struct vt_cpu_group *g = vt_cpu_group_of(row->group);
    const int fed = fed_tokens(row), n_prompt = row->group->n_tokens;
    memcpy(s->blocks, g->blocks, (size_t)*n_blocks * sizeof *s->blocks);
    VT_TRY(vt_cpu_blocks_grow(lm, g, n_prompt + fed, s->blocks, own, n_blocks, err));
    for (int at = 0; at < fed; at += lm->pass_rows) {
        const int n = fed - at < lm->pass_rows ? fed - at : lm->pass_rows, pos = n_prompt + at;
        struct vt_cpu_pass p;
        VT_TRY(begin_targets(s, n + 1, err));
        VT_TRY(vt_cpu_rows_begin(lm, n, 1, &p, err));
        p.work = s->w;
        vt_cpu_rows_add(&p, row->tokens + at, n, pos, s->blocks, pos / VT_PAGE_KEYS, NULL,
                        vt_cpu_adapter_of(row->group->adapter));
        VT_TRY(vt_cpu_pass_run(&p, err));
        list_targets(s, row, at ? at + 1 : 0, at + n + 1, p.x);
        vt_cpu_targets_run(lm, &s->list);
        vt_cpu_targets_free(lm, &s->list);
    }
    return VT_OK;
}

static vt_status score_alone(struct score *s, const struct vt_lm_score_row *row, vt_err *err)
{
    int n_table, n_blocks = row->group->n_tokens / VT_PAGE_KEYS;
    (void)own_blocks(row, &n_table);
    struct vt_cpu_page **own = vt_alloc_array((size_t)n_table, sizeof(struct vt_cpu_page *));
    s->blocks = vt_alloc_array((size_t)n_table, sizeof *s->blocks);
    vt_status status =
        own && s->blocks ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a completion of %d tokens", row->n);
    if (status == VT_OK)
        status = score_long(s, row, own, &n_blocks, err);
    for (int i = 0; own && i < n_blocks; i++)
        vt_cpu_page_free(s->lm, own[i]);
    free(own);
    return status;
}

/* What the rows need of the model: adapters packed, buffers as wide, angles as far. */
static vt_status make_ready(struct vt_cpu *lm, const struct vt_lm_work *w, vt_err *err)
{
    int last_pos = 1, rank = 0;
    for (int i = 0; i < w->score.n_rows; i++) {
        const struct vt_lm_score_row *row = &w->score.rows[i];
        struct vt_cpu_adapter *a = vt_cpu_adapter_of(row->group->adapter);
        const int end = row->group->n_tokens + row->n;
        last_pos = end > last_pos ? end : last_pos;
        rank = a && a->host->rank > rank ? a->host->rank : rank;
        VT_TRY(vt_cpu_adapter_ready(lm, a, false, err));
    }
    VT_TRY(vt_cpu_bufs_ensure(lm, rank, err));
    return vt_cpu_rope_ensure(lm, last_pos, err);
}

vt_status vt_cpu_score(void *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cpu *lm = be;
    struct score s = {.lm = lm,
                      .w = w,
                      .rows = w->score.rows,
                      .has_extra = w->score.n_top || w->score.wants_entropy || w->score.wants_certainty};
    vt_status status = make_ready(lm, w, err);
    for (int from = 0; from < w->score.n_rows && status == VT_OK;) {
        int n_fed, to = pack_rows(&s, from, &n_fed);
        if (n_fed > lm->pass_rows)
            status = score_alone(&s, &s.rows[from], err);
        else
            status = score_packed(&s, from, to, n_fed, err);
        free_room(&s);
        from = to;
    }
    return status;
}
