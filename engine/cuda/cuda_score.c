/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_score.c: log-probabilities of given completions of groups. Completions are packed whole, in the door's order,
 * into wide passes of bounded size; all attend to their group's pages. A completion lives in one pass, so its own keys
 * are needed for the layer at work only: its pages are scratch of one layer. A completion longer than a pass takes real
 * pages for the length of the job and walks through in pieces.
 *
 * After a pass its residual rows give the log-probabilities of the tokens that follow them, a scratch of logits at a
 * time. Values leave in the order of the job's rows.
 */
#include "cuda/cuda_parts.h"
#include <stdlib.h>

/* One wide pass: rows [from, to) of the job whole, or tokens [at, at + n) of the one row `from`. */
struct piece {
    int from, to;
    bool is_part;
    int at, n_fed, n_heads, n_pages, n_tiles;
};

struct score {
    struct vt_cuda *be;
    struct vt_lm_work *w;
    struct piece *pieces;
    int n_pieces, cap_pieces;
    int n_heads; /* of all pieces */
    struct vt_cuda_stage *stage;
    struct vt_cuda_pages long_pages; /* of the long row at work */
};

struct vt_cuda_scored { /* between begin and wait */
    struct vt_cuda_stage *stage;
    float *logprob, *entropy, *certainty;
};

static int fed_tokens(const struct vt_lm_score_row *r)
{
    return r->n > 0 ? r->n - 1 : 0;
}

static int own_pages(const struct vt_lm_score_row *r)
{
    const int n_prompt = r->group->n_tokens, fed = fed_tokens(r);
    return fed ? (n_prompt + fed - 1) / VT_DEV_PAGE_KEYS + 1 - n_prompt / VT_DEV_PAGE_KEYS : 0;
}

/* --- pieces --- */

static vt_status add_piece(struct score *s, struct piece p, vt_err *err)
{
    if (s->n_pieces == s->cap_pieces) {
        const int cap = s->cap_pieces ? 2 * s->cap_pieces : 16;
        struct piece *grown = vt_realloc_array(s->pieces, (size_t)cap, sizeof *grown);
        if (!grown)
            return vt_fail(err, VT_ENOMEM, "out of memory for %d scored completions", s->w->score.n_rows);
        s->pieces = grown;
        s->cap_pieces = cap;
    }
    s->pieces[s->n_pieces++] = p;
    s->n_heads += p.n_heads;
    return VT_OK;
}

static vt_status cut_long(struct score *s, int row, vt_err *err)
{
    const struct vt_lm_score_row *r = &s->w->score.rows[row];
    const int fed = fed_tokens(r), most = s->be->wide_rows;
    for (int at = 0; at < fed; at += most) {
        const int n = fed - at < most ? fed - at : most;
        VT_TRY(add_piece(s,
                         (struct piece){.from = row,
                                        .to = row + 1,
                                        .is_part = true,
                                        .at = at,
                                        .n_fed = n,
                                        .n_heads = n + (at == 0),
                                        .n_tiles = vt_cuda_n_tiles(s->be, n)},
                         err));
    }
    return VT_OK;
}

static vt_status cut(struct score *s, vt_err *err)
{
    const struct vt_lm_score_row *rows = s->w->score.rows;
    struct piece p = {0};
    for (int i = 0; i < s->w->score.n_rows; i++) {
        const int fed = fed_tokens(&rows[i]), pages = own_pages(&rows[i]);
        const bool is_long = fed > s->be->wide_rows || pages > VT_CUDA_SCRATCH_PAGES;
        if (p.to > p.from &&
            (is_long || p.n_fed + fed > s->be->wide_rows || p.n_pages + pages > VT_CUDA_SCRATCH_PAGES)) {
            VT_TRY(add_piece(s, p, err));
            p = (struct piece){.from = i, .to = i};
        }
        if (is_long) {
            VT_TRY(cut_long(s, i, err));
            p = (struct piece){.from = i + 1, .to = i + 1};
            continue;
        }
        p.to = i + 1;
        p.n_fed += fed;
        p.n_pages += pages;
        p.n_heads += rows[i].n;
        p.n_tiles += vt_cuda_n_tiles(s->be, fed);
    }
    return p.to > p.from ? add_piece(s, p, err) : VT_OK;
}

