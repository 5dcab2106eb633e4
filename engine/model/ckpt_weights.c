/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_weights.c: the weights of a checkpoint, whatever file they came from. Openers add them under their Hugging Face
 * names; vt_ckpt_check then proves that the whole is a complete model of its config: every weight of the table below is
 * there with the right shape, nothing appears twice, and nothing is left over (a weight that nobody would read changes
 * what the model computes, so an unknown name is refused rather than skipped).
 *
 * The limits on the config are far above any model of these families; they keep every product of two dimensions
 * inside int64 and every loop over layers short, whatever a hostile file says.
 */
#include "model/ckpt_parts.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct vt_weight_spec specs[] = {
    {"model.embed_tokens.weight", "token_embd.weight", false, 'v', 'd', VT_WEIGHT_ALWAYS},
    {"model.norm.weight", "output_norm.weight", false, 'd', 0, VT_WEIGHT_ALWAYS},
    {"lm_head.weight", "output.weight", false, 'v', 'd', VT_WEIGHT_UNTIED},
    {"input_layernorm.weight", "attn_norm.weight", true, 'd', 0, VT_WEIGHT_ALWAYS},
    {"post_attention_layernorm.weight", "ffn_norm.weight", true, 'd', 0, VT_WEIGHT_ALWAYS},
    {"self_attn.q_proj.weight", "attn_q.weight", true, 'q', 'd', VT_WEIGHT_ALWAYS},
    {"self_attn.k_proj.weight", "attn_k.weight", true, 'k', 'd', VT_WEIGHT_ALWAYS},
    {"self_attn.v_proj.weight", "attn_v.weight", true, 'k', 'd', VT_WEIGHT_ALWAYS},
    {"self_attn.o_proj.weight", "attn_output.weight", true, 'd', 'q', VT_WEIGHT_ALWAYS},
    {"self_attn.q_proj.bias", "attn_q.bias", true, 'q', 0, VT_WEIGHT_QKV_BIAS},
    {"self_attn.k_proj.bias", "attn_k.bias", true, 'k', 0, VT_WEIGHT_QKV_BIAS},
    {"self_attn.v_proj.bias", "attn_v.bias", true, 'k', 0, VT_WEIGHT_QKV_BIAS},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", true, 'h', 0, VT_WEIGHT_QK_NORM},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", true, 'h', 0, VT_WEIGHT_QK_NORM},
    {"mlp.gate_proj.weight", "ffn_gate.weight", true, 'f', 'd', VT_WEIGHT_ALWAYS},
    {"mlp.up_proj.weight", "ffn_up.weight", true, 'f', 'd', VT_WEIGHT_ALWAYS},
    {"mlp.down_proj.weight", "ffn_down.weight", true, 'd', 'f', VT_WEIGHT_ALWAYS},
};
enum { N_SPECS = sizeof specs / sizeof specs[0], MAX_LAYERS = 1024 };

static bool same(const char *p, size_t len, const char *text)
{
    return strlen(text) == len && memcmp(p, text, len) == 0;
}

const struct vt_weight_spec *vt_weight_spec_of(const char *name, size_t len, bool gguf, int *layer)
{
    const char *prefix = gguf ? "blk." : "model.layers.";
    size_t n = strlen(prefix);
    *layer = -1;
    if (len > n && memcmp(name, prefix, n) == 0) {
        int l = 0;
        size_t digits = n;
        for (; digits < len && name[digits] >= '0' && name[digits] <= '9' && l < MAX_LAYERS; digits++)
            l = l * 10 + (name[digits] - '0');
        if (digits == n || digits == len || name[digits] != '.' || (name[n] == '0' && digits > n + 1))
            return NULL;
        *layer = l;
        name += digits + 1;
        len -= digits + 1;
    }
    for (size_t i = 0; i < N_SPECS; i++)
        if (specs[i].in_layer == (*layer >= 0) && same(name, len, gguf ? specs[i].gguf : specs[i].hf))
            return &specs[i];
    return NULL;
}

