/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_decode.c: n_steps tokens for each of some slots. A slot's record in device memory moves on there: a step reads
 * it for the token to feed and its place, and its last kernel draws, tests the stops and writes it. So a job is begun
 * without knowing how the one before it ended, and the host is visited once a job: steps are replays of one CUDA graph
 * per shape (rows, rounded up, and attention tiles), which reads everything else of the job from a header.
 *
 * A finished slot stays a row that does nothing. The page that straddles the prompt's end is copied into the slot's own
 * page before its first step, because its own keys go there.
 */
#include "cuda/cuda_parts.h"
#include <stdlib.h>

enum { DRAW_BLOCK = 256, CHUNK_SUMS_BYTES = 5 * sizeof(float), CANNOT_DRAW = 3 };

/* What is kept between begin and wait. */
struct begun {
    struct vt_cuda_stage *stage;
    int n_rows;
    int32_t *tokens, *n_out, *finished;
    float *logprob, *behaviour, *entropy, *certainty;
};

/* --- slots --- */

vt_status vt_cuda_slot_new(void *opened, vt_lm_slot *slot, vt_err *err)
{
    struct vt_cuda *be = opened;
    struct vt_cuda_slot *s = vt_alloc(sizeof *s);
    if (!s)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    const vt_status status = vt_cuda_record_take(be, &s->record, err);
    if (status != VT_OK) {
        free(s);
        return status;
    }
    slot->impl = s;
    return VT_OK;
}

void vt_cuda_slot_free(void *opened, vt_lm_slot *slot)
{
    struct vt_cuda *be = opened;
    struct vt_cuda_slot *s = slot->impl;
    if (!s)
        return;
    vt_cuda_pages_free(be, &s->own);
    vt_cuda_record_give(be, s->record);
    if (s->ids && vt_gpu_bind(be->gpu, NULL) == VT_OK)
        vt_gpu_free(be->gpu, s->ids);
    free(s);
    slot->impl = NULL;
}

/* --- preparing --- */

