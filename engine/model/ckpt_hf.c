/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_hf.c: a Hugging Face folder as a checkpoint: config.json (ckpt_config.c), the weights, and the tokenizer with
 * its chat template (tokenizer_files.c) where they are present.
 *
 * Weights, in this order: the file that the caller named; the one config.json names (transformers_weights);
 * model.safetensors; the shards of model.safetensors.index.json. A single file beside an index is what transformers
 * reads, too. Tensors saved from the inner model lack the "model." in front of their names and get it here.
 *
 * Tied embeddings follow transformers 5: a head beside the embedding is dropped when its values are the same and kept,
 * untied, when they differ; a head without an embedding serves as both.
 */
#include "model/ckpt_parts.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "model/keys.h"
#include "model/tokenizer_files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 16 << 20, MAX_SHARDS = 1024 };
#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"
#define EMBEDDING "model.embed_tokens.weight"
#define HEAD "lm_head.weight"

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static bool has_file(const char *dir, const char *name)
{
    char path[PATH_MAX]; /* no allocation: want of memory must not look like a missing file */
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && n < (int)sizeof path && vt_fs_exists(path);
}

static const struct vt_weight_spec *spec_of(const char *name, int *layer)
{
    char full[128];
    const struct vt_weight_spec *spec = vt_weight_spec_of(name, strlen(name), false, layer);
    if (spec || (size_t)snprintf(full, sizeof full, "model.%s", name) >= sizeof full)
        return spec;
    return vt_weight_spec_of(full, strlen(full), false, layer);
}

static vt_status add_tensors(vt_ckpt *c, const vt_st *s, const char *path, vt_err *err)
{
    VT_TRY(vt_ckpt_reserve(c, vt_st_n(s), err));
    for (size_t i = 0; i < vt_st_n(s); i++) {
        const struct vt_tensor *t = vt_st_at(s, i);
        int layer;
        const struct vt_weight_spec *spec = spec_of(t->name, &layer);
        if (has_suffix(t->name, ".rotary_emb.inv_freq"))
            continue; /* what the config says already */
        if (!spec)
            return vt_fail(
                err, VT_EUNSUPPORTED,
                "%s: tensor %.200s has no place in a model of this architecture; vegttt would compute something else",
                path, t->name);
        VT_TRY(vt_ckpt_add(c, spec, layer, t, err));
    }
    return VT_OK;
}

static vt_status add_shard(vt_ckpt *c, const char *dir, const char *name, vt_err *err)
{
    vt_st **shards = vt_realloc_array(c->shards, c->n_shards + 1, sizeof *shards);
    if (shards)
        c->shards = shards;
    char *path = vt_path_join(dir, name);
    struct vt_ckpt_file *f = shards && path ? vt_ckpt_add_file(c, path) : NULL;
    free(path);
    if (!f)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    if (!vt_fs_exists(f->path))
        return vt_fail(err, VT_ENOENT, "cannot open %s: it has no %s", dir, name);
    VT_TRY(vt_file_id_of(f->path, &f->id, err));
    VT_TRY(vt_st_open(f->path, &c->shards[c->n_shards], err));
    vt_st *s = c->shards[c->n_shards++];
    VT_TRY(vt_file_id_check(f->path, &f->id, err));
    return add_tensors(c, s, f->path, err);
}

/* A shard name is a plain file name, so that an index cannot reach outside its folder. */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

static vt_status check_index(const vt_json *map, const char *dir, const char *name, vt_err *err)
{
    if (!vt_json_is_object(map) || vt_json_count(map) == 0)
        return vt_fail(err, VT_EFORMAT, "%s/%s names no shards (weight_map)", dir, name);
    for (const vt_json *e = vt_json_first(map); e; e = vt_json_next(e))
        if (!is_plain_name(vt_json_str(e, "")))
            return vt_fail(err, VT_EFORMAT, "%s/%s: tensor %.80s is in a shard \"%.80s\" outside its folder", dir, name,
                           vt_json_key(e), vt_json_str(e, ""));
    return VT_OK;
}

