/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_train.c: FORWARD, the training pass: values as SCORE gives them, and a tape for BACKWARD (cuda_train.h). Here
 * the batch is laid out: rows in the door's packed order, cut into chunks of a wide pass; pages, page tables and tiles
 * of the forward attention; queries and keys of its backward.
 */
#include "cuda/cuda_train.h"
#include <stdlib.h>

static int blocks_for(int n_tokens)
{
    return (n_tokens + VT_DEV_PAGE_KEYS - 1) / VT_DEV_PAGE_KEYS;
}

static int fed(const struct vt_lm_tape_seq *s)
{
    return s->n > 0 ? s->n - 1 : 0;
}

static int own_pages(const struct vt_lm_tape_prompt *p, const struct vt_lm_tape_seq *s)
{
    return fed(s) ? blocks_for(p->n + fed(s)) - p->n / VT_DEV_PAGE_KEYS : 0;
}

/* Rows behind a prompt: those of its completions. */
static int rows_behind(const vt_lm_tape *d, const struct vt_lm_tape_prompt *p)
{
    int n = 0;
    for (int s = p->seq0; s < p->seq0 + p->n_seqs; s++)
        n += fed(&d->seqs[s]);
    return n;
}

/* Tokens of a part. */
static int part_rows(int n)
{
    const int least = (n + VT_CUDA_PARTS - 1) / VT_CUDA_PARTS;
    return least > VT_CUDA_PART_ROWS ? least : VT_CUDA_PART_ROWS;
}

static int parts_of(int n)
{
    return n ? (n + part_rows(n) - 1) / part_rows(n) : 0;
}

int vt_cuda_key_parts(int n_prompt, int n)
{
    return n ? blocks_for(n_prompt) * (1 + parts_of(n)) : 0;
}

/* --- sizes --- */