static int round_rows(int n)
{
    return n <= 64 ? (n + 7) / 8 * 8 : (n + 15) / 16 * 16;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Own pages a slot has after n_steps more tokens: the last one drawn is not fed. */
static int own_pages(const vt_lm_slot *slot, int n_steps)
{
    const struct vt_cuda_slot *s = slot->impl;
    const int n_prompt = slot->group->n_tokens, fed = least(s->n_begun + n_steps, slot->max_tokens) - 1;
    return fed < 1 ? 0 : (n_prompt + fed - 1) / VT_DEV_PAGE_KEYS + 1 - n_prompt / VT_DEV_PAGE_KEYS;
}

struct preparation {
    struct vt_cuda *be;
    struct vt_lm_work *w;
    struct vt_cuda_stage *stage;
    struct vt_dev_poke *pokes;
    struct vt_dev_copy *copies;
    int n_pokes, n_copies;
    vt_gpu_ptr pokes_at, copies_at, header_at;
};

static int n_ids(const vt_lm_slot *slot)
{
    return slot->sampling.n_banned + slot->n_stop_ids;
}

/* Most pokes and copies a job can need. */
static void count(const struct vt_lm_work *w, int *pokes, int *copies)
{
    *pokes = *copies = 0;
    for (int i = 0; i < w->decode.n_slots; i++) {
        const vt_lm_slot *slot = w->decode.slots[i];
        const struct vt_cuda_slot *s = slot->impl;
        const int want = own_pages(slot, w->decode.n_steps);
        *pokes += want > s->own.n ? want - s->n_sent : s->own.n - s->n_sent;
        *copies += s->n_sent == 0;
        if (!s->is_written)
            *pokes += (int)(sizeof(struct vt_dev_slot) / sizeof(uint64_t)) + slot->group->n_tokens / VT_DEV_PAGE_KEYS +
                      (VT_CUDA_RECORD_IDS + 1) / 2;
    }
}

static void poke(struct preparation *p, vt_gpu_ptr address, uint64_t value)
{
    p->pokes[p->n_pokes++] = (struct vt_dev_poke){.address = address, .value = value};
}

static void poke_table(struct preparation *p, const struct vt_cuda_slot *s, int block, vt_gpu_ptr page)
{
    poke(p, s->record + sizeof(struct vt_dev_slot) + (vt_gpu_ptr)block * sizeof(uint64_t), page);
}

/* Banned ids, then stop ids: at the record's end where they fit, else in an allocation of their own. */
static vt_status place_ids(struct preparation *p, const vt_lm_slot *slot, struct vt_cuda_slot *s, vt_gpu_ptr *out,
                           vt_err *err)
{
    const int banned = slot->sampling.n_banned, n = n_ids(slot);
    int32_t few[VT_CUDA_RECORD_IDS + 1] = {0};
    if (n > VT_CUDA_RECORD_IDS)
        return vt_cuda_ids_take(p->be, slot, &s->ids, out, err);
    *out = s->record + p->be->record_bytes - VT_CUDA_RECORD_IDS * sizeof(int32_t);
    for (int i = 0; i < n; i++)
        few[i] = i < banned ? slot->sampling.banned[i] : slot->stop_ids[i - banned];
    for (int i = 0; i < n; i += 2) {
        uint64_t word;
        memcpy(&word, &few[i], sizeof word);
        poke(p, *out + (vt_gpu_ptr)i * sizeof(int32_t), word);
    }
    return VT_OK;
}

static vt_status write_record(struct preparation *p, const vt_lm_slot *slot, struct vt_cuda_slot *s, vt_err *err)
{
    const struct vt_cuda_group *g = slot->group->impl;
    vt_gpu_ptr ids;
    VT_TRY(place_ids(p, slot, s, &ids, err));
    const struct vt_dev_slot r = {.seed = slot->seed,
                                  .last_hidden = g->last_hidden,
                                  .banned = ids,
                                  .stop_ids = ids + (vt_gpu_ptr)slot->sampling.n_banned * sizeof(int32_t),
                                  .n_prompt = slot->group->n_tokens,
                                  .max_tokens = slot->max_tokens,
                                  .n_banned = slot->sampling.n_banned,
                                  .n_stop_ids = slot->n_stop_ids,
                                  .top_k = slot->sampling.top_k,
                                  .temperature = slot->sampling.temperature,
                                  .top_p = slot->sampling.top_p,
                                  .min_p = slot->sampling.min_p};
    uint64_t words[sizeof r / sizeof(uint64_t)];
    memcpy(words, &r, sizeof r);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        poke(p, s->record + i * sizeof(uint64_t), words[i]);
    for (int b = 0; b < slot->group->n_tokens / VT_DEV_PAGE_KEYS; b++)
        poke_table(p, s, b, g->pages.at[b]->at);
    return VT_OK;
}

/* What was sent is marked only once the job has begun (commit), so that a failure leaves the slot as it was. */
static vt_status prepare_slot(struct preparation *p, vt_lm_slot *slot, vt_err *err)
{
    struct vt_cuda_slot *s = slot->impl;
    const struct vt_cuda_group *g = slot->group->impl;
    const int n_prompt = slot->group->n_tokens, full = n_prompt / VT_DEV_PAGE_KEYS;
    if (!s->is_written)
        VT_TRY(write_record(p, slot, s, err));
    VT_TRY(vt_cuda_pages_grow(p->be, &s->own, own_pages(slot, p->w->decode.n_steps), err));
    for (int i = s->n_sent; i < s->own.n; i++)
        poke_table(p, s, full + i, s->own.at[i]->at);
    if (s->n_sent == 0 && s->own.n > 0 && n_prompt % VT_DEV_PAGE_KEYS)
        p->copies[p->n_copies++] = (struct vt_dev_copy){
            .from = g->pages.at[full]->at, .to = s->own.at[0]->at, .n_keys = n_prompt % VT_DEV_PAGE_KEYS};
    return VT_OK;
}

static void commit(const struct vt_lm_work *w)
{
    for (int i = 0; i < w->decode.n_slots; i++) {
        struct vt_cuda_slot *s = w->decode.slots[i]->impl;
        s->n_begun = least(s->n_begun + w->decode.n_steps, w->decode.slots[i]->max_tokens);
        s->n_sent = s->own.n;
        s->is_written = true;
    }
}

static size_t array(size_t n, size_t size)
{
    return (n * size + VT_CUDA_ALIGN - 1) / VT_CUDA_ALIGN * VT_CUDA_ALIGN;
}

static void *out_array(struct vt_cuda_stage *s, size_t n, vt_gpu_ptr *device)
{
    return vt_cuda_arena_take(&s->out, n * sizeof(float), device);
}

/* The job's arrays in its stage, and the header that the steps read. */
static vt_status prepare(struct preparation *p, bool is_own, struct begun *b, int *n_tiles, vt_err *err)
{
    struct vt_cuda *be = p->be;
    const struct vt_lm_work *w = p->w;
    const size_t n = (size_t)w->decode.n_slots, positions = n * (size_t)w->decode.n_steps;
    int most_pokes, most_copies;
    count(w, &most_pokes, &most_copies);
    const size_t in = array(1, sizeof(struct vt_dev_job)) + array((size_t)most_pokes, sizeof *p->pokes) +
                      array((size_t)most_copies, sizeof *p->copies) + (size_t)3 * VT_CUDA_ALIGN;
    const size_t out = 5 * array(positions, sizeof(float)) + 2 * array(n, sizeof(int32_t)) + (size_t)7 * VT_CUDA_ALIGN;
    VT_TRY(vt_cuda_stage_begin(be, in, out, &p->stage, err));
    struct vt_dev_job *job = vt_cuda_arena_take(&p->stage->in, sizeof *job, &p->header_at);
    memset(job, 0, sizeof *job);
    job->n_rows = (int32_t)n;
    job->n_steps = w->decode.n_steps;
    p->pokes = vt_cuda_arena_take(&p->stage->in, (size_t)most_pokes * sizeof *p->pokes, &p->pokes_at);
    p->copies = vt_cuda_arena_take(&p->stage->in, (size_t)most_copies * sizeof *p->copies, &p->copies_at);
    b->stage = p->stage;
    b->n_rows = (int)n;
    b->tokens = out_array(p->stage, positions, &job->tokens);
    b->logprob = out_array(p->stage, positions, &job->logprob);
    b->behaviour = out_array(p->stage, positions, &job->behaviour);
    b->entropy = out_array(p->stage, positions, &job->entropy);
    b->certainty = out_array(p->stage, positions, &job->certainty);
    b->n_out = out_array(p->stage, n, &job->n_out);
    b->finished = out_array(p->stage, n, &job->finished);
    for (size_t i = 0; i < n; i++) {
        job->rows[i] = ((const struct vt_cuda_slot *)w->decode.slots[i]->impl)->record;
        VT_TRY(prepare_slot(p, w->decode.slots[i], err));
    }
    job->n_tiles = *n_tiles = vt_cuda_step_tiles(be, is_own, w->decode.slots, (int)n, job->tiles);
    return VT_OK;
}

/* --- steps --- */

struct step {
    int n_rows, n_tiles; /* rounded up */
    bool is_fed;         /* some row may have a token to feed */
    bool is_own;         /* on the backend's own products: those take one adapter */
    struct vt_cuda_run runs[VT_CUDA_STEP_ROWS];
    int n_runs;
};

static vt_status launch_step(struct vt_cuda *be, const struct step *s, vt_err *err)
{
    struct vt_cuda_bufs *b = &be->step;
    struct vt_dev_sums left = {.first = b->x};
    int d = be->cfg.d_model;
    float eps = be->cfg.rms_eps;
    const struct vt_gpu_grid rows = {
        .x = (unsigned)s->n_rows, .threads = vt_cuda_norm_threads(be->cfg.d_model), .is_eager = s->is_own};
    if (s->is_fed) {
        const struct vt_cuda_pass pass = {.n_rows = s->n_rows,
                                          .n_tiles = s->n_tiles,
                                          .job = be->job,
                                          .runs = s->runs,
                                          .n_runs = s->n_runs,
                                          .is_own = s->is_own};
        struct vt_dev_low low = {0};
        struct vt_gpu_grid grid = rows;
        if (s->is_own)
            low = vt_cuda_step_low(be, &pass, 0, VT_CUDA_QKV);
        grid.smem = low.a ? (unsigned)d * 2 : 0;
        grid.threads = vt_cuda_low_threads(d, low.n_low);
        void *args[] = {
            &be->job, &be->w.embedding, &b->x, &d, &b->pos, &b->key_at, &be->w.layers[0].input_norm, &b->norm, &eps,
            &low};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_step_begin, &grid, args, err));
        VT_TRY(vt_cuda_step_layers(be, &pass, &left, err));
    }
    void *norm_args[] = {&be->job, &b->x, &left, &be->w.final_norm, &b->norm, &d, &eps};
    VT_TRY(vt_cuda_launch(be, VT_CUDA_step_norm, &rows, norm_args, err));
    VT_TRY(vt_cuda_step_head(be, s->is_own, s->n_rows, err));
    void *sum_args[] = {&be->job, &be->logits, &be->sums, &be->shape};
    const struct vt_gpu_grid chunks = {
        .x = (unsigned)((be->shape.n_chunks + 7) / 8), .y = (unsigned)s->n_rows, .threads = 256, .is_eager = s->is_own};
    VT_TRY(vt_cuda_launch(be, VT_CUDA_step_chunks, &chunks, sum_args, err));
    void *draw_args[] = {&be->job, &be->logits, &be->sums, &be->shape};
    const struct vt_gpu_grid draw = {.x = (unsigned)s->n_rows,
                                     .threads = DRAW_BLOCK,
                                     .smem = (unsigned)be->shape.n_chunks * (unsigned)CHUNK_SUMS_BYTES,
                                     .is_eager = s->is_own};
    return vt_cuda_launch(be, VT_CUDA_step_draw, &draw, draw_args, err);
}

