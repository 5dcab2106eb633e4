/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_gguf.c: a GGUF file as a checkpoint: metadata keys to config, tensor names to Hugging Face names.
 *
 * Two conventions of the format are undone here. Dimensions are listed fastest first. For architecture "llama" the
 * rows of q and k are stored for adjacent-pair rotation, so those tensors carry permute_heads (dtype.c); qwen2 and
 * qwen3 are stored in Hugging Face order.
 *
 * Linear rope scaling is a factor in the metadata. Llama-3 scaling is not there: the converter stores the divisors of
 * the rotation frequencies as the tensor rope_freqs.weight. They are a function of (factor, low 1, high 4, original
 * context 8192), so factor is their maximum, and the other divisors are checked against that formula; other scalings
 * are refused by name.
 *
 * Every metadata key stands in the table below; one that does not is refused, since it could change the computation.
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

enum {
    WHOLE = 1 << VT_GGUF_U8 | 1 << VT_GGUF_I8 | 1 << VT_GGUF_U16 | 1 << VT_GGUF_I16 | 1 << VT_GGUF_U32 |
            1 << VT_GGUF_I32 | 1 << VT_GGUF_U64 | 1 << VT_GGUF_I64,
    REAL = WHOLE | 1 << VT_GGUF_F32 | 1 << VT_GGUF_F64,
    FLAG = 1 << VT_GGUF_BOOL,
    TEXT = 1 << VT_GGUF_STRING,
    LIST = 1 << VT_GGUF_ARRAY
};

/* What each metadata key means, as in keys.h: read with one of these types, harmless, or an option that must be off
 * (0, false or `off`). A '*' stands at the beginning for the name of the architecture, at the end for anything. */
static const struct gguf_key {
    const char *name;
    enum { READ, HARMLESS, OFF } use;
    int types;
    double off;
} gguf_keys[] = {
    {"general.architecture", READ, TEXT, 0},
    {"general.alignment", READ, WHOLE, 0},
    {"general.type", READ, TEXT, 0},
    {"general.name", READ, TEXT, 0},
    {"general.*", HARMLESS, 0, 0},
    {"split.count", READ, WHOLE, 0},
    {"split.*", HARMLESS, 0, 0},
    {"quantize.*", HARMLESS, 0, 0},
    {"imatrix.*", HARMLESS, 0, 0},
    {"mradermacher.*", HARMLESS, 0, 0},
    {"*.block_count", READ, WHOLE, 0},
    {"*.embedding_length", READ, WHOLE, 0},
    {"*.feed_forward_length", READ, WHOLE, 0},
    {"*.context_length", READ, WHOLE, 0},
    {"*.vocab_size", READ, WHOLE, 0},
    {"*.attention.head_count", READ, WHOLE, 0},
    {"*.attention.head_count_kv", READ, WHOLE, 0},
    {"*.attention.key_length", READ, WHOLE, 0},
    {"*.attention.value_length", READ, WHOLE, 0},
    {"*.attention.layer_norm_rms_epsilon", READ, REAL, 0},
    {"*.rope.dimension_count", READ, WHOLE, 0},
    {"*.rope.freq_base", READ, REAL, 0},
    {"*.rope.scaling.type", READ, TEXT, 0},
    {"*.rope.scaling.factor", READ, REAL, 0},
    {"*.rope.scale_linear", READ, REAL, 0},
    {"*.rope.scaling.original_context_length", HARMLESS, 0, 0}, /* of yarn and longrope, which are refused */
    {"*.rope.scaling.finetuned", HARMLESS, 0, 0},
    {"*.rope.scaling.attn_factor", OFF, 0, 1},
    {"*.attention.causal", OFF, 0, 1},
    {"*.attention.sliding_window", READ, WHOLE, 0},
    {"*.attention.clamp_kqv", OFF, 0, 0},
    {"*.attention.max_alibi_bias", OFF, 0, 0},
    {"*.attention.scale", OFF, 0, 0},
    {"*.expert_count", OFF, 0, 0},
    {"*.expert_used_count", OFF, 0, 0},
    {"*.logit_scale", OFF, 0, 1},
    {"*.embedding_scale", OFF, 0, 1},
    {"*.residual_scale", OFF, 0, 1},
    {"*.attn_logit_softcapping", OFF, 0, 0},
    {"*.final_logit_softcapping", OFF, 0, 0},
    {"*.use_parallel_residual", OFF, 0, 0},
    {"*.pooling_type", OFF, 0, 0},
    {"tokenizer.ggml.model", READ, TEXT, 0},
    {"tokenizer.ggml.pre", READ, TEXT, 0},
    {"tokenizer.ggml.tokens", READ, LIST, 0},
    {"tokenizer.ggml.token_type", READ, LIST, 0},
    {"tokenizer.ggml.merges", READ, LIST, 0},
    {"tokenizer.ggml.bos_token_id", READ, WHOLE, 0},
    {"tokenizer.ggml.eos_token_id", READ, WHOLE, 0},
    {"tokenizer.ggml.eot_token_id", READ, WHOLE, 0},
    {"tokenizer.ggml.eom_token_id", READ, WHOLE, 0},
    {"tokenizer.ggml.add_bos_token", READ, FLAG, 0},
    {"tokenizer.ggml.add_eos_token", HARMLESS, 0, 0}, /* vegttt encodes a text alone */
    {"tokenizer.ggml.add_sep_token", HARMLESS, 0, 0},
    {"tokenizer.ggml.add_space_prefix", OFF, 0, 0},
    {"tokenizer.ggml.precompiled_charsmap", OFF, 0, 0},
    {"tokenizer.ggml.scores", HARMLESS, 0, 0}, /* of unigram models */
    {"tokenizer.ggml.token_type_count", HARMLESS, 0, 0},
    {"tokenizer.ggml.remove_extra_whitespaces", OFF, 0, 0},
    {"tokenizer.ggml.unknown_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.padding_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.seperator_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.separator_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.cls_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.mask_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.fim_*", HARMLESS, 0, 0},
    {"tokenizer.ggml.prefix_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.suffix_token_id", HARMLESS, 0, 0},
    {"tokenizer.ggml.middle_token_id", HARMLESS, 0, 0},
    {"tokenizer.huggingface.json", HARMLESS, 0, 0},
    {"tokenizer.chat_template", READ, TEXT, 0},
    {"tokenizer.chat_template.*", HARMLESS, 0, 0},
    {"tokenizer.chat_templates", HARMLESS, 0, 0},
};