/* --- a piece's arrays --- */

struct arrays {
    struct vt_cuda_pass pass;
    int32_t *tokens, *pos, *begin, *ids;
    uint64_t *key_at, *tables, *sources;
    struct vt_dev_tile *tiles;
    struct vt_dev_copy *copies;
    struct vt_cuda_run *runs; /* room for one a row of the piece */
    vt_gpu_ptr tables_at, sources_at, begin_at, ids_at;
};

static size_t table_len(const struct vt_lm_score_row *r)
{
    return (size_t)(r->group->n_tokens / VT_DEV_PAGE_KEYS + own_pages(r));
}

static size_t all_tables(const struct score *s, const struct piece *p)
{
    size_t n = 0;
    for (int i = p->from; i < p->to; i++)
        n += table_len(&s->w->score.rows[i]);
    return n;
}

static size_t arrays_bytes(const struct score *s, const struct piece *p)
{
    const size_t fed = (size_t)p->n_fed, heads = (size_t)p->n_heads, k = (size_t)s->w->score.k;
    return fed * (2 * sizeof(int32_t) + sizeof(uint64_t)) + (size_t)p->n_tiles * sizeof(struct vt_dev_tile) +
           all_tables(s, p) * sizeof(uint64_t) + (size_t)(p->to - p->from) * sizeof(struct vt_dev_copy) +
           heads * (sizeof(uint64_t) + sizeof(int32_t) + k * sizeof(int32_t)) + sizeof(int32_t) +
           (size_t)10 * VT_CUDA_ALIGN;
}

static bool take_arrays(const struct score *s, const struct piece *p, struct arrays *a)
{
    struct vt_cuda_arena *in = &s->stage->in;
    const size_t fed = (size_t)p->n_fed, heads = (size_t)p->n_heads, k = (size_t)s->w->score.k;
    memset(a, 0, sizeof *a);
    a->tokens = vt_cuda_arena_take(in, fed * sizeof *a->tokens, &a->pass.tokens);
    a->pos = vt_cuda_arena_take(in, fed * sizeof *a->pos, &a->pass.pos);
    a->key_at = vt_cuda_arena_take(in, fed * sizeof *a->key_at, &a->pass.key_at);
    a->tiles = vt_cuda_arena_take(in, (size_t)p->n_tiles * sizeof *a->tiles, &a->pass.tiles);
    a->tables = vt_cuda_arena_take(in, all_tables(s, p) * sizeof *a->tables, &a->tables_at);
    a->copies = vt_cuda_arena_take(in, (size_t)(p->to - p->from) * sizeof *a->copies, &a->pass.copies);
    a->sources = vt_cuda_arena_take(in, heads * sizeof *a->sources, &a->sources_at);
    a->begin = vt_cuda_arena_take(in, (heads + 1) * sizeof *a->begin, &a->begin_at);
    a->ids = vt_cuda_arena_take(in, heads * k * sizeof *a->ids, &a->ids_at);
    return a->tokens && a->pos && a->key_at && a->tiles && a->tables && a->copies && a->sources && a->begin && a->ids;
}

/* Fed tokens [at, at + n) of a row, from pass row `row0`, whose table stands at `entries`. */
static void feed(const struct vt_cuda *be, const struct vt_lm_score_row *r, int at, int n, int row0,
                 const uint64_t *entries, vt_gpu_ptr table, struct arrays *a)
{
    for (int i = 0; i < n; i++) {
        const int pos = r->group->n_tokens + at + i;
        a->tokens[row0 + i] = r->tokens[at + i];
        a->pos[row0 + i] = pos;
        a->key_at[row0 + i] = entries[pos / VT_DEV_PAGE_KEYS] + (uint64_t)(pos % VT_DEV_PAGE_KEYS) * VT_DEV_KEY_BYTES;
    }
    a->pass.n_tiles += vt_cuda_tiles(be, table, row0, n, r->group->n_tokens + at, a->tiles + a->pass.n_tiles);
    if (n)
        vt_cuda_runs_add(a->runs, &a->pass.n_runs, row0, n, vt_cuda_adapter_of(r->group->adapter));
    a->pass.n_rows += n;
}