static void spec_name(const struct vt_weight_spec *spec, int layer, char *out, size_t n)
{
    if (spec->in_layer)
        snprintf(out, n, "model.layers.%d.%s", layer, spec->hf);
    else
        snprintf(out, n, "%s", spec->hf);
}

vt_status vt_ckpt_reserve(vt_ckpt *c, size_t n, vt_err *err)
{
    size_t cap;
    struct vt_tensor *p = NULL;
    if (vt_add_size(c->n_tensors, n, &cap))
        p = vt_realloc_array(c->tensors, cap ? cap : 1, sizeof *p);
    if (!p)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu tensors of %s", n, c->path);
    c->tensors = p;
    c->cap_tensors = cap;
    return VT_OK;
}

vt_status vt_ckpt_add(vt_ckpt *c, const struct vt_weight_spec *spec, int layer, const struct vt_tensor *t, vt_err *err)
{
    char name[96];
    spec_name(spec, layer, name, sizeof name);
    char *owned = vt_strdup(name);
    if (!owned || c->n_tensors == c->cap_tensors) {
        free(owned);
        return vt_fail(err, VT_ENOMEM, "out of memory for tensor %s of %s", name, c->path);
    }
    c->tensors[c->n_tensors] = *t;
    c->tensors[c->n_tensors].name = owned;
    c->n_tensors++;
    return VT_OK;
}

struct vt_ckpt_file *vt_ckpt_add_file(vt_ckpt *c, const char *path)
{
    struct vt_ckpt_file *files = vt_realloc_array(c->files, c->n_files + 1, sizeof *files);
    char *copy = vt_strdup(path);
    if (files)
        c->files = files;
    if (!files || !copy) {
        free(copy);
        return NULL;
    }
    c->files[c->n_files] = (struct vt_ckpt_file){.path = copy};
    return &c->files[c->n_files++];
}

static vt_status check_config(const vt_ckpt *c, vt_err *err)
{
    const struct vt_lm_config *g = &c->cfg;
    const struct {
        const char *what;
        int value, max;
    } limits[] = {
        {"number of layers", g->n_layers, MAX_LAYERS},
        {"hidden size", g->d_model, 1 << 17},
        {"feed-forward size", g->d_ff, 1 << 20},
        {"number of heads", g->n_heads, 1024},
        {"number of key-value heads", g->n_kv_heads, 1024},
        {"head size", g->head_dim, 1024},
        {"vocabulary size", g->n_vocab, 1 << 22},
        {"context length", g->n_ctx, 1 << 24},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].value < 1 || limits[i].value > limits[i].max)
            return vt_fail(err, VT_EFORMAT, "%s: its config gives %d as %s; 1 to %d is possible", c->path,
                           limits[i].value, limits[i].what, limits[i].max);
    if (g->n_heads % g->n_kv_heads != 0)
        return vt_fail(err, VT_EFORMAT, "%s: %d heads cannot share %d key-value heads evenly", c->path, g->n_heads,
                       g->n_kv_heads);
    if (g->head_dim % 2 != 0)
        return vt_fail(err, VT_EFORMAT, "%s: rotary embedding needs an even head size, not %d", c->path, g->head_dim);
    if (!(g->rms_eps >= 0 && g->rms_eps < 1) || !(g->rope_theta > 0 && isfinite(g->rope_theta)))
        return vt_fail(err, VT_EFORMAT, "%s: RMS epsilon %g or rope base %g makes no sense", c->path,
                       (double)g->rms_eps, (double)g->rope_theta);
    if (!(g->rope_factor >= 0) || !isfinite(g->rope_factor) ||
        (g->rope_factor > 0 &&
         (!(g->rope_low > 0) || !(g->rope_high > g->rope_low) || !isfinite(g->rope_high) || g->rope_orig_ctx < 1)))
        return vt_fail(err, VT_EFORMAT,
                       "%s: its rope scaling (factor %g, low %g, high %g, original context %d) makes no sense", c->path,
                       (double)g->rope_factor, (double)g->rope_low, (double)g->rope_high, g->rope_orig_ctx);
    return VT_OK;
}

