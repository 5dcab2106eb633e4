/* SPDX-License-Identifier: Apache-2.0
 *
 * native_weights.c: weights of models on this machine: where their ids begin, their averages, and their files.
 *
 * The root of an id names the base file's digest, the numerics of the backend and how the adapter was made (seed or
 * files). A snapshot is a PEFT folder with a sidecar that holds the id and what must be equal for results to continue;
 * the sidecar is written last, so a folder with one is whole. Files are the worker's: a save or a load takes no turn
 * from the model.
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
    struct vt_native_weights *state = vt_alloc(sizeof *state);
    vt_status status = VT_ENOMEM;

    if (!state) {
        vt_fail(err, status, "out of memory for a weights handle");
    } else {
        *state = (struct vt_native_weights){.adapter = adapter, .has_masters = has_masters};
        status = vt_weights_new(p, id, step, trained_on, state, out, err);
    }
    if (status != VT_OK) {
        free(state);
        if (adapter)
            vt_lm_adapter_drop(vt_native_of(p)->lm, adapter);
    }
    return status;
}

void vt_native_free_weights(vt_policy *p, void *state)
{
    const struct vt_native_weights *w = state;

    if (w->adapter)
        vt_lm_adapter_drop(vt_native_of(p)->lm, w->adapter);
    free(state);
}

/* --- ids --- */

static void hash_root(const vt_policy *p, struct vt_sha256 *h)
{
    const struct vt_native *n = p->state;

    vt_sha256_init(h);
    vt_hash_str(h, "base", n->digest);
    vt_hash_str(h, "numerics", vt_lm_numerics(n->lm));
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

void vt_native_next_id(const vt_weights *parent, const struct vt_update_opts *o, char out[65])
{
    char root[65];

    /* The first update of a model without an adapter makes a fresh one: its parent is that adapter. */
    if (vt_native_adapter(parent))
        memcpy(root, parent->id, sizeof root);
    else
        vt_native_fresh_id(parent->policy, root);
    vt_identity_next(root, o, NULL, out);
}

/* --- averages --- */

/* The parameters of weights; those without an adapter have the fresh one that an update would begin with. */
static vt_status params_of(const vt_weights *w, struct vt_adapter **out, vt_err *err)
{
    const vt_policy *p = w->policy;
    const struct vt_native *n = p->state;
    const int adapter = vt_native_adapter(w);

    if (adapter)
        return vt_lm_adapter_get(n->lm, adapter, out, err);
    return vt_adapter_new(vt_lm_cfg(n->lm), p->opts.rank, p->opts.alpha, p->opts.targets, p->opts.init_seed, out, err);
}

static vt_status average(struct vt_adapter *a, const struct vt_adapter *b, double share, vt_err *err)
{
    if (a->n_params != b->n_params || a->rank != b->rank || a->targets != b->targets || a->alpha < b->alpha ||
        a->alpha > b->alpha)
        return vt_fail(
            err, VT_EINVAL,
            "cannot mix adapters of other shapes: rank %d, alpha %g and %zu parameters, and rank %d, alpha %g and "
            "%zu parameters",
            a->rank, (double)a->alpha, a->n_params, b->rank, (double)b->alpha, b->n_params);
    for (size_t i = 0; i < a->n_params; i++)
        a->params[i] = (float)((1 - share) * (double)a->params[i] + share * (double)b->params[i]);
    free(a->m); /* of neither */
    free(a->v);
    a->m = a->v = NULL;
    a->step = 0;
    return VT_OK;
}

vt_status vt_native_mix(const vt_weights *a, const vt_weights *b, double share, const char *id, vt_weights **out,
                        vt_err *err)
{
    vt_policy *p = a->policy;
    struct vt_adapter *mixed = NULL, *other = NULL;
    char *trained_on = NULL;
    int adapter = 0;
    vt_status status = params_of(a, &mixed, err);

    if (status == VT_OK)
        status = params_of(b, &other, err);
    if (status == VT_OK)
        status = average(mixed, other, share, err);
    if (status == VT_OK)
        status = vt_identity_merge_trained_on(a->trained_on, b->trained_on, &trained_on, err);
    if (status == VT_OK)
        status = vt_lm_adapter_put(vt_native_of(p)->lm, mixed, &adapter, err);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, b->step, true, trained_on, out, err);
    vt_adapter_free(mixed);
    vt_adapter_free(other);
    free(trained_on);
    return status;
}

