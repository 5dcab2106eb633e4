/* SPDX-License-Identifier: Apache-2.0
 *
 * weights.c: immutable weights: what they are called, how they are counted, saved and brought back.
 *
 * An id is a hash chain. The root names the base file's digest, the numerics of the backend and how the adapter was
 * made (seed or files); each update hashes its parent, the ordered batch with its loss, and every optimiser field.
 * So equal ids mean equal bits on one numerics id, and a resumed run can ask for the id before doing the work.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/sha256.h"
#include "policy/native.h"
#include <stdlib.h>
#include <string.h>

#define SIDECAR "vegttt_weights.json"

vt_status vt_native_weights_new(vt_policy *p, const char *id, int adapter, int step, bool has_masters,
                                const char *trained_on, vt_weights **out, vt_err *err)
{
    vt_weights *w = vt_alloc(sizeof *w);

    if (w)
        w->trained_on = vt_strdup(trained_on ? trained_on : "{\"families\":[],\"tasks\":[]}");
    if (!w || !w->trained_on) {
        free(w);
        return vt_fail(err, VT_ENOMEM, "out of memory for a weights handle");
    }
    w->policy = p;
    w->refs = 1;
    memcpy(w->id, id, sizeof w->id);
    w->adapter = adapter;
    w->step = step;
    w->has_masters = has_masters;
    *out = w;
    return VT_OK;
}

vt_weights *vt_weights_ref(vt_weights *w)
{
    pthread_mutex_lock(&w->policy->mutex);
    w->refs++;
    pthread_mutex_unlock(&w->policy->mutex);
    return w;
}

void vt_weights_unref(vt_weights *w)
{
    vt_policy *p;
    bool is_last;

    if (!w)
        return;
    p = w->policy;
    pthread_mutex_lock(&p->mutex);
    is_last = --w->refs == 0;
    pthread_mutex_unlock(&p->mutex);
    if (!is_last)
        return;
    if (w->adapter)
        vt_lm_adapter_drop(p->lm, w->adapter);
    free(w->trained_on);
    free(w);
}

const char *vt_weights_id(const vt_weights *w)
{
    return w->id;
}

const char *vt_weights_trained_on(const vt_weights *w)
{
    return w->trained_on;
}

int vt_weights_step(const vt_weights *w)
{
    return w->step;
}

static void hash_root(const vt_policy *p, struct vt_sha256 *h)
{
    vt_sha256_init(h);
    vt_hash_str(h, "base", p->digest);
    vt_hash_str(h, "numerics", vt_lm_numerics(p->lm));
}

void vt_native_base_id(const vt_policy *p, char out[65])
{
    struct vt_sha256 h;

    hash_root(p, &h);
    vt_sha256_hex(&h, out);
}

void vt_native_fresh_id(const vt_policy *p, char out[65])
{
    struct vt_sha256 h;

    hash_root(p, &h);
    vt_hash_u64(&h, "rank", (uint64_t)p->opts.rank);
    vt_hash_f64(&h, "alpha", p->opts.alpha);
    vt_hash_u64(&h, "targets", p->opts.targets);
    vt_hash_u64(&h, "init_seed", p->opts.init_seed);
    vt_sha256_hex(&h, out);
}

vt_status vt_native_adapter_id(const vt_policy *p, const char *dir, char out[65], vt_err *err)
{
    static const char *const files[] = {"adapter_model.safetensors", "adapter_config.json"};
    struct vt_sha256 h;

    hash_root(p, &h);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char digest[VT_SHA256_HEX];
        char *path = vt_path_join(dir, files[i]);
        vt_status status =
            path ? vt_sha256_file(path, digest, err) : vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);

        free(path);
        VT_TRY(status);
        vt_hash_str(&h, files[i], digest);
    }
    vt_hash_u64(&h, "stored_optimizer", p->opts.stored_optimizer);
    vt_sha256_hex(&h, out);
    return VT_OK;
}

void vt_weights_next_id(const vt_weights *parent, const struct vt_update_opts *o, char out[65])
{
    struct vt_sha256 h;
    char root[65];

    /* The first update of a model without an adapter makes a fresh one: its parent is that adapter. */
    if (parent->adapter)
        memcpy(root, parent->id, sizeof root);
    else
        vt_native_fresh_id(parent->policy, root);
    vt_sha256_init(&h);
    vt_hash_str(&h, "parent", root);
    vt_hash_str(&h, "batch", o->digest);
    vt_hash_f64(&h, "lr", o->lr);
    vt_hash_f64(&h, "beta1", o->beta1);
    vt_hash_f64(&h, "beta2", o->beta2);
    vt_hash_f64(&h, "eps", o->eps);
    vt_hash_f64(&h, "weight_decay", o->weight_decay);
    vt_hash_f64(&h, "grad_clip", o->grad_clip);
    vt_sha256_hex(&h, out);
}

static bool array_has(const vt_json *array, const vt_json *item)
{
    for (const vt_json *c = vt_json_first(array); c; c = vt_json_next(c)) {
        if (vt_json_is_string(c) && vt_json_is_string(item) && strcmp(vt_json_str(c, ""), vt_json_str(item, "")) == 0)
            return true;
        if (vt_json_is_number(c) && vt_json_is_number(item) && vt_json_int(c, -1) == vt_json_int(item, -2))
            return true;
    }
    return false;
}

