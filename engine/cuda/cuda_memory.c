/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_memory.c: blocks of training batches, pages, slot records, stages and working buffers. Pages and records are cut
 * from slabs that are cleared once and kept until the model is closed; freed ones go to lists. Giving a page back while
 * the device still works is fine: whoever takes it next writes it later on the same stream.
 */
#include "cuda/cuda_parts.h"
#include <stdlib.h>

enum { SLAB_RECORDS = 64, ALIGN_DEVICE = 256 };
static const size_t slab_bytes = (size_t)256 << 20;

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

void vt_cuda_derive(const struct vt_lm_config *c, struct vt_dev_shape *s)
{
    memset(s, 0, sizeof *s);
    s->d_model = c->d_model;
    s->n_heads = c->n_heads;
    s->n_kv_heads = c->n_kv_heads;
    s->head_dim = c->head_dim;
    s->head_pad = c->head_dim <= 64 ? 64 : 128;
    s->q_dim = c->n_heads * c->head_dim;
    s->kv_dim = c->n_kv_heads * c->head_dim;
    s->qkv_dim = s->q_dim + 2 * s->kv_dim;
    s->d_ff = c->d_ff;
    s->n_vocab = c->n_vocab;
    s->ld_vocab = (c->n_vocab + 7) / 8 * 8;
    s->n_chunks = (c->n_vocab + VT_DEV_HEAD_CHUNK - 1) / VT_DEV_HEAD_CHUNK;
    s->eps = c->rms_eps;
    s->scale_log2 = (float)(1.4426950408889634 / __builtin_sqrt((double)c->head_dim));
    s->layer_stride = (int64_t)c->n_kv_heads * 2 * VT_DEV_PAGE_KEYS * s->head_pad * 2;
}

size_t vt_cuda_page_bytes(const struct vt_lm_config *c)
{
    struct vt_dev_shape s;
    vt_cuda_derive(c, &s);
    return round_up((size_t)s.layer_stride * (size_t)c->n_layers + (size_t)c->d_model * sizeof(float), ALIGN_DEVICE);
}

/* --- blocks --- */

/* The driver takes a millisecond for every gigabyte, so what one training batch gives back waits for the next. */
static void give_up_spares(struct vt_cuda *be)
{
    for (int i = 0; i < VT_CUDA_SPARES; i++) {
        pthread_mutex_lock(&be->lock);
        const vt_gpu_ptr at = be->spares[i].at;
        be->spares[i] = (struct vt_cuda_block){0};
        pthread_mutex_unlock(&be->lock);
        vt_gpu_free(be->gpu, at);
    }
}

vt_status vt_cuda_alloc(struct vt_cuda *be, size_t bytes, const char *what, vt_gpu_ptr *out, vt_err *err)
{
    if (vt_gpu_alloc(be->gpu, bytes, what, out, NULL) == VT_OK)
        return VT_OK;
    give_up_spares(be);
    return vt_gpu_alloc(be->gpu, bytes, what, out, err);
}

vt_status vt_cuda_block_take(struct vt_cuda *be, uint64_t bytes, const char *what, struct vt_cuda_block *out,
                             vt_err *err)
{
    *out = (struct vt_cuda_block){0};
    struct vt_cuda_block *best = NULL;
    pthread_mutex_lock(&be->lock);
    for (int i = 0; i < VT_CUDA_SPARES; i++)
        if (be->spares[i].bytes >= bytes && be->spares[i].bytes / 2 <= bytes &&
            (!best || be->spares[i].bytes < best->bytes))
            best = &be->spares[i];
    if (best) {
        *out = *best;
        *best = (struct vt_cuda_block){0};
    }
    pthread_mutex_unlock(&be->lock);
    if (out->at)
        return VT_OK;
    out->bytes = bytes;
    return vt_cuda_alloc(be, bytes, what, &out->at, err);
}

void vt_cuda_block_give(struct vt_cuda *be, struct vt_cuda_block *b)
{
    struct vt_cuda_block given = *b;
    *b = (struct vt_cuda_block){0};
    pthread_mutex_lock(&be->lock);
    for (int i = 0; i < VT_CUDA_SPARES; i++)
        if (be->spares[i].bytes < given.bytes) { /* the largest ones stay */
            const struct vt_cuda_block smaller = be->spares[i];
            be->spares[i] = given;
            given = smaller;
        }
    pthread_mutex_unlock(&be->lock);
    vt_gpu_free(be->gpu, given.at);
}

