/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_open.c: from a checkpoint to a model that can run, and back.
 *
 * Opening checks what kernels later rely on: sane dimensions and finite weights (a NaN in a key would reach other rows
 * through 0 * NaN). The large matrices come packed from the cache file (vt_pack); norms, biases and the embedding rows
 * are small or read a row at a time and are taken from the checkpoint itself. Nothing here assumes that heads times
 * head_dim is the model's width.
 *
 * Rope angles are computed in double and rounded once: at position 8000 an fp32 angle would already be off by 5e-4.
 */
#include "cpu/lm_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMERICS_VERSION = 5, MAX_DIM = 1 << 24 };

static uint64_t available_bytes(void)
{
    unsigned long long kb = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    if (f) {
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
                break;
        (void)fclose(f);
    }
    return kb ? (uint64_t)kb * 1024 : (uint64_t)4 << 30;
}

static vt_status check_config(const struct vt_lm_config *c, vt_err *err)
{
    const int dims[] = {c->n_layers, c->d_model, c->d_ff, c->n_heads, c->n_kv_heads, c->head_dim, c->n_vocab, c->n_ctx};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
        if (dims[i] < 1 || dims[i] > MAX_DIM)
            return vt_fail(err, VT_EFORMAT, "the model's config holds a size of %d (field %zu), which no model has",
                           dims[i], i + 1);
    if (c->n_heads % c->n_kv_heads)
        return vt_fail(err, VT_EFORMAT, "%d attention heads cannot share %d key heads evenly", c->n_heads,
                       c->n_kv_heads);
    if (c->head_dim % 2)
        return vt_fail(err, VT_EFORMAT, "rotary positions need an even head size, not %d", c->head_dim);
    if ((uint64_t)c->n_heads * (uint64_t)c->head_dim > MAX_DIM)
        return vt_fail(err, VT_EFORMAT, "%d heads of size %d are more than this engine handles", c->n_heads,
                       c->head_dim);
    return VT_OK;
}

struct finite_work {
    const vt_ckpt *c;
    vt_err *errs; /* [threads] */
    size_t *bad;  /* [threads]: index of the first bad tensor, or SIZE_MAX */
};

static void check_finite_share(void *arg, int thread, int n_threads)
{
    struct finite_work *w = arg;
    w->bad[thread] = SIZE_MAX;
    for (size_t i = (size_t)thread; i < vt_ckpt_n_tensors(w->c); i += (size_t)n_threads) {
        if (vt_tensor_check_finite(vt_ckpt_tensor_at(w->c, i), &w->errs[thread]) != VT_OK) {
            w->bad[thread] = i;
            return;
        }
    }
}

static vt_status check_finite(vt_lm *lm, vt_err *err)
{
    size_t n = (size_t)lm->n_threads, first = SIZE_MAX, which = 0;
    struct finite_work w = {
        .c = lm->ckpt, .errs = vt_alloc_array(n, sizeof *w.errs), .bad = vt_alloc_array(n, sizeof *w.bad)};
    vt_status status = VT_OK;
    if (!w.errs || !w.bad) {
        status = vt_fail(err, VT_ENOMEM, "out of memory while checking the weights");
        goto out;
    }
    vt_pool_run(lm->pool, check_finite_share, &w);
    for (size_t i = 0; i < n; i++) {
        if (w.bad[i] < first) {
            first = w.bad[i];
            which = i;
        }
    }
    if (first != SIZE_MAX) {
        status = w.errs[which].code;
        if (err)
            *err = w.errs[which];
    }
out:
    free(w.errs);
    free(w.bad);
    return status;
}

/* A tensor of one dimension as floats; absent is an error only when required. */
static vt_status load_vector(const vt_lm *lm, const char *name, int n, bool is_required, float **out, vt_err *err)
{
    *out = NULL;
    const struct vt_tensor *t = vt_ckpt_tensor(lm->ckpt, name);
    if (!t)
        return is_required ? vt_fail(err, VT_EFORMAT, "the checkpoint has no tensor %s; it is incomplete", name)
                           : VT_OK;
    if (t->n_dims != 1 || t->shape[0] != n)
        return vt_fail(err, VT_EFORMAT, "tensor %s should have %d values", name, n);
    *out = vt_alloc_array((size_t)n, sizeof **out);
    if (!*out)
        return vt_fail(err, VT_ENOMEM, "out of memory for tensor %s", name);
    vt_tensor_row(t, 0, *out);
    return VT_OK;
}