static uint64_t serial_of(const struct vt_cuda_run *r) /* 0: no adapter */
{
    return r->adapter ? r->adapter->serial : 0;
}

static vt_status record(struct vt_cuda *be, const struct step *s, struct vt_cuda_graph *g, vt_err *err)
{
    const struct vt_cu *cu = vt_gpu_cu(be->gpu);
    vt_cu_graph graph = NULL;
    VT_TRY(vt_gpu_check(be->gpu, cu->capture_begin(be->stream, VT_CU_CAPTURE_THREAD_LOCAL), "recording a step", err));
    vt_status status = launch_step(be, s, err);
    const vt_cu_result ended = cu->capture_end(be->stream, &graph);
    if (status == VT_OK)
        status = vt_gpu_check(be->gpu, ended, "recording a step", err);
    if (status == VT_OK)
        status = vt_gpu_check(be->gpu, cu->graph_make(&g->exec, graph, 0), "making a step's graph", err);
    if (graph)
        (void)cu->graph_free(graph);
    if (status == VT_OK) {
        g->n_rows = s->n_rows;
        g->n_tiles = s->n_tiles;
        g->n_runs = s->n_runs;
        for (int i = 0; i < s->n_runs; i++) {
            g->runs[i].row1 = s->runs[i].row1;
            g->runs[i].serial = serial_of(&s->runs[i]);
        }
    }
    return status;
}

