/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_hf.c: a Hugging Face folder as a checkpoint: config.json, model.safetensors or the shards that
 * model.safetensors.index.json names, tokenizer.json and the chat template where they are present.
 *
 * config.json comes in two spellings: rope_theta and rope_scaling at the top, or both inside rope_parameters (newer
 * transformers). Whatever would change the computation and is not implemented (biases, sliding windows, other
 * activations, other rope scalings) is refused by name rather than ignored.
 */
#include "model/ckpt_parts.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "model/tokenizer_build.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 16 << 20, MAX_SHARDS = 1024 };

/* Reads DIR/NAME; *out stays NULL when the file is absent and not required. */
static vt_status read_json(const char *dir, const char *name, bool required, vt_json **out, vt_err *err)
{
    char *path = vt_path_join(dir, name);
    *out = NULL;
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    vt_status status = VT_OK;
    struct vt_buf text;
    if (!vt_fs_exists(path)) {
        if (required)
            status = vt_fail(err, VT_ENOENT, "cannot open model folder %s: it has no %s", dir, name);
    } else if ((status = vt_fs_read(path, MAX_CONFIG_BYTES, &text, err)) == VT_OK) {
        status = vt_json_parse(text.p, text.len, path, out, err);
        vt_buf_free(&text);
    }
    free(path);
    return status;
}

static vt_status need(const vt_json *config, const char *key, const char *dir, int *out, vt_err *err)
{
    int64_t v;
    VT_TRY(vt_json_need_int(config, key, dir, &v, err));
    *out = v < 0 || v > INT_MAX ? -1 : (int)v;
    return VT_OK;
}

static int optional(const vt_json *config, const char *key, int fallback)
{
    const vt_json *j = vt_json_get(config, key);
    int64_t v = j && !vt_json_is_null(j) ? vt_json_int(j, -1) : fallback;
    return v < 0 || v > INT_MAX ? -1 : (int)v;
}

static vt_status read_arch(vt_ckpt *c, const vt_json *config, const char *dir, vt_err *err)
{
    static const struct {
        const char *type;
        enum vt_arch arch;
    } known[] = {{"llama", VT_ARCH_LLAMA}, {"qwen2", VT_ARCH_QWEN2}, {"qwen3", VT_ARCH_QWEN3}};
    const char *type = vt_json_str(vt_json_get(config, "model_type"), "");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(type, known[i].type) == 0) {
            c->cfg.arch = known[i].arch;
            return VT_OK;
        }
    return vt_fail(err, VT_EUNSUPPORTED, "%s has model_type \"%.40s\"; the CPU engine runs llama, qwen2 and qwen3", dir,
                   type);
}

static vt_status refuse_extras(const vt_json *config, enum vt_arch arch, const char *dir, vt_err *err)
{
    static const char *const flags[] = {"mlp_bias", "use_sliding_window"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (vt_json_bool(vt_json_get(config, flags[i]), false))
            return vt_fail(err, VT_EUNSUPPORTED, "%s sets %s, which the CPU engine does not have", dir, flags[i]);
    if (arch != VT_ARCH_QWEN2 && vt_json_bool(vt_json_get(config, "attention_bias"), false))
        return vt_fail(err, VT_EUNSUPPORTED, "%s sets attention_bias, which the CPU engine has for qwen2 only", dir);
    const char *act = vt_json_str(vt_json_get(config, "hidden_act"), "silu");
    if (strcmp(act, "silu") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s has hidden_act \"%.40s\"; the CPU engine has silu only", dir, act);
    const vt_json *layers = vt_json_get(config, "layer_types");
    for (const vt_json *l = layers ? vt_json_first(layers) : NULL; l; l = vt_json_next(l))
        if (strcmp(vt_json_str(l, ""), "full_attention") != 0)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s has a layer of type \"%.40s\"; the CPU engine has full_attention only", dir,
                           vt_json_str(l, ""));
    if (vt_json_num(vt_json_get(config, "partial_rotary_factor"), 1.0) != 1.0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s rotates only part of each head, which the CPU engine does not have",
                       dir);
    return VT_OK;
}