static bool starts_with(struct vt_text s, const char *text, size_t n)
{
    return s.len >= n && memcmp(s.p, text, n) == 0;
}

static const struct gguf_key *key_of(struct vt_text name, const char *arch)
{
    size_t n_arch = strlen(arch);
    for (size_t i = 0; i < sizeof gguf_keys / sizeof gguf_keys[0]; i++) {
        const char *pattern = gguf_keys[i].name;
        struct vt_text rest = name;
        if (pattern[0] == '*') {
            if (!starts_with(name, arch, n_arch))
                continue;
            rest = (struct vt_text){name.p + n_arch, name.len - n_arch};
            pattern++;
        }
        size_t n = strlen(pattern);
        if (pattern[n - 1] == '*' ? starts_with(rest, pattern, n - 1) : vt_text_is(rest, pattern))
            return &gguf_keys[i];
    }
    return NULL;
}

static bool is_off(const struct vt_gguf_kv *kv, double off)
{
    if (kv->type == VT_GGUF_ARRAY)
        return kv->n == 0;
    if (kv->type == VT_GGUF_STRING)
        return kv->str.len == 0;
    return (kv->type == VT_GGUF_F32 || kv->type == VT_GGUF_F64 ? kv->f : (double)kv->i) == off;
}

static vt_status check_keys(const vt_ckpt *c, const char *arch, vt_err *err)
{
    for (size_t i = 0; i < c->gguf->n_kv; i++) {
        const struct vt_gguf_kv *kv = &c->gguf->kv[i];
        const struct gguf_key *k = key_of(kv->key, arch);
        int len = (int)(kv->key.len < 80 ? kv->key.len : 80);
        if (k && k->use == READ && !(k->types >> kv->type & 1))
            return vt_fail(err, VT_EFORMAT, "%s: GGUF key %.*s has a value of another type than it must have", c->path,
                           len, kv->key.p);
        if (k && k->use == OFF && !is_off(kv, k->off))
            return vt_fail(err, VT_EUNSUPPORTED, "%s sets %.*s, which the CPU engine does not have", c->path, len,
                           kv->key.p);
        if (!k)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s: GGUF key %.*s is none that vegttt knows, and it could change what the model computes; "
                           "if you know that it does not, write the file again without it",
                           c->path, len, kv->key.p);
    }
    return VT_OK;
}

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

static bool optional_num(const vt_ckpt *c, const char *arch, const char *key, double *out)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    return vt_gguf_num(c->gguf, full, out);
}