uint64_t vt_cuda_room(struct vt_cuda *be)
{
    const uint64_t used = vt_gpu_bytes(be->gpu, NULL), budget = vt_gpu_budget(be->gpu);
    uint64_t room = budget > used ? budget - used : 0;
    pthread_mutex_lock(&be->lock);
    for (int i = 0; i < VT_CUDA_SPARES; i++)
        room += be->spares[i].bytes;
    pthread_mutex_unlock(&be->lock);
    return room;
}

/* --- pages --- */

/* Cuts a slab into pages; the lock is not held. */
static vt_status add_slab(struct vt_cuda *be, vt_err *err)
{
    const size_t n = slab_bytes / be->page_bytes > 4 ? slab_bytes / be->page_bytes : 4;
    struct vt_cuda_page *pages = vt_alloc_array(n, sizeof *pages);
    vt_gpu_ptr memory;
    if (!pages)
        return vt_fail(err, VT_ENOMEM, "out of memory for the list of KV pages");
    vt_status status = vt_cuda_alloc(be, n * be->page_bytes, "KV pages", &memory, err);
    if (status == VT_OK)
        status = vt_gpu_fill(be->gpu, memory, 0, n * be->page_bytes, be->stream, err);
    if (status != VT_OK) {
        free(pages);
        return status;
    }
    pthread_mutex_lock(&be->lock);
    be->slabs[be->n_slabs++] = pages;
    for (size_t i = n; i-- > 0;) {
        pages[i] = (struct vt_cuda_page){.at = memory + i * be->page_bytes, .next = be->free_pages};
        be->free_pages = &pages[i];
    }
    pthread_mutex_unlock(&be->lock);
    return VT_OK;
}

static vt_status take_page(struct vt_cuda *be, struct vt_cuda_page **out, vt_err *err)
{
    for (;;) {
        pthread_mutex_lock(&be->lock);
        *out = be->free_pages;
        if (*out)
            be->free_pages = (*out)->next;
        pthread_mutex_unlock(&be->lock);
        if (*out)
            return VT_OK;
        if (be->n_slabs == VT_CUDA_SLABS)
            return vt_fail(err, VT_ELIMIT, "more than %d slabs of KV pages", VT_CUDA_SLABS);
        VT_TRY(add_slab(be, err));
    }
}

vt_status vt_cuda_pages_grow(struct vt_cuda *be, struct vt_cuda_pages *p, int n, vt_err *err)
{
    if (n > p->cap) {
        struct vt_cuda_page **grown = vt_realloc_array(p->at, (size_t)n, sizeof *grown);
        if (!grown)
            return vt_fail(err, VT_ENOMEM, "out of memory for a page table");
        p->at = grown;
        p->cap = n;
    }
    for (; p->n < n; p->n++)
        VT_TRY(take_page(be, &p->at[p->n], err));
    return VT_OK;
}

void vt_cuda_pages_free(struct vt_cuda *be, struct vt_cuda_pages *p)
{
    pthread_mutex_lock(&be->lock);
    for (int i = 0; i < p->n; i++) {
        p->at[i]->next = be->free_pages;
        be->free_pages = p->at[i];
    }
    pthread_mutex_unlock(&be->lock);
    free(p->at);
    memset(p, 0, sizeof *p);
}

/* --- slot records --- */

static vt_status grow_records(struct vt_cuda *be, vt_err *err)
{
    vt_gpu_ptr memory;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    VT_TRY(vt_gpu_alloc(be->gpu, SLAB_RECORDS * be->record_bytes, "sample records", &memory, err));
    pthread_mutex_lock(&be->lock);
    be->n_records += SLAB_RECORDS;
    vt_gpu_ptr *list = vt_realloc_array(be->free_records, (size_t)be->n_records, sizeof *list);
    if (list) {
        be->free_records = list;
        for (size_t i = 0; i < SLAB_RECORDS; i++)
            list[be->n_free_records++] = memory + i * be->record_bytes;
    }
    pthread_mutex_unlock(&be->lock);
    return list ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for the list of samples");
}

vt_status vt_cuda_record_take(struct vt_cuda *be, vt_gpu_ptr *out, vt_err *err)
{
    for (*out = 0; !*out;) {
        pthread_mutex_lock(&be->lock);
        if (be->n_free_records)
            *out = be->free_records[--be->n_free_records];
        pthread_mutex_unlock(&be->lock);
        if (!*out)
            VT_TRY(grow_records(be, err));
    }
    return VT_OK;
}