static vt_status read_rope(vt_ckpt *c, const vt_json *config, const char *dir, vt_err *err)
{
    struct vt_lm_config *g = &c->cfg;
    const vt_json *nested = vt_json_get(config, "rope_parameters"),
                  *scaling = nested ? nested : vt_json_get(config, "rope_scaling");
    double theta = vt_json_num(vt_json_get(config, "rope_theta"), 10000.0);
    if (nested)
        theta = vt_json_num(vt_json_get(nested, "rope_theta"), theta);
    g->rope_theta = (float)theta;
    if (!scaling || vt_json_is_null(scaling))
        return VT_OK;
    const char *type =
        vt_json_str(vt_json_get(scaling, "rope_type"), vt_json_str(vt_json_get(scaling, "type"), "default"));
    if (strcmp(type, "default") == 0)
        return VT_OK;
    if (strcmp(type, "llama3") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s uses rope scaling \"%.40s\"; the CPU engine has llama3 scaling only",
                       dir, type);
    double factor, low, high;
    int64_t context;
    VT_TRY(vt_json_need_num(scaling, "factor", dir, &factor, err));
    VT_TRY(vt_json_need_num(scaling, "low_freq_factor", dir, &low, err));
    VT_TRY(vt_json_need_num(scaling, "high_freq_factor", dir, &high, err));
    VT_TRY(vt_json_need_int(scaling, "original_max_position_embeddings", dir, &context, err));
    g->rope_factor = (float)factor;
    g->rope_low = (float)low;
    g->rope_high = (float)high;
    g->rope_orig_ctx = context < 0 || context > INT_MAX ? -1 : (int)context;
    return VT_OK;
}

