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
 * alike (adapter_config.c). A tensor of another shape is named, since it tells the user that the adapter belongs to
 * another model. Another base of the same shape loads with a warning.
 */
#include "model/adapter.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "model/adapter_config.h"
#include "model/ckpt_parts.h"
#include "model/dtype.h"
#include "model/keys.h"
#include "model/safetensors.h"

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

static void module_name(char out[MAX_NAME], int layer, enum vt_target t)
{
    if (t == VT_LORA_UNEMBED)
        snprintf(out, MAX_NAME, "lm_head");
    else
        snprintf(out, MAX_NAME, "model.layers.%d.%s", layer, targets[t].module);
}

/* part: "lora_A" or "lora_B"; suffix: "", ".m" or ".v". */
static void tensor_name(char out[MAX_NAME], int layer, enum vt_target t, const char *part, const char *suffix)
{
    if (t == VT_LORA_UNEMBED)
        snprintf(out, MAX_NAME, PREFIX "lm_head.%s.weight%s", part, suffix);
    else
        snprintf(out, MAX_NAME, PREFIX "model.layers.%d.%s.%s.weight%s", layer, targets[t].module, part, suffix);
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

/* Weights of the base that PEFT saves along when the head is adapted; they take the base's place when it loads them. */
static const char *base_weight(const char *name)
{
    static const struct {
        const char *saved, *base;
    } rows[] = {{PREFIX "lm_head.base_layer.weight", "lm_head.weight"},
                {PREFIX "lm_head.weight", "lm_head.weight"},
                {PREFIX "model.embed_tokens.weight", "model.embed_tokens.weight"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].saved, name) == 0)
            return rows[i].base;
    return NULL;
}

static vt_status check_base_weight(const struct vt_tensor *t, const char *base_name, const char *path,
                                   const vt_ckpt *base, vt_err *err)
{
    bool same = false;
    if (!base)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: tensor %s is a weight of the base, which can be told only beside the base", path, t->name);
    const struct vt_tensor *own = vt_ckpt_tensor(base, base_name);
    if (!own)
        own = vt_ckpt_tensor(base, "model.embed_tokens.weight"); /* the head is tied to it */
    VT_TRY(vt_tensor_same_values(t, own, &same, err));
    if (!same)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: tensor %s differs from the base's own weight, and PEFT would put it there; vegttt keeps "
                       "the base frozen",
                       path, t->name);
    return VT_OK;
}

static bool is_of_adapter(const struct vt_adapter *a, const char *name)
{
    char expected[MAX_NAME];
    size_t a_off, b_off;
    for (int layer = 0; layer <= a->cfg.n_layers; layer++)
        for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++) {
            if (!vt_adapter_at(a, layer, t, &a_off, &b_off))
                continue;
            tensor_name(expected, layer, t, "lora_A", "");
            if (strcmp(expected, name) == 0)
                return true;
            tensor_name(expected, layer, t, "lora_B", "");
            if (strcmp(expected, name) == 0)
                return true;
        }
    return false;
}

/* Every tensor of the file must have been used: one of another module would be left out silently. */
static vt_status check_no_others(const vt_st *s, const char *path, const struct vt_adapter *a, const vt_ckpt *base,
                                 vt_err *err)
{
    if (vt_st_n(s) == 2 * n_modules(a))
        return VT_OK;
    for (size_t i = 0; i < vt_st_n(s); i++) {
        const struct vt_tensor *t = vt_st_at(s, i);
        if (is_of_adapter(a, t->name))
            continue;
        const char *base_name = base_weight(t->name);
        if (!base_name)
            return vt_fail(err, VT_EUNSUPPORTED,
                           "%s: tensor %.200s adapts a module that this model or vegttt does not have", path, t->name);
        VT_TRY(check_base_weight(t, base_name, path, base, err));
    }
    return VT_OK;
}

