/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter_config.c: what adapter_config.json says and what PEFT does with it when it loads an adapter.
 *
 * Defaults: r 8, lora_alpha 8. With use_rslora the scale is alpha / sqrt(r); that is alpha sqrt(r) over r, so the
 * adapter gets that alpha. fan_in_fan_out is switched off by PEFT for linear layers, so it is harmless here; dropout is
 * off outside training. init_lora_weights is not only about training: with pissa, olora, loftq, corda and others PEFT
 * changes the base weights again each time it loads the adapter, and the saved A and B make sense on that base only.
 *
 * target_modules decides which of the saved tensors PEFT uses: it ignores the rest. A list holds names or ends of
 * names, a string is a regular expression for the whole name, "all-linear" leaves out the head, and none at all means
 * q_proj and v_proj.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/adapter_config.h"

#include "model/keys.h"

#include <limits.h>
#include <math.h>
#include <pcre2.h>
#include <string.h>

static const struct vt_key keys[] = {
    {"peft_type", VT_KEY_READ, VT_STR, NULL},
    {"task_type", VT_KEY_READ, VT_NULL | VT_STR, NULL},
    {"r", VT_KEY_READ, VT_INT, NULL},
    {"lora_alpha", VT_KEY_READ, VT_NUM, NULL},
    {"use_rslora", VT_KEY_READ, VT_NULL | VT_BOOL, NULL},
    {"target_modules", VT_KEY_READ, VT_NULL | VT_STR | VT_LIST, NULL},
    {"exclude_modules", VT_KEY_READ, VT_NULL | VT_STR | VT_LIST, NULL},
    {"init_lora_weights", VT_KEY_READ, VT_NULL | VT_BOOL | VT_STR, NULL},
    {"vegttt_base_digest", VT_KEY_READ, VT_NULL | VT_STR, NULL},
    {"bias", VT_KEY_OFF, 0, "none"},
    {"rank_pattern", VT_KEY_OFF, 0, NULL},
    {"alpha_pattern", VT_KEY_OFF, 0, NULL},
    {"modules_to_save", VT_KEY_OFF, 0, NULL},
    {"layers_to_transform", VT_KEY_READ, VT_NULL | VT_INT | VT_LIST, NULL},
    {"layers_pattern", VT_KEY_OFF, 0, NULL},
    {"layer_replication", VT_KEY_OFF, 0, NULL},
    {"target_parameters", VT_KEY_OFF, 0, NULL},
    {"trainable_token_indices", VT_KEY_OFF, 0, NULL},
    {"lora_bias", VT_KEY_OFF, 0, NULL},
    {"use_dora", VT_KEY_OFF, 0, NULL},
    {"use_qalora", VT_KEY_OFF, 0, NULL},
    {"use_bdlora", VT_KEY_OFF, 0, NULL},
    {"alora_invocation_tokens", VT_KEY_OFF, 0, NULL},
    {"ensure_weight_tying", VT_KEY_OFF, 0, NULL},
    {"megatron_config", VT_KEY_OFF, 0, NULL},
    {"arrow_config", VT_KEY_OFF, 0, NULL},
    {"kasa_config", VT_KEY_OFF, 0, NULL},
    {"monteclora_config", VT_KEY_OFF, 0, NULL},
    {"velora_config", VT_KEY_OFF, 0, NULL},
    /* Used by the initialisations that are refused, or by training. */
    {"loftq_config", VT_KEY_HARMLESS, 0, NULL},
    {"corda_config", VT_KEY_HARMLESS, 0, NULL},
    {"eva_config", VT_KEY_HARMLESS, 0, NULL},
    {"lora_ga_config", VT_KEY_HARMLESS, 0, NULL},
    {"qalora_group_size", VT_KEY_HARMLESS, 0, NULL},
    {"lora_dropout", VT_KEY_HARMLESS, 0, NULL},
    {"fan_in_fan_out", VT_KEY_HARMLESS, 0, NULL},
    {"inference_mode", VT_KEY_HARMLESS, 0, NULL},
    {"base_model_name_or_path", VT_KEY_HARMLESS, 0, NULL},
    {"base_model_class", VT_KEY_HARMLESS, 0, NULL},
    {"parent_library", VT_KEY_HARMLESS, 0, NULL},
    {"auto_mapping", VT_KEY_HARMLESS, 0, NULL},
    {"revision", VT_KEY_HARMLESS, 0, NULL},
    {"megatron_core", VT_KEY_HARMLESS, 0, NULL},
    {"peft_version", VT_KEY_HARMLESS, 0, NULL},
    {"runtime_config", VT_KEY_HARMLESS, 0, NULL},
    {"unsloth_*", VT_KEY_HARMLESS, 0, NULL},
};

