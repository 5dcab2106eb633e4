/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_adapter.c: LoRA adapters of the backend (Hu et al. 2021): y = W x + (alpha / r) B (A x), never merged into W.
 *
 * An adapter is its fp32 master (vt_adapter) plus packed copies of every A and B, made once (lm_lora.c says in how many
 * digits), which sampler, scorer and trainer all read: this is what makes the trainer's logprobs the sampler's. Copies
 * are packed by the model's thread before the first job that reads them, the transposes of the backward before the
 * first BACKWARD, and again after Adam; putting and cloning, from any thread, only copy masters. An adapter that is
 * cloned to be moved is so packed once.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

static size_t n_modules(const struct vt_cpu *lm)
{
    return (size_t)lm->cfg.n_layers * VT_N_LINEAR + 1;
}

static bool module_at(const struct vt_cpu *lm, const struct vt_adapter *h, size_t i, enum vt_target *target, size_t *a,
                      size_t *b)
{
    int layer = (int)(i / VT_N_LINEAR);
    *target = layer < lm->cfg.n_layers ? (enum vt_target)(i % VT_N_LINEAR) : VT_LORA_UNEMBED;
    return vt_adapter_at(h, layer, *target, a, b);
}

static size_t pad(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Packs A and B (is_back: their transposes) of every n_threads-th module into memory; NULL only measures. */
static size_t pack_modules(const struct vt_cpu *lm, struct vt_cpu_adapter *a, unsigned char *memory, bool is_back,
                           int thread, int n_threads)
{
    const int r = a->host->rank;
    size_t at = 0;
    for (size_t i = 0; i < n_modules(lm); i++) {
        enum vt_target target;
        size_t a_off, b_off;
        int d_out, d_in;
        if (!module_at(lm, a->host, i, &target, &a_off, &b_off))
            continue;
        vt_adapter_dims(&lm->cfg, target, &d_out, &d_in);
        size_t size_a = is_back ? vt_cpu_wide_bytes(lm, d_in, r) : vt_cpu_narrow_bytes(lm, r, d_in);
        size_t size_b = is_back ? vt_cpu_narrow_bytes(lm, r, d_out) : vt_cpu_wide_bytes(lm, d_out, r);
        if (memory && (int)(i % (size_t)n_threads) == thread) {
            const float *pa = a->host->params + a_off, *pb = a->host->params + b_off;
            struct vt_cpu_lora *m = &a->lora[i];
            if (is_back) {
                vt_cpu_wide_pack(lm, d_in, r, pa, 1, (size_t)d_in, memory + at, &m->a_t);
                vt_cpu_narrow_pack(lm, r, d_out, pb, 1, (size_t)r, memory + at + pad(size_a), &m->b_t);
            } else {
                vt_cpu_narrow_pack(lm, r, d_in, pa, (size_t)d_in, 1, memory + at, &m->a);
                vt_cpu_wide_pack(lm, d_out, r, pb, (size_t)r, 1, memory + at + pad(size_a), &m->b);
            }
        }
        at += pad(size_a) + pad(size_b);
    }
    return at;
}

uint64_t vt_cpu_packed_bytes(const struct vt_cpu *lm, const struct vt_adapter *h, bool is_back)
{
    struct vt_cpu_adapter a = {.host = (struct vt_adapter *)(uintptr_t)h}; /* only measured */
    return pack_modules(lm, &a, NULL, is_back, 0, 1);
}

struct packing {
    const struct vt_cpu *lm;
    struct vt_cpu_adapter *a;
    bool is_back;
};

static void pack_share(void *arg, int thread, int n_threads)
{
    const struct packing *p = arg;
    (void)pack_modules(p->lm, p->a, p->is_back ? p->a->packed_back : p->a->packed, p->is_back, thread, n_threads);
}

static void pack(const struct vt_cpu *lm, struct vt_cpu_adapter *a, bool is_back)
{
    struct packing p = {lm, a, is_back};
    vt_pool_run(lm->pool, pack_share, &p);
}

/* --- storage operations --- */

static uint64_t host_bytes(const struct vt_adapter *h)
{
    return (uint64_t)h->n_params * sizeof(float) * (h->m ? 3 : 1);
}

static uint64_t all_bytes(const struct vt_cpu_adapter *a)
{
    return host_bytes(a->host) + a->packed_bytes + a->back_bytes;
}

static vt_status copy_masters(const struct vt_cpu *lm, const struct vt_adapter *values, struct vt_cpu_adapter **out,
                              vt_err *err)
{
    struct vt_cpu_adapter *a = *out = vt_alloc(sizeof *a);
    if (!a)
        return vt_fail(err, VT_ENOMEM, "out of memory for an adapter");
    a->scale = values->alpha / (float)values->rank;
    a->packed_bytes = (size_t)vt_cpu_packed_bytes(lm, values, false);
    a->lora = vt_alloc_array(n_modules(lm), sizeof *a->lora);
    a->packed = vt_alloc_aligned(64, a->packed_bytes ? a->packed_bytes : 64);
    if (!a->lora || !a->packed)
        return vt_fail(err, VT_ENOMEM, "out of memory for an adapter of %zu parameters", values->n_params);
    return vt_adapter_clone(values, &a->host, err);
}

static void free_parts(struct vt_cpu_adapter *a)
{
    if (!a)
        return;
    vt_adapter_free(a->host);
    free(a->lora);
    free(a->packed);
    free(a->packed_back);
    free(a);
}

vt_status vt_cpu_adapter_put(void *be, const struct vt_adapter *values, struct vt_lm_adapter *out, vt_err *err)
{
    struct vt_cpu *lm = be;
    struct vt_cpu_adapter *a;
    const uint64_t bytes = host_bytes(values) + vt_cpu_packed_bytes(lm, values, false);
    VT_TRY(vt_cpu_reserve(lm, bytes, "the adapter's values and packed copies", err));
    vt_status status = copy_masters(lm, values, &a, err);
    if (status != VT_OK) {
        free_parts(a);
        vt_cpu_release(lm, bytes);
        return status;
    }
    vt_cpu_keep(lm, VT_CPU_ADAPTERS, bytes, 0);
    out->impl = a;
    return VT_OK;
}

vt_status vt_cpu_adapter_clone(void *be, const struct vt_lm_adapter *from, struct vt_lm_adapter *a, vt_err *err)
{
    return vt_cpu_adapter_put(be, vt_cpu_adapter_of(from)->host, a, err);
}

vt_status vt_cpu_adapter_get(void *be, const struct vt_lm_adapter *a, struct vt_adapter **out, vt_err *err)
{
    (void)be;
    return vt_adapter_clone(vt_cpu_adapter_of(a)->host, out, err);
}

void vt_cpu_adapter_free(void *be, struct vt_lm_adapter *a)
{
    struct vt_cpu *lm = be;
    const uint64_t bytes = all_bytes(vt_cpu_adapter_of(a));
    free_parts(a->impl);
    vt_cpu_release(lm, bytes);
    vt_cpu_keep(lm, VT_CPU_ADAPTERS, 0, bytes);
}

/* --- the model's thread --- */

static vt_status take_back(struct vt_cpu *lm, struct vt_cpu_adapter *a, vt_err *err)
{
    const size_t bytes = (size_t)vt_cpu_packed_bytes(lm, a->host, true);
    void *memory;
    if (a->packed_back)
        return VT_OK;
    VT_TRY(vt_cpu_take(lm, bytes, "the adapter's transposed copies", &memory, err));
    a->packed_back = memory;
    a->back_bytes = bytes;
    vt_cpu_keep(lm, VT_CPU_ADAPTERS, bytes, 0);
    return VT_OK;
}

vt_status vt_cpu_adapter_ready(struct vt_cpu *lm, struct vt_cpu_adapter *a, bool is_back, vt_err *err)
{
    if (!a)
        return VT_OK;
    if (!a->is_fresh)
        pack(lm, a, false);
    a->is_fresh = true;
    if (!is_back)
        return VT_OK;
    VT_TRY(take_back(lm, a, err));
    if (!a->is_back_fresh)
        pack(lm, a, true);
    a->is_back_fresh = true;
    return VT_OK;
}