static vt_status find_matrix(const vt_lm *lm, const char *name, int n_out, int n_in, const struct vt_matrix **out,
                             vt_err *err)
{
    *out = vt_pack_matrix(lm->pack, name);
    if (!*out)
        return vt_fail(err, VT_EFORMAT, "the checkpoint has no matrix %s; it is incomplete", name);
    if ((*out)->n_out != n_out || (*out)->n_in != n_in)
        return vt_fail(err, VT_EFORMAT, "matrix %s is %d x %d where the config asks for %d x %d", name, (*out)->n_out,
                       (*out)->n_in, n_out, n_in);
    return VT_OK;
}

static const char *const linear_names[VT_N_LINEAR] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                      "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                                      "mlp.down_proj"};

static vt_status load_layer(vt_lm *lm, int i, vt_err *err)
{
    const struct vt_lm_config *c = &lm->cfg;
    struct vt_lm_layer *l = &lm->layers[i];
    char name[128];
    for (int t = 0; t < VT_N_LINEAR; t++) {
        int d_out, d_in;
        vt_adapter_dims(c, (enum vt_target)t, &d_out, &d_in);
        (void)snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, linear_names[t]);
        VT_TRY(find_matrix(lm, name, d_out, d_in, &l->w[t], err));
        if (t > VT_LORA_V || !c->qkv_bias)
            continue;
        (void)snprintf(name, sizeof name, "model.layers.%d.%s.bias", i, linear_names[t]);
        VT_TRY(load_vector(lm, name, d_out, true, &l->bias[t], err));
    }
    (void)snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", i);
    VT_TRY(load_vector(lm, name, c->d_model, true, &l->input_norm, err));
    (void)snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", i);
    VT_TRY(load_vector(lm, name, c->d_model, true, &l->post_norm, err));
    for (int k = 0; k < 2 && c->qk_norm; k++) {
        (void)snprintf(name, sizeof name, "model.layers.%d.self_attn.%c_norm.weight", i, k ? 'k' : 'q');
        VT_TRY(load_vector(lm, name, c->head_dim, true, &l->head_norm[k], err));
    }
    return VT_OK;
}

static vt_status load_weights(vt_lm *lm, vt_err *err)
{
    const struct vt_lm_config *c = &lm->cfg;
    VT_TRY(vt_pack_open(lm->ckpt, lm->prec, &lm->pack, err));
    VT_TRY(vt_lm_reserve(lm, vt_pack_bytes(lm->pack), "the packed weights", err));
    lm->layers = vt_alloc_array((size_t)c->n_layers, sizeof *lm->layers);
    if (!lm->layers)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d layers", c->n_layers);
    for (int i = 0; i < c->n_layers; i++)
        VT_TRY(load_layer(lm, i, err));
    VT_TRY(load_vector(lm, "model.norm.weight", c->d_model, true, &lm->final_norm, err));
    const char *embed = "model.embed_tokens.weight";
    lm->embed = vt_ckpt_tensor(lm->ckpt, embed);
    if (!lm->embed || lm->embed->n_dims != 2 || lm->embed->shape[0] != c->n_vocab || lm->embed->shape[1] != c->d_model)
        return vt_fail(err, VT_EFORMAT, "the checkpoint's %s is missing or not %d x %d", embed, c->n_vocab, c->d_model);
    return find_matrix(lm, c->tied ? embed : "lm_head.weight", c->n_vocab, c->d_model, &lm->unembed, err);
}

static double rope_frequency(const struct vt_lm_config *c, int i)
{
    const double tau = 6.283185307179586;
    double f = pow((double)c->rope_theta, -2.0 * i / c->head_dim);
    if (c->rope_factor == 0)
        return f;
    double wavelength = tau / f, low = c->rope_orig_ctx / (double)c->rope_low,
           high = c->rope_orig_ctx / (double)c->rope_high;
    if (wavelength < high)
        return f;
    if (wavelength > low)
        return f / (double)c->rope_factor;
    double blend = (c->rope_orig_ctx / wavelength - (double)c->rope_low) / ((double)c->rope_high - (double)c->rope_low);
    return (1 - blend) * f / (double)c->rope_factor + blend * f;
}

vt_status vt_lm_rope_ensure(vt_lm *lm, int n_positions, vt_err *err)
{
    enum { STEP = 1024 };
    if (n_positions <= lm->rope_rows)
        return VT_OK;
    const int half = lm->cfg.head_dim / 2, rows = (n_positions + STEP - 1) / STEP * STEP;
    const size_t row = (size_t)lm->cfg.head_dim * sizeof(float);
    void *table;
    VT_TRY(vt_lm_take(lm, (size_t)rows * row, "rotary tables", &table, err));
    for (int pos = 0; pos < rows; pos++) {
        float *out = (float *)table + (size_t)pos * (size_t)lm->cfg.head_dim;
        for (int i = 0; i < half; i++) {
            double angle = pos * rope_frequency(&lm->cfg, i);
            out[i] = (float)cos(angle);
            out[half + i] = (float)sin(angle);
        }
    }
    vt_lm_give(lm, lm->rope, (size_t)lm->rope_rows * row);
    lm->rope = table;
    lm->rope_rows = rows;
    return VT_OK;
}