static bool is_one_of(const char *text, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

/* How A and B began, when that left the base as it was. */
static vt_status check_init(const vt_json *config, const char *what, vt_err *err)
{
    static const char *const harmless[] = {"gaussian", "Gaussian", "GAUSSIAN", "orthogonal", "eva"};
    const char *init = vt_json_str(vt_json_get(config, "init_lora_weights"), harmless[0]);
    if (is_one_of(init, harmless, sizeof harmless / sizeof harmless[0]))
        return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED,
                   "%s: init_lora_weights is \"%.40s\", with which PEFT changes the base weights when it loads the "
                   "adapter; convert it to plain LoRA (save_pretrained with path_initial_model_for_weight_conversion)",
                   what, init);
}

vt_status vt_adapter_config_read(const vt_json *config, const char *what, struct vt_adapter_config *out, vt_err *err)
{
    static const char *const tasks[] = {"CAUSAL_LM", "FEATURE_EXTRACTION"};
    const char *type = vt_json_str(vt_json_get(config, "peft_type"), "");
    const char *task = vt_json_str(vt_json_get(config, "task_type"), tasks[0]);
    if (strcmp(type, "LORA") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "%s: peft_type is \"%.40s\", not LORA", what, type);
    VT_TRY(vt_keys_check(config, keys, sizeof keys / sizeof keys[0], what, "what the adapter computes", err));
    if (!is_one_of(task, tasks, sizeof tasks / sizeof tasks[0]))
        return vt_fail(err, VT_EUNSUPPORTED, "%s: task_type is %.40s; vegttt loads adapters of CAUSAL_LM", what, task);
    const vt_json *layers = vt_json_get(config, "layers_to_transform");
    if (layers && !vt_json_is_null(layers))
        return vt_fail(err, VT_EUNSUPPORTED, "%s sets layers_to_transform; vegttt needs every layer adapted alike",
                       what);
    VT_TRY(check_init(config, what, err));
    double r = vt_json_num(vt_json_get(config, "r"), 8), alpha = vt_json_num(vt_json_get(config, "lora_alpha"), 8);
    if (vt_json_bool(vt_json_get(config, "use_rslora"), false))
        alpha *= sqrt(r > 0 ? r : 0);
    out->rank = r < 0 ? 0 : r > INT_MAX ? INT_MAX : (int)r; /* vt_adapter_new says what is possible */
    out->alpha = (float)alpha;
    out->target_modules = vt_json_get(config, "target_modules");
    out->exclude_modules = vt_json_get(config, "exclude_modules");
    return VT_OK;
}

/* PEFT's rule for a list: the name itself, or its end behind a dot. */
static bool names_module(const char *entry, const char *module)
{
    size_t n = strlen(entry), m = strlen(module);
    return strcmp(entry, module) == 0 ||
           (n > 0 && m > n && module[m - n - 1] == '.' && strcmp(module + m - n, entry) == 0);
}

static vt_status matches(const char *pattern, const char *module, const char *what, bool *out, vt_err *err)
{
    int code;
    size_t at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern),
                      PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!re)
        return vt_fail(err, VT_EUNSUPPORTED, "%s: \"%.80s\" is no regular expression for modules that vegttt can read",
                       what, pattern);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
    int rc = data ? pcre2_match(re, (PCRE2_SPTR)module, strlen(module), 0, 0, data, NULL) : PCRE2_ERROR_NOMEMORY;
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    *out = rc > 0;
    return rc > 0 || rc == PCRE2_ERROR_NOMATCH
               ? VT_OK
               : vt_fail(err, VT_ELIMIT, "%s: the expression \"%.80s\" cannot be matched", what, pattern);
}

static vt_status selects(const vt_json *modules, const char *module, const char *what, bool *out, vt_err *err)
{
    const char *text = vt_json_str(modules, NULL);
    *out = false;
    if (text)
        return matches(text, module, what, out, err);
    for (const vt_json *e = vt_json_first(modules); e; e = vt_json_next(e))
        *out = *out || names_module(vt_json_str(e, ""), module);
    return VT_OK;
}

vt_status vt_adapter_config_targets(const struct vt_adapter_config *c, const char *module, const char *what, bool *out,
                                    vt_err *err)
{
    const char *text = vt_json_str(c->target_modules, "");
    bool excluded = false;
    if (!c->target_modules || vt_json_is_null(c->target_modules))
        *out = names_module("q_proj", module) || names_module("v_proj", module);
    else if (strcmp(text, "all-linear") == 0)
        *out = strcmp(module, "lm_head") != 0;
    else
        VT_TRY(selects(c->target_modules, module, what, out, err));
    VT_TRY(selects(c->exclude_modules, module, what, &excluded, err));
    *out = *out && !excluded;
    return VT_OK;
}