static bool is_of(const struct vt_cuda_graph *g, const struct step *s)
{
    bool is_same = g->exec && g->n_rows == s->n_rows && g->n_tiles == s->n_tiles && g->n_runs == s->n_runs;
    for (int i = 0; is_same && i < s->n_runs; i++)
        is_same = g->runs[i].row1 == s->runs[i].row1 && g->runs[i].serial == serial_of(&s->runs[i]);
    return is_same;
}

/* The graph of this shape, or the place for it: the empty or least recently used one, emptied. */
static struct vt_cuda_graph *find_graph(struct vt_cuda *be, const struct step *s)
{
    struct vt_cuda_graph *oldest = &be->graphs[0];
    for (int i = 0; i < VT_CUDA_GRAPHS; i++) {
        struct vt_cuda_graph *g = &be->graphs[i];
        if (is_of(g, s))
            return g;
        if (g->used < oldest->used)
            oldest = g;
    }
    if (oldest->exec && vt_gpu_stream_wait(be->gpu, be->stream, NULL) == VT_OK)
        (void)vt_gpu_cu(be->gpu)->graph_exec_free(oldest->exec);
    memset(oldest, 0, sizeof *oldest);
    return oldest;
}

/* The first step of a shape runs by itself, so that nothing is loaded lazily while the second is recorded. */
static vt_status run_steps(struct vt_cuda *be, struct step *s, int n, vt_err *err)
{
    struct vt_cuda_graph *g = NULL;
    for (int i = 0; i < n; i++, s->is_fed = true) {
        vt_lease_poll(be->lease);
        if (!s->is_fed || be->has_no_graphs || s->n_runs > VT_CUDA_GRAPH_RUNS) {
            VT_TRY(launch_step(be, s, err));
            continue;
        }
        if (!g) {
            g = find_graph(be, s);
            if (!g->exec) {
                VT_TRY(launch_step(be, s, err));
                VT_TRY(record(be, s, g, err));
                g->used = ++be->n_graph_uses;
                continue;
            }
        }
        g->used = ++be->n_graph_uses;
        VT_TRY(vt_gpu_check(be->gpu, vt_gpu_cu(be->gpu)->graph_launch(g->exec, be->stream), "launching a step", err));
    }
    return VT_OK;
}

