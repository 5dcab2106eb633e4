/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_open.c: from a checkpoint to a model on a GPU, and the backend's table of operations. Opening takes what the
 * model always holds: weights, working rows, logits of as many rows as a scratch of a few hundred megabytes holds,
 * records and rotary tables; pages of keys and values come as jobs need them, all inside the budget.
 *
 * Circle: the table of operations names cuda_group, cuda_decode and cuda_score, which use what is opened here.
 */
#include "cuda/cuda.h"
#include "cuda/cuda_parts.h"
#include <stdio.h>
#include <stdlib.h>

enum { NUMERICS_VERSION = 1, ROPE_STEP = 1024, MIN_WIDE_ROWS = 512 };
static const uint64_t logits_bytes = (uint64_t)320 << 20;

vt_status vt_cuda_check_config(const struct vt_lm_config *c, vt_err *err)
{
    if (c->head_dim > 128 || c->head_dim % 8 || c->d_model % 8 || c->d_ff % 8)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the cuda backend takes heads of at most 128 elements and widths that are multiples of 8, not "
                       "heads of %d in a model %d wide with %d hidden units",
                       c->head_dim, c->d_model, c->d_ff);
    if (c->d_model > 8192)
        return vt_fail(err, VT_EUNSUPPORTED, "the cuda backend takes models up to 8192 wide, not %d", c->d_model);
    if (c->n_heads / (c->n_kv_heads > 0 ? c->n_kv_heads : 1) > 2 * VT_DEV_TILE_ROWS)
        return vt_fail(err, VT_EUNSUPPORTED, "the cuda backend takes at most %d attention heads to a key head, not %d",
                       2 * VT_DEV_TILE_ROWS, c->n_heads / c->n_kv_heads);
    if (c->n_heads % c->n_kv_heads)
        return vt_fail(err, VT_EFORMAT, "%d attention heads cannot share %d key heads evenly", c->n_heads,
                       c->n_kv_heads);
    return VT_OK;
}

/* The device of these options, when this backend can use it. */
static vt_status look(const struct vt_lm_opts *o, struct vt_gpu_props *p, vt_err *err)
{
    if (o->precision == VT_LM_F32)
        return vt_fail(err, VT_EUNSUPPORTED, "the cuda backend computes in bf16; fp32 is the cpu backend's");
    VT_TRY(vt_gpu_look(o->device, p, err));
    if (p->major < 8)
        return vt_fail(err, VT_EUNSUPPORTED, "%s has compute capability %d.%d; the cuda backend needs 8.0 or newer",
                       p->name, p->major, p->minor);
    return VT_OK;
}

static vt_status probe(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    struct vt_gpu_props p;
    char name[128];
    VT_TRY(vt_cuda_check_config(vt_ckpt_config(ckpt), err));
    VT_TRY(look(o, &p, err));
    return vt_gpu_blas_describe(name, sizeof name, err);
}

static void name_numerics(const struct vt_gpu_props *p, char out[64])
{
    (void)snprintf(out, 64, "cuda/fast/sm%d%d/%d", p->major, p->minor, (int)NUMERICS_VERSION);
}

static vt_status numerics(const struct vt_lm_opts *o, char out[64], vt_err *err)
{
    struct vt_gpu_props p;
    VT_TRY(look(o, &p, err));
    name_numerics(&p, out);
    return VT_OK;
}

vt_status vt_cuda_rope_ensure(struct vt_cuda *be, int n_positions, vt_err *err)
{
    if (n_positions <= be->rope_rows)
        return VT_OK;
    const int rows = (n_positions + ROPE_STEP - 1) / ROPE_STEP * ROPE_STEP;
    const size_t row = (size_t)be->cfg.head_dim;
    float *host = vt_alloc_array((size_t)rows * row, sizeof *host);
    vt_gpu_ptr table = 0;
    if (!host)
        return vt_fail(err, VT_ENOMEM, "out of memory for rotary tables");
    for (int i = 0; i < rows; i++)
        vt_lm_rope_row(&be->cfg, i, host + (size_t)i * row);
    vt_status status = vt_gpu_alloc(be->gpu, (size_t)rows * row * sizeof *host, "rotary tables", &table, err);
    if (status == VT_OK)
        status = vt_gpu_copy_in(be->gpu, table, host, (size_t)rows * row * sizeof *host, be->stream, err);
    if (status == VT_OK)
        status = vt_gpu_stream_wait(be->gpu, be->stream, err);
    free(host);
    if (status != VT_OK)
        return status;
    vt_gpu_free(be->gpu, be->rope);
    be->rope = table;
    be->rope_rows = rows;
    vt_cuda_graphs_free(be); /* they hold the old address */
    return VT_OK;
}