static void derive(vt_lm *lm)
{
    const struct vt_lm_config *c = &lm->cfg;
    lm->q_dim = c->n_heads * c->head_dim;
    lm->kv_dim = c->n_kv_heads * c->head_dim;
    lm->qkv_dim = lm->q_dim + 2 * lm->kv_dim;
    lm->group_heads = c->n_heads / c->n_kv_heads;
    lm->page_bytes = lm->k->page_bytes(lm->prec, c->head_dim);
    lm->block_bytes = lm->page_bytes * (size_t)c->n_kv_heads;
}

static vt_status open_into(vt_lm *lm, const struct vt_lm_opts *o, vt_err *err)
{
    const char *isa = o->isa ? o->isa : getenv("VEGTTT_ISA");
    VT_TRY(check_config(&lm->cfg, err));
    VT_TRY(vt_kernels_pick(isa && *isa ? isa : NULL, &lm->k, err));
    (void)snprintf(lm->numerics, sizeof lm->numerics, "cpu/%s/%s/%d", lm->prec == VT_LM_F32 ? "f32" : "fast",
                   lm->k->name, (int)NUMERICS_VERSION);
    derive(lm);
    VT_TRY(vt_pool_new(o->n_threads, &lm->pool, err));
    lm->n_threads = vt_pool_size(lm->pool);
    VT_TRY(check_finite(lm, err));
    VT_TRY(load_weights(lm, err));
    VT_TRY(vt_lm_rope_ensure(lm, 1, err));
    return vt_lm_queue_start(lm, err);
}

vt_status vt_lm_cpu_open(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_lm **out, vt_err *err)
{
    *out = NULL;
    vt_lm *lm = vt_alloc(sizeof *lm);
    if (!lm)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a model");
    lm->ckpt = ckpt;
    lm->cfg = *vt_ckpt_config(ckpt);
    lm->prec = o->precision;
    lm->lease = o->lease;
    lm->pass_rows = VT_PASS_ROWS;
    lm->max_bytes = o->max_memory ? o->max_memory : available_bytes() / 4 * 3;
    pthread_mutex_init(&lm->lock, NULL);
    pthread_cond_init(&lm->work, NULL);
    pthread_cond_init(&lm->idle, NULL);
    vt_status status = open_into(lm, o, err);
    if (status != VT_OK) {
        vt_lm_close(lm);
        return status;
    }
    *out = lm;
    return VT_OK;
}

static void free_layers(vt_lm *lm)
{
    for (int i = 0; lm->layers && i < lm->cfg.n_layers; i++) {
        struct vt_lm_layer *l = &lm->layers[i];
        free(l->input_norm);
        free(l->post_norm);
        for (int t = 0; t < 3; t++)
            free(l->bias[t]);
        free(l->head_norm[0]);
        free(l->head_norm[1]);
    }
    free(lm->layers);
    free(lm->final_norm);
}

void vt_lm_close(vt_lm *lm)
{
    if (!lm)
        return;
    vt_lm_queue_stop(lm);
    for (int i = 0; i < lm->n_adapters; i++)
        if (lm->adapters[i])
            vt_lm_adapter_drop(lm, lm->adapters[i]->id);
    free(lm->adapters);
    vt_lm_back_free(lm);
    vt_lm_decode_free(lm);
    vt_lm_rows_free(lm);
    vt_lm_bufs_free(lm);
    vt_lm_pages_drop(lm);
    vt_lm_give(lm, lm->rope, (size_t)lm->rope_rows * (size_t)lm->cfg.head_dim * sizeof(float));
    free_layers(lm);
    vt_pack_close(lm->pack);
    vt_pool_free(lm->pool);
    pthread_mutex_destroy(&lm->lock);
    pthread_cond_destroy(&lm->work);
    pthread_cond_destroy(&lm->idle);
    free(lm);
}

const char *vt_lm_numerics(const vt_lm *lm)
{
    return lm->numerics;
}

const struct vt_lm_config *vt_lm_cfg(const vt_lm *lm)
{
    return &lm->cfg;
}

uint64_t vt_lm_bytes(const vt_lm *lm, uint64_t *peak)
{
    vt_lm *m = (vt_lm *)(uintptr_t)lm; /* the lock is the only thing written */
    pthread_mutex_lock(&m->lock);
    uint64_t bytes = m->bytes;
    if (peak)
        *peak = m->peak;
    pthread_mutex_unlock(&m->lock);
    return bytes;
}
