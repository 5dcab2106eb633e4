/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter_file.c: PEFT's two files and two of our own beside them:
 *   adapter_model.safetensors      base_model.model.MODULE.lora_{A,B}.weight, A (r, in), B (out, r), F32 or BF16
 *   adapter_config.json            PEFT's configuration, plus vegttt_base_digest (PEFT ignores what it does not know)
 *   vegttt_optimizer.safetensors   the same names with .m and .v appended, F32; only when moments are kept
 *   vegttt.json                    {step, trained_on}
 * Rows of q and k are in Hugging Face order, as everywhere outside GGUF files.
 *
 * Loading accepts exactly what the engine can compute: one rank and one alpha for all modules, every layer adapted
 * alike. Options of PEFT that mean something else are refused by name; a tensor of another shape is named, since it
 * tells the user that the adapter belongs to another model. Another base of the same shape loads with a warning.
 */
#include "model/adapter.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "model/dtype.h"
#include "model/safetensors.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL_FILE "adapter_model.safetensors"
#define CONFIG_FILE "adapter_config.json"
#define MOMENTS_FILE "vegttt_optimizer.safetensors"
#define RECORD_FILE "vegttt.json"
#define PREFIX "base_model.model."
enum { MAX_JSON = 16 << 20, MAX_NAME = 128 };

static const struct {
    const char *module; /* inside the layer; PEFT's target name is what follows the last dot */
} targets[VT_LORA_N] = {
    [VT_LORA_Q] = {"self_attn.q_proj"}, [VT_LORA_K] = {"self_attn.k_proj"}, [VT_LORA_V] = {"self_attn.v_proj"},
    [VT_LORA_O] = {"self_attn.o_proj"}, [VT_LORA_GATE] = {"mlp.gate_proj"}, [VT_LORA_UP] = {"mlp.up_proj"},
    [VT_LORA_DOWN] = {"mlp.down_proj"}, [VT_LORA_UNEMBED] = {"lm_head"},
};

static const char *target_name(enum vt_target t)
{
    const char *dot = strchr(targets[t].module, '.');
    return dot ? dot + 1 : targets[t].module;
}

/* part: "lora_A" or "lora_B"; suffix: "", ".m" or ".v". */
static void tensor_name(char out[MAX_NAME], int layer, enum vt_target t, const char *part, const char *suffix)
{
    if (t == VT_LORA_UNEMBED)
        snprintf(out, MAX_NAME, PREFIX "lm_head.%s.weight%s", part, suffix);
    else
        snprintf(out, MAX_NAME, PREFIX "model.layers.%d.%s.%s.weight%s", layer, targets[t].module, part, suffix);
}

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
            status = vt_fail(err, VT_ENOENT, "cannot load the adapter %s: it has no %s", dir, name);
    } else if ((status = vt_fs_read(path, MAX_JSON, &text, err)) == VT_OK) {
        status = vt_json_parse(text.p, text.len, path, out, err);
        vt_buf_free(&text);
    }
    free(path);
    return status;
}

/* True for a value that leaves an option off: absent, null, false, 0, "", [], {}. */
static bool is_off(const vt_json *j)
{
    if (!j || vt_json_is_null(j))
        return true;
    if (vt_json_is_bool(j))
        return !vt_json_bool(j, true);
    if (vt_json_is_number(j))
        return vt_json_num(j, 1) == 0;
    if (vt_json_is_string(j))
        return vt_json_str(j, "x")[0] == '\0';
    return vt_json_count(j) == 0;
}