/* Head rows of tokens [t0, t1) of a row; x: address of the residual that gives token max(t0, 1). */
static void list_heads(const struct score *s, const struct vt_lm_score_row *r, int t0, int t1, vt_gpu_ptr x, int *head,
                       struct arrays *a)
{
    const int k = s->w->score.k;
    const size_t row = (size_t)s->be->cfg.d_model * sizeof(float);
    for (int t = t0; t < t1; t++) {
        const struct vt_cuda_group *g = r->group->impl;
        a->sources[*head] = t == 0 ? g->last_hidden : x + (size_t)(t - (t0 > 1 ? t0 : 1)) * row;
        memcpy(a->ids + (size_t)*head * (size_t)k, r->targets + (size_t)t * (size_t)k, (size_t)k * sizeof *a->ids);
        ++*head;
    }
}

static void fill_whole(const struct score *s, const struct piece *p, struct arrays *a)
{
    const struct vt_cuda *be = s->be;
    vt_gpu_ptr scratch = be->scratch_pages;
    size_t table = 0;
    int head = 0;
    for (int i = p->from; i < p->to; i++) {
        const struct vt_lm_score_row *r = &s->w->score.rows[i];
        const struct vt_cuda_group *g = r->group->impl;
        const int full = r->group->n_tokens / VT_DEV_PAGE_KEYS, own = own_pages(r),
                  straddle = r->group->n_tokens % VT_DEV_PAGE_KEYS;
        uint64_t *entries = a->tables + table;
        const int row0 = a->pass.n_rows;
        for (int b = 0; b < full; b++)
            entries[b] = g->pages.at[b]->at;
        if (own && straddle)
            a->copies[a->pass.n_copies++] =
                (struct vt_dev_copy){.from = g->pages.at[full]->at, .to = scratch | 1, .n_keys = straddle};
        for (int b = 0; b < own; b++, scratch += (vt_gpu_ptr)be->shape.layer_stride)
            entries[full + b] = scratch | 1;
        feed(be, r, 0, fed_tokens(r), row0, entries, a->tables_at + table * sizeof *entries, a);
        list_heads(s, r, 0, r->n, be->wide.x + (size_t)row0 * (size_t)be->cfg.d_model * sizeof(float), &head, a);
        table += table_len(r);
    }
}

/* A part of a long row; its pages keep every layer, the straddling one is copied before the first part. */
static vt_status fill_part(struct score *s, const struct piece *p, struct arrays *a, vt_err *err)
{
    struct vt_cuda *be = s->be;
    const struct vt_lm_score_row *r = &s->w->score.rows[p->from];
    const struct vt_cuda_group *g = r->group->impl;
    const int full = r->group->n_tokens / VT_DEV_PAGE_KEYS;
    int head = 0;
    if (p->at == 0) {
        vt_cuda_pages_free(be, &s->long_pages);
        VT_TRY(vt_cuda_pages_grow(be, &s->long_pages, own_pages(r), err));
    }
    for (int b = 0; b < full; b++)
        a->tables[b] = g->pages.at[b]->at;
    for (int b = 0; b < s->long_pages.n; b++)
        a->tables[full + b] = s->long_pages.at[b]->at;
    if (p->at == 0 && r->group->n_tokens % VT_DEV_PAGE_KEYS)
        a->copies[a->pass.n_copies++] = (struct vt_dev_copy){.from = g->pages.at[full]->at,
                                                             .to = s->long_pages.at[0]->at,
                                                             .n_keys = r->group->n_tokens % VT_DEV_PAGE_KEYS};
    feed(be, r, p->at, p->n_fed, 0, a->tables, a->tables_at, a);
    list_heads(s, r, p->at ? p->at + 1 : 0, p->at + p->n_fed + 1, be->wide.x, &head, a);
    return VT_OK;
}

/* --- running --- */

