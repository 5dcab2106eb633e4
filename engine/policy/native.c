/* SPDX-License-Identifier: Apache-2.0
 *
 * native.c: opens a model spec as a policy on this machine, and its text side (tokens, chat template).
 *
 * A spec is MODEL or MODEL+ADAPTER. MODEL is a name that vt_model_pull knows, a file or a folder; ADAPTER is a folder
 * or the name of one under experiments/adapters. "default" is smollm2-135m+fast.
 */
#include "policy/native.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "cpu/lm_cpu.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SPEC "smollm2-135m+fast"

/* Where shipped adapters may lie: beside the sources, beside the binary's build folder, installed. */
static vt_status find_adapter(const char *name, char **out, vt_err *err)
{
    static const char *const places[] = {"experiments/adapters", "../experiments/adapters",
                                         "../share/vegttt/experiments/adapters"};
    char *exe = NULL;

    if (vt_fs_is_dir(name)) {
        *out = vt_strdup(name);
        return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");
    }
    VT_TRY(vt_exe_dir(&exe, err));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char *root = i == 0 ? vt_strdup(places[i]) : vt_path_join(exe, places[i]);
        char *dir = root ? vt_path_join(root, name) : NULL;

        free(root);
        if (dir && vt_fs_is_dir(dir)) {
            free(exe);
            *out = dir;
            return VT_OK;
        }
        free(dir);
    }
    free(exe);
    return vt_fail(err, VT_ENOENT,
                   "there is no adapter \"%s\": name a folder with adapter_model.safetensors, or one under "
                   "experiments/adapters",
                   name);
}

/* Splits MODEL+ADAPTER; a path that exists as a whole is a model whatever it contains. */
static vt_status split_spec(const char *spec, char **model, char **adapter, vt_err *err)
{
    const char *plus = vt_fs_exists(spec) ? NULL : strrchr(spec, '+');

    *adapter = NULL;
    *model = plus ? vt_strndup(spec, (size_t)(plus - spec)) : vt_strdup(spec);
    if (!*model)
        return vt_fail(err, VT_ENOMEM, "out of memory for the model spec");
    if (plus && !plus[1])
        return vt_fail(err, VT_EINVAL, "the model spec \"%s\" ends in + without an adapter", spec);
    return plus ? find_adapter(plus + 1, adapter, err) : VT_OK;
}

static vt_status refuse_remote(const char *spec, vt_err *err)
{
    if (strncmp(spec, "tinker:", 7) == 0 || strncmp(spec, "openai:", 7) == 0)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the model \"%s\" is served remotely, and this version of vegttt runs models on this machine "
                       "only: use smollm2-135m, a .gguf file or a Hugging Face folder",
                       spec);
    return VT_OK;
}

static vt_status find_model(const char *model, const struct vt_policy_opts *o, char **path, vt_err *err)
{
    vt_status status = vt_model_find(model, path, err);

    if (status == VT_ENOENT && !vt_fs_exists(model) && !strchr(model, '/'))
        status = vt_model_pull(model, o->progress, o->progress_arg, path, err);
    return status;
}

static vt_status load_adapter(vt_policy *p, const char *dir, vt_err *err)
{
    struct vt_adapter *a = NULL;
    char *warning = NULL, id[65];
    int adapter = 0;
    vt_status status = vt_adapter_load(dir, vt_lm_cfg(p->lm), p->digest, &a, &warning, err);

    if (status != VT_OK)
        return status;
    if (warning && p->opts.progress)
        p->opts.progress(p->opts.progress_arg, warning);
    free(warning);
    if (!p->opts.stored_optimizer) {
        free(a->m);
        free(a->v);
        a->m = a->v = NULL;
        a->step = 0;
    }
    status = vt_native_adapter_id(p, dir, id, err);
    if (status == VT_OK)
        status = vt_lm_adapter_put(p->lm, a, &adapter, err);
    if (status == VT_OK)
        status = vt_native_weights_new(p, id, adapter, 0, true, a->trained_on, &p->start, err);
    vt_adapter_free(a);
    return status;
}

static vt_status open_weights(vt_policy *p, const char *adapter_dir, vt_err *err)
{
    char id[65];

    vt_native_base_id(p, id);
    VT_TRY(vt_native_weights_new(p, id, 0, 0, false, NULL, &p->base, err));
    if (adapter_dir && !p->opts.reset)
        VT_TRY(load_adapter(p, adapter_dir, err));
    else
        p->start = vt_weights_ref(p->base);
    p->current = vt_weights_ref(p->start);
    return VT_OK;
}

static vt_status open_model(vt_policy *p, const char *path, vt_err *err)
{
    static const struct vt_lm_ops *const backends[] = {&vt_lm_cpu_ops, NULL};
    struct vt_lm_opts lo = {.backends = backends,
                            .n_threads = p->opts.n_threads,
                            .precision = p->opts.fp32 ? VT_LM_F32 : VT_LM_FAST,
                            .max_memory = p->opts.max_memory,
                            .isa = NULL,
                            .lease = p->opts.lease};
    vt_err ignored;

    VT_TRY(vt_ckpt_open(path, &p->ckpt, err));
    VT_TRY(vt_ckpt_digest(p->ckpt, p->digest, err));
    p->tokenizer = vt_ckpt_tokenizer(p->ckpt);
    if (!p->tokenizer)
        return vt_fail(err, VT_EFORMAT, "the model %s comes without a tokenizer: put its tokenizer.json beside it",
                       path);
    p->has_chat = vt_chat_of(p->ckpt, &p->chat, &ignored) == VT_OK;
    VT_TRY(vt_lm_open(p->ckpt, &lo, &p->lm, err));
    p->caps = (struct vt_policy_caps){.sample = true,
                                      .score = true,
                                      .update = true,
                                      .tokens = true,
                                      .seed = true,
                                      .exact = true,
                                      .n_ctx = vt_lm_cfg(p->lm)->n_ctx,
                                      .n_vocab = vt_lm_cfg(p->lm)->n_vocab};
    return VT_OK;
}