/* Every module that has tensors must be one that PEFT would adapt; it leaves the tensors of others unused. */
static vt_status check_targets(const struct vt_adapter *a, const struct vt_adapter_config *config, const char *dir,
                               vt_err *err)
{
    char module[MAX_NAME];
    size_t a_off, b_off;
    for (int layer = 0; layer <= a->cfg.n_layers; layer++)
        for (enum vt_target t = VT_LORA_Q; t < VT_LORA_N; t++) {
            bool is_target = false;
            if (!vt_adapter_at(a, layer, t, &a_off, &b_off))
                continue;
            module_name(module, layer, t);
            VT_TRY(vt_adapter_config_targets(config, module, dir, &is_target, err));
            if (!is_target)
                return vt_fail(err, VT_EUNSUPPORTED,
                               "%s has weights for %s, which target_modules and exclude_modules of its " CONFIG_FILE
                               " leave out; PEFT would not use them",
                               dir, module);
        }
    return VT_OK;
}

static vt_status load_weights(const char *dir, const struct vt_lm_config *cfg, const vt_ckpt *base,
                              const struct vt_adapter_config *config, struct vt_adapter **out, vt_err *err)
{
    char *path = vt_path_join(dir, MODEL_FILE);
    vt_st *s = NULL;
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    vt_status status = vt_fs_exists(path) ? vt_st_open(path, &s, err)
                                          : vt_fail(err, VT_ENOENT,
                                                    "cannot load the adapter %s: it has no " MODEL_FILE
                                                    " (adapter_model.bin runs code when it is read: save it again)",
                                                    dir);
    unsigned mask = status == VT_OK ? targets_of(s) : 0;
    if (status == VT_OK && mask == 0)
        status =
            vt_fail(err, VT_EFORMAT,
                    "%s holds no LoRA weights of the first layer (" PREFIX "model.layers.0.….lora_A.weight)", path);
    if (status == VT_OK)
        status = vt_adapter_new(cfg, config->rank, config->alpha, mask, 0, out, err);
    if (status == VT_OK)
        status = check_targets(*out, config, dir, err);
    if (status == VT_OK)
        status = load_values(s, path, *out, "", (*out)->params, err);
    if (status == VT_OK)
        status = check_no_others(s, path, *out, base, err);
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
    VT_TRY(vt_keys_read(dir, RECORD_FILE, false, MAX_JSON, &j, err));
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

static vt_status load(const char *dir, const struct vt_lm_config *cfg, const vt_ckpt *base, const char *base_digest,
                      struct vt_adapter **out, char **warning, vt_err *err)
{
    vt_json *json;
    struct vt_adapter *a = NULL;
    struct vt_adapter_config config = {0};
    char what[512];
    snprintf(what, sizeof what, "%s/" CONFIG_FILE, dir);
    VT_TRY(vt_keys_read(dir, CONFIG_FILE, true, MAX_JSON, &json, err));
    vt_status status = vt_adapter_config_read(json, what, &config, err);
    if (status == VT_OK)
        status = load_weights(dir, cfg, base, &config, &a, err);
    if (status == VT_OK)
        status = load_moments(dir, a, err);
    if (status == VT_OK)
        status = load_record(dir, a, err);
    if (status == VT_OK) {
        const char *digest = vt_json_str(vt_json_get(json, "vegttt_base_digest"), "");
        if (is_digest(digest))
            memcpy(a->base_digest, digest, sizeof a->base_digest);
        status = check_base(dir, a, base_digest, warning, err);
    }
    vt_json_free(json);
    if (status != VT_OK) {
        vt_adapter_free(a);
        return status;
    }
    *out = a;
    return VT_OK;
}

vt_status vt_adapter_load(const char *dir, const struct vt_lm_config *cfg, const char *base_digest,
                          struct vt_adapter **out, char **warning, vt_err *err)
{
    return load(dir, cfg, NULL, base_digest, out, warning, err);
}

vt_status vt_adapter_load_on(const char *dir, const vt_ckpt *base, const char *base_digest, struct vt_adapter **out,
                             char **warning, vt_err *err)
{
    return load(dir, vt_ckpt_config(base), base, base_digest, out, warning, err);
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
