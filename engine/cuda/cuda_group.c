/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_group.c: prompts computed once. A prompt walks through wide passes of bounded size into pages of its own; the
 * residual of its last token is kept behind the last page, for the first token of every sample and completion.
 */
#include "cuda/cuda_parts.h"
#include <stdlib.h>

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

/* A pass's arrays in the arena. */
struct arrays {
    int32_t *tokens, *pos;
    uint64_t *key_at;
    struct vt_dev_tile *tiles;
    struct vt_cuda_pass pass;
};

static bool take_arrays(const struct vt_cuda *be, struct vt_cuda_arena *a, int rows, int tiles, struct arrays *out)
{
    (void)be;
    memset(out, 0, sizeof *out);
    out->tokens = vt_cuda_arena_take(a, (size_t)rows * sizeof *out->tokens, &out->pass.tokens);
    out->pos = vt_cuda_arena_take(a, (size_t)rows * sizeof *out->pos, &out->pass.pos);
    out->key_at = vt_cuda_arena_take(a, (size_t)rows * sizeof *out->key_at, &out->pass.key_at);
    out->tiles = vt_cuda_arena_take(a, (size_t)tiles * sizeof *out->tiles, &out->pass.tiles);
    return out->tokens && out->pos && out->key_at && out->tiles;
}

static size_t arrays_bytes(int rows, int tiles)
{
    return (size_t)rows * (2 * sizeof(int32_t) + sizeof(uint64_t)) + (size_t)tiles * sizeof(struct vt_dev_tile) +
           (size_t)4 * VT_CUDA_ALIGN;
}

static void fill_rows(const struct vt_cuda *be, const struct vt_cuda_group *g, const int32_t *tokens, int at, int n,
                      vt_gpu_ptr table, struct arrays *a)
{
    const size_t key_bytes = (size_t)be->shape.head_pad * 2;
    for (int i = 0; i < n; i++) {
        const int pos = at + i;
        a->tokens[i] = tokens[pos];
        a->pos[i] = pos;
        a->key_at[i] = g->pages.at[pos / VT_DEV_PAGE_KEYS]->at + (size_t)(pos % VT_DEV_PAGE_KEYS) * key_bytes;
    }
    a->pass.n_rows = n;
    a->pass.n_tiles = vt_cuda_tiles(be, table, 0, n, at, a->tiles);
}

static vt_status run(struct vt_cuda *be, struct vt_lm_work *w, struct vt_cuda_group *g, vt_err *err)
{
    const int n = w->group.group->n_tokens, at_once = be->wide_rows, n_passes = (n + at_once - 1) / at_once;
    struct vt_cuda_stage *stage;
    vt_gpu_ptr table;
    const size_t in = (size_t)g->pages.n * sizeof(uint64_t) + VT_CUDA_ALIGN +
                      (size_t)n_passes * arrays_bytes(0, vt_cuda_n_tiles(be, at_once)) + arrays_bytes(n, 0);
    VT_TRY(vt_cuda_rope_ensure(be, n, err));
    VT_TRY(vt_cuda_stage_begin(be, in, 0, &stage, err));
    uint64_t *entries = vt_cuda_arena_take(&stage->in, (size_t)g->pages.n * sizeof *entries, &table);
    struct arrays *passes = vt_alloc_array((size_t)n_passes, sizeof *passes);
    bool is_whole = entries && passes;
    for (int i = 0; is_whole && i < g->pages.n; i++)
        entries[i] = g->pages.at[i]->at;
    for (int i = 0; is_whole && i < n_passes; i++) {
        const int from = i * at_once, rows = n - from < at_once ? n - from : at_once;
        is_whole = take_arrays(be, &stage->in, rows, vt_cuda_n_tiles(be, rows), &passes[i]);
        if (is_whole)
            fill_rows(be, g, w->group.tokens, from, rows, table, &passes[i]);
    }
    vt_status status = is_whole ? vt_cuda_stage_send(be, stage, err)
                                : vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", n);
    for (int i = 0; i < n_passes && status == VT_OK; i++)
        status = vt_cuda_wide(be, &passes[i].pass, err);
    if (status == VT_OK) {
        const size_t row = (size_t)be->cfg.d_model * sizeof(float);
        const vt_gpu_ptr last = be->wide.x + (size_t)(passes[n_passes - 1].pass.n_rows - 1) * row;
        status = vt_gpu_check(be->gpu, vt_gpu_cu(be->gpu)->copy_across(g->last_hidden, last, row, be->stream),
                              "keeping a prompt's last residual", err);
    }
    if (status == VT_OK)
        status = vt_cuda_stage_fetch(be, stage, err);
    free(passes);
    w->started = stage;
    return status;
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
        status = run(be, w, g, err);
    }
    if (status != VT_OK) {
        vt_cuda_pages_free(be, &g->pages);
        free(g);
        return status;
    }
    w->group.group->impl = g;
    return VT_OK;
}