static vt_status load_kernels(struct vt_cuda *be, vt_err *err)
{
    static const char *const names[] = {
#define X(name) "vt_" #name,
        VT_CUDA_KERNEL_MAP(X)
#undef X
    };
    const size_t most = (size_t)be->gpu_props->smem_optin;
    VT_TRY(vt_gpu_module_load(be->gpu, vt_cuda_image, "the kernels", &be->module, err));
    for (int k = 0; k < VT_CUDA_N_KERNELS; k++) {
        size_t asked = 0;
        if (k == VT_CUDA_step_attend_64 || k == VT_CUDA_step_attend_128)
            asked = 80 * 1024;
        if (k == VT_CUDA_step_pages_64 || k == VT_CUDA_step_pages_128)
            asked = vt_cuda_attend_bytes();
        if (k >= VT_CUDA_gemm_16 && k <= VT_CUDA_gemm_160)
            asked = most;
        VT_TRY(vt_gpu_kernel(be->gpu, be->module, names[k], asked < most ? asked : most, &be->kernel[k], err));
    }
    return VT_OK;
}

static vt_status take_rows(struct vt_cuda *be, vt_err *err)
{
    const uint64_t left = vt_gpu_budget(be->gpu) - vt_gpu_bytes(be->gpu, NULL);
    const uint64_t row = vt_cuda_row_bytes(&be->cfg), logit_row = (uint64_t)be->shape.ld_vocab * sizeof(float);
    /* At most a quarter of what is left for a wide pass. */
    be->wide_rows = VT_CUDA_WIDE_ROWS;
    while (be->wide_rows > MIN_WIDE_ROWS && (uint64_t)be->wide_rows * row > left / 4)
        be->wide_rows /= 2;
    const uint64_t fit = logits_bytes / logit_row;
    be->head_rows = fit < VT_CUDA_STEP_ROWS ? VT_CUDA_STEP_ROWS : fit > 2048 ? 2048 : (int)fit;
    VT_TRY(vt_cuda_bufs_take(be, be->wide_rows, false, &be->wide, err));
    VT_TRY(vt_cuda_bufs_take(be, VT_CUDA_STEP_ROWS, true, &be->step, err));
    VT_TRY(vt_gpu_alloc(be->gpu, (size_t)be->head_rows * logit_row, "logits of some rows", &be->logits, err));
    VT_TRY(vt_gpu_alloc(be->gpu, (size_t)be->head_rows * (size_t)be->cfg.d_model * 2, "normed rows of the head",
                        &be->head_norm, err));
    VT_TRY(vt_gpu_alloc(be->gpu, (size_t)VT_CUDA_STEP_ROWS * (size_t)be->shape.n_chunks * 5 * sizeof(float),
                        "partial sums of the head", &be->sums, err));
    VT_TRY(vt_gpu_alloc(be->gpu, sizeof(struct vt_dev_job), "a job's header", &be->job, err));
    const size_t scratch = (size_t)be->shape.layer_stride * VT_CUDA_SCRATCH_PAGES;
    VT_TRY(vt_gpu_alloc(be->gpu, scratch, "keys of scored tokens", &be->scratch_pages, err));
    return vt_gpu_fill(be->gpu, be->scratch_pages, 0, scratch, be->stream, err);
}

static vt_status open_into(struct vt_cuda *be, const struct vt_lm_opts *o, vt_cuda_fill *fill, void *arg, vt_err *err)
{
    VT_TRY(vt_cuda_check_config(&be->cfg, err));
    VT_TRY(vt_gpu_open(o->device, o->max_memory, &be->gpu, err));
    be->gpu_props = vt_gpu_props(be->gpu);
    VT_TRY(vt_gpu_stream_new(be->gpu, &be->stream, err));
    VT_TRY(load_kernels(be, err));
    VT_TRY(vt_gpu_blas_open(be->gpu, VT_CUDA_WORKSPACE, &be->blas, err));
    VT_TRY(vt_cuda_weights_layout(be, err));
    VT_TRY(fill(be, arg, err));
    VT_TRY(vt_cuda_rope_ensure(be, 1, err));
    VT_TRY(take_rows(be, err));
    VT_TRY(vt_cuda_products_make(be, err));
    return vt_gpu_stream_wait(be->gpu, be->stream, err);
}