struct counts {
    int n_spans, n_pages, n_table, n_pieces; /* pieces of spans, by chunk */
    int n_queries, n_keys, n_sums, n_parts;
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static void count_span(const struct vt_cuda *be, struct counts *c, int row0, int n)
{
    const int heads = be->cfg.n_heads / be->cfg.n_kv_heads;
    c->n_spans++;
    c->n_pieces += (row0 + n - 1) / be->wide_rows - row0 / be->wide_rows + 1;
    c->n_queries += (n * heads + VT_CUDA_BACK_QUERIES - 1) / VT_CUDA_BACK_QUERIES;
    c->n_keys += blocks_for(n);
}

static struct counts count(const struct vt_cuda *be, const vt_lm_tape *d)
{
    struct counts c = {0};
    for (int i = 0; i < d->n_prompts; i++) {
        const struct vt_lm_tape_prompt *p = &d->prompts[i];
        const int behind = rows_behind(d, p);
        count_span(be, &c, p->row0, p->n);
        c.n_pages += blocks_for(p->n);
        c.n_table += blocks_for(p->n);
        c.n_keys += blocks_for(p->n) * parts_of(behind);
        c.n_sums += behind ? blocks_for(p->n) : 0;
        c.n_parts += vt_cuda_key_parts(p->n, behind);
        for (int s = p->seq0; s < p->seq0 + p->n_seqs; s++) {
            if (!fed(&d->seqs[s]))
                continue;
            count_span(be, &c, d->seqs[s].row0, fed(&d->seqs[s]));
            c.n_pages += own_pages(p, &d->seqs[s]);
            c.n_table += p->n / VT_DEV_PAGE_KEYS + own_pages(p, &d->seqs[s]);
        }
    }
    return c;
}

/* --- arrays --- */

struct filling {
    const struct vt_cuda *be;
    struct vt_cuda_tape *t;
    int32_t *tokens, *pos, *begin, *ids;
    uint64_t *key_at, *tables, *sources;
    struct vt_dev_tile *tiles;
    struct vt_dev_copy *copies;
    struct vt_dev_span *spans;
    struct vt_dev_back_queries *queries;
    struct vt_dev_back_keys *keys;
    struct vt_dev_key_sum *sums;
    vt_gpu_ptr key_at_at, tables_at, tiles_at, copies_at;
    int n_table, n_tiles, n_copies, n_spans, chunk; /* so far */
    vt_gpu_ptr page;                                /* the next one */
};

static int most_tiles(const struct vt_cuda *be, const struct vt_cuda_tape *t, const struct counts *c)
{
    return vt_cuda_n_tiles(be, t->n_rows) + c->n_pieces * vt_cuda_n_tiles(be, 1);
}

static void *take(struct filling *f, size_t n, size_t size, vt_gpu_ptr *device)
{
    return vt_cuda_arena_take(&f->t->arena, n * size, device);
}

static vt_status take_arrays(struct filling *f, struct vt_cuda *be, const struct counts *c, vt_err *err)
{
    struct vt_cuda_tape *t = f->t;
    const vt_lm_tape *d = t->door;
    const size_t n = (size_t)t->n_rows, tiles = (size_t)most_tiles(be, t, c), copies = (size_t)d->n_seqs;
    const size_t bytes = n * (2 * sizeof(int32_t) + sizeof(uint64_t)) + (size_t)c->n_table * sizeof(uint64_t) +
                         tiles * sizeof *f->tiles + copies * sizeof *f->copies +
                         ((size_t)d->n_heads + 1) * (sizeof(uint64_t) + sizeof(int32_t)) +
                         (size_t)d->n_targets * sizeof(int32_t) + (size_t)c->n_spans * sizeof *f->spans +
                         (size_t)c->n_queries * sizeof *f->queries + (size_t)c->n_keys * sizeof *f->keys +
                         (size_t)c->n_sums * sizeof *f->sums + (size_t)16 * VT_CUDA_ALIGN;
    VT_TRY(vt_cuda_arena_borrow(be, &t->arena, bytes, err));
    f->tokens = take(f, n, sizeof *f->tokens, &t->tokens);
    f->pos = take(f, n, sizeof *f->pos, &t->pos);
    f->key_at = take(f, n, sizeof *f->key_at, &f->key_at_at);
    f->tables = take(f, (size_t)c->n_table, sizeof *f->tables, &f->tables_at);
    f->tiles = take(f, tiles, sizeof *f->tiles, &f->tiles_at);
    f->copies = take(f, copies, sizeof *f->copies, &f->copies_at);
    f->sources = take(f, (size_t)d->n_heads, sizeof *f->sources, &t->sources);
    f->begin = take(f, (size_t)d->n_heads + 1, sizeof *f->begin, &t->begin);
    f->ids = take(f, (size_t)d->n_targets, sizeof *f->ids, &t->ids);
    f->spans = take(f, (size_t)c->n_spans, sizeof *f->spans, &t->spans);
    f->queries = take(f, (size_t)c->n_queries, sizeof *f->queries, &t->queries);
    f->keys = take(f, (size_t)c->n_keys, sizeof *f->keys, &t->keys);
    f->sums = take(f, (size_t)c->n_sums, sizeof *f->sums, &t->sums);
    if (!f->sums)
        return vt_fail(err, VT_EINTERNAL, "the arrays of a training batch do not fit");
    t->n_chunks = (t->n_rows + be->wide_rows - 1) / be->wide_rows;
    t->chunks = vt_alloc_array((size_t)t->n_chunks, sizeof *t->chunks);
    t->runs = vt_alloc_array((size_t)t->n_chunks, sizeof *t->runs);
    return t->chunks && t->runs ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a training batch");
}

/* Rows [row0, row0 + n) of a sequence at positions from pos0; entries: its page table, which stands at `table`. */
static void add_rows(struct filling *f, const int32_t *tokens, int row0, int n, int pos0, const uint64_t *entries,
                     vt_gpu_ptr table)
{
    const struct vt_cuda *be = f->be;
    for (int i = 0; i < n; i++) {
        const int pos = pos0 + i;
        f->tokens[row0 + i] = tokens[i];
        f->pos[row0 + i] = pos;
        f->key_at[row0 + i] = entries[pos / VT_DEV_PAGE_KEYS] + (uint64_t)(pos % VT_DEV_PAGE_KEYS) * VT_DEV_KEY_BYTES;
    }
    for (int at = 0; at < n;) {
        struct vt_cuda_chunk *c = &f->t->chunks[(row0 + at) / be->wide_rows];
        const int inside = row0 + at - c->row0, size = least(n - at, c->pass.n_rows - inside);
        if (!c->pass.tiles)
            c->pass.tiles = f->tiles_at + (size_t)f->n_tiles * sizeof *f->tiles;
        const int made = vt_cuda_tiles(be, table, inside, size, pos0 + at, f->tiles + f->n_tiles);
        c->pass.n_tiles += made;
        f->n_tiles += made;
        at += size;
    }
}

static void add_span(struct filling *f, struct vt_dev_span s)
{
    struct vt_cuda_tape *t = f->t;
    const int queries = s.n * (f->be->cfg.n_heads / f->be->cfg.n_kv_heads);
    for (int q = 0; q < queries; q += VT_CUDA_BACK_QUERIES)
        f->queries[t->n_queries++] = (struct vt_dev_back_queries){.span = f->n_spans, .first = q};
    f->spans[f->n_spans++] = s;
}

/* Keys of a sequence's own tokens, which those from themselves on see. */
static struct vt_dev_back_keys own_keys(int row0, int n, int at, int part)
{
    return (struct vt_dev_back_keys){.key_row = row0 + at,
                                     .n_keys = least(VT_CUDA_BACK_KEYS, n - at),
                                     .q_row = row0 + at,
                                     .n_q = n - at,
                                     .seen0 = 1,
                                     .part = part};
}

static void add_prompt_keys(struct filling *f, const struct vt_lm_tape_prompt *p, int behind)
{
    struct vt_cuda_tape *t = f->t;
    for (int at = 0; at < p->n; at += VT_CUDA_BACK_KEYS) {
        const int part0 = t->n_parts;
        struct vt_dev_back_keys k = own_keys(p->row0, p->n, at, behind ? t->n_parts++ : -1);
        f->keys[t->n_keys++] = k;
        for (int from = 0; from < behind; from += part_rows(behind)) {
            k.q_row = p->row0 + p->n + from;
            k.n_q = least(part_rows(behind), behind - from);
            k.seen0 = VT_CUDA_BACK_KEYS;
            k.part = t->n_parts++;
            f->keys[t->n_keys++] = k;
        }
        if (behind)
            f->sums[t->n_sums++] = (struct vt_dev_key_sum){
                .key_row = k.key_row, .n_keys = k.n_keys, .part0 = part0, .n_parts = t->n_parts - part0};
    }
}

/* A page table of `shared` entries of another one and `own` fresh pages. */
static uint64_t *new_table(struct filling *f, const uint64_t *from, int shared, int own, vt_gpu_ptr *at)
{
    uint64_t *entries = f->tables + f->n_table;
    *at = f->tables_at + (size_t)f->n_table * sizeof *entries;
    for (int b = 0; b < shared; b++)
        entries[b] = from[b];
    for (int b = 0; b < own; b++, f->page += (vt_gpu_ptr)f->be->shape.layer_stride)
        entries[shared + b] = f->page | 1;
    f->n_table += shared + own;
    return entries;
}

static void add_copy(struct filling *f, int row0, uint64_t from, uint64_t to, int n_keys)
{
    struct vt_cuda_pass *pass = &f->t->chunks[row0 / f->be->wide_rows].pass;
    if (!pass->copies)
        pass->copies = f->copies_at + (size_t)f->n_copies * sizeof *f->copies;
    pass->n_copies++;
    f->copies[f->n_copies++] = (struct vt_dev_copy){.from = from, .to = to, .n_keys = n_keys};
}

static void add_prompt(struct filling *f, const struct vt_lm_tape_prompt *p)
{
    const vt_lm_tape *d = f->t->door;
    const int full = p->n / VT_DEV_PAGE_KEYS, straddle = p->n % VT_DEV_PAGE_KEYS;
    vt_gpu_ptr table;
    const uint64_t *pages = new_table(f, NULL, 0, blocks_for(p->n), &table);
    add_rows(f, p->tokens, p->row0, p->n, 0, pages, table);
    add_span(f, (struct vt_dev_span){.row0 = p->row0, .n = p->n});
    add_prompt_keys(f, p, rows_behind(d, p));
    for (int i = p->seq0; i < p->seq0 + p->n_seqs; i++) {
        const struct vt_lm_tape_seq *s = &d->seqs[i];
        const int n = fed(s);
        if (!n)
            continue;
        const uint64_t *entries = new_table(f, pages, full, own_pages(p, s), &table);
        add_rows(f, s->tokens, s->row0, n, p->n, entries, table);
        if (straddle)
            add_copy(f, s->row0, pages[full], entries[full], straddle);
        add_span(f, (struct vt_dev_span){.row0 = s->row0, .n = n, .prompt_row = p->row0, .n_prompt = p->n});
        for (int at = 0; at < n; at += VT_CUDA_BACK_KEYS)
            f->keys[f->t->n_keys++] = own_keys(s->row0, n, at, -1);
        f->t->last_pos = p->n + n > f->t->last_pos ? p->n + n : f->t->last_pos;
    }
    f->t->last_pos = p->n > f->t->last_pos ? p->n : f->t->last_pos;
}

static void begin_chunks(struct filling *f)
{
    struct vt_cuda_tape *t = f->t;
    const int step = f->be->wide_rows;
    for (int i = 0; i < t->n_chunks; i++) {
        struct vt_cuda_chunk *c = &t->chunks[i];
        c->row0 = i * step;
        c->pass = (struct vt_cuda_pass){.n_rows = least(step, t->n_rows - i * step), .runs = &t->runs[i], .n_runs = 1};
        c->pass.tokens = t->tokens + (size_t)c->row0 * sizeof(int32_t);
        c->pass.pos = t->pos + (size_t)c->row0 * sizeof(int32_t);
        c->pass.key_at = f->key_at_at + (size_t)c->row0 * sizeof(uint64_t);
        t->runs[i] = (struct vt_cuda_run){.row1 = c->pass.n_rows, .adapter = t->adapter};
    }
}

/* Keeps as much as the budget has room for beside the backward that is to come and the batches that will be kept too.
 */
static vt_status take_memory(struct vt_cuda *be, struct vt_cuda_tape *t, const struct counts *c, vt_err *err)
{
    const uint64_t pages = (uint64_t)c->n_pages * (uint64_t)be->shape.layer_stride,
                   x = (vt_cuda_tape_bytes(be, t->n_rows) + 255) / 256 * 256, reserve = (uint64_t)512 << 20;
    const uint64_t after = (uint64_t)t->door->rows_after,
                   beside = vt_cuda_tape_bytes(be, t->door->rows_after) + pages * after / (uint64_t)t->n_rows;
    const uint64_t room = vt_cuda_room(be);
    vt_status status = VT_ENOMEM;
    for (int kept = be->most_kept; status != VT_OK && kept >= VT_CUDA_KEEP_INPUTS; kept--) {
        const uint64_t more = vt_cuda_kept_bytes(be, t->n_rows, (enum vt_cuda_kept)kept);
        t->kept = (enum vt_cuda_kept)kept;
        if (kept == VT_CUDA_KEEP_INPUTS ||
            pages + x + more + beside + reserve +
                    vt_cuda_back_bytes(be, t->adapter, t->n_rows, c->n_parts, (enum vt_cuda_kept)kept) <=
                room)
            status = vt_cuda_block_take(be, pages + x + more, "activations kept for the backward", &t->memory, err);
    }
    VT_TRY(status);
    t->x = t->memory.at;
    t->kept_at = t->x + x;
    t->pages = t->memory.at + t->memory.bytes / 256 * 256 - pages;
    return vt_gpu_fill(be->gpu, t->pages, 0, pages, be->stream, err);
}

static vt_status lay_out(struct vt_cuda *be, struct vt_cuda_tape *t, vt_err *err)
{
    struct filling f = {.be = be, .t = t};
    const vt_lm_tape *d = t->door;
    const struct counts c = count(be, d);
    VT_TRY(take_arrays(&f, be, &c, err));
    VT_TRY(take_memory(be, t, &c, err));
    f.page = t->pages;
    begin_chunks(&f);
    for (int i = 0; i < d->n_prompts; i++)
        add_prompt(&f, &d->prompts[i]);
    for (int h = 0; h < d->n_heads; h++) {
        f.sources[h] = vt_cuda_tape_x(be, t, be->cfg.n_layers, d->heads[h].row);
        f.begin[h] = d->heads[h].target0;
    }
    f.begin[d->n_heads] = d->n_targets;
    memcpy(f.ids, d->target_ids, (size_t)d->n_targets * sizeof *f.ids);
    return vt_gpu_copy_in(be->gpu, t->arena.device, t->arena.host, t->arena.used, be->stream, err);
}

/* --- running --- */

/* A chunk through a layer. What is kept is written where it stays. */
static vt_status run_chunk(struct vt_cuda *be, const struct vt_cuda_tape *t, const struct vt_cuda_chunk *c, int i,
                           vt_err *err)
{
    const struct vt_cuda_kept_rows kept = vt_cuda_tape_kept(be, t, i, c->row0);
    struct vt_cuda_bufs b = be->wide;
    struct vt_cuda_pass pass = c->pass;
    const vt_gpu_ptr out = vt_cuda_tape_x(be, t, i + 1, c->row0);
    const vt_gpu_ptr mid = kept.mid ? kept.mid : out;
    if (kept.q) {
        b.q = kept.q;
        b.ctx = kept.ctx;
        pass.plain_keys = kept.kv;
        pass.lse = kept.lse;
    }
    b.gate_up = kept.gate_up ? kept.gate_up : b.gate_up;
    b.x = vt_cuda_tape_x(be, t, i, c->row0);
    VT_TRY(vt_cuda_layer_keys(be, &pass, &b, i, err));
    VT_TRY(vt_cuda_layer_attend(be, &pass, &b, i, err));
    VT_TRY(vt_cuda_layer_rest(be, &pass, &b, i, mid, err));
    return vt_cuda_layer_down(be, &pass, &b, i, mid, out, err);
}

static vt_status run_layers(struct vt_cuda *be, const struct vt_lm_work *w, const struct vt_cuda_tape *t, vt_err *err)
{
    VT_TRY(vt_cuda_embed(be, t->tokens, t->n_rows, t->x, err));
    for (int i = 0; i < be->cfg.n_layers; i++) {
        vt_lease_poll(be->lease);
        if (vt_lm_is_cancelled(w))
            return vt_fail(err, VT_ECANCELLED, "the training batch was cancelled");
        for (int k = 0; k < t->n_chunks; k++)
            VT_TRY(run_chunk(be, t, &t->chunks[k], i, err));
    }
    return VT_OK;
}

static vt_status run_heads(struct vt_cuda *be, const struct vt_cuda_tape *t, vt_gpu_ptr logprob, vt_err *err)
{
    int d = be->cfg.d_model;
    float eps = be->cfg.rms_eps;
    vt_gpu_ptr none = 0, ids = t->ids;
    for (int at = 0; at < t->door->n_heads; at += be->head_rows) {
        const int n = least(be->head_rows, t->door->n_heads - at);
        vt_gpu_ptr sources = t->sources + (size_t)at * sizeof(uint64_t),
                   begin = t->begin + (size_t)at * sizeof(int32_t);
        void *norm_args[] = {&sources, &be->w.final_norm, &be->head_norm, &d, &eps};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_norm_from,
                              &(struct vt_gpu_grid){.x = (unsigned)n, .threads = vt_cuda_norm_threads(be->cfg.d_model)},
                              norm_args, err));
        VT_TRY(vt_cuda_head(be, be->head_norm, n, err));
        void *args[] = {&be->logits, &begin, &ids, &logprob, &none, &none, &be->shape};
        const struct vt_gpu_grid grid = {
            .x = (unsigned)n, .threads = 256, .smem = (unsigned)be->shape.n_chunks * 5 * (unsigned)sizeof(float)};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_head_rows, &grid, args, err));
    }
    return VT_OK;
}

