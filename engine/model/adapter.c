/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter.c: a LoRA adapter in memory: its layout, its start values, and which weight each module belongs to. Files
 * are in adapter_file.c.
 *
 * Layout: modules in order of layer, then target; UNEMBED, which has one module, comes last under layer n_layers. A
 * module is A (rank, d_in) followed by B (d_out, rank), both row-major, without padding, so an offset is arithmetic.
 *
 * Start: A is uniform in ±1/sqrt(d_in), B is zero, so a new adapter changes nothing. Every A element is one Philox draw
 * keyed by (seed, layer, target) and its index: the values of a module do not depend on which others are adapted.
 */
#include "model/adapter.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 4096 };

void vt_adapter_dims(const struct vt_lm_config *cfg, enum vt_target t, int *d_out, int *d_in)
{
    int q = cfg->n_heads * cfg->head_dim, kv = cfg->n_kv_heads * cfg->head_dim, d = cfg->d_model, f = cfg->d_ff;
    const int dims[VT_LORA_N][2] = {
        [VT_LORA_Q] = {q, d},    [VT_LORA_K] = {kv, d}, [VT_LORA_V] = {kv, d},   [VT_LORA_O] = {d, q},
        [VT_LORA_GATE] = {f, d}, [VT_LORA_UP] = {f, d}, [VT_LORA_DOWN] = {d, f}, [VT_LORA_UNEMBED] = {cfg->n_vocab, d},
    };
    *d_out = dims[t][0];
    *d_in = dims[t][1];
}

/* Values of all A of a module. */
static size_t a_size(const struct vt_adapter *a, enum vt_target t)
{
    int d_out, d_in;
    vt_adapter_dims(&a->cfg, t, &d_out, &d_in);
    return (size_t)a->rank * (size_t)d_in * (size_t)(a->n_a[t] > 1 ? a->n_a[t] : 1);
}

static size_t module_size(const struct vt_adapter *a, enum vt_target t)
{
    int d_out, d_in;
    vt_adapter_dims(&a->cfg, t, &d_out, &d_in);
    return a_size(a, t) + (size_t)a->rank * (size_t)d_out * (size_t)(a->n_b[t] > 1 ? a->n_b[t] : 1);
}

static size_t layer_size(const struct vt_adapter *a, enum vt_target end)
{
    size_t n = 0;
    for (enum vt_target t = VT_LORA_Q; t < end; t++)
        if (a->targets & 1u << t)
            n += module_size(a, t);
    return n;
}

bool vt_adapter_at(const struct vt_adapter *a, int layer, enum vt_target t, size_t *a_off, size_t *b_off)
{
    bool unembed = t == VT_LORA_UNEMBED;
    if (!(a->targets & 1u << t) || layer < 0 || (unembed ? layer != a->cfg.n_layers : layer >= a->cfg.n_layers))
        return false;
    *a_off = (size_t)layer * layer_size(a, VT_LORA_UNEMBED) + (unembed ? 0 : layer_size(a, t));
    *b_off = *a_off + a_size(a, t);
    return true;
}

bool vt_adapter_is_bf16(const struct vt_adapter *a)
{
    for (size_t i = 0; i < a->n_params; i++)
        if (vt_bf16_to_f32(vt_f32_to_bf16(a->params[i])) != a->params[i])
            return false;
    return true;
}

/* An adapter of zeros; dimensions and parameter count set. */
static vt_status adapter_blank(const struct vt_lm_config *cfg, int rank, float alpha, unsigned targets,
                               struct vt_adapter **out, vt_err *err)
{
    if (rank < 1 || rank > MAX_RANK)
        return vt_fail(err, VT_EINVAL, "cannot make an adapter of rank %d; 1 to %d is possible", rank, MAX_RANK);
    if (!isfinite(alpha) || alpha <= 0)
        return vt_fail(err, VT_EINVAL, "cannot make an adapter with alpha %g; it must be positive", (double)alpha);
    if (targets == 0 || targets >> VT_LORA_N)
        return vt_fail(err, VT_EINVAL,
                       "cannot make an adapter for target mask 0x%x; name at least one of q k v o gate up down unembed",
                       targets);
    struct vt_adapter *a = vt_alloc(sizeof *a);
    if (a) {
        a->cfg = *cfg;
        a->rank = rank;
        a->alpha = alpha;
        a->targets = targets;
        a->n_params = (size_t)cfg->n_layers * layer_size(a, VT_LORA_UNEMBED);
        if (targets & 1u << VT_LORA_UNEMBED)
            a->n_params += module_size(a, VT_LORA_UNEMBED);
        a->params = vt_alloc_array(a->n_params, sizeof *a->params);
    }
    if (!a || !a->params) {
        vt_adapter_free(a);
        return vt_fail(err, VT_ENOMEM, "out of memory for an adapter of rank %d", rank);
    }
    *out = a;
    return VT_OK;
}

vt_status vt_adapter_new(const struct vt_lm_config *cfg, int rank, float alpha, unsigned targets, uint64_t seed,
                         struct vt_adapter **out, vt_err *err)
{
    struct vt_adapter *a;
    VT_TRY(adapter_blank(cfg, rank, alpha, targets, &a, err));
    for (int layer = 0; layer <= cfg->n_layers; layer++)
        for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++) {
            size_t at, b_off;
            if (!vt_adapter_at(a, layer, t, &at, &b_off))
                continue;
            int d_out, d_in;
            vt_adapter_dims(cfg, t, &d_out, &d_in);
            double bound = 1.0 / sqrt((double)d_in);
            struct vt_stream draws;
            vt_stream_init(&draws, vt_seed_mix(seed, (uint64_t)layer * VT_LORA_N + t));
            for (; at < b_off; at++)
                a->params[at] = (float)((2.0 * vt_stream_uniform(&draws) - 1.0) * bound);
        }
    *out = a;
    return VT_OK;
}

static bool copy_floats(const float *from, size_t n, float **to)
{
    if (!from)
        return true;
    *to = vt_alloc_array(n, sizeof **to);
    if (*to)
        memcpy(*to, from, n * sizeof **to);
    return *to != NULL;
}

vt_status vt_adapter_clone(const struct vt_adapter *a, struct vt_adapter **out, vt_err *err)
{
    struct vt_adapter *c = vt_alloc(sizeof *c);
    if (c) {
        *c = *a;
        c->params = c->m = c->v = NULL;
        c->trained_on = a->trained_on ? vt_strdup(a->trained_on) : NULL;
    }
    if (!c || !copy_floats(a->params, a->n_params, &c->params) || !copy_floats(a->m, a->n_params, &c->m) ||
        !copy_floats(a->v, a->n_params, &c->v) || (a->trained_on && !c->trained_on)) {
        vt_adapter_free(c);
        return vt_fail(err, VT_ENOMEM, "out of memory copying an adapter of %zu parameters", a->n_params);
    }
    *out = c;
    return VT_OK;
}

void vt_adapter_free(struct vt_adapter *a)
{
    if (!a)
        return;
    free(a->params);
    free(a->m);
    free(a->v);
    free(a->trained_on);
    free(a);
}