vt_status vt_cuda_open_with(const struct vt_lm_config *cfg, const struct vt_lm_opts *o, vt_cuda_fill *fill, void *arg,
                            struct vt_lm_limits *limits, uint64_t *max_memory, struct vt_cuda **out, vt_err *err)
{
    *out = NULL;
    struct vt_cuda *be = vt_alloc(sizeof *be);
    if (!be)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a model");
    be->cfg = *cfg;
    be->lease = o->lease;
    vt_cuda_derive(cfg, &be->shape);
    be->page_bytes = vt_cuda_page_bytes(cfg);
    be->table_len = (cfg->n_ctx + VT_DEV_PAGE_KEYS - 1) / VT_DEV_PAGE_KEYS;
    be->record_bytes = (sizeof(struct vt_dev_slot) + (size_t)be->table_len * sizeof(uint64_t) +
                        VT_CUDA_RECORD_IDS * sizeof(int32_t) + 127) /
                       128 * 128;
    be->attend_ranks = vt_cuda_attend_ranks(cfg);
    pthread_mutex_init(&be->lock, NULL);
    const vt_status status = open_into(be, o, fill, arg, err);
    if (status != VT_OK) {
        vt_cuda_close(be);
        return status;
    }
    *limits = (struct vt_lm_limits){.backend = "cuda",
                                    .device = o->device,
                                    .devices = UINT64_C(1) << o->device,
                                    .in_flight = VT_CUDA_IN_FLIGHT,
                                    .burst = VT_CUDA_BURST,
                                    .max_slots = VT_CUDA_STEP_ROWS,
                                    .max_targets = 64};
    name_numerics(be->gpu_props, limits->numerics);
    *max_memory = vt_gpu_budget(be->gpu);
    *out = be;
    return VT_OK;
}

static vt_status open_ckpt(const vt_ckpt *ckpt, const struct vt_lm_opts *o, struct vt_lm_limits *limits,
                           uint64_t *max_memory, void **out, vt_err *err)
{
    struct vt_cuda *be;
    *out = NULL;
    void *file = (void *)(uintptr_t)ckpt; /* only read */
    VT_TRY(vt_cuda_open_with(vt_ckpt_config(ckpt), o, vt_cuda_weights_load, file, limits, max_memory, &be, err));
    *out = be;
    return VT_OK;
}

void vt_cuda_close(void *opened)
{
    struct vt_cuda *be = opened;
    if (!be)
        return;
    /* A device that does not answer any more is closed like one that does. */
    vt_status status = be->stream ? vt_gpu_bind(be->gpu, NULL) : VT_EIO;
    if (status == VT_OK)
        status = vt_gpu_stream_wait(be->gpu, be->stream, NULL);
    vt_cuda_graphs_free(be);
    for (int i = 0; i < VT_CUDA_IN_FLIGHT; i++) {
        struct vt_cuda_stage *s = &be->stages[i];
        vt_gpu_host_free(be->gpu, s->in.host);
        vt_gpu_host_free(be->gpu, s->out.host);
        vt_gpu_event_free(be->gpu, s->done);
    }
    vt_gpu_blas_close(be->blas);
    vt_gpu_module_free(be->gpu, be->module);
    vt_gpu_stream_free(be->gpu, be->stream);
    vt_gpu_close(be->gpu); /* frees what device memory is left */
    for (int i = 0; i < be->n_slabs; i++)
        free(be->slabs[i]);
    free(be->free_records);
    free(be->w.layers);
    free(be->products.layers);
    pthread_mutex_destroy(&be->lock);
    free(be);
}

static uint64_t bytes(void *be, uint64_t *peak)
{
    return vt_gpu_bytes(((const struct vt_cuda *)be)->gpu, peak);
}

/* Results of a begun job. */
static vt_status wait(void *opened, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cuda *be = opened;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    switch (w->kind) {
    case VT_LM_DECODE:
        return vt_cuda_decode_wait(be, w, err);
    case VT_LM_SCORE:
        return vt_cuda_score_wait(be, w, err);
    case VT_LM_GROUP:
        return vt_cuda_group_wait(be, w, err);
    default:
        return vt_fail(err, VT_EUNSUPPORTED, "the cuda backend does not train yet");
    }
}

const struct vt_lm_ops vt_lm_cuda_ops = {
    .name = "cuda",
    .probe = probe,
    .numerics = numerics,
    .open = open_ckpt,
    .close = vt_cuda_close,
    .bytes = bytes,
    .plan = vt_cuda_plan,
    .group_free = vt_cuda_group_free,
    .slot_new = vt_cuda_slot_new,
    .slot_free = vt_cuda_slot_free,
    .group = vt_cuda_group_begin,
    .decode = vt_cuda_decode_begin,
    .score = vt_cuda_score_begin,
    .wait = wait,
};