void vt_cuda_record_give(struct vt_cuda *be, vt_gpu_ptr record)
{
    if (!record)
        return;
    pthread_mutex_lock(&be->lock);
    be->free_records[be->n_free_records++] = record;
    pthread_mutex_unlock(&be->lock);
}

/* Made once a slot; a later job of the slot finds *memory. */
vt_status vt_cuda_ids_take(struct vt_cuda *be, const vt_lm_slot *slot, vt_gpu_ptr *memory, vt_gpu_ptr *out, vt_err *err)
{
    const size_t banned = (size_t)slot->sampling.n_banned * sizeof(int32_t);
    const size_t stops = (size_t)slot->n_stop_ids * sizeof(int32_t);
    if (!*memory) {
        VT_TRY(vt_gpu_alloc(be->gpu, banned + stops, "banned and stop ids", memory, err));
        VT_TRY(vt_gpu_copy_in(be->gpu, *memory, slot->sampling.banned, banned, be->stream, err));
        VT_TRY(vt_gpu_copy_in(be->gpu, *memory + banned, slot->stop_ids, stops, be->stream, err));
        VT_TRY(vt_gpu_stream_wait(be->gpu, be->stream, err));
    }
    *out = *memory;
    return VT_OK;
}

/* --- stages --- */

static void free_arena(struct vt_cuda *be, struct vt_cuda_arena *a)
{
    vt_gpu_host_free(be->gpu, a->host);
    vt_gpu_free(be->gpu, a->device);
    memset(a, 0, sizeof *a);
}

vt_status vt_cuda_arena_ensure(struct vt_cuda *be, struct vt_cuda_arena *a, size_t n, vt_err *err)
{
    a->used = 0;
    if (n <= a->cap)
        return VT_OK;
    const size_t cap = round_up(n + n / 2, 4096);
    free_arena(be, a);
    void *host;
    VT_TRY(vt_gpu_host_alloc(be->gpu, cap, &host, err));
    a->host = host;
    VT_TRY(vt_cuda_alloc(be, cap, "a job's tables and results", &a->device, err));
    a->cap = cap;
    return VT_OK;
}

vt_status vt_cuda_arena_borrow(struct vt_cuda *be, struct vt_cuda_arena *a, size_t n, vt_err *err)
{
    struct vt_cuda_arena *largest = &be->spare_arenas[0];
    pthread_mutex_lock(&be->lock);
    for (int i = 1; i < VT_CUDA_SPARES; i++)
        if (be->spare_arenas[i].cap > largest->cap)
            largest = &be->spare_arenas[i];
    *a = *largest;
    *largest = (struct vt_cuda_arena){0};
    pthread_mutex_unlock(&be->lock);
    return vt_cuda_arena_ensure(be, a, n, err);
}

void vt_cuda_arena_return(struct vt_cuda *be, struct vt_cuda_arena *a)
{
    struct vt_cuda_arena *smallest = &be->spare_arenas[0];
    pthread_mutex_lock(&be->lock);
    for (int i = 1; i < VT_CUDA_SPARES; i++)
        if (be->spare_arenas[i].cap < smallest->cap)
            smallest = &be->spare_arenas[i];
    struct vt_cuda_arena other = *smallest;
    *smallest = *a;
    pthread_mutex_unlock(&be->lock);
    memset(a, 0, sizeof *a);
    free_arena(be, &other);
}

vt_status vt_cuda_stage_begin(struct vt_cuda *be, size_t in, size_t out, struct vt_cuda_stage **stage, vt_err *err)
{
    struct vt_cuda_stage *s = &be->stages[be->next_stage];
    be->next_stage = (be->next_stage + 1) % VT_CUDA_IN_FLIGHT;
    *stage = s;
    if (!s->done)
        VT_TRY(vt_gpu_event_new(be->gpu, false, &s->done, err));
    VT_TRY(vt_cuda_arena_ensure(be, &s->in, in, err));
    return vt_cuda_arena_ensure(be, &s->out, out, err);
}

void *vt_cuda_arena_take(struct vt_cuda_arena *a, size_t n, vt_gpu_ptr *device)
{
    const size_t at = round_up(a->used, VT_CUDA_ALIGN);
    if (at + n > a->cap)
        return NULL;
    a->used = at + n;
    *device = a->device + at;
    return a->host + at;
}