/* --- saving --- */

static vt_status write_sidecar(const vt_weights *w, const char *id, const char *dir, enum vt_snapshot_kind kind,
                               vt_err *err)
{
    const struct vt_native *n = w->policy->state;
    const struct vt_native_weights *state = w->state;
    vt_json *j = vt_json_object();
    struct vt_buf text;
    char *path = vt_path_join(dir, SIDECAR);
    vt_status status;

    vt_buf_init(&text, 1 << 20);
    vt_json_put_int(j, "v", 1);
    vt_json_put_str(j, "id", id);
    vt_json_put_str(j, "base", n->digest);
    vt_json_put_str(j, "numerics", vt_lm_numerics(n->lm));
    vt_json_put_int(j, "step", w->step);
    vt_json_put_bool(j, "masters", kind == VT_SNAPSHOT_TRAINING && state->has_masters);
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

static vt_status save(const vt_weights *w, const char *dir, enum vt_snapshot_kind kind, vt_err *err)
{
    const struct vt_native *n = w->policy->state;
    struct vt_adapter *a = NULL;
    char id[65];
    bool is_bf16 = false;
    vt_status status;

    VT_TRY(vt_fs_mkdir_p(dir, err));
    status = vt_lm_adapter_get(n->lm, vt_native_adapter(w), &a, err);
    if (status == VT_OK) {
        free(a->trained_on);
        a->trained_on = vt_strdup(w->trained_on);
        memcpy(a->base_digest, n->digest, sizeof a->base_digest);
        if (!a->trained_on)
            status = vt_fail(err, VT_ENOMEM, "out of memory for what weights %.12s were trained on", w->id);
    }
    if (status == VT_OK) {
        is_bf16 = vt_adapter_is_bf16(a);
        const bool is_small = kind == VT_SNAPSHOT_EXPORT || (kind == VT_SNAPSHOT_EXACT && is_bf16);
        status = vt_adapter_save(a, dir, is_small ? VT_BF16 : VT_F32, kind == VT_SNAPSHOT_TRAINING, err);
    }
    vt_adapter_free(a);
    /* Rounded parameters run differently: the id is that of the files, as if they were opened as an adapter. */
    memcpy(id, w->id, sizeof id);
    if (status == VT_OK && kind == VT_SNAPSHOT_EXPORT && !is_bf16)
        status = vt_native_adapter_id(w->policy, dir, id, err);
    if (status == VT_OK)
        status = write_sidecar(w, id, dir, kind, err);
    return status;
}

/* Whether a file request that comes to its turn is wanted still. */
static vt_status check_wanted(vt_request *r, vt_err *err)
{
    return vt_request_is_cancelled(r)
               ? vt_fail(err, VT_ECANCELLED, "the request about %s was cancelled before its turn", r->dir)
               : VT_OK;
}

static void run_save(void *arg)
{
    vt_request *r = arg;
    vt_err err;
    vt_status status = check_wanted(r, &err);

    if (status == VT_OK)
        status = save(r->weights, r->dir, r->snapshot, &err);
    vt_request_finish(r, status, &err);
}

vt_status vt_native_save(vt_policy *p, vt_request *r, vt_err *err)
{
    const struct vt_native_weights *w = r->weights->state;

    if (!w->adapter)
        return vt_fail(err, VT_EINVAL, "cannot save the base model's weights to %s: there is no adapter to write",
                       r->dir);
    if (r->snapshot == VT_SNAPSHOT_TRAINING && !w->has_masters)
        return vt_fail(err, VT_EINVAL, "cannot save weights %.12s to %s to train on: they came without fp32 parameters",
                       r->weights->id, r->dir);
    return vt_worker_post(vt_native_of(p)->worker, run_save, r, err);
}

/* --- loading --- */

static vt_status check_sidecar(const struct vt_native *n, const vt_json *j, const char *path, const char **id,
                               vt_err *err)
{
    const char *base, *numerics;

    VT_TRY(vt_json_need_str(j, "id", path, id, err));
    VT_TRY(vt_json_need_str(j, "base", path, &base, err));
    VT_TRY(vt_json_need_str(j, "numerics", path, &numerics, err));
    if (strlen(*id) != 64)
        return vt_fail(err, VT_EFORMAT, "%s names no weights id; remove the folder and let the run make it again",
                       path);
    if (strcmp(base, n->digest) != 0)
        return vt_fail(err, VT_EINVAL, "%s belongs to another base model (digest %.12s, this one is %.12s)", path, base,
                       n->digest);
    if (strcmp(numerics, vt_lm_numerics(n->lm)) != 0)
        return vt_fail(err, VT_EINVAL, "%s was made with numerics %s, this machine runs %s: results would not continue",
                       path, numerics, vt_lm_numerics(n->lm));
    return VT_OK;
}

static vt_status read_sidecar(const char *dir, vt_json **out, char **path, vt_err *err)
{
    struct vt_buf text = {0};
    vt_status status;

    *out = NULL;
    *path = vt_path_join(dir, SIDECAR);
    if (!*path)
        return vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);
    status = vt_fs_read(*path, 1 << 20, &text, err);
    if (status == VT_OK)
        status = vt_json_parse(text.p, text.len, *path, out, err);
    vt_buf_free(&text);
    return status;
}

