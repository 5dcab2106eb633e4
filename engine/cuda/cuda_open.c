/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_open.c: from a checkpoint to a model on a GPU. Opening takes what the model always holds: weights, working rows,
 * logits of as many rows as a scratch of a few hundred megabytes holds, records and rotary tables; pages of keys and
 * values come as jobs need them, all inside the budget.
 */
#include "cuda/cuda_parts.h"
#include "cuda/cuda_train.h"
#include <stdio.h>
#include <stdlib.h>

enum { NUMERICS_VERSION = 2, ROPE_STEP = 1024, MIN_WIDE_ROWS = 512 };
static const uint64_t logits_bytes = (uint64_t)320 << 20, wide_bytes = (uint64_t)1500 << 20;

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

void vt_cuda_name_numerics(const struct vt_gpu_props *p, char out[64])
{
    (void)snprintf(out, 64, "cuda/fast/sm%d%d/%d", p->major, p->minor, (int)NUMERICS_VERSION);
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

static size_t shared_of_back(enum vt_cuda_kernel k)
{
    const bool is_wide = k == VT_CUDA_back_queries_128 || k == VT_CUDA_back_keys_128 ||
                         k == VT_CUDA_back_wide_queries_128 || k == VT_CUDA_back_wide_keys_128;
    if (k == VT_CUDA_back_keys_64 || k == VT_CUDA_back_keys_128)
        return vt_cuda_back_key_bytes(false, is_wide);
    if (k == VT_CUDA_back_wide_keys_64 || k == VT_CUDA_back_wide_keys_128)
        return vt_cuda_back_key_bytes(true, is_wide);
    return vt_cuda_back_query_bytes(is_wide);
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
        if (k == VT_CUDA_wide_pages_64 || k == VT_CUDA_wide_pages_128)
            asked = vt_cuda_wide_attend_bytes(k == VT_CUDA_wide_pages_128);
        if (k >= VT_CUDA_back_queries_64 && k <= VT_CUDA_back_wide_keys_128)
            asked = shared_of_back((enum vt_cuda_kernel)k);
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
    /* At most a quarter of what is left for a wide pass, and no more than it needs to fill the machine. */
    const uint64_t room = left / 4 < wide_bytes ? left / 4 : wide_bytes;
    be->wide_rows = VT_CUDA_WIDE_ROWS;
    while (be->wide_rows > MIN_WIDE_ROWS && (uint64_t)be->wide_rows * row > room)
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
    VT_TRY(vt_gpu_stream_new(be->gpu, &be->side, err));
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
    struct vt_cuda *be = vt_cuda_new(1, sizeof *be);
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
    be->most_kept = VT_CUDA_KEEP_LAYER;
    be->attend_ranks = vt_cuda_attend_ranks(cfg);
    pthread_mutex_init(&be->lock, NULL);
    pthread_mutex_init(&be->side_lock, NULL);
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
    vt_cuda_name_numerics(be->gpu_props, limits->numerics);
    *max_memory = vt_gpu_budget(be->gpu);
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
    for (int i = 0; i < VT_CUDA_SPARES; i++)
        vt_gpu_host_free(be->gpu, be->spare_arenas[i].host);
    vt_gpu_blas_close(be->blas);
    vt_gpu_module_free(be->gpu, be->module);
    vt_gpu_stream_free(be->gpu, be->stream);
    vt_gpu_stream_free(be->gpu, be->side);
    vt_gpu_close(be->gpu); /* frees what device memory is left */
    for (int i = 0; i < be->n_slabs; i++)
        free(be->slabs[i]);
    free(be->free_records);
    free(be->w.layers);
    free(be->products.layers);
    pthread_mutex_destroy(&be->lock);
    pthread_mutex_destroy(&be->side_lock);
    free(be);
}
