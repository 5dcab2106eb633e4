/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_score.c: log-probabilities of given completions of groups.
 *
 * Completions are packed whole into passes of bounded size, ordered by group; all attend to their group's pages. A
 * completion lives in one pass, so its own keys are needed for the layer at work only: its blocks are scratch of one
 * layer (layer_stride 0), 1/n_layers of what decode keeps. A completion longer than a pass walks through several and
 * takes real pages.
 *
 * The list of head rows (vt_lm_targets) is shared with the training forward: the residual row before a token gives that
 * token's logprob, so a prompt's last row serves the first token of all of its completions.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

/* --- head rows and their targets --- */

static size_t list_bytes(const vt_lm *lm, int n_rows)
{
    return (size_t)n_rows * 2 * (size_t)vt_lm_head_chunks(lm) * sizeof(float);
}

void vt_lm_targets_free(vt_lm *lm, struct vt_lm_targets *l)
{
    free(l->x);
    free(l->runs);
    free(l->targets);
    free(l->lse);
    vt_lm_give(lm, l->max, list_bytes(lm, l->cap_rows));
    memset(l, 0, sizeof *l);
}

vt_status vt_lm_targets_begin(vt_lm *lm, int n_rows, int n_targets, struct vt_lm_targets *l, vt_err *err)
{
    memset(l, 0, sizeof *l);
    void *reductions;
    VT_TRY(vt_lm_take(lm, list_bytes(lm, n_rows), "log-softmax reductions", &reductions, err));
    l->max = reductions;
    l->cap_rows = n_rows;
    l->sum = l->max + (size_t)n_rows * (size_t)vt_lm_head_chunks(lm);
    l->x = vt_alloc_array((size_t)n_rows, sizeof *l->x);
    l->runs = vt_alloc_array((size_t)n_rows, sizeof *l->runs);
    l->lse = vt_alloc_array((size_t)n_rows, sizeof *l->lse);
    l->targets = vt_alloc_array((size_t)n_targets, sizeof *l->targets);
    if (l->x && l->runs && l->lse && l->targets)
        return VT_OK;
    vt_lm_targets_free(lm, l);
    return vt_fail(err, VT_ENOMEM, "out of memory for the logprobs of %d tokens", n_targets);
}

void vt_lm_targets_row(struct vt_lm_targets *l, const float *x, struct vt_lm_adapter *adapter)
{
    if (l->n_runs == 0 || l->runs[l->n_runs - 1].adapter != adapter)
        l->runs[l->n_runs++] = (struct vt_lm_run){.row0 = l->n_rows, .adapter = adapter};
    l->x[l->n_rows++] = x;
    l->runs[l->n_runs - 1].row1 = l->n_rows;
}

void vt_lm_targets_add(struct vt_lm_targets *l, int32_t id, float *logprob)
{
    l->targets[l->n_targets++] = (struct vt_lm_target){.row = l->n_rows - 1, .id = id, .logprob = logprob};
}

void vt_lm_targets_run(vt_lm *lm, struct vt_lm_targets *l)
{
    struct vt_lm_head h = {.x = l->x,
                           .n_rows = l->n_rows,
                           .runs = l->runs,
                           .n_runs = l->n_runs,
                           .targets = l->targets,
                           .n_targets = l->n_targets,
                           .lse = l->lse,
                           .max = l->max,
                           .sum = l->sum};
    vt_lm_head_run(lm, &h);
}

/* --- score --- */

struct score {
    vt_lm *lm;
    const struct vt_lm_job *job;
    int *order; /* rows by (adapter, group) */
    struct vt_lm_targets list;
    unsigned char *keys; /* scratch blocks of one layer */
    size_t keys_bytes;
    struct vt_lm_block *blocks;
};

static int fed_tokens(const struct vt_lm_job *job, int row)
{
    return job->score.n[row] > 0 ? job->score.n[row] - 1 : 0;
}

/* Own blocks, and the table's length, of a row. */
static int own_blocks(const struct vt_lm_job *job, int row, int *table)
{
    const int n_prompt = job->score.groups[row]->n_tokens, fed = fed_tokens(job, row);
    *table = (n_prompt + fed + VT_PAGE_KEYS - 1) / VT_PAGE_KEYS;
    return fed ? *table - n_prompt / VT_PAGE_KEYS : 0;
}

static bool comes_before(const vt_lm_group *a, const vt_lm_group *b)
{
    const int ida = a->adapter ? a->adapter->id : 0, idb = b->adapter ? b->adapter->id : 0;
    return ida != idb ? ida < idb : a->serial < b->serial;
}

