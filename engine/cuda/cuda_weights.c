/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_weights.c: a checkpoint's weights in device memory. Matrices are bf16, row-major [out][in], each rounded once
 * from the value that ckpt.h defines (bf16 files keep their bits); q, k and v stand under each other as one matrix;
 * gate and up rows alternate by eight, so that a matrix instruction that has a gate's row has its up row too. Norms and
 * biases stay fp32. Rows are converted by all cores into pinned memory and copied while the next ones are converted.
 */
#include "cuda/cuda_parts.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN_DEVICE = 256, STAGING_BYTES = 32 << 20, N_STAGINGS = 2 };

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGN_DEVICE - 1) / ALIGN_DEVICE * ALIGN_DEVICE;
}

static uint64_t matrix_bytes(int n_out, int n_in)
{
    return aligned((uint64_t)n_out * (uint64_t)n_in * 2);
}

static uint64_t vector_bytes(int n)
{
    return aligned((uint64_t)n * sizeof(float));
}

/* Hands out addresses from base on; with base 0 it measures. */
struct cutter {
    vt_gpu_ptr at;
};

static vt_gpu_ptr cut(struct cutter *c, uint64_t bytes)
{
    const vt_gpu_ptr p = c->at;
    c->at += bytes;
    return p;
}

static void cut_matrices(const struct vt_lm_config *c, struct vt_cuda_weights *w, struct cutter *m)
{
    struct vt_dev_shape s;
    vt_cuda_derive(c, &s);
    w->embedding = cut(m, matrix_bytes(c->n_vocab, c->d_model));
    w->head = c->tied ? w->embedding : cut(m, matrix_bytes(c->n_vocab, c->d_model));
    for (int i = 0; i < c->n_layers; i++) {
        struct vt_cuda_layer l = {0};
        l.qkv = cut(m, matrix_bytes(s.qkv_dim, c->d_model));
        l.o = cut(m, matrix_bytes(c->d_model, s.q_dim));
        l.gate_up = cut(m, matrix_bytes(2 * c->d_ff, c->d_model));
        l.down = cut(m, matrix_bytes(c->d_model, c->d_ff));
        if (w->layers)
            w->layers[i] = l;
    }
}

static void cut_vectors(const struct vt_lm_config *c, struct vt_cuda_weights *w, struct cutter *v)
{
    struct vt_dev_shape s;
    vt_cuda_derive(c, &s);
    w->final_norm = cut(v, vector_bytes(c->d_model));
    for (int i = 0; i < c->n_layers; i++) {
        const vt_gpu_ptr input = cut(v, vector_bytes(c->d_model)), post = cut(v, vector_bytes(c->d_model));
        const vt_gpu_ptr bias = c->qkv_bias ? cut(v, vector_bytes(s.qkv_dim)) : 0;
        const vt_gpu_ptr q = c->qk_norm ? cut(v, vector_bytes(c->head_dim)) : 0;
        const vt_gpu_ptr k = c->qk_norm ? cut(v, vector_bytes(c->head_dim)) : 0;
        if (!w->layers)
            continue;
        w->layers[i].input_norm = input;
        w->layers[i].post_norm = post;
        w->layers[i].bias = bias;
        w->layers[i].q_norm = q;
        w->layers[i].k_norm = k;
    }
}

uint64_t vt_cuda_weights_bytes(const struct vt_lm_config *c)
{
    struct vt_cuda_weights none = {0};
    struct cutter m = {0}, v = {0};
    cut_matrices(c, &none, &m);
    cut_vectors(c, &none, &v);
    return m.at + v.at;
}