static vt_status read_config(vt_ckpt *c, const vt_json *config, const char *dir, vt_err *err)
{
    struct vt_lm_config *g = &c->cfg;
    double eps;
    VT_TRY(read_arch(c, config, dir, err));
    VT_TRY(refuse_extras(config, g->arch, dir, err));
    VT_TRY(need(config, "num_hidden_layers", dir, &g->n_layers, err));
    VT_TRY(need(config, "hidden_size", dir, &g->d_model, err));
    VT_TRY(need(config, "intermediate_size", dir, &g->d_ff, err));
    VT_TRY(need(config, "num_attention_heads", dir, &g->n_heads, err));
    VT_TRY(need(config, "vocab_size", dir, &g->n_vocab, err));
    VT_TRY(need(config, "max_position_embeddings", dir, &g->n_ctx, err));
    VT_TRY(vt_json_need_num(config, "rms_norm_eps", dir, &eps, err));
    g->rms_eps = (float)eps;
    g->n_kv_heads = optional(config, "num_key_value_heads", g->n_heads);
    g->head_dim = optional(config, "head_dim", g->n_heads > 0 ? g->d_model / g->n_heads : -1);
    g->tied = vt_json_bool(vt_json_get(config, "tie_word_embeddings"), false);
    g->qkv_bias = g->arch == VT_ARCH_QWEN2;
    g->qk_norm = g->arch == VT_ARCH_QWEN3;
    return read_rope(c, config, dir, err);
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static vt_status add_shard(vt_ckpt *c, const char *dir, const char *name, vt_err *err)
{
    vt_st **shards = vt_realloc_array(c->shards, c->n_shards + 1, sizeof *shards);
    if (shards)
        c->shards = shards;
    char **files = vt_realloc_array(c->files, c->n_files + 1, sizeof *files);
    if (files)
        c->files = files;
    char *path = vt_path_join(dir, name);
    if (!shards || !files || !path) {
        free(path);
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    }
    c->files[c->n_files++] = path;
    VT_TRY(vt_st_open(path, &c->shards[c->n_shards], err));
    vt_st *s = c->shards[c->n_shards++];
    VT_TRY(vt_ckpt_reserve(c, vt_st_n(s), err));
    for (size_t i = 0; i < vt_st_n(s); i++) {
        const struct vt_tensor *t = vt_st_at(s, i);
        int layer;
        const struct vt_weight_spec *spec = vt_weight_spec_of(t->name, strlen(t->name), false, &layer);
        if (has_suffix(t->name, ".rotary_emb.inv_freq") || (spec && spec->when == VT_WEIGHT_UNTIED && c->cfg.tied))
            continue; /* copies of what the config or the embedding says already */
        if (!spec)
            return vt_fail(
                err, VT_EUNSUPPORTED,
                "%s: tensor %.200s has no place in a model of this architecture; vegttt would compute something else",
                path, t->name);
        VT_TRY(vt_ckpt_add(c, spec, layer, t, err));
    }
    return VT_OK;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A shard name is a plain file name, so that an index cannot reach outside its folder. */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

static vt_status open_shards(vt_ckpt *c, const char *dir, const vt_json *index, vt_err *err)
{
    const vt_json *map = vt_json_get(index, "weight_map");
    size_t n = map ? vt_json_count(map) : 0, n_names = 0;
    const char **names = vt_alloc_array(n, sizeof *names);
    if (!names)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    for (const vt_json *e = map ? vt_json_first(map) : NULL; e; e = vt_json_next(e))
        names[n_names++] = vt_json_str(e, "");
    if (n_names > 1)
        qsort(names, n_names, sizeof *names, by_string);
    vt_status status =
        n_names ? VT_OK : vt_fail(err, VT_EFORMAT, "%s/model.safetensors.index.json names no shards", dir);
    for (size_t i = 0; i < n_names && status == VT_OK; i++) {
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
            continue;
        if (!is_plain_name(names[i]) || c->n_shards == MAX_SHARDS)
            status = vt_fail(
                err, VT_EFORMAT,
                "%s/model.safetensors.index.json names a shard \"%.80s\" outside its folder, or more than %d shards",
                dir, names[i], MAX_SHARDS);
        else
            status = add_shard(c, dir, names[i], err);
    }
    free(names);
    return status;
}

static vt_status open_weights(vt_ckpt *c, const char *dir, vt_err *err)
{
    vt_json *index;
    VT_TRY(read_json(dir, "model.safetensors.index.json", false, &index, err));
    if (!index)
        return add_shard(c, dir, "model.safetensors", err);
    vt_status status = open_shards(c, dir, index, err);
    vt_json_free(index);
    return status;
}

static vt_status copy_text(const char *text, char **out, const char *dir, vt_err *err)
{
    *out = vt_strdup(text);
    return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
}

/* chat_template is a string, or a list of {name, template} of which "default" counts. */
static vt_status read_template(vt_ckpt *c, const char *dir, const vt_json *tokenizer_config, vt_err *err)
{
    char *path = vt_path_join(dir, "chat_template.jinja");
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    struct vt_buf text;
    vt_status status = VT_OK;
    if (vt_fs_exists(path)) {
        status = vt_fs_read(path, MAX_CONFIG_BYTES, &text, err);
        if (status == VT_OK) {
            status = copy_text(text.p, &c->chat_template, dir, err);
            vt_buf_free(&text);
        }
        free(path);
        return status;
    }
    free(path);
    const vt_json *t = tokenizer_config ? vt_json_get(tokenizer_config, "chat_template") : NULL;
    const char *chosen = t ? vt_json_str(t, "") : "";
    for (const vt_json *e = t && vt_json_is_array(t) ? vt_json_first(t) : NULL; e; e = vt_json_next(e))
        if (strcmp(vt_json_str(vt_json_get(e, "name"), ""), "default") == 0)
            chosen = vt_json_str(vt_json_get(e, "template"), "");
    return copy_text(chosen, &c->chat_template, dir, err);
}

/* The id that ends a turn: eos_token of tokenizer_config.json, else eos_token_id of config.json. */
static void set_ends(vt_ckpt *c, const vt_json *config, const vt_json *tokenizer_config)
{
    int32_t eos = -1;
    const vt_json *token = tokenizer_config ? vt_json_get(tokenizer_config, "eos_token") : NULL;
    const char *text =
        token && vt_json_is_object(token) ? vt_json_str(vt_json_get(token, "content"), NULL) : vt_json_str(token, NULL);
    if (text)
        eos = vt_tokenizer_find(c->tokenizer, text, strlen(text));
    const vt_json *id = vt_json_get(config, "eos_token_id");
    if (id && vt_json_is_array(id))
        id = vt_json_first(id);
    if (eos < 0 && id) {
        int64_t v = vt_json_int(id, -1);
        eos = v >= 0 && v < INT32_MAX ? (int32_t)v : -1;
    }
    vt_tokenizer_set_ends(c->tokenizer, eos, vt_tokenizer_bos(c->tokenizer));
}

static vt_status open_tokenizer(vt_ckpt *c, const char *dir, const vt_json *config, vt_err *err)
{
    vt_json *tokenizer_config;
    VT_TRY(read_json(dir, "tokenizer_config.json", false, &tokenizer_config, err));
    char *path = vt_path_join(dir, "tokenizer.json");
    vt_status status = path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    if (status == VT_OK)
        status = read_template(c, dir, tokenizer_config, err);
    if (status == VT_OK && vt_fs_exists(path)) {
        status = vt_tokenizer_from_json(path, &c->tokenizer, err);
        if (status == VT_OK)
            set_ends(c, config, tokenizer_config);
    }
    free(path);
    vt_json_free(tokenizer_config);
    return status;
}

static const char *base_name(const char *dir, size_t *len)
{
    size_t end = strlen(dir);
    while (end > 1 && dir[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && dir[start - 1] != '/')
        start--;
    *len = end - start;
    return dir + start;
}

vt_status vt_ckpt_open_hf(vt_ckpt *c, const char *dir, vt_err *err)
{
    vt_json *config;
    VT_TRY(read_json(dir, "config.json", true, &config, err));
    vt_status status = read_config(c, config, dir, err);
    if (status == VT_OK)
        status = open_weights(c, dir, err);
    if (status == VT_OK)
        status = open_tokenizer(c, dir, config, err);
    vt_json_free(config);
    VT_TRY(status);
    size_t len;
    const char *name = base_name(dir, &len);
    c->name = vt_strndup(name, len);
    return c->name ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
}