vt_status vt_cuda_stage_send(struct vt_cuda *be, struct vt_cuda_stage *s, vt_err *err)
{
    return vt_gpu_copy_in(be->gpu, s->in.device, s->in.host, s->in.used, be->stream, err);
}

vt_status vt_cuda_stage_fetch(struct vt_cuda *be, struct vt_cuda_stage *s, vt_err *err)
{
    VT_TRY(vt_gpu_copy_out(be->gpu, s->out.host, s->out.device, s->out.used, be->stream, err));
    return vt_gpu_event_record(be->gpu, s->done, be->stream, err);
}

vt_status vt_cuda_stage_wait(struct vt_cuda *be, struct vt_cuda_stage *s, vt_err *err)
{
    return vt_gpu_event_wait(be->gpu, s->done, err);
}

void vt_cuda_graphs_free(struct vt_cuda *be)
{
    for (int i = 0; i < VT_CUDA_GRAPHS; i++) {
        if (be->graphs[i].exec)
            (void)vt_gpu_cu(be->gpu)->graph_exec_free(be->graphs[i].exec);
        memset(&be->graphs[i], 0, sizeof be->graphs[i]);
    }
}

/* --- working rows --- */

enum { N_PARTS = 9 };

/* Bytes of a row of each part of the buffers; step-only parts last. */
static void part_bytes(const struct vt_lm_config *c, size_t parts[N_PARTS])
{
    struct vt_dev_shape s;
    vt_cuda_derive(c, &s);
    const size_t bf16 = 2, f32 = 4;
    parts[0] = (size_t)s.d_model * f32;
    parts[1] = (size_t)s.d_model * bf16;
    parts[2] = (size_t)s.qkv_dim * f32;
    parts[3] = (size_t)s.n_heads * (size_t)s.head_pad * bf16;
    parts[4] = (size_t)s.q_dim * bf16;
    parts[5] = (size_t)s.d_ff * 2 * bf16;
    parts[6] = (size_t)s.d_ff * bf16;
    parts[7] = sizeof(int32_t);
    parts[8] = sizeof(uint64_t);
}

size_t vt_cuda_row_bytes(const struct vt_lm_config *c)
{
    size_t parts[N_PARTS], sum = 0;
    part_bytes(c, parts);
    for (int i = 0; i < N_PARTS; i++)
        sum += parts[i];
    return sum;
}

size_t vt_cuda_attend_bytes(void)
{
    enum { PROMPT_BYTES = 49152, OWN_STAGES = 2, OWN_BYTES = 8192, ROOM = 1008 }; /* attend_step.cuh */
    return PROMPT_BYTES + (size_t)VT_CUDA_ATTEND_WARPS * OWN_STAGES * OWN_BYTES + ROOM;
}

size_t vt_cuda_wide_attend_bytes(bool is_wide)
{
    enum { ROOM = 128 }; /* attend_wide.cuh */
    return (size_t)((is_wide ? 6 : 8) + vt_cuda_wide_groups(is_wide)) * (is_wide ? 16384 : 8192) + ROOM;
}

vt_status vt_cuda_bufs_take(struct vt_cuda *be, int rows, bool is_step, struct vt_cuda_bufs *b, vt_err *err)
{
    size_t parts[N_PARTS], bytes = 0, offsets[N_PARTS];
    part_bytes(&be->cfg, parts);
    for (int i = 0; i < N_PARTS; i++) {
        offsets[i] = bytes;
        bytes += round_up(parts[i] * (size_t)rows, ALIGN_DEVICE);
    }
    VT_TRY(vt_gpu_alloc(be->gpu, bytes, is_step ? "working rows of a step" : "working rows of a wide pass", &b->memory,
                        err));
    vt_gpu_ptr *const at[N_PARTS] = {&b->x,       &b->norm, &b->qkv, &b->q,     &b->ctx,
                                     &b->gate_up, &b->act,  &b->pos, &b->key_at};
    for (int i = 0; i < N_PARTS; i++)
        *at[i] = b->memory + offsets[i];
    b->cap = rows;
    /* Rows of a step that attend to nothing are never written: they must be finite. */
    return vt_gpu_fill(be->gpu, b->memory, 0, bytes, be->stream, err);
}
