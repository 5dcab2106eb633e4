/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_config.c: config.json and generation_config.json of a Hugging Face folder as a vt_lm_config and the ids that end
 * a sample, read as transformers 5 reads them: the same defaults per family, the same precedence.
 *
 * Rope comes in three spellings: rope_theta at the top, rope_scaling beside it, or both inside rope_parameters. When
 * rope_scaling is there it replaces rope_parameters as a whole, rope_theta of the latter included; a rope_theta inside
 * the object that is used goes before the one at the top. Linear scaling by f divides every frequency by f. That is
 * Llama 3's scaling with thresholds below the shortest wavelength (2 pi positions), so the engine needs no second form.
 *
 * Whatever would change the computation and is not implemented (biases, sliding windows, other activations, other rope
 * scalings, quantisation, code of its own) is refused by name; see keys.h for how.
 */
#include "model/ckpt_parts.h"
#include "model/keys.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MATTERS "what the model computes"

static const struct vt_key config_keys[] = {
    {"model_type", VT_KEY_READ, VT_STR, NULL},
    {"architectures", VT_KEY_READ, VT_NULL | VT_LIST, NULL},
    {"num_hidden_layers", VT_KEY_READ, VT_INT, NULL},
    {"hidden_size", VT_KEY_READ, VT_INT, NULL},
    {"intermediate_size", VT_KEY_READ, VT_INT, NULL},
    {"num_attention_heads", VT_KEY_READ, VT_INT, NULL},
    {"num_key_value_heads", VT_KEY_READ, VT_NULL | VT_INT, NULL},
    {"head_dim", VT_KEY_READ, VT_NULL | VT_INT, NULL},
    {"vocab_size", VT_KEY_READ, VT_INT, NULL},
    {"max_position_embeddings", VT_KEY_READ, VT_INT, NULL},
    {"rms_norm_eps", VT_KEY_READ, VT_NUM, NULL},
    {"hidden_act", VT_KEY_READ, VT_STR, NULL},
    {"tie_word_embeddings", VT_KEY_READ, VT_BOOL, NULL},
    {"attention_bias", VT_KEY_READ, VT_NULL | VT_BOOL, NULL},
    {"mlp_bias", VT_KEY_OFF, 0, NULL},
    {"rope_theta", VT_KEY_READ, VT_NULL | VT_NUM, NULL},
    {"rope_scaling", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"rope_parameters", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"original_max_position_embeddings", VT_KEY_READ, VT_NULL | VT_INT, NULL},
    {"partial_rotary_factor", VT_KEY_OFF, 0, "1"},
    {"use_sliding_window", VT_KEY_READ, VT_NULL | VT_BOOL, NULL},
    {"sliding_window", VT_KEY_READ, VT_NULL | VT_INT, NULL},
    {"max_window_layers", VT_KEY_READ, VT_NULL | VT_INT, NULL},
    {"layer_types", VT_KEY_READ, VT_NULL | VT_LIST, NULL},
    {"eos_token_id", VT_KEY_READ, VT_NULL | VT_INT | VT_LIST, NULL},
    {"transformers_weights", VT_KEY_READ, VT_NULL | VT_STR, NULL},
    /* Options of related models. */
    {"quantization_config", VT_KEY_OFF, 0, NULL},
    {"auto_map", VT_KEY_OFF, 0, NULL},
    {"per_layer_config", VT_KEY_OFF, 0, NULL},
    {"embedding_multiplier", VT_KEY_OFF, 0, "1"},
    {"residual_multiplier", VT_KEY_OFF, 0, "1"},
    {"logits_scaling", VT_KEY_OFF, 0, "1"},
    {"logit_scale", VT_KEY_OFF, 0, "1"},
    {"rope_interleaved", VT_KEY_OFF, 0, NULL},
    {"use_mrope", VT_KEY_OFF, 0, NULL},
    {"is_encoder_decoder", VT_KEY_OFF, 0, NULL},
    {"add_cross_attention", VT_KEY_OFF, 0, NULL},
    {"is_causal", VT_KEY_OFF, 0, "true"},
    /* What training, generation and bookkeeping note down. Dropout is off outside training; token ids of beginning and
     * padding are not put in front of anything here; weights are used as they are stored, whatever dtype says. */
    {"_*", VT_KEY_HARMLESS, 0, NULL},
    {"transformers_version", VT_KEY_HARMLESS, 0, NULL},
    {"transformers.js_config", VT_KEY_HARMLESS, 0, NULL},
    {"dtype", VT_KEY_HARMLESS, 0, NULL},
    {"torch_dtype", VT_KEY_HARMLESS, 0, NULL},
    {"use_cache", VT_KEY_HARMLESS, 0, NULL},
    {"attention_dropout", VT_KEY_HARMLESS, 0, NULL},
    {"attn_pdrop", VT_KEY_HARMLESS, 0, NULL},
    {"hidden_dropout", VT_KEY_HARMLESS, 0, NULL},
    {"resid_pdrop", VT_KEY_HARMLESS, 0, NULL},
    {"embd_pdrop", VT_KEY_HARMLESS, 0, NULL},
    {"initializer_range", VT_KEY_HARMLESS, 0, NULL},
    {"pretraining_tp", VT_KEY_HARMLESS, 0, NULL},
    {"bos_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"pad_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"unk_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"sep_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"decoder_start_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"is_decoder", VT_KEY_HARMLESS, 0, NULL},
    {"is_llama_config", VT_KEY_HARMLESS, 0, NULL},
    {"chunk_size_feed_forward", VT_KEY_HARMLESS, 0, NULL},
    {"name_or_path", VT_KEY_HARMLESS, 0, NULL},
    {"model_max_length", VT_KEY_HARMLESS, 0, NULL},
    {"max_sequence_length", VT_KEY_HARMLESS, 0, NULL},
    {"tokenizer_class", VT_KEY_HARMLESS, 0, NULL},
    {"finetuning_task", VT_KEY_HARMLESS, 0, NULL},
    {"task_specific_params", VT_KEY_HARMLESS, 0, NULL},
    {"problem_type", VT_KEY_HARMLESS, 0, NULL},
    {"id2label", VT_KEY_HARMLESS, 0, NULL},
    {"label2id", VT_KEY_HARMLESS, 0, NULL},
    {"num_labels", VT_KEY_HARMLESS, 0, NULL},
    {"prefix", VT_KEY_HARMLESS, 0, NULL},
    {"torchscript", VT_KEY_HARMLESS, 0, NULL},
    {"use_bfloat16", VT_KEY_HARMLESS, 0, NULL},
    {"tf_legacy_loss", VT_KEY_HARMLESS, 0, NULL},
    {"return_dict*", VT_KEY_HARMLESS, 0, NULL},
    {"output_*", VT_KEY_HARMLESS, 0, NULL},
    {"pruned_heads", VT_KEY_OFF, 0, NULL},
    {"tie_encoder_decoder", VT_KEY_OFF, 0, NULL},
    {"cross_attention_hidden_size", VT_KEY_OFF, 0, NULL},
    {"attn_implementation", VT_KEY_HARMLESS, 0, NULL},
    {"gradient_checkpointing", VT_KEY_HARMLESS, 0, NULL},
    {"unsloth_*", VT_KEY_HARMLESS, 0, NULL},
    {"max_length", VT_KEY_HARMLESS, 0, NULL},
    {"min_length", VT_KEY_HARMLESS, 0, NULL},
    {"do_sample", VT_KEY_HARMLESS, 0, NULL},
    {"early_stopping", VT_KEY_HARMLESS, 0, NULL},
    {"num_beam*", VT_KEY_HARMLESS, 0, NULL},
    {"diversity_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"temperature", VT_KEY_HARMLESS, 0, NULL},
    {"top_k", VT_KEY_HARMLESS, 0, NULL},
    {"top_p", VT_KEY_HARMLESS, 0, NULL},
    {"typical_p", VT_KEY_HARMLESS, 0, NULL},
    {"repetition_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"length_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"no_repeat_ngram_size", VT_KEY_HARMLESS, 0, NULL},
    {"encoder_no_repeat_ngram_size", VT_KEY_HARMLESS, 0, NULL},
    {"bad_words_ids", VT_KEY_HARMLESS, 0, NULL},
    {"num_return_sequences", VT_KEY_HARMLESS, 0, NULL},
    {"forced_bos_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"forced_eos_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"remove_invalid_values", VT_KEY_HARMLESS, 0, NULL},
    {"exponential_decay_length_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"suppress_tokens", VT_KEY_HARMLESS, 0, NULL},
    {"begin_suppress_tokens", VT_KEY_HARMLESS, 0, NULL},
};

/* generation_config.json says where a sample ends; the rest are defaults of transformers' own sampler, which a run of
 * vegttt states for itself. stop_strings would end a sample too. */
static const struct vt_key generation_keys[] = {
    {"eos_token_id", VT_KEY_READ, VT_NULL | VT_INT | VT_LIST, NULL},
    {"stop_strings", VT_KEY_OFF, 0, NULL},
    {"_*", VT_KEY_HARMLESS, 0, NULL},
    {"assistant_*", VT_KEY_HARMLESS, 0, NULL},
    {"bad_words_ids", VT_KEY_HARMLESS, 0, NULL},
    {"begin_suppress_tokens", VT_KEY_HARMLESS, 0, NULL},
    {"bos_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"pad_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"cache_*", VT_KEY_HARMLESS, 0, NULL},
    {"chat_format", VT_KEY_HARMLESS, 0, NULL},
    {"compile_config", VT_KEY_HARMLESS, 0, NULL},
    {"constraints", VT_KEY_HARMLESS, 0, NULL},
    {"continuous_batching_config", VT_KEY_HARMLESS, 0, NULL},
    {"decoder_start_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"disable_compile", VT_KEY_HARMLESS, 0, NULL},
    {"diversity_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"do_sample", VT_KEY_HARMLESS, 0, NULL},
    {"dola_layers", VT_KEY_HARMLESS, 0, NULL},
    {"early_stopping", VT_KEY_HARMLESS, 0, NULL},
    {"encoder_*", VT_KEY_HARMLESS, 0, NULL},
    {"epsilon_cutoff", VT_KEY_HARMLESS, 0, NULL},
    {"eta_cutoff", VT_KEY_HARMLESS, 0, NULL},
    {"exponential_decay_length_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"force*", VT_KEY_HARMLESS, 0, NULL},
    {"guidance_scale", VT_KEY_HARMLESS, 0, NULL},
    {"is_assistant", VT_KEY_HARMLESS, 0, NULL},
    {"length_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"low_memory", VT_KEY_HARMLESS, 0, NULL},
    {"max_*", VT_KEY_HARMLESS, 0, NULL},
    {"min_*", VT_KEY_HARMLESS, 0, NULL},
    {"no_repeat_ngram_size", VT_KEY_HARMLESS, 0, NULL},
    {"num_*", VT_KEY_HARMLESS, 0, NULL},
    {"output_*", VT_KEY_HARMLESS, 0, NULL},
    {"penalty_alpha", VT_KEY_HARMLESS, 0, NULL},
    {"prefill_chunk_size", VT_KEY_HARMLESS, 0, NULL},
    {"prompt_lookup_num_tokens", VT_KEY_HARMLESS, 0, NULL},
    {"remove_invalid_values", VT_KEY_HARMLESS, 0, NULL},
    {"renormalize_logits", VT_KEY_HARMLESS, 0, NULL},
    {"repetition_penalty", VT_KEY_HARMLESS, 0, NULL},
    {"return_dict_in_generate", VT_KEY_HARMLESS, 0, NULL},
    {"sequence_bias", VT_KEY_HARMLESS, 0, NULL},
    {"speculation_type", VT_KEY_HARMLESS, 0, NULL},
    {"suppress_tokens", VT_KEY_HARMLESS, 0, NULL},
    {"target_lookbehind", VT_KEY_HARMLESS, 0, NULL},
    {"temperature", VT_KEY_HARMLESS, 0, NULL},
    {"token_healing", VT_KEY_HARMLESS, 0, NULL},
    {"top_*", VT_KEY_HARMLESS, 0, NULL},
    {"transformers_version", VT_KEY_HARMLESS, 0, NULL},
    {"trust_remote_code", VT_KEY_HARMLESS, 0, NULL},
    {"typical_p", VT_KEY_HARMLESS, 0, NULL},
    {"use_cache", VT_KEY_HARMLESS, 0, NULL},
    {"use_mtp", VT_KEY_HARMLESS, 0, NULL},
    {"watermarking_config", VT_KEY_HARMLESS, 0, NULL},
};

static const struct vt_key rope_keys[] = {
    {"rope_type", VT_KEY_READ, VT_NULL | VT_STR, NULL},
    {"type", VT_KEY_READ, VT_NULL | VT_STR, NULL},
    {"rope_theta", VT_KEY_READ, VT_NULL | VT_NUM, NULL},
    {"factor", VT_KEY_READ, VT_NULL | VT_NUM, NULL},
    {"low_freq_factor", VT_KEY_READ, VT_NUM, NULL},
    {"high_freq_factor", VT_KEY_READ, VT_NUM, NULL},
    {"partial_rotary_factor", VT_KEY_OFF, 0, "1"},
    {"original_max_position_embeddings", VT_KEY_READ, VT_INT, NULL},
};
#define N_OF(table) (sizeof(table) / sizeof(table)[0])

/* What transformers assumes where config.json is silent. */
static const struct family {
    const char *type, *model;
    enum vt_arch arch;
    int n_vocab, d_ff, n_ctx, n_kv_heads, head_dim; /* 0: n_heads; hidden_size / n_heads */
} families[] = {
    {"llama", "Llama", VT_ARCH_LLAMA, 32000, 11008, 2048, 0, 0},
    {"qwen2", "Qwen2", VT_ARCH_QWEN2, 151936, 22016, 32768, 32, 0},
    {"qwen3", "Qwen3", VT_ARCH_QWEN3, 151936, 22016, 32768, 32, 128},
};
enum { D_MODEL = 4096, N_LAYERS = 32, N_HEADS = 32, WINDOW = 4096, FULL_LAYERS = 28 };

/* An absent key has its default; null stands for none_value. */
static int integer(const vt_json *config, const char *key, int absent, int none_value)
{
    const vt_json *j = vt_json_get(config, key);
    if (!j)
        return absent;
    if (vt_json_is_null(j))
        return none_value;
    double v = vt_json_num(j, -1);
    return v < 0 || v > INT_MAX ? -1 : (int)v;
}

static double number(const vt_json *object, const char *key, double fallback)
{
    return vt_json_num(vt_json_get(object, key), fallback);
}

static vt_status read_family(const vt_json *config, const char *what, const struct family **out, vt_err *err)
{
    const char *type = vt_json_str(vt_json_get(config, "model_type"), "");
    const vt_json *list = vt_json_get(config, "architectures");
    for (size_t i = 0; i < N_OF(families); i++)
        if (strcmp(type, families[i].type) == 0)
            *out = &families[i];
    if (!*out)
        return vt_fail(err, VT_EUNSUPPORTED, "%s has model_type \"%.40s\"; the CPU engine runs llama, qwen2 and qwen3",
                       what, type);
    for (const vt_json *e = vt_json_first(list); e; e = vt_json_next(e)) {
        char causal[32], base[32];
        const char *name = vt_json_str(e, "?");
        snprintf(causal, sizeof causal, "%sForCausalLM", (*out)->model);
        snprintf(base, sizeof base, "%sModel", (*out)->model);
        if (strcmp(name, causal) != 0 && strcmp(name, base) != 0)
            return vt_fail(err, VT_EUNSUPPORTED, "%s: architectures names %.60s; vegttt computes %s", what, name,
                           causal);
    }
    return VT_OK;
}

/* Layers see a window only where transformers makes them: with use_sliding_window from layer max_window_layers on. A
 * window as long as the context changes nothing. */
static vt_status refuse_windows(const vt_json *config, const struct vt_lm_config *g, const char *what, vt_err *err)
{
    bool is_llama = g->arch == VT_ARCH_LLAMA, used = vt_json_bool(vt_json_get(config, "use_sliding_window"), is_llama);
    int window = integer(config, "sliding_window", is_llama ? INT_MAX : WINDOW, INT_MAX);
    int full = is_llama ? 0 : integer(config, "max_window_layers", FULL_LAYERS, FULL_LAYERS);
    const vt_json *layers = vt_json_get(config, "layer_types");
    for (const vt_json *l = vt_json_first(layers); l; l = vt_json_next(l))
        if (strcmp(vt_json_str(l, ""), "full_attention") != 0)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s: layer_types names \"%.40s\"; the CPU engine has full_attention only", what,
                           vt_json_str(l, ""));
    if (layers && !vt_json_is_null(layers)) {
        if (vt_json_count(layers) != (size_t)g->n_layers)
            return vt_fail(err, VT_EFORMAT, "%s: layer_types has %zu entries for %d layers", what,
                           vt_json_count(layers), g->n_layers);
        return VT_OK;
    }
    if (used && window < g->n_ctx && full < g->n_layers)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s sets %ssliding_window to %d of %d positions, which the CPU engine does not have", what,
                       is_llama ? "" : "use_sliding_window and ", window, g->n_ctx);
    return VT_OK;
}

static vt_status refuse_options(const vt_json *config, const struct vt_lm_config *g, const char *what, vt_err *err)
{
    const char *act = vt_json_str(vt_json_get(config, "hidden_act"), "silu");
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s has hidden_act \"%.40s\"; the CPU engine has silu only", what, act);
    /* Qwen2 has biases on q, k and v whatever the key says. */
    if (g->arch != VT_ARCH_QWEN2 && vt_json_bool(vt_json_get(config, "attention_bias"), false))
        return vt_fail(err, VT_EUNSUPPORTED, "%s sets attention_bias, which the CPU engine has for qwen2 only", what);
    return refuse_windows(config, g, what, err);
}

void vt_rope_linear(struct vt_lm_config *g, double factor)
{
    if (factor == 1)
        return;
    g->rope_factor = (float)factor;
    g->rope_low = 1;
    g->rope_high = 2;
    g->rope_orig_ctx = 1;
}

static vt_status read_llama3(struct vt_lm_config *g, const vt_json *config, const vt_json *rope, const char *what,
                             vt_err *err)
{
    double factor, low, high;
    VT_TRY(vt_json_need_num(rope, "factor", what, &factor, err));
    VT_TRY(vt_json_need_num(rope, "low_freq_factor", what, &low, err));
    VT_TRY(vt_json_need_num(rope, "high_freq_factor", what, &high, err));
    g->rope_factor = (float)factor;
    g->rope_low = (float)low;
    g->rope_high = (float)high;
    int nested = integer(rope, "original_max_position_embeddings", -1, -1),
        outside = integer(config, "original_max_position_embeddings", -1, -1);
    if (outside >= 0 && outside != nested)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: original_max_position_embeddings stands outside the rope parameters, where readers differ "
                       "on whether it counts; put it into rope_scaling",
                       what);
    g->rope_orig_ctx = nested >= 0 ? nested : g->n_ctx;
    return VT_OK;
}

static vt_status read_rope(struct vt_lm_config *g, const vt_json *config, const char *what, vt_err *err)
{
    const vt_json *rope = vt_json_get(config, "rope_scaling");
    char where[512];
    if (!rope || vt_json_is_null(rope) || vt_json_count(rope) == 0)
        rope = vt_json_get(config, "rope_parameters");
    g->rope_theta = (float)number(rope, "rope_theta", number(config, "rope_theta", 10000.0));
    if (!rope || vt_json_is_null(rope))
        return VT_OK;
    const char *type = vt_json_str(vt_json_get(rope, "rope_type"), vt_json_str(vt_json_get(rope, "type"), "default"));
    bool linear = strcmp(type, "linear") == 0;
    if (strcmp(type, "default") != 0 && strcmp(type, "llama3") != 0 && !linear)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s uses rope scaling \"%.40s\"; the CPU engine has default, linear and llama3", what, type);
    snprintf(where, sizeof where, "%s (rope)", what);
    VT_TRY(vt_keys_check(rope, rope_keys, N_OF(rope_keys), where, MATTERS, err));
    if (strcmp(type, "llama3") == 0)
        return read_llama3(g, config, rope, where, err);
    if (linear) {
        double factor;
        VT_TRY(vt_json_need_num(rope, "factor", where, &factor, err));
        if (!(factor > 0) || !isfinite(factor))
            return vt_fail(err, VT_EFORMAT, "%s: linear scaling by %g makes no sense", where, factor);
        vt_rope_linear(g, factor);
    }
    return VT_OK;
}

vt_status vt_config_read(struct vt_lm_config *g, const vt_json *config, const char *what, vt_err *err)
{
    const struct family *f = NULL;
    VT_TRY(read_family(config, what, &f, err));
    VT_TRY(vt_keys_check(config, config_keys, N_OF(config_keys), what, MATTERS, err));
    g->arch = f->arch;
    g->n_layers = integer(config, "num_hidden_layers", N_LAYERS, N_LAYERS);
    g->d_model = integer(config, "hidden_size", D_MODEL, D_MODEL);
    g->d_ff = integer(config, "intermediate_size", f->d_ff, f->d_ff);
    g->n_heads = integer(config, "num_attention_heads", N_HEADS, N_HEADS);
    g->n_vocab = integer(config, "vocab_size", f->n_vocab, f->n_vocab);
    g->n_ctx = integer(config, "max_position_embeddings", f->n_ctx, f->n_ctx);
    g->n_kv_heads = integer(config, "num_key_value_heads", f->n_kv_heads ? f->n_kv_heads : g->n_heads, g->n_heads);
    int per_head = g->n_heads > 0 ? g->d_model / g->n_heads : -1;
    g->head_dim = integer(config, "head_dim", f->head_dim ? f->head_dim : per_head, per_head);
    g->rms_eps = (float)number(config, "rms_norm_eps", 1e-6);
    g->tied = vt_json_bool(vt_json_get(config, "tie_word_embeddings"), false);
    g->qkv_bias = g->arch == VT_ARCH_QWEN2;
    g->qk_norm = g->arch == VT_ARCH_QWEN3;
    VT_TRY(refuse_options(config, g, what, err));
    return read_rope(g, config, what, err);
}

/* Adds the ids of an eos_token_id, one integer or a list of them; one outside the vocabulary is never sampled. */
static vt_status add_ends(const vt_json *eos, int n_vocab, const char *what, struct vt_ids *ends, vt_err *err)
{
    const vt_json *e = vt_json_is_array(eos) ? vt_json_first(eos) : eos;
    for (; e; e = vt_json_is_array(eos) ? vt_json_next(e) : NULL) {
        double id = vt_json_num(e, -1);
        if (!vt_json_is_number(e) || id != floor(id))
            return vt_fail(err, VT_EFORMAT, "%s: key eos_token_id lists something that is no integer", what);
        if (id >= 0 && id < n_vocab)
            VT_TRY(vt_ids_push(ends, (int32_t)id, err));
    }
    return VT_OK;
}

vt_status vt_config_ends(const vt_json *config, const vt_json *generation, const char *config_what,
                         const char *generation_what, int n_vocab, struct vt_ids *ends, vt_err *err)
{
    const vt_json *eos = vt_json_get(generation, "eos_token_id");
    if (generation)
        VT_TRY(vt_keys_check(generation, generation_keys, N_OF(generation_keys), generation_what, "where a sample ends",
                             err));
    if (eos && !vt_json_is_null(eos))
        return add_ends(eos, n_vocab, generation_what, ends, err);
    eos = vt_json_get(config, "eos_token_id");
    return eos && !vt_json_is_null(eos) ? add_ends(eos, n_vocab, config_what, ends, err) : VT_OK;
}
