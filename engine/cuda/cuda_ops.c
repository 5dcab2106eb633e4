/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_ops.c: the backend's table of operations: whether a checkpoint can be run here, opening it, and which file waits
 * for which kind of job. Nothing else of the backend knows this file.
 */
#include "cuda/cuda.h"
#include "cuda/cuda_parts.h"
#include "cuda/cuda_train.h"

/* The device of these options, when this backend can use it. */
static vt_status look(const struct vt_lm_opts *o, struct vt_gpu_props *p, vt_err *err)
{
    if (o->precision == VT_LM_F32)
        return vt_fail(err, VT_EUNSUPPORTED, "the cuda backend computes in bf16; fp32 is the cpu backend's");
    VT_TRY(vt_gpu_look(o->device, p, err));
    if (p->major < 8)
        return vt_fail(err, VT_EUNSUPPORTED, "%s has compute capability %d.%d; the cuda backend needs 8.0 or newer",
                       p->name, p->major, p->minor);
    return VT_OK;
}

static vt_status probe(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    struct vt_gpu_props p;
    char name[128];
    VT_TRY(vt_cuda_check_config(vt_ckpt_config(ckpt), err));
    VT_TRY(look(o, &p, err));
    return vt_gpu_blas_describe(name, sizeof name, err);
}

static vt_status numerics(const struct vt_lm_opts *o, char out[64], vt_err *err)
{
    struct vt_gpu_props p;
    VT_TRY(look(o, &p, err));
    vt_cuda_name_numerics(&p, out);
    return VT_OK;
}

static vt_status open_ckpt(const vt_ckpt *ckpt, const struct vt_lm_opts *o, struct vt_lm_limits *limits,
                           uint64_t *max_memory, void **out, vt_err *err)
{
    struct vt_cuda *be;
    *out = NULL;
    void *file = (void *)(uintptr_t)ckpt; /* only read */
    VT_TRY(vt_cuda_open_with(vt_ckpt_config(ckpt), o, vt_cuda_weights_load, file, limits, max_memory, &be, err));
    *out = be;
    return VT_OK;
}

static uint64_t bytes(void *be, uint64_t *peak)
{
    return vt_gpu_bytes(((const struct vt_cuda *)be)->gpu, peak);
}

/* Results of a begun job. */
static vt_status wait(void *opened, struct vt_lm_work *w, vt_err *err)
{
    struct vt_cuda *be = opened;
    VT_TRY(vt_gpu_bind(be->gpu, err));
    switch (w->kind) {
    case VT_LM_DECODE:
        return vt_cuda_decode_wait(be, w, err);
    case VT_LM_SCORE:
        return vt_cuda_score_wait(be, w, err);
    case VT_LM_GROUP:
        return vt_cuda_group_wait(be, w, err);
    case VT_LM_FORWARD:
        return vt_cuda_forward_wait(be, w, err);
    default:
        return vt_cuda_backward_wait(be, w, err);
    }
}

const struct vt_lm_ops vt_lm_cuda_ops = {
    .name = "cuda",
    .probe = probe,
    .numerics = numerics,
    .open = open_ckpt,
    .close = vt_cuda_close,
    .bytes = bytes,
    .plan = vt_cuda_plan,
    .adapter_put = vt_cuda_adapter_put,
    .adapter_clone = vt_cuda_adapter_clone,
    .adapter_get = vt_cuda_adapter_get,
    .adapter_free = vt_cuda_adapter_free,
    .group_free = vt_cuda_group_free,
    .slot_new = vt_cuda_slot_new,
    .slot_free = vt_cuda_slot_free,
    .tape_free = vt_cuda_tape_free,
    .grad_new = vt_cuda_grad_new,
    .grad_free = vt_cuda_grad_free,
    .group = vt_cuda_group_begin,
    .decode = vt_cuda_decode_begin,
    .score = vt_cuda_score_begin,
    .forward = vt_cuda_forward_begin,
    .backward = vt_cuda_backward_begin,
    .wait = wait,
    .grad_add = vt_cuda_grad_add,
    .grad_dot = vt_cuda_grad_dot,
    .grad_read = vt_cuda_grad_read,
    .grad_copy = vt_cuda_grad_copy,
    .adam = vt_cuda_adam,
};