static vt_status check_config(const vt_json *config, const char *dir, int *rank, float *alpha, vt_err *err)
{
    static const char *const unsupported[] = {"rank_pattern",
                                              "alpha_pattern",
                                              "use_rslora",
                                              "use_dora",
                                              "use_qalora",
                                              "fan_in_fan_out",
                                              "modules_to_save",
                                              "lora_bias",
                                              "layers_to_transform",
                                              "layer_replication",
                                              "target_parameters",
                                              "trainable_token_indices",
                                              "alora_invocation_tokens"};
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
        if (!is_off(vt_json_get(config, unsupported[i])))
            return vt_fail(err, VT_EUNSUPPORTED,
                           "cannot load the adapter %s: it sets %s, which vegttt does not support", dir,
                           unsupported[i]);
    const char *type = vt_json_str(vt_json_get(config, "peft_type"), "");
    if (strcmp(type, "LORA") != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "cannot load the adapter %s: its peft_type is \"%.40s\", not LORA", dir,
                       type);
    const char *bias = vt_json_str(vt_json_get(config, "bias"), "none");
    if (strcmp(bias, "none") != 0)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "cannot load the adapter %s: it trains biases (bias \"%.40s\"), which vegttt does not support",
                       dir, bias);
    int64_t r = 0;
    double a = 0;
    VT_TRY(vt_json_need_int(config, "r", CONFIG_FILE, &r, err));
    VT_TRY(vt_json_need_num(config, "lora_alpha", CONFIG_FILE, &a, err));
    *rank = r < 0 ? 0 : r > INT_MAX ? INT_MAX : (int)r; /* vt_adapter_new says what is possible */
    *alpha = (float)a;
    return VT_OK;
}

/* Which targets the file adapts: those whose A of the first layer is there. */
static unsigned targets_of(const vt_st *s)
{
    unsigned mask = 0;
    char name[MAX_NAME];
    for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++) {
        tensor_name(name, 0, t, "lora_A", "");
        if (vt_st_find(s, name))
            mask |= 1u << t;
    }
    return mask;
}

static vt_status load_matrix(const vt_st *s, const char *path, const char *name, int64_t rows, int64_t cols, float *out,
                             vt_err *err)
{
    const struct vt_tensor *t = vt_st_find(s, name);
    if (!t)
        return vt_fail(err, VT_EFORMAT, "%s: tensor %s is missing; vegttt needs every layer adapted alike", path, name);
    if (t->n_dims != 2 || t->shape[0] != rows || t->shape[1] != cols)
        return vt_fail(err, VT_EINVAL,
                       "%s: tensor %s has shape [%lld, %lld], this model and rank need [%lld, %lld]; the adapter "
                       "belongs to another model",
                       path, name, (long long)t->shape[0], t->n_dims > 1 ? (long long)t->shape[1] : 0LL,
                       (long long)rows, (long long)cols);
    VT_TRY(vt_tensor_check_finite(t, err));
    for (int64_t i = 0; i < rows; i++)
        vt_tensor_row(t, i, out + i * cols);
    return VT_OK;
}

/* Fills values (laid out as params) from the tensors with this suffix. */
static vt_status load_values(const vt_st *s, const char *path, const struct vt_adapter *a, const char *suffix,
                             float *values, vt_err *err)
{
    char name[MAX_NAME];
    for (int layer = 0; layer <= a->cfg.n_layers; layer++)
        for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++) {
            size_t a_off, b_off;
            int d_out, d_in;
            if (!vt_adapter_at(a, layer, t, &a_off, &b_off))
                continue;
            vt_adapter_dims(&a->cfg, t, &d_out, &d_in);
            tensor_name(name, layer, t, "lora_A", suffix);
            VT_TRY(load_matrix(s, path, name, a->rank, d_in, values + a_off, err));
            tensor_name(name, layer, t, "lora_B", suffix);
            VT_TRY(load_matrix(s, path, name, d_out, a->rank, values + b_off, err));
        }
    return VT_OK;
}

static size_t n_modules(const struct vt_adapter *a)
{
    size_t n = 0, a_off, b_off;
    for (int layer = 0; layer <= a->cfg.n_layers; layer++)
        for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++)
            n += vt_adapter_at(a, layer, t, &a_off, &b_off);
    return n;
}