/* Log-probabilities of a piece's head rows; head0: how many the pieces before it had. */
static vt_status run_heads(const struct score *s, const struct piece *p, const struct arrays *a, int head0,
                           vt_gpu_ptr logprob, vt_gpu_ptr entropy, vt_gpu_ptr certainty, vt_err *err)
{
    struct vt_cuda *be = s->be;
    const size_t k = (size_t)s->w->score.k;
    int d = be->cfg.d_model;
    float eps = be->cfg.rms_eps;
    for (int at = 0; at < p->n_heads; at += be->head_rows) {
        const int n = p->n_heads - at < be->head_rows ? p->n_heads - at : be->head_rows;
        const size_t done = (size_t)(head0 + at);
        vt_gpu_ptr sources = a->sources_at + (size_t)at * sizeof(uint64_t),
                   begin = a->begin_at + (size_t)at * sizeof(int32_t);
        vt_gpu_ptr ids = a->ids_at, values = logprob + (size_t)head0 * k * sizeof(float);
        vt_gpu_ptr entropies = entropy ? entropy + done * sizeof(float) : 0,
                   sums = certainty ? certainty + done * sizeof(float) : 0;
        void *norm_args[] = {&sources, &be->w.final_norm, &be->head_norm, &d, &eps};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_norm_from,
                              &(struct vt_gpu_grid){.x = (unsigned)n, .threads = vt_cuda_norm_threads(be->cfg.d_model)},
                              norm_args, err));
        VT_TRY(vt_cuda_head(be, be->head_norm, n, err));
        void *args[] = {&be->logits, &begin, &ids, &values, &entropies, &sums, &be->shape};
        const struct vt_gpu_grid grid = {
            .x = (unsigned)n, .threads = 256, .smem = (unsigned)be->shape.n_chunks * 5 * (unsigned)sizeof(float)};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_head_rows, &grid, args, err));
    }
    return VT_OK;
}

static vt_status run_piece(const struct score *s, const struct piece *p, const struct arrays *a, vt_err *err)
{
    struct vt_cuda *be = s->be;
    if (p->n_fed == 0)
        return VT_OK;
    if (!p->is_part)
        return vt_cuda_wide(be, &a->pass, err);
    struct vt_cuda_pass pass = a->pass;
    if (pass.n_copies) {
        int every_layer = -1;
        vt_gpu_ptr copies = pass.copies;
        void *args[] = {&copies, &be->shape, &every_layer};
        const struct vt_gpu_grid grid = {.x = (unsigned)pass.n_copies, .y = (unsigned)be->cfg.n_layers, .threads = 256};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_copy_keys, &grid, args, err));
        pass.n_copies = 0;
    }
    return vt_cuda_wide(be, &pass, err);
}

static vt_status run(struct score *s, struct vt_cuda_scored *out, vt_err *err)
{
    struct vt_cuda *be = s->be;
    const struct vt_lm_work *w = s->w;
    const size_t heads = (size_t)s->n_heads, k = (size_t)w->score.k;
    struct arrays *arrays = vt_alloc_array((size_t)s->n_pieces, sizeof *arrays);
    struct vt_cuda_run *runs = vt_alloc_array((size_t)(w->score.n_rows + s->n_pieces), sizeof *runs), *next = runs;
    size_t in = 0;
    vt_gpu_ptr logprob, entropy = 0, certainty = 0;
    for (int i = 0; i < s->n_pieces; i++)
        in += arrays_bytes(s, &s->pieces[i]);
    vt_status status = VT_OK;
    if (!arrays || !runs)
        status = vt_fail(err, VT_ENOMEM, "out of memory for %d scored completions", w->score.n_rows);
    if (status == VT_OK)
        status =
            vt_cuda_stage_begin(be, in, heads * (k + 2) * sizeof(float) + (size_t)3 * VT_CUDA_ALIGN, &s->stage, err);
    if (status != VT_OK)
        goto out;
    out->stage = s->stage;
    out->logprob = vt_cuda_arena_take(&s->stage->out, heads * k * sizeof(float), &logprob);
    if (w->score.wants_entropy)
        out->entropy = vt_cuda_arena_take(&s->stage->out, heads * sizeof(float), &entropy);
    if (w->score.wants_certainty)
        out->certainty = vt_cuda_arena_take(&s->stage->out, heads * sizeof(float), &certainty);
    for (int i = 0; i < s->n_pieces && status == VT_OK; i++) {
        const struct piece *p = &s->pieces[i];
        if (!take_arrays(s, p, &arrays[i])) {
            status = vt_fail(err, VT_EINTERNAL, "the arrays of a score do not fit their stage");
            break;
        }
        arrays[i].pass.runs = arrays[i].runs = next;
        next += p->to - p->from;
        if (p->is_part)
            status = fill_part(s, p, &arrays[i], err);
        else
            fill_whole(s, p, &arrays[i]);
        for (int h = 0; h <= p->n_heads && status == VT_OK; h++)
            arrays[i].begin[h] = h * (int32_t)k;
    }
    if (status == VT_OK)
        status = vt_cuda_stage_send(be, s->stage, err);
    for (int i = 0, head0 = 0; i < s->n_pieces && status == VT_OK; head0 += s->pieces[i++].n_heads) {
        vt_lease_poll(be->lease);
        status = vt_lm_is_cancelled(w) ? vt_fail(err, VT_ECANCELLED, "the score was cancelled")
                                       : run_piece(s, &s->pieces[i], &arrays[i], err);
        if (status == VT_OK)
            status = run_heads(s, &s->pieces[i], &arrays[i], head0, logprob, entropy, certainty, err);
    }
    if (status == VT_OK)
        status = vt_cuda_stage_fetch(be, s->stage, err);
out:
    free(arrays);
    free(runs);
    return status;
}