vt_status vt_policy_open(const char *spec, const struct vt_policy_opts *o, vt_policy **out, vt_err *err)
{
    static const struct vt_policy_opts defaults = {0};
    char *model = NULL, *adapter = NULL, *path = NULL;
    vt_policy *p;
    vt_status status;

    if (strcmp(spec, "default") == 0)
        spec = DEFAULT_SPEC;
    VT_TRY(refuse_remote(spec, err));
    p = vt_alloc(sizeof *p);
    if (!p)
        return vt_fail(err, VT_ENOMEM, "out of memory for the policy %s", spec);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->opts = o ? *o : defaults;
    p->opts.rank = p->opts.rank > 0 ? p->opts.rank : 16;
    p->opts.alpha = p->opts.alpha > 0 ? p->opts.alpha : 32;
    p->opts.targets = p->opts.targets ? p->opts.targets : VT_LORA_DEFAULT;
    p->spec = vt_strdup(spec);
    status = p->spec ? split_spec(spec, &model, &adapter, err) : vt_fail(err, VT_ENOMEM, "out of memory");
    if (status == VT_OK)
        status = find_model(model, &p->opts, &path, err);
    if (status == VT_OK)
        status = open_model(p, path, err);
    if (status == VT_OK)
        status = open_weights(p, adapter, err);
    if (status == VT_OK)
        status = vt_model_record(model, adapter, &p->record, err);
    free(model);
    free(adapter);
    free(path);
    if (status != VT_OK)
        vt_policy_close(p);
    else
        *out = p;
    return status;
}

void vt_policy_close(vt_policy *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->is_closing = true;
    while (p->is_busy)
        pthread_cond_wait(&p->idle, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    if (p->lm) {
        vt_native_cancel_samples(p);
        vt_native_cancel_scores(p);
        vt_native_drop_training(p);
        vt_weights_unref(p->base);
        vt_weights_unref(p->start);
        vt_weights_unref(p->current);
        vt_lm_close(p->lm);
    }
    vt_ckpt_free(p->ckpt);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->mutex);
    free(p->record);
    free(p->spec);
    free(p);
}

const struct vt_policy_caps *vt_policy_caps(const vt_policy *p)
{
    return &p->caps;
}

const char *vt_policy_spec(const vt_policy *p)
{
    return p->spec;
}

const char *vt_policy_record(const vt_policy *p)
{
    return p->record;
}

static vt_weights *lend(vt_policy *p, vt_weights *const *which)
{
    vt_weights *w;

    pthread_mutex_lock(&p->mutex);
    w = *which;
    w->refs++;
    pthread_mutex_unlock(&p->mutex);
    return w;
}

vt_weights *vt_policy_base(vt_policy *p)
{
    return lend(p, &p->base);
}

vt_weights *vt_policy_start(vt_policy *p)
{
    return lend(p, &p->start);
}

vt_weights *vt_policy_current(vt_policy *p)
{
    return lend(p, &p->current);
}

vt_status vt_policy_set(vt_policy *p, vt_weights *w, vt_err *err)
{
    vt_weights *old;

    if (w->policy != p)
        return vt_fail(err, VT_EINVAL, "these weights belong to the policy %s, not to %s", w->policy->spec, p->spec);
    vt_weights_ref(w);
    pthread_mutex_lock(&p->mutex);
    old = p->current;
    p->current = w;
    pthread_mutex_unlock(&p->mutex);
    vt_weights_unref(old);
    return VT_OK;
}

vt_status vt_policy_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                           vt_err *err)
{
    struct vt_ids list = {0};
    vt_status status = vt_tokenizer_encode(p->tokenizer, text, len, special, &list, err);

    if (status != VT_OK) {
        vt_ids_free(&list);
        return status;
    }
    if (!list.p)
        list.p = vt_alloc(1);
    if (!list.p)
        return vt_fail(err, VT_ENOMEM, "out of memory for token ids");
    *ids = list.p;
    *n = list.n;
    return VT_OK;
}

vt_status vt_policy_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len, vt_err *err)
{
    struct vt_buf b;
    vt_status status;

    vt_buf_init(&b, 64u << 20);
    status = vt_tokenizer_decode(p->tokenizer, ids, n, &b, err);
    if (status == VT_OK)
        status = vt_buf_check(&b, "the decoded text", err);
    if (status == VT_OK)
        *text = vt_buf_take(&b, len);
    vt_buf_free(&b);
    return status;
}

vt_status vt_policy_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                           bool generation_prompt, char **text, vt_err *err)
{
    struct vt_message *m;
    struct vt_buf b;
    vt_status status;

    if (!p->has_chat)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "the model %s has no chat template that vegttt knows; build the prompt's text yourself",
                       p->spec);
    m = vt_alloc_array(n ? n : 1, sizeof *m);
    if (!m)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu messages", n);
    for (size_t i = 0; i < n; i++)
        m[i] = (struct vt_message){.role = roles[i], .content = contents[i]};
    vt_buf_init(&b, 16u << 20);
    status = vt_chat_render(p->chat, m, n, generation_prompt, NULL, &b, err);
    if (status == VT_OK)
        status = vt_buf_check(&b, "the rendered prompt", err);
    if (status == VT_OK)
        *text = vt_buf_take(&b, NULL);
    vt_buf_free(&b);
    free(m);
    return status;
}