static int64_t dim_of(const struct vt_lm_config *g, char letter)
{
    switch (letter) {
    case 'd':
        return g->d_model;
    case 'q':
        return (int64_t)g->n_heads * g->head_dim;
    case 'k':
        return (int64_t)g->n_kv_heads * g->head_dim;
    case 'h':
        return g->head_dim;
    case 'f':
        return g->d_ff;
    default:
        return g->n_vocab;
    }
}

static bool is_expected(const struct vt_lm_config *g, const struct vt_weight_spec *spec)
{
    switch (spec->when) {
    case VT_WEIGHT_UNTIED:
        return !g->tied;
    case VT_WEIGHT_QKV_BIAS:
        return g->qkv_bias;
    case VT_WEIGHT_QK_NORM:
        return g->qk_norm;
    default:
        return true;
    }
}

static vt_status check_one(const vt_ckpt *c, const struct vt_weight_spec *spec, int layer, vt_err *err)
{
    char name[96];
    spec_name(spec, layer, name, sizeof name);
    const struct vt_tensor *t = vt_ckpt_tensor(c, name);
    if (!t)
        return vt_fail(err, VT_EFORMAT, "%s: tensor %s is missing; the checkpoint is incomplete", c->path, name);
    int n_dims = spec->cols ? 2 : 1;
    int64_t rows = dim_of(&c->cfg, spec->rows), cols = spec->cols ? dim_of(&c->cfg, spec->cols) : 0;
    if (t->n_dims != n_dims || t->shape[0] != rows || (cols && t->shape[1] != cols))
        return vt_fail(err, VT_EFORMAT, "%s: tensor %s has shape [%lld%s%.0lld], the config needs [%lld%s%.0lld]",
                       c->path, name, (long long)t->shape[0], t->n_dims > 1 ? ", " : "",
                       t->n_dims > 1 ? (long long)t->shape[1] : 0LL, (long long)rows, cols ? ", " : "",
                       (long long)cols);
    return VT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vt_tensor *)a)->name, ((const struct vt_tensor *)b)->name);
}

static vt_status check_tensors(vt_ckpt *c, vt_err *err)
{
    if (c->n_tensors > 1)
        qsort(c->tensors, c->n_tensors, sizeof *c->tensors, by_name);
    for (size_t i = 1; i < c->n_tensors; i++)
        if (strcmp(c->tensors[i - 1].name, c->tensors[i].name) == 0)
            return vt_fail(err, VT_EFORMAT, "%s: tensor %s appears twice", c->path, c->tensors[i].name);
    size_t n_expected = 0;
    for (size_t s = 0; s < N_SPECS; s++) {
        if (!is_expected(&c->cfg, &specs[s]))
            continue;
        int n = specs[s].in_layer ? c->cfg.n_layers : 1;
        for (int l = 0; l < n; l++)
            VT_TRY(check_one(c, &specs[s], l, err));
        n_expected += (size_t)n;
    }
    for (size_t i = 0; i < c->n_tensors && c->n_tensors > n_expected; i++) {
        const char *name = c->tensors[i].name;
        int layer;
        const struct vt_weight_spec *spec = vt_weight_spec_of(name, strlen(name), false, &layer);
        if (!spec || !is_expected(&c->cfg, spec) || layer >= c->cfg.n_layers)
            return vt_fail(
                err, VT_EUNSUPPORTED,
                "%s: tensor %s has no place in the model its config describes; vegttt would compute something else",
                c->path, name);
    }
    return VT_OK;
}

vt_status vt_ckpt_check(vt_ckpt *c, vt_err *err)
{
    VT_TRY(check_config(c, err));
    return check_tensors(c, err);
}

const struct vt_tensor *vt_ckpt_tensor(const vt_ckpt *c, const char *name)
{
    struct vt_tensor key = {.name = name};
    return c->n_tensors ? bsearch(&key, c->tensors, c->n_tensors, sizeof key, by_name) : NULL;
}

size_t vt_ckpt_n_tensors(const vt_ckpt *c)
{
    return c->n_tensors;
}

const struct vt_tensor *vt_ckpt_tensor_at(const vt_ckpt *c, size_t i)
{
    return i < c->n_tensors ? &c->tensors[i] : NULL;
}