vt_status vt_native_read_snapshot(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err)
{
    const char *id;
    char *path;
    vt_json *j;
    vt_status status = read_sidecar(dir, &j, &path, err);

    if (status == VT_OK)
        status = check_sidecar(p->state, j, path, &id, err);
    if (status == VT_OK) {
        memcpy(out->id, id, sizeof out->id);
        out->step = (int)vt_json_int(vt_json_get(j, "step"), 0);
        out->is_trainable = vt_json_bool(vt_json_get(j, "masters"), false);
    }
    vt_json_free(j);
    free(path);
    return status;
}

static vt_status load(vt_policy *p, const char *dir, vt_weights **out, vt_err *err)
{
    const struct vt_native *n = p->state;
    char *path, *warning = NULL;
    vt_json *j;
    struct vt_adapter *a = NULL;
    const char *id = NULL;
    int adapter = 0;
    vt_status status = read_sidecar(dir, &j, &path, err);

    if (status == VT_OK)
        status = check_sidecar(n, j, path, &id, err);
    if (status == VT_OK)
        status = vt_adapter_load_on(dir, n->ckpt, n->digest, &a, &warning, err);
    if (status == VT_OK)
        status = vt_lm_adapter_put(n->lm, a, &adapter, err);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, (int)vt_json_int(vt_json_get(j, "step"), 0),
                                       vt_json_bool(vt_json_get(j, "masters"), false),
                                       vt_json_str(vt_json_get(j, "trained_on"), NULL), out, err);
    vt_adapter_free(a);
    vt_json_free(j);
    free(warning);
    free(path);
    return status;
}

static void run_load(void *arg)
{
    vt_request *r = arg;
    vt_err err;
    vt_status status = check_wanted(r, &err);

    if (status == VT_OK)
        status = load(r->policy, r->dir, r->out, &err);
    vt_request_finish(r, status, &err);
}

vt_status vt_native_load(vt_policy *p, vt_request *r, vt_err *err)
{
    return vt_worker_post(vt_native_of(p)->worker, run_load, r, err);
}
