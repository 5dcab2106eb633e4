/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h: the arithmetic of the CPU language model. One table of functions per instruction set ("c", "avx2",
 * "avx512", "avx512bf16", "amx"), chosen once at run time. Every call is single-threaded and allocates nothing: the
 * caller's pool splits rows or output columns and passes each thread its range.
 *
 * Numerics contract (DECISIONS.md section 7). Every output element is one accumulation chain over K in fixed order
 * that depends on the instruction set and the precision only: not on the number of rows, the position of a row among
 * them, the column range or the thread. A row of M = 1 has the bits it has among 512.
 *   VT_LM_F32   fp32 weights (the checkpoint's dequantised values), fp32 activations, fp32 FMA.
 *   VT_LM_FAST  Q4_0, Q4_1 and Q8_0 weights stay integer codes in memory and bf16 ones stay bf16; everything else
 *               (fp32, fp16, Q4_K, Q6_K …) becomes 16-bit integers in units of its output column, a relative error of
 *               4e-5 a column where bf16 has 1e-3.
 *               c, avx2, avx512: expanded to fp32 on the fly, activations fp32: as exact as F32 for codes and bf16.
 *               avx512bf16: activations rounded to bf16 once; codes exact, each block of 32 summed in fp32 and scaled.
 *               amx: weights of codes and of integers and their activations as 16-bit integers (digits_amx.c); keys
 *               and values as 16-bit integers, all of attention's operands split in two bf16 (attention_amx.c).
 *               bf16 weights, the transposed ones of every type included, see one bf16.
 * LoRA's matrices are fp32 where products are, and two bf16 digits where those take bf16 (lm_lora.c).
 *
 * Ownership: a vt_matrix is immutable once made and may be read by all threads; the caller owns buffers of acts.
 */
#ifndef VT_CPU_KERNELS_H
#define VT_CPU_KERNELS_H

#include "model/lm.h"

enum {
    VT_PAGE_KEYS = 64,   /* keys in one KV page: the block of the attention's merge order */
    VT_COLUMN_STEP = 32, /* column ranges begin at multiples of this; the last one ends at n_out */
    VT_MAX_HEAD_DIM = 256
};

/* A packed weight (n_out, n_in). layout is private to the kernels. */
enum vt_layout { VT_LAYOUT_F32, VT_LAYOUT_BF16, VT_LAYOUT_Q4_0, VT_LAYOUT_Q4_1, VT_LAYOUT_Q8_0, VT_LAYOUT_I16 };
struct vt_matrix {
    enum vt_layout layout;
    int n_out, n_in;
    const void *data; /* 64-byte aligned; vt_matrix_bytes long */
};

/* Activations of one GEMM's left side, packed once and shared by every weight that reads them (q, k, v; gate, up). */
struct vt_acts {
    int n_in;
    size_t stride; /* bytes between rows */
    unsigned char *data;
    bool is_plain; /* only products with fp32 or bf16 weights read it: what those with codes need may be left out */
};

struct vt_kernels {
    const char *name;
    bool has_bf16; /* FAST works on bf16 operands */

    /* --- matrix products --- */
    /* Rounds (FAST) or copies (F32) n rows of x, times scale, into rows first.. of a. ldx in floats. */
    void (*acts_pack)(const struct vt_acts *a, enum vt_lm_precision p, int first, int n, const float *x, size_t ldx,
                      float scale);
    /* Y[r][c] = sum_k X[r][k] W[c][k], added to y when add. Rows [r0, r1) of x; columns [n0, n1), n0 a multiple of
     * VT_COLUMN_STEP. y points at (row r0, column 0) of the whole result; ldy in floats. */
    void (*gemm)(const struct vt_matrix *w, const struct vt_acts *x, int r0, int r1, int n0, int n1, float *y,
                 size_t ldy, bool add);
    /* C (p, q) += scale * A^T B over n rows: A (n, p), B (n, q), C with leading dimension ldc; rows [p0, p1) of C only.
     * The order over n is fixed. FAST may round A and B to bf16. For LoRA: dB += s dY^T U, dA += dU^T X. */
    void (*gemm_tn)(enum vt_lm_precision prec, int n, int p0, int p1, int q, const float *a, size_t lda, const float *b,
                    size_t ldb, float scale, float *c, size_t ldc);

    /* --- attention over one KV page of one kv head --- */
    /* Bytes of a page, a multiple of 64. */
    size_t (*page_bytes)(enum vt_lm_precision p, int head_dim);
    /* Writes key and value `slot` (0..63) of a page; k after rope. A page must be zeroed (calloc) before use. */
    void (*kv_put)(enum vt_lm_precision p, void *page, int head_dim, int slot, const float *k, const float *v);
    /* Packs n query rows (after rope), scaled by 1/sqrt(head_dim), into q_out (n * vt_query_bytes). ldq in floats. */
    void (*query_pack)(enum vt_lm_precision p, int head_dim, int n, const float *q, size_t ldq, void *q_out);
    /* Online-softmax step (Milakov & Gimelshein 2018) for n query rows against one page: row i sees the page's first
     * visible[i] keys (0: the row is left alone). m, l [n] and acc [n * head_dim] are the running maximum, sum and
     * numerator: start with m = -INFINITY, l = 0, acc = 0, call in order of the block index, then acc / l. Rows may be
     * any mix of heads of the group and samples; each row's bits depend on itself and the page only. next: a page that
     * will be visited soon, whose memory may be asked for meanwhile; may be page itself. */
    void (*attend)(enum vt_lm_precision p, const void *page, const void *next, int head_dim, int n, const void *q,
                   const int *visible, float *m, float *l, float *acc);
    /* Backward of one tile: nq query rows (fp32, unscaled, after rope; contiguous [nq][head_dim]) against nk <= 64 keys
     * (fp32 rows). lse[i] = m + ln l of row i, delta[i] = sum(d_out * out). Adds into dq [nq][head_dim], dk, dv
     * [nk][head_dim]; a dk or dv row is one chain over the query rows in order. */
    void (*attend_backward)(enum vt_lm_precision p, int head_dim, int nq, int nk, const float *q, const float *d_out,
                            const float *lse, const float *delta, const int *visible, const float *k, size_t ldk,
                            const float *v, size_t ldv, float *dq, float *dk, float *dv, size_t lddk);

    /* --- rows of fp32 --- */
    /* y = w * x / sqrt(mean(x^2) + eps); returns 1 / sqrt(...), which the backward needs. */
    float (*rmsnorm)(int n, const float *x, const float *w, float eps, float *y);
    /* dx += gradient of rmsnorm for d_out. */
    void (*rmsnorm_backward)(int n, const float *x, const float *w, float inv_rms, const float *dy, float *dx);
    /* Half-split pairs (i, i + head_dim/2) rotated in place; cos_sin holds head_dim/2 cosines, then as many sines.
     * The backward is the rotation by the negative angle: inverse. */
    void (*rope)(int head_dim, float *x, const float *cos_sin, bool inverse);
    void (*silu_mul)(int n, const float *gate, const float *up, float *out); /* gate * sigmoid(gate) * up */
    void (*silu_mul_backward)(int n, const float *gate, const float *up, const float *d_out, float *d_gate,
                              float *d_up);
    void (*add)(int n, const float *x, float *y);           /* y += x */
    void (*axpy)(int n, float a, const float *x, float *y); /* y += a * x */
    void (*scale)(int n, float a, float *x);                /* x *= a */
    float (*dot)(int n, const float *x, const float *y);
    double (*sum_squares)(size_t n, const float *x);
    float (*max)(int n, const float *x); /* NaN when any element is NaN */
    /* sum of exp(a * x[i] - b); with out: out[i] = exp(a * x[i] - b) too (may alias x). Sum of 16 interleaved chains.
     */
    float (*exp_sum)(int n, const float *x, float a, float b, float *out);
    /* With d[i] = x[i] - max: sums of x and of exp(d) d, 16 interleaved chains each. */
    void (*soft_sums)(int n, const float *x, float max, float *sum_x, float *sum_ex);
    /* Decoupled-weight-decay Adam over n parameters: c1 = 1 - beta1^t, c2 = 1 - beta2^t; 0/(0 + eps) is 0. */
    void (*adam)(size_t n, float *param, const float *grad, float *m, float *v, const struct vt_adam *o,
                 float grad_scale, float c1, float c2);
};

/* The table for isa, or for NULL the best this machine runs. EUNSUPPORTED names what the machine has. Asks the kernel
 * for the AMX state once. */
vt_status vt_kernels_pick(const char *isa, const struct vt_kernels **out, vt_err *err) VT_MUST_USE;
/* The i-th table this machine can run, slowest first; NULL after the last. */
const struct vt_kernels *vt_kernels_at(int i);

/* Bytes of one packed activation row and one query row; multiples of 64. */
size_t vt_acts_row_bytes(int n_in);
size_t vt_query_bytes(int head_dim);

/* Splits [0, n) into n_threads ranges that begin at multiples of step. */
void vt_range_split(int n, int step, int thread, int n_threads, int *begin, int *end);

/* --- packing (pack.c) --- */
/* Layout that precision gives a tensor; bytes of the packed form. */
enum vt_layout vt_layout_of(enum vt_lm_precision p, enum vt_dtype dtype);
size_t vt_matrix_bytes(enum vt_layout layout, int n_out, int n_in);
/* Packs t (n_out, n_in) into memory of vt_matrix_bytes (64-byte aligned). */
vt_status vt_matrix_pack(const struct vt_tensor *t, enum vt_layout layout, void *memory, struct vt_matrix *out,
                         vt_err *err) VT_MUST_USE;
/* W^T of rows [row0, row1) of t, as a matrix (n_in, row1 - row0) in bf16 (FAST) or fp32: gemm with it is dX = dY W. */
vt_status vt_matrix_pack_transposed(const struct vt_tensor *t, enum vt_layout layout, int row0, int row1, void *memory,
                                    struct vt_matrix *out, vt_err *err) VT_MUST_USE;
/* Packs an fp32 matrix (LoRA's A and B): element (o, i) is src[o * so + i * si], so strides give either orientation. */
void vt_matrix_pack_f32(enum vt_layout layout, int n_out, int n_in, const float *src, size_t so, size_t si,
                        void *memory, struct vt_matrix *out);

/* The same in two bf16 digits, x ~ high + low (16 bits), as a matrix of bf16:
 *   VT_DIGITS_OUT  (2 n_out, n_in): the high digits of all rows, then the low ones. The halves of a product add up.
 *   VT_DIGITS_IN   (n_out, 3 n_in): high, high, low, for activations whose own digits stand as high, low, high. */
enum vt_digits { VT_DIGITS_OUT, VT_DIGITS_IN };
void vt_matrix_pack_digits(enum vt_digits side, int n_out, int n_in, const float *src, size_t so, size_t si,
                           void *memory, struct vt_matrix *out);

/* Forward packs of a whole checkpoint, kept in a file in the cache folder (name: hash of checkpoint digest, precision
 * and layout version) and mmapped. A file that is short, or whose checksum is wrong, is packed again. Only tensors of
 * two dimensions are held. progress may be NULL. */
struct vt_pack;
vt_status vt_pack_open(const vt_ckpt *c, enum vt_lm_precision p, struct vt_pack **out, vt_err *err) VT_MUST_USE;
void vt_pack_close(struct vt_pack *p);
const struct vt_matrix *vt_pack_matrix(const struct vt_pack *p, const char *name); /* NULL when absent */
uint64_t vt_pack_bytes(const struct vt_pack *p);

#endif