/* Every tensor of the file must have been used: one of another module would be left out silently. */
static vt_status check_no_others(const vt_st *s, const char *path, const struct vt_adapter *a, vt_err *err)
{
    if (vt_st_n(s) == 2 * n_modules(a))
        return VT_OK;
    for (size_t i = 0; i < vt_st_n(s); i++) {
        const char *name = vt_st_at(s, i)->name;
        bool known = false;
        char expected[MAX_NAME];
        size_t a_off, b_off;
        for (int layer = 0; layer <= a->cfg.n_layers && !known; layer++)
            for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N && !known; t++) {
                if (!vt_adapter_at(a, layer, t, &a_off, &b_off))
                    continue;
                tensor_name(expected, layer, t, "lora_A", "");
                known = strcmp(expected, name) == 0;
                tensor_name(expected, layer, t, "lora_B", "");
                known = known || strcmp(expected, name) == 0;
            }
        if (!known)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s: tensor %.200s adapts a module that this model or vegttt does not have", path, name);
    }
    return VT_OK;
}

static vt_status load_weights(const char *dir, const struct vt_lm_config *cfg, int rank, float alpha,
                              struct vt_adapter **out, vt_err *err)
{
    char *path = vt_path_join(dir, MODEL_FILE);
    vt_st *s = NULL;
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    vt_status status = vt_st_open(path, &s, err);
    unsigned mask = status == VT_OK ? targets_of(s) : 0;
    if (status == VT_OK && mask == 0)
        status =
            vt_fail(err, VT_EFORMAT,
                    "%s holds no LoRA weights of the first layer (" PREFIX "model.layers.0.….lora_A.weight)", path);
    if (status == VT_OK)
        status = vt_adapter_new(cfg, rank, alpha, mask, 0, out, err);
    if (status == VT_OK)
        status = load_values(s, path, *out, "", (*out)->params, err);
    if (status == VT_OK)
        status = check_no_others(s, path, *out, err);
    vt_st_free(s);
    free(path);
    return status;
}

static vt_status load_moments(const char *dir, struct vt_adapter *a, vt_err *err)
{
    char *path = vt_path_join(dir, MOMENTS_FILE);
    vt_st *s = NULL;
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    vt_status status = VT_OK;
    if (vt_fs_exists(path)) {
        a->m = vt_alloc_array(a->n_params, sizeof *a->m);
        a->v = vt_alloc_array(a->n_params, sizeof *a->v);
        status = a->m && a->v ? vt_st_open(path, &s, err)
                              : vt_fail(err, VT_ENOMEM, "out of memory for the moments of %s", dir);
        if (status == VT_OK)
            status = load_values(s, path, a, ".m", a->m, err);
        if (status == VT_OK)
            status = load_values(s, path, a, ".v", a->v, err);
    }
    vt_st_free(s);
    free(path);
    return status;
}

static vt_status load_record(const char *dir, struct vt_adapter *a, vt_err *err)
{
    vt_json *j;
    VT_TRY(read_json(dir, RECORD_FILE, false, &j, err));
    if (!j)
        return VT_OK;
    vt_status status = VT_OK;
    int64_t step = vt_json_int(vt_json_get(j, "step"), 0);
    a->step = step > 0 ? (uint64_t)step : 0;
    const vt_json *trained_on = vt_json_get(j, "trained_on");
    if (trained_on && vt_json_is_object(trained_on)) {
        struct vt_buf text;
        vt_buf_init(&text, MAX_JSON);
        status = vt_json_write(trained_on, true, &text, err);
        if (status == VT_OK)
            status = vt_buf_check(&text, RECORD_FILE, err);
        a->trained_on = status == VT_OK ? vt_buf_take(&text, NULL) : NULL;
        vt_buf_free(&text);
    }
    vt_json_free(j);
    return status;
}

