/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_gguf.c: a GGUF file as a checkpoint: metadata keys to config, tensor names to Hugging Face names.
 *
 * Two conventions of the format are undone here. Dimensions are listed fastest first. For architecture "llama" the
 * rows of q and k are stored for adjacent-pair rotation, so those tensors carry permute_heads (dtype.c); qwen2 and
 * qwen3 are stored in Hugging Face order.
 *
 * Llama-3 rope scaling does not appear in the metadata: the converter stores the divisors of the rotation frequencies
 * as the tensor rope_freqs.weight. They are a function of (factor, low 1, high 4, original context 8192), so factor is
 * their maximum, and the other divisors are checked against that formula; other scalings are refused by name.
 */
#include "model/ckpt_parts.h"

#include "base/alloc.h"
#include "model/dtype.h"
#include "model/tokenizer_build.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vt_status need_int(const vt_ckpt *c, const char *arch, const char *key, int *out, vt_err *err)
{
    char full[96];
    int64_t v;
    snprintf(full, sizeof full, "%s.%s", arch, key);
    if (!vt_gguf_int(c->gguf, full, &v))
        return vt_fail(err, VT_EFORMAT, "%s: GGUF key %s is missing or no integer; the file is no complete model",
                       c->path, full);
    *out = v < 0 || v > INT_MAX ? -1 : (int)v;
    return VT_OK;
}

static int optional_int(const vt_ckpt *c, const char *arch, const char *key, int fallback)
{
    char full[96];
    int64_t v;
    snprintf(full, sizeof full, "%s.%s", arch, key);
    if (!vt_gguf_int(c->gguf, full, &v))
        return fallback;
    return v < 0 || v > INT_MAX ? -1 : (int)v;
}

static vt_status read_arch(vt_ckpt *c, const char **arch, vt_err *err)
{
    static const struct {
        const char *name;
        enum vt_arch arch;
    } known[] = {{"llama", VT_ARCH_LLAMA}, {"qwen2", VT_ARCH_QWEN2}, {"qwen3", VT_ARCH_QWEN3}};
    struct vt_text s;
    if (!vt_gguf_text(c->gguf, "general.architecture", &s))
        return vt_fail(err, VT_EFORMAT, "%s: GGUF key general.architecture is missing; the file is no model", c->path);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (vt_text_is(s, known[i].name)) {
            c->cfg.arch = known[i].arch;
            *arch = known[i].name;
            return VT_OK;
        }
    return vt_fail(err, VT_EUNSUPPORTED, "%s has architecture %.*s; the CPU engine runs llama, qwen2 and qwen3",
                   c->path, (int)(s.len < 64 ? s.len : 64), s.p);
}

/* What these keys describe would change the computation, so a file that sets them is refused. */
static vt_status refuse_extras(const vt_ckpt *c, const char *arch, vt_err *err)
{
    static const char *const counts[] = {"expert_count", "attention.sliding_window"};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        int v = optional_int(c, arch, counts[i], 0);
        if (v != 0)
            return vt_fail(err, VT_EUNSUPPORTED, "%s sets %s.%s = %d, which the CPU engine does not have", c->path,
                           arch, counts[i], v);
    }
    char key[96];
    struct vt_text type;
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    if (vt_gguf_text(c->gguf, key, &type) && !vt_text_is(type, "none"))
        return vt_fail(err, VT_EUNSUPPORTED, "%s uses rope scaling %.*s; the CPU engine has Llama-3 scaling only",
                       c->path, (int)(type.len < 32 ? type.len : 32), type.p);
    return VT_OK;
}

static vt_status read_config(vt_ckpt *c, vt_err *err)
{
    struct vt_lm_config *g = &c->cfg;
    const char *arch = "";
    char key[96];
    VT_TRY(read_arch(c, &arch, err));
    VT_TRY(refuse_extras(c, arch, err));
    VT_TRY(need_int(c, arch, "block_count", &g->n_layers, err));
    VT_TRY(need_int(c, arch, "embedding_length", &g->d_model, err));
    VT_TRY(need_int(c, arch, "feed_forward_length", &g->d_ff, err));
    VT_TRY(need_int(c, arch, "attention.head_count", &g->n_heads, err));
    VT_TRY(need_int(c, arch, "context_length", &g->n_ctx, err));
    g->n_kv_heads = optional_int(c, arch, "attention.head_count_kv", g->n_heads);
    g->head_dim = optional_int(c, arch, "attention.key_length", g->n_heads > 0 ? g->d_model / g->n_heads : -1);
    int rotated = optional_int(c, arch, "rope.dimension_count", g->head_dim);
    if (rotated != g->head_dim || optional_int(c, arch, "attention.value_length", g->head_dim) != g->head_dim)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: key, value and rotary sizes differ (key %d, rotary %d); the CPU engine needs them equal",
                       c->path, g->head_dim, rotated);
    double eps, theta = 10000.0;
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    if (!vt_gguf_num(c->gguf, key, &eps))
        return vt_fail(err, VT_EFORMAT, "%s: GGUF key %s is missing; the file is no complete model", c->path, key);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    (void)vt_gguf_num(c->gguf, key, &theta);
    g->rms_eps = (float)eps;
    g->rope_theta = (float)theta;
    g->tied = true; /* until output.weight is seen */
    g->qkv_bias = g->arch == VT_ARCH_QWEN2;
    g->qk_norm = g->arch == VT_ARCH_QWEN3;
    return VT_OK;
}

