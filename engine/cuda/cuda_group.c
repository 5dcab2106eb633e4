/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_group.c: prompts computed once. Prompts that are begun one after another are put off and walk through one wide
 * pass together, when the first of them is waited for, other work begins, or a pass is full: the products of one prompt
 * of a few hundred tokens do not fill the machine. A prompt longer than a pass walks through several by itself. Keys
 * and values go to the prompt's pages; the residual of its last token is kept behind the last page, for the first token
 * of every sample and completion.
 */
#include "cuda/cuda_parts.h"
#include <stdlib.h>

/* Prompts of one pass; shared by their jobs until each was waited for. */
struct vt_cuda_prompts {
    struct vt_lm_work *w[VT_CUDA_IN_FLIGHT];
    int n, n_rows, refs;
    bool is_begun;
    struct vt_cuda_stage *stage;
    vt_status status;
    vt_err err;
};

static int blocks_for(int n_tokens)
{
    return (n_tokens + VT_DEV_PAGE_KEYS - 1) / VT_DEV_PAGE_KEYS;
}

void vt_cuda_group_free(void *opened, vt_lm_group *group)
{
    struct vt_cuda *be = opened;
    struct vt_cuda_group *g = group->impl;
    if (!g)
        return;
    vt_cuda_pages_free(be, &g->pages);
    free(g);
    group->impl = NULL;
}

/* --- a pass --- */

struct arrays {
    int32_t *tokens, *pos;
    uint64_t *key_at;
    struct vt_dev_tile *tiles;
    struct vt_cuda_pass pass;
    struct vt_cuda_run runs[VT_CUDA_IN_FLIGHT];
};

static size_t arrays_bytes(int rows, int tiles)
{
    return (size_t)rows * (2 * sizeof(int32_t) + sizeof(uint64_t)) + (size_t)tiles * sizeof(struct vt_dev_tile) +
           (size_t)4 * VT_CUDA_ALIGN;
}

static bool take_arrays(struct vt_cuda_arena *a, int rows, int tiles, struct arrays *out)
{
    memset(out, 0, sizeof *out);
    out->tokens = vt_cuda_arena_take(a, (size_t)rows * sizeof *out->tokens, &out->pass.tokens);
    out->pos = vt_cuda_arena_take(a, (size_t)rows * sizeof *out->pos, &out->pass.pos);
    out->key_at = vt_cuda_arena_take(a, (size_t)rows * sizeof *out->key_at, &out->pass.key_at);
    out->tiles = vt_cuda_arena_take(a, (size_t)tiles * sizeof *out->tiles, &out->pass.tiles);
    return out->tokens && out->pos && out->key_at && out->tiles;
}

static bool take_table(struct vt_cuda_arena *a, const struct vt_cuda_group *g, vt_gpu_ptr *table)
{
    uint64_t *entries = vt_cuda_arena_take(a, (size_t)g->pages.n * sizeof *entries, table);
    for (int i = 0; entries && i < g->pages.n; i++)
        entries[i] = g->pages.at[i]->at;
    return entries != NULL;
}

/* Tokens [at, at + n) of a prompt as the pass's next rows; the pass's runs have room. */
static void add_rows(const struct vt_cuda *be, const vt_lm_group *group, const int32_t *tokens, int at, int n,
                     vt_gpu_ptr table, struct arrays *a)
{
    const struct vt_cuda_group *g = group->impl;
    const int row0 = a->pass.n_rows;
    vt_cuda_runs_add(a->runs, &a->pass.n_runs, row0, n, vt_cuda_adapter_of(group->adapter));
    a->pass.runs = a->runs;
    for (int i = 0; i < n; i++) {
        const int pos = at + i;
        a->tokens[row0 + i] = tokens[pos];
        a->pos[row0 + i] = pos;
        a->key_at[row0 + i] =
            g->pages.at[pos / VT_DEV_PAGE_KEYS]->at + (size_t)(pos % VT_DEV_PAGE_KEYS) * VT_DEV_KEY_BYTES;
    }
    a->pass.n_rows += n;
    a->pass.n_tiles += vt_cuda_tiles(be, table, row0, n, at, a->tiles + a->pass.n_tiles);
}

static vt_status keep_last(struct vt_cuda *be, const struct vt_cuda_group *g, int row, vt_err *err)
{
    const size_t bytes = (size_t)be->cfg.d_model * sizeof(float);
    return vt_gpu_check(
        be->gpu, vt_gpu_cu(be->gpu)->copy_across(g->last_hidden, be->wide.x + (size_t)row * bytes, bytes, be->stream),
        "keeping a prompt's last residual", err);
}

static int longest(const struct vt_cuda_prompts *p)
{
    int n = 1;
    for (int i = 0; i < p->n; i++)
        n = p->w[i]->group.group->n_tokens > n ? p->w[i]->group.group->n_tokens : n;
    return n;
}