vt_status vt_cuda_weights_layout(struct vt_cuda *be, vt_err *err)
{
    const struct vt_lm_config *c = &be->cfg;
    struct vt_cuda_weights *w = &be->w, none = {0};
    struct cutter m = {0}, v = {0};
    cut_matrices(c, &none, &m);
    cut_vectors(c, &none, &v);
    w->matrix_bytes = m.at;
    w->vector_bytes = v.at;
    w->layers = vt_alloc_array((size_t)c->n_layers, sizeof *w->layers);
    if (!w->layers)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d layers", c->n_layers);
    VT_TRY(vt_gpu_alloc(be->gpu, w->matrix_bytes, "packed weights", &w->matrices, err));
    VT_TRY(vt_gpu_alloc(be->gpu, w->vector_bytes, "norms and biases", &w->vectors, err));
    m.at = w->matrices;
    v.at = w->vectors;
    cut_matrices(c, w, &m);
    cut_vectors(c, w, &v);
    return VT_OK;
}

/* --- loading --- */

struct loader {
    struct vt_cuda *be;
    const vt_ckpt *ckpt;
    vt_pool *pool;
    float **rows; /* [threads] a row in fp32 */
    char *staging[N_STAGINGS];
    vt_cu_event copied[N_STAGINGS];
    int next;
};

/* Rows [from, to) of a packed matrix: packed row r is row r of the one source, or alternates by eight between two. */
struct matrix {
    const struct vt_tensor *source[2];
    int n_sources, n_in;
};
struct conversion {
    struct loader *l;
    const struct matrix *m;
    int from, to;
    uint16_t *out;
    atomic_int bad_row; /* a packed row with a value that is not finite; -1 = none */
};

static void source_of(const struct matrix *m, int row, const struct vt_tensor **t, int64_t *at)
{
    if (m->n_sources == 1) {
        *t = m->source[0];
        *at = row;
        return;
    }
    *t = m->source[row / 8 % 2];
    *at = row / 16 * 8 + row % 8;
}

static bool convert_row(const struct conversion *c, int row, float *values)
{
    const struct vt_tensor *t;
    int64_t at;
    uint16_t *out = c->out + (size_t)(row - c->from) * (size_t)c->m->n_in;
    source_of(c->m, row, &t, &at);
    if (t->dtype == VT_BF16)
        memcpy(out, vt_tensor_raw_row(t, at), (size_t)c->m->n_in * sizeof *out);
    else {
        vt_tensor_row(t, at, values);
        for (int i = 0; i < c->m->n_in; i++)
            out[i] = vt_f32_to_bf16(values[i]);
    }
    unsigned worst = 0;
    for (int i = 0; i < c->m->n_in; i++)
        worst |= (out[i] & 0x7f80u) == 0x7f80u;
    return worst == 0;
}

static void convert_share(void *arg, int thread, int n_threads)
{
    struct conversion *c = arg;
    for (int row = c->from + thread; row < c->to; row += n_threads)
        if (!convert_row(c, row, c->l->rows[thread]))
            atomic_store(&c->bad_row, row);
}

static vt_status load_matrix(struct loader *l, const struct matrix *m, int n_out, vt_gpu_ptr to, vt_err *err)
{
    struct vt_cuda *be = l->be;
    const size_t row_bytes = (size_t)m->n_in * 2;
    const int at_once = (int)(STAGING_BYTES / row_bytes);
    for (int from = 0; from < n_out; from += at_once) {
        struct conversion c = {.l = l, .m = m, .from = from, .to = from + at_once < n_out ? from + at_once : n_out};
        const int k = l->next;
        l->next = (k + 1) % N_STAGINGS;
        VT_TRY(vt_gpu_event_wait(be->gpu, l->copied[k], err));
        c.out = (uint16_t *)(void *)l->staging[k];
        atomic_init(&c.bad_row, -1);
        vt_pool_run(l->pool, convert_share, &c);
        const int bad = atomic_load(&c.bad_row);
        if (bad >= 0) {
            const struct vt_tensor *t;
            int64_t row;
            source_of(m, bad, &t, &row);
            return vt_fail(err, VT_EFORMAT, "tensor %s has a value in row %lld that is not finite in bf16", t->name,
                           (long long)row);
        }
        VT_TRY(vt_gpu_copy_in(be->gpu, to + (vt_gpu_ptr)from * row_bytes, c.out, (size_t)(c.to - from) * row_bytes,
                              be->stream, err));
        VT_TRY(vt_gpu_event_record(be->gpu, l->copied[k], be->stream, err));
    }
    return VT_OK;
}