/* Every tensor of the index must be in the shard it is said to be in. */
static vt_status check_places(const vt_ckpt *c, const vt_json *map, const char *dir, const char *name, vt_err *err)
{
    for (const vt_json *e = vt_json_first(map); e; e = vt_json_next(e)) {
        const char *shard = vt_json_str(e, "");
        bool is_there = false;
        for (size_t i = 0; i < c->n_shards && !is_there; i++) {
            const char *slash = strrchr(c->files[i].path, '/');
            is_there = strcmp(slash ? slash + 1 : c->files[i].path, shard) == 0 &&
                       vt_st_find(c->shards[i], vt_json_key(e)) != NULL;
        }
        if (!is_there)
            return vt_fail(err, VT_EFORMAT,
                           "%s/%s puts tensor %.120s into %.80s, which does not have it; the index belongs to other "
                           "files",
                           dir, name, vt_json_key(e), shard);
    }
    return VT_OK;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static vt_status open_shards(vt_ckpt *c, const char *dir, const char *index_name, const vt_json *index, vt_err *err)
{
    const vt_json *map = vt_json_get(index, "weight_map");
    size_t n = vt_json_count(map), n_names = 0;
    VT_TRY(check_index(map, dir, index_name, err));
    const char **names = vt_alloc_array(n, sizeof *names);
    if (!names)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    for (const vt_json *e = vt_json_first(map); e; e = vt_json_next(e))
        names[n_names++] = vt_json_str(e, "");
    qsort(names, n_names, sizeof *names, by_string);
    vt_status status = VT_OK;
    for (size_t i = 0; i < n_names && status == VT_OK; i++) {
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
            continue;
        status = c->n_shards < MAX_SHARDS
                     ? add_shard(c, dir, names[i], err)
                     : vt_fail(err, VT_ELIMIT, "%s/%s names more than %d shards", dir, index_name, MAX_SHARDS);
    }
    free(names);
    return status == VT_OK ? check_places(c, map, dir, index_name, err) : status;
}

static vt_status open_named(vt_ckpt *c, const char *dir, const char *name, vt_err *err)
{
    if (!has_suffix(name, ".index.json"))
        return add_shard(c, dir, name, err);
    vt_json *index;
    VT_TRY(vt_keys_read(dir, name, true, MAX_CONFIG_BYTES, &index, err));
    vt_status status = open_shards(c, dir, name, index, err);
    vt_json_free(index);
    return status;
}

static vt_status open_weights(vt_ckpt *c, const char *dir, const char *named, const vt_json *config, vt_err *err)
{
    const char *own = vt_json_str(vt_json_get(config, "transformers_weights"), NULL);
    if (!named && own && (!is_plain_name(own) || (!has_suffix(own, ".safetensors") && !has_suffix(own, ".index.json"))))
        return vt_fail(err, VT_EUNSUPPORTED, "%s/config.json: transformers_weights is \"%.80s\", no safetensors file",
                       dir, own);
    if (named || own)
        return open_named(c, dir, named ? named : own, err);
    if (has_file(dir, SINGLE))
        return add_shard(c, dir, SINGLE, err);
    if (has_file(dir, INDEX))
        return open_named(c, dir, INDEX, err);
    if (has_file(dir, "pytorch_model.bin") || has_file(dir, "pytorch_model.bin.index.json"))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s has its weights as pytorch_model.bin, which runs code when it is read; save them with "
                       "save_pretrained(safe_serialization=True)",
                       dir);
    return vt_fail(err, VT_ENOENT, "cannot open %s: it has no " SINGLE " and no " INDEX, dir);
}

static struct vt_tensor *find_added(vt_ckpt *c, const char *name)
{
    for (size_t i = 0; i < c->n_tensors; i++)
        if (strcmp(c->tensors[i].name, name) == 0)
            return &c->tensors[i];
    return NULL;
}

vt_status vt_tensor_same_values(const struct vt_tensor *a, const struct vt_tensor *b, bool *same, vt_err *err)
{
    size_t n = (size_t)a->shape[a->n_dims - 1];
    *same = a->n_dims == 2 && b->n_dims == 2 && a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1];
    if (!*same)
        return VT_OK;
    float *x = vt_alloc_array(n, sizeof *x), *y = vt_alloc_array(n, sizeof *y);
    vt_status status = x && y ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory comparing two tensors");
    for (int64_t i = 0; i < a->shape[0] && *same && status == VT_OK; i++) {
        vt_tensor_row(a, i, x);
        vt_tensor_row(b, i, y);
        for (size_t j = 0; j < n && *same; j++)
            *same = x[j] == y[j];
    }
    free(x);
    free(y);
    return status;
}

static vt_status settle_head(vt_ckpt *c, vt_err *err)
{
    struct vt_tensor *head = find_added(c, HEAD), *embedding = find_added(c, EMBEDDING);
    bool same = false;
    if (!c->cfg.tied || !head)
        return VT_OK;
    if (!embedding) {
        char *name = vt_strdup(EMBEDDING);
        if (!name)
            return vt_fail(err, VT_ENOMEM, "out of memory opening %s", c->path);
        free((char *)head->name);
        head->name = name;
        return VT_OK;
    }
    VT_TRY(vt_tensor_same_values(head, embedding, &same, err));
    if (!same) {
        c->cfg.tied = false;
        return VT_OK;
    }
    free((char *)head->name);
    *head = c->tensors[--c->n_tensors];
    return VT_OK;
}

static vt_status open_tokenizer(vt_ckpt *c, const char *dir, const vt_json *config, vt_err *err)
{
    vt_json *generation;
    char config_path[512], generation_path[512];
    struct vt_ids ends = {0};
    VT_TRY(vt_keys_read(dir, "generation_config.json", false, MAX_CONFIG_BYTES, &generation, err));
    snprintf(config_path, sizeof config_path, "%s/config.json", dir);
    snprintf(generation_path, sizeof generation_path, "%s/generation_config.json", dir);
    vt_status status = vt_config_ends(config, generation, config_path, generation_path, c->cfg.n_vocab, &ends, err);
    if (status == VT_OK)
        status = vt_tokenizer_open(dir, &ends, &c->tokenizer, &c->chat_template, err);
    vt_ids_free(&ends);
    vt_json_free(generation);
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

static vt_status refuse_adapters(const char *dir, vt_err *err)
{
    if (!has_file(dir, "adapter_config.json"))
        return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED,
                   "%s holds an adapter (adapter_config.json), which is loaded on a base: name them as BASE+%s%s", dir,
                   dir, has_file(dir, "config.json") ? "; its config.json would be taken for a whole model" : "");
}

vt_status vt_ckpt_open_hf(vt_ckpt *c, const char *dir, const char *named, vt_err *err)
{
    vt_json *config;
    char what[512];
    snprintf(what, sizeof what, "%s/config.json", dir);
    VT_TRY(refuse_adapters(dir, err));
    VT_TRY(vt_keys_read(dir, "config.json", true, MAX_CONFIG_BYTES, &config, err));
    vt_status status = vt_config_read(&c->cfg, config, what, err);
    if (status == VT_OK)
        status = open_weights(c, dir, named, config, err);
    if (status == VT_OK)
        status = settle_head(c, err);
    if (status == VT_OK)
        status = open_tokenizer(c, dir, config, err);
    vt_json_free(config);
    VT_TRY(status);
    size_t len;
    const char *name = base_name(dir, &len);
    c->name = vt_strndup(name, len);
    return c->name ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
}