static bool is_digest(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static vt_status check_base(const char *dir, const struct vt_adapter *a, const char *base_digest, char **warning,
                            vt_err *err)
{
    if (!warning)
        return VT_OK;
    *warning = NULL;
    if (!base_digest || !a->base_digest[0] || strcmp(base_digest, a->base_digest) == 0)
        return VT_OK;
    struct vt_buf text;
    vt_buf_init(&text, 4096);
    vt_buf_printf(&text,
                  "the adapter %s was trained on another base (%.12s…, this one is %.12s…); its effect here is unknown",
                  dir, a->base_digest, base_digest);
    vt_status status = vt_buf_check(&text, "a warning", err);
    *warning = status == VT_OK ? vt_buf_take(&text, NULL) : NULL;
    vt_buf_free(&text);
    return status;
}

vt_status vt_adapter_load(const char *dir, const struct vt_lm_config *cfg, const char *base_digest,
                          struct vt_adapter **out, char **warning, vt_err *err)
{
    vt_json *config;
    struct vt_adapter *a = NULL;
    int rank = 0;
    float alpha = 0;
    VT_TRY(read_json(dir, CONFIG_FILE, true, &config, err));
    vt_status status = check_config(config, dir, &rank, &alpha, err);
    if (status == VT_OK)
        status = load_weights(dir, cfg, rank, alpha, &a, err);
    if (status == VT_OK)
        status = load_moments(dir, a, err);
    if (status == VT_OK)
        status = load_record(dir, a, err);
    if (status == VT_OK) {
        const char *digest = vt_json_str(vt_json_get(config, "vegttt_base_digest"), "");
        if (is_digest(digest))
            memcpy(a->base_digest, digest, sizeof a->base_digest);
        status = check_base(dir, a, base_digest, warning, err);
    }
    vt_json_free(config);
    if (status != VT_OK) {
        vt_adapter_free(a);
        return status;
    }
    *out = a;
    return VT_OK;
}

static struct vt_st_item item(char (*names)[MAX_NAME], size_t i, enum vt_dtype dtype, int64_t rows, int64_t cols,
                              const float *values)
{
    return (struct vt_st_item){.name = names[i], .dtype = dtype, .n_dims = 2, .shape = {rows, cols}, .values = values};
}

/* Writes `n_kinds` arrays laid out as params, each under its suffix, into one file. */
static vt_status save_values(const struct vt_adapter *a, const char *path, enum vt_dtype dtype,
                             const float *const *values, const char *const *suffixes, size_t n_kinds, vt_err *err)
{
    size_t cap = 2 * n_modules(a) * n_kinds, n = 0;
    struct vt_st_item *items = vt_alloc_array(cap, sizeof *items);
    char(*names)[MAX_NAME] = vt_alloc_array(cap, sizeof *names);
    vt_status status = items && names ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory writing %s", path);
    for (size_t k = 0; k < n_kinds && status == VT_OK; k++)
        for (int layer = 0; layer <= a->cfg.n_layers; layer++)
            for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++) {
                size_t a_off, b_off;
                int d_out, d_in;
                if (!vt_adapter_at(a, layer, t, &a_off, &b_off))
                    continue;
                vt_adapter_dims(&a->cfg, t, &d_out, &d_in);
                tensor_name(names[n], layer, t, "lora_A", suffixes[k]);
                items[n] = item(names, n, dtype, a->rank, d_in, values[k] + a_off);
                n++;
                tensor_name(names[n], layer, t, "lora_B", suffixes[k]);
                items[n] = item(names, n, dtype, d_out, a->rank, values[k] + b_off);
                n++;
            }
    if (status == VT_OK)
        status = vt_st_write(path, items, n, &(struct vt_st_pair){"format", "pt"}, 1, err);
    free(items);
    free(names);
    return status;
}

