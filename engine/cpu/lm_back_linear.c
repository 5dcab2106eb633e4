/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_back_linear.c: gradients of one adapted linear module, and the sum of the stripes.
 *
 * y = W x + s B u, u = A x:  dB += s dy^T u;  du = B^T dy;  dA += s du^T x;  dx += W^T dy + s A^T du.
 * The product with W^T is the caller's; it is the same with and without an adapter. A stripe's buffer holds the
 * modules of one layer in the order of vt_target, each A then B.
 */
#include "cpu/lm_train.h"

static size_t module_size(const struct vt_cpu *lm, const struct vt_adapter *h, enum vt_target t, size_t *a_size)
{
    int d_out, d_in;
    vt_adapter_dims(&lm->cfg, t, &d_out, &d_in);
    *a_size = (size_t)h->rank * (size_t)d_in;
    return *a_size + (size_t)h->rank * (size_t)d_out;
}

/* Where a module's gradients begin in a stripe's buffer. */
static size_t part_at(const struct vt_cpu *lm, const struct vt_adapter *h, int layer, int target)
{
    size_t at = 0, a_off, b_off, a_size;
    for (int t = 0; layer < lm->cfg.n_layers && t < target; t++)
        if (vt_adapter_at(h, layer, (enum vt_target)t, &a_off, &b_off))
            at += module_size(lm, h, (enum vt_target)t, &a_size);
    return at;
}

size_t vt_cpu_part_size(const struct vt_cpu *lm, const struct vt_adapter *h)
{
    size_t a_off, b_off, a_size, layer = part_at(lm, h, 0, VT_N_LINEAR), head = 0;
    if (vt_adapter_at(h, lm->cfg.n_layers, VT_LORA_UNEMBED, &a_off, &b_off))
        head = module_size(lm, h, VT_LORA_UNEMBED, &a_size);
    return layer > head ? layer : head;
}

void vt_cpu_back_lora(const struct vt_cpu_backward *w, const struct vt_cpu_back_linear *l, struct vt_cpu_bufs *b,
                      struct vt_cpu_back_bufs *bb)
{
    const struct vt_cpu *lm = w->lm;
    const struct vt_kernels *k = lm->k;
    const struct vt_cpu_adapter *a = w->tape->adapter;
    const struct vt_cpu_lora *m = vt_cpu_lora_of(lm, a, l->layer, l->target);
    if (!m)
        return;
    const int rank = a->host->rank, d_in = m->a.n_in, d_out = m->b.n_out;
    const size_t r = (size_t)rank;
    float *d_a = l->part + part_at(lm, a->host, l->layer, l->target);
    vt_cpu_low_make(lm, &m->a, rank, l->x, 0, l->n, b, bb->low);
    vt_cpu_low_make(lm, &m->b_t, rank, l->dy, 0, l->n, b, bb->d_low);
    for (int i = 0; i < l->n; i += w->stripe_rows, d_a += w->part_size) {
        const int n = l->n - i < w->stripe_rows ? l->n - i : w->stripe_rows;
        const float *low = bb->low + (size_t)i * r, *d_low = bb->d_low + (size_t)i * r;
        k->gemm_tn(lm->prec, n, 0, d_out, rank, l->dy_rows + (size_t)i * l->ldy, l->ldy, low, r, a->scale,
                   d_a + r * (size_t)d_in, r);
        k->gemm_tn(lm->prec, n, 0, rank, d_in, d_low, r, l->x_rows + (size_t)i * l->ldx, l->ldx, a->scale, d_a,
                   (size_t)d_in);
    }
    if (!l->dx)
        return;
    struct vt_acts low;
    vt_cpu_low_pack(lm, rank, 0, l->n, bb->d_low, a->scale, b, &low);
    k->gemm(&m->a_t, &low, 0, l->n, 0, d_in, l->dx, l->lddx, true);
}

/* Elements [begin, end) of every stripe, added pairwise: 0+1, 2+3, ..., then 0+2, ...; the sum lies in the first. */
static void add_stripes(const struct vt_cpu_backward *w, size_t begin, size_t end)
{
    for (int step = 1; step < w->n_stripes; step *= 2)
        for (int s = 0; s + step < w->n_stripes; s += 2 * step)
            w->lm->k->add((int)(end - begin), w->part + (size_t)(s + step) * w->part_size + begin,
                          w->part + (size_t)s * w->part_size + begin);
}

void vt_cpu_part_reduce(const struct vt_cpu_backward *w, int layer, int thread, int n_threads)
{
    enum { BLOCK = 4096 };
    const struct vt_cpu *lm = w->lm;
    const struct vt_adapter *h = w->tape->adapter->host;
    const int first = layer < lm->cfg.n_layers ? 0 : VT_LORA_UNEMBED,
              last = layer < lm->cfg.n_layers ? VT_N_LINEAR - 1 : VT_LORA_UNEMBED;
    size_t n_blocks = 0;
    for (int t = first; t <= last; t++) {
        size_t off[2], a_size;
        if (!vt_adapter_at(h, layer, (enum vt_target)t, &off[0], &off[1]))
            continue;
        const size_t at = part_at(lm, h, layer, t), size = module_size(lm, h, (enum vt_target)t, &a_size);
        const size_t begins[3] = {0, a_size, size};
        for (int m = 0; m < 2; m++)
            for (size_t i = begins[m]; i < begins[m + 1]; i += BLOCK) {
                const size_t end = begins[m + 1] - i < BLOCK ? begins[m + 1] : i + BLOCK;
                if (n_blocks++ % (size_t)n_threads != (size_t)thread)
                    continue;
                add_stripes(w, at + i, at + end);
                lm->k->add((int)(end - i), w->part + at + i, w->grad + off[m] + (i - begins[m]));
            }
    }
}