/* Llama 3's divisor of the rotation frequency whose wavelength is `wavelength` positions. */
static double llama3_divisor(double wavelength, double factor, double low, double high, double context)
{
    if (wavelength < context / high)
        return 1.0;
    if (wavelength > context / low)
        return factor;
    double smooth = (context / wavelength - low) / (high - low);
    return 1.0 / ((1.0 - smooth) / factor + smooth);
}

static vt_status read_rope_freqs(vt_ckpt *c, const struct vt_gguf_tensor *t, vt_err *err)
{
    enum { MAX_HALF = 512 };
    struct vt_lm_config *g = &c->cfg;
    float divisors[MAX_HALF];
    int half = g->head_dim / 2;
    if (half < 1 || half > MAX_HALF || t->n_dims != 1 || t->ne[0] != half || t->dtype != VT_F32)
        return vt_fail(err, VT_EFORMAT,
                       "%s: tensor rope_freqs.weight must hold %d fp32 numbers, one for each pair of a head", c->path,
                       half);
    memcpy(divisors, t->data, (size_t)half * sizeof *divisors);
    g->rope_factor = 1;
    g->rope_low = 1;
    g->rope_high = 4;
    g->rope_orig_ctx = 8192;
    for (int i = 0; i < half; i++)
        if (divisors[i] > g->rope_factor)
            g->rope_factor = divisors[i];
    for (int i = 0; i < half; i++) {
        double wavelength = 6.283185307179586 * pow((double)g->rope_theta, 2.0 * i / g->head_dim);
        double expected = llama3_divisor(wavelength, (double)g->rope_factor, 1, 4, 8192);
        if (!(fabs((double)divisors[i] - expected) <= 1e-3 * expected))
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s: rope_freqs.weight[%d] is %g, Llama-3 scaling by %g over 8192 gives %g; another scaling "
                           "is not supported",
                           c->path, i, (double)divisors[i], (double)g->rope_factor, expected);
    }
    return VT_OK;
}

static vt_status add_tensor(vt_ckpt *c, const struct vt_gguf_tensor *src, vt_err *err)
{
    if (vt_text_is(src->name, "rope_freqs.weight"))
        return read_rope_freqs(c, src, err);
    int layer;
    const struct vt_weight_spec *spec = vt_weight_spec_of(src->name.p, src->name.len, true, &layer);
    if (!spec)
        return vt_fail(
            err, VT_EUNSUPPORTED,
            "%s: tensor %.*s has no place in a model of this architecture; vegttt would compute something else",
            c->path, (int)src->name.len, src->name.p);
    struct vt_tensor t = {.dtype = src->dtype, .n_dims = src->n_dims, .data = src->data, .row_bytes = src->row_bytes};
    for (int i = 0; i < t.n_dims; i++)
        t.shape[i] = src->ne[t.n_dims - 1 - i];
    if (c->cfg.arch == VT_ARCH_LLAMA && strcmp(spec->hf, "self_attn.q_proj.weight") == 0)
        t.permute_heads = c->cfg.n_heads;
    if (c->cfg.arch == VT_ARCH_LLAMA && strcmp(spec->hf, "self_attn.k_proj.weight") == 0)
        t.permute_heads = c->cfg.n_kv_heads;
    if (spec->when == VT_WEIGHT_UNTIED)
        c->cfg.tied = false;
    if (strcmp(spec->hf, "model.embed_tokens.weight") == 0)
        c->cfg.n_vocab = t.shape[0] > INT_MAX ? -1 : (int)t.shape[0];
    return vt_ckpt_add(c, spec, layer, &t, err);
}

static vt_status copy_text(const vt_ckpt *c, const char *key, const char *fallback, char **out, vt_err *err)
{
    struct vt_text s;
    *out = vt_gguf_text(c->gguf, key, &s) ? vt_strndup(s.p, s.len) : vt_strdup(fallback);
    return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory opening %s", c->path);
}

vt_status vt_ckpt_open_gguf(vt_ckpt *c, const char *path, vt_err *err)
{
    VT_TRY(vt_gguf_open(path, &c->gguf, err));
    c->files = vt_alloc_array(1, sizeof *c->files);
    if (!c->files || !(c->files[0] = vt_strdup(path)))
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    c->n_files = 1;
    VT_TRY(read_config(c, err));
    VT_TRY(vt_ckpt_reserve(c, c->gguf->n_tensors, err));
    for (size_t i = 0; i < c->gguf->n_tensors; i++)
        VT_TRY(add_tensor(c, &c->gguf->tensors[i], err));
    const char *slash = strrchr(path, '/');
    VT_TRY(copy_text(c, "general.name", slash ? slash + 1 : path, &c->name, err));
    VT_TRY(copy_text(c, "tokenizer.chat_template", "", &c->chat_template, err));
    return vt_tokenizer_from_gguf(c->gguf, path, &c->tokenizer, err);
}