static vt_status read_arch(vt_ckpt *c, const char **arch, vt_err *err)
{
    static const struct {
        const char *name;
        enum vt_arch arch;
    } known[] = {{"llama", VT_ARCH_LLAMA}, {"qwen2", VT_ARCH_QWEN2}, {"qwen3", VT_ARCH_QWEN3}};
    struct vt_text s, kind;
    int64_t parts;
    if (vt_gguf_int(c->gguf, "split.count", &parts) && parts > 1)
        return vt_fail(
            err, VT_EUNSUPPORTED,
            "%s is one of %lld parts of a split model (split.count); join them with llama-gguf-split --merge", c->path,
            (long long)parts);
    if (vt_gguf_text(c->gguf, "general.type", &kind) && !vt_text_is(kind, "model"))
        return vt_fail(err, VT_EUNSUPPORTED, "%s holds a GGUF of general.type \"%.*s\", no model", c->path,
                       (int)(kind.len < 32 ? kind.len : 32), kind.p);
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

/* llama.cpp's rule: the factor under its new or its old name, of linear scaling unless the type says otherwise. */
static vt_status read_scaling(vt_ckpt *c, const char *arch, vt_err *err)
{
    char key[96];
    struct vt_text type = {"linear", 6};
    double factor = 0;
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    (void)vt_gguf_text(c->gguf, key, &type);
    if (vt_text_is(type, "none"))
        return VT_OK;
    if (!vt_text_is(type, "linear"))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s uses rope scaling %.*s (%s); the CPU engine has linear and Llama-3 scaling", c->path,
                       (int)(type.len < 32 ? type.len : 32), type.p, key);
    if (!optional_num(c, arch, "rope.scaling.factor", &factor))
        (void)optional_num(c, arch, "rope.scale_linear", &factor);
    if (factor == 0)
        return VT_OK;
    if (!(factor > 0) || !isfinite(factor))
        return vt_fail(err, VT_EFORMAT, "%s: linear rope scaling by %g makes no sense", c->path, factor);
    vt_rope_linear(&c->cfg, factor);
    return VT_OK;
}

static vt_status read_config(vt_ckpt *c, vt_err *err)
{
    struct vt_lm_config *g = &c->cfg;
    const char *arch = "";
    double eps, theta = 10000.0;
    VT_TRY(read_arch(c, &arch, err));
    VT_TRY(check_keys(c, arch, err));
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
    int window = optional_int(c, arch, "attention.sliding_window", 0);
    if (window != 0 && window < g->n_ctx)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s sets %s.attention.sliding_window to %d of %d positions, which the CPU engine does not have",
                       c->path, arch, window, g->n_ctx);
    if (!optional_num(c, arch, "attention.layer_norm_rms_epsilon", &eps))
        return vt_fail(err, VT_EFORMAT,
                       "%s: GGUF key %s.attention.layer_norm_rms_epsilon is missing; the file is no complete model",
                       c->path, arch);
    (void)optional_num(c, arch, "rope.freq_base", &theta);
    g->rms_eps = (float)eps;
    g->rope_theta = (float)theta;
    g->tied = true; /* until output.weight is seen */
    g->qkv_bias = g->arch == VT_ARCH_QWEN2;
    g->qk_norm = g->arch == VT_ARCH_QWEN3;
    return read_scaling(c, arch, err);
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
    if (g->rope_factor != 0)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s scales rope twice, by a factor in its metadata and by rope_freqs.weight; the CPU engine has "
                       "one scaling",
                       c->path);
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
    struct vt_ckpt_file *f = vt_ckpt_add_file(c, path);
    if (!f)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", path);
    VT_TRY(vt_file_id_of(path, &f->id, err));
    VT_TRY(vt_gguf_open(path, &c->gguf, err));
    VT_TRY(vt_file_id_check(path, &f->id, err));
    VT_TRY(read_config(c, err));
    VT_TRY(vt_ckpt_reserve(c, c->gguf->n_tensors, err));
    for (size_t i = 0; i < c->gguf->n_tensors; i++)
        VT_TRY(add_tensor(c, &c->gguf->tensors[i], err));
    const char *slash = strrchr(path, '/');
    VT_TRY(copy_text(c, "general.name", slash ? slash + 1 : path, &c->name, err));
    VT_TRY(copy_text(c, "tokenizer.chat_template", "", &c->chat_template, err));
    int64_t n_vocab;
    char key[96];
    snprintf(key, sizeof key, "%s.vocab_size",
             c->cfg.arch == VT_ARCH_LLAMA   ? "llama"
             : c->cfg.arch == VT_ARCH_QWEN2 ? "qwen2"
                                            : "qwen3");
    if (vt_gguf_int(c->gguf, key, &n_vocab) && n_vocab != c->cfg.n_vocab)
        return vt_fail(err, VT_EFORMAT, "%s: %s is %lld, the embedding has %d rows", path, key, (long long)n_vocab,
                       c->cfg.n_vocab);
    return vt_tokenizer_from_gguf(c->gguf, path, &c->tokenizer, err);
}