static int last_position(const struct vt_lm_work *w)
{
    int last = 1;
    for (int i = 0; i < w->score.n_rows; i++) {
        const int end = w->score.rows[i].group->n_tokens + w->score.rows[i].n;
        last = end > last ? end : last;
    }
    return last;
}

vt_status vt_cuda_score_begin(void *opened, struct vt_lm_work *w, vt_err *err)
{
    struct score s = {.be = opened, .w = w};
    VT_TRY(vt_gpu_bind(s.be->gpu, err));
    vt_cuda_prompts_begin(s.be);
    struct vt_cuda_scored *out = vt_alloc(sizeof *out);
    vt_status status = out ? vt_cuda_rope_ensure(s.be, last_position(w), err)
                           : vt_fail(err, VT_ENOMEM, "out of memory for %d scored completions", w->score.n_rows);
    for (int i = 0; i < w->score.n_rows && status == VT_OK; i++) {
        struct vt_cuda_adapter *a = vt_cuda_adapter_of(w->score.rows[i].group->adapter);
        if (i == 0 || a != vt_cuda_adapter_of(w->score.rows[i - 1].group->adapter))
            status = vt_cuda_adapter_ready(s.be, a, s.be->wide_rows, err);
    }
    if (status == VT_OK)
        status = cut(&s, err);
    if (status == VT_OK)
        status = run(&s, out, err);
    vt_cuda_pages_free(s.be, &s.long_pages);
    free(s.pieces);
    if (status != VT_OK) {
        free(out);
        return status;
    }
    w->started = out;
    return VT_OK;
}

/* Places whose target is -1 are left alone. */
static void give_logprobs(const struct vt_lm_score_row *r, const float *from, size_t k)
{
    for (size_t i = 0; i < (size_t)r->n * k; i++)
        if (r->targets[i] >= 0)
            r->logprob[i] = from[i];
}

vt_status vt_cuda_score_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cuda_scored *out = w->started;
    const vt_status status = vt_cuda_stage_wait(be, out->stage, err);
    const size_t k = (size_t)w->score.k;
    size_t head = 0;
    for (int i = 0; status == VT_OK && i < w->score.n_rows; i++) {
        const struct vt_lm_score_row *r = &w->score.rows[i];
        const size_t n = (size_t)r->n;
        give_logprobs(r, out->logprob + head * k, k);
        if (r->extra.entropy)
            memcpy(r->extra.entropy, out->entropy + head, n * sizeof(float));
        if (r->extra.certainty)
            memcpy(r->extra.certainty, out->certainty + head, n * sizeof(float));
        head += n;
    }
    free(out);
    w->started = NULL;
    return status;
}
