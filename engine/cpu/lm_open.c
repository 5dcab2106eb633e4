/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_open.c: from a checkpoint to a backend that can run, and back; the table of its operations.
 *
 * Opening checks what kernels later rely on beside the door's checks: heads no wider than theirs, finite weights (a NaN
 * in a key would reach other rows through 0 * NaN). The large matrices come packed from the cache file (vt_pack);
 * norms, biases and the embedding rows are small or read a row at a time and are taken from the checkpoint itself.
 * Nothing here assumes that heads times head_dim is the model's width.
 */
#include "cpu/lm_cpu.h"
#include "cpu/lm_parts.h"
#include <stdio.h>
#include <stdlib.h>

enum { NUMERICS_VERSION = 7, BURST = 4, MAX_SLOTS = 160, MAX_TARGETS = 256, MAX_TOP = 256 };

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

static vt_status check_finite(struct vt_cpu *lm, vt_err *err)
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
static vt_status load_vector(const struct vt_cpu *lm, const char *name, int n, bool is_required, float **out,
                             vt_err *err)
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

static vt_status find_matrix(const struct vt_cpu *lm, const char *name, int n_out, int n_in,
                             const struct vt_matrix **out, vt_err *err)
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

static vt_status load_layer(struct vt_cpu *lm, int i, vt_err *err)
{
    const struct vt_lm_config *c = &lm->cfg;
    struct vt_cpu_layer *l = &lm->layers[i];
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

static vt_status load_weights(struct vt_cpu *lm, vt_err *err)
{
    const struct vt_lm_config *c = &lm->cfg;
    VT_TRY(vt_pack_open(lm->ckpt, lm->prec, &lm->pack, err));
    VT_TRY(vt_cpu_reserve(lm, vt_pack_bytes(lm->pack), "the packed weights", err));
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

static void derive(struct vt_cpu *lm)
{
    const struct vt_lm_config *c = &lm->cfg;
    lm->q_dim = c->n_heads * c->head_dim;
    lm->kv_dim = c->n_kv_heads * c->head_dim;
    lm->qkv_dim = lm->q_dim + 2 * lm->kv_dim;
    lm->group_heads = c->n_heads / c->n_kv_heads;
    lm->page_bytes = lm->k->page_bytes(lm->prec, c->head_dim);
    lm->block_bytes = lm->page_bytes * (size_t)c->n_kv_heads;
}

static vt_status pick_kernels(const char *isa, const struct vt_kernels **out, vt_err *err)
{
    if (!isa)
        isa = getenv("VEGTTT_ISA");
    return vt_kernels_pick(isa && *isa ? isa : NULL, out, err);
}

static void name_numerics(enum vt_lm_precision precision, const struct vt_kernels *k, char out[64])
{
    (void)snprintf(out, 64, "cpu/%s/%s/%d", precision == VT_LM_F32 ? "f32" : "fast", k->name, (int)NUMERICS_VERSION);
}

static vt_status numerics(const struct vt_lm_opts *o, char out[64], vt_err *err)
{
    const struct vt_kernels *k;
    VT_TRY(pick_kernels(o->isa, &k, err));
    name_numerics(o->precision, k, out);
    return VT_OK;
}

static vt_status open_into(struct vt_cpu *lm, const struct vt_lm_opts *o, struct vt_lm_limits *limits, vt_err *err)
{
    VT_TRY(pick_kernels(o->isa, &lm->k, err));
    *limits = (struct vt_lm_limits){.is_exact = true,
                                    .in_flight = 1,
                                    .burst = BURST,
                                    .max_slots = MAX_SLOTS,
                                    .max_targets = MAX_TARGETS,
                                    .max_top = MAX_TOP};
    name_numerics(lm->prec, lm->k, limits->numerics);
    derive(lm);
    VT_TRY(vt_pool_new(o->n_threads, &lm->pool, err));
    lm->n_threads = vt_pool_size(lm->pool);
    VT_TRY(check_finite(lm, err));
    return load_weights(lm, err);
}

static void close_backend(void *be);

static vt_status open_backend(const vt_ckpt *ckpt, const struct vt_lm_opts *o, struct vt_lm_limits *limits,
                              uint64_t *max_memory, void **be, vt_err *err)
{
    struct vt_cpu *lm = vt_alloc(sizeof *lm);
    if (!lm)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a model");
    lm->ckpt = ckpt;
    lm->cfg = *vt_ckpt_config(ckpt);
    lm->prec = o->precision;
    lm->lease = o->lease;
    lm->pass_rows = VT_PASS_ROWS;
    lm->max_bytes = *max_memory = *max_memory ? *max_memory : available_bytes() / 4 * 3;
    pthread_mutex_init(&lm->lock, NULL);
    vt_status status = open_into(lm, o, limits, err);
    if (status != VT_OK) {
        close_backend(lm);
        return status;
    }
    *be = lm;
    return VT_OK;
}

static vt_status probe(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    const int head_dim = vt_ckpt_config(ckpt)->head_dim;
    if (o->device != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "the CPU is one device, 0; there is no device %d", o->device);
    if (head_dim > VT_MAX_HEAD_DIM) /* kernels keep rows of a head on the stack */
        return vt_fail(err, VT_EUNSUPPORTED, "the CPU runs attention heads of up to %d, and those of %s are %d wide",
                       (int)VT_MAX_HEAD_DIM, vt_ckpt_name(ckpt), head_dim);
    return VT_OK;
}

static void free_layers(struct vt_cpu *lm)
{
    for (int i = 0; lm->layers && i < lm->cfg.n_layers; i++) {
        struct vt_cpu_layer *l = &lm->layers[i];
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

static void close_backend(void *be)
{
    struct vt_cpu *lm = be;
    vt_cpu_back_free(lm);
    vt_cpu_decode_free(lm);
    vt_cpu_rows_free(lm);
    vt_cpu_bufs_free(lm);
    vt_cpu_rope_free(lm);
    vt_cpu_pages_drop(lm);
    free_layers(lm);
    vt_pack_close(lm->pack);
    vt_lease_forget_pool(lm->lease, lm->pool);
    vt_pool_free(lm->pool);
    pthread_mutex_destroy(&lm->lock);
    free(lm);
}

static uint64_t held_bytes(void *be, uint64_t *peak)
{
    struct vt_cpu *lm = be;
    pthread_mutex_lock(&lm->lock);
    const uint64_t bytes = lm->bytes;
    *peak = lm->peak;
    pthread_mutex_unlock(&lm->lock);
    return bytes;
}

const struct vt_lm_ops vt_lm_cpu_ops = {.name = "cpu",
                                        .probe = probe,
                                        .numerics = numerics,
                                        .open = open_backend,
                                        .close = close_backend,
                                        .bytes = held_bytes,
                                        .plan = vt_cpu_plan,
                                        .adapter_put = vt_cpu_adapter_put,
                                        .adapter_clone = vt_cpu_adapter_clone,
                                        .adapter_get = vt_cpu_adapter_get,
                                        .adapter_free = vt_cpu_adapter_free,
                                        .group_free = vt_cpu_group_free,
                                        .slot_new = vt_cpu_slot_new,
                                        .slot_free = vt_cpu_slot_free,
                                        .tape_free = vt_cpu_tape_free,
                                        .grad_new = vt_cpu_grad_new,
                                        .grad_free = vt_cpu_grad_free,
                                        .group = vt_cpu_group,
                                        .decode = vt_cpu_decode,
                                        .score = vt_cpu_score,
                                        .forward = vt_cpu_forward,
                                        .backward = vt_cpu_backward,
                                        .grad_add = vt_cpu_grad_add,
                                        .grad_dot = vt_cpu_grad_dot,
                                        .grad_read = vt_cpu_grad_read,
                                        .grad_copy = vt_cpu_grad_copy,
                                        .adam = vt_cpu_adam};