/* All prompts in one pass. */
static vt_status run_together(struct vt_cuda *be, struct vt_cuda_prompts *p, vt_err *err)
{
    struct arrays a;
    size_t in = 0;
    int n_tiles = 0, row = 0;
    for (int i = 0; i < p->n; i++) {
        n_tiles += vt_cuda_n_tiles(be, p->w[i]->group.group->n_tokens);
        in += (size_t)blocks_for(p->w[i]->group.group->n_tokens) * sizeof(uint64_t) + VT_CUDA_ALIGN;
    }
    VT_TRY(vt_cuda_rope_ensure(be, longest(p), err));
    VT_TRY(vt_cuda_stage_begin(be, in + arrays_bytes(p->n_rows, n_tiles), 0, &p->stage, err));
    bool is_whole = take_arrays(&p->stage->in, p->n_rows, n_tiles, &a);
    for (int i = 0; is_whole && i < p->n; i++) {
        const struct vt_lm_work *w = p->w[i];
        vt_gpu_ptr table;
        is_whole = take_table(&p->stage->in, w->group.group->impl, &table);
        if (is_whole)
            add_rows(be, w->group.group, w->group.tokens, 0, w->group.group->n_tokens, table, &a);
    }
    if (!is_whole)
        return vt_fail(err, VT_EINTERNAL, "the arrays of %d prompts do not fit their stage", p->n);
    VT_TRY(vt_cuda_stage_send(be, p->stage, err));
    VT_TRY(vt_cuda_wide(be, &a.pass, err));
    for (int i = 0; i < p->n; i++) {
        row += p->w[i]->group.group->n_tokens;
        VT_TRY(keep_last(be, p->w[i]->group.group->impl, row - 1, err));
    }
    return vt_cuda_stage_fetch(be, p->stage, err);
}

/* A prompt longer than a pass. */
static vt_status run_long(struct vt_cuda *be, struct vt_cuda_prompts *p, vt_err *err)
{
    const struct vt_lm_work *w = p->w[0];
    struct vt_cuda_group *g = w->group.group->impl;
    const int n = p->n_rows, at_once = be->wide_rows, n_passes = (n + at_once - 1) / at_once;
    vt_gpu_ptr table;
    struct arrays *passes = vt_alloc_array((size_t)n_passes, sizeof *passes);
    const size_t in = (size_t)g->pages.n * sizeof(uint64_t) + VT_CUDA_ALIGN + arrays_bytes(n, 0) +
                      (size_t)n_passes * arrays_bytes(0, vt_cuda_n_tiles(be, at_once));
    vt_status status = passes ? vt_cuda_rope_ensure(be, n, err)
                              : vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", n);
    if (status == VT_OK)
        status = vt_cuda_stage_begin(be, in, 0, &p->stage, err);
    bool is_whole = status == VT_OK && take_table(&p->stage->in, g, &table);
    for (int i = 0; is_whole && i < n_passes; i++) {
        const int from = i * at_once, rows = n - from < at_once ? n - from : at_once;
        is_whole = take_arrays(&p->stage->in, rows, vt_cuda_n_tiles(be, rows), &passes[i]);
        if (is_whole)
            add_rows(be, w->group.group, w->group.tokens, from, rows, table, &passes[i]);
    }
    if (status == VT_OK)
        status = is_whole ? vt_cuda_stage_send(be, p->stage, err)
                          : vt_fail(err, VT_EINTERNAL, "the arrays of a prompt do not fit their stage");
    for (int i = 0; i < n_passes && status == VT_OK; i++) {
        vt_lease_poll(be->lease);
        status = vt_lm_is_cancelled(w) ? vt_fail(err, VT_ECANCELLED, "the prompt was cancelled")
                                       : vt_cuda_wide(be, &passes[i].pass, err);
    }
    if (status == VT_OK)
        status = keep_last(be, g, passes[n_passes - 1].pass.n_rows - 1, err);
    if (status == VT_OK)
        status = vt_cuda_stage_fetch(be, p->stage, err);
    free(passes);
    return status;
}

void vt_cuda_prompts_begin(struct vt_cuda *be)
{
    struct vt_cuda_prompts *p = be->prompts;
    if (!p)
        return;
    be->prompts = NULL;
    p->is_begun = true;
    p->status = VT_OK;
    for (int i = 0; i < p->n && p->status == VT_OK; i++)
        p->status =
            vt_cuda_adapter_ready(be, vt_cuda_adapter_of(p->w[i]->group.group->adapter), be->wide_rows, &p->err);
    if (p->status == VT_OK)
        p->status = p->n_rows > be->wide_rows ? run_long(be, p, &p->err) : run_together(be, p, &p->err);
}

/* --- the operation --- */

static vt_status put_off(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err)
{
    const int n = w->group.group->n_tokens;
    if (be->prompts && (be->prompts->n == VT_CUDA_IN_FLIGHT || be->prompts->n_rows + n > be->wide_rows))
        vt_cuda_prompts_begin(be);
    if (!be->prompts && !(be->prompts = vt_alloc(sizeof *be->prompts)))
        return vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", n);
    be->prompts->w[be->prompts->n++] = w;
    be->prompts->n_rows += n;
    be->prompts->refs++;
    w->started = be->prompts;
    return VT_OK;
}

vt_status vt_cuda_group_begin(void *opened, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cuda *be = opened;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    struct vt_cuda_group *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "out of memory for a prompt");
    vt_status status = vt_cuda_pages_grow(be, &g->pages, blocks_for(w->group.group->n_tokens), err);
    if (status == VT_OK) {
        g->last_hidden = g->pages.at[g->pages.n - 1]->at + (size_t)be->shape.layer_stride * (size_t)be->cfg.n_layers;
        w->group.group->impl = g;
        status = put_off(be, w, err);
    }
    if (status != VT_OK) {
        vt_cuda_pages_free(be, &g->pages);
        free(g);
        w->group.group->impl = NULL;
    }
    return status;
}

vt_status vt_cuda_group_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cuda_prompts *p = w->started;
    if (!p->is_begun)
        vt_cuda_prompts_begin(be);
    vt_status status = p->status;
    if (status != VT_OK && err)
        *err = p->err;
    if (status == VT_OK)
        status = vt_cuda_stage_wait(be, p->stage, err);
    if (status != VT_OK)
        vt_cuda_group_free(be, w->group.group);
    if (--p->refs == 0)
        free(p);
    w->started = NULL;
    return status;
}
