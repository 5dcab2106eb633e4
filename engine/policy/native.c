/* SPDX-License-Identifier: Apache-2.0
 *
 * native.c: the backend of models on this machine: opens one, and is the table of its operations. What a request does
 * is in sampling.c, scoring.c, training.c and native_weights.c.
 */
#include "policy/native.h"
#include "base/alloc.h"
#include "base/sha256.h"
#include "policy/backends.h"
#include <stdlib.h>
#include <string.h>

static vt_status load_adapter(vt_policy *p, const char *dir, vt_err *err)
{
    struct vt_native *n = p->state;
    struct vt_adapter *a = NULL;
    char *warning = NULL, id[65];
    int adapter = 0;
    vt_status status = vt_adapter_load_on(dir, n->ckpt, n->digest, &a, &warning, err);

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
        status = vt_lm_adapter_put(n->lm, a, &adapter, err);
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
        return load_adapter(p, adapter_dir, err);
    p->start = vt_weights_ref(p->base);
    return VT_OK;
}

static vt_status open_model(vt_policy *p, const char *path, vt_err *err)
{
    struct vt_native *n = p->state;
    struct vt_lm_opts lo = {.n_threads = p->opts.n_threads,
                            .precision = p->opts.fp32 ? VT_LM_F32 : VT_LM_FAST,
                            .max_memory = p->opts.max_memory,
                            .isa = NULL,
                            .lease = p->opts.lease};

    VT_TRY(vt_lm_asked(&lo, err));
    VT_TRY(vt_ckpt_open(path, &n->ckpt, err));
    VT_TRY(vt_ckpt_digest(n->ckpt, n->digest, err));
    vt_policy_text_digest(vt_ckpt_tokenizer(n->ckpt), n->tokens_digest);
    VT_TRY(vt_policy_text_of(n->ckpt, path, p->opts.chat, &n->text, err));
    VT_TRY(vt_lm_open(n->ckpt, &lo, &n->lm, err));
    p->caps = (struct vt_policy_caps){.sample = true,
                                      .score = true,
                                      .detail = true,
                                      .targets = true,
                                      .update = true,
                                      .forward = true,
                                      .agreement = true,
                                      .tokens = true,
                                      .prefix = true,
                                      .top_p = true,
                                      .top_k = true,
                                      .min_p = true,
                                      .bans = true,
                                      .logprobs = true,
                                      .logprobs_behaviour = true,
                                      .exact = vt_lm_limits(n->lm)->is_exact,
                                      .ids_ahead = true,
                                      .seeds = VT_SEEDS_SAMPLE,
                                      .n_ctx = vt_lm_cfg(n->lm)->n_ctx,
                                      .n_vocab = vt_lm_cfg(n->lm)->n_vocab};
    return VT_OK;
}

static vt_status native_open(vt_policy *p, vt_request *r, vt_err *err)
{
    struct vt_native *n = vt_alloc(sizeof *n);
    char *model = NULL, *adapter = NULL, *path = NULL;
    vt_status status;

    if (!n)
        return vt_fail(err, VT_ENOMEM, "out of memory for the policy %s", p->spec);
    pthread_mutex_init(&n->mutex, NULL);
    n->samples.start = vt_native_start_sampling;
    n->scores.start = vt_native_start_scoring;
    n->trainings.start = vt_native_start_training;
    p->state = n;
    p->opts.targets = p->opts.targets ? p->opts.targets : VT_LORA_DEFAULT;
    status = vt_worker_new(&n->worker, err);
    if (status == VT_OK)
        status = vt_native_split_spec(p->spec, &model, &adapter, err);
    if (status == VT_OK)
        status = vt_model_fetch(model, vt_request_stop_fd(r), p->opts.progress, p->opts.progress_arg, &path, err);
    if (status == VT_OK && vt_request_is_cancelled(r))
        status = vt_fail(err, VT_ECANCELLED, "opening the model %s was cancelled", p->spec);
    if (status == VT_OK)
        status = open_model(p, path, err);
    if (status == VT_OK)
        status = open_weights(p, adapter, err);
    if (status == VT_OK)
        status = vt_model_record(model, adapter, &p->record, err);
    free(model);
    free(adapter);
    free(path);
    return status;
}

static void native_close(vt_policy *p)
{
    struct vt_native *n = p->state;

    if (!n)
        return;
    vt_worker_free(n->worker);
    vt_lm_close(n->lm);
    vt_ckpt_free(n->ckpt);
    pthread_mutex_destroy(&n->mutex);
    free(n);
}

static vt_status native_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                               vt_err *err)
{
    return vt_policy_text_encode(&vt_native_of(p)->text, text, len, special, ids, n, err);
}

static vt_status native_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len, vt_err *err)
{
    return vt_policy_text_decode(&vt_native_of(p)->text, ids, n, text, len, err);
}

static vt_status native_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                               bool generation_prompt, const char *reasoning, char **text, vt_err *err)
{
    return vt_policy_text_render(&vt_native_of(p)->text, roles, contents, n, generation_prompt, reasoning, text, err);
}

const struct vt_policy_backend vt_policy_native = {
    .check = vt_native_check_spec,
    .open = native_open,
    .close = native_close,
    .encode = native_encode,
    .decode = native_decode,
    .render = native_render,
    .sample = vt_native_sample,
    .score = vt_native_score,
    .forward = vt_native_forward,
    .step = vt_native_step,
    .save = vt_native_save,
    .load = vt_native_load,
    .cancel = vt_native_cancel,
    .mix = vt_native_mix,
    .read_snapshot = vt_native_read_snapshot,
    .next_id = vt_native_next_id,
    .free_weights = vt_native_free_weights,
    .free_forward = vt_native_free_forward,
};