static vt_json *config_json(const struct vt_adapter *a)
{
    vt_json *j = vt_json_object(), *modules = vt_json_array();
    for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++)
        if (a->targets & 1u << t)
            vt_json_push(modules, vt_json_new_str(target_name(t), strlen(target_name(t))));
    vt_json_put_str(j, "peft_type", "LORA");
    vt_json_put_str(j, "task_type", "CAUSAL_LM");
    vt_json_put_str(j, "base_model_name_or_path", NULL);
    vt_json_put_int(j, "r", a->rank);
    vt_json_put_num(j, "lora_alpha", (double)a->alpha);
    vt_json_put_num(j, "lora_dropout", 0);
    vt_json_put_str(j, "bias", "none");
    vt_json_put_bool(j, "fan_in_fan_out", false);
    vt_json_put_bool(j, "inference_mode", true);
    vt_json_put_bool(j, "use_rslora", false);
    vt_json_put_bool(j, "use_dora", false);
    vt_json_put(j, "target_modules", modules);
    if (a->base_digest[0])
        vt_json_put_str(j, "vegttt_base_digest", a->base_digest);
    return j;
}

static vt_status record_json(const struct vt_adapter *a, vt_json **out, vt_err *err)
{
    vt_json *j = vt_json_object(), *trained_on = NULL;
    vt_json_put_u64str(j, "step", a->step);
    if (a->trained_on) {
        vt_status status =
            vt_json_parse(a->trained_on, strlen(a->trained_on), "the adapter's trained_on record", &trained_on, err);
        if (status != VT_OK) {
            vt_json_free(j);
            return status;
        }
        vt_json_put(j, "trained_on", trained_on);
    }
    *out = j;
    return VT_OK;
}

static vt_status save_json(const char *dir, const char *name, const vt_json *j, vt_err *err)
{
    char *path = vt_path_join(dir, name);
    struct vt_buf text;
    vt_buf_init(&text, MAX_JSON);
    vt_status status =
        path ? vt_json_write(j, true, &text, err) : vt_fail(err, VT_ENOMEM, "out of memory writing to %s", dir);
    vt_buf_putc(&text, '\n');
    if (status == VT_OK)
        status = vt_buf_check(&text, name, err);
    if (status == VT_OK)
        status = vt_fs_write_atomic(path, text.p, text.len, err);
    vt_buf_free(&text);
    free(path);
    return status;
}

static vt_status save_tensors(const struct vt_adapter *a, const char *dir, enum vt_dtype dtype, bool with_moments,
                              vt_err *err)
{
    char *model = vt_path_join(dir, MODEL_FILE), *moments = vt_path_join(dir, MOMENTS_FILE);
    vt_status status = model && moments ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory writing to %s", dir);
    if (status == VT_OK)
        status = save_values(a, model, dtype, &(const float *){a->params}, &(const char *){""}, 1, err);
    if (status == VT_OK && with_moments && a->m && a->v)
        status = save_values(a, moments, VT_F32, (const float *const[]){a->m, a->v}, (const char *const[]){".m", ".v"},
                             2, err);
    else if (status == VT_OK)
        (void)unlink(moments); /* of an earlier save into this folder: they would belong to other weights */
    free(model);
    free(moments);
    return status;
}

vt_status vt_adapter_save(const struct vt_adapter *a, const char *dir, enum vt_dtype dtype, bool with_moments,
                          vt_err *err)
{
    vt_json *record = NULL, *config = NULL;
    for (int t = 0; t < VT_LORA_N; t++)
        if (a->n_a[t] || a->n_b[t])
            return vt_fail(err, VT_EUNSUPPORTED,
                           "cannot save an adapter with factors per expert to %s: the files hold dense modules", dir);
    VT_TRY(record_json(a, &record, err));
    vt_status status = vt_fs_mkdir_p(dir, err);
    if (status == VT_OK)
        status = save_tensors(a, dir, dtype, with_moments, err);
    if (status == VT_OK)
        status = save_json(dir, RECORD_FILE, record, err);
    if (status == VT_OK) {
        config = config_json(a);
        status = save_json(dir, CONFIG_FILE, config, err);
    }
    vt_json_free(record);
    vt_json_free(config);
    return status;
}
