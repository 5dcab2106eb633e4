/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_lora.c: the two halves of a low-rank product y += s B (A x), and of its backward dx += s A^T (B^T dy).
 *
 * The forward must see the adapter that Adam made. A step moves a parameter by about the learning rate, 1e-4 to 3e-7,
 * while one bf16 in the range of LoRA's parameters has steps of 1e-4: rounded so, most parameters do not move at all.
 * Where products take bf16 operands, a parameter is therefore two of them, high + low, and so is the number between the
 * halves, whose change would be lost as well. No kernel knows of this: the narrow half (A, B^T) has the low digits as
 * further columns and its product's halves are added; the wide half (B, A^T) has them as further rows of K,
 *     [high low high] . [high high low],
 * all but low . low. A product's columns and K come in 32s, of which LoRA's rank fills half, so that the digits mostly
 * stand where there were zeros. Products in fp32 take the master as it is.
 */
#include "cpu/lm_parts.h"

static bool has_digits(const struct vt_cpu *lm)
{
    return lm->prec != VT_LM_F32 && lm->k->has_bf16;
}

size_t vt_cpu_narrow_bytes(const struct vt_cpu *lm, int rank, int n_in)
{
    return has_digits(lm) ? vt_matrix_bytes(VT_LAYOUT_BF16, 2 * rank, n_in)
                          : vt_matrix_bytes(VT_LAYOUT_F32, rank, n_in);
}

size_t vt_cpu_wide_bytes(const struct vt_cpu *lm, int n_out, int rank)
{
    return has_digits(lm) ? vt_matrix_bytes(VT_LAYOUT_BF16, n_out, VT_LOW_DIGITS * rank)
                          : vt_matrix_bytes(VT_LAYOUT_F32, n_out, rank);
}

void vt_cpu_narrow_pack(const struct vt_cpu *lm, int rank, int n_in, const float *src, size_t so, size_t si,
                        void *memory, struct vt_matrix *out)
{
    if (has_digits(lm))
        vt_matrix_pack_digits(VT_DIGITS_OUT, rank, n_in, src, so, si, memory, out);
    else
        vt_matrix_pack_f32(VT_LAYOUT_F32, rank, n_in, src, so, si, memory, out);
}

void vt_cpu_wide_pack(const struct vt_cpu *lm, int n_out, int rank, const float *src, size_t so, size_t si,
                      void *memory, struct vt_matrix *out)
{
    if (has_digits(lm))
        vt_matrix_pack_digits(VT_DIGITS_IN, n_out, rank, src, so, si, memory, out);
    else
        vt_matrix_pack_f32(VT_LAYOUT_F32, n_out, rank, src, so, si, memory, out);
}

void vt_cpu_low_make(const struct vt_cpu *lm, const struct vt_matrix *narrow, int rank, const struct vt_acts *x, int r0,
                     int r1, struct vt_cpu_bufs *own, float *low)
{
    const size_t r = (size_t)rank;
    if (!has_digits(lm)) {
        lm->k->gemm(narrow, x, r0, r1, 0, rank, low, r, false);
        return;
    }
    lm->k->gemm(narrow, x, r0, r1, 0, 2 * rank, own->low_digits, 2 * r, false);
    for (size_t i = 0; i < (size_t)(r1 - r0); i++)
        for (size_t k = 0; k < r; k++)
            low[i * r + k] = own->low_digits[i * 2 * r + k] + own->low_digits[i * 2 * r + r + k];
}

/* The bf16 nearest to x, which is finite or not a number that anybody will use. */
static float high_digit(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x7fffu + (u >> 16 & 1u)) & 0xffff0000u;
    memcpy(&x, &u, sizeof x);
    return x;
}

static struct vt_acts low_acts(const struct vt_cpu *lm, const struct vt_cpu_bufs *own, int rank)
{
    struct vt_acts low = own->low;
    low.n_in = has_digits(lm) ? VT_LOW_DIGITS * rank : rank;
    return low;
}

void vt_cpu_low_pack(const struct vt_cpu *lm, int rank, int first, int n, const float *low, float scale,
                     struct vt_cpu_bufs *own, struct vt_acts *out)
{
    const size_t r = (size_t)rank;
    *out = low_acts(lm, own, rank);
    if (!has_digits(lm)) {
        lm->k->acts_pack(out, lm->prec, first, n, low, r, scale);
        return;
    }
    for (size_t i = 0; i < (size_t)n; i++) {
        float *high = own->low_digits + i * VT_LOW_DIGITS * r;
        for (size_t k = 0; k < r; k++) {
            const float x = low[i * r + k] * scale;
            high[k] = high[2 * r + k] = high_digit(x);
            high[r + k] = x - high[k];
        }
    }
    lm->k->acts_pack(out, lm->prec, first, n, own->low_digits, VT_LOW_DIGITS * r, 1.0f);
}

const struct vt_cpu_lora *vt_cpu_lora_of(const struct vt_cpu *lm, const struct vt_cpu_adapter *a, int layer, int target)
{
    if (!a)
        return NULL;
    size_t i = layer < lm->cfg.n_layers ? (size_t)layer * VT_N_LINEAR + (size_t)target
                                        : (size_t)lm->cfg.n_layers * VT_N_LINEAR;
    return a->lora[i].a.data ? &a->lora[i] : NULL;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

bool vt_cpu_lora_low(const struct vt_cpu *lm, const struct vt_cpu_run *runs, int n_runs, int layer, int target, int r0,
                     int r1, const struct vt_acts *x, struct vt_cpu_bufs *own)
{
    bool is_any = false;
    for (int i = 0; i < n_runs; i++) {
        const int ra = larger(runs[i].row0, r0) - r0, rb = smaller(runs[i].row1, r1) - r0;
        const struct vt_cpu_lora *m = ra < rb ? vt_cpu_lora_of(lm, runs[i].adapter, layer, target) : NULL;
        struct vt_acts low;
        if (!m)
            continue;
        const int rank = runs[i].adapter->host->rank;
        vt_cpu_low_make(lm, &m->a, rank, x, ra, rb, own, own->f_low);
        vt_cpu_low_pack(lm, rank, ra, rb - ra, own->f_low, runs[i].adapter->scale, own, &low);
        is_any = true;
    }
    return is_any;
}

void vt_cpu_lora_wide(const struct vt_cpu *lm, const struct vt_cpu_run *runs, int n_runs, int layer, int target, int r0,
                      int r1, const struct vt_cpu_bufs *own, float *y, size_t ldy, int n0, int n1)
{
    for (int i = 0; i < n_runs; i++) {
        const int ra = larger(runs[i].row0, r0) - r0, rb = smaller(runs[i].row1, r1) - r0;
        const struct vt_cpu_lora *m = vt_cpu_lora_of(lm, runs[i].adapter, layer, target);
        for (int r = ra; r < rb && !m; r++)
            memset(y + (size_t)r * ldy + n0, 0, (size_t)(n1 - n0) * sizeof *y);
        if (ra >= rb || !m)
            continue;
        const struct vt_acts low = low_acts(lm, own, runs[i].adapter->host->rank);
        lm->k->gemm(&m->b, &low, ra, rb, n0, n1, y + (size_t)ra * ldy, ldy, false);
    }
}