/* Union of two {"tasks": […], "families": […]} records. */
vt_status vt_native_merge_trained_on(const char *a, const char *b, char **out, vt_err *err)
{
    static const char *const keys[] = {"families", "tasks"};
    vt_json *ja = NULL, *jb = NULL, *merged = vt_json_object();
    struct vt_buf text;
    vt_status status;

    vt_buf_init(&text, 1 << 20);
    status = vt_json_parse(a, strlen(a), "the weights' trained_on record", &ja, err);
    if (status == VT_OK && b)
        status = vt_json_parse(b, strlen(b), "the update's trained_on record", &jb, err);
    if (status != VT_OK)
        goto out;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        vt_json *array = vt_json_array();

        for (const vt_json *c = vt_json_first(vt_json_get(ja, keys[k])); c; c = vt_json_next(c))
            if (!array_has(array, c))
                vt_json_push(array, vt_json_clone(c));
        for (const vt_json *c = jb ? vt_json_first(vt_json_get(jb, keys[k])) : NULL; c; c = vt_json_next(c))
            if (!array_has(array, c))
                vt_json_push(array, vt_json_clone(c));
        vt_json_put(merged, keys[k], array);
    }
    status = vt_json_write(merged, true, &text, err);
    if (status == VT_OK) {
        *out = vt_buf_take(&text, NULL);
        if (!*out)
            status = vt_fail(err, VT_ENOMEM, "out of memory for a trained_on record");
    }
out:
    vt_json_free(ja);
    vt_json_free(jb);
    vt_json_free(merged);
    vt_buf_free(&text);
    return status;
}

static vt_status write_sidecar(const vt_weights *w, const char *dir, bool with_moments, vt_err *err)
{
    vt_json *j = vt_json_object();
    struct vt_buf text;
    char *path = vt_path_join(dir, SIDECAR);
    vt_status status;

    vt_buf_init(&text, 1 << 20);
    vt_json_put_int(j, "v", 1);
    vt_json_put_str(j, "id", w->id);
    vt_json_put_str(j, "base", w->policy->digest);
    vt_json_put_str(j, "numerics", vt_lm_numerics(w->policy->lm));
    vt_json_put_int(j, "step", w->step);
    vt_json_put_bool(j, "masters", with_moments && w->has_masters);
    vt_json_put_str(j, "trained_on", w->trained_on);
    status = vt_json_write(j, true, &text, err);
    if (status == VT_OK && !path)
        status = vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);
    if (status == VT_OK)
        status = vt_fs_write_atomic(path, text.p, text.len, err);
    vt_json_free(j);
    vt_buf_free(&text);
    free(path);
    return status;
}

vt_status vt_weights_save(vt_weights *w, const char *dir, bool with_moments, vt_err *err)
{
    struct vt_adapter *a = NULL;
    vt_status status;

    if (!w->adapter)
        return vt_fail(err, VT_EINVAL, "cannot save the base model's weights to %s: there is no adapter to write", dir);
    VT_TRY(vt_fs_mkdir_p(dir, err));
    status = vt_lm_adapter_get(w->policy->lm, w->adapter, &a, err);
    if (status == VT_OK) {
        free(a->trained_on);
        a->trained_on = vt_strdup(w->trained_on);
        memcpy(a->base_digest, w->policy->digest, sizeof a->base_digest);
        status = vt_adapter_save(a, dir, with_moments ? VT_F32 : VT_BF16, with_moments, err);
    }
    vt_adapter_free(a);
    if (status == VT_OK)
        status = write_sidecar(w, dir, with_moments, err);
    return status;
}

static vt_status check_sidecar(const vt_policy *p, const vt_json *j, const char *path, const char **id, vt_err *err)
{
    const char *base, *numerics;

    VT_TRY(vt_json_need_str(j, "id", path, id, err));
    VT_TRY(vt_json_need_str(j, "base", path, &base, err));
    VT_TRY(vt_json_need_str(j, "numerics", path, &numerics, err));
    if (strlen(*id) != 64)
        return vt_fail(err, VT_EFORMAT, "%s names no weights id; remove the folder and let the run make it again",
                       path);
    if (strcmp(base, p->digest) != 0)
        return vt_fail(err, VT_EINVAL, "%s belongs to another base model (digest %.12s, this one is %.12s)", path, base,
                       p->digest);
    if (strcmp(numerics, vt_lm_numerics(p->lm)) != 0)
        return vt_fail(err, VT_EINVAL, "%s was made with numerics %s, this machine runs %s: results would not continue",
                       path, numerics, vt_lm_numerics(p->lm));
    return VT_OK;
}

vt_status vt_weights_load(vt_policy *p, const char *dir, vt_weights **out, vt_err *err)
{
    char *path = vt_path_join(dir, SIDECAR), *warning = NULL;
    struct vt_buf text = {0};
    vt_json *j = NULL;
    struct vt_adapter *a = NULL;
    const char *id = NULL;
    int adapter = 0;
    vt_status status;

    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);
    status = vt_fs_read(path, 1 << 20, &text, err);
    if (status == VT_OK)
        status = vt_json_parse(text.p, text.len, path, &j, err);
    if (status == VT_OK)
        status = check_sidecar(p, j, path, &id, err);
    if (status == VT_OK)
        status = vt_adapter_load_on(dir, p->ckpt, p->digest, &a, &warning, err);
    if (status == VT_OK)
        status = vt_lm_adapter_put(p->lm, a, &adapter, err);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, (int)vt_json_int(vt_json_get(j, "step"), 0),
                                       vt_json_bool(vt_json_get(j, "masters"), false),
                                       vt_json_str(vt_json_get(j, "trained_on"), NULL), out, err);
    if (status != VT_OK && adapter)
        vt_lm_adapter_drop(p->lm, adapter);
    vt_adapter_free(a);
    vt_json_free(j);
    vt_buf_free(&text);
    free(warning);
    free(path);
    return status;
}