static vt_status find_matrix(const struct loader *l, const char *name, int n_out, int n_in,
                             const struct vt_tensor **out, vt_err *err)
{
    const struct vt_tensor *t = *out = vt_ckpt_tensor(l->ckpt, name);
    if (!t || t->n_dims != 2 || t->shape[0] != n_out || t->shape[1] != n_in)
        return vt_fail(err, VT_EFORMAT, "the checkpoint's %s is missing or not %d x %d", name, n_out, n_in);
    return VT_OK;
}

/* A named matrix by itself. */
static vt_status load_named(struct loader *l, const char *name, int n_out, int n_in, vt_gpu_ptr to, vt_err *err)
{
    struct matrix m = {.n_sources = 1, .n_in = n_in};
    VT_TRY(find_matrix(l, name, n_out, n_in, &m.source[0], err));
    return load_matrix(l, &m, n_out, to, err);
}

static vt_status load_vector(struct loader *l, const char *name, int n, vt_gpu_ptr to, vt_err *err)
{
    const struct vt_tensor *t = vt_ckpt_tensor(l->ckpt, name);
    if (!t || t->n_dims != 1 || t->shape[0] != n)
        return vt_fail(err, VT_EFORMAT, "the checkpoint's %s is missing or does not have %d values", name, n);
    VT_TRY(vt_tensor_check_finite(t, err));
    float *values = vt_alloc_array((size_t)n, sizeof *values);
    if (!values)
        return vt_fail(err, VT_ENOMEM, "out of memory for tensor %s", name);
    vt_tensor_row(t, 0, values);
    vt_status status = vt_gpu_copy_in(l->be->gpu, to, values, (size_t)n * sizeof *values, l->be->stream, err);
    if (status == VT_OK)
        status = vt_gpu_stream_wait(l->be->gpu, l->be->stream, err);
    free(values);
    return status;
}

static vt_status load_layer(struct loader *l, int i, vt_err *err)
{
    const struct vt_lm_config *c = &l->be->cfg;
    const struct vt_dev_shape *s = &l->be->shape;
    const struct vt_cuda_layer *w = &l->be->w.layers[i];
    const int dims[3] = {s->q_dim, s->kv_dim, s->kv_dim};
    const uint64_t row = (uint64_t)c->d_model * 2;
    char name[128];
    uint64_t above = 0;
    for (int t = 0; t < 3; t++) {
        (void)snprintf(name, sizeof name, "model.layers.%d.self_attn.%c_proj.weight", i, "qkv"[t]);
        VT_TRY(load_named(l, name, dims[t], c->d_model, w->qkv + above * row, err));
        (void)snprintf(name, sizeof name, "model.layers.%d.self_attn.%c_proj.bias", i, "qkv"[t]);
        if (c->qkv_bias)
            VT_TRY(load_vector(l, name, dims[t], w->bias + above * sizeof(float), err));
        above += (uint64_t)dims[t];
    }
    (void)snprintf(name, sizeof name, "model.layers.%d.self_attn.o_proj.weight", i);
    VT_TRY(load_named(l, name, c->d_model, s->q_dim, w->o, err));
    struct matrix pair = {.n_sources = 2, .n_in = c->d_model};
    (void)snprintf(name, sizeof name, "model.layers.%d.mlp.gate_proj.weight", i);
    VT_TRY(find_matrix(l, name, c->d_ff, c->d_model, &pair.source[0], err));
    (void)snprintf(name, sizeof name, "model.layers.%d.mlp.up_proj.weight", i);
    VT_TRY(find_matrix(l, name, c->d_ff, c->d_model, &pair.source[1], err));
    VT_TRY(load_matrix(l, &pair, 2 * c->d_ff, w->gate_up, err));
    (void)snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj.weight", i);
    VT_TRY(load_named(l, name, c->d_model, c->d_ff, w->down, err));
    (void)snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", i);
    VT_TRY(load_vector(l, name, c->d_model, w->input_norm, err));
    (void)snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", i);
    VT_TRY(load_vector(l, name, c->d_model, w->post_norm, err));
    if (!c->qk_norm)
        return VT_OK;
    (void)snprintf(name, sizeof name, "model.layers.%d.self_attn.q_norm.weight", i);
    VT_TRY(load_vector(l, name, c->head_dim, w->q_norm, err));
    (void)snprintf(name, sizeof name, "model.layers.%d.self_attn.k_norm.weight", i);
    return load_vector(l, name, c->head_dim, w->k_norm, err);
}