struct forwarded { /* between begin and wait */
    struct vt_cuda_stage *stage;
    float *logprob;
};

static void free_tape(struct vt_cuda *be, struct vt_cuda_tape *t)
{
    if (!t)
        return;
    vt_cuda_block_give(be, &t->memory);
    vt_cuda_arena_return(be, &t->arena);
    free(t->chunks);
    free(t->runs);
    free(t);
}

void vt_cuda_tape_free(void *opened, vt_lm_tape *tape)
{
    struct vt_cuda *be = opened;
    if (tape->impl && vt_gpu_bind(be->gpu, NULL) == VT_OK)
        free_tape(be, tape->impl);
    tape->impl = NULL;
}

static vt_status run(struct vt_cuda *be, const struct vt_lm_work *w, struct vt_cuda_tape *t, struct forwarded *f,
                     vt_err *err)
{
    const size_t bytes = (size_t)t->door->n_targets * sizeof(float);
    vt_gpu_ptr logprob;
    VT_TRY(vt_cuda_adapter_ready(be, t->adapter, be->wide_rows, err));
    VT_TRY(lay_out(be, t, err));
    VT_TRY(vt_cuda_rope_ensure(be, t->last_pos, err));
    VT_TRY(vt_cuda_stage_begin(be, 0, bytes + VT_CUDA_ALIGN, &f->stage, err));
    f->logprob = vt_cuda_arena_take(&f->stage->out, bytes, &logprob);
    VT_TRY(run_layers(be, w, t, err));
    VT_TRY(run_heads(be, t, logprob, err));
    return vt_cuda_stage_fetch(be, f->stage, err);
}

vt_status vt_cuda_forward_begin(void *opened, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cuda *be = opened;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    vt_cuda_prompts_begin(be);
    struct forwarded *f = vt_alloc(sizeof *f);
    struct vt_cuda_tape *t = vt_alloc(sizeof *t);
    vt_status status = VT_OK;
    if (f && t) {
        t->door = w->forward.tape;
        t->adapter = vt_cuda_adapter_of(t->door->adapter);
        t->n_rows = t->door->n_rows;
        status = run(be, w, t, f, err);
    } else
        status = vt_fail(err, VT_ENOMEM, "out of memory for a training batch");
    if (status != VT_OK) {
        free_tape(be, t);
        free(f);
        return status;
    }
    w->forward.tape->impl = t;
    w->started = f;
    return VT_OK;
}

vt_status vt_cuda_forward_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err)
{
    struct forwarded *f = w->started;
    const vt_status status = vt_cuda_stage_wait(be, f->stage, err);
    if (status == VT_OK)
        memcpy(w->forward.logprob, f->logprob, (size_t)w->forward.tape->n_targets * sizeof(float));
    else
        vt_cuda_tape_free(be, w->forward.tape);
    free(f);
    w->started = NULL;
    return status;
}