static vt_status begin(struct preparation *p, struct begun *b, vt_err *err)
{
    struct vt_cuda *be = p->be;
    struct step s = {.n_rows = round_rows(p->w->decode.n_slots)};
    int last_pos = 1, n_tiles;
    for (int i = 0; i < p->w->decode.n_slots; i++) {
        const vt_lm_slot *slot = p->w->decode.slots[i];
        struct vt_cuda_adapter *a = vt_cuda_adapter_of(slot->group->adapter);
        if (s.n_runs == 0 || s.runs[s.n_runs - 1].adapter != a)
            VT_TRY(vt_cuda_adapter_ready(be, a, VT_CUDA_STEP_ROWS, err));
        vt_cuda_runs_add(s.runs, &s.n_runs, i, 1, a);
        s.is_fed |= ((const struct vt_cuda_slot *)slot->impl)->n_begun > 0;
        const int end = slot->group->n_tokens + slot->max_tokens;
        last_pos = end > last_pos ? end : last_pos;
    }
    s.runs[s.n_runs - 1].row1 = s.n_rows;
    s.is_own = be->is_own && s.n_runs == 1;
    VT_TRY(vt_cuda_rope_ensure(be, last_pos, err));
    VT_TRY(prepare(p, s.is_own, b, &n_tiles, err));
    s.n_tiles = n_tiles;
    VT_TRY(vt_cuda_stage_send(be, p->stage, err));
    VT_TRY(vt_gpu_fill(be->gpu, p->stage->out.device, 0, p->stage->out.used, be->stream, err));
    VT_TRY(vt_gpu_check(be->gpu,
                        vt_gpu_cu(be->gpu)->copy_across(be->job, p->header_at, sizeof(struct vt_dev_job), be->stream),
                        "placing a job's header", err));
    if (p->n_pokes) {
        void *args[] = {&p->pokes_at, &p->n_pokes};
        VT_TRY(vt_cuda_launch(be, VT_CUDA_poke,
                              &(struct vt_gpu_grid){.x = (unsigned)((p->n_pokes + 255) / 256), .threads = 256}, args,
                              err));
    }
    if (p->n_copies) {
        int every_layer = -1;
        void *args[] = {&p->copies_at, &be->shape, &every_layer};
        VT_TRY(vt_cuda_launch(
            be, VT_CUDA_copy_keys,
            &(struct vt_gpu_grid){.x = (unsigned)p->n_copies, .y = (unsigned)be->cfg.n_layers, .threads = 256}, args,
            err));
    }
    VT_TRY(run_steps(be, &s, p->w->decode.n_steps, err));
    return vt_cuda_stage_fetch(be, p->stage, err);
}

vt_status vt_cuda_decode_begin(void *opened, struct vt_lm_work *w, vt_err *err)
{
    struct preparation p = {.be = opened, .w = w};
    VT_TRY(vt_gpu_bind(p.be->gpu, err));
    vt_cuda_prompts_begin(p.be);
    struct begun *b = vt_alloc(sizeof *b);
    if (!b)
        return vt_fail(err, VT_ENOMEM, "out of memory for a batch of %d samples", w->decode.n_slots);
    const vt_status status = begin(&p, b, err);
    if (status != VT_OK) {
        free(b);
        return status;
    }
    commit(w);
    w->started = b;
    return VT_OK;
}

static void copy_row(float *to, const float *from, size_t n)
{
    if (to)
        memcpy(to, from, n * sizeof *to);
}

vt_status vt_cuda_decode_wait(struct vt_cuda *be, struct vt_lm_work *w, vt_err *err)
{
    struct begun *b = w->started;
    vt_status status = vt_cuda_stage_wait(be, b->stage, err);
    const size_t steps = (size_t)w->decode.n_steps;
    for (int i = 0; status == VT_OK && i < b->n_rows; i++) {
        const size_t from = (size_t)i * steps, to = (size_t)w->decode.row[i] * steps, n = (size_t)b->n_out[i];
        if (b->finished[i] == CANNOT_DRAW) {
            status =
                vt_fail(err, VT_EINVAL, "no token can be sampled: every one of the %d is banned or has no finite logit",
                        be->cfg.n_vocab);
            break;
        }
        memcpy(w->decode.tokens + to, b->tokens + from, n * sizeof *b->tokens);
        copy_row(w->decode.logprob + to, b->logprob + from, n);
        copy_row(w->decode.logprob_behaviour + to, b->behaviour + from, n);
        copy_row(w->decode.extra.entropy ? w->decode.extra.entropy + to : NULL, b->entropy + from, n);
        copy_row(w->decode.extra.certainty ? w->decode.extra.certainty + to : NULL, b->certainty + from, n);
        w->decode.n_out[w->decode.row[i]] = b->n_out[i];
        w->decode.finished[w->decode.row[i]] = (unsigned char)b->finished[i];
    }
    free(b);
    w->started = NULL;
    return status;
}