static vt_status load_all(struct loader *l, vt_err *err)
{
    const struct vt_lm_config *c = &l->be->cfg;
    const struct vt_cuda_weights *w = &l->be->w;
    VT_TRY(load_named(l, "model.embed_tokens.weight", c->n_vocab, c->d_model, w->embedding, err));
    if (!c->tied)
        VT_TRY(load_named(l, "lm_head.weight", c->n_vocab, c->d_model, w->head, err));
    VT_TRY(load_vector(l, "model.norm.weight", c->d_model, w->final_norm, err));
    for (int i = 0; i < c->n_layers; i++)
        VT_TRY(load_layer(l, i, err));
    return VT_OK;
}

static vt_status begin(struct loader *l, vt_err *err)
{
    const struct vt_lm_config *c = &l->be->cfg;
    struct vt_gpu *g = l->be->gpu;
    int widest = c->d_model > c->d_ff ? c->d_model : c->d_ff;
    widest = l->be->shape.q_dim > widest ? l->be->shape.q_dim : widest;
    VT_TRY(vt_pool_new(0, &l->pool, err));
    l->rows = vt_alloc_array((size_t)vt_pool_size(l->pool), sizeof *l->rows);
    for (int i = 0; l->rows && i < vt_pool_size(l->pool); i++)
        if (!(l->rows[i] = vt_alloc_array((size_t)widest, sizeof **l->rows)))
            return vt_fail(err, VT_ENOMEM, "out of memory while loading weights");
    if (!l->rows)
        return vt_fail(err, VT_ENOMEM, "out of memory while loading weights");
    for (int k = 0; k < N_STAGINGS; k++) {
        void *p;
        VT_TRY(vt_gpu_host_alloc(g, STAGING_BYTES, &p, err));
        l->staging[k] = p;
        VT_TRY(vt_gpu_event_new(g, false, &l->copied[k], err));
    }
    return VT_OK;
}

static void end(struct loader *l)
{
    for (int i = 0; l->rows && i < vt_pool_size(l->pool); i++)
        free(l->rows[i]);
    free(l->rows);
    for (int k = 0; k < N_STAGINGS; k++) {
        vt_gpu_host_free(l->be->gpu, l->staging[k]);
        vt_gpu_event_free(l->be->gpu, l->copied[k]);
    }
    vt_pool_free(l->pool);
}

vt_status vt_cuda_weights_load(struct vt_cuda *be, void *ckpt, vt_err *err)
{
    struct loader l = {.be = be, .ckpt = ckpt};
    vt_status status = begin(&l, err);
    if (status == VT_OK)
        status = load_all(&l, err);
    const vt_status quiet =
        vt_gpu_stream_wait(be->gpu, be->stream, status == VT_OK ? err : NULL); /* reads pinned memory */
    end(&l);
    return status == VT_OK ? quiet : status;
}