static void sort_rows(const struct score *s)
{
    vt_lm_group **groups = s->job->score.groups;
    for (int i = 0; i < s->job->score.n_rows; i++) {
        int at = i;
        for (; at > 0 && comes_before(groups[i], groups[s->order[at - 1]]); at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = i;
    }
}

/* Rows order[from .. return value) fit one pass. */
static int pack_rows(const struct score *s, int from, int *n_fed)
{
    int to = from;
    for (*n_fed = 0; to < s->job->score.n_rows; to++) {
        const int fed = fed_tokens(s->job, s->order[to]);
        if (to > from && *n_fed + fed > s->lm->pass_rows)
            break;
        *n_fed += fed;
    }
    return to;
}

/* One prefix of the table is the group's; the rest is scratch of the layer at work. */
static void lay_out_blocks(const struct score *s, int from, int to)
{
    struct vt_lm_block *table = s->blocks;
    unsigned char *keys = s->keys;
    for (int i = from; i < to; i++) {
        const int row = s->order[i];
        const vt_lm_group *g = s->job->score.groups[row];
        int n_table, n_own = own_blocks(s->job, row, &n_table);
        memcpy(table, g->blocks,
               (size_t)(n_table - n_own < g->n_blocks ? n_table - n_own : g->n_blocks) * sizeof *table);
        for (int b = n_table - n_own; b < n_table; b++, keys += s->lm->block_bytes)
            table[b] = (struct vt_lm_block){keys, 0};
        table += n_table;
    }
}

static vt_status make_room(struct score *s, int from, int to, vt_err *err)
{
    size_t n_table = 0, n_own = 0;
    for (int i = from; i < to; i++) {
        int table;
        n_own += (size_t)own_blocks(s->job, s->order[i], &table);
        n_table += (size_t)table;
    }
    void *keys;
    s->keys_bytes = n_own * s->lm->block_bytes;
    VT_TRY(vt_lm_take_zeroed(s->lm, s->keys_bytes, "keys of the scored tokens", &keys, err));
    s->keys = keys;
    s->blocks = vt_alloc_array(n_table, sizeof *s->blocks);
    return s->blocks ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for %d scored completions", to - from);
}

static void free_room(struct score *s)
{
    vt_lm_give(s->lm, s->keys, s->keys_bytes);
    free(s->blocks);
    s->keys = NULL;
    s->blocks = NULL;
    vt_lm_targets_free(s->lm, &s->list);
}

/* Head rows of tokens [t0, t1) of a row: token t's logprob comes from the row before it. */
static void list_targets(struct score *s, int row, int t0, int t1, const float *x)
{
    const struct vt_lm_job *job = s->job;
    vt_lm_group *g = job->score.groups[row];
    for (int t = t0; t < t1; t++) {
        if (t > 0)
            vt_lm_targets_row(&s->list, x + (size_t)(t - t0 - (t0 == 0)) * (size_t)s->lm->cfg.d_model, g->adapter);
        else
            vt_lm_targets_row(&s->list, g->last, g->adapter);
        vt_lm_targets_add(&s->list, job->score.tokens[row][t], &job->score.logprob[row][t]);
    }
}

static vt_status score_packed(struct score *s, int from, int to, int n_fed, vt_err *err)
{
    vt_lm *lm = s->lm;
    const struct vt_lm_job *job = s->job;
    struct vt_lm_pass p;
    VT_TRY(make_room(s, from, to, err));
    VT_TRY(vt_lm_targets_begin(lm, n_fed + to - from, n_fed + to - from, &s->list, err));
    VT_TRY(vt_lm_rows_begin(lm, n_fed, to - from, &p, err));
    lay_out_blocks(s, from, to);
    const struct vt_lm_block *table = s->blocks;
    for (int i = from; i < to; i++) {
        const int row = s->order[i];
        vt_lm_group *g = job->score.groups[row];
        int n_table;
        (void)own_blocks(job, row, &n_table);
        const int n_shared = g->n_tokens / VT_PAGE_KEYS;
        if (fed_tokens(job, row)) {
            vt_lm_rows_add(&p, job->score.tokens[row], fed_tokens(job, row), g->n_tokens, table, n_shared, g,
                           g->adapter);
            if (g->n_tokens % VT_PAGE_KEYS)
                vt_lm_rows_prefix(&p, &g->blocks[n_shared]);
        }
        table += n_table;
    }
    vt_lm_pass_run(&p);
    const float *x = p.x;
    for (int i = from; i < to; i++) {
        const int row = s->order[i];
        list_targets(s, row, 0, job->score.n[row], x);
        x += (size_t)fed_tokens(job, row) * (size_t)lm->cfg.d_model;
    }
    vt_lm_targets_run(lm, &s->list);
    return VT_OK;
}

/* A completion longer than a pass: pieces of it, with pages that keep every layer. */
static vt_status score_long(struct score *s, int row, struct vt_lm_page **own, int *n_blocks, vt_err *err)
{
    vt_lm *lm = s->lm;
    vt_lm_group *g = s->job->score.groups[row];
    const int fed = fed_tokens(s->job, row);
    memcpy(s->blocks, g->blocks, (size_t)*n_blocks * sizeof *s->blocks);
    VT_TRY(vt_lm_blocks_grow(lm, g, g->n_tokens + fed, s->blocks, own, n_blocks, err));
    for (int at = 0; at < fed; at += lm->pass_rows) {
        const int n = fed - at < lm->pass_rows ? fed - at : lm->pass_rows, pos = g->n_tokens + at;
        struct vt_lm_pass p;
        VT_TRY(vt_lm_targets_begin(lm, n + 1, n + 1, &s->list, err));
        VT_TRY(vt_lm_rows_begin(lm, n, 1, &p, err));
        vt_lm_rows_add(&p, s->job->score.tokens[row] + at, n, pos, s->blocks, pos / VT_PAGE_KEYS, NULL, g->adapter);
        vt_lm_pass_run(&p);
        list_targets(s, row, at ? at + 1 : 0, at + n + 1, p.x);
        vt_lm_targets_run(lm, &s->list);
        vt_lm_targets_free(lm, &s->list);
    }
    return VT_OK;
}

static vt_status score_alone(struct score *s, int row, vt_err *err)
{
    int n_table, n_blocks = s->job->score.groups[row]->n_tokens / VT_PAGE_KEYS;
    (void)own_blocks(s->job, row, &n_table);
    struct vt_lm_page **own = vt_alloc_array((size_t)n_table, sizeof(struct vt_lm_page *));
    s->blocks = vt_alloc_array((size_t)n_table, sizeof *s->blocks);
    vt_status status =
        own && s->blocks ? VT_OK
                         : vt_fail(err, VT_ENOMEM, "out of memory for a completion of %d tokens", s->job->score.n[row]);
    if (status == VT_OK)
        status = score_long(s, row, own, &n_blocks, err);
    for (int i = 0; own && i < n_blocks; i++)
        vt_lm_page_free(s->lm, own[i]);
    free(own);
    return status;
}

static vt_status check(vt_lm *lm, const struct vt_lm_job *job, vt_err *err)
{
    int last_pos = 1;
    if (job->score.n_rows < 1)
        return vt_fail(err, VT_EINVAL, "there is no completion to score");
    for (int i = 0; i < job->score.n_rows; i++) {
        const int n = job->score.n[i], n_prompt = job->score.groups[i]->n_tokens;
        if (n < 0)
            return vt_fail(err, VT_EINVAL, "completion %d has %d tokens; 0 or more are possible", i, n);
        if (n > lm->cfg.n_ctx - n_prompt)
            return vt_fail(err, VT_ELIMIT,
                           "completion %d has %d tokens after a prompt of %d, but the model's context is %d", i, n,
                           n_prompt, lm->cfg.n_ctx);
        VT_TRY(vt_lm_check_tokens(lm, job->score.tokens[i], n, "a completion", err));
        last_pos = n_prompt + n > last_pos ? n_prompt + n : last_pos;
    }
    return vt_lm_rope_ensure(lm, last_pos, err);
}

vt_status vt_lm_do_score(vt_lm *lm, struct vt_lm_job *job, vt_err *err)
{
    VT_TRY(check(lm, job, err));
    struct score s = {.lm = lm, .job = job};
    vt_status status = VT_OK;
    s.order = vt_alloc_array((size_t)job->score.n_rows, sizeof *s.order);
    if (!s.order)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d scored completions", job->score.n_rows);
    sort_rows(&s);
    for (int from = 0; from < job->score.n_rows && status == VT_OK;) {
        int n_fed, to = pack_rows(&s, from, &n_fed);
        if (n_fed > lm->pass_rows)
            status = score_alone(&s, s.order[from], err);
        else
            status = score_packed(&s, from, to, n_fed, err);
        free_room(&s);
        from = to;
    }
    free(s.order);
    return status;
}
